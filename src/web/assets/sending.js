// @ts-check
// The upload of this tab: from a picked file to a file at the service. What stops it is said, and it goes on from there.

import { Refused, wake } from "./api.js";
import * as memory from "./memory.js";
import { announce, notify } from "./notice.js";
import * as picker from "./picker.js";
import * as room from "./room.js";
import { FileChanged, StorageRefuses, Transfer } from "./transfer.js";
import { element, say, show, size, span, words } from "./words.js";

/** @typedef {import("./memory.js").Kept} Kept */
/**
 * @typedef {object} Upload
 * @property {string} name
 * @property {File} [file] absent when all of it had arrived before the page was loaded
 * @property {Kept} [kept] once the service knows of it
 * @property {Transfer} [transfer]
 * @property {"moving" | "stopped" | "done"} state
 * @property {AbortController} life
 */

const bar = /** @type {HTMLProgressElement} */ (element("bar"));
const progress = element("progress");
const trouble = element("trouble");
const again = element("again");
const title = document.title;

/** @type {Upload | null} */
let upload = null;
/** Whoever wants to know that it is done, and that it is not going on. */
const told = { done: () => {}, stopped: () => {} };

/** The upload of this tab, if there is one. */
export function current() {
  return upload;
}

/** @param {Partial<typeof told>} tell */
export function onEnd(tell) {
  Object.assign(told, tell);
}

/**
 * Sends a file.
 * @param {File} file
 * @param {Kept} [kept] what is known of it from before
 */
export async function begin(file, kept) {
  notify();
  upload?.life.abort();
  const mine = start(file.name, file);
  picker.display(file);
  announce(say("picked", { name: file.name }));
  await attempt(mine, async (patience) => {
    /** @type {number[]} */
    let done = [];
    if (kept) {
      if (!(await memory.take(kept.key))) throw new Refused("elsewhere", say("elsewhere", { name: file.name }));
      const found = await room.arrived(kept, patience);
      if (found === "gone") kept = undefined;
      else if (found === "all") return finished(mine, kept);
      else done = found;
    }
    mine.kept = kept ?? await room.make(file, patience);
    await send(mine, mine.kept, done, patience);
  });
}

/**
 * Shows a file that had arrived before the page was loaded.
 * @param {Kept} kept
 */
export function have(kept) {
  const mine = start(kept.name);
  picker.displayKept(kept.name, kept.size);
  finished(mine, kept);
}

/**
 * Shows an upload and makes it the one of this tab.
 * @param {string} name
 * @param {File} [file]
 * @returns {Upload}
 */
function start(name, file) {
  upload = { name, file, state: "moving", life: new AbortController() };
  element("picker").hidden = true;
  element("chosen").hidden = false;
  element("drop-file").textContent = words.drop_file;
  bar.hidden = false;
  bar.value = 0;
  show(progress, say("preparing"));
  return upload;
}

/**
 * @param {Upload} mine
 * @param {Kept} kept
 * @param {number[]} done
 * @param {import("./api.js").Patience} patience
 */
async function send(mine, kept, done, patience) {
  if (!mine.file) return;
  const transfer = new Transfer(mine.file, kept, done, {
    moved: paint,
    trouble: (met) => {
      // A part may still end well while the rest cannot move.
      if (met || navigator.onLine) hold(met && (met.status >= 500 ? say("storage_trouble", { wait: span(met.wait) }) : say("offline")));
    },
  });
  mine.transfer = transfer;
  mine.life.signal.addEventListener("abort", () => transfer.cancel());
  await transfer.run();
  show(progress, say("finishing"));
  await room.fill(kept, patience);
  finished(mine, kept);
}

/**
 * @param {Upload} mine
 * @param {Kept} kept
 */
function finished(mine, kept) {
  Object.assign(mine, { kept, state: "done" });
  bar.hidden = true;
  hold(null);
  show(progress, say("uploaded", { size: size(kept.size) }));
  element("drop-file").textContent = words.drop_done;
  document.title = title;
  announce(say("uploaded", { size: size(kept.size) }));
  told.done();
}

/**
 * Does a stretch of an upload; what stops it is said, and can be tried again.
 * @param {Upload} mine
 * @param {(patience: import("./api.js").Patience) => Promise<void>} act
 */
async function attempt(mine, act) {
  mine.state = "moving";
  hold(null);
  const { signal } = mine.life;
  try {
    await act({ signal, waits: (wait) => hold(wait ? say("service_waits", { wait: span(wait) }) : null) });
  } catch (error) {
    if (signal.aborted) return;
    mine.state = "stopped";
    document.title = title;
    hold(reason(error));
    told.stopped();
    if (error instanceof FileChanged || (error instanceof Refused && !["session_ended", "elsewhere"].includes(error.code))) {
      // Trying the same again does not help: another file may.
      again.hidden = true;
      element("picker").hidden = false;
    }
  }
}

/**
 * Says why it stands still, with a button to try again; `null` when it moves.
 * @param {string | null} why
 */
function hold(why) {
  if (why) paint(false);
  again.hidden = !why;
  show(trouble, why ?? "");
}

/** @param {unknown} error */
export function reason(error) {
  // Storage takes parts of any size that it hands out addresses for, so a limit is a proxy's.
  if (error instanceof StorageRefuses && error.status === 413) return say("proxy_refuses");
  if (error instanceof StorageRefuses) return say("storage_refuses", { status: error.status });
  if (error instanceof FileChanged) return say("file_changed");
  return error instanceof Refused ? error.message : say("fault");
}

let painted = 0;

/**
 * Says how far the upload is, a few times a second.
 * @param {boolean} [moving] false when it stands still, which has no speed
 */
function paint(moving = true) {
  const now = performance.now();
  if ((moving && now - painted < 250) || upload?.state !== "moving" || !upload.transfer || !upload.kept) return;
  painted = now;
  const { done, speed } = upload.transfer;
  const total = upload.kept.size;
  const percent = Math.floor((done / total) * 100);
  bar.value = percent;
  document.title = `${percent} % · ${title}`;
  const values = { done: size(done), total: size(total), percent };
  const pace = { speed: size(speed), left: span((total - done) / speed) };
  show(progress, moving && speed > 0 ? say("progress_speed", { ...values, ...pace }) : say("progress", values));
}

again.addEventListener("click", () => {
  if (upload?.state === "moving") wake();
  else if (upload?.file) begin(upload.file, upload.kept);
});

element("drop-file").addEventListener("click", () => {
  const kept = upload?.kept;
  upload?.life.abort();
  if (kept) room.discard(kept);
  told.stopped();
  upload = null;
  document.title = title;
  picker.clear();
  picker.complain();
  show(trouble);
  element("picker").hidden = false;
  element("chosen").hidden = true;
  announce(say("cancelled"));
  element("input").focus();
});

window.addEventListener("offline", () => {
  if (upload?.state === "moving") hold(say("offline"));
});
window.addEventListener("online", () => {
  if (upload?.state !== "moving") return;
  hold(null);
  announce(say("back"));
});
window.addEventListener("beforeunload", (event) => {
  if (upload?.state === "moving") event.preventDefault();
});
