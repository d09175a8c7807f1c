"""Several methods over the same images -> a frozen `MethodsPage`, and methods.csv.

What is compared is decided in `mining/methods.py`; here figures become words and central patches
become strips.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pyarrow as pa

from typika.mining.methods import MethodFigures, Share
from typika.report.budget import FRAME_BYTES, MEGABYTE
from typika.report.build import RESERVE
from typika.report.comparison import PER_CENT, decimal, percent
from typika.report.comparison_records import Cell, Picture
from typika.report.methods_records import (
    Centre,
    LabelStrips,
    MethodRow,
    MethodRun,
    MethodsInputs,
    MethodsPage,
    Strip,
)
from typika.report.pictures import as_base64

MOST_CENTRES = 10  # clusters of a method in a strip


def build_methods(inputs: MethodsInputs, *, max_megabytes: float = 25) -> MethodsPage:
    """Decide what the page shows, and word it."""
    n_centres = _room(inputs, round(max_megabytes * MEGABYTE * RESERVE))
    return MethodsPage(
        title=" · ".join(dict.fromkeys(run.method for run in inputs.runs)),
        lead=tuple(_lead(inputs)),
        notes=inputs.notes,
        columns=tuple(_columns(inputs)),
        rows=tuple(
            MethodRow(method=run.method, name=run.name, cells=tuple(_cells(inputs, run)))
            for run in inputs.runs
        ),
        made=tuple((run.name, run.method, run.model, run.ranked) for run in inputs.runs),
        labels=tuple(
            _strips(inputs, number, label, n_centres) for number, label in enumerate(inputs.labels)
        ),
        left_out=tuple(_left_out(n_centres, max_megabytes)),
        version=inputs.version,
        date=inputs.date,
        regions=inputs.regions,
        tested=inputs.tested,
    )


def _room(inputs: MethodsInputs, budget: int) -> int:
    """How many clusters of each strip fit into so many bytes; none where not even one does."""
    everything = [run.centres.get(label, ()) for run in inputs.runs for label in inputs.labels]
    for count in range(MOST_CENTRES, 0, -1):
        shown = [one for strip in everything for one in strip[:count]]
        if FRAME_BYTES + sum(len(one.jpeg) * 4 // 3 + 250 for one in shown) <= budget:
            return count
    return 0


def _left_out(n_centres: int, max_megabytes: float) -> Iterator[str]:
    if n_centres < MOST_CENTRES:
        yield (
            f"To stay under {max_megabytes:g} MB, strips hold {n_centres} clusters; the reports "
            "of the runs show more."
        )


def _lead(inputs: MethodsInputs) -> Iterator[str]:
    everything = inputs.runs[0].figures[0]
    yield (
        f"{len(inputs.runs)} methods over the same {everything.n_images:,} images of "
        f"{len(inputs.labels):,} labels. The first, {inputs.runs[0].method} "
        f"(“{inputs.runs[0].name}”), is what the others are held against."
    )
    if inputs.regions:
        hits = [(run.figures[0].hits.estimate.value, run) for run in inputs.runs]
        known = [(value, run) for value, run in hits if math.isfinite(value)]
        if known:
            value, run = max(known, key=lambda one: one[0])
            yield (
                f"Against {inputs.regions}, the best patches of {run.method} (“{run.name}”) hit "
                f"most often: {percent(value)}."
            )


def _columns(inputs: MethodsInputs) -> Iterator[str]:
    yield from ("Typical patches", "Clusters", "Label told, held out", "Overlap with the first")
    if inputs.tested:
        yield from ("Significant clusters", "Held-out AUC")
    if inputs.regions:
        yield from ("Average precision", "Pointing", "Best patches that hit")


def _cells(inputs: MethodsInputs, run: MethodRun) -> Iterator[Cell]:
    row = run.figures[0]
    yield Cell(text=f"{row.n_patches:,}")
    yield Cell(text=f"{row.n_clusters:,}")
    yield _share(row.told)
    yield _share(row.overlap)
    if inputs.tested:
        yield Cell(text="—" if row.n_significant is None else f"{row.n_significant:,}")
        yield Cell(text=decimal(row.auc))
    if inputs.regions:
        yield _share(row.precision, as_decimal=True)
        yield _share(row.pointing)
        yield _share(row.hits)


def _share(share: Share, *, as_decimal: bool = False) -> Cell:
    spell = decimal if as_decimal else percent
    one = share.estimate
    small = []
    if math.isfinite(one.low):
        low, high = spell(one.low).removesuffix(PER_CENT), spell(one.high)
        small.append(f"{low} to {high}")
    if math.isfinite(share.chance):
        small.append(f"chance\u00a0{spell(share.chance)}")
    return Cell(text=spell(one), small=" · ".join(small))


# --------------------------------------------------------------------------------------- strips


def _strips(inputs: MethodsInputs, number: int, label: str, n_centres: int) -> LabelStrips:
    figures = inputs.runs[0].figures[number + 1]
    return LabelStrips(
        label=label,
        summary=f"{figures.n_images:,} images",
        strips=tuple(_strip(run, number, label, n_centres) for run in inputs.runs),
    )


def _strip(run: MethodRun, number: int, label: str, n_centres: int) -> Strip:
    row = run.figures[number + 1]
    return Strip(
        method=run.method,
        name=run.name,
        counts=f"{row.n_patches:,} patches, {row.n_clusters:,} clusters",
        patches=tuple(_picture(run, one) for one in run.centres.get(label, ())[:n_centres]),
    )


def _picture(run: MethodRun, one: Centre) -> Picture:
    words = f"Central patch of cluster {one.rank} of {run.name}, {one.size} patches"
    return Picture(jpeg=as_base64(one.jpeg), alt=f"{words}; from {one.file_name[:80]}")


# ------------------------------------------------------------------------------------------ CSV


METHODS = pa.schema(
    {
        **{name: pa.string() for name in ("run", "method", "label")},
        **{name: pa.int64() for name in ("images", "patches", "clusters", "significant",
                                         "images_with_regions")},
        "auc": pa.float64(),
        **{
            f"{name}{end}": pa.float64()
            for name in ("told", "overlap", "average_precision", "pointing", "hits")
            for end in ("", "_low", "_high", "_chance")
        },
    }
)  # fmt: skip


def methods_table(runs: Sequence[MethodRun]) -> pa.Table:
    """One row per run and label; an empty label stands for all labels together."""
    rows = [_csv_row(run, figures) for run in runs for figures in run.figures]
    return pa.Table.from_pylist(rows, schema=METHODS)


def _csv_row(run: MethodRun, row: MethodFigures) -> dict[str, str | float | None]:
    shares = {"told": row.told, "overlap": row.overlap, "average_precision": row.precision,
              "pointing": row.pointing, "hits": row.hits}  # fmt: skip
    numbers = {"auc": row.auc}
    for name, share in shares.items():
        one = share.estimate
        ends = {"": one.value, "_low": one.low, "_high": one.high, "_chance": share.chance}
        numbers |= {f"{name}{end}": value for end, value in ends.items()}
    return {
        "run": run.name, "method": run.method, "label": row.label or "", "images": row.n_images,
        "patches": row.n_patches, "clusters": row.n_clusters, "significant": row.n_significant,
        "images_with_regions": row.n_located,
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
    }  # fmt: skip
