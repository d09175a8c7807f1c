"""`curation.json`: the edits of a run as a readable file of a stable order.

```
{"format": "typika curation 1",
 "edits": [{"id": …, "at": …, "kind": "rename", "of": ANCHOR, "name": "Round doors"}, …],
 "anchors": {ANCHOR: {"label": …, "patches": ["IMAGE_ID left,top,right,bottom", …]}, …}}
```

A file that is anything else is refused and left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from typika.curation.edits import KINDS, Anchor, Change, Edit, Log, Spot
from typika.errors import DataError
from typika.files import read_json, write_text

CURATION = "curation.json"
FORMAT = "typika curation 1"
FAMILY = "typika curation "
SPOT = re.compile(r"(.+) (\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})", re.DOTALL)
NAMES = {kind: name for name, kind in KINDS.items()}


def read_log(folder: Path) -> Log:
    """The edits of a run; none where it has no file.

    Raises:
        DataError: the file is not a curation, or one of a newer typika.
    """
    path = folder / CURATION
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return Log()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); mend it or move it away") from error
    try:
        return parsed(text)
    except DataError as error:
        raise DataError(f"{path}: {error}; mend it or move it away") from error


def write_log(log: Log, folder: Path) -> None:
    """Write the edits, whole or not at all."""
    write_text(folder / CURATION, as_text(log))


def as_text(log: Log) -> str:
    """The file: equal logs give equal bytes."""
    anchors = {anchor.digest: anchor for edit in log for anchor in _anchors(edit.change)}
    content = {
        "format": FORMAT,
        "edits": [_edit_values(edit) for edit in log],
        "anchors": {name: _anchor_values(anchors[name]) for name in sorted(anchors)},
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _anchors(change: Change) -> list[Anchor]:
    values = (getattr(change, field.name) for field in fields(change))
    return [value for value in values if isinstance(value, Anchor)]


def _edit_values(edit: Edit) -> dict[str, Any]:
    change = edit.change
    values = {field.name: getattr(change, field.name) for field in fields(change)}
    plain = {name: value.digest if isinstance(value, Anchor) else value
             for name, value in values.items()}  # fmt: skip
    return {"id": edit.id, "at": edit.at, "kind": NAMES[type(change)], **plain}


def _anchor_values(anchor: Anchor) -> dict[str, Any]:
    spots = [f"{spot.image_id} {','.join(map(str, spot.box))}" for spot in anchor.spots]
    return {"label": anchor.label, "patches": spots}


def parsed(text: str) -> Log:
    """The edits in a text. Raises DataError where it is not a curation."""
    try:
        content = read_json(text)
    except ValueError as error:
        raise DataError(f"not JSON ({error})") from error
    name = content.get("format") if isinstance(content, dict) else None
    if not isinstance(name, str) or not name.startswith(FAMILY):
        raise DataError('not a curation of typika: no "format" that says so')
    if name != FORMAT:
        raise DataError(f"{name[:40]!r} is of a newer typika; this one knows {FORMAT!r}")
    try:
        anchors = {key: _anchor(value) for key, value in content["anchors"].items()}
        return Log.of(_edit(values, anchors) for values in content["edits"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"an edit or anchor is malformed ({type(error).__name__}: {error})"
                        ) from error  # fmt: skip


def _anchor(values: Mapping[str, Any]) -> Anchor:
    label, patches = values["label"], values["patches"]
    if not isinstance(label, str) or not isinstance(patches, list):
        raise TypeError("an anchor has a label and a list of patches")
    return Anchor.of(label, map(_spot, patches))


def _spot(text: str) -> Spot:
    found = SPOT.fullmatch(text)
    if found is None:
        raise ValueError(f"patch {text[:60]!r}: expected 'IMAGE_ID left,top,right,bottom'")
    left, top, right, bottom = map(int, found.groups()[1:])
    return Spot(found[1], (left, top, right, bottom))


def _edit(values: Mapping[str, Any], anchors: Mapping[str, Anchor]) -> Edit:
    kind = KINDS[values["kind"]]
    given = {field.name: _typed(values[field.name], field.type, anchors) for field in fields(kind)}
    identity, at = values["id"], values["at"]
    if not isinstance(identity, str) or not isinstance(at, str):
        raise TypeError("id and time are texts")
    return Edit(id=identity, at=at, change=kind(**given))


def _typed(value: Any, kind: Any, anchors: Mapping[str, Anchor]) -> Any:
    """A field's value. kind: as it stands in the annotation."""
    if kind == "Anchor":
        return anchors[value]
    if not isinstance(value, bool if kind == "bool" else str):
        raise TypeError(f"{value!r} should be a {kind}")
    return value
