"""Figure sheets in the paper's layout: rows are clusters, columns their members (PNG and PDF).

For every label `<label>-summary` shows 6 clusters x 6 members and `<label>-all` up to 32 x 20;
clusters with fewer than 6 members are skipped. The same inputs give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from typika.files import safe_name, whole_file
from typika.report.build import PatchTable, label_order, shelve
from typika.report.records import ReportInputs

GAP_X, GAP_Y = 2, 4  # white pixels between members, between clusters
MIN_MEMBERS = 6  # a cluster with fewer is no pattern
CELL_RANGE = (32, 160)  # pixels of one patch
POINTS_PER_PIXEL = 0.75  # in the PDF: 96 pixels an inch
LAYOUTS = {"summary": (6, 6), "all": (32, 20)}  # name -> clusters, members


def write_sheets(inputs: ReportInputs, folder: Path) -> list[Path]:
    """Write every label's sheets into `folder`; a label with no large cluster has none."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = PatchTable.read(inputs)
    written: list[Path] = []
    for label in label_order(inputs):
        rows = sheet_rows(inputs, table, label)
        name = safe_name(label)
        for layout, (n_clusters, n_members) in LAYOUTS.items():
            if shown := [row.first(n_members) for row in rows[:n_clusters]]:
                sheet = draw_sheet(shown)
                title = f"{label} · {inputs.facts.title}"
                paths = [folder / f"{name}-{layout}.{suffix}" for suffix in ("png", "pdf")]
                _write(paths[0], png_bytes(sheet))
                _write(paths[1], pdf_bytes(sheet, shown, title))
                written += paths
    return written


# ------------------------------------------------------------------------------------ one sheet


@dataclass(frozen=True)
class SheetRow:
    """One cluster of a sheet: its pictures, closest to the centre first."""

    typicality: float
    size: int
    pictures: tuple[bytes, ...]
    name: str = ""  # by hand

    def first(self, n: int) -> SheetRow:
        """The same cluster with its first `n` members."""
        return replace(self, pictures=self.pictures[:n])


def sheet_rows(inputs: ReportInputs, table: PatchTable, label: str) -> list[SheetRow]:
    """The clusters of `label` that are large enough, by rank."""
    n_clusters, n_members = LAYOUTS["all"]
    clusters = inputs.clusters.filter(pc.equal(inputs.clusters["label"].cast(pa.string()), label))
    facts = clusters.sort_by([("rank", "ascending"), ("cluster", "ascending")]).to_pylist()
    members = shelve(inputs, table, label).clusters
    large = [
        (fact, rows)
        for fact, rows in zip(facts, members, strict=True)
        if len(rows) >= MIN_MEMBERS and not fact.get("hidden", False)
    ]
    return [
        SheetRow(
            typicality=fact["typicality"],
            size=fact["size"],
            pictures=tuple(table.thumbnail[row].as_py() for row in rows[:n_members]),
            name=fact.get("name", ""),
        )
        for fact, rows in large[:n_clusters]
    ]


def draw_sheet(rows: list[SheetRow]) -> Image.Image:
    """Pictures on white, one row per cluster, all cells of one size."""
    pictures = [[_open(content) for content in row.pictures] for row in rows]
    cell = _cell(pictures)
    n_columns = max(map(len, pictures))
    width = n_columns * (cell + GAP_X) - GAP_X
    sheet = Image.new("RGB", (width, len(rows) * (cell + GAP_Y) - GAP_Y), "white")
    for y, line in enumerate(pictures):
        for x, picture in enumerate(line):
            sheet.paste(_fit(picture, cell), (x * (cell + GAP_X), y * (cell + GAP_Y)))
    return sheet


def _open(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _cell(pictures: list[list[Image.Image]]) -> int:
    """The median size of all pictures, within reason: most are then shown pixel by pixel."""
    sides = sorted(max(picture.size) for line in pictures for picture in line)
    return min(max(sides[len(sides) // 2], CELL_RANGE[0]), CELL_RANGE[1])


def _fit(picture: Image.Image, cell: int) -> Image.Image:
    """The picture on a white square of `cell` pixels, with its own proportions."""
    scale = cell / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    square = Image.new("RGB", (cell, cell), "white")
    resized = picture.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(resized, ((cell - width) // 2, (cell - height) // 2))
    return square


# ---------------------------------------------------------------------------------------- files


def png_bytes(sheet: Image.Image) -> bytes:
    """The sheet as PNG."""
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def pdf_bytes(sheet: Image.Image, rows: list[SheetRow], title: str) -> bytes:
    """The sheet as PDF: the title above, each row with its median typicality and size."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    left, top = 84, 34  # points for the labels of the rows and for the title
    width, height = (length * POINTS_PER_PIXEL for length in sheet.size)
    # Type 42 embeds the fonts as outlines that editors can edit; the settings hold here alone.
    with mpl.rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=((width + left) / 72, (height + top) / 72))
        box = (left / (width + left), 0, width / (width + left), height / (height + top))
        axes = figure.add_axes(box)
        axes.set_axis_off()
        axes.imshow(sheet, interpolation="none", aspect="auto")
        _write_words(figure, axes, sheet, rows, drawable(title))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


def _write_words(
    figure: Any, axes: Any, sheet: Image.Image, rows: list[SheetRow], title: str
) -> None:
    # A label may hold a dollar sign, which is no formula.
    plain: dict[str, Any] = {"parse_math": False, "va": "center"}
    points = figure.get_size_inches()[1] * 72
    figure.text(0.012, 1 - 16 / points, title, fontsize=11, **plain)
    step = (sheet.height + GAP_Y) / len(rows)
    for number, row in enumerate(rows):
        middle = number * step + (step - GAP_Y) / 2
        text = f"{row.typicality:#.3g}\n{row.size} patches".replace("-", "−")
        if row.name:
            text = f"{drawable(row.name, 18)}\n{text}"
        axes.text(-10, middle, text, fontsize=8, ha="right", linespacing=1.4, **plain)


def drawable(text: str, length: int = 60) -> str:
    """One line that the embedded font can draw; an empty box stands for any other character."""
    has = _font_characters()
    line = " ".join(text.split())
    short = line if len(line) <= length else line[: length - 1] + "…"
    return "".join(c if has(ord(c)) else "□" for c in short)


def _font_characters() -> Callable[[int], bool]:
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return set(font.get_charmap()).__contains__


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
