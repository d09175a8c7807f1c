"""The atlas in a real browser, by keyboard and at two widths; every page must stay quiet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from atlas_planted import FEW, atlas_inputs
from test_atlas_page import hostile_inputs

from typika.palaeography.records import Prototypes
from typika.report.atlas import build_atlas
from typika.report.atlas_pictures import LEVELS, ink_bytes
from typika.report.atlas_records import AtlasInputs, AtlasPage, SomeTable
from typika.report.html import write_atlas

pytestmark = pytest.mark.browser

PIXELS = """canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
}"""
OVERFLOWS = "document.documentElement.scrollWidth > innerWidth"
UNNAMED = """Array.from(document.querySelectorAll("canvas, svg, img")).filter((one) =>
    !one.closest("[aria-hidden=true]") && !one.getAttribute("aria-label") && !one.alt).length"""
Opener = Callable[..., Any]


@cache
def usual_page() -> AtlasPage:
    return build_atlas(atlas_inputs(), few=FEW)


@pytest.fixture
def open_atlas(open_quietly: Opener, tmp_path: Path) -> Opener:
    """A function that opens an atlas of some inputs, of planted ones unless others are given."""

    def open_(inputs: AtlasInputs | None = None, **options: Any) -> Any:
        path = tmp_path / "atlas.html"
        write_atlas(build_atlas(inputs, few=FEW) if inputs else usual_page(), path)
        page = open_quietly(path, **options)
        page.wait_for_selector("html[data-whole]", state="attached")
        return page

    return open_


def cell(page: Any, name: str) -> Any:
    return page.get_by_role("gridcell", name=name)


def pixels(canvas: Any) -> np.ndarray:
    flat = np.array(canvas.evaluate(PIXELS), np.uint8).reshape(-1, 4)
    return flat[:, :3]


def settle(page: Any, mode: str) -> None:
    page.wait_for_selector(f'#together[data-mode="{mode}"]')


def documents() -> Prototypes:
    return atlas_inputs().prototypes[0]


def test_two_letters_are_chosen_and_subtracted_by_keyboard(open_atlas: Opener) -> None:
    page = open_atlas()
    page.locator("td[tabindex='0']").focus()
    page.keyboard.press("Enter")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    assert (
        page.locator('td[data-chosen="1"]').get_attribute("aria-label") == "a in a1, 6 instances"
    )
    assert (
        page.locator('td[data-chosen="2"]').get_attribute("aria-label") == "a in b1, 6 instances"
    )
    page.locator("input[value=subtracted]").focus()
    page.keyboard.press("Space")
    settle(page, "subtracted")
    given = documents()
    first, second = (given.ink[given.groups.index(name), 0] for name in ("a1", "b1"))
    found = page.locator("#together")
    assert float(found.get_attribute("data-distance")) == pytest.approx(
        np.linalg.norm(first - second), rel=0.05
    )
    shown = pixels(found).astype(int)
    change = (second - first).ravel()
    orange = shown[:, 0] - shown[:, 2]  # red above blue: ink only in the second
    assert orange[change > 0.2].min() > 0
    assert orange[change < -0.2].max() < 0
    # Pictures have 64 levels, and what differs by one of them is drawn stronger than it is.
    assert (shown[np.abs(change) < 0.004] >= 255 * (1 - LEVELS**-0.75) - 1).all()


def test_what_may_be_chance_is_faded_where_it_was_tested(open_atlas: Opener) -> None:
    page = open_atlas()
    page.select_option("#by", label="script (2)")
    cell(page, "b in north").click()
    cell(page, "b in south").click()
    page.check("input[value=subtracted]")
    settle(page, "subtracted")
    assert "may be chance" in page.locator("#together-legend").inner_text()
    given = atlas_inputs().comparisons[0].differences[0]
    change, sure = given.map[1].ravel(), given.significant[1].ravel()
    strength = 255 - pixels(page.locator("#together")).min(1).astype(float)
    alike = (np.abs(change) > 0.15) & (np.abs(change) < 0.25)
    assert strength[alike & sure].min() > 2 * strength[alike & ~sure].max()


def test_blinking_goes_on_stops_and_respects_stillness(open_atlas: Opener) -> None:
    page = open_atlas()
    cell(page, "d in a1").click()
    cell(page, "d in b1").click()
    page.check("input[value=blinked]")
    page.wait_for_selector('#together[data-blink="1"]')
    page.wait_for_selector('#together[data-blink="2"]')
    page.get_by_role("button", name="Stop").click()
    before = page.locator("#together").get_attribute("data-blink")
    page.wait_for_timeout(900)
    assert page.locator("#together").get_attribute("data-blink") == before
    still = open_atlas(reduced_motion="reduce")
    cell(still, "d in a1").click()
    cell(still, "d in b1").click()
    still.check("input[value=blinked]")
    still.wait_for_timeout(900)
    assert still.locator("#together").get_attribute("data-blink") == "1"
    still.get_by_role("button", name="Show the other").click()
    assert still.locator("#together").get_attribute("data-blink") == "2"


def test_a_choice_shows_its_instances_and_where_they_are(open_atlas: Opener) -> None:
    page = open_atlas()
    cell(page, "a in b2").focus()
    page.keyboard.press("2")
    section = page.locator("#evidence section")
    section.wait_for()
    items = section.locator("li").all_inner_texts()
    assert len(items) == 6
    assert all(text.startswith("b2/") and "character" in text for text in items)
    page.keyboard.press("Escape")
    assert page.locator("#evidence section").count() == 0


def test_rows_and_columns_have_orders(open_atlas: Opener) -> None:
    page = open_atlas()
    heads = page.locator("#matrix thead th .head span:first-child")
    assert heads.all_inner_texts() == ["the model", "a1", "a2", "b1", "a3", "b3", "b2"]  # by date
    page.select_option("#columns", "name")
    page.wait_for_selector('html[data-ready="2"]', state="attached")
    assert heads.all_inner_texts()[1:] == ["a1", "a2", "a3", "b1", "b2", "b3"]
    page.select_option("#columns", "tree")
    page.wait_for_selector('html[data-ready="3"]', state="attached")
    names = heads.all_inner_texts()[1:]
    assert sorted(names) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    page.select_option("#rows", "differs")
    page.wait_for_selector('html[data-ready="4"]', state="attached")
    assert page.locator("#matrix tbody tr").count() == 3


def test_downloads_are_whole_and_start_no_formula(open_atlas: Opener) -> None:
    table = pa.table({"=head": ["=1+1", "-x", 'quo"te, comma'], "n": [-1.5, 2.0, None]})
    page = open_atlas(atlas_inputs(tables=(SomeTable(title="Odd", name="odd", table=table),)))
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download CSV of this table").click()
    rows = list(csv.reader(io.StringIO(Path(waiting.value.path()).read_text("utf-8-sig"))))
    assert rows[0][:2] == ["letter", "document"]
    assert len(rows) == 1 + 3 * 6
    page.get_by_text("Odd", exact=True).click()
    with page.expect_download() as waiting:
        page.locator("details[open] .csv").click()
    rows = list(csv.reader(io.StringIO(Path(waiting.value.path()).read_text("utf-8-sig"))))
    assert rows == [["'=head", "n"], ["'=1+1", "-1.5"], ["'-x", "2"], ['quo"te, comma', ""]]
    assert waiting.value.suggested_filename == "typika-odd.csv"


def test_graphs_leave_documents_out_or_measure_what_is_shown(open_atlas: Opener) -> None:
    page = open_atlas()
    given = atlas_inputs()
    graph = given.comparisons[0].graphs[0]
    summary = page.locator("#letter-graph details summary")
    summary.click()
    rows = page.locator("#letter-graph tbody tr")
    assert rows.count() == 6
    letter = page.locator("[data-graph=letter] select").first.evaluate("one => Number(one.value)")
    assert rows.first.locator("td").first.inner_text() == f"{graph.distance[0, letter, 0]:.3g}"
    page.locator("[data-graph=letter] input[type=checkbox]").uncheck()
    page.locator("#letter-graph figcaption", has_text="too near").wait_for()
    page.locator("#letter-graph details summary").click()
    pair = [ink_bytes(one.ink[0, letter]) / 255 for one in given.prototypes]  # as they are shown
    away = np.linalg.norm(pair[0] - pair[1])
    found = float(page.locator("#letter-graph tbody tr td").first.inner_text())
    assert found == pytest.approx(away, rel=0.01)


def test_every_picture_says_what_it_is(open_atlas: Opener) -> None:
    page = open_atlas()
    cell(page, "a in a1").click()
    unnamed = page.evaluate(UNNAMED)
    assert unnamed == 0


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_runs_out_of_the_window(open_atlas: Opener, width: int) -> None:
    page = open_atlas(viewport={"width": width, "height": 800})
    cell(page, "a in a1").click()
    cell(page, "b in b1").click()
    for details in page.locator("details").all():
        details.evaluate("one => { one.open = true; }")
    page.wait_for_timeout(100)
    assert not page.evaluate(OVERFLOWS)


def test_hostile_names_are_shown_as_they_are(open_atlas: Opener) -> None:
    page = open_atlas(hostile_inputs(), viewport={"width": 400, "height": 800})
    page.locator("td[role=gridcell]").nth(1).click()
    page.locator("td[role=gridcell]").nth(2).click()
    for details in page.locator("details").all():
        details.evaluate("one => { one.open = true; }")
    assert "</script><script>alert(1)" in page.locator("#evidence h3").first.inner_text()
    assert not page.evaluate(OVERFLOWS)
    assert page.locator("img").count() == 0


def test_without_comparison_or_instances_the_page_still_works(open_atlas: Opener) -> None:
    page = open_atlas(atlas_inputs(comparisons=(), instances=None, masks=None, dates={}))
    cell(page, "a in a1").click()
    assert "typika typewriter compare" in page.locator("#trees").inner_text()
    assert "No instance is in this page" in page.locator("#evidence").inner_text()
