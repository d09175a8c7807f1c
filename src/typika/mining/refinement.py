"""Typicality maps at the resolution of the image, their edges taken from the picture.

A map has one value per cell of sixteen or so pixels. Where a pixel-exact outline is wanted, the
guided filter lets the map follow the edges of the picture: within a window the map is replaced by
the linear function of the picture's grey that fits it best (He, Sun, Tang: Guided Image
Filtering, ECCV 2010). It helps where an element stands out from its ground in grey (a hole, a
crack); boxes are chosen on the plain map. Legend: `H W` pixels.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from typika.errors import DataError

Map = Float[ndarray, "H W"]

WINDOW = 1 / 16  # radius of the window, as a fraction of the square root of the image's area
SOFTNESS = 5e-4  # variance of grey (0..1) below which an edge is taken for noise


def refine(values: Map, image: Image.Image) -> Map:
    """The map, of the size of `image` or smaller, with the edges of the image.

    Raises:
        DataError: the map is empty.
    """
    height, width = values.shape
    if not values.size:
        raise DataError("an empty map cannot be refined")
    grey = image.convert("L").resize((width, height), Image.Resampling.BOX)
    radius = max(1, round(math.sqrt(height * width) * WINDOW))
    return guided_filter(np.asarray(grey, dtype=np.float64) / 255, values, radius, SOFTNESS)


def guided_filter(guide: Map, values: Map, radius: int, softness: float) -> Map:
    """Locally linear in the guide, least squares over windows of side 2 radius + 1."""
    from scipy.ndimage import uniform_filter

    def mean(array: Map) -> Map:
        return uniform_filter(array, 2 * radius + 1, mode="nearest")

    guide_mean, values_mean = mean(guide), mean(values)
    covariance = mean(guide * values) - guide_mean * values_mean
    variance = mean(guide * guide) - guide_mean**2
    slope = covariance / (variance + softness)
    offset = values_mean - slope * guide_mean
    return mean(slope) * guide + mean(offset)
