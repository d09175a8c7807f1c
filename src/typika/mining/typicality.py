"""Typicality maps: how much a label helps the model explain each part of an image.

T(x|c) = E_{ε,λ}[L_λ(x, ε, ∅) − L_λ(x, ε, c)]  (Siglidis et al. 2024, Sec. 3.2).

Legend: `n` noisy latents of one call, `b` images of one shape, `k` contexts, `c h w` latent
channels and grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from typika.diffusion.denoiser import NULL, Contexts, Denoiser, Draws
from typika.diffusion.schedule import Kind, NoiseDesign, alpha_sigma, pilot_design
from typika.errors import ConfigError, DataError

Grid = Float[ndarray, "h w"]
Gains = Float[Tensor, "k n h w"]

CONTEXTS_AT_ONCE = 10  # of one call where there may be hundreds: as many as scoring has


@dataclass(frozen=True, kw_only=True)
class TypicalityConfig:
    """How typicality is estimated."""

    n_draws: int = 8  # noisy latents per image and context
    # How (ε, λ) are drawn; see `diffusion.schedule.noise_design`. "independent" is as published.
    design: Kind = "midpoints"
    pilot: int = 64  # images from which an importance design learns which levels vary
    against: Literal["null", "others"] = "null"  # what ranks patches: the null, or other labels
    n_others: int = 8  # other labels compared with (0: none); a seeded sample where there are more
    # Of images whose patches are this many standard errors from being chosen or not, no more is
    # drawn (0: every image gets all draws). See `mining.racing`.
    racing: float = 0.0

    def __post_init__(self) -> None:
        pairs = self.design != "independent"
        if self.n_draws < 4 or (pairs and self.n_draws % 2):
            raise ConfigError(f"n_draws={self.n_draws}: need an even number, at least 4")
        if self.n_others < 0 or self.pilot < 1:
            raise ConfigError(
                f"n_others={self.n_others}, pilot={self.pilot}: need n_others >= 0 and pilot >= 1"
            )
        if self.against == "others" and not self.n_others:
            raise ConfigError("against=others needs other labels to compare with: n_others >= 1")
        if self.racing < 0:
            raise ConfigError(f"racing={self.racing}: need a number of standard errors, or 0")
        if self.racing and self.design == "midpoints":
            raise ConfigError(
                "racing needs a design whose first draws are a sample: stratified, importance or "
                "independent"
            )


@dataclass(frozen=True)
class TypicalityMap:
    """Typicality of each latent cell with its standard error, both (h, w) float32."""

    mean: Grid
    error: Grid


@dataclass(frozen=True)
class ImageTypicality:
    """The maps of one image for its own label.

    null:   T(x|c), against the null: the paper's definition.
    others: T(x|c) minus the mean of T(x|c') over other labels c'; None without any.
    image_means: (k,) mean over the image of T(x|c') for its own and then every other label: the
        highest is the answer of the diffusion classifier.
    """

    null: TypicalityMap
    others: TypicalityMap | None
    image_means: Float[ndarray, " k"]


@dataclass
class Tally:
    """Sums over the units of a design, from which the maps of `b` images are estimated.

    sums, squares: (maps, b, h, w) of each unit's value: against the null, and against the others
    where there are any; gains: (b, k) of the mean over the image; n_units: so far.
    """

    sums: Float[Tensor, "maps b h w"]
    squares: Float[Tensor, "maps b h w"]
    gains: Float[Tensor, "b k"]
    n_units: int = 0

    @classmethod
    def empty(cls, latents: Float[Tensor, "b c h w"], n_contexts: int) -> Tally:
        """No unit seen yet."""
        # Sums in double precision, where the device has it: T is a small difference.
        kind = torch.float32 if latents.device.type == "mps" else torch.float64
        shape = (1 if n_contexts == 1 else 2, len(latents), *latents.shape[2:])
        zeros = latents.new_zeros(shape, dtype=kind)
        return cls(zeros, zeros.clone(), latents.new_zeros(len(latents), n_contexts, dtype=kind))

    def add(self, image: int, gains: Gains) -> None:
        """Add units of one image: `gains` is T of each unit, the own label first."""
        values = gains.to(self.sums.dtype)
        self.gains[image] += values.mean(dim=(2, 3)).sum(dim=1)
        maps = [values[0]]
        if len(self.sums) == 2:
            maps.append(values[0] - values[1:].mean(dim=0))
        for number, value in enumerate(maps):
            self.sums[number, image] += value.sum(dim=0)
            self.squares[number, image] += value.square().sum(dim=0)

    def maps(self) -> list[ImageTypicality]:
        """The estimates, one per image."""
        count = self.n_units
        mean = self.sums / count
        variance = (self.squares - self.sums * mean).clamp_min(0) / (count - 1)
        error = (variance / count).sqrt()
        means, errors = (part.float().cpu().numpy() for part in (mean, error))
        gains = (self.gains / count).double().cpu().numpy()
        found = []
        for image in range(mean.shape[1]):
            one = [TypicalityMap(means[number, image], errors[number, image])
                   for number in range(len(means))]  # fmt: skip
            found.append(ImageTypicality(one[0], one[1] if len(one) == 2 else None, gains[image]))
        return found


def unit_gains(
    denoiser: Denoiser,
    latents: Draws,
    noise: Draws,
    quantile: Float[Tensor, " n"],
    contexts: Contexts,
    *,
    pairs: bool,
    contexts_at_once: int | None = None,
) -> Gains:
    """T of each unit under each of its contexts: L(x, ε, ∅) − L(x, ε, c), averaged over channels.

    latents, noise, quantile: of each unit; with `pairs` every unit is seen with ε and with −ε.
    All contexts meet the same (ε, λ), so that noise common to two of them cancels.
    contexts_at_once: most of one call, the null among them, which changes nothing but memory.
    """
    if pairs:
        latents, noise = torch.cat([latents, latents]), torch.cat([noise, -noise])
        quantile, contexts = quantile.repeat(2), contexts.repeat(2, 1)
    # Channels last, as latents are stored: no copy on the way into the network.
    noise = noise.contiguous(memory_format=torch.channels_last)
    log_snr = denoiser.log_snr(quantile)
    alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
    null = contexts.new_full((len(contexts), 1), NULL)
    contexts = torch.cat([null, contexts], dim=1)
    noisy, target = alpha * latents + sigma * noise, denoiser.target(latents, noise, log_snr)
    loss = torch.cat([
        (denoiser.predict(noisy, log_snr, part) - target).square_().mean(dim=2)
        for part in torch.split(contexts, contexts_at_once or contexts.shape[1], dim=1)
    ]) * denoiser.weight(log_snr)[:, None, None]  # fmt: skip
    gains = loss[0] - loss[1:]
    return (gains[:, : len(noise) // 2] + gains[:, len(noise) // 2 :]) / 2 if pairs else gains


@torch.inference_mode()
def tally(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c h w"],
    contexts: Int[Tensor, "b k"],
    design: NoiseDesign,
    *,
    at_once: int,
    units: range | None = None,
    onto: Tally | None = None,
) -> Tally:
    """Sum up the units of a design over images of one shape.

    contexts: of each image, its own label first; on the CPU. at_once: most noisy latents of one
    call, which may be of several images and changes nothing but speed. units: which units (all).
    onto: a tally to go on from.
    """
    units = range(design.n_units) if units is None else units
    total = onto or Tally.empty(latents, contexts.shape[1])
    for own, gains in _gains_of_images(denoiser, latents, contexts, design, units, at_once):
        total.add(own, gains)
    total.n_units += len(units)
    return total


def _gains_of_images(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c h w"],
    contexts: Int[Tensor, "b k"],
    design: NoiseDesign,
    units: range,
    at_once: int,
    contexts_at_once: int | None = None,
) -> Iterator[tuple[int, Gains]]:
    """Weighed units of one image after the other, in their order, a few at a time."""
    canvas = design.noise(latents.shape[2], latents.shape[3])
    work = [(image, unit) for image in range(len(latents)) for unit in units]
    step = max(1, at_once // design.per_unit)
    for start in range(0, len(work), step):
        part = work[start : start + step]
        image, unit = (torch.tensor(column) for column in zip(*part, strict=True))
        gains = unit_gains(
            denoiser, latents[image], canvas[unit], design.quantile[unit],
            contexts[image], pairs=design.pairs, contexts_at_once=contexts_at_once,
        )  # fmt: skip
        gains = gains * design.weight[unit][:, None, None]
        for own in sorted(set(image.tolist())):  # known on the host: nothing waits for the device
            places = torch.nonzero(image == own).ravel()
            yield own, gains[:, int(places[0]) : int(places[-1]) + 1]


@torch.inference_mode()
def context_gains(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c h w"],
    contexts: Int[Tensor, "b k"],
    design: NoiseDesign,
    at_once: int,
) -> list[Float[ndarray, "k n h w"]]:
    """T of every unit of a design under each context, one array per image, float32.

    k contexts cost k + 1 predictions for each noisy latent, and every contrast between two of
    them is the difference of two rows.
    """
    found: list[list[ndarray]] = [[] for _ in latents]
    parts = _gains_of_images(
        denoiser, latents, contexts, design, range(design.n_units), at_once, CONTEXTS_AT_ONCE
    )
    for own, gains in parts:
        found[own].append(gains.float().cpu().numpy())
    return [np.concatenate(one, axis=1) for one in found]


def typicality_maps(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c h w"],
    contexts: Sequence[Sequence[int]],
    design: NoiseDesign,
    at_once: int | None = None,
) -> list[ImageTypicality]:
    """The maps of images of one shape, from one pass over the design.

    contexts: of each image its own label, then the others that it is compared with. The error of
    a map is the spread of its units over √m; since levels are stratified, it counts the
    differences between levels too and so errs on the large side.

    Raises:
        DataError: images differ in how many labels they are compared with.
    """
    if len({len(own) for own in contexts}) != 1:
        raise DataError("images scored together must be compared with the same number of labels")
    index = torch.tensor([list(own) for own in contexts])
    return tally(denoiser, latents, index, design, at_once=at_once or design.n_draws).maps()


def level_spread(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c h w"],
    labels: Int[Tensor, " b"],
    seed: int,
    side: int,
    at_once: int,
    bins: int = 16,
) -> Float[ndarray, " bins"]:
    """Mean variance of a unit of T in each of `bins` equal bins of u, over cells and images.

    What varies within a bin is what stratified sampling leaves; its square root is Neyman's
    density. Costs four noisy latents per bin and image.
    """
    design = pilot_design(bins, denoiser.channels, seed, side).to(latents.device)
    found = []
    for number in range(bins):
        one = tally(
            denoiser, latents, labels[:, None], design, at_once=at_once,
            units=range(2 * number, 2 * number + 2),
        )  # fmt: skip
        found.append(np.mean([np.square(maps.null.error).mean() for maps in one.maps()]))
    return np.array(found) * 2


@torch.inference_mode()
def box_error_ratio(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c h w"],
    labels: Int[Tensor, " b"],
    design: NoiseDesign,
    cells: int,
    at_once: int,
) -> float:
    """Standard error of the mean over a box, as a share of the mean error of its cells.

    One where all cells of a box err together, 1 / `cells` where a box of `cells` x `cells` errs
    in each by itself. Measured over the units of a design on some images.
    """
    canvas = design.noise(latents.shape[2], latents.shape[3])
    cells = max(1, min(cells, *latents.shape[2:]))
    of_cells, of_boxes = 0.0, 0.0
    step = max(1, at_once // design.per_unit)
    for latent, label in zip(latents, labels, strict=True):
        units = [
            unit_gains(
                denoiser, latent.expand(len(part), -1, -1, -1), canvas[part],
                design.quantile[part], label.expand(len(part), 1), pairs=design.pairs,
            )[0] * design.weight[part][:, None, None]
            for part in torch.split(torch.arange(design.n_units), step)
        ]  # fmt: skip
        values = torch.cat(units)
        boxes = torch.nn.functional.avg_pool2d(values[:, None], cells, stride=1)[:, 0]
        of_cells += float(values.std(dim=0).mean())
        of_boxes += float(boxes.std(dim=0).mean())
    return of_boxes / of_cells if of_cells else 1.0


def other_labels(label: int, n_labels: int, n_others: int, seed: int) -> tuple[int, ...]:
    """The labels to compare `label` with: all others, or a sample fixed by the seed."""
    rest = np.delete(np.arange(n_labels), label)
    if len(rest) > n_others:
        rest = np.sort(np.random.default_rng([seed, label]).choice(rest, n_others, replace=False))
    return tuple(int(other) for other in rest)
