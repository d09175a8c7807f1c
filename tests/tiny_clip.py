"""CLIP with a few thousand random weights, built from configuration alone."""

from __future__ import annotations

from pathlib import Path

import torch

import tiny_diffusion

SIDE, PATCH = 32, 8  # pixels of the image it was "trained" with, and of a token


def build(folder: Path) -> Path:
    """Write a checkpoint in transformers layout."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
             "num_attention_heads": 2, "projection_dim": 12}  # fmt: skip
    config = CLIPConfig(
        text_config={**small, "vocab_size": 514, "max_position_embeddings": 77,
                     "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513},
        vision_config={**small, "image_size": SIDE, "patch_size": PATCH},
        projection_dim=12,
    )  # fmt: skip
    CLIPModel(config).save_pretrained(folder)
    tiny_diffusion.tokenizer(folder)
    return folder
