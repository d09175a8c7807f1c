"""Stable Diffusion under a condition that is no word, which it reads through a projection.

The projection is learned with the network or its low-rank corrections, by the same loop; or
alone, where the network is not finetuned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from typika import parallel
from typika.diffusion.finetuning import Texts
from typika.diffusion.projection import STATES, Projected, Projection
from typika.diffusion.stable import StableDenoiser
from typika.diffusion.stable_model import StableModel


@dataclass(frozen=True)
class ConditionedStable:
    """Stable Diffusion that reads mixtures of `n_anchors` anchors in the place of prompts."""

    stable: StableModel
    n_anchors: int

    @property
    def description(self) -> str:
        """See `ConditionedModel`."""
        return f"{self.stable.description}, the condition projected to {STATES} learned states"

    @property
    def loss(self) -> str:
        """See `ConditionedModel`."""
        return f"denoising, {self.stable.config.null_share:.0%} without condition"

    def train(
        self,
        shares: Float[ndarray, "n k"],
        trained_on: Bool[ndarray, " n"],
        folder: Path,
        workers: int,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """See `ConditionedModel`; all ranks together."""
        n_images, anchors = len(shares), np.eye(self.n_anchors)
        # By number: the condition of each image, then the anchors, then none.
        table = np.concatenate([shares, anchors, np.zeros((1, self.n_anchors))])
        with parallel.one_thread():
            start = Projection.start(self.stable.null_prompt(), self.n_anchors)
        given = Projected(start, torch.from_numpy(table.astype(np.float32)))
        null = n_images + self.n_anchors
        texts = Texts(given, np.arange(n_images), [()] * n_images, null)
        names = tuple(f"anchor {number}" for number in range(self.n_anchors))
        return self.stable.finetune(texts, trained_on, names, range(n_images, null), folder)

    def denoisers(
        self, folder: Path
    ) -> tuple[Callable[[Float[ndarray, "j k"]], StableDenoiser], ...]:
        """See `ConditionedModel`."""
        own = self.stable
        projection = Projection.read(own.projection_path(folder), own.null_prompt())
        unet = own.network(folder)

        def under(shares: Float[ndarray, "j k"]) -> StableDenoiser:
            table = np.concatenate([shares, np.zeros((1, self.n_anchors))])
            given = projection.under(torch.from_numpy(table.astype(np.float32)))
            return own.denoiser(unet, given, tuple(map(str, range(len(shares)))))

        return (under,)
