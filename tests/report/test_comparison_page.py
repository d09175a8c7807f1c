"""The page that compares two runs, made of made-up runs; in a browser where there is one."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_html import HOSTILE, Elements, skeleton

from typika.evaluation import Estimate
from typika.mining.comparison import Agreement, Localisation
from typika.report import comparison
from typika.report.comparison import (
    MOST_IMAGES,
    agreement_table,
    build_comparison,
    decimal,
    percent,
    signed,
)
from typika.report.comparison_records import ComparedRun, ComparisonInputs, ShownImage
from typika.report.html import render_comparison, write_comparison
from typika.report.pictures import ABOVE, BELOW, heat_picture
from typika.report.records import HeatMaps, ReportInputs
from typika.tables import write_csv

Make = Callable[..., ComparisonInputs]


def agreement(label: str | None, value: float = 0.5) -> Agreement:
    estimate = Estimate(value, value - 0.1, value + 0.1)
    return Agreement(
        label=label, n_images=30, n_groups=28, n_before=41, n_after=42, n_matched=20,
        before_found=estimate, after_found=estimate, found=estimate, before_chance=0.02,
        after_chance=0.04, rank_correlation=estimate, map_correlation=estimate,
        adjusted_rand=Estimate(float("nan")),
    )  # fmt: skip


def localisation(label: str | None) -> Localisation:
    one, gain = Estimate(0.4, 0.3, 0.5), Estimate(-0.05, -0.1, 0.01)
    return Localisation(
        label=label, n_images=12, n_groups=12, precision_before=one, precision_after=one,
        precision_gain=gain, hit_before=one, hit_after=one, hit_gain=gain, area=0.123,
    )  # fmt: skip


def scaled(inputs: ReportInputs, factor: float) -> ReportInputs:
    maps = {key: HeatMaps(null=factor * maps.null) for key, maps in inputs.maps.items()}
    return dataclasses.replace(inputs, maps=maps)


@pytest.fixture
def make(make_inputs: Callable[..., ReportInputs]) -> Make:
    """A function that makes up a comparison: labels, names, scale of the second run's maps."""

    def make_(labels=("amber", "blue"), names=("old", "new"), factor=2.0, **changes: Any):
        facts = {
            key: changes.pop(key) for key in ("model", "prompts", "command") if key in changes
        }
        inputs = make_inputs(labels=labels, **facts)
        after = scaled(make_inputs(labels=labels, seed=8, **facts), factor)
        shown = [
            ShownImage(image_id=f"{number}-{place}", label=label, file_name=f"{label}/{place}.jpg",
                       width=120, height=80, reason="changed" if place < 4 else "typical",
                       correlation=place / 10)
            for number, label in enumerate(labels)
            for place in range(8)
        ]  # fmt: skip
        known: dict[str, Any] = {
            "before": ComparedRun(name=names[0], inputs=inputs, found=frozenset({0, 1}),
                                  settings={"seed": "7", "score.n_draws": "16"}),
            "after": ComparedRun(name=names[1], inputs=after, found=frozenset({2}),
                                 settings={"seed": "8", "score.n_draws": "16", "model.new": "x"}),
            "agreement": (agreement(None), *map(agreement, labels)),
            "localisation": (localisation(None), *map(localisation, labels)),
            "shown": tuple(shown),
            "notes": (),
            "version": "0.1.0",
            "date": "2026-11-21",
            "regions": "boxes.csv",
        }  # fmt: skip
        return ComparisonInputs(**(known | changes))

    return make_


def test_clusters_of_both_runs_stand_beside_each_other(make: Make) -> None:
    inputs = make()
    page = build_comparison(inputs)
    assert [section.label for section in page.labels] == ["amber", "blue"]
    for section in page.labels:
        assert section.n_clusters == (3, 3)
        for rows in (section.before, section.after):
            assert [row.rank for row in rows] == [1, 2, 3]
            assert [len(row.patches) for row in rows] == [8, 8, 8]
            assert [row.left_out for row in rows] == [4, 12, 1]
            assert float(rows[0].typicality) > float(rows[1].typicality)
    found = [p for row in page.labels[0].before for p in row.patches if p.found]
    assert 0 < len(found) <= 2
    assert all("the other run has it too" in picture.alt for picture in found)


