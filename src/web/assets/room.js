// @ts-check
// Room for a file at the service: made, asked about, filled, given up.

import { call, insist, Refused } from "./api.js";
import * as memory from "./memory.js";

/** @typedef {import("./memory.js").Kept} Kept */
/** @typedef {import("./api.js").Patience} Patience */

/**
 * Makes room for a file, and takes it for this tab.
 * @param {File} file
 * @param {Patience} patience
 * @returns {Promise<Kept>}
 */
export async function make(file, patience) {
  const body = {
    filename: file.name,
    content_type: file.type || "application/octet-stream",
    size: file.size,
    multipart: true,
  };
  const answer = await insist((signal) => call("POST", "upload-url", { body, signal }), patience);
  const kept = {
    key: answer.s3_key,
    name: file.name,
    size: file.size,
    modified: file.lastModified,
    partBytes: answer.multipart.part_bytes,
    parts: answer.multipart.parts,
    expires: new Date(answer.expires_at).getTime(),
  };
  memory.keep(kept);
  await memory.take(kept.key);
  return kept;
}

/**
 * Makes one file of the parts that were sent.
 * @param {Kept} kept
 * @param {Patience} patience
 */
export async function fill(kept, patience) {
  await insist((signal) => call("POST", "upload-complete", { body: { s3_key: kept.key }, signal }), patience);
}

/**
 * The parts that have arrived.
 * @param {Kept} kept
 * @param {Patience} patience
 * @returns {Promise<number[] | "all" | "gone">}
 */
export async function arrived(kept, patience) {
  try {
    await fill(kept, patience);
    return "all";
  } catch (error) {
    // That parts are missing is what was to be found out.
    if (!answered(error)) throw error;
  }
  try {
    const path = `upload-parts?${new URLSearchParams({ s3_key: kept.key })}`;
    const { done } = await insist((signal) => call("GET", path, { signal }), patience);
    return done.map((/** @type {{ part: number }} */ { part }) => part);
  } catch (error) {
    if (!answered(error)) throw error;
    leave(kept);
    return "gone";
  }
}

/**
 * Whether the service has said no to this, and not to whoever asks.
 * @param {unknown} error
 */
function answered(error) {
  return error instanceof Refused && !error.passing && error.code !== "session_ended";
}

/**
 * Forgets it here.
 * @param {Kept} kept
 */
export function leave(kept) {
  memory.release(kept.key);
  memory.forget(kept.key);
}

/**
 * Gives it up, with what was sent.
 * @param {Kept} kept
 */
export function discard(kept) {
  leave(kept);
  // What cannot be deleted now is deleted when its time is over.
  call("DELETE", `upload?${new URLSearchParams({ s3_key: kept.key })}`).catch(() => {});
}
