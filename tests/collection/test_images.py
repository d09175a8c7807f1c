import csv
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagery import class_folders, encoded, picture, write
from PIL import Image, ImageEnhance

from pictures import draw_photo
from typika.collection._files import natural_order
from typika.collection.images import ImageCollection, Skipped
from typika.errors import ConfigError, DataError

OWN = ["image_id", "file_name", "label", "width", "height", "group", "duplicate", "split"]


def column(collection, name):
    return collection.table[name].to_pylist()


def by_file(collection, name):
    return dict(zip(column(collection, "file_name"), column(collection, name), strict=True))


def reasons(collection):
    return {item.file_name: item.reason for item in collection.skipped}


def metadata(root: Path, rows: list[dict], name: str = "metadata.csv") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    path = root / name
    if name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def images(root: Path, n: int) -> None:
    for i in range(n):
        write(root / f"{i}.png", i)


# Class folders --------------------------------------------------------------------------------


def test_a_table_that_was_opened_by_name_finds_its_images_again(tmp_path: Path) -> None:
    for number in range(4):
        draw_photo(tmp_path / f"{number}.jpg", number % 2, number)
    table = tmp_path / "list.csv"
    table.write_text("file_name,label\n0.jpg,a\n1.jpg,b\n2.jpg,a\n3.jpg,b\n")
    collection = ImageCollection.open(table)
    collection.save(tmp_path / "saved")
    again = ImageCollection.restore(tmp_path / "saved", table)
    assert again.load(0).tobytes() == collection.load(0).tobytes()


def test_class_folders(tmp_path):
    class_folders(tmp_path, ("cat", "dog"))
    write(tmp_path / "dog" / "deep" / "x.JPG", 9)
    write(tmp_path / "root.png", 10)
    (tmp_path / "cat" / "notes.txt").write_text("ignored")
    for hidden in (".hidden/a.png", "__MACOSX/cat/b.png", "cat/.c.png"):
        write(tmp_path / hidden, 11)
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"")
    collection = ImageCollection.open(tmp_path)
    assert collection.table.column_names == OWN
    assert by_file(collection, "label") == {
        **{f"{label}/{j}.png": label for label in ("cat", "dog") for j in (0, 1)},
        "dog/deep/x.JPG": "dog",
    }
    assert reasons(collection) == {"root.png": "no label"}
    assert collection.labels == ("cat", "dog")
    assert set(column(collection, "width")) == {40}
    assert set(column(collection, "split")) == {""}
    assert collection.table.schema.field("width").type == pa.int32()
    assert collection.load(0).size == (40, 32)


def test_split_folders(tmp_path):
    for i, split in enumerate(("train", "val", "test")):
        for j, label in enumerate(("a", "b")):
            write(tmp_path / split / label / "x.png", 2 * i + j)
    collection = ImageCollection.open(tmp_path)
    assert collection.labels == ("a", "b")
    assert by_file(collection, "split")["val/a/x.png"] == "val"


def test_train_is_a_label_among_others(tmp_path):
    class_folders(tmp_path, ("train", "bus"))
    assert ImageCollection.open(tmp_path).labels == ("bus", "train")


def test_labels_are_any_text_and_stripped(tmp_path):
    names = ("<script>", " 日本 ", "a{b}", "é" * 100, "…")
    for i, name in enumerate(names):
        write(tmp_path / name / "x.png", i)
    assert set(ImageCollection.open(tmp_path).labels) == {name.strip() for name in names}


def test_300_labels_with_one_image_each(tmp_path):
    for i in range(300):
        write(tmp_path / f"label {i}" / "x.bmp", i)
    collection = ImageCollection.open(tmp_path)
    assert collection.labels == tuple(f"label {i}" for i in range(300))
    assert sorted(collection.label_index.tolist()) == list(range(300))
    first, second = collection.split_halves(0)
    assert len(first) == len(second) == 150


