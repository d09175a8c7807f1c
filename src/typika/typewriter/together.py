"""Learning in several processes: each has a part of every batch, and they average what they find.

Plain sums over all ranks, since a model here is called by many methods and never as a whole, which
is what accelerate would wrap. With one process nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from typika import ranks


def own_part(numbers: Sequence[int]) -> list[int]:
    """The lines of a batch that this rank shows; where there are too few, the first one again."""
    return ranks.world().share(list(numbers)) or list(numbers[:1])


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Give every rank the mean of all ranks' gradients.

    A parameter without a gradient on some ranks counts as 0 there; without one on any it stays
    without.
    """
    if ranks.world().size == 1:
        return
    weights = list(parameters)
    there = torch.tensor([float(one.grad is not None) for one in weights])
    zeros = (torch.zeros_like(one) if one.grad is None else one.grad for one in weights)
    flat = torch.cat([there.to(weights[0].device), *(one.flatten() for one in zeros)])
    ranks.mean(flat)
    start = len(weights)
    for weight, known in zip(weights, flat[:start].tolist(), strict=True):
        gradient = flat[start : start + weight.numel()]
        weight.grad = gradient.view_as(weight) if known else None
        start += weight.numel()


@torch.no_grad()
def average_buffers(module: nn.Module) -> None:
    """The same for what a module keeps beside its parameters: statistics of normalisations."""
    if ranks.world().size == 1:
        return
    for buffer in module.buffers():
        if buffer.is_floating_point():
            ranks.mean(buffer)


def average(value: float) -> float:
    """The mean of a number over the ranks."""
    if ranks.world().size == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    ranks.mean(shared)
    return float(shared)
