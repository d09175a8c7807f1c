// Graphs as inline SVG, each with a table of the same: letters, groups, trees, maps.

const MARKS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d31"];
const TESTED = "left out", FREE = "as shown";
const SUPPORTED = 0.7; // share of resamplings from which a branch is drawn whole

/** Marks differ in shape as well as in colour. */
function markOf(kind, x, y, r, hollow, title) {
  const [n, colour] = [kind % 6, MARKS[kind % 6]];
  const polygon = (points) => svg("polygon", { points: points.map(([dx, dy]) => `${(x + r * dx).toFixed(1)},${(y + r * dy).toFixed(1)}`).join(" ") });
  const shapes = [() => svg("circle", { cx: x, cy: y, r }), () => polygon([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]),
    () => polygon([[0, -1.2], [1.1, 0.9], [-1.1, 0.9]]), () => polygon([[0, -1.3], [1.2, 0], [0, 1.3], [-1.2, 0]]),
    () => polygon([[0, 1.2], [1.1, -0.9], [-1.1, -0.9]]),
    () => polygon([[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]])];
  const shape = shapes[n]();
  shape.setAttribute("class", hollow ? "mark hollow" : "mark");
  shape.setAttribute(hollow ? "stroke" : "fill", colour);
  if (title) shape.append(svg("title", {}, title));
  return shape;
}

function ticksOf(low, high) {
  const rough = (high - low || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) ticks.push(Number(at.toPrecision(6)));
  return ticks;
}

function rangeOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low >= 0 && low < 0.4 * high ? 0 : low - room, high + room];
}

/** Names beside their points where they hide nothing; the others keep their titles only. */
function placeNames(points, at, width) {
  const taken = points.map((point) => { const [x, y] = at(point); const r = point.r ?? 5; return [x - r, y - r, x + r, y + r]; });
  const free = ([l, t, r, b]) => l > 2 && r < width - 2 && taken.every(([l2, t2, r2, b2]) => r < l2 || l > r2 || b < t2 || t > b2);
  return points.flatMap((point) => {
    const [x, y] = at(point);
    const [length, tall] = point.letter ? [9 * point.label.length, 13] : [5.7 * short(point.label, 22).length, 10];
    const r = (point.r ?? 5) + 3;
    const tries = [[x + r, y + 4, "start"], [x - r, y + 4, "end"], [x, y - r - 1, "middle"], [x, y + r + tall - 1, "middle"]];
    for (const [tx, ty, anchor] of tries) {
      const left = anchor === "start" ? tx : anchor === "end" ? tx - length : tx - length / 2;
      const box = [left, ty - tall, left + length, ty + 2];
      if (!free(box)) continue;
      taken.push(box);
      return [svg("text", { x: tx, y: ty, "text-anchor": anchor, class: point.letter ? "letter-name" : "name" }, short(point.label, 22))];
    }
    return [];
  });
}

