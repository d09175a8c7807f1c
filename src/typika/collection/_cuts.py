"""What a page's XML says of its lines -> the bands that they lie in (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from typika.collection._decode import SMALLEST_SIDE
from typika.collection._frame import (
    Frame,
    is_straight,
    length_of,
    points_along,
    ups_of,
)
from typika.collection._line_records import Cut, Drawn, Points
from typika.collection._masks import same_proportions
from typika.collection._straighten import dense

OUTSIDE = 0.02  # of the page's longer side: points may lie this far beyond it, and are moved back
ROUNDED_UNITS = 0.01  # by which proportions may differ where the unit is no pixel
DECIMALS = 3  # of a pixel's place
SAME_POINT = 0.5  # pixels
CELLS = 2  # along a baseline, for each height of its line
SHARPEST_TURN = np.cos(np.radians(40))  # between two cells; the band folds over beyond that
FURTHEST = 3.0  # heights of a polygon that it may be away from its baseline
ABOVE, BELOW = 0.7, 0.3  # of the distance between two baselines, without a polygon
BASE = 0.75  # of a polygon's height down to its baseline, where none is drawn
UPRIGHT = 3.0  # heights to a width: such a polygon without a baseline is a vertical line
MOST = 0.9  # of a page's lines: for these a common height suffices
MUCH_LARGER, MUCH_SMALLER = 1.35, 0.6  # than others: other writing, such as titles and glosses
STATIONS = 32  # along a polygon, for its middle line
PITCHES = (8.0, 400.0)  # pixels: least and most height that cells are made for

Polyline = Float[ndarray, "n 2"]


@dataclass(frozen=True)
class Unusable:
    """A line that no band can be given to."""

    reason: str


@dataclass(frozen=True)
class _Outline:
    """A baseline from left to right and an outline, both on the page, in its pixels."""

    baseline: Polyline
    polygon: Polyline | None


def page_scale(drawn: Drawn, size: tuple[int, int]) -> tuple[float, float] | Unusable:
    """Pixels of the image, across and down, to a unit of the points.

    size: width and height of the image. It may have been resized since it was drawn on.
    """
    wide, high = size
    if drawn.page is None:
        return (1.0, 1.0) if drawn.in_pixels else Unusable(
            "its unit is no pixel, and the size of the page is not given"
        )  # fmt: skip
    width, height = drawn.page
    scale = wide / width, high / height
    if drawn.in_pixels:
        fits = same_proportions((round(width), round(height)), size)
    else:
        fits = abs(scale[0] / scale[1] - 1) < ROUNDED_UNITS
    if not fits:
        return Unusable(
            f"drawn on a page of {width:g} x {height:g}, while the image has {wide} x {high} "
            "pixels"
        )
    return scale


def cuts_of(lines: Sequence[Drawn], size: tuple[int, int]) -> list[Cut | Unusable]:
    """The bands of the lines of one page, in their order.

    size: width and height of the page's image.
    """
    outlines = [_outline(line, size) for line in lines]
    baselines = [line.baseline for line in outlines if isinstance(line, _Outline)]
    gap: float | None = None
    cuts: list[Cut | Unusable] = []
    for line in outlines:
        if isinstance(line, Unusable):
            cuts.append(line)
            continue
        if line.polygon is None and gap is None:
            gap = _gap(baselines)
        cuts.append(_cut(line, gap))
    return _in_one_scale(cuts)


def _in_one_scale(cuts: Sequence[Cut | Unusable]) -> list[Cut | Unusable]:
    """Bands of one height for the lines of a page, so that a letter has one size in all of them.

    High enough for nine lines of ten. A line that needs more keeps what it needs, so that nothing
    of it is cut off, and so does one of much smaller writing.
    """
    usable = [cut for cut in cuts if isinstance(cut, Cut)]
    if not usable:
        return list(cuts)
    above, below = (_common(sizes) for sizes in ([cut.above for cut in usable],
                                                 [cut.below for cut in usable]))  # fmt: skip

    def widened(cut: Cut) -> Cut:
        if cut.above + cut.below < MUCH_SMALLER * (above + below):
            return cut
        return replace(cut, above=max(cut.above, above), below=max(cut.below, below))

    return [widened(cut) if isinstance(cut, Cut) else cut for cut in cuts]


def _common(sizes: Sequence[float]) -> float:
    """What suffices for most, but not much more than the middle one needs."""
    middle, most = (float(value) for value in np.quantile(sizes, (0.5, MOST)))
    return round(min(most, max(middle, middle * MUCH_LARGER)), DECIMALS)


def _outline(drawn: Drawn, size: tuple[int, int]) -> _Outline | Unusable:
    scale = page_scale(drawn, size)
    if isinstance(scale, Unusable):
        return scale
    found = []
    for name, points in (("polygon", drawn.polygon), ("baseline", drawn.baseline)):
        moved = None if points is None else _on_page(points, scale, size)
        if isinstance(moved, Unusable):
            return Unusable(f"its {name} {moved.reason}")
        found.append(moved)
    polygon, baseline = found
    if polygon is not None and _area(polygon) < SMALLEST_SIDE**2:
        polygon = None
    if baseline is None:
        if polygon is None:
            return Unusable("no baseline, and a polygon without area")
        baseline = _middle(polygon)
    baseline = _distinct(baseline)
    if len(baseline) < 2 or length_of(baseline) < SMALLEST_SIDE:
        return Unusable(f"degenerate baseline: shorter than {SMALLEST_SIDE} pixels")
    across, down = baseline[-1] - baseline[0]
    # Some draw the baseline of a line that is read from right to left the way it is read.
    if across < 0 and abs(across) >= abs(down):
        baseline = baseline[::-1]
    return _Outline(baseline, polygon)


def _on_page(
    points: Points, scale: tuple[float, float], size: tuple[int, int]
) -> Polyline | Unusable:
    """Points in pixels; what is a little outside the page is moved to its edge."""
    found = np.asarray(points, dtype=np.float64) * scale
    slack = OUTSIDE * max(size)
    if (found < -slack).any() or (found > np.asarray(size) + slack).any():
        return Unusable("lies outside the page")
    return np.round(np.clip(found, 0.0, np.asarray(size, dtype=np.float64)), DECIMALS)


def _distinct(line: Polyline) -> Polyline:
    """A polyline without the points that repeat the one before."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    return line[np.concatenate([[True], steps >= SAME_POINT])]


