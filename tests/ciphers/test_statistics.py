from __future__ import annotations

import numpy as np
import pytest
from planted_ciphers import hidden, language

from typika.ciphers.statistics import statistics


def of(*lines: str) -> list[np.ndarray]:
    return [np.array([ord(one) - ord("a") for one in line], dtype=np.int64) for line in lines]


def test_figures_of_a_small_text_are_those_counted_by_hand() -> None:
    told = statistics(of("aab", "ba"), 2)
    assert told.n == 5
    assert told.coincidence == pytest.approx((3 * 2 + 2 * 1) / (5 * 4))
    assert told.entropies[0] == pytest.approx(-(0.6 * np.log2(0.6) + 0.4 * np.log2(0.4)))
    # Pairs aa, ab, ba: one bit after a, none after b.
    assert told.entropies[1] == pytest.approx(2 / 3)
    assert told.doubled == 1
    a, b = told.symbols
    assert (a.count, a.share, a.first, a.last, a.doubled) == (3, 0.6, 1, 1, 1)
    assert (b.before, b.after) == (0, 0)
    assert {(one.one, one.other): one.count for one in told.pairs} == {
        (0, 0): 1, (0, 1): 1, (1, 0): 1
    }  # fmt: skip


def test_coincidence_of_equal_shares_is_one_over_their_number() -> None:
    rng = np.random.default_rng(0)
    told = statistics([rng.integers(20, size=20_000)], 20)
    assert told.normalised == pytest.approx(1, abs=0.01)
    assert told.entropies[0] == pytest.approx(np.log2(20), abs=0.01)


def test_a_simple_key_changes_no_figure_but_names() -> None:
    text = language(1).encode(hidden())
    names = np.random.default_rng(0).permutation(text.max() + 1)
    one, other = statistics([text], len(names)), statistics([names[text]], len(names))
    assert one.coincidence == other.coincidence
    assert one.entropies == pytest.approx(other.entropies)
    assert one.coincidence == pytest.approx(0.066, abs=0.01)  # English


def test_no_text_has_no_figures() -> None:
    told = statistics([], 0)
    assert (told.n, told.coincidence, told.entropies) == (0, 0.0, (0.0, 0.0, 0.0))