/** points: { x, y, label, kind, hollow, r, letter, said }. Both axes have one scale where `equal`. */
function scatter(box, { points, across, up, equal, said }) {
  const width = Math.min(736, Math.max(300, box.clientWidth || 736));
  const height = equal ? Math.min(width, 560) : Math.min(Math.round(width * 0.68), 460);
  const [left, right, top, bottom] = [56, 14, 14, 48];
  const inner = [width - left - right, height - top - bottom];
  let [xs, ys] = [rangeOf(points.map(({ x }) => x)), rangeOf(points.map(({ y }) => y))];
  if (equal) xs = ys = [Math.min(xs[0], ys[0]), Math.max(xs[1], ys[1])];
  const px = (x) => left + (inner[0] * (x - xs[0])) / (xs[1] - xs[0]);
  const py = (y) => top + inner[1] * (1 - (y - ys[0]) / (ys[1] - ys[0]));
  const plot = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said });
  for (const tick of ticksOf(...xs)) {
    plot.append(svg("line", { class: "grid", x1: px(tick), x2: px(tick), y1: top, y2: top + inner[1] }),
      svg("text", { class: "tick", x: px(tick), y: height - bottom + 16, "text-anchor": "middle" }, minus(String(tick))));
  }
  for (const tick of ticksOf(...ys)) {
    plot.append(svg("line", { class: "grid", x1: left, x2: left + inner[0], y1: py(tick), y2: py(tick) }),
      svg("text", { class: "tick", x: left - 7, y: py(tick) + 4, "text-anchor": "end" }, minus(String(tick))));
  }
  if (equal) plot.append(svg("line", { class: "diagonal", x1: px(xs[0]), y1: py(xs[0]), x2: px(xs[1]), y2: py(xs[1]) }));
  plot.append(svg("text", { x: left + inner[0] / 2, y: height - 10, "text-anchor": "middle" }, short(across, Math.floor(inner[0] / 6.4))),
    svg("text", { transform: `translate(14 ${top + inner[1] / 2}) rotate(-90)`, "text-anchor": "middle" }, short(up, Math.floor(inner[1] / 6.4))));
  const at = ({ x, y }) => [px(x), py(y)];
  for (const point of points) plot.append(markOf(point.kind, ...at(point), point.r ?? 5, point.hollow, point.said));
  plot.append(...placeNames(points, at, width));
  return plot;
}

/** What marks tell apart, in order; what has no group comes last. */
const kindsOf = (values) => [...new Set(values)].sort((a, b) => (a === "") - (b === "") || a.localeCompare(b, "en", { numeric: true }));

function kindsLegend(names, split) {
  const items = names.map((name, kind) => make("li", {}, svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, markOf(kind, 8, 8, 5, false)), short(name || "no group", 40)));
  if (split) items.push(make("li", {}, svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, markOf(0, 8, 8, 5, true)), "hollow: test"));
  return make("ul", { className: "shapes" }, ...(names.length > 1 || split ? items : []));
}

// -------------------------------------------------------------------------- free choice of axes

const fields = {}; // name -> select, of both graphs
const parse = (value) => { const [grouping, group] = value.split("/").map(Number); return { grouping, group }; };

function addSelect(form, name, words, options, start) {
  const select = make("select", { autocomplete: "off" }, ...options);
  if (start !== undefined) select.value = String(start);
  form.append(make("label", {}, words, " ", select));
  select.addEventListener("change", () => { follow(name); fillGraphs(); });
  fields[name] = select;
  return select;
}

/** Both graphs have the same axes: a change of one is a change of the other. */
function follow(name) {
  const [graph, axis] = name.split(" ");
  if (!["first", "second"].includes(axis)) return;
  fields[`${graph === "letter" ? "document" : "letter"} ${axis}`].value = fields[name].value;
}

function startingAxes() {
  for (const comparison of page.comparisons) {
    const grouping = page.groupings.findIndex(({ by }) => by === comparison.by);
    if (grouping < 0 || !comparison.graphs.length) continue;
    const { first, second } = comparison.graphs[0];
    const names = page.groupings[grouping].groups.map(({ name }) => name);
    if (names.includes(first) && names.includes(second)) return [first, second].map((name) => `${grouping}/${names.indexOf(name)}`);
  }
  const coarse = page.groupings.map((one, g) => [one.groups.length, g]).filter(([n]) => n > 1).sort((a, b) => a[0] - b[0])[0];
  return coarse ? [`${coarse[1]}/0`, `${coarse[1]}/1`] : [`0/${REFERENCE}`, "0/0"];
}

const finest = () => page.groupings.reduce((best, one, g) => (one.groups.length > page.groupings[best].groups.length ? g : best), 0);

