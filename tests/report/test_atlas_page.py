"""The page of an atlas: what it shows, that it fits, and that no name becomes markup."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from atlas_planted import FEW, atlas_inputs, planted, prototypes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from typika.errors import DataError
from typika.palaeography.comparison_records import Tree
from typika.palaeography.prototypes import distances, near_ink
from typika.palaeography.records import Letter
from typika.report.atlas import build_atlas
from typika.report.atlas_comparison import leaf_order, tree_order
from typika.report.atlas_instances import LADDER, Ranked, Rung, best_rung, rank, shown_rows
from typika.report.atlas_pictures import LEVELS, Pictures, ink_bytes, signed_bytes, strip, tiled
from typika.report.atlas_records import AtlasPage, Sheet, SomeTable
from typika.report.atlas_tables import data_table
from typika.report.html import render_atlas

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page() -> AtlasPage:
    return build_atlas(atlas_inputs(), few=FEW)


def tile(page: AtlasPage, sheet: Sheet, n: int) -> np.ndarray:
    """What the script cuts out of a sheet."""
    content = base64.b64decode(page.pictures[sheet.picture].split(",")[1])
    row, column = divmod(n, sheet.columns)
    top, left = row * sheet.height, column * sheet.width
    whole = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    return whole[top : top + sheet.height, left : left + sheet.width]


class Tags(HTMLParser):
    """The names of all elements and attributes of a page, and the data that its script reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag == "script" and ("type", "application/json") in attrs:
            self.data.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.data and not self.data[-1]:
            self.data[-1] = data


# ------------------------------------------------------------------------------------ pictures


@given(st.integers(1, 40), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_every_tile_is_found_where_the_page_looks_for_it(n: int, columns: int) -> None:
    tiles = np.random.default_rng(n).integers(0, 255, (n, 3, 2), dtype=np.uint8)
    whole, columns = tiled(tiles, columns), min(columns, n)
    for number in range(n):
        row, column = divmod(number, columns)
        cut = whole[3 * row : 3 * row + 3, 2 * column : 2 * column + 2]
        assert np.array_equal(cut, tiles[number])


def test_sprites_lose_no_more_than_half_a_level(page: AtlasPage) -> None:
    documents = atlas_inputs().prototypes[0]
    n_groups = len(documents.groups)
    for k in range(len(documents.letters)):
        for view, pixels in enumerate((documents.ink, documents.mean)):
            for g in (0, n_groups - 1):
                found = 1 - tile(page, page.groupings[0].sheets[k], view * n_groups + g) / 255
                assert np.abs(found - pixels[g, k]).max() < 0.5 / LEVELS + 1 / 255


def test_no_difference_is_the_same_byte_on_either_side() -> None:
    assert signed_bytes(np.array([-1.0, 0, 1, np.nan])).tolist() == [1, 128, 255, 128]
    assert ink_bytes(np.array([0, 1, 2, -1, np.nan])).tolist() == [255, 0, 0, 255, 255]


def test_the_same_picture_is_kept_once() -> None:
    pictures = Pictures()
    tiles = np.zeros((2, 3, 4), np.uint8)
    assert pictures.sprites(tiles) == pictures.sprites(tiles.copy())
    assert len(pictures.urls) == 1


@given(st.floats(-50, 450), st.integers(8, 64))
@settings(max_examples=30, deadline=None)
def test_a_character_stands_in_the_middle_of_its_strip(left: float, height: int) -> None:
    line = np.full((64, 400, 3), 128, np.uint8)
    pixels, box = strip(line, (left, 10, left + 20, 50), height)
    assert pixels.shape == (height, 5 * height)
    assert (box[0] + box[2]) / 2 == pytest.approx(2.5 * height, abs=height / 64 + 0.1)
    assert box[3] - box[1] == pytest.approx(40 * height / 64, abs=0.2)


def test_beyond_the_ends_of_a_line_a_strip_is_white() -> None:
    pixels, _ = strip(np.zeros((64, 400, 3), np.uint8), (0, 10, 20, 50), 64)
    assert pixels[:, 0].tolist() == [255] * 64
    assert pixels[:, -1].tolist() == [0] * 64


# ----------------------------------------------------------------------------------- instances


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None)
def test_no_instance_is_shown_twice_and_the_medoid_comes_first(
    n: int, near: int, far: int
) -> None:
    rung = Rung(near=near, far=far, strip=8, quality=30)
    shown, n_near = Ranked(medoid=3 % n, outwards=np.arange(n)).shown(rung)
    assert shown[0] == 3 % n
    assert len(set(shown)) == len(shown) == min(n, 1 + near + far)
    assert n_near == min(near, n - 1)
    assert list(shown[1 + n_near :]) == sorted(shown[1 + n_near :], reverse=True)


