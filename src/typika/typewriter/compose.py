"""Sprites drawn on lines: warped into windows, and layered strip by strip.

A line of width W has cells `stride` apart, and each cell draws into one window that is several
strides wide. A column of the line is thus covered by n = window / stride windows and no more, and
layers are blended n at a time, whatever the length of the line: O(H·W·n), where pasting T layers
one by one on the whole canvas is O(T·H·W). The result is the same, for any order of the layers.

Legend: `b` lines, `t` cells, `n` windows or sprites, `c` channels, `h w` sprite pixels, `H W` line
pixels, `m` pixels a window is wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor

from typika.errors import ConfigError

Alpha = Float[Tensor, "b t H m"]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where cells draw: window p is centred on column s·p, or on s·p + s/2."""

    stride: int = 16  # pixels from one cell to the next
    width: int = 64  # pixels; a multiple of the stride
    centred: bool = False  # on s·p + s/2, the middle of what cell p looks at; published: on s·p

    def __post_init__(self) -> None:
        if self.stride < 1 or self.width < self.stride or self.width % self.stride:
            raise ConfigError(
                f"window {self.width}, stride {self.stride}: the window must be a multiple of the "
                "stride, which is 1 pixel or more"
            )
        if (self.width - self.centred * self.stride) % 2:
            raise ConfigError(
                f"window {self.width}, stride {self.stride}: the middle of a window would be half "
                "a pixel off; take an even stride"
            )

    @property
    def layers(self) -> int:
        """How many windows cover a column."""
        return self.width // self.stride

    @property
    def lead(self) -> int:
        """Columns of window p that lie left of column s·p."""
        return (self.width - self.centred * self.stride) // 2

    def start(self, cell: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """First column of each cell's window, which may lie left of the line."""
        return cell * self.stride - self.lead


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How a sprite is drawn in its window; each of any one shape."""

    scale_x: Float[Tensor, "*n"]  # drawn pixels per sprite pixel, > 0
    scale_y: Float[Tensor, "*n"]
    shift_x: Float[Tensor, "*n"]  # pixels that its centre lies right of the window's
    shift_y: Float[Tensor, "*n"]  # pixels below it

    def flat(self) -> Placement:
        """The same placements in one row."""
        return Placement(
            scale_x=self.scale_x.flatten(), scale_y=self.scale_y.flatten(),
            shift_x=self.shift_x.flatten(), shift_y=self.shift_y.flatten(),
        )  # fmt: skip


def warp(
    sprites: Float[Tensor, "n h w"], placement: Placement, size: tuple[int, int]
) -> Float[Tensor, "n H m"]:
    """Draw each sprite into a window of `size` (height, width), with bilinear interpolation.

    Only opacity is warped: colours stay vectors, so that edges are not darkened. Outside of its
    sprite a window is 0. Without rotation, bilinear interpolation is a product of two matrices of
    hats, A = R_y S R_xᵀ, which is faster than a general sampler and has exact gradients.
    """
    height, width = size
    rows = _hats(sprites.shape[1], height, placement.scale_y, placement.shift_y)
    columns = _hats(sprites.shape[2], width, placement.scale_x, placement.shift_x)
    # Columns first in memory, since the strips below are runs of columns.
    return (columns @ (rows @ sprites).mT).mT


def _hats(
    n_source: int, n_target: int, scale: Float[Tensor, " n"], shift: Float[Tensor, " n"]
) -> Float[Tensor, "n target source"]:
    """max(0, 1 − |x − i|): what source pixel i gives to the target pixel that lies at x."""
    target = torch.arange(n_target, dtype=scale.dtype, device=scale.device) - (n_target - 1) / 2
    source = torch.arange(n_source, dtype=scale.dtype, device=scale.device)
    place = (target - shift[:, None]) / scale[:, None] + (n_source - 1) / 2
    return (1 - (place[:, :, None] - source).abs()).clamp_min(0)


def composite(
    alpha: Alpha,
    colour: Float[Tensor, "b t c"],
    background: Float[Tensor, "b c H W"],
    windows: Windows,
    priority: Float[Tensor, "b t"] | None = None,
) -> Float[Tensor, "b c H W"]:
    """x̂ = Σ_t Π_{j above t} (1 − α_j) α_t c_t, the background lowest (Eq. 3.1).

    alpha: opacity of every window, in [0, 1]. priority: a cell lies over those of lower priority;
    None lays each cell over its left neighbour. Windows are clipped at the ends of the line.
    """
    b, channels, height, width = background.shape
    pad, n_strips = _strip_grid(width, windows)
    strips, cell = _sorted_strips(alpha, n_strips, windows, priority)
    weights, rest = _layer_weights(strips)
    ends = (pad, n_strips * windows.stride - pad - width)
    canvas = functional.pad(background, ends)
    canvas = canvas.reshape(b, channels, height, n_strips, windows.stride)
    canvas = canvas.permute(0, 3, 1, 4, 2).flatten(3)  # b, strips, c, stride · H
    line = torch.arange(b, device=cell.device)[:, None, None]
    own = functional.pad(colour, (0, 0, 0, 1))[line, cell].transpose(2, 3)
    painted = torch.addcmul(own @ weights, rest[:, :, None], canvas)
    painted = painted.view(b, n_strips, channels, windows.stride, height)
    painted = painted.permute(0, 2, 4, 1, 3).flatten(3)
    return painted[..., pad : pad + width]


def coverage(alpha: Alpha, windows: Windows, width: int) -> Float[Tensor, "b H W"]:
    """Σ_t α_t of each pixel of a line of `width` pixels: 2 where two opaque windows meet."""
    pad, n_strips = _strip_grid(width, windows)
    strips, _ = _sorted_strips(alpha, n_strips, windows, None)
    total = strips.sum(dim=2).view(len(alpha), n_strips * windows.stride, alpha.shape[2])
    return total.mT[..., pad : pad + width]


def _strip_grid(width: int, windows: Windows) -> tuple[int, int]:
    """Columns that the first strip lies left of the line, and how many strips cover the line."""
    pad = windows.lead % windows.stride
    return pad, -((-width - pad) // windows.stride)


def _sorted_strips(
    alpha: Alpha,
    n_strips: int,
    windows: Windows,
    priority: Float[Tensor, "b t"] | None,
) -> tuple[Float[Tensor, "b strips layers pixels"], Int[Tensor, "b strips layers"]]:
    """The windows' parts that cover each strip, lowest first, and the cells they are of.

    Sorting the few cells of every strip gives the order that sorting all cells would give. Cell t,
    one past the last, stands for no cell: its opacity is 0.
    """
    b, t, height, _ = alpha.shape
    layers, device = windows.layers, alpha.device
    # Window p covers strips p − lead // s and the following ones.
    first = torch.arange(n_strips, device=device) + windows.lead // windows.stride - layers + 1
    cell = (first[:, None] + torch.arange(layers, device=device)).expand(b, -1, -1)
    part = torch.arange(layers - 1, -1, -1, device=device).expand(b, n_strips, layers)
    there = (cell >= 0) & (cell < t)
    cell = torch.where(there, cell, t)
    if priority is not None:
        rank = functional.pad(priority, (0, 1)).gather(1, cell.flatten(1)).view_as(cell)
        order = rank.argsort(dim=2, stable=True)
        cell, part = cell.gather(2, order), part.gather(2, order)
    pixels = windows.stride * height
    rows = alpha.mT.reshape(b * t * layers, pixels)
    rows = torch.cat([rows, rows.new_zeros(1, pixels)])
    line = torch.arange(b, device=device)[:, None, None]
    row = torch.where(cell < t, (line * t + cell) * layers + part, b * t * layers)
    return rows.index_select(0, row.flatten()).view(b, n_strips, layers, pixels), cell


def _layer_weights(
    strips: Float[Tensor, "b strips layers pixels"],
) -> tuple[Float[Tensor, "b strips layers pixels"], Float[Tensor, "b strips pixels"]]:
    """α_t Π_{j above t} (1 − α_j) of each layer, and what is left for the background."""
    rest = torch.ones_like(strips[:, :, 0])
    weights = []
    for layer in strips.unbind(2)[::-1]:
        weights.append(layer * rest)
        rest = rest - weights[-1]
    return torch.stack(weights[::-1], dim=2), rest
