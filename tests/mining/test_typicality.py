from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from torch import Tensor

from typika.diffusion.denoiser import NULL
from typika.diffusion.schedule import Density, NoiseDesign, alpha_sigma, noise_design
from typika.errors import ConfigError, DataError
from typika.mining.typicality import (
    ImageTypicality,
    TypicalityConfig,
    box_error_ratio,
    level_spread,
    other_labels,
    tally,
    typicality_maps,
    unit_gains,
)

CPU = torch.device("cpu")


@dataclass(frozen=True)
class GaussianLabels:
    """The exact denoiser of labels that are Gaussians N(μ_c, 1); the null is N(0, 1 + spread²).

    With v-prediction E[v | z_λ, c] is linear in z_λ, so every loss has a closed form.
    """

    means: tuple[float, ...]
    null_variance: float
    channels: int = 3
    log_snr_range: tuple[float, float] = (-3.0, 1.0)
    device: torch.device = CPU

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(map(str, self.means))

    def log_snr(self, quantile: Tensor) -> Tensor:
        low, high = self.log_snr_range
        return low + (high - low) * quantile

    def predict(self, noisy: Tensor, log_snr: Tensor, contexts: Tensor) -> Tensor:
        alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
        means = torch.tensor([*self.means, 0.0])  # the null, -1, is the last
        variances = torch.tensor([*(1.0 for _ in self.means), self.null_variance])
        found = []
        for context in contexts.T:
            mean = means[context][:, None, None, None]
            variance = variances[context][:, None, None, None]
            total = alpha**2 * variance + sigma**2
            clean = mean + alpha * variance / total * (noisy - alpha * mean)
            noise = (noisy - alpha * clean) / sigma
            found.append(alpha * noise - sigma * clean)
        return torch.stack(found)

    def target(self, latent: Tensor, noise: Tensor, log_snr: Tensor) -> Tensor:
        alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
        return alpha * noise - sigma * latent

    def weight(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr)

    def encode(self, image: Image.Image) -> Tensor:
        raise NotImplementedError("these latents come from no image")

    def features(self, latent: Tensor, context: int) -> Tensor:  # noqa: ARG002
        return latent

    def loss(self, clean: float, context: int, log_snr: Tensor) -> Tensor:
        """Expected loss of one channel of value `clean` at each level, over the noise."""
        alpha, sigma = alpha_sigma(log_snr)
        mean = 0.0 if context == NULL else self.means[context]
        variance = self.null_variance if context == NULL else 1.0
        gain = alpha * variance / (alpha**2 * variance + sigma**2)
        # clean − E[clean | z] = (1 − gain α)(clean − mean) − gain σ ε; weight and v give σ² / σ².
        return (1 - gain * alpha) ** 2 * (clean - mean) ** 2 + (gain * sigma) ** 2


MODEL = GaussianLabels(means=(-1.0, 0.5, 2.0), null_variance=2.5)


def latent(value: float = 2.0, side: int = 6) -> Tensor:
    return torch.full((MODEL.channels, side, side), value)


def one(design: NoiseDesign, value: float, contexts: tuple[int, ...]) -> ImageTypicality:
    return typicality_maps(MODEL, latent(value)[None], [contexts], design)[0]


def expected(design: NoiseDesign, value: float, label: int) -> float:
    """T over noise, at the levels of a design."""
    levels = MODEL.log_snr(design.quantile)
    gain = MODEL.loss(value, NULL, levels) - MODEL.loss(value, label, levels)
    return float((gain * design.weight).mean())


def exact(value: float, label: int) -> float:
    """T over noise and levels, by quadrature."""
    return expected(noise_design("midpoints", 4000, 1, 0, side=1), value, label)


@pytest.mark.parametrize(
    ("kind", "within"), [("midpoints", 0.03), ("stratified", 0.03), ("independent", 0.1)]
)
def test_the_estimate_converges_to_the_closed_form(kind: str, within: float) -> None:
    found = one(noise_design(kind, 400, MODEL.channels, seed=0), 2.0, (2, 0, 1))
    assert_allclose(found.null.mean.mean(), exact(2.0, 2), rtol=within)


