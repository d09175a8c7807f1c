"""The figures of several methods: laws and closed forms, on made-up patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_comparison_numbers import shared, tops

from typika.mining import comparison
from typika.mining.comparison import agreements
from typika.mining.methods import Method, Verdicts, compare_methods, coverage

N, P = 24, 48
NAN = float("nan")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DRAWS", 60)


def method(seed: int = 0, **changes: Any) -> Method:
    unknown = {"told": N, "precision": N, "pointing": N, "covered": P, "by_chance": P}
    known = {name: np.full(size, NAN) for name, size in unknown.items()}
    top = tops(seed)
    rank = np.zeros(P, dtype=np.int64)
    for label in (0, 1):
        own = np.flatnonzero(top.image % 2 == label)
        rank[own] = np.arange(1, len(own) + 1)
    return Method(**{"top": top, "rank": rank, "n_clusters": {0: 3, 1: 4}, **known, **changes})


def figures(*methods: Method, area: np.ndarray | None = None) -> list:
    area = np.full(N, NAN) if area is None else area
    return compare_methods(shared(N), methods, area, seed=0)


def test_overlap_is_what_two_runs_agree_on() -> None:
    rows = figures(method(0), method(1), method(0))
    assert np.isnan(rows[0][0].overlap.estimate.value)
    expected = agreements(shared(N), tops(0), tops(1), np.ones(N), seed=0)
    for found, one in zip(rows[1], expected, strict=True):
        assert found.label == one.label
        assert found.overlap.estimate == one.found
        assert found.overlap.chance == pytest.approx(one.chance)
    assert rows[2][0].overlap.estimate.value == 1
    assert rows[2][0].overlap.estimate.low == 1


def test_counts_add_up_over_labels() -> None:
    everything, *labels = figures(method())[0]
    assert everything.n_patches == sum(row.n_patches for row in labels) == P
    assert everything.n_clusters == sum(row.n_clusters for row in labels) == 7
    assert everything.n_images == sum(row.n_images for row in labels) == N
    assert [row.label for row in (everything, *labels)] == [None, "a", "b"]


def test_what_is_not_known_is_not_told() -> None:
    row = figures(method())[0][0]
    for share in (row.told, row.precision, row.pointing, row.hits, row.overlap):
        assert np.isnan([share.estimate.value, share.estimate.low, share.chance]).all()
    assert row.n_significant is None
    assert np.isnan(row.auc)
    assert row.n_located == 0


def test_only_images_that_were_asked_count() -> None:
    told = np.full(N, NAN)
    told[:9] = [1, 0, 1, 1, 1, 0, 1, 1, 1]  # labels in turn, so five of a and four of b
    everything, first, second = figures(method(told=told))[0]
    assert everything.told.estimate.value == pytest.approx(7 / 9)
    assert everything.told.chance == pytest.approx(5 / 9)
    assert first.told.estimate.value == 1
    assert second.told.estimate.value == pytest.approx(2 / 4)
    assert np.isnan(first.told.chance)
    assert everything.told.estimate.low < 7 / 9 < everything.told.estimate.high


def test_verdicts_are_counted_and_their_first_clusters_told() -> None:
    verdicts = {0: Verdicts(n_significant=2, auc=(0.9, 0.8, NAN, 0.7, 0.6, 0.1)),
                1: Verdicts(n_significant=0, auc=(NAN, 0.5))}  # fmt: skip
    everything, first, second = figures(method(verdicts=verdicts))[0]
    assert (everything.n_significant, first.n_significant, second.n_significant) == (2, 2, 0)
    assert first.auc == pytest.approx(0.75)  # the sixth does not count
    assert everything.auc == pytest.approx(0.7)
    assert figures(method(verdicts={}))[0][0].n_significant == 0


def test_the_first_chosen_patches_count_whatever_their_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("typika.mining.methods.BEST", 4)
    plain = method()
    covered = np.zeros(P)
    covered[(plain.rank <= 3) & (plain.top.image % 2 == 0)] = 0.25
    covered[(plain.rank == 1) & (plain.top.image % 2 == 1)] = 0.24  # just no hit
    own = method(covered=covered, by_chance=np.full(P, 0.1))
    everything, first, second = figures(own, area=np.full(N, 0.2))[0]
    assert first.hits.estimate.value == pytest.approx(3 / 4)
    assert second.hits.estimate.value == 0
    assert everything.hits.estimate.value == pytest.approx(3 / 8)
    assert everything.hits.chance == pytest.approx(0.1)


def test_patches_on_images_without_regions_do_not_count() -> None:
    covered = np.where(tops(0).image < 12, 1.0, NAN)
    area = np.where(np.arange(N) < 12, 0.3, NAN)
    precision = np.where(np.arange(N) < 12, 0.6, NAN)
    own = method(covered=covered, by_chance=np.where(np.isnan(covered), NAN, 0.2),
                 precision=precision)  # fmt: skip
    row = figures(own, area=area)[0][0]
    assert row.n_located == 12
    assert row.hits.estimate.value == 1
    assert row.hits.chance == pytest.approx(0.2)
    assert (row.precision.estimate.value, row.precision.chance) == pytest.approx((0.6, 0.3))


def test_coverage_by_hand() -> None:
    truth = np.zeros((10, 20), dtype=bool)
    truth[:, :10] = True  # the left half of an image of 40 x 20 px, shrunk by two
    boxes = np.array([[0, 0, 8, 8], [16, 0, 24, 8], [32, 12, 40, 20]])
    share, by_chance = coverage(truth, boxes, 40, 20)
    assert share == pytest.approx([1, 0.5, 0])
    # A box of 4 cells has 17 places; from 0 to 9 it has a quarter or more inside.
    assert by_chance == pytest.approx(np.full(3, 10 / 17))
