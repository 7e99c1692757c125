// @ts-check
// How the posts of one request fare: told as it happens, asked for where that does not work.

import { call, events, pause, Refused } from "./api.js";
import { element, moment, say, show, size, words } from "./words.js";

const list = element("statuses");
const note = element("result-note");

/** Events that fail in a row before the page asks instead. */
const FAILURES = 3;
/** How often it asks then, in seconds. */
const POLL = 3;

let following = new AbortController();

/**
 * Shows how a request fares from now on.
 * @param {string} id
 */
export function watch(id) {
  following.abort();
  following = new AbortController();
  return follow(id, following.signal);
}

/**
 * Follows a request until all of its posts are over.
 * @param {string} id
 * @param {AbortSignal} signal
 */
async function follow(id, signal) {
  let failures = 0;
  let over = false;
  const path = `uploads/${encodeURIComponent(id)}`;
  const seen = (/** @type {any} */ status) => {
    render(status, id);
    show(note);
    over = status.over;
    // "You can close this page" is no news once everything is over.
    if (over) show(element("sent"));
  };
  while (!over && !signal.aborted) {
    try {
      if (failures < FAILURES) {
        for await (const event of events(`${path}/events`, signal)) {
          failures = 0;
          seen(JSON.parse(event));
          if (over) return;
        }
        // The service ends a stream now and then, as at its restart.
        failures += 1;
      }
      seen(await call("GET", path, { signal }));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && !error.passing) return show(note, error.message);
      failures += 1;
      show(note, say("not_live"));
    }
    if (!over) await pause(Math.min(POLL, failures), signal).catch(() => {});
  }
}

/**
 * @param {any} status
 * @param {string} id
 */
function render(status, id) {
  for (const post of status.accounts) {
    let item = /** @type {HTMLElement | null} */ (list.querySelector(`[data-post="${CSS.escape(post.post_id)}"]`));
    if (!item) {
      item = document.createElement("li");
      item.className = "card";
      item.dataset.post = post.post_id;
      const title = document.createElement("p");
      const name = document.createElement("b");
      name.textContent = say("to", { name: `@${post.username}` });
      title.append(name);
      const state = document.createElement("p");
      state.className = "state";
      // Only the sentence is said aloud, when it changes; the numbers are not.
      state.setAttribute("role", "status");
      const bar = document.createElement("progress");
      bar.max = 100;
      bar.setAttribute("aria-label", name.textContent ?? "");
      const far = document.createElement("p");
      far.className = "far quiet";
      const acts = document.createElement("div");
      acts.className = "acts";
      item.append(title, state, bar, far, acts);
      list.append(item);
    }
    // A post that was over may not be any more.
    update(item, post, () => watch(id));
  }
}

/**
 * @param {HTMLElement} item
 * @param {any} post
 * @param {() => void} acted
 */
function update(item, post, acted) {
  const state = /** @type {HTMLElement} */ (item.querySelector(".state"));
  const bar = /** @type {HTMLProgressElement} */ (item.querySelector("progress"));
  const far = /** @type {HTMLElement} */ (item.querySelector(".far"));
  show(state, sentence(post));
  const percent = post.progress?.percent;
  const moving = !post.waiting && ["uploading", "processing"].includes(post.state) && percent != null;
  bar.hidden = !moving;
  if (moving) bar.value = percent;
  const { bytes_done: done, bytes } = post.progress ?? {};
  const sizes = post.state === "uploading" && bytes;
  const values = { done: size(done ?? 0), total: size(bytes ?? 0), percent };
  show(far, moving ? (sizes ? say("progress", values) : `${percent} %`) : "");
  const acts = /** @type {HTMLElement} */ (item.querySelector(".acts"));
  const wanted = buttons(post);
  const signature = JSON.stringify(wanted);
  // Left alone while it says the same, so that the focus stays.
  if (acts.dataset.shows === signature) return;
  acts.dataset.shows = signature;
  acts.replaceChildren(...wanted.map(({ label, href, path }) => {
    if (href) {
      const link = document.createElement("a");
      Object.assign(link, { href, textContent: label, className: "button primary", rel: "noreferrer" });
      return link;
    }
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: label });
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await call("POST", `posts/${encodeURIComponent(post.post_id)}/${path}`);
        acted();
      } catch (error) {
        show(note, error instanceof Error ? error.message : say("fault"));
        button.disabled = false;
      }
    });
    return button;
  }));
}

/** @param {any} post */
function sentence(post) {
  const waiting = post.waiting && words.waiting[post.waiting.reason];
  if (waiting) return say(waiting, { time: post.waiting.until ? moment(post.waiting.until) : "" });
  const text = say(words.states[post.state] ?? post.state);
  return post.state === "failed" && post.error ? `${text} ${post.error.message}` : text;
}

/**
 * What can be done about a post: the service says what, the words say how it is called.
 * @param {any} post
 * @returns {{ label: string, href?: string, path?: string }[]}
 */
function buttons(post) {
  const box = document.querySelector(`[name=account][value="${CSS.escape(post.account_id)}"]`);
  const profile = /** @type {HTMLElement | null} */ (box)?.dataset.profile;
  const open = post.link ? [{ label: say("open"), href: post.link }]
    : post.state === "needs_user" && profile ? [{ label: say("look"), href: profile }] : [];
  const labels = post.state === "needs_user" ? words.doubt : words.actions;
  return open.concat(post.actions.map((/** @type {string} */ path) => ({ label: labels[path] ?? path, path })));
}
