"""A rendered cipher, nobody's transcription, and how much of its plaintext is found.

Sixty lines of English prose under a key, printed with other letters for its letters, worn and
jittered. Nothing but the pictures is given, and other English prose to learn the language from:
the other two passages and the anthology of `_cipher_texts.py`, none of whose text is hidden.
Signs are discovered, merged into symbols, and their key is searched. The second cipher has 40
symbols for the 26 letters: letters, digits and Greek capitals. Seeds 0 to 2 served development
and are not shown. Accuracy: one less the edit distance of lines over their letters, spaces apart.
"""

from __future__ import annotations

import re
import textwrap
import time
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from benchmarks._cipher_texts import LEARNED, PASSAGES
from benchmarks.record import Result, Seeds, at_least
from typika.ciphers.ciphertext import CipherText, of_signs
from typika.ciphers.language import NGramModel, encoded
from typika.ciphers.merging import MergingConfig
from typika.ciphers.reading import ReadingConfig, read_in_context, solve_by_expectation
from typika.ciphers.solving import NULL, SolvingConfig, solve
from typika.collection.rendered_lines import render_texts
from typika.parallel import one_thread
from typika.text_evaluation import error_rate
from typika.typewriter.batches import Line
from typika.typewriter.discovery import Signs, discover
from typika.typewriter.image_decoding import DecodingConfig
from typika.typewriter.sprite_search import SearchConfig

