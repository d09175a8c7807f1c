"""Prototypes of groups that lean on the groups around them.

A document of eight lines has three instances of some letters and none of others. Its prototype is
the mean of what it has, shrunk towards the prototype of the group that it lies in,

    s_g = (n_g m_g + λ s_parent) / (n_g + λ),        λ = σ² / τ²,

with σ² the variance of instances within groups and τ² that of groups within their parents, both
estimated for each letter from the data (empirical Bayes). Above all groups stands the whole
collection, and above it the model's own sprite. A group without instances of a letter has its
parent's prototype, exactly.

Legend: `n` instances, `G` groups of a level, `P` pixels of a sprite. Ink in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from typika.palaeography.groupings import Hierarchy
from typika.palaeography.records import Instances, Letter

CHUNK = 1024  # instances whose pixels are in memory at once
LEAST_VARIANCE = 1e-8  # of instances, whose ink is known to 1/255
WHOLE = "whole"  # what the level above all groups is called


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the instances of one letter in each group, per pixel.

    With weight w, strength a and ink x: weight Σw, ink Σwx, square Σwx², energy Σwa², match Σwax.
    """

    weight: Float[ndarray, "G P"]
    ink: Float[ndarray, "G P"]
    square: Float[ndarray, "G P"]
    energy: Float[ndarray, "G P"]
    match: Float[ndarray, "G P"]

    @property
    def mean(self) -> Float[ndarray, "G P"]:
        """Of the ink; 0 where no instance counts."""
        return _ratio(self.ink, self.weight)

    @property
    def variance(self) -> Float[ndarray, "G P"]:
        """Of the ink, with one degree of freedom less; 0 where fewer than two instances count."""
        away = np.maximum(self.square - self.ink * self.mean, 0)
        return np.where(self.weight > 1, away / np.maximum(self.weight - 1, 1e-9), 0.0)

    @property
    def best(self) -> Float[ndarray, "G P"]:
        """The sprite that, at each one's strength, is nearest to the instances; 0 for none."""
        return _ratio(self.match, self.energy)


@dataclass(frozen=True, eq=False)
class Fit:
    """Prototypes of one letter at every level, and the variances that they were shrunk by.

    whole: of the collection. prototypes: of each level, coarse to fine. within: σ², of an
    instance about its group. between: τ² of the whole about the model's sprite, then of each
    level about the one above.
    """

    whole: Float[ndarray, " P"]
    prototypes: tuple[Float[ndarray, "_ P"], ...]
    within: float
    between: tuple[float, ...]

    @property
    def penalties(self) -> tuple[float, ...]:
        """λ of the whole and of each level: as many instances as the parent is worth."""
        return tuple(self.within / t if t > 0 else np.inf for t in self.between)


def shrunk(
    mean: Float[ndarray, "G P"],
    count: Float[ndarray, "G P"],
    parent: Float[ndarray, "G P"],
    penalty: float,
) -> Float[ndarray, "G P"]:
    """(n m + λ s) / (n + λ): the least of n (s_g − m)² + λ (s_g − s)², which is ridge regression.

    λ = 0 gives the mean and an infinite λ the parent; where n = 0 there is the parent.
    """
    if not np.isfinite(penalty):
        return parent.copy()
    share = _ratio(count, count + penalty)
    return parent + share * (mean - parent)


def letter_sums(
    instances: Instances, letter: int, member: Int[ndarray, " n"], n_groups: int
) -> Sums:
    """Sums over the instances of a letter in each group. member: of each instance; −1: none."""
    rows = np.flatnonzero((instances.letter == letter) & (member >= 0))
    pixels = instances.shape[0] * instances.shape[1]
    sums = [np.zeros((n_groups, pixels)) for _ in range(5)]
    strength = strengths(instances)
    for chunk in np.split(rows, range(CHUNK, len(rows), CHUNK)):
        x = instances.ink[chunk].reshape(len(chunk), pixels) / np.float32(255)
        w = instances.weight[chunk].reshape(len(chunk), pixels) / np.float32(255)
        belongs = member[chunk] == np.arange(n_groups)[:, None]
        light = (belongs * strength[chunk]).astype(np.float32)
        plain = belongs.astype(np.float32)
        for total, own in zip(
            sums,
            (plain @ w, plain @ (w * x), plain @ (w * x * x), (light**2) @ w, light @ (w * x)),
            strict=True,
        ):
            total += own
    return Sums(*sums)


def strengths(instances: Instances) -> Float[ndarray, " n"]:
    """How dark each instance is beside its line's ink; 1 where that is not known."""
    if "strength" not in instances.table.column_names:
        return np.ones(len(instances.letter))
    return instances.table["strength"].to_numpy().astype(float)


