"""A tiny network finetuned on planted shapes: does what it calls typical hold them?

Every picture has a green square and either a red disc or a blue triangle, on a blurred ground of
random colours; only disc and triangle tell the labels apart. The whole path of Stable Diffusion
runs: autoencoder, finetuning, scoring, selection.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import tiny_checkpoint
from benchmarks.record import Result, at_least
from typika import workflow
from typika.evaluation import average_precision, overlap_share
from typika.tables import read_parquet

LABELS = ("discs", "triangles")
IMAGES, SIDE, SHAPE = 100, 96, 26  # per label; pixels of a picture and of a shape
SEEN = 24_000  # images, repeats counted, that finetuning shows
SETTINGS = {
    "model": {
        "resolution": SIDE, "least_images": SEEN, "most_images": SEEN, "batch": 16,
        "learning_rate": 2e-3, "ema": 0.99, "checkpoint_every": 12_000, "feature_draws": 8,
    },
    "score": {"n_draws": 32, "pilot": 16},
    "select": {"share": 0.2, "patch_size": 0.3, "controls": 100},
    "cluster": {"n_clusters": 12},
    "rival": {"width": 64, "least_steps": 200, "most_steps": 200},
}  # fmt: skip


def draw(label: int, number: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A picture, and the box of its shape."""
    rng = np.random.default_rng([label, number])
    ground = Image.fromarray(rng.integers(60, 200, (12, 12, 3)).astype(np.uint8))
    picture = ground.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    # The square first, so that it never hides the shape.
    left, top = (int(place) for place in rng.integers(4, SIDE - 24, 2))
    pen.rectangle([left, top, left + 20, top + 20], fill=(60, 200, 60))
    left, top = (int(place) for place in rng.integers(4, SIDE - SHAPE - 4, 2))
    right, bottom = left + SHAPE, top + SHAPE
    if label == 0:
        pen.ellipse([left, top, right, bottom], fill=(240, 60, 40))
    else:
        corners = [(left, bottom), (left + SHAPE // 2, top), (right, bottom)]
        pen.polygon(corners, fill=(40, 90, 240))
    return picture, (left, top, right, bottom)


def run() -> Result:
    truth = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for label, name in enumerate(LABELS):
            (folder / "images" / name).mkdir(parents=True)
            for number in range(IMAGES):
                picture, box = draw(label, number)
                file_name = f"{name}/{number:03d}.png"
                picture.save(folder / "images" / file_name)
                truth[file_name] = box
        checkpoint = tiny_checkpoint.build(folder / "tiny")
        config = tiny_checkpoint.settings(checkpoint, **SETTINGS)
        done = workflow.advance(
            folder / "images", folder / "run", config, last="cluster", workers=1, device="cpu"
        )
        found = {"typical": [], "random": []}
        for row in read_parquet(done.folder / "patches.parquet").to_pylist():
            box = tuple(row[side] for side in ("left", "top", "right", "bottom"))
            if row["selection"] in found:
                held = overlap_share(box, truth[row["file_name"]]) >= 0.25
                found[row["selection"]].append(held)
        precision = {"null": [], "evidence": []}
        chance = []
        table = done.collection.table
        for image_id, file_name in zip(
            table["image_id"].to_pylist(), table["file_name"].to_pylist(), strict=True
        ):
            left, top, right, bottom = truth[file_name]
            inside = np.zeros((SIDE, SIDE), dtype=bool)
            inside[top : bottom + 1, left : right + 1] = True
            chance.append(inside.mean())
            for kind, values in precision.items():
                values.append(average_precision(done.typicality_map(image_id, kind), inside))
    typical, random = (float(np.mean(found[name])) for name in ("typical", "random"))
    mean = {kind: float(np.mean(values)) for kind, values in precision.items()}
    error = np.std(precision["null"]) / len(precision["null"]) ** 0.5
    note = (
        f"{2 * IMAGES} pictures, finetuned for {SEEN:,} images seen from random weights of 0.8 "
        f"million; {len(found['typical'])} typical patches. A patch holds a shape if a quarter of "
        f"the shape lies in it: {typical:.0%} of the typical ones do, {random:.0%} of the random "
        f"ones. Average precision of the maps {mean['null']:.3f} (standard error {error:.3f}), "
        f"chance {np.mean(chance):.3f}, the rival on EfficientNet's features "
        f"{mean['evidence']:.3f}: a network that starts from nothing is no match for one that "
        "knows pictures; what is shown is that the path leads to the shapes."
    )
    return Result(
        figures=(
            at_least("map-precision", mean["null"] / float(np.mean(chance)), 1.5, "x chance"),
            at_least("planted", typical / random, 1.5, "x as often as random patches"),
        ),
        notes=(note,),
    )
