"""Texts as symbols and back, in the order of reading and as they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from typika.errors import DataError
from typika.typewriter.alphabet import Alphabet, as_shown, order_shown

HEBREW = "שלום"


@given(st.lists(st.text("abc.", min_size=1, max_size=5), min_size=1, max_size=5))
def test_a_text_comes_back_with_its_spaces(words: list[str]) -> None:
    text = " ".join(words)
    alphabet = Alphabet.of([text], spaces=True)
    assert alphabet.decode(alphabet.encode(text)) == text


def test_without_spaces_words_run_together() -> None:
    alphabet = Alphabet.of(["ab c"], spaces=False)
    assert alphabet.symbols == ("a", "b", "c")
    assert alphabet.decode(alphabet.encode("ab  c")) == "abc"
    assert alphabet.space is None


def test_an_unknown_character_is_named_with_its_code_point() -> None:
    alphabet = Alphabet.of(["abc"], spaces=True)
    with pytest.raises(DataError, match=r"'ſ' \(U\+017F\)"):
        alphabet.encode("aſ")
    assert alphabet.unknown("a ſ") == ["ſ"]


def test_text_from_right_to_left_is_shown_reversed_and_read_back() -> None:
    text = f"{HEBREW} 12 {HEBREW}"
    assert as_shown(text) == f"{HEBREW[::-1]} 12 {HEBREW[::-1]}"
    alphabet = Alphabet.of([text], spaces=True)
    assert alphabet.symbols[alphabet.encode(text)[0]] == HEBREW[-1]
    assert alphabet.decode(alphabet.encode(text)) == text


@given(st.text("abאב1 .", max_size=12))
def test_the_order_of_showing_undoes_itself(text: str) -> None:
    assert sorted(order_shown(text)) == list(range(len(text)))
    assert as_shown(as_shown(text)) == text


@pytest.mark.parametrize("symbols", [(), ("a", "a")])
def test_alphabets_that_cannot_be(symbols: tuple[str, ...]) -> None:
    with pytest.raises(DataError):
        Alphabet(symbols)
