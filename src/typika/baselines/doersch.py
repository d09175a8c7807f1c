"""What makes Paris look like Paris (Doersch et al. 2012): detectors that fire under one label.

```
random windows of the label -> nearest neighbours of each in all images
-> those whose neighbours are mostly of the label, and that are not alike
-> for each fold of the images: train a detector on its best matches there, against other labels
-> detectors, ranked by how much of what they find is of the label
```

Followed is the paper, as far as it is known from its successors (Siglidis et al. 2024, Sec. 4.3),
not their code: folds are disjoint, so a detector is never judged by what it was last trained on;
windows are drawn without repetition; machines have a bias; detectors are ranked by the share of
the label among their first fifty matches. What judges them is held out from the last training
only: earlier folds trained on it, and the first choice of candidates has seen all images.

Legend: `d` detectors, `k` matches of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.baselines import hog
from typika.baselines._detectors import Matches, distinct, search, train
from typika.baselines._windows import WindowStore, divide, draw_windows, read_windows, working_size
from typika.collection.images import ImageCollection
from typika.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class DoerschConfig:
    """How detectors are sought and trained; the defaults are the published values."""

    patch_size: float = 0.25  # side of a window, fraction of the image's short side: 64 of 256 px
    contrast: float = 0.15  # spread of the grey values, of 0 to 1, that a candidate has at least
    candidates: int = 25_000  # random windows of the label
    neighbours: int = 50  # matches by which detectors are told apart and at last ranked
    first_neighbours: int = 20  # matches by which candidates are ranked
    detectors: int = 1000  # candidates that are trained
    folds: int = 3  # disjoint sets of images, each of which trains once
    positives: int = 5  # matches that a detector is trained on
    negatives: int = 10_000  # random windows of other labels in a fold
    hard_negatives: int = 50  # matches under other labels, of a fold, that are remembered
    c: float = 0.1  # what an example within the margin costs; of descriptors with mean square 1
    overlap: float = 0.3  # intersection over union above which two windows show the same
    shared: int = 5  # matches two detectors may share and still be two
    shown: int = 32  # detectors that come out
    matches: int = 6  # of a detector, that a figure shows

    def __post_init__(self) -> None:
        if not 0.02 <= self.patch_size <= 1:
            raise ConfigError(f"patch_size={self.patch_size}: need a fraction in [0.02, 1]")
        for name in ("candidates", "first_neighbours", "detectors", "folds", "positives",
                     "negatives", "shown", "matches"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: need at least 1")
        if self.neighbours < self.first_neighbours:
            raise ConfigError(
                f"first_neighbours={self.first_neighbours}: need at most "
                f"neighbours={self.neighbours}"
            )
        if min(self.hard_negatives, self.shared) < 0 or self.c <= 0:
            raise ConfigError(
                f"hard_negatives={self.hard_negatives}, shared={self.shared}, c={self.c}: "
                "need 0 or more, 0 or more, more than 0"
            )
        if not 0 <= self.overlap <= 1 or not 0 <= self.contrast <= 1:
            raise ConfigError(
                f"overlap={self.overlap}, contrast={self.contrast}: need fractions in [0, 1]"
            )


@dataclass(frozen=True)
class Detectors:
    """The detectors of a label, best first, and what they found in images held out from training.

    row: (d, k) rows of the collection, best match first; box: (d, k, 4) left, top, right, bottom
    of the windows in pixels of those images; score: (d, k) w·x + b; positive: (d, k) whether the
    image has the label; discriminativeness: (d,) share of the k matches that have it; chance: that
    share of all images searched; n_candidates: windows that were drawn; weights, bias: of each
    detector, whose score of a window x is w·x + b.
    """

    label: str
    row: Int[ndarray, "d k"]
    box: Int[ndarray, "d k 4"]
    score: Float[ndarray, "d k"]
    positive: Bool[ndarray, "d k"]
    discriminativeness: Float[ndarray, " d"]
    chance: float
    n_candidates: int
    weights: Float[ndarray, "d 2112"]
    bias: Float[ndarray, " d"]

    def table(self) -> pa.Table:
        """One row a match: a detector is a cluster, numbered from 0, its matches the members."""
        detector, place = (axis.ravel() for axis in np.indices(self.row.shape))
        left, top, right, bottom = self.box.reshape(-1, 4).astype(np.int32).T
        return pa.table(
            {
                "cluster": detector.astype(np.int32),
                "rank": (place + 1).astype(np.int32),
                "row": self.row.ravel(),
                "left": left, "top": top, "right": right, "bottom": bottom,
                "score": self.score.ravel(),
                "positive": self.positive.ravel(),
                "discriminativeness": self.discriminativeness[detector],
            }
        )  # fmt: skip


@dataclass(frozen=True)
class LabelImages:
    """The images that are searched: row in the collection, whether it has the label, its fold."""

    row: Int[ndarray, " n"]
    positive: Bool[ndarray, " n"]
    fold: Int[ndarray, " n"]

    def where(self, positive: bool, fold: int) -> Int[ndarray, " _"]:
        """The images of a fold that have the label, or that do not have it."""
        return np.flatnonzero((self.positive == positive) & (self.fold == fold))

    def held_out(self, fold: int) -> Int[ndarray, " _"]:
        """All images but a fold's; all images where there is no other fold."""
        others = np.flatnonzero(self.fold != fold)
        return others if len(others) else np.arange(len(self.row))


