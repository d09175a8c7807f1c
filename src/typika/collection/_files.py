"""The files below a folder: which count as images, and in which order names sort for people."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from typika.collection._decode import SUFFIXES
from typika.errors import DataError
from typika.files import is_text

_IGNORED = frozenset({"__macosx", "thumbs.db"})
MOST_DIGITS = 300  # of a number; int() refuses thousands, and float() takes them for infinite
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True, order=True)
class Skipped:
    """One image or table row that is not in the collection, and why."""

    file_name: str
    reason: str

    def __post_init__(self) -> None:
        for name in ("file_name", "reason"):
            object.__setattr__(self, name, written(getattr(self, name)))


class Refused(DataError):
    """A file that cannot be used; the message is the reason alone, without the file's name."""


@dataclass
class Tree:
    """The image and Parquet files below a folder, as sorted POSIX paths relative to it."""

    images: list[str]
    parquet: list[str]
    skipped: list[Skipped]
    others: list[str] = field(default_factory=list)  # those that were asked for


def walk(root: Path, only: Collection[str] | None = None, others: Collection[str] = ()) -> Tree:
    """List the files below `root`; hidden files and other suffixes are ignored silently.

    Links are followed, but not back into a folder that holds them. A folder that
    cannot be read is reported in `skipped`.

    Args:
        root: an existing folder.
        only: names of the folders directly in `root` to enter; `None` enters all.
        others: suffixes, such as ".xml", of further files to list.
    """
    tree = Tree([], [], [])
    waiting: list[tuple[str, frozenset[str]]] = [("", frozenset())]
    while waiting:
        folder, above = waiting.pop()
        place = os.path.realpath(root / folder)
        if place in above:
            continue
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            reason = f"folder cannot be read ({error.strerror or error})"
            tree.skipped.append(Skipped(folder or ".", reason))
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _IGNORED:
                continue
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir():
                if folder or only is None or entry.name in only:
                    waiting.append((name, above | {place}))
            else:
                _sort_in(tree, name, others)
    tree.images.sort()
    tree.parquet.sort()
    tree.others.sort()
    return tree


def _sort_in(tree: Tree, name: str, others: Collection[str]) -> None:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each of 10⁶ is slow
    if suffix in SUFFIXES or suffix in others:
        if is_text(name):
            (tree.images if suffix in SUFFIXES else tree.others).append(name)
        else:
            tree.skipped.append(Skipped(name, "its name is not valid UTF-8; rename the file"))
    elif suffix == ".parquet":
        tree.parquet.append(name)


def same_name(name: str) -> str:
    """Bring a name to one Unicode form: tables and file systems disagree on accents."""
    return unicodedata.normalize("NFC", name)


def tree_of(names: Collection[str]) -> Tree:
    """The same for the files of a listing that was made elsewhere."""
    tree = Tree([], [], [])
    for name in sorted(names):
        if not any(part.startswith(".") or part.lower() in _IGNORED for part in name.split("/")):
            _sort_in(tree, name, (".tar",))
    return tree


def stats(root: Path, names: Collection[str]) -> Iterator[str]:
    """Yield a line of relative path, size and modification time for each file."""
    for name in names:
        try:
            found = (root / name).stat()
        except OSError:
            yield f"{name}\0unreadable"
        else:
            yield f"{name}\0{found.st_size}\0{found.st_mtime_ns}"


def written(text: str) -> str:
    """A text as it can be written: what is no Unicode (half of a surrogate pair) is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()


def natural_order(labels: Collection[str]) -> list[str]:
    """Sort as people count: "item 2" before "item 10", and numbers by their value."""
    if all(_NUMBER.fullmatch(label) for label in labels):
        return sorted(labels, key=lambda label: (float(label), label))
    return sorted(labels, key=_natural_key)


def _natural_key(label: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", label.casefold())
    return [_natural_part(part) for part in parts], label


def _natural_part(part: str) -> tuple[int, int, str]:
    if not part.isdecimal() or len(part) > MOST_DIGITS:
        return 1, 0, part
    return 0, int(part), ""
