from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from typika.errors import ConfigError, DataError
from typika.mining import patches

maps = arrays(
    np.float64,
    st.tuples(st.integers(6, 24), st.integers(6, 24)),
    elements=st.floats(-10, 10, allow_nan=False, width=32),
)


def brute_force_means(values: np.ndarray, size: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(values, (size, size))
    return windows.mean(axis=(2, 3))


def brute_force_boxes(values: np.ndarray, size: int, count: int) -> list[tuple[int, int]]:
    """The published procedure: sort all positions, take the best, drop what touches it."""
    pooled = brute_force_means(values, size)
    order = sorted(np.ndindex(pooled.shape), key=lambda place: (-pooled[place], place))
    taken: list[tuple[int, int]] = []
    for top, left in order:
        if len(taken) == count:
            break
        if all(abs(top - t) > size or abs(left - other) > size for t, other in taken):
            taken.append((top, left))
    return taken


@given(maps, st.integers(1, 6))
def test_box_means_equal_brute_force(values: np.ndarray, size: int) -> None:
    assert_allclose(patches.box_means(values, size), brute_force_means(values, size), atol=1e-9)


@pytest.mark.parametrize("shape", [(40, 60), (33, 21), (12, 12)])
@pytest.mark.parametrize("size", [1, 5, 12])
def test_best_boxes_equal_brute_force(
    rng: np.random.Generator, shape: tuple[int, int], size: int
) -> None:
    values = rng.normal(size=shape)
    boxes = patches.best_boxes(values, size, 5)
    found = list(zip(boxes.top.tolist(), boxes.left.tolist(), strict=True))
    assert found == brute_force_boxes(values, size, 5)
    assert_allclose(boxes.score, [brute_force_means(values, size)[place] for place in found])


@given(maps, st.integers(1, 6), st.integers(1, 6))
def test_boxes_of_one_image_never_touch(values: np.ndarray, size: int, count: int) -> None:
    boxes = patches.best_boxes(values, size, count)
    for first in range(len(boxes.top)):
        for second in range(first):
            down = abs(boxes.top[first] - boxes.top[second])
            across = abs(boxes.left[first] - boxes.left[second])
            assert down > size or across > size


@given(maps, st.integers(1, 6))
def test_boxes_come_best_first(values: np.ndarray, size: int) -> None:
    assert np.all(np.diff(patches.best_boxes(values, size, 5).score) <= 1e-9)


def test_means_of_another_map_are_its_box_means(rng: np.random.Generator) -> None:
    boxes = patches.best_boxes(rng.normal(size=(30, 40)), 7, 4)
    other = rng.normal(size=(30, 40))
    expected = patches.box_means(other, 7)[boxes.top, boxes.left]
    assert_allclose(patches.means_of(other, boxes), expected)


def test_random_boxes_are_reproducible_and_never_touch() -> None:
    first = patches.random_boxes(50, 70, 9, 5, np.random.default_rng(3))
    second = patches.random_boxes(50, 70, 9, 5, np.random.default_rng(3))
    assert first.top.tolist() == second.top.tolist()
    for i in range(5):
        for j in range(i):
            gaps = abs(first.top[i] - first.top[j]), abs(first.left[i] - first.left[j])
            assert max(gaps) > 9


@pytest.mark.parametrize(
    ("cells", "pixels"), [((4, 6), (37, 51)), ((16, 16), (256, 256)), ((1, 3), (9, 9))]
)
def test_upsampling_equals_torch(
    rng: np.random.Generator, cells: tuple[int, int], pixels: tuple[int, int]
) -> None:
    values = rng.normal(size=cells)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], pixels, mode="bilinear", align_corners=False
    )[0, 0]
    assert_allclose(patches.upsample(values, *pixels), expected.numpy(), atol=1e-12)


def test_a_box_larger_than_the_map_is_refused() -> None:
    with pytest.raises(DataError, match="9 px does not fit into a map of 5 x 20"):
        patches.box_means(np.zeros((5, 20)), 9)


def test_one_image_of_a_near_duplicate_group_keeps_its_candidates() -> None:
    score = np.array([0.9, 0.2, 0.8, 0.1, 0.5])
    image = np.array([0, 0, 1, 1, 2])
    duplicate = np.array([0, 0, 0, 0, 1])
    kept = patches.one_per_duplicate(score, image, duplicate)
    assert kept.tolist() == [True, True, False, False, True]


def test_keeping_respects_share_and_bounds() -> None:
    config = patches.SelectConfig(share=0.2, at_least=50, at_most=100)
    counts = {10: 10, 200: 50, 400: 80, 5000: 100}
    assert {n: patches.keep_count(n, config) for n in counts} == counts


def test_best_first_breaks_ties_by_image() -> None:
    score, image = np.array([1.0, 2.0, 2.0, 0.0]), np.array([5, 4, 3, 0])
    assert patches.best_first(score, image, 3).tolist() == [2, 1, 0]


@pytest.mark.parametrize("bad", [{"patch_size": 0.0}, {"share": 1.5}, {"per_image": 0}])
def test_impossible_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        patches.SelectConfig(**bad)  # type: ignore[arg-type]
