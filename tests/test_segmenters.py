"""What tells the classes of pixels: models of transformers, functions; kept on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny_segmenters
from typika.collection.class_masks import places_among
from typika.errors import ModelError
from typika.mining.segmenters import Segmentation, TransformersSegmenter
from typika.mining.segments import Facts, keep, kept_numbers
from typika.mining.trends import TrendsConfig


@pytest.fixture
def image(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 255, (60, 90, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def segformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_segmenters.segformer(tmp_path_factory.mktemp("segformer"))


def test_a_semantic_model_names_every_pixel(segformer: Path, image: Image.Image) -> None:
    model = TransformersSegmenter.open(str(segformer), "cpu")
    found = model(image)
    assert found.names == ("sky", "wall", "person")
    assert found.numbers.shape == (60, 90)
    assert found.counts is None
    assert (found.numbers == model(image).numbers).all()
    other = TransformersSegmenter.open(str(segformer), "cpu")
    assert other.digest == model.digest
    assert (other(image).numbers == found.numbers).all()


def test_a_panoptic_model_tells_instances_apart(tmp_path: Path, image: Image.Image) -> None:
    model = TransformersSegmenter.open(str(tiny_segmenters.mask2former(tmp_path)), "cpu")
    found = model(image)
    assert (found.numbers == 1).all()
    assert found.counts == {1: 1}


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model.safetensors", r"holds no weights; get the checkpoint's safetensors files"),
        ("preprocessor_config.json", r"has no preprocessor_config\.json; pass a folder with"),
        ("config.json", r"no configuration of a transformers model"),
    ],
)
def test_a_folder_that_lacks_a_file_is_named(
    segformer: Path, tmp_path: Path, missing: str, message: str
) -> None:
    for path in segformer.iterdir():
        if path.name != missing:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=message):
        TransformersSegmenter.open(str(tmp_path))


def test_pickled_weights_are_refused(segformer: Path, tmp_path: Path) -> None:
    for path in segformer.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="only pickled weights, which can run code"):
        TransformersSegmenter.open(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "message"),
    [("oneformer", "takes a text beside the image"), ("clip", "a clip, which does not segment")],
)
def test_models_that_cannot_be_used_are_named(tmp_path: Path, kind: str, message: str) -> None:
    (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}')
    with pytest.raises(ModelError, match=message):
        TransformersSegmenter.open(str(tmp_path))


def test_without_the_network_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="download it first without --offline, or name a local"):
        TransformersSegmenter.open("nobody/no-such-segmenter")


# --- kept ---------------------------------------------------------------------------------------


def blocks() -> Segmentation:
    """10 x 20 pixels: of class 1 two areas that touch at a corner, and one; of 2 a speck."""
    numbers = np.full((10, 20), -1)
    numbers[0:2, 0:2] = numbers[2:4, 2:4] = 1
    numbers[6:9, 10:14] = 1
    numbers[9, 19] = 2
    return Segmentation(("sky", "café <b>", "speck"), numbers)


@pytest.mark.parametrize("n_names", [3, 300])
def test_what_is_kept_is_what_was_found(tmp_path: Path, n_names: int) -> None:
    found = blocks()
    names = (*found.names, *map(str, range(n_names - 3)))
    keep(Segmentation(names, found.numbers, {1: 7}), tmp_path / "one.png")
    assert (kept_numbers(tmp_path / "one.png") == found.numbers).all()
    facts = Facts.read(tmp_path / "one.png")
    assert facts == Facts.of(Segmentation(names, found.numbers, {1: 7}))
    first = (tmp_path / "one.png").read_bytes()
    keep(Segmentation(names, found.numbers, {1: 7}), tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes() == first


def test_areas_are_shares_and_instances_connected() -> None:
    facts = Facts.of(blocks())
    assert facts.pixels == {1: 20, 2: 1}
    assert facts.areas == {1: [12 / 200, 8 / 200], 2: [1 / 200]}
    found = facts.measures(TrendsConfig(least_area=0.01))
    assert found == {"café <b>": {"area": 0.1, "instances": 2},
                     "speck": {"area": 0.005, "instances": 0}}  # fmt: skip


def test_a_models_own_instances_count_unless_areas_are_asked_for() -> None:
    facts = Facts.of(Segmentation(blocks().names, blocks().numbers, {0: 1, 1: 5}))
    own = facts.measures(TrendsConfig())
    assert {name: one["instances"] for name, one in own.items()} == {
        "sky": 1, "café <b>": 5, "speck": 0
    }  # fmt: skip
    areas = facts.measures(TrendsConfig(instances="areas"))
    assert areas["café <b>"]["instances"] == 2


def test_classes_of_one_name_are_one() -> None:
    numbers = np.array([[0, 1], [2, 2]])
    found = Facts.of(Segmentation(("car", "car", "sky"), numbers)).measures(TrendsConfig())
    assert found["car"]["area"] == found["sky"]["area"] == 0.5


def test_numbers_that_are_not_listed_are_of_no_class() -> None:
    numbers = np.array([[0, 7, 255], [8, 9, 7]])
    assert places_among(numbers, [7, 9]).tolist() == [[-1, 0, -1], [-1, 1, 0]]


@pytest.mark.parametrize(
    ("numbers", "counts", "message"),
    [
        (np.array([[0, 3]]), None, "numbers 0 to 3 for 3 names"),
        (np.array([[-2, 0]]), None, "numbers -2 to 0"),
        (np.array([0, 1]), None, r"shape \(2,\)"),
        (np.array([[0.5]]), None, "kind 'f'"),
        (np.array([[0]]), {3: 1}, "1 instances of class 3"),
        (np.array([[0]]), {0: -1}, "-1 instances of class 0"),
    ],
)
def test_a_segmentation_that_cannot_be_is_named(
    numbers: np.ndarray, counts: dict[int, int] | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Segmentation(("a", "b", "c"), numbers, counts)
