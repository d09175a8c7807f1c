"""The proportions of a script: letters, strokes, gaps and word spaces, in x-heights.

Where letters stand is told by their shapes, not by their names: the baseline is where most of them
end, the x-height is how high most of those that end there are. Everything but aspects and angles
is divided by the x-height of its group, so that large and small writing compare.

Legend: `n` characters, `m` lines, `k` letters. Boxes are left, top, right, bottom in pixels of
their line, y downwards.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.errors import ConfigError, DataError
from typika.evaluation import Bootstrap, Estimate
from typika.palaeography.records import Instances
from typika.palaeography.residuals import own_ink
from typika.palaeography.strokes import slant, stroke_breadth

BOX = ("left", "top", "right", "bottom")
SPACE = " "
SCALES = ("log_scale_x", "log_scale_y")  # how much larger than its sprite an instance is
NEAR = 0.15  # of the median height of a box: letters that end so near to each other end alike
OUTSIDE = 0.25  # x-heights beyond which a part of a letter is an ascender or a descender

PIXELS, XHEIGHTS, RATIO, DEGREES = "pixels", "x-heights", "ratio", "degrees"
UNITS = {
    "x-height": PIXELS, "aspect": RATIO, "width": XHEIGHTS, "ascender": XHEIGHTS,
    "descender": XHEIGHTS, "stroke": XHEIGHTS, "slant": DEGREES, "gap": XHEIGHTS,
    "space": XHEIGHTS,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MetrologyConfig:
    """What is measured.

    fewest: values below which a letter or a pair of letters is left out of a group. per_letter:
    instances of a letter and group whose strokes are measured, drawn. draws: resamplings of the
    lines for an interval.
    """

    fewest: int = 5
    per_letter: int = 12
    draws: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.fewest, self.per_letter, self.draws) < 1:
            raise ConfigError(
                f"fewest={self.fewest}, per_letter={self.per_letter}, draws={self.draws}: need at "
                "least 1"
            )


@dataclass(frozen=True, eq=False)
class Boxes:
    """Characters with their boxes, spaces too, in the order of lines and places.

    group: of each character's line. line: its number. place: in its line, spaces counted.
    """

    groups: tuple[str, ...]
    group: Int[ndarray, " n"]
    line: Int[ndarray, " n"]
    place: Int[ndarray, " n"]
    character: ndarray
    box: Float[ndarray, "n 4"]

    @classmethod
    def of(cls, characters: pa.Table, group_of_line: dict[str, str]) -> Boxes:
        """Out of characters.parquet; lines without a group are left out.

        Raises DataError where no line has one.
        """
        names = sorted(set(group_of_line.values()) - {""})
        numbers = {name: n for n, name in enumerate(names)}
        lines = characters["line_id"].to_pylist()
        line_numbers = {name: n for n, name in enumerate(sorted(set(lines)))}
        group = np.array([numbers.get(group_of_line.get(one, ""), -1) for one in lines], int)
        line = np.array([line_numbers[one] for one in lines], int)
        place = characters["place"].to_numpy().astype(np.int64)
        order = np.lexsort((place, line))
        order = order[group[order] >= 0]
        if not len(order):
            raise DataError("no character is on a line that belongs to a group")
        box = np.stack([characters[side].to_numpy() for side in BOX], axis=1)
        return cls(
            groups=tuple(names), group=group[order], line=line[order], place=place[order],
            character=np.array(characters["character"].to_pylist(), dtype=object)[order],
            box=box[order].astype(float),
        )  # fmt: skip


@dataclass(frozen=True)
class Lettering:
    """Where the letters of a group stand.

    baseline, x_height: pixels; the baseline is that of a typical line, from its top. standing:
    letters that end on the baseline. low: those of them that are as high as the x-height.
    """

    baseline: float
    x_height: float
    standing: frozenset[str]
    low: frozenset[str]


def lettering(character: ndarray, box: Float[ndarray, "n 4"]) -> Lettering:
    """Baseline and x-height, from where most letters begin and end.

    character: (n,) of each box; spaces are left out. Raises DataError without any letter.
    """
    inked = (character != SPACE) & (box[:, 3] > box[:, 1])
    names, letter = np.unique(character[inked].astype(str), return_inverse=True)
    if not len(names):
        raise DataError("no letter with a box: there is nothing to measure")
    top, bottom, count = box[inked, 1], box[inked, 3], np.bincount(letter)
    near = NEAR * float(np.median(bottom - top))
    ends = _by_letter(bottom, letter)
    standing = np.abs(ends - _mode(ends, count, near)) <= near
    begins = _by_letter(top, letter)
    low = standing & (np.abs(begins - _mode(begins[standing], count[standing], near)) <= near)
    of_low = low[letter]
    return Lettering(
        baseline=float(bottom[standing[letter]].mean()),
        x_height=float((bottom[of_low] - top[of_low]).mean()),
        standing=frozenset(names[standing].tolist()),
        low=frozenset(names[low].tolist()),
    )


def letterings(boxes: Boxes) -> list[Lettering]:
    """That of each group."""
    groups = (boxes.group == number for number in range(len(boxes.groups)))
    return [lettering(boxes.character[own], boxes.box[own]) for own in groups]


def _by_letter(values: Float[ndarray, " n"], letter: Int[ndarray, " n"]) -> Float[ndarray, " k"]:
    return np.array([np.median(values[letter == k]) for k in range(int(letter.max()) + 1)])


def _mode(values: Float[ndarray, " k"], count: Int[ndarray, " k"], near: float) -> float:
    """Where the values, each as often as it counts, lie densest."""
    density = np.exp(-0.5 * ((values[:, None] - values) / max(near / 2, 1e-9)) ** 2) @ count
    return float(values[density.argmax()])


@dataclass(frozen=True, eq=False)
class Observations:
    """Single values of one measure. item: letter or pair of letters, "" where it is of neither."""

    measure: str
    item: ndarray
    group: Int[ndarray, " n"]
    line: Int[ndarray, " n"]
    value: Float[ndarray, " n"]


def measure_boxes(boxes: Boxes) -> Iterator[Observations]:
    """x-heights, aspects, widths, ascenders, descenders, gaps and word spaces."""
    found = letterings(boxes)
    x_height = np.array([one.x_height for one in found])[boxes.group]
    left, top, right, bottom = boxes.box.T
    width, height = right - left, bottom - top
    inked = (boxes.character != SPACE) & (height > 0) & (width > 0)
    low = _among(boxes, [one.low for one in found])
    baseline = _baselines(boxes, _among(boxes, [one.standing for one in found]))
    known = np.isfinite(baseline)
    above, below = (baseline - top) / x_height - 1, (bottom - baseline) / x_height

    def seen(name: str, where: Bool[ndarray, " n"], value: ndarray, item: Any) -> Observations:
        return Observations(name, np.where(where, item, "")[where], boxes.group[where],
                            boxes.line[where], value[where])  # fmt: skip

    safe = np.where(height > 0, height, 1)
    yield seen("x-height", low & inked, height, "")
    yield seen("aspect", inked, width / safe, boxes.character)
    yield seen("width", inked, width / x_height, boxes.character)
    for name, beyond in (("ascender", above), ("descender", below)):
        reaching = inked & known & _reaches(boxes, beyond, inked & known)
        yield seen(name, reaching, beyond, boxes.character)
    follows = np.append((np.diff(boxes.line) == 0) & (np.diff(boxes.place) == 1), False)
    pair = follows & inked & np.append(inked[1:], False)
    gap = np.append(left[1:], 0) - right
    both = boxes.character + np.append(boxes.character[1:], "")
    yield seen("gap", pair, gap / x_height, both)
    spaces = (boxes.character == SPACE) & follows & np.insert(follows[:-1], 0, False)
    yield seen("space", spaces, width / x_height, "")


def _among(boxes: Boxes, letters: list[frozenset[str]]) -> Bool[ndarray, " n"]:
    pairs = zip(boxes.character, boxes.group, strict=True)
    return np.array([character in letters[group] for character, group in pairs], dtype=bool)


def _baselines(boxes: Boxes, standing: Bool[ndarray, " n"]) -> Float[ndarray, " n"]:
    """The baseline of each character's line: the median end of its standing letters, or nan."""
    found = np.full(int(boxes.line.max()) + 1, np.nan)
    for line in np.unique(boxes.line[standing]):
        found[line] = np.median(boxes.box[standing & (boxes.line == line), 3])
    return found[boxes.line]


