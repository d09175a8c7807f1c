"""A typewriter run with prototypes -> atlas.html: atlas()."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, UInt8
from numpy import ndarray

from typika import __version__
from typika.errors import ConfigError
from typika.files import sample_digest
from typika.palaeography.comparison_records import MEANING as COMPARED
from typika.palaeography.comparison_records import Comparison
from typika.palaeography.dates import year
from typika.palaeography.prototypes import FEWEST, own_region
from typika.palaeography.records import (
    ALLOGRAPHS,
    COMPARISON,
    INSTANCES,
    MEANING,
    MEASURES,
    PROTOTYPES,
    Instances,
    Prototypes,
)
from typika.parallel import one_thread
from typika.report.atlas import build_atlas
from typika.report.atlas_records import AtlasInputs, SomeTable
from typika.report.html import write_atlas
from typika.run import Run, Stage
from typika.tables import parquet_columns, read_parquet
from typika.typewriter.prepared import Prepared
from typika.typewriter.stages import PREPARED

ATLAS = "atlas.html"
TABLES = (ALLOGRAPHS, MEASURES)  # folders of tables that other stages write
DATE = "date"  # a column of the collection


def atlas(run: str | Path) -> Path:
    """Write the atlas of a run whose letters were adapted: one HTML file that needs no other.

    run: folder that `typewriter.fit` made. What the run has is shown: prototypes of all groupings,
    their instances on their lines, comparisons, allographs, measures. Nothing is written anew
    while none of it has changed.

    Raises:
        ConfigError: no run is there, or one without prototypes.
    """
    folder = Path(run)
    Run.read(folder)
    if not has_prototypes(folder):
        raise ConfigError(
            f"{folder}: no prototypes here; run `typika typewriter adapt` with --by first"
        )
    with Run.reopen(folder) as opened:
        found = Adapted(opened)

        def compute() -> None:
            with one_thread():
                write_atlas(build_atlas(found.inputs(), few=FEWEST), opened.path(ATLAS))

        opened.stage(Stage(name="atlas", causes=found.causes(), outputs=(ATLAS,)), compute)
    return folder / ATLAS


def has_prototypes(folder: Path) -> bool:
    """Whether an atlas can be made of a run."""
    return any((folder / PROTOTYPES).glob(f"*/{MEANING}"))


@dataclass(frozen=True)
class Adapted:
    """What an adapted run has for its atlas."""

    run: Run

    @cached_property
    def prototypes(self) -> tuple[Prototypes, ...]:
        """Of all groupings, the one of most groups first."""
        folders = sorted(path.parent for path in self.run.path(PROTOTYPES).glob(f"*/{MEANING}"))
        found = [Prototypes.load(folder) for folder in folders]
        return tuple(sorted(found, key=lambda one: -len(one.groups)))

    @cached_property
    def instances(self) -> Instances | None:
        """What the prototypes rest on."""
        folder = self.run.path(INSTANCES)
        return Instances.load(folder) if folder.is_dir() else None

    @cached_property
    def lines(self) -> dict[str, UInt8[ndarray, "H W 3"]]:
        """The pixels of the lines, which stay on disk until they are used."""
        folder = self.run.path(PREPARED)
        if not folder.is_dir():
            return {}
        lines = Prepared.open(folder).lines({}, None)
        return {line.line_id: line.pixels for line in lines}

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All comparisons of groups."""
        return tuple(Comparison.load(path.parent) for path in self._compared())

    def causes(self) -> dict[str, Any]:
        """What decides the page: all files that it is made of, by their digests."""
        folders = (INSTANCES, PROTOTYPES, COMPARISON, *TABLES, PREPARED)
        files = [path for name in folders for path in sorted(self.run.path(name).rglob("*"))
                 if path.is_file() and not path.name.startswith(".")]  # fmt: skip
        digests = {path.relative_to(self.run.folder).as_posix(): sample_digest(path)
                   for path in files}  # fmt: skip
        return {"files": digests, "fewest": FEWEST}

    def inputs(self) -> AtlasInputs:
        """Everything that the page is made of."""
        manifest = self.run.manifest
        return AtlasInputs(
            name=self.run.folder.resolve().name,
            prototypes=self.prototypes,
            instances=self.instances,
            line=self.lines.get,
            masks=self._masks(),
            dates={one.by: dict(self._dates(one)) for one in self.prototypes},
            comparisons=self.comparisons,
            tables=tuple(self._tables()),
            source=str(manifest.get("source", "")),
            notes=tuple(self._notes()),
            facts=self._facts(manifest),
            version=__version__,
            date=time.strftime("%Y-%m-%d"),
        )

    def _compared(self) -> list[Path]:
        return sorted(self.run.path(COMPARISON).rglob(COMPARED))

    def _masks(self) -> Float[ndarray, "K h w"]:
        return np.stack([own_region(one) for one in self.prototypes[0].reference])

    def _dates(self, prototypes: Prototypes) -> Iterator[tuple[str, tuple[str, float | None]]]:
        """Of each group its date and the middle year, where all its lines have the same."""
        years = dict(self._compared_years(prototypes.by))
        for name, date in self._written_dates(prototypes.by).items():
            yield name, (date, years.get(name, year(date)))

    def _compared_years(self, by: str) -> Iterator[tuple[str, float | None]]:
        """Years as a comparison has read them, which decides for the page."""
        for one in self.comparisons:
            if one.seriation is not None and one.documents_by == by:
                for name, found in zip(one.seriation.documents, one.seriation.year, strict=True):
                    yield name, float(found) if np.isfinite(found) else None

    def _written_dates(self, by: str) -> dict[str, str]:
        table = self.instances.table if self.instances else None
        if table is None or DATE not in table.column_names or by not in table.column_names:
            return {}
        pairs = table.select([by, DATE]) if by != DATE else table.select([DATE])
        found: dict[str, set[str]] = {}
        for row in pairs.group_by(pairs.column_names).aggregate([]).to_pylist():
            found.setdefault(str(row[by] or ""), set()).add(str(row[DATE] or ""))
        return {name: next(iter(dates)) for name, dates in found.items()
                if len(dates) == 1 and dates != {""}}  # fmt: skip

    def _tables(self) -> Iterator[SomeTable]:
        """Whatever Parquet other stages left in their folders."""
        for folder in TABLES:
            for path in sorted(self.run.path(folder).rglob("*.parquet")):
                parts = path.relative_to(self.run.folder).with_suffix("").parts
                if parquet_columns(path):
                    yield SomeTable(title=_titled(parts), name="-".join(parts),
                                    table=_without_pixels(read_parquet(path)))  # fmt: skip

    def _notes(self) -> Iterator[str]:
        if self.instances is None:
            yield (
                "The run has no instances, so that prototypes cannot be held against what they "
                "rest on. Adapt it again."
            )
        for one in self.prototypes:
            doubted = sum(flag != "" for row in one.flag for flag in row)
            if 2 * doubted > one.count.size:
                yield (
                    f"{doubted:,} of {one.count.size:,} prototypes by {one.by} have a flag: most "
                    "of their table rests on little."
                )

    def _facts(self, manifest: Mapping[str, Any]) -> dict[str, str]:
        made = {one.by: f"{len(one.groups):,} groups, {one.method}" for one in self.prototypes}
        first = self.prototypes[0].reference.shape
        n = self.instances.table.num_rows if self.instances else 0
        return {
            **{f"Prototypes by {by}": words for by, words in made.items()},
            "Instances": f"{n:,}",
            "Sprites": f"{first[0]:,} of {first[2]} × {first[1]} pixels",
            "Comparisons": ", ".join(f"by {one.by}" for one in self.comparisons) or "none",
            "Lines from": str(manifest.get("source", "")),
            "typika": str(manifest["typika"]),
            "Machine": f"{manifest.get('platform', '')}, Python {manifest.get('python', '')}",
        }


def _titled(parts: tuple[str, ...]) -> str:
    words = [part.replace("_", " ").replace("-", " ") for part in parts]
    title = ", ".join(dict.fromkeys(words))
    return title[:1].upper() + title[1:]


def _without_pixels(table: pa.Table) -> pa.Table:
    """Only the columns that a table of a page can show."""
    return table.select([name for name in table.column_names
                         if not pa.types.is_nested(table[name].type)])  # fmt: skip
