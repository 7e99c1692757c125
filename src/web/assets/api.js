// @ts-check
// Calls to the service, as the person whose page this is.

import { element, say, words } from "./words.js";

const { base = "", form = "", memory = "" } = element("app").dataset;

// When its person signs in again in another tab, this one goes on with that tab's form token.
const newest = `toall-form:${memory}`;
try {
  localStorage.setItem(newest, form);
} catch {
  // A browser that keeps nothing: each tab then has the token of its own page.
}

function token() {
  try {
    return localStorage.getItem(newest) ?? form;
  } catch {
    return form;
  }
}

/** An answer that is no, in words. */
export class Refused extends Error {
  /**
   * @param {string} code stable; `unreachable` when there was no answer
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }

  /** Whether asking again may help. */
  get passing() {
    return ["unreachable", "trouble", "rate_limited"].includes(this.code);
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Refused>}
 */
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) return new Refused("session_ended", say("session"));
  // The service speaks to programs; what people can meet here has words of its own.
  const text = words.codes[problem.code] ?? problem.detail ?? say("fault");
  if (response.status === 429) return new Refused("rate_limited", text);
  if (response.status >= 500) return new Refused("trouble", text);
  return new Refused(problem.code ?? "refused", text);
}

/**
 * @param {string} method
 * @param {string} path below `/api/social/`
 * @param {{ body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [with_]
 */
async function send(method, path, { body, headers = {}, signal } = {}) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(`${base}/api/social/${path}`, {
      method,
      signal,
      headers: {
        "x-toall-form": token(),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("unreachable", say("unreachable"));
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/**
 * Asks and reads the answer.
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [with_]
 * @returns {Promise<any>}
 */
export async function call(method, path, with_) {
  const response = await send(method, path, with_);
  const text = await response.text().catch(() => {
    throw new Refused("unreachable", say("unreachable"));
  });
  return text ? JSON.parse(text) : null;
}

/**
 * How long to ask.
 * @typedef {object} Patience
 * @property {AbortSignal} signal
 * @property {number} [tries] for ever unless given
 * @property {(wait: number) => void} [waits] told in how many seconds it is tried again, and 0 once there was an answer
 */

/**
 * Asks again until the answer is yes or surely no, or patience ends.
 * @param {(signal: AbortSignal) => Promise<any>} ask
 * @param {Patience} patience
 */
export async function insist(ask, { signal, tries = Infinity, waits }) {
  for (let wait = 1, turn = 1; ; wait = Math.min(wait * 2, 30), turn++) {
    try {
      const answer = await ask(signal);
      if (turn > 1) waits?.(0);
      return answer;
    } catch (error) {
      if (!(error instanceof Refused && error.passing) || turn >= tries) throw error;
      waits?.(wait);
      await pause(wait, signal);
    }
  }
}

const WAKE = "toall-wake";

/** Ends every pause now. */
export function wake() {
  window.dispatchEvent(new Event(WAKE));
}

/**
 * Waits, or until the connection is back or somebody wakes it, whichever comes first.
 * @param {number} seconds
 * @param {AbortSignal} signal
 */
export function pause(seconds, signal) {
  return new Promise((go, stop) => {
    const done = () => {
      clearTimeout(timer);
      for (const event of ["online", WAKE]) window.removeEventListener(event, back);
      signal.removeEventListener("abort", end);
    };
    const back = () => { done(); go(undefined); };
    const end = () => { done(); stop(signal.reason); };
    const timer = setTimeout(back, seconds * 1000 * (0.75 + Math.random() / 2));
    for (const event of ["online", WAKE]) window.addEventListener(event, back);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

/**
 * The events of a stream (text/event-stream), read by hand: an EventSource cannot say whose page it is.
 * @param {string} path
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<string>}
 */
export async function* events(path, signal) {
  const response = await send("GET", path, { signal, headers: { accept: "text/event-stream" } });
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer = (buffer + value).replace(/\r\n?/g, "\n");
    const blocks = buffer.split("\n\n");
    buffer = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      if (data.length) yield data.join("\n");
    }
  }
}
