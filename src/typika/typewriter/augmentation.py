"""Lines as they might also have looked: other pens, other pressure, other damage.

Only what the reader sees is changed, never what is to be drawn. `warped` also moves letters, so a
line shown that way is read and not drawn; `worn` leaves every letter where it is.

Legend: `b` lines, `H W` pixels; ink images in [0, 1].
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Ink = Float[Tensor, "b H W"]

THICKNESS = 0.7  # greatest share of a stroke's dilation or erosion by a pixel
FADING = 0.4  # greatest loss of ink
FOG = 0.1  # greatest ink of paper
NOISE = 0.1  # greatest deviation of a pixel; that of stains is FOG
BLOTS = 2  # holes in a line, each up to HOLE of its height wide and twice as high
HOLE = 0.18
STRETCH = 0.08  # greatest change of height, and greatest shift, of a line's height
SLANT = 0.25  # greatest shift along x for a pixel of y
WAVE = (0.06, 0.05)  # greatest shift of a knot along x and y, of a line's height
KNOT = 0.75  # distance of knots, of a line's height


def worn(ink: Ink, generator: torch.Generator) -> Ink:
    """Strokes thicker or thinner, ink faded, paper stained and noisy, holes."""
    result = _pressed(ink, generator)
    n, height, width = ink.shape
    result = result * (1 - FADING * _rand(n, 1, 1, of=ink, generator=generator))
    result = result + FOG * _rand(n, 1, 1, of=ink, generator=generator)
    stains = _randn(n, 1, 8, max(2, width // 8), of=ink, generator=generator)
    stains = functional.interpolate(stains, size=(height, width), mode="bilinear")[:, 0]
    result = result + FOG * stains * _rand(n, 1, 1, of=ink, generator=generator)
    grain = _randn(n, height, width, of=ink, generator=generator)
    result = result + NOISE * grain * _rand(n, 1, 1, of=ink, generator=generator)
    for _ in range(BLOTS):
        result = result.masked_fill(_holes(ink, generator), 0)
    return result.clamp(0, 1)


def warped(ink: Ink, generator: torch.Generator) -> Ink:
    """Lines slanted, stretched along y, and bent a little along both axes."""
    n, height, width = ink.shape

    def uniform(*shape: int) -> Tensor:
        return 2 * _rand(*shape, of=ink, generator=generator) - 1

    n_knots = max(2, round(width / (KNOT * height)))
    bend = functional.interpolate(uniform(n, 2, n_knots), size=width, mode="linear",
                                  align_corners=True)  # fmt: skip
    x = torch.arange(width, device=ink.device) + 0.5
    y = torch.arange(height, device=ink.device) + 0.5 - height / 2
    down = y[None, :, None] * (1 + STRETCH * uniform(n, 1, 1))
    down = down + height * (STRETCH * uniform(n, 1, 1) + WAVE[1] * bend[:, 1, None])
    across = x + SLANT * uniform(n, 1, 1) * y[None, :, None] + height * WAVE[0] * bend[:, 0, None]
    grid = torch.stack([across / width * 2 - 1, down / height * 2], dim=3)
    return functional.grid_sample(ink[:, None], grid, align_corners=False)[:, 0]


def _pressed(ink: Ink, generator: torch.Generator) -> Ink:
    """A third of the lines with thicker strokes, a third with thinner ones."""
    n = len(ink)
    kind = _rand(n, 1, 1, of=ink, generator=generator)
    amount = THICKNESS * _rand(n, 1, 1, of=ink, generator=generator)
    thick = _darkest(ink)
    thin = -_darkest(-ink)
    other = torch.where(kind < 1 / 3, thick, torch.where(kind < 2 / 3, thin, ink))
    return torch.lerp(ink, other, amount)


def _darkest(ink: Ink) -> Ink:
    """The darkest of each pixel and its eight neighbours; many times faster than max_pool2d."""
    wide = functional.pad(ink[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    rows = torch.maximum(torch.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    return torch.maximum(torch.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


def _holes(ink: Ink, generator: torch.Generator) -> Tensor:
    """A rectangle of each line, true inside."""
    n, height, width = ink.shape
    left, top, wide, high = (
        _rand(n, 1, 1, of=ink, generator=generator) * most
        for most in (width, height, HOLE * height, 2 * HOLE * height)
    )
    x = torch.arange(width, device=ink.device)[None, None]
    y = torch.arange(height, device=ink.device)[None, :, None]
    return (x >= left) & (x < left + wide) & (y >= top) & (y < top + high)


# Random numbers are drawn on the CPU, so that every device sees the same.
def _rand(*shape: int, of: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(*shape, generator=generator).to(of.device)


def _randn(*shape: int, of: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator).to(of.device)
