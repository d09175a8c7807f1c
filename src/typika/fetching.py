"""Manifests and the images of their canvases, brought onto this machine: fetch().

Nothing else in typika opens a connection to take images, and mining never does: what is fetched is
read from disk. Addresses in manifests are not trusted: http and https only, also where a server
sends elsewhere; so many bytes and no more; and what is no image is not kept.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import IO, Any

from typika import __version__
from typika.collection._decode import Unreadable, look
from typika.collection._files import Skipped, walk
from typika.collection._iiif import (
    MOST_BYTES,
    Canvas,
    ImageFinder,
    cached_name,
    is_manifest,
    local_manifest,
    manifests_in,
    read_canvases,
    read_manifest,
    scheme_of,
)
from typika.console import say, task
from typika.errors import ConfigError, DataError
from typika.files import whole_file

SCHEMES = ("http", "https")
TIMEOUT = 60.0  # seconds without a byte
TRIES = 3
LONGEST_WAIT = 120.0  # seconds that a server may ask us to wait before we go on
BLOCK = 1 << 16  # bytes read at a time
IMAGES = "images"
BUSY = (429, 500, 502, 503, 504)  # worth another try


@dataclass(frozen=True, kw_only=True)
class FetchConfig:
    """How images are fetched."""

    longest_side: int = 1_500  # pixels asked of image services; 0: the largest that they give
    most_megabytes: float = 100.0  # of one image; larger ones are left out
    pause: float = 0.5  # seconds between two requests
    at_most: int = 100_000  # images

    def __post_init__(self) -> None:
        if self.longest_side < 0 or self.at_most < 1:
            raise ConfigError(
                f"longest_side={self.longest_side}, at_most={self.at_most}: need 0 or more, and 1 "
                "or more"
            )
        if not self.most_megabytes > 0 or not self.pause >= 0:
            raise ConfigError(
                f"most_megabytes={self.most_megabytes}, pause={self.pause}: need a positive "
                "number, and 0 or more"
            )


@dataclass
class Fetched:
    """What came of it. folder: that `typika mine` takes."""

    folder: Path
    there: int = 0  # images that were here already
    fetched: int = 0
    failed: list[Skipped] = field(default_factory=list)


def fetch(
    source: str | Path,
    out: Path | None = None,
    config: FetchConfig | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Fetch the images of IIIF manifests, and manifests themselves, into a folder.

    Images that are there already are not asked for again, so a fetch that was stopped goes on.

    Args:
        source: a manifest or a collection of them, as file or address, or a folder of manifests.
        out: the folder; the one that the manifests are in by default. Needed with an address.
        config: sizes, pauses and bounds.
        wait: how to let seconds pass.

    Raises:
        ConfigError: an address without `out`.
        DataError: no manifest, or one that cannot be fetched or read.
    """
    config = config or FetchConfig()
    server = _Server(config, wait)
    paths, folder = _manifests(str(source), out, server)
    canvases = read_canvases(paths)
    finder = ImageFinder(walk(folder).images)
    found = Fetched(folder)
    wanted: dict[str, Canvas] = {}
    for canvas in canvases:
        if finder.find(canvas):
            found.there += 1
        else:
            wanted.setdefault(canvas.key, canvas)
    with task("fetching images", len(wanted)) as advance:
        for canvas in list(wanted.values())[: config.at_most]:
            try:
                _fetch_image(canvas, folder / IMAGES, server)
                found.fetched += 1
            except DataError as error:
                found.failed.append(Skipped(canvas.name, str(error)))
            advance(1)
    return found


def _manifests(source: str, out: Path | None, server: _Server) -> tuple[list[Path], Path]:
    """The manifests on disk, those that collections name fetched too, and the folder."""
    if scheme_of(source).lower() in SCHEMES:
        if out is None:
            raise ConfigError(f"{source}: pass --out with the folder to fetch it into")
        first = out / f"{cached_name(source)}.json"
        if not first.exists():
            server.keep(source, first, MOST_BYTES)
        paths = [first]
    else:
        path = Path(source)
        paths = manifests_in(path) if path.is_dir() else [path]
        if not paths or not all(map(is_manifest, paths)):
            raise DataError(f"{source}: no IIIF manifest, and no folder that holds one")
        if out is not None and path.resolve() not in (out.resolve(), out.resolve() / path.name):
            paths = [_copied(one, out) for one in paths]
    folder = out or paths[0].parent
    return list(_with_members(paths, folder, server)), folder


