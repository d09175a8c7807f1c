"""The kinds of typewriter, by the `kind` of their settings: how each is made and taught."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from typika.typewriter import gauge
from typika.typewriter.alphabet import Alphabet
from typika.typewriter.batches import Line
from typika.typewriter.learner import Learner, LearningConfig
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.prepared import choose_stride
from typika.typewriter.published import PublishedTypewriter
from typika.typewriter.published_config import PublishedConfig
from typika.typewriter.published_learner import PublishedLearner
from typika.typewriter.redraws import Redraws
from typika.typewriter.training import Learns

Settings = ModelConfig | PublishedConfig
DEFAULT = "typika"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of typewriter.

    settings: their class. shaped: settings for lines of given widths and texts. build: a model
    from settings, symbols and a seed. teach: what learns. finish: what learning ends with, on the
    lines learned from. loss: what the losses of a step call the error of the drawing.
    ctc_weight: by which they weigh the CTC loss. name: for readers.
    """

    settings: type[Settings]
    shaped: Callable[[Any, Sequence[int], Sequence[str | None], Alphabet], Settings]
    build: Callable[[Any, Alphabet, int], Redraws]
    teach: Callable[[Any, LearningConfig], Learns]
    finish: Callable[[Any, Sequence[Line]], None]
    loss: str
    ctc_weight: Callable[[LearningConfig], float]
    name: str


def kind_of(settings: Settings) -> Kind:
    """The kind of typewriter that settings are of."""
    return KINDS[settings.kind]


def _shaped(
    settings: ModelConfig, widths: Sequence[int], texts: Sequence[str | None], alphabet: Alphabet
) -> ModelConfig:
    """With a stride, chosen where that was left open."""
    if settings.stride:
        return settings
    return replace(settings, stride=choose_stride(widths, texts, alphabet))


def _typewriter(settings: ModelConfig, alphabet: Alphabet, seed: int) -> Typewriter:
    generator = torch.Generator().manual_seed(seed)
    return Typewriter(settings, alphabet.size, space=alphabet.space, generator=generator)


def _published(settings: PublishedConfig, alphabet: Alphabet, seed: int) -> PublishedTypewriter:
    with torch.random.fork_rng(devices=[]):  # its parameters are drawn by torch's own generator
        torch.default_generator.manual_seed(seed)
        return PublishedTypewriter(settings, alphabet.size, space=alphabet.space)


KINDS: Mapping[str, Kind] = {
    "typika": Kind(
        settings=ModelConfig, shaped=_shaped, build=_typewriter, teach=Learner, finish=gauge.fix,
        loss="drawing", ctc_weight=lambda learning: learning.ctc,
        name="typika's",
    ),
    "published": Kind(
        settings=PublishedConfig, shaped=lambda settings, *_: settings, build=_published,
        teach=lambda model, _: PublishedLearner(model), finish=lambda *_: None,
        loss="reconstruction", ctc_weight=lambda _: 1.0,
        name="as published",
    ),
}  # fmt: skip
