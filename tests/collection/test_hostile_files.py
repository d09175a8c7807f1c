"""Files made to break a reader, each under the name of what it broke or would break."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from imagery import class_folders, encoded, picture, write

from typika import config, tables
from typika.collection._decode import Unreadable, decode, look, read_bytes
from typika.collection._files import natural_order
from typika.collection._xml import Refused, parse_xml
from typika.collection.class_masks import _read_classes
from typika.collection.images import ImageCollection
from typika.collection.lines import LineCollection
from typika.collection.regions import Regions
from typika.errors import ConfigError, DataError, TypikaError
from typika.files import read_json
from typika.run import Run
from typika.workflow import MineConfig

LONG = "9" * 5_000  # digits: int() refuses it, and float() takes it for infinite
DEEP = "[" * 100_000
SURROGATE = '"\\ud800"'


def png(width: int, height: int, data: bytes) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", data),
              (b"IEND", b"")]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0,\0\0\0\0" + struct.pack(
        "<HH", width, height
    ) + b"\0\2\2\x44\1\0;"  # fmt: skip


def tiff(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8),
            (277, 3, 1), (278, 4, height), (279, 4, 4)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + b"\0" * 4


# ----------------------------------------------------------------------------------------- images


@pytest.mark.parametrize(
    "content",
    [png(60_000, 60_000, zlib.compress(b"\0" * 100_000)), gif(65_535, 65_535),
     tiff(2**31 - 1, 2**31 - 1), tiff(2**32 - 1, 8), png(0, 0, b""), png(2**31 - 1, 1, b"")],
    ids=["png", "gif", "tiff", "tiff width", "nothing", "png width"],
)  # fmt: skip
def test_pictures_that_say_they_are_huge(content: bytes) -> None:
    with pytest.raises(DataError, match=r"pixels|damaged|not an image"):
        decode(content)


def test_a_text_chunk_that_unpacks_to_hundreds_of_megabytes() -> None:
    bomb = zlib.compress(b"0" * 300_000_000)
    chunk = b"zTXt" + b"a\0\0" + bomb
    content = encoded(picture(0))
    spoiled = content[:33] + struct.pack(">I", len(chunk) - 4) + chunk
    spoiled += struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    with pytest.raises(Unreadable, match="damaged"):
        look(spoiled)


def test_a_pipe_is_not_waited_for_and_a_device_not_read(tmp_path: Path) -> None:
    class_folders(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "b" / "zero.png").symlink_to("/dev/zero")
    collection = ImageCollection.open(tmp_path)
    assert [one.reason for one in collection.skipped] == [
        "cannot be opened (it is no regular file)"
    ] * 2


def test_a_file_of_terabytes_is_not_taken_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as handle:
        handle.truncate(1 << 42)
    with pytest.raises(Unreadable, match="more than an image has"):
        read_bytes(tmp_path / "x.png")


# ----------------------------------------------------------------------------------------- tables


def test_a_name_longer_than_any_file_s(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.png", number)
    rows = "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(4))
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{rows}{'z' * 9_000}.png,a\n")
    collection = ImageCollection.open(tmp_path)
    assert [one.reason for one in collection.skipped] == ["no such file"]


def test_labels_of_thousands_of_digits_are_labels(tmp_path: Path) -> None:
    assert natural_order([f"a{LONG}", "a2", "a10"])[:2] == ["a2", "a10"]
    for number in range(4):
        write(tmp_path / f"{number}.png", number)
    rows = "".join(f"{n}.png,x{LONG if n % 2 else n}\n" for n in range(4))
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{rows}")
    assert f"x{LONG}" in ImageCollection.open(tmp_path).labels


def test_a_single_label_of_ten_thousand_letters_is_no_path(tmp_path: Path) -> None:
    write(tmp_path / "0.png", 0)
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n0.png,{'x' * 10_000}\n")
    with pytest.raises(DataError, match="only the label"):
        ImageCollection.open(tmp_path)


@pytest.mark.parametrize(
    "line", [DEEP, f'{{"a": {LONG}}}', f'{{"a": {SURROGATE}}}', '{"a": [[[[1], "x"]]}', "NaN"],
    ids=["deep", "long", "surrogate", "half", "no object"],
)  # fmt: skip
def test_json_lines_that_are_none(tmp_path: Path, line: str) -> None:
    (tmp_path / "metadata.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=r"metadata\.jsonl: cannot be read"):
        ImageCollection.open(tmp_path)


def test_json_lines_each_with_a_column_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typika.collection._table_files.MOST_VALUES", 10_000)
    lines = "".join(f'{{"file_name": "x.png", "k{n}": 1}}\n' for n in range(200))
    (tmp_path / "metadata.jsonl").write_text(lines)
    with pytest.raises(DataError, match="200 rows with 201 different names"):
        ImageCollection.open(tmp_path)


def parquet(path: Path, table: pa.Table, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def test_parquet_that_says_it_has_a_thousand_million_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_VALUES", 1_000_000)
    path = parquet(tmp_path / "x.parquet", pa.table({"a": pa.array([0] * 1_000_001, pa.int8())}))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="says that it holds 1,000,001 values"):
        tables.read_parquet(path)


def test_parquet_that_unpacks_one_text_a_million_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * 100_000])
    path = parquet(tmp_path / "x.parquet", pa.table({"a": text}), store_schema=False)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(tables, "MOST_BYTES", 1 << 26)
    monkeypatch.setattr(tables, "_STEP", 1 << 22)
    with pytest.raises(DataError, match="unpacks to more than"):
        tables.read_parquet(path)


def test_parquet_read_in_steps_is_what_it_is_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"a": ["x" * 50, "y", None] * 40, "b": range(120)})
    path = parquet(tmp_path / "x.parquet", table)
    monkeypatch.setattr(tables, "MOST_BYTES", 10_000)
    monkeypatch.setattr(tables, "_STEP", 1_000)
    assert tables.read_parquet(path) == table
    assert tables.read_parquet(path, ["b"]) == table.select(["b"])


def test_parquet_damaged_behind_its_footer(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", pa.table({"a": ["text"] * 1000}))
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet: damaged"):
        tables.read_parquet(path)
    with pytest.raises(DataError, match="not a Parquet file"):
        tables.read_parquet(tmp_path / "missing.parquet")


def test_parquet_texts_that_are_no_utf_8(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", pa.table({"a": pa.array([b"\xff"]).view(pa.string())}))
    with pytest.raises(DataError, match=r"damaged.*UTF8"):
        tables.read_parquet(path)


def test_categories_of_pandas_are_counted_where_no_label_is_named(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.png", number)
    kinds = pa.array(["a", "a", "b", "b"]).dictionary_encode()
    names = [f"{number}.png" for number in range(4)]
    parquet(tmp_path / "metadata.parquet", pa.table({"file_name": names, "kind": kinds}))
    assert ImageCollection.open(tmp_path).labels == ("a", "b")


def test_parquet_columns_of_one_name(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.png", number)
    names = pa.array([f"{number}.png" for number in range(4)])
    labels, notes = pa.array(["a", "a", "b", "b"]), pa.array(["x"] * 4)
    table = pa.table([names, labels, notes], names=["file_name", "label", "label"])
    parquet(tmp_path / "metadata.parquet", table)
    collection = ImageCollection.open(tmp_path)
    assert collection.labels == ("a", "b")
    assert collection.table["label_"].to_pylist() == ["x"] * 4


def test_two_columns_of_images_of_one_name(tmp_path: Path) -> None:
    image = pa.array([{"bytes": encoded(picture(n)), "path": None} for n in range(2)])
    table = pa.table([image, image, pa.array(["a", "b"])], names=["image", "image", "label"])
    parquet(tmp_path / "x.parquet", table)
    with pytest.raises(DataError, match="several columns are called 'image'"):
        ImageCollection.open(tmp_path)


def test_stored_images_in_a_damaged_page(tmp_path: Path) -> None:
    rows = [{"bytes": encoded(picture(n)), "path": f"{n}.png"} for n in range(4)]
    table = pa.table({"image": rows, "label": ["a", "a", "b", "b"]})
    path = parquet(tmp_path / "x.parquet", table, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:30] = b"\xff" * 26
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet: damaged"):
        ImageCollection.open(tmp_path)


def test_class_names_nested_too_deep_are_no_names(tmp_path: Path) -> None:
    image = pa.array([{"bytes": encoded(picture(n)), "path": None} for n in range(2)])
    table = pa.table({"image": image, "label": [0, 1]})
    parquet(tmp_path / "x.parquet", table.replace_schema_metadata({"huggingface": DEEP}))
    assert ImageCollection.open(tmp_path).labels == ("0", "1")


@pytest.mark.parametrize("name", ["image_id", "label", "width", "group"])
def test_a_saved_collection_of_other_types(tmp_path: Path, name: str) -> None:
    class_folders(tmp_path / "photos")
    ImageCollection.open(tmp_path / "photos").save(tmp_path)
    path = tmp_path / "collection.parquet"
    table = tables.read_parquet(path)
    place = table.column_names.index(name)
    parquet(path, table.set_column(place, name, pa.array([1.5] * table.num_rows)))
    with pytest.raises(DataError, match=f"double as '{name}'"):
        ImageCollection.restore(tmp_path, tmp_path)


def test_file_names_that_are_formulas_are_none_in_skipped_csv(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    (tmp_path / "photos" / "a" / "=cmd|'x'!A1.png").write_bytes(b"none")
    (tmp_path / "photos" / "=1+1.png").write_bytes(b"none")
    ImageCollection.open(tmp_path / "photos").save(tmp_path)
    cells = (tmp_path / "skipped.csv").read_text().splitlines()[1:]
    assert cells[0].startswith("'=1+1.png,")
    assert not any(cell.startswith(tables.FORMULA_STARTS) for cell in cells)


# ---------------------------------------------------------------------------------------- regions


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", DEEP),
        ("x.json", f'{{"images": [{{"id": {LONG}, "file_name": "x"}}]}}'),
        ("x.csv", "file_name,x,y,width,height\n" + "z" * 140_000 + ",1,1,2,2\n"),
        ("x.csv", f"file_name,x,y,width,height\na,{LONG},1,2,2\n"),
        ("x.csv", "file_name,x,y,width,height\na,nan,1,2,2\n"),
    ],
    ids=["deep", "long id", "long cell", "infinite", "nan"],
)
def test_regions_that_are_none(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=name):
        Regions.read(tmp_path / name)


@pytest.mark.parametrize("value", [[], {}, None, True])
@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_coco_ids_that_cannot_be_looked_up(tmp_path: Path, key: str, value: object) -> None:
    annotation = {"image_id": 7, "category_id": 7, "bbox": [0, 0, 1, 1], key: value}
    content = {"images": [{"id": 7, "file_name": "x"}], "categories": [{"id": 7, "name": "a"}],
               "annotations": [annotation]}  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps(content))
    if (key, value) == ("category_id", None):
        assert Regions.read(tmp_path / "x.json").labels == ("",)
        return
    with pytest.raises(DataError, match=key):
        Regions.read(tmp_path / "x.json")


def test_coco_boxes_of_numbers_beyond_floats(tmp_path: Path) -> None:
    content = '{"images": [{"id": 1, "file_name": "x"}], "categories": [], "annotations": '
    box = f"[{'9' * 400}, 0, 1, 1]"
    (tmp_path / "x.json").write_text(f'{content}[{{"image_id": 1, "bbox": {box}}}]}}')
    with pytest.raises(DataError, match="write a number of pixels"):
        Regions.read(tmp_path / "x.json")


def test_quoted_line_breaks_stay_in_their_cell(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('file_name,label,x,y,w,h\n1.png,"a\nb",1,1,2,2\n')
    assert Regions.read(tmp_path / "x.csv").labels == ("a\nb",)


@pytest.mark.parametrize("number", [LONG, "٣", "-1", "1.0", "", "9" * 10])
def test_numbers_of_classes(tmp_path: Path, number: str) -> None:
    (tmp_path / "classes.csv").write_text(f"number,name\n{number},sky\n", encoding="utf-8")
    if number == "٣":  # a digit like others
        assert _read_classes(tmp_path / "classes.csv") == {3: "sky"}
        return
    with pytest.raises(DataError, match="each number once"):
        _read_classes(tmp_path / "classes.csv")


def test_a_cell_of_classes_beyond_the_reader_s_limit(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("number,name\n0," + "x" * 140_000 + "\n")
    with pytest.raises(DataError, match="cannot be read"):
        _read_classes(tmp_path / "classes.csv")


# ------------------------------------------------------------------------------------------ lines


@pytest.mark.parametrize(
    "head",
    ['<!DOCTYPE a [<!ENTITY x "' + "y" * 99 + '"><!ENTITY z "&x;&x;&x;&x;">]><a>&z;</a>',
     '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',      "<a" + "/><a" * 3, "\x00"],
    ids=["laughs", "outside", "half", "zero"],
)  # fmt: skip
def test_xml_that_is_refused(tmp_path: Path, head: str) -> None:
    (tmp_path / "x.xml").write_text(head)
    with pytest.raises(Refused):
        parse_xml(tmp_path / "x.xml", 1 << 20, "PAGE")


def test_xml_of_more_elements_than_memory(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text(f"<a>{'<b/>' * 3_000_000}</a>")
    with pytest.raises(Refused, match="elements"):
        parse_xml(tmp_path / "x.xml", 1 << 26, "PAGE")


def test_xml_nested_a_hundred_thousand_deep(tmp_path: Path) -> None:
    write(tmp_path / "x.png", 0, format="PNG")
    (tmp_path / "x.xml").write_text("<a>" * 100_000 + "</a>" * 100_000)
    collection = LineCollection.open(tmp_path, workers=1)
    assert len(collection) == 1  # the picture, a line of its own
    assert "neither ALTO" in collection.skipped[0].reason


def test_columns_of_lines_that_are_no_text(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.png", 0)
    write(tmp_path / "images" / "b.png", 1)
    content = f'{{"a.png": {{"label": "x", "script": {SURROGATE}}}, "b.png": {{"label": "y"}}}}'
    (tmp_path / "annotation.json").write_text(content)
    collection = LineCollection.open(tmp_path, workers=1)
    assert [line.line_id for line in collection] == ["images/b"]
    (tmp_path / "annotation.json").write_text(f'{{{SURROGATE}: {{}}, "b.png": {{"label": "y"}}}}')
    names = [one.file_name for one in LineCollection.open(tmp_path, workers=1).skipped]
    assert "annotation.json: \\ud800" in names  # as it can be written


# --------------------------------------------------------------------------- settings and the run


@pytest.mark.parametrize(
    "text",
    [f"seed = {DEEP}", f"seed = {LONG}", f"seed = 0x{'f' * 5000}", "seed = '", "[model]\nkind=[]",
     "[model]\nkind = {}", "[score]\nn_draws = 1979-05-27", f"a = {'{a=' * 400}", "seed = inf"],
    ids=["deep", "long", "hexadecimal", "half", "list", "table", "date", "tables", "inf"],
)  # fmt: skip
def test_recipes_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError):
        config.build(MineConfig, config.read_toml(tmp_path / "x.toml"))


@pytest.mark.parametrize(
    "settings",
    [{"score": "1", "score.n_draws": "2"}, {"collection.label": "\udcff"}, {"seed": DEEP},
     {"seed": LONG}, {"model.kind": "[]"}],
    ids=["section", "undecodable", "deep", "long", "kind"],
)  # fmt: skip
def test_settings_that_are_none(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        config.build(MineConfig, config.from_settings(settings))


@pytest.mark.parametrize(
    "text",
    [DEEP, "[]", '{"stages": [], "config": {}}', '{"stages": {"a": []}, "config": {}}',
     '{"stages": {"a": {"finished": "now"}}, "config": {}}', '{"stages": {}, "config": 1}',
     '{"stages": {"a": {"outputs": []}}, "config": {}}',
     f'{{"stages": {{}}, "config": {{}}, "x": {SURROGATE}}}',
     '{"stages": {}, "config": {}, "source": 1}'],
)  # fmt: skip
def test_manifests_of_runs_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ConfigError, match="not a manifest"):
        Run.read(tmp_path)


def test_a_folder_in_the_place_of_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(TypikaError, match="not a manifest"):
        Run.read(tmp_path)


def test_json_that_cannot_be_written_again_is_not_read() -> None:
    assert read_json('{"a": ["\\u00e9", 1.5, null]}') == {"a": ["é", 1.5, None]}
    assert read_json('"\\ud83d\\ude00"') == "😀"
    for text in (DEEP, LONG, SURROGATE, "{", io.StringIO().getvalue()):
        with pytest.raises(ValueError, match=r".+"):
            read_json(text)


def test_parquet_whose_columns_lie_of_themselves_does_not_end_the_process(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", pa.table({"a": ["x", "y"], "b": [1, 2]}))
    content = path.read_bytes()
    (size,) = struct.unpack("<I", content[-8:-4])
    start = len(content) - 8 - size
    for place in range(start, start + size, 3):
        for value in (0x00, 0x15, 0xFF):
            spoiled = bytearray(content)
            spoiled[place] = value
            path.write_bytes(spoiled)
            try:
                assert tables.read_parquet(path).num_rows >= 0
            except DataError as error:
                assert "x.parquet" in str(error)  # noqa: PT017 - either is right
