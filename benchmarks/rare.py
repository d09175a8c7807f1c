"""Rare elements planted in the demo: are they in the list of the rare, and how high?

Five in 250 postcards of each town (2 %) show a thing that no other postcard shows: a balloon, a
kite, a clock or an anchor, in colours and sizes that vary, at any place of the upper half. Beside
it the hard case: one of the demo's own kinds, a town's form of a thing that all towns have,
which its town shows in five postcards in place of most.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.record import Figure, Result, at_least
from typika import workflow
from typika.collection._elements import FAMILIES
from typika.collection._townscape import compose, paint, plant
from typika.collection.demo import DemoElement, render_demo
from typika.evaluation import overlap_share
from typika.parallel import default_workers
from typika.tables import read_parquet

PER_LABEL = 250
RARE = 5  # postcards of a town with its rare element: 2 %
FIRST = 3  # of the list, where it has to be
SHOWN = 0.5  # share of an element's box that a patch has to hold to show it
HARD = {"Almorin": "post-box", "Brisk": "awning", "Corvane": "banner", "Dovelle": "sign"}

Pen = ImageDraw.ImageDraw
Colour = tuple[int, int, int]


def balloon(pen: Pen, side: int, colour: Colour) -> None:
    """A striped ball over a basket."""
    ball = [0.12 * side, 0, 0.88 * side, 0.74 * side]
    pen.ellipse(ball, fill=colour, outline=(40, 40, 40), width=side // 40)
    pen.ellipse([0.36 * side, 0, 0.64 * side, 0.74 * side], fill=(250, 240, 210))
    pen.polygon([(0.3 * side, 0.7 * side), (0.7 * side, 0.7 * side), (0.58 * side, 0.84 * side),
                 (0.42 * side, 0.84 * side)], fill=(70, 60, 50))  # fmt: skip
    pen.rectangle([0.42 * side, 0.84 * side, 0.58 * side, side], fill=(150, 100, 50))


def kite(pen: Pen, side: int, colour: Colour) -> None:
    """A diamond in four fields, and a tail with bows."""
    top, right = (0.5 * side, 0), (0.86 * side, 0.34 * side)
    bottom, left = (0.5 * side, 0.72 * side), (0.14 * side, 0.34 * side)
    middle = (0.5 * side, 0.34 * side)
    pen.polygon([top, right, middle], fill=colour)
    pen.polygon([bottom, left, middle], fill=colour)
    pen.polygon([top, left, middle], fill=(245, 235, 90))
    pen.polygon([bottom, right, middle], fill=(245, 235, 90))
    pen.line([bottom, (0.62 * side, 0.86 * side), (0.5 * side, side)], (60, 50, 50), side // 24)
    pen.ellipse([0.54 * side, 0.8 * side, 0.72 * side, 0.9 * side], fill=colour)


def clock(pen: Pen, side: int, colour: Colour) -> None:
    """A white dial with marks and two hands."""
    pen.ellipse([0, 0, side, side], fill=colour)
    pen.ellipse([0.12 * side, 0.12 * side, 0.88 * side, 0.88 * side], fill=(250, 250, 240))
    for hour in range(12):
        turn = hour * np.pi / 6
        ends = [((0.5 + reach * np.sin(turn)) * side, (0.5 - reach * np.cos(turn)) * side)
                for reach in (0.29, 0.36)]  # fmt: skip
        pen.line(ends, (30, 30, 30), side // 20)
    pen.line([(0.5 * side, 0.5 * side), (0.5 * side, 0.22 * side)], (30, 30, 30), side // 18)
    pen.line([(0.5 * side, 0.5 * side), (0.7 * side, 0.58 * side)], (30, 30, 30), side // 14)


def anchor(pen: Pen, side: int, colour: Colour) -> None:
    """A white anchor on a plaque."""
    pen.rounded_rectangle([0, 0, side, side], side // 8, fill=colour)
    white, width = (250, 250, 250), side // 11
    pen.ellipse(
        [0.4 * side, 0.08 * side, 0.6 * side, 0.28 * side], outline=white, width=width // 2
    )
    pen.line([(0.5 * side, 0.26 * side), (0.5 * side, 0.88 * side)], white, width)
    pen.line([(0.3 * side, 0.38 * side), (0.7 * side, 0.38 * side)], white, width)
    pen.arc([0.18 * side, 0.3 * side, 0.82 * side, 0.92 * side], 10, 170, white, width)


THINGS: Mapping[str, tuple[Callable[[Pen, int, Colour], None], tuple[Colour, ...]]] = {
    "Almorin": (balloon, ((200, 50, 45), (40, 90, 180), (40, 130, 80))),
    "Brisk": (kite, ((205, 45, 60), (120, 50, 150), (30, 110, 190))),
    "Corvane": (clock, ((60, 50, 45), (120, 80, 40), (40, 60, 90))),
    "Dovelle": (anchor, ((25, 50, 120), (20, 80, 110), (60, 30, 90))),
}


def with_things(folder: Path, seed: int) -> list[DemoElement]:
    """Draw a town's rare thing into five of its postcards; where they are."""
    found = []
    for number, (label, (draw, colours)) in enumerate(THINGS.items()):
        rng = np.random.default_rng([seed, 83, number])
        for card in sorted(rng.permutation(PER_LABEL)[:RARE].tolist()):
            name = f"{label}/{card:05d}.jpg"
            image = Image.open(folder / name).convert("RGB")
            side = int(rng.integers(38, 49))
            stamp = Image.new("RGBA", (4 * side, 4 * side))
            draw(ImageDraw.Draw(stamp), 4 * side - 1, colours[int(rng.integers(len(colours)))])
            stamp = stamp.resize((side, side), Image.Resampling.LANCZOS)
            left, top = (int(rng.integers(4, room - side)) for room in (252, 128))
            image.paste(stamp, (left, top), stamp)
            image.save(folder / name, "JPEG", quality=92)
            found.append(DemoElement(name, label, "rare", left, top, left + side, top + side))
    return found


