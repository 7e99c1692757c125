// @ts-check
// Post was pressed: waits for the upload, hands the post over once, shows how it fares.

import { call, insist } from "./api.js";
import * as caption from "./caption.js";
import * as form from "./form.js";
import * as memory from "./memory.js";
import * as room from "./room.js";
import * as sending from "./sending.js";
import { watch } from "./status.js";
import { element, say, show, span } from "./words.js";

/** @typedef {import("./memory.js").Kept} Kept */

const compose = element("compose");
const fields = /** @type {HTMLFieldSetElement} */ (element("fields"));
const post = /** @type {HTMLButtonElement} */ (element("post"));
const unpost = element("unpost");
const hint = element("post-hint");
const refused = element("refused");

/** How often the service is asked before the page gives up by itself: about half a minute. */
const TRIES = 6;

/** Post was pressed, and waits for the upload or for the service. */
let wanted = false;
/** The service is being asked. */
let asking = false;

/** Back to writing. */
function write() {
  wanted = false;
  fields.disabled = false;
  post.disabled = false;
  unpost.hidden = true;
  show(hint);
  form.label();
}

compose.addEventListener("submit", async (event) => {
  event.preventDefault();
  show(refused);
  const upload = sending.current();
  if (!upload) {
    show(refused, say("pick_first"));
    return element("input").focus();
  }
  if (form.chosen().length === 0) {
    show(refused, say("no_account"));
    return form.accounts()[0]?.focus();
  }
  // Asked once more, it is the same post.
  if (!wanted && await caption.check()) return element("caption").focus();
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
  write();
  show(refused);
  post.focus();
});
sending.onEnd({
  done: () => { if (wanted) publish(); },
  stopped: () => { if (wanted) write(); },
});
window.addEventListener("beforeunload", (event) => {
  if (asking) event.preventDefault();
});

/** Hands the post of this tab's upload over. */
async function publish() {
  const upload = sending.current();
  if (!upload?.kept || asking) return;
  const { kept, life: { signal } } = upload;
  asking = true;
  unpost.hidden = true;
  show(hint);
  post.textContent = say("posting");
  try {
    await handOver(asked(kept), signal, (wait) => show(hint, wait ? say("service_waits", { wait: span(wait) }) : ""));
  } catch (error) {
    if (signal.aborted) return;
    refuse(error);
  } finally {
    asking = false;
  }
}

/** @param {any} error why the post was not taken, as far as is known */
function refuse(error) {
  if (!error.passing) {
    write();
    return show(refused, sending.reason(error));
  }
  // Nobody knows whether it was taken: the same request may be sent again, and another may not be.
  show(hint);
  show(refused, say("not_handed_over"));
  post.disabled = false;
  post.textContent = say("try_again");
  unpost.hidden = false;
  post.focus();
}

/**
 * The upload with the request to post it, under a name that makes repeating it safe.
 * @param {Kept} kept
 */
function asked(kept) {
  const body = JSON.stringify(form.request(kept.key));
  if (kept.asked?.body !== body) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    kept.asked = { body, id: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
    memory.keep(kept);
  }
  return kept;
}

/**
 * Asks for the post that an upload was to become. The same request twice is one post.
 * @param {Kept} kept
 * @param {AbortSignal} signal
 * @param {(wait: number) => void} [waits]
 */
export async function handOver(kept, signal, waits) {
  const { body = "{}", id = "" } = kept.asked ?? {};
  const headers = { "idempotency-key": id };
  const ask = () => call("POST", "post", { body: JSON.parse(body), headers, signal });
  const { request_id } = await insist(ask, { signal, tries: TRIES, waits });
  memory.keepRequest(request_id);
  memory.keepDraft(undefined);
  room.leave(kept);
  asking = false;
  result(request_id);
  element("title").focus();
}

/**
 * Shows how the posts of a request fare.
 * @param {string} id
 */
export function result(id) {
  element("file").hidden = true;
  compose.hidden = true;
  element("result").hidden = false;
  element("title").textContent = say("your_post");
  show(element("sent"), say("sent"));
  watch(id);
}

element("another").addEventListener("click", () => {
  memory.keepRequest(undefined);
  location.reload();
});
