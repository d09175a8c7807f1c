"""A typewriter run that is trained and aligned -> report.html and figures/."""

from __future__ import annotations

import csv
import json
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8
from numpy import ndarray

from typika import __version__
from typika import config as settings
from typika.atlas import ATLAS, has_prototypes
from typika.console import duration
from typika.errors import ConfigError
from typika.parallel import one_thread
from typika.report import typewriter_records as words
from typika.report.card_records import flat
from typika.report.cards import CARD_FILES
from typika.report.html import write_typewriter
from typika.report.typewriter import build_typewriter, choose_lines
from typika.report.typewriter_figures import write_typewriter_sheets
from typika.report.typewriter_records import (
    CutInstance,
    DrawnLine,
    LearnedSprite,
    TypewriterInputs,
)
from typika.run import Run, Stage
from typika.tables import read_parquet
from typika.typewriter import stages
from typika.typewriter.alphabet import order_shown
from typika.typewriter.batches import Line
from typika.typewriter.decoding import Drawn, redraw
from typika.typewriter.instances import cut_out, from_mean, nearness, owners
from typika.typewriter.kinds import kind_of
from typika.typewriter.prepared import Prepared, infeasible
from typika.typewriter.stages import TypewriterConfig, Typing
from typika.typewriter.store import Trained, load_typewriter
from typika.typewriting_cards import write_typewriter_cards

REPORT, FIGURES = "report.html", "figures"
READ_STAGES = ("collect", "prepare", "train", "align")
MOST_COMPARED = 60  # instances of a sprite
N_NEAR, N_FAR = 5, 5  # of them on the page
FAINT = 0.25  # of full contrast, for what stands beside a cut-out character
FEW = 3  # lines or files that a note names

Form = tuple[str, int]  # a character, and which of its forms
Spot = tuple[str, int]  # a line, and which of its characters from the left


def report(folder: str | Path) -> Path:
    """Write the report of a finished typewriter run again; the lines' own folder is not needed.

    Raises:
        ConfigError: no run is there, or one that is not aligned yet.
    """
    with reopened(Path(folder)) as finished:
        _write(finished)
    return Path(folder) / REPORT


@contextmanager
def reopened(folder: Path) -> Iterator[Finished]:
    """A finished typewriter run, opened for further stages.

    Raises:
        ConfigError: no run is there, or one that is not aligned yet.
    """
    recorded = Run.read(folder)
    missing = [name for name in READ_STAGES if not recorded.finished(name)]
    if missing:
        raise ConfigError(
            f"{folder}: {missing[0]} is not done; run `typika typewriter fit` with this folder "
            "as --out first"
        )
    config = settings.build(TypewriterConfig, recorded.manifest["config"])
    with Run.reopen(folder) as run:
        yield Finished(run, config)


def write_report(typing: Typing) -> None:
    """The report stage of a run under way."""
    _write(Finished(typing.run, typing.config))


def _write(finished: Finished) -> None:
    run = finished.run
    causes: dict[str, Any] = {name: run.output_digest(name) for name in READ_STAGES}
    if has_prototypes(run.folder):
        causes["atlas"] = ATLAS

    def compute() -> None:
        with one_thread():
            inputs = finished.inputs()
        write_typewriter(build_typewriter(inputs), run.path(REPORT))
        write_typewriter_sheets(inputs, run.path(FIGURES))
        finished.write_cards(inputs)

    outputs = (REPORT, FIGURES, *CARD_FILES)
    run.stage(Stage(name="report", causes=causes, outputs=outputs), compute)


