"""Generated against real images, cluster by cluster -> a frozen `BiasPage` (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from typika.mining.confounds import FLOOR
from typika.report.bias_records import (
    BiasInputs,
    BiasPage,
    Cell,
    ClusterRow,
    ForestRow,
    LabelSection,
    Whisker,
)
from typika.report.budget import FRAME_BYTES, MEGABYTE
from typika.report.build import RESERVE
from typika.report.comparison_records import Picture
from typika.report.pictures import as_base64

MOST_PICTURES = 6  # of a cluster, real and generated each
MOST_CLUSTERS = 60  # of a label, half of them from either end of its list
PICTURE_BYTES = 250  # beside the picture itself
# Pictures of a cluster with a verdict, and of one without: the second give way first.
LADDER = ((6, 6), (6, 4), (6, 3), (6, 2), (5, 1), (4, 1), (3, 0), (2, 0), (1, 0), (0, 0))

CHART, ROW = 640.0, 18.0  # width of a forest chart, and height of one of its rows
SWEEP = (150.0, 56.0)  # width and height of the drawing of a sweep
MARGIN = 8.0

Row = Mapping[str, Any]
Scale = Callable[[float], float]


def shown(members: pa.Table, first: str, most: int = MOST_PICTURES) -> list[int]:
    """Rows of the patches that the page may show: the nearest to their centre, one of an image.

    members: nearest first within a cluster. first: the guidance whose patches are shown.
    """
    columns = ["label", "cluster", "origin", "guidance", "image_id"]
    count: dict[tuple[str, int, str], int] = {}
    known, found = set(), []
    for place, row in enumerate(members.select(columns).to_pylist()):
        key = row["label"], row["cluster"], row["origin"]
        image = (*key, row["image_id"])
        if row["guidance"] not in ("", first) or image in known or count.get(key, 0) == most:
            continue
        known.add(image)
        count[key] = count.get(key, 0) + 1
        found.append(place)
    return found


def build_bias(inputs: BiasInputs, *, max_megabytes: float = 25) -> BiasPage:
    """Decide what the page shows, and word it."""
    odds = inputs.odds.to_pylist()
    first = [row for row in odds if row["guidance"] == inputs.guidances[0]]
    scale, ticks = _axis(first)
    called = {(row["label"], row["cluster"]) for row in first if row["verdict"] != "not shown"}
    of_label = {label: [row for row in first if row["label"] == label] for label in inputs.labels}
    kept = {(label, row["cluster"]) for label, rows in of_label.items() for row in _ends(rows)}
    patches, plan = _patches(inputs, called, kept, round(max_megabytes * MEGABYTE * RESERVE))
    labels = []
    for label, rows in of_label.items():
        own = _ends(rows)
        sweep = [row for row in odds if row["label"] == label]
        labels.append(LabelSection(
            label=label,
            summary=_summary(rows),
            forest=tuple(_forest_row(row, place, scale) for place, row in enumerate(own)),
            height=round(len(own) * ROW + 30),
            clusters=tuple(_cluster(row, sweep, patches) for row in own),
        ))  # fmt: skip
    return BiasPage(
        title=inputs.name,
        lead=tuple(_lead(inputs, first)),
        notes=tuple(_notes(inputs)),
        guidances=tuple(map(in_words, inputs.guidances)),
        where=_where(inputs),
        coverage=_table(inputs, inputs.coverage, _coverage_cell),
        told_apart=_table(inputs, inputs.told_apart, _told_cell),
        ticks=ticks,
        labels=tuple(labels),
        alpha=f"{100 * inputs.alpha:g} %",
        facts=inputs.facts,
        left_out=tuple(_left_out(inputs, first, plan)),
        version=inputs.version,
        date=inputs.date,
    )


def _ends(rows: Sequence[Row]) -> list[Row]:
    """What the page has room for: what is overdrawn stands first, and what is underdrawn last."""
    if len(rows) <= MOST_CLUSTERS:
        return list(rows)
    half = MOST_CLUSTERS // 2
    return [*rows[:half], *rows[-half:]]


def in_words(guidance: str) -> str:
    """A guidance as a heading."""
    return f"guidance {guidance}" if guidance else "generated"


def _where(inputs: BiasInputs) -> str:
    """The first guidance as the end of a sentence."""
    first = inputs.guidances[0]
    return f" at {in_words(first)}" if first else ""


# --- words --------------------------------------------------------------------------------------


def _lead(inputs: BiasInputs, first: Sequence[Row]) -> Iterator[str]:
    count = {name: sum(row["verdict"] == name for row in first)
             for name in ("overdrawn", "underdrawn", "never drawn")}  # fmt: skip
    who = "the run’s own model drew" if inputs.drawn else "a generator drew"
    least, most = (
        (min(row[of] for row in first), max(row[of] for row in first))
        for of in ("of_generated", "of_real")
    )
    yield (
        f"What {who}{_where(inputs)}: {_range(*least)} images of each of {len(inputs.labels)} "
        f"labels, held against {_range(*most)} real ones of each."
    )
    calls = [f"{number} {'are' if number > 1 else 'is'} {name}"
             for name, number in count.items() if number]  # fmt: skip
    yield (
        f"Of {len(first)} clusters of their patches, {', '.join(calls) or 'none differs'}"
        f"{'; of the others no difference is shown' if calls else ' beyond chance'}."
    )


def _range(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _notes(inputs: BiasInputs) -> Iterator[str]:
    rows = [row for row in inputs.told_apart.to_pylist() if row["guidance"] == inputs.guidances[0]]
    worst = {
        by: max((row for row in rows if row["by"] == by and math.isfinite(row["auc"])),
                key=lambda row: row["low"], default=None)
        for by in ("look", "compared")
    }  # fmt: skip
    look, patch = worst["look"], worst["compared"]
    if look and look["low"] >= FLOOR:
        yield (
            "Generated images can be told from real ones by how they look, whatever they show "
            f"(AUC {look['auc']:.2f} for {look['label']}): colours, brightness or sharpness "
            "differ."
        )
    if patch and patch["low"] >= FLOOR:
        yield (
            "Random patches of generated and real images can still be told apart by the features "
            f"that clusters compare (AUC {patch['auc']:.2f} for {patch['label']}). An element "
            "may then be overdrawn or underdrawn as a drawing of it and not as a thing: look "
            "whether its patches show what other clusters show too."
        )


def _summary(own: Sequence[Row]) -> str:
    calls = sum(row["verdict"] != "not shown" for row in own)
    return f"{len(own)} clusters, {calls} of them drawn more or less often than they are real"


def _left_out(inputs: BiasInputs, first: Sequence[Row], plan: tuple[int, int]) -> Iterator[str]:
    cut = [label for label in inputs.labels
           if sum(row["label"] == label for row in first) > MOST_CLUSTERS]  # fmt: skip
    if cut:
        yield (
            f"Of {', '.join(cut)} the page shows the first {MOST_CLUSTERS // 2} clusters and the "
            f"last {MOST_CLUSTERS // 2}; odds.csv lists them all."
        )
    if plan != LADDER[0]:
        yield (
            f"To keep this file small, clusters show {plan[0]} patches of a kind, those without "
            f"a verdict {plan[1]}; members.parquet lists them all."
        )


# --- tables -------------------------------------------------------------------------------------


def _table(
    inputs: BiasInputs, table: pa.Table, cell: Callable[[list[Row]], Cell]
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    rows = table.to_pylist()
    return tuple(
        (label, tuple(
            cell([row for row in rows if row["label"] == label and row["guidance"] == guidance])
            for guidance in inputs.guidances
        ))
        for label in inputs.labels
    )  # fmt: skip


def _coverage_cell(rows: list[Row]) -> Cell:
    (row,) = rows
    if not row["clusters"]:
        return Cell(text="–", small="no element is frequent enough")
    return Cell(
        text=f"{row['drawn']} of {row['clusters']}",
        small=f"{row['coverage']:.0%} ({row['low']:.0%} to {row['high']:.0%}); "
        f"{row['expected']:.0%} if drawn as often as real",
    )


def _told_cell(rows: list[Row]) -> Cell:
    by = {row["by"]: row for row in rows}

    def figure(name: str) -> str:
        row = by[name]
        if not math.isfinite(row["auc"]):
            return "–"
        return f"{row['auc']:.2f} ({row['low']:.2f} to {row['high']:.2f})"

    return Cell(
        text=figure("compared"),
        small=f"features as they are {figure('patches')}; by look alone {figure('look')}",
    )


# --- charts -------------------------------------------------------------------------------------


def _axis(rows: Sequence[Row]) -> tuple[Scale, tuple[tuple[float, str], ...]]:
    """One axis for all labels, in odds: the same distance up and down."""
    reach = max((abs(row["log_odds"]) for row in rows), default=1.0)
    # Intervals may leave the chart; estimates may not.
    end = max(math.log(4), reach + 0.7)

    def scale(value: float) -> float:
        return round(CHART / 2 + max(-end, min(end, value)) / end * (CHART / 2 - MARGIN), 1)

    step = 1 if end < math.log(24) else 2
    powers = [power for power in range(-12, 13, step) if abs(power * math.log(2)) < end]
    return scale, tuple((scale(power * math.log(2)), times(power)) for power in powers)


def times(power: int) -> str:
    """Odds of 2 to a power, as a tick says them."""
    return f"×{2**power}" if power >= 0 else f"÷{2**-power}"


def _whisker(row: Row, scale: Scale, across: float) -> Whisker:
    places = {name: scale(row[name]) for name in ("low", "high", "widened_low", "widened_high")}
    return Whisker(place=scale(row["log_odds"]), across=across, text=_spoken(row), **places)


def _spoken(row: Row) -> str:
    at = f"{in_words(row['guidance'])}: " if row["guidance"] else ""
    return (
        f"{at}log-odds {row['log_odds']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f}), "
        f"{row['verdict']}"
    )


def _forest_row(row: Row, place: int, scale: Scale) -> ForestRow:
    whisker = _whisker(row, scale, round(ROW * (place + 0.5), 1))
    return ForestRow(number=row["cluster"] + 1, verdict=row["verdict"], whisker=whisker)


def _sweep(rows: Sequence[Row]) -> tuple[tuple[Whisker, ...], str]:
    """The log-odds of one cluster over guidances, weak to strong; empty for a single one."""
    if len(rows) < 2:
        return (), ""
    ordered = sorted(rows, key=lambda row: _strength(row["guidance"]))
    width, height = SWEEP
    end = max(1.0, *(abs(row["log_odds"]) + 0.5 for row in rows))

    def up(value: float) -> float:
        return round(height / 2 - max(-end, min(end, value)) / end * (height / 2 - 4), 1)

    step = (width - 2 * MARGIN) / (len(ordered) - 1)
    drawn = tuple(
        _whisker(row, up, round(MARGIN + place * step, 1)) for place, row in enumerate(ordered)
    )
    return drawn, " ".join(f"{one.across},{one.place}" for one in drawn)


def _strength(guidance: str) -> tuple[float, str]:
    try:
        return float(guidance), guidance
    except ValueError:
        return math.inf, guidance


# --- clusters -----------------------------------------------------------------------------------

Patches = dict[tuple[str, int, str], list[Picture]]


def _patches(
    inputs: BiasInputs, called: set[tuple[str, int]], kept: set[tuple[str, int]], budget: int
) -> tuple[Patches, tuple[int, int]]:
    """Pictures of each cluster and origin, as many as fit, and how many of each that is.

    called, kept: label and number of the clusters with a verdict, and of those that are shown.
    """
    columns = ["label", "cluster", "origin", "file_name", "typicality"]
    table = inputs.members.select(columns).take(pa.array(list(inputs.pictures), pa.int64()))
    rows = list(zip(table.to_pylist(), inputs.pictures.values(), strict=True))
    for plan in LADDER:
        found: Patches = {}
        weight = FRAME_BYTES
        for row, jpeg in rows:
            key = row["label"], row["cluster"], row["origin"]
            own = found.setdefault(key, [])
            if len(own) < plan[0 if key[:2] in called else 1] and key[:2] in kept:
                alt = f"{row['origin']}, typicality {row['typicality']:.3g}; {row['file_name']}"
                own.append(Picture(jpeg=as_base64(jpeg), alt=alt[:160]))
                weight += len(jpeg) * 4 // 3 + PICTURE_BYTES
        if weight <= budget:
            break
    return found, plan


def _cluster(row: Row, sweep: Sequence[Row], patches: Patches) -> ClusterRow:
    own = [one for one in sweep if one["cluster"] == row["cluster"]]
    whiskers, line = _sweep(own)
    key = row["label"], row["cluster"]
    return ClusterRow(
        number=row["cluster"] + 1,
        verdict=row["verdict"],
        odds=f"{row['log_odds']:+.2f}".replace("-", "−"),
        interval=f"{row['low']:+.2f} to {row['high']:+.2f}".replace("-", "−"),
        text=_figures(row),
        sweep=whiskers,
        line=line,
        real=tuple(patches.get((*key, "real"), ())),
        generated=tuple(patches.get((*key, "generated"), ())),
    )


def _figures(row: Row) -> str:
    shares = [
        f"{row[f'n_{name}'] / row[f'of_{name}']:.0%} of the {name} images "
        f"({row[f'n_{name}']:,} of {row[f'of_{name}']:,})"
        for name in ("generated", "real")
    ]
    q = "< 0.001" if row["q"] < 0.001 else f"= {row['q']:.3f}"
    return f"In {shares[0]}, and in {shares[1]}; q {q}."
