"""Prototypes that lean on their parents: closed forms, and variances that were planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_letters import documents, glyph, instances, jittered

from typika.palaeography.adaptation import (
    Sums,
    between_groups,
    fit,
    fits,
    letter_sums,
    shrunk,
    variances,
    within_groups,
)
from typika.palaeography.groupings import hierarchy
from typika.palaeography.records import Instances

PIXELS = 400


def planted(
    n: np.ndarray, within: float, spread: float, rng: np.random.Generator, middle: float = 0.0
) -> tuple[Sums, np.ndarray]:
    """Sums of `n` instances of each group, and the groups' true sprites."""
    true = middle + np.sqrt(spread) * rng.normal(size=(len(n), PIXELS))
    own = [
        t + np.sqrt(within) * rng.normal(size=(k, PIXELS)) for k, t in zip(n, true, strict=True)
    ]
    weight = np.repeat(n[:, None], PIXELS, 1).astype(float)
    ink, square = (np.array([f(x).sum(0) for x in own]) for f in (np.array, np.square))
    return Sums(weight, ink, square, weight, ink), true


@given(st.integers(0, 2**32 - 1), st.floats(0, 1e6))
def test_shrinking_is_ridge_regression(seed: int, penalty: float) -> None:
    rng = np.random.default_rng(seed)
    x, parent = rng.random((5, 4)), rng.random((1, 4))
    found = shrunk(x.mean(0)[None], np.full((1, 4), 5.0), parent, penalty)[0]
    for pixel in range(4):  # Σ (s − x)² + λ (s − parent)², by its normal equation
        expected = (x[:, pixel].sum() + penalty * parent[0, pixel]) / (5 + penalty)
        assert found[pixel] == pytest.approx(expected, abs=1e-9)


def test_no_penalty_gives_the_mean_and_an_infinite_one_the_parent() -> None:
    mean, count, parent = np.array([[0.2, 0.8]]), np.array([[3.0, 1.0]]), np.array([[0.5, 0.5]])
    assert np.array_equal(shrunk(mean, count, parent, 0.0), mean)
    assert np.array_equal(shrunk(mean, count, parent, np.inf), parent)
    assert np.allclose(shrunk(mean, count, parent, 1e15), parent)


def test_a_group_without_instances_is_its_parent_exactly() -> None:
    rng = np.random.default_rng(0)
    sums, _ = planted(np.array([8, 8, 0, 8, 8]), 0.01, 0.02, rng)
    above = [np.array([0, 0]), np.array([0, 0, 0, 1, 1])]
    found = fit(sums, above, rng.random(PIXELS))
    coarse, fine = found.prototypes
    assert np.array_equal(fine[2], coarse[0])
    assert not np.allclose(fine[1], coarse[0])


def test_a_letter_without_instances_is_the_model_s_own() -> None:
    nothing = np.zeros((2, PIXELS))
    reference = np.random.default_rng(0).random(PIXELS)
    found = fit(Sums(*(nothing,) * 5), [np.zeros(2, np.int64)], reference)
    assert np.array_equal(found.prototypes[0], np.stack([reference] * 2))


def test_one_level_is_a_ridge_towards_the_whole() -> None:
    rng = np.random.default_rng(1)
    n = np.array([2, 5, 9, 30])
    sums, _ = planted(n, 0.02, 0.01, rng)
    found = fit(sums, [np.zeros(4, np.int64)], np.zeros(PIXELS))
    # The whole: all groups, the fewer their instances the less, and a little of the reference.
    whole_spread, spread = found.between
    p = 1 / (spread + found.within / n)
    whole = (p[:, None] * sums.best).sum(0) / (p.sum() + 1 / whole_spread)
    penalty = found.penalties[1]
    expected = (sums.match + penalty * whole) / (n[:, None] + penalty)
    np.testing.assert_allclose(found.prototypes[0], expected, atol=1e-12)


