from __future__ import annotations

from pathlib import Path

import pytest

from pictures import draw_photo
from typika.collection.images import ImageCollection
from typika.collection.tree import ROOT, LabelTree, name, parent
from typika.errors import DataError

PATHS = ("Asia/Japan/Osaka", "Asia/Japan/Tokyo", "Europe/France/Lyon", "Europe/Malta")
TREE = LabelTree(("Osaka", "Tokyo", "Lyon", "Malta"), PATHS)


def test_nodes_come_parents_first() -> None:
    assert TREE.nodes == (
        "Asia", "Asia/Japan", "Asia/Japan/Osaka", "Asia/Japan/Tokyo",
        "Europe", "Europe/France", "Europe/France/Lyon", "Europe/Malta",
    )  # fmt: skip
    assert TREE.children("Europe") == ("Europe/France", "Europe/Malta")
    assert TREE.children("Europe/Malta") == ()
    assert TREE.leaves("Asia") == (0, 1)
    assert TREE.leaves(ROOT) == (0, 1, 2, 3)
    assert (parent("Asia/Japan/Osaka"), parent("Asia"), name("Asia/Japan")) == (
        "Asia/Japan", ROOT, "Japan",
    )  # fmt: skip


@pytest.mark.parametrize("node", [ROOT, *TREE.nodes])
def test_a_node_is_the_mean_of_its_children(node: str) -> None:
    weights = TREE.mixture(node)
    assert weights.sum() == pytest.approx(1)
    assert set(weights.nonzero()[0]) == set(TREE.leaves(node))
    children = [TREE.mixture(child) for child in TREE.children(node)]
    if children:
        assert weights == pytest.approx(sum(children) / len(children))


def test_a_name_that_begins_another_is_not_above_it() -> None:
    tree = LabelTree(("a", "b"), ("North/Ham", "North/Hamlet"))
    assert tree.leaves("North/Ham") == (0,)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("Asia//Osaka", "Asia/Tokyo"), "empty name"),
        (("", "Asia/Tokyo"), "empty name"),
        (("Asia/Osaka", "Asia/Osaka"), "path of its own"),
        (("Asia", "Asia/Osaka"), "'Asia/elsewhere'"),
    ],
)
def test_paths_that_make_no_tree(paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        LabelTree(("one", "two"), paths)


def collection(folder: Path, *rows: str) -> ImageCollection:
    for number in range(len(rows) - 1):
        draw_photo(folder / f"{number}.jpg", number, number)
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return ImageCollection.open(folder, label="label")


def test_the_tree_comes_from_a_column_or_from_the_labels(tmp_path: Path) -> None:
    own = collection(
        tmp_path / "column", "file_name,label,label_path", "0.jpg,Lyon,FR/Lyon", "1.jpg,Osaka,JP/O"
    )
    assert LabelTree.of(own) == LabelTree(("Lyon", "Osaka"), ("FR/Lyon", "JP/O"))
    own = collection(tmp_path / "labels", "file_name,label", "0.jpg,FR/Lyon", "1.jpg,JP/O")
    assert LabelTree.of(own).paths == ("FR/Lyon", "JP/O")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("file_name,label", "0.jpg,a", "1.jpg,b"), "add one to the metadata table"),
        (
            ("file_name,label,label_path", "0.jpg,a,x/a", "1.jpg,a,y/a", "2.jpg,b,x/b"),
            "give all its images the same path",
        ),
        (("file_name,label,label_path", "0.jpg,a,x/a", "1.jpg,b,"), "empty name"),
    ],
)
def test_what_spells_no_tree(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        LabelTree.of(collection(tmp_path, *rows))