@dataclass(frozen=True)
class Finished:
    """What a finished run has for its report."""

    run: Run
    config: TypewriterConfig

    @cached_property
    def trained(self) -> Trained:
        """The model and its symbols."""
        return load_typewriter(self.run.path(stages.MODEL))

    @cached_property
    def table(self) -> pa.Table:
        """A row a line, as collected."""
        return read_parquet(self.run.path(stages.LINES))

    @cached_property
    def readings(self) -> pa.Table:
        """A row a line, as read."""
        return read_parquet(self.run.path(stages.READINGS))

    @cached_property
    def characters(self) -> pa.Table:
        """A row a character."""
        return read_parquet(self.run.path(stages.CHARACTERS))

    @cached_property
    def texts(self) -> dict[str, str | None]:
        """The transcription of each line."""
        return _by_line(self.table, "text")

    @cached_property
    def lines(self) -> dict[str, Line]:
        """The lines with their pixels."""
        prepared = Prepared.open(self.run.path(stages.PREPARED))
        return {line.line_id: line for line in prepared.lines(self.texts, self.trained.alphabet)}

    @cached_property
    def unfit(self) -> list[str]:
        """Lines whose transcriptions need more cells than they have."""
        found = infeasible(list(self.lines.values()), self.trained.model.stride)
        return [line.line_id for line in found]

    @cached_property
    def parts(self) -> dict[str, str]:
        """What each line was used for."""
        ids = self.table["line_id"].to_pylist()
        splits = dict.fromkeys(ids, "")
        if "split" in self.table.column_names:
            splits = {name: found or "" for name, found in _by_line(self.table, "split").items()}
        stride = self.trained.model.stride
        _, apart = stages.parts_of(list(self.lines.values()), splits, stride, self.config)
        held_out, unfit = {line.line_id for line in apart}, set(self.unfit)

        def part(name: str) -> str:
            if splits[name] == stages.TESTS:
                return words.TESTED
            if name in held_out:
                return words.VALIDATED
            if not self.texts[name]:
                return words.UNTRANSCRIBED
            return words.UNFIT if name in unfit else words.LEARNED

        return {name: part(name) for name in ids}

    def inputs(self) -> TypewriterInputs:
        """Everything that the page is made of."""
        ranked = self._ranked()
        turns = sorted(
            (turn, spot[0]) for near, far, _ in ranked.values()
            for turn, (spot, _) in enumerate((*near, *far))
        )  # fmt: skip
        wanted = choose_lines(self.readings, [name for _, name in turns])
        spots = {spot for near, far, _ in ranked.values() for spot, _ in (*near, *far)}
        drawn, cuts = self._drawn(list(wanted), spots)
        return TypewriterInputs(
            name=self.run.folder.resolve().name,
            several_forms=self.trained.model.letters.shape[1] > 1,
            sprites=list(self._sprites(ranked, cuts)),
            readings=self.readings,
            characters=self.characters,
            parts=self.parts,
            wanted=wanted,
            lines=drawn,
            metrics=[self._figures(row) for row in self._metrics()],
            notes=list(self._notes()),
            facts=self._facts(),
            atlas=ATLAS if has_prototypes(self.run.folder) else "",
            settings=dict(flat(settings.as_values(self.config))),
            version=__version__,
            date=time.strftime("%Y-%m-%d"),
        )  # fmt: skip

    def write_cards(self, inputs: TypewriterInputs) -> None:
        """The model card and the data statement."""
        values = settings.as_values(self.config)
        kind = {"model": {"kind": values["model"]["kind"]}}
        usual = settings.as_values(settings.build(TypewriterConfig, kind))
        skipped = _skipped(self.run.path(stages.SKIPPED))
        write_typewriter_cards(inputs, self.run, self.table, skipped, values, usual)

    # ------------------------------------------------------------------------- instances

    def _ranked(self) -> dict[Form, tuple[list, list, int]]:
        """Of each form the instances nearest to their mean, the farthest, how many compared."""
        found: dict[Form, tuple[list[Spot], list[ndarray]]] = {}
        names = lines_to_compare(self.characters, MOST_COMPARED)
        for drawn in self._redraw(names):
            own = drawn.characters
            ink = cut_out(drawn.batch.ink_image, own.middle, own.log_scale, self._size)
            bytes_of = (ink[:, 0] * 255).round().byte().numpy()
            for n, form in enumerate(self._forms(drawn)):
                spots, cuts = found.setdefault(form, ([], []))
                if len(spots) < MOST_COMPARED:
                    spots.append((drawn.alignment.line_id, n))
                    cuts.append(bytes_of[n])
        sprites = self.trained.model.letters.numpy()
        return {
            form: _nearest(spots, from_mean(np.stack(cuts) / 255, sprites[self._place(form)]))
            for form, (spots, cuts) in found.items()
        }

    def _drawn(
        self, wanted: Sequence[str], spots: set[Spot]
    ) -> tuple[list[DrawnLine], dict[Spot, tuple[int, ndarray]]]:
        """The lines to show, and of each instance its place in the text and its pixels."""
        lines: dict[str, DrawnLine] = {}
        cuts: dict[Spot, tuple[int, ndarray]] = {}
        model, shown = self.trained.model, set(wanted)
        for drawn in self._redraw(sorted(shown | {name for name, _ in spots})):
            name, own = drawn.alignment.line_id, drawn.characters
            places = _places("".join(form[0] for form in self._forms(drawn)))
            chosen = [n for _, n in sorted(spot for spot in spots if spot[0] == name)]
            cuts |= {
                (name, n): (places[n], pixels)
                for n, pixels in zip(chosen, self._pixels(drawn, chosen), strict=True)
            }
            if name in shown:
                line = self.lines[name]
                lines[name] = DrawnLine(
                    line_id=name, pixels=np.asarray(line.pixels),
                    drawing=(drawn.ink.clamp(0, 1) * 255).round().byte().numpy(),
                    owner=owners(model, own, line.width).astype(np.int16),
                    paper_colour=line.paper, ink_colour=line.ink,
                )  # fmt: skip
        return [lines[name] for name in wanted], cuts

    def _pixels(self, drawn: Drawn, chosen: Sequence[int]) -> UInt8[ndarray, "n h w 3"]:
        """Characters of a line in the frame of their sprites, what is not near them faint."""
        model, own = self.trained.model, drawn.characters
        paper = drawn.batch.paper[0][:, None, None]
        away = cut_out(
            drawn.batch.image[0] - paper, own.middle[chosen], own.log_scale[chosen], self._size
        )
        near = nearness(model.drawn(own).detach()[chosen])
        shown = paper + away * (FAINT + (1 - FAINT) * near)[:, None]
        return (shown.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()

    def _redraw(self, names: Sequence[str]) -> Iterator[Drawn]:
        trained = self.trained
        yield from redraw(trained.model, [self.lines[name] for name in names], trained.alphabet)

    @property
    def _size(self) -> tuple[int, int]:
        height, width = self.trained.model.letters.shape[2:]
        return height, width

    def _forms(self, drawn: Drawn) -> list[Form]:
        """Character and form of everything on a line, from the left."""
        aligned, symbols = drawn.alignment, self.trained.alphabet.symbols
        pairs = zip(aligned.symbols, aligned.sprites, strict=True)
        return [(symbols[symbol], int(form)) for symbol, form in pairs]

    def _place(self, form: Form) -> tuple[int, int]:
        """Of a form in the model's sprites."""
        return self.trained.alphabet.symbols.index(form[0]), form[1]

    def _sprites(
        self, ranked: Mapping[Form, tuple], cuts: Mapping[Spot, tuple[int, ndarray]]
    ) -> Iterator[LearnedSprite]:
        count, learned = Counter[Form](), Counter[Form]()
        columns = (
            self.characters[name].to_pylist() for name in ("line_id", "character", "sprite")
        )
        for name, character, form in zip(*columns, strict=True):
            count[character, form] += 1
            learned[character, form] += self.parts[name] in (words.LEARNED, words.UNTRANSCRIBED)
        letters = self.trained.model.letters.numpy()
        for symbol, character in enumerate(self.trained.alphabet.symbols):
            if symbol == self.trained.alphabet.space:
                continue
            for number, ink in enumerate(letters[symbol]):
                form = (character, number)
                near, far, looked_at = ranked.get(form, ([], [], 0))
                yield LearnedSprite(
                    character=character, form=number, count=count[form], learned=learned[form],
                    ink=ink, near=tuple(_cut(one, cuts) for one in near),
                    far=tuple(_cut(one, cuts) for one in far), looked_at=looked_at,
                )  # fmt: skip

    # ------------------------------------------------------------------------------ words

    def _metrics(self) -> list[dict[str, float]]:
        text = self.run.path(stages.METRICS).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def _figures(self, row: Mapping[str, float]) -> dict[str, float]:
        """A row of metrics by the page's words, the CTC loss without its weight."""
        kind = kind_of(self.config.model)
        weight = kind.ctc_weight(self.config.learning) or 1.0
        figures = {"step": row["step"], "residual": row.get(kind.loss),
                   "ctc": row["ctc"] / weight if "ctc" in row else None,
                   "character_error": row.get("character_error")}  # fmt: skip
        return {name: value for name, value in figures.items() if value is not None}

    def _notes(self) -> Iterator[str]:
        skipped = _skipped(self.run.path(stages.SKIPPED))
        if skipped:
            first = "; ".join(f"{name}: {reason}" for name, reason in skipped[:FEW])
            more = " …" if len(skipped) > FEW else ""
            yield (
                f"{len(skipped):,} lines or files were left out ({first}{more}); see skipped.csv."
            )
        untranscribed = [name for name, text in self.texts.items() if not text]
        if untranscribed:
            yield f"{len(untranscribed):,} of {len(self.texts):,} lines are not transcribed."
        if self.unfit:
            yield (
                f"{len(self.unfit):,} transcriptions are longer than their lines have cells and "
                f"were not learned from ({_first(self.unfit)}); are they of these lines?"
            )
        unknown = {name: found for name, text in self.texts.items()
                   if text and (found := self.trained.alphabet.unknown(text))}  # fmt: skip
        if unknown:
            characters = " ".join(sorted({one for found in unknown.values() for one in found}))
            yield (
                f"{len(unknown):,} transcriptions have characters that no line to learn from has, "
                f"so that they cannot be read right: {characters}"
            )

    def _facts(self) -> dict[str, str]:
        manifest, model = self.run.manifest, self.trained.model
        height, width = self._size
        metrics, argv = self._metrics(), [str(one) for one in manifest.get("argv", ())]
        command = [*(("typika",) if argv[:1] == ["typewriter"] else ()), *argv]
        seconds = {name: time for name, time in self.run.seconds().items() if name != "report"}
        transcribed = sum(bool(text) for text in self.texts.values())
        space = self.trained.alphabet.space
        return {
            "Lines": f"{len(self.texts):,}, {transcribed:,} of them transcribed",
            "Alphabet": f"{self.trained.alphabet.size - (space is not None):,} characters"
            + ("" if space is None else " and the word space"),
            "Model": f"{kind_of(model.config).name}, lines {model.height} px high, cells of "
            f"{model.stride} px, sprites of {width} × {height} px, {model.letters.shape[1]} for a "
            "character",
            "Learning": f"{metrics[-1]['step'] if metrics else 0:,.0f} steps of "
            f"{self.config.training.batch} lines",
            "Seed": str(self.config.seed),
            "Lines from": str(manifest.get("source", "")),
            "Command": shlex.join(command),
            "Time": ", ".join(f"{name} {duration(one)}" for name, one in seconds.items()),
            "typika": str(manifest["typika"]),
            "Machine": f"{manifest.get('platform', '')}, Python {manifest.get('python', '')}",
        }  # fmt: skip


def lines_to_compare(characters: pa.Table, most: int) -> list[str]:
    """Few lines that hold `most` instances of every form, or all there are.

    Forms are served rarest first, each from lines drawn at random, so that frequent letters are
    mostly served already.
    """
    columns = (characters[name].to_pylist() for name in ("line_id", "character", "sprite"))
    of_line: dict[str, Counter[Form]] = {}
    for name, character, form in zip(*columns, strict=True):
        of_line.setdefault(name, Counter())[character, form] += 1
    total = sum(of_line.values(), Counter())
    names = sorted(of_line)
    order = [names[n] for n in np.random.default_rng(0).permutation(len(names))]
    chosen: set[str] = set()
    served: Counter[Form] = Counter()
    for form in sorted(total, key=lambda one: (total[one], one)):
        for name in order:
            if served[form] >= min(most, total[form]):
                break
            if name not in chosen and of_line[name][form]:
                chosen.add(name)
                served.update(of_line[name])
    return [name for name in order if name in chosen]


def _nearest(spots: Sequence[Spot], distance: ndarray) -> tuple[list, list, int]:
    order = np.argsort(distance, kind="stable").tolist()
    ranked = [(spots[n], float(distance[n])) for n in order]
    far = ranked[N_NEAR:][::-1][:N_FAR]
    return ranked[:N_NEAR], far, len(spots)


def _cut(one: tuple[Spot, float], cuts: Mapping[Spot, tuple[int, ndarray]]) -> CutInstance:
    spot, distance = one
    place, pixels = cuts[spot]
    return CutInstance(line_id=spot[0], place=place, pixels=pixels, distance=distance)


def _places(shown: str) -> dict[int, int]:
    """Of characters from the left their places in reading, as characters.parquet has them."""
    return {n: place for place, n in enumerate(order_shown(shown))}


def _by_line(table: pa.Table, column: str) -> dict[str, Any]:
    return dict(zip(table["line_id"].to_pylist(), table[column].to_pylist(), strict=True))


def _skipped(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return [(row["file_name"], row["reason"]) for row in csv.DictReader(handle)]


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (" …" if len(names) > FEW else "")
