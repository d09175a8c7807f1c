"""How the default typewriter learns: first to read, then also to draw what it reads.

A step shows a batch of lines and takes one step of AdamW on

    λ_ctc · (CTC  +  λ_echo · CTC of untranscribed lines, taken to say what the model reads)
    +  squared residual  +  λ_blur · blurred residual  +  λ_ink · ink of all uses
    +  λ_pull · distance to better places

where the residual is the line's ink less the sum of its sprites, each drawn at the cell that
forced alignment gives its symbol. Sums, not coverage, while learning: what two letters both
explain is paid for, so ghosts do not hide behind letters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from typika.errors import ConfigError
from typika.typewriter import augmentation, drawing, losses, optimiser_state, together
from typika.typewriter.alignment import CellPath, best_path, forced_paths
from typika.typewriter.alphabet import n_cells_needed
from typika.typewriter.batches import LineBatch, Reading
from typika.typewriter.model import Typewriter

SPRITES = ("sprites",)  # parameters that are pixels, and have a rate of their own
READS = 1.2  # nats a symbol, of −log p(text), below which a reading is aligned and drawn
SURE = 0.8  # mean probability of its symbols from which a line that was read is learned from
FURTHEST = 0.16  # how far along a line a better place is looked for, of its height
REMEMBER = 0.1  # share of its running mean that a step replaces


@dataclass(frozen=True, kw_only=True)
class LearningConfig:
    """How weights and sprites are fitted.

    learning_rate: at its highest. sprite_rate: of pixels. warm_up: steps. flat: share of the
    steps before the rate falls, on a cosine. clip: greatest norm of a gradient. weight_decay: on
    matrices. echo: λ of lines without a transcription, shown warped, which are to be read as they
    are read when looked at plainly; 0 leaves that out, and they are only drawn. echo_from: share
    of the steps before that. augment: whether lines are shown worn or warped. warps: share of the
    steps in which every second one shows lines warped, to be read only. ctc, ink, blur, pull: the
    λ above.
    blur_until: share of the steps after which only the sharp residual counts. recentre: steps
    between centrings of the sprites.
    """

    learning_rate: float = 3e-3
    sprite_rate: float = 0.02
    warm_up: int = 40
    flat: float = 0.5
    clip: float = 1.0
    weight_decay: float = 0.01
    augment: bool = True
    warps: float = 0.85
    ctc: float = 0.1
    echo: float = 0.0
    echo_from: float = 0.3
    ink: float = 0.15
    blur: float = 1.0
    pull: float = 0.05
    blur_until: float = 0.65
    recentre: int = 20

    def __post_init__(self) -> None:
        if min(self.learning_rate, self.sprite_rate, self.clip) <= 0:
            raise ConfigError("learning_rate, sprite_rate and clip: need more than 0")
        shares = (self.flat, self.warps, self.blur_until, self.echo_from)
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigError("flat, warps, blur_until and echo_from: need 0 to 1")
        if min(self.ctc, self.echo, self.ink, self.blur, self.pull) < 0 or self.recentre < 1:
            raise ConfigError(
                "ctc, echo, ink, blur and pull: need at least 0; recentre: at least 1"
            )


class Learner:
    """A typewriter and its optimiser."""

    def __init__(self, model: Typewriter, config: LearningConfig) -> None:
        self.model, self.config = model, config
        named = dict(model.named_parameters())
        matrices = [p for name, p in named.items() if p.ndim > 1 and name not in SPRITES]
        others = [p for name, p in named.items() if p.ndim <= 1]
        pixels = [named[name] for name in SPRITES]
        self.clipped = [*matrices, *others]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay, "top": config.learning_rate},
            {"params": others, "weight_decay": 0.0, "top": config.learning_rate},
            {"params": pixels, "weight_decay": 0.0, "top": config.sprite_rate},
        ]
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.surprise = torch.tensor(10.0)

    def step(
        self, batch: LineBatch, step: int, n_steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """One step on a batch; the losses before it, by name."""
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        parts = self.losses(batch, step, n_steps, generator)
        sum(parts.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
        together.average_gradients(self.model.parameters())
        rate = rate_at(step, n_steps, self.config)
        for group in self.optimiser.param_groups:
            group["lr"] = group["top"] * rate
        nn.utils.clip_grad_norm_(self.clipped, self.config.clip)
        self.optimiser.step()
        self._keep_sprites(step)
        return {name: float(value.detach()) for name, value in parts.items()}

    def losses(
        self, batch: LineBatch, step: int, n_steps: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The weighted terms of the loss of one step."""
        config, progress = self.config, step / n_steps
        ink = batch.ink_image
        warps = config.augment and progress < config.warps and step % 2 == 0
        shown = augmentation.warped(ink, generator) if warps else ink
        if config.augment:
            shown = augmentation.worn(shown, generator)
        features = self.model.features(shown)
        logits = self.model.logits(features)
        reading = self.model.reading(logits, batch.widths)
        surprise = losses.connectionist(reading, batch.texts)
        # Without a text nothing is learned of how well it reads.
        heard = float(surprise.detach()) if any(batch.texts) else float(self.surprise)
        self._remember(together.average(heard))
        parts = {"ctc": config.ctc * surprise}
        if warps and self.reads and config.echo and progress >= config.echo_from:
            own = self._own_texts(batch)
            if any(own):
                parts["echo"] = config.ctc * config.echo * losses.connectionist(reading, own)
        if warps or not self.reads:
            return parts
        paths = paths_of(reading, batch.texts)
        drawn = self.model.characters(features, logits, paths)
        windows = self.model.windows(drawn)
        residual = ink - drawing.added(windows, len(ink), ink.shape[2])
        if config.pull:
            furthest = round(FURTHEST * self.model.config.height)
            shifts = drawing.better_shifts(windows, residual.detach() * batch.mask, furthest)
            parts["pull"] = config.pull * losses.pulled(drawn.middle[:, 0], shifts)
        parts["drawing"] = losses.squared(residual, batch.mask)
        parts["ink"] = config.ink * losses.ink_of_uses(
            self.model.drawn(drawn), drawn.strength, batch.mask
        )
        if progress < config.blur_until:
            parts["blurred"] = config.blur * losses.blurred(residual, batch.mask)
        return parts

    def _own_texts(self, batch: LineBatch) -> tuple[tuple[int, ...] | None, ...]:
        """What untranscribed lines say, as far as the model reads them surely; None of others."""
        bare = [n for n, text in enumerate(batch.texts) if text is None]
        if not bare:
            return ()
        self.model.eval()
        with torch.no_grad():
            paths = paths_of(self.model.read(batch.only(bare)), (None,) * len(bare))
        self.model.train()
        found: list[tuple[int, ...] | None] = [None] * len(batch.texts)
        for n, path in zip(bare, paths, strict=True):
            if len(path.symbols) and float(np.exp(path.log_probabilities).mean()) >= SURE:
                found[n] = tuple(path.symbols.tolist())
        return tuple(found)

    @property
    def reads(self) -> bool:
        """Whether reading is good enough that what it aligns is worth drawing."""
        return bool(self.surprise < READS)

    def _remember(self, surprise: float) -> None:
        """Keep the running mean of −log p(text) per symbol; once it reads, it is taken to read."""
        if not self.reads:
            self.surprise.lerp_(torch.tensor(surprise), REMEMBER)

    @torch.no_grad()
    def _keep_sprites(self, step: int) -> None:
        """Sprites are ink in [0, 1]; a space has none; every so often they are centred."""
        self.model.sprites.clamp_(0, 1)
        if self.model.space is not None:
            self.model.sprites[self.model.space] = 0
        if step % self.config.recentre == self.config.recentre - 1:
            self.model.recentre()

    def state(self) -> dict[str, Tensor]:
        """Everything that learning goes on from."""
        own = optimiser_state.state_of(self.model, self.optimiser)
        return {**own, "surprise": self.surprise}

    def take_up(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        optimiser_state.take_up(self.model, self.optimiser, tensors)
        self.surprise = tensors["surprise"].clone()


def rate_at(step: int, n_steps: int, config: LearningConfig) -> float:
    """Share of the highest rate: a linear warm-up, flat, then a cosine towards a fiftieth."""
    if step < config.warm_up:
        return (step + 1) / config.warm_up
    progress = step / n_steps
    if progress < config.flat:
        return 1.0
    fall = (progress - config.flat) / (1 - config.flat)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall))


def paths_of(reading: Reading, texts: tuple[tuple[int, ...] | None, ...]) -> list[CellPath]:
    """Where the symbols of each line stand: aligned with its text, or as read where it has none.

    A line whose text does not fit into its cells stands nowhere.
    """
    logs = reading.log_probabilities.detach().double().cpu().numpy()
    lines = [line[:n] for line, n in zip(logs, reading.n_cells.tolist(), strict=True)]
    fitting = [n for n, text in enumerate(texts) if text and n_cells_needed(text) <= len(lines[n])]
    aligned = forced_paths([lines[n] for n in fitting], [texts[n] or () for n in fitting])
    known = dict(zip(fitting, aligned, strict=True))
    nothing = CellPath(np.zeros(0, int), np.zeros(0, int), np.zeros(0), 0.0)
    return [
        known.get(n, best_path(line) if texts[n] is None else nothing)
        for n, line in enumerate(lines)
    ]
