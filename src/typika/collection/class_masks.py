"""Segmentations made elsewhere: a folder of masks whose pixels are numbers of classes.

    SEGMENTS/classes.csv             number,name
    SEGMENTS/originals/....png       named like the images
    SEGMENTS/translations/....png    named like the translations, as in LABEL/IMAGE.png

A number that classes.csv does not list is of no class.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from typika.collection._masks import read_numbers
from typika.collection.images import ImageCollection
from typika.collection.regions import Regions
from typika.errors import DataError
from typika.files import file_digest

CLASSES = "classes.csv"
_NUMBER = re.compile(r"\d{1,9}")  # a pixel of a PNG holds no larger one
ORIGINALS, TRANSLATIONS = "originals", "translations"


@dataclass(frozen=True)
class ClassMasks:
    """The masks of images and of their translations.

    names: class by number. originals: mask by image_id; translations: by file_name.
    """

    folder: Path
    names: Mapping[int, str]
    originals: Mapping[str, Path]
    translations: Mapping[str, Path]
    strangers: tuple[str, ...]  # masks that are of no image, relative to the folder

    @classmethod
    def open(
        cls, folder: Path, collection: ImageCollection, translations: ImageCollection
    ) -> ClassMasks:
        """Find the mask of each image; names need not be spelt as the images' are (`Regions`).

        Raises:
            DataError: no list of classes, or no masks.
        """
        names = _read_classes(folder / CLASSES)
        known: dict[str, list[str]] = {}
        columns = (collection.table[name].to_pylist() for name in ("image_id", "file_name"))
        for image_id, file_name in zip(*columns, strict=True):
            known.setdefault(image_id, [image_id]).append(file_name)
        originals, strange = _find(folder, ORIGINALS, list(known.values()))
        drawn = [[name] for name in translations.table["file_name"].to_pylist()]
        translated, strangers = _find(folder, TRANSLATIONS, drawn)
        return cls(folder, names, originals, translated, (*strange, *strangers))

    @property
    def digest(self) -> str:
        """Of the list of classes: what their numbers mean."""
        return file_digest(self.folder / CLASSES)

    def fingerprint(self) -> list[tuple[str, int, int]]:
        """Name, size and time of every mask."""
        found = sorted({*self.originals.values(), *self.translations.values()})
        stats = [(path.relative_to(self.folder).as_posix(), path.stat()) for path in found]
        return [(name, one.st_size, one.st_mtime_ns) for name, one in stats]

    def path(self, images: ImageCollection, row: int, *, original: bool) -> Path:
        """The mask of an image. Raises DataError where there is none."""
        column = "image_id" if original else "file_name"
        found = self.originals if original else self.translations
        key = images.table[column][row].as_py()
        if key not in found:
            place = self.folder / (ORIGINALS if original else TRANSLATIONS)
            raise DataError(f"no mask of it in {place}")
        return found[key]

    def read(self, path: Path, size: tuple[int, int]) -> Int[ndarray, "H W"]:
        """A mask as places in the sorted numbers of `names`, −1 where there is no class.

        size: width and height of the image. Raises DataError as `read_numbers`.
        """
        return places_among(read_numbers(path, size), sorted(self.names))


def places_among(numbers: Int[ndarray, "H W"], known: Sequence[int]) -> Int[ndarray, "H W"]:
    """Numbers of classes as places in `known`, which ascends; −1 for any other."""
    order = np.array(known)
    place = np.searchsorted(order, numbers).clip(max=len(order) - 1)
    return np.where(order[place] == numbers, place, -1)


def is_masks(folder: Path) -> bool:
    """Whether a folder is one of ready masks."""
    return (folder / CLASSES).is_file()


def _find(
    folder: Path, part: str, images: Sequence[Sequence[str]]
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The masks of one part by the first name of their image, and those of no image."""
    if not (folder / part).is_dir():
        raise DataError(f"{folder / part}: no such folder; put one PNG for each image there")
    found = Regions.read(folder / part)
    if not found.masks:
        raise DataError(f"{folder / part}: no masks in it; put one PNG for each image there")
    own = found.among(images)
    return (
        {name: paths[0] for name, paths in own.masks.items()},
        tuple(f"{part}/{name}" for name in own.strangers),
    )


def _read_classes(path: Path) -> dict[int, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); save it as UTF-8") from error
    found: dict[int, str] = {}
    for line, row in enumerate(rows, 2):
        number, name = (row.get("number") or "").strip(), (row.get("name") or "").strip()
        if not _NUMBER.fullmatch(number) or not name or int(number) in found:
            raise DataError(
                f"{path}, line {line}: number {number!r}, name {name!r}; expected the columns "
                "number,name, each number once, from 0 on"
            )
        found[int(number)] = name
    if not found:
        raise DataError(f"{path}: no class in it; expected the columns number,name")
    return found
