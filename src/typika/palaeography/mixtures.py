"""Points that fall into two: a mixture of two Gaussians of one covariance, and what speaks for it.

Instances of one form vary continuously; those of two forms leave a gap. So a direction is fitted
to one half of the points and the other half, which had no part in it, is projected on it: only two
forms stay apart there.

Legend: `n` points, `d` dimensions, `s` starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

STEPS = 25  # of expectation maximisation
LEAST = 0.06  # share of the smaller part of a fit
RIDGE = 0.05  # of the variance: what keeps a fit of few points from a spike
RANDOM = 16  # starts from two points drawn
LEVELS = (0.25, 0.5, 0.75)  # quantiles of each dimension that start

Points = Float[ndarray, "n d"]


@dataclass(frozen=True)
class Division:
    """A linear rule: of the second part where `points @ direction + offset` is above 0."""

    direction: Float[ndarray, " d"]
    offset: float

    def side(self, points: Points) -> Float[ndarray, " n"]:
        """How clearly each point is of the second part: the logarithm of the odds."""
        return points @ self.direction + self.offset


@dataclass(frozen=True)
class Support:
    """What speaks for a division. Medians over halves.

    separation: distance of the two means of the points that it was not fitted to, in deviations
    within a part. valley: least density between the two over that of the lower peak, in [0, 1];
    agreement: share of all points that two halves divide alike, beyond chance, at most 1.
    """

    separation: float
    valley: float
    agreement: float


def divide(points: Points, rng: np.random.Generator) -> Division | None:
    """The likeliest division of all starts; None where every one leaves a part almost empty."""
    middle = points.mean(axis=0)
    covariance = np.atleast_2d(np.cov(points.T, bias=True))
    covariance = covariance + RIDGE * np.trace(covariance) / len(covariance) * np.eye(
        len(covariance)
    )
    values, axes = np.linalg.eigh(covariance)
    whiten = axes / np.sqrt(values.clip(1e-12))
    white = (points - middle) @ whiten
    second = _starts(white, rng)
    for _ in range(STEPS):
        share, apart, odds, offset = _maximised(white, second)
        second = 1 / (1 + np.exp(-np.clip(odds, -40, 40)))
    gain = _gain(white, share, apart, odds)
    gain = np.where(np.minimum(share, 1 - share) < LEAST, -np.inf, gain)
    best = int(gain.argmax())
    if not np.isfinite(gain[best]):
        return None
    direction = whiten @ _rule(share, apart)[best]
    return Division(direction, float(offset[best] - middle @ direction))


def _starts(white: Points, rng: np.random.Generator) -> Float[ndarray, "s n"]:
    """Cuts of each dimension, and points nearer to one than to the other of two drawn."""
    cuts = [axis > level for axis in white.T for level in np.quantile(axis, LEVELS)]
    for _ in range(RANDOM):
        one, two = white[rng.choice(len(white), 2, replace=False)]
        cuts.append(((white - one) ** 2).sum(axis=1) > ((white - two) ** 2).sum(axis=1))
    return np.clip(np.array(cuts, dtype=float), 0.05, 0.95)


def _rule(share: Float[ndarray, " s"], apart: Float[ndarray, "s d"]) -> Float[ndarray, "s d"]:
    """S⁻¹ (μ₂ − μ₁) with S = I − p(1−p) (μ₂ − μ₁)(μ₂ − μ₁)ᵀ, the total covariance being I."""
    left = 1 - share * (1 - share) * (apart**2).sum(axis=1)
    return apart / left.clip(1e-3)[:, None]


def _maximised(
    white: Points, second: Float[ndarray, "s n"]
) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Share of the second part, distance of the means, log odds of the points, their offset."""
    n = len(white)
    count = second.sum(axis=1).clip(1e-6, n - 1e-6)
    share = count / n
    of_second = second @ white / count[:, None]
    of_first = -of_second * (share / (1 - share))[:, None]  # the mean of all is 0
    apart = of_second - of_first
    rule = _rule(share, apart)
    offset = np.log(share / (1 - share)) - 0.5 * (rule * (of_first + of_second)).sum(axis=1)
    return share, apart, rule @ white.T + offset[:, None], offset


