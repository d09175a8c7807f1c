"""Images that are not looked at closely could not have been chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from typika.mining import patches, screening


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    cells=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    pixels=st.tuples(st.integers(8, 70), st.integers(8, 70)),
    share=st.floats(0.1, 0.9),
)
def test_the_best_box_lies_in_its_interval(
    seed: int, cells: tuple[int, int], pixels: tuple[int, int], share: float
) -> None:
    maps = np.random.default_rng(seed).normal(size=(3, *cells)).astype(np.float32)
    side = patches.patch_side(*pixels, share)
    for sign, found in zip((1, -1), screening.bounds(maps, *pixels, side), strict=True):
        for place, one in enumerate(sign * maps):
            best = patches.box_means(patches.upsample(one, *pixels), side).max()
            assert found.low[place] <= best <= found.high[place]


def test_intervals_are_narrow_where_maps_are_smooth_beside_a_box(
    rng: np.random.Generator,
) -> None:
    maps = rng.normal(size=(20, 28, 28)).astype(np.float32)
    found, _ = screening.bounds(maps, 448, 448, patches.patch_side(448, 448, 0.195))
    assert (found.high - found.low).max() < 0.05 * np.ptp(maps)


def test_a_map_that_is_no_number_is_always_looked_at() -> None:
    maps = np.full((1, 4, 4), np.nan, np.float32)
    for found in screening.bounds(maps, 32, 32, 8):
        assert found.low[0] == -np.inf
        assert found.high[0] == np.inf


@pytest.mark.parametrize("pixels", [(32, 32), (40, 64), (256, 256)])
def test_an_image_offers_as_many_boxes_as_it_surely_has(
    rng: np.random.Generator, pixels: tuple[int, int]
) -> None:
    side = patches.patch_side(*pixels, 0.195)
    least = screening.least_boxes(*pixels, side, 5)
    for _ in range(5):
        values = rng.normal(size=pixels)
        assert len(patches.best_boxes(values, side, 5).top) >= least
    assert least >= 4


def test_whoever_reaches_the_bar_is_looked_at() -> None:
    found = screening.Bounds(np.array([1.0, 2.0, 3.0, 0.0]), np.array([2.5, 3.5, 4.5, 1.9]))
    label, unit = np.zeros(4, dtype=int), np.array([0, 1, 2, 3])
    assert screening.may_be_chosen(found, label, unit, np.array([2])).tolist() == [
        True, True, True, False,
    ]  # fmt: skip
    assert screening.may_be_chosen(found, label, unit, np.array([0])).all()
    joined = np.array([0, 1, 1, 3])  # images of one unit reach the bar but once
    assert screening.may_be_chosen(found, label, unit, np.array([1])).sum() == 2
    assert screening.may_be_chosen(found, label, joined, np.array([2])).all()
