"""The server as a page, and as somebody who is not the page, asks it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from made_up_source import MadeUp

from typika.curation.store import CURATION, read_log
from typika.errors import DataError
from typika.view.app import build_app
from typika.view.guard import MOST_BYTES, Pass
from typika.view.session import Session

TOKEN = "t" * 43
HOST = "127.0.0.1:8737"
HOSTILE = "</script><img src=x onerror=alert(1)>=1+1"


@pytest.fixture(scope="module")
def inputs(make_inputs: Any) -> Any:
    return make_inputs(labels=("amber", HOSTILE), sizes=(6, 5, 3))


@pytest.fixture(scope="module")
def untouched(inputs: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeUp, Session]:
    """One for all tests in which nothing may change."""
    source = MadeUp(tmp_path_factory.mktemp("run"), inputs)
    return source, Session(source)


@pytest.fixture
def source(inputs: Any, tmp_path: Any) -> MadeUp:
    return MadeUp(tmp_path, inputs)


@pytest.fixture
def client(source: MadeUp) -> TestClient:
    """A page that has been opened: it has the cookie, and sends what browsers send."""
    return opened(source)


def opened(source: MadeUp, entry: Pass | None = None) -> TestClient:
    app = build_app(Session(source), entry or Pass(token=TOKEN, port=8737))
    client = TestClient(app, base_url=f"http://{HOST}", headers={"Origin": f"http://{HOST}"})
    assert client.get(f"/?token={TOKEN}").status_code == 200
    return client


class Tab:
    """What a page knows and does."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        data = re.search(r'id="live-data">(.*?)</script>', client.get("/").text)
        assert data is not None
        self.base = json.loads(data[1])["base"]
        self.known = client.get("/changes", params={"base": self.base, "since": -1}).json()
        self.number = 0

    def label(self, number: int = 0) -> dict[str, Any]:
        return self.known["labels"][str(number)]

    def key(self, cluster: int, label: int = 0) -> str:
        (one,) = [c for c in self.label(label)["clusters"] if c["cluster"] == cluster]
        return one["key"]

    def send(self, answer: int = 200, id: str | None = None, **change: Any) -> dict[str, Any]:
        self.number += 1
        body = {"id": id or f"{id_of(self)}{self.number:016x}", "base": self.base,
                "since": self.known["revision"], "change": change}  # fmt: skip
        found = self.client.post("/edits", json=body)
        assert found.status_code == answer, found.text
        if answer == 200:
            self.take(found.json())
        return found.json()

    def look(self) -> None:
        params = {"base": self.base, "since": self.known["revision"]}
        self.take(self.client.get("/changes", params=params).json())

    def take(self, answer: dict[str, Any]) -> None:
        self.known = {**answer, "labels": {**self.known["labels"], **answer["labels"]}}


def id_of(tab: Tab) -> str:
    return f"{id(tab) & 0xFFFFFFFFFFFFFFFF:016x}"


def names(tab: Tab, label: int = 0) -> dict[int, str]:
    return {one["cluster"]: one["name"] for one in tab.label(label)["clusters"]}


