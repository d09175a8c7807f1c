"""Lines of a collection at the model's height, in one file of bytes that is mapped, not read.

Legend: `n` lines, `H` pixels high, `W` columns of all lines together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from typika.collection.lines import LineCollection, TextLine
from typika.errors import DataError
from typika.files import whole_folder, write_text
from typika.typewriter.alphabet import Alphabet, n_cells_needed
from typika.typewriter.batches import Line, ink_and_paper

PIXELS, INDEX = "pixels.npy", "lines.json"
STRIDES = (8, 4)  # pixels; 16 can be asked for, but bounds where a letter is told to stand
MOST_INFEASIBLE = 0.001  # share of the lines that may hold more symbols than cells
CHANNELS = 4  # of a stored column: red, green, blue and the mask


@dataclass(frozen=True)
class Prepared:
    """Lines ready to be shown: a folder of bytes, and what is known of each.

    pixels: (W, H, 4) red, green, blue and mask of the columns of all lines, one after the other.
    rows: of each line its id, first column, width, colours, and whether it has a mask.
    """

    pixels: ndarray
    rows: tuple[Mapping[str, Any], ...]

    @classmethod
    def open(cls, folder: Path) -> Prepared:
        """Map what `prepare` wrote."""
        rows = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return cls(np.load(folder / PIXELS, mmap_mode="r"), tuple(rows))

    def lines(self, texts: Mapping[str, str | None], alphabet: Alphabet | None) -> list[Line]:
        """The lines with their transcriptions as symbols; their pixels stay on disk until used.

        A text with a character that the alphabet does not have counts as no transcription.
        """
        found = []
        for row in self.rows:
            start, width = row["start"], row["width"]
            columns = self.pixels[start : start + width]
            text = texts.get(row["line_id"])
            known = alphabet is not None and text is not None and not alphabet.unknown(text)
            found.append(
                Line(
                    line_id=row["line_id"],
                    pixels=columns[..., :3].transpose(1, 0, 2),
                    mask=columns[..., 3].T if row["masked"] else None,
                    symbols=alphabet.encode(text) if known and alphabet and text else None,
                    paper=tuple(row["paper"]),
                    ink=tuple(row["ink"]),
                )
            )
        return found


def prepare(
    collection: LineCollection, height: int, folder: Path, advance: Callable[[int], None]
) -> None:
    """Decode every line once, straight and `height` pixels high, into a folder.

    Raises:
        DataError: an image has gone or changed since the collection was read.
    """
    widths = [collection.width(line, height) for line in collection]
    if not widths:
        raise DataError(f"{collection.root}: no line to prepare")
    rows: list[dict[str, Any]] = []
    with whole_folder(folder) as temporary:
        shape = (sum(widths), height, CHANNELS)
        pixels = np.lib.format.open_memmap(
            temporary / PIXELS, mode="w+", dtype=np.uint8, shape=shape
        )
        start = 0
        for line, image in collection.iterate(height):
            width = image.pixels.shape[1]
            pixels[start : start + width, :, :3] = image.pixels.transpose(1, 0, 2)
            pixels[start : start + width, :, 3] = image.mask.T
            masked = bool((image.mask < 255).any())
            ink, paper = ink_and_paper(image.pixels, image.mask if masked else None)
            rows.append({"line_id": line.line_id, "start": start, "width": width,
                         "masked": masked, "ink": ink, "paper": paper})  # fmt: skip
            start += width
            advance(1)
        pixels.flush()
        write_text(temporary / INDEX, json.dumps(rows, ensure_ascii=False) + "\n")


def choose_stride(widths: Sequence[int], texts: Sequence[str | None], alphabet: Alphabet) -> int:
    """The widest stride under which fewer than one transcribed line in a thousand is infeasible.

    A line is infeasible where its symbols need more cells than it has. Lines that no stride would
    do for are not counted: their transcriptions are of other lines.
    """
    needed = [(width, n_cells_needed(alphabet.encode(text)))
              for width, text in zip(widths, texts, strict=True)
              if text and not alphabet.unknown(text)]  # fmt: skip
    needed = [(width, n) for width, n in needed if n <= -(-width // STRIDES[-1])]
    most = MOST_INFEASIBLE * len(needed)
    return next(
        stride for stride in STRIDES if sum(n > -(-width // stride) for width, n in needed) <= most
    )


def infeasible(lines: Sequence[Line], stride: int) -> list[Line]:
    """Lines whose symbols need more cells of `stride` pixels than they have."""

    def needs_more(line: Line) -> bool:
        return n_cells_needed(line.symbols or ()) > -(-line.width // stride)

    return [line for line in lines if needs_more(line)]


def transcriptions(lines: Sequence[TextLine]) -> dict[str, str | None]:
    """The text of each line by its id."""
    return {line.line_id: line.text for line in lines}
