"""Sprites from lines alone, without a network and without a transcription. Pure.

More sprites than there can be characters are made from groups of like pieces of ink. Then, round
after round: decode the lines; drop the sprites that others replace at little loss (doubles, pairs
of letters, pieces of letters); draw the others again, as medians of the places that they explain
well. Hard re-estimation alone makes things worse (spec 3b): what it needs is a start with every
character in it, medians instead of means, and a measure of loss that counts in units of each
sprite's own usual error, so that a comma is not dropped for a full stop because both are small.

Legend: `K` sprites, `q` places of a sprite, `H w` pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.errors import ConfigError
from typika.typewriter.components import Inks, first_sprites
from typika.typewriter.image_decoding import (
    DecodedLine,
    DecodingConfig,
    Exclusion,
    blurred,
    decode,
    decode_with_exclusions,
    errors,
    rendered,
)
from typika.typewriter.sheet import Drawing, SpriteSheet, sheet_of

_USUAL = 0.1  # squared ink added to a sprite's usual error: no print is without noise
_BORDER = 3  # columns by which a drawing may grow to either side in a round
_MOST = 150  # places that a drawing is the median of
_NUDGE = 3  # columns by which two sprites may be out of step and alike


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How many sprites, and how they are found."""

    n_sprites: int | None = None  # at most; None: as many as are distinct
    n_first: int = 100  # groups of pieces to start from: two to three for each character
    distinct: float = 1.0  # loss, in usual errors, below which a sprite is no character of its own
    fewest: int = 3  # places of a sprite
    dropped: float = 0.15  # most of the sprites that go in one round ...
    forced: float = 0.06  # ... and where all are distinct, but too many
    settling: int = 2  # rounds after the last was dropped
    kept: float = 0.7  # share of a sprite's places, the best explained, that it is drawn from

    def __post_init__(self) -> None:
        if self.n_sprites is not None and not 1 <= self.n_sprites <= self.n_first:
            raise ConfigError(
                f"n_sprites={self.n_sprites}: need 1 to n_first={self.n_first} sprites"
            )
        if not 0 < self.dropped < 1 or not 0 < self.kept <= 1:
            raise ConfigError(
                f"dropped={self.dropped}, kept={self.kept}: need shares between 0 and 1"
            )


@dataclass(frozen=True)
class Round:
    """What a round started from.

    n_sprites: on the sheet; n_set: on all lines; error: squared, of all places.
    """

    n_sprites: int
    n_set: int
    error: float


@dataclass(frozen=True)
class FoundSprites:
    """Sprites, the lines as sequences of them, and the rounds that led there."""

    sheet: SpriteSheet
    lines: tuple[DecodedLine, ...]
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Usage:
    """How each sprite is used.

    count: places; usual: median squared error there; error, more: medians of what would change
    without it (`Exclusion`).
    """

    count: Int[ndarray, " K"]
    usual: Float[ndarray, " K"]
    error: Float[ndarray, " K"]
    more: Float[ndarray, " K"]


def find_sprites(
    inks: Inks,
    config: SearchConfig,
    decoding: DecodingConfig,
    *,
    seed: int,
    tell: Callable[[Round], None] = lambda _: None,
) -> FoundSprites:
    """Sprites that redraw the lines. inks: level lines of one height; tell: is told each round."""
    sheet = first_sprites(inks, config.n_first, seed)
    rounds: list[Round] = []
    settled = 0
    while settled < config.settling:
        weighed = decode_with_exclusions(inks, sheet, decoding)
        lines = [line for line, _ in weighed]
        wrong = [errors(ink, line, sheet, decoding) for ink, line in zip(inks, lines, strict=True)]
        rounds.append(Round(len(sheet), sum(map(len, lines)), float(sum(map(np.sum, wrong)))))
        tell(rounds[-1])
        usage = usage_of(len(sheet), weighed, wrong)
        dropped = redundant(sheet, usage, config, decoding)
        settled += not dropped
        drawings = redrawn(inks, lines, wrong, sheet, config, seed=(seed, len(rounds)))
        sheet = sheet_of([drawings[one] for one in range(len(sheet)) if one not in dropped])
    return FoundSprites(sheet, tuple(decode(inks, sheet, decoding)), tuple(rounds))


def usage_of(
    n_sprites: int,
    weighed: Sequence[tuple[DecodedLine, Exclusion]],
    wrong: Sequence[Float[ndarray, " _"]],
) -> Usage:
    """How each of the sprites is used on decoded lines; wrong: `errors` of each line."""
    sprites = np.concatenate([line.sprites for line, _ in weighed])
    columns = (
        np.concatenate(list(wrong)),
        np.concatenate([exclusion.error for _, exclusion in weighed]),
        np.concatenate([exclusion.more for _, exclusion in weighed]),
    )
    medians = np.zeros((3, n_sprites))
    for one in np.unique(sprites):
        medians[:, one] = [np.median(column[sprites == one]) for column in columns]
    return Usage(np.bincount(sprites, minlength=n_sprites), *medians)


