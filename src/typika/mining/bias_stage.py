"""Real and generated images in one set of clusters: read maps and features, compare, write tables.

Both sides are scored runs under one model. Legend: `n` patches, `k` clusters of a label, `d`
features; an *origin* is 0 for real images, from 1 on a guidance of generated ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.collection.generated import guidance_of, in_order, units_of
from typika.collection.images import ImageCollection
from typika.errors import ConfigError
from typika.files import write_text
from typika.mining import bias, clusters, patches, stages
from typika.mining.bias import BiasConfig, Counts, Coverage, Judgement, LogOdds
from typika.mining.confounds import describe_images
from typika.mining.pipeline import Mining, training_images
from typika.mining.scoring import score
from typika.parallel import one_thread, run_tasks
from typika.tables import write_table

REAL = 0  # the origin of real images
SIDES = ("real", "generated")
SELECTIONS = ("typical", "random")
LOOKS = ("border", "background", "brightness", "tint", "sharpness")  # not the size, nor the file
TABLES = ("clusters", "odds", "coverage", "told_apart", "members")  # that `compare` writes

CLUSTERS = pa.schema(
    {
        "label": pa.string(),
        "cluster": pa.int32(),  # from 0, in the order of `LogOdds.ranked` at the first guidance
        "size": pa.int32(),  # patches
        "n_real": pa.int32(),  # real images with it
        "of_real": pa.int32(),
        "typicality_real": pa.float64(),  # medians over patches, of all guidances together
        "typicality_generated": pa.float64(),
        "stability": pa.float64(),  # how well the cluster is found again, 0 to 1
    }
)
FIGURES = ("low", "high", "widened_low", "widened_high", "p", "q")
ODDS = pa.schema(
    {
        "label": pa.string(),
        "cluster": pa.int32(),
        "guidance": pa.string(),
        **{name: pa.int32() for name in ("n_generated", "of_generated", "n_real", "of_real")},
        **{name: pa.float64() for name in ("log_odds", *FIGURES)},
        "verdict": pa.string(),
    }
)
COVERAGE = pa.schema(
    {
        "label": pa.string(),
        "guidance": pa.string(),
        "clusters": pa.int32(),
        "drawn": pa.int32(),
        **{name: pa.float64() for name in ("coverage", "low", "high", "expected")},
    }
)
TOLD_APART = pa.schema(
    {
        "label": pa.string(),
        "guidance": pa.string(),
        "by": pa.string(),  # "look", "patches", or "compared": patches as they are compared
        **{name: pa.float64() for name in ("auc", "low", "high")},
    }
)


@dataclass(frozen=True)
class Sides:
    """A scored run, and the images that were generated for its labels, scored as it was."""

    real: Mining
    generated: Mining
    config: BiasConfig

    @cached_property
    def collections(self) -> tuple[ImageCollection, ImageCollection]:
        """The images of both."""
        return self.real.collection, self.generated.collection

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the run, which the generated images have too."""
        return self.collections[0].labels

    @cached_property
    def guidances(self) -> list[str]:
        """Those of the generated images; the first is reported on foremost."""
        return in_order(guidance_of(self.collections[1]), self.config.draw.guidance)

    @cached_property
    def origins(self) -> tuple[Int[ndarray, " r"], Int[ndarray, " g"]]:
        """The origin of each image of either side; -1 of those that do not count."""
        real, generated = self.collections
        guidance = [1 + self.guidances.index(one) for one in guidance_of(generated)]
        counts = real_images(self.real, real, self.config.real)
        return np.where(counts, REAL, -1), np.array(guidance)

    @cached_property
    def units(self) -> tuple[Int[ndarray, " r"], Int[ndarray, " g"]]:
        """What varies together among the images of either side."""
        real, generated = self.collections
        return real.units, units_of(generated)


