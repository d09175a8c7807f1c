"""One training step of the typewriter against a plain implementation of the published one.

The plain one draws as the published code was seen to: sprites of four channels mixed by
broadcasting, every cell warped by a call of its own and written into buffers as large as all
lines times all cells, all cells then blended one by one over the whole canvas. It is our own code;
its equality with the strips is asserted before anything is timed. Both have the published encoder
and two threads, and steps of either are timed in turn.

Alone, colours are warped beside the opacities with their border repeated, so that both draw the
same picture: in the released code colours fade at the borders of sprites.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as functional
from torch import Tensor

from benchmarks.record import Figure, Result, at_least, at_most
from typika.typewriter.batches import LineBatch
from typika.typewriter.compose import Placement, Windows, composite, warp
from typika.typewriter.learner import Learner, LearningConfig
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.published import PublishedTypewriter
from typika.typewriter.published_config import GOOGLE
from typika.typewriter.published_learner import PublishedLearner
from typika.typewriter.training import Learns

BATCH, WIDTH, CHARACTERS = 16, 800, 83
THREADS = 2
CONFIG = replace(GOOGLE, warm_start_steps=0)
REPEATS = 3  # steps of what is fast; of the plain one there is one


@dataclass(frozen=True)
class Contender:
    """A model whose step is held against the plain one's."""

    name: str
    build: Callable[[], Learns]
    least: float | None  # times faster


CONTENDERS = (
    Contender(
        "published", lambda: PublishedLearner(PublishedTypewriter(CONFIG, CHARACTERS)), None
    ),
    Contender("default", lambda: default_learner(), 150),
)


def default_learner() -> Learner:
    """The default typewriter once it reads, so that every second step draws."""
    generator = torch.Generator().manual_seed(0)
    model = Typewriter(ModelConfig(stride=8), CHARACTERS, space=None, generator=generator)
    learner = Learner(model, LearningConfig())
    learner.surprise.fill_(0.0)
    return learner


@dataclass(frozen=True)
class Scene:
    """All that drawing needs of a batch: leaves of a gradient, and the order of the layers."""

    sprites: Tensor  # k h w, without the blank
    logits: Tensor  # b t k+1, of the sprites and the blank
    colour: Tensor  # b t 3: β
    log_scale: Tensor  # b t
    shift: Tensor  # b t 2, in [-1, 1]
    background: Tensor  # b 3 H W
    priority: Tensor  # t


def draw_scene(batch: int, width: int, height: int = CONFIG.height) -> Scene:
    draw, cells, side = torch.Generator().manual_seed(0), width // 16, height // 2
    leaves = (
        torch.rand(CHARACTERS, side, side, generator=draw),
        torch.randn(batch, cells, CHARACTERS + 1, generator=draw) * 3,
        torch.randn(batch, cells, 3, generator=draw),
        torch.randn(batch, cells, generator=draw) / 5,
        torch.rand(batch, cells, 2, generator=draw) * 2 - 1,
        torch.rand(batch, 3, height, width, generator=draw),
    )
    return Scene(*(value.requires_grad_() for value in leaves), torch.rand(cells, generator=draw))


def with_blank(sprites: Tensor) -> Tensor:
    return torch.cat([sprites, sprites.new_zeros(1, *sprites.shape[1:])])


