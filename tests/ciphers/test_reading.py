from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from planted_ciphers import HIDDEN, hidden, language, simple

from typika.ciphers.language import NGramModel, letters_of
from typika.ciphers.reading import (
    ReadingConfig,
    Writing,
    expected,
    learned,
    read_in_context,
    solve_by_expectation,
)
from typika.ciphers.solving import NULL, Key
from typika.errors import ConfigError, DataError


def test_sums_over_all_readings_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    n_letters, text = 2, np.array([0, 2, 1])
    table = rng.dirichlet(np.ones(n_letters), size=(n_letters, n_letters))
    writing = Writing(
        rng.dirichlet(np.ones(3), size=(1, n_letters)), rng.dirichlet(np.ones(3), size=1),
        np.array([0.2]),
    )  # fmt: skip
    total, chances = 0.0, np.zeros((len(text), n_letters + 1))
    for pair in product(range(n_letters), repeat=2):
        for way in product(range(n_letters + 1), repeat=len(text)):
            before, here, chance = *pair, 1 / n_letters**2
            for symbol, letter in zip(text, way, strict=True):
                if letter == n_letters:
                    chance *= 0.2 * writing.null[0, symbol]
                    continue
                chance *= 0.8 * table[before, here, letter] * writing.chances[0, letter, symbol]
                before, here = here, letter
            total += chance
            chances[np.arange(len(text)), way] += chance
    found = expected(text, writing, table)
    assert found.log_likelihood[0] == pytest.approx(np.log(total))
    np.testing.assert_allclose(found.chances[:, 0], chances / total, atol=1e-12)


def test_no_round_of_expectation_maximisation_is_less_likely() -> None:
    model = language(3)
    rng = np.random.default_rng(0)
    text = rng.integers(12, size=80)
    shape = (2, len(model.alphabet), 12)
    writing = Writing(
        rng.dirichlet(np.ones(12), size=shape[:2]), np.full((2, 12), 1 / 12), np.full(2, 0.05)
    )
    table = rng.dirichlet(np.ones(shape[1]), size=(shape[1], shape[1]))
    before = -np.inf
    for _ in range(5):
        counts = expected(text, writing, table)
        assert (counts.log_likelihood >= before - 1e-9).all()
        before = counts.log_likelihood
        writing = learned(counts, writing, ReadingConfig(trust=0.0, nulls=0.0))


def test_misread_symbols_are_read_by_their_neighbours() -> None:
    model = NGramModel.learn(HIDDEN, order=3)  # a language that is known well
    known = "".join(one for one in letters_of(HIDDEN) if one in model.alphabet)
    plain = model.encode(known[:600])
    cipher, key = simple(plain, len(model.alphabet), seed=0)
    rng = np.random.default_rng(1)
    wrong = np.sort(rng.choice(len(cipher), len(cipher) // 20, replace=False))
    misread = cipher.copy()
    misread[wrong] = rng.integers(len(key), size=len(wrong))
    by_key = (key[misread] == plain).mean()
    found = read_in_context(misread, Key(key, 0.0), model, ReadingConfig(misread=0.05))
    assert (found.letters == plain).mean() > by_key + 0.005
    right = found.letters == plain
    assert found.confidence[right].mean() > found.confidence[~right].mean() + 0.1


def test_what_stands_for_nothing_is_read_as_nothing() -> None:
    model = language(3)
    plain = model.encode(hidden()[:200])
    cipher, key = simple(plain, len(model.alphabet), seed=0)
    places = np.arange(10, 200, 40)
    found = read_in_context(
        np.insert(cipher, places, len(key)), Key(np.append(key, NULL), 0.0), model,
        ReadingConfig(),
    )  # fmt: skip
    assert (np.insert(plain, places, NULL) == found.letters).mean() > 0.97


def test_expectation_alone_finds_the_key_of_a_plain_language() -> None:
    follows = np.array([[0.6, 0.4, 0, 0], [0, 0.1, 0.9, 0], [0.3, 0, 0, 0.7], [0.9, 0.1, 0, 0]])
    rng = np.random.default_rng(0)
    letters = [0]
    for _ in range(1200):
        letters.append(int(rng.choice(4, p=follows[letters[-1]])))
    model = NGramModel.learn("".join("abcd"[one] for one in letters[:1000]), order=3)
    plain = np.array(letters[1000:])
    cipher, _ = simple(plain, 4, seed=1)
    keys = solve_by_expectation(cipher, model, n_symbols=4, n_restarts=4, n_rounds=30)
    assert (keys[0][cipher] == plain).mean() > 0.9


def test_bad_settings_and_short_keys_are_named() -> None:
    with pytest.raises(ConfigError, match="misread=0"):
        ReadingConfig(misread=0.0)
    with pytest.raises(DataError, match="2 symbols"):
        read_in_context(np.array([0, 5]), Key(np.array([0, 1]), 0.0), language(2), ReadingConfig())
