"""Symbols read in their context: a hidden Markov model whose states are pairs of letters.

A key says one letter for a symbol wherever it stands. Symbols that were misread, that stand for
nothing, or that are two letters alike in shape are better read one by one: letters follow each
other as the language has it, P(c | a b), and each is written in one of the symbols with chances
that are learned by expectation maximisation (Baum and Welch), from a key or from nothing. A symbol
may also be nothing: then the pair of letters before it stays.

Legend: `S` symbols, `A` letters, `N` symbols of the text, `R` models side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.ciphers.language import LanguageModel, score_table
from typika.ciphers.solving import NULL, Key
from typika.errors import ConfigError, DataError

ORDER = 3  # letters that are looked at together


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """How chances of symbols are learned. Counts are of occurrences in the text."""

    n_rounds: int = 0  # of expectation maximisation
    misread: float = 0.005  # share of symbols that are any other, at first
    nulls: float = 0.005  # share of symbols that stand for nothing, at first
    weight: float = 0.7  # exponent of the language's chances, which are surer than they should be
    trust: float = 2.0  # how often more the key counts than what is learned

    def __post_init__(self) -> None:
        if self.n_rounds < 0 or self.trust < 0:
            raise ConfigError(f"n_rounds={self.n_rounds}, trust={self.trust}: need 0 or more")
        if not 0 < self.weight <= 1:
            raise ConfigError(f"weight={self.weight}: need more than 0, and 1 at most")
        if not 0 < self.misread < 1 or not 0 <= self.nulls < 1:
            raise ConfigError(
                f"misread={self.misread}, nulls={self.nulls}: need shares between 0 and 1, and "
                "some that are misread"
            )


@dataclass(frozen=True)
class Writing:
    """How letters are written.

    chances: of each symbol given a letter; rows sum to one. null: of each symbol where it stands
    for nothing. nulls: share of such symbols.
    """

    chances: Float[ndarray, "R A S"]
    null: Float[ndarray, "R S"]
    nulls: Float[ndarray, " R"]


@dataclass(frozen=True)
class Reading:
    """A text read in its context.

    letters: of each symbol, a place in the alphabet or NULL. confidence: its chance given the
    whole text. log_likelihood: nats, of each round.
    """

    letters: Int[ndarray, " N"]
    confidence: Float[ndarray, " N"]
    log_likelihood: tuple[float, ...]
    writing: Writing


def read_in_context(
    text: Int[ndarray, " N"],
    key: Key,
    model: LanguageModel,
    config: ReadingConfig,
    fixed: Sequence[int] = (),
) -> Reading:
    """The letters of a text, from a key and the language. fixed: symbols known surely.

    Raises DataError where the key has no letter for a symbol.
    """
    if len(text) and int(text.max()) >= len(key.letters):
        raise DataError(f"symbol {int(text.max())}: the key has {len(key.letters)} symbols")
    writing = written_by(text, key, len(model.alphabet), config, fixed)
    first, told = writing, []
    table = np.exp(config.weight * _trigrams(model))
    for _ in range(config.n_rounds):
        counts = expected(text, writing, table)
        told.append(float(counts.log_likelihood[0]))
        writing = learned(counts, first, config)
    counts = expected(text, writing, table)
    told.append(float(counts.log_likelihood[0]))
    chances = counts.chances[:, 0]  # (N, A + 1), nothing last
    best = chances.argmax(axis=1)
    letters = np.where(best == len(model.alphabet), NULL, best)
    return Reading(letters, chances.max(axis=1), tuple(told), writing)


def written_by(
    text: Int[ndarray, " N"],
    key: Key,
    n_letters: int,
    config: ReadingConfig,
    fixed: Sequence[int] = (),
) -> Writing:
    """How letters would be written by a key, a share of the symbols being misread."""
    n_symbols = len(key.letters)
    size = np.bincount(text, minlength=n_symbols).astype(float)
    open_size = size.copy()
    open_size[list(fixed)] = 0
    anything = open_size / max(open_size.sum(), 1)
    chances = np.zeros((n_letters, n_symbols))
    for symbol, letter in enumerate(key.letters):
        if letter != NULL:
            chances[letter, symbol] = size[symbol]
    total = chances.sum(axis=1, keepdims=True)
    own = np.divide(chances, total, out=np.tile(anything, (n_letters, 1)), where=total > 0)
    known = np.unique([key.letters[one] for one in fixed]).astype(int)
    chances = (1 - config.misread) * own + config.misread * anything
    chances[known] = own[known]  # a space is a space, and nothing else is one
    null = np.where(key.letters == NULL, size, 0.0)
    share = null.sum() / max(size.sum(), 1)
    null = 0.5 * null / max(null.sum(), 1) + 0.5 * anything if null.any() else anything
    nulls = max(config.nulls, min(share, 0.5)) if config.nulls > 0 else 0.0
    return Writing(chances[None], null[None], np.array([nulls]))


@dataclass(frozen=True)
class Expected:
    """chances: of each letter, and last of nothing, at each symbol of the text.

    counts: of each letter written in each symbol; null_counts: of nothing so written.
    """

    chances: Float[ndarray, "N R A1"]
    counts: Float[ndarray, "R A S"]
    null_counts: Float[ndarray, "R S"]
    log_likelihood: Float[ndarray, " R"]


def expected(
    text: Int[ndarray, " N"], writing: Writing, table: Float[ndarray, "A A A"]
) -> Expected:
    """Forward and backward sums, each step scaled to one. table: P(c | a b)."""
    n_models, n_letters, n_symbols = writing.chances.shape
    onward = np.ascontiguousarray(table.transpose(1, 0, 2))  # (b, a, c)
    back = np.ascontiguousarray(table.transpose(1, 2, 0))  # (b, c, a)
    letter = ((1 - writing.nulls)[:, None, None] * writing.chances).transpose(2, 0, 1)  # (S, R, A)
    nothing = (writing.nulls[:, None] * writing.null).T  # (S, R)
    shape = (n_letters, n_models, n_letters)  # the letter before, the model, the last letter
    before = np.full(shape, 1 / n_letters**2)
    forward, scales = [before], np.zeros((len(text), n_models))
    for place, symbol in enumerate(text):
        state = forward[-1]
        after = np.matmul(state.transpose(2, 1, 0), onward) * letter[symbol]
        after += state * nothing[symbol][:, None]
        scales[place] = after.sum(axis=(0, 2))
        forward.append(after / scales[place][:, None])
    chances = np.zeros((len(text), n_models, n_letters + 1))
    beyond = np.ones(shape)
    for place in range(len(text) - 1, -1, -1):
        symbol, state = text[place], forward[place]
        scaled = beyond / scales[place][:, None]
        void = state * nothing[symbol][:, None] * scaled
        whole = forward[place + 1] * beyond
        chances[place, :, :-1] = (whole - void).sum(axis=0)
        chances[place, :, -1] = void.sum(axis=(0, 2))
        led = np.matmul(scaled * letter[symbol], back)  # (b, R, a)
        beyond = led.transpose(2, 1, 0) + scaled * nothing[symbol][:, None]
    chances = np.clip(chances, 0, 1)
    counts = np.zeros((n_symbols, n_models, n_letters + 1))
    np.add.at(counts, text, chances)
    return Expected(
        chances, counts[:, :, :-1].transpose(1, 2, 0), counts[:, :, -1].T,
        np.log(scales).sum(axis=0),
    )  # fmt: skip


def learned(counts: Expected, first: Writing, config: ReadingConfig) -> Writing:
    """How letters are written: mixed of what counts tell and what was thought first."""
    often = counts.counts.sum(axis=2, keepdims=True) + 1
    chances = counts.counts + config.trust * often * first.chances
    null_often = counts.null_counts.sum(axis=1, keepdims=True) + 1
    null = counts.null_counts + config.trust * null_often * first.null
    nulls = counts.null_counts.sum(axis=1) / len(counts.chances)
    least = np.minimum(first.nulls, config.nulls)
    return replace(
        first,
        chances=chances / np.maximum(chances.sum(axis=2, keepdims=True), 1e-300),
        null=null / np.maximum(null.sum(axis=1, keepdims=True), 1e-300),
        nulls=np.maximum(nulls, least),
    )


def solve_by_expectation(
    text: Int[ndarray, " N"],
    model: LanguageModel,
    *,
    n_symbols: int,
    n_restarts: int = 8,
    n_rounds: int = 40,
    seed: int = 0,
) -> Int[ndarray, "R S"]:
    """Keys by expectation maximisation alone, from chances at random: a rival of annealing.

    Of each restart, the letter that a symbol is most often (Ravi and Knight 2011; Berg-Kirkpatrick
    and Klein 2013, with pairs of letters as states). The most likely restart comes first.
    """
    rng = np.random.default_rng(seed)
    shape = (n_restarts, len(model.alphabet), n_symbols)
    size = np.bincount(text, minlength=n_symbols) / len(text)
    chances = size * np.exp(0.5 * rng.standard_normal(shape))
    first = Writing(
        chances / chances.sum(axis=2, keepdims=True), np.tile(size, (n_restarts, 1)),
        np.zeros(n_restarts),
    )  # fmt: skip
    table, writing = np.exp(_trigrams(model)), first
    config = ReadingConfig(trust=0.001, nulls=0.0)
    counts = expected(text, writing, table)
    for _ in range(n_rounds):
        writing = learned(counts, first, config)
        counts = expected(text, writing, table)
    order = np.argsort(-counts.log_likelihood, kind="stable")
    return counts.counts.argmax(axis=1)[order]


def _trigrams(model: LanguageModel) -> Float[ndarray, "A A A"]:
    return score_table(model, ORDER).astype(np.float64)
