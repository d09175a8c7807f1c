from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from documents import documents
from scipy import stats

from typika.palaeography import seriation, trees
from typika.palaeography.units import ComparisonConfig, Means, Units

CONFIG = ComparisonConfig(draws=60, permutations=499)
YEARS = [800 + 20 * d for d in range(14)]


def drifting(seed: int, amount: float, letters: int = 5) -> tuple[Units, list[Means]]:
    """Documents whose first two letters change with time, and vary otherwise."""
    units, means = documents(seed, n_letters=letters)
    rng = np.random.default_rng(seed)
    for k in range(2):
        way = rng.normal(size=means[k].value.shape[1])
        way /= np.linalg.norm(way)
        change = (np.arange(14) - 6.5)[:, None] * amount * way
        means[k] = replace(means[k], value=means[k].value + change)
    return units, means


def found(seed: int, amount: float, written: list[str]) -> seriation.Seriation:
    units, means = drifting(seed, amount)
    result = seriation.seriation(units, means, trees.apart(means), written, CONFIG)
    assert result is not None
    return result


def test_letters_that_change_with_time_are_put_in_its_order_and_named() -> None:
    result = found(0, 3.0, [str(year) for year in YEARS])
    rho, low, high = result.spearman[0]
    assert rho > 0.95
    assert low <= rho <= high
    assert result.p[0] < 0.01
    assert set(result.ranked[:2]) == {0, 1}
    assert result.carried.sum() == pytest.approx(1)
    assert result.carried[:2].sum() > 0.9
    assert result.error[0] < result.guessing / 2


def test_dates_that_mean_nothing_are_not_found() -> None:
    p = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        p.append(found(seed, 0.0, [str(year) for year in rng.permutation(YEARS)]).corrected.min())
    assert np.mean(np.array(p) < 0.05) <= 0.2
    assert np.median(p) > 0.2


def test_dates_that_cannot_be_read_are_named_and_left_out() -> None:
    written = [str(year) for year in YEARS]
    written[3], written[5] = "before the fire", ""
    result = found(0, 3.0, written)
    assert result.unread == ("before the fire",)
    assert np.isnan(result.year[[3, 5]]).all()
    assert np.isfinite(result.predicted).all()
    assert result.spearman[0, 0] > 0.95


def test_too_few_dates_give_no_order() -> None:
    units, means = drifting(0, 1.0)
    written = ["800", "900", "1000", "1100", *[""] * 10]
    assert seriation.seriation(units, means, trees.apart(means), written, CONFIG) is None


def test_the_axis_does_not_know_the_dates() -> None:
    one = found(0, 1.0, [str(year) for year in YEARS])
    other = found(0, 1.0, [str(year) for year in YEARS[::-1]])
    assert np.abs(one.axis) == pytest.approx(np.abs(other.axis))
    assert one.spearman[:, 0] == pytest.approx(other.spearman[:, 0])


def test_correlations_are_spearmans() -> None:
    rng = np.random.default_rng(0)
    axis, year = rng.normal(size=(9, 2)), np.array([800.0, 800, 900, 950, 1000, 1000, 1, 2, 3])
    wanted = [stats.spearmanr(axis[:, a], year).statistic for a in range(2)]
    assert seriation.correlations(axis, year) == pytest.approx(wanted)


def test_a_predicted_year_does_not_depend_on_the_documents_own_date() -> None:
    _, means = drifting(0, 2.0)
    square = trees.apart(means).squares()
    year = np.array(YEARS, dtype=float)
    one = seriation.left_out_years(square, year)
    year[4] = 1500
    assert seriation.left_out_years(square, year)[4] == pytest.approx(one[4])
