// Coming in by a link, linking accounts, the accounts page, and what stands there when something is missing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { look, tab } from "./browser.js";
import { DESK, browser, service, uploader } from "./world.js";

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
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.getByRole("heading", { name: "Signed out" }).waitFor();
  await look(page, "signed-out");
  await page.goto(`${service.url}accounts`);
  await page.getByText("This browser is not signed in").waitFor();
  await look(page, "not-signed-in");
  await context.close();
});

test("who else is connected is shown, and a connection can be ended", async () => {
  await service.tell("link kim alice_makes");
  const context = await browser.newContext(DESK);
  const page = await tab(context);
  await page.goto(await service.link("connect", "lou"));
  await page.getByText("@alice_makes").first().click();
  await page.getByRole("button", { name: /authorize/i }).click();
  await page.getByRole("heading", { name: "Other people connected to this account" }).waitFor();
  const kim = page.getByRole("group", { name: /kim/ });
  assert.equal(await kim.getByLabel("Keep").isChecked(), true);
  await kim.getByLabel("End").check();
  await look(page, "link-question-others");
  await page.getByRole("button", { name: "Link account" }).click();
  await page.getByRole("heading", { name: "Linked @alice_makes (Alice)" }).waitFor();
  await page.goto(await service.link("web", "kim"));
  await page.getByText("No X account is linked yet").waitFor();
  await context.close();
});

test("another person's session ends only when a button is pressed", async () => {
  const context = await browser.newContext(DESK);
  const page = await tab(context);
  await page.goto(await service.link("web", "una"));
  await page.getByRole("heading", { name: "Accounts of Discord user una" }).waitFor();
  await page.goto(await service.link("upload", "vic"));
  await page.getByText("This browser is signed in as Discord user una").waitFor();
  await look(page, "sign-in-question");
  await page.getByRole("button", { name: "Continue as Discord user vic" }).click();
  await page.getByText("No X account is linked yet").waitFor();
  await page.goto(`${service.url}accounts`);
  await page.getByText("This browser is not signed in").waitFor();
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
