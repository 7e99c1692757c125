// @ts-check
// The upload page: from a picked file to a post. The upload begins when the file is picked, the post is made when its
// person says so, and whatever stops in between goes on from there.

import { call, insist, Refused } from "./api.js";
import * as caption from "./caption.js";
import * as memory from "./memory.js";
import * as picker from "./picker.js";
import { watch } from "./status.js";
import { FileChanged, StorageRefuses, Transfer } from "./transfer.js";
import { element, say, show, size, span, words } from "./words.js";

/** @typedef {import("./memory.js").Kept} Kept */
/**
 * The upload of this tab.
 * @typedef {object} Upload
 * @property {string} name
 * @property {File} [file] absent when all of it had arrived before the page was loaded
 * @property {Kept} [kept] once the service knows of it
 * @property {Transfer} [transfer]
 * @property {"moving" | "stopped" | "done"} state
 * @property {AbortController} life
 */

const form = /** @type {HTMLFormElement} */ (element("compose"));
const fields = /** @type {HTMLFieldSetElement} */ (element("fields"));
const post = /** @type {HTMLButtonElement} */ (element("post"));
const unpost = element("unpost");
const hint = element("post-hint");
const refused = element("refused");
const bar = /** @type {HTMLProgressElement} */ (element("bar"));
const progress = element("progress");
const trouble = element("trouble");
const again = element("again");
const notice = element("resume");
const title = document.title;

/** @type {Upload | null} */
let upload = null;
/** @type {Kept | undefined} an upload of an earlier visit that waits for its file */
let offered;
/** Post was pressed, and waits for the upload. */
let wanted = false;
/** Post was pressed, and the service is being asked. */
let asking = false;

/** @param {string} text said aloud, and not shown */
function announce(text) {
  element("say").textContent = text;
}

// ---- The file ----

/** @param {File} file */
function taken(file) {
  if (upload && upload.state !== "stopped") return picker.complain(say("busy", { name: upload.name }));
  const same = (/** @type {Kept} */ kept) =>
    kept.name === file.name && kept.size === file.size && kept.modified === file.lastModified;
  const kept = memory.uploads().find(same);
  if (kept || !offered) return void begin(file, kept);
  const { name } = offered;
  notify(say("resume_other", { name, other: file.name }), [
    { label: say("resume_pick", { name }), act: picker.browse },
    { label: say("resume_new", { other: file.name }), act: () => begin(file) },
  ]);
}

/**
 * @param {File} file
 * @param {Kept} [kept] what is known of it from before
 */
