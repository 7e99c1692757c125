// From a picked file to a file in storage, through what can go wrong on the way.

import assert from "node:assert/strict";
import { test } from "node:test";
import { look, tab } from "./browser.js";
import { film, hollow, lie } from "./films.js";
import { playground } from "./playground.js";
import { DESK, browser, network, onX, service, small, uploaded, uploader } from "./world.js";

test("200 MB arrive through a cut connection and a reload, and each part is sent once", async () => {
  const { context, page } = await uploader("bea");
  await look(page, "upload-empty");
  const big = film("big.mp4", 200_000_000);
  const sent = [];
  page.on("requestfinished", async (request) => {
    if (request.method() !== "PUT") return;
    const answer = await request.response();
    if (answer?.ok()) sent.push(new URL(request.url()).searchParams.get("partNumber"));
  });
  const speed = await network(page, 12e6);
  await speed();
  await page.locator("#input").setInputFiles(big.path);
  await page.waitForFunction(() => document.querySelector("#bar").value >= 15);
  await page.getByLabel("Caption").fill("First wave of the year https://example.com");
  await page.getByText("$0.20 at X, because of the link").waitFor();
  await look(page, "uploading");

  await speed(0);
  await page.getByText("The connection is lost. What has arrived is kept").first().waitFor();
  await look(page, "connection-lost");
  assert.ok(await page.locator("#trouble").isVisible(), "it says so as long as it lasts");
  const stood = await page.locator("#bar").evaluate((bar) => bar.value);
  await speed(12e6);
  await page.waitForFunction((stood) => document.querySelector("#bar").value > stood + 10, stood);

  page.once("dialog", (dialog) => dialog.accept());
  await page.reload();
  await page.getByText(/You were uploading big.mp4 \(200 MB\)\. \d+ MB of it has arrived/).waitFor();
  assert.equal(await page.getByLabel("Caption").inputValue(), "First wave of the year https://example.com");
  await look(page, "resume");
  const before = sent.length;
  assert.ok(before > 3, `${before} parts arrived before the reload`);

  await speed(-1);
  await page.locator("#input").setInputFiles(big.path);
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByText("It is posted when the upload is done").waitFor();
  await look(page, "will-post");
  const link = page.getByRole("link", { name: "Open on X" });
  await link.waitFor({ timeout: 90_000 });
  await look(page, "posted");
  assert.equal(await page.evaluate(() => document.activeElement.id), "title");

  const address = await link.getAttribute("href");
  assert.equal(await onX(address), big.sha256, "X has other bytes");
  const parts = Math.ceil(big.bytes / (8 << 20));
  assert.equal(new Set(sent).size, parts);
  // What was on its way when the page went has to be sent again: at most what goes at once.
  assert.ok(sent.length <= parts + 4, `${sent.length} parts sent, of ${parts}`);
  const said = await service.said("bea");
  assert.ok(said.at(-1).includes(address), `the chat shows ${said.at(-1)}`);

  await page.getByRole("button", { name: "Post another video" }).click();
  await page.locator("#drop").waitFor();
  assert.equal(await page.getByLabel("Caption").inputValue(), "");
  await context.close();
});

test("a file that cannot be posted is named, and nothing is sent", async () => {
  const { context, page } = await uploader("eve");
  const pick = (file) => page.locator("#input").setInputFiles(file);
  let calls = 0;
  page.on("request", (request) => { calls += request.url().endsWith("/upload-url"); });
  await pick(lie("notes.txt", "no video"));
  await page.getByText("notes.txt does not look like a video. Pick an MP4 or MOV file.").waitFor();
  await look(page, "bad-type");
  await pick(lie("empty.mp4", ""));
  await page.getByText("That file is empty.").waitFor();
  await pick(hollow("huge.mp4", 9_000_000_000));
  await page.getByText("That file is 9.0 GB. X takes at most").waitFor();
  await look(page, "bad-size");
  await pick(lie("picture.mp4", "GIF89a and nothing like a video ".repeat(100)));
  await page.getByText("picture.mp4 does not look like a video. Pick an MP4 or MOV file.").waitFor();
  await pick(lie("text.mp4", "Nothing like a video.\n".repeat(100)));
  await page.getByText("text.mp4 does not look like a video. Pick an MP4 or MOV file.").waitFor();
  assert.equal(calls, 0);

  // A file whose first bytes say nothing is found out once it is looked into.
  await pick(lie("liar.mp4", "\u0000\u0001 nothing like a video ".repeat(100)));
  await uploaded(page);
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByText(/Not posted\. The file is not a video, whatever its name says/).waitFor();
  await look(page, "bad-liar");
  await context.close();
});

test("an ended session stops the upload in words, and a new link takes it up", async () => {
  const { context, page } = await uploader("hal");
  const speed = await network(page, 4e6);
  await speed();
  const middling = film("middling.mp4", 100_000_000);
  await page.locator("#input").setInputFiles(middling.path);
  await page.waitForFunction(() => document.querySelector("#bar").value >= 10);
  await context.clearCookies();
  await page.getByText("This page is no longer signed in. Send /upload in your chat").waitFor();
  await look(page, "session-ended");
  const again = await tab(context);
  await again.goto(await service.link("upload", "hal"));
  await speed(-1);
  await again.getByText(/being uploaded in another tab|You were uploading middling.mp4/).waitFor();
  // The tab that stopped goes on, signed in anew by the other.
  await page.getByRole("button", { name: "Try again now" }).click();
  await uploaded(page);
  await context.close();
});

