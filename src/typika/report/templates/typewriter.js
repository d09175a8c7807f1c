"use strict";
// Orders of letters and of lines, and boxes of characters by keyboard. The page is whole without.

for (const form of document.querySelectorAll("[data-sorts]")) {
  const list = document.getElementById(form.dataset.sorts);
  const select = form.querySelector("select");
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  select.addEventListener("change", () => {
    const rank = (item) => Number(item.dataset[select.value]);
    list.append(...[...list.children].sort((one, other) => rank(one) - rank(other)));
  });
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

function say(path) {
  const title = path.querySelector("title");
  path.closest(".line").querySelector(".said").textContent = title.textContent;
}

// One stop of the Tab key for a line; the arrow keys go from character to character.
// The div listens: an SVG that listens for the focus becomes a stop of its own in Chromium.
for (const svg of document.querySelectorAll(".drawn-line svg")) {
  const box = svg.parentElement;
  const paths = [...svg.querySelectorAll("path")];
  paths[0].tabIndex = 0;
  const stop = (path) => {
    for (const one of paths) one.tabIndex = one === path ? 0 : -1;
    say(path);
  };
  box.addEventListener("focusin", (event) => stop(event.target.closest("path")));
  box.addEventListener("mouseover", (event) => {
    const path = event.target.closest("path");
    if (path) say(path);
  });
  box.addEventListener("keydown", (event) => {
    const place = paths.indexOf(event.target);
    const aims = { Home: 0, End: paths.length - 1 };
    const aim = aims[event.key] ?? place + (STEPS[event.key] ?? 0);
    if (aim === place || place < 0 || !paths[aim]) return;
    event.preventDefault();
    paths[aim].focus({ preventScroll: false });
  });
}

function follow() {
  const path = document.getElementById(location.hash.slice(1));
  if (path?.matches(".drawn-line path")) path.focus();
}

window.addEventListener("hashchange", follow);
follow();
