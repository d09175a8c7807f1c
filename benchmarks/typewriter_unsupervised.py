"""Rendered print read without training data: sprites, what they read as, and what that is worth.

Sprites come from 300 lines without their texts; what they read as from the texts of 30 of them, as
in the paper. Everything is measured on 100 lines of other words.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from PIL import Image
from scipy import ndimage

from benchmarks.record import Result, Seeds, at_least, at_most
from typika.collection.rendered_lines import ALPHABET, RenderedLine, Typeface, render_lines
from typika.evaluation import intersection_over_union
from typika.parallel import one_thread
from typika.text_evaluation import error_rate
from typika.typewriter.assignment import Assignment, assign, assign_published
from typika.typewriter.components import first_sprites, ink_image
from typika.typewriter.image_decoding import DecodedLine, DecodingConfig, boxes, decode
from typika.typewriter.sheet import SpriteSheet
from typika.typewriter.sprite_search import SearchConfig, find_sprites

SEEDS = (0, 1, 2)
TRAIN, TRANSCRIBED, TEST = 300, 30, 100  # lines
MOST = int(1.5 * len(ALPHABET))  # sprites
SIDE = 32  # pixels of the squares that are compared


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Figures of one seed; percent, or shares."""

    cer: float  # micro, assignment by expectation maximisation and clean-up
    cer_macro: float
    cer_published: float  # micro, with the published assignment
    cer_start: float  # micro, k-means of as many pieces instead of the search
    purity: float  # of the sprites' places, what is their main character's
    sprites: float
    similarity: float  # SSIM of sprites with the true glyphs, mean of the alphabet
    missing: float  # characters of the alphabet without a sprite; they count 0 above
    overlap: float  # share of characters with a box of IoU >= 0.5
    seconds: float  # of a processor: search and assignment


def square(ink: ndarray) -> ndarray:
    """Ink cut to its box, in the middle of a square, at a common size."""
    inked = ink >= 0.3
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(cut.shape)
    frame = np.zeros((side, side))
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    frame[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    image = Image.fromarray((frame * 255).astype(np.uint8))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 255


def similarity(one: ndarray, other: ndarray) -> float:
    """SSIM, windows of 7 x 7, the best over shifts of two pixels."""

    def ssim(a: ndarray, b: ndarray) -> float:
        mean_a, mean_b = ndimage.uniform_filter(a, 7), ndimage.uniform_filter(b, 7)
        var_a = ndimage.uniform_filter(a * a, 7) - mean_a**2
        var_b = ndimage.uniform_filter(b * b, 7) - mean_b**2
        both = ndimage.uniform_filter(a * b, 7) - mean_a * mean_b
        top = (2 * mean_a * mean_b + 0.01**2) * (2 * both + 0.03**2)
        bottom = (mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2)
        return float((top / bottom).mean())

    shifts = range(-2, 3)
    return max(ssim(np.roll(one, (y, x), axis=(0, 1)), other) for y in shifts for x in shifts)


def alike(sheet: SpriteSheet, assignment: Assignment, lines: list[DecodedLine]) -> ndarray:
    """SSIM of each character with its most frequent sprite; 0 where it has none."""
    counts = Counter(one for line in lines for one in line.sprites.tolist())
    face, found = Typeface(), np.zeros(len(ALPHABET))
    for place, character in enumerate(ALPHABET):
        own = [k for k, string in enumerate(assignment.strings) if string == character]
        if own:
            best = max(own, key=lambda one: counts[one])
            found[place] = similarity(
                square(sheet.drawing(best)), square(face.glyph(character).ink)
            )
    return found


def held(
    lines: list[RenderedLine], read: list[DecodedLine], sheet: SpriteSheet
) -> tuple[float, float]:
    """Purity of the sprites, and the share of characters whose best box has an IoU of 0.5."""
    shown: dict[int, Counter[str]] = {}
    near = []
    for line, one in zip(lines, read, strict=True):
        overlaps = intersection_over_union(line.boxes, boxes(one, sheet))
        near += list(overlaps.max(axis=1, initial=0) >= 0.5)
        text = line.text.replace(" ", "")
        for turn, sprite in enumerate(one.sprites.tolist()):
            # A pair of letters is half in each of two characters, a speck in none.
            best = int(overlaps[:, turn].argmax())
            shows = text[best] if overlaps[best, turn] >= 0.3 else ""
            shown.setdefault(sprite, Counter())[shows] += 1
    pure = sum(max(own[c] for c in own if c) for own in shown.values() if any(own))
    return pure / sum(own.total() for own in shown.values()), float(np.mean(near))


def measure(seed: int) -> Measured:
    train = render_lines(TRAIN, seed=seed, split="train")
    test = render_lines(TEST, seed=seed, split="held out")
    inks, test_inks = ([ink_image(line.pixels) for line in own] for own in (train, test))
    some = [line.text for line in train[:TRANSCRIBED]]
    truth, decoding = [line.text for line in test], DecodingConfig()

    started = time.process_time()
    found = find_sprites(inks, SearchConfig(n_sprites=MOST), decoding, seed=seed)
    ids = [line.sprites.tolist() for line in found.lines[:TRANSCRIBED]]
    ours = assign(ids, some, len(found.sheet))
    seconds = time.process_time() - started

    read = decode(test_inks, found.sheet, decoding)
    texts = [ours.transcribe(line.sprites.tolist()) for line in read]
    published = assign_published(ids, some, len(found.sheet), seed=seed)
    as_published = [published.transcribe(line.sprites.tolist()) for line in read]
    start = first_sprites(inks, MOST, seed)
    first = [line.sprites.tolist() for line in decode(inks[:TRANSCRIBED], start, decoding)]
    plain = assign(first, some, len(start))
    plainly = [
        plain.transcribe(line.sprites.tolist()) for line in decode(test_inks, start, decoding)
    ]
    purity, near = held(test, read, found.sheet)
    likenesses = alike(found.sheet, ours, list(found.lines))
    rate = error_rate(truth, texts)
    return Measured(
        cer=100 * rate.micro, cer_macro=100 * rate.macro,
        cer_published=100 * error_rate(truth, as_published).micro,
        cer_start=100 * error_rate(truth, plainly).micro,
        purity=purity, sprites=len(found.sheet), similarity=float(likenesses.mean()),
        missing=int((likenesses == 0).sum()), overlap=near, seconds=seconds,
    )  # fmt: skip


def run(seeds: tuple[int, ...] = SEEDS) -> Result:
    own = "typewriter-unsupervised"
    with one_thread():
        found = Seeds(own, {seed: measure(seed) for seed in seeds})
    worst = max(one.cer for one in found.of.values())
    return Result(
        figures=(
            found.shown("cer_start", "%"), found.shown("cer_published", "%"),
            found.shown("cer_macro", "%"), found.shown("purity", "share"),
            found.shown("missing", "characters"), found.shown("seconds", "CPU s"),
            at_most(f"{own}-sprites", found.mean("sprites"), MOST, "sprites"),
            at_least(f"{own}-ssim", found.mean("similarity"), 0.8, "SSIM"),
            at_least(f"{own}-boxes", found.mean("overlap"), 0.95, "of IoU >= 0.5"),
            at_most(f"{own}-worst", worst, 5, "% CER, worst seed"),
            at_most(own, found.mean("cer"), 5, "% CER"),
        ),
        notes=(found.table,),
    )  # fmt: skip
