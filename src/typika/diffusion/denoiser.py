"""The one interface that every diffusion model answers to.

`mining/` scores images through it and does not know which model it runs on. A context is the
number of a label, or `NULL` for no label. Legend: `c h w` latent channels and grid, `n` noisy
latents, `k` contexts.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

NULL = -1

Latent = Float[Tensor, "c h w"]
Predictions = Float[Tensor, "k n c h w"]
Features = Float[Tensor, "d _h _w"]
Draws = Float[Tensor, "n c h w"]
Levels = Float[Tensor, " n"]
Contexts = Int[Tensor, "n k"]


@runtime_checkable
class Denoiser(Protocol):
    """A conditional diffusion model over latents of images.

    labels: names of the contexts 0 .. C-1.
    channels: size of a latent cell.
    device: where latents and noise must be.
    """

    labels: tuple[str, ...]
    channels: int
    device: torch.device

    def encode(self, image: Image.Image) -> Latent:
        """The latent of an upright RGB image."""
        ...

    def log_snr(self, quantile: Levels) -> Levels:
        """λ of each quantile u in [0, 1) of the levels that typicality is the expectation over."""
        ...

    def predict(self, noisy: Draws, log_snr: Levels, contexts: Contexts) -> Predictions:
        """The prediction for each noisy latent under each of its k contexts."""
        ...

    def target(self, latent: Draws, noise: Draws, log_snr: Levels) -> Draws:
        """What a perfect prediction would be."""
        ...

    def weight(self, log_snr: Levels) -> Levels:
        """Factor on the squared error of each level in the typicality."""
        ...

    def features(self, latent: Latent, context: int) -> Features:
        """Features of the image, known to be of a label, for comparing patches: on their grid."""
        ...
