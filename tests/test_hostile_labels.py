"""Labels, names and texts made to break a format, through every writer of one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from typika.exporting_patches import FORMATS, export_patches
from typika.exports import svg
from typika.exports._xml import clean
from typika.exports.alto import alto
from typika.exports.hand import Hand
from typika.exports.page import page_xml
from typika.exports.pages import Block, Line, Page
from typika.exports.ttf import family_name, postscript_name
from typika.files import MAX_NAME, RESERVED, safe_name
from typika.palaeography.records import Letter
from typika.tables import FORMULA_STARTS, harmless, read_parquet, write_csv, write_parquet

LABELS = (
    "<script>alert(1)</script>", "]]><!--", "</title></svg>", "&#0;&x;", '"\'`', "{{ 7 * 7 }}",
    "=HYPERLINK(\"http://x\")", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "|cmd",
    "../../../etc/passwd", "/etc/passwd", "..", ".", "~", "C:\\x", "\\\\host\\x", "a/b", "con",
    "CON", "nul.txt", "aux.", "com1", "lpt9.png", "x ", " x", "x.", "a:b", "a?b*c", "\0", "a\0b",
    "\x1b[2J", "\x7f", "\x85", "\ufffe", "\ufeffx", "\u202egnp.x", "\u2066x\u2069", "\u200b",
    "\u2028x", "e\u0301", "é", "ﬁ", "İ", "😀", "\U0010ffff", "x" * 10_000, "1" * 10_000,
    "\u0301" * 500, "", "None", "null", "%s%n", "#xywh=0,0,1,1",
)  # fmt: skip
SIZE = (100, 80)


def run_of(folder: Path) -> Path:
    """A run whose labels, images and columns are called so."""
    run = folder / "runs" / "towns"
    run.mkdir(parents=True)
    (folder / "images").mkdir()
    rows = [
        {"image_id": label or "0", "file_name": f"{number}{label[:200]}", "label": label,
         "selection": "typical", "rank": 1, "left": 1, "top": 2, "right": 30, "bottom": 40,
         "typicality": 0.5, "cluster": number, "map_x": 0.0, "map_y": 1.0,
         "thumbnail": {"bytes": b"x", "path": label}, "width": SIZE[0], "height": SIZE[1],
         "note": label, "iiif_image": label}
        for number, label in enumerate(LABELS)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    table = table.rename_columns([name if name != "note" else "=<b>\u202e" for name in
                                  table.column_names])  # fmt: skip
    write_parquet(table, run / "patches.parquet")
    (run / "run.json").write_text('{"source": "../../images", "stages": {}, "config": {}}')
    return run


def strict(path: Path) -> dict:
    """A file of JSON, with no NaN in it."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=float.fromhex)


def test_every_export_of_patches_keeps_them_and_its_place(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    before = set(tmp_path.rglob("*"))
    for format in FORMATS:
        export_patches(run, format)
    exports = run / "exports"
    assert set(tmp_path.rglob("*")) - before == {exports, *exports.rglob("*")}
    coco = strict(exports / "coco.json")
    assert [one["attributes"]["label"] for one in coco["annotations"]] == list(LABELS)
    samples = {one["file_name"]: one for one in strict(exports / "fiftyone" / "samples.json")
               ["samples"]}  # fmt: skip
    for number, label in enumerate(LABELS):
        own = samples[f"{number}{label[:200]}"]
        assert own["labels"]["classifications"][0]["label"] == label
    canvases = strict(exports / "manifest.json")["items"]
    bodies = {one["annotations"][0]["items"][0]["body"]["value"] for one in canvases}
    assert bodies == {f"{label} / {n + 1}, typicality 0.5" for n, label in enumerate(LABELS)}
    for canvas in canvases:
        # Whatever the name, an address is one: no space, no second fragment.
        assert canvas["id"].isascii()
        assert "#" not in canvas["id"]
        assert canvas["annotations"][0]["items"][0]["target"].count("#") == 1
    assert unquote(canvases[0]["id"]).startswith("http://localhost:8000/")
    assert sorted(read_parquet(exports / "atlas.parquet")["label"].to_pylist()) == sorted(LABELS)


def test_no_cell_of_csv_is_a_formula(tmp_path: Path) -> None:
    write_csv(
        pa.table({"=name": list(LABELS), "-n": list(range(len(LABELS)))}), tmp_path / "x.csv"
    )
    text = (tmp_path / "x.csv").read_bytes().decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["'=name", "'-n"]
    assert [cell for cell, _ in rows] == [harmless(label) for label in LABELS]
    assert not any(cell.startswith(FORMULA_STARTS) for row in rows for cell in row)


def test_names_of_files_are_safe_everywhere_and_apart() -> None:
    names = [safe_name(label) for label in LABELS]
    assert len({name.casefold() for name in names}) == len(LABELS)
    for name in names:
        assert name.isascii()
        assert 0 < len(name) <= MAX_NAME
        assert name == name.strip(". ")
        assert not set(name) & set('<>:"/\\|?*\0')
        assert name.split(".")[0].lower() not in RESERVED


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=12), min_size=2, max_size=6, unique=True))
def test_names_of_files_of_any_text_are_apart(labels: list[str]) -> None:
    assert len({safe_name(label).casefold() for label in labels}) == len(labels)


@pytest.mark.parametrize("write", [alto, lambda page: page_xml(page, "2026-12-01T00:00:00")],
                         ids=["alto", "page"])  # fmt: skip
def test_pages_of_xml_hold_every_text(write) -> None:
    box = ((1.0, 1.0), (90.0, 1.0), (90.0, 20.0), (1.0, 20.0))
    lines = tuple(
        Line(name=label, text=label, kind=label, baseline=box[2:], polygon=box, words=())
        for label in LABELS
    )
    block = Block(name=LABELS[0], label=LABELS[0], polygon=box, lines=lines)
    page = Page(name="x", image=LABELS[1], width=100, height=80, blocks=(block,))
    root = ElementTree.fromstring(write(page))
    texts = {value for one in root.iter() for value in (one.text, *one.attrib.values()) if value}
    plain = {" ".join(text.split()) for text in texts}
    for label in LABELS:
        # What XML may not hold is U+FFFD; a parser makes spaces of line ends in attributes.
        assert " ".join(clean(label).split()) in {*plain, ""}, repr(label)
    names = [value for one in root.iter() for key, value in one.attrib.items()
             if key.lower() == "id"]  # fmt: skip
    assert len(names) == len(set(names))


def test_drawings_are_xml_and_titled() -> None:
    blank = np.zeros((1, 20, 20))
    for label in LABELS:
        own = Hand(name=label, letters=(Letter("<"),), ink=blank, reference=blank)
        root = ElementTree.fromstring(svg.sheet(own).encode())
        assert (root[0].text or "").split() == clean(label).split()
    ink = blank.copy()
    ink[0, 5:15, 5:15] = 1.0
    for sign in "<&\u202e\0/":
        own = Hand(name="x", letters=(Letter(sign),), ink=ink, reference=ink)
        ((name, text),) = svg.letters(own).items()
        ElementTree.fromstring(text.encode())
        assert name == f"U+{ord(sign):04X}.svg"


def test_names_of_fonts_can_be_shown() -> None:
    for label in LABELS:
        family = family_name(label)
        assert 0 < len(family) <= 60
        assert family.isprintable()
        assert postscript_name(family).replace("-", "").isalnum()
        assert len(postscript_name(family)) <= 80
