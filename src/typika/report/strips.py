"""One picture of several methods: of each label one strip of every method's first clusters.

The same as PNG and as PDF, with the labels and methods written beside the strips. The same inputs
give the same bytes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from typika.files import whole_file
from typika.report.figures import GAP_Y, SheetRow, draw_sheet, drawable
from typika.report.methods import MOST_CENTRES
from typika.report.methods_records import MethodsInputs

MOST_LABELS = 12  # a taller picture fits no page
LEFT, HEAD = 150, 26  # points for the names of the methods, and for that of a label
POINTS_PER_PIXEL = 0.5  # 144 pixels an inch


def write_strips(inputs: MethodsInputs, folder: Path) -> list[Path]:
    """Write methods.png and methods.pdf; none where no method has a cluster."""
    sheets = [
        (label, names, draw_sheet(rows))
        for label in inputs.labels[:MOST_LABELS]
        for names, rows in [_rows(inputs, label)]
        if rows
    ]
    written = []
    for suffix in ("png", "pdf") if sheets else ():
        path = folder / f"methods.{suffix}"
        with whole_file(path) as temporary:
            temporary.write_bytes(_drawn(sheets, suffix))
        written.append(path)
    return written


def _rows(inputs: MethodsInputs, label: str) -> tuple[list[str], list[SheetRow]]:
    names, rows = [], []
    for run in inputs.runs:
        centres = run.centres.get(label, ())[:MOST_CENTRES]
        if centres:
            names.append(run.method)
            rows.append(SheetRow(0.0, len(centres), tuple(one.jpeg for one in centres)))
    return names, rows


def _drawn(sheets: list[tuple[str, list[str], Any]], suffix: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    sizes = [[side * POINTS_PER_PIXEL for side in sheet.size] for _, _, sheet in sheets]
    width = LEFT + max(across for across, _ in sizes)
    height = sum(down + HEAD for _, down in sizes)
    # Type 42 embeds the fonts as outlines that editors can edit; the settings hold here alone.
    with mpl.rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(width / 72, height / 72))
        below = height
        for (label, names, sheet), (across, down) in zip(sheets, sizes, strict=True):
            plain: dict[str, Any] = {"parse_math": False, "va": "center"}
            figure.text(4 / width, (below - HEAD / 2) / height, drawable(label), fontsize=11,
                        **plain)  # fmt: skip
            below -= HEAD + down
            box = (LEFT / width, below / height, across / width, down / height)
            axes = figure.add_axes(box)
            axes.set_axis_off()
            axes.imshow(sheet, interpolation="none", aspect="auto")
            step = (sheet.height + GAP_Y) / len(names)
            for number, name in enumerate(names):
                middle = number * step + (step - GAP_Y) / 2
                axes.text(-10, middle, drawable(name, 28), fontsize=7, ha="right", **plain)
        buffer = io.BytesIO()
        own: dict[str, Any] = {"metadata": {"CreationDate": None}} if suffix == "pdf" else {}
        figure.savefig(buffer, format=suffix, dpi=144, facecolor="white", **own)
    return buffer.getvalue()
