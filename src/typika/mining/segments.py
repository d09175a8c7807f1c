"""Segments of images and of their translations: made once each, kept, and measured.

A segmentation is kept as one PNG, named after the content that it was made from, so that no image
is segmented twice, whatever is added, moved or interrupted. Legend: `H W` pixels, `n` images, `k`
classes, `t` targets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from numpy import ndarray
from PIL import Image, PngImagePlugin

from typika.collection.class_masks import ClassMasks
from typika.collection.images import ImageCollection
from typika.collection.parallel import ParallelCollection
from typika.errors import DataError, ModelError
from typika.files import file_digest, whole_file
from typika.mining.segmenters import Segmentation, Segmenter
from typika.mining.trends import FINEST, MEASURES, Measure, Measured, TrendsConfig
from typika.parallel import Advance, run_tasks

FACTS = "typika"  # key of what a kept segmentation says beside its pixels
NEIGHBOURS = np.ones((3, 3), dtype=int)  # pixels that touch at a corner are connected
INDEX = pa.schema(
    {
        "source": pa.string(),  # image_id of the original
        "label": pa.string(),
        "original": pa.bool_(),
        "file_name": pa.string(),
        "place": pa.int32(),  # row of the image, or of the translation
        "key": pa.string(),  # of the kept segmentation
        "reason": pa.string(),  # why there is none, else ""
    }
)
MEASUREMENTS = pa.schema(
    {
        **{name: pa.string() for name in ("file_name", "source", "label")},
        "original": pa.bool_(),
        "class": pa.string(),
        "area": pa.float64(),  # share of the image
        "instances": pa.int32(),
    }
)


# --- what segments ------------------------------------------------------------------------------


@runtime_checkable
class Source(Protocol):
    """Where the segmentation of an image comes from. Both raise DataError where there is none."""

    def key(self, work: Segmenting, place: int, *, original: bool) -> str:
        """A file name for what the segmentation is made from."""
        ...

    def segment(self, work: Segmenting, place: int, *, original: bool) -> Segmentation:
        """The segmentation of an image."""
        ...


@dataclass(frozen=True)
class OfPixels:
    """A segmenter is shown the image."""

    segmenter: Segmenter

    def key(self, work: Segmenting, place: int, *, original: bool) -> str:
        """The content of the image."""
        if original:
            return str(work.collection.table["image_id"][place].as_py())
        return work.translations.content_id(place)

    def segment(self, work: Segmenting, place: int, *, original: bool) -> Segmentation:
        """What the segmenter says."""
        found = self.segmenter(work.images(original=original).load(place))
        if not isinstance(found, Segmentation):
            raise ModelError(
                f"the segmenter returned {type(found).__name__}; return a typika.Segmentation"
            )
        return found


@dataclass(frozen=True)
class OfMasks:
    """Somebody else has segmented the image."""

    masks: ClassMasks

    def key(self, work: Segmenting, place: int, *, original: bool) -> str:
        """The content of the mask."""
        path = self.masks.path(work.images(original=original), place, original=original)
        return file_digest(path)[:16]

    def segment(self, work: Segmenting, place: int, *, original: bool) -> Segmentation:
        """What the mask holds."""
        images = work.images(original=original)
        size = images.table["width"][place].as_py(), images.table["height"][place].as_py()
        path = self.masks.path(images, place, original=original)
        names = tuple(name for _, name in sorted(self.masks.names.items()))
        return Segmentation(names, self.masks.read(path, size))


# --- segment ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segmenting:
    """Images beside their translations, and what segments them.

    folder: where segmentations are kept.
    """

    collection: ImageCollection
    translations: ParallelCollection
    rows: tuple[int, ...]  # of images that have a translation, ascending
    source: Source
    folder: Path

    def images(self, *, original: bool) -> ImageCollection:
        """The images, or the translations as images."""
        return self.collection if original else self.translations.images

    @cached_property
    def places(self) -> list[tuple[int, bool]]:
        """Every image with its translations behind it: row, and whether it is an original."""
        found = []
        for row in self.rows:
            source = self.collection.table["image_id"][row].as_py()
            own = [self.translations.place.get((source, label))
                   for label in self.translations.labels]  # fmt: skip
            found += [(row, True), *((place, False) for place in own if place is not None)]
        return found

    def path(self, key: str) -> Path:
        """Where a segmentation is kept."""
        return self.folder / f"{key}.png"


def segment(work: Segmenting, workers: int) -> pa.Table:
    """Make every segmentation that is missing; a row of INDEX for each image and translation."""
    places = work.places
    hands = max(1, min(len(places), 4 * workers if workers > 1 else 1))
    tasks = [(work, places[hand::hands]) for hand in range(hands)]
    answers = run_tasks(_segment_some, tasks, workers=workers, name="Segmenting",
                        total=len(places))  # fmt: skip
    rows: list[dict[str, Any]] = [{}] * len(places)
    for hand, answer in enumerate(answers):
        rows[hand::hands] = answer
    return pa.Table.from_pylist(rows, schema=INDEX)


def _segment_some(
    work: Segmenting, places: Sequence[tuple[int, bool]], advance: Advance
) -> list[dict[str, Any]]:
    found = []
    for place, original in places:
        table = work.images(original=original).table
        source = "image_id" if original else "source"
        row = {name: table[name][place].as_py() for name in ("label", "file_name")}
        row |= {"source": table[source][place].as_py(), "original": original, "place": place}
        key, reason = "", ""
        try:
            key = work.source.key(work, place, original=original)
            if not work.path(key).exists():
                keep(work.source.segment(work, place, original=original), work.path(key))
        except DataError as error:
            key, reason = "", str(error)
        found.append({**row, "key": key, "reason": reason})
        advance(1)
    return found


# --- keep ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What a kept segmentation says beside its pixels, by number of class.

    pixels: how many are of each class; areas: of each class the shares of the image that its
    connected areas take, FINEST and more; counts: as in `Segmentation`.
    """

    names: tuple[str, ...]
    n_pixels: int
    pixels: Mapping[int, int]
    areas: Mapping[int, Sequence[float]]
    counts: Mapping[int, int] | None

    @classmethod
    def of(cls, found: Segmentation) -> Facts:
        """Count pixels and connected areas."""
        numbers = np.asarray(found.numbers)
        counted = np.bincount(numbers.ravel() + 1, minlength=1)
        pixels = {one - 1: int(counted[one]) for one in np.flatnonzero(counted).tolist() if one}
        areas = dict(_areas(numbers))
        return cls(found.names, numbers.size, pixels, areas, found.counts)

    @classmethod
    def read(cls, path: Path) -> Facts:
        """Those of a kept segmentation; decodes no pixel."""
        with Image.open(path, formats=("PNG",)) as image:
            values = json.loads(image.info[FACTS])

        def numbered(name: str) -> dict[int, Any]:
            return {int(number): one for number, one in values[name].items()}

        counts = None if values["counts"] is None else numbered("counts")
        return cls(tuple(values["names"]), values["n_pixels"], numbered("pixels"),
                   numbered("areas"), counts)  # fmt: skip

    def measures(self, config: TrendsConfig) -> dict[str, dict[Measure, float]]:
        """Share of the area and number of instances of each class that there is, by its name."""
        found: dict[str, dict[Measure, float]] = {}
        for number in sorted({*self.pixels, *(self.counts or {})}):
            own = found.setdefault(self.names[number], {"area": 0.0, "instances": 0})
            own["area"] += self.pixels.get(number, 0) / self.n_pixels
            if self.counts is not None and config.instances == "own":
                own["instances"] += self.counts.get(number, 0)
            else:
                shares = self.areas.get(number, ())
                own["instances"] += sum(share >= config.least_area for share in shares)
        return found


