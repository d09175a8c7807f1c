"""Which characters a sprite stands for, learned from a few transcribed lines.

Two ways. The published one (App. D of the chapter): a matrix of sprites and characters, by
gradient descent on edit distances whose substitutions cost what the matrix does not believe.
Ours, `assign`: each sprite reads as a string of 0 to 3 characters, whose chances are found in
closed form by expectation maximisation over all ways to cut the transcriptions into such strings;
a sprite may then be a letter, a ligature, a pair of letters or nothing. Afterwards sprites that
do harm are silenced, and sequences of two or three that are one character are joined.

Legend: `K` sprites, `A` characters, `n` sprites on a line, `m` characters of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from typika.errors import DataError
from typika.text_evaluation import align, edit_distance

Ids = Sequence[int]

LONGEST = 3  # characters of a sprite's string
_LENGTHS = (0.02, 0.9, 0.06, 0.02)  # prior chance of strings of 0, 1, 2, 3 characters
_SMOOTHING = 0.3  # places' worth of prior in a sprite's chances
_SPREAD = 1.5  # characters by which a first guess of where a sprite is in the text may be off
_SEQUENCES = 60  # of the most frequent, tried as one character


@dataclass(frozen=True)
class Merge:
    """A sequence of sprites that reads as one string, not as the strings of each."""

    sprites: tuple[int, ...]
    string: str


@dataclass(frozen=True)
class Assignment:
    """What sprites read as. strings: for each of them, "" for nothing; merges: longest first."""

    strings: tuple[str, ...]
    merges: tuple[Merge, ...] = ()

    def transcribe(self, ids: Ids) -> str:
        """The text of a line of sprites, without spaces."""
        text, place = [], 0
        while place < len(ids):
            for merge in self.merges:
                if tuple(ids[place : place + len(merge.sprites)]) == merge.sprites:
                    text.append(merge.string)
                    place += len(merge.sprites)
                    break
            else:
                text.append(self.strings[ids[place]])
                place += 1
        return "".join(text)


def assign(
    lines: Sequence[Ids], texts: Sequence[str], n_sprites: int, *, n_rounds: int = 12
) -> Assignment:
    """What sprites read as, by expectation maximisation, then the clean-up of `improved`.

    lines: the sprites of some lines, in 0..n_sprites-1; texts: what these lines say; spaces in
    them are ignored.
    """
    texts = _checked(lines, texts, n_sprites)
    chances = _first_guess(lines, texts, n_sprites)
    for _ in range(n_rounds):
        counts: list[dict[str, float]] = [defaultdict(float) for _ in range(n_sprites)]
        for line, text in zip(lines, texts, strict=True):
            _count_cuts(line, text, chances, counts)
        chances = [_smoothed(own, prior) for own, prior in zip(counts, chances, strict=True)]
    strings = tuple(max(own, key=lambda one: (own[one], one)) if own else "" for own in chances)
    return improved(Assignment(strings), lines, texts)


def assign_published(
    lines: Sequence[Ids],
    texts: Sequence[str],
    n_sprites: int,
    *,
    n_epochs: int = 10,
    batch: int = 256,
    rate: float = 1.0,
    seed: int = 0,
) -> Assignment:
    """The published assignment: one character for each sprite, by gradient descent (App. D).

    Minimises the sum over lines of the edit distance in which setting character a for sprite s
    costs 1 − softmax(P)[s, a], and insertions and deletions 1. Sprites are then silenced in the
    order of their frequency wherever that does not make the distances grow.
    """
    texts = _checked(lines, texts, n_sprites)
    alphabet = sorted(set("".join(texts)))
    place = {character: number for number, character in enumerate(alphabet)}
    rng = np.random.default_rng(seed)
    belief = softmax(rng.random((n_sprites, max(len(alphabet), 1))), axis=1)
    for _ in range(n_epochs):
        order = rng.permutation(len(lines))
        for first in range(0, len(order), batch):
            likely = softmax(belief, axis=1)
            used = np.zeros_like(likely)  # d distance / d likely, less its sign
            for line in order[first : first + batch]:
                ids = np.array(lines[line], dtype=int)
                wanted = np.array([place[one] for one in texts[line]], dtype=int)
                for i, j in align(1 - likely[np.ix_(ids, wanted)]).pairs:
                    if i is not None and j is not None:
                        used[ids[i], wanted[j]] += 1
            # Back through the softmax.
            belief += rate * likely * (used - (used * likely).sum(axis=1, keepdims=True))
    best = belief.argmax(axis=1)
    strings = tuple(alphabet[one] if alphabet else "" for one in best)
    return _silenced(Assignment(strings), lines, texts)


def improved(assignment: Assignment, lines: Sequence[Ids], texts: Sequence[str]) -> Assignment:
    """Sprites that do harm silenced, sequences that are one character joined, as lines tell."""
    texts = ["".join(text.split()) for text in texts]
    return _merged(_silenced(assignment, lines, texts), lines, texts)


def distance(assignment: Assignment, lines: Sequence[Ids], texts: Sequence[str]) -> int:
    """Edit distances of all lines, summed."""
    return sum(
        edit_distance(text, assignment.transcribe(line))
        for line, text in zip(lines, texts, strict=True)
    )


def _checked(lines: Sequence[Ids], texts: Sequence[str], n_sprites: int) -> list[str]:
    """The texts without spaces."""
    if len(lines) != len(texts):
        raise DataError(f"{len(texts)} texts for {len(lines)} lines; give one for each line")
    largest = max((max(line) for line in lines if len(line)), default=-1)
    if largest >= n_sprites:
        raise DataError(f"sprite {largest}: there are only {n_sprites}, from 0 on")
    return ["".join(text.split()) for text in texts]


def _first_guess(
    lines: Sequence[Ids], texts: Sequence[str], n_sprites: int
) -> list[dict[str, float]]:
    """Chances of the strings that stand, in the texts, about where each sprite is on its line."""
    guess: list[dict[str, float]] = [defaultdict(float) for _ in range(n_sprites)]
    frequent = Counter("".join(texts))
    for line, text in zip(lines, texts, strict=True):
        for turn, sprite in enumerate(line):
            middle = (turn + 0.5) / len(line) * len(text)
            for length in range(LONGEST + 1):
                first = max(0, int(middle - 3 * _SPREAD - length))
                for start in range(
                    first, min(int(middle + 3 * _SPREAD) + 1, len(text) - length + 1)
                ):
                    off = (start + length / 2 - middle) / _SPREAD
                    string = text[start : start + length]
                    # Frequent characters are everywhere; what is rare says more.
                    weight = np.prod([frequent[one] ** -0.5 for one in string])
                    guess[sprite][string] += _LENGTHS[length] * np.exp(-(off**2) / 2) * weight
    return [_normalised(own) for own in guess]


def _normalised(own: Mapping[str, float]) -> dict[str, float]:
    total = sum(own.values())
    return {string: value / total for string, value in own.items() if value > 1e-6 * total}


def _smoothed(counts: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Chances from counts, with a little of what was believed before."""
    if not counts:
        return dict(before)
    return _normalised(
        {one: counts.get(one, 0.0) + _SMOOTHING * chance * _LENGTHS[len(one)]
         for one, chance in before.items()}
    )  # fmt: skip


