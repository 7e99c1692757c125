// @ts-check
// Says times in the reader's own, and keeps the posts that are under way up to date.

const EVERY = 3000;

/** @param {ParentNode} within */
function localise(within) {
  for (const time of within.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

async function refresh() {
  const posts = document.getElementById("posts");
  if (!posts || !("moving" in posts.dataset)) return;
  try {
    const response = await fetch(location.pathname);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("posts");
    // Signed out meanwhile: what stands here is the last that was known.
    if (!response.ok || !fresh) return;
    localise(fresh);
    // Who is about to press something must not have it taken away.
    if (!posts.contains(document.activeElement) && fresh.innerHTML !== posts.innerHTML) posts.replaceWith(fresh);
  } catch {
    // Tried again below.
  }
  setTimeout(refresh, EVERY);
}

localise(document);
// A page that answers a form is not to be sent again by a reload.
const { base = "" } = /** @type {HTMLElement} */ (document.querySelector("[data-base]"))?.dataset ?? {};
history.replaceState(null, "", `${base}/accounts`);
setTimeout(refresh, EVERY);
