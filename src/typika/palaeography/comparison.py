"""Letters of two groups held against each other, pixel by pixel and as wholes (spec 1.14, 6.1).

The unit is the document: instances of one document are of one hand and do not vary independently,
and a thousand of them say nothing of other documents. Only where a group is a single document are
its instances the units, and what is found then holds of these documents alone.

Legend: `K` letters, `D` documents, `G` groups, `n` units of two groups, `p` pixels compared,
`s` permutations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import stats

from typika.evaluation import Bootstrap, q_values
from typika.palaeography import distances
from typika.palaeography.comparison_records import DOCUMENT, INSTANCE, Differences, Spread
from typika.palaeography.records import Instances, Letter
from typika.palaeography.units import (
    ComparisonConfig,
    Means,
    Sample,
    Units,
    sample,
)

FLOOR = 0.02  # ink: a pixel's deviation is taken for no less, or equal units would be certain
MOST_SIMILARITIES = 200  # resamplings behind the interval of a structural similarity: each is dear
DIFFERENCE, SIGMA = 1, 2  # seeds of what draws


# ---------------------------------------------------------------------------------- differences


def differences(
    instances: Instances,
    units: Units,
    means: Sequence[Means],
    first: str,
    second: str,
    config: ComparisonConfig,
) -> Differences:
    """Every letter of one pair of groups.

    means: of every letter in every unit, as `units.all_means` gives them.
    """
    side = units.side(first, second)
    alone = min((side == -1).sum(), (side == 1).sum()) < 2
    found = []
    for k, own in enumerate(means):
        rng = np.random.default_rng([config.seed, DIFFERENCE, k])
        if alone:
            compared = _of_instances(sample(instances, units, k, own.near), side, config, rng)
        else:
            compared = _Compared(own.value[own.known], side[own.known])
        found.append(_letter(own, compared, config, rng))
    count = np.array([[own.count[side == one].sum() for one in (-1, 1)] for own in means])
    return _gathered(found, (first, second), INSTANCE if alone else DOCUMENT,
                     tuple(own.letter for own in means), count, config)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Compared:
    """Units of both groups, and perhaps of neither: side 0."""

    value: Float[ndarray, "n p"]
    side: Int[ndarray, " n"]

    @property
    def own(self) -> _Compared:
        """Those of the two groups."""
        kept = self.side != 0
        return _Compared(self.value[kept], self.side[kept])


@dataclass(frozen=True, eq=False)
class _Letter:
    """One letter's part of `Differences`."""

    units: tuple[int, int]
    ink: Float[ndarray, "2 h w"]
    p: Float[ndarray, "h w"]
    q: Float[ndarray, "h w"]
    letter_p: float
    l2: Float[ndarray, " 3"]
    l2_corrected: Float[ndarray, " 3"]
    ssim: Float[ndarray, " 3"]
    separation: Float[ndarray, " 3"]
    right: float


def _of_instances(
    found: Sample, side: Int[ndarray, " D"], config: ComparisonConfig, rng: np.random.Generator
) -> _Compared:
    """Instances as units, at most so many of a group, chosen at random."""
    own = side[found.unit]
    kept = []
    for one in (-1, 1):
        rows = np.flatnonzero(own == one)
        kept.append(np.sort(rng.permutation(rows)[: config.most]))
    rows = np.concatenate(kept)
    return _Compared(found.filled[rows].astype(np.float64), own[rows])


def _letter(
    own: Means, compared: _Compared, config: ComparisonConfig, rng: np.random.Generator
) -> _Letter:
    compared = compared.own
    value, side = compared.value, compared.side
    n = (int((side == -1).sum()), int((side == 1).sum()))
    unknown, nothing = np.full(3, np.nan), np.ones(own.near.shape)
    ink = np.stack([own.picture(value[side == one].mean(axis=0) if (side == one).any()
                                else np.zeros(value.shape[1])) for one in (-1, 1)])  # fmt: skip
    if min(n) < 2:
        return _Letter(n, ink, nothing, nothing, np.nan, unknown, unknown, unknown, unknown,
                       np.nan)  # fmt: skip
    gram = distances.inner_products(value)
    first, second = distances.resamplings(side, config.draws, rng)
    away = distances.distances(gram, first, second)
    permuted = distances.splits(side, config.permutations, rng)
    p = pixel_p(value, permuted, config.test)
    near = distances.to_groups(gram, side).left_out
    drawn = 1 + min(config.draws, MOST_SIMILARITIES)
    return _Letter(
        units=n,
        ink=ink,
        p=own.picture(p, 1.0),
        q=own.picture(q_values(p), 1.0),
        letter_p=distances.label_p(gram, permuted),
        l2=away.plain,
        l2_corrected=away.corrected,
        ssim=distances.similarity(value, first[:drawn], second[:drawn], own.picture),
        separation=distances.separation(gram, side),
        right=float(((near[:, 0] - near[:, 1]) * side > 0).mean()),
    )


