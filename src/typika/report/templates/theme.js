"use strict";
/** The button that switches between light and dark; `redraw` follows whatever draws its own colours. */
function setUpTheme(redraw = () => {}) {
  // Some browsers forbid storage under file://; the choice then lasts as long as the page.
  const store = { get: () => { try { return localStorage.getItem("typika-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("typika-theme", value); } catch { /* see above */ } } };
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const saved = store.get();
  if (saved === "dark" || saved === "light") root.dataset.theme = saved;
  document.getElementById("theme").addEventListener("click", () => {
    const next = (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    store.set(next);
    redraw();
  });
  dark.addEventListener("change", redraw);
}
