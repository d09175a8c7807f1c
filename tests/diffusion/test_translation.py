from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from numpy.testing import assert_allclose
from test_stable import denoiser
from torch import nn

from typika.diffusion import translation
from typika.diffusion.denoiser import Denoiser
from typika.diffusion.sampling import (
    ddim_step,
    following,
    invert,
    sampling_levels,
    sampling_timesteps,
)
from typika.diffusion.schedule import alpha_sigma
from typika.diffusion.stable import StableDenoiser
from typika.diffusion.translation import Layers, TranslationConfig, inverted, translate_to
from typika.errors import ConfigError, ModelError

PLAIN = TranslationConfig(steps=10, inversion_steps=10)
BLOCKS = {f"up_blocks.{block}.attentions.{layer}.transformer_blocks.0.attn1.{part}"
          for block, layer in ((1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2))
          for part in ("to_q", "to_k")}  # fmt: skip
FEATURES = {"up_blocks.1.resnets.1.conv2"}


@pytest.fixture(scope="module")
def model(tiny: Path) -> StableDenoiser:
    """A network on which the words tell: an untrained one hardly listens to them."""
    found = denoiser(tiny)
    for name, module in found.unet.named_modules():
        if name.endswith("attn2.to_v"):
            module.weight.data *= 100
    return found


@pytest.fixture
def latent() -> torch.Tensor:
    return torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))


class Gaussian(Denoiser):
    """The exact denoiser of N(0, v) data: ε = σ z / (α² v + σ²)."""

    def __init__(self, variance: float) -> None:
        self.variance = variance
        self.labels, self.channels, self.device = ("one",), 4, torch.device("cpu")

    def predict(self, noisy, log_snr, contexts):  # noqa: ARG002
        alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(log_snr))
        return (sigma * noisy / (alpha**2 * self.variance + sigma**2))[None]


@pytest.mark.parametrize("variance", [0.25, 1.0])
def test_inversion_follows_the_flow_of_gaussian_data(variance: float, latent) -> None:
    found = invert(Gaussian(variance), latent[None], [0], n_steps=25, n_inversion_steps=999)
    alpha, sigma = alpha_sigma(sampling_levels(25))
    grows = ((alpha**2 * variance + sigma**2) / variance).sqrt()
    assert_allclose(found[:, 0], grows[:, None, None, None] * latent, atol=0.02, rtol=0.01)


def there_and_back(model: StableDenoiser, latent: torch.Tensor, steps: int) -> float:
    """Root mean square error of the latent after inversion and sampling, without guidance."""
    levels = sampling_levels(steps)
    noisy = invert(model, latent[None], [0], n_steps=steps, n_inversion_steps=steps)[0]
    for step, level in enumerate(torch.split(levels, 1)):
        (predicted,) = model.predict(noisy, level, torch.tensor([[0]]))
        noisy = ddim_step(noisy, predicted, level, following(levels, step))
    return float((noisy[0] - latent).pow(2).mean().sqrt())


@pytest.mark.slow
def test_sampling_undoes_inversion(tiny: Path, latent: torch.Tensor) -> None:
    model = denoiser(tiny)
    model.unet.conv_out.weight.data *= 0.3  # untrained networks vary more from step to step
    coarse, fine = (there_and_back(model, latent, steps) for steps in (25, 100))
    assert fine < 0.08  # of a latent of unit variance
    assert fine < coarse / 2


def test_an_inversion_passes_through_the_levels_of_its_sampling() -> None:
    for steps in (50, 100, 200, 999):
        assert set(sampling_timesteps(50)) <= set(sampling_timesteps(steps))
    with pytest.raises(ConfigError, match="inversion_steps=70: an inversion must pass through"):
        TranslationConfig(inversion_steps=70)
    with pytest.raises(ConfigError, match="1000 steps: need 1 to 999"):
        TranslationConfig(inversion_steps=1000)


@pytest.mark.parametrize(
    ("inversion_steps", "at_most", "exactly"), [(999, 2049, 2021), (50, 1100, 1090)]
)
def test_forwards_of_ten_targets(inversion_steps: int, at_most: int, exactly: int) -> None:
    config = TranslationConfig(inversion_steps=inversion_steps)
    assert config.forwards(10) == exactly <= at_most


