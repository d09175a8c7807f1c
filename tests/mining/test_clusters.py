from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from typika.errors import ConfigError
from typika.mining import clusters


def blobs(
    rng: np.random.Generator, count: int = 30, kinds: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    centres = np.eye(kinds, 16) * 5
    kind = np.repeat(np.arange(kinds), count)
    return centres[kind] + rng.normal(size=(len(kind), 16)) * 0.5, kind


@pytest.mark.parametrize("method", ["merged", "published"])
def test_separate_blobs_are_never_mixed(rng: np.random.Generator, method: str) -> None:
    vectors, kind = blobs(rng)
    config = clusters.ClusterConfig(method=method, n_clusters=8)  # type: ignore[arg-type]
    found = clusters.cluster(vectors, config, seed=0)
    for number in range(found.assignment.max() + 1):
        assert len(np.unique(kind[found.assignment == number])) == 1


def test_merging_gives_each_blob_one_cluster(rng: np.random.Generator) -> None:
    vectors, kind = blobs(rng)
    found = clusters.cluster(vectors, clusters.ClusterConfig(n_clusters=16), seed=0)
    assert found.assignment.max() + 1 == len(np.unique(kind))


def test_distance_is_to_the_own_centre(rng: np.random.Generator) -> None:
    vectors, _ = blobs(rng)
    found = clusters.cluster(vectors, clusters.ClusterConfig(method="published", n_clusters=4), 0)
    units = clusters.unit(vectors)
    centres = clusters.cluster_means(units, found.assignment)
    expected = np.linalg.norm(units - centres[found.assignment], axis=1)
    assert_allclose(found.distance, expected, atol=1e-6)


def test_fewer_patches_than_clusters(rng: np.random.Generator) -> None:
    found = clusters.cluster(rng.normal(size=(3, 8)), clusters.ClusterConfig(), seed=0)
    assert len(found.assignment) == 3


def test_clusters_are_ranked_by_median_and_small_ones_come_last() -> None:
    score = np.array([1.0, 1, 9, 5, 5, 100])
    assignment = np.array([0, 0, 0, 1, 1, 2])
    assert clusters.rank_clusters(score, assignment, smallest=2).tolist() == [1, 0, 2]


def test_the_interval_of_a_median_holds_it_as_often_as_promised() -> None:
    """95 of 100 times; units of one patch each, values of a skewed distribution."""
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(200, 40))
    units = np.arange(40)
    found = [clusters.median_interval(values, units, seed) for seed, values in enumerate(draws)]
    hits = [one.low <= np.log(2) <= one.high for one in found]
    assert 0.89 <= np.mean(hits) <= 0.99
    assert found[0].value == np.median(draws[0])


def test_patches_that_vary_together_give_a_wider_interval() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=12), 10)
    alone = clusters.median_interval(values, np.arange(120), 0)
    together = clusters.median_interval(values, np.repeat(np.arange(12), 10), 0)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert np.isnan(clusters.median_interval(values, np.zeros(120, dtype=int), 0).low)


def test_layout_is_in_the_unit_square_and_repeats(rng: np.random.Generator) -> None:
    vectors, kind = blobs(rng, count=12)
    first, second = clusters.layout(vectors, 0), clusters.layout(vectors, 0)
    assert np.array_equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 1
    centres = np.stack([first[kind == one].mean(axis=0) for one in range(4)])
    within = np.mean([first[kind == one].std() for one in range(4)])
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2)[np.triu_indices(4, 1)]
    assert between.min() > within


def test_layout_of_many_puts_the_rest_beside_the_sample(rng: np.random.Generator) -> None:
    vectors, _ = blobs(rng, count=20)
    places = clusters.layout(vectors, 0, at_most=40)
    assert places.shape == (80, 2)
    assert len(np.unique(places, axis=0)) <= 40


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="merge_above=2"):
        clusters.ClusterConfig(merge_above=2.0)
