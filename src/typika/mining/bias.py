"""What a generator draws too often, too rarely, or never, held against real images.

Real and generated images of a label share one set of clusters. What is counted is images and not
patches: an image has a cluster if any of its patches lies in it. Pure functions on arrays.
Legend: `n` images (or patches) of one origin, `k` clusters, `d` features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.diffusion.sampling import DrawConfig
from typika.errors import ConfigError
from typika.evaluation import Estimate, q_values, wilson
from typika.mining.clusters import ClusterConfig
from typika.mining.confounds import Sample, forest_scores

Verdict = Literal["overdrawn", "underdrawn", "never drawn", "not shown"]
VERDICTS: tuple[Verdict, ...] = ("overdrawn", "underdrawn", "never drawn", "not shown")


@dataclass(frozen=True, kw_only=True)
class BiasConfig:
    """How generated images are made, and held against real ones."""

    alpha: float = 0.05  # false discovery rate of the verdicts of one guidance
    # "held-out": real images that the model was not trained on; a tenth or a fifth of them all.
    real: Literal["all", "held-out"] = "all"
    # "centred": features of each origin less what its random patches share, so that a look which
    # all generated images have sets no patch apart; "kept": as they are.
    style: Literal["centred", "kept"] = "centred"
    draw: DrawConfig = field(default_factory=DrawConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)  # as in the run

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha={self.alpha}: need a share in (0, 1)")


# --- counting -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """In how many images of one origin each cluster is found.

    found: (k,) images; total: images of the origin; effect: (k,) by how much the variance of a
    count exceeds that of as many independent images, 1 where all are independent.
    """

    found: Int[ndarray, " k"]
    total: int
    effect: Float[ndarray, " k"]

    @classmethod
    def of(cls, present: Bool[ndarray, "n k"], unit: Int[ndarray, " n"]) -> Counts:
        """present: which clusters each image has; unit: (n,) what varies together."""
        return cls(present.sum(axis=0), len(present), design_effect(present, unit))


def design_effect(present: Bool[ndarray, "n k"], unit: Int[ndarray, " n"]) -> Float[ndarray, " k"]:
    """Variance of a sum over units held against that over independent images (Kish 1965).

    Σ_u (Σ_{i in u} (y_i − ȳ))² / Σ_i (y_i − ȳ)², at least 1. Where all images are alike the
    greatest that it can be: as if each unit were a single image.
    """
    rest = present - present.mean(axis=0)
    own = np.unique(unit, return_inverse=True)[1]
    sums = np.zeros((int(own.max(initial=-1)) + 1, present.shape[1]))
    np.add.at(sums, own, rest)
    spread, size = (rest**2).sum(axis=0), np.bincount(own)
    greatest = float((size**2).sum() / max(size.sum(), 1))
    varies = spread > 0
    effect = np.where(varies, (sums**2).sum(axis=0) / np.where(varies, spread, 1), greatest)
    return np.maximum(effect, 1.0)


# --- log-odds -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogOdds:
    """Of each cluster the log-odds of generated against real images, and their standard error."""

    value: Float[ndarray, " k"]
    error: Float[ndarray, " k"]

    @classmethod
    def of(cls, real: Counts, generated: Counts) -> LogOdds:
        """L = log (a+½)(r−b+½) / (g−a+½)(b+½) of a in g generated and b in r real images.

        With the half added (Haldane 1956, Anscombe 1956) a cluster that is never drawn has
        log-odds too. The error is Woolf's, Σ 1 / (cell + ½) over the four cells, each divided by
        the design effect of its origin.
        """
        value = _logit(generated) - _logit(real)
        return cls(value, np.sqrt(_variance(generated) + _variance(real)))

    def interval(self, level: float) -> tuple[Float[ndarray, " k"], Float[ndarray, " k"]]:
        """Wald's, which misses with a chance of `level`."""
        from scipy.special import ndtri

        reach = float(ndtri(1 - level / 2)) * self.error
        return self.value - reach, self.value + reach

    @property
    def sure(self) -> Float[ndarray, " k"]:
        """The bound of the 95 % interval that is nearer to 0; 0 where the interval holds 0."""
        low, high = self.interval(0.05)
        return np.maximum(low, 0) + np.minimum(high, 0)

    def ranked(self) -> Int[ndarray, " k"]:
        """Clusters from what is surely overdrawn to what is surely underdrawn.

        By `sure`, and where that is alike by errors from 0. The estimate itself would put first
        and last the clusters of a few images, whose log-odds are large by chance.
        """
        return np.lexsort((-self.value / self.error, -self.sure))

    @property
    def p(self) -> Float[ndarray, " k"]:
        """Of log-odds as far from 0 on either side, if there were no difference."""
        from scipy.special import ndtr

        return np.asarray(2 * ndtr(-np.abs(self.value) / self.error))


