"""Sprites fitted to lines that stay where they stand, by penalised least squares.

Drawing is linear in the sprites but for ink that covers ink, so with places and scales held, the
sprites of a group of lines are the least of

    Σ_lines Σ_pixels m (y − U(s))²  +  Σ_k λ_k |s_k − parent_k|²

with y the ink of the line, m its mask and U(s) the union of its characters. What a mean of cut-out
instances blurs, since each is resampled, or leaves of its neighbours, is not in this.

Legend: `K` letters, `h w` pixels of a sprite, `H W` of a line, `n` characters of a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from typika.devices import device_of
from typika.typewriter import drawing
from typika.typewriter.batches import Line, collate
from typika.typewriter.learner import paths_of
from typika.typewriter.redraws import Characters, Redraws

ITERATIONS = 6  # quasi-Newton steps
LOOKS = ITERATIONS * 5 // 4  # at all lines, at most
HISTORY = 8
MOST_PENALTY = 1e6  # instances; no parent is worth more


@dataclass(frozen=True)
class Placed:
    """A line with its characters, each knowing its letter. letter: −1 draws nothing."""

    line_id: str
    ink: Float[Tensor, "H W"]
    mask: Float[Tensor, "H W"]
    characters: Characters
    letter: Int[Tensor, " n"]


def placed_lines(
    model: Redraws, lines: Sequence[Line], number: Int[Tensor, "K L"]
) -> Iterator[Placed]:
    """Lines as a model aligns them. number: the letter of each symbol and form; −1 for none."""
    model.eval()
    for line in lines:
        with torch.no_grad():
            seen = model.see(collate([line]).to(device_of(model)))
            found = model.placed(seen, paths_of(seen.reading, seen.batch.texts))
        found, batch = found.to(torch.device("cpu")), seen.batch.to(torch.device("cpu"))
        letter = number[found.symbol, found.share.argmax(1)]
        yield Placed(line.line_id, batch.ink_image[0], batch.mask[0], found, letter)


def drawn_ink(sprites: Float[Tensor, "K h w"], line: Placed) -> Float[Tensor, "H W"]:
    """A line drawn with other sprites, where its characters stand."""
    shown = line.letter >= 0
    own = line.characters
    height, width = line.ink.shape
    if not bool(shown.any()):
        return sprites.new_zeros(height, width)
    windows = drawing.draw(
        sprites[line.letter[shown]] * own.strength[shown, None, None], own.middle[shown],
        own.log_scale[shown], own.line[shown], height=height,
        reach=float(own.log_scale.exp().max()),
    )  # fmt: skip
    return drawing.united(windows, 1, width)[0]


def squared_error(sprites: Float[Tensor, "K h w"], line: Placed) -> Float[Tensor, ""]:
    """Sum over the pixels that count of the squared error of the ink."""
    return ((line.ink - drawn_ink(sprites, line)).square() * line.mask).sum()


def refitted(
    lines: Sequence[Placed],
    start: Float[Tensor, "K h w"],
    parent: Float[Tensor, "K h w"],
    penalty: Float[Tensor, " K"],
    *,
    iterations: int = ITERATIONS,
    advance: Callable[[int], None] = lambda _: None,
) -> Float[Tensor, "K h w"]:
    """Sprites in [0, 1] that draw some lines best, each drawn to its parent by λ.

    start: where the search begins. penalty: λ, in instances; at `MOST_PENALTY` and above, and for
    letters that no line has, there is the parent, exactly. advance: told of looks at all lines.
    """
    count = torch.zeros(len(parent))
    for line in lines:
        count += torch.bincount(line.letter[line.letter >= 0], minlength=len(parent))
    used = (count > 0) & (penalty < MOST_PENALTY)
    if not bool(used.any()):
        return parent.clone()
    weight = torch.where(used, penalty, 0.0)[:, None, None]
    # In these coordinates rare letters are as steep as frequent ones.
    steep = count[:, None, None] + weight
    scale = torch.where(used[:, None, None], steep.clamp_min(1).rsqrt(), 0.0)
    away = torch.where(scale > 0, (start - parent) / scale.clamp_min(1e-9), 0.0)
    away.requires_grad_(True)
    search = torch.optim.LBFGS(
        [away],
        max_iter=iterations,
        max_eval=iterations * 5 // 4,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )

    def look() -> Tensor:
        search.zero_grad()
        sprites = (parent + scale * away).detach().requires_grad_(True)
        total = (weight * (sprites - parent).square()).sum()
        (gradient,) = torch.autograd.grad(total, sprites)
        total = total.detach()
        for line in lines:  # one at a time, or memory would grow with their number
            error = squared_error(sprites, line)
            gradient = gradient + torch.autograd.grad(error, sprites)[0]
            total += error.detach()
        away.grad = scale * gradient
        advance(1)
        return total

    search.step(look)  # type: ignore[no-untyped-call]
    found = (parent + scale * away.detach()).clamp(0, 1)
    return torch.where(used[:, None, None], found, parent)
