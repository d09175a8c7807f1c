// The table of letters and groups: its orders, its cells, the keyboard.

const matrix = { grouping: 0, view: "prototype", columns: [], rows: [], cells: new Map(), stop: null };
const SIZES = { small: 36, large: 72 }; // CSS pixels across a letter

const FEW_COLUMNS = 9; // up to which letters are large unless small ones are asked for

const groupingNow = () => page.groupings[matrix.grouping];
const keyOf = (letter, group) => `${letter}/${group}`;

function columnOrders() {
  const { groups, tree } = groupingNow();
  const orders = { name: "by name", count: "most instances first" };
  if (groups.some((group) => group.year !== null)) orders.date = "by date";
  if (groups.some((group) => group.parent)) orders.parent = "by the group they lie in";
  if (tree.length) orders.tree = "as in the tree";
  return orders;
}

function orderedColumns(order) {
  const { groups, tree } = groupingNow();
  const all = groups.map((_, n) => n);
  const name = (a, b) => groups[a].name.localeCompare(groups[b].name, "en", { numeric: true });
  const year = (n) => groups[n].year ?? Infinity;
  const orders = {
    name, count: (a, b) => groups[b].count - groups[a].count || name(a, b),
    date: (a, b) => (year(a) === year(b) ? name(a, b) : year(a) - year(b)),
    parent: (a, b) => groups[a].parent.localeCompare(groups[b].parent, "en", { numeric: true }) || name(a, b),
  };
  return order === "tree" ? [...tree] : all.sort(orders[order]);
}

/** How much the relied-upon prototypes of a letter differ: their variance, summed over pixels. */
async function spreadOf(letter) {
  const own = groupingNow();
  const inks = await Promise.all(own.groups.map((_, group) => group)
    .filter((group) => SHOWN.has(own.cells[group][letter].flag))
    .map((group) => letterInk({ grouping: matrix.grouping, group, letter }, "prototype")));
  if (inks.length < 2) return -1;
  let total = 0;
  for (let i = 0; i < inks[0].length; i += 1) {
    const mean = sum(inks.map((ink) => ink[i])) / inks.length;
    total += sum(inks.map((ink) => (ink[i] - mean) ** 2)) / (inks.length - 1);
  }
  return total;
}

/** Letters before signs, small ones before capitals. */
function byAlphabet(one, other) {
  const [a, b] = [letterName(one), letterName(other)];
  const sign = (text) => Number(!/^\p{L}/u.test(text));
  return sign(a) - sign(b) || a.localeCompare(b, "en", { caseFirst: "lower" }) || one - other;
}

async function orderedRows(order) {
  const all = page.letters.map((_, letter) => letter).sort(byAlphabet);
  if (order === "alphabet") return all;
  const own = groupingNow();
  const value = order === "count" ? all.map((letter) => sum(own.cells.map((row) => row[letter].count)))
    : await Promise.all(all.map(spreadOf));
  return all.sort((a, b) => value[b] - value[a] || byAlphabet(a, b));
}

const cellsInSight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    cellsInSight.unobserve(target);
    drawCell(target);
  }
}, { rootMargin: "200px" });

function drawCell(cell) {
  const { letter, group } = cell.place;
  if (cellOf({ grouping: matrix.grouping, ...cell.place }).flag === "absent") return;
  drawLetter(cell.querySelector("canvas"), { grouping: matrix.grouping, group, letter }, matrix.view);
}

function cellFor(letter, group) {
  const own = cellOf({ grouping: matrix.grouping, letter, group });
  const said = group === REFERENCE ? "" : `, ${remark(own)}`;
  const canvas = make("canvas", { width: page.width, height: page.height, "aria-hidden": "true" });
  const cell = make("td", { role: "gridcell", tabIndex: -1, className: group === REFERENCE ? "own" : own.flag,
    "aria-label": `${letterName(letter)} in ${groupName(matrix.grouping, group)}${said}`, "aria-selected": "false" }, canvas);
  if (group !== REFERENCE && own.flag !== "absent") cell.append(make("span", { className: "n", textContent: own.count.toLocaleString("en") }));
  if (own.flag) cell.append(make("span", { className: "flag", textContent: own.flag }));
  cell.place = { letter, group };
  cellsInSight.observe(cell);
  return cell;
}

function headFor(group) {
  if (group === REFERENCE) return make("th", { scope: "col" }, make("span", { className: "head" }, make("span", { textContent: "the model" })));
  const { name, date, count, parent } = groupingNow().groups[group];
  const below = [date, matrix.order === "parent" ? parent : ""].filter(Boolean).join(" · ");
  return make("th", { scope: "col", title: [name, below, counted(count, "instance")].filter(Boolean).join(" · ") },
    make("span", { className: "head" }, make("span", { textContent: name }), make("span", { className: "quiet", textContent: below })));
}

