"""Choosing and grouping: read tables, call the pure functions, write tables.

Legend: a *part* is a slice of the collection (some hundred images) that one file holds; `row` is
the place of an image in the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.baselines.probes import rival_path, train_rival
from typika.collection.images import ImageCollection
from typika.collection.regions import NAMES
from typika.diffusion.embedded import EmbeddedConfig
from typika.errors import ConfigError
from typika.mining import clusters, features, patches
from typika.mining.masks import Mask, MaskText
from typika.mining.scores import ScoredMaps, mined_parts, read_maps, score_path
from typika.parallel import Advance, one_thread, run_tasks
from typika.tables import read_parquet, write_parquet, write_table

if TYPE_CHECKING:
    from typika.baselines.doersch_maps import Detected
    from typika.mining.pipeline import Mining

THUMBNAIL = 112  # pixels a side of the pictures in patches.parquet
SELECTIONS = ("typical", "random", "negative")


# --- train: the rival ---------------------------------------------------------------------------


def train_rivals(
    mining: Mining, collection: ImageCollection, trained_on: Bool[ndarray, " n"]
) -> list[dict[str, Any]]:
    """Train the built-in rival on the latents of each scale; rows for metrics.jsonl."""
    tasks = [
        (mining, collection.label_index, len(collection.labels), trained_on, number)
        for number in range(len(mining.model.rival_latents(len(collection), mining.folder)))
    ]
    histories = run_tasks(
        _train_rival, tasks, workers=mining.workers, name="Training the rival", total=len(tasks)
    )
    return [
        {"rival": number, "tenth": tenth, "loss": loss}
        for number, history in enumerate(histories)
        for tenth, loss in enumerate(history)
    ]


def _train_rival(
    mining: Mining,
    label_index: Int[ndarray, " n"],
    n_labels: int,
    trained_on: Bool[ndarray, " n"],
    number: int,
    advance: Advance,
) -> list[float]:
    store = mining.model.rival_latents(len(label_index), mining.folder)[number]
    config = mining.config
    history = train_rival(
        config.rival, config.optimiser, store, label_index, n_labels, trained_on,
        rival_path(mining.folder, number, mining.fold), config.seed * 103 + number,
    )  # fmt: skip
    advance(1)
    return history


# --- select -------------------------------------------------------------------------------------


def select(mining: Mining) -> None:
    """Choose the typical patches of each label and its controls."""
    from typika.mining import streaming

    collection = mining.collection
    if len(collection) > streaming.LARGE:
        selected = streaming.select(mining, collection)
        write_parquet(selected, mining.folder / "selected.parquet")
        return
    offers = candidates(mining, collection)
    label = collection.label_index[offers["row"].to_numpy()]
    chosen = [
        choose(offers.filter(pa.array(label == number)), collection, selection, mining)
        for number in range(len(collection.labels))
        for selection in SELECTIONS
    ]
    write_parquet(pa.concat_tables(chosen), mining.folder / "selected.parquet")


def candidates(mining: Mining, collection: ImageCollection) -> pa.Table:
    """What all images of a scored run offer, typical patches and controls; see `offered`.

    Raises:
        ConfigError: a mask leaves no patch to some label.
    """
    tasks = [(mining, collection, part) for part in mined_parts(mining, collection)]
    found = run_tasks(
        _candidates_of_part, tasks, workers=mining.workers, name="Selecting", total=len(collection)
    )
    table = pa.concat_tables(found)
    require_patches(table, collection, mining)
    return table


def require_patches(candidates: pa.Table, collection: ImageCollection, mining: Mining) -> None:
    """Raise ConfigError if a mask left some label without a single patch."""
    mined = collection.in_split(mining.config.collection.mine)
    labels = collection.label_index
    bare = np.setdiff1d(labels[mined], labels[candidates["row"].to_numpy()])
    if len(bare):
        config = mining.config.select
        raise ConfigError(
            f"mask={config.mask!r}: no image of {collection.labels[int(bare[0])]} has room for a "
            f"patch of patch_size={config.patch_size} outside it; make the mask or patches smaller"
        )


def _candidates_of_part(
    mining: Mining, collection: ImageCollection, part: int, advance: Advance
) -> pa.Table:
    scores = read_parquet(score_path(mining.folder, part))
    detected = detected_boxes(mining, collection)
    mask = Mask.read(MaskText.parse(mining.config.select.mask))
    found = []
    for place, row in enumerate(scores["row"].to_pylist()):
        maps = read_maps(scores, place)
        against = mining.config.ranked_by
        found.append(offered(maps, against, row, mining, collection, mask, detected))
        advance(1)
    return pa.concat_tables(found)


def forbidden_pixels(
    mask: Mask | None, collection: ImageCollection, row: int
) -> Bool[ndarray, "_H _W"] | None:
    """Where in the map of an image no patch may be; None where there is no mask."""
    if mask is None:
        return None
    width, height = (collection.table[name][row].as_py() for name in ("width", "height"))
    names = [collection.table[name][row].as_py() for name in NAMES]
    label = collection.table["label"][row].as_py()
    return mask.forbidden(patches.map_shape(width, height), (width, height), names, label)


def offered(
    maps: dict[str, ndarray],
    against: str,
    row: int,
    mining: Mining,
    collection: ImageCollection,
    mask: Mask | None,
    detected: Detected | None = None,
    selections: Sequence[str] = SELECTIONS,
) -> pa.Table:
    """The patches that an image may contribute, typical ones and controls.

    against: which of its maps ranks them. selections: which of them are wanted.
    """
    config = mining.config.select
    image_id, width, height = (
        collection.table[name][row].as_py() for name in ("image_id", "width", "height")
    )
    image = (width, height)
    rows, columns = patches.map_shape(width, height)
    rng = np.random.default_rng([mining.config.seed, int(image_id, 16)])
    forbidden = forbidden_pixels(mask, collection, row)
    side = patches.patch_side(rows, columns, config.patch_size)
    read = dict.fromkeys((against, f"{against}_error", "null", "evidence"))
    sums = {
        name: patches.integral_image(patches.upsample(maps[name], rows, columns)) for name in read
    }
    score = patches.window_means(sums[against], side)
    blocked = None if forbidden is None else patches.blocked_places(forbidden, side)
    by_chance, instead = mining.config.baseline.name == "random", mining.config.baseline.name
    ways = {}
    if "typical" in selections and not by_chance:
        own = -score if instead == "negative" else score
        ways["typical"] = patches.best_places(own, side, config.per_image, blocked)
    if "random" in selections or by_chance:
        ways["random"] = patches.random_boxes(rows, columns, side, config.per_image, rng, blocked)
    if "negative" in selections:
        ways["negative"] = patches.best_places(-score, side, config.per_image, blocked)
    if "typical" in selections and by_chance:  # others than the controls
        ways["typical"] = patches.random_boxes(rows, columns, side, config.per_image, rng, blocked)
    detector = np.zeros(0, dtype=int)
    if detected is not None and "typical" in selections:
        (top, left), found_side, detector = detected.squares(row, image, (rows, columns))
        if forbidden is not None:
            free = ~patches.blocked_places(forbidden, found_side)[top, left]
            top, left, detector = top[free], left[free], detector[free]
        ways["typical"] = patches.Boxes(top, left, found_side, np.zeros(len(top)))
    tables = []
    for selection in (name for name in SELECTIONS if name in selections):
        boxes = ways[selection]
        found_by = detector if selection == "typical" else np.full(len(boxes.top), -1)
        tables.append(
            pa.table(
                {
                    "row": np.full(len(boxes.top), row),
                    "selection": pa.array([selection] * len(boxes.top), pa.string()),
                    **original_pixels(boxes, (rows, columns), image),
                    "order": boxes.score,
                    "typicality": patches.means_within(sums[against], boxes),
                    "error": patches.means_within(sums[f"{against}_error"], boxes),
                    "typicality_null": patches.means_within(sums["null"], boxes),
                    "evidence": patches.means_within(sums["evidence"], boxes),
                    **({} if detected is None else {"detector": found_by}),
                }
            )
        )
    return pa.concat_tables(tables)


def detected_boxes(mining: Mining, collection: ImageCollection) -> Detected | None:
    """What the detectors of a run found, where they choose its patches."""
    if mining.config.baseline.name != "doersch":
        return None
    from typika.baselines.doersch_maps import Detected

    return Detected.read(mining.folder / "model" / "baseline", len(collection.labels))


def original_pixels(
    boxes: patches.Boxes, shape: tuple[int, int], image: tuple[int, int]
) -> dict[str, Int[ndarray, " n"]]:
    """Corners of boxes of the map in pixels of the image itself."""
    (rows, columns), (width, height) = shape, image
    return {
        "left": np.rint(boxes.left * width / columns).astype(np.int32),
        "top": np.rint(boxes.top * height / rows).astype(np.int32),
        "right": np.rint((boxes.left + boxes.size) * width / columns).astype(np.int32),
        "bottom": np.rint((boxes.top + boxes.size) * height / rows).astype(np.int32),
    }


def choose(
    candidates: pa.Table,
    collection: ImageCollection,
    selection: str,
    mining: Mining,
    n_candidates: int | None = None,
) -> pa.Table:
    """The best of what the images of a label offer, in order.

    n_candidates: how many typical patches they offer in all, where only the best are given.
    """
    config = mining.config.select
    table = candidates.filter(pc.equal(candidates["selection"], selection))
    row, order = (table[name].to_numpy() for name in ("row", "order"))
    own = np.arange(len(row))
    detected = "detector" in candidates.column_names
    if selection == "typical" and not (mining.config.collection.weigh_duplicates or detected):
        duplicate = collection.codes("duplicate")[row]
        kept = np.flatnonzero(patches.one_per_duplicate(order, row, duplicate))
        own, row, order = own[kept], row[kept], order[kept]
    typical = selection == "typical"
    offered = len(own) if n_candidates is None else n_candidates
    count = patches.keep_count(offered, config) if typical else config.controls
    if typical and detected:  # what a detector found is its cluster, all of it
        count = len(own)
    best = own[patches.best_first(order, row, count)]
    chosen = table.take(best).drop_columns(["order"])
    return chosen.append_column("rank", pa.array(np.arange(1, len(best) + 1), pa.int32()))


# --- cluster ------------------------------------------------------------------------------------


def cluster(mining: Mining) -> None:
    """Group the typical patches of each label, and write the tables that a user opens."""
    collection = mining.collection
    selected = read_parquet(mining.folder / "selected.parquet")
    with one_thread():  # more would change the order of the network's sums, and so the features
        pooled = patch_features(mining, collection, selected)
    label = collection.label_index[selected["row"].to_numpy()]
    grouping = group(mining, collection, selected, pooled, label, collection.labels)
    typical = np.array(selected["selection"].to_pylist()) == "typical"
    places = np.full((len(selected), 2), np.nan)
    places[typical] = clusters.layout(grouping.vectors[typical], mining.config.seed)
    table = patch_table(mining, collection, selected, grouping, places)
    write_table(table, mining.folder / "patches.parquet")
    write_table(grouping.clusters, mining.folder / "clusters.parquet")


@dataclass(frozen=True)
class Grouping:
    """Selected patches in groups.

    number: (n,) rank from 0 of the cluster of each among those of its label, or LOOSE; distance:
    (n,) to its centre, nan for controls; vectors: (n, d) what was compared; clusters: a row each.
    """

    number: Int[ndarray, " n"]
    distance: Float[ndarray, " n"]
    vectors: Float[ndarray, "n d"]
    clusters: pa.Table


def group(
    mining: Mining,
    collection: ImageCollection,
    selected: pa.Table,
    pooled: Float[ndarray, "n d"],
    label: Int[ndarray, " n"],
    names: Sequence[str],
) -> Grouping:
    """Group the typical patches of each label.

    pooled: features of the patches. label: what each patch was selected for, by its place in
    `names`; not always the label of its image.
    """
    row = selected["row"].to_numpy()
    typical = np.array(selected["selection"].to_pylist()) == "typical"
    fitted = fitted_to(mining, collection, row)
    vectors = compared(mining, label, selected, pooled, fitted)
    detected = "detector" in selected.column_names
    score = selected["typicality"].to_numpy()
    images = collection.codes("duplicate")[row]
    if detected:
        found = _as_detected(label, selected, typical)
    else:
        found = _group(mining, label, images, typical, fitted, vectors)
    number = np.full(len(selected), clusters.LOOSE)
    distance = np.full(len(selected), np.nan)
    summaries = []
    negative = mining.config.baseline.name == "negative"
    for place, (groups, result) in found.items():
        own = np.flatnonzero(typical & (label == place))
        order = np.arange(len(groups.stability))
        if not detected:  # detectors come in their order
            order = clusters.rank_clusters(
                -score[own] if negative else score[own], result.assignment,
                mining.config.cluster.smallest,
            )  # fmt: skip
        grouped = result.assignment != clusters.LOOSE
        number[own[grouped]] = np.argsort(order)[result.assignment[grouped]]  # ranks, from 0
        distance[own] = result.distance
        summaries += _summaries(
            names[place], score[own], number[own], row[own],
            collection.units[row[own]], groups.stability[order], groups.repeats,
        )  # fmt: skip
    summary = pa.Table.from_pylist(summaries, schema=CLUSTERS)
    return Grouping(number, distance, vectors, summary)


def compared(
    mining: Mining,
    label: Int[ndarray, " n"],
    selected: pa.Table,
    pooled: Float[ndarray, "n d"],
    fitted: Bool[ndarray, " n"],
) -> Float[ndarray, "n d"]:
    """What is compared of each patch: its features, less what any patch of the label shows.

    The background is that of random patches of the images that clusters are fitted to.
    """
    config = mining.config.cluster
    if config.method == "published":
        return clusters.unit(pooled.astype(np.float64))
    random = fitted & (np.array(selected["selection"].to_pylist()) == "random")
    count = config.background
    if not random.any():  # no controls were wanted: of typical patches only the mean is taken off
        random, count = fitted, 0
    return clusters.without(pooled, clusters.background(pooled[random], label[random], count))


def fitted_to(
    mining: Mining, collection: ImageCollection, row: Int[ndarray, " n"]
) -> Bool[ndarray, " n"]:
    """Which patches clusters are fitted to: those of images that the model was trained on.

    The others are kept to test the clusters on. All are fitted to where another split is mined
    than the one trained on.
    """
    from typika.mining.pipeline import training_images

    trained_on = training_images(collection, mining.config)[row]
    return trained_on if trained_on.any() else np.ones(len(row), dtype=bool)


def _group(
    mining: Mining,
    label: Int[ndarray, " n"],
    images: Int[ndarray, " n"],
    typical: Bool[ndarray, " n"],
    fitted: Bool[ndarray, " n"],
    vectors: Float[ndarray, "n d"],
) -> dict[int, tuple[clusters.Groups, clusters.Clustering]]:
    """The partition of each label that has typical patches, and what falls where in it.

    images: (n,) the near-duplicate group of images that each patch comes from.
    """
    places = np.unique(label[typical]).tolist()
    tasks = []
    for place in places:
        own = np.flatnonzero(typical & (label == place))
        part = fitted[own] if fitted[own].any() else np.ones(len(own), dtype=bool)
        config, seed = mining.config.cluster, mining.config.seed
        tasks.append((vectors[own], images[own], part, config, seed))
    found = run_tasks(
        group_label, tasks, workers=mining.workers, name="Grouping", total=len(tasks)
    )
    return dict(zip(places, found, strict=True))


def _as_detected(
    label: Int[ndarray, " n"], selected: pa.Table, typical: Bool[ndarray, " n"]
) -> dict[int, tuple[clusters.Groups, clusters.Clustering]]:
    """One cluster for each detector of a label, the best match first."""
    found = {}
    for place in np.unique(label[typical]).tolist():
        own = np.flatnonzero(typical & (label == place))
        detector = selected["detector"].to_numpy()[own]
        assignment = np.unique(detector, return_inverse=True)[1]
        score = selected["typicality"].to_numpy()[own]
        count = int(assignment.max()) + 1
        unknown = np.zeros(count)
        groups = clusters.Groups(
            np.zeros((count, 1)), unknown, unknown, float("nan"), one_per_image=False
        )
        found[place] = groups, clusters.Clustering(assignment, score.max() - score)
    return found


def group_label(
    vectors: Float[ndarray, "n d"],
    images: Int[ndarray, " n"],
    fitted: Bool[ndarray, " n"],
    config: clusters.ClusterConfig,
    seed: int,
    advance: Advance,
) -> tuple[clusters.Groups, clusters.Clustering]:
    """The partition that is fitted to some patches of a label, and what of all falls where."""
    groups = clusters.fit(vectors[fitted], images[fitted], config, seed)
    advance(1)
    return groups, clusters.assign(vectors, images, groups)


CLUSTERS = pa.schema(
    {
        "label": pa.string(),
        "cluster": pa.int32(),
        "rank": pa.int32(),
        "size": pa.int32(),
        "typicality": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "n_images": pa.int32(),
        "stability": pa.float64(),  # how well the cluster is found again, 0 to 1
        "repeats": pa.float64(),  # of the label: adjusted Rand index of groupings found again
    }
)


def _summaries(
    label: str,
    score: ndarray,
    number: Int[ndarray, " n"],
    images: Int[ndarray, " n"],
    units: Int[ndarray, " n"],
    stability: Float[ndarray, " k"],
    repeats: float,
) -> list[dict[str, Any]]:
    found = []
    for place in range(len(stability)):
        own = number == place
        interval = clusters.median_interval(score[own], units[own], place)
        found.append(
            {
                "label": label,
                "cluster": place,
                "rank": place + 1,
                "size": int(own.sum()),
                "typicality": interval.value,
                "low": interval.low,
                "high": interval.high,
                "n_images": len(np.unique(images[own])),
                "stability": float(stability[place]),
                "repeats": repeats,
            }
        )
    return found


def patch_features(
    mining: Mining,
    collection: ImageCollection,
    selected: pa.Table,
    map_of: Callable[[int, int], Float[ndarray, "_h _w"]] | None = None,
) -> Float[ndarray, "n d"]:
    """One vector per patch: of every scale the mean over the box of the image's features.

    How cells are weighed is `ClusterConfig.pooling`. map_of: from the row of an image and the
    number of a patch to the map that the patch was selected on; by default the image's own.
    """
    pooling = mining.config.cluster.pooling
    ranked_by, label = mining.config.ranked_by, collection.label_index
    maps = ScoredMaps(mining.folder, (ranked_by,))
    map_of = map_of or (lambda image, _: maps[image][ranked_by])
    grids_of = feature_grids(mining, collection)
    row = selected["row"].to_numpy()
    corners = np.stack([selected[side].to_numpy() for side in ("left", "top", "right", "bottom")])
    width = collection.table["width"].to_numpy()[row]
    height = collection.table["height"].to_numpy()[row]
    boxes = corners / np.stack([width, height, width, height])
    found = [np.zeros(0)] * len(selected)
    for image, own in of_each(row):  # each image is read once, however many patches it has
        grids = grids_of(image, int(label[image]))
        for patch in own:
            typical = map_of(image, int(patch)) if pooling == "typicality" else None
            weights = weights_of(grids, typical)
            left, top, right, bottom = (float(edge) for edge in boxes[:, patch])
            found[patch] = pooled_features(grids, (left, top, right, bottom), weights)
    return np.stack(found)


def weights_of(
    grids: Sequence[Float[ndarray, "_d _h _w"]], typical: Float[ndarray, "_H _W"] | None
) -> list[ndarray | None]:
    """What each cell of an image's features counts: its typicality, or None for all alike."""
    if typical is None:
        return [None] * len(grids)
    return [patches.upsample(typical, *grid.shape[1:]) for grid in grids]


