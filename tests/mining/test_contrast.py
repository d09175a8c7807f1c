"""Identities between contexts, what a tree singles out, and the classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from test_typicality import GaussianLabels
from torch import Tensor

from typika.collection.tree import LabelTree
from typika.diffusion.schedule import NoiseDesign, noise_design
from typika.errors import DataError
from typika.mining.contrast import (
    Contrast,
    against_context,
    against_parents,
    confusion,
    label_probabilities,
)
from typika.mining.typicality import CONTEXTS_AT_ONCE, context_gains, typicality_maps

MEANS = (0.5, -1.0, 2.0, 0.0)
DENOISER = GaussianLabels(MEANS, null_variance=3.0)
TREE = LabelTree(("a", "b", "c", "d"), ("N/a", "N/b", "S/c", "S/d"))


@dataclass(frozen=True)
class Counting(GaussianLabels):
    """The same, with the denoiser items of every call."""

    items: tuple[list[int], ...] = ([],)

    def predict(self, noisy: Tensor, log_snr: Tensor, contexts: Tensor) -> Tensor:
        self.items[0].append(contexts.numel())
        return super().predict(noisy, log_snr, contexts)


def latents(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 4, 5, generator=torch.Generator().manual_seed(3))


def design(n_draws: int = 8) -> NoiseDesign:
    return noise_design("midpoints", n_draws, 3, 0, side=8)


def gains(contexts: tuple[int, ...], at_once: int = 8) -> list[np.ndarray]:
    index = torch.tensor([contexts] * 2)
    return context_gains(DENOISER, latents(), index, design(), at_once)


def label_contrast(subject: int, against: int) -> Contrast:
    return next(
        one for one in against_context("abcd", against, "abcd"[against], 4)
        if one.labels == (subject,)
    )  # fmt: skip


@pytest.mark.parametrize(("subject", "against"), [(0, 1), (1, 0), (3, 2)])
def test_a_contrast_is_the_difference_of_two_typicalities(subject: int, against: int) -> None:
    """T(c vs c') = T(c vs ∅) − T(c' vs ∅), each by the code that scores a run."""
    contrast = label_contrast(subject, against)
    for image, own in enumerate(gains((0, 1, 2, 3))):
        one, other = (
            typicality_maps(DENOISER, latents()[[image]], [(context,)], design())[0].null
            for context in (subject, against)
        )
        found = contrast.map(own)
        assert_allclose(found.mean, one.mean - other.mean, atol=1e-6)
        assert np.abs(found.mean).max() > 0.01
        reverse = label_contrast(against, subject).map(own)
        assert_allclose(found.mean, -reverse.mean, atol=1e-7)
        assert_allclose(found.error, reverse.error, atol=1e-7)


@pytest.mark.parametrize("n_contexts", [1, 4, 3 * CONTEXTS_AT_ONCE + 1])
def test_k_contexts_cost_k_plus_one_items_for_each_draw(n_contexts: int) -> None:
    means = tuple(np.linspace(-1, 1, n_contexts).tolist())
    denoiser = Counting(means, null_variance=3.0, items=([],))
    index = torch.arange(n_contexts).expand(2, -1)
    found = context_gains(denoiser, latents(), index, design(n_draws=8), 4)
    assert sum(denoiser.items[0]) == 2 * 8 * (n_contexts + 1)
    assert found[0].shape == (n_contexts, 4, 4, 5)


def test_how_many_contexts_and_latents_go_together_changes_nothing() -> None:
    for one, other in zip(gains((0, 1, 2, 3)), gains((0, 1, 2, 3), at_once=2), strict=True):
        assert_allclose(one, other, atol=1e-6)
    alone = [gains((context,))[0][0] for context in range(4)]
    assert_allclose(gains((0, 1, 2, 3))[0], np.stack(alone), atol=1e-6)


def test_fewer_contexts_give_the_same_contrast() -> None:
    contrast = label_contrast(3, 1)
    assert contrast.contexts == (1, 3)
    every, few = gains((0, 1, 2, 3))[0], gains((3, 1))[0]
    one, other = contrast.map(every), contrast.among((3, 1)).map(few)
    assert_allclose(one.mean, other.mean, atol=1e-6)
    assert_allclose(one.error, other.error, atol=1e-6)


def test_the_error_is_that_of_the_mean_of_the_units(rng: np.random.Generator) -> None:
    units = rng.normal(size=(4, 16, 2, 3))
    found = label_contrast(0, 1).map(units)
    difference = units[0] - units[1]
    assert_allclose(found.mean, difference.mean(axis=0), rtol=1e-6)
    assert_allclose(found.error, difference.std(axis=0, ddof=1) / 4, rtol=1e-6)


# --- trees --------------------------------------------------------------------------------------


def planted(*own: float) -> np.ndarray:
    """T(x|c) of one cell under each label, the same in two units."""
    return np.array(own, dtype=float)[:, None, None, None].repeat(2, axis=1)


def at(node: str, values: np.ndarray, offset: np.ndarray | None = None) -> float:
    contrast = next(one for one in against_parents(TREE, 4) if one.subject == node)
    if offset is not None:
        contrast = contrast.less(offset)
    return float(contrast.map(values).mean[0, 0])


def test_what_is_of_a_leaf_is_not_of_its_parent() -> None:
    of_a = planted(3, -1, -1, -1)
    assert at("N/a", of_a) == pytest.approx(3 - (3 - 1) / 2)
    assert at("N", of_a) == pytest.approx(-1 - 0)
    assert at("N/b", of_a) < 0


def test_what_is_of_a_parent_is_not_of_its_leaves() -> None:
    of_n = planted(1, 1, -1, -1)
    assert at("N", of_n) == pytest.approx(1)
    assert at("S", of_n) == pytest.approx(-1)
    # One child may explain it better than the other, which does not make it its own.
    uneven = planted(1.4, 0.6, -1, -1)
    assert at("N", uneven) == pytest.approx(0.6)
    assert at("N/a", uneven) == pytest.approx((1.4 - 1) - (1 - 0))
    assert at("S/c", of_n) == 0


def test_an_offset_makes_children_comparable() -> None:
    values, offset = planted(0.5, -0.5, -1.5, -1.5), np.array([0.5, -0.5, -0.5, -0.5])
    assert at("N", values) < at("N", values, offset) == pytest.approx(0 + 0.5)


def test_contrasts_of_a_tree_know_whose_images_they_are_about() -> None:
    found = {one.subject: one for one in against_parents(TREE, 5)}
    assert list(found) == ["N", "N/a", "N/b", "S", "S/c", "S/d"]
    assert [found[node].labels for node in ("N", "S/d")] == [(0, 1), (3,)]
    assert [found[node].against for node in ("N", "S/d")] == ["all labels", "S"]
    assert found["S/d"].contexts == (0, 1, 2, 3)  # those that its parent is held against, too
    assert found["N/a"].parts.shape == (1, 5)


def test_an_only_child_is_not_held_against_its_parent() -> None:
    tree = LabelTree(("a", "b"), ("World/N/a", "World/S/b"))
    assert [one.subject for one in against_parents(tree, 2)] == ["World/N", "World/S"]
    with pytest.raises(DataError, match="never branches"):
        against_parents(LabelTree(("a",), ("World/a",)), 1)


# --- classifier ---------------------------------------------------------------------------------


def test_probabilities_are_those_of_the_published_equations(rng: np.random.Generator) -> None:
    found = rng.normal(size=(4, 2, 3))
    given = label_probabilities(found, 7)
    loss = -7 * found  # the null's loss cancels
    for label in range(4):
        expected = 1 / np.exp(loss[label] - loss).sum(axis=0)  # Eq. 4.6
        assert_allclose(given[label], expected)
    pair = label_probabilities(np.stack([found[0], np.zeros((2, 3))]), 7)
    assert_allclose(pair[0], 1 / (1 + np.exp(-7 * found[0])))  # Eq. 4.8
    assert_allclose(label_probabilities(np.array([900.0, 0.0]), 10**6), [1, 0])


def test_a_confusion_matrix_is_the_mean_answer_by_truth() -> None:
    given = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.2, 0.8]])
    found = confusion(np.array([0, 0, 2]), given, 3)
    assert_allclose(found, [[0.75, 0.25, 0], [np.nan] * 3, [0, 0.2, 0.8]])
