"""A finished typewriter -> the forms of its letters, and the proportions of its groups' scripts.

`allographs()` writes RUN/allographs, `measure()` RUN/measures/COLUMN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray
from safetensors.numpy import load_file, save

from typika import config as settings
from typika.adaptations import gathered
from typika.collection.lines import DOCUMENT
from typika.console import say
from typika.errors import ConfigError
from typika.files import safe_name, whole_folder
from typika.palaeography.allograph_tables import by_document, by_position
from typika.palaeography.allographs import (
    AllographConfig,
    Forms,
    find_allographs,
    forms_table,
    instances_table,
)
from typika.palaeography.instances import letters_of
from typika.palaeography.metrology import MetrologyConfig, measures
from typika.palaeography.records import ALLOGRAPHS, INSTANCES, MEASURES, Instances
from typika.parallel import one_thread
from typika.report.allograph_sheet import allograph_sheet
from typika.run import Stage
from typika.tables import read_parquet, write_table
from typika.typewriter.stages import CHARACTERS
from typika.typewriting_report import Finished, reopened

FORMS, OF_INSTANCES, POSITIONS, GROUPS = "forms", "instances", "positions", "groups"
TENSORS, SHEET = "prototypes.safetensors", "sheet.png"


@dataclass(frozen=True, kw_only=True)
class LetterformsConfig:
    """How forms are found and proportions measured."""

    allographs: AllographConfig = field(default_factory=AllographConfig)
    measures: MetrologyConfig = field(default_factory=MetrologyConfig)


@dataclass(frozen=True)
class AllographRun:
    """The forms of the letters of a run."""

    folder: Path

    @cached_property
    def forms(self) -> pa.Table:
        """A row a form: count, share, and what speaks for its letter's division."""
        return read_parquet(self._path(FORMS))

    @cached_property
    def instances(self) -> pa.Table:
        """A row an instance: its place in `Instances`, its line, which form it is of."""
        return read_parquet(self._path(OF_INSTANCES))

    @cached_property
    def positions(self) -> pa.Table:
        """A row a letter, form and place in the word, with a test of whether they depend."""
        return read_parquet(self._path(POSITIONS))

    @cached_property
    def groups(self) -> pa.Table | None:
        """A row a letter, form and group; None where lines have no such column."""
        path = self._path(GROUPS)
        return read_parquet(path) if path.exists() else None

    @cached_property
    def prototypes(self) -> dict[str, Float[ndarray, "f h w"]]:
        """The mean of each form of every letter, ink in [0, 1], as `split_sprites` takes them."""
        stored = load_file(self.folder / ALLOGRAPHS / TENSORS)
        names = list(dict.fromkeys(self.forms["character"].to_pylist()))
        return {name: stored[str(number)] for number, name in enumerate(names)}

    @property
    def sheet(self) -> Path:
        """A picture: each form's mean and instances of it."""
        return self.folder / ALLOGRAPHS / SHEET

    def _path(self, name: str) -> Path:
        return self.folder / ALLOGRAPHS / f"{name}.parquet"


def allographs(
    run: str | Path,
    letters: Sequence[str] | None = None,
    n_forms: int | None = None,
    *,
    by: str | None = None,
    config: LetterformsConfig | None = None,
) -> AllographRun:
    """Find the forms of letters, or divide letters into a number of forms.

    run: folder that `typewriter.fit` made. letters: characters; all by default. n_forms: how many
    forms each is divided into; by default as many as are found. by: column that forms are counted
    by, `document` by default where there is one; within its groups the place in the word is
    tested.

    Raises:
        ConfigError: no finished run, no such letter or column, or a number that cannot be.
    """
    chosen = (config or LetterformsConfig()).allographs
    with reopened(Path(run)) as finished:
        _require_letters(finished, letters)
        opened, instances = finished.run, gathered(finished, by)
        if by is None and DOCUMENT in instances.table.column_names:
            by = DOCUMENT
        causes = {
            INSTANCES: opened.output_digest(INSTANCES), "letters": letters and sorted(letters),
            "n_forms": n_forms, "by": by, "config": settings.as_values(chosen),
        }  # fmt: skip

        def compute() -> None:
            with one_thread():
                found = find_allographs(instances, chosen, letters=letters, n_forms=n_forms)
                _write_allographs(found, instances, by, chosen, opened.path(ALLOGRAPHS))

        opened.stage(Stage(name=ALLOGRAPHS, causes=causes, outputs=(ALLOGRAPHS,)), compute)
    return AllographRun(Path(run))


def _require_letters(finished: Finished, letters: Sequence[str] | None) -> None:
    """Raises ConfigError for a letter that the model has no sprite for."""
    known = dict.fromkeys(letter.character for letter in letters_of(finished.trained))
    for letter in letters or ():
        if letter not in known:
            raise ConfigError(
                f"letter {letter!r}: the model does not know it; there are {' '.join(known)}"
            )


def measure(
    run: str | Path, by: str = DOCUMENT, *, config: LetterformsConfig | None = None
) -> pa.Table:
    """Proportions of the letters and lines of each group: `metrology.MEASURE_FIELDS`.

    run: folder that `typewriter.fit` made. by: column of its lines.

    Raises:
        ConfigError: no finished run, or no such column.
    """
    chosen = (config or LetterformsConfig()).measures
    name = f"{MEASURES}/{safe_name(by)}"
    with reopened(Path(run)) as finished:
        opened, instances = finished.run, gathered(finished, by)
        instances.groups(by)  # there is such a column
        causes = {
            INSTANCES: opened.output_digest(INSTANCES), "align": opened.output_digest("align"),
            "by": by, "config": settings.as_values(chosen),
        }  # fmt: skip

        def compute() -> None:
            with one_thread():
                characters = read_parquet(opened.path(CHARACTERS))
                table = measures(characters, instances, by, chosen)
            with whole_folder(opened.path(name)) as temporary:
                _write_table(table, temporary, MEASURES)

        opened.stage(Stage(name=name, causes=causes, outputs=(name,)), compute)
        return read_parquet(opened.path(name, f"{MEASURES}.parquet"))


def _write_allographs(
    found: Sequence[Forms],
    instances: Instances,
    by: str | None,
    config: AllographConfig,
    folder: Path,
) -> None:
    several = [one for one in found if len(one.prototypes) > 1]
    group = np.zeros(len(instances.letter), np.int64) if by is None else instances.groups(by)[1]
    with whole_folder(folder) as temporary:
        _write_table(forms_table(found), temporary, FORMS)
        _write_table(instances_table(found, instances), temporary, OF_INSTANCES)
        table = by_position(several, instances, group, seed=config.seed)
        _write_table(table, temporary, POSITIONS)
        if by is not None:
            _write_table(by_document(several, instances, by), temporary, GROUPS)
        # By number: a tensor's name cannot be any character.
        means = {str(n): np.ascontiguousarray(one.prototypes) for n, one in enumerate(found)}
        (temporary / TENSORS).write_bytes(save(means))
        (temporary / SHEET).write_bytes(allograph_sheet(several or found, instances))
    say(f"allographs: {len(several)} of {len(found)} letters have several forms")


def _write_table(table: pa.Table, folder: Path, name: str) -> None:
    write_table(table, folder / f"{name}.parquet")
