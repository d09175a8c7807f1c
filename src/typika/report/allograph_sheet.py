"""A contact sheet of forms: a row a form, its mean first, then instances of it.

Legend: `f` forms of a letter, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from typika.palaeography.allographs import Forms
from typika.palaeography.records import Instances
from typika.palaeography.residuals import own_ink
from typika.report.figures import drawable, png_bytes
from typika.report.prototype_sheet import GAP, GREY, font
from typika.report.typewriter_pictures import sprite_image

SIDE = 120  # pixels for the name and count of a form
SHOWN = 16  # instances of a form, evenly through the collection
BETWEEN = 14  # pixels between letters


def allograph_sheet(found: Sequence[Forms], instances: Instances) -> bytes:
    """The sheet as PNG, letters in the order given. The same in, the same out."""
    height, width = instances.shape
    n_rows = sum(len(one.prototypes) for one in found)
    across = SIDE + (1 + SHOWN) * (width + GAP) + BETWEEN
    down = GAP + n_rows * (height + GAP) + len(found) * BETWEEN
    sheet = Image.new("RGB", (across, max(down, 1)), "white")
    pen, top = ImageDraw.Draw(sheet), GAP
    for one in found:
        for form, image in enumerate(one.prototypes):
            name = f"{drawable(one.character, 6)}·{form + 1}"
            pen.text((GAP, top + height / 2 - 9), name, GREY, font(16), "lm")
            count = f"{one.count[form]:,} of {len(one.form):,}"
            pen.text((GAP, top + height / 2 + 9), count, GREY, font(11), "lm")
            sheet.paste(sprite_image(image), (SIDE, top))
            own = one.row[one.form == form]
            for place, row in enumerate(_evenly(own)):
                ink = own_ink(instances.ink[row : row + 1], instances.weight[row : row + 1])[0]
                left = SIDE + BETWEEN + (1 + place) * (width + GAP)
                sheet.paste(sprite_image(ink), (left, top))
            top += height + GAP
        top += BETWEEN
    return png_bytes(sheet)


def _evenly(rows: np.ndarray) -> list[int]:
    places = np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(int)
    return [int(rows[place]) for place in places]
