"""Lines as tensors: what a typewriter is shown, and what it reads.

Legend: `b` lines of a batch, `H W` pixels, `T` cells, `K` symbols and one blank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from typika.errors import DataError

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601
LEAST_CONTRAST = 0.1  # between paper and ink, of 1; a line with less is taken as empty paper


@dataclass(frozen=True)
class Line:
    """One line at the height of the model, as bytes.

    pixels: RGB. mask: 255 where the error counts, None where it counts everywhere.
    symbols: the transcription, None where there is none. paper, ink: colours in [0, 1].
    """

    line_id: str
    pixels: UInt8[ndarray, "H W 3"]
    mask: UInt8[ndarray, "H W"] | None
    symbols: tuple[int, ...] | None
    paper: tuple[float, float, float]
    ink: tuple[float, float, float]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.pixels.shape[1]


@dataclass(frozen=True)
class LineBatch:
    """Lines padded on the right to one width, with white that counts for nothing.

    image: in [0, 1]. mask: 1 where errors count, 0 in the padding and outside a line's polygon.
    widths: pixels before padding. texts: symbols of each line, None where not transcribed.
    paper, ink: RGB colours in [0, 1] of each line.
    """

    image: Float[Tensor, "b 3 H W"]
    mask: Float[Tensor, "b H W"]
    widths: Int[Tensor, " b"]
    texts: tuple[tuple[int, ...] | None, ...]
    paper: Float[Tensor, "b 3"]
    ink: Float[Tensor, "b 3"]

    @property
    def ink_image(self) -> Float[Tensor, "b H W"]:
        """How much of each pixel is ink: its place between the two colours, in [0, 1].

        Outside a line's polygon there is paper.
        """
        axis = self.paper - self.ink
        length = axis.square().sum(1).clamp_min(LEAST_CONTRAST**2)
        along = torch.einsum("bchw,bc->bhw", self.paper[:, :, None, None] - self.image, axis)
        return (along / length[:, None, None]).clamp(0, 1) * self.mask

    def only(self, numbers: Sequence[int]) -> LineBatch:
        """Some of the lines."""
        chosen = list(numbers)
        return LineBatch(
            image=self.image[chosen], mask=self.mask[chosen], widths=self.widths[chosen],
            texts=tuple(self.texts[n] for n in chosen), paper=self.paper[chosen],
            ink=self.ink[chosen],
        )  # fmt: skip

    def to(self, device: torch.device) -> LineBatch:
        """The same on a device."""
        return replace(
            self, image=self.image.to(device), mask=self.mask.to(device),
            widths=self.widths.to(device), paper=self.paper.to(device), ink=self.ink.to(device),
        )  # fmt: skip

    def coloured(self, ink_image: Float[Tensor, "b H W"]) -> Float[Tensor, "b 3 H W"]:
        """An ink image in the colours of its line."""
        share = ink_image[:, None].clamp(0, 1)
        return self.paper[:, :, None, None] * (1 - share) + self.ink[:, :, None, None] * share


@dataclass(frozen=True)
class Reading:
    """What the model reads: of every cell, which symbol stands there.

    log_probabilities: over the K symbols and the blank (last). n_cells: those of each line that
    are no padding.
    """

    log_probabilities: Float[Tensor, "b T K1"]
    n_cells: Int[Tensor, " b"]


def collate(lines: Sequence[Line], least_width: int = 0) -> LineBatch:
    """Lines of one height as a batch, as wide as the widest (at least `least_width` pixels)."""
    heights = {line.pixels.shape[0] for line in lines}
    if len(heights) != 1:
        raise DataError(f"lines of heights {sorted(heights)} in one batch; need one height")
    (height,), width = heights, max(least_width, *(line.width for line in lines))
    pixels = np.full((len(lines), height, width, 3), 255, np.uint8)
    mask = np.zeros((len(lines), height, width), np.uint8)
    for n, line in enumerate(lines):
        pixels[n, :, : line.width] = line.pixels
        mask[n, :, : line.width] = 255 if line.mask is None else line.mask
    return LineBatch(
        image=torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255,
        mask=torch.from_numpy(mask).float() / 255,
        widths=torch.tensor([line.width for line in lines]),
        texts=tuple(line.symbols for line in lines),
        paper=torch.tensor([line.paper for line in lines]),
        ink=torch.tensor([line.ink for line in lines]),
    )


def ink_and_paper(
    pixels: UInt8[ndarray, "H W 3"], mask: UInt8[ndarray, "H W"] | None
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The colours of ink and of paper: medians of either side of Otsu's threshold, in [0, 1].

    Only pixels of the mask are looked at; black and white where it has none. Ink is the darker; a
    line without contrast has the ink that lies `LEAST_CONTRAST` below its paper.
    """
    inside = pixels.reshape(-1, 3) if mask is None else pixels[mask > 127]
    if not len(inside):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # nothing of it counts
    grey = inside @ np.array(LUMINANCE)
    dark = grey <= otsu(grey)
    paper = np.median(inside[~dark] if (~dark).any() else inside, axis=0) / 255
    ink = np.median(inside[dark], axis=0) / 255 if dark.any() else paper
    if np.linalg.norm(paper - ink) < LEAST_CONTRAST:
        ink = np.clip(paper - LEAST_CONTRAST, 0, 1)
    return _colour(ink), _colour(paper)


def _colour(values: ndarray) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue


def otsu(grey: Float[ndarray, " n"]) -> float:
    """The threshold that parts grey values (0 … 255) with the greatest variance between sides."""
    counts = np.bincount(np.clip(grey.astype(int), 0, 255), minlength=256).astype(float)
    values = np.arange(256)
    below, total = counts.cumsum(), counts.sum()
    mean_below = (counts * values).cumsum() / np.maximum(below, 1)
    mean_above = ((counts * values).sum() - (counts * values).cumsum()) / np.maximum(
        total - below, 1
    )
    between = below * (total - below) * (mean_below - mean_above) ** 2
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(best.mean()) if between.max() > 0 else -1.0


def batches(
    lines: Sequence[Line], size: int, generator: np.random.Generator
) -> Iterator[list[int]]:
    """Once over the lines: numbers of `size` lines of about the same width, in random order.

    Widths are blurred by a tenth, so that a line meets others each time. The last may be smaller.
    """
    widths = np.array([line.width for line in lines])
    blurred = widths * generator.uniform(0.9, 1.1, len(lines))
    order = np.argsort(blurred, kind="stable")
    groups = [order[start : start + size].tolist() for start in range(0, len(order), size)]
    for group in generator.permutation(len(groups)):
        yield groups[group]
