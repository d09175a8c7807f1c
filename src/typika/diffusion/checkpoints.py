"""Stable Diffusion checkpoints on disk: any of the 1, 2 or XL family in diffusers layout.

Weights are read from safetensors alone, since a pickle can run code. Diffusers and transformers
are imported when a part is loaded. Legend: `p` texts, `t` timesteps, `n` noisy latents.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from typika import config as settings
from typika.console import warn
from typika.diffusion.schedule import TIMESTEPS, log_snr_of_betas
from typika.errors import ModelError
from typika.files import sample_digest

CELL = 8  # pixels per latent cell of all published checkpoints
WANTED = ("model_index.json", "*/config.json", "scheduler/*.json", "tokenizer*/*",
          "text_encoder*/model*.safetensors", "unet/diffusion_pytorch_model*.safetensors",
          "vae/diffusion_pytorch_model*.safetensors")  # fmt: skip
UNWANTED = ("*.fp16.*", "*.non_ema.*", "safety_checker/*")
INSTALL = "pip install 'typika[stable-diffusion]'"


@dataclass(frozen=True)
class Conditioning:
    """What a text becomes: (p, tokens, d) states, and for XL (p, e) pooled embeddings."""

    states: Float[Tensor, "p tokens d"]
    pooled: Float[Tensor, "p e"] | None

    def to(self, device: torch.device, dtype: torch.dtype) -> Conditioning:
        """The same on a device."""
        pooled = None if self.pooled is None else self.pooled.to(device, dtype)
        return Conditioning(self.states.to(device, dtype), pooled)

    @property
    def learned(self) -> Mapping[str, nn.Parameter]:
        """What of it is fitted with the network: nothing."""
        return {}

    def __getitem__(self, index: Int[Tensor, " n"]) -> Conditioning:
        return Conditioning(
            self.states[index], None if self.pooled is None else self.pooled[index]
        )

    def inputs(self, index: Int[Tensor, " n"], height: int, width: int) -> dict[str, Any]:
        """Arguments of the network for the texts `index`, images of `height` x `width` cells."""
        found: dict[str, Any] = {"encoder_hidden_states": self.states[index]}
        if self.pooled is not None:
            # XL is told the size it was drawn from: the image as it is, uncropped.
            size = (CELL * height, CELL * width)
            told = torch.tensor((*size, 0, 0, *size)).to(self.pooled)
            found["added_cond_kwargs"] = {
                "text_embeds": self.pooled[index],
                "time_ids": told.expand(len(index), -1),
            }
        return found


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine. Its parts are loaded when they are asked for."""

    folder: Path
    text_encoder: Path | None = None

    @classmethod
    def open(cls, name: str, text_encoder: str | None = None) -> Checkpoint:
        """Find a checkpoint and look whether it is whole, reading no weights.

        name: folder, or name on the hub; text_encoder: of another one, likewise.

        Raises:
            ModelError: there is none, it is of another layout or kind, or files are cut short.
        """
        folder = locate(name)
        other = None if text_encoder is None else locate(text_encoder)
        found = cls(folder, other)
        found._check()
        return found

    def _check(self) -> None:
        if not (self.folder / "model_index.json").is_file():
            files = sorted(path.name for path in self.folder.iterdir())[:4]
            raise ModelError(
                f"{self.folder}: not a checkpoint in diffusers layout (no model_index.json; it "
                f"holds {', '.join(files) or 'nothing'}); convert a single file with diffusers' "
                "StableDiffusionPipeline.from_single_file(...).save_pretrained(...)"
            )
        if self.channels != _json(self.folder / "vae" / "config.json").get("latent_channels", 4):
            raise ModelError(
                f"{self.folder}: its network takes {self.channels} channels, which are not the "
                "autoencoder's; an inpainting or depth model cannot be used, choose a plain one"
            )
        if self.prediction not in ("epsilon", "v_prediction"):
            raise ModelError(
                f"{self.folder}: predicts {self.prediction!r}; only Stable Diffusion 1, 2 and XL, "
                "which predict epsilon or v_prediction, can be used"
            )
        for part in ("unet", "vae", "text_encoder", "tokenizer"):
            if not (self.folder / part).is_dir():
                raise ModelError(f"{self.folder}: has no folder {part}; download it again")
        for part in ("unet", "vae", "text_encoder"):
            require_whole_weights(self.folder / part)

    @cached_property
    def xl(self) -> bool:
        """Whether it has the two text encoders of SDXL."""
        return (self.folder / "text_encoder_2").is_dir()

    @cached_property
    def channels(self) -> int:
        """Channels of a latent cell."""
        return int(_json(self.folder / "unet" / "config.json").get("in_channels", 4))

    @cached_property
    def cell(self) -> int:
        """Pixels per latent cell: every level of the autoencoder but the last halves them."""
        levels = _json(self.folder / "vae" / "config.json").get("block_out_channels")
        return int(2 ** (len(levels) - 1)) if levels else CELL

    @cached_property
    def _scheduler(self) -> dict[str, Any]:
        return _json(self.folder / "scheduler" / "scheduler_config.json")

    @property
    def prediction(self) -> str:
        """What the network predicts: "epsilon" or "v_prediction"."""
        return str(self._scheduler.get("prediction_type", "epsilon"))

    @cached_property
    def levels(self) -> Float[np.ndarray, " t"]:
        """λ of every timestep that it was trained on, falling."""
        known = self._scheduler
        count = int(known.get("num_train_timesteps", TIMESTEPS))
        start, end = float(known.get("beta_start", 0.00085)), float(known.get("beta_end", 0.012))
        spacing = known.get("beta_schedule", "scaled_linear")
        if known.get("trained_betas") is not None:
            betas = np.array(known["trained_betas"], dtype=np.float64)
        elif spacing == "scaled_linear":
            betas = np.linspace(start**0.5, end**0.5, count) ** 2
        elif spacing == "linear":
            betas = np.linspace(start, end, count)
        else:
            raise ModelError(
                f"{self.folder}: unknown beta_schedule {spacing!r}; "
                "expected scaled_linear or linear"
            )
        return log_snr_of_betas(betas, to_noise=bool(known.get("rescale_betas_zero_snr")))

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that change when the checkpoint does: a cause of every latent."""
        places = [self.folder, *([self.text_encoder] if self.text_encoder else [])]
        found = {
            f"{number}/{path.relative_to(place).as_posix()}": sample_digest(path)
            for number, place in enumerate(places)
            for path in sorted(place.rglob("*"))
            if path.suffix in {".json", ".safetensors", ".txt"} and path.is_file()
        }
        return settings.digest(found)

    def unet(self) -> Any:
        """The denoising network, float32 on the CPU."""
        return load_unet(self.folder / "unet")

    def vae(self) -> Any:
        """The autoencoder, float32 on the CPU."""
        from diffusers import AutoencoderKL

        return _load(AutoencoderKL, self.folder / "vae").requires_grad_(False).eval()

    def embed(self, texts: Sequence[str], device: torch.device) -> Conditioning:
        """The texts as the network reads them, each by itself, float32 on the CPU."""
        if self.xl:
            first, _ = self._states("", texts, device)
            second, pooled = self._states("_2", texts, device)
            return Conditioning(torch.cat([first, second], dim=2), pooled)
        return Conditioning(self._states("", texts, device)[0], None)

    @torch.inference_mode()
    def _states(
        self, suffix: str, texts: Sequence[str], device: torch.device
    ) -> tuple[Tensor, Tensor | None]:
        """States of one text encoder: the last, or of XL the last but one and the pooled ones."""
        tokenizer, encoder = self._text_parts(suffix)
        encoder = encoder.to(device)
        states, pooled = [], []
        for text in texts:
            _warn_of_length(tokenizer, text)
            tokens = tokenizer(
                text, padding="max_length", truncation=True, return_tensors="pt",
                max_length=tokenizer.model_max_length,
            )["input_ids"].to(device)  # fmt: skip
            found = encoder(tokens, output_hidden_states=self.xl)
            states.append((found.hidden_states[-2] if self.xl else found[0]).float().cpu())
            if suffix:
                pooled.append(found.text_embeds.float().cpu())
        # A copy, since what inference mode makes cannot be trained with.
        return torch.cat(states).clone(), torch.cat(pooled).clone() if pooled else None

    def _text_parts(self, suffix: str) -> tuple[Any, Any]:
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        folder = self.folder / f"text_encoder{suffix}"
        tokens = self.folder / f"tokenizer{suffix}"
        if self.text_encoder is not None and not suffix:
            folder = tokens = self.text_encoder
        kind = CLIPTextModelWithProjection if suffix else CLIPTextModel
        try:
            tokenizer = CLIPTokenizer.from_pretrained(tokens, local_files_only=True)
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(f"{tokens}: cannot load the tokenizer: {error}") from error
        # The text tower of published models comes without a limit of its own.
        tokenizer.model_max_length = min(tokenizer.model_max_length, 77)
        return tokenizer, _load(kind, folder).requires_grad_(False).eval()


def locate(name: str, wanted: Sequence[str] = WANTED, unwanted: Sequence[str] = UNWANTED) -> Path:
    """The folder of a checkpoint: `name` itself, or what the hub's cache holds or fetches of it.

    wanted, unwanted: patterns of the files to fetch, Stable Diffusion's unless others are given.
    With HF_HUB_OFFLINE set, as `--offline` does, nothing is fetched.
    Raises ModelError where there is none.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.suffix in {".safetensors", ".ckpt", ".bin"}:
        raise ModelError(
            f"{name}: a single file; convert it to a folder in diffusers layout with diffusers' "
            "StableDiffusionPipeline.from_single_file(...).save_pretrained(...)"
        )
    if name.count("/") != 1 or folder.is_absolute() or name.startswith("."):
        raise ModelError(f"{name}: no such folder, and not a name on the hub (owner/name)")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(f"model {name}: needs diffusers; {INSTALL}") from error
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    try:
        found = snapshot_download(
            name, allow_patterns=list(wanted), ignore_patterns=list(unwanted),
            local_files_only=offline,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        remedy = (
            "download it first without --offline, or name a local folder"
            if offline
            else "check the name and the connection, or name a local folder"
        )
        raise ModelError(f"{name}: cannot get it from the hub ({error}); {remedy}") from error
    return Path(found)


def is_here(name: str, file: str = "model_index.json") -> bool:
    """Whether a checkpoint is a local folder, or in the hub's cache."""
    if Path(name).expanduser().is_dir():
        return True
    try:
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(name, file), str)
    except (ImportError, ValueError):
        return False


