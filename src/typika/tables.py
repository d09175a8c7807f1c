"""Arrow tables on disk: Parquet whose bytes depend on its content alone, and CSV beside it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from typika.files import whole_file

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table, whole or not at all.

    Lists of float32, as maps are, have their bytes split by place: neighbouring cells share their
    high bytes, which then compress; the numbers stay what they are.
    """
    lists = [field.name for field in table.schema if field.type == pa.list_(pa.float32())]
    options = {}
    if lists:
        options = {
            "column_encoding": {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in lists},
            "use_dictionary": [name for name in table.column_names if name not in lists],
        }
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", **options)


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file."""
    return pq.ParquetFile(path).read(columns=columns)


def is_readable(path: Path) -> bool:
    """Whether a Parquet file can be read to its end."""
    try:
        read_parquet(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def parquet_columns(path: Path) -> list[str]:
    """The names of the columns of one Parquet file."""
    return list(pq.ParquetFile(path).schema_arrow.names)


def write_csv(table: pa.Table, path: Path) -> None:
    """Write the columns of a table that are text or numbers as CSV that a spreadsheet may open."""
    plain = [name for name in table.column_names if not pa.types.is_nested(table[name].type)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([harmless(name) for name in plain])
    columns = [table[name].to_pylist() for name in plain]
    for row in zip(*columns, strict=True):
        writer.writerow([harmless(value) for value in row])
    with whole_file(path) as temporary:
        temporary.write_text(buffer.getvalue(), encoding="utf-8", newline="")


def harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: a quote goes before a leading = + - @."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value
