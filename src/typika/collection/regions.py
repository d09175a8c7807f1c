"""What people drew on images, boxes or masks: truth to hold maps against, never to learn from.

Four forms are read. A CSV with one box a row:

    file_name,label,x,y,width,height
    discs/01.jpg,discs,12,30,22,22

where `image_id` may stand for `file_name`, `w,h` for `width,height`, `left,top,right,bottom` for
all four, and a box whose label is empty or missing holds for every label. COCO JSON, whose
category names are the labels. Pascal VOC, one .xml file or a folder of them, whose class names
are the labels. And a folder of masks, PNG pictures named like the images, bright where the object
of the image is, whatever its label.

Legend: boxes are (left, top, right, bottom) in pixels of the original image, which may be
fractions; right and bottom are exclusive. `H W` pixels of a mask.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from typika.collection._files import same_name, walk
from typika.collection._masks import read_mask, same_proportions
from typika.collection._voc import read_voc
from typika.collection._xml import xml_files
from typika.errors import DataError
from typika.files import read_json

Box = tuple[float, float, float, float]
Size = tuple[int, int]  # width, height in pixels

NAMES = ("file_name", "image_id")  # of an image; the first present counts
SPELLINGS = (  # of a box; the last two are its far corner or its size
    ("x", "y", "width", "height"),
    ("x", "y", "w", "h"),
    ("left", "top", "right", "bottom"),
)
EXPECTED = "expected the columns file_name,label,x,y,width,height"
FORMS = "a .csv, a COCO .json, a Pascal VOC .xml, a folder of .xml files, or one of .png masks"


@dataclass(frozen=True, kw_only=True)
class Region:
    """One box of one image."""

    name: str  # of the image: its file_name in the collection, or its image_id
    label: str  # "" for every label
    box: Box
    size: Size | None = None  # of the image that the box was drawn on, where that is written down


@dataclass(frozen=True)
class Regions:
    """The boxes of a file, or the masks of a folder, by name of image.

    aliases: what the image of a name may be called, the surest first, where it is not that name.
    strangers: names that none of the images has, after `among`.
    """

    path: Path
    by_name: Mapping[str, tuple[Region, ...]]
    masks: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Regions:
        """Read a .csv file, a .json file in COCO's format, VOC's .xml, or a folder of masks.

        Raises:
            DataError: nothing there, another form, a value that is no number, an empty box, XML
                that declares a document type.
        """
        if path.is_dir():
            return cls._read_folder(path)
        readers = {".csv": _read_csv, ".json": _read_coco}
        suffix = path.suffix.lower()
        if suffix == ".xml":
            return cls._read_xml(path, [path], path.parent)
        if suffix not in readers:
            raise DataError(f"{path}: regions come as {FORMS}, not {path.suffix!r}")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 text; save it as UTF-8") from error
        found = _by_name(readers[suffix](path, text))
        if not found:
            raise DataError(f"{path}: no box in it; {EXPECTED}, one box a row")
        return cls(path, found)

    @classmethod
    def _read_folder(cls, path: Path) -> Regions:
        annotations = xml_files(path)
        pictures = [name for name in walk(path).images if name.lower().endswith(".png")]
        if annotations and pictures:
            raise DataError(
                f"{path}: holds {annotations[0].name} and {pictures[0]}; pass a folder of .xml "
                "files or one of .png masks"
            )
        if annotations:
            return cls._read_xml(path, annotations, path)
        if not pictures:
            raise DataError(f"{path}: no .xml and no .png in it; regions come as {FORMS}")
        masks = {_tidy(name): (path / name,) for name in pictures}
        aliases = {name: (name, name.rpartition("/")[2]) for name in masks if "/" in name}
        return cls(path, {}, masks, aliases)

    @classmethod
    def _read_xml(cls, path: Path, files: Sequence[Path], root: Path) -> Regions:
        regions, aliases = [], {}
        for file in files:
            for one in read_voc(file, root):
                name = _tidy(one.name)
                regions.append(Region(name=name, label=one.label, box=one.box, size=one.size))
                aliases[name] = tuple(map(_tidy, one.names))
        if not regions:
            raise DataError(f"{path}: no <object> in it; VOC has one for every box")
        return cls(path, _by_name(regions), aliases=aliases)

    def among(self, images: Iterable[Sequence[str]]) -> Regions:
        """The regions of some images, each under the first of its image's names.

        images: the names of each image: its image_id, its file_name, another file_name. A name of
        the file belongs to an image that has it; else, where only one image comes into question,
        to one whose name it ends with, or that ends with it (`train/discs/01.jpg`, `01.jpg`), and
        then to one that differs in its suffix alone. What belongs to none is in `strangers`.
        """
        finder = _Finder(images)
        found = {name: finder.find(self.aliases.get(name, (name,))) for name in self.names}
        claims: dict[Place, list[int]] = {}
        for match in found.values():
            if match is not None:
                claims.setdefault(match.place, []).append(match.doubt)
        boxes: dict[str, list[Region]] = {}
        masks: dict[str, list[Path]] = {}
        strangers = []
        for name, match in found.items():
            rivals = claims[match.place] if match else []
            # Of names that may mean one image the surest does; of two that are as sure, neither.
            if match is None or match.doubt > min(rivals) or rivals.count(match.doubt) > 1:
                strangers.append(name)
                continue
            image = finder.images[match.place[0]][0]
            boxes.setdefault(image, []).extend(self.by_name.get(name, ()))
            masks.setdefault(image, []).extend(self.masks.get(name, ()))
        return Regions(
            self.path,
            {name: tuple(regions) for name, regions in boxes.items() if regions},
            {name: tuple(paths) for name, paths in masks.items() if paths},
            strangers=tuple(strangers),
        )

    def only(self, names: Iterable[str]) -> Regions:
        """The regions of some names alone."""
        wanted = dict.fromkeys(names)
        return Regions(
            self.path,
            {name: self.by_name[name] for name in wanted if name in self.by_name},
            {name: self.masks[name] for name in wanted if name in self.masks},
        )

    def boxes(self, names: Iterable[str], label: str) -> tuple[Box, ...]:
        """The boxes of an image under `label`, each once, whichever of its names the file uses."""
        return tuple(dict.fromkeys(region.box for region in self._regions(names, label)))

    def has(self, names: Iterable[str], label: str) -> bool:
        """Whether anything is said of an image under `label`; a mask may still be empty."""
        names = [_tidy(name) for name in names]
        return any(name in self.masks for name in names) or bool(self._regions(names, label))

    def mask(
        self, names: Iterable[str], label: str, size: Size, shape: tuple[int, int]
    ) -> Bool[ndarray, "H W"]:
        """Truth of an image for `label`: its boxes and its masks together.

        size: width and height of the image. shape: rows and columns of the answer, which lie over
        the whole image; a box keeps every pixel that it touches.

        Raises:
            DataError: all boxes lie outside of the image, a mask or the image that boxes were
                drawn on has other proportions, a mask cannot be read.
        """
        names = dict.fromkeys(_tidy(name) for name in names)
        truth = np.zeros(shape, dtype=bool)
        regions = self._regions(names, label)
        if regions:
            truth |= boxes_mask([_onto(region, size) for region in regions], size,
                                shape)  # fmt: skip
        for path in (path for name in names for path in self.masks.get(name, ())):
            truth |= read_mask(path, size, shape)
        return truth

    def _regions(self, names: Iterable[str], label: str) -> list[Region]:
        known = dict.fromkeys(_tidy(name) for name in names)
        regions = (region for name in known for region in self.by_name.get(name, ()))
        return [region for region in regions if region.label in ("", label)]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of images, in the order of the file."""
        return tuple(dict.fromkeys((*self.by_name, *self.masks)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, in the order of the file; "" where a region holds for all."""
        everywhere = ("",) if self.masks else ()
        own = (region.label for regions in self.by_name.values() for region in regions)
        return tuple(dict.fromkeys((*own, *everywhere)))


def boxes_mask(boxes: Sequence[Box], size: Size, shape: tuple[int, int]) -> Bool[ndarray, "H W"]:
    """A mask of `shape` (rows, columns) over an image of `size`, true where a box is.

    A box keeps every pixel that it touches. Raises DataError where all lie outside of the image.
    """
    (width, height), (rows, columns) = size, shape
    across, down = columns / width, rows / height
    mask = np.zeros(shape, dtype=bool)
    for left, top, right, bottom in boxes:
        if left < width and top < height and right > 0 and bottom > 0:
            first = max(0, math.floor(top * down)), max(0, math.floor(left * across))
            last = math.ceil(bottom * down), math.ceil(right * across)
            mask[first[0] : last[0], first[1] : last[1]] = True
    if not mask.any():
        raise DataError(
            f"the box {boxes[0]} lies outside of its image of {width} x {height} pixels; give "
            "(left, top, right, bottom) in pixels of the original image"
        )
    return mask


def _onto(region: Region, size: Size) -> Box:
    """The box in pixels of an image of `size`, whatever size it was drawn at."""
    if region.size is None or region.size == size:
        return region.box
    if not same_proportions(region.size, size):
        drawn, own = (" x ".join(map(str, pair)) for pair in (region.size, size))
        raise DataError(
            f"the boxes of {region.name!r} were drawn on {drawn} pixels, and the image "
            f"has {own}; correct its size"
        )
    across, down = (own / drawn for own, drawn in zip(size, region.size, strict=True))
    left, top, right, bottom = region.box
    return left * across, top * down, right * across, bottom * down


def _by_name(regions: Iterable[Region]) -> dict[str, tuple[Region, ...]]:
    found: dict[str, list[Region]] = {}
    for region in regions:
        found.setdefault(region.name, []).append(region)
    return {name: tuple(own) for name, own in found.items()}


Place = tuple[int, str]  # which image, and the one of its names that was met


@dataclass(frozen=True)
class _Match:
    place: Place
    doubt: int  # 0 for the very name, more the less of it was met


class _Finder:
    """The names of images: whole, from any folder on, and without their suffix."""

    def __init__(self, images: Iterable[Sequence[str]]) -> None:
        self.images = [tuple(map(_tidy, names)) for names in images]
        self.whole: dict[str, Place] = {}
        self.ends: tuple[dict[str, set[Place]], ...] = ({}, {})
        self.folders: set[str] = set()
        for number, names in enumerate(self.images):
            for name in names:
                self.whole.setdefault(name, (number, name))
                self.folders.update(end for end in _ends(name.rpartition("/")[0]) if end)
                for ends, spelt in zip(self.ends, (name, _stem(name)), strict=True):
                    for end in _ends(spelt):
                        ends.setdefault(end, set()).add((number, name))

    def find(self, names: Sequence[str]) -> _Match | None:
        """The only image that may be meant by one of some names, the surest name first."""
        for name in names:
            if name in self.whole:
                return _Match(self.whole[name], 0)
        doubt = 0
        for name in names:
            for ends, spelt in zip(self.ends, (name, _stem(name)), strict=True):
                doubt += 1
                found = self._alike(ends, spelt)
                if len({number for number, _ in found}) == 1:
                    return _Match(min(found), doubt)
            # In a folder that the images have too, a name stands for that folder's image alone.
            if name.rpartition("/")[0] in self.folders:
                return None
        return None

    def _alike(self, ends: Mapping[str, set[Place]], name: str) -> set[Place]:
        """Images whose name ends with `name`, or that `name` ends with."""
        shorter = {
            place for end in _ends(name) for place in ends.get(end, ())
            if end.count("/") == place[1].count("/")
        }  # fmt: skip
        return ends.get(name, set()) | shorter


def _ends(name: str) -> Iterator[str]:
    """`a/b/c`, `b/c` and `c`."""
    while True:
        yield name
        _, slash, name = name.partition("/")
        if not slash:
            return


def _stem(name: str) -> str:
    """The name without its suffix; a name has one if there is a dot behind its first letter."""
    folder, slash, last = name.rpartition("/")
    stem, dot, _ = last.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem else name


def _tidy(name: str) -> str:
    """One spelling of a relative path."""
    return same_name(name.strip().replace("\\", "/").removeprefix("./"))


def _box(values: tuple[Any, ...], spelling: tuple[str, ...], where: str) -> Box:
    """The corners of a box given as `spelling` says. Raises DataError where there is no area."""
    numbers = []
    for name, value in zip(spelling, values, strict=True):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
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
    try:
        yield from _rows_of(path, csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise DataError(f"{path}: no CSV ({error}); {EXPECTED}") from error


def _rows_of(path: Path, rows: csv.DictReader[str]) -> Iterator[Region]:
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
        content = read_json(text)
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    names = _named(path, content, "images", "file_name")
    labels = _named(path, content, "categories", "name")
    for number, entry in enumerate(_entries(path, content, "annotations")):
        where = f"{path}, annotations[{number}]"
        image, category = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image, int | str) or image not in names:
            raise DataError(f"{where}: image_id is {image!r}; no entry of images has this id")
        if category is not None and (
            not isinstance(category, int | str) or category not in labels
        ):
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
