"""Where tensors are worked on: the device that a person names, or the best there is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from typika.errors import ConfigError
from typika.ranks import world

if TYPE_CHECKING:
    import torch


def named_device(name: str) -> torch.device:
    """The device called "cpu", "cuda", "cuda:1" or "mps"; "auto" is a GPU of this rank's own.

    Raises:
        ConfigError: there is no such device here.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", world().local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device={name}: expected auto, cpu, cuda, cuda:1 or mps") from error
    here = {"cpu": True, "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available()}  # fmt: skip
    if not here.get(device.type, False):
        known = ", ".join(kind for kind, there in here.items() if there)
        raise ConfigError(f"device={name}: not on this machine, which has {known}")
    return device


def device_of(module: Any) -> torch.device:
    """Where the weights of a module, or of a model that is one, are."""
    import torch

    return next((one.device for one in module.parameters()), torch.device("cpu"))


def half_precision(device: torch.device) -> AbstractContextManager:
    """Convolutions and products in bfloat16 on a CUDA device that has it; else as they are."""
    import torch

    if device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return nullcontext()
    return torch.autocast("cuda", torch.bfloat16)
