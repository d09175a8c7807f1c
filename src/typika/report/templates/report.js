"use strict";
// The report's behaviour. Plain ES2020, no library, no request. Everything that a user named
// (labels, file names, metadata) reaches the page through textContent or an attribute of a known
// element, never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const page = JSON.parse(byId("page-data").textContent);
  const SHOWN = 8; // members of a cluster before "more"
  const SHOWN_CONTROLS = 24;
  const MANY_LABELS = 12; // above this many, tabs become a list with a search field
  const PATCH_FIELDS = ["picture", "image", "file", "label", "selection", "cluster", "rank", "box",
    "typicality", "error", "typicalityNull", "evidence", "distance", "position", "metadata"];
  const patches = page.patches.map((row, index) =>
    Object.assign({ index }, Object.fromEntries(PATCH_FIELDS.map((name, i) => [name, row[i]]))));

  // Set where `typika view` serves the page: curate.js, which lets clusters be changed.
  let live = null;

  // The whole images are most of the file: they are parsed when the first one is looked at.
  let parsedImages = null;
  const images = () => (parsedImages ||= JSON.parse(byId("image-data").textContent));

  // ------------------------------------------------------------------------------ helpers

  function make(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in node) node[name] = value;
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

  const number = (value, digits = page.decimals) =>
    value === null ? "unknown" : value.toFixed(digits).replace("-", "−");
  const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
  const short = (text, length = 80) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
  const jpeg = (base64) => "data:image/jpeg;base64," + base64;
  const fold = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const labelName = (index) => page.labels[index].name || "(empty label)";

  function kindOf(patch) {
    if (patch.selection === "random") return "random patch";
    if (patch.selection === "negative") return "least typical patch";
    const cluster = page.labels[patch.label].clusters.find((c) => c.cluster === patch.cluster);
    return cluster ? `cluster ${cluster.rank}${cluster.name && `, ${short(cluster.name, 60)}`}` : "typical patch";
  }

  const called = (cluster) => cluster.name || `Cluster ${cluster.rank}`;

  const describe = (patch) => `Patch of ${short(patch.file, 60)}, ${short(labelName(patch.label), 60)}, ` +
    `${kindOf(patch)}, typicality ${number(patch.typicality)}`;

  // ------------------------------------------------------------------------------ clusters

  const view = { label: 0, beside: null, words: [], least: -Infinity, size: 1, sort: "typicality", only: "" };
  // A sign beside the word: verdicts are told apart without colour.
  const SIGNS = { significant: "●", suggestive: "◐", "not shown": "○", "not tested": "–" };
  const CALLED = { significant: "Holds on unseen images", suggestive: "May hold", "not shown": "Not shown to hold", "not tested": "Not tested" };
  const ONLY = {
    "": () => true,
    significant: (c) => c.verdict?.[0] === "significant",
    clean: (c) => !c.badges.length,
    "significant clean": (c) => c.verdict?.[0] === "significant" && !c.badges.length,
    badged: (c) => c.badges.length > 0,
    starred: (c) => c.starred,
  };
  const haystacks = new Map(); // patch -> folded file name and metadata

  function matches(patch) {
    if (!view.words.length) return true;
    if (!haystacks.has(patch)) haystacks.set(patch, fold([patch.file, ...page.metadata[patch.metadata]].join("\n")));
    return view.words.every((word) => haystacks.get(patch).includes(word));
  }

  /** Whether the name or the note of a cluster has all the words. */
  const named = (cluster) => view.words.length > 0
    && view.words.every((word) => fold(`${cluster.name}\n${cluster.note}`).includes(word));

  /** The clusters of a label that pass the filter, in the chosen order, with matching members. */
  function visibleClusters(label) {
    const found = page.labels[label].clusters
      .filter((c) => c.size >= view.size && (c.typicality ?? -Infinity) >= view.least && ONLY[view.only](c))
      .map((cluster) => ({ cluster, members: cluster.members.map((i) => patches[i]).filter(named(cluster) ? () => true : matches) }))
      .filter(({ members }) => members.length || !view.words.length);
    const order = view.sort === "size"
      ? (a, b) => b.cluster.size - a.cluster.size || a.cluster.rank - b.cluster.rank
      : (a, b) => a.cluster.rank - b.cluster.rank;
    return found.sort((a, b) => b.cluster.starred - a.cluster.starred || order(a, b));
  }

  function whisker(label, cluster) {
    const [low, high] = page.axis;
    const at = (value) => `${(3 + (94 * (value - low)) / (high - low)).toFixed(2)}%`;
    const random = page.labels[label].randomMedian;
    const text = `Median typicality ${number(cluster.typicality)}, 95% interval ${number(cluster.low)} to ` +
      `${number(cluster.high)}` + (random === null ? "" : `; random patches ${number(random)}`);
    const line = (kind, x1, x2, y1, y2) => svg("line", { class: kind, x1, x2, y1, y2 });
    const picture = svg("svg", { class: "whisker", role: "img", "aria-label": text });
    picture.append(line("axis", "0%", "100%", 7, 7), line("zero", at(0), at(0), 1, 13));
    if (random !== null) picture.append(line("random", at(random), at(random), 0, 14));
    if (cluster.low !== null && cluster.high !== null) picture.append(line("interval", at(cluster.low), at(cluster.high), 7, 7));
    if (cluster.typicality !== null) picture.append(svg("circle", { class: "median", cx: at(cluster.typicality), cy: 7, r: 4 }));
    return picture;
  }

  function tile(patch, list) {
    const picture = make("img", { src: jpeg(patch.picture), alt: describe(patch), decoding: "async" });
    const button = make("button", { type: "button", className: "tile", title: short(patch.file, 120) }, picture);
    button.addEventListener("click", () => {
      if (!live || !live.choose(patch)) viewer.open(patch, list, button);
    });
    if (live) live.dress(button, patch);
    return button;
  }

  const unfolded = new Set(); // lists whose rest was asked for; it stays in sight when they change

  /** Tiles of `list`: the first `shown`, and a button that adds the rest. */
  function tiles(list, first, missing, key) {
    const shown = live && unfolded.has(key) ? list.length : first;
    const grid = make("div", { className: "tiles" }, ...list.slice(0, shown).map((p) => tile(p, list)));
    const box = make("div", {}, grid);
    const rest = list.length - shown;
    if (rest > 0) {
      const more = make("button", { type: "button", className: "more", textContent: `${rest} more` });
      more.addEventListener("click", () => {
        const added = list.slice(shown).map((p) => tile(p, list));
        grid.append(...added);
        more.remove();
        unfolded.add(key);
        added[0].focus();
      });
      box.append(more);
    }
    if (missing > 0) box.append(make("span", { className: "rest quiet", textContent: `${missing.toLocaleString("en")} not ${live ? "loaded" : "in this file"}` }));
    return box;
  }

  /** The verdict and the badges of a cluster: a word each, the evidence behind it when opened. */
  function evidence(cluster) {
    const parts = cluster.badges.map(([badge, text]) =>
      make("details", { className: "badge" }, make("summary", { textContent: `▲ ${badge}` }), make("p", { textContent: text })));
    if (cluster.verdict) {
      const [verdict, figure, text] = cluster.verdict;
      const summary = make("summary", {}, make("span", { className: "sign", textContent: SIGNS[verdict], ariaHidden: "true" }), ` ${CALLED[verdict]}`);
      parts.unshift(make("details", { className: `verdict ${verdict.replace(" ", "-")}` }, summary, make("p", { textContent: text })));
      if (figure) parts[0].querySelector("summary").append(make("span", { className: "figure quiet", textContent: figure }));
    }
    return parts.length ? [make("div", { className: "evidence" }, ...parts)] : [];
  }

  /** What a cluster is called, and its number where that is a name. */
  function heading(cluster) {
    const name = make("h4", { className: cluster.name ? "named" : "" }, make("bdi", { textContent: called(cluster) }));
    if (cluster.starred) name.prepend(make("span", { className: "star", role: "img", ariaLabel: "Starred", textContent: "★" }), " ");
    if (cluster.name) name.append(make("span", { className: "own-number quiet", textContent: ` Cluster ${cluster.rank}` }));
    return name;
  }

  function clusterRow(label, { cluster, members }) {
    const missing = view.words.length ? 0 : cluster.size - members.length;
    const interval = cluster.low === null || cluster.high === null ? "no interval"
      : `${number(cluster.low)} to ${number(cluster.high)}`;
    const again = cluster.stability === null ? "" : ` · ${Math.round(100 * cluster.stability)}% found again`;
    const head = make("div", { className: "cluster-head" },
      heading(cluster),
      make("p", { className: "median-number", textContent: number(cluster.typicality) }),
      whisker(label, cluster),
      make("p", { className: "counts quiet", textContent: `${count(cluster.size, "patch", "patches")} · ${count(cluster.images, "image", "images")}${again}` }),
      make("p", { className: "interval-number quiet", textContent: interval }));
    const said = [["note", cluster.note], ["changed quiet", cluster.changed]].filter(([, text]) => text)
      .map(([className, textContent]) => make("p", { className, textContent, dir: "auto" }));
    const row = make("li", { className: "cluster" }, head, make("div", {}, tiles(members, SHOWN, missing, `${label} ${cluster.cluster}`), ...said, ...evidence(cluster)));
    if (live) live.row(row, label, cluster);
    return row;
  }

  function controls(label, name, key, text) {
    const list = page.labels[label][key].map((i) => patches[i]);
    if (!list.length) return [];
    const summary = make("summary", { textContent: name });
    const details = make("details", { className: "controls" }, summary, make("p", { className: "quiet", textContent: text }));
    // Built when opened: most readers look at the clusters first.
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 2) details.append(tiles(list, SHOWN_CONTROLS, 0));
    });
    return [details];
  }

  /** Clusters hidden by hand, behind a summary. */
  function foldAway(folded, rows) {
    if (!folded.length) return [];
    const summary = make("summary", { textContent: `Hidden by hand: ${count(folded.length, "cluster", "clusters")}` });
    const details = make("details", { className: "hidden-clusters" }, summary, ...rows(folded));
    details.dataset.fold = "hidden";
    return [details];
  }

  function fillPanel(panel, label) {
    const facts = page.labels[label];
    const found = visibleClusters(label);
    const head = make("div", { className: "panel-head" }, make("h3", { textContent: labelName(label) }),
      make("p", { className: "quiet", textContent: `${count(facts.images, "image", "images")} · ` +
        `${count(facts.patches, "typical patch", "typical patches")}${facts.loose ? `, ${facts.loose.toLocaleString("en")} of them in no cluster` : ""} · ` +
        `${count(facts.allClusters, "cluster", "clusters")}` +
        (facts.clusters.length < facts.allClusters ? `, the first ${facts.clusters.length} in this file` : "") }));
    if (facts.verdict) head.append(make("p", { className: "quiet", textContent: facts.verdict }));
    // What looks like an artefact stands apart, and is as typical as it is.
    const there = found.filter(({ cluster }) => !cluster.hidden);
    const flawed = there.filter(({ cluster }) => cluster.badges.length);
    const sound = there.filter(({ cluster }) => !cluster.badges.length);
    const rows = (entries) => (entries.length ? [make("ol", { className: "clusters" }, ...entries.map((entry) => clusterRow(label, entry)))] : []);
    const apart = flawed.length ? [make("h4", { className: "apart", textContent: "Marked as likely artefacts: paper, frame, scanner or exposure rather than what is shown" })] : [];
    const folded = found.filter(({ cluster }) => cluster.hidden);
    const lists = [...rows(sound), ...apart, ...rows(flawed), ...foldAway(folded, rows)];
    const empty = facts.clusters.length ? "No cluster passes the filter." : "Nothing was selected for this label.";
    const random = facts.randomMedian === null ? "" : ` Their median typicality is ${number(facts.randomMedian)}.`;
    const save = make("button", { type: "button", className: "csv", textContent: "Download CSV of these rows" });
    save.addEventListener("click", () => download(label, visibleClusters(label).filter(({ cluster }) => !cluster.hidden)));
    panel.replaceChildren(head, ...(found.length ? lists : [make("p", { className: "quiet", textContent: empty })]),
      ...(live ? live.below(label) : []),
      ...controls(label, "For comparison: random patches", "random", "Taken anywhere in the label’s images." + random),
      ...controls(label, "For comparison: least typical patches", "negative", "What the label explains worst."),
      make("div", { className: "buttons" }, save));
    return found.length;
  }

  // ------------------------------------------------------------------------------ panels and tabs

  const panels = new Map(); // label -> its tab panel

  function panelOf(label) {
    if (!panels.has(label)) {
      const panel = make("section", { id: `panel-${label}`, className: "panel", role: "tabpanel", tabIndex: 0, hidden: true });
      panel.setAttribute("aria-labelledby", `tab-${label}`);
      panels.set(label, panel);
      const later = [...panels.keys()].filter((other) => other > label).sort((a, b) => a - b)[0];
      byId("panels").insertBefore(panel, later === undefined ? null : panels.get(later));
    }
    return panels.get(label);
  }

  /** Redraw what is visible; `stale` panels are redrawn when they are shown or printed. */
  const stale = new Set(page.labels.keys());

  function show() {
    if (live) live.showing([view.label, view.beside]);
    const visible = [view.label, ...(view.beside === null || view.beside === view.label ? [] : [view.beside])];
    const parts = visible.map((label) => {
      const n = visibleClusters(label).length;
      if (stale.delete(label)) fillPanel(panelOf(label), label);
      return `${n} of ${count(page.labels[label].clusters.length, "cluster", "clusters")} of ${short(labelName(label), 40)}`;
    });
    for (const [label, panel] of panels) panel.hidden = !visible.includes(label);
    // The chosen label stands left, whatever the order of the labels.
    for (const [label, panel] of panels) panel.style.order = label === view.label ? "-1" : "";
    byId("panels").classList.toggle("beside", visible.length > 1);
    byId("status").textContent = "Showing " + parts.join(" and ") + ".";
  }

  function refilter(labels = page.labels.keys()) {
    for (const label of labels) stale.add(label);
    show();
  }

  function select(label, focus) {
    for (const tab of byId("tabs").children) {
      const chosen = tab.id === `tab-${label}`;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen && focus) tab.focus();
      // Inside its own list only: scrolling the whole page would be rude.
      if (chosen && page.labels.length > MANY_LABELS) tab.parentNode.scrollTop = tab.offsetTop - tab.parentNode.offsetTop - 40;
    }
    view.label = label;
    show();
  }

  function onTabKey(event) {
    const tabs = [...byId("tabs").children].filter((tab) => !tab.hidden);
    const here = tabs.indexOf(document.activeElement);
    const moves = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: tabs.length - 1 };
    if (!(event.key in moves) || !tabs.length) return;
    event.preventDefault();
    select(Number(tabs[(moves[event.key] + tabs.length) % tabs.length].dataset.label), true);
  }

  function setUpTabs() {
    const tabs = page.labels.map((facts, label) => {
      const tab = make("button", { type: "button", role: "tab", id: `tab-${label}`, tabIndex: -1, title: short(labelName(label), 300), textContent: short(labelName(label), 120) });
      tab.dataset.label = label;
      tab.setAttribute("aria-controls", `panel-${label}`);
      tab.addEventListener("click", () => select(label, false));
      panelOf(label);
      return tab;
    });
    byId("tabs").append(...tabs);
    byId("tabs").addEventListener("keydown", onTabKey);
    if (page.labels.length <= MANY_LABELS) return;
    const find = byId("find");
    find.parentNode.hidden = false;
    find.parentNode.parentNode.classList.add("many");
    const seek = () => {
      for (const tab of tabs) tab.hidden = !fold(labelName(Number(tab.dataset.label))).includes(fold(find.value.trim()));
      // One tab must stay reachable with the Tab key, even when the chosen one is filtered out.
      const reachable = tabs.find((tab) => !tab.hidden && tab.tabIndex === 0) || tabs.find((tab) => !tab.hidden);
      for (const tab of tabs) tab.tabIndex = tab === reachable ? 0 : -1;
    };
    find.addEventListener("input", seek);
    find.addEventListener("keydown", (event) => {
      const first = tabs.find((tab) => !tab.hidden);
      if (event.key === "Enter" && first) select(Number(first.dataset.label), true);
    });
  }

  function setUpToolbar() {
    const read = (id, fallback) => (byId(id).value === "" || Number.isNaN(byId(id).valueAsNumber) ? fallback : byId(id).valueAsNumber);
    const apply = () => {
      view.words = fold(byId("text").value).split(/\s+/).filter(Boolean);
      view.least = read("least", -Infinity);
      view.size = read("size", 1);
      view.sort = byId("sort").value;
      view.only = byId("only").value;
      refilter();
    };
    const clusters = page.labels.flatMap((facts) => facts.clusters);
    if (!live && !clusters.some((c) => c.starred)) byId("only-starred").remove();
    byId("only").parentNode.hidden = !live && !clusters.some((c) => c.verdict || c.badges.length || c.starred);
    for (const id of ["text", "least", "size", "sort", "only"]) byId(id).addEventListener("input", apply);
    byId("toolbar").addEventListener("submit", (event) => event.preventDefault());
    const beside = byId("beside");
    page.labels.forEach((facts, label) => beside.append(make("option", { value: String(label), textContent: short(labelName(label), 60) })));
    beside.addEventListener("input", () => {
      view.beside = beside.value === "" ? null : Number(beside.value);
      show();
    });
    if (page.labels.length < 2) beside.parentNode.hidden = true;
  }

  // ------------------------------------------------------------------------------ CSV

  /** One CSV field. A text that a spreadsheet would run as a formula is quoted with '. */
  function field(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const plainNumber = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value);
    const safe = /^[=+\-@\t\r]/.test(value) && !plainNumber ? "'" + value : value;
    return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  }

  function csv(label, found) {
    const facts = page.labels[label];
    const curated = facts.clusters.some((c) => c.name || c.note || c.starred);
    const byHand = (c) => (curated ? [c?.name, c?.note, c ? String(c.starred) : ""] : []);
    const header = ["label", "selection", "cluster_rank", "cluster", "verdict", "badges", "rank", "file_name", "left", "top", "right", "bottom",
      "typicality", "error", "typicality_null", "evidence", "distance", ...(curated ? ["cluster_name", "cluster_note", "cluster_starred"] : []), ...page.metadataColumns];
    const of = new Map(facts.clusters.map((c) => [c.cluster, c]));
    const known = (p) => (p.selection === "typical" ? of.get(p.cluster) : undefined);
    const controls = [...facts.random, ...facts.negative].map((i) => patches[i]).filter(matches);
    const rows = [...found.flatMap(({ members }) => members), ...controls].map((p) =>
      [facts.name, p.selection, known(p)?.rank, p.cluster, known(p)?.verdict?.[0], known(p)?.badges.map(([badge]) => badge).join("; "), p.rank, p.file, ...p.box,
        p.typicality, p.error, p.typicalityNull, p.evidence, p.distance, ...byHand(known(p)), ...page.metadata[p.metadata]]);
    return [header, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
  }

  function download(label, found) {
    // The byte order mark makes spreadsheets read UTF-8.
    const url = URL.createObjectURL(new Blob(["\ufeff", csv(label, found)], { type: "text/csv;charset=utf-8" }));
    const name = labelName(label).replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60).replace(/^-|-$/g, "");
    make("a", { href: url, download: `typika-${name || label}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  // ------------------------------------------------------------------------------ heat-maps

  // Orange above zero, blue below: told apart with any kind of colour vision, and on the grey
  // picture underneath also from it.
  const ABOVE = [255, 140, 26];
  const BELOW = [51, 136, 255];

  /** The grid of one map as numbers. */
  function decode(map, kind) {
    const bytes = atob(map.cells[kind]);
    const scale = map.scales[kind] / 127;
    return Float32Array.from(bytes, (byte) => scale * (byte.charCodeAt(0) - 128));
  }

  /** Places between grid cells for bilinear interpolation; cell i has its centre at i + 1/2. */
  function between(length, cells) {
    return Array.from({ length }, (_, i) => {
      const at = Math.min(Math.max(((i + 0.5) * cells) / length - 0.5, 0), cells - 1);
      const low = Math.min(Math.floor(at), Math.max(cells - 2, 0));
      return [low, Math.min(low + 1, cells - 1), at - low];
    });
  }

  function paint(data, offset, share) {
    const colour = share >= 0 ? ABOVE : BELOW;
    for (let c = 0; c < 3; c += 1) data[offset + c] = colour[c];
    // Transparent at zero: where the label says nothing, the picture stays visible.
    data[offset + 3] = 255 * Math.min(1, Math.abs(share)) ** 0.8;
  }

  function drawHeat(canvas, map, kind) {
    const context = canvas.getContext("2d");
    const picture = context.createImageData(canvas.width, canvas.height);
    const values = decode(map, kind);
    const columns = between(canvas.width, map.w);
    between(canvas.height, map.h).forEach(([top, bottom, down], y) => {
      columns.forEach(([left, right, across], x) => {
        const upper = values[top * map.w + left] * (1 - across) + values[top * map.w + right] * across;
        const lower = values[bottom * map.w + left] * (1 - across) + values[bottom * map.w + right] * across;
        paint(picture.data, 4 * (y * canvas.width + x), (upper * (1 - down) + lower * down) / page.limits[kind]);
      });
    });
    context.putImageData(picture, 0, 0);
  }

  function drawScale(kind) {
    const canvas = byId("viewer-scale");
    const context = canvas.getContext("2d");
    const picture = context.createImageData(canvas.width, canvas.height);
    for (let i = 0; i < canvas.width * canvas.height; i += 1) {
      paint(picture.data, 4 * i, (2 * ((i % canvas.width) + 0.5)) / canvas.width - 1);
    }
    context.putImageData(picture, 0, 0);
    const limit = Number(page.limits[kind].toPrecision(2)).toString();
    byId("viewer-ends").replaceChildren(...[`≤ −${limit}`, "0", `≥ ${limit}`].map((text) => make("span", { textContent: text })));
  }

  // ------------------------------------------------------------------------------ the window

  const viewer = {
    patch: null, list: [], opener: null, heat: page.score.includes("null") ? "1" : "0",

    open(patch, list, opener) {
      Object.assign(viewer, { list, opener });
      viewer.show(patch);
      byId("viewer").showModal();
      byId("viewer-title").focus();
    },

    step(by) {
      const next = viewer.list[viewer.list.indexOf(viewer.patch) + by];
      if (next) viewer.show(next);
      // A button that has just been disabled would swallow the next arrow key.
      if (document.activeElement.disabled) byId("viewer-title").focus();
    },

    show(patch) {
      viewer.patch = patch;
      const place = viewer.list.indexOf(patch);
      const facts = page.labels[patch.label];
      byId("viewer-title").textContent = labelName(patch.label);
      byId("viewer-score").textContent = `Typicality ${number(patch.typicality)}` +
        (!patch.error ? "" : ` ± ${number(patch.error)}`) +
        (facts.randomMedian === null ? "" : ` (random patches of this label: ${number(facts.randomMedian)})`);
      byId("viewer-count").textContent = place < 0 ? "" : `${place + 1} of ${viewer.list.length}`;
      byId("viewer-previous").disabled = place <= 0;
      byId("viewer-next").disabled = place < 0 || place >= viewer.list.length - 1;
      viewer.showFacts(patch);
      viewer.showImage(patch);
      viewer.showHeat();
      if (live) live.viewing(patch);
    },

    showFacts(patch) {
      const [left, top, right, bottom] = patch.box;
      const kind = kindOf(patch);
      const rows = [["Shown as", kind[0].toUpperCase() + kind.slice(1)], ["File", patch.file],
        ["Box", `${right - left} × ${bottom - top} pixels at ${left}, ${top}`],
        [page.maps[1][0].toUpperCase() + page.maps[1].slice(1), number(patch.typicalityNull)], ["Rival’s evidence", patch.evidence === null ? "" : number(patch.evidence, 3)],
        ...page.metadataColumns.map((name, i) => [name, page.metadata[patch.metadata][i]])];
      byId("viewer-facts").replaceChildren(...rows.filter(([, value]) => value !== "").flatMap(([name, value]) =>
        [make("dt", { textContent: name }), make("dd", { textContent: value })]));
    },

    showImage(patch) {
      const image = patch.image === null ? null : images()[patch.image];
      const [width, height] = image ? [image.w, image.h] : [patch.box[2] - patch.box[0], patch.box[3] - patch.box[1]];
      const picture = byId("viewer-image");
      picture.src = jpeg(image ? image.jpeg : patch.picture);
      picture.alt = (image ? `Whole image ${short(patch.file, 120)} with the patch framed. ` : "") + describe(patch);
      const figure = byId("viewer-figure");
      figure.style.aspectRatio = `${width} / ${height}`;
      // As large as the window allows, in both directions, whatever the shape.
      figure.style.width = `min(100%, ${((78 * width) / height).toFixed(2)}vh)`;
      figure.style.minHeight = "4px";
      byId("viewer-missing").hidden = image !== null;
      const box = byId("viewer-box");
      box.hidden = image === null;
      const percent = (part, whole) => `${((100 * part) / whole).toFixed(3)}%`;
      box.style.left = percent(patch.box[0], width);
      box.style.top = percent(patch.box[1], height);
      box.style.width = percent(patch.box[2] - patch.box[0], width);
      box.style.height = percent(patch.box[3] - patch.box[1], height);
    },

    showHeat() {
      const { patch } = viewer;
      const image = patch.image === null ? null : images()[patch.image];
      const map = image && image.maps[patch.label];
      const canvas = byId("viewer-heat");
      // A run may lack a kind of map; the one against no label is always there.
      const there = (kind) => kind === "none" || Boolean(map && map.cells[Number(kind)]);
      const heat = there(viewer.heat) ? viewer.heat : "1";
      for (const input of document.querySelectorAll("#viewer-maps input[type=radio]")) {
        input.checked = input.value === heat;
        input.parentNode.hidden = !there(input.value);
      }
      byId("viewer-maps").hidden = !map;
      const visible = Boolean(map) && heat !== "none";
      canvas.hidden = !visible;
      byId("viewer-image").classList.toggle("heated", visible);
      byId("viewer-legend").hidden = !visible;
      if (!visible) return;
      const scale = 360 / Math.max(image.w, image.h);
      canvas.width = Math.max(1, Math.round(image.w * scale));
      canvas.height = Math.max(1, Math.round(image.h * scale));
      canvas.dataset.kind = page.maps[Number(heat)];
      canvas.style.opacity = String(byId("viewer-opacity").value / 100);
      drawHeat(canvas, map, Number(heat));
      drawScale(Number(heat));
    },
  };

  function onViewerKey(event) {
    // Arrow keys inside the heat-map controls belong to those controls.
    if (event.target.matches("input")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    viewer.step(step);
  }

  function setUpViewer() {
    const dialog = byId("viewer");
    byId("viewer-close").addEventListener("click", () => dialog.close());
    byId("viewer-previous").addEventListener("click", () => viewer.step(-1));
    byId("viewer-next").addEventListener("click", () => viewer.step(1));
    byId("viewer-opacity").addEventListener("input", () => viewer.showHeat());
    byId("viewer-maps").addEventListener("change", (event) => {
      if (event.target.name !== "heat") return;
      viewer.heat = event.target.value;
      viewer.showHeat();
    });
    dialog.addEventListener("keydown", onViewerKey);
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => { if (viewer.opener) viewer.opener.focus({ preventScroll: true }); });
  }

  // ------------------------------------------------------------------------------ the map

  // Eight colours that most eyes can tell apart; more labels get hues as far apart as can be.
  const COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d31"];
  const colourOf = (label) => page.labels.length <= COLOURS.length ? COLOURS[label]
    : `hsl(${((label * 137.508) % 360).toFixed(0)} 65% 50%)`;

  const atlas = {
    x: 0.5, y: 0.5, zoom: 1, label: null, middle: null, queued: false, pictures: new Map(), pointers: new Map(),
    points: patches.filter((p) => p.selection === "typical" && p.position),

    /** Middle of the canvas, and pixels per unit of the map. */
    frame() {
      const canvas = byId("map-canvas");
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      const ratio = window.devicePixelRatio || 1;
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      // The layout is stretched to the canvas: only nearness has a meaning in it, not shape.
      const room = 40;
      return { canvas, ratio, width, height, unitX: (width - room) * atlas.zoom, unitY: (height - room) * atlas.zoom };
    },

    side() {
      const { width, height } = atlas.frame();
      const fair = Math.sqrt((width * height) / Math.max(atlas.points.length, 1)) * 0.8;
      return Math.min(128, Math.max(14, Math.min(56, fair)) * Math.sqrt(atlas.zoom));
    },

    draw() {
      if (atlas.queued) return;
      atlas.queued = true;
      requestAnimationFrame(() => { atlas.queued = false; atlas.paint(); });
    },

    shown: (label) => atlas.label === null || atlas.label === label,

    paint() {
      const { canvas, ratio, width, height, unitX, unitY } = atlas.frame();
      const context = canvas.getContext("2d");
      const at = (x, y) => [width / 2 + (x - atlas.x) * unitX, height / 2 + (y - atlas.y) * unitY];
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      for (const [x, y, label] of page.dots) {
        if (!atlas.shown(label)) continue;
        context.fillStyle = colourOf(label);
        context.globalAlpha = 0.5;
        context.fillRect(at(x, y)[0] - 1.5, at(x, y)[1] - 1.5, 3, 3);
      }
      context.globalAlpha = 1;
      const side = atlas.side();
      for (const patch of atlas.points) {
        const [x, y] = at(...patch.position);
        const inside = x > -side && y > -side && x < width + side && y < height + side;
        if (inside && atlas.shown(patch.label)) atlas.sprite(context, patch, x - side / 2, y - side / 2, side);
      }
      if (live) live.paint(context, at, side);
      atlas.mark(context, at, side);
    },

    sprite(context, patch, x, y, side) {
      const border = side > 24 ? 2 : 1;
      context.fillStyle = colourOf(patch.label);
      context.fillRect(x - border, y - border, side + 2 * border, side + 2 * border);
      const picture = atlas.pictureOf(patch);
      if (picture.complete && picture.naturalWidth) context.drawImage(picture, x, y, side, side);
    },

    pictureOf(patch) {
      if (!atlas.pictures.has(patch)) {
        const picture = new Image();
        picture.onload = () => atlas.draw();
        picture.src = jpeg(patch.picture);
        atlas.pictures.set(patch, picture);
      }
      return atlas.pictures.get(patch);
    },

    /** With keyboard focus, a ring shows the patch that Enter would open. */
    mark(context, at, side) {
      atlas.middle = atlas.nearest(atlas.x, atlas.y);
      if (document.activeElement !== byId("map-canvas") || !atlas.middle) return;
      const [x, y] = at(...atlas.middle.position);
      atlas.sprite(context, atlas.middle, x - side / 2, y - side / 2, side);
      for (const [colour, grow] of [["#000", 5], ["#fff", 3]]) {
        context.strokeStyle = colour;
        context.lineWidth = 2;
        context.strokeRect(x - side / 2 - grow, y - side / 2 - grow, side + 2 * grow, side + 2 * grow);
      }
    },

    nearest(x, y) {
      const { unitX, unitY } = atlas.frame();
      let best = null;
      for (const patch of atlas.points) {
        if (!atlas.shown(patch.label)) continue;
        const far = Math.hypot((patch.position[0] - x) * unitX, (patch.position[1] - y) * unitY);
        if (best === null || far <= best.far) best = { patch, far };
      }
      return best && best.patch;
    },

    /** The patch under a place of the canvas; the one drawn last lies on top. */
    hit(px, py) {
      const { width, height, unitX, unitY } = atlas.frame();
      const reach = atlas.side() / 2;
      return atlas.points.filter((p) => atlas.shown(p.label)
        && Math.abs(width / 2 + (p.position[0] - atlas.x) * unitX - px) <= reach
        && Math.abs(height / 2 + (p.position[1] - atlas.y) * unitY - py) <= reach).pop();
    },

    /** Zoom so that the place under (px, py) stays where it is. */
    zoomBy(factor, px, py) {
      const before = atlas.frame();
      const fromX = (px ?? before.width / 2) - before.width / 2;
      const fromY = (py ?? before.height / 2) - before.height / 2;
      atlas.zoom = Math.min(60, Math.max(1, atlas.zoom * factor));
      const after = atlas.frame();
      atlas.x += fromX / before.unitX - fromX / after.unitX;
      atlas.y += fromY / before.unitY - fromY / after.unitY;
      atlas.move(0, 0);
    },

    move(dx, dy) {
      const { unitX, unitY } = atlas.frame();
      atlas.x = Math.min(1, Math.max(0, atlas.x + dx / unitX));
      atlas.y = Math.min(1, Math.max(0, atlas.y + dy / unitY));
      atlas.draw();
    },

    whole() { Object.assign(atlas, { x: 0.5, y: 0.5, zoom: 1 }); atlas.draw(); },

    open(patch) {
      const cluster = page.labels[patch.label].clusters.find((c) => c.cluster === patch.cluster);
      const list = cluster && cluster.members.includes(patch.index) ? cluster.members.map((i) => patches[i]) : [patch];
      viewer.open(patch, list, byId("map-canvas"));
    },
  };

  function onMapKey(event) {
    const far = 60;
    const actions = { ArrowLeft: () => atlas.move(-far, 0), ArrowRight: () => atlas.move(far, 0), ArrowUp: () => atlas.move(0, -far),
      ArrowDown: () => atlas.move(0, far), "+": () => atlas.zoomBy(1.4), "=": () => atlas.zoomBy(1.4), "-": () => atlas.zoomBy(1 / 1.4),
      0: atlas.whole, Enter: () => atlas.middle && atlas.open(atlas.middle) };
    if (live && live.mapKey(event)) return;
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
    if (atlas.middle) byId("map-status").textContent = "In the middle: " + describe(atlas.nearest(atlas.x, atlas.y));
  }

  function setUpMapPointers(canvas) {
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      atlas.pointers.set(event.pointerId, event);
      if (atlas.pointers.size === 1) moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = atlas.pointers.get(event.pointerId);
      if (!last) return;
      const other = [...atlas.pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
      if (other) { // two fingers: pinch
        const span = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
        atlas.zoomBy(span(event) / span(last), (event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2);
        moved = 100;
      } else atlas.move(last.clientX - event.clientX, last.clientY - event.clientY);
      moved += Math.hypot(last.clientX - event.clientX, last.clientY - event.clientY);
      atlas.pointers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointerup", (event) => {
      const patch = moved < 5 && atlas.hit(event.offsetX, event.offsetY);
      atlas.pointers.delete(event.pointerId);
      if (patch) atlas.open(patch);
    });
    canvas.addEventListener("pointercancel", (event) => atlas.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      atlas.zoomBy(Math.exp(-event.deltaY * 0.0015), event.offsetX, event.offsetY);
    }, { passive: false });
  }

  function setUpMap() {
    if (!atlas.points.length && !page.dots.length) {
      byId("map").hidden = true;
      return;
    }
    const chooser = byId("map-label");
    page.labels.forEach((facts, label) => {
      chooser.append(make("option", { value: String(label), textContent: short(labelName(label), 60) }));
      if (page.labels.length > MANY_LABELS) return;
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = colourOf(label);
      byId("map-key").append(make("li", {}, swatch, make("span", { textContent: labelName(label) })));
    });
    chooser.addEventListener("input", () => {
      atlas.label = chooser.value === "" ? null : Number(chooser.value);
      atlas.draw();
    });
    const canvas = byId("map-canvas");
    canvas.addEventListener("keydown", onMapKey);
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => atlas.draw());
    setUpMapPointers(canvas);
    byId("map-in").addEventListener("click", () => atlas.zoomBy(1.6));
    byId("map-out").addEventListener("click", () => atlas.zoomBy(1 / 1.6));
    byId("map-all").addEventListener("click", atlas.whole);
    // Thousands of small pictures are decoded only once the map comes into sight.
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      new ResizeObserver(() => atlas.draw()).observe(canvas);
    }).observe(canvas);
  }

  // ------------------------------------------------------------------------------ printing

  /** On paper every label is shown; what was not drawn yet is drawn now. */
  function fillAll() {
    for (const label of [...stale]) {
      stale.delete(label);
      fillPanel(panelOf(label), label);
    }
    if (!byId("map").hidden) atlas.paint();
  }

  if (window.typikaLive) {
    live = window.typikaLive({ page, patches, PATCH_FIELDS, make, count, short, byId, labelName, called, describe, tiles,
      atlas, viewer, view, select, refilter });
  }
  setUpTabs();
  setUpToolbar();
  setUpViewer();
  setUpMap();
  setUpTheme(() => atlas.draw());
  if (live) live.start();
  else if (page.labels.length) select(0, false);
  addEventListener("beforeprint", fillAll);
  matchMedia("print").addEventListener("change", (event) => { if (event.matches) fillAll(); });
})();