def pooled_features(
    grids: Sequence[Float[ndarray, "_d _h _w"]],
    box: features.Box,
    weights: Sequence[ndarray | None],
) -> Float[ndarray, " d"]:
    """The vector of one patch: of every scale the mean over its box, of length one.

    box: (left, top, right, bottom) as fractions of the image; weights: as `weights_of` gives.
    """
    return np.concatenate([
        clusters.unit(features.pool(grid, box, weight)[None])[0]
        for grid, weight in zip(grids, weights, strict=True)
    ])  # fmt: skip


def feature_grids(
    mining: Mining, collection: ImageCollection
) -> Callable[[int, int], list[Float[ndarray, "_d _h _w"]]]:
    """A function: row of an image and its label -> the features of each scale.

    They are the model's; of the embedded one, and where a baseline has taken the model's place,
    the encoder's alone.
    """
    model, n_images, folder = mining.model, len(collection), mining.folder
    if mining.config.baseline.of_maps or isinstance(mining.config.model, EmbeddedConfig):
        from typika.mining.pipeline import embedded_model

        encoder = embedded_model(mining.config)
        plain = list(zip(encoder.spaces(folder), encoder.latents(n_images, folder), strict=True))
        return lambda row, _: [space.unwhiten(store.latent(row)).numpy() for space, store in plain]
    denoisers = model.denoisers(collection.labels, folder)
    pairs = list(zip(denoisers, model.latents(n_images, folder), strict=True))
    return lambda row, label: [
        denoiser.features(store.latent(row), label).numpy() for denoiser, store in pairs
    ]


