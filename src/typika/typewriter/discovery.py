"""Lines that nobody transcribed: which signs they are written in, found from their ink alone.

Pieces of ink are grouped, lines are decoded with the groups' means, and sprites that are not
needed go (`sprite_search.py`). What is found is a sequence of signs for each line, which stands in
for a transcription: the typewriter then learns as it does from one.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from typika.errors import DataError
from typika.typewriter.assignment import Assignment, assign
from typika.typewriter.batches import Line
from typika.typewriter.components import ink_image, levelled, row_shifts
from typika.typewriter.image_decoding import DecodingConfig
from typika.typewriter.sprite_search import Round, SearchConfig, find_sprites

# Names of signs, the most frequent first: letters and digits, Greek and Cyrillic capitals, then
# ideographs, of which there are enough.
NAMES = (
    string.ascii_uppercase
    + string.ascii_lowercase
    + string.digits
    + "ΓΔΘΛΞΠΣΦΨΩБГДЖЗИЛЦЧШЩЪЫЭЮЯ"
    + "".join(map(chr, range(0x4E00, 0x5200)))
)
FURTHEST = 1 / 12  # rows that a line may be off the others, of its height
ASSIGNED, FEWEST_ASSIGNED = 0.1, 10  # share of lines whose texts tell what signs read as; at least


def discover(
    lines: Sequence[Line],
    search: SearchConfig,
    decoding: DecodingConfig,
    *,
    seed: int,
    tell: Callable[[Round], None] = lambda _: None,
) -> dict[str, str]:
    """The signs of each line, by its id; the most frequent is called "A".

    Raises:
        DataError: the lines have no ink.
    """
    inks = [_ink(line) for line in lines]
    shifts = row_shifts(inks, furthest=round(FURTHEST * inks[0].shape[0]))
    level = [levelled(ink, int(shift)) for ink, shift in zip(inks, shifts, strict=True)]
    found = find_sprites(level, search, decoding, seed=seed, tell=tell)
    counts = Counter(sprite for line in found.lines for sprite in line.sprites.tolist())
    ranked = sorted(counts, key=lambda sprite: (-counts[sprite], sprite))
    if not ranked:
        raise DataError("no line has ink that is like the ink of others; are these lines of text?")
    names = {sprite: NAMES[place] for place, sprite in enumerate(ranked)}
    return {
        line.line_id: "".join(names[sprite] for sprite in decoded.sprites.tolist())
        for line, decoded in zip(lines, found.lines, strict=True)
    }


def _ink(line: Line) -> np.ndarray:
    ink = ink_image(line.pixels)
    return ink if line.mask is None else ink * (line.mask > 127)


def assign_signs(
    symbols: Sequence[str], readings: Sequence[str], texts: Sequence[str]
) -> tuple[list[int], Assignment]:
    """What signs read as, learned from a tenth of the lines; which lines those are.

    symbols: of the alphabet. readings: signs of each line. texts: what the lines say. At least ten
    lines are taken, evenly spread.
    """
    n = min(max(round(ASSIGNED * len(texts)), FEWEST_ASSIGNED), len(texts))
    chosen = np.linspace(0, len(texts) - 1, n).round().astype(int).tolist()
    numbers = numbered(symbols, readings)
    assignment = assign([numbers[i] for i in chosen], [texts[i] for i in chosen], len(symbols))
    return chosen, assignment


def numbered(symbols: Sequence[str], readings: Sequence[str]) -> list[list[int]]:
    """Readings as numbers of symbols."""
    number = {symbol: place for place, symbol in enumerate(symbols)}
    return [[number[sign] for sign in reading] for reading in readings]
