"""How far two runs agree: laws first, on made-up patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from typika.mining import comparison
from typika.mining.comparison import (
    Located,
    SharedImages,
    TopPatches,
    agreements,
    chance,
    localisations,
    located,
    map_correlation,
    match,
    most_changed,
    most_typical,
    truth_shape,
)

SIDE = 20
LABELS = ("a", "b")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DRAWS", 60)


def shared(n: int = 24) -> SharedImages:
    return SharedImages(
        label=np.arange(n) % 2, group=np.arange(n), width=np.full(n, 100),
        height=np.full(n, 80), labels=LABELS,
    )  # fmt: skip


def tops(seed: int, n: int = 24) -> TopPatches:
    """Two patches per image: one left, one right, at any height."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(n), 2)
    left = np.tile([5, 55], n) + rng.integers(0, 20, 2 * n)
    top = rng.integers(0, 60, 2 * n)
    box = np.stack([left, top, left + SIDE, top + SIDE], axis=1)
    return TopPatches(image=image, box=box, score=rng.normal(size=2 * n),
                      cluster=rng.integers(0, 3, 2 * n))  # fmt: skip


def test_a_run_agrees_with_itself() -> None:
    everything, *labels = agreements(shared(), tops(0), tops(0), np.ones(24), seed=0)
    assert [row.label for row in (everything, *labels)] == [None, "a", "b"]
    for row in (everything, *labels):
        assert (row.found.value, row.found.low, row.found.high) == (1, 1, 1)
        assert row.adjusted_rand.value == pytest.approx(1)
        assert row.rank_correlation.value == pytest.approx(1)
        assert row.n_matched == row.n_before == row.n_after
        assert 0 < row.chance < 0.5
    assert (everything.n_images, labels[0].n_images) == (24, 12)


def test_swapping_the_runs_swaps_the_columns() -> None:
    first, other = tops(0), tops(1)
    box = first.box[:30] + np.random.default_rng(2).integers(-5, 6, (30, 1))
    second = replace(first, image=first.image[:30], box=box, score=other.score[:30],
                     cluster=other.cluster[:30])  # fmt: skip
    correlations = np.random.default_rng(0).normal(size=24)
    one = agreements(shared(), first, second, correlations, seed=0)
    two = agreements(shared(), second, first, correlations, seed=0)
    for row, back in zip(one, two, strict=True):
        assert (row.n_before, row.n_after) == (back.n_after, back.n_before)
        assert (row.before_found, row.after_found) == (back.after_found, back.before_found)
        assert (row.before_chance, row.after_chance) == (back.after_chance, back.before_chance)
        assert row.found == back.found
        assert row.rank_correlation == back.rank_correlation
        assert row.adjusted_rand.value == pytest.approx(back.adjusted_rand.value)
    assert one[0].n_before != one[0].n_after
    assert 6 < one[0].n_matched < 30


def test_patches_at_random_places_agree_as_chance_says() -> None:
    n = 400
    images = SharedImages(label=np.arange(n) % 2, group=np.arange(n), width=np.full(n, 70),
                          height=np.full(n, 50), labels=LABELS)  # fmt: skip
    rng = np.random.default_rng(3)

    def random_patches() -> TopPatches:
        corner = rng.integers(0, [51, 31], (n, 2))
        box = np.concatenate([corner, corner + SIDE], axis=1)
        return TopPatches(image=np.arange(n), box=box, score=rng.normal(size=n),
                          cluster=np.zeros(n, int))  # fmt: skip

    row = agreements(images, random_patches(), random_patches(), np.ones(n), seed=0)[0]
    assert row.found.low <= row.chance <= row.found.high
    assert row.chance > 0.02


def test_chance_is_one_where_a_patch_fills_its_image() -> None:
    images = replace(shared(2), width=np.full(2, SIDE), height=np.full(2, SIDE))
    whole = TopPatches(image=np.arange(2), box=np.array([[0, 0, SIDE, SIDE]] * 2),
                       score=np.zeros(2), cluster=np.zeros(2, int))  # fmt: skip
    assert (chance(whole, whole, images, seed=0) == 1).all()
    nobody = TopPatches(image=np.zeros(0, int), box=np.zeros((0, 4), int), score=np.zeros(0),
                        cluster=np.zeros(0, int))  # fmt: skip
    assert (chance(whole, nobody, images, seed=0) == 0).all()


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_every_patch_has_at_most_one_match_and_in_its_image(one: int, two: int) -> None:
    first, second = tops(one), tops(two)
    found = match(first, second)
    assert len(set(found.before)) == len(found.before) == len(set(found.after))
    assert (first.image[found.before] == second.image[found.after]).all()
    back = match(second, first)
    assert set(zip(found.before, found.after, strict=True)) == set(
        zip(back.after, back.before, strict=True)
    )


def test_of_patches_that_repeat_each_other_only_one_is_matched() -> None:
    first = tops(0, 1)
    box = np.concatenate([first.box, first.box[:1] + 1])
    thrice = TopPatches(image=np.zeros(3, int), box=box, score=np.zeros(3),
                        cluster=np.zeros(3, int))  # fmt: skip
    found = match(thrice, first)
    assert (found.before.tolist(), found.after.tolist()) == ([0, 1], [0, 1])


