"""Metadata tables as files: CSV, TSV, JSON lines and Parquet, each column with its own type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from typika.collection._elsewhere import read_at, url_of
from typika.errors import DataError
from typika.files import read_json
from typika.tables import MOST_VALUES, read_parquet

_WHOLE = r"^[+-]?(0|[1-9]\d{0,17})$"  # leading zeros mark a shelfmark, not a number
_DECIMAL = r"^[+-]?(0|[1-9]\d{0,14}|\d{1,15}\.\d*|\.\d+)([eE][+-]?\d+)?$"
_CSV_BLOCK = 1 << 24  # bytes; no row may be longer


def read_table(path: Path) -> pa.Table:
    """Read a metadata table; raises DataError naming the file where it is malformed."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return own_names(read_parquet(path).replace_schema_metadata(None))
        url = url_of(path)
        content = path.read_bytes() if url is None else read_at(url)
        if suffix in (".jsonl", ".ndjson"):
            return _read_jsonl(content)
        return _read_csv(content)
    except (OSError, ValueError, RecursionError) as error:  # Arrow's, JSON's are ValueErrors
        raise DataError(
            f"{path}: cannot be read as a {suffix} table in UTF-8 ({error})"
        ) from error


def _read_csv(content: bytes) -> pa.Table:
    """Read CSV (UTF-8, with or without a byte order mark; comma, semicolon or tab)."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    header = content.split(b"\n", 1)[0].decode()
    delimiter = max(",;\t", key=header.count)
    parse = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    read_all = pa_csv.ReadOptions(block_size=_CSV_BLOCK)
    first = pa_csv.open_csv(pa.BufferReader(content), read_all, parse)
    text = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(first.schema.names, pa.string()), strings_can_be_null=False
    )
    read = pa_csv.read_csv(pa.BufferReader(content), read_all, parse, text)
    return own_names(pa.table([_typed(column) for column in read.columns], read.column_names))


def own_names(table: pa.Table) -> pa.Table:
    """The table with a name of its own for each column."""
    names: list[str] = []
    for name in table.column_names:
        new = name.strip()
        while new in names:
            new += "_"
        names.append(new)
    return table.rename_columns(names)


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn text into int64 or float64 where every value that is not empty parses."""
    text = pc.utf8_trim_whitespace(column)
    filled = pc.not_equal(text, "")
    if not pc.any(filled).as_py():
        return column
    for pattern, kind in ((_WHOLE, pa.int64()), (_DECIMAL, pa.float64())):
        if pc.all(pc.or_(pc.match_substring_regex(text, pattern), pc.invert(filled))).as_py():
            bare = pc.replace_substring_regex(text, r"^\+", "")
            return pc.cast(pc.if_else(filled, bare, pa.scalar(None, pa.string())), kind)
    return column


def _read_jsonl(content: bytes) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(content.decode("utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        row = read_json(line)
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no object")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    if len(rows) * len(names) > MOST_VALUES:
        raise ValueError(f"{len(rows):,} rows with {len(names):,} different names")
    return pa.table({name: json_column([row.get(name) for row in rows]) for name in names})


def json_column(values: list[Any]) -> pa.Array:
    """Keep JSON's own types; values of mixed types become text, objects JSON text."""
    if not any(isinstance(value, dict) for value in values):
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            pass
    return pa.array(
        [v if v is None or isinstance(v, str) else json.dumps(v, sort_keys=True) for v in values]
    )