def test_a_tree_is_shrunk_to_its_exact_posterior_mean() -> None:
    """Against the joint Gaussian of all levels, solved as one system."""
    rng = np.random.default_rng(2)
    sums, _ = planted(np.array([1, 4, 2, 7]), 0.05, 0.02, rng)
    parents, reference = np.array([0, 0, 1, 1]), np.full(PIXELS, 0.3)
    found = fit(sums, [np.zeros(2, np.int64), parents], reference)
    whole, coarse, fine = found.between
    assert min(whole, coarse, fine) > 0
    # Unknowns: the whole, two scripts, four documents; precision matrix and right-hand side.
    matrix, right = np.zeros((7, 7)), np.zeros((7, PIXELS))
    matrix[0, 0] += 1 / whole
    right[0] += reference / whole
    links = [(1, 0, coarse), (2, 0, coarse), *((3 + d, 1 + parents[d], fine) for d in range(4))]
    for own, above, spread in links:
        for a, b, sign in ((own, own, 1), (above, above, 1), (own, above, -1), (above, own, -1)):
            matrix[a, b] += sign / spread
    for d in range(4):
        matrix[3 + d, 3 + d] += sums.weight[d, 0] / found.within
        right[3 + d] += sums.match[d] / found.within
    solved = np.linalg.solve(matrix, right)
    np.testing.assert_allclose(found.prototypes[0], solved[1:3], atol=1e-9)
    np.testing.assert_allclose(found.prototypes[1], solved[3:], atol=1e-9)


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.1])
def test_variances_are_those_that_were_planted(spread: float) -> None:
    rng = np.random.default_rng(3)
    sums, _ = planted(rng.integers(2, 12, 24), 0.04, spread, rng)
    within = within_groups(sums)
    assert within == pytest.approx(0.04, rel=0.05)
    found = between_groups(sums.best, sums.energy / within, np.zeros(24, np.int64), 1)
    assert found == pytest.approx(spread, rel=0.1, abs=0.0007)


def test_shrunk_sprites_are_nearer_to_the_truth_than_means_and_parents() -> None:
    rng = np.random.default_rng(4)
    sums, true = planted(rng.integers(1, 8, 16), 0.05, 0.02, rng)
    found = fit(sums, [np.zeros(16, np.int64)], np.zeros(PIXELS)).prototypes[0]
    error = ((found - true) ** 2).mean()
    assert error < 0.9 * ((sums.best - true) ** 2).mean()
    assert error < 0.9 * ((true.mean(0) - true) ** 2).mean()


def test_instances_may_come_in_any_order_and_their_strength_is_taken_off() -> None:
    made = instances(documents(["one", "two"], "ab"), 6, seed=5)
    order = np.random.default_rng(0).permutation(len(made.letter))
    mixed = replace(made, letter=made.letter[order], ink=made.ink[order],
                    weight=made.weight[order], table=made.table.take(order))  # fmt: skip
    reference = np.stack([glyph(one) for one in "ab"])
    for one, other in zip(_all(made, reference), _all(mixed, reference), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    pale = replace(made, ink=np.round(made.ink * 0.8).astype(np.uint8),
                   table=made.table.append_column("strength", [[0.8] * len(order)]))  # fmt: skip
    for one, other in zip(_all(made, reference), _all(pale, reference), strict=True):
        np.testing.assert_allclose(one, other, atol=0.01)


def _all(made: Instances, reference: np.ndarray) -> list[np.ndarray]:
    levels = hierarchy(made, "document", ["document"])
    return [found.prototypes[0] for found in fits(made, levels, reference)]


def test_pixels_that_are_not_known_do_not_count() -> None:
    made = instances(documents(["one"], "a"), 4, seed=6)
    made.ink[:2, :10] = 255
    made.weight[:2, :10] = 0
    sums = letter_sums(made, 0, np.zeros(4, np.int64), 1)
    known = made.ink[2:].reshape(2, -1) / 255
    rows = 10 * made.shape[1]
    np.testing.assert_allclose(sums.mean[0, :rows], known[:, :rows].mean(0), atol=1e-6)
    np.testing.assert_allclose(sums.variance[0, :rows], known[:, :rows].var(0, ddof=1), atol=1e-6)


def test_variance_is_split_by_letter_and_level() -> None:
    rng = np.random.default_rng(7)
    plain = glyph("a")
    shapes = {name: {"a": jittered(plain, 3.0, rng), "b": glyph("b")} for name in "wxyz"}
    made = instances(shapes, 12, jitter=0.3, seed=1)
    levels = hierarchy(made, "document", ["document"])
    reference = np.stack([plain, glyph("b")])
    table = variances(list(fits(made, levels, reference)), made.letters, ["document"])
    rows = {row["letter"]: row for row in table.to_pylist()}
    assert rows["a"]["between_document"] > 5 * rows["b"]["between_document"]
    assert rows["a"]["lambda_document"] < rows["b"]["lambda_document"]
