"""What tells which class every pixel of an image is of: any function, or a transformers model.

Legend: `H W` pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy import ndarray
from PIL import Image

from typika import config as settings
from typika.collection.class_masks import places_among
from typika.diffusion.checkpoints import locate, require_whole_weights, without_bars
from typika.errors import ModelError
from typika.files import sample_digest

WANTED = ("*.json", "*.safetensors")
PROCESSOR = "preprocessor_config.json"
EXPECTED = "pass a folder with config.json, preprocessor_config.json and model.safetensors"
INSTALL = "pip install 'typika[transformers]'"


@dataclass(frozen=True)
class Segmentation:
    """The class of every pixel of an image.

    names: of the classes, by number. numbers: (H, W) class of each pixel, −1 where there is none;
    H and W need not be the image's. counts: how many instances of each class there are, by
    number, where the segmenter tells them apart; None: connected areas are counted.
    """

    names: tuple[str, ...]
    numbers: ndarray  # anybody may make one: looked over below, with words
    counts: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        shape, kind = np.shape(self.numbers), np.asarray(self.numbers).dtype.kind
        if len(shape) != 2 or not all(shape) or kind not in "iu":
            raise ModelError(
                f"a segmentation of shape {shape}, kind {kind!r}: need whole numbers of classes, "
                "one for each pixel (H, W)"
            )
        low, high = int(self.numbers.min()), int(self.numbers.max())
        if low < -1 or high >= len(self.names):
            raise ModelError(
                f"a segmentation with the numbers {low} to {high} for {len(self.names)} names: "
                "need −1 (no class) to the number of names less 1"
            )
        for number, count in (self.counts or {}).items():
            if not 0 <= number < len(self.names) or count < 0:
                raise ModelError(
                    f"a segmentation with {count} instances of class {number}: need 0 or more, "
                    f"of the classes 0 to {len(self.names) - 1}"
                )


@runtime_checkable
class Segmenter(Protocol):
    """Any function from an upright RGB image to its segmentation."""

    def __call__(self, image: Image.Image) -> Segmentation:
        """The classes of one image."""
        ...


@dataclass(frozen=True)
class TransformersSegmenter:
    """A semantic, instance or panoptic segmentation model of transformers, from safetensors alone.

    Images pass one at a time, so that the answer for one does not depend on others. Classes are
    those of the semantic answer; instances those of the panoptic one, where the model has it.
    """

    folder: Path
    device: str = "auto"

    @classmethod
    def open(cls, name: str, device: str = "auto") -> TransformersSegmenter:
        """Find a model and look whether it can be used, reading no weights.

        name: folder, or name on the hub, which is fetched unless HF_HUB_OFFLINE is set.

        Raises:
            ModelError: there is none, it does not segment, or its weights are not safetensors.
        """
        found = cls(locate(name, WANTED, ()), device)
        found._kind()
        require_whole_weights(found.folder)
        if not (found.folder / PROCESSOR).is_file():
            raise ModelError(f"{found.folder}: has no {PROCESSOR}; {EXPECTED}")
        return found

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that change when the model does."""
        files = [path for path in sorted(self.folder.iterdir())
                 if path.suffix in {".json", ".safetensors"} and path.is_file()]  # fmt: skip
        return settings.digest({path.name: sample_digest(path) for path in files})

    def workers(self, wanted: int) -> int:
        """How many processes: one on a GPU."""
        from typika.diffusion.stable import Placement

        return wanted if Placement.of(self.device, "float32").device.type == "cpu" else 1

    def __call__(self, image: Image.Image) -> Segmentation:
        """The classes of one image, at its own size."""
        import torch

        model, processor, names = self._loaded
        size = [(image.height, image.width)]
        inputs = processor(images=image, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            outputs = model(**inputs)
        (answer,) = processor.post_process_semantic_segmentation(outputs, target_sizes=size)
        return Segmentation(
            tuple(names.values()),
            places_among(answer.cpu().numpy().astype(np.int64), list(names)),
            self._counts(processor, outputs, size, list(names)),
        )

    def _counts(
        self, processor: Any, outputs: Any, size: list[tuple[int, int]], known: Sequence[int]
    ) -> dict[int, int] | None:
        """How many segments of each class the panoptic answer has; None of a semantic model."""
        if not hasattr(processor, "post_process_panoptic_segmentation") or self._kind() == 0:
            return None
        (answer,) = processor.post_process_panoptic_segmentation(
            outputs, target_sizes=size, label_ids_to_fuse=set()
        )
        counts: dict[int, int] = {}
        for segment in answer["segments_info"]:
            if segment["label_id"] in known:
                number = known.index(segment["label_id"])
                counts[number] = counts.get(number, 0) + 1
        return counts

    @cached_property
    def _loaded(self) -> tuple[Any, Any, dict[int, str]]:
        """The network, what prepares its images, and the names of its classes by their number."""
        import torch
        import transformers

        from typika.diffusion.stable import Placement

        kind, config = _kinds()[self._kind()][0], self._config
        preparing: Any = transformers.AutoImageProcessor
        place = Placement.of(self.device, "float32").device
        try:
            with without_bars():
                model = kind.from_pretrained(
                    self.folder, config=config, local_files_only=True, use_safetensors=True,
                    dtype=torch.float32,
                )  # fmt: skip
                processor = preparing.from_pretrained(
                    self.folder, local_files_only=True, **_without_torchvision()
                )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise ModelError(
                f"{self.folder}: cannot load this segmentation model: {error}"
            ) from error
        names = {int(number): str(name) for number, name in sorted(config.id2label.items())}
        return model.eval().requires_grad_(False).to(place), processor, names

    @cached_property
    def _config(self) -> Any:
        try:
            from transformers import AutoConfig
        except ImportError as error:
            raise ModelError(f"segmenter {self.folder}: needs transformers; {INSTALL}") from error
        try:
            return AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{self.folder}: no configuration of a transformers model ({error}); {EXPECTED}"
            ) from error

    def _kind(self) -> int:
        """Place in `_kinds`. Raises ModelError where the model does not segment."""
        config = self._config
        if config.model_type == "oneformer":
            raise ModelError(
                f"{self.folder}: a OneFormer, which takes a text beside the image; choose another "
                "model, or pass a function: typika.trends(run, SEGMENTER)"
            )
        for number, (_, mapping) in enumerate(_kinds()):
            if type(config) in mapping:
                return number
        raise ModelError(
            f"{self.folder}: a {config.model_type}, which does not segment; choose a semantic, "
            "instance or panoptic segmentation model, such as a SegFormer or a Mask2Former"
        )


def _kinds() -> tuple[tuple[Any, Any], ...]:
    """Classes of models, the semantic ones first, and the configurations that each takes."""
    import transformers

    return (
        (transformers.AutoModelForSemanticSegmentation,
         transformers.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING),
        (transformers.AutoModelForUniversalSegmentation,
         transformers.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING),
    )  # fmt: skip


def _without_torchvision() -> dict[str, Any]:
    """Ask for the image processor that needs Pillow alone, so that all machines agree."""
    from transformers import __version__

    return {"use_fast": False} if __version__.startswith("4.") else {"backend": "pil"}
