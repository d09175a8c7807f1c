from __future__ import annotations

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor

from typika.errors import ConfigError
from typika.typewriter.compose import Placement, Windows, composite, coverage, warp

# stride, window, centred: 4, 1, 2 and 3 layers; windows on and beside the cells' columns.
GRIDS = [(4, 16, False), (4, 16, True), (6, 6, False), (6, 12, True), (4, 12, False), (2, 6, True)]


def painted(
    alpha: Tensor, colour: Tensor, background: Tensor, windows: Windows, priority: Tensor
) -> Tensor:
    """The oracle: every layer pasted on the whole canvas, lowest first."""
    canvas = background.clone()
    lines, _, _, width = canvas.shape
    for line in range(lines):
        for cell in priority[line].argsort(stable=True).tolist():
            start = cell * windows.stride - windows.width // 2
            start += windows.stride // 2 if windows.centred else 0
            for column in range(max(start, 0), min(start + windows.width, width)):
                own = alpha[line, cell, :, column - start]
                under = canvas[line, :, :, column]
                over = colour[line, cell][:, None].expand_as(under)
                canvas[line, :, :, column] = own * over + (1 - own) * under
    return canvas


def scene(
    windows: Windows, n_cells: int = 7, width: int = 27, channels: int = 3
) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    alpha = torch.rand(2, n_cells, 5, windows.width, generator=draw, dtype=torch.float64)
    colour = torch.rand(2, n_cells, channels, generator=draw, dtype=torch.float64)
    background = torch.rand(2, channels, 5, width, generator=draw, dtype=torch.float64)
    return alpha, colour, background, torch.rand(2, n_cells, generator=draw, dtype=torch.float64)


def placement(*values: list[float]) -> Placement:
    scale_x, scale_y, shift_x, shift_y = (torch.tensor(own).double() for own in values)
    return Placement(scale_x=scale_x, scale_y=scale_y, shift_x=shift_x, shift_y=shift_y)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("n_cells", "width"), [(7, 27), (1, 5), (3, 40), (12, 13)])
def test_strips_equal_the_painter(grid: tuple[int, int, bool], n_cells: int, width: int) -> None:
    windows = Windows(stride=grid[0], width=grid[1], centred=grid[2])
    alpha, colour, background, priority = scene(windows, n_cells, width)
    found = composite(alpha, colour, background, windows, priority)
    expected = painted(alpha, colour, background, windows, priority)
    assert torch.allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize("channels", [1, 3])
def test_without_priorities_layers_lie_left_to_right(channels: int) -> None:
    windows = Windows(stride=4, width=16)
    alpha, colour, background, _ = scene(windows, channels=channels)
    found = composite(alpha, colour, background, windows)
    order = torch.arange(7).expand(2, -1)
    assert torch.allclose(found, painted(alpha, colour, background, windows, order), atol=1e-13)
    turned = composite(alpha, colour, background, windows, 6.0 - order.double())
    assert not torch.allclose(found, turned, atol=1e-3)


def test_gradients_are_those_of_finite_differences() -> None:
    windows = Windows(stride=2, width=6)
    alpha, colour, background, priority = scene(windows, n_cells=3, width=7)
    inputs = [value.requires_grad_() for value in (alpha, colour, background)]
    assert torch.autograd.gradcheck(
        lambda *own: composite(*own, windows, priority), inputs, atol=1e-8
    )


