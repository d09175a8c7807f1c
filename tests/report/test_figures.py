from __future__ import annotations

import io

import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from typika.files import RESERVED, safe_name
from typika.report.build import PatchTable
from typika.report.figures import draw_sheet, sheet_rows, write_sheets

HOSTILE = ("<script>", "../x", "a/b", "..", "", "🍎", "x" * 10_000, "CON", "a$b^c")


def load(path):
    with Image.open(path) as image:
        return image.convert("RGB")


@given(st.text(max_size=200))
@example("..")
@example("con.txt")
@example("ß" * 100)
def test_safe_names_are_safe(label):
    name = safe_name(label)
    assert 0 < len(name) <= 80
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
    assert not name.startswith((".", "-"))
    assert not name.endswith(".")
    assert ".." not in name
    assert name.split(".")[0] not in RESERVED
    assert safe_name(label) == name


@given(st.text(max_size=30), st.text(max_size=30))
@example("Apple", "apple")
@example("a b", "a-b")
@example("é", "e")
@example("..", "label")
def test_two_labels_never_share_a_name(one, other):
    assert one == other or safe_name(one) != safe_name(other)


def test_a_slugged_name_is_not_the_name_of_another_label():
    assert safe_name(safe_name("A b")) != safe_name("A b")


@pytest.mark.parametrize("label", ["apple", "1910", "new-york", "no_finding", "v1.5"])
def test_plain_labels_stay_as_they_are(label):
    assert safe_name(label) == label


def test_the_sheets_have_the_paper_s_layout(make_inputs, tmp_path):
    inputs = make_inputs(sizes=(12, 5, 25, 6))
    paths = write_sheets(inputs, tmp_path / "figures")
    names = [
        f"{x}-{kind}.{s}"
        for x in ("amber", "blue", "coral")
        for kind in ("summary", "all")
        for s in ("png", "pdf")
    ]
    assert [path.name for path in paths] == names
    # Cells of 32 pixels, the smallest allowed; the cluster of five is skipped.
    summary, everything = load(paths[0]), load(paths[2])
    assert summary.size == (6 * 32 + 5 * 2, 3 * 32 + 2 * 4)
    assert everything.size == (20 * 32 + 19 * 2, 3 * 32 + 2 * 4)
    gap = summary.crop((32, 0, 34, 32)), summary.crop((0, 32, 32, 36))
    assert all(part.getextrema() == ((255, 255),) * 3 for part in gap)
    assert paths[1].read_bytes().startswith(b"%PDF")
    assert b"FontFile2" in paths[1].read_bytes()


def test_members_stand_in_order_of_distance(make_inputs):
    inputs = make_inputs(labels=("a",), sizes=(8,))
    typical = pc.equal(inputs.patches["selection"], "typical")
    rows = inputs.patches.filter(typical).sort_by("distance").to_pylist()
    row = sheet_rows(inputs, PatchTable.read(inputs), "a")[0]
    assert list(row.pictures) == [patch["thumbnail"]["bytes"] for patch in rows]
    first = (
        Image.open(io.BytesIO(row.pictures[0]))
        .convert("RGB")
        .resize((32, 32), Image.Resampling.LANCZOS)
    )
    assert draw_sheet([row]).crop((0, 0, 32, 32)).tobytes() == first.tobytes()


def test_same_inputs_same_files(make_inputs, tmp_path):
    one = write_sheets(make_inputs(), tmp_path / "one")
    two = write_sheets(make_inputs(), tmp_path / "two")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_any_label_gets_its_sheets_inside_the_folder(make_inputs, tmp_path):
    folder = tmp_path / "figures"
    paths = write_sheets(make_inputs(labels=HOSTILE, sizes=(6,)), folder)
    assert len(set(paths)) == 4 * len(HOSTILE)
    assert {path.resolve().parent for path in paths} == {folder.resolve()}


def test_a_label_with_small_clusters_alone_has_no_sheet(make_inputs, tmp_path):
    assert write_sheets(make_inputs(sizes=(5, 3)), tmp_path) == []
