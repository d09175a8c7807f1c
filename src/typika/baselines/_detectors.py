"""Linear detectors of windows: sought for densely, told apart, trained.

A detector is a vector of 2112 weights and a bias; its score of a window is their dot product
with the descriptor. A candidate window is a detector whose weights are its own descriptor.

Legend: `d` detectors, `k` matches of each, best first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.baselines import hog
from typika.baselines._windows import WindowStore
from typika.parallel import Advance, run_tasks

Weights = Float[ndarray, "d 2112"]

PARTS = 8  # in which images are searched; fixed, so that workers change nothing
AT_ONCE = 4096  # detectors in one product of matrices: its result stays within the cache
TAUGHT = 64  # detectors that one task trains
GROWTH = 100  # negatives by which a training set grows
ROUNDS = 20  # at most, of growth
SLACK = 1e-3  # by which a negative may miss the margin and still count as outside


@dataclass(frozen=True)
class Matches:
    """The best windows of each detector, at most one of an image, best first.

    window: (d, k) numbers; score: (d, k).
    """

    window: Int[ndarray, "d k"]
    score: Float[ndarray, "d k"]

    def best(self, count: int) -> Matches:
        """The first `count` of each."""
        return Matches(self.window[:, :count], self.score[:, :count])

    def of(self, detectors: Int[ndarray, " _"] | Bool[ndarray, " _"]) -> Matches:
        """Those of some detectors."""
        return Matches(self.window[detectors], self.score[detectors])


def search(
    store: WindowStore,
    weights: Weights,
    images: Int[ndarray, " n"],
    count: int,
    *,
    workers: int,
    name: str,
) -> Matches:
    """Find the best window of every image, and of those the `count` best.

    Exact: every window of every image is compared. Of equal scores the one of the earlier image
    wins. Fewer than `count` matches come back if there are fewer images.
    """
    parts = [part for part in np.array_split(np.sort(images), PARTS) if len(part)]
    tasks = [(store, weights, part, count) for part in parts]
    found = run_tasks(_search, tasks, workers=workers, name=name, total=len(images))
    return _best(found, count)


def _search(
    store: WindowStore,
    weights: Weights,
    images: Int[ndarray, " n"],
    count: int,
    advance: Advance,
) -> Matches:
    best = Matches(np.empty((len(weights), 0), np.int64), np.empty((len(weights), 0), np.float32))
    # As many images at a time as are kept: sorting then costs little beside comparing.
    for start in range(0, len(images), max(count, 16)):
        batch = images[start : start + max(count, 16)]
        window = np.empty((len(weights), len(batch)), np.int64)
        score = np.empty((len(weights), len(batch)), np.float32)
        for place, image in enumerate(batch):
            windows = hog.every_window(store.grid(int(image))).T
            for first in range(0, len(weights), AT_ONCE):
                own = slice(first, first + AT_ONCE)
                product = weights[own] @ windows
                window[own, place] = product.argmax(axis=1)
                score[own, place] = product.max(axis=1)
            window[:, place] += store.first_window[image]
            advance(1)
        best = _best([best, Matches(window, score)], count)
    return best


def _best(found: Sequence[Matches], count: int) -> Matches:
    """The best of several sets of matches, which are in the order of their images."""
    window = np.concatenate([matches.window for matches in found], axis=1)
    score = np.concatenate([matches.score for matches in found], axis=1)
    order = np.argsort(-score, axis=1, kind="stable")[:, :count]
    return Matches(
        np.take_along_axis(window, order, axis=1), np.take_along_axis(score, order, axis=1)
    )


def distinct(
    store: WindowStore,
    matches: Matches,
    order: Int[ndarray, " d"],
    at_most: int,
    *,
    overlap: float,
    shared: int,
) -> Int[ndarray, " kept"]:
    """Take detectors in the given order but those that find what an earlier one found.

    A detector is left out if more than `shared` of its matches overlap (intersection over union
    above `overlap`) with matches of one and the same detector taken before it.
    """
    image, corner = store.image_of(matches.window), store.corner_of(matches.window)
    # Where each detector taken so far has its window in each image; far off where it has none.
    places = np.full((len(store.shape), at_most, 2), -(10**6), np.int32)
    kept: list[int] = []
    for detector in order.tolist():
        if len(kept) == at_most:
            break
        others = places[image[detector], : len(kept)]
        step = np.abs(others - corner[detector][:, None])
        common = np.clip(hog.BLOCK - step, 0, None).prod(axis=2)
        overlaps = common > overlap * (2 * hog.BLOCK**2 - common)
        if overlaps.sum(axis=0).max(initial=0) <= shared:
            places[image[detector], len(kept)] = corner[detector]
            kept.append(detector)
    return np.array(kept, np.int64)


@dataclass(frozen=True)
class Trained:
    """Weights (d, 2112) and biases (d,) of detectors."""

    weights: Weights
    bias: Float[ndarray, " d"]


def train(
    store: WindowStore,
    positives: Int[ndarray, "d p"],
    hard: Int[ndarray, "d h"],
    negatives: Int[ndarray, " m"],
    c: float,
    *,
    workers: int,
) -> Trained:
    """A linear support vector machine for each detector.

    min_{w,b} |w|²/2 + c Σ_i max(0, 1 - y_i (w·x_i + b)), y = 1 for a detector's positives and -1
    for the negatives, which all detectors share, and its own hard ones.

    positives, hard, negatives: numbers of windows; -1 among the hard ones stands for none.
    """
    shared = store.descriptors(negatives)
    tasks = [
        (store, positives[first : first + TAUGHT], hard[first : first + TAUGHT], shared, c)
        for first in range(0, len(positives), TAUGHT)
    ]
    found = run_tasks(
        _train, tasks, workers=workers, name="Training detectors", total=len(positives)
    )
    return Trained(
        np.concatenate([trained.weights for trained in found]),
        np.concatenate([trained.bias for trained in found]),
    )


def _train(
    store: WindowStore,
    positives: Int[ndarray, "d p"],
    hard: Int[ndarray, "d h"],
    shared: hog.Windows,
    c: float,
    advance: Advance,
) -> Trained:
    """Train on few negatives, add those of all within the margin, until there are none.

    The optimum depends on the negatives within the margin only, so what comes out is the machine
    trained on all of them, at the price of a few products of matrices.
    """
    own = [
        store.descriptors(np.concatenate([mine, more[more >= 0]]))
        for mine, more in zip(positives, hard, strict=True)
    ]
    n_positives = positives.shape[1]
    weights = np.stack([windows[:n_positives].mean(axis=0) for windows in own])
    bias = np.zeros(len(own), np.float32)
    chosen = np.zeros((len(own), len(shared)), bool)
    open_ = np.arange(len(own))
    for turn in range(ROUNDS):
        score = weights[open_] @ shared.T + bias[open_, None]
        score[chosen[open_]] = -np.inf
        wanting = (score > SLACK - 1) if turn else np.isfinite(score)
        still = wanting.any(axis=1)
        advance(int((~still).sum()))
        open_, score, wanting = open_[still], score[still], wanting[still]
        for place, detector in enumerate(open_):
            hardest = np.argsort(-score[place], kind="stable")[:GROWTH]
            chosen[detector, hardest[wanting[place, hardest]]] = True
            examples = np.concatenate([own[detector], shared[chosen[detector]]])
            weights[detector], bias[detector] = support_vector_machine(examples, n_positives, c)
    advance(len(open_))
    return Trained(weights, bias)


def support_vector_machine(
    examples: hog.Windows, n_positives: int, c: float
) -> tuple[Float[ndarray, " 2112"], float]:
    """Weights and bias of a linear machine; the first `n_positives` examples are the positives."""
    from sklearn.svm import SVC

    label = np.arange(len(examples)) < n_positives
    machine = SVC(C=c, kernel="precomputed", tol=1e-4)
    machine.fit((examples @ examples.T).astype(np.float64), label)
    weights = machine.dual_coef_[0].astype(np.float32) @ examples[machine.support_]
    return weights, float(machine.intercept_[0])
