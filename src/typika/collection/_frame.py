"""The band of a page that a line lies in, and the way between its pixels and the page's (pure).

A band is a chain of cells between stations on the baseline. In a cell with corners on the stations
A and B, with up-vectors a and b, the point at a share t of its length and a distance d above the
baseline is

    P(t, d) = A + t (B - A) + d (a + t (b - a)),

a bilinear map whose neighbours agree on the side they share: no gaps and no seams, also where the
baseline bends. Its inverse is a quadratic equation in t. Beyond the ends the first and the last
cell go on.

Legend: n points, m + 1 stations of m cells. All points are x, y; whole numbers are the corners of
pixels, so that the first pixel's centre is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

NEARLY_STRAIGHT = 0.5  # pixels: a baseline that strays less from its chord is its chord
_PARALLEL = 1e-12  # below, a quadratic is linear


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the pixels of a straightened line are on its page."""

    stations: Float[ndarray, "m+1 2"]  # page pixels
    ups: Float[
        ndarray, "m+1 2"
    ]  # page pixels for each pixel above the baseline; about unit length
    columns: Float[ndarray, " m+1"]  # x of each station in the line, rising from 0 to its width
    above: float  # page pixels
    below: float
    height: int  # of the line, pixels

    @classmethod
    def of_image(cls, size: tuple[int, int], width: int, height: int) -> Frame:
        """The frame of an image of `size` (width, height) that is a line as a whole."""
        wide, high = size
        return cls(
            stations=np.array([[0.0, 0.0], [wide, 0.0]]),
            ups=np.array([[0.0, -1.0], [0.0, -1.0]]),
            columns=np.array([0.0, width]),
            above=0.0,
            below=float(high),
            height=height,
        )

    @property
    def scale(self) -> float:
        """Page pixels to a pixel of the line, across the baseline."""
        return (self.above + self.below) / self.height

    @property
    def width(self) -> int:
        """Of the line, pixels."""
        return round(float(self.columns[-1]))

    def resized(self, width: int, height: int) -> Frame:
        """The frame of the same band drawn at another size."""
        columns = self.columns * (width / self.columns[-1])
        return Frame(self.stations, self.ups, columns, self.above, self.below, height)

    def to_page(self, points: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        """Where points of the line are on the page."""
        points = np.asarray(points, dtype=np.float64)
        cell = np.searchsorted(self.columns, points[:, 0], side="right") - 1
        cell = np.clip(cell, 0, len(self.columns) - 2)
        start, end = self.columns[cell], self.columns[cell + 1]
        share = ((points[:, 0] - start) / (end - start))[:, None]
        distance = (self.above - points[:, 1] * self.scale)[:, None]
        foot = self.stations[cell] * (1 - share) + self.stations[cell + 1] * share
        return foot + distance * (self.ups[cell] * (1 - share) + self.ups[cell + 1] * share)

    def to_line(self, points: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        """Where points of the page are in the line; `to_page` undoes it.

        Of several cells that a point may be in, the one whose baseline is nearest counts.
        """
        points = np.asarray(points, dtype=np.float64)
        share, distance = self._solve(points)
        m = len(self.columns) - 1
        low = np.where(np.arange(m) == 0, -np.inf, 0.0)
        high = np.where(np.arange(m) == m - 1, np.inf, 1.0)
        outside = np.maximum(np.maximum(low - share, share - high), 0.0)
        # A point in no cell at all, on the inner side of a sharp bend, goes to the nearest one.
        far = np.abs(distance) + np.where(outside > 1e-9, 1e9 * (1 + outside), 0.0)
        cell = np.argmin(np.where(np.isnan(far), np.inf, far), axis=1)
        rows = np.arange(len(points))
        share, distance = share[rows, cell], distance[rows, cell]
        x = self.columns[cell] + share * (self.columns[cell + 1] - self.columns[cell])
        return np.stack([x, (self.above - distance) / self.scale], axis=1)

    def _solve(
        self, points: Float[ndarray, "n 2"]
    ) -> tuple[Float[ndarray, "n m"], Float[ndarray, "n m"]]:
        """Solve (P - A - t E) x (a + t M) = 0, with E = B - A, M = b - a, in every cell.

        Returns:
            t and d of each point in each cell; where it has none, t is no number.
        """
        along = np.diff(self.stations, axis=0)  # E
        turn = np.diff(self.ups, axis=0)  # M
        up = self.ups[:-1]
        offset = points[:, None] - self.stations[:-1]  # P - A
        square = -_cross(along, turn)
        linear = _cross(offset, turn) - _cross(along, up)
        constant = _cross(offset, up)
        root = np.sqrt(np.maximum(linear**2 - 4 * square * constant, 0.0))
        # The root that stays finite as the cell becomes straight, without cancellation.
        divisor = linear + np.where(linear < 0, -root, root)
        safe = np.where(np.abs(divisor) < _PARALLEL, np.nan, divisor)
        share = -2 * constant / safe
        direction = up + share[..., None] * turn
        rest = offset - share[..., None] * along
        distance = (rest * direction).sum(-1) / np.maximum((direction**2).sum(-1), _PARALLEL)
        return share, distance


def _cross(a: ndarray, b: ndarray) -> ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def length_of(line: Float[ndarray, "n 2"]) -> float:
    """Of a polyline, pixels."""
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def points_along(
    line: Float[ndarray, "n 2"], places: Float[ndarray, " k"]
) -> Float[ndarray, "k 2"]:
    """The points at some arc lengths of a polyline, which goes on straight beyond its ends."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    marks = np.concatenate([[0.0], np.cumsum(steps)])
    inside = np.clip(places, 0.0, marks[-1])
    found = np.stack([np.interp(inside, marks, line[:, i]) for i in (0, 1)], axis=1)
    beyond = places - inside
    first, last = ((line[1] - line[0]) / steps[0], (line[-1] - line[-2]) / steps[-1])
    return found + beyond[:, None] * np.where(beyond[:, None] < 0, first, last)


def ups_of(stations: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
    """Unit vectors away from the baseline at its stations, to the left of who walks along it.

    At a bend the mean of both sides' directions. For a baseline from left to right that is up,
    towards smaller y.
    """
    steps = np.diff(stations, axis=0)
    steps = steps / np.hypot(*steps.T)[:, None]
    ends = np.concatenate([steps[:1], steps]) + np.concatenate([steps, steps[-1:]])
    ups = np.stack([ends[:, 1], -ends[:, 0]], axis=1)
    lengths: ndarray = np.maximum(np.hypot(*ups.T), _PARALLEL)[:, None]
    return ups / lengths


def is_straight(line: Float[ndarray, "n 2"]) -> bool:
    """Whether a polyline strays less than half a pixel from its chord."""
    chord = line[-1] - line[0]
    length = float(np.hypot(*chord))
    if length < NEARLY_STRAIGHT:
        return False
    return bool(np.abs(_cross(line - line[0], chord)).max() / length < NEARLY_STRAIGHT)
