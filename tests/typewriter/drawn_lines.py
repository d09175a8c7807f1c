"""Small sheets of sprites, and lines drawn of them: the truth is what was drawn."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from typika.typewriter.sheet import SpriteSheet, sheet_of

HEIGHT = 24


def shapes() -> list[ndarray]:
    """A block, a ring, a stem, a low dot and a pair of stems, in the rows of a line."""
    block, ring, stem, dot, pair = (np.zeros((HEIGHT, w)) for w in (6, 8, 3, 3, 9))
    block[8:16] = 1
    ring[8:16] = 1
    ring[11:13, 3:5] = 0
    stem[4:16] = 1
    dot[14:17] = 1
    pair[4:16, :3] = pair[4:16, 6:] = 1
    pair[9:11] = 1
    return [block, ring, stem, dot, pair]


def small_sheet() -> SpriteSheet:
    return sheet_of(shapes())


def drawn(
    sheet: SpriteSheet,
    ids: list[int],
    rng: np.random.Generator,
    *,
    noise: float = 0.0,
    furthest: int = 2,
) -> tuple[ndarray, list[tuple[int, int]]]:
    """A line of sprites with random gaps and heights, and the left column and shift of each."""
    gaps = rng.integers(4, 9, len(ids))
    width = int(sum(sheet.widths[one] for one in ids) + gaps.sum() + 6)
    ink, places, left = np.zeros((HEIGHT, width)), [], 3
    for one, gap in zip(ids, gaps, strict=True):
        down = int(rng.integers(-furthest, furthest + 1))
        drawing = sheet.drawing(one)
        ink[:, left : left + drawing.shape[1]] += np.roll(drawing, down, axis=0)
        places.append((left, down))
        left += drawing.shape[1] + int(gap)
    return np.clip(ink + noise * rng.standard_normal(ink.shape), 0, 1), places
