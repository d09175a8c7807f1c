"""Prototypes of documents of eight lines: the two ways, judged by lines that neither has seen.

A typewriter learns lines of all documents; a part of each document's lines is left out of
everything. Each way adapts the sprites to eight other lines of a document, and the lines left out
are drawn with them, in the places, scales and colours that the reference gives. The error is the
mean squared one of colours over the pixels that count.

    python -m benchmarks.adaptation RUN [DOCUMENTS]     # a finished run with a column `document`
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray

from benchmarks.planted_documents import Planted, write_documents
from benchmarks.record import Figure, Result, Skip, at_least, real
from benchmarks.typewriter_caroline import SETTINGS, write_split
from typika import adaptations, typewriting
from typika.palaeography.groupings import hierarchy
from typika.palaeography.instances import sprites_of
from typika.palaeography.records import Instances
from typika.palaeography.refinement import WHOLE, Shrinkage, numbers, spread
from typika.parallel import one_thread
from typika.typewriter.adaptation import PublishedAdaptation, adapted
from typika.typewriter.batches import Line
from typika.typewriter.published_losses import reconstruction_loss
from typika.typewriter.redraws import Redraws
from typika.typewriter.stages import TESTS
from typika.typewriting_report import Finished, reopened

LINES = 8  # of a document that are adapted to
# As published, but that a step sees two lines (as on Fontenay), not sixteen: there are eight.
PUBLISHED = PublishedAdaptation(batch=2)
FASTER = replace(PUBLISHED, learning_rate=1e-3)  # pixels may need more
PLANTED = Planted(documents=12, lines=12, left_out=4)
LEAST = 0.8  # share of the documents on which the hierarchical way draws better


@dataclass(frozen=True, kw_only=True)
class Document:
    """Errors on the lines of one document that were left out, by what they were drawn with."""

    name: str
    lines: int  # adapted to
    reference: float
    published: float
    faster: float
    instances: float  # means of instances, shrunk
    hierarchical: float


@dataclass(frozen=True)
class Bench:
    """A finished run, its lines, and its instances."""

    finished: Finished
    instances: Instances
    split: dict[str, str]

    @classmethod
    def open(cls, folder: Path) -> Bench:
        """Of a run folder, whose instances are gathered where they were not."""
        with reopened(folder) as finished:
            instances = adaptations.gathered(finished)
        table = finished.table
        names = table["line_id"].to_pylist()
        return cls(finished, instances,
                   dict(zip(names, table["split"].to_pylist(), strict=True)))  # fmt: skip

    def lines(self, document: str) -> tuple[list[Line], list[Line]]:
        """Eight lines to adapt to, and all that were left out, of those that are aligned."""
        own = {name for name, found in zip(self.instances.table["line_id"].to_pylist(),
                                           self.instances.table["document"].to_pylist(),
                                           strict=True) if found == document}  # fmt: skip
        lines = [self.finished.lines[name] for name in sorted(own)]
        apart = [line for line in lines if self.split[line.line_id] == TESTS]
        others = [line for line in lines if self.split[line.line_id] != TESTS]
        return spread(others, LINES), apart

    def kept(self, lines: Sequence[Line]) -> Instances:
        """The instances of some lines."""
        names = {line.line_id for line in lines}
        inside = [name in names for name in self.instances.table["line_id"].to_pylist()]
        rows = np.flatnonzero(inside)
        return replace(self.instances, letter=self.instances.letter[rows],
                       ink=self.instances.ink[rows], weight=self.instances.weight[rows],
                       table=self.instances.table.take(rows))  # fmt: skip


def documents(bench: Bench, names: Sequence[str]) -> Iterator[Document]:
    """Each document in turn; the hierarchy is of all documents, of eight lines each."""
    everything = bench.instances.groups("document")[0]
    train = {name: bench.lines(name)[0] for name in everything}
    columns = [one for one in ("script", "document") if one in bench.instances.table.column_names]
    kept = bench.kept([line for lines in train.values() for line in lines])
    levels = hierarchy(kept, "document", columns)
    shrinkage = Shrinkage(kept, levels, sprites_of(bench.finished.trained))
    above = _refined_parents(bench, shrinkage, train)
    fine = levels.level("document")
    for name in names:
        learned, apart = bench.lines(name)
        if not apart:
            continue
        group = levels.levels[fine].names.index(name)
        parent = above[int(levels.levels[fine].above[group])]
        made = shrinkage.refine(bench.finished.trained, learned, fine, group, parent)
        yield Document(
            name=name, lines=len(learned),
            reference=_error(bench, shrinkage.reference, apart),
            published=_fitted(bench, learned, apart, PUBLISHED),
            faster=_fitted(bench, learned, apart, FASTER),
            instances=_error(bench, shrinkage.start(fine, group), apart),
            hierarchical=_error(bench, made, apart),
        )  # fmt: skip


def _refined_parents(
    bench: Bench, shrinkage: Shrinkage, train: dict[str, list[Line]]
) -> list[ndarray]:
    """The sprites of the groups that documents lie in."""
    levels, trained = shrinkage.hierarchy, bench.finished.trained
    of_line = dict(zip(shrinkage.instances.table["line_id"].to_pylist(),
                       range(len(shrinkage.instances.letter)), strict=True))  # fmt: skip
    lines = [line for own in train.values() for line in own]
    found = [shrinkage.refine(trained, lines, WHOLE, 0, shrinkage.reference)]
    for number, level in enumerate(levels.levels[: levels.level("document")]):
        member = levels.members(level.by)
        found = [
            shrinkage.refine(
                trained,
                [one for one in lines if member[of_line[one.line_id]] == group],
                number, group, found[parent],
            )
            for group, parent in enumerate(level.above.tolist())
        ]  # fmt: skip
    return found


def _fitted(
    bench: Bench, learned: Sequence[Line], apart: Sequence[Line], config: PublishedAdaptation
) -> float:
    model = adapted(bench.finished.trained.model, learned, config, seed=0)
    made = sprites_of(replace(bench.finished.trained, model=model))
    return _error(bench, made, apart)


@torch.no_grad()
def _error(bench: Bench, ink: ndarray, lines: Sequence[Line]) -> float:
    """Mean over lines of the error of a drawing with other sprites."""
    from typika.typewriter.adaptation import _seen

    trained = bench.finished.trained
    model: Redraws = trained.model
    sprites: torch.Tensor = model.sprites  # type: ignore[attr-defined]
    before = sprites.detach().clone()
    number = numbers(trained, bench.instances.letters)
    for place in np.ndindex(tuple(number.shape)):
        if number[place] >= 0:
            sprites[place] = torch.from_numpy(ink[int(number[place])].astype(np.float32))
    errors = [float(reconstruction_loss(model.redrawn(*one).image, one[0].batch))
              for one in _seen(model, lines)]  # fmt: skip
    sprites.copy_(before)
    return float(np.mean(errors))


def planted(folder: Path) -> Path:
    """A run of rendered documents, four of twelve lines of each left out."""
    write_documents(folder / "lines", PLANTED)
    config = typewriting.configure({"training": {"held_out": 0.0, "checks": 1}})
    return typewriting.fit(folder / "lines", folder / "run", config=config).folder


def caroline(folder: Path) -> Path:
    """A run of the Caroline lines, a fifth of each manuscript left out."""
    source = real("lines", "caroline")
    write_split(source, folder / "split.csv", 0)
    values = {**SETTINGS, "text": {"metadata": str(folder / "split.csv")}}
    run = typewriting.fit(source, folder / "run", config=typewriting.configure(values))
    return run.folder


def measured(folder: Path, most: int | None = None) -> list[Document]:
    bench = Bench.open(folder)
    found = []
    with one_thread():
        for one in documents(bench, bench.instances.groups("document")[0][:most]):
            print(row(one), file=sys.stderr, flush=True)
            found.append(one)
    return found


def run() -> Result:
    figures: list[Figure] = []
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("rendered", planted), ("Caroline", caroline)):
            try:
                found = measured(make(Path(folder) / name))
            except Skip as why:
                notes.append(f"{name}: skipped, {why}.")
                continue
            figures += figures_of(name, found)
            notes.append(f"{name}, errors x 10⁴:\n\n{table(found)}")
    return Result(figures=figures, notes=notes)


def figures_of(name: str, found: Sequence[Document]) -> list[Figure]:
    def better(one: str, other: str) -> float:
        return float(np.mean([getattr(d, one) < getattr(d, other) for d in found]))

    return [
        at_least(f"{name}: documents that published draws better than the reference",
                 better("published", "reference"), LEAST, "share"),
        Figure(name=f"{name}: documents that hierarchical draws better than published with a "
               "tenfold rate", value=better("hierarchical", "faster"), unit="share", target="-",
               met=None),
        at_least(f"{name}: documents that hierarchical draws better than published",
                 better("hierarchical", "published"), LEAST, "share"),
    ]  # fmt: skip


def row(one: Document) -> str:
    values = (one.reference, one.published, one.faster, one.instances, one.hierarchical)
    return f"| {one.name} | {one.lines} | " + " | ".join(f"{1e4 * v:.1f}" for v in values) + " |"


def table(found: Sequence[Document]) -> str:
    head = ("| document | lines | reference | published | at 10⁻³ | means of instances | "
            "hierarchical |\n|---|---|---|---|---|---|---|\n")  # fmt: skip
    return head + "\n".join(row(one) for one in found)


if __name__ == "__main__":
    given = int(sys.argv[2]) if len(sys.argv) > 2 else None
    for figure in figures_of(sys.argv[1], measured(Path(sys.argv[1]), given)):
        print(figure.line())