def real_images(mining: Mining, collection: ImageCollection, which: str) -> Bool[ndarray, " n"]:
    """The real images that count: those mined, of near-duplicates under a label only the first.

    Raises:
        ConfigError: some label has none.
    """
    config = mining.config.collection
    mined = collection.in_split(config.mine)
    if which == "held-out":
        mined = mined & ~training_images(collection, mining.config)
    label = collection.label_index
    bare = np.setdiff1d(label, label[mined])
    if len(bare):
        remedy = (
            "leave real=all, or mine with collection.cross_fit=true, which holds all images out"
            if which == "held-out"
            else f"mine a split that has some, which {config.mine!r} is not"
        )
        lacking = collection.labels[int(bare[0])]
        raise ConfigError(f"real={which}: no such image of {lacking}; {remedy}")
    if config.weigh_duplicates:
        return mined
    names = zip(collection.table["duplicate"].to_pylist(), label.tolist(), strict=True)
    first: dict[tuple[str, int], int] = {}
    for row, name in enumerate(names):
        if mined[row]:
            first.setdefault(name, row)
    return np.isin(np.arange(len(collection)), list(first.values()))


def beside(real: Mining, generated: Mining) -> Mining:
    """The generated side, its images to be scored as the real ones were.

    All of them are scored and mined, near-duplicates too, since each was drawn on its own.
    """
    config = real.config
    collection = replace(config.collection, train_on="", mine="", weigh_duplicates=True)
    plain = replace(config, collection=collection, score=replace(config.score, racing=0.0))
    return replace(generated, config=plain)


def score_generated(real: Mining, generated: Mining) -> None:
    """Write the maps of the generated images; they meet the noise that the real ones met."""
    levels = Path("scores", "levels.json")
    if (real.folder / levels).exists():
        write_text(generated.folder / levels, (real.folder / levels).read_text(encoding="utf-8"))
    score(generated)


