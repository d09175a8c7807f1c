"""How well a text was read: edit distances, alignments, error rates, confusions. Pure functions.

A character is a code point; normalise texts beforehand if composed and decomposed accents should
count alike. Legend: `n` characters or symbols that were read against, `m` that were read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from typika.errors import DataError

Pair = tuple[int | None, int | None]  # places in either sequence; None where one has nothing


@dataclass(frozen=True)
class Alignment:
    """The cheapest way from one sequence to another.

    pairs: in order, each a substitution (i, j), a deletion (i, None) or an insertion (None, j).
    """

    cost: float
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class ErrorRate:
    """Character error rate of several lines.

    errors: edit distances, summed; characters: of the references. micro: errors over characters;
    macro: mean over lines of each line's own rate, where a line without characters counts 0 if
    nothing was read and 1 otherwise. Both are fractions, and exceed 1 where too much was read.
    """

    errors: int
    characters: int
    micro: float
    macro: float


@dataclass(frozen=True)
class Confusion:
    """How often `reference` was read as `read`; None: left out, or read where nothing stands."""

    reference: str | None
    read: str | None
    count: int


def edit_distance(one: Sequence, other: Sequence) -> int:
    """Levenshtein distance: fewest insertions, deletions and substitutions, each of cost 1.

    Bit-parallel (Myers 1999; Hyyrö 2003): a column of the table of distances is two whole numbers,
    whose bits say where it rises and where it falls.
    """
    if not one:
        return len(other)
    places: dict[object, int] = {}
    for place, symbol in enumerate(one):
        places[symbol] = places.get(symbol, 0) | 1 << place
    everywhere, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    rises, falls, distance = everywhere, 0, len(one)
    for symbol in other:
        same = places.get(symbol, 0)
        diagonal = (((same & rises) + rises) ^ rises) | same | falls
        up, down = falls | ~(diagonal | rises), rises & diagonal
        distance += bool(up & last) - bool(down & last)
        up, down = up << 1 | 1, down << 1
        rises = (down | ~(diagonal | up)) & everywhere
        falls = up & diagonal & everywhere
    return distance


def align(substitution: Float[ndarray, "n m"], gap: float = 1.0) -> Alignment:
    """Cheapest alignment of two sequences, given what each substitution costs.

    substitution: (n, m) cost of setting symbol j for symbol i, 0 where they agree; gap: cost of an
    insertion or a deletion. Of equal alignments, the one that substitutes as late as possible.
    """
    n, m = substitution.shape
    table = np.empty((n + 1, m + 1))
    steps = gap * np.arange(m + 1)
    table[0] = steps
    for row, costs in enumerate(substitution, start=1):
        table[row, 0] = row * gap
        table[row, 1:] = np.minimum(table[row - 1, 1:] + gap, table[row - 1, :-1] + costs)
        # Insertions chain along the row: min over j' <= j of table[j'] + gap (j - j').
        table[row] = np.minimum.accumulate(table[row] - steps) + steps
    return Alignment(float(table[n, m]), _traced(table, substitution, gap))


def _traced(
    table: Float[ndarray, "n1 m1"], substitution: Float[ndarray, "n m"], gap: float
) -> tuple[Pair, ...]:
    """The way back through a table of costs."""
    i, j = substitution.shape
    pairs: list[Pair] = []
    while i or j:
        here = table[i, j]
        if i and j and here >= table[i - 1, j - 1] + substitution[i - 1, j - 1] - 1e-9:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and here >= table[i - 1, j] + gap - 1e-9:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return tuple(reversed(pairs))


def align_texts(reference: str, read: str) -> list[tuple[str | None, str | None]]:
    """Character by character, what was read for what; None where one of them has nothing."""
    one, other = np.array(list(reference), dtype=object), np.array(list(read), dtype=object)
    pairs = align((one[:, None] != other[None, :]).astype(float)).pairs
    return [
        (None if i is None else reference[i], None if j is None else read[j]) for i, j in pairs
    ]


def error_rate(
    references: Sequence[str], readings: Sequence[str], *, spaces: bool = False
) -> ErrorRate:
    """Character error rate of lines against what they say.

    spaces: whether white space counts; if not, it is taken out of both, as in the paper. Raises
    DataError if there are not as many readings as references.
    """
    pairs = _comparable(references, readings, spaces)
    errors = [edit_distance(one, other) for one, other in pairs]
    lengths = [len(one) for one, _ in pairs]
    rates = [
        error / length if length else float(error > 0)
        for error, length in zip(errors, lengths, strict=True)
    ]
    characters = sum(lengths)
    micro = sum(errors) / characters if characters else float(sum(errors) > 0)
    return ErrorRate(sum(errors), characters, micro, float(np.mean(rates)) if rates else 0.0)


def confusions(
    references: Sequence[str], readings: Sequence[str], *, spaces: bool = False
) -> list[Confusion]:
    """What was read for what, the right readings too, the most frequent first.

    The counts of pairs that differ add up to the edit distances.
    """
    counts = Counter(
        pair
        for reference, read in _comparable(references, readings, spaces)
        for pair in align_texts(reference, read)
    )
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0][0] or "", one[0][1] or ""))
    return [Confusion(reference, read, count) for (reference, read), count in ranked]


def _comparable(
    references: Sequence[str], readings: Sequence[str], spaces: bool
) -> list[tuple[str, str]]:
    if len(references) != len(readings):
        raise DataError(
            f"{len(readings)} readings for {len(references)} references; give one for each line"
        )
    if spaces:
        return list(zip(references, readings, strict=True))
    return [
        ("".join(one.split()), "".join(other.split()))
        for one, other in zip(references, readings, strict=True)
    ]
