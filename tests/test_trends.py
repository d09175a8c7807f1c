"""What changes when the label changes: laws and closed forms of the statistics."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray
from numpy.testing import assert_allclose

from typika.errors import ConfigError
from typika.mining import trends
from typika.mining.trends import (
    MEASURES,
    Measured,
    Trend,
    Trends,
    TrendsConfig,
    beyond_others,
    find_trends,
    relabelling_p,
    sign_flip_p,
    smallest_p,
    sums_of_units,
)

QUICK = TrendsConfig(permutations=999, resamplings=99)
QUICKER = TrendsConfig(permutations=199, resamplings=99)


def measured(original: ndarray, translated: ndarray, unit: ndarray | None = None) -> Measured:
    """original: (n, k); translated: (t, n, k); both measures are the same."""
    targets, count, classes = translated.shape
    return Measured(
        classes=tuple(f"class {k}" for k in range(classes)),
        targets=tuple(f"label {t}" for t in range(targets)),
        original=dict.fromkeys(MEASURES, original),
        translated=dict.fromkeys(MEASURES, translated),
        unit=np.arange(count) if unit is None else unit,
    )


def area(found: Trends, name: str = "class 0", target: str = "label 0") -> Trend:
    (one,) = (one for one in found.trends
              if (one.name, one.target, one.measure) == (name, target, "area"))  # fmt: skip
    return one


# ------------------------------------------------------------------------------------------ laws


@given(st.integers(0, 2**32 - 1), st.integers(3, 40))
@settings(max_examples=10, deadline=None)
def test_swapping_source_and_target_turns_the_sign_alone(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.random((count, 3)), rng.random((count, 3)) ** 2
    there = find_trends(measured(one, two[None]), QUICK, 0)
    back = find_trends(measured(two, one[None]), QUICK, 0)
    for a, b in zip(there.trends, back.trends, strict=True):
        assert_allclose(a.difference.value, -b.difference.value)
        assert_allclose([a.difference.low, a.difference.high],
                        [-b.difference.high, -b.difference.low])  # fmt: skip
        assert (a.before, a.after) == (b.after, b.before)
        assert (a.p, a.q, a.n_changed, a.verdict) == (b.p, b.q, b.n_changed, b.verdict)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_of_few_units_every_sign_is_tried(values: list[int]) -> None:
    total = np.array(values, dtype=float)
    sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True)))
            for signs in product((1, -1), repeat=len(values))]  # fmt: skip
    expected = np.mean(np.array(sums) >= abs(sum(values)))
    (p,) = sign_flip_p(total[:, None], 99, np.random.default_rng(0))
    assert p == expected


def test_drawn_signs_come_near_all_signs(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = rng.normal(0.3, 1, (12, 4))
    exact = sign_flip_p(total, 99, rng)
    monkeypatch.setattr(trends, "EXACT", 0)
    assert_allclose(sign_flip_p(total, 20_000, rng), exact, atol=0.012)


def test_where_nothing_can_change_the_p_value_is_one_and_never_nought() -> None:
    total = np.zeros((30, 2))
    total[:, 1] = 1.0
    p = sign_flip_p(total, 199, np.random.default_rng(0))
    assert p.tolist() == [1.0, 1 / 200]  # the observed signs count among the drawn


def test_the_smallest_p_is_reached_where_all_change_alike() -> None:
    for count in (1, 3, 6):
        (p,) = sign_flip_p(np.ones((count, 1)), 99, np.random.default_rng(0))
        assert p == smallest_p(count, 99) == 2.0 ** (1 - count)
    assert smallest_p(0, 99) == 1.0


def test_images_of_a_unit_flip_together(rng: np.random.Generator) -> None:
    """Twenty copies of one pair say no more than the pair."""
    one, two = rng.random((6, 1)), rng.random((6, 1)) + 0.2
    apart = find_trends(measured(one, two[None]), QUICK, 0)
    copies = np.repeat(np.arange(6), 20)
    together = find_trends(measured(one[copies], two[copies][None], copies), QUICK, 0)
    assert area(together).p == area(apart).p
    assert area(together).n_units == 6
    assert area(together).n_images == 120
    assert_allclose(area(together).difference.value, area(apart).difference.value)


def test_images_of_a_unit_are_summed() -> None:
    values = np.array([[1.0, 2.0], [3.0, -1.0], [4.0, -2.0]])
    assert sums_of_units(values, np.array([0, 1, 0])).tolist() == [[5.0, 0.0], [3.0, -1.0]]


def test_of_two_labels_relabelling_is_flipping(rng: np.random.Generator) -> None:
    translated = rng.random((2, 30, 3))
    translated[0] += 0.1
    total = np.moveaxis(beyond_others(translated), 0, 1)
    possible = np.ones((30, 2), dtype=bool)
    p = relabelling_p(total, possible, 0, 20_000, rng)
    flipped = sign_flip_p(translated[0] - translated[1], 20_000, rng)
    assert_allclose(p, flipped, atol=0.012)


def test_relabelling_never_gives_an_image_a_label_that_it_has_not(
    rng: np.random.Generator,
) -> None:
    """A unit with one possible target stays as it is, whatever stands elsewhere."""
    total = np.zeros((10, 3, 1))
    total[:, 0] = 1.0
    total[:, 1:] = 99.0
    possible = np.zeros((10, 3), dtype=bool)
    possible[:, 0] = True
    assert relabelling_p(total, possible, 0, 99, rng).tolist() == [1.0]


def test_beyond_others_takes_the_mean_of_the_other_translations() -> None:
    translated = np.array([[[3.0], [1.0]], [[1.0], [np.nan]], [[2.0], [np.nan]]])
    assert_allclose(beyond_others(translated)[:, 0, 0], [1.5, -1.5, 0.0])
    assert np.isnan(beyond_others(translated)[:, 1]).all()


def test_what_all_labels_do_is_no_labels_own(rng: np.random.Generator) -> None:
    """Redrawing adds class 0 whatever the label; class 1 is added by label 0 alone."""
    original = rng.random((60, 2))
    translated = original + rng.normal(0, 0.2, (3, 60, 2))
    translated[:, :, 0] += 0.5
    translated[0, :, 1] += 0.5
    found = find_trends(measured(original, translated), QUICK, 0)
    assert {area(found, "class 0", f"label {t}").verdict for t in range(3)} == {"changed"}
    assert area(found, "class 1").verdict == "of the label"
    assert area(found, "class 1", "label 1").verdict == "not shown"


def test_to_rise_less_than_under_other_labels_is_not_the_labels_own(
    rng: np.random.Generator,
) -> None:
    original = rng.random((60, 1))
    translated = original + rng.normal(0.6, 0.1, (3, 60, 1))
    translated[0] -= 0.3
    one = area(find_trends(measured(original, translated), QUICK, 0))
    assert one.difference.low > 0 > one.others.high
    assert (one.verdict, one.q_others <= 0.05) == ("changed", True)


def test_one_label_alone_has_no_others(rng: np.random.Generator) -> None:
    original = rng.random((30, 1))
    found = find_trends(measured(original, original[None] + 0.3), QUICK, 0)
    assert area(found).verdict == "changed"
    assert math.isnan(area(found).others.value)
    assert math.isnan(area(found).q_others)


def test_images_without_a_translation_do_not_count(rng: np.random.Generator) -> None:
    original = rng.random((20, 2))
    translated = np.stack([original + 0.1, original + 0.2])
    translated[0, :12] = np.nan
    found = find_trends(measured(original, translated), QUICK, 0)
    assert (area(found).n_images, area(found, target="label 1").n_images) == (8, 20)
    assert_allclose(area(found).before, original[12:, 0].mean())
    alone = find_trends(measured(original[12:], translated[:1, 12:]), QUICK, 0)
    assert area(alone).p == area(found).p


def test_what_never_occurs_is_left_out_and_counted(rng: np.random.Generator) -> None:
    original = np.zeros((10, 3))
    translated = np.zeros((2, 10, 3))
    original[:, 0] = 0.5
    translated[0, :, 1] = rng.random(10)
    found = find_trends(measured(original, translated), QUICK, 0)
    assert dict(found.absent) == {"label 0": 1, "label 1": 2}
    assert {(one.target, one.name) for one in found.trends} == {
        ("label 0", "class 0"), ("label 0", "class 1"), ("label 1", "class 0")
    }  # fmt: skip


def test_what_cannot_reach_the_rate_is_not_tested() -> None:
    """2^(1−5) > 0.05 >= 2^(1−6): five changes cannot tell, six can."""
    original, translated = np.zeros((12, 2)), np.zeros((1, 12, 2))
    translated[0, :5, 0] = translated[0, :6, 1] = 1.0
    found = find_trends(measured(original, translated), QUICK, 0)
    few, enough = area(found, "class 0"), area(found, "class 1")
    assert (few.verdict, few.p) == ("not tested", 2.0**-4)
    assert math.isnan(few.q)
    assert (enough.verdict, enough.p, enough.q) == ("changed", 2.0**-5, 2.0**-5)
    assert found.n_tests == len(MEASURES)


# --------------------------------------------------------------------------------- closed forms


def test_one_family_over_classes_labels_and_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benjamini and Hochberg by hand, eight tests: q = the least of 8 p / rank from there on."""
    by_target = iter([np.array([0.02, 0.12, 0.03, 0.35]), np.array([0.01, 0.1, 0.04, 0.4])])
    monkeypatch.setattr(trends, "sign_flip_p", lambda *_: next(by_target))
    original = np.zeros((20, 2))
    found = find_trends(measured(original, original + np.ones((2, 1, 1))), QUICK, 0)
    assert found.n_tests == 8
    q = {one.p: one.q for one in found.trends}
    expected = {0.01: 0.08, 0.02: 0.08, 0.03: 0.08, 0.04: 0.08, 0.1: 0.16, 0.12: 0.16,
                0.35: 0.4, 0.4: 0.4}  # fmt: skip
    assert list(map(q.__getitem__, expected)) == pytest.approx(list(expected.values()))


