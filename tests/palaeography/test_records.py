from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from planted_letters import documents, instances

from typika.errors import ConfigError, DataError
from typika.palaeography.records import Instances, Letter, Prototypes


def prototypes() -> Prototypes:
    shape = (2, 3)
    pixels = np.random.default_rng(0).random((*shape, 4, 5))
    return Prototypes(
        by="document", method="mean", groups=("a", "b"), parents=("", "north"),
        letters=(Letter("="), Letter("d"), Letter("d", 1)), reference=pixels[0], ink=pixels,
        mean=pixels / 2, median=pixels / 3, variance=pixels / 4, count=np.arange(6).reshape(shape),
        medoid=np.arange(6).reshape(shape) - 1, quality=np.zeros(shape),
        flag=(("absent", "few", ""), ("", "suspect", "failed")),
    )  # fmt: skip


def test_prototypes_come_back_from_disk(tmp_path: Path) -> None:
    made = prototypes()
    made.save(tmp_path / "document")
    found = Prototypes.load(tmp_path / "document")
    for field in fields(Prototypes):
        one, other = getattr(made, field.name), getattr(found, field.name)
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_instances_come_back_from_disk(tmp_path: Path) -> None:
    made = instances(documents(["one", "two"], "ab"), 3)
    made.save(tmp_path / "instances")
    found = Instances.load(tmp_path / "instances")
    assert np.array_equal(found.ink, made.ink)
    assert np.array_equal(found.letter, made.letter)
    assert found.letters == made.letters
    assert found.table.equals(made.table)


def test_a_letter_is_named_by_its_form() -> None:
    assert [Letter("d").name, Letter("d", 1).name] == ["d", "d·2"]


def test_flagged_prototypes_are_not_shown() -> None:
    assert prototypes().shown.tolist() == [[False, False, True], [True, True, False]]


def test_groups_are_the_values_of_a_column() -> None:
    made = instances(documents(["two", "one"], "a"), 2)
    names, numbers = made.groups("document")
    assert names == ("one", "two")
    assert numbers.tolist() == [0, 0, 1, 1]


def test_a_column_that_is_not_there_is_named() -> None:
    made = instances(documents(["one"], "a"), 1)
    with pytest.raises(ConfigError, match=r"by='hand'.*document"):
        made.groups("hand")


def test_instances_must_be_as_many_as_their_rows() -> None:
    made = instances(documents(["one"], "a"), 2)
    with pytest.raises(DataError, match="1 rows"):
        Instances(made.letters, made.letter, made.ink, made.weight, made.table[:1], made.height)


def test_a_csv_of_prototypes_holds_no_formula(tmp_path: Path) -> None:
    prototypes().save(tmp_path / "p")
    assert "'=" in (tmp_path / "p" / "prototypes.csv").read_text()
