// Fragments that are fetched again when what they show changed. One request at a time is under way into a fragment,
// its own or a form's, and what was asked for last is what is shown: a form overtakes a refresh, for the refresh has
// the address of before; what changes meanwhile is fetched afterwards, at the address that the form led to.

const DEFAULT_EVERY_MS = 1000;
// A hub that is started anew has some peace, and one that struggles has more each time it is asked in vain.
const AGAIN_MS = 3000;
const AGAIN_AT_MOST_MS = 30_000;
const states = new WeakMap();
const targets = new WeakMap();

function stateOf(fragment) {
  const found = states.get(fragment) ?? { running: null, changed: false, unanswered: null, failures: 0, next: 0, timer: 0 };
  states.set(fragment, found);
  return found;
}

function refresh(fragment) {
  const state = stateOf(fragment);
  state.changed = true;
  if (!state.running) schedule(fragment, state);
}

function schedule(fragment, state) {
  if (state.timer) return;
  state.timer = setTimeout(() => {
    state.timer = 0;
    if (state.running || !fragment.isConnected) return;
    // What a form asked for in vain is asked again, not what was shown before it.
    const form = state.unanswered;
    if (form?.matches(":valid")) window.htmx.trigger(form, "submit", {}, false);
    else window.htmx.trigger(fragment, "refresh", {}, false);
  }, Math.max(0, state.next - performance.now()));
}

function began(ctx) {
  const fragment = ctx.target;
  if (!fragment?.matches?.("[data-live]")) return;
  const state = stateOf(fragment);
  state.running?.request.abort();
  Object.assign(state, { running: ctx, changed: false, next: performance.now() + every(fragment) });
  targets.set(ctx, fragment);
}

function ended(ctx) {
  const fragment = targets.get(ctx);
  const state = fragment && states.get(fragment);
  // Whatever overtook it answers for it, too.
  if (state?.running !== ctx) return;
  state.running = null;
  const status = ctx.response?.status ?? 0;
  const failed = !status || status >= 500;
  state.unanswered = failed && ctx.sourceElement !== fragment ? ctx.sourceElement : null;
  state.failures = failed ? state.failures + 1 : 0;
  if (failed) state.next = performance.now() + Math.max(every(fragment), peace(state.failures));
  if (failed || state.changed) schedule(fragment, state);
}

// By chance some longer: all pages lose a hub in the same moment, and would come back to it in one.
function peace(failures) {
  return Math.min(AGAIN_MS * 2 ** (failures - 1), AGAIN_AT_MOST_MS) * (1 + Math.random() / 2);
}

function every(fragment) {
  return Number(fragment.dataset.every ?? DEFAULT_EVERY_MS);
}

function concerns(fragment, changed) {
  return fragment.dataset.live.split(" ").some((subject) => changed.has(subject));
}

export function startLive() {
  document.addEventListener("changed", (event) => {
    const changed = new Set(JSON.parse(event.detail.data));
    for (const fragment of document.querySelectorAll("[data-live]")) {
      if (concerns(fragment, changed)) refresh(fragment);
    }
  });
  document.addEventListener("htmx:before:request", (event) => began(event.detail.ctx));
  document.addEventListener("htmx:finally:request", (event) => ended(event.detail.ctx));
}
