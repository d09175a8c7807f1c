"""A hand as a typeface needs it: its letters in one frame, where they stand, how far apart (pure).

How letters follow each other is told by the gaps between the boxes of neighbours on lines that were
read or aligned. A gap is what is free on the right of the one and on the left of the other,

    gap(a, b) = right(a) + left(b) + kern(a, b);

`right` and `left` are medians of what the others leave, in turns (a median polish), and `kern` is
what is left for pairs that are frequent.

Legend: `K` letters, `h w` pixels of a sprite. Lengths are pixels of a line at the model's height.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from typika.palaeography.records import Letter

ROUNDS = 6  # of the median polish
FEWEST_PAIRS = 8  # for a kern
LEAST_KERN = 0.7  # pixels
MOST_KERN = 10.0
DEFAULT_GAP = 0.03  # of the height of a line, where no neighbours tell
DEFAULT_SPACE = 0.25  # of the height of a line
FARTHEST = 1.0  # heights of a line: neighbours that are farther apart are none
TO_LEFT = ("R", "AL")  # Unicode's directions of letters that are written from right to left

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Hand:
    """The letters of a group, or of a run.

    ink: in [0, 1]. reference: the model's own sprites of these letters, of whose ink the boxes of
    characters are; the same as `ink` where it is the run's own hand.
    """

    name: str
    letters: tuple[Letter, ...]
    ink: Float[ndarray, "K h w"]
    reference: Float[ndarray, "K h w"]

    @property
    def shape(self) -> tuple[int, int]:
        """h, w: pixels of a sprite."""
        return self.ink.shape[1], self.ink.shape[2]


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Where a letter's sprite is on a line.

    box: left, top, right, bottom of the ink in the sprite. top: of the ink on the line. scale: of
    the sprite, along x and y. left, right: what is free beside it. after: of a mark, how far its
    left is from where the pen is behind the letter it is on; None of any other letter.
    """

    box: tuple[float, float, float, float]
    top: float
    scale: tuple[float, float]
    left: float
    right: float
    after: float | None = None

    @property
    def width(self) -> float:
        """Of the ink, on the line."""
        return (self.box[2] - self.box[0]) * self.scale[0]

    @property
    def advance(self) -> float:
        """How far the pen goes on; a mark does not move it."""
        return 0.0 if self.after is not None else max(self.left + self.width + self.right, 0.0)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a hand is set.

    baseline: from the top of a line. space: the advance of a word space. kerning: of letters that
    follow each other from left to right, more than their own.
    """

    height: int
    baseline: float
    space: float
    stands: Mapping[Letter, Stand]
    kerning: Mapping[tuple[Letter, Letter], float] = field(default_factory=dict)


def is_mark(character: str) -> bool:
    """Whether a character combines with the one before it."""
    return unicodedata.category(character) in ("Mn", "Me")


def setting(
    hand: Hand, boxes: Float[ndarray, "K 4"], characters: Iterable[Row], height: int
) -> Setting:
    """How the letters of a hand follow each other on its lines.

    boxes: left, top, right, bottom of the ink of each reference sprite, from its middle; zeros
    where it has none. characters: rows of characters.parquet, of the lines to learn from.
    height: of a line, pixels.
    """
    lines = _by_line(characters)
    by_letter: dict[Letter, list[Row]] = defaultdict(list)
    for rows in lines:
        for row in rows:
            by_letter[_letter(row)].append(row)
    left, right, gaps = _sides(lines, height)
    usual = (float(np.median(list(left.values()))) if left else DEFAULT_GAP * height / 2,
             float(np.median(list(right.values()))) if right else DEFAULT_GAP * height / 2)  # fmt: skip
    after = _marks(lines, right, usual[1])
    stands = {}
    for letter, box in zip(hand.letters, boxes, strict=True):
        sides = left.get(letter, usual[0]), right.get(letter, usual[1])
        own = after.get(letter, 0.0) if is_mark(letter.character) else None
        stands[letter] = _stand(box, by_letter.get(letter, []), hand.shape, height, sides, own)
    return Setting(
        height=height,
        baseline=_baseline(by_letter, height),
        space=_space(lines, left, right, usual, height),
        stands=stands,
        kerning=_kerning(gaps, left, right),
    )


def _letter(row: Row) -> Letter:
    return Letter(row["character"], int(row["sprite"]))


def _by_line(characters: Iterable[Row]) -> list[list[Row]]:
    """The characters of each line from left to right."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in characters:
        found[row["line_id"]].append(row)
    return [sorted(rows, key=lambda row: row["cell"]) for rows in found.values()]


