"""Noise levels, and the fixed noise design under which a collection is scored. Pure functions.

`λ = log(α²/σ²)` is the log signal-to-noise ratio, with α² + σ² = 1; a noisy latent is
z_λ = α z + σ ε. With v-prediction the target is v = α ε − σ z. Every model says which
distribution of λ its typicality is the expectation over, as a function of a quantile u in [0, 1);
a design chooses quantiles, and so serves every model.
Legend: `n` draws, `m` units of a design, `c h w` latent channels and grid, `b` bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from typika.errors import ConfigError

Levels = Float[Tensor, " n"]
Kind = Literal["midpoints", "stratified", "importance", "independent"]

TIMESTEPS = 1000  # of Stable Diffusion's schedule
BITS = 30  # digits of a Sobol' point
FLOOR = 0.1  # share of uniform sampling in an importance density, so that no weight exceeds 10


def alpha_sigma(log_snr: Levels) -> tuple[Levels, Levels]:
    """α and σ of each level: α² = sigmoid(λ), σ² = sigmoid(−λ)."""
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def log_snr_of_betas(
    betas: Sequence[float] | np.ndarray, *, to_noise: bool = False
) -> Float[np.ndarray, " t"]:
    """λ of every timestep of a discrete schedule: log(ᾱ_t / (1 − ᾱ_t)), ᾱ_t = Π (1 − β).

    to_noise: √ᾱ shifted and scaled so that the last step is pure noise (Lin et al. 2024).
    """
    kept = np.cumprod(1 - np.asarray(betas, dtype=np.float64))
    if to_noise:
        root = np.sqrt(kept)
        kept = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    # A schedule that ends in pure noise has ᾱ = 0 there; the level stays finite.
    kept = np.clip(kept, 1e-8, 1 - 1e-8)
    levels: np.ndarray = np.log(kept) - np.log1p(-kept)
    return levels


def stable_diffusion_log_snr() -> Float[np.ndarray, " t"]:
    """λ of the 1,000 timesteps of Stable Diffusion 1, the schedule that timesteps refer to.

    β is the square of a line from √0.00085 to √0.012 (Rombach et al. 2022).
    """
    return log_snr_of_betas(np.linspace(0.00085**0.5, 0.012**0.5, TIMESTEPS) ** 2)


@dataclass(frozen=True)
class Density:
    """A piecewise constant density over [0, 1), from which quantiles are drawn.

    height: (b,) of each of b equal bins, mean one.
    """

    height: tuple[float, ...]

    @classmethod
    def following(cls, spread: Sequence[float]) -> Density:
        """Neyman's allocation: as high as the spread of each bin, above a floor of uniform."""
        values = np.asarray(spread, dtype=np.float64)
        shape = values / values.mean() if values.mean() > 0 else np.ones_like(values)
        return cls(tuple((FLOOR + (1 - FLOOR) * shape).tolist()))

    def quantile(self, uniform: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Inverse of the distribution function."""
        total = np.concatenate([[0.0], np.cumsum(self.height) / len(self.height)])
        edges = np.arange(len(self.height) + 1) / len(self.height)
        return np.minimum(np.interp(uniform, total / total[-1], edges), np.nextafter(1, 0))

    def at(self, quantile: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """The density at each quantile."""
        heights = np.asarray(self.height)
        return heights[(quantile * len(heights)).astype(int)]


@dataclass(frozen=True)
class NoiseDesign:
    """The (ε, u) draws under which every image of a collection is scored.

    Every image meets the same noise, so that common errors cancel in the ranking. A unit is one
    draw, or an antithetic pair: the same level with ε and with −ε. Any average over units is an
    unbiased estimate of the expectation over (ε, u), but for `midpoints`, which are no sample.

    quantile: (m,) u of each unit; weight: (m,) density of uniform over density drawn from;
    canvas: (m, c, H, W), from whose corner each image's noise is cut, so that images of different
    shape share it too; pairs: whether units are antithetic pairs.
    """

    quantile: Float[Tensor, " m"]
    weight: Float[Tensor, " m"]
    canvas: Float[Tensor, "m c H W"]
    pairs: bool

    @property
    def n_units(self) -> int:
        """Units, m."""
        return len(self.quantile)

    @property
    def per_unit(self) -> int:
        """Draws of a unit."""
        return 2 if self.pairs else 1

    @property
    def n_draws(self) -> int:
        """Draws in all: noisy latents of one image."""
        return self.n_units * self.per_unit

    def noise(self, height: int, width: int) -> Float[Tensor, "m c h w"]:
        """ε of every unit for a latent grid of this size.

        A grid larger than the canvas repeats it, mirrored in neither axis; cells of one image are
        then not independent, which the error bars do not know.
        """
        down = -(-height // self.canvas.shape[2])
        across = -(-width // self.canvas.shape[3])
        return self.canvas.repeat(1, 1, down, across)[:, :, :height, :width]

    def to(self, device: torch.device) -> NoiseDesign:
        """The same design on a device."""
        quantile, weight = self.quantile.to(device), self.weight.to(device)
        return NoiseDesign(quantile, weight, self.canvas.to(device), self.pairs)


def noise_design(
    kind: Kind,
    n_draws: int,
    channels: int,
    seed: int,
    *,
    density: Density | None = None,
    side: int = 64,
) -> NoiseDesign:
    """Make the design of a collection.

    midpoints: antithetic pairs at the midpoints of equal strata of u. stratified: pairs at the
    points of a scrambled Sobol' sequence (Owen 1997) in u and, of each latent cell, in the size of
    the noise in its channels; levels and noise are then spread together, and any 2^j first units
    are spread too. importance: the same with u through the inverse of `density`, weighted.
    independent: single draws with independent u and ε, as published.

    side: of the canvas, in latent cells.

    Raises:
        ConfigError: `n_draws` is under four, or odd where draws come in pairs; or an importance
            design without a density.
    """
    pairs = kind != "independent"
    if n_draws < 4 or (pairs and n_draws % 2):
        raise ConfigError(f"n_draws={n_draws}: need an even number, at least 4")
    if kind == "importance" and density is None:
        raise ConfigError("an importance design needs the density that a pilot found")
    n_units = n_draws // 2 if pairs else n_draws
    generator = torch.Generator().manual_seed(seed)
    weight = np.ones(n_units)
    if kind in ("stratified", "importance"):
        points = sobol(n_units, 1 + channels, seed)
        quantile = points[:, 0]
        canvas = spread_noise(points[:, 1:], side, generator)
        if kind == "importance" and density is not None:
            quantile = density.quantile(quantile)
            weight = 1 / density.at(quantile)
    else:
        even = (np.arange(n_units) + 0.5) / n_units
        own = np.random.default_rng([seed, 3]).random(n_units)
        quantile = even if kind == "midpoints" else own
        canvas = torch.randn(n_units, channels, side, side, generator=generator)
    return NoiseDesign(
        torch.from_numpy(quantile.astype(np.float32)),
        torch.from_numpy(weight.astype(np.float32)),
        canvas,
        pairs,
    )


def pilot_design(bins: int, channels: int, seed: int, side: int = 64) -> NoiseDesign:
    """Two antithetic pairs in each of `bins` equal bins of u, bin after bin."""
    rng = np.random.default_rng([seed, 9])
    quantile = (np.arange(2 * bins) // 2 + rng.random(2 * bins)) / bins
    generator = torch.Generator().manual_seed(seed + 1)
    canvas = torch.randn(2 * bins, channels, side, side, generator=generator)
    levels = torch.from_numpy(quantile.astype(np.float32))
    return NoiseDesign(levels, torch.ones_like(levels), canvas, pairs=True)


def sobol(count: int, dimensions: int, seed: int) -> Float[np.ndarray, "m d"]:
    """First points of a scrambled Sobol' sequence, each uniform on the unit cube.

    Of the first 2^j points one lies in each of 2^j equal strata of every dimension.
    """
    from scipy.stats.qmc import Sobol

    sequence = Sobol(dimensions, scramble=True, rng=np.random.default_rng([seed, 5]))
    points: np.ndarray = sequence.random_base2((count - 1).bit_length())
    return points[:count]


def spread_noise(
    points: Float[np.ndarray, "m c"], side: int, generator: torch.Generator
) -> Float[Tensor, "m c side side"]:
    """Normal noise whose size, in every cell and channel, is spread over units as the points are.

    Each cell shifts the points by digits of its own, and draws its signs: the noise of one unit
    is independent between cells and channels and normal in each.
    """
    count, channels = points.shape
    digits = torch.from_numpy((points * 2**BITS).astype(np.int64))[:, :, None, None]
    shift = torch.randint(2**BITS, (channels, side, side), generator=generator)
    size = ((digits ^ shift) + 0.5) / 2**BITS
    positive = torch.rand(count, channels, side, side, generator=generator) < 0.5
    noise = torch.special.ndtri((1 + size.double()) / 2)  # of |ε|, whose quantile `size` is
    return torch.where(positive, noise, -noise).float()
