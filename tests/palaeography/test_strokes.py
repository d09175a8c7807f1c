"""Breadth and slant of strokes: closed forms on drawn bars."""

from __future__ import annotations

import numpy as np
import pytest
from planted_letters import glyph
from scipy import ndimage

from typika.palaeography.strokes import slant, stroke_breadth


def bar(width: int, height: int = 40) -> np.ndarray:
    ink = np.zeros((64, 48))
    ink[10 : 10 + height, 16 : 16 + width] = 1
    return ink


@pytest.mark.parametrize("width", [3, 4, 7, 10])
def test_the_breadth_of_a_bar_is_its_width(width: int) -> None:
    assert stroke_breadth(bar(width)) == pytest.approx(width, abs=0.3)
    assert stroke_breadth(bar(width).T) == pytest.approx(width, abs=0.3)
    assert stroke_breadth(0.4 * bar(width)) == pytest.approx(width, abs=0.3)


def test_breadth_moves_with_the_letter_and_grows_with_it() -> None:
    letter = glyph("n")
    breadth = stroke_breadth(letter)
    assert stroke_breadth(np.roll(letter, (3, -4), (0, 1))) == pytest.approx(breadth)
    twice = np.kron(letter, np.ones((2, 2)))
    assert stroke_breadth(twice) == pytest.approx(2 * breadth, rel=0.1)
    assert np.isnan(stroke_breadth(np.zeros((8, 8))))


@pytest.mark.parametrize("degrees", [-15, 0, 10, 20])
def test_a_sheared_bar_leans_by_its_angle(degrees: int) -> None:
    rows, columns = np.indices((64, 48))
    leaning = np.tan(np.radians(degrees))
    ink = ndimage.map_coordinates(bar(6), [rows, columns + leaning * (rows - 32)], order=1)
    assert slant(ink) == pytest.approx(degrees, abs=1.5)


def test_a_level_bar_has_no_slant_of_its_own() -> None:
    assert np.isnan(slant(np.zeros((20, 20))))
    assert abs(slant(bar(4).T)) < 1