/** What marks may tell: the group above, or what is known of each group and has few values. */
function marksOf(grouping) {
  const { groups } = page.groupings[grouping];
  const found = {};
  const few = (values) => { const kinds = new Set(values); return kinds.size > 1 && kinds.size <= 6; };
  if (few(groups.map(({ parent }) => parent))) found.parent = groups.map(({ parent }) => parent);
  for (const name of new Set(groups.flatMap(({ facts }) => facts.map(([one]) => one)))) {
    const values = groups.map(({ facts }) => (facts.find(([one]) => one === name) ?? ["", ""])[1]);
    if (few(values)) found[name] = values;
  }
  return found;
}

function marksOptions(grouping) {
  return [option("", "alike"), ...Object.keys(marksOf(grouping)).map((name) => option(name, name === "parent" ? "by the group they lie in" : `by ${name}`))];
}

/** The distances of a comparison for these axes, if there is one: documents left out of their own group. */
function testedFor(points, first, second) {
  if (first.grouping !== second.grouping) return null;
  const names = [first, second].map((one) => groupName(one.grouping, one.group));
  for (const comparison of page.comparisons) {
    if (comparison.by !== page.groupings[first.grouping].by || comparison.documents_by !== page.groupings[points].by) continue;
    for (const graph of comparison.graphs) {
      if (graph.first === names[0] && graph.second === names[1]) return { graph, turned: false };
      if (graph.first === names[1] && graph.second === names[0]) return { graph, turned: true };
    }
  }
  return null;
}

async function distance(one, other, view) {
  const [a, b] = await Promise.all([letterInk(one, view), letterInk(other, view)]);
  let total = 0;
  for (let i = 0; i < a.length; i += 1) total += (a[i] - b[i]) ** 2;
  return Math.sqrt(total);
}

/** Distances of one letter of one group to the axes: tested ones, or those of the pictures shown. */
async function placeOf(point, first, second, tested, asTested) {
  if (tested && asTested) {
    const { graph, turned } = tested;
    const [d, k] = [graph.documents.indexOf(groupName(point.grouping, point.group)), graph.letters.indexOf(point.letter)];
    const pair = d < 0 || k < 0 ? [null, null] : graph.distance[d][k];
    if (pair.includes(null)) return null;
    return turned ? [pair[1], pair[0]] : pair;
  }
  const axes = [first, second].map((one) => ({ ...one, letter: point.letter }));
  if (!SHOWN.has(cellOf(point).flag) || axes.some((one) => cellOf(one).flag === "absent")) return null;
  return Promise.all(axes.map((one) => distance(point, one, matrix.view)));
}

function noteOf(tested, asTested) {
  if (tested && asTested) return "Each document is left out of the prototype of its own group. ";
  return "Distances are of the pictures that the table above shows; where a group is part of an axis it lies too near to it. ";
}

function axesNow(graph) {
  return ["first", "second"].map((axis) => parse(fields[`${graph} ${axis}`].value));
}

const ofGroup = (one) => `distance to ${groupName(one.grouping, one.group)}`;

async function fillLetterGraph() {
  const box = byId("letter-graph");
  const letter = Number(fields["letter letter"].value);
  const points = Number(fields["letter points"].value);
  const [first, second] = axesNow("letter");
  const tested = testedFor(points, first, second);
  tickFor("letter", tested);
  const asTested = fields["letter tested"].checked;
  const marks = marksOf(points)[fields["letter marks"].value];
  const kinds = marks ? kindsOf(marks) : [""];
  const { groups, by } = page.groupings[points];
  const split = (name) => (tested ? tested.graph.split[tested.graph.documents.indexOf(name)] ?? "" : "");
  const placed = (await Promise.all(groups.map(async ({ name }, group) => {
    const place = await placeOf({ grouping: points, group, letter }, first, second, tested, asTested);
    return place && { x: place[0], y: place[1], label: name, kind: marks ? kinds.indexOf(marks[group]) : 0, mark: marks?.[group] ?? "",
      hollow: split(name) === "test", split: split(name), count: cellOf({ grouping: points, group, letter }).count,
      said: `${name}: ${shown(place[0])} and ${shown(place[1])}` };
  }))).filter(Boolean);
  showGraph(box, placed, {
    across: ofGroup(first), up: ofGroup(second), what: `${letterName(letter)} by ${by}`, kinds, title: `Letter graph of ${letterName(letter)}`,
    file: `typika-letter-graph-${letterName(letter)}`, columns: [by, ofGroup(first), ofGroup(second), "instances", "marks", "split"],
    row: (point) => [point.label, point.x, point.y, point.count, point.mark, point.split], note: noteOf(tested, asTested),
  });
}

