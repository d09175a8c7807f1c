"""Rare but consistent elements: few images of a label share them, and they look alike.

A model learns little of what two images in a hundred show, so its best patches hold none of it.
Windows of all images are compared instead, in features whitened by what any window looks like
(Hariharan, Malik, Ramanan 2012: there a cosine is an exemplar's discriminant). A group is grown
from each of the more typical windows of a label: the images that match it best, as long as they
are of the label and more alike than the next image, whatever its label. Windows that belong to a
cluster, which is frequent, neither start a group nor join one.

Pure functions on arrays. Legend: `n` windows in the order of their images, `i` images, `d`
features, `g` groups, `k` images of a group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.errors import ConfigError
from typika.mining.features import unit
from typika.mining.significance import Background

Vectors = Float[ndarray, "n d"]

AT_ONCE = 256  # starts compared with all windows in one product
ROUNDS = 2  # of growing a group: its mean, then the images that match it
MATCHES = (10, 20)  # places among the best matches of a start that stand for "other images"
FREQUENT = 0.1  # share of a cluster's windows that lie farther out than what counts as it
SHARED = 0.5  # share of a group's images that a better one may hold


@dataclass(frozen=True, kw_only=True)
class RareConfig:
    """How rare elements are sought."""

    shown: int = 6  # groups listed of each label; 0: none are sought
    least: int = 3  # images that a group needs
    share: float = 0.05  # of a label's images that a group has at most, but never under `least`
    typical: float = 0.25  # share of a label's windows, the most typical, that groups start from
    starts: int = 1000  # of a label, the most promising, that are grown
    at_most: int = 4000  # images compared, evenly over the labels

    def __post_init__(self) -> None:
        if self.shown < 0 or self.least < 2 or min(self.starts, self.at_most) < 1:
            raise ConfigError(
                f"shown={self.shown}, least={self.least}, starts={self.starts}, "
                f"at_most={self.at_most}: need at least 0, 2, 1 and 1"
            )
        if not 0 < self.share <= 1 or not 0 < self.typical <= 1:
            raise ConfigError(f"share={self.share}, typical={self.typical}: need shares in (0, 1]")


@dataclass(frozen=True)
class Windows:
    """Windows of images, image by image.

    vectors: (n, d) of length one, as `whitened` makes them; image: (n,) ascending, 0 .. i-1, each
    with a window; label: (i,) of each image; unit: (i,) what counts as one image, such as a group
    of near-duplicates; typicality: (n,); frequent: (n,) whether a window belongs to a cluster.
    """

    vectors: Vectors
    image: Int[ndarray, " n"]
    label: Int[ndarray, " i"]
    unit: Int[ndarray, " i"]
    typicality: Float[ndarray, " n"]
    frequent: Bool[ndarray, " n"]

    def best(
        self, directions: Float[ndarray, "g d"]
    ) -> tuple[Float[ndarray, "g i"], Float[ndarray, "g n"]]:
        """Cosine of the best window of each image with each direction, and of all windows."""
        cosine = directions @ self.vectors.T
        return np.maximum.reduceat(cosine, self.first, axis=1), cosine

    def less(self, images: Bool[ndarray, " i"]) -> Windows:
        """The windows without some images."""
        kept = ~images[self.image]
        image = np.unique(self.image[kept], return_inverse=True)[1]
        return Windows(
            self.vectors[kept], image, self.label[~images], self.unit[~images],
            self.typicality[kept], self.frequent[kept],
        )  # fmt: skip

    @property
    def first(self) -> Int[ndarray, " i"]:
        """The first window of each image."""
        return np.searchsorted(self.image, np.arange(len(self.label)))

    def of_label(self, label: int) -> Bool[ndarray, " n"]:
        """Which windows are of images of a label."""
        own: ndarray = (self.label == label)[self.image]
        return own


@dataclass(frozen=True)
class Group:
    """A rare element.

    windows: (k,) the best first; tightness: mean cosine of each with the mean of the others, less
    that of the next image; typicality: median; standing: share of the label's windows that are
    less typical; score: √k · tightness · standing; least: cosine of its farthest window with the
    mean of the others.
    """

    windows: Int[ndarray, " k"]
    tightness: float
    typicality: float
    standing: float
    score: float
    least: float


def whitened(features: Vectors, background: Background) -> Vectors:
    """Features less the background's mean, so that cosines are those of discriminants."""
    root = np.linalg.cholesky(background.precision)
    return unit((features - background.mean) @ root)


def frequent(
    vectors: Vectors, label: Int[ndarray, " n"], clusters: Sequence[tuple[int, Int[ndarray, " _"]]]
) -> Bool[ndarray, " n"]:
    """Which windows look like a cluster of their label.

    label: of each window; clusters: the label and the windows of each.
    """
    found = np.zeros(len(vectors), dtype=bool)
    for own, members in clusters:
        if len(members) > 1:
            alike, direction = _to_others(vectors[members])
            least = np.quantile(alike, FREQUENT)
            found |= (label == own) & (vectors @ direction >= least)
    return found


