"""How well maps find what people drew, beside chance and guesses about position. Pure functions.

Legend: `n` images with truth, `h w` cells of a map, `G` cells a side of the grid on which maps of
all images are averaged, `k` thresholds, `draws` resamplings. An *image* is one (image_id, label);
its map is for that label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from PIL import Image

from typika.evaluation import (
    Bootstrap,
    Estimate,
    area_fraction,
    average_precision,
    distance_to_centre,
    fitted_on_the_other_half,
    half_of_groups,
    mean_of_other_groups,
    overlaps_above,
    pointing_hit,
    published_auc_pr,
)
from typika.mining.patches import upsample
from typika.mining.refinement import refine

Map = Float[ndarray, "_h _w"]
Grids = Mapping[str, Map]  # by method

# Methods, as tables name them.
TYPICALITY = "typicality"
REFINED = "refined typicality"
OTHERS = "typicality against others"
BEFORE = "typicality before"
EVIDENCE = "rival's evidence"
CENTRE = "distance to the centre"
MEAN_MAP = "mean map of other images"
LESS_MEAN = "own less mean map"
CHANCE = "chance"
METHODS = (TYPICALITY, REFINED, OTHERS, BEFORE, EVIDENCE, LESS_MEAN, MEAN_MAP, CENTRE, CHANCE)
PRIORS = (CENTRE, MEAN_MAP)  # they do not look at the image
STORED = {"null": TYPICALITY, "others": OTHERS, "evidence": EVIDENCE}  # by column of the scores

# Measures, as tables name them.
PRECISION, POINTING = "average precision", "pointing"
OVERLAP, PUBLISHED = "intersection over union", "AUC-PR as published"
MEASURES = (PRECISION, POINTING, OVERLAP, PUBLISHED)
# In units of typicality, for which alone the published thresholds mean anything.
IN_UNITS = frozenset({TYPICALITY, REFINED, OTHERS, BEFORE, LESS_MEAN, MEAN_MAP})

ALL, TRAINED, HELD_OUT = "all", "trained on", "held out"
DRAWS = 1000  # resamplings behind an interval
FEW_GROUPS = 10  # below, an interval of resampled groups is too narrow
GRID = 24  # cells a side of the mean map
FRACTIONS = 2.0 ** -np.linspace(0, 10, 41)  # of the cells that lie above a threshold of the IoU


# ------------------------------------------------------------------------------------------ maps


@dataclass(frozen=True)
class MapSums:
    """Sums of the maps of some images, by label and group, on the common grid."""

    total: Mapping[tuple[int, int], Float[ndarray, "G G"]] = field(default_factory=dict)
    count: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, maps: Sequence[Map], keys: Sequence[tuple[int, int]]) -> MapSums:
        """keys: (label, group) of each map."""
        total: dict[tuple[int, int], ndarray] = {}
        count: dict[tuple[int, int], int] = {}
        for values, key in zip(maps, keys, strict=True):
            total[key] = total.get(key, 0) + upsample(values, GRID, GRID)
            count[key] = count.get(key, 0) + 1
        return cls(total, count)

    def __add__(self, other: MapSums) -> MapSums:
        keys = dict.fromkeys((*self.total, *other.total))
        nothing = np.zeros((GRID, GRID))
        return MapSums(
            {key: self.total.get(key, nothing) + other.total.get(key, nothing) for key in keys},
            {key: self.count.get(key, 0) + other.count.get(key, 0) for key in keys},
        )

    def means_of_others(self) -> dict[tuple[int, int], Float[ndarray, "G G"]]:
        """By label and group: the mean map over the label's images in all other groups."""
        means: dict[tuple[int, int], ndarray] = {}
        for label in {label for label, _ in self.total}:
            keys = [key for key in self.total if key[0] == label]
            found = mean_of_other_groups(
                np.stack([self.total[key] for key in keys]),
                np.array([self.count[key] for key in keys]),
            )
            means.update(zip(keys, found, strict=True))
        return means


