from __future__ import annotations

from typing import get_args

import pytest
import torch

from typika.errors import ConfigError
from typika.typewriter.generators import Generator, PixelSprites, sprite_bank


def n_weights(kind: Generator, size: int) -> int:
    bank = sprite_bank(kind, 5, (size, size))
    return sum(value.numel() for value in bank.parameters()) - bank.codes.numel()


@pytest.mark.parametrize("kind", get_args(Generator))
def test_sprites_are_opacities_and_the_blank_is_nothing(kind: Generator) -> None:
    bank = sprite_bank(kind, 5, (16, 24))
    sprites = bank.with_blank()
    assert sprites.shape == (6, 16, 24)
    assert sprites.min() == 0.0 == sprites[5].max()
    assert 0.0 < sprites[:5].max() <= 1.0
    sprites.square().sum().backward()
    assert bank.codes.grad is not None
    assert bank.codes.grad.abs().sum() > 0


def test_generators_are_as_large_as_published() -> None:
    assert n_weights("unet", 32) == 143_601
    assert n_weights("mlp", 32) == pytest.approx(3.15e6, rel=0.01)
    assert n_weights("mlp", 48) == pytest.approx(15.9e6, rel=0.01)
    assert n_weights("pixels", 32) == 0


def test_pixels_are_what_was_learned_brought_back_into_range() -> None:
    bank = PixelSprites(1, (1, 3))
    bank.codes.data = torch.tensor([[-0.5, 0.25, 1.5]])
    assert bank().tolist() == [[[0.0, 0.25, 1.0]]]
    bank.project()
    assert bank.codes.tolist() == [[0.0, 0.25, 1.0]]
    bank().sum().backward()
    assert bank.codes.grad is not None
    assert bank.codes.grad.tolist() == [[1.0, 1.0, 1.0]]  # at the border pixels still learn


@pytest.mark.parametrize(("kind", "size"), [("unet", (20, 16)), ("mlp", (3, 5))])
def test_sizes_that_a_generator_cannot_make_are_refused(
    kind: Generator, size: tuple[int, int]
) -> None:
    with pytest.raises(ConfigError, match=f"sprites of {size[0]} x {size[1]}"):
        sprite_bank(kind, 5, size)
