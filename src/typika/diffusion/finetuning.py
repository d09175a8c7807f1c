"""Finetuning Stable Diffusion on a collection: the whole network, or low-rank corrections to it.

What a step sees of each image (crop, noise, timestep, prompt) is a function of (seed, step, place
in the batch), so neither the number of GPUs, nor how many images go through the network at once,
nor a kill and resume changes what is learned, beyond rounding.
Legend: `b` images of a call, `c s s` latent channels and the square crop.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn

from typika import ranks
from typika.console import task
from typika.diffusion.batches import BatchSize
from typika.diffusion.checkpoints import (
    CELL,
    INSTALL,
    Checkpoint,
    Conditioning,
    load_unet,
    without_bars,
)
from typika.diffusion.latents import LatentStore
from typika.diffusion.models import batch_rows, denoiser_folder, save_tensors
from typika.diffusion.sampling import sample
from typika.diffusion.schedule import alpha_sigma
from typika.diffusion.stable import Placement, StableConfig, StableDenoiser
from typika.diffusion.training import (
    OptimiserConfig,
    Trainer,
    learning_rate,
    load_shards,
    save_shards,
    step_generator,
)
from typika.errors import ConfigError, ModelError
from typika.files import whole_file, whole_folder, write_text

LORA_TARGETS = ["to_k", "to_q", "to_v", "to_out.0"]  # the projections of every attention
LOGS = 200  # rows of metrics.jsonl over a whole training
PLACES = 1 << 20  # more than any batch has: generators of two steps never meet
LEARNED = "condition/projection.safetensors"  # in a folder of its own: not taken for LoRA weights


@runtime_checkable
class Conditionings(Protocol):
    """What an image may be shown with, by number: texts, or conditions through a projection."""

    @property
    def learned(self) -> Mapping[str, nn.Parameter]:
        """What of it is fitted with the network, by names that no weight of the network has."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> Conditionings:
        """The same on a device; what is learned is a copy."""
        ...

    def __getitem__(self, index: Int[Tensor, " n"]) -> Conditioning:
        """What the network reads under some of them."""
        ...

    def inputs(self, index: Int[Tensor, " n"], height: int, width: int) -> dict[str, Any]:
        """Arguments of the network for images of `height` x `width` cells."""
        ...


@dataclass(frozen=True)
class Texts:
    """Every distinct prompt, and which of them stand for an image.

    given: all prompts' embeddings, or conditions in their place; own: (n,) the label's prompt of
    each image of the collection; nested: for each image its further prompts; null: the prompt of
    no label.
    """

    given: Conditionings
    own: Int[ndarray, " n"]
    nested: Sequence[Sequence[int]]
    null: int


@dataclass(frozen=True)
class Example:
    """What the network is shown: clean latents, noise, timesteps and the number of each text."""

    clean: Float[Tensor, "b c s s"]
    noise: Float[Tensor, "b c s s"]
    timestep: Int[Tensor, " b"]
    text: Int[Tensor, " b"]

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """All four, in order."""
        return self.clean, self.noise, self.timestep, self.text

    def pinned(self, device: torch.device) -> Example:
        """The same in memory from which a copy to the GPU does not wait."""
        cuda = device.type == "cuda"
        return Example(*(part.pin_memory() for part in self.parts)) if cuda else self

    def to(self, device: torch.device) -> Example:
        """The same on a device."""
        return Example(*(part.to(device, non_blocking=True) for part in self.parts))

    def __getitem__(self, part: slice) -> Example:
        return Example(*(tensor[part] for tensor in self.parts))