def with_priors(grids: Grids, mean: Float[ndarray, "G G"] | None) -> dict[str, Map]:
    """The maps of one image and what is known without looking at it.

    grids: maps by method, typicality among them; mean: of the other groups, None without any.
    """
    own = grids[TYPICALITY]
    found = {**grids, CENTRE: distance_to_centre(*own.shape)}
    if mean is not None and np.isfinite(mean).all():
        found[MEAN_MAP] = upsample(mean, *own.shape)
        found[LESS_MEAN] = own - found[MEAN_MAP]
    return found


def thresholds(images: Sequence[Grids]) -> dict[str, Float[ndarray, " k"]]:
    """Per method, the values above which given fractions of all cells of some images lie."""
    found = {}
    for method in dict.fromkeys(method for grids in images for method in grids):
        cells = np.concatenate([grids[method].ravel() for grids in images if method in grids])
        found[method] = np.quantile(cells, 1 - FRACTIONS)
    if TYPICALITY in found:
        found[REFINED] = found[TYPICALITY]
    return found


# ------------------------------------------------------------------------------------- one image


@dataclass(frozen=True)
class ImageFigures:
    """What every method reaches on one image.

    area: fraction of the image that is truth. values: by (method, measure). curves: IoU by method
    at each of its thresholds.
    """

    area: float
    values: Mapping[tuple[str, str], float]
    curves: Mapping[str, Float[ndarray, " k"]]


def image_figures(
    grids: Grids,
    truth: Bool[ndarray, "H W"],
    levels: Mapping[str, Float[ndarray, " k"]],
    image: Image.Image | None,
) -> ImageFigures:
    """Hold the maps of an image, interpolated to the pixels of its truth, against the truth.

    levels: thresholds by method. image: for the refined map, which is left out without it.
    """
    pixels = {method: upsample(values, *truth.shape) for method, values in grids.items()}
    if image is not None:
        pixels[REFINED] = refine(pixels[TYPICALITY], image)
    area = area_fraction(truth)
    # A blind guess does no better than to point anywhere, or to mark everything.
    values = {(CHANCE, measure): area for measure in (PRECISION, POINTING)}
    for method, score in pixels.items():
        values[method, PRECISION] = average_precision(score.ravel(), truth.ravel())
        values[method, POINTING] = float(pointing_hit(score, truth))
        if method in IN_UNITS:
            values[method, PUBLISHED] = published_auc_pr(score, truth)
    curves = {method: overlaps_above(score, truth, levels[method])
              for method, score in pixels.items()}  # fmt: skip
    return ImageFigures(area, values, {**curves, CHANCE: np.full(len(FRACTIONS), area)})


# ------------------------------------------------------------------------------------ all images


