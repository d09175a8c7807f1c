"""Patches of a mining run as rows that every format of theirs is written from."""

from __future__ import annotations

import mimetypes
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from typika.errors import DataError

TYPICAL = "typical"
BY_HAND = ("cluster_name", "cluster_note", "cluster_starred")  # where clusters are curated
OWN = ("image_id", "file_name", "label", "selection", "rank", "left", "top", "right", "bottom",
       "typicality", "cluster", "thumbnail", "map_x", "map_y", "width", "height",
       *BY_HAND)  # fmt: skip


_KINDS = {
    **dict.fromkeys(("file_name", "label", "selection"), ("text", pa.types.is_string)),
    **dict.fromkeys(
        ("rank", "left", "top", "right", "bottom", "cluster", "width", "height"),
        ("whole numbers", pa.types.is_integer),
    ),
    "typicality": ("numbers", pa.types.is_floating),
}


def require_patches(table: pa.Table, name: str) -> None:
    """Raise DataError where a table cannot be the patches of a run. name: of its file."""
    for column, count in Counter(table.column_names).items():
        if count > 1:
            raise DataError(f"{name}: {count} columns {column!r}; run `typika cluster` again")
    for column, (kind, right) in _KINDS.items():
        there = column in table.column_names
        if not there or not right(table[column].type) or table[column].null_count:
            raise DataError(f"{name}: no column {column!r} of {kind}; run `typika cluster` again")
    for column in ("width", "height"):
        if table.num_rows and pc.min(table[column]).as_py() < 1:
            raise DataError(f"{name}: an image whose {column} is none; run `typika cluster` again")
    for column in ("map_x", "map_y"):
        if column in table.column_names and not pa.types.is_floating(table[column].type):
            raise DataError(f"{name}: {column} holds no numbers; run `typika cluster` again")


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A typical patch. box: x, y, w, h in pixels of its image. cluster: −1 where it is in none."""

    image: str
    size: tuple[int, int]
    label: str
    cluster: int
    rank: int
    typicality: float
    box: tuple[int, int, int, int]
    name: str = ""  # of its cluster, by hand, as the two that follow
    note: str = ""
    starred: bool = False

    @property
    def category(self) -> str:
        """What its cluster is called; the number stays, since two may have one name."""
        number = "loose" if self.cluster < 0 else f"{self.cluster + 1}"
        return f"{self.label} / {number}" + (f" {self.name}" if self.name else "")


def patches_of(table: pa.Table) -> tuple[Patch, ...]:
    """The typical patches of patches.parquet, in its order; its controls are left out."""
    by_hand = [name for name in BY_HAND if name in table.column_names]
    rows = table.select([*_KINDS, *by_hand]).to_pylist()
    return tuple(_patch(row) for row in rows if row["selection"] == TYPICAL)


def _patch(row: Mapping[str, Any]) -> Patch:
    left, top = row["left"], row["top"]
    return Patch(
        image=row["file_name"],
        size=(row["width"], row["height"]),
        label=row["label"],
        cluster=row["cluster"],
        rank=row["rank"],
        typicality=row["typicality"],
        box=(left, top, row["right"] - left, row["bottom"] - top),
        name=row.get("cluster_name", ""),
        note=row.get("cluster_note", ""),
        starred=row.get("cluster_starred", False),
    )


def images_of(patches: Sequence[Patch]) -> dict[str, tuple[int, int]]:
    """The images that have patches and their sizes, in the order of their names."""
    return dict(sorted({patch.image: patch.size for patch in patches}.items()))


def media_type(name: str) -> str:
    """Of an image file, as HTTP has it."""
    return mimetypes.guess_type(name)[0] or "image/jpeg"
