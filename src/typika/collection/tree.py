"""Labels as leaves of a tree, such as Europe/France/Paris.

Legend: `k` labels, in the order of the collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from typika.collection._files import natural_order
from typika.collection.images import ImageCollection
from typika.errors import DataError

PATH_COLUMN = "label_path"
ROOT = ""


@dataclass(frozen=True)
class LabelTree:
    """Where each label hangs.

    >>> tree = LabelTree(("Paris", "Lyon", "Osaka"), ("FR/Paris", "FR/Lyon", "JP/Osaka"))
    >>> tree.nodes
    ('FR', 'FR/Lyon', 'FR/Paris', 'JP', 'JP/Osaka')
    >>> tree.mixture("FR").tolist()
    [0.5, 0.5, 0.0]

    Raises:
        DataError: an empty name in a path, two labels of one path, or a label above another.
    """

    labels: tuple[str, ...]
    paths: tuple[str, ...]  # of each label, its names joined by "/"

    def __post_init__(self) -> None:
        owner: dict[str, str] = {}
        for label, path in zip(self.labels, self.paths, strict=True):
            if not all(name.strip() for name in path.split("/")):
                raise DataError(
                    f"{PATH_COLUMN} {path!r} of the label {label!r}: has an empty name; write "
                    "e.g. Europe/France/Paris"
                )
            if path in owner:
                raise DataError(
                    f"{PATH_COLUMN} {path!r}: stands for the labels {owner[path]!r} and "
                    f"{label!r}; give each a path of its own"
                )
            owner[path] = label
        for path, label in owner.items():
            for ancestor in _ancestors(path):
                if ancestor in owner:
                    raise DataError(
                        f"{PATH_COLUMN} {ancestor!r} of the label {owner[ancestor]!r}: lies above "
                        f"{path!r} of {label!r}; labels must be leaves, so make it e.g. "
                        f"{ancestor + '/elsewhere'!r}"
                    )

    @classmethod
    def of(cls, collection: ImageCollection) -> LabelTree:
        """The tree that the column `label_path` spells, or else the labels themselves.

        Raises:
            DataError: neither does, a label has several paths, or as the class.
        """
        labels = collection.labels
        if PATH_COLUMN not in collection.table.column_names:
            if not all("/" in label for label in labels):
                raise DataError(
                    f"no tree of labels: there is no column {PATH_COLUMN!r}; add one to the "
                    "metadata table with paths such as Europe/France/Paris, or use such paths as "
                    "labels"
                )
            return cls(labels, labels)
        found: dict[str, str] = {}
        names = collection.table["label"].to_pylist()
        for label, path in zip(names, collection.table[PATH_COLUMN].to_pylist(), strict=True):
            path = "" if path is None else str(path)
            if found.setdefault(label, path) != path:
                raise DataError(
                    f"label {label!r}: {PATH_COLUMN} is {found[label]!r} and {path!r}; give all "
                    "its images the same path"
                )
        return cls(labels, tuple(found[label] for label in labels))

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Every node but the root, parents first and siblings in their natural order."""
        found: list[str] = []
        queue = list(reversed(self.children(ROOT)))
        while queue:
            found.append(queue.pop())
            queue += reversed(self.children(found[-1]))
        return tuple(found)

    def children(self, node: str) -> tuple[str, ...]:
        """The nodes right below one; none below a leaf."""
        depth = len(_names(node))
        below = (_names(self.paths[number]) for number in self.leaves(node))
        names = {"/".join(path[: depth + 1]) for path in below if len(path) > depth}
        return tuple(natural_order(sorted(names)))

    def leaves(self, node: str) -> tuple[int, ...]:
        """The numbers of the labels at or below a node."""
        return tuple(
            number
            for number, path in enumerate(self.paths)
            if node in (ROOT, path, *_ancestors(path))
        )

    def mixture(self, node: str) -> Float[ndarray, " k"]:
        """The share of each label in a node: its children count alike, and so do theirs."""
        weights = np.zeros(len(self.paths))
        children = self.children(node)
        if not children:
            weights[list(self.leaves(node))] = 1.0
        for child in children:
            weights += self.mixture(child) / len(children)
        return weights


def parent(node: str) -> str:
    """The node above, `ROOT` for the first level."""
    return "/".join(_names(node)[:-1])


def name(node: str) -> str:
    """The last name of a path."""
    return node.rpartition("/")[2]


def _names(path: str) -> Sequence[str]:
    return path.split("/") if path else ()


def _ancestors(path: str) -> list[str]:
    names = _names(path)
    return ["/".join(names[:count]) for count in range(1, len(names))]