# --- patches of both sides ----------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """Patches of real and of generated images: typical ones that images offer, and random ones.

    table: what `stages.candidates` gives, real ones first; side: (n,) place in SIDES; origin,
    label, image: (n,) numbers, images counted over both sides; typical: (n,) bool; features: (n,
    d) pooled; vectors: (n, d) what is compared.
    """

    table: pa.Table
    side: Int[ndarray, " n"]
    origin: Int[ndarray, " n"]
    label: Int[ndarray, " n"]
    image: Int[ndarray, " n"]
    typical: Bool[ndarray, " n"]
    features: Float[ndarray, "n d"]
    vectors: Float[ndarray, "n d"]

    @classmethod
    def of(cls, sides: Sides) -> Pool:
        """Gather what the images of both sides offer, and the features of it."""
        tables, features = [], []
        for mining, collection, origin in zip(
            (sides.real, sides.generated), sides.collections, sides.origins, strict=True
        ):
            table = stages.candidates(mining, collection)
            kept = pc.is_in(table["selection"], pa.array(SELECTIONS))
            counts = origin[table["row"].to_numpy()] >= 0
            table = table.filter(pc.and_(kept, pa.chunked_array([counts])))
            with one_thread():  # more would change the order of sums, and so the last digits
                features.append(stages.patch_features(mining, collection, table))
            tables.append(table)
        rows = [table["row"].to_numpy() for table in tables]
        side = np.repeat([0, 1], [len(own) for own in rows])
        shift = (0, len(sides.collections[0]))
        origin, label, image = (
            np.concatenate([values[number][own] for number, own in enumerate(rows)])
            for values in (
                sides.origins,
                tuple(collection.label_index for collection in sides.collections),
                tuple(np.arange(len(collection)) + start
                      for collection, start in zip(sides.collections, shift, strict=True)),
            )
        )  # fmt: skip
        joined = pa.concat_tables(tables)
        typical = np.array(joined["selection"].to_pylist()) == "typical"
        pooled = np.concatenate(features)
        vectors = compared(pooled, origin, label, typical, sides)
        return cls(joined, side, origin, label, image, typical, pooled, vectors)


def compared(
    pooled: Float[ndarray, "n d"],
    origin: Int[ndarray, " n"],
    label: Int[ndarray, " n"],
    typical: Bool[ndarray, " n"],
    sides: Sides,
) -> Float[ndarray, "n d"]:
    """What is compared of each patch; as in a run, but each origin has a mean of its own.

    "published" clusters compare features as they are, and so does the style "kept" but for the
    mean of all.
    """
    config = sides.config
    if config.cluster.method == "published":
        return clusters.unit(pooled.astype(np.float64))
    if config.style == "centred":
        pooled = bias.centred(pooled, origin, label, ~typical)
    # Directions within a label of an origin, since what tells origins apart is no background.
    within = origin * len(sides.labels) + label
    common = clusters.background(pooled[~typical], within[~typical], config.cluster.background)
    return clusters.without(pooled, common)


# --- clusters that real and generated share -----------------------------------------------------


@dataclass(frozen=True)
class Shared:
    """Clusters of one label.

    own: places in the pool of the label's typical patches; assignment, distance: of these;
    counts: of each origin, in their order; stability: of each cluster.
    """

    own: Int[ndarray, " n"]
    assignment: Int[ndarray, " n"]
    distance: Float[ndarray, " n"]
    counts: tuple[Counts, ...]
    stability: Float[ndarray, " k"]

    def in_order(self, odds: LogOdds) -> Shared:
        """The same, the clusters numbered from the surely overdrawn to the surely underdrawn."""
        order = odds.ranked()
        number = np.append(np.argsort(order), clusters.LOOSE)  # the last for -1
        counts = tuple(
            Counts(one.found[order], one.total, one.effect[order]) for one in self.counts
        )
        return replace(self, assignment=number[self.assignment], counts=counts,
                       stability=self.stability[order])  # fmt: skip


def share_clusters(pool: Pool, sides: Sides) -> list[Shared]:
    """Group the patches of each label, real and generated together, and count images.

    Clusters are fitted to the share of each origin's patches that is most typical, and take in
    whatever patch lies within them: of an image all that it offers, whatever others offer.
    """
    mining = sides.real
    tasks, places = [], []
    for label in range(len(sides.labels)):
        own = np.flatnonzero(pool.typical & (pool.label == label))
        fitted = np.isin(own, _most_typical(pool, own, mining.config.select))
        tasks.append((pool.vectors[own], pool.image[own], fitted, sides.config.cluster,
                      mining.config.seed))  # fmt: skip
        places.append(own)
    found = run_tasks(stages.group_label, tasks, workers=mining.workers, name="Grouping",
                      total=len(tasks))  # fmt: skip
    shared = []
    for label, (own, (groups, result)) in enumerate(zip(places, found, strict=True)):
        n_clusters = len(groups.centres)
        counts = _counts(pool, own, result.assignment, n_clusters, label, sides)
        one = Shared(own, result.assignment, result.distance, counts, groups.stability)
        shared.append(one.in_order(LogOdds.of(counts[REAL], counts[1])))
    return shared


def _most_typical(
    pool: Pool, own: Int[ndarray, " n"], select: patches.SelectConfig
) -> Int[ndarray, " m"]:
    """Of each origin's patches as many as a run would keep."""
    score = pool.table["typicality"].to_numpy()
    kept = []
    for origin in np.unique(pool.origin[own]):
        these = own[pool.origin[own] == origin]
        count = patches.keep_count(len(these), select)
        kept.append(these[patches.best_first(score[these], pool.image[these], count)])
    return np.concatenate(kept)


