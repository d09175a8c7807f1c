"""What goes into a page of trends, and what comes out: plain frozen records.

`TrendsInputs` is what `typika.segmentation` hands over, `TrendsPage` is what the template shows.
Between them stands `trends.build_trends`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from typika.mining.trends import Measure, Trends
from typika.report.comparison_records import Cell, Picture

Marked = tuple[Image.Image, np.ndarray]
"""An image, and a mask of its size that is true where a class is."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image whose translation shows a trend."""

    target: str
    name: str  # of the class
    measure: Measure
    image: int  # its place among the images measured
    before: float
    after: float


@dataclass(frozen=True)
class ShownPair:
    """An image beside its translation, each with where the class is."""

    example: Example
    source_name: str
    source_label: str
    before: Marked
    after: Marked


@dataclass(frozen=True, kw_only=True)
class TrendsInputs:
    """Everything that the page is made of."""

    name: str  # of the run
    segmenter: str
    trends: Trends
    alpha: float
    n_images: int
    n_translations: int
    never: int  # classes that the segmenter knows and no image has
    shown: tuple[ShownPair, ...]
    facts: Mapping[str, str]
    notes: tuple[str, ...]
    version: str
    date: str


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True, kw_only=True)
class ChartRow:
    """One class: its change with interval on the chart's line, and in words.

    low, value, high: places on the line.
    """

    name: str
    mark: str
    word: str
    called: bool  # drawn full
    low: float
    value: float
    high: float
    cells: tuple[Cell, ...]  # change, before and after, beside other labels


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One measure of the classes of one label, on one scale."""

    title: str
    rows: tuple[ChartRow, ...]
    zero: float
    ends: tuple[str, str]
    alt: str


@dataclass(frozen=True, kw_only=True)
class PairFigure:
    """An image and its translation, plain and marked."""

    caption: str
    pictures: tuple[Picture, Picture, Picture, Picture]


@dataclass(frozen=True, kw_only=True)
class TargetSection:
    """One label that images were translated to."""

    label: str
    sentence: str
    charts: tuple[Chart, ...]
    pairs: tuple[PairFigure, ...]


@dataclass(frozen=True, kw_only=True)
class TrendRow:
    """One line of the table of all that was compared."""

    label: str
    name: str
    measure: str
    cells: tuple[Cell, ...]
    mark: str
    word: str


@dataclass(frozen=True, kw_only=True)
class TrendsPage:
    """The whole page, ready for the template."""

    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    targets: tuple[TargetSection, ...]
    rows: tuple[TrendRow, ...]
    facts: Mapping[str, str]
    left_out: tuple[str, ...]
    alpha: str
    version: str
    date: str
