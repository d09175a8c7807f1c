"""Groups of like patches: clustering, ranking, intervals and a map of all of them.

A partition is fitted to some patches (`fit`), and any patch is given to it or left loose
(`assign`). Pure functions on arrays. Legend: `n` patches, `d` features, `k` clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.errors import ConfigError
from typika.evaluation import Bootstrap, Estimate, median
from typika.mining import consensus
from typika.mining.features import unit as unit

Features = Float[ndarray, "n d"]
Images = Int[ndarray, " n"]
Assignment = Int[ndarray, " n"]

LOOSE = -1  # cluster of patches that fit none
PUBLISHED_SEED = 10
SPREAD = 1.4826  # standard deviations per median absolute deviation, of a normal distribution
RESAMPLINGS = 500  # behind the interval of a cluster's typicality
ROUNDING = 1e-6  # of distances between unit vectors: copies of one patch are never loose


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How patches are grouped."""

    method: Literal["consensus", "hdbscan", "published"] = "consensus"
    # What of a patch is compared: what is typical in it, or the mean of all of it as in the paper.
    pooling: Literal["typicality", "mean"] = "typicality"
    # Directions in which random patches vary, taken off beside their mean (not if "published").
    background: int = 4
    n_clusters: int = 32  # of each start, before like ones are joined; "published": in the end
    n_starts: int = 20  # fits of halves of the images, which the consensus is made of
    join: tuple[float, float] = (0.5, 0.8)  # cosines: groups less alike stay apart, more are one
    found_again: float = 0.85  # stability from which groups between the two cosines stay apart
    loose: float = 2.5  # standard deviations beyond the median distance that a member may lie
    smallest: int = 5  # images; clusters with fewer are dissolved ("published": listed last)
    one_per_image: bool = True  # of a cluster's patches from one image only the closest stays

    def __post_init__(self) -> None:
        if min(self.n_clusters, self.smallest, self.n_starts) < 1 or self.background < 0:
            raise ConfigError(
                f"n_clusters={self.n_clusters}, smallest={self.smallest}, "
                f"n_starts={self.n_starts}, background={self.background}: need at least 1, 1, 1, 0"
            )
        if not -1 <= self.join[0] <= self.join[1] <= 1:
            raise ConfigError(f"join={self.join}: need two cosines in [-1, 1], the lower first")
        if not 0 <= self.found_again <= 1 or self.loose <= 0:
            raise ConfigError(
                f"found_again={self.found_again}, loose={self.loose}: need a share in [0, 1] and "
                "a positive number"
            )


@dataclass(frozen=True)
class Background:
    """What any patch looks like: mean (d,), and orthonormal directions (b, d) of variation."""

    mean: Float[ndarray, " d"]
    directions: Float[ndarray, "b d"]


@dataclass(frozen=True)
class Groups:
    """A fitted partition of the patches of one label.

    centres: (k, d); radius: (k,) Euclidean distance from the centre up to which patches belong to
    it; stability: (k,) how well each is found again in fits of halves of the images, 0 to 1;
    repeats: mean adjusted Rand index of those fits, nan where there are none; one_per_image:
    whether an image counts once in a cluster.
    """

    centres: Float[ndarray, "k d"]
    radius: Float[ndarray, " k"]
    stability: Float[ndarray, " k"]
    repeats: float
    one_per_image: bool


@dataclass(frozen=True)
class Clustering:
    """Groups of the patches of one label.

    assignment: (n,) cluster of each patch, 0 .. k-1, or LOOSE; distance: (n,) to the nearest
    centre, Euclidean.
    """

    assignment: Assignment
    distance: Float[ndarray, " n"]


# --- what is compared ---------------------------------------------------------------------------


