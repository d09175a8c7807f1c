"""The demo with artefacts planted on top: does each get its badge, and do elements get none?

Each town has an artefact in about six of ten of its images: Dovelle the edge of a scanner's lid,
which is the demo's own, Almorin the lines and grain of a poor scanner, Brisk a warm cast as of a
faded print (one of half the strength led the miner astray nowhere), Corvane a translucent mark at
one place.

A cluster is an element's if most of its patches hold one, the artefact's if most of its patches
show it (of noise and cast, which are everywhere: nearly all come from images that have it), and
both if it is both: turrets under a cast. An artefact has its badge if the clusters with it hold
most of the patches of its clusters; one of which the miner made no cluster needs none.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from benchmarks.record import Result, at_least, at_most
from typika import workflow
from typika.collection.demo import DemoElement, render_demo
from typika.evaluation import overlap_share
from typika.mining.artefacts import badges
from typika.mining.confounds import confounds
from typika.parallel import default_workers

SEEDS = (0, 1, 2)
PER_LABEL = 250  # images of a town
SHARE = 0.6  # of a town's images that get its artefact
SHOWN = 0.5  # share of an element's or a mark's box that a patch has to hold to show it
COVERED = 0.8  # share of the patches of an artefact's clusters that the badge has to reach
PURE = 0.6  # share of a cluster's patches that has to show an element for it to own the cluster
MARKED = 0.9  # share of a cluster's patches from marked images, where the artefact has no place
CAST = np.array([0.18, 0.04, -0.42])  # what of red, green, blue is added
MARK = (196, 204, 236, 244)  # left, top, right, bottom of the watermark, pixels of 256
BADGE_OF = {"Almorin": "re-encoding", "Brisk": "tint", "Corvane": "fixed place",
            "Dovelle": "border"}  # fmt: skip

Box = tuple[int, int, int, int]


# --- artefacts ----------------------------------------------------------------------------------


def with_scanner_noise(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows a little lighter or darker each, and grain."""
    height, width = pixels.shape[:2]
    lines = rng.normal(0, 5, (height, 1, 1))
    grain = rng.normal(0, 5, (height, width, 1))
    return (pixels + lines + grain).clip(0, 255).round().astype(np.uint8)


