"""Letters in documents, drawn from a normal distribution whose truth is known: no pixels."""

from __future__ import annotations

import numpy as np

from typika.palaeography.records import Letter
from typika.palaeography.units import Means, Units

SHAPE = (12, 10)
FREEDOM = 8  # ways in which documents vary: σ² of a group of scale 1


def documents(
    seed: int,
    *,
    n_letters: int = 12,
    n_each: int = 7,
    shift: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    outlier: int | None = None,
    noise: float = 3.0,
) -> tuple[Units, list[Means]]:
    """Two groups, a and b, `shift` apart, which vary by `scale`; an outlier strays thrice as far.

    noise: of a mean of one instance, over all pixels.
    """
    rng = np.random.default_rng(seed)
    n, pixels = 2 * n_each, SHAPE[0] * SHAPE[1]
    means = []
    for number in range(n_letters):
        base = np.linalg.qr(rng.normal(size=(pixels, FREEDOM)))[0].T
        place = rng.normal(size=(n, FREEDOM)) * np.repeat(scale, n_each)[:, None]
        place[n_each:, 0] += shift
        if outlier is not None:
            place[outlier] *= 3
        count = rng.integers(3, 30, size=n)
        own = noise / count
        value = place @ base + rng.normal(size=(n, pixels)) * np.sqrt(own / pixels)[:, None]
        means.append(Means(Letter(chr(97 + number)), np.ones(SHAPE), value, own, count,
                           np.ones(n, bool)))  # fmt: skip
    names = tuple(f"{'ab'[d >= n_each]}{d % n_each}" for d in range(n))
    group = tuple(name[0] for name in names)
    return Units(names, group, ("",) * n, np.zeros(0, np.int64)), means
