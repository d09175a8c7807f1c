"""Lines as characters with boxes: read, or aligned with a transcription that is known.

Legend: `n` characters of a line, `K` symbols, `L` sprites of a symbol, `h w` pixels of a sprite.
Boxes are left, top, right, bottom in pixels of the line at the model's height, the last two
exclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from typika.devices import device_of
from typika.typewriter import losses
from typika.typewriter.alphabet import Alphabet
from typika.typewriter.batches import Line, LineBatch, collate
from typika.typewriter.learner import paths_of
from typika.typewriter.redraws import Characters, Redraws

EDGE = 0.5  # share of a sprite's darkest ink from which a pixel belongs to its box
CPU = torch.device("cpu")
SPECK = 0.05  # share of a sprite's pixels of ink below which a piece of it is a stain


@dataclass(frozen=True)
class Alignment:
    """The characters of one line in reading order.

    aligned: whether with a known transcription; else they are what the model reads.
    text: of these characters. read: what the model reads, whatever is known.
    symbols: numbers in the alphabet. sprites: which of each symbol's L forms. boxes: of the ink;
    of a space, the gap. confidence: probability of the symbol at its cell, in [0, 1].
    cells: where it was read. log_likelihood: of the whole path, per cell.
    residual: mean square of ink minus drawing over the pixels that count. reconstruction: of the
    line minus the drawing in its colours.
    """

    line_id: str
    text: str
    read: str
    aligned: bool
    symbols: Int[ndarray, " n"]
    sprites: Int[ndarray, " n"]
    cells: Int[ndarray, " n"]
    boxes: Float[ndarray, "n 4"]
    confidence: Float[ndarray, " n"]
    log_likelihood: float
    residual: float
    reconstruction: float


@dataclass(frozen=True)
class Drawn:
    """One line, its characters, and the model's drawing of it."""

    alignment: Alignment
    characters: Characters
    batch: LineBatch
    ink: Float[Tensor, "H W"]


def align(model: Redraws, lines: Sequence[Line], alphabet: Alphabet) -> Iterator[Alignment]:
    """Characters of each line: of its transcription where it fits, else as the model reads.

    Lines are seen one at a time, so that the result does not depend on their company.
    """
    for drawn in redraw(model, lines, alphabet):
        yield drawn.alignment


def redraw(model: Redraws, lines: Sequence[Line], alphabet: Alphabet) -> Iterator[Drawn]:
    """As `align`, with the drawing of every line."""
    model.eval()
    extents = ink_extents(model.letters)
    for line in lines:
        yield _redrawn(model, line, alphabet, extents)


@torch.no_grad()
def _redrawn(
    model: Redraws, line: Line, alphabet: Alphabet, extents: Float[ndarray, "K L 4"]
) -> Drawn:
    seen = model.see(collate([line]).to(device_of(model)))
    reading, batch = seen.reading, seen.batch.to(CPU)
    fits, read = paths_of(reading, batch.texts)[0], paths_of(reading, (None,))[0]
    path = fits if len(fits.cells) or not line.symbols else read
    characters = model.placed(seen, [path])
    redrawn = model.redrawn(seen, characters)
    characters, ink = characters.to(CPU), redrawn.ink.to(CPU)
    colours = (batch.image - redrawn.image.to(CPU)).square().mean(1)
    alignment = Alignment(
        line_id=line.line_id,
        text=alphabet.decode(path.symbols.tolist()),
        read=alphabet.decode(read.symbols.tolist()),
        aligned=path is fits and line.symbols is not None,
        symbols=path.symbols,
        sprites=characters.share.argmax(1).numpy(),
        cells=path.cells,
        boxes=character_boxes(model, characters, extents, line.width),
        confidence=np.exp(path.log_probabilities),
        log_likelihood=path.log_likelihood / int(reading.n_cells[0]),
        residual=float(losses.squared(batch.ink_image - ink, batch.mask)),
        reconstruction=float((colours * batch.mask).sum() / batch.mask.sum().clamp_min(1)),
    )
    return Drawn(alignment, characters, batch, ink[0])


def character_boxes(
    model: Redraws, characters: Characters, extents: Float[ndarray, "K L 4"], width: int
) -> Float[ndarray, "n 4"]:
    """Where the ink of each drawn character is, kept inside the line; of a space, the gap."""
    own = extents[characters.symbol.numpy(), characters.share.argmax(1).numpy()]
    scale = characters.log_scale.exp().numpy()
    middle = characters.middle.numpy() + np.array([0, model.height / 2])
    boxes = own * scale[:, [0, 1, 0, 1]] + middle[:, [0, 1, 0, 1]]
    if model.space is not None:
        spaces = np.flatnonzero(characters.symbol.numpy() == model.space)
        boxes[spaces] = _gaps(boxes, spaces, width, model.height)
    limits = np.array([width, model.height] * 2)
    return np.clip(boxes, 0, limits)


def ink_extents(sprites: Float[Tensor, "K L h w"]) -> Float[ndarray, "K L 4"]:
    """Left, top, right, bottom of each sprite's ink from its middle; zeros where it has none.

    Pixels at half of the darkest and above are ink; pieces of less than a twentieth of them are
    stains of neighbours.
    """
    values = sprites.detach().cpu().numpy()
    extents = np.zeros((*values.shape[:2], 4))
    for place in np.ndindex(values.shape[:2]):
        extents[place] = _extent(values[place])
    return extents


def _extent(sprite: Float[ndarray, "h w"]) -> Float[ndarray, " 4"]:
    ink = sprite >= EDGE * max(sprite.max(), 1e-6)
    if not sprite.any():
        return np.zeros(4)
    pieces, n = ndimage.label(ink, np.ones((3, 3)))
    sizes = ndimage.sum_labels(ink, pieces, np.arange(1, n + 1))
    kept = np.isin(pieces, 1 + np.flatnonzero(sizes >= SPECK * ink.sum()))
    rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    height, width = sprite.shape
    return np.array([
        columns[0] - width / 2, rows[0] - height / 2,
        columns[-1] + 1 - width / 2, rows[-1] + 1 - height / 2,
    ])  # fmt: skip


def _gaps(boxes: ndarray, spaces: ndarray, width: int, height: int) -> Float[ndarray, "s 4"]:
    """From the right of the character before to the left of the one after."""
    before = np.where(spaces > 0, boxes[np.maximum(spaces - 1, 0), 2], 0.0)
    last = len(boxes) - 1
    after = np.where(spaces < last, boxes[np.minimum(spaces + 1, last), 0], float(width))
    left, right = np.minimum(before, after), np.maximum(before, after)
    return np.stack([left, np.zeros(len(spaces)), right, np.full(len(spaces), height)], axis=1)
