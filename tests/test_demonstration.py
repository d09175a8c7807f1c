from __future__ import annotations

import pyarrow as pa

from typika.collection.demo import ELEMENT_KINDS, DemoElement
from typika.demonstration import elements_found

LABEL, OTHER = list(ELEMENT_KINDS)[:2]
KIND = ELEMENT_KINDS[LABEL][0]


def table(rows: list[tuple[str, int, int]], selection: str = "typical") -> pa.Table:
    """Patches of (label, cluster, left), 20 px a side, all in one image."""
    return pa.Table.from_pylist(
        [
            {"file_name": "a.jpg", "label": label, "selection": selection, "cluster": cluster,
             "left": left, "top": 0, "right": left + 20, "bottom": 20, "thumbnail": None}
            for label, cluster, left in rows
        ]
    )  # fmt: skip


TRUTH = [DemoElement("a.jpg", LABEL, KIND, 5, 5, 15, 15)]


def test_a_pure_enough_cluster_finds_its_element() -> None:
    assert elements_found(table([(LABEL, 0, 0)] * 3 + [(LABEL, 0, 100)] * 2), TRUTH) == {KIND}
    assert elements_found(table([(LABEL, 0, 0)] * 2 + [(LABEL, 0, 100)] * 3), TRUTH) == set()


def test_only_the_first_six_clusters_of_the_own_label_count() -> None:
    assert elements_found(table([(LABEL, 6, 0)]), TRUTH) == set()
    assert elements_found(table([(OTHER, 0, 0)]), TRUTH) == set()
    assert elements_found(table([(LABEL, 5, 0)], "random"), TRUTH) == set()


def test_half_of_the_element_has_to_be_in_the_patch() -> None:
    assert elements_found(table([(LABEL, 0, 10)]), TRUTH) == {KIND}
    assert elements_found(table([(LABEL, 0, 11)]), TRUTH) == set()


def test_loose_patches_find_nothing() -> None:
    assert elements_found(table([(LABEL, -1, 0)] * 5), TRUTH) == set()
