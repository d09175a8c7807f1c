from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from typika.palaeography.comparison_records import (
    Comparison,
    Differences,
    Graphs,
    Outliers,
    Seriation,
    Spread,
    Tree,
)
from typika.palaeography.records import Letter

LETTERS = (Letter("="), Letter("d", 1))
RNG = np.random.default_rng(0)


def differences() -> Differences:
    pixels = RNG.random((2, 4, 5))
    return Differences(
        first="north", second="south", unit="document", level=0.05, letters=LETTERS,
        units=np.full((2, 2), 7), count=np.full((2, 2), 70), ink=RNG.random((2, 2, 4, 5)),
        map=pixels, p=pixels, q=pixels, significant=pixels < 0.05, letter_p=np.array([0.5, 0.01]),
        letter_q=np.array([0.5, 0.02]), differs=np.array([False, True]), l2=RNG.random((2, 3)),
        l2_corrected=RNG.random((2, 3)), ssim=RNG.random((2, 3)),
        separation=np.array([[0.6, 0.4, 0.8], [0.9, 0.8, 1.0]]), right=np.array([0.5, 0.9]),
    )  # fmt: skip


def graphs() -> Graphs:
    distance = np.array([[[1.0, 2.0], [2.0, 1.0]], [[2.0, 1.0], [np.nan, 1.0]]])
    return Graphs(
        first="north", second="south", letters=LETTERS, documents=("a", "b"),
        side=np.array([-1, 1]), split=("train", ""), count=np.ones((2, 2), int),
        distance=distance, published=distance / 2,
    )  # fmt: skip


def comparison(**changes: object) -> Comparison:
    values = {
        "by": "script", "documents_by": "document", "ink": "mean",
        "differences": (differences(),), "graphs": (graphs(),),
        "spread": Spread(("north", "south"), LETTERS, np.full((2, 2), 7), RNG.random((2, 2, 3)),
                         RNG.random((2, 2, 3)), RNG.random((1, 2, 3)), RNG.random((1, 2)),
                         RNG.random((1, 2)), RNG.random(1)),
        "outliers": Outliers(("a", "b"), ("north", "south"), LETTERS, np.array([1.0, 3.0]),
                             np.array([[1.0, 2.0], [np.nan, 3.0]]), np.array([0.5, 0.001]),
                             np.array([0.5, 0.002])),
        "tree": Tree(("a", "b"), ("north", "south"), (), np.array([[0.0, 1], [1, 0]]),
                     np.array([[0.0, 1, 1, 2]]), np.ones(1), RNG.random((2, 2)), 0.0),
        "seriation": Seriation(("a", "b"), LETTERS, ("818", "?"), ("?",),
                               np.array([818.0, np.nan]), RNG.random((2, 1)), np.ones(1),
                               RNG.random((1, 3)), np.ones(1), np.ones(1), np.array([0.2, 0.8]),
                               RNG.random((2, 4, 5)), np.ones(2), np.ones(3), 1.0),
    }  # fmt: skip
    return Comparison(**(values | changes))


def same(one: object, other: object) -> bool:
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_a_comparison_comes_back_from_disk(tmp_path: Path) -> None:
    made = comparison()
    made.save(tmp_path / "script")
    assert same(made, Comparison.load(tmp_path / "script"))


def test_what_was_not_compared_comes_back_as_nothing(tmp_path: Path) -> None:
    made = comparison(differences=(), graphs=(), tree=None, seriation=None)
    made.save(tmp_path / "script")
    found = Comparison.load(tmp_path / "script")
    assert same(made, found)
    assert "seriation" not in found.tables()


def test_letters_are_ranked_by_what_they_separate() -> None:
    made = differences()
    assert made.ranked == (1, 0)
    assert [row["letter"] for row in made.rows()] == ["d·2", "="]


def test_points_are_right_on_the_side_of_their_own_group() -> None:
    made = graphs()
    assert made.right.tolist() == [[True, False], [True, False]]
    assert made.points.tolist() == [[True, True], [True, False]]
    assert [row["right"] for row in made.rows()] == [True, False, True]


def test_the_legend_says_which_sign_is_which_group() -> None:
    assert "positive: ink only in south" in differences().legend


def test_outliers_name_the_letters_that_stand_out() -> None:
    made = comparison().outliers
    assert made.ranked == (1, 0)
    assert [letter.name for letter in made.letters_of(0)] == ["d·2", "="]


@pytest.mark.parametrize("name", ["letters", "graphs", "sigma", "outliers", "seriation"])
def test_tables_open_as_csv_without_formulas(tmp_path: Path, name: str) -> None:
    comparison().save(tmp_path / "script")
    path = tmp_path / "script" / f"{name}.csv"
    assert pyarrow.csv.read_csv(path).num_rows
    assert ",=," not in path.read_text()
