"""IIIF manifests, Presentation 2 and 3: their canvases as rows, and the image that each is of.

A manifest is read from disk and nothing is fetched. The image of a canvas is looked for among the
files of the collection, by the name that `cached_name` gives to its image service, or by the last
part of the service's or the image's own address.

https://iiif.io/api/presentation/3.0/, https://iiif.io/api/presentation/2.1/
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from typika.collection._files import same_name
from typika.collection._finder import tidy
from typika.errors import DataError
from typika.files import is_file, is_text, read_json, safe_name

MARK = "iiif.io/api/presentation"  # in the @context of every manifest
MOST_BYTES = 1 << 28  # of one manifest; large ones, of thousands of pages, have ten million
MOST_CANVASES = 100_000  # of one manifest
MOST_COLUMNS = 1_000  # of metadata, over all manifests
MOST_MANIFESTS = 20_000
MOST_TEXT = 10_000  # characters of one piece of metadata
MOST_CHARACTERS = 1 << 30  # of the metadata of all canvases, each with its manifest's
COLUMNS = ("iiif_manifest", "iiif_canvas", "iiif_width", "iiif_height", "iiif_image",
           "iiif_service")  # fmt: skip
_HEAD = 1 << 16  # bytes that the mark is looked for in
_TAG = re.compile(r"<[^<>]*>")
_PLAIN_NAMES = frozenset({"default", "native", "full", "color", "info", "canvas"})


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """One canvas of a manifest and the image painted on it."""

    manifest: str  # its id
    name: str  # id of the canvas
    size: tuple[int, int]  # width, height of the canvas; 0, 0 where it does not say
    image: str  # address of the image, "" where nothing is painted
    service: str  # of its image service, or ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What its image is known by, here and elsewhere."""
        return self.service or self.image


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one file says: canvases, or, of a collection, the ids of manifests."""

    canvases: tuple[Canvas, ...] = ()
    members: tuple[str, ...] = ()


def cached_name(address: str) -> str:
    """The file name, without suffix, under which what an address leads to is kept."""
    return safe_name(address)


def is_manifest(path: Path) -> bool:
    """Whether a file looks like a manifest or a collection of manifests."""
    try:
        with path.open("rb") as handle:
            return MARK.encode() in handle.read(_HEAD)
    except OSError:
        return False


def manifests_in(folder: Path) -> list[Path]:
    """The manifests that lie right in a folder, in the order of their names."""
    found = sorted(path for path in folder.glob("*.json") if is_file(path))
    return [path for path in found if not path.name.startswith(".") and is_manifest(path)]


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, or a collection of manifests.

    Raises:
        DataError: unreadable, too large, no JSON, of no known version.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path}: more than {MOST_BYTES:,} bytes are no manifest")
        value = read_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not JSON in UTF-8 ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds a {type(value).__name__}, no manifest")
    kind = str(value.get("type") or value.get("@type") or "").removeprefix("sc:")
    if kind == "Collection":
        return Manifest(members=tuple(_members(value)))
    if kind != "Manifest":
        raise DataError(f"{path}: its type is {kind!r}; need a IIIF Manifest or Collection")
    name = _id(value) or path.name
    found = _canvases_3(value) if "items" in value else _canvases_2(value)
    own = _texts(value)
    canvases = tuple(
        canvas
        for number, one in enumerate(found, 1)
        if (canvas := _canvas(one, f"{name}/canvas/{number}", name, own)) is not None
    )
    if not canvases:
        raise DataError(f"{path}: a manifest without a canvas that an image is painted on")
    if len(canvases) > MOST_CANVASES:
        raise DataError(f"{path}: more than {MOST_CANVASES:,} canvases")
    return Manifest(canvases=canvases)


def manifest_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Manifests, and after each collection of manifests those that it names.

    Raises:
        DataError: as `read_manifest`; a collection's manifest is not here; too many.
    """
    waiting, found = list(reversed(paths)), dict[Path, None]()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = None
        if len(found) > MOST_MANIFESTS:
            raise DataError(f"{path.parent}: more than {MOST_MANIFESTS:,} manifests")
        members = read_manifest(path).members
        waiting += [local_manifest(path, name) for name in reversed(members)]
    return tuple(found)


