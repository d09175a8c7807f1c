"""The default typewriter: a light reader, and sprites that are pixels.

    line -> encoder -> T cells -> which symbol (a connectionist reading)
                               -> where and how large its sprite is drawn
    text + reading -> forced alignment -> one cell a symbol -> sprites drawn there = the line

Against Siglidis et al. 2024 (Learnable Typewriter, Sec. 3.3): a sprite is drawn only where the
alignment puts its symbol, so nothing is mixed and a line costs a drawing for each character;
shifts and scales are bounded smoothly and differ by axis; sprites are ink alone, of the height of
a line, and centred, so that those of different runs can be laid over each other.

Legend: `b` lines of a batch, `H W` pixels, `T` cells, `K` symbols, `L` sprites of a symbol, `n`
characters drawn, `h w` pixels of a sprite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from typika.devices import half_precision
from typika.errors import ConfigError
from typika.typewriter import drawing
from typika.typewriter.alignment import CellPath
from typika.typewriter.batches import LineBatch, Reading
from typika.typewriter.redraws import Characters, Redrawn, Seen, flattened

QUERY = 64  # size of queries and keys; with both normalised a logit is at most √QUERY
CHANNELS = (16, 32, 64, 64, 96)
WIDTH = 128  # channels of a cell's feature
DILATIONS = (1,)  # cells between the taps of the context convolutions; more learn words by heart
STRENGTH = 0.2  # bound of the logarithm of a character's darkness
GLANCES = (0.0, 0.047, -0.047)  # shifts along y, of the height, that a line is read at; 0 first
LEAST_INK = 1.0  # pixels of ink below which a sprite is no letter yet and is not centred


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of a typewriter.

    kind:           of the model; "published" is another.
    height:         pixels that lines are scaled to, a multiple of 16.
    stride:         pixels between cells, 4 or 8 or 16; 0 chooses the widest under which fewer
                    than one line in a thousand has more symbols than cells can hold.
    sprite_width:   of a sprite, as a fraction of `height`.
    sprites:        L, forms that a symbol may take.
    shift:          bounds of a sprite's shift from its cell, of `height`, along x and y.
    log_scale:      bound of the logarithm of a sprite's scale, along each axis.
    """

    kind: Literal["typika"] = "typika"
    height: int = 64
    stride: int = 0
    sprite_width: float = 0.75
    sprites: int = 1
    shift: tuple[float, float] = (0.3, 0.15)
    log_scale: float = 0.25

    def __post_init__(self) -> None:
        if self.height < 16 or self.height % 16:
            raise ConfigError(f"model.height={self.height}: need a multiple of 16, at least 16")
        if self.stride not in (0, 4, 8, 16):
            raise ConfigError(f"model.stride={self.stride}: need 4, 8 or 16, or 0 to choose")
        if not 0.25 <= self.sprite_width <= 2:
            raise ConfigError(f"model.sprite_width={self.sprite_width}: need 0.25 to 2")
        if self.sprites < 1:
            raise ConfigError(f"model.sprites={self.sprites}: need at least one a symbol")
        if min(self.shift) < 0 or self.log_scale < 0:
            raise ConfigError("model.shift and model.log_scale: need bounds of at least 0")


