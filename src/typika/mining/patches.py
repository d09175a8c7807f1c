"""From a typicality map to boxes: box means, non-overlapping best boxes, the best of a label.

Pure functions on arrays. Legend: `H W` pixels of a map, `h w` cells of a coarse map, `k` the side
of a square box in pixels, `n` boxes. Boxes are (top, left) corners of k x k squares.
The published procedure is Siglidis et al. 2024, Sec. 3.3; here it costs an integral image instead
of a k x k pooling per noise draw, which is exact because averaging is linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.errors import ConfigError, DataError
from typika.mining.masks import MaskText

Map = Float[ndarray, "H W"]
CoarseMap = Float[ndarray, "h w"]

LONGEST = 768  # pixels of the long side of a map that boxes are sought on


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """How patches are chosen."""

    patch_size: float = 0.195  # side of a patch, fraction of the image's short side (50/256)
    per_image: int = 5  # non-overlapping patches an image may offer
    share: float = 0.4  # fraction of a label's candidates that is kept ...
    at_least: int = 50  # ... but not fewer than this many, where there are as many ...
    at_most: int = 1000  # ... and not more than this many
    controls: int = 64  # random and least typical patches kept per label, for comparison
    # Where no patch may be: "border=0.05", a .png, a file of boxes; see `mining.masks`. With
    # "artefacts" clusters with a badge are left out of report and figures.
    mask: str = ""

    def __post_init__(self) -> None:
        MaskText.parse(self.mask)
        if not 0 < self.patch_size <= 1:
            raise ConfigError(f"patch_size={self.patch_size}: need a fraction in (0, 1]")
        if self.per_image < 1 or self.controls < 0:
            raise ConfigError(f"per_image={self.per_image}, controls={self.controls}: too few")
        if not 0 < self.share <= 1 or not 1 <= self.at_least <= self.at_most:
            raise ConfigError(
                f"share={self.share}, at_least={self.at_least}, at_most={self.at_most}: "
                "need 0 < share <= 1 and 1 <= at_least <= at_most"
            )


@dataclass(frozen=True)
class Boxes:
    """Square boxes of one image, best first.

    top, left: (n,) pixels of the map's corner; size: side in pixels; score: (n,) box means.
    """

    top: Int[ndarray, " n"]
    left: Int[ndarray, " n"]
    size: int
    score: Float[ndarray, " n"]


def map_shape(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the map that boxes are sought on: the image's pixels, within limits."""
    scale = min(1.0, LONGEST / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def patch_side(height: int, width: int, fraction: float) -> int:
    """Side of a patch in pixels, at least 1 and at most the short side."""
    short = min(height, width)
    return max(1, min(short, round(fraction * short)))


def upsample(values: CoarseMap, height: int, width: int) -> Map:
    """Bilinear interpolation to pixels, cell centres aligned as in the published code.

    Returns (height, width) float64; the same numbers as torch's `interpolate` with
    `align_corners=False`, by two small matrix products.
    """
    rows, columns = values.shape
    across = interpolation_matrix(columns, width)
    down = interpolation_matrix(rows, height)
    return down @ values.astype(np.float64) @ across.T


@lru_cache(maxsize=64)
def interpolation_matrix(cells: int, pixels: int) -> Float[ndarray, "pixels cells"]:
    """Weights of each cell for each pixel along one axis; rows sum to one."""
    centre = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    centre = np.clip(centre, 0, cells - 1)
    lower = np.minimum(centre.astype(int), max(cells - 2, 0))
    weight = centre - lower
    matrix = np.zeros((pixels, cells))
    matrix[np.arange(pixels), lower] = 1 - weight
    matrix[np.arange(pixels), np.minimum(lower + 1, cells - 1)] += weight
    matrix.setflags(write=False)  # shared by every caller through the cache
    return matrix


def integral_image(values: Map) -> Float[ndarray, "_H _W"]:
    """Sums over all boxes that start at the corner, in float64."""
    height, width = values.shape
    integral = np.zeros((height + 1, width + 1))
    np.cumsum(values, axis=0, out=integral[1:, 1:])
    np.cumsum(integral[1:, 1:], axis=1, out=integral[1:, 1:])
    return integral


def box_means(values: Map, size: int) -> Float[ndarray, "_p _q"]:
    """Mean over every `size` x `size` box. Raises DataError if the map is smaller than a box."""
    height, width = values.shape
    if not 1 <= size <= min(height, width):
        raise DataError(f"a box of {size} px does not fit into a map of {height} x {width} px")
    return window_means(integral_image(values), size)


def window_means(integral: Float[ndarray, "_H _W"], size: int) -> Float[ndarray, "_p _q"]:
    """`box_means` of a map whose `integral_image` is known."""
    sums = integral[size:, size:] - integral[:-size, size:]
    sums -= integral[size:, :-size]
    sums += integral[:-size, :-size]
    sums /= size * size
    return sums


def means_of(values: Map, boxes: Boxes) -> Float[ndarray, " n"]:
    """Mean of another map of the same image over given boxes."""
    return means_within(integral_image(values), boxes)


def means_within(integral: Float[ndarray, "_H _W"], boxes: Boxes) -> Float[ndarray, " n"]:
    """`means_of` a map whose `integral_image` is known."""
    bottom, right = boxes.top + boxes.size, boxes.left + boxes.size
    sums = (
        integral[bottom, right]
        - integral[boxes.top, right]
        - integral[bottom, boxes.left]
        + integral[boxes.top, boxes.left]
    )
    return sums / boxes.size**2


def blocked_places(forbidden: Bool[ndarray, "H W"], size: int) -> Bool[ndarray, "_p _q"]:
    """Corners at which a `size` x `size` box would hold a forbidden pixel."""
    return box_means(forbidden.astype(np.float64), size) > 0


def best_boxes(
    values: Map, size: int, count: int, blocked: Bool[ndarray, "_p _q"] | None = None
) -> Boxes:
    """The `count` best non-overlapping boxes by mean value: best first, then the best of the rest.

    As published, boxes that merely touch count as overlapping, so corners of two boxes differ by
    more than `size` along an axis. Of equal scores the first in reading order wins. Fewer boxes
    come back where no more fit. blocked: corners where no box may be.
    """
    return best_places(box_means(values, size), size, count, blocked)


def best_places(
    pooled: Float[ndarray, "_p _q"],
    size: int,
    count: int,
    blocked: Bool[ndarray, "_p _q"] | None = None,
) -> Boxes:
    """`best_boxes` of scores that are known for every corner."""
    pooled = pooled.copy()
    if blocked is not None:
        pooled[blocked] = -np.inf
    width = pooled.shape[1]
    tops, lefts, scores = [], [], []
    for _ in range(count):
        top, left = divmod(int(pooled.argmax()), width)
        score = pooled[top, left]
        if score == -np.inf:
            break
        tops.append(top)
        lefts.append(left)
        scores.append(score)
        pooled[
            max(0, top - size) : top + size + 1, max(0, left - size) : left + size + 1
        ] = -np.inf
    return Boxes(np.array(tops, int), np.array(lefts, int), size, np.array(scores, float))


def random_boxes(
    height: int,
    width: int,
    size: int,
    count: int,
    rng: np.random.Generator,
    blocked: Bool[ndarray, "_p _q"] | None = None,
) -> Boxes:
    """Up to `count` boxes at random places that do not overlap, scored by random numbers.

    blocked: corners where no box may be.
    """
    free = np.ones((height - size + 1, width - size + 1), dtype=bool)
    if blocked is not None:
        free &= ~blocked
    tops, lefts = [], []
    for _ in range(count):
        places = np.flatnonzero(free)
        if not len(places):
            break
        top, left = divmod(int(rng.choice(places)), free.shape[1])
        tops.append(top)
        lefts.append(left)
        free[max(0, top - size) : top + size + 1, max(0, left - size) : left + size + 1] = False
    return Boxes(np.array(tops, int), np.array(lefts, int), size, rng.random(len(tops)))


def keep_count(candidates: int, config: SelectConfig) -> int:
    """How many of a label's candidates are kept: a share, within bounds."""
    wanted = round(config.share * candidates)
    return min(candidates, config.at_most, max(config.at_least, wanted))


def one_per_duplicate(
    score: Float[ndarray, " n"], image: Int[ndarray, " n"], duplicate: Int[ndarray, " n"]
) -> Bool[ndarray, " n"]:
    """Which candidates to keep so that near-duplicate images count once.

    score: (n,) of each candidate; image, duplicate: (n,) the image and the near-duplicate group it
    comes from. Of each group only the image with the best candidate stays; ties go to the lower
    image number.
    """
    order = np.lexsort((image, -score))
    _, first = np.unique(duplicate[order], return_index=True)
    winner = np.zeros(int(duplicate.max(initial=-1)) + 1, dtype=image.dtype)
    best = order[first]
    winner[duplicate[best]] = image[best]
    return image == winner[duplicate]


def best_first(
    score: Float[ndarray, " n"], image: Int[ndarray, " n"], count: int
) -> Int[ndarray, " m"]:
    """Indices of the `count` highest scores, best first; ties by image, then by position."""
    return np.lexsort((np.arange(len(score)), image, -score))[:count]
