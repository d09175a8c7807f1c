"""What a language is like, letter by letter: what the solver asks of it, and an n-gram model.

```
model = NGramModel.learn(Path("english.txt").read_text(), order=4)
model.log_probabilities(model.encode("thequick")[None]).sum()
```

Any object that has `alphabet` and `log_probabilities` may stand in the model's place.

Legend: `A` letters of the alphabet, `r` sequences, `n` letters of each.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.errors import ConfigError, DataError

LARGEST_TABLE = 1 << 24  # chances in a table: 64 MB
RAREST = 2e-5  # share of a text below which a letter is foreign to the language


@runtime_checkable
class LanguageModel(Protocol):
    """What the solver asks of a language."""

    @property
    def alphabet(self) -> str:
        """Its letters, a space among them where words are told apart."""
        ...

    def log_probabilities(self, sequences: Int[ndarray, "r n"]) -> Float[ndarray, "r n"]:
        """Ln P of each letter given those before it in its row; letters as places in `alphabet`.

        Of a row the sum is the log-probability of the sequence.
        """
        ...


@dataclass(frozen=True, eq=False)
class NGramModel:
    """Interpolated n-grams of letters, with Witten and Bell's weights (Bell, Cleary, Witten 1990).

        P_k(w | h) = (c(h w) + T(h) P_{k−1}(w | h')) / (c(h) + T(h))

    h: the k−1 letters before; h': without the first of them; c: how often; T(h): how many
    different letters followed h. P_0 = 1/A. Where h was never seen, P_k = P_{k−1}.
    chances: of each order k from 1 on, ln P_k as an array of k axes, the context first.
    """

    alphabet: str
    chances: tuple[Float[ndarray, "*_"], ...]

    @property
    def order(self) -> int:
        """How many letters are looked at together."""
        return len(self.chances)

    @classmethod
    def learn(
        cls,
        text: str,
        *,
        order: int = 4,
        spaces: bool = False,
        case: bool = False,
        diacritics: bool = False,
    ) -> NGramModel:
        """The model of a text, of which only letters (and spaces) count.

        spaces: whether words are told apart; case, diacritics: whether they make other letters.

        Raises:
            ConfigError: the order is below 1, or so high that its table would not fit.
            DataError: the text has fewer than two different letters.
        """
        letters = letters_of(text, spaces=spaces, case=case, diacritics=diacritics)
        counts = Counter(letters)
        fewest = max(2.0, RAREST * len(letters))
        alphabet = "".join(sorted(one for one, count in counts.items() if count >= fewest))
        if len(alphabet.strip()) < 2:
            raise DataError(
                f"{len(letters)} letters, {len(alphabet)} of them different and not rare: too few "
                "to learn a language from; give a longer text"
            )
        if order < 1 or len(alphabet) ** order > LARGEST_TABLE:
            raise ConfigError(
                f"order={order}: need 1 or more, and with {len(alphabet)} letters not more than "
                f"{int(np.log(LARGEST_TABLE) / np.log(len(alphabet)))}"
            )
        known = set(alphabet)
        numbers = encoded(alphabet, "".join(one for one in letters if one in known))
        return cls(alphabet, _tables(numbers, len(alphabet), order))

    def encode(self, text: str) -> Int[ndarray, " n"]:
        """A text as places in the alphabet. Raises DataError for a letter that is not there."""
        return encoded(self.alphabet, text)

    def log_probabilities(self, sequences: Int[ndarray, "r n"]) -> Float[ndarray, "r n"]:
        """Ln P of each letter given the order−1 before it, or those that there are."""
        found = np.zeros(sequences.shape)
        length = sequences.shape[1]
        for place in range(min(self.order - 1, length)):
            found[:, place] = self.chances[place][tuple(sequences[:, : place + 1].T)]
        if length >= self.order:
            last = length - self.order + 1
            columns = [sequences[:, start : start + last] for start in range(self.order)]
            found[:, self.order - 1 :] = self.chances[-1][tuple(columns)]
        return found

    @cached_property
    def frequencies(self) -> Float[ndarray, " A"]:
        """Share of each letter."""
        return np.exp(self.chances[0])


def letters_of(
    text: str, *, spaces: bool = False, case: bool = False, diacritics: bool = False
) -> str:
    """The letters of a text, and single spaces between words where they are wanted.

    case, diacritics: whether A and a, e and é stay different.
    """
    if not case:
        text = text.casefold()
    if not diacritics:
        apart = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in apart if not unicodedata.combining(one))
    words = "".join(one if one.isalpha() else " " for one in unicodedata.normalize("NFC", text))
    return (" " if spaces else "").join(words.split())


def encoded(alphabet: Sequence[str], text: Sequence[str]) -> Int[ndarray, " n"]:
    """Symbols as places in an alphabet. Raises DataError for one that is not there."""
    places = {symbol: place for place, symbol in enumerate(alphabet)}
    missing = sorted(set(text) - set(places))
    if missing:
        raise DataError(f"letter {missing[0]!r}: not among {''.join(alphabet)!r}")
    return np.array([places[one] for one in text], dtype=np.int64)


def score_table(model: LanguageModel, order: int) -> Float[ndarray, "*_"]:
    """Ln P of a letter given the order−1 before it: an array of `order` axes, the context first.

    The model is asked for all sequences of `order` letters, so any model will do. Raises
    ConfigError where the table would not fit.
    """
    size = len(model.alphabet)
    if order < 1 or size**order > LARGEST_TABLE:
        raise ConfigError(
            f"order={order}: need 1 or more, and a table of {size} letters to that power is at "
            f"most {LARGEST_TABLE}"
        )
    block = size ** max(order - 1, 0)
    shape = (size,) * order
    table = np.empty((size, block), dtype=np.float32)
    for first in range(size):  # of the first letter at a time, so that memory stays small
        flat = np.arange(first * block, (first + 1) * block)
        sequences = np.stack(np.unravel_index(flat, shape), axis=1)
        table[first] = model.log_probabilities(sequences)[:, -1]
    return table.reshape(shape)


def _tables(numbers: Int[ndarray, " n"], size: int, order: int) -> tuple[ndarray, ...]:
    """Ln P_k of each order from 1 on."""
    lower = np.full((size,), 1 / size)
    tables = []
    for k in range(1, order + 1):
        counts = _counts(numbers, size, k)
        total = counts.sum(axis=-1, keepdims=True)
        kinds = (counts > 0).sum(axis=-1, keepdims=True)
        below = lower if k == 1 else np.broadcast_to(lower[None], counts.shape)
        chance = (counts + kinds * below) / np.maximum(total + kinds, 1)
        lower = np.where(total > 0, chance, below)
        tables.append(np.log(lower).astype(np.float32))
    return tuple(tables)


def _counts(numbers: Int[ndarray, " n"], size: int, k: int) -> Float[ndarray, "*_"]:
    """How often each sequence of k letters occurs, as an array of k axes."""
    last = max(len(numbers) - k + 1, 0)
    flat = np.zeros(last, dtype=np.int64)
    for start in range(k):
        flat = flat * size + numbers[start : start + last]
    return np.bincount(flat, minlength=size**k).astype(np.float64).reshape((size,) * k)