@dataclass(frozen=True)
class Lessons:
    """What finetuning draws from: cached latents, and prompts with their dropout."""

    store: LatentStore
    rows: Int[ndarray, " m"]  # images to learn from
    texts: Texts
    config: StableConfig
    n_levels: int  # timesteps of the checkpoint
    seed: int
    cell: int = CELL  # pixels per latent cell of the checkpoint

    @property
    def batch(self) -> int:
        """Images of a step."""
        return min(self.config.batch, len(self.rows))

    @property
    def n_steps(self) -> int:
        """Steps until enough images have been seen."""
        config = self.config
        wanted = round(config.epochs * len(self.rows))
        images = max(config.least_images, min(config.most_images, wanted))
        return max(1, images // self.batch)

    def example(self, step: int, places: Sequence[int]) -> Example:
        """The images at some places of the batch of a step."""
        rows = batch_rows(self.rows, self.config.batch, step, self.seed)
        found = [self._one(int(rows[place]), step, place) for place in places]
        clean, noise, timestep, text = zip(*found, strict=True)
        return Example(
            torch.stack(clean), torch.stack(noise), torch.stack(timestep), torch.tensor(text)
        )

    def _one(self, row: int, step: int, place: int) -> tuple[Tensor, Tensor, Tensor, int]:
        generator = step_generator(self.seed + 1, step * PLACES + place)
        both = self.store.latent(row)
        side = crop_side(self.config, self.cell)
        top, left = (
            int(torch.randint(size - min(side, size) + 1, (), generator=generator))
            for size in both.shape[1:]
        )
        mean, spread = both[:, top : top + side, left : left + side].chunk(2)
        clean = mean + spread * torch.randn(mean.shape, generator=generator)
        noise = torch.randn(mean.shape, generator=generator)
        timestep = torch.randint(self.n_levels, (), generator=generator)
        return clean, noise, timestep, self._text(row, generator)

    def _text(self, row: int, generator: torch.Generator) -> int:
        """The label's prompt, or by the shares of dropout the null's or a nested one."""
        drawn, choice = torch.rand(2, generator=generator).tolist()
        nested = self.texts.nested[row]
        if drawn < self.config.null_share:
            return self.texts.null
        if nested and drawn < self.config.null_share + self.config.nested_share:
            return nested[int(choice * len(nested))]
        return int(self.texts.own[row])


def crop_side(config: StableConfig, cell: int) -> int:
    """Side in latent cells of the square that finetuning sees of an image, and of a sample."""
    return config.resolution // config.multiple * config.multiple // cell


def denoising_loss(
    network: nn.Module, example: Example, texts: Conditionings, checkpoint: Checkpoint
) -> Float[Tensor, " b"]:
    """Mean squared error of each image's prediction, ε or v as the checkpoint predicts."""
    levels = torch.from_numpy(checkpoint.levels.astype(np.float32)).to(example.clean.device)
    log_snr = levels[example.timestep]
    alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
    noisy = alpha * example.clean + sigma * example.noise
    given = texts.inputs(example.text, *noisy.shape[2:])
    found = network(noisy, example.timestep, return_dict=False, **given)[0]
    target = example.noise
    if checkpoint.prediction == "v_prediction":
        target = alpha * example.noise - sigma * example.clean
    return (found.float() - target).square().mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class Finetuning:
    """A finetuning under way in a run folder.

    labels, contexts: the labels, and the number of each one's text; for sheets of samples.
    """

    checkpoint: Checkpoint
    lessons: Lessons
    labels: tuple[str, ...]
    contexts: Sequence[int]
    placement: Placement
    folder: Path
    fold: str = ""  # of a cross-fit, in which every fold has a network of its own

    @property
    def config(self) -> StableConfig:
        """The settings."""
        return self.lessons.config

    @property
    def place(self) -> Path:
        """Where checkpoints and the result go."""
        return denoiser_folder(self.folder, self.fold)

    @property
    def result(self) -> Path:
        """Where the finetuned weights go: a diffusers network, LoRA weights, or a projection."""
        return finetuned_folder(self.config, self.folder, self.fold)

    def run(self) -> list[dict[str, Any]]:
        """Finetune, or go on; returns the rows of metrics.jsonl. All ranks call this."""
        done = self.result / "metrics.json"
        if not done.exists():
            _Loop(self).run()
        rows: list[dict[str, Any]] = json.loads(done.read_text(encoding="utf-8"))
        return rows


def finetuned_folder(config: StableConfig, folder: Path, fold: str = "") -> Path:
    """Where under a run folder the finetuned weights lie."""
    return denoiser_folder(folder, fold) / config.finetune


def finetuned(checkpoint: Checkpoint, config: StableConfig, folder: Path, fold: str = "") -> Any:
    """The network that scoring uses: as downloaded, finetuned, or with LoRA weights merged in.

    Raises:
        ModelError: the run has not been trained yet.
    """
    if config.finetune == "none":
        return checkpoint.unet()
    place = finetuned_folder(config, folder, fold)
    if not place.is_dir():
        raise ModelError(f"{place}: not there; run `typika train` on this run first")
    if config.finetune == "full":
        return load_unet(place)
    unet = checkpoint.unet()
    unet.load_lora_adapter(place, prefix="unet", use_safetensors=True)
    unet.fuse_lora()
    unet.unload_lora()
    return unet


class _Loop:
    """The training loop of one process."""

    def __init__(self, job: Finetuning) -> None:
        self.job, self.config, self.lessons = job, job.config, job.lessons
        device, self.world = job.placement.device, ranks.world()
        if self.lessons.batch < self.world.size:
            raise ConfigError(
                f"model.batch={self.config.batch} of {len(self.lessons.rows)} images is too few "
                f"for {self.world.size} processes; raise it, or start fewer"
            )
        self.accelerator = _accelerator(job)
        self.unet = _trainable(job.checkpoint, self.config).to(device)
        if device.type == "cuda":
            self.unet = self.unet.to(memory_format=torch.channels_last)
        self.texts = self.lessons.texts.given.to(device, torch.float32)
        weights = {
            name: value for name, value in self.unet.named_parameters() if value.requires_grad
        }
        self.optimiser = optimiser_config(self.config)
        self.trainer = Trainer({**weights, **self.texts.learned}, self.optimiser)
        self.recent: list[Tensor] = []  # losses of steps not yet logged
        self.start = self._restore()
        self.network = self.unet
        if weights:  # a network that learns nothing has no gradients to share between ranks
            self.network = self.accelerator.prepare_model(self.unet, device_placement=False)
        share = -(-self.lessons.batch // self.world.size)
        start = min(self.config.at_once or share, share)
        self.at_once = BatchSize("finetuning", start, device, job.folder)

    def run(self) -> None:
        """Every step that is left, then the result."""
        steps, batch = self.lessons.n_steps, self.lessons.batch
        with task("Finetuning", steps * batch) as advance, ThreadPoolExecutor(1) as ahead:
            advance(self.start * batch)
            upcoming = ahead.submit(self._examples, self.start)
            for step in range(self.start, steps):
                examples = upcoming.result()
                if step + 1 < steps:
                    upcoming = ahead.submit(self._examples, step + 1)
                self._step(step, examples)
                self._after(step + 1)
                advance(batch)
        self._finish()

    def _examples(self, step: int) -> Example:
        """This rank's share of a step's images."""
        own = self.world.share(list(range(self.lessons.batch)))
        return self.lessons.example(step, own).pinned(self.job.placement.device)

    def _step(self, step: int, own: Example) -> None:
        example = own.to(self.job.placement.device)
        if self.world.size == 1:
            loss = self.at_once.attempt(lambda size: self._gradients(example, size))
        else:
            loss = self._shared_gradients(example)
        self.recent.append(loss)
        rate = learning_rate(step, self.lessons.n_steps, self.optimiser)
        self.trainer.update(rate)

    def _shared_gradients(self, example: Example) -> Tensor:
        """The same on one of several ranks, which cannot try again: the others would not wait."""
        try:
            loss = self._gradients(example, self.at_once.size)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"finetuning: {self.at_once.size} images at once do not fit into the memory of "
                f"{self.job.placement.device}; set model.at_once lower and start again"
            ) from error
        for weight in self.texts.learned.values():  # which the network's wrapping does not share
            weight.grad = self.accelerator.reduce(weight.grad, "mean")
        return loss

    def _gradients(self, example: Example, at_once: int) -> Tensor:
        """Gradients of the mean loss of the step's batch, from this rank's images, in calls."""
        self.trainer.forget_gradients()
        count = len(example.text)
        total = torch.zeros((), device=example.clean.device)
        for start in range(0, count, at_once):
            part = example[start : start + at_once]
            last = start + at_once >= count
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                with self.accelerator.autocast():
                    losses = denoising_loss(self.network, part, self.texts, self.job.checkpoint)
                # Ranks average their gradients, so each counts its images for all ranks.
                loss = losses.sum() * self.world.size / self.lessons.batch
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _after(self, done: int) -> None:
        """Log, save and sample when it is time, after `done` steps."""
        batch, steps = self.lessons.batch, self.lessons.n_steps
        every = max(1, steps // LOGS)
        if done % every == 0 or done == steps:
            self._log(done)
        if _passed(done, batch, self.config.checkpoint_every) and done < steps:
            self._save(done)
        if self.config.samples_every and (
            _passed(done, batch, self.config.samples_every) or done == steps
        ):
            self._sheet(done)

    def _log(self, done: int) -> None:
        loss = torch.stack(self.recent).mean()
        self.recent.clear()
        if self.world.size > 1:
            loss = self.accelerator.reduce(loss, "mean")
        row = {"images": done * self.lessons.batch, "loss": round(float(loss), 7)}
        self.trainer.history.append(row)
        self.accelerator.log({"loss": row["loss"]}, step=row["images"])
        if self.world.leads:
            lines = "".join(json.dumps(one) + "\n" for one in self.trainer.history)
            write_text(self.job.folder / "metrics.jsonl", lines)

    # --- checkpoints ---

    @property
    def _checkpoints(self) -> list[Path]:
        return sorted(self.job.place.glob("checkpoint-*"))

    def _save(self, done: int) -> None:
        if self.world.size > 1:  # what the leader writes is what every rank goes on with
            self.recent = [self.accelerator.reduce(loss, "mean") for loss in self.recent]
        if self.world.leads:
            tensors, metadata = self.trainer.state()
            path = self.job.place / f"checkpoint-{done:07d}"
            pending = {f"pending/{number}": loss.reshape(1).float()
                       for number, loss in enumerate(self.recent)}  # fmt: skip
            with whole_folder(path) as temporary:
                save_shards({**tensors, **pending}, metadata, temporary)
            for old in self._checkpoints[: -self.config.checkpoints]:
                shutil.rmtree(old)
        ranks.wait()

    def _restore(self) -> int:
        if not self._checkpoints:
            return 0
        tensors, metadata = load_shards(self._checkpoints[-1])
        device = self.job.placement.device
        done = self.trainer.take_up(tensors, metadata)
        names = sorted((name for name in tensors if name.startswith("pending/")),
                       key=lambda name: int(name.split("/")[1]))  # fmt: skip
        self.recent = [tensors[name][0].to(device) for name in names]
        return done

    # --- results ---

    def _sheet(self, done: int) -> None:
        path = (
            self.job.folder
            / "samples"
            / self.job.fold
            / f"images-{done * self.lessons.batch:08d}.jpg"
        )
        if self.world.leads and not path.exists():
            with self.accelerator.autocast():
                sheet(self._sampler(), self.job.contexts, self.config, path)
            self.unet.train()
        ranks.wait()

    def _sampler(self) -> StableDenoiser:
        device = self.job.placement.device
        order = torch.tensor([*self.job.contexts, self.lessons.texts.null], device=device)
        with torch.no_grad():
            given = self.texts[order]
        return StableDenoiser(
            self.job.checkpoint, self.unet.eval(), given, self.job.labels, self.config, device
        )

    def _finish(self) -> None:
        self.trainer.install_average()
        # Its end_training would also take the ranks apart; while the leader writes, the others
        # would then meet again at its old address, and wait there for days.
        for tracker in self.accelerator.trackers:
            tracker.finish()
        if self.world.leads:
            with whole_folder(self.job.result) as temporary:
                _export(self.unet, self.config, temporary)
                if self.texts.learned:
                    save_tensors(dict(self.texts.learned), temporary / LEARNED)
                text = json.dumps(self.trainer.history)
                (temporary / "metrics.json").write_text(text, encoding="utf-8")
            for path in self._checkpoints:
                shutil.rmtree(path)
        ranks.wait()


def optimiser_config(config: StableConfig) -> OptimiserConfig:
    """AdamW as published, and a moving average."""
    return OptimiserConfig(
        learning_rate=config.learning_rate, betas=(0.9, 0.999), weight_decay=config.weight_decay,
        warm_up=config.warm_up, schedule="constant", clip=config.clip, ema=config.ema,
    )  # fmt: skip


def _passed(done: int, batch: int, every: int) -> bool:
    """Whether the last step reached another multiple of `every` images."""
    return done * batch // every > (done - 1) * batch // every


def _accelerator(job: Finetuning) -> Any:
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise ModelError(f"finetuning needs accelerate; {INSTALL}") from error
    # Its state is the process's: an earlier run's device and precision would be this one's too.
    AcceleratorState._reset_state(reset_partial_state=True)
    bfloat16 = job.placement.training is torch.bfloat16
    trackers = list(job.config.trackers)
    try:
        accelerator = Accelerator(
            cpu=job.placement.device.type == "cpu",
            mixed_precision="bf16" if bfloat16 else "no",
            log_with=trackers or None,
            project_dir=job.folder / "trackers" if trackers else None,
        )
    except ValueError as error:
        raise ConfigError(f"trackers={job.config.trackers}: {error}") from error
    if trackers:
        accelerator.init_trackers("typika")
    return accelerator


def _trainable(checkpoint: Checkpoint, config: StableConfig) -> Any:
    """The network with the right weights open to training."""
    unet = checkpoint.unet().requires_grad_(config.finetune == "full")
    if config.finetune == "lora":
        from peft import LoraConfig

        # The start of the corrections is drawn by name, whatever was drawn before.
        torch.manual_seed(0)
        unet.add_adapter(
            LoraConfig(
                r=config.lora_rank,
                lora_alpha=config.lora_rank,
                init_lora_weights="gaussian",
                target_modules=LORA_TARGETS,
            )
        )
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    return unet.train()


def _export(unet: Any, config: StableConfig, folder: Path) -> None:
    """Write weights as others load them: a diffusers network, diffusers' LoRA file, or none."""
    if config.finetune == "full":
        with without_bars():
            unet.save_pretrained(folder, safe_serialization=True)
        return
    if config.finetune == "none":
        return
    from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin
    from diffusers.utils.state_dict_utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))  # type: ignore[no-untyped-call]
    StableDiffusionLoraLoaderMixin.save_lora_weights(folder, unet_lora_layers=layers)


def sheet(
    denoiser: StableDenoiser, contexts: Sequence[int], config: StableConfig, path: Path
) -> None:
    """A picture of samples: one row per label, the same noise in every row, 50 DDIM steps."""
    from PIL import Image

    side = crop_side(config, denoiser.checkpoint.cell)
    shape = (config.samples, denoiser.channels, side, side)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(42)).to(denoiser.device)
    rows = []
    for row in range(len(contexts)):
        latents = sample(denoiser, [row] * config.samples, noise)
        rows.append([denoiser.autoencoder.decode(latent) for latent in latents])
    width, height = rows[0][0].size
    picture = Image.new("RGB", (width * config.samples, height * len(rows)), "white")
    for down, row_images in enumerate(rows):
        for across, image in enumerate(row_images):
            picture.paste(image, (across * width, down * height))
    with whole_file(path) as temporary:
        picture.save(temporary, "JPEG", quality=88)
