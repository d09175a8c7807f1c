"""How far apart prototypes are, and how sure that is (Sec. 3.5.2; spec 1.14).

The L2 distance of two means is larger than that of what they are means of: each has noise of its
own, and E‖x̄ − ȳ‖² = ‖μ − ν‖² + Σ_px (σ²/n + τ²/m). What is called corrected here is less that
noise, estimated from the same units; it is what a cross-validated distance yields, over all ways
to divide. It can fall below 0, where noise explains more than all of the distance.

All distances of units are taken from their inner products, so that resampling and permuting cost
nothing. Legend: `n` units (documents, or instances), `p` pixels, `s` ways to count the units (in
resamplings or permutations, each counted so many times), `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from numpy import ndarray

from typika.evaluation import Bootstrap, auc_interval
from typika.typewriter.exemplars import structural_similarity

ENDS = (2.5, 97.5)  # percentiles of an interval
BLOCK = 512  # permutations at once


def l2(one: Float[ndarray, "*p"], other: Float[ndarray, "*p"]) -> float:
    """‖one − other‖₂ of two images in [0, 1]."""
    return float(np.linalg.norm(one - other))


def ssim(one: Float[ndarray, "h w"], other: Float[ndarray, "h w"]) -> float:
    """Structural similarity of two prototypes as they lie in their common frame."""
    return structural_similarity(np.clip(one, 0, 1), np.clip(other, 0, 1))


# ---------------------------------------------------------------------- means of counted units


def inner_products(units: Float[ndarray, "n p"]) -> Float[ndarray, "n n"]:
    """Of the units less their common mean, which no distance depends on."""
    centred = units - units.mean(axis=0) if len(units) else units
    return centred @ centred.T


def between(
    gram: Float[ndarray, "n n"], one: Real[ndarray, "s n"], other: Real[ndarray, "s n"]
) -> Float[ndarray, " s"]:
    """Squared L2 distance of the means of two ways to count the units; nan without any."""
    contrast = _shares(one) - _shares(other)
    return np.einsum("sn,sn->s", contrast @ gram, contrast)


def variance(gram: Float[ndarray, "n n"], times: Real[ndarray, "s n"]) -> Float[ndarray, " s"]:
    """Σ_px Var (ddof = 1) of the units as often as they count; nan of fewer than two."""
    count = times.sum(axis=1)
    share = _shares(times)
    inside = share @ gram.diagonal() - np.einsum("sn,sn->s", share @ gram, share)
    return inside * count / np.where(count > 1, count - 1, np.nan)


def noise(gram: Float[ndarray, "n n"], times: Real[ndarray, "s n"]) -> Float[ndarray, " s"]:
    """Σ_px of the variance of the mean of the units as often as they count."""
    return variance(gram, times) / np.maximum(times.sum(axis=1), 1)


def resamplings(
    side: Int[ndarray, " n"], draws: int, rng: np.random.Generator
) -> tuple[Real[ndarray, "s n"], Real[ndarray, "s n"]]:
    """How often each unit of side −1, and of side 1, counts: once in the first row, then drawn."""
    times = []
    for one in (-1, 1):
        own = np.flatnonzero(side == one)
        drawn = Bootstrap.of_groups(np.arange(len(own)), draws, rng).times.astype(np.float64)
        whole = np.zeros((draws + 1, len(side)))
        whole[:, own] = drawn if len(drawn) == draws + 1 else 1.0
        times.append(whole)
    return times[0], times[1]


@dataclass(frozen=True)
class Distances:
    """L2 as it is and corrected for noise, each with its interval (value, low, high)."""

    plain: Float[ndarray, " 3"]
    corrected: Float[ndarray, " 3"]


def distances(
    gram: Float[ndarray, "n n"], first: Real[ndarray, "s n"], second: Real[ndarray, "s n"]
) -> Distances:
    """The distance of two groups' means; units are resampled within their groups.

    A resampled distance scatters about the plain one of the data: the corrected one of the
    resampling less the plain one is the error of the corrected one, whose interval it gives. That
    of the plain distance is the same with the noise put back.
    """
    square = between(gram, first, second)
    extra = noise(gram, first) + noise(gram, second)
    corrected = square[0] - extra[0]
    error = (square - extra)[1:] - square[0]
    ends = _interval(corrected, corrected + error)
    return Distances(_root(ends + extra[0]), _root(ends))


def similarity(
    units: Float[ndarray, "n p"],
    first: Real[ndarray, "s n"],
    second: Real[ndarray, "s n"],
    image: Callable[[ndarray], ndarray],
) -> Float[ndarray, " 3"]:
    """Structural similarity of two groups' means, with its interval.

    image: makes an image of the pixels of a mean. Resampled means are noisier than the means
    themselves and so less alike; the interval is moved to lie about the value.
    """
    one, other = _shares(first) @ units, _shares(second) @ units
    found = np.array([ssim(image(a), image(b)) for a, b in zip(one, other, strict=True)])
    moved = found[1:] + found[0] - found[1:].mean() if len(found) > 1 else found[1:]
    return _interval(found[0], np.minimum(moved, 1.0))


def deviation(
    gram: Float[ndarray, "n n"], own_noise: Float[ndarray, " n"], times: Real[ndarray, "s n"]
) -> tuple[Float[ndarray, " 3"], Float[ndarray, " 3"]]:
    """σ = √(Σ_px Var (ddof = 1)) over the units that count, plain and corrected, with intervals.

    own_noise: of each unit, the variance of its own mean, which the corrected one is less.
    A resampling of n units has (n − 1) / n of their variance, which is made good.
    """
    count = times[0].sum()
    if count < 2:
        return np.full(3, np.nan), np.full(3, np.nan)
    found = variance(gram, times)
    found[1:] *= count / (count - 1)
    less = _shares(times) @ own_noise
    return _root(_interval(found[0], found[1:])), _root(
        _interval(found[0] - less[0], (found - less)[1:])
    )


# -------------------------------------------------------------------------- distances to groups


@dataclass(frozen=True)
class ToGroups:
    """Squared distances of units to the means of two groups: to the first, to the second.

    left_out: a unit is left out of the mean of its own group, and the noise of the mean is taken
    off. published: neither. nan where a group has no other unit.
    """

    left_out: Float[ndarray, "n 2"]
    published: Float[ndarray, "n 2"]


def to_groups(gram: Float[ndarray, "n n"], side: Int[ndarray, " n"]) -> ToGroups:
    """Distances of every unit to the means of the units of side −1 and of side 1.

    A mean that contains the unit itself is nearer to it, by noise alone; one of fewer units is
    farther off. Without both corrections documents that do not differ lean to one side.
    """
    alone = np.eye(len(side))
    left_out, published = [], []
    for one in (-1, 1):
        member = (side == one).astype(np.float64)
        whole = np.repeat(member[None], len(side), axis=0)
        others = whole - alone * member
        published.append(between(gram, alone, whole))
        extra = np.nan_to_num(noise(gram, others))  # of a single unit it is not known
        left_out.append(np.maximum(between(gram, alone, others) - extra, 0))
    return ToGroups(np.stack(left_out, axis=1), np.stack(published, axis=1))


def separation(gram: Float[ndarray, "n n"], side: Int[ndarray, " n"]) -> Float[ndarray, " 3"]:
    """AUC by which units lean to their own group, every pair left out of both means.

    (x_j − x_i) · (mean of the second less j − mean of the first less i) > 0 for i of the first
    group and j of the second: under the same conditions for both, so that without a difference
    it is ½. nan with fewer than two units in a group.
    """
    first, second = np.flatnonzero(side == -1), np.flatnonzero(side == 1)
    n, m = len(first), len(second)
    if min(n, m) < 2:
        return np.full(3, np.nan)
    cross = gram[np.ix_(first, second)]  # (i, j)
    inner, outer = gram[np.ix_(first, first)], gram[np.ix_(second, second)]
    i_first = (inner.sum(axis=1) - inner.diagonal()) / (n - 1)
    j_second = (outer.sum(axis=1) - outer.diagonal()) / (m - 1)
    j_first = (cross.sum(axis=0)[None, :] - cross) / (n - 1)
    i_second = (cross.sum(axis=1)[:, None] - cross) / (m - 1)
    lean = (j_second[None, :] - j_first) - (i_second - i_first[:, None])
    auc = float(((lean > 0) + 0.5 * (lean == 0)).mean())
    found = auc_interval(auc, n, m)
    return np.array([found.value, found.low, found.high])


# ------------------------------------------------------------------------------- permutations


def splits(side: Int[ndarray, " n"], most: int, rng: np.random.Generator) -> Bool[ndarray, "s n"]:
    """Ways to call units the second group's, as many as are: the true one first, all or drawn.

    All where there are at most `most` + 1 of them; else the true one and `most` at random.
    """
    n, second = len(side), np.flatnonzero(side == 1)
    if comb(n, len(second)) <= most + 1:
        own = tuple(second.tolist())
        chosen = [own, *(one for one in combinations(range(n), len(own)) if one != own)]
        found = np.zeros((len(chosen), n), bool)
        for row, places in zip(found, chosen, strict=True):
            row[list(places)] = True
        return found
    orders = np.argsort(rng.random((most, n)), axis=1)
    return np.concatenate([(side == 1)[None], (side == 1)[orders]])


def label_p(gram: Float[ndarray, "n n"], found: Bool[ndarray, "s n"]) -> float:
    """Share of the splits whose two means are at least as far apart as in the first."""
    squares = np.concatenate([
        between(gram, block.astype(float), (~block).astype(float))
        for block in (found[start : start + BLOCK] for start in range(0, len(found), BLOCK))
    ])  # fmt: skip
    return at_least_first(squares)


def at_least_first(values: Float[ndarray, " s"]) -> float:
    """Share of values at least as large as the first, which is one of them."""
    return float((values >= values[0] - 1e-9 * abs(values[0])).mean())


def _shares(times: Real[ndarray, "s n"]) -> Float[ndarray, "s n"]:
    total = times.sum(axis=1, keepdims=True)
    return times / np.where(total > 0, total, np.nan)


def _interval(value: float, draws: Float[ndarray, " s"]) -> Float[ndarray, " 3"]:
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(known) < 0.9 * max(len(draws), 1) or not len(known):
        return np.array([value, np.nan, np.nan])
    return np.array([value, *np.percentile(known, ENDS)])


def _root(squares: Float[ndarray, " 3"]) -> Float[ndarray, " 3"]:
    return np.sqrt(np.maximum(squares, 0))