def mine(
    collection: ImageCollection,
    label: str,
    config: DoerschConfig | None = None,
    seed: int = 0,
    workers: int = 1,
) -> Detectors:
    """Find windows that look alike under a label and are rare under all others.

    The result is the same for any number of `workers`, processes of one thread each. Of
    near-duplicate images one counts, on either side. A label with fewer images held out than
    `config.neighbours` is judged by as many matches as it has images, so that a perfect detector
    still reaches 1. Time grows with candidates x windows, memory hardly.

    Raises:
        ConfigError: no image has the label.
        DataError: too few images for the folds, or every window of the label is blank.
    """
    config = config or DoerschConfig()
    images = label_images(collection, label, config.folds, seed)
    side = round(hog.WINDOW / config.patch_size)
    store = read_windows(collection, images.row, side, config.contrast, workers)
    candidates = _candidates(store, images, label, config, seed)
    chosen = _most_discriminative(store, images, candidates, config, workers)
    weights, bias = _trained(store, images, candidates[chosen], config, seed, workers)
    searched = images.held_out(config.folds - 1)
    count = min(config.neighbours, int(images.positive[searched].sum()))
    found = search(store, weights, searched, count, workers=workers, name="Judging detectors")
    found = Matches(found.window, found.score + bias[:, None])
    share = images.positive[store.image_of(found.window)].mean(axis=1)
    order = np.lexsort((-found.score.mean(axis=1), -share))
    best = distinct(
        store, found, order, config.shown, overlap=config.overlap, shared=config.shared
    )
    matches = found.of(best)
    image = store.image_of(matches.window)
    return Detectors(
        label=label,
        row=images.row[image],
        box=_boxes(store, collection, images.row, side, matches.window),
        score=matches.score,
        positive=images.positive[image],
        discriminativeness=share[best],
        chance=float(images.positive[searched].mean()),
        n_candidates=len(candidates),
        weights=weights[best],
        bias=bias[best],
    )


def label_images(collection: ImageCollection, label: str, n_folds: int, seed: int) -> LabelImages:
    """The images of a collection, with and without a label, in disjoint folds.

    Groups and near-duplicates are never divided. An image with several rows counts once, and so do
    near-duplicates: of those with the label one stays, and one of those without.

    Raises:
        ConfigError: no image has the label.
        DataError: some fold has no image with the label, or none without.
    """
    if label not in collection.labels:
        known = ", ".join(map(repr, collection.labels))
        raise ConfigError(f"label {label!r}: no image has it; choose one of {known}")
    has_label = collection.label_index == collection.labels.index(label)
    image = np.unique(np.array(collection.table["image_id"].to_pylist()), return_inverse=True)[1]
    positive = np.isin(image, image[has_label])
    # A row of another label stands for no image that has this one.
    rows = np.flatnonzero(has_label | ~positive)
    duplicate = np.unique(np.array(collection.table["duplicate"].to_pylist()), return_inverse=True)
    _, first = np.unique(2 * duplicate[1][rows] + positive[rows], return_index=True)
    rows = rows[np.sort(first)]
    rng = np.random.default_rng([seed, 0])
    fold = divide(collection.units[rows], positive[rows], n_folds, rng)
    images = LabelImages(rows, positive[rows], fold)
    for kind, what in ((True, f"label {label!r}"), (False, "other labels")):
        if not all(len(images.where(kind, number)) for number in range(n_folds)):
            raise DataError(
                f"{what}: {int((images.positive == kind).sum())} distinct images do not fill "
                f"{n_folds} disjoint folds, as groups stay whole; bring more groups or lower folds"
            )
    return images