def test_natural_order():
    assert natural_order(["1900", "-50", "1890", "99"]) == ["-50", "99", "1890", "1900"]
    assert natural_order(["item 10", "item 2", "Item 1"]) == ["Item 1", "item 2", "item 10"]
    assert natural_order(["nan", "2", "10", "inf"]) == ["2", "10", "inf", "nan"]


@given(st.lists(st.text(), unique=True))
def test_natural_order_is_total(labels):
    assert natural_order(labels) == natural_order(labels[::-1])


def test_bin_of_folder_labels(tmp_path):
    class_folders(tmp_path, ("1893", "1899", "1902"))
    assert ImageCollection.open(tmp_path, bin="decade").labels == ("1890", "1900")
    with pytest.raises(ConfigError, match="class folders"):
        ImageCollection.open(tmp_path, label="year")


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    class_folders(tmp_path / "store")
    (tmp_path / "root").mkdir()
    for label in ("a", "b"):
        (tmp_path / "root" / label).symlink_to(tmp_path / "store" / label)
    (tmp_path / "store" / "a" / "loop").symlink_to(tmp_path / "root")
    assert len(ImageCollection.open(tmp_path / "root")) == 4


# Metadata tables ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_metadata_of_every_form_keeps_all_columns_and_types(tmp_path, name):
    rows = [
        {
            "file_name": f"images/{i}.png",
            "label": "old" if i < 2 else "new",
            "year": 1890 + i,
            "price": 1.5 * i,
            "width": f"{i} cm",
            "shelf": f"00{i}",
            "note": 'a, "b"\nc',
        }
        for i in range(4)
    ]
    images(tmp_path / "images", 4)
    metadata(tmp_path, rows, name)
    collection = ImageCollection.open(tmp_path)
    assert collection.table.column_names == [*OWN, "year", "price", "width_", "shelf", "note"]
    assert by_file(collection, "width_")["images/3.png"] == "3 cm"
    assert by_file(collection, "shelf")["images/3.png"] == "003"
    assert by_file(collection, "note")["images/3.png"] == 'a, "b"\nc'
    assert collection.table.schema.field("year").type == pa.int64()
    assert collection.table.schema.field("price").type == pa.float64()
    assert collection.skipped == ()


@pytest.mark.parametrize("path_column", ["filename", "file", "path", "image"])
def test_a_path_to_a_table_with_images_elsewhere(tmp_path, path_column):
    images(tmp_path / "pictures", 4)
    rows = [{path_column: f"{i}.png", "style": "ab"[i % 2]} for i in range(4)]
    table = metadata(tmp_path / "tables", rows, "mine.csv")
    collection = ImageCollection.open(table, images=tmp_path / "pictures")
    assert collection.labels == ("a", "b")
    assert collection.root == tmp_path / "pictures"
    assert path_column in collection.table.column_names
    assert collection.notes == ("labels are the values of the column 'style'",)


def test_rows_and_images_without_partner_are_named(tmp_path):
    images(tmp_path, 6)
    (tmp_path.parent / "secret.png").write_bytes(encoded(picture(50)))
    names = ["0.png", "./1.png", "gone.png", "../secret.png", "/etc/passwd", "", "2.png"]
    rows = [{"file_name": name, "label": "ab"[i % 2]} for i, name in enumerate(names)]
    rows += [{"file_name": str(tmp_path / "3.png"), "label": "a"}]
    rows += [{"file_name": "4.png", "label": " "}]
    metadata(tmp_path, rows)
    collection = ImageCollection.open(tmp_path)
    assert set(column(collection, "file_name")) == {"0.png", "1.png", "2.png", "3.png"}
    assert reasons(collection) == {
        "gone.png": "no such file",
        "../secret.png": f"path leads outside {tmp_path}",
        "/etc/passwd": f"path leads outside {tmp_path}",
        "row 6": "no file_name",
        "4.png": "no label",
        "5.png": "no row in metadata.csv",
    }
    assert by_file(collection, "file_name_")["3.png"] == str(tmp_path / "3.png")


