"""What either typewriter does with lines: it sees them, places characters, draws them again.

Legend: `b` lines of a batch, `H W` pixels, `K` symbols, `L` sprites of a symbol, `n` characters
drawn, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from typika.typewriter.alignment import CellPath
from typika.typewriter.batches import LineBatch, Reading


@dataclass(frozen=True)
class Characters:
    """Characters of a batch, drawn or to be drawn: which, on which line, where.

    line, cell: where the model read it. symbol: 0 … K−1. middle: of the sprite, pixels from the
    line's left and from its middle row. log_scale: of the drawn size over the sprite's, along x
    and y. strength: how dark it is beside the line's ink, about 1. share: of the L sprites.
    """

    line: Int[Tensor, " n"]
    cell: Int[Tensor, " n"]
    symbol: Int[Tensor, " n"]
    middle: Float[Tensor, "n 2"]
    log_scale: Float[Tensor, "n 2"]
    strength: Float[Tensor, " n"]
    share: Float[Tensor, "n L"]

    def to(self, device: torch.device) -> Characters:
        """The same on a device."""
        return Characters(
            *(part.to(device) for part in (self.line, self.cell, self.symbol, self.middle,
                                           self.log_scale, self.strength, self.share))
        )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """Lines as a model sees them before it draws anything.

    features, logits: of cells, as the model itself has them. reading: what stands there.
    """

    batch: LineBatch
    features: Tensor
    logits: Tensor
    reading: Reading


@dataclass(frozen=True)
class Redrawn:
    """Lines drawn again, as ink and in their colours, both in [0, 1]."""

    ink: Float[Tensor, "b H W"]
    image: Float[Tensor, "b 3 H W"]


@runtime_checkable
class Redraws(Protocol):
    """A typewriter, a module, as far as reading, aligning and reporting need it.

    `see`, `placed` and `redrawn` are for a model in evaluation.
    """

    @property
    def config(self) -> Any:
        """The settings it is made by, with their `kind`."""

    @property
    def height(self) -> int:
        """Pixels of a line."""

    @property
    def stride(self) -> int:
        """Pixels from one cell to the next."""

    @property
    def space(self) -> int | None:
        """The symbol that stands for a space, if one does."""

    @property
    def letters(self) -> Float[Tensor, "K L h w"]:
        """The sprites of each symbol, ink in [0, 1]."""

    @property
    def forms(self) -> tuple[int, ...]:
        """Of each symbol how many of its sprites are in use, the first ones; empty: all."""

    def read(self, batch: LineBatch) -> Reading:
        """What stands in every cell, without drawing anything."""

    def see(self, batch: LineBatch) -> Seen:
        """What `read` gives, and what drawing goes on from."""

    def placed(self, seen: Seen, paths: Sequence[CellPath]) -> Characters:
        """The characters of one path a line, each the likeliest form of its symbol."""

    def drawn(self, characters: Characters) -> Float[Tensor, "n h w"]:
        """The sprite of each character, not yet placed."""

    def redrawn(self, seen: Seen, characters: Characters) -> Redrawn:
        """The lines drawn again."""

    def eval(self) -> Any:
        """Turn to evaluation."""

    def to(self, device: torch.device) -> Any:
        """Move to a device."""

    def state_dict(self) -> dict[str, Any]:
        """All tensors by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take on what `state_dict` gave."""


def flattened(
    paths: Sequence[CellPath], device: torch.device
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Line, cell and symbol of all characters of one path a line."""
    line = [n for n, path in enumerate(paths) for _ in path.cells]
    cell = [c for path in paths for c in path.cells.tolist()]
    symbol = [s for path in paths for s in path.symbols.tolist()]
    found = torch.tensor([line, cell, symbol], dtype=torch.long, device=device)
    return found[0], found[1], found[2]
