"""A typewriter run in the formats of other tools: export().

What is written comes from the run folder alone. Only a run that was made before it kept where its
lines are needs the lines' own folder once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from typika import config as settings
from typika.collection.lines import DOCUMENT
from typika.collection.places import Place, places_of, read_places
from typika.console import say, warn
from typika.errors import ConfigError, DataError
from typika.exports import svg
from typika.exports._xml import forbidden
from typika.exports.alto import alto
from typika.exports.characters import as_json, characters_table
from typika.exports.hand import Hand, Setting, setting
from typika.exports.page import page_xml
from typika.exports.pages import Page, pages_of
from typika.exports.suspects import Suspect, suspects, suspects_table
from typika.exports.ttf import ttf
from typika.files import safe_name, whole_file, write_text
from typika.palaeography.records import ABSENT, FAILED, PROTOTYPES, Letter, Prototypes
from typika.run import Run
from typika.tables import read_parquet, write_csv
from typika.typewriter import stages
from typika.typewriter.decoding import ink_extents
from typika.typewriter.stages import TextConfig
from typika.typewriter.store import Trained, load_typewriter
from typika.typewriting import open_lines

Format = Literal["alto", "page", "json", "csv", "svg", "ttf"]
FORMATS: tuple[str, ...] = get_args(Format)
EXPORTS = "exports"
OWN_HAND = "sprites"  # of the run itself, no group's
FAINTEST = 0.3  # ink of a sprite's darkest pixel, below which there is no letter to see
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Export:
    """What was written. notes: what a person should know of it."""

    folder: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def export(
    run: str | Path,
    format: Format,
    out: str | Path | None = None,
    *,
    by: str | None = None,
    group: str | None = None,
) -> Export:
    """Write a run, or a group of its lines, in a format of other tools.

    run: folder that `fit` or `transcribe` made; svg and ttf need one that `fit` made. format:
    `alto`, `page`: a file a page, with the boxes of characters. `json`: lines.json. `csv`:
    characters.csv and suspects.csv, transcriptions that may be wrong, the most suspect first.
    `svg`: a drawing a letter and a sheet. `ttf`: a font. out: RUN/exports/FORMAT by default; files
    of other names there stay. by, group: of the lines whose column `by` is `group` alone, with the
    prototypes of that group; of svg and ttf `by` alone means every group of it.

    Raises:
        ConfigError: no such run, format, column or group; or a group without prototypes.
        DataError: the lines' own folder is needed and has gone or changed.
    """
    if format not in FORMATS:
        raise ConfigError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    if group is not None and by is None:
        raise ConfigError(f"group {group!r}: of which column? pass by= too, as in by='document'")
    folder = Path(run)
    aligned = Aligned.open(folder)
    target = Path(out) if out else folder / EXPORTS / format
    if format in ("svg", "ttf"):
        return _write_hands(aligned, format, target, by, group)
    if by is not None:
        if group is None:
            raise ConfigError(
                f"by={by!r}: pass a group too; there are {', '.join(aligned.groups(by))}"
            )
        if out is None:
            target = target / safe_name(by) / safe_name(group)
        aligned = aligned.of_group(by, group)
    return _TABLES[format](aligned, target)


@dataclass(frozen=True)
class Aligned:
    """A run whose lines are aligned. wanted: of these lines alone; None: of all."""

    folder: Path
    manifest: Mapping[str, Any] = field(repr=False)
    wanted: frozenset[str] | None = None

    @classmethod
    def open(cls, folder: Path) -> Aligned:
        """Raises ConfigError where no line is read yet."""
        run = Run.read(folder)
        if not run.finished("align"):
            raise ConfigError(
                f"{folder}: its lines are not read yet; run `typika typewriter fit` or "
                "`transcribe` with this folder as --out first"
            )
        return cls(folder, run.manifest)

    @cached_property
    def lines(self) -> list[Row]:
        """Rows of lines.parquet."""
        return self._kept(read_parquet(self.folder / stages.LINES).to_pylist())

    @cached_property
    def readings(self) -> list[Row]:
        """Rows of readings.parquet."""
        return self._kept(read_parquet(self.folder / stages.READINGS).to_pylist())

    @cached_property
    def characters(self) -> list[Row]:
        """Rows of characters.parquet."""
        return self._kept(read_parquet(self.folder / stages.CHARACTERS).to_pylist())

    @cached_property
    def places(self) -> list[Place]:
        """Where each line is, from the run or else from the lines' own folder."""
        path = self.folder / stages.PLACES
        found = read_places(read_parquet(path)) if path.exists() else self._from_source()
        return [place for place in found if self.wanted is None or place.line_id in self.wanted]

    @cached_property
    def suspects(self) -> tuple[Suspect, ...]:
        """Transcriptions that may be wrong, held against all lines of their document."""
        lines = read_parquet(self.folder / stages.LINES)
        document = {}
        if DOCUMENT in lines.column_names:
            names, documents = (lines[one].to_pylist() for one in ("line_id", DOCUMENT))
            document = {n: str(of) for n, of in zip(names, documents, strict=True) if of}
        found = suspects(read_parquet(self.folder / stages.READINGS).to_pylist(), document)
        return tuple(one for one in found if self.wanted is None or one.line_id in self.wanted)

    @cached_property
    def trained(self) -> Trained:
        """The typewriter. Raises ModelError where the run has none of its own."""
        return load_typewriter(self.folder / stages.MODEL)

    def groups(self, by: str) -> tuple[str, ...]:
        """The values of a column of the lines. Raises ConfigError where there is none."""
        names = read_parquet(self.folder / stages.LINES).column_names
        if by not in names:
            raise ConfigError(
                f"by={by!r}: the lines have no such column; there are {', '.join(names)}"
            )
        return tuple(sorted({row[by] for row in self.lines if row[by]}))

    def of_group(self, by: str, group: str) -> Aligned:
        """The lines of a group alone. Raises ConfigError where there are none."""
        if group not in (groups := self.groups(by)):
            raise ConfigError(f"{group!r}: no line has this {by}; there are {', '.join(groups)}")
        wanted = frozenset(row["line_id"] for row in self.lines if row[by] == group)
        return Aligned(self.folder, self.manifest, wanted)

    def _kept(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if self.wanted is None or row["line_id"] in self.wanted]

    def _from_source(self) -> tuple[Place, ...]:
        source = Path(self.manifest.get("source", ""))
        if not source.exists():
            raise DataError(
                f"{self.folder}: made before runs kept where their lines are, and the lines' "
                f"folder {source} has gone; put it back, or fit again"
            )
        say(f"{stages.PLACES} is not there: looking at {source} again")
        text = settings.build(TextConfig, self.manifest["config"]["text"])
        collection = open_lines(source, text)
        known = {row["line_id"]: row["file_name"] for row in self.lines}
        if not known.items() <= {line.line_id: line.file_name for line in collection}.items():
            raise DataError(
                f"{source}: not the lines that {self.folder} was made from; put those back, or "
                "fit again"
            )
        return places_of(collection)


