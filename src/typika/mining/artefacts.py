"""Clusters that may show how pictures were made and not what they show: a badge, and the evidence.

Two kinds of tests. Where the patches of a cluster lie: at the border, or always at one place. And
what becomes of their typicality when a nuisance is taken away (`interventions`) or when only some
noise levels are asked: the image is changed, encoded and scored again under the same noise, and
what survives of the typicality of the cluster's patches is held against what the other clusters of
the run keep. Nothing is hidden: a badge is a remark with its figures.

Legend: `n` patches, `u` units of a noise design, `h w` cells of a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.collection.images import ImageCollection
from typika.diffusion.denoiser import Denoiser, Latent
from typika.diffusion.schedule import Density, NoiseDesign
from typika.errors import ConfigError
from typika.mining.confounds import auc_interval, paired_auc
from typika.mining.features import cell_weights
from typika.mining.interventions import BORDER, CHANGES, Look, common_look
from typika.mining.patches import LONGEST, upsample
from typika.mining.scoring import Scorer, level_densities
from typika.mining.typicality import tally
from typika.parallel import Advance, run_tasks

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

REENCODING = "re-encoding"
NUISANCES = ("brightness", "tint", "resolution")
COARSER = "coarser noise"  # all but the finest third of the noise levels
BANDS = ("finest noise", "middle noise", "coarsest noise")
DRAWS = 400  # resamplings of an interval
TOUCH = 0.02  # of the short side: how near to an edge a patch touches it
MOST = 0.5  # share of the patches that has to touch one side ...
ALONE = 0.75  # ... and where nothing but their places is known
PLACE = 0.04  # of width and height: how far from one place a patch still lies there
FIXED = 0.6  # share of the patches that has to lie at one place
LEAST = 5  # patches of a cluster whose places say something
FADES = 0.5  # share of what others keep below which typicality dies
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


@dataclass(frozen=True)
class Measured:
    """A figure of a cluster with its 95 % interval."""

    value: float
    low: float
    high: float


# --- statistics ---------------------------------------------------------------------------------


def share(hits: Bool[ndarray, " n"], z: float = 1.96) -> Measured:
    """A share with Wilson's score interval."""
    n, found = len(hits), float(hits.mean())
    centre = (found + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(found * (1 - found) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Measured(found, float(max(centre - half, 0)), float(min(centre + half, 1)))


def survival(
    before: Float[ndarray, " n"], after: Float[ndarray, " n"], *, rng: np.random.Generator
) -> Measured:
    """Median of what is left of each patch's typicality, with a bootstrap interval over patches.

    before, after: (n,) typicality of the same patches. Patches without any before tell nothing;
    where all are such, nothing could die and everything survives.
    """
    kept = before > 0
    if not kept.any():
        return Measured(1.0, 1.0, 1.0)
    left = after[kept] / before[kept]
    drawn = np.median(left[rng.integers(len(left), size=(DRAWS, len(left)))], axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Measured(float(np.median(left)), float(low), float(high))


def reference(found: Sequence[Measured]) -> float:
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
    in pixels.
    """

    corners: Float[ndarray, "n 4"]
    size: Float[ndarray, "n 2"]

    @property
    def centres(self) -> Float[ndarray, "n 2"]:
        """Centres as fractions of width and height."""
        return (self.corners[:, :2] + self.corners[:, 2:]) / 2 / self.size

    def touching(self) -> Bool[ndarray, "n 4"]:
        """Which of its image's sides each patch touches: left, top, right, bottom."""
        gap = np.concatenate([self.corners[:, :2], self.size - self.corners[:, 2:]], axis=1)
        return gap <= TOUCH * self.size.min(axis=1, keepdims=True)


def most_touched(places: Places) -> tuple[str, Measured]:
    """The side that most patches touch, and the share that does."""
    touching = places.touching()
    side = int(touching.mean(axis=0).argmax())
    return SIDES[side], share(touching[:, side])


def at_one_place(places: Places, random: Places) -> tuple[Measured, float]:
    """Share of the patches whose centre lies at one place, and the share of random ones there.

    The place is the median of the centres; there is within `PLACE` of it both across and down.
    Elements that only share a height, as doors do, do not count.
    """
    centre = np.median(places.centres, axis=0)

    def there(some: Places) -> Bool[ndarray, " n"]:
        return (np.abs(some.centres - centre) <= PLACE).all(axis=1)

    chance = float(there(random).mean()) if len(random.corners) else 0.0
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


def covering(
    cluster: Int[ndarray, " n"], rank: Int[ndarray, " n"], row: Int[ndarray, " n"],
    most: int, wanted: int,
) -> list[int]:  # fmt: skip
    """Up to `most` images that hold `wanted` patches of every cluster, central ones if they can.

    cluster, rank, row: (n,) of each patch its cluster, its place within it (0: most central) and
    its image. Greedy: the image that adds most comes next; of equals the lower number.
    """
    missing = dict.fromkeys(np.unique(cluster).tolist(), wanted)
    images = {int(one): np.flatnonzero(row == one) for one in np.unique(row)}
    chosen: list[int] = []

    def gain(image: int) -> float:
        own = [patch for patch in images[image] if missing[int(cluster[patch])] > 0]
        return float(sum(wanted / (wanted + rank[patch]) for patch in own))

    while images and len(chosen) < most and any(count > 0 for count in missing.values()):
        best = max(sorted(images), key=gain)
        if gain(best) == 0:
            break
        for patch in images.pop(best):
            missing[int(cluster[patch])] -= 1
        chosen.append(best)
    return sorted(chosen)


def different(own: Float[ndarray, "n k"], others: Float[ndarray, "m k"]) -> Measured:
    """How well the images of a cluster are told from others by the best of k numbers.

    The AUC, turned so that it is at least 0.5, with its interval.
    """
    truth = np.repeat([True, False], [len(own), len(others)])
    fold = np.zeros(len(truth), dtype=np.int64)
    best = Measured(0.5, 0.5, 0.5)
    for column in np.concatenate([own, others]).T:
        auc = paired_auc(column, truth, fold)
        found = auc_interval(max(auc, 1 - auc), len(own), len(others))
        if found.auc > best.value:
            best = Measured(found.auc, found.low, found.high)
    return best


def noise_bands(log_snr: Float[ndarray, " u"]) -> Int[ndarray, " u"]:
    """The third that each unit of a design belongs to: 0 the finest noise, 2 the coarsest."""
    rank = np.empty(len(log_snr), dtype=np.int64)
    rank[np.argsort(-log_snr, kind="stable")] = np.arange(len(log_snr))
    return ((rank + 0.5) * len(BANDS) / len(log_snr)).astype(np.int64)


# --- changed images, scored again ---------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One image, and how it is to be changed before it is scored again."""

    row: int
    changes: tuple[str, ...]


Maps = dict[str, Float[ndarray, "h w"]]


def _score_again(
    mining: Mining,
    collection: ImageCollection,
    densities: Sequence[Density],
    common: Look,
    jobs: Sequence[Job],
    advance: Advance,
) -> list[Maps]:
    """Maps of each image after each change, and of the image itself by noise band."""
    scorer = Scorer.open(mining, collection, densities)
    others = mining.config.score.against == "others"
    found = []
    for job in jobs:
        label = int(collection.label_index[job.row])
        contexts = torch.tensor([scorer.contexts(label) if others else (label,)])
        latents = [scale.latents.latent(job.row) for scale in scorer.scales]
        maps = dict(zip(BANDS, _maps(scorer, latents, contexts, len(BANDS)), strict=True))
        image = collection.load(job.row)
        image.thumbnail((LONGEST, LONGEST))
        for name in job.changes:
            changed = CHANGES[name](image, common)
            latents = [scale.denoiser.encode(changed).cpu() for scale in scorer.scales]
            [maps[name]] = _maps(scorer, latents, contexts, 1)
        found.append(maps)
        advance(1 + len(job.changes))
    return found


def _maps(
    scorer: Scorer, latents: Sequence[Latent], contexts: Int[torch.Tensor, "1 k"], n_bands: int
) -> list[Float[ndarray, "h w"]]:
    """Typicality of one image by noise band, averaged over scales; the bands add up to it."""
    height, width = max((latent.shape[1:] for latent in latents), key=np.prod)
    total = np.zeros((n_bands, height, width))
    for scale, latent in zip(scorer.scales, latents, strict=True):
        denoiser, design = scale.denoiser, scale.design
        stack = latent[None].to(denoiser.device).contiguous(memory_format=torch.channels_last)
        band = np.zeros(design.n_units, dtype=np.int64)
        if n_bands > 1:
            band = noise_bands(denoiser.log_snr(design.quantile).cpu().numpy())
        for number in range(n_bands):
            own = part_of(design, np.flatnonzero(band == number))
            sums = scorer.batch.attempt(partial(_sum, denoiser, stack, contexts, own))
            grid = sums / design.n_units
            total[number] += upsample(grid, height, width) / len(scorer.scales)
    return list(total)


def _sum(
    denoiser: Denoiser,
    latents: Float[torch.Tensor, "1 c h w"],
    contexts: Int[torch.Tensor, "1 k"],
    design: NoiseDesign,
    at_once: int,
) -> Float[ndarray, "h w"]:
    """Sum over units of what ranks patches: against the null, or against the others."""
    sums = tally(denoiser, latents, contexts, design, at_once=at_once).sums[-1, 0]
    values: ndarray = sums.double().cpu().numpy()
    return values


def part_of(design: NoiseDesign, units: Int[ndarray, " m"]) -> NoiseDesign:
    """Some units of a design."""
    own = torch.from_numpy(units).to(design.quantile.device)
    return NoiseDesign(design.quantile[own], design.weight[own], design.canvas[own], design.pairs)


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
    follows: Mapping[str, Measured]
    left: Mapping[str, Measured]


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
    one: Evidence, badge: str, found: Measured, threshold: float, given: bool, evidence: str
) -> Row:
    return {
        "label": one.cluster.label, "cluster": one.cluster.number, "badge": badge,
        "value": found.value, "low": found.low, "high": found.high,
        "threshold": threshold, "given": bool(given), "evidence": evidence,
    }  # fmt: skip


def _border(one: Evidence) -> Row:
    """Most patches touch one side, and what is typical of them lies in the outermost strip."""
    side, touching = most_touched(one.cluster.places)
    text = f"{_percent(touching)} of the {len(one.cluster.row)} patches touch the {side} side"
    left = one.left.get("border")
    if left is None or touching.low < MOST:
        return _row(one, "border", touching, ALONE, touching.low >= ALONE, f"{text}.")
    text += f"; {_left(left)} without the outermost {BORDER:.0%}."
    return _row(one, "border", touching, MOST, left.high < FADES, text)


def _fixed_place(one: Evidence) -> Row:
    """Most patches lie at one place, and random patches seldom do."""
    there, chance = at_one_place(one.cluster.places, one.random)
    text = (
        f"{_percent(there)} of the {len(one.cluster.row)} patches lie within {PLACE:.0%} of one "
        f"place; of random patches {chance:.0%} do."
    )
    return _row(one, "fixed place", there, FIXED, there.low >= max(FIXED, 2 * chance), text)


def _reencoding(one: Evidence, keep: float) -> Row | None:
    """Next to nothing is left after a mild blur and a JPEG, of which others keep more."""
    left = one.left.get(REENCODING)
    if left is None:
        return None
    text = (
        f"{_left(left)} after a blur of one pixel and a JPEG of quality 75; other clusters keep "
        f"{keep:.0%}."
    )
    return _row(one, REENCODING, left, FADES * keep, left.high < FADES * keep, text)


def _finest(one: Evidence, keep: float) -> Row | None:
    """What is typical shows under the finest noise alone."""
    left = one.left.get(COARSER)
    if left is None:
        return None
    text = (
        f"{_percent(left)} of the typicality comes from the middle and the coarsest noise; of "
        f"other clusters {keep:.0%}."
    )
    return _row(one, "finest noise", left, FADES * keep, left.high < FADES * keep, text)


def _nuisance(one: Evidence, name: str) -> Row | None:
    """The images look different, and what is typical fades once they do not."""
    follows, left = one.follows.get(name), one.left.get(name)
    if follows is None or left is None:
        return None
    text = (
        f"Images of the cluster are told from others by their {name} (AUC {follows.value:.2f}, "
        f"95 % {follows.low:.2f} to {follows.high:.2f}); {_left(left)} once it is the same."
    )
    return _row(one, name, left, FADES, left.high < FADES, text)


def _percent(found: Measured) -> str:
    return f"{found.value:.0%} (95 % {found.low:.0%} to {found.high:.0%})"


def _left(found: Measured) -> str:
    return f"{_percent(found)} of the typicality is left"


# --- shell: read, compute -----------------------------------------------------------------------


KEY = ("image_id", "label", "file_name")  # tells a row of the collection


def badges(
    mining: Mining,
    collection: ImageCollection,
    patches: pa.Table,
    clusters: pa.Table,
    config: ArtefactConfig | None = None,
) -> pa.Table:
    """Test the first clusters of each label of a run for being artefacts (`BADGES`).

    patches, clusters: the tables of the cluster stage. Costs, for each label, two to three times
    scoring `config.images` images: with the embedded model 20 to 40 s of one core for four
    labels, with Stable Diffusion what scoring so many images takes there.
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
    jobs = _jobs(tested, follows, config)
    again = _again(mining, collection, common, jobs)
    left = _left_of(mining, tested, again)
    found = zip(tested, follows, left, strict=True)
    return judge([Evidence(one, random[one.label], *rest) for one, *rest in found])


def clusters_of(
    collection: ImageCollection, patches: pa.Table, clusters: pa.Table, config: ArtefactConfig
) -> tuple[list[Cluster], dict[str, Places]]:
    """The first clusters of each label with enough patches, and each label's random places."""
    names = zip(*(collection.table[name].to_pylist() for name in KEY), strict=True)
    row_of = {name: row for row, name in enumerate(names)}
    size = np.stack([collection.table[side].to_numpy() for side in ("width", "height")], axis=1)
    row = np.array(
        [row_of[name] for name in zip(*(patches[name].to_pylist() for name in KEY), strict=True)]
    )
    corners = np.stack([patches[side].to_numpy() for side in SIDES], axis=1).astype(np.float64)
    label, selection = (np.array(patches[name].to_pylist()) for name in ("label", "selection"))
    number, distance = patches["cluster"].to_numpy(), patches["distance"].to_numpy()

    def places(own: Int[ndarray, " n"]) -> Places:
        return Places(corners[own], size[row[own]].astype(np.float64))

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
    found = []
    for row in rows:
        found.append(Look.of(collection.load(int(row))))
        advance(1)
    return found


def _first(rows: Int[ndarray, " n"], most: int) -> Int[ndarray, " m"]:
    """The first distinct rows, in order."""
    return np.array(list(dict.fromkeys(rows.tolist()))[:most], dtype=np.int64)


def _follows(
    one: Cluster, looks: Mapping[int, Look], others: Sequence[int]
) -> dict[str, Measured]:
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
    tested: Sequence[Cluster], follows: Sequence[Mapping[str, Measured]], config: ArtefactConfig
) -> list[Job]:
    """The images that are changed, and how: as the clusters whose patches they hold suggest."""
    jobs = []
    for label in dict.fromkeys(one.label for one in tested):
        own = [number for number, one in enumerate(tested) if one.label == label]
        cluster = np.concatenate([np.full(len(tested[one].row), one) for one in own])
        rank = np.concatenate([np.arange(len(tested[one].row)) for one in own])
        row = np.concatenate([tested[one].row for one in own])
        for image in covering(cluster, rank, row, config.images, config.members):
            present = np.unique(cluster[row == image])
            wanted = {name for one in present for name in suspicions(tested[one], follows[one])}
            changes = (REENCODING, *sorted(wanted))
            jobs.append(Job(image, changes))
    return jobs


def suspicions(one: Cluster, follows: Mapping[str, Measured]) -> set[str]:
    """The nuisances whose removal is worth trying on a cluster."""
    found = {name for name, measured in follows.items() if measured.low >= FOLLOWS}
    return found | ({"border"} if most_touched(one.places)[1].low >= MOST else set())


def _again(
    mining: Mining, collection: ImageCollection, common: Look, jobs: Sequence[Job]
) -> dict[int, Maps]:
    """The maps of the jobs' images, by row."""
    densities = level_densities(mining, collection)
    workers = mining.model.workers(mining.workers)
    hands = max(1, min(len(jobs), 2 * workers if workers > 1 else 1))
    shares = [list(jobs[hand::hands]) for hand in range(hands)]
    tasks = [(mining, collection, densities, common, share) for share in shares]
    total = sum(1 + len(job.changes) for job in jobs)
    found = run_tasks(
        _score_again, tasks, workers=workers, name="Looking for artefacts", total=total
    )
    return {
        job.row: maps
        for part, results in zip(shares, found, strict=True)
        for job, maps in zip(part, results, strict=True)
    }


def _left_of(
    mining: Mining, tested: Sequence[Cluster], again: Mapping[int, Maps]
) -> list[dict[str, Measured]]:
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
        found.append(
            {name: survival(*np.array(pairs).T, rng=rng) for name, pairs in means.items()}
        )
    return found


def box_mean(
    grid: Float[ndarray, "h w"], corners: Float[ndarray, " 4"], size: Float[ndarray, " 2"]
) -> float:
    """Mean of a map over a box in pixels of an image of this (width, height)."""
    width, height = size
    down = cell_weights(corners[1] / height, corners[3] / height, grid.shape[0])
    across = cell_weights(corners[0] / width, corners[2] / width, grid.shape[1])
    return float(down @ grid @ across)
