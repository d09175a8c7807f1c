"""What goes into a report and what comes out: plain frozen records, no computation.

`ReportInputs` is what the pipeline hands over, `Page` is what the template shows. Between them
stands `build.build_page`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from PIL import Image

from typika.baselines.names import Wording
from typika.errors import DataError

SELECTIONS = ("typical", "random", "negative")

PATCH_COLUMNS = (
    "image_id",
    "file_name",
    "label",
    "selection",
    "rank",
    "left",
    "top",
    "right",
    "bottom",
    "typicality",
    "error",
    "typicality_null",
    "evidence",
    "cluster",
    "distance",
    "map_x",
    "map_y",
    "thumbnail",
)  # every further column of the patches is the user's metadata

CLUSTER_COLUMNS = ("label", "cluster", "rank", "size", "typicality", "low", "high", "n_images",
                   "stability")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class HeatMaps:
    """The maps of one image for one label: (h, w) on a coarse grid over the whole image."""

    contrast: np.ndarray | None = None  # typicality against the other labels, where scored
    null: np.ndarray  # typicality against the null, as in the paper
    evidence: np.ndarray | None = None  # the rival's evidence, where the run has a rival

    def __post_init__(self) -> None:
        shapes = {part.shape for part in self.parts if part is not None}
        if len(shapes) > 1 or self.null.ndim != 2 or not self.null.size:
            raise DataError(f"heat-maps: need all of one shape (h, w), got {sorted(shapes)}")

    @property
    def parts(self) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
        """The maps in the order of the page's choice: contrast, null, evidence."""
        return self.contrast, self.null, self.evidence


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """What the collection holds of one label."""

    label: str
    n_images: int
    n_groups: int  # groups that no split may cut: near-duplicates, or the user's own
    width: float  # median width in pixels
    height: float  # median height in pixels


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One figure to judge the run by, with what it means."""

    name: str
    value: float | str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a reader must know to trust, cite or repeat the run."""

    title: str
    version: str  # of typika
    model: str  # "embedded: EfficientNet-Lite0, two scales"
    loss: str  # "hybrid, gamma 0.1" | "faithful"
    score: str  # "against the null, 32 draws (importance)"
    seed: int
    prompts: Mapping[str, str] = field(default_factory=dict)  # name -> text
    device: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)  # stage -> seconds
    date: str = ""
    command: str = ""
    collection: tuple[LabelFacts, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)  # reason -> items
    n_near_duplicate_groups: int = 0
    baselines: tuple[Baseline, ...] = ()
    warnings: tuple[str, ...] = ()
    baseline: Wording | None = None  # what stands in the place of typicality, if anything

    @property
    def map_names(self) -> tuple[str, str, str]:
        """The maps in the order of the page's choice, in words."""
        own = self.baseline is not None and self.baseline.model
        ranked = f"the baseline’s: {self.baseline.name}" if self.baseline and own else ""
        return "against the other labels", ranked or "against no label", "the rival’s evidence"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the evidence stage found; None where it was not asked.

    verdicts: a row per cluster; badges: a row per cluster and test for an artefact; confounds: a
    row per label and family of nuisances (`mining/evidence.py`, `artefacts.py`, `confounds.py`).
    """

    verdicts: pa.Table | None = None
    badges: pa.Table | None = None
    confounds: pa.Table | None = None


@dataclass(frozen=True, kw_only=True)
class Rare:
    """What the rare stage found: a row per group, and one per window of theirs."""

    groups: pa.Table
    patches: pa.Table


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything a report is made of; `patches` and `clusters` have the columns named above."""

    patches: pa.Table
    clusters: pa.Table
    maps: Mapping[tuple[str, str], HeatMaps]  # (image_id, label) -> maps; may lack some
    images: Callable[[str], Image.Image]  # image_id -> upright RGB original
    facts: RunFacts
    evidence: Evidence = field(default_factory=Evidence)
    rare: Rare | None = None
    by_hand: tuple[str, ...] = ()  # sentences: what people changed about the clusters

    def __post_init__(self) -> None:
        _require_columns("patches", self.patches, PATCH_COLUMNS)
        _require_columns("clusters", self.clusters, CLUSTER_COLUMNS)
        unknown = set(self.patches["selection"].unique().to_pylist()) - set(SELECTIONS)
        if unknown:
            found = ", ".join(sorted(map(str, unknown)))
            raise DataError(f"patches.selection: expected {', '.join(SELECTIONS)}; got {found}")

    @property
    def metadata_columns(self) -> tuple[str, ...]:
        """The user's own columns, in their order."""
        return tuple(name for name in self.patches.column_names if name not in PATCH_COLUMNS)


