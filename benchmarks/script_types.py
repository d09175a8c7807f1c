"""Two planted script types: what a comparison finds of what is known to be there.

Seven documents of each type, every letter of every document with an outline of its own; those of
the second type stray twice as far. One document of the second type is written in a third face: the
outlier. A second collection has two groups and no difference. Nothing is trained: instances are
drawn from the glyphs.

    python -m benchmarks script_types --write
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, Result, at_least, at_most
from typika.palaeography.comparison_records import Comparison
from typika.palaeography.records import Instances
from typika.palaeography.units import ComparisonConfig
from typika.script_comparison import compare_groups

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "palaeography"))
from planted_letters import glyph, instances, jittered

SEEDS = (0, 1, 2)
LETTERS = "abcdefghiklmnopqrstu"  # as in the chapter: without j
N_DOCUMENTS, N_INSTANCES = 7, 10
FACES, THIRD = ("times", "dejavu"), "modern"
STRAY = (0.5, 1.0)  # pixels by which outlines of a document are pushed about, of both types
OUTLIER = "south6"
CONFIG = ComparisonConfig(draws=100)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one seed gave; shares in [0, 1]."""

    seed: int
    right: float  # of the points that are not the outlier's
    right_of_all: float
    outlier_rank: int
    outlier_p: float
    outlier_holm: float
    wider: float  # letters whose σ is larger for the type that strays more
    spread_p: float
    correlations: tuple[float, ...]  # of difference maps and true differences
    differing: float
    false: float  # letters called different where nothing is
    false_points: float  # points on the side of their own group there
    false_published: float  # the same as published: a document is in its own prototype


def collection(seed: int, *, planted: bool) -> Instances:
    """Two groups of documents, of two types or, where nothing is planted, of one."""
    rng = np.random.default_rng([seed, int(planted)])
    shapes, scripts = {}, {}
    for g, script in enumerate(("north", "south")):
        for d in range(N_DOCUMENTS):
            name = f"{script}{d}"
            face = FACES[g] if planted else FACES[0]
            face = THIRD if planted and name == OUTLIER else face
            stray = STRAY[g] if planted else STRAY[0]
            shapes[name] = {one: jittered(glyph(one, face), stray, rng) for one in LETTERS}
            scripts[name] = script
    return instances(shapes, N_INSTANCES, seed=seed, columns={"script": scripts})


def measure(seed: int) -> Found:
    found = compare_groups(collection(seed, planted=True), "script", config=CONFIG)
    nothing = compare_groups(
        collection(seed, planted=False), "script", config=replace(CONFIG, draws=20)
    )
    difference, graph, spread = found.differences[0], found.graphs[0], found.spread
    place = found.outliers.documents.index(OUTLIER)
    others = np.array([name != OUTLIER for name in graph.documents])
    true = [glyph(one.character, FACES[1]) - glyph(one.character, FACES[0])
            for one in difference.letters]  # fmt: skip
    null = nothing.graphs[0]
    published = (null.published[:, :, 0] - null.published[:, :, 1]) * null.side[:, None] > 0
    return Found(
        seed=seed,
        right=float(graph.right[others][graph.points[others]].mean()),
        right_of_all=float(graph.right[graph.points].mean()),
        outlier_rank=found.outliers.ranked.index(place) + 1,
        outlier_p=float(found.outliers.p[place]), outlier_holm=float(found.outliers.holm[place]),
        wider=float((spread.sigma[1, :, 0] > spread.sigma[0, :, 0]).mean()),
        spread_p=float(spread.all_p[0]),
        correlations=tuple(float(np.corrcoef(one.ravel(), own.ravel())[0, 1])
                           for one, own in zip(true, difference.map, strict=True)),
        differing=float(difference.differs.mean()),
        false=float(nothing.differences[0].differs.mean()),
        false_points=float(null.right[null.points].mean()),
        false_published=float(published[null.points].mean()),
    )  # fmt: skip


def run() -> Result:
    found = []
    for seed in SEEDS:
        found.append(measure(seed))
        print(row(found[-1]), file=sys.stderr, flush=True)
    figures = [
        at_least("worst seed: points of letter graphs on the right side, outlier's apart",
                 100 * min(one.right for one in found), 95, "%"),
        at_most("worst rank of the outlier", max(one.outlier_rank for one in found), 1, ""),
        at_most("largest p of the outlier, corrected (Holm)",
                max(one.outlier_holm for one in found), 0.01, ""),
        at_least("letters with larger sigma in the type that strays more, worst seed",
                 100 * min(one.wider for one in found), 100, "%"),
        at_most("largest p of that, all letters", max(one.spread_p for one in found), 0.05, ""),
        Figure(name="difference maps and true differences, least r of a letter",
               value=min(min(one.correlations) for one in found), unit="", target="-", met=None),
        at_least("the same, mean r of letters, worst seed",
                 min(float(np.mean(one.correlations)) for one in found), 0.8, ""),
        Figure(name="letters called different where they are", unit="%", target="-", met=None,
               value=100 * float(np.mean([one.differing for one in found]))),
        Figure(name="nothing planted: points on their own side", unit="%", target="about 50",
               value=100 * float(np.mean([one.false_points for one in found])), met=None),
        Figure(name="nothing planted: the same with documents in their own prototype (published)",
               value=100 * float(np.mean([one.false_published for one in found])), unit="%",
               target="about 50", met=None),
        at_most("nothing planted: letters called different",
                100 * float(np.mean([one.false for one in found])), 5, "%"),
    ]  # fmt: skip
    return Result(figures=figures, notes=[NOTE, table(found)])


NOTE = (
    "The outlier is written in a third face, nearer to the first type than to its own: its points "
    "belong on the wrong side, so they are counted apart (with them: column `of all`)."
)


def row(one: Found) -> str:
    return (
        f"| {one.seed} | {100 * one.right:.1f} | {100 * one.right_of_all:.1f} | "
        f"{one.outlier_rank} | {one.outlier_p:.1e} | {one.outlier_holm:.1e} | "
        f"{100 * one.wider:.0f} | {one.spread_p:.1e} | {min(one.correlations):.3f} | "
        f"{np.mean(one.correlations):.3f} | {100 * one.differing:.0f} | {100 * one.false:.1f} |"
    )


def table(found: list[Found]) -> str:
    head = (
        "| seed | right, % | of all, % | outlier's rank | p | Holm | wider, % | p | least r | "
        "mean r | differ, % | falsely, % |\n|" + "---|" * 12 + "\n"
    )
    return head + "\n".join(row(one) for one in found)


def comparison(seed: int) -> Comparison:
    """The planted comparison of a seed, to look at."""
    return compare_groups(collection(seed, planted=True), "script", config=CONFIG)
