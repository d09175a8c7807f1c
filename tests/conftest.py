"""Shared fixtures: seeded randomness, a tiny collection, real data where there is some."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

os.environ.setdefault("HF_HUB_OFFLINE", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: this test needs the real collections")
    return SHARED


def draw_photo(path: Path, label: int, number: int, size: tuple[int, int] = (96, 80)) -> None:
    """A noisy picture with a bright shape that depends on the label."""
    rng = np.random.default_rng([label, number])
    noise = rng.normal(128, 40, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(noise)
    draw = ImageDraw.Draw(image)
    x, y = (int(rng.integers(0, side - 24)) for side in size)
    if label % 2 == 0:
        draw.ellipse([x, y, x + 22, y + 22], fill=(240, 60, 40))
    else:
        draw.polygon([(x, y + 22), (x + 11, y), (x + 22, y + 22)], fill=(40, 90, 240))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=90)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two labels of twelve small photographs: red discs, blue triangles."""
    root = tmp_path / "photos"
    for label, name in enumerate(("discs", "triangles")):
        for number in range(12):
            draw_photo(root / name / f"{number:02d}.jpg", label, number)
    return root
