// @ts-check
// Picks a video: by the button, by dropping it anywhere, by pasting. Shows what it is.

import { element, length, say, show, size } from "./words.js";

const input = /** @type {HTMLInputElement} */ (element("input"));
const picked = element("picked");
const preview = /** @type {HTMLVideoElement} */ (element("preview"));
const facts = element("facts");
const limit = Number(element("app").dataset.max);

/** Endings of files that some systems give no type. */
const ENDINGS = /\.(mp4|m4v|mov|webm|mkv|avi|mpe?g|3gp|ts)$/i;

/** How PDF, ZIP, PNG, JPEG and GIF files begin. */
const NOT_VIDEO = [
  [0x25, 0x50, 0x44, 0x46],
  [0x50, 0x4b, 0x03, 0x04],
  [0x89, 0x50, 0x4e, 0x47],
  [0xff, 0xd8, 0xff],
  [0x47, 0x49, 0x46, 0x38],
];

/**
 * Why a file cannot be posted, as far as that shows from outside.
 * @param {File} file
 */
function fault(file) {
  const name = file.name;
  if (!file.type.startsWith("video/") && (file.type || !ENDINGS.test(name))) return say("not_video", { name });
  if (file.size === 0) return say("empty");
  if (file.size > limit) return say("too_large", { size: size(file.size), limit: size(limit) });
  return "";
}

/**
 * Whether a file named as a video holds text, a document or a picture: its first bytes tell, before gigabytes are sent.
 * @param {File} file
 */
async function isNoVideo(file) {
  let head;
  try {
    head = new Uint8Array(await file.slice(0, 1024).arrayBuffer());
  } catch {
    // Unreadable now: the upload will say why.
    return false;
  }
  const starts = (/** @type {number[]} */ bytes) => bytes.every((byte, at) => head[at] === byte);
  if (NOT_VIDEO.some(starts)) return true;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    return !/[\u0000-\u0008\u000e-\u001f\u007f]/.test(text);
  } catch {
    return false;
  }
}

/**
 * Says something under the place to pick.
 * @param {string} [text]
 */
export function complain(text) {
  show(picked, text);
}

/** Opens the browser's own choice of files. */
export function browse() {
  input.click();
}

/**
 * Calls `take` with each video that the person picks.
 * @param {(file: File) => void} take
 */
export function onPick(take) {
  /** @param {FileList | undefined | null} files */
  const pick = async (files) => {
    const [file, ...more] = files ?? [];
    if (!file) return;
    let problem = fault(file);
    if (!problem && await isNoVideo(file)) problem = say("not_video", { name: file.name });
    complain(problem || (more.length ? say("one_at_a_time", { name: file.name }) : ""));
    if (!problem) take(file);
  };
  input.addEventListener("change", () => {
    pick(input.files);
    // So that picking the same file again counts.
    input.value = "";
  });
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    pick(event.clipboardData.files);
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dragging");
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    pick(event.dataTransfer.files);
  });
}

/**
 * Shows a file, as far as this browser can.
 * @param {File} file
 */
export function display(file) {
  clear();
  const values = { name: file.name, size: size(file.size) };
  facts.textContent = say("facts", values);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  preview.onloadedmetadata = () => {
    if (!preview.videoWidth) return;
    const seen = { length: length(preview.duration), width: preview.videoWidth, height: preview.videoHeight };
    facts.textContent = say("facts_seen", { ...values, ...seen });
  };
  preview.onerror = () => {
    preview.hidden = true;
    facts.textContent = `${say("facts", values)}. ${say("no_preview")}`;
  };
}

/**
 * Shows a file that is uploaded already, without the file.
 * @param {string} name
 * @param {number} bytes
 */
export function displayKept(name, bytes) {
  clear();
  preview.hidden = true;
  facts.textContent = say("facts", { name, size: size(bytes) });
}

/** Shows nothing any more. */
export function clear() {
  preview.onerror = null;
  preview.onloadedmetadata = null;
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.removeAttribute("src");
  preview.load();
}
