"""The colours of the demo postcards, the same for every town."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from typika.collection._canvas import Colour, Light

WALLS: tuple[Colour, ...] = (
    (236, 220, 188),
    (226, 178, 138),
    (204, 128, 102),
    (220, 190, 132),
    (172, 190, 172),
    (150, 176, 188),
    (228, 198, 190),
    (242, 234, 218),
    (184, 156, 164),
    (132, 158, 156),
)
ROOFS: tuple[Colour, ...] = (
    (164, 82, 62),
    (126, 76, 66),
    (88, 90, 102),
    (70, 78, 96),
    (116, 98, 78),
    (76, 104, 104),
    (180, 106, 74),
)
PAINTS: tuple[Colour, ...] = (
    (196, 64, 54),
    (44, 100, 142),
    (52, 120, 94),
    (228, 170, 62),
    (122, 74, 122),
    (230, 124, 64),
    (62, 62, 74),
    (240, 236, 226),
    (72, 150, 160),
    (208, 98, 130),
)
FOLIAGE: tuple[Colour, ...] = (
    (88, 132, 78),
    (112, 148, 84),
    (66, 112, 86),
    (140, 152, 76),
    (62, 98, 70),
    (190, 132, 66),
)
METALS: tuple[Colour, ...] = ((54, 58, 64), (72, 82, 80), (42, 62, 60), (98, 92, 86))
WOODS: tuple[Colour, ...] = ((140, 98, 66), (112, 78, 58), (164, 124, 84), (92, 76, 66))
STONES: tuple[Colour, ...] = ((176, 168, 158), (196, 186, 170), (154, 152, 152), (186, 172, 150))
SKINS: tuple[Colour, ...] = ((244, 206, 176), (214, 160, 122), (150, 104, 78), (98, 68, 54))
CREAM: Colour = (248, 240, 222)
INK: Colour = (44, 44, 56)
LAMPLIGHT: Colour = (255, 226, 158)


LIGHTS: tuple[Light, ...] = (
    Light((150, 172, 212), (250, 210, 194), (1.0, 0.95, 0.95), 0.15, 0.0),  # dawn
    Light((126, 182, 220), (226, 238, 236), (1.0, 1.0, 1.0), 0.05, 0.0),  # morning
    Light((86, 164, 214), (196, 226, 236), (1.0, 1.0, 0.98), 0.0, 0.0),  # noon
    Light((238, 178, 120), (255, 228, 178), (1.0, 0.93, 0.82), 0.2, 0.0),  # golden hour
    Light((86, 88, 150), (236, 150, 136), (0.86, 0.76, 0.84), 0.5, 0.5),  # dusk
    Light((28, 38, 80), (78, 92, 142), (0.62, 0.66, 0.84), 0.6, 0.9),  # night
    Light((170, 182, 192), (216, 220, 220), (0.93, 0.95, 0.97), 0.2, 0.0),  # overcast
    Light((120, 176, 176), (240, 228, 196), (0.98, 0.98, 0.94), 0.1, 0.0),  # sea mist
)


def pick(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """One of `colours`, mixed anew: each channel up to 8 levels off."""
    base = colours[int(rng.integers(len(colours)))]
    red, green, blue = (
        min(255, level + int(step))
        for level, step in zip(base, rng.integers(-8, 9, 3), strict=True)
    )
    return red, green, blue
