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
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.special import xlogy

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


@dataclass(frozen=True)
class _Problem:
    """A text whose symbols are numbered by their first occurrence, and what it is judged by.

    grams: the different n-grams; counts: how often. held: of each symbol, the n-grams with it.
    fixed: letters that are known, −2 where none is. free: letters that other symbols may be.
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
        return self.n_letters ** np.arange(self.order - 1, -1, -1)


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
    problem = _problem(own[numbers], len(by_first), table, len(model.alphabet), config, fixed)
    frequency = np.exp(score_table(model, 1))
    rng = np.random.default_rng(seed)
    keys = _annealed(problem, frequency, config, rng, tell)
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
        return -2
    if letter not in model.alphabet:
        raise DataError(f"letter {letter!r}: the language has {model.alphabet!r} only")
    return model.alphabet.index(letter)


def _problem(
    text: Int[ndarray, " N"],
    n_symbols: int,
    table: Float[ndarray, " _"],
    n_letters: int,
    config: SolvingConfig,
    fixed: Int[ndarray, " S"],
) -> _Problem:
    free = np.ones(n_letters, dtype=bool)
    free[fixed[fixed >= 0]] = False
    n_open = int((fixed < 0).sum())
    if not config.homophones:
        if n_open > free.sum():
            raise ConfigError(
                f"{n_open} symbols for {free.sum()} letters: some letters have several symbols; "
                "look for homophones"
            )
        # Letters that no symbol stands for are held by symbols that do not occur.
        n_symbols += int(free.sum()) - n_open
        fixed = np.concatenate([fixed, np.full(n_symbols - len(fixed), -2)])
    windows = np.lib.stride_tricks.sliding_window_view(text, config.order)
    grams, counts = np.unique(windows, axis=0, return_counts=True)
    holds = (grams[:, :, None] == np.arange(n_symbols)).any(axis=1)
    return _Problem(
        text=text, n_symbols=n_symbols, table=table, n_letters=n_letters, order=config.order,
        homophones=config.homophones, grams=grams, counts=counts.astype(np.float32),
        held=tuple(np.flatnonzero(column) for column in holds.T),
        size=np.bincount(text, minlength=n_symbols).astype(float), fixed=fixed, free=free,
    )  # fmt: skip


def _annealed(
    problem: _Problem,
    frequency: Float[ndarray, " A"],
    config: SolvingConfig,
    rng: np.random.Generator,
    tell: Callable[[int], None],
) -> Int[ndarray, "R S"]:
    """Keys that annealing ends with, each on a peak."""
    keys = _starts(problem, frequency, config.n_restarts, rng)
    sweep = _reread if problem.homophones else _swapped
    heats = np.geomspace(config.hottest, config.coldest, config.n_sweeps)
    for heat in heats:
        sweep(problem, keys, float(heat), rng)
        tell(1)
    while sweep(problem, keys, 0.0, rng):
        pass
    return keys


def _starts(
    problem: _Problem, frequency: Float[ndarray, " A"], n: int, rng: np.random.Generator
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


def _readings(problem: _Problem, keys: Int[ndarray, "R S"], symbol: int) -> Float[ndarray, "R A"]:
    """The score of each letter for a symbol, all else as it is, up to a constant."""
    held = problem.held[symbol]
    grams, counts = problem.grams[held], problem.counts[held]
    weight = ((grams == symbol) * problem.powers).sum(axis=1).astype(np.int32)
    rows = keys.T.astype(np.int32)
    rows[symbol] = 0
    others = _places(rows, grams, problem.n_letters)  # (held, R)
    found = np.empty((len(keys), problem.n_letters))
    for letter in range(problem.n_letters):
        found[:, letter] = counts @ problem.table[others + letter * weight[:, None]]
    return found + _written(problem, keys, symbol)


def _places(rows: ndarray, grams: ndarray, n_letters: int) -> ndarray:
    """Where, in the flat table, the n-grams are under each key. rows: (S, R) letters."""
    flat = rows[grams[:, 0]]
    for place in range(1, grams.shape[1]):
        flat *= n_letters
        flat += rows[grams[:, place]]
    return flat


def _written(problem: _Problem, keys: Int[ndarray, "R S"], symbol: int) -> Float[ndarray, "R A"]:
    """What the second sum of `score` changes by, for every letter that a symbol may be."""
    size = problem.size.copy()
    size[symbol] = 0
    rows = np.arange(len(keys))[:, None]
    written = np.zeros((len(keys), problem.n_letters))
    np.add.at(written, (np.broadcast_to(rows, keys.shape), keys), size)
    more = written + problem.size[symbol]
    return xlogy(written, written) - xlogy(more, more)


def _reread(
    problem: _Problem, keys: Int[ndarray, "R S"], heat: float, rng: np.random.Generator
) -> bool:
    """Read every symbol anew, in place. Whether any key changed."""
    before = keys.copy()
    for symbol in rng.permutation(np.flatnonzero(problem.fixed < 0)):
        scores = _readings(problem, keys, int(symbol))
        scores[:, ~problem.free] = -np.inf
        if heat > 0:
            scores = scores / heat + rng.gumbel(size=scores.shape)
        else:  # what is as good stays, or keys could change for ever
            scores[np.arange(len(keys)), keys[:, symbol]] += 1e-6
        keys[:, symbol] = scores.argmax(axis=1)
    return bool((keys != before).any())


def _swapped(
    problem: _Problem, keys: Int[ndarray, "R S"], heat: float, rng: np.random.Generator
) -> bool:
    """Try all swaps of two symbols, in place. Whether any key changed."""
    changed = False
    rows = np.ascontiguousarray(keys.T.astype(np.int32))
    for place in rng.permutation(len(problem.pairs)):
        one, other, held = problem.pairs[place]
        grams, counts = problem.grams[held], problem.counts[held]
        before = counts @ problem.table[_places(rows, grams, problem.n_letters)]
        rows[[one, other]] = rows[[other, one]]
        gain = counts @ problem.table[_places(rows, grams, problem.n_letters)] - before
        least = heat * np.log(rng.random(len(keys))) if heat > 0 else 1e-3
        worse = gain <= least
        rows[one, worse], rows[other, worse] = rows[other, worse], rows[one, worse]
        changed |= not worse.all()
    keys[:] = rows.T
    return changed


def _solution(problem: _Problem, keys: Int[ndarray, "R S"], config: SolvingConfig) -> Solution:
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
    problem: _Problem, letters: Int[ndarray, " S"], symbol: int, other: int
) -> Int[ndarray, " S"]:
    """A key with a symbol read as another letter, or swapped with another symbol."""
    changed = letters.copy()
    if problem.homophones:
        changed[symbol] = other
    else:
        changed[[symbol, other]] = letters[[other, symbol]]
    return changed


def _changes(problem: _Problem, best: Key, table: Float[ndarray, "*_"]) -> Float[ndarray, "S _"]:
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
            both = [_places(own, grams, problem.n_letters) for own in (rows, swapped)]
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
            scores = _readings(rest, rows, int(symbol))[0]
            change[symbol] = scores - scores[best.letters[symbol]]
            change[symbol, best.letters[symbol]] = -np.inf
    change[:, ~problem.free] = -np.inf
    return change


def _without_nulls(problem: _Problem, best: Key, table: Float[ndarray, "*_"]) -> Key:
    """A key in which symbols stand for nothing, one after the other, while the score grows."""
    while True:
        tried = []
        opened = np.flatnonzero((problem.fixed < 0) & (best.letters != NULL))
        for symbol in opened if len(opened) > 1 else []:
            letters = _changed(problem, best.letters, int(symbol), NULL)
            tried.append((score(problem.text, letters, table), int(symbol)))
        likely, symbol = max(tried, default=(-np.inf, -1))
        if likely <= best.score:
            return best
        best = Key(_changed(problem, best.letters, symbol, NULL), likely)
        best = _polished(problem, best, table)


def _rest(problem: _Problem, letters: Int[ndarray, " S"]) -> tuple[_Problem, Int[ndarray, "1 S"]]:
    """What is left to be read without the nulls of a key, and the key with letters for them."""
    nulls = letters == NULL
    text = problem.text[~nulls[problem.text]]
    anything = int(np.flatnonzero(problem.free)[0])
    rows = np.where(nulls, anything, letters)[None].copy()
    if not nulls.any() or len(text) < problem.order:
        return problem, rows
    fixed = np.where(nulls, anything, problem.fixed)
    config = SolvingConfig(order=problem.order, homophones=True)
    own = _problem(text, problem.n_symbols, problem.table, problem.n_letters, config, fixed)
    return replace(own, free=problem.free), rows


def _polished(problem: _Problem, key: Key, table: Float[ndarray, "*_"]) -> Key:
    """The other symbols read anew, with the nulls taken out of the text."""
    rest, rows = _rest(problem, key.letters)
    while _reread(rest, rows, 0.0, np.random.default_rng(0)):
        pass
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
