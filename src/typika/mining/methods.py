"""Several methods over the same images: the figures of one table. Pure functions.

Legend: `n` shared images, `p` typical patches of one method, `draws` resamplings. An *image* is
one (image_id, label).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.evaluation import Bootstrap, Estimate, Statistic, ratio
from typika.mining.comparison import SharedImages, TopPatches, chance, match
from typika.mining.patches import box_means

BEST = 100  # typical patches of a label whose hits are counted, the first chosen
HIT = 0.25  # share of a patch inside a region from which it hits
FIRST = 5  # clusters of a label whose held-out AUC is told
UNKNOWN = Estimate(float("nan"))


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """How the clusters of one label held on images that nothing was learned from."""

    n_significant: int
    auc: tuple[float, ...]  # of the first clusters, by rank; nan where one was not tested


@dataclass(frozen=True, kw_only=True)
class Method:
    """What one method found in the shared images; nan stands for what is not known.

    rank: of each patch, 1 for the first chosen of its label. told: 1 or 0 for a held-out image
    that was given its label or another. precision, pointing: average precision of the image's map
    and whether its highest value lies in a region. covered: share of each patch inside regions.
    by_chance: probability that a patch of that size at a random place of the image would hit.
    n_clusters, verdicts: by place of the label.
    """

    top: TopPatches
    rank: Int[ndarray, " p"]
    told: Float[ndarray, " n"]
    precision: Float[ndarray, " n"]
    pointing: Float[ndarray, " n"]
    covered: Float[ndarray, " p"]
    by_chance: Float[ndarray, " p"]
    n_clusters: Mapping[int, int]
    verdicts: Mapping[int, Verdicts] | None = None


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share with its interval, and what chance would give."""

    estimate: Estimate = UNKNOWN
    chance: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class MethodFigures:
    """One row of the table: one method, on one label or on all."""

    label: str | None  # None for all labels
    n_images: int
    n_patches: int
    n_clusters: int
    told: Share  # of held-out images, those given their label
    overlap: Share  # with the first method's patches; unknown for the first itself
    n_significant: int | None  # clusters; None where they were not tested
    auc: float  # median of the first clusters of each label
    n_located: int  # images with regions
    precision: Share  # mean over those images; chance is the area of the regions
    pointing: Share
    hits: Share  # of the best patches of each label on those images; the mean over labels


def compare_methods(
    images: SharedImages, methods: Sequence[Method], area: Float[ndarray, " n"], seed: int
) -> list[list[MethodFigures]]:
    """Of every method the figures for all labels together, then for each label.

    area: share of each image inside the regions of its label, nan where it has none. All methods
    share one set of resamplings, which draw whole groups.
    """
    resampled = images.bootstrap(seed)
    rows: list[tuple[int | None, ndarray]] = [(None, np.arange(len(images.label)))]
    rows += [(n, np.flatnonzero(images.label == n)) for n in range(len(images.labels))]
    found = []
    for number, method in enumerate(methods):
        overlaps = _Overlap.of(images, methods[0].top, method.top, seed) if number else None
        found.append(
            [_figures(images, method, overlaps, area, label, own, resampled.select(own))
             for label, own in rows]
        )  # fmt: skip
    return found


def _figures(
    images: SharedImages,
    method: Method,
    overlaps: _Overlap | None,
    area: Float[ndarray, " n"],
    label: int | None,
    own: Int[ndarray, " m"],
    resampled: Bootstrap,
) -> MethodFigures:
    known = images.labels if label is None else (images.labels[label],)
    places = range(len(images.labels)) if label is None else (label,)
    expected = float(np.nanmean(area[own])) if np.isfinite(area[own]).any() else float("nan")
    held = method.verdicts or {}
    verdicts = [held[place] for place in places if place in held]
    aucs = [one for row in verdicts for one in row.auc[:FIRST] if np.isfinite(one)]
    significant = sum(row.n_significant for row in verdicts)
    return MethodFigures(
        label=None if label is None else known[0],
        n_images=len(own),
        n_patches=int(np.isin(method.top.image, own).sum()),
        n_clusters=sum(method.n_clusters.get(n, 0) for n in places),
        told=_mean(method.told[own], resampled, _most_frequent(images, method.told, own)),
        overlap=overlaps.share(own, resampled) if overlaps else Share(),
        n_significant=None if method.verdicts is None else significant,
        auc=float(np.median(aucs)) if aucs else float("nan"),
        n_located=int(np.isfinite(area[own]).sum()),
        precision=_mean(method.precision[own], resampled, expected),
        pointing=_mean(method.pointing[own], resampled, expected),
        hits=_hits(images, method, places, own, resampled),
    )