def groups(windows: Windows, label: int, config: RareConfig) -> list[Group]:
    """The rare elements of a label, the best first."""
    n_units = len(np.unique(windows.unit[windows.label == label]))
    most = max(config.least, int(config.share * n_units))
    starts, found = list(_starts(windows, label, config)), {}
    for _ in range(ROUNDS):
        grown = (_grown(windows, label, part, config.least, most) for part in _blocks(starts))
        found = {np.sort(one.windows).tobytes(): one for part in grown for one in part}
        starts = [one.windows for one in found.values()]
    ranked = sorted(found.values(), key=lambda one: (-one.score, one.windows.tolist()))
    return _apart(windows, ranked)


def _starts(windows: Windows, label: int, config: RareConfig) -> Iterator[Int[ndarray, " 3"]]:
    """The most promising starts: a window and the best matches of it in two more images."""
    own = windows.of_label(label)
    enough = np.quantile(windows.typicality[own], 1 - config.typical)
    seeds = np.flatnonzero(own & ~windows.frequent & (windows.typicality >= enough))
    promise, pairs = [], []
    for part in _blocks(seeds):
        best, _ = windows.best(windows.vectors[part])
        best[windows.unit == windows.unit[windows.image[part]][:, None]] = -np.inf
        few = min(MATCHES[1], best.shape[1] - 1)
        top = -np.sort(-best, axis=1)[:, :few]
        best[:, windows.label != label] = -np.inf
        two = np.argsort(-best, axis=1, kind="stable")[:, :2]
        rest = top[:, min(MATCHES[0], few - 1) :].mean(axis=1)
        promise.append(np.take_along_axis(best, two, axis=1).mean(axis=1) - rest)
        pairs.append(two)
    if not len(seeds):
        return
    order = np.lexsort((seeds, -np.concatenate(promise)))[: config.starts]
    first, ends = windows.first, np.append(windows.first[1:], len(windows.image))
    for place, two in zip(order, np.concatenate(pairs)[order], strict=True):
        start = windows.vectors[seeds[place]]
        matches = [
            first[image] + (windows.vectors[first[image] : ends[image]] @ start).argmax()
            for image in two
        ]
        yield np.array([seeds[place], *matches])


def _grown(
    windows: Windows, label: int, starts: Sequence[Int[ndarray, " _"]], least: int, most: int
) -> Iterator[Group]:
    """Each group of windows, grown anew from its mean; none where too few images match."""
    directions = unit(np.stack([windows.vectors[start].mean(axis=0) for start in starts]))
    best, cosine = windows.best(directions)
    first, ends = windows.first, np.append(windows.first[1:], len(windows.image))
    for row, all_of in zip(best, cosine, strict=True):
        images = np.argsort(-row, kind="stable")
        images = images[np.sort(np.unique(windows.unit[images], return_index=True)[1])][: most + 1]
        own = np.array([first[one] + all_of[first[one] : ends[one]].argmax() for one in images])
        joins = (windows.label[images] == label) & ~windows.frequent[own]
        count = min(int(np.cumprod(joins).sum()), most, len(own) - 1)
        found = [
            _group(windows, label, own[:size], int(own[size])) for size in range(least, count + 1)
        ]
        if found:
            yield max(found, key=lambda group: group.score)


def _group(windows: Windows, label: int, own: Int[ndarray, " k"], after: int) -> Group:
    alike, _ = _to_others(windows.vectors[own])
    total = windows.vectors[own].sum(axis=0)
    next_to = unit(total - windows.vectors[own]) @ windows.vectors[after]
    tightness = float(alike.mean() - next_to.mean())
    typicality = float(np.median(windows.typicality[own]))
    standing = float((windows.typicality[windows.of_label(label)] < typicality).mean())
    score = float(np.sqrt(len(own)) * tightness * standing)
    return Group(own, tightness, typicality, standing, score, float(alike.min()))


def _to_others(members: Vectors) -> tuple[Float[ndarray, " n"], Float[ndarray, " d"]]:
    """Cosine of each vector with the mean of the others, and the direction of the mean."""
    total = members.sum(axis=0)
    alike: ndarray = (members * unit(total - members)).sum(axis=1)
    return alike, unit(total[None])[0]


def _apart(windows: Windows, ranked: Sequence[Group]) -> list[Group]:
    """The groups, the best first, none of which mostly repeats the images of a better one."""
    kept: list[Group] = []
    for group in ranked:
        images = set(windows.image[group.windows].tolist())
        repeats = any(
            len(images & set(windows.image[better.windows].tolist())) >= SHARED * len(images)
            for better in kept
        )
        if not repeats and group.tightness > 0:
            kept.append(group)
    return kept


def matching(
    windows: Windows, group: Group, others: Vectors, image: Int[ndarray, " n"]
) -> Int[ndarray, " _"]:
    """Which other images match a group as well as its own do.

    others: windows of the other images, whitened alike; image: (n,) the image of each.
    """
    direction = unit(windows.vectors[group.windows].mean(axis=0)[None])[0]
    matched: ndarray = np.unique(image[others @ direction >= group.least])
    return matched


def _blocks(items: Sequence | ndarray) -> Iterator:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
