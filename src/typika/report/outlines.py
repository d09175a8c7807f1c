"""Maps with the truth drawn over them, and sheets of them as PNG and PDF (pure).

Legend: `H W` pixels. The same inputs give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from PIL import Image

from typika.report.comparison import decimal, percent
from typika.report.figures import drawable
from typika.report.localisation_records import ShownMap
from typika.report.pictures import heat_picture

LINE = 4  # pixels from truth to the outer edge of its outline
COLUMNS = 3  # images beside each other on a sheet
CELL, GAP, WORDS, HEAD, MARGIN = 210, 12, 34, 40, 24  # pixels of a sheet
INCH = 144  # pixels of a sheet to an inch
NAMES = {"best": "found best", "worst": "found worst"}


def outlined(picture: Image.Image, truth: Bool[ndarray, "H W"]) -> Image.Image:
    """The picture with a white line in black ones around the truth, seen on any ground.

    The line lies outside, so that small regions stay visible, except along the picture's edge.
    """
    from scipy.ndimage import binary_dilation

    if not truth.any():
        return picture
    inner = np.zeros_like(truth)
    inner[LINE:-LINE, LINE:-LINE] = truth[LINE:-LINE, LINE:-LINE]
    core = inner if inner.any() else truth
    square = np.ones((3, 3), dtype=bool)
    rings = [core, *(binary_dilation(core, square, step) for step in (1, LINE - 1, LINE))]
    pixels = np.asarray(picture.convert("RGB")).copy()
    pixels[rings[3] & ~rings[0]] = 0
    pixels[rings[2] & ~rings[1]] = 255
    return Image.fromarray(pixels)


def full_colour(shown: Sequence[ShownMap]) -> float:
    """The typicality of the fullest colour: one map in ten reaches it."""
    peaks = [float(np.abs(one.values).max()) for one in shown]
    return (float(np.percentile(peaks, 90)) or 1.0) if peaks else 1.0


# --------------------------------------------------------------------------------------- sheets


@dataclass(frozen=True)
class _Words:
    """A line of text at a place of the sheet, in pixels from its upper left corner."""

    x: float
    y: float
    text: str
    points: float


def sheet_files(shown: Sequence[ShownMap], title: str) -> dict[str, bytes]:
    """maps.png and maps.pdf by name; none where no image is shown.

    For each label the best images, then the worst: the image, and its map over it, the truth
    outlined in both.
    """
    if not shown:
        return {}
    sheet, words = _compose(shown, title)
    return {f"maps.{kind}": _drawn(sheet, words, kind) for kind in ("png", "pdf")}


def _compose(shown: Sequence[ShownMap], title: str) -> tuple[Image.Image, list[_Words]]:
    limit = full_colour(shown)
    blocks = [
        (f"{label}: {NAMES[kind]}", _rows(list(own)))
        for (label, kind), own in groupby(shown, lambda one: (one.label, one.kind))
    ]
    tile = 2 * CELL + GAP // 2
    width = 2 * MARGIN + COLUMNS * tile + (COLUMNS - 1) * 2 * GAP
    height = 2 * HEAD + len(blocks) * HEAD
    height += sum(_height(row) + WORDS + GAP for _, rows in blocks for row in rows)
    sheet = Image.new("RGB", (width, height), "white")
    words = [_Words(MARGIN, HEAD * 0.6, title, 9)]
    words.append(_Words(MARGIN, HEAD * 1.2,
                        f"orange: typical of the label, full at {limit:.2g}; blue: less than "
                        "nothing; white line: truth", 6.5))  # fmt: skip
    top = 2 * HEAD - GAP
    for name, rows in blocks:
        words.append(_Words(MARGIN, top + HEAD * 0.6, name, 8))
        top += HEAD
        for row in rows:
            for column, one in enumerate(row):
                left = MARGIN + column * (tile + 2 * GAP)
                words += _tile(sheet, one, left, top, limit)
            top += _height(row) + WORDS + GAP
    return sheet, words


def _rows(shown: Sequence[ShownMap]) -> list[Sequence[ShownMap]]:
    return [shown[first : first + COLUMNS] for first in range(0, len(shown), COLUMNS)]


def _height(row: Sequence[ShownMap]) -> int:
    """Pixels of the highest picture of a row of the sheet."""
    return max(_fitted(one.image.size)[1] for one in row)


def _tile(
    sheet: Image.Image, one: ShownMap, left: int, top: int, limit: float
) -> Iterator[_Words]:
    pictures = (one.image, heat_picture(one.image, one.values, limit))
    low = top
    for number, picture in enumerate(pictures):
        drawn = _fit(outlined(picture, one.truth))
        x = left + number * (CELL + GAP // 2)
        sheet.paste(drawn, (x, top))
        low = max(low, top + drawn.height)
    yield _Words(left, low + 11, one.file_name, 6)
    yield _Words(left, low + 25, caption(one), 6)


def caption(one: ShownMap) -> str:
    """What an image reached, in words."""
    covers = percent(one.area) if one.area >= 0.0005 else "under 0.1\u00a0%"
    return (
        f"average precision {decimal(one.precision)}, truth covers {covers}, highest "
        f"value {'on' if one.hit else 'off'} it"
    )


def _fit(picture: Image.Image) -> Image.Image:
    return picture.resize(_fitted(picture.size), Image.Resampling.LANCZOS)


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    width, height = (max(1, round(side * CELL / max(size))) for side in size)
    return width, height


def _drawn(sheet: Image.Image, words: Sequence[_Words], kind: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    width, height = sheet.size
    # Type 42 embeds the fonts as outlines that editors can edit; the settings hold here alone.
    with mpl.rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(width / INCH, height / INCH), dpi=INCH)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(sheet, interpolation="none", aspect="auto", extent=(0, width, height, 0))
        for one in words:
            # A label may hold a dollar sign, which is no formula.
            plain: dict[str, Any] = {"parse_math": False, "va": "center", "ha": "left"}
            axes.text(one.x, one.y, drawable(one.text, 90), fontsize=one.points, **plain)
        buffer = io.BytesIO()
        metadata: dict[str, Any] = {"Software": None} if kind == "png" else {"CreationDate": None}
        figure.savefig(buffer, format=kind, dpi=INCH, metadata=metadata)
    return buffer.getvalue()
