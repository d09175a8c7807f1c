from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from typika.mining import consensus


def test_halves_are_complementary_and_keep_images_whole(rng: np.random.Generator) -> None:
    images = np.repeat(np.arange(11), 3)
    found = consensus.halves(images, 6, rng)
    assert len(found) == 6
    for own, other in zip(found[::2], found[1::2], strict=True):
        assert (own ^ other).all()
        assert not set(images[own]) & set(images[other])
        assert len(set(images[own])) == 6
    assert len(consensus.halves(np.zeros(4, dtype=int), 3, rng)) == 3


def test_the_tree_joins_at_the_mean_cosine() -> None:
    cosine = np.array([[1, 0.9, 0.2], [0.9, 1, 0.4], [0.2, 0.4, 1.0]])
    tree = consensus.average_linkage(cosine)
    assert_allclose(1 - tree[:, 2], [0.9, 0.3])
    assert [own.tolist() for own in consensus.members(tree)] == [[0], [1], [2], [0, 1], [2, 0, 1]]


def test_a_start_is_a_tree_over_all_patches(rng: np.random.Generator) -> None:
    vectors = consensus.unit(rng.normal(size=(40, 5)))
    half = np.arange(40) < 20
    found = consensus.start(vectors, half, 6, seed=0)
    assert_allclose(found.likeness, found.likeness.T)
    assert found.likeness.shape == (40, 40)
    assert len(found.sets) == 11
    assert found.sets[-1].all()
    assert (found.sets[:6].sum(axis=0) == 1).all()
    alone = consensus.start(vectors, half, 1, seed=0)
    assert (alone.likeness == 1).all()


# Four patches, two by two alike: the tree is ((0 1) (2 3)); node 6 is everything.
TREE = consensus.average_linkage(
    np.array([[1, 0.95, 0.6, 0.6], [0.95, 1, 0.6, 0.6], [0.6, 0.6, 1, 0.9], [0.6, 0.6, 0.9, 1]])
)
PAIRS = np.array([False] * 4 + [True] * 3)


@pytest.mark.parametrize(
    ("stability", "join", "groups"),
    [
        ([0.9, 0.9], (0.5, 0.8), [4, 5]),  # both are found again: they stay apart
        ([0.9, 0.7], (0.5, 0.8), [6]),  # one is not: joined
        ([0.9, 0.7], (0.7, 0.8), [4, 5]),  # too unlike to be joined
        ([0.9, 0.9], (0.3, 0.55), [6]),  # so alike that nobody asks
    ],
)
def test_groups_stay_apart_where_each_is_found_again(
    stability: list[float], join: tuple[float, float], groups: list[int]
) -> None:
    known = np.array([0.0] * 4 + [*stability, 1.0])
    assert sorted(consensus.cut(TREE, PAIRS, known, join, 0.8)) == groups


def test_odd_patches_join_a_group_only_where_that_helps() -> None:
    large = np.array([False] * 5 + [True, True])  # node 4, of two patches, is too small
    for better, groups in ((0.9, [6]), (0.5, [5])):
        known = np.array([0.0] * 5 + [0.7, better])
        assert consensus.cut(TREE, large, known, (0.5, 0.8), 0.8) == groups


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_groups_are_disjoint_and_large(seed: int, smallest: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = consensus.unit(rng.normal(size=(24, 3)))
    images = rng.integers(0, 12, 24)
    starts = [consensus.start(vectors, half, 6, seed) for half in consensus.halves(images, 4, rng)]
    found = consensus.agree(starts, images, smallest=smallest, join=(0.2, 0.9), found_again=0.7)
    assert set(found.assignment) <= {-1, *range(len(found.stability))}
    for number in range(len(found.stability)):
        assert len(np.unique(images[found.assignment == number])) >= smallest
    assert (found.stability > 0).all()
    assert (found.stability <= 1).all()
    assert found.repeats <= 1


def test_overlap_is_intersection_over_union() -> None:
    sets = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    others = [np.array([[1, 0, 0, 0], [1, 1, 1, 0]], dtype=bool), np.ones((1, 4), dtype=bool)]
    found = consensus.overlaps(sets, others)
    assert_allclose(found[0], [[1 / 2, 2 / 3], [0, 0]])
    assert_allclose(found[1], [[1 / 2, 0], [0, 0]])
