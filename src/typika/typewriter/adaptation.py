"""A typewriter fitted to some of its lines as published: only what makes the sprites learns.

The reference stays in evaluation: what it reads, where and in which colours it draws do not
change, and neither does any tensor outside the generator g_θ. So the sprites of all copies stay
aligned (Sec. 3.5; Vlachou-Efstathiou et al. 2024). Where sprites are pixels, they are what learns.

Legend: `b` lines, `K` symbols, `L` sprites of a symbol, `h w` pixels of a sprite, `H W` of a line.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from typika.devices import device_of
from typika.errors import ConfigError, DataError
from typika.typewriter.batches import Line, batches, collate
from typika.typewriter.learner import SPRITES, paths_of
from typika.typewriter.model import Typewriter
from typika.typewriter.published import PublishedTypewriter
from typika.typewriter.published_losses import reconstruction_loss
from typika.typewriter.redraws import Characters, Redraws, Seen


@dataclass(frozen=True, kw_only=True)
class PublishedAdaptation:
    """How a generator is fitted; as published, but for batches, which were of 16 lines.

    steps: of Adam. learning_rate: of the generator's weights; pixels move by as much a step.
    batch: lines of a step, at most.
    """

    steps: int = 2500
    learning_rate: float = 1e-4
    batch: int = 16

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 1 or self.learning_rate <= 0:
            raise ConfigError(
                f"steps={self.steps}, learning_rate={self.learning_rate}, batch={self.batch}: "
                "need 0 steps or more, a rate above 0 and a line at least"
            )


def generator_of(model: Redraws) -> dict[str, nn.Parameter]:
    """The parameters that make sprites out of their codes, by name; pixels where there are none.

    Raises:
        ConfigError: a kind of typewriter that is not known here.
    """
    if isinstance(model, Typewriter):
        return {name: parameter for name, parameter in model.named_parameters()
                if name in SPRITES}  # fmt: skip
    if isinstance(model, PublishedTypewriter):
        own = {name: parameter for name, parameter in model.named_parameters()
               if name.startswith("bank.")}  # fmt: skip
        made = {name: parameter for name, parameter in own.items() if name != "bank.codes"}
        return made or own
    raise ConfigError(
        f"a typewriter of the kind {type(model).__name__}: its sprites are not known"
    )


def adapted(
    model: Redraws,
    lines: Sequence[Line],
    config: PublishedAdaptation,
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Redraws:
    """A copy of a typewriter whose generator is fitted to some lines; `model` stays as it is.

    Adam on the squared error of the lines' colours over the pixels that count, without the
    connectionist loss. Characters are those of the transcription where it is known. Lines come in
    an order drawn from the seed.

    Raises:
        DataError: there is no line.
    """
    if not lines:
        raise DataError("no line to adapt a typewriter to")
    made = copy.deepcopy(model)
    made.eval()
    learned = generator_of(made)
    for name, parameter in made.named_parameters():  # type: ignore[attr-defined]
        parameter.requires_grad_(name in learned)
    seen = _seen(made, lines)
    optimiser = torch.optim.Adam(learned.values(), lr=config.learning_rate)
    for numbers in _steps(lines, config, seed):
        optimiser.zero_grad(set_to_none=True)
        loss = torch.stack([_error(made, *seen[number]) for number in numbers]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        _allowed(made)
        advance(1)
    for parameter in learned.values():
        parameter.requires_grad_(True)
    return made


@torch.no_grad()
def _seen(model: Redraws, lines: Sequence[Line]) -> list[tuple[Seen, Characters]]:
    """Each line as the model sees it, and its characters: neither changes while it is fitted."""
    found = []
    for line in lines:
        seen = model.see(collate([line]).to(device_of(model)))
        found.append((seen, model.placed(seen, paths_of(seen.reading, seen.batch.texts))))
    return found


def _error(model: Redraws, seen: Seen, characters: Characters) -> Float[Tensor, ""]:
    return reconstruction_loss(_drawn(model, seen, characters), seen.batch)


def _drawn(model: Redraws, seen: Seen, characters: Characters) -> Float[Tensor, "b 3 H W"]:
    if isinstance(model, PublishedTypewriter):
        return model.composed(seen)
    return model.redrawn(seen, characters).image


@torch.no_grad()
def _allowed(model: Redraws) -> None:
    """Sprites that are pixels stay in [0, 1], and a space without ink."""
    if isinstance(model, PublishedTypewriter):
        model.bank.project()
    elif isinstance(model, Typewriter):
        model.sprites.clamp_(0, 1)
        if model.space is not None:
            model.sprites[model.space] = 0


def _steps(lines: Sequence[Line], config: PublishedAdaptation, seed: int) -> Iterator[list[int]]:
    """Numbers of the lines of each step."""
    size, epoch, done = min(config.batch, len(lines)), 0, 0
    while done < config.steps:
        for numbers in batches(lines, size, np.random.default_rng((seed, 3, epoch))):
            if done == config.steps:
                return
            yield numbers
            done += 1
        epoch += 1