def _area(polygon: Polyline) -> float:
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _middle(polygon: Polyline) -> Polyline:
    """A straight baseline for a polygon without one: along its middle, at three quarters down."""
    width, height = np.ptp(polygon, axis=0)
    if height > UPRIGHT * width:
        return _middle(polygon[:, ::-1] * (1, -1))[:, ::-1] * (-1, 1)
    left, right = polygon[:, 0].min(), polygon[:, 0].max()
    x = left + (np.arange(STATIONS) + 0.5) / STATIONS * (right - left)
    top, bottom = _envelope(polygon, x)
    slope = 0.0 if width < UPRIGHT * height else float(np.polyfit(x, (top + bottom) / 2, 1)[0])
    centre = float(((top + bottom) / 2).mean() + (BASE - 0.5) * (bottom - top).mean())
    ends = np.array([left, right])
    return np.stack([ends, centre + slope * (ends - x.mean())], axis=1)


def _envelope(polygon: Polyline, x: ndarray) -> tuple[ndarray, ndarray]:
    """Least and greatest y of a polygon at each of some x inside it."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    crosses = (low <= x[:, None]) & (x[:, None] <= high) & (high > low)
    run = np.where(high > low, end[:, 0] - start[:, 0], 1.0)
    y = start[:, 1] + (x[:, None] - start[:, 0]) / run * (end[:, 1] - start[:, 1])
    top = np.where(crosses, y, np.inf).min(axis=1)
    return top, np.where(crosses, y, -np.inf).max(axis=1)


def _gap(baselines: Sequence[Polyline]) -> float | None:
    """The median distance, in pixels, from a baseline to its nearest neighbour; None if alone."""
    middles = np.array([(line[0] + line[-1]) / 2 for line in baselines])
    starts = np.array([line[0] for line in baselines])
    ends = np.array([line[-1] for line in baselines])
    found = []
    for i, middle in enumerate(middles):
        run = np.where(ends[:, 0] > starts[:, 0], ends[:, 0] - starts[:, 0], np.inf)
        share = (middle[0] - starts[:, 0]) / run
        y = starts[:, 1] + share * (ends[:, 1] - starts[:, 1])
        distance = np.where((share >= 0) & (share <= 1) & np.isfinite(run), abs(y - middle[1]),
                            np.inf)  # fmt: skip
        distance[i] = np.inf
        distance[distance < SMALLEST_SIDE] = np.inf
        if np.isfinite(nearest := distance.min()):
            found.append(nearest)
    return float(np.median(found)) if found else None


def _cut(line: _Outline, gap: float | None) -> Cut | Unusable:
    """The band of a line.

    gap: distance to the neighbouring baselines, which tells the height where no polygon does.
    """
    if line.polygon is None and gap is None:
        return Unusable("neither a polygon nor another baseline tells how high it is")
    height = gap or 0.0 if line.polygon is None else _area(line.polygon) / length_of(line.baseline)
    pitch = float(np.clip(height, *PITCHES))
    spine = _resampled(line.baseline, 0.0, length_of(line.baseline), pitch)
    if _turns_back(spine):
        return Unusable("degenerate baseline: it turns back on itself")
    start, end, above, below = 0.0, length_of(spine), ABOVE * height, BELOW * height
    if line.polygon is not None:
        along, up = _place(spine, dense(line.polygon)).T
        start, end = float(along.min()), float(along.max())
        above, below = float(up.max()), float(-up.min())
    size = above + below
    if size < SMALLEST_SIDE or end - start < SMALLEST_SIDE:
        return Unusable(f"too small for a line: {end - start:.0f} x {size:.0f} pixels")
    if max(-above, -below) > FURTHEST * size:
        return Unusable("its polygon is not at its baseline")
    polygon = None if line.polygon is None else _plain(line.polygon)
    baseline = _plain(_resampled(spine, start, end, pitch))
    return Cut(
        baseline=baseline,
        polygon=polygon,
        above=round(above, DECIMALS),
        below=round(below, DECIMALS),
    )


def _resampled(line: Polyline, start: float, end: float, pitch: float) -> Polyline:
    """A polyline between two arc lengths, with corners at half the pitch."""
    if is_straight(line):
        line = line[[0, -1]]
        return points_along(line, np.array([start, end]))
    n_cells = max(1, round(CELLS * (end - start) / pitch))
    return points_along(line, np.linspace(start, end, n_cells + 1))


def _turns_back(line: Polyline) -> bool:
    steps = _directions(line)
    return bool(((steps[1:] * steps[:-1]).sum(axis=1) < SHARPEST_TURN).any())


def _directions(line: Polyline) -> Float[ndarray, "m 2"]:
    steps = np.diff(line, axis=0)
    lengths: ndarray = np.maximum(np.hypot(*steps.T), 1e-9)[:, None]
    return steps / lengths


def _place(spine: Polyline, points: Polyline) -> Float[ndarray, "n 2"]:
    """How far along the spine points are, and how far above it."""
    marks = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(spine, axis=0).T))])
    frame = Frame(spine, ups_of(spine), marks, above=0.0, below=1.0, height=1)
    return frame.to_line(points) * (1.0, -1.0)


def _plain(points: Polyline) -> Points:
    """Points as numbers that are written alike everywhere."""
    return tuple((round(x, DECIMALS), round(y, DECIMALS)) for x, y in points.tolist())
