"""The published encoder: a line of W pixels -> W/16 features (Siglidis et al. 2024, App. B.2).

Legend: `b` lines, `t` cells, `d` = 64 channels, `H W` pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

FEATURES = 64  # channels of a feature
STRIDE = 16  # pixels from one feature to the next: 4 of the network, 4 of its pooling
WIDTHS = (16, 32, 64)  # channels of the three stages
SIGMA = 1.0  # of the pooling, in pixels of the feature map


class ResidualEncoder(nn.Module):
    """A ResNet as for CIFAR-10, cut after its third stage, then a fixed Gaussian pooling.

    Features are normalised to mean 0 and variance 1 over channels, without learned affine.
    """

    def __init__(self, height: int, n_blocks: int = 5) -> None:
        """height: of the lines, pixels; a multiple of 4. n_blocks: a stage; 5 make ResNet-32."""
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(WIDTHS[0])
        blocks, entering = [], WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            for block in range(n_blocks):
                blocks.append(_Block(entering, width, 2 if stage and not block else 1))
                entering = width
        self.blocks = nn.Sequential(*blocks)
        self.pooling = GaussianPooling(height // 4)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b t d"]:
        """Features of every cell; `cells(W)` of them."""
        hidden = self.blocks(functional.relu(self.stem_norm(self.stem(image))))
        pooled = self.pooling(hidden).mT
        return functional.layer_norm(pooled, (FEATURES,))

    @staticmethod
    def cells(width: int) -> int:
        """How many features a line of `width` pixels, 13 or more, has: about W/16."""
        return (-(-width // 4) - 4) // 4 + 1


class _Block(nn.Module):
    """Two convolutions beside a shortcut without weights (He et al. 2016, option A)."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.stride, self.widened = stride, leaving - entering
        self.first = nn.Conv2d(entering, leaving, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(leaving)
        self.second = nn.Conv2d(leaving, leaving, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(leaving)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(hidden)))
        inner = self.second_norm(self.second(inner))
        if self.stride > 1:
            hidden = hidden[:, :, :: self.stride, :: self.stride]
        below = self.widened // 2
        hidden = functional.pad(hidden, (0, 0, 0, 0, below, self.widened - below))
        return functional.relu(inner + hidden)


class GaussianPooling(nn.Module):
    """Fixed weighted mean over the whole height and 4 columns, every 4 columns.

    The Gaussian is one feature wide, so that what counts is the middle of the line.
    """

    kernel: Tensor

    def __init__(self, rows: int, columns: int = 4, sigma: float = SIGMA) -> None:
        super().__init__()
        kernel = _gaussian(rows, sigma)[:, None] * _gaussian(columns, sigma)
        self.register_buffer("kernel", kernel / kernel.sum(), persistent=False)

    def forward(self, hidden: Float[Tensor, "b d rows columns"]) -> Float[Tensor, "b d t"]:
        """The mean of every 4 columns; of some that remain nothing is looked at."""
        channels, columns = hidden.shape[1], self.kernel.shape[1]
        kernel = self.kernel.expand(channels, 1, -1, -1)
        return functional.conv2d(hidden, kernel, stride=(1, columns), groups=channels)[:, :, 0]


def _gaussian(count: int, sigma: float) -> Tensor:
    place = torch.arange(count) - (count - 1) / 2
    return (-place.square() / (2 * sigma**2)).exp()
