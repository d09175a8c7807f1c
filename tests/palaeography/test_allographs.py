"""Forms of letters: found where there are two, not where there is one, whatever else varies."""

from __future__ import annotations

import numpy as np
import planted_letters
import pyarrow as pa
import pytest
from scipy import ndimage

from typika.errors import ConfigError
from typika.palaeography import mixtures
from typika.palaeography.allograph_tables import (
    by_document,
    by_position,
    crossed,
    dependence_p,
    positions,
)
from typika.palaeography.allographs import (
    AllographConfig,
    Forms,
    find_allographs,
    forms_of,
    forms_table,
    instances_table,
)
from typika.palaeography.records import Instances, Letter
from typika.palaeography.residuals import SHIFTS, nearness, prototype, registered, residuals

CONFIG = AllographConfig(halves=3)


def planted(shapes: list[np.ndarray], counts: list[int], seed: int = 0) -> Instances:
    """One letter in some forms, moved by up to two pixels, inked unevenly."""
    rng = np.random.default_rng(seed)
    ink = []
    for shape, count in zip(shapes, counts, strict=True):
        for _ in range(count):
            image = planted_letters.jittered(shape, 0.5, rng)
            image = ndimage.shift(image, rng.uniform(-2, 2, 2), order=1) * rng.uniform(0.7, 1)
            image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.9))
            ink.append((255 * (image + 0.04 * rng.normal(size=image.shape))).clip(0, 255))
    pixels = np.stack(ink).astype(np.uint8)
    n = len(pixels)
    table = pa.table({
        "line_id": [f"l{k // 5}" for k in range(n)], "place": [2 * (k % 5) for k in range(n)],
        "character": ["s"] * n, "document": [f"d{k % 2}" for k in range(n)],
    })  # fmt: skip
    return Instances((Letter("s"),), np.zeros(n, np.int64), pixels,
                     np.full_like(pixels, 255), table, 64)  # fmt: skip


@pytest.fixture(scope="module")
def two() -> tuple[Instances, Forms]:
    shapes = [planted_letters.glyph("s"), planted_letters.glyph("f")]
    instances = planted(shapes, [40, 20])
    (found,) = find_allographs(instances, CONFIG)
    return instances, found


def test_two_forms_are_found_and_told_apart(two: tuple[Instances, Forms]) -> None:
    _, found = two
    assert found.count.tolist() == [40, 20]
    assert (found.form == np.repeat([0, 1], [40, 20])).all()
    assert found.support.separation > CONFIG.separation
    assert found.entropy == pytest.approx(-(2 / 3 * np.log2(2 / 3) + np.log2(1 / 3) / 3))
    like = np.corrcoef(found.prototypes[1].ravel(), planted_letters.glyph("f").ravel())[0, 1]
    assert like > 0.8


@pytest.mark.parametrize("character", ["a", "n"])
def test_one_form_is_not_divided(character: str) -> None:
    found = forms_of(character, planted([planted_letters.glyph(character)], [60], 1),
                     np.arange(60), CONFIG)  # fmt: skip
    assert found.count.tolist() == [60]
    assert found.entropy == 0


def test_as_many_forms_as_are_asked_for() -> None:
    instances = planted([planted_letters.glyph(one) for one in "sfo"], [26, 26, 26])
    (three,) = find_allographs(instances, CONFIG, n_forms=3)
    assert sorted(three.count.tolist()) == [26, 26, 26]
    assert (find_allographs(instances, CONFIG)[0].count == three.count).all()
    (one,) = find_allographs(instances, CONFIG, n_forms=1)
    assert one.count.tolist() == [78]


def test_few_instances_are_left_alone_and_forms_that_are_alike_are_merged() -> None:
    instances = planted([planted_letters.glyph("s"), planted_letters.glyph("f")], [10, 10])
    assert len(find_allographs(instances, CONFIG)[0].prototypes) == 1
    instances = planted([planted_letters.glyph("s"), planted_letters.glyph("f")], [40, 20])
    apart = AllographConfig(halves=3, least_share=0.4)  # the lesser form is little used
    assert find_allographs(instances, apart)[0].count.tolist() == [60]


def test_letters_and_numbers_are_checked(two: tuple[Instances, Forms]) -> None:
    instances, _ = two
    with pytest.raises(ConfigError, match="no instance of it"):
        find_allographs(instances, CONFIG, letters=["x"])
    with pytest.raises(ConfigError, match="n_forms=9"):
        find_allographs(instances, CONFIG, n_forms=9)
    with pytest.raises(ConfigError, match="least_share"):
        AllographConfig(least_share=0.7)