def render_hard(folder: Path, seed: int) -> list[DemoElement]:
    """Postcards of which five show a kind that the demo gives to most of the town's."""
    found = []
    for number, (label, family) in enumerate(HARD.items()):
        there = 0
        for card in np.random.default_rng([seed, 89, number]).permutation(PER_LABEL).tolist():
            rng = np.random.default_rng([seed, number, card])
            scene = compose(rng)
            usual = {i for i in plant(scene, label, rng) if scene.items[i].family != family}
            places = [i for i, item in enumerate(scene.items)
                      if item.family == family and scene.view.holds(item)]  # fmt: skip
            own = {places[0]} if places and there < RARE else set()
            painting = paint(scene, frozenset(usual | own), 256, rng)
            name = f"{label}/{card:05d}.jpg"
            (folder / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(painting.pixels).save(folder / name, "JPEG", quality=92)
            for sighting in painting.planted:
                if sighting.item.family == family and sighting.visible >= 0.6:
                    kind = FAMILIES[family].kind
                    found.append(DemoElement(name, label, kind, *sighting.box))
                    there += 1
    return found


def places(run: workflow.MiningRun, planted: list[DemoElement]) -> dict[str, int | None]:
    """The rank of the first rare group of each town that shows its planted element in most."""
    patches = read_parquet(run.folder / "rare_patches.parquet").drop_columns(["thumbnail"])
    found: dict[str, int | None] = {}
    for label in THINGS:
        own = [row for row in patches.to_pylist() if row["label"] == label]
        ranks = []
        for rank in sorted({row["rank"] for row in own}):
            members = [row for row in own if row["rank"] == rank]
            if sum(_shows(row, planted) for row in members) > len(members) / 2:
                ranks.append(rank)
        found[label] = ranks[0] if ranks else None
    return found


def _shows(row: dict, planted: list[DemoElement]) -> bool:
    box = (row["left"], row["top"], row["right"], row["bottom"])
    return any(
        element.file_name == row["file_name"]
        and overlap_share(box, (element.left, element.top, element.right, element.bottom)) >= SHOWN
        for element in planted
    )


def run() -> Result:
    """Two collections, mined once each."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        render_demo(folder / "easy", n_per_label=PER_LABEL, workers=default_workers())
        planted = {
            "easy": with_things(folder / "easy", 0),
            "hard": render_hard(folder / "hard", 0),
        }
        ranks = {
            name: places(workflow.mine(folder / name, folder / f"run-{name}"), elements)
            for name, elements in planted.items()
        }
    notes = tuple(
        f"{name}: " + ", ".join(f"{label} {rank or 'not listed'}" for label, rank in own.items())
        for name, own in ranks.items()
    )
    first = {name: sum(rank is not None and rank <= FIRST for rank in own.values())
             for name, own in ranks.items()}  # fmt: skip
    return Result(
        figures=(
            Figure(name="rare_kinds_in_the_first_three", value=first["hard"],
                   unit="of 4", target="-", met=None),
            at_least("rare_things_in_the_first_three", first["easy"], 4, "of 4"),
        ),
        notes=notes,
    )  # fmt: skip