def test_only_folders_that_a_table_names_are_entered(tmp_path):
    images(tmp_path / "mine", 2)
    images(tmp_path / "other", 2)
    rows = [{"file_name": f"mine/{i}.png", "label": str(i)} for i in range(2)]
    assert ImageCollection.open(metadata(tmp_path, rows, "list.csv")).skipped == ()


def test_metadata_inside_split_folders(tmp_path):
    for split in ("train", "test"):
        images(tmp_path / split, 2)
        rows = [{"file_name": f"{i}.png", "label": f"{i}"} for i in range(2)]
        metadata(tmp_path / split, rows)
    write(tmp_path / "test" / "0.png", 7)
    write(tmp_path / "test" / "1.png", 8)
    collection = ImageCollection.open(tmp_path)
    assert by_file(collection, "split")["train/1.png"] == "train"
    assert len(collection) == 4


def test_accents_match_in_either_unicode_form(tmp_path):
    write(tmp_path / "cafe\u0301.png", 0)
    write(tmp_path / "b.png", 1)
    metadata(
        tmp_path,
        [{"file_name": "caf\u00e9.png", "label": "a"}, {"file_name": "b.png", "label": "b"}],
    )
    assert len(ImageCollection.open(tmp_path)) == 2


def test_ambiguous_labels_list_the_columns(tmp_path):
    images(tmp_path, 4)
    rows = [{"file_name": f"{i}.png", "a": i % 2, "b": i // 2, "c": i} for i in range(4)]
    metadata(tmp_path, rows)
    with pytest.raises(ConfigError, match=r"--label NAME.*a \(2\), b \(2\), c \(4\)"):
        ImageCollection.open(tmp_path)
    with pytest.raises(ConfigError, match="no column 'd'"):
        ImageCollection.open(tmp_path, label="d")
    assert ImageCollection.open(tmp_path, label="c").labels == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("width", "expected"),
    [("decade", "1880"), ("century", "1800"), (25, "1875"), ("25", "1875"), ("year=5", "1885")],
)
def test_bins(tmp_path, width, expected):
    images(tmp_path, 4)
    rows = [{"file_name": f"{i}.png", "year": y} for i, y in enumerate((1889, 1950, 2001, ""))]
    metadata(tmp_path, rows)
    collection = ImageCollection.open(tmp_path, label="year", bin=width)
    assert collection.labels[0] == expected
    assert reasons(collection) == {"3.png": "no label"}
    assert by_file(collection, "year")["0.png"] == 1889


def test_bins_that_do_not_fit(tmp_path):
    images(tmp_path, 2)
    metadata(tmp_path, [{"file_name": f"{i}.png", "year": f"c. {i}"} for i in range(2)])
    with pytest.raises(ConfigError, match=r"'c\. 0' \(of 0\.png\) is no number"):
        ImageCollection.open(tmp_path, label="year", bin="decade")
    for bad in ("weekly", "0", -3, "nan", "=5", ""):
        with pytest.raises(ConfigError, match="need decade, century or a width"):
            ImageCollection.open(tmp_path, bin=bad)
    with pytest.raises(ConfigError, match="name one"):
        ImageCollection.open(tmp_path, label="style", bin="year=5")


def test_whole_floats_lose_their_point(tmp_path):
    images(tmp_path, 3)
    rows = [{"file_name": f"{i}.png", "label": y} for i, y in enumerate((1890.0, 1900.5, None))]
    metadata(tmp_path, rows, "metadata.jsonl")
    collection = ImageCollection.open(tmp_path)
    assert collection.labels == ("1890", "1900.5")
    assert set(column(collection, "label_")) == {1890.0, 1900.5}


def test_semicolons_mixed_json_and_nested_values(tmp_path):
    images(tmp_path, 2)
    text = "file_name;label;x\n0.png;a;1\n1.png;b;+2\n"
    (tmp_path / "metadata.csv").write_text(text)
    assert set(column(ImageCollection.open(tmp_path), "x")) == {1, 2}
    (tmp_path / "metadata.csv").unlink()
    rows = [
        {"file_name": "0.png", "label": "a", "mixed": 1, "box": {"x": 1}, "list": [1]},
        {"file_name": "1.png", "label": "b", "mixed": "s", "late": True},
    ]
    metadata(tmp_path, rows, "metadata.jsonl")
    collection = ImageCollection.open(tmp_path)
    assert by_file(collection, "mixed") == {"0.png": "1", "1.png": "s"}
    assert by_file(collection, "box")["0.png"] == '{"x": 1}'
    assert by_file(collection, "list")["0.png"] == [1]
    collection.save(tmp_path / "saved")
    again = ImageCollection.restore(tmp_path / "saved", tmp_path)
    assert again.digest == collection.digest


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", b"", "cannot be read"),
        ("metadata.csv", b"file_name,label\nx.png,a,b\n", "cannot be read"),
        ("metadata.csv", "file_name,label\nx.png,caf\xe9\n".encode("latin-1"), "UTF-8"),
        ("metadata.csv", b"picture,label\nx.png,a\n", "no file_name column; columns: picture"),
        ("metadata.jsonl", b'{"file_name": \n', "cannot be read"),
        ("metadata.jsonl", b"[1]\n", "line 1 is no object"),
        ("metadata.parquet", b"PAR1", "not a Parquet file"),
    ],
)
def test_malformed_tables_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        ImageCollection.open(tmp_path)
    assert name in str(caught.value)


