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


def test_the_published_area_in_closed_form() -> None:
    score = np.array([0.1, 0.01, 0.001, -1.0])
    truth = np.array([True, False, True, True])
    # From the first threshold on one of three is found, P = 1: nothing is added for that. Then P
    # falls to 1/2 at R = 1/3, and rises to 2/3 at R = 2/3, joined by a straight line. The last is
    # below all thresholds.
    expected = (2 / 3 - 1 / 3) * (1 / 2 + 2 / 3) / 2
    assert evaluation.published_auc_pr(score, truth) == pytest.approx(expected)
    # Out of the range of the thresholds nothing is told apart: one step, or none.
    assert evaluation.published_auc_pr(1000 * score, truth) == 0
    assert evaluation.published_auc_pr(1e-9 * score, truth) == 0
    # From nothing (P = 0) to everything true at once: a triangle, not a square.
    perfect = np.where(truth, 1e-3, -1.0)
    assert evaluation.published_auc_pr(perfect, truth) == pytest.approx(1 / 2)
    for height, area in ((0.021, 0), (0.0199, 1 / 2), (2.01e-7, 1 / 2), (1.99e-7, 0)):
        found = evaluation.published_auc_pr(np.where(truth, height, -1.0), truth)
        assert found == pytest.approx(area)
    with pytest.raises(DataError, match="at least one true item"):
        evaluation.published_auc_pr(score, np.zeros(4, bool))


@pytest.mark.parametrize("seed", range(5))
def test_the_published_area_is_what_its_loop_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, truth = 10.0 ** rng.uniform(-9, 0, (5, 7)) * rng.choice([1, -1], (5, 7)), np.eye(5, 7)
    precisions, recalls = [], []
    for threshold in 2 * 10 ** (-np.linspace(2, 7, 1000)):
        marked = score > threshold
        hits = int((marked & (truth > 0)).sum())
        precisions.append(hits / marked.sum() if marked.any() else 0.0)
        recalls.append(hits / truth.sum())
    found = evaluation.published_auc_pr(score, truth > 0)
    assert found == pytest.approx(np.trapezoid(precisions, recalls))
    assert 0 <= found <= 1


def test_overlap_at_thresholds() -> None:
    score, truth = np.arange(6.0).reshape(2, 3), np.zeros((2, 3), bool)
    truth[1, 1:] = True  # 4 and 5
    found = evaluation.overlaps_above(score, truth, np.array([0.0, 4.0, 4.5, 9.0]))
    assert_allclose(found, [2 / 6, 1, 1 / 2, 0])


def test_no_half_is_measured_at_a_threshold_that_it_chose() -> None:
    # The first three are best at the first threshold, the others at the second.
    curves = np.array([[1.0, 0.2], [0.9, 0.1], [0.8, 0.0], [0.3, 0.6], [0.3, 0.7]])
    half = np.array([True, True, True, False, False])
    found = evaluation.fitted_on_the_other_half(curves, half)
    assert_allclose(found, [0.2, 0.1, 0.0, 0.3, 0.3])
    assert np.isnan(evaluation.fitted_on_the_other_half(curves, np.ones(5, bool))).all()


@given(st.integers(0, 1000), st.integers(1, 30))
def test_halves_do_not_divide_groups(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 9, count)
    half = evaluation.half_of_groups(group, rng)
    assert not set(group[half]) & set(group[~half])
    assert len(set(group[half])) == len(set(group)) // 2


def test_the_centre_is_highest_and_far_corners_are_alike() -> None:
    found = evaluation.distance_to_centre(5, 9)
    assert found[2, 4] == 0
    assert found.argmax() == 2 * 9 + 4
    assert_allclose(found, found[::-1, ::-1])
    assert found[0, 4] == pytest.approx(-0.4)  # sides count as 1, whatever the proportions
    assert found[2, 0] == pytest.approx(-4 / 9)


def test_a_group_has_no_part_in_its_own_mean_map(rng: np.random.Generator) -> None:
    maps, group = rng.normal(size=(7, 2, 3)), np.array([0, 0, 1, 2, 2, 2, 1])
    total = np.stack([maps[group == g].sum(axis=0) for g in range(3)])
    found = evaluation.mean_of_other_groups(total, np.bincount(group))
    for g in range(3):
        assert_allclose(found[g], maps[group != g].mean(axis=0))
    assert np.isnan(evaluation.mean_of_other_groups(total[:1], np.array([2]))).all()


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


