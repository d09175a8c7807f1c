"""Masks as PNG, one for each image: bright where the object is, or the numbers of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray
from PIL import Image

from typika.collection._decode import Unreadable, read_bytes, reading
from typika.errors import DataError

HALF = 127  # of 255: brighter is truth
SLACK = 1.0  # pixels by which rounding may have changed a side


def read_mask(path: Path, size: tuple[int, int], shape: tuple[int, int]) -> Bool[ndarray, "H W"]:
    """The mask of an image, at `shape` (rows, columns) over the whole of it.

    size: width and height of the image. Truth is every index but 0 of a palette, every set pixel
    of a bitmap, and elsewhere what is brighter than half of the range. A mask of another size
    than its image is stretched, by the nearest pixel, if the proportions are the same.

    Raises:
        DataError: no PNG that can be read, or of other proportions.
    """
    truth = _truth(path)
    height, width = truth.shape
    if not same_proportions((width, height), size):
        raise DataError(_apart(path, (width, height), size))
    rows, columns = shape
    small = np.asarray(
        Image.fromarray(truth).resize((columns, rows), Image.Resampling.NEAREST), dtype=bool
    )
    if truth.any() and not small.any():
        # A speck between the pixels that were looked at is still truth.
        y, x = np.nonzero(truth)
        small = np.zeros(shape, dtype=bool)
        small[y * rows // height, x * columns // width] = True
    return small


def read_numbers(path: Path, size: tuple[int, int]) -> Int[ndarray, "H W"]:
    """The number at every pixel of a mask: the index of a palette, or the grey value.

    size: width and height of the image, whose proportions the mask must have.

    Raises:
        DataError: no PNG that can be read, of colours, or of other proportions.
    """
    try:
        with reading(read_bytes(path), ("PNG",)) as image:
            image.load()
            if image.mode not in ("1", "L", "P", "I;16", "I"):
                raise DataError(
                    f"{path}: a picture in colours ({image.mode}); save the number of each "
                    "pixel's class, as a PNG with a palette or in grey"
                )
            numbers = np.asarray(image).astype(np.int64)
    except Unreadable as error:
        raise DataError(f"{path}: {error}") from error
    height, width = numbers.shape
    if not same_proportions((width, height), size):
        raise DataError(_apart(path, (width, height), size))
    return numbers


def _apart(path: Path, mask: tuple[int, int], size: tuple[int, int]) -> str:
    return (
        f"{path}: a mask of {mask[0]} x {mask[1]} pixels for an image of {size[0]} x {size[1]}; "
        "save it with the proportions of its image"
    )


def same_proportions(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one (width, height) is the other times a factor, up to a pixel of rounding."""
    (width, height), (wide, high) = size, other
    return abs(height - width * high / wide) < SLACK or abs(width - height * wide / high) < SLACK


def _truth(path: Path) -> Bool[ndarray, "H W"]:
    try:
        with reading(read_bytes(path), ("PNG",)) as image:
            image.load()
            values = np.asarray(image if image.mode in ("1", "P", "I;16", "I") else _grey(image))
            threshold = {"1": 0, "P": 0, "I;16": 257 * HALF, "I": 257 * HALF}.get(image.mode, HALF)
            return values > threshold
    except Unreadable as error:
        raise DataError(f"{path}: {error}") from error


def _grey(image: Image.Image) -> Image.Image:
    """8-bit grey; what is transparent is no truth."""
    if not image.has_transparency_data:
        return image.convert("L")
    black = Image.new("RGBA", image.size, "black")
    return Image.alpha_composite(black, image.convert("RGBA")).convert("L")
