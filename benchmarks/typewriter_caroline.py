"""Caroline minuscule, lines left out: 17 manuscripts, one typewriter, lines it has not seen.

A fifth of the lines of every manuscript is read, the others are learned from.

    python -m benchmarks.typewriter_caroline FOLDER     # leaves the runs there
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, Result, at_most, real
from typika import typewriting
from typika.collection.lines import LineCollection
from typika.text_evaluation import ErrorRate, error_rate

SEEDS = (0, 1, 2)
LEFT_OUT = 0.2  # of the lines of every manuscript
LIMIT = 10.0  # percent
SETTINGS: dict = {"training": {"held_out": 0.0, "checks": 1}}


@dataclass(frozen=True, kw_only=True)
class Fold:
    """How one split went."""

    seed: int
    error: ErrorRate
    with_spaces: ErrorRate
    minutes: float  # CPU


def read_fold(seed: int, folder: Path) -> Fold:
    source = real("lines", "caroline")
    table = folder / f"split-{seed}.csv"
    write_split(source, table, seed)
    values = {**SETTINGS, "seed": seed, "text": {"metadata": str(table)}}
    started = time.process_time()
    run = typewriting.fit(source, folder / str(seed), config=typewriting.configure(values))
    minutes = (time.process_time() - started) / 60
    splits = dict(zip(*(run.lines[c].to_pylist() for c in ("line_id", "split")), strict=True))
    rows = [row for row in run.readings.to_pylist() if splits[row["line_id"]] == "test"]
    true, read = [row["text"] for row in rows], [row["read"] for row in rows]
    return Fold(seed=seed, error=error_rate(true, read),
                with_spaces=error_rate(true, read, spaces=True), minutes=minutes)  # fmt: skip


def write_split(source: Path, table: Path, seed: int) -> None:
    """Leave a fifth of each manuscript's transcribed lines out."""
    documents: dict[str, list[str]] = defaultdict(list)
    for line in LineCollection.open(source):
        if line.text:
            documents[line.columns["document"]].append(line.file_name)
    rng = np.random.default_rng(seed)
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["file_name", "split"])
        for _, names in sorted(documents.items()):
            apart = set(rng.permutation(len(names))[: max(1, round(LEFT_OUT * len(names)))])
            for number, name in enumerate(names):
                writer.writerow([name, "test" if number in apart else "train"])


def folds(folder: Path) -> Iterator[Fold]:
    for seed in SEEDS:
        fold = read_fold(seed, folder)
        print(row(fold), file=sys.stderr, flush=True)
        yield fold


def run() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        found = list(folds(Path(folder)))
    errors = [100 * fold.error.micro for fold in found]
    minutes = Figure(name="longest fit", value=max(fold.minutes for fold in found),
                     unit="CPU minutes", target="-", met=None)  # fmt: skip
    spread = Figure(name="spread over seeds", value=max(errors) - min(errors), unit="%",
                    target="-", met=None)  # fmt: skip
    error = at_most("character error of lines left out, mean of seeds", float(np.mean(errors)),
                    LIMIT, "%")  # fmt: skip
    return Result(figures=[minutes, spread, error], notes=[table(found)])


def row(fold: Fold) -> str:
    return (
        f"| {fold.seed} | {100 * fold.error.micro:.2f} | {100 * fold.error.macro:.2f} | "
        f"{100 * fold.with_spaces.micro:.2f} | {fold.minutes:.1f} |"
    )


def table(found: list[Fold]) -> str:
    head = ("| seed | CER micro, % | macro, % | micro with spaces, % | CPU minutes |\n"
            "|---|---|---|---|---|\n")  # fmt: skip
    return head + "\n".join(row(fold) for fold in found)


if __name__ == "__main__":
    for each in folds(Path(sys.argv[1])):
        print(row(each))
