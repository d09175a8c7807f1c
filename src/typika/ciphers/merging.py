"""Symbols out of signs: a sign may be a part of a symbol, and several signs may be one symbol.

Signs that follow each other are merged, and signs that are alike are joined, as long as the lines
can then be described in fewer bits. The description has two parts, a table and the lines:

    L = Σ_steps (1 + 2 log₂ V)                                   each step names two symbols of V
      + Σ_v [log₂ C(n_v + V, V) + log₂ (n_v! / Π_w n_vw!)]       which symbol follows which
      + Σ_v [log₂ C(n_v + m_v − 1, m_v − 1) + log₂ (n_v! / Π_i n_vi!)]    how each is spelt

v, w: the V symbols and the end of a line, which is also what stands before its first; n_v: how
often v occurs, n_vw: how often w follows; m_v: spellings of v, which are sequences of signs, n_vi:
how often each is used. C(n + V, V) is the number of ways to divide n successors among V symbols
and the end. Since one symbol tells what may follow it, letters that like to be together are not
merged for that alone; but letters depend on more than one before them, and t and h would become
one. So two signs are merged only where either hardly occurs without the other, or where together
they look like a third ("split"): an m that was taken for an r and an n.

Legend: `K` signs, `V` symbols, `n` tokens of all lines, ends of lines among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import gammaln

from typika.errors import ConfigError

Spelling = tuple[int, ...]  # signs, from left to right
Likeness = Callable[[Spelling, Spelling], float]
"""How alike two spellings look, 0 to 1."""

END = -1  # between lines, in the place of a symbol


@dataclass(frozen=True, kw_only=True)
class MergingConfig:
    """What may become one symbol."""

    fewest: int = 3  # occurrences of a pair that is merged
    together: float = 0.6  # least share of either's occurrences that a merged pair is
    n_pairs: int = 60  # of the pairs that are together more than by chance, tried in each step
    alike: float = 0.93  # likeness from which signs may be joined
    longest: int = 3  # signs of a symbol

    def __post_init__(self) -> None:
        if self.fewest < 2 or self.longest < 1 or self.n_pairs < 0:
            raise ConfigError(
                f"fewest={self.fewest}, longest={self.longest}, n_pairs={self.n_pairs}: need 2, 1 "
                "and 0 or more"
            )
        if not 0 <= self.together <= 1 or not 0 <= self.alike <= 1:
            raise ConfigError(
                f"together={self.together}, alike={self.alike}: need shares between 0 and 1"
            )


@dataclass(frozen=True)
class Step:
    """Two symbols that became one, shown by their most frequent spellings, and the bits then."""

    kind: str  # "merged": one after the other; "joined": one or the other; "split": both
    one: Spelling
    other: Spelling
    bits: float


@dataclass(frozen=True)
class Symbols:
    """Lines as sequences of symbols 0..V−1, the most frequent first.

    lines: the symbols of each. parts: of each line, how many signs each symbol is. spellings: of
    each symbol, the sequences of signs that it is spelt by, the most frequent first. bits: of the
    signs as they came. steps: what was done, with the bits after each.
    """

    lines: tuple[Int[ndarray, " _"], ...]
    parts: tuple[Int[ndarray, " _"], ...]
    spellings: tuple[tuple[Spelling, ...], ...]
    bits: float
    steps: tuple[Step, ...]

    def __len__(self) -> int:
        return len(self.spellings)


@dataclass(frozen=True)
class _State:
    """tokens: spelling of each token, END between lines. symbol: of each spelling."""

    tokens: Int[ndarray, " n"]
    spellings: tuple[Spelling, ...]
    symbol: Int[ndarray, " _"]
    table_bits: float

    def symbols(self) -> Int[ndarray, " n"]:
        if not self.spellings:
            return self.tokens
        return np.where(self.tokens == END, END, self.symbol[self.tokens])


def merge(
    lines: Sequence[Sequence[int]],
    likeness: Likeness | None = None,
    config: MergingConfig | None = None,
) -> Symbols:
    """Merge and join signs while the description of the lines gets shorter.

    lines: signs of each. likeness: of spellings; without it nothing is joined.
    """
    config = config or MergingConfig()
    state = _state(lines)
    first = bits = description(state.symbols(), state.tokens)
    steps: list[Step] = []
    while True:
        found = [*_pairs(state, likeness, config), *_joins(state, likeness, config)]
        tried = [(_total(after), number) for number, (after, _) in enumerate(found)]
        least, number = min(tried, default=(np.inf, -1))
        if least >= bits - 1e-9:
            return _finished(state, first, steps)
        bits, (state, step) = least, found[number]
        steps.append(Step(step.kind, step.one, step.other, bits))


def description(symbols: Int[ndarray, " n"], spelt: Int[ndarray, " n"]) -> float:
    """Bits of lines of symbols, and of how each is spelt: the second and third sum of L."""
    seen, codes = np.unique(symbols, return_inverse=True)
    n_kinds = len(seen)  # V symbols and the end
    follow = np.bincount(codes[:-1] * n_kinds + codes[1:], minlength=n_kinds**2)
    follow = follow.reshape(n_kinds, n_kinds).astype(float)
    size = follow.sum(axis=1)
    nats = _chosen(size + n_kinds - 1, n_kinds - 1).sum()
    nats += gammaln(size + 1).sum() - gammaln(follow + 1).sum()
    used, how_often = np.unique(spelt[spelt != END], return_counts=True)
    places = np.array([np.flatnonzero(spelt == one)[0] for one in used], dtype=int)
    owner = codes[places] if len(places) else places
    own = np.bincount(owner, how_often, n_kinds).astype(float)
    kinds = np.bincount(owner, minlength=n_kinds)
    several = kinds > 1
    nats += _chosen(own[several] + kinds[several] - 1, kinds[several] - 1).sum()
    nats += gammaln(own + 1).sum() - gammaln(how_often + 1.0).sum()
    return float(nats / np.log(2))


def _chosen(n: Float[ndarray, " _"], k: Int[ndarray, " _"] | int) -> Float[ndarray, " _"]:
    """Ln of the binomial C(n, k)."""
    return gammaln(n + 1) - gammaln(np.asarray(k) + 1.0) - gammaln(n - k + 1)


def _total(state: _State) -> float:
    return state.table_bits + description(state.symbols(), state.tokens)


def _state(lines: Sequence[Sequence[int]]) -> _State:
    signs = sorted({int(sign) for line in lines for sign in line})
    number = {sign: place for place, sign in enumerate(signs)}
    tokens = [END]
    for line in lines:
        tokens += [*(number[int(sign)] for sign in line), END]
    spellings = tuple((sign,) for sign in signs)
    return _State(np.array(tokens), spellings, np.arange(len(signs)), 0.0)


def _named(state: _State) -> float:
    """Bits of a step: its kind, and two of the symbols that there are."""
    return 1 + 2 * float(np.log2(max(len(np.unique(state.symbol[_used(state)])), 1)))


def _used(state: _State) -> Int[ndarray, " _"]:
    return np.unique(state.tokens[state.tokens != END])


def _main(state: _State) -> dict[int, Spelling]:
    """The most frequent spelling of each symbol."""
    used, counts = np.unique(state.tokens[state.tokens != END], return_counts=True)
    best: dict[int, Spelling] = {}
    for place in np.argsort(-counts, kind="stable"):
        best.setdefault(int(state.symbol[used[place]]), state.spellings[used[place]])
    return best


def _pairs(
    state: _State, likeness: Likeness | None, config: MergingConfig
) -> list[tuple[_State, Step]]:
    """What pairs of symbols may become: a symbol of their own, or one that they look like."""
    symbols = state.symbols()
    main = _main(state)
    answer = []
    for one, other, share in _frequent(symbols, config):
        spelling = (*main[one], *main[other])
        if len(spelling) > config.longest:
            continue
        if likeness is None and share < config.together:
            continue
        after = _merged(state, symbols, one, other)
        if share >= config.together:
            answer.append((after, Step("merged", main[one], main[other], 0.0)))
        if likeness is None:
            continue
        alike = {third: likeness(spelling, main[third]) for third in main}
        third = max(alike, key=lambda each: alike[each])
        if alike[third] >= config.alike:
            new = int(after.symbol.max())
            if third in after.symbol[_used(after)]:
                step = Step("split", spelling, main[third], 0.0)
                answer.append((_joined(after, new, third), step))
    return answer


def _frequent(symbols: Int[ndarray, " n"], config: MergingConfig) -> list[tuple[int, int, float]]:
    """Pairs that are often together, beyond chance, the most telling first; last their share."""
    left, right = symbols[:-1], symbols[1:]
    inside = (left != END) & (right != END)
    pairs, counts = np.unique(
        np.stack([left[inside], right[inside]], axis=1), axis=0, return_counts=True
    )
    size = np.bincount(symbols[symbols != END])
    chance = size[pairs[:, 0]] * size[pairs[:, 1]] / max(len(symbols), 1)
    worth = counts * np.log(np.maximum(counts / np.maximum(chance, 1e-9), 1e-9))
    order = [one for one in np.argsort(-worth, kind="stable") if counts[one] >= config.fewest]
    share = counts / np.maximum(size[pairs[:, 0]], size[pairs[:, 1]])
    return [
        (int(pairs[one, 0]), int(pairs[one, 1]), float(share[one]))
        for one in order[: config.n_pairs]
    ]


def _joins(
    state: _State, likeness: Likeness | None, config: MergingConfig
) -> list[tuple[_State, Step]]:
    """What any two symbols that look alike become if they are one."""
    if likeness is None:
        return []
    main = _main(state)
    ordered = sorted(main)
    return [
        (_joined(state, one, other), Step("joined", main[one], main[other], 0.0))
        for place, one in enumerate(ordered)
        for other in ordered[place + 1 :]
        if likeness(main[one], main[other]) >= config.alike
    ]


def _merged(state: _State, symbols: Int[ndarray, " n"], one: int, other: int) -> _State:
    """Each `one` with the `other` after it is a new symbol."""
    places = np.flatnonzero((symbols[:-1] == one) & (symbols[1:] == other))
    if one == other:  # of three in a row the first two
        kept: list[int] = []
        for place in places.tolist():
            if not kept or place > kept[-1] + 1:
                kept.append(place)
        places = np.array(kept, dtype=int)
    spelt = list(state.spellings)
    symbol = state.symbol.tolist()
    new = max(symbol) + 1
    known: dict[tuple[int, int], int] = {}
    tokens = state.tokens.copy()
    for place in places.tolist():
        pair = (int(tokens[place]), int(tokens[place + 1]))
        if pair not in known:
            known[pair] = len(spelt)
            spelt.append((*state.spellings[pair[0]], *state.spellings[pair[1]]))
            symbol.append(new)
        tokens[place] = known[pair]
    tokens = np.delete(tokens, places + 1)
    return _State(tokens, tuple(spelt), np.array(symbol), state.table_bits + _named(state))


def _joined(state: _State, one: int, other: int) -> _State:
    """Two symbols are one."""
    symbol = np.where(state.symbol == other, one, state.symbol)
    return _State(state.tokens, state.spellings, symbol, state.table_bits + _named(state))


def _finished(state: _State, bits: float, steps: Sequence[Step]) -> Symbols:
    """The symbols in the order of their frequency, line by line."""
    symbols = state.symbols()
    seen, counts = np.unique(symbols[symbols != END], return_counts=True)
    order = seen[np.argsort(-counts, kind="stable")].tolist()
    rank = {symbol: place for place, symbol in enumerate(order)}
    used, often = np.unique(state.tokens[state.tokens != END], return_counts=True)
    spellings: list[list[Spelling]] = [[] for _ in order]
    for place in np.argsort(-often, kind="stable"):
        spellings[rank[int(state.symbol[used[place]])]].append(state.spellings[used[place]])
    ends = np.flatnonzero(state.tokens == END)
    spans = [slice(start + 1, end) for start, end in pairwise(ends.tolist())]
    length = np.array([len(one) for one in state.spellings], dtype=int)
    return Symbols(
        lines=tuple(
            np.array([rank[one] for one in symbols[span].tolist()], dtype=int) for span in spans
        ),
        parts=tuple(length[state.tokens[span]] for span in spans),
        spellings=tuple(map(tuple, spellings)),
        bits=bits,
        steps=tuple(steps),
    )  # fmt: skip