def test_large_families_draw_more_signs() -> None:
    """One change among all must be able to stand: 1 / (1 + draws) < alpha / tests."""
    original = np.zeros((16, 60))
    found = find_trends(measured(original, np.ones((2, 16, 60))), QUICK, 0)
    assert 1 / (1 + found.draws) < QUICK.alpha / found.n_tests


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        original = rng.random((40, 1))
        found = find_trends(
            measured(original, (original + rng.normal(0.3, 0.5, (40, 1)))[None]), QUICK, seed
        )
        one = area(found).difference
        inside += one.low <= 0.3 <= one.high
    assert 0.88 <= inside / 80 <= 0.99


@pytest.mark.parametrize("against", ["originals", "others"])
def test_without_any_effect_p_values_are_uniform(against: str) -> None:
    """Skewed counts, an image's drawings exchangeable: P(p <= x) = x up to what chance allows."""
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        drawn = rng.poisson(rng.exponential(0.5, (1, 25, 1)), (4, 25, 1)).astype(float)
        if not drawn.any():
            continue
        found = find_trends(measured(drawn[0], drawn[1:]), QUICKER, seed)
        one = area(found)
        p.append(one.p if against == "originals" else one.p_others)
    for level in (0.05, 0.2, 0.5):
        # Ties make p-values larger, never smaller; three standard errors.
        allowed = level + 3 * math.sqrt(level * (1 - level) / len(p))
        assert np.mean(np.array(p) <= level) <= allowed
    assert np.mean(np.array(p) <= 0.5) > 0.2  # counts are often equal: p-values are cautious


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"least_area": 0.0}, "least_area=0.0"),
        ({"alpha": 1.0}, "alpha=1.0"),
        ({"permutations": 9}, "permutations=9"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrendsConfig(**settings)
