"""Characters cut out of the lines they stand on, each in the frame of its sprite.

Drawing scales a sprite and shifts it to its place; here the same place and scale are inverted, so
that all instances of a sprite lie over it and over each other, and can be compared by pixel.

Legend: `n` characters of one line, `c` channels, `h w` pixels of a sprite, `H W` of the line.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from typika.typewriter import drawing
from typika.typewriter.redraws import Characters, Redraws

EDGE = 0.3  # of a sprite's darkest ink: fainter is a ghost of neighbours
LEAST_INK = 0.1  # of the darkest pixel of a sprite that has any
NEAR = 9  # pixels, odd: what lies within half of these of a sprite's ink is compared
LEAST_SHOWN = 0.15  # ink of a drawing, in [0, 1], from which a pixel is said to be a character's


def cut_out(
    image: Float[Tensor, "c H W"],
    middle: Float[Tensor, "n 2"],
    log_scale: Float[Tensor, "n 2"],
    size: tuple[int, int],
) -> Float[Tensor, "n c h w"]:
    """What each character's sprite lies over, resampled to the sprite's pixels (bilinear).

    middle, log_scale: where and how large the sprite is drawn, as in `Characters`. size: h, w.
    Outside of the line there is 0.
    """
    return _sampled(image.expand(len(middle), *image.shape), middle, log_scale, size)


@torch.no_grad()
def own_ink(
    model: Redraws,
    characters: Characters,
    ink: Float[Tensor, "H W"],
    mask: Float[Tensor, "H W"],
) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n h w"]]:
    """The ink that is each character's own, and where it is known, in the frame of its sprite.

    characters: all of one line. ink: of the line, in [0, 1]. Own is what is left of it, in [0, 1],
    when the union of what the model draws of all other characters is taken off. mask: 1 where the
    line is; known is the same in the frame, 0 beyond the line.
    """
    size = (model.letters.shape[2], model.letters.shape[3])
    known = cut_out(mask[None], characters.middle, characters.log_scale, size)[:, 0]
    if not len(characters.line):
        return known, known
    drawn = drawing.draw(
        model.drawn(characters) * characters.strength[:, None, None], characters.middle,
        characters.log_scale, characters.line, height=model.height,
        reach=float(characters.log_scale.exp().max()),
    )  # fmt: skip
    width, columns = ink.shape[1], drawn.ink.shape[1]
    # As a union of ink is a product of what it leaves clear, one factor can be taken out again.
    clear = torch.log1p(-drawn.ink.clamp(0, 1 - 1e-4))
    total = drawing.added(drawing.Windows(clear, drawn.left, drawn.line), 1, width)[0]
    left = drawn.left.clamp(-columns, width)
    column = (left + columns)[:, None] + torch.arange(columns)
    others = 1 - (_padded(total, columns)[column] - clear).exp()
    own = (_padded(ink, columns)[column] - others).clamp(0, 1)
    middle = torch.stack([characters.middle[:, 0] - left, characters.middle[:, 1]], dim=1)
    return _sampled(own.transpose(1, 2)[:, None], middle, characters.log_scale, size)[:, 0], known


def _padded(image: Float[Tensor, "H W"], columns: int) -> Float[Tensor, "W2 H"]:
    """Columns first, with empty ones on either side."""
    return functional.pad(image, (columns, columns)).T


def _sampled(
    images: Float[Tensor, "n c H W"],
    middle: Float[Tensor, "n 2"],
    log_scale: Float[Tensor, "n 2"],
    size: tuple[int, int],
) -> Float[Tensor, "n c h w"]:
    """Of each image what lies under a sprite drawn at a place and scale."""
    (height, width), n = size, len(middle)
    scale = log_scale.exp()
    across = torch.arange(width) + 0.5 - width / 2
    down = torch.arange(height) + 0.5 - height / 2
    x = middle[:, :1] + across * scale[:, :1]
    y = images.shape[2] / 2 + middle[:, 1:] + down * scale[:, 1:]
    # Sampling coordinates run from −1 to 1 over the line's pixels, edge to edge.
    grid = torch.stack(
        [
            (x * 2 / images.shape[3] - 1)[:, None, :].expand(n, height, width),
            (y * 2 / images.shape[2] - 1)[:, :, None].expand(n, height, width),
        ],
        dim=3,
    )
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def from_mean(
    instances: Float[ndarray, "n h w"], sprite: Float[ndarray, "h w"]
) -> Float[ndarray, " n"]:
    """Of each instance the mean squared distance from the mean of all; the medoid has the least.

    instances: ink in [0, 1]. Only pixels near the sprite's own ink count, so that neighbours on
    the line do not; all count where the sprite has none.
    """
    if not len(instances):
        return np.zeros(0)
    weight = nearness(torch.from_numpy(np.ascontiguousarray(sprite))[None])[0].numpy()
    weight = weight.astype(float)
    away = (instances.astype(float) - instances.mean(axis=0, dtype=float)) ** 2
    return (away * weight).sum(axis=(1, 2)) / weight.sum()


def nearness(sprites: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """How near each pixel is to a sprite's ink, in [0, 1]; 1 everywhere where it has none.

    The ink of over `EDGE` of its darkest, spread by half of `NEAR` pixels.
    """
    darkest = sprites.amax((1, 2), keepdim=True)
    ink = (sprites / darkest.clamp_min(1e-6) - EDGE).clamp_min(0) / (1 - EDGE)
    spread = functional.max_pool2d(ink[:, None], NEAR, 1, NEAR // 2)
    near = functional.avg_pool2d(spread, 3, 1, 1)[:, 0]
    return torch.where(darkest > LEAST_INK, near, 1.0)


@torch.no_grad()
def owners(model: Redraws, characters: Characters, width: int) -> Int[ndarray, "H W"]:
    """Which character of one line draws most of each pixel: its place in `characters`, or −1."""
    ink = model.drawn(characters) * characters.strength[:, None, None]
    reach = float(characters.log_scale.exp().max()) if len(ink) else 1.0
    windows = drawing.draw(
        ink, characters.middle, characters.log_scale, characters.line,
        height=model.height, reach=reach,
    )  # fmt: skip
    most = np.full((width, model.height), LEAST_SHOWN)
    owner = np.full(most.shape, -1)
    for number, (window, left) in enumerate(
        zip(windows.ink.numpy(), windows.left.tolist(), strict=True)
    ):
        start, end = max(left, 0), min(left + len(window), width)
        if start >= end or int(characters.symbol[number]) == model.space:
            continue
        own = window[start - left : end - left]
        more = own > most[start:end]
        most[start:end][more] = own[more]
        owner[start:end][more] = number
    return owner.T
