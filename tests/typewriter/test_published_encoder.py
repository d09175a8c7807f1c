from __future__ import annotations

import math

import pytest
import torch

from typika.typewriter.encoders import GaussianPooling, ResidualEncoder


def test_the_published_encoder_has_as_many_parameters_as_published() -> None:
    assert sum(value.numel() for value in ResidualEncoder(64).parameters()) == 463_504


@pytest.mark.parametrize("width", [13, 16, 17, 64, 100, 127, 128])
def test_a_line_has_a_cell_every_sixteen_pixels(width: int) -> None:
    encoder = ResidualEncoder(32).eval()
    with torch.inference_mode():
        features = encoder(torch.rand(2, 3, 32, width))
    assert features.shape == (2, encoder.cells(width), 64)
    assert abs(encoder.cells(width) - width / 16) < 1
    assert torch.allclose(features.mean(dim=2), torch.zeros(()), atol=1e-5)
    assert torch.allclose(features.var(dim=2, unbiased=False), torch.ones(()), atol=1e-2)


def test_pooling_is_a_mean_of_the_middle() -> None:
    pooling = GaussianPooling(16)
    assert torch.allclose(pooling(torch.full((1, 3, 16, 9), 2.5)), torch.full((1, 3, 2), 2.5))
    rows = pooling(torch.eye(16)[:, None, :, None].expand(-1, -1, -1, 4))[:, 0, 0]
    # Rows 7, 8 | 9 lie 1/2 and 3/2 off the middle: exp(9/8 − 1/8).
    assert (rows[8] / rows[9]).item() == pytest.approx(math.e)
    assert rows[5:11].sum() > 0.998
    assert not list(pooling.parameters())
    assert "kernel" in dict(pooling.named_buffers())


def test_features_follow_the_line() -> None:
    encoder = ResidualEncoder(32).eval()
    line = torch.rand(1, 3, 32, 480, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        here, later = encoder(line), encoder(torch.nn.functional.pad(line, (32, 0)))
    # In the middle, where neither end of the line is seen.
    assert torch.allclose(here[:, 12:18], later[:, 14:20], atol=1e-4)
