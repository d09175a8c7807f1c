"""How the published typewriter learns: AdamW at a constant rate, a step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from typika.typewriter import optimiser_state, together
from typika.typewriter.batches import LineBatch
from typika.typewriter.published import PublishedTypewriter


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
        return optimiser_state.state_of(self.model, self.optimiser)

    def take_up(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.optimiser = self.model.optimiser()
        optimiser_state.take_up(self.model, self.optimiser, tensors)
