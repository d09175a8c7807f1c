"""Clusters that may show how pictures were made and not what they show: a badge, and the evidence.

Two kinds of tests. Where the patches of a cluster lie: at the border, or always at one place. And
what becomes of their typicality when a nuisance is taken away (`interventions`) or when only some
noise levels are asked: the image is changed, encoded and scored again under the same noise, and
what survives of the typicality of the cluster's patches is held against what the other clusters of
the run keep. Nothing is hidden: a badge is a remark with its figures.

Legend: `n` patches, `u` units of a noise design, `h w` cells of a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.collection.images import ImageCollection
from typika.errors import ConfigError
from typika.evaluation import Estimate, auc_interval, paired_auc, wilson
from typika.mining.descriptors import SMALL
from typika.mining.interventions import BORDER, Look, common_look
from typika.mining.stages import rows_of
from typika.mining.trials import BANDS, Job, Maps, box_mean, covering, scored_again
from typika.parallel import Advance, run_tasks

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

REENCODING = "re-encoding"
NUISANCES = ("brightness", "tint", "resolution")
FINEST = "finest noise"
COARSER = "coarser noise"  # all but the finest third of the noise levels
DRAWS = 400  # resamplings of an interval
TOUCH = 0.02  # of the short side: how near to an edge a patch touches it
MOST = 0.5  # share of the patches that has to touch a side ...
ALONE = 0.9  # ... and where nothing but their places is known
PLACE = 0.025  # of width and height: how far from one place a patch still lies there
FIXED = 0.6  # share of the images that has to have a patch at one place
REPEATED = 10  # images that say whether a place is fixed
TRIED = 4  # patches that have to be scored again
SECOND = 4  # times as many patches of a cluster for which the first few do not tell
LEAST = 5  # patches of a cluster whose places say something
FADES = 0.5  # share of typicality, or of what others keep, below which it fades ...
DIES = 0.3  # ... and below which it dies, as subtle elements do not
REFERENCE = (0.5, 1.0)  # what others keep is taken to lie between these
FOLLOWS = 0.6  # AUC from which the images of a cluster look different
OTHERS = 400  # images that those of a cluster are compared with
LOOKED_AT = 40  # images of a cluster that are compared

SIDES = ("left", "top", "right", "bottom")

BADGES = pa.schema(
    {
        "label": pa.string(),
        "cluster": pa.int32(),
        "badge": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "threshold": pa.float64(),
        "given": pa.bool_(),
        "evidence": pa.string(),
    }
)


@dataclass(frozen=True, kw_only=True)
class ArtefactConfig:
    """Which clusters are tested for being artefacts, and on how many images."""

    clusters: int = 12  # first clusters of each label that are tested
    images: int = 24  # of each label that are changed and scored again; 0: only places are tested
    members: int = 6  # patches of each cluster that are wanted among them

    def __post_init__(self) -> None:
        if self.clusters < 0 or self.images < 0 or self.members < 1:
            raise ConfigError(
                f"clusters={self.clusters}, images={self.images}, members={self.members}: "
                "need clusters >= 0, images >= 0 and members >= 1"
            )


# --- statistics ---------------------------------------------------------------------------------


def share(hits: Bool[ndarray, " n"]) -> Estimate:
    """A share with its interval."""
    return wilson(int(hits.sum()), len(hits))


def survival(
    before: Float[ndarray, " n"], after: Float[ndarray, " n"], *, rng: np.random.Generator
) -> Estimate | None:
    """Σ after / Σ before: what is left of the typicality of some patches.

    before, after: (n,) typicality of the same patches. With a bootstrap interval. A ratio of sums,
    since the ratio of a single faint patch may be anything. None where patches are fewer than
    `TRIED`, or have no typicality that could die.
    """
    if len(before) < TRIED or before.sum() <= 0:
        return None
    drawn = rng.integers(len(before), size=(DRAWS, len(before)))
    sums = before[drawn].sum(axis=1)
    kept = sums > 0
    if not kept.any():
        return None
    low, high = np.percentile(after[drawn].sum(axis=1)[kept] / sums[kept], [2.5, 97.5])
    return Estimate(float(after.sum() / before.sum()), float(low), float(high))


def reference(found: Sequence[Estimate]) -> float:
    """What a cluster of the run keeps, the median over clusters, within reason.

    Subtle elements fade too, and models differ in how much; a run of which next to nothing
    survives anything must not excuse every cluster.
    """
    low, high = REFERENCE
    return float(np.clip(np.median([one.value for one in found]), low, high)) if found else high


# --- where patches lie --------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """Where some patches lie.

    corners: (n, 4) left, top, right, bottom; size: (n, 2) width, height of each one's image; all
    in pixels. unit: (n,) images of one unit repeat each other and count once.
    """

    corners: Float[ndarray, "n 4"]
    size: Float[ndarray, "n 2"]
    unit: Int[ndarray, " n"]

    @property
    def centres(self) -> Float[ndarray, "n 2"]:
        """Centres as fractions of width and height."""
        return (self.corners[:, :2] + self.corners[:, 2:]) / 2 / self.size

    def touching(self) -> Bool[ndarray, "n 4"]:
        """Which of its image's sides each patch touches: left, top, right, bottom."""
        gap = np.concatenate([self.corners[:, :2], self.size - self.corners[:, 2:]], axis=1)
        return gap <= TOUCH * self.size.min(axis=1, keepdims=True)


