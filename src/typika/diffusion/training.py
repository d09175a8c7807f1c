"""The training loop: AdamW, warm-up, moving average of weights, exact resume.

What a step sees is a function of (seed, step), so a run that was killed and resumed gives the same
weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from typika.errors import ConfigError
from typika.files import whole_file

StepLoss = Callable[[int], Tensor]
State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How weights are fitted."""

    learning_rate: float = 5e-3  # at its highest, after the warm-up
    betas: tuple[float, float] = (0.9, 0.98)  # AdamW's moments
    weight_decay: float = 0.02  # on matrices only
    warm_up: int = 50  # steps, but not more than a tenth of them
    schedule: Literal["cosine", "constant"] = "cosine"  # of the rate after the warm-up
    clip: float = 1.0  # greatest norm of a gradient
    ema: float = 0.99  # share of the moving average that a step keeps

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.clip <= 0 or not 0 <= self.ema < 1:
            raise ConfigError(
                f"learning_rate={self.learning_rate}, clip={self.clip}, ema={self.ema}: "
                "need learning_rate > 0, clip > 0 and 0 <= ema < 1"
            )


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one training step."""
    # SplitMix64's increment: nearby seeds and steps give unrelated generators.
    mixed = (seed * 1_000_003 + step) * 0x9E3779B97F4A7C15 % 2**63
    return torch.Generator().manual_seed(mixed)


def learning_rate(step: int, n_steps: int, config: OptimiserConfig) -> float:
    """Linear warm-up, then a cosine to zero, or the same rate to the end."""
    warm_up = min(config.warm_up, max(n_steps // 10, 1))
    if step < warm_up:
        return config.learning_rate * (step + 1) / warm_up
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - warm_up) / max(n_steps - warm_up, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def fit(
    network: nn.Module,
    step_loss: StepLoss,
    n_steps: int,
    config: OptimiserConfig,
    checkpoint: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> list[float]:
    """Fit `network` by minimising `step_loss(step)`, leaving the moving average in it.

    Every tenth of the way the state goes to `checkpoint`, and training starts from what is there.
    Returns the mean loss of each tenth.
    """
    trainer = Trainer(dict(network.named_parameters()), config)
    start = trainer.restore(checkpoint) if checkpoint.exists() else 0
    advance(start)
    every = max(n_steps // 10, 1)
    recent: list[float] = []
    for step in range(start, n_steps):
        loss = step_loss(step)
        trainer.forget_gradients()
        loss.backward()  # type: ignore[no-untyped-call]
        trainer.update(learning_rate(step, n_steps, config))
        recent.append(float(loss.detach()))
        advance(1)
        if (step + 1) % every == 0 or step + 1 == n_steps:
            trainer.history.append(sum(recent) / len(recent))
            recent.clear()
            trainer.save(checkpoint)
    trainer.install_average()
    return trainer.history


class Trainer:
    """Weights, their optimiser and their moving average, and all of it as named tensors."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], config: OptimiserConfig) -> None:
        self.parameters, self.config = dict(parameters), config
        # Without an average the weights stand for it, and no memory is spent on a copy.
        self.average = {
            name: value.detach().clone() if config.ema else value.detach()
            for name, value in self.parameters.items()
        }
        decayed = [value for value in self.parameters.values() if value.ndim > 1]
        others = [value for value in self.parameters.values() if value.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            betas=config.betas,
        )
        self.steps = 0
        self.history: list[Any] = []  # whatever the loop wants to remember of its losses

    def forget_gradients(self) -> None:
        """Start a new step."""
        self.optimiser.zero_grad(set_to_none=True)

    def update(self, rate: float) -> None:
        """One step along the gradients, clipped, at a learning rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        nn.utils.clip_grad_norm_(self.parameters.values(), self.config.clip)
        self.optimiser.step()
        self.steps += 1
        if not self.config.ema:
            return
        # Early on the average follows the weights, or it would remember the random start.
        keep = min(self.config.ema, self.steps / (self.steps + 10))
        for name, value in self.parameters.items():
            self.average[name].lerp_(value.detach(), 1 - keep)

    def state(self) -> tuple[State, dict[str, str]]:
        """Everything that training goes on from: tensors, and metadata for their file."""
        tensors: State = {}
        for name, value in self.parameters.items():
            tensors[f"weight/{name}"] = value.detach()
            if self.config.ema:
                tensors[f"average/{name}"] = self.average[name]
            for moment, moment_value in self.optimiser.state[value].items():
                tensors[f"{moment}/{name}"] = moment_value
        return tensors, {"step": str(self.steps), "history": json.dumps(self.history)}

    def take_up(self, tensors: State, metadata: Mapping[str, str]) -> int:
        """Go on from what `state` gave; returns the number of steps done."""
        self.steps, self.history = int(metadata["step"]), json.loads(metadata["history"])
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(tensors[f"weight/{name}"])
                if self.config.ema:
                    self.average[name].copy_(tensors[f"average/{name}"])
                # A weight that the loss does not reach has no moments. The count of steps stays
                # on the CPU, where the optimiser keeps it.
                self.optimiser.state[value] = {
                    moment: found if moment == "step" else found.to(value.device)
                    for moment in ("step", "exp_avg", "exp_avg_sq")
                    if (found := tensors.get(f"{moment}/{name}")) is not None
                }
        return self.steps

    def save(self, path: Path) -> None:
        """Write the state to one safetensors file."""
        tensors, metadata = self.state()
        with whole_file(path) as temporary:
            # One plain write: a memory-mapped one would turn a full disk into a crash.
            temporary.write_bytes(save(tensors, metadata=metadata))

    def restore(self, path: Path) -> int:
        """Go on from what `save` wrote; returns the number of steps done."""
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata()
        return self.take_up(load_file(path), metadata)

    def install_average(self) -> None:
        """Put the moving average in the place of the weights."""
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(self.average[name])


SHARD = 1 << 30  # bytes of tensors per file of a checkpoint of many


def save_shards(tensors: State, metadata: Mapping[str, str], folder: Path) -> None:
    """Write tensors to safetensors files of about a gigabyte, so that no copy of all is needed."""
    folder.mkdir(parents=True, exist_ok=True)
    shard: State = {}
    number = size = 0
    names = list(tensors)
    for name in names:
        shard[name] = tensors[name].cpu().contiguous()
        size += shard[name].numel() * shard[name].element_size()
        if size >= SHARD or name == names[-1]:
            path = folder / f"part-{number:05d}.safetensors"
            path.write_bytes(save(shard, metadata=dict(metadata)))
            shard, size, number = {}, 0, number + 1


def load_shards(folder: Path) -> tuple[State, dict[str, str]]:
    """Read what `save_shards` wrote."""
    tensors: State = {}
    metadata: dict[str, str] = {}
    for path in sorted(folder.glob("part-*.safetensors")):
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata()
        tensors.update(load_file(path))
    return tensors, metadata
