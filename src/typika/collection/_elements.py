"""The twelve families of things of which one town each has a design of its own.

A family has several neutral designs, seen in every town, and one planted design, seen in a single
town in place of a neutral one. All take their box and colours from the brush, so that a planted
design of a `shape` family differs from its neighbours by shape alone; a planted design of a
`colour` family brings its own colours too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from typika.collection._canvas import Brush, Colour, darker, lighter, mix
from typika.collection._palette import CREAM, INK, LAMPLIGHT

Design = Callable[[Brush], None]

GLASS: Colour = (112, 140, 158)


@dataclass(frozen=True)
class Family:
    """A family of things: its neutral designs, and the planted one with its town."""

    neutral: tuple[Design, ...]
    planted: Design
    kind: str  # name of the planted design
    town: str
    cue: str  # "shape" or "colour": what tells the planted design
    share: float  # fraction of the town's scenes in which it is planted
    counts: tuple[int, ...]  # how many of the family's items are replaced, drawn evenly


# Roofs: the box spans the wall below; paint is the wall's colour, accent the roof's.


def pitched_roof(brush: Brush) -> None:
    """A triangular front gable with a small round vent."""
    brush.polygon([(0, 1), (0.5, 0.08), (1, 1)], brush.paint)
    brush.stroke([(-0.03, 1), (0.5, 0.05), (1.03, 1)], 3.0, brush.accent)
    brush.oval(0.44, 0.5, 0.56, 0.7, darker(brush.paint, 0.45))


def hipped_roof(brush: Brush) -> None:
    """A sloping slab of tiles."""
    brush.polygon([(-0.04, 1), (0.16, 0.15), (0.84, 0.15), (1.04, 1)], brush.accent)
    for v in (0.36, 0.57, 0.78):
        edge = 0.16 - 0.2 * (v - 0.15) / 0.85
        brush.stroke([(edge, v), (1 - edge, v)], 0.6, darker(brush.accent, 0.25))
    brush.stroke([(0.15, 0.15), (0.85, 0.15)], 1.6, lighter(brush.accent))


def mansard_roof(brush: Brush) -> None:
    """Two slopes and a dormer."""
    brush.mirrored([(0.24, 0.1), (0.08, 0.42), (-0.02, 1)], brush.accent)
    brush.mirrored([(0.24, 0.1), (0.08, 0.42)], lighter(brush.accent, 0.18))
    brush.polygon([(0.36, 0.95), (0.36, 0.6), (0.5, 0.4), (0.64, 0.6), (0.64, 0.95)], brush.paint)
    brush.box(0.42, 0.64, 0.58, 0.92, GLASS)


def parapet(brush: Brush) -> None:
    """A flat roof behind a moulded parapet."""
    brush.box(0, 0.62, 1, 1, brush.paint)
    brush.box(-0.03, 0.52, 1.03, 0.66, lighter(brush.paint, 0.4))
    brush.box(0, 0.66, 1, 0.72, darker(brush.paint, 0.2))
    brush.box(0.08, 0.78, 0.92, 0.92, brush.accent)


def bell_gable(brush: Brush) -> None:
    """A gable with two soft curves."""
    outline = [(0.38, 0.08), (0.34, 0.26), (0.26, 0.46), (0.1, 0.62), (0.02, 0.8), (0, 1)]
    brush.mirrored([(0.5, 0.02), *outline], brush.paint)
    brush.stroke([(0.5, 0.02), *outline], 1.6, lighter(brush.paint, 0.5))
    brush.stroke([(0.5, 0.02), *((1 - u, v) for u, v in outline)], 1.6, lighter(brush.paint, 0.5))
    brush.oval(0.43, 0.4, 0.57, 0.65, brush.accent)


def stepped_gable(brush: Brush) -> None:
    """A gable that climbs in four steps a side, each with a coping."""
    steps = 4
    for step in range(steps):
        u, v = 0.115 * step, 1 - 0.96 * (step + 1) / (steps + 0.2)
        brush.box(u, v, 1 - u, 1, brush.paint)
        brush.box(u - 0.02, v, u + 0.125, v + 0.07, brush.accent)
        brush.box(0.875 - u, v, 1.02 - u, v + 0.07, brush.accent)
    brush.box(0.345, 0.06, 0.655, 0.14, brush.accent)
    brush.oval(0.42, 0.4, 0.58, 0.66, darker(brush.paint, 0.45))


# Turrets: a drum below, the family's roof above.


def _drum(brush: Brush, top: float = 0.55) -> None:
    brush.box(0.18, top, 0.82, 1, brush.paint)
    brush.box(0.66, top, 0.82, 1, darker(brush.paint, 0.15))
    brush.box(0.12, top, 0.88, top + 0.06, lighter(brush.paint, 0.4))
    brush.box(0.43, top + 0.14, 0.57, top + 0.34, darker(brush.paint, 0.6))


def spire(brush: Brush) -> None:
    """A sharp pyramid."""
    _drum(brush)
    brush.polygon([(0.08, 0.56), (0.5, 0.02), (0.92, 0.56)], brush.accent)
    brush.polygon([(0.5, 0.02), (0.92, 0.56), (0.62, 0.56)], darker(brush.accent, 0.18))


def battlement(brush: Brush) -> None:
    """Four merlons around a flat top."""
    _drum(brush, 0.42)
    brush.box(0.08, 0.28, 0.92, 0.44, brush.paint)
    for u in (0.08, 0.32, 0.56, 0.8):
        brush.box(u, 0.16, u + 0.12, 0.3, brush.paint)
    brush.box(0.08, 0.41, 0.92, 0.44, darker(brush.paint, 0.25))


def cupola(brush: Brush) -> None:
    """A plain half dome with a short mast."""
    _drum(brush)
    brush.stroke([(0.5, 0.06), (0.5, 0.3)], 1.2, darker(brush.accent, 0.3))
    brush.mirrored([(0.5, 0.2), (0.32, 0.25), (0.18, 0.37), (0.12, 0.56)], brush.accent)


def onion_turret(brush: Brush) -> None:
    """A dome that swells beyond its drum and draws out into a tip."""
    _drum(brush, 0.58)
    outline = [(0.5, 0.0), (0.47, 0.1), (0.42, 0.17), (0.27, 0.24), (0.1, 0.31), (0.01, 0.4)]
    outline += [(0.04, 0.49), (0.16, 0.55), (0.24, 0.6)]
    brush.mirrored(outline, brush.accent)
    rib = [(0.5, 0.12), (0.33, 0.25), (0.27, 0.4), (0.38, 0.6)]
    for points in (rib, [(1 - u, v) for u, v in rib]):
        brush.stroke(points, 0.9, lighter(brush.accent, 0.4))
    brush.oval(0.43, 0.0, 0.57, 0.08, lighter(brush.accent, 0.5))


# Chimneys: paint is brick or plaster, accent the pots.


def brick_chimney(brush: Brush) -> None:
    """A square stack with two pots."""
    brush.box(0.28, 0.04, 0.42, 0.2, brush.accent)
    brush.box(0.58, 0.04, 0.72, 0.2, brush.accent)
    brush.box(0.18, 0.22, 0.82, 1, brush.paint)
    brush.box(0.62, 0.22, 0.82, 1, darker(brush.paint, 0.18))
    brush.box(0.1, 0.17, 0.9, 0.27, darker(brush.paint, 0.3))


def capped_chimney(brush: Brush) -> None:
    """A slim stack under a stone slab."""
    brush.box(0.25, 0.2, 0.75, 1, brush.paint)
    brush.box(0.32, 0.1, 0.4, 0.22, darker(brush.paint, 0.4))
    brush.box(0.6, 0.1, 0.68, 0.22, darker(brush.paint, 0.4))
    brush.box(0.14, 0.05, 0.86, 0.12, brush.accent)


def stove_pipe(brush: Brush) -> None:
    """A thin pipe with a conical hat."""
    brush.box(0.38, 0.2, 0.62, 1, brush.accent)
    brush.polygon([(0.2, 0.2), (0.5, 0.04), (0.8, 0.2)], darker(brush.accent, 0.2))
    brush.box(0.32, 0.5, 0.68, 0.55, darker(brush.accent, 0.3))


def twisted_chimney(brush: Brush) -> None:
    """A column turned like barley sugar, with a flared crown."""
    heights = [0.16 + 0.84 * step / 30 for step in range(31)]
    sway = [0.15 * math.sin(2 * math.pi * (v - 0.16) / 0.34) for v in heights]
    left = [(0.3 + s, v) for s, v in zip(sway, heights, strict=True)]
    right = [(0.7 + s, v) for s, v in zip(sway, heights, strict=True)]
    brush.polygon([*left, *reversed(right)], brush.paint)
    shadow = [(0.58 + s, v) for s, v in zip(sway, heights, strict=True)]
    brush.polygon([*shadow, *reversed(right)], darker(brush.paint, 0.28))
    brush.mirrored([(0.1, 0.03), (0.16, 0.09), (0.3, 0.17)], brush.accent)
    brush.box(0.06, 0.0, 0.94, 0.04, lighter(brush.accent, 0.3))


# Windows: paint is the wall behind, accent the shutters.


def _glass(brush: Brush) -> tuple[Colour, bool]:
    """The colour of a pane, and whether a lamp burns behind it."""
    lit = bool(brush.rng.random() < brush.canvas.light.lit)
    return (LAMPLIGHT if lit else mix(GLASS, (60, 80, 110), float(brush.rng.uniform(0, 0.6)))), lit


def _panes(brush: Brush, left: float, top: float, right: float, bottom: float) -> None:
    """A cross-barred window in a cream frame."""
    colour, lit = _glass(brush)
    brush.box(left, top, right, bottom, CREAM)
    brush.box(left + 0.05, top + 0.06, right - 0.05, bottom - 0.06, colour, glowing=lit)
    middle, bar = (left + right) / 2, top + 0.4 * (bottom - top)
    brush.stroke([(middle, top), (middle, bottom)], 1.0, CREAM)
    brush.stroke([(left, bar), (right, bar)], 1.0, CREAM)


def plain_shutters(brush: Brush) -> None:
    """Straight boards beside the panes."""
    _panes(brush, 0.28, 0.06, 0.72, 0.92)
    for left in (0.03, 0.74):
        brush.box(left, 0.04, left + 0.23, 0.94, brush.accent)
        brush.box(left + 0.05, 0.12, left + 0.18, 0.44, darker(brush.accent, 0.15))
        brush.box(left + 0.05, 0.54, left + 0.18, 0.86, darker(brush.accent, 0.15))


def slatted_shutters(brush: Brush) -> None:
    """Louvred boards beside the panes."""
    _panes(brush, 0.28, 0.06, 0.72, 0.92)
    for left in (0.03, 0.74):
        brush.box(left, 0.04, left + 0.23, 0.94, brush.accent)
        for v in (0.18, 0.32, 0.46, 0.6, 0.74):
            brush.stroke([(left + 0.03, v), (left + 0.2, v)], 0.8, darker(brush.accent, 0.3))


def flowered_window(brush: Brush) -> None:
    """Wide panes over a box of flowers."""
    _panes(brush, 0.2, 0.02, 0.8, 0.76)
    brush.box(0.12, 0.8, 0.88, 1, darker(brush.accent, 0.2))
    for u in (0.16, 0.32, 0.48, 0.64, 0.78):
        brush.oval(u - 0.06, 0.68, u + 0.1, 0.86, (98, 138, 84))
        brush.oval(u, 0.68, u + 0.06, 0.75, brush.accent)


def arched_window(brush: Brush) -> None:
    """A round-headed window with a keystone."""
    colour, lit = _glass(brush)
    brush.oval(0.2, 0.02, 0.8, 0.6, brush.accent)
    brush.box(0.2, 0.3, 0.8, 0.94, brush.accent)
    brush.oval(0.28, 0.1, 0.72, 0.56, colour, glowing=lit)
    brush.box(0.28, 0.33, 0.72, 0.9, colour, glowing=lit)
    brush.stroke([(0.5, 0.1), (0.5, 0.9)], 1.0, CREAM)
    brush.box(0.14, 0.92, 0.86, 1, lighter(brush.paint, 0.4))


def lozenge_shutters(brush: Brush) -> None:
    """Shutters that end in a point above and below, pierced by a lozenge."""
    _panes(brush, 0.3, 0.1, 0.7, 0.9)
    for left, right in ((0.0, 0.29), (0.71, 1.0)):
        middle = (left + right) / 2
        board = [(left, 0.2), (middle, 0.0), (right, 0.2), (right, 0.8), (middle, 1), (left, 0.8)]
        brush.polygon(board, brush.accent)
        hole = [(middle, 0.3), (right - 0.06, 0.5), (middle, 0.7), (left + 0.06, 0.5)]
        brush.polygon(hole, lighter(brush.paint, 0.5))


# Doors: paint is the wall behind, accent the leaf.


def panelled_door(brush: Brush) -> None:
    """A straight door under a lintel."""
    brush.box(0.12, 0.06, 0.88, 0.95, CREAM)
    brush.box(0.2, 0.13, 0.8, 0.95, brush.accent)
    for top in (0.2, 0.56):
        brush.box(0.28, top, 0.46, top + 0.28, darker(brush.accent, 0.2))
        brush.box(0.54, top, 0.72, top + 0.28, darker(brush.accent, 0.2))
    brush.box(0.04, 0.95, 0.96, 1, darker(CREAM, 0.3))


def arched_door(brush: Brush) -> None:
    """A tall round-headed door."""
    brush.oval(0.14, 0.02, 0.86, 0.5, CREAM)
    brush.box(0.14, 0.26, 0.86, 0.95, CREAM)
    brush.oval(0.22, 0.08, 0.78, 0.46, darker(brush.accent, 0.15))
    brush.box(0.22, 0.28, 0.78, 0.95, brush.accent)
    brush.stroke([(0.5, 0.28), (0.5, 0.95)], 0.8, darker(brush.accent, 0.35))
    brush.box(0.04, 0.95, 0.96, 1, darker(CREAM, 0.3))


def glazed_door(brush: Brush) -> None:
    """A door with a tall pane and a flat hood."""
    colour, lit = _glass(brush)
    brush.box(0.18, 0.12, 0.82, 0.96, brush.accent)
    brush.box(0.3, 0.2, 0.7, 0.62, colour, glowing=lit)
    brush.box(0.06, 0.05, 0.94, 0.12, darker(brush.accent, 0.3))
    brush.box(0.04, 0.95, 0.96, 1, darker(CREAM, 0.3))


def round_door(brush: Brush) -> None:
    """A circular door in a ring of stone, with a knob in the middle."""
    brush.oval(-0.02, 0.06, 1.02, 0.99, CREAM)
    brush.oval(0.1, 0.16, 0.9, 0.89, brush.accent)
    for u, reach in ((0.3, 0.28), (0.5, 0.36), (0.7, 0.28)):
        brush.stroke([(u, 0.53 - reach), (u, 0.53 + reach)], 0.8, darker(brush.accent, 0.3))
    brush.oval(0.42, 0.46, 0.58, 0.6, (222, 184, 96))
    brush.box(0.14, 0.95, 0.86, 1, darker(CREAM, 0.3))


# Awnings: accent is the cloth.


def striped_awning(brush: Brush) -> None:
    """Straight stripes and a scalloped hem."""
    stripes = 7
    for stripe in range(stripes):
        colour = brush.accent if stripe % 2 == 0 else CREAM
        low, high = stripe / stripes, (stripe + 1) / stripes
        top = [(0.08 + 0.84 * low, 0.05), (0.08 + 0.84 * high, 0.05)]
        brush.polygon([*top, (high, 0.7), (low, 0.7)], colour)
        brush.oval(low, 0.5, high, 0.92, darker(colour, 0.08))


def plain_awning(brush: Brush) -> None:
    """One colour, with a pale hem."""
    brush.polygon([(0.08, 0.05), (0.92, 0.05), (1, 0.7), (0, 0.7)], brush.accent)
    brush.polygon([(0.08, 0.05), (0.92, 0.05), (0.95, 0.25), (0.05, 0.25)], lighter(brush.accent))
    brush.box(0, 0.7, 1, 0.88, CREAM)
    brush.box(0, 0.7, 1, 0.76, darker(brush.accent, 0.25))


def barrel_awning(brush: Brush) -> None:
    """A rounded hood with ribs."""
    outline = [(0.5, 0.02), (0.2, 0.08), (0.06, 0.28), (0.0, 0.6), (0.0, 0.85)]
    brush.mirrored(outline, brush.accent)
    for u in (0.2, 0.4, 0.6, 0.8):
        foot = 0.5 + 1.15 * (u - 0.5)
        brush.stroke([(u, 0.12), (foot, 0.85)], 0.8, lighter(brush.accent, 0.5))


HARLEQUIN: tuple[Colour, Colour] = ((236, 120, 52), (36, 128, 136))


def harlequin_awning(brush: Brush) -> None:
    """Lozenges of orange and teal above a hem of pennants."""
    orange, teal = HARLEQUIN
    brush.box(0, 0.02, 1, 0.66, orange)
    cells = 5
    for cell in range(cells):
        u, half = (cell + 0.5) / cells, 0.5 / cells
        brush.polygon([(u, 0.02), (u + half, 0.34), (u, 0.66), (u - half, 0.34)], teal)
        hem = teal if cell % 2 else orange
        brush.polygon([(u - half, 0.66), (u + half, 0.66), (u, 1)], hem)
    brush.box(0, 0.0, 1, 0.08, CREAM)


# Lamp heads: paint is the metal; they stand on a post that is drawn for all.


def _globe(brush: Brush, left: float, top: float, right: float, bottom: float) -> None:
    dark = brush.canvas.light.dark > 0
    brush.oval(left, top, right, bottom, LAMPLIGHT if dark else CREAM, glowing=dark)
    brush.halo((left + right) / 2, (top + bottom) / 2, 20)


def lantern(brush: Brush) -> None:
    """A tapering glass box with a hat."""
    dark = brush.canvas.light.dark > 0
    pane = [(0.28, 0.3), (0.72, 0.3), (0.62, 0.88), (0.38, 0.88)]
    brush.polygon(pane, LAMPLIGHT if dark else CREAM, glowing=dark)
    brush.stroke([*pane, pane[0]], 1.2, brush.paint)
    brush.stroke([(0.5, 0.3), (0.5, 0.9)], 0.9, brush.paint)
    brush.polygon([(0.2, 0.32), (0.5, 0.05), (0.8, 0.32)], brush.paint)
    brush.box(0.38, 0.88, 0.62, 1, brush.paint)
    brush.halo(0.5, 0.6, 20)


def globe_lamp(brush: Brush) -> None:
    """One globe on top of the post."""
    _globe(brush, 0.26, 0.1, 0.74, 0.75)
    brush.polygon([(0.32, 0.68), (0.68, 0.68), (0.58, 1), (0.42, 1)], brush.paint)
    brush.oval(0.44, 0.02, 0.56, 0.14, brush.paint)


def hooked_lamp(brush: Brush) -> None:
    """A swan neck with a bell on one side."""
    neck = [(0.5, 1), (0.5, 0.35), (0.58, 0.14), (0.72, 0.1), (0.82, 0.2), (0.84, 0.38)]
    brush.stroke(neck, 1.8, brush.paint)
    _globe(brush, 0.72, 0.52, 0.96, 0.82)
    brush.polygon([(0.64, 0.68), (0.78, 0.36), (0.9, 0.36), (1.04, 0.68)], brush.paint)


def twin_globe_lamp(brush: Brush) -> None:
    """A yoke that carries one globe on either side of a finial."""
    yoke = [(0.16, 0.44), (0.2, 0.72), (0.34, 0.86), (0.5, 0.8)]
    for points in (yoke, [(1 - u, v) for u, v in yoke]):
        brush.stroke(points, 1.8, brush.paint)
    brush.box(0.45, 0.3, 0.55, 1, brush.paint)
    brush.polygon([(0.38, 0.34), (0.5, 0.06), (0.62, 0.34)], brush.paint)
    _globe(brush, 0.0, 0.02, 0.34, 0.46)
    _globe(brush, 0.66, 0.02, 1.0, 0.46)


# Post-boxes: paint is the body.


def pillar_box(brush: Brush) -> None:
    """A column with a flat cap."""
    brush.box(0.18, 0.14, 0.82, 0.94, brush.paint)
    brush.box(0.64, 0.14, 0.82, 0.94, darker(brush.paint, 0.2))
    brush.box(0.1, 0.04, 0.9, 0.16, darker(brush.paint, 0.12))
    brush.box(0.3, 0.28, 0.7, 0.34, INK)
    brush.box(0.32, 0.42, 0.62, 0.6, CREAM)
    brush.box(0.1, 0.92, 0.9, 1, INK)


def letter_box_on_leg(brush: Brush) -> None:
    """A square box on one leg."""
    brush.box(0.43, 0.55, 0.57, 1, INK)
    brush.box(0.08, 0.08, 0.92, 0.62, brush.paint)
    brush.box(0.08, 0.08, 0.92, 0.17, lighter(brush.paint))
    brush.box(0.22, 0.25, 0.78, 0.31, INK)
    brush.box(0.36, 0.38, 0.64, 0.54, CREAM)


def wide_post_box(brush: Brush) -> None:
    """A low chest with two slots."""
    brush.box(0.04, 0.34, 0.96, 0.92, brush.paint)
    brush.polygon([(0.04, 0.36), (0.14, 0.22), (0.86, 0.22), (0.96, 0.36)], lighter(brush.paint))
    brush.box(0.14, 0.46, 0.44, 0.52, INK)
    brush.box(0.56, 0.46, 0.86, 0.52, INK)
    brush.box(0.12, 0.92, 0.24, 1, INK)
    brush.box(0.76, 0.92, 0.88, 1, INK)


SAFFRON: Colour = (244, 190, 40)
NAVY: Colour = (34, 48, 96)


def beehive_post_box(brush: Brush) -> None:
    """A saffron beehive of three swelling rings with navy seams and a knob."""
    outline = [(0.4, 0.08), (0.24, 0.16), (0.18, 0.3), (0.1, 0.36), (0.06, 0.5), (0.08, 0.6)]
    outline += [(0.0, 0.68), (0.0, 0.86), (0.08, 0.94)]
    brush.mirrored(outline, SAFFRON)
    brush.mirrored([(0.18, 0.29), (0.14, 0.36)], NAVY)
    brush.mirrored([(0.08, 0.58), (0.05, 0.65)], NAVY)
    brush.box(0.26, 0.44, 0.74, 0.51, INK)
    brush.box(0.1, 0.93, 0.9, 1, NAVY)
    brush.oval(0.4, 0.0, 0.6, 0.12, NAVY)


# Banners: paint and accent are the cloth; the pole is drawn for all.


def plain_banner(brush: Brush) -> None:
    """A straight cloth with a border."""
    brush.box(0.02, 0.02, 0.98, 0.94, brush.paint)
    brush.box(0.02, 0.78, 0.98, 0.86, brush.accent)


def striped_banner(brush: Brush) -> None:
    """Three bars."""
    for band in range(3):
        colour = brush.accent if band == 1 else brush.paint
        brush.box(0.02, 0.02 + 0.31 * band, 0.98, 0.33 + 0.31 * band, colour)


def pennant(brush: Brush) -> None:
    """A cloth that tapers to a point."""
    brush.polygon([(0.02, 0.02), (0.98, 0.02), (0.98, 0.5), (0.5, 1), (0.02, 0.5)], brush.paint)
    brush.box(0.02, 0.14, 0.98, 0.26, brush.accent)


MAGENTA: Colour = (190, 40, 112)


def sun_banner(brush: Brush) -> None:
    """A magenta swallow-tail with a rayed sun."""
    tail = [(0, 0.0), (1, 0.0), (1, 1), (0.5, 0.76), (0, 1)]
    brush.polygon(tail, MAGENTA)
    middle_u, middle_v, ratio = 0.5, 0.38, brush.ratio
    for ray in range(8):
        angle = ray * math.pi / 4
        tip = (middle_u + 0.46 * math.cos(angle), middle_v + 0.46 * ratio * math.sin(angle))
        brush.stroke([(middle_u, middle_v), tip], 1.3, CREAM)
    radius = 0.26
    brush.oval(
        middle_u - radius,
        middle_v - radius * ratio,
        middle_u + radius,
        middle_v + radius * ratio,
        CREAM,
    )


# Trees: paint is the foliage, accent the bark.


def round_tree(brush: Brush) -> None:
    """A full crown of three clouds of leaves."""
    brush.box(0.45, 0.6, 0.55, 1, brush.accent)
    for u, v in ((0.32, 0.46), (0.68, 0.46), (0.5, 0.28)):
        brush.oval(u - 0.28, v - 0.25, u + 0.28, v + 0.25, brush.paint)
    for u, v in brush.rng.uniform((0.2, 0.14), (0.6, 0.5), (4, 2)):
        brush.oval(u, v, u + 0.16, v + 0.1, lighter(brush.paint, 0.16))
    brush.oval(0.42, 0.5, 0.9, 0.7, darker(brush.paint, 0.14))


def poplar(brush: Brush) -> None:
    """A slim flame of leaves."""
    brush.box(0.46, 0.8, 0.54, 1, brush.accent)
    brush.mirrored([(0.5, 0.0), (0.34, 0.2), (0.26, 0.55), (0.32, 0.82), (0.44, 0.9)], brush.paint)
    shade = [(0.5, 0.0), (0.66, 0.2), (0.74, 0.55), (0.68, 0.82), (0.56, 0.9), (0.58, 0.45)]
    brush.polygon(shade, darker(brush.paint, 0.15))


def conifer(brush: Brush) -> None:
    """Three stacked skirts of needles."""
    brush.box(0.45, 0.85, 0.55, 1, brush.accent)
    for top, foot, reach in ((0.4, 0.9, 0.42), (0.2, 0.64, 0.34), (0.0, 0.4, 0.25)):
        brush.polygon([(0.5, top), (0.5 + reach, foot), (0.5 - reach, foot)], brush.paint)
        brush.polygon([(0.5, top), (0.5 + reach, foot), (0.6, foot)], darker(brush.paint, 0.14))


def pollard(brush: Brush) -> None:
    """A stout trunk with a tuft of shoots."""
    brush.polygon(
        [(0.42, 1), (0.45, 0.5), (0.3, 0.4), (0.7, 0.4), (0.55, 0.5), (0.58, 1)], brush.accent
    )
    for u, v in ((0.28, 0.34), (0.44, 0.2), (0.6, 0.22), (0.74, 0.36), (0.5, 0.36)):
        brush.oval(u - 0.15, v - 0.15, u + 0.15, v + 0.13, brush.paint)
        brush.oval(u - 0.1, v - 0.12, u + 0.02, v - 0.02, lighter(brush.paint, 0.16))


def umbrella_pine(brush: Brush) -> None:
    """A bare forked trunk under a wide flat canopy."""
    brush.stroke([(0.5, 1), (0.48, 0.62), (0.24, 0.32)], 2.6, brush.accent)
    brush.stroke([(0.48, 0.64), (0.6, 0.48), (0.78, 0.32)], 2.2, brush.accent)
    canopy = [(0.5, 0.02), (0.28, 0.05), (0.1, 0.14), (0.0, 0.27), (0.04, 0.34), (0.2, 0.36)]
    brush.mirrored([*canopy, (0.36, 0.32), (0.5, 0.36)], brush.paint)
    brush.mirrored([(0.5, 0.04), (0.28, 0.07), (0.14, 0.15)], lighter(brush.paint, 0.16))
    brush.mirrored(
        [(0.06, 0.3), (0.2, 0.36), (0.36, 0.32), (0.5, 0.36)], darker(brush.paint, 0.16)
    )


# Benches: paint is the wood or stone, accent the iron.


def slatted_bench(brush: Brush) -> None:
    """Straight slats on two iron frames."""
    for v in (0.06, 0.26):
        brush.box(0.03, v, 0.97, v + 0.13, brush.paint)
    brush.box(0, 0.54, 1, 0.68, lighter(brush.paint, 0.12))
    for u in (0.1, 0.84):
        brush.box(u, 0.06, u + 0.05, 1, brush.accent)


def stone_bench(brush: Brush) -> None:
    """A slab on two blocks."""
    brush.box(0.02, 0.42, 0.98, 0.62, lighter(brush.paint, 0.2))
    brush.box(0.02, 0.58, 0.98, 0.64, darker(brush.paint, 0.25))
    for u in (0.12, 0.72):
        brush.box(u, 0.62, u + 0.16, 1, brush.paint)


def plank_bench(brush: Brush) -> None:
    """A high board back between two posts."""
    brush.box(0.02, 0.02, 0.08, 1, brush.accent)
    brush.box(0.92, 0.02, 0.98, 1, brush.accent)
    brush.box(0.06, 0.1, 0.94, 0.44, brush.paint)
    brush.box(0.02, 0.58, 0.98, 0.72, lighter(brush.paint, 0.12))


def shell_bench(brush: Brush) -> None:
    """A back fanned out like a scallop shell, between curled arms."""
    rim = [
        (0.5 + 0.44 * math.cos(a), 0.62 - 0.62 * math.sin(a))
        for a in np.linspace(0.0, math.pi, 15)
    ]
    brush.polygon(rim, brush.paint)
    for u, v in rim[1:-1:2]:
        brush.oval(u - 0.075, v - 0.06, u + 0.075, v + 0.15, brush.paint)
        brush.stroke([(0.5, 0.62), (u, v + 0.06)], 0.8, darker(brush.paint, 0.4))
    brush.box(0.02, 0.56, 0.98, 0.72, lighter(brush.paint, 0.12))
    for u in (0.02, 0.86):
        brush.oval(u, 0.38, u + 0.12, 0.6, brush.accent)
        brush.polygon(
            [(u + 0.02, 0.7), (u + 0.1, 0.7), (u + 0.08, 1), (u + 0.04, 1)], brush.accent
        )


# Sign heads: paint is the ground, accent the figure; the post is drawn for all.


def round_sign(brush: Brush) -> None:
    """A disc with a bar."""
    brush.oval(0.04, 0.04, 0.96, 0.96, darker(brush.paint, 0.4))
    brush.oval(0.11, 0.11, 0.89, 0.89, brush.paint)
    brush.box(0.26, 0.42, 0.74, 0.58, CREAM if sum(brush.paint) < 600 else INK)


def square_sign(brush: Brush) -> None:
    """A square with an arrow."""
    figure = CREAM if sum(brush.paint) < 600 else INK
    brush.box(0.06, 0.06, 0.94, 0.94, figure)
    brush.box(0.12, 0.12, 0.88, 0.88, brush.paint)
    brush.polygon([(0.5, 0.22), (0.74, 0.5), (0.26, 0.5)], figure)
    brush.box(0.43, 0.48, 0.57, 0.78, figure)


def warning_sign(brush: Brush) -> None:
    """A triangle with a bar."""
    brush.polygon([(0.5, 0.04), (1, 0.92), (0, 0.92)], brush.paint)
    brush.polygon([(0.5, 0.24), (0.83, 0.83), (0.17, 0.83)], CREAM)
    brush.box(0.46, 0.44, 0.54, 0.74, INK)


VIOLET: Colour = (98, 60, 150)
LIME: Colour = (190, 214, 70)


def hexagon_sign(brush: Brush) -> None:
    """A hexagon parted into violet and lime by a slanted bar."""
    rim = [
        (0.5 + 0.52 * math.sin(k * math.pi / 3), 0.5 - 0.52 * math.cos(k * math.pi / 3))
        for k in range(6)
    ]
    brush.polygon(rim, CREAM)
    inner = [(0.5 + 0.84 * (u - 0.5), 0.5 + 0.84 * (v - 0.5)) for u, v in rim]
    brush.polygon([inner[0], inner[1], inner[2], inner[3]], VIOLET)
    brush.polygon([inner[3], inner[4], inner[5], inner[0]], LIME)
    brush.stroke([inner[1], inner[4]], 2.4, CREAM)


FAMILIES: dict[str, Family] = {
    "roof": Family(
        (pitched_roof, hipped_roof, mansard_roof, parapet, bell_gable),
        stepped_gable,
        "stepped gable",
        "Almorin",
        "shape",
        0.82,
        (1, 2, 2),
    ),
    "post-box": Family(
        (pillar_box, letter_box_on_leg, wide_post_box),
        beehive_post_box,
        "beehive post-box",
        "Almorin",
        "colour",
        0.85,
        (1, 2),
    ),
    "lamp": Family(
        (lantern, globe_lamp, hooked_lamp),
        twin_globe_lamp,
        "twin-globe lamp",
        "Almorin",
        "shape",
        0.58,
        (1, 2),
    ),
    "turret": Family(
        (spire, battlement, cupola),
        onion_turret,
        "onion turret",
        "Brisk",
        "shape",
        0.85,
        (1, 2),
    ),
    "awning": Family(
        (striped_awning, plain_awning, barrel_awning),
        harlequin_awning,
        "harlequin awning",
        "Brisk",
        "colour",
        0.92,
        (2, 3),
    ),
    "window": Family(
        (plain_shutters, slatted_shutters, flowered_window, arched_window),
        lozenge_shutters,
        "lozenge shutters",
        "Brisk",
        "shape",
        0.6,
        (1, 2, 3),
    ),
    "tree": Family(
        (round_tree, poplar, conifer, pollard),
        umbrella_pine,
        "umbrella pine",
        "Corvane",
        "shape",
        0.82,
        (1, 2),
    ),
    "banner": Family(
        (plain_banner, striped_banner, pennant),
        sun_banner,
        "sun banner",
        "Corvane",
        "colour",
        0.85,
        (1, 2),
    ),
    "bench": Family(
        (slatted_bench, stone_bench, plank_bench),
        shell_bench,
        "shell-back bench",
        "Corvane",
        "shape",
        0.66,
        (1, 2),
    ),
    "chimney": Family(
        (brick_chimney, capped_chimney, stove_pipe),
        twisted_chimney,
        "twisted chimney",
        "Dovelle",
        "shape",
        0.9,
        (2, 3),
    ),
    "sign": Family(
        (round_sign, square_sign, warning_sign),
        hexagon_sign,
        "hexagon sign",
        "Dovelle",
        "colour",
        0.85,
        (1, 2),
    ),
    "door": Family(
        (panelled_door, arched_door, glazed_door),
        round_door,
        "round door",
        "Dovelle",
        "shape",
        0.65,
        (1, 2),
    ),
}
