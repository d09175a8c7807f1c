"""A collection of text lines, with or without transcriptions.

Four layouts are read, also side by side below one folder:

    LINES/**/x.png (x.jpg, x.tif, x.nrm.png, x.bin.png), with or without x.gt.txt
    LINES/**/x.xml in ALTO 2-4 or PAGE 2013-2019, and the images of the pages they describe
    LINES/annotation.json and LINES/images/, as the Learnable Typewriter's data sets are published
    a metadata.csv at the top, which joins columns by file_name, line_id, page or document

Legend: H W pixels of a line; points are x, y in pixels, whole numbers at the corners of pixels.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
from PIL import Image

from typika.collection._decode import Unreadable, decode_bytes, read_bytes
from typika.collection._files import Skipped, natural_order
from typika.collection._frame import Frame
from typika.collection._line_columns import DOCUMENT, Metadata
from typika.collection._line_records import Candidate, Cut, TextLine
from typika.collection._line_scan import LAYOUTS, Source, read_lines
from typika.collection._straighten import (
    LineImage,
    frame_of,
    native_size,
    straight_line,
    whole_line,
    width_at,
)
from typika.collection._transcription import Form, Spelling
from typika.collection.alphabet import Alphabet
from typika.errors import ConfigError, DataError

__all__ = [
    "DOCUMENT",
    "LAYOUTS",
    "Cut",
    "Frame",
    "LineCollection",
    "LineImage",
    "Skipped",
    "Source",
    "TextLine",
    "joined",
]


@dataclass(frozen=True)
class LineCollection:
    """Text lines in canonical order: by file_name, the lines of a page as its XML lists them.

    `line_id` and order depend on names inside the folder alone, not on how it lists them.
    """

    root: Path
    lines: tuple[TextLine, ...]
    sources: Mapping[str, Source] = field(repr=False)  # every image, by file_name
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()  # remarks a person should see

    def __post_init__(self) -> None:
        known: set[str] = set()
        for line in self.lines:
            if line.line_id in known:
                raise DataError(f"{self.root}: two lines are called {line.line_id!r}")
            if line.file_name not in self.sources:
                raise DataError(f"{line.line_id}: nothing is known of its image {line.file_name}")
            known.add(line.line_id)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        metadata: Path | None = None,
        normalisation: Form = "NFC",
        replacements: Path | None = None,
        workers: int = 2,
    ) -> LineCollection:
        """Read a folder of lines; what cannot be used is in `skipped`.

        Every image is read and decoded once. An image without a transcription is an untranscribed
        line, and so is one whose transcription is empty.

        Args:
            path: the folder, or one annotation.json or page's XML in it.
            metadata: a .csv or .tsv table with the column file_name, line_id, page or document
                and further columns; `None` takes metadata.csv or metadata.tsv of the folder.
            normalisation: the Unicode form of all texts; "none" leaves them.
            replacements: a table of what to replace in them, as choco-mufin writes it.
            workers: threads that decode.

        Raises:
            DataError: nothing there, no usable line, malformed tables.
            ConfigError: an unknown form, a regular expression that is none.
        """
        path = Path(path)
        spelling = Spelling.choose(normalisation, replacements)
        found = read_lines(path, spelling, metadata, workers)
        root = path if path.is_dir() else path.parent
        lines, skipped = tuple(found.lines), tuple(sorted(set(found.skipped)))
        if not lines:
            examples = "".join(f"\n  {example}" for example in reasons(skipped))
            raise DataError(f"{path}: no usable text line; {len(skipped)} skipped{examples}")
        return cls(root, lines, found.sources, skipped, tuple(found.notes))

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[TextLine]:
        return iter(self.lines)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the lines' columns."""
        return tuple(self.lines[0].columns) if self.lines else ()

    @cached_property
    def alphabet(self) -> Alphabet:
        """The symbols of all transcriptions."""
        return Alphabet.of(line.text for line in self.lines if line.text is not None)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits of the lines: names, images' bytes, places, texts and columns."""
        state = blake2b(digest_size=16)
        for line in self.lines:
            cut = None if line.cut is None else _numbers(line.cut)
            content = self.sources[line.file_name].content
            row = [line.line_id, content, line.text, cut, sorted(line.columns.items())]
            state.update(json.dumps(row).encode() + b"\n")
        return state.hexdigest()

    def width(self, line: TextLine, height: int) -> int:
        """Pixels that the line is wide when it is `height` high; no image is opened."""
        source = self.sources[line.file_name]
        size = (source.width, source.height) if line.cut is None else native_size(line.cut)
        return width_at(size, height)

    def frame(self, line: TextLine, height: int) -> Frame:
        """Where the pixels of the line that `load` gives are on its image; none is opened."""
        source = self.sources[line.file_name]
        return frame_of((source.width, source.height), line.cut, height)

    def load(self, line: TextLine, height: int) -> LineImage:
        """Decode a line, straight and `height` pixels high.

        Raises:
            DataError: the file has gone, changed into something unreadable, or is damaged.
        """
        path = self.root / line.file_name
        if line.cut is None:
            return whole_line(_decode(path), height)
        return straight_line(_page(path, self.sources[line.file_name].content), line.cut, height)

    def iterate(self, height: int) -> Iterator[tuple[TextLine, LineImage]]:
        """Every line and its image, in order, each page decoded once."""
        for line in self.lines:
            yield line, self.load(line, height)

    def values(self, column: str) -> tuple[str, ...]:
        """The distinct values of a column, as people count; "" is no value.

        Raises:
            ConfigError: there is no such column.
        """
        self._require_column(column)
        return tuple(natural_order({line.columns[column] for line in self.lines} - {""}))

    def subset(self, column: str, *values: str) -> LineCollection:
        """The lines whose column has one of some values.

        Raises:
            ConfigError: no such column, or no line with such a value.
        """
        self._require_column(column)
        chosen = tuple(line for line in self.lines if line.columns[column] in values)
        if not chosen:
            listed = ", ".join(self.values(column)) or "none"
            raise ConfigError(
                f"{column} {' or '.join(map(repr, values))}: no line has it; there are: {listed}"
            )
        return replace(self, lines=chosen)

    def in_split(self, name: str) -> LineCollection:
        """The lines of a split; "" means all of them. Raises ConfigError as `subset`."""
        return self.subset("split", name) if name else self

    def select(self, line_ids: Collection[str]) -> LineCollection:
        """The lines of some ids, in canonical order.

        Raises:
            ConfigError: an id that no line has.
        """
        wanted = frozenset(line_ids)
        chosen = tuple(line for line in self.lines if line.line_id in wanted)
        if len(chosen) < len(wanted):
            missing = sorted(wanted - {line.line_id for line in chosen})
            raise ConfigError(f"line {missing[0]!r}: the collection has no line of this id")
        return replace(self, lines=chosen)

    def _require_column(self, column: str) -> None:
        if column not in self.columns:
            listed = ", ".join(self.columns) or "none"
            raise ConfigError(f"column {column!r}: the lines have none; choose one of {listed}")


