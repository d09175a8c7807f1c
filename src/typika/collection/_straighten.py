"""A page and a line's place on it -> the line, straight, at the height asked for.

Only the line's own band of the page is looked at: it is cropped first, then drawn straight at the
page's resolution, then made smaller as any image is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw

from typika.collection._frame import Frame, length_of, ups_of
from typika.collection._line_records import Cut, Points

_MARGIN = 2  # pixels around the band, for the interpolation at its edge
_SMALLER = 1.5  # page pixels to a pixel of the line
_STEP = 8.0  # pixels between two points of a polygon's edge; a straight edge bends with the band


@dataclass(frozen=True, eq=False)
class LineImage:
    """The pixels of a line, and the way back to its page.

    Points are x, y, whole numbers at the corners of pixels; on the page, pixels of the original
    image, upright.
    """

    pixels: UInt8[ndarray, "H W 3"]
    mask: UInt8[ndarray, "H W"]  # 255 inside the line's polygon, 0 outside and beyond the page
    frame: Frame

    def to_page(self, points: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        """Where points of this image are on the page."""
        return self.frame.to_page(points)

    def to_line(self, points: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        """Where points of the page are in this image; `to_page` undoes it."""
        return self.frame.to_line(points)


def whole_line(image: Image.Image, height: int) -> LineImage:
    """An image that is a line as a whole, resized."""
    frame = frame_of(image.size, None, height)
    pixels = np.asarray(image.resize((frame.width, height), Image.Resampling.BICUBIC))
    return LineImage(pixels, np.full((height, frame.width), 255, np.uint8), frame)


def frame_of(size: tuple[int, int], cut: Cut | None, height: int) -> Frame:
    """Where a line of a page of `size` (width, height) is on it, when it is `height` high."""
    if cut is None:
        return Frame.of_image(size, width_at(size, height), height)
    return _at_height(native_frame(cut), height)


def _at_height(native: Frame, height: int) -> Frame:
    return native.resized(width_at((native.width, native.height), height), height)


def width_at(size: tuple[float, float], height: int) -> int:
    """Width in pixels of what has `size` (width, height) when it is `height` high; at least 1."""
    return max(1, int(height * size[0] / size[1]))


def native_size(cut: Cut) -> tuple[int, int]:
    """Width and height of a line's band, in whole pixels of the page."""
    length = length_of(np.asarray(cut.baseline))
    return max(1, round(length)), max(1, round(cut.above + cut.below))


def straight_line(page: Image.Image, cut: Cut, height: int) -> LineImage:
    """The line of a page, straightened along its baseline."""
    native = native_frame(cut)
    size = native.width, native.height
    frame = _at_height(native, height)
    left, top, crop, inside = _crop(page, native)
    mesh = [(box, _shifted(quad, left, top)) for box, quad in _mesh(native)]
    # What is made smaller afterwards loses nothing by the filter that is three times faster.
    fine = frame.scale < _SMALLER
    resampling = Image.Resampling.BICUBIC if fine else Image.Resampling.BILINEAR
    drawn = crop.transform(size, Image.Transform.MESH, mesh, resampling)
    pixels = np.asarray(drawn.resize((frame.width, height), Image.Resampling.BICUBIC))
    mask = _mask(frame, cut.polygon)
    if inside is not None:
        seen = inside.transform(size, Image.Transform.MESH, mesh, Image.Resampling.NEAREST)
        small = seen.resize((frame.width, height), Image.Resampling.NEAREST)
        mask = np.minimum(mask, np.asarray(small))
    return LineImage(pixels, mask, frame)


def native_frame(cut: Cut) -> Frame:
    """The frame of a line at the resolution of its page."""
    stations = np.asarray(cut.baseline, dtype=np.float64)
    width, height = native_size(cut)
    steps = np.hypot(*np.diff(stations, axis=0).T)
    marks = np.concatenate([[0.0], np.cumsum(steps)])
    # Cells begin at whole columns, for they are drawn one by one.
    columns = np.round(marks * (width / marks[-1]))
    return Frame(stations, ups_of(stations), columns, cut.above, cut.below, height)


Box = tuple[int, int, int, int]
Quad = tuple[float, ...]  # x, y of the corners: top left, bottom left, bottom right, top right


def _mesh(frame: Frame) -> list[tuple[Box, Quad]]:
    """What part of the line comes from which quadrilateral of the page."""
    tops = frame.stations + frame.above * frame.ups
    feet = frame.stations - frame.below * frame.ups
    columns = frame.columns.astype(int).tolist()
    parts = []
    for i, (start, end) in enumerate(pairwise(columns)):
        corners = np.concatenate([tops[i], feet[i], feet[i + 1], tops[i + 1]])
        parts.append(((start, 0, end, frame.height), tuple(corners.tolist())))
    return parts


def _shifted(quad: Quad, left: int, top: int) -> Quad:
    return tuple(value - (top if i % 2 else left) for i, value in enumerate(quad))


def _crop(page: Image.Image, frame: Frame) -> tuple[int, int, Image.Image, Image.Image | None]:
    """Left, top and pixels of the part of the page that the band needs.

    Beyond the page its outermost pixels go on; then the last value is white where there is page.
    """
    edges = [frame.stations + frame.above * frame.ups, frame.stations - frame.below * frame.ups]
    corners = np.concatenate(edges)
    left, top = (np.floor(corners.min(axis=0)).astype(int) - _MARGIN).tolist()
    right, bottom = (np.ceil(corners.max(axis=0)).astype(int) + _MARGIN).tolist()
    wide, high = page.size
    within = (max(left, 0), max(top, 0), min(right, wide), min(bottom, high))
    if within == (left, top, right, bottom):
        return left, top, page.crop(within), None
    part = np.asarray(page.crop(within))
    missing = ((within[1] - top, bottom - within[3]), (within[0] - left, right - within[2]))
    padded = Image.fromarray(np.pad(part, (*missing, (0, 0)), mode="edge"))
    white = np.full(part.shape[:2], 255, np.uint8)
    return left, top, padded, Image.fromarray(np.pad(white, missing))


def _mask(frame: Frame, polygon: Points | None) -> UInt8[ndarray, "H W"]:
    size = frame.width, frame.height
    if polygon is None:
        return np.full(size[::-1], 255, np.uint8)
    outline = frame.to_line(dense(np.asarray(polygon)))
    image = Image.new("L", size, 0)
    # Centres of pixels are whole numbers to the one who draws, and halves here.
    ImageDraw.Draw(image).polygon([(x - 0.5, y - 0.5) for x, y in outline.tolist()], fill=255)
    return np.asarray(image)


def dense(polygon: Float[ndarray, "n 2"]) -> Float[ndarray, "k 2"]:
    """The corners of a closed polygon with further points on its long edges."""
    ends = np.roll(polygon, -1, axis=0)
    counts = np.maximum(1, np.ceil(np.hypot(*(ends - polygon).T) / _STEP)).astype(int)
    edge = np.repeat(np.arange(len(polygon)), counts)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    share = ((np.arange(len(edge)) - first[edge]) / counts[edge])[:, None]
    return polygon[edge] * (1 - share) + ends[edge] * share
