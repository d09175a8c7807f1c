"""A small run of two labels, and edits of it as one or two tabs would send them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from typika.curation.apply import LOOSE, Found
from typika.curation.edits import (
    Anchor,
    Annotate,
    Change,
    Drop,
    Edit,
    Hide,
    Log,
    Merge,
    Rename,
    Split,
    Spot,
    Star,
    Undo,
)

SIZES = {"east": (5, 4, 3), "west": (6, 2)}


def found(sizes: dict[str, tuple[int, ...]] = SIZES) -> Found:
    """Labels with clusters of these sizes and two loose patches each."""
    label, spots, cluster = [], [], []
    for name, own in sizes.items():
        numbers = [number for number, size in enumerate(own) for _ in range(size)] + [LOOSE] * 2
        for place, number in enumerate(numbers):
            label.append(name)
            spots.append(Spot(f"{place:02d}", (place, 0, place + 9, 9)))
            cluster.append(number)
    rows = np.arange(len(label)) * 3  # controls stand between typical patches
    return Found(tuple(label), tuple(spots), rows, np.array(cluster))


def anchor(base: Found, label: str, *numbers: int) -> Anchor:
    own = [
        n for n, (x, c) in enumerate(zip(base.label, base.cluster, strict=True))
        if x == label and c in numbers
    ]  # fmt: skip
    return base.anchor(own)


def log(*changes: Change) -> Log:
    return Log.of(
        Edit(id=f"{number:032x}", at="2026-01-01T00:00:00Z", change=change)
        for number, change in enumerate(changes)
    )


Plan = list[tuple]  # what is drawn; beartype, which rolls dice, would upset hypothesis there


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Kinds of edits, what they are of, and what they say."""
    made: Plan = []
    for number in range(draw(st.integers(1, 8))):
        label = draw(st.sampled_from(list(SIZES)))
        clusters = st.integers(0, len(SIZES[label]) - 1)
        kinds = ["rename", "note", "star", "hide", "merge", "split", "drop"]
        kind = draw(st.sampled_from(kinds + ["undo"] * bool(number)))
        if kind == "undo":
            made.append((kind, draw(st.integers(0, number - 1))))
        elif kind in ("split", "drop"):
            some = st.sets(st.integers(0, sum(SIZES[label]) + 1), min_size=1)
            made.append((kind, label, draw(some), draw(st.booleans())))
        elif kind == "merge":
            made.append((kind, label, draw(clusters), draw(clusters)))
        else:
            names, on = st.sampled_from(["", "door", "lamp"]), st.booleans()
            made.append((kind, label, draw(clusters), draw(on if kind in "star hide" else names)))
    return made


def planned(plan: Plan) -> list[Change]:
    """The edits of a plan."""
    base = found()
    made: list[Change] = []
    for kind, *given in plan:
        if kind == "undo":
            made.append(Undo(f"{given[0]:032x}"))
            continue
        label, of, value = given
        if kind in ("split", "drop"):
            first = base.label.index(label)
            some = base.anchor(first + place for place in of)
            made.append(Split(some, "apart") if kind == "split" else Drop(some, value))
            continue
        made.append(of_cluster(kind, base, label, of, value))
    return made


def of_cluster(kind: str, base: Found, label: str, of: int, value: object) -> Change:
    own = anchor(base, label, of)
    if kind == "merge":
        return Merge(own, anchor(base, label, value))
    return {"rename": Rename, "note": Annotate, "star": Star, "hide": Hide}[kind](own, value)
