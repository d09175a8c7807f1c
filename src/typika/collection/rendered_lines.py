"""Rendered lines of print with their truth: the text, where each character is, the true glyphs.

The types are of fonts that matplotlib brings along, the words our own (`_words.py`). Ink and paper
vary from line to line, and every impression of a type is moved and inked a little differently.

```
lines = render_lines(300, seed=0, split="train")
held_out = render_lines(50, seed=0, split="held out")  # other words
lines[0].text, lines[0].boxes  # spaces have no box
```

Legend: `H W` pixels of a line, `n` characters of it other than spaces, `h w` pixels of a glyph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from typika.collection import _words
from typika.errors import ConfigError
from typika.files import whole_file, write_text
from typika.tables import write_parquet

Split = Literal["train", "held out"]

FONT_FILES = {  # typeface -> file among matplotlib's fonts
    "times": "STIXGeneral.ttf",
    "dejavu": "DejaVuSerif.ttf",
    "modern": "cmr10.ttf",
}
ALPHABET = "abcdefghijklmnopqrstuvwxyz.,-'AST"  # characters of the text; all occur in either split
LINE_LENGTH = 34  # characters of a line, about; words stay whole
BOXES_NAME = "boxes.parquet"  # the truth that `write_lines` puts beside the lines

_FINE = 4  # positions of glyphs are multiples of 1/4 pixel
_FONT_SHARE = 0.61  # font size over line height: 39 pixels of 64
_BASELINE_SHARE = 0.68  # baseline over line height
_MARGIN_SHARE = 0.125  # paper left and right of the text, over line height
_INK_EDGE = 0.5  # opacity from which a pixel counts as ink in a box
_ZIPF = 1.0  # exponent of the frequency of words; the offset keeps the first from being too many
_ZIPF_OFFSET = 12.0
_COMMA, _STOP = 0.06, 0.10  # chance that a word is followed by one


@dataclass(frozen=True)
class RenderedLine:
    """A line of print and all that is true of it.

    pixels: (H, W, 3); boxes: (n, 4) left, top, right, bottom of the ink of each character of
    `text` but the spaces, in pixels of the line, right and bottom exclusive.
    """

    pixels: UInt8[ndarray, "H W 3"]
    text: str
    boxes: Float[ndarray, "n 4"]


@dataclass(frozen=True)
class Glyph:
    """The ink of one character as the type has it, without wear or jitter.

    ink: (h, w) opacity in [0, 1], cut to what is inked; left: pixels from the pen's position to
    its first column; top: pixels from the baseline to its first row, negative above the baseline;
    advance: pixels to the next pen position.
    """

    ink: Float[ndarray, "h w"]
    left: float
    top: float
    advance: float


@dataclass(frozen=True)
class Typeface:
    """A font at the size at which it is printed on lines of `height` pixels.

    Raises ConfigError for a name that is not in FONT_FILES.
    """

    name: str = "times"
    height: int = 64  # pixels of a line

    def __post_init__(self) -> None:
        if self.name not in FONT_FILES:
            known = ", ".join(FONT_FILES)
            raise ConfigError(f"typeface={self.name!r}: no such typeface; there are {known}")
        if self.height < 24:
            raise ConfigError(f"height={self.height}: need lines of at least 24 pixels")

    @property
    def baseline(self) -> float:
        """Pixels from the top of a line to its baseline."""
        return self.height * _BASELINE_SHARE

    @cached_property
    def _font(self) -> ImageFont.FreeTypeFont:
        import matplotlib

        path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONT_FILES[self.name]
        size = round(self.height * _FONT_SHARE * _FINE)
        return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)

    def advance(self, character: str) -> float:
        """Pixels from one pen position to the next."""
        return self._font.getlength(character) / _FINE

    def glyph(self, character: str) -> Glyph:
        """The true glyph of a character, which is not a space, as it would be printed."""
        fine, left, top = _fine_glyph(self, character)
        rows, columns = -top % _FINE, left % _FINE  # so that fine cells fill whole pixels
        height, width = fine.shape
        padded = np.pad(
            fine,
            ((-rows % _FINE, -(height - rows) % _FINE), (columns, -(width + columns) % _FINE)),
        )
        return Glyph(
            _reduced(padded),
            (left - columns) / _FINE,
            (top - (-rows % _FINE)) / _FINE,
            self.advance(character),
        )


@dataclass(frozen=True)
class _Impression:
    """A type set on a line, on the fine grid: its opacity and where its first cell lies."""

    ink: Float[ndarray, "h w"]
    row: int
    column: int


def render_lines(
    n: int,
    *,
    seed: int,
    split: Split,
    height: int = 64,
    typeface: str = "times",
    texture: bool = True,
    jitter: bool = True,
) -> list[RenderedLine]:
    """Lines of text that differ in words, ink and paper; each depends on (seed, split, number).

    The words of one split are not among those of the other. texture: uneven ink and paper rather
    than black on white; jitter: types moved by parts of a pixel, and inked more or less fatly.
    """
    if n < 0:
        raise ConfigError(f"n={n}: need 0 lines or more")
    if split not in _words.STARTS:
        raise ConfigError(f"split={split!r}: need 'train' or 'held out'")
    face = Typeface(typeface, height)
    lines = []
    for number in range(n):
        rng = np.random.default_rng((seed, split == "train", number))
        lines.append(_printed(_text(split, rng), face, texture, jitter, rng))
    return lines


def render_texts(
    texts: Sequence[str],
    *,
    seed: int,
    height: int = 64,
    typeface: str = "times",
    texture: bool = True,
    jitter: bool = True,
) -> list[RenderedLine]:
    """Lines that say what they are told to; each depends on (seed, number).

    texts: of characters that the typeface has, a cipher's for instance. The others as for
    `render_lines`.
    """
    face = Typeface(typeface, height)
    return [
        _printed(text, face, texture, jitter, np.random.default_rng((seed, 2, number)))
        for number, text in enumerate(texts)
    ]


def _printed(
    text: str, face: Typeface, texture: bool, jitter: bool, rng: np.random.Generator
) -> RenderedLine:
    """One line and its truth."""
    impressions = _set(face, text, jitter, rng)
    width = round(_pen_end(face, text) + 2 * face.height * _MARGIN_SHARE)
    opacity = _reduced(_composed(impressions, face.height * _FINE, width * _FINE))
    pixels = _print(opacity, rng) if texture else np.repeat(1 - opacity[..., None], 3, axis=2)
    boxes = np.array([_box(one) for one in impressions]).reshape(-1, 4)
    return RenderedLine(np.round(pixels * 255).astype(np.uint8), text, boxes)


def write_lines(folder: Path, lines: list[RenderedLine]) -> None:
    """Write `0000.png` and `0000.gt.txt` for each line, and the boxes of all as BOXES_NAME.

    The table has a row for each character: file_name, position (in the text), character, left,
    top, right, bottom (pixels).
    """
    rows: list[dict[str, str | int | float]] = []
    for number, line in enumerate(lines):
        name = f"{number:04d}.png"
        with whole_file(folder / name) as temporary:
            Image.fromarray(line.pixels).save(temporary, format="PNG")
        write_text(folder / f"{number:04d}.gt.txt", line.text + "\n")
        inked = [place for place, character in enumerate(line.text) if character != " "]
        for place, box in zip(inked, line.boxes.tolist(), strict=True):
            sides = dict(zip(("left", "top", "right", "bottom"), box, strict=True))
            rows.append(
                {"file_name": name, "position": place, "character": line.text[place], **sides}
            )
    write_parquet(pa.Table.from_pylist(rows), folder / BOXES_NAME)


def _text(split: Split, rng: np.random.Generator) -> str:
    """Sentences, or parts of them, of about LINE_LENGTH characters."""
    words = _words.TRAIN if split == "train" else _words.HELD_OUT
    chance = (np.arange(len(words)) + _ZIPF_OFFSET) ** -_ZIPF
    chance /= chance.sum()
    starts = _words.STARTS[split]
    opening = rng.random() < 0.3
    text = ""
    while len(text) < LINE_LENGTH - 3:
        word = (
            starts[rng.integers(len(starts))]
            if opening
            else words[rng.choice(len(words), p=chance)]
        )
        mark = rng.random()
        opening = mark < _STOP
        text += word + ("." if opening else "," if mark < _STOP + _COMMA else "") + " "
    return text.rstrip()


def _set(face: Typeface, text: str, jitter: bool, rng: np.random.Generator) -> list[_Impression]:
    """The types of a line, each a little off its place, all inked about equally fatly."""
    move, spread = (0.35, 0.25) if jitter else (0.0, 0.0)  # pixels; pixels of the outline
    pen = face.height * _MARGIN_SHARE
    fatness, spacing = spread * rng.normal(), 0.3 * rng.random() * jitter
    impressions = []
    for character in text:
        across, down, own = rng.normal(size=3)
        if character != " ":
            fat = fatness + 0.4 * spread * own
            ink, left, top = _fattened(face, character, fat * _FINE)
            row = round((face.baseline + move * down) * _FINE) + top
            column = round((pen + move * across) * _FINE) + left
            impressions.append(_Impression(ink, row, column))
        pen += face.advance(character) + spacing
    return impressions


def _pen_end(face: Typeface, text: str) -> float:
    return sum(face.advance(character) + 0.15 for character in text)


@cache
def _fine_glyph(face: Typeface, character: str) -> tuple[Float[ndarray, "h w"], int, int]:
    """A glyph on the fine grid, cut to its ink, and its first column and row off the pen."""
    side = 3 * face.height * _FINE // 2
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).text(
        (side // 3, side // 2), character, font=face._font, anchor="ls", fill=255
    )
    ink = np.asarray(canvas, dtype=float) / 255
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        raise ConfigError(f"character {character!r}: typeface {face.name!r} has no ink for it")
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut, int(columns[0]) - side // 3, int(rows[0]) - side // 2


def _fattened(
    face: Typeface, character: str, fat: float
) -> tuple[Float[ndarray, "h w"], int, int]:
    """A fine glyph with its outline moved outwards by `fat` fine cells, inwards where negative."""
    if abs(fat) < 1e-6:
        return _fine_glyph(face, character)
    distance, left, top = _outline_distance(face, character)
    return np.clip(distance + fat, 0, 1), left, top


@cache
def _outline_distance(face: Typeface, character: str) -> tuple[Float[ndarray, "h w"], int, int]:
    """Fine cells from each cell to the outline, negative outside, with a border to grow into."""
    border = 2 * _FINE
    fine, left, top = _fine_glyph(face, character)
    inside = np.pad(fine, border) >= 0.5
    distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    return distance, left - border, top - border


def _composed(
    impressions: list[_Impression], height: int, width: int
) -> Float[ndarray, "height width"]:
    """All impressions on one sheet; what lies outside of it is lost."""
    sheet = np.zeros((height, width))
    for one in impressions:
        top, left = max(one.row, 0), max(one.column, 0)
        bottom = min(one.row + one.ink.shape[0], height)
        right = min(one.column + one.ink.shape[1], width)
        own = one.ink[top - one.row : bottom - one.row, left - one.column : right - one.column]
        np.maximum(sheet[top:bottom, left:right], own, out=sheet[top:bottom, left:right])
    return sheet


def _reduced(fine: Float[ndarray, "a b"]) -> Float[ndarray, "H W"]:
    """Means of the fine cells of each pixel."""
    height, width = fine.shape[0] // _FINE, fine.shape[1] // _FINE
    return fine.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3))


def _box(one: _Impression) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of an impression's ink, in pixels."""
    ink = one.ink >= _INK_EDGE
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return (
        float(one.column + columns[0]) / _FINE,
        float(one.row + rows[0]) / _FINE,
        float(one.column + columns[-1] + 1) / _FINE,
        float(one.row + rows[-1] + 1) / _FINE,
    )


