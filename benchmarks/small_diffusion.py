"""A small Stable Diffusion, trained from nothing on a folder of labelled images.

It has the layout of the real one and the layers that translation takes over (four blocks of two
layers, CLIP text encoder), so that the house opens it as it opens any other checkpoint; and it
draws pictures, which a network of random weights does not. What costs most on two cores is left
out: the autoencoder has cells of 4 pixels, not 8, and no layers but those between resolutions;
the network looks around only on its way up. Legend: `n` images, `b` images of a
step, `c h w` latent channels and grid, `p` prompts, the null's the last.

    python -m benchmarks.small_diffusion IMAGES FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from benchmarks import scenes, tiny_checkpoint
from typika.collection.images import ImageCollection
from typika.collection.prompts import PromptTemplate
from typika.console import task
from typika.diffusion.checkpoints import CELL, Checkpoint, Conditioning
from typika.diffusion.finetuning import Example, denoising_loss
from typika.diffusion.models import batch_rows
from typika.diffusion.schedule import TIMESTEPS
from typika.diffusion.stable import pixels
from typika.diffusion.training import OptimiserConfig, fit, step_generator

DOWNWARDS = 4  # pixels per latent cell
ENCODED_AT_ONCE = 64
RECORD = "training.json"


@dataclass(frozen=True, kw_only=True)
class SmallConfig:
    """How large the networks are, and for how many images seen they are trained."""

    resolution: int = 64  # pixels of the short side, to which images are resized
    prompts: PromptTemplate = scenes.PROMPTS
    latent_channels: int = 8
    autoencoder_width: int = 16  # at every resolution
    autoencoder_images: int = 20_000  # seen
    autoencoder_batch: int = 16
    autoencoder_rate: float = 4e-3
    kl: float = 1e-5  # weight of the posterior's divergence beside the error of pictures
    widths: tuple[int, int, int, int] = (32, 64, 64, 64)  # of the denoising network
    images: int = 72_000  # seen by the denoising network
    batch: int = 32
    rate: float = 1.5e-3
    ema: float = 0.998
    null_share: float = 0.1  # of images shown without their label
    threads: int = 1  # more are quicker on idle cores, and sum in another order
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """How a checkpoint came about: the mean loss of each tenth of both trainings, and the time."""

    autoencoder_loss: list[float]
    loss: list[float]
    seconds: float

    @classmethod
    def read(cls, folder: Path) -> Trained:
        """What `train` left beside a checkpoint in diffusers layout."""
        return cls(**json.loads((folder / RECORD).read_text()))


def train(
    images: Path, folder: Path, config: SmallConfig | None = None, start: Path | None = None
) -> Trained:
    """Train on the labelled images under `images`, and write the checkpoint to `folder`.

    All images must have one shape once their short side is fitted to the resolution. The same
    arguments and threads give the same weights. start: a checkpoint of this module with the same
    labels, whose autoencoder is kept and whose other weights learn on.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    config, started = config or SmallConfig(), time.monotonic()
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            losses = _train(images, folder, config, start, Path(scratch))
    finally:
        torch.set_num_threads(threads)
    found = Trained(*losses, seconds=time.monotonic() - started)
    (folder / RECORD).write_text(json.dumps(asdict(found)))
    return found


def _train(
    images: Path, folder: Path, config: SmallConfig, start: Path | None, scratch: Path
) -> tuple[list[float], list[float]]:
    collection = ImageCollection.open(images)
    pictures = _pictures(collection, config.resolution)
    torch.manual_seed(config.seed)  # the start of the weights
    if start is None:
        vae, unet, text_encoder = _autoencoder(config), _network(config), _text_encoder()
        first = _fit_autoencoder(vae, pictures, config, scratch)
        latents = _standardised(vae, pictures)
    else:
        vae, unet, text_encoder = _opened(start)
        first, latents = [], torch.cat(_posteriors(vae, pictures), dim=1).clone()
    vae.save_pretrained(folder / "vae")
    _write_frame(folder)
    prompts = [*map(config.prompts.text, collection.labels), config.prompts.null_text]
    pair = _Pair(unet, text_encoder, _tokens(folder, prompts))
    own = torch.from_numpy(collection.label_index.astype(np.int64))
    second = _fit_pair(pair, latents, own, Checkpoint(folder), config, scratch)
    pair.unet.save_pretrained(folder / "unet")
    pair.text_encoder.save_pretrained(folder / "text_encoder")
    return first, second


