"""The loop: batches of about one width, validation on lines held out, checkpoints, exact resume.

What a step sees is a function of (seed, step), and whatever else it depends on is in the
checkpoint: a training that was killed and begun again ends with the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from typika import ranks
from typika.devices import device_of
from typika.diffusion.training import step_generator
from typika.errors import ConfigError, DataError
from typika.files import whole_file
from typika.text_evaluation import error_rate
from typika.typewriter import together
from typika.typewriter.alignment import best_path
from typika.typewriter.alphabet import Alphabet
from typika.typewriter.batches import Line, LineBatch, Reading, batches, collate

STEPS_OF_A_LINE = 8  # where the number of steps is left open, and between these bounds
LEAST_STEPS, MOST_STEPS = 800, 8000
CHECKS = 16  # validations of a training, where nothing else is said
ENOUGH_LINES = 40  # fewer lines than these are all learned from, and none is held out
MOST_HELD_OUT = 64
A_RANK = 1 << 40  # more than any seed and step come to: two ranks never draw the same


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and on what.

    steps: batches shown; 0 takes as many as `epochs`, passes over the lines, come to, or, where
    that is 0 too, eight a line, at least 800 and at most 8,000. batch: lines of one, fewer where
    they are together more than `batch_width` pixels wide, but at least two. held_out: share of
    the transcribed lines that validate, at most 64 of them; lines whose `split` is "val" do so
    instead where there are any. checks: validations, evenly spread.
    patience: validations in a row without a lower error that end training; 0 never does.
    """

    steps: int = 0
    epochs: int = 0
    batch: int = 8
    batch_width: int = 6000
    held_out: float = 0.1
    checks: int = CHECKS
    patience: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.epochs, self.patience) < 0 or min(self.batch, self.checks) < 1:
            raise ConfigError(
                f"steps={self.steps}, epochs={self.epochs}, batch={self.batch}, "
                f"checks={self.checks}, patience={self.patience}: batch and checks need at least "
                "1, the others 0"
            )
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"held_out={self.held_out}: need 0 <= held_out < 1")

    def n_steps(self, n_lines: int) -> int:
        """Steps for a number of lines."""
        by_lines = min(max(STEPS_OF_A_LINE * n_lines, LEAST_STEPS), MOST_STEPS)
        return self.steps or self.epochs * -(-n_lines // self.batch) or by_lines

    def size(self, lines: Sequence[Line]) -> int:
        """Lines of a batch."""
        width = sum(line.width for line in lines) / len(lines)
        return max(min(self.batch, round(self.batch_width / width)), min(self.batch, 2))


@runtime_checkable
class Reader(Protocol):
    """A model as far as validation needs it."""

    def read(self, batch: LineBatch) -> Reading:
        """What stands in every cell."""


@runtime_checkable
class Learns(Protocol):
    """A model with its optimiser: what the loop drives."""

    @property
    def model(self) -> Any:
        """The model, a module that is a `Reader`."""

    def step(
        self, batch: LineBatch, step: int, n_steps: int, generator: torch.Generator
    ) -> Mapping[str, float]:
        """One step on a batch; the losses before it, by name."""

    def state(self) -> dict[str, Tensor]:
        """Everything that learning goes on from."""

    def take_up(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""


@dataclass
class Progress:
    """How training went so far: a row for each validation, and the best of them."""

    step: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None  # lowest error on validation lines; without such, none
    worse: int = 0  # validations since

    def add(self, row: dict[str, float]) -> bool:
        """Take down a validation; whether it is the best so far. Of equals the later is better."""
        self.rows.append(row)
        error = row.get("character_error")
        better = error is None or self.best is None or error <= self.best
        self.worse = 0 if better else self.worse + 1
        self.best = error if better else self.best
        return better


@dataclass(frozen=True)
class Checkpoints:
    """Where the states are kept: `last` to go on from, `best` the weights that were best."""

    folder: Path

    @property
    def last(self) -> Path:
        """Weights, moments and progress."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """Weights alone."""
        return self.folder / "best.safetensors"

    def save(self, learner: Learns, progress: Progress, *, better: bool) -> None:
        """Write both, each whole or not at all; `last` comes last, since it is gone on from."""
        if better:
            weights = {n: v.contiguous() for n, v in learner.model.state_dict().items()}
            _write(self.best, weights, {})
        _write(self.last, learner.state(), {"progress": json.dumps(progress.__dict__)})

    def restore(self, learner: Learns) -> Progress:
        """What training goes on from; its beginning where there is nothing."""
        if not self.last.exists():
            return Progress()
        with safe_open(self.last, framework="pt") as handle:
            metadata = handle.metadata()
        learner.take_up(load_file(self.last))
        return Progress(**json.loads(metadata["progress"]))


def train(
    learner: Learns,
    lines: Sequence[Line],
    held_out: Sequence[Line],
    alphabet: Alphabet,
    config: TrainingConfig,
    *,
    seed: int,
    checkpoints: Checkpoints,
    advance: Callable[[int], None] = lambda _: None,
    report: Callable[[Mapping[str, float]], None] = lambda _: None,
) -> Progress:
    """Show `lines` to a learner; its model ends as it was at the best validation.

    Of several ranks each shows its part of every batch, and the losses reported are the leader's.
    All of them must call this.

    advance: told of steps done. report: told of each validation, as it comes.
    """
    if not lines:
        raise DataError("no line to learn from")
    n_steps = config.n_steps(len(lines))
    every = max(n_steps // config.checks, 1)
    progress, device = checkpoints.restore(learner), device_of(learner.model)
    advance(progress.step)
    if config.patience and progress.worse >= config.patience:
        n_steps = progress.step  # it had ended when it was stopped
    seen = _Means()
    for step, numbers in _steps(lines, config.size(lines), seed, progress.step, n_steps):
        batch = collate([lines[n] for n in together.own_part(numbers)]).to(device)
        generator = step_generator(seed, step + ranks.world().rank * A_RANK)
        seen.add(learner.step(batch, step, n_steps, generator))
        advance(1)
        progress.step = step + 1
        if progress.step % every and progress.step != n_steps:
            continue
        together.average_buffers(learner.model)
        row = {
            "step": float(progress.step),
            **seen.take(),
            **_validate(learner, held_out, alphabet),
        }
        better = progress.add(row)
        if ranks.world().leads:
            checkpoints.save(learner, progress, better=better)
        report(row)
        if ranks.agree(int(config.patience and progress.worse >= config.patience)):
            break
    ranks.wait()  # for what the leader has saved
    learner.model.load_state_dict(load_file(checkpoints.best))
    learner.model.eval()
    return progress


def split(
    lines: Sequence[Line], marked: Sequence[bool], config: TrainingConfig, seed: int
) -> tuple[list[Line], list[Line]]:
    """Lines to learn from, and lines that validate.

    marked: which lines the collection itself has set apart. Else a share of the transcribed ones,
    chosen by their names, is held out; with fewer than 40 of them none is.
    """
    if any(marked):
        pairs = list(zip(lines, marked, strict=True))
        apart = [line for line, own in pairs if own]
        return [line for line, own in pairs if not own], apart
    transcribed = sorted(line.line_id for line in lines if line.symbols)
    if len(transcribed) < ENOUGH_LINES:
        return list(lines), []
    n = min(round(config.held_out * len(transcribed)), MOST_HELD_OUT)
    chosen = np.random.default_rng((seed, 1)).permutation(len(transcribed))[:n]
    apart_names = {transcribed[number] for number in chosen}
    held_out = [line for line in lines if line.line_id in apart_names]
    return [line for line in lines if line.line_id not in apart_names], held_out


def read_lines(model: Reader, lines: Sequence[Line]) -> Iterator[np.ndarray]:
    """Log-probabilities of the cells of each line, one line at a time.

    So the result does not depend on which lines come together.
    """
    for line in lines:
        with torch.no_grad():
            reading = model.read(collate([line]).to(device_of(model)))
        yield reading.log_probabilities[0, : int(reading.n_cells[0])].double().cpu().numpy()


def _validate(learner: Learns, lines: Sequence[Line], alphabet: Alphabet) -> dict[str, float]:
    """The error on lines whose text the alphabet can spell."""
    lines = [line for line in lines if line.symbols]
    if not lines:
        return {}
    module: nn.Module = learner.model
    module.eval()
    read = [alphabet.decode(best_path(logs).symbols.tolist())
            for logs in read_lines(learner.model, lines)]  # fmt: skip
    module.train()
    true = [alphabet.decode(line.symbols or ()) for line in lines]
    return {"character_error": error_rate(true, read).micro}


def _steps(
    lines: Sequence[Line], size: int, seed: int, start: int, n_steps: int
) -> Iterator[tuple[int, list[int]]]:
    """Numbers of the lines of every step from `start`, epoch after epoch, each in an own order."""
    a_round = -(-len(lines) // size)
    for epoch in range(start // a_round, -(-n_steps // a_round)):
        order = list(batches(lines, size, np.random.default_rng((seed, 2, epoch))))
        for place, numbers in enumerate(order):
            step = epoch * a_round + place
            if start <= step < n_steps:
                yield step, numbers


class _Means:
    """Means of the losses since they were last taken."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self.sums.setdefault(name, []).append(value)

    def take(self) -> dict[str, float]:
        means = {name: sum(values) / len(values) for name, values in self.sums.items()}
        self.sums = {}
        return means


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(plain, metadata=dict(metadata)))
