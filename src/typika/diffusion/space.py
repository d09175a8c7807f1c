"""The latent space of the embedded model: an encoder's features, standardised and whitened.

Legend: `c` channels of all taps together, `d` latent channels, `h w` grid, `m` cells of a pilot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from typika.diffusion.encoders import Taps
from typika.errors import DataError

CLIP = 6.0  # standard deviations; a few cells of flat paper would else dominate the loss


@dataclass(frozen=True)
class FeatureSpace:
    """An affine map from stacked taps to whitened latents.

    mean:  (c,) of the stacked taps over the pilot.
    basis: (c, d) principal directions of the standardised taps, scaled to unit variance.
    scale: (d,) standard deviation along each direction before whitening.
    """

    mean: Float[Tensor, " c"]
    basis: Float[Tensor, "c d"]
    scale: Float[Tensor, " d"]

    @property
    def channels(self) -> int:
        """Latent channels d."""
        return self.basis.shape[1]

    def project(self, taps: Taps) -> Float[Tensor, "d h w"]:
        """Latent of an image from its taps, clipped at six standard deviations."""
        stacked = stack(taps)
        cells = stacked.flatten(1).T
        latent = ((cells - self.mean) @ self.basis).clamp(-CLIP, CLIP)
        return latent.T.reshape(self.channels, *stacked.shape[1:])

    def unwhiten(self, latent: Float[Tensor, "d h w"]) -> Float[Tensor, "d h w"]:
        """Standardised features again, in principal coordinates: distances between patches mean
        what they mean to the encoder, rather than every faint direction counting the same.
        """
        return latent * self.scale[:, None, None]


def stack(taps: Taps) -> Float[Tensor, "c h w"]:
    """All taps on the grid of the first: finer ones averaged, coarser ones interpolated."""
    rows, columns = taps[0].shape[1:]
    return torch.cat([_resample(tap, rows, columns) for tap in taps])


def _resample(tap: Tensor, rows: int, columns: int) -> Tensor:
    if tap.shape[1:] == (rows, columns):
        return tap
    if tap.shape[1] >= rows and tap.shape[2] >= columns:
        return functional.adaptive_avg_pool2d(tap[None], (rows, columns))[0]
    return functional.interpolate(tap[None], (rows, columns), mode="bilinear")[0]


def fit_space(pilot: Iterable[Taps], dimensions: int) -> FeatureSpace:
    """Fit the space to the taps of pilot images.

    Each channel is standardised and each tap divided by sqrt(its channels), so that taps weigh
    the same; then the principal `dimensions` directions are whitened.

    Raises:
        DataError: the pilot is empty or all its cells are alike (blank images).
    """
    total, outer, count, sizes = _moments(pilot)
    if count == 0:
        raise DataError("no image to fit the latent space to")
    mean = total / count
    covariance = outer / count - np.outer(mean, mean)
    deviation = np.sqrt(np.clip(np.diag(covariance), 0, None))
    if not (deviation > 1e-6).any():
        raise DataError("the images look all blank: their features do not vary")
    weight = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    weight /= np.sqrt(np.repeat(sizes, sizes))
    values, vectors = np.linalg.eigh(covariance * np.outer(weight, weight))
    kept = np.argsort(-values, kind="stable")[: min(dimensions, int((values > 1e-9).sum()))]
    vectors = vectors[:, kept]
    # An eigenvector's sign is arbitrary; fix it, so that the space is a function of the pilot.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(kept))])
    scale = np.sqrt(values[kept])
    return FeatureSpace(
        mean=torch.from_numpy(mean).float(),
        basis=torch.from_numpy(weight[:, None] * vectors / scale).float(),
        scale=torch.from_numpy(scale).float(),
    )


def _moments(pilot: Iterable[Taps]) -> tuple[ndarray, ndarray, int, list[int]]:
    total: ndarray = np.zeros(0)
    outer: ndarray = np.zeros((0, 0))
    count, sizes = 0, []
    for taps in pilot:
        cells = stack(taps).flatten(1).T.double().numpy()
        if count == 0:
            sizes = [tap.shape[0] for tap in taps]
            total, outer = np.zeros(cells.shape[1]), np.zeros((cells.shape[1],) * 2)
        total += cells.sum(axis=0)
        outer += cells.T @ cells
        count += len(cells)
    return total, outer, count, sizes
