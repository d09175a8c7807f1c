"""The estimator on a mixture whose denoiser is known exactly: rate, bias, variance at equal cost.

Six Gaussians in 16 dimensions stand for six labels; the null is their mixture. Every image has
cells drawn from one of them, noised at Stable Diffusion's levels 100..699 and predicted as ε.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.record import Figure, Result, at_most
from typika.diffusion.denoiser import NULL
from typika.diffusion.schedule import (
    Density,
    Kind,
    NoiseDesign,
    alpha_sigma,
    noise_design,
    stable_diffusion_log_snr,
)
from typika.mining.typicality import level_spread, typicality_maps
from typika.parallel import one_thread

CHANNELS, CLASSES, IMAGES, SIDE = 16, 6, 18, 4
LOW, HIGH = 100, 700  # timesteps
TILES = 8  # of every image along either side, in the long run that the estimates are held against
SEEDS, RATE_SEEDS = 300, 40
COUNTS = (8, 16, 32, 64, 128, 256, 512)
CPU = torch.device("cpu")
LEVELS = torch.from_numpy(stable_diffusion_log_snr().astype(np.float32))


@dataclass(frozen=True)
class Mixture:
    """The exact denoiser of a mixture of Gaussians N(μ_c, s²) of equal shares.

    means: (C, c); spread: s. The posterior mean under a label is linear; under the null it is the
    mean of those of all labels, weighed by how likely each made the noisy latent.
    """

    means: Tensor
    spread: float
    channels: int = CHANNELS
    device: torch.device = CPU

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(map(str, range(len(self.means))))

    def log_snr(self, quantile: Tensor) -> Tensor:
        return LEVELS[(LOW + quantile * (HIGH - LOW)).long().clamp(LOW, HIGH - 1)]

    def predict(self, noisy: Tensor, log_snr: Tensor, contexts: Tensor) -> Tensor:
        alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
        variance = alpha**2 * self.spread**2 + sigma**2
        # E[ε | z, c] = σ (z − α μ_c) / (α² s² + σ²)
        found = []
        for context in contexts.T:
            own = self.means[context.clamp_min(0)][:, :, None, None]
            if (context == NULL).all():
                scaled = torch.einsum("nchw,kc->nkhw", noisy, self.means)
                squares = self.means.square().sum(1)[None, :, None, None]
                # log N(z; α μ_k, variance), up to what all labels share
                logits = (alpha * scaled - alpha**2 * squares / 2) / variance
                own = torch.einsum("nkhw,kc->nchw", logits.softmax(1), self.means)
            found.append(sigma * (noisy - alpha * own) / variance)
        return torch.stack(found)

    def target(self, latent: Tensor, noise: Tensor, log_snr: Tensor) -> Tensor:  # noqa: ARG002
        return noise

    def weight(self, log_snr: Tensor) -> Tensor:
        return torch.ones_like(log_snr)

    def encode(self, image: Image.Image) -> Tensor:
        raise NotImplementedError("these latents come from no image")

    def features(self, latent: Tensor, context: int) -> Tensor:  # noqa: ARG002
        return latent


@dataclass(frozen=True)
class Toy:
    """A mixture, images of it, and what their typicality is."""

    model: Mixture
    latents: Tensor  # (b, c, h, w)
    label: Tensor  # (b,)
    density: Density
    truth: np.ndarray  # (b, h, w)
    truth_error: np.ndarray

    def maps(self, kind: Kind, n_draws: int, seed: int) -> np.ndarray:
        """The estimates of all images, (b, h, w)."""
        design = noise_design(kind, n_draws, CHANNELS, seed, density=self.density, side=SIDE)
        return estimate(self.model, self.latents, self.label, design)


def estimate(model: Mixture, latents: Tensor, label: Tensor, design: NoiseDesign) -> np.ndarray:
    contexts = [(int(own),) for own in label]
    maps = typicality_maps(model, latents, contexts, design, at_once=512)
    return np.stack([one.null.mean for one in maps]).astype(np.float64)


def pilot(model: Mixture, latents: Tensor, label: Tensor, runs: int, *, own: bool) -> Density:
    """The density that a pilot on all images finds, as `mining.scoring` does: of their mean.

    own: each image with noise of its own, as in a run, or all with the same.
    """
    spread = [
        level_spread(model, one[None], context[None], 1000 * run + number * own, SIDE, at_once=512)
        for run in range(runs)
        for number, (one, context) in enumerate(zip(latents, label, strict=True))
    ]
    return Density.following(np.sqrt(np.mean(spread, axis=0)).tolist())


def toy(within: float, tiles: int) -> Toy:
    """Images of a mixture of unit variance, of which `within` lies within the classes."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(CLASSES, CHANNELS, generator=generator) * (1 - within) ** 0.5
    model = Mixture(means, within**0.5)
    label = torch.arange(IMAGES) % CLASSES
    noise = torch.randn(IMAGES, CHANNELS, SIDE, SIDE, generator=generator)
    latents = means[label][:, :, None, None] + within**0.5 * noise
    density = pilot(model, latents, label, 1, own=True)
    truth, error = long_run(model, latents, label, tiles)
    return Toy(model, latents, label, density, truth, error)


