"""What 64 x 64 px windows on an 8-px grid look like: gradients and colours, in plain numpy.

The descriptor of Doersch et al. 2012 as their successors rebuilt it: a histogram of oriented
gradients (HOG; Dalal, Triggs 2005) of 8 x 8 cells x 31 orientations, 1984 values, beside the
colours a and b of CIE Lab at 8 x 8, 128 values; 2112 values scaled to length one. Windows lie
on the grid of the cells, so an image's cells are computed once and every window is a slice.

The HOG is that of scikit-image's `hog` (unsigned orientations, each pixel counted wholly in one
cell and one orientation, no Gaussian window, the channel of the largest gradient, one L2-Hys block
of all cells) but for one thing: scikit-image sees the window alone and sets gradients to zero on
its rim; here they are taken across the rim, and are zero at the rim of the image only. Colours
are means of a and b over a cell, not a resized patch.

Legend: `H W` pixels, `h w` cells of an image (the rest beyond whole cells is left out), `n`
windows; a window is known by the row and column of its first cell.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Real, UInt8
from numpy import ndarray

from typika.errors import DataError

CELL = 8  # pixels a side, and from one window to the next
BLOCK = 8  # cells a side of a window
WINDOW = CELL * BLOCK  # pixels a side of a window
ORIENTATIONS = 31  # in half a turn
CHANNELS = ORIENTATIONS + 2  # of a cell: gradients, then a and b
DIMENSIONS = BLOCK * BLOCK * CHANNELS

CLIPPED = 0.2  # no gradient weighs more than this in a window of length one
TINY = 1e-5  # keeps windows without any gradient at zero

Pixels = UInt8[ndarray, "H W 3"]
Cells = Float[ndarray, "h w 33"]
Windows = Float[ndarray, "n 2112"]

_LINEAR = np.array(
    [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.arange(256) / 255],
    dtype=np.float32,
)  # of sRGB values
_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])  # relative to daylight, D65


def cell_grid(pixels: Pixels) -> Cells:
    """Gradients and colours of every 8 x 8 px cell of an image, float32.

    The first 31 channels are the sums of gradient magnitudes by orientation over the cell's
    pixels, divided by 64; orientation k holds angles [180k/31, 180(k+1)/31) degrees of the
    direction of steepest ascent. The last two are the means of (a + 128)/255 and (b + 128)/255.

    Raises DataError if the image is smaller than a window.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < WINDOW:
        raise DataError(
            f"an image of {height} x {width} px holds no window of {WINDOW} px; enlarge it first"
        )
    rows, columns = height // CELL, width // CELL
    cells = np.empty((rows, columns, CHANNELS), np.float32)
    cells[..., :ORIENTATIONS] = gradient_histograms(pixels, rows, columns)
    cells[..., ORIENTATIONS:] = (colours(pixels, rows, columns) + 128) / 255
    return cells


def gradient_histograms(pixels: Pixels, rows: int, columns: int) -> Float[ndarray, "h w 31"]:
    """HOG of the first rows x columns cells, not yet normalised, float64."""
    values = pixels.astype(np.int16)
    down, across = np.zeros_like(values), np.zeros_like(values)
    down[1:-1] = values[2:] - values[:-2]
    across[:, 1:-1] = values[:, 2:] - values[:, :-2]
    inside = np.s_[: rows * CELL, : columns * CELL]
    down, across = down[inside].astype(np.int32), across[inside].astype(np.int32)
    return oriented(down, across, ORIENTATIONS) / CELL**2


def oriented(
    down: Real[ndarray, "H W 3"], across: Real[ndarray, "H W 3"], orientations: int
) -> Float[ndarray, "_h _w {orientations}"]:
    """Sums of gradient magnitude by orientation over whole cells, of the strongest channel.

    Orientation k holds k / `orientations` to (k + 1) / `orientations` of a half turn; opposite
    directions are one.
    """
    strength = down**2 + across**2
    strongest = strength.argmax(axis=2)[..., None]
    strength, down, across = (
        np.take_along_axis(part, strongest, axis=2)[..., 0] for part in (strength, down, across)
    )
    turn = np.arctan2(down, across) / np.pi % 1  # in half turns
    orientation = np.minimum((turn * orientations).astype(np.intp), orientations - 1)
    rows, columns = down.shape[0] // CELL, down.shape[1] // CELL
    cell = np.arange(rows).repeat(CELL)[:, None] * columns + np.arange(columns).repeat(CELL)
    sums = np.bincount(
        (cell * orientations + orientation).ravel(),
        weights=np.sqrt(strength).ravel(),
        minlength=rows * columns * orientations,
    )
    return sums.reshape(rows, columns, orientations)


def colours(pixels: Pixels, rows: int, columns: int) -> Float[ndarray, "h w 2"]:
    """Means of a and b of CIE Lab (D65) over the first rows x columns cells, float32."""
    linear = _LINEAR[pixels[: rows * CELL, : columns * CELL]]
    ab = lab(linear)[..., 1:]
    return ab.reshape(rows, CELL, columns, CELL, 2).mean(axis=(1, 3))


def lab(linear: Float[ndarray, "H W 3"]) -> Float[ndarray, "H W 3"]:
    """CIE Lab (D65) of linear red, green and blue of 0 to 1; the kind of float that comes in."""
    xyz = linear @ _TO_XYZ.T.astype(linear.dtype)
    bent = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(bent, 2, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)


def every_window(cells: Cells) -> Windows:
    """Descriptors of all windows of an image, in reading order: (h - 7)(w - 7) of them, float32.

    A descriptor is an 8 x 8 x 33 slice of cells, flattened, its 31 gradient channels normalised
    together (L2-Hys: to length one, clipped at 0.2, to length one again), then all of it scaled
    to length one.
    """
    view = np.lib.stride_tricks.sliding_window_view(cells, (BLOCK, BLOCK), axis=(0, 1))
    return _normalised(np.moveaxis(view, 2, 4).reshape(-1, BLOCK, BLOCK, CHANNELS))


def windows_at(cells: Cells, top: Int[ndarray, " n"], left: Int[ndarray, " n"]) -> Windows:
    """Descriptors of the windows whose first cells are (top, left); as in `every_window`."""
    view = np.lib.stride_tricks.sliding_window_view(cells, (BLOCK, BLOCK), axis=(0, 1))
    return _normalised(np.moveaxis(view[top, left], 1, 3))


def _normalised(slices: Float[ndarray, "n 8 8 33"]) -> Windows:
    windows = np.array(slices, np.float32, order="C")
    gradients = windows[..., :ORIENTATIONS]
    gradients /= _length(gradients)
    np.minimum(gradients, CLIPPED, out=gradients)
    gradients /= _length(gradients)
    windows /= _length(windows)
    return windows.reshape(len(windows), -1)


def _length(values: Float[ndarray, "n 8 8 c"]) -> Float[ndarray, "n 1 1 1"]:
    return np.sqrt(np.einsum("nijc,nijc->n", values, values) + TINY**2)[:, None, None, None]
