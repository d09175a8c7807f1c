"""Choosing and grouping: read tables, call the pure functions, write tables.

Legend: a *part* is a slice of the collection (some hundred images) that one file holds; `row` is
the place of an image in the collection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.baselines.probes import rival_path, train_rival
from typika.collection.images import ImageCollection
from typika.collection.regions import NAMES
from typika.errors import ConfigError
from typika.mining import clusters, features, patches
from typika.mining.masks import Mask, MaskText
from typika.mining.scores import ScoredMaps, mined_parts, read_maps, score_path
from typika.parallel import Advance, one_thread, run_tasks
from typika.tables import read_parquet, write_csv, write_parquet

if TYPE_CHECKING:
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
        rival_path(mining.folder, number), config.seed * 103 + number,
    )  # fmt: skip
    advance(1)
    return history


# --- select -------------------------------------------------------------------------------------


def select(mining: Mining) -> None:
    """Choose the typical patches of each label and its controls."""
    collection = mining.collection
    tasks = [(mining, collection, part) for part in mined_parts(mining, collection)]
    found = run_tasks(
        _candidates_of_part, tasks, workers=mining.workers, name="Selecting", total=len(collection)
    )
    candidates = pa.concat_tables(found)
    _require_patches(candidates, collection, mining)
    chosen = [
        _choose(candidates, collection, label, selection, mining)
        for label in range(len(collection.labels))
        for selection in SELECTIONS
    ]
    write_parquet(pa.concat_tables(chosen), mining.folder / "selected.parquet")


def _require_patches(candidates: pa.Table, collection: ImageCollection, mining: Mining) -> None:
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
    widths, heights = collection.table["width"], collection.table["height"]
    mask = Mask.read(MaskText.parse(mining.config.select.mask))
    found = []
    for place, row in enumerate(scores["row"].to_pylist()):
        image = (widths[row].as_py(), heights[row].as_py())
        maps = read_maps(scores, place)
        forbidden = None
        if mask is not None:
            names = [collection.table[name][row].as_py() for name in NAMES]
            label = collection.table["label"][row].as_py()
            forbidden = mask.forbidden(patches.map_shape(*image), image, names, label)
        rng = np.random.default_rng(
            [mining.config.seed, int(scores["image_id"][place].as_py(), 16)]
        )
        found.append(_candidates(maps, row, image, mining, rng, forbidden))
        advance(1)
    return pa.concat_tables(found)


def _candidates(
    maps: dict[str, ndarray],
    row: int,
    image: tuple[int, int],
    mining: Mining,
    rng: np.random.Generator,
    forbidden: Bool[ndarray, "_H _W"] | None,
) -> pa.Table:
    config, against = mining.config.select, mining.config.score.against
    width, height = image
    rows, columns = patches.map_shape(width, height)
    side = patches.patch_side(rows, columns, config.patch_size)
    pixels = {name: patches.upsample(values, rows, columns) for name, values in maps.items()}
    score = pixels[against]
    blocked = None if forbidden is None else patches.blocked_places(forbidden, side)
    ways = {
        "typical": patches.best_boxes(score, side, config.per_image, blocked),
        "random": patches.random_boxes(rows, columns, side, config.per_image, rng, blocked),
        "negative": patches.best_boxes(-score, side, config.per_image, blocked),
    }
    tables = []
    for selection, boxes in ways.items():
        tables.append(
            pa.table(
                {
                    "row": np.full(len(boxes.top), row),
                    "selection": pa.array([selection] * len(boxes.top), pa.string()),
                    **_original_pixels(boxes, (rows, columns), image),
                    "order": boxes.score,
                    "typicality": patches.means_of(score, boxes),
                    "error": patches.means_of(pixels[f"{against}_error"], boxes),
                    "typicality_null": patches.means_of(pixels["null"], boxes),
                    "evidence": patches.means_of(pixels["evidence"], boxes),
                }
            )
        )
    return pa.concat_tables(tables)


def _original_pixels(
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


def _choose(
    candidates: pa.Table, collection: ImageCollection, label: int, selection: str, mining: Mining
) -> pa.Table:
    import pyarrow.compute as pc

    config = mining.config.select
    table = candidates.filter(pc.equal(candidates["selection"], selection))
    row = table["row"].to_numpy()
    own = np.flatnonzero(collection.label_index[row] == label)
    row, order = row[own], table["order"].to_numpy()[own]
    if selection == "typical" and not mining.config.collection.weigh_duplicates:
        groups = np.array(collection.table["duplicate"].to_pylist())[row]
        duplicate = np.unique(groups, return_inverse=True)[1]
        kept = np.flatnonzero(patches.one_per_duplicate(order, row, duplicate))
        own, row, order = own[kept], row[kept], order[kept]
    typical = selection == "typical"
    count = patches.keep_count(len(own), config) if typical else config.controls
    best = own[patches.best_first(order, row, count)]
    chosen = table.take(best).drop_columns(["order"])
    return chosen.append_column("rank", pa.array(np.arange(1, len(best) + 1), pa.int32()))


# --- cluster ------------------------------------------------------------------------------------


def cluster(mining: Mining) -> None:
    """Group the typical patches of each label, and write the tables that a user opens."""
    collection, seed = mining.collection, mining.config.seed
    selected = read_parquet(mining.folder / "selected.parquet")
    with one_thread():  # more would change the order of the network's sums, and so the features
        pooled = patch_features(mining, collection, selected)
    selection = np.array(selected["selection"].to_pylist())
    vectors = clusters.unit(pooled)
    if mining.config.cluster.method != "published":
        # What any patch looks like is no mark of this one: the mean of the random patches goes.
        random = selection == "random"
        background = pooled[random if random.any() else slice(None)]
        vectors = clusters.unit(pooled - background.mean(axis=0))
    label = collection.label_index[selected["row"].to_numpy()]
    score = selected["typicality"].to_numpy()
    number = np.full(len(selected), -1)
    distance = np.full(len(selected), np.nan)
    summaries = []
    for name in range(len(collection.labels)):
        own = np.flatnonzero((label == name) & (selection == "typical"))
        if not len(own):
            continue
        result = clusters.cluster(vectors[own], mining.config.cluster, seed)
        order = clusters.rank_clusters(
            score[own], result.assignment, mining.config.cluster.smallest
        )
        place = np.argsort(order)  # cluster -> its rank, from 0
        number[own], distance[own] = place[result.assignment], result.distance
        images = selected["row"].to_numpy()[own]
        summaries += _summaries(collection.labels[name], score[own], number[own], images)
    places = np.full((len(selected), 2), np.nan)
    typical = selection == "typical"
    places[typical] = clusters.layout(vectors[typical], seed)
    table = _patch_table(mining, collection, selected, number, distance, places)
    summary = pa.Table.from_pylist(summaries, schema=CLUSTERS)
    write_parquet(table, mining.folder / "patches.parquet")
    write_csv(table, mining.folder / "patches.csv")
    write_parquet(summary, mining.folder / "clusters.parquet")
    write_csv(summary, mining.folder / "clusters.csv")


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
    }
)


def _summaries(
    label: str, score: ndarray, number: Int[ndarray, " n"], images: Int[ndarray, " n"]
) -> list[dict[str, Any]]:
    found = []
    for place in range(int(number.max(initial=-1)) + 1):
        own = number == place
        interval = clusters.median_interval(score[own])
        found.append(
            {
                "label": label,
                "cluster": place,
                "rank": place + 1,
                "size": int(own.sum()),
                "typicality": interval.median,
                "low": interval.low,
                "high": interval.high,
                "n_images": len(np.unique(images[own])),
            }
        )
    return found


def patch_features(
    mining: Mining, collection: ImageCollection, selected: pa.Table
) -> Float[ndarray, "n d"]:
    """One vector per patch: of every scale the mean over the box of the image's features.

    How cells are weighed is `ClusterConfig.pooling`.
    """
    against, pooling = mining.config.score.against, mining.config.cluster.pooling
    maps, label = ScoredMaps(mining.folder), collection.label_index
    denoisers = mining.model.denoisers(collection.labels, mining.folder)
    stores = mining.model.latents(len(collection), mining.folder)
    row = selected["row"].to_numpy()
    corners = np.stack([selected[side].to_numpy() for side in ("left", "top", "right", "bottom")])
    width = collection.table["width"].to_numpy()[row]
    height = collection.table["height"].to_numpy()[row]
    boxes = corners / np.stack([width, height, width, height])
    found = [np.zeros(0)] * len(selected)
    for image in np.unique(row):  # each image is read once, however many patches it has
        grids = [
            denoiser.features(store.latent(int(image)), int(label[image])).numpy()
            for denoiser, store in zip(denoisers, stores, strict=True)
        ]
        weights: list[ndarray | None] = [None] * len(grids)
        if pooling == "typicality":
            typical = maps[int(image)][against]
            weights = [patches.upsample(typical, *grid.shape[1:]) for grid in grids]
        for patch in np.flatnonzero(row == image):
            left, top, right, bottom = (float(edge) for edge in boxes[:, patch])
            pooled = [
                clusters.unit(features.pool(grid, (left, top, right, bottom), weight)[None])[0]
                for grid, weight in zip(grids, weights, strict=True)
            ]
            found[patch] = np.concatenate(pooled)
    return np.stack(found)


def _patch_table(
    mining: Mining,
    collection: ImageCollection,
    selected: pa.Table,
    number: Int[ndarray, " n"],
    distance: Float[ndarray, " n"],
    places: Float[ndarray, "n 2"],
) -> pa.Table:
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
        "cluster": pa.array(number, pa.int32()),
        "distance": pa.array(distance, pa.float64(), from_pandas=True),
        "map_x": pa.array(places[:, 0], pa.float64(), from_pandas=True),
        "map_y": pa.array(places[:, 1], pa.float64(), from_pandas=True),
        "thumbnail": thumbnails(mining, collection, selected),
    }
    own = {name: images[name] for name in images.column_names if name not in {*columns, "label"}}
    return pa.table({**columns, **own})


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
    for row in np.unique(rows):
        image = collection.load(int(row))
        for place in np.flatnonzero(rows == row):
            left, top, right, bottom = (int(edge) for edge in boxes[place])
            crop = image.crop((left, top, right, bottom))
            crop.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            crop.save(buffer, "JPEG", quality=88)
            found[int(numbers[place])] = buffer.getvalue()
            advance(1)
    return found