def _candidates(
    store: WindowStore, images: LabelImages, label: str, config: DoerschConfig, seed: int
) -> Int[ndarray, " c"]:
    drawn = draw_windows(
        store,
        np.flatnonzero(images.positive),
        config.candidates,
        np.random.default_rng([seed, 1]),
        with_contrast=True,
    )
    if not len(drawn):
        raise DataError(
            f"label {label!r}: no window has a contrast of {config.contrast}; lower contrast"
        )
    return drawn


def _most_discriminative(
    store: WindowStore,
    images: LabelImages,
    candidates: Int[ndarray, " c"],
    config: DoerschConfig,
    workers: int,
) -> Int[ndarray, " d"]:
    """The candidates whose nearest neighbours are mostly of the label, and that are not alike.

    Equals stay in the order of drawing, which is random.
    """
    found = search(
        store,
        store.descriptors(candidates),
        np.arange(len(images.row)),
        config.neighbours,
        workers=workers,
        name="Searching candidates",
    )
    nearest = found.best(min(config.first_neighbours, int(images.positive.sum())))
    hits = images.positive[store.image_of(nearest.window)].sum(axis=1)
    return distinct(
        store,
        found,
        np.argsort(-hits, kind="stable"),
        config.detectors,
        overlap=config.overlap,
        shared=config.shared,
    )


def _trained(
    store: WindowStore,
    images: LabelImages,
    seeds: Int[ndarray, " d"],
    config: DoerschConfig,
    seed: int,
    workers: int,
) -> tuple[Float[ndarray, "d 2112"], Float[ndarray, " d"]]:
    """Weights and biases after one training on each fold.

    Each time the positives are what the detector of the fold before finds best in this one, where
    it was not trained, and so are its mistakes here: windows of other labels with a score above 0.
    """
    weights, bias = store.descriptors(seeds), np.zeros(len(seeds), np.float32)
    hard = np.empty((len(seeds), 0), np.int64)
    for fold in range(config.folds):
        name = f"Fold {fold + 1} of {config.folds}"
        with_label, without = images.where(True, fold), images.where(False, fold)
        positives = search(
            store, weights, with_label, config.positives, workers=workers, name=name
        )
        if fold and config.hard_negatives:
            mistakes = search(
                store, weights, without, config.hard_negatives, workers=workers, name=name
            )
            above = mistakes.score + bias[:, None] > 0
            hard = np.concatenate([hard, np.where(above, mistakes.window, -1)], axis=1)
        rng = np.random.default_rng([seed, 2, fold])
        negatives = draw_windows(store, without, config.negatives, rng, with_contrast=False)
        # Of length one, as here, windows would never score above 0 at so small a cost, and no
        # mistake be remembered; scaling descriptors is the same as scaling the cost.
        cost = config.c * hog.DIMENSIONS
        trained = train(store, positives.window, hard, negatives, cost, workers=workers)
        weights, bias = trained.weights, trained.bias
    return weights, bias


def _boxes(
    store: WindowStore,
    collection: ImageCollection,
    rows: Int[ndarray, " n"],
    side: int,
    window: Int[ndarray, "d k"],
) -> Int[ndarray, "d k 4"]:
    """Left, top, right, bottom of windows in pixels of the images themselves."""
    image = store.image_of(window)
    size = np.stack([collection.table[name].to_numpy()[rows] for name in ("width", "height")], 1)
    looked_at = np.array([working_size(width, height, side) for width, height in size.tolist()])
    corner = store.corner_of(window)[..., ::-1]  # left, top
    scale = size[image] / looked_at[image]
    low = np.rint(corner * hog.CELL * scale)
    high = np.rint((corner + hog.BLOCK) * hog.CELL * scale)
    return np.concatenate([low, np.minimum(high, size[image])], axis=-1).astype(np.int64)
