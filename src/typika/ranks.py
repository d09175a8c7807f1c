"""Several processes on one run, started by `torchrun`: one leads, the others follow.

The leader owns the run folder: it alone decides, locks and records. Stages that can be shared are
computed by all. Without `torchrun` there is one process, which leads, and nothing here does
anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = timedelta(days=7)  # a follower waits this long for a stage that the leader does alone


@dataclass(frozen=True)
class World:
    """This process among its fellows: rank of size, and rank on its own machine."""

    rank: int
    size: int
    local_rank: int

    @property
    def leads(self) -> bool:
        """Whether this process owns the run folder."""
        return self.rank == 0

    def share(self, items: list) -> list:
        """What of `items` this process does; the shares of all ranks make up the whole."""
        return items[self.rank :: self.size]


def world() -> World:
    """The processes that `torchrun` started, by its environment variables."""
    rank, size, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    return World(rank, size, local)


def agree(value: int) -> int:
    """The leader's value, on every rank. All ranks must call it, and wait here for one another."""
    if world().size == 1:
        return value
    import torch
    import torch.distributed as distributed

    _meet()
    shared = torch.tensor([value])
    distributed.broadcast(shared, src=0)
    return int(shared)


def mean(values: Tensor) -> None:
    """Put the mean over all ranks in place of each value. All ranks must call it."""
    if world().size == 1:
        return
    import torch.distributed as distributed

    _meet()
    distributed.all_reduce(values)
    values /= world().size


def _meet() -> None:
    import torch
    import torch.distributed as distributed

    if not distributed.is_initialized():
        # Control goes over gloo on every machine; gradients over NCCL where there are GPUs.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)


def wait() -> None:
    """Return once every rank has come here."""
    agree(0)


def leave() -> None:
    """Take leave of the fellows at the end of a command."""
    if world().size > 1:
        import torch.distributed as distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()
