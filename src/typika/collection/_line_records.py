"""What a text line is, and what the readers of its several layouts hand over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from typika.collection._files import Skipped

Points = tuple[tuple[float, float], ...]  # x, y in pixels of the upright page


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where a line is on its page: a band of one height along its baseline."""

    # From the first to the last pixel of the line, left to right, or downwards where it is
    # vertical; at least two points, no nearer to each other than the band can bend.
    baseline: Points
    polygon: Points | None  # what of the band is the line; None: all of it
    above: float  # pixels of the band above the baseline
    below: float  # ... and below it


@dataclass(frozen=True, kw_only=True)
class Region:
    """The innermost block of a page that a line is in, as its XML has it."""

    name: str = ""  # its ID, or "" without one
    label: str = ""  # what kind of block it is
    polygon: Points | None = None  # in the units of the page; None: not drawn


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a page's XML says of where a line is; at least one of the two is there."""

    baseline: Points | None
    polygon: Points | None
    page: tuple[float, float] | None  # width, height of the page in the units of the points
    in_pixels: bool  # else the points are in some other unit, of which `page` is the scale
    file: str = ""  # the XML without its suffix, POSIX, relative to the collection's root
    region: Region = Region()


@dataclass(frozen=True, kw_only=True)
class TextLine:
    """One line of text.

    `columns` has the same keys for every line of a collection, "" where nothing is known.
    """

    line_id: str  # unique in the collection: the relative path, and the line's own id on a page
    file_name: str  # of the image, POSIX, relative to the collection's root
    text: str | None  # in logical order, normalised, never empty; None: not transcribed
    cut: Cut | None  # None: the image is the line
    columns: Mapping[str, str]  # document, split, page ...
    drawn: Drawn | None = None  # what the page's XML says; None: no XML, the image is the line


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A line as its reader found it: nothing of it is decoded, normalised or measured yet."""

    line_id: str
    file_name: str
    text: str | None
    drawn: Drawn | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Harvest:
    """What one reader found."""

    candidates: list[Candidate] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)  # images that are no other reader's

    def skip(self, name: str, reason: str) -> None:
        """Leave something out, and say why."""
        self.skipped.append(Skipped(name, reason))

    def note(self, names: list[str], remark: str) -> None:
        """Say something of some files or lines once, with their number and the first of them."""
        if names:
            self.notes.append(f"{remark}: {len(names)}, e.g. {names[0]}")

    def __iadd__(self, other: Harvest) -> Harvest:
        self.candidates += other.candidates
        self.skipped += other.skipped
        self.notes += other.notes
        self.claimed |= other.claimed
        return self

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)
