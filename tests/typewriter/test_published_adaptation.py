"""The published adaptation: the generator learns, and not a bit of anything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from typika.errors import ConfigError, DataError
from typika.typewriter.adaptation import PublishedAdaptation, adapted, generator_of
from typika.typewriter.batches import Line, collate
from typika.typewriter.generators import Generator
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.published import PublishedTypewriter
from typika.typewriter.published_config import PublishedConfig
from typika.typewriter.redraws import Redraws

HEIGHT = 32
SHORT = PublishedAdaptation(steps=3, batch=2, learning_rate=0.01)


def lines(n: int = 3) -> list[Line]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(n):
        pixels = np.full((HEIGHT, 90, 3), 240, np.uint8)
        pixels[8:24, 10 + number : 80 : 9] = rng.integers(0, 60)
        found.append(Line(f"l{number}", pixels, None, (0, 1, 2), (0.94,) * 3, (0.1,) * 3))
    return found


def pixels() -> Typewriter:
    model = Typewriter(ModelConfig(height=HEIGHT, stride=8), 3, space=2,
                       generator=torch.Generator().manual_seed(0))  # fmt: skip
    model.eval()
    return model


def published(generator: Generator) -> PublishedTypewriter:
    torch.manual_seed(0)
    config = PublishedConfig(height=HEIGHT, encoder_blocks=1, generator=generator)
    model = PublishedTypewriter(config, 3)
    # Statistics that are not those of a new network, so that they can be seen to stay.
    model.encoder(torch.rand(2, 3, HEIGHT, 90))
    with torch.no_grad():
        model.selection.blank.zero_()  # or nothing might be drawn
    model.eval()
    return model


MODELS = {
    "typika": pixels,
    **{name: (lambda name=name: published(name)) for name in ("mlp", "unet", "pixels")},
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_tensor_outside_the_generator_is_the_same_to_the_bit(kind: str) -> None:
    reference = MODELS[kind]()
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    made = adapted(reference, lines(), SHORT, seed=0)
    learned, after = set(generator_of(reference)), made.state_dict()
    assert learned
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (name not in learned), name
        assert torch.equal(reference.state_dict()[name], before[name])


@pytest.mark.parametrize("kind", MODELS)
def test_lines_are_drawn_better_and_letters_stand_where_they_stood(kind: str) -> None:
    reference = MODELS[kind]()
    longer = PublishedAdaptation(steps=30, batch=3, learning_rate=0.01)
    made = adapted(reference, lines(), longer, seed=0)
    assert error(made) < error(reference)
    if kind != "pixels":  # there keys are the pixels themselves
        for one, other in zip(places(reference), places(made), strict=True):
            assert torch.equal(one, other)


def error(model: Redraws) -> float:
    batch = collate(lines())
    seen = model.see(batch)
    characters = model.placed(seen, [])
    if isinstance(model, Typewriter):
        from typika.typewriter.learner import paths_of

        characters = model.placed(seen, paths_of(seen.reading, batch.texts))
    with torch.no_grad():
        return float((model.redrawn(seen, characters).image - batch.image).square().mean())


def places(model: Redraws) -> list[Tensor]:
    from typika.typewriter.learner import paths_of

    batch = collate(lines())
    with torch.no_grad():
        seen = model.see(batch)
        found = model.placed(seen, paths_of(seen.reading, batch.texts))
    return [found.cell, found.symbol, found.middle, found.log_scale, found.strength]


def test_the_generator_of_a_published_model_leaves_the_codes_out() -> None:
    named = generator_of(published("mlp"))
    assert named
    assert all(name.startswith("bank.layers.") for name in named)
    assert set(generator_of(pixels())) == {"sprites"}
    assert set(generator_of(published("pixels"))) == {"bank.codes"}


def test_the_same_seed_gives_the_same_sprites() -> None:
    reference = pixels()
    one, other = (adapted(reference, lines(), SHORT, seed=1).letters for _ in range(2))
    assert torch.equal(one, other)
    assert not one[2].any()  # the space
    assert 0 <= float(one.min()) <= float(one.max()) <= 1


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="no line"):
        adapted(pixels(), [], SHORT, seed=0)
    for wrong in ({"steps": -1}, {"batch": 0}, {"learning_rate": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            PublishedAdaptation(**wrong)
