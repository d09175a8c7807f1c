"""A contact sheet of prototypes: a column a letter, a row a group, the model's own sprites above.

What rests on no instance is left out, what rests on few or is doubted is marked.

Legend: `G` groups, `K` letters, `h w` pixels of a sprite.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from typika.palaeography.records import ABSENT, FAILED, FEW, SUSPECT, Prototypes
from typika.report.figures import drawable, png_bytes
from typika.report.typewriter_pictures import sprite_image

GAP, NAME = 4, 22  # pixels between cells; for the names of letters above them
SIDE = 190  # pixels for the names of groups
LABELS = 30  # characters of a name, at most
MARKS = {FEW: (230, 159, 0), SUSPECT: (204, 121, 167), FAILED: (213, 94, 0)}
GREY, PALE = (90, 90, 90), (236, 236, 236)
REFERENCE = "reference"


def prototype_sheet(prototypes: Prototypes) -> bytes:
    """The sheet as PNG: letters that occur, groups in their order. The same in, the same out."""
    letters = np.flatnonzero((prototypes.count > 0).any(axis=0)).tolist()
    height, width = prototypes.reference.shape[1:]
    across = SIDE + len(letters) * (width + GAP)
    down = NAME + (1 + len(prototypes.groups)) * (height + GAP) + NAME
    sheet = Image.new("RGB", (across, down), "white")
    pen = ImageDraw.Draw(sheet)
    for place, letter in enumerate(letters):
        left = SIDE + place * (width + GAP)
        name = drawable(prototypes.letters[letter].name, 6)
        pen.text((left + width / 2, NAME / 2), name, GREY, font(14), "mm")
        sheet.paste(sprite_image(prototypes.reference[letter]), (left, NAME))
    _row_name(pen, REFERENCE, "", NAME, height)
    for group, name in enumerate(prototypes.groups):
        top = NAME + (1 + group) * (height + GAP)
        _row_name(pen, name, prototypes.parents[group], top, height)
        for place, letter in enumerate(letters):
            box = (SIDE + place * (width + GAP), top)
            _cell(sheet, pen, prototypes, (group, letter), box)
    pen.text((GAP, down - NAME / 2), _legend(prototypes), GREY, font(11), "lm")
    return png_bytes(sheet)


def _cell(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, prototypes: Prototypes,
    place: tuple[int, int], corner: tuple[int, int],
) -> None:  # fmt: skip
    height, width = prototypes.reference.shape[1:]
    flag, (left, top) = prototypes.flag[place[0]][place[1]], corner
    if flag == ABSENT:
        pen.rectangle((left, top, left + width - 1, top + height - 1), fill=PALE)
        return
    sheet.paste(sprite_image(prototypes.ink[place]), corner)
    if flag in MARKS:
        pen.rectangle((left, top + height - 3, left + width - 1, top + height - 1), MARKS[flag])
    count = str(int(prototypes.count[place]))
    pen.text((left + width - 1, top), count, GREY, font(8), "ra")


def _row_name(pen: ImageDraw.ImageDraw, name: str, parent: str, top: int, height: int) -> None:
    middle = top + height / 2
    pen.text((GAP, middle), drawable(name, LABELS), GREY, font(13), "lm")
    if parent:
        pen.text((GAP, middle + 15), drawable(parent, LABELS), GREY, font(10), "lm")


def _legend(prototypes: Prototypes) -> str:
    few, suspect, failed = (f"{name}" for name in (FEW, SUSPECT, FAILED))
    return (
        f"by {drawable(prototypes.by)}, {prototypes.method}; small numbers count instances; bars: "
        f"orange {few}, purple {suspect}, red {failed}; grey: no instance"
    )


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Letters that every machine with matplotlib has."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size)