def touching_a_side(places: Places) -> Estimate:
    """Share of the patches that touch any side of their image: scan edges lie left or right."""
    return share(np.asarray(places.touching().any(axis=1)))


def at_one_place(places: Places, random: Places) -> tuple[Estimate, float]:
    """Share of the images with a patch at one place, and the share that random patches have there.

    The place is the median of the centres; there is within `PLACE` of it both across and down.
    Elements that only share a height, as doors do, do not count.
    """
    centre = np.median(places.centres, axis=0)

    def there(some: Places) -> Bool[ndarray, " n"]:
        hit = (np.abs(some.centres - centre) <= PLACE).all(axis=1)
        units, unit = np.unique(some.unit, return_inverse=True)
        return np.bincount(unit, hit, len(units)) > 0

    chance = float(there(random).mean()) if len(random.unit) else 0.0
    return share(there(places)), chance


# --- what is tested, and on which images --------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """One cluster under test.

    row: (n,) of the collection, of each patch, the most central first; places: of the patches.
    """

    label: str
    number: int
    row: Int[ndarray, " n"]
    places: Places


def different(own: Float[ndarray, "n k"], others: Float[ndarray, "m k"]) -> Estimate:
    """How well the images of a cluster are told from others by the best of k numbers.

    The AUC, turned so that it is at least 0.5, with its interval.
    """
    truth = np.repeat([True, False], [len(own), len(others)])
    best = Estimate(0.5, 0.5, 0.5)
    for column in np.concatenate([own, others]).T:
        auc = paired_auc(column, truth)
        found = auc_interval(max(auc, 1 - auc), len(own), len(others))
        best = max(best, found, key=lambda one: one.value)
    return best


# --- judgement ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """What was measured of one cluster.

    random: places of its label's random patches; follows: of each nuisance how different the
    cluster's images look from others; left: of each change, and of all but the finest noise, what
    of the typicality is left. The last two are empty where nothing was scored again.
    """

    cluster: Cluster
    random: Places
    follows: Mapping[str, Estimate]
    left: Mapping[str, Estimate]


def judge(found: Sequence[Evidence]) -> pa.Table:
    """The badges of all tested clusters of a run, with the figures beside each (`BADGES`)."""
    keeps = {
        name: reference([one.left[name] for one in found if name in one.left])
        for name in (REENCODING, COARSER)
    }
    rows: list[Row | None] = []
    for one in found:
        rows += [_border(one), _fixed_place(one)]
        rows += [_reencoding(one, keeps[REENCODING]), _finest(one, keeps[COARSER])]
        rows += [_nuisance(one, name) for name in NUISANCES]
    return pa.Table.from_pylist([row for row in rows if row is not None], schema=BADGES)


Row = dict[str, Any]


def _row(
    one: Evidence, badge: str, found: Estimate, threshold: float, given: bool, evidence: str
) -> Row:
    return {
        "label": one.cluster.label, "cluster": one.cluster.number, "badge": badge,
        "value": found.value, "low": found.low, "high": found.high,
        "threshold": threshold, "given": bool(given), "evidence": evidence,
    }  # fmt: skip


def _border(one: Evidence) -> Row:
    """Most patches touch a side, and what is typical of them lies in the outermost strip."""
    touching = touching_a_side(one.cluster.places)
    sides = one.cluster.places.touching().mean(axis=0)
    most = int(sides.argmax())
    text = (
        f"{_percent(touching)} of the {len(one.cluster.row)} patches touch a side of their image, "
        f"{sides[most]:.0%} the {SIDES[most]}"
    )
    left = one.left.get("border")
    if left is None or touching.low < MOST:
        return _row(one, "border", touching, ALONE, touching.low >= ALONE, f"{text}.")
    text += f"; {_left(left)} without the outermost {BORDER:.0%}."
    return _row(one, "border", touching, MOST, left.high < FADES, text)


def _fixed_place(one: Evidence) -> Row:
    """Most patches lie at one place, and random patches seldom do."""
    there, chance = at_one_place(one.cluster.places, one.random)
    n_images = len(np.unique(one.cluster.places.unit))
    text = (
        f"{_percent(there)} of its {n_images} images have a patch within {PLACE:.1%} of one "
        f"place; of images with random patches {chance:.0%} do."
    )
    given = n_images >= REPEATED and there.low >= max(FIXED, 2 * chance)
    return _row(one, "fixed place", there, FIXED, given, text)


def _reencoding(one: Evidence, keep: float) -> Row | None:
    """Next to nothing is left after a mild blur and a JPEG, of which others keep more."""
    left = one.left.get(REENCODING)
    if left is None:
        return None
    text = (
        f"{_left(left)} after a median over 3 x 3 pixels and a JPEG of quality 75; the median "
        f"cluster keeps {keep:.0%}."
    )
    return _row(one, REENCODING, left, DIES * keep, left.high < DIES * keep, text)


def _finest(one: Evidence, keep: float) -> Row | None:
    """What is typical shows under the finest noise alone."""
    left = one.left.get(COARSER)
    if left is None:
        return None
    text = (
        f"{_percent(left)} of the typicality comes from the middle and the coarsest noise; of the "
        f"median cluster {keep:.0%}."
    )
    return _row(one, FINEST, left, FADES * keep, left.high < FADES * keep, text)


def _nuisance(one: Evidence, name: str) -> Row | None:
    """The images look different, and what is typical fades once they do not."""
    follows, left = one.follows.get(name), one.left.get(name)
    if follows is None or left is None or follows.low < FOLLOWS:
        return None
    text = (
        f"Images of the cluster are told from others by their {name} (AUC {follows.value:.2f}, "
        f"95 % {follows.low:.2f} to {follows.high:.2f}); {_left(left)} once it is the same."
    )
    return _row(one, name, left, FADES, left.high < FADES, text)


def _percent(found: Estimate) -> str:
    """A share in words; below nothing, where the label now hinders, is nothing."""
    value, low, high = (f"{max(one, 0):.0%}" for one in (found.value, found.low, found.high))
    return f"{value} (95 % {low} to {high})"


def _left(found: Estimate) -> str:
    return f"{_percent(found)} of the typicality is left"


# --- shell: read, compute -----------------------------------------------------------------------


def badges(
    mining: Mining,
    collection: ImageCollection,
    patches: pa.Table,
    clusters: pa.Table,
    config: ArtefactConfig | None = None,
) -> pa.Table:
    """Test the first clusters of each label of a run for being artefacts (`BADGES`).

    patches, clusters: the tables of the cluster stage. Clusters for which the first few patches do
    not tell are looked at again, on more. Costs, for each label, two to three times scoring
    `config.images` images, and twice that at most: with the embedded model 20 to 40 s of one core
    for four labels, with Stable Diffusion what scoring so many images takes there.
    """
    config = config or ArtefactConfig()
    tested, random = clusters_of(collection, patches, clusters, config)
    if not tested:
        return BADGES.empty_table()
    if not config.images:
        return judge([Evidence(one, random[one.label], {}, {}) for one in tested])
    looks, others = _looks(mining, collection, tested)
    follows = [_follows(one, looks, others) for one in tested]
    common = common_look([looks[row] for row in others])
    again: dict[int, Maps] = {}
    judged, asked = BADGES.empty_table(), list(range(len(tested)))
    for wanted in (config.members, SECOND * config.members):
        jobs = _jobs(tested, follows, asked, set(again), config.images, wanted)
        if not jobs:
            break
        again |= scored_again(mining, collection, common, jobs)
        found = zip(tested, follows, _left_of(mining, tested, again), strict=True)
        judged = judge([Evidence(one, random[one.label], *rest) for one, *rest in found])
        asked = undecided(judged, tested)
    return judged


def undecided(judged: pa.Table, tested: Sequence[Cluster]) -> list[int]:
    """Which clusters look as if their typicality faded, on too few patches to tell."""
    unclear = {
        (row["label"], row["cluster"])
        for row in judged.to_pylist()
        if row["badge"] in (REENCODING, FINEST, *NUISANCES)
        and row["value"] < row["threshold"] <= row["high"]
    }
    return [number for number, one in enumerate(tested) if (one.label, one.number) in unclear]


def clusters_of(
    collection: ImageCollection, patches: pa.Table, clusters: pa.Table, config: ArtefactConfig
) -> tuple[list[Cluster], dict[str, Places]]:
    """The first clusters of each label with enough patches, and each label's random places."""
    size = np.stack([collection.table[side].to_numpy() for side in ("width", "height")], axis=1)
    row = rows_of(collection, patches)
    corners = np.stack([patches[side].to_numpy() for side in SIDES], axis=1).astype(np.float64)
    label, selection = (np.array(patches[name].to_pylist()) for name in ("label", "selection"))
    number, distance = patches["cluster"].to_numpy(), patches["distance"].to_numpy()

    def places(own: Int[ndarray, " n"]) -> Places:
        return Places(corners[own], size[row[own]].astype(np.float64), collection.units[row[own]])

    random = {
        name: places(np.flatnonzero((label == name) & (selection == "random")))
        for name in collection.labels
    }
    found = []
    for one in clusters.to_pylist():
        if one["cluster"] >= config.clusters or one["size"] < LEAST:
            continue
        own = (label == one["label"]) & (selection == "typical") & (number == one["cluster"])
        members = np.flatnonzero(own)
        members = members[np.argsort(distance[members], kind="stable")]
        found.append(Cluster(one["label"], one["cluster"], row[members], places(members)))
    return found, random