class Encoder(nn.Module):
    """Ink image -> a feature of each cell: five convolutions, a full-height one, context."""

    def __init__(self, height: int, stride: int) -> None:
        super().__init__()
        third, fourth = {4: (1, 1), 8: (2, 1), 16: (2, 2)}[stride]  # columns a step
        steps = ((2, 2), (2, 2), (2, third), (1, fourth), (2, 1))
        layers: list[nn.Module] = []
        before = 1
        for channels, step in zip(CHANNELS, steps, strict=True):
            layers += _convolution(before, channels, (3, 3), step, (1, 1))
            before = channels
        layers += _convolution(before, WIDTH, (height // 16, 3), (1, 1), (0, 1))
        self.columns = nn.Sequential(*layers)
        self.context = nn.ModuleList(_Context(dilation) for dilation in DILATIONS)

    def forward(self, ink: Float[Tensor, "b H W"]) -> Float[Tensor, "b C T"]:
        """Features of the cells; cell t has its middle at pixel stride · (t + 1/2)."""
        features = self.columns(ink[:, None])[:, :, 0]
        for layer in self.context:
            features = layer(features)
        return features


def _convolution(
    before: int, after: int, kernel: tuple, step: tuple, padding: tuple
) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, kernel, stride=step, padding=padding, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]


class _Context(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(
            WIDTH, WIDTH, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, features: Float[Tensor, "b C T"]) -> Float[Tensor, "b C T"]:
        return features + functional.relu(self.norm(self.convolution(features)))


class Typewriter(nn.Module):
    """Reads lines, and draws them again with one sprite a character.

    `sprites` (K, L, h, w) are ink in [0, 1]. Where a symbol stands is its cell's middle on the
    line's middle row, plus its own `offset` (K, L, 2; pixels along x and y), plus what the model
    sees of this one; its log-scale is likewise its own `size` plus what the model sees.
    """

    def __init__(
        self, config: ModelConfig, n_symbols: int, *, space: int | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        if not config.stride:
            raise ConfigError("model.stride=0: choose the stride before the model is built")
        self.config, self.n_symbols, self.space = config, n_symbols, space
        self.encoder = Encoder(config.height, config.stride)
        self.query = nn.Linear(WIDTH, QUERY)
        self.keys = nn.Parameter(torch.empty(n_symbols * config.sprites + 1, QUERY))
        self.place = nn.Sequential(
            nn.Conv1d(WIDTH, WIDTH, 1), nn.ReLU(inplace=True), nn.Conv1d(WIDTH, 5, 1)
        )
        width = round(config.height * config.sprite_width / 2) * 2
        self.sprites = nn.Parameter(
            torch.full((n_symbols, config.sprites, config.height, width), 0.05)
        )
        self.register_buffer("offset", torch.zeros(n_symbols, config.sprites, 2))
        self.register_buffer("size", torch.zeros(n_symbols, config.sprites, 2))
        self.forms: tuple[int, ...] = ()  # of each symbol, its sprites in use; empty: all of them
        self.register_buffer("prior", None, persistent=False)
        self.prior: Tensor | None
        self.offset: Tensor
        self.size: Tensor
        self._begin(generator)

    def _begin(self, generator: torch.Generator) -> None:
        """Every weight from the generator; characters begin in the middle of their cell."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.keys, generator=generator)
        nn.init.zeros_(self.place[-1].weight)  # type: ignore[arg-type]
        with torch.no_grad():
            if self.config.sprites > 1:  # equal sprites would stay equal
                self.sprites.add_(0.02 * torch.rand(self.sprites.shape, generator=generator))
            if self.space is not None:
                self.sprites[self.space] = 0

    def use(self, forms: Sequence[int]) -> None:
        """Let each symbol have so many sprites, its first ones, and no others.

        Raises ConfigError unless there are 1 to L of every symbol.
        """
        if len(forms) != self.n_symbols or not all(1 <= n <= self.config.sprites for n in forms):
            raise ConfigError(
                f"forms={tuple(forms)}: need 1 to {self.config.sprites} for each of "
                f"{self.n_symbols} symbols"
            )
        self.forms = tuple(forms)
        self.prior = _prior(self.forms, self.config.sprites).to(self.sprites.device)

    @property
    def height(self) -> int:
        """Pixels of a line."""
        return self.config.height

    @property
    def stride(self) -> int:
        """Pixels between cells."""
        return self.config.stride

    @property
    def letters(self) -> Float[Tensor, "K L h w"]:
        """The sprites, as data."""
        return self.sprites.detach()

    def features(self, ink: Float[Tensor, "b H W"]) -> Float[Tensor, "b C T"]:
        """Features of cells, the width padded with paper to whole cells."""
        padded = functional.pad(ink, (0, -ink.shape[2] % self.stride))
        if not self.training:
            return self.encoder(padded)
        with half_precision(ink.device):
            return self.encoder(padded).to(ink.dtype)

    def logits(self, features: Float[Tensor, "b C T"]) -> Float[Tensor, "b T KL1"]:
        """Query times keys, both normalised to length √QUERY, over √QUERY.

        Where symbols have different numbers of forms, each less the logarithm of the number of its
        symbol, so that a symbol is not likelier for having more; −inf for sprites not in use.
        """
        query = functional.layer_norm(self.query(features.transpose(1, 2)), (QUERY,))
        keys = functional.layer_norm(self.keys, (QUERY,))
        logits = query @ keys.T / QUERY**0.5
        return logits if self.prior is None else logits + self.prior

    def reading(self, logits: Float[Tensor, "b T KL1"], widths: Int[Tensor, " b"]) -> Reading:
        """Probabilities of symbols: those of their L sprites summed."""
        logs = logits.log_softmax(2)
        symbols = self._by_symbol(logs[..., :-1]).logsumexp(3)
        n_cells = (widths + self.stride - 1) // self.stride
        return Reading(torch.cat([symbols, logs[..., -1:]], 2), n_cells)

    def _by_symbol(self, values: Float[Tensor, "*n KL"]) -> Float[Tensor, "*n K L"]:
        return values.reshape(*values.shape[:-1], self.n_symbols, self.config.sprites)

    def read(self, batch: LineBatch) -> Reading:
        """What stands in every cell, without drawing anything."""
        return self.see(batch).reading

    def see(self, batch: LineBatch) -> Seen:
        """What `read` gives, and what drawing goes on from.

        Lines are read as they lie and a little higher and lower, and what stands in a cell is the
        geometric mean of the three; they are drawn from the first alone.
        """
        ink = batch.ink_image
        features = self.features(torch.cat([_lowered(ink, share) for share in GLANCES]))
        logits = self.logits(features)
        reading = self.reading(logits, batch.widths.repeat(len(GLANCES)))
        glances = torch.stack(reading.log_probabilities.chunk(len(GLANCES)))
        own = Reading(glances.mean(0).log_softmax(2), reading.n_cells[: len(ink)])
        return Seen(batch, features[: len(ink)], logits[: len(ink)], own)

    def placed(self, seen: Seen, paths: Sequence[CellPath]) -> Characters:
        """As `characters`, for lines that were seen."""
        return self.characters(seen.features, seen.logits, paths)

    def redrawn(self, seen: Seen, characters: Characters) -> Redrawn:
        """The union of the characters, in the colours of their line."""
        n, width = len(seen.batch.image), seen.batch.image.shape[3]
        ink = self.draw(characters, n, width, united=True)
        return Redrawn(ink, seen.batch.coloured(ink))

    def characters(
        self,
        features: Float[Tensor, "b C T"],
        logits: Float[Tensor, "b T KL1"],
        paths: Sequence[CellPath],
    ) -> Characters:
        """The characters of one path a line, with the places that the model gives them.

        Of L sprites of a symbol, training mixes them by their probability and evaluation takes
        the most probable.
        """
        line, cell, symbol = flattened(paths, features.device)
        raw = self.place(features)[line, :, cell]
        own = self._by_symbol(logits[line, cell, :-1])
        share = own[torch.arange(len(symbol)), symbol].softmax(1)
        if not self.training:
            share = functional.one_hot(share.argmax(1), share.shape[1]).to(share.dtype)
        bounds = raw.new_tensor(self.config.shift) * self.config.height
        middle = torch.stack([(cell + 0.5) * self.stride, torch.zeros_like(cell)], dim=1)
        return Characters(
            line=line,
            cell=cell,
            symbol=symbol,
            middle=middle + bounds * raw[:, :2].tanh() + _mixed(share, self.offset[symbol]),
            log_scale=self.config.log_scale * raw[:, 2:4].tanh()
            + _mixed(share, self.size[symbol]),
            strength=(STRENGTH * raw[:, 4].tanh()).exp(),
            share=share,
        )

    def draw(
        self, characters: Characters, n_lines: int, width: int, *, united: bool = False
    ) -> Float[Tensor, "b H W"]:
        """The ink image of lines of `width` pixels: the sum of the sprites, or their union."""
        windows = self.windows(characters)
        return (drawing.united if united else drawing.added)(windows, n_lines, width)

    def windows(self, characters: Characters) -> drawing.Windows:
        """Each character drawn by itself; spaces too, without ink."""
        return drawing.draw(
            self.drawn(characters) * characters.strength[:, None, None],
            characters.middle,
            characters.log_scale,
            characters.line,
            height=self.config.height,
            reach=math.exp(self.config.log_scale),
        )

    def drawn(self, characters: Characters) -> Float[Tensor, "n h w"]:
        """The sprite of each character, not yet placed."""
        own = self.sprites[characters.symbol]
        if own.shape[1] == 1:
            return own[:, 0]
        return torch.einsum("nl,nlhw->nhw", characters.share, own)

    @torch.no_grad()
    def recentre(self) -> None:
        """Move the ink of every sprite to its middle column by whole pixels, into its offset.

        What is drawn stays the same: this fixes the freedom between where a sprite's ink lies
        and where the sprite is placed.
        """
        width = self.sprites.shape[3]
        column = torch.arange(width, device=self.sprites.device) + 0.5 - width / 2
        mass = self.sprites.sum((2, 3))
        away = ((self.sprites.sum(2) * column).sum(2) / mass.clamp_min(LEAST_INK)).round().long()
        away = torch.where(mass > LEAST_INK, away, 0)
        source = torch.arange(width, device=away.device) + away[:, :, None]
        inside = (source >= 0) & (source < width)
        source = source.clamp(0, width - 1)[:, :, None].expand_as(self.sprites)
        self.sprites.copy_(self.sprites.gather(3, source) * inside[:, :, None])
        self.offset[..., 0] += away


def _lowered(ink: Float[Tensor, "b H W"], share: float) -> Float[Tensor, "b H W"]:
    """Lines moved down by whole pixels, a share of their height, with paper above; or up."""
    down = round(share * ink.shape[1])
    return functional.pad(ink, (0, 0, down, -down))


def _prior(forms: tuple[int, ...], n_sprites: int) -> Float[Tensor, " KL1"]:
    """−log of the forms of each sprite's symbol, −inf where it is not in use, 0 for the blank."""
    count = torch.tensor(forms)[:, None]
    used = torch.arange(n_sprites) < count
    prior = torch.where(used, -count.to(torch.float32).log(), -torch.inf)
    return torch.cat([prior.flatten(), torch.zeros(1)])


def _mixed(share: Float[Tensor, "n L"], own: Float[Tensor, "n L 2"]) -> Float[Tensor, "n 2"]:
    return (share[:, :, None] * own).sum(1)