def test_only_what_differs_is_called_different(make: Make) -> None:
    page = build_comparison(make())
    assert {fact.name for fact in page.facts if fact.differs} == {"Seed"}
    assert [(f.name, f.before, f.after) for f in page.settings] == [
        ("model.new", "—", "x"),
        ("seed", "7", "8"),
    ]
    assert [fact.name for fact in page.head] == [
        "Model", "Patches ranked", "Prompt, label", "Images",
    ]  # fmt: skip


def test_images_come_by_reason_with_three_pictures_and_their_words(make: Make) -> None:
    page = build_comparison(make())
    rows = page.labels[0].images
    assert [row.reason for row in rows] == ["changed"] * 4 + ["typical"] * 4
    assert len(rows) == 2 * MOST_IMAGES
    plain, before, after = rows[0].pictures
    assert plain.alt == "amber/0.jpg, whole image"
    assert "under the map of old: from −0.9 to 1.1, highest 94 % from the left" in before.alt
    assert "typical patches framed" in before.alt
    assert "under the map of new: from −1.8 to 2.2" in after.alt
    sizes = {Image.open(io.BytesIO(base64.b64decode(p.jpeg))).size for p in rows[0].pictures}
    assert sizes == {(rows[0].width, rows[0].height)} == {(120, 80)}


def test_one_colour_scale_unless_the_maps_are_worlds_apart(make: Make) -> None:
    near = build_comparison(make(factor=2.0)).scale
    far = build_comparison(make(factor=1000.0)).scale
    assert near is not None
    assert far is not None
    assert near.ends == (("", "2.2"),)
    assert far.ends == (("before", "1.1"), ("after", "1.1e+03"))


def test_a_map_colours_the_grey_picture() -> None:
    image = Image.new("RGB", (40, 20), (200, 0, 0))
    ramp = np.array([[-1.0, 0.0, 1.0]])
    picture = np.asarray(heat_picture(image, ramp, 1.0)).astype(int)
    grey = np.asarray(image.convert("L"))[0, 0]
    for x, colour in ((0, BELOW), (39, ABOVE)):
        expected = 0.2 * grey + 0.8 * np.array(colour)
        assert np.abs(picture[5, x] - expected).max() <= 1
    assert np.abs(np.asarray(heat_picture(image, 0 * ramp, 1.0)).astype(int) - grey).max() == 0
    assert (np.asarray(heat_picture(image, 9 * ramp, 1.0))[5, 39] == picture[5, 39]).all()
    framed = np.asarray(heat_picture(image, ramp, 1.0, [(10, 2, 30, 18)]))
    assert framed[2, 15].tolist() == [0, 0, 0]
    assert framed[3, 15].tolist() == [255, 255, 255]


def test_lost_images_are_counted_and_either_source_will_do(make: Make) -> None:
    def gone(image_id: str) -> Image.Image:
        raise FileNotFoundError(image_id)

    inputs = make()
    before = dataclasses.replace(
        inputs.before, inputs=dataclasses.replace(inputs.before.inputs, images=gone)
    )
    assert build_comparison(dataclasses.replace(inputs, before=before)).left_out == ()
    after = dataclasses.replace(
        inputs.after, inputs=dataclasses.replace(inputs.after.inputs, images=gone)
    )
    page = build_comparison(dataclasses.replace(inputs, before=before, after=after))
    assert page.labels[0].images == ()
    assert page.scale is None
    assert "16 images that should be shown could not be read" in page.left_out[0]
    render_comparison(page)


def test_the_page_stays_within_its_size(make: Make) -> None:
    inputs = make(labels=tuple(f"label {n}" for n in range(40)))
    for megabytes in (1.0, 2.5):
        page = build_comparison(inputs, max_megabytes=megabytes)
        assert len(render_comparison(page).encode()) <= megabytes * 1e6
        assert page.left_out


def test_numbers_are_spelt_for_people() -> None:
    assert [percent(x).replace("\u00a0", " ") for x in (0, 0.034, 0.5, 1, float("nan"))] == [
        "0 %", "3.4 %", "50 %", "100 %", "—",
    ]  # fmt: skip
    assert [decimal(x) for x in (-0.5, Estimate(1.0), float("nan"))] == ["−0.50", "1.00", "—"]
    assert [signed(x) for x in (0.0123, -0.5, 0.0, -0.0001)] == [
        "+0.012", "−0.500", "0.000", "0.000",
    ]  # fmt: skip


