"""Where the demo postcards are painted: an antialiased canvas that knows what stays visible.

Coordinates are *postcard units*: a postcard is 256 units wide and high whatever its size in
pixels; x points right, y points down. A `Brush` sees one item's own box as the unit square
(u right, v down), so that every drawing is written once and fits every size.

The canvas keeps, beside the colours, a map of which tracked item owns each pixel. Painting over
an item takes pixels away from it; the map reaches beyond the frame, so that what the frame cuts
off counts as hidden too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

POSTCARD = 256.0  # units on a side
SUPERSAMPLE = 3  # canvas pixels per image pixel, in each direction
MARGIN = 64.0  # units around the frame in which ownership is still followed

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom exclusive


@dataclass(frozen=True)
class Light:
    """A time of day: the sky's colours, what it does to all others, what is lit."""

    sky: Colour  # zenith
    horizon: Colour
    tint: tuple[float, float, float]  # multiplies every colour that does not glow
    lit: float  # fraction of the windows with a lamp behind
    dark: float  # strength of the halos around lamps, in [0, 1]


@dataclass(frozen=True)
class Item:
    """One thing in the scene: what it is, where it stands, its colours and its own seed."""

    family: str
    x: float  # middle, units
    y: float  # foot, units
    width: float  # units
    height: float  # units
    paint: Colour
    accent: Colour
    seed: int


@dataclass(frozen=True)
class View:
    """The square part of the scene that the postcard shows."""

    left: float  # units
    top: float  # units
    zoom: float  # >= 1; the part is 256 / zoom units on a side

    def holds(self, item: Item) -> bool:
        """Whether most of the item lies within the view."""
        side = POSTCARD / self.zoom
        u, v = (item.x - self.left) / side, (item.y - item.height / 2 - self.top) / side
        reach_u, reach_v = 0.35 * item.width / side, 0.35 * item.height / side
        return reach_u <= u <= 1 - reach_u and reach_v <= v <= 1 - reach_v


@dataclass(frozen=True)
class Sighting:
    """How much of a tracked item is to be seen in the finished image."""

    item: Item
    box: Box  # around its visible pixels
    visible: float  # fraction of its own pixels that nothing covers and the frame holds


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """(1 − share)·first + share·second; `share` in [0, 1]."""
    red, green, blue = (
        round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True)
    )
    return red, green, blue


def darker(colour: Colour, share: float = 0.2) -> Colour:
    """The colour in shadow; `share` in [0, 1] of the way to a cool near-black."""
    return mix(colour, (24, 22, 40), share)


def lighter(colour: Colour, share: float = 0.25) -> Colour:
    """The colour in light; `share` in [0, 1] of the way to a warm white."""
    return mix(colour, (255, 250, 238), share)


