"""What every town has alike: sky, hills and sea, plain walls, ground, passers-by and weather.

The strong colours here (coats, cars, balloons, parasols) are drawn from the same distribution in
every town: they catch the eye and tell nothing.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from typika.collection._canvas import POSTCARD, Brush, Colour, darker, lighter, mix
from typika.collection._elements import GLASS, Design
from typika.collection._palette import CREAM, FOLIAGE, INK, LAMPLIGHT, PAINTS, SKINS, WOODS, pick

# The backdrop: boxes as wide as the postcard.


def sun_or_moon(brush: Brush) -> None:
    """A disc with a soft ring; a moon with stars when it is dark."""
    dark = brush.canvas.light.dark
    colour = (250, 246, 226) if dark else (255, 248, 214)
    brush.oval(-0.5, -0.5, 1.5, 1.5, colour, alpha=40, glowing=True)
    brush.oval(0, 0, 1, 1, colour, alpha=235, glowing=True)
    if dark > 0.7:
        for x, y in brush.rng.uniform((0, 0), (POSTCARD, 90), (26, 2)):
            star = [(x - 0.5, y - 0.5), (x + 0.6, y + 0.6)]
            brush.canvas.oval(star, (240, 240, 225), 220, glowing=True)


def cloud(brush: Brush) -> None:
    """Flat-bottomed puffs."""
    colour = mix(brush.paint, (255, 255, 255), 0.6)
    for u, top in zip((0.0, 0.2, 0.42, 0.66), brush.rng.uniform(0, 0.5, 4), strict=True):
        brush.oval(u, top, u + 0.36, 1.0, colour, alpha=205, glowing=True)
    brush.box(0.14, 0.72, 0.86, 1.0, colour, alpha=205, glowing=True)


def hills(brush: Brush) -> None:
    """One rolling ridge in the item's colour."""
    u = np.linspace(0, 1, 33)
    ridge = np.zeros_like(u)
    for waves, reach in ((1.3, 0.5), (2.9, 0.3), (6.1, 0.12)):
        ridge += reach * np.sin(2 * math.pi * (waves * u + brush.rng.random()))
    ridge = 0.5 - 0.5 * ridge / 0.92
    outline = [(float(a), float(b)) for a, b in zip(u, ridge, strict=True)]
    brush.polygon([(0, 1), *outline, (1, 1)], brush.paint)


def peaks(brush: Brush) -> None:
    """Mountains with snow on top."""
    for middle in brush.rng.uniform(0, 1, 4):
        top, reach = float(brush.rng.uniform(0, 0.4)), float(brush.rng.uniform(0.16, 0.28))
        u = float(middle)
        brush.polygon([(u - reach, 1), (u, top), (u + reach, 1)], brush.paint)
        brush.polygon([(u, top), (u + reach, 1), (u + 0.3 * reach, 1)], darker(brush.paint, 0.12))
        foot = top + 0.25 * (1 - top)
        snow = [(u - 0.25 * reach, foot), (u, top), (u + 0.25 * reach, foot), (u, foot - 0.05)]
        brush.polygon(snow, lighter(brush.paint, 0.7))


def sea(brush: Brush) -> None:
    """Open water with glints and two or three sails."""
    brush.box(0, 0, 1, 1, brush.paint)
    for u, v in brush.rng.uniform((0, 0.05), (0.95, 1), (16, 2)):
        brush.stroke([(u, v), (u + 0.05, v)], 0.7, lighter(brush.paint, 0.4))
    for u in brush.rng.uniform(0.05, 0.95, int(brush.rng.integers(1, 4))):
        brush.polygon([(u, 0.06), (u, -0.34), (u + 0.035, 0.02)], CREAM)
        brush.polygon([(u - 0.02, 0.08), (u + 0.04, 0.08), (u + 0.03, 0.2), (u - 0.01, 0.2)], INK)


