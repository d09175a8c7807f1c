from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from typika.errors import DataError
from typika.text_evaluation import (
    align,
    align_texts,
    confusions,
    edit_distance,
    error_rate,
)

texts = st.text("abc", max_size=9)
tiny = st.text("ab", max_size=5)


def recursive(one: str, other: str) -> int:
    """Its definition."""
    if not one or not other:
        return len(one) + len(other)
    return min(
        recursive(one[1:], other) + 1,
        recursive(one, other[1:]) + 1,
        recursive(one[1:], other[1:]) + (one[0] != other[0]),
    )


@given(tiny, tiny)
def test_distance_is_what_its_definition_says(one: str, other: str) -> None:
    assert edit_distance(one, other) == recursive(one, other)


@given(texts, texts, texts)
def test_distance_is_a_metric(one: str, two: str, three: str) -> None:
    assert edit_distance(one, two) == edit_distance(two, one)
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)


@given(texts, texts)
def test_alignments_cost_the_distance_and_spell_both_texts(one: str, other: str) -> None:
    pairs = align_texts(one, other)
    assert sum(a != b for a, b in pairs) == edit_distance(one, other)
    assert "".join(a for a, _ in pairs if a is not None) == one
    assert "".join(b for _, b in pairs if b is not None) == other


def test_distance_of_long_lines_is_exact() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = ("".join(rng.choice(list("abcd"), rng.integers(60, 150))) for _ in range(2))
        cost = np.array([[a != b for b in other] for a in one], dtype=float)
        assert edit_distance(one, other) == align(cost).cost


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 1000))
def test_alignment_with_weights_is_the_cheapest(n: int, m: int, seed: int) -> None:
    cost = np.random.default_rng(seed).random((n, m)) * 3

    def cheapest(i: int, j: int) -> float:
        if i == n or j == m:
            return 1.3 * (n - i + m - j)
        return min(
            cheapest(i + 1, j) + 1.3, cheapest(i, j + 1) + 1.3, cheapest(i + 1, j + 1) + cost[i, j]
        )

    found = align(cost, gap=1.3)
    assert found.cost == pytest.approx(cheapest(0, 0))
    paid = sum(1.3 if i is None or j is None else cost[i, j] for i, j in found.pairs)
    assert found.cost == pytest.approx(paid)


def test_rates_are_over_characters_or_over_lines() -> None:
    rate = error_rate(["abcd", "ab"], ["abxd", "b"])
    assert (rate.errors, rate.characters) == (2, 6)
    assert rate.micro == pytest.approx(2 / 6)
    assert rate.macro == pytest.approx((1 / 4 + 1 / 2) / 2)


def test_spaces_count_only_if_asked_to() -> None:
    assert error_rate(["a b"], ["ab"]).micro == 0
    assert error_rate(["a b"], ["ab"], spaces=True).micro == pytest.approx(1 / 3)


def test_lines_that_say_nothing() -> None:
    assert error_rate([], []).micro == 0
    assert error_rate([""], [""]).macro == 0
    assert error_rate([" "], ["ab"]).macro == 1


def test_lines_that_are_missing_are_told() -> None:
    with pytest.raises(DataError, match="1 readings for 2 references"):
        error_rate(["a", "b"], ["a"])


@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_confusions_add_up(pairs: list[tuple[str, str]]) -> None:
    references, readings = [a for a, _ in pairs], [b for _, b in pairs]
    found = confusions(references, readings)
    wrong = sum(one.count for one in found if one.reference != one.read)
    assert wrong == error_rate(references, readings).errors
    read = sum(one.count for one in found if one.reference is not None)
    assert read == sum(map(len, references))


def test_confusions_name_what_was_read_for_what() -> None:
    found = {(one.reference, one.read): one.count for one in confusions(["abba"], ["acca"])}
    assert found == {("a", "a"): 2, ("b", "c"): 2}
    assert {(one.reference, one.read) for one in confusions(["ab"], ["abc"])} == {
        ("a", "a"), ("b", "b"), (None, "c"),
    }  # fmt: skip
