"""The report in a real browser. Every page must stay quiet: see `open_report` in conftest.py."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from typika.report.records import HeatMaps

pytestmark = pytest.mark.browser

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "../x",
    "javascript:alert(1)",
    "🍎",
    "x" * 10_000,
)
# The pixels of a canvas. A copy is read: reading the page's own canvas twice makes Chromium talk.
PIXELS = """const pixels = (canvas) => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height).data;
};"""
FOCUS = "document.activeElement.id || document.activeElement.className"


def wait_until(page, true):
    """Poll from here: the page's own policy forbids what `wait_for_function` does."""
    for _ in range(100):
        if true():
            return
        page.wait_for_timeout(50)
    pytest.fail("waited five seconds in vain")


def headings(page):
    return page.locator(".panel:visible h4").all_inner_texts()


def overflows(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_tabs_by_keyboard(open_report, make_inputs):
    page = open_report(make_inputs())
    tabs = page.get_by_role("tab")
    assert tabs.all_inner_texts() == ["amber", "blue", "coral"]
    tabs.nth(0).focus()
    for key, expected in (
        ("ArrowRight", "blue"),
        ("ArrowRight", "coral"),
        ("ArrowRight", "amber"),
        ("ArrowLeft", "coral"),
        ("Home", "amber"),
        ("End", "coral"),
    ):
        page.keyboard.press(key)
        assert page.get_by_role("tab", selected=True).all_inner_texts() == [expected]
        assert page.evaluate("document.activeElement.textContent") == expected
        assert page.locator(".panel:visible h3").all_inner_texts() == [expected]
    # One stop of the Tab key for the whole list, then on to the filters.
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUS) == "text"


def test_focus_can_be_seen(open_report, make_inputs):
    page = open_report(make_inputs())
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement).outlineWidth"
    assert page.evaluate(outline) == "3px"


def test_the_window_opens_steps_and_gives_the_focus_back(open_report, make_inputs):
    page = open_report(make_inputs())
    tile = page.locator(".tile").nth(1)
    tile.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#viewer")
    assert dialog.is_visible()
    assert page.locator("#viewer-count").inner_text() == "2 of 12"
    first = page.locator("#viewer-facts").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewer-count").inner_text() == "3 of 12"
    assert page.locator("#viewer-facts").inner_text() != first
    page.keyboard.press("ArrowLeft")
    assert page.locator("#viewer-facts").inner_text() == first
    assert "±" in page.locator("#viewer-score").inner_text()
    page.get_by_role("button", name="← Previous").click()  # disables itself at the first patch
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewer-count").inner_text() == "2 of 12"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert tile.evaluate("node => node === document.activeElement")


def test_the_box_lies_where_the_patch_was_cut(open_report, make_inputs):
    inputs = make_inputs(labels=("a",))
    page = open_report(inputs)
    page.locator(".tile").first.click()
    nearest = inputs.patches.slice(0, 12).sort_by("distance").to_pylist()[0]
    image = page.locator("#viewer-image").bounding_box()
    box = page.locator("#viewer-box").bounding_box()
    scale = image["width"] / 120
    assert image["height"] == pytest.approx(80 * scale, abs=1)
    assert box["x"] - image["x"] == pytest.approx(nearest["left"] * scale, abs=1)
    assert box["y"] - image["y"] == pytest.approx(nearest["top"] * scale, abs=1)
    assert box["width"] == pytest.approx(24 * scale, abs=1)


