"""Pictures and heat-maps as text: JPEG and eight-bit maps in base64 (pure)."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from typika.mining.patches import upsample
from typika.report.records import HeatMaps, MapRecord

Box = tuple[int, int, int, int]

LEVELS = 127  # steps on either side of zero; the byte 128 is zero
# As in report.js: orange above zero, blue below, told apart with any kind of colour vision.
ABOVE, BELOW = (255, 140, 26), (51, 136, 255)
WHITE = (255, 255, 255)
OPACITY = 0.8  # of the fullest colour


def jpeg_base64(image: Image.Image, *, side: int, quality: int) -> str:
    """Encode at most `side` pixels long, never enlarged, without any metadata of the camera."""
    small = shrink(image, side)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=quality, optimize=True)
    return as_base64(buffer.getvalue())


def shrink(image: Image.Image, side: int) -> Image.Image:
    """The image with its longer side at most `side` pixels; no side falls below one pixel."""
    scale = min(1.0, side / max(image.size))
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if scale == 1.0:
        return rgb
    width, height = (max(1, round(length * scale)) for length in image.size)
    return rgb.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def as_base64(content: bytes) -> str:
    """Base64 without line breaks."""
    return base64.b64encode(content).decode("ascii")


def map_record(maps: HeatMaps, *, grid: int) -> MapRecord:
    """Quantise the heat-maps, first averaged down to at most `grid` cells a side."""
    arrays = [None if part is None else coarsen(finite(part), grid) for part in maps.parts]
    scales = [None if part is None else peak(part) for part in arrays]
    cells = [
        None if part is None or scale is None else as_base64(quantise(part, scale))
        for part, scale in zip(arrays, scales, strict=True)
    ]
    height, width = (min(side, grid) for side in maps.null.shape)
    return MapRecord(height=height, width=width, scales=tuple(scales), cells=tuple(cells))


def heat_picture(
    image: Image.Image, values: np.ndarray, limit: float, boxes: Sequence[Box] = ()
) -> Image.Image:
    """The image in grey under the colours of a map, full at ±`limit`, with boxes framed.

    values: (h, w) over the whole image; boxes: (left, top, right, bottom) in pixels of `image`.
    """
    share = upsample(finite(values), image.height, image.width)[..., None] / limit
    # Transparent at zero: where the label says nothing, the picture stays visible.
    strength = OPACITY * np.clip(np.abs(share), 0, 1) ** 0.8
    grey = np.asarray(image.convert("L"), dtype=np.float64)[..., None]
    colour = np.where(share >= 0, ABOVE, BELOW)
    blended = np.rint(grey * (1 - strength) + colour * strength).astype(np.uint8)
    picture = Image.fromarray(blended)
    draw = ImageDraw.Draw(picture)
    for left, top, right, bottom in boxes:
        # A white line in a black one is seen on any ground.
        draw.rectangle([left, top, right - 1, bottom - 1], outline=(0, 0, 0), width=4)
        draw.rectangle([left + 1, top + 1, right - 2, bottom - 2], outline=WHITE, width=2)
    return picture


def finite(values: np.ndarray) -> np.ndarray:
    """The values as float32, zero wherever they are not finite."""
    return np.nan_to_num(np.asarray(values, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def peak(values: np.ndarray) -> float:
    """Largest magnitude, rounded up to six digits; 1 for an empty map, so that 0/1 = 0."""
    largest = float(np.abs(values).max())
    return float(f"{largest * (1 + 1e-6):.6g}") or 1.0


def quantise(values: np.ndarray, scale: float) -> bytes:
    """Byte = round(127 · value / scale) + 128, row by row."""
    steps = np.rint(np.clip(values / scale, -1, 1) * LEVELS) + LEVELS + 1
    return steps.astype(np.uint8).tobytes()


def coarsen(values: np.ndarray, grid: int) -> np.ndarray:
    """Average (h, w) over equal areas down to at most `grid` cells a side."""
    for axis in (0, 1):
        cells = min(grid, values.shape[axis])
        values = _mean_cells(values, cells, axis)
    return values


def _mean_cells(values: np.ndarray, cells: int, axis: int) -> np.ndarray:
    length = values.shape[axis]
    if cells == length:
        return values
    # Exact area means also where `cells` does not divide the length: differences of the
    # running sum, interpolated linearly between grid lines.
    moved = np.moveaxis(values.astype(np.float64), axis, 0)
    running = np.concatenate([np.zeros_like(moved[:1]), np.cumsum(moved, axis=0)])
    edges = np.linspace(0, length, cells + 1)
    whole = np.minimum(edges.astype(int), length - 1)
    part = (edges - whole).reshape(-1, *[1] * (moved.ndim - 1))
    sums = running[whole] + part * (running[whole + 1] - running[whole])
    means = np.diff(sums, axis=0) * (cells / length)
    result: np.ndarray = np.moveaxis(means, 0, axis).astype(np.float32)
    return result
