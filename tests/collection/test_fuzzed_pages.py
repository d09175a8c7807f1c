"""Damaged and hostile ALTO and PAGE: an error with a reason or skipped rows, nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from line_scenes import alto, alto_line, equiv, page_line, page_xml, rectangle, write_page

from typika.collection.lines import LineCollection
from typika.collection.places import places_of, places_table
from typika.errors import TypikaError

BASE = [(4.0, 20.0), (56.0, 22.0)]
BOX = rectangle(4, 8, 56, 26)
SIZE = (60, 40)
VALID = {
    "alto": alto(
        alto_line("one", BASE, BOX, "abc"),
        alto_line("two", BASE, None, '<String CONTENT="a"/><SP/><String CONTENT="b"/>'),
        alto_line("three", "20", None, box=(4, 8, 50, 18)),
        size=SIZE,
    ),
    "page": page_xml(
        page_line("one", BASE, BOX, equiv("abc", 1) + equiv("abd", 0)),
        page_line("two", BASE, None, f'<Word id="w">{equiv("q")}</Word>'),
        size=SIZE,
    ),
}
# What breaks readers of numbers, points, names and markup.
TOKENS = [
    b"", b"nan", b"-inf", b"1e999", b"-1", b"9" * 400, b"0", b"\x00", b"\xff\xfe", b"<", b">",
    b'"', b"&", b"&#0;", b"&x;", b"<!DOCTYPE a>", b"../../../etc/passwd", b"\xed\xa0\x80",
    b"<TextLine>", b"</TextLine>", b"<Page>", "\u202e\u0661".encode(), b" ", b",", b";", b"POINTS",
    b"]]>", b"<![CDATA[",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> bytes:
    content = VALID[kind].encode()
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, max(len(content) - 1, 0)))
        end = min(start + draw(st.integers(0, 30)), len(content))
        piece = draw(st.sampled_from(TOKENS) | st.binary(max_size=4) | st.just(content[start:end]))
        content = content[:start] + piece + content[end if draw(st.booleans()) else start :]
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fuzz")
    write_page(place / "page.png", SIZE)
    return place


@pytest.mark.parametrize("kind", VALID)
def test_the_undamaged_files_are_read(folder: Path, kind: str) -> None:
    assert len(opened(folder, VALID[kind].encode())) >= 1


@pytest.mark.parametrize("kind", VALID)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_is_an_error_or_a_skipped_line(
    folder: Path, kind: str, data: st.DataObject
) -> None:
    try:
        collection = opened(folder, data.draw(damaged(kind)))
    except TypikaError:
        return
    assert all(line.cut is not None for line in collection)
    assert places_table(places_of(collection)).num_rows == len(collection)
    for line in collection:
        assert collection.load(line, 16).pixels.shape[0] == 16


def opened(folder: Path, content: bytes) -> LineCollection:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        place = Path(temporary)
        (place / "page.png").write_bytes((folder / "page.png").read_bytes())
        (place / "page.xml").write_bytes(content)
        return _kept(LineCollection.open(place, workers=1), folder)


def _kept(collection: LineCollection, folder: Path) -> LineCollection:
    from dataclasses import replace

    return replace(collection, root=folder)
