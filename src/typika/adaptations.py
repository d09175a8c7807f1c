"""A finished typewriter -> aligned prototypes of the groups of its lines: adapt()."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray
from safetensors.numpy import load_file, save

from typika import config as settings
from typika.collection.lines import joined
from typika.console import say, task, warn
from typika.errors import ConfigError
from typika.files import file_digest, safe_name, whole_file
from typika.palaeography.adaptation import variances
from typika.palaeography.groupings import Hierarchy, hierarchy, require_columns
from typika.palaeography.instances import gather, sprites_of
from typika.palaeography.prototypes import FEWEST, assemble
from typika.palaeography.records import (
    INSTANCES,
    PROTOTYPES,
    Instances,
    Prototypes,
    column_values,
)
from typika.palaeography.refinement import WHOLE, Shrinkage
from typika.parallel import one_thread
from typika.report.prototype_sheet import prototype_sheet
from typika.run import Run, Stage
from typika.tables import write_table
from typika.typewriter.adaptation import PublishedAdaptation, adapted
from typika.typewriter.batches import Line
from typika.typewriter.refitting import LOOKS
from typika.typewriting_report import READ_STAGES, Finished, reopened

ADAPTED = "adapted"  # folder in the run: the sprites of each group, as fitted
SHEET, VARIANCES = "sheet.png", "variances.parquet"
Method = Literal["hierarchical", "instances", "published"]


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """How prototypes of groups are made.

    method: "hierarchical": fitted to each group's lines, and drawn to the groups that a group
    lies in; "instances": the means of cut-out instances, drawn to them likewise, which takes
    seconds and blurs a little; "published": the model's generator fitted to each group's lines.
    fewest: instances below which a prototype is flagged. seed: of the order of lines in a fit.
    """

    method: Method = "hierarchical"
    fewest: int = FEWEST
    seed: int = 0
    published: PublishedAdaptation = field(default_factory=PublishedAdaptation)

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            known = ", ".join(get_args(Method))
            raise ConfigError(f"method={self.method!r}: expected one of {known}")
        if self.fewest < 1:
            raise ConfigError(f"fewest={self.fewest}: need at least 1")


@dataclass(frozen=True)
class AdaptedRun:
    """A run folder of a typewriter, with its instances and the prototypes of groups."""

    folder: Path

    @cached_property
    def instances(self) -> Instances:
        """Every character in the frame of its sprite."""
        _require(self.folder / INSTANCES)
        return Instances.load(self.folder / INSTANCES)

    def prototypes(self, by: str) -> Prototypes:
        """Of the groups that a column makes. Raises ConfigError where they were not made."""
        _require(self.folder / PROTOTYPES / safe_name(by))
        return Prototypes.load(self.folder / PROTOTYPES / safe_name(by))

    def sheet(self, by: str) -> Path:
        """A picture of them: letters by groups, the model's own sprites above."""
        return self.folder / PROTOTYPES / safe_name(by) / SHEET


def adapt(
    run: str | Path,
    by: str | Sequence[str],
    *,
    method: Method = "hierarchical",
    config: AdaptationConfig | None = None,
    metadata: str | Path | None = None,
    overwrite: bool = False,
) -> AdaptedRun:
    """Prototypes of each letter in each group of lines, aligned with the model's own sprites.

    run: folder that `typewriter.fit` made. by: columns of its lines; where one is nested in
    another, its groups lean on that one's. method: as in `AdaptationConfig`, which `config` gives
    in full. metadata: a table of further columns, as lines are collected with. overwrite: make
    again what is there.

    Writes RUN/instances and, for each column, RUN/prototypes/COLUMN.

    Raises:
        ConfigError: no finished run, no such column, or one that is empty everywhere.
        DataError: the table cannot be used.
    """
    by = (by,) if isinstance(by, str) else tuple(by)
    require_columns(by)
    config = config or AdaptationConfig(method=method)
    folder = Path(run)
    with reopened(folder) as finished:
        if overwrite:
            _forget(finished.run, by)
        adapting = Adapting(finished, config, Path(metadata) if metadata else None)
        for column in by:
            column_values(adapting.columns, column)  # before what takes long
        adapting.gather()
        for column in by:
            adapting.make(column, by)
    return AdaptedRun(folder)


