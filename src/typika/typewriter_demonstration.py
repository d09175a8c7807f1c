"""The typewriter's demo: render lines of print, learn them, hold sprites against true glyphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from typika import typewriting
from typika.collection.rendered_lines import RenderedLine, Typeface, render_lines, write_lines
from typika.evaluation import intersection_over_union
from typika.typewriter.exemplars import similarity
from typika.typewriting import TypewriterEvaluation, TypewriterRun

LEARNED, READ = 160, 40  # lines
STEPS = 900
FOUND = 0.5  # intersection over union from which a box is found


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """How the demo went.

    similarities: SSIM of each sprite to the true glyph. found: share of the characters of held-out
    lines whose box overlaps the true one by half.
    """

    run: TypewriterRun
    evaluation: TypewriterEvaluation
    similarities: Mapping[str, float]
    found: float

    @property
    def report(self) -> Path:
        """The report of the run."""
        return self.run.report

    @property
    def summary(self) -> list[str]:
        """What a person wants to know first."""
        mean = float(np.mean(list(self.similarities.values())))
        error = self.evaluation.error
        return [
            f"character error on lines of other words: {100 * error.micro:.2f} %",
            f"sprites against true glyphs: similarity {mean:.2f}",
            f"characters whose box is found: {100 * self.found:.1f} %",
        ]


def run(folder: Path, *, seed: int = 0, steps: int = STEPS) -> DemoResult:
    """Render lines under `folder`, learn some, read the others, and compare with the truth."""
    learned = render_lines(LEARNED, seed=seed, split="train")
    read = render_lines(READ, seed=seed, split="held out")
    write_lines(folder / "lines", learned)
    write_lines(folder / "held-out", read)
    config = typewriting.configure({"seed": seed, "training": {"steps": steps, "checks": 6}})
    fitted = typewriting.fit(folder / "lines", folder / "run", config=config)
    evaluation = typewriting.evaluate(folder / "run", folder / "held-out")
    return DemoResult(
        run=fitted,
        evaluation=evaluation,
        similarities=sprite_similarities(fitted, Typeface()),
        found=share_found(TypewriterRun(evaluation.folder), read),
    )


def sprite_similarities(fitted: TypewriterRun, face: Typeface) -> dict[str, float]:
    """SSIM of each sprite to its glyph as it is printed."""
    trained = fitted.trained
    sprites = trained.model.letters.numpy()
    return {
        symbol: max(similarity(sprite, face.glyph(symbol).ink) for sprite in sprites[number])
        for number, symbol in enumerate(trained.alphabet.symbols)
        if not symbol.isspace()
    }


def share_found(read: TypewriterRun, truth: list[RenderedLine]) -> float:
    """Share of the true boxes that the aligned character's box overlaps by half."""
    boxes: dict[str, list[list[float]]] = {}
    for row in read.characters.to_pylist():
        if not row["character"].isspace():
            box = [row[edge] for edge in ("left", "top", "right", "bottom")]
            boxes.setdefault(row["line_id"], []).append(box)
    names = sorted(boxes)
    overlaps = [intersection_over_union(np.array(boxes[name]), line.boxes).diagonal()
                for name, line in zip(names, truth, strict=True)]  # fmt: skip
    return float((np.concatenate(overlaps) >= FOUND).mean())
