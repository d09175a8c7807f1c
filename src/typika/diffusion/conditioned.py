"""A model under a condition that is no word: trained along it, asked at any place.

To a model the anchors of a condition are labels, and a condition is a mixture of them; so
whatever scores images under labels scores them under conditions too. Here the embedded model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from typika.diffusion.denoiser import Denoiser
from typika.diffusion.embedded import CellDenoiser, EmbeddedDenoiser, conditioned_loss
from typika.diffusion.encoders import load_encoder
from typika.diffusion.models import (
    EmbeddedModel,
    batch_rows,
    fit_and_save,
    load_network,
)
from typika.diffusion.training import step_generator
from typika.parallel import Advance, run_tasks


@runtime_checkable
class ConditionedModel(Protocol):
    """What mining along a condition knows of a kind of model."""

    @property
    def description(self) -> str:
        """What a reader of the report should know the model by."""
        ...

    @property
    def loss(self) -> str:
        """What it was fitted by, for the report."""
        ...

    def train(
        self,
        shares: Float[ndarray, "n k"],
        trained_on: Bool[ndarray, " n"],
        folder: Path,
        workers: int,
    ) -> list[dict[str, Any]]:
        """Fit the denoisers to the images marked in `trained_on`; rows for metrics.jsonl.

        shares: of every image of the collection, as `Anchors.shares` gives them.
        """
        ...

    def denoisers(self, folder: Path) -> tuple[Callable[[Float[ndarray, "j k"]], Denoiser], ...]:
        """Of each scale a function: mixtures of anchors -> a denoiser with these as labels."""
        ...


@dataclass(frozen=True)
class ConditionedEmbedded:
    """A denoiser of each scale of the embedded model, with a head for each of `n_anchors`."""

    embedded: EmbeddedModel
    n_anchors: int

    @property
    def description(self) -> str:
        """See `ConditionedModel`."""
        return self.embedded.description

    @property
    def loss(self) -> str:
        """See `ConditionedModel`."""
        return self.embedded.loss

    def train(
        self,
        shares: Float[ndarray, "n k"],
        trained_on: Bool[ndarray, " n"],
        folder: Path,
        workers: int,
    ) -> list[dict[str, Any]]:
        """See `ConditionedModel`."""
        sides = self.embedded.config.sides
        tasks = [
            (self, shares.astype(np.float32), trained_on, folder, number)
            for number in range(len(sides))
        ]
        steps = self.embedded.steps(int(trained_on.sum()))
        histories = run_tasks(
            _train_scale, tasks, workers=workers, name="Training", total=steps * len(tasks)
        )
        return [
            {"side": side, "tenth": tenth, "loss": loss}
            for side, history in zip(sides, histories, strict=True)
            for tenth, loss in enumerate(history)
        ]

    def denoisers(
        self, folder: Path
    ) -> tuple[Callable[[Float[ndarray, "j k"]], EmbeddedDenoiser], ...]:
        """See `ConditionedModel`."""
        config, found = self.embedded.config, []
        encoder = load_encoder(config.encoder)
        for side, space in zip(config.sides, self.embedded.spaces(folder), strict=True):
            network = self.embedded.network(space.channels, self.n_anchors)
            load_network(network, self.embedded.network_path(folder, side))

            def under(
                shares: Float[ndarray, "j k"],
                network: CellDenoiser = network,
                space: Any = space,
                side: int = side,
            ) -> EmbeddedDenoiser:
                mixed = network.mixed(torch.from_numpy(shares.astype(np.float32)))
                names = tuple(map(str, range(len(shares))))
                levels = config.log_snr_range
                return EmbeddedDenoiser(encoder, space, mixed, names, side, levels)

            found.append(under)
        return tuple(found)


def _train_scale(
    model: ConditionedEmbedded,
    shares: Float[ndarray, "n k"],
    trained_on: Bool[ndarray, " n"],
    folder: Path,
    number: int,
    advance: Advance,
) -> list[float]:
    """Train the denoiser of one scale and save its averaged weights."""
    own = model.embedded
    config, side = own.config, own.config.sides[number]
    store = own.latents(len(shares), folder)[number]
    rows = np.flatnonzero(trained_on)
    seed = own.seed * 113 + number
    torch.manual_seed(seed)  # the start of the weights; every later draw has its own generator
    network = own.network(store.channels, model.n_anchors)

    def step_loss(step: int) -> torch.Tensor:
        generator = step_generator(seed, step)
        chosen = batch_rows(rows, config.batch, step, seed)
        batch = store.batch(chosen.tolist(), config.cells, generator)
        return conditioned_loss(
            network, batch, torch.from_numpy(shares[chosen]), config, generator
        )

    path = own.network_path(folder, side)
    return fit_and_save(network, step_loss, own.steps(len(rows)), own.optimiser, path, advance)