def patch_table(
    mining: Mining,
    collection: ImageCollection,
    selected: pa.Table,
    grouping: Grouping,
    places: Float[ndarray, "n 2"] | None = None,
) -> pa.Table:
    """What a user opens: a row for each patch, with a picture and its image's metadata.

    places: on a map where like patches are neighbours.
    """
    rows = selected["row"]
    images = collection.table.take(rows)
    columns = {
        "image_id": images["image_id"],
        "file_name": images["file_name"],
        "label": images["label"],
        "selection": selected["selection"],
        "rank": selected["rank"],
        **{side: selected[side] for side in ("left", "top", "right", "bottom")},
        **{
            name: selected[name] for name in ("typicality", "error", "typicality_null", "evidence")
        },
        "cluster": pa.array(grouping.number, pa.int32()),
        "distance": pa.array(grouping.distance, pa.float64(), from_pandas=True),
        **(
            {}
            if places is None
            else {
                name: pa.array(places[:, axis], pa.float64(), from_pandas=True)
                for axis, name in enumerate(("map_x", "map_y"))
            }
        ),
        "thumbnail": thumbnails(mining, collection, selected),
    }
    own = {name: images[name] for name in images.column_names if name not in {*columns, "label"}}
    return pa.table({**columns, **own})


def rows_of(collection: ImageCollection, patches: pa.Table) -> Int[ndarray, " n"]:
    """Row of the collection that each patch of patches.parquet comes from."""
    key = ("image_id", "label", "file_name")
    there = pc.is_in(collection.table["image_id"], pc.unique(patches["image_id"]))
    rows = np.flatnonzero(there.to_numpy())
    some = collection.table.select(key).take(pa.array(rows))
    names = zip(*(some[name].to_pylist() for name in key), strict=True)
    place = dict(zip(names, rows.tolist(), strict=True))
    wanted = zip(*(patches[name].to_pylist() for name in key), strict=True)
    return np.array([place[name] for name in wanted], dtype=np.int64)


