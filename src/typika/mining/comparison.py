"""How far two runs over the same images agree: patches, scores, maps, groups. Pure functions.

Legend: `n` shared images, `p` typical patches of one run, `m` matched pairs of patches, `l`
labels, `draws` resamplings of the images. An *image* is one (image_id, label); its map is for that
label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.evaluation import (
    Bootstrap,
    Estimate,
    Statistic,
    adjusted_rand,
    area_fraction,
    average_precision,
    correlation,
    intersection_over_union,
    median,
    pointing_hit,
    rank_correlation,
    ratio,
)
from typika.mining.patches import upsample

SAME = 0.5  # IoU above which two patches show the same place
DRAWS = 500  # resamplings behind an interval
CHANCE_DRAWS = 50  # random places behind what chance would give
LONGEST = 256  # pixels of the long side at which maps are held against boxes

Map = Float[ndarray, "_h _w"]  # grids of two runs may differ


@dataclass(frozen=True, kw_only=True)
class SharedImages:
    """The images that both runs hold, in one order."""

    label: Int[ndarray, " n"]  # place in `labels`
    group: Int[ndarray, " n"]  # images of one group are resampled together
    width: Int[ndarray, " n"]  # pixels
    height: Int[ndarray, " n"]
    labels: tuple[str, ...]

    def bootstrap(self, seed: int) -> Bootstrap:
        """The resamplings that all intervals share."""
        return Bootstrap.of_groups(self.group, DRAWS, np.random.default_rng(seed))


@dataclass(frozen=True, kw_only=True)
class TopPatches:
    """The typical patches of one run, those on shared images only."""

    image: Int[ndarray, " p"]  # place among the shared images
    box: Int[ndarray, "p 4"]  # left, top, right, bottom in pixels
    score: Float[ndarray, " p"]
    cluster: Int[ndarray, " p"]


@dataclass(frozen=True)
class Matches:
    """Patches of two runs that show the same place: pairs of places in their `TopPatches`."""

    before: Int[ndarray, " m"]
    after: Int[ndarray, " m"]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two runs agree on one label, or on all."""

    label: str | None  # None for all labels
    n_images: int
    n_groups: int
    n_before: int  # typical patches
    n_after: int
    n_matched: int
    before_found: Estimate  # share of the patches of `before` that `after` has too
    after_found: Estimate
    found: Estimate  # mean of the two
    before_chance: float  # the same if the other run's patches lay anywhere in their images
    after_chance: float
    rank_correlation: Estimate  # of the scores of matched patches
    map_correlation: Estimate  # median over images
    adjusted_rand: Estimate  # of the clusters of matched patches

    @property
    def chance(self) -> float:
        """What `found` would be if either run's patches lay anywhere in their images."""
        return (self.before_chance + self.after_chance) / 2


def match(before: TopPatches, after: TopPatches) -> Matches:
    """Pair the patches of the same image whose IoU exceeds SAME, each with its best.

    Patches of one run do not overlap, so at most one patch of the other covers more than half of
    the union with it; where tables were changed by hand, only mutual best pairs count.
    """
    pairs = []
    for image in np.intersect1d(before.image, after.image):
        first, second = (np.flatnonzero(run.image == image) for run in (before, after))
        overlap = intersection_over_union(before.box[first], after.box[second])
        best, back = overlap.argmax(axis=1), overlap.argmax(axis=0)
        for place, other in enumerate(best):
            if overlap[place, other] > SAME and back[other] == place:
                pairs.append((first[place], second[other]))
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Matches(found[:, 0], found[:, 1])


def chance(
    own: TopPatches, other: TopPatches, images: SharedImages, seed: int
) -> Float[ndarray, " p"]:
    """Probability that each patch of `own` is found if `other`'s patches lay at random places.

    The patches of `other` keep their images and sizes; their places are drawn uniformly.
    """
    found = np.zeros(len(own.image))
    for image in np.intersect1d(own.image, other.image):
        mine = np.flatnonzero(own.image == image)
        boxes = other.box[other.image == image]
        rng = np.random.default_rng([seed, int(image)])  # the same whichever run is first
        side = boxes[:, 2:] - boxes[:, :2]
        room = np.array([images.width[image], images.height[image]]) - side
        corner = rng.integers(0, np.maximum(room, 0) + 1, size=(CHANCE_DRAWS, *side.shape))
        places = np.concatenate([corner, corner + side], axis=2).reshape(-1, 4)
        overlap = intersection_over_union(own.box[mine], places)
        hit = (overlap > SAME).reshape(len(mine), CHANCE_DRAWS, len(boxes)).any(axis=2)
        found[mine] = hit.mean(axis=1)
    return found


