"""Reading lines by their picture alone: which sprites, where, redraw a line best. Pure.

No training and no transcription: a line is a sequence of sprites at whole columns, each moved up
or down by a few rows and inked more or less, and the cheapest sequence is found by dynamic
programming (spec 3b). The work is linear in the columns times the number of sprites.

```
lines = decode(inks, sheet, DecodingConfig())
lines[0].sprites, boxes(lines[0], sheet)
```

Legend: `n` sprites set on a line, `K` sprites of the sheet, `H W` pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import ndimage

from typika.errors import ConfigError
from typika.typewriter import _lattice
from typika.typewriter.components import Ink, Inks
from typika.typewriter.sheet import SpriteSheet

_BATCH = 24  # lines that are decoded together
_ROOM = 4  # columns right of a line, where a sprite that it cuts may end


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """What a sprite may do, and what it costs.

    The cost is what keeps a letter from being put together of strokes; squared ink, as the error
    is: a letter of 20 pixels' height has 40 to 80.
    """

    blur: float = 0.7  # pixels; of ink and sprites, as positions are whole pixels
    cost: float = 4.0  # squared ink a sprite must explain to be set
    furthest: int = 2  # rows up or down
    amplitudes: tuple[float, float] = (0.75, 1.3)  # least and most ink, over the sprite's own

    def __post_init__(self) -> None:
        low, high = self.amplitudes
        if self.blur < 0 or self.cost < 0 or self.furthest < 0:
            raise ConfigError(
                f"blur={self.blur}, cost={self.cost}, furthest={self.furthest}: need 0 or more"
            )
        if not 0 < low <= 1 <= high:
            raise ConfigError(f"amplitudes={self.amplitudes}: need 0 < least <= 1 <= most")


@dataclass(frozen=True)
class DecodedLine:
    """A line as a sequence of sprites, from left to right.

    sprites: which; left: column of their first; down: rows below their own; amplitude: of their
    ink; gain: squared ink explained; explained: the share of the squared ink of their columns that
    this is, 0 to 1, which serves as a confidence.
    """

    sprites: Int[ndarray, " n"]
    left: Int[ndarray, " n"]
    down: Int[ndarray, " n"]
    amplitude: Float[ndarray, " n"]
    gain: Float[ndarray, " n"]
    explained: Float[ndarray, " n"]

    def __len__(self) -> int:
        return len(self.sprites)


@dataclass(frozen=True)
class Exclusion:
    """What would change if a sprite might not stand where it does, for each one on a line.

    error: by how much the squared error would grow, which may be negative where several sprites
    fit better than the one that saves their cost; more: how many more sprites there would be.
    """

    error: Float[ndarray, " n"]
    more: Int[ndarray, " n"]


def decode(inks: Inks, sheet: SpriteSheet, config: DecodingConfig) -> list[DecodedLine]:
    """The sprites that redraw each line best. inks: level lines, as high as the sheet."""
    answer: dict[int, DecodedLine] = {}
    for places, images, found, lattice in _batches(inks, sheet, config):
        for row, place in enumerate(places):
            way = _lattice.best_way(lattice, row)
            answer[place] = _read(way, row, images, found, sheet)
    return [answer[place] for place in range(len(inks))]


def decode_with_exclusions(
    inks: Inks, sheet: SpriteSheet, config: DecodingConfig
) -> list[tuple[DecodedLine, Exclusion]]:
    """The same, and what each sprite is worth at its place."""
    answer: dict[int, tuple[DecodedLine, Exclusion]] = {}
    for places, images, found, lattice in _batches(inks, sheet, config):
        ways = [_lattice.best_way(lattice, row) for row in range(len(places))]
        worth = _lattice.without(lattice, ways, config.cost)
        for row, place in enumerate(places):
            line = _read(ways[row], row, images, found, sheet)
            answer[place] = (line, Exclusion(*worth[row]))
    return [answer[place] for place in range(len(inks))]


def boxes(line: DecodedLine, sheet: SpriteSheet) -> Float[ndarray, "n 4"]:
    """Left, top, right, bottom of the ink of each sprite of a line, in its pixels."""
    own = np.array([sheet.box(int(sprite)) for sprite in line.sprites]).reshape(-1, 4)
    offsets = np.stack([line.left, line.down, line.left, line.down], axis=1)
    return (own + offsets).astype(float)


def rendered(
    line: DecodedLine, sheet: SpriteSheet, shape: tuple[int, int]
) -> Float[ndarray, "H W"]:
    """The ink of a line as its sprites draw it; ink adds up where they overlap."""
    height, width = shape
    canvas = np.zeros((height + 2 * height, width + 2 * sheet.ink.shape[2]))
    for sprite, left, down, amplitude in zip(
        line.sprites, line.left, line.down, line.amplitude, strict=True
    ):
        drawing = sheet.drawing(int(sprite))
        rows = slice(height + int(down), 2 * height + int(down))
        canvas[rows, left : left + drawing.shape[1]] += amplitude * drawing
    return canvas[height : 2 * height, :width]


def errors(
    ink: Ink, line: DecodedLine, sheet: SpriteSheet, config: DecodingConfig
) -> Float[ndarray, " n"]:
    """Squared error in the columns that each sprite claims, with all its neighbours drawn."""
    missing = blurred(ink - rendered(line, sheet, ink.shape), config.blur)
    return _within((missing**2).sum(axis=0), line.sprites, line.left, sheet)


def blurred(ink: Float[ndarray, "*any H W"], blur: float) -> Float[ndarray, "*any H W"]:
    """Ink as it is compared: a Gaussian of `blur` pixels over rows and columns."""
    if blur == 0:
        return ink
    return ndimage.gaussian_filter(ink, (0,) * (ink.ndim - 2) + (blur, blur), mode="constant")


def _batches(
    inks: Inks, sheet: SpriteSheet, config: DecodingConfig
) -> Iterator[tuple[list[int], ndarray, _lattice.Fits, _lattice.Lattice]]:
    """Lines of about the same width at a time: their places among `inks`, and all their ways."""
    sprites = blurred(sheet.ink, config.blur)
    shifts = range(-config.furthest, config.furthest + 1)
    order = sorted(range(len(inks)), key=lambda place: inks[place].shape[1])
    for first in range(0, len(order), _BATCH):
        places = order[first : first + _BATCH]
        width = max(inks[place].shape[1] for place in places) + _ROOM
        images = np.zeros((len(places), sheet.ink.shape[1], width), dtype=np.float32)
        for row, place in enumerate(places):
            images[row, :, : inks[place].shape[1]] = blurred(inks[place], config.blur)
        found = _lattice.fits(images, sprites, shifts, config.amplitudes)
        yield places, images, found, _lattice.build(found, sheet.core, config.cost)


def _read(
    way: Sequence[tuple[int, int]],
    row: int,
    images: Float[ndarray, "b H W"],
    found: _lattice.Fits,
    sheet: SpriteSheet,
) -> DecodedLine:
    table = np.array(way, dtype=int).reshape(-1, 2)
    sprites = table[:, 0]
    left = table[:, 1] - sheet.core[sprites, 0]
    gain = found.gain[row, sprites, left].astype(float)
    there = _within((images[row] ** 2).sum(axis=0), sprites, left, sheet)
    return DecodedLine(
        sprites=sprites,
        left=left,
        down=found.down[row, sprites, left].astype(int),
        amplitude=found.amplitude[row, sprites, left].astype(float),
        gain=gain,
        explained=np.clip(gain / np.maximum(there, 1e-6), 0, 1),
    )


def _within(
    columns: Float[ndarray, " W"],
    sprites: Int[ndarray, " n"],
    left: Int[ndarray, " n"],
    sheet: SpriteSheet,
) -> Float[ndarray, " n"]:
    """Sums of a line's columns over the cores of the sprites on it."""
    sums = np.concatenate([[0.0], np.cumsum(columns, dtype=float)])
    core = np.clip(left[:, None] + sheet.core[sprites], 0, len(columns))
    return sums[core[:, 1]] - sums[core[:, 0]]