# ------------------------------------------------------------------------------------ tables


def _write_alto(aligned: Aligned, target: Path) -> Export:
    return _write_pages(aligned, target, alto)


def _write_page(aligned: Aligned, target: Path) -> Export:
    created = time.strftime("%Y-%m-%dT%H:%M:%S")
    return _write_pages(aligned, target, lambda page: page_xml(page, created))


def _write_pages(aligned: Aligned, target: Path, build: Callable[[Page], bytes]) -> Export:
    pages = pages_of(aligned.places, aligned.lines, aligned.readings, aligned.characters)
    files, notes, bare = [], [], 0
    for page in pages:
        path = target / f"{page.name}.xml"
        with whole_file(path) as temporary:
            temporary.write_bytes(build(page))
        files.append(path)
        if signs := forbidden(page):
            notes.append(f"{page.name}: {', '.join(signs)} cannot be in XML, U+FFFD there now")
        bare += sum(1 for block in page.blocks for line in block.lines
                    if line.text and not line.words)  # fmt: skip
    if bare:
        notes.append(f"{bare} lines whose characters do not spell their text have no glyphs")
    for note in notes:
        warn(note)
    return Export(target, tuple(files), tuple(notes))


def _write_json(aligned: Aligned, target: Path) -> Export:
    path = target / "lines.json"
    text = as_json(aligned.places, aligned.lines, aligned.readings, aligned.characters,
                   aligned.suspects)  # fmt: skip
    write_text(path, text)
    return Export(target, (path,))


