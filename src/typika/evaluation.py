"""How well maps and clusters agree with known truth, or with each other. Pure functions.

Legend: `H W` pixels. A truth mask is true where the object is. Scores may be any reals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real, UInt16
from numpy import ndarray

from typika.errors import DataError

Statistic = Callable[[ndarray], float]  # of how often each item counts

# Of the published AUC-PR, in units of typicality: 0.02, ... 2e-7, falling.
PUBLISHED_THRESHOLDS = 2.0 * 10.0 ** -np.linspace(2, 7, 1000)


def average_precision(score: Float[ndarray, " n"], truth: Bool[ndarray, " n"]) -> float:
    """Area under the precision-recall steps, equal scores taken together.

    AP = Σ_k (R_k − R_{k−1}) P_k over distinct thresholds, in [0, 1]; the expected value of random
    scores is about the fraction of true items. Raises DataError without a true item.
    """
    score, truth = np.ravel(score), np.ravel(truth)
    if score.shape != truth.shape:
        raise DataError(f"{score.size} scores for {truth.size} items of truth")
    positives = int(truth.sum())
    if not positives:
        raise DataError("average precision needs at least one true item")
    order = np.argsort(-score)  # the order of equal scores does not matter
    hits = np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(score[order])), score.size - 1)  # end of each tie
    precision = hits[last] / (last + 1)
    recall = hits[last] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def published_auc_pr(score: Float[ndarray, "*shape"], truth: Bool[ndarray, "*shape"]) -> float:
    """Area under precision over recall exactly as Siglidis et al. 2024 measured it.

    A = Σ_k (R_k − R_{k−1}) (P_k + P_{k−1}) / 2 over 1000 thresholds t_k = 2 · 10^(−2 … −7), in
    equal steps of the exponent, where P_k and R_k are of the pixels whose score exceeds t_k, and
    P_k = 0 where there are none. Nothing is added at either end, so recall that is reached above
    the first threshold, or not by the last, counts for nothing: A lies in [0, 1] and well below
    average precision. The thresholds are absolute: A depends on the scale of the score, and can be
    held against published figures only for the loss differences of the same kind of model. The
    paper takes the mean over the images of a label, then over labels.

    Raises DataError without a true item.
    """
    score, truth = np.ravel(score), np.ravel(truth)
    positives = int(truth.sum())
    if not positives:
        raise DataError("the area under precision and recall needs at least one true item")
    # k thresholds lie below a score: it exceeds the k last of them.
    below = np.searchsorted(PUBLISHED_THRESHOLDS[::-1], score, side="left")
    marked, hit = (_above(places, 1000)[::-1] for places in (below, below[truth]))
    precision, recall = hit / np.maximum(marked, 1), hit / positives
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def pointing_hit(score: Float[ndarray, "H W"], truth: Bool[ndarray, "H W"]) -> bool:
    """Whether the highest score lies on the truth: the pointing game."""
    return bool(truth.ravel()[int(np.argmax(score))])


def area_fraction(truth: Bool[ndarray, "H W"]) -> float:
    """Fraction of true pixels: the average precision and the pointing hit rate of chance."""
    return float(truth.mean())


def boxes_mask(
    height: int, width: int, boxes: list[tuple[int, int, int, int]]
) -> Bool[ndarray, "H W"]:
    """A mask that is true inside any (left, top, right, bottom) box, the last two exclusive."""
    mask = np.zeros((height, width), dtype=bool)
    for left, top, right, bottom in boxes:
        mask[max(top, 0) : bottom, max(left, 0) : right] = True
    return mask


def overlap_share(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Share of `other`'s area that lies inside `box`, both (left, top, right, bottom)."""
    across = min(box[2], other[2]) - max(box[0], other[0])
    down = min(box[3], other[3]) - max(box[1], other[1])
    area = (other[2] - other[0]) * (other[3] - other[1])
    return max(across, 0) * max(down, 0) / area if area > 0 else 0.0


# ------------------------------------------------------------- overlap at a threshold that is fit


def overlaps_above(
    score: Float[ndarray, "H W"], truth: Bool[ndarray, "H W"], thresholds: Float[ndarray, " k"]
) -> Float[ndarray, " k"]:
    """IoU of the truth with the pixels whose score is at least each threshold, in [0, 1]."""
    order = np.argsort(thresholds)
    reached = np.searchsorted(thresholds[order], score.ravel(), side="right")
    marked, hit = (_above(places, len(thresholds)) for places in (reached, reached[truth.ravel()]))
    found = np.empty(len(thresholds))
    found[order] = hit / np.maximum(marked + truth.sum() - hit, 1)
    return found


def _above(places: Int[ndarray, " n"], count: int) -> Int[ndarray, " k"]:
    """How many of `places` exceed 0, 1, ... count - 1."""
    found: ndarray = np.bincount(places, minlength=count + 1)[::-1].cumsum()[::-1][1:]
    return found