def _looks(
    mining: Mining, collection: ImageCollection, tested: Sequence[Cluster]
) -> tuple[dict[int, Look], list[int]]:
    """Looks of the clusters' central images and of a sample of all, by row; and that sample."""
    mined = np.flatnonzero(collection.in_split(mining.config.collection.mine))
    chance = np.random.default_rng([mining.config.seed, 19])
    others = np.sort(chance.permutation(mined)[:OTHERS])
    own = [_first(one.row, LOOKED_AT) for one in tested]
    rows = np.unique(np.concatenate([others, *own]))
    hands = max(1, min(len(rows), 4 * mining.workers))
    tasks = [(collection, part) for part in np.array_split(rows, hands)]
    found = run_tasks(
        _look_at, tasks, workers=mining.workers, name="Looking at images", total=len(rows)
    )
    looks = [look for part in found for look in part]
    return dict(zip(rows.tolist(), looks, strict=True)), others.tolist()


def _look_at(
    collection: ImageCollection, rows: Int[ndarray, " n"], advance: Advance
) -> list[Look]:
    width, height = (collection.table[name].to_numpy() for name in ("width", "height"))
    found = []
    for row in rows.tolist():
        look = Look.of(collection.load(row, draft=2 * SMALL))
        found.append(replace(look, short=int(min(width[row], height[row]))))
        advance(1)
    return found