def _print(opacity: Float[ndarray, "H W"], rng: np.random.Generator) -> Float[ndarray, "H W 3"]:
    """Ink on paper, in [0, 1]: both of the line's own colours, both uneven."""
    shape = opacity.shape
    paper = np.array([0.90, 0.85, 0.74]) + rng.normal(0, 0.03) + rng.normal(0, 0.012, 3)
    ink = np.array([0.17, 0.14, 0.12]) + rng.normal(0, 0.03) + rng.normal(0, 0.01, 3)
    stains = 0.03 * _smooth(shape, 24, rng) + 0.012 * _smooth(shape, 3, rng)
    inking = np.clip(0.92 + 0.05 * _smooth(shape, 12, rng) + 0.04 * _smooth(shape, 2, rng), 0, 1)
    covered = (ndimage.gaussian_filter(opacity, 0.5) * inking)[..., None]
    clean = (1 - covered) * (paper + stains[..., None]) + covered * ink
    grain = 0.015 * rng.standard_normal((*shape, 1)) + 0.008 * rng.standard_normal((*shape, 3))
    return np.clip(clean + grain, 0, 1)


def _smooth(
    shape: tuple[int, int], scale: float, rng: np.random.Generator
) -> Float[ndarray, "H W"]:
    """Noise of variance one without detail below about `scale` pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), scale, mode="wrap")
    return noise / max(float(noise.std()), 1e-12)