async function fillDocumentGraph() {
  const box = byId("document-graph");
  const point = parse(fields["document group"].value);
  const [first, second] = axesNow("document");
  const tested = testedFor(point.grouping, first, second);
  tickFor("document", tested);
  const asTested = fields["document tested"].checked;
  const most = Math.max(...page.letters.map((_, letter) => cellOf({ ...point, letter }).count), 1);
  const placed = (await Promise.all(page.letters.map(async ({ name }, letter) => {
    const place = await placeOf({ ...point, letter }, first, second, tested, asTested);
    const { count } = cellOf({ ...point, letter });
    return place && { x: place[0], y: place[1], label: name, letter: true, kind: 0, count, hollow: false,
      r: 3 + (5 * Math.log(1 + count)) / Math.log(1 + most), said: `${name}: ${shown(place[0])} and ${shown(place[1])}, ${counted(count, "instance")}` };
  }))).filter(Boolean);
  const name = groupName(point.grouping, point.group);
  showGraph(box, placed, {
    across: ofGroup(first), up: ofGroup(second), what: `letters of ${name}`, kinds: [""], title: `Graph of ${name}`,
    file: `typika-document-graph-${name}`, columns: ["letter", ofGroup(first), ofGroup(second), "instances"],
    row: ({ label, x, y, count }) => [label, x, y, count], note: noteOf(tested, asTested),
  });
}

function showGraph(box, points, { across, up, what, kinds, title, file, columns, row, note }) {
  box.dataset.points = String(points.length);
  if (!points.length) {
    box.replaceChildren(make("p", { className: "quiet", textContent: "No point: too few instances, or the axes lack the letter. Choose another." }));
    return;
  }
  const nearer = points.filter(({ x, y }) => x < y).length;
  const said = `${what}: ${counted(points.length, "point")}, ${nearer} of them nearer to the first (${across}) than to the second (${up})`;
  const plot = scatter(box, { points, across, up, equal: true, said });
  const words = `${note}${nearer} of ${points.length} lie above the diagonal, nearer to the group across; the others nearer to the group upwards.`;
  box.replaceChildren(make("figure", {}, plot, kindsLegend(kinds, points.some(({ hollow }) => hollow)), make("figcaption", { textContent: words })),
    madeTable(title, file.replace(/^typika-/, ""), columns, points.map(row)));
}

function tickFor(graph, tested) {
  const tick = fields[`${graph} tested`];
  tick.closest("label").hidden = !tested;
}

function addTick(form, graph) {
  const tick = make("input", { type: "checkbox", checked: true, autocomplete: "off" });
  form.append(make("label", { className: "tick" }, tick, "each document left out of its own group"));
  tick.addEventListener("change", fillGraphs);
  fields[`${graph} tested`] = tick;
}

function fillGraphs() {
  return Promise.all([fillLetterGraph(), fillDocumentGraph()]);
}

