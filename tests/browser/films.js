// Videos of any size: the sample with padding after it (a `free` box, ISO 14496-12 section 8.1.2).

import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { OUT } from "./browser.js";

const SAMPLE = readFileSync(new URL("../../assets/sample.mp4", import.meta.url));

/** Writes a valid video of this many bytes, and returns its path and SHA-256. */
export function film(name, bytes) {
  const path = `${OUT}${name}`;
  const hash = createHash("sha256");
  const file = openSync(path, "w");
  const put = (piece) => {
    hash.update(piece);
    writeSync(file, piece);
  };
  put(SAMPLE);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(bytes - SAMPLE.length);
  head.write("free", 4);
  put(head);
  // No two parts alike, so that one in the wrong place is seen.
  const block = Buffer.alloc(1 << 20);
  for (let left = bytes - SAMPLE.length - 8, turn = 0; left > 0; left -= block.length, turn++) {
    for (let at = 0; at < block.length; at += 4) block.writeUInt32LE((at ^ (turn * 2654435761)) >>> 0, at);
    put(block.subarray(0, Math.min(left, block.length)));
  }
  closeSync(file);
  return { path, name, bytes, sha256: hash.digest("hex") };
}

/** A file that is no video, whatever its name says. */
export function lie(name, text) {
  writeFileSync(`${OUT}${name}`, text);
  return `${OUT}${name}`;
}

/** A file that claims a size and takes no room. */
export function hollow(name, bytes) {
  const file = openSync(`${OUT}${name}`, "w");
  ftruncateSync(file, bytes);
  closeSync(file);
  return `${OUT}${name}`;
}
