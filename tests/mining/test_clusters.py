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


def own_images(vectors: np.ndarray) -> np.ndarray:
    return np.arange(len(vectors))


def grouped(vectors: np.ndarray, seed: int = 0, **options: object) -> clusters.Clustering:
    """Fit and assign the same patches, each from an image of its own."""
    config = clusters.ClusterConfig(**options)  # type: ignore[arg-type]
    units, images = clusters.unit(vectors), own_images(vectors)
    return clusters.assign(units, images, clusters.fit(units, images, config, seed))


def same_groups(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two groupings agree on the patches that neither leaves loose."""
    both = (first >= 0) & (second >= 0)
    pairs = np.unique(np.stack([first[both], second[both]]), axis=1)
    return all(len(np.unique(side)) == len(side) for side in pairs)


@pytest.mark.parametrize("n_clusters", [6, 32])
@pytest.mark.parametrize("method", ["consensus", "hdbscan"])
def test_separate_blobs_are_the_groups_however_many_clusters_were_asked_for(
    rng: np.random.Generator, method: str, n_clusters: int
) -> None:
    vectors, kind = blobs(rng)
    found = grouped(vectors, method=method, n_clusters=n_clusters)
    assert found.assignment.max() == 3
    assert same_groups(found.assignment, kind)
    assert (found.assignment >= 0).mean() > 0.85


def test_separate_blobs_are_found_again_and_one_blob_is_not(rng: np.random.Generator) -> None:
    vectors, _ = blobs(rng)
    config = clusters.ClusterConfig()
    found = clusters.fit(clusters.unit(vectors), own_images(vectors), config, 0)
    assert_allclose(found.stability, 1)
    assert found.repeats == 1
    noise = clusters.unit(rng.normal(size=(160, 16)))
    found = clusters.fit(noise, own_images(noise), config, 0)
    assert found.stability.max() < 0.6
    assert found.repeats < 0.4


def test_the_order_of_patches_changes_nothing_of_clear_groups(rng: np.random.Generator) -> None:
    vectors, _ = blobs(rng)
    order = rng.permutation(len(vectors))
    first, second = grouped(vectors), grouped(vectors[order])
    assert same_groups(first.assignment[order], second.assignment)


def test_a_seed_gives_one_answer(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(80, 6))
    first, second = grouped(vectors), grouped(vectors)
    assert np.array_equal(first.assignment, second.assignment)
    assert np.array_equal(first.distance, second.distance)


def test_patches_of_one_image_make_no_cluster(rng: np.random.Generator) -> None:
    vectors, kind = blobs(rng)
    images = own_images(vectors)
    images[kind == 2] = images[kind == 2][0]
    units = clusters.unit(vectors)
    groups = clusters.fit(units, images, clusters.ClusterConfig(), 0)
    assert len(groups.centres) == 3
    assert (clusters.assign(units, images, groups).assignment[kind == 2] == clusters.LOOSE).all()


def test_of_an_image_only_the_closest_patch_stays_in_a_cluster(rng: np.random.Generator) -> None:
    vectors, _ = blobs(rng)
    images = own_images(vectors) // 2
    units = clusters.unit(vectors)
    groups = clusters.fit(units, images, clusters.ClusterConfig(), 0)
    found = clusters.assign(units, images, groups)
    everyone = clusters.assign(units, own_images(vectors), groups)
    for image in np.unique(images):
        own = images == image
        inside = own & (everyone.assignment >= 0)
        assert (found.assignment[own] >= 0).sum() == inside.any()
        if inside.any():
            kept = np.flatnonzero(own & (found.assignment >= 0))[0]
            assert found.distance[kept] == found.distance[inside].min()


def test_patches_that_no_fit_saw_go_to_the_nearest_centre_or_stay_loose(
    rng: np.random.Generator,
) -> None:
    vectors, kind = blobs(rng, count=60)
    units = clusters.unit(vectors)
    seen = np.arange(len(units)) % 2 == 0
    images = own_images(vectors)
    groups = clusters.fit(units[seen], images[seen], clusters.ClusterConfig(), 0)
    found = clusters.assign(units[~seen], images[~seen], groups)
    assert same_groups(found.assignment, kind[~seen])
    assert (found.assignment >= 0).mean() > 0.85
    stranger = clusters.unit(np.eye(1, 16, 12))
    assert clusters.assign(stranger, np.array([0]), groups).assignment[0] == clusters.LOOSE


@pytest.mark.parametrize("method", ["consensus", "hdbscan"])
def test_groups_keep_their_patches_when_these_are_assigned_alone(
    rng: np.random.Generator, method: str
) -> None:
    vectors = clusters.unit(rng.normal(size=(120, 4)))
    config = clusters.ClusterConfig(method=method)  # type: ignore[arg-type]
    groups = clusters.fit(vectors, own_images(vectors), config, 0)
    found = clusters.assign(vectors, own_images(vectors), groups).assignment
    assert np.bincount(found[found >= 0], minlength=len(groups.centres)).min() >= config.smallest
    for number in range(len(groups.centres)):
        own = found == number
        again = clusters.assign(vectors[own], own_images(vectors)[own], groups).assignment
        assert (again == number).all()


def test_copies_of_a_patch_are_never_loose(rng: np.random.Generator) -> None:
    vectors = np.repeat(np.eye(2, 8), 10, axis=0) + rng.normal(size=(20, 8)) * 1e-9
    vectors[3] += np.eye(1, 8, 5)[0] * 1e-8  # one is a little farther, by rounding alone
    assert (grouped(vectors).assignment >= 0).all()


def test_published_is_plain_k_means(rng: np.random.Generator) -> None:
    from sklearn.cluster import KMeans

    units = clusters.unit(rng.normal(size=(90, 8)))
    config = clusters.ClusterConfig(method="published", n_clusters=7)
    images = own_images(units) // 3
    groups = clusters.fit(units, images, config, seed=4)
    found = clusters.assign(units, images, groups)
    model = KMeans(7, n_init=1, random_state=10, max_iter=300).fit(units)
    assert np.array_equal(found.assignment, model.labels_)
    own = model.cluster_centers_[model.labels_]
    assert_allclose(found.distance, np.linalg.norm(units - own, axis=1), atol=1e-9)
    assert len(groups.stability) == 7


@pytest.mark.parametrize("method", ["consensus", "hdbscan", "published"])
@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_few_patches_are_grouped_too(rng: np.random.Generator, method: str, count: int) -> None:
    found = grouped(rng.normal(size=(count, 8)), method=method)
    assert len(found.assignment) == count
    assert found.assignment.max() >= 0


def test_repeatability_counts_overlap_and_pairs() -> None:
    found = np.array([0, 0, 0, 1, 1, -1])
    refits = [np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, 2, 1, 1, 1])]
    stability, repeats = clusters.repeatability(found, refits, 2)
    assert_allclose(stability, [(1 + 2 / 3) / 2, (1 + 2 / 3) / 2])
    assert 0 < repeats < 1


def test_the_background_takes_mean_and_shared_directions_off(rng: np.random.Generator) -> None:
    label = np.repeat([0, 1], 100)
    shared = rng.normal(size=(200, 1)) * np.eye(1, 6, 0) * 9
    between = np.where(label == 0, 20.0, -20.0)[:, None] * np.eye(1, 6, 1)
    features = shared + between + rng.normal(size=(200, 6)) + 3
    what = clusters.background(features, label, 1)
    assert_allclose(what.mean, features.mean(axis=0))
    assert abs(what.directions[0, 0]) > 0.99
    left = clusters.without(features, what)
    assert_allclose(left @ what.directions.T, 0, atol=1e-12)
    assert np.abs(left[:, 1]).mean() > 0.9  # what tells labels apart is no background
    assert clusters.background(features[:15], label[:15], 4).directions.shape == (1, 6)


def test_clusters_are_ranked_by_median_and_small_ones_come_last() -> None:
    score = np.array([1.0, 1, 9, 5, 5, 100])
    assignment = np.array([0, 0, 0, 1, 1, 2])
    assert clusters.rank_clusters(score, assignment, smallest=2).tolist() == [1, 0, 2]


def test_loose_patches_rank_nothing() -> None:
    score = np.array([1.0, 1, 5, 100, 100])
    assignment = np.array([0, 0, 1, -1, -1])
    assert clusters.rank_clusters(score, assignment, smallest=1).tolist() == [1, 0]


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"join": (0.8, 0.5)}, "join="),
        ({"join": (0.5, 2.0)}, "join="),
        ({"found_again": 1.5}, "found_again=1.5"),
        ({"loose": 0.0}, "loose=0"),
        ({"n_starts": 0}, "n_starts=0"),
        ({"background": -1}, "background=-1"),
    ],
)
def test_impossible_settings_are_refused(options: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        clusters.ClusterConfig(**options)