def map_correlation(before: Map, after: Map) -> float:
    """Pearson's correlation of two maps of an image, on the finer of their grids.

    nan where either is constant, which interpolation would hide behind rounding.
    """
    if np.ptp(before) == 0 or np.ptp(after) == 0:
        return float("nan")
    height, width = (max(sides) for sides in zip(before.shape, after.shape, strict=True))
    return correlation(upsample(before, height, width), upsample(after, height, width))


def agreements(
    images: SharedImages,
    before: TopPatches,
    after: TopPatches,
    correlations: Float[ndarray, " n"],
    seed: int,
) -> tuple[Agreement, ...]:
    """All figures for all labels together, then for each label. correlations: of the maps."""
    resampled = images.bootstrap(seed)
    matches = match(before, after)
    counts = _Counts(
        before=_per_image(images, before.image),
        after=_per_image(images, after.image),
        matched=_per_image(images, before.image[matches.before]),
        before_chance=_per_image(images, before.image, chance(before, after, images, seed)),
        after_chance=_per_image(images, after.image, chance(after, before, images, seed)),
    )
    scores, groups = [], []
    found = []
    for number, label in enumerate(images.labels):
        own = np.flatnonzero(images.label == number)
        pair = np.flatnonzero(np.isin(before.image[matches.before], own))
        one, two = matches.before[pair], matches.after[pair]
        patches = resampled.select(before.image[one])
        scores.append(patches.values(_ranks_alike(before.score[one], after.score[two])))
        groups.append(patches.values(_grouped_alike(before.cluster[one], after.cluster[two])))
        found.append(
            _agreement(label, images, own, counts, correlations, resampled, scores[-1], groups[-1])
        )
    weights = np.array([row.n_matched for row in found], dtype=np.float64)
    # Between labels scores and clusters differ anyway: over all labels, the mean within them.
    everything = _agreement(
        None, images, np.arange(len(images.label)), counts, correlations, resampled,
        _mean_within(scores, weights), _mean_within(groups, weights),
    )  # fmt: skip
    return everything, *found


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """Of every shared image: patches, matches, and matches expected by chance."""

    before: Float[ndarray, " n"]
    after: Float[ndarray, " n"]
    matched: Float[ndarray, " n"]
    before_chance: Float[ndarray, " n"]
    after_chance: Float[ndarray, " n"]

    def select(self, own: Int[ndarray, " m"]) -> _Counts:
        return _Counts(**{part.name: getattr(self, part.name)[own] for part in fields(self)})


def _per_image(
    images: SharedImages, image: Int[ndarray, " p"], weight: Float[ndarray, " p"] | None = None
) -> Float[ndarray, " n"]:
    found: ndarray = np.bincount(image, weight, minlength=len(images.label)).astype(np.float64)
    return found


def _agreement(
    label: str | None,
    images: SharedImages,
    own: Int[ndarray, " m"],
    counts: _Counts,
    correlations: Float[ndarray, " n"],
    resampled: Bootstrap,
    scores: Float[ndarray, " draws"],
    groups: Float[ndarray, " draws"],
) -> Agreement:
    here, resampled = counts.select(own), resampled.select(own)
    first = resampled.values(ratio(here.matched, here.before))
    second = resampled.values(ratio(here.matched, here.after))
    once = np.ones(len(own))
    return Agreement(
        label=label,
        n_images=len(own),
        n_groups=len(np.unique(images.group[own])),
        n_before=int(here.before.sum()),
        n_after=int(here.after.sum()),
        n_matched=int(here.matched.sum()),
        before_found=Estimate.of(first),
        after_found=Estimate.of(second),
        found=Estimate.of((first + second) / 2),
        before_chance=ratio(here.before_chance, here.before)(once),
        after_chance=ratio(here.after_chance, here.after)(once),
        rank_correlation=Estimate.of(scores),
        map_correlation=Estimate.of(resampled.values(median(correlations[own]))),
        adjusted_rand=Estimate.of(groups),
    )


def _ranks_alike(first: Float[ndarray, " m"], second: Float[ndarray, " m"]) -> Statistic:
    return lambda times: rank_correlation(np.repeat(first, times), np.repeat(second, times))


def _grouped_alike(first: Int[ndarray, " m"], second: Int[ndarray, " m"]) -> Statistic:
    # Loose patches (-1) count as a group: being in no cluster is an answer too.
    return lambda times: adjusted_rand(first + 1, second + 1, times)


def _mean_within(
    values: Sequence[Float[ndarray, " draws"]], weights: Float[ndarray, " l"]
) -> Float[ndarray, " draws"]:
    """The mean over labels, weighted by their matches; labels without a value do not count."""
    table = np.stack(values)
    weight = np.where(np.isfinite(table), weights[:, None], 0.0)
    total = weight.sum(axis=0)
    sums = (weight * np.nan_to_num(table)).sum(axis=0)
    return np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan)


