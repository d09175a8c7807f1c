"""Which cells hold which symbols: best path, and forced alignment of a known text.

A connectionist reading has, of each cell, probabilities of K symbols and of a blank. A text is
read by a path over cells whose equal neighbours are merged and whose blanks are dropped (Graves
et al. 2006).

Legend: `T` cells, `K1` symbols and the blank (last), `L` symbols of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.errors import DataError
from typika.typewriter.alphabet import n_cells_needed


@dataclass(frozen=True)
class CellPath:
    """Symbols of one line, each at the cell of its run of cells where it is most probable.

    symbols, cells: in reading order. log_probabilities: of the symbol at its cell.
    log_likelihood: of the whole path, every cell counted.
    """

    symbols: Int[ndarray, " L"]
    cells: Int[ndarray, " L"]
    log_probabilities: Float[ndarray, " L"]
    log_likelihood: float


def best_path(log_probabilities: Float[ndarray, "T K1"]) -> CellPath:
    """The most probable symbol of every cell, equal neighbours merged, blanks dropped."""
    best = log_probabilities.argmax(1)
    total = float(log_probabilities.max(1).sum())
    return _path_of_runs(log_probabilities, best, _run_numbers(best), total)


def forced_path(log_probabilities: Float[ndarray, "T K1"], text: Sequence[int]) -> CellPath:
    """The most probable path that reads exactly `text` (Viterbi).

    Raises:
        DataError: the text needs more cells than there are.
    """
    return forced_paths([log_probabilities], [text])[0]


def forced_paths(
    log_probabilities: Sequence[Float[ndarray, "_ K1"]], texts: Sequence[Sequence[int]]
) -> list[CellPath]:
    """`forced_path` of several lines at once, which is faster; the result is the same.

    The states of a text of L symbols are blank, first symbol, blank, ... , last symbol, blank. A
    path may stay, go to the next state, or pass over a blank between different symbols.
    """
    for line, text in zip(log_probabilities, texts, strict=True):
        if n_cells_needed(text) > len(line):
            raise DataError(
                f"a text of {len(text)} symbols needs {n_cells_needed(text)} cells, "
                f"its line has {len(line)}"
            )
    if not texts:
        return []
    emitted, passes, n_states, n_cells = _trellis(log_probabilities, texts)
    n_lines, most, _ = emitted.shape
    best = np.full(emitted.shape[::2], -np.inf)
    best[:, :2] = emitted[:, 0, :2]
    best[n_states == 1, 1:] = -np.inf
    came = np.zeros(emitted.shape, np.int8)  # how many states forward the best way in was
    final = best.copy()
    for t in range(1, most):
        ways = np.full((3, *best.shape), -np.inf)
        ways[0] = best
        ways[1, :, 1:] = best[:, :-1]
        ways[2, :, 2:] = np.where(passes[:, 2:], best[:, :-2], -np.inf)
        came[:, t] = ways.argmax(0)
        best = ways.max(0) + emitted[:, t]
        final = np.where((t < n_cells)[:, None], best, final)
    paths = []
    for n in range(n_lines):
        states = _trace(came[n, : n_cells[n]], final[n], int(n_states[n]))
        symbols_and_blank = np.append(np.asarray(texts[n], dtype=int), -1)
        total = float(final[n, states[-1]])
        line = log_probabilities[n]
        symbols = np.where(states % 2 == 1, symbols_and_blank[states // 2], line.shape[1] - 1)
        paths.append(_path_of_runs(line, symbols, states, total))
    return paths


def _trellis(
    lines: Sequence[Float[ndarray, "_ K1"]], texts: Sequence[Sequence[int]]
) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """What every state emits in every cell, which states may be entered over a blank, sizes."""
    n_cells = np.array([len(line) for line in lines])
    n_states = np.array([2 * len(text) + 1 for text in texts])
    shape = (len(lines), n_cells.max(), max(int(n_states.max()), 2))
    emitted = np.full(shape, -np.inf)
    passes = np.zeros((len(lines), shape[2]), bool)
    for n, (line, text) in enumerate(zip(lines, texts, strict=True)):
        states = np.full(n_states[n], line.shape[1] - 1)
        states[1::2] = text
        emitted[n, : n_cells[n], : n_states[n]] = line[:, states]
        passes[n, 3 : n_states[n] : 2] = states[3::2] != states[1:-2:2]
    return emitted, passes, n_states, n_cells


def _trace(came: ndarray, final: ndarray, n_states: int) -> Int[ndarray, " T"]:
    """The state of every cell, from the last cell back."""
    last = n_states - 1
    if n_states > 1 and final[last - 1] > final[last]:
        last -= 1
    states = np.empty(len(came), int)
    for t in range(len(came) - 1, -1, -1):
        states[t] = last
        last -= int(came[t, last])  # a scalar of int8 would make `last` one
    return states


def _run_numbers(symbols: Int[ndarray, " T"]) -> Int[ndarray, " T"]:
    return np.cumsum(np.append(0, np.diff(symbols) != 0))


def _path_of_runs(
    log_probabilities: ndarray, symbols: ndarray, runs: ndarray, total: float
) -> CellPath:
    """Of every run of a symbol the cell where it is most probable."""
    blank = log_probabilities.shape[1] - 1
    own = np.take_along_axis(log_probabilities, symbols[:, None], 1)[:, 0]
    cells = [
        run[own[run].argmax()]
        for run in np.split(np.arange(len(runs)), np.flatnonzero(np.diff(runs)) + 1)
        if symbols[run[0]] != blank
    ]
    chosen = np.array(cells, dtype=int)
    return CellPath(symbols[chosen], chosen, own[chosen], total)