def _opened(folder: Path) -> tuple[Any, Any, Any]:
    """Autoencoder, denoising network and text encoder of a checkpoint."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    parts = {"vae": AutoencoderKL, "unet": UNet2DConditionModel, "text_encoder": CLIPTextModel}
    vae, unet, text_encoder = (
        kind.from_pretrained(folder / name, local_files_only=True).train()
        for name, kind in parts.items()
    )
    return vae, unet, text_encoder


def _pictures(collection: ImageCollection, resolution: int) -> Float[Tensor, "n 3 H W"]:
    """All images, -1 to 1."""
    found = [pixels(collection.load(row), resolution, CELL) for row in range(len(collection))]
    return torch.cat(found)


# --- the autoencoder ----------------------------------------------------------------------------


def _autoencoder(config: SmallConfig) -> Any:
    from diffusers import AutoencoderKL

    levels = DOWNWARDS.bit_length()
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=config.latent_channels,
        block_out_channels=(config.autoencoder_width,) * levels, layers_per_block=0,
        down_block_types=["DownEncoderBlock2D"] * levels, norm_num_groups=8,
        up_block_types=["UpDecoderBlock2D"] * levels, mid_block_add_attention=False,
        sample_size=config.resolution, scaling_factor=1.0,
    )  # fmt: skip
    for name, layer in vae.named_modules():
        if name.endswith(".conv2"):  # every residual block starts as what it is given
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    return vae


def _fit_autoencoder(
    vae: Any, pictures: Float[Tensor, "n 3 H W"], config: SmallConfig, scratch: Path
) -> list[float]:
    """Absolute and squared error of pictures decoded from a sample of their posterior.

    The square brings in rare strong colours, which the absolute error alone leaves grey for long.
    """
    batch = min(config.autoencoder_batch, len(pictures))
    steps = max(config.autoencoder_images // batch, 1)
    rows = np.arange(len(pictures))

    def step_loss(step: int) -> Tensor:
        chosen = pictures[torch.from_numpy(batch_rows(rows, batch, step, config.seed))]
        posterior = vae.encode(chosen).latent_dist
        decoded = vae.decode(posterior.sample(step_generator(config.seed, step))).sample
        divergence = posterior.kl().mean() / chosen[0].numel()
        error = decoded - chosen
        loss: Tensor = error.abs().mean() + 4 * error.square().mean() + config.kl * divergence
        return loss

    optimiser = OptimiserConfig(learning_rate=config.autoencoder_rate, weight_decay=0.0)
    with task("Autoencoder", steps) as advance:
        return fit(vae, step_loss, steps, optimiser, scratch / "autoencoder", advance)


@torch.inference_mode()
def _posteriors(vae: Any, pictures: Float[Tensor, "n 3 H W"]) -> list[Float[Tensor, "n c h w"]]:
    """Means and spreads of all posteriors."""
    found = [vae.encode(part).latent_dist for part in pictures.split(ENCODED_AT_ONCE)]
    return [torch.cat([getattr(one, name) for one in found]) for name in ("mean", "std")]


@torch.inference_mode()
def _standardised(vae: Any, pictures: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n 2c h w"]:
    """Means and spreads of all posteriors, each channel of the means with mean 0 and variance 1.

    The autoencoder's 1 x 1 convolutions around the latents take the change in, so that no picture
    comes out otherwise.
    """
    mean, spread = _posteriors(vae, pictures)
    middle, scale = mean.mean(dim=(0, 2, 3)), mean.std(dim=(0, 2, 3))
    count, before, after = len(scale), vae.quant_conv, vae.post_quant_conv
    after.bias += after.weight[:, :, 0, 0] @ middle
    after.weight *= scale[None, :, None, None]
    before.weight[:count] /= scale[:, None, None, None]
    before.bias[:count] = (before.bias[:count] - middle) / scale
    before.bias[count:] -= 2 * scale.log()  # of the logarithm of the variance
    aligned = (values[:, None, None] for values in (middle, scale))
    middle, scale = aligned
    return torch.cat([(mean - middle) / scale, spread / scale], dim=1).clone()


# --- the denoising network ----------------------------------------------------------------------


class _Pair(nn.Module):
    """The denoising network and the text encoder, which are trained together."""

    def __init__(self, unet: Any, text_encoder: Any, tokens: Int[Tensor, "p tokens"]) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.tokens = unet, text_encoder, tokens

    def given(self) -> Conditioning:
        """All prompts as the network reads them."""
        return Conditioning(self.text_encoder(self.tokens)[0], None)


TOKENS, TEXT_WIDTH = 24, 32  # bytes of a prompt that are read; of their states


def _network(config: SmallConfig) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=config.resolution // DOWNWARDS, in_channels=config.latent_channels,
        out_channels=config.latent_channels, block_out_channels=config.widths, layers_per_block=2,
        down_block_types=("DownBlock2D",) * 4, cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(1, 2, 2, 2), norm_num_groups=8,
    )  # fmt: skip


def _text_encoder() -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(
        vocab_size=514, hidden_size=TEXT_WIDTH, intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=TOKENS,
        projection_dim=TEXT_WIDTH, bos_token_id=512, eos_token_id=513, pad_token_id=513,
    ))  # fmt: skip


def _write_frame(folder: Path) -> None:
    """What is not trained: the index, the schedule and the tokenizer, whose words are bytes."""
    from diffusers import DDIMScheduler

    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        prediction_type="v_prediction", steps_offset=1, set_alpha_to_one=False,
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    tiny_checkpoint.of_tests("tiny_diffusion").tokenizer(folder / "tokenizer")
    settings = folder / "tokenizer" / "tokenizer_config.json"
    values = json.loads(settings.read_text())
    settings.write_text(json.dumps({**values, "model_max_length": TOKENS}))
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
             "scheduler": ["diffusers", "DDIMScheduler"],
             "text_encoder": ["transformers", "CLIPTextModel"],
             "tokenizer": ["transformers", "CLIPTokenizer"]}  # fmt: skip
    index = {"_class_name": "StableDiffusionPipeline", **parts}
    (folder / "model_index.json").write_text(json.dumps(index))


def _tokens(folder: Path, prompts: Sequence[str]) -> Int[Tensor, "p tokens"]:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    found: Tensor = tokenizer(
        list(prompts), padding="max_length", truncation=True, return_tensors="pt",
        max_length=tokenizer.model_max_length,
    )["input_ids"]  # fmt: skip
    return found


def _fit_pair(
    pair: _Pair,
    latents: Float[Tensor, "n 2c h w"],
    own: Int[Tensor, " n"],
    checkpoint: Checkpoint,
    config: SmallConfig,
    scratch: Path,
) -> list[float]:
    """The house's denoising loss, of v. own: (n,) the number of each image's prompt."""
    batch = min(config.batch, len(latents))
    steps, rows = max(config.images // batch, 1), np.arange(len(latents))
    null = len(pair.tokens) - 1

    def step_loss(step: int) -> Tensor:
        generator = step_generator(config.seed + 1, step)
        chosen = torch.from_numpy(batch_rows(rows, batch, step, config.seed))
        mean, spread = latents[chosen].chunk(2, dim=1)
        noise, other = torch.randn((2, *mean.shape), generator=generator)
        # One timestep from each of b equal parts of the schedule: the loss varies less.
        place = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        timestep = (place * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)
        unnamed = torch.rand(batch, generator=generator) < config.null_share
        text = own[chosen].masked_fill(unnamed, null)
        example = Example(mean + spread * other, noise, timestep, text)
        return denoising_loss(pair.unet, example, pair.given(), checkpoint).mean()

    optimiser = OptimiserConfig(
        learning_rate=config.rate, betas=(0.9, 0.99), weight_decay=0.01, ema=config.ema
    )
    with task("Denoising network", steps) as advance:
        return fit(pair, step_loss, steps, optimiser, scratch / "pair", advance)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    print(train(source, target))
