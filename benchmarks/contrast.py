"""A planted tree of labels: two countries of two towns each, elements planted at either level.

The postcards are the demo's, planted anew: some kinds stand in one town alone, others in both
towns of a country. Mined against its parent, a town must show its own kinds and not its country's;
a country must show its own and not its towns'. A node shows a kind if one of its first six
clusters is mostly of it, as in the demo. Kinds that the demo misses are not planted, and countries
get those that colour tells, since a model of towns learns what two towns share less well.
"""

from __future__ import annotations

import csv
import io
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.record import Result, at_least, at_most
from typika import workflow
from typika.collection._elements import FAMILIES
from typika.collection._townscape import compose, paint
from typika.collection.demo import JPEG_QUALITY, MIN_VISIBLE, DemoElement
from typika.contrasts import contrast
from typika.demonstration import FIRST_CLUSTERS, PURE, SHOWN
from typika.evaluation import overlap_share
from typika.files import whole_file, write_text
from typika.mining.contrast import against_context
from typika.mining.pipeline import Mining
from typika.mining.scoring import open_scales
from typika.mining.typicality import context_gains, typicality_maps
from typika.parallel import default_workers, run_tasks
from typika.run import Run
from typika.workflow import MiningRun, recorded

TREE = {"Almorin": "North/Almorin", "Brisk": "North/Brisk",
        "Corvane": "South/Corvane", "Dovelle": "South/Dovelle"}  # fmt: skip
PLANTED = {  # families of things by the node whose design they take
    "North": ("awning", "post-box"),
    "South": ("banner", "sign"),
    "North/Almorin": ("roof",),
    "North/Brisk": ("turret",),
    "South/Corvane": ("bench",),
    "South/Dovelle": ("chimney",),
}
PER_TOWN, SIZE = 250, 256
BATCH = 25


def families_of(path: str) -> set[str]:
    """The families that are planted in a town: its own, and its country's."""
    return {family for node, own in PLANTED.items() if f"{path}/".startswith(f"{node}/")
            for family in own}  # fmt: skip


def postcard(town: str, number: int) -> tuple[np.ndarray, list[DemoElement]]:
    """One image as pixels, with what is planted in it."""
    rng = np.random.default_rng([41, list(TREE).index(town), number])
    scene = compose(rng)
    wanted = families_of(TREE[town])
    chosen: list[int] = []
    for name, family in FAMILIES.items():
        places = [place for place, item in enumerate(scene.items)
                  if item.family == name and scene.view.holds(item)]  # fmt: skip
        happens, count = rng.random() < family.share, int(rng.choice(family.counts))
        order = rng.permutation(len(places))
        if name in wanted and happens:
            chosen += [places[at] for at in order[:count]]
    painting = paint(scene, frozenset(chosen), SIZE, rng)
    elements = [
        DemoElement(f"{town}-{number:03d}.jpg", town, sighting.item.family, *sighting.box)
        for sighting in painting.planted
        if sighting.visible >= MIN_VISIBLE
    ]
    return painting.pixels, elements


def render(folder: Path) -> list[DemoElement]:
    """Write the collection, a table with labels and their paths; returns what is planted."""
    tasks = [(folder, town, start) for town in TREE for start in range(0, PER_TOWN, BATCH)]
    found = run_tasks(
        _render, tasks, workers=default_workers(), name="rendering", total=PER_TOWN * len(TREE)
    )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("file_name", "label", "label_path"))
    for town, path in TREE.items():
        writer.writerows((f"{town}-{number:03d}.jpg", town, path) for number in range(PER_TOWN))
    write_text(folder / "metadata.csv", table.getvalue())
    return [element for elements in found for element in elements]


def _render(
    folder: Path, town: str, start: int, advance: Callable[[int], None]
) -> list[DemoElement]:
    found: list[DemoElement] = []
    for number in range(start, min(start + BATCH, PER_TOWN)):
        pixels, elements = postcard(town, number)
        with whole_file(folder / f"{town}-{number:03d}.jpg") as temporary:
            Image.fromarray(pixels).save(temporary, "JPEG", quality=JPEG_QUALITY)
        found += elements
        advance(1)
    return found


