from __future__ import annotations

from math import comb, factorial, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_ciphers import LEARNED, hidden

from typika.ciphers.language import letters_of
from typika.ciphers.merging import END, MergingConfig, Spelling, description, merge
from typika.errors import ConfigError

LETTERS = hidden() + letters_of(LEARNED)


def lines_of(symbols: list[int], n: int = 30) -> list[list[int]]:
    return [symbols[start : start + n] for start in range(0, len(symbols), n)]


def plain(text: str = LETTERS) -> list[int]:
    return [ord(one) - ord("a") for one in text]


def written(line: list[int], parts: dict[int, list[int]]) -> list[int]:
    return [part for one in line for part in parts.get(one, [one])]


def same(one: Spelling, other: Spelling) -> float:
    """Signs look like those a hundred further on."""
    return float(tuple(sign % 100 for sign in one) == tuple(sign % 100 for sign in other))


def test_symbols_split_in_two_are_put_together() -> None:
    # e and o are written in two signs each, which stand nowhere else.
    parts = {4: [4, 104], 14: [14, 114]}
    found = merge([written(line, parts) for line in lines_of(plain())])
    assert {(4, 104), (14, 114)} <= {own[0] for own in found.spellings}
    assert len(found) == len(set(plain()))
    assert found.bits > found.steps[-1].bits


def test_a_symbol_that_falls_apart_now_and_then_is_one_with_its_parts() -> None:
    # A third of all e look like r and n, which are letters too; drawn together they are an e.
    rng = np.random.default_rng(0)
    e, r, n = 4, 17, 13
    lines = [
        [part for one in line for part in ([r, n] if one == e and rng.random() < 1 / 3 else [one])]
        for line in lines_of(plain())
    ]

    def alike(one: Spelling, other: Spelling) -> float:
        return float({one, other} == {(r, n), (e,)})

    found = merge(lines, alike)
    assert [step.kind for step in found.steps] == ["split"]
    assert ((e,), (r, n)) in found.spellings


def test_two_signs_of_one_letter_are_joined_only_if_they_look_alike() -> None:
    rng = np.random.default_rng(1)
    signs = [one + 100 * int(rng.integers(2)) if one in (4, 19) else one for one in plain()]
    assert merge(lines_of(signs)).steps == ()
    found = merge(lines_of(signs), same)
    assert len(found) == len(set(plain()))
    assert {frozenset(own) for own in found.spellings if len(own) > 1} == {
        frozenset({(4,), (104,)}), frozenset({(19,), (119,)})
    }  # fmt: skip


def test_letters_of_a_language_stay_apart() -> None:
    # th, he and qu are frequent pairs; signs that look alike but follow others are others.
    some = lines_of(plain())[:40]
    found = merge(some, lambda one, other: 1.0 if len(one) == len(other) == 1 else 0.0)
    assert all(step.kind == "joined" for step in found.steps)
    assert not any({(4,), (19,)} <= set(own) for own in found.spellings)
    assert merge(lines_of(plain())).steps == ()


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.integers(2, 12))
def test_independent_signs_are_not_merged(seed: int, n_signs: int) -> None:
    signs = np.random.default_rng(seed).integers(n_signs, size=400).tolist()
    assert not any(step.kind == "merged" for step in merge(lines_of(signs)).steps)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 100, 101]), max_size=12), max_size=12))
def test_the_description_never_grows_and_no_sign_is_lost(lines: list[list[int]]) -> None:
    found = merge(lines, same, MergingConfig(fewest=2, together=0.0))
    bits = [found.bits, *(step.bits for step in found.steps)]
    assert bits == sorted(bits, reverse=True)
    assert [int(parts.sum()) for parts in found.parts] == [len(line) for line in lines]
    signs = {sign for own in found.spellings for one in own for sign in one}
    assert signs == {sign for line in lines for sign in line}


def test_the_description_is_the_sum_written_down() -> None:
    # Lines ab and aab, of which the b are spelt in two ways, 7 and 8.
    symbols = np.array([END, 0, 1, END, 0, 0, 1, END])
    spelt = np.array([END, 5, 7, END, 5, 5, 8, END])
    follow = {"end": (2, [2]), "a": (3, [1, 2]), "b": (2, [2])}  # a: once a, twice b
    bits = 0.0
    for size, counts in follow.values():
        bits += log2(comb(size + 2, 2)) + log2(factorial(size))
        bits -= sum(log2(factorial(one)) for one in counts)
    bits += log2(comb(2 + 1, 1)) + log2(factorial(2))
    assert description(symbols, spelt) == pytest.approx(bits)


def test_settings_that_cannot_be_are_named() -> None:
    with pytest.raises(ConfigError, match="fewest=1"):
        MergingConfig(fewest=1)
