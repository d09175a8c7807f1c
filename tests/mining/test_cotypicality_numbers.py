from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from typika.errors import ConfigError
from typika.mining import patches
from typika.mining.clusters import ClusterConfig
from typika.mining.cotypicality import (
    CotypicalityConfig,
    co_typicality,
    kept_count,
    reduced,
    sequence_vectors,
)
from typika.mining.patches import SelectConfig


def cosines(vectors: np.ndarray) -> np.ndarray:
    return vectors @ vectors.T


def test_co_typicality_is_the_median_over_labels(rng: np.random.Generator) -> None:
    maps = rng.normal(size=(4, 5, 6))
    ordered = np.sort(maps, axis=0)
    assert_allclose(co_typicality(list(maps)), (ordered[1] + ordered[2]) / 2)  # as published
    assert (co_typicality(list(maps[:3])) == np.sort(maps[:3], axis=0)[1]).all()


@given(st.integers(0, 10_000))
def test_one_label_that_shouts_is_not_co_typical(seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(5, 3, 3))
    loud = maps.copy()
    loud[maps.argmax(axis=0), *np.indices((3, 3))] += 100
    assert_allclose(co_typicality(list(loud)), co_typicality(list(maps)))


def test_places_are_those_of_the_best_boxes(rng: np.random.Generator) -> None:
    values = rng.normal(size=(40, 50))
    one = patches.best_boxes(values, 8, 5)
    pooled = patches.box_means(values, 8)
    before = pooled.copy()
    two = patches.best_places(pooled, 8, 5)
    assert (one.top == two.top).all()
    assert (one.left == two.left).all()
    assert (pooled == before).all()


def test_as_large_a_share_is_kept_as_of_one_label() -> None:
    config = SelectConfig(share=0.2, at_least=10, at_most=1000)
    assert kept_count(50_000, 10, config) == 10_000  # as published
    assert kept_count(100_000, 10, config) == 10_000
    assert kept_count(120, 10, config) == 100
    assert kept_count(80, 10, config) == 80


def test_principal_components_keep_what_is_alike(rng: np.random.Generator) -> None:
    features = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 50))  # of rank 3, 4 once centred
    plain = reduced(features, CotypicalityConfig(reduction="none"), 0)
    brought_down = reduced(features, CotypicalityConfig(dimensions=5), 0)
    assert brought_down.shape == (30, 5)
    assert_allclose(cosines(brought_down), cosines(plain), atol=1e-9)


def test_few_sequences_are_compared_as_they_are(rng: np.random.Generator) -> None:
    for count in (1, 2, 3):
        assert reduced(rng.normal(size=(count, 20)), CotypicalityConfig(), 0).shape == (count, 20)


def test_labels_and_patches_count_alike(rng: np.random.Generator) -> None:
    features = rng.normal(size=(12, 3, 20))
    louder = features * np.array([1.0, 50.0, 0.1])[:, None] * rng.uniform(1, 9, (12, 3, 1))
    config = CotypicalityConfig()
    assert_allclose(sequence_vectors(louder, config, 0), sequence_vectors(features, config, 0))
    assert_allclose(np.linalg.norm(sequence_vectors(features, config, 0), axis=1), 1)


def test_published_clusters_compare_joined_features(rng: np.random.Generator) -> None:
    features = rng.normal(size=(12, 2, 20))
    config = CotypicalityConfig(cluster=ClusterConfig(method="published"), dimensions=4)
    blocks = [reduced(features[:, label], config, 0) for label in (0, 1)]
    assert_allclose(sequence_vectors(features, config, 0), np.concatenate(blocks, axis=1))


def test_umap_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ConfigError, match=r"needs umap-learn; pip install 'typika\[map\]'"):
        CotypicalityConfig(reduction="umap")


def test_umap_is_seeded(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """What is asked of UMAP; that it keeps its word is its own tests' matter."""
    asked = {}

    class Stub:
        def __init__(self, **options: int) -> None:
            asked.update(options)

        def fit_transform(self, vectors: np.ndarray) -> np.ndarray:
            return vectors[:, : asked["n_components"]]

    monkeypatch.setitem(sys.modules, "umap", type(sys)("umap"))
    monkeypatch.setattr(sys.modules["umap"], "UMAP", Stub, raising=False)
    found = reduced(rng.normal(size=(60, 100)), CotypicalityConfig(reduction="umap"), 7)
    assert found.shape == (60, 32)
    assert asked == {"n_components": 32, "n_neighbors": 15, "random_state": 7, "n_jobs": 1}


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="dimensions=1: need at least 2"):
        CotypicalityConfig(dimensions=1)
