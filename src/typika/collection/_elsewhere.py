"""Files that are not on this machine's disks: `s3://`, `gs://` and whatever else fsspec opens.

A URL travels as a `Path`, as every source of images does. A path joins slashes (`s3:/bucket/x`)
and may have been made absolute or relative to a run folder (`../s3:/bucket/x`); `url_of` finds
the URL in any of these forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from typika.errors import ConfigError, DataError

_URL = re.compile(r"(?:^|/)([a-z][a-z0-9+]{1,15}):/+(.*)$")  # one letter is a drive of Windows
_ROOTED = ("file", "local")  # schemes whose paths begin with a slash
_BRACES = re.compile(r"^(.*)\{(\d+)\.\.(\d+)\}(.*)$")


def url_of(path: Path) -> str | None:
    """The URL that a path stands for, None where it is a path of this machine."""
    found = _URL.search(path.as_posix())
    if found is None:
        return None
    scheme, rest = found.groups()
    return f"{scheme}:///{rest}" if scheme in _ROOTED else f"{scheme}://{rest}"


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and what the URL is called there.

    Raises:
        ConfigError: fsspec, or what it needs for this kind of URL, is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ConfigError(f"{url}: needs fsspec: pip install 'typika[cloud]'") from error
    try:
        return url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{url}: cannot be opened ({error}); pip install 'typika[cloud]' opens s3:// and gs://"
        ) from error


def listed(url: str) -> dict[str, str]:
    """Every file below a URL: its name relative to it, and what tells one version from another.

    Raises:
        DataError: nothing is there, or it cannot be listed.
    """
    system, base = file_system(url)
    try:
        found = system.find(base, detail=True)
    except OSError as error:
        raise DataError(f"{url}: cannot be listed ({error})") from error
    if not found:
        raise DataError(f"{url}: nothing there")
    base = base.rstrip("/")
    return {
        name.removeprefix(base).lstrip("/"): _stamp(info) for name, info in sorted(found.items())
    }


def _stamp(info: dict[str, Any]) -> str:
    version = next((info[key] for key in ("ETag", "etag", "mtime", "LastModified", "updated",
                                          "created") if info.get(key)), "")  # fmt: skip
    return f"{info.get('size')}\0{version}"


def read_at(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of a file, or of a range of it. Raises OSError where they cannot be read."""
    system, name = _system(url)
    content: bytes = system.cat_file(name, start=start, end=end)
    return content


def open_at(path: Path) -> Any:
    """A file of this machine or of another, open for reading."""
    url = url_of(path)
    if url is None:
        return path.open("rb")
    system, name = _system(url)
    return system.open(name, "rb")


@lru_cache(maxsize=4096)
def _system(url: str) -> tuple[Any, str]:
    return file_system(url)


def spelled_out(names: Sequence[str]) -> Iterator[str]:
    """Names with `{000..012}` in the place of a number, one by one."""
    for name in names:
        found = _BRACES.match(name)
        if found is None:
            yield name
            continue
        before, first, last, after = found.groups()
        for number in range(int(first), int(last) + 1):
            yield from spelled_out([f"{before}{number:0{len(first)}d}{after}"])
