"""`typika typewriter demo`: wall time and memory, and what it shows, over three seeds."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.record import Result, at_most, peak_memory
from typika import typewriter_demonstration

SEEDS = (0, 1, 2)
MINUTES, MEMORY = 3.0, 3.0  # wall, GB


def run() -> Result:
    rows, minutes, memory = [], [], []
    for seed in SEEDS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as place, peak_memory(os.getpid()) as peak:
            result = typewriter_demonstration.run(Path(place), seed=seed)
        minutes.append((time.monotonic() - started) / 60)
        memory.append(peak[0])
        likeness = float(np.mean(list(result.similarities.values())))
        rows.append(
            f"| {seed} | {100 * result.evaluation.error.micro:.2f} | {likeness:.3f} | "
            f"{100 * result.found:.1f} | {minutes[-1]:.1f} |"
        )
    head = ("| seed | CER micro, % | SSIM | boxes found, % | wall minutes |\n"
            "|---|---|---|---|---|\n")  # fmt: skip
    figures = [
        at_most("peak memory", max(memory), MEMORY, "GB"),
        at_most("longest demo", max(minutes), MINUTES, "minutes"),
    ]
    return Result(figures=figures, notes=[head + "\n".join(rows)])