test("a storage that refuses is named; one in trouble is tried again", async () => {
  const { context, page } = await uploader("ida");
  await page.route(/partNumber=/, (route) => route.fulfill({ status: 403 }));
  await page.locator("#input").setInputFiles(small.path);
  await page.getByText("The storage refuses the file (answer 403). What is uploaded is kept.").waitFor();
  await look(page, "storage-refuses");
  await page.unroute(/partNumber=/);
  let failures = 2;
  await page.route(/partNumber=/, (route) => (failures-- > 0 ? route.fulfill({ status: 503 }) : route.continue()));
  await page.getByRole("button", { name: "Try again now" }).click();
  await page.getByText("The storage has a problem at the moment.").waitFor();
  await uploaded(page);
  await context.close();
});

test("two tabs do not upload the same file twice", async () => {
  const { context, page } = await uploader("jan");
  const film20 = film("twice.mp4", 20_000_000);
  /** The parts that a tab has sent. */
  const watched = (page) => {
    const sent = [];
    page.on("request", (request) => {
      if (request.method() === "PUT") sent.push(new URL(request.url()).searchParams.get("partNumber"));
    });
    return sent;
  };
  const first = watched(page);
  const speed = await network(page, 1e6);
  await speed();
  await page.locator("#input").setInputFiles(film20.path);
  await page.waitForFunction(() => document.querySelector("#bar").value > 0);
  const other = await tab(context);
  const second = watched(other);
  await other.goto(`${service.url}upload`);
  await other.getByText("twice.mp4 is being uploaded in another tab.").waitFor();
  await look(other, "two-tabs");
  // Nor when it is picked there all the same.
  await other.locator("#input").setInputFiles(film20.path);
  await other.locator("#trouble").getByText("twice.mp4 is being uploaded in another tab.").waitFor();
  assert.deepEqual(second, [], "a part is sent by the second tab");
  assert.deepEqual(first.sort(), ["1", "2", "3"]);
  // Once the first tab is gone, the second takes it up.
  await page.close({ runBeforeUnload: false });
  await other.getByRole("button", { name: "Try again now" }).click();
  await uploaded(other);
  assert.equal(new Set(second).size, second.length, "each once");
  await context.close();
});

test("a second tab uploads another file meanwhile", async () => {
  const { context, page } = await uploader("joe");
  const speed = await network(page, 1e6);
  await speed();
  await page.locator("#input").setInputFiles(small.path);
  await page.waitForFunction(() => document.querySelector("#bar").value > 0);
  const other = await tab(context);
  await other.goto(`${service.url}upload`);
  await other.locator("#input").setInputFiles(film("second.mp4", 1_000_000).path);
  await uploaded(other);
  await speed(-1);
  await uploaded(page);
  await context.close();
});

test("a bucket of the operator's own takes files from the page, by the rule it was given", async (t) => {
  const server = process.env.S3_SERVER;
  if (!server) return t.skip("set S3_SERVER to the address of a LocalStack");
  const bucket = `${server}/pages-${Date.now()}`;
  assert.ok((await fetch(bucket, { method: "PUT" })).ok);
  const own = await playground(server, new URL(bucket).pathname.slice(1));
  const context = await browser.newContext(DESK);
  try {
    await own.tell("link sue alice_makes");
    const page = await tab(context);
    await page.goto(await own.link("upload", "sue"));
    await page.waitForURL(/\/upload\//);
    const puts = [];
    page.on("response", (answer) => {
      if (answer.request().method() === "PUT") puts.push(`${new URL(answer.url()).origin} ${answer.status()}`);
    });
    // Without a rule the browser keeps the file back, which looks as a lost connection does.
    const big = film("elsewhere.mp4", 20_000_000);
    await page.locator("#input").setInputFiles(big.path);
    await page.getByText("The connection is lost.").waitFor();
    assert.deepEqual(puts, []);
    const rule = "<CORSConfiguration><CORSRule>" +
      `<AllowedOrigin>${new URL(own.url).origin}</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>` +
      "<AllowedHeader>content-type</AllowedHeader></CORSRule></CORSConfiguration>";
    const set = await fetch(`${bucket}?cors`, { method: "PUT", body: rule, headers: { "content-type": "application/xml" } });
    assert.ok(set.ok, await set.text());
    await page.getByRole("button", { name: "Try again now" }).click();
    await uploaded(page);
    assert.deepEqual(puts, Array(3).fill(`${server} 200`), "straight to the bucket");
    await page.getByRole("button", { name: "Post to @alice_makes" }).click();
    const link = page.getByRole("link", { name: "Open on X" });
    await link.waitFor();
    assert.equal(await onX(await link.getAttribute("href")), big.sha256);
    await look(page, "own-bucket");
  } finally {
    await context.close();
    await own.stop();
  }
});
