"""A finished typewriter -> aligned prototypes of the groups of its lines: adapt()."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

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
from typika.palaeography import adaptation
from typika.palaeography.groupings import Hierarchy, hierarchy, require_columns
from typika.palaeography.instances import gather, sprites_of
from typika.palaeography.prototypes import FEWEST, assemble
from typika.palaeography.records import Instances, Prototypes
from typika.parallel import one_thread
from typika.report.prototype_sheet import prototype_sheet
from typika.run import Run, Stage
from typika.tables import write_csv, write_parquet
from typika.typewriter.adaptation import PublishedAdaptation, adapted
from typika.typewriter.batches import Line
from typika.typewriter.stages import TypewriterConfig
from typika.typewriting_report import READ_STAGES, Finished

INSTANCES, PROTOTYPES, ADAPTED = "instances", "prototypes", "adapted"
SHEET, VARIANCES = "sheet.png", "variances.parquet"
Method = Literal["hierarchical", "published"]


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """How prototypes of groups are made.

    method: "hierarchical": means of instances, shrunk towards the groups that a group lies in;
    "published": the model's generator fitted to each group's lines. fewest: instances below which
    a prototype is flagged. seed: of the order of lines in a fit.
    """

    method: Method = "hierarchical"
    fewest: int = FEWEST
    seed: int = 0
    published: PublishedAdaptation = field(default_factory=PublishedAdaptation)

    def __post_init__(self) -> None:
        if self.method not in ("hierarchical", "published"):
            raise ConfigError(f"method={self.method!r}: expected hierarchical or published")
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
    fit_config = _finished(folder)
    with Run.create(folder, fit_config, facts={}) as opened:
        if overwrite:
            _forget(opened, by)
        adapting = Adapting(opened, Finished(opened, fit_config), config,
                            Path(metadata) if metadata else None)  # fmt: skip
        adapting.gather()
        for column in by:
            adapting.make(column, by)
    return AdaptedRun(folder)


@dataclass(frozen=True)
class Adapting:
    """An adaptation under way."""

    run: Run
    finished: Finished
    config: AdaptationConfig
    metadata: Path | None

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
        """The stage `prototypes/BY`, and before it, as published, a stage for each group."""
        levels = hierarchy(self.instances, by, among)
        folder = f"{PROTOTYPES}/{safe_name(by)}"
        causes: dict[str, Any] = {
            INSTANCES: self.run.output_digest(INSTANCES), "by": by,
            "levels": [level.by for level in levels.levels],
            "config": settings.as_values(self.config),
        }  # fmt: skip
        if self.config.method == "published":
            names = self._fit_groups(by, levels)
            causes[ADAPTED] = [self.run.output_digest(name) for name in names]

        def compute() -> None:
            with one_thread():
                ink, variances = self._ink(by, levels)
                made = assemble(self.instances, levels, by, ink, self.reference,
                                method=self.config.method, fewest=self.config.fewest)  # fmt: skip
            made.save(self.run.path(folder))
            with whole_file(self.run.path(folder, SHEET)) as temporary:
                temporary.write_bytes(prototype_sheet(made))
            if variances is not None:
                write_parquet(variances, self.run.path(folder, VARIANCES))
                write_csv(variances, self.run.path(folder, VARIANCES).with_suffix(".csv"))
            say(f"{by}: {len(made.groups)} groups, {len(made.letters)} letters")

        self.run.stage(Stage(name=folder, causes=causes, outputs=(folder,)), compute)

    def _ink(
        self, by: str, levels: Hierarchy
    ) -> tuple[Float[ndarray, "G K h w"], pa.Table | None]:
        names = [name for name in levels.levels[levels.level(by)].names if name]
        if self.config.method == "published":
            return np.stack([load_file(self._fitted(by, name))["ink"] for name in names]), None
        fits = []
        with task("shrink prototypes", len(self.reference)) as advance:
            for one in adaptation.fits(self.instances, levels, self.reference):
                fits.append(one)
                advance(1)
        number, size = levels.level(by), self.reference.shape[1:]
        ink = np.stack([one.prototypes[number][: len(names)] for one in fits], axis=1)
        above = [level.by for level in levels.levels]
        table = adaptation.variances(fits, self.instances.letters, above)
        return ink.reshape(len(names), len(fits), *size), table

    def _fit_groups(self, by: str, levels: Hierarchy) -> list[str]:
        """A stage for each group: the generator fitted to its lines; their names."""
        number = levels.level(by)
        lines = dict(zip(self.instances.table["line_id"].to_pylist(),
                         levels.members(by).tolist(), strict=True))  # fmt: skip
        names = [name for name in levels.levels[number].names if name]
        done = []
        for group, name in enumerate(names):
            own = [line for line in self.lines if lines.get(line.line_id) == group]
            place = self._fitted(by, name)
            stage = Stage(
                name=place.relative_to(self.run.folder).as_posix(),
                causes={"lines": [line.line_id for line in own], "seed": self.config.seed,
                        "published": settings.as_values(self.config.published),
                        **{one: self.run.output_digest(one) for one in READ_STAGES}},
                outputs=(place.relative_to(self.run.folder).as_posix(),),
            )  # fmt: skip
            self.run.stage(stage, lambda own=own, place=place: self._fit(own, place))  # type: ignore[misc]
            done.append(stage.name)
        return done

    def _fit(self, lines: Sequence[Line], place: Path) -> None:
        trained, config = self.finished.trained, self.config
        with one_thread(), task(f"adapt {place.stem}", config.published.steps) as advance:
            model = adapted(trained.model, lines, config.published, seed=config.seed,
                            advance=advance)  # fmt: skip
        with whole_file(place) as temporary:
            temporary.write_bytes(save({"ink": sprites_of(replace(trained, model=model))}))

    def _fitted(self, by: str, group: str) -> Path:
        return self.run.path(ADAPTED, safe_name(by), f"{safe_name(group)}.safetensors")


def _finished(folder: Path) -> TypewriterConfig:
    """The configuration of a run that is aligned."""
    manifest: Mapping[str, Any] = Run.read(folder).manifest
    missing = [name for name in READ_STAGES if "finished" not in manifest["stages"].get(name, {})]
    if missing:
        raise ConfigError(
            f"{folder}: {missing[0]} is not done; run `typika typewriter fit` with this folder "
            "as --out first"
        )
    return settings.build(TypewriterConfig, manifest["config"])


def _forget(run: Run, by: Sequence[str]) -> None:
    """Let the stages be made again."""
    for name in list(run.manifest["stages"]):
        if name == INSTANCES or name in _names(by) or name.startswith(_fits(by)):
            del run.manifest["stages"][name]


def _names(by: Sequence[str]) -> Iterator[str]:
    return (f"{PROTOTYPES}/{safe_name(column)}" for column in by)


def _fits(by: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{ADAPTED}/{safe_name(column)}/" for column in by)


def _require(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: nothing there; run `typika typewriter adapt` first")
