"""What mining or translating a collection would cost: time, disk, memory, download."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from typika import parallel
from typika.collection.images import ImageCollection
from typika.console import duration
from typika.diffusion.checkpoints import CELL, Checkpoint, is_here
from typika.diffusion.embedded import CellDenoiser, EmbeddedConfig, EmbeddedDenoiser
from typika.diffusion.encoders import load_encoder
from typika.diffusion.finetuning import crop_side
from typika.diffusion.models import load_at, n_steps
from typika.diffusion.sampling import DrawConfig
from typika.diffusion.schedule import noise_design
from typika.diffusion.space import FeatureSpace
from typika.diffusion.stable import StableConfig, fitted_size
from typika.diffusion.translation import TranslationConfig
from typika.errors import ModelError
from typika.mining.pipeline import MiningConfig, embedded_model
from typika.mining.typicality import other_labels, typicality_maps

# Seconds of one core: per cell of a training step, and what each compared label adds to it.
TRAIN_SECONDS, TRAIN_CONTEXT_SECONDS = 10e-6, 2.5e-6
SCORE_BYTES = 20  # of a cell of a stored map: five maps in single precision
CELLS_OF_SIDE = 16  # pixels of a scale's side to a cell
REST_SECONDS = 0.05  # of one core, per image: the rival, choosing, grouping, the page

# Stable Diffusion 1.5: TFLOP of one pass per latent cell of a 64 x 64 grid, counted.
NETWORK_TFLOP, AUTOENCODER_TFLOP = 0.8033 / 64**2, 1.1167 / 64**2
DECODER_TFLOP = 2.5145 / 64**2
SUSTAINED = 300.0  # TFLOP/s that a data-centre GPU of 2023 can be expected to sustain
FULL_GIGABYTES = 18.0  # of GPU memory for weights, gradients, moments and average


def cost(collection: ImageCollection, config: MiningConfig, workers: int) -> list[str]:
    """What mining would take, in plain sentences."""
    if isinstance(config.model, StableConfig) and not config.baseline.of_maps:
        return stable_cost(collection, config, config.model)
    return embedded_cost(collection, config, embedded_model(config).config, workers)


def embedded_cost(
    collection: ImageCollection, config: MiningConfig, model: EmbeddedConfig, workers: int
) -> list[str]:
    """Estimated from encoding a few images and scoring one here and now: some seconds."""
    encode = _seconds_to_encode(collection, model)
    limits = (model.least_steps, model.most_steps)
    steps = n_steps(len(collection), model.batch, model.epochs, limits)
    grids = [(side / CELLS_OF_SIDE) ** 2 for side in model.sides]
    seen = sum(np.minimum(np.geomspace(*model.cells, 100), grid).mean() for grid in grids)
    trained = config.n_anchors or min(len(collection.labels), model.contexts)
    scored = _contexts(collection, config)
    train = steps * model.batch * seen * (TRAIN_SECONDS + trained * TRAIN_CONTEXT_SECONDS)
    cells = sum(grids)
    mined = int(collection.in_split(config.collection.mine).sum())
    score = mined * _seconds_to_score(collection, config, model)
    calls = mined * len(model.sides) * config.score.n_draws * scored
    if config.baseline.of_maps:
        train = score = calls = 0  # no denoiser; what the baseline itself takes is not foreseen
    seconds = ((encode + REST_SECONDS) * len(collection) + train + score) / workers
    finest = max(grids)
    disk = len(collection) * (cells * model.dimensions * 2 + finest * SCORE_BYTES) / 1e9
    more = " beside the baseline itself" if config.baseline.of_maps else ""
    return [
        f"cost: about {max(1, round(seconds / 60))} min with {workers} processes{more}, "
        f"{disk:.1f} GB in the run folder, {_download(config)}",
        f"cost: {mined} images scored by {calls} calls of the denoiser, timed on this machine",
    ]


def _download(config: MiningConfig) -> str:
    clip = config.baseline.clip
    if not config.baseline.name.startswith("clip") or is_here(clip, "config.json"):
        return "no download"
    return f"download of {clip}, a gigabyte or two"


def _seconds_to_encode(collection: ImageCollection, model: EmbeddedConfig) -> float:
    rows = np.linspace(0, len(collection) - 1, min(4, len(collection))).astype(int)
    encoder = load_encoder(model.encoder)
    with parallel.one_thread():
        encoder.taps(load_at(collection, int(rows[0]), model.sides[0]), model.sides[0])  # warm-up
        started = time.perf_counter()
        for row in rows:
            for side in model.sides:
                encoder.taps(load_at(collection, int(row), side), side)
        return (time.perf_counter() - started) / len(rows)


def _seconds_to_score(
    collection: ImageCollection, config: MiningConfig, model: EmbeddedConfig
) -> float:
    """Of one image over all scales, by a denoiser of the same size that has learned nothing."""
    labels = collection.labels
    unused = torch.zeros(model.dimensions)
    space = FeatureSpace(unused, torch.zeros(model.dimensions, model.dimensions), unused)
    seconds = 0.0
    contexts = [(0, *other_labels(0, len(labels), config.score.n_others, config.seed))]
    for side in model.sides:
        network = CellDenoiser(model.dimensions, len(labels), model.width, model.blocks)
        encoder = load_encoder(model.encoder)
        denoiser = EmbeddedDenoiser(encoder, space, network, labels, side, model.log_snr_range)
        design = noise_design("midpoints", config.score.n_draws, model.dimensions, 0)
        latents = torch.zeros(1, model.dimensions, side // CELLS_OF_SIDE, side // CELLS_OF_SIDE)
        with parallel.one_thread():
            typicality_maps(denoiser, latents, contexts, design)  # warm-up
            started = time.perf_counter()
            typicality_maps(denoiser, latents, contexts, design)
            seconds += time.perf_counter() - started
    return seconds


def stable_cost(
    collection: ImageCollection, config: MiningConfig, model: StableConfig
) -> list[str]:
    """Estimated from counted operations of Stable Diffusion 1.5; XL takes three times that."""
    cells = latent_cells(collection, model)
    crop = (model.resolution // CELL) ** 2
    fitted = model.finetune != "none" or config.n_anchors
    seen = images_seen(len(collection), model) if fitted else 0
    contexts = _contexts(collection, config)
    pilot = min(config.score.pilot, len(collection)) * 64 * 2
    importance = config.score.design == "importance"
    mined = collection.in_split(config.collection.mine)
    passes = int(mined.sum()) * config.score.n_draws * contexts + (pilot if importance else 0)
    work = {
        "encoding": cells.sum() * AUTOENCODER_TFLOP,
        "finetuning": 3 * seen * crop * NETWORK_TFLOP,
        "scoring": passes * cells.mean() * NETWORK_TFLOP,
        "features": len(collection) * model.feature_draws * cells.mean() * NETWORK_TFLOP / 2,
    }
    disk = cells.sum() * 4 * 2 * 2 / 1e9 + cells.sum() * 8 / 1e9
    disk += {"full": 3.4 * (1 + 4 * model.checkpoints), "lora": 0.1, "none": 0.0}[model.finetune]
    parts = ", ".join(
        f"{name} {duration(max(value / SUSTAINED, 1))}" for name, value in work.items() if value
    )
    lines = [
        f"cost: {sum(work.values()) / 1000:.1f} PFLOP; on a GPU that sustains {SUSTAINED:.0f} "
        f"TFLOP/s about {duration(sum(work.values()) / SUSTAINED)}: {parts}",
        f"cost: {passes} passes through the network to score, {seen} images seen in finetuning",
        f"cost: {disk:.1f} GB in the run folder",
        _model_line(config, model),
    ]
    if model.finetune == "full":
        lines.append(
            f"note: finetuning all weights needs {FULL_GIGABYTES:.0f} GB of GPU memory before the "
            "first image; --set model.finetune=lora needs a fifth of that"
        )
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        lines.append("note: no GPU here; Stable Diffusion on a CPU takes a hundred times as long")
    return lines


def _contexts(collection: ImageCollection, config: MiningConfig) -> int:
    """What an image is scored under: the null, its own, and all anchors or some other labels."""
    others = min(len(collection.labels) - 1, config.score.n_others)
    return 2 + (config.n_anchors or others)


def _model_line(config: MiningConfig, model: StableConfig) -> str:
    if not is_here(model.checkpoint):
        return f"download: {model.checkpoint}, some gigabytes from the Hugging Face hub"
    try:
        found = Checkpoint.open(model.checkpoint, model.text_encoder)
    except ModelError as error:
        return f"problem: {error}"
    prompts = config.prompt.template()
    shown = prompts.null_text if config.n_anchors else prompts.text("LABEL")
    return f"checkpoint: {found.folder}, predicts {found.prediction}; prompts such as {shown!r}"


def translation_cost(
    collection: ImageCollection,
    model: StableConfig,
    rows: Sequence[int],
    n_targets: Sequence[int],
    translation: TranslationConfig,
) -> list[str]:
    """What translating would take. n_targets: labels that each of `rows` is translated to."""
    cells = latent_cells(collection, model)[list(rows)]
    counts = np.array(n_targets)
    passes = np.array([translation.forwards(count) if count else 0 for count in n_targets])
    tflop = float((cells * (passes * NETWORK_TFLOP + counts * DECODER_TFLOP)).sum())
    cached = cells[counts > 0].sum() * 4 * 2 * translation.source_steps / 1e9
    return [
        f"cost: {int(counts.sum())} translations of {int((counts > 0).sum())} images, "
        f"{int(passes.sum())} passes through the network ({int(passes.max(initial=0))} at most "
        "for an image)",
        f"cost: {tflop / 1000:.1f} PFLOP; on a GPU that sustains {SUSTAINED:.0f} TFLOP/s about "
        f"{duration(tflop / SUSTAINED)}",
        f"cost: {cached:.1f} GB of cached inversions, which further labels would use again",
    ]


def drawing_cost(model: StableConfig, draw: DrawConfig, n_labels: int, missing: int) -> list[str]:
    """What drawing would take. missing: images that are not there yet."""
    total = n_labels * len(draw.guidance) * draw.images
    passes = 2 * draw.steps
    tflop = missing * crop_side(model, CELL) ** 2 * (passes * NETWORK_TFLOP + DECODER_TFLOP)
    return [
        f"cost: {missing} of {total} images to draw, {missing * passes} passes through the "
        f"network ({passes} for an image)",
        f"cost: {tflop / 1000:.1f} PFLOP; on a GPU that sustains {SUSTAINED:.0f} TFLOP/s about "
        f"{duration(tflop / SUSTAINED)}",
    ]


def latent_cells(collection: ImageCollection, model: StableConfig) -> np.ndarray:
    """(n,) cells of every image's latent."""
    sizes = zip(
        collection.table["width"].to_pylist(), collection.table["height"].to_pylist(), strict=True
    )
    fitted = [fitted_size(*size, model.resolution, model.multiple) for size in sizes]
    return np.array([width * height // CELL**2 for width, height in fitted], dtype=float)


def images_seen(n_images: int, model: StableConfig) -> int:
    """Images that finetuning shows the network, repeats counted."""
    wanted = round(model.epochs * n_images * (1 - model.held_out))
    return max(model.least_images, min(model.most_images, wanted))
