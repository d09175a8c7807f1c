"""What goes into a page that compares two runs, and what comes out: plain frozen records.

`ComparisonInputs` is what `typika.comparison` hands over, `ComparisonPage` is what the template
shows. Between them stands `comparison.build_comparison`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from typika.mining.comparison import CHANCE_DRAWS, DRAWS, Agreement, Localisation
from typika.report.records import ReportInputs


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One of the two runs."""

    name: str
    inputs: ReportInputs
    settings: Mapping[str, str]  # every setting of the run, by its dotted name
    found: frozenset[int]  # rows of `inputs.patches` that the other run has too


@dataclass(frozen=True, kw_only=True)
class ShownImage:
    """An image to show with both maps."""

    image_id: str
    label: str
    file_name: str
    width: int  # pixels of the original, in which patches are measured
    height: int
    reason: str  # "changed" | "typical"
    correlation: float  # of its two maps


@dataclass(frozen=True, kw_only=True)
class ComparisonInputs:
    """Everything that the page is made of."""

    before: ComparedRun
    after: ComparedRun
    agreement: tuple[Agreement, ...]  # all labels, then each
    localisation: tuple[Localisation, ...]  # likewise; none without truth
    shown: tuple[ShownImage, ...]  # of each label and reason, the most telling first
    notes: tuple[str, ...]
    version: str
    date: str
    regions: str = ""  # name of the file of boxes

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the two runs share."""
        return tuple(row.label for row in self.agreement if row.label is not None)


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One line of the table that tells how the two runs were made."""

    name: str
    before: str
    after: str

    @property
    def differs(self) -> bool:
        """Whether the two runs differ in it."""
        return self.before != self.after


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure and, smaller, what belongs to it."""

    text: str
    small: str = ""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One line of a table of figures."""

    label: str | None  # None for all labels
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A JPEG with its words."""

    jpeg: str  # base64
    alt: str
    found: bool = False  # a patch that the other run has too


@dataclass(frozen=True, kw_only=True)
class ClusterRow:
    """One cluster of one run."""

    rank: int
    typicality: str
    counts: str
    patches: tuple[Picture, ...]
    left_out: int  # patches of the cluster that are not on the page


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One image, plain and under the map of either run."""

    reason: str
    caption: str
    pictures: tuple[Picture, Picture, Picture]
    width: int  # pixels of the pictures
    height: int


@dataclass(frozen=True, kw_only=True)
class LabelSection:
    """One label: the two runs beside each other."""

    label: str
    summary: str
    before: tuple[ClusterRow, ...]
    after: tuple[ClusterRow, ...]
    n_clusters: tuple[int, int]
    images: tuple[ImageRow, ...]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The colours of the maps: a picture of them, and what its ends stand for."""

    jpeg: str
    ends: tuple[tuple[str, str], ...]  # (which run, its full colour); one entry: for both


@dataclass(frozen=True, kw_only=True)
class ComparisonPage:
    """The whole page, ready for the template."""

    before: str
    after: str
    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    head: tuple[Fact, ...]  # what a reader must know before anything else
    facts: tuple[Fact, ...]
    settings: tuple[Fact, ...]
    agreement: tuple[Figures, ...]
    localisation: tuple[Figures, ...]
    labels: tuple[LabelSection, ...]
    scale: Scale | None  # None where no image is shown
    left_out: tuple[str, ...]
    version: str
    date: str
    regions: str
    draws: int = DRAWS
    chance_draws: int = CHANCE_DRAWS
