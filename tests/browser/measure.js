// What an upload of 2 GiB costs, through Chromium and through curl, to the same storage behind the same program; how fast
// the API says how a post fares; how soon the page is ready. A measurement, no test: it fails nobody.
//
//   cargo build --release && node measure.js [PROGRAM] [GIB]
//
// Needs curl, Chromium, and three times the file's size on the disk of the working directory.

import { execFile, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { loadavg } from "node:os";
import { promisify } from "node:util";
import { launch, OUT, tab } from "./browser.js";
import { film } from "./films.js";
import { ADDRESS, address, telegram, x } from "./standins.js";

const [program = new URL("../../target/release/toall", import.meta.url).pathname, gib = "2"] = process.argv.slice(2);
const bytes = Math.round(Number(gib) * 2 ** 30);
const AT_ONCE = 4;
const folder = mkdtempSync(`${OUT}measure-`);
const run = promisify(execFile);

const [chat, twitter] = [await telegram(), await x()];
const port = 20000 + (process.pid % 20000);
const base = `http://127.0.0.1:${port}`;
writeFileSync(`${folder}/config.toml`, `
public_url = "${base}"
data_dir = "${folder}/data"
web.listen = "127.0.0.1:${port}"
telegram.token = "1:measured"
telegram.api_url = "${chat.url}"
twitter.client_id = "measured"
twitter.api_url = "${twitter.url}"
twitter.authorize_url = "${twitter.url}/authorize"
twitter.web_url = "${twitter.url}"
access.open = true
limits.monthly_budget_usd = "none"
`);
const service = spawn(program, ["serve", "--config", `${folder}/config.toml`], { stdio: ["ignore", "ignore", "pipe"] });
let log = "";
service.stderr.on("data", (text) => { log += text; });

/** Peak resident memory of the service since `forget`, in MiB. */
const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${service.pid}/status`, "utf8"))[1]) / 1024;
const forget = () => writeFileSync(`/proc/${service.pid}/clear_refs`, "5");
const cpu = () => readFileSync(`/proc/${service.pid}/stat`, "utf8").split(" ").slice(13, 15).reduce((sum, ticks) => sum + ticks / 100, 0);
const round = (number, digits = 1) => Number(number.toFixed(digits));
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];

async function until(condition) {
  for (let turn = 0; turn < 600; turn++) {
    if (await condition().catch(() => false)) return;
    await new Promise((later) => setTimeout(later, 50));
  }
  throw new Error(`waited too long; the service says:\n${log}`);
}

/** Links an account, as a browser would. */
async function link() {
  const offer = new URL(address(await chat.ask("/connect twitter", ADDRESS)));
  const back = `${base}/api/social/callback?code=c&state=${encodeURIComponent(offer.searchParams.get("state"))}`;
  const page = await (await fetch(back)).text();
  const ticket = /name="ticket" value="([^"]+)"/.exec(page)[1];
  await fetch(`${base}/api/social/callback`, { method: "POST", body: new URLSearchParams({ ticket }) });
}

const TOKEN = /toall_[\w-]{20,}/;
const token = async () => TOKEN.exec((await chat.ask("/token", TOKEN)).text)[0];

async function api(token, method, path, body) {
  const headers = { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) };
  const answer = await fetch(`${base}/api/social/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Runs it, and says how long it took, what the service's memory came to and how much of a processor it used. */
async function timed(act) {
  forget();
  const [began, used] = [performance.now(), cpu()];
  const more = await act();
  const seconds = (performance.now() - began) / 1000;
  return { seconds: round(seconds), MBps: round(bytes / 1e6 / seconds), peakMiB: round(peak()), cpuSeconds: round(cpu() - used), ...more };
}

/** The file by curl, several parts at once, each by its signed address. */
async function byCurl(file, token) {
  const wanted = { filename: "film.mp4", content_type: "video/mp4", size: file.bytes, multipart: true };
  const { s3_key, multipart: { parts, part_bytes } } = await api(token, "POST", "upload-url", wanted);
  const numbers = Array.from({ length: parts }, (_, at) => at + 1);
  const addresses = [];
  for (let at = 0; at < parts; at += 100) {
    addresses.push(...(await api(token, "POST", "upload-parts", { s3_key, parts: numbers.slice(at, at + 100) })).parts);
  }
  // curl sends whole files only.
  const source = openSync(file.path, "r");
  const lines = addresses.map(({ part, bytes, upload_url }) => {
    const piece = Buffer.alloc(bytes);
    readSync(source, piece, 0, bytes, (part - 1) * part_bytes);
    writeFileSync(`${folder}/part.${part}`, piece);
    return `upload-file = "${folder}/part.${part}"\nurl = "${upload_url}"\noutput = /dev/null\n`;
  });
  closeSync(source);
  writeFileSync(`${folder}/curl`, lines.join("next\nfail\n"));
  const sent = await timed(async () => {
    await run("curl", ["--silent", "--show-error", "--fail", "--parallel", "--parallel-max", String(AT_ONCE), "--config", `${folder}/curl`]);
    const began = performance.now();
    await api(token, "POST", "upload-complete", { s3_key });
    return { joiningSeconds: round((performance.now() - began) / 1000) };
  });
  for (const { part } of addresses) rmSync(`${folder}/part.${part}`);
  await api(token, "DELETE", `upload?${new URLSearchParams({ s3_key })}`);
  return sent;
}

async function signedIn(browser) {
  const context = await browser.newContext();
  const page = await tab(context);
  await page.goto(address(await chat.ask("/upload", ADDRESS)));
  await page.locator("#drop").waitFor();
  return { context, page };
}

/** The file by the page, as a person does it. Leaves it there, ready to be posted. */
async function byBrowser(browser, file) {
  const { context, page } = await signedIn(browser);
  let asked = 0;
  page.on("request", (request) => { if (request.url().endsWith("/upload-complete")) asked = performance.now(); });
  const sent = await timed(async () => {
    await page.locator("#input").setInputFiles(file.path);
    await page.getByText(/^Uploaded, /).first().waitFor({ timeout: 600_000 });
    return { joiningSeconds: round((performance.now() - asked) / 1000) };
  });
  return { context, page, sent };
}

/**
 * Status reads over kept connections, eight at once, as fast as they are answered. A token may ask 300 times at once:
 * ten tokens of one person ask 290 times each.
 */
async function statusReads(tokens, request) {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const read = (token) => new Promise((done, failed) => {
    get(`${base}/api/social/uploads/${request}`, { agent, headers: { authorization: `Bearer ${token}` } }, (answer) => {
      if (answer.statusCode !== 200) return failed(new Error(`status ${answer.statusCode}`));
      answer.resume().on("end", done);
    }).on("error", failed);
  });
  const queue = tokens.flatMap((token) => Array(290).fill(token));
  const [count, began, took] = [queue.length, performance.now(), []];
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let token = queue.pop(); token; token = queue.pop()) {
      const at = performance.now();
      await read(token);
      took.push(performance.now() - at);
    }
  }));
  const seconds = (performance.now() - began) / 1000;
  agent.destroy();
  took.sort((a, b) => a - b);
  return { reads: count, perSecond: Math.round(count / seconds), p50ms: round(median(took)), p99ms: round(took[Math.floor(count * 0.99)]) };
}

