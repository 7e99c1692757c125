// @ts-check
// What the page says, and how it writes sizes and times. The sentences come with the page, from one place.

/** @type {Record<string, any>} */
export const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");

/**
 * A sentence with its values.
 * @param {string} sentence its name, or the sentence itself
 * @param {Record<string, string | number>} [values]
 */
export function say(sentence, values = {}) {
  const text = words[sentence] ?? sentence;
  return text.replace(/\{(\w+)\}/g, (/** @type {string} */ whole, /** @type {string} */ name) =>
    name in values ? String(values[name]) : whole);
}

/**
 * A size as people write it.
 * @param {number} bytes
 */
export function size(bytes) {
  if (bytes < 1e3) return `${bytes} bytes`;
  if (bytes < 1e6) return `${Math.floor(bytes / 1e3)} kB`;
  if (bytes < 1e7) return `${(bytes / 1e6).toFixed(1)} MB`;
  if (bytes < 1e9) return `${Math.floor(bytes / 1e6)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/**
 * The length of a video: 0:42, 1:02:03.
 * @param {number} seconds
 */
export function length(seconds) {
  const whole = Math.ceil(seconds);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/**
 * A stretch of time, roughly: 6 s, 3 min, 2 h.
 * @param {number} seconds
 */
export function span(seconds) {
  if (seconds < 90) return say("seconds", { n: Math.max(1, Math.ceil(seconds)) });
  if (seconds < 5400) return say("minutes", { n: Math.ceil(seconds / 60) });
  return say("hours", { n: Math.ceil(seconds / 3600) });
}

/**
 * A moment in the reader's own time.
 * @param {number | string | Date} at
 */
export function moment(at) {
  return new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/**
 * An element of this page.
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export function element(id) {
  return /** @type {T} */ (document.getElementById(id));
}

/**
 * Shows a sentence, or hides its place.
 * @param {HTMLElement} place
 * @param {string} [text]
 */
export function show(place, text = "") {
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}