def test_names_never_become_markup(make: Make) -> None:
    def page(labels: Any, word: str) -> str:
        inputs = make(labels=labels, names=(word, word), notes=(word,), regions=word, model=word,
                      prompts={"label": word}, command=word)  # fmt: skip
        before = dataclasses.replace(inputs.before, settings={word: word})
        return render_comparison(build_comparison(dataclasses.replace(inputs, before=before)))

    plain = page([f"label {n}" for n in range(len(HOSTILE))], "word")
    for word in HOSTILE:
        hostile = page(HOSTILE, word)
        assert skeleton(hostile) == skeleton(plain)
        names = {name for _, attributes in Elements(hostile).tags for name in attributes}
        assert not {name for name in names if name.startswith("on")}


def test_the_page_is_self_contained_and_has_no_script(make: Make) -> None:
    text = render_comparison(build_comparison(make()))
    elements = Elements(text)
    assert not {tag for tag, _ in elements.tags} & {"script", "iframe", "object", "base", "form"}
    for tag, attributes in elements.tags:
        assert "style" not in attributes  # the policy forbids it
        for name in ("src", "href"):
            assert re.match(r"#|data:image/jpeg;base64,|data:,", attributes.get(name) or "#")
        if tag == "img":
            assert attributes["alt"]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy.group(1)
    assert "script-src" not in policy.group(1)
    assert "unsafe" not in policy.group(1)


def test_the_same_runs_give_the_same_bytes(make: Make) -> None:
    texts = [render_comparison(build_comparison(make())) for _ in range(2)]
    assert texts[0] == texts[1]


def test_the_table_has_every_measure_once_and_no_formula(make: Make, tmp_path: Path) -> None:
    labels = (None, "=HYPERLINK(1)", "b")
    table = agreement_table([agreement(x) for x in labels], [localisation(x) for x in labels])
    rows = table.to_pylist()
    keys = [(row["label"], row["measure"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {label for label, _ in keys} == {"", "=HYPERLINK(1)", "b"}
    found = next(row for row in rows if row["measure"] == "found")
    assert (found["value"], found["low"], found["high"]) == (0.5, 0.4, 0.6)
    assert (found["chance"], found["n"]) == (pytest.approx(0.03), 30)
    rand = next(row for row in rows if row["measure"] == "adjusted_rand")
    assert (rand["value"], rand["low"]) == (None, None)
    write_csv(table, tmp_path / "agreement.csv")
    lines = (tmp_path / "agreement.csv").read_text().splitlines()
    assert lines[0] == "label,measure,value,low,high,chance,n"
    assert not [line for line in lines if line.startswith("=")]
    assert [line for line in lines if line.startswith("'=HYPERLINK")]


@pytest.mark.browser
def test_the_page_is_quiet_in_a_browser(make: Make, browser: Any, tmp_path: Path) -> None:
    names = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>')
    write_comparison(build_comparison(make(labels=HOSTILE, names=names)), tmp_path / "c.html")
    noises: list[str] = []
    for width in (1280, 400):
        context = browser.new_context(viewport={"width": width, "height": 800})
        page = context.new_page()
        page.on("console", lambda message: noises.append(message.text))
        page.on("pageerror", lambda error: noises.append(str(error)))
        page.on("dialog", lambda dialog: noises.append(dialog.message))
        outside: Callable[[Any], None] = lambda request: (  # noqa: E731
            None if request.url.startswith(("data:", "file:")) else noises.append(request.url)
        )
        page.on("request", outside)
        page.goto((tmp_path / "c.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("getComputedStyle(document.body).fontFamily").startswith("system-ui")
        page.locator("#label-2").scroll_into_view_if_needed()
        assert (
            page.locator("#label-2 .patches img").first.evaluate(
                "i => i.decode().then(() => i.naturalWidth)"
            )
            > 0
        )
        before, after = (
            page.locator("#label-1 .pair > div").nth(n).bounding_box() for n in (0, 1)
        )
        beside = before["x"] + before["width"] <= after["x"]
        assert beside == (width == 1280)
        context.close()
    assert noises == []


def test_building_does_not_touch_the_ladder_of_plans() -> None:
    sizes = [p.n_clusters * p.n_members + p.n_images * p.side for p in comparison.PLANS]
    assert sizes == sorted(sizes, reverse=True)