async function begin(file, kept) {
  notify();
  offered = undefined;
  upload?.life.abort();
  const mine = start(file.name, file);
  picker.display(file);
  announce(say("picked", { name: file.name }));
  await attempt(mine, async (signal) => {
    /** @type {number[]} */
    let done = [];
    if (kept) {
      if (!(await memory.take(kept.key))) throw new Refused("elsewhere", say("elsewhere", { name: file.name }));
      const found = await arrived(kept, signal);
      if (found === "gone") kept = undefined;
      else if (found === "all") return finished(mine, kept);
      else done = found;
    }
    mine.kept = kept ?? await room(file, signal);
    await send(mine, mine.kept, done);
  });
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
 * Asks the service to make room.
 * @param {File} file
 * @param {AbortSignal} signal
 * @returns {Promise<Kept>}
 */
async function room(file, signal) {
  const body = {
    filename: file.name,
    content_type: file.type || "application/octet-stream",
    size: file.size,
    multipart: true,
  };
  const answer = await insist(() => call("POST", "upload-url", { body, signal }), signal);
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
 * The parts of an upload that have arrived.
 * @param {Kept} kept
 * @param {AbortSignal} signal
 * @returns {Promise<number[] | "all" | "gone">}
 */
async function arrived(kept, signal) {
  const key = { s3_key: kept.key };
  try {
    await insist(() => call("POST", "upload-complete", { body: key, signal }), signal);
    return "all";
  } catch (error) {
    // That parts are missing is what was to be found out.
    if (!(error instanceof Refused) || error.code === "session_ended") throw error;
  }
  try {
    const { done } = await insist(() => call("GET", `upload-parts?${new URLSearchParams(key)}`, { signal }), signal);
    return done.map((/** @type {{ part: number }} */ { part }) => part);
  } catch (error) {
    if (!(error instanceof Refused) || error.code === "session_ended") throw error;
    memory.release(kept.key);
    memory.forget(kept.key);
    return "gone";
  }
}

/**
 * @param {Upload} mine
 * @param {Kept} kept
 * @param {number[]} done
 */
async function send(mine, kept, done) {
  if (!mine.file) return;
  const transfer = new Transfer(mine.file, kept, done, {
    moved: paint,
    trouble: (met) => {
      // A part may still end well while the rest cannot move.
      if (!met && !navigator.onLine) return;
      again.hidden = !met;
      if (!met) return show(trouble);
      paint(false);
      const wait = span(met.wait);
      show(trouble, met.status >= 500 ? say("storage_trouble", { wait }) : say("offline"));
    },
  });
  mine.transfer = transfer;
  mine.life.signal.addEventListener("abort", () => transfer.cancel());
  await transfer.run();
  show(progress, say("finishing"));
  const { signal } = mine.life;
  await insist(() => call("POST", "upload-complete", { body: { s3_key: kept.key }, signal }), signal);
  finished(mine, kept);
}

/**
 * @param {Upload} mine
 * @param {Kept} kept
 */
function finished(mine, kept) {
  Object.assign(mine, { kept, state: "done" });
  bar.hidden = true;
  again.hidden = true;
  show(trouble);
  show(progress, say("uploaded", { size: size(kept.size) }));
  element("drop-file").textContent = words.drop_done;
  document.title = title;
  announce(say("uploaded", { size: size(kept.size) }));
  if (wanted) publish();
}

/**
 * Does a stretch of an upload; what stops it is said, and can be tried again.
 * @param {Upload} mine
 * @param {(signal: AbortSignal) => Promise<void>} act
 */
async function attempt(mine, act) {
  mine.state = "moving";
  again.hidden = true;
  show(trouble);
  try {
    await act(mine.life.signal);
  } catch (error) {
    if (mine.life.signal.aborted) return;
    paint(false);
    mine.state = "stopped";
    document.title = title;
    again.hidden = false;
    show(trouble, reason(error));
    if (wanted) compose();
    if (error instanceof FileChanged || (error instanceof Refused && !["session_ended", "elsewhere"].includes(error.code))) {
      // Trying the same again does not help: another file may.
      again.hidden = true;
      element("picker").hidden = false;
    }
  }
}

/** @param {unknown} error */
function reason(error) {
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
  if (!upload) return;
  if (upload.state === "moving") return upload.transfer?.wake();
  if (upload.file) begin(upload.file, upload.kept);
});

element("drop-file").addEventListener("click", () => {
  const kept = upload?.kept;
  upload?.life.abort();
  if (kept) discard(kept);
  if (wanted) compose();
  reset();
  announce(say("cancelled"));
  element("input").focus();
});

/** @param {Kept} kept */
function discard(kept) {
  memory.release(kept.key);
  memory.forget(kept.key);
  // What cannot be deleted now is deleted when its time is over.
  call("DELETE", `upload?${new URLSearchParams({ s3_key: kept.key })}`).catch(() => {});
}

/** Shows the place to pick again. */
function reset() {
  upload = null;
  document.title = title;
  picker.clear();
  picker.complain();
  show(trouble);
  element("picker").hidden = false;
  element("chosen").hidden = true;
}

window.addEventListener("offline", () => {
  if (upload?.state !== "moving") return;
  paint(false);
  again.hidden = false;
  show(trouble, say("offline"));
});
window.addEventListener("online", () => {
  if (upload?.state !== "moving") return;
  again.hidden = true;
  show(trouble);
  announce(say("back"));
  upload.transfer?.wake();
});
window.addEventListener("beforeunload", (event) => {
  if (upload?.state === "moving" || asking) event.preventDefault();
});

// ---- The post ----

/** @param {string} name */
const field = (name) => /** @type {any} */ (form.elements.namedItem(name));

/** @returns {HTMLInputElement[]} */
function accounts() {
  return [...form.querySelectorAll("[name=account]")].map((one) => /** @type {HTMLInputElement} */ (one));
}

/** What is to be posted, as the service wants it. */
function request() {
  const ticked = (/** @type {string} */ name) => field(name).checked;
  const sensitive = {
    adult_content: ticked("adult_content"),
    graphic_violence: ticked("graphic_violence"),
    other: ticked("other"),
  };
  return {
    s3_key: upload?.kept?.key,
    caption: field("caption").value,
    account_ids: accounts().filter((one) => one.checked).map((one) => one.value),
    options: {
      ...(field("replies").value && { replies: field("replies").value }),
      ...(field("alt_text").value.trim() && { alt_text: field("alt_text").value.trim() }),
      sensitive,
      made_with_ai: ticked("made_with_ai"),
      paid_partnership: ticked("paid_partnership"),
    },
  };
}

function label() {
  const chosen = accounts().find((one) => one.checked);
  post.textContent = chosen ? say("post_to", { name: chosen.dataset.name ?? "" }) : say("post");
}

/** Back to writing. */
function compose() {
  wanted = false;
  fields.disabled = false;
  post.disabled = false;
  unpost.hidden = true;
  show(hint);
  label();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  show(refused);
  if (!upload) {
    show(refused, say("pick_first"));
    return element("input").focus();
  }
  if (!accounts().some((one) => one.checked)) {
    show(refused, say("no_account"));
    return accounts()[0]?.focus();
  }
  if (await caption.check()) return element("caption").focus();
  wanted = true;
  fields.disabled = true;
  post.disabled = true;
  if (upload.state === "done") return publish();
  post.textContent = say("will_post");
  show(hint, say("when_done"));
  unpost.hidden = false;
  unpost.focus();
});
unpost.addEventListener("click", () => {
  compose();
  post.focus();
});

