"""Prototypes put together: what instances say of each, what is stray in it, what to doubt.

Post-processing and the score of quality are those of the Learnable Typewriter (App. F.2), which
were set for sprites of 48 pixels; here they grow with the sprite.

Legend: `n` instances, `G` groups, `K` letters, `h w` pixels of a sprite. Ink is 1, paper 0.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import ndimage

from typika.palaeography.adaptation import letter_sums
from typika.palaeography.groupings import Hierarchy
from typika.palaeography.records import ABSENT, FAILED, FEW, SUSPECT, Instances, Prototypes
from typika.typewriter.instances import nearness

FEWEST = 5  # instances below which a prototype rests on too few
PUBLISHED_SIDE = 48  # pixels of the sprites that the published values were set for
REFERENCE_INK = 0.2  # of the reference: its ink, with all that is fainter than 0.8 of white left
STRAY_INK = 0.35  # of a prototype: what is darker than 0.65 of white
DILATIONS, BLUR = 2, 1.0  # around the reference's ink, pixels of the published sprite
PIECE = 0.1  # share of a letter's pixels from which a piece of it belongs to it: the dot of an i
SUSPECT_FROM, FAILED_FROM = 15.5, 30.0  # pixels of the published sprite


def assemble(
    instances: Instances,
    hierarchy: Hierarchy,
    by: str,
    ink: Float[ndarray, "G K h w"],
    reference: Float[ndarray, "K h w"],
    *,
    method: str,
    fewest: int = FEWEST,
) -> Prototypes:
    """Prototypes of the groups of one column, with all that instances say of them.

    ink: what `method` made of each letter in each group, in the order of the hierarchy's names.
    reference: the model's own sprites. fewest: instances that a prototype is not doubted for.
    """
    groups = tuple(name for name in hierarchy.levels[hierarchy.level(by)].names if name)
    member = hierarchy.members(by)
    member = np.where(member < len(groups), member, -1)
    shape = (len(groups), *reference.shape)
    mean, median, variance = (np.zeros(shape, np.float32) for _ in range(3))
    medoid = np.full(shape[:2], -1, np.int64)
    count = np.zeros(shape[:2], np.int64)
    for letter in range(len(reference)):
        sums = letter_sums(instances, letter, member, len(groups))
        mean[:, letter] = sums.mean.reshape(-1, *shape[2:])
        variance[:, letter] = sums.variance.reshape(-1, *shape[2:])
        near = near_ink(reference[letter])
        for group in range(len(groups)):
            rows = np.flatnonzero((instances.letter == letter) & (member == group))
            count[group, letter] = len(rows)
            if len(rows):
                x, w = instances.ink[rows], instances.weight[rows]
                median[group, letter] = weighted_median(x, w) / 255
                far = distances(x, w, mean[group, letter], near)
                medoid[group, letter] = rows[far.argmin()]
    quality = np.array([[stray_ink(own, one) for own, one in zip(row, reference, strict=True)]
                        for row in ink])  # fmt: skip
    return Prototypes(
        by=by, method=method, groups=groups, parents=hierarchy.parents(by),
        letters=instances.letters, reference=reference.astype(np.float32),
        ink=ink.astype(np.float32), mean=mean, median=median, variance=variance, count=count,
        medoid=medoid, quality=quality, flag=flags(count, quality, fewest),
    )  # fmt: skip


def flags(
    count: Int[ndarray, "G K"], quality: Float[ndarray, "G K"], fewest: int
) -> tuple[tuple[str, ...], ...]:
    """What to doubt a prototype for, the gravest only: absent, failed, few, suspect."""

    def flag(n: int, score: float) -> str:
        if not n:
            return ABSENT
        if score > FAILED_FROM:
            return FAILED
        if n < fewest:
            return FEW
        return SUSPECT if score >= SUSPECT_FROM else ""

    return tuple(
        tuple(flag(int(n), float(score)) for n, score in zip(*row, strict=True))
        for row in zip(count, quality, strict=True)
    )


def own_region(reference: Float[ndarray, "h w"]) -> Float[ndarray, "h w"]:
    """Where ink belongs to a letter, in [0, 1]: around the reference's own, softly ending.

    As published but for one thing: not only the largest piece counts but all of some size, or the
    dot of an i would be stray. 1 everywhere where the reference has no ink.
    """
    scale = reference.shape[0] / PUBLISHED_SIDE
    ink = reference > REFERENCE_INK
    if not ink.any():
        return np.ones_like(reference)
    wide = ndimage.binary_dilation(ink, iterations=max(round(DILATIONS * scale), 1))
    pieces, n = ndimage.label(wide)
    sizes = ndimage.sum_labels(ink, pieces, np.arange(1, n + 1))
    kept = np.isin(pieces, 1 + np.flatnonzero(sizes >= PIECE * ink.sum()))
    return ndimage.gaussian_filter(kept.astype(reference.dtype), BLUR * scale)


def filtered(
    ink: Float[ndarray, "h w"], reference: Float[ndarray, "h w"]
) -> Float[ndarray, "h w"]:
    """A prototype without what lies away from the reference's ink."""
    return ink * own_region(reference)


def stray_ink(ink: Float[ndarray, "h w"], reference: Float[ndarray, "h w"]) -> float:
    """The published score: how much of the largest dark piece lies away from the reference.

    In pixels of a sprite 48 pixels high.
    """
    pieces, n = ndimage.label(ink > STRAY_INK)
    if not n:
        return 0.0
    sizes = ndimage.sum_labels(np.ones_like(ink), pieces, np.arange(1, n + 1))
    largest = pieces == 1 + int(sizes.argmax())
    scale = ink.shape[0] / PUBLISHED_SIDE
    return float((largest * (1 - own_region(reference))).sum() / scale**2)


def near_ink(reference: Float[ndarray, "h w"]) -> Float[ndarray, "h w"]:
    """How near each pixel is to a sprite's ink, in [0, 1]."""
    return nearness(torch.from_numpy(np.ascontiguousarray(reference))[None])[0].numpy()


def distances(
    ink: ndarray, weight: ndarray, mean: Float[ndarray, "h w"], near: Float[ndarray, "h w"]
) -> Float[ndarray, " n"]:
    """Mean squared distance of instances (255ths) from their mean, where they are known."""
    counts = near * (weight / np.float32(255))
    away = (ink / np.float32(255) - mean) ** 2
    return (away * counts).sum((1, 2)) / np.maximum(counts.sum((1, 2)), 1e-6)


def weighted_median(ink: ndarray, weight: ndarray) -> Float[ndarray, "h w"]:
    """Per pixel the median of the instances that are known there (weight 128 and above); else 0.

    ink, weight: bytes, an instance a row.
    """
    known = weight >= 128
    if known.all():
        return np.median(ink, axis=0)
    # What is not known sorts to the end.
    ordered = np.sort(np.where(known, ink.astype(np.int16), 256), axis=0)
    n = known.sum(0)
    low, high = np.maximum((n - 1) // 2, 0)[None], np.minimum(n // 2, len(ink) - 1)[None]
    middle = [np.take_along_axis(ordered, place, 0)[0] for place in (low, high)]
    return np.where(n > 0, (middle[0] + middle[1]) / 2, 0.0)
