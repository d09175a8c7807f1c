"""Lines, their drawings and sprites as pictures (pure).

Legend: `H W` pixels of a line, `h w` of a sprite.
"""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from typika.report.pictures import as_base64, jpeg_base64
from typika.report.typewriter_records import DrawnLine

# Okabe and Ito's colours, told apart with any kind of colour vision; neighbours differ.
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233),
           (230, 159, 0))  # fmt: skip
NOBODY = (150, 150, 150)
GAP = 6  # white pixels between a line, its drawing, and the drawing in colours
MOST_WIDTH = 4000  # pixels of a shown line
QUALITY = 76  # of JPEG


def redrawn(line: DrawnLine) -> Image.Image:
    """The drawing in the colours of the line's paper and ink."""
    return _mixed(line, np.array(line.paper_colour), np.array(line.ink_colour))


def coloured(line: DrawnLine) -> Image.Image:
    """The drawing on white, each character in the next colour; what is nobody's is grey."""
    palette = np.array([*COLOURS, NOBODY]) / 255
    number = np.where(line.owner >= 0, line.owner % len(COLOURS), len(COLOURS))
    return _mixed(line, np.ones(3), palette[number])


def _mixed(line: DrawnLine, paper: ndarray, ink: ndarray) -> Image.Image:
    share = line.drawing[..., None] / 255
    return Image.fromarray(np.rint(255 * (paper * (1 - share) + ink * share)).astype(np.uint8))


def stacked(line: DrawnLine) -> Image.Image:
    """The line, below it its drawing, below that the drawing in colours."""
    height, width = line.drawing.shape
    sheet = Image.new("RGB", (width, 3 * height + 2 * GAP), "white")
    pictures = Image.fromarray(np.ascontiguousarray(line.pixels)), redrawn(line), coloured(line)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (0, number * (height + GAP)))
    return sheet


def line_jpeg(line: DrawnLine) -> str:
    """`stacked` as JPEG in base64."""
    return jpeg_base64(stacked(line), side=MOST_WIDTH, quality=QUALITY)


def instance_jpeg(pixels: ndarray) -> str:
    """A cut-out character as JPEG in base64."""
    return jpeg_base64(Image.fromarray(pixels), side=max(pixels.shape), quality=QUALITY)


def sprite_image(ink: Float[ndarray, "h w"]) -> Image.Image:
    """A sprite in black on white."""
    return Image.fromarray(np.rint(255 * (1 - np.clip(ink, 0, 1))).astype(np.uint8))


def sprite_png(ink: Float[ndarray, "h w"]) -> str:
    """The same as PNG in base64."""
    buffer = io.BytesIO()
    sprite_image(ink).save(buffer, format="PNG", optimize=True)
    return as_base64(buffer.getvalue())


def outline(box: tuple[float, float, float, float], height: int) -> str:
    """A box as an SVG path, once in each of the three pictures of a line `height` pixels high."""
    left, top, right, bottom = (round(side) for side in box)
    width, tall = max(right - left, 2), max(bottom - top, 2)
    return "".join(
        f"M{left} {top + number * (height + GAP)}h{width}v{tall}h-{width}z" for number in range(3)
    )
