"""What goes into a page of sequences, and what comes out: plain frozen records.

`CotypicalInputs` is what `typika.cotypicality` hands over, `CotypicalPage` is what the template
shows. Between them stands `cotypicality.build_cotypical`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from typika.report.comparison_records import Picture


@dataclass(frozen=True, kw_only=True)
class CotypicalInputs:
    """Everything that the page is made of.

    sequences, clusters: the tables of `mining/cotypicality.py`. pictures: JPEG of each patch that
    may be shown, by sequence and row of `sequences` within it.
    """

    name: str  # of the run
    labels: tuple[str, ...]
    sequences: pa.Table
    clusters: pa.Table
    pictures: Mapping[tuple[int, str, bool], bytes]  # sequence, label, original
    n_images: int
    facts: Mapping[str, str]
    notes: tuple[str, ...]
    version: str
    date: str


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True, kw_only=True)
class PatchCell:
    """One patch of a sequence."""

    picture: Picture
    original: bool
    typicality: str


@dataclass(frozen=True, kw_only=True)
class SequenceRow:
    """One sequence: a cell for each column, None where there is nothing."""

    source: str
    score: str
    cells: tuple[PatchCell | None, ...]


@dataclass(frozen=True, kw_only=True)
class ClusterSection:
    """One cluster: its figures, and its sequences nearest to the centre."""

    rank: int
    score: str
    interval: str
    counts: str
    sources: str
    rows: tuple[SequenceRow, ...]


@dataclass(frozen=True, kw_only=True)
class CotypicalPage:
    """The whole page, ready for the template."""

    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    clusters: tuple[ClusterSection, ...]
    facts: Mapping[str, str]
    left_out: tuple[str, ...]
    version: str
    date: str