def fit(sums: Sums, above: Sequence[Int[ndarray, " _"]], reference: Float[ndarray, " P"]) -> Fit:
    """Prototypes of one letter under a hierarchy, each shrunk towards its parent's.

    sums: of the finest groups. above: of each level, coarse to fine, the number of each group's
    parent; of the coarsest, zeros: the whole. reference: the model's own sprite.

    What lies in a group speaks for it by its precision, so that a document of many lines does not
    drown the others of its script; then, from the whole down, each group leans on its parent. In a
    tree of Gaussian deviations this is the exact posterior mean.
    """
    within = within_groups(sums)
    mean, precision = sums.best, sums.energy / within
    upward = [(mean, precision)]
    between: list[float] = []
    for parents in reversed(above):
        n_parents = int(parents.max(initial=0)) + 1
        spread = between_groups(mean, precision, parents, n_parents)
        between.insert(0, spread)
        mean, precision = _summed_up(mean, precision, spread, parents, n_parents)
        upward.insert(0, (mean, precision))
    between.insert(0, about_known(mean, precision, reference[None]))
    parent, found = reference[None].astype(float), []
    for (mean, precision), spread, parents in zip(
        upward, between, (np.zeros(1, np.int64), *above), strict=True
    ):
        penalty = 1 / spread if spread > 0 else np.inf
        parent = shrunk(mean, precision, parent[parents], penalty)
        found.append(parent)
    return Fit(found[0][0], tuple(found[1:]), within, tuple(between))


def within_groups(sums: Sums) -> float:
    """σ²: the variance of instances about their group's best sprite, a mean over pixels."""
    away = np.maximum(sums.square - sums.match * sums.best, 0).sum()
    free = np.maximum(sums.weight - 1, 0).sum()
    return max(float(away / free), LEAST_VARIANCE) if free > 0 else LEAST_VARIANCE


def between_groups(
    mean: Float[ndarray, "G P"],
    precision: Float[ndarray, "G P"],
    parents: Int[ndarray, " G"],
    n_parents: int,
) -> float:
    """τ²: the variance of groups about their parent's mean, a mean over pixels, at least 0.

    By moments (DerSimonian and Laird 1986): Σ p (m − m̄)² exceeds what noise explains, groups less
    parents, by τ² (Σp − Σp²/Σp). 0 where no parent has two groups.
    """
    inside = (parents == np.arange(n_parents)[:, None]).astype(float)
    total = inside @ precision
    middle = _ratio(inside @ (precision * mean), total)
    found = (precision * (mean - middle[parents]) ** 2).sum()
    noise = ((inside @ (precision > 0)) - (total > 0)).sum()
    scale = (total - _ratio(inside @ precision**2, total)).sum()
    return max(float((found - noise) / scale), 0.0) if scale > 1e-9 * total.sum() else 0.0


def about_known(
    mean: Float[ndarray, "G P"], precision: Float[ndarray, "G P"], known: Float[ndarray, "G P"]
) -> float:
    """τ² about a parent that is known: (Σ p (m − s)² − count) / Σp, at least 0."""
    total = precision.sum()
    found = (precision * (mean - known) ** 2).sum() - (precision > 0).sum()
    return max(float(found / total), 0.0) if total > 0 else 0.0


def fits(
    instances: Instances, hierarchy: Hierarchy, reference: Float[ndarray, "K h w"]
) -> Iterator[Fit]:
    """`fit` of each letter in turn. reference: the model's own sprites."""
    n_groups = len(hierarchy.levels[-1].names)
    above = [level.above for level in hierarchy.levels]
    for letter, sprite in enumerate(reference):
        sums = letter_sums(instances, letter, hierarchy.member, n_groups)
        yield fit(sums, above, sprite.reshape(-1))


def variances(found: Sequence[Fit], letters: Sequence[Letter], levels: Sequence[str]) -> pa.Table:
    """A row a letter: variance within groups, of the levels between, and what each λ is.

    A level's variance is that of its groups about the groups that they lie in, in squared ink; 1
    over all letters and levels would be black against white everywhere.
    """
    names = (WHOLE, *levels)
    rows = []
    for letter, one in zip(letters, found, strict=True):
        row: dict[str, object] = {"letter": letter.name, "within": one.within}
        row |= {f"between_{name}": t for name, t in zip(names, one.between, strict=True)}
        row |= {f"lambda_{name}": p for name, p in zip(names, one.penalties, strict=True)}
        rows.append(row)
    return pa.Table.from_pylist(rows)


def _summed_up(
    mean: Float[ndarray, "G P"],
    precision: Float[ndarray, "G P"],
    spread: float,
    parents: Int[ndarray, " G"],
    n_parents: int,
) -> tuple[Float[ndarray, "Q P"], Float[ndarray, "Q P"]]:
    """What groups tell of their parents: means by precision 1 / (1/p + τ²), and its sum."""
    own = precision / (1 + precision * spread)
    inside = (parents == np.arange(n_parents)[:, None]).astype(float)
    total = inside @ own
    return _ratio(inside @ (own * mean), total), total


def _ratio(above: ndarray, below: ndarray) -> ndarray:
    """0 where nothing is divided by."""
    return np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below > 0)
