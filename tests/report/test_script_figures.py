from __future__ import annotations

import numpy as np
import pytest

from typika.report.script_figures import FIRST, SECOND, difference_colours


def test_equal_is_white_and_each_group_has_its_hue() -> None:
    colours = difference_colours(np.array([[0.0, 1.0, -1.0]]), np.ones((1, 3), bool))
    assert colours[0, 0] == pytest.approx([1, 1, 1])
    assert colours[0, 1] == pytest.approx(np.array(SECOND) / 255)
    assert colours[0, 2] == pytest.approx(np.array(FIRST) / 255)


def test_what_is_not_significant_is_paler_and_of_the_same_hue() -> None:
    pale, full = difference_colours(np.array([[0.8, 0.8]]), np.array([[False, True]]))[0]
    assert (pale >= full).all()
    assert (1 - pale) / (1 - pale).max() == pytest.approx((1 - full) / (1 - full).max())
