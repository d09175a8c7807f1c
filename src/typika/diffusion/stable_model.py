"""Stable Diffusion fitted to a collection: encode once, finetune, load.

The autoencoder sees every image once in the life of a run; training, scoring and features read
what it wrote. Legend: `n` images, `c h w` latent channels and grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from typika import config as settings
from typika import parallel, ranks
from typika.collection.images import ImageCollection
from typika.collection.prompts import PromptTemplate
from typika.diffusion.batches import BatchSize
from typika.diffusion.checkpoints import Checkpoint, Conditioning
from typika.diffusion.denoiser import Denoiser, Latent
from typika.diffusion.embedded import EmbeddedConfig
from typika.diffusion.finetuning import (
    LEARNED,
    Finetuning,
    Lessons,
    Texts,
    finetuned,
    finetuned_folder,
)
from typika.diffusion.latents import LatentStore, n_parts, part_path, part_rows, write_part
from typika.diffusion.models import EmbeddedModel
from typika.diffusion.projection import Projection
from typika.diffusion.stable import (
    CANVAS,
    Autoencoder,
    Placement,
    StableConfig,
    StableDenoiser,
    pixels,
    placed,
)
from typika.diffusion.training import OptimiserConfig, step_generator
from typika.parallel import Advance, run_parts

RIVAL = EmbeddedConfig()  # the features that the built-in rival sees
SCORED_AT_ONCE = {"cuda": 64, "mps": 8, "cpu": 8}  # noisy latents, where memory allows


@dataclass(frozen=True)
class StableModel:
    """Stable Diffusion under a collection's prompts.

    device_name: "auto", or the name of one. fold: of a cross-fit; see `denoiser_folder`.
    The built-in rival looks through the installed encoder, as the embedded model does: an
    autoencoder's latents tell a small classifier next to nothing.
    """

    config: StableConfig
    prompts: PromptTemplate
    seed: int
    device_name: str = "auto"
    fold: str = ""

    shared: ClassVar[bool] = True
    reads_text: ClassVar[bool] = True
    in_turn: ClassVar[bool] = False
    canvas: ClassVar[int] = CANVAS
    folders: ClassVar[tuple[tuple[str, ...], tuple[str, ...]]] = (
        ("latents", "model/space"),
        ("model/denoiser", "samples"),
    )

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, found and looked over."""
        return Checkpoint.open(self.config.checkpoint, self.config.text_encoder)

    @cached_property
    def placement(self) -> Placement:
        """Where it runs."""
        return Placement.of(self.device_name, self.config.precision)

    def device(self) -> str:
        """Name of the device, and the precision of scoring on it."""
        place = self.placement.device
        name = torch.cuda.get_device_name(place) if place.type == "cuda" else place.type
        return f"{name}, {str(self.placement.scoring).removeprefix('torch.')}"

    @property
    def description(self) -> str:
        """Checkpoint and finetuning."""
        ways = {"full": "finetuned", "lora": f"finetuned by LoRA of rank {self.config.lora_rank}",
                "none": "not finetuned"}  # fmt: skip
        return f"Stable Diffusion ({self.config.checkpoint}), {ways[self.config.finetune]}"

    @property
    def loss(self) -> str:
        """Denoising, or nothing."""
        if self.config.finetune == "none":
            return "none: the pretrained model as it is"
        return f"denoising, {self.config.null_share:.0%} without label"

    def encoding(self) -> Mapping[str, Any]:
        """See `CollectionModel`."""
        return {**self.config.encoding, "weights": self.checkpoint.digest,
                "rival": self._rival.encoding()}  # fmt: skip

    def fitting(self) -> Mapping[str, Any]:
        """See `CollectionModel`."""
        quick = ("scored_at_once", "at_once", "compile", "trackers", "checkpoints")
        values = settings.as_values(self.config)
        return {
            "model": {name: value for name, value in values.items() if name not in quick},
            "prompts": settings.as_values(self.prompts),
            "weights": self.checkpoint.digest,
        }

    @property
    def _rival(self) -> EmbeddedModel:
        return EmbeddedModel(RIVAL, OptimiserConfig(), self.seed)

    # --- encode ---

    def encode(self, collection: ImageCollection, folder: Path, workers: int) -> None:
        """Autoencoder latents of every image; on the leader also the rival's features."""
        latents = self._latents_path(folder)
        missing = [
            part
            for part in range(n_parts(len(collection)))
            if not part_path(latents, part).exists()
        ]
        processes = self.workers(workers)
        threads = 1 if processes > 1 else workers
        run_parts(
            encode_parts, (replace(self), collection, latents, threads),
            ranks.world().share(missing), workers=processes, name="Encoding",
            size=lambda part: len(part_rows(part, len(collection))), hands=processes, on_gpu=True,
        )  # fmt: skip
        if ranks.world().leads:
            self._rival.encode(collection, folder, workers)

    def workers(self, wanted: int) -> int:
        """One process per GPU; on the CPU as many as wanted, each on one thread."""
        return wanted if self.placement.device.type == "cpu" else 1

    def latents(self, n_images: int, folder: Path) -> tuple[PosteriorLatents]:
        """What scoring reads: the posterior's mean, or a sample of it."""
        store = LatentStore(self._latents_path(folder), n_images)
        sampled = self.config.posterior == "sample"
        return (PosteriorLatents(store, self.seed if sampled else None),)

    def rival_latents(self, n_images: int, folder: Path) -> tuple[LatentStore, ...]:
        """Features of the installed encoder."""
        return self._rival.latents(n_images, folder)

    def _latents_path(self, folder: Path) -> Path:
        return folder / "latents" / "autoencoder"

    # --- train ---

    def train(
        self,
        collection: ImageCollection,
        trained_on: Bool[ndarray, " n"],
        folder: Path,
        workers: int,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """Finetune on the images marked; all ranks together."""
        if self.config.finetune == "none":
            return []
        texts, contexts = self._texts(collection)
        return self.finetune(texts, trained_on, collection.labels, contexts, folder)

    def finetune(
        self,
        texts: Texts,
        trained_on: Bool[ndarray, " n"],
        labels: tuple[str, ...],
        contexts: Sequence[int],
        folder: Path,
    ) -> list[dict[str, Any]]:
        """Finetune on the images marked, shown with `texts`; all ranks together.

        labels, contexts: the names and numbers of what sheets of samples show.
        """
        lessons = Lessons(
            LatentStore(self._latents_path(folder), len(trained_on)),
            np.flatnonzero(trained_on),
            texts,
            self.config,
            len(self.checkpoint.levels),
            self.seed,
            self.checkpoint.cell,
        )
        job = Finetuning(
            self.checkpoint, lessons, labels, contexts, self.placement, folder, self.fold
        )
        with self._threads():
            return job.run()

    def _texts(self, collection: ImageCollection) -> tuple[Texts, list[int]]:
        """Every prompt of the collection once, and the number of each label's."""
        number: dict[str, int] = {}

        def known(text: str) -> int:
            return number.setdefault(text, len(number))

        contexts = [known(self.prompts.text(label)) for label in collection.labels]
        null = known(self.prompts.null_text)
        nested = [
            [known(text) for text in self.prompts.nested_texts(label, row)]
            for label, row in zip(
                collection.table["label"].to_pylist(), _metadata(collection), strict=True
            )
        ]
        with self._threads():
            given = self.checkpoint.embed(list(number), self.placement.device)
        own = np.array(contexts)[collection.label_index]
        return Texts(given, own, nested, null), contexts

    def _threads(self) -> Any:
        """One thread on the CPU, where more would change the order of sums."""
        return parallel.one_thread()

    # --- score ---

    def denoisers(
        self, labels: tuple[str, ...], folder: Path, texts: tuple[str, ...] = ()
    ) -> tuple[Denoiser, ...]:
        """The network under the labels' prompts, then under texts, ready to score.

        One that was fitted along a condition knows neither: all of them are the null to it.
        """
        learned = self.projection_path(folder)
        if learned.exists():
            projection = Projection.read(learned, self.null_prompt())
            given = projection.under(torch.zeros(len(labels) + len(texts) + 1, len(projection)))
        else:
            prompts = [*map(self.prompts.text, labels), *texts, self.prompts.null_text]
            given = self.checkpoint.embed(prompts, self.placement.device)
        return (self.denoiser(self.network(folder), given, labels),)

    def network(self, folder: Path) -> Any:
        """The network of a trained run, on its device."""
        unet = finetuned(self.checkpoint, self.config, folder, self.fold)
        return placed(unet, self.placement, compiled=self.config.compile)

    def denoiser(self, unet: Any, given: Conditioning, labels: tuple[str, ...]) -> StableDenoiser:
        """A network that reads what is given for each label, and last for the null."""
        return StableDenoiser(
            self.checkpoint, unet, given, labels, self.config, self.placement.device
        )

    def null_prompt(self) -> Conditioning:
        """The prompt of no label as the network reads it."""
        return self.checkpoint.embed([self.prompts.null_text], self.placement.device)

    def projection_path(self, folder: Path) -> Path:
        """Where the projection lies that a run along a condition has learned."""
        return finetuned_folder(self.config, folder, self.fold) / LEARNED

    def batch_size(self, n_draws: int, folder: Path) -> BatchSize:  # noqa: ARG002
        """Noisy latents of one call: as configured, or as many as fit."""
        device = self.placement.device
        start = self.config.scored_at_once or SCORED_AT_ONCE[device.type]
        return BatchSize("scoring", start, device, folder)


@dataclass(frozen=True)
class PosteriorLatents:
    """The autoencoder's latents: the mean, or with a seed one sample per image, as published."""

    store: LatentStore
    seed: int | None

    def latent(self, row: int) -> Latent:
        """The latent of one image, float32."""
        mean, spread = self.store.latent(row).chunk(2)
        if self.seed is None:
            return mean
        generator = step_generator(self.seed + 2, row)
        return mean + spread * torch.randn(mean.shape, generator=generator)


def encode_parts(
    model: StableModel,
    collection: ImageCollection,
    folder: Path,
    threads: int,
    parts: Iterable[int],
    advance: Advance,
) -> None:
    """Encode some parts, images one by one; others are decoded ahead meanwhile."""
    config = model.config
    autoencoder = Autoencoder(model.checkpoint, config, model.placement.device)

    names = collection.table["image_id"].to_pylist()

    def prepared(row: int) -> Float[Tensor, "1 3 H W"]:
        image = collection.load(row, draft=config.resolution)
        return pixels(image, config.resolution, config.multiple)

    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            rows = part_rows(part, len(collection))
            # An image with several labels has several rows, one after the other.
            first = {names[row]: row for row in reversed(rows)}
            encoded = {}
            for row, values in zip(
                first.values(), pool.map(prepared, first.values()), strict=True
            ):
                encoded[row] = autoencoder.encode_pixels(values)
            write_part(folder, part, [encoded[first[names[row]]] for row in rows])
            advance(len(rows))


def _metadata(collection: ImageCollection) -> list[dict[str, str]]:
    """The metadata of every image as text, for prompts that name columns."""
    rows = collection.table.to_pylist()
    return [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in rows
    ]
