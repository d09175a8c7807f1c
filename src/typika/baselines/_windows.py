"""The windows of a collection: cut from stored cells, drawn at random, divided into folds.

Windows of all images are numbered through: those of the first image in reading order, then those
of the second. What is stored are cells, 33 half-precision numbers for every 8 x 8 px; descriptors
of windows, 64 times as much, are made when they are asked for.

Legend: `n` images, `m` windows that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float16, Int
from numpy import ndarray

from typika.baselines import hog
from typika.collection.images import ImageCollection
from typika.parallel import Advance, run_tasks

LONGEST = 8.0  # of an image's long side, in short sides, lest one panorama outweigh all
PER_TASK = 40  # images that one task reads


@dataclass(frozen=True)
class WindowStore:
    """Cells of all images, and which of their windows have some contrast.

    cells: (total, 33) the cells of all images, each image's in reading order; shape: (n, 2) rows
    and columns of an image's cells; contrast: (windows,) of every window.
    """

    cells: Float16[ndarray, "total 33"]
    shape: Int[ndarray, "n 2"]
    contrast: Bool[ndarray, " windows"]

    @cached_property
    def first_cell(self) -> Int[ndarray, " _"]:
        """(n + 1,) where the cells of each image start."""
        return np.concatenate([[0], np.cumsum(self.shape.prod(axis=1))])

    @cached_property
    def first_window(self) -> Int[ndarray, " _"]:
        """(n + 1,) where the numbers of the windows of each image start."""
        return np.concatenate([[0], np.cumsum((self.shape - hog.BLOCK + 1).prod(axis=1))])

    def grid(self, image: int) -> hog.Cells:
        """The cells of an image, float32."""
        own = self.cells[self.first_cell[image] : self.first_cell[image + 1]]
        return own.astype(np.float32).reshape(*self.shape[image], hog.CHANNELS)

    def image_of(self, window: Int[ndarray, "*s"]) -> Int[ndarray, "*s"]:
        """The image that each window lies in."""
        return np.searchsorted(self.first_window, window, side="right") - 1

    def corner_of(self, window: Int[ndarray, "*s"]) -> Int[ndarray, "*s 2"]:
        """Row and column of the first cell of each window."""
        image = self.image_of(window)
        across = self.shape[image, 1] - hog.BLOCK + 1
        return np.stack(np.divmod(window - self.first_window[image], across), axis=-1)

    def descriptors(self, window: Int[ndarray, " m"]) -> hog.Windows:
        """Descriptors of windows; see `hog.every_window`."""
        found = np.empty((len(window), hog.DIMENSIONS), np.float32)
        image, corner = self.image_of(window), self.corner_of(window)
        order = np.argsort(image, kind="stable")
        for own in np.split(order, np.flatnonzero(np.diff(image[order])) + 1):
            if len(own):
                top, left = corner[own].T
                found[own] = hog.windows_at(self.grid(int(image[own[0]])), top, left)
        return found


def working_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height at which an image is looked at: its short side `side` pixels.

    The long side of an image that is more than eight times as long as wide is shortened.
    """
    scale = side / min(width, height)
    longest = round(LONGEST * side)
    return min(round(width * scale), longest), min(round(height * scale), longest)


def read_windows(
    collection: ImageCollection, rows: Int[ndarray, " n"], side: int, contrast: float, workers: int
) -> WindowStore:
    """Read images, given by their rows, at a short side of `side` pixels.

    Raises DataError if an image can no longer be read.
    """
    tasks = [
        (collection, rows[start : start + PER_TASK], side, contrast)
        for start in range(0, len(rows), PER_TASK)
    ]
    found = run_tasks(_read, tasks, workers=workers, name="Reading windows", total=len(rows))
    cells, shapes, contrasts = zip(*found, strict=True)
    return WindowStore(np.concatenate(cells), np.concatenate(shapes), np.concatenate(contrasts))


