"""Elements along a condition that is no word: the stages train, score and elements.

T(x|c) is an image's typicality at its own condition; its profile is T at every anchor. Elements
are clusters of the best patches of all images. Whether one depends on the condition is tested on
images that the model never saw, by a detector that knows no condition.

Legend: `row` is the place of an image in the collection; `n` images, `k` anchors, `m` elements,
`s` stretches of the condition (of a number equal shares of the images, else the neighbourhoods of
the anchors), `w` windows (runs of stretches, or single ones).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from typika import ranks
from typika.collection.conditions import Condition, read_condition
from typika.collection.images import ImageCollection
from typika.diffusion.anchors import Anchors, fit_anchors
from typika.diffusion.batches import BatchSize
from typika.diffusion.conditioned import ConditionedEmbedded, ConditionedModel
from typika.diffusion.denoiser import Denoiser
from typika.diffusion.models import EmbeddedModel, Latents
from typika.diffusion.schedule import Density, NoiseDesign, noise_design
from typika.errors import ConfigError, DataError
from typika.evaluation import q_values, wilson
from typika.files import write_text
from typika.mining import clusters, patches
from typika.mining import significance as tests
from typika.mining.evidence import LEAST_MEMBERS, Members, make_detectors, match
from typika.mining.pipeline import Mining, training_images
from typika.mining.scores import mined_parts, mined_rows, score_path
from typika.mining.scoring import density, pilot_densities, scored_together
from typika.mining.stages import compared, fitted_to, original_pixels, patch_features, thumbnails
from typika.mining.typicality import context_gains
from typika.parallel import Advance, one_thread, run_parts
from typika.tables import read_parquet, write_parquet, write_table

STRETCHES = 10  # of a number's axis
PRESENT = 0.25  # share of an element's own images that match it less well than what counts
RANDOM_BOXES = 1  # of an image, from which it is learned what any patch looks like


@dataclass(frozen=True, kw_only=True)
class ConditionConfig:
    """The condition that images are mined along."""

    # Of the metadata: one column of numbers, two of coordinates, or one of lists.
    columns: tuple[str, ...] = ()
    anchors: int = 7  # places along the condition at which the model has heads of its own
    shuffled: bool = False  # conditions dealt out anew at random: what chance alone would find

    def __post_init__(self) -> None:
        if self.anchors < 2:
            raise ConfigError(f"anchors={self.anchors}: need at least 2")


@dataclass(frozen=True)
class Along:
    """Images and their conditions.

    known: (n,) images that are mined and have a condition; trained_on: (n,) those of them that
    the model is fitted to; shares: (n, k) of the anchors, zero without a condition.
    """

    mining: Mining
    collection: ImageCollection
    condition: Condition
    anchors: Anchors
    known: Bool[ndarray, " n"]
    trained_on: Bool[ndarray, " n"]
    shares: Float[ndarray, "n k"]

    @classmethod
    def open(cls, mining: Mining, config: ConditionConfig) -> Along:
        """Read the conditions of a collected run.

        Raises:
            ConfigError: the column is not there.
            DataError: see `read_condition`; or the images trained on all have one condition.
        """
        collection = mining.collection
        condition = read_condition(collection, config.columns)
        if config.shuffled:
            condition = _shuffled(condition, mining.config.seed)
        known = condition.known & collection.in_split(mining.config.collection.mine)
        trained_on = condition.known & training_images(collection, mining.config)
        fitted = condition.values[trained_on]
        if not len(fitted) or (fitted == fitted[0]).all():
            raise DataError(
                f"condition {condition.name}: the images to train on all have the same"
            )
        anchors = fit_anchors(fitted, config.anchors, mining.config.seed)
        shares = np.zeros((len(collection), len(anchors)))
        shares[condition.known] = anchors.shares(condition.values[condition.known])
        return cls(mining, collection, condition, anchors, known, trained_on, shares)

    @property
    def model(self) -> ConditionedModel:
        """The model that the configuration asks for, with anchors in the place of labels."""
        own = self.mining.model
        if isinstance(own, EmbeddedModel):
            return ConditionedEmbedded(own, len(self.anchors))
        from typika.diffusion.conditioned_stable import ConditionedStable
        from typika.diffusion.stable_model import StableModel

        assert isinstance(own, StableModel)
        return ConditionedStable(own, len(self.anchors))

    def stretches(self) -> tuple[Int[ndarray, " n"], Float[ndarray, "s d"]]:
        """The stretch of each image (-1 without a condition), and a value in each stretch."""
        values = self.condition.values
        own = np.full(len(values), -1)
        if self.condition.kind != "number":
            own[self.known] = self.anchors.nearest(values[self.known])
            return own, self.anchors.values
        number = values[self.known, 0]
        edges = np.unique(np.quantile(number, np.arange(1, STRETCHES) / STRETCHES))
        own[self.known] = np.unique(np.searchsorted(edges, number, "right"), return_inverse=True)[
            1
        ]
        middles = [np.median(values[own == place, 0]) for place in range(own.max() + 1)]
        return own, np.array(middles)[:, None]


def _shuffled(condition: Condition, seed: int) -> Condition:
    rows = np.flatnonzero(condition.known)
    values = condition.values.copy()
    values[rows] = values[np.random.default_rng([seed, 41]).permutation(rows)]
    return Condition(condition.columns, values, condition.known)


# --- train, score -------------------------------------------------------------------------------


def train(along: Along) -> None:
    """Fit the denoiser of each scale along the condition."""
    mining = along.mining
    rows = along.model.train(along.shares, along.trained_on, mining.folder, mining.workers)
    if not ranks.world().leads:
        return
    write_text(mining.folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def score(along: Along) -> None:
    """Write the map of every image at its own condition and at every anchor, part by part."""
    mining, collection = along.mining, along.collection
    densities = pilot_densities(mining, np.flatnonzero(along.known), partial(_pilot, along))
    missing = [
        part
        for part in mined_parts(mining, collection)
        if not score_path(mining.folder, part).exists()
    ]
    run_parts(
        _score_parts, (along, densities), ranks.world().share(missing),
        workers=mining.model.workers(mining.workers), name="Scoring",
        size=lambda part: len(mined_rows(mining, collection, part)), on_gpu=mining.model.shared,
    )  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """One denoiser under any mixtures of anchors, the latents it scores, and their noise."""

    under: Callable[[Float[ndarray, "j k"]], Denoiser]
    latents: Latents
    design: NoiseDesign


def open_scales(along: Along, densities: Sequence[Density]) -> tuple[Scale, ...]:
    """Every denoiser of a trained run, ready to score."""
    mining, config, scales = along.mining, along.mining.config.score, []
    stores = mining.model.latents(len(along.collection), mining.folder)
    for number, under in enumerate(along.model.denoisers(mining.folder)):
        denoiser = under(np.eye(len(along.anchors)))
        design = noise_design(
            config.design, config.n_draws, denoiser.channels, mining.config.seed * 107 + number,
            density=densities[number] if densities else None, side=mining.model.canvas,
        ).to(denoiser.device)  # fmt: skip
        scales.append(Scale(under, stores[number], design))
    return tuple(scales)


def _pilot(along: Along, rows: Int[ndarray, " n"], advance: Advance) -> list[Density]:
    """How often each level is to be drawn, by images under their own conditions."""
    mining, found = along.mining, []
    stores = mining.model.latents(len(along.collection), mining.folder)
    denoisers = along.model.denoisers(mining.folder)
    for number, (under, store) in enumerate(zip(denoisers, stores, strict=True)):
        looks = ((row, under(along.shares[row][None]), 0) for row in rows.tolist())
        found.append(density(mining, store, number, looks, advance))
    return found


def _score_parts(
    along: Along, densities: Sequence[Density], parts: Iterable[int], advance: Advance
) -> None:
    mining, scales = along.mining, open_scales(along, densities)
    batch = mining.model.batch_size(mining.config.score.n_draws, mining.folder)
    for part in parts:
        rows = mined_rows(mining, along.collection, part)
        own = [row for row in rows if along.known[row]]
        found = {}
        for group in scored_together(scales[0].latents, own, mining.model.in_turn):
            chosen = [own[place] for place in group]
            of_scales = [_profiles(along, scale, chosen, batch) for scale in scales]
            for place, row in enumerate(chosen):
                found[row] = {"row": row, **_joined([scale[place] for scale in of_scales])}
            advance(len(chosen))
        advance(len(rows) - len(own))
        records = [found[row] for row in own]
        write_parquet(pa.Table.from_pylist(records, schema=MAPS), score_path(mining.folder, part))


MAPS = pa.schema(
    {
        "row": pa.int32(),
        "height": pa.int32(),
        "width": pa.int32(),
        "null": pa.list_(pa.float32()),  # T at the image's own condition, against the null
        "null_error": pa.list_(pa.float32()),
        "profile": pa.list_(pa.float32()),  # T at each anchor, one map after another
    }
)

Profile = tuple[Float[ndarray, "j h w"], Float[ndarray, "h w"]]


def _profiles(along: Along, scale: Scale, rows: Sequence[int], batch: BatchSize) -> list[Profile]:
    """T of images of one shape, each at its own condition and then at every anchor."""
    anchors = np.eye(len(along.anchors))
    denoiser = scale.under(np.concatenate([along.shares[list(rows)], anchors]))
    latents = torch.stack([scale.latents.latent(row) for row in rows])
    latents = latents.contiguous(memory_format=torch.channels_last).to(denoiser.device)
    return batch.attempt(partial(profiles, denoiser, latents, scale.design))


def profiles(
    denoiser: Denoiser, latents: Float[Tensor, "b c h w"], design: NoiseDesign, at_once: int
) -> list[Profile]:
    """T of each image under its own label and all common ones, and the first one's error.

    The denoiser's labels are one for each of the b images, then those that all have in common.
    at_once: most noisy latents of one call.
    """
    own = torch.arange(len(latents))[:, None]
    common = torch.arange(len(latents), len(denoiser.labels)).expand(len(latents), -1)
    gains = context_gains(denoiser, latents, torch.cat([own, common], dim=1), design, at_once)
    found = []
    for one in gains:
        values = torch.from_numpy(one).double()
        error = values[0].std(dim=0) / values.shape[1] ** 0.5
        found.append((values.mean(dim=1).numpy(), error.numpy()))
    return found


def _joined(found: Sequence[Profile]) -> dict[str, Any]:
    """The mean over scales on the finest grid; errors of scales are independent."""
    height, width = max((error.shape for _, error in found), key=np.prod)
    maps = np.mean(
        [[patches.upsample(one, height, width) for one in mean] for mean, _ in found], axis=0
    )
    squares = [patches.upsample(error, height, width) ** 2 for _, error in found]
    error = np.sqrt(np.sum(squares, axis=0)) / len(found)
    return {
        "height": height, "width": width, "null": maps[0].ravel().astype(np.float32),
        "null_error": error.ravel().astype(np.float32),
        "profile": maps[1:].ravel().astype(np.float32),
    }  # fmt: skip


# --- elements -----------------------------------------------------------------------------------

ELEMENTS = pa.schema(
    {
        "element": pa.int32(),  # numbered along the condition where that is a number
        "size": pa.int32(),
        "n_images": pa.int32(),
        "typicality": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "place": pa.list_(pa.float64()),  # the condition around which it is found
        "start": pa.float64(),  # of a number: the window in which it is found more
        "end": pa.float64(),
        "more": pa.float64(),  # of a number: T at the last anchor less T at the first
        "p": pa.float64(),
        "p_family": pa.float64(),
        "q": pa.float64(),
        "verdict": pa.string(),
        "n_tested": pa.int32(),  # unseen images
        "share": pa.list_(pa.float64()),  # of the images of each stretch that show it
        "share_low": pa.list_(pa.float64()),
        "share_high": pa.list_(pa.float64()),
        "profile": pa.list_(pa.float64()),  # T of its patches at each anchor
    }
)


def mine_elements(along: Along) -> None:
    """Choose the best patches, group them, and say where along the condition each group is."""
    mining, collection = along.mining, along.collection
    with one_thread():
        selected, profiles = _selected(along)
        pooled = patch_features(mining, collection, selected)
        row = selected["row"].to_numpy()
        fitted = fitted_to(mining, collection, row)
        vectors = compared(mining, collection.label_index[row], selected, pooled, fitted)
        typical = np.flatnonzero(np.array(selected["selection"].to_pylist()) == "typical")
        images = collection.codes("duplicate")[row]
        part = typical[fitted[typical]]
        config = mining.config
        groups = clusters.fit(vectors[part], images[part], config.cluster, config.seed)
        found = clusters.assign(vectors[typical], images[typical], groups)
        chosen = selected.take(pa.array(typical))
        table = described(along, chosen, found.assignment, profiles[typical])
    order = {element: place for place, element in enumerate(table.column("element").to_pylist())}
    number = [order.get(one, clusters.LOOSE) for one in found.assignment.tolist()]
    table = table.set_column(0, "element", pa.array(range(len(table)), pa.int32()))
    write_table(table, mining.folder / "elements.parquet")
    _write_patches(along, chosen, number, found.distance, profiles[typical])


def _selected(along: Along) -> tuple[pa.Table, Float[ndarray, "p k"]]:
    """The best patches of all images, random ones beside them, and T of each at every anchor."""
    mining, config = along.mining, along.mining.config.select
    parts = [
        one
        for part in mined_parts(mining, along.collection)
        for row in read_parquet(score_path(mining.folder, part)).to_pylist()
        for one in _boxes(along, row)
    ]
    everything = pa.concat_tables([one for one, _ in parts])
    profiles = np.concatenate([at for _, at in parts])
    typical = np.array(everything["selection"].to_pylist()) == "typical"
    own = np.flatnonzero(typical)
    score, row = everything["typicality"].to_numpy()[own], everything["row"].to_numpy()[own]
    best = own[patches.best_first(score, row, patches.keep_count(len(own), config))]
    kept = np.concatenate([best, np.flatnonzero(~typical)])
    return everything.take(pa.array(kept)), profiles[kept]


def _boxes(along: Along, scored: Mapping[str, Any]) -> list[tuple[pa.Table, ndarray]]:
    """The best boxes of an image and its random ones, and T of either at every anchor."""
    config, table, row = along.mining.config.select, along.collection.table, scored["row"]
    image = (table["width"][row].as_py(), table["height"][row].as_py())
    shape = patches.map_shape(*image)
    side = patches.patch_side(*shape, config.patch_size)
    grid = (scored["height"], scored["width"])
    values, error = (
        patches.upsample(np.array(scored[name]).reshape(grid), *shape)
        for name in ("null", "null_error")
    )
    anchors = np.array(scored["profile"]).reshape(len(along.anchors), *grid)
    rng = np.random.default_rng([along.mining.config.seed, 43, row])
    ways = {
        "typical": patches.best_boxes(values, side, config.per_image),
        "random": patches.random_boxes(*shape, side, RANDOM_BOXES, rng),
    }
    found = []
    for selection, boxes in ways.items():
        one = {
            "row": np.full(len(boxes.top), row),
            "selection": pa.array([selection] * len(boxes.top), pa.string()),
            **original_pixels(boxes, shape, image),
            "typicality": patches.means_of(values, boxes),
            "error": patches.means_of(error, boxes),
        }
        at = [patches.means_of(patches.upsample(one, *shape), boxes) for one in anchors]
        found.append((pa.table(one), np.stack(at, axis=1)))
    return found


def described(
    along: Along,
    chosen: pa.Table,
    assignment: Int[ndarray, " p"],
    profiles: Float[ndarray, "p k"],
) -> pa.Table:
    """A row per element, those found along a number in its order; `element` is the cluster."""
    mining, collection = along.mining, along.collection
    members = _members(along, chosen, assignment)
    count = len(members.names)
    stretch, middles = along.stretches()
    rows = np.flatnonzero(along.known)
    fit, unseen = rows[along.trained_on[rows]], rows[~along.trained_on[rows]]
    made = members.in_images(fit)
    tested = [one for one in range(count) if len(made[one]) >= LEAST_MEMBERS]
    found = [_summary(along, members, one, profiles[assignment == one]) for one in range(count)]
    if tested:
        detectors, origin = make_detectors(mining, collection, members, made, tested, fit)
        matched = match(mining, collection, detectors, origin, rows)
        for place, one in enumerate(tested):
            least = np.quantile(matched[np.isin(rows, members.row[made[one]]), place], PRESENT)
            shown = matched[:, place] >= least
            found[one] |= _shares(shown, stretch[rows], len(middles))
            found[one]["place"] = _place(along, found[one]["share"], middles)
        _test(along, [found[one] for one in tested], matched[np.isin(rows, unseen)], unseen)
    for summary in found:
        summary.setdefault("verdict", "not tested")
    if along.condition.kind == "number":
        found.sort(key=lambda one: (one.get("place") or [np.inf], one["element"]))
    filled = [{name: one.get(name) for name in ELEMENTS.names} for one in found]
    return pa.Table.from_pylist(filled, schema=ELEMENTS)


def _members(along: Along, chosen: pa.Table, assignment: Int[ndarray, " p"]) -> Members:
    kept = np.flatnonzero(assignment >= 0)
    table, row = chosen.take(pa.array(kept)), chosen["row"].to_numpy()[kept]
    size = np.stack([along.collection.table[side].to_numpy()[row] for side in ("width", "height")])
    corners = np.stack([table[side].to_numpy() for side in ("left", "top", "right", "bottom")])
    return Members(
        names=tuple(("", one) for one in range(int(assignment.max(initial=-1)) + 1)),
        number=assignment[kept],
        row=row,
        box=(corners / np.concatenate([size, size])).T.astype(np.float64),
        typicality=table["typicality"].to_numpy(),
        group=along.collection.units[row],
    )


def _summary(
    along: Along, members: Members, element: int, profiles: Float[ndarray, "p k"]
) -> dict[str, Any]:
    own = members.of_cluster(element)
    interval = clusters.median_interval(own.typicality, own.group, element)
    mean = profiles.mean(axis=0)
    number = along.condition.kind == "number"
    return {
        "element": element, "size": len(own.row), "n_images": len(np.unique(own.row)),
        "typicality": interval.value, "low": interval.low, "high": interval.high,
        "profile": mean.tolist(), "more": float(mean[-1] - mean[0]) if number else None,
    }  # fmt: skip


def _shares(
    shown: Bool[ndarray, " n"], stretch: Int[ndarray, " n"], count: int
) -> Mapping[str, list[float]]:
    """Of the images of each stretch the share that shows an element, with 95 % intervals."""
    found = [
        wilson(int(shown[stretch == place].sum()), int((stretch == place).sum()))
        for place in range(count)
    ]
    ends = zip(*((one.value, one.low, one.high) for one in found), strict=True)
    return dict(zip(("share", "share_low", "share_high"), map(list, ends), strict=True))


def _place(along: Along, share: list[float], middles: Float[ndarray, "s d"]) -> list[float]:
    """Where an element is: the middle of what rises above the median stretch.

    Among pairs and vectors, the value of the stretch that shows it most.
    """
    above = np.nan_to_num(np.array(share))
    if along.condition.kind != "number":
        best: list[float] = middles[above.argmax()].tolist()
        return best
    above = np.maximum(above - np.median(above), 0)
    if not above.any():
        above = np.ones(len(above))
    middle = above @ along.anchors.coordinates(middles)[:, 0] / above.sum()
    return [float(np.interp(middle, along.anchors.ranks, along.anchors.knots))]


def windows(count: int, *, runs: bool) -> Bool[ndarray, "s w"]:
    """Which stretches each window holds: single ones, or all runs but the whole."""
    pairs = [
        (start, end)
        for start in range(count)
        for end in range(start + 1, count + 1)
        if (end - start < count if runs else end == start + 1)
    ]
    places = np.arange(count)[:, None]
    start, end = np.array(pairs).T
    return (places >= start) & (places < end)


def _test(
    along: Along,
    found: list[dict[str, Any]],
    matched: Float[ndarray, "n m"],
    unseen: Int[ndarray, " n"],
) -> None:
    """Add to each element where unseen images match it better, and whether by chance."""
    config = along.mining.config.significance
    stretch, middles = along.stretches()
    runs = along.condition.kind == "number"
    inside = windows(len(middles), runs=runs)
    _, first, unit = np.unique(
        along.collection.units[unseen], return_index=True, return_inverse=True
    )
    member = inside[stretch[unseen][first]]
    usable = np.minimum(member.sum(axis=0), (~member).sum(axis=0)) >= config.least_units
    if not config.permutations or not usable.any():
        return
    member, inside = member[:, usable], inside[:, usable]
    score = np.zeros((len(first), matched.shape[1]))
    np.add.at(score, unit, matched)
    score /= np.bincount(unit)[:, None]
    n_windows, n_elements = member.shape[1], len(found)
    drawn = tests.permutation_test(
        np.repeat(score, n_windows, axis=1), np.tile(np.arange(n_windows), n_elements), member,
        config.permutations, np.random.default_rng([along.mining.config.seed, 47]),
    )  # fmt: skip
    p, family, statistic = (
        part.reshape(n_elements, n_windows) for part in (drawn.p, drawn.p_family, drawn.statistic)
    )
    best = statistic.argmax(axis=1)
    # Of an element by itself, over its windows: Bonferroni, or what holds for all elements.
    own = np.minimum(p.min(axis=1) * n_windows, family.min(axis=1))
    q = q_values(own)
    for number, one in enumerate(found):
        where = np.flatnonzero(inside[:, best[number]])
        whole = float(family[number].min())
        one |= {
            "p": float(own[number]), "p_family": whole, "q": float(q[number]),
            "verdict": tests.verdict(whole, float(q[number]), config.alpha),
            "n_tested": len(first),
            "start": float(middles[where[0], 0]) if runs else None,
            "end": float(middles[where[-1], 0]) if runs else None,
        }  # fmt: skip


def _write_patches(
    along: Along,
    chosen: pa.Table,
    number: list[int],
    distance: Float[ndarray, " p"],
    profiles: Float[ndarray, "p k"],
) -> None:
    """patches.parquet and .csv: the typical patches, their elements, and T at every anchor."""
    mining, collection = along.mining, along.collection
    images = collection.table.take(chosen["row"])
    values = along.condition.values[chosen["row"].to_numpy()]
    columns = {
        "image_id": images["image_id"],
        "file_name": images["file_name"],
        **{side: chosen[side] for side in ("left", "top", "right", "bottom")},
        "typicality": chosen["typicality"],
        "error": chosen["error"],
        "element": pa.array(number, pa.int32()),
        "distance": pa.array(distance, pa.float64(), from_pandas=True),
        "condition": pa.array(values.tolist(), pa.list_(pa.float64())),
        "profile": pa.array(profiles.tolist(), pa.list_(pa.float64())),
        "thumbnail": thumbnails(mining, collection, chosen),
    }
    own = {name: images[name] for name in images.column_names if name not in columns}
    table = pa.table({**columns, **own})
    write_table(table, mining.folder / "patches.parquet")


def element_patches(folder: Path) -> pa.Table:
    """The patches that are in an element."""
    table = read_parquet(folder / "patches.parquet")
    return table.filter(pa.array(table["element"].to_numpy() >= 0))