def loss(usage: Usage, config: SearchConfig, decoding: DecodingConfig) -> Float[ndarray, " K"]:
    """What dropping each sprite would cost at each of its places, in its usual errors.

    A sprite whose places would take more sprites without it saves their cost, which counts: for m
    an n and a stroke could stand. Sprites of too few places cost nothing.
    """
    worth = usage.error + decoding.cost * usage.more
    return np.where(usage.count >= config.fewest, worth / (usage.usual + _USUAL), -np.inf)


def redundant(
    sheet: SpriteSheet, usage: Usage, config: SearchConfig, decoding: DecodingConfig
) -> set[int]:
    """The sprites to drop in this round: those of least loss, but no two that are alike.

    The one of two that stays has then to show, in the next round, what it is worth alone.
    """
    losses = loss(usage, config, decoding)
    idle = set(np.flatnonzero(usage.count < config.fewest).tolist())
    alike = likeness(sheet, decoding.blur)
    np.fill_diagonal(alike, -1)
    dropped, needed = set(idle), set()
    for one in np.argsort(losses, kind="stable").tolist():
        distinct = bool(losses[one] >= config.distinct)
        share = config.forced if distinct else config.dropped
        if len(dropped - idle) >= max(1, int(share * len(sheet))):
            break
        if distinct if config.n_sprites is None else len(sheet) - len(dropped) <= config.n_sprites:
            break
        if one not in needed and one not in dropped:
            dropped.add(one)
            needed.add(int(alike[one].argmax()))
    return dropped if len(dropped) < len(sheet) else set()


def likeness(sheet: SpriteSheet, blur: float) -> Float[ndarray, "K K"]:
    """Cosine of any two sprites, 0 to 1, laid over each other as well as they can be."""
    height, width = sheet.ink.shape[1:]
    frames = np.zeros((len(sheet), height, width + 2 * _NUDGE))
    for one, ink in enumerate(blurred(sheet.ink, blur)):
        start = _NUDGE + (width - int(sheet.widths[one])) // 2
        own = ink[:, : sheet.widths[one]]
        frames[one, :, start : start + own.shape[1]] = own
    flat = frames.reshape(len(sheet), -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    best = np.zeros((len(sheet), len(sheet)))
    for down in (-1, 0, 1):
        for right in range(-_NUDGE, _NUDGE + 1):
            moved = np.roll(flat.reshape(frames.shape), (down, right), axis=(1, 2))
            best = np.maximum(best, flat @ moved.reshape(len(sheet), -1).T)
    return np.maximum(best, best.T)


def redrawn(
    inks: Inks,
    lines: Sequence[DecodedLine],
    wrong: Sequence[Float[ndarray, " _"]],
    sheet: SpriteSheet,
    config: SearchConfig,
    *,
    seed: int | Sequence[int],
) -> list[Float[ndarray, "H _"]]:
    """Each sprite as the median of the ink at its places, less that of its neighbours.

    Only the places that it explains best count, so that what it was forced upon does not. A
    sprite that is nowhere stays as it is.
    """
    remainders = [
        ink - rendered(line, sheet, ink.shape) for ink, line in zip(inks, lines, strict=True)
    ]
    places: list[list[tuple[float, int, int]]] = [[] for _ in range(len(sheet))]
    for number, (line, error) in enumerate(zip(lines, wrong, strict=True)):
        for turn, sprite in enumerate(line.sprites.tolist()):
            places[sprite].append((float(error[turn]), number, turn))
    rng = np.random.default_rng(seed)
    drawings = []
    for sprite, own in enumerate(places):
        if not own:
            drawings.append(sheet.drawing(sprite))
            continue
        best = sorted(own)[: max(3, int(np.ceil(config.kept * len(own))))]
        if len(best) > _MOST:
            best = [best[one] for one in np.sort(rng.choice(len(best), _MOST, replace=False))]
        drawing = sheet.drawing(sprite)
        seen = [_seen(remainders[line], lines[line], turn, drawing) for _, line, turn in best]
        # So that a sprite is as black as it is printed, and its amplitudes lie around 1.
        usual = np.median([lines[line].amplitude[turn] for _, line, turn in best])
        drawings.append(np.clip(usual * np.median(seen, axis=0), 0, 1))
    return drawings


def _seen(
    remainder: Float[ndarray, "H W"], line: DecodedLine, turn: int, drawing: Drawing
) -> Float[ndarray, "H _"]:
    """The ink at a place as the sprite itself would have to be drawn, with a border."""
    height, width = drawing.shape
    down, left = int(line.down[turn]), int(line.left[turn])
    amplitude = float(line.amplitude[turn])
    room = np.pad(remainder, ((abs(down), abs(down)), (_BORDER, _BORDER + width)))
    rows = slice(abs(down) + down, abs(down) + down + height)
    seen = room[rows, left : left + width + 2 * _BORDER].copy()
    seen[:, _BORDER : _BORDER + width] += amplitude * drawing
    return seen / amplitude
