from __future__ import annotations

from pathlib import Path

import pytest
import torch

from typika.diffusion.latents import PART, LatentStore, n_parts, part_rows, write_part
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


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    n_images = PART + 3
    shapes = [(2 + row % 3, 4) for row in range(n_images)]
    latents = [torch.full((5, *shape), float(row)) for row, shape in enumerate(shapes)]
    for part in range(n_parts(n_images)):
        write_part(tmp_path, part, [latents[row] for row in part_rows(part, n_images)])
    store = LatentStore(tmp_path, n_images)
    assert len(store) == n_images
    for row in (0, 1, PART - 1, PART, n_images - 1):
        assert torch.equal(store.latent(row), latents[row])
    batch = store.batch([PART, 2], 10**6, torch.Generator())
    assert batch.counts.tolist() == [4 * shapes[PART][0], 4 * shapes[2][0]]
    assert torch.equal(batch.image_mean(batch.cells)[:, 0], torch.tensor([float(PART), 2.0]))
    few = store.batch([1, 2], 5, torch.Generator().manual_seed(0))
    assert few.counts.tolist() == [5, 5]
