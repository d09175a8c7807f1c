"""The page of a typewriter: what it shows, that it fits, and that no name becomes markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from typika.report.html import render_typewriter, write_typewriter
from typika.report.typewriter import N_BEST, N_WORST, build_typewriter, choose_lines, spelled
from typika.report.typewriter_curves import curves
from typika.report.typewriter_figures import sheet_lines, write_typewriter_sheets
from typika.report.typewriter_pictures import COLOURS, coloured, outline
from typika.report.typewriter_records import (
    LEARNED,
    TESTED,
    UNTRANSCRIBED,
    CutInstance,
    DrawnLine,
    LearnedSprite,
    TypewriterInputs,
)
from typika.typewriter.stages import CHARACTER_SCHEMA, READING_SCHEMA

HEIGHT, WIDTH = 16, 80
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
HEBREW = "שלום"


def drawn(name: str, seed: int = 0, width: int = WIDTH) -> DrawnLine:
    rng = np.random.default_rng(seed)
    return DrawnLine(
        line_id=name,
        pixels=rng.integers(0, 255, (HEIGHT, width, 3), dtype=np.uint8),
        drawing=rng.integers(0, 255, (HEIGHT, width), dtype=np.uint8),
        owner=np.repeat(np.arange(width) // 20, HEIGHT).reshape(width, HEIGHT).T,
        paper_colour=(1.0, 1.0, 1.0),
        ink_colour=(0.1, 0.1, 0.1),
    )


def sprite(character: str, lines: Sequence[str], *, learned: int = 9) -> LearnedSprite:
    pixels = np.full((HEIGHT, 12, 3), 128, np.uint8)
    cuts = tuple(
        CutInstance(line_id=name, place=0, pixels=pixels, distance=0.1 * n)
        for n, name in enumerate(lines)
    )
    ink = np.full((HEIGHT, 12), 0.5)
    return LearnedSprite(character=character, form=0, count=9, learned=learned, ink=ink,
                         near=cuts, far=(), looked_at=9)  # fmt: skip


def inputs(
    texts: Sequence[tuple[str, str | None, str]] = (("l1", "abba", "abca"), ("l2", "aab", "aab")),
    **changes: Any,
) -> TypewriterInputs:
    """A run of lines (id, transcription, reading); the first is the worst drawn."""
    readings = [
        {"line_id": name, "text": text, "read": read, "aligned": text is not None,
         "character_error": None if text is None else float(text != read),
         "log_likelihood": -1.0, "residual": 1 / (n + 2)}
        for n, (name, text, read) in enumerate(texts)
    ]  # fmt: skip
    characters = [
        {"line_id": name, "place": place, "character": character, "sprite": 0, "cell": place,
         "left": 20.0 * place, "top": 2.0, "right": 20.0 * place + 12, "bottom": 14.0,
         "confidence": 0.75, "page_corners": [0.0] * 8}
        for name, text, read in texts for place, character in enumerate(text or read)
    ]  # fmt: skip
    names = [name for name, _, _ in texts]
    known: dict[str, Any] = {
        "name": "run", "several_forms": False, "sprites": [sprite("a", names), sprite("b", [])],
        "readings": pa.Table.from_pylist(readings, READING_SCHEMA),
        "characters": pa.Table.from_pylist(characters, CHARACTER_SCHEMA),
        "parts": {name: UNTRANSCRIBED if text is None else LEARNED for name, text, _ in texts},
        "wanted": dict.fromkeys(names, "why"),
        "lines": [drawn(name, n) for n, name in enumerate(names)],
        "metrics": [{"step": 10.0, "residual": 0.1, "ctc": 3.0, "character_error": 0.5},
                    {"step": 20.0, "residual": 0.02, "ctc": 0.3, "character_error": 0.25}],
        "notes": [], "facts": {"Seed": "0"}, "settings": {"seed": "0"}, "version": "1",
        "date": "",
    }  # fmt: skip
    return TypewriterInputs(**known | changes)


class Tags(HTMLParser):
    """The names of all elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]


def rows(n: int) -> pa.Table:
    return pa.Table.from_pylist(
        [{"line_id": f"{k:03}", "text": "a", "read": "a", "aligned": True,
          "character_error": 1.0 if k == 100 else 0.0, "log_likelihood": 0.0,
          "residual": k / n} for k in range(n)], READING_SCHEMA)  # fmt: skip


