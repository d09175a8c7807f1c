"""What a typewriter is given and what it answers, a batch of lines at a time.

Legend: `b` lines, `t` cells, `k` symbols and one blank, `H W` pixels of the widest line.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class LineBatch:
    """Lines of one height, padded on the right to the widest."""

    image: Float[Tensor, "b 3 H W"]  # in [0, 1]
    mask: Float[Tensor, "b H W"]  # 1 where errors count
    widths: Int[Tensor, " b"]  # pixels of each line before it was padded
    texts: tuple[tuple[int, ...] | None, ...]  # symbols; None where there is no transcription


@dataclass(frozen=True)
class Reading:
    """What the cells of each line say; the blank is the last symbol."""

    log_probabilities: Float[Tensor, "b t k"]
    n_cells: Int[Tensor, " b"]  # cells that count; the others look at padding