def fitted_on_the_other_half(
    curves: Float[ndarray, "n k"], half: Bool[ndarray, " n"]
) -> Float[ndarray, " n"]:
    """Each item's value at the threshold that is best, in the mean, for the other half.

    curves: value of each item at each of k thresholds. Neither half is measured at a threshold
    that it helped to choose. nan where the other half is empty. Of equal means the first wins.
    """
    found = np.full(len(curves), np.nan)
    for own in (half, ~half):
        if own.any() and not own.all():
            found[own] = curves[own][:, int(np.argmax(curves[~own].mean(axis=0)))]
    return found


def half_of_groups(
    group: Int[ndarray, " n"], generator: np.random.Generator
) -> Bool[ndarray, " n"]:
    """Mark the items of a random half of the groups; of an odd number the smaller half."""
    groups = np.unique(group)
    return np.isin(group, generator.permutation(groups)[: len(groups) // 2])


# ------------------------------------------------------------------------------- position priors


def distance_to_centre(height: int, width: int) -> Float[ndarray, "h w"]:
    """Minus the distance to the centre of the image, whose sides count as 1: a bare guess."""
    rows, columns = np.mgrid[:height, :width]
    across, down = (columns + 0.5) / width - 0.5, (rows + 0.5) / height - 0.5
    return -np.hypot(across, down)


def mean_of_other_groups(
    total: Float[ndarray, "g h w"], count: Int[ndarray, " g"]
) -> Float[ndarray, "g h w"]:
    """For each group the mean map of all others: (Σ total − total_g) / (Σ count − count_g).

    total: sum of the maps of each group, in relative coordinates on one grid; count: how many.
    nan for a group beside which there is none.
    """
    others = count.sum() - count
    mean = (total.sum(axis=0) - total) / np.maximum(others, 1)[:, None, None]
    mean[others == 0] = np.nan
    return mean


# --------------------------------------------------------------------- agreement of two answers


def intersection_over_union(
    first: Real[ndarray, "n 4"], second: Real[ndarray, "m 4"]
) -> Float[ndarray, "n m"]:
    """IoU(a, b) = |a ∩ b| / |a ∪ b| of (left, top, right, bottom) boxes, in [0, 1]."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    far = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(far - corner, 0, None), axis=2, dtype=np.float64)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return shared / np.where(union > 0, union, 1)


def correlation(first: Real[ndarray, "*shape"], second: Real[ndarray, "*shape"]) -> float:
    """Pearson's correlation of two arrays of one shape; nan where either is constant."""
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    one, two = (values.ravel() - values.mean() for values in (first, second))
    return float(one @ two / np.sqrt((one @ one) * (two @ two)))


def rank_correlation(first: Real[ndarray, " n"], second: Real[ndarray, " n"]) -> float:
    """Spearman's correlation: Pearson's of the ranks; nan below 3 items or where all are equal."""
    if len(first) < 3:
        return float("nan")
    return correlation(average_ranks(first), average_ranks(second))


def average_ranks(values: Real[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Ranks from 1 along the first axis; equal values share the mean of theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=0), dtype=np.float64)


def q_values(p: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """The false discovery rate at which each would be called (Benjamini, Hochberg 1995)."""
    order = np.argsort(p)
    raised = p[order] * len(p) / np.arange(1, len(p) + 1)
    lowest = np.minimum.accumulate(raised[::-1])[::-1]
    q = np.empty(len(p))
    q[order] = np.minimum(lowest, 1.0)
    return q


def holm(p: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """p-values that hold for all of them together (Holm 1979); nan stay nan."""
    found = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    raised = p[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return found


def adjusted_rand(
    first: Int[ndarray, " n"], second: Int[ndarray, " n"], times: Int[ndarray, " n"] | None = None
) -> float:
    """ARI = (S₁₂ − E) / ((S₁ + S₂) / 2 − E), E = S₁ S₂ / S  (Hubert, Arabie 1985).

    S₁₂, S₁, S₂ and S count the pairs of distinct items that both groupings, the first, the second
    and nobody's grouping put together. first, second: (n,) group of each item, from 0 on.
    times: how often each item counts, as in a resampling; an item makes no pair with its own
    copies, which would be together whatever the groupings. 1 where the groupings are the same,
    about 0 by chance, nan without a pair.
    """
    weight = np.ones(len(first)) if times is None else times.astype(np.float64)

    def pairs(group: Int[ndarray, " n"]) -> float:
        sums = np.bincount(group, weight) ** 2 - np.bincount(group, weight**2)
        return float(sums.sum() / 2)

    if not len(first) or not (everything := pairs(np.zeros(len(first), int))):
        return float("nan")
    one, two = pairs(first), pairs(second)
    both = pairs(first * (int(second.max()) + 1) + second)
    expected, most = one * two / everything, (one + two) / 2
    return (both - expected) / (most - expected) if most != expected else 1.0


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; nan where there is none."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    @classmethod
    def of(cls, values: Float[ndarray, " draws"]) -> Estimate:
        """The first value, and the 2.5 and 97.5 % points of those after it (`Bootstrap`).

        There is no interval where more than a tenth of the resamplings gave no value.
        """
        drawn = values[1:][np.isfinite(values[1:])]
        if not len(drawn) or len(drawn) < 0.9 * (len(values) - 1) or not np.isfinite(values[0]):
            return cls(float(values[0]))
        low, high = np.percentile(drawn, [2.5, 97.5])
        return cls(float(values[0]), float(low), float(high))


def wilson(hits: int, count: int, z: float = 1.96) -> Estimate:
    """A share with its 95 % interval (Wilson 1927); nan without anything counted."""
    if not count:
        return Estimate(float("nan"))
    share = hits / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return Estimate(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def paired_auc(
    score: Float[ndarray, " n"], truth: Bool[ndarray, " n"], fold: Int[ndarray, " n"] | None = None
) -> float:
    """AUC: share of the pairs of a true and another item in the right order, ties counted half.

    fold: only pairs within a fold count, where scores come from different classifiers. nan
    without such a pair.
    """
    right, pairs = 0.0, 0
    fold = np.zeros(len(score), dtype=np.int64) if fold is None else fold
    for number in np.unique(fold):
        own = fold == number
        positive, negative = score[own & truth], np.sort(score[own & ~truth])
        below = np.searchsorted(negative, positive, "left")
        up_to = np.searchsorted(negative, positive, "right")
        right += float((below + up_to).sum()) / 2
        pairs += len(positive) * len(negative)
    return right / pairs if pairs else float("nan")


def auc_interval(value: float, positives: int, negatives: int, z: float = 1.96) -> Estimate:
    """An AUC with its 95 % interval, Wilson's for an AUC (Newcombe 2006, method 5).

    The variance is that of Hanley and McNeil (1982) with both counts in the brackets replaced by
    their mean m + 1: V(θ) = θ(1−θ) [1 + m(1−θ)/(2−θ) + mθ/(1+θ)] / (n₊ n₋). The interval holds
    every θ with |AUC − θ| <= z √V(θ), so that it stays inside [0, 1] and has a width even where
    the AUC is 1; with one positive and one negative it is Wilson's for one trial. Counts are of
    independent items. All nan where the AUC is not known.
    """
    if not (positives and negatives and np.isfinite(value)):
        return Estimate(float("nan"))
    mean = (positives + negatives) / 2 - 1

    def beyond(theta: float) -> bool:
        inside = 1 + mean * (1 - theta) / (2 - theta) + mean * theta / (1 + theta)
        variance = theta * (1 - theta) * inside / (positives * negatives)
        return abs(value - theta) > z * float(np.sqrt(variance))

    ends = []
    for end in (0.0, 1.0):
        far, near = end, value  # bisection between a θ outside, or the end, and the AUC itself
        for _ in range(60):
            middle = (far + near) / 2
            far, near = (middle, near) if beyond(middle) else (far, middle)
        ends.append(near)
    return Estimate(value, min(ends[0], value), max(ends[1], value))


@dataclass(frozen=True)
class Bootstrap:
    """How often each item counts: once each in the first row, then in resamplings.

    times: (draws + 1, n); whole groups of items are drawn with replacement, since the items of a
    group (images of one book, near-duplicates) do not vary independently.
    """

    times: UInt16[ndarray, "draws n"]
    n_groups: int

    @classmethod
    def of_groups(
        cls, group: Int[ndarray, " n"], draws: int, generator: np.random.Generator
    ) -> Bootstrap:
        """group: (n,) group of each item, from 0 on."""
        count = int(group.max(initial=-1)) + 1
        rows = [np.ones(len(group), np.uint16)]
        for _ in range(draws if count > 1 else 0):
            drawn = np.bincount(generator.integers(count, size=count), minlength=count)
            rows.append(drawn[group].astype(np.uint16))
        return cls(np.stack(rows), count)

    def select(self, items: Int[ndarray, " m"]) -> Bootstrap:
        """The same resamplings, seen by some of the items."""
        return Bootstrap(self.times[:, items], self.n_groups)

    def values(self, statistic: Statistic) -> Float[ndarray, " draws"]:
        """The statistic of the items themselves, then of every resampling."""
        return np.array([statistic(times.astype(np.int64)) for times in self.times])

    def means(self, values: Float[ndarray, " n"]) -> Float[ndarray, " draws"]:
        """The mean of the values that are known: of the items, then of every resampling.

        nan where a resampling has no such item.
        """
        known = np.isfinite(values)
        times = self.times[:, known].astype(np.float64)
        total = times.sum(axis=1)
        sums = times @ values[known]
        return np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan)


def ratio(above: Real[ndarray, " n"], below: Real[ndarray, " n"]) -> Statistic:
    """Σ above / Σ below over the items as often as they count; nan without any of `below`."""

    def value(times: ndarray) -> float:
        total = float(times @ below)
        return float(times @ above) / total if total else float("nan")

    return value


def median(values: Float[ndarray, " n"]) -> Statistic:
    """The median over the items whose value is finite, as often as they count; else nan."""
    finite = np.isfinite(values)

    def value(times: ndarray) -> float:
        repeated = np.repeat(values[finite], times[finite])
        return float(np.median(repeated)) if len(repeated) else float("nan")

    return value
