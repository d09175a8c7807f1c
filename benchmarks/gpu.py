"""Scoring and finetuning of Stable Diffusion 1.5 with random weights: how much of the GPU works.

Nothing is downloaded: the architecture is built from its configuration, since speed does not
depend on what the weights know. Without a GPU the same script runs a tiny network on the CPU, to
show that it runs; its figures then say nothing of a GPU and are held against no target.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import Figure, Result, at_least, at_most
from typika.diffusion.checkpoints import Checkpoint, Conditioning
from typika.diffusion.finetuning import Finetuning, Lessons, Texts, _Loop
from typika.diffusion.latents import LatentStore, write_part
from typika.diffusion.schedule import alpha_sigma, noise_design, stable_diffusion_log_snr
from typika.diffusion.stable import Placement, StableConfig, StableDenoiser, placed
from typika.mining.typicality import typicality_maps

FULL = {"cross_attention_dim": 768}  # diffusers' defaults are Stable Diffusion's else
TINY = {"block_out_channels": (32, 64, 64, 64), "cross_attention_dim": 32, "norm_num_groups": 8,
        "attention_head_dim": 4}  # fmt: skip
PASS_TFLOP = 0.8033  # one pass of the full network on 64 x 64 latents, counted
N_DRAWS = 40  # of ours and of the plain loop: four batches of ten noises
IMAGES = 8
TRAINING_BATCH = 32


@dataclass(frozen=True)
class Bench:
    """The network of this machine and how it is timed."""

    folder: Path
    gpu: bool

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.gpu else "cpu")

    @property
    def side(self) -> int:
        """Of a latent."""
        return 64 if self.gpu else 8

    @property
    def width(self) -> int:
        """Of a text state."""
        return 768 if self.gpu else 32

    def network(self) -> Any:
        from diffusers import UNet2DConditionModel

        torch.manual_seed(0)
        with self.device:
            return UNet2DConditionModel(**(FULL if self.gpu else TINY))

    def checkpoint(self) -> Checkpoint:
        """A checkpoint of configurations alone, whose network is drawn when it is loaded."""
        bench = self

        class Drawn(Checkpoint):
            def unet(self) -> Any:
                return bench.network()

        scheduler, unet = self.folder / "scheduler", self.folder / "unet"
        scheduler.mkdir(exist_ok=True)
        unet.mkdir(exist_ok=True)
        (scheduler / "scheduler_config.json").write_text(json.dumps({"beta_end": 0.012}))
        (unet / "config.json").write_text(json.dumps({"in_channels": 4}))
        return Drawn(self.folder)

    def texts(self, count: int) -> Conditioning:
        generator = torch.Generator().manual_seed(1)
        return Conditioning(torch.randn(count, 77, self.width, generator=generator), None)

    def seconds(self, work: Callable[[], object], repeats: int = 3) -> float:
        """Median time of `work`, once it is warm."""
        work()
        found = []
        for _ in range(repeats):
            self._settle()
            started = time.perf_counter()
            work()
            self._settle()
            found.append(time.perf_counter() - started)
        return statistics.median(found)

    def _settle(self) -> None:
        if self.gpu:
            torch.cuda.synchronize()

    def memory(self, work: Callable[[], object]) -> float:
        """Most GPU memory in GB that `work` holds; 0 on the CPU."""
        if not self.gpu:
            return 0.0
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() / 1e9


def peak(bench: Bench) -> float:
    """TFLOP/s of a large bfloat16 matrix product: what this machine can do at most."""
    size = 8192 if bench.gpu else 512
    one = torch.randn(size, size, device=bench.device, dtype=torch.bfloat16)
    return 2 * size**3 / bench.seconds(lambda: one @ one, repeats=10) / 1e12


def scoring(bench: Bench, precision: torch.dtype, compiled: bool) -> tuple[float, float]:
    """Seconds per image and GB of memory of typika's own scoring."""
    config = StableConfig(resolution=8 * bench.side, compile=compiled)
    place = Placement(bench.device, precision, precision)
    checkpoint = bench.checkpoint()
    unet = placed(bench.network(), place, compiled=compiled)
    denoiser = StableDenoiser(checkpoint, unet, bench.texts(2), ("a",), config, bench.device)
    design = noise_design("stratified", N_DRAWS, 4, seed=0, side=128).to(bench.device)
    latents = torch.randn(IMAGES, 4, bench.side, bench.side, device=bench.device)

    def work() -> object:
        at_once = 64 if bench.gpu else 8
        return typicality_maps(denoiser, latents, [(0,)] * IMAGES, design, at_once)

    return bench.seconds(work) / IMAGES, bench.memory(work)