def _gathered(
    found: Sequence[_Letter],
    names: tuple[str, str],
    unit: str,
    letters: tuple[Letter, ...],
    count: Int[ndarray, "K 2"],
    config: ComparisonConfig,
) -> Differences:
    def stacked(pick: Callable[[_Letter], object]) -> ndarray:
        return np.stack([np.asarray(pick(one)) for one in found])

    letter_p = stacked(lambda one: one.letter_p).astype(np.float64)
    letter_q = _q(letter_p)
    ink, q = stacked(lambda one: one.ink), stacked(lambda one: one.q)
    return Differences(
        first=names[0], second=names[1], unit=unit, level=config.level, letters=letters,
        units=stacked(lambda one: one.units), count=count, ink=ink.astype(np.float32),
        map=(ink[:, 1] - ink[:, 0]).astype(np.float32),
        p=stacked(lambda one: one.p).astype(np.float32), q=q.astype(np.float32),
        significant=q <= config.level, letter_p=letter_p, letter_q=letter_q,
        differs=np.nan_to_num(letter_q, nan=1.0) <= config.level,
        l2=stacked(lambda one: one.l2), l2_corrected=stacked(lambda one: one.l2_corrected),
        ssim=stacked(lambda one: one.ssim), separation=stacked(lambda one: one.separation),
        right=stacked(lambda one: one.right).astype(np.float64),
    )  # fmt: skip


def pixel_p(
    value: Float[ndarray, "n p"], permuted: Bool[ndarray, "s n"], test: str
) -> Float[ndarray, " p"]:
    """Two-sided p-value of each pixel: Welch's t-test, or the same t under permuted labels.

    permuted: which units are the second group's, the true ones first.
    """
    t, freedom = welch(value, permuted[:1])
    if test == "welch":
        return 2 * stats.t.sf(np.abs(t[0]), freedom[0])
    beyond = np.zeros(value.shape[1])
    for start in range(0, len(permuted), distances.BLOCK):
        drawn, _ = welch(value, permuted[start : start + distances.BLOCK])
        beyond += (np.abs(drawn) >= np.abs(t[0]) * (1 - 1e-9)).sum(axis=0)
    return beyond / len(permuted)


def welch(
    value: Float[ndarray, "n p"], second: Bool[ndarray, "s n"]
) -> tuple[Float[ndarray, "s p"], Float[ndarray, "s p"]]:
    """Welch's t = Δ / √(s²₁/n₁ + s²₂/n₂) of each pixel, and its degrees of freedom (1947).

    second: which units are the second group's. A deviation under `FLOOR` counts as that.
    """
    centred = value - value.mean(axis=0)
    squared = centred**2
    mean, error, freedom = [], [], []
    for member in (~second, second):
        times = member.astype(np.float64)
        count = times.sum(axis=1, keepdims=True)
        own = times @ centred / count
        spread = np.maximum(times @ squared / count - own**2, 0) * count / np.maximum(count - 1, 1)
        mean.append(own)
        error.append(np.maximum(spread, FLOOR**2) / count)
        freedom.append(error[-1] ** 2 / np.maximum(count - 1, 1))
    total = error[0] + error[1]
    return (mean[1] - mean[0]) / np.sqrt(total), total**2 / (freedom[0] + freedom[1])


# --------------------------------------------------------------------------------------- spread


