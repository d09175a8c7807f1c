"""Boxes that people drew, by image: truth to hold maps against, never something to learn from.

Two formats are read. A CSV with one box a row:

    file_name,label,x,y,width,height
    discs/01.jpg,discs,12,30,22,22

where `image_id` may stand for `file_name`, `w,h` for `width,height`, `left,top,right,bottom` for
all four, and a box whose label is empty or missing holds for every label. And COCO JSON, whose
category names are the labels.

Legend: boxes are (left, top, right, bottom) in pixels of the original image, which may be
fractions; right and bottom are exclusive.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typika.collection._files import same_name
from typika.errors import DataError

Box = tuple[float, float, float, float]

NAMES = ("file_name", "image_id")  # of an image; the first present counts
SPELLINGS = (  # of a box; the last two are its far corner or its size
    ("x", "y", "width", "height"),
    ("x", "y", "w", "h"),
    ("left", "top", "right", "bottom"),
)
EXPECTED = "expected the columns file_name,label,x,y,width,height"


@dataclass(frozen=True, kw_only=True)
class Region:
    """One box of one image."""

    name: str  # of the image: its file_name in the collection, or its image_id
    label: str  # "" for every label
    box: Box


@dataclass(frozen=True)
class Regions:
    """The boxes of a file, by name of image."""

    path: Path
    by_name: Mapping[str, tuple[Region, ...]]

    @classmethod
    def read(cls, path: Path) -> Regions:
        """Read a .csv file, or a .json file in COCO's format.

        Raises:
            DataError: no such file, another format, a value that is no number, an empty box.
        """
        readers = {".csv": _read_csv, ".json": _read_coco}
        if path.suffix.lower() not in readers:
            raise DataError(f"{path}: regions come as .csv or as COCO .json, not {path.suffix!r}")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 text; save it as UTF-8") from error
        found: dict[str, list[Region]] = {}
        for region in readers[path.suffix.lower()](path, text):
            found.setdefault(region.name, []).append(region)
        if not found:
            raise DataError(f"{path}: no box in it; {EXPECTED}, one box a row")
        return cls(path, {name: tuple(regions) for name, regions in found.items()})

    def boxes(self, names: Iterable[str], label: str) -> tuple[Box, ...]:
        """The boxes of an image under `label`, each once, whichever of its names the file uses."""
        known = dict.fromkeys(_tidy(name) for name in names)
        regions = [region for name in known for region in self.by_name.get(name, ())]
        return tuple(dict.fromkeys(r.box for r in regions if r.label in ("", label)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, in the order of the file; "" where a box holds for all."""
        return tuple(dict.fromkeys(r.label for rs in self.by_name.values() for r in rs))


def _tidy(name: str) -> str:
    """One spelling of a relative path."""
    return same_name(name.strip().replace("\\", "/").removeprefix("./"))


def _box(values: tuple[Any, ...], spelling: tuple[str, ...], where: str) -> Box:
    """The corners of a box given as `spelling` says. Raises DataError where there is no area."""
    numbers = []
    for name, value in zip(spelling, values, strict=True):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise DataError(f"{where}: {name} is {value!r}; write a number of pixels")
        numbers.append(number)
    first, second, third, fourth = numbers
    corners = spelling[2] == "right"
    box = first, second, *((third, fourth) if corners else (first + third, second + fourth))
    if not (box[0] < box[2] and box[1] < box[3]):
        shown = ", ".join(f"{name} {value}" for name, value in zip(spelling, values, strict=True))
        raise DataError(f"{where}: a box without area ({shown}); correct or remove it")
    return box


# ------------------------------------------------------------------------------------------- CSV


def _read_csv(path: Path, text: str) -> Iterator[Region]:
    rows = csv.DictReader(text.splitlines())
    columns = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = columns
    named = next((name for name in NAMES if name in columns), None)
    spelling = next((names for names in SPELLINGS if set(names) <= set(columns)), None)
    if named is None or spelling is None:
        found = ", ".join(columns) or "none"
        raise DataError(f"{path}: {EXPECTED}; found {found}")
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        name = _tidy(row[named] or "")
        if not name:
            raise DataError(f"{where}: {named} is empty; name an image of the collection")
        values = tuple((row[column] or "").strip() for column in spelling)
        label = (row.get("label") or "").strip()
        yield Region(name=name, label=label, box=_box(values, spelling, where))


# ------------------------------------------------------------------------------------------ COCO


def _read_coco(path: Path, text: str) -> Iterator[Region]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    names = _named(path, content, "images", "file_name")
    labels = _named(path, content, "categories", "name")
    for number, entry in enumerate(_entries(path, content, "annotations")):
        where = f"{path}, annotations[{number}]"
        image, category = entry.get("image_id"), entry.get("category_id")
        if image not in names:
            raise DataError(f"{where}: image_id is {image!r}; no entry of images has this id")
        if category is not None and category not in labels:
            raise DataError(f"{where}: category_id is {category!r}; no category has this id")
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise DataError(f"{where}: bbox is {box!r}; need [x, y, width, height]")
        label = "" if category is None else labels[category]
        yield Region(
            name=_tidy(names[image]), label=label, box=_box(tuple(box), SPELLINGS[0], where)
        )


def _named(path: Path, content: Any, part: str, name: str) -> dict[Any, str]:
    """Names by id of one list of a COCO file."""
    found = {}
    for number, entry in enumerate(_entries(path, content, part)):
        if not isinstance(entry.get("id"), int | str) or not isinstance(entry.get(name), str):
            raise DataError(f"{path}, {part}[{number}]: need an id and a {name}")
        found[entry["id"]] = entry[name]
    return found


def _entries(path: Path, content: Any, part: str) -> list[dict[str, Any]]:
    entries = content.get(part) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: no list of {part}; COCO needs images, annotations, categories")
    return entries
