"""Sheets of sprites, instances and strips of lines, as text (pure).

Sprites keep 64 levels of grey and lose nothing else, since the page subtracts them; instances and
lines are looked at only, and are compressed with loss.

Legend: `n` tiles of a sheet, `H W` pixels of a line, `h w` of a sprite.
"""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from typika.report.atlas_records import Sheet
from typika.report.pictures import as_base64, finite

COLUMNS = 16
LEVELS = 63  # steps of ink in a sprite
STRIP_ASPECT = 5  # width of a strip over its height
STRIP_COLUMNS = 4
MOST_SIDE = 16_000  # pixels that WebP can be high


class Pictures:
    """Collects what the page embeds; the same bytes are kept once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    @property
    def urls(self) -> tuple[str, ...]:
        """All pictures, in the order of their numbers."""
        return tuple(self._places)

    def sprites(self, tiles: UInt8[ndarray, "n h w"]) -> Sheet:
        """A sheet of grey tiles, without loss."""
        return self._sheet(tiles, COLUMNS, "png", optimize=True)

    def photographs(
        self, tiles: UInt8[ndarray, "n h w"], quality: int, columns: int = COLUMNS
    ) -> Sheet:
        """A sheet of grey tiles, with loss; as many columns more as its height needs."""
        if not len(tiles):
            return no_sheet(*tiles.shape[1:])
        least = -(-len(tiles) * tiles.shape[1] // MOST_SIDE)
        return self._sheet(tiles, max(columns, least), "webp", quality=quality, method=4)

    def _sheet(
        self, tiles: UInt8[ndarray, "n h w"], columns: int, kind: str, **options: int | bool
    ) -> Sheet:
        n, height, width = tiles.shape
        buffer = io.BytesIO()
        Image.fromarray(tiled(tiles, columns)).save(buffer, format=kind.upper(), **options)
        url = f"image/{kind};base64,{as_base64(buffer.getvalue())}"
        place = self._places.setdefault(url, len(self._places))
        return Sheet(picture=place, columns=min(columns, n), width=width, height=height)


def no_sheet(height: int, width: int) -> Sheet:
    """The sheet of what has no picture."""
    return Sheet(picture=-1, columns=1, width=width, height=height)


def tiled(tiles: UInt8[ndarray, "n h w"], columns: int) -> UInt8[ndarray, "H W"]:
    """Tiles side by side, `columns` to a row; what is left of the last row is white."""
    n, height, width = tiles.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    whole = np.full((rows * columns, height, width), 255, np.uint8)
    whole[:n] = tiles
    grid = whole.reshape(rows, columns, height, width)
    return grid.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


def ink_bytes(ink: Float[ndarray, "*shape"]) -> UInt8[ndarray, "*shape"]:
    """Ink in [0, 1] as dark on white, in 64 levels."""
    steps = np.rint(np.clip(finite(ink), 0, 1) * LEVELS)
    return np.rint(255 * (1 - steps / LEVELS)).astype(np.uint8)


def signed_bytes(values: Float[ndarray, "*shape"]) -> UInt8[ndarray, "*shape"]:
    """−1 as 1, 0 as 128, 1 as 255."""
    return (np.rint(np.clip(finite(values), -1, 1) * 127) + 128).astype(np.uint8)


def strip_size(height: int) -> tuple[int, int]:
    """Height and width of a strip of a line."""
    return height, STRIP_ASPECT * height


def strip(
    line: UInt8[ndarray, "H W 3"], box: tuple[float, float, float, float], height: int
) -> tuple[UInt8[ndarray, "h w"], tuple[float, float, float, float]]:
    """What stands around a character on its line, `height` pixels high, and its box there.

    box: left, top, right, bottom in pixels of the line. Beyond the ends of the line is white.
    """
    tall, across = line.shape[0], STRIP_ASPECT * line.shape[0]
    left = round((box[0] + box[2]) / 2 - across / 2)
    start, stop = max(left, 0), min(left + across, line.shape[1])
    cut = np.full((tall, across), 255, np.uint8)
    if start < stop:
        grey = Image.fromarray(np.ascontiguousarray(line[:, start:stop])).convert("L")
        cut[:, start - left : stop - left] = np.asarray(grey)
    small = Image.fromarray(cut).resize(strip_size(height)[::-1], Image.Resampling.LANCZOS)
    scale = height / tall
    sides = box[0] - left, box[1], box[2] - left, box[3]
    x1, y1, x2, y2 = (round(side * scale, 1) for side in sides)
    return np.asarray(small), (x1, y1, x2, y2)
