from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_ciphers import hidden, homophonic, language, simple

from typika.ciphers.language import NGramModel, score_table
from typika.ciphers.solving import NULL, SolvingConfig, score, solve
from typika.errors import ConfigError, DataError

QUICK = SolvingConfig(order=3, n_restarts=6, n_sweeps=10)
SEVERAL = replace(QUICK, homophones=True, n_restarts=8, n_sweeps=25)


@pytest.fixture(scope="module")
def model() -> NGramModel:
    return language(3)


def right(solution_letters: np.ndarray, cipher: np.ndarray, plain: np.ndarray) -> float:
    return float((solution_letters[cipher] == plain).mean())


def test_a_planted_simple_key_is_recovered(model: NGramModel) -> None:
    plain = model.encode(hidden())
    cipher, key = simple(plain, len(model.alphabet), seed=1)
    found = solve(cipher, model, QUICK, seed=0)
    assert right(found.best.letters, cipher, plain) > 0.99
    # The search has not failed: nothing true scores better than what was found.
    assert found.best.score >= score(cipher, key, score_table(model, 3)) - 1e-6


def test_a_planted_homophonic_key_is_recovered(model: NGramModel) -> None:
    plain = model.encode(hidden())
    cipher, key = homophonic(plain, 36, seed=2)
    found = solve(cipher, model, SEVERAL, seed=0)
    assert right(found.best.letters, cipher, plain) > 0.97
    assert found.best.score >= score(cipher, key, score_table(model, 3)) - 1e-6


def test_names_of_symbols_change_nothing(model: NGramModel) -> None:
    plain = model.encode(hidden()[:500])
    cipher, _ = homophonic(plain, 30, seed=3)
    names = np.random.default_rng(0).permutation(30)
    config = replace(SEVERAL, n_restarts=2, n_sweeps=4)
    one, other = solve(cipher, model, config, seed=0), solve(names[cipher], model, config, seed=0)
    assert one.best.score == other.best.score
    np.testing.assert_array_equal(one.best.letters[cipher], other.best.letters[names[cipher]])
    np.testing.assert_array_equal(one.confidence[cipher], other.confidence[names[cipher]])


def test_symbols_that_stand_for_nothing_are_found(model: NGramModel) -> None:
    plain = model.encode(hidden())
    cipher, _ = simple(plain, len(model.alphabet), seed=4)
    rng = np.random.default_rng(0)
    null = len(model.alphabet)
    places = np.sort(rng.choice(len(cipher), len(cipher) // 25, replace=False))
    with_nulls = np.insert(cipher, places, null)
    found = solve(with_nulls, model, replace(SEVERAL, nulls=True), seed=0)
    assert found.best.letters[null] == NULL
    read = found.best.letters[with_nulls]
    assert (read[read != NULL] == plain).mean() > 0.97


def test_a_few_misread_symbols_do_no_harm(model: NGramModel) -> None:
    plain = model.encode(hidden())
    cipher, key = simple(plain, len(model.alphabet), seed=5)
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(cipher), len(cipher) // 20, replace=False)
    misread = cipher.copy()
    misread[wrong] = rng.integers(len(model.alphabet), size=len(wrong))
    found = solve(misread, model, QUICK, seed=0)
    often = np.flatnonzero(np.bincount(cipher) >= 10)
    np.testing.assert_array_equal(found.best.letters[often], key[often])


def test_known_spaces_stay_spaces() -> None:
    spaced = language(3, spaces=True)
    words = ["the", "cat", "had", "the", "king", "and", "the", "bag"]
    plain = spaced.encode(" ".join(words))
    cipher, key = simple(plain, len(spaced.alphabet), seed=0)
    space = int(np.flatnonzero(key == spaced.alphabet.index(" "))[0])
    config = replace(SEVERAL, n_restarts=2, n_sweeps=3)
    found = solve(cipher, spaced, config, seed=0, known={space: " "})
    letters = found.best.letters[cipher]
    np.testing.assert_array_equal(
        letters == spaced.alphabet.index(" "), plain == spaced.alphabet.index(" ")
    )


def test_keys_differ_and_are_ranked_and_the_unsure_are_named(model: NGramModel) -> None:
    plain = model.encode(hidden())
    cipher, key = simple(plain, len(model.alphabet), seed=6)
    found = solve(cipher, model, QUICK, seed=0)
    scores = [one.score for one in found.keys]
    assert scores == sorted(scores, reverse=True)
    assert len({one.letters.tobytes() for one in found.keys}) == len(found.keys) == QUICK.n_best
    there = np.unique(cipher)
    sure = there[found.confidence[there] > 0.99]
    assert set(np.flatnonzero(np.bincount(cipher) >= 20)) <= set(sure)
    np.testing.assert_array_equal(found.best.letters[sure], key[sure])


def test_the_score_of_a_small_key_is_the_sum_written_down() -> None:
    table = np.log(np.array([[0.75, 0.25], [0.5, 0.5]]))
    text, letters = np.array([0, 1, 2, 0, 3]), np.array([0, 1, 1, NULL])
    # Read a b b a: ln P(b|a) + ln P(b|b) + ln P(a|b); b is written in two symbols, once each.
    expected = np.log(0.25 * 0.5 * 0.5) + 2 * np.log(1 / 2) + np.log(1 / 5) + 4 * np.log(4 / 5)
    assert score(text, letters, table) == pytest.approx(expected)


def test_what_cannot_be_solved_is_said(model: NGramModel) -> None:
    with pytest.raises(ConfigError, match="homophones"):
        solve(np.arange(60), model, QUICK, seed=0)
    with pytest.raises(DataError, match="longer text"):
        solve(np.array([0, 1]), model, QUICK, seed=0)
    with pytest.raises(ConfigError, match="coldest"):
        SolvingConfig(coldest=0.0)
