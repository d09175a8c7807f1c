"""Parts of the published model that read one feature at a time: selection, placing, background.

Legend: `b` lines, `t` cells, `d` = 64 channels, `k` sprites, `s` sprites and a blank, `H W` line
pixels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from typika.typewriter.compose import Placement
from typika.typewriter.encoders import FEATURES
from typika.typewriter.published_config import STRIDE, PublishedConfig

Features = Float[Tensor, "b t d"]
Probabilities = Float[Tensor, "b t s"]  # of each sprite and, last, of the blank
HIDDEN = 128


def perceptron(n_answers: int) -> nn.Sequential:
    """64 -> 128 -> 128 -> answers, which are 0 at the start."""
    last = nn.Linear(HIDDEN, n_answers)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), last
    )


def normalised(vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Mean 0 and variance 1 of each vector."""
    return functional.layer_norm(vectors, vectors.shape[-1:])


class Selection(nn.Module):
    """p(f) = softmax(z^p · π(f)ᵀ / √D): which sprite a cell draws, if any (Eq. 3.2)."""

    def __init__(self, config: PublishedConfig, n_sprites: int, code: int) -> None:
        """code: numbers of a sprite's code."""
        super().__init__()
        self.config = config
        self.query = nn.Linear(FEATURES, FEATURES)
        if config.key_network:
            self.key = nn.Linear(code, FEATURES)
            if not config.shared_latents:
                self.codes = nn.Parameter(torch.rand(n_sprites, code))
        else:
            self.keys = nn.Parameter(torch.randn(n_sprites, FEATURES))
        if config.presence == "separate":
            self.presence = perceptron(1)
        else:
            self.blank = nn.Parameter(torch.randn(FEATURES))

    def forward(self, features: Features, codes: Float[Tensor, "k code"]) -> Probabilities:
        """Logarithms of the probabilities."""
        query, keys = normalised(self.query(features)), self._keys(codes)
        if self.config.presence == "blank":
            blank = normalised(self.blank) if self.config.normalised_blank else self.blank
            keys = torch.cat([keys, blank[None]])
        choice = (query @ keys.T / math.sqrt(FEATURES)).log_softmax(dim=2)
        if self.config.presence == "blank":
            return choice
        drawn = self.presence(features)
        drawing, silence = functional.logsigmoid(drawn), functional.logsigmoid(-drawn)
        return torch.cat([drawing + choice, silence], dim=2)

    def _keys(self, codes: Float[Tensor, "k code"]) -> Float[Tensor, "k d"]:
        if not self.config.key_network:
            return self.keys
        return normalised(self.key(codes if self.config.shared_latents else self.codes))


class Placing(nn.Module):
    """t_θ of a feature: where a sprite is drawn, how large, in which colour (App. B.3)."""

    def __init__(self, config: PublishedConfig, n_sprites: int) -> None:
        super().__init__()
        self.config = config
        self.position = perceptron(3)
        if config.colour == "cell":
            self.colour = perceptron(3)
        else:
            self.sprite_colours = nn.Parameter(torch.zeros(n_sprites, 3))

    def places(self, features: Features, free: bool = True) -> Placement:
        """A sprite is drawn e^-s times its size, its centre at −t e^-s H/4 of its window's.

        free: if not, sprites are where they are at the start.
        """
        answer = self.position(features)
        if not free:
            answer = torch.zeros_like(answer)
        log_scale, shift = answer[..., 0], answer[..., 1:]
        shift = shift.tanh() if self.config.shift_bound == "tanh" else shift.clamp(-1, 1)
        if self.config.scale == "none":
            log_scale = torch.zeros_like(log_scale)
        scale = (-log_scale).exp()
        reach = -scale[..., None] * shift * self.config.height / 4
        return Placement(
            scale_x=scale, scale_y=scale, shift_x=reach[..., 0], shift_y=reach[..., 1]
        )

    def colours(
        self, features: Features, probabilities: Probabilities, free: bool = True
    ) -> Float[Tensor, "b t 3"]:
        """σ(½ (1 + β)), or the mean of what colours the sprites have.

        free: if not, the colour is what it is at the start.
        """
        sprites = probabilities[..., :-1]
        if self.config.colour == "sprite":
            own = self.sprite_colours if free else torch.zeros_like(self.sprite_colours)
            shares = sprites / sprites.sum(dim=2, keepdim=True).clamp_min(1e-8)
            return shares @ own.sigmoid()
        answer = self.colour(features)
        logit = (1 + (answer if free else torch.zeros_like(answer))) / 2
        if self.config.colour_sees_blank:
            logit = logit * (1 - probabilities[..., -1:])
        return logit.sigmoid()


class Background(nn.Module):
    """b_θ: one colour a cell, interpolated along the line; it does not vary in height."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = perceptron(3)

    def forward(self, features: Features, size: tuple[int, int]) -> Float[Tensor, "b 3 H W"]:
        """The background of lines of `size` (height, width), in [0, 1]."""
        colours = self.colour(features).sigmoid().mT
        columns = functional.interpolate(
            colours, scale_factor=STRIDE, mode="linear", align_corners=False
        )
        height, width = size
        columns = functional.pad(columns, (0, max(width - columns.shape[2], 0)), mode="replicate")
        return columns[:, :, None, :width].expand(-1, -1, height, -1)
