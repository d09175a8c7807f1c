"""How the published typewriter learns: AdamW at a constant rate, a step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from typika.typewriter import together
from typika.typewriter.batches import LineBatch
from typika.typewriter.published import PublishedTypewriter

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter


class PublishedLearner:
    """The published typewriter and its optimiser: what the training loop drives."""

    def __init__(self, model: PublishedTypewriter) -> None:
        self.model, self.optimiser = model, model.optimiser()

    def step(
        self, batch: LineBatch, step: int, n_steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """One step on a batch; the losses before it, by name."""
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.model.losses(batch, step / n_steps, step, generator)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        together.average_gradients(self.model.parameters())
        self.optimiser.step()
        self.model.after_step(step)
        return {name: float(value.detach()) for name, value in losses.items()}

    def state(self) -> dict[str, Tensor]:
        """Everything that learning goes on from."""
        tensors = {f"weight/{name}": value for name, value in self.model.state_dict().items()}
        for name, value in self.model.named_parameters():
            for moment, found in self.optimiser.state.get(value, {}).items():
                tensors[f"{moment}/{name}"] = found
        return tensors

    def take_up(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        weights = {name: tensors[f"weight/{name}"] for name in self.model.state_dict()}
        self.model.load_state_dict(weights)
        self.optimiser = self.model.optimiser()
        for name, value in self.model.named_parameters():
            kept = {moment: tensors.get(f"{moment}/{name}") for moment in MOMENTS}
            if kept["step"] is not None:  # what only learns after the warm start has none yet
                self.optimiser.state[value] = {
                    moment: found if moment == "step" else found.to(value.device)
                    for moment, found in kept.items()
                    if found is not None
                }
