"""A labelled image collection: one table, whose images are decoded when they are asked for.

>>> collection = ImageCollection.open(Path("cars"), label="year", bin="decade")
>>> collection.labels
('1920', '1930', '1940')
>>> collection.load(0).size
(512, 384)

Legend: n rows of the table.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from typika.collection._decode import (
    Header,
    Unreadable,
    decode,
    decode_bytes,
    header,
    read_bytes,
)
from typika.collection._dialect import Dialect
from typika.collection._files import Skipped, natural_order
from typika.collection._halves import connected, halves
from typika.collection._labels import UNLABELLED, Bin
from typika.collection._scan import Assembled, assemble, scan
from typika.collection._stored import SHARD, read_row
from typika.collection._tables import (
    LAYOUTS,
    OWN_COLUMNS,
    STORED_FILE,
    STORED_ROW,
    find_layout,
    read_listing,
)
from typika.errors import ConfigError, DataError
from typika.files import is_folder, read_json, whole_file, write_text
from typika.tables import csv_text, read_parquet

__all__ = ["OWN_COLUMNS", "Dialect", "Header", "ImageCollection", "Skipped", "decode"]

_TABLE, _SKIPPED = "collection.parquet", "skipped.csv"
_NOTES = b"typika.notes"  # key in the Parquet file's schema
_REQUIRED = OWN_COLUMNS[:-2]
_PLACES = ("file_name", STORED_FILE, STORED_ROW)  # columns that say where, not what


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


@dataclass(frozen=True)
class ImageCollection:
    """Labelled images as an Arrow table, in canonical order.

    Columns of `table`, in this order:

    - `image_id`: 16 hexadecimal digits, BLAKE2b of the file's bytes;
    - `file_name`: POSIX path relative to `root`, or as stored in Parquet (else `row-000123`);
    - `label`: text, never empty;
    - `width`, `height`: int32, pixels of the upright image;
    - `group`: the user's `group`, else the near-duplicate group's `duplicate`;
    - `duplicate`: `image_id` of the first member of the row's near-duplicate group;
    - `split`: from split lists, split folders or a `split` column, else "";
    - every column of the user's metadata with its own type; a name that is taken gets a `_`
      appended, unless the column says exactly the same;
    - `source_file`, `source_row`: only where the images are stored inside Parquet files.

    Rows are sorted by (image_id, label, file_name): neither the order nor the names of files
    change anything downstream. One image may have several rows, one for each label.
    """

    root: Path
    table: pa.Table
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = field(default=())  # remarks a person should see
    # The folder that it was restored from: other processes read it there.
    saved: Path | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        missing = [name for name in _REQUIRED if name not in self.table.column_names]
        if missing:
            raise DataError(f"collection table lacks the columns {', '.join(missing)}")
        for name, count in Counter(self.table.column_names).items():
            if count > 1:
                raise DataError(f"collection table has {count} columns {name!r}; scan it again")
        for name in _REQUIRED:
            kind = self.table.schema.field(name).type
            sides = name in ("width", "height")
            right = pa.types.is_integer(kind) if sides else _is_text(kind)
            if not right or self.table[name].null_count:
                raise DataError(f"collection table has {kind} as {name!r}; scan it again")

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        label: str | None = None,
        bin: str | float | None = None,
        images: Path | str | None = None,
        table: str | None = None,
        file: str | None = None,
        group: str | None = None,
        separator: str | None = None,
        split_lists: tuple[str, ...] = (),
        workers: int = 2,
    ) -> ImageCollection:
        """Read a collection: folders, a table, Parquet or IIIF manifests, whichever is there.

        Every image is read and decoded once; those that cannot be used are in `skipped`.

        Args:
            path: a folder, a metadata table (.csv, .tsv, .jsonl, .parquet), or a IIIF manifest
                or collection (.json).
            label: the metadata column of labels; `None` takes `label` or the only likely one,
                "" none: all images are of one label, for conditions that are no words.
            bin: bins of a numeric label: "decade", "century" or a width, and optionally the
                column, as in "year=decade". Labels are where bins start: "1890".
            images: the folder that the table's file names are relative to; `None` is the
                table's own.
            table: name of the metadata table inside the folder; `None` takes metadata.*.
            file: the metadata column that names image files; `None` takes `file_name`,
                `filename`, `file`, `path` or `image`. A bare name means the only file of that
                name anywhere below the folder.
            group: the metadata column of what must not be divided between two halves, or
                between training and held-out images; `None` takes `group` where there is one.
            separator: what stands between several labels of one cell, such as "|"; each label
                gets a row of its own.
            split_lists: text files inside the folder that name the images of a split, one a
                line, as in "test=test_list.txt". With them, `split` is "" for all others.
            workers: threads that decode.

        Raises:
            DataError: nothing there, no usable image, fewer than two labels, malformed tables or
                lists, an image in the lists of two splits.
            ConfigError: an option does not fit what is there.
        """
        width = None if bin is None else Bin.parse(bin)
        dialect = Dialect(
            label=label,
            table=table,
            file=file,
            group=group,
            separator=separator,
            split_lists=split_lists,
        )
        layout = find_layout(Path(path), None if images is None else Path(images), dialect)
        listing = read_listing(layout, dialect, width)
        found = assemble(listing, *scan(listing, workers))
        _require_contrast(Path(path), found, label)
        # Parquet widens some types, e.g. whole seconds; a scan gives what a restored one gives.
        sink = pa.BufferOutputStream()
        _write(found.table, sink)
        table = _read(pa.BufferReader(sink.getvalue()))
        return cls(listing.root, table, tuple(found.skipped), tuple(found.notes))

    @staticmethod
    def fingerprint(
        path: Path | str,
        images: Path | str | None = None,
        *,
        table: str | None = None,
        file: str | None = None,
        split_lists: tuple[str, ...] = (),
    ) -> str:
        """Digest name, size and modification time of every file that `open` would read.

        Opens no image, so it tells cheaply whether a saved collection still holds; 32
        hexadecimal digits. The arguments are those of `open` that decide which files it reads.

        Raises:
            DataError, ConfigError: as `open`, where nothing is there.
        """
        state = blake2b(digest_size=16)
        dialect = Dialect(table=table, file=file, split_lists=split_lists)
        layout = find_layout(Path(path), None if images is None else Path(images), dialect)
        for line in layout.fingerprint():
            state.update(line.encode("utf-8", "surrogateescape") + b"\n")
        return state.hexdigest()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels, numbers by value and otherwise "item 2" before "item 10"."""
        return tuple(natural_order(pc.unique(self.table["label"]).to_pylist()))

    @cached_property
    def label_index(self) -> np.ndarray:
        """(n,) int64: for each row the index of its label in `labels`."""
        values = pa.array(self.labels, pa.string())
        index: np.ndarray = pc.index_in(self.table["label"], values).to_numpy().astype(np.int64)
        index.setflags(write=False)
        return index

    def codes(self, name: str) -> np.ndarray:
        """(n,) int64: for each row the place of its value of a text column among all, sorted.

        The same numbers as `np.unique(..., return_inverse=True)` gives, without a Python string
        or a padded copy for each row.
        """
        encoded = pc.dictionary_encode(self.table[name].combine_chunks())
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank[encoded.indices.to_numpy()]

    @cached_property
    def units(self) -> np.ndarray:
        """(n,) int64: for each row the number of the set that must stay together.

        Rows of one group, of one near-duplicate group, and what such rows join.
        """
        numbers = connected(self._bound("group"))
        numbers.setflags(write=False)
        return numbers

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits of the content: images, labels and metadata, row by row.

        Where the files lie and what they are called does not enter.
        """
        state = blake2b(digest_size=16)
        for name in self.table.column_names:
            if name not in _PLACES:
                kind = self.table[name].type
                state.update(f"{name}\0{kind}\0{len(self)}\n".encode())
                for part in _content(self.table[name]):
                    state.update(part)
        return state.hexdigest()

    def load(self, index: int, draft: int | None = None) -> Image.Image:
        """Decode the image of row `index` as upright 8-bit RGB.

        Args:
            index: the row, 0 to n - 1.
            draft: least pixels of the short side that are needed; see `decode`.

        Raises:
            DataError: the file has gone, changed into something unreadable, or is damaged.
        """
        name = self.table["file_name"][index].as_py()
        try:
            return decode_bytes(self._bytes(index), draft)[0]
        except Unreadable as error:
            raise DataError(f"{self.root / name}: {error}") from error

    def header(self, index: int) -> Header:
        """What the file of row `index` says of itself beside its pixels.

        Raises:
            DataError: as `load`.
        """
        name = self.table["file_name"][index].as_py()
        try:
            return header(self._bytes(index))
        except Unreadable as error:
            raise DataError(f"{self.root / name}: {error}") from error

    def content(self, file_name: str) -> bytes:
        """The bytes of the image of a name, as they are in its file or its row.

        Raises:
            DataError: there is no such image, or it has gone.
        """
        index = pc.index(self.table["file_name"], file_name).as_py()
        if index < 0:
            raise DataError(f"{file_name!r}: no such image in the collection")
        try:
            return self._bytes(index)
        except Unreadable as error:
            raise DataError(f"{self.root / file_name}: {error}") from error

    def _bytes(self, index: int) -> bytes:
        if STORED_ROW in self.table.column_names:
            file = self.root / self.table[STORED_FILE][index].as_py()
            return read_row(file, self.table[STORED_ROW][index].as_py())
        return read_bytes(self.root / self.table["file_name"][index].as_py())

    def select(self, rows: np.ndarray) -> ImageCollection:
        """Return the collection of some rows, in canonical order whatever the order of `rows`.

        Args:
            rows: (n,) bool mask, or indices; an index given twice counts once.

        Raises:
            ConfigError: the mask has another length, or an index is outside the table.
        """
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise ConfigError(f"mask of shape {rows.shape}: need ({len(self)},)")
            rows = np.flatnonzero(rows)
        rows = np.unique(rows.astype(np.int64))
        if len(rows) and (rows[0] < 0 or rows[-1] >= len(self)):
            raise ConfigError(f"rows {rows[0]} to {rows[-1]}: the collection has {len(self)}")
        return replace(self, table=self.table.take(pa.array(rows)), saved=None)

    def in_split(self, name: str) -> np.ndarray:
        """Return a mask (n,) bool of the rows of the split `name`; "" means every row.

        Raises:
            ConfigError: no image is in that split, naming the splits there are.
        """
        if not name:
            return np.ones(len(self), bool)
        mask: np.ndarray = pc.equal(self.table["split"], name).to_numpy()
        if not mask.any():
            counts = Counter(split for split in self.table["split"].to_pylist() if split)
            listed = ", ".join(f"{split} ({n})" for split, n in sorted(counts.items())) or "none"
            raise ConfigError(f"split {name!r}: no image is in it; splits (rows): {listed}")
        return mask

    def split_halves(self, seed: int, by: str = "group") -> tuple[np.ndarray, np.ndarray]:
        """Split the rows in two halves that share no group and no near-duplicates.

        Each label is divided as evenly as its groups allow; a label with a single group lies on
        one side only.

        Args:
            seed: chooses among the many such splits.
            by: the column whose values must not be divided; empty values bind nothing.

        Returns:
            Two ascending int64 arrays of row indices, which together hold each row once.

        Raises:
            ConfigError: there is no such column.
        """
        return halves(self._bound(by), self.label_index, len(self.labels), seed)

    def _bound(self, by: str) -> tuple[pa.Array, ...]:
        if by not in self.table.column_names:
            listed = ", ".join(self.table.column_names)
            raise ConfigError(f"split by {by!r}: no such column; choose one of {listed}")
        return self.table[by].combine_chunks(), self.table["duplicate"].combine_chunks()

    def save(self, folder: Path) -> None:
        """Write `collection.parquet` and `skipped.csv`, each whole or not at all.

        The bytes depend on the content alone, so saving what was restored changes nothing.
        """
        notes = {_NOTES: json.dumps(self.notes, ensure_ascii=False).encode()}
        table = self.table.replace_schema_metadata(notes).combine_chunks()
        with whole_file(folder / _TABLE) as temporary:
            _write(table, temporary)
        rows = [(item.file_name, item.reason) for item in self.skipped]
        write_text(folder / _SKIPPED, csv_text([("file_name", "reason"), *rows]))

    @classmethod
    def restore(cls, folder: Path, root: Path) -> ImageCollection:
        """Read what `save` wrote; no image is opened.

        Args:
            folder: where `save` wrote.
            root: the folder that file names are relative to, or the table in it that was opened.

        Raises:
            DataError: the files are missing or damaged.
        """
        try:
            table = _read(folder / _TABLE)
            notes = read_json((table.schema.metadata or {}).get(_NOTES, b"[]").decode())
            with (folder / _SKIPPED).open(encoding="utf-8", newline="") as handle:
                skipped = [Skipped(*row) for row in list(csv.reader(handle))[1:]]
        except (DataError, OSError, ValueError, TypeError, csv.Error) as error:
            raise DataError(
                f"{folder}: no saved collection that can be read ({error}); scan it again"
            ) from error
        table = table.replace_schema_metadata(None)
        root = root.parent if root.is_file() or root.suffix == SHARD else root
        return cls(root, table, tuple(skipped), tuple(notes), saved=folder.absolute())

    def __reduce_ex__(self, protocol: Any) -> Any:
        """To other processes a restored collection goes by its place, not row by row."""
        if self.saved is None:
            return super().__reduce_ex__(protocol)
        modified = (self.saved / _TABLE).stat().st_mtime_ns
        return _restored, (self.saved, self.root, modified)


def find_row(table: pa.Table, image_id: str, label: str | None = None) -> int:
    """The first row of an image, or its row under a label, in a table in canonical order.

    Raises:
        KeyError: there is none.
    """
    ids = table["image_id"]
    low, high = 0, len(table)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if ids[middle].as_py() < image_id else (low, middle)
    for row in range(low, len(table)):
        if ids[row].as_py() != image_id:
            break
        if label is None or table["label"][row].as_py() == label:
            return row
    raise KeyError((image_id, label))


@lru_cache(maxsize=2)  # tasks of one process look at the same collection
def _restored(folder: Path, root: Path, modified: int) -> ImageCollection:  # noqa: ARG001 - key
    return ImageCollection.restore(folder, root)


def _write(table: pa.Table, where: Any) -> None:
    pq.write_table(
        table,
        where,
        compression="zstd",
        row_group_size=1 << 17,
        use_compliant_nested_type=False,  # keeps the inner names of lists as they are
    )


def _read(where: Any) -> pa.Table:
    return read_parquet(where).combine_chunks()


def _require_contrast(path: Path, found: Assembled, label: str | None) -> None:
    """Raise DataError unless there are images, of two labels or more where labels are wanted."""
    labels = pc.unique(found.table["label"]).to_pylist()
    if len(labels) >= 2 or (labels and label == UNLABELLED):
        return
    if labels:
        deeper = path / labels[0]
        hint = f"; did you mean {deeper}?" if is_folder(deeper) else ""
        raise DataError(
            f"{path}: only the label {labels[0]!r}; typicality is a contrast and needs at least "
            f"two labels{hint}{_reasons(found.skipped)}"
        )
    raise DataError(f"{path}: no image can be used{_reasons(found.skipped)}\n{LAYOUTS}")


def _reasons(skipped: list[Skipped]) -> str:
    """Spell the commonest reasons, each with an example."""
    if not skipped:
        return ""
    example = {item.reason: item.file_name for item in reversed(skipped)}
    counts = Counter(item.reason for item in skipped).most_common(4)
    lines = [f"\n  {n} x {reason}, e.g. {example[reason]}" for reason, n in counts]
    return f"; skipped {len(skipped)}:" + "".join(lines)


def _content(column: pa.ChunkedArray) -> list[bytes]:
    """The values of a column as bytes that do not depend on how Arrow lays them out."""
    missing = pc.is_null(column).combine_chunks().to_numpy(zero_copy_only=False)
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    try:
        text = pc.fill_null(pc.cast(column, pa.large_string()), "").combine_chunks()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        text = pa.array([repr(value) for value in column.to_pylist()], pa.large_string())
    lengths = pc.binary_length(text).to_numpy(zero_copy_only=False).astype("<i8")
    data = "".join(text.to_pylist()).encode()
    return [np.packbits(missing).tobytes(), lengths.tobytes(), data]
