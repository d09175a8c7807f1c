"""Groups that are found again: a hierarchy agreed on by many clusterings of halves of the images.

Each *start* is a spherical k-means with too many clusters, fitted to the patches of half of the
images, its centres joined into a tree. Patches are as alike as the starts, on average, join them
early; the tree of that likeness is cut where its groups are found again in the trees of the
starts. Pure functions. Legend: `n` patches, `d` features, `k` centres, `g` groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.evaluation import adjusted_rand
from typika.mining.features import unit

Vectors = Float[ndarray, "n d"]
Sets = Bool[ndarray, "g n"]


@dataclass(frozen=True)
class Start:
    """One clustering of all patches, fitted to half of them.

    likeness: (n, n) cosine at which its tree joins two patches; sets: (g, n) members of every
    node of the tree.
    """

    likeness: Float[ndarray, "n n"]
    sets: Sets


@dataclass(frozen=True)
class Agreement:
    """Groups that starts agree on.

    assignment: (n,) group of each patch, -1 for none; stability: (g,) how well each group is found
    again, 0 to 1: the mean over the starts of its best overlap with one of their groups
    (intersection over union; Hennig 2007); repeats: how alike the starts group, their mean
    pairwise adjusted Rand index.
    """

    assignment: Int[ndarray, " n"]
    stability: Float[ndarray, " g"]
    repeats: float


def halves(
    images: Int[ndarray, " n"], count: int, rng: np.random.Generator
) -> list[Bool[ndarray, " n"]]:
    """`count` subsets of the patches, in complementary pairs; an image's patches stay together.

    images: (n,) the image of each patch, or its group of near-duplicates.
    """
    names = np.unique(images)
    found: list[Bool[ndarray, " n"]] = []
    while len(found) < count:
        own = np.isin(images, rng.permutation(names)[: (len(names) + 1) // 2])
        found += [own, ~own] if not own.all() else [own]
    return found[:count]


def start(vectors: Vectors, half: Bool[ndarray, " n"], n_clusters: int, seed: int) -> Start:
    """Cluster the patches of `half`, give each patch its nearest centre, and join the centres.

    vectors: (n, d) of length one. Centres are joined by average linkage of their cosines.
    """
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import squareform

    _, centres = k_means(vectors[half], n_clusters, seed)
    centres = unit(centres)
    nearest = (vectors @ centres.T).argmax(axis=1)
    if len(centres) == 1:
        alike = np.ones((1, 1))
        nodes = np.ones((1, 1), dtype=bool)
    else:
        tree = average_linkage(centres @ centres.T)
        alike = 1 - squareform(cophenet(tree))
        nodes = np.stack([np.isin(np.arange(len(centres)), own) for own in members(tree)])
    return Start(alike[np.ix_(nearest, nearest)], nodes[:, nearest])


def agree(
    starts: Sequence[Start],
    images: Int[ndarray, " n"],
    *,
    smallest: int,
    join: tuple[float, float],
    found_again: float,
) -> Agreement:
    """Cut the tree of the mean likeness into groups of at least `smallest` images.

    Groups less alike than the first cosine of `join` stay apart, those more alike than the second
    are one. Between the two, groups are joined unless each of them is found again with a
    stability of at least `found_again`.
    """
    if len(images) == 1:
        return Agreement(np.zeros(1, dtype=int), np.ones(1), 1.0)
    alike = np.mean([one.likeness for one in starts], axis=0)
    tree = average_linkage(alike)
    nodes = members(tree)
    large = [len(np.unique(images[own])) >= smallest for own in nodes]
    sets = np.zeros((len(nodes), len(images)), dtype=bool)
    for place, own in enumerate(nodes):
        sets[place, own] = large[place]
    overlap = overlaps(sets, [one.sets for one in starts])
    stability = overlap.max(axis=2).mean(axis=0)
    groups = cut(tree, np.array(large), stability, join, found_again)
    assignment = np.full(len(images), -1)
    for place, node in enumerate(groups):
        assignment[nodes[node]] = place
    versions = [
        _version(one.sets[best.argmax(axis=1)])
        for one, best in zip(starts, overlap[:, groups], strict=True)
    ]
    return Agreement(assignment, stability[groups], mean_adjusted_rand(versions))


def cut(
    tree: Float[ndarray, "m 4"],
    large: Bool[ndarray, " nodes"],
    stability: Float[ndarray, " nodes"],
    join: tuple[float, float],
    found_again: float,
) -> list[int]:
    """The nodes of the tree that are groups: disjoint, and all of them large.

    tree: of average linkage, 1 - cosine; its nodes are numbered as SciPy does, patches first.
    """
    n = len(tree) + 1
    groups: list[list[int]] = [[node] if large[node] else [] for node in range(n)]
    for place, (left, right, apart, _) in enumerate(tree):
        node, cosine = n + place, 1 - apart
        below = [*groups[int(left)], *groups[int(right)]]
        if not large[node]:
            below = []
        elif cosine >= join[1] or not below:
            below = [node]
        elif cosine >= join[0]:
            # One group with nothing but odd patches beside it takes them in if that helps.
            enough = found_again if len(below) > 1 else np.nextafter(stability[node], np.inf)
            if stability[below].min() < enough:
                below = [node]
        groups.append(below)
    return groups[-1]


def overlaps(sets: Sets, others: Sequence[Bool[ndarray, "_ n"]]) -> Float[ndarray, "s g _nodes"]:
    """Intersection over union of each set with each of the others; 0 for empty sets.

    Those of `others` with fewer sets than most are filled up with zeros.
    """
    most = max(map(len, others))
    found = np.zeros((len(others), len(sets), most))
    size = sets.sum(axis=1)
    kept = np.flatnonzero(size)
    ours = sets[kept].astype(np.float32)  # exact: counts of patches are small whole numbers
    for place, other in enumerate(others):
        both = ours @ other.T.astype(np.float32)
        union = size[kept, None] + other.sum(axis=1) - both
        found[place, kept, : len(other)] = both / union
    return found


def _version(sets: Sets) -> Int[ndarray, " n"]:
    """A grouping from sets that may overlap: the smallest set that a patch is in; 0 for none."""
    version = np.zeros(sets.shape[1], dtype=int)
    for place in np.argsort(-sets.sum(axis=1), kind="stable"):
        version[sets[place]] = place + 1
    return version


def mean_adjusted_rand(groupings: Sequence[Int[ndarray, " n"]]) -> float:
    """Mean over all pairs of groupings; nan where there is no pair."""
    found = [adjusted_rand(one, two) for one, two in combinations(groupings, 2)]
    return float(np.mean(found)) if found else float("nan")


def average_linkage(cosine: Float[ndarray, "n n"]) -> Float[ndarray, "m 4"]:
    """The tree that joins the most alike first, as SciPy's linkage of 1 - cosine."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    apart = np.clip(1 - cosine, 0, None)
    apart = (apart + apart.T) / 2
    np.fill_diagonal(apart, 0)
    tree: ndarray = linkage(squareform(apart, checks=False), "average")
    return tree


def members(tree: Float[ndarray, "m 4"]) -> list[Int[ndarray, " p"]]:
    """The leaves of every node of a tree, leaves first, in SciPy's order."""
    found = [np.array([leaf]) for leaf in range(len(tree) + 1)]
    for left, right, *_ in tree:
        found.append(np.concatenate([found[int(left)], found[int(right)]]))
    return found


def k_means(
    vectors: Vectors, n_clusters: int, seed: int
) -> tuple[Int[ndarray, " n"], Float[ndarray, "k d"]]:
    """k-means from one k-means++ start: assignment and centres; as many as there are vectors."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    distinct = len(np.unique(vectors, axis=0))
    with threadpool_limits(1):
        model = KMeans(min(n_clusters, distinct), n_init=1, random_state=seed, max_iter=300)
        assignment = model.fit_predict(vectors)
    return assignment.astype(int), model.cluster_centers_
