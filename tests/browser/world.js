// The web pages as people meet them: a real browser, the whole service, the simulated X. Each file of tests has its own.

import { createHash } from "node:crypto";
import { after, before } from "node:test";
import { launch, tab } from "./browser.js";
import { film } from "./films.js";
import { playground } from "./playground.js";

export const PHONE = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
export const DESK = { viewport: { width: 1100, height: 900 } };

export let service, browser, small;

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
export async function uploader(name, { options = DESK, account = "alice_makes" } = {}) {
  if (account) await service.tell(`link ${name} ${account}`);
  const context = await browser.newContext(options);
  context.setDefaultTimeout(15_000);
  const page = await tab(context);
  await page.goto(await service.link("upload", name));
  await page.waitForURL(/\/upload\//);
  if (account) await page.locator("#drop").waitFor();
  return { context, page };
}

export const uploaded = (page) => page.getByText(/^Uploaded, /).first().waitFor();

/** How fast the browser sends; 0 bytes per second cuts the connection. */
export async function network(page, bytesPerSecond) {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  return (speed = bytesPerSecond) => session.send("Network.emulateNetworkConditions", {
    offline: speed === 0, latency: 0, downloadThroughput: -1, uploadThroughput: speed || -1,
  });
}

/** The bytes of the video behind a post on the simulated X, as a hash. */
export async function onX(link) {
  const page = await (await fetch(link)).text();
  const source = /<video[^>]* src="([^"]+)"/.exec(page)[1];
  const hash = createHash("sha256");
  for await (const chunk of (await fetch(new URL(source, link))).body) hash.update(chunk);
  return hash.digest("hex");
}
