"""The search for keys: many side by side, changed here and there, kept where that is likelier.

Legend: `S` symbols, `A` letters, `N` symbols of the text, `R` keys side by side, `u` different
n-grams of symbols, `k` order of the n-grams.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.special import xlogy

from typika.errors import ConfigError

OPEN = -2  # in the place of a letter: not known beforehand
_TIE = 1e-2  # nats: what is better by less is as good, or keys could change for ever
_MOST_POLISHING = 100  # sweeps without heat


@dataclass(frozen=True)
class Problem:
    """A text whose symbols are numbered by their first occurrence, and what it is judged by.

    grams: the different n-grams; counts: how often. held: of each symbol, the n-grams with it.
    fixed: letters that are known, OPEN where none is. free: letters that other symbols may be.
    """

    text: Int[ndarray, " N"]
    n_symbols: int
    table: Float[ndarray, " _"]  # of all n-grams of letters, flat
    n_letters: int
    order: int
    homophones: bool
    grams: Int[ndarray, "u k"]
    counts: Float[ndarray, " u"]
    held: tuple[Int[ndarray, " _"], ...]
    size: Float[ndarray, " S"]  # occurrences of each symbol
    fixed: Int[ndarray, " S"]
    free: Bool[ndarray, " A"]

    @cached_property
    def pairs(self) -> list[tuple[int, int, ndarray]]:
        """Symbols that may swap their letters, and the n-grams with either of them."""
        opened = np.flatnonzero(self.fixed < 0).tolist()
        return [
            (one, other, np.union1d(self.held[one], self.held[other]))
            for one, other in combinations(opened, 2)
            if self.size[one] > 0  # of two that do not occur the first does not
        ]

    @property
    def powers(self) -> Int[ndarray, " k"]:
        """What each place of an n-gram counts in the flat table."""
        return self.n_letters ** np.arange(self.order - 1, -1, -1)


def problem_of(
    text: Int[ndarray, " N"],
    n_symbols: int,
    table: Float[ndarray, " _"],
    n_letters: int,
    order: int,
    homophones: bool,
    fixed: Int[ndarray, " S"],
) -> Problem:
    """A text of symbols 0..S−1 to be read.

    table: ln P of n-grams, flat; fixed: of each symbol its letter or OPEN. Raises ConfigError
    where symbols are more than letters, without homophones.
    """
    free = np.ones(n_letters, dtype=bool)
    free[fixed[fixed >= 0]] = False
    n_open = int((fixed < 0).sum())
    if not homophones:
        if n_open > free.sum():
            raise ConfigError(
                f"{n_open} symbols for {free.sum()} letters: some letters have several symbols; "
                "look for homophones"
            )
        # Letters that no symbol stands for are held by symbols that do not occur.
        n_symbols += int(free.sum()) - n_open
        fixed = np.concatenate([fixed, np.full(n_symbols - len(fixed), OPEN)])
    windows = np.lib.stride_tricks.sliding_window_view(text, order)
    grams, counts = np.unique(windows, axis=0, return_counts=True)
    holds = (grams[:, :, None] == np.arange(n_symbols)).any(axis=1)
    return Problem(
        text=text, n_symbols=n_symbols, table=table, n_letters=n_letters, order=order,
        homophones=homophones, grams=grams, counts=counts.astype(np.float32),
        held=tuple(np.flatnonzero(column) for column in holds.T),
        size=np.bincount(text, minlength=n_symbols).astype(float), fixed=fixed, free=free,
    )  # fmt: skip


def annealed(
    problem: Problem,
    frequency: Float[ndarray, " A"],
    n_restarts: int,
    heats: Float[ndarray, " _"],
    rng: np.random.Generator,
    tell: Callable[[int], None],
) -> Int[ndarray, "R S"]:
    """Keys that annealing ends with, each on a peak. heats: nats, of each sweep."""
    keys = _starts(problem, frequency, n_restarts, rng)
    sweep = _reread if problem.homophones else _swapped
    for heat in heats:
        sweep(problem, keys, float(heat), rng)
        tell(1)
    polish(problem, keys)
    return keys


def polish(problem: Problem, keys: Int[ndarray, "R S"]) -> None:
    """Change keys in place while any gets better by it."""
    sweep = _reread if problem.homophones else _swapped
    for _ in range(_MOST_POLISHING):
        if not sweep(problem, keys, 0.0, np.random.default_rng(0)):
            return


def _starts(
    problem: Problem, frequency: Float[ndarray, " A"], n: int, rng: np.random.Generator
) -> Int[ndarray, "R S"]:
    """Keys that match frequencies, each a little differently."""
    keys = np.tile(problem.fixed, (n, 1))
    opened = np.flatnonzero(problem.fixed < 0)
    free = np.flatnonzero(problem.free)
    chance = frequency[free] / frequency[free].sum()
    share = (problem.size[opened] + 0.5) / (problem.size[opened] + 0.5).sum()
    for row in range(n):
        jitter = np.exp(0.3 * rng.standard_normal(len(opened)))
        order = np.argsort(-share * jitter, kind="stable")
        if problem.homophones:
            # The next symbol goes to the letter that most of its share is still missing of.
            missing = chance * np.exp(0.3 * rng.standard_normal(len(free)))
            for one in order:
                letter = int(missing.argmax())
                keys[row, opened[one]] = free[letter]
                missing[letter] -= share[one]
        else:
            keys[row, opened[order]] = free[np.argsort(-chance, kind="stable")]
    return keys


def readings(problem: Problem, keys: Int[ndarray, "R S"], symbol: int) -> Float[ndarray, "R A"]:
    """The score of each letter for a symbol, all else as it is, up to a constant."""
    held = problem.held[symbol]
    grams, counts = problem.grams[held], problem.counts[held]
    weight = ((grams == symbol) * problem.powers).sum(axis=1).astype(np.int32)
    rows = keys.T.astype(np.int32)
    rows[symbol] = 0
    others = places(rows, grams, problem.n_letters)  # (held, R)
    found = np.empty((len(keys), problem.n_letters))
    for letter in range(problem.n_letters):
        found[:, letter] = counts @ problem.table[others + letter * weight[:, None]]
    return found + _written(problem, keys, symbol)


def places(rows: ndarray, grams: ndarray, n_letters: int) -> ndarray:
    """Where, in the flat table, the n-grams are under each key. rows: (S, R) letters."""
    flat = rows[grams[:, 0]]
    for place in range(1, grams.shape[1]):
        flat *= n_letters
        flat += rows[grams[:, place]]
    return flat


def _written(problem: Problem, keys: Int[ndarray, "R S"], symbol: int) -> Float[ndarray, "R A"]:
    """What the second sum of `score` changes by, for every letter that a symbol may be."""
    size = problem.size.copy()
    size[symbol] = 0
    rows = np.arange(len(keys))[:, None]
    written = np.zeros((len(keys), problem.n_letters))
    np.add.at(written, (np.broadcast_to(rows, keys.shape), keys), size)
    more = written + problem.size[symbol]
    return xlogy(written, written) - xlogy(more, more)


def _reread(
    problem: Problem, keys: Int[ndarray, "R S"], heat: float, rng: np.random.Generator
) -> bool:
    """Read every symbol anew, in place. Whether any key changed."""
    before = keys.copy()
    for symbol in rng.permutation(np.flatnonzero(problem.fixed < 0)):
        scores = readings(problem, keys, int(symbol))
        scores[:, ~problem.free] = -np.inf
        if heat > 0:
            scores = scores / heat + rng.gumbel(size=scores.shape)
        else:
            scores[np.arange(len(keys)), keys[:, symbol]] += _TIE
        keys[:, symbol] = scores.argmax(axis=1)
    return bool((keys != before).any())


def _swapped(
    problem: Problem, keys: Int[ndarray, "R S"], heat: float, rng: np.random.Generator
) -> bool:
    """Try all swaps of two symbols, in place. Whether any key changed."""
    changed = False
    rows = np.ascontiguousarray(keys.T.astype(np.int32))
    for place in rng.permutation(len(problem.pairs)):
        one, other, held = problem.pairs[place]
        grams, counts = problem.grams[held], problem.counts[held]
        before = counts @ problem.table[places(rows, grams, problem.n_letters)]
        rows[[one, other]] = rows[[other, one]]
        gain = counts @ problem.table[places(rows, grams, problem.n_letters)] - before
        least = heat * np.log(rng.random(len(keys))) if heat > 0 else _TIE
        worse = gain <= least
        rows[one, worse], rows[other, worse] = rows[other, worse], rows[one, worse]
        changed |= not worse.all()
    keys[:] = rows.T
    return changed
