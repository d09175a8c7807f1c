"""Composing a scene and painting it: where things stand, and which of them are planted.

A scene is a list of items from back to front. Composing knows no town; planting then exchanges
some items' designs for the town's own. The same seed thus gives the same scene in every town and
without any planting, save for the planted designs themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from typika.collection._canvas import (
    POSTCARD,
    Brush,
    Canvas,
    Colour,
    Item,
    Light,
    Sighting,
    View,
    lighter,
    mix,
)
from typika.collection._elements import FAMILIES
from typika.collection._palette import (
    FOLIAGE,
    LIGHTS,
    METALS,
    PAINTS,
    ROOFS,
    STONES,
    WALLS,
    WOODS,
    pick,
)
from typika.collection._scenery import SCENERY

Rng = np.random.Generator

STOREY = 25.0  # units
KERB = 16.0  # depth of the pavement before the houses, units
FRONT_SCALE = 1.18  # things in the foreground against those before the houses
MAX_ZOOM = 1.2
GRAIN = 2.2  # standard deviation of the paper's grain, grey levels


@dataclass(frozen=True)
class Scene:
    """A composed postcard: light, view, and the items from back to front."""

    light: Light
    view: View
    horizon: float  # units
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Painting:
    """A painted postcard and where its planted items are to be seen."""

    pixels: UInt8[np.ndarray, "size size 3"]
    planted: list[Sighting]


class _Composer:
    """Draws every decision of a composition from one generator and collects the items."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.items: list[Item] = []

    def put(
        self,
        family: str,
        x: float,
        y: float,
        width: float,
        height: float,
        paint: Colour | None = None,
        accent: Colour | None = None,
    ) -> None:
        """Add an item; colours not given are drawn from the vivid ones."""
        paint = paint or pick(self.rng, PAINTS)
        accent = accent or pick(self.rng, PAINTS)
        seed = int(self.rng.integers(2**32))
        self.items.append(Item(family, x, y, width, height, paint, accent, seed))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))


def compose(rng: Rng) -> Scene:
    """A street of some town: the sky first, the nearest things last."""
    composer = _Composer(rng)
    light = LIGHTS[int(rng.integers(len(LIGHTS)))]
    ground = composer.between(172, 184)  # foot of the front row
    horizon = composer.between(104, 124)
    _compose_sky(composer, light)
    _compose_distance(composer, light, horizon, ground)
    _compose_front_row(composer, ground)
    _compose_ground(composer, ground)
    _compose_pavement(composer, ground)
    _compose_traffic(composer)
    _compose_foreground(composer)
    composer.put("weather", POSTCARD / 2, POSTCARD, POSTCARD, POSTCARD)
    return Scene(light, _choose_view(composer), horizon, tuple(composer.items))


def _choose_view(composer: _Composer) -> View:
    """Half of the postcards show the whole scene, the others stand closer."""
    zoom = 1.0 if composer.chance(0.5) else composer.between(1.0, MAX_ZOOM)
    slack = POSTCARD * (1 - 1 / zoom)
    return View(composer.between(0, slack), composer.between(0.4 * slack, slack), zoom)


def _compose_sky(composer: _Composer, light: Light) -> None:
    size = composer.between(12, 22)
    composer.put("sun or moon", composer.between(20, 236), composer.between(26, 60), size, size)
    for _ in range(int(composer.rng.integers(1, 6))):
        width = composer.between(30, 74)
        composer.put(
            "cloud",
            composer.between(0, 256),
            composer.between(14, 70),
            width,
            0.3 * width,
            light.horizon,
        )
    for _ in range(int(composer.rng.integers(0, 3))):
        size = composer.between(18, 30)
        composer.put(
            "flier", composer.between(20, 236), composer.between(32, 66), size, size * 1.2
        )


def _compose_distance(composer: _Composer, light: Light, horizon: float, ground: float) -> None:
    hazy = pick(composer.rng, FOLIAGE)
    for depth, (rise, haze) in enumerate(((40, 0.7), (26, 0.45))):
        paint = mix(hazy, light.horizon, haze)
        foot = horizon + 14 + 10 * depth
        composer.put("ridge", 128, foot, POSTCARD, composer.between(rise - 8, rise + 14), paint)
    if composer.chance(0.5):
        water = mix((86, 136, 160), light.horizon, 0.35)
        composer.put("sea", 128, ground, POSTCARD, ground - horizon - 8, water)
    else:
        composer.put(
            "ridge", 128, ground, POSTCARD, ground - horizon, mix(hazy, (150, 160, 110), 0.3)
        )
    x = composer.between(-20, 0)
    while x < POSTCARD:
        width = composer.between(20, 32)
        wall = mix(pick(composer.rng, WALLS), light.horizon, 0.25)
        roof = mix(pick(composer.rng, ROOFS), light.horizon, 0.25)
        height = composer.between(30, 58)
        composer.put("far house", x + width / 2, ground, width, height, wall, roof)
        x += width + (composer.between(8, 50) if composer.chance(0.5) else 0)
    for _ in range(3):
        green = (pick(composer.rng, FOLIAGE), pick(composer.rng, FOLIAGE))
        composer.put(
            "thicket", composer.between(0, 256), ground, 60, composer.between(14, 26), *green
        )


