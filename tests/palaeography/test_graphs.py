from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from documents import documents
from scipy import stats

from typika.palaeography.graphs import deleted_t, graphs, outliers


def test_points_lie_at_their_distances_to_the_others_of_their_group() -> None:
    units, means = documents(0, n_letters=2, noise=0.0)
    found = graphs(units, means, "a", "b")
    value = means[1].value
    whole = np.linalg.norm(value[0] - value[:7].mean(axis=0))
    others = value[1:7]
    extra = others.var(axis=0, ddof=1).sum() / 6
    wanted = np.sqrt(((value[0] - others.mean(axis=0)) ** 2).sum() - extra)
    assert found.published[0, 1, 0] == pytest.approx(whole)
    assert found.distance[0, 1, 0] == pytest.approx(wanted)
    assert found.side.tolist() == [-1] * 7 + [1] * 7


def test_axes_are_not_swapped() -> None:
    units, means = documents(0, shift=30.0)
    found = graphs(units, means, "a", "b")
    assert (found.distance[:7, :, 0] < found.distance[:7, :, 1]).all()
    assert found.right.all()
    swapped = graphs(units, means, "b", "a")
    assert swapped.distance == pytest.approx(found.distance[:, :, ::-1])
    assert swapped.right.all()


def test_a_letter_that_a_document_lacks_has_no_point() -> None:
    units, means = documents(0)
    known = means[3].known.copy()
    known[2] = False
    means[3] = replace(means[3], known=known)
    found = graphs(units, means, "a", "b")
    assert np.isnan(found.distance[2, 3]).all()
    assert np.isfinite(found.distance).sum() == found.distance.size - 2


def test_the_outlier_is_found_and_its_group_is_not_blamed() -> None:
    units, means = documents(0, outlier=9)
    found = outliers(units, means)
    assert found.documents[found.ranked[0]] == "b2"
    assert found.holm[found.ranked[0]] < 0.01
    assert (found.holm[list(found.ranked[1:])] > 0.05).all()


def test_p_values_of_documents_that_are_alike_are_honest() -> None:
    p = np.concatenate([outliers(*documents(seed, n_letters=5)).p for seed in range(14)])
    assert np.mean(p <= 0.05) < 0.1
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_a_document_with_few_instances_is_no_outlier_for_its_noise() -> None:
    p = []
    for seed in range(8):
        units, means = documents(seed, n_letters=5, noise=0.0)
        rng = np.random.default_rng(seed)
        noisy = []
        for own in means:
            value, noise = own.value.copy(), own.noise.copy()
            noise[0] = 12.0
            value[0] += rng.normal(size=value.shape[1]) * np.sqrt(12 / value.shape[1])
            noisy.append(replace(own, value=value, noise=noise))
        p.append(outliers(units, noisy).p[0])
    assert np.median(p) > 0.2


def test_groups_that_are_too_small_are_not_tested() -> None:
    found = outliers(*documents(0, n_each=3))
    assert np.isnan(found.p).all()
    assert found.ranked == ()


def test_the_deleted_deviation_is_students() -> None:
    rest = np.array([1.0, 2, 3, 4])
    error = np.sqrt(rest.var(ddof=1) * (1 + 1 / 4))
    assert deleted_t(5.0, rest) == pytest.approx(stats.t.sf(2.5 / error, 3))
    assert deleted_t(5.0, rest, [np.array([7.0, 7.0])]) < deleted_t(5.0, rest)
    assert np.isnan(deleted_t(5.0, rest[:2]))
