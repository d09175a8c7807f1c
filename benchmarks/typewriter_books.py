"""Early printed books: 100 lines to learn from, 50 to read, minutes of a book.

python -m benchmarks.typewriter_books FOLDER [BOOK ...]     # leaves the runs there
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

from benchmarks.record import Figure, Result, at_most, real
from typika import typewriting
from typika.collection.lines import LineCollection
from typika.run import Run
from typika.text_evaluation import ErrorRate, error_rate

BOOKS = ("1476", "1488", "1495", "1505", "1572")
SEEDS = (0, 1, 2)  # of the split and of training
LEARNED, READ = 100, 50
MEAN, WORST, MINUTES = 3.0, 5.0, 3.0  # percent, percent, minutes


@dataclass(frozen=True, kw_only=True)
class Book:
    """How one book went under one seed."""

    name: str
    seed: int
    error: ErrorRate  # spaces apart, as in the paper
    with_spaces: ErrorRate
    minutes: float  # CPU, of training


def read_book(name: str, seed: int, folder: Path) -> Book:
    """Fit a typewriter to 100 lines of a book and read 50 others."""
    source = real("lines", "early-printed-books", name)
    table = folder / f"{name}-{seed}.csv"
    write_split(source, table, seed)
    values = {"seed": seed, "text": {"metadata": str(table)},
              "training": {"held_out": 0.0, "checks": 1}}  # fmt: skip
    started = time.process_time()
    run = typewriting.fit(source, folder / f"{name}-{seed}", config=typewriting.configure(values))
    minutes = (time.process_time() - started) / 60 * share_of_training(run.folder)
    splits = dict(zip(*(run.lines[c].to_pylist() for c in ("line_id", "split")), strict=True))
    rows = [row for row in run.readings.to_pylist() if splits[row["line_id"]] == "test"]
    true, read = [row["text"] for row in rows], [row["read"] for row in rows]
    return Book(name=name, seed=seed, error=error_rate(true, read),
                with_spaces=error_rate(true, read, spaces=True), minutes=minutes)  # fmt: skip


def share_of_training(run: Path) -> float:
    """Of the time that a fit took, on whatever clock: its stages keep no core waiting."""
    seconds = Run.read(run).seconds()
    return seconds["train"] / sum(seconds.values())


def write_split(source: Path, table: Path, seed: int) -> None:
    """Choose the lines to learn from and to read; any others are neither."""
    names = [line.file_name for line in LineCollection.open(source) if line.text]
    order = np.random.default_rng(seed).permutation(len(names))
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["file_name", "split"])
        for place, number in enumerate(order):
            writer.writerow([names[number], "train" if place < LEARNED else "test"])


def run() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        books = list(read_all(Path(folder), BOOKS))
    return Result(figures=list(figures(books)), notes=[table(books)])


def read_all(folder: Path, names: tuple[str, ...]) -> Iterator[Book]:
    for seed in SEEDS:
        for name in names:
            book = read_book(name, seed, folder)
            print(row(book), file=sys.stderr, flush=True)
            yield book


def figures(books: list[Book]) -> Iterator[Figure]:
    minutes = max(book.minutes for book in books)
    yield at_most("longest training of a book", minutes, MINUTES, "CPU minutes")
    means = [float(np.mean([100 * b.error.micro for b in books if b.seed == seed]))
             for seed in SEEDS]  # fmt: skip
    yield Figure(name="spread of the mean over seeds", value=max(means) - min(means), unit="%",
                 target="-", met=None)  # fmt: skip
    worst = max(float(np.mean([100 * b.error.micro for b in books if b.name == name]))
                for name in {book.name for book in books})  # fmt: skip
    yield at_most("character error of the worst book, mean of seeds", worst, WORST, "%")
    yield at_most("character error, mean of books and seeds", float(np.mean(means)), MEAN, "%")


def row(book: Book) -> str:
    return (
        f"| {book.name} | {book.seed} | {100 * book.error.micro:.2f} | "
        f"{100 * book.error.macro:.2f} | {100 * book.with_spaces.micro:.2f} | {book.minutes:.1f} |"
    )


def table(books: list[Book]) -> str:
    head = ("| book | seed | CER micro, % | macro, % | micro with spaces, % | CPU minutes |\n"
            "|---|---|---|---|---|---|\n")  # fmt: skip
    return head + "\n".join(row(book) for book in books)


if __name__ == "__main__":
    chosen = tuple(sys.argv[2:]) or BOOKS
    for each in read_all(Path(sys.argv[1]), chosen):
        print(row(each))
