"""What a model card and a data statement are made of, beside what the report knows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

LICENCES = ("licence", "license", "rights", "copyright")  # words in the name of such a column
MOST = 12  # values of a column that are counted one by one


@dataclass(frozen=True, kw_only=True)
class LicenceColumn:
    """A column that says under what terms the items are: its values, the most frequent first."""

    name: str
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Of the run: how it was made, and what its table said.

    changed: settings that are not the default's, by dotted name, as JSON. versions: of typika,
    Python and packages. trained, unseen: items of each label that the model was fitted to and that
    it never saw. splits: of the table's own, with their counts. columns: the user's, in order.
    """

    name: str
    changed: Mapping[str, str]
    versions: Mapping[str, str]
    platform: str
    seconds: Mapping[str, float]
    columns: tuple[str, ...]
    licences: tuple[LicenceColumn, ...]
    splits: Mapping[str, int]
    trained: Mapping[str, int]
    unseen: Mapping[str, int]


def versions_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The versions that a manifest names."""
    named = {"typika": manifest.get("typika"), "Python": manifest.get("python")}
    named |= manifest.get("packages", {})
    return {name: str(value) for name, value in named.items() if value}


def changed_settings(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """Settings that differ from the defaults, by dotted name, as JSON."""
    usual = dict(flat(defaults))
    return {name: value for name, value in flat(values) if usual.get(name) != value}


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings by dotted name, as JSON."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)


def licence_columns(table: pa.Table) -> tuple[LicenceColumn, ...]:
    """The columns of a table that by their name speak of licences or rights."""
    found = []
    for name in table.column_names:
        if any(word in name.lower() for word in LICENCES):
            counted = Counter("" if one is None else str(one) for one in table[name].to_pylist())
            ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
            found.append(LicenceColumn(name=name, counts=dict(ordered)))
    return tuple(found)
