"""Tests of clusters: closed forms of the figures, laws of the permutation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from typika.errors import ConfigError
from typika.mining import significance as tests
from typika.mining.significance import Background, SignificanceConfig


def bools(pattern: str) -> np.ndarray:
    return np.array([letter == "x" for letter in pattern])


def test_a_detector_is_the_linear_discriminant(rng: np.random.Generator) -> None:
    covariance = np.array([[4.0, 1.0], [1.0, 1.0]])
    patches = rng.multivariate_normal([1.0, -1.0], covariance, 20_000)
    background = Background.of(patches, shrinkage=1e-6)
    members = np.array([[3.0, 0.0], [3.0, 2.0]])
    weights = background.detector(members)
    shift = np.array([2.0, 2.0])
    expected = np.linalg.solve(covariance, shift)
    np.testing.assert_allclose(weights, expected / (expected @ shift), atol=0.02)
    assert weights @ (members.mean(axis=0) - background.mean) == pytest.approx(1.0)

    # No other direction tells members from the background better (Fisher's ratio).
    def ratio(w: np.ndarray) -> float:
        return float((w @ shift) ** 2 / (w @ covariance @ w))

    angles = np.linspace(0, np.pi, 200)
    others = [ratio(np.array([np.cos(a), np.sin(a)])) for a in angles]
    assert ratio(weights) > 0.98 * max(others)


def test_a_background_of_one_kind_of_patch_can_be_inverted() -> None:
    background = Background.of(np.ones((5, 3)), shrinkage=0.1)
    assert np.isfinite(background.precision).all()
    assert np.isfinite(background.detector(np.ones((2, 3)))).all()


def null_test(seed: int, n_clusters: int = 12) -> tests.PermutationTest:
    """Scores that know nothing of labels, correlated among clusters as real ones are."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(40, n_clusters)) + rng.normal(size=(40, 1))
    member = np.zeros((40, 4), dtype=bool)
    member[np.arange(40), np.arange(40) % 4] = True
    label = np.arange(n_clusters) % 4
    return tests.permutation_test(score, label, member, 199, rng)


def test_chance_is_called_real_as_seldom_as_promised() -> None:
    found = [null_test(seed) for seed in range(200)]
    called = np.mean([one.p_family.min() <= 0.05 for one in found])
    assert called <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
    assert kstest([one.p[0] for one in found], "uniform").pvalue > 0.01


def test_a_planted_difference_is_found_and_its_neighbours_are_not() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=(60, 6))
    member = np.zeros((60, 2), dtype=bool)
    member[np.arange(60), np.arange(60) % 2] = True
    label = np.arange(6) % 2
    score[member[:, 0], 2] += 2
    found = tests.permutation_test(score, label, member, 999, rng)
    assert found.p_family[2] == pytest.approx(1 / 1000)
    assert (np.delete(found.p_family, 2) > 0.05).all()
    assert (found.p <= found.p_family).all()


def test_equal_scores_say_nothing() -> None:
    member = np.eye(2, dtype=bool)[np.arange(20) % 2]
    found = tests.permutation_test(
        np.ones((20, 3)), np.array([0, 1, 1]), member, 99, np.random.default_rng(0)
    )
    assert (found.p == 1).all()
    assert (found.p_family == 1).all()


def test_verdicts_follow_the_family_first() -> None:
    assert tests.verdict(0.05, 0.2, 0.05) == "significant"
    assert tests.verdict(0.06, 0.05, 0.05) == "suggestive"
    assert tests.verdict(0.06, 0.06, 0.05) == "not shown"
    assert tests.verdict(float("nan"), float("nan"), 0.05) == "not tested"


@pytest.mark.parametrize(
    "wrong", [{"permutations": -1}, {"alpha": 0.0}, {"shrinkage": 1.5}, {"least_units": 1}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SignificanceConfig(**wrong)
