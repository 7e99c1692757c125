// @ts-check
// The upload page. The upload begins when the file is picked, the post is made when its person says so, and whatever
// stops in between goes on from there, in this visit or the next.

import * as form from "./form.js";
import * as memory from "./memory.js";
import { notify } from "./notice.js";
import * as picker from "./picker.js";
import { handOver, result } from "./publish.js";
import * as room from "./room.js";
import * as sending from "./sending.js";
import { element, say, size, span } from "./words.js";

/** @typedef {import("./memory.js").Kept} Kept */

/** @type {Kept | undefined} an upload of an earlier visit that waits for its file */
let offered;

/** @param {File} file */
function taken(file) {
  const upload = sending.current();
  if (upload && upload.state !== "stopped") return picker.complain(say("busy", { name: upload.name }));
  const same = (/** @type {Kept} */ kept) =>
    kept.name === file.name && kept.size === file.size && kept.modified === file.lastModified;
  const kept = memory.uploads().find(same);
  if (kept || !offered) return begin(file, kept);
  const { name } = offered;
  notify(say("resume_other", { name, other: file.name }), [
    { label: say("resume_pick", { name }), act: picker.browse },
    { label: say("resume_new", { other: file.name }), act: () => begin(file) },
  ]);
}

/**
 * @param {File} file
 * @param {Kept} [kept]
 */
function begin(file, kept) {
  offered = undefined;
  sending.begin(file, kept);
}

/** @param {Kept} kept */
function giveUp(kept) {
  offered = undefined;
  room.discard(kept);
  notify();
  element("input").focus();
}

/** Goes on with an upload of an earlier visit. */
async function resume() {
  const { signal } = new AbortController();
  const waits = (/** @type {number} */ wait) => notify(wait ? say("service_waits", { wait: span(wait) }) : "");
  for (const kept of memory.uploads()) {
    const { name } = kept;
    if (!(await memory.take(kept.key))) {
      notify(say("elsewhere", { name }));
      continue;
    }
    if (kept.asked) {
      // Post was pressed, and the answer did not arrive.
      const asked = await handOver(kept, signal, waits).then(() => true, () => false);
      if (asked) return;
    }
    const found = await room.arrived(kept, { signal, waits });
    if (sending.current()) return;
    if (found === "all") return sending.have(kept);
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
element("app").hidden = form.accounts().length === 0;
form.remember();
picker.onPick(taken);
const shown = memory.request();
if (shown) result(shown);
else resume().catch((error) => notify(sending.reason(error)));
