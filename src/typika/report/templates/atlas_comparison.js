// Two groups compared: differences letter by letter; all tables; the page put together.

const CARDS = 12; // letters that are shown before "more"

async function drawDifference(canvas, sheet, n) {
  const [values, kept] = await Promise.all([inkOf(sheet, 3 * n), inkOf(sheet, 3 * n + 1)]);
  paint(canvas, page.width, values.length, (i) => difference((255 * (1 - values[i]) - 128) / 127, kept[i] > 0.5));
}

function differenceCard(pair, n) {
  const letter = pair.order[n];
  const map = make("canvas", { role: "img", "aria-label": `${letterName(letter)}: ${pair.second} less ${pair.first}; ${pair.figures[n].join(", ")}`, width: page.width, height: page.height });
  const mean = make("canvas", { role: "img", "aria-label": `${letterName(letter)}: mean of both`, width: page.width, height: page.height });
  drawDifference(map, pair.sheet, n);
  drawTile(mean, pair.sheet, 3 * n + 2);
  return make("li", {}, make("h4", {}, make("bdi", { textContent: letterName(letter) }), make("span", { className: "flag", textContent: pair.verdict[n] })),
    make("div", { className: "two" }, map, mean), ...pair.figures[n].map((text) => make("p", { textContent: text })));
}

function differencesPart(comparison) {
  const box = make("div");
  const select = make("select", { autocomplete: "off" }, ...comparison.differences.map((pair, n) => option(n, `${pair.first} and ${pair.second}`)));
  const form = make("form", { className: "toolbar", "aria-label": "Which groups" }, make("label", {}, "Groups ", select));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = comparison.differences.length < 2;
  const fill = () => {
    const pair = comparison.differences[Number(select.value)];
    const list = make("ul", { className: "differences" }, ...pair.order.slice(0, CARDS).map((_, n) => differenceCard(pair, n)));
    const legend = make("ul", { className: "legend-bar" }, make("li", {}, swatch("first"), `ink only in ${pair.first}`), make("li", {}, swatch("second"), `ink only in ${pair.second}`),
      make("li", {}, swatch("equal"), "equal"), make("li", {}, swatch("faded"), `faded: q > ${shown(pair.level)}`));
    const rest = pair.order.length - CARDS;
    const more = make("button", { type: "button", className: "more", textContent: `${rest} more` });
    more.addEventListener("click", () => { list.append(...pair.order.slice(CARDS).map((_, n) => differenceCard(pair, n + CARDS))); more.remove(); });
    const n = pair.verdict.filter((one) => one === "differs").length;
    const tested = pair.verdict.filter((one) => one !== "not tested").length;
    box.replaceChildren(make("p", { className: "prose", textContent: `${n} of ${counted(tested, "tested letter")} differ beyond chance between ${pair.first} and ${pair.second} (q ≤ ${shown(pair.level)}). The best separating come first; beside each difference the mean of both.` }),
      legend, list, ...(rest > 0 ? [more] : []));
  };
  select.addEventListener("change", fill);
  fill();
  return [form, box];
}

function setUpComparisons() {
  const place = byId("comparisons");
  if (!place) return;
  for (const comparison of page.comparisons) {
    place.append(make("section", { className: "graph", "aria-label": `Compared by ${comparison.by}` }, make("h3", { textContent: `By ${comparison.by}` }),
      make("p", { className: "prose small quiet", textContent: `Each ${comparison.documents_by} counts once. What is compared: ${comparison.ink === "mean" ? "means of instances" : `prototypes, ${comparison.ink}`}.` }),
      ...(comparison.differences.length ? differencesPart(comparison) : []),
      ...comparison.said.map((text) => make("p", { className: "prose", textContent: text })),
      ...comparison.tables.map(dataTable)));
  }
}

function setUpTables() {
  byId("table-list").append(...page.tables.map(dataTable));
}

/** On paper every letter is drawn, whether it was in sight or not. */
function fillAll() {
  for (const cell of matrix.cells.values()) drawCell(cell);
}

async function setUp() {
  setUpTheme();
  setUpPair();
  setUpComparisons();
  setUpTables();
  setUpTrees();
  await setUpMatrix();
  await setUpGraphs();
  addEventListener("beforeprint", fillAll);
  document.documentElement.dataset.whole = "1";
}

setUp();
