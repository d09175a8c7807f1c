"""Lines as tensors: colours, padding, masks, and batches that show every line once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from typika.typewriter.batches import Line, batches, collate, ink_and_paper, otsu

PAPER, INK = np.array([230, 210, 180]), np.array([60, 40, 30])


def drawn_line(width: int, rng: np.random.Generator, name: str = "a") -> Line:
    marks = rng.random((16, width)) < 0.2
    pixels = np.where(marks[..., None], INK, PAPER).astype(np.uint8)
    ink, paper = ink_and_paper(pixels, None)
    return Line(name, pixels, None, (0, 1), paper, ink)


def test_the_two_colours_of_a_line_are_found_and_part_its_pixels(rng) -> None:
    line = drawn_line(50, rng)
    np.testing.assert_allclose(np.array(line.paper) * 255, PAPER)
    np.testing.assert_allclose(np.array(line.ink) * 255, INK)
    batch = collate([line])
    marks = torch.from_numpy((line.pixels == INK).all(2)).float()
    torch.testing.assert_close(batch.ink_image[0], marks)
    torch.testing.assert_close(batch.coloured(batch.ink_image), batch.image, atol=1e-6, rtol=0)


def test_colours_do_not_look_outside_the_mask(rng) -> None:
    line = drawn_line(50, rng)
    pixels = line.pixels.copy()
    pixels[8:] = (0, 0, 255)
    mask = np.zeros((16, 50), np.uint8)
    mask[:8] = 255
    ink, paper = ink_and_paper(pixels, mask)
    np.testing.assert_allclose(ink, line.ink)
    np.testing.assert_allclose(paper, line.paper)


def test_an_empty_line_has_no_ink() -> None:
    pixels = np.full((16, 30, 3), 200, np.uint8)
    ink, paper = ink_and_paper(pixels, None)
    batch = collate([Line("a", pixels, None, None, paper, ink)])
    assert batch.ink_image.max() == 0


def test_padding_counts_for_nothing(rng) -> None:
    short, long = drawn_line(20, rng), drawn_line(50, rng)
    batch = collate([short, long])
    assert batch.image.shape == (2, 3, 16, 50)
    assert batch.mask[0, :, 20:].max() == 0
    assert batch.ink_image[0, :, 20:].max() == 0
    torch.testing.assert_close(batch.ink_image[0, :, :20], collate([short]).ink_image[0])


def test_otsu_lies_between_two_values() -> None:
    threshold = otsu(np.repeat([20.0, 200.0], [30, 70]))
    assert 20 <= threshold < 200


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_every_line_is_shown_once_a_round(size: int, rng) -> None:
    lines = [drawn_line(int(width), rng, str(n)) for n, width in enumerate(range(20, 53))]
    found = list(batches(lines, size, np.random.default_rng(1)))
    assert sorted(n for numbers in found for n in numbers) == list(range(len(lines)))
    assert all(len(numbers) <= size for numbers in found)