def joined(table: pa.Table, metadata: Path) -> tuple[pa.Table, list[str]]:
    """A table with a row a line and the further columns of a table of metadata, and remarks.

    table: line_id, file_name and text columns. A column that is there already and says something
    else keeps its name, and the new one gets a `_` appended.

    Raises:
        DataError: the metadata cannot be read or does not tell what its rows are of.
    """
    own = [name for name in table.column_names if pa.types.is_string(table[name].type)]
    rows = [{name: value or "" for name, value in row.items()}
            for row in table.select(own).to_pylist()]  # fmt: skip
    candidates = [
        Candidate(line_id=row["line_id"], file_name=row["file_name"], text=None) for row in rows
    ]
    found, remarks = Metadata(metadata).join(candidates, rows)
    for name in found[0] if found else ():
        if name not in table.column_names:
            table = table.append_column(name, pa.array([row[name] for row in found]))
    return table, remarks


def _numbers(cut: Cut) -> list[object]:
    return [cut.baseline, cut.polygon, cut.above, cut.below]


@functools.lru_cache(maxsize=1)
def _page(path: Path, content: str) -> Image.Image:  # noqa: ARG001 - known by its content
    """The page that was wanted last: its lines come one after the other."""
    return _decode(path)


def _decode(path: Path) -> Image.Image:
    try:
        return decode_bytes(read_bytes(path), None)[0]
    except Unreadable as error:
        raise DataError(f"{path}: {error}") from error


def reasons(skipped: Sequence[Skipped], most: int = 3) -> list[str]:
    """Why something was left out: of every reason the first that it holds for, by its name."""
    firsts = {one.reason: f"{one.file_name}: {one.reason}" for one in reversed(skipped)}
    found = sorted(firsts.values())
    return found if len(found) <= most else [*found[:most], "..."]
