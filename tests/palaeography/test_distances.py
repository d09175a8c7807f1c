from __future__ import annotations

from math import comb

import numpy as np
import pytest
from documents import FREEDOM, documents

from typika.palaeography import distances

SIDE = np.array([-1] * 7 + [1] * 7)
TIMES = ((SIDE == -1)[None].astype(float), (SIDE == 1)[None].astype(float))


def values(seed: int, shift: float = 0.0) -> np.ndarray:
    return documents(seed, n_letters=1, shift=shift)[1][0].value


def test_distances_of_means_are_those_of_the_images() -> None:
    units = np.random.default_rng(0).random((5, 30))
    first, second = np.array([[1.0, 2, 0, 0, 0]]), np.array([[0.0, 0, 1, 1, 1]])
    one, other = units[[0, 1, 1]], units[2:]
    gram = distances.inner_products(units)
    wanted = distances.l2(one.mean(axis=0), other.mean(axis=0)) ** 2
    assert distances.between(gram, first, second) == pytest.approx([wanted])
    assert distances.variance(gram, second) == pytest.approx([other.var(axis=0, ddof=1).sum()])
    assert distances.noise(gram, second) == pytest.approx([other.var(axis=0, ddof=1).sum() / 3])


def test_a_mean_of_one_unit_has_no_known_noise() -> None:
    gram = distances.inner_products(np.eye(3))
    assert np.isnan(distances.noise(gram, np.array([[1.0, 0, 0]]))).all()


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_noise_lengthens_a_distance_and_the_corrected_one_not(shift: float) -> None:
    plain, corrected = [], []
    for seed in range(200):
        gram = distances.inner_products(values(seed, shift))
        square = distances.between(gram, *TIMES)[0]
        plain.append(square)
        corrected.append(square - sum(distances.noise(gram, one)[0] for one in TIMES))
    error = np.std(corrected) / np.sqrt(len(corrected))
    assert np.mean(plain) > shift**2 + 5 * error
    assert abs(np.mean(corrected) - shift**2) < 3 * error


def test_intervals_of_the_corrected_distance_hold_the_true_one() -> None:
    held = []
    for seed in range(60):
        gram = distances.inner_products(values(seed, shift=3.0))
        times = distances.resamplings(SIDE, 100, np.random.default_rng(seed))
        found = distances.distances(gram, *times)
        assert found.plain[0] > found.corrected[0]
        assert found.plain[1] <= found.plain[0] <= found.plain[2]
        held.append(found.corrected[1] <= 3.0 <= found.corrected[2])
    assert np.mean(held) >= 0.8


def test_equal_groups_are_as_similar_as_can_be() -> None:
    image = np.random.default_rng(0).random((10, 12))
    assert distances.ssim(image, image) == pytest.approx(1)
    units = np.concatenate([image.reshape(1, -1)] * 4)
    side = np.array([-1, -1, 1, 1])
    times = distances.resamplings(side, 20, np.random.default_rng(0))
    found = distances.similarity(units, *times, lambda values: values.reshape(10, 12))
    assert found == pytest.approx([1, 1, 1])


def test_sigma_is_the_root_of_the_summed_variances_over_documents() -> None:
    units = values(0)[:7]
    gram, times = distances.inner_products(units), np.ones((1, 7))
    plain, corrected = distances.deviation(gram, np.full(7, 0.25), times)
    wanted = units.var(axis=0, ddof=1).sum()
    assert plain[0] == pytest.approx(np.sqrt(wanted))
    assert corrected[0] == pytest.approx(np.sqrt(wanted - 0.25))


def test_corrected_sigma_is_that_of_the_documents_without_their_noise() -> None:
    squares = []
    for seed in range(200):
        own = documents(seed, n_letters=1, noise=20.0)[1][0]
        gram = distances.inner_products(own.value[:7])
        squares.append(distances.deviation(gram, own.noise[:7], np.ones((1, 7)))[1][0] ** 2)
    assert np.mean(squares) == pytest.approx(FREEDOM, abs=3 * np.std(squares) / np.sqrt(200))


def test_a_single_document_has_no_sigma() -> None:
    plain, corrected = distances.deviation(np.ones((1, 1)), np.zeros(1), np.ones((1, 1)))
    assert np.isnan(plain).all()
    assert np.isnan(corrected).all()


def test_without_a_difference_documents_lean_to_neither_group_unless_they_are_left_in() -> None:
    left_out, published, auc = [], [], []
    for seed in range(150):
        gram = distances.inner_products(values(seed))
        found = distances.to_groups(gram, SIDE)
        for kept, squares in ((left_out, found.left_out), (published, found.published)):
            kept.append(((squares[:, 0] - squares[:, 1]) * SIDE > 0).mean())
        auc.append(distances.separation(gram, SIDE)[0])
    assert np.mean(left_out) == pytest.approx(0.5, abs=0.05)
    assert np.mean(auc) == pytest.approx(0.5, abs=0.05)
    assert np.mean(published) > 0.7


def test_groups_far_apart_are_told_apart_whole() -> None:
    gram = distances.inner_products(values(0, shift=30))
    auc, low, high = distances.separation(gram, SIDE)
    assert auc == high == 1
    assert 0.5 < low < 1
    assert distances.label_p(gram, distances.splits(SIDE, 4999, np.random.default_rng(0))) == (
        2 / comb(14, 7)
    )


def test_units_that_are_too_few_separate_nothing() -> None:
    gram = distances.inner_products(np.eye(3))
    assert np.isnan(distances.separation(gram, np.array([-1, 1, 1]))).all()


def test_splits_are_all_where_they_are_few_and_the_true_one_first() -> None:
    side = np.array([1, -1, -1, 1, -1])
    found = distances.splits(side, 100, np.random.default_rng(0))
    assert len(found) == comb(5, 2) == len({tuple(row) for row in found.tolist()})
    assert found[0].tolist() == [True, False, False, True, False]
    drawn = distances.splits(side, 6, np.random.default_rng(0))
    assert len(drawn) == 7
    assert drawn[0].tolist() == found[0].tolist()
    assert (drawn.sum(axis=1) == 2).all()


def test_p_values_of_equal_groups_are_uniform() -> None:
    found = []
    for seed in range(150):
        permuted = distances.splits(SIDE, 199, np.random.default_rng(seed))
        found.append(distances.label_p(distances.inner_products(values(seed)), permuted))
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=0.07)