def plain_loop(bench: Bench) -> float:
    """Seconds per image of a loop written like the published code.

    One image at a time, half precision under autocast, batches of ten noises under both prompts,
    and every loss kept as a grid on the host.
    """
    half = torch.float16 if bench.gpu else torch.float32
    unet = bench.network().to(bench.device, half).eval()
    texts = bench.texts(2).states.to(bench.device, half)
    table = torch.from_numpy(stable_diffusion_log_snr()).float().to(bench.device)
    latents = torch.randn(IMAGES, 4, bench.side, bench.side, device=bench.device, dtype=half)

    @torch.no_grad()
    def work() -> None:
        for latent in latents:
            noise = torch.randn(N_DRAWS, *latent.shape, device=bench.device, dtype=half)
            steps = torch.randint(100, 700, (N_DRAWS,), device=bench.device)
            losses = []
            for start in range(0, N_DRAWS, 10):
                part = slice(start, start + 10)
                alpha, sigma = (one[:, None, None, None].to(half)
                                for one in alpha_sigma(table[steps[part]]))  # fmt: skip
                noisy = (alpha * latent + sigma * noise[part]).repeat(2, 1, 1, 1)
                states = texts.repeat_interleave(10, dim=0)
                with torch.autocast(bench.device.type, torch.float16, enabled=bench.gpu):
                    found = unet(noisy, steps[part].repeat(2), states).sample
                both = noise[part].repeat(2, 1, 1, 1).float()
                losses.append((found.float() - both).square().half().cpu())
            torch.cat(losses).numpy()

    return bench.seconds(work) / IMAGES


def training(bench: Bench) -> tuple[float, float, int]:
    """Seconds per image and GB of memory of full finetuning, and how many images went at once."""
    batch = TRAINING_BATCH if bench.gpu else 4
    store = bench.folder / "latents"
    latents = [torch.rand(8, bench.side, bench.side) for _ in range(64)]
    write_part(store, 0, latents)
    config = StableConfig(
        resolution=8 * bench.side, batch=batch, least_images=10**6, checkpoint_every=10**9
    )
    texts = Texts(bench.texts(3), np.zeros(64, int), [()] * 64, 2)
    lessons = Lessons(LatentStore(store, 64), np.arange(64), texts, config, 1000, 0)
    precision = torch.bfloat16 if bench.gpu else torch.float32
    place = Placement(bench.device, precision, precision)
    job = Finetuning(bench.checkpoint(), lessons, ("a",), (0,), place, bench.folder)
    loop = _Loop(job)
    examples = [loop._examples(step) for step in range(4)]

    def work() -> None:
        for step, example in enumerate(examples):
            loop._step(step, example)

    seconds = bench.seconds(work) / (len(examples) * batch)
    return seconds, bench.memory(work), loop.at_once.size


def run() -> Result:
    gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place), gpu)
        top = peak(bench)
        ours = {
            f"{str(kind).removeprefix('torch.')}{', compiled' if compiled else ''}": scoring(
                bench, kind, compiled
            )
            for kind in ((torch.float16, torch.bfloat16) if gpu else (torch.float32,))
            for compiled in ((False, True) if gpu else (False,))
        }
        plain = plain_loop(bench)
        trained, memory, at_once = training(bench)
    rows = ["| scoring | s per image | TFLOP/s | share of peak | GB |", "|---|---|---|---|---|"]
    work = 2 * N_DRAWS * PASS_TFLOP
    for name, (seconds, held) in ours.items():
        rate = f"{work / seconds:.0f} | {work / seconds / top:.2f}" if gpu else "- | -"
        rows.append(f"| {name} | {seconds:.3f} | {rate} | {held:.1f} |")
    best = min(seconds for seconds, _ in ours.values())
    if not gpu:
        note = (
            "**No GPU at hand.** A tiny network on the CPU stands for Stable Diffusion, to show "
            "that this script runs; no figure is held against a target."
        )
        figures = [
            Figure(name=name, value=value, unit=unit, target="none without a GPU", met=None)
            for name, value, unit in (
                ("ratio-to-plain-loop", plain / best, "x"),
                ("finetuning", 1 / trained, "images/s"),
                ("gpu", 1 / best, "images/s"),
            )
        ]
        return Result(figures=figures, notes=(note, "\n".join(rows)))
    peak_share = work / best / top
    figures = [
        at_least("ratio-to-plain-loop", plain / best, 3, "x"),
        at_least("finetuning-share-of-peak", 3 * PASS_TFLOP / trained / top, 0.4, "of peak"),
        at_most("finetuning-memory", memory, 40, "GB"),
        at_least("gpu", peak_share, 0.55, "of peak"),
    ]
    note = (
        f"{torch.cuda.get_device_name()}; {top:.0f} TFLOP/s is the measured peak of a bfloat16 "
        f"matrix product. Scoring: {1 / best:.2f} images/s at 512 x 512 and {N_DRAWS} draws; the "
        f"plain loop {1 / plain:.2f}. Finetuning: {1 / trained:.1f} images/s, {at_once} at once."
    )
    return Result(figures=figures, notes=(note, "\n".join(rows)))
