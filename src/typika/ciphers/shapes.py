"""How alike signs and sequences of signs look.

Legend: `K` signs, `H w` pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from typika.ciphers.merging import Likeness, Spelling
from typika.typewriter.image_decoding import DecodedLine
from typika.typewriter.sheet import SpriteSheet, sheet_of
from typika.typewriter.sprite_search import likeness

SLACK, WIDER = 6, 0.3  # columns, or share of the narrower: spellings of other widths are not alike


def likeness_of(sheet: SpriteSheet, lines: Sequence[DecodedLine], blur: float) -> Likeness:
    """A function that tells how alike two spellings look: cosine of their ink, 0 to 1.

    A sequence of signs is drawn with the median distances that its signs have on the lines.
    blur: pixels, before they are compared.
    """
    distance = _distances(lines)
    drawn: dict[Spelling, Float[ndarray, "H _"]] = {}
    known: dict[tuple[Spelling, Spelling], float] = {}

    def drawing(spelling: Spelling) -> Float[ndarray, "H _"]:
        if spelling not in drawn:
            drawn[spelling] = _composite(sheet, spelling, distance)
        return drawn[spelling]

    def alike(one: Spelling, other: Spelling) -> float:
        pair = (min(one, other), max(one, other))
        if pair not in known:
            widths = sorted(drawing(each).shape[1] for each in pair)
            if widths[1] - widths[0] > max(SLACK, WIDER * widths[0]):
                known[pair] = 0.0
                return 0.0
            both = sheet_of([drawing(pair[0]), drawing(pair[1])])
            known[pair] = float(likeness(both, blur)[0, 1]) if len(both) == 2 else 0.0
        return known[pair]

    return alike


def _distances(lines: Sequence[DecodedLine]) -> dict[tuple[int, int], float]:
    """Median columns from the left of one sign to the left of the next, of those set closely."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for line in lines:
        steps = np.diff(line.left)
        for one, other, step in zip(line.sprites[:-1], line.sprites[1:], steps, strict=True):
            found[int(one), int(other)].append(int(step))
    return {pair: float(np.median(steps)) for pair, steps in found.items()}


def _composite(
    sheet: SpriteSheet, spelling: Spelling, distance: dict[tuple[int, int], float]
) -> Float[ndarray, "H _"]:
    """The signs of a spelling side by side."""
    place, places = 0, [0]
    for one, other in pairwise(spelling):
        place += round(distance.get((one, other), float(sheet.widths[one])))
        places.append(max(place, 0))
    width = max(left + int(sheet.widths[one]) for left, one in zip(places, spelling, strict=True))
    canvas = np.zeros((sheet.ink.shape[1], width))
    for left, one in zip(places, spelling, strict=True):
        own = sheet.drawing(one)
        part = canvas[:, left : left + own.shape[1]]
        np.maximum(part, own, out=part)
    return canvas