def of_each(row: Int[ndarray, " n"]) -> Iterator[tuple[int, Int[ndarray, " _"]]]:
    """Each distinct row, ascending, and the places at which it stands."""
    order = np.argsort(row, kind="stable")
    distinct, starts = np.unique(row[order], return_index=True)
    if len(row):
        yield from zip(distinct.tolist(), np.split(order, starts[1:]), strict=True)


def thumbnails(mining: Mining, collection: ImageCollection, selected: pa.Table) -> pa.Array:
    """A small JPEG of each patch, as the struct of bytes and path that viewers know."""
    row = selected["row"].to_numpy()
    images = np.unique(row)
    hands = max(1, min(len(images), 4 * mining.workers))
    corners = np.stack([selected[side].to_numpy() for side in ("left", "top", "right", "bottom")])
    tasks = []
    for hand in range(hands):
        patch = np.flatnonzero(np.isin(row, images[hand::hands]))
        tasks.append((collection, row[patch], corners[:, patch].T, patch))
    found: dict[int, bytes] = {}
    for result in run_tasks(
        _cut, tasks, workers=mining.workers, name="Cutting patches", total=len(selected)
    ):
        found.update(result)
    names = collection.table["file_name"].take(selected["row"]).to_pylist()
    cells = [{"bytes": found[patch], "path": names[patch]} for patch in range(len(selected))]
    return pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def _cut(
    collection: ImageCollection,
    rows: Int[ndarray, " n"],
    boxes: Int[ndarray, "n 4"],
    numbers: Int[ndarray, " n"],
    advance: Advance,
) -> dict[int, bytes]:
    import io

    from PIL import Image

    found = {}
    for row, own in of_each(rows):
        image = collection.load(row)
        for place in own:
            left, top, right, bottom = (int(edge) for edge in boxes[place])
            crop = image.crop((left, top, right, bottom))
            crop.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            crop.save(buffer, "JPEG", quality=88)
            found[int(numbers[place])] = buffer.getvalue()
            advance(1)
    return found
