"""Racing over images: draws go where it is still open which patches are the most typical.

All images get a few draws; then only those get more that have a patch within `z` standard errors
of the score that decides who is chosen (of a label, the score of the last patch kept). A patch is
left on the wrong side with a probability of about Φ(−z) at each look, if its error is normal. The
error of a box is that of its cells times a ratio measured on a few images, since cells do not err
together. The fewer of its patches a label keeps, the more images are decided early.

Legend: `n` candidate patches, `u` units of a noise design.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from safetensors.torch import load_file, save
from torch import Tensor

from typika.files import whole_file
from typika.mining import patches
from typika.mining.patches import SelectConfig
from typika.mining.typicality import Tally, TypicalityMap

FIRST = 4  # units of every image's first round


def rounds(n_units: int) -> list[range]:
    """Units of each round: four, then as many as there were, until there are no more.

    >>> rounds(16)
    [range(0, 4), range(4, 8), range(8, 16)]
    """
    ends = [0, min(FIRST, n_units)]
    while ends[-1] < n_units:
        ends.append(min(2 * ends[-1], n_units))
    return [range(start, end) for start, end in pairwise(ends)]


@dataclass(frozen=True)
class Candidates:
    """The best patches of some images: (n,) row of the image, its label, score and error."""

    row: Int[ndarray, " n"]
    label: Int[ndarray, " n"]
    score: Float[ndarray, " n"]
    error: Float[ndarray, " n"]

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """Those of several parts of a collection."""
        fields = ("row", "label", "score", "error")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def candidates(
    found: TypicalityMap,
    row: int,
    label: int,
    shape: tuple[int, int],
    config: SelectConfig,
    ratio: float,
) -> Candidates:
    """The best non-overlapping patches of an image on a map of `shape` pixels.

    ratio: of the error of a box to the mean error of its cells.
    """
    values = patches.upsample(found.mean, *shape)
    boxes = patches.best_boxes(
        values, patches.patch_side(*shape, config.patch_size), config.per_image
    )
    error = ratio * patches.means_of(patches.upsample(found.error, *shape), boxes)
    count = len(boxes.score)
    return Candidates(np.full(count, row), np.full(count, label), boxes.score, error)


def undecided(known: Candidates, z: float, config: SelectConfig) -> Bool[ndarray, " rows"]:
    """For each row in ascending order: whether one of its patches may still change sides."""
    rows, place = np.unique(known.row, return_inverse=True)
    open_ = np.zeros(len(rows), dtype=bool)
    for label in np.unique(known.label):
        own = known.label == label
        kept = patches.keep_count(int(own.sum()), config)
        if kept == own.sum():
            continue  # all are kept, whatever they score
        # Between the last that is kept and the first that is not.
        ranked = np.sort(known.score[own])[::-1]
        threshold = (ranked[kept - 1] + ranked[kept]) / 2
        near = np.abs(known.score[own] - threshold) <= z * known.error[own]
        open_[place[own][near]] = True
    return open_


def save_tallies(tallies: Mapping[int, Tally], path: Path) -> None:
    """Write the tallies of some rows, each of one image."""
    tensors: dict[str, Tensor] = {}
    for row, one in tallies.items():
        tensors[f"{row}/sums"] = one.sums.cpu().contiguous()
        tensors[f"{row}/squares"] = one.squares.cpu().contiguous()
        tensors[f"{row}/gains"] = one.gains.cpu().contiguous()
        tensors[f"{row}/units"] = torch.tensor([one.n_units])
    with whole_file(path) as temporary:
        temporary.write_bytes(save(tensors))


def load_tallies(path: Path, device: torch.device) -> dict[int, Tally]:
    """Read what `save_tallies` wrote."""
    tensors = load_file(path)
    rows = sorted({int(name.split("/")[0]) for name in tensors})
    return {
        row: Tally(
            tensors[f"{row}/sums"].to(device),
            tensors[f"{row}/squares"].to(device),
            tensors[f"{row}/gains"].to(device),
            int(tensors[f"{row}/units"]),
        )
        for row in rows
    }


def one_of(together: Tally, image: int) -> Tally:
    """The tally of one image of several."""
    own = slice(image, image + 1)
    return Tally(
        together.sums[:, own].clone(), together.squares[:, own].clone(),
        together.gains[own].clone(), together.n_units,
    )  # fmt: skip


def joined(tallies: Sequence[Tally]) -> Tally:
    """One tally of images that have seen the same units."""
    return Tally(
        torch.cat([one.sums for one in tallies], dim=1),
        torch.cat([one.squares for one in tallies], dim=1),
        torch.cat([one.gains for one in tallies]),
        tallies[0].n_units,
    )