def test_the_worst_the_misread_and_the_best_are_chosen_then_what_letters_are_from() -> None:
    chosen = choose_lines(rows(200), ["110", "000"])
    assert list(chosen)[:3] == ["199", "100", "000"]
    assert len(chosen) == N_WORST + 1 + N_BEST + 1
    assert list(chosen)[-1] == "110"
    assert choose_lines(rows(0), []) == {}


def test_lines_come_worst_first_and_know_their_other_orders() -> None:
    page = build_typewriter(inputs())
    assert [line.line_id for line in page.lines] == ["l1", "l2"]
    assert [line.by_error for line in page.lines] == [0, 1]


def test_what_differs_is_marked_and_spaces_are_not_errors() -> None:
    page = build_typewriter(inputs([("l", "ab cd", "abxd")]))
    (line,) = page.lines
    assert [(piece.text, piece.kind) for piece in line.text] == [
        ("ab", "same"), (" ", "space"), ("c", "differs"), ("d", "same"),
    ]  # fmt: skip
    assert "".join(piece.text for piece in line.read) == "abxd"
    assert page.confusions[0].reference == "c"
    assert page.confusions[0].share == "100.0\u00a0% of 1"


def test_confusions_count_what_was_not_learned_from() -> None:
    given = inputs([("l1", "abba", "abca"), ("l2", "b", "c"), ("l3", "a", "a")])
    page = build_typewriter(replace(given, parts={"l1": LEARNED, "l2": TESTED, "l3": TESTED}))
    (row,) = page.confusions
    assert (row.reference, row.read, row.count, row.unseen) == ("b", "c", "2", "1")
    rates = [(row.part, row.micro) for row in page.errors]
    assert rates == [(TESTED, "50.0\u00a0%"), (LEARNED, "25.0\u00a0%")]


def test_instances_lead_to_their_character() -> None:
    page = build_typewriter(inputs())
    anchors = {box.anchor for line in page.lines for box in line.boxes}
    assert {one.anchor for one in page.sprites[0].near} <= anchors
    away = replace(inputs(), sprites=[sprite("a", ["l1", "elsewhere"])])
    assert [one.anchor for one in build_typewriter(away).sprites[0].near] == ["c1-0", ""]


def test_rare_letters_are_flagged() -> None:
    page = build_typewriter(inputs(sprites=[sprite("a", [], learned=4), sprite("b", [])]))
    assert [bool(card.rare) for card in page.sprites] == [True, False]
    assert "not to be relied upon: a" in page.notes[-1]


def test_a_run_without_transcriptions_has_a_page() -> None:
    page = build_typewriter(inputs([("l1", None, "ab"), ("l2", None, "")], metrics=[]))
    text = render_typewriter(page)
    assert "No line is transcribed" in text
    assert "Transcription</dt>" not in text
    assert page.errors == page.confusions == page.curves == ()


def test_nothing_to_show_is_still_a_page() -> None:
    text = render_typewriter(build_typewriter(inputs([], sprites=[], metrics=[])))
    assert "<main>" in text


def test_nothing_that_a_user_names_is_markup() -> None:
    given = inputs(
        [(HOSTILE, HOSTILE, "x"), (HEBREW, HEBREW, HEBREW)], name=HOSTILE, notes=[HOSTILE],
        sprites=[sprite("<", [HOSTILE])], facts={HOSTILE: HOSTILE}, settings={HOSTILE: HOSTILE},
    )  # fmt: skip
    text = render_typewriter(build_typewriter(given))
    found = Tags()
    found.feed(text)
    assert found.names.count("script") == 1  # ours
    assert not [name for name in found.attributes if name.startswith("on")]
    assert HOSTILE not in text
    assert f'<dd dir="auto">{HEBREW}</dd>' in text