def test_an_importance_design_estimates_the_same() -> None:
    density = Density.following([0.2, 1.0, 3.0, 0.5])
    design = noise_design("importance", 400, MODEL.channels, seed=0, density=density)
    assert_allclose(one(design, 2.0, (2,)).null.mean.mean(), exact(2.0, 2), rtol=0.03)


@pytest.mark.parametrize("kind", ["stratified", "importance", "independent"])
def test_designs_are_unbiased(kind: str) -> None:
    density = Density.following([0.1, 2.0, 0.7])
    means = []
    for seed in range(400):
        design = noise_design(kind, 4, 1, seed, density=density, side=1)
        means.append(expected(design, 0.7, 1))
    spread = np.std(means) / len(means) ** 0.5
    assert abs(np.mean(means) - exact(0.7, 1)) < 4 * spread + 1e-6


def test_the_error_bar_holds_the_closed_form_as_often_as_it_says() -> None:
    hits = []
    for seed in range(12):
        design = noise_design("midpoints", 16, MODEL.channels, seed)
        found = one(design, 2.0, (2, 0, 1)).null
        hits.append(np.abs(found.mean - expected(design, 2.0, 2)) <= 2 * found.error)
    assert np.mean(hits) >= 0.95


def test_a_label_against_itself_is_exactly_nothing() -> None:
    found = one(noise_design("midpoints", 8, MODEL.channels, seed=1), 2.0, (1, 1))
    assert found.others is not None
    assert not found.others.mean.any()
    assert not found.others.error.any()


def test_contrasts_add_up() -> None:
    design = noise_design("stratified", 8, MODEL.channels, seed=1)
    first, second = one(design, 2.0, (0, 2)), one(design, 2.0, (2, 0))
    assert first.others is not None
    assert second.others is not None
    assert_allclose(first.others.mean, -second.others.mean, atol=1e-7)
    assert_allclose(first.others.mean, first.null.mean - second.null.mean, atol=1e-6)


def test_the_own_label_is_typical_and_wins_the_classification() -> None:
    design = noise_design("midpoints", 8, MODEL.channels, seed=1)
    found = one(design, 2.0, (2, 0, 1))
    assert found.others is not None
    assert found.others.mean.mean() > 0
    assert found.image_means.argmax() == 0
    wrong = one(design, 2.0, (0, 1, 2))
    assert wrong.others is not None
    assert wrong.others.mean.mean() < 0


def test_without_other_labels_there_is_one_map() -> None:
    design = noise_design("midpoints", 8, MODEL.channels, seed=1)
    found = one(design, 2.0, (2,))
    assert found.others is None
    assert_allclose(found.null.mean, one(design, 2.0, (2, 0, 1)).null.mean, atol=1e-7)


@pytest.mark.parametrize("at_once", [1, 2, 5, 8, 100])
@pytest.mark.parametrize("kind", ["stratified", "independent"])
def test_how_many_at_once_changes_nothing(kind: str, at_once: int) -> None:
    design = noise_design(kind, 8, MODEL.channels, seed=1)
    latents = torch.stack([latent(value) for value in (2.0, 0.1, -1.0)])
    contexts = [(2, 0), (1, 2), (0, 1)]
    together = typicality_maps(MODEL, latents, contexts, design, at_once)
    for number, found in enumerate(together):
        alone = typicality_maps(MODEL, latents[number][None], [contexts[number]], design)[0]
        assert_allclose(found.null.mean, alone.null.mean, atol=1e-6)
        assert_allclose(found.null.error, alone.null.error, atol=1e-6)
        assert_allclose(found.image_means, alone.image_means, atol=1e-6)


def test_units_may_be_added_in_rounds() -> None:
    design = noise_design("stratified", 8, MODEL.channels, seed=1)
    latents, contexts = latent()[None], torch.tensor([[2, 0]])
    whole = tally(MODEL, latents, contexts, design, at_once=8)
    first = tally(MODEL, latents, contexts, design, at_once=8, units=range(2))
    both = tally(MODEL, latents, contexts, design, at_once=8, units=range(2, 4), onto=first)
    assert_allclose(whole.maps()[0].null.mean, both.maps()[0].null.mean, atol=1e-7)
    assert_allclose(whole.maps()[0].null.error, both.maps()[0].null.error, atol=1e-7)


