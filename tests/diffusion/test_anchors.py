"""Anchors of a condition, and the denoiser that mixes their heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from typika.diffusion.anchors import fit_anchors
from typika.diffusion.embedded import (
    CellDenoiser,
    EmbeddedConfig,
    conditioned_loss,
    training_loss,
)
from typika.diffusion.latents import Batch
from typika.diffusion.training import step_generator


def test_a_number_has_the_two_anchors_around_it(rng: np.random.Generator) -> None:
    values = rng.exponential(size=(200, 1))
    anchors = fit_anchors(values, 5, 0)
    shares = anchors.shares(values)
    assert_allclose(shares.sum(axis=1), 1)
    assert ((shares > 0).sum(axis=1) <= 2).all()
    assert_allclose(anchors.shares(anchors.values), np.eye(5), atol=1e-12)
    # In ranks: as many images between any two neighbours, however skewed the number.
    counts = np.histogram(values, anchors.values[:, 0])[0]
    assert counts.min() >= 49
    # Shares are linear in rank: they give the rank back.
    assert_allclose(shares @ anchors.places, anchors.coordinates(values), atol=1e-12)


def test_few_distinct_numbers_are_their_own_anchors() -> None:
    values = np.repeat([1.0, 2.0, 5.0], [10, 5, 40])[:, None]
    anchors = fit_anchors(values, 7, 0)
    assert anchors.values[:, 0].tolist() == [1, 2, 5]
    assert_allclose(anchors.shares(np.array([[2.0]])), [[0, 1, 0]], atol=1e-12)


def test_beyond_the_ends_a_number_is_at_the_end() -> None:
    anchors = fit_anchors(np.arange(50.0)[:, None], 4, 0)
    assert_allclose(anchors.shares(np.array([[-9.0], [99.0]])), [[1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("size", [2, 12])
def test_anchors_of_pairs_and_vectors_find_the_heaps(size: int, rng: np.random.Generator) -> None:
    centres = 10 * rng.normal(size=(4, size))
    heap = np.repeat(np.arange(4), 30)
    values = centres[heap] + 0.1 * rng.normal(size=(120, size))
    anchors = fit_anchors(values, 4, 0)
    shares = anchors.shares(values)
    assert_allclose(shares.sum(axis=1), 1)
    nearest = anchors.nearest(values)
    assert len({tuple(pair) for pair in zip(heap, nearest, strict=True)}) == 4
    assert shares.max(axis=1).min() > 0.6
    assert_allclose(anchors.values[nearest], centres[heap], atol=0.5)


def test_units_of_a_pair_do_not_matter(rng: np.random.Generator) -> None:
    values = rng.normal(size=(80, 2))
    other = values * np.array([1.0, 1000.0]) + 7
    assert_allclose(
        fit_anchors(values, 5, 0).shares(values), fit_anchors(other, 5, 0).shares(other), atol=1e-9
    )


# ---------------------------------------------------------------------------------- the denoiser


def network(n_labels: int = 3) -> CellDenoiser:
    torch.manual_seed(0)
    found = CellDenoiser(6, n_labels, width=8, blocks=1)
    for value in found.parameters():
        value.data = torch.randn_like(value) * 0.3
    return found


def batch() -> Batch:
    image = torch.arange(4).repeat_interleave(5)
    return Batch(torch.randn(20, 6), image, torch.full((4,), 5))


def test_hard_shares_are_labels() -> None:
    torch.manual_seed(1)
    cells, label = batch(), torch.tensor([2, 0, 1, 1])
    own = training_loss(
        network(), cells, label, torch.arange(3), EmbeddedConfig(), step_generator(0, 0)
    )
    hard = torch.nn.functional.one_hot(label, 3).float()
    mixed = conditioned_loss(network(), cells, hard, EmbeddedConfig(), step_generator(0, 0))
    torch.testing.assert_close(own, mixed)


def test_soft_shares_mix_corrections() -> None:
    cells = batch()
    config = EmbeddedConfig(loss="faithful")
    shares = torch.tensor([[0.5, 0.5, 0.0]]).expand(4, 3)
    own = conditioned_loss(network(), cells, shares, config, step_generator(0, 0))
    between = network().mixed(torch.tensor([[0.5, 0.5, 0.0]]))
    label = torch.zeros(4, dtype=torch.long)
    same = training_loss(between, cells, label, torch.arange(1), config, step_generator(0, 0))
    torch.testing.assert_close(own, same)


def test_a_mixed_denoiser_predicts_the_mean_of_its_labels() -> None:
    whole = network()
    half = whole.mixed(torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]))
    hidden = torch.randn(7, 8)
    both = whole.predictions(hidden, [-1, 0, 1, 2])
    found = half.predictions(hidden, [-1, 0, 1])
    torch.testing.assert_close(found[:, 0], both[:, 0])
    torch.testing.assert_close(found[:, 1], 0.25 * both[:, 1] + 0.75 * both[:, 2])
    torch.testing.assert_close(found[:, 2], both[:, 3])