def _counts(
    pool: Pool,
    own: Int[ndarray, " n"],
    assignment: Int[ndarray, " n"],
    n_clusters: int,
    label: int,
    sides: Sides,
) -> tuple[Counts, ...]:
    """Images of the label with each cluster, by origin; images that offer nothing count too."""
    found = []
    for origin in range(1 + len(sides.guidances)):
        side = min(origin, 1)
        of_label = sides.collections[side].label_index == label
        rows = np.flatnonzero(of_label & (sides.origins[side] == origin))
        images = rows + (len(sides.collections[0]) if side else 0)
        present = np.zeros((len(rows), n_clusters), dtype=bool)
        there = (pool.origin[own] == origin) & (assignment != clusters.LOOSE)
        present[np.searchsorted(images, pool.image[own[there]]), assignment[there]] = True
        found.append(Counts.of(present, sides.units[side][rows]))
    return tuple(found)


# --- tables -------------------------------------------------------------------------------------


def compare(sides: Sides) -> None:
    """Group, count and test; write the tables that a user opens."""
    pool = Pool.of(sides)
    shared = share_clusters(pool, sides)
    tables = {
        "clusters": cluster_table(pool, shared, sides),
        "odds": odds_table(shared, sides),
        "coverage": coverage_table(shared, sides),
        "told_apart": told_apart_table(pool, sides),
        "members": member_table(pool, shared, sides),
    }
    for name, table in tables.items():
        write_table(table, sides.generated.folder / f"{name}.parquet")


def cluster_table(pool: Pool, shared: Sequence[Shared], sides: Sides) -> pa.Table:
    """One row per cluster (`CLUSTERS`)."""
    typicality = pool.table["typicality"].to_numpy()
    rows = []
    for label, one in zip(sides.labels, shared, strict=True):
        real = one.counts[REAL]
        for number, stability in enumerate(one.stability):
            members = one.own[one.assignment == number]
            medians = {
                f"typicality_{name}": _median(typicality[members[pool.side[members] == side]])
                for side, name in enumerate(SIDES)
            }
            rows.append({"label": label, "cluster": number, "size": len(members),
                         "n_real": int(real.found[number]), "of_real": real.total, **medians,
                         "stability": float(stability)})  # fmt: skip
    return pa.Table.from_pylist(rows, schema=CLUSTERS)


def _median(values: Float[ndarray, " n"]) -> float | None:
    return float(np.median(values)) if len(values) else None


def odds_table(shared: Sequence[Shared], sides: Sides) -> pa.Table:
    """One row per cluster and guidance (`ODDS`); those of one guidance are judged together."""
    rows = []
    for origin, guidance in enumerate(sides.guidances, 1):
        odds = [LogOdds.of(one.counts[REAL], one.counts[origin]) for one in shared]
        joined = LogOdds(*(np.concatenate([getattr(one, name) for one in odds])
                           for name in ("value", "error")))  # fmt: skip
        drawn = np.concatenate([one.counts[origin].found for one in shared])
        judged = Judgement.of(joined, drawn, sides.config.alpha)
        place = 0
        for label, one in zip(sides.labels, shared, strict=True):
            real, generated = one.counts[REAL], one.counts[origin]
            for number in range(len(one.stability)):
                figures = {name: float(getattr(judged, name)[place]) for name in FIGURES}
                rows.append({
                    "label": label, "cluster": number, "guidance": guidance,
                    "n_generated": int(generated.found[number]), "of_generated": generated.total,
                    "n_real": int(real.found[number]), "of_real": real.total,
                    "log_odds": float(joined.value[place]), **figures,
                    "verdict": judged.verdict[place],
                })  # fmt: skip
                place += 1
    return pa.Table.from_pylist(rows, schema=ODDS)


def coverage_table(shared: Sequence[Shared], sides: Sides) -> pa.Table:
    """One row per label and guidance (`COVERAGE`)."""
    rows = []
    for label, one in zip(sides.labels, shared, strict=True):
        for origin, guidance in enumerate(sides.guidances, 1):
            found = Coverage.of(
                one.counts[REAL], one.counts[origin], sides.config.cluster.smallest
            )
            rows.append({"label": label, "guidance": guidance, "clusters": found.clusters,
                         "drawn": found.drawn, "coverage": found.share.value,
                         "low": found.share.low, "high": found.share.high,
                         "expected": found.expected})  # fmt: skip
    return pa.Table.from_pylist(rows, schema=COVERAGE)


