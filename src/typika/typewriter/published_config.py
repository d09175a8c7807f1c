"""What the chapter chose, and its rivals and ablations as other choices of the same model.

Numbers are of Siglidis et al. 2024, "The Learnable Typewriter" (ICDAR; chapter 3 of the thesis),
and where these are silent, of what the released code was seen to do. What it did by mistake is not
here: dark edges of sprites, overflowing logarithms, transcriptions of unknown characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from typika import config as settings
from typika.errors import ConfigError

NO_LIMIT = 1_000_000_000
STRIDE = 16  # pixels from one cell to the next: 4 of the encoder, 4 of its pooling


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """The published model; the defaults are its supervised run on Google1000."""

    kind: Literal["published"] = "published"
    height: int = 64  # pixels of a line; a sprite has half of it either way
    encoder_blocks: int = 5  # of each of its three stages; 5 make ResNet-32
    # Where sprites come from (Sec. 3.3.2): mlp with transcriptions, unet without; marionette is
    # MarioNette's; pixels is none ("w/o g").
    generator: Literal["mlp", "unet", "marionette", "pixels"] = "mlp"
    sprites_per_character: int = 1  # their probabilities are summed; 2 where there are allographs
    shared_latents: bool = True  # keys are made of the sprites' codes; if not, of their own
    key_network: bool = True  # keys are made of codes by p_θ; if not, they are free
    normalised_blank: bool = False  # the blank's key, as the others; published: not
    # A blank among the symbols, or MarioNette's own decision whether a cell draws at all.
    presence: Literal["blank", "separate"] = "blank"
    # What training draws: the mixture of all sprites, or the best one with the mixture's gradient.
    selection: Literal["mixture", "straight-through"] = "mixture"
    scale: Literal["isotropic", "none"] = "isotropic"  # e^-s for both axes, or native size
    # Shifts are at most the height / 4 at native size; beyond it a clamp has no gradient.
    shift_bound: Literal["clamp", "tanh"] = "clamp"
    colour: Literal["cell", "sprite"] = "cell"  # RGB of what is drawn, by cell or by sprite
    colour_sees_blank: bool = True  # β is weighed by 1 − p(blank), as in the released code
    centred_windows: bool = False  # on 16p + 8, where feature p looks; published: on 16p
    layer_order: Literal["batch", "line"] = "batch"  # drawn once a batch, or for every line
    warm_start_steps: int = 3000  # steps in which only the background learns ...
    warm_start_share: float = 0.05  # ... but at most this share of the run
    shifts_from: float = 0.0  # share of the run before which sprites are not moved or scaled
    colours_from: float = 0.0  # share of the run before which they are not coloured
    crop: float | None = None  # width of random crops in heights; None: whole lines
    ctc_weight: float = 0.1  # λ; 0.01 where the writing is harder
    overlap_weight: float = 0.0  # of Σ α_t α_j over pairs of layers and pixels; tried with 1e-5
    frequency_weight: float = 0.0  # of the symbols' shortfall from ...
    least_frequency: float = 0.1  # ... this share of the cells, divided by all symbols
    sparsity_weight: float = 0.0  # of the mean probability of the blank; tried with 0.05
    learning_rate: float = 1e-4  # of AdamW, constant; the released recipe for Google1000 has 1e-3
    weight_decay: float = 1e-6  # of the encoder and the selection only

    def __post_init__(self) -> None:
        if self.height < STRIDE or self.height % STRIDE:
            raise ConfigError(f"height={self.height}: need a multiple of {STRIDE} pixels")
        for name in ("encoder_blocks", "sprites_per_character"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: need at least 1")
        if self.warm_start_steps < 0 or self.weight_decay < 0 or self.learning_rate <= 0:
            raise ConfigError(
                "need warm_start_steps and weight_decay >= 0 and learning_rate > 0; got "
                f"{self.warm_start_steps}, {self.weight_decay}, {self.learning_rate}"
            )
        for name in ("warm_start_share", "shifts_from", "colours_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)}: need a share in [0, 1]")
        if self.crop is not None and self.crop < 1:
            raise ConfigError(f"crop={self.crop}: need 1 height or more, or none")
        self._check_weights()

    def _check_weights(self) -> None:
        for name in ("ctc_weight", "overlap_weight", "frequency_weight", "sparsity_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)}: need 0 or more")
        if not 0 < self.least_frequency <= 1:
            raise ConfigError(f"least_frequency={self.least_frequency}: need a share in (0, 1]")
        if self.sparsity_weight and not self.frequency_weight:
            raise ConfigError(
                f"sparsity_weight={self.sparsity_weight} without frequency_weight: cells would "
                "draw anything but a blank; set both"
            )

    @property
    def sprite(self) -> tuple[int, int]:
        """Height and width of a sprite, pixels."""
        return self.height // 2, self.height // 2

    def warming(self, progress: float, step: int) -> bool:
        """Whether only the background learns in this step, at this share of the run."""
        return step < self.warm_start_steps and progress < self.warm_start_share


@dataclass(frozen=True, kw_only=True)
class PublishedRun:
    """A run of the chapter: its model, lines a step, and passes over the lines."""

    model: PublishedConfig
    batch: int
    epochs: int

    @property
    def values(self) -> dict[str, Any]:
        """The settings of a typewriter that learns so; batches are cut by no width."""
        training = {"batch": self.batch, "epochs": self.epochs, "batch_width": NO_LIMIT}
        return {"model": settings.as_values(self.model), "training": training}


GOOGLE = PublishedConfig()
GOOGLE_UNSUPERVISED = PublishedConfig(generator="unet", crop=2.0)
COPIALE = PublishedConfig(height=96, ctc_weight=0.01)
COPIALE_UNSUPERVISED = replace(GOOGLE_UNSUPERVISED, height=96)

PUBLISHED: Mapping[str, PublishedRun] = {
    "google": PublishedRun(model=GOOGLE, batch=16, epochs=100),
    # 60 sprites
    "google-unsupervised": PublishedRun(model=GOOGLE_UNSUPERVISED, batch=32, epochs=1000),
    "copiale": PublishedRun(model=COPIALE, batch=16, epochs=500),
    # 120 sprites
    "copiale-unsupervised": PublishedRun(model=COPIALE_UNSUPERVISED, batch=32, epochs=5000),
    "fontenay": PublishedRun(model=PublishedConfig(ctc_weight=0.01), batch=2, epochs=200),
    "textualis": PublishedRun(model=COPIALE, batch=16, epochs=300),
}


def without_shared_latents(config: PublishedConfig) -> PublishedConfig:
    """Ablation "w/o shared z_k": keys are made of codes of their own."""
    return replace(config, shared_latents=False)


def without_key_network(config: PublishedConfig) -> PublishedConfig:
    """Ablation "w/o p_θ": keys are learned as they are."""
    return replace(config, key_network=False)


def without_generator(config: PublishedConfig) -> PublishedConfig:
    """Ablation "w/o g_θ": sprites are learned as pixels."""
    return replace(config, generator="pixels")


def marionette(config: PublishedConfig) -> PublishedConfig:
    """Vanilla MarioNette (Smirnov et al. 2021) on lines, where `config` says nothing else.

    Codes of 128 numbers, a presence of its own beside the choice of a sprite, shifts through a
    tanh, native size, and a colour that belongs to the sprite. Its grids of anchors and its groups
    of layers are the windows here, which overlap four at a time.
    """
    return replace(
        config, generator="marionette", presence="separate", shift_bound="tanh", scale="none",
        colour="sprite", colour_sees_blank=False, warm_start_steps=0,
    )  # fmt: skip


def dti_sprites(config: PublishedConfig) -> PublishedConfig:
    """DTI-Sprites (Monnier et al. 2021) adapted to lines, where `config` says nothing else.

    Sprites are pixels, keys are free, one sprite and not a mixture is drawn, and a curriculum
    frees the sprites' places and then their colours. Theirs tries all sprites in each place;
    here the encoder chooses, for a line has too many places.
    """
    return replace(
        config, generator="pixels", key_network=False, selection="straight-through",
        shifts_from=0.1, colours_from=0.2, colour_sees_blank=False,
    )  # fmt: skip
