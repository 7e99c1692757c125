// @ts-check
// Sends a file to storage in parts, several at once, until all of them have arrived.

import { call, insist, pause } from "./api.js";

/** @typedef {import("./memory.js").Kept} Kept */

/** Parts on their way at once. */
const AT_ONCE = 4;
/** Parts whose addresses are asked for together. */
const ADDRESSES = 8;
/** Over how long the speed is measured, in milliseconds. */
const WINDOW = 10_000;
/** How often storage may refuse a part, each time at a fresh address, before it is believed. */
const REFUSALS = 3;
/** A part that moves no byte for this long is sent anew, in milliseconds. */
const STALLED = 30_000;

/** The file cannot be read any more. */
export class FileChanged extends Error {}

/** Storage says no, and goes on saying so. */
export class StorageRefuses extends Error {
  /** @param {number} status */
  constructor(status) {
    super(`storage answers ${status}`);
    this.status = status;
  }
}

export class Transfer {
  /** @type {number[]} */ #missing = [];
  /** Bytes of parts that have arrived. */ #arrived = 0;
  /** @type {Map<number, number>} bytes of each part on its way */ #moving = new Map();
  /** @type {Map<number, string>} */ #addresses = new Map();
  /** @type {Promise<void> | null} */ #asking = null;
  /** @type {{ at: number, bytes: number }[]} */ #seen = [];
  #stop = new AbortController();

  /**
   * @param {File} file
   * @param {Kept} kept
   * @param {number[]} done parts that have arrived
   * @param {{ moved: () => void, trouble: (trouble: { status: number, wait: number } | null) => void }} told
   */
  constructor(file, kept, done, told) {
    this.file = file;
    this.kept = kept;
    this.told = told;
    const arrived = new Set(done);
    for (let part = 1; part <= kept.parts; part++) {
      if (arrived.has(part)) this.#arrived += this.#bytes(part);
      else this.#missing.push(part);
    }
  }

  /** Ends it; what has arrived stays. */
  cancel() {
    this.#stop.abort();
  }

  /** What has arrived, and what is on its way. */
  get done() {
    let bytes = this.#arrived;
    for (const moving of this.#moving.values()) bytes += moving;
    return Math.min(bytes, this.file.size);
  }

  /** Bytes per second lately; 0 while that cannot be said. */
  get speed() {
    const now = performance.now();
    this.#seen = this.#seen.filter(({ at }) => now - at < WINDOW);
    this.#seen.push({ at: now, bytes: this.done });
    const [first] = this.#seen;
    const took = (now - first.at) / 1000;
    return took < 1 ? 0 : Math.max(0, this.done - first.bytes) / took;
  }

  /** Sends what is missing. Goes on through lost connections for as long as it takes. */
  async run() {
    const lanes = Array.from({ length: AT_ONCE }, () => this.#lane());
    try {
      await Promise.all(lanes);
    } catch (error) {
      this.#stop.abort();
      throw error;
    }
  }

  async #lane() {
    for (let part = this.#missing.shift(); part !== undefined; part = this.#missing.shift()) {
      try {
        await this.#send(part);
      } catch (error) {
        this.#missing.unshift(part);
        throw error;
      }
    }
  }

  /** @param {number} part */
  #bytes(part) {
    return Math.min(this.kept.partBytes, this.kept.size - (part - 1) * this.kept.partBytes);
  }

  /** @param {number} part */
  async #send(part) {
    const signal = this.#stop.signal;
    let refusals = 0;
    for (let wait = 1; ; wait = Math.min(wait * 2, 30)) {
      const url = await this.#address(part);
      const start = (part - 1) * this.kept.partBytes;
      const status = await this.#put(part, url, this.file.slice(start, start + this.#bytes(part)));
      signal.throwIfAborted();
      if (status >= 200 && status < 300) {
        this.#arrived += this.#bytes(part);
        this.#moving.delete(part);
        this.told.trouble(null);
        this.told.moved();
        return;
      }
      this.#moving.delete(part);
      this.told.moved();
      // An address may have grown too old on the way.
      this.#addresses.delete(part);
      if (status === 0) await this.#check();
      else if (status < 500 && ![408, 429].includes(status) && ++refusals >= REFUSALS) throw new StorageRefuses(status);
      this.told.trouble({ status, wait });
      await pause(wait, signal);
    }
  }

  /** A browser does not say whether the connection broke or the file. */
  async #check() {
    try {
      await this.file.slice(0, 1).arrayBuffer();
    } catch {
      throw new FileChanged();
    }
  }

  /**
   * @param {number} part
   * @returns {Promise<string>}
   */
  async #address(part) {
    for (;;) {
      const known = this.#addresses.get(part);
      if (known) return known;
      this.#asking ??= this.#ask(part).finally(() => { this.#asking = null; });
      await this.#asking;
      this.#stop.signal.throwIfAborted();
    }
  }

  /** @param {number} part */
  async #ask(part) {
    const more = this.#missing.filter((next) => !this.#addresses.has(next)).slice(0, ADDRESSES - 1);
    const body = { s3_key: this.kept.key, parts: [part, ...more] };
    const waits = (/** @type {number} */ wait) => this.told.trouble(wait ? { status: 0, wait } : null);
    const ask = (/** @type {AbortSignal} */ signal) => call("POST", "upload-parts", { body, signal });
    const { parts } = await insist(ask, { signal: this.#stop.signal, waits });
    for (const { part, upload_url } of parts) this.#addresses.set(part, upload_url);
  }

  /**
   * Sends one part; by XMLHttpRequest, since fetch does not tell how far it is.
   * @param {number} part
   * @param {string} url
   * @param {Blob} body
   * @returns {Promise<number>} the status, 0 when there was no answer
   */
  #put(part, url, body) {
    return new Promise((told) => {
      const request = new XMLHttpRequest();
      const signal = this.#stop.signal;
      const abort = () => request.abort();
      let timer = setTimeout(abort, STALLED);
      request.upload.onprogress = ({ loaded }) => {
        clearTimeout(timer);
        // Once all is sent, storage may take its time to answer.
        timer = setTimeout(abort, loaded < body.size ? STALLED : 4 * STALLED);
        this.#moving.set(part, loaded);
        this.told.moved();
      };
      request.onloadend = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        told(request.status);
      };
      signal.addEventListener("abort", abort);
      request.open("PUT", url);
      request.send(body);
    });
  }
}
