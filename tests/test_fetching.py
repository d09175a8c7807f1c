"""Images of manifests, fetched from a server on this machine."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from typika import fetching
from typika.cli import main
from typika.collection.images import ImageCollection
from typika.errors import ConfigError, DataError
from typika.fetching import FetchConfig, fetch


def picture(number: int) -> bytes:
    noise = np.random.default_rng(number).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(noise).save(sink, "JPEG")
    return sink.getvalue()


class Museum:
    """A server whose answers are set: path -> (status, headers, body)."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[str] = []
        museum = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                museum.asked.append(self.path)
                waiting = museum.answers.get(self.path, [(404, {}, b"")])
                status, headers, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.answers[path] = list(answers)


@pytest.fixture
def museum() -> Iterator[Museum]:
    made = Museum()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def manifest(address: str, images: list[str], service: bool = True) -> dict:
    def body(name: str) -> dict:
        where = name if "://" in name else f"{address}/i/{name}"
        served = {"service": [{"id": where, "type": "ImageService3"}]} if service else {}
        return {"id": f"{where}.jpg", "type": "Image", **served}

    return {"@context": "http://iiif.io/api/presentation/3/context.json", "type": "Manifest",
            "id": f"{address}/m.json", "label": {"none": ["m"]},
            "items": [{"id": f"{address}/c/{n}", "type": "Canvas", "label": {"none": [name]},
                       "items": [{"items": [{"motivation": "painting", "body": body(name)}]}]}
                      for n, name in enumerate(images)]}  # fmt: skip


def put(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_what_is_fetched_is_a_collection_and_not_asked_for_again(
    tmp_path: Path, museum: Museum
) -> None:
    put(tmp_path / "m.json", manifest(museum.address, ["a", "b", "gone"]))
    for number, name in enumerate("ab"):
        museum.answer(f"/i/{name}/full/!1500,1500/0/default.jpg", (200, {}, picture(number)))
    waits: list[float] = []
    found = fetch(tmp_path, wait=waits.append)
    assert (found.fetched, found.there) == (2, 0)
    assert [one.file_name for one in found.failed] == [f"{museum.address}/c/2"]
    assert "the server says 404" in found.failed[0].reason
    assert waits == [0.5] * (len(museum.asked) - 1)  # a pause before every request but the first
    collection = ImageCollection.open(tmp_path, label="canvas_label")
    assert collection.labels == ("a", "b")
    museum.asked.clear()
    again = fetch(tmp_path, wait=waits.append)
    assert (again.fetched, again.there) == (0, 2)
    assert all("/gone" in path for path in museum.asked)


def test_an_address_is_fetched_with_what_it_names(tmp_path: Path, museum: Museum) -> None:
    members = [{"id": f"{museum.address}/m.json", "type": "Manifest"}]
    listed = {**manifest(museum.address, []), "type": "Collection", "items": members}
    museum.answer("/all", (200, {}, json.dumps(listed).encode()))
    museum.answer("/m.json", (200, {}, json.dumps(manifest(museum.address, ["a"])).encode()))
    museum.answer("/i/a/full/full/0/default.jpg", (404, {}, b""))
    museum.answer("/i/a/full/max/0/default.jpg", (302, {"Location": "/moved.jpg"}, b""))
    museum.answer("/moved.jpg", (200, {}, picture(0)))
    config = FetchConfig(longest_side=0, pause=0.0)
    found = fetch(f"{museum.address}/all", tmp_path / "out", config)
    assert (found.fetched, found.failed) == (1, [])
    with pytest.raises(ConfigError, match="--out"):
        fetch(f"{museum.address}/all")


def test_a_busy_server_is_waited_for(tmp_path: Path, museum: Museum) -> None:
    put(tmp_path / "m.json", manifest(museum.address, ["a"]))
    busy = (503, {"Retry-After": "7"}, b"")
    museum.answer("/i/a/full/!1500,1500/0/default.jpg", busy, (200, {}, picture(0)))
    waits: list[float] = []
    assert fetch(tmp_path, wait=waits.append).fetched == 1
    assert 7.0 in waits
    museum.answer("/i/a/full/!1500,1500/0/default.jpg", (429, {"Retry-After": "99999"}, b""))
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    waits.clear()
    assert len(fetch(tmp_path, wait=waits.append).failed) == 1
    assert max(waits) == fetching.LONGEST_WAIT


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher:x"]
)
def test_only_http_is_fetched_also_where_a_server_sends(
    tmp_path: Path, museum: Museum, place: str
) -> None:
    put(tmp_path / "m.json", manifest(museum.address, ["a"], service=False))
    museum.answer("/i/a.jpg", (302, {"Location": place}, b""))
    found = fetch(tmp_path, config=FetchConfig(pause=0.0))
    # Python's own reader of redirections refuses some before ours sees them.
    assert re.search("only http and https|says 302", found.failed[0].reason)
    direct = manifest(museum.address, ["a"], service=False)
    direct["items"][0]["items"][0]["items"][0]["body"]["id"] = place
    put(tmp_path / "m.json", direct)
    assert "only http and https" in fetch(tmp_path).failed[0].reason
    assert not (tmp_path / "images").exists() or not list((tmp_path / "images").iterdir())