# Parquet --------------------------------------------------------------------------------------


def stored(path: Path, seeds: range, *, paths: bool = True, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        {"bytes": encoded(picture(seed)), "path": f"{seed}.png" if paths else None}
        for seed in seeds
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table(
        {
            "image": pa.array(cells, kind),
            "label": pa.array([seed % 2 for seed in seeds], pa.int64()),
            "artist": [f"artist {seed}" for seed in seeds],
        }
    ).replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, path, **options)


def test_parquet_as_the_hugging_face_hub_lays_it_out(tmp_path):
    stored(tmp_path / "data" / "train-00000-of-00002.parquet", range(7), row_group_size=2)
    stored(tmp_path / "data" / "train-00001-of-00002.parquet", range(7, 9))
    stored(tmp_path / "data" / "test-00000-of-00001.parquet", range(9, 13), paths=False)
    collection = ImageCollection.open(tmp_path)
    assert collection.labels == ("cat", "dog")
    assert by_file(collection, "split")["4.png"] == "train"
    assert "row-000003" in column(collection, "file_name")
    assert by_file(collection, "label_number")["3.png"] == 1
    for row, (seed, found) in enumerate(
        zip(column(collection, "artist"), column(collection, "image_id"), strict=True)
    ):
        expected = picture(int(seed.split()[1]))
        assert np.array_equal(np.asarray(collection.load(row)), np.asarray(expected)), found
    half = collection.select(np.array([4, 2]))
    half.save(tmp_path / "saved")
    again = ImageCollection.restore(tmp_path / "saved", tmp_path)
    assert np.array_equal(np.asarray(again.load(1)), np.asarray(collection.load(4)))


def test_a_binary_column_and_broken_cells(tmp_path):
    cells = [encoded(picture(0)), encoded(picture(1)), b"junk", None]
    table = pa.table({"jpg": pa.array(cells, pa.binary()), "label": ["a", "b", "a", "b"]})
    pq.write_table(table, tmp_path / "x.parquet")
    collection = ImageCollection.open(tmp_path / "x.parquet")
    assert sorted(column(collection, "file_name")) == ["row-000000", "row-000001"]
    assert reasons(collection) == {
        "row-000002": "not an image that can be read",
        "row-000003": "the file is empty",
    }


def test_parquet_with_a_path_column(tmp_path):
    images(tmp_path, 2)
    rows = [{"file_name": f"{i}.png", "label": str(i)} for i in range(2)]
    assert len(ImageCollection.open(metadata(tmp_path, rows, "list.parquet"))) == 2


# Bad input ------------------------------------------------------------------------------------


