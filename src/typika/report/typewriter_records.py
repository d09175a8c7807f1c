"""What the page of a typewriter is made from, and the frozen page that its template shows.

Legend: `H W` pixels of a line at the model's height, `h w` of a sprite, `n` characters of a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

# The parts that lines play in a run.
LEARNED, VALIDATED, TESTED = "learned from", "held out", "tested"
UNFIT, UNTRANSCRIBED = "too long for its cells", "not transcribed"


@dataclass(frozen=True, kw_only=True)
class CutInstance:
    """A character where it stands on a line, in the frame of its sprite.

    place: of the character in `characters.parquet`. pixels: (h, w, 3) RGB bytes of the line.
    distance: mean square from the mean of the sprite's instances.
    """

    line_id: str
    place: int
    pixels: np.ndarray
    distance: float


@dataclass(frozen=True, kw_only=True)
class LearnedSprite:
    """One form of a character.

    form: 0, or up to L − 1 where a character may have several. count: how often it is drawn, in
    all lines; learned: in those that it was learned from. ink: (h, w) in [0, 1]. Of `looked_at`
    instances that were compared, near: the nearest to their mean, the medoid first; far: the
    farthest.
    """

    character: str
    form: int
    count: int
    learned: int
    ink: np.ndarray
    near: tuple[CutInstance, ...]
    far: tuple[CutInstance, ...]
    looked_at: int


@dataclass(frozen=True, kw_only=True)
class DrawnLine:
    """A line, the model's drawing of it, and whose each pixel of the drawing is.

    pixels: (H, W, 3) RGB bytes. drawing: (H, W) ink as bytes, 255 for ink of full strength.
    owner: (H, W) which character draws a pixel, from the left, −1 for paper. paper_colour,
    ink_colour: RGB in [0, 1].
    """

    line_id: str
    pixels: np.ndarray
    drawing: np.ndarray
    owner: np.ndarray
    paper_colour: tuple[float, float, float]
    ink_colour: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class TypewriterInputs:
    """A typewriter run that is trained and aligned.

    parts: what each line was used for, by its id: one of the words above. wanted: lines to show,
    most wanted first, with the reason; lines: those of them that were drawn. metrics: of each
    check its "step" and, where it has them, "residual", "ctc" and "character_error". atlas: the
    file of the run's atlas beside the report, "" where it has none.
    """

    name: str
    several_forms: bool
    sprites: Sequence[LearnedSprite]
    readings: pa.Table
    characters: pa.Table
    parts: Mapping[str, str]
    wanted: Mapping[str, str]
    lines: Sequence[DrawnLine]
    metrics: Sequence[Mapping[str, float]]
    notes: Sequence[str]
    facts: Mapping[str, str]
    settings: Mapping[str, str]
    version: str
    date: str
    atlas: str = ""


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True, kw_only=True)
class InstancePicture:
    """A cut-out character; anchor: of its box on the page, empty where its line is not shown."""

    jpeg: str
    alt: str
    anchor: str


@dataclass(frozen=True, kw_only=True)
class SpriteCard:
    """One sprite with its words and its instances, the medoid first."""

    title: str  # the character, as it is shown
    name: str  # Unicode's name and code point
    count: str
    rare: str  # why it should not be trusted; empty where it may be
    png: str
    alt: str
    near: tuple[InstancePicture, ...]
    far: tuple[InstancePicture, ...]
    frequency: int


@dataclass(frozen=True, kw_only=True)
class CharacterBox:
    """One character of a shown line: its outline in all three pictures, and what is said of it."""

    anchor: str
    outline: str  # an SVG path
    text: str


@dataclass(frozen=True, kw_only=True)
class TextPiece:
    """Part of a text; kind: "same", "differs", or "space" where only white space does."""

    text: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class LineCard:
    """A line above its drawing, above the drawing coloured by character."""

    number: int
    line_id: str
    figures: str
    why: str
    part: str
    jpeg: str
    alt: str
    width: int
    height: int
    boxes: tuple[CharacterBox, ...]
    text: tuple[TextPiece, ...]  # empty where there is no transcription
    read: tuple[TextPiece, ...]
    by_error: int  # rank among the shown, most misread first
    by_name: int


@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """How well lines of one part are read."""

    part: str
    meaning: str
    n_lines: str
    n_characters: str
    micro: str
    macro: str


@dataclass(frozen=True, kw_only=True)
class ConfusionRow:
    """What was read for what."""

    reference: str
    read: str
    count: str
    unseen: str  # the count on lines that were not learned from
    share: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A line of the grid of a curve."""

    place: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A figure over the steps of training, on a logarithmic scale, in a box of 300 × 120."""

    title: str
    meaning: str
    points: str  # of an SVG polyline
    end: tuple[float, float]
    best: tuple[float, float] | None
    ticks: tuple[Tick, ...]
    steps: tuple[Tick, ...]
    said: str


@dataclass(frozen=True, kw_only=True)
class TypewriterPage:
    """The whole page, ready for the template."""

    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    sprites: tuple[SpriteCard, ...]
    lines: tuple[LineCard, ...]
    shown: str  # how many lines of how many, and which
    errors: tuple[ErrorRow, ...]
    confusions: tuple[ConfusionRow, ...]
    confused: str  # how many confusions of how many
    curves: tuple[Curve, ...]
    checks: tuple[tuple[str, ...], ...]  # the curves as a table: step, residual, CTC, error
    facts: Mapping[str, str]
    settings: Mapping[str, str]
    left_out: tuple[str, ...]
    version: str
    date: str
    atlas: str = ""
