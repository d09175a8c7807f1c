"""All ways to set sprites side by side on lines, and the best of them. Pure.

The error of a line is Σ (ink − Σ_i a_i s_i)², where the sprites s_i overlap in their tails only;
what a sprite takes off it, its gain, is then 2 a ⟨ink, s⟩ − a² ‖s‖², whatever its neighbours.
The sum of gains, less a cost for each sprite, is maximised by dynamic programming over columns.

Legend: `b` lines of common width, `W` their columns, `E` = W + 1 borders between columns, `K`
sprites, `H` rows, `q` places where a sprite was set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import fft

IMPOSSIBLE = -1e9
REACH = 14  # columns right of a sprite within which the line has settled without it


@dataclass(frozen=True)
class Fits:
    """How well each sprite would fit with its first column at each column of the lines.

    gain: squared ink that it explains; amplitude: of its ink; down: rows below its own.
    """

    gain: Float[ndarray, "b K W"]
    amplitude: Float[ndarray, "b K W"]
    down: Int[ndarray, "b K W"]


@dataclass(frozen=True)
class Lattice:
    """Best sums over the columns before each border, and after it.

    value: gain less cost of a sprite whose core starts at a border; widths: columns of each core.
    before, after: best sums; n_before, n_after: sprites in them; choice: the sprite whose core
    ends at a border in the best sum, -1 for none.
    """

    value: Float[ndarray, "E b K"]
    widths: Int[ndarray, " K"]
    before: Float[ndarray, "E b"]
    n_before: Int[ndarray, "E b"]
    choice: Int[ndarray, "E b"]


def fits(
    images: Float[ndarray, "b H W"],
    sprites: Float[ndarray, "K H w"],
    shifts: Sequence[int],
    amplitudes: tuple[float, float],
) -> Fits:
    """Correlate all sprites with all lines: a Fourier transform along the rows, then matrices."""
    height, width = images.shape[1:]
    size = fft.next_fast_len(width + sprites.shape[2], real=True)
    spectra = fft.rfft(images.astype(np.float32), size, axis=2)
    kernels = np.conj(fft.rfft(sprites.astype(np.float32), size, axis=2))
    spectra = np.ascontiguousarray(spectra.transpose(2, 0, 1))
    kernels = np.ascontiguousarray(kernels.transpose(2, 1, 0))
    best, down = None, None
    for shift in sorted(shifts, key=abs):
        moved = np.zeros_like(spectra)
        rows = slice(max(shift, 0), height + min(shift, 0))
        moved[:, :, rows.start - shift : rows.stop - shift] = spectra[:, :, rows]
        product = np.matmul(moved, kernels)  # (frequencies, b, K)
        here = fft.irfft(np.ascontiguousarray(product.transpose(1, 2, 0)), size, axis=2)
        here = here[:, :, :width]
        if best is None or down is None:
            best, down = here.copy(), np.full(here.shape, shift, dtype=np.int8)
        else:
            down[here > best] = shift
            np.maximum(best, here, out=best)
    assert best is not None
    assert down is not None
    norm = np.maximum((sprites**2).sum(axis=(1, 2)), 1e-6).astype(np.float32)[None, :, None]
    amplitude = np.clip(best / norm, *amplitudes)
    return Fits(amplitude * (2 * best - amplitude * norm), amplitude, down)


def build(found: Fits, core: Int[ndarray, "K 2"], cost: float) -> Lattice:
    """The best sums from the left. core: first column and end of each sprite's own columns."""
    n_lines, n_sprites, width = found.gain.shape
    widths = core[:, 1] - core[:, 0]
    value = np.full((width + 1, n_lines, n_sprites), IMPOSSIBLE, dtype=np.float32)
    for sprite, (start, _) in enumerate(core):
        last = width - widths[sprite]  # border at which its core may start at the latest
        starts = slice(start, max(last + 1, start))
        own = found.gain[:, sprite, : starts.stop - start]
        value[starts, :, sprite] = own.T - cost
    before = np.zeros((width + 1, n_lines))
    n_before = np.zeros((width + 1, n_lines), dtype=int)
    choice = np.full((width + 1, n_lines), -1)
    lines = np.arange(n_lines)
    for end in range(1, width + 1):
        before[end], n_before[end] = before[end - 1], n_before[end - 1]
        sprites = np.flatnonzero(widths <= end)
        if not len(sprites):
            continue
        starts = end - widths[sprites]
        sums = before[starts] + value[starts, :, sprites]  # (sprites, b)
        chosen = sums.argmax(axis=0)
        better = np.flatnonzero(sums[chosen, lines] > before[end])
        own = chosen[better]
        before[end, better] = sums[own, better]
        n_before[end, better] = n_before[starts[own], better] + 1
        choice[end, better] = sprites[own]
    return Lattice(value, widths, before, n_before, choice)


