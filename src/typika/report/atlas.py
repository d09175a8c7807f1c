"""Prototypes, instances and comparisons of a typewriter run -> a frozen `AtlasPage`.

What was measured was decided in `palaeography/`; here it becomes sheets of pictures, words and
tables.

Legend: `G` groups, `K` letters, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from typika.errors import DataError
from typika.palaeography.records import Instances, Prototypes
from typika.report.atlas_comparison import MOST_DIFFERENCES, comparison_record, tree_order
from typika.report.atlas_instances import (
    LADDER,
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
    DataTable,
    GroupingRecord,
    GroupRecord,
    InstancesRecord,
    LetterRecord,
    Sheet,
    SomeTable,
)
from typika.report.atlas_tables import data_table
from typika.report.atlas_tables import number as number_of
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
    evidence = _evidence(inputs, _room(inputs, pictures, max_megabytes), pictures)
    return AtlasPage(
        title=inputs.name,
        lead=tuple(_lead(inputs, comparisons)),
        notes=tuple(inputs.notes),
        height=first.reference.shape[1],
        width=first.reference.shape[2],
        few=few,
        masked=inputs.masks is not None,
        letters=letters,
        groupings=tuple(
            _grouping(one, inputs, evidence, number, sheets[number])
            for number, one in enumerate(inputs.prototypes)
        ),
        instances=evidence.records,
        comparisons=comparisons,
        tables=tuple(_tables(inputs)),
        pictures=pictures.urls,
        source=inputs.source,
        facts=inputs.facts,
        left_out=tuple(_left_out(inputs, evidence.rung)),
        version=inputs.version,
        date=inputs.date,
    )


def _room(inputs: AtlasInputs, pictures: Pictures, max_megabytes: float) -> float:
    """Bytes that instances may have beside what is drawn already."""
    weight = sum(map(len, pictures.urls)) + FRAME_BYTES
    weight += CELL_BYTES * sum(one.count.size for one in inputs.prototypes)
    whole = max_megabytes * MEGABYTE
    return max(whole - weight, LEAST_SHARE * whole)


def _tables(inputs: AtlasInputs) -> Iterator[DataTable]:
    for one in inputs.prototypes:
        yield data_table(SomeTable(title=f"Prototypes by {one.by}", name=f"prototypes-{one.by}",
                                   table=one.table()))  # fmt: skip
    yield from map(data_table, inputs.tables)


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
        f"What {len(finest.letters):,} letters look like in groups of lines "
        f"({', '.join(groups)}), by {int(finest.count.sum()):,} instances of them."
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


def _sheets(prototypes: Prototypes, pictures: Pictures) -> list[Sheet]:
    """Of each letter a sheet: prototypes of all groups, means, standard deviations."""
    spread = np.sqrt(np.maximum(prototypes.variance, 0))
    found = []
    for k in range(len(prototypes.letters)):
        views = (prototypes.ink[:, k], prototypes.mean[:, k], spread[:, k])
        found.append(pictures.sprites(ink_bytes(np.concatenate(views))))
    return found


def _grouping(
    prototypes: Prototypes,
    inputs: AtlasInputs,
    evidence: Evidence,
    number: int,
    sheets: Sequence[Sheet],
) -> GroupingRecord:
    """The record of one grouping, the `number`-th of the run."""
    return GroupingRecord(
        by=prototypes.by,
        method=prototypes.method,
        groups=tuple(_groups(prototypes, inputs)),
        cells=tuple(
            tuple(_cell(prototypes, evidence, number, (g, k))
                  for k in range(len(prototypes.letters)))
            for g in range(len(prototypes.groups))
        ),
        sheets=tuple(sheets),
        tree=_tree_of(inputs, prototypes),
    )  # fmt: skip


def _groups(prototypes: Prototypes, inputs: AtlasInputs) -> Iterator[GroupRecord]:
    dates = inputs.dates.get(prototypes.by, {})
    facts = _facts(inputs.instances, prototypes)
    for g, name in enumerate(prototypes.groups):
        date, year = dates.get(name, ("", None))
        yield GroupRecord(
            name=name, parent=prototypes.parents[g], date=date, year=year,
            count=int(prototypes.count[g].sum()), facts=facts.get(name, ()),
        )  # fmt: skip


def _cell(
    prototypes: Prototypes, evidence: Evidence, number: int, place: tuple[int, int]
) -> CellRecord:
    ranked = evidence.ranked[number].get(place)
    shown, near = ranked.shown(evidence.rung) if ranked else ((), 0)
    rows = evidence.rows[place[1]]
    return CellRecord(
        count=int(prototypes.count[place]),
        flag=prototypes.flag[place[0]][place[1]],
        quality=number_of(prototypes.quality[place]),
        instances=tuple(rows[row] for row in shown),
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


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is shown of instances: ranked for each grouping, and the records of each letter.

    rows: of each letter where a row of `Instances` stands in its record.
    """

    ranked: Sequence[Mapping[tuple[int, int], Ranked]]
    rung: Rung
    records: tuple[InstancesRecord, ...]
    rows: Sequence[Mapping[int, int]]


def _evidence(inputs: AtlasInputs, budget: float, pictures: Pictures) -> Evidence:
    first, given = inputs.prototypes[0], inputs.instances
    n_letters = len(first.letters)
    if given is None:
        none = no_sheet(*first.reference.shape[1:])
        return Evidence(
            ranked=[{} for _ in inputs.prototypes], rung=LADDER[-1], rows=[{}] * n_letters,
            records=(InstancesRecord(aligned=none, strips=none, rows=()),) * n_letters,
        )  # fmt: skip
    ranked = [rank(given, one) for one in inputs.prototypes]
    rung = best_rung(given, ranked, n_letters, inputs.line, budget)
    shown = shown_rows(ranked, n_letters, rung)
    return Evidence(
        ranked=ranked,
        rung=rung,
        records=tuple(instances_record(given, own, inputs.line, rung, pictures) for own in shown),
        rows=[{row: place for place, row in enumerate(own)} for own in shown],
    )


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