def test_unreadable_images_are_skipped_and_named(tmp_path):
    class_folders(tmp_path)
    folder = tmp_path / "a"
    (folder / "text.png").write_text("no picture")
    content = encoded(picture(9, (200, 200)), "JPEG")
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    picture(8, (20_000, 50)).save(folder / "long.png")
    (folder / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    collection = ImageCollection.open(tmp_path)
    found = reasons(collection)
    assert found["a/text.png"] == "not an image that can be read"
    assert found["a/cut.jpg"].startswith("damaged or truncated")
    assert found["a/dot.png"] == "too small: 1 x 1 pixels, need 8 a side"
    assert found["a/dangling.png"].startswith("cannot be opened")
    assert by_file(collection, "width")["a/long.png"] == 20_000
    assert len(found) == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "a" / "0.png").chmod(0)
    (tmp_path / "c").mkdir(mode=0)
    found = reasons(ImageCollection.open(tmp_path))
    assert "Permission" in found["a/0.png"]
    assert "Permission" in found["c"]


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        ImageCollection.open(tmp_path / "missing")
    with pytest.raises(DataError, match="expected one of"):
        ImageCollection.open(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="neither a folder"):
        ImageCollection.open(tmp_path / "a.txt")
    with pytest.raises(DataError, match="no such folder"):
        ImageCollection.open(tmp_path, images=tmp_path / "missing")


def test_images_is_for_tables(tmp_path):
    class_folders(tmp_path)
    with pytest.raises(ConfigError, match="metadata table"):
        ImageCollection.open(tmp_path, images=tmp_path)


def test_one_label_is_no_contrast(tmp_path):
    write(tmp_path / "images" / "x.png", 0)
    with pytest.raises(DataError, match=r"only the label 'images'.*did you mean"):
        ImageCollection.open(tmp_path)


def test_all_unreadable(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.png").write_text("no picture")
    with pytest.raises(DataError, match=r"2 x not an image that can be read, e\.g\. a/x\.png"):
        ImageCollection.open(tmp_path)


def test_unusual_column_types_survive_saving(tmp_path):
    images(tmp_path, 2)
    now = datetime(2020, 1, 1, tzinfo=UTC)
    columns = {
        "seconds": pa.array([now, None], pa.timestamp("s")),
        "date": pa.array([now.date()] * 2, pa.date64()),
        "time": pa.array([1, 2], pa.time32("s")),
        "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
        "large": pa.array([[1], []], pa.large_list(pa.int8())),
        "category": pa.array(["x", "y"]).dictionary_encode(),
        "nothing": pa.array([None, None], pa.null()),
        "nan": pa.array([float("nan"), None], pa.float32()),
        "group": pa.array([7, None], pa.int64()),
    }
    named = {"file_name": ["0.png", "1.png"], "label": ["a", "b"]}
    pq.write_table(pa.table(named | columns), tmp_path / "metadata.parquet")
    collection = ImageCollection.open(tmp_path)
    assert collection.table.column_names == [*OWN, *list(columns)[:-1], "group_"]
    assert by_file(collection, "group")["0.png"] == "7"
    assert by_file(collection, "group_") == {"0.png": 7, "1.png": None}
    collection.save(tmp_path / "one")
    again = ImageCollection.restore(tmp_path / "one", tmp_path)
    again.save(tmp_path / "two")
    saved = [(tmp_path / n / "collection.parquet").read_bytes() for n in ("one", "two")]
    assert saved[0] == saved[1]
    assert again.digest == collection.digest
    assert again.table.schema == collection.table.schema


# Identity, order, duplicates ------------------------------------------------------------------


def test_same_bytes_under_one_and_two_labels(tmp_path):
    class_folders(tmp_path)
    shutil.copy(tmp_path / "a" / "0.png", tmp_path / "a" / "copy.png")
    shutil.copy(tmp_path / "a" / "1.png", tmp_path / "b" / "both.png")
    collection = ImageCollection.open(tmp_path)
    assert reasons(collection) == {"a/copy.png": "same content as a/0.png"}
    ids, duplicates = by_file(collection, "image_id"), by_file(collection, "duplicate")
    assert ids["a/1.png"] == ids["b/both.png"] == duplicates["b/both.png"]
    assert any("more than one label: 1" in note for note in collection.notes)


def test_near_duplicates_share_a_group_and_users_groups_win(tmp_path):
    base = picture(0, (128, 128))
    ImageEnhance.Brightness(base).enhance(0.7).save(tmp_path / "dark.png")
    base.save(tmp_path / "base.jpg", quality=80)
    images(tmp_path, 3)
    (tmp_path / "0.png").unlink()
    names = ["dark.png", "base.jpg", "1.png", "2.png"]
    rows = [
        {"file_name": n, "label": "ab"[i % 2], "group": g}
        for i, (n, g) in enumerate(zip(names, ("", "", "g", "g"), strict=True))
    ]
    metadata(tmp_path, rows)
    collection = ImageCollection.open(tmp_path)
    group, ids = by_file(collection, "group"), by_file(collection, "image_id")
    assert group["dark.png"] == group["base.jpg"] == min(ids["dark.png"], ids["base.jpg"])
    assert group["1.png"] == group["2.png"] == "g"
    assert by_file(collection, "duplicate")["1.png"] == ids["1.png"]


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(6)), st.integers(1, 3))
def test_renaming_files_changes_neither_order_nor_ids(tmp_path_factory, order, workers):
    first, second = (tmp_path_factory.mktemp("root") for _ in range(2))
    for i, new in enumerate(order):
        write(first / "ab"[i % 2] / f"{i}.png", i)
        write(second / "ab"[i % 2] / "deeper" / f"renamed {new}.png", i)
    one = ImageCollection.open(first)
    other = ImageCollection.open(second, workers=workers)
    assert one.table.drop_columns("file_name") == other.table.drop_columns("file_name")
    assert one.digest == other.digest
    assert column(one, "image_id") == sorted(column(one, "image_id"))


