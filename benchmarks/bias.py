"""A generator that skews what it draws: are the skewed elements the first and the last?

Real and generated postcards of two of the demo's towns come from the same renderer. In the real
ones each of a town's three planted kinds stands in half of the postcards; the generator draws one
of them in nine of ten, one in 15 of a hundred and one never. A second generator draws all as often
as they are real: nothing should be called. The generator is no trained model, so what is tested is
clusters, counts and intervals, and not the drawing.

The result of 2026-11-22 is of clusters in the order of their log-odds, not of the bound.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import typika
from benchmarks.record import Figure, Result, at_least, at_most
from typika import biases, workflow
from typika.collection._elements import FAMILIES
from typika.collection._townscape import compose, paint
from typika.collection.demo import MIN_VISIBLE
from typika.demonstration import PURE, SHOWN
from typika.evaluation import overlap_share
from typika.tables import read_parquet

SEEDS = (0, 1, 2)
TOWNS = ("Brisk", "Corvane")  # all of whose kinds the demo finds
IMAGES = 120  # of a town, real and generated each
REAL = 0.5  # share of the real postcards with each planted kind
ONE_SCALE = {"model": {"sides": [256]}}  # a third of the time
SKEWED = {"overdrawn": 0.9, "underdrawn": 0.15, "never drawn": 0.0}

Box = tuple[int, int, int, int]
Truth = dict[str, list[tuple[str, Box]]]  # file name -> kinds and where they are


def kinds(town: str) -> list[str]:
    """The families of a town."""
    return [family for family, facts in FAMILIES.items() if facts.town == town]


def roles(town: str, seed: int) -> dict[str, str]:
    """What the skewed generator does to each of a town's families."""
    turned = np.roll(list(SKEWED), seed).tolist()
    return dict(zip(kinds(town), turned, strict=True))


def render(folder: Path, rates: Mapping[str, Mapping[str, float]], seed: int, side: int) -> Truth:
    """Postcards of every town with each family at its rate; what stands where."""
    truth: Truth = defaultdict(list)
    for number, town in enumerate(TOWNS):
        (folder / town).mkdir(parents=True)
        for card in range(IMAGES):
            rng = np.random.default_rng([seed, 97, side, number, card])
            scene, chosen = compose(rng), set()
            for family, rate in rates[town].items():
                there = [place for place, item in enumerate(scene.items)
                         if item.family == family and scene.view.holds(item)]  # fmt: skip
                if rng.random() < rate:
                    count = int(rng.choice(FAMILIES[family].counts))
                    chosen |= set(rng.permutation(there)[:count].tolist())
            painting = paint(scene, frozenset(chosen), 256, rng)
            name = f"{town}/{card:05d}.jpg"
            Image.fromarray(painting.pixels).save(folder / name, "JPEG", quality=92)
            truth[name] = [(one.item.family, one.box) for one in painting.planted
                           if one.visible >= MIN_VISIBLE]  # fmt: skip
    return truth


def shown(found: typika.Bias, truth: Mapping[str, Truth]) -> dict[tuple[str, int], str]:
    """The family that most patches of a cluster show, where enough of them do."""
    members: dict[tuple[str, int], list[set[str]]] = defaultdict(list)
    for row in read_parquet(found.page.parent / "members.parquet").to_pylist():
        box = tuple(row[edge] for edge in ("left", "top", "right", "bottom"))
        there = truth[row["origin"]][row["file_name"]]
        members[row["label"], row["cluster"]].append(
            {family for family, own in there if overlap_share(box, own) >= SHOWN}
        )
    families = {}
    for cluster, own in members.items():
        ((family, count),) = Counter(one for there in own for one in there).most_common(1) or [
            ("", 0)
        ]
        if count >= PURE * len(own):
            families[cluster] = family
    return families


