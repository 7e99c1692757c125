// @ts-check
// Something to decide, above everything else.

import { element } from "./words.js";

const notice = element("resume");

/**
 * Shows it, or takes it away.
 * @param {string} [text]
 * @param {{ label: string, act: () => void }[]} [choices]
 */
export function notify(text = "", choices = []) {
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

/** @param {string} text said aloud, and not shown */
export function announce(text) {
  element("say").textContent = text;
}
