"""Sprites as outlines, drawings and fonts, and how letters follow each other."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from typika.collection.rendered_lines import Typeface
from typika.errors import DataError
from typika.exports import svg
from typika.exports.hand import Hand, setting
from typika.exports.outlines import Curve, area, binary, contours, outline
from typika.exports.ttf import UNITS, family_name, postscript_name, ttf
from typika.palaeography.records import Letter

HEIGHT, WIDTH = 64, 48
BASELINE = 44
TEXT = "the quick brown fox jumps over the lazy dog"
SHORT = "lion men grow green limes"
LEFT, RIGHT, SPACE, KERN = 1.5, 2.5, 14.0, -3.0


def glyph(character: str) -> np.ndarray:
    """A letter of print in the frame of a sprite, with its feet on the baseline."""
    face = Typeface("times", HEIGHT)
    found = face.glyph(character)
    frame = np.zeros((HEIGHT, WIDTH))
    height, width = found.ink.shape
    top, left = round(BASELINE + found.top), (WIDTH - width) // 2
    frame[top : top + height, left : left + width] = found.ink
    return frame


def box(ink: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom of the ink from the middle, as `ink_extents` gives them."""
    rows, columns = np.flatnonzero(binary(ink).any(1)), np.flatnonzero(binary(ink).any(0))
    return np.array([columns[0] - WIDTH / 2, rows[0] - HEIGHT / 2,
                     columns[-1] + 1 - WIDTH / 2, rows[-1] + 1 - HEIGHT / 2])  # fmt: skip


def hand(characters: str, name: str = "hand") -> Hand:
    ink = np.stack([glyph(one) for one in characters])
    return Hand(name=name, letters=tuple(map(Letter, characters)), ink=ink, reference=ink)


def written(own: Hand, texts: list[str]) -> list[dict]:
    """Characters set with known sides, space and one kerned pair, as rows of a table."""
    boxes = {letter.character: box(ink) for letter, ink in zip(own.letters, own.ink, strict=True)}
    rows = []
    for number, text in enumerate(texts):
        pen, before = 5.0, ""
        for place, one in enumerate(text):
            row = {"line_id": str(number), "place": place, "cell": place, "character": one,
                   "sprite": 0}  # fmt: skip
            if one == " ":
                rows.append(row | dict.fromkeys(("left", "top", "right", "bottom"), pen))
                pen += SPACE
            else:
                left, top, right, bottom = boxes[one]
                pen += LEFT + (KERN if before + one == "ox" else 0.0)
                sides = {"left": pen, "right": pen + right - left}
                heights = {"top": top + HEIGHT / 2, "bottom": bottom + HEIGHT / 2}
                rows.append(row | sides | heights)
                pen += right - left + RIGHT
            before = one
    return rows


@pytest.fixture(scope="module")
def latin() -> Hand:
    return hand("abcdefghijklmnopqrstuvwxyz")


@pytest.fixture(scope="module")
def few() -> Hand:
    """A hand of few letters, but of every kind of outline: to make a font takes long."""
    return hand("".join(sorted(set(SHORT) - {" "})))


@pytest.fixture(scope="module")
def font(few: Hand) -> bytes:
    return ttf(few, of(few, [SHORT] * 9))


def of(own: Hand, texts: list[str]):
    return setting(own, np.stack([box(ink) for ink in own.ink]), written(own, texts), HEIGHT)


# Outlines


def test_ink_is_run_around_one_way_and_holes_the_other() -> None:
    y, x = np.mgrid[:40, :40]
    radius = np.hypot(x - 19.5, y - 19.5)
    ring = np.clip(12.5 - radius, 0, 1) * np.clip(radius - 5.5, 0, 1)
    outer, hole = contours(ring)
    assert area(outer) == pytest.approx(np.pi * 12**2, rel=0.01)
    assert area(hole) == pytest.approx(-np.pi * 6**2, rel=0.02)
    curves = outline(ring)
    distance = np.hypot(*(curves[0].pieces.reshape(-1, 4, 2)[:, 0] - 20).T)
    np.testing.assert_allclose(distance, 12, atol=0.1)
    # Smooth: handles on either side of a point lie on one line.
    for before, after in zip(np.roll(curves[0].pieces, 1, axis=0), curves[0].pieces, strict=True):
        one, other = before[3] - before[2], after[1] - after[0]
        assert one @ other > 0.999 * np.hypot(*one) * np.hypot(*other)


