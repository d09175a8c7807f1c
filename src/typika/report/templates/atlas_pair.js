// The two chosen letters: beside each other, together, and what they rest on.

const slots = [null, null]; // { grouping, group, letter }
const blink = { timer: null, shown: 0, inks: null };
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
const FAINT = 0.25; // of full contrast, for what stands beside an instance
const BLINK = 700; // milliseconds that each is seen

const aim = () => Number(document.querySelector("input[name=aim]:checked").value);
const setAim = (n) => { document.querySelector(`input[name=aim][value="${n}"]`).checked = true; };
const modeNow = () => document.querySelector("input[name=mode]:checked").value;

/** A cell of the table becomes the first or the second; after the first the second is due. */
function choose({ letter, group }, slot = aim()) {
  slots[slot] = { grouping: matrix.grouping, group, letter };
  if (slot === 0) setAim(1);
  chosen();
}

function letGo() {
  slots.fill(null);
  setAim(0);
  chosen();
}

function chosen() {
  markChosen();
  showPair();
  showEvidence();
}

async function showPair() {
  await Promise.all(slots.map(showSlot));
  await showTogether();
}

function boxOf(n) {
  return document.querySelector(`.slot[data-slot="${n}"]`);
}

async function showSlot(slot, n) {
  const box = boxOf(n);
  const canvas = box.querySelector("canvas");
  box.querySelector(".of-letter").value = slot ? String(slot.letter) : "";
  box.querySelector(".of-group").value = slot ? `${slot.grouping}/${slot.group}` : "";
  box.querySelector(".said").textContent = slot ? saidOf(slot) : "";
  canvas.setAttribute("aria-label", slot ? `${describe(slot)}, ${byId("view").selectedOptions[0].textContent}` : "nothing chosen");
  if (slot) await drawLetter(canvas, slot, matrix.view);
  else paintInk(canvas, new Float32Array(page.width * page.height));
}

function saidOf(slot) {
  if (slot.group === REFERENCE) return "The model’s own sprite, learned from all lines.";
  const { count, flag } = cellOf(slot);
  const why = { absent: "; this form is borrowed from the group above it", few: ", which is few" }[flag] ?? (flag && `; ${flag}`);
  return counted(count, "instance") + why;
}

/** Of two groups that a comparison has, the map of pixels whose difference is significant. */
async function significance(first, second) {
  if (first.letter !== second.letter || first.grouping !== second.grouping) return null;
  if (first.group === REFERENCE || second.group === REFERENCE) return null;
  const { by } = page.groupings[first.grouping];
  const names = [groupName(first.grouping, first.group), groupName(second.grouping, second.group)];
  for (const comparison of page.comparisons) {
    if (comparison.by !== by) continue;
    for (const one of comparison.differences) {
      if (!names.every((name) => name === one.first || name === one.second) || names[0] === names[1]) continue;
      const place = one.order.indexOf(first.letter);
      if (place >= 0) return { level: one.level, map: await inkOf(one.sheet, 3 * place + 1) };
    }
  }
  return null;
}

const swatch = (kind) => make("span", { className: `swatch ${kind}`, "aria-hidden": "true" });

async function showTogether() {
  stopBlinking();
  const [first, second] = slots;
  const [canvas, legend, said] = [byId("together"), byId("together-legend"), byId("together-said")];
  byId("blinking").hidden = true;
  legend.replaceChildren();
  said.textContent = "";
  if (!first || !second) {
    paintInk(canvas, new Float32Array(page.width * page.height));
    canvas.setAttribute("aria-label", "nothing to show: choose two letters");
    legend.textContent = first || second ? "Choose another letter to lay over this one." : "Choose two letters.";
    return;
  }
  const mode = modeNow();
  const [a, b] = await Promise.all([letterInk(first, matrix.view), letterInk(second, matrix.view)]);
  if (slots[0] !== first || slots[1] !== second || modeNow() !== mode) return; // something newer is under way
  const names = [describe(first), describe(second)];
  canvas.setAttribute("aria-label", `${names[0]} and ${names[1]}, ${mode}`);
  if (mode === "overlaid") showOverlaid(canvas, legend, a, b);
  if (mode === "subtracted") await showSubtracted(canvas, legend, a, b);
  if (mode === "blinked") startBlinking(a, b);
  const far = Math.sqrt(sum(Array.from(a, (value, i) => (value - b[i]) ** 2)));
  const doubts = slots.map(cellOf).filter(({ flag }) => flag).length;
  said.textContent = `${names[0]}; ${names[1]}. Distance ${shown(far)}.${doubts ? " Not both can be relied upon: see their flags." : ""}`;
  canvas.dataset.distance = far.toFixed(4);
  canvas.dataset.mode = mode;
}

