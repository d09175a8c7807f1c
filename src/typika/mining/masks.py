"""Places where no patch may be: borders, a picture of them, or boxes.

A mask is named by text, parts divided by commas: `border` or `border=0.05`, a strip along the
sides as a share of the short one; the name of a PNG whose white parts are forbidden in every
image, stretched over it; the name of a file of boxes (`collection.regions`), of which those of the
image `*` hold for every image; and `artefacts`, which forbids no place and hides clusters with a
badge. Legend: `H W` pixels of a map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from typika.collection.images import decode
from typika.collection.regions import Box, Regions
from typika.errors import ConfigError
from typika.files import file_digest

BORDER, ARTEFACTS = "border", "artefacts"
DEFAULT_BORDER = 0.05  # of the short side
PICTURES, TABLES = (".png",), (".csv", ".json")
EVERY_IMAGE = "*"
WHITE = 127  # grey value above which a pixel of a picture is white

Forbidden = Bool[ndarray, "H W"]


@dataclass(frozen=True)
class MaskText:
    """What a mask's text asks for.

    border: thickness of the forbidden strip, share of the short side, 0 for none; picture, boxes:
    files; artefacts: whether clusters with a badge are hidden.
    """

    border: float = 0.0
    picture: Path | None = None
    boxes: Path | None = None
    artefacts: bool = False

    @classmethod
    def parse(cls, text: str) -> MaskText:
        """Read a mask's text; opens no file.

        Raises:
            ConfigError: a part is none of these, comes twice, or leaves no place.
        """
        border, picture, boxes, artefacts = 0.0, None, None, False
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        for part in parts:
            name, equals, value = part.partition("=")
            if name == BORDER:
                border = _border(text, value if equals else str(DEFAULT_BORDER))
            elif part == ARTEFACTS:
                artefacts = True
            elif part.lower().endswith(PICTURES):
                picture = Path(part)
            elif part.lower().endswith(TABLES):
                boxes = Path(part)
            else:
                raise ConfigError(
                    f"mask={text!r}: {part!r} is no mask; need border, border=0.05, artefacts, a "
                    ".png file, or a .csv or .json file of boxes, divided by commas"
                )
        kinds = [kind for kind in (border, picture, boxes, artefacts) if kind]
        if len(kinds) != len(parts):
            raise ConfigError(f"mask={text!r}: each kind of mask may come once")
        return cls(border, picture, boxes, artefacts)

    @property
    def causes(self) -> dict[str, object]:
        """What decides where patches may be: the strip, and digests of the files.

        Raises:
            ConfigError: a file is not there.
        """
        files = {"picture": self.picture, "boxes": self.boxes}
        found: dict[str, object] = {"border": self.border} if self.border else {}
        for name, path in files.items():
            if path is not None:
                if not path.is_file():
                    raise ConfigError(f"mask: {path}: no such file; name one, or leave it out")
                found[name] = file_digest(path)
        return found


def _border(text: str, value: str) -> float:
    try:
        border = float(value)
    except ValueError:
        border = math.nan
    if not 0 < border < 0.5:
        raise ConfigError(f"mask={text!r}: need border=SHARE with a share above 0 and below 0.5")
    return border


@dataclass(frozen=True)
class Mask:
    """A mask with its files read.

    border: as in `MaskText`; picture: (h, w) grey values; boxes: by image.
    """

    border: float
    picture: UInt8[ndarray, "h w"] | None
    boxes: Regions | None

    @classmethod
    def read(cls, text: MaskText) -> Mask | None:
        """Open the files of a mask; None where it forbids no place.

        Raises:
            DataError: a file cannot be read.
        """
        if not (text.border or text.picture or text.boxes):
            return None
        picture = None if text.picture is None else np.asarray(decode(text.picture).convert("L"))
        boxes = None if text.boxes is None else Regions.read(text.boxes)
        return cls(text.border, picture, boxes)

    def forbidden(
        self, shape: tuple[int, int], image: tuple[int, int], names: Sequence[str], label: str
    ) -> Forbidden:
        """Where no patch may be on a map of this (rows, columns).

        image: its width and height in pixels, those of the boxes; names: by which a file of boxes
        may know it.
        """
        rows, columns = shape
        found = np.zeros(shape, dtype=bool)
        thick = math.ceil(self.border * min(shape))
        if thick:
            found[:] = True
            found[thick : rows - thick, thick : columns - thick] = False
        if self.picture is not None:
            found |= _stretched(self.picture > WHITE, shape)
        boxes = () if self.boxes is None else self.boxes.boxes((*names, EVERY_IMAGE), label)
        for box in boxes:
            left, top, right, bottom = _on_map(box, shape, image)
            found[top:bottom, left:right] = True
        return found


def _stretched(white: Bool[ndarray, "h w"], shape: tuple[int, int]) -> Forbidden:
    """A mask in another size; of pixels that become one a single white one is enough."""
    for axis, size in enumerate(shape):
        start = np.arange(size) * white.shape[axis] // size
        white = np.maximum.reduceat(white, start, axis=axis)
    return white


def _on_map(box: Box, shape: tuple[int, int], image: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box of the image in whole pixels of its map, none of it left out."""
    (rows, columns), (width, height) = shape, image
    left, right = (edge * columns / width for edge in (box[0], box[2]))
    top, bottom = (edge * rows / height for edge in (box[1], box[3]))
    return (
        max(0, math.floor(left)), max(0, math.floor(top)),
        max(0, math.ceil(right)), max(0, math.ceil(bottom)),
    )  # fmt: skip
