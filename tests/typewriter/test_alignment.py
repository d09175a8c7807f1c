"""Best path and forced alignment, against all paths of tiny cases."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from typika.errors import DataError
from typika.typewriter.alignment import best_path, forced_path, forced_paths
from typika.typewriter.alphabet import n_cells_needed


def random_reading(seed: int, n_cells: int, n_symbols: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (n_cells, n_symbols + 1))
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    kept = [path[0], *(b for a, b in pairwise(path) if a != b)]
    return tuple(symbol for symbol in kept if symbol != blank)


def best_of_all_paths(logs: np.ndarray, text: tuple[int, ...]) -> float:
    cells, blank = range(len(logs)), logs.shape[1] - 1
    return max(
        sum(logs[t, s] for t, s in zip(cells, path, strict=True))
        for path in product(range(blank + 1), repeat=len(logs))
        if collapsed(path, blank) == text
    )


@given(st.integers(0, 10**6), st.lists(st.integers(0, 1), max_size=3).map(tuple))
def test_forced_alignment_is_the_best_of_all_paths_that_read_the_text(
    seed: int, text: tuple[int, ...]
) -> None:
    logs = random_reading(seed, 5, 2)
    path = forced_path(logs, text)
    assert path.log_likelihood == pytest.approx(best_of_all_paths(logs, text))
    assert tuple(path.symbols) == text
    assert (np.diff(path.cells) > 0).all()


def test_lines_aligned_together_are_as_aligned_alone() -> None:
    readings = [random_reading(n, cells, 3) for n, cells in enumerate((4, 9, 6, 1))]
    texts = [(0, 0), (2, 1, 1, 0), (), (1,)]
    together = forced_paths(readings, texts)
    for path, logs, text in zip(together, readings, texts, strict=True):
        alone = forced_path(logs, text)
        assert path.log_likelihood == alone.log_likelihood
        np.testing.assert_array_equal(path.cells, alone.cells)


def test_a_symbol_stands_where_it_is_most_probable_in_its_run() -> None:
    logs = np.log(np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.8, 0.2]]))
    path = best_path(logs)
    np.testing.assert_array_equal(path.symbols, [0, 0])
    np.testing.assert_array_equal(path.cells, [1, 4])
    np.testing.assert_allclose(np.exp(path.log_probabilities), [0.9, 0.8])


def test_a_text_longer_than_its_line_is_refused_with_both_numbers() -> None:
    with pytest.raises(DataError, match=r"2 symbols needs 3 cells, its line has 2"):
        forced_path(random_reading(0, 2, 2), (1, 1))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_cells_needed_are_those_of_the_shortest_path(text: list[int]) -> None:
    separated = [text[0]]
    for before, after in pairwise(text):
        separated += [9, after] if before == after else [after]
    assert n_cells_needed(text) == len(separated)


def test_a_long_line_is_aligned_as_a_short_one_is() -> None:
    text = tuple(n % 5 for n in range(150))  # 301 states: more than eight bits count
    logs = np.full((150, 6), np.log(0.1))
    logs[np.arange(150), text] = np.log(0.5)
    path = forced_path(logs, text)
    np.testing.assert_array_equal(path.cells, np.arange(150))
    np.testing.assert_array_equal(path.symbols, text)
