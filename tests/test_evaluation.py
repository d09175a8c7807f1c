from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import adjusted_rand_score, average_precision_score

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


# --------------------------------------------------------------------- agreement of two answers


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(corners, dtype=float)


def test_intersection_over_union_in_closed_form() -> None:
    square = boxes((0, 0, 10, 10))
    others = boxes((0, 0, 10, 10), (5, 0, 15, 10), (0, 0, 5, 5), (10, 0, 20, 10), (3, 3, 3, 9))
    expected = [1, 50 / 150, 25 / 100, 0, 0]
    assert_allclose(evaluation.intersection_over_union(square, others), [expected])
    empty = np.zeros((0, 4))
    assert evaluation.intersection_over_union(empty, others).shape == (0, 5)


@given(st.integers(0, 10_000))
def test_overlaps_do_not_depend_on_order_place_or_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 20, (2, 3, 2))
    pair = np.concatenate([corner, corner + rng.integers(1, 15, (2, 3, 2))], axis=2)
    found = evaluation.intersection_over_union(pair[0], pair[1])
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert_allclose(found, evaluation.intersection_over_union(pair[1], pair[0]).T)
    moved = 3.0 * pair + np.array([5, 7, 5, 7])
    assert_allclose(found, evaluation.intersection_over_union(moved[0], moved[1]))


@given(st.integers(0, 10_000), st.integers(2, 40))
def test_adjusted_rand_equals_the_library(seed: int, count: int) -> None:
    first, second = np.random.default_rng(seed).integers(0, 4, (2, count))
    found = evaluation.adjusted_rand(first, second)
    assert found == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)
    assert evaluation.adjusted_rand(first, (first + 1) % 4) == pytest.approx(1)


def test_copies_of_an_item_do_not_make_groupings_alike(rng: np.random.Generator) -> None:
    first, second = rng.integers(0, 4, (2, 400))
    times = np.bincount(rng.integers(400, size=400), minlength=400)
    copied = adjusted_rand_score(np.repeat(first, times), np.repeat(second, times))
    assert evaluation.adjusted_rand(first, second, times) < copied
    assert abs(evaluation.adjusted_rand(first, second, times)) < 0.02
    assert np.isnan(evaluation.adjusted_rand(first, second, np.eye(1, 400, dtype=int)[0]))


@given(st.integers(0, 10_000), st.integers(3, 40), st.booleans())
def test_correlations_equal_the_library(seed: int, count: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    pair = rng.integers(0, 5, (2, count)).astype(float) if ties else rng.normal(size=(2, count))
    pair[:, :2] = [[0, 9], [9, 0]]  # neither is constant
    for own, library in (
        (evaluation.rank_correlation, spearmanr),
        (evaluation.correlation, pearsonr),
    ):
        assert own(pair[0], pair[1]) == pytest.approx(library(*pair).statistic, abs=1e-9)


def test_rank_correlation_in_closed_form() -> None:
    values = np.array([0.1, 5, 20, 300])
    assert evaluation.rank_correlation(values, np.exp(-values)) == pytest.approx(-1)
    assert evaluation.rank_correlation(values, np.array([1, 2, 4, 3])) == pytest.approx(0.8)
    assert np.isnan(evaluation.rank_correlation(values, np.zeros(4)))
    assert np.isnan(evaluation.rank_correlation(values[:2], values[:2]))


def test_an_interval_covers_the_mean_as_often_as_it_says(rng: np.random.Generator) -> None:
    covered = 0
    for _ in range(100):
        values = rng.normal(size=60)
        bootstrap = evaluation.Bootstrap.of_groups(np.arange(60), 200, rng)
        found = evaluation.Estimate.of(bootstrap.values(evaluation.ratio(values, np.ones(60))))
        assert found.value == pytest.approx(values.mean())
        covered += found.low <= 0 <= found.high
    assert covered >= 86


def test_groups_are_drawn_whole(rng: np.random.Generator) -> None:
    group = np.repeat(np.arange(12), 5)
    bootstrap = evaluation.Bootstrap.of_groups(group, 100, rng)
    assert (bootstrap.times[0] == 1).all()
    assert (bootstrap.times == np.repeat(bootstrap.times[:, ::5], 5, axis=1)).all()
    assert (bootstrap.times.sum(axis=1) == 60).all()
    values = np.repeat(rng.normal(size=12), 5)  # five copies say no more than one
    single = evaluation.Bootstrap.of_groups(np.arange(60), 100, rng)
    mean = evaluation.ratio(values, np.ones(60))
    spread = [np.ptp(one.values(mean)[1:]) for one in (bootstrap, single)]
    assert spread[0] > 1.5 * spread[1]


def test_one_group_gives_no_interval(rng: np.random.Generator) -> None:
    bootstrap = evaluation.Bootstrap.of_groups(np.zeros(9, int), 100, rng)
    found = evaluation.Estimate.of(bootstrap.values(evaluation.median(np.arange(9.0))))
    assert found.value == 4
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_medians_leave_out_what_is_unknown() -> None:
    values = np.array([1.0, np.nan, 3.0, 8.0])
    assert evaluation.median(values)(np.array([1, 1, 1, 1])) == 3
    assert evaluation.median(values)(np.array([0, 3, 1, 1])) == 5.5
    assert np.isnan(evaluation.median(values)(np.array([0, 3, 0, 0])))
