"""Lines of documents that differ: one typeface, its outlines pushed about for each of them.

The push of a script is shared by its documents, that of a document is its own, and every
impression has a small one as well.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray
from scipy import ndimage

from typika.collection import rendered_lines as print_of
from typika.collection.rendered_lines import RenderedLine, Typeface, write_lines

MARGIN = 8  # pixels around a glyph that a push may fill
SMOOTH = 5.0  # pixels over which a push changes
IMPRESSION = 0.4  # pixels that each impression is pushed about by
SPACING = 0.3  # pixels by which types are set apart, at most


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Documents of scripts. script, own: how far, in pixels, outlines are pushed."""

    scripts: int = 2
    documents: int = 12  # of all scripts together
    lines: int = 8  # of each
    left_out: int = 0  # of them, marked as lines to test with
    script: float = 1.2
    own: float = 0.9
    height: int = 64
    seed: int = 0

    def names(self) -> list[tuple[str, str]]:
        """Document and script."""
        return [(f"d{n:02d}", f"s{n % self.scripts}") for n in range(self.documents)]


def write_documents(folder: Path, planted: Planted) -> None:
    """Write the lines, and metadata.csv with the columns document, script and split."""
    rows, lines = [], []
    for number, (document, script) in enumerate(planted.names()):
        for place in range(planted.lines):
            split = "test" if place >= planted.lines - planted.left_out else "train"
            rows.append((f"{len(lines):04d}.png", document, script, split))
            lines.append(_line(planted, number, script, place))
    write_lines(folder, lines)
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("file_name", "document", "script", "split"))
        writer.writerows(rows)


def _line(planted: Planted, document: int, script: str, place: int) -> RenderedLine:
    rng = np.random.default_rng((planted.seed, document, place))
    face = Typeface(height=planted.height)
    text = print_of._text("train", rng)
    pen, boxes, set_types = planted.height / 8, [], []
    for character in text:
        if character != " ":
            ink, left, top = _type(planted, face, character, document, script)
            own = _pushed(ink, IMPRESSION, rng)
            move = rng.normal(size=2) * 0.35
            set_types.append((own, face.baseline + top + move[0], pen + left + move[1]))
        pen += face.advance(character) + SPACING * rng.random()
    sheet = np.zeros((planted.height, round(pen + planted.height / 8)))
    for ink, top, left in set_types:
        boxes.append(_stamp(sheet, ink, top, left))
    pixels = print_of._print(sheet, rng)
    return RenderedLine(np.round(pixels * 255).astype(np.uint8), text, np.array(boxes))


def _type(
    planted: Planted, face: Typeface, character: str, document: int, script: str
) -> tuple[ndarray, float, float]:
    """A document's own form of a letter: its ink, and where that lies from the pen."""
    glyph = face.glyph(character)
    ink, code = np.pad(glyph.ink, MARGIN), ord(character)
    of_script = np.random.default_rng((planted.seed, 1, int(script[1:]), code))
    of_document = np.random.default_rng((planted.seed, 2, document, code))
    pushed = _pushed(_pushed(ink, planted.script, of_script), planted.own, of_document)
    return pushed, glyph.left - MARGIN, glyph.top - MARGIN


def _pushed(ink: ndarray, amount: float, rng: np.random.Generator) -> ndarray:
    """Outlines moved smoothly, by `amount` pixels in the mean square."""
    noise = [ndimage.gaussian_filter(rng.normal(size=ink.shape), SMOOTH) for _ in "yx"]
    scale = 2 * np.sqrt(np.pi) * SMOOTH  # of white noise after the filter, to variance one
    rows, columns = np.indices(ink.shape)
    places = [rows + amount * scale * noise[0], columns + amount * scale * noise[1]]
    return ndimage.map_coordinates(ink, places, order=1)


def _stamp(sheet: ndarray, ink: ndarray, top: float, left: float) -> tuple[float, ...]:
    """Put ink on the sheet, the darker counting; the box of it."""
    row, column = int(np.floor(top)), int(np.floor(left))
    moved = ndimage.shift(np.pad(ink, 1), (top - row, left - column), order=1)[1:, 1:]
    height, width = sheet.shape
    up, aside = max(-row, 0), max(-column, 0)
    part = moved[up : height - row, aside : width - column]
    place = sheet[row + up : row + up + part.shape[0], column + aside :][:, : part.shape[1]]
    np.maximum(place, part, out=place)
    rows, columns = np.flatnonzero((moved > 0.5).any(1)), np.flatnonzero((moved > 0.5).any(0))
    return (float(column + columns[0]), float(row + rows[0]), float(column + columns[-1] + 1),
            float(row + rows[-1] + 1))  # fmt: skip
