"""Which groups lie in which: columns of instances from coarse to fine.

Nobody says that a document lies in a hand and a hand in a script: it is seen from the columns. A
column is finer than another where each of its values comes with one value of the other only.

Legend: `n` instances, `G` groups of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from typika.errors import ConfigError
from typika.palaeography.records import Instances

NOWHERE = -1  # of an instance whose line has no value


@dataclass(frozen=True, eq=False)
class Level:
    """The groups that one column makes.

    names: of groups, in order; "" is a group of lines without a value, kept so that what lies in
    it has something to lie in. above: of each group, its number at the next coarser level; at the
    coarsest all are 0, the whole.
    """

    by: str
    names: tuple[str, ...]
    above: Int[ndarray, " G"]


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Levels from coarse to fine. member: of each instance, its group at the finest; −1: none."""

    levels: tuple[Level, ...]
    member: Int[ndarray, " n"]

    def level(self, by: str) -> int:
        """The number of the level that a column makes."""
        return [level.by for level in self.levels].index(by)

    def parents(self, by: str) -> tuple[str, ...]:
        """Of each named group of a level the group that it lies in, "" at the coarsest."""
        number = self.level(by)
        own = self.levels[number]
        if not number:
            return ("",) * sum(bool(name) for name in own.names)
        above = self.levels[number - 1].names
        return tuple(above[n] for name, n in zip(own.names, own.above, strict=True) if name)

    def members(self, by: str) -> Int[ndarray, " n"]:
        """Of each instance its group at the level of a column; −1 where it has none."""
        found = self.member.copy()
        for level in self.levels[: self.level(by) : -1]:
            found = np.where(found >= 0, level.above[found], NOWHERE)
        return found


def hierarchy(instances: Instances, by: str, among: Sequence[str]) -> Hierarchy:
    """The chain of columns that `by` is part of: coarser ones above it, finer ones below it.

    among: columns to look at, `by` or not. Columns that are not nested in `by`, nor it in them,
    are left out: their groups stand apart.

    Raises:
        ConfigError: there is no such column, or it is empty everywhere.
    """
    values = {name: instances.groups(name) for name in (by, *among)}
    ordered = sorted(values, key=lambda name: len(values[name][0]))
    chain = [by]
    for name in reversed(ordered[: ordered.index(by)]):
        if nested(values[chain[0]][1], values[name][1]):
            chain.insert(0, name)
    for name in ordered[ordered.index(by) + 1 :]:
        if nested(values[name][1], values[chain[-1]][1]):
            chain.append(name)
    return _linked(chain, [values[name] for name in chain])


def nested(fine: Int[ndarray, " n"], coarse: Int[ndarray, " n"]) -> bool:
    """Whether each group of one column lies in one group of the other; −1 is no group.

    A group may lie in none. A column is not nested in one that makes the same groups.
    """
    pairs = np.unique(np.stack([fine, coarse])[:, fine >= 0], axis=1)
    groups, times = np.unique(pairs[0], return_counts=True)
    return bool((times == 1).all()) and len(groups) > len(set(pairs[1]) - {NOWHERE})


def _linked(
    chain: Sequence[str], values: Sequence[tuple[tuple[str, ...], Int[ndarray, " n"]]]
) -> Hierarchy:
    """Levels whose groups know the group above; those that lie in none get one of their own."""
    levels, members = [], np.zeros(len(values[0][1]), np.int64)
    for number, (by, (names, own)) in enumerate(zip(chain, values, strict=True)):
        finer = values[number + 1 :]
        found = own.copy()
        for lower_names, lower in finer[::-1]:
            # A group below that lies in no group here lies in a nameless one.
            for group in range(len(lower_names)):
                inside = (lower == group) & (found == NOWHERE)
                if inside.any() and not (found[lower == group] != NOWHERE).any():
                    found[inside] = found.max() + 1 if found.max() >= len(names) else len(names)
        n_groups = max(len(names), int(found.max(initial=NOWHERE)) + 1)
        above = np.zeros(n_groups, np.int64)
        if number:
            for group in range(n_groups):
                above[group] = members[np.flatnonzero(found == group)[0]]
        levels.append(Level(by, names + ("",) * (n_groups - len(names)), above))
        members = found
    return Hierarchy(tuple(levels), members)


def require_columns(by: Sequence[str]) -> None:
    """Raises ConfigError where no column is named, or one twice."""
    if not by:
        raise ConfigError("by: name a column of the lines to group them by, as in --by document")
    if len(set(by)) < len(by):
        raise ConfigError(f"by={', '.join(by)}: a column is named twice")
