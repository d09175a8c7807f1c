"""Documents between two groups, letter by letter, and those that stand out (Figs. 3.8 and 3.9).

A point is a document's letter at its distances to the prototypes of two groups. A document that
the prototype of its own group is made of is nearer to it by that alone: it is left out of it here,
and the published way is given beside it.

Legend: `K` letters, `D` documents, `n` documents of one group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import stats

from typika.evaluation import holm
from typika.palaeography import distances
from typika.palaeography.comparison_records import Graphs, Outliers
from typika.palaeography.units import Means, Units

LEAST_DOCUMENTS = 4  # of a group, for one of them to be told from the others
LEAST_LETTERS = 3  # that a document shares with its group
LOWEST = 0.05  # of the usual distance: what is left of a distance that noise explains


def graphs(units: Units, means: Sequence[Means], first: str, second: str) -> Graphs:
    """Distances of every document to the prototypes of two groups, letter by letter."""
    side = units.side(first, second)
    shape = (len(side), len(means), 2)
    found, published = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, own in enumerate(means):
        rows = np.flatnonzero(own.known)
        if not len(rows):
            continue
        gram = distances.inner_products(own.value[rows])
        squares = distances.to_groups(gram, side[rows])
        found[rows, k] = np.sqrt(squares.left_out)
        published[rows, k] = np.sqrt(np.maximum(squares.published, 0))
    return Graphs(
        first=first, second=second, letters=tuple(own.letter for own in means),
        documents=units.names, side=side, split=units.split,
        count=np.stack([own.count for own in means], axis=1), distance=found, published=published,
    )  # fmt: skip


# ------------------------------------------------------------------------------------- outliers


def outliers(units: Units, means: Sequence[Means]) -> Outliers:
    """How unlike the rest of its group each document is, over all letters.

    A document's squared distance to the others' mean, letter by letter, in units of what is usual
    among the others when it is not there; the mean over letters is its statistic. Its logarithm is
    held against those of the other documents by Student's t with the deleted deviation (of all
    groups together): the document tested has no part in what it is tested against. The unit is
    the document, so however many letters there are, they say no more than that one differs.
    """
    shape = (len(units.names), len(means))
    by_letter, statistic = np.full(shape, np.nan), np.full(shape[0], np.nan)
    p = np.full(shape[0], np.nan)
    members = {name: np.array([one == name for one in units.group]) for name in set(units.group)}
    tested = [name for name, own in members.items() if name and own.sum() >= LEAST_DOCUMENTS]
    whole = {name: _Group.of(means, members[name]) for name in tested}
    logs = {name: group.logarithms for name, group in whole.items()}
    for name in sorted(tested):
        rows = np.flatnonzero(members[name])
        elsewhere = [logs[one] for one in tested if one != name]
        for place, row in enumerate(rows):
            by_letter[row] = whole[name].held_out(place)
            known = by_letter[row][np.isfinite(by_letter[row])]
            if len(known) < LEAST_LETTERS:
                continue
            statistic[row] = known.mean()
            rest = whole[name].without(place).logarithms
            p[row] = deleted_t(np.log(max(statistic[row], LOWEST)), rest, elsewhere)
    return Outliers(
        documents=units.names, group=units.group,
        letters=tuple(own.letter for own in means), statistic=statistic, by_letter=by_letter, p=p,
        holm=holm(p),
    )  # fmt: skip


def deleted_t(
    value: float, rest: Float[ndarray, " n"], elsewhere: Sequence[Float[ndarray, " _"]] = ()
) -> float:
    """One-sided p-value that a value is of the normal that the rest are of, or larger.

    elsewhere: values of other groups, whose deviations from their own means sharpen the deviation.
    nan with fewer than three of the rest.
    """
    rest = rest[np.isfinite(rest)]
    if len(rest) < LEAST_DOCUMENTS - 1:
        return np.nan
    groups = [rest, *(own[np.isfinite(own)] for own in elsewhere)]
    freedom = sum(len(own) - 1 for own in groups if len(own) > 1)
    square = sum(((own - own.mean()) ** 2).sum() for own in groups if len(own) > 1) / freedom
    error = np.sqrt(square * (1 + 1 / len(rest)))
    return float(stats.t.sf((value - rest.mean()) / max(error, 1e-9), freedom))


@dataclass(frozen=True, eq=False)
class _Group:
    """The documents of one group: of every letter their inner products, noise, and who has it."""

    gram: tuple[Float[ndarray, "n n"], ...]
    noise: tuple[Float[ndarray, " n"], ...]
    known: tuple[Bool[ndarray, " n"], ...]

    @classmethod
    def of(cls, means: Sequence[Means], member: Bool[ndarray, " D"]) -> _Group:
        return cls(
            gram=tuple(distances.inner_products(own.value[member]) for own in means),
            noise=tuple(own.noise[member] for own in means),
            known=tuple(own.known[member] for own in means),
        )

    def without(self, place: int) -> _Group:
        """The group when one document is not there."""
        rest = np.arange(len(self.known[0])) != place
        return _Group(
            gram=tuple(gram[np.ix_(rest, rest)] for gram in self.gram),
            noise=tuple(noise[rest] for noise in self.noise),
            known=tuple(known[rest] for known in self.known),
        )

    @property
    def logarithms(self) -> Float[ndarray, " n"]:
        """Of every document, of its mean over letters as in `outliers`; nan with too few."""
        strays = self._strays()
        found = np.full(len(self.known[0]), np.nan)
        for place in range(len(found)):
            own = _in_usual(strays, place)
            own = own[np.isfinite(own)]
            if len(own) >= LEAST_LETTERS:
                found[place] = np.log(max(own.mean(), LOWEST))
        return found

    def held_out(self, place: int) -> Float[ndarray, " K"]:
        """A document's squared distances by letter, in units of what is usual without it."""
        own, rest = self._strays()[place], self.without(place)._strays()
        counts = np.isfinite(rest).sum(axis=0)
        usual = np.array([rest[:, k][np.isfinite(rest[:, k])].mean() if counts[k] > 1 else np.nan
                          for k in range(len(own))])  # fmt: skip
        return own / np.where(usual > 0, usual, np.nan)

    def _strays(self) -> Float[ndarray, "n K"]:
        """‖x − mean of the others‖², as if every document's mean were as noisy as is usual.

        Divided by 1 + 1/(n − 1), by which a mean of n − 1 others makes it larger.
        """
        found = np.full((len(self.known[0]), len(self.gram)), np.nan)
        for k, (gram, noise, known) in enumerate(
            zip(self.gram, self.noise, self.known, strict=True)
        ):
            rows = np.flatnonzero(known)
            n = len(rows)
            if n < LEAST_DOCUMENTS - 1:
                continue
            own = gram[np.ix_(rows, rows)]
            alone = np.eye(n)
            square = distances.between(own, alone, 1 - alone) * (n - 1) / n
            usual = (noise[rows].sum() - noise[rows]) / (n - 1)
            found[rows, k] = square - (noise[rows] - usual) * (n - 1) / n
        return found


def _in_usual(strays: Float[ndarray, "n K"], place: int) -> Float[ndarray, " K"]:
    """A row in units of the mean of the other rows."""
    others = np.delete(strays, place, axis=0)
    known = np.isfinite(others)
    usual = np.where(known, others, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return strays[place] / np.where((known.sum(axis=0) > 1) & (usual > 0), usual, np.nan)
