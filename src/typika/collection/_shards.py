"""Images in tar files, as WebDataset writes them: the files of one sample share their name.

`0001.jpg`, `0001.cls`, `0001.json`: the image, its label in `cls`, and a column for every field of
the JSON object. An image is found again by where its bytes begin: the header of a member of a tar
file is the block before them.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typika.collection._decode import SUFFIXES, Unreadable
from typika.collection._elsewhere import open_at, read_at, url_of
from typika.collection._files import Skipped
from typika.files import is_text, read_json

BLOCK = 512  # bytes of a header
MOST_IMAGE, MOST_TEXT = 1 << 30, 1 << 20  # bytes of an image file, and of a file beside it
TEXTS = ("cls", "txt", "text", "label")  # files beside an image that are one value


@dataclass
class Sample:
    """The image of one sample: its name in the tar file, where it begins, its columns."""

    name: str
    start: int
    columns: dict[str, Any] = field(default_factory=dict)


def samples(path: Path, shown: str, skipped: list[Skipped]) -> Iterator[Sample]:
    """The samples of one tar file that have an image; what cannot be used goes to `skipped`.

    shown: what the tar file is called there. A damaged file ends at its last whole member.
    """
    found: dict[str, Sample] = {}
    beside: dict[str, dict[str, Any]] = {}
    try:
        with open_at(path) as handle, tarfile.open(fileobj=handle, mode="r:") as archive:
            for member in archive:
                _note(archive, member, shown, found, beside, skipped)
    except (tarfile.TarError, OSError, EOFError) as error:
        skipped.append(Skipped(shown, f"damaged after {len(found)} images ({error})"))
    for key, sample in found.items():
        sample.columns.update(beside.get(key, {}))
        yield sample


def _note(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    shown: str,
    found: dict[str, Sample],
    beside: dict[str, dict[str, Any]],
    skipped: list[Skipped],
) -> None:
    """Take down one member: an image, or what stands beside one."""
    folder, slash, base = member.name.rpartition("/")
    stem, _, kind = base.partition(".")
    if not member.isfile() or not stem or not is_text(member.name):
        return
    key, kind = folder + slash + stem, kind.lower()
    if f".{kind.rpartition('.')[2]}" in SUFFIXES:
        if key in found:
            skipped.append(Skipped(f"{shown}/{member.name}", "its sample has an image already"))
        elif member.size > MOST_IMAGE:
            skipped.append(Skipped(f"{shown}/{member.name}", "a file of more than a gigabyte"))
        else:
            found[key] = Sample(f"{shown}/{member.name}", member.offset_data)
    elif kind in (*TEXTS, "json") and member.size <= MOST_TEXT:
        content = archive.extractfile(member)
        assert content is not None  # it is a file
        text = content.read().decode("utf-8", "replace").strip()
        beside.setdefault(key, {}).update(_columns(kind, text))


def _columns(kind: str, text: str) -> dict[str, Any]:
    if kind != "json":
        return {kind: text}
    try:
        value = read_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {"json": value}


def read_member(path: Path, start: int) -> bytes:
    """The bytes of the member of a tar file that begins at `start`.

    Raises:
        Unreadable: the file is gone, or no member begins there any more.
    """
    url = url_of(path)
    try:
        if url is None:
            with path.open("rb") as handle:
                handle.seek(start - BLOCK)
                size = _size(handle.read(BLOCK))
                return handle.read(size)
        size = _size(read_at(url, start - BLOCK, start))
        return read_at(url, start, start + size)
    except (OSError, tarfile.TarError, ValueError) as error:
        raise Unreadable(f"cannot be read from its tar file ({error})") from error


def _size(header: bytes) -> int:
    size = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size
    if size > MOST_IMAGE:
        raise Unreadable("a file of more than a gigabyte")
    return size