def test_chance_in_closed_form() -> None:
    n = 400
    images = SharedImages(label=np.zeros(n, int), group=np.arange(n), width=np.full(n, 40),
                          height=np.full(n, 30), labels=("a",))  # fmt: skip
    box = np.array([[10, 5, 30, 25]] * n)
    patch = TopPatches(image=np.arange(n), box=box, score=np.zeros(n), cluster=np.zeros(n, int))
    across, down = np.abs(np.arange(21) - 10), np.abs(np.arange(11) - 5)  # every place there is
    overlap = np.outer(20 - down, 20 - across)
    expected = (overlap / (800 - overlap) > 0.5).mean()
    assert chance(patch, patch, images, seed=0).mean() == pytest.approx(expected, abs=0.015)


def test_half_an_overlap_is_not_enough() -> None:
    first = tops(0, 1)

    def moved(by: int) -> TopPatches:
        return replace(first, box=first.box + np.array([by, 0, by, 0]))

    # Two squares of side 20 that lie x apart: IoU = (20 - x) / (20 + x), 0.538 and 0.481.
    assert len(match(first, moved(6)).before) == 2
    assert len(match(first, moved(7)).before) == 0


def test_runs_without_a_common_place_have_no_scores_to_compare() -> None:
    first = tops(0)
    second = replace(first, box=first.box + np.array([0, 200, 0, 200]))
    row = agreements(shared(), first, second, np.full(24, np.nan), seed=0)[0]
    assert row.found.value == 0
    assert np.isnan(row.rank_correlation.value)
    assert np.isnan(row.adjusted_rand.value)
    assert np.isnan(row.map_correlation.value)


def test_over_all_labels_groups_are_compared_within_labels() -> None:
    """Each label has one group of its own: that they differ between labels says nothing."""
    first = tops(0)
    second = replace(first, cluster=np.random.default_rng(9).integers(0, 3, 48))
    everything, *labels = agreements(shared(), first, second, np.ones(24), seed=0)
    values = [row.adjusted_rand.value for row in labels]
    assert everything.adjusted_rand.value == pytest.approx(np.mean(values))


@given(st.integers(0, 1000), st.floats(0.1, 9), st.floats(-5, 5))
def test_maps_correlate_whatever_their_scale(seed: int, scale: float, shift: float) -> None:
    grid = np.random.default_rng(seed).normal(size=(5, 6))
    assert map_correlation(grid, scale * grid + shift) == pytest.approx(1)
    assert map_correlation(grid, -scale * grid) == pytest.approx(-1)


def test_maps_of_unlike_grids_are_compared_at_the_same_places() -> None:
    ramp = np.arange(8.0)[None].repeat(8, axis=0)
    coarse = ramp.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert map_correlation(ramp, coarse) > 0.98
    assert map_correlation(ramp, coarse.T) == pytest.approx(0, abs=1e-9)
    assert np.isnan(map_correlation(ramp, np.full((3, 3), 0.1)))


def test_the_most_changed_and_the_most_typical() -> None:
    correlations = np.array([0.9, -0.5, np.nan, 0.2, -0.9])
    typical = np.array([True, True, True, True, False])
    assert most_changed(correlations, typical, 2).tolist() == [1, 3]
    images = shared(4)
    box = np.zeros((3, 4), int)
    first = TopPatches(image=np.array([0, 1, 2]), box=box, score=np.array([1.0, 5.0, 9.0]),
                       cluster=np.zeros(3, int))  # fmt: skip
    # Label a: image 2 before image 0; label b: image 1, and image 3 has no patch.
    assert most_typical(images, first, first).tolist() == [1, 2, 0]


def test_maps_against_boxes_in_closed_form() -> None:
    truth = np.zeros((8, 8), bool)
    truth[:, :4] = True
    ramp = -np.arange(8.0)[None].repeat(8, axis=0)
    found = located(0, ramp, -ramp, truth)
    assert (found.precision_before, found.hit_before, found.hit_after) == (1, 1, 0)
    assert found.precision_after < 0.5
    assert found.area == 0.5


def test_truth_has_the_proportions_of_its_image_and_no_more_pixels_than_it() -> None:
    assert truth_shape(4000, 2000) == (128, 256)
    assert truth_shape(90, 40) == (40, 90)
    assert truth_shape(5000, 3) == (1, 256)


def test_localisation_of_a_run_against_itself_gains_nothing() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((8, 2))
    same = [Located(2 * i, p, p, float(h > 0.5), float(h > 0.5), 0.25)
            for i, (p, h) in enumerate(values)]  # fmt: skip
    everything, only = localisations(shared(), same, seed=0)
    assert (everything.label, only.label, only.n_images) == (None, "a", 8)
    gain = everything.precision_gain
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)
    assert everything.precision_before.value == pytest.approx(values[:, 0].mean())
    assert everything.area == 0.25
    better = [replace(one, precision_after=one.precision_before + 0.1) for one in same]
    gain = localisations(shared(), better, seed=0)[0].precision_gain
    assert (gain.low, gain.high) == (pytest.approx(0.1), pytest.approx(0.1))  # it is paired
    assert localisations(shared(), [], seed=0) == ()


def test_patches_in_no_cluster_count_as_a_group() -> None:
    first = tops(0)
    loose = replace(first, cluster=first.cluster - 1)  # the first group comes apart
    for row in agreements(shared(), first, loose, np.ones(24), seed=0):
        assert row.adjusted_rand.value == pytest.approx(1)
    row = agreements(shared(), loose, replace(loose, cluster=np.abs(loose.cluster)),
                     np.ones(24), seed=0)[0]  # fmt: skip
    assert row.adjusted_rand.value < 1
