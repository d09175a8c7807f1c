"""Patches of a mining run as rows that every format of theirs is written from."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

TYPICAL = "typical"
BY_HAND = ("cluster_name", "cluster_note", "cluster_starred")  # where clusters are curated
OWN = ("image_id", "file_name", "label", "selection", "rank", "left", "top", "right", "bottom",
       "typicality", "cluster", "thumbnail", "map_x", "map_y", "width", "height",
       *BY_HAND)  # fmt: skip


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
    rows = table.drop_columns(["thumbnail"]).to_pylist()
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
