"""Curated clusters as the tables that reports and exports read (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from numpy import ndarray

from typika.curation.apply import Cluster, Curated, Found, by_label, curate
from typika.curation.edits import Log
from typika.mining.clusters import median_interval

BY_HAND = {
    "name": pa.string(),
    "note": pa.string(),
    "starred": pa.bool_(),
    "hidden": pa.bool_(),
    "sources": pa.list_(pa.int32()),  # the run's own clusters whose patches it has
    "whole": pa.bool_(),  # whether it is one of those, patches left out aside
    "left_out": pa.int32(),  # patches that were taken out of it
}


def curated_tables(
    patches: pa.Table, clusters: pa.Table, log: Log
) -> tuple[pa.Table, pa.Table, Curated]:
    """patches.parquet and clusters.parquet as curated.

    The patches less those left out, with their cluster as curated; the clusters with the columns
    of `BY_HAND`, hidden ones too. Figures of clusters whose patches changed are computed again.
    """
    curated = curate(Found.read(patches), log)
    return curated_patches(patches, curated), curated_clusters(patches, clusters, curated), curated


def curated_patches(patches: pa.Table, curated: Curated) -> pa.Table:
    """The patches less those left out, with their cluster as curated."""
    found = curated.found
    number = np.array(patches["cluster"].to_numpy(), dtype=np.int64)
    number[found.row] = curated.number
    kept = np.ones(len(patches), dtype=bool)
    kept[found.row[curated.dropped]] = False
    place = patches.column_names.index("cluster")
    kind = patches.schema.field("cluster")
    return patches.set_column(place, kind, pa.array(number, kind.type)).filter(pa.array(kept))


def curated_clusters(patches: pa.Table, clusters: pa.Table, curated: Curated) -> pa.Table:
    """A row for each curated cluster that has patches left."""
    score = patches["typicality"].to_numpy()
    units = _units(patches)
    images = np.unique(np.array(patches["image_id"].to_pylist(), str), return_inverse=True)[1]
    before: dict[str, dict[int, dict[str, Any]]] = {}
    for row in clusters.to_pylist():
        before.setdefault(row["label"], {})[row["cluster"]] = row
    rows = []
    for label, own in by_label(curated.clusters).items():
        for one in own:
            left = one.places[~curated.dropped[one.places]]
            if len(left):
                at = curated.found.row[left]
                rows.append(_row(one, before.get(label, {}), score[at], units[at], images[at]))
    fields = [*clusters.schema, *(pa.field(name, kind) for name, kind in BY_HAND.items())]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _units(patches: pa.Table) -> Int[ndarray, " n"]:
    """What varies together: images of one group; images, where the run knows no groups."""
    name = "group" if "group" in patches.column_names else "image_id"
    names = [str(value) for value in patches[name].to_pylist()]
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1]


def _row(
    one: Cluster,
    before: Mapping[int, Mapping[str, Any]],
    score: ndarray,
    units: Int[ndarray, " m"],
    images: Int[ndarray, " m"],
) -> dict[str, Any]:
    """A row of the table; figures of an untouched cluster stay to the last digit."""
    same = before.get(one.number)
    left_out = len(one.places) - len(score)
    by_hand = {
        "name": one.name, "note": one.note, "starred": one.starred, "hidden": one.hidden,
        "sources": list(one.sources), "whole": one.whole, "left_out": left_out,
    }  # fmt: skip
    if same is not None and one.whole and not left_out:
        return {**same, **by_hand}
    interval = median_interval(score, units, one.number)
    beside = next(iter(before.values()), {})
    return {
        **{name: value for name, value in beside.items() if name == "repeats"},
        "label": one.label,
        "cluster": one.number,
        "rank": same["rank"] if same is not None else one.number + 1,
        "size": len(score),
        "typicality": interval.value,
        "low": interval.low,
        "high": interval.high,
        "n_images": len(np.unique(images)),
        "stability": same["stability"] if same is not None and one.whole else math.nan,
        **by_hand,
    }


def exported(patches: pa.Table, clusters: Sequence[Cluster]) -> pa.Table:
    """Curated patches as exports show them: none of hidden clusters; names and notes beside.

    patches: of `curated_patches`. Adds `cluster_name`, `cluster_note` and `cluster_starred`; a
    column of the user's of such a name stays as `column_NAME`.
    """
    of = {(one.label, one.number): one for one in clusters}
    keys = list(zip(patches["label"].to_pylist(), patches["cluster"].to_pylist(), strict=True))
    own = [of.get(key) for key in keys]
    taken = {name: f"column_{name}" for name in EXPORTED if name in patches.column_names}
    table = patches.rename_columns([taken.get(name, name) for name in patches.column_names])
    values = (
        pa.array([one.name if one else "" for one in own], pa.string()),
        pa.array([one.note if one else "" for one in own], pa.string()),
        pa.array([bool(one and one.starred) for one in own], pa.bool_()),
    )
    for name, column in zip(EXPORTED, values, strict=True):
        table = table.append_column(name, column)
    return table.filter(pa.array([not (one and one.hidden) for one in own], pa.bool_()))


EXPORTED = ("cluster_name", "cluster_note", "cluster_starred")
