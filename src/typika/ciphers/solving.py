"""Which letter each symbol stands for: substitution ciphers, with one symbol a letter or several.

A key is judged by how likely the text is that it gives, and how likely this text is written in
these symbols (`score`). The best key is searched by annealing many keys side by side: with several
symbols a letter, one symbol is read anew, in proportion to the chance of each letter, all else
given (heat bath); with one symbol a letter, two swap theirs. Only the n-grams that hold what
changed are scored again. The last sweeps are without heat, so that every key ends on a peak.

Legend: `S` symbols, `A` letters, `N` symbols of the text, `R` keys side by side, `u` different
n-grams of symbols, `k` order of the n-grams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import xlogy

from typika.ciphers.annealing import OPEN, Problem, annealed, places, polish, problem_of, readings
from typika.ciphers.language import LanguageModel, score_table
from typika.errors import ConfigError, DataError

NULL = -1  # in the place of a letter: the symbol stands for nothing


@dataclass(frozen=True, kw_only=True)
class SolvingConfig:
    """How keys are searched.

    homophones: whether several symbols may be one letter. nulls: whether a symbol may stand for
    nothing; looked for with homophones only.
    """

    order: int = 4  # letters that are looked at together
    homophones: bool = False
    nulls: bool = False
    n_restarts: int = 24  # keys side by side
    n_sweeps: int = 60  # over all symbols, with heat
    hottest: float = 30.0  # nats, of the first sweep
    coldest: float = 1.0  # ... of the last
    n_best: int = 5  # keys told

    def __post_init__(self) -> None:
        if self.n_restarts < 1 or self.n_sweeps < 1 or self.n_best < 1 or self.order < 2:
            raise ConfigError(
                f"n_restarts={self.n_restarts}, n_sweeps={self.n_sweeps}, n_best={self.n_best}, "
                f"order={self.order}: need 1 or more, and an order of 2 or more"
            )
        if not 0 < self.coldest <= self.hottest:
            raise ConfigError(
                f"coldest={self.coldest}, hottest={self.hottest}: need 0 < coldest <= hottest"
            )
        if self.nulls and not self.homophones:
            raise ConfigError("nulls: looked for with homophones only; set homophones too")


@dataclass(frozen=True)
class Key:
    """A key and what it is worth. letters: of each symbol, a place in the alphabet or NULL."""

    letters: Int[ndarray, " S"]
    score: float  # nats


@dataclass(frozen=True)
class Solution:
    """What was found.

    keys: different ones, the best first. confidence: of each symbol under the best key, the chance
    of its letter against every other, all else given; without homophones against every swap.
    margin: nats that the next best reading of the symbol costs. runner_up: that reading.
    agreement: share of the restarts that read the symbol so in the end.
    """

    keys: tuple[Key, ...]
    confidence: Float[ndarray, " S"]
    margin: Float[ndarray, " S"]
    runner_up: Int[ndarray, " S"]
    agreement: Float[ndarray, " S"]

    @property
    def best(self) -> Key:
        """The most likely key."""
        return self.keys[0]


def solve(
    text: Sequence[int] | Int[ndarray, " N"],
    model: LanguageModel,
    config: SolvingConfig,
    *,
    seed: int,
    known: dict[int, str] | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> Solution:
    """The best keys of a text of symbols 0..S−1. known: symbols whose letter is known: spaces.

    The names of symbols do not matter: the same text in other symbols has the same solution.

    Raises:
        ConfigError: there are more symbols than letters, and no homophones.
        DataError: the text is shorter than an n-gram, or a known letter is none.
    """
    numbers = np.asarray(text, dtype=np.int64)
    if len(numbers) < config.order:
        raise DataError(f"{len(numbers)} symbols: too few to tell letters; give a longer text")
    seen, first = np.unique(numbers, return_index=True)
    by_first = seen[np.argsort(first)]  # so that names of symbols cannot matter
    own = np.full(int(numbers.max()) + 1, -1)
    own[by_first] = np.arange(len(by_first))
    fixed = np.array([_letter_of(model, (known or {}).get(int(one))) for one in by_first])
    table = score_table(model, config.order).reshape(-1)
    problem = problem_of(
        own[numbers],
        len(by_first),
        table,
        len(model.alphabet),
        config.order,
        config.homophones,
        fixed,
    )
    frequency = np.exp(score_table(model, 1))
    rng = np.random.default_rng(seed)
    heats = np.geomspace(config.hottest, config.coldest, config.n_sweeps)
    keys = annealed(problem, frequency, config.n_restarts, heats, rng, tell)
    solution = _solution(problem, keys, config)
    return _renamed(solution, own)


def score(text: Int[ndarray, " N"], letters: Int[ndarray, " S"], table: ndarray) -> float:
    """How likely a text is under a key, in nats.

        Σ_i ln P(a_i | a_{i−k+1} … a_{i−1}) + Σ_s n_s ln(n_s / n_{a(s)})
            + N₀ ln(N₀/N) + N₁ ln(N₁/N)

    The letters a_i without nulls, of which the first k−1 are given; n_s: occurrences of a symbol,
    n_a: of all symbols that are the letter a, so that the second sum is the likelihood of which of
    its symbols each letter was written in; N₀, N₁: nulls and others of the N symbols.
    table: ln P, of k axes.
    """
    order, read = table.ndim, letters[text]
    plain = read[read != NULL]
    found = 0.0
    if len(plain) >= order:
        last = len(plain) - order + 1
        columns = [plain[start : start + last] for start in range(order)]
        found = float(table[tuple(columns)].sum(dtype=np.float64))
    size = np.bincount(text, minlength=len(letters)).astype(float)
    n_null = size[letters == NULL].sum()
    written = np.bincount(letters[letters != NULL], size[letters != NULL], table.shape[0])
    found += float(xlogy(size, size).sum() - xlogy(written, written).sum())
    found -= float(xlogy(n_null, n_null))
    total = size.sum()
    return found + float(
        xlogy(n_null, n_null / total) + xlogy(total - n_null, (total - n_null) / total)
    )


def _letter_of(model: LanguageModel, letter: str | None) -> int:
    if letter is None:
        return OPEN
    if letter not in model.alphabet:
        raise DataError(f"letter {letter!r}: the language has {model.alphabet!r} only")
    return model.alphabet.index(letter)


def _solution(problem: Problem, keys: Int[ndarray, "R S"], config: SolvingConfig) -> Solution:
    """The different keys by their scores, and how sure the best one is of each symbol."""
    table = problem.table.reshape((problem.n_letters,) * problem.order)
    found = {key.tobytes(): key for key in keys}
    ranked = sorted(
        (Key(key, score(problem.text, key, table)) for key in found.values()),
        key=lambda one: -one.score,
    )
    best = ranked[0]
    if config.nulls:
        best = _without_nulls(problem, best, table)
    change = _changes(problem, best, table)
    for place in np.argsort(-change, axis=None, kind="stable")[: 2 * config.n_best]:
        symbol, other = np.unravel_index(place, change.shape)
        if np.isfinite(change[symbol, other]):
            letters = _changed(problem, best.letters, int(symbol), int(other))
            ranked.append(Key(letters, best.score + float(change[symbol, other])))
    different = {one.letters.tobytes(): one for one in sorted(ranked, key=lambda one: one.score)}
    different.pop(best.letters.tobytes(), None)
    runners_up = [
        _changed(problem, best.letters, symbol, int(own.argmax()))[symbol]
        for symbol, own in enumerate(change)
    ]
    return Solution(
        keys=(best, *list(different.values())[::-1][: config.n_best - 1]),
        confidence=1 / (1 + np.exp(np.minimum(change, 500)).sum(axis=1)),
        margin=-change.max(axis=1),
        runner_up=np.array(runners_up, dtype=np.int64),
        agreement=(keys == best.letters).mean(axis=0),
    )


def _changed(
    problem: Problem, letters: Int[ndarray, " S"], symbol: int, other: int
) -> Int[ndarray, " S"]:
    """A key with a symbol read as another letter, or swapped with another symbol."""
    changed = letters.copy()
    if problem.homophones:
        changed[symbol] = other
    else:
        changed[[symbol, other]] = letters[[other, symbol]]
    return changed


def _changes(problem: Problem, best: Key, table: Float[ndarray, "*_"]) -> Float[ndarray, "S _"]:
    """What it adds to the score to read a symbol as another letter; else to swap it with another.

    −∞ for what it is, and for what it may not be.
    """
    opened = problem.fixed < 0
    if not problem.homophones:
        change = np.full((problem.n_symbols, problem.n_symbols), -np.inf)
        rows = best.letters[:, None].astype(np.int32)
        for one, other, held in problem.pairs:
            grams, counts = problem.grams[held], problem.counts[held]
            swapped = rows.copy()
            swapped[[one, other]] = rows[[other, one]]
            both = [places(own, grams, problem.n_letters) for own in (rows, swapped)]
            before, after = (float((counts @ problem.table[own])[0]) for own in both)
            change[one, other] = change[other, one] = after - before
        return change
    change = np.full((problem.n_symbols, problem.n_letters), -np.inf)
    rest, rows = _rest(problem, best.letters)
    for symbol in np.flatnonzero(opened):
        if best.letters[symbol] == NULL:
            for letter in np.flatnonzero(problem.free):
                letters = _changed(problem, best.letters, int(symbol), int(letter))
                change[symbol, letter] = score(problem.text, letters, table) - best.score
        else:
            scores = readings(rest, rows, int(symbol))[0]
            change[symbol] = scores - scores[best.letters[symbol]]
            change[symbol, best.letters[symbol]] = -np.inf
    change[:, ~problem.free] = -np.inf
    return change


def _without_nulls(problem: Problem, best: Key, table: Float[ndarray, "*_"]) -> Key:
    """A key in which symbols stand for nothing, one after the other, while the score grows."""
    while True:
        tried = []
        opened = np.flatnonzero((problem.fixed < 0) & (best.letters != NULL))
        for symbol in opened if len(opened) > 1 else []:
            letters = _changed(problem, best.letters, int(symbol), NULL)
            tried.append((score(problem.text, letters, table), int(symbol)))
        likely, silent = max(tried, default=(-np.inf, -1))
        if likely <= best.score:
            return best
        best = Key(_changed(problem, best.letters, silent, NULL), likely)
        best = _polished(problem, best, table)


def _rest(problem: Problem, letters: Int[ndarray, " S"]) -> tuple[Problem, Int[ndarray, "1 S"]]:
    """What is left to be read without the nulls of a key, and the key with letters for them."""
    nulls = letters == NULL
    text = problem.text[~nulls[problem.text]]
    anything = int(np.flatnonzero(problem.free)[0])
    rows = np.where(nulls, anything, letters)[None].copy()
    if not nulls.any() or len(text) < problem.order:
        return problem, rows
    fixed = np.where(nulls, anything, problem.fixed)
    own = problem_of(
        text, problem.n_symbols, problem.table, problem.n_letters, problem.order, True, fixed
    )
    return replace(own, free=problem.free), rows


def _polished(problem: Problem, key: Key, table: Float[ndarray, "*_"]) -> Key:
    """The other symbols read anew, with the nulls taken out of the text."""
    rest, rows = _rest(problem, key.letters)
    polish(rest, rows)
    letters = np.where(key.letters == NULL, NULL, rows[0])
    polished = Key(letters, score(problem.text, letters, table))
    return max(key, polished, key=lambda one: one.score)


def _renamed(solution: Solution, own: Int[ndarray, " _"]) -> Solution:
    """A solution in the numbers that the symbols came with; own: theirs in it, −1 for none."""
    there = np.flatnonzero(own >= 0)

    def back(values: ndarray, empty: int) -> ndarray:
        found = np.full(len(own), empty, dtype=values.dtype)
        found[there] = values[own[there]]
        return found

    return Solution(
        keys=tuple(Key(back(key.letters, NULL), key.score) for key in solution.keys),
        confidence=back(solution.confidence, 0),
        margin=back(solution.margin, 0),
        runner_up=back(solution.runner_up, NULL),
        agreement=back(solution.agreement, 0),
    )
