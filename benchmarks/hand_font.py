"""Fonts of hands: letters of three typefaces as sprites, made into fonts, and rendered back.

python -m benchmarks.hand_font RUN     # the sprites of a run instead
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from benchmarks.record import Figure, Result, at_least
from typika import exporting
from typika.collection.rendered_lines import FONT_FILES, Typeface
from typika.exports.hand import Hand, setting
from typika.exports.outlines import binary
from typika.exports.ttf import ttf
from typika.palaeography.records import Letter
from typika.typewriter.decoding import ink_extents

HEIGHT, WIDTH, FINER = 64, 48, 8
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABDEGHPQRST&?"


def overlaps(hand: Hand) -> tuple[list[float], list[float]]:
    """Of each letter: over the sprite's pixels, and over the sprite enlarged."""
    import torch

    boxes = ink_extents(torch.from_numpy(hand.reference)[:, None])[:, 0]
    found = setting(hand, boxes, [], hand.shape[0])
    face = ImageFont.truetype(io.BytesIO(ttf(hand, found)), hand.shape[0] * FINER)
    same, fine = [], []
    height, width = hand.shape
    for letter, ink in zip(hand.letters, hand.ink, strict=True):
        stand = found.stands[letter]
        image = Image.new("L", (width * FINER, height * FINER), 0)
        place = round((stand.box[0] - stand.left) * FINER), round(found.baseline * FINER)
        ImageDraw.Draw(image).text(place, letter.character, font=face, fill=255, anchor="ls")
        drawn = np.asarray(image) / 255
        large = ndimage.zoom(ink, FINER, order=1, mode="grid-constant", grid_mode=True)
        small = drawn.reshape(height, FINER, width, FINER).mean((1, 3))
        for values, one, other in ((same, small, ink), (fine, drawn, large)):
            seen, wanted = one >= 0.5, binary(other)
            values.append(float((seen & wanted).sum() / (seen | wanted).sum()))
    return same, fine


def print_hand(typeface: str) -> Hand:
    face = Typeface(typeface, HEIGHT)
    ink = np.zeros((len(CHARACTERS), HEIGHT, WIDTH))
    for number, character in enumerate(CHARACTERS):
        found = face.glyph(character)
        top, left = round(face.baseline + found.top), (WIDTH - found.ink.shape[1]) // 2
        own = ink[number, top : top + len(found.ink), left : left + found.ink.shape[1]]
        own[:] = found.ink[: len(own)]
    return Hand(name=typeface, letters=tuple(map(Letter, CHARACTERS)), ink=ink, reference=ink)


def run(folder: Path | None = None) -> Result:
    if folder is None:
        hands = [print_hand(typeface) for typeface in FONT_FILES]
    else:
        hands = [exporting.own_hand(exporting.Aligned.open(folder).trained, folder.name)]
    figures: list[Figure] = []
    for hand in hands:
        same, fine = overlaps(hand)
        worst = hand.letters[int(np.argmin(same))].name
        figures += [
            at_least(f"{hand.name}, enlarged sprites, worst letter", min(fine), 0.9, "IoU"),
            at_least(f"{hand.name}, sprites' own pixels, mean", float(np.mean(same)), 0.9, "IoU"),
            at_least(f"{hand.name}, sprites' own pixels, worst ({worst})", min(same), 0.9, "IoU"),
        ]
    return Result(figures=figures)


if __name__ == "__main__":
    for figure in run(Path(sys.argv[1])).figures:
        print(figure.line())
