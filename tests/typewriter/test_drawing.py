"""Sprites drawn where they stand: closed forms, and the gauge that leaves drawings as they are."""

from __future__ import annotations

import pytest
import torch

from typika.typewriter.drawing import added, draw, united


def one(sprite: torch.Tensor, x: float, y: float, size: tuple[float, float] = (0, 0)):
    return draw(
        sprite[None].double(),
        torch.tensor([[x, y]], dtype=torch.double),
        torch.tensor([size], dtype=torch.double),
        torch.zeros(1, dtype=torch.long),
        height=16,
        reach=2.0,
    )


def test_a_sprite_of_its_own_size_is_copied_to_its_place() -> None:
    sprite = torch.rand(16, 8)
    canvas = added(one(sprite, 20, 0), 1, 40)[0]
    torch.testing.assert_close(canvas[:, 16:24], sprite.double())
    assert canvas[:, :16].abs().max() < 1e-12
    assert canvas[:, 24:].abs().max() < 1e-12


@pytest.mark.parametrize("x", [-3.0, 0.5, 38.5])
def test_what_stands_over_the_edge_is_cut_there(x: float) -> None:
    sprite = torch.ones(16, 8)
    wide = added(one(sprite, x + 40, 0), 1, 120)[0]
    torch.testing.assert_close(added(one(sprite, x, 0), 1, 40)[0], wide[:, 40:80])


def test_scale_multiplies_the_ink_by_its_area() -> None:
    sprite = torch.zeros(16, 8)
    sprite[6:10, 2:6] = 1
    drawn = added(one(sprite, 20, 0, (0.4, 0.2)), 1, 40)
    exact = float(torch.tensor(0.6).exp()) * 16
    assert float(drawn.sum()) == pytest.approx(exact, rel=0.05)


def test_a_shift_of_whole_pixels_moves_and_changes_nothing_else() -> None:
    sprite = torch.rand(8, 8)
    still = added(one(sprite, 20, 0), 1, 40)[0]
    moved = added(one(sprite, 23, 2), 1, 40)[0]
    torch.testing.assert_close(moved[2:, 3:], still[:-2, :-3])


def test_union_never_exceeds_full_ink_and_equals_the_sum_of_what_lies_apart() -> None:
    sprite = torch.rand(16, 8) * 0.9
    apart = draw(
        sprite.expand(2, -1, -1), torch.tensor([[10.0, 0], [30.0, 0]]), torch.zeros(2, 2),
        torch.zeros(2, dtype=torch.long), height=16, reach=1.0,
    )  # fmt: skip
    torch.testing.assert_close(united(apart, 1, 40), added(apart, 1, 40), atol=1e-5, rtol=0)
    over = draw(
        sprite.expand(2, -1, -1), torch.tensor([[20.0, 0], [20.0, 0]]), torch.zeros(2, 2),
        torch.zeros(2, dtype=torch.long), height=16, reach=1.0,
    )  # fmt: skip
    expected = 1 - (1 - sprite) ** 2
    torch.testing.assert_close(united(over, 1, 40)[0, :, 16:24], expected, atol=1e-5, rtol=0)


def test_gradients_of_place_and_sprite_are_right() -> None:
    torch.manual_seed(0)
    sprites = torch.rand(2, 6, 4, dtype=torch.double, requires_grad=True)
    middle = torch.tensor([[5.3, 0.2], [9.1, -0.4]], dtype=torch.double, requires_grad=True)
    size = torch.tensor([[0.1, -0.1], [0.05, 0.2]], dtype=torch.double, requires_grad=True)
    line = torch.zeros(2, dtype=torch.long)

    def canvas(sprites, middle, size):
        return added(draw(sprites, middle, size, line, height=6, reach=1.5), 1, 14)

    assert torch.autograd.gradcheck(canvas, (sprites, middle, size), atol=1e-6)