def _logit(counts: Counts) -> Float[ndarray, " k"]:
    found: ndarray = np.log((counts.found + 0.5) / (counts.total - counts.found + 0.5))
    return found


def _variance(counts: Counts) -> Float[ndarray, " k"]:
    rest = counts.total - counts.found
    found: ndarray = 1 / (counts.found / counts.effect + 0.5) + 1 / (rest / counts.effect + 0.5)
    return found


# --- verdicts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judgement:
    """What may be said of clusters that are judged together.

    low, high: (k,) 95 % intervals, each by itself; widened_low, widened_high: (k,) such that of
    the clusters that are called a share of at most alpha has an interval that misses.
    """

    low: Float[ndarray, " k"]
    high: Float[ndarray, " k"]
    widened_low: Float[ndarray, " k"]
    widened_high: Float[ndarray, " k"]
    p: Float[ndarray, " k"]
    q: Float[ndarray, " k"]
    verdict: tuple[Verdict, ...]

    @classmethod
    def of(cls, odds: LogOdds, drawn: Int[ndarray, " k"], alpha: float) -> Judgement:
        """Call those whose q is at most alpha (Benjamini, Hochberg 1995).

        Their widened intervals, of level 1 − R alpha / k with R of k called, exclude 0, and
        those of no others do (Benjamini, Yekutieli 2005). drawn: (k,) generated images with each.
        """
        p = odds.p
        q = q_values(p)
        called = q <= alpha
        level = alpha * max(int(called.sum()), 1) / max(len(p), 1)
        verdicts = tuple(
            _verdict(float(value), int(count)) if sure else "not shown"
            for value, count, sure in zip(odds.value, drawn, called, strict=True)
        )
        return cls(*odds.interval(0.05), *odds.interval(level), p, q, verdicts)


def _verdict(value: float, drawn: int) -> Verdict:
    if value > 0:
        return "overdrawn"
    return "underdrawn" if drawn else "never drawn"


# --- coverage -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coverage:
    """How many of the clusters that real images have are drawn at all.

    share: with Wilson's interval over clusters; expected: the share if each cluster were drawn as
    often as it is real, since a rare one may be missed by chance.
    """

    clusters: int
    drawn: int
    share: Estimate
    expected: float

    @classmethod
    def of(cls, real: Counts, generated: Counts, least: int) -> Coverage:
        """least: real images that a cluster must have to count."""
        own = real.found >= least
        drawn = int((generated.found[own] > 0).sum())
        rate = real.found[own] / max(real.total, 1)
        met = 1 - (1 - rate) ** generated.total
        expected = float(met.mean()) if own.any() else float("nan")
        return cls(int(own.sum()), drawn, wilson(drawn, int(own.sum())), expected)


# --- style --------------------------------------------------------------------------------------


def centred(
    features: Float[ndarray, "n d"],
    origin: Int[ndarray, " n"],
    label: Int[ndarray, " n"],
    random: Bool[ndarray, " n"],
) -> Float[ndarray, "n d"]:
    """Features less the mean of random patches of their origin, every label counting alike.

    The means of labels are taken over labels that all origins have patches of.
    """
    found = features.astype(np.float64)
    origins = np.unique(origin)
    in_all = [set(label[random & (origin == one)].tolist()) for one in origins]
    common = sorted(set.intersection(*in_all))
    for one in origins if common else ():
        of_labels = [
            features[random & (origin == one) & (label == number)].mean(axis=0)
            for number in common
        ]
        found[origin == one] -= np.mean(of_labels, axis=0)
    return found


def told_apart(
    numbers: Float[ndarray, "n d"],
    generated: Bool[ndarray, " n"],
    unit: Int[ndarray, " n"],
    seed: int,
) -> Estimate:
    """AUC of a forest that tells generated images from real ones, on images it did not see.

    unit: (n,) what is never divided between learning and telling.
    """
    sample = Sample.of(np.stack([~generated, generated], axis=1), unit, seed)
    return sample.interval(1, forest_scores(numbers, sample, seed)[:, 1])
