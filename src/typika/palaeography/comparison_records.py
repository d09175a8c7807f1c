"""What a comparison of groups yields: differences, spreads, graphs, trees, orders in time.

Documents are the units: whatever varies independently of each other. Where a group is a single
document, its instances are (`unit` says which). Ink is 1, paper 0.

Legend: `K` letters, `D` documents, `G` groups, `P` pairs of groups, `A` axes, `h w` pixels of a
sprite, `3` a value and the lower and upper end of its 95 % interval, nan where it is not known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from safetensors.numpy import load_file, save

from typika.files import whole_folder, write_text
from typika.palaeography.records import Letter
from typika.tables import write_table

TENSORS, MEANING = "comparison.safetensors", "comparison.json"
DOCUMENT, INSTANCE = "document", "instance"  # what varies independently


@dataclass(frozen=True, eq=False)
class Differences:
    """How each letter differs between two groups.

    unit: DOCUMENT or INSTANCE. units: of the letter in the first and in the second group.
    count: instances of it. ink: the mean of the units' prototypes, of both groups. map: ink of
    the second less ink of the first, in [−1, 1]: positive = ink only in the second. p, q: of each
    pixel, two-sided, and its false discovery rate over the pixels of its letter; 1 where not
    tested. significant: pixels with q within the level. letter_p: of the letter as a whole,
    labels of the units permuted; letter_q: over letters; nan where the units are too few.
    differs: letters whose letter_q is within the level. l2: ‖second − first‖₂ as published, which
    noise of the two means makes larger. l2_corrected: the root of the part that is not noise, 0
    where noise explains all. ssim: structural similarity of the two means. separation: AUC of
    units left out of the prototypes that they are compared with; right: share of them on the side
    of their own group. level: of q, the greatest that is called significant.
    """

    first: str
    second: str
    unit: str
    level: float
    letters: tuple[Letter, ...]
    units: Int[ndarray, "K 2"]
    count: Int[ndarray, "K 2"]
    ink: Float[ndarray, "K 2 h w"]
    map: Float[ndarray, "K h w"]
    p: Float[ndarray, "K h w"]
    q: Float[ndarray, "K h w"]
    significant: Bool[ndarray, "K h w"]
    letter_p: Float[ndarray, " K"]
    letter_q: Float[ndarray, " K"]
    differs: Bool[ndarray, " K"]
    l2: Float[ndarray, "K 3"]
    l2_corrected: Float[ndarray, "K 3"]
    ssim: Float[ndarray, "K 3"]
    separation: Float[ndarray, "K 3"]
    right: Float[ndarray, " K"]

    @property
    def ranked(self) -> tuple[int, ...]:
        """Letters from the one that separates the groups best; those not known are left out."""
        known = np.flatnonzero(np.isfinite(self.separation[:, 0]))
        keys = [(-self.separation[k, 0], -self.l2_corrected[k, 0], k) for k in known]
        return tuple(int(k) for _, _, k in sorted(keys))

    @property
    def legend(self) -> str:
        """Which sign is which group."""
        return f"positive: ink only in {self.second}; negative: ink only in {self.first}; 0: equal"

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each letter, best separating first, those not ranked last."""
        rest = [k for k in range(len(self.letters)) if k not in self.ranked]
        for place, k in enumerate((*self.ranked, *rest)):
            yield {
                "first": self.first, "second": self.second, "unit": self.unit,
                "letter": self.letters[k].name, "character": self.letters[k].character,
                "form": self.letters[k].form,
                "rank": place + 1 if place < len(self.ranked) else None,
                "units_first": int(self.units[k, 0]), "units_second": int(self.units[k, 1]),
                "count_first": int(self.count[k, 0]), "count_second": int(self.count[k, 1]),
                **_estimate("separation", self.separation[k]), "right": float(self.right[k]),
                **_estimate("l2", self.l2[k]), **_estimate("l2_corrected", self.l2_corrected[k]),
                **_estimate("ssim", self.ssim[k]), "p": float(self.letter_p[k]),
                "q": float(self.letter_q[k]), "differs": bool(self.differs[k]),
                "significant_pixels": int(self.significant[k].sum()),
            }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Spread:
    """How much documents of one group differ among each other, letter by letter.

    sigma: the root of the sum over pixels of the variance over documents (ddof = 1); nan under
    two documents. corrected: the same less what noise of the documents' own means adds. units:
    documents behind it. ratio: of each pair of groups (in the order of `pairs`), ln of the second
    sigma over the first: positive where the second varies more. p: two-sided, q: its false
    discovery rate over the letters. all_p: of each pair, over all letters together.
    """

    groups: tuple[str, ...]
    letters: tuple[Letter, ...]
    units: Int[ndarray, "G K"]
    sigma: Float[ndarray, "G K 3"]
    corrected: Float[ndarray, "G K 3"]
    ratio: Float[ndarray, "P K 3"]
    p: Float[ndarray, "P K"]
    q: Float[ndarray, "P K"]
    all_p: Float[ndarray, " P"]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The groups two by two."""
        return tuple(combinations(self.groups, 2))

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each group and letter."""
        for g, group in enumerate(self.groups):
            for k, letter in enumerate(self.letters):
                yield {
                    "group": group, "letter": letter.name, "units": int(self.units[g, k]),
                    **_estimate("sigma", self.sigma[g, k]),
                    **_estimate("sigma_corrected", self.corrected[g, k]),
                }  # fmt: skip

    def test_rows(self) -> Iterator[dict[str, Any]]:
        """A row for each pair of groups and letter."""
        for number, (first, second) in enumerate(self.pairs):
            for k, letter in enumerate(self.letters):
                yield {
                    "first": first, "second": second, "letter": letter.name,
                    **_estimate("log_ratio", self.ratio[number, k]),
                    "p": float(self.p[number, k]), "q": float(self.q[number, k]),
                    "p_of_all_letters": float(self.all_p[number]),
                }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Graphs:
    """Distances of documents to the prototypes of two groups (Figs. 3.8 and 3.9).

    `distance[:, k]` is the graph of a letter, a point a document; `distance[d]` that of a
    document, a point a letter. Last axis: L2 to the first group's prototype, to the second's. Of a
    group that a document belongs to, the prototype is made without it. published: the same without
    leaving it out, as in the chapter. side: −1 documents of the first group, 1 of the second, 0 of
    neither. split: "train", "test" or "". count: instances. nan where document or group lacks the
    letter.
    """

    first: str
    second: str
    letters: tuple[Letter, ...]
    documents: tuple[str, ...]
    side: Int[ndarray, " D"]
    split: tuple[str, ...]
    count: Int[ndarray, "D K"]
    distance: Float[ndarray, "D K 2"]
    published: Float[ndarray, "D K 2"]

    @property
    def lean(self) -> Float[ndarray, "D K"]:
        """Distance to the first less that to the second: positive where the second is nearer."""
        return self.distance[:, :, 0] - self.distance[:, :, 1]

    @property
    def right(self) -> Bool[ndarray, "D K"]:
        """Points on the side of their own group; False where there is no point or no side."""
        return np.nan_to_num(self.lean) * self.side[:, None] > 0

    @property
    def points(self) -> Bool[ndarray, "D K"]:
        """Where a document of one of the groups has a point."""
        return np.isfinite(self.lean) & (self.side != 0)[:, None]

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each point."""
        names = {-1: self.first, 0: "", 1: self.second}
        for d, document in enumerate(self.documents):
            for k, letter in enumerate(self.letters):
                if not np.isfinite(self.lean[d, k]):
                    continue
                yield {
                    "first": self.first, "second": self.second, "document": document,
                    "group": names[int(self.side[d])], "split": self.split[d],
                    "letter": letter.name, "count": int(self.count[d, k]),
                    "to_first": float(self.distance[d, k, 0]),
                    "to_second": float(self.distance[d, k, 1]),
                    "to_first_published": float(self.published[d, k, 0]),
                    "to_second_published": float(self.published[d, k, 1]),
                    "right": bool(self.right[d, k]),
                }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outliers:
    """How far each document stands from the others of its group.

    statistic: mean over letters of `by_letter`, a letter's squared distance to the others' mean in
    units of what is usual in the group. p: one-sided; holm: corrected for all documents of all
    groups. nan where the group has too few documents.
    """

    documents: tuple[str, ...]
    group: tuple[str, ...]
    letters: tuple[Letter, ...]
    statistic: Float[ndarray, " D"]
    by_letter: Float[ndarray, "D K"]
    p: Float[ndarray, " D"]
    holm: Float[ndarray, " D"]

    @property
    def ranked(self) -> tuple[int, ...]:
        """Documents from the most unlike its group; those not tested are left out."""
        known = np.flatnonzero(np.isfinite(self.p))
        return tuple(
            int(d) for _, _, d in sorted((self.p[d], -self.statistic[d], d) for d in known)
        )

    def letters_of(self, document: int, most: int = 5) -> tuple[Letter, ...]:
        """The letters in which a document stands out most."""
        own = self.by_letter[document]
        order = sorted(np.flatnonzero(np.isfinite(own)), key=lambda k: (-own[k], k))
        return tuple(self.letters[k] for k in order[:most])

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each document, most unlike first."""
        for place, d in enumerate(self.ranked):
            yield {
                "rank": place + 1, "document": self.documents[d], "group": self.group[d],
                "statistic": float(self.statistic[d]), "p": float(self.p[d]),
                "p_holm": float(self.holm[d]),
                "letters": " ".join(letter.name for letter in self.letters_of(d)),
            }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tree:
    """Documents by likeness: average linkage, how sure each branch is, a map.

    distance: 1 is what is usual between two documents; nan nowhere: documents that share too few
    letters with others are in `left_out`. linkage: as SciPy writes it, (one, other, height,
    documents). support: of each branch, the share of resamplings in which its documents are a
    branch too. place: multidimensional scaling to two axes; stress: its share of error, 0: none.
    """

    documents: tuple[str, ...]
    group: tuple[str, ...]
    left_out: tuple[str, ...]
    distance: Float[ndarray, "D D"]
    linkage: Float[ndarray, "_ 4"]
    support: Float[ndarray, " _"]
    place: Float[ndarray, "D 2"]
    stress: float

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each document: where it lies, the three nearest to it."""
        for d, document in enumerate(self.documents):
            others = sorted((self.distance[d, e], e) for e in range(len(self.documents)) if e != d)
            nearest: dict[str, Any] = {}
            for n, (away, e) in enumerate(others[:3], 1):
                nearest |= {f"nearest_{n}": self.documents[e], f"distance_{n}": float(away)}
            yield {"document": document, "group": self.group[d], "x": float(self.place[d, 0]),
                   "y": float(self.place[d, 1]), **nearest}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Seriation:
    """Documents along the principal axes of their prototypes, beside their dates.

    written: dates as the collection has them. year: their middle, nan where there is none or it
    cannot be read; unread: those that cannot. axis: coordinates, the first axis first; its sign is
    such that it grows with the date, which is arbitrary. share: of the variance. spearman: of each
    axis with the dates; p: labels permuted, two-sided; corrected: for having looked at all axes.
    carried: of each letter, its share of the first axis, all 1 together. along: what changes from
    the low to the high end of the first axis, per pixel, in ink a standard deviation. predicted:
    year by ridge regression without the document itself; error: mean absolute, in years; guessing:
    the error of guessing the mean of the other documents.
    """

    documents: tuple[str, ...]
    letters: tuple[Letter, ...]
    written: tuple[str, ...]
    unread: tuple[str, ...]
    year: Float[ndarray, " D"]
    axis: Float[ndarray, "D A"]
    share: Float[ndarray, " A"]
    spearman: Float[ndarray, "A 3"]
    p: Float[ndarray, " A"]
    corrected: Float[ndarray, " A"]
    carried: Float[ndarray, " K"]
    along: Float[ndarray, "K h w"]
    predicted: Float[ndarray, " D"]
    error: Float[ndarray, " 3"]
    guessing: float

    @property
    def ranked(self) -> tuple[int, ...]:
        """Letters from the one that carries most of the first axis."""
        return tuple(int(k) for k in np.argsort(-self.carried, kind="stable"))

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each document along the first axis."""
        for d in np.argsort(self.axis[:, 0], kind="stable"):
            axes = {f"axis_{a + 1}": float(value) for a, value in enumerate(self.axis[d])}
            yield {"document": self.documents[d], "date": self.written[d],
                   "year": float(self.year[d]), "predicted": float(self.predicted[d]),
                   **axes}  # fmt: skip

    def axis_rows(self) -> Iterator[dict[str, Any]]:
        """A row for each axis."""
        for a in range(len(self.share)):
            yield {"axis": a + 1, "share": float(self.share[a]),
                   **_estimate("spearman", self.spearman[a]), "p": float(self.p[a]),
                   "p_corrected": float(self.corrected[a])}  # fmt: skip

    def letter_rows(self) -> Iterator[dict[str, Any]]:
        """A row for each letter, by how much of the first axis it carries."""
        for k in self.ranked:
            yield {"letter": self.letters[k].name, "carried": float(self.carried[k])}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Groups of documents compared, whole.

    by: the column that the groups are values of. documents_by: the column of the units. ink:
    what was compared: "mean" of aligned instances, or the prototypes' own method. Of `differences`
    and `graphs` one for each pair that was asked for. seriation: None without dates.
    """

    by: str
    documents_by: str
    ink: str
    differences: tuple[Differences, ...]
    graphs: tuple[Graphs, ...]
    spread: Spread
    outliers: Outliers
    tree: Tree | None
    seriation: Seriation | None

    def tables(self) -> dict[str, pa.Table]:
        """Tables by the name of their file; those without a row are left out."""
        found = {
            "letters": [row for one in self.differences for row in one.rows()],
            "graphs": [row for one in self.graphs for row in one.rows()],
            "sigma": list(self.spread.rows()),
            "sigma_tests": list(self.spread.test_rows()),
            "outliers": list(self.outliers.rows()),
            "documents": list(self.tree.rows()) if self.tree else [],
            "seriation": list(self.seriation.rows()) if self.seriation else [],
            "seriation_axes": list(self.seriation.axis_rows()) if self.seriation else [],
            "seriation_letters": list(self.seriation.letter_rows()) if self.seriation else [],
        }
        return {name: pa.Table.from_pylist(rows) for name, rows in found.items() if rows}

    def save(self, folder: Path) -> None:
        """Write tensors, meaning and tables (Parquet and CSV) to a folder, whole or not at all."""
        tensors: dict[str, ndarray] = {}
        meaning = _taken_apart(self, "", tensors)
        with whole_folder(folder) as temporary:
            (temporary / TENSORS).write_bytes(save(tensors))
            write_text(temporary / MEANING, json.dumps(meaning, ensure_ascii=False) + "\n")
            for name, table in self.tables().items():
                write_table(table, temporary / f"{name}.parquet")

    @classmethod
    def load(cls, folder: Path) -> Comparison:
        """Read what `save` wrote."""
        values = json.loads((folder / MEANING).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)

        def one(kind: Any, name: str, found: Any) -> Any:
            return None if found is None else _put_together(kind, name, found, tensors)

        several: tuple[tuple[str, Any], ...] = (("differences", Differences), ("graphs", Graphs))
        for name, kind in several:
            values[name] = tuple(one(kind, f"{name}.{number}", found)
                                 for number, found in enumerate(values[name]))  # fmt: skip
        for name, kind in (("spread", Spread), ("outliers", Outliers), ("tree", Tree),
                           ("seriation", Seriation)):  # fmt: skip
            values[name] = one(kind, name, values[name])
        return cls(**values)


def _taken_apart(value: Any, name: str, tensors: dict[str, ndarray]) -> Any:
    """What JSON holds of a record; its arrays go to `tensors`, by the names of their fields."""
    if isinstance(value, ndarray):
        tensors[name] = np.ascontiguousarray(value)
        return None
    if isinstance(value, Letter):
        return [value.character, value.form]
    if isinstance(value, tuple):
        return [_taken_apart(one, f"{name}.{n}", tensors) for n, one in enumerate(value)]
    if is_dataclass(value):
        inside = {field.name: getattr(value, field.name) for field in fields(value)}
        return {key: _taken_apart(one, f"{name}.{key}".lstrip("."), tensors)
                for key, one in inside.items()}  # fmt: skip
    return value


def _put_together(kind: Any, name: str, found: dict[str, Any], tensors: dict[str, ndarray]) -> Any:
    values: dict[str, Any] = {}
    for key, value in found.items():
        if f"{name}.{key}" in tensors:
            values[key] = tensors[f"{name}.{key}"]
        elif key == "letters":
            values[key] = tuple(Letter(character, form) for character, form in value)
        else:
            values[key] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _estimate(name: str, values: Sequence[float] | ndarray) -> dict[str, float]:
    ends = (name, f"{name}_low", f"{name}_high")
    return {end: float(value) for end, value in zip(ends, values, strict=True)}
