from __future__ import annotations

import json
from pathlib import Path

import pytest
from edit_plans import anchor, found, log, planned, plans
from hypothesis import given, settings

from typika.curation.edits import Log, Rename, Star
from typika.curation.store import CURATION, as_text, parsed, read_log, write_log
from typika.errors import DataError


@settings(max_examples=25)
@given(plans())
def test_what_is_written_is_read_and_equal_logs_have_equal_bytes(plan):
    made = planned(plan)
    text = as_text(log(*made))
    assert parsed(text) == log(*made)
    assert as_text(parsed(text)) == text


def test_the_file_is_readable(tmp_path: Path) -> None:
    base = found()
    door = anchor(base, "west", 1)
    write_log(log(Rename(door, "Tür <b>"), Star(door)), tmp_path)
    content = json.loads((tmp_path / CURATION).read_text(encoding="utf-8"))
    assert content["format"] == "typika curation 1"
    assert [one["kind"] for one in content["edits"]] == ["rename", "star"]
    assert content["anchors"] == {
        door.digest: {"label": "west", "patches": ["06 6,0,15,9", "07 7,0,16,9"]}
    }
    assert "Tür <b>" in (tmp_path / CURATION).read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == [CURATION]


def test_no_file_is_no_edit(tmp_path: Path) -> None:
    assert read_log(tmp_path) == Log()


GOOD = json.loads(as_text(log(Rename(anchor(found(), "west", 1), "x"))))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "cannot be read"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no \"format\""),
        (b'{"format": "something"}', "no \"format\""),
        (b'{"format": "typika curation 2"}', "newer typika"),
        ({"edits": 3}, "malformed"),
        ({"anchors": []}, "malformed"),
        ({"anchors": {}}, "malformed"),
        ({"edits": [{**GOOD["edits"][0], "kind": "delete"}]}, "malformed"),
        ({"edits": [{**GOOD["edits"][0], "name": 3}]}, "malformed"),
        ({"edits": [{**GOOD["edits"][0], "name": "\u0007"}]}, "control character"),
        ({"edits": [{**GOOD["edits"][0], "id": "1"}]}, "32 hexadecimal"),
        ({"anchors": {GOOD["edits"][0]["of"]: {"label": "w", "patches": ["x"]}}}, "expected"),
        ({"anchors": {GOOD["edits"][0]["of"]: {"label": "w", "patches": []}}}, "of no patch"),
    ],
)  # fmt: skip
def test_any_other_file_is_refused(tmp_path: Path, content: object, message: str) -> None:
    if isinstance(content, dict):
        content = json.dumps({**GOOD, **content}).encode()
    (tmp_path / CURATION).write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read_log(tmp_path)
    assert CURATION in str(raised.value)
    assert "mend it or move it away" in str(raised.value)