def _count_cuts(
    line: Ids,
    text: str,
    chances: Sequence[Mapping[str, float]],
    counts: Sequence[dict[str, float]],
) -> None:
    """Add, for each sprite and string, how often the one is expected to read as the other.

    Forward and backward sums over all ways to cut the text into a string for each sprite, each row
    scaled to a sum of one. A line that cannot be cut so adds nothing.
    """
    n, m = len(line), len(text)
    arcs = np.zeros((n, LONGEST + 1, m + 1))  # sprite, length, where its string starts
    for turn, sprite in enumerate(line):
        for length in range(min(LONGEST, m) + 1):
            arcs[turn, length, : m - length + 1] = [
                chances[sprite].get(text[start : start + length], 0.0)
                for start in range(m - length + 1)
            ]
    forward, backward = np.zeros((n + 1, m + 1)), np.zeros((n + 1, m + 1))
    forward[0, 0] = backward[n, m] = 1.0
    for turn in range(n):
        for length in range(min(LONGEST, m) + 1):
            step = forward[turn] * arcs[turn, length]
            forward[turn + 1, length:] += step[: m + 1 - length]
        forward[turn + 1] /= max(forward[turn + 1].sum(), 1e-300)
    if not forward[n, m] > 0:
        return
    for turn in range(n - 1, -1, -1):
        posterior = np.zeros((LONGEST + 1, m + 1))
        for length in range(min(LONGEST, m) + 1):
            onward = arcs[turn, length, : m + 1 - length] * backward[turn + 1, length:]
            backward[turn, : m + 1 - length] += onward
            posterior[length, : m + 1 - length] = forward[turn, : m + 1 - length] * onward
        total = posterior.sum()
        for length, start in zip(*np.nonzero(posterior > 1e-4 * total), strict=True):
            string = text[start : start + length]
            counts[line[turn]][string] += posterior[length, start] / total
        backward[turn] /= max(backward[turn].sum(), 1e-300)


