from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from typika.diffusion.latents import (
    PART,
    LatentStore,
    check_cells,
    draw_cells,
    n_parts,
    part_rows,
    write_part,
)
from typika.errors import ConfigError


def draws(cells: tuple[int, int], count: int = 2000) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return np.array([draw_cells(cells, generator) for _ in range(count)])


def test_cells_of_a_step_are_log_uniform_between_the_bounds() -> None:
    found = draws((32, 256))
    assert found.min() == 32
    assert found.max() == 256
    for low, high in [(32, 64), (64, 128), (128, 256)]:  # three octaves, a third each
        assert np.mean((found >= low) & (found < high)) == pytest.approx(1 / 3, abs=0.04)


def test_equal_bounds_leave_no_choice() -> None:
    assert set(draws((50, 50), 20)) == {50}


@pytest.mark.parametrize("cells", [(0, 5), (9, 3)])
def test_impossible_range_is_named(cells: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="1 <= fewest <= most"):
        check_cells(cells)


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
    batch = store.batch([PART, 2], (10**6, 10**6), torch.Generator())
    assert batch.counts.tolist() == [4 * shapes[PART][0], 4 * shapes[2][0]]
    assert torch.equal(batch.image_mean(batch.cells)[:, 0], torch.tensor([float(PART), 2.0]))
    few = store.batch([1, 2], (5, 5), torch.Generator().manual_seed(0))
    assert few.counts.tolist() == [5, 5]


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    shapes = [(4, 6), (2, 3), (5, 5)]
    latents = [
        torch.arange(height * width, dtype=torch.float32).reshape(1, height, width)
        for height, width in shapes
    ]
    write_part(tmp_path, 0, latents)
    return LatentStore(tmp_path, len(shapes))


def test_latents_come_back_in_their_shape(store: LatentStore) -> None:
    assert store.latent(1).tolist() == [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]]


def test_small_images_give_all_their_cells_and_large_ones_a_spread(store: LatentStore) -> None:
    batch = store.batch([0, 1], (8, 8), torch.Generator().manual_seed(0))
    assert batch.counts.tolist() == [8, 6]
    first, second = batch.cells[:8, 0], batch.cells[8:, 0]
    assert (first // 3).tolist() == list(range(8))  # one of each eighth of 24 cells
    assert second.tolist() == list(range(6))
