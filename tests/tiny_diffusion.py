"""Stable Diffusion with a few hundred thousand random weights, built from configuration alone.

It has the layout and the layers of the real ones (four blocks, two layers each), so every path of
the adapter runs on a CPU in seconds. Its pictures are noise.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

WORDS = ("<|startoftext|>", "<|endoftext|>")


def build(folder: Path, *, prediction: str = "epsilon", xl: bool = False) -> Path:
    """Write a checkpoint in diffusers layout; about 4 MB."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    torch.manual_seed(0)
    text_width = 16
    more = (
        {"addition_embed_type": "text_time", "addition_time_embed_dim": 8,
         "projection_class_embeddings_input_dim": 6 * 8 + 16}
        if xl
        else {}
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32, 32, 32),
        layers_per_block=2, cross_attention_dim=text_width * (2 if xl else 1),
        attention_head_dim=4, norm_num_groups=8, **more,
    )  # fmt: skip
    unet.save_pretrained(folder / "unet")
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 8, 16, 16),
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=1, norm_num_groups=4, sample_size=64,
    )  # fmt: skip
    _like_trained(vae)
    vae.save_pretrained(folder / "vae")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type=prediction, steps_offset=1, clip_sample=False, set_alpha_to_one=False,
    )  # fmt: skip
    scheduler.save_pretrained(folder / "scheduler")
    names = ("", "_2") if xl else ("",)
    for suffix in names:
        text_encoder(folder / f"text_encoder{suffix}", text_width, projected=bool(suffix))
        tokenizer(folder / f"tokenizer{suffix}")
    kind = "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline"
    index = {"_class_name": kind, "_diffusers_version": "0.42.1",
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
             "scheduler": ["diffusers", "DDIMScheduler"]}  # fmt: skip
    for suffix in names:
        model = "CLIPTextModelWithProjection" if suffix else "CLIPTextModel"
        index[f"text_encoder{suffix}"] = ["transformers", model]
        index[f"tokenizer{suffix}"] = ["transformers", "CLIPTokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _like_trained(vae: Any) -> None:
    """As of a trained autoencoder: a narrow posterior, and latents of unit variance."""
    with torch.no_grad():
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -12.0
        colours = torch.rand(16, 3, 4, 4) * 2 - 1
        pictures = torch.nn.functional.interpolate(colours, scale_factor=16)
        vae.register_to_config(
            scaling_factor=float(1 / vae.encode(pictures).latent_dist.mean.std())
        )


def text_encoder(folder: Path, width: int, *, projected: bool) -> None:
    """A CLIP text encoder of two layers."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=514, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, projection_dim=16,
        bos_token_id=512, eos_token_id=513, pad_token_id=513,
    )  # fmt: skip
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    kind(config).save_pretrained(folder)


def tokenizer(folder: Path) -> None:
    """Bytes as words, with no merges."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(code) for code in printable]
    symbols += [chr(256 + number) for number in range(256 - len(printable))]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *WORDS]
    (folder / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = CLIPTokenizer(
            str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
        )
    tokenizer.save_pretrained(folder)


SETTINGS = {
    "model": {
        "resolution": 64, "least_images": 48, "most_images": 48, "batch": 8, "epochs": 1.0,
        "checkpoint_every": 16, "learning_rate": 1e-3, "feature_draws": 2, "held_out": 0.1,
    },
    "rival": {"width": 16, "epochs": 1.0, "least_steps": 10, "most_steps": 10},
    "score": {"n_draws": 8, "pilot": 1},
    "select": {"patch_size": 0.3, "at_least": 10, "controls": 8},
    "cluster": {"n_clusters": 4, "n_starts": 6},
    "artefacts": {"images": 0},
    "confounds": {"n_trees": 8},
    "significance": {"permutations": 99},
}  # fmt: skip


def settings(checkpoint: Path, **model: object) -> dict[str, dict[str, object]]:
    """Settings of a run with a tiny checkpoint that takes seconds."""
    own = {"checkpoint": str(checkpoint), **SETTINGS["model"], **model}
    return {**SETTINGS, "model": own}
