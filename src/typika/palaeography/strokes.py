"""How broad the strokes of a letter are, and how far they lean, from its ink alone.

Legend: `h w` pixels, ink in [0, 1].
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import ndimage

FINE = 4  # cells of a pixel, along either axis, that a breadth is measured in
EDGE = 0.5  # of the darkest: from here on it is ink
RIDGE = 0.5  # of the greatest distance to paper: less is a spur of the outline
UPRIGHT = 0.577  # tangent of 30 degrees: strokes that lean further are not upright
LEAST_EDGE = 0.05  # ink a pixel


def stroke_breadth(ink: Float[ndarray, "h w"]) -> float:
    """Pixels across the strokes: of a bar its width; nan without ink.

    Twice the distance to paper along the middle of the strokes, where that distance has its local
    maxima; their median.
    """
    darkest = float(ink.max(initial=0))
    if darkest <= 0:
        return float("nan")
    fine = ndimage.zoom(np.pad(ink, 1), FINE, order=1, grid_mode=True, mode="grid-constant")
    away = ndimage.distance_transform_edt(fine >= EDGE * darkest)
    ridge = (away >= ndimage.maximum_filter(away, 3)) & (away >= RIDGE * away.max())
    # The distance is to the middle of the nearest cell of paper, half a cell too far.
    return float(np.median(2 * away[ridge] - 1)) / FINE


def slant(ink: Float[ndarray, "h w"]) -> float:
    """Degrees by which upright strokes lean to the right; negative to the left, nan without any.

    tan θ = Σ gₓ g_y / Σ gₓ² over the edges of strokes that are upright within 30 degrees, with g
    the gradient of the ink and y downwards.
    """
    smooth = ndimage.gaussian_filter(ink, 1.0)
    down, right = np.gradient(smooth)
    upright = (np.abs(down) <= UPRIGHT * np.abs(right)) & (np.abs(right) > LEAST_EDGE)
    if not upright.any():
        return float("nan")
    along = (down[upright] * right[upright]).sum() / (right[upright] ** 2).sum()
    return float(np.degrees(np.arctan(along)))