/** How soon the page can be used, and what it weighs, with nothing kept from before. */
async function pageLoads(browser) {
  const { context, page } = await signedIn(browser);
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  let weight = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => { weight += encodedDataLength; });
  const ready = [];
  for (let turn = 0; turn < 9; turn++) {
    weight = 0;
    const began = performance.now();
    await page.goto(`${base}/upload`);
    await page.locator("#drop").waitFor();
    ready.push(performance.now() - began);
    await page.waitForLoadState("networkidle");
  }
  await context.close();
  return { weightKB: round(weight / 1000), interactiveMs: Math.round(median(ready)), slowestMs: Math.round(ready.at(-1)) };
}

let browser;
try {
  await until(async () => (await fetch(`${base}/readyz`)).ok);
  await link();
  const tokens = [];
  for (let count = 0; count < 10; count++) tokens.push(await token());
  browser = await launch();
  console.log("load before", loadavg().map((load) => round(load)).join(" "));
  console.log("page", await pageLoads(browser));

  const small = film("measure-small.mp4", 16 << 20);
  const first = await byBrowser(browser, small);
  console.log("memory after 16 MiB", { peakMiB: first.sent.peakMiB });
  await first.context.close();
  const big = film("measure.mp4", bytes);
  // Either way twice, in turn, so that a busy moment meets both.
  let last;
  for (let turn = 1; turn <= 2; turn++) {
    console.log(`curl ${turn}`, await byCurl(big, tokens[0]));
    if (last) {
      last.page.once("dialog", (dialog) => dialog.accept());
      await last.page.getByRole("button", { name: "Remove this video" }).click();
      await last.context.close();
    }
    last = await byBrowser(browser, big);
    console.log(`browser ${turn}`, last.sent);
  }
  await last.page.getByRole("button", { name: /^Post to/ }).click();
  await last.page.getByRole("heading", { name: "Your post" }).waitFor();
  const [{ request_id: request }] = (await api(tokens[0], "GET", "posts")).posts;
  for (let turn = 1; turn <= 3; turn++) {
    // The tokens' allowance fills up in 15 seconds.
    if (turn > 1) await new Promise((later) => setTimeout(later, 16_000));
    console.log(`status reads ${turn}`, await statusReads(tokens.slice(1), request));
  }
  console.log("load after", loadavg().map((load) => round(load)).join(" "));
} finally {
  await browser?.close();
  service.kill("SIGTERM");
  await new Promise((ended) => service.once("exit", ended));
  chat.stop();
  twitter.stop();
  rmSync(folder, { recursive: true });
  for (const name of ["measure-small.mp4", "measure.mp4"]) rmSync(`${OUT}${name}`, { force: true });
}
