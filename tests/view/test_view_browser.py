"""Clusters changed in a real browser. Every page must stay quiet, as in tests/report."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from made_up_source import MadeUp

from typika.curation.edits import Drop, Hide, Rename, Split
from typika.curation.store import read_log
from typika.report.build import build_page
from typika.report.by_hand import curated_inputs
from typika.report.html import write_report
from typika.view.guard import Pass
from typika.view.serving import server_of
from typika.view.session import Session

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def source(make_inputs: Any, tmp_path: Any) -> MadeUp:
    return MadeUp(tmp_path, make_inputs(labels=("amber", "blue"), sizes=(12, 5)))


@pytest.fixture
def open_tab(source: MadeUp, browser: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens the page in a further tab; none may make a noise."""
    listener = socket.create_server(("127.0.0.1", 0))
    entry = Pass(token="secret", port=listener.getsockname()[1])
    server = server_of(Session(source), entry)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    noises: list[str] = []
    own = f"http://127.0.0.1:{entry.port}/"

    def open_(**size: Any) -> Any:
        page = context.new_page()
        if size:
            page.set_viewport_size(size)
        page.on("console", lambda message: noises.append(message.text))
        page.on("pageerror", lambda error: noises.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((own, "data:"))
                else noises.append(request.url))  # fmt: skip
        page.goto(f"{own}?token=secret")
        page.wait_for_selector(".tools")
        return page

    yield open_
    context.close()
    server.should_exit = True
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert noises == []


def wait_until(page: Any, true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        page.wait_for_timeout(50)
    pytest.fail("waited twenty seconds in vain")


def at(place: float, length: float) -> float:
    """Where a place on the map is on the canvas, in pixels."""
    return length / 2 + (place - 0.5) * (length - 40)


def titles(page: Any) -> list[str]:
    return page.locator(".panel:visible .cluster:visible h4 bdi").all_inner_texts()


def test_clusters_are_renamed_hidden_drawn_around_and_left_out(
    open_tab: Callable[..., Any], source: MadeUp, browser: Any, tmp_path: Any
) -> None:
    page = open_tab(width=400, height=800)
    assert "token" not in page.url
    # By keyboard: the name is typed, the focus comes back.
    page.get_by_role("button", name="Rename cluster 1").focus()
    page.keyboard.press("Enter")
    page.keyboard.type(HOSTILE)
    page.keyboard.press("Enter")
    wait_until(page, lambda: titles(page) == [HOSTILE, "Cluster 2"])
    assert page.evaluate("document.activeElement.textContent") == "Rename"
    page.get_by_role("button", name="Hide cluster 2").click()
    wait_until(page, lambda: titles(page) == [HOSTILE])
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    # The lasso around the left half of the map, then only what is of one label.
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator("#map-label").select_option("1")
    page.get_by_role("button", name="Lasso").click()
    sheet = page.locator("#map-lasso")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    corners = ((0.0, 0.01), (0.5, 0.01), (0.5, 0.8), (0.0, 0.8))
    for place, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + 2 + x * box["width"], box["y"] + 2 + y * box["height"])
        if place == 0:
            page.mouse.down()
    page.mouse.up()
    chosen = page.locator("#curate-chosen").inner_text()
    inside = [
        row for row in source.inputs.patches.to_pylist()
        if row["label"] == "blue" and row["selection"] == "typical"
        and 2 < at(row["map_x"], box["width"]) < 2 + 0.5 * box["width"]
        and 2 + 0.01 * box["height"] < at(row["map_y"], box["height"]) < 2 + 0.8 * box["height"]
    ]  # fmt: skip
    assert len(inside) > 1
    assert chosen == f"{len(inside)} patches selected: {len(inside)} of blue"
    page.get_by_role("button", name="Make a cluster").click()
    wait_until(page, lambda: "Cluster 3" in titles(page))
    # Patches ticked one by one, and in the map by the space bar.
    page.get_by_role("button", name="Select patches").click()
    page.locator(".panel:visible .tile").first.click()
    page.locator("#map-canvas").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Leave out").click()
    wait_until(page, lambda: page.get_by_text("Left out by hand").count() > 0)
    changes = [edit.change for edit in read_log(source.folder)]
    assert [type(change) for change in changes[:3]] == [Rename, Hide, Split]
    assert {type(change) for change in changes[3:]} == {Drop}
    page.get_by_role("button", name="Undo", exact=True).first.click()
    wait_until(page, lambda: read_log(source.folder).undone != frozenset())
    # The file that is written from it says the same, and folds away what is hidden.
    path = tmp_path / "report.html"
    write_report(build_page(curated_inputs(source.inputs, read_log(source.folder))), path)
    static = browser.new_page()
    static.goto(path.as_uri())
    assert titles(static) == [HOSTILE]
    static.get_by_text("Hidden by hand: 1 cluster").click()
    assert titles(static) == [HOSTILE, "Cluster 2"]
    assert "curation.json" in static.locator("#run").inner_text()
    assert static.locator("#curate, .tools, #edits").count() == 0
    static.close()


def test_two_tabs_show_each_others_edits_and_keep_what_is_typed(
    open_tab: Callable[..., Any], source: MadeUp
) -> None:
    one, other = open_tab(), open_tab()
    other.get_by_role("button", name="Note cluster 2").click()
    other.keyboard.type("half a thou")
    one.get_by_role("button", name="Rename cluster 1").click()
    one.keyboard.type("door")
    one.keyboard.press("Enter")
    wait_until(one, lambda: titles(one) == ["door", "Cluster 2"])
    wait_until(other, lambda: "door" in other.locator("#edit-list").inner_text())
    other.keyboard.type("ght")
    other.get_by_role("button", name="Save").click()
    for page in (other, one):
        notes = page.locator(".note:visible")
        wait_until(page, lambda notes=notes: notes.all_inner_texts() == ["half a thought"])
        assert titles(page) == ["door", "Cluster 2"]
    one.get_by_role("button", name="Star cluster 2").click()
    other.get_by_role("button", name="Star cluster 1 door").click()
    for page in (one, other):
        wait_until(page, lambda page=page: page.locator(".panel:visible .star").count() == 2)
    assert len(read_log(source.folder)) == 4
