// Runs before the first paint, so that the chosen theme never flashes the other one.
const KEY = "vedette-theme";
const root = document.documentElement;

function chosen() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // Storage that is switched off only means that the choice does not last.
  }
}

function isDark() {
  return (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

const theme = chosen();
if (theme === "dark" || theme === "light") root.dataset.theme = theme;
root.classList.add("js");

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-toggle]")) return;
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem(KEY, root.dataset.theme);
  } catch {
    // As above.
  }
  document.dispatchEvent(new CustomEvent("theme"));
});
