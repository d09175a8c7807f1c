"""Sprites as outlines: the contour at half of their ink, simplified, as cubic curves (pure).

Legend: `h w` pixels of a sprite, `n` points. Points are x, y in pixels of the sprite, y downwards,
whole numbers at the corners of pixels. Ink is in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

FINER = 8  # times, that a sprite is enlarged before it is followed
LEVEL = 0.5  # of a sprite's darkest ink
LEAST_AREA = 1.5  # pixels; what is smaller is a speck, or a pinhole
TOLERANCE = 0.04  # pixels that the curve may be off the contour
KINK = 25.0  # degrees, from which pieces meet at a corner
SHORTEST = 0.05  # pixels of a handle that has a direction
_PAD = 2  # pixels of paper around, so that every contour is closed

Polygon = Float[ndarray, "n 2"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A closed curve of cubic pieces.

    pieces: each from its first point by two handles to its last, which is the next one's first.
    As it is seen, it runs clockwise around ink and counter-clockwise around a hole.
    """

    pieces: Float[ndarray, "n 4 2"]


def outline(ink: Float[ndarray, "h w"]) -> tuple[Curve, ...]:
    """The outline of a sprite, the largest part first; empty where it has no ink."""
    return tuple(smooth(contour) for contour in contours(ink))


def binary(ink: Float[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """The pixels of a sprite that count as its letter: half of its darkest ink and more."""
    return ink >= LEVEL * max(float(ink.max()), 1e-6)


def contours(ink: Float[ndarray, "h w"]) -> list[Polygon]:
    """Closed polygons where a sprite has half of its darkest ink, the largest first.

    They run as `Curve` does, which is how contourpy gives them. The last point is not the first
    again.
    """
    darkest = float(ink.max())
    if darkest <= 0:
        return []
    padded = np.pad(np.asarray(ink, dtype=np.float64) / darkest, _PAD)
    fine = ndimage.zoom(padded, FINER, order=3, mode="grid-constant", grid_mode=True)
    rows, columns = ((np.arange(n) + 0.5) / FINER - _PAD for n in fine.shape)
    found = contour_generator(x=columns, y=rows, z=fine).lines(LEVEL)
    closed = [np.asarray(line)[:-1] for line in found]
    kept = [line for line in closed if abs(area(line)) >= LEAST_AREA]
    return sorted(kept, key=lambda line: -abs(area(line)))


def area(polygon: Polygon) -> float:
    """Of a polygon, pixels; positive where it is clockwise as it is seen, with y downwards."""
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def smooth(contour: Polygon) -> Curve:
    """A curve that a closed polygon is within TOLERANCE of, of as few pieces as it takes.

    A piece is the cubic of least squares between two points of the polygon, its other points at
    their share of its length; where that is not near enough, it is split at its worst point. Where
    two pieces meet at an angle of less than KINK, their handles are laid on one line.
    """
    far = int(np.hypot(*(contour - contour[0]).T).argmax())
    ring = np.concatenate([contour, contour[:1]])
    pieces, waiting = [], [(far, len(contour)), (0, far)]
    while waiting:
        start, end = waiting.pop()
        piece, away = _fitted(ring[start : end + 1])
        if away.max(initial=0.0) <= TOLERANCE:
            pieces.append(piece)
            continue
        middle = start + 1 + int(away.argmax())
        waiting += [(middle, end), (start, middle)]
    return Curve(_levelled(np.stack(pieces)))


def _fitted(points: Polygon) -> tuple[Float[ndarray, "4 2"], Float[ndarray, " m"]]:
    """The cubic of least squares from the first point to the last, and how far the others are."""
    first, last, inner = points[0], points[-1], points[1:-1]
    thirds = np.stack([first, first + (last - first) / 3, last - (last - first) / 3, last])
    if not len(inner):
        return thirds, np.zeros(0)
    marks = np.cumsum(np.hypot(*np.diff(points, axis=0).T))
    t = (marks[:-1] / max(marks[-1], 1e-9))[:, None]
    ends = (1 - t) ** 2 * (1 + 2 * t) * first + t**2 * (3 - 2 * t) * last
    basis = np.concatenate([3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2], axis=1)
    # The unknowns are the handles less the ends they belong to: small, so that few points suffice.
    handles = np.linalg.lstsq(basis, inner - ends, rcond=1e-3)[0]
    piece = np.stack([first, first + handles[0], last + handles[1], last])
    away = np.hypot(*(ends + basis @ handles - inner).T)
    return piece, away


def _levelled(pieces: Float[ndarray, "n 4 2"]) -> Float[ndarray, "n 4 2"]:
    """Pieces whose handles on either side of a smooth place lie on one line."""
    found = pieces.copy()
    for number in range(len(pieces)):
        before, after = pieces[number - 1], pieces[number]
        arrives, leaves = before[3] - before[2], after[1] - after[0]
        lengths = float(np.hypot(*arrives)), float(np.hypot(*leaves))
        if min(lengths) < SHORTEST:
            continue
        if arrives @ leaves < np.cos(np.radians(KINK)) * lengths[0] * lengths[1]:
            continue
        along = arrives + leaves  # the longer handle tells more
        along = along / np.hypot(*along)
        found[number - 1, 2] = before[3] - lengths[0] * along
        found[number, 1] = after[0] + lengths[1] * along
    return found


def moved(
    curves: Sequence[Curve], scale: tuple[float, float], shift: tuple[float, float]
) -> tuple[Curve, ...]:
    """Curves whose points are scaled and then shifted, along x and along y.

    Where y is turned over, so is what is seen, and the order of the points stays.
    """
    return tuple(Curve(curve.pieces * scale + shift) for curve in curves)
