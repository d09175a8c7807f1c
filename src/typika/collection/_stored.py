"""Images stored as bytes in Parquet files, as the Hugging Face hub does, or in tar files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from typika.collection._decode import Unreadable
from typika.collection._shards import read_member
from typika.errors import DataError
from typika.files import read_json
from typika.tables import DAMAGE, open_parquet

SHARD = ".tar"
_BATCH = 64  # images whose bytes are held at once


def image_column(schema: pa.Schema) -> str | None:
    """Name the column of images: a struct with `bytes`, or binary; `image` is preferred."""
    stored = [field.name for field in schema if _holds_bytes(field.type)]
    return min(
        stored, key=lambda name: (name not in ("image", "img"), stored.index(name)), default=None
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Return the names behind an integer label column, where the Hugging Face schema has them."""
    try:
        info: Any = read_json((schema.metadata or {})[b"huggingface"].decode())
        names = info["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def bytes_of(root: Path, files: Iterable[str], rows: Iterable[list[int]]) -> Iterator[bytes]:
    """Yield the bytes of the wanted rows (ascending) of each file, b"" where none are stored."""
    for name, wanted in zip(files, rows, strict=True):
        if name.endswith(SHARD):
            yield from (_member(root / name, start) for start in wanted)
            continue
        place, position = 0, 0
        with open_parquet(root / name) as file:
            for values in _batches(file, root / name):
                last = place + len(values)
                while position < len(wanted) and wanted[position] < last:
                    yield values[wanted[position] - place].as_py() or b""
                    position += 1
                place = last


def _batches(file: pq.ParquetFile, path: Path) -> Iterator[Any]:
    """The images' bytes, a few at once. Raises DataError where the file is damaged."""
    column = _bytes_path(file.schema_arrow)
    batches = file.iter_batches(_BATCH, columns=[column])
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
        except DAMAGE as error:
            raise DataError(f"{path}: damaged ({error})") from error
        yield _flat(batch.column(0))


def _member(path: Path, start: int) -> bytes:
    """The bytes of a member of a tar file, none where it is gone since it was listed."""
    try:
        return read_member(path, start)
    except Unreadable:
        return b""


def read_row(path: Path, row: int) -> bytes:
    """Return the image bytes of one row of a Parquet file, or of the member that begins there.

    Raises:
        Unreadable: the file or the row is gone.
    """
    if path.suffix == SHARD:
        return read_member(path, row)
    try:
        values, first = _row_group(path, path.stat().st_mtime_ns, row)
        content: bytes | None = values[row - first].as_py()
    except (IndexError, *DAMAGE) as error:
        raise Unreadable(f"row {row} cannot be read ({error})") from error
    return content or b""


def _row_group(path: Path, modified: int, row: int) -> tuple[pa.Array, int]:
    first = 0
    for group, size in enumerate(_group_sizes(path, modified)):
        if row < first + size:
            return _group_bytes(path, modified, group), first
        first += size
    raise IndexError(f"{path} has {first} rows")


@lru_cache(maxsize=256)
def _group_sizes(path: Path, modified: int) -> tuple[int, ...]:  # noqa: ARG001 - part of the key
    with pq.ParquetFile(path) as file:
        groups = range(file.num_row_groups)
        return tuple(file.metadata.row_group(group).num_rows for group in groups)


@lru_cache(maxsize=2)  # images are mostly loaded one after the other, and groups may be large
def _group_bytes(path: Path, modified: int, group: int) -> pa.Array:  # noqa: ARG001
    with pq.ParquetFile(path) as file:
        column = _bytes_path(file.schema_arrow)
        return _flat(file.read_row_group(group, columns=[column]).column(0))


def _bytes_path(schema: pa.Schema) -> str:
    column = image_column(schema)
    if column is None:
        raise Unreadable("its Parquet file has no image column any more")
    return f"{column}.bytes" if pa.types.is_struct(schema.field(column).type) else column


def _flat(values: Any) -> Any:
    """Take `bytes` out of a struct column."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.field("bytes") if pa.types.is_struct(values.type) else values
