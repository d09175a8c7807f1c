"""Caroline minuscule: do its letters part early documents from late ones, and follow their dates?

17 dated manuscripts. Early are those to 830, late those from 1000, by the middle of their dates;
the six between belong to neither. The axes of the prototypes know nothing of dates.

    python -m benchmarks.caroline_dates RUN     # a run of the Caroline lines, adapted by document
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.record import Figure, Result, at_least, at_most, real
from typika.palaeography import distances, units
from typika.palaeography.comparison_records import Comparison
from typika.palaeography.dates import year
from typika.palaeography.records import Instances, Prototypes
from typika.palaeography.trees import apart, principal
from typika.palaeography.units import ComparisonConfig, Units
from typika.script_comparison import DATES, compare_groups

EARLY, LATE = 830, 1000
CONFIG = ComparisonConfig(draws=100)
SETTINGS: dict = {"training": {"held_out": 0.0, "checks": 1}}


def fitted(folder: Path) -> Path:
    """A run of all Caroline lines, with its instances gathered."""
    from typika import adaptations, typewriting

    source = real("lines", "caroline")
    values = {**SETTINGS, "text": {"metadata": str(source / "metadata.csv")}}
    typewriting.fit(source, folder / "run", config=typewriting.configure(values))
    adaptations.adapt(folder / "run", "document", metadata=source / "metadata.csv")
    return folder / "run"


def read(folder: Path) -> tuple[Instances, Prototypes | None]:
    """The instances of a run, with a column `period`, and its prototypes by document, if any."""
    made = Instances.load(folder / "instances")
    column = next(name for name in DATES if name in made.table.column_names)
    middle = [year(str(value or "")) for value in made.table[column].to_pylist()]
    periods = ["" if one is None else "early" if one <= EARLY else "late" if one >= LATE else ""
               for one in middle]  # fmt: skip
    kept = made.table.select([name for name in made.table.column_names if name != "period"])
    made = replace(made, table=kept.append_column("period", pa.array(periods)))
    place = folder / "prototypes" / "document"
    return made, Prototypes.load(place) if place.exists() else None


def parted(made: Instances, prototypes: Prototypes | None) -> tuple[float, float]:
    """p-value that early and late are one, over all letters; share of documents told rightly.

    A document is told by its distances to the means of both periods without it, noise taken off.
    """
    named = Units.of(made, "period", "document")
    near = units.masks(made, prototypes.reference if prototypes else None)
    found = apart([own for _, own in units.all_means(made, named, near, CONFIG.least)])
    side = named.side("early", "late")
    kept = np.flatnonzero(side != 0)
    values, vectors = principal(found.of(kept).squares())
    place = vectors * np.sqrt(np.maximum(values, 0))
    gram = place @ place.T
    permuted = distances.splits(side[kept], CONFIG.permutations, np.random.default_rng(0))
    lean = distances.to_groups(gram, side[kept]).left_out
    right = (lean[:, 0] - lean[:, 1]) * side[kept] > 0
    return distances.label_p(gram, permuted), float(right.mean())


def measure(folder: Path) -> Result:
    made, prototypes = read(folder)
    found = compare_groups(made, "period", prototypes=prototypes, config=CONFIG)
    p, right = parted(made, prototypes)
    order, difference = found.seriation, found.differences[0]
    if order is None:
        raise ValueError(f"{folder}: fewer dates than an order needs")
    rho, low, high = order.spearman[0]
    points = found.graphs[0]
    figures = [
        at_most("early and late are one, all letters: p", p, 0.05, ""),
        _shown("documents told rightly, left out, all letters", 100 * right, "%"),
        _shown("points of letter graphs on the right side",
               100 * float(points.right[points.points].mean()), "%"),
        _shown("letters that differ", float(difference.differs.sum()), f"of {len(made.letters)}"),
        _shown("first axis, share of the variance", 100 * float(order.share[0]), "%"),
        _shown("first axis and dates, lower end of 95 %", float(low), ""),
        _shown("first axis and dates, upper end of 95 %", float(high), ""),
        _shown("first axis and dates, p", float(order.p[0]), ""),
        _shown("dates left out and predicted, mean error", float(order.error[0]), "years"),
        _shown("mean error of guessing the mean of the others", order.guessing, "years"),
        at_least("first axis and dates, Spearman", float(rho), 0.6, ""),
    ]  # fmt: skip
    return Result(figures=figures, notes=list(_notes(found)))


def run() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        return measure(fitted(Path(folder)))


def _shown(name: str, value: float, unit: str) -> Figure:
    return Figure(name=name, value=value, unit=unit, target="-", met=None)


def _notes(found: Comparison) -> list[str]:
    order, difference = found.seriation, found.differences[0]
    assert order is not None
    carried = ", ".join(f"{order.letters[k].name} {100 * order.carried[k]:.0f} %"
                        for k in order.ranked[:10])  # fmt: skip
    best = ", ".join(f"{difference.letters[k].name} ({difference.separation[k, 0]:.2f})"
                     for k in difference.ranked[:10])  # fmt: skip
    axes = "\n".join(
        f"| {row['axis']} | {100 * row['share']:.0f} | {row['spearman']:.2f} "
        f"({row['spearman_low']:.2f} to {row['spearman_high']:.2f}) | {row['p']:.3f} | "
        f"{row['p_corrected']:.3f} |"
        for row in order.axis_rows()
    )
    places = "\n".join(
        f"| {row['document']} | {row['date']} | {row['axis_1']:.2f} | {row['predicted']:.0f} |"
        for row in order.rows()
    )
    head = (
        "| axis | % of variance | Spearman | p | corrected for all axes |\n|---|---|---|---|---|\n"
    )
    return [
        f"Letters that carry the first axis: {carried}.",
        f"Letters that part early from late best (AUC, pairs left out): {best}.",
        head + axes,
        "| document | date | first axis | predicted |\n|---|---|---|---|\n" + places,
    ]


if __name__ == "__main__":
    result = measure(Path(sys.argv[1]))
    for figure in result.figures:
        print(figure.line())
    print("\n\n".join(result.notes))