def test_ink_at_the_edge_is_closed_and_specks_are_dropped() -> None:
    ink = np.zeros((20, 10))
    ink[:, :4] = 0.8
    ink[10, 8] = 0.8
    (found,) = contours(ink)
    assert area(found) == pytest.approx(80, rel=0.03)
    assert outline(np.zeros((20, 10))) == ()


def test_drawings_are_named_safely_and_escape_everything() -> None:
    own = hand("a<")
    both = (Letter("<"), Letter("<", 1))
    drawings = svg.letters(Hand(name="<b>", letters=both, ink=own.ink, reference=own.ink))
    assert sorted(drawings) == ["U+003C-2.svg", "U+003C.svg"]
    for text in (*drawings.values(), svg.sheet(own)):
        root = ElementTree.fromstring(text)
        for path in root.iter("{http://www.w3.org/2000/svg}path"):
            assert path.get("fill-rule") == "evenodd"
            assert path.get("d").count("M") >= 1
            assert set(path.get("d")) <= set("MCZ-.,0123456789 e")


# Setting


def test_sides_space_and_kerning_are_those_that_letters_were_set_with(latin: Hand) -> None:
    found = of(latin, [TEXT] * 9)
    assert found.baseline == pytest.approx(BASELINE, abs=1)
    assert found.space == pytest.approx(SPACE, abs=0.5)
    for letter in map(Letter, "hequickbrwnpsl"):
        stand, ink = found.stands[letter], box(glyph(letter.character))
        width = ink[2] - ink[0]
        assert stand.scale == pytest.approx((1, 1))
        assert stand.advance == pytest.approx(LEFT + width + RIGHT, abs=0.8)
    for one, other in ("th", "qu", "ro"):
        gap = found.stands[Letter(one)].right + found.stands[Letter(other)].left
        assert gap == pytest.approx(LEFT + RIGHT, abs=0.5)


def test_a_frequent_pair_that_is_closer_is_kerned() -> None:
    own = hand("oxen")
    texts = ["oxen", "on", "no", "xe", "nx", "eo", "ex", "oe", "en", "xo"] * 9
    found = of(own, texts)
    assert found.kerning == {(Letter("o"), Letter("x")): pytest.approx(KERN, abs=0.5)}
    kerned = TTFont(io.BytesIO(ttf(own, found)))
    assert "kern" in {
        record.FeatureTag for record in kerned["GPOS"].table.FeatureList.FeatureRecord
    }


def test_a_mark_stands_on_its_letter_and_does_not_move_the_pen() -> None:
    own = hand("an\u0303")
    rows = [row | {"line_id": f"{number}"} for number in range(3)
            for row in written(own, ["an"])]  # fmt: skip
    marks = [{**row, "character": "\u0303", "place": row["place"] + 0.5, "cell": 99,
              "left": row["left"] + 3, "right": row["left"] + 12, "top": 5.0, "bottom": 9.0}
             for row in rows if row["character"] == "n"]  # fmt: skip
    found = setting(own, np.stack([box(ink) for ink in own.ink]), rows + marks, HEIGHT)
    mark, base = found.stands[Letter("\u0303")], found.stands[Letter("n")]
    assert mark.advance == 0
    assert mark.after == pytest.approx(3 - base.width - base.right, abs=0.01)
    made = TTFont(io.BytesIO(ttf(own, found)))
    assert made["hmtx"]["uni0303"][0] == 0
    assert made["GDEF"].table.GlyphClassDef.classDefs["uni0303"] == 3


def test_without_neighbours_letters_have_sides_all_the_same() -> None:
    own = hand("ab")
    found = of(own, ["a", "b"])
    assert all(stand.advance > stand.width for stand in found.stands.values())
    assert ttf(own, found)


# Fonts