def long_run(
    model: Mixture, latents: Tensor, label: Tensor, tiles: int
) -> tuple[np.ndarray, np.ndarray]:
    """T at every timestep of the range, with many antithetic pairs at each; and its error."""
    if not tiles:
        return np.zeros(0), np.zeros(0)
    design = noise_design("midpoints", 2 * (HIGH - LOW), CHANNELS, 12345, side=SIDE * tiles)
    found = []
    for image in range(len(latents)):
        tiled = latents[image : image + 1].repeat(1, 1, tiles, tiles)
        (one,) = estimate(model, tiled, label[image : image + 1], design)
        found.append(one.reshape(tiles, SIDE, tiles, SIDE).transpose(0, 2, 1, 3)
                     .reshape(-1, SIDE, SIDE))  # fmt: skip
    values = np.stack(found)  # (b, tiles², h, w)
    return values.mean(axis=1), values.std(axis=1, ddof=1) / tiles


def slope(kind: Kind, given: Toy) -> tuple[float, list[float]]:
    """Of log mean squared error against log N."""
    errors = []
    for count in COUNTS:
        squares = [np.square(given.maps(kind, count, 1000 + seed) - given.truth).mean()
                   for seed in range(RATE_SEEDS)]  # fmt: skip
        # The long run's own error is no part of the estimate's.
        errors.append(float(np.mean(squares) - np.square(given.truth_error).mean()))
    return float(np.polyfit(np.log(COUNTS), np.log(errors), 1)[0]), errors


def variances(given: Toy, n_draws: int, seeds: int) -> Iterator[tuple[Kind, np.ndarray]]:
    """Of each design the estimates over seeds, (seeds, b, h, w)."""
    kinds: tuple[Kind, ...] = ("independent", "stratified", "importance")
    for kind in kinds:
        yield kind, np.stack([given.maps(kind, n_draws, seed) for seed in range(seeds)])


def standard_errors(values: np.ndarray, given: Toy) -> tuple[float, float]:
    """How far the mean over seeds is from the truth: of all cells, and of the worst image."""

    def distance(axis: tuple[int, ...]) -> np.ndarray:
        means = values.mean(axis=tuple(place + 1 for place in axis))
        cells = np.prod([given.truth.shape[place] for place in axis])
        own = np.square(given.truth_error).sum(axis=axis) / cells**2
        error = np.sqrt(means.var(axis=0, ddof=1) / len(means) + own)
        return np.abs(means.mean(axis=0) - given.truth.mean(axis=axis)) / error

    return float(distance((0, 1, 2))), float(distance((1, 2)).max())


def run() -> Result:
    with one_thread():
        return measured()


