"""Lines -> a typewriter, what it reads, how well, and a report: fit(), transcribe(), evaluate()."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from typika import config as settings
from typika import ranks
from typika.collection.lines import LineCollection
from typika.run import Run
from typika.tables import read_parquet
from typika.typewriter import stages
from typika.typewriter.stages import TypewriterConfig, Typing
from typika.typewriter.store import Trained, load_typewriter


@dataclass(frozen=True)
class TypewriterRun:
    """A run folder and what is in it."""

    folder: Path

    @cached_property
    def trained(self) -> Trained:
        """The model and the symbols it types."""
        return load_typewriter(self.folder / stages.MODEL)

    @cached_property
    def lines(self) -> pa.Table:
        """One row per line, with the columns that the collection gave it."""
        return read_parquet(self.folder / stages.LINES)

    @cached_property
    def readings(self) -> pa.Table:
        """One row per line: its transcription, what is read, and how well it is drawn."""
        return read_parquet(self.folder / stages.READINGS)

    @cached_property
    def characters(self) -> pa.Table:
        """One row per character, with its box on the line and on the image."""
        return read_parquet(self.folder / stages.CHARACTERS)


def configure(*sources: Mapping[str, Any]) -> TypewriterConfig:
    """The configuration of nested settings, later ones winning.

    Raises:
        ConfigError: a setting that is not known, or a value that cannot be.
    """
    return settings.build(TypewriterConfig, *sources)


def fit(
    lines: str | Path,
    out: str | Path | None = None,
    *,
    config: TypewriterConfig | None = None,
    overwrite: bool = False,
) -> TypewriterRun:
    """Learn the characters of text lines as sprites that redraw them, and write a report.

    lines: a folder of lines as `LineCollection.open` reads it. out: run folder, `runs/NAME` by
    default; an unfinished run goes on where it stopped.

    Raises:
        ConfigError: the run folder was made with another configuration.
        DataError: the lines cannot be used.
    """
    config = config or TypewriterConfig()
    source = Path(lines)
    folder = Path(out) if out else Path("runs") / source.resolve().name
    collection = open_lines(source, config)
    facts = {"source": str(source.resolve())}
    with Run.create(folder, config, facts=facts, overwrite=overwrite) as run:
        Typing(run, collection, config).advance()
    ranks.leave()
    return TypewriterRun(folder)


def open_lines(source: Path, config: TypewriterConfig) -> LineCollection:
    """The lines as the settings want them spelt."""
    text = config.text
    return LineCollection.open(
        source,
        metadata=Path(text.metadata) if text.metadata else None,
        normalisation=text.normalisation,  # type: ignore[arg-type]
        replacements=Path(text.replacements) if text.replacements else None,
    )