def background(random: Features, label: Int[ndarray, " n"], count: int) -> Background:
    """Mean of random patches, and the first `count` directions in which they vary.

    The directions are the principal ones within labels, since what tells labels apart is no
    background; few patches (under ten for each) give fewer of them.
    """
    within = random.astype(np.float64)
    mean = within.mean(axis=0)
    for number in np.unique(label):
        within[label == number] -= within[label == number].mean(axis=0)
    _, _, directions = np.linalg.svd(within, full_matrices=False)
    return Background(mean, directions[: min(count, len(random) // 10)])


def without(features: Features, what: Background) -> Features:
    """Features less the background, scaled to length one."""
    rest = features.astype(np.float64) - what.mean
    return unit(rest - (rest @ what.directions.T) @ what.directions)


# --- grouping -----------------------------------------------------------------------------------


def fit(vectors: Features, images: Images, config: ClusterConfig, seed: int) -> Groups:
    """Partition patches as `config.method` says.

    vectors: (n, d) of length one; images: (n,) the near-duplicate group of images that each
    patch comes from, of which a cluster needs several.
    "consensus": groups that fits of halves of the images agree on; "hdbscan": dense regions;
    "published": k-means (Siglidis et al. 2024, Sec. 3.3).
    """
    rng = np.random.default_rng([seed, 11])
    parts = consensus.halves(images, config.n_starts, rng)
    if config.method == "consensus":
        return _agreed(vectors, images, config, parts, rng)

    def once(part: Bool[ndarray, " n"], number: int) -> Groups:
        if config.method == "hdbscan":
            return _dense(vectors[part], images[part], config)
        return published(vectors[part], config.n_clusters, PUBLISHED_SEED + number)

    groups = once(np.ones(len(vectors), dtype=bool), 0)
    refits = [
        assign(vectors, images, once(part, number)).assignment for number, part in enumerate(parts)
    ]
    found = assign(vectors, images, groups).assignment
    stability, repeats = repeatability(found, refits, len(groups.centres))
    return replace(groups, stability=stability, repeats=repeats)


def assign(vectors: Features, images: Images, groups: Groups) -> Clustering:
    """Give each patch to the nearest centre, or to none if it lies beyond the cluster's radius.

    Where an image counts once, only its closest patch stays in a cluster. vectors, images: as
    in `fit`, of any patches.
    """
    if not len(groups.centres):
        return Clustering(np.full(len(vectors), LOOSE), np.full(len(vectors), np.nan))
    apart = np.stack([np.linalg.norm(vectors - centre, axis=1) for centre in groups.centres])
    nearest = apart.argmin(axis=0)
    distance = apart.min(axis=0)
    assignment = np.where(distance <= groups.radius[nearest], nearest, LOOSE)
    if groups.one_per_image:
        assignment = np.where(_closest(assignment, images, distance), assignment, LOOSE)
    return Clustering(assignment, distance)


def _closest(
    assignment: Assignment, images: Images, distance: Float[ndarray, " n"]
) -> Bool[ndarray, " n"]:
    """Which patches are the closest of their image in their cluster; ties go to the first."""
    order = np.lexsort((distance, images, assignment))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(assignment[order]) != 0) | (np.diff(images[order]) != 0)
    closest = np.zeros(len(order), dtype=bool)
    closest[order[first]] = True
    return closest


def repeatability(
    assignment: Assignment, refits: Sequence[Assignment], count: int
) -> tuple[Float[ndarray, " k"], float]:
    """How well `count` clusters are found again, and how alike the refits are; as in `Groups`."""

    def sets(grouping: Assignment, count: int) -> Bool[ndarray, "_ n"]:
        return grouping[None] == np.arange(count)[:, None]

    again = [sets(refit, int(refit.max(initial=0)) + 1) for refit in refits]
    stability = consensus.overlaps(sets(assignment, count), again).max(axis=2).mean(axis=0)
    return stability, consensus.mean_adjusted_rand([refit + 1 for refit in refits])


def _agreed(
    vectors: Features,
    images: Images,
    config: ClusterConfig,
    parts: Sequence[Bool[ndarray, " n"]],
    rng: np.random.Generator,
) -> Groups:
    """The partition that fits of parts of the patches agree on."""
    starts = []
    for part in parts:
        count = max(1, min(config.n_clusters, int(part.sum()) // config.smallest))
        starts.append(consensus.start(vectors, part, count, int(rng.integers(2**31))))
    found = consensus.agree(
        starts, images, smallest=_least(images, config), join=config.join,
        found_again=config.found_again,
    )  # fmt: skip
    groups = _settled(vectors, images, found.assignment, found.stability, config)
    return replace(groups, repeats=found.repeats)


def _dense(vectors: Features, images: Images, config: ClusterConfig) -> Groups:
    """Dense regions (Campello et al. 2013), each then as wide as its members' spread allows."""
    from sklearn.cluster import HDBSCAN

    size = max(2, _least(images, config))
    assignment = np.full(len(vectors), LOOSE)
    if len(vectors) > size:
        assignment = HDBSCAN(size, copy=True).fit_predict(vectors).astype(int)
    unknown = np.zeros(int(assignment.max(initial=LOOSE)) + 1)
    return _settled(vectors, images, assignment, unknown, config)


def published(vectors: Features, n_clusters: int, seed: int) -> Groups:
    """k-means as published: one start, on plain unit vectors, no patch loose."""
    _, centres = consensus.k_means(vectors, n_clusters, seed)
    everywhere, unknown = np.full(len(centres), np.inf), np.zeros(len(centres))
    return Groups(centres, everywhere, unknown, np.nan, one_per_image=False)


def _least(images: Images, config: ClusterConfig) -> int:
    """Images that a cluster needs; labels of few images may have smaller clusters."""
    return min(config.smallest, max(2, len(np.unique(images)) // 4))


def _settled(
    vectors: Features,
    images: Images,
    assignment: Assignment,
    stability: Float[ndarray, " k"],
    config: ClusterConfig,
) -> Groups:
    """Centres and radii of clusters, less those that keep too few images.

    Where none is left, all patches are one cluster, with a stability of 0.
    """
    count = len(stability)
    centres = unit(cluster_means(vectors, assignment, count))
    radius = np.array([
        _radius(np.linalg.norm(vectors[assignment == number] - centres[number], axis=1), config)
        for number in range(count)
    ])  # fmt: skip
    groups = Groups(centres, radius, stability, np.nan, config.one_per_image)
    while len(groups.centres):
        found = assign(vectors, images, groups).assignment
        large = np.array([
            len(np.unique(images[found == number])) >= _least(images, config)
            for number in range(len(groups.centres))
        ])  # fmt: skip
        if large.all():
            return groups
        groups = replace(groups, centres=groups.centres[large], radius=groups.radius[large],
                         stability=groups.stability[large])  # fmt: skip
    everything = unit(vectors.mean(axis=0, keepdims=True))
    return replace(groups, centres=everything, radius=np.full(1, np.inf), stability=np.zeros(1))


def _radius(distance: Float[ndarray, " n"], config: ClusterConfig) -> float:
    """How far members may lie from their centre; copies of one patch are never loose."""
    middle = np.median(distance)
    spread = SPREAD * np.median(np.abs(distance - middle))
    return float(middle + config.loose * spread + ROUNDING)


def cluster_means(vectors: Features, assignment: Assignment, count: int) -> Float[ndarray, "k d"]:
    """Mean vector of each of `count` clusters, none of them empty; loose patches do not count."""
    means = np.zeros((count, vectors.shape[1]))
    for number in range(count):
        means[number] = vectors[assignment == number].mean(axis=0)
    return means


# --- order and figures --------------------------------------------------------------------------


def rank_clusters(
    score: Float[ndarray, " n"], assignment: Assignment, smallest: int
) -> Int[ndarray, " k"]:
    """Clusters from most to least typical by median; those under `smallest` members last.

    assignment: LOOSE patches count for nothing.
    """
    sizes = np.bincount(assignment[assignment != LOOSE])
    medians = np.array([np.median(score[assignment == c]) for c in range(len(sizes))])
    return np.lexsort((np.arange(len(sizes)), -medians, sizes < smallest))


def median_interval(
    values: Float[ndarray, " n"], units: Int[ndarray, " n"], seed: int
) -> Estimate:
    """The median with its 95 % bootstrap interval.

    units: (n,) what varies together: patches of one image, or of images of one group, are drawn
    with replacement all at once. No interval where there is but one unit.
    """
    own = np.unique(units, return_inverse=True)[1]
    rng = np.random.default_rng([seed, 29])
    return Estimate.of(Bootstrap.of_groups(own, RESAMPLINGS, rng).values(median(values)))


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