def _stand(
    box: ndarray, rows: Sequence[Row], shape: tuple[int, int], height: int,
    sides: tuple[float, float], after: float | None,
) -> Stand:  # fmt: skip
    rows_high, columns = shape
    left, top, right, bottom = (box + np.array([columns, rows_high] * 2) / 2).tolist()
    stood = top + (height - rows_high) / 2
    scale = (1.0, 1.0)
    if rows and right > left and bottom > top:
        stood = float(np.median([row["top"] for row in rows]))
        wide = float(np.median([row["right"] - row["left"] for row in rows]))
        high = float(np.median([row["bottom"] - row["top"] for row in rows]))
        if wide > 0 and high > 0:
            scale = (wide / (right - left), high / (bottom - top))
    return Stand(box=(left, top, right, bottom), top=stood, scale=scale, left=sides[0],
                 right=sides[1], after=after)  # fmt: skip


def _baseline(by_letter: Mapping[Letter, Sequence[Row]], height: int) -> float:
    """Where most letters have their feet, each counting as often as it is written."""
    feet = [row["bottom"] for letter, rows in by_letter.items() for row in rows
            if unicodedata.category(letter.character).startswith("L")]  # fmt: skip
    feet = feet or [row["bottom"] for rows in by_letter.values() for row in rows
                    if not row["character"].isspace()]  # fmt: skip
    return float(np.median(feet)) if feet else 0.75 * height


Pair = tuple[Letter, Letter]


def _neighbours(rows: Sequence[Row]) -> Iterable[tuple[Row, Row, bool]]:
    """Letters that follow each other on a line, and whether a space is between them."""
    before: Row | None = None
    spaced = False
    for row in rows:
        if row["character"].isspace():
            spaced = True
            continue
        if is_mark(row["character"]):
            continue
        if before is not None:
            yield before, row, spaced
        before, spaced = row, False


def _sides(
    lines: Sequence[Sequence[Row]], height: int
) -> tuple[dict[Letter, float], dict[Letter, float], dict[Pair, list[float]]]:
    """What is free on the left and on the right of each letter, and the gaps of each pair."""
    gaps: dict[Pair, list[float]] = defaultdict(list)
    for rows in lines:
        for one, other, spaced in _neighbours(rows):
            gap = other["left"] - one["right"]
            if not spaced and abs(gap) < FARTHEST * height:
                gaps[_letter(one), _letter(other)].append(gap)
    if not gaps:
        return {}, {}, gaps
    usual = float(np.median([gap for found in gaps.values() for gap in found]))
    right = {one: usual / 2 for one, _ in gaps}
    left = {other: usual / 2 for _, other in gaps}
    for _ in range(ROUNDS):
        right = _medians(((one, gap - left[other]) for (one, other), found in gaps.items()
                          for gap in found), usual / 2)  # fmt: skip
        left = _medians(((other, gap - right[one]) for (one, other), found in gaps.items()
                         for gap in found), usual / 2)  # fmt: skip
    return left, right, gaps


def _medians(values: Iterable[tuple[Letter, float]], usual: float) -> dict[Letter, float]:
    """The median of each letter, as if it had once been seen as usual."""
    found: dict[Letter, list[float]] = defaultdict(lambda: [usual])
    for letter, value in values:
        found[letter].append(value)
    return {letter: float(np.median(own)) for letter, own in found.items()}


def _kerning(
    gaps: Mapping[Pair, Sequence[float]], left: Mapping[Letter, float],
    right: Mapping[Letter, float],
) -> dict[Pair, float]:  # fmt: skip
    """What frequent pairs are moved by; only of letters that are written from left to right."""
    found = {}
    for (one, other), own in gaps.items():
        to_left = {unicodedata.bidirectional(letter.character) for letter in (one, other)}
        if len(own) < FEWEST_PAIRS or to_left & set(TO_LEFT):
            continue
        kern = float(np.median(own)) - right[one] - left[other]
        if LEAST_KERN <= abs(kern):
            found[one, other] = float(np.clip(kern, -MOST_KERN, MOST_KERN))
    return found


def _space(
    lines: Sequence[Sequence[Row]], left: Mapping[Letter, float], right: Mapping[Letter, float],
    usual: tuple[float, float], height: int,
) -> float:  # fmt: skip
    """The median gap between words, less what is free beside their letters anyway."""
    found = [
        other["left"] - one["right"] - right.get(_letter(one), usual[1])
        - left.get(_letter(other), usual[0])
        for rows in lines
        for one, other, spaced in _neighbours(rows)
        if spaced
    ]  # fmt: skip
    return max(float(np.median(found)), 1.0) if found else DEFAULT_SPACE * height


def _marks(
    lines: Sequence[Sequence[Row]], right: Mapping[Letter, float], usual: float
) -> dict[Letter, float]:
    """How far a mark's left is from where the pen is behind the letter that it is on."""
    found: dict[Letter, list[float]] = defaultdict(list)
    for rows in lines:
        base: Row | None = None
        for row in sorted(rows, key=lambda row: row["place"]):
            if not is_mark(row["character"]):
                base = None if row["character"].isspace() else row
            elif base is not None:
                pen = base["right"] + right.get(_letter(base), usual)
                found[_letter(row)].append(row["left"] - pen)
    return {letter: float(np.median(own)) for letter, own in found.items()}
