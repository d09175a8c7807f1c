"""Where unsupervised reading starts: ink of lines, its connected pieces, groups of like pieces.

Legend: `H W` pixels of a line, `n` pieces, `c` columns of a cut-out, `K` sprites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from scipy import ndimage

from typika.errors import DataError
from typika.typewriter.sheet import SpriteSheet, sheet_of

Ink = Float[ndarray, "H W"]
Inks = Sequence[Float[ndarray, "H _"]]  # lines of one height and any width

PAPER_QUANTILE = 0.85  # of a column's pixels: the paper there
PAPER_WINDOW = 0.95  # line heights over which paper is smoothed
NOISE = 0.12  # of the darkest ink: what differs less from the paper is paper
PIECE_BLUR = 0.6  # pixels, before pieces are told apart
PIECE_INK = 0.1  # blurred ink of a piece
SMALLEST = 4  # pixels of a piece
STACKED = 0.5  # pieces that share so much of the narrower one's columns are one: dots, accents
WIDEST = 0.75  # line heights: wider pieces are several characters
LIKENESS_BLUR = 1.2  # pixels, before pieces are compared
N_COMPONENTS = 40  # of their principal components


@dataclass(frozen=True)
class Piece:
    """Connected ink, with what stands over or under it; right is exclusive."""

    left: int
    right: int
    mask: Bool[ndarray, "H c"]  # its pixels in these columns


def ink_image(pixels: UInt8[ndarray, "H W 3"]) -> Ink:
    """Ink in [0, 1] of a line: 0 on its paper, 1 at its darkest, whatever the colours of either.

    The paper is a high quantile of each column, smoothed along the line. A line without contrast
    has no ink.
    """
    grey = pixels.mean(axis=2) / 255
    height, width = grey.shape
    window = min(max(round(PAPER_WINDOW * height), 1), width)
    paper = ndimage.median_filter(
        np.quantile(grey, PAPER_QUANTILE, axis=0), window, mode="nearest"
    )
    paper = ndimage.gaussian_filter1d(paper, window / 3, mode="nearest")
    darker = paper - grey
    darkest = float(np.quantile(darker, 0.99))
    if darkest <= 1 / 255:
        return np.zeros_like(grey)
    return np.clip((np.clip(darker / darkest, 0, 1) - NOISE) / (1 - NOISE), 0, 1)


def row_shifts(inks: Inks, *, furthest: int) -> Int[ndarray, " lines"]:
    """Rows by which each line hangs lower than the others, so that baselines can be made level.

    The rows' ink is compared with the mean of all lines, twice, so that the mean gets sharp.
    """
    profiles = np.array([ink.sum(axis=1) / max(float(ink.sum()), 1e-9) for ink in inks])
    shifts = np.zeros(len(inks), dtype=int)
    candidates = np.arange(-furthest, furthest + 1)
    for _ in range(2):
        level = np.array(
            [_rolled(one, -int(by)) for one, by in zip(profiles, shifts, strict=True)]
        )
        mean = level.mean(axis=0)
        fits = np.array(
            [[_rolled(one, -by) @ mean for by in candidates.tolist()] for one in profiles]
        )
        # Of equal fits the smallest shift: a line without ink stays where it is.
        shifts = candidates[(fits - 1e-9 * np.abs(candidates)).argmax(axis=1)]
    return shifts - round(float(np.median(shifts)))


def levelled(ink: Ink, shift: int) -> Ink:
    """A line moved up by `shift` rows; what leaves it is lost."""
    return _rolled(ink, -shift)


def _rolled(rows: ndarray, by: int) -> ndarray:
    """Rows moved down by `by`, empty ones following."""
    moved = np.zeros_like(rows)
    if by >= 0:
        moved[by:] = rows[: len(rows) - by]
    else:
        moved[:by] = rows[-by:]
    return moved


def find_pieces(ink: Ink) -> list[Piece]:
    """The connected pieces of ink of a line, from left to right; dots belong to their stems."""
    smooth = ndimage.gaussian_filter(ink, PIECE_BLUR)
    labels, _ = ndimage.label(smooth > PIECE_INK, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    spans = [
        (own[1].start, own[1].stop, {number})
        for number, own in enumerate(ndimage.find_objects(labels), start=1)
        if own is not None and sizes[number] >= SMALLEST
    ]
    joined: list[tuple[int, int, set[int]]] = []
    for left, right, numbers in sorted(spans, key=lambda span: span[:2]):
        for place, (start, end, others) in enumerate(joined[-3:], start=len(joined[:-3])):
            shared = min(right, end) - max(left, start)
            if shared >= STACKED * min(right - left, end - start):
                joined[place] = (min(left, start), max(right, end), others | numbers)
                break
        else:
            joined.append((left, right, numbers))
    return [
        Piece(left, right, np.isin(labels[:, left:right], list(numbers)))
        for left, right, numbers in joined
    ]


def cut_outs(inks: Inks) -> Float[ndarray, "n H c"]:
    """The ink of every piece that may be a character, in the middle of a frame of its own."""
    half = round(WIDEST * inks[0].shape[0] / 2)
    found = []
    for ink in inks:
        for piece in find_pieces(ink):
            width = piece.right - piece.left
            if width > 2 * half - 2:
                continue
            frame = np.zeros((ink.shape[0], 2 * half))
            start = half - (piece.left + piece.right) // 2 + piece.left
            # One pixel around it, where its edge fades out.
            mask = ndimage.binary_dilation(np.pad(piece.mask, ((0, 0), (1, 1))))
            padded = np.pad(ink, ((0, 0), (1, 1)))[:, piece.left : piece.right + 2]
            frame[:, start - 1 : start + width + 1] = padded * mask
            found.append(frame)
    return np.array(found).reshape(len(found), inks[0].shape[0], 2 * half)


def first_sprites(inks: Inks, n_sprites: int, seed: int) -> SpriteSheet:
    """k-means of blurred pieces, all inked alike; a sprite is the median of a group.

    inks: lines of one height, level. Raises DataError if there are fewer pieces than sprites.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    pieces = cut_outs(inks)
    if len(pieces) < n_sprites:
        raise DataError(
            f"lines: {len(pieces)} pieces of ink for {n_sprites} sprites; give more lines, or ask "
            f"for fewer sprites"
        )
    blurred = ndimage.gaussian_filter(pieces, (0, LIKENESS_BLUR, LIKENESS_BLUR))
    vectors = blurred.reshape(len(pieces), -1)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    n_components = min(N_COMPONENTS, *vectors.shape)
    reduced = PCA(n_components, svd_solver="randomized", random_state=seed).fit_transform(vectors)
    groups = KMeans(n_sprites, n_init=2, random_state=seed).fit_predict(reduced)
    return sheet_of([np.median(pieces[groups == one], axis=0) for one in range(n_sprites)])
