"use strict";
// The atlas: what all its parts share. Plain ES2020, no library, no request. Everything that a user
// named (letters, groups, files) reaches the page through textContent or an attribute of a known
// element, never as markup.

const byId = (id) => document.getElementById(id);
const page = JSON.parse(byId("page-data").textContent);
const pictures = JSON.parse(byId("picture-data").textContent);
const REFERENCE = -1; // as a group: the model’s own sprite
const VIEWS = ["prototype", "mean", "spread"]; // in the order of a sheet’s tiles
const FIRST = [0, 114, 178];
const SECOND = [213, 94, 0];
const FADED = 0.4; // of full colour, for a difference that may be chance
const SHOWN = new Set(["", "suspect"]); // flags of prototypes that may be relied upon

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node && !name.startsWith("aria")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const short = (text, length = 40) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
const minus = (text) => text.replace("-", "−");
const counted = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const option = (value, text) => make("option", { value: String(value), textContent: short(text, 60) });
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** As a person reads a number: four digits, a real minus. */
function shown(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return value;
  if (Number.isInteger(value)) return minus(value.toLocaleString("en"));
  const small = value !== 0 && Math.abs(value) < 0.0005;
  return minus(small ? value.toExponential(1) : String(Number(value.toPrecision(3))));
}

// ----------------------------------------------------------------------------------- pictures

const canvases = new Map(); // picture -> promise of a canvas with it

function canvasOf(picture) {
  if (!canvases.has(picture)) {
    const image = new Image();
    image.src = "data:" + pictures[picture];
    canvases.set(picture, image.decode().then(() => {
      const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
      canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0);
      return canvas;
    }));
  }
  return canvases.get(picture);
}

const tileAt = (sheet, n) => [(n % sheet.columns) * sheet.width, Math.floor(n / sheet.columns) * sheet.height];

/** Ink in [0, 1] of one tile, row by row. */
async function inkOf(sheet, n) {
  const canvas = await canvasOf(sheet.picture);
  const [x, y] = tileAt(sheet, n);
  const { data } = canvas.getContext("2d", { willReadFrequently: true }).getImageData(x, y, sheet.width, sheet.height);
  return Float32Array.from({ length: sheet.width * sheet.height }, (_, i) => 1 - data[4 * i] / 255);
}

/** A tile drawn to a canvas, which becomes as large as it. */
async function drawTile(canvas, sheet, n) {
  const whole = await canvasOf(sheet.picture);
  const [x, y] = tileAt(sheet, n);
  Object.assign(canvas, { width: sheet.width, height: sheet.height });
  canvas.getContext("2d").drawImage(whole, x, y, sheet.width, sheet.height, 0, 0, sheet.width, sheet.height);
}

