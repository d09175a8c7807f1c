"""Is a cluster real? Tests on images that the model never saw.

A cluster is turned into a detector that knows no label: the linear discriminant of its patches
against patches at random (Hariharan, Malik, Ramanan 2012). The detector looks for its best match
in every image of the test half, of all labels. Where the label is real, its own images match
better: AUC. Labels are then permuted among independent units, and the largest of all clusters'
statistics gives a p-value that holds for all of them together (Westfall, Young 1993).

Pure functions on arrays. Legend: `n` patches, `d` features, `m` clusters, `u` units (images that
may not be divided, of one set of labels), `c` labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.errors import ConfigError
from typika.evaluation import average_ranks

Verdict = Literal["significant", "suggestive", "not shown", "not tested"]
VERDICTS: tuple[Verdict, ...] = ("significant", "suggestive", "not shown", "not tested")


@dataclass(frozen=True, kw_only=True)
class SignificanceConfig:
    """How clusters are tested."""

    permutations: int = 4999  # of the labels; 0: clusters are not tested
    alpha: float = 0.05  # family-wise level of "significant", false discovery rate of "suggestive"
    shrinkage: float = 0.1  # of the patches' covariance towards its diagonal
    least_units: int = 5  # of the label and of the others, below which nothing is tested
    bootstrap: int = 500  # resamplings behind the interval of what is known by heart

    def __post_init__(self) -> None:
        if self.permutations < 0 or self.bootstrap < 1 or self.least_units < 2:
            raise ConfigError(
                f"permutations={self.permutations}, bootstrap={self.bootstrap}, "
                f"least_units={self.least_units}: need at least 0, 1 and 2"
            )
        if not 0 < self.alpha < 1 or not 0 < self.shrinkage <= 1:
            raise ConfigError(
                f"alpha={self.alpha}, shrinkage={self.shrinkage}: need shares in (0, 1)"
            )


# ------------------------------------------------------------------------------------- detectors


@dataclass(frozen=True)
class Background:
    """What patches at random look like.

    mean: (d,); precision: (d, d) inverse of their covariance, shrunk towards its diagonal.
    """

    mean: Float[ndarray, " d"]
    precision: Float[ndarray, "d d"]

    @classmethod
    def of(cls, patches: Float[ndarray, "n d"], shrinkage: float) -> Background:
        """Σ = (1 − s) S + s diag(S), and a little more so that it can be inverted."""
        mean = patches.mean(axis=0)
        centred = patches - mean
        covariance = centred.T @ centred / max(len(patches) - 1, 1)
        variance = covariance.diagonal().copy()
        covariance *= 1 - shrinkage
        floor = 1e-3 * float(variance.mean()) or 1.0
        covariance[np.diag_indices_from(covariance)] = variance + floor
        return cls(mean, np.linalg.inv(covariance))

    def detector(self, members: Float[ndarray, "n d"]) -> Float[ndarray, " d"]:
        """The weights w = Σ⁻¹ (mean of the members − mean of all): 1 on the members' mean.

        Scores are w · (x − mean of all).
        """
        shift = members.mean(axis=0) - self.mean
        weights: ndarray = self.precision @ shift
        scale = float(weights @ shift)
        return weights / scale if scale > 0 else weights


# --------------------------------------------------------------------------- permutation of labels


@dataclass(frozen=True)
class PermutationTest:
    """One-sided p-values: of each cluster by itself, and for all clusters together.

    statistic: rank sums in their standard errors.
    """

    p: Float[ndarray, " m"]
    p_family: Float[ndarray, " m"]
    statistic: Float[ndarray, " m"]


def permutation_test(
    score: Float[ndarray, "u m"],
    label: Int[ndarray, " m"],
    member: Bool[ndarray, "u c"],
    permutations: int,
    generator: np.random.Generator,
) -> PermutationTest:
    """Whether units of a cluster's label score higher than others, labels permuted among units.

    score: of each unit for each cluster; label: the label that each cluster is of; member: which
    labels a unit has. The statistic is the rank sum in its own standard errors, so that clusters
    compare; the p-value of the family is that of the largest.
    """
    ranks = average_ranks(score)
    centred = ranks - ranks.mean(axis=0)
    scale = _standard_errors(centred, label, member)
    own = _rank_sums(centred, label, member[None]) / scale
    exceeded, family = np.ones(len(label)), np.ones(len(label))
    for block in _permuted(member, permutations, generator):
        drawn = _rank_sums(centred, label, block) / scale
        exceeded += (drawn >= own - 1e-9).sum(axis=0)
        family += (drawn.max(axis=1, keepdims=True) >= own - 1e-9).sum(axis=0)
    count = permutations + 1
    return PermutationTest(exceeded / count, family / count, own[0])


def _standard_errors(
    centred: Float[ndarray, "u m"], label: Int[ndarray, " m"], member: Bool[ndarray, "u c"]
) -> Float[ndarray, " m"]:
    """Of the sum of ranks of n units drawn without replacement from u."""
    count = len(centred)
    own = member.sum(axis=0)[label]
    variance = (centred**2).sum(axis=0) * own * (count - own) / (count * max(count - 1, 1))
    return np.sqrt(np.where(variance > 0, variance, 1.0))


def _rank_sums(
    centred: Float[ndarray, "u m"], label: Int[ndarray, " m"], member: Bool[ndarray, "b u c"]
) -> Float[ndarray, "b m"]:
    sums = np.empty((len(member), len(label)))
    for one in np.unique(label):
        clusters = np.flatnonzero(label == one)
        sums[:, clusters] = member[:, :, one].astype(np.float64) @ centred[:, clusters]
    return sums


def _permuted(
    member: Bool[ndarray, "u c"], permutations: int, generator: np.random.Generator
) -> Iterator[Bool[ndarray, "b u c"]]:
    for start in range(0, permutations, 256):
        count = min(256, permutations - start)
        orders = np.argsort(generator.random((count, len(member))), axis=1)
        yield member[orders]


def verdict(p_family: float, q: float, alpha: float) -> Verdict:
    """What a reader may say of a cluster: see `SignificanceConfig.alpha`."""
    if not np.isfinite(p_family):
        return "not tested"
    if p_family <= alpha:
        return "significant"
    return "suggestive" if q <= alpha else "not shown"
