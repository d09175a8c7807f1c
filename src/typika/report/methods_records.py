"""What goes into a page that compares methods, and what comes out: plain frozen records.

`MethodsInputs` is what `typika.methods` hands over, `MethodsPage` is what the template shows.
Between them stands `methods.build_methods`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from typika.mining.comparison import CHANCE_DRAWS, DRAWS
from typika.mining.methods import BEST, FIRST, HIT, MethodFigures
from typika.report.comparison_records import Cell, Picture


@dataclass(frozen=True, kw_only=True)
class Centre:
    """The patch closest to the centre of one cluster."""

    rank: int  # of the cluster
    size: int
    jpeg: bytes
    file_name: str


@dataclass(frozen=True, kw_only=True)
class MethodRun:
    """One run, and what its method found."""

    name: str  # of its folder
    method: str  # "diffusion mining", or the baseline's name
    model: str
    ranked: str  # what ranks its patches
    figures: tuple[MethodFigures, ...]  # all labels, then each
    centres: Mapping[str, tuple[Centre, ...]]  # by label, the first clusters by rank


@dataclass(frozen=True, kw_only=True)
class MethodsInputs:
    """Everything that the page is made of."""

    runs: tuple[MethodRun, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...]
    version: str
    date: str
    regions: str = ""  # name of the file of regions

    @property
    def tested(self) -> bool:
        """Whether the clusters of any run were tested on held-out images."""
        return any(run.figures[0].n_significant is not None for run in self.runs)


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """One line of the table."""

    method: str
    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The central patches of one method's first clusters of one label."""

    method: str
    name: str
    counts: str
    patches: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class LabelStrips:
    """One label: a strip of each method."""

    label: str
    summary: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, kw_only=True)
class MethodsPage:
    """The whole page, ready for the template."""

    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    columns: tuple[str, ...]  # of the table, after the method
    rows: tuple[MethodRow, ...]
    made: tuple[tuple[str, str, str, str], ...]  # run, method, model, what ranks patches
    labels: tuple[LabelStrips, ...]
    left_out: tuple[str, ...]
    version: str
    date: str
    regions: str
    tested: bool
    draws: int = DRAWS
    chance_draws: int = CHANCE_DRAWS
    best: int = BEST
    hit: float = HIT
    first: int = FIRST
