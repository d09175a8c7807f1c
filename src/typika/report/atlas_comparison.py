"""Comparisons of groups -> what an atlas shows of them (pure).

Legend: `K` letters, `D` documents, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy import ndarray

from typika.palaeography.comparison_records import (
    Comparison,
    Differences,
    Graphs,
    Seriation,
    Tree,
)
from typika.palaeography.records import Letter
from typika.report.atlas_pictures import Pictures, ink_bytes, no_sheet, signed_bytes
from typika.report.atlas_records import (
    CHANCE,
    DIFFERS,
    UNTESTED,
    AlongRecord,
    ComparisonRecord,
    DifferenceRecord,
    GraphRecord,
    PlacesRecord,
    SomeTable,
    TreeRecord,
)
from typika.report.atlas_tables import data_table, number, numbers

MOST_DIFFERENCES = 12  # pairs of groups of which the page holds the pictures
TITLES = {
    "letters": "Letters that differ",
    "graphs": "Distances of documents to two groups",
    "sigma": "How much documents of a group differ",
    "sigma_tests": "Whether one group varies more than another",
    "outliers": "Documents unlike the rest of their group",
    "documents": "Documents and their nearest",
    "seriation": "Documents in order",
    "seriation_axes": "Axes and dates",
    "seriation_letters": "Letters that carry the first axis",
}
Places = Mapping[Letter, int]  # of a letter among those of the page


def comparison_record(one: Comparison, places: Places, pictures: Pictures) -> ComparisonRecord:
    """All that the page shows of a comparison; letters that the page lacks are dropped."""
    prefix = f"{one.by}-by-{one.documents_by}"
    return ComparisonRecord(
        by=one.by,
        documents_by=one.documents_by,
        ink=one.ink,
        differences=tuple(
            _difference(pair, places, pictures) for pair in one.differences[:MOST_DIFFERENCES]
        ),
        graphs=tuple(_graph(pair, places) for pair in one.graphs[:MOST_DIFFERENCES]),
        tree=_tree(one.tree) if one.tree else None,
        places=_places_record(one.tree, one.seriation),
        along=_along(one.seriation, places, pictures) if one.seriation else None,
        said=tuple(_said(one)),
        tables=tuple(
            data_table(SomeTable(title=f"{TITLES.get(name, name)}, by {one.by}",
                                 name=f"{prefix}-{name}", table=table))
            for name, table in one.tables().items()
        ),
    )  # fmt: skip


def tree_order(tree: Tree, groups: Sequence[str]) -> tuple[int, ...]:
    """Groups in the order of a tree's leaves, those that it lacks last; empty if it has none."""
    known = {name: number for number, name in enumerate(groups)}
    leaves = [known[tree.documents[d]] for d in leaf_order(tree) if tree.documents[d] in known]
    if not leaves:
        return ()
    return (*leaves, *(number for number in range(len(groups)) if number not in leaves))


def leaf_order(tree: Tree) -> tuple[int, ...]:
    """The leaves from one end of the tree to the other, so that no branches cross."""
    n = len(tree.documents)
    if not len(tree.linkage):
        return tuple(range(n))
    inside: dict[int, tuple[int, ...]] = {leaf: (leaf,) for leaf in range(n)}
    for number_, (one, other, *_) in enumerate(tree.linkage):
        inside[n + number_] = (*inside[int(one)], *inside[int(other)])
    return inside[n + len(tree.linkage) - 1]


def _said(one: Comparison) -> Iterator[str]:
    outliers = one.outliers
    alone = [d for d in outliers.ranked if outliers.holm[d] < 0.05]
    for d in alone:
        letters = ", ".join(letter.name for letter in outliers.letters_of(d))
        yield (
            f"{outliers.documents[d]} stands apart from the rest of {outliers.group[d]} "
            f"(p = {_p(outliers.p[d])}, {_p(outliers.holm[d])} after correction), most in "
            f"{letters}."
        )
    if outliers.ranked and not alone:
        yield "No document is called unlike the rest of its group."
    if one.seriation is not None:
        yield from _dates(one.seriation)


def _dates(found: Seriation) -> Iterator[str]:
    if len(found.share) and np.isfinite(found.spearman[0, 0]):
        value = f"{found.spearman[0, 0]:.2f}".replace("-", "−")
        yield (
            f"The first axis of the prototypes has {100 * found.share[0]:.0f} % of their "
            f"variance. With the dates it has Spearman’s ρ = {value}"
            f"{_between(found.spearman[0])}, p = {_p(found.p[0])}; {_p(found.corrected[0])} after "
            "looking at all axes."
        )
    if np.isfinite(found.error[0]):
        yield (
            f"Guessed from its letters by the others, a document is dated {found.error[0]:.0f} "
            f"years off on average ({found.error[1]:.0f} to {found.error[2]:.0f}); guessing the "
            f"others’ mean date is {found.guessing:.0f} years off."
        )
    if found.unread:
        yield f"Dates that could not be read: {', '.join(found.unread)}."