def skewed(seed: int, folder: Path, run: Path, real: Truth) -> tuple[list[str], Counter[str]]:
    """One generator that skews: a line of a table for each town, and what came out right."""
    rates = {town: {family: SKEWED[role] for family, role in roles(town, seed).items()}
             for town in TOWNS}  # fmt: skip
    drawn = render(folder / "skewed", rates, seed, 1)
    found = biases.bias(run, folder / "skewed", folder / "bias")
    families = shown(found, {"real": real, "generated": drawn})
    lines, right = [], Counter[str]()
    for town in TOWNS:
        own = [row for row in found.odds.to_pylist() if row["label"] == town]
        place = {role: [at for at, row in enumerate(own)
                        if families.get((town, row["cluster"])) == family]
                 for family, role in roles(town, seed).items()}  # fmt: skip
        cells = []
        for role in SKEWED:
            at = place[role][:1] if role == "overdrawn" else place[role][-1:]
            cells.append(spelled(own, at[0]) if at else "no cluster")
            right["found"] += len(at)
            right["called"] += bool(at) and own[at[0]]["verdict"] == role
            right["ends"] += bool(at) and at_its_end(role, at[0], place, len(own))
        true = {at for places in place.values() for at in places}
        calls = {at for at, row in enumerate(own) if row["verdict"] != "not shown"}
        right["false"] += len(calls - true)
        lines.append(f"| {seed} | {town} | {' | '.join(cells)} | {len(calls - true)} |")
    return lines, right


def spelled(own: list[dict], at: int) -> str:
    """The figures of the cluster at a place."""
    row = own[at]
    return (
        f"{at + 1} of {len(own)}: {row['log_odds']:+.2f} ({row['widened_low']:+.2f} to "
        f"{row['widened_high']:+.2f}), {row['verdict']}"
    )


def at_its_end(role: str, at: int, place: Mapping[str, list[int]], count: int) -> bool:
    """Whether a cluster is the first or the last; below what is underdrawn comes what is never."""
    if role == "overdrawn":
        return at == 0
    below = {"underdrawn": ("underdrawn", "never drawn"), "never drawn": ("never drawn",)}[role]
    return set(range(at, count)) <= {one for name in below for one in place[name]}


def unskewed(seed: int, folder: Path, run: Path) -> tuple[str, list[dict]]:
    """One generator that draws all as often as it is real: a line, and the rows of its odds."""
    rates = {town: dict.fromkeys(kinds(town), REAL) for town in TOWNS}
    render(folder / "same", rates, seed, 2)
    found = biases.bias(run, folder / "same", folder / "bias-same")
    rows = found.odds.to_pylist()
    called = sum(row["verdict"] != "not shown" for row in rows)
    beyond = sum(row["p"] <= 0.05 for row in rows)
    told = {by: [row["auc"] for row in found.told_apart.to_pylist() if row["by"] == by]
            for by in ("look", "patches", "compared")}  # fmt: skip
    means = ", ".join(f"{by} {np.mean(values):.2f}" for by, values in told.items())
    line = f"| {seed} | {len(rows)} | {beyond} | {called} | {means} |"
    return line, rows


def run(seeds: tuple[int, ...] = SEEDS) -> Result:
    lines, same, total, null = [], [], Counter[str](), []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            rates = {town: dict.fromkeys(kinds(town), REAL) for town in TOWNS}
            real = render(folder / "images", rates, seed, 0)
            config = workflow.configure(ONE_SCALE, {"seed": seed})
            workflow.advance(folder / "images", folder / "run", config, last="score")
            own, right = skewed(seed, folder, folder / "run", real)
            line, rows = unskewed(seed, folder, folder / "run")
        lines += own
        total.update(right)
        same.append(line)
        null += rows
    planted, clustered = len(seeds) * len(TOWNS) * len(SKEWED), total["found"]
    called = sum(row["verdict"] != "not shown" for row in null)
    beyond = float(np.mean([row["p"] <= 0.05 for row in null]))
    head = "| seed | town | overdrawn | underdrawn | never drawn | other clusters called |"
    second = "| seed | clusters | own interval excludes 0 | called | AUC by |"
    return Result(
        figures=(
            Figure(name="other_clusters_called", value=total["false"], unit="clusters",
                   target="-", met=None),
            at_most("null_intervals_beyond_zero", beyond, 0.05, "of clusters"),
            at_most("null_clusters_called", called, 0, f"of {len(null)} clusters"),
            Figure(name="skewed_elements_without_a_cluster", value=planted - clustered,
                   unit=f"of {planted}", target="-", met=None),
            at_least("called_rightly_of_those_with_one", total["called"], clustered,
                     f"of {clustered}"),
            at_least("first_or_last_of_those_with_one", total["ends"], clustered,
                     f"of {clustered}"),
        ),
        notes=(
            f"{IMAGES} real postcards of each of {len(TOWNS)} towns, as many generated; place of "
            "the skewed kind's cluster by log-odds, log-odds with the interval widened for all "
            "clusters, and verdict.",
            "\n".join([head, "|---" * 6 + "|", *lines]),
            "The same rates, real and generated:",
            "\n".join([second, "|---" * 5 + "|", *same]),
        ),
    )  # fmt: skip
