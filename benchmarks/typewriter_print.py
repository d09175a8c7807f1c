"""Rendered print, supervised: how well it is read, and how like the true glyphs the sprites are.

Lines of a typeface with paper texture and jitter, 33 characters, 64 pixels high. The lines that
are read are of other words than those that are learned from.

    python -m benchmarks.typewriter_print FOLDER     # leaves the runs there
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, Result, at_least, at_most
from typika import typewriting
from typika.collection.rendered_lines import Typeface, render_lines, write_lines
from typika.text_evaluation import ErrorRate
from typika.typewriter_demonstration import share_found, sprite_similarities
from typika.typewriting import TypewriterRun

SEEDS = (0, 1, 2)  # of lines and of training
LEARNED, READ = 300, 100
MOST_ERROR, LEAST_SIMILARITY, LEAST_FOUND = 0.5, 0.80, 0.95


@dataclass(frozen=True, kw_only=True)
class Printed:
    """How one collection went."""

    seed: int
    error: ErrorRate
    similarity: float
    found: float  # share of the characters whose box overlaps the true one by half
    minutes: float  # CPU, of `fit`


def read_print(seed: int, folder: Path) -> Printed:
    learned = render_lines(LEARNED, seed=seed, split="train")
    read = render_lines(READ, seed=seed, split="held out")
    write_lines(folder / "lines", learned)
    write_lines(folder / "read", read)
    values = {"seed": seed, "training": {"held_out": 0.0, "checks": 1}}
    started = time.process_time()
    config = typewriting.configure(values)
    fitted = typewriting.fit(folder / "lines", folder / "run", config=config)
    minutes = (time.process_time() - started) / 60
    evaluation = typewriting.evaluate(folder / "run", folder / "read")
    likeness = sprite_similarities(fitted, Typeface())
    return Printed(
        seed=seed,
        error=evaluation.error,
        similarity=float(np.mean(list(likeness.values()))),
        found=share_found(TypewriterRun(evaluation.folder), read),
        minutes=minutes,
    )


def all_seeds(folder: Path) -> Iterator[Printed]:
    for seed in SEEDS:
        printed = read_print(seed, folder / str(seed))
        print(row(printed), file=sys.stderr, flush=True)
        yield printed


def run() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        found = list(all_seeds(Path(folder)))
    minutes = Figure(name="longest fit", value=max(one.minutes for one in found),
                     unit="CPU minutes", target="-", met=None)  # fmt: skip
    figures = [
        minutes,
        at_least("similarity of sprites to true glyphs, mean of seeds",
                 float(np.mean([one.similarity for one in found])), LEAST_SIMILARITY, "SSIM"),
        at_least("characters whose box overlaps the true one by half, worst seed",
                 min(one.found for one in found), LEAST_FOUND, "share"),
        at_most("character error, mean of seeds",
                float(np.mean([100 * one.error.micro for one in found])), MOST_ERROR, "%"),
    ]  # fmt: skip
    return Result(figures=figures, notes=[table(found)])


def row(one: Printed) -> str:
    return (
        f"| {one.seed} | {100 * one.error.micro:.2f} | {100 * one.error.macro:.2f} | "
        f"{one.similarity:.3f} | {100 * one.found:.1f} | {one.minutes:.1f} |"
    )


def table(found: list[Printed]) -> str:
    head = ("| seed | CER micro, % | macro, % | SSIM | boxes found, % | CPU minutes |\n"
            "|---|---|---|---|---|---|\n")  # fmt: skip
    return head + "\n".join(row(one) for one in found)


if __name__ == "__main__":
    for each in all_seeds(Path(sys.argv[1])):
        print(row(each))