def test_the_digest_knows_labels_and_metadata(tmp_path):
    images(tmp_path, 2)
    digests = set()
    for label, note in (("b", ""), ("c", ""), ("b", "x"), ("bx", "")):
        rows = [{"file_name": "0.png", "label": "a", "note": "1"}]
        rows += [{"file_name": "1.png", "label": label, "note": note}]
        metadata(tmp_path, rows)
        digests.add(ImageCollection.open(tmp_path).digest)
    assert len(digests) == 4


def test_fingerprint_follows_every_file_that_is_read(tmp_path):
    images(tmp_path, 3)
    rows = [{"file_name": f"{i}.png", "label": str(i)} for i in range(3)]
    table = metadata(tmp_path, rows)
    seen = [ImageCollection.fingerprint(tmp_path)]
    assert ImageCollection.fingerprint(tmp_path) == seen[0]
    (tmp_path / "ignored.txt").write_text("x")
    assert ImageCollection.fingerprint(tmp_path) == seen[0]
    os.utime(tmp_path / "0.png", ns=(1, 1))
    seen.append(ImageCollection.fingerprint(tmp_path))
    (tmp_path / "1.png").rename(tmp_path / "9.png")
    seen.append(ImageCollection.fingerprint(tmp_path))
    table.write_text("file_name,label\n0.png,a\n2.png,b\n")
    seen.append(ImageCollection.fingerprint(tmp_path))
    stored(tmp_path / "other" / "x.parquet", range(2))
    before = ImageCollection.fingerprint(tmp_path / "other")
    stored(tmp_path / "other" / "x.parquet", range(3))
    assert len(set(seen)) == 4
    assert before != ImageCollection.fingerprint(tmp_path / "other")


# The record -----------------------------------------------------------------------------------


@pytest.fixture
def collection(tmp_path):
    class_folders(tmp_path / "root", ("a", "b", "c"), 4)
    (tmp_path / "root" / "a" / 'bad, "name"\n.png').write_text("x")
    return ImageCollection.open(tmp_path / "root")


