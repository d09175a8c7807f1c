"""CLIP mining with a CLIP of a few thousand random weights."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_clip
from pictures import draw_photo
from typika.baselines.clip import Clip, ClipCheckpoint, ClipImages
from typika.baselines.methods import Material
from typika.collection.images import ImageCollection
from typika.collection.prompts import PromptTemplate
from typika.diffusion.embedded import EmbeddedConfig
from typika.diffusion.models import EmbeddedModel
from typika.diffusion.training import OptimiserConfig
from typika.errors import ModelError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip.build(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="module")
def images(folder: Path) -> ClipImages:
    return ClipImages(ClipCheckpoint.open(str(folder)), CPU)


@pytest.fixture
def material(tmp_path: Path) -> Material:
    for label, name in enumerate(("discs", "triangles")):
        for number in range(3):
            draw_photo(tmp_path / "photos" / name / f"{number}.jpg", label, number)
    collection = ImageCollection.open(tmp_path / "photos", workers=1)
    trained_on = np.ones(len(collection), dtype=bool)
    encoder = EmbeddedModel(EmbeddedConfig(), OptimiserConfig(), 0)
    return Material(collection, trained_on, encoder, tmp_path / "run", seed=0)


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def maps(method: Clip, material: Material) -> list[np.ndarray]:
    method.fit(material)
    draw = method.open(material)
    return [draw(row).scales[0] for row in range(len(material.collection))]


def test_tokens_go_the_way_of_the_whole_image(folder: Path, images: ClipImages) -> None:
    """Transformers' own image features are the oracle."""
    pixels = torch.randn(1, 3, tiny_clip.SIDE, tiny_clip.SIDE)
    own = images.project(images.states(pixels)[:, :1])[0, 0]
    model = ClipCheckpoint.open(str(folder)).load()
    output = model.get_image_features(pixel_values=pixels)
    expected = getattr(output, "pooler_output", output)[0]
    assert torch.allclose(own, expected / expected.norm(), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "grid"), [((50, 50), (4, 4)), ((400, 100), (4, 8)), ((30, 3000), (40, 4))]
)
def test_the_whole_image_is_seen_in_its_proportions(
    images: ClipImages, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    tokens, found = images.tokens(noise(*size))
    assert found == grid
    assert tokens.shape == (grid[0] * grid[1], 12)
    assert torch.allclose(tokens.norm(dim=1), torch.ones(len(tokens)), atol=1e-5)


def test_an_image_of_the_models_size_is_seen_as_it_is(images: ClipImages) -> None:
    picture = noise(tiny_clip.SIDE, tiny_clip.SIDE)
    pixels = torch.from_numpy(np.asarray(picture, np.float32) / 255)
    x = ((pixels - images.mean) / images.deviation).permute(2, 0, 1)[None]
    expected = images.project(images.states(x)[:, 1:])[0]
    assert torch.equal(images.tokens(picture)[0], expected)


def test_a_prompt_equal_to_that_of_no_label_differs_by_nothing(
    folder: Path, material: Material
) -> None:
    prompts = PromptTemplate(label="{label}", null="discs")
    found = maps(Clip("diff", str(folder), prompts), material)
    label = material.collection.label_index
    for row, values in enumerate(found):
        assert (np.abs(values).max() < 1e-6) == (label[row] == 0)


def test_sim_less_null_is_diff(folder: Path, material: Material) -> None:
    prompts = PromptTemplate(label="A photo of {label}.", null="")
    sim = maps(Clip("sim", str(folder), prompts), material)
    diff = maps(Clip("diff", str(folder), prompts), material)
    embedded = ClipCheckpoint.open(str(folder)).embed(["A photo of discs.", ""])
    images = ClipImages(ClipCheckpoint.open(str(folder)), CPU)
    row = int(np.flatnonzero(material.collection.label_index == 0)[0])
    tokens, grid = images.tokens(material.collection.load(row))
    cosine = (tokens @ embedded.T).numpy().reshape(*grid, 2)
    assert sim[row] == pytest.approx(cosine[..., 0], abs=1e-6)
    assert diff[row] == pytest.approx(cosine[..., 0] - cosine[..., 1], abs=1e-6)


def test_what_decides_is_a_cause(folder: Path, tmp_path: Path) -> None:
    prompts = PromptTemplate()
    causes = Clip("diff", str(folder), prompts).causes()
    shutil.copytree(folder, tmp_path / "copy")
    assert Clip("diff", str(tmp_path / "copy"), prompts).causes() == causes
    assert Clip("diff", str(folder), PromptTemplate(null="It.")).causes() != causes
    weights = tmp_path / "copy" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert Clip("diff", str(tmp_path / "copy"), prompts).causes() != causes


def test_what_is_no_clip_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder, and not a name on the hub"):
        ClipCheckpoint.open(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match=r"cannot get it from the hub .* without --offline"):
        ClipCheckpoint.open("nobody/nothing")
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").rename(tmp_path / "copy" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="a pickle are not read"):
        ClipCheckpoint.open(str(tmp_path / "copy"))
    config = tmp_path / "copy" / "config.json"
    config.write_text(json.dumps({"model_type": "siglip"}))
    with pytest.raises(ModelError, match="a model of type 'siglip'"):
        ClipCheckpoint.open(str(tmp_path / "copy"))
    config.unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        ClipCheckpoint.open(str(tmp_path / "copy"))


def test_without_transformers_the_remedy_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"pip install 'typika\[transformers\]'"):
        ClipCheckpoint.open(str(folder)).load()
