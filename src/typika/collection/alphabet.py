"""Which symbols transcriptions are written in, and what about them may be a mistake.

A symbol is a code point, white space apart: what a model of characters has to tell apart.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LETTERS = frozenset({"LETTER", "LIGATURE", "SYLLABLE", "IDEOGRAPH"})
_MANY = 8  # symbols that a remark lists


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """One code point and how often it is there."""

    character: str
    count: int
    name: str  # Unicode's, or "private use"
    script: str  # "Latin", "Greek" ... of letters; "" for signs, digits and marks
    combining: bool  # goes onto the symbol before it


@dataclass(frozen=True)
class Alphabet:
    """The symbols of some texts, the most frequent first."""

    symbols: tuple[Symbol, ...]
    notes: tuple[str, ...]  # remarks a person should see

    @classmethod
    def of(cls, texts: Iterable[str]) -> Alphabet:
        """Count the symbols of some texts."""
        texts = list(texts)
        counts = Counter(sign for text in texts for sign in text if not sign.isspace())
        order = sorted(counts, key=lambda sign: (-counts[sign], sign))
        symbols = tuple(_symbol(sign, counts[sign]) for sign in order)
        return cls(symbols, tuple(_remarks(symbols, texts)))

    @property
    def characters(self) -> tuple[str, ...]:
        """The symbols themselves, in the order of their code points."""
        return tuple(sorted(symbol.character for symbol in self.symbols))

    @property
    def scripts(self) -> dict[str, int]:
        """How many letters are of each script, most first."""
        found: Counter[str] = Counter()
        for symbol in self.symbols:
            if symbol.script:
                found[symbol.script] += symbol.count
        return dict(found.most_common())

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """How often each symbol that is not in this alphabet is in other texts."""
        known = {symbol.character for symbol in self.symbols}
        return {symbol.character: symbol.count for symbol in Alphabet.of(texts).symbols
                if symbol.character not in known}  # fmt: skip


def form_of(text: str) -> str:
    """The Unicode form of a text: NFC, NFD, "mixed", or "" where the forms do not differ."""
    composed = unicodedata.is_normalized("NFC", text)
    decomposed = unicodedata.is_normalized("NFD", text)
    if composed and decomposed:
        return ""
    return "NFC" if composed else "NFD" if decomposed else "mixed"


def form_remark(texts: Iterable[str]) -> str:
    """Say that texts are of several Unicode forms; "" where they are not."""
    counts = Counter(form_of(text) for text in texts)
    counts.pop("", None)
    if len(counts) < 2 and "mixed" not in counts:
        return ""
    listed = ", ".join(f"{counts[form]} {form}" for form in sorted(counts))
    return f"transcriptions are of several Unicode forms: {listed}"


def _symbol(sign: str, count: int) -> Symbol:
    category = unicodedata.category(sign)
    name = "private use" if category == "Co" else unicodedata.name(sign, f"U+{ord(sign):04X}")
    # Unicode's table of scripts is not in Python; the names of letters begin with their script.
    words = name.replace("-", " ").split()
    is_letter = (
        category.startswith("L") and words[0] != "MODIFIER" and _LETTERS.intersection(words)
    )
    script = words[0].capitalize() if is_letter else ""
    return Symbol(
        character=sign,
        count=count,
        name=name,
        script=script,
        combining=category.startswith("M"),
    )


def _remarks(symbols: Sequence[Symbol], texts: Sequence[str]) -> Iterable[str]:
    by_script: dict[str, list[Symbol]] = defaultdict(list)
    for symbol in symbols:
        if symbol.script:
            by_script[symbol.script].append(symbol)
    if len(by_script) > 1:
        sizes = {script: sum(s.count for s in found) for script, found in by_script.items()}
        order = sorted(sizes, key=lambda script: (-sizes[script], script))
        listed = "; ".join(f"{name} {sizes[name]} ({_list(by_script[name])})" for name in order)
        yield f"letters of several scripts: {listed}"
    if remark := form_remark(texts):
        yield f"{remark}; the same letter is spelt in two ways"
    if combining := [symbol for symbol in symbols if symbol.combining]:
        yield f"combining marks, symbols of their own: {len(combining)} ({_list(combining)})"
    if private := [symbol for symbol in symbols if symbol.name == "private use"]:
        yield f"symbols of private use, which fonts show differently: {_list(private)}"


def _list(symbols: Sequence[Symbol]) -> str:
    shown = [f"U+{ord(symbol.character):04X}" if symbol.combining or symbol.name == "private use"
             else symbol.character for symbol in symbols[:_MANY]]  # fmt: skip
    return " ".join(shown) + (" ..." if len(symbols) > _MANY else "")
