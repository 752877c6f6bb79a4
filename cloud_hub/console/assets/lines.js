// Numbers the lines of a text while it is typed, marks those with a fault, and leads from a fault to its place. Without
// it the numbers are those of the last answer.

function number(box) {
  const { lines: index, least } = box.dataset;
  const [gutter, text] = [box.querySelector(".gutter"), box.querySelector("textarea")];
  const faults = [...document.querySelectorAll(`[data-fault="${index}"]`)];
  const wrong = new Set(faults.map((fault) => Number(fault.dataset.line)));
  text.rows = Math.max(Number(least), text.value.split("\n").length);
  if (wrong.size) text.setAttribute("aria-invalid", "true");
  else text.removeAttribute("aria-invalid");
  const numbers = [];
  for (let line = 1; line <= text.rows; line += 1) {
    if (wrong.has(line)) {
      const mark = document.createElement("span");
      mark.className = "wrong";
      mark.id = `line-${index}-${line}`;
      mark.textContent = line;
      numbers.push(mark, "\n");
    } else numbers.push(`${line}\n`);
  }
  gutter.replaceChildren(...numbers);
}

function lead(fault) {
  const text = document.querySelector(`[data-lines="${fault.dataset.fault}"] textarea`);
  const [line, column] = [Number(fault.dataset.line), Number(fault.dataset.column)];
  const before = text.value.split("\n").slice(0, line - 1);
  const place = before.reduce((sum, one) => sum + one.length + 1, 0) + column - 1;
  document.getElementById(fault.hash.slice(1))?.scrollIntoView({ block: "center" });
  text.focus({ preventScroll: true });
  text.setSelectionRange(place, place);
}

export function startLines() {
  const all = () => document.querySelectorAll("[data-lines]").forEach(number);
  document.addEventListener("input", (event) => {
    const box = event.target.closest("[data-lines]");
    if (box) number(box);
  });
  document.addEventListener("change", (event) => {
    const chosen = event.target;
    if (!chosen.matches("[data-submits]")) return;
    // The hub would refuse so much unread, and with it what is typed.
    const bytes = [...chosen.files].reduce((sum, file) => sum + file.size, 0);
    const tooLarge = bytes > Number(chosen.dataset.mostBytes);
    document.getElementById("too-large").hidden = !tooLarge;
    if (tooLarge) chosen.value = "";
    if (chosen.value) chosen.form.requestSubmit();
  });
  document.addEventListener("click", (event) => {
    const fault = event.target.closest("[data-fault]");
    if (!fault) return;
    // Where an address leads, the focus goes, too.
    event.preventDefault();
    lead(fault);
  });
  document.addEventListener("htmx:after:swap", all);
  all();
}
