"""Conditions that are not words: a number, a pair or a vector for each image of a collection.

They are columns of the user's metadata: one of numbers (a year, a price), two (latitude and
longitude), or one of lists (an embedding of a sound, a pose or a text). Legend: `n` rows of the
collection, `d` numbers of a condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float
from numpy import ndarray

from typika.collection.images import OWN_COLUMNS, ImageCollection
from typika.errors import ConfigError, DataError

Kind = Literal["number", "pair", "vector"]

FEWEST = 20  # images with a condition, below which nothing can be said


@dataclass(frozen=True)
class Condition:
    """The condition of every image.

    columns: where it comes from; values: (n, d) float64, nan in rows without one; known: (n,).
    """

    columns: tuple[str, ...]
    values: Float[ndarray, "n d"]
    known: Bool[ndarray, " n"]

    @property
    def kind(self) -> Kind:
        """What it is, by how many numbers it has."""
        count = self.values.shape[1]
        return "number" if count == 1 else "pair" if count == 2 else "vector"

    @property
    def name(self) -> str:
        """What to call it in words: "year", "latitude and longitude"."""
        return " and ".join(self.columns)


def read_condition(collection: ImageCollection, columns: Sequence[str]) -> Condition:
    """The condition that some columns of a collection's metadata hold.

    Images with an empty cell have no condition.

    Raises:
        ConfigError: no column is named, or there is none of the name.
        DataError: a cell is no finite number, lists differ in length, fewer than twenty images
            have a condition, or all have the same.
    """
    if not columns:
        raise ConfigError("condition: name a column of the metadata, as in --condition year")
    own = [name for name in collection.table.column_names if name not in OWN_COLUMNS]
    for name in columns:
        if name not in collection.table.column_names:
            raise ConfigError(
                f"condition {name!r}: no such column; there are {', '.join(own) or 'none'}"
            )
    parts = [_numbers(collection, name) for name in columns]
    values = np.concatenate(parts, axis=1)
    condition = Condition(tuple(columns), values, np.isfinite(values).all(axis=1))
    known = values[condition.known]
    if len(known) < FEWEST:
        raise DataError(
            f"condition {condition.name}: only {len(known)} images have one; need {FEWEST}"
        )
    if (known == known[0]).all():
        raise DataError(
            f"condition {condition.name}: all images have the same; nothing to compare"
        )
    return condition


def _numbers(collection: ImageCollection, name: str) -> Float[ndarray, "n _d"]:
    column = collection.table[name].combine_chunks()
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(collection, name, column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = pc.replace_with_mask(column, pc.equal(column, ""), pa.scalar(None, kind))
    try:
        found = pc.cast(column, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"condition {name!r}: {error}; need numbers, or lists of numbers of one length"
        ) from error
    values = found.to_numpy(zero_copy_only=False)[:, None]
    return _finite(collection, name, values, _filled(found))


def _filled(column: pa.Array) -> Bool[ndarray, " n"]:
    filled: ndarray = column.is_valid().to_numpy(zero_copy_only=False)
    return filled


def _lists(collection: ImageCollection, name: str, column: pa.Array) -> Float[ndarray, "n _d"]:
    lengths = pc.unique(pc.drop_null(pc.list_value_length(column))).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        raise DataError(
            f"condition {name!r}: lists of {' and '.join(map(str, sorted(lengths))) or 'no'} "
            "numbers; need one length for all images"
        )
    there = _filled(column)
    try:
        flat = pc.cast(pc.list_flatten(column), pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"condition {name!r}: {error}; need lists of numbers") from error
    values = np.full((len(column), lengths[0]), np.nan)
    values[there] = flat.to_numpy(zero_copy_only=False).reshape(-1, lengths[0])
    return _finite(collection, name, values, there)


def _finite(
    collection: ImageCollection,
    name: str,
    values: Float[ndarray, "n _d"],
    filled: Bool[ndarray, " n"],
) -> Float[ndarray, "n _d"]:
    """The values. Raises DataError where a filled cell holds no finite number."""
    bad = np.flatnonzero(filled & ~np.isfinite(values).all(axis=1))
    if len(bad):
        file_name = collection.table["file_name"][int(bad[0])].as_py()
        raise DataError(
            f"condition {name!r}: no finite number for {file_name}; correct it, or leave it empty"
        )
    return values