async function fillMatrix() {
  matrix.order = byId("columns").value;
  const columns = [REFERENCE, ...orderedColumns(matrix.order)];
  const rows = await orderedRows(byId("rows").value);
  Object.assign(matrix, { columns, rows });
  matrix.cells.clear();
  cellsInSight.disconnect();
  const own = groupingNow();
  const lines = rows.map((letter) => {
    const cells = columns.map((group) => cellFor(letter, group));
    cells.forEach((cell, n) => matrix.cells.set(keyOf(letter, columns[n]), cell));
    const total = sum(own.cells.map((row) => row[letter].count));
    return make("tr", {}, make("th", { scope: "row", title: page.letters[letter].unicode },
      make("bdi", { textContent: letterName(letter) }), make("small", { textContent: total.toLocaleString("en") })), ...cells);
  });
  const across = SIZES[byId("size").value || (columns.length > FEW_COLUMNS ? "small" : "large")];
  const box = byId("matrix");
  box.style.setProperty("--across", `${across}px`);
  box.style.setProperty("--down", `${Math.round((across * page.height) / page.width)}px`);
  const table = make("table", { role: "grid", "aria-label": `Letters by ${own.by}`, "aria-multiselectable": "true", "aria-describedby": "matrix-help" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col", textContent: "Letter" }), ...columns.map(headFor))),
    make("tbody", {}, ...lines));
  box.replaceChildren(table);
  matrix.stop = null;
  stopAt(matrix.cells.get(keyOf(rows[0], columns[Math.min(1, columns.length - 1)])));
  markChosen();
  document.documentElement.dataset.ready = String(Number(document.documentElement.dataset.ready || 0) + 1);
}

/** One stop of the Tab key for the whole table. */
function stopAt(cell) {
  if (!cell) return;
  if (matrix.stop) matrix.stop.tabIndex = -1;
  matrix.stop = cell;
  cell.tabIndex = 0;
}

function markChosen() {
  for (const cell of matrix.cells.values()) {
    const chosen = slots.flatMap((slot, n) => (slot && slot.grouping === matrix.grouping
      && slot.letter === cell.place.letter && slot.group === cell.place.group ? [n + 1] : []));
    cell.setAttribute("aria-selected", String(chosen.length > 0));
    if (chosen.length) cell.dataset.chosen = chosen.join(" ");
    else delete cell.dataset.chosen;
  }
}

const MOVES = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0],
  Home: [0, -Infinity], End: [0, Infinity], PageDown: [6, 0], PageUp: [-6, 0] };

function onMatrixKey(event) {
  const cell = event.target.closest("td");
  if (!cell || event.altKey || event.metaKey) return;
  const { letter, group } = cell.place;
  if (event.key === "Enter" || event.key === " ") choose({ letter, group });
  else if (event.key === "1" || event.key === "2") choose({ letter, group }, Number(event.key) - 1);
  else if (event.key === "Escape") letGo();
  else if (MOVES[event.key]) {
    const [down, right] = MOVES[event.key];
    const within = (place, length) => Math.min(Math.max(place, 0), length - 1);
    const far = event.ctrlKey && (event.key === "Home" || event.key === "End");
    const row = far ? (event.key === "Home" ? 0 : matrix.rows.length - 1) : within(matrix.rows.indexOf(letter) + down, matrix.rows.length);
    const column = within(matrix.columns.indexOf(group) + right, matrix.columns.length);
    const next = matrix.cells.get(keyOf(matrix.rows[row], matrix.columns[column]));
    stopAt(next);
    next.focus();
  } else return;
  event.preventDefault();
}

function matrixRows() {
  const own = groupingNow();
  return matrix.rows.flatMap((letter) => matrix.columns.filter((group) => group !== REFERENCE).map((group) => {
    const { count, flag, quality } = own.cells[group][letter];
    const { name, date, year, parent } = own.groups[group];
    return [letterName(letter), name, date, year, parent, count, quality, flag];
  }));
}

function setUpMatrix() {
  page.groupings.forEach((one, n) => byId("by").append(option(n, `${one.by} (${one.groups.length})`)));
  const orders = () => {
    byId("columns").replaceChildren(...Object.entries(columnOrders()).map(([value, text]) => option(value, text)));
    byId("columns").value = "date" in columnOrders() ? "date" : "name";
  };
  orders();
  byId("by").addEventListener("change", () => { matrix.grouping = Number(byId("by").value); orders(); fillMatrix(); });
  byId("view").addEventListener("change", () => {
    matrix.view = byId("view").value;
    for (const cell of matrix.cells.values()) cellsInSight.observe(cell);
    showPair();
    fillGraphs();
  });
  for (const id of ["columns", "rows", "size"]) byId(id).addEventListener("change", fillMatrix);
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  const box = byId("matrix");
  box.addEventListener("keydown", onMatrixKey);
  box.addEventListener("click", (event) => {
    const cell = event.target.closest("td");
    if (!cell) return;
    stopAt(cell);
    choose(cell.place);
  });
  byId("matrix-csv").addEventListener("click", () => download(`typika-letters-by-${groupingNow().by}`,
    ["letter", groupingNow().by, "date", "year", "parent", "count", "quality", "flag"], matrixRows()));
  return fillMatrix();
}