def far_house(brush: Brush) -> None:
    """A house of the back row: a wall, a plain roof, a few dark windows."""
    brush.box(0, 0.32, 1, 1, brush.paint)
    brush.polygon([(-0.05, 0.34), (0.2, 0.05), (0.8, 0.05), (1.05, 0.34)], brush.accent)
    for u in (0.2, 0.6):
        for v in (0.44, 0.68):
            lit = brush.rng.random() < brush.canvas.light.lit
            colour = LAMPLIGHT if lit else mix(brush.paint, GLASS, 0.8)
            brush.box(u, v, u + 0.16, v + 0.12, colour, glowing=bool(lit))


def thicket(brush: Brush) -> None:
    """A low bank of bushes."""
    for u in np.linspace(0, 0.8, 6):
        rise = float(brush.rng.uniform(0, 0.4))
        brush.oval(u - 0.05, rise, u + 0.27, 1.5, mix(brush.paint, brush.accent, float(u) / 2))


# The front row.


def wall(brush: Brush) -> None:
    """A plain facade with a plinth; some are half-timbered, some bricked."""
    brush.box(0, 0, 1, 1, brush.paint)
    brush.box(0.93, 0, 1, 1, darker(brush.paint, 0.14))
    finish = brush.rng.random()
    if finish < 0.2:
        for v in (0.02, 0.36, 0.7):
            brush.box(0, v, 1, v + 0.025, darker(brush.paint, 0.45))
    elif finish < 0.55:
        for u, v in brush.rng.uniform((0.02, 0.05), (0.85, 0.9), (9, 2)):
            brush.box(u, v, u + 0.09, v + 0.025, darker(brush.paint, 0.12))
    brush.box(0, 0, 1, 0.03, darker(brush.paint, 0.3))
    brush.box(0, 0.94, 1, 1, darker(brush.paint, 0.3))


def shop_window(brush: Brush) -> None:
    """A wide pane with goods on a shelf, and a narrow glass door beside it."""
    lit = bool(brush.rng.random() < 0.3 + brush.canvas.light.lit)
    brush.box(0, 0, 1, 1, brush.accent)
    glass = LAMPLIGHT if lit else mix(GLASS, INK, 0.3)
    brush.box(0.05, 0.1, 0.66, 0.72, glass, glowing=lit)
    brush.box(0.73, 0.1, 0.94, 0.96, glass, glowing=lit)
    for u in (0.1, 0.24, 0.38, 0.52):
        brush.oval(u, float(brush.rng.uniform(0.35, 0.5)), u + 0.1, 0.72, pick(brush.rng, PAINTS))


# The ground.


def pavement(brush: Brush) -> None:
    """Paving stones with a kerb."""
    brush.box(0, 0, 1, 1, brush.paint)
    for v in (0.3, 0.62):
        brush.stroke([(0, v), (1, v)], 0.5, darker(brush.paint, 0.14))
    for u in np.arange(float(brush.rng.uniform(0, 0.06)), 1, 0.07):
        brush.stroke([(u, 0), (u - 0.02, 1)], 0.5, darker(brush.paint, 0.1))
    brush.box(0, 0.88, 1, 1, lighter(brush.paint, 0.3))


def road(brush: Brush) -> None:
    """Asphalt with a dashed line."""
    brush.box(0, 0, 1, 1, (98, 98, 108))
    for u in np.arange(float(brush.rng.uniform(-0.1, 0)), 1, 0.14):
        brush.polygon([(u, 0.47), (u + 0.07, 0.47), (u + 0.065, 0.53), (u - 0.005, 0.53)], CREAM)


def cobbles(brush: Brush) -> None:
    """A paved square."""
    brush.box(0, 0, 1, 1, brush.accent)
    for row, v in enumerate(np.linspace(0.06, 0.9, 6)):
        for u in np.arange(0.03 * (row % 2), 1, 0.06):
            brush.oval(
                u, v, u + 0.045, v + 0.09, darker(brush.accent, 0.07 + 0.05 * brush.rng.random())
            )