def _copied(path: Path, out: Path) -> Path:
    place = out / path.name
    if place.resolve() != path.resolve():
        with whole_file(place) as temporary:
            temporary.write_bytes(path.read_bytes())
    return place


def _with_members(paths: Sequence[Path], folder: Path, server: _Server) -> Iterator[Path]:
    waiting, seen = list(reversed(paths)), set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path
        for address in reversed(read_manifest(path).members):
            try:
                member = local_manifest(path, address)
            except DataError:
                member = folder / f"{cached_name(address)}.json"
                server.keep(address, member, MOST_BYTES)
            waiting.append(member)


def _fetch_image(canvas: Canvas, folder: Path, server: _Server) -> None:
    """Bring the image of a canvas to its place. Raises DataError."""
    config = server.config
    place = folder / f"{cached_name(canvas.key)}.jpg"
    faults = []
    for address in _addresses(canvas, config.longest_side):
        try:
            server.keep(address, place, int(config.most_megabytes * 1e6), image=True)
            return
        except DataError as error:
            faults.append(str(error))
    raise DataError("; ".join(faults) or "nothing on it has an address")


def _addresses(canvas: Canvas, side: int) -> Iterator[str]:
    """Where the image may be had: at a size from its service, in its full size, as it is."""
    if canvas.service:
        sizes = ["full", "max"] if side == 0 else [f"!{side},{side}"]
        for size in sizes:
            yield f"{canvas.service}/full/{size}/0/default.jpg"
    if canvas.image:
        yield canvas.image


class _Server:
    """Asks servers, one request after the other, and keeps what they answer."""

    def __init__(self, config: FetchConfig, wait: Callable[[float], None]) -> None:
        self.config = config
        self._wait = wait
        self._asked = False
        # No handler of file:, ftp: or data:, and none that sends credentials.
        self._opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler(), urllib.request.HTTPHandler(),
                        urllib.request.HTTPSHandler(), urllib.request.HTTPDefaultErrorHandler(),
                        urllib.request.HTTPErrorProcessor(), _SameSchemes()):  # fmt: skip
            self._opener.add_handler(handler)

    def keep(self, address: str, place: Path, most: int, *, image: bool = False) -> None:
        """Write what an address leads to, whole or not at all.

        Raises:
            DataError: no http address, no answer, too large, or no image where one is wanted.
        """
        if scheme_of(address).lower() not in SCHEMES:
            raise DataError(f"{address!r}: only http and https addresses are fetched")
        for left in reversed(range(TRIES)):
            if self._asked:
                self._wait(self.config.pause)
            self._asked = True
            try:
                self._take(address, place, most, image)
                return
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in BUSY or not left:
                        raise DataError(f"{address}: the server says {error.code}") from error
                    pause = _pause(error.headers, self.config.pause * 2 ** (TRIES - left))
                say(f"{address}: the server says {error.code}; waiting {pause:g} s")
                self._wait(pause)
            except (OSError, ValueError, http.client.HTTPException) as error:
                # No connection, a timeout, half an answer; a malformed address is not asked again.
                if isinstance(error, ValueError) or not left:
                    raise DataError(f"{address}: cannot be fetched ({error})") from error

    def _take(self, address: str, place: Path, most: int, image: bool) -> None:
        agent = {"User-Agent": f"typika/{__version__}", "Accept-Encoding": "identity"}
        request = urllib.request.Request(address, headers=agent)
        with self._opener.open(request, timeout=TIMEOUT) as answer, whole_file(place) as temporary:
            size = 0
            with temporary.open("wb") as handle:
                while block := answer.read(BLOCK):
                    size += len(block)
                    if size > most:
                        raise DataError(f"{address}: more than {most:,} bytes")
                    handle.write(block)
            if (told := answer.headers.get("Content-Length", "")).isdecimal() and size < int(told):
                raise OSError(f"only {size:,} of {told} bytes came")
            if image:
                try:
                    look(temporary)
                except Unreadable as error:
                    raise DataError(f"{address}: {error}") from error


def _pause(headers: Message, otherwise: float) -> float:
    """Seconds that a busy server asks for, within reason."""
    told = headers.get("Retry-After", "")
    return min(float(told) if told.isdecimal() else otherwise, LONGEST_WAIT)


class _SameSchemes(urllib.request.HTTPRedirectHandler):
    """Goes where a server sends, but only by http and https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        """The next request. Raises DataError for another scheme."""
        if scheme_of(newurl).lower() not in SCHEMES:
            raise DataError(
                f"{req.full_url}: sends to {newurl!r}; only http and https are gone to"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