def _mean(values: Float[ndarray, " m"], resampled: Bootstrap, by_chance: float) -> Share:
    """The mean of what is known."""
    known = np.isfinite(values)
    if not known.any():
        return Share()
    statistic = ratio(np.nan_to_num(values), known.astype(np.float64))
    return Share(estimate=Estimate.of(resampled.values(statistic)), chance=by_chance)


def _most_frequent(
    images: SharedImages, told: Float[ndarray, " n"], own: Int[ndarray, " m"]
) -> float:
    """Share of right answers if every image were given the label that most of them have."""
    asked = own[np.isfinite(told[own])]
    if len(asked) == 0 or len(np.unique(images.label[asked])) == 1:
        return float("nan")
    return float(np.bincount(images.label[asked]).max() / len(asked))


@dataclass(frozen=True)
class _Overlap:
    """Of every image: patches of either method, those found by the other, and that by chance."""

    n_first: Float[ndarray, " n"]
    n_own: Float[ndarray, " n"]
    matched: Float[ndarray, " n"]
    first_chance: Float[ndarray, " n"]
    own_chance: Float[ndarray, " n"]

    @classmethod
    def of(cls, images: SharedImages, first: TopPatches, own: TopPatches, seed: int) -> _Overlap:
        def per_image(image: ndarray, weight: ndarray | None = None) -> ndarray:
            counts = np.bincount(image, weight, minlength=len(images.label))
            return counts.astype(np.float64)

        return cls(
            per_image(first.image),
            per_image(own.image),
            per_image(first.image[match(first, own).before]),
            per_image(first.image, chance(first, own, images, seed)),
            per_image(own.image, chance(own, first, images, seed)),
        )

    def share(self, images: Int[ndarray, " m"], resampled: Bootstrap) -> Share:
        """The mean of the shares of either method's patches that the other has too."""

        def mean(first: ndarray, own: ndarray) -> Statistic:
            one = ratio(first[images], self.n_first[images])
            two = ratio(own[images], self.n_own[images])
            return lambda times: (one(times) + two(times)) / 2

        values = resampled.values(mean(self.matched, self.matched))
        once = np.ones(len(images), dtype=np.int64)
        by_chance = mean(self.first_chance, self.own_chance)(once)
        return Share(estimate=Estimate.of(values), chance=by_chance)


def _hits(
    images: SharedImages,
    method: Method,
    labels: Sequence[int],
    own: Int[ndarray, " m"],
    resampled: Bootstrap,
) -> Share:
    """Of the best patches of each label on images with regions, how many hit; mean over labels."""
    parts, chances = [], []
    for label in labels:
        known = (images.label[method.top.image] == label) & np.isfinite(method.covered)
        best = np.flatnonzero(known)
        best = best[np.argsort(method.rank[best], kind="stable")][:BEST]
        if not len(best):
            continue
        image = method.top.image[best]
        hit = (method.covered[best] >= HIT).astype(np.float64)
        above = np.bincount(image, hit, minlength=len(images.label))
        below = np.bincount(image, minlength=len(images.label)).astype(np.float64)
        parts.append(ratio(above[own], below[own]))
        chances.append(float(method.by_chance[best].mean()))
    if not parts:
        return Share()
    values = resampled.values(lambda times: _mean_of([part(times) for part in parts]))
    return Share(estimate=Estimate.of(values), chance=float(np.mean(chances)))


def _mean_of(values: Sequence[float]) -> float:
    """The mean of those that a resampling has; nan without any."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def coverage(
    truth: Bool[ndarray, "H W"], box: Int[ndarray, "k 4"], width: int, height: int
) -> tuple[Float[ndarray, " k"], Float[ndarray, " k"]]:
    """Share of each patch inside the truth, and the probability that one placed anywhere hits.

    truth: of the image, shrunk or not. box: (k, 4) left, top, right, bottom in pixels of the
    image, which has `width` x `height` of them.
    """
    rows, columns = truth.shape
    share, by_chance = np.zeros(len(box)), np.zeros(len(box))
    scale = np.array([columns / width, rows / height])
    for place, (left, top, right, bottom) in enumerate(box):
        low = np.floor(np.array([left, top]) * scale).astype(int)
        high = np.maximum(np.ceil(np.array([right, bottom]) * scale).astype(int), low + 1)
        share[place] = truth[low[1] : high[1], low[0] : high[0]].mean()
        side = int(np.clip(round((right - left) * scale[0]), 1, min(rows, columns)))
        by_chance[place] = (box_means(truth.astype(np.float64), side) >= HIT).mean()
    return share, by_chance
