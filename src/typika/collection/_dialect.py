"""What a collection's own tables and lists call things, where the usual names do not hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from typika.errors import ConfigError

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Names of columns and files; None where the usual ones hold.

    Raises:
        ConfigError: `table` is no plain name of a table, `separator` is empty, or an entry of
            `split_lists` is not `split=file`.
    """

    label: str | None = None  # column of labels
    table: str | None = None  # metadata table inside the folder, instead of metadata.*
    file: str | None = None  # column of image files
    group: str | None = None  # column of what must not be divided
    separator: str | None = None  # between the labels of one cell
    split_lists: tuple[str, ...] = ()  # "split=file.txt": file names, one a line

    def __post_init__(self) -> None:
        if self.table is not None:
            _require_table_name(self.table)
        if self.separator is not None and not self.separator.strip():
            raise ConfigError(
                f"separator {self.separator!r}: need what stands between two labels, such as '|'"
            )
        for entry in self.split_lists:
            _parse_list(entry)

    def lists(self, folder: Path) -> tuple[tuple[str, Path], ...]:
        """The splits and the text files, below `folder`, that list their images.

        Raises:
            ConfigError: there is no such file.
        """
        found = tuple((split, folder / name) for split, name in map(_parse_list, self.split_lists))
        for split, path in found:
            if not path.is_file():
                raise ConfigError(f"split_lists: {path} of the split {split!r} is not there")
        return found


def _require_table_name(name: str) -> None:
    if not _is_plain(name) or "/" in name or "\\" in name:
        raise ConfigError(f"table {name!r}: need the name of a file in the collection's folder")
    if PurePosixPath(name).suffix.lower() not in TABLE_SUFFIXES:
        raise ConfigError(f"table {name!r}: need a .csv, .tsv, .jsonl or .parquet file")


def _parse_list(entry: str) -> tuple[str, str]:
    split, equals, name = (part.strip() for part in entry.partition("="))
    if not (split and equals and _is_plain(name)):
        raise ConfigError(
            f"split_lists {entry!r}: need split=file with a file inside the collection's folder, "
            "as in test=test_list.txt"
        )
    return split, name


def _is_plain(name: str) -> bool:
    """Whether a name stays below the folder that it is joined to."""
    both = PurePosixPath(name), PureWindowsPath(name)
    return bool(name.strip()) and not any(p.anchor or ".." in p.parts for p in both)
