"""The page of several methods, made of made-up figures; in a browser where there is one."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from test_html import HOSTILE, Elements, skeleton

from typika.evaluation import Estimate
from typika.mining.methods import MethodFigures, Share
from typika.report.html import render_methods, write_methods
from typika.report.methods import MOST_CENTRES, build_methods, methods_table
from typika.report.methods_records import Centre, MethodRun, MethodsInputs
from typika.report.strips import MOST_LABELS, write_strips
from typika.tables import write_csv

KNOWN = Share(estimate=Estimate(0.5, 0.41, 0.6), chance=0.25)


def jpeg(colour: str = "teal", side: int = 40) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def figures(label: str | None, **changes: Any) -> MethodFigures:
    values: dict[str, Any] = {
        "label": label, "n_images": 1200, "n_patches": 3400, "n_clusters": 12, "told": KNOWN,
        "overlap": KNOWN, "n_significant": 3, "auc": 0.815, "n_located": 30, "precision": KNOWN,
        "pointing": KNOWN, "hits": Share(),
    }  # fmt: skip
    return MethodFigures(**{**values, **changes})


def make(labels: tuple[str, ...] = ("a", "b"), word: str = "word", n: int = 12) -> MethodsInputs:
    centres = tuple(Centre(rank=k + 1, size=9, jpeg=jpeg(), file_name=word) for k in range(n))
    runs = tuple(
        MethodRun(
            name=name, method=name, model=word, ranked=word,
            figures=(figures(None), *(figures(label) for label in labels)),
            centres=dict.fromkeys(labels, centres),
        )
        for name in (word, f"{word}2")
    )  # fmt: skip
    return MethodsInputs(runs=runs, labels=labels, notes=(word,), version="0", date="2026-01-01",
                         regions=word)  # fmt: skip


def test_figures_are_spelt_with_interval_and_chance() -> None:
    page = build_methods(make())
    cells = dict(zip(page.columns, page.rows[0].cells, strict=True))
    assert cells["Typical patches"].text == "3,400"
    assert cells["Label told, held out"].text == "50\u00a0%"
    assert cells["Label told, held out"].small == "41 to 60\u00a0% · chance\u00a025\u00a0%"
    assert cells["Average precision"].small == "0.41 to 0.60 · chance\u00a00.25"
    assert (cells["Best patches that hit"].text, cells["Best patches that hit"].small) == ("—", "")
    assert cells["Held-out AUC"].text == "0.81"


def test_columns_are_those_that_something_is_known_of() -> None:
    inputs = make()
    untested = tuple(
        dataclasses.replace(run, figures=(figures(None, n_significant=None), *run.figures[1:]))
        for run in inputs.runs
    )
    page = build_methods(dataclasses.replace(inputs, runs=untested, regions=""))
    assert page.columns == (
        "Typical patches", "Clusters", "Label told, held out", "Overlap with the first",
    )  # fmt: skip
    assert all(len(row.cells) == len(page.columns) for row in page.rows)


def test_names_never_become_markup() -> None:
    plain = render_methods(build_methods(make(tuple(f"label {n}" for n in range(len(HOSTILE))))))
    for word in HOSTILE:
        hostile = render_methods(build_methods(make(HOSTILE, word)))
        assert skeleton(hostile) == skeleton(plain)
        names = {name for _, attributes in Elements(hostile).tags for name in attributes}
        assert not {name for name in names if name.startswith("on") or name == "style"}


def test_strips_shrink_to_fit_the_page() -> None:
    inputs = make()
    assert len(build_methods(inputs).labels[0].strips[0].patches) == MOST_CENTRES
    small = build_methods(inputs, max_megabytes=0.18)
    assert 0 < len(small.labels[0].strips[0].patches) < MOST_CENTRES
    assert "strips hold" in " ".join(small.left_out)
    assert build_methods(inputs, max_megabytes=0.001).labels[0].strips[0].patches == ()


def test_the_csv_has_no_formula_and_no_nan(tmp_path: Path) -> None:
    inputs = make(("=HYPERLINK(1)", "b"))
    write_csv(methods_table(inputs.runs), tmp_path / "methods.csv")
    lines = (tmp_path / "methods.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 3
    assert not [line for line in lines if ",=HYPERLINK" in line or "nan" in line]
    row = methods_table(inputs.runs).to_pylist()[0]
    assert (row["told"], row["told_low"], row["hits"]) == (0.5, 0.41, None)
    assert not [v for v in row.values() if isinstance(v, float) and math.isnan(v)]


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_the_picture_holds_a_strip_of_each_method(tmp_path: Path) -> None:
    paths = write_strips(make(("$a_1^2$", "b")), tmp_path)  # no formula
    assert [path.name for path in paths] == ["methods.png", "methods.pdf"]
    first = picture_size(paths[0])
    more = write_strips(make(tuple(str(n) for n in range(MOST_LABELS + 5))), tmp_path / "more")
    tall = picture_size(more[0])
    assert tall[0] == first[0]
    assert tall[1] == pytest.approx(first[1] / 2 * MOST_LABELS, abs=MOST_LABELS)
    assert write_strips(make(n=0), tmp_path / "none") == []


@pytest.mark.browser
def test_the_page_is_quiet_in_a_browser(browser: Any, tmp_path: Path) -> None:
    write_methods(build_methods(make(HOSTILE, "<script>alert(1)</script>")), tmp_path / "m.html")
    noises: list[str] = []
    for width in (1280, 400):
        context = browser.new_context(viewport={"width": width, "height": 900})
        page = context.new_page()
        page.on("console", lambda message: noises.append(message.text))
        page.on("dialog", lambda dialog: noises.append(dialog.message))
        page.goto((tmp_path / "m.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()
    assert noises == []
