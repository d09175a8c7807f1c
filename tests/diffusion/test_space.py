from __future__ import annotations

import pytest
import torch

from typika.diffusion.space import fit_space, stack
from typika.errors import DataError


def taps(seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(6, 4, 5, generator=generator) * torch.arange(1, 7)[:, None, None]
    fine = torch.randn(3, 8, 10, generator=generator) + 7
    return coarse, fine


def test_latents_of_the_pilot_are_white() -> None:
    space = fit_space((taps(seed) for seed in range(60)), dimensions=9)
    cells = torch.cat([space.project(taps(seed)).flatten(1) for seed in range(60)], dim=1)
    covariance = torch.cov(cells)
    assert torch.allclose(covariance, torch.eye(9), atol=0.03)


def test_distances_survive_unwhitening_when_nothing_is_dropped() -> None:
    space = fit_space((taps(seed) for seed in range(60)), dimensions=9)
    raw = stack(taps(1)).flatten(1).T
    weight = 1 / torch.cat([stack(taps(s)).flatten(1) for s in range(60)], dim=1).std(dim=1)
    weight = weight / torch.tensor([6.0] * 6 + [3.0] * 3).sqrt()
    features = space.unwhiten(space.project(taps(1))).flatten(1).T
    assert torch.allclose(torch.cdist(raw * weight, raw * weight), torch.cdist(features, features),
                          rtol=0.01, atol=0.01)  # fmt: skip


def test_fewer_directions_than_asked_for_is_no_error() -> None:
    space = fit_space([taps(0), taps(1)], dimensions=500)
    assert space.channels <= 9


def test_blank_images_are_refused() -> None:
    with pytest.raises(DataError, match="all blank"):
        fit_space([(torch.zeros(4, 3, 3),)], dimensions=2)
    with pytest.raises(DataError, match="no image"):
        fit_space([], dimensions=2)
