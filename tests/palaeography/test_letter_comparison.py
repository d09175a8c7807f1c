from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from documents import documents
from planted_letters import documents as glyphs
from planted_letters import glyph, instances, jittered
from scipy import stats

from typika.errors import ConfigError
from typika.palaeography import comparison, distances, units
from typika.palaeography.comparison_records import DOCUMENT, INSTANCE
from typika.palaeography.records import Instances
from typika.palaeography.units import ComparisonConfig, Means, Units

CONFIG = ComparisonConfig(draws=20, permutations=199)
NOTHING = instances({"x": {"a": np.zeros((64, 48))}}, 1)


def compared(units: Units, means: list[Means], config: ComparisonConfig = CONFIG) -> object:
    return comparison.differences(NOTHING, units, means, "a", "b", config)


def planted(n_documents: int, seed: int = 0) -> Instances:
    """The letters o and d; the o of the second group is of another typeface."""
    rng = np.random.default_rng(seed)
    shapes = glyphs([f"{g}{d}" for g in "ab" for d in range(n_documents)], "do")
    for name, own in shapes.items():
        if name[0] == "b":
            own["o"] = glyph("o", "dejavu")
        own.update({one: jittered(ink, 0.4, rng) for one, ink in own.items()})
    columns = {"script": {name: name[0] for name in shapes}}
    return instances(shapes, 6, seed=seed, columns=columns)


def of(made: Instances) -> tuple[Units, list[Means]]:
    named = Units.of(made, "script", "document")
    near = units.masks(made, None)
    return named, [own for _, own in units.all_means(made, named, near, 3)]


def test_a_planted_difference_is_found_where_it_is() -> None:
    made = planted(4)
    found = comparison.differences(made, *of(made), "a", "b", CONFIG)
    true = glyph("o", "dejavu") - glyph("o")
    o = [letter.character for letter in found.letters].index("o")
    assert np.corrcoef(true.ravel(), found.map[o].ravel())[0, 1] > 0.8
    assert found.significant[o].any()
    # 4 against 4 documents: 2 of 70 splits part the groups as they are parted.
    assert found.letter_p[o] == pytest.approx(2 / 70)
    assert found.ranked[0] == o
    assert found.separation[o, 0] == 1
    assert found.unit == DOCUMENT


def test_the_sign_is_the_second_group() -> None:
    made = planted(2)
    found = comparison.differences(made, *of(made), "a", "b", CONFIG)
    swapped = comparison.differences(made, *of(made), "b", "a", CONFIG)
    assert found.map == pytest.approx(-swapped.map)
    o = [letter.character for letter in found.letters].index("o")
    wider = (glyph("o", "dejavu") > 0.9) & (glyph("o") < 0.1)
    assert found.map[o][wider].mean() > 0.3
    assert "positive: ink only in b" in found.legend


def test_single_documents_are_compared_by_their_instances() -> None:
    made = planted(1)
    found = comparison.differences(made, *of(made), "a", "b", CONFIG)
    assert found.unit == INSTANCE
    assert found.units.tolist() == [[6, 6], [6, 6]]
    assert np.isfinite(found.letter_p).all()


def test_without_a_difference_few_letters_are_called_different() -> None:
    called, pixels = [], []
    for seed in range(8):
        found = compared(*documents(seed, n_letters=6), replace(CONFIG, permutations=499))
        called.append(found.differs.mean())
        pixels.append(found.significant.any(axis=(1, 2)).mean())
    assert np.mean(called) <= 0.05
    assert np.mean(pixels) <= 0.12


def test_a_letter_that_a_group_lacks_is_not_tested() -> None:
    named, means = documents(0, n_letters=3)
    known = means[1].known.copy()
    known[7:13] = False
    found = compared(named, [means[0], replace(means[1], known=known), means[2]])
    assert found.units[1].tolist() == [7, 1]
    assert np.isnan(found.letter_p[1])
    assert not found.differs[1]
    assert not found.significant[1].any()
    assert 1 not in found.ranked
    assert np.isfinite(found.letter_q[[0, 2]]).all()


