"""Elements along a condition -> a frozen `AlongPage` (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from typika.mining.significance import VERDICTS
from typika.report.along_records import AlongPage, Dot, ElementRow
from typika.report.budget import FRAME_BYTES, MEGABYTE
from typika.report.pictures import as_base64

CHART = (300.0, 90.0)  # width and height of a drawing
MARGIN = 6.0
MOST_PICTURES = 16  # of an element
MARKUP = 200  # bytes around a picture
HOLDING = VERDICTS[:2]
WORDS = {
    "significant": "● depends on it",
    "suggestive": "◐ may depend on it",
    "not shown": "○ not shown to depend on it",
    "not tested": "– not tested",
}


def build_along(
    elements: pa.Table,
    patches: pa.Table,
    middles: Float[ndarray, "s d"],
    places: Float[ndarray, "s p"],
    *,
    kind: str,
    condition: str,
    title: str,
    notes: Sequence[str],
    facts: Sequence[tuple[str, str]],
    version: str,
    date: str,
    max_megabytes: float = 25,
) -> AlongPage:
    """Decide what the page shows, and word it.

    elements, patches: of the run; middles: the condition in each stretch, places: where it lies in
    the chart's coordinates, of which the first two are drawn.
    """
    rows = elements.to_pylist()
    shown = _pictures(patches, len(rows), round(max_megabytes * MEGABYTE) - FRAME_BYTES, condition)
    drawn = [
        _row(row, number, shown[number - 1], middles, places, kind, condition)
        for number, row in enumerate(rows, 1)
    ]
    found = tuple(one for one in drawn if one.verdict in HOLDING)
    sure = sum(one.verdict == VERDICTS[0] for one in found)
    lead = (
        f"{len(rows)} groups of like patches, of which {sure} depend on {condition} in images "
        f"that the model never saw{', and more may' if len(found) > sure else ''}.",
        "They stand in the order in which they are found along it, and so do their patches."
        if kind == "number"
        else "The chart of each shows where it is found.",
    )
    total = sum(one is not None for one in patches["thumbnail"].to_pylist())
    count = sum(len(one.pictures) for one in drawn)
    return AlongPage(
        title=title, version=version, date=date, lead=lead, notes=tuple(notes), found=found,
        others=tuple(one for one in drawn if one.verdict not in HOLDING),
        facts=tuple(facts), kind=kind, condition=condition,
        left_out=() if count == total else (
            f"The page shows {count:,} of {total:,} patches; patches.parquet holds them all.",
        ),
    )  # fmt: skip


def _pictures(
    patches: pa.Table, n_elements: int, budget: int, condition: str
) -> list[tuple[tuple[str, str], ...]]:
    """Of each element patches spread evenly over its members, in the order of the condition."""
    rows = patches.select(
        ["element", "distance", "condition", "file_name", "thumbnail"]
    ).to_pylist()
    most = MOST_PICTURES
    while True:
        found = [_spread(rows, number, most, condition) for number in range(n_elements)]
        weight = sum(len(jpeg) + MARKUP for own in found for jpeg, _ in own)
        if weight <= budget or not most:
            return found
        most -= 1


def _spread(
    rows: Sequence[Mapping[str, Any]], element: int, most: int, condition: str
) -> tuple[tuple[str, str], ...]:
    own = [row for row in rows if row["element"] == element]
    # The more central half, so that what is shown is what the element looks like.
    central = sorted(own, key=lambda row: row["distance"])[: max(most, len(own) // 2)]
    central.sort(key=lambda row: row["condition"])
    wanted = np.unique(
        np.linspace(0, len(central) - 1, min(most, len(central))).round().astype(int)
    )
    return tuple(
        (
            as_base64(central[place]["thumbnail"]["bytes"]),
            f"{central[place]['file_name']}, {condition} {spelled(central[place]['condition'])}",
        )
        for place in wanted.tolist()
    )


def spelled(value: Sequence[float] | None) -> str:
    """A condition as text; of a vector its length."""
    if value is None:
        return "unknown"
    if len(value) > 2:
        return f"a vector of {len(value)} numbers"
    return ", ".join(f"{one:.6g}" for one in value)


def _row(
    row: Mapping[str, Any],
    number: int,
    pictures: tuple[tuple[str, str], ...],
    middles: Float[ndarray, "s d"],
    places: Float[ndarray, "s p"],
    kind: str,
    condition: str,
) -> ElementRow:
    dots: tuple[Dot, ...] = ()
    line = ""
    if row["share"]:
        drawn = _along_axis if kind == "number" else _in_plane
        dots, line = drawn(row, middles, places, kind, condition)
    title = f"{condition} around {spelled(row['place'])}" if row["place"] else "Not placed"
    if kind == "vector" and row["share"]:
        best = int(np.argmax(row["share"]))
        title = f"neighbourhood {best + 1} of {len(middles)}"
    first, last = (spelled([middles[end, 0]]) if kind == "number" else "" for end in (0, -1))
    return ElementRow(
        number=number, title=title, verdict=row["verdict"], text=_text(row, kind, condition),
        dots=dots, line=line, first=first, last=last, pictures=pictures,
    )  # fmt: skip


def _along_axis(
    row: Mapping[str, Any],
    middles: Float[ndarray, "s d"],
    places: Float[ndarray, "s p"],
    kind: str,  # noqa: ARG001
    condition: str,
) -> tuple[tuple[Dot, ...], str]:
    """The share of images that show an element, stretch by stretch along a number."""
    width, height = CHART
    x = MARGIN + places[:, 0] * (width - 2 * MARGIN)

    def up(share: float) -> float:
        return round(height - MARGIN - share * (height - 2 * MARGIN), 1)

    dots = tuple(
        Dot(
            x=round(float(at), 1), y=up(share), low=up(low), high=up(high),
            text=f"{condition} about {spelled(middle.tolist())}: {share:.0%} of the images "
            f"({low:.0%} to {high:.0%})",
        )
        for at, middle, share, low, high in zip(
            x, middles, row["share"], row["share_low"], row["share_high"], strict=True
        )
        if math.isfinite(share)
    )  # fmt: skip
    return dots, " ".join(f"{dot.x},{dot.y}" for dot in dots)


def _in_plane(
    row: Mapping[str, Any],
    middles: Float[ndarray, "s d"],
    places: Float[ndarray, "s p"],
    kind: str,
    condition: str,
) -> tuple[tuple[Dot, ...], str]:
    """The neighbourhoods of the anchors as discs in a plane, as large as the share there.

    Of a pair as on a map, the second number to the right if the first is called a latitude.
    """
    plane = places[:, :2] if places.shape[1] > 1 else np.c_[places[:, 0], np.zeros(len(places))]
    if kind == "pair" and condition.lower().startswith("lat"):
        plane = plane[:, ::-1]
    low, high = plane.min(axis=0), plane.max(axis=0)
    unit = (plane - low) / np.where(high > low, high - low, 1)
    width, height = CHART
    inset = 3 * MARGIN
    dots = []
    for (x, y), middle, share in zip(unit, middles, row["share"], strict=True):
        if math.isfinite(share):
            across = round(float(inset + x * (width - 2 * inset)), 1)
            down = round(float(height - inset - y * (height - 2 * inset)), 1)
            radius = round(2 + 13 * math.sqrt(share), 1)
            text = f"{condition} about {spelled(middle.tolist())}: {share:.0%} of the images"
            dots.append(Dot(x=across, y=down, low=radius, high=radius, text=text))
    return tuple(dots), ""


def _text(row: Mapping[str, Any], kind: str, condition: str) -> str:
    said = [
        f"{WORDS[row['verdict']]}. {row['size']} patches of {row['n_images']} images, median "
        f"typicality {row['typicality']:.3g} at their own {condition}."
    ]
    if row["p_family"] is not None:
        where = ""
        if row["start"] is not None:
            where = f", most from {row['start']:.6g} to {row['end']:.6g}"
        said.append(
            f"Tried on {row['n_tested']} unseen images{where}: with {condition} shuffled, any "
            f"element does as well with p {_p(row['p_family'])}, this one with p {_p(row['p'])} "
            f"(q {_p(row['q'])})."
        )
    if kind == "number" and row["more"] is not None:
        word = "more" if row["more"] > 0 else "less"
        said.append(f"Its patches are typical of {word} of it: {row['more']:+.3g} end to end.")
    return " ".join(said)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