def test_gradients_of_a_warp_are_those_of_finite_differences() -> None:
    sprites = torch.rand(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own = placement([1.13, 0.83], [0.91, 1.37], [0.41, -1.23], [-0.77, 0.31])
    inputs = (sprites, own.scale_x, own.scale_y, own.shift_x, own.shift_y)

    def drawn(sprites: Tensor, *values: Tensor) -> Tensor:
        names = ("scale_x", "scale_y", "shift_x", "shift_y")
        return warp(sprites, Placement(**dict(zip(names, values, strict=True))), (6, 8))

    assert torch.autograd.gradcheck(drawn, [value.requires_grad_() for value in inputs])


def test_a_warp_equals_the_general_sampler() -> None:
    draw = torch.Generator().manual_seed(0)
    sprites = torch.rand(9, 6, 8, generator=draw, dtype=torch.float64)
    scale_x, scale_y = torch.rand(2, 9, generator=draw, dtype=torch.float64) + 0.5
    shift_x, shift_y = 4 * torch.randn(2, 9, generator=draw, dtype=torch.float64)
    own = Placement(scale_x=scale_x, scale_y=scale_y, shift_x=shift_x, shift_y=shift_y)
    none = torch.zeros_like(scale_x)
    rows = (
        torch.stack([16 / 8 / scale_x, none, -shift_x * 2 / 8 / scale_x], dim=1),
        torch.stack([none, 12 / 6 / scale_y, -shift_y * 2 / 6 / scale_y], dim=1),
    )
    places = functional.affine_grid(torch.stack(rows, dim=1), [9, 1, 12, 16], align_corners=False)
    expected = functional.grid_sample(sprites[:, None], places, align_corners=False)[:, 0]
    assert torch.allclose(warp(sprites, own, (12, 16)), expected, atol=1e-12)


def test_an_opaque_sprite_returns_itself() -> None:
    windows = Windows(stride=8, width=16, centred=True)
    sprite = (torch.arange(48.0).view(1, 6, 8) % 3 == 0).double()
    alpha = warp(sprite, placement([1.0], [1.0], [0.0], [0.0]), (10, 16))
    line = composite(
        torch.cat([torch.zeros(2, 10, 16).double(), alpha])[None],
        torch.tensor([0.25, 0.5, 0.75]).double().expand(1, 3, 3),
        torch.ones(1, 3, 10, 40).double(),
        windows,
    )
    # Cell 2 looks at columns 16 to 24, and its window is centred on 20.
    expected = torch.ones(3, 10, 40).double()
    colour = torch.tensor([0.25, 0.5, 0.75]).double()[:, None, None]
    expected[:, 2:8, 16:24] = torch.where(sprite[0] == 1, colour, 1.0)
    assert torch.equal(line[0], expected)


def test_whole_pixels_of_shift_move_a_sprite_and_scale_stretches_it() -> None:
    sprite = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    home = warp(sprite, placement([1.0], [1.0], [0.0], [0.0]), (14, 20))
    assert torch.equal(home[0, 4:10, 7:13], sprite[0])
    assert home.sum() == pytest.approx(sprite.sum().item())
    moved = warp(sprite, placement([1.0], [1.0], [3.0], [-2.0]), (14, 20))
    assert torch.equal(moved, home.roll((-2, 3), dims=(1, 2)))
    full = torch.ones(1, 6, 6).double()
    wide = warp(full, placement([2.0], [0.5], [0.0], [0.0]), (14, 20))
    # Ink is stretched with the sprite, to half opacity at the edges.
    assert (wide[0, 7] >= 0.5).sum() == 12
    assert wide[0, :, 10].sum() == 3


def test_a_line_moved_by_a_stride_is_drawn_a_cell_later() -> None:
    windows = Windows(stride=4, width=16, centred=True)
    alpha, colour, background, priority = scene(windows, n_cells=10, width=40)
    later = composite(
        *(functional.pad(own, (0, 0) * pads + (1, 0)) for own, pads in ((alpha, 2), (colour, 1))),
        functional.pad(background, (4, 0)),
        windows,
        functional.pad(priority, (1, 0)),
    )
    here = composite(alpha, colour, background, windows, priority)
    assert torch.allclose(later[..., 4:], here, atol=1e-14)


def test_coverage_counts_opaque_windows() -> None:
    windows = Windows(stride=4, width=8)
    found = coverage(torch.ones(1, 3, 2, 8), windows, 14)
    # Windows of columns -4..4, 0..8 and 4..12.
    assert found[0, 0].tolist() == [2.0] * 8 + [1.0] * 4 + [0.0] * 2


def test_memory_grows_linearly_with_the_line() -> None:
    def kept_for_backward(n_cells: int) -> int:
        kept = 0

        def pack(value: Tensor) -> Tensor:
            nonlocal kept
            kept += value.numel()
            return value

        windows = Windows(stride=4, width=16)
        alpha, colour, background, priority = scene(windows, n_cells, 4 * n_cells)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            composite(alpha.requires_grad_(), colour, background, windows, priority)
        return kept

    assert kept_for_backward(200) < 2.1 * kept_for_backward(100)


@pytest.mark.parametrize(
    ("stride", "width", "centred"),
    [(0, 8, False), (6, 16, False), (3, 9, False), (3, 12, True)],
)
def test_windows_that_miss_the_grid_are_refused(stride: int, width: int, centred: bool) -> None:
    with pytest.raises(ConfigError, match=f"window {width}, stride {stride}"):
        Windows(stride=stride, width=width, centred=centred)
