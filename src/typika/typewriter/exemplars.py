"""How like a reader's own images of letters the sprites are (Sec. 3.4.1, Fig. 3.5; App. C).

The chapter gives no code for its similarity. Here both images are cut to their ink, padded to a
square, scaled to `SIDE` pixels, and compared by the structural similarity of Wang et al. 2004
(Gaussian window, deviation 1.5, range 1), the best over shifts of up to `SHIFT` pixels.

Legend: `h w` pixels of an image of a letter, ink in [0, 1].
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image
from scipy.ndimage import gaussian_filter

from typika.collection.images import decode
from typika.errors import DataError
from typika.typewriter.batches import LUMINANCE, otsu

SIDE, SHIFT = 32, 2  # pixels
EDGE = 0.5  # share of the darkest ink from which a pixel is ink
DEVIATION, REACH = 1.5, 3.5  # of the window, pixels and deviations
_CODE = re.compile(r"[Uu]\+?([0-9A-Fa-f]{4,6})")


def read_exemplars(folder: Path) -> dict[str, Float[ndarray, "h w"]]:
    """A reader's images of letters by their character, as ink binarised by Otsu's threshold.

    A file is called by its character ("a.png") or by its code point ("U+0061.png"), which also
    tells capitals from small letters where the file system does not; "a_2.png" is another "a",
    and the first by name counts.

    Raises:
        DataError: no such folder, no image called by a character, or one that cannot be read.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; pass one with images such as a.png, U+0062.png"
        )
    found: dict[str, Float[ndarray, "h w"]] = {}
    for path in sorted(folder.iterdir()):
        character = _character(path.stem)
        if character is None or path.name.startswith(".") or character in found:
            continue
        grey = np.asarray(decode(path)) @ np.array(LUMINANCE)
        found[character] = (grey <= otsu(grey.ravel())).astype(float)
    if not found:
        raise DataError(
            f"{folder}: no image is called by its character, such as a.png, U+0062.png"
        )
    return found


def similarity(sprite: Float[ndarray, "h w"], letter: Float[ndarray, "i j"]) -> float:
    """Structural similarity of a sprite and an image of a letter, at most 1; 0 without ink."""
    if not sprite.any() or not letter.any():
        return 0.0
    one, other = squared(sprite), squared(letter)
    padded = np.pad(one, SHIFT)
    windows = [padded[y : y + SIDE, x : x + SIDE]
               for y in range(2 * SHIFT + 1) for x in range(2 * SHIFT + 1)]  # fmt: skip
    return max(structural_similarity(window, other) for window in windows)


def squared(letter: Float[ndarray, "h w"]) -> Float[ndarray, "32 32"]:
    """The ink of a letter, darkest 1, cut out, padded to a square, scaled to 32 pixels."""
    ink = letter / letter.max()
    rows, columns = np.flatnonzero((ink >= EDGE).any(1)), np.flatnonzero((ink >= EDGE).any(0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(cut.shape)
    above, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square = np.zeros((side, side), np.float32)
    square[above : above + cut.shape[0], left : left + cut.shape[1]] = cut
    image = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=float)


def structural_similarity(one: Float[ndarray, "h w"], other: Float[ndarray, "h w"]) -> float:
    """(2 μx μy + c₁)(2 σxy + c₂) / ((μx² + μy² + c₁)(σx² + σy² + c₂)) of two images in [0, 1].

    Means and variances under a Gaussian window, averaged over all pixels; c₁ = .01², c₂ = .03².
    """

    def mean(image: ndarray) -> ndarray:
        return gaussian_filter(image, DEVIATION, truncate=REACH)

    mean_one, mean_other = mean(one), mean(other)
    variance_one = mean(one * one) - mean_one**2
    variance_other = mean(other * other) - mean_other**2
    covariance = mean(one * other) - mean_one * mean_other
    above = (2 * mean_one * mean_other + 0.01**2) * (2 * covariance + 0.03**2)
    below = (mean_one**2 + mean_other**2 + 0.01**2) * (variance_one + variance_other + 0.03**2)
    return float((above / below).mean())


def _character(stem: str) -> str | None:
    """The character that a file name stands for, if one."""
    name = unicodedata.normalize("NFC", stem)
    code = _CODE.match(name)
    if code:
        number = int(code[1], 16)
        return chr(number) if number < 0x110000 else None
    name = re.sub(r"[_-]\d+$", "", name)
    return name if len(name) == 1 else None