def test_what_is_too_large_cut_off_or_no_image_is_not_kept(tmp_path: Path, museum: Museum) -> None:
    names = ["large", "cut", "page", "ring"]
    put(tmp_path / "m.json", manifest(museum.address, names, service=False))
    museum.answer("/i/large.jpg", (200, {}, b"x" * 20_000))
    museum.answer("/i/cut.jpg", (200, {"Content-Length": "9000"}, picture(0)[:500]))
    museum.answer("/i/page.jpg", (200, {}, b"<html>not found</html>"))
    museum.answer("/i/ring.jpg", (302, {"Location": "/i/ring.jpg"}, b""))
    found = fetch(tmp_path, config=FetchConfig(pause=0.0, most_megabytes=0.01))
    assert found.fetched == 0
    reasons = [one.reason for one in found.failed]
    assert "more than 10,000 bytes" in reasons[0]
    assert "of 9000 bytes" in reasons[1] or "IncompleteRead" in reasons[1]
    assert "not an image" in reasons[2]
    assert "302" in reasons[3]
    assert list((tmp_path / "images").iterdir()) == []


def test_a_server_that_is_not_there_and_an_address_that_is_none(tmp_path: Path) -> None:
    names = ["http://127.0.0.1:1/i", "http://[::1/i", "http://exa mple/i", "http://127.0.0.1:x/i"]
    put(tmp_path / "m.json", manifest("http://127.0.0.1:1", names, service=False))
    found = fetch(tmp_path, config=FetchConfig(pause=0.0), wait=lambda _: None)
    assert len(found.failed) == 4


def test_names_of_addresses_stay_in_the_folder(tmp_path: Path, museum: Museum) -> None:
    put(tmp_path / "m.json", manifest(museum.address, ["../../../x", "con", "a" * 3_000]))
    for name in ("../../../x", "con", "a" * 3_000):
        museum.answer(f"/i/{name}/full/!1500,1500/0/default.jpg", (200, {}, picture(len(name))))
    assert fetch(tmp_path, config=FetchConfig(pause=0.0)).fetched == 3
    assert {path.parent for path in tmp_path.rglob("*.jpg")} == {tmp_path / "images"}


def test_the_command(tmp_path: Path, museum: Museum, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "m.json", manifest(museum.address, ["a"]))
    museum.answer("/i/a/full/!64,64/0/default.jpg", (200, {}, picture(0)))
    main(["fetch", str(tmp_path), "--longest-side", "64", "--pause", "0"])
    assert "1 images fetched, 0 there before, 0 not to be had" in capsys.readouterr().out
    with pytest.raises(DataError, match="no IIIF manifest"):
        fetch(tmp_path / "images")
    with pytest.raises(ConfigError, match="pause=-1"):
        FetchConfig(pause=-1)