def _first(rows: Int[ndarray, " n"], most: int) -> Int[ndarray, " m"]:
    """The first distinct rows, in order."""
    return np.array(list(dict.fromkeys(rows.tolist()))[:most], dtype=np.int64)


def _follows(
    one: Cluster, looks: Mapping[int, Look], others: Sequence[int]
) -> dict[str, Estimate]:
    """How different the cluster's images look from others, by nuisance."""
    own = [looks[row] for row in _first(one.row, LOOKED_AT).tolist()]
    rest = [looks[row] for row in sorted(set(others) - set(one.row.tolist()))]
    if not rest:
        return {}
    return {
        name: different(*(np.array([look.numbers[name] for look in part]) for part in (own, rest)))
        for name in NUISANCES
    }


def _jobs(
    tested: Sequence[Cluster],
    follows: Sequence[Mapping[str, Estimate]],
    asked: Sequence[int],
    known: Set[int],
    most: int,
    wanted: int,
) -> list[Job]:
    """The images that are changed, and how: as the clusters whose patches they hold suggest.

    asked: the clusters in question; known: images that were changed before; most: images of a
    label; wanted: patches of each cluster.
    """
    jobs = []
    for label in dict.fromkeys(one.label for one in tested):
        own = [number for number in asked if tested[number].label == label]
        if not own:
            continue
        cluster = np.concatenate([np.full(len(tested[one].row), one) for one in own])
        rank = np.concatenate([np.arange(len(tested[one].row)) for one in own])
        row = np.concatenate([tested[one].row for one in own])
        new = ~np.isin(row, list(known))
        for image in covering(cluster[new], rank[new], row[new], most, wanted):
            present = [one for one, other in enumerate(tested) if image in other.row]
            found = {name for one in present for name in suspicions(tested[one], follows[one])}
            jobs.append(Job(image, (REENCODING, *sorted(found))))
    return jobs


def suspicions(one: Cluster, follows: Mapping[str, Estimate]) -> set[str]:
    """The nuisances whose removal is worth trying on a cluster."""
    found = {name for name, measured in follows.items() if measured.low >= FOLLOWS}
    return found | ({"border"} if touching_a_side(one.places).low >= MOST else set())


def _left_of(
    mining: Mining, tested: Sequence[Cluster], again: Mapping[int, Maps]
) -> list[dict[str, Estimate]]:
    """What is left of the typicality of each cluster's patches, by change."""
    rng = np.random.default_rng([mining.config.seed, 23])
    found = []
    for one in tested:
        means: dict[str, list[tuple[float, float]]] = {}
        for row, corners, size in zip(one.row, one.places.corners, one.places.size, strict=True):
            maps = again.get(int(row))
            if maps is None:
                continue
            own = {name: box_mean(grid, corners, size) for name, grid in maps.items()}
            bands = [own.pop(name) for name in BANDS]
            own[COARSER] = sum(bands[1:])
            for name, value in own.items():
                means.setdefault(name, []).append((sum(bands), value))
        left = {name: survival(*np.array(pairs).T, rng=rng) for name, pairs in means.items()}
        found.append({name: value for name, value in left.items() if value is not None})
    return found
