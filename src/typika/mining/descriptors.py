"""What an image looks like beside its content: a few cheap numbers in families.

They tell labels apart where the labels differ in how their pictures were taken, scanned or saved:
border, background, brightness, tint, resolution, sharpness, and the file. Each is measured where
content has little say, as in the even ground behind it. Pure functions of an image and its header.
Legend: `H W` pixels of a small copy of the image, Lab as CIE L*a*b* under D65 (L in [0, 100]).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from typika.collection.images import Header

FAMILIES = ("border", "background", "brightness", "tint", "resolution", "sharpness", "file")

SMALL = 128  # pixels of the long side of the copy that colours are measured on
STRIP = 0.02  # thickness of a border strip, share of the short side
WINDOW = 512  # pixels a side of the middle of the image, in which sharpness is measured
BLOCK = 8  # pixels of a JPEG block
EXTREMES = (0.5, 99)  # percentiles of L that stand for the darkest and the lightest
GREY = 4.0  # chroma below which a pixel is grey
FORMAT_CODES = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP")

Lab = Float[ndarray, "H W 3"]
Vector = Float[ndarray, " d"]


def describe(image: Image.Image, header: Header) -> Mapping[str, Vector]:
    """All families of one upright RGB image; vectors have the same length for every image."""
    lab = lab_of(np.asarray(small_copy(image)))
    return {
        "border": border(lab),
        "background": background(lab),
        "brightness": brightness(lab),
        "tint": tint(lab),
        "resolution": resolution(*image.size),
        "sharpness": sharpness(middle(image)),
        "file": file_facts(header, *image.size),
    }


def small_copy(image: Image.Image) -> Image.Image:
    """The image with a long side of at most `SMALL` pixels."""
    scale = min(1.0, SMALL / max(image.size))
    width, height = (max(1, round(scale * side)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX) if scale < 1 else image


def lab_of(rgb: UInt8[ndarray, "H W 3"]) -> Lab:
    """CIE L*a*b* (D65) of sRGB pixels, float32."""
    xyz = _linear()[rgb] @ _XYZ.T
    root = np.cbrt(np.maximum(xyz, 1e-6))
    root = np.where(xyz > 0.008856, root, 7.787 * xyz + 16 / 116).astype(np.float32)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def rgb_of(lab: Lab) -> UInt8[ndarray, "H W 3"]:
    """The sRGB pixels of a Lab image, colours outside cut off: the inverse of `lab_of`."""
    y = (lab[..., 0] + 16) / 116
    root = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(root**3 > 0.008856, root**3, (root - 16 / 116) / 7.787)
    light = (xyz @ np.linalg.inv(_XYZ).T).clip(0, 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * value).round().astype(np.uint8)


# Rows give X, Y, Z of linear sRGB, each over that of the white point.
_XYZ = (
    np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
    )
    / np.array([[0.9505], [1.0], [1.089]], np.float32)
)  # fmt: skip


@cache
def _linear() -> Float[ndarray, " 256"]:
    """Linear light of the 256 values of sRGB."""
    value = np.arange(256) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


# --- families -----------------------------------------------------------------------------------


def border(lab: Lab) -> Vector:
    """Of each side's strip: its colour, its spread of L, and how it differs from what lies within.

    A mount, a frame or the edge of a scan shows here; the content of the picture hardly does.
    """
    height, width = lab.shape[:2]
    thick = max(1, round(STRIP * min(height, width)))
    found = []
    for turn in range(4):  # left, bottom, right, top: each becomes the left side
        turned = np.rot90(lab, -turn)
        strip, within = turned[:, :thick], turned[:, thick : 4 * thick]
        colour = strip.mean(axis=(0, 1))
        inner = within.mean(axis=(0, 1)) if within.size else colour
        found += [*colour, strip[..., 0].std(), *(colour - inner)]
    return np.array(found, dtype=np.float64)


def ground(lab: Lab) -> Float[ndarray, "m 3"]:
    """The pixels of the most frequent colour: paper, wall, sky, what lies behind the content.

    Colours are one where they round to the same ten units of L, a and b.
    """
    flat = lab.reshape(-1, 3)
    bins = (flat / 10).round().astype(np.int64) + 16  # of colours on a screen, all in 0 .. 31
    code = (bins[:, 0] * 32 + bins[:, 1]) * 32 + bins[:, 2]
    return flat[code == int(np.bincount(code).argmax())]


def background(lab: Lab) -> Vector:
    """Colour of the ground, its spread of L, and its share of the image."""
    own = ground(lab)
    share = len(own) / (lab.shape[0] * lab.shape[1])
    return np.array([*own.mean(axis=0), own[:, 0].std(), share], np.float64)


def brightness(lab: Lab) -> Vector:
    """L of the ground and its spread, and the darkest and lightest L that there is.

    The mean of the whole image is left out: bright content would be taken for bright light. Of
    fruits on paper it told the kind of fruit, and these numbers the scan.
    """
    light = lab[..., 0]
    own = ground(lab)[:, 0]
    return np.array([own.mean(), own.std(), *np.percentile(light, EXTREMES)], np.float64)


def tint(lab: Lab) -> Vector:
    """Mean a and b of the ground and of the lightest tenth, and whether there is any colour.

    The lightest tenth is what a white sheet or sky would be. The mean of the whole image is left
    out: it told lemons from strawberries, which is no cast.
    """
    flat = lab.reshape(-1, 3)
    lightest = flat[flat[:, 0] >= np.percentile(flat[:, 0], 90)]
    coloured = np.hypot(flat[:, 1], flat[:, 2]).max() > GREY
    means = [*ground(lab)[:, 1:].mean(axis=0), *lightest[:, 1:].mean(axis=0)]
    return np.array([*means, coloured], np.float64)


def resolution(width: int, height: int) -> Vector:
    """Width, height, their ratio and their product."""
    return np.array([width, height, width / height, width * height], np.float64)


def middle(image: Image.Image) -> Float[ndarray, "H W"]:
    """The middle of the image in grey values as they are stored, cut along JPEG blocks."""
    width, height = image.size
    left, top = (max(0, (side - WINDOW) // 2 // BLOCK * BLOCK) for side in (width, height))
    box = (left, top, min(width, left + WINDOW), min(height, top + WINDOW))
    return np.asarray(image.crop(box).convert("L"), dtype=np.float32)


def sharpness(grey: Float[ndarray, "H W"]) -> Vector:
    """Noise of even ground at full and at half size, JPEG blocks, and banding of rows and columns.

    The energy of edges is left out: it is that of the content.
    """
    found = [even_ground_noise(grey), even_ground_noise(_halved(grey))]
    for side in (grey, grey.T):
        found += [blockiness(side), banding(side)]
    return np.array(found, np.float64)


def _laplacian(grey: Float[ndarray, "H W"]) -> Float[ndarray, "_h _w"]:
    across = grey[1:-1, :-2] + grey[1:-1, 2:]
    return 4 * grey[1:-1, 1:-1] - across - grey[:-2, 1:-1] - grey[2:, 1:-1]


def _halved(grey: Float[ndarray, "H W"]) -> Float[ndarray, "_h _w"]:
    """Means of 2 x 2 pixels; a last odd row or column is left out."""
    even = grey[: len(grey) // 2 * 2, : grey.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def even_ground_noise(grey: Float[ndarray, "H W"]) -> float:
    """Log spread of the Laplacian in the evenest tenth of the blocks: grain, not edges."""
    edges = _laplacian(grey)
    rows, columns = (side // BLOCK for side in edges.shape)
    if not rows or not columns:
        return 0.0
    blocks = edges[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return float(np.log(np.percentile(blocks.std(axis=(1, 3)), 10) + 0.1))


def blockiness(grey: Float[ndarray, "H W"]) -> float:
    """Log ratio of steps between JPEG blocks to steps within them, across; 0 without blocks."""
    steps = np.abs(np.diff(grey, axis=1)).mean(axis=0)
    between = np.arange(len(steps)) % BLOCK == BLOCK - 1
    if not between.any():
        return 0.0
    return float(np.log((steps[between].mean() + 0.1) / (steps[~between].mean() + 0.1)))


def banding(grey: Float[ndarray, "H W"]) -> float:
    """Log of how much the means of neighbouring rows jump: the lines of a scanner."""
    means = grey.mean(axis=1)
    return float(np.log(np.abs(np.diff(means, 2)).mean() + 0.01)) if len(means) > 2 else 0.0


def file_facts(header: Header, width: int, height: int) -> Vector:
    """Bytes, bits a pixel, format, JPEG tables, and which blocks the file has."""
    known = header.format in FORMAT_CODES
    code = FORMAT_CODES.index(header.format) if known else len(FORMAT_CODES)
    bits = 8 * header.n_bytes / (width * height)
    flags = (header.progressive, header.exif, header.profile, header.dots_per_inch)
    return np.array(
        [np.log(header.n_bytes), np.log(bits), code, header.quantisation, header.n_tables, *flags],
        np.float64,
    )