def plain(scene: Scene) -> Tensor:
    """The line as the published code draws it."""
    sprites, height = with_blank(scene.sprites), scene.background.shape[2]
    b, t = scene.log_scale.shape
    grey = torch.full_like(sprites, 0.5)
    grey[-1] = 0.0
    layers = torch.stack([grey, grey, grey, sprites], dim=1)  # RGB and opacity of every sprite
    mixed = (scene.logits.softmax(dim=2)[:, :, :, None, None, None] * layers).sum(dim=2)
    colour = (mixed[:, :, :3] * (1 + scene.colour[..., None, None])).sigmoid()
    masks = scene.background.new_zeros(t, b, 1, *scene.background.shape[2:])
    colours = scene.background.new_zeros(t, b, *scene.background.shape[1:])
    for cell in range(t):
        factor, none = 2 * scene.log_scale[:, cell].exp(), torch.zeros(b)
        rows = (
            torch.stack([factor, none, scene.shift[:, cell, 0]], dim=1),
            torch.stack([none, factor, scene.shift[:, cell, 1]], dim=1),
        )
        place = functional.affine_grid(
            torch.stack(rows, dim=1), [b, 3, height, height], align_corners=False
        )
        mask = functional.grid_sample(mixed[:, cell, 3:], place, align_corners=False)
        painted = functional.grid_sample(
            colour[:, cell], place, padding_mode="border", align_corners=False
        )
        start = 16 * cell - height // 2
        left, right = max(start, 0), min(start + height, masks.shape[4])
        masks[cell, ..., left:right] = mask[..., left - start : right - start]
        colours[cell, ..., left:right] = painted[..., left - start : right - start]
    canvas = scene.background
    for cell in scene.priority.argsort().tolist():
        canvas = masks[cell] * colours[cell] + (1 - masks[cell]) * canvas
    return canvas


def by_strips(scene: Scene) -> Tensor:
    """The same line, drawn by typika."""
    chosen = scene.logits.softmax(dim=2)
    b, t, _ = chosen.shape
    height, side = scene.background.shape[2], scene.sprites.shape[1]
    mixed = (chosen.flatten(0, 1) @ with_blank(scene.sprites).flatten(1)).view(b * t, side, side)
    scale = (-scene.log_scale).exp()
    shift = -scale[..., None] * scene.shift * height / 4
    places = Placement(scale_x=scale, scale_y=scale, shift_x=shift[..., 0], shift_y=shift[..., 1])
    alpha = warp(mixed, places.flat(), (height, height)).view(b, t, height, height)
    colour = ((1 - chosen[..., -1:]) * (1 + scene.colour) / 2).sigmoid()
    windows = Windows(stride=16, width=height)
    return composite(alpha, colour, scene.background, windows, scene.priority.expand(b, -1))