SEEDS = (3, 4, 5)
LINES, WIDTH = 60, 34  # lines, and characters of each at most
GLYPHS = "abcdefghijklmnopqrstuvwxyz2345679ΓΔΘΛΞΠΣ"  # forty
SOLVING = SolvingConfig(homophones=True)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Percent of one seed, and seconds of a processor."""

    letters: float  # hidden, as a number
    signs: float  # found, of 26 glyphs
    symbols: float  # after merging
    accuracy: float  # of the plaintext by the key
    in_context: float  # ... with each symbol read in its context
    unmerged: float  # by the key, with signs for symbols
    true_symbols: float  # of the same solver on the true symbols: the most it can do
    one_to_one: float  # ... told that each letter has one symbol
    expectation: float  # of expectation maximisation alone on the true symbols
    frequency: float  # of symbols matched with letters by their frequencies: the least
    homophonic_symbols: float  # 40 symbols, given
    homophonic_frequency: float
    homophonic_found: float  # symbols, after merging, of 40 glyphs
    homophonic: float  # 40 symbols, rendered: the whole path
    discovery_seconds: float  # of the first cipher
    solving_seconds: float  # ... merging and key


@dataclass(frozen=True)
class Cipher:
    """Lines of plaintext and of glyphs, and the language of neither."""

    plain: tuple[str, ...]
    glyphs: tuple[str, ...]
    language: NGramModel

    @property
    def symbols(self) -> ndarray:
        return encoded(GLYPHS, "".join(self.glyphs).replace(" ", ""))


def hidden(seed: int, *, homophonic: bool) -> Cipher:
    """A passage under a key of its own."""
    names = list(PASSAGES)
    name = names[seed % len(names)]
    prose = " ".join(re.sub("[^a-z]+", " ", PASSAGES[name].lower()).split())
    plain = textwrap.wrap(prose, WIDTH)[:LINES]
    learned = LEARNED + " ".join(text for other, text in PASSAGES.items() if other != name)
    language = NGramModel.learn(learned, order=SOLVING.order)
    rng = np.random.default_rng((seed, homophonic))
    several = np.ones(26, dtype=int)
    if homophonic:  # so that every symbol is about as frequent
        count = np.array([prose.count(letter) for letter in GLYPHS[:26]])
        while several.sum() < len(GLYPHS):
            several[(count / several).argmax()] += 1
    own = rng.permutation(several.sum())
    start = np.cumsum(several) - several

    def glyph(letter: str) -> str:
        if letter == " ":
            return letter
        number = GLYPHS.index(letter)
        return GLYPHS[own[start[number] + rng.integers(several[number])]]

    return Cipher(tuple(plain), tuple("".join(map(glyph, line)) for line in plain), language)


def right(cipher: Cipher, lines: list[str]) -> float:
    """Percent of the plaintext."""
    return 100 * (1 - error_rate(list(cipher.plain), lines).micro)


def spelt(cipher: Cipher, letters: ndarray, owner: ndarray) -> list[str]:
    """Letters of all lines as the text of each."""
    alphabet = cipher.language.alphabet
    return [
        "".join(alphabet[one] for one in letters[owner == number] if one != NULL)
        for number in range(len(cipher.plain))
    ]


def found_signs(cipher: Cipher, seed: int, typeface: str) -> tuple[Signs, list[Line]]:
    rendered = render_texts(cipher.glyphs, seed=seed, typeface=typeface)
    lines = [
        Line(f"{number:04d}", one.pixels, None, None, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        for number, one in enumerate(rendered)
    ]
    return discover(lines, SearchConfig(), DecodingConfig(), seed=seed), lines


def deciphered(cipher: Cipher, text: CipherText, seed: int) -> tuple[float, float]:
    """Accuracy by the key, and in context."""
    stream, owner = text.stream()
    solution = solve(stream, cipher.language, SOLVING, seed=seed)
    reading = read_in_context(stream, solution.best, cipher.language, ReadingConfig())
    by_key = spelt(cipher, solution.best.letters[stream], owner)
    return right(cipher, by_key), right(cipher, spelt(cipher, reading.letters, owner))


def given(cipher: Cipher, letters: ndarray) -> float:
    """Accuracy of a key of the true symbols."""
    owner = np.repeat(
        np.arange(len(cipher.plain)), [len(line.replace(" ", "")) for line in cipher.plain]
    )
    return right(cipher, spelt(cipher, letters[cipher.symbols], owner))


def by_frequency(cipher: Cipher) -> ndarray:
    """The key that gives the most frequent symbols the most frequent letters, one after another;
    with more symbols than letters each letter as many symbols as make up its share.
    """
    count = np.bincount(cipher.symbols, minlength=len(GLYPHS)).astype(float)
    ranked = np.argsort(-count, kind="stable")
    letters = np.zeros(len(GLYPHS), dtype=np.int64)
    frequency = cipher.language.frequencies
    if (count > 0).sum() <= len(frequency):
        letters[ranked[: len(frequency)]] = np.argsort(-frequency, kind="stable")
        return letters
    missing = frequency.copy()
    for symbol in ranked:
        letters[symbol] = missing.argmax()
        missing[letters[symbol]] -= count[symbol] / count.sum()
    return letters


def measure(seed: int) -> Measured:
    cipher = hidden(seed, homophonic=False)
    several = hidden(seed, homophonic=True)
    started = time.process_time()
    signs, lines = found_signs(cipher, seed, "times")
    discovered = time.process_time()
    text = of_signs(signs, lines, MergingConfig(), spaces=False)
    accuracy, in_context = deciphered(cipher, text, seed)
    solved = time.process_time()
    # Nothing is as alike as this, nor as much together: every sign stays.
    apart = MergingConfig(alike=1.0, n_pairs=0)
    unmerged, _ = deciphered(cipher, of_signs(signs, lines, apart, spaces=False), seed)
    language, symbols = cipher.language, cipher.symbols
    one_to_one = solve(symbols, language, SolvingConfig(), seed=seed)
    expectation = solve_by_expectation(symbols, language, n_symbols=len(GLYPHS), seed=seed)[0]
    more_signs, more_lines = found_signs(several, seed, "dejavu")
    more = of_signs(more_signs, more_lines, MergingConfig(), spaces=False)
    return Measured(
        letters=len(symbols), signs=len(signs.sheet), symbols=len(text.names),
        accuracy=accuracy, in_context=in_context, unmerged=unmerged,
        true_symbols=given(cipher, solve(symbols, language, SOLVING, seed=seed).best.letters),
        one_to_one=given(cipher, one_to_one.best.letters),
        expectation=given(cipher, expectation),
        frequency=given(cipher, by_frequency(cipher)),
        homophonic_symbols=given(
            several, solve(several.symbols, language, SOLVING, seed=seed).best.letters
        ),
        homophonic_frequency=given(several, by_frequency(several)),
        homophonic_found=len(more.names),
        homophonic=deciphered(several, more, seed)[0],
        discovery_seconds=discovered - started, solving_seconds=solved - discovered,
    )  # fmt: skip


def run(seeds: tuple[int, ...] = SEEDS) -> Result:
    with one_thread():
        found = Seeds("cipher", {seed: measure(seed) for seed in seeds})
    percent, unit = "%", "% of the plaintext"
    bounds = ("frequency", "homophonic_frequency", "expectation", "unmerged", "in_context",
              "one_to_one", "true_symbols")  # fmt: skip
    worst = min(one.accuracy for one in found.of.values())
    return Result(
        figures=(
            *(found.shown(name, percent) for name in bounds),
            found.shown("symbols", "symbols"), found.shown("homophonic_found", "symbols"),
            found.shown("discovery_seconds", "CPU s"), found.shown("solving_seconds", "CPU s"),
            at_least("cipher-homophonic-given", found.mean("homophonic_symbols"), 95, unit),
            at_least("cipher-homophonic-rendered", found.mean("homophonic"), 95, unit),
            at_least("cipher-worst", worst, 95, unit),
            at_least("cipher", found.mean("accuracy"), 95, unit),
        ),
        notes=(found.table,),
    )  # fmt: skip
