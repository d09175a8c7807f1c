"""A tiny Stable Diffusion end to end by the command line: kills, batches, shards and order.

A run is killed at random moments, most of them of finetuning, and taken up by the same command.
Then the same collection is mined with other workers, parts, batches, ranks and names of files, and
the typicality maps are compared with the undisturbed run's.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks import small, tiny_checkpoint
from benchmarks.record import Figure, Result, at_least, at_most
from typika import config, workflow
from typika.diffusion.schedule import noise_design
from typika.mining.scores import read_maps
from typika.mining.typicality import typicality_maps
from typika.parallel import one_thread
from typika.tables import read_parquet

N_PER_LABEL = 6
KILLED_IN = ("encode", "finetune", "finetune", "finetune", "score", "cluster")
LIMIT = 1e-5

# The command line with other part files; the child processes of loky are told too.
SMALL_PARTS = """
import sys
import typika.diffusion.latents as latents
import typika.parallel as parallel

PART = 8


def call(*arguments):
    import typika.diffusion.latents as latents
    import typika.parallel as parallel

    latents.PART = 8
    return parallel._call(*arguments)


if __name__ == "__main__":
    latents.PART = PART
    parallel._call = call
    from typika.cli import main

    main()
"""


@dataclass(frozen=True)
class Bench:
    """The folder of the benchmark, with the collection and the recipe in it."""

    folder: Path

    def run(self, out: str, *more: str, images: str = "images", command: str = "cluster",
            program: Sequence[str] = ("-m", "typika")) -> None:  # fmt: skip
        """Run the command line to its end."""
        done = subprocess.run(
            self.arguments(out, *more, images=images, command=command, program=program),
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{out}: {done.stderr[-2000:]}")

    def arguments(self, out: str, *more: str, images: str = "images", command: str = "cluster",
                  program: Sequence[str] = ("-m", "typika")) -> list[str]:  # fmt: skip
        workers = () if "--workers" in more else ("--workers", "1")
        return [sys.executable, *program, command, str(self.folder / images),
                "--model", str(self.folder / "tiny"), "--recipe",
                str(self.folder / "tiny.toml"), "--out", str(self.folder / out),
                *workers, *more]  # fmt: skip

    def copy(self, source: str, out: str, *without: str) -> str:
        """A copy of a run that lacks some of its results, and so makes them anew."""
        shutil.copytree(self.folder / source, self.folder / out)
        for name in without:
            shutil.rmtree(self.folder / out / name)
        return out

    def encoded(self, out: str) -> str:
        """A run that has just encoded its images: the undisturbed one without what came after."""
        self.copy("whole", out, "model/denoiser", "model/rival", "scores")
        path = self.folder / out / "run.json"
        manifest = json.loads(path.read_text())
        manifest["stages"] = {name: manifest["stages"][name] for name in ("collect", "encode")}
        path.write_text(json.dumps(manifest))
        for name in ("metrics.jsonl", "selected.parquet", "patches.parquet", "clusters.parquet",
                     "patches.csv", "clusters.csv"):  # fmt: skip
            (self.folder / out / name).unlink()
        return out

    def maps(self, out: str) -> dict[str, np.ndarray]:
        """The null's map of every image."""
        found = {}
        for path in sorted((self.folder / out / "scores").glob("part-*.parquet")):
            table = read_parquet(path)
            for place, image in enumerate(table["image_id"].to_pylist()):
                found[image] = read_maps(table, place)["null"]
        return found

    def weights(self, out: str) -> Path:
        (path,) = (self.folder / out / "model" / "denoiser" / "full").glob("*.safetensors")
        return path

    def results(self, out: str) -> dict[str, bytes]:
        """What must be the same to the byte."""
        return {**small.tables(self.folder / out), "weights": self.weights(out).read_bytes(),
                "metrics": (self.folder / out / "metrics.jsonl").read_bytes()}  # fmt: skip


def prepare(folder: Path) -> Bench:
    checkpoint = tiny_checkpoint.build(folder / "tiny")
    images = small.collection(folder / "images", N_PER_LABEL)
    values = {"least_images": 320, "most_images": 320, "checkpoint_every": 40}
    settings = tiny_checkpoint.settings(checkpoint, model=values)
    (folder / "tiny.toml").write_text(config.as_toml(settings))
    paths = sorted(images.rglob("*.jpg"))
    random.Random(1).shuffle(paths)
    for number, path in enumerate(paths):
        target = folder / "shuffled" / path.parent.name / f"renamed-{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (folder / "parts.py").write_text(SMALL_PARTS)
    return Bench(folder)


