"""The baselines by name, their few settings, and what a report says of one. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from typika.errors import ConfigError

Name = Literal[
    "", "random", "negative", "linear-cam", "linear-log-sum-exp", "mlp-cam", "mlp-log-sum-exp",
    "neighbours", "clip-sim", "clip-diff", "doersch",
]  # fmt: skip
NAMES: tuple[str, ...] = tuple(name for name in get_args(Name) if name)
OF_CHOICE = ("random", "negative")


@dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """Which baseline takes the place of typicality, if any."""

    name: Name = ""  # "": none, the method itself
    neighbours: int = 20  # nearest patches whose labels are counted
    bank: int = 20_000  # patches among which they are sought
    # CLIP by folder or by name on the hub; it must have safetensors.
    clip: str = "openai/clip-vit-large-patch14"

    candidates: int = 25_000  # random windows of a label, of which detectors are made

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ConfigError(f"candidates={self.candidates}: need at least 1")
        if not 1 <= self.neighbours < self.bank:
            raise ConfigError(
                f"neighbours={self.neighbours}, bank={self.bank}: need 1 <= neighbours < bank"
            )

    @property
    def of_maps(self) -> bool:
        """Whether it draws maps of its own, so that no diffusion model is needed."""
        return self.name not in ("", *OF_CHOICE)


@dataclass(frozen=True, kw_only=True)
class Wording:
    """What a report says where it else speaks of the diffusion model."""

    name: str  # in titles and tables: "MLP log-sum-exp + noise"
    seen: str  # "what is typical, as seen by ..."
    chosen: str  # "the patches that ..."
    ranked: str  # what patches are ranked by
    reading: str  # what "typicality" stands for on the page, in whole sentences
    model: str = ""  # what made the maps and by which loss; "": the diffusion model
    loss: str = ""
