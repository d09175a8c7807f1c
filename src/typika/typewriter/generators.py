"""Sprites and where they come from: g_θ(z_k), one channel of opacity each (Sec. 3.3.2).

Every bank is a module that returns all sprites when called, and keeps the codes z_k they are made
of, which keys may share.

Legend: `k` sprites, `h w` pixels of a sprite, `d` numbers of a code.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from typika.errors import ConfigError

Generator = Literal["mlp", "unet", "marionette", "pixels"]
Sprites = Float[Tensor, "k h w"]
GROUPS = 8  # of the group normalisation in either perceptron
MARIONETTE_CODE, MARIONETTE_WIDTH = 128, 1024
UNET_WIDTHS = (16, 32, 64, 64)


class SpriteBank(nn.Module):
    """Sprites in [0, 1], out of codes that start uniform in [0, 1]."""

    codes: nn.Parameter

    def __init__(self, n_sprites: int, size: tuple[int, int], code: int | None = None) -> None:
        """size: height, width; code: numbers of a code, as many as pixels if None."""
        super().__init__()
        self.size = size
        self.codes = nn.Parameter(torch.rand(n_sprites, code or size[0] * size[1]))

    def forward(self) -> Sprites:
        """All sprites, without the blank."""
        raise NotImplementedError

    def with_blank(self) -> Sprites:
        """All sprites and, last, the blank one, which nothing is drawn of."""
        sprites: Tensor = self()
        return torch.cat([sprites, sprites.new_zeros(1, *self.size)])

    def project(self) -> None:
        """Bring parameters back to where they are allowed, after a step."""


class PixelSprites(SpriteBank):
    """The codes are the pixels: no generator."""

    def forward(self) -> Sprites:
        """The pixels; at the border of what is allowed they still have gradients."""
        return self.codes.clamp(0, 1).view(-1, *self.size)

    @torch.no_grad()
    def project(self) -> None:
        """Clamp pixels to [0, 1]."""
        self.codes.clamp_(0, 1)


class PerceptronSprites(SpriteBank):
    """A perceptron of each code: two hidden layers in the paper, one in MarioNette."""

    def __init__(
        self, n_sprites: int, size: tuple[int, int], code: int | None, widths: tuple[int, ...]
    ) -> None:
        super().__init__(n_sprites, size, code)
        layers: list[nn.Module] = []
        entering = self.codes.shape[1]
        for width in widths:
            layers += [nn.Linear(entering, width), nn.GroupNorm(GROUPS, width), nn.ReLU()]
            entering = width
        self.layers = nn.Sequential(*layers, nn.Linear(entering, size[0] * size[1]), nn.Sigmoid())

    def forward(self) -> Sprites:
        """Each code through the perceptron."""
        sprites: Tensor = self.layers(self.codes)
        return sprites.view(-1, *self.size)


class UNetSprites(SpriteBank):
    """A U-Net of each code, which is an image of noise (Ye et al. 2022).

    Statistics of its batch normalisation are over the sprites.
    """

    def __init__(self, n_sprites: int, size: tuple[int, int]) -> None:
        super().__init__(n_sprites, size)
        stem, *deeper = UNET_WIDTHS
        self.stem = _convolution(1, stem)
        self.down = nn.ModuleList(
            nn.Sequential(*_convolution(before, after), nn.MaxPool2d(2))
            for before, after in zip(UNET_WIDTHS, deeper, strict=False)
        )
        skips = UNET_WIDTHS[-2::-1]
        entering = (UNET_WIDTHS[-1], *(2 * skip for skip in skips))
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear"), *_convolution(before, skip)
            )
            for before, skip in zip(entering, skips, strict=False)
        )
        self.leave = nn.Conv2d(2 * stem, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self) -> Sprites:
        """All codes through the network, as one batch."""
        hidden = self.stem(self.codes.view(-1, 1, *self.size))
        skips = []
        for level in self.down:
            skips.append(hidden)
            hidden = level(hidden)
        for level in self.up:
            hidden = torch.cat([level(hidden), skips.pop()], dim=1)
        return self.leave(hidden)[:, 0].sigmoid()


def _convolution(entering: int, leaving: int) -> nn.Sequential:
    convolution = nn.Conv2d(entering, leaving, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(leaving), nn.ReLU())


def sprite_bank(kind: Generator, n_sprites: int, size: tuple[int, int]) -> SpriteBank:
    """A bank of `n_sprites` of `size` (height, width). Raises ConfigError where sizes misfit."""
    height, width = size
    if kind == "pixels":
        return PixelSprites(n_sprites, size)
    if kind == "unet":
        if height % 8 or width % 8:
            raise ConfigError(f"sprites of {height} x {width}: the unet halves them three times; "
                              "take sides that are multiples of 8")  # fmt: skip
        return UNetSprites(n_sprites, size)
    if kind == "mlp":
        if height * width % GROUPS:
            raise ConfigError(f"sprites of {height} x {width}: the mlp normalises {GROUPS} groups "
                              "of pixels; take even sides")  # fmt: skip
        return PerceptronSprites(n_sprites, size, None, (height * width,) * 2)
    return PerceptronSprites(n_sprites, size, MARIONETTE_CODE, (MARIONETTE_WIDTH,))
