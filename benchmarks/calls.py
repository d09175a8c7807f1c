"""What one image costs: denoiser calls, encodings and features, counted by hooks; and its bytes.

A whole run in one process, once with the stratified design and once with importance sampling,
whose pilot is counted apart. Then the part file of images of 512 x 756 pixels.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from benchmarks import small, tiny_checkpoint
from benchmarks.estimator import Mixture
from benchmarks.record import Figure, Result, at_most
from typika import workflow
from typika.diffusion.stable_model import StableModel
from typika.mining import scores, scoring
from typika.tables import read_parquet

WIDTH, HEIGHT, STORED = 756, 512, 64  # pixels and number of the images whose part is weighed
LIMIT = 50_000  # bytes of an image in scores/


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count what passes through every network, autoencoder's encoder and up block."""
    from diffusers import UNet2DConditionModel
    from diffusers.models.autoencoders.vae import Encoder
    from torch.nn.modules.module import (
        register_module_forward_hook,
        register_module_forward_pre_hook,
    )

    counts: Counter[str] = Counter()
    # Holding the blocks themselves: the identity of one that is gone may be another's.
    blocks: dict[torch.nn.Module, int] = {}

    def before(module: torch.nn.Module, inputs: tuple) -> None:
        if isinstance(module, UNet2DConditionModel):
            blocks.update({block: number for number, block in enumerate(module.up_blocks)})
            counts["passes"] += 1
            counts["items"] += len(inputs[0])

    def after(module: torch.nn.Module, _inputs: tuple, output: Any) -> None:
        if isinstance(module, Encoder):
            counts["encodings"] += len(output)
        if module in blocks:
            counts[f"up block {blocks[module]}"] += 1

    handles = [register_module_forward_pre_hook(before), register_module_forward_hook(after)]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def count_run(images: Path, folder: Path, checkpoint: Path, design: str) -> dict[str, Counter]:
    """The counts of each stage of a fresh run, and of the pilot."""
    score = {"design": design, "pilot": 4}
    config = tiny_checkpoint.settings(checkpoint, score=score)
    found: dict[str, Counter] = {"pilot": Counter()}
    pilot = scoring._pilot

    def piloting(*arguments: Any) -> Any:
        before = Counter(counts)
        result = pilot(*arguments)
        found["pilot"] = counts - before
        return result

    with counted() as counts, patch.object(scoring, "_pilot", piloting):
        for last in ("encode", "train", "score", "cluster"):
            before = Counter(counts)
            workflow.advance(images, folder, config, last=last, workers=1, device="cpu")
            found[last] = counts - before
    found["score"] -= found["pilot"]
    return found


def exactly(name: str, value: float, wanted: float, unit: str) -> Figure:
    return Figure(name=name, value=value, unit=unit, target=f"= {wanted:g}", met=value == wanted)


def figures_of(design: str, folder: Path, counts: dict[str, Counter]) -> list[Figure]:
    run = workflow.MiningRun(folder)
    n_images = len(run.collection)
    config = workflow.recorded(folder)[1]
    shown = len(set(read_parquet(folder / "selected.parquet", ["row"])["row"].to_pylist()))
    features, block = counts["cluster"], config.model.feature_block  # type: ignore[union-attr]
    beyond = sum(features[f"up block {number}"] for number in range(block + 1, 4))
    draws = config.model.feature_draws  # type: ignore[union-attr]
    encodings = sum(one["encodings"] for name, one in counts.items() if name != "pilot")
    found = [
        exactly(f"{design}-items", counts["score"]["items"] / n_images,
                2 * config.score.n_draws, "per image"),
        exactly(f"{design}-encodings", encodings / n_images, 1, "per image"),
        exactly(f"{design}-features", features[f"up block {block}"] / shown, 1,
                "passes per image with a patch"),
        exactly(f"{design}-features-items", features["items"] / shown, draws,
                "items per image with a patch"),
        exactly(f"{design}-features-beyond", beyond, 0, "up blocks run after the one wanted"),
    ]  # fmt: skip
    # Two pairs in each of 16 bins, under the label and the null.
    piloted = min(config.score.pilot, n_images) if design == "importance" else 0
    wanted = piloted * 16 * 4 * 2
    return [*found, exactly(f"{design}-pilot-items", counts["pilot"]["items"], wanted, "in all")]


# --- bytes --------------------------------------------------------------------------------------


def stored(folder: Path, checkpoint: Path) -> pa.Table:
    """A real part file of photograph-sized images, scored by a denoiser that is cheap to run."""
    rng = np.random.default_rng(0)
    for number in range(STORED):
        # Smooth shapes with grain: nothing that compresses better than a photograph.
        coarse = Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8))
        values = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), float)
        values += rng.normal(0, 12, values.shape)
        path = folder / "images" / f"label-{number % 2}" / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path, quality=92)
    config = tiny_checkpoint.settings(
        checkpoint, model={"resolution": 512, "finetune": "none"}, score={"n_draws": 32}
    )
    generator = torch.Generator().manual_seed(0)
    mixture = Mixture(torch.randn(2, 4, generator=generator) * 0.7, 0.7, channels=4)
    with patch.object(StableModel, "denoisers", lambda *_: (mixture,)):
        workflow.advance(folder / "images", folder / "run", config, last="score", workers=2,
                         device="cpu")  # fmt: skip
    return read_parquet(scores.score_path(folder / "run", 0))


def column_bytes(table: pa.Table, path: Path) -> dict[str, float]:
    """Bytes per image of each column of the file."""
    group = pq.ParquetFile(path).metadata
    sizes: Counter[str] = Counter()
    for number in range(group.num_row_groups):
        for place in range(group.num_columns):
            column = group.row_group(number).column(place)
            sizes[column.path_in_schema.split(".")[0]] += column.total_compressed_size
    return {name: size / len(table) for name, size in sizes.most_common(5)}


def run() -> Result:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint = tiny_checkpoint.build(folder / "tiny")
        images = small.collection(folder / "images", 6)
        for design in ("stratified", "importance"):
            out = folder / design
            figures += figures_of(design, out, count_run(images, out, checkpoint, design))
        n_images = len(workflow.MiningRun(out).collection)
        table = stored(folder / "stored", checkpoint)
        path = scores.score_path(folder / "stored" / "run", 0)
        per_image = path.stat().st_size / len(table)
        columns = column_bytes(table, path)
    figures.append(at_most("bytes", per_image, LIMIT, "per image of 512 x 756 in scores/"))
    shape = f"{table['height'][0]} x {table['width'][0]}"
    own = f"{table['evidence_height'][0]} x {table['evidence_width'][0]}"
    largest = ", ".join(f"{name} {size:,.0f}" for name, size in columns.items())
    return Result(figures=[replace(figure) for figure in figures], notes=[
        f"{tiny_checkpoint.STANDS_FOR} Counted by forward hooks over whole runs of {n_images} "
        "images: of scoring without the pilot, whose items are those of the pilot images alone.",
        f"Bytes: one part of {len(table)} images, written by the pipeline itself; maps of "
        f"{shape} cells from an analytic mixture at 32 draws, evidence of {own} cells from the "
        f"built-in rival. Largest columns, bytes per image: {largest}.",
    ])  # fmt: skip