def test_pairs_are_the_mean_of_both_signs() -> None:
    noise = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    given = latent()[None], torch.tensor([0.3]), torch.tensor([[2]])
    plus = unit_gains(MODEL, given[0], noise, given[1], given[2], pairs=False)
    minus = unit_gains(MODEL, given[0], -noise, given[1], given[2], pairs=False)
    both = unit_gains(MODEL, given[0], noise, given[1], given[2], pairs=True)
    assert_allclose(both, (plus + minus) / 2, atol=1e-6)


def test_the_pilot_measures_the_variance_of_a_unit_in_each_bin() -> None:
    labels, given = torch.tensor([1]), latent(0.9)[None]
    found = np.mean([level_spread(MODEL, given, labels, seed, 8, at_once=64, bins=4)
                     for seed in range(40)], axis=0)  # fmt: skip
    for number in range(4):
        levels = (number + (torch.arange(400) + 0.5) / 400) / 4
        canvas = torch.randn(400, 3, 6, 6, generator=torch.Generator().manual_seed(5))
        design = NoiseDesign(levels, torch.ones(400), canvas, pairs=True)
        maps = typicality_maps(MODEL, given, [(1,)], design)[0]
        assert_allclose(found[number], np.mean(maps.null.error**2) * 400, rtol=0.2)


def test_boxes_err_less_than_cells_by_what_is_independent() -> None:
    # Of this model cells are independent given the level, so a box of 2 x 2 errs about half.
    design = noise_design("independent", 200, MODEL.channels, seed=3, side=8)
    fixed = NoiseDesign(torch.full((200,), 0.4), design.weight, design.canvas, pairs=False)
    given = latent(0.9)[None], torch.tensor([2])
    assert_allclose(box_error_ratio(MODEL, *given, fixed, 2, 50), 0.5, rtol=0.1)
    assert box_error_ratio(MODEL, *given, fixed, 1, 7) == pytest.approx(1.0)
    # Levels move all cells at once.
    assert box_error_ratio(MODEL, *given, design, 2, 50) > 0.5


def variance(kind: str, density: Density | None = None) -> float:
    """Of the estimate of one cell over seeds, at eight draws."""
    means = []
    for seed in range(300):
        design = noise_design(kind, 8, MODEL.channels, seed, density=density, side=2)
        found = typicality_maps(MODEL, latent(0.9, side=2)[None], [(2,)], design)[0]
        means.append(found.null.mean)
    return float(np.var(means, axis=0).mean())


def test_paired_stratified_weighted_draws_vary_less_than_independent_ones() -> None:
    spread = level_spread(MODEL, latent(0.9)[None], torch.tensor([2]), 0, 8, at_once=64)
    density = Density.following(np.sqrt(spread).tolist())
    independent, stratified = variance("independent"), variance("stratified")
    assert stratified < 0.5 * independent
    assert variance("importance", density) < stratified


def test_what_does_not_match_is_refused() -> None:
    design = noise_design("midpoints", 8, MODEL.channels, seed=1)
    latents = torch.stack([latent(), latent()])
    with pytest.raises(DataError, match="the same number of labels"):
        typicality_maps(MODEL, latents, [(0, 1), (0,)], design)
    with pytest.raises(ConfigError, match="n_draws=7"):
        TypicalityConfig(n_draws=7)
    assert TypicalityConfig(n_draws=7, design="independent").n_draws == 7
    with pytest.raises(ConfigError, match="against=others"):
        TypicalityConfig(against="others", n_others=0)


def test_other_labels_are_all_or_a_fixed_sample() -> None:
    assert other_labels(1, 4, 20, seed=0) == (0, 2, 3)
    sample = other_labels(7, 300, 20, seed=0)
    assert sample == other_labels(7, 300, 20, seed=0)
    assert len(set(sample)) == 20
    assert 7 not in sample