def read_canvases(paths: Sequence[Path]) -> tuple[Canvas, ...]:
    """The canvases of some manifests. Raises DataError as `read_manifest`."""
    return tuple(canvas for path in paths for canvas in read_manifest(path).canvases)


def local_manifest(collection: Path, address: str) -> Path:
    """The file of a manifest that a collection names. Raises DataError where there is none."""
    base = posixpath.basename(unquote(path_of(address)).rstrip("/"))
    names = [f"{cached_name(address)}.json"]
    # A bare file name cannot lead out of the folder.
    names += [base] if base.endswith(".json") and tidy(base) == base else []
    for name in names:
        if is_file(collection.parent / name):
            return collection.parent / name
    raise DataError(
        f"{collection}: its manifest {address} is not beside it; `typika fetch` gets it"
    )


def canvases_table(canvases: Sequence[Canvas]) -> pa.Table:
    """A row a canvas: where it is from, and its manifest's and its own metadata as text.

    Raises:
        DataError: more than `MOST_COLUMNS` kinds of metadata, or `MOST_CHARACTERS`.
    """
    names = dict.fromkeys(name for canvas in canvases for name in canvas.columns)
    if len(names) > MOST_COLUMNS:
        raise DataError(f"manifests with {len(names):,} kinds of metadata; at most {MOST_COLUMNS}")
    if sum(len(text) for one in canvases for text in one.columns.values()) > MOST_CHARACTERS:
        raise DataError(f"metadata of more than {MOST_CHARACTERS:,} characters for the canvases")
    own = {
        "iiif_manifest": [canvas.manifest for canvas in canvases],
        "iiif_canvas": [canvas.name for canvas in canvases],
        "iiif_width": pa.array([canvas.size[0] for canvas in canvases], pa.int32()),
        "iiif_height": pa.array([canvas.size[1] for canvas in canvases], pa.int32()),
        "iiif_image": [canvas.image for canvas in canvases],
        "iiif_service": [canvas.service for canvas in canvases],
    }
    free = {name: f"{name}_" if name in own else name for name in names}
    further = {free[name]: [canvas.columns.get(name, "") for canvas in canvases] for name in names}
    return pa.table({**own, **further})


class ImageFinder:
    """The image file of a canvas."""

    def __init__(self, images: Sequence[str]) -> None:
        self._found: dict[str, list[str]] = {}
        for image in images:
            base = posixpath.basename(image)
            names = {image, posixpath.splitext(image)[0], base, posixpath.splitext(base)[0]}
            for name in names:
                self._found.setdefault(same_name(name), []).append(image)

    def find(self, canvas: Canvas) -> str | None:
        """The only file of one of the names that the canvas's image may have here."""
        for name in _local_names(canvas):
            found = self._found.get(same_name(name), [])
            if len(found) == 1:
                return found[0]
        return None


def _local_names(canvas: Canvas) -> Iterator[str]:
    """The names, with suffix or without, that the image of a canvas may have on disk."""
    yield cached_name(canvas.key)
    for address in (canvas.service, canvas.image):
        path = unquote(path_of(address))
        if address and not scheme_of(address):
            yield tidy(path)
        base = posixpath.basename(path.rstrip("/"))
        stem = posixpath.splitext(base)[0]
        if stem and stem.lower() not in _PLAIN_NAMES:
            yield base
            yield stem


def path_of(address: str) -> str:
    """The path of an address, "" where it is none."""
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


def scheme_of(address: str) -> str:
    """The scheme of an address, "" where it has none."""
    try:
        return urlsplit(address).scheme
    except ValueError:
        return ""


# ------------------------------------------------------------------------------------- the format