def _compose_front_row(composer: _Composer, ground: float) -> None:
    """Houses side by side with some gaps, then turrets over the joints."""
    x, joints = composer.between(-14, 2), []
    shop = composer.chance(0.5)
    clearing = composer.between(60, 320)  # where a wide gap opens; often beyond the frame
    while x < POSTCARD - 12:
        width = composer.between(44, 54)
        top = _compose_house(composer, x, ground, width, shop)
        joints.append((x + width, top))
        x += width + (composer.between(4, 14) if composer.chance(0.35) else 0)
        if x > clearing:
            x, clearing = x + composer.between(24, 54), POSTCARD * 2
        shop = not shop if composer.chance(0.75) else shop
    order = composer.rng.permutation(len(joints))
    inside = [joints[i] for i in order if 20 < joints[i][0] < POSTCARD - 20]
    for x, top in inside[: 1 + int(composer.chance(0.45))]:
        height = composer.between(42, 50)
        composer.put(
            "turret",
            x,
            top + composer.between(4, 12),
            0.58 * height,
            height,
            pick(composer.rng, WALLS),
            pick(composer.rng, ROOFS),
        )


def _compose_house(
    composer: _Composer, left: float, ground: float, width: float, shop: bool
) -> float:
    """One house with its chimneys, roof, windows and door; returns the top of its wall."""
    wall, roof = pick(composer.rng, WALLS), pick(composer.rng, ROOFS)
    storeys = 2 + int(composer.chance(0.55))
    height = STOREY * storeys + composer.between(4, 9)
    middle, top = left + width / 2, ground - height
    rise = composer.between(26, 36)
    if composer.chance(0.75):
        side = 0.3 if composer.chance(0.5) else -0.3
        brick, pots = pick(composer.rng, ROOFS), pick(composer.rng, STONES)
        tall = composer.between(36, 44)
        composer.put(
            "chimney", middle + side * width, top - 0.4 * rise + 4, 0.52 * tall, tall, brick, pots
        )
    composer.put("wall", middle, ground, width, height, wall, roof)
    composer.put("roof", middle, top + 1, width, rise, wall, roof)
    shutters = pick(composer.rng, PAINTS)
    for storey in range(1, storeys):
        foot = ground - STOREY * storey - 4
        for share in (0.27, 0.73):
            composer.put(
                "window", left + share * width, foot, composer.between(24, 27), 21, wall, shutters
            )
    if shop:
        composer.put("shop window", middle, ground, 0.74 * width, 23, wall)
        composer.put("awning", middle, ground - 14, 0.86 * width, composer.between(17, 20))
    else:
        flip = composer.chance(0.5)
        door, window = (0.7, 0.27) if flip else (0.3, 0.73)
        composer.put("window", left + window * width, ground - 5, 24, 20, wall, shutters)
        composer.put("door", left + door * width, ground, composer.between(24, 27), 28, wall)
    return top


def _compose_ground(composer: _Composer, ground: float) -> None:
    stone = pick(composer.rng, STONES)
    bottom = ("road", "road", "canal", "cobbles", "lawn")[int(composer.rng.integers(5))]
    composer.put("pavement", 128, ground + KERB, POSTCARD, KERB, stone)
    composer.put(
        bottom, 128, POSTCARD, POSTCARD, POSTCARD - ground - KERB, stone, lighter(stone, 0.15)
    )
    if bottom in ("road", "canal"):
        composer.put("pavement", 128, POSTCARD, POSTCARD, 16, pick(composer.rng, STONES))


def _compose_traffic(composer: _Composer) -> None:
    """One or two vehicles or boats on what lies between the pavement and the foreground."""
    bottom = next(item.family for item in composer.items if item.family in _TRAFFIC)
    family = _TRAFFIC[bottom]
    for _ in range(int(composer.rng.integers(1, 3))):
        x, y = composer.between(10, 246), composer.between(224, 232)
        if family == "person":
            composer.put("person", x, y, 13, 30)
        else:
            width = composer.between(48, 60)
            composer.put(family, x, y, width, 0.42 * width)


_TRAFFIC = {"road": "vehicle", "canal": "boat", "cobbles": "person", "lawn": "person"}

