"""From lines to a typewriter and its alignments: what each stage reads and writes.

collect   the folder of lines            -> lines.parquet, alphabet.csv, skipped.csv
prepare   lines                          -> lines/
place     lines                          -> places.parquet
discover  lines/, where no line is transcribed -> signs.safetensors
train     lines/, transcriptions         -> model/, metrics.jsonl
align     model/, lines/                 -> readings.parquet, characters.parquet|csv
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from typika import config as settings
from typika import ranks
from typika.collection.lines import Frame, LineCollection, TextLine
from typika.collection.places import places_of, places_table
from typika.console import say, task, warn
from typika.devices import named_device
from typika.files import text_digest, write_text
from typika.parallel import one_thread
from typika.run import Run, Stage
from typika.tables import write_csv, write_parquet, write_table
from typika.text_evaluation import error_rate
from typika.typewriter.alphabet import Alphabet, name_characters, order_shown
from typika.typewriter.batches import Line
from typika.typewriter.decoding import Alignment, align
from typika.typewriter.discovery import discover, load_signs, save_signs
from typika.typewriter.image_decoding import DecodingConfig
from typika.typewriter.kinds import kind_of
from typika.typewriter.learner import LearningConfig
from typika.typewriter.model import ModelConfig
from typika.typewriter.prepared import (
    Prepared,
    infeasible,
    prepare,
    transcriptions,
)
from typika.typewriter.published_config import PublishedConfig
from typika.typewriter.redraws import Redraws
from typika.typewriter.sprite_search import Round, SearchConfig
from typika.typewriter.store import Trained, load_typewriter, save_typewriter
from typika.typewriter.training import Checkpoints, TrainingConfig, split, train

LINES, ALPHABET, SKIPPED = "lines.parquet", "alphabet.csv", "skipped.csv"
PLACES = "places.parquet"
PREPARED, MODEL, CHECKPOINTS, METRICS = "lines", "model", "checkpoints", "metrics.jsonl"
SIGNS = "signs.safetensors"
READINGS, CHARACTERS = "readings.parquet", "characters.parquet"
OWN_COLUMNS = ("line_id", "file_name", "text", "width")
VALIDATES, LEARNS, TESTS = "val", "train", "test"  # splits, as published
CORNERS = ((0, 1), (2, 1), (2, 3), (0, 3))  # of a box: top left, top right, bottom right, left


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """How transcriptions are spelt, and which lines are used.

    normalisation: Unicode form, "NFC", "NFD" or "none". replacements: file of a replacement
    table. metadata: table of further columns. spaces: whether word spaces are typed.
    """

    normalisation: Literal["NFC", "NFD", "none"] = "NFC"
    replacements: str | None = None
    metadata: str | None = None
    spaces: bool = True


@dataclass(frozen=True, kw_only=True)
class TypewriterConfig:
    """Everything that decides a typewriter.

    learning: of the default model; the published one has what it is learned by among its own
    settings.
    """

    seed: int = 0
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig | PublishedConfig = field(default_factory=ModelConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)


@dataclass(frozen=True)
class Typing:
    """A run under way: the folder, the lines, the settings, and where it is computed."""

    run: Run
    collection: LineCollection
    config: TypewriterConfig
    device: str = "auto"

    @cached_property
    def transcribed(self) -> bool:
        """Whether some line to learn from is transcribed."""
        return any(line.text for line in self.collection if not _apart(line))

    @cached_property
    def texts(self) -> dict[str, str | None]:
        """What each line is taken to say, by its id: its transcription, or the signs found."""
        if self.transcribed:
            return transcriptions(self.collection.lines)
        return dict(load_signs(self.run.path(SIGNS)).read(self._bare))

    @cached_property
    def _bare(self) -> list[Line]:
        return Prepared.open(self.run.path(PREPARED)).lines({}, None)

    @cached_property
    def alphabet(self) -> Alphabet:
        """The symbols of the lines that are learned from."""
        apart = {line.line_id for line in self.collection if _apart(line)}
        texts = [text for name, text in self.texts.items() if text and name not in apart]
        return Alphabet.of(texts, spaces=self.transcribed and self.config.text.spaces)

    @cached_property
    def lines(self) -> list[Line]:
        """The lines with pixels and symbols."""
        return Prepared.open(self.run.path(PREPARED)).lines(self.texts, self.alphabet)

    @cached_property
    def model(self) -> Redraws:
        """The model before it learns, its stride chosen where that was left open."""
        model = self.config.model
        widths = [self.collection.width(line, model.height) for line in self.collection]
        texts = [self.texts.get(line.line_id) for line in self.collection]
        kind = kind_of(model)
        return kind.build(
            kind.shaped(model, widths, texts, self.alphabet), self.alphabet, self.config.seed
        )

    def advance(self) -> None:
        """The stages in order, each skipped where its causes have not changed."""
        values = settings.as_values(self.config)
        take_in(self.run, self.collection, self.config.model.height)
        causes = {name: values[name] for name in ("seed", "text", "model", "learning", "training")}
        causes["collect"] = self.run.output_digest("collect")
        if not self.transcribed:
            causes["signs"] = self._discover()
        stage = Stage(name="train", causes=causes, outputs=(MODEL, CHECKPOINTS, METRICS),
                      shared=True)  # fmt: skip
        self.run.stage(stage, self._train)
        trained = load_typewriter(self.run.path(MODEL))
        read(self.run, self.collection, trained, "train", device=self.device)

    def _discover(self) -> str:
        """The stage `discover`; the digest of what it found."""
        config = self.config

        def compute() -> None:
            say("no line is transcribed: looking for the signs that they are written in")
            with one_thread():
                found = discover(
                    self._bare, config.search, config.decoding, seed=config.seed, tell=_say_round
                )
            save_signs(found, self.run.path(SIGNS))

        causes = {
            "prepare": self.run.output_digest("prepare"),
            "seed": config.seed,
            "search": settings.as_values(config.search),
            "decoding": settings.as_values(config.decoding),
        }
        self.run.stage(Stage(name="discover", causes=causes, outputs=(SIGNS,)), compute)
        return self.run.output_digest("discover")

    def _train(self) -> None:
        config, model = self.config.training, self.model
        kind = kind_of(self.config.model)
        learned, held_out = self.parts()
        _warn_of_infeasible(self.lines, model.stride)
        _warn_of_unknown(self.texts, self.alphabet)
        learner = kind.teach(model.to(named_device(self.device)), self.config.learning)
        n_steps = config.n_steps(len(learned))
        with one_thread(), task("train", n_steps) as advance:
            progress = train(
                learner, learned, held_out, self.alphabet, config, seed=self.config.seed,
                checkpoints=Checkpoints(self.run.path(CHECKPOINTS)), advance=advance,
                report=lambda row: _say_progress(row, kind.loss),
            )  # fmt: skip
            if not ranks.world().leads:
                return
            kind.finish(model, learned)
        rows = [json.dumps(row) for row in progress.rows]
        write_text(self.run.path(METRICS), "\n".join(rows) + "\n")
        signs = None if self.transcribed else load_signs(self.run.path(SIGNS))
        trained = Trained(model, self.alphabet, self.config.text.normalisation, signs)
        save_typewriter(trained, self.run.path(MODEL))

    def parts(self) -> tuple[list[Line], list[Line]]:
        """Lines to learn from, transcribed or not, and lines that validate; no line that tests."""
        splits = {line.line_id: line.columns.get("split", "") for line in self.collection}
        return parts_of(self.lines, splits, self.model.stride, self.config)


def take_in(run: Run, collection: LineCollection, height: int) -> None:
    """The stages `collect`, `prepare` and `place`."""
    causes: dict[str, Any] = {"collection": collection.digest}
    causes["skipped"] = [str(one) for one in collection.skipped]
    stage = Stage(name="collect", causes=causes, outputs=(LINES, ALPHABET, SKIPPED))
    run.stage(stage, lambda: _collect(run, collection, height))

    def compute() -> None:
        with task("prepare lines", len(collection)) as advance:
            prepare(collection, height, run.path(PREPARED), advance)

    causes = {"collection": collection.digest, "height": height}
    run.stage(Stage(name="prepare", causes=causes, outputs=(PREPARED,)), compute)
    places = places_of(collection)
    # No cause of any other stage: it lets exports do without the lines' own folder.
    stage = Stage(name="place", causes={"places": text_digest(repr(places))}, outputs=(PLACES,))
    run.stage(stage, lambda: write_parquet(places_table(places), run.path(PLACES)))


def read(
    run: Run, collection: LineCollection, trained: Trained, *after: str, device: str = "auto"
) -> None:
    """The stage `align`: read the lines, and align those whose transcription is known."""
    trained.model.to(named_device(device))

    def compute() -> None:
        prepared = Prepared.open(run.path(PREPARED))
        with one_thread(), task("align", len(collection)) as advance:
            texts = transcriptions(collection.lines)
            signs = trained.signs.read(prepared.lines({}, None)) if trained.signs else None
            lines = prepared.lines(signs or texts, trained.alphabet)
            write_alignments(trained, lines, texts, signs, collection, run, advance)

    causes = {name: run.output_digest(name) for name in ("collect", "prepare", *after)}
    causes["model"] = trained.digest
    outputs = (READINGS, CHARACTERS, "characters.csv")
    run.stage(Stage(name="align", causes=causes, outputs=outputs), compute)


def _collect(run: Run, collection: LineCollection, height: int) -> None:
    for note in (*collection.notes, *collection.alphabet.notes):
        warn(note)
    table = {
        "line_id": [line.line_id for line in collection],
        "file_name": [line.file_name for line in collection],
        "text": pa.array([line.text for line in collection], pa.string()),
        "width": pa.array([collection.width(line, height) for line in collection], pa.int32()),
        **{name: [line.columns[name] for line in collection]
           for name in collection.columns if name not in OWN_COLUMNS},
    }  # fmt: skip
    write_parquet(pa.table(table), run.path(LINES))
    symbols = collection.alphabet.symbols
    alphabet = {name: [getattr(symbol, name) for symbol in symbols]
                for name in ("character", "count", "name", "script")}  # fmt: skip
    write_csv(pa.table(alphabet), run.path(ALPHABET))
    skipped = {name: [getattr(one, name) for one in collection.skipped]
               for name in ("file_name", "reason")}  # fmt: skip
    write_csv(pa.table(skipped), run.path(SKIPPED))
    if collection.skipped:
        warn(f"{len(collection.skipped)} lines or files left out; see {run.path(SKIPPED)}")


def parts_of(
    lines: Sequence[Line], splits: Mapping[str, str], stride: int, config: TypewriterConfig
) -> tuple[list[Line], list[Line]]:
    """Lines to learn from and lines that validate; lines to test with are in neither.

    splits: the column `split` by line, empty where there is none. stride: of the model, pixels.
    """
    usable = [line for line in lines if splits[line.line_id] != TESTS]
    unfit = {line.line_id for line in infeasible(usable, stride)}
    usable = [line for line in usable if line.line_id not in unfit]
    marked = [splits[line.line_id] == VALIDATES for line in usable]
    return split(usable, marked, config.training, config.seed)


def write_alignments(
    trained: Trained,
    lines: Sequence[Line],
    texts: Mapping[str, str | None],
    signs: Mapping[str, str] | None,
    collection: LineCollection,
    run: Run,
    advance: Any,
) -> None:
    """Align or read every line, and write a row a line and a row a character.

    texts: what lines are known to say. signs: what they are read as, where signs are.
    """
    readings: list[dict[str, Any]] = []
    characters: list[dict[str, Any]] = []
    by_id = {line.line_id: line for line in collection}
    for aligned in align(trained.model, lines, trained.alphabet):
        read = signs[aligned.line_id] if signs else aligned.read
        readings.append(_reading_row(aligned, texts.get(aligned.line_id), read, trained))
        source = by_id[aligned.line_id]
        frame = collection.frame(source, trained.model.height)
        characters += _character_rows(aligned, frame, trained.alphabet)
        advance(1)
    write_parquet(pa.Table.from_pylist(readings, READING_SCHEMA), run.path(READINGS))
    table = pa.Table.from_pylist(characters, CHARACTER_SCHEMA)
    write_table(table, run.path(CHARACTERS))


READING_SCHEMA = pa.schema([
    ("line_id", pa.string()),
    ("text", pa.string()),  # the transcription, null where there is none
    ("read", pa.string()),  # what the model reads
    ("aligned", pa.bool_()),  # whether `characters` are of the transcription, else of `read`
    ("character_error", pa.float64()),  # of `read`, spaces apart; null without transcription
    ("log_likelihood", pa.float64()),  # of the path, per cell
    ("residual", pa.float64()),  # mean square of ink minus drawing, ink in [0, 1]
    ("reconstruction", pa.float64()),  # ... of colours, RGB in [0, 1]
])  # fmt: skip
CHARACTER_SCHEMA = pa.schema([
    ("line_id", pa.string()),
    ("place", pa.int32()),  # in reading order, spaces counted
    ("character", pa.string()),
    ("sprite", pa.int32()),  # which of the character's forms
    ("cell", pa.int32()),
    ("left", pa.float64()),  # the box of the ink, pixels of the line at the model's height
    ("top", pa.float64()),
    ("right", pa.float64()),
    ("bottom", pa.float64()),
    ("confidence", pa.float64()),  # probability of the character at its cell
    ("page_corners", pa.list_(pa.float64())),  # x, y of the box's corners on the image
])  # fmt: skip


def _reading_row(
    aligned: Alignment, text: str | None, read: str, trained: Trained
) -> dict[str, Any]:
    known = text is not None and trained.signs is None
    return {
        "line_id": aligned.line_id,
        "text": text,
        "read": read,
        "aligned": aligned.aligned and known,
        "character_error": error_rate([text], [read]).micro if known and text else None,
        "log_likelihood": aligned.log_likelihood,
        "residual": aligned.residual,
        "reconstruction": aligned.reconstruction,
    }


def _character_rows(aligned: Alignment, frame: Frame, alphabet: Alphabet) -> list[dict[str, Any]]:
    """A row for each character, in the order of reading."""
    shown = "".join(alphabet.symbols[number] for number in aligned.symbols)
    places = {n: place for place, n in enumerate(order_shown(shown))}
    corners = aligned.boxes[:, np.array(CORNERS)]
    on_page = frame.to_page(corners.reshape(-1, 2)).reshape(-1, 8) if len(corners) else corners
    rows = [
        {"line_id": aligned.line_id, "place": places[n], "character": shown[n],
         "sprite": int(aligned.sprites[n]), "cell": int(aligned.cells[n]),
         **dict(zip(("left", "top", "right", "bottom"), aligned.boxes[n].tolist(), strict=True)),
         "confidence": float(aligned.confidence[n]), "page_corners": on_page[n].tolist()}
        for n in range(len(shown))
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row["place"])


def _warn_of_infeasible(lines: Sequence[Line], stride: int) -> None:
    found = infeasible(lines, stride)
    if found:
        names = ", ".join(line.line_id for line in found[:3])
        warn(
            f"{len(found)} transcriptions are longer than their lines have cells and are not "
            f"learned from ({names}{' ...' if len(found) > 3 else ''}); are they of these lines?"
        )


def _warn_of_unknown(texts: Mapping[str, str | None], alphabet: Alphabet) -> None:
    unknown = {line: found for line, text in texts.items()
               if text and (found := alphabet.unknown(text))}  # fmt: skip
    if unknown:
        characters = sorted({character for found in unknown.values() for character in found})
        warn(
            f"{len(unknown)} transcriptions have characters that no line to learn from has: "
            f"{name_characters(characters)}"
        )


def _apart(line: TextLine) -> bool:
    return line.columns.get("split") in (VALIDATES, TESTS)


def _say_round(found: Round) -> None:
    say(f"{found.n_sprites} sprites, set {found.n_set:,} times")


def _say_progress(row: Mapping[str, float], drawing: str) -> None:
    error = row.get("character_error")
    held_out = "" if error is None else f", character error {100 * error:.1f} % on lines held out"
    drawn = row.get(drawing)
    loss = "still learning to read" if drawn is None else f"residual {drawn:.4f}"
    say(f"step {row['step']:.0f}: {loss}{held_out}")
