"""From a collection to its fitted denoisers: encode once, train, load.

`CollectionModel` is what the pipeline knows of a kind of model; `EmbeddedModel` is the one that
needs no download and no GPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from safetensors import safe_open
from safetensors.torch import load_file, save

from typika import config as settings
from typika.collection.images import ImageCollection
from typika.diffusion.batches import BatchSize
from typika.diffusion.denoiser import Denoiser, Latent
from typika.diffusion.embedded import (
    CellDenoiser,
    EmbeddedConfig,
    EmbeddedDenoiser,
    training_loss,
)
from typika.diffusion.encoders import load_encoder
from typika.diffusion.latents import LatentStore, n_parts, part_path, part_rows, write_part
from typika.diffusion.space import FeatureSpace, fit_space
from typika.diffusion.training import OptimiserConfig, State, fit, step_generator
from typika.errors import ConfigError, ModelError
from typika.files import whole_file
from typika.parallel import Advance, run_parts, run_tasks

PILOT = 128  # images that the latent space is fitted to


@runtime_checkable
class Latents(Protocol):
    """The latents of a collection, as scoring reads them."""

    def latent(self, row: int) -> Latent:
        """The latent of one image, float32 on the CPU."""
        ...


@runtime_checkable
class CollectionModel(Protocol):
    """A kind of model that is fitted to a collection inside a run folder.

    Every method may be interrupted and called again.
    """

    def encoding(self) -> Mapping[str, Any]:
        """Settings that decide the latents."""
        ...

    def fitting(self) -> Mapping[str, Any]:
        """Settings that decide the fitted model."""
        ...

    @property
    def folders(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Where under the run folder `encode` and `train` write."""
        ...

    @property
    def shared(self) -> bool:
        """Whether several ranks encode, train and score together; else the leader does alone."""
        ...

    @property
    def reads_text(self) -> bool:
        """Whether a context may be any text, and not only a label."""
        ...

    @property
    def in_turn(self) -> bool:
        """Whether images are scored one at a time, on the CPU in processes of one thread."""
        ...

    @property
    def canvas(self) -> int:
        """Side in latent cells of the noise that images share."""
        ...

    def encode(self, collection: ImageCollection, folder: Path, workers: int) -> None:
        """Write the latents of every image under `folder`/latents."""
        ...

    def train(
        self,
        collection: ImageCollection,
        trained_on: Bool[ndarray, " n"],
        folder: Path,
        workers: int,
    ) -> list[dict[str, Any]]:
        """Fit the denoisers to the images marked in `trained_on`; rows for metrics.jsonl."""
        ...

    def denoisers(
        self, labels: tuple[str, ...], folder: Path, texts: tuple[str, ...] = ()
    ) -> tuple[Denoiser, ...]:
        """The fitted denoisers, one per scale.

        texts: further contexts, numbered after the labels; ConfigError if the model reads none.
        """
        ...

    def latents(self, n_images: int, folder: Path) -> tuple[Latents, ...]:
        """The latents of each scale."""
        ...

    def rival_latents(self, n_images: int, folder: Path) -> tuple[LatentStore, ...]:
        """The features that the built-in rival learns from."""
        ...

    def batch_size(self, n_draws: int, folder: Path) -> BatchSize:
        """How many noisy latents one scoring call takes, of images with `n_draws` each."""
        ...

    def workers(self, wanted: int) -> int:
        """Processes that scoring uses."""
        ...

    @property
    def description(self) -> str:
        """What a reader of the report should know the model by."""
        ...

    @property
    def loss(self) -> str:
        """What it was fitted by, for the report."""
        ...

    def device(self) -> str:
        """Where it runs, for the record."""
        ...


def denoiser_folder(folder: Path, fold: str = "") -> Path:
    """Where under a run folder the fitted denoiser lies; of a cross-fit, that of one fold."""
    return folder / "model" / "denoiser" / fold


def n_steps(n_images: int, batch: int, epochs: float, limits: tuple[int, int]) -> int:
    """Training steps for so many passes over the images, within limits."""
    least, most = limits
    return max(least, min(most, round(epochs * n_images / batch)))


