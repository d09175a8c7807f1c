"""Lines and characters as JSON and as rows of a table.

Boxes are upright and on the image, in pixels: cx, cy their middle, w, h their size.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from typika.collection.places import Place
from typika.exports.suspects import Suspect

Row = Mapping[str, Any]
DECIMALS = 3  # of a pixel
_FROM_LINES = frozenset({"line_id", "file_name", "text", "width"})


def as_json(
    places: Sequence[Place],
    lines: Sequence[Row],
    readings: Sequence[Row],
    characters: Sequence[Row],
    suspects: Sequence[Suspect],
) -> str:
    """One object: `lines`, each with its `characters`, and `suspects`, the most suspect first.

    Arguments as of `pages.pages_of`; a line's columns are its `columns`.
    """
    columns = {row["line_id"]: _columns(row) for row in lines}
    read = {row["line_id"]: row for row in readings}
    letters: dict[str, list[Row]] = defaultdict(list)
    for row in characters:
        letters[row["line_id"]].append(row)
    return json.dumps(
        {
            "lines": [
                _line(place, read[place.line_id], columns.get(place.line_id, {}),
                      letters.get(place.line_id, []))
                for place in places
            ],
            "suspects": [_suspect(one) for one in suspects if one.reasons],
        },
        ensure_ascii=False, indent=1,
    ) + "\n"  # fmt: skip


def _columns(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _FROM_LINES}


def _line(place: Place, read: Row, columns: Row, characters: Sequence[Row]) -> dict[str, Any]:
    return {
        "line_id": place.line_id,
        "file_name": place.file_name,
        "text": read["text"],
        "read": read["read"],
        "aligned": read["aligned"],
        "columns": columns,
        "characters": [
            {
                "character": row["character"],
                "bbox": _bbox(row["page_corners"]),
                "confidence": round(row["confidence"], 4),
                "sprite": row["sprite"],
            }
            for row in sorted(characters, key=lambda row: row["place"])
        ],
    }


def _suspect(one: Suspect) -> dict[str, Any]:
    return {
        "line_id": one.line_id,
        "score": None if np.isinf(one.score) else round(one.score, 3),  # JSON knows no infinity
        "reasons": list(one.reasons),
        "text": one.text,
        "read": one.read,
        "differences": [list(pair) for pair in one.differences],
    }


def _bbox(corners: Sequence[float]) -> dict[str, float]:
    points = np.reshape(corners, (-1, 2))
    low, high = points.min(axis=0), points.max(axis=0)
    (cx, cy), (w, h) = (low + high) / 2, high - low
    return {name: round(float(value), DECIMALS)
            for name, value in zip(("cx", "cy", "w", "h"), (cx, cy, w, h), strict=True)}  # fmt: skip


def characters_table(
    lines: Sequence[Row], characters: Sequence[Row], wanted: Sequence[Place]
) -> pa.Table:
    """A row a character: of which line, where on the image, and the columns of its line."""
    kept = {place.line_id: place for place in wanted}
    by_line = {row["line_id"]: row for row in lines}
    names = [name for name in (lines[0] if lines else {}) if name not in _FROM_LINES]
    rows = [
        {
            **{name: by_line[row["line_id"]].get(name) for name in names},
            "line_id": row["line_id"],
            "file_name": kept[row["line_id"]].file_name,
            "place": row["place"],
            "character": row["character"],
            "code_point": f"U+{ord(row['character']):04X}",
            "sprite": row["sprite"],
            "confidence": row["confidence"],
            **_bbox(row["page_corners"]),
        }
        for row in characters
        if row["line_id"] in kept
    ]
    own = ["line_id", "file_name", "place", "character", "code_point", "sprite", "confidence",
           "cx", "cy", "w", "h"]  # fmt: skip
    columns = [*own, *(name for name in names if name not in own)]
    return pa.table({name: [row[name] for row in rows] for name in columns})
