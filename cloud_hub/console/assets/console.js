// The stream only says what changed; whatever shows it is fetched again as a whole. Nothing is patched together
// here, so a lost or repeated event changes nothing.
import "./globals.js";
import "htmx.org/dist/ext/hx-sse.js";
import { startClock } from "./clock.js";
import { startLines } from "./lines.js";

const DEFAULT_EVERY_MS = 1000;
const due = new WeakMap();

// Fragments that one event touches are fetched at most every `data-every` milliseconds, and never twice at a time.
function refresh(fragment) {
  const every = Number(fragment.dataset.every ?? DEFAULT_EVERY_MS);
  const state = due.get(fragment) ?? { last: 0, timer: 0 };
  due.set(fragment, state);
  if (state.timer) return;
  const wait = Math.max(0, state.last + every - performance.now());
  state.timer = setTimeout(() => {
    state.timer = 0;
    state.last = performance.now();
    if (fragment.isConnected) window.htmx.trigger(fragment, "refresh", {}, false);
  }, wait);
}

function concerns(fragment, changed) {
  return fragment.dataset.live.split(" ").some((subject) => changed.has(subject));
}

document.addEventListener("changed", (event) => {
  const changed = new Set(JSON.parse(event.detail.data));
  for (const fragment of document.querySelectorAll("[data-live]")) {
    if (concerns(fragment, changed)) refresh(fragment);
  }
});

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
  navigator.clipboard.writeText(button.dataset.copy).then(() => {
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, 1500);
  });
});

startClock();
startLines();