def owners(patches: list[dict], truth: list[DemoElement]) -> dict[str, set[str]]:
    """The nodes that show each family."""
    boxes: dict[str, list[DemoElement]] = defaultdict(list)
    for element in truth:
        boxes[element.file_name].append(element)
    members: dict[tuple[str, int], list[set[str]]] = defaultdict(list)
    for patch in patches:
        if patch["selection"] != "typical" or not 0 <= patch["cluster"] < FIRST_CLUSTERS:
            continue
        left, top, right, bottom = (patch[side] for side in ("left", "top", "right", "bottom"))
        own = (left, top, right, bottom)
        shown = {
            one.kind
            for one in boxes[patch["file_name"]]
            if overlap_share(own, (one.left, one.top, one.right, one.bottom)) >= SHOWN
        }
        members[patch["subject"], patch["cluster"]].append(shown)
    found: dict[str, set[str]] = defaultdict(set)
    for (node, _), cluster in members.items():
        for family in FAMILIES:
            if sum(family in shown for shown in cluster) >= PURE * len(cluster):
                found[family].add(node)
    return found


def identity(run: MiningRun) -> float:
    """Largest difference between T(c vs c') and T(c) − T(c'), each scored by itself."""
    source, config = recorded(run.folder)
    mining = Mining(Run.read(run.folder), source, config, workers=1)
    collection, worst = run.collection, 0.0
    (scale, *_) = open_scales(mining, collection, ())
    for row in range(0, len(collection), max(1, len(collection) // 20)):
        latent = scale.latents.latent(row)[None]
        every = torch.arange(len(collection.labels))[None]
        gains = context_gains(scale.denoiser, latent, every, scale.design, 8)[0]
        alone = [
            typicality_maps(scale.denoiser, latent, [(context,)], scale.design)[0].null.mean
            for context in every[0].tolist()
        ]
        for against in every[0].tolist():
            for one in against_context(collection.labels, against, "", len(alone)):
                expected = alone[one.labels[0]] - alone[against]
                worst = max(worst, float(np.abs(one.map(gains).mean - expected).max()))
    return worst


def run() -> Result:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        truth = render(folder / "images")
        config = workflow.configure({"collection": {"label": "label"}})
        mined = workflow.advance(folder / "images", folder / "run", config, last="score")
        started = time.monotonic()
        found = contrast(mined, "PARENT")
        seconds = time.monotonic() - started
        shown = owners(found.patches.drop_columns(["thumbnail"]).to_pylist(), truth)
        told = confusion(found.folder / "confusion.csv")
        worst = identity(mined)
    nodes = {family: node for node, own in PLANTED.items() for family in own}
    n_found = sum(nodes[family] in shown[family] for family in nodes)
    elsewhere = {family: sorted(shown[family] - {nodes[family]}) for family in nodes}
    right = sum(shown[family] == {nodes[family]} for family in nodes)
    rows = [
        f"| {FAMILIES[family].kind} | {node} | {'yes' if node in shown[family] else 'no'} | "
        f"{', '.join(elsewhere[family]) or 'none'} |"
        for family, node in nodes.items()
    ]
    head = "| planted | at | found there | found elsewhere |\n|---|---|---|---|"
    note = (
        f"{PER_TOWN * len(TREE)} postcards. Contrasting, choosing, grouping and the page took "
        f"{seconds:.0f} s. Mean probability of the own label over cells of held-out images: "
        f"{told:.3f}, chance {1 / len(TREE):.3f}."
    )
    return Result(
        figures=(
            at_most("contrast-identity", worst, 1e-6, "T"),
            at_least("contrast-found", n_found / len(nodes), 0.9, "of planted kinds"),
            at_least("contrast", right / len(nodes), 0.9, "of planted kinds at their level alone"),
        ),
        notes=("\n".join([head, *rows]), note),
    )


def confusion(path: Path) -> float:
    """Mean probability of the own label over cells."""
    with path.open(encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["label"] == row["answer"]]
    return float(np.mean([float(row["cell_probability"]) for row in rows]))