def load_unet(folder: Path) -> Any:
    """A denoising network from its folder, float32 on the CPU."""
    try:
        from diffusers import UNet2DConditionModel
    except ImportError as error:
        raise ModelError(f"{folder}: needs diffusers; {INSTALL}") from error
    return _load(UNet2DConditionModel, folder)


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); download it again") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: expected a JSON object; download it again")
    return values


def require_whole_weights(folder: Path) -> None:
    """Raise ModelError unless the folder has safetensors weights of the length they say."""
    from safetensors import SafetensorError, safe_open

    found = sorted(folder.glob("*.safetensors"))
    if not found:
        pickled = any(folder.glob("*.bin"))
        reason = "only pickled weights, which can run code" if pickled else "no weights"
        raise ModelError(f"{folder}: holds {reason}; get the checkpoint's safetensors files")
    for path in found:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path}: cut short or damaged ({error}); delete it and download it again"
            ) from error


def _warn_of_length(tokenizer: Any, text: str) -> None:
    """Say so where the end of a prompt will not be read."""
    count = len(tokenizer(text, verbose=False)["input_ids"])
    if count > tokenizer.model_max_length:
        warn(
            f"prompt {text[:60]!r}... has {count} tokens; the text encoder reads the first "
            f"{tokenizer.model_max_length}"
        )


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the libraries' own progress bars off the screen inside the block: loading is quick."""
    shown = [one for one in _loggings() if one.is_progress_bar_enabled()]
    for one in shown:
        one.disable_progress_bar()
    try:
        yield
    finally:
        for one in shown:
            one.enable_progress_bar()


def _loggings() -> Iterator[Any]:
    """The loggers of those of the two libraries that are installed."""
    for name in ("diffusers", "transformers"):
        if find_spec(name):
            yield import_module(f"{name}.utils.logging")


def _load(kind: Any, folder: Path) -> Any:
    """A diffusers or transformers part in float32, from safetensors alone."""
    try:
        with without_bars():
            return kind.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, dtype=torch.float32
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder}: cannot load {kind.__name__}: {error}") from error
