"""Doersch et al. 2012 as a baseline of maps: the best detector of the label at every place.

What the detectors found in images that did not train them last is kept beside them: these are the
clusters that the paper would show. Legend: `d` detectors of a label, `h w` cells of an image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray
from safetensors.numpy import load_file, save

from typika import config as settings
from typika.baselines import hog
from typika.baselines._windows import working_size
from typika.baselines.doersch import Detectors, DoerschConfig, mine
from typika.baselines.methods import BaselineMap, Mapper, Material
from typika.baselines.names import Wording
from typika.files import whole_file
from typika.tables import read_parquet, write_parquet

SIDES = ("left", "top", "right")  # of a window that are read


@dataclass(frozen=True)
class Doersch:
    """The baseline: discriminative detectors."""

    config: DoerschConfig

    def causes(self) -> Mapping[str, Any]:
        """See `MapBaseline`."""
        return {"detectors": settings.as_values(self.config)}

    def processes(self, wanted: int) -> int:
        """As many as wanted."""
        return wanted

    def fit(self, material: Material) -> list[dict[str, Any]]:
        """Seek the detectors of every label among the images that may be learned from."""
        rows = np.flatnonzero(material.trained_on)
        learned_from = material.collection.select(rows)
        found = []
        for number, label in enumerate(material.labels):
            path = _weights_path(material.folder, number)
            if not path.exists():
                detectors = mine(learned_from, label, self.config, material.seed, material.workers)
                _save(detectors, rows, material.folder, number)
            table = read_parquet(matches_path(material.folder, number))
            shares = table.group_by("cluster").aggregate([("discriminativeness", "max")])
            found.append(
                {
                    "label": label,
                    "detectors": len(shares),
                    "discriminativeness": float(np.mean(shares[1].to_numpy())),
                }
            )
        return found

    def open(self, material: Material) -> Mapper:
        """The best score of the label's detectors at every cell; cells near the rim repeat it."""
        side = round(hog.WINDOW / self.config.patch_size)
        weights = [load_file(_weights_path(material.folder, n))
                   for n in range(len(material.labels))]  # fmt: skip
        label = material.collection.label_index

        def draw(row: int) -> BaselineMap:
            from PIL import Image

            image = material.collection.load(row, draft=side)
            size = working_size(*image.size, side)
            if image.size != size:
                image = image.resize(size, Image.Resampling.LANCZOS)
            cells = hog.cell_grid(np.asarray(image))
            own = weights[int(label[row])]
            return BaselineMap((best_score(cells, own["weights"], own["bias"]),))

        return draw

    @property
    def wording(self) -> Wording:
        """See `MapBaseline`."""
        return Wording(
            name="Doersch et al. 2012",
            seen="discriminative detectors of gradients and colours (the baseline of Doersch et "
            "al. 2012), not by a diffusion model",
            chosen="such detectors found in images that did not train them last",
            ranked="by the score of the detector that found them",
            reading="Windows drawn at random were kept where their nearest neighbours are mostly "
            "of the label, and a linear classifier was trained from each in turn on three "
            "disjoint sets of images. A row holds what one detector found. Where this page says "
            "typicality, it means the score of the label’s best detector there.",
            model=f"baseline: Doersch et al. 2012, {self.config.candidates:,} candidates a label",
            loss="hinge loss of linear detectors",
        )


def best_score(
    cells: Float[ndarray, "h w 33"], weights: Float[ndarray, "d 2112"], bias: Float[ndarray, " d"]
) -> Float[ndarray, "h w"]:
    """The score of the best detector for the window around each cell."""
    scores = (hog.every_window(cells) @ weights.T + bias).max(axis=1)
    rows, columns = (side - hog.BLOCK + 1 for side in cells.shape[:2])
    before, after = hog.BLOCK // 2, hog.BLOCK - 1 - hog.BLOCK // 2
    grid = scores.reshape(rows, columns).astype(np.float64)
    padded: ndarray = np.pad(grid, (before, after), mode="edge")
    return padded


def matches_path(folder: Path, number: int) -> Path:
    """What the detectors of a label found, as `Detectors.table` gives it."""
    return folder / f"matches-{number:05d}.parquet"


def _weights_path(folder: Path, number: int) -> Path:
    return folder / f"detectors-{number:05d}.safetensors"


def _save(found: Detectors, rows: ndarray, folder: Path, number: int) -> None:
    """Write matches, then weights, whose file says that both are there."""
    of_all = dataclasses.replace(found, row=rows[found.row])
    write_parquet(of_all.table(), matches_path(folder, number))
    tensors = {"weights": found.weights.astype(np.float32), "bias": found.bias.astype(np.float32)}
    with whole_file(_weights_path(folder, number)) as temporary:
        temporary.write_bytes(save(tensors))


@dataclass(frozen=True)
class Detected:
    """What the detectors of all labels found under their own label, by row of the collection.

    row, detector: (m,); corners: (m, 2) left and top in pixels of the image; width: (m,) pixels.
    """

    row: Int[ndarray, " m"]
    detector: Int[ndarray, " m"]
    corner: Int[ndarray, "m 2"]
    width: Int[ndarray, " m"]

    @classmethod
    def read(cls, folder: Path, n_labels: int) -> Detected:
        """Read what `Doersch.fit` wrote."""
        tables = [read_parquet(matches_path(folder, number)) for number in range(n_labels)]
        table = pa.concat_tables([one.filter(one["positive"]) for one in tables])
        left, top, right = (table[side].to_numpy().astype(int) for side in SIDES)
        return cls(
            table["row"].to_numpy().astype(int),
            table["cluster"].to_numpy().astype(int),
            np.stack([left, top], axis=1),
            right - left,
        )

    def squares(
        self, row: int, image: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[Int[ndarray, "2 k"], int, Int[ndarray, " k"]]:
        """The windows found in an image, as squares of a map of it.

        image: width and height in pixels; shape: rows and columns of the map. Returns top and left
        of each, the side of all, and the detector that found each.
        """
        own = np.flatnonzero(self.row == row)
        (width, height), (rows, columns) = image, shape
        side = round(float(self.width[own].max(initial=1)) * columns / width)
        side = max(1, min(side, rows, columns))
        left = np.rint(self.corner[own, 0] * columns / width).astype(int)
        top = np.rint(self.corner[own, 1] * rows / height).astype(int)
        corner = np.stack([np.clip(top, 0, rows - side), np.clip(left, 0, columns - side)])
        return corner, side, self.detector[own]
