from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from numpy.testing import assert_allclose
from PIL import Image
from torch import Tensor

from typika.diffusion.denoiser import NULL
from typika.diffusion.schedule import alpha_sigma, noise_design
from typika.errors import ConfigError, DataError
from typika.mining.typicality import (
    TypicalityConfig,
    image_typicality,
    losses,
    other_labels,
    typicality,
)


@dataclass(frozen=True)
class GaussianLabels:
    """The exact denoiser of labels that are Gaussians N(μ_c, 1); the null is N(0, 1 + spread²).

    With v-prediction E[v | z_λ, c] is linear in z_λ, so every loss has a closed form.
    """

    means: tuple[float, ...]
    null_variance: float
    channels: int = 3
    log_snr_range: tuple[float, float] = (-3.0, 1.0)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(map(str, self.means))

    def predict(self, noisy: Tensor, log_snr: Tensor, contexts: Sequence[int]) -> Tensor:
        alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
        found = []
        for context in contexts:
            mean = 0.0 if context == NULL else self.means[context]
            variance = self.null_variance if context == NULL else 1.0
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

    def features(self, latent: Tensor) -> Tensor:
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


def test_the_estimate_converges_to_the_closed_form() -> None:
    design = noise_design(400, MODEL.channels, MODEL.log_snr_range, seed=0)
    found = image_typicality(MODEL, latent(), 2, [0, 1], design)
    levels = design.log_snr
    expected = (MODEL.loss(2.0, NULL, levels) - MODEL.loss(2.0, 2, levels)).mean()
    assert_allclose(found.null.mean.mean(), float(expected), rtol=0.02)


def test_the_error_bar_holds_the_closed_form_as_often_as_it_says() -> None:
    hits = []
    for seed in range(12):
        design = noise_design(16, MODEL.channels, MODEL.log_snr_range, seed=seed)
        found = image_typicality(MODEL, latent(), 2, [0, 1], design).null
        levels = design.log_snr
        expected = float((MODEL.loss(2.0, NULL, levels) - MODEL.loss(2.0, 2, levels)).mean())
        hits.append(np.abs(found.mean - expected) <= 2 * found.error)
    assert np.mean(hits) >= 0.95


def test_a_label_against_itself_is_exactly_nothing() -> None:
    design = noise_design(8, MODEL.channels, MODEL.log_snr_range, seed=1)
    loss = losses(MODEL, latent(), design, [1, 1])
    found = typicality(loss[0], loss[1])
    assert not found.mean.any()
    assert not found.error.any()


def test_contrasts_add_up() -> None:
    design = noise_design(8, MODEL.channels, MODEL.log_snr_range, seed=1)
    null, first, second = losses(MODEL, latent(), design, [NULL, 0, 2])
    direct = typicality(first, second).mean
    assert_allclose(
        direct, typicality(null, second).mean - typicality(null, first).mean, atol=1e-6
    )
    assert_allclose(direct, -typicality(second, first).mean, atol=1e-7)


def test_the_own_label_is_typical_and_wins_the_classification() -> None:
    design = noise_design(8, MODEL.channels, MODEL.log_snr_range, seed=1)
    found = image_typicality(MODEL, latent(2.0), 2, [0, 1], design)
    assert found.others.mean.mean() > 0
    assert found.image_means.argmax() == 0
    wrong = image_typicality(MODEL, latent(2.0), 0, [1, 2], design)
    assert wrong.others.mean.mean() < 0


def test_an_image_meets_the_same_noise_whatever_its_shape() -> None:
    design = noise_design(8, MODEL.channels, MODEL.log_snr_range, seed=1)
    assert torch.equal(design.noise(4, 5), design.noise(9, 7)[:, :, :4, :5])
    assert torch.equal(design.noise(6, 6)[:4], -design.noise(6, 6)[4:])
    assert design.noise(70, 3).shape == (8, 3, 70, 3)


def test_antithetic_stratified_draws_vary_less_than_independent_ones() -> None:
    def spread(independent: bool) -> float:
        means = []
        for seed in range(40):
            generator = torch.Generator().manual_seed(seed)
            if independent:
                low, high = MODEL.log_snr_range
                levels = low + (high - low) * torch.rand(8, generator=generator)
                noise = torch.randn(8, 3, 2, 2, generator=generator)
            else:
                design = noise_design(8, 3, MODEL.log_snr_range, seed=seed)
                levels, noise = design.log_snr, design.noise(2, 2)
            alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(levels))
            z = latent(side=2)
            predicted = MODEL.predict(alpha * z + sigma * noise, levels, [NULL, 2])
            squared = (predicted - MODEL.target(z, noise, levels)).square().mean(dim=2)
            loss = squared * MODEL.weight(levels)[:, None, None]
            means.append(float((loss[0] - loss[1]).mean()))
        return float(np.std(means))

    assert spread(independent=False) < 0.7 * spread(independent=True)


def test_losses_that_do_not_match_are_refused() -> None:
    # Under the tests' shape checker the annotation speaks before the function does.
    with pytest.raises((DataError, TypeCheckError)):
        typicality(torch.zeros(4, 2, 2), torch.zeros(4, 2, 3))
    with pytest.raises(DataError, match="3 draws"):
        typicality(torch.zeros(3, 2, 2), torch.zeros(3, 2, 2))
    with pytest.raises(ConfigError, match="n_draws=7"):
        TypicalityConfig(n_draws=7)


def test_other_labels_are_all_or_a_fixed_sample() -> None:
    assert other_labels(1, 4, 20, seed=0) == (0, 2, 3)
    sample = other_labels(7, 300, 20, seed=0)
    assert sample == other_labels(7, 300, 20, seed=0)
    assert len(set(sample)) == 20
    assert 7 not in sample
