// The stream only says what changed; whatever shows it is fetched again as a whole. Nothing is patched together
// here, so a lost or repeated event changes nothing.
import "./globals.js";
import "htmx.org/dist/ext/hx-sse.js";
import { startClock } from "./clock.js";
import { startLines } from "./lines.js";
import { startLive } from "./live.js";
import { startTyping } from "./typing.js";

function showConnection(state) {
  for (const sign of document.querySelectorAll("[data-connection]")) {
    sign.dataset.connection = state;
    sign.textContent = { live: "Live", lost: "Reconnecting" }[state];
  }
}

document.addEventListener("htmx:sse:after:connection", () => showConnection("live"));
document.addEventListener("htmx:sse:error", () => showConnection("lost"));
document.addEventListener("htmx:sse:close", () => showConnection("lost"));
window.addEventListener("offline", () => showConnection("lost"));

// A session that ended answers a fragment with 401: the page itself then leads to the login.
document.addEventListener("htmx:response:error", (event) => {
  if (event.detail.ctx?.response?.status === 401) location.reload();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  // Over plain HTTP there is no clipboard, but on the hub's own machine: the text is selected, and copied as ever.
  if (!navigator.clipboard) {
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    return;
  }
  navigator.clipboard.writeText(button.dataset.copy).then(() => {
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, 1500);
  });
});

startClock();
startLines();
startLive();
startTyping();