/** Hands the post over. The same request twice is one post. */
async function publish() {
  if (!upload?.kept || asking) return;
  const { kept, life } = upload;
  asking = true;
  unpost.hidden = true;
  show(hint);
  post.textContent = say("posting");
  try {
    const body = JSON.stringify(request());
    if (kept.asked?.body !== body) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      kept.asked = { body, id: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
      memory.keep(kept);
    }
    await handOver(kept, life.signal);
  } catch (error) {
    if (life.signal.aborted) return;
    compose();
    show(refused, reason(error));
  } finally {
    asking = false;
  }
}

/**
 * @param {Kept} kept
 * @param {AbortSignal} signal
 */
async function handOver(kept, signal) {
  const { body = "{}", id = "" } = kept.asked ?? {};
  const ask = () => call("POST", "post", { body: JSON.parse(body), headers: { "idempotency-key": id }, signal });
  const { request_id } = await insist(ask, signal);
  memory.keepRequest(request_id);
  memory.keepDraft(undefined);
  memory.release(kept.key);
  memory.forget(kept.key);
  asking = false;
  result(request_id);
  element("result-title").focus();
}

/** @param {string} id */
function result(id) {
  upload = null;
  element("file").hidden = true;
  form.hidden = true;
  element("result").hidden = false;
  show(element("sent"), say("sent"));
  watch(id);
}

element("another").addEventListener("click", () => {
  memory.keepRequest(undefined);
  location.reload();
});

// ---- What was begun before ----

/** @param {Record<string, any>} draft */
function restore(draft) {
  for (const [name, value] of Object.entries(draft)) {
    const control = field(name);
    if (!control) continue;
    if (control.type === "checkbox") control.checked = value;
    else control.value = value;
  }
  const chosen = accounts().find((one) => one.value === draft.account);
  if (chosen) chosen.checked = true;
  if (draft.options) /** @type {HTMLDetailsElement} */ (element("options")).open = true;
}

form.addEventListener("input", () => {
  /** @type {Record<string, any>} */
  const draft = { account: accounts().find((one) => one.checked)?.value };
  for (const name of ["caption", "replies", "alt_text"]) draft[name] = field(name).value;
  for (const box of form.querySelectorAll("#options [type=checkbox]")) {
    const { name, checked } = /** @type {HTMLInputElement} */ (box);
    draft[name] = checked;
  }
  draft.options = /** @type {HTMLDetailsElement} */ (element("options")).open;
  memory.keepDraft(draft);
  label();
});
element("accounts").addEventListener("change", caption.recount);

/**
 * Something to decide, above everything else.
 * @param {string} [text]
 * @param {{ label: string, act: () => void }[]} [choices]
 */
function notify(text = "", choices = []) {
  const sentence = document.createElement("p");
  sentence.textContent = text;
  const buttons = document.createElement("div");
  buttons.className = "acts";
  for (const { label, act } of choices) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: label });
    button.addEventListener("click", act);
    buttons.append(button);
  }
  notice.replaceChildren(...(text ? [sentence, buttons] : []));
  notice.hidden = text === "";
}

/** @param {Kept} kept */
function giveUp(kept) {
  offered = undefined;
  discard(kept);
  notify();
  element("input").focus();
}

/** Goes on with an upload of an earlier visit. */
async function resume() {
  const signal = new AbortController().signal;
  for (const kept of memory.uploads()) {
    const { name } = kept;
    if (!(await memory.take(kept.key))) {
      notify(say("elsewhere", { name }));
      continue;
    }
    if (kept.asked) {
      // Post was pressed, and the answer did not arrive.
      const asked = await handOver(kept, signal).then(() => true, () => false);
      if (asked) return;
    }
    const found = await arrived(kept, signal);
    if (upload) return;
    if (found === "all") {
      const mine = start(name);
      picker.displayKept(name, kept.size);
      return finished(mine, kept);
    }
    memory.release(kept.key);
    if (found === "gone") {
      notify(say("gone", { name }));
      continue;
    }
    offered = kept;
    const done = size(Math.min(found.length * kept.partBytes, kept.size));
    return notify(`${say("resume", { name, size: size(kept.size), done })} ${say("resume_how")}`, [
      { label: say("resume_pick", { name }), act: picker.browse },
      { label: say("resume_drop"), act: () => giveUp(kept) },
    ]);
  }
}

element("needs-script").remove();
element("app").hidden = accounts().length === 0;
restore(memory.draft());
label();
caption.recount();
picker.onPick(taken);
const shown = memory.request();
if (shown) result(shown);
else resume().catch((error) => notify(reason(error)));