function showOverlaid(canvas, legend, a, b) {
  const stain = (value, colour) => colour.map((one) => 1 - value * (1 - one / 255));
  paint(canvas, page.width, a.length, (i) => {
    const [one, other] = [stain(a[i], FIRST), stain(b[i], SECOND)];
    return one.map((value, channel) => 255 * value * other[channel]);
  });
  legend.append(swatch("first"), " only the first, ", swatch("second"), " only the second, dark: both");
}

async function showSubtracted(canvas, legend, a, b) {
  const tested = await significance(...slots);
  paint(canvas, page.width, a.length, (i) => difference(b[i] - a[i], !tested || tested.map[i] > 0.5));
  legend.append(swatch("first"), " ink only in the first, ", swatch("second"), " only in the second, white: equal. ",
    tested ? `Faded: may be chance (q > ${shown(tested.level)}).` : "Not tested: these two were not compared.");
}

function startBlinking(a, b) {
  blink.inks = [a, b];
  blink.shown = 0;
  byId("blinking").hidden = false;
  blinkOnce(0);
  if (!stillness.matches) goOn();
  blinkWords();
}

function blinkOnce(n) {
  blink.shown = n;
  paintInk(byId("together"), blink.inks[n]);
  byId("together").dataset.blink = String(n + 1);
  byId("blink-name").replaceChildren(swatch(n ? "second" : "first"), ` ${describe(slots[n])}`);
}

function goOn() {
  blink.timer = setInterval(() => blinkOnce(1 - blink.shown), BLINK);
}

function stopBlinking() {
  clearInterval(blink.timer);
  blink.timer = null;
  delete byId("together").dataset.blink;
}

function blinkWords() {
  byId("blink").textContent = stillness.matches ? "Show the other" : blink.timer === null ? "Go on" : "Stop";
}

// ---------------------------------------------------------------------------------- instances

function showEvidence() {
  const sections = slots.filter(Boolean).map(evidenceOf);
  byId("evidence").replaceChildren(...(sections.length ? sections : [make("p", { className: "quiet", textContent: "No letter is chosen." })]));
}

function madeOf(slot) {
  const views = slot.group === REFERENCE ? [["prototype", "the model’s own"]]
    : [["prototype", "prototype"], ...(page.masked ? [["filtered", "filtered"]] : []), ["mean", "mean of instances"], ["spread", "how they vary"]];
  return make("div", { className: "made-of" }, ...views.map(([view, words]) => {
    const canvas = make("canvas", { role: "img", "aria-label": `${describe(slot)}: ${words}`, width: page.width, height: page.height });
    drawLetter(canvas, slot, view);
    return make("figure", {}, canvas, make("figcaption", { textContent: words }));
  }));
}

function evidenceOf(slot) {
  const n = slots.indexOf(slot);
  const cell = cellOf(slot);
  const facts = slot.group === REFERENCE ? [] : page.groupings[slot.grouping].groups[slot.group].facts;
  const flag = cell.flag ? [" ", make("span", { className: "flag", textContent: cell.flag })] : [];
  const head = make("h3", {}, swatch(n ? "second" : "first"), " ", make("bdi", { textContent: letterName(slot.letter) }),
    " in ", make("bdi", { textContent: groupName(slot.grouping, slot.group) }));
  const about = [page.letters[slot.letter].unicode, ...facts.map(([name, value]) => `${name}: ${value}`)].filter(Boolean).join(" · ");
  const { rows } = page.instances[slot.letter];
  const parts = [["The medoid", cell.instances.slice(0, 1)], ["Others near the mean", cell.instances.slice(1, 1 + cell.near)],
    ["Farthest from it", cell.instances.slice(1 + cell.near)]];
  const lists = parts.filter(([, own]) => own.length).flatMap(([words, own]) => [make("h4", { textContent: words }),
    make("ul", { className: "cut-list" }, ...own.map((place) => instanceItem(slot, words, place, rows[place])))]);
  return make("section", { "aria-label": describe(slot) }, head, make("p", { className: "small quiet", textContent: about }),
    make("p", { className: "small" }, slot.group === REFERENCE || cell.flag === "absent" ? saidOf(slot) : counted(cell.count, "instance"), ...flag), madeOf(slot),
    ...(lists.length ? lists : [make("p", { className: "small quiet", textContent: slot.group === REFERENCE ? "Its instances are those of all groups." : "No instance is in this page." })]));
}

