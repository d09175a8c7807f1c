"""Lines as the Learnable Typewriter's data sets list them: annotation.json beside images/.

    {"a.png": {"split": "train", "label": "the text", "script": "...", "page": "..."}, ...}

`label` may be missing: the line is not transcribed. Every other value becomes a column.
"""

from __future__ import annotations

import json
import posixpath
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typika.collection._files import same_name
from typika.collection._finder import tidy
from typika.collection._line_records import Candidate, Harvest
from typika.errors import DataError
from typika.files import is_text

ANNOTATION = "annotation.json"
_IMAGES = "images"
_LABEL = "label"


def read_annotation(root: Path, listing: str, images: Sequence[str]) -> Harvest:
    """Read the lines that one annotation.json lists.

    Args:
        root: the folder that all names are relative to.
        listing: the annotation.json.
        images: all image files of the collection; those below the listing's folder are its own.

    Raises:
        DataError: it is no JSON object in UTF-8.
    """
    entries = _load(root / listing)
    folder = posixpath.dirname(listing)
    harvest = Harvest()
    harvest.claimed = {image for image in images if not folder or image.startswith(f"{folder}/")}
    finder = _Finder(folder, sorted(harvest.claimed))
    listed = set()
    for key, entry in entries.items():
        where = f"{listing}: {key}"
        image, reason = finder.find(key)
        if not reason and image in listed:
            reason = f"{image} is listed twice"
        if not reason and not _is_entry(entry):
            reason = 'its entry is not {"split": ..., "label": ...}, with text for a label'
        if reason:
            harvest.skip(where, reason)
            continue
        listed.add(image)
        harvest.candidates.append(
            Candidate(
                line_id=posixpath.splitext(image)[0],
                file_name=image,
                text=entry.get(_LABEL),
                columns=_columns(entry),
            )
        )
    for image in sorted(harvest.claimed - listed):
        harvest.skip(image, f"{listing} does not list it")
    return harvest


def _load(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON in UTF-8 ({error}); correct it") from error
    if not isinstance(entries, dict):
        raise DataError(
            f"{path}: holds a {type(entries).__name__}; need an object whose keys are image files"
        )
    return entries


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    texts = [one for pair in entry.items() for one in pair if isinstance(one, str)]
    return isinstance(entry.get(_LABEL), str | None) and all(map(is_text, texts))


def _columns(entry: dict[str, Any]) -> dict[str, str]:
    """Text and numbers of an entry; what is nested says nothing of a group of lines."""
    plain = {name: value for name, value in entry.items() if isinstance(value, str | int | float)}
    return {name: str(value).strip() for name, value in plain.items() if name != _LABEL}


class _Finder:
    """The images of one data set by the names that its keys give them, with or without suffix."""

    def __init__(self, folder: str, images: Sequence[str]) -> None:
        self._folder = folder
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for image in images:
            base = posixpath.basename(image)
            for name in {image, posixpath.splitext(image)[0], base, posixpath.splitext(base)[0]}:
                self._by_name[same_name(name)].append(image)

    def find(self, key: str) -> tuple[str, str]:
        """The image of a key and "", or "" and why there is none."""
        clean = tidy(key)
        places = (posixpath.join(self._folder, _IMAGES), self._folder)
        names = (*(posixpath.join(place, clean) for place in places), posixpath.basename(clean))
        for name in map(same_name, names):
            found = self._by_name.get(name, [])
            if len(found) == 1:
                return found[0], ""
            if found:
                return "", f"several images have this name: {found[0]}, {found[1]}"
        return "", "no such image"