# --- kills --------------------------------------------------------------------------------------


def kill(bench: Bench, out: str, stage: str, moment: float) -> str:
    """Begin a run, and kill it `moment` seconds into a stage; what was there of finetuning.

    "finetune" begins where the train stage has logged its first step: loading comes before it.
    """
    process = subprocess.Popen(
        bench.arguments(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    folder = bench.folder / out
    while process.poll() is None and not _under_way(folder, stage):
        time.sleep(0.02)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    metrics = folder / "metrics.jsonl"
    rows = metrics.read_text().splitlines() if metrics.exists() else []
    seen = max((json.loads(row).get("images", 0) for row in rows), default=0)
    found = sorted(path.name for path in (folder / "model" / "denoiser").glob("*"))
    return f"{stage} + {moment:.1f} s ({seen} images seen, {', '.join(found) or 'no weights'})"


def _under_way(folder: Path, stage: str) -> bool:
    if stage == "finetune":
        return (folder / "metrics.jsonl").exists()
    path = folder / "run.json"
    return path.exists() and stage in json.loads(path.read_text())["stages"]


def kills(bench: Bench, seconds: dict[str, float]) -> tuple[Figure, str]:
    rng = random.Random(0)
    same, moments = 0, []
    whole = bench.results("whole")
    for number, stage in enumerate(KILLED_IN):
        # Encoding takes longest: only a run that is killed there does it again.
        out = f"killed-{number}"
        if stage != "encode":
            bench.encoded(out)
        # Of the train stage about the last third is finetuning; the rest is loading.
        length = seconds["train"] / 3 if stage == "finetune" else seconds[stage]
        moments.append(kill(bench, out, stage, rng.uniform(0.1, 0.9) * length))
        bench.run(out)
        same += bench.results(out) == whole
        shutil.rmtree(bench.folder / out)
    timings = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    note = (
        f"Stages of the undisturbed run, s: {timings}. All but the first killed run began from a "
        f"copy of its encoded images. Killed at: {'; '.join(moments)}. Compared "
        "to the byte: finetuned weights, metrics.jsonl and the four tables."
    )
    return at_least("kill", same, len(KILLED_IN), f"of {len(KILLED_IN)} runs"), note


# --- variations ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """How far a run's maps and finetuned weights are from the undisturbed run's."""

    name: str
    maps: float  # greatest, of T
    spread: float  # the same over the standard deviation of all maps
    weights: float  # greatest
    moved: float  # norm of the difference over how far finetuning moved the weights
    tables: bool

    def row(self) -> str:
        same = "same" if self.tables else "different"
        weights = f"{self.weights:.1e} | {self.moved:.1e}" if self.weights else "same bytes | 0"
        return f"| {self.name} | {self.maps:.1e} | {self.spread:.1e} | {weights} | {same} |"


def difference(bench: Bench, name: str, out: str) -> Difference:
    reference, maps = bench.maps("whole"), bench.maps(out)
    greatest = max(float(np.abs(reference[image] - maps[image]).max()) for image in reference)
    spread = float(np.std(np.concatenate([grid.ravel() for grid in reference.values()])))
    one, other = load_file(bench.weights("whole")), load_file(bench.weights(out))
    (path,) = (bench.folder / "tiny" / "unet").glob("*.safetensors")
    start = load_file(path)

    def norm(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
        squares = [(first[key] - second[key]).double().square().sum() for key in first]
        return float(torch.stack(squares).sum().sqrt())

    weights = max(float((one[key] - other[key]).abs().max()) for key in one)
    columns = ["image_id", "label", "selection", "rank", "left", "top", "right", "bottom"]
    tables = [
        read_parquet(bench.folder / place / "patches.parquet", columns) for place in ("whole", out)
    ]
    same = tables[0].equals(tables[1])
    return Difference(name, greatest, greatest / spread, weights,
                      norm(one, other) / norm(one, start), same)  # fmt: skip


def variations(bench: Bench) -> tuple[list[Difference], list[Difference]]:
    """Of everything but finetuning itself; and of finetuning in other batches and on two ranks."""
    parts = (str(bench.folder / "parts.py"),)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *parts)
    same = []
    bench.run("order", images="shuffled")
    same.append(difference(bench, "files renamed and in another order", "order"))
    bench.run("parts", "--workers", "2", program=parts)
    same.append(difference(bench, "2 workers, parts of 8 images", "parts"))
    for size in (2, 16):
        out = bench.copy("whole", f"scored-{size}", "scores")
        bench.run(out, "--overwrite", "--set", f"model.scored_at_once={size}")
        same.append(difference(bench, f"{size} noisy latents scored at once", out))
    out = bench.copy("parts", "ranks", "scores")
    bench.run(out, program=torchrun)
    same.append(difference(bench, "2 ranks score, same weights", out))
    again = []
    out = bench.copy("whole", "one-at-a-time", "scores", "model/denoiser")
    bench.run(out, "--overwrite", "--set", "model.at_once=1")
    again.append(difference(bench, "finetuned 1 at once instead of 8", out))
    out = bench.copy("parts", "ranks-train", "scores", "model/denoiser")
    bench.run(out, program=torchrun)
    again.append(difference(bench, "2 ranks finetune and score", out))
    return same, again


def contrasts(bench: Bench) -> tuple[float, float, float]:
    """Greatest |T(c,c)|, greatest |T(c,c') + T(c',c)|, and the spread of T(c,c')."""
    settings = workflow.recorded(bench.folder / "whole")[1]
    run = workflow.MiningRun(bench.folder / "whole")
    _, collection, model, denoiser = tiny_checkpoint.opened(run, settings)
    (store,) = model.latents(len(collection), run.folder)
    design = noise_design("stratified", 8, denoiser.channels, 0, side=model.canvas)
    itself, sums, values = [], [], []
    with one_thread():
        for row in range(0, len(collection), 4):
            latent = store.latent(row)[None]
            first = int(collection.label_index[row])
            second = (first + 1) % len(collection.labels)
            found = []
            for pair in ((first, first), (first, second), (second, first)):
                (maps,) = typicality_maps(denoiser, latent, [pair], design)
                assert maps.others is not None
                found.append(maps.others.mean)
            itself.append(np.abs(found[0]).max())
            sums.append(np.abs(found[1] + found[2]).max())
            values.append(found[1])
    return float(max(itself)), float(max(sums)), float(np.std(values))


def run() -> Result:
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    with TemporaryDirectory() as place:
        bench = prepare(Path(place))
        bench.run("whole")
        killed, note = kills(bench, workflow.MiningRun(bench.folder / "whole").seconds())
        same, again = variations(bench)
        itself, sums, spread = contrasts(bench)
    head = ("| variation | greatest difference of T | over the maps' spread | of weights | "
            "over how far finetuning moved them | patches |\n" + "|---" * 6 + "|")  # fmt: skip
    zero = at_most("label-against-itself", itself, 0, "greatest |T(c,c)|")
    figures = [
        replace(zero, target="= 0"),
        at_most("antisymmetry", sums, LIMIT, "greatest |T(c,c') + T(c',c)|"),
        at_most("antisymmetry-relative", sums / spread, LIMIT, "the same over the spread of T"),
        at_most("maps", max(one.maps for one in same), LIMIT, "greatest difference of T"),
        at_most("maps-relative", max(one.spread for one in same), LIMIT,
                "the same over the spread of T"),
        killed,
    ]  # fmt: skip
    return Result(figures=figures, notes=[
        f"{tiny_checkpoint.STANDS_FOR} {4 * N_PER_LABEL} images of the demo, 64 pixels a side.",
        note,
        "With the finetuned weights fixed (same bytes), which the figures `maps` are the worst "
        "of:",
        "\n".join([head, *(one.row() for one in same)]),
        f"The spread of T is {max(one.maps / one.spread for one in same if one.maps):.4f} here, "
        "and T is the difference of two losses near 1, whose last binary place in float32 is "
        "1.2e-7: one rounding of one of them is already above 1e-5 of the spread. Calls of "
        "another size take another kernel, and so round otherwise.",
        "Finetuned anew, where Adam turns rounding of small gradients into steps: its first "
        "steps are as long for a gradient of 1e-9 as of 1. The model is another within rounding, "
        "and so are its maps:",
        "\n".join([head, *(one.row() for one in again)]),
    ])  # fmt: skip
