"""Files that appear whole or not at all, their names, digests of what they hold, and JSON."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BLOCK = 1 << 20  # bytes read at a time
MAX_NAME = 80
RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(10))}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well, the file takes its place at `path`.

    The rename is atomic, so a reader sees the old file or the new one and a kill leaves at most
    a stray `.part` file, which `sweep` removes. Nothing is left behind when the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own and not the target's plus a suffix: the target may already be as long as
    # the file system allows.
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends well, it takes the place of `path`.

    A reader sees the old folder, none or the new one, never a part of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    temporary.mkdir()
    try:
        yield temporary
        for inside in temporary.rglob("*"):
            if inside.is_file():
                with inside.open("rb+") as handle:
                    os.fsync(handle.fileno())
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_json(text: str) -> Any:
    """The value of a JSON text from elsewhere.

    Raises:
        ValueError: not JSON, nested too deeply, a number of thousands of digits, or a text in it
            that is no Unicode (half of a surrogate pair) and could be written nowhere.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def is_text(text: str) -> bool:
    """Whether a text or a name is Unicode: no undecodable bytes, no half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_file(path: Path) -> bool:
    """Whether there is a file, also under a name that no file can have."""
    # Path.is_file raises OSError for a name that is too long.
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether there is a folder, also under a name that none can have."""
    return os.path.isdir(path)  # noqa: PTH112


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written anywhere below `folder`."""
    for stray in list(folder.rglob(".*.part")):
        if stray.is_dir():
            shutil.rmtree(stray)
        else:
            stray.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            state.update(block)
    return state.hexdigest()


def sample_digest(path: Path) -> str:
    """BLAKE2b of a file's size, first and last megabyte: for weights of many gigabytes."""
    size = path.stat().st_size
    state = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as handle:
        state.update(handle.read(BLOCK))
        handle.seek(max(size - BLOCK, 0))
        state.update(handle.read(BLOCK))
    return state.hexdigest()


def text_digest(text: str) -> str:
    """BLAKE2b of a text, 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def safe_name(label: str) -> str:
    """A file name for a label: letters, digits, `_`, `-` and inner dots, at most 80 characters.

    Labels that are already such names stay as they are; any other is slugged and ends in eight
    digits of its hash, so two labels never share a file, on any file system.
    """
    text = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode("ascii")
    slug = re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-.")[: MAX_NAME - 9].strip("-.")
    if slug and slug == label and slug.split(".")[0] not in RESERVED and not _ends_in_hash(slug):
        return slug
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{slug.replace('.', '-') or 'label'}-{digest}"


def _ends_in_hash(slug: str) -> bool:
    """Whether a plain label looks like a slugged one, and could be mistaken for it."""
    return re.search(r"-[0-9a-f]{8}$", slug) is not None or ".." in slug
