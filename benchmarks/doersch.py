"""Doersch et al. 2012 on 1,000 postcards: minutes, memory, and which planted kinds it finds.

One label, 25,000 candidate windows, two processes. A planted kind owns a detector if 60 % of the
six matches that a figure shows hold half of such an element; chance is the same of detectors whose
matches are windows of the label drawn at random.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, Result, at_most, cpu_seconds, peak_memory
from typika.baselines import hog
from typika.baselines.doersch import Detectors, DoerschConfig, mine
from typika.collection.demo import ELEMENT_KINDS, DemoTruth, render_demo
from typika.collection.images import ImageCollection
from typika.demonstration import PURE, SHOWN
from typika.evaluation import overlap_share

LABEL = "Almorin"
PER_LABEL, SIDE, WORKERS = 250, 256, 2  # images, pixels, processes
DRAWINGS = 50  # of all detectors at random

Box = tuple[int, int, int, int]
Match = tuple[str, Box]


class Shown:
    """Which planted kinds a window of an image shows."""

    def __init__(self, truth: DemoTruth) -> None:
        self.boxes: dict[str, list[tuple[str, Box]]] = defaultdict(list)
        for element in truth.elements:
            box = (element.left, element.top, element.right, element.bottom)
            self.boxes[element.file_name].append((element.kind, box))

    def owner(self, matches: Iterable[Match]) -> str | None:
        """The label's kind that owns a detector with these matches."""
        kinds = [
            {kind for kind, box in self.boxes[name] if overlap_share(own, box) >= SHOWN}
            for name, own in matches
        ]
        shares = {
            kind: np.mean([kind in shown for shown in kinds]) for kind in ELEMENT_KINDS[LABEL]
        }
        best = max(shares, key=lambda kind: shares[kind])
        return best if shares[best] >= PURE else None


def owners_by_chance(names: list[str], shown: Shown, config: DoerschConfig) -> list[set[str]]:
    """The kinds that own one of as many detectors with random matches, in several drawings."""
    rng = np.random.default_rng(0)
    places = (SIDE - hog.WINDOW) // hog.CELL + 1
    found = []
    for _ in range(DRAWINGS):
        owners = set()
        for _ in range(config.shown):
            corners = hog.CELL * rng.integers(places, size=(config.matches, 2))
            matches = [
                (str(rng.choice(names)), (left, top, left + hog.WINDOW, top + hog.WINDOW))
                for left, top in corners.tolist()
            ]
            owners.add(shown.owner(matches))
        found.append(owners - {None})
    return found


def owners(
    collection: ImageCollection, found: Detectors, shown: Shown, count: int
) -> list[str | None]:
    """The kind that owns each detector."""
    names = collection.table["file_name"].to_pylist()
    return [
        shown.owner((names[row], tuple(box)) for row, box in zip(rows, boxes, strict=True))
        for rows, boxes in zip(
            found.row[:, :count].tolist(), found.box[:, :count].tolist(), strict=True
        )
    ]


def run(candidates: int = 25_000) -> Result:
    config = DoerschConfig(candidates=candidates)
    with tempfile.TemporaryDirectory() as place:
        truth = render_demo(Path(place) / "towns", n_per_label=PER_LABEL, size=SIDE)
        collection = ImageCollection.open(truth.folder)
        with peak_memory(os.getpid(), every=1) as peak:
            started, cpu = time.monotonic(), cpu_seconds(os.getpid())
            found = mine(collection, LABEL, config, seed=0, workers=WORKERS)
            minutes = (time.monotonic() - started) / 60
            cpu = (cpu_seconds(os.getpid()) - cpu) / 60
            load = os.getloadavg()[2]  # above two, others were at work on the two cores
    shown = Shown(truth)
    own = owners(collection, found, shown, config.matches)
    kinds = set(own) - {None}
    names = [name for name in collection.table["file_name"].to_pylist() if name.startswith(LABEL)]
    chance = float(np.mean([len(drawn) for drawn in owners_by_chance(names, shown, config)]))
    first = [f"{share:.2f} {kind or '-'}" for share, kind in
             zip(found.discriminativeness[:16], own[:16], strict=True)]  # fmt: skip
    note = (
        f"{len(collection)} postcards, {LABEL} against the other towns, {found.n_candidates:,} "
        f"candidates, {WORKERS} processes of one thread: {minutes:.1f} minutes, in which they had "
        f"{cpu:.1f} minutes of a core (average load at the end {load:.1f}). "
        f"{len(kinds)} of {len(ELEMENT_KINDS[LABEL])} planted kinds own one of the first "
        f"{len(own)} detectors ({sum(kind is not None for kind in own)} detectors in all), by "
        f"chance {chance:.2f}. Discriminativeness over {found.row.shape[1]} matches and owner of "
        f"the first 16: {', '.join(first)}; the mean of all {len(own)} is "
        f"{found.discriminativeness.mean():.2f}, chance {found.chance:.2f}."
    )
    return Result(
        figures=(
            at_most("doersch-memory", peak[0], 4, "GB"),
            Figure(name="doersch-cpu", value=cpu, unit="CPU min", target="-", met=None),
            Figure(
                name="doersch-kinds", value=len(kinds), target=f"chance {chance:.2g}", met=None,
                unit=f"of {len(ELEMENT_KINDS[LABEL])} planted kinds own a detector",
            ),
            at_most("doersch", minutes, 30, "min"),
        ),
        notes=(note,),
    )  # fmt: skip
