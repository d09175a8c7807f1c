"""Sprites as their letters are drawn on average, so that runs and documents can be compared.

A model may draw a small sprite large or a high one low: only the drawing is learned. Here every
sprite becomes what its letter's mean scale and mean height draw, and the means go to zero.

Legend: `K` symbols, `L` sprites of a symbol, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from typika.devices import device_of
from typika.typewriter import drawing
from typika.typewriter.batches import Line, collate
from typika.typewriter.learner import paths_of
from typika.typewriter.model import Typewriter

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Uses:
    """How often each sprite is drawn, and how on average.

    shift: from where it would stand, pixels along x and y. log_scale: of its size.
    """

    count: Int[Tensor, "K L"]
    shift: Float[Tensor, "K L 2"]
    log_scale: Float[Tensor, "K L 2"]


@torch.no_grad()
def uses(model: Typewriter, lines: Sequence[Line]) -> Uses:
    """Counts and means over lines, one at a time; those without text as the model reads them."""
    shape = model.offset.shape
    count, shift, size = torch.zeros(shape[:2]), torch.zeros(shape), torch.zeros(shape)
    model.eval()
    device = device_of(model)
    for line in lines:
        seen = model.see(collate([line]).to(device))
        drawn = model.placed(seen, paths_of(seen.reading, seen.batch.texts)).to(CPU)
        place = (drawn.symbol, drawn.share.argmax(1))
        start = torch.stack([(drawn.cell + 0.5) * model.stride, 0.0 * drawn.cell], dim=1)
        count.index_put_(place, torch.ones(len(drawn.symbol)), accumulate=True)
        shift.index_put_(place, drawn.middle - start, accumulate=True)
        size.index_put_(place, drawn.log_scale, accumulate=True)
    n = count[..., None].clamp_min(1)
    return Uses(count.long(), shift / n, size / n)


@torch.no_grad()
def fix(model: Typewriter, lines: Sequence[Line]) -> None:
    """Give every sprite its letter's mean size and height, and take those from its drawing.

    A letter is drawn as before, but for one more interpolation. Sprites that no line uses stay.
    """
    used = uses(model, lines)
    device, drawn = device_of(model), (used.count > 0)[..., None]
    size = torch.where(drawn, used.log_scale, 0.0).to(device)
    rise = torch.where(drawn[..., 0], used.shift[..., 1], 0.0).to(device)
    sprites = model.sprites.flatten(0, 1)
    n, height, width = sprites.shape
    column = torch.full((n,), width / 2, device=device)
    middle = torch.stack([column, rise.flatten()], dim=1)
    windows = drawing.draw(
        sprites, middle, size.flatten(0, 1), torch.zeros(n, dtype=torch.long, device=device),
        height=height, reach=float(size.max().exp().clamp_min(1)),
    )  # fmt: skip
    for number in range(n):
        start = -int(windows.left[number])
        drawing_of_it = windows.ink[number, start : start + width]
        model.sprites[divmod(number, model.sprites.shape[1])] = drawing_of_it.T.clamp(0, 1)
    model.size -= size
    model.offset[..., 1] -= rise
    model.recentre()