def canal(brush: Brush) -> None:
    """Still water with ripples."""
    water = mix((92, 142, 158), brush.canvas.light.horizon, 0.25)
    brush.box(0, 0, 1, 1, water)
    brush.box(0, 0, 1, 0.1, darker(water, 0.35))
    for u, v in brush.rng.uniform((0, 0.15), (0.95, 0.95), (26, 2)):
        brush.stroke([(u, v), (u + 0.04 + 0.04 * v, v)], 0.8, lighter(water, 0.3))


def lawn(brush: Brush) -> None:
    """Grass with a path and daisies."""
    green = mix(FOLIAGE[1], FOLIAGE[3], float(brush.rng.random()))
    brush.box(0, 0, 1, 1, green)
    brush.polygon([(0, 0.55), (1, 0.3), (1, 0.52), (0, 0.8)], (214, 192, 150))
    for u, v in brush.rng.random((24, 2)):
        brush.oval(u, v, u + 0.006, v + 0.04, CREAM)


# Passers-by and furniture that tell nothing.


def person(brush: Brush) -> None:
    """A walker in a coat, some with a hat or an umbrella."""
    skin, legs = pick(brush.rng, SKINS), darker(brush.accent, 0.5)
    brush.box(0.3, 0.66, 0.46, 1, legs)
    brush.box(0.54, 0.66, 0.7, 1, legs)
    brush.polygon([(0.3, 0.26), (0.7, 0.26), (0.86, 0.76), (0.14, 0.76)], brush.paint)
    brush.oval(0.3, 0.04, 0.7, 0.27, skin)
    headgear = brush.rng.random()
    if headgear < 0.35:
        brush.box(0.2, 0.07, 0.8, 0.11, brush.accent)
        brush.box(0.32, 0.0, 0.68, 0.09, brush.accent)
    elif headgear < 0.5:
        brush.stroke([(0.8, 0.5), (0.8, -0.1)], 0.8, INK)
        brush.polygon([(0.1, 0.0), (0.4, -0.16), (1.1, -0.16), (1.5, 0.0)], brush.accent)
    else:
        brush.oval(0.28, 0.0, 0.72, 0.14, darker(skin, 0.6))


def dog(brush: Brush) -> None:
    """A small dog with its tail up."""
    brush.oval(0.15, 0.35, 0.8, 0.75, brush.accent)
    brush.oval(0.62, 0.1, 0.98, 0.5, brush.accent)
    brush.stroke([(0.2, 0.5), (0.04, 0.15)], 1.2, brush.accent)
    for u in (0.22, 0.36, 0.6, 0.72):
        brush.box(u, 0.65, u + 0.08, 1, brush.accent)


def flower_tub(brush: Brush) -> None:
    """A round tub with blossoms."""
    brush.polygon([(0.12, 0.56), (0.88, 0.56), (0.76, 1), (0.24, 1)], brush.accent)
    brush.oval(0.05, 0.2, 0.95, 0.66, (92, 134, 80))
    for u, v in brush.rng.uniform((0.08, 0.1), (0.78, 0.44), (7, 2)):
        brush.oval(u, v, u + 0.17, v + 0.17, brush.paint)


def bin(brush: Brush) -> None:
    """A ribbed litter bin."""
    brush.polygon([(0.15, 0.2), (0.85, 0.2), (0.75, 1), (0.25, 1)], brush.accent)
    for u in (0.35, 0.5, 0.65):
        brush.stroke([(u, 0.25), (u, 0.95)], 0.7, darker(brush.accent, 0.35))
    brush.box(0.08, 0.1, 0.92, 0.24, darker(brush.accent, 0.3))


