"""Stable Diffusion as a `Denoiser`: any checkpoint of the 1, 2 or XL family.

Whatever a checkpoint predicts (ε or v) is turned into ε, and its levels are met by their log SNR,
so that typicality is comparable across checkpoints.
Legend: `n` noisy latents, `k` contexts, `c h w` latent channels and grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from typika.devices import named_device
from typika.diffusion.checkpoints import CELL, Checkpoint, Conditioning
from typika.diffusion.denoiser import Contexts, Draws, Features, Latent, Levels, Predictions
from typika.diffusion.schedule import TIMESTEPS, alpha_sigma, stable_diffusion_log_snr
from typika.errors import ConfigError, ModelError

DEFAULT = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CANVAS = 128  # side of the noise canvas in latent cells: 1,024 pixels


@dataclass(frozen=True, kw_only=True)
class StableConfig:
    """A Stable Diffusion model, and how it is fitted to the collection."""

    kind: Literal["stable-diffusion"] = "stable-diffusion"
    checkpoint: str = DEFAULT  # folder in diffusers layout, or name on the Hugging Face hub
    text_encoder: str | None = None  # another CLIP text encoder, by folder or name
    resolution: int = 512  # pixels of the short side, to which every image is resized
    multiple: int = 8  # sides are rounded to this many pixels; 64 leaves few shapes
    # Noise of scoring, as a fraction of Stable Diffusion 1's schedule; others meet its log SNR.
    t_range: tuple[float, float] = (0.1, 0.7)
    posterior: Literal["mean", "sample"] = "mean"  # of the autoencoder, when scoring
    # "auto" on a GPU: float16 for scoring, as published, bfloat16 for finetuning; else float32.
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    compile: bool = False  # torch.compile on a GPU: pays where images have few shapes
    scored_at_once: int = 0  # noisy latents of one scoring call; 0: as many as fit

    feature_step: int = 161  # timestep of the features that compare patches (DIFT)
    feature_block: int = 1  # up block that they come from
    feature_draws: int = 8  # noises that they are averaged over

    finetune: Literal["full", "lora", "none"] = "full"
    lora_rank: int = 16
    epochs: float = 20.0  # passes over the images ...
    least_images: int = 20_000  # ... but at least this many images seen ...
    most_images: int = 1_000_000  # ... and at most this many
    batch: int = 64  # images per step, over all GPUs
    at_once: int = 0  # of them through the network at once, per GPU; 0: as many as fit
    null_share: float = 0.1  # of images shown without their label
    nested_share: float = 0.1  # of images shown with a prompt of `prompt.nested`, if there are any
    learning_rate: float = 1e-4
    warm_up: int = 0  # steps
    weight_decay: float = 0.01
    clip: float = 1.0  # greatest norm of a gradient
    ema: float = 0.999  # share of the moving average of weights that a step keeps; 0: none
    gradient_checkpointing: bool = False  # less memory for a third more time
    checkpoint_every: int = 50_000  # images seen
    checkpoints: int = 1  # kept while training lasts
    samples_every: int = 0  # images seen between sheets of samples; 0: none
    samples: int = 4  # images per label on a sheet
    trackers: tuple[str, ...] = ()  # of accelerate: "tensorboard", "wandb", ...
    held_out: float = 0.1  # share of the groups kept from finetuning, to measure what is learned

    def __post_init__(self) -> None:
        _check_sizes(self)
        _check_shares(self)
        low, high = self.t_range
        if not 0 <= low < high <= 1:
            raise ConfigError(f"t_range={self.t_range}: need 0 <= low < high <= 1")
        if self.precision == "float16" and self.finetune != "none":
            raise ConfigError(
                "precision=float16 loses small gradients; finetune with bfloat16, or leave auto"
            )

    @property
    def encoding(self) -> Mapping[str, Any]:
        """The settings that decide the latents."""
        return {name: getattr(self, name) for name in ("checkpoint", "resolution", "multiple")}


def _check_sizes(config: StableConfig) -> None:
    if config.multiple < CELL or config.multiple % CELL:
        raise ConfigError(f"multiple={config.multiple}: need 8, 16, 24 ... pixels")
    if not config.multiple <= config.resolution <= 2048:
        raise ConfigError(f"resolution={config.resolution}: need {config.multiple} to 2048 pixels")
    counted = ("lora_rank", "least_images", "batch", "feature_draws", "checkpoint_every",
               "checkpoints", "samples")  # fmt: skip
    for name in counted:
        if getattr(config, name) < 1:
            raise ConfigError(f"{name}={getattr(config, name)}: need at least 1")
    for name in ("scored_at_once", "at_once", "samples_every", "warm_up", "feature_block"):
        if getattr(config, name) < 0:
            raise ConfigError(f"{name}={getattr(config, name)}: need 0 or more")
    if config.most_images < config.least_images:
        raise ConfigError(f"most_images={config.most_images}: need {config.least_images} or more")
    if not 0 <= config.feature_step < TIMESTEPS:
        raise ConfigError(f"feature_step={config.feature_step}: need 0 to {TIMESTEPS - 1}")


def _check_shares(config: StableConfig) -> None:
    if min(config.null_share, config.nested_share) < 0 or (
        config.null_share + config.nested_share > 1
    ):
        raise ConfigError(
            f"null_share={config.null_share}, nested_share={config.nested_share}: "
            "need shares that sum to at most 1"
        )
    if not 0 <= config.held_out <= 0.5:
        raise ConfigError(f"held_out={config.held_out}: need a share in [0, 0.5]")
    if config.epochs <= 0 or config.learning_rate <= 0 or config.clip <= 0:
        raise ConfigError("epochs, learning_rate and clip: need more than 0")
    if not 0 <= config.ema < 1:
        raise ConfigError(f"ema={config.ema}: need a share in [0, 1)")


# --- where it runs ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placement:
    """Where the network runs, and in what precision it is scored and trained."""

    device: torch.device
    scoring: torch.dtype
    training: torch.dtype

    @classmethod
    def of(cls, device: str, precision: str) -> Placement:
        """device: "auto", "cpu", "cuda", "cuda:1", "mps".

        Raises:
            ConfigError: there is no such device here.
        """
        place = named_device(device)
        if precision != "auto":
            chosen: torch.dtype = getattr(torch, precision)
            return cls(place, chosen, chosen)
        if place.type == "cuda":
            training = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
            return cls(place, torch.float16, training)
        return cls(place, torch.float32, torch.float32)


# --- pixels and latents -------------------------------------------------------------------------


def fitted_size(width: int, height: int, resolution: int, multiple: int) -> tuple[int, int]:
    """Width and height with the short side at `resolution`, both multiples of `multiple`.

    Rounding moves the aspect ratio by less than multiple / resolution, and keeps latent cells and
    pixels in register where cutting the remainder off would shift them.
    """
    scale = resolution / min(width, height)
    sides = (max(1, round(side * scale / multiple)) * multiple for side in (width, height))
    across, down = sides
    return across, down


def pixels(image: Image.Image, resolution: int, multiple: int) -> Float[Tensor, "1 3 H W"]:
    """An upright RGB image as the autoencoder takes it: -1 to 1, at its fitted size."""
    size = fitted_size(*image.size, resolution, multiple)
    fitted = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    values = torch.from_numpy(np.asarray(fitted, dtype=np.float32) / 127.5 - 1)
    return values.permute(2, 0, 1)[None].contiguous()


class Autoencoder:
    """Stable Diffusion's autoencoder, one image at a time, so that batches change nothing."""

    def __init__(self, checkpoint: Checkpoint, config: StableConfig, device: torch.device) -> None:
        self.network, self.device = checkpoint.vae().to(device), device
        self.resolution, self.multiple = config.resolution, config.multiple
        self.scale = float(self.network.config.scaling_factor)

    @torch.inference_mode()
    def encode(self, image: Image.Image) -> Float[Tensor, "c h w"]:
        """Mean and spread of the scaled posterior, one after the other, on the CPU."""
        values = pixels(image, self.resolution, self.multiple)
        return self.encode_pixels(values)

    @torch.inference_mode()
    def encode_pixels(self, values: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "c h w"]:
        """The same of prepared pixels."""
        if self.device.type == "cuda":
            values = values.pin_memory()
        values = values.to(self.device, non_blocking=True)
        posterior = self.network.encode(values).latent_dist
        both = torch.cat([posterior.mean, posterior.std], dim=1)[0] * self.scale
        return both.float().cpu()

    @torch.inference_mode()
    def decode(self, latent: Latent) -> Image.Image:
        """The image of a latent."""
        values = self.network.decode((latent / self.scale)[None].to(self.device)).sample[0]
        levels = ((values.float().clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
        return Image.fromarray(levels.permute(1, 2, 0).numpy())


# --- the denoiser -------------------------------------------------------------------------------


class _Reached(Exception):
    """The block that features come from has been computed; the rest of the network is not."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


class StableDenoiser:
    """Stable Diffusion's network under the prompts of a collection, as a `Denoiser`.

    The network is used as it is, on its device and in its precision; see `placed`. Latents are
    the autoencoder's scaled means. The null's text is the last of `texts`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        unet: nn.Module,
        texts: Conditioning,
        labels: tuple[str, ...],
        config: StableConfig,
        device: torch.device,
    ) -> None:
        self.checkpoint, self.labels, self.config = checkpoint, labels, config
        self.unet, self.device = unet, device
        self.dtype = next(unet.parameters()).dtype
        self.channels = int(checkpoint.channels)
        self.texts = texts.to(self.device, self.dtype)
        self.prediction = checkpoint.prediction
        self._falling = -torch.from_numpy(checkpoint.levels.astype(np.float32)).to(self.device)
        reference = torch.from_numpy(stable_diffusion_log_snr().astype(np.float32))
        self._reference = reference.to(self.device)

    def encode(self, image: Image.Image) -> Latent:
        """The mean of the autoencoder's posterior."""
        return self.autoencoder.encode(image)[: self.channels].to(self.device)

    @cached_property
    def _feature_noise(self) -> Draws:
        generator = torch.Generator().manual_seed(self.config.feature_step)
        shape = (self.config.feature_draws, self.channels, CANVAS, CANVAS)
        return torch.randn(shape, generator=generator)

    @cached_property
    def autoencoder(self) -> Autoencoder:
        """Loaded when an image is encoded or decoded."""
        return Autoencoder(self.checkpoint, self.config, self.device)

    def log_snr(self, quantile: Levels) -> Levels:
        """λ of the timesteps that `t_range` takes of Stable Diffusion 1's, all alike likely."""
        low, high = (int(fraction * TIMESTEPS) for fraction in self.config.t_range)
        step = (low + quantile * (high - low)).long().clamp(low, high - 1)
        return self._reference[step]

    def timestep(self, log_snr: Levels) -> Levels:
        """The step of the checkpoint's own schedule with this λ, between steps where need be."""
        table = self._falling
        above = torch.searchsorted(table, -log_snr).clamp(1, len(table) - 1)
        before, after = table[above - 1], table[above]
        part = ((-log_snr - before) / (after - before)).clamp(0, 1)
        return (above - 1) + part

    @torch.inference_mode()
    def predict(self, noisy: Draws, log_snr: Levels, contexts: Contexts) -> Predictions:
        """ε under each context, all contexts in one call; a context given twice is run once."""
        columns: list[Tensor] = []
        place = []
        for column in contexts.T:
            known = [number for number, one in enumerate(columns) if torch.equal(one, column)]
            place.append(known[0] if known else len(columns))
            if not known:
                columns.append(column)
        count = len(columns)
        index = torch.cat(columns) % len(self.texts.states)  # NULL = -1 is the last text
        values = self.run(noisy.repeat(count, 1, 1, 1), log_snr.repeat(count), index)
        values = values.view(count, *noisy.shape)
        return values if len(place) == count else values[place]

    def run(self, noisy: Draws, log_snr: Levels, text: Int[Tensor, " n"]) -> Draws:
        """ε for each noisy latent under the text of that number, float32."""
        layout = torch.channels_last if self.device.type == "cuda" else torch.contiguous_format
        given = self.texts.inputs(text.to(self.device, non_blocking=True), *noisy.shape[2:])
        found = self.unet(
            noisy.to(self.dtype).contiguous(memory_format=layout),
            self.timestep(log_snr),
            return_dict=False,
            **given,
        )[0].float()
        if self.prediction == "epsilon":
            return found
        alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
        return alpha * found + sigma * noisy

    def target(self, latent: Draws, noise: Draws, log_snr: Levels) -> Draws:  # noqa: ARG002
        """ε itself."""
        return noise

    def weight(self, log_snr: Levels) -> Levels:
        """One: every level counts as in the paper."""
        return torch.ones_like(log_snr)

    @torch.inference_mode()
    def features(self, latent: Latent, context: int) -> Features:
        """DIFT features under the label's prompt (Tang et al. 2023), averaged over the noises.

        The input of an up block is half the grid or less; what comes after the block is not run.
        """
        level = torch.from_numpy(stable_diffusion_log_snr()[[self.config.feature_step]]).float()
        log_snr = level.to(self.device).expand(self.config.feature_draws)
        alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
        height, width = latent.shape[1:]
        rows, columns = torch.arange(height) % CANVAS, torch.arange(width) % CANVAS
        noise = self._feature_noise[:, :, rows][:, :, :, columns].to(self.device)
        noisy = alpha * latent.to(self.device) + sigma * noise
        text = torch.full((len(noisy),), context) % len(self.texts.states)
        return self._block(noisy, log_snr, text).float().mean(dim=0).cpu()

    def _block(self, noisy: Draws, log_snr: Levels, text: Int[Tensor, " n"]) -> Tensor:
        network: Any = getattr(self.unet, "_orig_mod", self.unet)  # compiled ones do not stop
        blocks = network.up_blocks
        number = self.config.feature_block
        if number >= len(blocks):
            raise ConfigError(
                f"feature_block={number}: the checkpoint has up blocks 0 to {len(blocks) - 1}"
            )

        def stop(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            raise _Reached(output)

        handle = blocks[number].register_forward_hook(stop)
        given = self.texts.inputs(text.to(self.device), *noisy.shape[2:])
        try:
            network(noisy.to(self.dtype), self.timestep(log_snr), **given)
        except _Reached as reached:
            return reached.output
        finally:
            handle.remove()
        raise ModelError(f"up block {number} was not reached")  # pragma: no cover


def placed(unet: Any, placement: Placement, *, compiled: bool = False) -> Any:
    """The network on its device for scoring, in the layout and precision that are fast there."""
    unet = unet.requires_grad_(False).eval()
    if placement.device.type == "cuda":
        unet = unet.to(memory_format=torch.channels_last)
    # Not diffusers' own `to`, which warns about layers that this network does not have.
    nn.Module.to(unet, placement.device, placement.scoring)
    return torch.compile(unet) if compiled and placement.device.type == "cuda" else unet