def test_heat_maps_show_what_they_were_given(open_report, make_inputs):
    page = open_report(make_inputs(labels=("a",)))
    page.locator(".tile").first.click()

    def corner(place):
        """Red minus blue in the top left or bottom right corner; None where nothing is drawn."""
        return page.evaluate(
            f"""place => {{ {PIXELS}
                const canvas = document.getElementById("viewer-heat");
                if (canvas.hidden) return null;
                const [r, , b, a] = pixels(canvas).slice(place ? -4 : 0).subarray(0, 4);
                return a > 200 ? r - b : 0;
            }}""",
            place,
        )

    # The ramp goes from -1, blue, to 1, orange; the rival's from orange to blue.
    assert corner(0) < -100
    assert corner(1) > 100
    page.get_by_label("the rival’s evidence").check()
    assert corner(0) > 100
    assert corner(1) < -100
    assert "≥ 3" in page.locator("#viewer-ends").inner_text()
    page.get_by_label("Opacity").fill("30")
    assert page.locator("#viewer-heat").evaluate("c => c.style.opacity") == "0.3"
    page.get_by_label("none").check()
    assert corner(0) is None
    # Arrow keys on the radio buttons choose a map and do not turn the page.
    page.keyboard.press("ArrowDown")
    assert page.locator("#viewer-count").inner_text() == "1 of 12"
    assert page.get_by_label("against the other labels").is_checked()


def test_more_adds_the_rest(open_report, make_inputs):
    page = open_report(make_inputs())
    row = page.locator(".cluster").nth(1)
    assert row.locator(".tile").count() == 8
    row.locator(".more").click()
    assert row.locator(".tile").count() == 20
    assert row.locator(".tile").nth(8).evaluate("node => node === document.activeElement")


def test_filter_and_sort(open_report, make_inputs):
    page = open_report(make_inputs())
    assert headings(page) == ["Cluster 1", "Cluster 2", "Cluster 3"]
    page.get_by_label("Order").select_option("size")
    assert headings(page) == ["Cluster 2", "Cluster 1", "Cluster 3"]
    page.get_by_label("Patches at least").fill("10")
    assert headings(page) == ["Cluster 2", "Cluster 1"]
    page.get_by_label("Typicality at least").fill("0.85")
    assert headings(page) == ["Cluster 1"]
    assert page.locator("#status").inner_text() == "Showing 1 of 3 clusters of amber."
    page.get_by_label("Patches at least").fill("")
    page.get_by_label("Typicality at least").fill("")
    page.get_by_label("Search").fill("ada e 1912")
    found = page.locator(".tile").count()
    assert 0 < found < 24
    page.get_by_label("Search").fill("nobody")
    assert headings(page) == []
    assert "No cluster passes the filter." in page.locator(".panel:visible").inner_text()


