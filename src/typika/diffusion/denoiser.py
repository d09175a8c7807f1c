"""The one interface that every diffusion model answers to.

`mining/` scores images through it and does not know which model it runs on. A context is the
number of a label, or `NULL` for no label. Legend: `c h w` latent channels and grid, `n` noise
draws, `k` contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from PIL import Image
from torch import Tensor

NULL = -1

Latent = Float[Tensor, "c h w"]
Predictions = Float[Tensor, "k n c h w"]
Draws = Float[Tensor, "n c h w"]
Levels = Float[Tensor, " n"]


@runtime_checkable
class Denoiser(Protocol):
    """A conditional diffusion model over latents of images.

    labels: names of the contexts 0 .. C-1.
    channels: size of a latent cell.
    log_snr_range: levels of λ at which typicality is estimated (and, if trained here, trained).
    """

    labels: tuple[str, ...]
    channels: int
    log_snr_range: tuple[float, float]

    def encode(self, image: Image.Image) -> Latent:
        """The latent of an upright RGB image."""
        ...

    def predict(self, noisy: Draws, log_snr: Levels, contexts: Sequence[int]) -> Predictions:
        """The prediction under each context, for the same noisy latents."""
        ...

    def target(self, latent: Latent, noise: Draws, log_snr: Levels) -> Draws:
        """What a perfect prediction would be."""
        ...

    def weight(self, log_snr: Levels) -> Levels:
        """Factor on the squared error of each level in the typicality."""
        ...

    def features(self, latent: Latent) -> Latent:
        """Features of the same image for comparing patches, on their own grid."""
        ...
