from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from typika.errors import DataError
from typika.text_evaluation import edit_distance
from typika.typewriter import assignment
from typika.typewriter.assignment import Assignment, Merge, assign, assign_published, distance

ALPHABET = "abcdefgh"


def ciphered(rng: np.random.Generator, n: int, key: dict[str, tuple[int, ...]]):
    """Random texts, and their characters by their sprites."""
    texts = ["".join(rng.choice(list(ALPHABET), 20)) for _ in range(n)]
    return [[one for c in text for one in key[c]] for text in texts], texts


def test_texts_are_read_with_strings_and_merges() -> None:
    own = Assignment(("a", "th", "", "c"), (Merge((0, 3), "d"),))
    assert own.transcribe([1, 2, 0, 3, 0]) == "thda"
    assert own.transcribe([]) == ""


@pytest.mark.parametrize("way", [assign, assign_published])
def test_a_plain_cipher_is_solved(rng: np.random.Generator, way) -> None:
    order = rng.permutation(len(ALPHABET))
    key = {one: (int(place),) for one, place in zip(ALPHABET, order, strict=True)}
    lines, texts = ciphered(rng, 25, key)
    found = way(lines, texts, len(ALPHABET))
    for character, (sprite,) in key.items():
        assert found.strings[sprite] == character
    assert distance(found, lines, texts) == 0


def test_pairs_doubles_and_noise_are_told_apart(rng: np.random.Generator) -> None:
    """Sprite 8 is the pair ab, 9 another form of c, 10 a speck that stands anywhere."""
    lines, texts = ciphered(rng, 40, {one: (place,) for place, one in enumerate(ALPHABET)})
    played = []
    for line in lines:
        own: list[int] = []
        for one in line:
            if own and own[-1] == 0 and one == 1:
                own[-1] = 8
            else:
                own.append(9 if one == 2 and rng.random() < 0.5 else one)
            if rng.random() < 0.05:
                own.append(10)
        played.append(own)
    found = assign(played, texts, 11)
    assert found.strings[8] == "ab"
    assert found.strings[9] == found.strings[2] == "c"
    assert found.strings[10] == ""
    assert distance(found, played, texts) == 0


def test_a_character_in_two_parts_is_joined(rng: np.random.Generator) -> None:
    """h is drawn as b and c, which never meet otherwise: only together do they read as h."""
    key: dict[str, tuple[int, ...]] = {one: (place,) for place, one in enumerate("abcdefg")}
    key["h"] = (1, 2)
    letters = list("abcdefg" * 2 + "h")
    texts = ["".join(rng.choice(letters, 20)) for _ in range(40)]
    texts = [re.sub("b+c+", "b", text) for text in texts]
    lines = [[one for character in text for one in key[character]] for text in texts]
    found = assign(lines, texts, len(ALPHABET))
    assert any(merge.sprites == (1, 2) and merge.string == "h" for merge in found.merges)
    assert distance(found, lines, texts) == 0


def test_expected_counts_are_those_of_all_cuts() -> None:
    """Against the sum over every way to cut a short text into strings of 0 to 3 characters."""
    rng, text, line = np.random.default_rng(1), "abca", [0, 1, 0]
    strings = sorted({text[i:j] for i in range(5) for j in range(i, min(i + 3, 4) + 1)})
    chances = [dict(zip(strings, rng.random(len(strings)), strict=True)) for _ in range(2)]
    expected: list[dict[str, float]] = [{}, {}]
    total = 0.0
    for lengths in itertools.product(range(4), repeat=3):
        if sum(lengths) != len(text):
            continue
        ends = np.cumsum([0, *lengths])
        parts = [text[a:b] for a, b in itertools.pairwise(ends)]
        weight = float(np.prod([chances[k][s] for k, s in zip(line, parts, strict=True)]))
        total += weight
        for sprite, part in zip(line, parts, strict=True):
            expected[sprite][part] = expected[sprite].get(part, 0) + weight
    counts: list[dict[str, float]] = [dict.fromkeys(strings, 0.0) for _ in range(2)]
    assignment._count_cuts(line, text, chances, counts)
    for own, true in zip(counts, expected, strict=True):
        for string in strings:
            assert own[string] == pytest.approx(true.get(string, 0) / total, abs=1e-3)


def test_clean_up_never_reads_worse(rng: np.random.Generator) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        lines = [rng.integers(0, 6, 10).tolist() for _ in range(8)]
        texts = ["".join(rng.choice(list("abc"), 8)) for _ in range(8)]
        start = Assignment(tuple(rng.choice(list("abc"), 6).tolist()))
        better = assignment.improved(start, lines, texts)
        assert distance(better, lines, texts) <= distance(start, lines, texts)


def test_spaces_are_left_out(rng: np.random.Generator) -> None:
    key = {one: (place,) for place, one in enumerate(ALPHABET)}
    lines, texts = ciphered(rng, 20, key)
    spaced = [text[:5] + " " + text[5:] for text in texts]
    assert assign(lines, spaced, 8) == assign(lines, texts, 8)


def test_lines_that_say_nothing_or_have_no_sprites() -> None:
    found = assign([[], [0, 1]], ["ab", ""], 3)
    assert len(found.strings) == 3
    assert edit_distance(found.transcribe([0, 1]), "") == 0
    assert len(assign_published([[], [0]], ["", ""], 1).strings) == 1


def test_what_does_not_fit_together_is_told() -> None:
    with pytest.raises(DataError, match="1 texts for 2 lines"):
        assign([[0], [0]], ["a"], 1)
    with pytest.raises(DataError, match="sprite 4: there are only 2"):
        assign([[4]], ["a"], 2)
