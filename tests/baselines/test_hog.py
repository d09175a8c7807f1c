"""Gradients and colours: closed forms, and windows against a plain spelling of one window."""

from __future__ import annotations

import numpy as np
import pytest

from typika.baselines import hog
from typika.errors import DataError


def textured(rng: np.random.Generator, height: int = 104, width: int = 120) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_a_vertical_step_is_one_orientation_of_known_strength() -> None:
    pixels = np.full((64, 64, 3), 20, np.uint8)
    pixels[:, 28:] = 100
    gradients = hog.cell_grid(pixels)[..., : hog.ORIENTATIONS]
    # Central differences see the step of 80 in two of the eight columns of the fourth cell.
    expected = np.zeros((8, 8, hog.ORIENTATIONS))
    expected[:, 3, 0] = 80 * 2 / 8
    np.testing.assert_allclose(gradients, expected)


def test_the_sense_of_an_edge_does_not_matter_but_its_direction_does() -> None:
    rows = np.arange(64)[:, None]
    ramp = np.broadcast_to(4 * np.minimum(rows, 40), (64, 64))[..., None].repeat(3, 2)
    down = hog.cell_grid(ramp.astype(np.uint8))[2, 2, : hog.ORIENTATIONS]
    up = hog.cell_grid((255 - ramp).astype(np.uint8))[2, 2, : hog.ORIENTATIONS]
    np.testing.assert_allclose(down, up)
    assert down.argmax() == 90 * 31 // 180
    assert down.sum() == pytest.approx(8)  # 4 levels a pixel, over two pixels, at each pixel


def test_the_channel_with_the_largest_gradient_counts() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[32:, :, 0] = 30
    pixels[:, 32:, 2] = 200
    gradients = hog.cell_grid(pixels)[..., : hog.ORIENTATIONS]
    assert gradients[4, 4].argmax() == 0  # where the edges cross, blue's is the larger
    assert gradients[4, 0].argmax() == 15


@pytest.mark.parametrize(
    ("rgb", "a", "b"),
    [((255, 0, 0), 80.1, 67.2), ((0, 0, 255), 79.2, -107.9), ((128, 128, 128), 0, 0)],
)
def test_colours_are_those_of_lab(rgb: tuple[int, int, int], a: float, b: float) -> None:
    pixels = np.broadcast_to(np.array(rgb, np.uint8), (64, 64, 3))
    found = hog.cell_grid(pixels)[..., hog.ORIENTATIONS :] * 255 - 128
    np.testing.assert_allclose(found, np.broadcast_to([a, b], (8, 8, 2)), atol=0.1)


def test_windows_that_share_cells_equal_windows_of_their_own_pixels(
    rng: np.random.Generator,
) -> None:
    pixels = textured(rng)
    cells = hog.cell_grid(pixels)
    windows = hog.every_window(cells).reshape(6, 8, hog.DIMENSIONS)
    for top, left in ((1, 1), (3, 5), (4, 6)):
        # One cell more on each side, so that gradients across the rim are seen.
        around = pixels[(top - 1) * 8 : (top + 9) * 8, (left - 1) * 8 : (left + 9) * 8]
        alone = hog.every_window(hog.cell_grid(around)).reshape(3, 3, hog.DIMENSIONS)[1, 1]
        np.testing.assert_array_equal(windows[top, left], alone)


def test_a_window_is_its_cells_normalised_as_published(rng: np.random.Generator) -> None:
    cells = hog.cell_grid(textured(rng))
    cells[2, 3, 4] = 400  # an orientation that is clipped
    block = cells[1:9, 2:10].astype(np.float64)
    gradients, colour = block[..., :31], block[..., 31:]
    gradients = np.minimum(gradients / np.linalg.norm(gradients), 0.2)
    gradients = gradients / np.linalg.norm(gradients)
    expected = np.concatenate([gradients, colour], axis=2).ravel()
    expected /= np.linalg.norm(expected)
    found = hog.windows_at(cells, np.array([0, 1]), np.array([0, 2]))
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    np.testing.assert_array_equal(found, hog.every_window(cells)[[0, 1 * 8 + 2]])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_flat_image_has_colours_only() -> None:
    windows = hog.every_window(hog.cell_grid(np.full((64, 72, 3), 77, np.uint8)))
    assert windows.shape == (2, hog.DIMENSIONS)
    assert not windows.reshape(2, 8, 8, 33)[..., :31].any()
    np.testing.assert_allclose(np.linalg.norm(windows, axis=1), 1, atol=1e-6)


def test_pixels_beyond_whole_cells_are_left_out(rng: np.random.Generator) -> None:
    assert hog.cell_grid(textured(rng, 71, 79)).shape == (8, 9, hog.CHANNELS)


def test_an_image_without_a_window_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="63 x 80 px holds no window of 64 px"):
        hog.cell_grid(textured(rng, 63, 80))