function whereOf(row) {
  const box = row.page ? `; on the image x ${row.page[0]} to ${row.page[2]}, y ${row.page[1]} to ${row.page[3]}` : "";
  const sure = row.confidence === null ? "" : `; ${Math.round(100 * row.confidence)} % sure`;
  const line = row.file.replace(/\.[^./]*$/, "") === row.line ? "" : ` of line ${row.line}`;
  return `character ${row.place + 1}${line}${box}${sure}`;
}

function instanceItem(slot, words, place, row) {
  const { aligned, strips } = page.instances[slot.letter];
  const own = make("canvas", { role: "img", "aria-label": `${words}: ${letterName(slot.letter)}, aligned`, width: aligned.width, height: aligned.height });
  own.style.width = "54px";
  drawAligned(own, slot.letter, place);
  const about = make("div");
  if (strips.picture >= 0) {
    const canvas = make("canvas", { className: "strip", role: "img", "aria-label": `The same where it stands: ${whereOf(row)}`, width: strips.width, height: strips.height });
    drawStrip(canvas, strips, place, row.box);
    about.append(canvas);
  }
  about.append(make("p", {}, make("bdi", { textContent: row.file }), `: ${whereOf(row)}`));
  return make("li", {}, own, about);
}

/** An instance in the frame of its sprite; ink away from the letter is faint. */
async function drawAligned(canvas, letter, place) {
  const { aligned } = page.instances[letter];
  if (!page.masked) { await drawTile(canvas, aligned, place); return; }
  const [ink, mask] = await Promise.all([inkOf(aligned, place), inkOf(page.letters[letter].own, 1)]);
  paintInk(canvas, ink.map((value, i) => value * (FAINT + (1 - FAINT) * mask[i])));
}

async function drawStrip(canvas, strips, place, box) {
  const scale = 2;
  const whole = await canvasOf(strips.picture);
  const [x, y] = tileAt(strips, place);
  Object.assign(canvas, { width: scale * strips.width, height: scale * strips.height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(whole, x, y, strips.width, strips.height, 0, 0, canvas.width, canvas.height);
  const [left, top, right, bottom] = box.map((side) => side * scale);
  if (right <= left) return;
  context.lineWidth = 2;
  context.strokeStyle = "#d55e00";
  context.strokeRect(left - 2, Math.max(top - 2, 1), right - left + 4, Math.min(bottom - top + 4, canvas.height - Math.max(top - 2, 1) - 1));
}

// --------------------------------------------------------------------------------------- setup

function groupOptions(withModel = true, withDates = true) {
  const parts = page.groupings.map((one, g) => make("optgroup", { label: one.by },
    ...one.groups.map((group, n) => option(`${g}/${n}`, withDates && group.date ? `${group.name} (${group.date})` : group.name))));
  return withModel ? [option(`0/${REFERENCE}`, "the model"), ...parts] : parts;
}

function setUpPair() {
  slots.forEach((_, n) => {
    const [letters, groups] = [boxOf(n).querySelector(".of-letter"), boxOf(n).querySelector(".of-group")];
    letters.append(option("", "–"), ...page.letters.map((letter, k) => option(k, letter.name)));
    groups.append(option("", "–"), ...groupOptions(true, false));
    const take = () => {
      if (letters.value === "" && groups.value === "") return;
      const [grouping, group] = (groups.value || `${matrix.grouping}/${REFERENCE}`).split("/").map(Number);
      slots[n] = { grouping, group, letter: Number(letters.value || 0) };
      if (n === 0) setAim(1);
      chosen();
    };
    letters.addEventListener("change", take);
    groups.addEventListener("change", take);
  });
  for (const input of document.querySelectorAll("input[name=mode]")) input.addEventListener("change", showTogether);
  byId("blink").addEventListener("click", () => {
    if (stillness.matches) blinkOnce(1 - blink.shown);
    else if (blink.timer === null) goOn();
    else { clearInterval(blink.timer); blink.timer = null; }
    blinkWords();
  });
  byId("swap").addEventListener("click", () => { slots.reverse(); chosen(); });
  byId("clear").addEventListener("click", letGo);
  chosen();
}
