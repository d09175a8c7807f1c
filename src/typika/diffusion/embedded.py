"""Diffusion in an encoder's feature space: typicality with no download and no GPU.

A latent diffusion model whose latent is the feature map of a frozen image encoder. It has no
decoder and needs none, since mining only compares denoising errors. The denoiser is the same small
network in every cell: the encoder has seen the context already.

Legend: `m` cells, `b` images, `d` latent channels, `c` labels, `k` contexts, `n` noise draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from typika.diffusion.denoiser import NULL, Contexts, Draws, Features, Latent, Levels, Predictions
from typika.diffusion.encoders import DEFAULT, Encoder
from typika.diffusion.latents import Batch, check_cells
from typika.diffusion.schedule import alpha_sigma
from typika.diffusion.space import FeatureSpace
from typika.errors import ConfigError

Cells = Float[Tensor, "m d"]
TIME_FEATURES = 32
TIME_WIDTH = 64
KAPPA_BINS = 16
SHARPNESS_RATE = 10.0  # a single number moves too little in a few hundred steps of weights


@dataclass(frozen=True, kw_only=True)
class EmbeddedConfig:
    """The embedded model."""

    kind: Literal["embedded"] = "embedded"
    encoder: str = (
        DEFAULT  # the installed encoder, or a transformers vision model by folder or name
    )
    sides: tuple[int, ...] = (
        256,
        448,
    )  # pixels a side at which images are encoded, one scale each
    dimensions: int = 96  # latent channels
    width: int = 128  # hidden channels of the denoiser
    blocks: int = 2  # residual blocks of the denoiser
    log_snr_range: tuple[float, float] = (-5.0, 1.0)  # noise levels λ of training and scoring
    loss: Literal["hybrid", "faithful"] = "hybrid"  # with or without the classifier's share
    gamma: float = 0.1  # weight of the diffusion classifier's cross-entropy in the hybrid loss
    # Of the log-mean-exp over cells in the classifier, where training starts.
    sharpness: float = 0.1
    epochs: float = 8.0  # passes over the images ...
    least_steps: int = 450  # ... but not fewer steps than this, however few images there are ...
    most_steps: int = 2000  # ... and not more than this, however many
    batch: int = 16  # images per step
    # Fewest and most cells of an image that a step looks at, spread over it.
    cells: tuple[int, int] = (32, 256)
    held_out: float = 0.2  # share of the groups kept from training, on which clusters are tested
    contexts: int = 20  # most labels that one step compares

    def __post_init__(self) -> None:
        if not self.sides or not all(64 <= side <= 1024 for side in self.sides):
            raise ConfigError(f"sides={self.sides}: need one or more sizes of 64 to 1024 pixels")
        low, high = self.log_snr_range
        if not -15 <= low < high <= 15:
            raise ConfigError(f"log_snr_range={self.log_snr_range}: need -15 <= low < high <= 15")
        if min(self.dimensions, self.width, self.blocks, self.batch, self.least_steps) < 1:
            raise ConfigError("dimensions, width, blocks, batch and least_steps: need at least 1")
        check_cells(self.cells)
        if self.gamma < 0 or min(self.sharpness, self.epochs) <= 0 or self.contexts < 2:
            raise ConfigError("need gamma >= 0, sharpness and epochs > 0 and contexts >= 2")
        if self.most_steps < self.least_steps:
            raise ConfigError(f"most_steps={self.most_steps}: need {self.least_steps} or more")
        if not 0 <= self.held_out <= 0.5:
            raise ConfigError(f"held_out={self.held_out}: need a share in [0, 0.5]")

    @property
    def encoding(self) -> Mapping[str, Any]:
        """The settings that decide the latents."""
        return {"encoder": self.encoder, "sides": self.sides, "dimensions": self.dimensions}


class CellDenoiser(nn.Module):
    """v-prediction of one cell under the null and under any label.

    v(∅) = A h and v(c) = v(∅) + B_c h + f_c, where h is the hidden state of the noisy cell and its
    noise level. At the start every label corrects by nothing. Only the labels asked for are
    computed, so hundreds of them cost no more a cell than the few that a step compares.
    """

    def __init__(
        self,
        dimensions: int,
        n_labels: int,
        width: int = 128,
        blocks: int = 2,
        sharpness: float = 0.1,
    ) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, TIME_WIDTH), nn.SiLU())
        self.enter = nn.Linear(dimensions, width)
        self.enter_time = nn.Linear(TIME_WIDTH, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.leave = nn.LayerNorm(width)
        self.null = _silent(nn.Linear(width, dimensions))
        self.label = nn.Parameter(torch.zeros(n_labels, dimensions, width))
        self.label_bias = nn.Parameter(torch.zeros(n_labels, dimensions))
        self.kappa = nn.Parameter(torch.ones(KAPPA_BINS))
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(sharpness) / SHARPNESS_RATE))

    def hidden(
        self, noisy: Cells, log_snr: Levels, level: Int[Tensor, " m"]
    ) -> Float[Tensor, "m width"]:
        """Hidden state of each noisy cell, at the level `log_snr[level]`."""
        time = self.time(time_features(log_snr))
        hidden = self.enter(noisy) + self.enter_time(time).index_select(0, level)
        for block in self.blocks:
            hidden = block(hidden, time, level)
        return self.leave(hidden)

    def corrections(
        self, hidden: Float[Tensor, "m width"], labels: Int[Tensor, " k"]
    ) -> Float[Tensor, "k m d"]:
        """v(c) − v(∅) of each cell under each label."""
        weight = self.label[labels].transpose(1, 2)
        return hidden @ weight + self.label_bias[labels][:, None, :]

    def predictions(
        self, hidden: Float[Tensor, "m width"], contexts: Sequence[int]
    ) -> Float[Tensor, "m k d"]:
        """Predictions v of each cell under each context, NULL among them: one matrix for all."""
        weight, bias = [], []
        for context in contexts:
            null = context == NULL
            weight.append(self.null.weight + (0 if null else self.label[context]))
            bias.append(self.null.bias + (0 if null else self.label_bias[context]))
        v = functional.linear(hidden, torch.cat(weight), torch.cat(bias))
        return v.view(len(hidden), len(contexts), -1)

    def mixed(self, shares: Float[Tensor, "j k"]) -> CellDenoiser:
        """The same network under other labels: mixtures of its own, as `shares` say."""
        width, blocks = self.null.in_features, len(self.blocks)
        found = CellDenoiser(self.null.out_features, len(shares), width, blocks)
        state = self.state_dict()
        with torch.no_grad():
            for name in ("label", "label_bias"):
                state[name] = torch.einsum("jk,k...->j...", shares, state[name])
        found.load_state_dict(state)
        return found

    @property
    def sharpness(self) -> Tensor:
        """How sharply the classifier pools cells, a number learned with the weights."""
        return (SHARPNESS_RATE * self.log_sharpness).exp()


class _Block(nn.Module):
    """Residual block whose normalised input the noise level scales and shifts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = _silent(nn.Linear(TIME_WIDTH, 2 * width))
        self.first = nn.Linear(width, width)
        self.second = _silent(nn.Linear(width, width))

    def forward(self, hidden: Tensor, time: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.modulation(time).chunk(2, dim=-1)
        scale, shift = scale.index_select(0, level), shift.index_select(0, level)
        inner = self.first(torch.addcmul(shift, self.norm(hidden), 1 + scale))
        return hidden + self.second(functional.silu(inner))


def _silent(layer: nn.Linear) -> nn.Linear:
    """A layer that starts at zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def time_features(log_snr: Float[Tensor, " m"]) -> Float[Tensor, "m f"]:
    """Sines and cosines of λ, slow to fast."""
    frequency = torch.exp(torch.linspace(math.log(0.1), math.log(5.0), TIME_FEATURES // 2))
    angle = log_snr[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def training_loss(
    network: CellDenoiser,
    batch: Batch,
    label: Int[Tensor, " b"],
    contexts: Int[Tensor, " k"],
    config: EmbeddedConfig,
    generator: torch.Generator,
) -> Tensor:
    """½‖v − v(∅)‖² + ½‖v − v(∅) − δ_y‖² + γ CE, averaged over cells and channels.

    Both terms are there for every image, in place of dropping labels at random. CE is the
    cross-entropy of the diffusion classifier: its logits pool κ(λ) times the typicality of the
    cells under each of the `contexts`, which hold every label of the batch. How sharply it pools
    is learned (McFee et al. 2018): small elements want the best cells to speak, textures all.
    The faithful loss has γ = 0.
    """
    place = torch.searchsorted(contexts, label)

    def own(correction: Float[Tensor, "k m d"]) -> Cells:
        return correction[place[batch.image], torch.arange(correction.shape[1])]

    return _loss(network, batch, contexts, own, place, config, generator)


def conditioned_loss(
    network: CellDenoiser,
    batch: Batch,
    shares: Float[Tensor, "b k"],
    config: EmbeddedConfig,
    generator: torch.Generator,
) -> Tensor:
    """`training_loss` for images that are a little of several labels, here of anchors.

    δ_i = Σ_j φ_ij (B_j h + f_j), and the classifier is to answer φ_i: soft labels, so that near
    conditions are no rivals. shares: φ, rows sum to one. With rows of one 1 it is `training_loss`.
    """

    def own(correction: Float[Tensor, "k m d"]) -> Cells:
        return torch.einsum("kmd,mk->md", correction, shares[batch.image])

    contexts = torch.arange(shares.shape[1])
    return _loss(network, batch, contexts, own, shares, config, generator)


def _loss(
    network: CellDenoiser,
    batch: Batch,
    contexts: Int[Tensor, " k"],
    own: Callable[[Float[Tensor, "k m d"]], Cells],
    answer: Tensor,
    config: EmbeddedConfig,
    generator: torch.Generator,
) -> Tensor:
    """The loss, given which correction is an image's own, and what the classifier is to answer."""
    log_snr = stratified_levels(len(batch.counts), config.log_snr_range, generator)
    noise = torch.randn(batch.cells.shape, generator=generator)
    cell_level = log_snr[batch.image]
    alpha, sigma = (part[:, None] for part in alpha_sigma(cell_level))
    hidden = network.hidden(alpha * batch.cells + sigma * noise, log_snr, batch.image)
    residual = alpha * noise - sigma * batch.cells - network.null(hidden)
    correction = network.corrections(hidden, contexts)
    denoising = (residual.square().mean() + (residual - own(correction)).square().mean()) / 2
    if config.loss == "faithful":
        return denoising
    # ‖r‖² − ‖r − δ‖² = 2 r·δ − ‖δ‖². The classifier may move the labels' corrections but not the
    # null, which stays what it is: a model of all images.
    gain = (2 * residual.detach() - correction).mul(correction).sum(dim=2).T
    logits = pooled(gain * kappa(network, cell_level, config)[:, None], batch, network.sharpness)
    return denoising + config.gamma * functional.cross_entropy(logits, answer)


def stratified_levels(
    count: int, log_snr_range: tuple[float, float], generator: torch.Generator
) -> Levels:
    """One level λ per image: uniform over the range, one in each of `count` strata."""
    low, high = log_snr_range
    order = torch.randperm(count, generator=generator)
    return low + (high - low) * (order + torch.rand(count, generator=generator)) / count


def kappa(network: CellDenoiser, log_snr: Levels, config: EmbeddedConfig) -> Levels:
    """The learned factor from typicality to logits at each level."""
    low, high = config.log_snr_range
    bins = ((log_snr - low) / (high - low) * KAPPA_BINS).long().clamp(0, KAPPA_BINS - 1)
    return network.kappa.clamp_min(0)[bins]


def pooled(
    values: Float[Tensor, "m k"], batch: Batch, sharpness: float | Tensor
) -> Float[Tensor, "b k"]:
    """One value per image: the mean over cells, or the log-mean-exp at a positive `sharpness`."""
    if sharpness == 0:
        return batch.image_mean(values)
    index = batch.image[:, None].expand_as(values)
    empty = values.new_full((len(batch.counts), values.shape[1]), -torch.inf)
    top = empty.scatter_reduce(0, index, values.detach(), "amax")
    spread = ((values - top[batch.image]) * sharpness).exp()
    return top + batch.image_mean(spread).log() / sharpness


class EmbeddedDenoiser:
    """One scale of the embedded model, as a `Denoiser`."""

    def __init__(
        self,
        encoder: Encoder,
        space: FeatureSpace,
        network: CellDenoiser,
        labels: tuple[str, ...],
        side: int,
        log_snr_range: tuple[float, float],
    ) -> None:
        self.encoder, self.space, self.network = encoder, space, network.eval()
        self.labels, self.side, self.log_snr_range = labels, side, log_snr_range
        self.channels, self.device = space.channels, torch.device("cpu")

    def encode(self, image: Image.Image) -> Latent:
        """Whitened features of the image at this scale."""
        return self.space.project(self.encoder.taps(image, self.side))

    def log_snr(self, quantile: Levels) -> Levels:
        """Uniform over the range of λ."""
        low, high = self.log_snr_range
        return low + (high - low) * quantile

    @torch.inference_mode()
    def predict(self, noisy: Draws, log_snr: Levels, contexts: Contexts) -> Predictions:
        """V under each context: one pass for all noisy latents that share their contexts."""
        sets, of_draw = torch.unique(contexts, dim=0, return_inverse=True)
        if len(sets) == 1:
            return self._predict(noisy, log_snr, sets[0].tolist())
        found = noisy.new_empty(contexts.shape[1], *noisy.shape)
        for number, own in enumerate(sets.tolist()):
            draws = torch.nonzero(of_draw == number).ravel()
            found[:, draws] = self._predict(noisy[draws], log_snr[draws], own)
        return found

    def _predict(self, noisy: Draws, log_snr: Levels, contexts: Sequence[int]) -> Predictions:
        n, _, height, width = noisy.shape
        cells = noisy.permute(0, 2, 3, 1).flatten(0, 2)
        draw = torch.arange(n).repeat_interleave(height * width)
        v = self.network.predictions(self.network.hidden(cells, log_snr, draw), contexts)
        return v.reshape(n, height, width, len(contexts), -1).permute(3, 0, 4, 1, 2)

    def target(self, latent: Draws, noise: Draws, log_snr: Levels) -> Draws:
        """V = α ε − σ z."""
        alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
        return alpha * noise - sigma * latent

    def weight(self, log_snr: Levels) -> Levels:
        """σ², which turns a squared error of v into one of the clean latent."""
        return torch.sigmoid(-log_snr)

    def features(self, latent: Latent, context: int) -> Features:  # noqa: ARG002
        """The encoder's standardised features, for comparing patches, whatever the label."""
        return self.space.unwhiten(latent)
