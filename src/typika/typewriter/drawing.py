"""Characters drawn where they stand: sparse, one window a character.

A sprite is scaled and shifted by bilinear sampling into a window as high as the line, and the
window is added to the canvas at its place: a line costs a window for each character, whatever its
width.

Legend: `n` characters, `h w` pixels of a sprite, `H W` of the line, `v` columns of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

WORTH = 0.05  # share of a character's own energy that moving it must gain


@dataclass(frozen=True)
class Windows:
    """Characters drawn in windows, each as high as its line.

    ink: columns first, so that a column is added to the canvas in one piece.
    left: column of the line where the window begins, maybe before its first.
    """

    ink: Float[Tensor, "n v H"]
    left: Int[Tensor, " n"]
    line: Int[Tensor, " n"]


def draw(
    sprites: Float[Tensor, "n h w"],
    middle: Float[Tensor, "n 2"],
    log_scale: Float[Tensor, "n 2"],
    line: Int[Tensor, " n"],
    *,
    height: int,
    reach: float,
) -> Windows:
    """Sprites in windows around where they stand.

    middle: of the sprite, pixels of the line from its left and from its middle row.
    log_scale: of the drawn size over the sprite's own. reach: the greatest scale that may be.
    """
    n, own_height, own_width = sprites.shape
    x, y = middle.unbind(1)
    columns = int(own_width * reach) + 2
    left = (x.detach() - columns / 2).floor().long()
    across = torch.arange(columns, device=x.device) + 0.5 + (left - x)[:, None]
    down = torch.arange(height, device=x.device) + 0.5 - height / 2 - y[:, None]
    # Sampling coordinates run from −1 to 1 over the sprite's pixels, edge to edge.
    across = across * (-log_scale[:, :1]).exp() * 2 / own_width
    down = down * (-log_scale[:, 1:]).exp() * 2 / own_height
    grid = torch.stack(
        [
            across[:, :, None].expand(n, columns, height),
            down[:, None, :].expand(n, columns, height),
        ],
        dim=3,
    )
    ink = functional.grid_sample(
        sprites[:, None], grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return Windows(ink[:, 0], left, line)


def added(windows: Windows, n_lines: int, width: int) -> Float[Tensor, "b H W"]:
    """Ink of all windows summed: what two characters both draw counts twice."""
    n, columns, height = windows.ink.shape
    # A margin on either side takes what windows draw outside the line.
    wide = width + 2 * columns
    column = (windows.left.clamp(-columns, width) + columns)[:, None]
    column = column + torch.arange(columns, device=column.device)
    place = (windows.line[:, None] * wide + column).reshape(-1)
    canvas = windows.ink.new_zeros(n_lines * wide, height)
    canvas = canvas.index_add(0, place, windows.ink.reshape(n * columns, height))
    inside = canvas.view(n_lines, wide, height)[:, columns : columns + width]
    return inside.transpose(1, 2)


def united(windows: Windows, n_lines: int, width: int) -> Float[Tensor, "b H W"]:
    """Ink that covers ink: 1 − Π (1 − α), in whatever order characters are drawn."""
    clear = torch.log1p(-windows.ink.clamp(0, 1 - 1e-4))
    return 1 - added(Windows(clear, windows.left, windows.line), n_lines, width).exp()


@torch.no_grad()
def better_shifts(
    windows: Windows, residual: Float[Tensor, "b H W"], furthest: int
) -> Int[Tensor, " n"]:
    """How many columns each character should move to explain most of what is left for it.

    What is left for a character is the residual plus its own ink u; moved by s it removes
    2 ⟨left, u_s⟩ − |u|². The best s within `furthest` columns is returned, or 0 where that gains
    less than `WORTH` of |u|². Gradients see only the next pixels: a letter that stands beside its
    place, and so is learned double, is freed by this.
    """
    n, columns, height = windows.ink.shape
    width = residual.shape[2]
    margin = columns + furthest
    padded = functional.pad(residual, (margin, margin)).transpose(1, 2)
    start = windows.left.clamp(-columns, width) + margin - furthest
    column = start[:, None] + torch.arange(columns + 2 * furthest, device=start.device)
    left = padded.reshape(-1, height)[windows.line[:, None] * padded.shape[1] + column]
    left[:, furthest : furthest + columns] += windows.ink
    # Products of every column of the ink with every column of what is left; a diagonal is a shift.
    products = torch.bmm(windows.ink, left.transpose(1, 2))
    wide = left.shape[1]
    along = (columns * wide, wide + 1, 1)
    overlap = products.as_strided((n, columns, 2 * furthest + 1), along).sum(1)
    energy = windows.ink.square().sum((1, 2))
    gain = 2 * (overlap - overlap[:, furthest : furthest + 1])
    best = gain.argmax(1)
    worth = gain.gather(1, best[:, None])[:, 0] > WORTH * energy
    return torch.where(worth, best - furthest, 0)