function setUpGraphs() {
  const [letterForm, documentForm] = ["letter", "document"].map((name) => document.querySelector(`[data-graph=${name}]`));
  const start = startingAxes();
  const points = finest();
  const counts = page.letters.map((_, letter) => sum(page.groupings[points].cells.map((row) => row[letter].count)));
  addSelect(letterForm, "letter letter", "Letter", page.letters.map(({ name }, k) => option(k, name)), counts.indexOf(Math.max(...counts)));
  addSelect(letterForm, "letter first", "Across", groupOptions(), start[0]);
  addSelect(letterForm, "letter second", "Upwards", groupOptions(), start[1]);
  addSelect(letterForm, "letter points", "Points", page.groupings.map((one, g) => option(g, one.by)), points);
  const marks = addSelect(letterForm, "letter marks", "Marks", marksOptions(points));
  if ("parent" in marksOf(points)) marks.value = "parent";
  addTick(letterForm, "letter");
  addSelect(documentForm, "document group", "Group", groupOptions(false), `${points}/0`);
  addSelect(documentForm, "document first", "Across", groupOptions(), start[0]);
  addSelect(documentForm, "document second", "Upwards", groupOptions(), start[1]);
  addTick(documentForm, "document");
  fields["letter points"].addEventListener("change", () => { marks.replaceChildren(...marksOptions(Number(fields["letter points"].value))); fillGraphs(); });
  for (const form of [letterForm, documentForm]) form.addEventListener("submit", (event) => event.preventDefault());
  let before = innerWidth, waiting = null;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (innerWidth !== before) { before = innerWidth; fillGraphs(); setUpTrees(); } }, 200);
  });
  return fillGraphs();
}

// --------------------------------------------------------------------------- trees and maps

