"""The noise schedule and the fixed noise design. Pure functions.

`λ = log(α²/σ²)` is the log signal-to-noise ratio, with α² + σ² = 1; a noisy latent is
z_λ = α z + σ ε. With v-prediction the target is v = α ε − σ z.
Legend: `n` draws, `c h w` latent channels and grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from typika.errors import ConfigError

Levels = Float[Tensor, " n"]


def alpha_sigma(log_snr: Levels) -> tuple[Levels, Levels]:
    """α and σ of each level: α² = sigmoid(λ), σ² = sigmoid(−λ)."""
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


@dataclass(frozen=True)
class NoiseDesign:
    """The (ε, λ) pairs under which every image of a collection is scored.

    Every image meets the same noise, so that common errors cancel in the ranking. Levels are
    stratified in λ; each level is used twice, with ε and with −ε (antithetic), which is unbiased
    and cheaper than independent draws.

    log_snr: (n,); canvas: (n/2, c, H, W), from whose corner each image's noise is cut, so that
    images of different shape share it too.
    """

    log_snr: Levels
    canvas: Float[Tensor, "m c H W"]

    def noise(self, height: int, width: int) -> Float[Tensor, "n c h w"]:
        """ε of every draw for a latent grid of this size: draw i and draw i + n/2 are opposite.

        A grid larger than the canvas repeats it, mirrored in neither axis; cells of one image are
        then not independent, which the error bars do not know.
        """
        down = -(-height // self.canvas.shape[2])
        across = -(-width // self.canvas.shape[3])
        cut = self.canvas.repeat(1, 1, down, across)[:, :, :height, :width]
        # Channels last, as latents are stored: the denoiser then reads cells without a copy.
        return torch.cat([cut, -cut]).contiguous(memory_format=torch.channels_last)


def noise_design(
    n_draws: int, channels: int, log_snr_range: tuple[float, float], seed: int, side: int = 64
) -> NoiseDesign:
    """Make the design: `n_draws`/2 stratum midpoints of λ, each with an antithetic pair.

    Raises:
        ConfigError: `n_draws` is odd or under four (two pairs are the least that give an error).
    """
    if n_draws < 4 or n_draws % 2:
        raise ConfigError(f"n_draws={n_draws}: need an even number, at least 4")
    low, high = log_snr_range
    n_levels = n_draws // 2
    midpoints = low + (high - low) * (torch.arange(n_levels) + 0.5) / n_levels
    generator = torch.Generator().manual_seed(seed)
    canvas = torch.randn(n_levels, channels, side, side, generator=generator)
    return NoiseDesign(midpoints.repeat(2), canvas)
