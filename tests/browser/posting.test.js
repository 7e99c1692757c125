// From an uploaded file to posts on X.

import assert from "node:assert/strict";
import { test } from "node:test";
import { look } from "./browser.js";
import { PHONE, browser, onX, service, small, uploaded, uploader } from "./world.js";

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
