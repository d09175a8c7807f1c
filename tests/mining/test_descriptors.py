"""Numbers of an image beside its content: closed forms on small pictures."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from typika.collection._decode import header
from typika.mining import descriptors


def flat(colour, height=40, width=60):
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.2, 80.1, 67.2)),
        ((0, 0, 255), (32.3, 79.2, -107.9)),
    ],
)
def test_lab_is_that_of_the_books(rgb, lab):
    found = descriptors.lab_of(flat(rgb, 1, 1))[0, 0]
    np.testing.assert_allclose(found, lab, atol=0.3)


def test_a_strip_shows_on_its_side_alone():
    pixels = flat((200, 200, 200), 100, 100)
    plain = descriptors.border(descriptors.lab_of(pixels))
    pixels[:, :2] = 0
    edged = descriptors.border(descriptors.lab_of(pixels))
    left, *others = (edged - plain).reshape(4, 7)
    assert left[0] < -70  # L of the strip
    assert left[4] < -70  # and against what lies within
    assert max(abs(side[0]) for side in others) < 5  # the corners alone


def test_the_ground_is_what_there_is_most_of():
    pixels = flat((240, 235, 220), 100, 100)
    pixels[30:60, 30:60] = (200, 20, 20)
    lab = descriptors.lab_of(pixels)
    share = descriptors.background(lab)[-1]
    assert share == pytest.approx(0.91)
    bare = descriptors.lab_of(flat((240, 235, 220), 100, 100))
    np.testing.assert_allclose(descriptors.tint(lab), descriptors.tint(bare), atol=1e-3)


def test_blocks_bands_and_grain_show(rng):
    even = rng.normal(120, 8, (128, 128)).astype(np.float32)
    quiet = descriptors.sharpness(even)
    blocks = even.copy()
    blocks += (np.arange(128) // 8 % 2 * 40)[None, :]
    bands = even + (np.arange(128) % 2 * 10)[:, None].astype(np.float32)
    grain = even + rng.normal(0, 30, even.shape).astype(np.float32)
    assert descriptors.sharpness(blocks)[2] > quiet[2] + 1
    assert descriptors.sharpness(bands)[3] > quiet[3] + 1
    assert descriptors.sharpness(grain)[0] > quiet[0] + 1


@pytest.mark.parametrize("size", [(8, 8), (8, 300), (2000, 9)])
def test_every_size_gives_finite_numbers_of_one_length(size, rng):
    pixels = rng.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    found = descriptors.describe(Image.fromarray(pixels), header(buffer.getvalue()))
    lengths = {name: len(values) for name, values in found.items()}
    assert tuple(lengths) == descriptors.FAMILIES
    assert lengths == {"border": 28, "background": 5, "brightness": 4, "tint": 5,
                       "resolution": 4, "sharpness": 6, "file": 9}  # fmt: skip
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_header_knows_compression():
    coarse, fine = BytesIO(), BytesIO()
    Image.fromarray(flat((9, 9, 9))).save(coarse, "JPEG", quality=30, dpi=(300, 300))
    Image.fromarray(flat((9, 9, 9))).save(fine, "PNG")
    jpeg, png = header(coarse.getvalue()), header(fine.getvalue())
    assert (jpeg.format, png.format) == ("JPEG", "PNG")
    assert jpeg.quantisation > 1000 > png.quantisation == 0
    assert jpeg.dots_per_inch == 300
    assert jpeg.n_bytes == len(coarse.getvalue())