class Canvas:
    """A square picture being painted, `size` pixels on a side when finished."""

    def __init__(self, size: int, light: Light, view: View) -> None:
        self.size = size
        self.light = light
        self.view = view
        self.halos: list[tuple[float, float, float]] = []  # x, y, radius of lights, units
        self._pixels = size / POSTCARD * view.zoom  # image pixels per unit
        side = size * SUPERSAMPLE
        self._picture = Image.new("RGB", (side, side))
        self._draw = ImageDraw.Draw(self._picture, "RGBA")
        self._margin = round(MARGIN * size / POSTCARD)
        owned_side = size + 2 * self._margin
        self._owners = Image.new("L", (owned_side, owned_side))
        self._owners_draw = ImageDraw.Draw(self._owners)
        self._owner = 0  # number of the item being painted; 0: nobody who is tracked
        self._tracked: list[tuple[Item, int]] = []  # item, pixels it painted

    def start(self, item: Item) -> None:
        """Follow `item`: all that is painted until `finish` is its own."""
        self._owner = len(self._tracked) + 1
        self._tracked.append((item, 0))

    def finish(self) -> None:
        """End what `start` began."""
        painted = int((np.asarray(self._owners) == self._owner).sum())
        self._tracked[-1] = (self._tracked[-1][0], painted)
        self._owner = 0

    def sightings(self) -> list[Sighting]:
        """The tracked items of which any pixel is visible, in the order they were painted."""
        inside = slice(self._margin, self._margin + self.size)
        owners = np.asarray(self._owners)[inside, inside]
        found = []
        for number, (item, painted) in enumerate(self._tracked, start=1):
            rows, columns = np.nonzero(owners == number)
            if len(rows):
                left, top = int(columns.min()), int(rows.min())
                box = (left, top, int(columns.max()) + 1, int(rows.max()) + 1)
                found.append(Sighting(item, box, len(rows) / painted))
        return found

    def pixels(self) -> Float32[np.ndarray, "size size 3"]:
        """The antialiased picture, levels from 0 to 255, with a halo around every light."""
        picture = np.asarray(self._picture.reduce(SUPERSAMPLE)).astype(np.float32)
        if self.light.dark:
            for x, y, radius in self.halos:
                self._shine(picture, *self._image_xy(x, y), radius * self._pixels)
        return picture

    def _shine(self, picture: np.ndarray, x: float, y: float, reach: float) -> None:
        """Add the halo of one light at (x, y), `reach` pixels wide, to the picture."""
        left, top = max(0, int(x - reach)), max(0, int(y - reach))
        area = picture[top : max(0, int(y + reach)), left : max(0, int(x + reach))]
        rows, columns = np.indices(area.shape[:2])
        distance = np.hypot(columns + left - x, rows + top - y) / reach
        glow = 70 * self.light.dark * np.clip(1 - distance, 0, 1) ** 2
        area += glow[:, :, None].astype(np.float32) * np.array([1.0, 0.85, 0.5], np.float32)

    def lay_sky(self, horizon: float) -> None:
        """Fill the picture with the sky's own light, down to `horizon` units and beyond."""
        top, bottom = self.light.sky, self.light.horizon
        side = self._picture.height
        first, last = self.view.top, self.view.top + POSTCARD / self.view.zoom
        shares = (np.linspace(first, last, side) / horizon).clip(0, 1)[:, None]
        column = (1 - shares) * np.array(top) + shares * np.array(bottom)
        strip = Image.fromarray(column.round().astype(np.uint8)[:, None, :])
        self._picture.paste(strip.resize((side, side), Image.Resampling.NEAREST))

    def polygon(self, points: Points, colour: Colour, alpha: int, glowing: bool) -> None:
        """Fill a polygon; only opaque paint changes who owns the pixels."""
        fill = self._fill(colour, alpha, glowing)
        self._draw.polygon([self._canvas_xy(x, y) for x, y in points], fill)
        if self._follows(alpha):
            self._owners_draw.polygon([self._owner_xy(x, y) for x, y in points], self._owner)

    def oval(self, box: Points, colour: Colour, alpha: int, glowing: bool) -> None:
        """Fill the ellipse inside `box` = (left, top), (right, bottom)."""
        fill = self._fill(colour, alpha, glowing)
        self._draw.ellipse([self._canvas_xy(x, y) for x, y in box], fill)
        if self._follows(alpha):
            self._owners_draw.ellipse([self._owner_xy(x, y) for x, y in box], self._owner)

    def stroke(self, points: Points, width: float, colour: Colour, alpha: int) -> None:
        """Draw a line through `points`, `width` units thick."""
        fill = self._fill(colour, alpha, glowing=False)
        thick = max(1, round(width * self._pixels * SUPERSAMPLE))
        self._draw.line([self._canvas_xy(x, y) for x, y in points], fill, thick, "curve")
        if self._follows(alpha):
            thin = max(1, round(width * self._pixels))
            self._owners_draw.line(
                [self._owner_xy(x, y) for x, y in points], self._owner, thin, "curve"
            )

    def _follows(self, alpha: int) -> bool:
        return alpha == 255 and bool(self._tracked)

    def _fill(self, colour: Colour, alpha: int, glowing: bool) -> tuple[int, int, int, int]:
        if glowing:
            return (*colour, alpha)
        red, green, blue = (
            round(level * share) for level, share in zip(colour, self.light.tint, strict=True)
        )
        return red, green, blue, alpha

    def _canvas_xy(self, x: float, y: float) -> tuple[float, float]:
        left, top = self._image_xy(x, y)
        return left * SUPERSAMPLE, top * SUPERSAMPLE

    def _owner_xy(self, x: float, y: float) -> tuple[float, float]:
        left, top = self._image_xy(x, y)
        return left + self._margin, top + self._margin

    def _image_xy(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.view.left) * self._pixels, (y - self.view.top) * self._pixels


class Brush:
    """Paints one item on a canvas, with the item's box as the unit square."""

    def __init__(self, canvas: Canvas, item: Item) -> None:
        self.canvas = canvas
        self.paint, self.accent = item.paint, item.accent
        self.ratio = item.width / item.height
        self.rng = np.random.default_rng(item.seed)
        self._left, self._top = item.x - item.width / 2, item.y - item.height
        self._width, self._height = item.width, item.height

    def at(self, u: float, v: float) -> tuple[float, float]:
        """The point (u, v) of the unit square, in postcard units."""
        return self._left + u * self._width, self._top + v * self._height

    def polygon(
        self, points: Points, colour: Colour, alpha: int = 255, glowing: bool = False
    ) -> None:
        """Fill a polygon; `alpha` up to 255 (opaque), `glowing` paint ignores the daylight."""
        self.canvas.polygon([self.at(u, v) for u, v in points], colour, alpha, glowing)

    def mirrored(self, half: Points, colour: Colour, alpha: int = 255) -> None:
        """Fill the shape whose left outline is `half`, from top to bottom, and its mirror."""
        self.polygon([*half, *((1 - u, v) for u, v in reversed(half))], colour, alpha)

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        alpha: int = 255,
        glowing: bool = False,
    ) -> None:
        """Fill a rectangle."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.polygon(corners, colour, alpha, glowing)

    def oval(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        alpha: int = 255,
        glowing: bool = False,
    ) -> None:
        """Fill an ellipse."""
        box = [self.at(left, top), self.at(right, bottom)]
        self.canvas.oval(box, colour, alpha, glowing)

    def stroke(self, points: Points, width: float, colour: Colour, alpha: int = 255) -> None:
        """Draw a line through `points`, `width` postcard units thick."""
        self.canvas.stroke([self.at(u, v) for u, v in points], width, colour, alpha)

    def halo(self, u: float, v: float, radius: float) -> None:
        """Let a light of `radius` postcard units shine from (u, v) when it is dark."""
        self.canvas.halos.append((*self.at(u, v), radius))
