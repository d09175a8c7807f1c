"""Collections that call things their own way: columns, separators, groups, lists of splits."""

import csv
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagery import class_folders, encoded, picture, write

from typika.collection._labels import Bin, separate_labels
from typika.collection.images import Dialect, ImageCollection
from typika.errors import ConfigError, DataError

LABELS = st.lists(st.sampled_from(["Mass", "Nodule", "No Finding", "Edema"]), max_size=5)


def table(root: Path, rows: list[dict], name: str = "entries.csv") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with (root / name).open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root / name


def column(collection, name):
    return collection.table[name].to_pylist()


def pairs(collection, name):
    return sorted(zip(column(collection, "file_name"), column(collection, name), strict=True))


@pytest.fixture
def hospital(tmp_path) -> Path:
    """Six images of three patients in two folders, and a table that names files barely."""
    for i in range(6):
        write(tmp_path / f"images_{i % 2}" / "images" / f"{i}.png", i)
    cells = ("Mass", "Nodule", "Mass|Nodule", "Edema | Mass|", "Nodule", "Edema")
    rows = [
        {"Image Index": f"{i}.png", "Finding": cell, "Patient ID": i // 2}
        for i, cell in enumerate(cells)
    ]
    table(tmp_path, rows)
    (tmp_path / "train.txt").write_text("0.png\nimages_1/images/1.png\r\n\n2.png\n3.png\n")
    (tmp_path / "test.txt").write_text("4.png\n")
    return tmp_path


ENTRIES = {"table": "entries.csv", "file": "Image Index", "label": "Finding"}


# Which table, which files ---------------------------------------------------------------------


def test_a_named_table_and_bare_names_that_lie_deeper(hospital):
    collection = ImageCollection.open(hospital, **ENTRIES)
    assert collection.skipped == ()
    assert pairs(collection, "Finding")[0] == ("images_0/images/0.png", "Mass")
    assert collection.load(0).size == (40, 32)


def test_a_named_table_wins_over_metadata(hospital):
    table(hospital, [{"file_name": "0.png", "label": "x"}], "metadata.csv")
    assert "Edema" in ImageCollection.open(hospital, **ENTRIES).labels


def test_a_bare_name_of_two_files_is_skipped_with_the_reason(hospital):
    write(hospital / "images_1" / "0.png", 9)
    collection = ImageCollection.open(hospital, **ENTRIES)
    reasons = {item.file_name: item.reason for item in collection.skipped}
    both = "several files have this name: images_0/images/0.png, images_1/0.png"
    assert reasons["0.png"] == both
    assert reasons["images_1/0.png"] == "no row in entries.csv"


def test_the_file_at_the_root_is_meant_before_deeper_ones(hospital):
    write(hospital / "0.png", 9)
    collection = ImageCollection.open(hospital, **ENTRIES)
    assert ("0.png", "Mass") in pairs(collection, "Finding")


def test_a_name_with_a_folder_is_not_sought_elsewhere(hospital):
    names = ("images_0/images/0.png", "images_1/images/1.png", "other/2.png")
    rows = [{"file_name": name, "label": name[-5]} for name in names]
    table(hospital, rows, "metadata.csv")
    reasons = {item.file_name: item.reason for item in ImageCollection.open(hospital).skipped}
    assert reasons["other/2.png"] == "no such file"


def test_an_unnamed_column_after_a_trailing_comma(hospital):
    path = hospital / "entries.csv"
    path.write_text("".join(f"{line},\n" for line in path.read_text().splitlines()))
    collection = ImageCollection.open(hospital, **ENTRIES)
    collection.save(hospital / "saved")
    again = ImageCollection.restore(hospital / "saved", hospital)
    assert again == collection


# Several labels in a cell ---------------------------------------------------------------------


def test_each_label_of_a_cell_gets_a_row(hospital):
    collection = ImageCollection.open(hospital, **ENTRIES, separator="|")
    assert collection.labels == ("Edema", "Mass", "Nodule")
    assert pairs(collection, "label") == [
        ("images_0/images/0.png", "Mass"),
        ("images_0/images/2.png", "Mass"),
        ("images_0/images/2.png", "Nodule"),
        ("images_0/images/4.png", "Nodule"),
        ("images_1/images/1.png", "Nodule"),
        ("images_1/images/3.png", "Edema"),
        ("images_1/images/3.png", "Mass"),
        ("images_1/images/5.png", "Edema"),
    ]
    assert dict(pairs(collection, "Finding"))["images_0/images/2.png"] == "Mass|Nodule"
    assert collection.skipped == ()


@given(st.lists(LABELS, max_size=8), st.sampled_from(["|", ";", ", ", "--"]))
def test_rows_are_the_sum_of_labels(cells, separator):
    text = pa.array([separator.join(labels) for labels in cells], pa.string())
    rows, labels = separate_labels(text, text, separator, None)
    assert len(rows) == sum(max(1, len(set(labels))) for labels in cells)
    found = [set() for _ in cells]
    for row, label in zip(rows.to_pylist(), labels.to_pylist(), strict=True):
        found[row].add(label)
    assert found == [set(labels) or {""} for labels in cells]


def test_labels_are_binned_one_by_one():
    cells = pa.array(["1921|1935|1929", "", "1940"], pa.string())
    rows, labels = separate_labels(cells, cells, "|", Bin.parse("decade"))
    assert rows.to_pylist() == [0, 0, 1, 2]
    assert labels.to_pylist() == ["1920", "1930", "", "1940"]
    names = pa.array(["a.png", "b.png"])
    with pytest.raises(ConfigError, match=r"'old' \(of b\.png\) is no number"):
        separate_labels(pa.array(["1|2", "3|old"]), names, "|", Bin.parse(10))


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(5)))
def test_order_and_names_of_files_change_nothing(tmp_path_factory, order):
    cells = ["Mass|Nodule", "Nodule", "Edema|Mass", "Edema", "Nodule|Edema|Mass"]
    tables = []
    for numbers, folder in ((range(5), "images"), (order, "a/b")):
        root = tmp_path_factory.mktemp("root")
        rows = []
        for i in numbers:
            write(root / folder / f"{folder[0]}{i}.png", i)
            rows.append({"Image": f"{folder[0]}{i}.png", "Finding": cells[i], "Patient": i // 2})
        table(root, rows)
        (root / "test.txt").write_text("\n".join(f"{folder[0]}{i}.png" for i in (0, 3)))
        collection = ImageCollection.open(
            root, table="entries.csv", file="Image", label="Finding", separator="|",
            group="Patient", split_lists=("test=test.txt",),
        )  # fmt: skip
        tables.append(collection.table.drop_columns(["file_name", "Image"]))
    assert tables[0] == tables[1]


def test_class_folders_may_name_several_labels(tmp_path):
    class_folders(tmp_path, ("a+b", "b", "c"), 1)
    collection = ImageCollection.open(tmp_path, separator="+")
    assert pairs(collection, "label")[:2] == [("a+b/0.png", "a"), ("a+b/0.png", "b")]


def test_images_in_parquet_may_have_several_labels(tmp_path):
    cells = pa.array([encoded(picture(i)) for i in range(3)], pa.binary())
    stored = pa.table({"image": cells, "label": ["a|b", "b", "a|c"], "who": ["x", "x", "y"]})
    pq.write_table(stored, tmp_path / "x.parquet")
    collection = ImageCollection.open(tmp_path, separator="|", group="who")
    assert len(collection) == 5
    assert set(column(collection, "group")) == {"x", "y"}
    for row, number in enumerate(column(collection, "source_row")):
        expected = np.asarray(picture(number))
        assert np.array_equal(np.asarray(collection.load(row)), expected)


# Groups ---------------------------------------------------------------------------------------


def test_the_named_column_binds(hospital):
    collection = ImageCollection.open(hospital, **ENTRIES, separator="|", group="Patient ID")
    assert pairs(collection, "group")[0] == ("images_0/images/0.png", "0")
    assert set(column(collection, "group")) == {"0", "1", "2"}
    assert set(column(collection, "Patient ID")) == {0, 1, 2}
    for seed in range(5):
        first, second = collection.split_halves(seed)
        groups = np.array(column(collection, "group"))
        assert not set(groups[first]) & set(groups[second])


def test_the_named_column_wins_over_one_called_group(tmp_path):
    for i in range(4):
        write(tmp_path / f"{i}.png", i)
    rows = [
        {"file_name": f"{i}.png", "label": "ab"[i % 2], "group": "g", "who": f"w{i // 2}"}
        for i in range(4)
    ]
    table(tmp_path, rows, "metadata.csv")
    collection = ImageCollection.open(tmp_path, group="who")
    assert set(column(collection, "group")) == {"w0", "w1"}
    assert set(column(collection, "group_")) == {"g"}


def test_the_group_is_not_guessed_to_be_the_label(tmp_path):
    for i in range(4):
        write(tmp_path / f"{i}.png", i)
    rows = [{"file_name": f"{i}.png", "kind": "ab"[i % 2], "who": "xy"[i // 2]} for i in range(4)]
    table(tmp_path, rows, "metadata.csv")
    with pytest.raises(ConfigError, match="several columns may hold the labels"):
        ImageCollection.open(tmp_path)
    assert ImageCollection.open(tmp_path, group="who").labels == ("a", "b")


# Splits ---------------------------------------------------------------------------------------

LISTS = ("train=train.txt", "test=test.txt")


def test_lists_say_the_split_of_images(hospital):
    collection = ImageCollection.open(hospital, **ENTRIES, separator="|", split_lists=LISTS)
    splits = dict(pairs(collection, "split"))
    assert [splits[f"images_{i % 2}/images/{i}.png"] for i in range(6)] == [
        *["train"] * 4,
        "test",
        "",
    ]
    assert not any("txt" in note for note in collection.notes)


def test_in_split(hospital):
    collection = ImageCollection.open(hospital, **ENTRIES, separator="|", split_lists=LISTS)
    train, test, every = (collection.in_split(name) for name in ("train", "test", ""))
    assert train.dtype == bool
    assert [mask.sum() for mask in (train, test, every)] == [6, 1, 8]
    assert set(column(collection.select(test), "file_name")) == {"images_0/images/4.png"}
    with pytest.raises(ConfigError, match=r"split 'val'.*test \(1\), train \(6\)"):
        collection.in_split("val")


def test_in_split_where_there_are_none(tmp_path):
    collection = ImageCollection.open(class_folders(tmp_path))
    assert collection.in_split("").all()
    with pytest.raises(ConfigError, match=r"splits \(rows\): none"):
        collection.in_split("train")


def test_lists_win_over_a_column_and_serve_class_folders(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "some.txt").write_text("a/0.png\nb/1.png\n")
    collection = ImageCollection.open(tmp_path, split_lists=("some=some.txt",))
    assert pairs(collection, "split") == [
        ("a/0.png", "some"), ("a/1.png", ""), ("b/0.png", ""), ("b/1.png", "some"),
    ]  # fmt: skip
    rows = [
        {"file_name": f"{a}/{i}.png", "label": a, "split": "old"} for a in "ab" for i in (0, 1)
    ]
    table(tmp_path, rows, "metadata.csv")
    collection = ImageCollection.open(tmp_path, split_lists=("some=some.txt",))
    assert sorted(column(collection, "split")) == ["", "", "some", "some"]
    assert set(column(collection, "split_")) == {"old"}


def test_listed_images_that_are_not_there_are_remarked(hospital):
    (hospital / "test.txt").write_text("4.png\ngone.png\n../5.png\n")
    collection = ImageCollection.open(hospital, **ENTRIES, split_lists=LISTS)
    assert "test.txt names 2 images (of 3) that are not here, e.g. gone.png (no such file)" in (
        collection.notes
    )


def test_an_image_in_two_splits(hospital):
    (hospital / "test.txt").write_text("images_0/images/2.png\n")
    with pytest.raises(DataError, match=r"test\.txt: .*2\.png is already in .*'train'"):
        ImageCollection.open(hospital, **ENTRIES, split_lists=LISTS)


def test_a_list_that_is_no_text(hospital):
    (hospital / "test.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=r"test\.txt: cannot be read as a list"):
        ImageCollection.open(hospital, **ENTRIES, split_lists=LISTS)


# What does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "../entries.csv"}, "table '../entries.csv': need the name of a file"),
        ({"table": "deep/entries.csv"}, "need the name of a file"),
        ({"table": "a\\b.csv"}, "need the name of a file"),
        ({"table": "C:entries.csv"}, "need the name of a file"),
        ({"table": ""}, "need the name of a file"),
        ({"table": "entries.txt"}, "need a .csv"),
        ({"separator": ""}, "separator '': need what stands between"),
        ({"separator": " "}, "separator ' ': need what stands between"),
        ({"split_lists": ("train.txt",)}, "split_lists 'train.txt': need split=file"),
        ({"split_lists": ("=train.txt",)}, "need split=file"),
        ({"split_lists": ("train=",)}, "need split=file"),
        ({"split_lists": ("train=../train.txt",)}, "need split=file"),
        ({"split_lists": ("train=/etc/passwd",)}, "need split=file"),
    ],
)
def test_words_that_mean_nothing(options, message):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        Dialect(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "other.csv"}, "'other.csv': not in .*; tables there: entries.csv"),
        ({"file": "Image"}, "file 'Image': no such column; columns: Image Index, Finding, Pat"),
        ({"group": "Patient"}, "group 'Patient': no such column; columns: Image Index"),
        ({"label": "Findings"}, "no column 'Findings'"),
        ({"split_lists": ("val=val.txt",)}, r"val\.txt of the split 'val' is not there"),
    ],
)
def test_names_that_are_not_there(hospital, options, message):
    with pytest.raises(ConfigError, match=message):
        ImageCollection.open(hospital, **ENTRIES | options)


def test_what_a_kind_of_collection_has_not(tmp_path, hospital):
    folders = class_folders(tmp_path / "folders")
    for option in ("file", "group"):
        with pytest.raises(ConfigError, match=f"{option} 'x': .*no metadata table"):
            ImageCollection.open(folders, **{option: "x"})
    cells = pa.array([encoded(picture(i)) for i in range(2)], pa.binary())
    stored = pa.table({"image": cells, "label": ["a", "b"]})
    (tmp_path / "stored").mkdir()
    pq.write_table(stored, tmp_path / "stored" / "x.parquet")
    (tmp_path / "stored" / "t.txt").write_text("")
    with pytest.raises(ConfigError, match=r"split_lists t=t\.txt: .*inside Parquet"):
        ImageCollection.open(tmp_path / "stored", split_lists=("t=t.txt",))
    with pytest.raises(ConfigError, match="holds the images itself"):
        ImageCollection.open(tmp_path / "stored", table="x.parquet")
    with pytest.raises(ConfigError, match="is itself a table"):
        ImageCollection.open(hospital / "entries.csv", **ENTRIES)


def test_a_table_without_file_names_says_how_to_name_the_column(hospital):
    with pytest.raises(DataError, match=r"columns: Image Index, .*collection\.file"):
        ImageCollection.open(hospital, table="entries.csv", label="Finding")


# Whether a saved collection still holds -------------------------------------------------------


def test_the_fingerprint_follows_the_named_table_and_the_lists(hospital):
    def fingerprint() -> str:
        return ImageCollection.fingerprint(
            hospital, table="entries.csv", file="Image Index", split_lists=LISTS
        )

    seen = [fingerprint()]
    assert fingerprint() == seen[0]
    for name in ("train.txt", "test.txt", "entries.csv", "images_1/images/1.png"):
        os.utime(hospital / name, ns=(1, 1))
        seen.append(fingerprint())
    assert len(set(seen)) == 5
