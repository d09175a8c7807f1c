"""Curated clusters as the tables that reports and exports read (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from typika.curation.apply import Cluster, Curated, Found, curate
from typika.curation.edits import Log
from typika.evaluation import Estimate
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
    figures = Figures.read(patches, clusters)
    return curated_patches(patches, curated), figures.table(curated), curated


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


@dataclass(frozen=True)
class Figures:
    """What the figures of clusters are computed from, row by row of patches.parquet.

    units: (n,) what varies together: images of one group. images: (n,). before: the rows of
    clusters.parquet by label and cluster.
    """

    score: Float[ndarray, " n"]
    units: Int[ndarray, " n"]
    images: Int[ndarray, " n"]
    before: Mapping[str, Mapping[int, Mapping[str, Any]]]
    schema: pa.Schema

    @classmethod
    def read(cls, patches: pa.Table, clusters: pa.Table) -> Figures:
        """Take both tables apart."""
        unit = "group" if "group" in patches.column_names else "image_id"
        before: dict[str, dict[int, dict[str, Any]]] = {}
        for row in clusters.to_pylist():
            before.setdefault(row["label"], {})[row["cluster"]] = row
        fields = [*clusters.schema, *(pa.field(name, kind) for name, kind in BY_HAND.items())]
        return cls(
            score=patches["typicality"].to_numpy(),
            units=_numbered(patches[unit]),
            images=_numbered(patches["image_id"]),
            before=before,
            schema=pa.schema(fields),
        )

    def table(self, curated: Curated) -> pa.Table:
        """A row for each cluster that has patches left."""
        rows = [self._row(one, curated.kept(one)) for one in curated.clusters]
        return pa.Table.from_pylist([row for row in rows if row], schema=self.schema)

    def _row(self, one: Cluster, at: Int[ndarray, " m"]) -> dict[str, Any]:
        """A row of the table; figures of an untouched cluster stay to the last digit."""
        if not len(at):
            return {}
        before = self.before.get(one.label, {})
        same = before.get(one.number)
        left_out = len(one.places) - len(at)
        by_hand = {
            "name": one.name, "note": one.note, "starred": one.starred, "hidden": one.hidden,
            "sources": list(one.sources), "whole": one.whole, "left_out": left_out,
        }  # fmt: skip
        if same is not None and one.whole and not left_out:
            return {**same, **by_hand}
        interval = _interval(self.score[at].tobytes(), self.units[at].tobytes(), one.number)
        return {
            "repeats": next((row.get("repeats") for row in before.values()), None),
            "label": one.label,
            "cluster": one.number,
            "rank": same["rank"] if same is not None else one.number + 1,
            "size": len(at),
            "typicality": interval.value,
            "low": interval.low,
            "high": interval.high,
            "n_images": len(np.unique(self.images[at])),
            "stability": same["stability"] if same is not None and one.whole else math.nan,
            **by_hand,
        }


def _numbered(column: pa.ChunkedArray) -> Int[ndarray, " n"]:
    return np.unique(np.array(column.to_pylist(), dtype=str), return_inverse=True)[1]


@lru_cache(maxsize=1024)  # whoever curates changes one cluster at a time
def _interval(score: bytes, units: bytes, seed: int) -> Estimate:
    return median_interval(np.frombuffer(score), np.frombuffer(units, dtype=np.int64), seed)


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
