"""Gradients, colours and neighbours, against values worked out by hand or by brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import draw_photo
from typika.baselines import neighbours
from typika.baselines.methods import Material
from typika.baselines.neighbours import (
    Bank,
    Neighbours,
    around,
    drawn_images,
    gradient_cells,
    lab,
    look,
    unit_blocks,
)
from typika.collection.images import ImageCollection
from typika.diffusion.embedded import EmbeddedConfig
from typika.diffusion.models import EmbeddedModel
from typika.diffusion.training import OptimiserConfig


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab_of_known_colours(colour: tuple[int, ...], expected: tuple[float, ...]) -> None:
    assert lab(np.array([[colour]], dtype=np.float32))[0, 0] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("turned", "orientation"), [(False, 0), (True, 4)])
def test_an_edge_counts_for_the_direction_across_it(turned: bool, orientation: int) -> None:
    pixels = np.zeros((32, 32, 3), np.float32)
    pixels[:, 12:] = 100  # an edge in the second column of cells, between pixels 11 and 12
    if turned:
        pixels = pixels.transpose(1, 0, 2)
    cells = gradient_cells(np.ascontiguousarray(pixels))
    cells = cells.transpose(1, 0, 2) if turned else cells
    assert cells[:, 1, orientation] == pytest.approx(np.full(4, 2 * 8 * 100))
    assert cells.sum() == pytest.approx(4 * 2 * 8 * 100)


def test_the_strongest_colour_speaks() -> None:
    pixels = np.zeros((16, 16, 3), np.float32)
    pixels[:, 8:, 0] = 50  # red, left to right
    pixels[8:, :, 1] = 20  # green, downwards, hidden where red changes
    cells = gradient_cells(pixels)
    assert cells[..., 0].sum() == pytest.approx(2 * 16 * 50)
    assert cells[..., 4].sum() == pytest.approx(2 * (16 - 2) * 20)


def test_contrast_changes_nothing_and_flat_stays_zero(rng: np.random.Generator) -> None:
    blocks = rng.random((5, 324))
    blocks[2] = 0
    found = unit_blocks(blocks)
    assert np.allclose(found, unit_blocks(7.5 * blocks))
    assert np.allclose(np.linalg.norm(found, axis=1), [1, 1, 0, 1, 1])
    loud = np.array([[10.0, *[1.0] * 100]])  # of length √200: 0.71 is clipped to 0.2
    found = unit_blocks(loud)[0]
    assert found[0] / found[1] == pytest.approx(0.2 * np.sqrt(200))


def test_a_patch_lies_around_the_middle_of_its_cell(rng: np.random.Generator) -> None:
    fine, coarse = rng.random((8, 12, 2)), rng.random((4, 6, 3))
    block = around(fine, 4, 6, 6).reshape(4, 6, 2, 6, 6)
    assert np.array_equal(block[1, 2], fine[0:6, 2:8].transpose(2, 0, 1))
    assert np.array_equal(block[0, 0, :, 2:, 2:], fine[0:4, 0:4].transpose(2, 0, 1))
    assert np.array_equal(block[0, 0, :, 0, 0], fine[0, 0])  # beyond the rim: the rim
    block = around(coarse, 4, 6, 3).reshape(4, 6, 3, 3, 3)
    assert np.array_equal(block[2, 3], coarse[1:4, 2:5].transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(256, 256), (640, 200), (40, 40), (3000, 20)])
def test_every_cell_of_the_grid_is_described(size: tuple[int, int]) -> None:
    described, grid = look(Image.effect_noise(size, 60).convert("RGB"))
    assert described.gradients.shape == (grid[0] * grid[1], 324)
    assert described.colours.shape == (grid[0] * grid[1], 27)
    assert np.isfinite(described.gradients).all()
    if size[0] == size[1]:
        assert grid == (16, 16)


def bank(rng: np.random.Generator, n: int = 12, each: int = 5) -> Bank:
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(n * each, 6))))
    groups = np.arange(n) // 2, np.arange(n) % 5
    return Bank(vectors, np.arange(n).repeat(each), rng.integers(3, size=n), groups, 3)


def test_shares_are_those_of_brute_force(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = bank(rng)
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(9, 6))))
    found = own.shares(vectors, 4, k=20)  # some of them behind
    cosine = (vectors @ own.vectors.T).numpy()
    label = own.label[own.row]
    for patch, values in enumerate(found):
        strangers = [
            place
            for place, row in enumerate(own.row)
            if all(group[row] != group[4] for group in own.groups)
        ]
        assert 20 < len(strangers) < len(own.row) - 10
        near = sorted(strangers, key=lambda place: -cosine[patch, place])[:20]
        for number in range(3):
            share = np.mean([label[place] == number for place in near])
            prior = np.mean([label[place] == number for place in strangers])
            assert values[number] == pytest.approx(share - prior)
    assert found.sum(axis=1) == pytest.approx(np.zeros(9))
    monkeypatch.setattr(neighbours, "AT_ONCE", 2)
    assert np.array_equal(own.shares(vectors, 4, k=20), found)


def test_with_no_stranger_nothing_is_typical(rng: np.random.Generator) -> None:
    own = bank(rng)
    alone = Bank(own.vectors, own.row, own.label, (np.zeros(12, dtype=int),), 3)
    assert (alone.shares(own.vectors, 0, k=7) == 0).all()
    few = Bank(own.vectors, own.row, own.label, (np.minimum(np.arange(12), 1),), 3)
    assert np.isfinite(few.shares(own.vectors, 3, k=1000)).all()  # only image 0 is a stranger


def test_the_bank_is_drawn_from_what_may_be_learned_from() -> None:
    trained_on = np.arange(100) % 2 == 0
    rows, each = drawn_images(trained_on, 1000, seed=0)
    assert (len(rows), each) == (50, 20)
    assert trained_on[rows].all()
    rows, each = drawn_images(trained_on, 30, seed=0)
    assert (len(np.unique(rows)), each) == (30, 1)
    assert (np.diff(rows) > 0).all()


@pytest.fixture
def material(tmp_path: Path) -> Material:
    """Discs left and triangles right, on one ground."""
    for label, name in enumerate(("discs", "triangles")):
        for number in range(8):
            draw_photo(tmp_path / "photos" / name / f"{number}.jpg", label, number)
    collection = ImageCollection.open(tmp_path / "photos", workers=1)
    trained_on = np.ones(len(collection), dtype=bool)
    trained_on[::5] = False
    encoder = EmbeddedModel(EmbeddedConfig(), OptimiserConfig(), 0)
    return Material(collection, trained_on, encoder, tmp_path / "run", seed=0, workers=1)


def test_the_map_points_at_what_differs(material: Material) -> None:
    method = Neighbours(neighbours=5, bank=2000)
    assert method.fit(material) == []
    draw = method.open(material)
    right = 0
    for row in range(len(material.collection)):
        found = draw(row)
        (values,) = found.scales
        assert -1 <= values.min() <= values.max() <= 1
        right += found.predicted == material.collection.label_index[row]
    assert right >= 14


def test_workers_and_a_second_call_change_nothing(material: Material, tmp_path: Path) -> None:
    method = Neighbours(neighbours=5, bank=300)
    method.fit(material)
    content = method.path(material).read_bytes()
    other = Material(
        material.collection, material.trained_on, material.encoder, tmp_path / "other", 0, 2
    )
    method.fit(other)
    assert method.path(other).read_bytes() == content
    stamp = method.path(material).stat().st_mtime_ns
    method.fit(material)
    assert method.path(material).stat().st_mtime_ns == stamp
