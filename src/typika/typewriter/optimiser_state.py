"""A model and its AdamW as named tensors, and back: what a learner goes on from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter


def state_of(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights, buffers and moments by name."""
    tensors = {f"weight/{name}": value for name, value in model.state_dict().items()}
    for name, value in model.named_parameters():
        for moment, found in optimiser.state.get(value, {}).items():
            tensors[f"{moment}/{name}"] = found
    return tensors


def take_up(
    model: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Go on from what `state_of` gave. A parameter that has not been stepped has no moments."""
    model.load_state_dict({name: tensors[f"weight/{name}"] for name in model.state_dict()})
    for name, value in model.named_parameters():
        kept = {moment: tensors.get(f"{moment}/{name}") for moment in MOMENTS}
        moments = {
            # The count of steps stays on the CPU, where the optimiser keeps it.
            moment: found if moment == "step" else found.to(value.device)
            for moment, found in kept.items()
            if found is not None
        }
        optimiser.state.pop(value, None)
        if moments:
            optimiser.state[value] = moments
