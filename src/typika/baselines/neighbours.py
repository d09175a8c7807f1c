"""Nearest neighbours: a patch is typical of its label if patches that look like it carry it too.

What a patch looks like is a histogram of oriented gradients (HOG; Dalal, Triggs 2005) beside its
colours in CIE Lab, standardised and whitened (Hariharan et al. 2012) on a sample of patches. The
map is the share of its k nearest patches of other images that carry the image's label, less the
label's share of all patches. No network, nothing pretrained: what a label looks like plainly.

Legend: `h w` grid of patches, 16 px apart in an image of about 256 x 256 px; `H W` its pixels;
`m` patches, `b` patches of the bank, `d` whitened features, `c` labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from typika.baselines import hog
from typika.baselines.methods import BaselineMap, Mapper, Material
from typika.baselines.names import Wording
from typika.collection.images import ImageCollection
from typika.diffusion.encoders import STRIDE, grid_shape, resize
from typika.diffusion.models import save_tensors
from typika.diffusion.space import FeatureSpace, fit_space
from typika.errors import ModelError
from typika.parallel import Advance, run_tasks

SIDE = 256  # pixels: an image is shrunk or enlarged to the area of such a square
ORIENTATIONS = 9  # in half a turn
REACH = 3  # grid cells a side of a patch: 48 px, about the share of the side that is mined
BLOCK = REACH * STRIDE // hog.CELL  # HOG cells a side of a patch
DIMENSIONS = 64
AT_ONCE = 512  # patches compared with the whole bank in one product

Cells = Float[ndarray, "_h _w _c"]
Patches = Float[ndarray, "h w _d"]
Vectors = Float[Tensor, "m d"]


@dataclass(frozen=True)
class Look:
    """What the patches of an image look like: gradients and colours, one row per patch."""

    gradients: Float[ndarray, "m 324"]
    colours: Float[ndarray, "m 27"]

    @property
    def taps(self) -> tuple[Float[Tensor, "_c m 1"], ...]:
        """Both as a feature space takes them: channels first."""
        return tuple(
            torch.from_numpy(np.ascontiguousarray(part.T, dtype=np.float32))[..., None]
            for part in (self.gradients, self.colours)
        )


def look(image: Image.Image) -> tuple[Look, tuple[int, int]]:
    """Describe the patch around every cell of the image's grid, in reading order; and the grid.

    The grid keeps the image's proportions. What of a patch lies beyond the rim repeats the rim.
    """
    rows, columns = grid_shape(image.width, image.height, SIDE)
    pixels = resize(image, rows, columns)
    gradients = unit_blocks(around(gradient_cells(pixels), rows, columns, BLOCK))
    colours = around(colour_cells(pixels), rows, columns, REACH)
    return Look(gradients, colours), (rows, columns)


def gradient_cells(pixels: Float[ndarray, "H W 3"]) -> Cells:
    """Sums of gradient magnitude by orientation over cells of 8 px, of the strongest colour.

    Orientation k holds directions from 20k to 20(k + 1) degrees, opposite ones taken as one.
    """
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    return hog.oriented(down, across, ORIENTATIONS)


def colour_cells(pixels: Float[ndarray, "H W 3"]) -> Cells:
    """Mean L, a, b of every grid cell."""
    rows, columns = pixels.shape[0] // STRIDE, pixels.shape[1] // STRIDE
    means = lab(pixels).reshape(rows, STRIDE, columns, STRIDE, 3).mean(axis=(1, 3))
    return means.astype(np.float64)


def lab(pixels: Float[ndarray, "H W 3"]) -> Float[ndarray, "H W 3"]:
    """CIE Lab (D65) of sRGB values 0..255."""
    values = np.clip(pixels / 255, 0, 1)  # bicubic interpolation overshoots
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return hog.lab(linear)


def around(cells: Cells, rows: int, columns: int, block: int) -> Float[ndarray, "m _d"]:
    """Of every grid cell the `block` x `block` cells around its middle, one row per grid cell.

    A grid cell is one cell or 2 x 2 of them.
    """
    step = cells.shape[0] // rows
    margin = (block - step) // 2
    padded = np.pad(cells, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    view = np.lib.stride_tricks.sliding_window_view(padded, (block, block), axis=(0, 1))
    return view[::step, ::step].reshape(rows * columns, -1)


def unit_blocks(blocks: Float[ndarray, "m d"]) -> Float[ndarray, "m d"]:
    """Each row of length one, clipped, and of length one again (L2-Hys); zero stays zero."""
    for clip in (hog.CLIPPED, np.inf):
        length = np.linalg.norm(blocks, axis=1, keepdims=True)
        blocks = np.minimum(blocks / np.maximum(length, 1e-6), clip)
    return blocks


# --- the bank, and who is near ------------------------------------------------------------------


@dataclass(frozen=True)
class Bank:
    """Patches of the images learned from, as unit vectors, and whose they are.

    row: of the collection; groups: of every row, which patches of the same group are not to vote
    for: near-duplicates and the user's groups.
    """

    vectors: Float[Tensor, "b d"]
    row: Int[ndarray, " b"]
    label: Int[ndarray, " n"]
    groups: tuple[Int[ndarray, " n"], ...]
    n_labels: int

    def shares(self, vectors: Vectors, row: int, k: int) -> Float[ndarray, "m c"]:
        """Share of each label among the k nearest patches of strangers, less its share of all.

        Strangers: images of other groups than `row`. Zero where there are none. Memory is that of
        AT_ONCE patches against the bank.
        """
        strange = np.ones(len(self.row), dtype=bool)
        for group in self.groups:
            strange &= group[self.row] != group[row]
        if not strange.any():
            return np.zeros((len(vectors), self.n_labels))
        label = torch.from_numpy(self.label[self.row])
        votes = torch.nn.functional.one_hot(label, self.n_labels).double()
        others = torch.from_numpy(strange)
        prior = votes[others].mean(dim=0)
        count = min(k, int(strange.sum()))
        found = [
            votes[self._nearest(part, others, count)].mean(dim=1) - prior
            for part in torch.split(vectors, AT_ONCE)
        ]
        return torch.cat(found).numpy()

    def _nearest(self, vectors: Vectors, others: Tensor, count: int) -> Tensor:
        """Places in the bank of the `count` patches of largest cosine."""
        cosine = vectors @ self.vectors.T
        cosine[:, ~others] = -2.0
        return cosine.topk(count, dim=1, sorted=False).indices


def unit(vectors: Float[Tensor, "d m 1"]) -> Vectors:
    """Whitened patches as rows of length one."""
    return torch.nn.functional.normalize(vectors[..., 0].T, dim=1)


@dataclass(frozen=True)
class Neighbours:
    """The baseline: labels of the most similar patches."""

    neighbours: int
    bank: int

    def causes(self) -> Mapping[str, Any]:
        """See `MapBaseline`."""
        return {"neighbours": self.neighbours, "bank": self.bank}

    def processes(self, wanted: int) -> int:
        """As many as wanted."""
        return wanted

    def path(self, material: Material) -> Path:
        """Where the space and the bank lie."""
        return material.folder / "neighbours.safetensors"

    def fit(self, material: Material) -> list[dict[str, Any]]:
        """Draw the bank from the images learned from, and whiten on it."""
        if self.path(material).exists():
            return []
        rows, each = drawn_images(material.trained_on, self.bank, material.seed)
        hands = [rows[hand :: 4 * material.workers] for hand in range(4 * material.workers)]
        tasks = [(material.collection, own, each, material.seed) for own in hands if len(own)]
        found = run_tasks(
            sample_patches, tasks, workers=material.workers, name="Sampling patches",
            total=len(rows),
        )  # fmt: skip
        looks = [one for hand in found for one in hand]
        looks.sort(key=lambda one: one[0])  # whatever the number of processes
        row = np.repeat([row for row, _ in looks], [len(own.colours) for _, own in looks])
        everything = Look(
            np.concatenate([own.gradients for _, own in looks]),
            np.concatenate([own.colours for _, own in looks]),
        )
        space = fit_space([everything.taps], DIMENSIONS)
        tensors = {"mean": space.mean, "basis": space.basis, "scale": space.scale,
                   "row": torch.from_numpy(row)}  # fmt: skip
        tensors["bank"] = unit(space.project(everything.taps))
        save_tensors(tensors, self.path(material))
        return []

    def open(self, material: Material) -> Mapper:
        """Compare every patch of an image with the bank."""
        path = self.path(material)
        if not path.exists():
            raise ModelError(f"{path}: not there; run `typika train` on this run first")
        tensors = load_file(path)
        space = FeatureSpace(tensors["mean"], tensors["basis"], tensors["scale"])
        collection = material.collection
        label = collection.label_index
        groups = tuple(_numbered(collection, name) for name in ("duplicate", "group"))
        bank = Bank(tensors["bank"], tensors["row"].numpy(), label, groups, len(material.labels))

        def draw(row: int) -> BaselineMap:
            described, grid = look(collection.load(row, draft=2 * SIDE))
            shares = bank.shares(unit(space.project(described.taps)), row, self.neighbours)
            own = shares[:, int(label[row])].reshape(grid)
            return BaselineMap((own,), int(shares.mean(axis=0).argmax()))

        return draw

    @property
    def wording(self) -> Wording:
        """See `MapBaseline`."""
        return Wording(
            name="HOG and colour neighbours",
            seen="its nearest neighbours in gradients and colours, not by a diffusion model",
            chosen="look most like other patches of their label",
            ranked=f"by the share of their {self.neighbours} nearest patches that carry the label",
            reading="Every patch was described by its gradients (HOG) and its colours, whitened, "
            f"and held against a sample of patches of other images. Where this page says "
            f"typicality, it means the share of the {self.neighbours} most similar of them that "
            "carry the image's label, less the label's share of all: 0 is chance.",
            model=f"baseline: whitened HOG and Lab colour, {self.neighbours} nearest of "
            f"{self.bank:,} patches",
            loss="none: nothing is trained",
        )


def _numbered(collection: ImageCollection, name: str) -> Int[ndarray, " n"]:
    values = np.array(collection.table[name].to_pylist(), dtype=str)
    numbers: ndarray = np.unique(values, return_inverse=True)[1]
    return numbers


def drawn_images(
    trained_on: Bool[ndarray, " n"], bank: int, seed: int
) -> tuple[Int[ndarray, " m"], int]:
    """The images that the bank is drawn from, ascending, and how many patches of each."""
    rows = np.flatnonzero(trained_on)
    each = max(1, bank // len(rows))
    if len(rows) > bank:
        rows = np.sort(np.random.default_rng([seed, 13]).permutation(rows)[:bank])
    return rows, each


def sample_patches(
    collection: ImageCollection, rows: Int[ndarray, " m"], each: int, seed: int, advance: Advance
) -> list[tuple[int, Look]]:
    """A few patches of each image, at random places of its grid; with the image's row."""
    found = []
    for row in rows:
        described, _ = look(collection.load(int(row), draft=2 * SIDE))
        name = int(collection.table["image_id"][int(row)].as_py(), 16)
        order = np.random.default_rng([seed, name]).permutation(len(described.colours))
        chosen = np.sort(order[:each])
        found.append((int(row), Look(described.gradients[chosen], described.colours[chosen])))
        advance(1)
    return found
