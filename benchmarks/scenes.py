"""Rendered scenes of 64 pixels: what its elements look like is the label's, all else is not.

A scene is a house before hills under some sky, with a sign on a post and a flag on a pole. The
label sets the shape of the sign and the pattern of the flag, and nothing else: colours, sizes and
places are drawn alike under every label, so that only form tells the labels apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from typika.collection.prompts import PromptTemplate
from typika.evaluation import overlap_share

LABELS = ("east", "north", "south", "west")
KINDS = ("flag", "sign")
SIDE, FINE = 64, 4  # pixels of a scene; times as many while it is drawn
PROMPTS = PromptTemplate(label="A street in the {label}.", null="A street.")

Colour = tuple[int, int, int]
Rates = Mapping[str, Mapping[str, float]]  # share of a label's scenes that show a kind
Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive

# Few and far apart, or a network of minutes would mix them.
SKIES = ((150, 190, 230), (235, 190, 160), (110, 140, 190))
HILLS = ((110, 150, 110), (130, 125, 150))
GROUNDS = ((150, 170, 100), (190, 175, 140), (150, 150, 155))
WALLS = ((225, 215, 195), (200, 170, 150))
ROOFS = ((150, 80, 65), (90, 90, 105))
PAINTS = ((205, 45, 45), (35, 85, 190), (30, 130, 70))
CREAM, POST = (250, 245, 230), (70, 65, 65)


@dataclass(frozen=True)
class Scene:
    """What stands where, the same under every label.

    seed: of the collection, number of the original's label, number of the scene.
    """

    seed: tuple[int, int, int]

    @property
    def file_name(self) -> str:
        collection, label, number = self.seed
        return f"{LABELS[label]}/{collection}-{number:05d}.png"

    @classmethod
    def of(cls, file_name: str) -> Scene:
        label, name = file_name.split("/")
        collection, number = name.removesuffix(".png").split("-")
        return cls((int(collection), LABELS.index(label), int(number)))

    def boxes(self) -> dict[str, Box]:
        """The cloth of the flag and the board of the sign, without their poles."""
        rng = np.random.default_rng([*self.seed, 1])
        halves = rng.permutation(2)
        found: dict[str, Box] = {}
        for kind, half, low, high in (("flag", halves[0], 3, 12), ("sign", halves[1], 28, 36)):
            size = int(rng.integers(18, 22))
            left = int(half) * 32 + int(rng.integers(4, 32 - size - 1))
            top = int(rng.integers(low, high))
            found[kind] = (left, top, left + size, top + size)
        return found

    def shown(self, box: Box, share: float = 0.5) -> str:
        """The kind of which a box holds the largest share, at least `share`; "" for none."""
        held = {kind: overlap_share(box, own) for kind, own in self.boxes().items()}
        best = max(held, key=lambda kind: held[kind])
        return best if held[best] >= share else ""

    def standing(self, rates: Mapping[str, float]) -> tuple[str, ...]:
        """The kinds that this scene shows where each is in a share of all scenes."""
        drawn = np.random.default_rng([*self.seed, 3]).random(len(KINDS))
        return tuple(kind for kind, one in zip(KINDS, drawn, strict=True) if one < rates[kind])

    def render(self, label: str, kinds: Sequence[str] = KINDS) -> Image.Image:
        """The scene as it stands under a label, with some kinds of element or all."""
        rng = np.random.default_rng([*self.seed, 2])
        picture = Image.new("RGB", (SIDE * FINE, SIDE * FINE))
        pen = ImageDraw.Draw(picture)
        horizon = _backdrop(pen, rng)
        _house(pen, rng, horizon)
        for kind, box in self.boxes().items():
            paint = PAINTS[int(rng.integers(len(PAINTS)))]  # of those left out too: same rest
            if kind not in kinds:
                continue
            left, top, right, bottom = (FINE * side for side in box)
            pole = (left - 6, left) if kind == "flag" else ((left + right) // 2 - 4,) * 2
            pen.rectangle([pole[0], top, pole[1] + 8 * (kind == "sign"), 250], fill=POST)
            draw(pen, kind, label, (left, top, right - 1, bottom - 1), paint)
        return picture.resize((SIDE, SIDE), Image.Resampling.BOX)


def _backdrop(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> int:
    """Sky, hills and ground; the row of the horizon, fine pixels."""
    full = SIDE * FINE
    above = np.array(SKIES[int(rng.integers(len(SKIES)))])
    horizon = int(rng.integers(38, 46)) * FINE
    for row in range(horizon):
        light = tuple(int(value) for value in above + (250 - above) * 0.6 * row / horizon)
        pen.line([0, row, full, row], fill=light)
    x = np.linspace(0, full, 33)
    waves = np.sin(x * float(rng.uniform(0.01, 0.03)) + float(rng.uniform(0, 6)))
    ridge = horizon - 40 - 24 * waves
    outline = [*zip(x.tolist(), ridge.tolist(), strict=True), (full, horizon), (0, horizon)]
    pen.polygon(outline, fill=HILLS[int(rng.integers(len(HILLS)))])
    pen.rectangle([0, horizon, full, full], fill=GROUNDS[int(rng.integers(len(GROUNDS)))])
    return horizon


def _house(pen: ImageDraw.ImageDraw, rng: np.random.Generator, horizon: int) -> None:
    left, width = int(rng.integers(4, 36)) * FINE, int(rng.integers(18, 26)) * FINE
    foot, height = horizon + 5 * FINE, int(rng.integers(14, 20)) * FINE
    top, right = foot - height, left + width
    pen.rectangle([left, top, right, foot], fill=WALLS[int(rng.integers(len(WALLS)))])
    peak = (left + width // 2, top - 9 * FINE)
    roof = ROOFS[int(rng.integers(len(ROOFS)))]
    pen.polygon([(left - 8, top), peak, (right + 8, top)], fill=roof)


def draw(pen: ImageDraw.ImageDraw, kind: str, label: str, box: Box, paint: Colour) -> None:
    """One element in the form that is the label's; the box is inclusive, in fine pixels."""
    left, top, right, bottom = box
    across, down = (left + right) // 2, (top + bottom) // 2
    number = LABELS.index(label)
    if kind == "sign":
        third = (right - left) // 3
        if number == 0:
            pen.ellipse(box, fill=paint)
        elif number == 1:
            pen.polygon([(left, bottom), (across, top), (right, bottom)], fill=paint)
        elif number == 2:
            pen.rectangle(box, fill=paint)
        else:
            pen.rectangle([left + third, top, right - third, bottom], fill=paint)
            pen.rectangle([left, top + third, right, bottom - third], fill=paint)
        return
    pen.rectangle(box, fill=CREAM)
    if number == 0:
        pen.rectangle([left, top, right, down], fill=paint)
    elif number == 1:
        pen.rectangle([left, top, across, bottom], fill=paint)
    elif number == 2:
        pen.rectangle([left, top, across, down], fill=paint)
        pen.rectangle([across, down, right, bottom], fill=paint)
    else:
        inset = (right - left) // 5
        pen.ellipse([left + inset, top + inset, right - inset, bottom - inset], fill=paint)


def build(folder: Path, count: int, collection: int = 0, rates: Rates | None = None) -> Path:
    """Write `count` scenes of each label as `<label>/<name>.png`.

    collection: two numbers give two collections without a common scene. rates: of the labels that
    are wanted; without them there are all, and every scene shows all kinds.
    """
    for label, name in enumerate(LABELS):
        if rates is not None and name not in rates:
            continue
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            scene = Scene((collection, label, number))
            kinds = KINDS if rates is None else scene.standing(rates[name])
            scene.render(name, kinds).save(folder / scene.file_name)
    return folder
