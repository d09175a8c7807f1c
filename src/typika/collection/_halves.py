"""Two halves of a collection that share no group, with every label on both sides if it can be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def halves(
    bound: tuple[pa.Array, ...], label_index: np.ndarray, n_labels: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divide n rows in two, never between two rows that agree in any column of `bound`.

    Args:
        bound: columns (n,); null and "" agree with nothing.
        label_index: (n,) int label of each row.
        n_labels: number of labels.
        seed: any integer from 0.

    Returns:
        Ascending int64 indices of either half.
    """
    unit = connected(bound)
    order, start = _members(unit)
    generator = np.random.default_rng(seed)
    sizes = np.diff(start)
    chance = generator.random(len(sizes))
    counts = np.zeros((2, n_labels), np.int64)
    side = np.zeros(len(unit), bool)
    # Large units first: the small ones then even out what they left.
    for u in np.lexsort((chance, -sizes)).tolist():
        rows = order[start[u] : start[u + 1]]
        labels = label_index[rows]
        surplus = int((counts[0, labels] - counts[1, labels]).sum())
        if surplus == 0:
            surplus = int(counts[0].sum() - counts[1].sum())
        second = surplus > 0 or (surplus == 0 and chance[u] < 0.5)
        side[rows] = second
        np.add.at(counts[int(second)], labels, 1)
    return np.flatnonzero(~side), np.flatnonzero(side)


def connected(bound: tuple[pa.Array, ...]) -> np.ndarray:
    """Number (n,) int64 the sets of rows that agree in any column of `bound`, from 0 on."""
    return _connected([_codes(column) for column in bound])


def _codes(column: pa.Array) -> np.ndarray:
    """Number (n,) the values; empty ones each get a number of their own."""
    encoded = pc.dictionary_encode(column)
    codes: np.ndarray = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    codes = codes.astype(np.int64)
    empty = codes < 0
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        empty |= pc.fill_null(pc.equal(column, ""), True).to_numpy(zero_copy_only=False)
    codes[empty] = len(encoded.dictionary) + np.flatnonzero(empty)
    return codes


def _connected(columns: list[np.ndarray]) -> np.ndarray:
    """Number (n,) the sets of rows that are linked by equal codes in any column."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(columns[0])
    nodes, offset = [], n
    for codes in columns:
        _, dense = np.unique(codes, return_inverse=True)
        nodes.append(offset + dense)
        offset += int(dense.max(initial=-1)) + 1
    rows = np.tile(np.arange(n), len(columns))
    links = coo_matrix((np.ones(len(rows), bool), (rows, np.concatenate(nodes))), (offset, offset))
    component: np.ndarray = connected_components(links, directed=False)[1][:n]
    _, unit = np.unique(component, return_inverse=True)
    return unit


def _members(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows sorted by unit, and where each unit starts in them."""
    order = np.argsort(unit, kind="stable")
    start = np.searchsorted(unit[order], np.arange(int(unit.max(initial=-1)) + 2))
    return order, start
