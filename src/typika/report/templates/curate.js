"use strict";
// Changing clusters where `typika view` serves the report. The server holds the truth: an edit is
// sent, and what comes back (which may hold the edits of another tab) is shown. All text that a
// person wrote reaches the page through textContent or a field's value.
window.typikaLive = (report) => {
  const { page, patches, make, count, short, byId, labelName, called, atlas, viewer, view } = report;
  const facts = JSON.parse(byId("live-data").textContent);
  const POLL = 2000; // milliseconds
  const LOADED = 300; // patches of a label fetched beyond those in the page
  const AT_ONCE = 100; // patches of one request
  const TRIES = 3;
  const rows = [...facts.rows]; // of each entry of `patches`
  const indexOf = new Map(rows.map((row, index) => [row, index]));
  const leftOut = new Map(); // label -> rows left out by hand
  const labelOfRow = new Map(); // of every row that a cluster has
  const buttons = new Map(); // tile -> its patch
  const state = { revision: -1, edits: [], mine: [], selecting: false, lasso: false, chosen: new Set(),
    editor: null, over: false };

  // ------------------------------------------------------------------------------ the server

  async function ask(path, body) {
    const options = { cache: "no-store", credentials: "same-origin" };
    if (body) Object.assign(options, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const response = await fetch(path, options);
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    if (response.status === 409) outdated(answer.error);
    throw Object.assign(new Error(answer.error || `the server answered ${response.status}`), { answered: true });
  }

  /** The same, again where nothing answered: an edit sent twice counts once. */
  async function askAgain(path, body) {
    for (let tried = 1; ; tried += 1) {
      try {
        return await ask(path, body);
      } catch (error) {
        if (error.answered) throw error;
        if (tried === TRIES) throw new Error("no answer; is `typika view` still running?");
        await new Promise((done) => setTimeout(done, 300 * tried));
      }
    }
  }

  let last = Promise.resolve(); // edits go one after the other
  const queue = (job) => (last = last.then(job, job));
  const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

  /** Send a change. Whether it was saved. */
  const submit = (change, told) => queue(async () => {
    if (state.over) return false;
    byId("curate-status").textContent = "Saving…";
    const id = newId();
    try {
      const answer = await askAgain("edits", { id, base: facts.base, since: state.revision, change });
      state.mine.push(id);
      trouble("");
      take(answer);
      byId("curate-status").textContent = `Saved: ${told}`;
      return true;
    } catch (error) {
      byId("curate-status").textContent = "";
      trouble(`Not saved: ${error.message}`);
      return false;
    }
  });

  function trouble(text) {
    byId("curate-trouble").textContent = text;
    byId("curate-trouble").hidden = !text;
  }

  function outdated(text) {
    state.over = true;
    const again = make("button", { type: "button", textContent: "Reload" });
    again.addEventListener("click", () => location.reload());
    trouble("");
    byId("curate-trouble").append(text || "The run has changed.", " ", again);
    byId("curate-trouble").hidden = false;
  }

  async function poll() {
    if (state.over || document.hidden) return;
    try {
      const before = state.revision;
      const answer = await ask(`changes?base=${facts.base}&since=${state.revision}`);
      if (answer.revision <= state.revision) return;
      take(answer);
      if (before >= 0) byId("curate-status").textContent = "Changed elsewhere: " + answer.edits[0].text;
    } catch (error) {
      if (!state.over) trouble(error.answered ? error.message : "No answer; is `typika view` still running?");
      return;
    }
    if (!state.over && byId("curate-trouble").textContent.startsWith("No answer")) trouble("");
  }

  /** Take over what the server says; an answer that is older than the last one is let go. */
  function take(answer) {
    if (answer.revision < state.revision) return;
    state.revision = answer.revision;
    state.edits = answer.edits;
    const labels = Object.keys(answer.labels).map(Number);
    for (const label of labels) adopt(label, answer.labels[label]);
    listEdits();
    redraw(labels);
  }

  function adopt(label, data) {
    for (const patch of patches) {
      if (patch.label === label && patch.selection === "typical") Object.assign(patch, { cluster: -1, out: false });
    }
    Object.assign(page.labels[label], data);
    for (const cluster of data.clusters) {
      place(cluster);
      for (const row of cluster.rows) labelOfRow.set(row, label);
    }
    for (const row of data.leftOut) labelOfRow.set(row, label);
    leftOut.set(label, data.leftOut);
    for (const row of data.leftOut) if (indexOf.has(row)) patches[indexOf.get(row)].out = true;
  }

  /** From rows to entries of `patches`, as far as they are here. */
  function place(cluster) {
    cluster.rows ||= cluster.members;
    cluster.members = cluster.rows.filter((row) => indexOf.has(row)).map((row) => indexOf.get(row));
    for (const index of cluster.members) patches[index].cluster = cluster.cluster;
  }

  const asked = new Map(); // label -> rows that are here or on their way

  /** Fetch the pictures that a label wants and the page has not. */
  async function load(label) {
    const data = page.labels[label];
    const known = asked.get(label) || new Set();
    asked.set(label, known);
    const wanted = [...(leftOut.get(label) || []), ...data.clusters.flatMap((cluster) => cluster.rows || [])]
      .filter((row) => !indexOf.has(row) && !known.has(row)).slice(0, Math.max(0, LOADED - known.size));
    wanted.forEach((row) => known.add(row));
    if (!wanted.length) return;
    for (let from = 0; from < wanted.length; from += AT_ONCE) {
      const answer = await ask(`patches?base=${facts.base}&rows=${wanted.slice(from, from + AT_ONCE).join()}`);
      answer.patches.forEach(([row, values, words]) => add(row, values, words));
    }
    for (const cluster of data.clusters) place(cluster);
    for (const row of leftOut.get(label) || []) if (indexOf.has(row)) patches[indexOf.get(row)].out = true;
    redraw([label]);
  }

  function add(row, values, words) {
    if (indexOf.has(row)) return;
    const patch = Object.fromEntries(report.PATCH_FIELDS.map((name, i) => [name, values[i]]));
    Object.assign(patch, { index: patches.length, metadata: page.metadata.push(words) - 1 });
    patches.push(patch);
    rows.push(row);
    indexOf.set(row, patch.index);
    if (patch.position) atlas.points.push(patch);
  }

  // ------------------------------------------------------------------------------ drawing

  /** Draw labels anew, with the focus where it was, in the middle of a word too. */
  function redraw(labels) {
    const active = document.activeElement;
    const focus = active?.dataset.focus;
    const typing = state.editor?.form.contains(active) ? [active, active.selectionStart, active.selectionEnd] : null;
    const open = new Set(folds().filter((fold) => fold.open).map(foldKey));
    report.refilter(labels);
    for (const fold of folds()) if (open.has(foldKey(fold))) fold.open = true;
    buttons.forEach((patch, button) => { if (!button.isConnected) buttons.delete(button); });
    if (focus) focusOn(focus);
    if (typing && typing[0].isConnected) {
      typing[0].focus({ preventScroll: true });
      if (Number.isInteger(typing[1])) typing[0].setSelectionRange(typing[1], typing[2]);
    }
    showChosen();
  }

  const folds = () => [...document.querySelectorAll("details[data-fold]")];
  const foldKey = (fold) => `${fold.closest(".panel").id} ${fold.dataset.fold}`;

  function focusOn(key) {
    const found = [...document.querySelectorAll("[data-focus]")].find((node) => node.dataset.focus === key);
    if (found) found.focus();
    return found;
  }

  const spoken = (cluster) => `cluster ${cluster.rank}${cluster.name ? ` ${short(cluster.name, 60)}` : ""}`;

  function tool(action, label, cluster, text, act) {
    const button = make("button", { type: "button", className: "tool", textContent: text, ariaLabel: `${text.replace(/^[☆★] /, "")} ${spoken(cluster)}` });
    button.dataset.focus = `${action} ${label} ${cluster.cluster}`;
    button.addEventListener("click", () => act(button));
    return button;
  }

  function row(item, label, cluster) {
    const star = tool("star", label, cluster, cluster.starred ? "★ Star" : "☆ Star", () =>
      submit({ kind: "star", cluster: cluster.key, on: !cluster.starred }, `${spoken(cluster)} ${cluster.starred ? "has no star now" : "starred"}`));
    star.ariaPressed = String(cluster.starred);
    const hide = tool("hide", label, cluster, cluster.hidden ? "Show again" : "Hide", () =>
      submit({ kind: "hide", cluster: cluster.key, on: !cluster.hidden }, `${spoken(cluster)} ${cluster.hidden ? "shown again" : "hidden"}`));
    const others = page.labels[label].clusters.filter((other) => other.cluster !== cluster.cluster);
    const tools = make("div", { className: "tools", role: "group", ariaLabel: `Change ${spoken(cluster)}` }, star,
      tool("rename", label, cluster, "Rename", (opener) => openEditor(tools, opener, naming(label, cluster))),
      tool("note", label, cluster, "Note", (opener) => openEditor(tools, opener, noting(label, cluster))), hide);
    if (others.length) tools.append(tool("merge", label, cluster, "Merge", (opener) => openEditor(tools, opener, merging(label, cluster, others))));
    tools.append(tool("choose", label, cluster, "Select all", () => chooseAll(cluster)));
    item.lastElementChild.append(tools);
    // What somebody is typing outlives the row that it stands in.
    if (state.editor?.of === `${label} ${cluster.cluster}`) tools.after(state.editor.form);
  }

  // A field, what it is called, and what is sent when it is saved.
  const naming = (label, cluster) => ({
    title: `Name of ${spoken(cluster)}`,
    field: make("input", { type: "text", value: cluster.name, maxLength: 200, autocomplete: "off", spellcheck: true }),
    change: (value) => ({ kind: "rename", cluster: cluster.key, name: value.trim() }),
    told: (value) => `${spoken(cluster)} ${value.trim() ? `is called ${short(value.trim(), 60)}` : "has no name now"}`,
  });
  const noting = (label, cluster) => ({
    title: `Note on ${spoken(cluster)}`,
    field: make("textarea", { value: cluster.note, maxLength: 4000, rows: 4 }),
    change: (value) => ({ kind: "note", cluster: cluster.key, note: value.trim() }),
    told: () => `note on ${spoken(cluster)}`,
  });
  const merging = (label, cluster, others) => ({
    title: `Merge ${spoken(cluster)} into`,
    field: make("select", {}, ...others.map((other) =>
      make("option", { value: other.key, textContent: `Cluster ${other.rank}${other.name ? `, ${short(other.name, 60)}` : ""}` }))),
    change: (value) => ({ kind: "merge", cluster: cluster.key, into: value }),
    told: (value) => `${spoken(cluster)} merged into ${spoken(others.find((other) => other.key === value))}`,
    then: (value) => `merge ${label} ${others.find((other) => other.key === value).cluster}`,
  });

  function openEditor(tools, opener, { title, field, change, told, then }) {
    closeEditor();
    const save = make("button", { type: "submit", textContent: field.tagName === "SELECT" ? "Merge" : "Save" });
    const cancel = make("button", { type: "button", textContent: "Cancel" });
    const form = make("form", { className: "editor" }, make("label", {}, make("span", { textContent: title }), field),
      make("div", { className: "buttons" }, save, cancel));
    const done = (focus) => { closeEditor(); focusOn(focus); };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { value } = field;
      const focus = then ? then(value) : opener.dataset.focus;
      save.disabled = true;
      if (await submit(change(value), told(value))) done(focus);
      else save.disabled = false; // what was typed stays, to be mended
    });
    cancel.addEventListener("click", () => done(opener.dataset.focus));
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") done(opener.dataset.focus);
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    tools.after(form);
    state.editor = { form, of: opener.dataset.focus.replace(/^\w+ /, "") };
    field.focus();
    if (field.select) field.select();
  }

  function closeEditor() {
    if (!state.editor) return;
    state.editor.form.remove();
    state.editor = null;
  }

  /** What stands below the rows of a label: patches left out, to look at and to put back. */
  function below(label) {
    const out = leftOut.get(label) || [];
    if (!out.length) return [];
    const list = out.filter((row) => indexOf.has(row)).map((row) => patches[indexOf.get(row)]);
    const details = make("details", { className: "controls" }, make("summary", { textContent: `Left out by hand: ${count(out.length, "patch", "patches")}` }));
    details.dataset.fold = "out";
    details.append(report.tiles(list, 24, out.length - list.length, `out ${label}`));
    return [details];
  }

  // ------------------------------------------------------------------------------ choosing patches

  const rowOf = (patch) => rows[patch.index];
  const dots = new Map(facts.dotRows.map((row, index) => [row, index]));
  const labelOf = (row) => labelOfRow.get(row) ?? (indexOf.has(row) ? patches[indexOf.get(row)].label : page.dots[dots.get(row)][2]);

  function dress(button, patch) {
    if (patch.selection !== "typical") return;
    buttons.set(button, patch);
    mark(button, patch);
  }

  function mark(button, patch) {
    const chosen = state.chosen.has(rowOf(patch));
    button.classList.toggle("chosen", chosen);
    if (state.selecting) button.ariaPressed = String(chosen);
    else button.removeAttribute("aria-pressed");
  }

  /** Whether a click chooses patches now; if so it has chosen this one, or let it go. */
  function choose(patch) {
    if (!state.selecting || patch.selection !== "typical") return false;
    const row = rowOf(patch);
    if (!state.chosen.delete(row)) state.chosen.add(row);
    showChosen();
    return true;
  }

  function chooseAll(cluster) {
    const all = cluster.rows.every((row) => state.chosen.has(row));
    for (const row of cluster.rows) if (all) state.chosen.delete(row); else state.chosen.add(row);
    selecting(true);
  }

  function selecting(on) {
    state.selecting = on;
    byId("curate-select").ariaPressed = String(on);
    document.body.classList.toggle("selecting", on);
    showChosen();
  }

  function byLabel(keep = () => true) {
    const found = new Map();
    for (const row of [...state.chosen].filter(keep).sort((a, b) => a - b)) {
      const label = labelOf(row);
      found.set(label, [...(found.get(label) || []), row]);
    }
    return [...found].sort((a, b) => a[0] - b[0]);
  }

  const isOut = (row) => (leftOut.get(labelOf(row)) || []).includes(row);

  function showChosen() {
    buttons.forEach((patch, button) => mark(button, patch));
    const found = byLabel();
    const n = state.chosen.size;
    const text = byId("curate-chosen");
    text.hidden = !n && !state.selecting;
    text.textContent = `${n ? count(n, "patch", "patches") : "No patch"} selected` +
      (n ? ": " + found.map(([label, own]) => `${own.length} of ${short(labelName(label), 30)}`).join(", ") : "; click patches, or draw around them in the map");
    const out = [...state.chosen].filter(isOut).length;
    byId("curate-split").hidden = byId("curate-clear").hidden = !n;
    byId("curate-drop").hidden = n === out;
    byId("curate-keep").hidden = !out;
    atlas.draw();
  }

  /** One edit for each label: clusters and patches are of one label each. */
  async function eachLabel(found, change, told) {
    for (const [label, own] of found) {
      if (!(await submit(change(own), `${count(own.length, "patch", "patches")} of ${short(labelName(label), 40)} ${told}`))) return false;
    }
    return true;
  }

  function clear() {
    state.chosen.clear();
    showChosen();
  }

  async function split() {
    const found = byLabel();
    if (!(await eachLabel(found, (own) => ({ kind: "split", rows: own }), "made a cluster"))) return;
    clear();
    selecting(false);
    const [label, own] = found[0];
    report.select(label, false);
    const made = page.labels[label].clusters.find((cluster) => (cluster.rows || []).includes(own[0]));
    const button = made && focusOn(`rename ${label} ${made.cluster}`);
    if (button) button.scrollIntoView({ block: "center" });
    else byId("curate-select").focus();
  }

  async function drop(on) {
    const found = byLabel((row) => isOut(row) !== on);
    if (!(await eachLabel(found, (own) => ({ kind: "drop", rows: own, on }), on ? "left out" : "put back"))) return;
    clear();
    byId("curate-select").focus();
  }

  // ------------------------------------------------------------------------------ the window of a patch

  const leave = make("button", { type: "button", id: "viewer-leave" });

  function viewing(patch) {
    leave.hidden = patch.selection !== "typical";
    leave.textContent = patch.out ? "Put this patch back" : "Leave this patch out";
  }

  async function leaveOut() {
    const { patch } = viewer;
    await submit({ kind: "drop", rows: [rowOf(patch)], on: !patch.out }, patch.out ? "1 patch put back" : "1 patch left out");
    viewing(patch);
  }

  // ------------------------------------------------------------------------------ the map

  function at(x, y) {
    const { width, height, unitX, unitY } = atlas.frame();
    return [width / 2 + (x - atlas.x) * unitX, height / 2 + (y - atlas.y) * unitY];
  }

  /** Everything in the map that can be chosen: row, place. */
  function* shown() {
    for (const patch of atlas.points) if (atlas.shown(patch.label)) yield [rowOf(patch), patch.position];
    for (const [index, [x, y, label]] of page.dots.entries()) {
      if (atlas.shown(label) && !indexOf.has(facts.dotRows[index])) yield [facts.dotRows[index], [x, y]];
    }
  }

  /** A tick on chosen patches, a cross over those left out: told apart by shape. */
  function paint(context, place, side) {
    const out = new Set([...leftOut.values()].flat());
    if (!state.chosen.size && !out.size) return;
    for (const [row, position] of shown()) {
      const [x, y] = place(...position);
      const half = indexOf.has(row) ? side / 2 : 3;
      if (out.has(row)) stroke(context, [[x - half, y - half, x + half, y + half], [x - half, y + half, x + half, y - half]]);
      if (state.chosen.has(row)) tick(context, x, y, Math.max(4, half / 2.5));
    }
  }

  function tick(context, x, y, radius) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = "#000";
    context.fill();
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.stroke();
    context.beginPath();
    context.moveTo(x - radius * 0.5, y);
    context.lineTo(x - radius * 0.1, y + radius * 0.4);
    context.lineTo(x + radius * 0.5, y - radius * 0.4);
    context.stroke();
  }

  function stroke(context, lines) {
    for (const [colour, width] of [["#000", 5], ["#fff", 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      for (const [x1, y1, x2, y2] of lines) { context.moveTo(x1, y1); context.lineTo(x2, y2); }
      context.stroke();
    }
  }

  /** Choose what lies inside a line drawn in the map. */
  function choosePoints(line) {
    if (line.length < 3) return;
    const shape = new Path2D();
    line.forEach(([x, y], i) => (i ? shape.lineTo(x, y) : shape.moveTo(x, y)));
    shape.closePath();
    const context = document.createElement("canvas").getContext("2d");
    let n = 0;
    for (const [row, position] of shown()) {
      if (!context.isPointInPath(shape, ...at(...position)) || state.chosen.has(row)) continue;
      state.chosen.add(row);
      n += 1;
    }
    byId("map-status").textContent = `${count(n, "patch", "patches")} added to the selection.`;
    selecting(true);
  }

  function setUpLasso() {
    const canvas = byId("map-canvas");
    const frame = make("div", { className: "map-frame" });
    const sheet = make("canvas", { id: "map-lasso", hidden: true, ariaHidden: "true" });
    canvas.before(frame);
    frame.append(canvas, sheet);
    canvas.setAttribute("aria-label", canvas.getAttribute("aria-label") + " The space bar selects the patch in the middle.");
    const button = make("button", { type: "button", id: "map-draw", ariaPressed: "false", textContent: "Lasso" });
    byId("map-all").after(button);
    button.addEventListener("click", () => lasso(!state.lasso));
    let line = null;
    sheet.addEventListener("pointerdown", (event) => {
      sheet.setPointerCapture(event.pointerId);
      sheet.width = sheet.clientWidth;
      sheet.height = sheet.clientHeight;
      line = [[event.offsetX, event.offsetY]];
    });
    sheet.addEventListener("pointermove", (event) => {
      if (!line) return;
      line.push([event.offsetX, event.offsetY]);
      drawLine(sheet, line);
    });
    const end = (event) => {
      const drawn = line;
      line = null;
      sheet.getContext("2d").clearRect(0, 0, sheet.width, sheet.height);
      if (drawn && event.type === "pointerup") choosePoints(drawn);
    };
    sheet.addEventListener("pointerup", end);
    sheet.addEventListener("pointercancel", end);
    sheet.addEventListener("wheel", (event) => {
      event.preventDefault();
      atlas.zoomBy(Math.exp(-event.deltaY * 0.0015), event.offsetX, event.offsetY);
    }, { passive: false });
  }

  function drawLine(sheet, line) {
    const context = sheet.getContext("2d");
    context.clearRect(0, 0, sheet.width, sheet.height);
    context.beginPath();
    line.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.fillStyle = "rgb(0 0 0 / 12%)";
    context.fill();
    for (const [colour, width, dash] of [["#fff", 4, []], ["#000", 2, [6, 4]]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.setLineDash(dash);
      context.stroke();
    }
  }

  function lasso(on) {
    state.lasso = on;
    byId("map-draw").ariaPressed = String(on);
    byId("map-lasso").hidden = !on;
    if (on) byId("map-status").textContent = "Draw around patches; arrow keys, wheel, + and − still move the map.";
  }

  /** Keys of the map that are for choosing; whether this was one. */
  function mapKey(event) {
    if (event.key === " " && atlas.middle && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      if (!state.selecting) selecting(true);
      choose(atlas.middle);
      byId("map-status").textContent = `${state.chosen.has(rowOf(atlas.middle)) ? "Selected" : "No longer selected"}: ${report.describe(atlas.middle)}`;
      return true;
    }
    if (event.key === "Escape" && state.lasso) {
      lasso(false);
      return true;
    }
    return false;
  }

  // ------------------------------------------------------------------------------ the list of edits

  function listEdits() {
    const undoable = [...state.mine].reverse().find((id) => state.edits.some((edit) => edit.id === id && !edit.undone));
    byId("curate-undo").disabled = !undoable;
    byId("curate-undo").dataset.edit = undoable || "";
    byId("edits-none").hidden = state.edits.length > 0;
    const focus = document.activeElement?.dataset.focus;
    byId("edit-list").replaceChildren(...state.edits.map(entry));
    if (focus?.startsWith("undo ")) focusOn(focus);
  }

  function entry(edit) {
    const said = edit.undone ? "taken back" : edit.placed ? "" : "not placed";
    const button = make("button", { type: "button", className: "tool", textContent: edit.undone ? "Redo" : "Undo" });
    button.setAttribute("aria-label", `${button.textContent}: ${short(edit.text, 120)}`);
    button.dataset.focus = `undo ${edit.id}`;
    button.addEventListener("click", () => takeBack(edit));
    const words = make("span", { className: edit.undone ? "undone" : "" }, make("bdi", { textContent: edit.text }));
    const time = make("time", { className: "quiet", dateTime: edit.at, textContent: new Date(edit.at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) });
    return make("li", { value: edit.number }, words, said ? make("strong", { textContent: ` (${said})` }) : "", " ", time, " ", button);
  }

  const takeBack = (edit) => (edit.undone
    ? submit({ kind: "undo", edit: edit.undoneBy }, `done again: ${edit.text}`)
    : submit({ kind: "undo", edit: edit.id }, `taken back: ${edit.text}`));

  async function undo() {
    const edit = state.edits.find((one) => one.id === byId("curate-undo").dataset.edit);
    if (edit) await takeBack(edit);
    if (byId("curate-undo").disabled) byId("curate-select").focus();
  }

  // ------------------------------------------------------------------------------ the start

  async function start() {
    // The address held the token; it is a cookie now, and need not lie in the history.
    history.replaceState(null, "", location.pathname + location.hash);
    setUpLasso();
    document.querySelector(".sheet > .buttons").append(leave);
    leave.addEventListener("click", leaveOut);
    byId("curate-select").addEventListener("click", () => selecting(!state.selecting));
    byId("curate-split").addEventListener("click", split);
    byId("curate-drop").addEventListener("click", () => drop(true));
    byId("curate-keep").addEventListener("click", () => drop(false));
    byId("curate-clear").addEventListener("click", () => { clear(); byId("curate-select").focus(); });
    byId("curate-undo").addEventListener("click", undo);
    await poll();
    if (page.labels.length) report.select(0, false);
    setInterval(poll, POLL);
    document.addEventListener("visibilitychange", poll);
  }

  return {
    start, row, dress, choose, below, viewing, paint, mapKey,
    showing: (labels) => labels.forEach((label) => { if (label !== null) load(label).catch((error) => trouble(error.message)); }),
  };
};
