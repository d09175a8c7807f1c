"""A few transcribed lines and many without, against the few alone: an early printed book.

Of the many the drawing is learned, or also (`learning.echo`) the reading. All see lines for the
same number of steps and read the same lines, which none has seen.

    python -m benchmarks.typewriter_semi FOLDER     # leaves the runs there
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, Result, at_least, real
from typika import typewriting
from typika.collection.lines import LineCollection, TextLine
from typika.text_evaluation import ErrorRate, error_rate

BOOK = "1488"
SEEDS = (0, 1, 2)
FEW, MANY, READ = 20, 80, 50  # transcribed, not transcribed, to test on
ECHO = 0.5
VARIANTS = {
    "the few alone": (0, 0.0),
    "many drawn": (MANY, 0.0),
    "many drawn and read": (MANY, ECHO),
}
SETTINGS: dict = {"model": {"height": 48},
                  "training": {"steps": 500, "held_out": 0.0, "checks": 1}}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one fit went."""

    seed: int
    variant: str
    error: ErrorRate
    minutes: float  # CPU, of the fit


def read_book(seed: int, variant: str, folder: Path) -> Outcome:
    """Fit to the few lines, and to the others as the variant says; read those that test."""
    untranscribed, echo = VARIANTS[variant]
    source = real("lines", "early-printed-books", BOOK)
    place = folder / f"{seed} {variant}"
    write_part(source, place / "lines", seed, untranscribed)
    values = {**SETTINGS, "seed": seed, "learning": {"echo": echo},
              "text": {"metadata": str(place / "lines" / "split.csv")}}  # fmt: skip
    config = typewriting.configure(values)
    started = time.process_time()
    run = typewriting.fit(place / "lines", place / "run", config=config)
    splits = dict(zip(*(run.lines[c].to_pylist() for c in ("line_id", "split")), strict=True))
    rows = [row for row in run.readings.to_pylist() if splits[row["line_id"]] == "test"]
    error = error_rate([row["text"] for row in rows], [row["read"] for row in rows])
    return Outcome(seed=seed, variant=variant, error=error,
                   minutes=(time.process_time() - started) / 60)  # fmt: skip


def write_part(source: Path, folder: Path, seed: int, untranscribed: int) -> None:
    """A folder of the lines that count: the few and the test lines with their text."""
    found = [line for line in LineCollection.open(source) if line.text]
    order = np.random.default_rng(seed).permutation(len(found))
    lines = [found[number] for number in order]
    few, tested = lines[:FEW], lines[FEW : FEW + READ]
    many = lines[FEW + READ : FEW + READ + untranscribed]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "split.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["file_name", "split"])
        for part, split in ((few, "train"), (many, "train"), (tested, "test")):
            for line in part:
                writer.writerow([link(source, line, folder, spelt=part is not many), split])


def link(source: Path, line: TextLine, folder: Path, *, spelt: bool) -> str:
    image = source / line.file_name
    (folder / image.name).symlink_to(image.resolve())
    if spelt:
        name = image.name.split(".")[0]
        (folder / f"{name}.gt.txt").write_text(line.text or "", encoding="utf-8")
    return image.name


def all_fits(folder: Path) -> Iterator[Outcome]:
    for seed in SEEDS:
        for variant in VARIANTS:
            outcome = read_book(seed, variant, folder)
            print(row(outcome), file=sys.stderr, flush=True)
            yield outcome


def run() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        found = list(all_fits(Path(folder)))
    errors = {
        variant: np.array([100 * one.error.micro for one in found if one.variant == variant])
        for variant in VARIANTS
    }
    alone = errors["the few alone"]
    return Result(
        figures=[
            *(Figure(name=f"character error, {variant}, mean of seeds",
                     value=float(values.mean()), unit="%", target="-", met=None)
              for variant, values in errors.items()),
            *(at_least(f"gain, {variant}, mean of seeds", float((alone - errors[variant]).mean()),
                       0, "points of character error")
              for variant in list(VARIANTS)[1:]),
        ],
        notes=[
            f"Book {BOOK}, {FEW} transcribed lines, {MANY} without or none, {READ} to read; "
            f"lines of {SETTINGS['model']['height']} pixels, {SETTINGS['training']['steps']} "
            "steps.",
            table(found),
        ],
    )  # fmt: skip


def row(one: Outcome) -> str:
    return (
        f"| {one.seed} | {one.variant} | {100 * one.error.micro:.2f} | "
        f"{100 * one.error.macro:.2f} | {one.minutes:.1f} |"
    )


def table(found: list[Outcome]) -> str:
    head = ("| seed | | CER micro, % | macro, % | CPU minutes |\n"
            "|---|---|---|---|---|\n")  # fmt: skip
    return head + "\n".join(row(one) for one in found)


if __name__ == "__main__":
    for each in all_fits(Path(sys.argv[1])):
        print(row(each))
