"""Streets in flat colours whose classes a lookup tells, and translations that plant changes.

What stands in a street varies from one rendering to the next, as a model's drawing would; a
translation is another rendering, with what its label adds. Every translation has a little more
sky, whatever its label: what redrawing does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from typika.collection.parallel import ParallelCollection, write_translations
from typika.mining.segmenters import Segmentation
from typika.workflow import MiningRun, advance, configure

LABELS = ("brazil", "nigeria", "peru", "thailand")
CLASSES = {
    "sky": (150, 190, 230), "wall": (214, 190, 150), "road": (110, 110, 116),
    "plant": (40, 130, 60), "person": (190, 50, 60), "window": (50, 70, 140),
    "boat": (250, 240, 90),
}  # fmt: skip
WIDTH, HEIGHT, SLOT = 192, 160, 26  # pixels of a street, and of the place of a thing
COLUMNS, ROWS = 7, 3

Planted = dict[str, set[tuple[str, str]]]
CHANGED: Planted = {  # class and measure that translation to a label changes
    "brazil": {("plant", "area"), ("plant", "instances")},
    "nigeria": {("road", "area"), ("person", "area"), ("person", "instances")},
    "peru": set(),
    "thailand": {("window", "instances")},
}
BY_REDRAWING = {("sky", "area"), ("wall", "area")}  # in all; what is no wall any more is sky
BESIDES: Planted = {"brazil": {("wall", "area")}, "nigeria": {("wall", "area")}}  # hidden by it


@dataclass(frozen=True)
class Street:
    """One street: how many of each thing it has in the mean."""

    seed: tuple[int, int, int]  # of the collection, label, number

    def render(self, label: str = "", drawing: int = 0, strength: float = 1.0) -> Image.Image:
        """label: whose changes are planted, "" for none; drawing: which rendering."""
        of_street = np.random.default_rng([*self.seed, 5])
        rng = np.random.default_rng([*self.seed, 7, drawing])
        means = of_street.uniform(0.1, 0.3, 3)
        sky = int(
            of_street.integers(24, 30) + rng.integers(-2, 3) + (strength > 0) * 2 * bool(label)
        )
        road = int(of_street.integers(18, 26) + rng.integers(-2, 3))
        counts = rng.binomial(8, means)
        if label == "brazil":
            counts[0] += rng.binomial(3, 0.5 * strength)
        if label == "nigeria":
            counts[1] += rng.binomial(2, 0.5 * strength)
            road += round(4 * strength)
        image = Image.new("RGB", (WIDTH, HEIGHT), CLASSES["wall"])
        pen = ImageDraw.Draw(image)
        pen.rectangle([0, 0, WIDTH, sky - 1], fill=CLASSES["sky"])
        pen.rectangle([0, HEIGHT - road, WIDTH, HEIGHT], fill=CLASSES["road"])
        kinds = np.repeat(["plant", "person", "window"], counts)[: COLUMNS * ROWS]
        for kind, slot in zip(kinds, rng.permutation(COLUMNS * ROWS), strict=False):
            left, top = 6 + SLOT * (slot % COLUMNS), 40 + SLOT * (slot // COLUMNS)
            draw(pen, str(kind), int(left), int(top), split=label == "thailand" and strength > 0)
        return image


def draw(pen: ImageDraw.ImageDraw, kind: str, left: int, top: int, *, split: bool) -> None:
    """A thing; a split window has two panes of the same area together."""
    if kind == "plant":
        pen.ellipse([left + 2, top + 4, left + 19, top + 21], fill=CLASSES["plant"])
    elif kind == "person":
        pen.rectangle([left + 8, top + 2, left + 13, top + 21], fill=CLASSES["person"])
    elif split:
        pen.rectangle([left + 2, top + 4, left + 17, top + 10], fill=CLASSES["window"])
        pen.rectangle([left + 2, top + 13, left + 17, top + 19], fill=CLASSES["window"])
    else:
        pen.rectangle([left + 2, top + 4, left + 17, top + 17], fill=CLASSES["window"])


def segmenter(image: Image.Image) -> Segmentation:
    """The class that each colour stands for: the truth, since the streets are flat."""
    pixels = np.asarray(image.convert("RGB")).astype(int) @ (1 << 16, 1 << 8, 1)
    colours = np.array(list(CLASSES.values())) @ (1 << 16, 1 << 8, 1)
    order = np.argsort(colours)
    return Segmentation(tuple(CLASSES), order[np.searchsorted(colours[order], pixels)])


def build(folder: Path, count: int, seed: int = 0, strength: float = 1.0) -> Path:
    """A run of `count` streets a label, with translations; strength 0: nothing is planted."""
    images = folder / "images"
    for label, name in enumerate(LABELS):
        (images / name).mkdir(parents=True)
        for number in range(count):
            Street((seed, label, number)).render().save(images / name / f"{number:03d}.png")
    run = MiningRun(folder / "run")
    advance(images, run.folder, configure(), last="collect", workers=1)
    translate(run, seed, strength)
    return run.folder


def translate(run: MiningRun, seed: int, strength: float = 1.0) -> None:
    """The parallel collection that `typika translate` would make, by the one who rendered."""
    root = run.folder / "translate" / "parallel"
    for row in run.collection.table.select(["image_id", "file_name", "label"]).to_pylist():
        number = int(Path(row["file_name"]).stem)
        street = Street((seed, LABELS.index(row["label"]), number))
        others = [label for label in LABELS if label != row["label"]]
        drawn = [street.render(label, 1 + LABELS.index(label), strength) for label in others]
        write_translations(root, row["image_id"], others, drawn)
    ParallelCollection.gather(root, run.collection)
