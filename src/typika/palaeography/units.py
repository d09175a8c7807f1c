"""Letters in documents: of every document the mean of its instances, and how sure that mean is.

What is compared lies near the ink of the model's own sprite; what lies beyond belongs to
neighbours (as in spec 1.13, where the image is laid through a soft mask). Means are those of the
aligned instances and not prototypes that lean on their group: those would tell the group by
themselves, and no test of groups could be believed.

Legend: `n` instances of a letter, `D` documents, `p` pixels that are compared, `h w` pixels of a
sprite. Ink is 1, paper 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.errors import ConfigError
from typika.palaeography.records import Instances, Letter, Prototypes
from typika.typewriter.instances import nearness

EDGE = 0.05  # of the soft mask: what counts less is not looked at
SPLIT = "split"  # the column that says what lines were used for
TRAIN, TEST = "train", "test"


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """How groups are compared."""

    level: float = 0.05  # false discovery rate over pixels of a letter, and over letters
    test: Literal["welch", "permutation"] = "welch"  # of a pixel
    permutations: int = 4999  # of the units' labels; all of them where there are no more
    draws: int = 500  # resamplings behind an interval
    least: int = 3  # instances of a letter, below which a document is left out of the letter
    most: int = 200  # instances of a letter and group that are looked at where they are the units
    axes: int = 5  # principal axes that are held against dates
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"level={self.level}: need a share in (0, 1)")
        if self.test not in ("welch", "permutation"):
            raise ConfigError(f"test={self.test!r}: need 'welch' or 'permutation'")
        least = {"permutations": 1, "draws": 20, "least": 2, "most": 10, "axes": 1}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ConfigError(f"{name}={getattr(self, name)}: need at least {lowest}")


@dataclass(frozen=True, eq=False)
class Units:
    """What varies independently: documents, each with the group that it belongs to.

    group: "" where it belongs to none. split: "test" where all of its lines were kept apart from
    learning, "train" where not, "" where nothing is known. number: of each instance its unit, −1
    for none. A document that has lines of several groups is a unit in each of them.
    """

    names: tuple[str, ...]
    group: tuple[str, ...]
    split: tuple[str, ...]
    number: Int[ndarray, " n"]

    @classmethod
    def of(cls, instances: Instances, groups: str, documents: str) -> Units:
        """Units by two columns of the lines.

        Raises:
            ConfigError: there is no such column, or it is empty.
        """
        document_names, document = instances.groups(documents)
        group_names, group = instances.groups(groups)
        groups_of: dict[int, set[int]] = defaultdict(set)
        for one, other in zip(document.tolist(), group.tolist(), strict=True):
            groups_of[one].add(other)
        pairs = sorted((d, g) for d, found in groups_of.items() if d >= 0 for g in found)
        numbers = {pair: number for number, pair in enumerate(pairs)}

        def name(d: int, g: int) -> str:
            own = document_names[d]
            return f"{own} ({group_names[g] or '-'})" if len(groups_of[d]) > 1 else own

        own = zip(document.tolist(), group.tolist(), strict=True)
        number = np.array([numbers.get(pair, -1) for pair in own], dtype=np.int64)
        return cls(
            names=tuple(name(d, g) for d, g in pairs),
            group=tuple(group_names[g] if g >= 0 else "" for _, g in pairs),
            split=_splits(instances, number, len(pairs)),
            number=number,
        )

    def side(self, first: str, second: str) -> Int[ndarray, " D"]:
        """−1 for units of the first group, 1 for those of the second, 0 for the others."""
        return np.array([(name == second) - int(name == first) for name in self.group])

    def values(self, instances: Instances, column: str) -> tuple[str, ...]:
        """What most instances of each unit have in a column; "" where there is nothing."""
        found: list[defaultdict[str, int]] = [defaultdict(int) for _ in self.names]
        for number, value in zip(self.number.tolist(), instances.table[column].to_pylist(),
                                 strict=True):  # fmt: skip
            if number >= 0 and value is not None and str(value):
                found[number][str(value)] += 1
        return tuple(max(sorted(own), key=lambda value: own[value]) if own else ""
                     for own in found)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sample:
    """The instances of one letter, laid through its mask.

    near: the mask, in [0, 1]. ink, weight: of the pixels where it counts; ink is multiplied by
    the mask. unit: of each instance.
    """

    letter: Letter
    near: Float[ndarray, "h w"]
    ink: Float[ndarray, "n p"]
    weight: Float[ndarray, "n p"]
    unit: Int[ndarray, " n"]

    @property
    def filled(self) -> Float[ndarray, "n p"]:
        """Ink; where a pixel lies beyond the line, what the other instances have there."""
        total = self.weight.sum(axis=0)
        mean = (self.weight * self.ink).sum(axis=0) / np.where(total > 0, total, 1)
        return np.where(self.weight > 0, self.ink, mean)


@dataclass(frozen=True, eq=False)
class Means:
    """One letter in every unit.

    value: its mean ink in the pixels compared; 0 where `known` is False. noise: the sum over
    pixels of the variance of that mean, from the instances of the unit. count: of instances.
    known: where there are enough.
    """

    letter: Letter
    near: Float[ndarray, "h w"]
    value: Float[ndarray, "D p"]
    noise: Float[ndarray, " D"]
    count: Int[ndarray, " D"]
    known: Bool[ndarray, " D"]

    def picture(self, values: Float[ndarray, "*n p"], beyond: float = 0.0) -> ndarray:
        """Values of the pixels compared as images: (..., h, w), `beyond` elsewhere."""
        return picture(self.near, values, beyond)


def picture(
    near: Float[ndarray, "h w"], values: Float[ndarray, "*n p"], beyond: float = 0.0
) -> ndarray:
    """Values of the pixels where a mask counts as images: (..., h, w), `beyond` elsewhere."""
    image = np.full((*values.shape[:-1], *near.shape), float(beyond))
    image[..., near > EDGE] = values
    return image


def masks(
    instances: Instances, reference: Float[ndarray, "K h w"] | None
) -> Float[ndarray, "K h w"]:
    """Where each letter is compared, in [0, 1]: near the ink of its sprite.

    reference: the model's sprites; without, the mean of all instances of a letter stands in.
    """
    if reference is None:
        reference = np.stack([_mean(instances, k) for k in range(len(instances.letters))])
    sprites = torch.from_numpy(np.ascontiguousarray(reference, dtype=np.float32))
    return nearness(sprites).numpy().astype(np.float64)


def sample(instances: Instances, units: Units, letter: int, near: Float[ndarray, "h w"]) -> Sample:
    """The instances of a letter that belong to a unit."""
    rows = np.flatnonzero((instances.letter == letter) & (units.number >= 0))
    pixels = near > EDGE
    return Sample(
        letter=instances.letters[letter],
        near=near,
        ink=(instances.ink[rows][:, pixels] / np.float32(255)) * near[pixels].astype(np.float32),
        weight=instances.weight[rows][:, pixels] / np.float32(255),
        unit=units.number[rows],
    )


def means(found: Sample, n_units: int, least: int) -> Means:
    """The mean of each unit, and the variance of that mean."""
    own = (found.unit[None, :] == np.arange(n_units)[:, None]).astype(np.float64)  # (D, n)
    count = own.sum(axis=1).astype(np.int64)
    weight, ink = found.weight.astype(np.float64), found.ink.astype(np.float64)
    total = own @ weight
    seen = np.where(total > 0, total, 1)
    everywhere = (weight * ink).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-9)
    value = np.where(total > 0, own @ (weight * ink) / seen, everywhere)
    away = (weight * (ink - value[found.unit])) ** 2
    # The variance of a weighted mean: Σ w² (x − m)² / (Σ w)², times n / (n − 1) for its bias.
    noise = (own @ away / seen**2).sum(axis=1) * count / np.maximum(count - 1, 1)
    known = count >= least
    return Means(found.letter, found.near, np.where(known[:, None], value, 0),
                 np.where(known, noise, 0), count, known)  # fmt: skip


def of_prototypes(
    prototypes: Prototypes, names: Sequence[str], letter: int, near: Float[ndarray, "h w"]
) -> Means:
    """The same of prototypes, whatever they lean on: as published, for pictures and not for tests.

    names: of the units; one that has no prototype lacks the letter.
    """
    pixels = near > EDGE
    places = [prototypes.groups.index(name) if name in prototypes.groups else -1 for name in names]
    there = np.array(places) >= 0
    value = prototypes.ink[places, letter][:, pixels] * near[pixels]
    count = np.where(there, prototypes.count[places, letter], 0)
    known = there & prototypes.shown[places, letter]
    variance = (prototypes.variance[places, letter][:, pixels] * near[pixels] ** 2).sum(axis=1)
    return Means(prototypes.letters[letter], near, np.where(known[:, None], value, 0.0),
                 np.where(known, variance / np.maximum(count, 1), 0.0), count, known)  # fmt: skip


def all_means(
    instances: Instances, units: Units, near: Float[ndarray, "K h w"], least: int
) -> Iterator[tuple[Sample, Means]]:
    """Letter by letter, so that the pixels of one alone are in memory."""
    for letter in range(len(instances.letters)):
        found = sample(instances, units, letter, near[letter])
        yield found, means(found, len(units.names), least)


def _mean(instances: Instances, letter: int) -> Float[ndarray, "h w"]:
    rows = np.flatnonzero(instances.letter == letter)
    if not len(rows):
        return np.zeros(instances.shape)
    return instances.ink[rows].mean(axis=0) / 255


def _splits(instances: Instances, number: Int[ndarray, " n"], n_units: int) -> tuple[str, ...]:
    if SPLIT not in instances.table.column_names:
        return ("",) * n_units
    found: list[set[str]] = [set() for _ in range(n_units)]
    for unit, value in zip(number.tolist(), instances.table[SPLIT].to_pylist(), strict=True):
        if unit >= 0:
            found[unit].add(value or "")
    return tuple("" if own <= {""} else TEST if own == {TEST} else TRAIN for own in found)
