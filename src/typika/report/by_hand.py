"""What people changed about clusters, in words, and what of the evidence still speaks of them.

Pure functions over rows of a curated table of clusters (`curation/tables.py`); rows of a run that
nobody curated pass through as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from typika.curation.apply import Curated
from typika.curation.edits import KINDS, Drop, Edit, Log, Split, Undo, told
from typika.curation.tables import curated_tables
from typika.report.evidence import Key
from typika.report.records import BadgeRecord, ReportInputs, VerdictRecord

Row = Mapping[str, Any]


def curated_inputs(inputs: ReportInputs, log: Log) -> ReportInputs:
    """The same run with its clusters as curated; as it is where no edit stands."""
    if not log.standing:
        return inputs
    patches, clusters, curated = curated_tables(inputs.patches, inputs.clusters, log)
    by_hand = sentences(log, curated)
    return replace(inputs, patches=patches, clusters=clusters, by_hand=by_hand)


def whole(row: Row) -> bool:
    """Whether a cluster is one of the run's own, patches left out aside."""
    return bool(row.get("whole", True))


def sources(row: Row) -> Sequence[int]:
    """The run's own clusters that a cluster has patches of."""
    return row.get("sources") or ([row["cluster"]] if whole(row) else [])


def sources_of(rows: Sequence[Row]) -> list[int]:
    """The run's own clusters behind all clusters of a label, each once."""
    return list(dict.fromkeys(number for row in rows for number in sources(row)))


def verdict_of(row: Row, verdicts: Mapping[Key, VerdictRecord]) -> VerdictRecord | None:
    """The verdict on a cluster; a cluster made by hand was never tested, and so has none."""
    return verdicts.get((row["label"], row["cluster"])) if whole(row) else None


def badges_of(row: Row, badges: Mapping[Key, tuple[BadgeRecord, ...]]) -> tuple[BadgeRecord, ...]:
    """The badges of a cluster; one made by hand keeps the doubts about all its parts."""
    if whole(row):
        return badges.get((row["label"], row["cluster"]), ())
    return tuple(
        replace(badge, text=f"Found of cluster {number + 1} before it was changed by hand. "
                            f"{badge.text}")
        for number in sources(row) for badge in badges.get((row["label"], number), ())
    )  # fmt: skip


def change_told(row: Row) -> str:
    """How the patches of a cluster differ from what the run grouped; "" where they do not."""
    said = []
    if not whole(row):
        said.append(_made(row["cluster"], sources(row)))
    if left_out := row.get("left_out", 0):
        said.append(f"{left_out:,} {'patch was' if left_out == 1 else 'patches were'} left out "
                    "by hand.")  # fmt: skip
    if not whole(row):
        said.append("As it is now it was not tested.")
    return " ".join(said)


def _made(number: int, parts: Sequence[int]) -> str:
    named = ("cluster " if len(parts) == 1 else "clusters ") + _listed(parts)
    if number not in parts:
        return f"Split off by hand{f' from {named}' if parts else ''}."
    if len(parts) > 1:
        return f"Put together by hand from {named}."
    return "Patches were taken out of it by hand."


def _listed(numbers: Sequence[int]) -> str:
    ranks = [f"{number + 1}" for number in numbers]
    return " and ".join([", ".join(ranks[:-1]), ranks[-1]] if len(ranks) > 1 else ranks)


def sentences(log: Log, curated: Curated) -> tuple[str, ...]:
    """What was done by hand, and what of it found no place among these clusters."""
    kinds = Counter(type(edit.change) for edit in log.standing)
    counts = ", ".join(f"{kinds[kind]:,} {name}" for name, kind in KINDS.items() if kinds[kind])
    said = [f"What people changed stands in this page ({counts}); curation.json has every edit."]
    hidden = sum(one.hidden for one in curated.clusters)
    left_out = int(curated.dropped.sum())
    if hidden:
        said.append(f"{hidden:,} {'cluster is' if hidden == 1 else 'clusters are'} folded away.")
    if left_out:
        said.append(f"{left_out:,} {'patch is' if left_out == 1 else 'patches are'} left out.")
    said += [f"Not placed: {edit_told(edit)}. No cluster holds most of the patches that it was "
             "made for." for edit in curated.unplaced]  # fmt: skip
    return tuple(said)


def edit_told(edit: Edit) -> str:
    """An edit with its label, and how large its cluster was."""
    change = edit.change
    if isinstance(change, Undo):
        return told(change)
    large = "" if isinstance(change, Split | Drop) else f", a cluster of {len(change.of.spots):,}"
    return f"{change.of.label}{large}: {told(change)}"
