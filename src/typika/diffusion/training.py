"""The training loop: AdamW, warm-up and cosine, moving average of weights, exact resume.

What a step sees is a function of (seed, step), so a run that was killed and resumed gives the same
weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    warm_up: int = 50  # steps
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
    """Linear warm-up, then a cosine to zero."""
    warm_up = min(config.warm_up, max(n_steps // 10, 1))
    if step < warm_up:
        return config.learning_rate * (step + 1) / warm_up
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
    trainer = _Trainer(network, config)
    start = trainer.restore(checkpoint) if checkpoint.exists() else 0
    advance(start)
    every = max(n_steps // 10, 1)
    recent: list[float] = []
    for step in range(start, n_steps):
        recent.append(trainer.step(step_loss(step), learning_rate(step, n_steps, config)))
        advance(1)
        if (step + 1) % every == 0 or step + 1 == n_steps:
            trainer.history.append(sum(recent) / len(recent))
            recent.clear()
            trainer.save(checkpoint)
    trainer.install_average()
    return trainer.history


class _Trainer:
    """A network, its optimiser and the moving average of its weights."""

    def __init__(self, network: nn.Module, config: OptimiserConfig) -> None:
        self.network, self.config = network, config
        self.parameters = dict(network.named_parameters())
        self.average = {name: value.detach().clone() for name, value in self.parameters.items()}
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
        self.history: list[float] = []

    def step(self, loss: Tensor, rate: float) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters.values(), self.config.clip)
        self.optimiser.step()
        self.steps += 1
        # Early on the average follows the weights, or it would remember the random start.
        keep = min(self.config.ema, self.steps / (self.steps + 10))
        for name, value in self.parameters.items():
            self.average[name].lerp_(value.detach(), 1 - keep)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        tensors: State = {}
        for name, value in self.parameters.items():
            tensors[f"weight/{name}"] = value.detach()
            tensors[f"average/{name}"] = self.average[name]
            for moment, moment_value in self.optimiser.state[value].items():
                tensors[f"{moment}/{name}"] = moment_value
        with whole_file(path) as temporary:
            # One plain write: a memory-mapped one would turn a full disk into a crash.
            metadata = {"step": str(self.steps), "history": json.dumps(self.history)}
            temporary.write_bytes(save(tensors, metadata=metadata))

    def restore(self, path: Path) -> int:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata()
            self.steps, self.history = int(metadata["step"]), json.loads(metadata["history"])
        tensors = load_file(path)
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(tensors[f"weight/{name}"])
                self.average[name].copy_(tensors[f"average/{name}"])
                # A weight that the loss does not reach has no moments.
                self.optimiser.state[value] = {
                    moment: tensors[f"{moment}/{name}"]
                    for moment in ("step", "exp_avg", "exp_avg_sq")
                    if f"{moment}/{name}" in tensors
                }
        return self.steps

    def install_average(self) -> None:
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(self.average[name])
