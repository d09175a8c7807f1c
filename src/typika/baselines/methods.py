"""What a baseline is: another way to the maps or to the patches, ending in the same report.

A baseline of maps learns from images and labels and draws one map per image for its own label;
choosing, grouping and the report then go on as for typicality. A baseline of choice keeps the
diffusion model's maps and chooses other patches of them. Legend: `n` images, `h w` grid of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from numpy import ndarray

from typika.baselines.names import Wording
from typika.collection.images import ImageCollection
from typika.diffusion.latents import LatentStore
from typika.diffusion.models import EmbeddedModel


@dataclass(frozen=True)
class Material:
    """What a baseline of maps may look at, and where it keeps what it learns."""

    collection: ImageCollection
    trained_on: Bool[ndarray, " n"]  # the images that it may learn from
    encoder: EmbeddedModel  # whose features the denoisers see, or the rival beside them
    run: Path
    seed: int
    workers: int = 1

    @property
    def folder(self) -> Path:
        """Where the baseline keeps what it learned."""
        return self.run / "model" / "baseline"

    @property
    def latents(self) -> tuple[LatentStore, ...]:
        """The frozen encoder's features of every image, whitened, of each scale."""
        return self.encoder.latents(len(self.collection), self.run)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of their numbers."""
        return self.collection.labels


@dataclass(frozen=True)
class BaselineMap:
    """What a baseline finds in one image.

    scales: its map for the image's label, one grid or several that are averaged; positive where
    the image is what its label is like. predicted: number of the label that it would give the
    image, where it can tell.
    """

    scales: tuple[Float[ndarray, "_h _w"], ...]
    predicted: int | None = None


Mapper = Callable[[int], BaselineMap]  # of a row of the collection, for that row's label


@runtime_checkable
class MapBaseline(Protocol):
    """A baseline of maps. `fit` may be interrupted and called again."""

    def causes(self) -> Mapping[str, Any]:
        """Settings that decide its maps. Raises ModelError where a checkpoint is not usable."""
        ...

    def fit(self, material: Material) -> list[dict[str, Any]]:
        """Learn, and write into `material.folder`; rows for metrics.jsonl."""
        ...

    def open(self, material: Material) -> Mapper:
        """Read what was learned; called once in every process that scores."""
        ...

    def processes(self, wanted: int) -> int:
        """How many processes score at once."""
        ...

    @property
    def wording(self) -> Wording:
        """What the report says of it."""
        ...
