"""Prototypes, instances and comparisons of a typewriter run -> a frozen `AtlasPage`.

What was measured was decided in `palaeography/`; here it becomes sheets of pictures, words and
tables.

Legend: `G` groups, `K` letters, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from typika.errors import DataError
from typika.palaeography.records import Instances, Prototypes
from typika.report.atlas_comparison import MOST_DIFFERENCES, comparison_record, tree_order
from typika.report.atlas_instances import (
    Ranked,
    Rung,
    best_rung,
    instances_record,
    rank,
    shown_rows,
)
from typika.report.atlas_pictures import Pictures, ink_bytes, no_sheet
from typika.report.atlas_records import (
    DIFFERS,
    UNTESTED,
    AtlasInputs,
    AtlasPage,
    CellRecord,
    ComparisonRecord,
    GroupingRecord,
    GroupRecord,
    InstancesRecord,
    LetterRecord,
    SomeTable,
)
from typika.report.atlas_tables import data_table, number
from typika.report.budget import FRAME_BYTES, MEGABYTE
from typika.report.typewriter import named, spelled

OWN_COLUMNS = (  # of a line or a character, not of what a group is
    "line_id", "file_name", "place", "character", "confidence", "left", "top", "right", "bottom",
    "page_corners", "log_scale_x", "log_scale_y", "strength", "text", "width", "split",
)  # fmt: skip
CELL_BYTES = 60
LEAST_SHARE = 0.15  # of the budget that instances have, however heavy the prototypes are


def build_atlas(inputs: AtlasInputs, *, few: int, max_megabytes: float = 15.0) -> AtlasPage:
    """The page of an adapted run. few: instances under which a prototype is flagged as such.

    Raises:
        DataError: groupings that are not of the same letters.
    """
    first = _same_letters(inputs.prototypes)
    pictures = Pictures()
    places = {letter: k for k, letter in enumerate(first.letters)}
    letters = tuple(_letters(first, inputs.masks, pictures))
    comparisons = tuple(comparison_record(one, places, pictures) for one in inputs.comparisons)
    sheets = [_sheets(one, pictures) for one in inputs.prototypes]
    weight = sum(map(len, pictures.urls)) + FRAME_BYTES
    weight += CELL_BYTES * sum(one.count.size for one in inputs.prototypes)
    budget = max(max_megabytes * MEGABYTE - weight, LEAST_SHARE * max_megabytes * MEGABYTE)
    ranked, rung, instances = _instances(inputs, budget, pictures)
    shown = shown_rows(ranked, len(letters), rung)
    rows = [{row: place for place, row in enumerate(own)} for own in shown]
    groupings = tuple(
        _grouping(one, own, rows, inputs, rung, sheets_of)
        for one, own, sheets_of in zip(inputs.prototypes, ranked, sheets, strict=True)
    )
    tables = [SomeTable(title=f"Prototypes by {one.by}", name=f"prototypes-{one.by}",
                        table=one.table()) for one in inputs.prototypes]  # fmt: skip
    return AtlasPage(
        title=inputs.name,
        lead=tuple(_lead(inputs, comparisons)),
        notes=tuple(inputs.notes),
        height=first.reference.shape[1],
        width=first.reference.shape[2],
        few=few,
        masked=inputs.masks is not None,
        letters=letters,
        groupings=groupings,
        instances=instances,
        comparisons=comparisons,
        tables=tuple(data_table(one) for one in (*tables, *inputs.tables)),
        pictures=pictures.urls,
        source=inputs.source,
        facts=inputs.facts,
        left_out=tuple(_left_out(inputs, rung)),
        version=inputs.version,
        date=inputs.date,
    )


def _same_letters(prototypes: Sequence[Prototypes]) -> Prototypes:
    if not prototypes:
        raise DataError("an atlas of no prototypes; adapt the run to a grouping first")
    first = prototypes[0]
    for one in prototypes[1:]:
        if one.letters != first.letters:
            raise DataError(
                f"prototypes by {one.by} are of {len(one.letters)} letters, those by {first.by} "
                f"of {len(first.letters)} others; adapt again from one model"
            )
    return first


def _lead(inputs: AtlasInputs, comparisons: Sequence[ComparisonRecord]) -> Iterator[str]:
    groups = [f"{len(one.groups):,} by {one.by}" for one in inputs.prototypes]
    finest = max(inputs.prototypes, key=lambda one: len(one.groups))
    yield (
        f"{len(finest.letters):,} letters, as {int(finest.count.sum()):,} instances of them "
        f"look in groups of lines ({', '.join(groups)})."
    )
    for one in comparisons:
        verdicts = [verdict for pair in one.differences for verdict in pair.verdict]
        tested = [verdict for verdict in verdicts if verdict != UNTESTED]
        if tested:
            pairs = f" in {len(one.differences):,} pairs" if len(one.differences) > 1 else ""
            yield (
                f"Compared by {one.by}{pairs}: {tested.count(DIFFERS):,} of {len(tested):,} "
                "tested letters differ beyond chance."
            )


# ------------------------------------------------------------------------- letters and groups


def _letters(
    prototypes: Prototypes, masks: np.ndarray | None, pictures: Pictures
) -> Iterator[LetterRecord]:
    several = any(letter.form for letter in prototypes.letters)
    for k, letter in enumerate(prototypes.letters):
        own = [prototypes.reference[k]]
        if masks is not None:
            own.append(masks[k])
        name = spelled(letter.character)
        yield LetterRecord(
            name=f"{name}·{letter.form + 1}" if several and letter.form else name,
            unicode=named(letter.character) if len(letter.character) == 1 else "",
            own=pictures.sprites(ink_bytes(np.stack(own))),
        )


def _sheets(prototypes: Prototypes, pictures: Pictures) -> list:
    """Of each letter a sheet: prototypes of all groups, means, standard deviations."""
    spread = np.sqrt(np.maximum(prototypes.variance, 0))
    found = []
    for k in range(len(prototypes.letters)):
        views = (prototypes.ink[:, k], prototypes.mean[:, k], spread[:, k])
        found.append(pictures.sprites(ink_bytes(np.concatenate(views))))
    return found


def _grouping(
    prototypes: Prototypes,
    ranked: Mapping[tuple[int, int], Ranked],
    rows: Sequence[Mapping[int, int]],
    inputs: AtlasInputs,
    rung: Rung,
    sheets: Sequence,
) -> GroupingRecord:
    dates = inputs.dates.get(prototypes.by, {})
    facts = _facts(inputs.instances, prototypes)
    groups = [
        GroupRecord(
            name=name, parent=prototypes.parents[g],
            date=dates.get(name, ("", None))[0], year=dates.get(name, ("", None))[1],
            count=int(prototypes.count[g].sum()), facts=facts.get(name, ()),
        )
        for g, name in enumerate(prototypes.groups)
    ]  # fmt: skip
    return GroupingRecord(
        by=prototypes.by,
        method=prototypes.method,
        groups=tuple(groups),
        cells=tuple(
            tuple(_cell(prototypes, g, k, ranked.get((g, k)), rows[k], rung)
                  for k in range(len(prototypes.letters)))
            for g in range(len(prototypes.groups))
        ),
        sheets=tuple(sheets),
        tree=_tree_of(inputs, prototypes),
    )  # fmt: skip


def _cell(
    prototypes: Prototypes,
    g: int,
    k: int,
    ranked: Ranked | None,
    rows: Mapping[int, int],
    rung: Rung,
) -> CellRecord:
    shown, near = ranked.shown(rung) if ranked else ((), 0)
    return CellRecord(
        count=int(prototypes.count[g, k]),
        flag=prototypes.flag[g][k],
        quality=number(prototypes.quality[g, k]),
        instances=tuple(rows[row] for row in shown if row in rows),
        near=near,
    )


def _tree_of(inputs: AtlasInputs, prototypes: Prototypes) -> tuple[int, ...]:
    for one in inputs.comparisons:
        if one.tree is not None and one.documents_by == prototypes.by:
            return tree_order(one.tree, prototypes.groups)
    return ()


def _facts(
    instances: Instances | None, prototypes: Prototypes
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Of each group the columns of the collection that are the same for all its lines."""
    if instances is None:
        return {}
    table = instances.table
    names = [name for name in table.column_names
             if name not in OWN_COLUMNS and name != prototypes.by
             and pa.types.is_string(table[name].type)]  # fmt: skip
    found: dict[str, dict[str, set[str]]] = {}
    pairs = table.select([prototypes.by, *names]).group_by([prototypes.by, *names]).aggregate([])
    for row in pairs.to_pylist():
        own = found.setdefault(row[prototypes.by] or "", {name: set() for name in names})
        for name in names:
            own[name].add(row[name] or "")
    return {
        group: tuple((name, next(iter(values))) for name, values in own.items()
                     if len(values) == 1 and values != {""})
        for group, own in found.items()
    }  # fmt: skip


