"""A million images from their score parts to the report: minutes, and memory that stays flat.

There are no such images here, and no model: score parts of a realistic grid are written by the
writer that scoring uses, features come from a stub, and all rows share a few hundred pictures.
Selection, features, clusters, their tests and the report are the ordinary stages on an ordinary
run folder. `TYPIKA_MILLION` is how many images (1,000,000), held against a tenth of them;
`TYPIKA_MILLION_FOLDER` a folder in which the parts are kept for the next time (a temporary one
that is deleted; 1,000,000 need some 10 GB).

Each size runs in a process of its own, so that neither inherits the memory of the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from benchmarks.record import Figure, Result, at_most, cpu_seconds, peak_memory
from typika.collection.images import ImageCollection
from typika.diffusion.latents import PART, n_parts, part_rows
from typika.diffusion.stable import StableConfig
from typika.mining.artefacts import ArtefactConfig
from typika.mining.confounds import ConfoundConfig
from typika.mining.pipeline import Mining
from typika.mining.rare import RareConfig
from typika.mining.scores import score_path, write_scores
from typika.parallel import Advance, run_tasks
from typika.run import Run
from typika.workflow import MineConfig, ReportConfig, write_report

N = int(os.environ.get("TYPIKA_MILLION", "1000000"))
WORKERS = 2
N_LABELS, N_PICTURES = 10, 256
WIDTH, HEIGHT, GRID = 512, 384, 28  # pixels of an image; cells of a map a side
CHANNELS, KINDS = 32, 8  # of the stub's features; kinds of element of a label
STAGES = ("select", "cluster", "evidence", "report")


def run() -> Result:
    place = os.environ.get("TYPIKA_MILLION_FOLDER")
    kept = nullcontext(place) if place else tempfile.TemporaryDirectory(prefix="typika-million-")
    with kept as name:
        root = Path(name) / "million"
        started = time.perf_counter()
        write_run(root / "large", N, root)
        written = time.perf_counter() - started
        write_run(root / "small", N // 10, root, root / "large")
        large, small = (measured(root / name) for name in ("large", "small"))
        on_disk = sum(path.stat().st_size for path in (root / "large/scores").iterdir()) / 1e9
    more = (large.gigabytes - small.gigabytes) * 1e9 / (N - N // 10)
    figures = [
        Figure(name="score parts", value=on_disk, unit="GB", target="", met=None),
        Figure(name=f"selection to report, {N // 10:,} images", value=small.minutes, unit="min",
               target="", met=None),
        Figure(name=f"peak memory, {N // 10:,} images", value=small.gigabytes, unit="GB",
               target="", met=None),
        Figure(name="memory that an image more takes", value=more, unit="bytes", target="",
               met=None),
        Figure(name="core minutes", value=large.core_minutes, unit="min", target="", met=None),
        at_most(f"peak memory, {N:,} images", large.gigabytes, 2, "GB"),
        at_most(f"selection to report, {N:,} images", large.minutes, 10, "min"),
    ]  # fmt: skip
    return Result(figures=figures, notes=_notes(small, large, written))


def _notes(small: Measured, large: Measured, written: float) -> list[str]:
    head = "| stage | " + " | ".join(STAGES) + " |\n|---|" + "---|" * len(STAGES)
    rows = "\n".join(
        f"| {n:,} images | " + " | ".join(f"{one.seconds[name]:.0f} s" for name in STAGES) + " |"
        for n, one in ((N // 10, small), (N, large))
    )
    return [
        f"{head}\n{rows}",
        "Peak memory is the resident memory of the process and its workers, summed, so that what "
        "they share (the libraries) counts for each. What an image more takes is its row of the "
        "collection in each of the three processes, and a few numbers of selection.",
        f"Writing the parts took {written / 60:.1f} min and is not counted. Load on the machine "
        f"when the run began: {os.getloadavg()[0]:.1f}. Left out are the stages that look at a "
        "sample of fixed size however many images there are: confounds, artefacts, rare elements.",
    ]


# --- a run folder up to its scores --------------------------------------------------------------


def write_run(folder: Path, n: int, root: Path, parts_of: Path | None = None) -> None:
    """A run whose images are scored. parts_of: a larger run, whose parts are taken over."""
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    collection = invented(n, root)
    collection.save(folder)
    if parts_of is not None and not score_path(folder, 0).exists():
        for part in range(n // PART):
            score_path(folder, part).hardlink_to(score_path(parts_of, part))
    parts = [part for part in range(n_parts(n)) if not score_path(folder, part).exists()]
    collection = ImageCollection.restore(folder, root)
    tasks = [(folder, collection, parts[hand :: 4 * WORKERS]) for hand in range(4 * WORKERS)]
    run_tasks(_write_parts, tasks, workers=WORKERS, name="Writing scores", total=len(parts))


def invented(n: int, root: Path) -> ImageCollection:
    """Rows of images of ten labels; one in fifty nearly repeats another."""
    pictures = root / "pictures"
    if not pictures.exists():
        pictures.mkdir()
        rng = np.random.default_rng(0)
        for number in range(N_PICTURES):
            coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
            picture.save(pictures / f"{number}.jpg", quality=85)
    rows = np.arange(n)
    ids = pa.array([f"{int(row) << 43:016x}" for row in rows])
    alike = np.where(rows % 50 == 1, rows - 1, rows)
    group = ids.take(pa.array(alike))
    labels = pa.array([f"country {number}" for number in range(N_LABELS)])
    names = pa.array([f"pictures/{number}.jpg" for number in range(N_PICTURES)])
    table = pa.table(
        {
            "image_id": ids,
            "file_name": names.take(pa.array(rows % N_PICTURES)),
            "label": labels.take(pa.array(rows * 7919 // 50 % N_LABELS)),
            "width": pa.array(np.full(n, WIDTH, np.int32)),
            "height": pa.array(np.full(n, HEIGHT, np.int32)),
            "group": group,
            "duplicate": group,
            "split": pa.array([""]).take(pa.array(np.zeros(n, np.int64))),
        }
    )
    return ImageCollection(root, table)


def _write_parts(
    folder: Path, collection: ImageCollection, parts: list[int], advance: Advance
) -> None:
    trained_on = np.arange(len(collection)) % 5 > 0
    for part in parts:
        rows = list(part_rows(part, len(collection)))
        rng = np.random.default_rng([3, part])
        null = _maps(rng, len(rows))
        evidence, error = _maps(rng, len(rows)), np.abs(_maps(rng, len(rows))) / 4
        shape = dict.fromkeys(("height", "width", "evidence_height", "evidence_width"), GRID)
        answers = rng.integers(0, N_LABELS, (len(rows), 2)).tolist()
        found: list[dict[str, Any]] = [
            {
                **shape, "null": null[place], "null_error": error[place],
                "evidence": evidence[place], "predicted": answers[place][0],
                "rival_predicted": answers[place][1],
            }
            for place in range(len(rows))
        ]  # fmt: skip
        write_scores(folder, collection, part, rows, found, trained_on)
        advance(1)


def _maps(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, cells) float32: an element at a random place over smooth ground and noise."""
    coarse = rng.normal(size=(n, 7, 7)).astype(np.float32).repeat(4, axis=1).repeat(4, axis=2)
    across = np.arange(GRID, dtype=np.float32)
    centre, height = rng.uniform(4, GRID - 4, (2, n, 1)), rng.gamma(2, 1, (n, 1, 1))
    down, over = (np.exp(-(((across - place) / 3) ** 2)) for place in centre)
    element = (down[:, :, None] * over[:, None, :] * height).astype(np.float32)
    noise = rng.normal(size=(n, GRID, GRID)).astype(np.float32)
    maps: np.ndarray = (0.3 * coarse + element + 0.3 * noise) / 100
    return maps.reshape(n, -1)


