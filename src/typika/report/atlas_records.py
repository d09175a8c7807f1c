"""What an atlas of prototypes is made from, and the frozen page that its script shows.

Legend: `G` groups, `K` letters, `H W` pixels of a line, `h w` of a sprite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from jaxtyping import Float, UInt8
from numpy import ndarray

from typika.palaeography.comparison_records import Comparison
from typika.palaeography.records import Instances, Prototypes

PROTOTYPE, MEAN, SPREAD = "prototype", "mean", "spread"
VIEWS = (PROTOTYPE, MEAN, SPREAD)  # of a prototype, in the order of its tiles
REFERENCE, MASK = 0, 1  # tiles of a letter's own sheet
DIFFERS, CHANCE, UNTESTED = "differs", "may be chance", "not tested"
VERDICTS = (DIFFERS, CHANCE, UNTESTED)  # on a letter of two groups


@dataclass(frozen=True, kw_only=True)
class SomeTable:
    """A table that another stage wrote. title: what it is; name: of its CSV file, without .csv."""

    title: str
    name: str
    table: pa.Table


@dataclass(frozen=True, kw_only=True)
class AtlasInputs:
    """A typewriter run that is adapted, whatever else was made of it.

    prototypes: one for each grouping, all of the same letters. instances: what they rest on, None
    where the run does not have them. line: the pixels of a line by its id, None where there are
    none. masks: of each letter where its ink may be (spec 1.13), None where nothing is filtered.
    dates: of each grouping (by its column) and group the date as written and its middle year.
    source: the folder that file names are below.
    """

    name: str
    prototypes: Sequence[Prototypes]
    instances: Instances | None
    line: Callable[[str], UInt8[ndarray, "H W 3"] | None]
    masks: Float[ndarray, "K h w"] | None
    dates: Mapping[str, Mapping[str, tuple[str, float | None]]]
    comparisons: Sequence[Comparison]
    tables: Sequence[SomeTable]
    source: str
    notes: Sequence[str]
    facts: Mapping[str, str]
    version: str
    date: str


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Many small pictures in one; tile n stands in row n // columns.

    picture: its place in the page's `pictures`, −1 where there is none. width, height: of a tile.
    """

    picture: int
    columns: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class LetterRecord:
    """A letter. own: a sheet of the model's own sprite and, where there is one, the mask."""

    name: str
    unicode: str
    own: Sheet


@dataclass(frozen=True, kw_only=True)
class GroupRecord:
    """A group. year: middle of its date, None without one. facts: what all its lines share."""

    name: str
    parent: str
    date: str
    year: float | None
    count: int
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """What is known of one letter in one group but its pixels.

    instances: rows of the letter's `InstancesRecord`: the medoid, `near` others near it, then
    those farthest.
    """

    count: int
    flag: str
    quality: float | None
    instances: tuple[int, ...]
    near: int


@dataclass(frozen=True, kw_only=True)
class GroupingRecord:
    """Letters x groups. cells: a row a group. sheets: of each letter, tile view · G + group.

    tree: the order of the groups in a tree of likeness, empty where none was made.
    """

    by: str
    method: str
    groups: tuple[GroupRecord, ...]
    cells: tuple[tuple[CellRecord, ...], ...]
    sheets: tuple[Sheet, ...]
    tree: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class InstanceRecord:
    """One occurrence. box: left, top, right, bottom on its strip; page: its box on the image."""

    line: str
    file: str
    place: int
    confidence: float | None
    box: tuple[float, float, float, float]
    page: tuple[int, int, int, int] | None


@dataclass(frozen=True, kw_only=True)
class InstancesRecord:
    """The shown instances of a letter: aligned to its sprite, and where they stand on lines."""

    aligned: Sheet
    strips: Sheet
    rows: tuple[InstanceRecord, ...]


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """A table of the page. total: rows that the table has, of which `rows` may be the first."""

    title: str
    name: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str | int | float | bool | None, ...], ...]
    total: int


@dataclass(frozen=True, kw_only=True)
class DifferenceRecord:
    """Letters that differ between two groups.

    order: letters of the page, best separating first. sheet: of the n-th of them the tiles 3n, 3n
    + 1 and 3n + 2: the difference (127.5 is none, 255 is ink only in the second), which pixels
    are significant, and the mean of both. verdict: of each one of VERDICTS; figures: what else is
    said of it.
    """

    first: str
    second: str
    unit: str
    level: float
    order: tuple[int, ...]
    verdict: tuple[str, ...]
    figures: tuple[tuple[str, ...], ...]
    sheet: Sheet


@dataclass(frozen=True, kw_only=True)
class GraphRecord:
    """Distances of documents to two groups: of each document and letter to the first, second.

    letters: of the page. side: −1 of the first group, 1 of the second, 0 of neither. distance:
    each document left out of its own group; published: not.
    """

    first: str
    second: str
    documents: tuple[str, ...]
    side: tuple[int, ...]
    split: tuple[str, ...]
    letters: tuple[int, ...]
    count: tuple[tuple[int, ...], ...]
    distance: tuple[tuple[tuple[float | None, float | None], ...], ...]
    published: tuple[tuple[tuple[float | None, float | None], ...], ...]


@dataclass(frozen=True, kw_only=True)
class TreeRecord:
    """Documents by likeness. order: of the leaves; branches: (one, other, height, support)."""

    documents: tuple[str, ...]
    group: tuple[str, ...]
    order: tuple[int, ...]
    branches: tuple[tuple[int, int, float, float | None], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PlacesRecord:
    """Coordinates of documents, to draw any two against each other.

    names: of the coordinates; values: of each coordinate, of each document. said: what is known
    of the coordinates as a whole. start: the two coordinates shown first.
    """

    documents: tuple[str, ...]
    group: tuple[str, ...]
    names: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    said: tuple[str, ...]
    start: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class AlongRecord:
    """What changes along the first axis: of each letter its share of the axis and its picture.

    letters: of the page, most carrying first; sheet: tile n is of the n-th, as in a difference.
    """

    letters: tuple[int, ...]
    carried: tuple[float, ...]
    sheet: Sheet


@dataclass(frozen=True, kw_only=True)
class ComparisonRecord:
    """One comparison of groups."""

    by: str
    documents_by: str
    ink: str
    differences: tuple[DifferenceRecord, ...]
    graphs: tuple[GraphRecord, ...]
    tree: TreeRecord | None
    places: PlacesRecord | None
    along: AlongRecord | None
    said: tuple[str, ...]
    tables: tuple[DataTable, ...]


@dataclass(frozen=True, kw_only=True)
class AtlasPage:
    """The whole page. pictures: data URLs without their `data:`; height, width: of a sprite."""

    title: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    height: int
    width: int
    few: int
    masked: bool
    letters: tuple[LetterRecord, ...]
    groupings: tuple[GroupingRecord, ...]
    instances: tuple[InstancesRecord, ...]
    comparisons: tuple[ComparisonRecord, ...]
    tables: tuple[DataTable, ...]
    pictures: tuple[str, ...]
    source: str
    facts: Mapping[str, str]
    left_out: tuple[str, ...]
    version: str
    date: str
