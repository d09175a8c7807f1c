"""What goes into a page of generated against real images, and what comes out: frozen records.

`BiasInputs` is what `typika.bias` hands over, `BiasPage` is what the template shows. Between them
stands `bias.build_bias`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from typika.report.comparison_records import Picture


@dataclass(frozen=True, kw_only=True)
class BiasInputs:
    """Everything that the page is made of.

    clusters, odds, coverage, told_apart, members: the tables of `mining/bias_stage.py`. pictures:
    JPEG of each patch that may be shown, by its row of `members`.
    """

    name: str  # of the run
    labels: tuple[str, ...]
    guidances: tuple[str, ...]  # the first is the one that clusters are sorted by
    clusters: pa.Table
    odds: pa.Table
    coverage: pa.Table
    told_apart: pa.Table
    members: pa.Table
    pictures: Mapping[int, bytes]
    alpha: float
    drawn: bool  # by the run's own model
    facts: Mapping[str, str]
    version: str
    date: str


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """One estimate in a chart, in units of the drawing: its place, and two intervals around it.

    text: what it stands for.
    """

    place: float
    low: float
    high: float
    widened_low: float
    widened_high: float
    across: float  # place on the other axis
    text: str


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One cluster of a forest chart."""

    number: int
    verdict: str
    whisker: Whisker


@dataclass(frozen=True, kw_only=True)
class ClusterRow:
    """One cluster: its figures, its sweep over guidance, real patches and generated ones."""

    number: int
    verdict: str
    odds: str
    interval: str
    text: str
    sweep: tuple[Whisker, ...]
    line: str  # points of the sweep, for SVG
    real: tuple[Picture, ...]
    generated: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class LabelSection:
    """One label: its forest chart and its clusters, the most overdrawn first."""

    label: str
    summary: str
    forest: tuple[ForestRow, ...]
    height: int  # of the forest chart
    clusters: tuple[ClusterRow, ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure, and what stands below it in small."""

    text: str
    small: str


@dataclass(frozen=True, kw_only=True)
class BiasPage:
    """The whole page, ready for the template.

    ticks: place and text of the forest charts' axis. coverage, told_apart: a row for each label,
    a cell for each guidance. where: the first guidance as the end of a sentence.
    """

    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    guidances: tuple[str, ...]  # in words
    where: str
    coverage: tuple[tuple[str, tuple[Cell, ...]], ...]
    told_apart: tuple[tuple[str, tuple[Cell, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    labels: tuple[LabelSection, ...]
    alpha: str
    facts: Mapping[str, str]
    left_out: tuple[str, ...]
    version: str
    date: str