def told_apart_table(pool: Pool, sides: Sides) -> pa.Table:
    """One row per label, guidance and what a probe goes by (`TOLD_APART`)."""
    numbers = {
        "look": _looks(sides),
        "patches": _image_means(pool, pool.features, sides),
        "compared": _image_means(pool, pool.vectors, sides),
    }
    shift = len(sides.collections[0])
    unit = np.concatenate([sides.units[0], sides.units[1] + 1 + int(sides.units[0].max())])
    label = np.concatenate([one.label_index for one in sides.collections])
    origin = np.concatenate(sides.origins)
    rows = []
    for number, name in enumerate(sides.labels):
        for place, guidance in enumerate(sides.guidances, 1):
            own = np.flatnonzero((label == number) & np.isin(origin, (REAL, place)))
            for by, values in numbers.items():
                found = bias.told_apart(values[own], own >= shift, unit[own],
                                        sides.real.config.seed)  # fmt: skip
                rows.append({"label": name, "guidance": guidance, "by": by, "auc": found.value,
                             "low": found.low, "high": found.high})  # fmt: skip
    return pa.Table.from_pylist(rows, schema=TOLD_APART)


def _looks(sides: Sides) -> Float[ndarray, "n d"]:
    """What each image looks like beside its content; zeros for those that do not count."""
    found = []
    for collection, origin in zip(sides.collections, sides.origins, strict=True):
        rows = np.flatnonzero(origin >= 0)
        described = describe_images(collection, rows, sides.real.workers)
        joined = np.concatenate([described[family] for family in LOOKS], axis=1)
        numbers = np.zeros((len(collection), joined.shape[1]))
        numbers[rows] = joined
        found.append(numbers)
    return np.concatenate(found)


def _image_means(pool: Pool, values: Float[ndarray, "n d"], sides: Sides) -> Float[ndarray, "m d"]:
    """Mean over the random patches of each image of either side; zeros where it has none."""
    count = sum(map(len, sides.collections))
    random = ~pool.typical
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, pool.image[random], values[random])
    number = np.bincount(pool.image[random], minlength=count)
    means: ndarray = sums / np.maximum(number, 1)[:, None]
    return means


def member_table(pool: Pool, shared: Sequence[Shared], sides: Sides) -> pa.Table:
    """One row per patch of a cluster, the nearest to its centre first."""
    return pa.concat_tables(_members(pool, shared, sides))


def _members(pool: Pool, shared: Sequence[Shared], sides: Sides) -> Iterator[pa.Table]:
    images = [collection.table for collection in sides.collections]
    shift = images[0].num_rows
    names, identities = (
        np.concatenate([table[column].to_pylist() for table in images])
        for column in ("file_name", "image_id")
    )
    guidance = np.array(["", *sides.guidances])
    for label, one in zip(sides.labels, shared, strict=True):
        order = np.lexsort((one.distance, one.assignment))
        order = order[one.assignment[order] != clusters.LOOSE]
        own = one.own[order]
        patch = pool.table.take(pa.array(own))
        columns: dict[str, Any] = {
            "label": pa.array([label] * len(own), pa.string()),
            "cluster": pa.array(one.assignment[order], pa.int32()),
            "origin": pa.array(np.array(SIDES)[pool.side[own]], pa.string()),
            "guidance": pa.array(guidance[pool.origin[own]], pa.string()),
            "image_id": pa.array(identities[pool.image[own]], pa.string()),
            "file_name": pa.array(names[pool.image[own]], pa.string()),
            "row": pa.array(pool.image[own] - shift * pool.side[own], pa.int64()),
            **{name: patch[name] for name in ("left", "top", "right", "bottom", "typicality")},
            "distance": pa.array(one.distance[order], pa.float64()),
        }
        yield pa.table(columns)
