"""Sequences and their clusters -> a frozen `CotypicalPage`: grouping, order, budget, wording."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from typika.report.budget import FRAME_BYTES, MEGABYTE
from typika.report.build import RESERVE
from typika.report.comparison_records import Picture
from typika.report.cotypicality_records import (
    ClusterSection,
    CotypicalInputs,
    CotypicalPage,
    PatchCell,
    SequenceRow,
)
from typika.report.pictures import as_base64

MOST_ROWS = 6  # sequences of a cluster
MOST_CLUSTERS = 48
ORIGINAL = "Original"  # column of images whose own label no image was translated to
MOST_SOURCES = 4  # labels of originals that a cluster names
CELL_BYTES = 250  # of one patch beside its picture


def nearest(sequences: list[dict[str, Any]], count: int = MOST_ROWS) -> dict[int, list[int]]:
    """Of each cluster the sequences nearest to its centre, one of each image, by cluster.

    sequences: rows of the table of sequences, of which only clusters that are shown count.
    """
    known: dict[int, dict[str, tuple[float, int]]] = {}
    for row in sequences:
        if 0 <= row["cluster"] < MOST_CLUSTERS:
            own = known.setdefault(row["cluster"], {})
            own[row["image_id"]] = min(
                own.get(row["image_id"], (math.inf, 0)), (row["distance"], row["sequence"])
            )
    return {
        cluster: [sequence for _, sequence in sorted(own.values())[:count]]
        for cluster, own in sorted(known.items())
    }


def build_cotypical(inputs: CotypicalInputs, *, max_megabytes: float = 25) -> CotypicalPage:
    """Decide what the page shows, and word it."""
    table = inputs.sequences.to_pylist()
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in table:
        rows.setdefault(row["sequence"], []).append(row)
    shown = nearest(table)
    budget = round(max_megabytes * MEGABYTE * RESERVE) - FRAME_BYTES
    n_clusters, n_rows = _room(inputs, shown, rows, budget)
    columns = _columns(inputs.labels, rows)
    sources = Counter[tuple[int, str]]()
    for own in rows.values():
        sources[own[0]["cluster"], own[0]["source_label"]] += 1
    sections = [
        ClusterSection(
            rank=one["rank"],
            score=_number(one["cotypicality"]),
            interval=_interval(one),
            counts=f"{one['size']:,} sequences of {one['n_images']:,} images",
            sources=_sources(one["cluster"], sources),
            rows=tuple(_row(inputs, rows[sequence], columns)
                       for sequence in shown.get(one["cluster"], [])[:n_rows]),
        )
        for one in inputs.clusters.to_pylist()[:n_clusters]
    ]  # fmt: skip
    return CotypicalPage(
        title=inputs.name,
        lead=tuple(_lead(inputs, len(rows))),
        notes=inputs.notes,
        columns=columns,
        clusters=tuple(sections),
        facts=inputs.facts,
        left_out=tuple(_left_out(inputs, len(sections), n_rows)),
        version=inputs.version,
        date=inputs.date,
    )


def _room(
    inputs: CotypicalInputs,
    shown: dict[int, list[int]],
    rows: dict[int, list[dict[str, Any]]],
    budget: int,
) -> tuple[int, int]:
    """How many clusters, and sequences of each, fit into so many bytes: rows give way first."""

    def weight(sequence: int) -> int:
        return sum(len(inputs.pictures[_key(row)]) * 4 // 3 + CELL_BYTES for row in rows[sequence])

    ladder = [(MOST_CLUSTERS, count) for count in range(MOST_ROWS, 1, -1)]
    ladder += [(count, 2) for count in range(MOST_CLUSTERS - 1, 0, -1)] + [(1, 1)]
    for n_clusters, n_rows in ladder:
        chosen = [one for own in list(shown.values())[:n_clusters] for one in own[:n_rows]]
        if sum(map(weight, chosen)) <= budget:
            return n_clusters, n_rows
    return 0, 0


def _key(row: dict[str, Any]) -> tuple[int, str, bool]:
    return row["sequence"], row["label"], row["original"]


def _columns(labels: tuple[str, ...], rows: dict[int, list[dict[str, Any]]]) -> tuple[str, ...]:
    """The labels; before them the originals, where an original's own label is not among them."""
    apart = any(own[0]["source_label"] not in labels for own in rows.values())
    return (ORIGINAL, *labels) if apart else labels


def _row(
    inputs: CotypicalInputs, own: list[dict[str, Any]], columns: tuple[str, ...]
) -> SequenceRow:
    cells = {}
    for row in own:
        column = row["label"] if row["label"] in inputs.labels else ORIGINAL
        kind = "the original" if row["original"] else "translated"
        alt = f"{row['label']}, {kind}; from {row['source_name'][:80]}"
        picture = Picture(jpeg=as_base64(inputs.pictures[_key(row)]), alt=alt)
        cells[column] = PatchCell(
            picture=picture, original=row["original"], typicality=_number(row["typicality"])
        )
    return SequenceRow(
        source=own[0]["source_name"],
        score=_number(own[0]["cotypicality"]),
        cells=tuple(cells.get(column) for column in columns),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _interval(one: dict[str, Any]) -> str:
    if not math.isfinite(one["low"]):
        return ""
    return f"{_number(one['low'])} to {_number(one['high'])}"


def _sources(cluster: int, counts: Counter[tuple[int, str]]) -> str:
    """Which labels the originals of a cluster come from, the most frequent first."""
    own = Counter({label: n for (number, label), n in counts.items() if number == cluster})
    total = own.total() or 1
    parts = [f"{label} {n / total:.0%}" for label, n in own.most_common(MOST_SOURCES)]
    more = len(own) - len(parts)
    return ", ".join(parts) + (f" and of {more} more" if more > 0 else "")


def _lead(inputs: CotypicalInputs, n_sequences: int) -> Iterator[str]:
    yield (
        f"{inputs.n_images:,} images of {inputs.name} and their translations to "
        f"{len(inputs.labels):,} labels. A row is one place of one image, under every label; the "
        "framed patch is the original, all others are of its translations."
    )
    yield (
        f"The {n_sequences:,} places that stay typical under most labels were grouped into "
        f"{len(inputs.clusters):,} clusters by how they look under all of them."
    )


def _left_out(inputs: CotypicalInputs, n_shown: int, n_rows: int) -> Iterator[str]:
    if n_shown < len(inputs.clusters):
        yield f"Clusters shown: {n_shown} of {len(inputs.clusters)}."
    if n_rows < MOST_ROWS:
        yield f"To keep this file small, clusters show {n_rows} sequences."
    loose = len({row["sequence"] for row in inputs.sequences.to_pylist() if row["cluster"] < 0})
    if loose:
        yield f"Sequences that are like no cluster, in sequences.csv alone: {loose:,}."
