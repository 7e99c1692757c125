// @ts-check
// The form: what is to be posted, and where. What was written and chosen outlives a reload.

import * as caption from "./caption.js";
import * as memory from "./memory.js";
import { element, say, show } from "./words.js";

const form = /** @type {HTMLFormElement} */ (element("compose"));
const options = /** @type {HTMLDetailsElement} */ (element("options"));
const post = element("post");
const same = element("same");

/** Fields whose text is kept. */
const TEXTS = ["caption", "replies", "alt_text"];

/** @param {string} name */
const field = (name) => /** @type {any} */ (form.elements.namedItem(name));

/** @returns {HTMLInputElement[]} */
export function accounts() {
  return [...form.querySelectorAll("[name=account]")].map((one) => /** @type {HTMLInputElement} */ (one));
}

/** The accounts that are chosen. */
export function chosen() {
  return accounts().filter((one) => one.checked);
}

/**
 * What is to be posted, as the service wants it.
 * @param {string} key the upload
 */
export function request(key) {
  const ticked = (/** @type {string} */ name) => field(name).checked;
  return {
    s3_key: key,
    caption: field("caption").value,
    account_ids: chosen().map((one) => one.value),
    options: {
      ...(field("replies").value && { replies: field("replies").value }),
      ...(field("alt_text").value.trim() && { alt_text: field("alt_text").value.trim() }),
      sensitive: {
        adult_content: ticked("adult_content"),
        graphic_violence: ticked("graphic_violence"),
        other: ticked("other"),
      },
      made_with_ai: ticked("made_with_ai"),
      paid_partnership: ticked("paid_partnership"),
    },
  };
}

/** Says on the button where the post goes. */
export function label() {
  const to = chosen();
  show(same, to.length > 1 ? say("same_content") : "");
  post.textContent = to.length > 1 ? say("post_to_all", { n: to.length })
    : to.length ? say("post_to", { name: to[0].dataset.name ?? "" }) : say("post");
}

/** Takes up what was written before, and keeps what is written from now on. */
export function remember() {
  const draft = memory.draft();
  for (const name of TEXTS) field(name).value = draft[name] ?? field(name).value;
  for (const box of boxes()) box.checked = draft[box.name] ?? false;
  if (draft.accounts?.some((/** @type {string} */ id) => accounts().some((one) => one.value === id)))
    for (const one of accounts()) one.checked = draft.accounts.includes(one.value);
  options.open = draft.options ?? false;
  form.addEventListener("input", keep);
  element("accounts").addEventListener("change", caption.recount);
  label();
  caption.recount();
}

function keep() {
  /** @type {Record<string, any>} */
  const draft = { accounts: chosen().map((one) => one.value), options: options.open };
  for (const name of TEXTS) draft[name] = field(name).value;
  for (const box of boxes()) draft[box.name] = box.checked;
  memory.keepDraft(draft);
  label();
}

/** @returns {NodeListOf<HTMLInputElement>} */
function boxes() {
  return options.querySelectorAll("[type=checkbox]");
}
