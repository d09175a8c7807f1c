"""Text lines: what is read as one, what is skipped and why, what is known of it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from line_scenes import write_line
from PIL import Image

from typika.collection.alphabet import Alphabet, form_of
from typika.collection.lines import LineCollection
from typika.errors import ConfigError, DataError


def texts(collection: LineCollection) -> dict[str, str | None]:
    return {line.line_id: line.text for line in collection}


def reasons(collection: LineCollection) -> dict[str, str]:
    return {item.file_name: item.reason for item in collection.skipped}


# Line pairs


def test_pairs_of_every_spelling_are_lines(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.nrm.png", "b/3.bin.png", "b/4.jpg", "b/c/5.tif"):
        write_line(tmp_path / name, f"text of {name}\n")
    found = LineCollection.open(tmp_path)
    assert texts(found) == {
        "a/1": "text of a/1.png",
        "a/2": "text of a/2.nrm.png",
        "b/3": "text of b/3.bin.png",
        "b/4": "text of b/4.jpg",
        "b/c/5": "text of b/c/5.tif",
    }
    assert [line.columns["document"] for line in found] == ["a", "a", "b", "b", "b"]
    assert found.skipped == ()
    assert found.notes == ()


def test_a_bare_folder_is_a_collection_of_untranscribed_lines(tmp_path: Path) -> None:
    for number in range(3):
        write_line(tmp_path / f"{number}.png")
    found = LineCollection.open(tmp_path)
    assert texts(found) == {"0": None, "1": None, "2": None}
    assert found.columns == ()
    assert found.notes == ()


def test_an_image_without_its_transcription_is_noted_and_the_reverse_skipped(
    tmp_path: Path,
) -> None:
    write_line(tmp_path / "a.png", "a")
    write_line(tmp_path / "b.png")
    (tmp_path / "c.gt.txt").write_text("c")
    found = LineCollection.open(tmp_path)
    assert texts(found) == {"a": "a", "b": None}
    assert "without a transcription" in found.notes[0]
    assert "b.png" in found.notes[0]
    assert "no image" in reasons(found)["c.gt.txt"]


def test_of_several_images_of_a_line_the_one_with_most_in_it_is_taken(tmp_path: Path) -> None:
    for name in ("a.bin.png", "a.nrm.png", "b.png", "b.bin.png"):
        write_line(tmp_path / name, "text")
    found = LineCollection.open(tmp_path)
    assert [line.file_name for line in found] == ["a.nrm.png", "b.png"]
    assert "several images" in found.notes[0]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfabc\r\n", "abc"),
        (b"a \t  b\n\n", "a b"),
        ("שלום עולם".encode(), "שלום עולם"),  # its first letter is the rightmost
        ("\u200fאב\u200e\u202c".encode(), "אב"),
        (b"<b>x</b> &amp; y", "<b>x</b> &amp; y"),
        ("e\u0301 \u00e9".encode(), "\u00e9 \u00e9"),
        (b"one\ntwo\n", "one two"),
        (b"a\x07b", "ab"),
        (b" \n", None),
        (b"", None),
    ],
)
def test_what_a_transcription_says(tmp_path: Path, content: bytes, text: str | None) -> None:
    write_line(tmp_path / "a.png", content)
    assert texts(LineCollection.open(tmp_path)) == {"a": text}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("abc".encode("utf-16"), "UTF-16"),
        ("abc".encode("utf-16-le"), "UTF-16"),
        ("fünf".encode("latin-1"), "Latin-1"),
        (b"a" * (1 << 21), "bytes"),
    ],
)
def test_a_transcription_in_another_encoding_is_skipped_with_its_image(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    write_line(tmp_path / "a.png", content)
    write_line(tmp_path / "b.png", "b")
    found = LineCollection.open(tmp_path)
    assert texts(found) == {"b": "b"}
    assert reason in reasons(found)["a.gt.txt"]


def test_one_letter_spelt_two_ways_is_noted_and_then_spelt_one_way(tmp_path: Path) -> None:
    write_line(tmp_path / "a.png", unicodedata.normalize("NFC", "ũ"))
    write_line(tmp_path / "b.png", unicodedata.normalize("NFD", "ũ"))
    for form in ("NFC", "NFD"):
        found = LineCollection.open(tmp_path, normalisation=form)
        assert set(texts(found).values()) == {unicodedata.normalize(form, "ũ")}
        assert "1 NFC, 1 NFD" in found.notes[0]
        assert not any("Unicode forms" in note for note in found.alphabet.notes)
    left = LineCollection.open(tmp_path, normalisation="none")
    assert len(set(texts(left).values())) == 2
    assert any("Unicode forms" in note for note in left.alphabet.notes)


def test_empty_transcriptions_are_noted(tmp_path: Path) -> None:
    write_line(tmp_path / "a.png", " ")
    write_line(tmp_path / "b.png", "b")
    assert any("empty transcriptions" in note for note in LineCollection.open(tmp_path).notes)


# Images


def test_images_that_are_no_lines_are_skipped_and_the_rest_goes_on(tmp_path: Path) -> None:
    write_line(tmp_path / "good.png", "good")
    write_line(tmp_path / "flat.png", "x", (500, 1))
    write_line(tmp_path / "wire.png", "x", (30_000, 8))
    (tmp_path / "text.png").write_text("no image")
    whole = write_line(tmp_path / "cut.png", "x", (300, 60)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (20_001, 10_001)).save(tmp_path / "bomb.png")
    found = LineCollection.open(tmp_path)
    assert texts(found) == {"good": "good"}
    told = reasons(found)
    assert "too small" in told["flat.png"]
    assert "too long" in told["wire.png"]
    assert set(told) == {"flat.png", "wire.png", "text.png", "cut.png", "bomb.png"}
    assert all(told.values())


def test_a_very_wide_line_is_a_line(tmp_path: Path) -> None:
    write_line(tmp_path / "a.png", "a", (20_000, 64))
    found = LineCollection.open(tmp_path)
    assert found.load(found.lines[0], 32).pixels.shape == (32, 10_000, 3)


@pytest.mark.parametrize(("size", "height"), [((90, 30), 64), ((91, 37), 48), ((8, 200), 16)])
def test_a_line_is_resized_as_pillow_does_and_points_find_back(
    tmp_path: Path, size: tuple[int, int], height: int
) -> None:
    path = write_line(tmp_path / "a.png", "a", size)
    found = LineCollection.open(tmp_path)
    line = found.lines[0]
    image = found.load(line, height)
    width = max(1, int(height * size[0] / size[1]))
    with Image.open(path) as stored:
        wanted = stored.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    assert (image.pixels == np.asarray(wanted)).all()
    assert (image.mask == 255).all()
    assert image.mask.shape == (height, width)
    assert found.width(line, height) == width
    corners = np.array([[0, 0], [width, height]], float)
    np.testing.assert_allclose(image.to_page(corners), [[0, 0], size], atol=1e-9)
    np.testing.assert_allclose(image.to_line(image.to_page(corners)), corners, atol=1e-9)


def test_loading_what_has_gone_is_told(tmp_path: Path) -> None:
    path = write_line(tmp_path / "a.png", "a")
    found = LineCollection.open(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png"):
        found.load(found.lines[0], 32)


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such"):
        LineCollection.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected one of"):
        LineCollection.open(tmp_path)
    (tmp_path / "a.gt.txt").write_text("a")
    with pytest.raises(DataError, match=r"no usable text line; 1 skipped\n  a\.gt\.txt: no image"):
        LineCollection.open(tmp_path)


def test_every_reason_is_told_once_where_nothing_can_be_used(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "d.gt.txt").write_text("a")
    with pytest.raises(DataError) as told:
        LineCollection.open(tmp_path)
    first, image, text = str(told.value).splitlines()
    assert first.endswith("4 skipped")
    assert image == "  a.png: not an image that can be read"
    assert text.startswith("  d.gt.txt: no image")


# annotation.json


def test_the_published_layout(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "sub/c.png", "spare.png"):
        write_line(tmp_path / "images" / name)
    entries = {
        "a.png": {"split": "train", "label": "un", "script": "NT", "page": "p1"},
        "b": {"split": "test", "label": "deux", "script": "ST", "page": 2},
        "c.png": {"split": "train"},
        "../../d.png": {"split": "train", "label": "outside"},
        "e.png": "no entry",
        "spare.png": {"label": 3},
        "f.png": {"label": "\ud800"},
    }
    (tmp_path / "annotation.json").write_text(json.dumps(entries))
    found = LineCollection.open(tmp_path)
    assert texts(found) == {"images/a": "un", "images/b": "deux", "images/sub/c": None}
    assert [line.columns["page"] for line in found] == ["p1", "2", ""]
    assert set(found.columns) == {"split", "page", "script", "document"}
    assert texts(found.in_split("test")) == {"images/b": "deux"}
    told = reasons(found)
    assert told["annotation.json: ../../d.png"] == "no such image"
    assert "annotation.json: spare.png" in told
    assert "does not list" in told["images/spare.png"]


def test_several_data_sets_side_by_side_are_documents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_line(tmp_path / name / "images" / "a.png")
        (tmp_path / name / "annotation.json").write_text('{"a.png": {"label": "x"}}')
    found = LineCollection.open(tmp_path)
    assert [line.columns["document"] for line in found] == ["one", "two"]
    alone = LineCollection.open(tmp_path / "one" / "annotation.json")
    assert texts(alone) == {"images/a": "x"}


@pytest.mark.parametrize("text", ["[1]", "{", '"a"', "\x00"])
def test_a_broken_annotation_is_told(tmp_path: Path, text: str) -> None:
    write_line(tmp_path / "images" / "a.png")
    (tmp_path / "annotation.json").write_text(text)
    with pytest.raises(DataError, match=r"annotation\.json"):
        LineCollection.open(tmp_path)


# Columns


def test_a_table_by_document_joins_its_columns(tmp_path: Path) -> None:
    for name in ("x/1.png", "y/2.png", "z/3.png"):
        write_line(tmp_path / name, "t")
    (tmp_path / "metadata.csv").write_text("\ufeffdocument,date,place\nx,800,A\ny,900,\nq,1,B\n")
    found = LineCollection.open(tmp_path)
    assert found.columns == ("document", "date", "place")
    assert [line.columns["date"] for line in found] == ["800", "900", ""]
    assert any("says nothing: 1, e.g. z/3" in note for note in found.notes)
    assert any("without a line: 1, e.g. q" in note for note in found.notes)
    assert found.values("date") == ("800", "900")
    assert texts(found.subset("date", "800", "900")) == {"x/1": "t", "y/2": "t"}


@pytest.mark.parametrize("key", ["x/1.nrm.png", "x/1", "1.nrm.png", "1", "x\\1.nrm.png"])
def test_a_table_by_file_finds_lines_by_any_of_their_names(tmp_path: Path, key: str) -> None:
    write_line(tmp_path / "x" / "1.nrm.png", "t")
    table = tmp_path / "elsewhere.tsv"
    table.write_text(f"file_name\tsplit\tdocument\n{key}\tval\tmine\n")
    found = LineCollection.open(tmp_path, metadata=table)
    assert found.lines[0].columns == {"document": "x", "split": "val", "document_": "mine"}


def test_folders_of_splits_are_splits(tmp_path: Path) -> None:
    for name in ("train/x/1.png", "test/x/2.png"):
        write_line(tmp_path / name, "t")
    found = LineCollection.open(tmp_path)
    assert texts(found.in_split("train")) == {"train/x/1": "t"}
    assert found.values("document") == ("x",)


def test_columns_that_are_not_there_are_told(tmp_path: Path) -> None:
    write_line(tmp_path / "x" / "1.png", "t")
    found = LineCollection.open(tmp_path)
    with pytest.raises(ConfigError, match=r"'scribe'.*document"):
        found.subset("scribe", "a")
    with pytest.raises(ConfigError, match=r"there are: x"):
        found.subset("document", "a")
    with pytest.raises(ConfigError, match="nobody"):
        found.select(["nobody"])
    assert found.select(["x/1"]).lines == found.lines


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,date\nx,1\n", "document"),
        ("document,date\nx,1\nx,2\n", "second row"),
        ("", "none"),
    ],
)
def test_a_table_that_cannot_be_joined_is_told(tmp_path: Path, table: str, message: str) -> None:
    write_line(tmp_path / "x" / "1.png", "t")
    (tmp_path / "metadata.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        LineCollection.open(tmp_path)


# Replacements


def opened_with(tmp_path: Path, table: str, text: str, form: str = "NFC") -> str | None:
    write_line(tmp_path / "a.png", text)
    path = tmp_path / "table.csv"
    path.write_text(table)
    found = LineCollection.open(tmp_path, normalisation=form, replacements=path)
    return found.lines[0].text


@pytest.mark.parametrize(
    ("rows", "text", "wanted"),
    [
        ("ſ,s", "ſiſ", "sis"),
        ("u,v\nv,u", "uv", "vu"),  # no row changes what another wrote
        ("f,g\nff,h", "fff", "hg"),  # the longest first
        ("#,", "a#b", "ab"),
        ("#r#[0-9]+,N", "12 3", "N N"),
        ('"#r#(a)(b)","\\2\\1"', "ab", "ba"),
        ("ũ,um", "u\u0303", "um"),  # spelt in the same form before it is sought
        ("x,", "x", None),
        ("a,  ", "bab", "b b"),
    ],
)
def test_replacements(tmp_path: Path, rows: str, text: str, wanted: str | None) -> None:
    assert opened_with(tmp_path, f"char,replacement\n{rows}\n", text) == wanted


def test_the_columns_regex_and_allow_of_later_tables_count(tmp_path: Path) -> None:
    table = "char,name,replacement,regex,allow\n[ab],x,c,true,\nd,y,e,,true\n"
    assert opened_with(tmp_path, table, "abd") == "ccd"


@pytest.mark.parametrize("row", ["#r#(,x", "#r#a,\\9", "#r#,x", "#r#*,x"])
def test_a_bad_regular_expression_is_told_with_its_line(tmp_path: Path, row: str) -> None:
    with pytest.raises(ConfigError, match=r"table\.csv, line 3"):
        opened_with(tmp_path, f"char,replacement\na,b\n{row}\n", "a")


def test_a_table_without_its_columns_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="char,replacement"):
        opened_with(tmp_path, "from,to\na,b\n", "a")
    with pytest.raises(ConfigError, match="NFX"):
        opened_with(tmp_path, "char,replacement\n", "a", form="NFX")


# Identity


def test_neither_place_nor_time_of_files_changes_the_digest_but_content_does(
    tmp_path: Path,
) -> None:
    for root in ("one", "two"):
        names = ["a/1.png", "b/2.png"] if root == "one" else ["b/2.png", "a/1.png"]
        for name in names:
            write_line(tmp_path / root / name, "t")
    first, second = (LineCollection.open(tmp_path / name) for name in ("one", "two"))
    assert first.digest == second.digest
    assert first.lines == second.lines
    (tmp_path / "two" / "a" / "1.gt.txt").write_text("u")
    assert LineCollection.open(tmp_path / "two").digest != first.digest
    (tmp_path / "two" / "a" / "1.gt.txt").write_text("t\n")
    assert LineCollection.open(tmp_path / "two").digest == first.digest
    write_line(tmp_path / "two" / "a" / "1.png", None, (91, 30))
    assert LineCollection.open(tmp_path / "two").digest != first.digest
    assert first.subset("document", "a").digest != first.digest


def test_ids_are_unique_even_where_names_are_not(tmp_path: Path) -> None:
    entries = {"a.png": {"label": "x"}, "a.jpg": {"label": "y"}}
    for name in entries:
        write_line(tmp_path / "images" / name)
    (tmp_path / "annotation.json").write_text(json.dumps(entries))
    assert texts(LineCollection.open(tmp_path)) == {"images/a.jpg": "y", "images/a.png": "x"}


# Alphabets


def test_an_alphabet_counts_symbols_and_knows_what_they_are() -> None:
    found = Alphabet.of(["ab a", "ũx\u0304 º"])
    by_name = {symbol.character: symbol for symbol in found.symbols}
    assert found.symbols[0].character == "a"
    assert by_name["a"].count == 2
    assert by_name["\u0304"].combining
    assert not by_name["a"].combining
    assert found.scripts == {"Latin": 5}
    assert found.characters == tuple(sorted("abũx\u0304º"))
    assert found.unknown(["abc c"]) == {"c": 2}


def test_two_alphabets_are_noticed() -> None:
    notes = Alphabet.of(["Moscow", "Москва", "c"]).notes  # the Cyrillic letters look alike
    assert any("several scripts" in note and "Cyrillic 6" in note for note in notes)
    assert not any("several scripts" in note for note in Alphabet.of(["Moscow 1."]).notes)


@pytest.mark.parametrize(
    ("text", "form"), [("abc", ""), ("é", "NFC"), ("e\u0301", "NFD"), ("ée\u0301", "mixed")]
)
def test_unicode_forms(text: str, form: str) -> None:
    assert form_of(text) == form


# Real lines


@pytest.mark.real
def test_real_line_pairs(shared_data: Path) -> None:
    books = LineCollection.open(shared_data / "lines" / "early-printed-books")
    assert len(books) == 750
    assert not books.skipped
    assert books.values("document") == ("1476", "1488", "1495", "1505", "1572")
    hands = LineCollection.open(shared_data / "lines" / "caroline")
    assert len(hands) == 419
    assert not hands.skipped
    assert not hands.notes
    assert len(hands.values("document")) == 17
    assert all(line.columns["date"] for line in hands)
    assert all(line.text for line in (*books, *hands))
