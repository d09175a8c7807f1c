"""What ALTO and PAGE have in common: a page's image, its lines, and how points are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from typika.collection._line_records import Points, Region
from typika.collection._xml import Element, local_name

FURTHEST = 1e7  # from the corner of a page, in any unit
MOST_POINTS = 20_000  # of one line; real ones have a few hundred


@dataclass(frozen=True, kw_only=True)
class PageLine:
    """One TextLine; `fault` says why it has no place."""

    name: str  # its ID, or "" without one
    text: str | None
    baseline: Points | None = None
    polygon: Points | None = None
    fault: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    region: Region = Region()


@dataclass(frozen=True, kw_only=True)
class PageText:
    """One page as its XML describes it."""

    image: str  # file, as the XML names it; "" where it does not
    size: tuple[float, float] | None  # width, height in the units of the points
    in_pixels: bool
    lines: tuple[PageLine, ...]


def with_ancestors(
    root: Element, name: str, region: Callable[[Element, Region], Region]
) -> Iterator[tuple[Element, Region]]:
    """Every element of that name below the root, in order, with what is known of its region.

    region: what an element on the way down makes of what was known above it.
    """
    waiting = [(root, Region())]
    while waiting:  # no recursion: the depth is whatever the file says
        element, known = waiting.pop()
        if local_name(element) == name:
            yield element, known
            continue
        known = region(element, known)
        waiting += [(child, known) for child in reversed(element)]


def parse_points(text: str | None) -> Points | None:
    """Points as "x,y x,y" or "x y x y"; None where there is nothing.

    Raises:
        ValueError: something that is no number, an odd count, or too many.
    """
    values = [float(value) for value in (text or "").replace(",", " ").split()]
    if not all(abs(value) < FURTHEST for value in values):
        raise ValueError("a point that is no number, or on no page")
    if len(values) % 2:
        raise ValueError(f"{len(values)} numbers, which are no pairs")
    if len(values) > 2 * MOST_POINTS:
        raise ValueError(f"{len(values) // 2:,} points, more than a line has")
    return tuple(zip(values[::2], values[1::2], strict=True)) or None


def region_points(read: Callable[[Element], Points | None], element: Element) -> Points | None:
    """The outline of a region; None where it cannot be read: its lines are what counts."""
    try:
        return read(element)
    except ValueError:
        return None


def number(text: str | None) -> float:
    """A number, or 0 where there is none that makes sense."""
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if abs(value) < FURTHEST else 0.0


def size_of(width: str | None, height: str | None) -> tuple[float, float] | None:
    """Width and height of a page; some writers leave them out or write 0."""
    wide, high = number(width), number(height)
    return (wide, high) if wide >= 1 and high >= 1 else None
