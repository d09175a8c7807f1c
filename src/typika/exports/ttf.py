"""A hand as a TrueType font: quadratic outlines, one baseline, advances and kerning as written.

Legend: `K` letters. Lengths are units of the font, `UNITS` to the height of a line.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping

from fontTools.feaLib.builder import addOpenTypeFeaturesFromString
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen

from typika import __version__
from typika.errors import DataError
from typika.exports.hand import Hand, Setting, Stand, is_mark
from typika.exports.outlines import Curve, moved, outline
from typika.palaeography.records import Letter

UNITS = 2048  # to the height of a line, which is the em
EXACT = 0.5  # units that quadratic curves may be off the cubic ones
SPACE, NO_BREAK_SPACE, SPACE_NAME = 0x20, 0xA0, "space"
MISSING = ".notdef"
MADE = 3_029_529_600  # 2000-01-01 in seconds from 1904: a font's bytes depend on its letters alone
MOST_NAME = 60  # characters
STYLE = "Regular"

# A glyph's advance and left side bearing.
Metrics = dict[str, tuple[int, int]]


def ttf(hand: Hand, setting: Setting) -> bytes:
    """The font of a hand; letters without ink are left out.

    Raises:
        DataError: no letter has ink.
    """
    unit = UNITS / setting.height
    curves = {letter: found for letter, ink in zip(hand.letters, hand.ink, strict=True)
              if not letter.character.isspace() and (found := outline(ink))}  # fmt: skip
    if not curves:
        raise DataError(f"{hand.name}: no letter has ink, so there is nothing to make a font of")
    names = glyph_names(curves)
    glyphs = {MISSING: _missing(setting, unit), SPACE_NAME: TTGlyphPen(None).glyph()}
    advances = {MISSING: UNITS // 2, SPACE_NAME: round(setting.space * unit)}
    for letter, found in curves.items():
        stand = setting.stands[letter]
        glyphs[names[letter]] = _glyph(found, stand, setting.baseline, unit)
        advances[names[letter]] = round(stand.advance * unit)
    builder = FontBuilder(UNITS, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap(_characters(names))
    builder.setupGlyf(glyphs)
    built = builder.font["glyf"]
    builder.setupHorizontalMetrics(
        {name: (advance, getattr(built[name], "xMin", 0)) for name, advance in advances.items()}
    )
    _describe(builder, hand.name, setting, unit, names)
    if features := _features(setting, names, unit):
        addOpenTypeFeaturesFromString(builder.font, features)
    builder.font.recalcTimestamp = False
    buffer = io.BytesIO()
    builder.save(buffer)
    return buffer.getvalue()


def glyph_names(letters: Mapping[Letter, object]) -> dict[Letter, str]:
    """uni0061, beyond the basic plane u1F600; of a second form uni0061.alt1."""
    return {
        letter: (f"uni{code:04X}" if (code := ord(letter.character)) <= 0xFFFF else f"u{code:05X}")
        + (f".alt{letter.form}" if letter.form else "")
        for letter in letters
    }


def _characters(names: Mapping[Letter, str]) -> dict[int, str]:
    """The glyph of each code point: the first form that has ink."""
    found = {SPACE: SPACE_NAME, NO_BREAK_SPACE: SPACE_NAME}
    for letter in sorted(names, reverse=True):
        found[ord(letter.character)] = names[letter]
    return found


def _glyph(curves: tuple[Curve, ...], stand: Stand, baseline: float, unit: float) -> object:
    """Outlines in units of the font, y upwards from the baseline."""
    across, down = stand.scale
    left, top = stand.box[0], stand.box[1]
    start = stand.left if stand.after is None else stand.after
    scale = (across * unit, -down * unit)
    shift = ((start - left * across) * unit, (baseline - stand.top + top * down) * unit)
    pen = TTGlyphPen(None)
    # Turned over, what is clockwise on the line stays so: as TrueType wants it around ink.
    quadratic = Cu2QuPen(pen, EXACT)
    for curve in moved(curves, scale, shift):
        quadratic.moveTo(tuple(curve.pieces[0, 0].tolist()))
        for piece in curve.pieces:
            quadratic.curveTo(*(tuple(point) for point in piece[1:].tolist()))
        quadratic.closePath()
    return pen.glyph()


def _missing(setting: Setting, unit: float) -> object:
    """An empty box: what stands for a character that the hand does not have."""
    high, wide, stroke = round(setting.baseline * unit * 0.7), UNITS // 2, UNITS // 40
    pen = TTGlyphPen(None)
    for inset, order in ((stroke, 1), (2 * stroke, -1)):
        corners = [(inset, inset - stroke), (inset, high - inset), (wide - inset, high - inset),
                   (wide - inset, inset - stroke)][::order]  # fmt: skip
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
    return pen.glyph()


def _describe(
    builder: FontBuilder, name: str, setting: Setting, unit: float, names: Mapping[Letter, str]
) -> None:
    """The tables that say what the font is called and how high it is."""
    ascent = round(setting.baseline * unit)
    descent = round((setting.height - setting.baseline) * unit)
    family = family_name(name)
    builder.setupHorizontalHeader(ascent=ascent, descent=-descent)
    builder.setupNameTable(
        {
            "familyName": family,
            "styleName": STYLE,
            "uniqueFontIdentifier": f"typika {__version__}: {family}",
            "fullName": family,
            "version": "Version 1.000",
            "psName": postscript_name(family),
        },
        mac=False,
    )
    glyf = builder.font["glyf"]

    def top(character: str) -> int:
        glyph = names.get(Letter(character))
        return int(getattr(glyf[glyph], "yMax", 0)) if glyph else 0

    builder.setupOS2(
        sTypoAscender=ascent, sTypoDescender=-descent, sTypoLineGap=0, usWinAscent=max(ascent, 0),
        usWinDescent=max(descent, 0), sxHeight=max(top("x"), 0), sCapHeight=max(top("H"), 0),
    )  # fmt: skip
    builder.setupPost()
    builder.updateHead(created=MADE, modified=MADE, fontRevision=1.0)


def family_name(name: str) -> str:
    """A name that font menus can show: no control characters, no surrogates, not too long."""
    seen = "".join(sign if unicodedata.category(sign)[0] != "C" else " " for sign in name)
    return " ".join(seen.split())[:MOST_NAME].strip() or "typika"


def postscript_name(family: str) -> str:
    """ASCII letters, digits and hyphens, as PostScript's names have to be."""
    plain = unicodedata.normalize("NFKD", family).encode("ascii", "ignore").decode("ascii")
    return f"{re.sub('[^A-Za-z0-9]+', '', plain) or 'typika'}-{STYLE}"


def _features(setting: Setting, names: Mapping[Letter, str], unit: float) -> str:
    """Kerning, further forms, and which glyphs are marks, as a feature file."""
    parts = []
    kerns = [f"  pos {names[one]} {names[other]} {round(kern * unit)};"
             for (one, other), kern in sorted(setting.kerning.items())
             if one in names and other in names]  # fmt: skip
    if kerns:
        parts += ["feature kern {", *kerns, "} kern;"]
    forms: dict[str, list[str]] = {}
    for letter in sorted(names):
        forms.setdefault(letter.character, []).append(names[letter])
    further = [f"  sub {first} from [{' '.join(others)}];"
               for first, *others in forms.values() if others]  # fmt: skip
    if further:
        parts += ["feature salt {", *further, "} salt;"]
    marks = [name for letter, name in names.items() if is_mark(letter.character)]
    if marks:
        bases = [name for letter, name in names.items() if not is_mark(letter.character)]
        parts += ["table GDEF {",
                  f"  GlyphClassDef [{' '.join(bases)}], , [{' '.join(marks)}], ;",
                  "} GDEF;"]  # fmt: skip
    return "\n".join(parts)