def test_the_pixel_test_is_welchs() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=(9, 30)) * np.repeat([1.0, 3.0], [5, 4])[:, None]
    second = np.repeat([False, True], [5, 4])
    wanted = stats.ttest_ind(value[5:], value[:5], equal_var=False)
    t, _ = comparison.welch(value, second[None])
    assert t[0] == pytest.approx(wanted.statistic)
    assert comparison.pixel_p(value, second[None], "welch") == pytest.approx(wanted.pvalue)


def test_the_pixel_test_by_permutation_counts_splits() -> None:
    value = np.arange(6.0)[:, None] * np.ones(3)
    side = np.array([-1, -1, -1, 1, 1, 1])
    permuted = distances.splits(side, 100, np.random.default_rng(0))
    assert comparison.pixel_p(value, permuted, "permutation") == pytest.approx([0.1] * 3)


def test_equal_pixels_differ_in_nothing() -> None:
    value = np.ones((6, 4))
    second = np.repeat([False, True], 3)[None]
    assert comparison.pixel_p(value, second, "welch") == pytest.approx([1] * 4)


def test_the_group_that_varies_more_is_named() -> None:
    named, means = documents(0, scale=(1.0, 2.5))
    found = comparison.spread(named, means, ("a", "b"), CONFIG)
    assert (found.sigma[1, :, 0] > found.sigma[0, :, 0]).all()
    assert (found.ratio[0, :, 0] > 0).all()
    assert found.all_p[0] < 0.02
    assert (found.sigma[:, :, 1] <= found.sigma[:, :, 0]).all()
    assert (found.corrected[:, :, 0] < found.sigma[:, :, 0]).all()


def test_groups_that_vary_alike_are_not_told_apart_by_it() -> None:
    found = [comparison.spread_p(means, named.side("a", "b"), CONFIG)
             for named, means in (documents(seed, n_letters=5) for seed in range(40))]  # fmt: skip
    p = np.concatenate([each for each, _ in found])
    assert np.mean(p <= 0.05) < 0.12
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_single_documents_have_no_spread() -> None:
    named, means = documents(0, n_each=1)
    found = comparison.spread(named, means, ("a", "b"), CONFIG)
    assert np.isnan(found.sigma).all()
    assert np.isnan(found.p).all()


def test_a_document_of_two_groups_is_a_unit_in_each() -> None:
    made = instances(glyphs(["one", "two"], "a"), 4)
    hands = ["x", "y"] * 4
    made = replace(made, table=made.table.append_column("hand", [hands]))
    named = Units.of(made, "hand", "document")
    assert named.names == ("one (x)", "one (y)", "two (x)", "two (y)")
    assert named.group == ("x", "y", "x", "y")


def test_a_mean_is_of_the_pixels_that_lie_on_the_line() -> None:
    made = instances(glyphs(["one"], "o"), 3, noise=0.0, columns={"script": {"one": "x"}})
    weight = made.weight.copy()
    weight[0] = 0
    near = np.ones((1, *made.shape))
    named = Units.of(made, "script", "document")
    _, own = next(units.all_means(replace(made, weight=weight), named, near, 2))
    wanted = made.ink[1:].mean(axis=0) / 255
    assert own.value[0].reshape(made.shape) == pytest.approx(wanted, abs=1e-6)


def test_the_noise_of_a_mean_is_its_variance() -> None:
    rng = np.random.default_rng(0)
    ink = rng.integers(0, 256, size=(5, 8, 6)).astype(np.uint8)
    made = instances(glyphs(["one"], "o"), 5, columns={"script": {"one": "x"}})
    made = replace(made, ink=ink, weight=np.full_like(ink, 255))
    _, own = next(units.all_means(made, Units.of(made, "script", "document"),
                                  np.ones((1, 8, 6)), 2))  # fmt: skip
    assert own.noise[0] == pytest.approx((ink / 255).var(axis=0, ddof=1).sum() / 5, rel=1e-5)


def test_settings_that_cannot_be_are_named() -> None:
    for setting in ({"level": 1.0}, {"draws": 3}, {"least": 1}):
        with pytest.raises(ConfigError, match=next(iter(setting))):
            ComparisonConfig(**setting)
