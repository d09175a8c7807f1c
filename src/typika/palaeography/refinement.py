"""Prototypes of groups, fitted to the lines of each and drawn to those of the group above.

How much a group leans on its parent is estimated from instances (`adaptation`), and so is where
the search for its sprites begins; what they become is decided by how its lines are drawn
(`typewriter.refitting`).

Legend: `K` letters, `L` forms of a character, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from typika.palaeography import adaptation
from typika.palaeography.groupings import Hierarchy
from typika.palaeography.records import Instances, Letter
from typika.typewriter.batches import Line
from typika.typewriter.refitting import MOST_PENALTY, placed_lines, refitted
from typika.typewriter.store import Trained

WHOLE = -1  # the level above all groups, which has one: all lines
MOST_LINES = 128  # of a group that are fitted; more change its sprites little
TRUST = 0.3  # of λ that is left when lines are fitted, where instances blur what they agree on


@dataclass(frozen=True)
class Shrinkage:
    """What instances say of every group at every level. reference: the model's own sprites."""

    instances: Instances
    hierarchy: Hierarchy
    reference: Float[ndarray, "K h w"]

    @cached_property
    def fits(self) -> list[adaptation.Fit]:
        """Of each letter."""
        return list(adaptation.fits(self.instances, self.hierarchy, self.reference))

    def start(self, level: int, group: int) -> Float[ndarray, "K h w"]:
        """The shrunk means of instances."""
        rows = [one.whole if level == WHOLE else one.prototypes[level][group]
                for one in self.fits]  # fmt: skip
        return np.stack(rows).reshape(self.reference.shape)

    def penalties(self, level: int) -> Float[ndarray, " K"]:
        """λ of each letter for lines, in instances."""
        found = np.array([one.penalties[level + 1] for one in self.fits])
        return np.where(found < MOST_PENALTY, TRUST * found, MOST_PENALTY)

    def refine(
        self,
        trained: Trained,
        lines: Sequence[Line],
        level: int,
        group: int,
        parent: Float[ndarray, "K h w"],
        advance: Callable[[int], None] = lambda _: None,
    ) -> Float[ndarray, "K h w"]:
        """Sprites of a group. lines: its own. parent: the sprites of the group above it."""
        chosen = spread(lines, MOST_LINES)
        number = numbers(trained, self.instances.letters)
        found = refitted(
            list(placed_lines(trained.model, chosen, number)),
            _tensor(self.start(level, group)).clamp(0, 1),
            _tensor(parent),
            _tensor(self.penalties(level)),
            advance=advance,
        )
        return found.numpy()


def spread(lines: Sequence[Line], most: int) -> list[Line]:
    """So many of the lines, evenly from the first to the last."""
    if len(lines) <= most:
        return list(lines)
    return [lines[round(n * (len(lines) - 1) / (most - 1))] for n in range(most)]


def numbers(trained: Trained, letters: Sequence[Letter]) -> Tensor:
    """(K, L) The letter of each symbol and form; −1 of a space."""
    place = {letter: n for n, letter in enumerate(letters)}
    forms = range(trained.model.letters.shape[1])
    return torch.tensor([[place.get(Letter(symbol, form), -1) for form in forms]
                         for symbol in trained.alphabet.symbols])  # fmt: skip


def _tensor(values: ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
