// An answer that brings a form's own fields anew is not shown when something was typed since it was asked for: that
// is asked for next, and no letter is lost.

const typed = new WeakMap();
const asked = new WeakMap();

export function startTyping() {
  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (form) typed.set(form, performance.now());
  });
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => asked.set(ctx, performance.now()));
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx, tasks } = event.detail;
    const form = ctx.sourceElement;
    const anew = tasks.some((task) => task.target === form);
    if (anew && form.matches("form") && typed.get(form) > asked.get(ctx)) event.preventDefault();
  });
}
