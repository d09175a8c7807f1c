"""What is known of lines beside their text: from folders and from a metadata table."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from typika.collection._files import same_name
from typika.collection._finder import tidy
from typika.collection._line_records import Candidate
from typika.collection._pairs import stem
from typika.collection._tables import PATH_COLUMNS, SPLITS
from typika.errors import DataError

METADATA = ("metadata.csv", "metadata.tsv")
DOCUMENT, SPLIT = "document", "split"
KEYS = (*PATH_COLUMNS, "line_id", "page", DOCUMENT)  # the first present tells what a row is of
# Folders that say what is in them, not of which document it is.
_KINDS = frozenset({"images", "img", "page", "pages", "alto"})

Columns = dict[str, str]


def folder_columns(file_name: str) -> Columns:
    """The split and the document that the folders of an image tell."""
    folders = [name for name in file_name.split("/")[:-1] if name.lower() not in _KINDS]
    found = {}
    if folders and folders[0].lower() in SPLITS:
        found[SPLIT] = folders.pop(0)
    if folders:
        found[DOCUMENT] = folders[0]
    return found


def find_metadata(root: Path) -> Path | None:
    """The table beside the lines, if there is one."""
    return next((root / name for name in METADATA if (root / name).is_file()), None)


class Metadata:
    """A table of columns for lines, pages or documents: text alone."""

    def __init__(self, path: Path) -> None:
        """Read a .csv or .tsv file.

        Raises:
            DataError: it cannot be read, names neither files nor documents, or has two rows for
                one of them.
        """
        self.path = path
        header, *rows = list(_cells(path)) or [[]]
        key = next((name for name in KEYS if name in header), None)
        if key is None:
            raise DataError(
                f"{path}: its columns are {', '.join(header) or 'none'}; need one that tells what "
                f"a row is of: {', '.join(KEYS)}"
            )
        self.key = key
        self.names = [name for name in header if name and name != key]
        self._rows: dict[str, Columns] = {}
        for number, cells in enumerate(rows, 2):
            row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
            name = same_name(tidy(row.get(key, "")))
            if name in self._rows:
                raise DataError(f"{path}, line {number}: a second row for {key} {name!r}")
            self._rows[name] = {column: row.get(column, "") for column in self.names}

    def join(
        self, candidates: Sequence[Candidate], columns: Sequence[Columns]
    ) -> tuple[list[Columns], list[str]]:
        """Add the table's columns to those of each line; return them and remarks.

        A name that is taken gets a `_` appended, unless the column says exactly the same.
        """
        found = [self._find(line, own) for line, own in zip(candidates, columns, strict=True)]
        used = {name for name in found if name is not None}
        rows = [self._rows.get(name or "", {}) for name in found]
        names = {name: _free_name(name, rows, columns) for name in self.names}
        joined = [
            own | {names[name]: row.get(name, "") for name in self.names}
            for own, row in zip(columns, rows, strict=True)
        ]
        return joined, list(self._remarks(candidates, found, used))

    def _find(self, line: Candidate, columns: Mapping[str, str]) -> str | None:
        """The row that a line belongs to."""
        if self.key in (DOCUMENT, "page"):
            names = [columns.get(self.key, "")]
        else:
            bare = stem(line.file_name)
            base = posixpath.basename
            names = [line.line_id, line.file_name, bare, base(line.file_name), base(bare)]
        return next((name for name in map(same_name, names) if name in self._rows), None)

    def _remarks(
        self, candidates: Sequence[Candidate], found: Sequence[str | None], used: set[str]
    ) -> Iterator[str]:
        lacking = [line.line_id for line, name in zip(candidates, found, strict=True)
                   if name is None]  # fmt: skip
        idle = sorted(self._rows.keys() - used)
        if lacking:
            known = f"lines of which {self.path.name} says nothing"
            yield f"{known}: {len(lacking)}, e.g. {lacking[0]}"
        if idle:
            yield f"rows of {self.path.name} without a line: {len(idle)}, e.g. {idle[0]}"


def _free_name(name: str, rows: Sequence[Columns], columns: Sequence[Columns]) -> str:
    free = name
    while any(free in own for own in columns):
        if all(own.get(free, "") == row.get(name, "")
               for own, row in zip(columns, rows, strict=True)):  # fmt: skip
            break
        free += "_"
    return free


def _cells(path: Path) -> Iterator[list[str]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for row in csv.reader(handle, delimiter=delimiter):
                if any(cell.strip() for cell in row):
                    yield row
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: no table in UTF-8 ({error})") from error
