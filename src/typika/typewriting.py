"""Lines -> a typewriter, what it reads, and how well: fit(), transcribe(), evaluate()."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from typika import config as settings
from typika import ranks, typewriting_report
from typika.atlas import atlas, has_prototypes
from typika.collection.lines import LineCollection, reasons
from typika.console import say
from typika.errors import ConfigError, DataError
from typika.files import safe_name, write_text
from typika.run import Run
from typika.tables import read_parquet, write_csv
from typika.text_evaluation import Confusion, ErrorRate, confusions, error_rate
from typika.typewriter import stages
from typika.typewriter.discovery import assign_signs, numbered
from typika.typewriter.exemplars import read_exemplars, similarity
from typika.typewriter.published_config import PUBLISHED, PublishedRun
from typika.typewriter.stages import TextConfig, TypewriterConfig, Typing
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

    @property
    def report(self) -> Path:
        """The report, one self-contained HTML file."""
        return self.folder / typewriting_report.REPORT


PRESETS: Mapping[str, PublishedRun] = {
    "paper": PUBLISHED["google"],
    "paper-copiale": PUBLISHED["copiale"],
    "paper-fontenay": PUBLISHED["fontenay"],
    "paper-textualis": PUBLISHED["textualis"],
}


def configure(*sources: Mapping[str, Any], preset: str | None = None) -> TypewriterConfig:
    """The configuration of nested settings, later ones winning, above a preset.

    preset: "paper": the model and the training of Siglidis et al. 2024 on printed books;
    "paper-copiale", "paper-fontenay", "paper-textualis": on their manuscripts.

    Raises:
        ConfigError: a preset or a setting that is not known, or a value that cannot be.
    """
    if preset is None:
        return settings.build(TypewriterConfig, *sources)
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r}: expected one of {', '.join(PRESETS)}")
    return settings.build(TypewriterConfig, PRESETS[preset].values, *sources)


def fit(
    lines: str | Path,
    out: str | Path | None = None,
    *,
    config: TypewriterConfig | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> TypewriterRun:
    """Learn the characters of text lines as sprites that redraw them, and write a report.

    lines: a folder of lines as `LineCollection.open` reads it. out: run folder, `runs/NAME` by
    default; an unfinished run goes on where it stopped. device: "auto", "cpu", "cuda", "cuda:1"
    or "mps". Under `torchrun` every process shows its part of each batch.

    Raises:
        ConfigError: the run folder was made with another configuration, or there is no such
            device.
        DataError: the lines cannot be used.
    """
    config = config or TypewriterConfig()
    source = Path(lines)
    folder = Path(out) if out else default_folder(source)
    collection = open_lines(source, config.text)
    facts = {"source": str(source.resolve())}
    with Run.create(folder, config, facts=facts, overwrite=overwrite) as run:
        typing = Typing(run, collection, config, device)
        typing.advance()
        typewriting_report.write_report(typing)
    ranks.leave()
    return TypewriterRun(folder)


def plan(lines: str | Path, config: TypewriterConfig) -> list[str]:
    """What `fit` would learn from, and for how long."""
    collection = open_lines(Path(lines), config.text)
    transcribed = [line for line in collection if line.text]
    symbols = len(collection.alphabet.symbols)
    return [
        f"lines: {len(collection)}, {len(transcribed)} of them transcribed, "
        f"{len(collection.skipped)} left out",
        f"symbols: {symbols}",
        f"training steps: {config.training.n_steps(len(collection))}",
        *(f"left out: {example}" for example in reasons(collection.skipped)),
        *collection.notes,
        *collection.alphabet.notes,
    ]


def transcribe(
    run: str | Path,
    lines: str | Path,
    out: str | Path | None = None,
    *,
    device: str = "auto",
    overwrite: bool = False,
) -> TypewriterRun:
    """Read further lines with a typewriter: texts, character boxes and confidences.

    run: folder that `fit` made. lines: as for `fit`; where they are transcribed, their characters
    are aligned with the transcription. out: `RUN/read/NAME` by default. device: as for `fit`.

    Raises:
        ConfigError: no run, or `out` was made with another typewriter.
        DataError: the lines cannot be used.
    """
    fitted = TypewriterRun(Path(run))
    return _read(fitted, Path(lines), Path(out) if out else None, device, overwrite)


@dataclass(frozen=True)
class TypewriterEvaluation:
    """How well a typewriter reads and redraws lines.

    error: of characters, spaces apart, as published; with_spaces: counting them. confusions:
    the most frequent first. reconstruction: mean over lines of the mean squared error of colours
    in [0, 1] over the pixels that count ("Rec." of the chapter).
    """

    folder: Path
    lines: int
    error: ErrorRate
    with_spaces: ErrorRate
    confusions: tuple[Confusion, ...]
    reconstruction: float

    @property
    def summary(self) -> list[str]:
        """What a person wants to know first."""
        often = ", ".join(f"{one.reference or 'nothing'} as {one.read or 'nothing'} ({one.count})"
                          for one in self.confusions[:5])  # fmt: skip
        return [
            f"lines: {self.lines}",
            f"character error: {100 * self.error.micro:.2f} % of all characters, "
            f"{100 * self.error.macro:.2f} % in the mean of lines, spaces apart",
            f"character error with spaces: {100 * self.with_spaces.micro:.2f} %, "
            f"{100 * self.with_spaces.macro:.2f} %",
            f"most often read wrong: {often or 'nothing'}",
            f"reconstruction: mean squared error {self.reconstruction:.4f}",
        ]


def evaluate(
    run: str | Path,
    lines: str | Path,
    out: str | Path | None = None,
    *,
    device: str = "auto",
    overwrite: bool = False,
) -> TypewriterEvaluation:
    """Read transcribed lines and compare; writes evaluation.json and confusions.csv.

    Arguments and errors as for `transcribe`.

    Of a run without transcriptions, a tenth of the lines (at least ten) tells what its signs read
    as, and the others are compared.

    Raises:
        DataError: no line is transcribed, or too few are.
    """
    fitted = TypewriterRun(Path(run))
    reading = _read(fitted, Path(lines), Path(out) if out else None, device, overwrite)
    rows = [row for row in reading.readings.to_pylist() if row["text"]]
    if not rows:
        raise DataError(f"{lines}: no line is transcribed, so there is nothing to compare with")
    texts, read = [row["text"] for row in rows], [row["read"] for row in rows]
    if fitted.trained.signs:
        texts, read = _assigned(fitted.trained, texts, read)
    different = [one for one in confusions(texts, read) if one.reference != one.read]
    result = TypewriterEvaluation(
        folder=reading.folder,
        lines=len(texts),
        error=error_rate(texts, read),
        with_spaces=error_rate(texts, read, spaces=True),
        confusions=tuple(different),
        reconstruction=sum(row["reconstruction"] for row in rows) / len(rows),
    )
    if ranks.world().leads:
        _write_evaluation(result)
    return result


def similarities(run: str | Path, exemplars: str | Path) -> dict[str, float]:
    """Structural similarity of each sprite to a reader's own image of its letter (Fig. 3.5).

    exemplars: folder of images called by their character. Of several sprites of a letter the
    most similar counts. Writes similarities.csv into the run; letters without a sprite or an image
    are left out.

    Raises:
        DataError: no images, or none of a letter that the typewriter types.
    """
    folder = Path(run)
    trained = TypewriterRun(folder).trained
    letters = read_exemplars(Path(exemplars))
    sprites = trained.model.letters.numpy()
    found = {
        symbol: max(similarity(sprite, letters[symbol]) for sprite in sprites[number])
        for number, symbol in enumerate(trained.alphabet.symbols)
        if symbol in letters
    }
    if not found:
        raise DataError(
            f"{exemplars}: images of {', '.join(sorted(letters))}, none of which the typewriter "
            "types"
        )
    rows = pa.table({"character": list(found), "similarity": list(found.values())})
    write_csv(rows, folder / "similarities.csv")
    return found


def report(run: str | Path) -> Path:
    """Write the report of a finished run again, and say where it is.

    Where letters were adapted, the atlas is written too; the report links to it.

    Raises:
        ConfigError: no run is there, or one that is not finished.
    """
    path = typewriting_report.report(run)
    if has_prototypes(Path(run)):
        say(f"atlas: {atlas(run)}")
    return path


def default_folder(source: Path) -> Path:
    """The run folder where none is named."""
    return Path("runs") / (source.resolve().name or "lines")


def _assigned(trained: Trained, texts: list[str], read: list[str]) -> tuple[list[str], list[str]]:
    """Lines that did not teach what signs read as: their texts, and their signs read so."""
    symbols = trained.alphabet.symbols
    taught, assignment = assign_signs(symbols, read, texts)
    if len(taught) == len(texts):
        raise DataError(
            f"{len(texts)} transcribed lines tell what signs read as and none is left; pass more"
        )
    say(
        f"what signs read as: learned from {len(taught)} of {len(texts)} lines, which do not count"
    )
    others = [n for n in range(len(texts)) if n not in set(taught)]
    numbers = numbered(symbols, read)
    return [texts[n] for n in others], [assignment.transcribe(numbers[n]) for n in others]


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """What decides a reading of lines: the typewriter, and how texts are spelt."""

    typewriter: str  # digest
    text: TextConfig


def _read(
    fitted: TypewriterRun, lines: Path, out: Path | None, device: str, overwrite: bool
) -> TypewriterRun:
    trained = fitted.trained
    recorded = Run.read(fitted.folder).manifest["config"]
    fit_config = settings.build(TypewriterConfig, recorded)
    # A table of columns belongs to the lines that it was written for.
    text = replace(fit_config.text, metadata=None)
    config = ReadConfig(typewriter=trained.digest, text=text)
    folder = out or fitted.folder / "read" / safe_name(lines.resolve().name or "lines")
    collection = open_lines(lines, text)
    facts = {"source": str(lines.resolve())}
    with Run.create(folder, config, facts=facts, overwrite=overwrite) as run:
        stages.take_in(run, collection, trained.model.height)
        stages.read(run, collection, trained, device=device)
    ranks.leave()
    return TypewriterRun(folder)


def _write_evaluation(result: TypewriterEvaluation) -> None:
    values = {"lines": result.lines, "reconstruction": result.reconstruction,
              "without_spaces": asdict(result.error),
              "with_spaces": asdict(result.with_spaces)}  # fmt: skip
    write_text(result.folder / "evaluation.json", json.dumps(values, indent=2) + "\n")
    columns = {
        "character": [one.reference or "" for one in result.confusions],
        "read_as": [one.read or "" for one in result.confusions],
        "count": [one.count for one in result.confusions],
    }
    write_csv(pa.table(columns), result.folder / "confusions.csv")


def open_lines(source: Path, text: TextConfig) -> LineCollection:
    """The lines as the settings want them spelt."""
    return LineCollection.open(
        source,
        metadata=Path(text.metadata) if text.metadata else None,
        normalisation=text.normalisation,
        replacements=Path(text.replacements) if text.replacements else None,
    )