def _silenced(assignment: Assignment, lines: Sequence[Ids], texts: Sequence[str]) -> Assignment:
    """Let sprites, the rarest first, read as nothing where the distances do not grow by it."""
    counts = Counter(sprite for line in lines for sprite in line)
    least = distance(assignment, lines, texts)
    for sprite in sorted(counts, key=lambda one: (counts[one], one)):
        if not assignment.strings[sprite]:
            continue
        strings = list(assignment.strings)
        strings[sprite] = ""
        tried = replace(assignment, strings=tuple(strings))
        now = distance(tried, lines, texts)
        if now <= least:
            assignment, least = tried, now
    return assignment


def _merged(assignment: Assignment, lines: Sequence[Ids], texts: Sequence[str]) -> Assignment:
    """Join the sequences of two or three sprites that read as one string, while it helps.

    Joined if the edit distances fall by two at least: by one they may by chance.
    """
    read = _read_as(assignment, lines, texts)
    frequent = sorted(read, key=lambda one: (-read[one].total(), one))[:_SEQUENCES]
    least = distance(assignment, lines, texts)
    for sequence in frequent:
        string, count = read[sequence].most_common(1)[0]
        if count < 2 or string == "".join(assignment.strings[one] for one in sequence):
            continue
        merges = (*assignment.merges, Merge(sequence, string))
        longest_first = sorted(merges, key=lambda one: -len(one.sprites))
        tried = replace(assignment, merges=tuple(longest_first))
        now = distance(tried, lines, texts)
        if now <= least - 2:
            assignment, least = tried, now
    return assignment


def _read_as(
    assignment: Assignment, lines: Sequence[Ids], texts: Sequence[str]
) -> dict[tuple[int, ...], Counter[str]]:
    """For each sequence of two or three sprites, the parts of texts that it is aligned with."""
    found: dict[tuple[int, ...], Counter[str]] = defaultdict(Counter)
    for line, text in zip(lines, texts, strict=True):
        strings = [assignment.strings[one] for one in line]
        read = "".join(strings)
        ends = np.cumsum([0, *map(len, strings)])  # where the string of each sprite starts
        borders = _borders(text, read)
        for length in (2, 3):
            for turn in range(len(line) - length + 1):
                first, last = borders[ends[turn]], borders[ends[turn + length]]
                found[tuple(line[turn : turn + length])][text[first:last]] += 1
    return found


def _borders(text: str, read: str) -> list[int]:
    """For each border between characters that were read, its place in the text."""
    wrong = np.array([[one != other for other in read] for one in text], dtype=float)
    borders, place = [0], 0
    for i, j in align(wrong.reshape(len(text), len(read))).pairs:
        place += i is not None
        if j is not None:
            borders.append(place)
    borders[-1] = len(text) if len(borders) > 1 else borders[-1]
    return borders
