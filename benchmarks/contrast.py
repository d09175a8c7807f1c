"""A planted tree of labels: two countries of two towns each, elements planted at either level.

The postcards are the demo's, planted anew: some kinds stand in one town alone, others in both
towns of a country. Mined against its parent, a town must show its own kinds and not its country's;
a country must show its own and not its towns'.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from typika.collection._elements import FAMILIES
from typika.collection._townscape import compose, paint
from typika.collection.demo import JPEG_QUALITY, MIN_VISIBLE, DemoElement
from typika.demonstration import FIRST_CLUSTERS, PURE, SHOWN
from typika.evaluation import overlap_share
from typika.files import whole_file, write_text
from typika.parallel import default_workers, run_tasks

TREE = {"Almorin": "North/Almorin", "Brisk": "North/Brisk",
        "Corvane": "South/Corvane", "Dovelle": "South/Dovelle"}  # fmt: skip
PLANTED = {  # families of things by the node whose design they take
    "North": ("awning", "tree"),
    "South": ("chimney", "banner"),
    "North/Almorin": ("post-box", "roof"),
    "North/Brisk": ("turret",),
    "South/Corvane": ("bench",),
    "South/Dovelle": ("sign",),
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


def shown_by_cluster(
    patches: list[dict], truth: list[DemoElement]
) -> dict[tuple[str, int], list[set[str]]]:
    """Of each cluster of a node, the planted families that each of its patches shows."""
    boxes: dict[str, list[DemoElement]] = defaultdict(list)
    for element in truth:
        boxes[element.file_name].append(element)
    found: dict[tuple[str, int], list[set[str]]] = defaultdict(list)
    for patch in patches:
        if patch["selection"] != "typical" or not 0 <= patch["cluster"] < FIRST_CLUSTERS:
            continue
        own = tuple(patch[side] for side in ("left", "top", "right", "bottom"))
        shown = {
            one.kind
            for one in boxes[patch["file_name"]]
            if overlap_share(own, (one.left, one.top, one.right, one.bottom)) >= SHOWN
        }
        found[patch["subject"], patch["cluster"]].append(shown)
    return found


def owners(patches: list[dict], truth: list[DemoElement]) -> dict[str, set[str]]:
    """The nodes with a cluster that mostly shows a family, by family."""
    found: dict[str, set[str]] = defaultdict(set)
    for (node, _), members in shown_by_cluster(patches, truth).items():
        for family in FAMILIES:
            if sum(family in shown for shown in members) >= PURE * len(members):
                found[family].add(node)
    return found
