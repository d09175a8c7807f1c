"""Boxes as Pascal VOC writes them: one XML file for each image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from typika.collection._files import Refused
from typika.collection._xml import parse_xml
from typika.errors import DataError

MOST_BYTES = 1 << 24  # of one file; real ones have a few thousand
EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """What one file says of one object."""

    name: str  # of the file, below the folder that was given
    names: tuple[str, ...]  # what the image may be called, the surest first
    label: str
    box: tuple[float, float, float, float]  # left, top, right, bottom; the last two exclusive
    size: tuple[int, int] | None  # width, height of the image that the box was drawn on


def read_voc(path: Path, root: Path) -> Iterator[Annotated]:
    """The objects of one file.

    root: the folder that was given; the image may be called as <filename> says, or as the file.

    Raises:
        DataError: not VOC, a document type, a value that is no number, a box without area.
    """
    tree = _parse(path)
    if tree.tag != "annotation":
        raise DataError(f"{path}: <{tree.tag}> is not Pascal VOC; need <annotation>")
    own, inside = path.relative_to(root), (tree.findtext("filename") or "").strip()
    beside = (own.parent / inside).as_posix() if inside else ""
    names = (beside, *([own.as_posix()] if own.parent.parts else []), inside, path.name)
    names = tuple(dict.fromkeys(name for name in names if name))
    size = _size(tree)
    for number, entry in enumerate(tree.findall("object")):
        where = f"{path}, object {number + 1}"
        label = (entry.findtext("name") or "").strip()
        if not label:
            raise DataError(f"{where}: no <name>; VOC needs the class of every object")
        yield Annotated(
            name=own.as_posix(), names=names, label=label, box=_box(entry, where), size=size
        )


def _parse(path: Path) -> ElementTree.Element:
    try:
        return parse_xml(path, MOST_BYTES, "VOC annotation")
    except Refused as refusal:
        raise DataError(f"{path}: {refusal}") from refusal


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    """Width and height of the annotated image; some writers leave them out or write 0."""
    try:
        width, height = (int(float(tree.findtext(f"size/{side}") or 0))
                         for side in ("width", "height"))  # fmt: skip
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _box(entry: ElementTree.Element, where: str) -> tuple[float, float, float, float]:
    values = []
    for edge in EDGES:
        text = entry.findtext(f"bndbox/{edge}")
        try:
            value = float(text or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{where}: {edge} is {text!r}; write a number of pixels")
        values.append(value)
    left, top, right, bottom = values
    if not (left <= right and top <= bottom):
        raise DataError(
            f"{where}: a box without area ({left:g}, {top:g}, {right:g}, {bottom:g}); correct or "
            "remove it"
        )
    # VOC counts pixels from 1, and its last row and column belong to the box.
    return left - 1, top - 1, right, bottom
