"""What a text of symbols is like before anybody reads it.

Legend: `S` symbols, `N` symbols of the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import xlogy

MOST_PAIRS = 12  # pairs of symbols that are told


@dataclass(frozen=True)
class SymbolCount:
    """One symbol. share: of all; first, last: how often at a line's beginning and end.

    doubled: how often the same one follows. before, after: the symbol that most often precedes and
    follows it, −1 where there is none.
    """

    symbol: int
    count: int
    share: float
    first: int
    last: int
    doubled: int
    before: int
    after: int


@dataclass(frozen=True)
class PairCount:
    """Two symbols that follow each other, and how often they would by chance."""

    one: int
    other: int
    count: int
    expected: float


@dataclass(frozen=True)
class Statistics:
    """Figures of a text.

    coincidence: chance that two of its symbols, drawn without putting back, are the same; that of
    a simple substitution is its language's (English 0.066), of homophones nearly 1/S. normalised:
    the same times S. entropies: bits a symbol given none, one and two symbols before it
    (conditional entropies of order 0, 1, 2, of counts: short texts make the later ones too small).
    """

    n: int
    n_symbols: int
    coincidence: float
    normalised: float
    entropies: tuple[float, float, float]
    doubled: int
    symbols: tuple[SymbolCount, ...]
    pairs: tuple[PairCount, ...]


def statistics(lines: Sequence[Int[ndarray, " _"]], n_symbols: int) -> Statistics:
    """The figures of lines of symbols 0..S−1; pairs are counted within lines."""
    count = np.bincount(
        np.concatenate([*lines, np.zeros(0, dtype=int)]).astype(int), minlength=n_symbols
    )
    total = int(count.sum())
    pairs = Counter(pair for line in lines for pair in pairwise(line.tolist()))
    same = float((count * (count - 1)).sum() / (total * (total - 1))) if total > 1 else 0.0
    return Statistics(
        n=total,
        n_symbols=n_symbols,
        coincidence=same,
        normalised=same * n_symbols,
        entropies=entropies(lines),
        doubled=sum(often for (one, other), often in pairs.items() if one == other),
        symbols=tuple(_symbols(lines, count, pairs)),
        pairs=tuple(_pairs(pairs)),
    )


def entropies(lines: Sequence[Int[ndarray, " _"]]) -> tuple[float, float, float]:
    """H(X), H(X | one before), H(X | two before), bits; of the n-grams within lines."""
    found = []
    for order in range(3):
        grams: Counter[tuple[int, ...]] = Counter()
        for line in lines:
            own = line.tolist()
            grams.update(tuple(own[i : i + order + 1]) for i in range(len(own) - order))
        context: Counter[tuple[int, ...]] = Counter()
        for gram, often in grams.items():
            context[gram[:-1]] += often
        whole, given = _log_sum(grams), _log_sum(context)
        total = max(grams.total(), 1)
        found.append(max((given - whole) / total, 0.0))
    return found[0], found[1], found[2]


def _log_sum(counts: Counter[tuple[int, ...]]) -> float:
    values: Float[ndarray, " _"] = np.array(list(counts.values()), dtype=float)
    return float(xlogy(values, values).sum() / np.log(2))


def _symbols(
    lines: Sequence[Int[ndarray, " _"]],
    count: Int[ndarray, " S"],
    pairs: Counter[tuple[int, int]],
) -> list[SymbolCount]:
    first = Counter(int(line[0]) for line in lines if len(line))
    last = Counter(int(line[-1]) for line in lines if len(line))
    before: dict[int, tuple[int, int]] = {}
    after: dict[int, tuple[int, int]] = {}
    for (one, other), often in sorted(pairs.items()):
        before[other] = max(before.get(other, (0, -1)), (often, one), key=lambda each: each[0])
        after[one] = max(after.get(one, (0, -1)), (often, other), key=lambda each: each[0])
    total = max(int(count.sum()), 1)
    return [
        SymbolCount(
            symbol=symbol, count=int(often), share=float(often / total), first=first[symbol],
            last=last[symbol], doubled=pairs[symbol, symbol],
            before=before.get(symbol, (0, -1))[1], after=after.get(symbol, (0, -1))[1],
        )
        for symbol, often in enumerate(count)
    ]  # fmt: skip


def _pairs(pairs: Counter[tuple[int, int]]) -> list[PairCount]:
    left: Counter[int] = Counter()
    right: Counter[int] = Counter()
    for (one, other), often in pairs.items():
        left[one] += often
        right[other] += often
    ranked = sorted(pairs.items(), key=lambda each: (-each[1], each[0]))[:MOST_PAIRS]
    total = pairs.total()
    return [
        PairCount(one, other, often, left[one] * right[other] / total)
        for (one, other), often in ranked
    ]