def batch_rows(rows: Int[ndarray, " n"], batch: int, step: int, seed: int) -> Int[ndarray, " b"]:
    """The images of one training step: shuffled anew in every pass, cut into batches.

    A function of (seed, step) alone. With fewer images than a batch, all of them.
    """
    per_pass = max(len(rows) // batch, 1)
    shuffled = np.random.default_rng([seed, step // per_pass]).permutation(rows)
    start = step % per_pass * batch
    return shuffled[start : start + batch]


@dataclass(frozen=True)
class EmbeddedModel:
    """The embedded model: one denoiser per scale over an encoder's features."""

    config: EmbeddedConfig
    optimiser: OptimiserConfig
    seed: int
    fold: str = ""  # of a cross-fit; see `denoiser_folder`

    folders: ClassVar[tuple[tuple[str, ...], tuple[str, ...]]] = (
        ("latents", "model/space"),
        ("model/denoiser",),
    )
    shared: ClassVar[bool] = False
    reads_text: ClassVar[bool] = False
    in_turn: ClassVar[bool] = True
    canvas: ClassVar[int] = 64

    def device(self) -> str:
        """The CPU."""
        return "cpu"

    def encoding(self) -> Mapping[str, Any]:
        """See `CollectionModel`."""
        return self.config.encoding

    def fitting(self) -> Mapping[str, Any]:
        """See `CollectionModel`."""
        return {"model": settings.as_values(self.config),
                "optimiser": settings.as_values(self.optimiser)}  # fmt: skip

    @property
    def loss(self) -> str:
        """Which loss, and the classifier's share in it."""
        hybrid = self.config.loss == "hybrid"
        return f"hybrid, γ = {self.config.gamma:g}" if hybrid else "faithful"

    @property
    def description(self) -> str:
        """Encoder and scales."""
        sides = " and ".join(f"{side} px" for side in self.config.sides)
        return f"embedded diffusion in the features of {self.config.encoder}, at {sides}"

    def encode(self, collection: ImageCollection, folder: Path, workers: int) -> None:
        """Fit the latent space of each scale to a pilot, then encode every image."""
        self._fit_spaces(collection, folder, workers)
        n, at = n_parts(len(collection)), {}
        for side in reversed(self.config.sides):  # the costly scale first, so that all end at once
            at[side] = self._space_path(folder, side), self._latents_path(folder, side)
        missing = [
            scale * n + part
            for scale, (_, latents) in enumerate(at.values())
            for part in range(n)
            if not part_path(latents, part).exists()
        ]
        run_parts(
            encode_parts, (self.config, collection, at), missing, workers=workers,
            name="Encoding", size=lambda number: len(part_rows(number % n, len(collection))),
            hands=4 * workers,
        )  # fmt: skip

    def _fit_spaces(self, collection: ImageCollection, folder: Path, workers: int) -> None:
        pilot = self._pilot(collection)
        tasks = [
            (self.config, collection, pilot, side, self._space_path(folder, side))
            for side in self.config.sides
            if not self._space_path(folder, side).exists()
        ]
        total = len(pilot) * len(tasks)
        run_tasks(fit_space_to, tasks, workers=workers, name="Looking", total=total)

    def train(
        self,
        collection: ImageCollection,
        trained_on: Bool[ndarray, " n"],
        folder: Path,
        workers: int,
    ) -> list[dict[str, Any]]:
        """Train the denoiser of each scale on the latents."""
        tasks = [
            (self, collection.label_index, len(collection.labels), trained_on, folder, number)
            for number in range(len(self.config.sides))
        ]
        steps = self.steps(int(trained_on.sum()))
        histories = run_tasks(
            train_scale, tasks, workers=workers, name="Training", total=steps * len(tasks)
        )
        return [
            {"side": side, "tenth": tenth, "loss": loss}
            for side, history in zip(self.config.sides, histories, strict=True)
            for tenth, loss in enumerate(history)
        ]

    def denoisers(
        self, labels: tuple[str, ...], folder: Path, texts: tuple[str, ...] = ()
    ) -> tuple[Denoiser, ...]:
        """Load the trained denoiser of each scale."""
        if texts:
            raise ConfigError(f"{texts[0]!r}: the embedded model reads no text; name labels")
        encoder = load_encoder(self.config.encoder)
        found = []
        for side in self.config.sides:
            space = load_space(self._space_path(folder, side))
            network = self.network(space.channels, len(labels))
            load_network(network, self.network_path(folder, side))
            levels = self.config.log_snr_range
            found.append(EmbeddedDenoiser(encoder, space, network, labels, side, levels))
        return tuple(found)

    def latents(self, n_images: int, folder: Path) -> tuple[LatentStore, ...]:
        """Open the latents of each scale."""
        paths = (self._latents_path(folder, side) for side in self.config.sides)
        return tuple(LatentStore(path, n_images) for path in paths)

    def spaces(self, folder: Path) -> tuple[FeatureSpace, ...]:
        """The latent space of each scale."""
        return tuple(load_space(self._space_path(folder, side)) for side in self.config.sides)

    def rival_latents(self, n_images: int, folder: Path) -> tuple[LatentStore, ...]:
        """The same features that the denoisers see."""
        return self.latents(n_images, folder)

    def batch_size(self, n_draws: int, folder: Path) -> BatchSize:
        """All draws of an image."""
        return BatchSize("scoring", n_draws, torch.device("cpu"), folder)

    def workers(self, wanted: int) -> int:
        """As many as wanted."""
        return wanted

    def _pilot(self, collection: ImageCollection) -> list[int]:
        """Images for the latent space, taken from the labels in turn so that each is heard."""
        order = np.random.default_rng(self.seed).permutation(len(collection))
        label = collection.label_index[order]
        turn = np.empty(len(order), dtype=int)
        for number in range(len(collection.labels)):
            turn[label == number] = np.arange((label == number).sum())
        return [int(row) for row in order[np.lexsort((label, turn))][:PILOT]]

    def steps(self, n_images: int) -> int:
        """Training steps of a scale for so many images."""
        config = self.config
        limits = (config.least_steps, config.most_steps)
        return n_steps(n_images, config.batch, config.epochs, limits)

    def network(self, channels: int, n_labels: int) -> CellDenoiser:
        """The denoiser of a scale before training."""
        config = self.config
        return CellDenoiser(channels, n_labels, config.width, config.blocks, config.sharpness)

    def _latents_path(self, folder: Path, side: int) -> Path:
        return folder / "latents" / str(side)

    def _space_path(self, folder: Path, side: int) -> Path:
        return folder / "model" / "space" / f"{side}.safetensors"

    def network_path(self, folder: Path, side: int) -> Path:
        """Where the weights of a scale lie."""
        return denoiser_folder(folder, self.fold) / f"{side}.safetensors"


def fit_space_to(
    config: EmbeddedConfig,
    collection: ImageCollection,
    pilot: Sequence[int],
    side: int,
    path: Path,
    advance: Advance,
) -> None:
    """Fit a latent space to the pilot images and save it."""
    encoder = load_encoder(config.encoder)

    def taps() -> Any:
        for row in pilot:
            yield encoder.taps(load_at(collection, row, side), side)
            advance(1)

    space = fit_space(taps(), config.dimensions)
    save_tensors({"mean": space.mean, "basis": space.basis, "scale": space.scale}, path)


def encode_parts(
    config: EmbeddedConfig,
    collection: ImageCollection,
    at: Mapping[int, tuple[Path, Path]],
    numbers: Iterable[int],
    advance: Advance,
) -> None:
    """Encode some parts of the collection, image by image, so that batches change nothing.

    at: of each scale's side its latent space and the folder of its latents. numbers: of parts,
    those of one scale after those of another.
    """
    encoder, n = load_encoder(config.encoder), n_parts(len(collection))
    for number in numbers:
        scale, part = divmod(number, n)
        side, (space_path, folder) = list(at.items())[scale]
        space, latents = load_space(space_path), []
        for row in part_rows(part, len(collection)):
            taps = encoder.taps(load_at(collection, row, side), side)
            latents.append(space.project(taps))
            advance(1)
        write_part(folder, part, latents)


def load_at(collection: ImageCollection, row: int, side: int) -> Any:
    """An image decoded at the size that a scale needs, or larger."""
    return collection.load(row, draft=2 * side)


def train_scale(
    model: EmbeddedModel,
    label_index: Int[ndarray, " n"],
    n_labels: int,
    trained_on: Bool[ndarray, " n"],
    folder: Path,
    number: int,
    advance: Advance,
) -> list[float]:
    """Train the denoiser of one scale and save its averaged weights."""
    config = model.config
    side = config.sides[number]
    store = model.latents(len(label_index), folder)[number]
    rows = np.flatnonzero(trained_on)
    seed = model.seed * 101 + number
    torch.manual_seed(seed)  # the start of the weights; every later draw has its own generator
    network = model.network(store.latent(0).shape[0], n_labels)

    def step_loss(step: int) -> torch.Tensor:
        generator = step_generator(seed, step)
        chosen = batch_rows(rows, config.batch, step, seed)
        label = torch.from_numpy(label_index[chosen].astype(np.int64))
        contexts = step_contexts(label, n_labels, config.contexts, generator)
        batch = store.batch(chosen.tolist(), config.cells, generator)
        return training_loss(network, batch, label, contexts, config, generator)

    path = model.network_path(folder, side)
    return fit_and_save(network, step_loss, model.steps(len(rows)), model.optimiser, path, advance)


def fit_and_save(
    network: torch.nn.Module,
    step_loss: Callable[[int], torch.Tensor],
    steps: int,
    optimiser: OptimiserConfig,
    path: Path,
    advance: Advance,
) -> list[float]:
    """Fit a network, with a checkpoint beside `path` while it lasts, and save its average."""
    if path.exists():
        advance(steps)
        return saved_history(path)
    checkpoint = path.with_suffix(".checkpoint")
    history = fit(network, step_loss, steps, optimiser, checkpoint, advance)
    save_tensors(dict(network.state_dict()), path, history)
    checkpoint.unlink(missing_ok=True)
    return history


def step_contexts(
    label: Int[torch.Tensor, " b"], n_labels: int, most: int, generator: torch.Generator
) -> Int[torch.Tensor, " k"]:
    """Labels that one step compares, sorted: all, or those of the batch and a random few."""
    if n_labels <= most:
        return torch.arange(n_labels)
    present = torch.from_numpy(np.unique(label.numpy()))
    absent = torch.ones(n_labels, dtype=torch.bool)
    absent[present] = False
    order = torch.randperm(n_labels, generator=generator)
    extra = order[absent[order]][: max(most - len(present), 1)]
    return torch.cat([present, extra]).sort().values


def save_tensors(tensors: State, path: Path, history: Sequence[float] = ()) -> None:
    """Write a safetensors file, whole or not at all, with the losses of its training."""
    contiguous = {name: value.detach().contiguous() for name, value in tensors.items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(contiguous, {"history": json.dumps(list(history))}))


def saved_history(path: Path) -> list[float]:
    """The losses that `save_tensors` wrote beside the weights."""
    with safe_open(path, framework="pt") as handle:
        history: list[float] = json.loads(handle.metadata()["history"])
    return history


def load_space(path: Path) -> FeatureSpace:
    """Read a latent space. Raises ModelError where there is none."""
    tensors = _load(path)
    return FeatureSpace(tensors["mean"], tensors["basis"], tensors["scale"])


def load_network(network: torch.nn.Module, path: Path) -> None:
    """Read weights into a network. Raises ModelError if they are missing or of another shape."""
    try:
        network.load_state_dict(_load(path))
    except RuntimeError as error:
        raise ModelError(f"{path}: these weights do not fit the configuration: {error}") from error


def _load(path: Path) -> State:
    if not path.exists():
        raise ModelError(f"{path}: not there; run `typika train` on this run first")
    return load_file(path)
