// @ts-check
// The caption: how long it is and what it costs, as the service counts.

import { call } from "./api.js";
import { element, say, show } from "./words.js";

const caption = /** @type {HTMLTextAreaElement} */ (element("caption"));
const counter = element("counter");
const price = element("price");
const problem = element("caption-problem");

/** How long to wait for the next letter, in milliseconds. */
const SETTLE = 250;

let timer = 0;
let asking = new AbortController();
/** Why the text cannot be posted; empty when it can, or when nobody said so yet. */
let fault = "";

async function count() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  /** @type {HTMLInputElement[]} */
  const chosen = [...document.querySelectorAll("[name=account]:checked")].map((one) => /** @type {any} */ (one));
  // The same text goes to all of them, so the account that may post the least decides.
  const [account] = chosen.sort((a, b) => Number(a.dataset.limit) - Number(b.dataset.limit)).map(({ value }) => value);
  try {
    const body = { text: caption.value, ...(account && { account_id: account }) };
    const counted = await call("POST", "caption", { body, signal });
    signal.throwIfAborted();
    const { length, limit, valid, reason } = counted;
    const over = length - limit;
    counter.textContent = over > 0 ? say("over", { length, limit, over }) : say("count", { length, limit });
    const posts = Math.max(1, chosen.length);
    const cost = Number(counted.price_usd) * posts;
    const sentence = `price${posts > 1 ? "_all" : ""}${counted.links ? "_link" : ""}`;
    price.textContent = say(sentence, { n: posts, price: `$${counted.links ? cost.toFixed(2) : Number(cost.toFixed(3))}` });
    fault = valid ? "" : over > 0 ? say("caption_over", { over }) : reason ?? "";
    counter.classList.toggle("over", over > 0);
    caption.setAttribute("aria-invalid", String(!valid));
    // What is said aloud is said once, not with every letter.
    if (valid) show(problem);
    else if (over <= 0 || problem.hidden) show(problem, fault);
  } catch {
    // Overtaken by the next letter, or out of reach: the service counts again when the post is made.
  }
}

/** Counts again soon. */
export function recount() {
  clearTimeout(timer);
  timer = setTimeout(count, SETTLE);
}

/** Counts now, and says why the text cannot be posted, if so. */
export async function check() {
  clearTimeout(timer);
  await count();
  if (fault) show(problem, fault);
  return fault;
}

caption.addEventListener("input", recount);
