"""Selection from a large collection: score parts go by, what may be chosen stays.

Two passes over the parts. The first bounds what each image can offer at best, by its coarse map
alone; the second looks closely at images that may be chosen, and of what these offer keeps no more
of each label than can be chosen. What comes out is what looking closely at every image gives, but
for the random controls: in labels of very many images they come from a sample of them.

Legend: a *part* is a slice of the collection (some hundred images) that one file holds; `row` is
the place of an image in the collection; `n` images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.baselines.names import OF_CHOICE
from typika.collection.images import ImageCollection
from typika.diffusion.latents import PART
from typika.mining import patches, screening
from typika.mining.masks import Mask, MaskText
from typika.mining.scores import mined_parts, read_maps, score_path
from typika.mining.stages import SELECTIONS, choose, detected_boxes, offered, require_patches
from typika.parallel import Advance, run_tasks
from typika.tables import read_parquet

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

LARGE = 20_000  # images; fewer are looked at closely one and all, and everything is held at once
RANDOM_IMAGES = 4  # of a label for each random control, which are taken from those
HELD = 100_000  # offers that are held before those that cannot be chosen are let go


def select(mining: Mining, collection: ImageCollection) -> pa.Table:
    """The typical patches of each label and its controls.

    Raises:
        ConfigError: a mask leaves no patch to some label.
    """
    parts = mined_parts(mining, collection)
    worth = Worth.of(mining, collection, parts)
    tasks = [(mining, collection, worth, share) for share in _shares(mining, parts)]
    total = int((worth.typical | worth.random | worth.negative).sum())
    found = run_tasks(_offers_of, tasks, workers=mining.workers, name="Selecting", total=total)
    table = pa.concat_tables([one.table for one in found])
    require_patches(table, collection, mining)
    counts = np.maximum(worth.n_candidates, _n_candidates(found, mining, collection))
    label = collection.label_index[table["row"].to_numpy()]
    chosen = []
    for number, count in enumerate(counts.tolist()):
        own = table.filter(pa.array(label == number))
        chosen += [choose(own, collection, name, mining, count) for name in SELECTIONS]
    return pa.concat_tables(chosen).combine_chunks()


def _shares(mining: Mining, parts: Sequence[int]) -> list[list[int]]:
    hands = max(1, min(len(parts), 4 * mining.workers))
    return [list(parts[hand::hands]) for hand in range(hands)]


# --- first pass: which images are worth a closer look -------------------------------------------


@dataclass(frozen=True)
class Worth:
    """Images to look at closely, for each selection.

    typical, random, negative: (n,) bool. n_candidates: (l,) typical patches that each label surely
    has, looked at or not; 0 where all its images are looked at.
    """

    typical: Bool[ndarray, " n"]
    random: Bool[ndarray, " n"]
    negative: Bool[ndarray, " n"]
    n_candidates: Int[ndarray, " l"]

    @classmethod
    def of(cls, mining: Mining, collection: ImageCollection, parts: Sequence[int]) -> Worth:
        """All mined images where patches are not chosen by their maps alone, else few."""
        config, name = mining.config.select, mining.config.baseline.name
        mined = collection.in_split(mining.config.collection.mine)
        none, controlled = np.zeros_like(mined), mined & (config.controls > 0)
        most = RANDOM_IMAGES * config.controls
        random = _sampled(collection, controlled, most, mining.config.seed)
        unknown = np.zeros(len(collection.labels), dtype=np.int64)
        if Mask.read(MaskText.parse(config.mask)) or name in (*OF_CHOICE, "doersch"):
            return cls(mined, random, controlled, unknown)
        rows, best, worst = _bounds(mining, collection, parts)
        label, unit = collection.label_index[rows], _units(mining, collection)[rows]
        sure = _sure_candidates(collection, rows, unit, config)
        count = np.where(np.rint(config.share * sure) >= config.at_most, config.at_most, 0)
        typical, negative = none.copy(), none.copy()
        typical[rows] = screening.may_be_chosen(best, label, unit, count)
        wanted = np.full(len(unknown), config.controls)
        negative[rows] = screening.may_be_chosen(worst, label, np.arange(len(rows)), wanted)
        return cls(typical, random, negative & controlled, np.where(count > 0, sure, 0))


def _sampled(
    collection: ImageCollection, mined: Bool[ndarray, " n"], most: int, seed: int
) -> Bool[ndarray, " n"]:
    """Images that random controls are taken from: of each label all, or a seeded sample."""
    kept = mined.copy()
    for number in range(len(collection.labels)):
        own = np.flatnonzero(mined & (collection.label_index == number))
        rng = np.random.default_rng([seed, 47, number])
        kept[rng.permutation(own)[most:]] = False
    return kept


def _units(mining: Mining, collection: ImageCollection) -> Int[ndarray, " n"]:
    """What counts once: near-duplicate groups, or each image where duplicates are weighed."""
    if mining.config.collection.weigh_duplicates:
        return np.arange(len(collection))
    return collection.codes("duplicate")


def _sure_candidates(
    collection: ImageCollection,
    rows: Int[ndarray, " k"],
    unit: Int[ndarray, " k"],
    config: patches.SelectConfig,
) -> Int[ndarray, " l"]:
    """Typical patches that each label surely offers once near-duplicates count once."""
    sides = np.stack([collection.table[name].to_numpy()[rows] for name in ("width", "height")])
    sizes, of_row = np.unique(sides, axis=1, return_inverse=True)
    of_size = []
    for width, height in sizes.T.tolist():
        shape = patches.map_shape(width, height)
        side = patches.patch_side(*shape, config.patch_size)
        of_size.append(screening.least_boxes(*shape, side, config.per_image))
    label = collection.label_index[rows]
    keys, place = np.unique(label * (int(unit.max()) + 1) + unit, return_inverse=True)
    least = np.full(len(keys), config.per_image)
    np.minimum.at(least, place, np.array(of_size)[of_row.ravel()])
    n_labels = len(collection.labels)
    return np.bincount(keys // (int(unit.max()) + 1), least, n_labels).astype(np.int64)


def _bounds(
    mining: Mining, collection: ImageCollection, parts: Sequence[int]
) -> tuple[Int[ndarray, " k"], screening.Bounds, screening.Bounds]:
    """Mined rows, and what each image can offer at best: typical patches, least typical ones."""
    tasks = [(mining, collection, share) for share in _shares(mining, parts)]
    found = run_tasks(
        _bounds_of, tasks, workers=mining.workers, name="Looking over maps", total=len(parts)
    )
    row = np.concatenate([rows for rows, _ in found])
    ends = np.concatenate([own for _, own in found], axis=1)[:, np.argsort(row)]
    return np.sort(row), screening.Bounds(*ends[:2]), screening.Bounds(*ends[2:])


def _bounds_of(
    mining: Mining, collection: ImageCollection, parts: Sequence[int], advance: Advance
) -> tuple[Int[ndarray, " k"], Float[ndarray, "4 k"]]:
    width, height = (collection.table[name].to_numpy() for name in ("width", "height"))
    rows, ends = [], []
    for part in parts:
        against = mining.config.ranked_by
        table = read_parquet(score_path(mining.folder, part), ["row", "height", "width", against])
        row = table["row"].to_numpy()
        shapes = np.stack(
            [table["height"].to_numpy(), table["width"].to_numpy(), height[row], width[row]]
        )
        values = table[against].combine_chunks()
        starts, flat = values.offsets.to_numpy(), values.values.to_numpy()
        own = np.empty((4, len(row)))
        kinds, kind = np.unique(shapes, axis=1, return_inverse=True)
        for number, (h, w, tall, wide) in enumerate(kinds.T.tolist()):
            like = np.flatnonzero(kind.ravel() == number)
            maps = flat[starts[like][:, None] + np.arange(h * w)].reshape(-1, h, w)
            shape = patches.map_shape(wide, tall)
            side = patches.patch_side(*shape, mining.config.select.patch_size)
            best, worst = screening.bounds(maps, *shape, side)
            own[:, like] = best.low, best.high, worst.low, worst.high
        rows.append(row.astype(np.int64))
        ends.append(own)
        advance(1)
    return np.concatenate(rows), np.concatenate(ends, axis=1)


# --- second pass: what they offer ---------------------------------------------------------------


@dataclass(frozen=True)
class Offers:
    """What some images offer, as far as it may be chosen.

    table: see `stages.offered`. row, best, count: (k,) of each image with typical patches its
    best score and how many it offered.
    """

    table: pa.Table
    row: Int[ndarray, " k"]
    best: Float[ndarray, " k"]
    count: Int[ndarray, " k"]


def _offers_of(
    mining: Mining,
    collection: ImageCollection,
    worth: Worth,
    parts: Sequence[int],
    advance: Advance,
) -> Offers:
    held: list[pa.Table] = []
    seen: list[tuple[ndarray, ...]] = []
    for table in _offers_of_each(mining, collection, worth, parts, advance):
        held.append(table)
        seen.append(_best_of_each(table))
        if sum(map(len, held)) > HELD:
            held = [_may_be_chosen(pa.concat_tables(held), mining, collection)]
    if not held:
        held, seen = [_NOTHING], [(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))]
    table = _may_be_chosen(pa.concat_tables(held), mining, collection)
    return Offers(table, *(np.concatenate(part) for part in zip(*seen, strict=True)))


def _offers_of_each(
    mining: Mining,
    collection: ImageCollection,
    worth: Worth,
    parts: Sequence[int],
    advance: Advance,
) -> Iterator[pa.Table]:
    """What the images of each part offer that are worth a closer look."""
    detected = detected_boxes(mining, collection)
    mask = Mask.read(MaskText.parse(mining.config.select.mask))
    against = mining.config.ranked_by
    grids = ("height", "width", "evidence_height", "evidence_width", "evidence", "null")
    columns = list(dict.fromkeys(("row", *grids, against, f"{against}_error")))
    for part in parts:
        rows = slice(part * PART, (part + 1) * PART)
        wanted = np.stack([worth.typical[rows], worth.random[rows], worth.negative[rows]])
        if not wanted.any():
            continue
        scores = read_parquet(score_path(mining.folder, part), columns)
        found = []
        for place, row in enumerate(scores["row"].to_pylist()):
            own = wanted[:, row - part * PART]
            if own.any():
                names = [name for name, one in zip(SELECTIONS, own, strict=True) if one]
                maps = read_maps(scores, place)
                found.append(
                    offered(maps, against, row, mining, collection, mask, detected, names)
                )
                advance(1)
        yield pa.concat_tables(found)


def _best_of_each(table: pa.Table) -> tuple[ndarray, ndarray, ndarray]:
    """Of each image with typical patches its row, its best score and how many it offers."""
    typical = table.filter(pc.equal(table["selection"], "typical"))
    row, place, count = np.unique(
        typical["row"].to_numpy(), return_inverse=True, return_counts=True
    )
    best = np.full(len(row), -np.inf)
    np.maximum.at(best, place, typical["order"].to_numpy())
    return row, best, count


def _n_candidates(
    found: Sequence[Offers], mining: Mining, collection: ImageCollection
) -> Int[ndarray, " l"]:
    """Typical patches of each label over all images looked at, near-duplicates counted once."""
    row, best, count = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("row", "best", "count")
    )
    label, unit = collection.label_index[row], _units(mining, collection)[row]
    total = np.zeros(len(collection.labels), dtype=np.int64)
    for number in range(len(total)):
        own = np.flatnonzero(label == number)
        kept = own[patches.one_per_duplicate(best[own], row[own], unit[own])]
        total[number] = count[kept].sum()
    return total


def _may_be_chosen(table: pa.Table, mining: Mining, collection: ImageCollection) -> pa.Table:
    """The offers that may still be chosen, whatever other images offer, in their order."""
    row, order = table["row"].to_numpy(), table["order"].to_numpy()
    selection = np.array(table["selection"].to_pylist())
    label, config = collection.label_index[row], mining.config.select
    unit, kept = _units(mining, collection)[row], []
    for number in np.unique(label).tolist():
        for name in SELECTIONS:
            own = np.flatnonzero((label == number) & (selection == name))
            if name != "typical":
                own = own[patches.best_first(order[own], row[own], config.controls)]
            elif "detector" not in table.column_names:  # what a detector found is all its cluster
                own = own[_of_best_images(order[own], row[own], unit[own], config.at_most)]
            kept.append(own)
    return table.take(pa.array(np.sort(np.concatenate(kept)) if kept else [], pa.int64()))


def _of_best_images(
    order: Float[ndarray, " k"], row: Int[ndarray, " k"], unit: Int[ndarray, " k"], most: int
) -> Int[ndarray, " _"]:
    """Offers of the images that have the best offer of their unit, of the `most` best such units.

    Nothing else can be chosen: each of the units that come before has a better offer, here or in
    another image that takes its place.
    """
    kept = np.flatnonzero(patches.one_per_duplicate(order, row, unit))
    first = kept[patches.best_first(order[kept], row[kept], len(kept))]
    _, place = np.unique(row[first], return_index=True)
    best = row[first][np.sort(place)[:most]]
    return kept[np.isin(row[kept], best)]


_NOTHING = pa.table(
    {
        "row": pa.array([], pa.int64()),
        "selection": pa.array([], pa.string()),
        **{side: pa.array([], pa.int32()) for side in ("left", "top", "right", "bottom")},
        **{
            name: pa.array([], pa.float64())
            for name in ("order", "typicality", "error", "typicality_null", "evidence")
        },
    }
)
