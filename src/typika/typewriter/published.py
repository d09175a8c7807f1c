"""The Learnable Typewriter as published: lines -> sprites that redraw them, by one cell at a time.

x̂ = layers over a background, layer t the sprite that cell t chose, placed and coloured by cell t.
What training draws is the mixture of all sprites; what is looked at later, the likeliest one.

Legend: `b` lines, `t` cells, `d` channels, `k` sprites, `s` sprites and a blank, `h w` sprite
pixels, `H W` line pixels, `m` pixels a window is wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor, nn

from typika.devices import half_precision
from typika.errors import DataError
from typika.typewriter.alignment import CellPath
from typika.typewriter.batches import LineBatch, Reading
from typika.typewriter.compose import Windows, composite, warp
from typika.typewriter.encoders import ResidualEncoder
from typika.typewriter.generators import sprite_bank
from typika.typewriter.published_config import STRIDE, PublishedConfig
from typika.typewriter.published_losses import (
    ctc_loss,
    frequency_loss,
    infeasible,
    overlap_loss,
    reconstruction_loss,
    sparsity_loss,
)
from typika.typewriter.published_parts import (
    Background,
    Features,
    Placing,
    Probabilities,
    Selection,
)
from typika.typewriter.redraws import Characters, Redrawn, Seen, flattened

INK = 0.5  # of its maximum: where a drawn sprite is ink


@dataclass(frozen=True)
class Layers:
    """What the cells of some lines draw, before it is put on top of each other."""

    alpha: Float[Tensor, "b t H m"]
    colour: Float[Tensor, "b t 3"]
    background: Float[Tensor, "b 3 H W"]


class PublishedTypewriter(nn.Module):
    """The published model.

    `losses` is what training calls; all else looks at the model as it is in evaluation, without
    gradients, and leaves its mode as it was.
    """

    def __init__(
        self, config: PublishedConfig, n_characters: int, *, space: int | None = None
    ) -> None:
        """n_characters: K, which are the symbols 0 to K − 1; the blank is K. space: one of them.

        Parameters start from torch's own generator: seed it to repeat them.
        """
        super().__init__()
        self.config, self.n_characters, self.space = config, n_characters, space
        self.windows = Windows(stride=STRIDE, width=config.height, centred=config.centred_windows)
        n_sprites = n_characters * config.sprites_per_character
        self.encoder = ResidualEncoder(config.height, config.encoder_blocks)
        self.bank = sprite_bank(config.generator, n_sprites, config.sprite)
        self.selection = Selection(config, n_sprites, self.bank.codes.shape[1])
        self.placing = Placing(config, n_sprites)
        self.background = Background()

    def losses(
        self, batch: LineBatch, progress: float, step: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The loss of a training step as "total", and its parts before they are weighed.

        progress: share of the run that is done. "infeasible" is no loss: the share of the
        transcribed lines whose text needs more cells than the line has.
        """
        config = self.config
        if config.crop is not None and not any(text is not None for text in batch.texts):
            batch = random_crops(batch, round(config.crop * config.height), generator)
        batch = self._padded(batch)
        if config.warming(progress, step):
            # Nothing else may learn, or sprites would learn to be paper.
            with torch.no_grad():
                features = self._features(batch)
            loss = reconstruction_loss(self._background(features, batch), batch)
            return {"total": loss, "reconstruction": loss}
        features = self._features(batch)
        log_probabilities = self.selection(features, self.bank.codes)
        layers = self._layers(batch, features, self._chosen(log_probabilities), progress)
        order = self._order(batch, features.shape[1], generator)
        drawn = composite(layers.alpha, layers.colour, layers.background, self.windows, order)
        parts = self._parts(batch, self._reading(batch, log_probabilities), layers, drawn)
        return {"total": self._total(parts), **parts}

    def _parts(
        self, batch: LineBatch, reading: Reading, layers: Layers, drawn: Tensor
    ) -> dict[str, Tensor]:
        """Losses that count under this configuration, not weighed."""
        config, parts = self.config, {"reconstruction": reconstruction_loss(drawn, batch)}
        n_known = sum(text is not None for text in batch.texts)
        if n_known:
            parts["ctc"] = ctc_loss(reading, batch.texts)
            share = len(infeasible(reading.n_cells, batch.texts)) / n_known
            parts["infeasible"] = torch.tensor(share)
        if config.overlap_weight:
            width = batch.image.shape[3]
            parts["overlap"] = overlap_loss(layers.alpha, self.windows, width)
        if config.frequency_weight:
            parts["frequency"] = frequency_loss(reading, config.least_frequency)
        if config.sparsity_weight:
            parts["sparsity"] = sparsity_loss(reading)
        return parts

    def _total(self, parts: dict[str, Tensor]) -> Tensor:
        weights = {
            "reconstruction": 1.0, "ctc": self.config.ctc_weight,
            "overlap": self.config.overlap_weight, "frequency": self.config.frequency_weight,
            "sparsity": self.config.sparsity_weight,
        }  # fmt: skip
        weighed = [weights[name] * part for name, part in parts.items() if name in weights]
        return torch.stack(weighed).sum()

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW at a constant rate; weights decay in the encoder and the selection only."""
        decayed = [*self.encoder.parameters(), *self.selection.parameters()]
        others = [
            *self.bank.parameters(), *self.placing.parameters(), *self.background.parameters()
        ]  # fmt: skip
        groups = [
            {"params": decayed, "weight_decay": self.config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate)

    def after_step(self, step: int) -> None:  # noqa: ARG002
        """Bring pixels that are parameters back into [0, 1]."""
        self.bank.project()

    @property
    def height(self) -> int:
        """Pixels of a line."""
        return self.config.height

    @property
    def stride(self) -> int:
        """Pixels from one cell to the next."""
        return STRIDE

    @property
    def forms(self) -> tuple[int, ...]:
        """Every sprite is in use."""
        return ()

    @property
    def letters(self) -> Float[Tensor, "K L h w"]:
        """The sprites by character and allograph."""
        sprites = self.sprites()
        return sprites.view(self.n_characters, -1, *sprites.shape[1:])

    def read(self, batch: LineBatch) -> Reading:
        """Which characters the cells are likely to show; nothing is drawn."""
        return self.see(batch).reading

    def see(self, batch: LineBatch) -> Seen:
        """What `read` gives, and what drawing goes on from: features and log-probabilities."""
        shown = self._padded(batch)
        with evaluating(self):
            features = self._features(shown)
            logits = self.selection(features, self.bank.codes)
            return Seen(batch, features, logits, self._reading(shown, logits))

    def placed(self, seen: Seen, paths: Sequence[CellPath]) -> Characters:
        """The characters of one path a line, where and as large as their cells draw them."""
        line, cell, symbol = flattened(paths, seen.features.device)
        with evaluating(self):
            places = self.placing.places(seen.features[line, cell][None]).flat()
        share = functional.one_hot(
            self._form(seen.logits[line, cell], symbol), self.config.sprites_per_character
        )
        middle = self.windows.start(cell) + self.windows.width / 2 + places.shift_x
        return Characters(
            line=line, cell=cell, symbol=symbol,
            middle=torch.stack([middle, places.shift_y], dim=1),
            log_scale=torch.stack([places.scale_x, places.scale_y], dim=1).log(),
            strength=torch.ones_like(middle),
            share=share.to(middle.dtype),
        )  # fmt: skip

    def drawn(self, characters: Characters) -> Float[Tensor, "n h w"]:
        """The sprite of each character, not yet placed."""
        return self.letters[characters.symbol, characters.share.argmax(1)]

    def redrawn(self, seen: Seen, characters: Characters) -> Redrawn:  # noqa: ARG002
        """The likeliest sprite of every cell, each over its left neighbour, whatever is known."""
        with evaluating(self):
            image = self.composed(seen)
        return Redrawn(replace(seen.batch, image=image).ink_image, image)

    def composed(self, seen: Seen) -> Float[Tensor, "b 3 H W"]:
        """The lines redrawn as `redrawn` does, in whatever mode, with gradients."""
        width, batch = seen.batch.image.shape[3], self._padded(seen.batch)
        layers = self._layers(batch, seen.features, likeliest(seen.logits), 1.0)
        drawn = composite(layers.alpha, layers.colour, layers.background, self.windows)
        return drawn[..., :width]

    def sprites(self) -> Float[Tensor, "k h w"]:
        """All sprites in [0, 1]; that of character c and allograph j is number c·L + j."""
        with evaluating(self):
            sprites: Tensor = self.bank()
            return sprites

    def reconstruct(self, batch: LineBatch) -> Float[Tensor, "b 3 H W"]:
        """The lines redrawn: the likeliest sprites, each over its left neighbour."""
        seen = self.see(batch)
        return self.redrawn(seen, self.placed(seen, ())).image

    def boxes(
        self, batch: LineBatch, cells: Sequence[tuple[int, int, int]]
    ) -> Float[Tensor, "n 4"]:
        """Left, top, right and bottom of ink in pixels of the line, for (line, cell, symbol).

        Ink is where the drawn sprite has half of its maximum or more. The box of a sprite that
        leaves its window is cut there; one that is not seen at all has a box without extent.
        """
        batch = self._padded(batch)
        found = torch.zeros(len(cells), 4)
        if not cells:
            return found
        line, cell, symbol = torch.tensor(cells, device=batch.image.device).T
        with evaluating(self):
            features = self._features(batch)
            log_probabilities = self.selection(features, self.bank.codes)[line, cell]
            n_forms = self.config.sprites_per_character
            form = self._form(log_probabilities, symbol)
            places = self.placing.places(features[line, cell][None]).flat()
            drawn = warp(self.bank()[symbol * n_forms + form], places, self._window)
            return ink_boxes(drawn, self.windows.start(cell))

    def _form(
        self, log_probabilities: Float[Tensor, "n s"], symbol: Int[Tensor, " n"]
    ) -> Int[Tensor, " n"]:
        """The likeliest allograph of each character at its cell."""
        n_forms = self.config.sprites_per_character
        forms = log_probabilities[:, :-1].reshape(len(symbol), self.n_characters, n_forms)
        return forms[torch.arange(len(symbol), device=symbol.device), symbol].argmax(dim=1)

    def _features(self, batch: LineBatch) -> Features:
        if not self.training:
            found: Tensor = self.encoder(batch.image)
            return found
        with half_precision(batch.image.device):
            return self.encoder(batch.image).to(batch.image.dtype)

    def _padded(self, batch: LineBatch) -> LineBatch:
        """Lines as the encoder reads them, at least two heights wide."""
        height = batch.image.shape[2]
        if height != self.config.height:
            raise DataError(
                f"lines {height} pixels high: the model reads lines of {self.config.height}; "
                "resize them, or choose another height"
            )
        return padded(batch, 2 * height)

    @property
    def _window(self) -> tuple[int, int]:
        return self.config.height, self.windows.width

    def _chosen(self, log_probabilities: Probabilities) -> Probabilities:
        """How much of each sprite a cell draws while it learns."""
        mixture = log_probabilities.exp()
        if self.config.selection == "mixture":
            return mixture
        return likeliest(log_probabilities) + mixture - mixture.detach()

    def _layers(
        self, batch: LineBatch, features: Features, chosen: Probabilities, progress: float
    ) -> Layers:
        """Mix sprites, Σ_k p_k s_k, then place and colour them."""
        b, t, _ = features.shape
        sprites = self.bank.with_blank()
        mixed = (chosen.flatten(0, 1) @ sprites.flatten(1)).view(b * t, *self.config.sprite)
        places = self.placing.places(features, free=progress >= self.config.shifts_from)
        alpha = warp(mixed, places.flat(), self._window)
        return Layers(
            alpha=alpha.view(b, t, *self._window),
            colour=self.placing.colours(
                features, chosen, free=progress >= self.config.colours_from
            ),
            background=self._background(features, batch),
        )

    def _background(self, features: Features, batch: LineBatch) -> Float[Tensor, "b 3 H W"]:
        drawn: Tensor = self.background(features, (batch.image.shape[2], batch.image.shape[3]))
        return drawn

    def _order(
        self, batch: LineBatch, n_cells: int, generator: torch.Generator
    ) -> Float[Tensor, "b t"]:
        """A random order of the layers, against overfitting (Sec. 3.3.1)."""
        n_orders = 1 if self.config.layer_order == "batch" else len(batch.image)
        priority = torch.rand(n_orders, n_cells, generator=generator, device=generator.device)
        return priority.to(batch.image.device).expand(len(batch.image), -1)

    def _reading(self, batch: LineBatch, log_probabilities: Probabilities) -> Reading:
        """Probabilities of characters; cells count as far as their windows begin in the line."""
        b, t, _ = log_probabilities.shape
        forms = log_probabilities[..., :-1].reshape(b, t, self.n_characters, -1)
        n_cells = (batch.widths + self.windows.lead) // STRIDE
        return Reading(
            torch.cat([forms.logsumexp(dim=3), log_probabilities[..., -1:]], dim=2),
            n_cells.clamp(1, t),
        )


def likeliest(log_probabilities: Probabilities) -> Probabilities:
    """1 for the likeliest sprite or blank of each cell, 0 for the others."""
    best = log_probabilities.argmax(dim=2)
    return functional.one_hot(best, log_probabilities.shape[2]).to(log_probabilities.dtype)


def ink_boxes(
    drawn: Float[Tensor, "n H m"], start: Float[Tensor, " n"] | Tensor
) -> Float[Tensor, "n 4"]:
    """Left, top, right and bottom of each window's ink; `start`: its first column in the line."""
    ink = (drawn >= INK * drawn.amax(dim=(1, 2), keepdim=True)) & (drawn > 0)

    def extent(there: Tensor) -> tuple[Tensor, Tensor]:
        # From the first to after the last; both in the middle where there is none.
        count, none = there.shape[1], ~there.any(dim=1)
        first = there.int().argmax(dim=1).masked_fill(none, count // 2)
        last = count - there.flip(1).int().argmax(dim=1)
        return first.float(), last.masked_fill(none, count // 2).float()

    left, right = extent(ink.any(dim=1))
    top, bottom = extent(ink.any(dim=2))
    return torch.stack([left + start, top, right + start, bottom], dim=1)


def padded(batch: LineBatch, width: int) -> LineBatch:
    """Lines at least `width` pixels wide, with white that counts for nothing on the right."""
    missing = max(width - batch.image.shape[3], 0)
    image = functional.pad(batch.image, (0, missing), value=1.0)
    return replace(batch, image=image, mask=functional.pad(batch.mask, (0, missing)))


def random_crops(batch: LineBatch, width: int, generator: torch.Generator) -> LineBatch:
    """A random piece `width` pixels wide of every line; shorter lines stay whole, padded."""
    batch = padded(batch, width)
    draw = torch.rand(len(batch.image), generator=generator, device=generator.device)
    room = (batch.widths - width + 1).clamp_min(1)
    start = (draw.to(batch.widths.device) * room).long()
    column = start[:, None] + torch.arange(width, device=start.device)
    size = batch.image.shape[1:3]
    return replace(
        batch,
        image=batch.image.gather(3, column[:, None, None].expand(-1, *size, -1)),
        mask=batch.mask.gather(2, column[:, None].expand(-1, size[1], -1)),
        widths=batch.widths.clamp_max(width),
        texts=(None,) * len(column),
    )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Look at a module as it is in evaluation, without gradients; then it is as it was."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)
