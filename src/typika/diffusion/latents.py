"""Latents of a collection on disk: encoded once, read many times.

A part holds the cells of some hundred images, one after another, as float16 beside the shape of
each image's grid. Parts are written whole, so a killed run goes on with the missing ones.
Legend: `d` latent channels, `h w` grid, `m` cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from typika.errors import ConfigError
from typika.files import whole_file

PART = 64  # images per part file


def n_parts(n_images: int) -> int:
    """How many part files a collection has."""
    return -(-n_images // PART)


def part_rows(part: int, n_images: int) -> range:
    """Rows of the collection that a part holds."""
    return range(part * PART, min((part + 1) * PART, n_images))


def part_path(folder: Path, part: int) -> Path:
    """Where a part lies; its shapes lie beside it."""
    return folder / f"part-{part:05d}.npy"


def write_part(folder: Path, part: int, latents: Sequence[Float[Tensor, "d _h _w"]]) -> None:
    """Write the latents of one part; the cells come last, so that they say the part is whole."""
    shapes = np.array([latent.shape[1:] for latent in latents], dtype=np.int32)
    cells = torch.cat([latent.flatten(1).T for latent in latents]).half().numpy()
    _save(_shapes_path(folder, part), shapes)
    _save(part_path(folder, part), cells)


def _shapes_path(folder: Path, part: int) -> Path:
    return folder / f"shape-{part:05d}.npy"


def _save(path: Path, array: ndarray) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)


@dataclass(frozen=True)
class Batch:
    """Cells of some images, one image after another.

    cells: (m, d) float32; image: (m,) position in the batch of the image each cell belongs to;
    counts: (b,) cells of each image.
    """

    cells: Float[Tensor, "m d"]
    image: Int[Tensor, " m"]
    counts: Int[Tensor, " b"]

    def image_mean(self, values: Float[Tensor, "m k"]) -> Float[Tensor, "b k"]:
        """Mean over the cells of each image."""
        sums = values.new_zeros((len(self.counts), values.shape[1]))
        sums.index_add_(0, self.image, values)
        return sums / self.counts[:, None]


def check_cells(cells: tuple[int, int]) -> None:
    """Raise ConfigError unless `cells` is a range to draw from: 1 <= fewest <= most."""
    fewest, most = cells
    if not 1 <= fewest <= most:
        raise ConfigError(f"cells={cells}: need two numbers, 1 <= fewest <= most")


def draw_cells(cells: tuple[int, int], generator: torch.Generator) -> int:
    """How many cells of an image one step looks at: log-uniform between the fewest and the most.

    A step that sees a part of each image must often tell its label without the loudest element,
    so that the quiet ones are learned too (Singh and Lee 2017: Hide-and-Seek); a step that sees
    all of it knows the small ones.
    """
    fewest, most = cells
    return round(fewest * (most / fewest) ** float(torch.rand((), generator=generator)))


class LatentStore:
    """The latents under `folder`, read on demand; nothing but shapes is kept in memory."""

    def __init__(self, folder: Path, n_images: int) -> None:
        self.folder = folder
        parts = range(n_parts(n_images))
        shapes = [np.load(_shapes_path(folder, part), allow_pickle=False) for part in parts]
        self.shapes = np.concatenate(shapes)
        sizes = self.shapes.prod(axis=1)
        # Cells before each image within its own part.
        self._starts = np.concatenate(
            [
                np.cumsum(sizes[part_rows(part, n_images)]) - sizes[part_rows(part, n_images)]
                for part in parts
            ]
        )
        self._sizes = sizes
        self._open = lru_cache(maxsize=512)(self._open_part)

    def _open_part(self, part: int) -> ndarray:
        path = part_path(self.folder, part)
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))

    def _cells(self, row: int) -> ndarray:
        start = self._starts[row]
        return self._open(row // PART)[start : start + self._sizes[row]]

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def channels(self) -> int:
        """Size of a cell."""
        return int(self._open(0).shape[1])

    def latent(self, row: int) -> Float[Tensor, "d h w"]:
        """The latent of one image, float32."""
        height, width = self.shapes[row]
        cells = torch.from_numpy(self._cells(row).astype(np.float32))
        return cells.T.reshape(-1, int(height), int(width))

    def batch(
        self, rows: Sequence[int], cells: tuple[int, int], generator: torch.Generator
    ) -> Batch:
        """The cells of several images: of each all, or a number spread evenly at random places.

        The number is one for the whole batch, drawn by `draw_cells`.
        """
        most = draw_cells(cells, generator)
        found = []
        for row in rows:
            own = self._cells(row)
            if len(own) > most:
                offset = torch.rand(most, generator=generator).numpy()
                own = own[((np.arange(most) + offset) / most * len(own)).astype(int)]
            found.append(torch.from_numpy(own.astype(np.float32)))
        counts = torch.tensor([len(own) for own in found])
        image = torch.repeat_interleave(torch.arange(len(rows)), counts)
        return Batch(torch.cat(found), image, counts)
