"""Groups of like patches: clustering, ranking, intervals and a map of all of them.

Pure functions on arrays. Legend: `n` patches, `d` features, `k` clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.errors import ConfigError

Features = Float[ndarray, "n d"]
Assignment = Int[ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How patches are grouped."""

    method: Literal["merged", "published"] = "merged"  # "published": k-means as in the paper
    # What of a patch is compared: what is typical in it, or the mean of all of it as in the paper.
    pooling: Literal["typicality", "mean"] = "typicality"
    n_clusters: int = 32  # clusters per label before like ones are merged
    merge_above: float = 0.7  # cosine of two centres above which their clusters are one
    smallest: int = 5  # patches; smaller clusters are listed last

    def __post_init__(self) -> None:
        if self.n_clusters < 1 or self.smallest < 1:
            raise ConfigError(f"n_clusters={self.n_clusters}, smallest={self.smallest}: need >= 1")
        if not -1 <= self.merge_above <= 1:
            raise ConfigError(f"merge_above={self.merge_above}: a cosine lies in [-1, 1]")


@dataclass(frozen=True)
class Clustering:
    """Groups of the patches of one label.

    assignment: (n,) cluster of each patch, 0 .. k-1; distance: (n,) to its cluster's centre,
    Euclidean between unit vectors.
    """

    assignment: Assignment
    distance: Float[ndarray, " n"]


@dataclass(frozen=True)
class Interval:
    """A median with a 95 % confidence interval."""

    median: float
    low: float
    high: float


def unit(features: Features) -> Features:
    """Rows scaled to length one; zero rows stay zero."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def cluster(features: Features, config: ClusterConfig, seed: int) -> Clustering:
    """Group patches by their features, as `config.method` says."""
    vectors = unit(features.astype(np.float64))
    if config.method == "published":
        return published(vectors, config.n_clusters, seed=10)
    return merged(vectors, config, seed)


def published(vectors: Features, n_clusters: int, seed: int) -> Clustering:
    """k-means as published (Siglidis et al. 2024, Sec. 3.3): one start, on unit vectors."""
    assignment, centres = _kmeans(vectors, n_clusters, seed, starts=1)
    return Clustering(assignment, np.linalg.norm(vectors - centres[assignment], axis=1))


def merged(vectors: Features, config: ClusterConfig, seed: int) -> Clustering:
    """Spherical k-means with too many clusters, then like clusters joined.

    Few big mixed clusters and many small equal ones are the two ways in which plain k-means fails
    here: it is started with up to one cluster for every `smallest` patches, and clusters are
    joined, nearest first, as long as the cosine of two centres exceeds `merge_above`.
    """
    n_clusters = max(1, min(config.n_clusters, len(vectors) // config.smallest))
    assignment, centres = _kmeans(vectors, n_clusters, seed, starts=4)
    assignment = join_like(vectors, assignment, config.merge_above)
    centres = unit(cluster_means(vectors, assignment))
    return Clustering(assignment, np.linalg.norm(vectors - centres[assignment], axis=1))


def join_like(vectors: Features, assignment: Assignment, above: float) -> Assignment:
    """Join the two clusters with the closest centres while their cosine exceeds `above`."""
    assignment = np.unique(assignment, return_inverse=True)[1]
    while assignment.max(initial=0) > 0:
        centres = unit(cluster_means(vectors, assignment))
        cosine = centres @ centres.T
        np.fill_diagonal(cosine, -np.inf)
        first, second = divmod(int(cosine.argmax()), len(cosine))
        if cosine[first, second] <= above:
            break
        assignment = np.where(assignment == max(first, second), min(first, second), assignment)
        assignment = np.unique(assignment, return_inverse=True)[1]
    return assignment


def cluster_means(vectors: Features, assignment: Assignment) -> Float[ndarray, "k d"]:
    """Mean vector of each cluster."""
    sums = np.zeros((int(assignment.max(initial=-1)) + 1, vectors.shape[1]))
    np.add.at(sums, assignment, vectors)
    return sums / np.bincount(assignment)[:, None]


def rank_clusters(
    score: Float[ndarray, " n"], assignment: Assignment, smallest: int
) -> Int[ndarray, " k"]:
    """Clusters from most to least typical by median; those under `smallest` members last."""
    sizes = np.bincount(assignment)
    medians = np.array([np.median(score[assignment == c]) for c in range(len(sizes))])
    return np.lexsort((np.arange(len(sizes)), -medians, sizes < smallest))


def median_interval(values: Float[ndarray, " n"]) -> Interval:
    """The median with its distribution-free 95 % interval, from order statistics.

    The interval is between the values of the ranks that a binomial(n, 1/2) leaves outside with
    2.5 % on either side; with fewer than six values it is the whole range.
    """
    from scipy.stats import binom

    ordered = np.sort(values)
    count = len(ordered)
    lower = int(binom.ppf(0.025, count, 0.5)) - 1 if count >= 6 else 0
    lower = max(lower, 0)
    return Interval(
        float(np.median(ordered)), float(ordered[lower]), float(ordered[count - 1 - lower])
    )


def layout(features: Features, seed: int, at_most: int = 2000) -> Float[ndarray, "n 2"]:
    """Places on a unit square where like patches are neighbours (t-SNE, started from PCA).

    Above `at_most` patches an even sample is laid out and each other patch is put beside the
    sample's member most like it.
    """
    vectors = unit(features.astype(np.float64))
    sample = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), at_most)).astype(int))
    places = _unit_square(_tsne(vectors[sample], seed))
    if len(sample) == len(vectors):
        return places
    nearest = np.concatenate(
        [(block @ vectors[sample].T).argmax(axis=1) for block in _blocks(vectors)]
    )
    return places[nearest]


def _blocks(vectors: Features, size: int = 4096) -> list[Features]:
    return [vectors[start : start + size] for start in range(0, len(vectors), size)]


def _tsne(vectors: Features, seed: int) -> Float[ndarray, "n 2"]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(vectors) < 8:
        return np.stack([np.arange(len(vectors)), np.zeros(len(vectors))], axis=1).astype(float)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    # Twelve directions hold most of what makes patches neighbours and make the search cheap.
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    reduced = centred @ directions[:12].T
    with threadpool_limits(1):  # threads would change the order of sums, and so the places
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1, max_iter=500)
        return np.asarray(tsne.fit_transform(reduced), dtype=float)


def _unit_square(places: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
    low, high = places.min(axis=0), places.max(axis=0)
    return (places - low) / np.where(high > low, high - low, 1)


def _kmeans(
    vectors: Features, n_clusters: int, seed: int, starts: int
) -> tuple[Assignment, Float[ndarray, "k d"]]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    distinct = len(np.unique(vectors, axis=0))
    with threadpool_limits(1):
        model = KMeans(min(n_clusters, distinct), n_init=starts, random_state=seed, max_iter=300)
        assignment = model.fit_predict(vectors)
    return assignment.astype(int), model.cluster_centers_