function dendrogram(tree, width) {
  const n = tree.documents.length;
  const names = tree.documents.map((name) => short(name, 26));
  const groups = kindsOf(tree.group);
  const room = Math.min(Math.max(...names.map((name) => name.length)) * 6 + 26, width * 0.45);
  const step = 20;
  const [left, top, right] = [16, 12, room];
  const highest = Math.max(...tree.branches.map(([, , height]) => height), 1e-9);
  const px = (height) => left + (width - left - right) * (1 - height / highest);
  const place = [];
  tree.order.forEach((leaf, row) => { place[leaf] = { x: px(0), y: top + step * (row + 0.5) }; });
  const plot = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${top * 2 + step * n}`, role: "img",
    "aria-label": `Tree of ${counted(n, "document")}; its branches are in the table below` });
  const words = [];
  tree.branches.forEach(([one, other, height, support], number) => {
    const [a, b] = [place[one], place[other]];
    const x = px(height);
    const weak = support !== null && support < SUPPORTED;
    plot.append(svg("path", { class: weak ? "branch weak" : "branch", d: `M${a.x} ${a.y}H${x}V${b.y}H${b.x}` }));
    place[n + number] = { x, y: (a.y + b.y) / 2 };
    if (support !== null && number < tree.branches.length - 1) words.push(svg("text", { class: "support", x: x + 4, y: (a.y + b.y) / 2 - 3 }, String(Math.round(100 * support))));
  });
  plot.append(...words);
  tree.order.forEach((leaf) => {
    const { x, y } = place[leaf];
    plot.append(markOf(groups.indexOf(tree.group[leaf]), x + 8, y, 4.5, false, tree.group[leaf]), svg("text", { class: "name", x: x + 18, y: y + 4 }, names[leaf]));
  });
  return [plot, kindsLegend(groups, false)];
}

function branchRows(tree) {
  const inside = tree.documents.map((name) => [name]);
  return tree.branches.map(([one, other, height, support]) => {
    inside.push([...inside[one], ...inside[other]]);
    return [inside[one].join(", "), inside[other].join(", "), height, support];
  });
}

function treePart(comparison) {
  const tree = comparison.tree;
  const box = make("div", { className: "tree", tabIndex: 0, role: "region", "aria-label": "Tree of documents" });
  const [plot, legend] = dendrogram(tree, Math.max(Math.min(byId("trees").clientWidth || 960, 960), 544));
  box.append(plot);
  const left = tree.left_out.length ? ` Left out, since they share too few letters with others: ${tree.left_out.join(", ")}.` : "";
  return make("section", { className: "graph", "aria-label": "Tree" }, make("h3", { textContent: "Documents by likeness" }),
    make("figure", {}, box, legend, make("figcaption", { textContent: "Branches meet at the mean distance of their documents. Numbers are support: in how many of a hundred resamplings these documents stand together. Under 70 the branch is dashed, and should not be argued from." + left })),
    madeTable("Branches of the tree", `tree-${comparison.by}`, ["one", "other", "height", "support"], branchRows(tree)));
}

function placesPart(comparison) {
  const { documents, group, names, values, said, start } = comparison.places;
  const form = make("form", { className: "toolbar", "aria-label": "Axes" });
  form.addEventListener("submit", (event) => event.preventDefault());
  const selects = ["Across", "Upwards"].map((words, n) => {
    const select = make("select", { autocomplete: "off" }, ...names.map((name, i) => option(i, name)));
    select.value = String(start[n]);
    form.append(make("label", {}, words, " ", select));
    return select;
  });
  const box = make("div", { className: "drawn" });
  const kinds = kindsOf(group);
  const fill = () => {
    const [x, y] = selects.map((select) => Number(select.value));
    const points = documents.map((label, d) => ({ label, x: values[x][d], y: values[y][d], kind: kinds.indexOf(group[d]), said: `${label}: ${shown(values[x][d])}, ${shown(values[y][d])}` }))
      .filter((point) => point.x !== null && point.y !== null);
    box.dataset.points = String(points.length);
    if (!points.length) { box.replaceChildren(make("p", { className: "quiet", textContent: "No document has both." })); return; }
    box.replaceChildren(make("figure", {}, scatter(box, { points, across: names[x], up: names[y], equal: false, said: `${counted(points.length, "document")}: ${names[y]} against ${names[x]}` }),
      kindsLegend(kinds, false), make("figcaption", { textContent: said.join(" ") })));
  };
  for (const select of selects) select.addEventListener("change", fill);
  const part = make("section", { className: "graph", "aria-label": "Map and axes" }, make("h3", { textContent: "Documents on a map, along axes, by date" }), form, box,
    madeTable("Places of documents", `places-${comparison.by}`, ["document", "group", ...names], documents.map((name, d) => [name, group[d], ...values.map((one) => one[d])])));
  return [part, fill];
}

function alongPart({ along }) {
  const most = 12;
  const cards = along.letters.slice(0, most).map((letter, n) => {
    const canvas = make("canvas", { role: "img", "aria-label": `${letterName(letter)}: what changes along the first axis` });
    inkOf(along.sheet, n).then((ink) => paint(canvas, page.width, ink.length, (i) => difference((255 * (1 - ink[i]) - 128) / 127, true)));
    return make("li", {}, make("h4", {}, make("bdi", { textContent: letterName(letter) })), canvas, make("p", { textContent: `${Math.round(100 * along.carried[n])} % of the axis` }));
  });
  return make("section", { className: "graph", "aria-label": "The first axis" }, make("h3", { textContent: "Letters that carry the first axis" }),
    make("ul", { className: "legend-bar" }, make("li", {}, swatch("first"), "ink of the low end"), make("li", {}, swatch("second"), "ink of the high end")),
    make("ul", { className: "differences" }, ...cards));
}

function setUpTrees() {
  const parts = [], later = [];
  for (const comparison of page.comparisons) {
    if (comparison.tree && comparison.tree.branches.length) parts.push(treePart(comparison));
    if (comparison.places) { const [part, fill] = placesPart(comparison); parts.push(part); later.push(fill); }
    if (comparison.along) parts.push(alongPart(comparison));
  }
  if (!page.comparisons.length) parts.push(make("p", { className: "quiet", textContent: "No groups were compared yet, so there is no tree, no map and no test: run typika typewriter compare, then the report again." }));
  byId("trees").replaceChildren(...parts);
  for (const fill of later) fill();
}
