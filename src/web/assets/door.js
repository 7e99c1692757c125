// @ts-check
// Presses Continue. What merely fetches the page, as chats do for a preview, runs no script.

const form = /** @type {HTMLFormElement} */ (document.getElementById("door"));
form.requestSubmit();