def test_shifts_are_undone() -> None:
    shape = planted_letters.glyph("k")
    moved = np.stack([np.roll(shape, shift, (0, 1)) for shift in SHIFTS])
    pixels = np.round(255 * moved).astype(np.uint8)
    laid = registered(pixels, np.full_like(pixels, 255))
    assert laid.std(axis=0).max() < 1e-6
    mean = prototype(pixels, np.full_like(pixels, 255))
    assert np.abs(mean - mean.round()).mean() < 0.05  # nothing is smeared
    assert not nearness(mean)[:, :2].any()


def test_darkness_is_no_difference() -> None:
    shape = planted_letters.glyph("k")
    dark = np.linspace(0.6, 1, 30)[:, None, None] * shape
    pixels = np.round(255 * dark).astype(np.uint8)
    points = residuals(pixels, np.full_like(pixels, 255), 4)
    rng = np.random.default_rng(0)
    assert points.shape[0] == 30
    if points.shape[1]:
        assert mixtures.support(points, rng, 3).agreement < 0.7


def test_a_division_follows_what_was_planted_in_points() -> None:
    rng = np.random.default_rng(0)
    true = rng.random(200) < 0.3
    points = rng.normal(size=(200, 5)) * [3, 1, 1, 1, 1]
    points[:, 2] += 6 * true
    rule = mixtures.divide(points, rng)
    assert rule is not None
    assert mixtures.agreeing(rule.side(points) > 0, true) > 0.95
    clear = mixtures.support(points, rng, 4)
    unclear = mixtures.support(rng.normal(size=(200, 5)), rng, 4)
    assert clear.separation > 4 > 3 > unclear.separation
    assert clear.valley < 0.3 < unclear.valley


def test_agreement_does_not_mind_names() -> None:
    one = np.array([True, True, False, False, False])
    assert mixtures.agreeing(one, one) == mixtures.agreeing(one, ~one) == 1
    assert mixtures.agreeing(one, np.ones(5, bool)) == 0


def test_places_in_words() -> None:
    """ab,c d: commas and spaces part words, so c and d stand alone."""
    rows = [("a", 0), ("b", 1), (",", 2), ("c", 3), ("d", 5), ("e", 7), ("f", 8), ("g", 9)]
    table = pa.table({"line_id": ["l"] * 8, "place": [p for _, p in rows],
                      "character": [c for c, _ in rows]})  # fmt: skip
    pixels = np.zeros((8, 4, 4), np.uint8)
    letters = tuple(Letter(c) for c, _ in rows)
    found = positions(Instances(letters, np.arange(8), pixels, pixels, table, 4))
    assert found[[0, 1, 3, 4, 5, 6, 7]].tolist() == [0, 2, 3, 3, 0, 1, 2]


def test_forms_that_follow_the_place_are_called_dependent() -> None:
    rng = np.random.default_rng(0)
    place, document = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    assert dependence_p((place == 2).astype(int), place, document, 99, rng) <= 0.02
    # Documents that prefer a form and a place alike do not speak for the place.
    form = (rng.random(90) < 0.1 + 0.4 * document).astype(int)
    place = (rng.random(90) < 0.1 + 0.4 * document).astype(int)
    assert dependence_p(form, place, document, 99, rng) > 0.05
    assert dependence_p(form, place, np.zeros(90, int), 99, rng) <= 0.05


def test_p_values_are_even_without_dependence() -> None:
    rng = np.random.default_rng(1)
    p = [dependence_p(rng.integers(0, 2, 40), rng.integers(0, 3, 40), np.zeros(40, int), 49, rng)
         for _ in range(60)]  # fmt: skip
    assert 0.35 < np.mean(p) < 0.65


def test_tables_say_what_was_counted(two: tuple[Instances, Forms]) -> None:
    instances, found = two
    forms = forms_table([found]).to_pylist()
    assert [(row["count"], row["forms"]) for row in forms] == [(40, 2), (20, 2)]
    rows = instances_table([found], instances)
    assert rows["form"].to_pylist() == found.form.tolist()
    documents = by_document([found], instances, "document").to_pylist()
    assert sum(row["count"] for row in documents) == 60
    assert all(0 <= row["entropy"] <= 1 for row in documents)
    places = by_position([found], instances, np.zeros(60, int), draws=49).to_pylist()
    alone = [row for row in places if row["position"] == "alone"]
    assert [row["count"] for row in alone] == [40, 20]
    assert {row["p"] for row in places} == {1.0}
    assert crossed(np.array([0, 1, 1]), np.array([0, 0, 1]), 2, 2).tolist() == [[1, 0], [1, 1]]
