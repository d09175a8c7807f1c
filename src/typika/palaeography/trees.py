"""Documents by likeness over all letters: dendrogram, map, nearest documents (spec 6.1, 6).

The squared distance of two documents is a weighted mean over the letters that both have, of their
squared L2 distances less noise, each in units of what is usual for its letter. A letter that is
nothing but noise is usual noise, so that it adds next to nothing.

Legend: `K` letters, `D` documents, `s` resamplings, `p` pixels compared, `n` instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from typika.palaeography.comparison_records import Tree
from typika.palaeography.units import ComparisonConfig, Means, Sample, Units

HALF = 5.0  # instances of a letter in both documents with which it has half of its full weight
LEAST_LETTERS = 3  # that two documents must share to be compared
LEAST_DOCUMENTS = 3  # of a tree
TREE = 3  # seed of what draws
BLOCK = 32  # resamplings at once


@dataclass(frozen=True, eq=False)
class Apart:
    """Squared distances of documents, letter by letter.

    square: in units of what is usual for the letter, less noise; 0 where weight is 0. weight: of a
    letter for two documents, in [0, 1), by how often both have it; 0 where one lacks it.
    """

    square: Float[ndarray, "K D D"]
    weight: Float[ndarray, "K D D"]

    def of(self, documents: Int[ndarray, " m"]) -> Apart:
        """The same of some of the documents."""
        own = np.ix_(np.arange(len(self.square)), documents, documents)
        return Apart(self.square[own], self.weight[own])

    def squares(self, times: Float[ndarray, " K"] | None = None) -> Float[ndarray, "D D"]:
        """The weighted mean over letters, each counted `times`; nan for documents that share none.

        Noise being taken off, a square can fall below 0.
        """
        weight = self.weight if times is None else self.weight * times[:, None, None]
        total = weight.sum(axis=0)
        found = (weight * self.square).sum(axis=0) / np.where(total > 0, total, np.nan)
        np.fill_diagonal(found, 0.0)
        return found

    @property
    def shared(self) -> Int[ndarray, "D D"]:
        """How many letters two documents share."""
        return (self.weight > 0).sum(axis=0)


def apart(means: Sequence[Means]) -> Apart:
    """Squared distances of all documents, letter by letter."""
    square, weight = [], []
    for own in means:
        plain = _squares(own.value[None])[0]
        less = own.noise[:, None] + own.noise[None, :]
        square.append((plain - less) / _usual(own, plain))
        weight.append(_weight(own))
    both = np.stack(weight)
    apart_from_itself = (both > 0) & ~np.eye(both.shape[1], dtype=bool)
    return Apart(np.where(apart_from_itself, np.stack(square), 0), both)


def resampled(
    found: Sample, own: Means, draws: int, rng: np.random.Generator
) -> Float[ndarray, "s D D"]:
    """One letter's part of `Apart.square`, with the instances of every document resampled.

    A resampled mean has the noise of the mean once more, which is taken off too.
    """
    square = np.empty((draws, len(own.count), len(own.count)))
    ink = found.filled.astype(np.float32)
    rows = [np.flatnonzero(found.unit == unit) for unit in range(len(own.count))]
    n = np.maximum(own.count, 1)
    twice = own.noise * (1 + (n - 1) / n)
    usual = _usual(own, _squares(own.value[None])[0])
    for start in range(0, draws, BLOCK):
        end = min(start + BLOCK, draws)
        value = np.zeros((end - start, *own.value.shape))
        for unit in np.flatnonzero(own.known):
            chosen = rng.multinomial(n[unit], np.full(n[unit], 1 / n[unit]), size=end - start)
            value[:, unit] = chosen.astype(np.float32) @ ink[rows[unit]] / n[unit]
        less = twice[:, None] + twice[None, :]
        square[start:end] = (_squares(value) - less) / usual
    return np.where(_weight(own)[None] > 0, square, 0)


def resample_all(
    pairs: Iterable[tuple[Sample, Means]], config: ComparisonConfig
) -> Float[ndarray, "s K D D"]:
    """`resampled` of every letter."""
    found = []
    for k, (one, own) in enumerate(pairs):
        rng = np.random.default_rng([config.seed, TREE, k])
        found.append(resampled(one, own, config.draws, rng).astype(np.float32))
    return np.stack(found, axis=1)


def comparable(found: Apart) -> Bool[ndarray, " D"]:
    """Documents that share enough letters with one another; those that lack most go first."""
    kept = np.ones(len(found.shared), bool)
    while kept.any():
        poor = (found.shared < LEAST_LETTERS) & kept[None, :] & kept[:, None]
        np.fill_diagonal(poor, val=False)
        if not poor.any():
            break
        kept[int(np.argmax(poor.sum(axis=1)))] = False
    return kept


def tree(
    units: Units, found: Apart, draws: Float[ndarray, "s K D D"], config: ComparisonConfig
) -> Tree | None:
    """Average linkage of the documents, with the share of resamplings that have each branch.

    draws: squares with resampled instances; letters are resampled here. None with too few
    documents.
    """
    kept = np.flatnonzero(comparable(found))
    if len(kept) < LEAST_DOCUMENTS:
        return None
    own = found.of(kept)
    distance = _distances(own.squares())
    joined = linkage(squareform(distance), "average")
    branches = _branches(joined)
    rng = np.random.default_rng([config.seed, TREE])
    count = np.zeros(len(branches))
    for drawn in draws:
        times = np.bincount(rng.integers(len(drawn), size=len(drawn)), minlength=len(drawn))
        again = replace(own, square=drawn[np.ix_(np.arange(len(drawn)), kept, kept)].astype(float))
        square = again.squares(times.astype(np.float64))
        if not np.isfinite(square).all():  # none of the letters drawn is shared by two documents
            square = np.where(np.isfinite(square), square, np.nanmean(square))
        other = set(_branches(linkage(squareform(_distances(square)), "average")))
        count += [branch in other for branch in branches]
    place, stress = scaled(distance)
    return Tree(
        documents=tuple(units.names[d] for d in kept), group=tuple(units.group[d] for d in kept),
        left_out=tuple(name for d, name in enumerate(units.names) if d not in kept),
        distance=distance, linkage=joined, support=count / max(len(draws), 1), place=place,
        stress=stress,
    )  # fmt: skip


def scaled(distance: Float[ndarray, "D D"], axes: int = 2) -> tuple[Float[ndarray, "D a"], float]:
    """Classical multidimensional scaling (Torgerson 1952), and √(Σ (d − d̂)² / Σ d²)."""
    values, vectors = principal(distance**2)
    place = np.zeros((len(distance), axes))
    own = vectors[:, :axes] * np.sqrt(np.maximum(values[:axes], 0))
    place[:, : own.shape[1]] = own
    drawn = np.linalg.norm(place[:, None] - place[None, :], axis=2)
    total = (distance**2).sum()
    return place, float(np.sqrt(((distance - drawn) ** 2).sum() / total)) if total > 0 else 0.0


def principal(square: Float[ndarray, "D D"]) -> tuple[Float[ndarray, " a"], Float[ndarray, "D a"]]:
    """Principal axes of points whose squared distances are known: variances, unit vectors.

    The largest first. The sign of each is such that its largest coordinate is positive.
    """
    centring = np.eye(len(square)) - 1 / len(square)
    values, vectors = np.linalg.eigh(-0.5 * centring @ square @ centring)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))]
    return values, vectors * np.where(largest < 0, -1, 1)


def _branches(joined: Float[ndarray, "_ 4"]) -> list[frozenset[int]]:
    """The documents under each join."""
    n = len(joined) + 1
    found: list[frozenset[int]] = [frozenset([leaf]) for leaf in range(n)]
    for one, other in joined[:, :2].astype(int).tolist():
        found.append(found[one] | found[other])
    return found[n:]


def _distances(square: Float[ndarray, "D D"]) -> Float[ndarray, "D D"]:
    """Roots, the mean of all pairs 1; a square below 0 is of documents that do not differ."""
    root = np.sqrt(np.maximum((square + square.T) / 2, 0))
    np.fill_diagonal(root, 0.0)
    n = len(root)
    usual = root.sum() / max(n * (n - 1), 1)
    return root / usual if usual > 0 else root


def _squares(value: Float[ndarray, "s D p"]) -> Float[ndarray, "s D D"]:
    centred = value - value.mean(axis=1, keepdims=True)
    gram = centred @ centred.transpose(0, 2, 1)
    own = np.diagonal(gram, axis1=1, axis2=2)
    return np.maximum(own[:, :, None] + own[:, None, :] - 2 * gram, 0)


def _usual(own: Means, plain: Float[ndarray, "D D"]) -> float:
    """The mean squared distance of two documents that have the letter, noise and all."""
    pairs = own.known[:, None] & own.known[None, :]
    np.fill_diagonal(pairs, val=False)
    usual = float(plain[pairs].mean()) if pairs.any() else 0.0
    return usual if usual > 0 else 1.0


def _weight(own: Means) -> Float[ndarray, "D D"]:
    """n̄ / (n̄ + `HALF`) of the harmonic mean n̄ of both counts; 0 where one lacks the letter."""
    count = np.where(own.known, own.count, 0).astype(np.float64)
    total = count[:, None] + count[None, :]
    mean = 2 * count[:, None] * count[None, :] / np.where(total > 0, total, 1)
    return mean / (mean + HALF)
