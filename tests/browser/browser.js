// Chromium, and what is looked at on every page: accessibility, the content policy, the picture.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const OUT = new URL("../../target/browser/", import.meta.url).pathname;
mkdirSync(OUT, { recursive: true });

/** A browser with a profile of its own, that calls nobody. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
}

/** A tab that fails its test on what the content policy blocks, and on scripts that break. */
export async function tab(context) {
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && /Content Security Policy/.test(message.text())) page.faults.push(message.text());
  });
  return page;
}

/** Keeps a picture, and checks what a picture does not show: no rule that axe knows is broken, nothing overflows. */
export async function look(page, name) {
  await page.screenshot({ path: `${OUT}${name}.png`, fullPage: true });
  // Through the debugger, since the page's policy lets no other script in.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join("  ")}`);
  assert.deepEqual(told, [], name);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
  assert.deepEqual(page.faults, [], name);
}