# What stands on the two pavements; the first of each are always there.
_ALWAYS_BACK = ("lamp", "sign", "post-box", "banner", "tree")
_ALWAYS_FRONT = ("bench", "tree", "banner", "sign")
_SOMETIMES_BACK = ("lamp", "bench", "street thing", "person", "person", "dog", "person")
_SOMETIMES_FRONT = ("lamp", "post-box", "bench", "street thing", "person", "tree", "dog")


def _compose_pavement(composer: _Composer, ground: float) -> None:
    feet = (ground + 4, ground + 13)
    _line_up(composer, _ALWAYS_BACK, _SOMETIMES_BACK, n_places=9, feet=feet, scale=1.0)


def _compose_foreground(composer: _Composer) -> None:
    feet = (246.0, 253.0)
    _line_up(composer, _ALWAYS_FRONT, _SOMETIMES_FRONT, n_places=6, feet=feet, scale=FRONT_SCALE)
    if composer.chance(0.3):
        y = composer.between(78, 100)
        composer.put("bunting", 128, y, 270, composer.between(10, 18))


def _line_up(
    composer: _Composer,
    always: Sequence[str],
    sometimes: Sequence[str],
    *,
    n_places: int,
    feet: tuple[float, float],
    scale: float,
) -> None:
    """Stand things in `n_places` places across the postcard, in random order."""
    rng = composer.rng
    n_more = int(rng.integers(1, n_places - len(always) + 1))
    more = [sometimes[i] for i in rng.permutation(len(sometimes))[:n_more]]
    families = [*always, *more, *[""] * (n_places - len(always) - n_more)]
    step = POSTCARD / n_places
    for place, index in enumerate(rng.permutation(n_places)):
        x = step * (place + composer.between(0.38, 0.62))
        if families[index]:
            _stand(composer, families[index], x, composer.between(*feet), scale)


def _stand(composer: _Composer, family: str, x: float, y: float, scale: float) -> None:
    """One thing of the street with its foot at (x, y); heads get their post."""
    s = scale * composer.between(0.92, 1.1)
    rng = composer.rng
    if family in _HEADS:
        width, height, post = _HEADS[family]
        metal = pick(rng, METALS)
        composer.put("post", x, y, 4.5 * s, post * s, metal)
        shift = width * s / 2 if family == "banner" else 0.0
        foot = y - (post - (height if family == "banner" else 3)) * s
        own = metal if family == "lamp" else None
        composer.put(family, x + shift, foot, width * s, height * s, own)
    elif family == "tree":
        composer.put("tree", x, y, 39 * s, 45 * s, pick(rng, FOLIAGE), pick(rng, WOODS))
    elif family == "bench":
        composer.put("bench", x, y, 38 * s, 21 * s, pick(rng, WOODS), pick(rng, METALS))
    elif family == "post-box":
        composer.put("post-box", x, y, 20 * s, 31 * s)
    elif family == "person":
        composer.put("person", x, y, 12 * s, 28 * s)
    elif family == "dog":
        composer.put("dog", x, y, 15 * s, 11 * s, None, pick(rng, WOODS))
    else:
        composer.put(family, x, y, 26 * s, 24 * s, None, pick(rng, WOODS))


_HEADS = {  # family: width and height of the head, height of the post, units
    "lamp": (29.0, 23.0, 40.0),
    "sign": (23.0, 23.0, 30.0),
    "banner": (19.0, 32.0, 56.0),
}


def plant(scene: Scene, town: str, rng: Rng) -> frozenset[int]:
    """Choose which items of the scene take `town`'s own design; returns their positions."""
    chosen: list[int] = []
    for family, facts in FAMILIES.items():
        positions = [
            i
            for i, item in enumerate(scene.items)
            if item.family == family and scene.view.holds(item)
        ]
        happens = rng.random() < facts.share
        count = int(rng.choice(facts.counts))
        order = rng.permutation(len(positions))
        if town == facts.town and happens:
            chosen += [positions[i] for i in order[:count]]
    return frozenset(chosen)


def paint(scene: Scene, planted: frozenset[int], size: int, rng: Rng) -> Painting:
    """Paint the scene, `size` pixels on a side, with the planted designs where asked."""
    canvas = Canvas(size, scene.light, scene.view)
    canvas.lay_sky(scene.horizon)
    for position, item in enumerate(scene.items):
        _paint_item(canvas, item, planted=position in planted)
    grain = rng.normal(0, GRAIN, (size, size, 1))
    return Painting(
        (canvas.pixels() + grain).clip(0, 255).round().astype(np.uint8), canvas.sightings()
    )


def _paint_item(canvas: Canvas, item: Item, *, planted: bool) -> None:
    family = FAMILIES.get(item.family)
    designs = family.neutral if family else SCENERY[item.family]
    brush = Brush(canvas, item)
    design = designs[int(brush.rng.integers(len(designs)))]
    if family and planted:
        canvas.start(item)
        family.planted(brush)
        canvas.finish()
    else:
        design(brush)