def test_means_of_what_is_known(rng: np.random.Generator) -> None:
    values = rng.normal(size=30)
    bootstrap = evaluation.Bootstrap.of_groups(np.arange(30) // 2, 50, rng)
    expected = bootstrap.values(evaluation.ratio(values, np.ones(30)))
    assert_allclose(bootstrap.means(values), expected)
    values[3:] = np.nan
    found = bootstrap.means(values)
    assert found[0] == pytest.approx(values[:3].mean())
    assert np.isnan(found[1:]).any()


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


# --- shares and orders, with intervals


def wilson_ends(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre - half, centre + half


def bools(pattern: str) -> np.ndarray:
    return np.array([letter == "x" for letter in pattern])


def test_auc_counts_pairs_in_the_right_order() -> None:
    score = np.array([3.0, 2.0, 1.0, 0.0])
    assert evaluation.paired_auc(score, bools("xx..")) == 1.0
    assert evaluation.paired_auc(score, bools("..xx")) == 0.0
    assert evaluation.paired_auc(score, bools("x.x.")) == 0.75
    assert evaluation.paired_auc(np.zeros(4), bools("x.x.")) == 0.5
    assert np.isnan(evaluation.paired_auc(score, bools("....")))


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.randoms())
def test_the_auc_of_the_others_is_the_rest(values: list[int], random) -> None:
    score = np.array(values, dtype=float)
    own = np.array([random.random() < 0.5 for _ in values])
    own[0], own[-1] = True, False
    found = evaluation.paired_auc(score, own)
    assert found == pytest.approx(1 - evaluation.paired_auc(score, ~own))
    assert found == pytest.approx(1 - evaluation.paired_auc(-score, own))


def test_the_ends_of_an_auc_s_interval_solve_newcombe_s_equation() -> None:
    for value, m, n in ((0.5, 10, 30), (0.8, 25, 75), (1.0, 5, 9), (0.0, 7, 7)):
        found = evaluation.auc_interval(value, m, n)
        assert 0 <= found.low <= value <= found.high <= 1
        for end in {found.low, found.high} - {0.0, 1.0, value}:
            mean = (m + n) / 2 - 1
            spread = 1 + mean * (1 - end) / (2 - end) + mean * end / (1 + end)
            variance = end * (1 - end) * spread / (m * n)
            assert abs(value - end) == pytest.approx(1.96 * variance**0.5, abs=1e-9)
    assert evaluation.auc_interval(1.0, 5, 9).low < 0.9


def test_wilson_s_interval_has_a_width_where_nothing_was_hit() -> None:
    found = evaluation.wilson(0, 10)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1.96**2 / (10 + 1.96**2))
    assert np.isnan(evaluation.wilson(0, 0).value)


@pytest.mark.parametrize("auc", [0.0, 0.3, 0.5, 1.0])
def test_the_interval_of_one_pair_is_wilsons_of_one_trial(auc):
    found = evaluation.auc_interval(auc, 1, 1)
    np.testing.assert_allclose((found.low, found.high), wilson_ends(auc, 1), atol=1e-9)


def test_the_interval_narrows_and_mirrors():
    wide, narrow = evaluation.auc_interval(0.8, 20, 30), evaluation.auc_interval(0.8, 200, 300)
    assert wide.low < narrow.low < 0.8 < narrow.high < wide.high < 1
    mirrored = evaluation.auc_interval(0.2, 20, 30)
    np.testing.assert_allclose(
        (mirrored.low, mirrored.high), (1 - wide.high, 1 - wide.low), atol=1e-9
    )
    perfect = evaluation.auc_interval(1.0, 20, 30)
    assert 0.85 < perfect.low < 1 == perfect.high
    assert np.isnan(evaluation.auc_interval(0.8, 0, 30).low)


def test_auc_counts_pairs_of_one_fold_and_halves_ties():
    score = np.array([0.9, 0.1, 0.5, 0.5, 9.0])
    truth = np.array([True, False, True, False, False])
    fold = np.array([0, 0, 1, 1, 2])
    assert (
        evaluation.paired_auc(score, truth, fold) == 0.75
    )  # one pair right, one tied; the 9 meets nobody
    assert np.isnan(evaluation.paired_auc(score, truth, np.arange(5)))


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    p = np.array([0.04, 0.01, 0.03, 0.5])
    np.testing.assert_allclose(evaluation.q_values(p), [0.16 / 3, 0.04, 0.16 / 3, 0.5])
    assert (evaluation.q_values(p) >= p).all()


def test_holms_correction_is_the_published_one() -> None:
    found = evaluation.holm(np.array([0.01, np.nan, 0.04, 0.03]))
    assert found == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
