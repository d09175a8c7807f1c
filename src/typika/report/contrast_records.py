"""What the page of contrasts is made from, and the frozen page that its template shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from typika.report.comparison_records import ClusterRow, Picture


@dataclass(frozen=True, kw_only=True)
class ShownContrast:
    """One image that is shown under the map of a contrast."""

    contrast: int
    file_name: str
    image: Image.Image  # RGB, small
    values: np.ndarray  # (h, w) of the contrast


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the diffusion classifier says of the images that no label was learned from, or of all.

    image, cells: (k, k) mean probability of each label by true label, of whole images and of
    cells; told: share of images given their label; n_images: by label; held_out: whether the
    model saw none of them.
    """

    labels: tuple[str, ...]
    image: np.ndarray
    cells: np.ndarray
    told: float
    n_images: tuple[int, ...]
    held_out: bool


@dataclass(frozen=True, kw_only=True)
class ContrastInputs:
    """Contrasts of a run, chosen and grouped."""

    name: str  # of the run
    against: tuple[str, ...]
    subjects: Sequence[tuple[str, str, int]]  # of each contrast: subject, against, images
    patches: pa.Table
    clusters: pa.Table
    shown: tuple[ShownContrast, ...]
    answers: Answers | None
    facts: Mapping[str, str]
    tree: tuple[int, ...]  # the contrasts of nodes of a tree, parents first
    version: str
    date: str


@dataclass(frozen=True, kw_only=True)
class ContrastFigure:
    """One image, plain and under the map of the contrast."""

    caption: str
    plain: Picture
    heat: Picture
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class ContrastSection:
    """One contrast: its clusters and some images."""

    number: int
    subject: str
    against: str
    summary: str
    clusters: tuple[ClusterRow, ...]
    n_clusters: int
    figures: tuple[ContrastFigure, ...]
    limit: str  # the contrast of the fullest colour


@dataclass(frozen=True, kw_only=True)
class TreeRow:
    """A node of the tree of labels, with its first patches; `depth` 0 is the first level."""

    name: str
    depth: int
    number: int | None  # of its section; None where nothing was asked of it
    typicality: str
    patches: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A cell of a confusion matrix."""

    text: str
    shade: int  # 0 to 9
    own: bool  # on the diagonal


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A confusion matrix: rows are the truth."""

    title: str
    rows: tuple[tuple[str, str, tuple[Share, ...]], ...]  # label, images, shares


@dataclass(frozen=True, kw_only=True)
class ContrastPage:
    """The whole page, ready for the template."""

    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    tree: tuple[TreeRow, ...]
    sections: tuple[ContrastSection, ...]
    labels: tuple[str, ...]  # columns of the matrices
    matrices: tuple[Matrix, ...]
    scale: Picture | None
    facts: Mapping[str, str]
    version: str
    date: str
