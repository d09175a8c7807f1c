"""Proportions of a script from boxes: known by construction, whatever the size and place."""

from __future__ import annotations

import numpy as np
import planted_letters
import pyarrow as pa
import pytest

from typika.errors import ConfigError, DataError
from typika.palaeography.metrology import (
    Boxes,
    MetrologyConfig,
    lettering,
    measure_boxes,
    measures,
    summarise,
)

X = 20.0  # pixels of an x-height
# letter: width, above the baseline, below it, in x-heights
SHAPES = {"a": (1, 1, 0), "n": (1.2, 1, 0), "o": (0.9, 1.05, 0.05), "e": (0.8, 1, 0),
          "l": (0.3, 1.8, 0), "p": (1, 1, 0.7)}  # fmt: skip
GAP, WORD = 0.25, 0.9
TEXT = "an open plane a lope "


def characters(
    n_lines: int = 8, scale: float = 1.0, move: tuple[float, float] = (0.0, 0.0),
    jitter: float = 0.0, seed: int = 0,
) -> pa.Table:  # fmt: skip
    """Lines of TEXT, their baselines at different heights."""
    rng, rows = np.random.default_rng(seed), []
    for line in range(n_lines):
        baseline, pen = 45.0 + 1.5 * (line % 3), 5.0
        for place, one in enumerate(TEXT.strip()):
            wide, above, below = SHAPES.get(one, (WORD - 2 * GAP, 2, 1))
            size = X * (1 + jitter * rng.normal())
            if one == " ":
                pen -= GAP * X
                box = (pen, 0.0, pen + WORD * X, 64.0)
            else:
                box = (pen, baseline - above * size, pen + wide * size, baseline + below * size)
            pen = box[2] + (GAP * X if one != " " else 0)
            moved = [scale * (value + move[n % 2]) for n, value in enumerate(box)]
            sides = dict(zip(("left", "top", "right", "bottom"), moved, strict=True))
            rows.append({"line_id": f"l{line}", "place": place, "character": one, **sides})
    return pa.Table.from_pylist(rows)


def means(table: pa.Table, draws: int = 20) -> dict[tuple[str, str], float]:
    boxes = Boxes.of(table, dict.fromkeys(set(table["line_id"].to_pylist()), "d"))
    config = MetrologyConfig(draws=draws)
    return {
        (row["measure"], row["item"]): row["mean"]
        for one in measure_boxes(boxes)
        for row in summarise(one, boxes.groups, "document", config).to_pylist()
    }


def test_what_was_drawn_is_measured() -> None:
    found = means(characters())
    x_height = found["x-height", ""] / X  # o goes a little beyond: as print does
    assert x_height == pytest.approx(1.03, abs=0.04)
    assert found["aspect", "n"] == pytest.approx(1.2)
    assert found["ascender", "l"] == pytest.approx(1.8 / x_height - 1, abs=0.02)
    assert found["descender", "p"] == pytest.approx(0.7 / x_height, abs=0.02)
    assert ("ascender", "a") not in found
    assert found["gap", "an"] == pytest.approx(GAP / x_height)
    assert found["space", ""] == pytest.approx(WORD / x_height)


@pytest.mark.parametrize(("scale", "move"), [(2.0, (0.0, 0.0)), (1.0, (7.0, -3.0))])
def test_ratios_do_not_change_with_size_or_place(scale: float, move: tuple) -> None:
    before, after = means(characters()), means(characters(scale=scale, move=move))
    assert set(before) == set(after)
    for key, value in before.items():
        grown = value * (scale if key[0] == "x-height" else 1)
        assert after[key] == pytest.approx(grown), key


def test_letters_are_known_by_shape_not_by_name() -> None:
    table = characters()
    names = dict(zip("aneolp", "ψбאق字!", strict=True))
    other = table.set_column(
        2, "character", [[names.get(one, one) for one in table["character"].to_pylist()]]
    )
    box = np.stack([table[side].to_numpy() for side in ("left", "top", "right", "bottom")], 1)
    plain, strange = (lettering(np.array(one["character"].to_pylist(), dtype=object), box)
                      for one in (table, other))  # fmt: skip
    assert plain.low == {"a", "n", "o", "e"}
    assert strange.low == {names[one] for one in plain.low}
    assert (strange.x_height, strange.baseline) == (plain.x_height, plain.baseline)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    inside = 0
    for seed in range(40):
        table = characters(12, jitter=0.08, seed=seed)
        boxes = Boxes.of(table, dict.fromkeys(set(table["line_id"].to_pylist()), "d"))
        (one,) = [one for one in measure_boxes(boxes) if one.measure == "x-height"]
        config = MetrologyConfig(draws=200, seed=seed)
        row = summarise(one, ("d",), "document", config).to_pylist()[0]
        true = X * np.mean([sum(SHAPES[c][1:]) for c in TEXT if c in "aneo"])
        inside += row["low"] <= true <= row["high"]
    assert inside >= 32  # of 40; 95 % are 38


def test_groups_do_not_see_each_other_and_one_line_has_no_interval() -> None:
    large = characters(3, scale=2)
    names = [f"big{one}" for one in large["line_id"].to_pylist()]
    both = pa.concat_tables([characters(1), large.set_column(0, "line_id", [names])])
    of_line = {"l0": "small"} | dict.fromkeys(set(names), "big")
    boxes = Boxes.of(both, of_line)
    config = MetrologyConfig(draws=50)
    rows = {(row["document"], row["measure"], row["item"]): row
            for one in measure_boxes(boxes)
            for row in summarise(one, boxes.groups, "document", config).to_pylist()}  # fmt: skip
    small, big = (rows[name, "space", ""] for name in ("small", "big"))
    assert small["mean"] == pytest.approx(big["mean"])
    assert np.isnan(small["low"])
    assert np.isfinite(big["low"])


def test_strokes_are_measured_on_instances() -> None:
    shapes = planted_letters.documents(["one", "two"], "no")
    instances = planted_letters.instances(shapes, 12, jitter=0.2)
    table = instances.table.select(["line_id", "place", "character"])
    boxes = {"left": 1.0, "top": 20.0, "right": 14.0, "bottom": 40.0}
    for side, value in boxes.items():
        table = table.append_column(side, pa.array([value] * table.num_rows))
    found = measures(table, instances, "document", MetrologyConfig(draws=20)).to_pylist()
    strokes = {(row["document"], row["item"]): row["mean"] for row in found
               if row["measure"] == "stroke"}  # fmt: skip
    assert strokes["one", "n"] == pytest.approx(strokes["two", "n"], rel=0.15)
    assert 0.05 < strokes["one", "n"] < 0.35
    slants = [row["mean"] for row in found if row["measure"] == "slant" and row["item"] == "n"]
    assert np.abs(slants).max() < 4


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="belongs to a group"):
        Boxes.of(characters(1), {})
    with pytest.raises(DataError, match="no letter"):
        lettering(np.array([" "], dtype=object), np.zeros((1, 4)))
    with pytest.raises(ConfigError, match="draws=0"):
        MetrologyConfig(draws=0)