def measured() -> Result:
    given = toy(within=0.5, tiles=TILES)
    figures: list[Figure] = []
    rates = []
    for kind in ("independent", "importance"):
        rate, errors = slope(kind, given)
        name = f"slope-{'default-design' if kind == 'importance' else kind}"
        figures.append(Figure(name=name, value=rate, unit="of log error² against log N",
                              target="-1 +- 0.1", met=abs(rate + 1) <= 0.1))  # fmt: skip
        rates.append(f"| {kind} | " + " | ".join(f"{error:.2e}" for error in errors) + " |")
    table = ["| draws | design | variance | of independent | distance | worst of 18 images |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    ratios = {}
    for n_draws in (8, 32, 100):
        base = 0.0
        for kind, values in variances(given, n_draws, SEEDS):
            variance = float(values.var(axis=0, ddof=1).mean())
            base = base or variance
            whole, worst = standard_errors(values, given)
            table.append(f"| {n_draws} | {kind} | {variance:.3e} | {variance / base:.3f} | "
                         f"{whole:.2f} | {worst:.2f} |")  # fmt: skip
            if n_draws == 32:
                figures.append(at_most(f"bias-{kind}", whole, 3, "standard errors"))
                ratios[kind] = variance / base
    others = ["| within the classes | stratified | importance |", "|---|---|---|"]
    for within in (0.2, 0.5, 0.8):
        other = toy(within, tiles=0)
        found = {kind: float(values.var(axis=0, ddof=1).mean())
                 for kind, values in variances(other, 32, 100)}  # fmt: skip
        others.append(f"| {within:.0%} | {found['stratified'] / found['independent']:.3f} | "
                      f"{found['importance'] / found['independent']:.3f} |")  # fmt: skip
    pilots = ["| pilot | importance |", "|---|---|"]
    ways = (
        ("as in a run: noise of its own for each image", 1, True),
        ("the same, 40 times over", 40, True),
        ("all images with the same noise", 1, False),
    )
    for name, runs, own in ways:
        density = pilot(given.model, given.latents, given.label, runs, own=own)
        other = replace(given, density=density)
        found = {kind: float(values.var(axis=0, ddof=1).mean())
                 for kind, values in variances(other, 32, SEEDS)}  # fmt: skip
        pilots.append(f"| {name} | {found['importance'] / found['independent']:.3f} |")
    figures += [
        at_most("stratified", ratios["stratified"], 0.6, "of independent's variance"),
        at_most("importance", ratios["importance"], 0.6, "of independent's variance"),
    ]
    return Result(figures=figures, notes=[*notes(given, rates, table, others), *reasons(pilots)])


def notes(given: Toy, rates: list[str], table: list[str], others: list[str]) -> list[str]:
    head = "| error² at N | " + " | ".join(map(str, COUNTS)) + " |\n" + "|---" * 8 + "|"
    shares = " ".join(f"{height:.2f}" for height in given.density.height)
    return [
        f"{IMAGES} images of {SIDE} x {SIDE} cells of a mixture of {CLASSES} Gaussians in "
        f"{CHANNELS} dimensions, half of its variance within the classes; an analytic stand-in, "
        "so the gains on Stable Diffusion itself are not measured here. Truth: every timestep "
        f"100..699 with {2 * TILES**2} antithetic draws of noise, "
        f"T {given.truth.mean():.4f} +- {given.truth.std():.4f} over cells, standard error "
        f"{given.truth_error.mean():.1e}.",
        "\n".join([head, *rates]),
        f"Over {SEEDS} seeds; distance of the mean over seeds from the truth in standard errors, "
        "of the mean of all cells and of the worst image (of 18 fair ones the worst is mostly "
        "below 3). All designs but the independent one are antithetic; figures are at 32 draws.",
        "\n".join(table),
        "The same ratios at 32 draws for other mixtures of unit variance, over 100 seeds:",
        "\n".join(others),
        "The importance density is the pilot's on the same images, by level_spread: 64 noisy "
        "latents for each pilot image, not counted in the ratios; in a run it is paid for at "
        f"most 64 images, whatever the collection's size. Its heights: {shares}.",
    ]


def reasons(pilots: list[str]) -> list[str]:
    return [
        "What keeps the ratios up: the choice of levels can only remove the variance between "
        "levels and, by the density, balance that within; what noise contributes at a given level "
        "stays, but for its odd part, which antithetic pairs remove. How much is "
        "the pilot's own error:",
        "\n".join(pilots),
    ]
