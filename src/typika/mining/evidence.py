"""The evidence stage: what each cluster is worth, tested on images that the model never saw.

Legend: `row` is the place of an image in the collection; `m` clusters, `d` features of a patch
(those of all scales, one after another), `p q` positions of a patch down and across an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.collection.images import ImageCollection
from typika.diffusion.denoiser import NULL
from typika.evaluation import Bootstrap, Estimate, auc_interval, paired_auc, q_values, wilson
from typika.mining import features
from typika.mining import significance as tests
from typika.mining.artefacts import ArtefactConfig, badges
from typika.mining.confounds import confounds
from typika.mining.stages import feature_grids, of_each, rows_of
from typika.parallel import Advance, one_thread, run_tasks
from typika.tables import read_parquet, write_table

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

STEP = 0.25  # of a patch's side, between the places at which a detector looks
RANDOM_PATCHES = 4000  # from which the background of the detectors is learned
LEAST_MEMBERS = 3  # patches that a detector is made of
TEST_ROWS = 20_000  # most images that detectors are tried on, as many of each label as there are

FIGURES = (
    *("auc", "auc_low", "auc_high", "purity", "purity_low", "purity_high"),
    *("lift", "lift_low", "lift_high", "p", "p_family", "q"),
    *("gap", "gap_low", "gap_high"),
)
VERDICTS = pa.schema(
    {
        "label": pa.string(),
        "cluster": pa.int32(),
        "verdict": pa.string(),
        "n_patches": pa.int32(),
        "n_own": pa.int32(),
        "n_other": pa.int32(),
        **{name: pa.float64() for name in FIGURES},
    }
)


@dataclass(frozen=True)
class Trial:
    """Rows that detectors are made from, and rows that they are tested on; they share no group."""

    fit: Int[ndarray, " n"]
    test: Int[ndarray, " k"]


def trials(mining: Mining, collection: ImageCollection) -> tuple[Trial, ...]:
    """What detectors are made from and tested on, so that nothing about a test was known before.

    One trial: what the model was trained on, against what it was not; where it was trained on
    nothing that is mined, one half of this against the other. With `cross_fit` each model scored a
    half of the images without having seen it; either half is halved again, and each quarter
    tested by detectors of its neighbour.
    """
    from typika.mining.pipeline import folds

    mined = collection.in_split(mining.config.collection.mine)
    found = []
    for fold in folds(mining, collection):
        own = mined & fold.scored
        if (fold.trained_on & own).any():
            return (Trial(np.flatnonzero(fold.trained_on & own),
                          np.flatnonzero(own & ~fold.trained_on)),)  # fmt: skip
        rows = np.flatnonzero(own)
        first, second = collection.select(rows).split_halves(mining.config.seed)
        found += [Trial(rows[first], rows[second]), Trial(rows[second], rows[first])]
    return tuple(found) if mining.config.collection.cross_fit else (found[0],)


def gather(mining: Mining) -> None:
    """Test the clusters of a run, and write the tables that say what each is worth."""
    collection = mining.collection
    patches = read_parquet(mining.folder / "patches.parquet").drop_columns(["thumbnail"])
    clusters = read_parquet(mining.folder / "clusters.parquet")
    with one_thread():  # more would change the order of sums, and so the last digits
        table = verdicts(mining, collection, patches)
        told = confounds(mining, collection, mining.config.confounds)
        flawed = badges(mining, collection, patches, clusters, _affordable(mining))
    for name, found in {"verdicts": table, "badges": flawed, "confounds": told}.items():
        write_table(found, mining.folder / f"{name}.parquet")


def _affordable(mining: Mining) -> ArtefactConfig:
    """The tests for artefacts that can be made: a baseline of maps cannot score an image again."""
    config = mining.config.artefacts
    return replace(config, images=0) if mining.config.baseline.of_maps else config


def verdicts(mining: Mining, collection: ImageCollection, patches: pa.Table) -> pa.Table:
    """One row per cluster: how it fares on images that the model never saw."""
    members, tried = Members.of(collection, patches), trials(mining, collection)
    found = [
        _tried(mining, collection, members, trial, number) for number, trial in enumerate(tried)
    ]
    rows = []
    for number, (label, cluster) in enumerate(members.names):
        outcomes = [own[number] for own in found if number in own]
        # With several trials, only what was tested in all of them counts as tested.
        figures = joined(outcomes) if len(outcomes) == len(found) else {}
        rows.append({"label": label, "cluster": cluster, **figures})
    _conclude(rows, mining.config.significance)
    if len(tried) == 1:  # of several models none knows more of some images than of others
        for number, row in enumerate(rows):
            row |= _gap(mining, members.of_cluster(number), tried[0].test)
    filled = [{name: row.get(name) for name in VERDICTS.names} for row in rows]
    return pa.Table.from_pylist(filled, schema=VERDICTS)


def _tried(
    mining: Mining, collection: ImageCollection, members: Members, trial: Trial, number: int
) -> dict[int, Outcome]:
    """How each cluster fares in one trial; those with too few patches to try are left out."""
    made = members.in_images(trial.fit)
    tested = [cluster for cluster, own in enumerate(made) if len(own) >= LEAST_MEMBERS]
    if not mining.config.significance.permutations or not tested or not len(trial.test):
        return {}
    detectors, origin = make_detectors(mining, collection, members, made, tested, trial.fit)
    trial = replace(trial, test=evenly(collection, trial.test, TEST_ROWS))
    score = match(mining, collection, detectors, origin, trial.test)
    return _tested(mining, collection, members, tested, trial, score, number)


# ------------------------------------------------------------------------------ from the tables


@dataclass(frozen=True)
class Members:
    """The clustered patches. names: (label, cluster) of each cluster; the rest by patch."""

    names: tuple[tuple[str, int], ...]
    number: Int[ndarray, " n"]  # place in `names`
    row: Int[ndarray, " n"]
    box: Float[ndarray, "n 4"]  # left, top, right, bottom as fractions of the image
    typicality: Float[ndarray, " n"]
    group: Int[ndarray, " n"]  # of images that vary together

    @classmethod
    def of(cls, collection: ImageCollection, patches: pa.Table) -> Members:
        """Read the typical patches that are in a cluster."""
        selection = np.array(patches["selection"].to_pylist(), dtype=str)
        cluster = patches["cluster"].to_numpy()
        kept = np.flatnonzero((selection == "typical") & (cluster >= 0))
        table = patches.take(pa.array(kept))
        labels, numbers = table["label"].to_pylist(), table["cluster"].to_pylist()
        keys = list(zip(labels, numbers, strict=True))
        names = tuple(sorted(set(keys), key=lambda key: (collection.labels.index(key[0]), key[1])))
        place = {name: number for number, name in enumerate(names)}
        row = rows_of(collection, table)
        size = np.stack([collection.table[side].to_numpy()[row] for side in ("width", "height")])
        corners = np.stack([table[side].to_numpy() for side in ("left", "top", "right", "bottom")])
        return cls(
            names=names,
            number=np.array([place[key] for key in keys], dtype=np.int64),
            row=row,
            box=(corners / np.concatenate([size, size])).T.astype(np.float64),
            typicality=table["typicality"].to_numpy(),
            group=collection.units[row],
        )

    def of_cluster(self, number: int) -> Members:
        """The patches of one cluster."""
        own = np.flatnonzero(self.number == number)
        parts = (part[own] for part in (self.row, self.box, self.typicality, self.group))
        return Members(self.names, self.number[own], *parts)

    def in_images(self, rows: Int[ndarray, " k"]) -> list[Int[ndarray, " _"]]:
        """Of each cluster the patches that come from some images."""
        there = np.isin(self.row, rows)
        return [
            np.flatnonzero((self.number == number) & there) for number in range(len(self.names))
        ]


def evenly(collection: ImageCollection, rows: Int[ndarray, " n"], most: int) -> Int[ndarray, " k"]:
    """At most so many rows, as many of each label as there are: those of the lowest hashes."""
    if len(rows) <= most:
        return rows
    label, turn = collection.label_index[rows], np.empty(len(rows), dtype=int)
    for number in np.unique(label):
        turn[label == number] = np.arange((label == number).sum())
    kept: ndarray = np.sort(rows[np.lexsort((label, turn))[:most]])
    return kept


def label_sets(collection: ImageCollection) -> Bool[ndarray, "n c"]:
    """Which labels the image of each row has, in whichever rows."""
    image = collection.codes("image_id")
    member = np.zeros((int(image.max()) + 1, len(collection.labels)), dtype=bool)
    member[image, collection.label_index] = True
    return member[image]


# ---------------------------------------------------------------------------- detectors, matching


def make_detectors(
    mining: Mining,
    collection: ImageCollection,
    members: Members,
    made: Sequence[Int[ndarray, " _"]],
    tested: Sequence[int],
    fit: Int[ndarray, " n"],
) -> tuple[Float[ndarray, "m d"], Float[ndarray, " m"]]:
    """A detector of each tested cluster, and its score of the background's mean."""
    rng = np.random.default_rng([mining.config.seed, 13])
    per_image = max(1, -(-RANDOM_PATCHES // len(fit)))
    fit = np.sort(rng.permutation(fit)[:RANDOM_PATCHES])
    own = np.concatenate([made[number] for number in tested])
    random = [_random_boxes(mining, collection, int(row), per_image) for row in fit]
    rows = np.concatenate([np.repeat(fit, per_image), members.row[own]])
    pooled = pool_boxes(mining, collection, rows, np.concatenate([*random, members.box[own]]))
    shrinkage = mining.config.significance.shrinkage
    background = tests.Background.of(pooled[: -len(own)], shrinkage)
    ends = np.cumsum([len(made[number]) for number in tested])
    parts = np.split(pooled[-len(own) :], ends[:-1])
    weights = np.stack([background.detector(part) for part in parts])
    return weights, weights @ background.mean


def _random_boxes(
    mining: Mining, collection: ImageCollection, row: int, count: int
) -> Float[ndarray, "k 4"]:
    seed = int(collection.table["image_id"][row].as_py(), 16)
    rng = np.random.default_rng([mining.config.seed, 17, seed])
    width, height = patch_fractions(mining, collection, row)
    left, top = rng.random(count) * (1 - width), rng.random(count) * (1 - height)
    return np.stack([left, top, left + width, top + height], axis=1)


def patch_fractions(mining: Mining, collection: ImageCollection, row: int) -> tuple[float, float]:
    """Width and height of a patch as fractions of the image's."""
    width, height = (collection.table[side][row].as_py() for side in ("width", "height"))
    side = mining.config.select.patch_size * min(width, height)
    return side / width, side / height


def pool_boxes(
    mining: Mining,
    collection: ImageCollection,
    rows: Int[ndarray, " n"],
    boxes: Float[ndarray, "n 4"],
) -> Float[ndarray, "n d"]:
    """Mean features of boxes of images; each image is read once, in processes."""
    images = np.unique(rows)
    workers = mining.model.workers(mining.workers)
    hands = max(1, min(len(images), 4 * workers if workers > 1 else 1))
    places = [np.flatnonzero(np.isin(rows, images[hand::hands])) for hand in range(hands)]
    tasks = [(mining, collection, rows[place], boxes[place]) for place in places]
    parts = run_tasks(
        _pool_boxes, tasks, workers=workers, name="Looking at patches", total=len(images)
    )
    found = np.empty((len(rows), parts[0].shape[1]))
    for place, part in zip(places, parts, strict=True):
        found[place] = part
    return found


def _pool_boxes(
    mining: Mining,
    collection: ImageCollection,
    rows: Int[ndarray, " n"],
    boxes: Float[ndarray, "n 4"],
    advance: Advance,
) -> Float[ndarray, "n d"]:
    grids_of = feature_grids(mining, collection)
    found: list[ndarray] = [np.zeros(0)] * len(rows)
    for row, own in of_each(rows):
        grids = grids_of(row, NULL)  # under no label, so that none can be told from them
        for place in own:
            left, top, right, bottom = boxes[place].tolist()
            pooled = [features.pool(grid, (left, top, right, bottom)) for grid in grids]
            found[place] = np.concatenate(pooled)
        advance(1)
    return np.stack(found)


def match(
    mining: Mining,
    collection: ImageCollection,
    detectors: Float[ndarray, "m d"],
    origin: Float[ndarray, " m"],
    rows: Int[ndarray, " k"],
) -> Float[ndarray, "k m"]:
    """The best score of each detector anywhere in each image."""
    workers = mining.model.workers(mining.workers)
    hands = max(1, min(len(rows), 4 * workers if workers > 1 else 1))
    tasks = [(mining, collection, detectors, rows[hand::hands]) for hand in range(hands)]
    score = np.empty((len(rows), len(detectors)))
    parts = run_tasks(
        _match_images, tasks, workers=workers, name="Testing clusters", total=len(rows)
    )
    for hand, part in enumerate(parts):
        score[hand::hands] = part
    return score - origin


def _match_images(
    mining: Mining,
    collection: ImageCollection,
    detectors: Float[ndarray, "m d"],
    rows: Int[ndarray, " k"],
    advance: Advance,
) -> Float[ndarray, "k m"]:
    grids_of = feature_grids(mining, collection)
    found = np.empty((len(rows), len(detectors)))
    for place, row in enumerate(rows.tolist()):
        width, height = patch_fractions(mining, collection, row)
        total: Any = 0.0
        start = 0
        for grid in grids_of(row, NULL):
            own = detectors[:, start : start + len(grid)]
            start += len(grid)
            response = np.tensordot(own, grid, axes=1)
            down = features.window_weights(height, STEP, grid.shape[1])
            across = features.window_weights(width, STEP, grid.shape[2])
            total = total + down @ response @ across.T
        found[place] = total.max(axis=(1, 2))
        advance(1)
    return found


# ---------------------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class Outcome:
    """How a cluster fares in one trial.

    n_made: patches that the detector was made from; n_own, n_other: units it was tried on;
    best, hits: matches looked at, and how many of them are of the cluster's label.
    """

    n_made: int
    n_own: int
    n_other: int
    auc: float
    best: int
    hits: int
    p: float
    p_family: float


def _tested(
    mining: Mining,
    collection: ImageCollection,
    members: Members,
    tested: Sequence[int],
    trial: Trial,
    score: Float[ndarray, "k m"],
    number: int,
) -> dict[int, Outcome]:
    """Figures of each tested cluster that has enough units to be tested on."""
    config = mining.config.significance
    units = Units.of(collection, trial.test)
    label = np.array([collection.labels.index(members.names[cluster][0]) for cluster in tested])
    enough = np.array([units.enough(int(one), config.least_units) for one in label])
    if not enough.any():
        return {}
    score, label = units.mean(score)[:, enough], label[enough]
    rng = np.random.default_rng([mining.config.seed, 19, number])
    drawn = tests.permutation_test(score, label, units.member, config.permutations, rng)
    found = {}
    for place, cluster in enumerate(np.array(tested)[enough].tolist()):
        own = units.member[:, label[place]]
        there = np.isin(members.row[members.number == cluster], trial.fit)
        images = np.unique(members.row[members.number == cluster][there])
        # As many matches as the cluster would have here, were it as frequent as where it was made.
        best = min(len(own), max(5, round(len(images) / len(trial.fit) * len(own))))
        order = np.argsort(-score[:, place], kind="stable")[:best]
        found[cluster] = Outcome(
            int(there.sum()), int(own.sum()), int((~own).sum()), paired_auc(score[:, place], own),
            best, int(own[order].sum()), float(drawn.p[place]), float(drawn.p_family[place]),
        )  # fmt: skip
    return found


def joined(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures of a cluster over all trials.

    Neighbouring quarters test each other and so do not vary independently: with several trials
    the p-value is twice their mean, which holds whatever depends on what (Vovk, Wang 2020), and
    intervals count every second unit.
    """
    if not outcomes:
        return {}
    share = 1 if len(outcomes) == 1 else 2
    n_own, n_other = sum(one.n_own for one in outcomes), sum(one.n_other for one in outcomes)
    value = float(np.mean([one.auc for one in outcomes]))
    auc = auc_interval(value, n_own // share, n_other // share)
    best, hits = sum(one.best for one in outcomes), sum(one.hits for one in outcomes)
    purity = wilson(hits // share, best // share)
    prior = n_own / (n_own + n_other)
    p, p_family = (
        min(1.0, share * float(np.mean([getattr(one, name) for one in outcomes])))
        for name in ("p", "p_family")
    )
    return {
        "n_patches": sum(one.n_made for one in outcomes),
        "n_own": n_own, "n_other": n_other, "p": p, "p_family": p_family,
        **dict(zip(("auc", "auc_low", "auc_high"), _ends(auc), strict=True)),
        **dict(zip(("purity", "purity_low", "purity_high"), _ends(purity), strict=True)),
        **dict(zip(("lift", "lift_low", "lift_high"),
                   (end / prior for end in _ends(purity)), strict=True)),
    }  # fmt: skip


def _conclude(rows: list[dict[str, Any]], config: tests.SignificanceConfig) -> None:
    """Add q-values and verdicts, for which all clusters must be known."""
    tested = [row for row in rows if "p" in row]
    q = q_values(np.array([row["p"] for row in tested]))
    for row, value in zip(tested, q.tolist(), strict=True):
        row["q"] = value
        row["verdict"] = tests.verdict(row["p_family"], value, config.alpha)
    for row in rows:
        row.setdefault("verdict", "not tested")


@dataclass(frozen=True)
class Units:
    """Images of the test half that vary together and have the same labels.

    of_image: (k,) unit of each image; member: (u, c) labels of each unit.
    """

    of_image: Int[ndarray, " k"]
    member: Bool[ndarray, "u c"]

    @classmethod
    def of(cls, collection: ImageCollection, rows: Int[ndarray, " k"]) -> Units:
        """Units of some rows; the rows of one image under several labels are one."""
        member = label_sets(collection)[rows]
        keys = np.concatenate([collection.units[rows][:, None], member], axis=1)
        _, first, of_image = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        return cls(of_image.ravel(), member[first])

    def mean(self, score: Float[ndarray, "k m"]) -> Float[ndarray, "u m"]:
        """Mean score of each unit."""
        sums = np.zeros((len(self.member), score.shape[1]))
        np.add.at(sums, self.of_image, score)
        return sums / np.bincount(self.of_image, minlength=len(self.member))[:, None]

    def enough(self, label: int, least: int) -> bool:
        """Whether there are enough units with the label and without it."""
        own = int(self.member[:, label].sum())
        return min(own, len(self.member) - own) >= least


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _gap(mining: Mining, own: Members, test: Int[ndarray, " k"]) -> dict[str, float]:
    """Mean typicality of patches of trained-on images less that of held-out images."""
    unseen = np.isin(own.row, test)
    if not unseen.any() or unseen.all():
        return {}
    rng = np.random.default_rng([mining.config.seed, 23, int(own.number[0])])
    group = np.unique(own.group, return_inverse=True)[1]
    draws = Bootstrap.of_groups(group, mining.config.significance.bootstrap, rng)

    def gap(times: ndarray) -> float:
        seen_weight, unseen_weight = times * ~unseen, times * unseen
        if not seen_weight.sum() or not unseen_weight.sum():
            return float("nan")
        return float(
            seen_weight @ own.typicality / seen_weight.sum()
            - unseen_weight @ own.typicality / unseen_weight.sum()
        )

    found = Estimate.of(draws.values(gap))
    return dict(zip(("gap", "gap_low", "gap_high"), _ends(found), strict=True))
