"""What changes when the label changes: planted in rendered streets, and nothing planted at all.

Streets in flat colours, whose classes a lookup of colours knows, are drawn anew under other labels
(`tests/trend_scenes.py`): Brazil adds plants, Nigeria widens the road and adds people, Thailand
divides windows, Peru does nothing; every redrawing, whatever the label, adds a little sky. All
goes through `typika trends` with a folder of ready masks. The null runs are the same streets, each
drawing as good as any other.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import tiny_checkpoint
from benchmarks.record import Result, at_least, at_most
from typika.cli import main
from typika.evaluation import wilson
from typika.mining.trends import MEASURES, Measured, TrendsConfig, find_trends
from typika.parallel import one_thread
from typika.tables import read_parquet

SEEDS, NULL_RUNS, NULL_TESTS = 10, 20, 400
STREETS = 15  # of each of four labels: 45 pairs a target
RATE = 0.05

scenes = tiny_checkpoint.of_tests("trend_scenes")
Called = set[tuple[str, str, str]]


def masks_of(run: Path, folder: Path) -> Path:
    """The classes of a run's images and translations, as somebody else would hand them over."""
    for part, root in (("originals", run.parent / "images"),
                       ("translations", run / "translate" / "parallel")):  # fmt: skip
        for path in root.rglob("*.png"):
            target = folder / part / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            numbers = scenes.segmenter(Image.open(path)).numbers
            Image.fromarray(numbers.astype(np.uint8)).save(target)
    rows = [f"{number},{name}" for number, name in enumerate(scenes.CLASSES)]
    (folder / "classes.csv").write_text("\n".join(["number,name", *rows]) + "\n")
    return folder


def called(seed: int, strength: float) -> dict[str, Called]:
    """What the command says of one collection: label, class and measure by verdict."""
    with tempfile.TemporaryDirectory() as place:
        run = scenes.build(Path(place), STREETS, seed, strength)
        masks = masks_of(run, Path(place) / "masks")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            main(["trends", str(run), "--segmenter", str(masks), "--workers", "1"])
        found: dict[str, Called] = {}
        for row in read_parquet(run / "trends" / "trends.parquet").to_pylist():
            one = row["label"], row["class"], row["measure"]
            found.setdefault(row["verdict"], set()).add(one)
        return found


def planted() -> Iterator[tuple[float, float, float, float]]:
    """Of each seed: share found, false share; the same of what is said to be the label's own."""
    own = {(label, *one) for label, some in scenes.CHANGED.items() for one in some}
    beside = {(label, *one) for label, some in scenes.BESIDES.items() for one in some}
    redrawn = {(label, *one) for label in scenes.LABELS for one in scenes.BY_REDRAWING}
    for seed in range(SEEDS):
        found = called(seed, 1.0)
        labels = found.get("of the label", set())
        changed = labels | found.get("changed", set())
        yield (len(changed & own) / len(own), len(changed - own - redrawn) / len(changed),
               len(labels & own) / len(own),
               len(labels - own - beside) / max(1, len(labels)))  # fmt: skip


def by_numbers_alone() -> int:
    """In how many of NULL_TESTS collections of exchangeable counts anything is called."""
    hits = 0
    for seed in range(NULL_TESTS):
        rng = np.random.default_rng([seed, 11])
        # Skewed, many zeros, correlated within an image: counts of six classes, five drawings.
        mean = rng.exponential(0.6, (1, 40, 6))
        drawn = {m: rng.poisson(mean, (5, 40, 6)).astype(float) for m in MEASURES}
        measured = Measured(
            classes=tuple("abcdef"), targets=tuple("wxyz"),
            original={m: values[0] for m, values in drawn.items()},
            translated={m: values[1:] for m, values in drawn.items()}, unit=np.arange(40),
        )  # fmt: skip
        config = TrendsConfig(permutations=1999, resamplings=99, alpha=RATE)
        hits += any(one.q <= RATE for one in find_trends(measured, config, seed).trends)
    return hits


def _listed(values: np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def run() -> Result:
    with one_thread():
        shares = np.array(list(planted()))
        null = [called(100 + seed, 0.0) for seed in range(NULL_RUNS)]
        hits = by_numbers_alone()
    false = [found.get("of the label", set()) | found.get("changed", set()) for found in null]
    wrong = sum(bool(one) for one in false)
    rate = wilson(hits, NULL_TESTS)
    n_planted = sum(map(len, scenes.CHANGED.values()))
    tests = [sum(len(own) for verdict, own in found.items() if verdict != "not tested")
             for found in null]  # fmt: skip
    return Result(
        figures=(
            at_most("false_share_of_changes", float(shares[:, 1].mean()), RATE,
                    "mean of 10 seeds"),
            at_most("false_share_of_own", float(shares[:, 3].mean()), RATE, "mean of 10 seeds"),
            at_least("planted_found_as_own", float(shares[:, 2].min()), 1.0, "worst of 10 seeds"),
            at_most("null_collections_with_a_call", rate.low, RATE, "lower end, numbers alone"),
            at_most("null_runs_with_a_call", wrong / NULL_RUNS, RATE, f"of {NULL_RUNS}"),
            at_least("planted_changes_found", float(shares[:, 0].min()), 1.0, "worst of 10 seeds"),
        ),
        notes=(
            f"{SEEDS} seeds, {STREETS} streets of each of four labels, each translated to the "
            f"three others; {n_planted} planted changes beside what redrawing does. False shares "
            f"seed by seed: {_listed(shares[:, 1])}; of what is called the label's own "
            f"{_listed(shares[:, 3])}. The rate is promised for the first alone.",
            f"Null: {wrong} of {NULL_RUNS} runs through the command called anything "
            f"({min(tests)} to {max(tests)} tests a run; a call in a run without any effect is a "
            f"false discovery proportion of 1, so the rate is the share of such runs, mean "
            f"{wrong / NULL_RUNS:.3f}).",
            f"Numbers alone, exchangeable counts: {hits} of {NULL_TESTS} collections, "
            f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f}), at a stated rate of {RATE}.",
        ),
    )  # fmt: skip
