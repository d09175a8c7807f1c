from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from typika.errors import DataError
from typika.mining.patches import upsample
from typika.mining.refinement import guided_filter, refine


def test_a_flat_picture_only_smooths(rng: np.random.Generator) -> None:
    values = rng.normal(size=(40, 40))
    found = guided_filter(np.full((40, 40), 0.5), values, 3, 1e-3)
    assert found.std() < values.std() / 3
    assert_allclose(found.mean(), values.mean(), atol=0.05)


def test_a_map_that_is_linear_in_the_picture_stays(rng: np.random.Generator) -> None:
    guide = rng.random((30, 30))
    assert_allclose(guided_filter(guide, 3 * guide - 1, 4, 1e-12), 3 * guide - 1, atol=1e-6)


def test_a_coarse_map_takes_the_edge_of_a_dark_spot() -> None:
    picture = np.full((128, 128), 200, np.uint8)
    picture[40:70, 50:80] = 40
    truth = picture == 40
    coarse = truth.reshape(8, 16, 8, 16).mean(axis=(1, 3))
    plain = upsample(coarse, 128, 128)
    refined = refine(plain, Image.fromarray(picture))

    def gap(values: np.ndarray) -> float:
        return float(values[truth].min() - values[~truth].max())

    assert gap(refined) > gap(plain)


def test_an_empty_map_is_refused() -> None:
    with pytest.raises(DataError, match="empty map"):
        refine(np.zeros((0, 4)), Image.new("RGB", (4, 4)))
