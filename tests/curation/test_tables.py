"""Curated clusters as tables."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from edit_plans import log

from typika.curation.apply import Found, curate
from typika.curation.edits import Annotate, Drop, Hide, Log, Merge, Rename, Split, Star
from typika.curation.tables import BY_HAND, curated_patches, curated_tables, exported

COLUMNS = ("label", "cluster", "rank", "size", "typicality", "low", "high", "n_images",
           "stability", "repeats")  # fmt: skip


def patches() -> pa.Table:
    """Two clusters of four and three patches, a loose one, and a control."""
    numbers = [0, 0, 0, 0, 1, 1, 1, -1, -1]
    return pa.Table.from_pylist([
        {"image_id": f"i{row}", "label": "a", "selection": "random" if row == 8 else "typical",
         "left": row, "top": 0, "right": row + 9, "bottom": 9, "typicality": float(row),
         "cluster": number, "group": f"g{row // 2}", "cluster_name": "of the user"}
        for row, number in enumerate(numbers)
    ])  # fmt: skip


def clusters() -> pa.Table:
    rows = [
        ("a", 0, 1, 4, 9.0, 8.0, 9.5, 4, 0.75, 0.5),
        ("a", 1, 2, 3, 5.0, 4.0, 6.0, 3, 0.5, 0.5),
    ]
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows])


def test_untouched_clusters_keep_their_figures_and_all_get_the_columns():
    _, table, _ = curated_tables(patches(), clusters(), Log())
    assert table.select(list(COLUMNS)).equals(clusters())
    assert table.column_names == [*COLUMNS, *BY_HAND]
    first = Found.read(patches()).anchor([0, 1, 2, 3])
    _, table, _ = curated_tables(patches(), clusters(), log(Rename(first, "x"), Star(first)))
    assert table.select(list(COLUMNS)).equals(clusters())
    assert table["name"].to_pylist() == ["x", ""]


def test_changed_clusters_are_measured_again():
    found = Found.read(patches())
    first, second = found.anchor([0, 1, 2, 3]), found.anchor([4, 5, 6])
    edits = log(Merge(first, second), Drop(found.anchor([0, 7])))
    table, rows, curated = curated_tables(patches(), clusters(), edits)
    (one,) = rows.to_pylist()
    assert (one["cluster"], one["rank"], one["size"], one["n_images"]) == (1, 2, 6, 6)
    assert one["typicality"] == 3.5  # median of 1 .. 6
    assert one["low"] <= 3.5 <= one["high"]
    assert math.isnan(one["stability"])
    assert (one["sources"], one["whole"], one["left_out"]) == ([0, 1], False, 1)
    assert table["cluster"].to_pylist() == [1] * 6 + [-1]  # the control stays
    assert table["image_id"].to_pylist() == [f"i{row}" for row in (1, 2, 3, 4, 5, 6, 8)]
    assert curated.dropped.sum() == 2


def test_a_cluster_whose_patches_are_all_left_out_is_gone():
    found = Found.read(patches())
    _, rows, _ = curated_tables(patches(), clusters(), log(Drop(found.anchor([4, 5, 6]))))
    assert rows["cluster"].to_pylist() == [0]


def test_loose_patches_can_be_made_a_cluster():
    found = Found.read(patches())
    _, rows, _ = curated_tables(patches(), clusters(), log(Split(found.anchor([7]), "new")))
    last = rows.to_pylist()[-1]
    assert (last["cluster"], last["rank"], last["size"], last["name"]) == (2, 3, 1, "new")
    assert last["sources"] == []
    assert math.isnan(last["low"])  # one image has no interval


def test_exports_have_names_and_nothing_that_is_hidden():
    found = Found.read(patches())
    first, second = found.anchor([0, 1, 2, 3]), found.anchor([4, 5, 6])
    edits = log(Rename(first, "door"), Annotate(first, "why"), Star(first), Hide(second))
    curated = curate(found, edits)
    table = exported(curated_patches(patches(), curated), curated.clusters)
    assert table["image_id"].to_pylist() == ["i0", "i1", "i2", "i3", "i7", "i8"]
    assert table["cluster_name"].to_pylist() == ["door"] * 4 + ["", ""]
    assert table["cluster_note"].to_pylist() == ["why"] * 4 + ["", ""]
    assert table["cluster_starred"].to_pylist() == [True] * 4 + [False] * 2
    assert set(table["column_cluster_name"].to_pylist()) == {"of the user"}


@pytest.mark.parametrize("number", [0, 1])
def test_a_run_of_no_groups_is_measured_by_images(number: int):
    plain = patches().drop_columns(["group"])
    own = [0, 1, 2] if number == 0 else [4, 5]
    _, rows, _ = curated_tables(plain, clusters(), log(Drop(Found.read(plain).anchor(own[:1]))))
    assert rows["left_out"].to_pylist()[number] == 1
