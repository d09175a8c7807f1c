"""Lines and characters as pages: what the ALTO and the PAGE file of a page are written from.

Everything is in the order of reading, a line of Hebrew too: its first word is the rightmost.

Legend: points are x, y in pixels of the image, whole numbers at the corners of pixels.
"""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from typika.collection.places import Place
from typika.errors import DataError

Points = tuple[tuple[float, float], ...]
Box = tuple[int, int, int, int]  # left, top, right, bottom, whole pixels, the last two exclusive


@dataclass(frozen=True, kw_only=True)
class Glyph:
    """One character of a line.

    corners: of the box of its ink, on the image: top left, top right, bottom right, bottom left.
    confidence: in [0, 1].
    """

    character: str
    corners: Points
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Word:
    """What stands between two spaces; its glyphs spell its text."""

    text: str
    glyphs: tuple[Glyph, ...]

    @property
    def corners(self) -> Points:
        """Of all its glyphs."""
        return tuple(point for glyph in self.glyphs for point in glyph.corners)

    @property
    def confidence(self) -> float:
        """The mean of its glyphs."""
        return sum(glyph.confidence for glyph in self.glyphs) / len(self.glyphs)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of text.

    name: its ID on the page. words: empty where the characters found do not spell the text.
    """

    name: str
    text: str
    kind: str
    baseline: Points
    polygon: Points
    words: tuple[Word, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Lines that are in one region. polygon: None where none is drawn."""

    name: str
    label: str
    polygon: Points | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One image and its text.

    name: of the file to write, without suffix, POSIX, relative. image: base name of the image.
    """

    name: str
    image: str
    width: int
    height: int
    blocks: tuple[Block, ...]


Row = Mapping[str, Any]


def pages_of(
    places: Sequence[Place],
    lines: Sequence[Row],
    readings: Sequence[Row],
    characters: Sequence[Row],
) -> tuple[Page, ...]:
    """The pages of a run, in the order of its lines.

    places: of the lines wanted. lines, readings, characters: rows of the tables of a run; those of
    other lines are passed over. A line says what it is transcribed as, else what was read.

    Raises:
        DataError: a line has no row.
    """
    kinds = {row["line_id"]: row.get("line_type") or "" for row in lines}
    read = {row["line_id"]: row for row in readings}
    letters: dict[str, list[Row]] = defaultdict(list)
    for row in characters:
        letters[row["line_id"]].append(row)
    names = _file_names(places)
    by_page: dict[str, list[tuple[Place, Line]]] = defaultdict(list)
    for place in places:
        if place.line_id not in read:
            raise DataError(f"line {place.line_id}: it is not among the readings; fit again")
        row = read[place.line_id]
        text = row["text"] or row["read"] or ""
        kind = kinds.get(place.line_id, "")
        line = _line(place, text, kind, letters.get(place.line_id, []))
        by_page[names[place.line_id]].append((place, line))
    return tuple(_page(name, found) for name, found in by_page.items())


def _page(name: str, found: Sequence[tuple[Place, Line]]) -> Page:
    first = found[0][0]
    blocks: dict[tuple[str, str, Points | None], list[Line]] = defaultdict(list)
    for place, line in found:
        blocks[place.region_name, place.region_label, place.region_polygon].append(line)
    return Page(
        name=name,
        image=posixpath.basename(first.file_name),
        width=first.size[0],
        height=first.size[1],
        blocks=tuple(
            Block(name=region, label=label, polygon=polygon, lines=tuple(lines))
            for (region, label, polygon), lines in blocks.items()
        ),
    )


def _file_names(places: Sequence[Place]) -> dict[str, str]:
    """The file of each line: that of its page's XML, else that of its image."""
    described = {place.page_file for place in places if place.page_file is not None}
    stems = Counter(posixpath.splitext(place.file_name)[0]
                    for place in places if place.page_file is None)  # fmt: skip
    names = {}
    for place in places:
        name = place.page_file
        if name is None:
            name = posixpath.splitext(place.file_name)[0]
            if stems[name] > 1 or name in described:
                name = place.file_name  # x.png and x.jpg
        if posixpath.isabs(name) or ".." in name.split("/"):
            raise DataError(
                f"line {place.line_id}: its file {name!r} is outside of the collection"
            )
        names[place.line_id] = name
    return names


def _line(place: Place, text: str, kind: str, rows: Sequence[Row]) -> Line:
    glyphs = [
        Glyph(
            character=row["character"],
            corners=_inside(row["page_corners"], place.size),
            confidence=float(np.clip(row["confidence"], 0, 1)),
        )
        for row in sorted(rows, key=lambda row: row["place"])
    ]
    width, height = place.size
    if place.page_file is None:
        name = "line"
        polygon: Points = ((0, 0), (width, 0), (width, height), (0, height))
    else:
        name = place.line_id.removeprefix(f"{place.page_file}#")
        polygon = place.polygon or ()
    return Line(
        name=name,
        text=text,
        kind=kind,
        baseline=place.baseline or _feet(glyphs, place.size),
        polygon=polygon,
        words=words_of(text, glyphs),
    )


def _inside(corners: Sequence[float], size: tuple[int, int]) -> Points:
    points = np.clip(np.reshape(corners, (-1, 2)), 0, size)
    return tuple((x, y) for x, y in points.tolist())


def _feet(glyphs: Sequence[Glyph], size: tuple[int, int]) -> Points:
    """A level baseline for an image that is a line: where most of its letters stand."""
    feet = [glyph.corners[2][1] for glyph in glyphs if not glyph.character.isspace()]
    y = round(float(np.median(feet))) if feet else round(0.75 * size[1])
    return (0.0, float(y)), (float(size[0]), float(y))


def words_of(text: str, glyphs: Sequence[Glyph]) -> tuple[Word, ...]:
    """The words of a text with the glyphs that spell each; none where they spell something else.

    glyphs: in the order of reading; spaces among them are passed over.
    """
    letters = [glyph for glyph in glyphs if not glyph.character.isspace()]
    words = text.split()
    if "".join(glyph.character for glyph in letters) != "".join(words):
        return ()
    found, start = [], 0
    for word in words:
        own = tuple(letters[start : start + len(word)])
        found.append(Word(text=word, glyphs=own))
        start += len(word)
    return tuple(found)


def box_of(points: Points, width: int, height: int) -> Box:
    """The whole pixels around points, at least one each way, on a page of that size."""
    x, y = np.asarray(points).T
    left, top = (int(np.clip(round(float(side.min())), 0, most - 1))
                 for side, most in ((x, width), (y, height)))  # fmt: skip
    right, bottom = (int(np.clip(round(float(side.max())), low + 1, most))
                     for side, low, most in ((x, left, width), (y, top, height)))  # fmt: skip
    return left, top, right, bottom