# ---------------------------------------------------------------------------------- the door


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 403),
        ("GET", "/?token=wrong", {}, 403),
        ("GET", "/?token=", {}, 403),
        ("GET", "/?token=é", {}, 403),
        ("GET", f"/?token={TOKEN}", {"Host": "evil.example:8737"}, 403),
        ("GET", f"/?token={TOKEN}", {"Host": "127.0.0.1.evil.example"}, 403),
        ("GET", f"/?token={TOKEN}", {"Host": "192.168.0.7:8737"}, 403),
        ("GET", f"/?token={TOKEN}", {"Host": "["}, 403),
        ("GET", f"/?token={TOKEN}", {"Host": "localhost:9000"}, 200),  # the near end of a tunnel
        ("GET", f"/changes?base=x&since=0&token={TOKEN}", {}, 403),  # the page's address alone
        ("GET", "/changes?base=x&since=0", {"Authorization": f"Bearer {TOKEN}"}, 409),
        ("GET", "/changes?base=x&since=0", {"Authorization": "Bearer x"}, 403),
        ("GET", "/changes?base=x&since=0", {"Authorization": f"Bearer {TOKEN}",
                                            "Sec-Fetch-Site": "same-site"}, 403),
        ("GET", "/changes?base=x", {"Authorization": f"Bearer {TOKEN}"}, 422),
        ("GET", "/docs", {"Authorization": f"Bearer {TOKEN}"}, 404),
        ("GET", "/openapi.json", {"Authorization": f"Bearer {TOKEN}"}, 404),
        ("GET", "/../../etc/passwd", {"Authorization": f"Bearer {TOKEN}"}, 404),
        ("PUT", "/edits", {"Authorization": f"Bearer {TOKEN}", "Origin": f"http://{HOST}",
                           "Content-Type": "application/json"}, 405),
        ("POST", "/edits", {"Authorization": f"Bearer {TOKEN}"}, 403),
        ("POST", "/edits", {"Authorization": f"Bearer {TOKEN}", "Origin": "null"}, 403),
        ("POST", "/edits", {"Authorization": f"Bearer {TOKEN}",
                            "Origin": "http://127.0.0.1:1234"}, 403),
        ("POST", "/edits", {"Authorization": f"Bearer {TOKEN}", "Origin": f"http://{HOST}",
                            "Content-Type": "text/plain"}, 415),
    ],
)  # fmt: skip
def test_who_gets_in(
    untouched: Any, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    app = build_app(untouched[1], Pass(token=TOKEN, port=8737))
    answer = TestClient(app, base_url=f"http://{HOST}").request(method, path, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert TOKEN not in answer.text


def test_the_page_gives_a_cookie_that_no_script_and_no_other_site_has(client: TestClient) -> None:
    answer = client.get(f"/?token={TOKEN}")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert HOSTILE not in answer.text
    assert TOKEN not in answer.text


def test_a_host_that_others_reach_answers_to_addresses_and_its_names() -> None:
    entry = Pass(token=TOKEN, port=1, names=frozenset({"lab"}), any_address=True)
    for host, ours in (("lab:1", True), ("LAB.", True), ("10.0.0.7:1", True), ("[::2]:1", True),
                       ("evil.example", False), ("10.0.0.7.evil.example", False)):  # fmt: skip
        assert entry.is_ours(host) == ours


def test_nothing_large_is_read(client: TestClient, source: MadeUp) -> None:
    large = b'{"x": "' + b"x" * MOST_BYTES + b'"}'
    headers = {"Content-Type": "application/json"}
    assert client.post("/edits", content=large, headers=headers).status_code == 413
    parts = (b"x" * 100_000 for _ in range(30))  # of no stated length
    assert client.post("/edits", content=parts, headers=headers).status_code == 413
    assert not (source.folder / CURATION).exists()


# ---------------------------------------------------------------------------------- edits


def test_what_is_sent_is_shown_and_saved(client: TestClient, source: MadeUp) -> None:
    tab = Tab(client)
    tab.send(kind="rename", cluster=tab.key(0, label=1), name=f" {HOSTILE} ")
    assert names(tab, 1) == {0: HOSTILE, 1: "", 2: ""}
    tab.send(kind="note", cluster=tab.key(0), note="two\nlines")
    tab.send(kind="star", cluster=tab.key(1), on=True)
    tab.send(kind="hide", cluster=tab.key(2), on=True)
    first, second, third = tab.label()["clusters"]
    assert (first["note"], second["starred"], third["hidden"]) == ("two\nlines", True, True)
    tab.send(kind="merge", cluster=tab.key(1), into=tab.key(0))
    first, third = tab.label()["clusters"]
    assert (first["size"], first["starred"], first["note"]) == (11, True, "two\nlines")
    assert "Put together by hand from clusters 1 and 2." in first["changed"]
    rows = first["members"][:4]
    tab.send(kind="split", rows=rows, name="apart")
    assert sorted(tab.label()["clusters"][-1]["members"]) == sorted(rows)
    tab.send(kind="drop", rows=rows[:1], on=True)
    assert tab.label()["leftOut"] == rows[:1]
    assert tab.label()["clusters"][-1]["size"] == 3
    assert len(read_log(source.folder)) == 7
    assert [edit["number"] for edit in tab.known["edits"]] == [7, 6, 5, 4, 3, 2, 1]
    tab.send(kind="undo", edit=tab.known["edits"][1]["id"])
    assert len(tab.label()["clusters"]) == 2
    assert [edit["undone"] for edit in tab.known["edits"]] == [False, True, *[False] * 5]
    tab.send(kind="undo", edit=tab.known["edits"][1]["undoneBy"])
    assert len(tab.label()["clusters"]) == 3
    # Another page, and another server, start from the same.
    again = Tab(opened(source))
    assert again.known["labels"]["0"]["clusters"] == tab.label()["clusters"]


def test_two_tabs_keep_each_others_edits(client: TestClient, source: MadeUp) -> None:
    one, other = Tab(client), Tab(client)
    one.send(kind="rename", cluster=one.key(0), name="door")
    answer = other.send(kind="rename", cluster=other.key(1), name="lamp")
    assert names(other) == {0: "door", 1: "lamp", 2: ""}  # it learns of both
    assert set(answer["labels"]) == {"0"}
    one.look()
    assert names(one) == names(other)
    # Of one thing the later wins, and both stay.
    one.send(kind="merge", cluster=one.key(2), into=one.key(1))
    other.send(kind="rename", cluster=other.key(2), name="bell")  # a cluster that is gone
    other.send(kind="rename", cluster=other.key(0), name="gate")
    one.look()
    assert names(one) == names(other) == {0: "gate", 1: "bell"}
    assert [edit.change.name for edit in read_log(source.folder) if hasattr(edit.change, "name")] \
        == ["door", "lamp", "bell", "gate"]  # fmt: skip


def test_an_edit_sent_twice_counts_once(client: TestClient, source: MadeUp) -> None:
    tab = Tab(client)
    tab.send(id="a" * 32, kind="star", cluster=tab.key(0), on=True)
    before = (source.folder / CURATION).read_bytes()
    tab.send(id="a" * 32, kind="star", cluster=tab.key(0), on=True)
    assert (source.folder / CURATION).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "rename", "cluster": "0" * 32, "name": "x"}, "not one that the server knows"),
        ({"kind": "rename", "cluster": "0", "name": "x"}, "pattern"),
        ({"kind": "rename", "cluster": 0, "name": "x" * 201}, "at most 200"),
        ({"kind": "rename", "cluster": 0, "name": "a\nb"}, "control character U\\+000A"),
        ({"kind": "rename", "cluster": 0, "name": "\ud800"}, "json"),
        ({"kind": "note", "cluster": 0, "note": "x" * 4001}, "at most 4,000"),
        ({"kind": "note", "cluster": 0, "note": "\x1b[2J"}, "U\\+001B"),
        ({"kind": "star", "cluster": 0, "on": "yes"}, "boolean"),
        ({"kind": "star", "cluster": 0, "on": True, "path": "/etc"}, "not permitted"),
        ({"kind": "merge", "cluster": 0, "into": 0}, "into itself"),
        ({"kind": "merge", "cluster": 0, "into": (0, 1)}, "two labels"),
        ({"kind": "split", "rows": []}, "at least 1"),
        ({"kind": "split", "rows": [-1]}, "greater than"),
        ({"kind": "split", "rows": [10**9]}, "no typical patch"),
        ({"kind": "split", "rows": [15]}, "no typical patch"),  # a control
        ({"kind": "drop", "rows": [0, 27], "on": True}, "several labels"),
        ({"kind": "undo", "edit": "f" * 32}, "no edit"),
        ({"kind": "delete"}, "tag"),
        ({}, "tag"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_not_saved(
    untouched: Any, change: dict[str, Any], message: str
) -> None:
    source, session = untouched
    headers = {"Origin": f"http://{HOST}", "Authorization": f"Bearer {TOKEN}"}
    app = build_app(session, Pass(token=TOKEN, port=8737))
    tab = Tab(TestClient(app, base_url=f"http://{HOST}", headers=headers))
    keyed = {}
    for name, value in change.items():
        place = (value, 0) if isinstance(value, int) and not isinstance(value, bool) else value
        keyed[name] = tab.key(*place) if isinstance(place, tuple) else value
    body = {"id": "b" * 32, "base": tab.base, "since": 0, "change": keyed}
    answer = tab.client.post("/edits", content=json.dumps(body),
                             headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code in (409, 422)
    assert re.search(message, answer.json()["error"], re.IGNORECASE), answer.text
    assert not (source.folder / CURATION).exists()


def test_a_foreign_file_is_neither_served_nor_overwritten(
    client: TestClient, source: MadeUp
) -> None:
    tab = Tab(client)
    (source.folder / CURATION).write_text('{"format": "mine"}')
    found = tab.send(answer=422, kind="star", cluster=tab.key(0), on=True)
    assert "not a curation of typika" in found["error"]
    assert (source.folder / CURATION).read_text() == '{"format": "mine"}'
    with pytest.raises(DataError, match="mend it"):
        Session(source)


def test_what_somebody_does_to_the_file_counts(client: TestClient, source: MadeUp) -> None:
    tab = Tab(client)
    tab.send(kind="rename", cluster=tab.key(0), name="door")
    text = (source.folder / CURATION).read_text(encoding="utf-8")
    (source.folder / CURATION).write_text(text.replace("door", "gate"), encoding="utf-8")
    tab.look()
    assert names(tab)[0] == "gate"
    (source.folder / CURATION).unlink()
    tab.look()
    assert names(tab)[0] == ""
    assert tab.known["edits"] == []


def test_a_full_disk_changes_nothing(
    client: TestClient, source: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = Tab(client)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("typika.view.session.write_log", full)
    found = tab.send(answer=503, kind="rename", cluster=tab.key(0), name="door")
    assert "No space left" in found["error"]
    tab.look()
    assert names(tab)[0] == ""


def test_a_run_grouped_again_asks_pages_to_reload_and_keeps_edits(
    client: TestClient, source: MadeUp, inputs: Any
) -> None:
    tab = Tab(client)
    tab.send(kind="rename", cluster=tab.key(1), name="lamp")
    swapped = inputs.patches["cluster"].to_pylist()
    swapped = [{0: 1, 1: 0}.get(number, number) for number in swapped]
    place = inputs.patches.column_names.index("cluster")
    patches = inputs.patches.set_column(place, "cluster", [swapped])
    source.inputs = type(inputs)(patches=patches, clusters=inputs.clusters, maps=inputs.maps,
                                 images=inputs.images, facts=inputs.facts)  # fmt: skip
    source.version = "2"
    found = tab.send(answer=409, kind="star", cluster=tab.key(0), on=True)
    assert "grouped again" in found["error"]
    assert names(Tab(client)) == {0: "lamp", 1: "", 2: ""}


def test_patches_that_a_page_lacks(client: TestClient, inputs: Any) -> None:
    tab = Tab(client)
    for rows, status in (("0,3", 200), ("999", 422), ("-1", 422), ("1;2", 422), ("", 422),
                         ("²", 422), (",".join(["1"] * 501), 422), ("1" * 7000, 422)):  # fmt: skip
        answer = client.get("/patches", params={"base": tab.base, "rows": rows})
        assert answer.status_code == status, rows
    found = client.get("/patches", params={"base": tab.base, "rows": "0,3"}).json()["patches"]
    assert [row for row, *_ in found] == [0, 3]
    assert found[1][1][2] == inputs.patches["file_name"][3].as_py()
    assert found[1][2] == ["", ""]  # every third patch has no metadata