def spread(
    units: Units, means: Sequence[Means], groups: Sequence[str], config: ComparisonConfig
) -> Spread:
    """σ of every letter and group, and which group varies more."""
    shape = (len(groups), len(means), 3)
    plain, corrected = np.full(shape, np.nan), np.full(shape, np.nan)
    count = np.zeros(shape[:2], np.int64)
    draws: dict[tuple[int, int], Float[ndarray, " s"]] = {}
    for k, own in enumerate(means):
        for g, group in enumerate(groups):
            rows = own.known & np.array([name == group for name in units.group])
            count[g, k] = rows.sum()
            if count[g, k] < 2:
                continue
            rng = np.random.default_rng([config.seed, SIGMA, k, g])
            gram = distances.inner_products(own.value[rows])
            times = Bootstrap.of_groups(np.arange(len(gram)), config.draws, rng).times
            times = times.astype(np.float64)
            plain[g, k], corrected[g, k] = distances.deviation(gram, own.noise[rows], times)
            draws[g, k] = _log_variances(gram, times)
    pairs = list(combinations(range(len(groups)), 2))
    ratio = np.full((len(pairs), len(means), 3), np.nan)
    p = np.full((len(pairs), len(means)), np.nan)
    all_p = np.full(len(pairs), np.nan)
    for number, (one, other) in enumerate(pairs):
        for k in range(len(means)):
            if (one, k) in draws and (other, k) in draws:
                ratio[number, k] = _ratio(draws[one, k], draws[other, k])
        side = units.side(groups[one], groups[other])
        p[number], all_p[number] = spread_p(means, side, config)
    return Spread(
        groups=tuple(groups), letters=tuple(own.letter for own in means), units=count,
        sigma=plain, corrected=corrected, ratio=ratio, p=p,
        q=np.stack([_q(row) for row in p]) if len(p) else p, all_p=all_p,
    )  # fmt: skip


def spread_p(
    means: Sequence[Means], side: Int[ndarray, " D"], config: ComparisonConfig
) -> tuple[Float[ndarray, " K"], float]:
    """Whether documents of one group stray farther from their mean than those of the other.

    Of every document the squared distance from its group's mean, less what noise of the means
    adds, is permuted among the two groups (as in the test of Levene 1960): two-sided, for each
    letter, and for the mean over letters of the differences in units of the usual square.
    """
    kept = np.flatnonzero(side != 0)
    strays = np.stack([_strays(own, side)[kept] for own in means], axis=1)  # (n, K)
    rng = np.random.default_rng([config.seed, SIGMA])
    second = distances.splits(side[kept], config.permutations, rng).astype(np.float64)
    known = np.isfinite(strays)
    enough = np.array([min((known[:, k] & (side[kept] == one)).sum() for one in (-1, 1)) >= 2
                       for k in range(len(means))])  # fmt: skip
    if not enough.any():
        return np.full(len(means), np.nan), np.nan
    square = np.nan_to_num(strays)
    usual = square.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    difference = np.zeros((len(second), len(means)))
    for member, sign in ((second, 1), (1 - second, -1)):
        count = member @ known
        difference += sign * (member @ square) / np.maximum(count, 1)
    each = np.array([distances.at_least_first(np.abs(difference[:, k])) if enough[k] else np.nan
                     for k in range(len(means))])  # fmt: skip
    scaled = difference[:, enough] / np.maximum(usual[enough], 1e-9)
    return each, distances.at_least_first(np.abs(scaled.mean(axis=1)))


def _strays(own: Means, side: Int[ndarray, " D"]) -> Float[ndarray, " D"]:
    """‖x − mean‖² n / (n − 1), less noise: its mean over a group is σ²; nan where not known."""
    found = np.full(len(side), np.nan)
    for one in (-1, 1):
        rows = np.flatnonzero(own.known & (side == one))
        if len(rows) < 2:
            continue
        n, noise = len(rows), own.noise[rows]
        square = ((own.value[rows] - own.value[rows].mean(axis=0)) ** 2).sum(axis=1) * n / (n - 1)
        found[rows] = square - noise * (n - 1) / n - (noise.sum() - noise) / (n * (n - 1))
    return found


def _log_variances(
    gram: Float[ndarray, "n n"], times: Float[ndarray, "s n"]
) -> Float[ndarray, " s"]:
    found = distances.variance(gram, times)
    return np.where(found > 0, np.log(np.where(found > 0, found, 1)), np.nan)


def _ratio(one: Float[ndarray, " s"], other: Float[ndarray, " s"]) -> Float[ndarray, " 3"]:
    """ln(σ₂ / σ₁): what resampled documents say, moved to lie about the value."""
    draws = (other - one) / 2
    known = draws[1:][np.isfinite(draws[1:])]
    if not len(known) or not np.isfinite(draws[0]):
        return np.array([draws[0], np.nan, np.nan])
    ends = np.percentile(known - known.mean() + draws[0], distances.ENDS)
    return np.array([draws[0], *ends])


def _q(p: Float[ndarray, " K"]) -> Float[ndarray, " K"]:
    """False discovery rates over the p-values that are known."""
    found = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        found[known] = q_values(p[known])
    return found
