"""What the page of an evaluation is made from, and the frozen page that its template shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from typika.mining.comparison import LONGEST
from typika.mining.localisation import DRAWS, Figures, Verdict
from typika.report.comparison_records import Cell, Picture


@dataclass(frozen=True, kw_only=True)
class ShownMap:
    """One image that is shown with its map and its truth."""

    label: str
    kind: str  # "best" or "worst"
    file_name: str
    image: Image.Image  # RGB, small
    truth: np.ndarray  # (height, width) bool, of the size of `image`
    values: np.ndarray  # (h, w) typicality
    precision: float
    hit: bool  # whether the highest value lies on the truth
    area: float  # fraction of the image that is truth


@dataclass(frozen=True, kw_only=True)
class EvaluationInputs:
    """A run held against truth."""

    name: str
    before: str  # name of the run before, "" where there is none
    regions: str  # name of the file or folder of truth
    facts: Mapping[str, str]
    figures: Figures
    verdicts: tuple[Verdict, ...]
    labels: tuple[str, ...]  # that have truth
    shown: tuple[ShownMap, ...]
    above_first: float  # share of the maps' cells above the first published threshold
    notes: tuple[str, ...]
    version: str
    date: str

    @property
    def title(self) -> str:
        """What page and sheet are called."""
        return f"{self.name} against {self.regions}"


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """A value with its interval on a line, in the picture's units."""

    value: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """One method on one label."""

    name: str
    kind: str  # "own", "prior" or "other": how the row is set
    whisker: Whisker | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """Typicality beside the best prior, on one label."""

    label: str | None
    images: str
    prior: str
    cells: tuple[Cell, ...]
    outcome: str


@dataclass(frozen=True, kw_only=True)
class MapFigure:
    """One image with its truth, plain and under its map."""

    kind: str
    caption: str
    plain: Picture
    heat: Picture
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class LabelSection:
    """One label: its sentence, all its figures, its images."""

    label: str
    sentence: str
    methods: tuple[MethodRow, ...]
    figures: tuple[MapFigure, ...]


@dataclass(frozen=True, kw_only=True)
class EvaluationPage:
    """The whole page, ready for the template."""

    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    verdicts: tuple[VerdictRow, ...]
    divided: tuple[VerdictRow, ...]  # trained on and held out
    methods: tuple[MethodRow, ...]
    labels: tuple[LabelSection, ...]
    scale: Picture | None
    limit: str
    facts: Mapping[str, str]
    before: str
    regions: str
    above_first: str
    version: str
    date: str
    draws: int = DRAWS
    longest: int = LONGEST
