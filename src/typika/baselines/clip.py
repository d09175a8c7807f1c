"""CLIP mining: a patch is typical of its label if CLIP finds it like the label's prompt.

The tokens of the last layer go through the last norm and the projection that CLIP trained for the
token of the whole image; their cosine with the text is the map (Zhou et al. 2022 have better ways
to it; this is the plain one that the paper's authors compared with). `sim` is the cosine with the
label's prompt, `diff` that less the cosine with the prompt of no label.

The whole image is seen, uncut and with its own proportions: at about as many tokens as the model
was trained with, its position embedding interpolated to their grid.
Legend: `h w` grid of tokens, `d` CLIP's joint space, `c` labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from typika import config as settings
from typika.baselines.methods import BaselineMap, Mapper, Material
from typika.baselines.names import Wording
from typika.collection.prompts import PromptTemplate
from typika.diffusion.checkpoints import locate
from typika.diffusion.encoders import grid_shape, resize
from typika.diffusion.models import save_tensors
from typika.diffusion.stable import Placement
from typika.errors import ModelError
from typika.files import file_digest, sample_digest
from typika.parallel import one_thread

Score = Literal["sim", "diff"]

WANTED = ("config.json", "preprocessor_config.json", "model*.safetensors*", "tokenizer*",
          "vocab.json", "merges.txt", "special_tokens_map.json")  # fmt: skip
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the images that CLIP was trained on
DEVIATION = (0.26862954, 0.26130258, 0.27577711)

Tokens = Float[Tensor, "m d"]


@dataclass(frozen=True)
class ClipCheckpoint:
    """A CLIP on this machine, in transformers layout."""

    folder: Path

    @classmethod
    def open(cls, name: str) -> ClipCheckpoint:
        """Find a checkpoint by folder or name on the hub, reading no weights.

        Raises ModelError where there is none, or it is no CLIP with safetensors.
        """
        found = cls(locate(name, WANTED, ()))
        config = found.folder / "config.json"
        if not config.is_file():
            raise ModelError(f"{found.folder}: no config.json; name a CLIP in transformers layout")
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
        if kind != "clip":
            raise ModelError(f"{found.folder}: a model of type {kind!r}; CLIP mining needs 'clip'")
        if not found.weights:
            raise ModelError(
                f"{found.folder}: no model*.safetensors; weights as a pickle are not read, since "
                "they can run code; convert them with transformers' save_pretrained"
            )
        return found

    @property
    def weights(self) -> list[Path]:
        """Its weight files."""
        return sorted(self.folder.glob("model*.safetensors"))

    @cached_property
    def digest(self) -> str:
        """Digest of configuration and weights; of large files the ends."""
        parts = [file_digest(self.folder / "config.json"), *map(sample_digest, self.weights)]
        return settings.digest(parts)

    def load(self) -> Any:
        """The model, in float32 on the CPU."""
        try:
            from transformers import CLIPModel
        except ImportError as error:
            raise ModelError(
                "CLIP mining needs transformers; pip install 'typika[transformers]'"
            ) from error
        try:
            model: Any = CLIPModel.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"{self.folder}: cannot be loaded as CLIP: {error}") from error
        return model.float().eval().requires_grad_(False)

    def embed(self, texts: list[str]) -> Float[Tensor, "t d"]:
        """Texts in the joint space, of length one."""
        from transformers import AutoTokenizer

        model = self.load()
        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        found = []
        for text in texts:  # one by one: hundreds of labels need no more memory than one
            given = tokenizer([text], truncation=True, return_tensors="pt")
            with torch.inference_mode():
                output = model.get_text_features(
                    input_ids=given["input_ids"], attention_mask=given["attention_mask"]
                )
            # Transformers 5 gives the whole output, earlier versions the projected text alone.
            found.append(getattr(output, "pooler_output", output)[0])
        return functional.normalize(torch.stack(found), dim=1)


class ClipImages:
    """The image side of a CLIP."""

    def __init__(self, checkpoint: ClipCheckpoint, device: torch.device) -> None:
        model = checkpoint.load()
        del model.text_model  # a third of the memory
        self.model, self.device = model.to(device), device
        vision = model.config.vision_config
        self.side, self.stride = int(vision.image_size), int(vision.patch_size)
        place = checkpoint.folder / "preprocessor_config.json"
        values = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
        self.mean = torch.tensor(values.get("image_mean", MEAN))
        self.deviation = torch.tensor(values.get("image_std", DEVIATION))

    def tokens(self, image: Image.Image) -> tuple[Tokens, tuple[int, int]]:
        """All tokens of an image in the joint space, row by row, of length one; and their grid."""
        grid = grid_shape(image.width, image.height, self.side, self.stride)
        pixels = torch.from_numpy(resize(image, *grid, self.stride) / 255)
        x = ((pixels - self.mean) / self.deviation).permute(2, 0, 1)[None]
        return self.project(self.states(x)[:, 1:])[0].cpu(), grid

    @torch.inference_mode()
    def states(self, pixels: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "1 t e"]:
        """The last layer: the token of the whole image, then those of its parts."""
        output = self.model.vision_model(
            pixel_values=pixels.to(self.device, torch.float32), interpolate_pos_encoding=True
        )
        return output.last_hidden_state

    @torch.inference_mode()
    def project(self, states: Float[Tensor, "1 t e"]) -> Float[Tensor, "1 t d"]:
        """Into the joint space, as CLIP does with the token of the whole image."""
        normed = self.model.vision_model.post_layernorm(states)
        return functional.normalize(self.model.visual_projection(normed), dim=2)


@dataclass(frozen=True)
class Clip:
    """The baseline: likeness to the prompt."""

    score: Score
    checkpoint: str
    prompts: PromptTemplate
    device: str = "auto"

    def causes(self) -> Mapping[str, Any]:
        """See `MapBaseline`."""
        texts = {"label": self.prompts.label, "null": self.prompts.null,
                 "spaces": self.prompts.spaces}  # fmt: skip
        return {"clip": ClipCheckpoint.open(self.checkpoint).digest, "prompts": texts}

    def processes(self, wanted: int) -> int:
        """As many as wanted on the CPU, one on a GPU."""
        return wanted if self._place.type == "cpu" else 1

    @property
    def _place(self) -> torch.device:
        return Placement.of(self.device, "float32").device

    def path(self, material: Material) -> Path:
        """Where the prompts lie, embedded."""
        return material.folder / "prompts.safetensors"

    def fit(self, material: Material) -> list[dict[str, Any]]:
        """Embed the prompt of every label, and that of none. Nothing is trained."""
        texts = [self.prompts.text(label) for label in material.labels]
        with one_thread():
            checkpoint = ClipCheckpoint.open(self.checkpoint)
            embedded = checkpoint.embed([*texts, self.prompts.null_text])
        save_tensors({"labels": embedded[:-1], "null": embedded[-1]}, self.path(material))
        return []

    def open(self, material: Material) -> Mapper:
        """Hold the tokens of an image against the prompts."""
        path = self.path(material)
        if not path.exists():
            raise ModelError(f"{path}: not there; run `typika train` on this run first")
        texts = load_file(path)
        images = ClipImages(ClipCheckpoint.open(self.checkpoint), self._place)
        collection = material.collection
        label = collection.label_index

        def draw(row: int) -> BaselineMap:
            tokens, grid = images.tokens(collection.load(row, draft=2 * images.side))
            cosine = tokens @ texts["labels"].T
            own = cosine[:, int(label[row])]
            if self.score == "diff":
                own = own - tokens @ texts["null"]
            values = own.reshape(grid).numpy()
            return BaselineMap((values,), int(cosine.mean(dim=0).argmax()))

        return draw

    @property
    def wording(self) -> Wording:
        """See `MapBaseline`."""
        less = {"sim": "", "diff": ", less its likeness to the prompt of no label"}[self.score]
        return Wording(
            name=f"CLIP {self.score}",
            seen=f"CLIP ({self.checkpoint}), not by a diffusion model of the collection",
            chosen="CLIP finds most like the prompt of their label",
            ranked=f"by the cosine of CLIP's tokens with the label's prompt{less}",
            reading="CLIP, a model of images and texts that knows nothing of this collection, was "
            "given the prompt of the label. Where this page says typicality, it means how much "
            f"CLIP finds a part of the picture like that text (a cosine){less}.",
            model=f"baseline: CLIP {self.checkpoint}, {self.score}",
            loss="none: the pretrained model as it is",
        )
