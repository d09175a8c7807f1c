"""7,580 watercolours against 1,000 of them: seconds per 1,000 images, and memory.

At one scale, so that the benchmark ends within a quarter of an hour on two cores; the second
scale adds work per image, not per collection.
"""

from __future__ import annotations

import csv
import os
import tempfile
import time
from pathlib import Path

from benchmarks.record import Result, at_most, peak_memory, real
from typika import config
from typika.workflow import MineConfig, mine

RECIPE = {
    "collection": {"label": "fruit"},
    "model": {"sides": [256]},
    "report": {"sheets": False},
}


def run() -> Result:
    root = real("pomology")
    settings = config.build(MineConfig, RECIPE)
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        small = Path(place) / "small"
        small.mkdir()
        (small / "images").symlink_to(root / "images")
        with (root / "metadata.csv").open(newline="", encoding="utf-8") as handle:
            rows = list(csv.reader(handle))
        with (small / "metadata.csv").open("w", newline="", encoding="utf-8") as handle:
            # Every seventh or so, so that the small collection looks like the whole.
            csv.writer(handle).writerows([rows[0], *rows[1 :: len(rows) // 1000][:1000]])
        for name, source in (("small", small), ("whole", root)):
            with peak_memory(os.getpid()) as peak:
                started = time.monotonic()
                done = mine(source, Path(place) / f"run-{name}", config=settings)
                seconds = time.monotonic() - started
            figures[name] = (len(done.collection), seconds, peak[0], done.seconds())
    per_thousand = {name: 1000 * value[1] / value[0] for name, value in figures.items()}
    lines = [
        "| images | seconds | seconds per 1,000 | memory, GB | stages, s |",
        "|---|---|---|---|---|",
    ]
    for name, (count, seconds, memory, stages) in figures.items():
        cells = (count, f"{seconds:.0f}", f"{per_thousand[name]:.0f}", f"{memory:.1f}", stages)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    ratio = per_thousand["whole"] / per_thousand["small"]
    return Result(
        figures=(
            at_most("scaling-memory", figures["whole"][2], 4, "GB"),
            at_most("scaling", ratio, 1.0, "of the seconds per 1,000 at 1,000 images"),
        ),
        notes=("\n".join(lines),),
    )
