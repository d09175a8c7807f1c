"""Which images of a large collection cannot have a patch that is chosen: they need no closer look.

The mean of an upsampled map over a box is linear in the cells of the map, with weights that do not
depend on the image. On a coarse set of places those means cost two small matrix products; between
such places they can rise by no more than a share of the map's range that the weights alone decide.
So every image gets an interval that its best box mean surely lies in, at a hundredth of the cost
of looking for it, and the few images whose interval reaches what is chosen are looked at closely.

Pure functions on arrays. Legend: `n` images, `h w` cells of a map, `H W` pixels, `k` side of a
box in pixels, `p` coarse places along an axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.mining.patches import interpolation_matrix

PLACES_PER_CELL = 4  # coarse places that a cell of the map gets along an axis
ROUNDING = 2e-5  # of single precision, as a share of the largest value of a map


@dataclass(frozen=True)
class Bounds:
    """Ends of the intervals that the best box means of n maps lie in."""

    low: Float[ndarray, " n"]
    high: Float[ndarray, " n"]


@dataclass(frozen=True)
class _Axis:
    """Weights of cells at coarse places along an axis, and what they leave out between these.

    weights: (p, cells), rows sum to one; slack: greatest sum of absolute differences between the
    weights at any place and those interpolated from the coarse places beside it.
    """

    weights: Float[ndarray, "_p _cells"]
    slack: float


def bounds(
    maps: Float[ndarray, "n h w"], height: int, width: int, size: int
) -> tuple[Bounds, Bounds]:
    """Intervals of the best mean over any `size` x `size` box of maps seen as (height, width).

    Returns those of the maps, and those of their negatives.

    With R, C the weights of all places down and across, L, M interpolations between coarse ones,
    and E = R − L R_s whose rows sum to nothing,

        R V Cᵀ = L (R_s V C_sᵀ) Mᵀ + L R_s V E_cᵀ + E_r V Cᵀ  <=  max R_s V C_sᵀ + (ε_r + ε_c) s,

    where s is half the range of V, since rows of L R_s and of C are means. A map with a value
    that is no number gets no bounds.
    """
    down, across = (
        _axis(cells, pixels, size)
        for cells, pixels in zip(maps.shape[1:], (height, width), strict=True)
    )
    values = maps.astype(np.float32)
    coarse = down.weights @ values @ across.weights.T
    least, most = (end(values, axis=(1, 2)).astype(np.float64) for end in (np.min, np.max))
    rounding = ROUNDING * np.maximum(np.abs(least), np.abs(most))
    rise = (down.slack + across.slack) * (most - least) / 2

    def around(best: Float[ndarray, " n"]) -> Bounds:
        low, high = best - rounding, best + rise + rounding
        unknown = ~np.isfinite(high)
        return Bounds(np.where(unknown, -np.inf, low), np.where(unknown, np.inf, high))

    return (
        around(coarse.max(axis=(1, 2)).astype(np.float64)),
        around(-coarse.min(axis=(1, 2)).astype(np.float64)),
    )


@lru_cache(maxsize=256)
def _axis(cells: int, pixels: int, size: int) -> _Axis:
    integral = np.zeros((pixels + 1, cells))
    np.cumsum(interpolation_matrix(cells, pixels), axis=0, out=integral[1:])
    every = (integral[size:] - integral[:-size]) / size
    stride = max(1, int(pixels / cells / PLACES_PER_CELL))
    places = np.unique([*range(0, len(every), stride), len(every) - 1])
    between = np.arange(len(every))
    rough = np.stack([np.interp(between, places, every[places, cell]) for cell in range(cells)])
    slack = float(np.abs(every - rough.T).sum(axis=1).max())
    return _Axis(every[places].astype(np.float32), slack)


def least_boxes(height: int, width: int, size: int, most: int) -> int:
    """How many boxes an image surely offers: each takes (2 k + 1)² of the places away at most."""
    places = (height - size + 1) * (width - size + 1)
    return min(most, -(-places // (2 * size + 1) ** 2))


def may_be_chosen(
    found: Bounds, label: Int[ndarray, " n"], unit: Int[ndarray, " n"], count: Int[ndarray, " l"]
) -> Bool[ndarray, " n"]:
    """Which images may have one of the `count` best boxes of their label.

    unit: of images that count once, of which only the best is kept. count: of each label; 0 where
    every image may. That many units have a box as good as the count-th greatest lower end, so
    what cannot reach it is not chosen.
    """
    kept = np.ones(len(label), dtype=bool)
    order = np.argsort(label, kind="stable")
    ends = np.cumsum(np.bincount(label, minlength=len(count)))
    for rows, wanted in zip(np.split(order, ends[:-1]), count.tolist(), strict=True):
        of_unit = _greatest(found.low[rows], unit[rows])
        if 0 < wanted <= len(of_unit):
            bar = np.partition(of_unit, len(of_unit) - wanted)[len(of_unit) - wanted]
            kept[rows] = found.high[rows] >= bar
    return kept


def _greatest(values: Float[ndarray, " n"], unit: Int[ndarray, " n"]) -> Float[ndarray, " u"]:
    """The greatest value of each unit."""
    own, place = np.unique(unit, return_inverse=True)
    greatest = np.full(len(own), -np.inf)
    np.maximum.at(greatest, place, values)
    return greatest
