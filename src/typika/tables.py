"""Arrow tables on disk: Parquet whose bytes depend on its content alone, and CSV beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from typika.errors import DataError
from typika.files import whole_file

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
MOST_VALUES = 400_000_000  # of one file: beyond, a table is made to fill memory, not to be read
MOST_BYTES = 16 << 30  # of one file in memory
LEAST_CHUNK = 1 << 10  # bytes that a column may have, whatever it says
_STEP = 1 << 28  # bytes: what may be unpacked at once before it is counted
# What Arrow raises on damaged files; its own exceptions are of many kinds.
DAMAGE = (OSError, ValueError, KeyError, TypeError, MemoryError, NotImplementedError,
          pa.ArrowException)  # fmt: skip


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


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet, and beside it as CSV for people and spreadsheets."""
    write_parquet(table, path)
    write_csv(table, path.with_suffix(".csv"))


def read_parquet(path: Path | pa.NativeFile, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file.

    Raises:
        DataError: missing, damaged, or larger than a table of images can be.
    """
    with open_parquet(path) as file:
        return parquet_table(file, path, columns)


def is_readable(path: Path) -> bool:
    """Whether a Parquet file can be read to its end."""
    try:
        read_parquet(path)
    except (DataError, OSError, pa.ArrowException):
        return False
    return True


def parquet_columns(path: Path) -> list[str]:
    """The names of the columns of one Parquet file. Raises DataError as `read_parquet`."""
    with open_parquet(path) as file:
        return list(file.schema_arrow.names)


def open_parquet(path: Path | pa.NativeFile) -> pq.ParquetFile:
    """Open a Parquet file. Raises DataError where it is none, or has a nameless schema."""
    try:
        file = pq.ParquetFile(path)
        file.schema_arrow.names  # noqa: B018 - names that are no UTF-8 come out here
        return file
    except DAMAGE as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({error})") from error


def parquet_table(
    file: pq.ParquetFile, path: Path | pa.NativeFile, columns: list[str] | None = None
) -> pa.Table:
    """Read an open Parquet file, some of its columns or all.

    A file of a few bytes may say that it holds one text a thousand million times, so what it says
    is looked at before it is unpacked, and what is unpacked is counted.

    Raises:
        DataError: damaged, texts that are no UTF-8, or more than `MOST_VALUES` or `MOST_BYTES`.
    """
    try:
        values, largest = _claims(file.metadata, columns)
        if values > MOST_VALUES:
            raise DataError(f"{path}: says that it holds {values:,} values; no table of images "
                            f"has more than {MOST_VALUES:,}")  # fmt: skip
        table = (file.read(columns=columns) if values * largest < MOST_BYTES
                 else _counted(file, path, columns, largest))  # fmt: skip
        table.validate(full=True)
        return table
    except DAMAGE as error:
        raise DataError(f"{path}: damaged ({error})") from error


def _claims(metadata: Any, columns: list[str] | None) -> tuple[int, int]:
    """Values of some columns, by the file's rows, and the bytes that one value may have at most.

    What single columns say of themselves is left alone: where that is damaged, Arrow 26 ends the
    process.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    largest = max((group.total_byte_size for group in groups), default=0)
    return rows * max(1, len(columns or metadata.schema.names)), max(largest, LEAST_CHUNK)


def _counted(
    file: pq.ParquetFile, path: Path | pa.NativeFile, columns: list[str] | None, largest: int
) -> pa.Table:
    """Read in steps that cannot be large, and stop at `MOST_BYTES`."""
    parts, size = [], 0
    for batch in file.iter_batches(max(1, min(65_536, _STEP // largest)), columns=columns):
        size += batch.nbytes
        if size > MOST_BYTES:
            raise DataError(f"{path}: unpacks to more than {MOST_BYTES >> 30} GiB")
        parts.append(batch)
    return pa.Table.from_batches(parts, schema=parts[0].schema if parts else file.schema_arrow)


def write_csv(table: pa.Table, path: Path) -> None:
    """Write the columns of a table that are text or numbers as CSV that a spreadsheet may open."""
    plain = [name for name in table.column_names if not pa.types.is_nested(table[name].type)]
    columns = [table[name].to_pylist() for name in plain]
    text = csv_text([plain, *zip(*columns, strict=True)])
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV without formulas."""
    buffer = io.StringIO()
    plain = csv.writer(buffer, lineterminator="\n")
    # Python quotes a lone carriage return from 3.13 on; before, it would end the row.
    quoted = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [harmless(value) for value in row]
        returns = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if returns else plain).writerow(cells)
    return buffer.getvalue()


def harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: a quote goes before a leading = + - @."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value
