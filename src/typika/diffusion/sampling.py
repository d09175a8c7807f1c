"""Images out of a denoiser that predicts ε, and back: DDIM with guidance, and its inversion.

Legend: `n` samples, `c h w` latent channels and grid, `s` steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from typika.diffusion.denoiser import NULL, Denoiser, Draws
from typika.diffusion.schedule import TIMESTEPS, alpha_sigma, stable_diffusion_log_snr
from typika.errors import ConfigError
from typika.files import text_digest

Level = Float[Tensor, " 1"]

BLOCK = 8  # images that are always drawn together, so that what a killed run lacks is the same


@dataclass(frozen=True, kw_only=True)
class DrawConfig:
    """What is drawn of each label."""

    images: int = 100  # of each label at each guidance
    # Each image starts from the same noise at every guidance; the first is reported on foremost.
    guidance: tuple[float, ...] = (7.5, 3.0, 1.0)
    steps: int = 50

    def __post_init__(self) -> None:
        sampling_timesteps(self.steps)
        if self.images < 1:
            raise ConfigError(f"images={self.images}: need at least 1 of each label")
        if not self.guidance or min(self.guidance) < 0:
            raise ConfigError(f"guidance={self.guidance}: need one or more numbers from 0 up")
        if len({f"{one:g}" for one in self.guidance}) < len(self.guidance):
            raise ConfigError(f"guidance={self.guidance}: names one twice")


def sampling_timesteps(n_steps: int) -> Int[np.ndarray, " s"]:
    """DDIM's timesteps of Stable Diffusion's schedule, falling, evenly spaced.

    Raises:
        ConfigError: `n_steps` is not from 1 to 999, the steps that start at the second.
    """
    if not 1 <= n_steps < TIMESTEPS:
        raise ConfigError(f"{n_steps} steps: need 1 to {TIMESTEPS - 1}")
    steps: np.ndarray = np.arange(n_steps) * TIMESTEPS // n_steps + 1
    return steps[::-1]


def sampling_levels(n_steps: int) -> Float[Tensor, " s"]:
    """λ of DDIM's steps, rising."""
    return _levels(sampling_timesteps(n_steps))


def _levels(timesteps: Int[np.ndarray, " s"]) -> Float[Tensor, " s"]:
    return torch.from_numpy(stable_diffusion_log_snr()[timesteps].astype(np.float32))


def ddim_step(latent: Draws, predicted: Draws, level: Level | None, to: Level | None) -> Draws:
    """From one level to another along a prediction of ε (Song et al. 2021, η = 0).

    z' = α' (z − σ ε) / α + σ' ε. `None` is the level without noise: α = 1, σ = 0.
    """
    clean = latent
    if level is not None:
        alpha, sigma = alpha_sigma(level)
        clean = (latent - sigma * predicted) / alpha
    if to is None:
        return clean
    alpha, sigma = alpha_sigma(to)
    return alpha * clean + sigma * predicted


def following(levels: Float[Tensor, " s"], step: int) -> Level | None:
    """The level that a step of sampling ends at; None after the last."""
    return levels[step + 1 : step + 2] if step + 1 < len(levels) else None


def guided(
    denoiser: Denoiser, latent: Draws, level: Level, both: Tensor, guidance: float
) -> Draws:
    """ε = ε(∅) + g (ε(c) − ε(∅)) with guidance g (Ho and Salimans 2021).

    both: (n, 2) the null and the own context of each latent.
    """
    null, own = denoiser.predict(latent, level.expand(len(latent)), both)
    return null + guidance * (own - null)


@torch.inference_mode()
def sample(
    denoiser: Denoiser,
    contexts: Sequence[int],
    noise: Draws,
    *,
    guidance: float = 7.5,
    n_steps: int = 50,
) -> Draws:
    """One latent per context by DDIM with guidance, from given noise."""
    both = torch.tensor([[NULL, context] for context in contexts])
    levels = sampling_levels(n_steps).to(noise.device)
    latent = noise
    for step, level in enumerate(torch.split(levels, 1)):
        predicted = guided(denoiser, latent, level, both, guidance)
        latent = ddim_step(latent, predicted, level, following(levels, step))
    return latent


def start_noise(seed: int, label: str, number: int, shape: tuple[int, ...]) -> Tensor:
    """The noise that an image is drawn from: its own, whatever is drawn beside it."""
    digest = text_digest(f"{seed}\0draw\0{label}\0{number}")
    generator = torch.Generator().manual_seed(int(digest[:15], 16))
    return torch.randn(shape, generator=generator)


@torch.inference_mode()
def invert(
    denoiser: Denoiser,
    latent: Draws,
    contexts: Sequence[int],
    *,
    n_steps: int = 50,
    n_inversion_steps: int = 50,
) -> Float[Tensor, "s n c h w"]:
    """DDIM run backwards, without guidance: the noisy latents that sampling would pass through.

    A step up to a level takes ε as predicted there of the latent below, so it is undone exactly
    where the two predictions agree; more steps come closer.

    contexts: of each latent. n_steps: of the sampling whose levels are returned, in its order,
    from the noisiest down. n_inversion_steps: of the inversion, which stops at the noisiest of
    those levels.

    Raises:
        ConfigError: the inversion does not pass through all levels of the sampling.
    """
    wanted = sampling_timesteps(n_steps)
    require_passing(n_steps, n_inversion_steps)
    timesteps = sampling_timesteps(n_inversion_steps)
    timesteps = timesteps[timesteps <= wanted[0]][::-1]
    own = torch.tensor([[context] for context in contexts])
    levels = _levels(timesteps).to(latent.device)
    before: Level | None = None
    found: dict[int, Tensor] = {}
    for timestep, level in zip(timesteps.tolist(), torch.split(levels, 1), strict=True):
        (predicted,) = denoiser.predict(latent, level.expand(len(latent)), own)
        latent = ddim_step(latent, predicted, before, level)
        before = level
        found[timestep] = latent
    return torch.stack([found[timestep] for timestep in wanted.tolist()])


def require_passing(n_steps: int, n_inversion_steps: int) -> None:
    """Raise ConfigError unless an inversion passes through all timesteps of a sampling."""
    if not np.isin(sampling_timesteps(n_steps), sampling_timesteps(n_inversion_steps)).all():
        raise ConfigError(
            f"inversion_steps={n_inversion_steps}: an inversion must pass through the {n_steps} "
            f"timesteps of the sampling; choose {n_steps}, a multiple of it or {TIMESTEPS - 1}"
        )
