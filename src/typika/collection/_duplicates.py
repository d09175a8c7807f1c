"""Near-duplicates: the same picture stored, exposed, cropped or compressed differently.

Three steps, none of which holds an n x n table:

1. candidates: pairs whose 64-bit perceptual hashes differ in at most `MAX_DISTANCE` bits;
2. verification: the pair's grey thumbnails must agree beyond what the whole collection shares;
3. groups: pairs are joined by average link, so that a chain of look-alikes is no group.

Images of one collection often share a layout (a frame, a mount, a ribcage), and a plain
correlation of thumbnails is then near 1 for any two of them. What all images share cannot tell
which two are the same, so the collection's mean thumbnail is subtracted first.

Legend: n images, m pairs, thumbnails (n, side²) grey values 0-255.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

MAX_DISTANCE = 6  # bits of the perceptual hash
MIN_CORRELATION = 0.96  # of the thumbnails' residuals, at the best shift of up to one pixel
MIN_CONTRAST = 2.0  # grey levels of standard deviation; flatter images match nothing
MIN_LINKED = 0.25  # fraction of all pairs between two groups that must match to join them
_WORTH_SHIFTING = 0.85  # pairs that correlate less than this in place are not tried shifted
_PRIOR_IMAGES = 50  # grey images mixed into the mean, so that few images do not define it
_BANDS, _BAND_BITS = 4, 16
_BLOCK = 1 << 18  # candidate pairs examined at once


def near_duplicates(hashes: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Group near-duplicates.

    Args:
        hashes: (n,) uint64 perceptual hashes.
        thumbnails: (n, side²) uint8 grey thumbnails in the same order.

    Returns:
        (n,) int64: for each image the index of the first member of its group, itself if it is
        alone. The result depends on the order of the images only through that choice.
    """
    left, right, correlation = matching_pairs(hashes, thumbnails)
    return _average_link(len(hashes), left, right, correlation)