def bicycle(brush: Brush) -> None:
    """A leaning bicycle."""
    for u in (0.22, 0.78):
        ring = [(u + 0.2 * math.cos(a), 0.7 + 0.3 * math.sin(a)) for a in np.linspace(0, 6.3, 17)]
        brush.stroke(ring, 1.1, INK)
    brush.stroke(
        [(0.22, 0.7), (0.38, 0.35), (0.68, 0.35), (0.5, 0.7), (0.22, 0.7)], 1.3, brush.paint
    )
    brush.stroke([(0.78, 0.7), (0.66, 0.2), (0.76, 0.14)], 1.3, brush.paint)
    brush.stroke([(0.5, 0.7), (0.36, 0.24)], 1.3, brush.paint)
    brush.box(0.28, 0.18, 0.46, 0.26, INK)


def parasol(brush: Brush) -> None:
    """A market parasol over a round table."""
    brush.box(0.48, 0.1, 0.52, 1, INK)
    brush.polygon([(0, 0.38), (0.5, 0.02), (1, 0.38)], brush.paint)
    brush.polygon([(0.3, 0.38), (0.5, 0.02), (0.7, 0.38)], CREAM)
    brush.box(0.24, 0.68, 0.76, 0.75, brush.accent)


def fruit_stall(brush: Brush) -> None:
    """Crates of fruit on trestles."""
    brush.box(0.1, 0.6, 0.16, 1, brush.accent)
    brush.box(0.84, 0.6, 0.9, 1, brush.accent)
    for left in (0.02, 0.35, 0.68):
        fruit = pick(brush.rng, PAINTS)
        for u in (0.02, 0.11, 0.2):
            brush.oval(left + u, 0.2, left + u + 0.11, 0.5, fruit)
        brush.box(left, 0.38, left + 0.31, 0.66, brush.accent)


def car(brush: Brush) -> None:
    """A small rounded car."""
    body = [(0.02, 0.8), (0.02, 0.5), (0.2, 0.44), (0.32, 0.1), (0.7, 0.1), (0.82, 0.44)]
    brush.polygon([*body, (0.98, 0.54), (0.98, 0.8)], brush.paint)
    brush.polygon([(0.26, 0.44), (0.35, 0.18), (0.49, 0.18), (0.49, 0.44)], mix(GLASS, INK, 0.2))
    brush.polygon([(0.53, 0.44), (0.53, 0.18), (0.67, 0.18), (0.75, 0.44)], mix(GLASS, INK, 0.2))
    for u in (0.12, 0.68):
        brush.oval(u, 0.6, u + 0.2, 1, INK)
        brush.oval(u + 0.06, 0.72, u + 0.14, 0.88, CREAM)
    brush.oval(0.93, 0.54, 0.99, 0.66, LAMPLIGHT, glowing=True)


def van(brush: Brush) -> None:
    """A delivery van with a stripe."""
    brush.polygon(
        [(0.02, 0.84), (0.02, 0.06), (0.7, 0.06), (0.86, 0.4), (0.98, 0.5), (0.98, 0.84)],
        brush.paint,
    )
    brush.box(0.02, 0.5, 0.62, 0.6, brush.accent)
    brush.polygon([(0.64, 0.42), (0.64, 0.16), (0.69, 0.16), (0.81, 0.42)], mix(GLASS, INK, 0.2))
    for u in (0.14, 0.7):
        brush.oval(u, 0.68, u + 0.16, 1, INK)


def rowing_boat(brush: Brush) -> None:
    """A boat with a cabin or a bench."""
    if brush.rng.random() < 0.5:
        brush.box(0.3, 0.1, 0.66, 0.5, CREAM)
        brush.box(0.36, 0.18, 0.46, 0.36, GLASS)
        brush.box(0.26, 0.04, 0.7, 0.14, brush.accent)
    brush.polygon([(0, 0.42), (1, 0.42), (0.86, 0.95), (0.12, 0.95)], brush.paint)
    brush.box(0.02, 0.42, 0.98, 0.52, brush.accent)


# In the air.


