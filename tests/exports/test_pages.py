"""ALTO and PAGE: structure, round trips, and what hostile texts become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export_scenes import alto_source, page_source, tables, write_image
from hypothesis import given, settings
from hypothesis import strategies as st
from page_checks import faults, glyphs, parsed

from typika.collection.lines import LineCollection
from typika.collection.places import places_of, places_table, read_places
from typika.errors import DataError
from typika.exports._xml import forbidden
from typika.exports.alto import alto
from typika.exports.page import page_xml
from typika.exports.pages import Block, Glyph, Line, Page, pages_of, words_of

SOURCES = {"alto": alto_source, "page": page_source}
BUILDERS = {"alto": alto, "page": lambda page: page_xml(page, "2026-11-30T12:00:00")}
REAL = {"alto": "btv1b100811879-f100", "page": "luther_auszlegunge_1520_0003"}
BAND = ((10.0, 10.0), (90.0, 10.0), (90.0, 40.0), (10.0, 40.0))


def opened(folder: Path, content: bytes | str, name: str = "leaf.xml") -> LineCollection:
    write_image(folder / "leaf.png")
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return LineCollection.open(folder, normalisation="none")


def exported(collection: LineCollection, kind: str) -> tuple[bytes, list]:
    lines, readings, characters = tables(collection)
    (page,) = pages_of(places_of(collection), lines, readings, characters)
    assert page.name == "leaf"
    return BUILDERS[kind](page), characters


def from_line(points: np.ndarray, line: np.ndarray) -> float:
    """The farthest that some points are from a polyline."""
    start, step = line[:-1], np.diff(line, axis=0)
    share = ((points[:, None] - start) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-9)
    foot = start + share.clip(0, 1)[..., None] * step
    return float(np.hypot(*(points[:, None] - foot).transpose(2, 0, 1)).min(1).max())


@pytest.mark.parametrize("target", BUILDERS)
@pytest.mark.parametrize("source", SOURCES)
def test_lines_come_back_where_they_were(tmp_path: Path, source: str, target: str) -> None:
    before = opened(tmp_path / "source", SOURCES[source]())
    content, _ = exported(before, target)
    assert faults(content) == []
    after = opened(tmp_path / "written", content)
    assert [line.line_id for line in after] == [line.line_id for line in before]
    assert [line.text for line in after] == [line.text for line in before]
    for name in ("region", "line_type"):
        own = [[line.columns.get(name) for line in one] for one in (before, after)]
        assert own[0] == own[1]
    for one, other in zip(places_of(before), places_of(after), strict=True):
        assert one.region_name == other.region_name
        np.testing.assert_allclose(one.baseline, other.baseline, atol=0.51)
        np.testing.assert_allclose(one.polygon, other.polygon, atol=0.51)
    for one, other in zip(before, after, strict=True):
        bands = [np.asarray(line.cut.baseline) for line in (one, other)]
        assert from_line(bands[0], bands[1]) < 1
        assert abs(one.cut.above - other.cut.above) < 1
        assert abs(one.cut.below - other.cut.below) < 1


@pytest.mark.parametrize("target", BUILDERS)
def test_every_character_is_a_glyph_where_it_is(tmp_path: Path, target: str) -> None:
    content, characters = exported(opened(tmp_path, alto_source()), target)
    letters = [row for row in characters if not row["character"].isspace()]
    found = glyphs(content)
    # In the order of reading: Hebrew's first letter is the first, combining marks follow.
    assert [one for one, _ in found] == [row["character"] for row in letters]
    for (_, box), row in zip(found, letters, strict=True):
        x, y = np.clip(np.reshape(row["page_corners"], (-1, 2)), 0, (400, 300)).T
        wanted = x.min(), y.min(), x.max(), y.max()
        assert np.abs(np.subtract(box, wanted)).max() <= 1


@pytest.mark.real
@pytest.mark.parametrize("target", BUILDERS)
@pytest.mark.parametrize("source", SOURCES)
def test_real_pages_come_back(tmp_path: Path, shared_data: Path, source: str, target: str) -> None:
    whole = shared_data / "pages" / source
    for name in ("one", "written"):
        (tmp_path / name).mkdir()
    for path in whole.glob(f"{REAL[source]}*"):
        (tmp_path / "one" / path.name).symlink_to(path)
    before = LineCollection.open(tmp_path / "one")
    lines, readings, characters = tables(before)
    for row in readings:
        row["read"] = row["text"] or "x"
    pages = pages_of(places_of(before), lines, readings, characters)
    found = []
    for page in pages:
        content = BUILDERS[target](page)
        assert faults(content) == []
        found += glyphs(content)
        (tmp_path / "written" / f"{page.name}.xml").write_bytes(content)
        (tmp_path / "written" / page.image).symlink_to(whole / page.image)
    letters = [row for row in characters if not row["character"].isspace()]
    assert [one for one, _ in found] == [row["character"] for row in letters]
    for (_, box), row in zip(found, letters, strict=True):
        x, y = np.reshape(row["page_corners"], (-1, 2)).T
        assert np.abs(np.subtract(box, (x.min(), y.min(), x.max(), y.max()))).max() <= 1
    after = LineCollection.open(tmp_path / "written")
    assert [line.line_id for line in after] == [line.line_id for line in before]
    assert [line.text for line in after] == [row["read"] for row in readings]
    for one, other in zip(places_of(before), places_of(after), strict=True):
        assert one.region_name == other.region_name
        np.testing.assert_allclose(one.baseline, other.baseline, atol=0.51)
        np.testing.assert_allclose(one.polygon, other.polygon, atol=0.51)
    for one, other in zip(before, after, strict=True):
        assert abs(one.cut.above - other.cut.above) < 1
        assert abs(one.cut.below - other.cut.below) < 1


def test_places_outlive_their_folder(tmp_path: Path) -> None:
    places = places_of(opened(tmp_path, alto_source()))
    assert read_places(places_table(places)) == places


def test_a_bare_image_is_a_page_of_one_line(tmp_path: Path) -> None:
    for name in ("a.png", "deep/b.png"):
        write_image(tmp_path / name)
    collection = LineCollection.open(tmp_path)
    pages = pages_of(places_of(collection), *tables(collection))
    assert sorted(page.name for page in pages) == ["a", "deep/b"]
    for page in pages:
        for build in BUILDERS.values():
            assert faults(build(page)) == []
        (line,) = page.blocks[0].lines
        assert line.polygon == ((0, 0), (400, 0), (400, 300), (0, 300))
        assert line.text == "x"  # what was read


def test_a_line_without_polygon_or_baseline_gets_its_band(tmp_path: Path) -> None:
    source = page_source().replace("<Baseline", "<Nothing", 1)
    place = places_of(opened(tmp_path / "one", source))[0]
    assert place.baseline is not None
    bare = alto_source().replace("<Shape>", "<Form>").replace("</Shape>", "</Form>")
    place = places_of(opened(tmp_path / "two", bare))[1]
    top, bottom = (f(y for _, y in place.polygon) for f in (min, max))
    assert top < 130 < bottom


def test_characters_that_spell_something_else_make_no_words() -> None:
    letters = [Glyph(character=one, corners=BAND, confidence=1.0) for one in "ab c"]
    assert [word.text for word in words_of("a bc", letters)] == ["a", "bc"]
    assert words_of("abd", letters) == ()
    line = Line(name="l", text="abd x", kind="", baseline=BAND[:2], polygon=BAND, words=())
    for build in BUILDERS.values():
        content = build(of_lines(line))
        assert faults(content) == []
        assert glyphs(content) == []


def test_a_file_never_leaves_the_folder(tmp_path: Path) -> None:
    from dataclasses import replace

    collection = opened(tmp_path, alto_source())
    places = [replace(place, page_file="../x") for place in places_of(collection)]
    with pytest.raises(DataError, match="outside"):
        pages_of(places, *tables(collection))


def of_lines(*lines: Line, label: str = "", image: str = "a.png") -> Page:
    block = Block(name="b", label=label, polygon=None, lines=lines)
    return Page(name="a", image=image, width=100, height=50, blocks=(block,))


anything = st.text(max_size=12)


@settings(max_examples=25, deadline=None)
@given(anything, anything, anything, st.lists(anything, min_size=1, max_size=3, unique=True))
def test_no_text_breaks_a_file(text: str, label: str, kind: str, names: list[str]) -> None:
    spelt = " ".join(text.split())
    letters = [Glyph(character=one, corners=BAND, confidence=0.25) for one in spelt]
    lines = [Line(name=name, text=spelt, kind=kind, baseline=BAND[:2], polygon=BAND,
                  words=words_of(spelt, letters)) for name in names]  # fmt: skip
    page = of_lines(*lines, label=label, image=f"{text}.png")
    for build in BUILDERS.values():
        content = build(page)
        assert faults(content) == []
        if not forbidden(page):
            found = "".join(one for one, _ in glyphs(content))
            assert found == "".join(spelt.split()) * len(names)


def test_what_xml_cannot_hold_is_replaced_and_named() -> None:
    line = Line(name="l", text="a\x01\ud800", kind="", baseline=BAND[:2], polygon=BAND, words=())
    page = of_lines(line, label="x\ufffe")
    assert forbidden(page) == ("U+0001", "U+D800", "U+FFFE")
    string = next(parsed(alto(page)).iter("{*}String"))
    assert string.get("CONTENT") == "a\ufffd\ufffd"