@dataclass(frozen=True, kw_only=True)
class Located:
    """The images that have truth, and what every method reaches on each.

    values: (n,) by (method, measure), nan where a method has no map or a measure no meaning.
    """

    label: Int[ndarray, " n"]  # place in `labels`
    group: Int[ndarray, " n"]  # images of one group are resampled together
    trained_on: Bool[ndarray, " n"]
    area: Float[ndarray, " n"]
    values: Mapping[tuple[str, str], Float[ndarray, " n"]]
    labels: tuple[str, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that have a map of any image, in the order of METHODS."""
        return tuple(method for method in METHODS if (method, PRECISION) in self.values)

    def subset(self, name: str) -> Bool[ndarray, " n"]:
        """The images of ALL, TRAINED or HELD_OUT."""
        chosen = {ALL: np.ones(len(self.label), bool), TRAINED: self.trained_on,
                  HELD_OUT: ~self.trained_on}  # fmt: skip
        return chosen[name]


def gather(
    figures: Sequence[ImageFigures],
    label: Int[ndarray, " n"],
    group: Int[ndarray, " n"],
    trained_on: Bool[ndarray, " n"],
    labels: tuple[str, ...],
    seed: int,
) -> Located:
    """Join the figures of all images.

    The threshold of an IoU is chosen for each label and method on one half of the groups, at
    random, and measured on the other, and the other way round.
    """
    keys = dict.fromkeys(key for one in figures for key in one.values)
    values = {
        key: np.array([one.values.get(key, np.nan) for one in figures], dtype=np.float64)
        for key in keys
    }
    for method in dict.fromkeys(method for one in figures for method in one.curves):
        overlap = np.full(len(figures), np.nan)
        for number in range(len(labels)):
            has = np.array([method in one.curves for one in figures])
            own = np.flatnonzero((label == number) & has)
            if len(own):
                curves = np.stack([figures[int(place)].curves[method] for place in own])
                half = half_of_groups(group[own], np.random.default_rng([seed, number]))
                overlap[own] = fitted_on_the_other_half(curves, half)
        values[method, OVERLAP] = overlap
    area = np.array([one.area for one in figures])
    return Located(label=label, group=group, trained_on=trained_on, area=area, values=values,
                   labels=labels)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: a method's, or by how much it exceeds another's on the same images."""

    label: str | None  # None for all labels: the mean over labels, each counting once
    images: str  # ALL, TRAINED or HELD_OUT
    method: str
    minus: str  # "", or the method that is taken off
    measure: str
    estimate: Estimate
    n_images: int
    n_groups: int


@dataclass(frozen=True)
class Figures:
    """All figures of an evaluation."""

    rows: tuple[Figure, ...]

    def get(
        self,
        label: str | None,
        method: str,
        measure: str = PRECISION,
        *,
        minus: str = "",
        images: str = ALL,
    ) -> Figure | None:
        """The figure that is asked for, or None."""
        return self._known.get((label, images, method, minus, measure))

    @cached_property
    def _known(self) -> dict[tuple[str | None, str, str, str, str], Figure]:
        return {(f.label, f.images, f.method, f.minus, f.measure): f for f in self.rows}


def figures(found: Located, seed: int) -> Figures:
    """Means over images of every method and measure, and how far typicality is from each method.

    Over all labels: the mean over labels of their means, as the paper has it. Intervals are of
    resampled groups; differences are paired. Where only trained or only held-out images have
    truth, there is nothing to divide.
    """
    resampled = Bootstrap.of_groups(_from_zero(found.group), DRAWS, np.random.default_rng(seed))
    divided = found.trained_on.any() and not found.trained_on.all()
    rows: list[Figure] = []
    for images in (ALL, TRAINED, HELD_OUT) if divided else (ALL,):
        for measure in MEASURES:
            for method, minus in _pairs(found, measure):
                values = found.values[method, measure]
                if minus:
                    values = values - found.values[minus, measure]
                values = np.where(found.subset(images), values, np.nan)
                rows += _figures(found, resampled, values, images, method, minus, measure)
    return Figures(tuple(rows))


def _pairs(found: Located, measure: str) -> Iterator[tuple[str, str]]:
    """Every method, then typicality less each of the others, and what a finer map gains."""
    methods = [m for m in found.methods if (m, measure) in found.values]
    yield from ((method, "") for method in methods)
    yield from ((TYPICALITY, method) for method in methods if method != TYPICALITY)
    yield from ((LESS_MEAN, prior) for prior in (CHANCE,) if {LESS_MEAN, prior} <= {*methods})


def _figures(
    found: Located,
    resampled: Bootstrap,
    values: Float[ndarray, " n"],
    images: str,
    method: str,
    minus: str,
    measure: str,
) -> Iterator[Figure]:
    draws, known = [], np.isfinite(values)
    scopes: list[tuple[str | None, ndarray, ndarray]] = []
    for number, label in enumerate(found.labels):
        own = known & (found.label == number)
        if own.any():
            rows = np.flatnonzero(own)
            draws.append(resampled.select(rows).means(values[rows]))
            scopes.append((label, own, draws[-1]))
    if not draws:
        return
    for scope, own, drawn in ((None, known, _mean_of_known(draws)), *scopes):
        yield Figure(
            label=scope, images=images, method=method, minus=minus, measure=measure,
            estimate=Estimate.of(drawn), n_images=int(own.sum()),
            n_groups=len(np.unique(found.group[own])),
        )  # fmt: skip


def _mean_of_known(draws: Sequence[Float[ndarray, " draws"]]) -> Float[ndarray, " draws"]:
    """The mean over labels; a resampling without any image of a label is judged by the others."""
    table = np.stack(draws)
    known = np.isfinite(table)
    count = known.sum(axis=0)
    sums = np.where(known, table, 0.0).sum(axis=0)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def _from_zero(group: Int[ndarray, " n"]) -> Int[ndarray, " n"]:
    """Groups numbered from 0 on: those without truth say nothing and are not drawn."""
    found: ndarray = np.unique(group, return_inverse=True)[1]
    return found


# -------------------------------------------------------------------------------------- verdicts


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether typicality finds the truth better than the best guess about position.

    difference is of average precision, paired by image; `outcome` is "beats" or "loses to" where
    its interval leaves out zero, else "not told apart from".
    """

    label: str | None
    images: str
    typicality: Figure
    prior: Figure
    difference: Figure
    chance: Figure
    less_mean: Figure | None
    less_mean_gain: Figure | None  # over chance

    @property
    def outcome(self) -> str:
        """What the interval of the difference allows to say."""
        estimate = self.difference.estimate
        if estimate.low > 0:
            return "beats"
        return "loses to" if estimate.high < 0 else "is not told apart from"


def verdicts(found: Figures, labels: Sequence[str]) -> tuple[Verdict, ...]:
    """For all labels, then each; for all images, then those trained on and those held out."""
    rows = []
    for images in (ALL, TRAINED, HELD_OUT):
        for label in (None, *labels):
            priors = [
                one for prior in PRIORS
                if (one := found.get(label, prior, images=images)) is not None
            ]  # fmt: skip
            own, chance = (found.get(label, m, images=images) for m in (TYPICALITY, CHANCE))
            if not priors or own is None or chance is None:
                continue
            best = max(priors, key=lambda one: one.estimate.value)
            difference = found.get(label, TYPICALITY, minus=best.method, images=images)
            if difference is None:
                continue
            rows.append(Verdict(
                label=label, images=images, typicality=own, prior=best, difference=difference,
                chance=chance, less_mean=found.get(label, LESS_MEAN, images=images),
                less_mean_gain=found.get(label, LESS_MEAN, minus=CHANCE, images=images),
            ))  # fmt: skip
    return tuple(rows)


def shown_per_label(n_labels: int) -> int:
    """How many best and how many worst images of each label are shown."""
    for most_labels, count in ((1, 6), (8, 3), (20, 2), (60, 1)):
        if n_labels <= most_labels:
            return count
    return 0


def best_and_worst(
    found: Located, number: int, count: int
) -> tuple[Int[ndarray, " best"], Int[ndarray, " worst"]]:
    """Places of the images of a label where typicality exceeds chance most, and least.

    By average precision less the area of truth: large regions are found by any map. Worst first
    in the second. Of a group no more than one image is shown, in either.
    """
    own = np.flatnonzero(found.label == number)
    gain = found.values[TYPICALITY, PRECISION][own] - found.area[own]
    order = own[np.argsort(-gain, kind="stable")]
    n_groups = len(np.unique(found.group[own]))
    seen: set[int] = set()

    def first_of_groups(places: Int[ndarray, " m"], most: int) -> Int[ndarray, " shown"]:
        chosen: list[int] = []
        for place in places:
            group = int(found.group[place])
            if len(chosen) < most and group not in seen:
                seen.add(group)
                chosen.append(int(place))
        return np.array(chosen, dtype=np.int64)

    best = first_of_groups(order, min(count, (n_groups + 1) // 2))
    return best, first_of_groups(order[::-1], count)