def hot_air_balloon(brush: Brush) -> None:
    """A striped balloon with its basket."""
    brush.stroke([(0.3, 0.6), (0.42, 0.88)], 0.5, INK)
    brush.stroke([(0.7, 0.6), (0.58, 0.88)], 0.5, INK)
    brush.oval(0.04, 0, 0.96, 0.68, brush.paint)
    brush.polygon([(0.1, 0.46), (0.9, 0.46), (0.6, 0.76), (0.4, 0.76)], brush.paint)
    brush.oval(0.34, 0, 0.66, 0.72, brush.accent)
    brush.box(0.4, 0.86, 0.6, 1, WOODS[0])


def kite(brush: Brush) -> None:
    """A kite with a tail of bows."""
    brush.polygon([(0.5, 0), (1, 0.32), (0.5, 0.75), (0, 0.32)], brush.paint)
    brush.polygon([(0.5, 0), (1, 0.32), (0.5, 0.32)], brush.accent)
    brush.stroke([(0.5, 0.75), (0.4, 0.9), (0.6, 1.05), (0.45, 1.25)], 0.7, brush.accent)


def birds(brush: Brush) -> None:
    """A few gulls."""
    for u, v in brush.rng.uniform((0, 0), (1, 1), (5, 2)):
        wings = [(u - 0.08, v - 0.1), (u - 0.03, v - 0.14), (u, v), (u + 0.03, v - 0.14)]
        brush.stroke([*wings, (u + 0.08, v - 0.1)], 0.9, INK)


def bunting(brush: Brush) -> None:
    """A sagging string of little flags across the street."""
    u = np.linspace(0, 1, 15)
    sag = 4 * u * (1 - u)
    string = [(float(a), float(b)) for a, b in zip(u, sag, strict=True)]
    brush.stroke(string, 0.6, INK)
    for (u0, v0), (u1, v1) in pairwise(string):
        middle = ((u0 + u1) / 2, (v0 + v1) / 2 + 0.8)
        brush.polygon([(u0, v0), (u1, v1), middle], pick(brush.rng, PAINTS))


# Posts on which heads of the planted families stand; x is the post's own axis.


def post(brush: Brush) -> None:
    """A plain metal post with a foot."""
    brush.box(0.38, 0, 0.62, 1, brush.paint)
    brush.box(0.2, 0.92, 0.8, 1, brush.paint)


def weather(brush: Brush) -> None:
    """Nothing, haze, rain or snow over the whole postcard."""
    kind = brush.rng.random()
    if kind < 0.55:
        return
    if kind < 0.7:
        for step in range(4):
            v = 0.2 + 0.1 * step
            brush.box(0, v, 1, v + 0.25, brush.canvas.light.horizon, alpha=20, glowing=True)
    elif kind < 0.86:
        for u, v in brush.rng.random((90, 2)):
            brush.stroke([(u, v), (u - 0.012, v + 0.05)], 0.5, (222, 230, 240), alpha=110)
    else:
        for u, v, radius in brush.rng.uniform((0, 0, 0.002), (1, 1, 0.006), (130, 3)):
            flake: Colour = (250, 250, 252)
            brush.oval(u - radius, v - radius, u + radius, v + radius, flake, alpha=200)


SCENERY: dict[str, tuple[Design, ...]] = {
    "sun or moon": (sun_or_moon,),
    "cloud": (cloud,),
    "ridge": (hills, hills, peaks),
    "sea": (sea,),
    "far house": (far_house,),
    "thicket": (thicket,),
    "wall": (wall,),
    "shop window": (shop_window,),
    "pavement": (pavement,),
    "road": (road,),
    "cobbles": (cobbles,),
    "canal": (canal,),
    "lawn": (lawn,),
    "person": (person,),
    "street thing": (flower_tub, bin, bicycle, parasol, fruit_stall),
    "dog": (dog,),
    "vehicle": (car, car, van),
    "boat": (rowing_boat,),
    "flier": (hot_air_balloon, kite, birds),
    "bunting": (bunting,),
    "post": (post,),
    "weather": (weather,),
}
