"""What a typewriter may type: the symbols of a collection, and texts as numbers.

A symbol is one character of the normalised text; a word space is a symbol too where the model
shall tell words apart, and has an empty sprite. Runs of white space are one space. Symbols are in
the order in which a line shows them, from left to right; texts are in the order of reading.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from typika.errors import DataError

SPACE = " "
_TO_LEFT = ("R", "AL")  # Unicode's directions of letters
_TO_RIGHT = ("L", "EN", "AN")  # ... and of letters and digits that keep theirs


@dataclass(frozen=True)
class Alphabet:
    """The symbols 0 … K−1 of a typewriter in order of their code points; the blank is K.

    symbols: distinct, each one character; `SPACE` among them where word spaces are typed.
    """

    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.symbols:
            raise DataError("an alphabet without symbols: every transcription is empty")
        if len(set(self.symbols)) != len(self.symbols):
            twice = [symbol for symbol, n in Counter(self.symbols).items() if n > 1]
            raise DataError(f"the alphabet has {twice[0]!r} twice; every symbol is there once")

    @classmethod
    def of(cls, texts: Iterable[str], *, spaces: bool) -> Alphabet:
        """The alphabet of transcriptions. Raises DataError where they are all empty."""
        found = {character for text in texts for character in text if not character.isspace()}
        return cls(tuple(sorted(found | ({SPACE} if spaces else set()))) if found else ())

    @property
    def size(self) -> int:
        """K, the number of symbols; the blank is not counted."""
        return len(self.symbols)

    @property
    def blank(self) -> int:
        """The number that stands for no symbol."""
        return len(self.symbols)

    @property
    def space(self) -> int | None:
        """The number of the word space, where it is typed."""
        return self._numbers.get(SPACE)

    def encode(self, text: str) -> tuple[int, ...]:
        """Numbers of a text's symbols; spaces are left out where the alphabet has none.

        Raises:
            DataError: a character that the alphabet does not have.
        """
        words = as_shown(text).split()
        spelt = SPACE.join(words) if self.space is not None else "".join(words)
        unknown = sorted({character for character in spelt if character not in self._numbers})
        if unknown:
            raise DataError(
                f"{text!r}: {name_characters(unknown)} not in the alphabet; "
                "leave the line out, or replace them by a replacement table"
            )
        return tuple(self._numbers[character] for character in spelt)

    def unknown(self, text: str) -> list[str]:
        """The characters of a text that are no symbols, white space apart."""
        return sorted({c for c in text if not c.isspace() and c not in self._numbers})

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of symbols; blanks are left out, and spaces at the ends."""
        return as_shown("".join(self.symbols[n] for n in numbers if n != self.blank).strip())

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}


def as_shown(text: str) -> str:
    """A text from left to right: itself, or reversed but for its numbers and foreign words.

    Text counts as written from right to left where most of its letters are. The reverse of what
    is shown is the text again.
    """
    return "".join(text[n] for n in order_shown(text))


def order_shown(text: str) -> list[int]:
    """The places of a text's characters in the order in which they stand from left to right."""
    kinds = [unicodedata.bidirectional(character) for character in text]
    order = list(range(len(text)))
    if sum(kind in _TO_LEFT for kind in kinds) <= kinds.count("L"):
        return order
    order.reverse()
    kept = "".join("x" if kind in _TO_RIGHT else "-" for kind in reversed(kinds))
    for run in re.finditer("x+", kept):
        order[slice(*run.span())] = order[slice(*run.span())][::-1]
    return order


def name_characters(characters: Sequence[str]) -> str:
    """Characters for a message: themselves and their code points."""
    return ", ".join(f"{c!r} (U+{ord(c):04X})" for c in characters)


def n_cells_needed(numbers: Sequence[int]) -> int:
    """Cells that a connectionist alignment needs: one a symbol, one between equal neighbours."""
    return len(numbers) + sum(a == b for a, b in pairwise(numbers))