# ------------------------------------------------------------------------- which images to show


def most_changed(
    correlations: Float[ndarray, " n"], typical: Bool[ndarray, " n"], count: int
) -> Int[ndarray, " m"]:
    """The `count` images whose maps differ most, among those that are typical in either run."""
    candidates = np.flatnonzero(typical & np.isfinite(correlations))
    return candidates[np.argsort(correlations[candidates], kind="stable")[:count]]


def most_typical(
    images: SharedImages, before: TopPatches, after: TopPatches
) -> Int[ndarray, " n"]:
    """All images with a typical patch: by the sum of the ranks of their best patches in each run.

    Ranks are among the patches of the label; an image without a patch comes after all of them.
    """
    total = np.zeros(len(images.label))
    for run in (before, after):
        best = np.full(len(images.label), np.inf)
        for number in range(len(images.labels)):
            own = np.flatnonzero(images.label[run.image] == number)
            rank = np.empty(len(own))
            rank[np.argsort(-run.score[own], kind="stable")] = np.arange(len(own))
            np.minimum.at(best, run.image[own], rank)
            best[np.isinf(best) & (images.label == number)] = len(own)
        total += best
    typical = np.union1d(before.image, after.image)
    return typical[np.argsort(total[typical], kind="stable")]


# -------------------------------------------------------------------------- maps against boxes


@dataclass(frozen=True)
class Located:
    """How well the two maps of one image find the boxes of its label."""

    image: int  # place among the shared images
    precision_before: float  # average precision at pixels
    precision_after: float
    hit_before: float  # 1 where the highest value lies in a box: the pointing game
    hit_after: float
    area: float  # fraction of the image inside the boxes: what chance would give for either


@dataclass(frozen=True, kw_only=True)
class Localisation:
    """How well the maps of two runs find the boxes of a label, or of all; differences paired."""

    label: str | None  # None for all labels
    n_images: int
    n_groups: int
    precision_before: Estimate
    precision_after: Estimate
    precision_gain: Estimate  # after - before, over the same images
    hit_before: Estimate
    hit_after: Estimate
    hit_gain: Estimate
    area: float


def truth_shape(width: int, height: int) -> tuple[int, int]:
    """Rows and columns at which the maps of an image are held against its truth."""
    scale = min(1.0, LONGEST / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def located(image: int, before: Map, after: Map, truth: Bool[ndarray, "H W"]) -> Located:
    """Both maps of one image against its truth."""
    first, second = (upsample(values, *truth.shape) for values in (before, after))
    return Located(
        image,
        average_precision(first.ravel(), truth.ravel()),
        average_precision(second.ravel(), truth.ravel()),
        float(pointing_hit(first, truth)),
        float(pointing_hit(second, truth)),
        area_fraction(truth),
    )


def localisations(
    images: SharedImages, found: Sequence[Located], seed: int
) -> tuple[Localisation, ...]:
    """Means over images for all labels together, then for each label that has boxes."""
    if not found:
        return ()
    image = np.array([one.image for one in found])
    # Groups without a box say nothing and are not drawn.
    group = np.unique(images.group[image], return_inverse=True)[1]
    resampled = Bootstrap.of_groups(group, DRAWS, np.random.default_rng(seed))
    everything = np.arange(len(found))
    chosen: list[tuple[str | None, ndarray]] = [(None, everything)]
    for number, label in enumerate(images.labels):
        own = np.flatnonzero(images.label[image] == number)
        if len(own):
            chosen.append((label, own))
    return tuple(
        _localisation(label, [found[place] for place in own], group[own], resampled.select(own))
        for label, own in chosen
    )


def _localisation(
    label: str | None, found: Sequence[Located], group: Int[ndarray, " m"], resampled: Bootstrap
) -> Localisation:
    values = {
        part.name: np.array([getattr(one, part.name) for one in found], dtype=np.float64)
        for part in fields(Located)
    }
    once = np.ones(len(found))

    def mean(numbers: Float[ndarray, " m"]) -> Estimate:
        return Estimate.of(resampled.values(ratio(numbers, once)))

    return Localisation(
        label=label,
        n_images=len(found),
        n_groups=len(np.unique(group)),
        precision_before=mean(values["precision_before"]),
        precision_after=mean(values["precision_after"]),
        precision_gain=mean(values["precision_after"] - values["precision_before"]),
        hit_before=mean(values["hit_before"]),
        hit_after=mean(values["hit_after"]),
        hit_gain=mean(values["hit_after"] - values["hit_before"]),
        area=float(values["area"].mean()),
    )
