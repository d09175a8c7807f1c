"""Pictures and collections for the tests, made on the spot."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter


def picture(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """A smooth random RGB picture that resembles no other seed's."""
    noise = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(1))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(path: Path, seed: int, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path, **options)
    return path


def class_folders(root: Path, labels: tuple[str, ...] = ("a", "b"), each: int = 2) -> Path:
    for i, label in enumerate(labels):
        for j in range(each):
            write(root / label / f"{j}.png", i * each + j)
    return root
