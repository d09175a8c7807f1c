"""An image as it would look under another label: plug-and-play diffusion, kept lean.

Tumanyan et al. 2023: the image is inverted to noise under its own label; sampling that noise under
another label gives another image of the same layout, because what the network makes of the source
at each step (residual features, and queries and keys of self-attention) replaces what it would
make of the translation. The source's noisy latents come from the inversion, and one pass of the
source serves all targets. Legend: `s` steps, `k` targets, `c h w` latent channels and grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from typika.diffusion.denoiser import NULL, Draws, Latent
from typika.diffusion.sampling import (
    ddim_step,
    following,
    guided,
    invert,
    require_passing,
    sampling_levels,
    sampling_timesteps,
)
from typika.diffusion.schedule import TIMESTEPS
from typika.diffusion.stable import StableDenoiser
from typika.errors import ConfigError, ModelError

# As published, of Stable Diffusion 1 and 2: (up block, layer of it).
FEATURE_LAYER = (1, 1)
ATTENTION_LAYERS = ((1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2))


@dataclass(frozen=True, kw_only=True)
class TranslationConfig:
    """How images are translated."""

    steps: int = 50  # of sampling
    inversion_steps: int = 50  # 999 as published, which also passes through those of sampling
    guidance: float = 7.5
    features: float = 0.8  # share of the steps at which residual features are the source's
    attention: float = 0.5  # ... and queries and keys of self-attention

    def __post_init__(self) -> None:
        require_passing(self.steps, self.inversion_steps)
        for name in ("features", "attention"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)}: need a share in [0, 1]")

    @property
    def feature_steps(self) -> int:
        """First steps at which residual features are the source's."""
        return int(self.steps * self.features)

    @property
    def attention_steps(self) -> int:
        """First steps at which queries and keys are the source's."""
        return int(self.steps * self.attention)

    @property
    def source_steps(self) -> int:
        """First steps at which the source passes through the network at all."""
        return max(self.feature_steps, self.attention_steps)

    def forwards(self, n_targets: int) -> int:
        """Passes through the network that one image takes: inversion, source and targets."""
        timesteps = sampling_timesteps(self.inversion_steps)
        inversion = int((timesteps <= sampling_timesteps(self.steps)[0]).sum())
        return inversion + self.source_steps + 2 * n_targets * self.steps


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {"inversion_steps": TIMESTEPS - 1},
}


@dataclass(frozen=True)
class Layers:
    """The layers whose outputs a translation takes over from its source."""

    features: tuple[nn.Module, ...]
    attention: tuple[nn.Module, ...]

    @classmethod
    def of(cls, unet: Any) -> Layers:
        """Those of the paper. Raises ModelError where the network has not got them."""
        blocks = getattr(unet, "_orig_mod", unet).up_blocks
        block, layer = FEATURE_LAYER
        try:
            # What the block computes, before its input is added to it.
            features = (blocks[block].resnets[layer].conv2,)
            looks = [blocks[block].attentions[layer].transformer_blocks[0].attn1
                     for block, layer in ATTENTION_LAYERS]  # fmt: skip
        except (IndexError, AttributeError) as error:
            raise ModelError(
                "this network lacks layers that plug-and-play diffusion takes over: translation "
                "is for Stable Diffusion 1 and 2, not for XL; mine with one of those"
            ) from error
        return cls(features, tuple(part for look in looks for part in (look.to_q, look.to_k)))

    def at(self, step: int, config: TranslationConfig) -> tuple[nn.Module, ...]:
        """The layers that are taken over at a step."""
        features = self.features if step < config.feature_steps else ()
        return features + (self.attention if step < config.attention_steps else ())


@contextmanager
def recording(layers: Sequence[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Keep what each layer puts out inside the block."""
    kept: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        kept[layer] = output

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(keep).remove)
        yield kept


@contextmanager
def injecting(kept: Mapping[nn.Module, Tensor]) -> Iterator[None]:
    """Put what was kept of one item in the place of what layers put out for any number of them."""

    def replace(layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return kept[layer].expand_as(output)

    with ExitStack() as stack:
        for layer in kept:
            stack.callback(layer.register_forward_hook(replace).remove)
        yield


def inverted(
    denoiser: StableDenoiser, latent: Latent, label: int, config: TranslationConfig
) -> Float[Tensor, "s c h w"]:
    """The source's noisy latents at the levels of sampling at which it is needed, noisiest first.

    float16 on the CPU, as they are cached, so that a cached inversion gives the same translation.
    """
    found = invert(
        denoiser, latent[None].to(denoiser.device), [label], n_steps=config.steps,
        n_inversion_steps=config.inversion_steps,
    )  # fmt: skip
    return found[: max(config.source_steps, 1), 0].half().cpu()


@torch.inference_mode()
def translate_to(
    denoiser: StableDenoiser,
    source: Float[Tensor, "s c h w"],
    targets: Sequence[int],
    config: TranslationConfig,
    at_once: int,
) -> Draws:
    """The latent of the image under each target label, (k, c, h, w) on the denoiser's device.

    source: as `inverted` gives it. targets: numbers of labels. at_once: passes of one call to the
    network; it changes nothing but rounding.

    Raises:
        ModelError: the network is not Stable Diffusion 1 or 2.
    """
    layers = Layers.of(denoiser.unet)
    levels = sampling_levels(config.steps).to(denoiser.device)
    source = source.to(denoiser.device).float()
    latents = source[0].expand(len(targets), *source.shape[1:])
    both = torch.tensor([[NULL, target] for target in targets])
    together = max(1, at_once // 2)  # each target passes under the null and under its label
    groups = [slice(first, first + together) for first in range(0, len(targets), together)]
    for step, level in enumerate(torch.split(levels, 1)):
        taken_over = layers.at(step, config)
        with recording(taken_over) as kept:
            if taken_over:
                denoiser.predict(source[step][None], level, torch.tensor([[NULL]]))
        with injecting(kept):
            predicted = torch.cat([
                guided(denoiser, latents[some], level, both[some], config.guidance)
                for some in groups
            ])  # fmt: skip
        latents = ddim_step(latents, predicted, level, following(levels, step))
    return latents
