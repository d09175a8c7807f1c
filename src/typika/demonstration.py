"""The demo: render, mine, and hold what was found against what was planted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from typika import workflow
from typika.collection.demo import ELEMENT_KINDS, DemoElement, render_demo
from typika.evaluation import overlap_share
from typika.parallel import default_workers

FIRST_CLUSTERS = 6  # of a label, among which an element has to be
PURE = 0.6  # share of a cluster's patches that has to show the element
SHOWN = 0.5  # share of an element's box that a patch has to hold to show it

Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """How the demo went."""

    found: int
    planted: int
    missed: tuple[str, ...]
    mining_seconds: float
    report: Path


def run(folder: Path, *, seed: int = 0, workers: int | None = None) -> DemoResult:
    """Render the collection under `folder`, mine it, and count the planted elements found."""
    images = folder / "four-towns"
    truth = render_demo(images, seed=seed, workers=workers or default_workers())
    mined = workflow.mine(
        images, folder / "run", config=workflow.MineConfig(seed=seed), workers=workers
    )
    found = elements_found(mined.patches, truth.elements)
    kinds = [kind for kinds in ELEMENT_KINDS.values() for kind in kinds]
    return DemoResult(
        found=len(found),
        planted=len(kinds),
        missed=tuple(sorted(set(kinds) - found)),
        mining_seconds=sum(mined.seconds().values()),
        report=mined.report,
    )


def elements_found(patches: pa.Table, truth: Sequence[DemoElement]) -> set[str]:
    """Kinds that own a cluster: among its label's first six, 60 % of its patches showing the kind.

    A patch shows an element if at least half of the element's box lies inside it.
    """
    boxes: dict[str, list[tuple[str, Box]]] = defaultdict(list)
    for element in truth:
        box = (element.left, element.top, element.right, element.bottom)
        boxes[element.file_name].append((element.kind, box))
    members: dict[tuple[str, int], list[set[str]]] = defaultdict(list)
    for patch in patches.drop_columns(["thumbnail"]).to_pylist():
        if patch["selection"] != "typical" or not 0 <= patch["cluster"] < FIRST_CLUSTERS:
            continue  # a control, a loose patch, or of a later cluster
        own = (patch["left"], patch["top"], patch["right"], patch["bottom"])
        shown = {
            kind for kind, box in boxes[patch["file_name"]] if overlap_share(own, box) >= SHOWN
        }
        members[patch["label"], patch["cluster"]].append(shown)
    found = set()
    for (label, _), cluster in members.items():
        for kind in ELEMENT_KINDS[label]:
            if sum(kind in shown for shown in cluster) >= PURE * len(cluster):
                found.add(kind)
    return found