def _difference(one: Differences, places: Places, pictures: Pictures) -> DifferenceRecord:
    rest = [k for k in range(len(one.letters)) if k not in one.ranked]
    # Where one group lacks a letter there is nothing to subtract; the table says so.
    both = one.units.min(axis=1) > 0
    order = [k for k in (*one.ranked, *rest) if one.letters[k] in places and both[k]]
    height, width = one.map.shape[1:]
    tiles = np.empty((len(order), 3, height, width), np.uint8)
    tiles[:, 0] = signed_bytes(one.map[order])
    tiles[:, 1] = np.where(one.significant[order], 0, 255)
    tiles[:, 2] = ink_bytes(one.ink[order].mean(1))
    return DifferenceRecord(
        first=one.first, second=one.second, unit=one.unit, level=float(one.level),
        order=tuple(places[one.letters[k]] for k in order),
        verdict=tuple(_verdict(one, k) for k in order),
        figures=tuple(tuple(_figures(one, k)) for k in order),
        sheet=pictures.sprites(tiles.reshape(-1, height, width))
        if order else no_sheet(height, width),
    )  # fmt: skip


def _verdict(one: Differences, k: int) -> str:
    if not np.isfinite(one.letter_q[k]):
        return UNTESTED
    return DIFFERS if one.differs[k] else CHANCE


def _figures(one: Differences, k: int) -> Iterator[str]:
    if np.isfinite(one.letter_q[k]):
        yield f"q = {_p(one.letter_q[k])}"
    if np.isfinite(one.separation[k, 0]):
        yield f"separates {one.separation[k, 0]:.2f}{_between(one.separation[k])}"
    if np.isfinite(one.l2_corrected[k, 0]):
        yield f"distance {one.l2_corrected[k, 0]:.2f}{_between(one.l2_corrected[k])}"
    units, count = one.units[k], one.count[k]
    yield f"{units[0]} and {units[1]} {one.unit}s"
    if one.unit != "instance":
        yield f"{count[0]} and {count[1]} instances"


def _between(values: ndarray) -> str:
    if not np.isfinite(values[1:]).all():
        return ""
    return f" ({values[1]:.2f} to {values[2]:.2f})".replace("-", "−")


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


def _graph(one: Graphs, places: Places) -> GraphRecord:
    known = [k for k, letter in enumerate(one.letters) if letter in places]
    return GraphRecord(
        first=one.first, second=one.second, documents=one.documents,
        side=tuple(int(side) for side in one.side), split=one.split,
        letters=tuple(places[one.letters[k]] for k in known),
        count=tuple(tuple(int(n) for n in row) for row in one.count[:, known]),
        distance=numbers(one.distance[:, known]), published=numbers(one.published[:, known]),
    )  # fmt: skip


def _tree(tree: Tree) -> TreeRecord:
    branches = [
        (int(one), int(other), number(height) or 0.0, number(support))
        for (one, other, height, _), support in zip(tree.linkage, tree.support, strict=True)
    ]
    return TreeRecord(
        documents=tree.documents, group=tree.group, order=leaf_order(tree),
        branches=tuple(branches), left_out=tree.left_out,
    )  # fmt: skip


def _places_record(tree: Tree | None, found: Seriation | None) -> PlacesRecord | None:
    """All that is known of where documents lie, as coordinates of the same documents."""
    if tree is None and found is None:
        return None
    documents = found.documents if found else tree.documents if tree else ()
    columns: dict[str, Mapping[str, float | None]] = {}
    said = []
    if tree is not None:
        for axis, name in enumerate(("map, across", "map, up")):
            columns[name] = dict(zip(tree.documents, numbers(tree.place[:, axis]), strict=True))
        said.append(
            f"The map puts documents so that distances on it are as like theirs as two axes "
            f"allow (stress {tree.stress:.2f}; 0 is exact)."
        )
    n_map = len(columns)
    if found is not None:
        for axis, share in enumerate(found.share):
            name = f"axis {axis + 1}"
            columns[name] = dict(zip(documents, numbers(found.axis[:, axis]), strict=True))
            said.append(f"Axis {axis + 1} has {100 * share:.0f} % of the variance.")
        columns["year"] = dict(zip(documents, numbers(found.year), strict=True))
        columns["year, predicted"] = dict(zip(documents, numbers(found.predicted), strict=True))
    group_of = dict(zip(tree.documents, tree.group, strict=True)) if tree else {}
    names = tuple(columns)
    dated = found is not None and bool(np.isfinite(found.year).any())
    return PlacesRecord(
        documents=tuple(documents),
        group=tuple(group_of.get(name, "") for name in documents),
        names=names,
        values=tuple(tuple(columns[name].get(one) for one in documents) for name in names),
        said=tuple(said),
        start=(names.index("year"), n_map) if dated else (0, min(1, len(names) - 1)),
    )


def _along(found: Seriation, places: Places, pictures: Pictures) -> AlongRecord | None:
    order = [k for k in found.ranked if found.letters[k] in places]
    if not order:
        return None
    peak = float(np.abs(found.along).max()) or 1.0
    return AlongRecord(
        letters=tuple(places[found.letters[k]] for k in order),
        carried=tuple(number(found.carried[k]) or 0.0 for k in order),
        sheet=pictures.sprites(signed_bytes(found.along[order] / peak)),
    )