def _gain(
    white: Points, share: ndarray, apart: ndarray, odds: Float[ndarray, "s n"]
) -> Float[ndarray, " s"]:
    """Log likelihood of each mixture but for what all have in common."""
    left = (1 - share * (1 - share) * (apart**2).sum(axis=1)).clip(1e-3)
    of_first = -share[:, None] * apart
    # (x − μ₁)ᵀ S⁻¹ (x − μ₁) with S⁻¹ = I + p(1−p) ΔΔᵀ / left, Δ = μ₂ − μ₁
    square = (white**2).sum(axis=1) - 2 * of_first @ white.T + (of_first**2).sum(axis=1)[:, None]
    along = apart @ white.T - (apart * of_first).sum(axis=1)[:, None]
    square = square + (share * (1 - share) / left)[:, None] * along**2
    each = np.log1p(-share)[:, None] - 0.5 * square + np.logaddexp(0, odds)
    return each.sum(axis=1) - 0.5 * len(white) * np.log(left)


def support(points: Points, rng: np.random.Generator, n_halves: int) -> Support:
    """What halves say of a division of all points, each judged on the points of the other."""
    found: list[tuple[float, float, float]] = []
    for _ in range(n_halves):
        order = rng.permutation(len(points))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        rules = [divide(points[half], rng) for half in halves]
        if rules[0] is None or rules[1] is None:
            found.append((0.0, 1.0, 0.0))
            continue
        sides = [rule.side(points) for rule in rules if rule is not None]
        agreement = agreeing(sides[0] > 0, sides[1] > 0)
        found += [
            (*apart(sides[0][halves[1]]), agreement),
            (*apart(sides[1][halves[0]]), agreement),
        ]
    separation, valley, agreement = np.median(np.array(found), axis=0).tolist()
    return Support(separation, valley, agreement)


def agreeing(one: Bool[ndarray, " n"], other: Bool[ndarray, " n"]) -> float:
    """Cohen's κ of two divisions, whichever part is called the second: 0 by chance, 1 alike."""
    alike = float((one == other).mean())
    chance = float(one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean()))
    if alike < chance:
        alike, chance = 1 - alike, 1 - chance
    return (alike - chance) / (1 - chance) if chance < 1 else 0.0


def apart(values: Float[ndarray, " n"]) -> tuple[float, float]:
    """How far two parts of numbers lie apart, in deviations, and how deep the valley between is.

    The parts are those of the best cut (Otsu), made soft by expectation maximisation.
    """
    ordered = np.sort(values)
    n, sums = len(ordered), np.cumsum(ordered)
    below = np.arange(1, n)
    gap = sums[-1] * below - n * sums[:-1]
    cut = int((gap**2 / (below * (n - below))).argmax()) + 1
    means = np.array([ordered[:cut].mean(), ordered[cut:].mean()])
    shares = np.array([cut, n - cut]) / n
    variance = ordered.var() - shares.prod() * (means[1] - means[0]) ** 2
    for _ in range(STEPS):
        variance = max(float(variance), 1e-9 * max(float(ordered.var()), 1e-12))
        logs = np.log(shares) - 0.5 * (ordered[:, None] - means) ** 2 / variance
        part = np.exp(logs - logs.max(axis=1, keepdims=True))
        part /= part.sum(axis=1, keepdims=True)
        count = part.sum(axis=0) + 1e-9
        shares, means = count / count.sum(), part.T @ ordered / count
        variance = (part * (ordered[:, None] - means) ** 2).sum() / n
    deviation = float(np.sqrt(variance))
    separation = float(abs(means[1] - means[0])) / max(deviation, 1e-12)
    return separation, _valley(ordered, means, deviation)


def _valley(ordered: Float[ndarray, " n"], means: ndarray, deviation: float) -> float:
    low, high = sorted(means.tolist())
    width = max(deviation * len(ordered) ** -0.2, 1e-12)
    grid = np.linspace(low, high, 65)
    density = np.exp(-0.5 * ((grid[:, None] - ordered) / width) ** 2).sum(axis=1)
    deepest = int(density.argmin())
    peak = min(density[: deepest + 1].max(), density[deepest:].max())
    return float(density[deepest] / peak) if peak > 0 else 1.0