@pytest.mark.parametrize("at_once", [1, 6, 64])
def test_forwards_are_what_is_foretold(model: StableDenoiser, latent, at_once: int) -> None:
    counts: Counter[str] = Counter()

    def count(_module, inputs, _output):
        counts["items"] += len(inputs[0])

    handle = model.unet.register_forward_hook(count)
    try:
        source = inverted(model, latent, 0, PLAIN)
        assert counts["items"] == 10
        translate_to(model, source, [0, 1, 2], PLAIN, at_once)
    finally:
        handle.remove()
    assert counts["items"] == PLAIN.forwards(3) == 10 + 8 + 2 * 3 * 10


def test_what_is_taken_over_is_what_is_said(
    model: StableDenoiser, latent: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every layer that could be: which put out the source's, at which steps."""
    names = {module: name for name, module in model.unet.named_modules()
             if name.endswith(("conv1", "conv2", "to_q", "to_k", "to_v", "to_out.0"))}  # fmt: skip
    taken: list[set[str]] = []
    injecting = translation.injecting

    @contextmanager
    def watched(kept: dict[nn.Module, torch.Tensor]) -> Iterator[None]:
        seen: set[str] = set()

        def look(module, _inputs, output):
            if kept.get(module) is not None and (output == kept[module]).all():
                seen.add(names[module])

        with injecting(kept):  # ours come after, and see what the next layer sees
            handles = [module.register_forward_hook(look) for module in names]
            yield
            for handle in handles:
                handle.remove()
        taken.append(seen)

    monkeypatch.setattr(translation, "injecting", watched)
    source = inverted(model, latent, 0, PLAIN)
    translate_to(model, source, [1], PLAIN, 64)
    assert taken == [FEATURES | BLOCKS] * 5 + [FEATURES] * 3 + [set()] * 2


def test_the_published_schedule(model: StableDenoiser) -> None:
    config = translation.TranslationConfig(**translation.PRESETS["paper"])
    assert (config.steps, config.guidance, config.inversion_steps) == (50, 7.5, 999)
    layers = Layers.of(model.unet)
    counts = [len(layers.at(step, config)) for step in range(50)]
    assert counts == [17] * 25 + [1] * 15 + [0] * 10


def distances(model: StableDenoiser, latent: torch.Tensor, **changes: object) -> list[float]:
    config = TranslationConfig(steps=25, inversion_steps=25, **changes)
    found = translate_to(model, inverted(model, latent, 0, config), [0, 1, 2], config, 64)
    return [float((one - latent).pow(2).mean().sqrt()) for one in found]


def test_translation_to_the_own_label_changes_least(model, latent: torch.Tensor) -> None:
    own, *others = distances(model, latent, guidance=1.0)
    assert own < 0.6 * min(others)


def test_how_many_at_once_and_which_others_change_nothing(model, latent) -> None:
    source = inverted(model, latent, 0, PLAIN)
    together = translate_to(model, source, [1, 2], PLAIN, 64)
    alone = translate_to(model, source, [2], PLAIN, 1)
    assert_allclose(together[1], alone[0], atol=2e-3 * float(alone.abs().max()))


def test_nothing_stays_on_the_network(model: StableDenoiser, latent: torch.Tensor) -> None:
    noisy, level = latent[None], torch.zeros(1)
    before = model.predict(noisy, level, torch.tensor([[1]]))
    translate_to(model, inverted(model, latent, 0, PLAIN), [1], PLAIN, 64)
    assert torch.equal(model.predict(noisy, level, torch.tensor([[1]])), before)
    assert not any(module._forward_hooks for module in model.unet.modules())


def test_xl_is_refused(model: StableDenoiser) -> None:
    three_blocks = SimpleNamespace(up_blocks=list(model.unet.up_blocks)[:3])
    with pytest.raises(ModelError, match="translation is for Stable Diffusion 1 and 2"):
        Layers.of(three_blocks)


@pytest.mark.parametrize("changes", [{"features": 1.5}, {"attention": -0.1}])
def test_impossible_settings_are_refused(changes: dict) -> None:
    with pytest.raises(ConfigError, match="need a share"):
        TranslationConfig(**changes)
