"""How well maps and clusters agree with known truth. Pure functions on arrays.

Legend: `H W` pixels. A truth mask is true where the object is. Scores may be any reals.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from typika.errors import DataError


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
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(score[order])), score.size - 1)  # end of each tie
    precision = hits[last] / (last + 1)
    recall = hits[last] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


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
