"""The demo with four artefacts planted on top: does each get its badge, and do elements get none?

Each town has an artefact in about six of ten of its images: Dovelle the edge of a scanner's lid,
which is the demo's own, Almorin the lines and grain of a poor scanner, Brisk a warm cast, Corvane
a translucent mark at one place.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

SHARE = 0.6  # of a town's images
MARK = (196, 204, 236, 244)  # left, top, right, bottom of the watermark, pixels of 256


def with_scanner_noise(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows a little lighter or darker each, and grain."""
    height, width = pixels.shape[:2]
    lines = rng.normal(0, 5, (height, 1, 1))
    grain = rng.normal(0, 5, (height, width, 1))
    return (pixels + lines + grain).clip(0, 255).round().astype(np.uint8)


def with_warm_cast(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """More red, less blue."""
    strength = rng.uniform(0.8, 1.2)
    return (pixels * (1 + strength * np.array([0.10, 0, -0.24]))).clip(0, 255).astype(np.uint8)


def with_watermark(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """A ring with a bar across it, translucent, always at the same place."""
    image = Image.fromarray(pixels).convert("RGBA")
    layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
    pen = ImageDraw.Draw(layer)
    left, top, right, bottom = MARK
    white = (255, 255, 255, 110)
    pen.ellipse(MARK, outline=white, width=5)
    pen.rectangle(
        [left + 6, (top + bottom) // 2 - 3, right - 6, (top + bottom) // 2 + 3], fill=white
    )
    return np.asarray(Image.alpha_composite(image, layer).convert("RGB"))


PLANTED = {"Almorin": with_scanner_noise, "Brisk": with_warm_cast, "Corvane": with_watermark}