def _reaches(
    boxes: Boxes, beyond: Float[ndarray, " n"], where: Bool[ndarray, " n"]
) -> Bool[ndarray, " n"]:
    """Characters whose letter typically goes `OUTSIDE` x-heights beyond, in their group."""
    found = np.zeros(len(beyond), dtype=bool)
    names, letter = np.unique(boxes.character.astype(str), return_inverse=True)
    cell = boxes.group * len(names) + letter
    for one in np.unique(cell[where]):
        own = where & (cell == one)
        found |= own & bool(np.median(beyond[own]) > OUTSIDE)
    return found


def measure_strokes(
    instances: Instances, by: str, boxes: Boxes, config: MetrologyConfig
) -> Iterator[Observations]:
    """Breadth and slant of strokes of some instances of every letter and group, drawn."""
    names, group = instances.groups(by)
    number = {name: n for n, name in enumerate(boxes.groups)}
    drawn = [(row, number[name]) for g, name in enumerate(names) if name in number
             for row in _drawn(instances, group == g, name, config)]  # fmt: skip
    rows = np.array([row for row, _ in drawn], dtype=np.int64)
    own = np.array([g for _, g in drawn], dtype=np.int64)
    table = instances.table.take(pa.array(rows))
    line = np.unique(table["line_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    scale = np.stack([table[name].to_numpy() for name in SCALES]).mean(axis=0)
    letters = np.array([letter.character for letter in instances.letters], dtype=object)
    item = letters[instances.letter[rows]]
    x_heights = np.array([one.x_height for one in letterings(boxes)])[own]
    ink = [own_ink(instances.ink[r : r + 1], instances.weight[r : r + 1])[0] for r in rows]
    breadth = np.array([stroke_breadth(one) for one in ink]) * np.exp(scale) / x_heights
    yield _finite("stroke", item, own, line, breadth)
    yield _finite("slant", item, own, line, np.array([slant(one) for one in ink]))


def _drawn(
    instances: Instances, wanted: Bool[ndarray, " n"], name: str, config: MetrologyConfig
) -> list[int]:
    rng = _generator(config.seed, name)
    chosen: list[int] = []
    for letter in range(len(instances.letters)):
        own = np.flatnonzero(wanted & (instances.letter == letter))
        chosen += sorted(rng.permutation(own)[: config.per_letter].tolist())
    return chosen


def _finite(
    name: str, item: ndarray, group: ndarray, line: ndarray, value: Float[ndarray, " n"]
) -> Observations:
    kept = np.isfinite(value)
    return Observations(name, item[kept], group[kept], line[kept], value[kept])


def summarise(
    observations: Observations, groups: tuple[str, ...], by: str, config: MetrologyConfig
) -> pa.Table:
    """Mean with its interval, and coefficient of variation: a row an item and group.

    Whole lines are drawn for the interval. Items "" and each letter; of letters also all together.
    """
    rows = []
    for number, name in enumerate(groups):
        own = observations.group == number
        if not own.any():
            continue
        line = np.unique(observations.line[own], return_inverse=True)[1]
        bootstrap = Bootstrap.of_groups(
            np.arange(int(line.max()) + 1), config.draws, _generator(config.seed, name)
        )
        value, item = observations.value[own], observations.item[own]
        for one in ["", *sorted(set(item.tolist()) - {""})]:
            chosen = np.ones(len(item), dtype=bool) if one == "" else item == one
            if chosen.sum() < (config.fewest if one else 1):
                continue
            rows.append({
                by: name, "measure": observations.measure, "item": one,
                **_row(value[chosen], line[chosen], bootstrap),
                "unit": UNITS[observations.measure],
            })  # fmt: skip
    schema = pa.schema([(by, pa.string()), *MEASURE_FIELDS])
    return pa.Table.from_pylist(rows, schema)


MEASURE_FIELDS = (
    ("measure", pa.string()),
    ("item", pa.string()),  # letter or pair of letters; "" is all of them
    ("count", pa.int32()),
    ("mean", pa.float64()),
    ("low", pa.float64()),  # 95 % interval of the mean, lines drawn; nan of one line
    ("high", pa.float64()),
    ("variation", pa.float64()),  # deviation over mean; nan where the mean is not above 0
    ("unit", pa.string()),
)


def _row(
    value: Float[ndarray, " n"], line: Int[ndarray, " n"], bootstrap: Bootstrap
) -> dict[str, Any]:
    n_lines = bootstrap.times.shape[1]
    sums, counts = (np.bincount(line, weight, n_lines) for weight in (value, np.ones(len(value))))
    times = bootstrap.times.astype(float)
    total = times @ counts
    means = np.where(total > 0, times @ sums / np.where(total > 0, total, 1), np.nan)
    interval = Estimate.of(means)
    mean = interval.value
    variation = float(value.std(ddof=1)) / mean if len(value) > 1 and mean > 0 else float("nan")
    return {"count": len(value), "mean": mean, "low": interval.low, "high": interval.high,
            "variation": variation}  # fmt: skip


def measures(
    characters: pa.Table, instances: Instances, by: str, config: MetrologyConfig
) -> pa.Table:
    """All measures of all groups; see `MEASURE_FIELDS`.

    characters: characters.parquet of the run, spaces too. by: the column whose values are groups.

    Raises:
        ConfigError: there is no such column.
        DataError: no character is on a line with a group.
    """
    names, group = instances.groups(by)
    ids = instances.table["line_id"].to_pylist()
    of_line = {line: names[g] for line, g in zip(ids, group.tolist(), strict=True) if g >= 0}
    boxes = Boxes.of(characters, of_line)
    found = [*measure_boxes(boxes), *measure_strokes(instances, by, boxes, config)]
    return pa.concat_tables([summarise(one, boxes.groups, by, config) for one in found])


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(name.encode("utf-8"))))
