"""Log-odds of generated against real images: laws, and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from typika.errors import ConfigError
from typika.mining.bias import (
    BiasConfig,
    Counts,
    Coverage,
    Judgement,
    LogOdds,
    centred,
    design_effect,
    told_apart,
)


def counts(found: list[int], total: int, effect: float = 1.0) -> Counts:
    return Counts(np.array(found), total, np.full(len(found), effect))


def pairs() -> st.SearchStrategy[tuple[Counts, Counts]]:
    """Counts of the same clusters in real and in generated images."""

    def both(drawn: tuple[int, int, list[tuple[float, float]]]) -> tuple[Counts, Counts]:
        real, generated, shares = drawn
        return (
            counts([int(one * real) for one, _ in shares], real),
            counts([int(one * generated) for _, one in shares], generated),
        )

    share = st.floats(0, 1)
    return st.tuples(
        st.integers(1, 400), st.integers(1, 400),
        st.lists(st.tuples(share, share), min_size=1, max_size=12),
    ).map(both)  # fmt: skip


# --- laws ---------------------------------------------------------------------------------------


@settings(deadline=None)  # the first call imports
@given(pairs())
def test_swapping_real_and_generated_flips_every_sign(both: tuple[Counts, Counts]) -> None:
    real, generated = both
    there, back = LogOdds.of(real, generated), LogOdds.of(generated, real)
    assert (there.value == -back.value).all()
    assert np.allclose(there.error, back.error, rtol=1e-12)
    assert np.allclose(there.p, back.p)


@settings(deadline=None)  # the first call imports
@given(pairs())
def test_swapping_real_and_generated_turns_the_order_around(both: tuple[Counts, Counts]) -> None:
    there, back = LogOdds.of(*both), LogOdds.of(both[1], both[0])
    found, other = there.ranked(), back.ranked()
    assert sorted(found.tolist()) == list(range(len(there.value)))
    assert np.allclose(there.value[found], there.value[other[::-1]])  # alike where they tie


@settings(deadline=None)  # the first call imports
@given(pairs())
def test_clusters_are_ranked_by_what_their_intervals_are_sure_of(
    both: tuple[Counts, Counts],
) -> None:
    odds = LogOdds.of(*both)
    low, high = (bound[odds.ranked()] for bound in odds.interval(0.05))
    over, under = low > 0, high < 0
    assert (np.diff(low[over]) <= 0).all()
    assert (np.diff(high[under]) <= 0).all()
    groups = over.astype(int) - under
    assert (np.diff(groups) <= 0).all()


@settings(deadline=None)  # the first call imports
@given(pairs())
def test_the_same_counts_have_log_odds_of_zero(both: tuple[Counts, Counts]) -> None:
    odds = LogOdds.of(both[0], both[0])
    assert (odds.value == 0).all()
    assert Judgement.of(odds, both[0].found, 0.05).verdict == ("not shown",) * len(odds.value)


@settings(deadline=None)  # the first call imports
@given(pairs(), st.sampled_from([0.01, 0.05, 0.2]))
def test_a_verdict_stands_where_the_widened_interval_excludes_zero(
    both: tuple[Counts, Counts], alpha: float
) -> None:
    odds = LogOdds.of(*both)
    found = Judgement.of(odds, both[1].found, alpha)
    excludes = (found.widened_low > 0) | (found.widened_high < 0)
    assert [verdict != "not shown" for verdict in found.verdict] == excludes.tolist()
    for verdict, value, drawn in zip(found.verdict, odds.value, both[1].found, strict=True):
        if verdict != "not shown":
            assert (verdict == "overdrawn") == (value > 0)
            assert (verdict == "never drawn") == (value < 0 and drawn == 0)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    for rate_real, rate_generated in ((0.1, 0.1), (0.5, 0.2), (0.05, 0.3)):
        real = counts(rng.binomial(150, rate_real, 4000).tolist(), 150)
        generated = counts(rng.binomial(100, rate_generated, 4000).tolist(), 100)
        low, high = LogOdds.of(real, generated).interval(0.05)
        truth = math.log(rate_generated / (1 - rate_generated) / rate_real * (1 - rate_real))
        assert 0.94 <= ((low <= truth) & (truth <= high)).mean() <= 0.99


def test_where_nothing_differs_few_are_called() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(400):
        real, generated = (counts(rng.binomial(100, 0.2, 20).tolist(), 100) for _ in range(2))
        found = Judgement.of(LogOdds.of(real, generated), generated.found, 0.05)
        wrong += set(found.verdict) != {"not shown"}
    assert wrong / 400 <= 0.05


@settings(deadline=None)  # the first call imports
@given(st.integers(2, 6), st.integers(3, 30))
def test_copies_count_once(copies: int, n_units: int) -> None:
    """Every unit m times over: the variance of a count is m times that of independent images."""
    present = np.random.default_rng([copies, n_units]).random((n_units, 4)) < 0.5
    unit = np.arange(n_units)
    assert np.allclose(design_effect(present, unit), 1)
    assert np.allclose(design_effect(np.repeat(present, copies, axis=0),
                                     np.repeat(unit, copies)), copies)  # fmt: skip


def test_copies_do_not_narrow_the_interval() -> None:
    present = np.arange(40)[:, None] < np.array([0, 4, 20])
    once = Counts.of(present, np.arange(40))
    thrice = Counts.of(np.repeat(present, 3, axis=0), np.repeat(np.arange(40), 3))
    other = counts([10, 10, 10], 40)
    assert np.allclose(LogOdds.of(thrice, other).error, LogOdds.of(once, other).error)


def test_a_look_that_a_whole_origin_has_is_taken_off() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(80, 5))
    origin, label = np.repeat([0, 1], 40), np.tile([0, 1], 40)
    random = np.tile([True, True, False, False], 20)
    shifted = features + np.where(origin == 1, 3.0, 0.0)[:, None]
    plain = centred(features, origin, label, random)
    assert np.allclose(centred(shifted, origin, label, random), plain)
    for one in (0, 1):
        means = [plain[random & (origin == one) & (label == number)].mean(axis=0)
                 for number in (0, 1)]  # fmt: skip
        assert np.allclose(np.mean(means, axis=0), 0)


def test_a_probe_tells_what_differs_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    generated = np.arange(120) % 2 == 1
    same = rng.normal(size=(120, 6))
    found = told_apart(same, generated, np.arange(120), 0)
    assert found.low < 0.5 < found.high
    other = told_apart(same + 2 * generated[:, None], generated, np.arange(120), 0)
    assert other.low > 0.9


# --- closed forms -------------------------------------------------------------------------------


def test_log_odds_by_hand() -> None:
    odds = LogOdds.of(counts([5, 18], 20), counts([12, 0], 30))
    assert np.allclose(
        odds.value,
        [math.log(12.5 * 15.5 / (18.5 * 5.5)), math.log(0.5 * 2.5 / (30.5 * 18.5))],
    )
    assert np.allclose(
        odds.error**2,
        [1 / 12.5 + 1 / 18.5 + 1 / 5.5 + 1 / 15.5, 1 / 0.5 + 1 / 30.5 + 1 / 18.5 + 1 / 2.5],
    )
    low, high = odds.interval(0.05)
    assert np.allclose((high - low) / (2 * odds.error), 1.959964)


def test_a_large_estimate_of_few_images_is_not_the_first() -> None:
    """Bounds: +1 - 0.98 and +3 - 3.92, which holds 0; -2 + 0.98 and -3 + 3.92."""
    odds = LogOdds(np.array([3.0, 1.0, 0.1, -3.0, -2.0]), np.array([2.0, 0.5, 0.5, 2.0, 0.5]))
    assert odds.ranked().tolist() == [1, 0, 2, 3, 4]
    assert np.allclose(odds.sure, [0, 1 - 0.979982, 0, 0, -2 + 0.979982])


def test_correction_by_hand() -> None:
    """Five clusters, one with z = 3: R = 1 of 5 called, its interval at level 0.05 / 5."""
    odds = LogOdds(np.array([3.0, 0.5, -0.5, 0.1, 0.0]), np.ones(5))
    found = Judgement.of(odds, np.array([9, 1, 1, 1, 1]), 0.05)
    assert found.verdict == ("overdrawn", *["not shown"] * 4)
    assert np.isclose(found.widened_low[0], 3 - 2.575829)
    assert np.isclose(found.q[0], 5 * 0.0026998, rtol=1e-4)


def test_the_greatest_design_effect_where_all_are_alike() -> None:
    """Units of 3 and 1 images that all have it: Σ m² / Σ m = 10 / 4."""
    assert np.allclose(design_effect(np.ones((4, 1), bool), np.array([7, 7, 7, 2])), 2.5)


def test_coverage_by_hand() -> None:
    """Of three clusters that two real images or more have, two are drawn."""
    found = Coverage.of(counts([5, 1, 8, 2], 10), counts([1, 3, 0, 2], 4), least=2)
    assert (found.clusters, found.drawn) == (3, 2)
    assert np.isclose(found.share.value, 2 / 3)
    assert found.share.low < 2 / 3 < found.share.high
    assert np.isclose(found.expected, np.mean([1 - 0.5**4, 1 - 0.2**4, 1 - 0.8**4]))


def test_coverage_of_nothing() -> None:
    found = Coverage.of(counts([1], 10), counts([1], 10), least=2)
    assert (found.clusters, found.drawn) == (0, 0)
    assert math.isnan(found.share.value)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_a_level_that_cannot_be_is_named(alpha: float) -> None:
    with pytest.raises(ConfigError, match=f"alpha={alpha}: need a share"):
        BiasConfig(alpha=alpha)
