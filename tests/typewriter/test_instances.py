"""An instance that was drawn from a known sprite comes back as that sprite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from typika.typewriter import drawing
from typika.typewriter.instances import cut_out, from_mean, nearness, owners
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.redraws import Characters

HEIGHT, WIDTH = 32, 24


def letter(seed: int = 0) -> torch.Tensor:
    """Smooth ink that leaves its frame's edge free."""
    noise = np.random.default_rng(seed).random((HEIGHT, WIDTH))
    smooth = ndimage.gaussian_filter(noise, 2)
    ink = (smooth - smooth.min()) / np.ptp(smooth)
    ink[:4], ink[-4:], ink[:, :4], ink[:, -4:] = 0, 0, 0, 0
    return torch.from_numpy(ink).float()


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(np.corrcoef(one.flatten(), other.flatten())[0, 1])


@pytest.mark.parametrize(
    ("middle", "log_scale"),
    [((40.0, 0.0), (0.0, 0.0)), ((41.3, 2.6), (0.15, -0.1)), ((70.7, -1.4), (-0.2, 0.12))],
)
def test_what_was_drawn_comes_back(
    middle: tuple[float, float], log_scale: tuple[float, float]
) -> None:
    sprite, place, size = letter(), torch.tensor([middle]), torch.tensor([log_scale])
    windows = drawing.draw(sprite[None], place, size, torch.zeros(1, dtype=torch.long),
                           height=HEIGHT + 16, reach=1.3)  # fmt: skip
    line = drawing.added(windows, 1, 120)
    back = cut_out(line, place, size, (HEIGHT, WIDTH))[0, 0]
    assert correlation(back, sprite) > 0.95
    # ... and not from elsewhere.
    assert correlation(cut_out(line, place + 5, size, (HEIGHT, WIDTH))[0, 0], sprite) < 0.8


def test_a_whole_place_is_a_crop() -> None:
    line = torch.rand(3, 20, 60, generator=torch.Generator().manual_seed(1))
    back = cut_out(line, torch.tensor([[30.0, 0.0]]), torch.zeros(1, 2), (20, 10))
    torch.testing.assert_close(back[0], line[:, :, 25:35], atol=1e-5, rtol=0)


def test_outside_of_the_line_there_is_nothing() -> None:
    back = cut_out(torch.ones(1, 20, 60), torch.tensor([[0.0, 0.0]]), torch.zeros(1, 2), (20, 10))
    assert back[0, 0, :, :5].max() < 1e-5
    assert back[0, 0, :, 5:].min() > 0.99


def test_the_medoid_is_nearest_and_neighbours_do_not_count() -> None:
    sprite = letter().numpy()
    sprite[:, 18:] = 0
    rng = np.random.default_rng(2)
    strengths = (1.0, 0.9, 0.6, 1.3)  # their mean is 0.95
    instances = np.stack([sprite * strength for strength in strengths])
    distance = from_mean(instances, sprite)
    assert np.argsort(distance, kind="stable")[-2:].tolist() == [2, 3]
    beside = instances.copy()
    beside[0, :, 23:] = rng.random((HEIGHT, 1))  # ink of another letter, far from this one's
    np.testing.assert_allclose(from_mean(beside, sprite), distance, atol=1e-7)
    assert from_mean(np.zeros((0, HEIGHT, WIDTH)), sprite).shape == (0,)


def test_every_pixel_of_a_drawing_has_the_character_that_draws_it() -> None:
    model = Typewriter(ModelConfig(height=32, stride=8), 2, space=1,
                       generator=torch.Generator().manual_seed(0))  # fmt: skip
    with torch.no_grad():
        model.sprites.zero_()
        model.sprites[0, 0, 8:24, 8:16] = 1
    one = torch.ones(3)
    characters = Characters(
        line=torch.zeros(3, dtype=torch.long), cell=torch.tensor([1, 4, 7]),
        symbol=torch.tensor([0, 1, 0]), middle=torch.tensor([[12.0, 0], [36.0, 0], [60.0, 0]]),
        log_scale=torch.zeros(3, 2), strength=one, share=one[:, None],
    )  # fmt: skip
    owner = owners(model, characters, 80)
    assert owner.shape == (32, 80)
    assert (owner[8:24, 8:16] == 0).all()
    assert (owner[8:24, 56:64] == 2).all()
    assert (owner >= 0).sum() == 2 * 16 * 8  # a space draws nothing, and nobody draws paper


def test_a_line_without_characters_has_no_instance_and_no_owner() -> None:
    nothing = torch.zeros(0, 2)
    assert cut_out(torch.ones(3, 20, 60), nothing, nothing, (20, 10)).shape == (0, 3, 20, 10)
    assert nearness(torch.zeros(0, 20, 10)).shape == (0, 20, 10)
    model = Typewriter(ModelConfig(height=32, stride=8), 2, space=1,
                       generator=torch.Generator().manual_seed(0))  # fmt: skip
    none = torch.zeros(0, dtype=torch.long)
    empty = Characters(line=none, cell=none, symbol=none, middle=nothing, log_scale=nothing,
                       strength=torch.zeros(0), share=torch.zeros(0, 1))  # fmt: skip
    assert (owners(model, empty, 80) == -1).all()
