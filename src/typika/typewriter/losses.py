"""What training makes small. Pure functions of tensors.

Legend: `b` lines, `H W` pixels, `T` cells, `K1` symbols and the blank, `n` characters drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from typika.typewriter.alphabet import n_cells_needed
from typika.typewriter.batches import Reading

BLUR = (3, 9)  # rows and columns of the box that the residual is blurred with
SIDES = 4.0  # how much more ink costs at a sprite's sides than in its middle
BLUR_STEP = (4, 8)  # and how far apart boxes are looked at


def connectionist(reading: Reading, texts: Sequence[tuple[int, ...] | None]) -> Float[Tensor, ""]:
    """−log p(text | line) per symbol, mean over the transcribed lines (Graves et al. 2006).

    Lines that are not transcribed, are empty or hold more symbols than cells count for nothing.
    """
    use = [
        n
        for n, text in enumerate(texts)
        if text and n_cells_needed(text) <= int(reading.n_cells[n])
    ]
    if not use:
        return reading.log_probabilities.sum() * 0
    chosen = [texts[n] or () for n in use]
    return functional.ctc_loss(
        reading.log_probabilities[use].transpose(0, 1),
        torch.tensor([symbol for text in chosen for symbol in text]).to(reading.n_cells.device),
        reading.n_cells[use],
        torch.tensor([len(text) for text in chosen]),
        blank=reading.log_probabilities.shape[2] - 1,
    )


def squared(residual: Float[Tensor, "b H W"], mask: Float[Tensor, "b H W"]) -> Float[Tensor, ""]:
    """Mean square of the residual over the pixels that count."""
    return (residual.square() * mask).sum() / mask.sum().clamp_min(1)


def blurred(residual: Float[Tensor, "b H W"], mask: Float[Tensor, "b H W"]) -> Float[Tensor, ""]:
    """Mean square of the residual seen from afar.

    A letter drawn twice at half strength, beside a spike of the reading, is a minimum of the sharp
    error; seen from afar a shift towards the letter makes the error smaller at once.
    """
    far = functional.avg_pool2d(
        functional.avg_pool2d((residual * mask)[:, None], BLUR, 1, (BLUR[0] // 2, BLUR[1] // 2)),
        BLUR_STEP,
        ceil_mode=True,
    )
    return far.square().sum() * (BLUR_STEP[0] * BLUR_STEP[1]) / mask.sum().clamp_min(1)


def ink_of_uses(
    sprites: Float[Tensor, "n h w"], strength: Float[Tensor, " n"], mask: Float[Tensor, "b H W"]
) -> Float[Tensor, ""]:
    """Ink that all characters draw, over the pixels that count: keeps sprites from haloes.

    With weight λ beside the squared error, a pixel of a sprite keeps ink only where it removes a
    residual above λ/2. Ink costs more towards a sprite's sides, so that what two neighbours could
    both draw, as of "T" and "h" in "The", is drawn by the one that it is nearer to.
    """
    width = sprites.shape[2]
    away = (torch.arange(width, device=sprites.device) + 0.5 - width / 2) / (width / 2)
    cost = 1 + SIDES * away.square()
    return ((sprites * cost).sum((1, 2)) * strength.detach()).sum() / mask.sum().clamp_min(1)


def pulled(x: Float[Tensor, " n"], shifts: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """Mean distance, in pixels, of characters from better places `shifts` columns away."""
    return (x - (x.detach() + shifts)).abs().sum() / max(len(x), 1)