# ---------------------------------------------------------------------------------- instances


def _instances(
    inputs: AtlasInputs, budget: float, pictures: Pictures
) -> tuple[list[dict[tuple[int, int], Ranked]], Rung, tuple[InstancesRecord, ...]]:
    letters = inputs.prototypes[0].letters
    height, width = inputs.prototypes[0].reference.shape[1:]
    rung = Rung(near=0, far=0, strip=0, quality=1)
    if inputs.instances is None:
        none = InstancesRecord(
            aligned=no_sheet(height, width), strips=no_sheet(height, width), rows=()
        )
        return [{} for _ in inputs.prototypes], rung, (none,) * len(letters)
    ranked = [rank(inputs.instances, one) for one in inputs.prototypes]
    rung = best_rung(inputs.instances, ranked, len(letters), inputs.line, budget)
    records = tuple(
        instances_record(inputs.instances, rows, inputs.line, rung, pictures)
        for rows in shown_rows(ranked, len(letters), rung)
    )
    return ranked, rung, records


def _left_out(inputs: AtlasInputs, rung: Rung) -> Iterator[str]:
    if inputs.instances is None:
        yield "The instances are not in the run folder, so that only prototypes are shown."
        return
    yield (
        f"Of {inputs.instances.table.num_rows:,} instances, each letter of each group shows the "
        f"medoid, up to {rung.near} others nearest to the mean, and up to {rung.far} farthest."
    )
    if not rung.strip:
        yield "There was no room for the lines that they stand on."
    n = sum(len(one.differences) for one in inputs.comparisons)
    shown = sum(min(len(one.differences), MOST_DIFFERENCES) for one in inputs.comparisons)
    if shown < n:
        yield f"Of {n:,} pairs of groups that were compared, {shown:,} have their pictures here."