# --- the stub -----------------------------------------------------------------------------------


class StubLatents:
    """Features made from the row alone: a kind of element in the middle of noise."""

    channels = CHANNELS

    def latent(self, row: int) -> torch.Tensor:
        rng = np.random.default_rng([5, row])
        cells = rng.normal(size=(CHANNELS, GRID, GRID)).astype(np.float32)
        kind = np.random.default_rng([6, row % KINDS]).normal(size=CHANNELS)
        cells[:, 4:-4, 4:-4] += kind[:, None, None].astype(np.float32)
        return torch.from_numpy(cells)


class StubDenoiser:
    """A denoiser that is never asked to predict: mining takes its features."""

    channels, device = CHANNELS, torch.device("cpu")

    def features(self, latent: torch.Tensor, context: int) -> torch.Tensor:  # noqa: ARG002
        return latent


class StubModel:
    """What the stages after scoring ask of a model."""

    description, loss = "a stub", "none"
    shared = False

    def workers(self, wanted: int) -> int:
        return wanted

    def denoisers(self, labels: object, folder: Path, texts: object = ()) -> tuple:  # noqa: ARG002
        return (StubDenoiser(),)

    def latents(self, n_images: int, folder: Path) -> tuple:  # noqa: ARG002
        return (StubLatents(),)


@dataclass(frozen=True)
class StubMining(Mining):
    """A run that asks the stub."""

    @property
    def model(self) -> Any:
        return StubModel()


# --- one size, in a process of its own ----------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    minutes: float
    core_minutes: float
    gigabytes: float
    seconds: dict[str, float]


def measured(folder: Path) -> Measured:
    """Run the stages of a folder in a fresh process, under watch."""
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "benchmarks.million", str(folder)])
    with peak_memory(child.pid, every=1.0) as peak:
        code = child.wait()
    minutes = (time.perf_counter() - started) / 60
    if code:
        raise RuntimeError(f"the stages of {folder} ended with {code}")
    told = json.loads((folder / "told.json").read_text())
    return Measured(minutes, told["core"] / 60, peak[0], told["seconds"])


def stages(folder: Path) -> None:
    """Selection to report, of a run folder that `write_run` made."""
    config = MineConfig(
        model=StableConfig(), confounds=ConfoundConfig(at_most=0), rare=RareConfig(shown=0),
        artefacts=ArtefactConfig(images=0), report=ReportConfig(sheets=False),
    )  # fmt: skip
    done = {"finished": "before", "seconds": 0.0, "outputs": {}, "digest": ""}
    manifest: dict[str, Any] = {
        "config": {}, "device": "cpu", "argv": [], "typika": "",
        "stages": dict.fromkeys(("collect", "encode", "train", "score"), done),
    }  # fmt: skip
    mining = StubMining(Run(folder, manifest), folder.parent, config, WORKERS)
    for name in STAGES[:-1]:
        getattr(mining, f"_{name}")()
    mining.run.manifest["stages"]["rare"] = done
    write_report(mining, config)
    told = {"seconds": mining.run.seconds(), "core": cpu_seconds(os.getpid())}
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    stages(Path(sys.argv[1]))
