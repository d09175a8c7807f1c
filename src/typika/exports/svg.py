"""Sprites as SVG: a drawing a letter, and a sheet of all of them.

Holes are holes by the even-odd rule. Legend: `K` letters, `h w` pixels of a sprite.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from xml.sax.saxutils import escape

from typika.exports._xml import clean
from typika.exports.hand import Hand
from typika.exports.outlines import Curve, moved, outline
from typika.palaeography.records import Letter

SPACE = 'xmlns="http://www.w3.org/2000/svg"'
COLUMNS = 12  # letters in a row of the sheet
LABEL = 14.0  # pixels below each letter of the sheet
GAP = 6.0
DECIMALS = 2  # of a pixel


def letters(hand: Hand) -> dict[str, str]:
    """The drawing of every letter that has ink, by its file name."""
    found = {}
    for letter, ink in zip(hand.letters, hand.ink, strict=True):
        if curves := outline(ink):
            found[file_name(letter)] = drawing(letter, curves, (ink.shape[1], ink.shape[0]))
    return found


def file_name(letter: Letter) -> str:
    """U+0061.svg; of a second form U+0061-2.svg."""
    form = f"-{letter.form + 1}" if letter.form else ""
    return f"U+{ord(letter.character):04X}{form}.svg"


def drawing(letter: Letter, curves: Sequence[Curve], size: tuple[int, int]) -> str:
    """One letter in its frame. size: w, h."""
    width, height = size
    return (
        f'<svg {SPACE} viewBox="0 0 {width} {height}" width="{width * 4}" height="{height * 4}" '
        f'role="img"><title>{escape(clean(described(letter)))}</title>'
        f'<path fill-rule="evenodd" d="{path(curves)}"/></svg>\n'
    )


def sheet(hand: Hand) -> str:
    """All letters in rows, each above its character and code point."""
    height, width = hand.shape
    across, down = width + GAP, height + LABEL + GAP
    rows = -(-len(hand.letters) // COLUMNS)
    parts = []
    for number, (letter, ink) in enumerate(zip(hand.letters, hand.ink, strict=True)):
        left, top = (number % COLUMNS) * across, (number // COLUMNS) * down
        shape = path(moved(outline(ink), (1, 1), (left, top)))
        parts.append(f"<g><title>{escape(clean(described(letter)))}</title>"
                     f'<path fill-rule="evenodd" d="{shape}"/>'
                     f'<text x="{left + width / 2:.1f}" y="{top + height + LABEL - 4:.1f}">'
                     f"{escape(clean(_label(letter)))}</text></g>")  # fmt: skip
    wide, high = COLUMNS * across, rows * down
    return (
        f'<svg {SPACE} viewBox="0 0 {wide:g} {high:g}" width="{wide * 2:g}" '
        f'height="{high * 2:g}" role="img" font-family="serif" font-size="9" '
        f'text-anchor="middle"><title>{escape(clean(hand.name))}</title>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def path(curves: Sequence[Curve]) -> str:
    """The data of a path."""
    return " ".join(_closed(curve) for curve in curves)


def _closed(curve: Curve) -> str:
    start = _point(curve.pieces[0, 0])
    pieces = " ".join("C" + " ".join(map(_point, piece[1:])) for piece in curve.pieces)
    return f"M{start} {pieces} Z"


def _point(point: Sequence[float]) -> str:
    return f"{round(float(point[0]), DECIMALS):g},{round(float(point[1]), DECIMALS):g}"


def described(letter: Letter) -> str:
    """As Unicode calls it: a (LATIN SMALL LETTER A, U+0061)."""
    sign = letter.character
    name = unicodedata.name(sign, "")
    code = f"U+{ord(sign):04X}"
    return f"{letter.name} ({name}, {code})" if name else f"{letter.name} ({code})"


def _label(letter: Letter) -> str:
    sign = letter.character
    shown = f"\u25cc{letter.name}" if unicodedata.combining(sign) else letter.name
    return f"{shown} U+{ord(sign):04X}"
