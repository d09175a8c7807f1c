"""Changes of an image that leave its content and take a nuisance away.

What is typical of the content outlives them; what dies was typical of how the picture was made.
Pure functions of an image; sizes of the image stay, those of `resampled` excepted in detail only.
Legend: Lab as in `descriptors`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image, ImageFilter

from typika.mining.descriptors import ground, lab_of, rgb_of, small_copy

QUALITY = 75  # of the JPEG that an image is sent through
BORDER = 0.05  # of the short side: the strip on all four sides that is painted over
WHITE = 75.0  # L at which a cast is measured and taken away
CONTRAST_FLOOR = 5.0  # spread of L below which contrast is not stretched


@dataclass(frozen=True)
class Look:
    """What of an image can be normalised.

    light, contrast: mean and spread of L; cast: a and b of its ground and its lightest parts;
    short: pixels of its short side.
    """

    light: float
    contrast: float
    cast: tuple[float, float]
    short: int

    @classmethod
    def of(cls, image: Image.Image) -> Look:
        """Look at an upright RGB image."""
        lab = lab_of(np.asarray(small_copy(image)))
        light = lab[..., 0]
        lightest = lab[light >= np.percentile(light, 90)]
        cast = (ground(lab)[:, 1:].mean(axis=0) + lightest[:, 1:].mean(axis=0)) / 2
        return cls(
            float(light.mean()), float(light.std()), (float(cast[0]), float(cast[1])),
            min(image.size),
        )  # fmt: skip

    @property
    def numbers(self) -> Mapping[str, tuple[float, ...]]:
        """What each normalisation takes away, as numbers."""
        return {
            "brightness": (self.light, self.contrast),
            "tint": self.cast,
            "resolution": (float(self.short),),
        }


def common_look(looks: list[Look]) -> Look:
    """What images are brought to: medians, and of the short sides a low one that most reach.

    Detail can be taken away and not added, so that only images above that size change.
    """
    columns = np.array([(look.light, look.contrast, *look.cast) for look in looks])
    light, contrast, a, b = (float(value) for value in np.median(columns, axis=0))
    short = int(np.percentile([look.short for look in looks], 10))
    return Look(light, contrast, (a, b), short)


def reencoded(image: Image.Image) -> Image.Image:
    """Each pixel replaced by the median of 3 x 3, and sent through a JPEG of quality 75.

    Grain, scan lines and traces of compression go, outlines and surfaces stay: of a planted
    scanner's noise a fifth outlived the median, of the finest planted elements three fifths. A
    blur that took as much of the noise took as much of those.
    """
    buffer = io.BytesIO()
    image.filter(ImageFilter.MedianFilter(3)).save(buffer, "JPEG", quality=QUALITY)
    with Image.open(buffer) as again:
        return again.convert("RGB")


def unbordered(image: Image.Image) -> Image.Image:
    """A strip along all four sides painted over with what lies within, mirrored."""
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    thick = max(1, round(BORDER * min(height, width)))
    if min(height, width) < 4 * thick:
        return image
    inner = pixels[thick : height - thick, thick : width - thick]
    return Image.fromarray(np.pad(inner, ((thick, thick), (thick, thick), (0, 0)), "reflect"))


def relit(image: Image.Image, common: Look) -> Image.Image:
    """Mean and spread of L brought to the common ones."""
    lab = lab_of(np.asarray(image))
    light = lab[..., 0]
    stretch = common.contrast / max(float(light.std()), CONTRAST_FLOOR)
    lab[..., 0] = ((light - light.mean()) * stretch + common.light).clip(0, 100)
    return Image.fromarray(rgb_of(lab))


def untinted(image: Image.Image, common: Look) -> Image.Image:
    """The cast moved to the common one by a gain of each channel (von Kries 1902).

    Faded dyes and coloured lamps multiply, so black stays black. The gains are of sRGB values:
    but near black, they stand for gains of light.
    """
    own = Look.of(image)
    lab = np.array([[[WHITE, *own.cast], [WHITE, *common.cast]]], np.float32)
    [[before, after]] = rgb_of(lab).astype(np.float64)
    gain = after / np.maximum(before, 1)
    values: Float[ndarray, "H W 3"] = np.asarray(image) * gain
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def resampled(image: Image.Image, common: Look) -> Image.Image:
    """No more detail than an image of the common size has; the size stays."""
    scale = common.short / min(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(scale * side)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    return small.resize(image.size, Image.Resampling.BICUBIC)


CHANGES: Mapping[str, Callable[[Image.Image, Look], Image.Image]] = {
    "re-encoding": lambda image, _: reencoded(image),
    "border": lambda image, _: unbordered(image),
    "brightness": relit,
    "tint": untinted,
    "resolution": resampled,
}
