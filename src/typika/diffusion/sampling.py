"""Images out of a denoiser that predicts ε: DDIM with guidance.

Legend: `n` samples, `c h w` latent channels and grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from typika.diffusion.denoiser import NULL, Denoiser, Draws
from typika.diffusion.schedule import TIMESTEPS, alpha_sigma, stable_diffusion_log_snr


def sampling_levels(n_steps: int) -> Float[Tensor, " steps"]:
    """λ of DDIM's steps, rising: evenly spaced timesteps of Stable Diffusion's schedule."""
    steps = np.arange(n_steps) * TIMESTEPS // n_steps + 1
    return torch.from_numpy(stable_diffusion_log_snr()[steps[::-1]].astype(np.float32))


@torch.inference_mode()
def sample(
    denoiser: Denoiser,
    contexts: Sequence[int],
    noise: Draws,
    *,
    guidance: float = 7.5,
    n_steps: int = 50,
) -> Draws:
    """One latent per context by DDIM (Song et al. 2021, η = 0) from given noise.

    ε = ε(∅) + g (ε(c) − ε(∅)) with guidance g (Ho and Salimans 2021).
    """
    both = torch.tensor([[NULL, context] for context in contexts])
    levels = sampling_levels(n_steps).to(noise.device)
    latent = noise
    for step, level in enumerate(torch.split(levels, 1)):
        log_snr = level.expand(len(latent))
        null, own = denoiser.predict(latent, log_snr, both)
        predicted = null + guidance * (own - null)
        alpha, sigma = alpha_sigma(level)
        clean = (latent - sigma * predicted) / alpha
        if step + 1 == n_steps:
            return clean
        alpha, sigma = alpha_sigma(levels[step + 1 : step + 2])
        latent = alpha * clean + sigma * predicted
    raise ValueError(f"n_steps={n_steps}: need at least 1")
