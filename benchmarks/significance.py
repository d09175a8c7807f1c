"""Which clusters are called real: of planted elements, and where labels say nothing.

Planted: the demo over three seeds. A cluster is of a planted kind if 60 % of its patches show it.
Null: small collections of the same postcards under shuffled labels, mined and tested as any other.
"""

from __future__ import annotations

import csv
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.record import Result, at_least, at_most
from typika import config as settings
from typika import workflow
from typika.collection.demo import ELEMENT_KINDS, DemoElement, render_demo
from typika.demonstration import PURE, SHOWN
from typika.evaluation import overlap_share
from typika.parallel import default_workers
from typika.tables import read_parquet

SEEDS = (0, 1, 2)
NULLS = 14  # collections of shuffled labels per seed
NULL_IMAGES = 60  # of each label
# One scale, and training as short as the smallest collections get.
NULL_SETTINGS = {"model": {"sides": [256]}, "report": {"sheets": False}}


@dataclass(frozen=True)
class Planted:
    """What became of the planted kinds in one run."""

    owned: int  # kinds that own a cluster
    significant: int  # kinds that own a significant one
    shown: int  # clustered patches that show a planted element
    held: int  # those of them in significant clusters
    clusters: Counter[str]  # clusters by verdict


def planted(run: workflow.MiningRun, truth: tuple[DemoElement, ...]) -> Planted:
    """Hold the verdicts of a run against what was planted."""
    verdicts = {
        (row["label"], row["cluster"]): row["verdict"]
        for row in read_parquet(run.folder / "verdicts.parquet").to_pylist()
    }
    kinds = members(run.patches, truth)
    owned, significant = set(), set()
    shown = held = 0
    for key, patches in kinds.items():
        real = verdicts[key] == "significant"
        counts = Counter(kind for shown_kinds in patches for kind in shown_kinds)
        for kind in ELEMENT_KINDS[key[0]]:
            if counts[kind] >= PURE * len(patches):
                owned.add(kind)
                significant |= {kind} if real else set()
        showing = sum(bool(one & set(ELEMENT_KINDS[key[0]])) for one in patches)
        shown, held = shown + showing, held + (showing if real else 0)
    return Planted(len(owned), len(significant), shown, held, Counter(verdicts.values()))


def members(
    patches: pa.Table, truth: tuple[DemoElement, ...]
) -> dict[tuple[str, int], list[set[str]]]:
    """The planted kinds that each clustered patch shows, by cluster."""
    boxes = defaultdict(list)
    for element in truth:
        box = (element.left, element.top, element.right, element.bottom)
        boxes[element.file_name].append((element.kind, box))
    found = defaultdict(list)
    for patch in patches.drop_columns(["thumbnail"]).to_pylist():
        if patch["selection"] == "typical" and patch["cluster"] >= 0:
            own = (patch["left"], patch["top"], patch["right"], patch["bottom"])
            found[patch["label"], patch["cluster"]].append(
                {kind for kind, box in boxes[patch["file_name"]]
                 if overlap_share(own, box) >= SHOWN}
            )  # fmt: skip
    return found


def shuffled(folder: Path, seed: int, number: int) -> Path:
    """A table that gives the postcards of a folder each other's labels."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    labels = [name.split("/")[0] for name in names]
    np.random.default_rng([seed, number, 31]).shuffle(labels)
    path = folder / f"shuffled-{number}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "label"), *zip(names, labels, strict=True)])
    return path


def null_verdicts(place: Path, seed: int) -> list[Counter[str]]:
    """Verdicts of every run over shuffled labels."""
    folder = place / f"null-{seed}"
    render_demo(folder, n_per_label=NULL_IMAGES, seed=seed + 100, workers=default_workers())
    found = []
    for number in range(NULLS):
        config = settings.build(workflow.MineConfig, NULL_SETTINGS, {"seed": number})
        run = workflow.advance(
            shuffled(folder, seed, number), place / f"null-{seed}-{number}", config,
            last="evidence",
        )  # fmt: skip
        table = read_parquet(run.folder / "verdicts.parquet")
        found.append(Counter(table["verdict"].to_pylist()))
    return found


def run(seeds: tuple[int, ...] = SEEDS) -> Result:
    kinds = sum(map(len, ELEMENT_KINDS.values()))
    rows, real, nulls = [], [], []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            truth = render_demo(place / "towns", seed=seed, workers=default_workers())
            mined = workflow.advance(
                place / "towns", place / "run", workflow.MineConfig(seed=seed), last="evidence"
            )
            found = planted(mined, truth.elements)
            calls = null_verdicts(place, seed)
        real.append(found)
        nulls += calls
        rows.append(
            f"| {seed} | {found.significant} of {found.owned} ({kinds} planted) | "
            f"{found.held / found.shown:.3f} | {dict(found.clusters)} | "
            f"{sum(one['significant'] > 0 for one in calls)} of {len(calls)} | "
            f"{sum(one['significant'] for one in calls)} of {sum(map(_tested, calls))} |"
        )
    head = (
        "| seed | kinds that own a significant cluster, of those that own any | patches showing a "
        "planted element that lie in significant clusters | clusters by verdict | null runs that "
        "call a cluster significant | null clusters so called |\n" + "|---" * 6 + "|"
    )
    held = sum(one.held for one in real) / sum(one.shown for one in real)
    share = sum(one.significant for one in real) / sum(one.owned for one in real)
    of_planted = sum(one.significant for one in real) / (kinds * len(real))
    wrong = sum(one["significant"] > 0 for one in nulls) / len(nulls)
    return Result(
        figures=(
            at_most("significance-null-runs", wrong, 0.05, "of null runs"),
            at_least("significance-planted-patches", held, 0.9, "of clustered planted patches"),
            at_least("significance-kinds-planted", of_planted, 0.9, "of kinds planted"),
            at_least("significance", share, 0.9, "of kinds found"),
        ),
        notes=("\n".join([head, *rows]),),
    )


def _tested(verdicts: Counter[str]) -> int:
    return sum(count for verdict, count in verdicts.items() if verdict != "not tested")
