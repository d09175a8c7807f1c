from __future__ import annotations

import numpy as np
import pytest

from typika.mining.features import cell_weights, pool

RNG = np.random.default_rng(0)
GRID = RNG.normal(size=(5, 6, 8))


def test_whole_image_pools_to_the_mean() -> None:
    assert np.allclose(pool(GRID, (0.0, 0.0, 1.0, 1.0)), GRID.mean(axis=(1, 2)))


def test_box_on_cell_edges_pools_those_cells() -> None:
    found = pool(GRID, (2 / 8, 1 / 6, 5 / 8, 3 / 6))
    assert np.allclose(found, GRID[:, 1:3, 2:5].mean(axis=(1, 2)))


@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.1, 0.35), (0.42, 0.43), (0.96, 1.0)])
def test_cell_weights_sum_to_one(interval: tuple[float, float]) -> None:
    assert cell_weights(*interval, 8).sum() == pytest.approx(1.0)


def test_equally_typical_cells_pool_like_the_plain_mean() -> None:
    box = (0.13, 0.2, 0.77, 0.81)
    assert np.allclose(pool(GRID, box, np.full((6, 8), 0.3)), pool(GRID, box))


def test_cells_that_are_not_typical_do_not_count() -> None:
    typicality = np.full((6, 8), -1.0)
    typicality[2, 3], typicality[3, 4] = 3.0, 1.0
    found = pool(GRID, (0.0, 0.0, 1.0, 1.0), typicality)
    assert np.allclose(found, 0.75 * GRID[:, 2, 3] + 0.25 * GRID[:, 3, 4])


def test_box_without_a_typical_cell_pools_plainly() -> None:
    typicality = np.full((6, 8), -1.0)
    typicality[5, 7] = 1.0  # outside of the box
    box = (0.0, 0.0, 0.5, 0.5)
    assert np.allclose(pool(GRID, box, typicality), pool(GRID, box))