def test_save_and_restore_are_byte_identical(tmp_path, collection):
    collection.save(tmp_path / "one")
    again = ImageCollection.restore(tmp_path / "one", collection.root)
    assert again == collection
    assert again.digest == collection.digest
    again.save(tmp_path / "two")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["collection.parquet", "skipped.csv"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_layout_in_memory_does_not_change_the_saved_bytes(tmp_path, collection):
    parts = [collection.table.slice(i, 3) for i in range(0, len(collection), 3)]
    chunked = ImageCollection(collection.root, pa.concat_tables(parts), collection.skipped)
    assert chunked.digest == collection.digest
    collection.save(tmp_path / "one")
    chunked.save(tmp_path / "two")
    name = "collection.parquet"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_restore_refuses_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match="scan it again"):
        ImageCollection.restore(tmp_path, tmp_path)
    (tmp_path / "collection.parquet").write_bytes(b"junk")
    (tmp_path / "skipped.csv").write_text("file_name,reason\n")
    with pytest.raises(DataError, match="scan it again"):
        ImageCollection.restore(tmp_path, tmp_path)


def test_the_table_is_validated(tmp_path):
    with pytest.raises(DataError, match="lacks the columns image_id"):
        ImageCollection(tmp_path, pa.table({"label": ["a"]}))


def test_select(collection):
    mask = collection.label_index == 1
    assert set(column(collection.select(mask), "label")) == {"b"}
    assert collection.select(np.array([5, 2, 5])).table == collection.table.take([2, 5])
    assert len(collection.select(np.array([], int))) == 0
    for bad in (np.array([99]), np.array([-1]), np.ones(3, bool)):
        with pytest.raises(ConfigError):
            collection.select(bad)


def test_an_image_that_has_gone_is_named(collection):
    name = column(collection, "file_name")[0]
    (collection.root / name).unlink()
    with pytest.raises(DataError, match=name):
        collection.load(0)


def test_load_drafts(tmp_path):
    for i, label in enumerate("ab"):
        (tmp_path / label).mkdir()
        picture(i, (400, 300)).save(tmp_path / label / "x.jpg")
    collection = ImageCollection.open(tmp_path)
    assert collection.load(0).size == (400, 300)
    assert collection.load(0, draft=100).size == (200, 150)


def test_skipped_sorts_by_name():
    assert Skipped("a", "z") < Skipped("b", "a")


def made_up(groups, duplicates, labels):
    n = len(labels)
    return ImageCollection(
        Path(),
        pa.table(
            {
                "image_id": [f"{i:016x}" for i in range(n)],
                "file_name": [f"{i}.png" for i in range(n)],
                "label": [str(label) for label in labels],
                "width": pa.array([8] * n, pa.int32()),
                "height": pa.array([8] * n, pa.int32()),
                "group": [f"g{group}" for group in groups],
                "duplicate": [f"d{duplicate}" for duplicate in duplicates],
                "split": [""] * n,
                "artist": [None if group == 0 else group for group in groups],
            }
        ),
    )


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=60),
    st.integers(0, 99),
    st.sampled_from(["group", "artist", "duplicate"]),
)
def test_halves_hold_each_row_once_and_never_divide_a_group(rows, seed, by):
    collection = made_up(*zip(*rows, strict=True))
    first, second = collection.split_halves(seed, by)
    assert sorted([*first, *second]) == list(range(len(rows)))
    for name in {by, "duplicate"}:
        values = np.array(column(collection, name), object)
        assert not (set(values[first]) & set(values[second])) - {None}
    again = collection.split_halves(seed, by)
    assert np.array_equal(first, again[0])


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(0, 99))
def test_halves_are_stratified_where_nothing_binds(labels, seed):
    alone = list(range(1, len(labels) + 1))
    first, second = made_up(alone, alone, labels).split_halves(seed)
    counts = [np.bincount(np.array(labels)[half], minlength=6) for half in (first, second)]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_halves_need_a_column_and_depend_on_the_seed(collection):
    with pytest.raises(ConfigError, match="split by 'artist': no such column"):
        collection.split_halves(0, by="artist")
    assert len({tuple(collection.split_halves(seed)[0]) for seed in range(5)}) > 1
