"""Figure sheets of a typewriter in the chapter's layout (Figs. 3.3 and 3.4), as PNG and PDF.

`sprites` shows the most used letter forms in alphabet order, `sprites-by-frequency` the most used
first, `lines` some lines over their drawing over the same coloured by character. The same inputs
give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from typika.files import whole_file
from typika.report.figures import drawable
from typika.report.typewriter_pictures import sprite_image, stacked
from typika.report.typewriter_records import DrawnLine, LearnedSprite, TypewriterInputs

MOST_SPRITES, COLUMNS = 120, 12
N_LINES = 6
WIDEST = 2400  # pixels of a line on a sheet
MARGIN, NAME = 6, 14  # points around a sprite, and for the name below it
POINTS_PER_PIXEL = 0.5  # 144 pixels an inch


def write_typewriter_sheets(inputs: TypewriterInputs, folder: Path) -> list[Path]:
    """Write the sheets: of sprites that were learned, of lines that are shown, where there are."""
    folder.mkdir(parents=True, exist_ok=True)
    by_use = sorted((one for one in inputs.sprites if one.learned), key=lambda one: -one.count)
    by_use = by_use[:MOST_SPRITES]
    place = {id(one): number for number, one in enumerate(inputs.sprites)}
    alphabet = sorted(by_use, key=lambda one: place[id(one)])
    sheets = {"sprites": alphabet, "sprites-by-frequency": by_use}
    written = []
    for suffix in ("png", "pdf"):
        for name, sprites in sheets.items():
            if sprites:
                title = f"{inputs.name}: {len(sprites)} letter forms"
                written.append(_write(folder / f"{name}.{suffix}",
                                      _sprites(sprites, title, suffix)))  # fmt: skip
        lines = sheet_lines(inputs)
        if lines:
            written.append(_write(folder / f"lines.{suffix}", _lines(lines, suffix)))
    return written


def sheet_lines(inputs: TypewriterInputs) -> list[DrawnLine]:
    """Six of the drawn lines that fit a sheet, evenly spread from the best drawn to the worst."""
    residual = dict(zip(inputs.readings["line_id"].to_pylist(),
                        inputs.readings["residual"].to_pylist(), strict=True))  # fmt: skip
    fitting = [line for line in inputs.lines if line.drawing.shape[1] <= WIDEST]
    fitting.sort(key=lambda line: (residual[line.line_id], line.line_id))
    n = min(N_LINES, len(fitting))
    return [fitting[round(k * (len(fitting) - 1) / max(n - 1, 1))] for k in range(n)]


def _sprites(sprites: Sequence[LearnedSprite], title: str, suffix: str) -> bytes:
    height, width = (side * POINTS_PER_PIXEL * 1.5 for side in sprites[0].ink.shape)
    n_columns = min(COLUMNS, len(sprites))
    n_rows = -(-len(sprites) // n_columns)
    step_x, step_y = width + 2 * MARGIN, height + 2 * MARGIN + NAME
    across, down = n_columns * step_x, n_rows * step_y + 24
    figure = _figure(across, down)
    plain: dict[str, Any] = {"parse_math": False, "fontsize": 7, "va": "center"}
    figure.text(MARGIN / across, 1 - 12 / down, drawable(title), **plain | {"fontsize": 9})
    for number, one in enumerate(sprites):
        row, column = divmod(number, n_columns)
        left = column * step_x + MARGIN
        below = down - 24 - row * step_y - MARGIN - height
        _show(figure, sprite_image(one.ink), (left, below, width, height), (across, down))
        name = f"{drawable(one.character, 4)}  {one.count}"
        figure.text((left + width / 2) / across, (below - NAME / 2) / down, name, ha="center",
                    color="#444444", **plain)  # fmt: skip
    return _saved(figure, suffix)


def _lines(lines: Sequence[DrawnLine], suffix: str) -> bytes:
    sheets = [stacked(line) for line in lines]
    sizes = [[side * POINTS_PER_PIXEL for side in sheet.size] for sheet in sheets]
    across = max(width for width, _ in sizes) + 2 * MARGIN
    down = sum(height + NAME + 2 * MARGIN for _, height in sizes)
    figure, below = _figure(across, down), down
    for line, sheet, (width, height) in zip(lines, sheets, sizes, strict=True):
        figure.text(MARGIN / across, (below - NAME / 2) / down, drawable(line.line_id, 90),
                    fontsize=6, va="center", color="#444444", parse_math=False)  # fmt: skip
        below -= NAME + height
        _show(figure, sheet, (MARGIN, below, width, height), (across, down))
        below -= 2 * MARGIN
    return _saved(figure, suffix)


def _figure(across: float, down: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(across / 72, down / 72))


def _show(
    figure: Any,
    picture: Image.Image,
    box: tuple[float, float, float, float],
    size: tuple[float, float],
) -> None:
    left, below, width, height = box
    axes = figure.add_axes((left / size[0], below / size[1], width / size[0], height / size[1]))
    axes.set_axis_off()
    axes.imshow(picture.convert("RGB"), interpolation="none", aspect="auto")


def _saved(figure: Any, suffix: str) -> bytes:
    import matplotlib as mpl

    buffer = io.BytesIO()
    own: dict[str, Any] = {"metadata": {"CreationDate": None}} if suffix == "pdf" else {}
    # Type 42 embeds the fonts as outlines that editors can edit; the settings hold here alone.
    with mpl.rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        figure.savefig(buffer, format=suffix, dpi=144, facecolor="white", **own)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> Path:
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return path