def test_instances_are_ranked_by_distance_from_their_mean() -> None:
    instances = planted("ab", 6)
    documents = prototypes(instances, "document")
    for (g, k), found in rank(instances, documents).items():
        rows = found.outwards
        assert set(instances.letter[rows]) == {k}
        assert {instances.table["document"][int(row)].as_py() for row in rows} == {
            documents.groups[g]
        }
        ink, weight = instances.ink[rows], instances.weight[rows]
        near = near_ink(documents.reference[k])
        away = distances(ink, weight, documents.mean[g, k], near).tolist()
        assert away == sorted(away)


def test_every_cell_shows_instances_of_its_own_letter_and_group(page: AtlasPage) -> None:
    documents = page.groupings[0]
    for g, row in enumerate(documents.cells):
        for k, cell in enumerate(row):
            shown = [page.instances[k].rows[place] for place in cell.instances]
            assert shown
            assert {one.file.split("/")[0] for one in shown} == {documents.groups[g].name}


def test_pictures_shrink_until_they_fit() -> None:
    instances = planted("ab", 8)
    ranked = [rank(instances, prototypes(instances, "document"))]
    line = np.random.default_rng(0).integers(0, 255, (64, 400, 3), dtype=np.uint8)
    rungs = [best_rung(instances, ranked, 2, lambda _: line, budget) for budget in (1e9, 1e5, 1)]
    places = [LADDER.index(rung) for rung in rungs]
    assert places[0] == 0
    assert places[0] < places[1] < places[2] == len(LADDER) - 1
    assert sum(map(len, shown_rows(ranked, 2, LADDER[-1]))) == 12  # the medoids


def test_without_instances_the_page_says_so() -> None:
    page = build_atlas(replace(atlas_inputs(), instances=None, dates={}), few=FEW)
    assert "not in the run folder" in page.left_out[0]
    assert all(not cell.instances for row in page.groupings[0].cells for cell in row)


# -------------------------------------------------------------------------------- groups, trees


def test_groups_know_their_dates_and_what_their_lines_share(page: AtlasPage) -> None:
    documents = page.groupings[0]
    by_name = {group.name: group for group in documents.groups}
    assert by_name["a1"].year == 810
    assert by_name["b2"].year is None
    assert by_name["a1"].facts == (("script", "north"),)
    assert by_name["a1"].parent == "north"
    assert page.groupings[1].groups[0].facts == ()  # documents differ within a script


def test_leaves_are_ordered_so_that_no_branches_cross(page: AtlasPage) -> None:
    tree = atlas_inputs().comparisons[0].tree
    assert tree is not None
    order = leaf_order(tree)
    n = len(tree.documents)
    assert sorted(order) == list(range(n))
    inside = {leaf: {leaf} for leaf in range(n)}
    for number, (one, other, *_) in enumerate(tree.linkage):
        inside[n + number] = inside[int(one)] | inside[int(other)]
        places = sorted(order.index(leaf) for leaf in inside[n + number])
        assert places == list(range(places[0], places[0] + len(places)))
    assert tree_order(tree, ("zz", *tree.documents)) == (*(1 + d for d in order), 0)
    assert tree_order(tree, ("zz",)) == ()
    assert sorted(page.groupings[0].tree) == list(range(6))


def test_a_tree_of_one_document_has_an_order() -> None:
    tree = Tree(documents=("a",), group=("",), left_out=(), distance=np.zeros((1, 1)),
                linkage=np.zeros((0, 4)), support=np.zeros(0), place=np.zeros((1, 2)),
                stress=0.0)  # fmt: skip
    assert leaf_order(tree) == (0,)


def test_differences_come_best_separating_first_with_their_verdicts(page: AtlasPage) -> None:
    (pair,) = page.comparisons[0].differences
    assert [page.letters[k].name for k in pair.order] == ["d", "b", "a"]
    assert pair.verdict == ("differs", "differs", "may be chance")
    given = atlas_inputs().comparisons[0].differences[0]
    for n, k in enumerate(pair.order):
        signed = (tile(page, pair.sheet, 3 * n).astype(float) - 128) / 127
        assert np.abs(signed - given.map[k]).max() < 0.005
        assert np.array_equal(tile(page, pair.sheet, 3 * n + 1) == 0, given.significant[k])


def test_what_was_not_tested_is_not_called_alike() -> None:
    inputs = atlas_inputs()
    (comparison,) = inputs.comparisons
    untested = replace(comparison.differences[0], letter_q=np.full(3, np.nan))
    changed = replace(inputs, comparisons=(replace(comparison, differences=(untested,)),))
    page = build_atlas(changed, few=FEW)
    assert set(page.comparisons[0].differences[0].verdict) == {"not tested"}
    assert not any("beyond chance" in text for text in page.lead)


