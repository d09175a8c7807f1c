"""Which instances an atlas shows of each letter and group, and their pictures (pure).

Legend: `n` instances, `G` groups, `K` letters, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from typika.palaeography.prototypes import distances, near_ink
from typika.palaeography.records import Instances, Prototypes
from typika.report.atlas_pictures import STRIP_COLUMNS, Pictures, no_sheet, strip, strip_size
from typika.report.atlas_records import InstanceRecord, InstancesRecord

ROW_BYTES = 190  # what is said of an instance
LineOf = Callable[[str], ndarray | None]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One compromise between how many instances a file holds and how well it shows them.

    near, far: of a cell, beside the medoid. strip: pixels that a strip of a line is high, 0 for
    none. quality: of WebP.
    """

    near: int
    far: int
    strip: int
    quality: int


LADDER = tuple(
    Rung(near=near, far=far, strip=height, quality=quality)
    for near, far, height, quality in (
        (4, 3, 48, 55), (3, 2, 44, 50), (3, 2, 40, 40), (2, 2, 36, 35), (1, 1, 32, 30),
        (0, 1, 28, 25), (0, 0, 28, 20), (0, 0, 0, 20),
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The instances of one letter in one group: rows of `Instances`, from the medoid outwards."""

    medoid: int
    outwards: Int[ndarray, " n"]

    def shown(self, rung: Rung) -> tuple[tuple[int, ...], int]:
        """The medoid, those nearest, those farthest (the farthest first); how many are near."""
        rest = [int(row) for row in self.outwards if row != self.medoid]
        near = rest[: rung.near]
        far = rest[len(near) :][::-1][: rung.far]
        first = [self.medoid] if self.medoid >= 0 else []
        return (*first, *near, *far), len(near)


def rank(instances: Instances, prototypes: Prototypes) -> dict[tuple[int, int], Ranked]:
    """Of every group and letter its instances, from the nearest to their mean to the farthest.

    As for the medoid, distance counts only near the ink of the model's own sprite.
    """
    names, of_row = instances.groups(prototypes.by)
    group_of = {name: number for number, name in enumerate(prototypes.groups)}
    numbers = np.array([group_of.get(name, -1) for name in names])
    own = np.where(of_row >= 0, numbers[of_row], -1)
    found: dict[tuple[int, int], Ranked] = {}
    for k, letter in enumerate(prototypes.letters):
        if letter not in instances.letters:
            continue
        rows = np.flatnonzero(instances.letter == instances.letters.index(letter))
        near = near_ink(prototypes.reference[k])
        for g in np.unique(own[rows]):
            if g < 0:
                continue
            mine = rows[own[rows] == g]
            away = distances(
                instances.ink[mine], instances.weight[mine], prototypes.mean[g, k], near
            )
            medoid = int(prototypes.medoid[g, k])
            found[int(g), k] = Ranked(
                medoid=medoid, outwards=mine[np.argsort(away, kind="stable")]
            )
    return found


def shown_rows(
    ranked: Sequence[Mapping[tuple[int, int], Ranked]], n_letters: int, rung: Rung
) -> list[tuple[int, ...]]:
    """Of each letter the rows of `Instances` that any grouping shows, each once, in order."""
    rows: list[set[int]] = [set() for _ in range(n_letters)]
    for one in ranked:
        for (_, k), cell in one.items():
            rows[k] |= set(cell.shown(rung)[0])
    return [tuple(sorted(own)) for own in rows]


def best_rung(
    instances: Instances,
    ranked: Sequence[Mapping[tuple[int, int], Ranked]],
    n_letters: int,
    line: LineOf,
    budget: float,
) -> Rung:
    """The first rung of which all pictures fit `budget` bytes, by those of some letters."""
    for rung in LADDER:
        rows = shown_rows(ranked, n_letters, rung)
        total = sum(map(len, rows))
        sample = [own for own in rows if own][:: max(1, n_letters // 4)]
        looked_at = sum(map(len, sample))
        if not looked_at:
            return rung
        pictures = Pictures()
        for own in sample:
            instances_record(instances, own, line, rung, pictures)
        weight = sum(map(len, pictures.urls)) + ROW_BYTES * looked_at
        if weight * total / looked_at <= budget:
            return rung
    return LADDER[-1]


def instances_record(
    instances: Instances, rows: Sequence[int], line: LineOf, rung: Rung, pictures: Pictures
) -> InstancesRecord:
    """The pictures of some instances of one letter, and what is said of each."""
    aligned = np.empty((len(rows), *instances.shape), np.uint8)
    strips = np.full((len(rows), *strip_size(max(rung.strip, 1))), 255, np.uint8)
    said, any_strip = [], False
    taken = instances.table.take(list(rows)).to_pylist() if rows else []
    for number, (row, facts) in enumerate(zip(rows, taken, strict=True)):
        aligned[number] = 255 - instances.ink[row]
        box = (facts["left"], facts["top"], facts["right"], facts["bottom"])
        pixels = line(facts["line_id"]) if rung.strip else None
        moved = (0.0, 0.0, 0.0, 0.0)
        if pixels is not None:
            strips[number], moved = strip(pixels, box, rung.strip)
            any_strip = True
        said.append(_said(facts, moved))
    sheet = pictures.photographs(strips, rung.quality, STRIP_COLUMNS) if any_strip else None
    return InstancesRecord(
        aligned=pictures.photographs(aligned, rung.quality),
        strips=sheet or no_sheet(*strips.shape[1:]),
        rows=tuple(said),
    )


def _said(facts: Mapping, box: tuple[float, float, float, float]) -> InstanceRecord:
    corners = facts.get("page_corners")
    confidence = facts.get("confidence")
    page = None
    if corners and any(corners):
        across, down = corners[0::2], corners[1::2]
        page = (round(min(across)), round(min(down)), round(max(across)), round(max(down)))
    return InstanceRecord(
        line=str(facts["line_id"]), file=str(facts["file_name"]), place=int(facts["place"]),
        confidence=None if confidence is None else round(float(confidence), 3),
        box=box, page=page,
    )  # fmt: skip
