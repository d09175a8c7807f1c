from __future__ import annotations

import numpy as np
import pytest
from drawn_lines import HEIGHT, drawn, small_sheet

from typika.collection.rendered_lines import Typeface, render_lines
from typika.errors import DataError
from typika.typewriter.components import (
    cut_outs,
    find_pieces,
    first_sprites,
    ink_image,
    levelled,
    row_shifts,
)


def test_ink_is_found_whatever_the_colours(rng: np.random.Generator) -> None:
    truth = render_lines(1, seed=0, split="train", texture=False)[0].pixels
    opacity = 1 - truth[:, :, :1] / 255
    for paper, colour in ((240, 20), (180, 90)):
        pixels = np.round(paper + (colour - paper) * np.repeat(opacity, 3, axis=2))
        ink = ink_image(pixels.astype(np.uint8))
        assert np.abs(ink - opacity[:, :, 0]).mean() < 0.02
        assert ink.max() <= 1
        assert ink[opacity[:, :, 0] == 0].max() == 0


def test_a_blank_line_has_no_ink() -> None:
    for shape in ((64, 300, 3), (64, 1, 3), (1, 1, 3)):
        assert ink_image(np.full(shape, 200, dtype=np.uint8)).sum() == 0


def test_lines_are_made_level(rng: np.random.Generator) -> None:
    inks = [ink_image(line.pixels) for line in render_lines(12, seed=0, split="train")]
    truth = rng.integers(-4, 5, len(inks))
    truth -= round(float(np.median(truth)))
    moved = [levelled(ink, -int(by)) for ink, by in zip(inks, truth, strict=True)]
    found = row_shifts(moved, furthest=10)
    assert np.abs(found - truth).max() <= 1
    back = levelled(moved[0], int(truth[0]))
    np.testing.assert_array_equal(back[8:-8], inks[0][8:-8])


def test_pieces_are_letters_with_their_dots() -> None:
    line = render_lines(3, seed=2, split="train", typeface="dejavu", texture=False)[2]
    pieces = find_pieces(ink_image(line.pixels))
    alone = 0
    for left, _, right, _ in line.boxes:
        alone += any(abs(one.left - left) <= 2 and abs(one.right - right) <= 2 for one in pieces)
    assert alone >= 0.85 * len(line.boxes)
    assert any(character in line.text for character in "ij")


def test_cut_outs_hold_one_piece_in_the_middle(rng: np.random.Generator) -> None:
    ink, _ = drawn(small_sheet(), [0, 1, 0], rng)
    found = cut_outs([ink])
    assert found.shape == (3, HEIGHT, 18)
    for one in found:
        columns = np.flatnonzero(one.any(axis=0))
        assert abs((columns[0] + columns[-1]) / 2 - 8.5) <= 1
        assert one.sum() in (48, 60)


def test_groups_of_pieces_are_the_shapes_that_were_drawn(rng: np.random.Generator) -> None:
    sheet = small_sheet()
    inks = [drawn(sheet, rng.permutation(5).tolist(), rng, furthest=0)[0] for _ in range(12)]
    found = first_sprites(inks, 5, seed=0)
    areas = sorted(found.ink.sum(axis=(1, 2)))
    for true, near in zip(sorted(sheet.ink.sum(axis=(1, 2))), areas, strict=True):
        assert near == pytest.approx(true)


def test_too_few_pieces_are_told(rng: np.random.Generator) -> None:
    ink, _ = drawn(small_sheet(), [0, 1], rng)
    with pytest.raises(DataError, match="2 pieces of ink for 5 sprites"):
        first_sprites([ink], 5, seed=0)


def test_glyphs_fit_the_line(rng: np.random.Generator) -> None:
    face = Typeface("times")
    assert face.baseline + face.glyph("g").top > 0
    assert face.baseline + face.glyph("g").top + len(face.glyph("g").ink) < face.height
