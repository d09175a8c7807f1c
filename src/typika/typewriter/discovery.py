"""Lines that nobody transcribed: which signs they are written in, found from their ink alone.

Pieces of ink are grouped, lines are decoded with the groups' means, and sprites that are not
needed go (`sprite_search.py`). What is found is a sequence of signs for each line, which stands in
for a transcription: the typewriter then learns as it does from one. Several signs may be one
character inked in several ways, which a reader cannot well tell apart, so lines are read by the
decoder (2.6 % error on rendered print against 11 % of a reader that learned its signs), and the
typewriter says where each sign stands.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from safetensors import safe_open
from safetensors.numpy import save

from typika import config
from typika.errors import DataError
from typika.files import whole_file
from typika.typewriter.assignment import Assignment, assign
from typika.typewriter.batches import Line
from typika.typewriter.components import ink_image, levelled, row_shifts
from typika.typewriter.image_decoding import DecodedLine, DecodingConfig, decode
from typika.typewriter.sheet import SpriteSheet, sheet_of
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


@dataclass(frozen=True)
class Signs:
    """Signs that were found, and what is needed to read further lines with them.

    sheet: their sprites, the most frequent first, called `NAMES[0]`, `NAMES[1]` ... profile: (H,)
    share of a line's ink in each of its rows, by which lines are made level.
    """

    sheet: SpriteSheet
    profile: Float[ndarray, " H"]
    decoding: DecodingConfig

    def read(self, lines: Sequence[Line]) -> dict[str, str]:
        """The signs of each line, by its id."""
        return {
            line.line_id: "".join(NAMES[sprite] for sprite in one.sprites.tolist())
            for line, (one, _) in zip(lines, self.decoded(lines), strict=True)
        }

    def decoded(self, lines: Sequence[Line]) -> list[tuple[DecodedLine, int]]:
        """Each line as sprites of the sheet, and the rows that it hangs lower than they say."""
        inks = [ink_of(line) for line in lines]
        shifts = [shift_to(self.profile, ink) for ink in inks]
        level = [levelled(ink, shift) for ink, shift in zip(inks, shifts, strict=True)]
        return list(zip(decode(level, self.sheet, self.decoding), shifts, strict=True))


def discover(
    lines: Sequence[Line],
    search: SearchConfig,
    decoding: DecodingConfig,
    *,
    seed: int,
    tell: Callable[[Round], None] = lambda _: None,
) -> Signs:
    """The signs that lines are written in.

    Raises:
        DataError: the lines have no ink.
    """
    inks = [ink_of(line) for line in lines]
    shifts = row_shifts(inks, furthest=round(FURTHEST * inks[0].shape[0]))
    level = [levelled(ink, int(shift)) for ink, shift in zip(inks, shifts, strict=True)]
    found = find_sprites(level, search, decoding, seed=seed, tell=tell)
    counts = Counter(sprite for line in found.lines for sprite in line.sprites.tolist())
    ranked = sorted(counts, key=lambda sprite: (-counts[sprite], sprite))
    if not ranked:
        raise DataError("no line has ink that is like the ink of others; are these lines of text?")
    sheet = sheet_of([found.sheet.drawing(sprite) for sprite in ranked])
    return Signs(sheet, np.mean([_rows(ink) for ink in level], axis=0), decoding)


def ink_of(line: Line) -> Float[ndarray, "H W"]:
    """Ink in [0, 1] inside a line's polygon."""
    ink = ink_image(line.pixels)
    return ink if line.mask is None else ink * (line.mask > 127)


def shift_to(profile: Float[ndarray, " H"], ink: Float[ndarray, "H W"]) -> int:
    """Rows by which a line hangs lower than a profile; of equal fits the smallest."""
    furthest = round(FURTHEST * len(ink))
    shifts = sorted(range(-furthest, furthest + 1), key=abs)
    return max(shifts, key=lambda by: float(_rows(levelled(ink, by)) @ profile))


def _rows(ink: Float[ndarray, "H W"]) -> Float[ndarray, " H"]:
    return ink.sum(axis=1) / max(float(ink.sum()), 1e-9)


def save_signs(signs: Signs, path: Path) -> None:
    """Write signs to one safetensors file."""
    tensors = {
        "ink": signs.sheet.ink,
        "widths": signs.sheet.widths,
        "core": signs.sheet.core,
        "profile": signs.profile,
    }
    whole = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    metadata = {"decoding": json.dumps(config.as_values(signs.decoding))}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(whole, metadata=metadata))


def load_signs(path: Path) -> Signs:
    """Read what `save_signs` wrote."""
    with safe_open(path, framework="numpy") as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        decoding = config.build(DecodingConfig, json.loads(handle.metadata()["decoding"]))
    sheet = SpriteSheet(tensors["ink"], tensors["widths"], tensors["core"])
    return Signs(sheet, tensors["profile"], decoding)


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