def _write_csv(aligned: Aligned, target: Path) -> Export:
    paths = target / "characters.csv", target / "suspects.csv"
    write_csv(characters_table(aligned.lines, aligned.characters, aligned.places), paths[0])
    write_csv(suspects_table(aligned.suspects), paths[1])
    return Export(target, paths)


_TABLES: Mapping[str, Callable[[Aligned, Path], Export]] = {
    "alto": _write_alto, "page": _write_page, "json": _write_json, "csv": _write_csv,
}  # fmt: skip


# ------------------------------------------------------------------------------------- hands


def _write_hands(
    aligned: Aligned, format: str, target: Path, by: str | None, group: str | None
) -> Export:
    if by is None:
        hands = [(own_hand(aligned.trained, aligned.folder.resolve().name), aligned, OWN_HAND)]
    else:
        prototypes = _prototypes(aligned.folder, by)
        names = prototypes.groups if group is None else (group,)
        hands = [(hand_of(prototypes, name), aligned.of_group(by, name), safe_name(name))
                 for name in names]  # fmt: skip
    files: list[Path] = []
    for hand, own, name in hands:
        if format == "svg":
            files += _write_drawings(hand, target / name)
            continue
        path = target / f"{name}.ttf"
        with whole_file(path) as temporary:
            temporary.write_bytes(ttf(hand, hand_setting(hand, own)))
        files.append(path)
    return Export(target, tuple(files))


def _write_drawings(hand: Hand, folder: Path) -> list[Path]:
    drawings = {**svg.letters(hand), "sheet.svg": svg.sheet(hand)}
    for name, text in drawings.items():
        write_text(folder / name, text)
    return [folder / name for name in drawings]


def _prototypes(folder: Path, by: str) -> Prototypes:
    place = folder / PROTOTYPES / safe_name(by)
    if not place.is_dir():
        raise ConfigError(
            f"{place}: no prototypes by {by} yet; run `typika typewriter adapt {folder} --by {by}`"
        )
    return Prototypes.load(place)


def own_hand(trained: Trained, name: str) -> Hand:
    """The sprites of a typewriter itself, but for the space and for those that never got ink.

    Raises:
        DataError: none has ink.
    """
    sprites = trained.model.letters.detach().cpu().numpy().astype(np.float64)
    chosen = [
        (Letter(symbol, form), sprites[number, form])
        for number, symbol in enumerate(trained.alphabet.symbols)
        for form in range(sprites.shape[1])
        if not symbol.isspace() and sprites[number, form].max() >= FAINTEST
    ]
    if not chosen:
        raise DataError(f"{name}: no sprite has ink; train it for longer")
    ink = np.stack([sprite for _, sprite in chosen])
    return Hand(name=name, letters=tuple(letter for letter, _ in chosen), ink=ink, reference=ink)


def hand_of(prototypes: Prototypes, name: str) -> Hand:
    """The prototypes of a group; those that rest on no instance or failed are left out.

    Raises:
        ConfigError: there is no such group, or nothing is left of it.
    """
    group = prototypes.group(name)
    kept = [number for number, letter in enumerate(prototypes.letters)
            if prototypes.flag[group][number] not in (ABSENT, FAILED)
            and not letter.character.isspace()]  # fmt: skip
    if not kept:
        raise ConfigError(f"{name!r}: no letter of this {prototypes.by} rests on an instance")
    return Hand(
        name=name,
        letters=tuple(prototypes.letters[number] for number in kept),
        ink=prototypes.ink[group, kept].astype(np.float64),
        reference=prototypes.reference[kept].astype(np.float64),
    )


def hand_setting(hand: Hand, aligned: Aligned) -> Setting:
    """How the letters of a hand follow each other on the lines of its group."""
    import torch

    boxes = ink_extents(torch.from_numpy(hand.reference)[:, None])[:, 0]
    return setting(hand, boxes, aligned.characters, aligned.trained.model.height)
