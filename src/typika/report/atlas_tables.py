"""Arrow tables as tables of a page (pure)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from typika.report.atlas_records import DataTable, SomeTable

MOST_ROWS = 1500  # of one table on the page
DIGITS = 5  # that a number keeps
Cell = str | int | float | bool | None


def data_table(one: SomeTable, most: int = MOST_ROWS) -> DataTable:
    """The columns that are text, numbers or yes and no; no more than `most` rows."""
    table = one.table
    plain = [name for name in table.column_names if not pa.types.is_nested(table[name].type)]
    head = table.select(plain).slice(0, most)
    columns = [[_cell(value) for value in head[name].to_pylist()] for name in plain]
    return DataTable(
        title=one.title,
        name=one.name,
        columns=tuple(plain),
        numeric=tuple(_is_number(table[name].type) for name in plain),
        rows=tuple(zip(*columns, strict=True)),
        total=table.num_rows,
    )


def number(value: Any) -> float | None:
    """A number with five digits, None where it is not finite."""
    value = float(value)
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def numbers(values: np.ndarray) -> tuple:
    """An array as nested tuples of `number`."""
    if values.ndim == 1:
        return tuple(number(value) for value in values)
    return tuple(numbers(row) for row in values)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _cell(value: Any) -> Cell:
    if isinstance(value, float):
        return number(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
