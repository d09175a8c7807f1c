from __future__ import annotations

import numpy as np
import pytest
from planted_ciphers import LEARNED, language

from typika.ciphers.language import LanguageModel, NGramModel, letters_of, score_table
from typika.errors import ConfigError, DataError


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_chances_of_the_next_letter_sum_to_one_after_any_context(order: int) -> None:
    for table in language(order).chances:
        np.testing.assert_allclose(np.exp(table.astype(float)).sum(axis=-1), 1, atol=1e-5)


def test_bigrams_of_a_short_text_are_those_of_the_formula() -> None:
    model = NGramModel.learn("abab aab", order=2)
    # Letters abab aab: a 4, b 3; after a: a 1, b 3; after b: a 2. One a follows across the words.
    unigram_a, unigram_b = (4 + 2 / 2) / (7 + 2), (3 + 2 / 2) / (7 + 2)
    sequences = model.encode("ab")[None]
    found = np.exp(model.log_probabilities(sequences)[0])
    after_a = (3 + 2 * unigram_b) / (4 + 2)
    np.testing.assert_allclose(found, [unigram_a, after_a], rtol=1e-5)


def test_a_context_that_was_never_seen_is_as_good_as_none() -> None:
    model = NGramModel.learn("abcabdabc" * 3, order=3)
    unseen = model.log_probabilities(model.encode("dca")[None])[0, -1]
    shorter = model.log_probabilities(model.encode("ca")[None])[0, -1]
    assert unseen == pytest.approx(shorter, rel=1e-5)


def test_a_text_of_the_language_is_likelier_than_its_letters_in_another_order() -> None:
    model = language(3)
    text = model.encode(letters_of(LEARNED)[:400])
    mixed = np.random.default_rng(0).permutation(text)
    likely, unlikely = model.log_probabilities(np.stack([text, mixed])).sum(axis=1)
    assert likely > unlikely + 200


def test_the_table_says_what_the_model_says() -> None:
    model = language(3)
    table = score_table(model, 3)
    sequence = model.encode("the")
    assert table[tuple(sequence)] == pytest.approx(model.log_probabilities(sequence[None])[0, -1])


def test_any_object_with_the_protocol_is_a_language() -> None:
    class Even:
        alphabet = "ab"

        def log_probabilities(self, sequences: np.ndarray) -> np.ndarray:
            return np.full(sequences.shape, -np.log(2))

    assert isinstance(Even(), LanguageModel)
    np.testing.assert_allclose(score_table(Even(), 2), -np.log(2))


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ({}, "etesetete"),
        ({"spaces": True}, "etes et ete"),
        ({"diacritics": True}, "étésetété"),
        ({"case": True}, "EtesetEte"),
    ],
)
def test_letters_are_folded_as_asked(kept: dict[str, bool], expected: str) -> None:
    assert letters_of("Étés, et: Été!", **kept) == expected


def test_bad_texts_and_orders_are_named() -> None:
    with pytest.raises(DataError, match="longer"):
        NGramModel.learn("12 34")
    with pytest.raises(ConfigError, match="order=9"):
        NGramModel.learn(LEARNED, order=9)
    with pytest.raises(DataError, match="'é'"):
        language(2).encode("é")