def matching_pairs(
    hashes: np.ndarray, thumbnails: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the verified pairs (left < right) and their correlations, each (m,), in order."""
    residuals = _Residuals(thumbnails)
    found = []
    for left, right in _candidates(hashes):
        correlation = residuals.correlate(left, right)
        match = correlation >= MIN_CORRELATION
        found.append((left[match], right[match], correlation[match]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    left, right, correlation = (np.concatenate(parts) for parts in zip(*found, strict=True))
    # A pair may agree in several bands.
    _, once = np.unique(left * len(hashes) + right, return_index=True)
    return left[once], right[once], correlation[once]


def _candidates(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every pair (left < right) of hashes at most `MAX_DISTANCE` bits apart, in blocks.

    Pigeonhole: of 4 bands, one holds at most a quarter of 6 (or 7) differing bits, that is at
    most one. So looking up each band with none or one of its 16 bits flipped misses no pair.
    """
    everyone = np.arange(len(hashes))
    for band in range(_BANDS):
        keys = (hashes >> np.uint64(band * _BAND_BITS)).astype(np.uint16)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        for flip in np.array([0, *(1 << bit for bit in range(_BAND_BITS))], np.uint16):
            # Each pair once: of two keys one bit apart, the one without that bit asks.
            asking = np.flatnonzero(ordered & flip == 0) if flip else everyone
            wanted = ordered[asking] ^ flip
            first = np.searchsorted(ordered, wanted, side="left") if flip else asking + 1
            last = np.searchsorted(ordered, wanted, side="right")
            for one, other in _expand(asking, first, last):
                left, right = order[one], order[other]
                near = np.bitwise_count(hashes[left] ^ hashes[right]) <= MAX_DISTANCE
                if near.any():
                    left, right = left[near], right[near]
                    yield np.minimum(left, right), np.maximum(left, right)


def _expand(
    asking: np.ndarray, first: np.ndarray, last: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (asking[i], place) for every place in `first[i] : last[i]`, in blocks of pairs."""
    count = last - first
    end = np.cumsum(count)
    start = 0
    while start < len(count):
        done = int(end[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(end, done + _BLOCK, side="right")))
        part = slice(start, stop)
        before = np.repeat(end[part] - count[part] - done, count[part])
        place = np.repeat(first[part], count[part]) + np.arange(len(before)) - before
        yield np.repeat(asking[part], count[part]), place
        start = stop


class _Residuals:
    """Standardised thumbnails without the collection's mean, made for a few rows at a time."""

    def __init__(self, thumbnails: np.ndarray) -> None:
        self.thumbnails = thumbnails
        self.side = int(np.sqrt(thumbnails.shape[1])) if thumbnails.size else 0
        total = np.zeros(thumbnails.shape[1], np.float64)
        for start in range(0, len(thumbnails), 4096):
            total += self._standardised(np.arange(start, min(start + 4096, len(thumbnails)))).sum(
                axis=0
            )
        self.mean = (total / (len(thumbnails) + _PRIOR_IMAGES)).astype(np.float32)

    def correlate(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Best correlation (m,) of each pair over shifts of up to one thumbnail pixel."""
        best = np.full(len(left), -1.0, np.float32)
        for start in range(0, len(left), 4096):
            part = slice(start, start + 4096)
            best[part] = self._correlate(left[part], right[part])
        return best

    def _correlate(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        one, other = self._residual(left), self._residual(right)
        best = _correlation(one, other)
        worth = np.flatnonzero(best >= _WORTH_SHIFTING)
        centre, moved = one[worth, 1:-1, 1:-1], other[worth]
        inner = self.side - 2
        best[worth] = -1.0  # the same crop for all shifts, so that none is favoured
        for down in range(3):
            for across in range(3):
                crop = moved[:, down : down + inner, across : across + inner]
                best[worth] = np.maximum(best[worth], _correlation(centre, crop))
        flat = self._contrast(left) < MIN_CONTRAST
        flat |= self._contrast(right) < MIN_CONTRAST
        best[flat] = -1.0
        return best

    def _residual(self, rows: np.ndarray) -> np.ndarray:
        residual: np.ndarray = self._standardised(rows) - self.mean
        return residual.reshape(-1, self.side, self.side)

    def _standardised(self, rows: np.ndarray) -> np.ndarray:
        values: np.ndarray = self.thumbnails[rows].astype(np.float32)
        values -= values.mean(axis=1, keepdims=True)
        values /= np.maximum(values.std(axis=1, keepdims=True), 1e-6)
        return values

    def _contrast(self, rows: np.ndarray) -> np.ndarray:
        contrast: np.ndarray = self.thumbnails[rows].astype(np.float32).std(axis=1)
        return contrast


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson correlation (m,) of two stacks (m, h, w)."""
    one = one - one.mean(axis=(1, 2), keepdims=True)
    other = other - other.mean(axis=(1, 2), keepdims=True)
    power = np.einsum("mhw,mhw->m", one, one) * np.einsum("mhw,mhw->m", other, other)
    product: np.ndarray = np.einsum("mhw,mhw->m", one, other) / np.sqrt(np.maximum(power, 1e-12))
    return product


def _average_link(
    n: int, left: np.ndarray, right: np.ndarray, correlation: np.ndarray
) -> np.ndarray:
    """Join pairs, best first, where at least `MIN_LINKED` of all pairs between groups match."""
    group = np.arange(n)
    members: dict[int, list[int]] = {}
    linked: dict[int, dict[int, int]] = defaultdict(dict)  # matching pairs between two groups
    for i, j in zip(left.tolist(), right.tolist(), strict=True):
        members[i], members[j] = [i], [j]
        linked[i][j] = linked[j][i] = 1
    for pair in np.lexsort((right, left, -correlation)).tolist():
        a, b = int(group[left[pair]]), int(group[right[pair]])
        if a == b or linked[a][b] < MIN_LINKED * len(members[a]) * len(members[b]):
            continue
        if len(members[a]) < len(members[b]):
            a, b = b, a
        group[members[b]] = a
        members[a] += members.pop(b)
        del linked[a][b]
        for other, count in linked.pop(b).items():
            if other == a:
                continue
            linked[a][other] = linked[other][a] = linked[a].get(other, 0) + count
            del linked[other][b]
    for joined in members.values():
        group[joined] = min(joined)
    return group
