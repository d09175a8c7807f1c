"""Maps against truth: laws of the figures, on numbers that the tests make up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from typika.mining import localisation
from typika.mining.localisation import (
    ALL,
    CENTRE,
    CHANCE,
    EVIDENCE,
    HELD_OUT,
    LESS_MEAN,
    MEAN_MAP,
    OVERLAP,
    POINTING,
    PRECISION,
    PUBLISHED,
    REFINED,
    TRAINED,
    TYPICALITY,
    ImageFigures,
    Located,
    MapSums,
    best_and_worst,
    figures,
    gather,
    image_figures,
    thresholds,
    verdicts,
    with_priors,
)


def truth_mask(top: int = 2, left: int = 3) -> np.ndarray:
    mask = np.zeros((16, 20), dtype=bool)
    mask[top : top + 6, left : left + 8] = True
    return mask


def located(typical: Sequence[float], centre: Sequence[float], **changes: np.ndarray) -> Located:
    """Images of two labels, alternating, each its own group, with given precisions."""
    n = len(typical)
    known = {"label": np.arange(n) % 2, "group": np.arange(n), "area": np.full(n, 0.1),
             "trained_on": np.ones(n, bool)}  # fmt: skip
    values = {
        (TYPICALITY, PRECISION): np.array(typical, float),
        (CENTRE, PRECISION): np.array(centre, float),
        (CHANCE, PRECISION): np.full(n, 0.1),
    }
    return Located(**{**known, **changes}, values=values, labels=("a", "b"))


def test_a_map_that_is_the_truth_reaches_everything_and_a_blind_one_chance() -> None:
    truth = truth_mask()
    grids = {TYPICALITY: truth.astype(float), EVIDENCE: -truth.astype(float)}
    levels = thresholds([grids])
    found = image_figures(grids, truth, levels, None)
    assert found.area == pytest.approx(48 / 320)
    assert found.values[TYPICALITY, PRECISION] == 1
    assert found.values[TYPICALITY, POINTING] == 1
    assert found.curves[TYPICALITY].max() == 1
    assert found.curves[TYPICALITY][0] == found.area  # at the lowest value everything is marked
    assert found.values[EVIDENCE, PRECISION] == found.area  # the truth comes last of all
    assert found.values[EVIDENCE, POINTING] == 0
    assert (TYPICALITY, PUBLISHED) in found.values
    assert (EVIDENCE, PUBLISHED) not in found.values  # logits are in other units
    for measure in (PRECISION, POINTING):
        assert found.values[CHANCE, measure] == found.area
    assert set(found.curves[CHANCE]) == {found.area}


def test_the_refined_map_needs_the_picture(rng: np.random.Generator) -> None:
    truth = truth_mask()
    grids = {TYPICALITY: rng.normal(size=(4, 5))}
    picture = Image.fromarray(rng.integers(0, 255, (32, 40, 3), dtype=np.uint8))
    levels = thresholds([grids])
    assert (REFINED, PRECISION) in image_figures(grids, truth, levels, picture).values
    assert (REFINED, PRECISION) not in image_figures(grids, truth, levels, None).values


def test_the_mean_map_is_of_the_other_groups_of_the_label(rng: np.random.Generator) -> None:
    side = localisation.GRID
    maps = list(rng.normal(size=(6, side, side)))
    keys = [(0, 4), (0, 4), (0, -1), (0, 7), (1, 4), (1, -1)]
    whole = MapSums.of(maps, keys)
    parts = MapSums.of(maps[:2], keys[:2]) + MapSums.of(maps[2:], keys[2:])
    for sums in (whole, parts):
        means = sums.means_of_others()
        np.testing.assert_allclose(means[0, 4], (maps[2] + maps[3]) / 2)
        np.testing.assert_allclose(means[0, 7], (maps[0] + maps[1] + maps[2]) / 3)
        np.testing.assert_allclose(means[1, 4], maps[5])


def test_own_map_less_the_mean_map() -> None:
    own = np.arange(12.0).reshape(3, 4)
    mean = np.full((localisation.GRID, localisation.GRID), 2.0)
    found = with_priors({TYPICALITY: own}, mean)
    np.testing.assert_allclose(found[LESS_MEAN], own - 2)
    assert found[CENTRE].shape == found[MEAN_MAP].shape == own.shape
    alone = with_priors({TYPICALITY: own}, None)
    assert not {MEAN_MAP, LESS_MEAN} & set(alone)
    assert set(with_priors({TYPICALITY: own}, mean * np.nan)) == set(alone)


def test_over_all_labels_each_label_counts_once() -> None:
    # Three images of a, one of b.
    label = np.array([0, 0, 0, 1])
    found = figures(located([0.2, 0.4, 0.6, 1.0], [0.1] * 4, label=label), seed=0)
    values = {name: found.get(name, TYPICALITY) for name in ("a", "b", None)}
    assert all(one is not None for one in values.values())
    shown = {name: (one.estimate.value, one.n_images) for name, one in values.items() if one}
    assert shown["a"] == (pytest.approx(0.4), 3)
    assert shown["b"] == (pytest.approx(1.0), 1)
    assert shown[None] == (pytest.approx(0.7), 4)


def test_differences_are_paired(rng: np.random.Generator) -> None:
    base = rng.random(40)
    found = figures(located(base + 0.05, base), seed=0)
    own, gain = (found.get(None, TYPICALITY, minus=minus) for minus in ("", CENTRE))
    assert own is not None
    assert gain is not None
    assert own.estimate.high - own.estimate.low > 0.1
    assert gain.estimate.low == pytest.approx(0.05)
    assert gain.estimate.high == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("gain", "outcome"),
    [(0.2, "beats"), (-0.2, "loses to"), (0.0, "is not told apart from")],
)
def test_the_verdict_follows_the_interval(
    gain: float, outcome: str, rng: np.random.Generator
) -> None:
    noise = rng.normal(0, 0.05, 40)
    noise -= np.repeat([noise[::2].mean(), noise[1::2].mean()], 1).mean()
    found = located(0.4 + gain + noise, np.full(40, 0.4))
    told = verdicts(figures(found, seed=0), found.labels)
    assert [(one.label, one.images) for one in told] == [(None, ALL), ("a", ALL), ("b", ALL)]
    assert {one.outcome for one in told[:1]} == {outcome}
    assert told[0].prior.method == CENTRE
    assert told[0].less_mean is None


def test_trained_on_and_held_out_are_told_apart_where_both_have_truth() -> None:
    trained = np.arange(20) < 12
    found = located(np.where(trained, 0.8, 0.3), [0.1] * 20, trained_on=trained)
    rows = figures(found, seed=0)
    for images, value, count in ((ALL, 0.6, 20), (TRAINED, 0.8, 12), (HELD_OUT, 0.3, 8)):
        one = rows.get(None, TYPICALITY, images=images)
        assert one is not None
        assert (one.estimate.value, one.n_images) == (pytest.approx(value), count)
    only = figures(located([0.5] * 4, [0.1] * 4), seed=0)
    assert {row.images for row in only.rows} == {ALL}


def test_no_interval_from_one_group() -> None:
    found = located([0.5] * 4, [0.1] * 4, group=np.zeros(4, int))
    one = figures(found, seed=0).get(None, TYPICALITY)
    assert one is not None
    assert one.estimate.value == 0.5
    assert np.isnan(one.estimate.low)
    assert verdicts(figures(found, 0), ("a", "b"))[0].outcome == "is not told apart from"


def test_the_threshold_of_the_overlap_is_chosen_per_label_on_other_groups() -> None:
    n_levels = len(localisation.FRACTIONS)

    def one(best: int) -> ImageFigures:
        curve = np.full(n_levels, 0.1)
        curve[best] = 0.9
        return ImageFigures(0.1, {(TYPICALITY, PRECISION): 0.5}, {TYPICALITY: curve})

    label, group = np.arange(12) % 2, np.arange(12)
    same = gather([one(3 if own == 0 else 7) for own in label], label, group,
                  np.ones(12, bool), ("a", "b"), seed=0)  # fmt: skip
    np.testing.assert_allclose(same.values[TYPICALITY, OVERLAP], 0.9)
    # One group each way: what suits one half does not suit the other.
    apart = gather([one(3), one(3), one(9), one(9)], np.zeros(4, int), np.array([0, 0, 1, 1]),
                   np.ones(4, bool), ("a",), seed=0)  # fmt: skip
    np.testing.assert_allclose(apart.values[TYPICALITY, OVERLAP], 0.1)


def test_best_and_worst_show_a_group_once() -> None:
    label = np.zeros(7, int)
    group = np.array([0, 0, 1, 1, 2, 3, 4])
    found = located([0.9, 0.8, 0.7, 0.2, 0.6, 0.1, 0.05], [0.1] * 7, label=label, group=group)
    best, worst = best_and_worst(found, 0, 2)
    assert best.tolist() == [0, 2]
    assert worst.tolist() == [6, 5]
    best, worst = best_and_worst(found, 0, 9)
    assert best.tolist() == [0, 2, 4]
    assert worst.tolist() == [6, 5]
    assert [part.tolist() for part in best_and_worst(found, 1, 2)] == [[], []]
