from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose
from scipy import stats

from typika.diffusion.schedule import (
    Density,
    alpha_sigma,
    noise_design,
    pilot_design,
    sobol,
    stable_diffusion_log_snr,
)
from typika.errors import ConfigError


def test_alpha_and_sigma_are_a_rotation() -> None:
    levels = torch.linspace(-9, 9, 19)
    alpha, sigma = alpha_sigma(levels)
    assert_allclose(alpha**2 + sigma**2, torch.ones(19), atol=1e-6)
    assert_allclose((alpha**2 / sigma**2).log(), levels, atol=1e-4)


def test_the_schedule_is_that_of_stable_diffusion() -> None:
    levels = stable_diffusion_log_snr()
    assert len(levels) == 1000
    assert (np.diff(levels) < 0).all()
    # The range of the paper, 0.1 to 0.7, and the last level of the released models.
    assert_allclose(levels[[100, 699]], [2.13, -2.40], atol=0.02)
    assert_allclose(1 / (1 + np.exp(-levels[999])), 0.00466, atol=1e-5)


@given(some.integers(0, 100), some.integers(1, 7))
def test_the_first_points_lie_in_all_strata(seed: int, power: int) -> None:
    points = sobol(2**7, 3, seed)
    first = np.sort((points[: 2**power] * 2**power).astype(int), axis=0)
    for dimension in range(3):
        assert first[:, dimension].tolist() == list(range(2**power))
    assert points.min() >= 0
    assert points.max() < 1


def test_noise_is_spread_in_every_cell_and_normal_in_each_unit() -> None:
    noise = noise_design("stratified", 32, 4, seed=3).canvas.double()
    # In each cell and channel one |ε| lies in each sixteenth of its distribution.
    size = torch.special.ndtr(noise.abs()) * 2 - 1
    places = (size * 16).long().clamp(0, 15).sort(dim=0).values
    assert (places == torch.arange(16)[:, None, None, None]).all()
    for unit in noise:
        assert stats.kstest(unit.ravel(), "norm").pvalue > 1e-3
        flat = unit.reshape(4, -1)
        assert np.abs(np.corrcoef(flat) - np.eye(4)).max() < 0.06
        assert abs(np.corrcoef(flat[0][:-1], flat[0][1:])[0, 1]) < 0.06
    # Units are no longer independent of one another, and pairs of cells are.
    assert abs(float(torch.corrcoef(noise[:, 0, :2, 0].T)[0, 1])) < 0.9


@given(some.lists(some.floats(0, 100), min_size=1, max_size=20))
def test_a_density_is_one_and_inverts_its_distribution(spread: list[float]) -> None:
    density = Density.following(spread)
    assert_allclose(np.mean(density.height), 1, rtol=1e-9)
    assert min(density.height) >= 0.1 - 1e-12
    places = density.quantile((np.arange(20000) + 0.5) / 20000)
    assert (np.diff(places) >= 0).all()
    counts = np.histogram(places, len(spread), (0, 1))[0] / 20000 * len(spread)
    assert_allclose(counts, density.height, atol=0.01)
    # Weights undo what the density prefers.
    assert_allclose((1 / density.at(places)).mean(), 1, rtol=0.01)


def test_an_image_meets_the_same_noise_whatever_its_shape() -> None:
    design = noise_design("stratified", 8, 3, seed=1)
    assert torch.equal(design.noise(4, 5), design.noise(9, 7)[:, :, :4, :5])
    assert design.noise(70, 3).shape == (4, 3, 70, 3)
    assert (design.n_units, design.per_unit, design.n_draws) == (4, 2, 8)


def test_independent_draws_do_not_come_in_pairs() -> None:
    design = noise_design("independent", 7, 3, seed=1)
    assert (design.n_units, design.per_unit) == (7, 1)


def test_the_pilot_visits_every_bin_twice() -> None:
    design = pilot_design(16, 3, seed=0)
    assert (design.quantile * 16).long().tolist() == [bin for bin in range(16) for _ in "ab"]


@pytest.mark.parametrize(("kind", "n_draws"), [("stratified", 7), ("independent", 3)])
def test_too_few_or_odd_draws_are_refused(kind: str, n_draws: int) -> None:
    with pytest.raises(ConfigError, match=f"n_draws={n_draws}"):
        noise_design(kind, n_draws, 3, seed=0)


def test_an_importance_design_needs_a_density() -> None:
    with pytest.raises(ConfigError, match="density"):
        noise_design("importance", 8, 3, seed=0)
