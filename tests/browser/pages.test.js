// The web pages as people meet them: a real browser, the whole service, the simulated X.
// Pictures of every state are kept under target/browser/.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { launch, look, tab } from "./browser.js";
import { film, hollow, lie } from "./films.js";
import { playground } from "./playground.js";

const PHONE = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
const DESK = { viewport: { width: 1100, height: 900 } };

let service, browser, small;

before(async () => {
  service = await playground();
  browser = await launch();
  small = film("surf.mp4", 3_000_000);
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

/** A person with an account, and their upload page in a browser of its own. */
async function uploader(name, { options = DESK, account = "alice_makes" } = {}) {
  if (account) await service.tell(`link ${name} ${account}`);
  const context = await browser.newContext(options);
  context.setDefaultTimeout(15_000);
  const page = await tab(context);
  await page.goto(await service.link("upload", name));
  await page.waitForURL(/\/upload\//);
  if (account) await page.locator("#drop").waitFor();
  return { context, page };
}

const uploaded = (page) => page.getByText(/^Uploaded, /).first().waitFor();

/** How fast the browser sends; 0 bytes per second cuts the connection. */
async function network(page, bytesPerSecond) {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  return (speed = bytesPerSecond) => session.send("Network.emulateNetworkConditions", {
    offline: speed === 0, latency: 0, downloadThroughput: -1, uploadThroughput: speed || -1,
  });
}

/** The bytes of the video behind a post on the simulated X, as a hash. */
async function onX(link) {
  const page = await (await fetch(link)).text();
  const source = /<video[^>]* src="([^"]+)"/.exec(page)[1];
  const hash = createHash("sha256");
  for await (const chunk of (await fetch(new URL(source, link))).body) hash.update(chunk);
  return hash.digest("hex");
}

test("an account is linked through X, and the accounts page says so", async () => {
  const context = await browser.newContext(DESK);
  const page = await tab(context);
  await page.goto(await service.link("connect", "ann"));
  await page.getByText("@alice_makes").first().click();
  await page.getByRole("button", { name: /authorize/i }).click();
  await page.getByRole("heading", { name: /Link @alice_makes \(Alice\) to Discord user ann/ }).waitFor();
  await look(page, "link-question");
  await page.getByRole("button", { name: "Link account" }).click();
  await page.getByRole("heading", { name: "Linked @alice_makes (Alice)" }).waitFor();
  await look(page, "linked");

  // Linking signs nobody in; a link from the chat does.
  await page.goto(await service.link("web", "ann"));
  await page.getByRole("heading", { name: "Accounts of Discord user ann" }).waitFor();
  await look(page, "accounts-linked");

  // Another one, from here.
  await page.getByRole("link", { name: "Link an X account" }).click();
  await page.getByText("@bob_films").first().click();
  await page.getByRole("button", { name: /authorize/i }).click();
  await page.getByRole("button", { name: "Link account" }).click();
  await page.getByText("@bob_films (Bob)").first().waitFor();
  await page.getByRole("button", { name: /Post here by default.*alice_makes/ }).click();
  await page.getByText("now goes to @alice_makes").waitFor();
  await page.locator("li", { hasText: "@bob_films" }).getByText("Disconnect", { exact: false }).first().click();
  await look(page, "accounts-disconnect");
  await page.getByRole("button", { name: /Disconnect now.*bob_films/ }).click();
  await page.getByText(/Disconnected @bob_films/).waitFor();
  assert.equal(await page.locator("li", { hasText: "@bob_films" }).count(), 0);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Signed out" }).waitFor();
  await look(page, "signed-out");
  await page.goto(`${service.url}accounts`);
  await page.getByText("This browser is not signed in").waitFor();
  await look(page, "not-signed-in");
  await context.close();
});

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
  await page.getByText("The connection is lost. Nothing is lost").first().waitFor();
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
  assert.equal(await page.evaluate(() => document.activeElement.id), "result-title");

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

test("the keyboard alone is enough", async () => {
  const { context, page } = await uploader("cat");
  await page.locator("body").press("Tab");
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
  const reach = async (wanted) => {
    for (let turn = 0; turn < 30; turn++) {
      if ((await focused()) === wanted) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`${wanted} is out of reach; stopped at ${await focused()}`);
  };
  await reach("input");
  await look(page, "keyboard-focus");
  const choosing = page.waitForEvent("filechooser");
  // The browser has taken note that choosers are for us once it answers the next question.
  await focused();
  await page.keyboard.press("Enter");
  await (await choosing).setFiles(small.path);
  await uploaded(page);
  await look(page, "uploaded");
  await reach("caption");
  await page.keyboard.type("By keyboard");
  await reach("post");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Open on X" }).waitFor();
  await reach("Open on X");
  await context.close();
});

test("a phone of 320 pixels shows all of it, in the dark too", async () => {
  const { context, page } = await uploader("dan", { options: { ...PHONE, colorScheme: "dark" } });
  await look(page, "phone-dark-empty");
  await page.locator("#input").setInputFiles(small.path);
  await uploaded(page);
  await page.getByText("More options").click();
  await page.getByLabel("Description for people").fill("Waves under a setting sun");
  await page.getByLabel("Who can reply").selectOption("following");
  await page.getByLabel("Made with AI").check();
  await page.waitForFunction(() => document.querySelector("#preview").videoWidth > 0);
  await look(page, "phone-dark-options");
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByRole("link", { name: "Open on X" }).waitFor();
  await look(page, "phone-dark-posted");

  await page.goto(await service.link("web", "dan"));
  await page.getByRole("heading", { name: "Recent posts" }).waitFor();
  await page.getByText("surf.mp4 to @alice_makes: posted").waitFor();
  await look(page, "phone-dark-accounts");
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
  assert.equal(calls, 0);

  // One that lies is found out once it is looked into.
  await pick(lie("liar.mp4", "GIF89a and nothing like a video ".repeat(100)));
  await uploaded(page);
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByText(/Not posted\. The file is not a video, whatever its name says/).waitFor();
  await look(page, "bad-liar");
  await context.close();
});

test("a caption over the limit is counted as X does, and keeps the post back", async () => {
  const { context, page } = await uploader("fay");
  await page.locator("#input").setInputFiles(small.path);
  await uploaded(page);
  await page.getByLabel("Caption").fill("é".repeat(290));
  await page.getByText("290 of 280: 10 too many").waitFor();
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByRole("alert").getByText("The caption is 10 characters too long").waitFor();
  await page.waitForFunction(() => document.activeElement.id === "caption");
  await look(page, "caption-over");
  await page.getByLabel("Caption").fill("Short");
  await page.getByText("5 of 280").waitFor();
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByRole("link", { name: "Open on X" }).waitFor();
  await context.close();
});

test("a link works once, in one browser, and says what to do when it does not", async () => {
  await service.tell("link gus alice_makes");
  const address = await service.link("upload", "gus");
  // A chat that fetches it for a preview does not use it up.
  const preview = await fetch(address);
  assert.match(await preview.text(), /Continue/);
  const mine = await browser.newContext(DESK);
  const page = await tab(mine);
  await page.goto(address);
  await page.locator("#drop").waitFor();
  await page.reload();
  await page.locator("#drop").waitFor();

  const foreign = await browser.newContext(DESK);
  const other = await tab(foreign);
  for (const bad of [address, `${service.url}upload/${"a".repeat(43)}`, `${service.url}upload/nonsense`]) {
    const answer = await other.goto(bad);
    assert.equal(answer.status(), 410);
    await other.getByText("This link no longer works").waitFor();
    await other.getByText("Send /upload again in your chat for a new link").waitFor();
  }
  await look(other, "link-gone");
  const cookies = await mine.cookies();
  assert.ok(cookies.every(({ httpOnly, sameSite }) => httpOnly && sameSite === "Lax"), JSON.stringify(cookies));
  // What another site sends is refused.
  const form = await mine.request.post(`${service.url}sign-out`, { headers: { origin: "https://evil.example" } });
  assert.equal(form.status(), 403);
  await Promise.all([mine.close(), foreign.close()]);
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
  const watched = (tab) => {
    const sent = [];
    tab.on("request", (request) => {
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

test("one upload goes to several accounts, each with a status of its own", async () => {
  await service.tell("link pia alice_makes");
  const { context, page } = await uploader("pia", { account: "bob_films" });
  const [alice, bob] = ["@alice_makes", "@bob_films"].map((name) => page.getByRole("checkbox", { name }));
  assert.deepEqual([await alice.isChecked(), await bob.isChecked()], [false, true], "the one that /post goes to");
  await page.getByText("The post costs $0.015 at X").waitFor();
  await alice.check();
  await page.getByRole("button", { name: "Post to 2 accounts" }).waitFor();
  await page.getByText("The 2 posts cost $0.03 at X").waitFor();
  await page.getByText("X does not allow the same content on several accounts").waitFor();
  await look(page, "several-accounts");
  await page.reload();
  await page.getByRole("button", { name: "Post to 2 accounts" }).waitFor();
  await page.locator("#input").setInputFiles(small.path);
  await uploaded(page);
  await alice.uncheck();
  await bob.uncheck();
  await page.getByRole("button", { name: "Post", exact: true }).click();
  await page.getByText("Choose at least one account to post to.").waitFor();
  await alice.check();
  await bob.check();
  await page.getByRole("button", { name: "Post to 2 accounts" }).click();
  for (const name of ["@alice_makes", "@bob_films"]) {
    const card = page.locator("#statuses li", { hasText: `To ${name}` });
    const link = await card.getByRole("link", { name: "Open on X" }).getAttribute("href");
    assert.ok(link.includes(`/${name.slice(1)}/status/`), link);
    assert.equal(await onX(link), small.sha256);
  }
  await look(page, "several-posted");
  await context.close();
});

test("a post whose answer is lost is tried for a while, then by hand, and made once", async () => {
  const { context, page } = await uploader("quy");
  await page.locator("#input").setInputFiles(small.path);
  await uploaded(page);
  const keys = [];
  let lost = true;
  await page.route(/\/api\/social\/post$/, async (route) => {
    keys.push(route.request().headers()["idempotency-key"]);
    if (!lost) return route.continue();
    // The service takes it, and its answer does not arrive.
    await route.fetch();
    await route.abort("connectionreset");
  });
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByText("This service does not answer. Nothing is lost: it is tried again in").waitFor();
  await look(page, "not-answered");
  const given_up = page.getByText("it is not known whether it has taken the post. Trying again is safe");
  for (let turn = 0; turn < 30 && !(await given_up.isVisible()); turn++) {
    // As when the connection comes back: no pause is waited for.
    const before = keys.length;
    await page.evaluate(() => window.dispatchEvent(new Event("online")));
    await page.waitForFunction(() => !document.querySelector("#refused").hidden, null, { timeout: 250 }).catch(() => {});
    assert.ok(keys.length >= before);
  }
  assert.equal(keys.length, 6, "a bound");
  await look(page, "not-handed-over");
  lost = false;
  await page.getByRole("button", { name: "Try again", exact: true }).click();
  await page.getByRole("link", { name: "Open on X" }).waitFor();
  assert.equal(new Set(keys).size, 1, "always the same request");
  await page.goto(await service.link("web", "quy"));
  await page.getByRole("heading", { name: "Recent posts" }).waitFor();
  assert.equal(await page.locator("#posts li.card").count(), 1);
  await context.close();
});

test("a token is listed and ended on the accounts page", async () => {
  await service.tell("link rob alice_makes");
  const { token } = await service.tell("token rob");
  const known = async () => (await fetch(`${service.url}api/social/accounts`, { headers: { authorization: `Bearer ${token}` } })).status;
  assert.equal(await known(), 200);
  const context = await browser.newContext(DESK);
  const page = await tab(context);
  await page.goto(await service.link("web", "rob"));
  const card = page.locator("li", { hasText: `ends in ${token.slice(-4)}` });
  await card.getByText("End it").click();
  await look(page, "accounts-token");
  await card.getByRole("button", { name: "End the token now" }).click();
  await page.getByText("The token is ended.").waitFor();
  assert.equal(await card.count(), 0);
  assert.equal(await known(), 401);
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

test("an account that goes during the upload keeps the post back, and the file stays", async () => {
  const { context, page } = await uploader("kim");
  await page.locator("#input").setInputFiles(small.path);
  await uploaded(page);
  const { token } = await service.tell("token kim");
  const api = (method, path) => fetch(`${service.url}api/social/${path}`, { method, headers: { authorization: `Bearer ${token}` } });
  const { accounts } = await (await api("GET", "accounts")).json();
  await api("DELETE", `accounts/${accounts[0].account_id}`);
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByText("That account is no longer linked.").waitFor();
  await look(page, "account-gone");
  await service.tell("link kim alice_makes");
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByRole("link", { name: "Open on X" }).waitFor();
  await context.close();
});

test("a post in doubt asks, and the answer counts", async () => {
  const { context, page } = await uploader("lea");
  await service.tell("hide 600");
  await service.tell("lose");
  await page.locator("#input").setInputFiles(small.path);
  await uploaded(page);
  await page.getByRole("button", { name: "Post to @alice_makes" }).click();
  await page.getByText("Please look at the account: is it there?").waitFor({ timeout: 60_000 });
  assert.match(await page.getByRole("link", { name: "Open X" }).getAttribute("href"), /\/alice_makes$/);
  await look(page, "doubt");
  await page.getByRole("button", { name: "It is there" }).click();
  await page.locator("#statuses").getByText("Posted", { exact: true }).waitFor();
  await service.tell("hide 0");
  await context.close();
});

test("without JavaScript the pages say so", async () => {
  await service.tell("link max alice_makes");
  const context = await browser.newContext({ ...DESK, javaScriptEnabled: false });
  const page = await tab(context);
  await page.goto(await service.link("upload", "max"));
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("This page needs JavaScript").waitFor();
  await context.close();
  // The same pages where only our scripts are kept away, since axe is one too.
  const bare = await browser.newContext(DESK);
  const seen = await tab(bare);
  await seen.route(/\/assets\/.*\.js$/, (route) => route.abort());
  await seen.goto(await service.link("upload", "max"));
  await seen.getByRole("button", { name: "Continue" }).waitFor();
  await look(seen, "door");
  await seen.getByRole("button", { name: "Continue" }).click();
  await seen.getByText("This page needs JavaScript").waitFor();
  await look(seen, "without-javascript");
  await bare.close();
});

test("nobody without an account is left at a dead end", async () => {
  const { context, page } = await uploader("ned", { account: null });
  await page.getByText("No X account is linked yet.").waitFor();
  await look(page, "no-account");
  await context.close();
});

test("the page weighs little and is ready soon", async () => {
  const { context, page } = await uploader("oda");
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  let weight = 0;
  // As it goes over the wire, heads and all.
  session.on("Network.loadingFinished", ({ encodedDataLength }) => { weight += encodedDataLength; });
  const began = performance.now();
  await page.goto(`${service.url}upload`);
  await page.locator("#drop").waitFor();
  const ready = Math.round(performance.now() - began);
  await page.waitForLoadState("networkidle");
  console.log(`page weight ${(weight / 1000).toFixed(1)} kB; ready in ${ready} ms`);
  assert.ok(weight <= 60_000, `${weight} bytes`);
  await context.close();
});
