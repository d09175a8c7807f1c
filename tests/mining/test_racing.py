from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose

from typika.mining.patches import SelectConfig
from typika.mining.racing import (
    Candidates,
    candidates,
    joined,
    load_tallies,
    one_of,
    rounds,
    save_tallies,
    undecided,
)
from typika.mining.typicality import Tally, TypicalityMap

KEEP_TWO = SelectConfig(share=0.01, at_least=2, at_most=2, per_image=1)


def known(score: list[float], error: float | list[float], label: int = 0) -> Candidates:
    count = len(score)
    errors = np.broadcast_to(np.asarray(error, dtype=float), count)
    return Candidates(np.arange(count), np.full(count, label), np.array(score), errors)


@given(some.integers(2, 300))
def test_rounds_hold_every_unit_once(n_units: int) -> None:
    found = rounds(n_units)
    assert [unit for one in found for unit in one] == list(range(n_units))
    assert all(one.stop == min(2 * one.start, n_units) for one in found[1:])


def test_only_what_is_near_the_last_that_is_kept_stays_open() -> None:
    given = known([9.0, 5.0, 4.0, 1.0], 0.4)
    assert undecided(given, 2.0, KEEP_TWO).tolist() == [False, True, True, False]
    assert undecided(known([9.0, 5.0, 4.0, 1.0], 0.0), 2.0, KEEP_TWO).sum() == 0
    assert undecided(known([9.0, 5.0, 4.0, 1.0], 10.0), 2.0, KEEP_TWO).all()


def test_each_label_has_a_threshold_of_its_own() -> None:
    low, high = known([3.0, 2.0, 1.0, 0.0], 0.2), known([103.0, 102.0, 101.0, 100.0], 0.2, 1)
    high = Candidates(high.row + 4, high.label, high.score, high.error)
    both = Candidates.joined([low, high])
    assert undecided(both, 3.0, KEEP_TWO).tolist() == [False, True, True, False] * 2


def test_where_all_are_kept_nothing_is_open() -> None:
    config = SelectConfig(share=1.0)
    assert not undecided(known([1.0, 1.0, 1.0], 5.0), 2.0, config).any()


def test_an_image_is_open_if_one_of_its_patches_is() -> None:
    given = Candidates(
        np.array([0, 0, 1, 1]), np.zeros(4, int), np.array([9.0, 5.0, 4.9, 0.0]), np.full(4, 0.1)
    )
    assert undecided(given, 2.0, KEEP_TWO).tolist() == [True, True]


def test_misplaced_patches_are_as_rare_as_said() -> None:
    # Every decision is a look at a normal score with a known error.
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    config = SelectConfig(share=0.2, at_least=1, at_most=10**6, per_image=1)
    chosen = set(np.argsort(-truth)[: round(0.2 * 4000)].tolist())
    given = known((truth + rng.normal(0, 0.3, 4000)).tolist(), 0.3)
    closed = ~undecided(given, 2.0, config)
    threshold = np.sort(given.score)[::-1][round(0.2 * 4000) - 1]
    wrong = sum(
        (row in chosen) != (given.score[row] >= threshold) for row in np.flatnonzero(closed)
    )
    assert closed.mean() > 0.4
    assert wrong / closed.sum() < 0.023


def test_candidates_are_the_best_boxes_of_the_map() -> None:
    mean = np.zeros((4, 6), np.float32)
    mean[0, 0], mean[3, 5] = 2.0, 1.0
    found = candidates(TypicalityMap(mean, np.ones_like(mean)), 7, 1, (40, 60),
                       SelectConfig(patch_size=0.25, per_image=2), ratio=0.5)  # fmt: skip
    assert found.row.tolist() == [7, 7]
    assert found.label.tolist() == [1, 1]
    assert found.score[0] > found.score[1] > 0
    assert_allclose(found.error, 0.5)


def tally_of(seed: int, n_units: int = 4) -> Tally:
    generator = torch.Generator().manual_seed(seed)
    sums, squares = (torch.rand(2, 1, 3, 5, generator=generator, dtype=torch.double) for _ in "ab")
    return Tally(sums, squares * 9, torch.rand(1, 2, generator=generator).double(), n_units)


def test_tallies_come_back_as_they_were(tmp_path: Path) -> None:
    given = {3: tally_of(0), 12: tally_of(1, n_units=8)}
    save_tallies(given, tmp_path / "round.safetensors")
    found = load_tallies(tmp_path / "round.safetensors", torch.device("cpu"))
    assert found.keys() == given.keys()
    for row, one in given.items():
        assert torch.equal(found[row].sums, one.sums)
        assert torch.equal(found[row].squares, one.squares)
        assert torch.equal(found[row].gains, one.gains)
        assert found[row].n_units == one.n_units


@pytest.mark.parametrize("image", [0, 1, 2])
def test_joining_and_parting_are_inverse(image: int) -> None:
    given = [tally_of(seed) for seed in range(3)]
    back = one_of(joined(given), image)
    assert torch.equal(back.sums, given[image].sums)
    assert torch.equal(back.gains, given[image].gains)