@pytest.mark.parametrize("megabytes", [0.3, 0.6, 3.0])
def test_the_page_keeps_to_its_size(megabytes: float) -> None:
    texts = [(f"{n:03}", "abcd", "abcd") for n in range(120)]
    lines = [drawn(name, n, 400) for n, (name, _, _) in enumerate(texts)]
    sprites = [sprite("a", [f"{k:03}" for k in range(9)])] * 40
    given = inputs(texts, sprites=sprites, lines=lines)
    page = build_typewriter(given, max_megabytes=megabytes)
    assert len(render_typewriter(page).encode()) <= megabytes * 1e6
    assert bool(page.left_out) == (megabytes < 3)
    assert f"{len(page.lines):,} of 120" in page.shown or len(page.lines) == 120


def test_no_drawing_is_said() -> None:
    page = build_typewriter(inputs(metrics=[{"step": 1.0, "ctc": 1.0}]))
    assert "before the model read well enough" in page.notes[0]


def test_a_curve_ends_where_its_values_do() -> None:
    (residual, _, error) = curves(inputs().metrics)
    assert residual.points == "150,0 300,120"
    assert error.best == residual.end == (300.0, 120.0)
    zero = [{"step": 1.0, "character_error": 0.5}, {"step": 2.0, "character_error": 0.0}]
    assert next(curves(zero)).end == (300.0, 120.0)
    assert list(curves([{"step": 1.0, "residual": 1.0}])) == []


def test_a_character_has_one_colour_and_its_neighbour_another() -> None:
    line = replace(drawn("x"), drawing=np.full((HEIGHT, WIDTH), 255, np.uint8))
    picture = np.asarray(coloured(line))
    for n in range(4):
        assert (picture[:, 20 * n : 20 * n + 20] == COLOURS[n]).all()


def test_a_box_is_drawn_in_each_picture() -> None:
    assert outline((1, 2, 5, 8), 16) == "M1 2h4v6h-4zM1 24h4v6h-4zM1 46h4v6h-4z"


@pytest.mark.parametrize(
    ("character", "shown"),
    [("\u0303", "◌\u0303"), (" ", "space"), ("\uebd1", "U+EBD1"), ("ſ", "ſ"), (None, "")],
)
def test_characters_can_be_seen(character: str | None, shown: str) -> None:
    assert spelled(character) == shown


def test_sheets_repeat_and_spread(tmp_path: Path) -> None:
    given = inputs([(f"$x{n}<{HEBREW}", "ab", "ab") for n in range(11)])
    chosen = [line.line_id for line in sheet_lines(given)]
    assert len(chosen) == 6
    assert (chosen[0], chosen[-1]) == (f"$x10<{HEBREW}", f"$x0<{HEBREW}")
    first = write_typewriter_sheets(given, tmp_path / "1")
    again = write_typewriter_sheets(given, tmp_path / "2")
    assert sorted(path.name for path in first) == [
        "lines.pdf", "lines.png", "sprites-by-frequency.pdf", "sprites-by-frequency.png",
        "sprites.pdf", "sprites.png",
    ]  # fmt: skip
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert write_typewriter_sheets(inputs([], sprites=[]), tmp_path / "3") == []


@pytest.mark.browser
def test_boxes_by_keyboard_and_orders(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    texts = [("l1", "aab", "aab"), (HOSTILE, "abba", "xyza")]
    write_typewriter(build_typewriter(inputs(texts)), path)
    page = browser.new_page()
    noises: list[str] = []
    page.on("console", lambda message: noises.append(message.text))
    page.on("pageerror", lambda error: noises.append(str(error)))
    page.on("dialog", lambda dialog: noises.append(dialog.message))
    page.goto(path.as_uri())
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.locator("#line-1 path").first.focus()
    assert "character 1 of 3" in page.locator("#line-1 .said").inner_text()
    page.keyboard.press("ArrowRight")
    assert "character 2 of 3" in page.locator("#line-1 .said").inner_text()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "c2-0"
    page.locator("#lines select").select_option("error")
    assert page.locator(".line").first.get_attribute("id") == "line-2"
    page.locator("#sprites a").first.click()
    assert page.evaluate("document.activeElement.id") == "c1-0"
    page.set_viewport_size({"width": 360, "height": 700})
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.close()
    assert noises == []


def test_the_report_leads_to_the_atlas_where_there_is_one() -> None:
    assert 'href="atlas.html"' not in render_typewriter(build_typewriter(inputs()))
    page = build_typewriter(inputs(atlas="atlas.html"))
    assert 'href="atlas.html"' in render_typewriter(page)
