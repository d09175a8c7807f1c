from __future__ import annotations

import numpy as np
import pytest
from planted_letters import documents, instances

from typika.errors import ConfigError
from typika.palaeography.groupings import hierarchy, nested, require_columns
from typika.palaeography.records import Instances

COLUMNS = {
    "hand": {"one": "x", "two": "x", "three": "y", "four": "z"},
    "script": {"one": "north", "two": "north", "three": "north", "four": "south"},
    "ink": {"one": "red", "two": "black", "three": "red", "four": "red"},
    "place": {"one": "Bari", "two": "", "three": "", "four": "Bari"},
    "empty": dict.fromkeys(("one", "two", "three", "four"), ""),
}


@pytest.fixture(scope="module")
def letters() -> Instances:
    return instances(documents(["one", "two", "three", "four"], "ab"), 2, columns=COLUMNS)


def test_order_is_found_from_nesting_whatever_was_named_first(letters: Instances) -> None:
    for among in (["document", "script", "hand"], ["hand", "script", "document"]):
        found = hierarchy(letters, "document", among)
        assert [level.by for level in found.levels] == ["script", "hand", "document"]
        assert found.parents("document") == ("z", "x", "y", "x")  # four, one, three, two
        assert found.parents("hand") == ("north", "north", "south")
        assert found.parents("script") == ("", "")


def test_finer_columns_are_below_a_coarse_one(letters: Instances) -> None:
    found = hierarchy(letters, "script", ["script", "document"])
    assert [level.by for level in found.levels] == ["script", "document"]
    names, own = letters.groups("script")
    assert found.levels[0].names == names
    assert np.array_equal(found.members("script"), own)
    assert np.array_equal(found.members("document"), letters.groups("document")[1])


def test_columns_that_cross_stand_apart(letters: Instances) -> None:
    found = hierarchy(letters, "ink", ["ink", "hand"])
    assert [level.by for level in found.levels] == ["ink"]
    assert found.parents("ink") == ("", "")
    assert [level.by for level in hierarchy(letters, "hand", ["ink", "hand"]).levels] == ["hand"]


def test_what_lies_in_no_group_has_a_nameless_one_of_its_own(letters: Instances) -> None:
    found = hierarchy(letters, "document", ["place", "document"])
    assert found.levels[0].names == ("Bari", "", "")
    assert found.parents("document") == ("Bari", "Bari", "", "")
    assert found.levels[1].above.tolist() == [0, 0, 1, 2] or found.levels[1].above.tolist() == [
        0, 0, 2, 1,
    ]  # fmt: skip


def test_instances_without_a_value_are_in_no_group(letters: Instances) -> None:
    found = hierarchy(letters, "place", ["place"])
    place = np.array(letters.table["place"].to_pylist())
    assert np.array_equal(found.member < 0, place == "")


def test_a_column_of_the_same_groups_is_no_parent() -> None:
    one = np.array([0, 0, 1, 2])
    assert not nested(one, one)
    assert nested(one, np.array([0, 0, 0, 1]))
    assert not nested(one, np.array([0, 1, 0, 1]))
    assert nested(one, np.array([0, 0, 0, -1]))
    assert not nested(one, np.array([0, -1, 0, 0]))


def test_columns_are_named_once_and_exist(letters: Instances) -> None:
    for wrong in ((), ("document", "document")):
        with pytest.raises(ConfigError, match="by"):
            require_columns(wrong)
    with pytest.raises(ConfigError, match="no such column"):
        hierarchy(letters, "hands", ["hands"])
    with pytest.raises(ConfigError, match="empty for every line"):
        hierarchy(letters, "empty", ["empty"])
