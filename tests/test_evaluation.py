from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import average_precision_score

from typika import evaluation
from typika.errors import DataError


@given(st.integers(0, 10_000), st.integers(2, 60), st.booleans())
def test_average_precision_equals_the_library(seed: int, count: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.4
    truth[0] = True
    score = rng.integers(0, 4, count).astype(float) if ties else rng.normal(size=count)
    expected = average_precision_score(truth, score)
    assert_allclose(evaluation.average_precision(score, truth), expected)


def test_constant_scores_give_the_share_of_true_items() -> None:
    truth = np.array([True, False, False, False])
    assert evaluation.average_precision(np.zeros(4), truth) == pytest.approx(0.25)


def test_without_truth_there_is_no_average_precision() -> None:
    with pytest.raises(DataError, match="at least one true item"):
        evaluation.average_precision(np.zeros(3), np.zeros(3, bool))


def test_pointing_and_area() -> None:
    truth = np.zeros((4, 4), bool)
    truth[1, 2] = True
    score = np.zeros((4, 4))
    score[1, 2] = 1
    assert evaluation.pointing_hit(score, truth)
    assert not evaluation.pointing_hit(-score, truth)
    assert evaluation.area_fraction(truth) == 1 / 16


def test_mask_of_boxes_is_exclusive_on_the_right() -> None:
    mask = evaluation.boxes_mask(4, 5, [(1, 0, 3, 2), (-2, 3, 1, 9)])
    assert mask.sum() == 4 + 1
    assert mask[0, 1]
    assert not mask[0, 3]


def test_overlap_is_a_share_of_the_second_box() -> None:
    assert evaluation.overlap_share((0, 0, 10, 10), (5, 0, 15, 10)) == 0.5
    assert evaluation.overlap_share((0, 0, 1, 1), (5, 5, 6, 6)) == 0.0
