"""Which image file a name in a table or a list means."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from typika.collection._files import same_name
from typika.errors import DataError
from typika.files import is_file, is_text


class Finder:
    """The images below a folder by the names that people give them.

    A path relative to `root`, or an absolute one inside it, means that file. A bare name that is
    not in `root` itself means the only file of that name below it.
    """

    def __init__(self, root: Path, images: Sequence[str]) -> None:
        self.root = root
        self._by_path = {same_name(path): path for path in images}

    def find(self, name: str | None) -> tuple[str, str]:
        """Return a path relative to `root` and "", or what was sought and why there is none."""
        if not name or not name.strip():
            return "", "no file_name"
        clean = tidy(name)
        outside = f"path leads outside {self.root}"
        if posixpath.isabs(clean):
            inside = self.root.resolve().as_posix() + "/"
            if not clean.startswith(inside):
                return clean, outside
            clean = clean.removeprefix(inside)
        if clean == ".." or clean.startswith("../"):
            return clean, outside
        if file := self._by_path.get(same_name(clean)):
            return file, ""
        if is_text(clean) and is_file(self.root / clean):
            return clean, ""
        return self._find_bare(clean)

    def _find_bare(self, name: str) -> tuple[str, str]:
        found = self._by_name.get(same_name(name), [])  # keys have no slash
        if len(found) == 1:
            return found[0], ""
        if found:
            return name, f"several files have this name: {found[0]}, {found[1]}"
        return name, "no such file"

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        paths: dict[str, list[str]] = {}
        for name, path in self._by_path.items():
            paths.setdefault(posixpath.basename(name), []).append(path)
        return paths


def tidy(name: str) -> str:
    """Spell a path with slashes, without spaces around it or needless steps in it."""
    return posixpath.normpath(name.strip().replace("\\", "/"))


def read_split_lists(
    lists: Sequence[tuple[str, Path]], finder: Finder
) -> tuple[dict[str, str], list[str]]:
    """Read text files that name images, one a line; empty lines are passed over.

    Args:
        lists: the split and the file of each list.
        finder: the images.

    Returns:
        The split of each listed image, and a remark on every list that names what is not there.

    Raises:
        DataError: a list cannot be read, or an image is in the lists of two splits.
    """
    split_of: dict[str, str] = {}
    remarks = []
    for split, path in lists:
        names = _lines(path)
        missing = []
        for name in names:
            file, reason = finder.find(name)
            if reason:
                missing.append(f"{name} ({reason})")
            elif split_of.setdefault(file, split) != split:
                raise DataError(
                    f"{path}: {file} is already in the list of {split_of[file]!r}; an image can "
                    "be in one split only"
                )
        if missing:
            remarks.append(
                f"{path.name} names {len(missing)} images (of {len(names)}) that are not here, "
                f"e.g. {missing[0]}"
            )
    return split_of, remarks


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a list of file names ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
