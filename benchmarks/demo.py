"""The demo over three seeds: planted elements found, precision of the maps, time and memory."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.record import Result, at_least, at_most, peak_memory
from typika import demonstration, evaluation
from typika.collection.demo import ELEMENT_KINDS, read_truth
from typika.mining import patches
from typika.mining.scores import ScoredMaps
from typika.tables import read_parquet

SEEDS = (0, 1, 2)
MAPS = ("null", "others", "evidence")


def precision(folder: Path) -> dict[str, float]:
    """Mean average precision of the maps over all images with an element, and chance."""
    boxes = defaultdict(list)
    for element in read_truth(folder / "four-towns" / "truth.csv"):
        if not element.is_artefact:
            box = (element.left, element.top, element.right, element.bottom)
            boxes[element.file_name].append(box)
    collection = read_parquet(folder / "run" / "collection.parquet")
    names = collection["file_name"].to_pylist()
    found = defaultdict(list)
    scored = ScoredMaps(folder / "run")
    for row, file_name in enumerate(names):
        size = [collection[side][row].as_py() for side in ("height", "width")]
        mask = evaluation.boxes_mask(*size, boxes[file_name])
        if not mask.any():
            continue
        maps = scored[row]
        for name in MAPS:
            values = patches.upsample(maps[name], *size)
            found[name].append(evaluation.average_precision(values.ravel(), mask.ravel()))
        found["chance"].append(mask.mean())
    return {name: float(np.mean(values)) for name, values in found.items()}


def run(seeds: tuple[int, ...] = SEEDS) -> Result:
    planted = sum(map(len, ELEMENT_KINDS.values()))
    rows, found, gains, minutes, memory = [], [], [], [], []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as place, peak_memory(os.getpid()) as peak:
            result = demonstration.run(Path(place), seed=seed)
            measured = precision(Path(place))
        found.append(result.found / planted)
        gains.append(measured["null"] / measured["chance"])
        minutes.append(result.mining_seconds / 60)
        memory.append(peak[0])
        rows.append(
            f"| {seed} | {result.found} of {planted} | {', '.join(result.missed) or 'none'} | "
            f"{measured['null']:.3f} | {measured['others']:.3f} | {measured['evidence']:.3f} | "
            f"{measured['chance']:.3f} | {result.mining_seconds:.0f} | {peak[0]:.1f} |"
        )
    head = (
        "| seed | found | not found | AP against the null | AP against the others | "
        "AP of the rival | chance | mining, s | memory, GB |\n" + "|---" * 9 + "|"
    )
    return Result(
        figures=(
            at_most("demo-mining", max(minutes), 3, "min"),
            at_most("demo-memory", max(memory), 4, "GB"),
            at_least("demo-precision-over-chance", float(np.mean(gains)), 8, "times"),
            at_least("demo", float(np.mean(found)), 0.75, "of planted kinds"),
        ),
        notes=("\n".join([head, *rows]),),
    )