def _require_columns(name: str, table: pa.Table, wanted: tuple[str, ...]) -> None:
    missing = [column for column in wanted if column not in table.column_names]
    if missing:
        raise DataError(f"{name}: no column {', '.join(missing)}; a report needs them all")


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True, kw_only=True)
class PatchRecord:
    """One patch as the page shows it. Numbers that are not finite are None."""

    picture: str  # JPEG, base64
    image: int | None  # place in Page.images; None where the whole image was left out
    file_name: str
    label: int  # place in Page.labels
    selection: str
    cluster: int
    rank: int
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels of the original
    typicality: float | None
    error: float | None
    typicality_null: float | None
    evidence: float | None
    distance: float | None
    position: tuple[float, float] | None  # in the map of all patches, 0..1
    metadata: int  # place in Page.metadata
    row: int = -1  # of the patches that the page was made of


@dataclass(frozen=True, kw_only=True)
class VerdictRecord:
    """Whether a cluster holds on images that the model never saw."""

    verdict: str  # one of mining.significance.VERDICTS
    figure: str  # "AUC 0.93 (0.87 to 0.96)", or ""
    text: str  # the evidence in plain sentences


@dataclass(frozen=True, kw_only=True)
class BadgeRecord:
    """A sign that a cluster is an artefact, with the evidence for it."""

    badge: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ClusterRecord:
    """One cluster: a row of the report."""

    cluster: int
    rank: int
    size: int
    n_images: int
    typicality: float | None  # median of all members
    low: float | None  # 95% interval of the median
    high: float | None
    stability: float | None  # how well it is found again in halves of the images, 0 to 1
    members: tuple[int, ...]  # places in Page.patches, closest to the centre first
    verdict: VerdictRecord | None = None
    badges: tuple[BadgeRecord, ...] = ()
    name: str = ""  # this and what follows: by hand
    note: str = ""
    starred: bool = False
    hidden: bool = False
    changed: str = ""  # a sentence on patches that were put in or taken out, or ""


@dataclass(frozen=True, kw_only=True)
class LabelRecord:
    """One label: a tab of the report."""

    label: str
    n_images: int
    n_patches: int  # typical ones, whether in this page or not
    n_loose: int  # of those, in no cluster
    n_clusters: int  # likewise
    clusters: tuple[ClusterRecord, ...]
    random: tuple[int, ...]
    negative: tuple[int, ...]
    random_median: float | None  # of all random patches, the ones left out included
    verdict: str = ""  # a sentence on all its clusters together


@dataclass(frozen=True, kw_only=True)
class MapRecord:
    """Heat-maps in eight bits: value = scale · (byte − 128) / 127, row by row.

    Contrast, null, evidence; a map that the run does not have is None in both tuples.
    """

    height: int
    width: int
    scales: tuple[float | None, ...]
    cells: tuple[str | None, ...]  # base64 of height · width bytes each


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One whole image, embedded once, with its heat-maps by label."""

    jpeg: str  # base64
    width: int  # of the original, in which the boxes are measured
    height: int
    maps: Mapping[int, MapRecord]  # place in Page.labels -> maps


@dataclass(frozen=True, kw_only=True)
class ConfoundRow:
    """How well each family of nuisances tells one label from the others."""

    label: str
    cells: tuple[tuple[str, bool], ...]  # of each family: AUC with interval, whether it explains


@dataclass(frozen=True, kw_only=True)
class RareGroup:
    """What few images of a label share."""

    rank: int
    text: str  # its figures in plain sentences
    pictures: tuple[tuple[str, str], ...]  # JPEG in base64 and its words, the best first


@dataclass(frozen=True, kw_only=True)
class RareLabel:
    """The rare elements of a label, the best first."""

    label: str
    groups: tuple[RareGroup, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report, ready for the template."""

    facts: RunFacts
    summary: tuple[str, str, str]  # three plain sentences
    labels: tuple[LabelRecord, ...]
    patches: tuple[PatchRecord, ...]
    images: tuple[ImageRecord, ...]
    metadata_columns: tuple[str, ...]
    metadata: tuple[tuple[str, ...], ...]  # the distinct rows of metadata
    dots: tuple[tuple[float, float, int], ...]  # x, y, label of typical patches not embedded
    axis: tuple[float, float]  # the range that all interval bars share
    decimals: int  # behind the point, for every typicality on the page
    limits: tuple[float | None, ...]  # full colour of contrast, null, evidence; None: no such map
    left_out: tuple[str, ...]  # sentences: what the size budget cost
    families: tuple[str, ...] = ()  # of nuisances: columns of `confounds`
    confounds: tuple[ConfoundRow, ...] = ()
    rare: tuple[RareLabel, ...] = ()
    by_hand: tuple[str, ...] = ()  # sentences: what people changed about the clusters
    dot_rows: tuple[int, ...] = ()  # of each dot, the row of the patches
