"""Anchors: places along a continuous condition at which the embedded model has heads of its own.

Between anchors heads are mixed, v(c) = v(∅) + Σ_j φ_j(c) (B_j h + f_j), so that near conditions
share what they have learned; an image is to the model a little of every anchor near its
condition. A number is measured in ranks, so that no stretch of its axis is empty. Pairs and
vectors are measured in their principal directions. Pure functions.

Legend: `n` images, `d` numbers of a condition, `p` coordinates, `k` anchors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

DIRECTIONS = 8  # most principal directions of a vector that are kept ...
LEAST_SPREAD = 0.02  # ... and the share of the first one's variance below which none is
NARROW = 0.5  # reach of an anchor of pairs and vectors, in distances to the next anchor


@dataclass(frozen=True)
class Anchors:
    """Anchors of one condition; made by `fit_anchors`.

    values: (k, d) the condition at each anchor; places: (k, p) the same in coordinates; knots,
    ranks: of a number, its distinct values and where they lie in [0, 1], else empty; mean,
    directions: (d,), (p, d) of what is no number.
    """

    values: Float[ndarray, "k d"]
    places: Float[ndarray, "k p"]
    knots: Float[ndarray, " v"]
    ranks: Float[ndarray, " v"]
    mean: Float[ndarray, " d"]
    directions: Float[ndarray, "p d"]

    def __len__(self) -> int:
        return len(self.places)

    def coordinates(self, values: Float[ndarray, "n d"]) -> Float[ndarray, "n p"]:
        """Where conditions lie: a number's rank in [0, 1], else along the principal directions."""
        if len(self.knots):
            return np.interp(values[:, 0], self.knots, self.ranks)[:, None]
        found: ndarray = (values - self.mean) @ self.directions.T
        return found

    def shares(self, values: Float[ndarray, "n d"]) -> Float[ndarray, "n k"]:
        """φ(c): what of each anchor a condition has; rows sum to one.

        Along a number only the two anchors around it have a share (linear B-splines); elsewhere
        shares fall off as Gaussians.
        """
        there = self.coordinates(values)
        if len(self.knots):
            own = self.places[:, 0]
            return np.stack([np.interp(there[:, 0], own, row) for row in np.eye(len(own))], axis=1)
        apart = _squared_distances(there, self.places)
        between = _squared_distances(self.places, self.places)
        np.fill_diagonal(between, np.inf)
        reach = NARROW**2 * np.median(between.min(axis=1))
        logits = -apart / (2 * reach)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: ndarray = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def nearest(self, values: Float[ndarray, "n d"]) -> Int[ndarray, " n"]:
        """The anchor of which a condition has most."""
        nearest: ndarray = self.shares(values).argmax(axis=1)
        return nearest


def fit_anchors(values: Float[ndarray, "n d"], count: int, seed: int) -> Anchors:
    """Place up to `count` anchors over conditions, of which two or more are distinct.

    Along a number at equal shares of the images; among pairs and vectors at the centres of
    k-means. Fewer where there are fewer distinct conditions.
    """
    distinct, times = np.unique(values, axis=0, return_counts=True)
    count = min(count, len(distinct))
    if values.shape[1] == 1:
        knots = distinct[:, 0]
        ranks = np.cumsum(times) - times / 2
        ranks = (ranks - ranks[0]) / (ranks[-1] - ranks[0])
        wanted = np.linspace(0, 1, count)
        places = np.unique(ranks[np.abs(ranks[:, None] - wanted).argmin(axis=0)])
        own = np.interp(places, ranks, knots)
        nothing = np.zeros((1, 1))
        return Anchors(own[:, None], places[:, None], knots, ranks, nothing[0], nothing)
    mean = values.mean(axis=0)
    directions = _directions(values, mean)
    places = _centres((values - mean) @ directions.T, count, seed)
    # Directions of a pair are scaled to equal spread: degrees and kilometres are one.
    own = mean + places @ np.linalg.pinv(directions).T
    return Anchors(own, places, np.zeros(0), np.zeros(0), mean, directions)


def _directions(
    values: Float[ndarray, "n d"], mean: Float[ndarray, " d"]
) -> Float[ndarray, "p d"]:
    """The axes of a pair, each in its own spread; of a vector the principal directions."""
    if values.shape[1] == 2:
        spread = values.std(axis=0)
        return np.diag(1 / np.where(spread > 0, spread, 1.0))
    _, size, directions = np.linalg.svd(values - mean, full_matrices=False)
    kept = size[:DIRECTIONS] ** 2 >= LEAST_SPREAD * size[0] ** 2
    found: ndarray = directions[:DIRECTIONS][kept] / (size[0] / np.sqrt(len(values)))
    return found


def _centres(places: Float[ndarray, "n p"], count: int, seed: int) -> Float[ndarray, "k p"]:
    """Centres of k-means, in a fixed order."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    count = min(count, len(np.unique(places, axis=0)))
    with threadpool_limits(1):
        centres = KMeans(count, n_init=4, random_state=seed).fit(places).cluster_centers_
    ordered: ndarray = centres[np.lexsort(centres.T[::-1])]
    return ordered


def _squared_distances(
    first: Float[ndarray, "n p"], second: Float[ndarray, "k p"]
) -> Float[ndarray, "n k"]:
    found: ndarray = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    return found