def _members(collection: Mapping[str, Any]) -> Iterator[str]:
    for part in ("items", "manifests", "members", "collections"):
        for member in _dicts(collection.get(part)):
            if name := _id(member):
                yield name


def _canvases_3(manifest: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Each canvas and the body of its first painting."""
    for canvas in _dicts(manifest.get("items")):
        paintings = [
            annotation.get("body")
            for page in _dicts(canvas.get("items"))
            for annotation in _dicts(page.get("items"))
            if annotation.get("motivation", "painting") == "painting"
        ]
        yield canvas, paintings[0] if paintings else None


def _canvases_2(manifest: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    for sequence in list(_dicts(manifest.get("sequences")))[:1]:
        for canvas in _dicts(sequence.get("canvases")):
            images = list(_dicts(canvas.get("images")))
            yield canvas, images[0].get("resource") if images else None


def _canvas(
    found: tuple[Mapping[str, Any], Any], unnamed: str, manifest: str, own: Mapping[str, str]
) -> Canvas | None:
    """None where no image is painted on it."""
    canvas, body = found
    image = _image(body)
    address = _id(image)
    services = [_id(service) for service in _dicts(image.get("service"))]
    service = next(filter(None, services), "")
    if not address and not service:
        return None
    label = {"canvas_label": text} if (text := _text(canvas.get("label"))) else {}
    width, height = (_side(canvas.get(name)) for name in ("width", "height"))
    columns = {**own, **_metadata(canvas), **label}
    return Canvas(manifest=manifest, name=_id(canvas) or unnamed, size=(width, height),
                  image=address, service=service.rstrip("/"), columns=columns)  # fmt: skip


def _image(body: Any) -> Mapping[str, Any]:
    """The image of a body: itself, the first of a choice, or the source of a part."""
    for _ in range(4):  # a choice of parts of images, and no deeper
        body = next(iter(_dicts(body)), {})
        inside = next((body[name] for name in ("default", "source", "full", "items")
                       if isinstance(body.get(name), dict | list)), None)  # fmt: skip
        if inside is None:
            break
        body = inside
    return body if isinstance(body, dict) else {}


def _texts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a manifest says of all its canvases."""
    found = _metadata(manifest)
    further = {
        "manifest_label": manifest.get("label"),
        "rights": manifest.get("rights") or manifest.get("license"),
        "navDate": manifest.get("navDate"),
        "attribution": manifest.get("attribution"),
    }
    for name, value in further.items():
        if text := _text(value):
            found.setdefault(name, text)
    return found


def _metadata(part: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in _dicts(part.get("metadata")):
        name, value = _text(pair.get("label")), _text(pair.get("value"))
        if name and value:
            found[name] = f"{found[name]} | {value}" if name in found else value
    return found


def _text(value: Any, depth: int = 4) -> str:
    """A text in whatever form: plain, of a language, of several; tags are taken off."""
    parts: list[str] = []
    if depth == 0:
        return ""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        parts = [str(value)]
    elif isinstance(value, list):
        parts = [_text(one, depth - 1) for one in value if not isinstance(one, list)]
    elif isinstance(value, dict):
        # Version 2 has {"@value": ...}, version 3 {"en": [...], "de": [...]}.
        parts = [_text(value.get("@value", next(iter(value.values()), None)), depth - 1)]
    joined = " | ".join(part for part in parts if part)
    return " ".join(html.unescape(_TAG.sub("", joined[:MOST_TEXT])).split())


def _id(part: Any) -> str:
    name = part.get("id") or part.get("@id") if isinstance(part, dict) else part
    return name.strip() if isinstance(name, str) and is_text(name) else ""


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """The objects among a value or its elements."""
    values = value if isinstance(value, list) else [value]
    return (one for one in values if isinstance(one, dict))


def _side(value: Any) -> int:
    """A side of a canvas, 0 where it is no number that makes sense."""
    sensible = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    return value if sensible else 0
