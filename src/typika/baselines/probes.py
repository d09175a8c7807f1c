"""Probes: small classifiers whose evidence maps are read as typicality maps; one is the rival.

The same network in every cell of the same latents as the denoiser's, trained with the image's
label alone; a cell's evidence is its logit for the label. By the I-MMSE identity a diffusion model
and such a classifier estimate the same thing, the cell's share of log p(x|c)/p(x), so an honest
report shows both. Linear or an MLP, with logits pooled by their mean (a class activation map, Zhou
et al. 2016) or by log-sum-exp (Pinheiro, Collobert 2015).
Legend: `m` cells, `b` images, `d` latent channels, `c` labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from typika import config as settings
from typika.baselines.methods import BaselineMap, Mapper, Material
from typika.baselines.names import Wording
from typika.diffusion.embedded import pooled, stratified_levels, time_features
from typika.diffusion.latents import Batch, LatentStore, check_cells
from typika.diffusion.models import batch_rows, fit_and_save, load_network, n_steps
from typika.diffusion.schedule import alpha_sigma
from typika.diffusion.training import OptimiserConfig, step_generator
from typika.errors import ConfigError
from typika.parallel import Advance, run_tasks

LEVELS = (-3.0, 3.0)  # λ of the noise that the noised rival trains on
CLEAN = 9.0  # λ that stands for no noise


@dataclass(frozen=True, kw_only=True)
class RivalConfig:
    """The rival: how deep, how cells are pooled, and whether it trains on noisy latents."""

    network: Literal["linear", "mlp"] = "mlp"
    pooling: Literal["mean", "log-sum-exp"] = "log-sum-exp"  # "mean" is a class activation map
    noised: bool = True  # half of the images of a batch are noised and the network told the level
    width: int = 128  # hidden channels of the MLP
    epochs: float = 8.0  # passes over the images, within limits as for the denoiser
    least_steps: int = 450
    most_steps: int = 2000
    batch: int = 16  # images per step
    cells: tuple[int, int] = (256, 256)  # fewest and most cells of an image that a step looks at
    sharpness: float = 8.0  # of the log-sum-exp

    def __post_init__(self) -> None:
        if min(self.width, self.least_steps, self.batch) < 1 or self.epochs <= 0:
            raise ConfigError("rival: width, least_steps, batch need >= 1 and epochs > 0")
        check_cells(self.cells)

    @property
    def pooled_at(self) -> float:
        """Sharpness at which logits are pooled; 0 for their mean."""
        return self.sharpness if self.pooling == "log-sum-exp" else 0.0

    @property
    def name(self) -> str:
        """What tables call it: `MLP log-sum-exp + noise`."""
        network = {"linear": "linear", "mlp": "MLP"}[self.network]
        pooling = {"mean": "CAM", "log-sum-exp": "log-sum-exp"}[self.pooling]
        return f"{network} {pooling}{' + noise' if self.noised else ''}"


class CellClassifier(nn.Module):
    """Logits of every label for one cell: linear, or an MLP with one residual block."""

    def __init__(self, dimensions: int, n_labels: int, config: RivalConfig) -> None:
        super().__init__()
        self.linear = config.network == "linear"
        hidden = dimensions if self.linear else config.width
        self.leave = nn.Linear(hidden, n_labels)
        if not self.linear:
            self.enter = nn.Linear(dimensions, hidden)
            self.time = nn.Linear(time_features(torch.zeros(1)).shape[1], hidden)
            self.block = nn.Sequential(
                nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(),
                nn.Linear(hidden, hidden),
            )  # fmt: skip

    def forward(self, cells: Float[Tensor, "m d"], log_snr: Float[Tensor, " m"]) -> Tensor:
        """Logits (m, c) of each cell at its noise level."""
        if self.linear:
            return self.leave(cells)
        hidden = functional.silu(self.enter(cells) + self.time(time_features(log_snr)))
        hidden = hidden + self.block(hidden)
        return self.leave(functional.silu(hidden))


def train_rival(
    config: RivalConfig,
    optimiser: OptimiserConfig,
    store: LatentStore,
    label_index: Int[ndarray, " n"],
    n_labels: int,
    trained_on: Bool[ndarray, " n"],
    path: Path,
    seed: int,
    advance: Advance = lambda _: None,
) -> list[float]:
    """Train the rival on the images marked in `trained_on` and save its weights to `path`."""
    torch.manual_seed(seed)
    network = CellClassifier(store.latent(0).shape[0], n_labels, config)
    rows = np.flatnonzero(trained_on)

    def step_loss(step: int) -> Tensor:
        generator = step_generator(seed, step)
        chosen = batch_rows(rows, config.batch, step, seed)
        label = torch.from_numpy(label_index[chosen].astype(np.int64))
        batch = store.batch(chosen.tolist(), config.cells, generator)
        return rival_loss(network, batch, label, config, generator)

    steps = n_steps(
        len(rows), config.batch, config.epochs, (config.least_steps, config.most_steps)
    )
    return fit_and_save(network, step_loss, steps, optimiser, path, advance)


def rival_loss(
    network: CellClassifier,
    batch: Batch,
    label: Int[Tensor, " b"],
    config: RivalConfig,
    generator: torch.Generator,
) -> Tensor:
    """Cross-entropy of the pooled logits; noised cells as the denoiser sees them."""
    log_snr = torch.full((len(label),), CLEAN)
    cells = batch.cells
    if config.noised:
        noisy = torch.arange(len(label)) % 2 == 0
        log_snr = torch.where(noisy, stratified_levels(len(label), LEVELS, generator), log_snr)
        level = log_snr[batch.image]
        alpha, sigma = (part[:, None] for part in alpha_sigma(level))
        noise = torch.randn(cells.shape, generator=generator)
        cells = torch.where(noisy[batch.image][:, None], alpha * cells + sigma * noise, cells)
    logits = network(cells, log_snr[batch.image])
    return functional.cross_entropy(pooled(logits, batch, config.pooled_at), label)


def rival_path(folder: Path, number: int, fold: str = "") -> Path:
    """Where the rival of a scale lies in a run folder; of a cross-fit, that of one fold."""
    return folder / "model" / "rival" / fold / f"{number}.safetensors"


def load_rival(path: Path, dimensions: int, n_labels: int, config: RivalConfig) -> CellClassifier:
    """Read a trained rival."""
    network = CellClassifier(dimensions, n_labels, config)
    load_network(network, path)
    return network.eval()


@torch.inference_mode()
def evidence(network: CellClassifier, latent: Float[Tensor, "d h w"]) -> Float[Tensor, "c h w"]:
    """Logits of each cell of an image, less their mean over labels."""
    logits = cell_logits(network, latent)
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred.T.reshape(-1, *latent.shape[1:])


def cell_logits(network: CellClassifier, latent: Float[Tensor, "d h w"]) -> Float[Tensor, "m c"]:
    """Logits of each cell of an image, without noise."""
    cells = latent.flatten(1).T
    return network(cells, torch.full((len(cells),), CLEAN))


# --- a probe in the place of the diffusion model -----------------------------------------------


@dataclass(frozen=True)
class Probe:
    """A probe as a baseline: its evidence for the label is the map.

    rival: the run's built-in one; where the probe is the same, it is not trained twice.
    """

    config: RivalConfig
    optimiser: OptimiserConfig
    rival: RivalConfig

    def causes(self) -> Mapping[str, Any]:
        """See `MapBaseline`."""
        return {"probe": settings.as_values(self.config)}

    def processes(self, wanted: int) -> int:
        """As many as wanted."""
        return wanted

    def fit(self, material: Material) -> list[dict[str, Any]]:
        """Train the probe on the latents of each scale."""
        if self.config == self.rival:
            return []
        tasks = [(self, material, number) for number in range(len(material.latents))]
        histories = run_tasks(
            fit_probe, tasks, workers=material.workers, name="Training the probe",
            total=len(tasks),
        )  # fmt: skip
        return [
            {"probe": number, "tenth": tenth, "loss": loss}
            for number, history in enumerate(histories)
            for tenth, loss in enumerate(history)
        ]

    def path(self, material: Material, number: int) -> Path:
        """Where the weights of a scale lie."""
        if self.config == self.rival:
            return rival_path(material.run, number)
        return material.folder / f"probe-{number}.safetensors"

    def open(self, material: Material) -> Mapper:
        """Evidence of each scale; the answer is that of the pooled logits."""
        label = material.collection.label_index
        stores = material.latents
        networks = [
            load_rival(
                self.path(material, number), store.channels, len(material.labels), self.config
            )
            for number, store in enumerate(stores)
        ]

        def draw(row: int) -> BaselineMap:
            latents = [store.latent(row) for store in stores]
            pairs = list(zip(networks, latents, strict=True))
            maps = [evidence(*pair)[int(label[row])].numpy() for pair in pairs]
            answers = [image_logits(*pair, self.config) for pair in pairs]
            return BaselineMap(tuple(maps), int(torch.stack(answers).sum(dim=0).argmax()))

        return draw

    @property
    def wording(self) -> Wording:
        """See `MapBaseline`."""
        pooling = {"mean": "the mean over its cells", "log-sum-exp": "a log-sum-exp over cells"}
        kind = {"linear": "a linear classifier", "mlp": "a small neural network"}
        seen = kind[self.config.network]
        noise = ", on features with and without noise" if self.config.noised else ""
        return Wording(
            name=self.config.name,
            seen=f"{seen} (the baseline {self.config.name}), not by a diffusion model",
            chosen="hold most evidence for their label",
            ranked="by the probe's evidence for the label, less its mean over labels",
            reading=f"{seen[0].upper()}{seen[1:]} was trained to tell the label of an image from "
            f"{pooling[self.config.pooling]}{noise}; the evidence of a cell is its logit for the "
            "label, less the mean over all labels. Where this page says typicality, it means "
            "that evidence.",
            model=f"baseline: {self.config.name}, on the features that the denoiser would see",
            loss="cross-entropy of the image's label",
        )


def fit_probe(probe: Probe, material: Material, number: int, advance: Advance) -> list[float]:
    """Train the probe of one scale, from the same seed as the rival."""
    history = train_rival(
        probe.config, probe.optimiser, material.latents[number], material.collection.label_index,
        len(material.labels), material.trained_on, probe.path(material, number),
        material.seed * 103 + number,
    )  # fmt: skip
    advance(1)
    return history


@torch.inference_mode()
def image_logits(
    network: CellClassifier, latent: Float[Tensor, "d h w"], config: RivalConfig
) -> Float[Tensor, " c"]:
    """Logits of the whole image, its cells pooled as in training."""
    logits = cell_logits(network, latent)
    image = torch.zeros(len(logits), dtype=torch.long)
    batch = Batch(latent.flatten(1).T, image, torch.tensor([len(logits)]))
    return pooled(logits, batch, config.pooled_at)[0]
