"""Groups of documents held against each other, letter by letter: compare()."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from typika import config as settings
from typika.collection.lines import DOCUMENT
from typika.console import say, task
from typika.errors import ConfigError
from typika.files import safe_name
from typika.palaeography import units as units_of
from typika.palaeography.comparison import differences, spread
from typika.palaeography.comparison_records import Comparison
from typika.palaeography.graphs import graphs, outliers
from typika.palaeography.records import (
    COMPARISON,
    FAILED,
    INSTANCES,
    PROTOTYPES,
    Instances,
    Prototypes,
)
from typika.palaeography.seriation import seriation
from typika.palaeography.trees import apart, resample_all, tree
from typika.palaeography.units import ComparisonConfig, Means, Sample, Units
from typika.parallel import one_thread
from typika.report.script_figures import write_comparison_sheets
from typika.run import Run, Stage

FIGURES = "figures"
DATES = ("date", "year")  # columns of dates: the first that there is
MOST_GROUPS = 5  # that are held against each other, every one with every other, unasked
MOST_TREES = 200  # resamplings behind the support of a branch
Ink = Literal["instances", "prototypes"]


@dataclass(frozen=True)
class ComparedRun:
    """A run folder in which groups of its documents were compared."""

    run: Path
    groups: str

    @property
    def folder(self) -> Path:
        """Where the tables are."""
        return self.run / COMPARISON / safe_name(self.groups)

    @property
    def figures(self) -> Path:
        """Where the figure sheets are."""
        return self.folder / FIGURES

    @cached_property
    def comparison(self) -> Comparison:
        """All that was found."""
        return Comparison.load(self.folder)

    @property
    def summary(self) -> Iterator[str]:
        """What a person reads first."""
        found = self.comparison
        for one in found.differences:
            names = ", ".join(one.letters[k].name for k in one.ranked[:5])
            yield (
                f"{one.first} | {one.second}: {int(one.differs.sum())} of {len(one.letters)} "
                f"letters differ ({one.unit}s compared); they separate best: {names}"
            )
        for d in found.outliers.ranked[:3]:
            letters = " ".join(one.name for one in found.outliers.letters_of(d))
            yield (
                f"unlike its group: {found.outliers.documents[d]} ({found.outliers.group[d]}), "
                f"p = {found.outliers.p[d]:.2g}, {found.outliers.holm[d]:.2g} corrected: {letters}"
            )
        if found.seriation:
            rho, low, high = found.seriation.spearman[0]
            yield (
                f"first axis and dates: Spearman {rho:.2f} ({low:.2f} to {high:.2f}), "
                f"p = {found.seriation.p[0]:.2g}"
            )


def compare(
    run: str | Path,
    groups: str,
    *,
    between: Sequence[str] = (),
    documents: str = DOCUMENT,
    ink: Ink = "instances",
    config: ComparisonConfig | None = None,
    overwrite: bool = False,
) -> ComparedRun:
    """Differences, spreads, graphs, outliers, a tree and an order in time of groups of documents.

    run: folder of a typewriter whose instances were gathered (`adapt`). groups: the column that
    the groups are values of. between: the groups to hold against each other, all where they are
    few. documents: the column of what varies independently. ink: "instances": documents are the
    means of their aligned instances; "prototypes": as `adapt` made them by the column `documents`,
    which if they lean on their groups makes groups look more different than they are (how sure
    branches of the tree are is told from instances all the same).

    Writes RUN/comparison/GROUPS: tables as Parquet and CSV, tensors, figures.

    Raises:
        ConfigError: no such run, instances, prototypes, column or group.
    """
    folder, config = Path(run), config or ComparisonConfig()
    _require_gathered(folder, groups, ink)
    asked = {"groups": groups, "between": list(between), "documents": documents, "ink": ink}
    place = f"{COMPARISON}/{safe_name(groups)}"
    with Run.reopen(folder) as own:
        if overwrite:
            own.manifest["stages"].pop(place, None)
        made = [name for name in own.manifest["stages"]
                if name.startswith(f"{PROTOTYPES}/") and own.finished(name)]  # fmt: skip
        causes: dict[str, Any] = {
            **asked, "config": settings.as_values(config),
            **{name: own.output_digest(name) for name in (INSTANCES, *sorted(made))},
        }  # fmt: skip

        def compute() -> None:
            prototypes = _prototypes(folder, made, documents)
            with one_thread():
                found = compare_groups(
                    Instances.load(folder / INSTANCES), groups, prototypes=prototypes,
                    between=between, documents=documents, ink=ink, config=config,
                )  # fmt: skip
                found.save(folder / place)
                write_comparison_sheets(found, folder / place / FIGURES)

        own.stage(Stage(name=place, causes=causes, outputs=(place,)), compute)
    return ComparedRun(folder, groups)


def compare_groups(
    instances: Instances,
    groups: str,
    *,
    prototypes: Prototypes | None = None,
    between: Sequence[str] = (),
    documents: str = DOCUMENT,
    ink: Ink = "instances",
    config: ComparisonConfig | None = None,
) -> Comparison:
    """`compare` of what is in memory.

    prototypes: by documents, or of any other grouping: then only the model's own sprites are used.
    """
    config = config or ComparisonConfig()
    units = Units.of(instances, groups, documents)
    names = tuple(sorted(set(units.group) - {""}))
    pairs = _pairs(names, between, groups)
    of_documents = prototypes if prototypes and prototypes.by == documents else None
    if ink == "prototypes" and of_documents is None:
        raise ConfigError(
            f"ink='prototypes': there are none by {documents}; run `typika typewriter adapt RUN "
            f"--by {documents}` first"
        )
    near = units_of.masks(instances, prototypes.reference if prototypes else None)
    means, drawn = _means(instances, units, near, of_documents, config)
    if ink == "prototypes" and of_documents is not None:
        means = [units_of.of_prototypes(of_documents, units.names, k, near[k])
                 for k in range(len(near))]  # fmt: skip
    found = apart(means)
    dated = next((name for name in DATES if name in instances.table.column_names), None)
    return Comparison(
        by=groups, documents_by=documents,
        ink=of_documents.method if ink == "prototypes" and of_documents else "mean",
        differences=tuple(differences(instances, units, means, one, other, config)
                          for one, other in pairs),
        graphs=tuple(graphs(units, means, one, other) for one, other in pairs),
        spread=spread(units, means, names, config),
        outliers=outliers(units, means),
        tree=tree(units, found, drawn, config),
        seriation=seriation(units, means, found, units.values(instances, dated), config)
        if dated else None,
    )  # fmt: skip


def _require_gathered(folder: Path, groups: str, ink: str) -> None:
    """Raises ConfigError unless there is a run whose instances are there."""
    if ink not in ("instances", "prototypes"):
        raise ConfigError(f"ink={ink!r}: expected instances or prototypes")
    if not Run.read(folder).finished(INSTANCES):
        raise ConfigError(
            f"{folder}: its instances are not gathered; run `typika typewriter adapt {folder} "
            f"--by {groups}` first"
        )


def _means(
    instances: Instances,
    units: Units,
    near: Float[ndarray, "K h w"],
    prototypes: Prototypes | None,
    config: ComparisonConfig,
) -> tuple[list[Means], Float[ndarray, "s K D D"]]:
    """Every letter in every document, and how its documents' distances vary when resampled."""
    means: list[Means] = []
    failed = np.zeros((len(near), len(units.names)), bool)
    if prototypes is not None:
        flags = dict(zip(prototypes.groups, prototypes.flag, strict=True))
        failed = np.array([[name in flags and flags[name][k] == FAILED for name in units.names]
                           for k in range(len(near))])  # fmt: skip

    def letters() -> Iterator[tuple[Sample, Means]]:
        with task("compare letters", len(near)) as advance:
            for k, (found, own) in enumerate(
                units_of.all_means(instances, units, near, config.least)
            ):
                means.append(replace(own, known=own.known & ~failed[k]))
                yield found, means[-1]
                advance(1)

    drawn = resample_all(letters(), replace(config, draws=min(config.draws, MOST_TREES)))
    return means, drawn


def _pairs(
    names: Sequence[str], between: Sequence[str], groups: str
) -> tuple[tuple[str, str], ...]:
    unknown = [name for name in between if name not in names]
    if unknown:
        raise ConfigError(f"{unknown[0]!r}: no such {groups}; there are {', '.join(names)}")
    if len(between) == 1:
        raise ConfigError(f"between={between[0]!r}: name another {groups} to hold it against")
    if not between and len(names) > MOST_GROUPS:
        say(f"{len(names)} groups by {groups}: name those to hold against each other with "
            "--between; here they are only placed among each other")  # fmt: skip
        return ()
    return tuple(combinations(sorted(set(between)) if between else names, 2))


def _prototypes(folder: Path, made: Sequence[str], documents: str) -> Prototypes | None:
    """Those by documents, else any."""
    first = f"{PROTOTYPES}/{safe_name(documents)}"
    chosen = first if first in made else next(iter(sorted(made)), None)
    return Prototypes.load(folder / chosen) if chosen else None