def with_warm_cast(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """More red, less blue."""
    strength = rng.uniform(0.8, 1.2)
    return (pixels * (1 + strength * CAST)).clip(0, 255).astype(np.uint8)


def with_watermark(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """A ring with a bar across it, translucent, always at the same place."""
    image = Image.fromarray(pixels).convert("RGBA")
    layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
    pen = ImageDraw.Draw(layer)
    left, top, right, bottom = MARK
    white = (255, 255, 255, 110)
    pen.ellipse(MARK, outline=white, width=5)
    pen.rectangle(
        [left + 6, (top + bottom) // 2 - 3, right - 6, (top + bottom) // 2 + 3], fill=white
    )
    return np.asarray(Image.alpha_composite(image, layer).convert("RGB"))


PLANTED: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "Almorin": with_scanner_noise,
    "Brisk": with_warm_cast,
    "Corvane": with_watermark,
}


@dataclass(frozen=True)
class Planted:
    """A rendered collection: its elements, and which images show their town's artefact."""

    folder: Path
    elements: tuple[DemoElement, ...]
    marked: frozenset[str]


def plant(folder: Path, seed: int, per_label: int = PER_LABEL) -> Planted:
    """Render the demo and put the artefacts on it."""
    truth = render_demo(folder, n_per_label=per_label, seed=seed, workers=default_workers())
    marked = {one.file_name for one in truth.elements if one.is_artefact}
    for town, (label, change) in enumerate(PLANTED.items()):
        for number, path in enumerate(sorted((folder / label).glob("*.jpg"))):
            rng = np.random.default_rng([seed, town, number, 77])
            if rng.random() < SHARE:
                with Image.open(path) as image:
                    pixels = change(np.asarray(image.convert("RGB")), rng)
                Image.fromarray(pixels).save(path, "JPEG", quality=92)
                marked.add(path.relative_to(folder).as_posix())
    return Planted(folder, truth.elements, frozenset(marked))


# --- whose a cluster is -------------------------------------------------------------------------


def owners(patches: pa.Table, planted: Planted) -> dict[tuple[str, int], str]:
    """Of each cluster "element", "artefact", "both" or "neither"."""
    boxes: dict[str, list[tuple[str, Box, bool]]] = defaultdict(list)
    for one in planted.elements:
        box = (one.left, one.top, one.right, one.bottom)
        boxes[one.file_name].append((one.kind, box, one.is_artefact))
    members: dict[tuple[str, int], list[dict]] = defaultdict(list)
    for patch in patches.drop_columns(["thumbnail"]).to_pylist():
        if patch["selection"] == "typical":
            members[patch["label"], patch["cluster"]].append(patch)
    return {key: _owner(key[0], own, boxes, planted.marked) for key, own in members.items()}


def _owner(
    label: str,
    members: list[dict],
    boxes: Mapping[str, list[tuple[str, Box, bool]]],
    marked: frozenset[str],
) -> str:
    shown: dict[str, int] = defaultdict(int)
    artefact = 0
    for patch in members:
        own = (patch["left"], patch["top"], patch["right"], patch["bottom"])
        known = boxes[patch["file_name"]]
        for kind in {k for k, box, flaw in known if not flaw and overlap_share(own, box) >= SHOWN}:
            shown[kind] += 1
        if label == "Dovelle":
            artefact += any(flaw and own[0] < box[2] for _, box, flaw in known)
        elif label == "Corvane":
            artefact += patch["file_name"] in marked and overlap_share(own, MARK) >= SHOWN
        else:
            artefact += patch["file_name"] in marked
    least = PURE if label in ("Dovelle", "Corvane") else MARKED
    is_artefact = artefact >= least * len(members)
    if max(shown.values(), default=0) >= PURE * len(members):
        return "both" if is_artefact else "element"
    return "artefact" if is_artefact else "neither"


# --- the benchmark ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """What one collection gave."""

    badged: dict[str, float | None]  # town -> share of its artefact's patches; None: not mined
    elements: int  # clusters of planted elements
    wrong: tuple[str, ...]  # those with a badge
    confounded: tuple[str, ...]  # labels with a warning
    seconds: float  # of finding badges and confounds


def count(planted: Planted, folder: Path, seed: int) -> Count:
    """Mine a collection with artefacts and look at its badges."""
    config = workflow.MineConfig(seed=seed)
    with workflow.opened(planted.folder, folder, config, None, overwrite=False) as mining:
        mining.advance_to("cluster")
        done = workflow.MiningRun(folder)
        started = time.monotonic()
        found = badges(mining, mining.collection, done.patches, done.clusters)
        told = confounds(mining, mining.collection)
        seconds = time.monotonic() - started
    owner = owners(done.patches, planted)
    given = defaultdict(set)
    for row in found.to_pylist():
        given[row["label"], row["cluster"]] |= {row["badge"]} if row["given"] else set()
    tested = {key: owner[key] for key in given}
    sizes = {(row["label"], row["cluster"]): row["size"] for row in done.clusters.to_pylist()}
    badged: dict[str, float | None] = {}
    for town, badge in BADGE_OF.items():
        own = [key for key, whose in tested.items() if key[0] == town and whose == "artefact"]
        hits = sum(sizes[key] for key in own if badge in given[key])
        badged[town] = hits / sum(sizes[key] for key in own) if own else None
    elements = [key for key, whose in tested.items() if whose == "element"]
    wrong = tuple(f"{key[0]} {key[1]}: {', '.join(sorted(given[key]))}" for key in elements
                  if given[key])  # fmt: skip
    confounded = sorted({row["label"] for row in told.to_pylist() if row["explains"]})
    return Count(badged, len(elements), wrong, tuple(confounded), seconds)


def run(seeds: tuple[int, ...] = SEEDS, per_label: int = PER_LABEL) -> Result:
    rows, counts = [], []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as place:
            planted = plant(Path(place) / "four-towns", seed, per_label)
            one = count(planted, Path(place) / "run", seed)
        counts.append(one)
        shares = [one.badged[town] for town in BADGE_OF]
        cells = " | ".join("not mined" if one is None else f"{one:.2f}" for one in shares)
        rows.append(
            f"| {seed} | {cells} | {len(one.wrong)} of {one.elements} | "
            f"{'; '.join(one.wrong) or 'none'} | {', '.join(one.confounded) or 'none'} | "
            f"{one.seconds:.0f} |"
        )
    head = "| seed | " + " | ".join(f"{badge}, {town}" for town, badge in BADGE_OF.items())
    head += " | elements with a badge | which | labels with a warning | s |\n" + "|---" * 9 + "|"
    mined = [part for one in counts for part in one.badged.values() if part is not None]
    return Result(
        figures=(
            at_most("artefacts-wrong", sum(len(one.wrong) for one in counts)
                    / max(1, sum(one.elements for one in counts)), 0.05, "of element clusters"),
            at_least("artefacts", float(np.mean([part >= COVERED for part in mined])), 1,
                     "of planted artefacts that were mined have their badge"),
        ),
        notes=("\n".join([head, *rows]),),
    )  # fmt: skip
