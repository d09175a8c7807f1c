"""Pictures that tests draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


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
