"""The page and the sheet of an evaluation, of made-up figures; in a browser where there is one."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_html import HOSTILE, Elements, skeleton

from typika.evaluation import Estimate
from typika.mining.localisation import (
    ALL,
    CENTRE,
    CHANCE,
    HELD_OUT,
    LESS_MEAN,
    MEASURES,
    PRECISION,
    TRAINED,
    TYPICALITY,
    Figure,
    Figures,
    verdicts,
)
from typika.report.html import render_evaluation, write_evaluation
from typika.report.localisation import build_evaluation, localisation_table, precise
from typika.report.localisation_records import EvaluationInputs, ShownMap
from typika.report.outlines import caption, outlined, sheet_files

VALUES = {TYPICALITY: 0.4, CENTRE: 0.2, LESS_MEAN: 0.3, CHANCE: 0.1}


def made_up(labels: Sequence[str], values: dict[str, float], interval: float = 0.02) -> Figures:
    def one(label: str | None, images: str, measure: str, method: str, minus: str) -> Figure:
        value = values[method] - values.get(minus, 0.0)
        estimate = Estimate(value, value - interval, value + interval)
        return Figure(label=label, images=images, method=method, minus=minus, measure=measure,
                      estimate=estimate, n_images=30, n_groups=28)  # fmt: skip

    pairs = [(method, "") for method in values]
    pairs += [(TYPICALITY, method) for method in values if method != TYPICALITY]
    pairs.append((LESS_MEAN, CHANCE))
    return Figures(tuple(
        one(label, images, measure, *pair)
        for label in (None, *labels) for images in (ALL, TRAINED, HELD_OUT)
        for measure in MEASURES for pair in pairs
    ))  # fmt: skip


def shown(label: str, kind: str, name: str = "a.jpg") -> ShownMap:
    truth = np.zeros((60, 90), dtype=bool)
    truth[20:40, 30:60] = True
    return ShownMap(
        label=label, kind=kind, file_name=name, image=Image.new("RGB", (90, 60), (90, 90, 90)),
        truth=truth, values=np.linspace(-1, 1, 24).reshape(4, 6), precision=0.5, hit=True,
        area=0.1,
    )  # fmt: skip


def make(labels: Sequence[str] = ("a", "b"), word: str = "word", **values: float) -> Any:
    figures = made_up(labels, VALUES | values)
    return EvaluationInputs(
        name=word, before=word, regions=word, facts={word: word}, figures=figures,
        verdicts=verdicts(figures, labels), labels=tuple(labels),
        shown=tuple(shown(label, kind, word) for label in labels for kind in ("best", "worst")),
        above_first=0.5, notes=(word,), version="0.1.0", date="2026-11-21",
    )  # fmt: skip


def test_the_page_says_whether_typicality_beats_the_guess() -> None:
    for value, words, row in (
        (0.4, "typicality beats the guess", "better than position"),
        (0.15, "typicality loses to the guess", "worse than position"),
        (0.21, "is not told apart from the guess", "not told apart"),
    ):
        page = build_evaluation(make(**{TYPICALITY: value}))
        assert words in " ".join(page.lead)
        assert "the distance to the centre, reaches 0.20 (0.18 to 0.22)" in " ".join(page.lead)
        assert [verdict.outcome for verdict in page.verdicts] == [row] * 3
        assert [verdict.label for verdict in page.verdicts] == [None, "a", "b"]
        assert len(page.divided) == 6
        assert words in page.labels[0].sentence


def test_what_is_left_without_position_is_said() -> None:
    for value, words in (
        (0.3, "something of each image"),
        (0.11, "it is not shown that"),
        (0.05, "all in where such things usually lie"),
    ):
        assert words in " ".join(build_evaluation(make(**{LESS_MEAN: value})).lead)


def test_of_one_label_nothing_is_said_twice() -> None:
    several = " ".join(build_evaluation(make()).lead)
    assert (
        "it beats the guess for 2 of 2, loses to it for 0 and is not told apart for 0" in several
    )
    page = build_evaluation(make(labels=("a",)))
    assert "Label by label" not in " ".join(page.lead)
    assert [verdict.label for verdict in page.verdicts] == [None]
    assert page.labels[0].sentence == ""
    text = render_evaluation(page)
    assert text.count("typicality beats the guess") == 1
    assert "over all labels" not in text.split('id="reading"')[0].lower()


def test_few_groups_and_missing_intervals_are_marked() -> None:
    inputs = make()
    rows = [dataclasses.replace(row, n_groups=8, estimate=Estimate(row.estimate.value))
            for row in inputs.figures.rows]  # fmt: skip
    figures = Figures(tuple(rows))
    inputs = dataclasses.replace(inputs, figures=figures, verdicts=verdicts(figures, ("a", "b")))
    text = render_evaluation(build_evaluation(inputs))
    assert "only 8 groups" in text
    assert "too few groups for an interval" in text
    assert "nan" not in text


def test_the_outline_runs_round_the_truth_and_hides_none_of_it() -> None:
    picture = Image.new("RGB", (90, 60), (90, 90, 90))
    for truth in (shown("a", "best").truth, np.eye(60, 90, 30) > 0):
        pixels = np.asarray(outlined(picture, truth))
        inside = truth.copy()
        inside[:4] = inside[-4:] = inside[:, :4] = inside[:, -4:] = False
        assert (pixels[inside] == 90).all()
        assert (pixels == 255).all(axis=2).any()
        assert (pixels == 0).all(axis=2).any()
    everything = np.asarray(outlined(picture, np.ones((60, 90), bool)))
    assert (everything[30, :4] != 90).any()  # along the edge it lies inside
    assert (everything[10:-10, 10:-10] == 90).all()
    assert outlined(picture, np.zeros((60, 90), bool)) is picture


def test_small_figures_are_not_rounded_away() -> None:
    spelt = [precise(value) for value in (0.0, 0.0031, 0.005, 0.314, float("nan"))]
    assert spelt == ["0.00", "0.003", "0.01", "0.31", "—"]
    assert "truth covers under 0.1\u00a0%" in caption(
        dataclasses.replace(shown("a", "best"), area=0.0003)
    )


def test_the_sheet_is_the_same_each_time_and_none_without_images() -> None:
    images = [shown("a $x$", "best"), shown("a $x$", "worst", "🍎" * 300)]
    files = sheet_files(images, "title")
    assert set(files) == {"maps.png", "maps.pdf"}
    assert files == sheet_files(images, "title")
    assert files["maps.pdf"].startswith(b"%PDF")
    sheet = Image.open(io.BytesIO(files["maps.png"]))
    pixels = np.asarray(sheet.convert("RGB"))
    assert (pixels == 255).all(axis=2).mean() > 0.5
    assert sheet_files([], "title") == {}


def test_names_never_become_markup() -> None:
    plain = render_evaluation(build_evaluation(make([f"label {n}" for n in range(len(HOSTILE))])))
    for word in HOSTILE:
        hostile = render_evaluation(build_evaluation(make(HOSTILE, word)))
        assert skeleton(hostile) == skeleton(plain)
        names = {name for _, attributes in Elements(hostile).tags for name in attributes}
        assert not {name for name in names if name.startswith("on")}


def test_the_page_is_self_contained_and_has_no_script() -> None:
    text = render_evaluation(build_evaluation(make()))
    elements = Elements(text)
    assert not {tag for tag, _ in elements.tags} & {"script", "iframe", "object", "base", "form"}
    for tag, attributes in elements.tags:
        assert "style" not in attributes
        for name in ("src", "href"):
            assert re.match(r"#|data:image/jpeg;base64,|data:,", attributes.get(name) or "#")
        if tag == "img":
            assert attributes["alt"]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "script-src" not in policy.group(1)


def test_the_table_has_every_figure_once() -> None:
    labels = ("=HYPERLINK(1)", "b")
    table = localisation_table(made_up(labels, VALUES)).to_pylist()
    keys = [(row["label"], row["images"], row["method"], row["minus"], row["measure"])
            for row in table]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert {key[0] for key in keys} == {"", *labels}
    row = table[keys.index(("b", ALL, TYPICALITY, CENTRE, PRECISION))]
    assert row["value"] == pytest.approx(0.2)
    assert row["low"] == pytest.approx(0.18)
    assert (row["n_images"], row["n_groups"]) == (30, 28)


@pytest.mark.browser
def test_the_page_is_quiet_in_a_browser(browser: Any, tmp_path: Path) -> None:
    inputs = make(HOSTILE, HOSTILE[1])
    write_evaluation(build_evaluation(inputs), tmp_path / "e.html")
    noises: list[str] = []
    outside: Callable[[Any], None] = lambda request: (  # noqa: E731
        None if request.url.startswith(("data:", "file:")) else noises.append(request.url)
    )
    for width, scheme in ((1280, "light"), (400, "dark")):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        page = context.new_page()
        page.on("console", lambda message: noises.append(message.text))
        page.on("pageerror", lambda error: noises.append(str(error)))
        page.on("dialog", lambda dialog: noises.append(dialog.message))
        page.on("request", outside)
        page.goto((tmp_path / "e.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator("#label-2").scroll_into_view_if_needed()
        picture = page.locator("#label-2 .found img").first
        assert picture.evaluate("i => i.decode().then(() => i.naturalWidth)") == 90
        stroke = "getComputedStyle(document.querySelector('.whisker .interval')).stroke"
        assert page.evaluate(stroke) != "none"
        context.close()
    assert noises == []
