// @ts-check
// What this browser remembers between two visits: uploads that are not posted yet, and a text begun.
// It is kept under the person, so that it is found again after a new link, and by nobody else who signs in here.

import { element } from "./words.js";

/**
 * An upload that was begun here.
 * @typedef {object} Kept
 * @property {string} key its name at the service
 * @property {string} name
 * @property {number} size
 * @property {number} modified
 * @property {number} partBytes
 * @property {number} parts
 * @property {number} expires Unix milliseconds
 * @property {{ body: string, id: string }} [asked] the request to post it, once made
 */

const place = `toall:${element("app").dataset.memory}`;

/** @returns {{ uploads: Record<string, Kept>, draft?: Record<string, any>, request?: string }} */
function all() {
  try {
    const kept = JSON.parse(localStorage.getItem(place) ?? "{}");
    return { ...kept, uploads: kept.uploads ?? {} };
  } catch {
    return { uploads: {} };
  }
}

/** @param {(kept: ReturnType<typeof all>) => void} edit */
function change(edit) {
  const kept = all();
  edit(kept);
  try {
    localStorage.setItem(place, JSON.stringify(kept));
  } catch {
    // A browser that keeps nothing: the upload works, and does not outlive a reload.
  }
}

/** Uploads begun here that the service may still have. */
export function uploads() {
  return Object.values(all().uploads).filter((kept) => kept.expires > Date.now());
}

/** @param {Kept} upload */
export function keep(upload) {
  change((kept) => {
    for (const [key, old] of Object.entries(kept.uploads)) if (old.expires <= Date.now()) delete kept.uploads[key];
    kept.uploads[upload.key] = upload;
  });
}

/** @param {string} key */
export function forget(key) {
  change((kept) => delete kept.uploads[key]);
}

/** What was written and chosen, though not posted. */
export function draft() {
  return all().draft ?? {};
}

/** @param {Record<string, any> | undefined} draft */
export function keepDraft(draft) {
  change((kept) => { kept.draft = draft; });
}

/** The post that this page showed last. */
export function request() {
  return all().request;
}

/** @param {string | undefined} id */
export function keepRequest(id) {
  change((kept) => { kept.request = id; });
}

/**
 * Takes an upload for this tab. False when another tab has it. Where the browser cannot tell, both may go on: a part
 * that is sent twice is the same part.
 * @param {string} key
 * @returns {Promise<boolean>}
 */
export function take(key) {
  if (!navigator.locks || held.has(key)) return Promise.resolve(true);
  return new Promise((taken) => {
    // The lock is held until the tab closes or `release` is called.
    navigator.locks.request(`${place}:${key}`, { ifAvailable: true }, (lock) => {
      taken(lock !== null);
      return lock && new Promise((done) => held.set(key, done));
    });
  });
}

/** @type {Map<string, (value?: unknown) => void>} */
const held = new Map();

/** @param {string} key */
export function release(key) {
  held.get(key)?.();
  held.delete(key);
}
