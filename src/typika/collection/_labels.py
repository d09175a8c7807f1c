"""Which column holds the labels, how its values are spelled, and how numbers are binned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from typika.errors import ConfigError

LARGEST_GUESS = 1000  # distinct values; a column with more is not taken for labels unasked
UNLABELLED = ""  # instead of a label column: all images are of one label ...
EVERYTHING = "all"  # ... which is called this
_NAMED_WIDTHS = {"decade": 10.0, "century": 100.0}


@dataclass(frozen=True)
class Bin:
    """Equal bins of a numeric column: `width` in its units, labels are where each bin starts."""

    width: float
    column: str | None = None

    @classmethod
    def parse(cls, text: str | float) -> Bin:
        """Read "decade", "century", a width such as 25, or "column=" before any of these.

        Raises:
            ConfigError: the width is none of these, or not above 0.
        """
        column, equals, size = str(text).rpartition("=")
        try:
            width = _NAMED_WIDTHS.get(size.strip().lower()) or float(size)
        except ValueError:
            width = math.nan
        if not (0 < width < math.inf) or (equals and not column.strip()):
            raise ConfigError(
                f"bin {str(text)!r}: need decade, century or a width above 0 such as 25, "
                "optionally after a column, as in year=decade"
            )
        return cls(width, column.strip() or None)

    def labels(self, values: pa.Array, file_names: pa.Array) -> pa.Array:
        """Return the label (string) of each value; empty values stay empty.

        Raises:
            ConfigError: naming the first value that is no finite number.
        """
        spelled = label_strings(values)
        bins = {text: self._start(text) for text in pc.unique(spelled).to_pylist()}
        if None in bins.values():
            index = next(i for i, text in enumerate(spelled.to_pylist()) if bins[text] is None)
            raise ConfigError(
                f"bin: {spelled[index].as_py()!r} (of {file_names[index].as_py()}) is no number; "
                "correct it, leave it empty, or do not bin this column"
            )
        return pa.array([bins[text] for text in spelled.to_pylist()], pa.string())

    def _start(self, text: str) -> str | None:
        if not text:
            return ""
        try:
            start = _whole(math.floor(float(text) / self.width) * self.width)
        except (ValueError, OverflowError):
            return None
        return str(start) if isinstance(start, int) else f"{start:.12g}"


def separate_labels(
    values: pa.Array, file_names: pa.Array, separator: str, width: Bin | None
) -> tuple[pa.Array, pa.Array]:
    """Split cells such as "Mass|Nodule" into labels, and bin them.

    A cell that names a label twice has it once; a cell without labels keeps one empty label.

    Returns:
        For each label, in the order of the cells, the index (int64) of its cell, and the labels
        (string).

    Raises:
        ConfigError: as `Bin.labels` and `label_strings`.
    """
    rows, parts = [], []
    for row, cell in enumerate(label_strings(values).to_pylist()):
        named = [part.strip() for part in cell.split(separator) if part.strip()]
        parts += named or [""]
        rows += [row] * max(1, len(named))
    labels = pa.array(parts, pa.string())
    if width is not None:
        labels = width.labels(labels, file_names.take(pa.array(rows, pa.int64())))
    pairs = dict.fromkeys(zip(rows, labels.to_pylist(), strict=True))
    return (
        pa.array([row for row, _ in pairs], pa.int64()),
        pa.array([label for _, label in pairs], pa.string()),
    )


def label_strings(values: pa.Array) -> pa.Array:
    """Spell label values: stripped text, whole floats as integers (1890.0 -> "1890").

    Null and NaN become "". Labels are otherwise kept as they are.

    Raises:
        ConfigError: the column holds lists or other nested values.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type) or _is_bytes(values.type):
        raise ConfigError(f"labels of type {values.type}: need text or numbers")
    if pa.types.is_floating(values.type):
        spelled = {value: _number(value) for value in pc.unique(values).to_pylist()}
        # NaN differs from itself, so it is spelled apart.
        return pa.array([spelled.get(v, "") for v in values.to_pylist()], pa.string())
    try:
        text = pc.fill_null(pc.cast(values, pa.string()), "")
    except pa.ArrowNotImplementedError as error:
        raise ConfigError(f"labels of type {values.type}: need text or numbers") from error
    return pc.utf8_trim_whitespace(text)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def choose_label(table: pa.Table, label: str | None, other: set[str]) -> str:
    """Name the label column: the one asked for, else `label`, else the only likely one.

    Likely is a column of text or integers with at least two values that each recur, on average.

    Args:
        table: the user's columns.
        label: the column asked for.
        other: columns that serve another purpose.

    Raises:
        ConfigError: listing the columns with their numbers of distinct values.
    """
    if label is not None and label in table.column_names:
        return label
    if label is None and "label" in table.column_names:
        return "label"
    columns = [name for name in table.column_names if name not in other]
    counts = {name: _distinct(table[name]) for name in columns}
    listed = ", ".join(f"{name} ({n or 'nested'})" for name, n in counts.items()) or "none"
    remedy = "choose one with --label NAME; columns (distinct values)"
    if label is not None:
        raise ConfigError(f"no column {label!r}: {remedy}: {listed}")
    most = min(LARGEST_GUESS, table.num_rows // 2)
    likely = [name for name in columns if _spells(table[name].type) and 2 <= counts[name] <= most]
    if len(likely) != 1:
        found = "several columns may" if likely else "no column is sure to"
        raise ConfigError(f"{found} hold the labels: {remedy}: {listed}")
    return str(likely[0])


def _distinct(column: pa.ChunkedArray) -> int:
    """How many values, 0 where Arrow cannot tell them apart."""
    if pa.types.is_nested(column.type):
        return 0
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        return int(pc.count_distinct(column, mode="only_valid").as_py())
    except pa.ArrowNotImplementedError:
        return 0


def _spells(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_dictionary(kind)
    )
