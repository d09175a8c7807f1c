"""Sprites in the frame of a line: drawings of ink, each with the columns that it claims. Pure.

Legend: `K` sprites, `H` rows of a line (of a sprite too: a drawing keeps its height over the
baseline), `w` columns of the widest sprite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.errors import DataError

Drawing = Float[ndarray, "H w"]

FAINT = 0.04  # ink below this is left out of a drawing
COLUMN_INK = 0.15  # a drawing begins and ends with columns of more ink than this
TAIL = 0.03  # share of the ink, at either end, that may lie outside of the core ...
OVERHANG = 2  # ... in at most so many columns
BOX_INK = 0.3  # a box holds the rows and columns with ink of at least this


@dataclass(frozen=True)
class SpriteSheet:
    """Sprites, drawn from column 0 and in the rows of a line.

    ink: (K, H, w) in [0, 1]; widths: (K,) columns that are drawn; core: (K, 2) first column and
    end of the part that no other sprite may claim: serifs and kerns reach over it.
    """

    ink: Float[ndarray, "K H w"]
    widths: Int[ndarray, " K"]
    core: Int[ndarray, "K 2"]

    def __len__(self) -> int:
        return len(self.ink)

    def drawing(self, sprite: int) -> Drawing:
        """(H, w) one sprite, as wide as it is."""
        return self.ink[sprite, :, : self.widths[sprite]]

    def box(self, sprite: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the ink of a sprite, right and bottom exclusive."""
        ink = self.drawing(sprite)
        inked = ink >= min(BOX_INK, float(ink.max()))
        rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def trimmed(drawing: Drawing) -> Float[ndarray, "H _"] | None:
    """A drawing without what is faint and without empty columns; None where nothing is left."""
    ink = np.where(drawing < FAINT, 0.0, np.clip(drawing, 0, 1))
    columns = np.flatnonzero(ink.sum(axis=0) > COLUMN_INK)
    return ink[:, columns[0] : columns[-1] + 1] if len(columns) else None


def sheet_of(drawings: Sequence[Float[ndarray, "H _"]]) -> SpriteSheet:
    """Sprites of the same height as a sheet; what has no ink is left out.

    Raises DataError if nothing is left.
    """
    drawn = [ink for ink in map(trimmed, drawings) if ink is not None]
    if not drawn:
        raise DataError("sprites: none of the drawings has ink; give lines with text on them")
    widths = np.array([one.shape[1] for one in drawn])
    ink = np.zeros((len(drawn), drawn[0].shape[0], int(widths.max())))
    for place, one in enumerate(drawn):
        ink[place, :, : one.shape[1]] = one
    return SpriteSheet(ink, widths, np.array([_core(one) for one in drawn]))


def _core(ink: Drawing) -> tuple[int, int]:
    """The columns between the tails, at least two where there are as many."""
    width = ink.shape[1]
    share = np.cumsum(ink.sum(axis=0)) / ink.sum()
    start = min(int(np.searchsorted(share, TAIL)), OVERHANG)
    end = max(int(np.searchsorted(share, 1 - TAIL)) + 1, width - OVERHANG)
    return (start, end) if end - start >= 2 else (0, width)