def test_nothing_is_subtracted_where_one_group_lacks_the_letter() -> None:
    inputs = atlas_inputs()
    (comparison,) = inputs.comparisons
    (pair,) = comparison.differences
    for units, shown in (([[3, 3], [3, 0], [3, 3]], ["d", "a"]), ([[0, 3]] * 3, [])):
        changed = replace(comparison, differences=(replace(pair, units=np.array(units)),))
        page = build_atlas(replace(inputs, comparisons=(changed,)), few=FEW)
        (found,) = page.comparisons[0].differences
        assert [page.letters[k].name for k in found.order] == shown


def test_letters_that_the_page_lacks_are_dropped_from_comparisons() -> None:
    inputs = atlas_inputs()
    (comparison,) = inputs.comparisons
    strange = (Letter("q"), *comparison.differences[0].letters[1:])
    changed = replace(comparison, differences=(replace(comparison.differences[0],
                                                       letters=strange),))  # fmt: skip
    page = build_atlas(replace(inputs, comparisons=(changed,)), few=FEW)
    assert len(page.comparisons[0].differences[0].order) == 2


def test_groupings_must_be_of_the_same_letters() -> None:
    one, other = prototypes(planted("ab", 2), "document"), prototypes(planted("ac", 2), "script")
    inputs = replace(atlas_inputs(), prototypes=(one, other), comparisons=(), instances=None)
    with pytest.raises(DataError, match="adapt again"):
        build_atlas(inputs, few=FEW)
    with pytest.raises(DataError, match="no prototypes"):
        build_atlas(replace(inputs, prototypes=()), few=FEW)


# --------------------------------------------------------------------------------------- tables


def test_a_table_of_the_page_keeps_numbers_and_drops_lists() -> None:
    table = pa.table({"name": ["a", "b"], "x": [0.123456789, float("nan")], "n": [1, None],
                      "ok": [True, False], "many": [[1], [2]]})  # fmt: skip
    found = data_table(SomeTable(title="T", name="t", table=table), most=1)
    assert found.columns == ("name", "x", "n", "ok")
    assert found.numeric == (False, True, True, False)
    assert found.rows == (("a", 0.12346, 1, True),)
    assert found.total == 2
    whole = data_table(SomeTable(title="T", name="t", table=table))
    assert whole.rows[1] == ("b", None, None, False)


# ----------------------------------------------------------------------------------- the file


def hostile_inputs():
    scripts = {
        f"{HOSTILE}{n}": f"=south{HOSTILE}" if n > 1 else f"north{HOSTILE}" for n in range(4)
    }
    given = planted("ab", 2, documents=scripts)
    given = replace(given, letters=(Letter("<"), Letter("'")))
    tables = (SomeTable(title=HOSTILE, name=HOSTILE, table=pa.table({HOSTILE: [HOSTILE]})),)
    dates = {"document": dict.fromkeys(scripts, (HOSTILE, 900.0))}
    return atlas_inputs(given, name=HOSTILE, source=HOSTILE, notes=(HOSTILE,), dates=dates,
                        facts={HOSTILE: HOSTILE}, tables=tables, version=HOSTILE,
                        date=HOSTILE)  # fmt: skip


def test_no_name_becomes_markup() -> None:
    plain = Tags(render_atlas(build_atlas(atlas_inputs(notes=("note",)), few=FEW)))
    text = render_atlas(build_atlas(hostile_inputs(), few=FEW))
    hostile = Tags(text)
    assert hostile.names == plain.names
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]
    assert "<img" not in text
    data = json.loads(hostile.data[0])
    assert data["title"] == HOSTILE
    assert data["groupings"][0]["groups"][0]["name"].startswith(HOSTILE)
    assert data["letters"][0]["name"] == "<"


def test_the_page_asks_nothing_of_the_network(page: AtlasPage) -> None:
    text = render_atlas(page)
    tags = Tags(text)
    for name, value in tags.attributes:
        if name in ("src", "href"):
            assert re.match(r"#|data:,|report\.html", value or "")
    script = text.rsplit("<script>", 1)[1]
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "fetch(", "XMLHttpRequest"):  # fmt: skip
        assert word not in script
    urls = set(re.findall(r"https?://[^\s\"'<]*", text))
    assert urls <= {"http://www.w3.org/2000/svg"}  # the name of a language, not a place
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    assert "default-src &#39;none&#39;" in policy.group(1)
    assert "unsafe" not in policy.group(1)


def test_the_same_inputs_make_the_same_bytes(page: AtlasPage) -> None:
    again = build_atlas(atlas_inputs(), few=FEW)
    assert render_atlas(again) == render_atlas(page)


@pytest.mark.parametrize("megabytes", [0.3, 15.0])
def test_a_page_stays_near_its_limit(megabytes: float, tmp_path: Path) -> None:
    page = build_atlas(atlas_inputs(planted("abde", 8)), few=FEW, max_megabytes=megabytes)
    sprites = sum(len(url) for url in page.pictures if url.startswith("image/png"))
    whole = len(render_atlas(page).encode())
    assert whole < 1.1e6 * megabytes + sprites
