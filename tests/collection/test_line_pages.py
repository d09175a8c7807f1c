"""Lines of whole pages: ALTO and PAGE, their images, and lines made straight."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_scenes import (
    alto,
    alto_line,
    curve,
    draw_curve,
    equiv,
    page_line,
    page_xml,
    rectangle,
    write_line,
    write_page,
)
from PIL import Image, ImageDraw

from typika.collection._cuts import Unusable, cuts_of
from typika.collection._line_records import Cut, Drawn
from typika.collection._straighten import native_frame, straight_line
from typika.collection.lines import LineCollection
from typika.errors import DataError

BASE = [(40.0, 100.0), (360.0, 100.0)]
BOX = rectangle(40, 70, 360, 110)
SECOND = alto_line("two", [(40, 200), (360, 200)], rectangle(40, 170, 360, 210), "second")
BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'


def opened(tmp_path: Path, xml: str | bytes, name: str = "page.xml") -> LineCollection:
    if not (tmp_path / "page.png").exists():
        write_page(tmp_path / "page.png")
    (tmp_path / name).write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    return LineCollection.open(tmp_path)


def texts(collection: LineCollection) -> dict[str, str | None]:
    return {line.line_id: line.text for line in collection}


def reasons(collection: LineCollection) -> dict[str, str]:
    return {item.file_name: item.reason for item in collection.skipped}


def drawn(baseline, polygon=None, page=(400.0, 300.0), in_pixels=True) -> Drawn:
    spelt = [None if points is None else tuple(map(tuple, np.asarray(points, float).tolist()))
             for points in (baseline, polygon)]  # fmt: skip
    return Drawn(baseline=spelt[0], polygon=spelt[1], page=page, in_pixels=in_pixels)


def cut_of(baseline, polygon=None, size=(400, 300)) -> Cut:
    found = cuts_of([drawn(baseline, polygon, size)], size)[0]
    assert isinstance(found, Cut), found
    return found


# Straightening


def test_a_level_line_is_its_crop_resized(tmp_path: Path) -> None:
    found = opened(tmp_path, alto(alto_line("one", BASE, BOX)))
    image = found.load(found.lines[0], 64)
    with Image.open(tmp_path / "page.png") as page:
        crop = page.crop((40, 70, 360, 110))
    wanted = crop.resize((64 * 320 // 40, 64), Image.Resampling.BICUBIC)
    assert np.abs(image.pixels.astype(int) - np.asarray(wanted)).max() <= 1
    assert found.width(found.lines[0], 64) == image.pixels.shape[1] == 512
    assert (image.mask == 255).mean() > 0.99
    np.testing.assert_allclose(image.to_page(np.array([[256.0, 32.0]])), [[200, 90]], atol=0.01)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_curved_line_comes_out_straight_whichever_way_it_runs(tmp_path: Path, turn: int) -> None:
    base = curve()
    draw_curve(tmp_path / "page.png", base)
    with Image.open(tmp_path / "page.png") as image:
        page = image.rotate(turn, expand=True)
    x, y = base.T
    way = {0: (x, y), 90: (y, 400 - x), 180: (400 - x, 300 - y), 270: (300 - y, x)}[turn]
    base = np.stack(way, axis=1)
    up = {0: (0, -1), 90: (-1, 0), 180: (0, 1), 270: (1, 0)}[turn]
    polygon = np.concatenate([base + 30 * np.array(up), (base - 10 * np.array(up))[::-1]])
    line = straight_line(page, cut_of(base, polygon, page.size), 40)
    ink = 255.0 - line.pixels.mean(axis=2)
    columns = ink.sum(axis=0) > 0.5 * ink.sum(axis=0).max()
    assert columns[20:-20].all()
    rows = (ink * (np.arange(40) + 0.5)[:, None]).sum(axis=0)[columns] / ink.sum(axis=0)[columns]
    # The band is 1 : 1, so that a row is a pixel; a line upside down is read as if it were not.
    assert np.ptp(rows) < 2.0
    assert abs(rows.mean() - (10 if turn == 180 else 30)) < 2.5


@given(
    amplitude=st.floats(0, 20),
    slope=st.floats(-0.4, 0.4),
    height=st.integers(24, 128),
    share=st.floats(-0.1, 1.1),
    above=st.floats(-0.5, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_the_way_to_the_page_and_back_is_exact(
    amplitude: float, slope: float, height: int, share: float, above: float
) -> None:
    base = curve(amplitude) + np.stack([np.zeros(60), slope * np.linspace(-150, 150, 60)], 1)
    polygon = np.concatenate([base - [0, 30], (base + np.array([0, 12]))[::-1]])
    frame = native_frame(cut_of(base, polygon)).resized(300, height)
    place = np.array([[300 * share, frame.above / frame.scale - above * 25 / frame.scale]])
    page = frame.to_page(place)
    np.testing.assert_allclose(frame.to_line(page), place, atol=1e-6)
    np.testing.assert_allclose(frame.to_page(frame.to_line(page)), page, atol=1e-6)


def test_to_page_boxes_fall_on_the_ink(tmp_path: Path) -> None:
    base = curve()
    page = Image.new("RGB", (400, 300), "white")
    spots = base[[8, 25, 50]]
    for x, y in spots:
        ImageDraw.Draw(page).ellipse((x - 3, y - 13, x + 3, y - 7), fill="black")
    polygon = np.concatenate([base - [0, 30], (base + np.array([0, 10]))[::-1]])
    line = straight_line(page, cut_of(base, polygon), 80)
    dark = line.pixels.mean(axis=2) < 100
    places = line.to_page(np.argwhere(dark)[:, ::-1] + 0.5)
    apart = np.hypot(*(places[:, None] - (spots - [0, 10])).transpose(2, 0, 1)).min(axis=1)
    assert len(apart) > 50
    assert apart.max() < 4.5


def test_the_mask_is_the_polygon_and_leaves_the_neighbours_out(tmp_path: Path) -> None:
    triangle = [(40, 110), (200, 60), (360, 110)]
    found = opened(tmp_path, alto(alto_line("one", BASE, triangle)))
    mask = found.load(found.lines[0], 100).mask
    assert set(np.unique(mask)) == {0, 255}
    assert abs((mask == 255).mean() - 0.5) < 0.02
    assert mask[2, 2] == 0
    assert mask[-3, mask.shape[1] // 2] == 255


def test_the_mask_is_where_the_polygon_is_to_the_pixel(tmp_path: Path) -> None:
    steps = [
        (40, 90),
        (100, 90),
        (100, 70),
        (200, 70),
        (200, 90),
        (360, 90),
        (360, 110),
        (40, 110),
    ]
    found = opened(tmp_path, alto(alto_line("one", BASE, steps)))
    mask = found.load(found.lines[0], 40).mask  # 1 : 1
    assert np.abs(np.flatnonzero(mask[10])[[0, -1]] - [60, 159]).max() <= 1
    assert np.abs(np.flatnonzero(mask[:, 10])[[0, -1]] - [20, 39]).max() <= 1


def test_beyond_the_page_nothing_counts(tmp_path: Path) -> None:
    high = cuts_of([drawn([(10, 20), (390, 20)]), drawn([(10, 80), (390, 80)])], (400, 300))[0]
    assert isinstance(high, Cut)
    assert high.above > 30
    page = Image.new("RGB", (400, 300), "white")
    mask = straight_line(page, high, 60).mask
    assert (mask[:15] == 0).all()
    assert (mask[-15:] == 255).all()


def test_lines_of_a_page_have_one_scale_but_large_and_small_writing_its_own() -> None:
    polygons = [rectangle(20, 40 + 40 * i - 20 - i, 380, 40 + 40 * i + 8) for i in range(5)]
    lines = [drawn([(20, 40 + 40 * i), (380, 40 + 40 * i)], p) for i, p in enumerate(polygons)]
    title = drawn([(20, 280), (380, 280)], rectangle(20, 210, 380, 290))
    gloss = drawn([(20, 25), (380, 25)], rectangle(20, 18, 380, 27))
    cuts = cuts_of([*lines, title, gloss], (400, 300))
    sizes = [(cut.above, cut.below) for cut in cuts if isinstance(cut, Cut)]
    assert len(set(sizes[:5])) == 1
    assert sizes[0][0] >= 24
    assert sizes[5] == (70, 10)
    assert sizes[6] == (7, 2)


def test_without_polygons_the_distance_of_baselines_tells_the_height() -> None:
    lines = [drawn([(20, y), (380, y)]) for y in (60, 110, 160, 210)]
    cuts = cuts_of(lines, (400, 300))
    assert all(isinstance(cut, Cut) and cut.above == 35 and cut.below == 15 for cut in cuts)
    alone = cuts_of(lines[:1], (400, 300))[0]
    assert isinstance(alone, Unusable)
    assert "how high" in alone.reason


def test_without_a_baseline_the_polygon_tells_it() -> None:
    tilted = [(40, 100), (360, 132), (360, 162), (40, 130)]
    frame = native_frame(cut_of(None, tilted))
    (left, right) = frame.stations[[0, -1]]
    assert abs((right - left)[1] / (right - left)[0] - 0.1) < 0.01
    assert frame.above + frame.below == pytest.approx(30, abs=2)
    down = cut_of(None, rectangle(100, 20, 130, 280))  # a vertical line is read downwards
    assert down.baseline[0][1] < down.baseline[-1][1]


def test_a_baseline_drawn_from_right_to_left_gives_no_line_upside_down() -> None:
    assert cut_of(BASE[::-1], BOX) == cut_of(BASE, BOX)


@pytest.mark.parametrize(
    ("baseline", "polygon", "reason"),
    [
        ([(40, 100), (40, 100)], BOX, "degenerate baseline"),
        ([(40, 100)], BOX, "degenerate baseline"),
        ([(40, 100), (300, 100), (300, 102), (60, 102)], BOX, "turns back"),
        (BASE, rectangle(40, 70, 900, 110), "polygon lies outside"),
        ([(-90, 100), (300, 100)], None, "baseline lies outside"),
        ([(1e300, 1e300), (-1e300, 3)], None, "outside"),
        (BASE, rectangle(40, 280, 360, 299), "not at its baseline"),
        (None, [(40, 40), (300, 40), (40, 40)], "without area"),
        (BASE, rectangle(40, 98, 360, 101), "too small"),
    ],
)
def test_lines_without_a_usable_place(baseline, polygon, reason: str) -> None:
    found = cuts_of([drawn(baseline, polygon)], (400, 300))[0]
    assert isinstance(found, Unusable)
    assert reason in found.reason


coordinates = st.floats(-5, 405) | st.sampled_from([0.0, 100.0, 300.0, 400.0])
shapes = st.lists(st.tuples(coordinates, st.floats(-5, 305)), min_size=1, max_size=8)


@given(st.lists(st.tuples(st.none() | shapes, shapes), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_whatever_is_drawn_on_a_page_gives_a_line_or_a_reason(places) -> None:
    page = Image.new("RGB", (400, 300), "white")
    for found in cuts_of([drawn(base, polygon) for base, polygon in places], (400, 300)):
        if isinstance(found, Unusable):
            assert found.reason
        else:
            image = straight_line(page, found, 16)
            assert image.pixels.shape[:2] == image.mask.shape
            assert image.mask.shape[0] == 16
            assert np.isfinite(image.to_page(np.array([[0.0, 0.0], [9.0, 9.0]]))).all()


def test_points_a_little_outside_are_moved_to_the_edge() -> None:
    cut = cut_of([(-3, 100), (404, 100)], rectangle(-3, 80, 404, 105))
    assert cut.baseline == ((0, 100), (400, 100))


# ALTO


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("comma", [True, False])
def test_alto_of_any_version_and_spelling_of_points(
    tmp_path: Path, version: int, comma: bool
) -> None:
    xml = alto(alto_line("one", BASE, BOX, comma=comma), SECOND, version=version)
    found = opened(tmp_path, xml)
    assert texts(found) == {"page#one": "abc", "page#two": "second"}
    assert found.lines[0].cut is not None
    assert found.lines[0].cut.polygon == tuple(BOX)
    assert found.lines[0].columns == {"page": "page", "region": "MainZone"}
    assert not found.skipped
    assert not found.notes


def test_alto_without_outlines_has_rectangles_and_a_height(tmp_path: Path) -> None:
    box = (40.0, 70.0, 320.0, 40.0)
    found = opened(tmp_path, alto(alto_line("one", "100.0", None, box=box),
                                  alto_line("", None, None, box=box)))  # fmt: skip
    level, guessed = (line.cut for line in found)
    assert level.baseline == tuple(BASE)
    assert level.polygon == tuple(BOX)
    assert guessed.baseline[0][1] == guessed.baseline[1][1] == 100  # three quarters down
    assert found.lines[1].line_id == "page#line-2"


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ('<String CONTENT="a"/><SP/><String CONTENT="b"/><HYP CONTENT="-"/>', "a b-"),
        ('<String CONTENT="a"/><String CONTENT="b"/>', "a b"),
        ('<String CONTENT="a"/><String CONTENT="b"/><HYP CONTENT="⸗"/>', "a b⸗"),
        ('<String CONTENT="&lt;i&gt; &amp;"/>', "<i> &"),
        ('<String CONTENT="שלום"/><SP/><String CONTENT="עולם"/>', "שלום עולם"),
        ('<String CONTENT=""/>', None),
        ("", None),
    ],
)
def test_alto_text(tmp_path: Path, inside: str, text: str | None) -> None:
    assert texts(opened(tmp_path, alto(alto_line("one", BASE, BOX, inside)))) == {"page#one": text}


def test_alto_in_tenths_of_millimetres(tmp_path: Path) -> None:
    tenfold = alto_line("one", [(400, 1000), (3600, 1000)], rectangle(400, 700, 3600, 1100))
    found = opened(tmp_path, alto(tenfold, size=(4000, 2999), unit="mm10"))
    assert found.lines[0].cut.baseline[0] == pytest.approx((40, 100), abs=0.1)


# The page's image


def test_a_resized_page_is_scaled_and_noted_and_another_page_refused(tmp_path: Path) -> None:
    double = alto_line("one", [(80, 200), (720, 200)], rectangle(80, 140, 720, 220))
    found = opened(tmp_path, alto(double, size=(800, 600)))
    assert found.lines[0].cut.baseline == tuple(BASE)
    assert "another size" in found.notes[0]
    with pytest.raises(DataError, match="800 x 800, while the image has 400 x 300"):
        opened(tmp_path, alto(double, size=(800, 800)))


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("page.png", "page.png"),
        ("../../somewhere/page.png", "page.png"),
        ("C:\\scans\\page.png", "page.png"),
        ("https://example.org/iiif/page.png", "page.png"),
        ("scan.tif", "scan.png"),
        ("scan.tif", "scan_B.png"),
        (None, "page.png"),
        ("", "page.bin.png"),
        ("lost.png", "page.jpg"),
    ],
)
def test_the_image_of_a_page_is_found(tmp_path: Path, named: str | None, there: str) -> None:
    write_page(tmp_path / there)
    (tmp_path / "page.xml").write_text(alto(alto_line("one", BASE, BOX), image=named))
    found = LineCollection.open(tmp_path)
    assert [line.file_name for line in found] == [there]
    exact = named is not None and named.replace("\\", "/").endswith(there)
    assert (found.notes == ()) == exact


def test_the_image_may_be_in_the_folder_above_or_named_from_the_top(tmp_path: Path) -> None:
    write_page(tmp_path / "book" / "1.png")
    write_page(tmp_path / "book" / "img" / "2.png")
    for number, named in ((1, "1.png"), (2, "img/2.png")):
        path = tmp_path / "book" / "page" / f"{number}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(page_xml(page_line("l", BASE, BOX), image=named))
    found = LineCollection.open(tmp_path)
    assert [line.file_name for line in found] == ["book/1.png", "book/img/2.png"]
    assert found.values("document") == ("book",)
    assert found.values("page") == ("1", "2")


def test_the_image_beside_the_xml_is_meant_even_by_a_foreign_path(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_page(tmp_path / folder / "1.png")
        xml = alto(alto_line("one", BASE, BOX), image="/home/someone/scans/1.png")
        (tmp_path / folder / "1.xml").write_text(xml)
    found = LineCollection.open(tmp_path)
    assert [line.file_name for line in found] == ["a/1.png", "b/1.png"]
    assert found.notes == ()


def test_an_image_outside_the_collection_is_never_opened(tmp_path: Path) -> None:
    write_page(tmp_path / "secret.png")
    inside = tmp_path / "inside"
    write_line(inside / "lines" / "a.png", "a")
    for number, named in enumerate(("../secret.png", str(tmp_path / "secret.png"))):
        (inside / f"{number}.xml").write_text(alto(alto_line("one", BASE, BOX), image=named))
    found = LineCollection.open(inside)
    assert texts(found) == {"lines/a": "a"}
    assert all("secret.png is not there" in reason for reason in reasons(found).values())


def test_a_page_that_no_xml_describes_is_no_line(tmp_path: Path) -> None:
    write_page(tmp_path / "other.png")
    write_line(tmp_path / "lines" / "a.png", "a")
    found = opened(tmp_path, alto(alto_line("one", BASE, BOX)))
    assert texts(found) == {"lines/a": "a", "page#one": "abc"}
    assert reasons(found) == {"other.png": "no XML describes this page"}


def test_other_xml_and_pages_leave_pairs_alone(tmp_path: Path) -> None:
    write_line(tmp_path / "plain" / "a.png", "a")
    write_line(tmp_path / "plain" / "b.png")
    (tmp_path / "plain" / "mets.xml").write_text("<mets/>")
    write_line(tmp_path / "c.png", "c")
    found = opened(tmp_path, alto(SECOND))
    assert texts(found) == {"c": "c", "page#two": "second", "plain/a": "a", "plain/b": None}
    assert "neither ALTO" in reasons(found)["plain/mets.xml"]


def test_one_page_in_two_files_counts_once(tmp_path: Path) -> None:
    (tmp_path / "zweit.xml").write_text(page_xml(page_line("one", BASE, BOX)))
    found = opened(tmp_path, alto(alto_line("one", BASE, BOX)))
    assert list(texts(found)) == ["page#one"]
    assert "same page image as page.xml" in reasons(found)["zweit.xml"]


def test_lines_with_one_id_are_told_apart_by_their_order(tmp_path: Path) -> None:
    found = opened(tmp_path, alto(alto_line("one", BASE, BOX), SECOND.replace("two", "one")))
    assert texts(found) == {"page#one": "abc", "page#one-2": "second"}


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (alto(SECOND, head=BOMB), "document type"),
        ('<!DOCTYPE alto SYSTEM "file:///etc/passwd">' + alto(SECOND, head=""), "document type"),
        (alto(SECOND)[:-20], "not XML"),
        (alto(SECOND, head="").encode("utf-16"), "UTF-8"),
        (alto(), "no <TextLine>"),
        (alto(*[SECOND] * 5001), "more than a page"),
        (alto(SECOND).replace("<Page ", "<Page/><Page "), "2 pages"),
        (b" " * ((1 << 26) + 1), "bytes"),
        (alto(alto_line("one", "1 nan 3 4", BOX)), "cannot be read"),
        (alto(alto_line("one", "1e300 5 3 4", BOX)), "on no page"),
        (alto(alto_line("one", "1 2 3", BOX)), "no pairs"),
        (alto(alto_line("one", "a b c d", BOX)), "cannot be read"),
        (alto(alto_line("one", "1 " * 60_000, BOX)), "more than a line"),
        (alto(alto_line("one", None, None)), "neither a baseline"),
        (alto(alto_line("one", BASE, BOX), size=None, unit="mm10"), "unit is no pixel"),
    ],
)
def test_xml_that_cannot_be_used_is_skipped_and_the_run_goes_on(
    tmp_path: Path, xml: str | bytes, reason: str
) -> None:
    write_line(tmp_path / "lines" / "a.png", "a")
    found = opened(tmp_path, xml)
    assert texts(found) == {"lines/a": "a"}
    assert any(reason in told for told in reasons(found).values())


def test_a_page_that_is_no_image_loses_its_lines_at_once(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("no image")
    write_line(tmp_path / "lines" / "a.png", "a")
    found = opened(tmp_path, alto(SECOND, SECOND))
    assert list(reasons(found)) == ["page.png"]
    assert "2 lines lost" in reasons(found)["page.png"]


def test_deep_xml_is_no_harm(tmp_path: Path) -> None:
    deep = "<ComposedBlock>" * 5000 + SECOND + "</ComposedBlock>" * 5000
    assert texts(opened(tmp_path, alto(deep))) == {"page#two": "second"}


# PAGE


@pytest.mark.parametrize("version", ["2013-07-15", "2016-07-15", "2019-07-15"])
@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (equiv("second", 1) + equiv("first", 0), "first"),
        (equiv("one"), "one"),
        (f'<Word id="w">{equiv("a")}</Word><Word id="x">{equiv("b")}</Word>' + equiv(""), "a b"),
        (f'<Word id="w"><Glyph>{equiv("a")}</Glyph><Glyph>{equiv("b")}</Glyph></Word>', "ab"),
        (equiv("<b> &"), "<b> &"),
        (equiv(unicodedata.normalize("NFD", "ũ")), "ũ"),
        ("", None),
    ],
)
def test_page_text(tmp_path: Path, version: str, inside: str, text: str | None) -> None:
    found = opened(tmp_path, page_xml(page_line("l", BASE, BOX, inside), version=version))
    assert texts(found) == {"page#l": text}
    assert found.lines[0].columns == {"page": "page", "region": "heading"}


def test_page_without_a_baseline_uses_its_outline(tmp_path: Path) -> None:
    old = '<TextLine id="o"><Coords><Point x="40" y="70"/><Point x="360" y="70"/>' \
          '<Point x="360" y="110"/><Point x="40" y="110"/></Coords></TextLine>'  # fmt: skip
    found = opened(tmp_path, page_xml(page_line("l", None, BOX), old))
    assert found.lines[0].cut == found.lines[1].cut
    assert found.lines[0].cut.baseline == tuple(BASE)


# Real pages


@pytest.mark.real
def test_real_pages(shared_data: Path) -> None:
    found = LineCollection.open(shared_data / "pages")
    assert len(found) == 192
    assert not found.skipped
    assert sum(line.text is None for line in found) == 1
    assert sum("another name" in note for note in found.notes) == 1
    for line, image in found.iterate(48):
        ink = np.percentile(image.pixels[image.mask > 0], [5, 50])
        assert ink[0] < ink[1], line.line_id  # there is writing on it
        grid = np.stack(np.meshgrid([5.0, image.pixels.shape[1] - 5.0], [10.0, 30.0]), -1)
        page = image.to_page(grid.reshape(-1, 2))
        np.testing.assert_allclose(image.to_page(image.to_line(page)), page, atol=0.01)