def _areas(numbers: Int[ndarray, "H W"]) -> Iterator[tuple[int, list[float]]]:
    """The shares of the image that the connected areas of each class take, largest first."""
    from scipy import ndimage

    for number, box in enumerate(ndimage.find_objects(numbers + 1)):
        if box is not None:
            labelled, _ = ndimage.label(numbers[box] == number, NEIGHBOURS)
            shares = np.sort(np.bincount(labelled.ravel())[1:])[::-1] / numbers.size
            yield number, [round(share, 7) for share in shares[shares >= FINEST].tolist()]


def keep(found: Segmentation, path: Path) -> None:
    """Write a segmentation, whole or not at all: a PNG of the numbers of classes plus 1."""
    numbers = np.asarray(found.numbers) + 1
    kind = np.uint8 if len(found.names) < 256 else np.uint16
    facts = Facts.of(found)
    info = PngImagePlugin.PngInfo()
    values = {"names": facts.names, "n_pixels": facts.n_pixels, "pixels": facts.pixels,
              "areas": facts.areas, "counts": facts.counts}  # fmt: skip
    info.add_itxt(FACTS, json.dumps(values), zip=True)
    with whole_file(path) as temporary:
        Image.fromarray(numbers.astype(kind)).save(temporary, "PNG", pnginfo=info)