def rendered(data: bytes, character: str, left: float, finer: int) -> np.ndarray:
    """A letter in the frame of its sprite, `finer` times as large, ink in [0, 1]."""
    face = ImageFont.truetype(io.BytesIO(data), HEIGHT * finer)
    image = Image.new("L", (WIDTH * finer, HEIGHT * finer), 0)
    place = (left * finer, BASELINE * finer)
    ImageDraw.Draw(image).text(place, character, font=face, fill=255, anchor="ls")
    return np.asarray(image) / 255


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_letters_render_back(few: Hand, font: bytes) -> None:
    """Against the sprite, and against the sprite enlarged, where its grid does not matter."""
    found = of(few, [SHORT] * 9)
    finer, same, fine = 8, [], []
    for letter, ink in zip(few.letters, few.ink, strict=True):
        stand = found.stands[letter]
        left = round((stand.box[0] - stand.left) * finer) / finer
        image = rendered(font, letter.character, left, finer)
        # The baseline that was found is not a whole pixel.
        image = ndimage.shift(image, (round((found.baseline - BASELINE) * finer), 0), order=0)
        large = ndimage.zoom(ink, finer, order=1, mode="grid-constant", grid_mode=True)
        fine.append(overlap(image >= 0.5, binary(large)))
        small = image.reshape(HEIGHT, finer, WIDTH, finer).mean((1, 3))
        same.append(overlap(small >= 0.5, binary(ink)))
    assert min(fine) >= 0.9
    assert np.mean(same) >= 0.9


def test_the_font_is_whole_and_the_same_each_time(few: Hand, font: bytes) -> None:
    assert ttf(few, of(few, [SHORT] * 9)) == font
    made = TTFont(io.BytesIO(font))
    for table in sorted(made.keys()):
        assert made[table] is not None
    assert made["head"].unitsPerEm == UNITS
    assert {ord(one) for one in SHORT} | {0xA0} == set(made.getBestCmap())
    assert made["hmtx"]["space"][0] == pytest.approx(SPACE * UNITS / HEIGHT, rel=0.05)
    assert made.getGlyphOrder()[0] == ".notdef"
    bottoms = [made["glyf"][f"uni{ord(one):04X}"].yMin for one in "nmilr"]
    assert max(map(abs, bottoms)) < UNITS / HEIGHT * 1.5
    # TrueType: clockwise around ink, with y upwards.
    points, ends, _ = made["glyf"]["uni006F"].getCoordinates(made["glyf"])
    outer, hole = np.array(points[: ends[0] + 1], float), np.array(points[ends[0] + 1 :], float)
    assert area(outer) < 0 < area(hole)


def test_further_forms_and_characters_beyond_the_basic_plane() -> None:
    letters = (Letter("a"), Letter("a", 1), Letter("\U0001f600"))
    ink = np.stack([glyph(one) for one in "abc"])
    own = Hand(name="forms", letters=letters, ink=ink, reference=ink)
    made = TTFont(io.BytesIO(ttf(own, of_forms(own))))
    assert made.getBestCmap()[0x61] == "uni0061"
    assert made.getBestCmap()[0x1F600] == "u1F600"
    assert made["GSUB"].table.LookupList.Lookup[0].SubTable[0].alternates == {
        "uni0061": ["uni0061.alt1"]
    }


def of_forms(own: Hand):
    return setting(own, np.stack([box(ink) for ink in own.ink]), [], HEIGHT)


@pytest.mark.parametrize(
    "name", ["", "../../x", "<b>&", "a\x00b\ud800", "é" * 500, "שלום", "';--"]
)
def test_hostile_names_make_fonts_that_open(name: str) -> None:
    own = hand("a", name)
    made = TTFont(io.BytesIO(ttf(own, of_forms(own))))
    assert made["name"].getBestFamilyName() == family_name(name)
    assert 1 <= len(family_name(name)) <= 60
    assert postscript_name(family_name(name)).isascii()
    assert made["name"].getDebugName(6).replace("-", "").isalnum()


def test_a_hand_without_ink_is_no_font() -> None:
    blank = np.zeros((1, HEIGHT, WIDTH))
    own = Hand(name="blank", letters=(Letter("a"),), ink=blank, reference=blank)
    with pytest.raises(DataError, match="no letter has ink"):
        ttf(own, setting(own, np.zeros((1, 4)), [], HEIGHT))


def test_a_curve_is_what_it_says() -> None:
    (curve,) = outline(np.pad(np.ones((6, 6)), 3))
    assert isinstance(curve, Curve)
    np.testing.assert_array_equal(curve.pieces[:, 3], np.roll(curve.pieces[:, 0], -1, axis=0))