/** `colour(i)` of each pixel, as [r, g, b], drawn to a canvas of `width` columns. */
function paint(canvas, width, n, colour) {
  Object.assign(canvas, { width, height: n / width });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, n / width);
  for (let i = 0; i < n; i += 1) {
    const [r, g, b] = colour(i);
    image.data.set([r, g, b, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

const paintInk = (canvas, ink) =>
  paint(canvas, page.width, ink.length, (i) => { const v = 255 * (1 - ink[i]); return [v, v, v]; });

/** White at 0, full blue at −1 (only the first), full orange at 1; faded unless `kept`. */
function difference(value, kept) {
  // Faint differences are what is looked for: they are drawn a little stronger.
  const strength = Math.min(Math.abs(value), 1) ** 0.75 * (kept ? 1 : FADED);
  const full = value < 0 ? FIRST : SECOND;
  return full.map((one) => 255 - strength * (255 - one));
}

// ------------------------------------------------------------------------- letters of groups

const groupName = (g, n) => (n === REFERENCE ? "the model" : page.groupings[g].groups[n].name);
const letterName = (k) => page.letters[k].name;

function cellOf({ grouping, group, letter }) {
  return group === REFERENCE ? { count: 0, flag: "", quality: null, instances: [], near: 0 }
    : page.groupings[grouping].cells[group][letter];
}

const describe = (one) => `${letterName(one.letter)} in ${groupName(one.grouping, one.group)}`;
const remark = ({ count, flag }) => [counted(count, "instance"), flag].filter(Boolean).join(", ");

/** Where a letter of a group is drawn: its sheet, its tile, and what else multiplies it. */
function sourceOf({ grouping, group, letter }, view) {
  if (group === REFERENCE) return { sheet: page.letters[letter].own, tile: 0, empty: view === "spread" };
  const own = page.groupings[grouping];
  const tiles = view === "filtered" ? 0 : VIEWS.indexOf(view);
  return { sheet: own.sheets[letter], tile: tiles * own.groups.length + group, empty: false };
}

async function letterInk(one, view) {
  const { sheet, tile, empty } = sourceOf(one, view);
  const ink = await inkOf(sheet, tile);
  if (empty) return ink.fill(0);
  if (view !== "filtered") return ink;
  const mask = await inkOf(page.letters[one.letter].own, 1);
  return ink.map((value, i) => value * mask[i]);
}

async function drawLetter(canvas, one, view) {
  const { sheet, tile, empty } = sourceOf(one, view);
  if (empty || view === "filtered") paintInk(canvas, await letterInk(one, view));
  else await drawTile(canvas, sheet, tile);
}

// ------------------------------------------------------------------------------------- tables

const FORMULA = /^[=+\-@\t\r]/;

function field(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && FORMULA.test(value) ? "'" + value : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csvOf = (columns, rows) => [columns, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";

function download(name, columns, rows) {
  // The byte order mark makes spreadsheets read UTF-8.
  const url = URL.createObjectURL(new Blob(["\ufeff", csvOf(columns, rows)], { type: "text/csv;charset=utf-8" }));
  const file = name.replace(/[^\p{L}\p{N}_]+/gu, "-").slice(0, 80).replace(/^-|-$/g, "");
  make("a", { href: url, download: `${file || "table"}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function saveButton(name, columns, rows) {
  const button = make("button", { type: "button", className: "csv", textContent: "Download CSV" });
  button.addEventListener("click", () => download(name, columns, rows()));
  return button;
}

/** A figure and its interval share a column on the page: x, x_low, x_high. */
function headsOf(columns) {
  return columns.map((name, i) => ({ name, i, low: columns.indexOf(name + "_low"), high: columns.indexOf(name + "_high") }))
    .filter(({ name }) => !/_(low|high)$/.test(name) || !columns.includes(name.replace(/_(low|high)$/, "")));
}

function cellText(row, head) {
  const value = shown(row[head.i]);
  if (head.low < 0 || head.high < 0 || row[head.low] === null || row[head.high] === null) return value;
  return `${value} (${shown(row[head.low])} to ${shown(row[head.high])})`;
}

function compareCells(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

/** A table that is ordered by a press on its heads and saved by a button; in a box that scrolls. */
function dataTable({ title, name, columns, numeric, rows, total }) {
  const heads = headsOf(columns);
  const body = make("tbody");
  let order = [...rows], by = -1, down = false;
  const fill = () => body.replaceChildren(...order.map((row) => make("tr", {}, ...heads.map((head, n) =>
    make(n ? "td" : "th", { ...(n ? {} : { scope: "row" }), className: numeric[head.i] ? "number" : "", textContent: cellText(row, head) })))));
  const cells = heads.map((head) => {
    const button = make("button", { type: "button", textContent: head.name.replaceAll("_", " ") });
    const cell = make("th", { scope: "col", className: numeric[head.i] ? "number" : "" }, button);
    button.addEventListener("click", () => {
      down = by === head.i ? !down : Boolean(numeric[head.i]);
      by = head.i;
      order = [...rows].sort((one, other) => (one[by] === null || other[by] === null
        ? compareCells(one[by], other[by]) : (down ? -1 : 1) * compareCells(one[by], other[by])));
      for (const one of cells) one.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      fill();
    });
    return cell;
  });
  const more = total > rows.length ? ` The first ${rows.length.toLocaleString("en")} of ${total.toLocaleString("en")} rows; the run folder has all.` : "";
  const box = make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": title },
    make("table", {}, make("thead", {}, make("tr", {}, ...cells)), body));
  const details = make("details", { className: "data" },
    make("summary", {}, make("strong", { textContent: title }), ` · ${counted(total, "row")}`),
    make("p", { className: "buttons" }, saveButton(`typika-${name}`, columns, () => order), make("span", { className: "small quiet", textContent: more })), box);
  // Long tables are filled when they are opened.
  details.addEventListener("toggle", () => { if (details.open && !body.childElementCount) fill(); });
  details.fill = fill;
  return details;
}

/** The same for rows made in the page. */
function madeTable(title, name, columns, rows) {
  const numeric = columns.map((_, i) => rows.some((row) => typeof row[i] === "number"));
  return dataTable({ title, name, columns, numeric, rows, total: rows.length });
}