def best_way(lattice: Lattice, line: int) -> list[tuple[int, int]]:
    """Sprite and border at which its core starts, from left to right."""
    end, way = len(lattice.choice) - 1, []
    while end > 0:
        sprite = int(lattice.choice[end, line])
        if sprite < 0:
            end -= 1
            continue
        end -= int(lattice.widths[sprite])
        way.append((sprite, end))
    return way[::-1]


@dataclass(frozen=True)
class _After:
    """Best sums over the columns after each border, and the sprites in them."""

    total: Float[ndarray, "E b"]
    count: Int[ndarray, "E b"]


def _after(lattice: Lattice) -> _After:
    total = np.zeros_like(lattice.before)
    count = np.zeros_like(lattice.n_before)
    last, lines = len(total) - 1, np.arange(total.shape[1])
    for start in range(last - 1, -1, -1):
        ends = np.minimum(start + lattice.widths, last)
        sums = total[ends].T + lattice.value[start]
        chosen = sums.argmax(axis=1)
        best = sums[lines, chosen]
        better = best > total[start + 1]
        total[start] = np.where(better, best, total[start + 1])
        count[start] = np.where(better, count[ends[chosen], lines] + 1, count[start + 1])
    return _After(total, count)


def without(
    lattice: Lattice, ways: Sequence[Sequence[tuple[int, int]]], cost: float
) -> list[tuple[Float[ndarray, " q"], Int[ndarray, " q"]]]:
    """For each sprite set on each line: what if it might not stand there?

    ways: `best_way` of each line. Returns, for each line and each sprite on it, by how much the
    squared error would grow, and how many more sprites the line would have.
    """
    after = _after(lattice)
    places = [(line, turn, *one) for line, way in enumerate(ways) for turn, one in enumerate(way)]
    answer = [(np.zeros(len(way)), np.zeros(len(way), dtype=int)) for way in ways]
    table = np.array(places, dtype=int).reshape(-1, 4)
    for sprite in np.unique(table[:, 2]):
        line, turn, _, start = table[table[:, 2] == sprite].T
        error, more = _excluded(lattice, after, int(sprite), line, start, cost)
        for place, (one, number) in enumerate(zip(line, turn, strict=True)):
            answer[one][0][number], answer[one][1][number] = error[place], more[place]
    return answer


def _excluded(
    lattice: Lattice,
    after: _After,
    sprite: int,
    line: Int[ndarray, " q"],
    start: Int[ndarray, " q"],
    cost: float,
) -> tuple[Float[ndarray, " q"], Int[ndarray, " q"]]:
    """The same for all places of one sprite: a second pass over the columns at and after it."""
    last, back = len(lattice.before) - 1, int(lattice.widths.max())
    own, others = int(lattice.widths[sprite]), np.delete(np.arange(len(lattice.widths)), sprite)
    reach, places = own + REACH, np.arange(len(line))
    borders = np.clip(start[None] + np.arange(-back, reach + 1)[:, None], 0, last)
    total = lattice.before[borders, line]  # row `back` is the border where the sprite started
    count = lattice.n_before[borders, line]
    best = np.full(len(line), -np.inf)
    n_best = np.zeros(len(line), dtype=int)
    for step in range(1, reach + 1):
        now = back + step
        total[now], count[now] = total[now - 1], count[now - 1]
        if len(others):
            begin = step - lattice.widths[others]
            border = start[None] + begin[:, None]
            possible = (border >= 0) & (start[None] + step <= last)
            gain = lattice.value[np.clip(border, 0, last), line[None], others[:, None]]
            sums = total[back + begin] + np.where(possible, gain, IMPOSSIBLE)
            chosen = sums.argmax(axis=0)
            better = sums[chosen, places] > total[now]
            total[now] = np.where(better, sums[chosen, places], total[now])
            n_chosen = count[back + begin[chosen], places] + 1
            count[now] = np.where(better, n_chosen, count[now])
        if step >= own:
            border = np.minimum(start + step, last)
            whole = total[now] + after.total[border, line]
            better = (whole > best) & (start + step <= last)
            n_whole = count[now] + after.count[border, line]
            n_best, best = np.where(better, n_whole, n_best), np.where(better, whole, best)
    more = n_best - lattice.n_before[last, line]
    return lattice.before[last, line] - best - cost * more, more