def _read(
    collection: ImageCollection,
    rows: Int[ndarray, " n"],
    side: int,
    contrast: float,
    advance: Advance,
) -> tuple[ndarray, ndarray, ndarray]:
    from PIL import Image

    cells, shapes, contrasts = [], [], []
    for row in rows:
        image = collection.load(int(row), draft=side)
        size = working_size(*image.size, side)
        if image.size != size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        pixels = np.asarray(image)
        grid = hog.cell_grid(pixels)
        shapes.append(grid.shape[:2])
        cells.append(grid.reshape(-1, hog.CHANNELS).astype(np.float16))
        contrasts.append((contrast_range(pixels) >= contrast).ravel())
        advance(1)
    return np.concatenate(cells), np.array(shapes), np.concatenate(contrasts)


def contrast_range(pixels: hog.Pixels) -> Float[ndarray, "_r _c"]:
    """How far the grey values of each window spread: 99th less 1st percentile, of 0 to 1.

    Of whole grey levels; percentiles between two ranks are interpolated.
    """
    rows, columns = pixels.shape[0] // hog.CELL, pixels.shape[1] // hog.CELL
    grey = np.rint(pixels[: rows * hog.CELL, : columns * hog.CELL] @ [0.2125, 0.7154, 0.0721])
    cell = np.arange(rows).repeat(hog.CELL)[:, None] * columns
    cell = cell + np.arange(columns).repeat(hog.CELL)
    counts = np.bincount(
        (cell * 256 + grey.astype(np.intp)).ravel(), minlength=rows * columns * 256
    ).reshape(rows, columns, 256)
    # Counts of windows are differences of an integral image; those of grey levels are summed up.
    integral = np.zeros((rows + 1, columns + 1, 256), np.int32)
    integral[1:, 1:] = counts.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    side = hog.BLOCK
    inside = integral[side:, side:] - integral[:-side, side:]
    inside += integral[:-side, :-side] - integral[side:, :-side]
    darker = inside.cumsum(axis=2)
    return (_percentile(darker, 0.99) - _percentile(darker, 0.01)) / 255


def _percentile(darker: Int[ndarray, "r c 256"], fraction: float) -> Float[ndarray, "r c"]:
    """Grey level at a fraction of the ranks, from counts of pixels of each level or below."""
    rank, between = divmod(fraction * (hog.WINDOW**2 - 1), 1)
    low, high = ((darker > rank + step).argmax(axis=2) for step in (0, 1))
    return low + between * (high - low)


def draw_windows(
    store: WindowStore,
    images: Int[ndarray, " n"],
    count: int,
    rng: np.random.Generator,
    *,
    with_contrast: bool,
) -> Int[ndarray, " m"]:
    """Draw windows, one of each image in turn, images in random order, none twice.

    Fewer than `count` come back where there are no more; with_contrast: leave out windows that
    show next to nothing.
    """
    decks = []
    for image in rng.permutation(images):
        own = np.arange(store.first_window[image], store.first_window[image + 1])
        if with_contrast:
            own = own[store.contrast[own]]
        decks.append(rng.permutation(own))
    turn = np.concatenate([np.arange(len(deck)) for deck in decks])
    return np.concatenate(decks)[np.argsort(turn, kind="stable")][:count]


def divide(
    unit: Int[ndarray, " n"],
    positive: Bool[ndarray, " n"],
    n_folds: int,
    rng: np.random.Generator,
) -> Int[ndarray, " n"]:
    """The fold (n,) of each image, 0 to n_folds - 1; images of one unit share their fold.

    Positive and negative images are each divided as evenly as the units allow.
    """
    fold = np.zeros(len(unit), np.int64)
    counts = np.zeros((n_folds, 2), np.int64)
    # Large units first: the small ones then even out what they left.
    for own in sorted(_members(unit, rng), key=len, reverse=True):
        kinds = np.bincount(positive[own], minlength=2)
        fullness = ((counts * kinds).sum(axis=1), counts.sum(axis=1))
        chosen = int(np.lexsort(fullness[::-1])[0])
        fold[own] = chosen
        counts[chosen] += kinds
    return fold


def _members(unit: Int[ndarray, " n"], rng: np.random.Generator) -> Iterator[ndarray]:
    """The images of each unit, units in random order."""
    order = np.argsort(unit, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(unit[order])) + 1)
    for place in rng.permutation(len(groups)):
        yield groups[place]