def gathered(finished: Finished, by: str | None = None) -> Instances:
    """The instances of a finished run that is open, made where there are none.

    by: a column that they must have. Raises ConfigError where lines have no such column.
    """
    run = finished.run
    if not run.finished(INSTANCES) or not run.path(INSTANCES).is_dir():
        if by is not None:
            column_values(finished.table, by)  # before what takes long
        Adapting(finished, AdaptationConfig(), None).gather()
    return Instances.load(run.path(INSTANCES))


@dataclass(frozen=True)
class Adapting:
    """An adaptation under way."""

    finished: Finished
    config: AdaptationConfig
    metadata: Path | None

    @property
    def run(self) -> Run:
        """The run folder."""
        return self.finished.run

    @cached_property
    def columns(self) -> pa.Table:
        """A row a line, with the columns of the table that was given."""
        if self.metadata is None:
            return self.finished.table
        table, remarks = joined(self.finished.table, self.metadata)
        for remark in remarks:
            warn(remark)
        return table

    @cached_property
    def lines(self) -> list[Line]:
        """The lines whose characters are known; where no line is transcribed, all as read."""
        readings = self.finished.readings
        names = readings["line_id"].to_pylist()
        lines = self.finished.lines
        signs = self.finished.trained.signs
        if signs is not None:
            read = dict(zip(names, readings["read"].to_pylist(), strict=True))
            alphabet = self.finished.trained.alphabet
            return [replace(lines[name], symbols=alphabet.encode(read[name])) for name in names]
        aligned = readings["aligned"].to_pylist()
        return [lines[name] for name, known in zip(names, aligned, strict=True) if known]

    @cached_property
    def reference(self) -> Float[ndarray, "K h w"]:
        """The model's own sprites."""
        return sprites_of(self.finished.trained)

    @cached_property
    def instances(self) -> Instances:
        """What the stage `instances` wrote."""
        return Instances.load(self.run.path(INSTANCES))

    def gather(self) -> None:
        """The stage `instances`."""
        causes: dict[str, Any] = {name: self.run.output_digest(name) for name in READ_STAGES}
        if self.metadata is not None and self.columns.num_rows:  # it can be read
            causes["metadata"] = file_digest(self.metadata)

        def compute() -> None:
            with one_thread(), task("gather instances", len(self.lines)) as advance:
                gather(self.finished.trained, self.lines, self.finished.characters, self.columns,
                       self.run.path(INSTANCES), advance)  # fmt: skip

        self.run.stage(Stage(name=INSTANCES, causes=causes, outputs=(INSTANCES,)), compute)

    def make(self, by: str, among: Sequence[str]) -> None:
        """The stage `prototypes/BY`, and before it a stage for each group."""
        levels = hierarchy(self.instances, by, among)
        shrinkage = Shrinkage(self.instances, levels, self.reference)
        fitted = self._fitted(by, shrinkage)
        folder = f"{PROTOTYPES}/{safe_name(by)}"
        causes = {INSTANCES: self.run.output_digest(INSTANCES), "by": by,
                  "levels": [level.by for level in levels.levels], "method": self.config.method,
                  "fewest": self.config.fewest,
                  ADAPTED: [self.run.output_digest(name) for name in fitted]}  # fmt: skip

        def compute() -> None:
            with one_thread():
                means = self.config.method == "instances"
                ink = shrinkage.starts(by) if means else np.stack(list(map(self._ink, fitted)))
                made = assemble(self.instances, levels, by, ink, self.reference,
                                method=self.config.method, fewest=self.config.fewest)  # fmt: skip
            made.save(self.run.path(folder))
            with whole_file(self.run.path(folder, SHEET)) as temporary:
                temporary.write_bytes(prototype_sheet(made))
            if self.config.method != "published":
                columns = [level.by for level in levels.levels]
                table = variances(shrinkage.fits, self.instances.letters, columns)
                write_table(table, self.run.path(folder, VARIANCES))
            say(f"{by}: {len(made.groups)} groups, {len(made.letters)} letters")

        self.run.stage(Stage(name=folder, causes=causes, outputs=(folder,)), compute)

    def _fitted(self, by: str, shrinkage: Shrinkage) -> list[str]:
        """The stages of the groups of a column, as the method has them."""
        if self.config.method == "published":
            return self._published(by, shrinkage.hierarchy)
        return self._refined(by, shrinkage) if self.config.method == "hierarchical" else []

    def _refined(self, by: str, shrinkage: Shrinkage) -> list[str]:
        """From the whole down to the groups of a column, each fitted and drawn to its parent."""
        levels = shrinkage.hierarchy
        found = [self._refine(shrinkage, WHOLE, 0, None)]
        for number, level in enumerate(levels.levels[: levels.level(by) + 1]):
            found = [self._refine(shrinkage, number, group, found[parent])
                     for group, parent in enumerate(level.above.tolist())]  # fmt: skip
        names = levels.levels[levels.level(by)].names
        return [stage for stage, name in zip(found, names, strict=True) if name]

    def _refine(self, shrinkage: Shrinkage, level: int, group: int, parent: str | None) -> str:
        """The stage of one group, or of the whole; its name."""
        levels = shrinkage.hierarchy.levels
        columns = [one.by for one in levels]
        if level == WHOLE:
            own, name = self.lines, _stage_of("hierarchical", *columns, "whole")
        else:
            own = self._lines_of(levels[level].by, group, shrinkage.hierarchy)
            called = levels[level].names[group] or f"nameless {group}"
            name = _stage_of("hierarchical", levels[level].by, called)

        def compute() -> None:
            above = self.reference if parent is None else self._ink(parent)
            with one_thread(), task(name, LOOKS) as advance:
                ink = shrinkage.refine(self.finished.trained, own, level, group, above, advance)
            self._keep(name, ink)

        causes = {
            INSTANCES: self.run.output_digest(INSTANCES), "levels": columns, "level": level,
            "lines": [line.line_id for line in own],
            "parent": parent and self.run.output_digest(parent),
        }  # fmt: skip
        self.run.stage(Stage(name=name, causes=causes, outputs=(name,)), compute)
        return name

    def _published(self, by: str, levels: Hierarchy) -> list[str]:
        """A stage for each group: the generator fitted to its lines."""
        names = levels.levels[levels.level(by)].names
        return [self._fit(_stage_of("published", by, name), self._lines_of(by, group, levels))
                for group, name in enumerate(names) if name]  # fmt: skip

    def _fit(self, name: str, lines: Sequence[Line]) -> str:
        trained, config = self.finished.trained, self.config

        def compute() -> None:
            with one_thread(), task(name, config.published.steps) as advance:
                model = adapted(trained.model, lines, config.published, seed=config.seed,
                                advance=advance)  # fmt: skip
            self._keep(name, sprites_of(replace(trained, model=model)))

        causes = {"lines": [line.line_id for line in lines], "seed": config.seed,
                  "published": settings.as_values(config.published),
                  **{one: self.run.output_digest(one) for one in READ_STAGES}}  # fmt: skip
        self.run.stage(Stage(name=name, causes=causes, outputs=(name,)), compute)
        return name

    def _lines_of(self, by: str, group: int, levels: Hierarchy) -> list[Line]:
        """The lines whose instances are in a group."""
        names = self.instances.table["line_id"].to_pylist()
        member = dict(zip(names, levels.members(by).tolist(), strict=True))
        return [line for line in self.lines if member.get(line.line_id) == group]

    def _keep(self, name: str, ink: Float[ndarray, "K h w"]) -> None:
        with whole_file(self.run.path(name)) as temporary:
            temporary.write_bytes(save({"ink": np.ascontiguousarray(ink)}))

    def _ink(self, name: str) -> Float[ndarray, "K h w"]:
        return load_file(self.run.path(name))["ink"]


def _stage_of(method: Method, *parts: str) -> str:
    """The name of a group's stage, which is that of its file."""
    return "/".join((ADAPTED, method, *map(safe_name, parts))) + ".safetensors"


def _forget(run: Run, by: Sequence[str]) -> None:
    """Let the stages be made again."""
    own = {INSTANCES, *(f"{PROTOTYPES}/{safe_name(column)}" for column in by)}
    for name in list(run.manifest["stages"]):
        if name in own or name.startswith(f"{ADAPTED}/"):
            del run.manifest["stages"][name]


def _require(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: nothing there; run `typika typewriter adapt` first")