def test_two_labels_side_by_side(open_report, make_inputs):
    page = open_report(make_inputs())
    page.get_by_label("Beside it").select_option("blue")
    boxes = [page.locator(f"#panel-{n}").bounding_box() for n in (0, 1)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    page.get_by_role("tab", name="coral").click()
    boxes = [page.locator(f"#panel-{n}").bounding_box() for n in (2, 1)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert not overflows(page)
    page.get_by_label("Beside it").select_option("nothing")
    assert page.locator(".panel:visible").count() == 1


def test_controls_open(open_report, make_inputs):
    page = open_report(make_inputs())
    for name in ("random", "least typical"):
        details = page.locator(".panel:visible details", has_text=f"For comparison: {name}")
        details.locator("summary").click()
        details.locator(".tile").first.wait_for()
        assert details.locator(".tile").count() == 6


def test_every_picture_has_words(open_report, make_inputs):
    page = open_report(make_inputs())
    assert page.locator("img:visible").count() == 8 + 8 + 8
    for alt in page.locator("img:visible").evaluate_all("all => all.map(i => i.alt)"):
        assert "amber" in alt
        assert "typicality 0." in alt
    names = page.locator("button, input, select").evaluate_all(
        "all => all.map(n => n.ariaLabel || n.textContent || n.labels?.[0]?.textContent"
        " || n.querySelector('img')?.alt || '')"
    )
    assert all(name.strip() for name in names)


def test_the_map_by_mouse_and_keyboard(open_report, make_inputs):
    page = open_report(make_inputs())
    canvas = page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    painted = f"c => {{ {PIXELS} return pixels(c).some((v, i) => i % 4 === 3 && v > 0); }}"
    wait_until(page, lambda: canvas.evaluate(painted))
    canvas.focus()
    for key in ("+", "ArrowLeft", "ArrowUp", "-", "0"):
        page.keyboard.press(key)
    assert "Patch of" in page.locator("#map-status").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#viewer").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate(FOCUS) == "map-canvas"
    before = canvas.evaluate("c => c.toDataURL()")
    canvas.hover()
    page.mouse.wheel(0, -400)
    wait_until(page, lambda: canvas.evaluate("c => c.toDataURL()") != before)
    page.get_by_role("button", name="Whole map").click()
    page.locator("#map-label").select_option("blue")
    page.wait_for_timeout(100)
    place = canvas.evaluate(
        f"""c => {{ {PIXELS} // any place that is painted, and so are its neighbours
            const data = pixels(c);
            const at = data.findIndex((v, i) => i % 4 === 3 && v > 0 && data[i + 64] > 0
                && data[i + 64 * c.width] > 0) >> 2;
            return {{x: at % c.width + 8, y: Math.floor(at / c.width) + 8}};
        }}"""
    )
    canvas.click(position=place)
    assert page.locator("#viewer-title").inner_text() == "blue"


def test_the_csv_is_complete_and_no_formula(open_report, make_inputs, tmp_path):
    cells = {
        "formula": "=HYPERLINK(1)",
        "at": "@x",
        "plus": "+1+1",
        "minus": "-5",
        "tab": "\t=1",
        "quote": 'a "b", c\nd',
    }
    page = open_report(make_inputs(labels=("-a",), metadata=cells))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV of these rows").click()
    assert download.value.suggested_filename == "typika-a.csv"
    download.value.save_as(tmp_path / "rows.csv")
    text = (tmp_path / "rows.csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 12 + 20 + 9 + 12
    full = next(row for row in rows if row["at"])
    assert [full[name] for name in cells] == [
        "'=HYPERLINK(1)",
        "'@x",
        "'+1+1",
        "-5",
        "'\t=1",
        cells["quote"],
    ]
    assert {row["label"] for row in rows} == {"'-a"}
    assert float(rows[0]["typicality"]) > 0.8
    assert float(rows[-1]["typicality"]) < 0  # a negative number stays a number


def test_dark_follows_the_system_and_the_button(open_report, make_inputs):
    page = open_report(make_inputs(), color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.locator("#theme").click()
    light = page.evaluate(background)
    assert sum(map(int, dark[4:-1].split(","))) < 150
    assert sum(map(int, light[4:-1].split(","))) > 600
    page.locator("#theme").click()
    assert page.evaluate(background) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_have_contrast_enough(open_report, make_inputs, scheme):
    page = open_report(make_inputs(warnings=("Mind the gap.",)), color_scheme=scheme)
    worst = page.evaluate(
        """() => {
            const parse = (c) => c.match(/[\\d.]+/g).map(Number);
            const light = (c) => { const [r, g, b] = parse(c).slice(0, 3).map((v) => v / 255)
                .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
            const behind = (n) => { for (; n; n = n.parentElement) {
                const c = getComputedStyle(n).backgroundColor;
                if ((parse(c)[3] ?? 1) === 1) return c; } return "rgb(255, 255, 255)"; };
            return Math.min(...[...document.querySelectorAll("body *")]
                .filter((n) => n.offsetParent
                    && [...n.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
                .map((n) => [light(getComputedStyle(n).color), light(behind(n))])
                .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)));
        }"""
    )
    assert worst >= 4.5


def test_a_phone_never_scrolls_sideways(open_report, make_inputs):
    page = open_report(
        make_inputs(labels=("amber", "y" * 300, "coral")),
        viewport={"width": 400, "height": 800},
        has_touch=True,
    )
    assert not overflows(page)
    page.get_by_label("Beside it").select_option(index=2)
    assert not overflows(page)
    page.locator(".tile").first.tap()
    assert page.locator("#viewer").is_visible()
    assert page.evaluate("document.getElementById('viewer').scrollWidth <= innerWidth")
    assert page.locator("#viewer-image").bounding_box()["width"] > 300


def test_print_shows_every_label(open_report, make_inputs):
    page = open_report(make_inputs(), color_scheme="dark")
    page.emulate_media(media="print")
    wait_until(page, lambda: page.locator(".cluster").count() == 9)
    assert page.locator(".panel:visible h3").all_inner_texts() == ["amber", "blue", "coral"]
    assert page.locator("#toolbar").is_hidden()
    assert page.locator("[role=tablist]").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_names_stay_names(open_report, make_inputs):
    """`open_report` hooks alert() and fails when it was called."""
    metadata = {word: word for word in HOSTILE}
    page = open_report(make_inputs(labels=HOSTILE, metadata=metadata, title=HOSTILE[1]))
    assert page.locator("img[onerror]").count() == 0
    for number in range(len(HOSTILE)):
        page.get_by_role("tab").nth(number).click()
        page.locator(".panel:visible .tile").nth(1).click()
        assert page.locator("#viewer-title").text_content() == HOSTILE[number]
        page.keyboard.press("Escape")
    assert not overflows(page)


def test_three_hundred_labels(open_report, make_inputs):
    page = open_report(make_inputs(labels=[f"label {n}" for n in range(300)], sizes=(6,)))
    assert page.get_by_role("tab").count() == 300
    assert page.locator(".panel h3").count() == 1  # the others are drawn when they are asked for
    assert page.locator(".labels").bounding_box()["height"] < 300
    page.get_by_label("Find a label").fill("29")
    assert page.locator("[role=tab]:visible").count() == 13
    page.get_by_label("Find a label").press("Enter")
    assert page.locator(".panel:visible h3").inner_text() == "label 29"
    page.keyboard.press("ArrowRight")
    assert page.locator(".panel:visible h3").inner_text() == "label 129"
    page.get_by_label("Find a label").fill("zebra")
    assert page.locator("[role=tab]:visible").count() == 0
    assert not overflows(page)


def test_without_images_the_window_shows_the_patch(open_report, make_inputs):
    def gone(image_id):
        raise FileNotFoundError(image_id)

    page = open_report(dataclasses.replace(make_inputs(), images=gone))
    page.locator(".tile").first.click()
    assert "not in this file" in page.locator("#viewer-missing").inner_text()
    assert page.locator("#viewer-box").is_hidden()
    assert page.locator("#viewer-maps").is_hidden()


def test_an_empty_run(open_report, make_inputs):
    inputs = make_inputs()
    empty = dataclasses.replace(
        inputs, patches=inputs.patches.slice(0, 0), clusters=inputs.clusters.slice(0, 0)
    )
    page = open_report(empty)
    assert "Nothing was selected for this label." in page.locator(".panel:visible").inner_text()
    assert page.locator("#map").is_hidden()


def test_only_maps_that_are_there_can_be_chosen(open_report, make_inputs):
    inputs = make_inputs(labels=("a",))
    only = {key: HeatMaps(null=maps.null) for key, maps in inputs.maps.items()}
    page = open_report(dataclasses.replace(inputs, maps=only))
    page.locator(".tile").first.click()
    shown = page.locator("#viewer-maps label:visible").all_inner_texts()
    assert [text.strip() for text in shown] == ["none", "against no label", "Opacity"]
    assert page.get_by_label("against no label").is_checked()
    assert page.locator("#viewer-heat").get_attribute("data-kind") == "against no label"
    page.get_by_label("against no label").press("ArrowUp")
    assert page.get_by_label("none").is_checked()
    assert page.locator("#viewer-heat").is_hidden()
