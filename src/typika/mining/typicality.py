"""Typicality maps: how much a label helps the model explain each part of an image.

T(x|c) = E_{ε,λ}[L_λ(x, ε, ∅) − L_λ(x, ε, c)]  (Siglidis et al. 2024, Sec. 3.2).

Legend: `n` noise draws, `k` contexts, `c h w` latent channels and grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from typika.diffusion.denoiser import NULL, Denoiser, Latent
from typika.diffusion.schedule import NoiseDesign, alpha_sigma
from typika.errors import ConfigError, DataError

Losses = Float[Tensor, "n h w"]
Grid = Float[ndarray, "h w"]


@dataclass(frozen=True, kw_only=True)
class TypicalityConfig:
    """How typicality is estimated."""

    n_draws: int = 8  # (ε, λ) pairs per image: antithetic pairs at stratified levels
    against: Literal["null", "others"] = "null"  # what ranks patches: the null, or other labels
    n_others: int = 8  # other labels compared with; a seeded sample where there are more

    def __post_init__(self) -> None:
        if self.n_draws < 4 or self.n_draws % 2:
            raise ConfigError(f"n_draws={self.n_draws}: need an even number, at least 4")
        if self.n_others < 1:
            raise ConfigError(f"n_others={self.n_others}: need at least 1")


@dataclass(frozen=True)
class TypicalityMap:
    """Typicality of each latent cell with its standard error, both (h, w) float32."""

    mean: Grid
    error: Grid


@dataclass(frozen=True)
class ImageTypicality:
    """The maps of one image for its own label.

    null:   T(x|c), against the null: the paper's definition.
    others: T(x|c) minus the mean of T(x|c') over other labels c'.
    image_means: (k,) mean over the image of T(x|c') for its own and then every other label: the
        highest is the answer of the diffusion classifier.
    """

    null: TypicalityMap
    others: TypicalityMap
    image_means: Float[ndarray, " k"]


def typicality(loss_null: Losses, loss_label: Losses) -> TypicalityMap:
    """T(x|c) = E_{ε,λ}[L(x,ε,∅) − L(x,ε,c)] and its standard error.

    Both losses: (n, h, w) from the same draws, draw i and i + n/2 antithetic; positive where the
    label helps. The error is the spread of the n/2 pair means over sqrt(n/2); since levels are
    stratified, it counts the differences between levels too and so errs on the large side.

    Raises:
        DataError: the shapes differ, or n is odd or under four.
    """
    if loss_null.shape != loss_label.shape:
        raise DataError(f"losses of {tuple(loss_null.shape)} and {tuple(loss_label.shape)}")
    n_draws = len(loss_null)
    if n_draws < 4 or n_draws % 2:
        raise DataError(f"{n_draws} draws: need an even number, at least 4")
    difference = (loss_null - loss_label).double()
    pairs = (difference[: n_draws // 2] + difference[n_draws // 2 :]) / 2
    error = pairs.std(dim=0, correction=1) / len(pairs) ** 0.5
    return TypicalityMap(pairs.mean(dim=0).float().numpy(), error.float().numpy())


def losses(
    denoiser: Denoiser, latent: Latent, design: NoiseDesign, contexts: Sequence[int]
) -> Float[Tensor, "k n h w"]:
    """Squared error of the prediction under each context, averaged over latent channels.

    Every context meets the same (ε, λ), so that noise common to two of them cancels.
    """
    noise = design.noise(latent.shape[1], latent.shape[2])
    alpha, sigma = alpha_sigma(design.log_snr)
    noisy = alpha[:, None, None, None] * latent + sigma[:, None, None, None] * noise
    prediction = denoiser.predict(noisy, design.log_snr, contexts)
    target = denoiser.target(latent, noise, design.log_snr)
    squared = (prediction - target).square_().mean(dim=2)
    return squared * denoiser.weight(design.log_snr)[:, None, None]


@torch.inference_mode()
def image_typicality(
    denoiser: Denoiser, latent: Latent, label: int, others: Sequence[int], design: NoiseDesign
) -> ImageTypicality:
    """Both maps of an image under its own label, from one pass over the design."""
    loss = losses(denoiser, latent, design, [NULL, label, *others])
    return ImageTypicality(
        null=typicality(loss[0], loss[1]),
        others=typicality(loss[2:].mean(dim=0), loss[1]),
        image_means=(loss[0] - loss[1:]).double().mean(dim=(1, 2, 3)).numpy(),
    )


def other_labels(label: int, n_labels: int, n_others: int, seed: int) -> tuple[int, ...]:
    """The labels to compare `label` with: all others, or a sample fixed by the seed."""
    rest = np.delete(np.arange(n_labels), label)
    if len(rest) > n_others:
        rest = np.sort(np.random.default_rng([seed, label]).choice(rest, n_others, replace=False))
    return tuple(int(other) for other in rest)
