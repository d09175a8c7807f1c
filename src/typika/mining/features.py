"""One feature vector per patch, pooled from the features of its image.

Legend: `d` features, `h w` grid of an image's features, `n` patches.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

FeatureGrid = Float[ndarray, "d h w"]
Box = tuple[float, float, float, float]


def cell_weights(low: float, high: float, cells: int) -> Float[ndarray, " cells"]:
    """Share of each cell in the interval [low, high] of the axis 0..1; sums to one.

    A box narrower than a cell takes the cell that it lies in.
    """
    edges = np.arange(cells + 1) / cells
    covered = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    covered = np.clip(covered, 0, None)
    if covered.sum() == 0:
        covered[min(int((low + high) / 2 * cells), cells - 1)] = 1.0
    weights: ndarray = covered / covered.sum()
    return weights


def pool(
    features: FeatureGrid, box: Box, typicality: Float[ndarray, "h w"] | None = None
) -> Float[ndarray, " d"]:
    """Mean of the features over a box (left, top, right, bottom), fractions of the image.

    With a typicality map each cell counts by what it has of it, cells below zero for nothing: two
    patches are alike if what is typical in them is alike, whatever stands beside it. Where no
    cell is above zero all count alike.
    """
    left, top, right, bottom = box
    rows = cell_weights(top, bottom, features.shape[1])
    columns = cell_weights(left, right, features.shape[2])
    weights = np.outer(rows, columns)
    if typicality is not None:
        typical = weights * np.maximum(typicality, 0)
        if typical.sum() > 0:
            weights = typical / typical.sum()
    down, across = np.flatnonzero(rows), np.flatnonzero(columns)
    inside = features[:, down][:, :, across]
    pooled: ndarray = np.einsum("dhw,hw->d", inside, weights[np.ix_(down, across)])
    return pooled


def window_weights(length: float, step: float, cells: int) -> Float[ndarray, "k cells"]:
    """`cell_weights` of windows of one length along the axis 0..1, `step` lengths apart."""
    count = max(1, round((1 - length) / (step * length)) + 1)
    starts = np.linspace(0, max(1 - length, 0), count)
    return np.stack([cell_weights(start, min(start + length, 1.0), cells) for start in starts])


def unit(vectors: Float[ndarray, "n d"]) -> Float[ndarray, "n d"]:
    """Rows scaled to length one; zero rows stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