class PlainTypewriter(PublishedTypewriter):
    """The published model, with all that it draws drawn the plain way."""

    def losses(
        self,
        batch: LineBatch,
        progress: float,  # noqa: ARG002
        step: int,  # noqa: ARG002
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        features = self.encoder(batch.image)
        log_probabilities = self.selection(features, self.bank.codes)
        position = self.placing.position(features)
        scene = Scene(
            sprites=self.bank(),
            logits=log_probabilities,
            colour=self.placing.colour(features),
            log_scale=position[..., 0],
            shift=position[..., 1:].clamp(-1, 1),
            background=self._background(features, batch),
            priority=torch.rand(features.shape[1], generator=generator),
        )
        parts = self._parts(batch, self._reading(batch, log_probabilities), None, plain(scene))
        return {"total": self._total(parts), **parts}


def lines(batch: int, width: int) -> LineBatch:
    """Noise, with as many symbols as print of this width has."""
    draw = torch.Generator().manual_seed(1)
    texts = torch.randint(CHARACTERS, (batch, width // 24), generator=draw)
    return LineBatch(
        image=torch.rand(batch, 3, CONFIG.height, width, generator=draw),
        mask=torch.ones(batch, CONFIG.height, width),
        widths=torch.full((batch,), width),
        texts=tuple(map(tuple, texts.tolist())),
        paper=torch.full((batch, 3), 0.9),
        ink=torch.full((batch, 3), 0.1),
    )


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def drawing_seconds(draw: Callable[[Scene], Tensor], batch: int, width: int) -> float:
    scene = draw_scene(batch, width)
    return seconds(lambda: draw(scene).square().mean().backward())


def step_seconds(learner: Learns, batch: LineBatch) -> float:
    """Wall seconds of a step of the kind that costs most: one that draws."""
    draw = torch.Generator().manual_seed(0)
    return seconds(lambda: learner.step(batch, 3, 10, draw))


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


@contextmanager
def threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def difference(batch: int = 2, width: int = 208) -> float:
    """Largest difference of a pixel between both ways, and of a gradient as a share of it."""
    found, worst = {}, 0.0
    for draw in (plain, by_strips):
        scene = draw_scene(batch, width)
        line = draw(scene)
        line.sin().sum().backward()
        leaves = (scene.sprites, scene.logits, scene.colour, scene.log_scale, scene.shift)
        found[draw] = [line.detach(), *(leaf.grad for leaf in leaves)]
    worst = (found[plain][0] - found[by_strips][0]).abs().max().item()
    for one, two in zip(found[plain][1:], found[by_strips][1:], strict=True):
        assert (one - two).norm() < 1e-4 * one.norm(), "gradients of both ways differ"
    assert worst < 1e-5, f"both ways must draw the same line; they differ by {worst}"
    return worst


def kept_bytes(draw: Callable[[Scene], Tensor], width: int) -> int:
    """What is kept for the backward pass of one line, each piece of memory counted once."""
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        draw(draw_scene(1, width))
    return sum(kept.values())


def run(batch: int = BATCH, width: int = WIDTH) -> Result:
    with threads(THREADS):
        worst = difference()
        torch.manual_seed(0)
        by_strips(draw_scene(batch, width)).sum().backward()  # once before it counts
        strips = [drawing_seconds(by_strips, batch, width) for _ in range(REPEATS)]
        whole = drawing_seconds(plain, batch, width)
        strips += [drawing_seconds(by_strips, batch, width) for _ in range(REPEATS)]
        data = lines(batch, width)
        plain_step = step_seconds(PublishedLearner(PlainTypewriter(CONFIG, CHARACTERS)), data)
        steps = {}
        for one in CONTENDERS:
            learner = one.build()
            steps[one.name] = [step_seconds(learner, data) for _ in range(REPEATS)]
    rows = [
        "| | drawing and its gradient, s | whole step, s |", "|---|---|---|",
        f"| plain | {whole:.2f} | {plain_step:.2f} |",
        f"| strips, published encoder | {median(strips):.3f} | {median(steps['published']):.2f} |",
    ]  # fmt: skip
    memory = ["| pixels | kept by strips, MB | kept by the plain one, MB |", "|---|---|---|"]
    sizes = {
        way: [kept_bytes(way, side) for side in (400, 800, 1600)] for way in (by_strips, plain)
    }
    for number, side in enumerate((400, 800, 1600)):
        own, other = (sizes[way][number] / 1e6 for way in (by_strips, plain))
        memory.append(f"| {side} | {own:.1f} | {other:.1f} |")
    figures = [
        at_most("typewriter-step-difference", worst, 1e-5, "of a pixel's range"),
        at_most("typewriter-step-memory", sizes[by_strips][2] / sizes[by_strips][0], 4.1,
                "times, for a line four times as wide"),
        Figure(name="typewriter-step-memory-plain", value=sizes[plain][2] / sizes[plain][0],
               unit="times, for a line four times as wide", target="-", met=None),
        at_least("typewriter-step-compositor", whole / median(strips), 30, "times"),
    ]  # fmt: skip
    for one in CONTENDERS:
        name, ratio = f"typewriter-step-{one.name}", plain_step / median(steps[one.name])
        if one.least is None:
            figures.append(Figure(name=name, value=ratio, unit="times", target="-", met=None))
        else:
            figures.append(at_least(name, ratio, one.least, "times"))
    note = f"Batch {batch} of {CONFIG.height} x {width} pixels, {THREADS} threads."
    return Result(figures=figures, notes=(note, "\n".join(rows), "\n".join(memory)))