def kept_numbers(path: Path) -> Int[ndarray, "H W"]:
    """The pixels of a kept segmentation: numbers of classes, −1 where there is none."""
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image).astype(np.int64) - 1


# --- measure ------------------------------------------------------------------------------------


def measure(work: Segmenting, index: pa.Table, config: TrendsConfig) -> tuple[pa.Table, int]:
    """Measure every kept segmentation: a row of MEASUREMENTS for each class of each image.

    Also how many classes the segmenter knows that no image has.
    """
    found: list[dict[str, Any]] = []
    names, occurring = set[str](), set[str]()
    for row in index.to_pylist():
        if row["reason"]:
            continue
        facts = Facts.read(work.path(row["key"]))
        names.update(facts.names)
        of_image = {name: row[name] for name in ("file_name", "source", "label", "original")}
        for name, own in sorted(facts.measures(config).items()):
            occurring.add(name)
            found.append({**of_image, "class": name, **{m: own[m] for m in MEASURES}})
    return pa.Table.from_pylist(found, schema=MEASUREMENTS), len(names - occurring)


def gather(work: Segmenting, index: pa.Table, table: pa.Table) -> tuple[Measured, tuple[str, ...]]:
    """Every measure as arrays, and the image_id of each image.

    Images whose own segmentation is missing, or that of every translation, are left out.
    """
    targets = {label: place for place, label in enumerate(work.translations.labels)}
    classes = {name: place for place, name in enumerate(sorted(set(table["class"].to_pylist())))}
    known = [row for row in index.to_pylist() if not row["reason"]]
    drawn = {row["source"] for row in known if not row["original"]}
    rows = {row["source"]: row["place"] for row in known
            if row["original"] and row["source"] in drawn}  # fmt: skip
    image = {source: place for place, source in enumerate(rows)}
    shape = len(rows), len(classes)
    original = {m: np.zeros(shape) for m in MEASURES}
    translated = {m: np.full((len(targets), *shape), np.nan) for m in MEASURES}
    for row in known:
        if not row["original"] and row["source"] in image:
            for m in MEASURES:  # what a translation does not show is 0
                translated[m][targets[row["label"]], image[row["source"]]] = 0
    for row in table.to_pylist():
        if row["source"] in image:
            for m in MEASURES:
                into = original[m] if row["original"] else translated[m][targets[row["label"]]]
                into[image[row["source"]], classes[row["class"]]] = row[m]
    unit = work.collection.units[np.array(list(rows.values()), dtype=int)]
    measured = Measured(classes=tuple(classes), targets=tuple(targets), original=original,
                        translated=translated, unit=unit)  # fmt: skip
    return measured, tuple(rows)
