"""The maps of a scored run on disk, one table per part of the collection.

A table has a row for each image that was scored: `row` of the collection, `image_id`, `label`,
`trained_on`, its maps flattened beside their `height` and `width`, and the image-level answers of
model and rival. Nothing else is kept of the draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float
from numpy import ndarray

from typika.collection.images import ImageCollection
from typika.diffusion.latents import PART, part_rows
from typika.errors import DataError
from typika.tables import parquet_columns, read_parquet, write_parquet

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

MAPS = ("null", "null_error", "others", "others_error", "evidence")
MAP = pa.list_(pa.float32())
KINDS = {
    name: pa.int32()
    for name in ("height", "width", "evidence_height", "evidence_width", "predicted",
                 "rival_predicted")
}  # fmt: skip


def score_path(folder: Path, part: int) -> Path:
    """The table of one part's maps."""
    return folder / "scores" / f"part-{part:05d}.parquet"


def mined_rows(mining: Mining, collection: ImageCollection, part: int) -> list[int]:
    """Rows of a part that are scored and mined: all, or those of the split that is mined."""
    rows = part_rows(part, len(collection))
    split = mining.config.collection.mine
    if not split:
        return list(rows)
    names = collection.table["split"].slice(rows.start, len(rows)).to_pylist()
    return [row for row, name in zip(rows, names, strict=True) if name == split]


def mined_parts(mining: Mining, collection: ImageCollection) -> list[int]:
    """The parts that have such rows."""
    rows = np.flatnonzero(collection.in_split(mining.config.collection.mine))
    return [int(part) for part in np.unique(rows // PART)]


def write_scores(
    folder: Path,
    collection: ImageCollection,
    part: int,
    rows: Sequence[int],
    found: Sequence[dict[str, Any]],
    trained_on: Bool[ndarray, " n"],
) -> None:
    """Write the records of a part's images; `trained_on` marks rows of the collection."""
    images = collection.table.take(list(rows))
    columns = {
        "row": pa.array(rows, pa.int32()),
        "image_id": images["image_id"],
        "label": images["label"],
        "trained_on": pa.array(trained_on[list(rows)]),
        **{
            name: pa.array([one[name] for one in found], KINDS.get(name, MAP)) for name in found[0]
        },
    }
    write_parquet(pa.table(columns), score_path(folder, part))


def read_maps(scores: pa.Table, place: int) -> dict[str, Float[ndarray, "h w"]]:
    """The maps of one image of a part, by name; the evidence has a grid of its own."""

    def grid(name: str) -> Float[ndarray, "h w"]:
        own = "evidence_" if name == "evidence" else ""
        shape = scores[f"{own}height"][place].as_py(), scores[f"{own}width"][place].as_py()
        values: ndarray = scores[name][place].values.to_numpy().reshape(shape)
        return values.astype(np.float64)

    return {name: grid(name) for name in MAPS if name in scores.column_names}


class ScoredMaps:
    """The maps of a scored run, by row of the collection; the part last read is held.

    names: of the maps that are wanted, all by default.
    """

    def __init__(self, folder: Path, names: Sequence[str] = MAPS) -> None:
        self.folder, self.names = folder, names
        self._held: tuple[int, pa.Table, dict[int, int]] | None = None

    def __getitem__(self, row: int) -> dict[str, Float[ndarray, "h w"]]:
        part = row // PART
        if self._held is None or self._held[0] != part:
            path = score_path(self.folder, part)
            shapes = ("height", "width", "evidence_height", "evidence_width")
            there = parquet_columns(path)
            table = read_parquet(path, [x for x in ("row", *shapes, *self.names) if x in there])
            places = {own: place for place, own in enumerate(table["row"].to_pylist())}
            self._held = part, table, places
        _, table, places = self._held
        if row not in places:
            raise DataError(f"row {row}: not of the split that was mined, so it has no map")
        return read_maps(table, places[row])
