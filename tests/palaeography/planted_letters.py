"""Instances of letters planted in documents, drawn straight from glyphs: nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy import ndarray
from scipy import ndimage

from typika.collection.rendered_lines import Typeface
from typika.palaeography.records import Instances, Letter

HEIGHT, WIDTH = 64, 48


def glyph(character: str, typeface: str = "times") -> ndarray:
    """The true ink of a letter in the frame of a sprite, in [0, 1]."""
    face = Typeface(typeface, HEIGHT)
    found = face.glyph(character)
    frame = np.zeros((HEIGHT, WIDTH))
    height, width = found.ink.shape
    top = round(face.baseline + found.top)
    left = (WIDTH - width) // 2
    frame[top : top + height, left : left + width] = found.ink
    return frame


def jittered(ink: ndarray, amount: float, rng: np.random.Generator) -> ndarray:
    """A letter with its outline pushed about, `amount` pixels or so, smoothly."""
    push = [ndimage.gaussian_filter(rng.normal(size=ink.shape), 5) * 12 * amount for _ in "yx"]
    rows, columns = np.indices(ink.shape)
    return ndimage.map_coordinates(ink, [rows + push[0], columns + push[1]], order=1)


def instances(
    shapes: dict[str, dict[str, ndarray]],
    n_each: int,
    *,
    jitter: float = 0.6,
    noise: float = 0.05,
    seed: int = 0,
    columns: dict[str, dict[str, str]] | None = None,
) -> Instances:
    """`n_each` instances of every letter of every document.

    shapes: document -> character -> its ink there. columns: name -> document -> value.
    """
    rng = np.random.default_rng(seed)
    characters = sorted({character for own in shapes.values() for character in own})
    ink, letter, rows = [], [], []
    for document, own in sorted(shapes.items()):
        for character, shape in sorted(own.items()):
            for number in range(n_each):
                image = jittered(shape, jitter, rng) + noise * rng.normal(size=shape.shape)
                ink.append(np.round(255 * image.clip(0, 1)).astype(np.uint8))
                letter.append(characters.index(character))
                rows.append(_row(document, character, number, columns or {}))
    pixels = np.stack(ink)
    return Instances(
        letters=tuple(Letter(character) for character in characters),
        letter=np.array(letter),
        ink=pixels,
        weight=np.full_like(pixels, 255),
        table=pa.Table.from_pylist(rows),
        height=HEIGHT,
    )


def documents(names: Sequence[str], characters: str, typeface: str = "times") -> dict:
    """The same glyphs for every document."""
    return {name: {one: glyph(one, typeface) for one in characters} for name in names}


def _row(document: str, character: str, number: int, columns: dict) -> dict:
    return {
        "line_id": f"{document}/{number // 10:03d}", "file_name": f"{document}/{number // 10}.png",
        "place": number % 10, "character": character, "confidence": 0.9,
        "left": 20.0 * (number % 10), "top": 10.0, "right": 20.0 * (number % 10) + 15,
        "bottom": 50.0, "page_corners": [0.0] * 8, "log_scale_x": 0.0, "log_scale_y": 0.0,
        "document": document,
        **{name: values[document] for name, values in columns.items()},
    }  # fmt: skip
