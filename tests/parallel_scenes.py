"""Rendered scenes whose elements change form with the label, and a translator that knows them.

Every scene has one element of each kind at a place of its own, on the same kind of wall under all
labels; what a kind looks like is the label's. A translation is the scene rendered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from typika.collection.images import ImageCollection
from typika.evaluation import overlap_share

LABELS = ("east", "north", "south", "west")
KINDS = ("window", "lamp", "door")
WIDTH, HEIGHT, SIDE = 256, 192, 44  # pixels of a scene, and of an element
SHOWN = 0.5  # of an element that a patch must hold to show it
# A hue for each label and kind, so that no colour stands for a kind, nor for a label.
COLOURS = {
    ("east", "window"): (214, 60, 50), ("east", "lamp"): (40, 110, 220),
    ("east", "door"): (60, 170, 70), ("north", "window"): (60, 170, 70),
    ("north", "lamp"): (230, 170, 30), ("north", "door"): (214, 60, 50),
    ("south", "window"): (40, 110, 220), ("south", "lamp"): (150, 60, 180),
    ("south", "door"): (230, 170, 30), ("west", "window"): (230, 170, 30),
    ("west", "lamp"): (214, 60, 50), ("west", "door"): (150, 60, 180),
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """What stands where: the same under every label."""

    seed: tuple[int, int]  # label of the original, number

    @property
    def file_name(self) -> str:
        return f"{LABELS[self.seed[0]]}/{self.seed[1]:03d}.png"

    @classmethod
    def of(cls, file_name: str) -> Scene:
        label, name = file_name.split("/")
        return cls((LABELS.index(label), int(name.removesuffix(".png"))))

    def boxes(self) -> dict[str, tuple[int, int, int, int]]:
        """Left, top, right and bottom of each kind."""
        rng = np.random.default_rng([*self.seed, 1])
        columns = rng.permutation(len(KINDS))
        found = {}
        for kind, column in zip(KINDS, columns, strict=True):
            left = 12 + int(column) * 80 + int(rng.integers(0, 80 - SIDE - 12))
            top = int(rng.integers(10, HEIGHT - SIDE - 10))
            found[kind] = (left, top, left + SIDE, top + SIDE)
        return found

    def render(self, label: str, kinds: tuple[str, ...] = KINDS) -> Image.Image:
        """The scene under a label, with some kinds of element or all."""
        rng = np.random.default_rng([*self.seed, 2])
        ground = Image.fromarray(rng.integers(150, 200, (24, 32), dtype=np.uint8))
        image = ground.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert("RGB")
        pen = ImageDraw.Draw(image)
        for kind, box in self.boxes().items():
            if kind in kinds:
                draw(pen, kind, label, box)
        return image

    def shown(self, box: tuple[int, int, int, int]) -> str:
        """The kind that a box shows most of, "" for none."""
        shares = {kind: overlap_share(box, own) for kind, own in self.boxes().items()}
        best = max(shares, key=lambda kind: shares[kind])
        return best if shares[best] >= SHOWN else ""


def draw(pen: ImageDraw.ImageDraw, kind: str, label: str, box: tuple[int, int, int, int]) -> None:
    """One element: its kind is what it is made of, its label how many parts it has."""
    left, top, right, bottom = box
    number, colour = LABELS.index(label) + 1, COLOURS[label, kind]
    if kind == "window":
        pen.rectangle(box, fill=colour, outline="white", width=4)
        for part in range(1, number):
            across = left + part * SIDE // number
            pen.line([across, top, across, bottom], fill="white", width=4)
    elif kind == "lamp":
        pen.line([left + SIDE // 2, top, left + SIDE // 2, bottom], fill="black", width=3)
        size = SIDE // number
        for part in range(number):
            high = top + part * size
            pen.ellipse([left + 6, high, right - 6, high + size - 2], fill=colour, outline="black")
    else:
        pen.pieslice([left, top, right, bottom + SIDE], 180, 360, fill=colour, outline="black")
        for part in range(number):
            down = bottom - 4 - part * 7
            pen.line([left + 2, down, right - 2, down], fill="black", width=3)


def build(folder: Path, count: int) -> Path:
    """Write `count` scenes of each label."""
    for label, name in enumerate(LABELS):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            scene = Scene((label, number))
            scene.render(name).save(folder / scene.file_name)
    return folder


def translator(collection: ImageCollection, row: int, label: str) -> Image.Image:
    """The scene of an image as it stands under another label: a translator without a model."""
    return Scene.of(collection.table["file_name"][row].as_py()).render(label)
