"""What stays typical when an image is translated: sequences of patches over labels.

A sequence is one box of an image, in the image and in its translations. Its co-typicality is the
median over labels of the typicality that the box has there; where a label is the image's own, the
image itself stands for it (Siglidis et al. 2024). Legend: `n` sequences, `k` labels, `d` features,
`H W` pixels; a *part* holds some of the source images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from typika import ranks
from typika.collection.images import ImageCollection
from typika.collection.parallel import ParallelCollection, source_rows
from typika.diffusion.latents import PART, n_parts, part_rows
from typika.errors import ConfigError, DataError
from typika.mining import clusters, patches, stages
from typika.mining.clusters import ClusterConfig
from typika.mining.features import Box
from typika.mining.masks import Mask, MaskText
from typika.mining.patches import Map, SelectConfig
from typika.mining.pipeline import Mining, folds
from typika.mining.scores import MAP, ScoredMaps
from typika.mining.scoring import Scorer, joined_scales, level_densities
from typika.parallel import Advance, run_tasks
from typika.tables import read_parquet, write_parquet

Sequences = Float[ndarray, "n k d"]
INSTALL = "pip install 'typika[map]'"


@dataclass(frozen=True, kw_only=True)
class CotypicalityConfig:
    """How sequences are compared."""

    # What features of a label are brought down to before they are joined: principal components,
    # or UMAP as published, which needs umap-learn.
    reduction: Literal["pca", "umap", "none"] = "pca"
    dimensions: int = 32  # of each label
    # As in the run, but that of a background the mean alone is taken off.
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

    def __post_init__(self) -> None:
        if self.dimensions < 2:
            raise ConfigError(f"dimensions={self.dimensions}: need at least 2")
        if self.reduction == "umap":
            _umap()


# --- numbers ------------------------------------------------------------------------------------


def co_typicality(pooled: Sequence[Map]) -> Float[ndarray, "_p _q"]:
    """The median over labels of the typicality of every box of an image."""
    found: ndarray = np.median(np.stack(pooled), axis=0)
    return found


def kept_count(candidates: int, n_labels: int, config: SelectConfig) -> int:
    """How many sequences of all labels are kept: of each label's share as many as it keeps."""
    whole = replace(config, at_least=config.at_least * n_labels, at_most=config.at_most * n_labels)
    return patches.keep_count(candidates, whole)


def sequence_vectors(
    features: Sequences, config: CotypicalityConfig, seed: int
) -> Float[ndarray, "n _e"]:
    """What is compared of each sequence: its patches' features, brought down label by label.

    Unit vectors, less what all sequences share; "published" clusters compare the joined features
    as they are.
    """
    blocks = [reduced(features[:, label], config, seed) for label in range(features.shape[1])]
    joined = np.concatenate(blocks, axis=1)
    if config.cluster.method == "published":
        return joined
    return clusters.unit(joined - joined.mean(axis=0))


def reduced(
    features: Float[ndarray, "n d"], config: CotypicalityConfig, seed: int
) -> Float[ndarray, "n _e"]:
    """The features of one label's patches in at most `config.dimensions` dimensions.

    As many as there are sequences and features for; the same seed gives the same numbers.
    """
    vectors = clusters.unit(features.astype(np.float64))
    # Less their mean, or what all patches share would outweigh what tells them apart.
    vectors = clusters.unit(vectors - vectors.mean(axis=0))
    count = min(config.dimensions, len(vectors) - 2, vectors.shape[1])
    if config.reduction == "none" or count < 2:
        return vectors
    if config.reduction == "pca":
        _, _, directions = np.linalg.svd(vectors, full_matrices=False)
        return vectors @ directions[:count].T
    return _umap_places(vectors, count, seed)


def _umap_places(vectors: Float[ndarray, "n d"], count: int, seed: int) -> Float[ndarray, "n _e"]:
    neighbours = min(15, len(vectors) - 1)  # published
    model = _umap()(n_components=count, n_neighbors=neighbours, random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(vectors), dtype=np.float64)


def _umap() -> type:
    """UMAP (McInnes et al. 2018). Raises ConfigError where it is not installed."""
    try:
        from umap import UMAP
    except ImportError as error:
        raise ConfigError(
            f"reduction=umap: needs umap-learn; {INSTALL}, or leave reduction=pca"
        ) from error
    found: type = UMAP
    return found


# --- a run beside its translations --------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """Latents of some images in memory, by number."""

    latents: dict[int, Tensor]

    def latent(self, row: int) -> Tensor:
        """The latent of one of them."""
        return self.latents[row]


@dataclass(frozen=True)
class Parallels:
    """A scored run beside its parallel collection.

    folder: where parts of maps lie.
    """

    mining: Mining
    collection: ImageCollection
    translations: ParallelCollection
    folder: Path

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that sequences run over, in order."""
        return self.translations.labels

    @cached_property
    def rows(self) -> list[int]:
        """Rows of the images that have a patch under every label, ascending."""
        mined = self.collection.in_split(self.mining.config.collection.mine)
        return [row for row in source_rows(self.collection, mined) if self.complete(row)]

    def complete(self, row: int) -> bool:
        """Whether an image is translated to every label but its own, and to one at least."""
        places = [place for label, place in self.members(row) if label != self.label(row)]
        return bool(places) and None not in places

    def label(self, row: int) -> str:
        """An image's own label."""
        found: str = self.collection.table["label"][row].as_py()
        return found

    def members(self, row: int) -> list[tuple[str, int | None]]:
        """Each label with the row of the image's translation; None for the image itself."""
        source, own = self.collection.table["image_id"][row].as_py(), self.label(row)
        known = self.translations.place
        return [
            (label, None if label == own else known.get((source, label))) for label in self.labels
        ]

    def part(self, number: int) -> list[int]:
        """Rows of one part."""
        return [self.rows[place] for place in part_rows(number, len(self.rows))]

    def path(self, number: int) -> Path:
        """Where the maps of one part lie."""
        return self.folder / f"part-{number:05d}.parquet"

    @property
    def side(self) -> tuple[float, int]:
        """Share of the short side that a patch takes, and how many an image offers."""
        select = self.mining.config.select
        return select.patch_size, select.per_image


# --- score --------------------------------------------------------------------------------------


def score(parallels: Parallels) -> None:
    """Write the maps of every translation for its label, part by part; ranks share the parts."""
    mining = parallels.mining
    densities = level_densities(mining, parallels.collection)
    parts = range(n_parts(len(parallels.rows)))
    missing = [part for part in parts if not parallels.path(part).exists()]
    missing = ranks.world().share(missing)
    workers = mining.model.workers(mining.workers)
    hands = max(1, min(len(missing), 4 * workers if workers > 1 else 1))
    tasks = [(parallels, densities, missing[hand::hands]) for hand in range(hands)]
    total = sum(len(parallels.part(part)) for part in missing)
    run_tasks(_score_parts, [task for task in tasks if task[2]], workers=workers,
              name="Scoring translations", total=total)  # fmt: skip


def _score_parts(
    parallels: Parallels, densities: tuple, parts: Sequence[int], advance: Advance
) -> None:
    collection = parallels.collection
    scorers = [
        (fold.scored, Scorer.open(fold.mining, collection, densities))
        for fold in folds(parallels.mining, collection)
    ]
    for part in parts:
        found = []
        for row in parallels.part(part):
            (scorer,) = (one for scored, one in scorers if scored[row])
            found += _score_image(parallels, scorer, row)
            advance(1)
        schema = {"row": pa.int32(), "label": pa.string(), "height": pa.int32(),
                  "width": pa.int32(), "map": MAP}  # fmt: skip
        write_parquet(pa.Table.from_pylist(found, pa.schema(schema)), parallels.path(part))


def _score_image(parallels: Parallels, scorer: Scorer, row: int) -> list[dict]:
    """The maps of an image's translations, each for the label it was translated to."""
    own = [(label, place) for label, place in parallels.members(row) if place is not None]
    images = {place: parallels.translations.images.load(place) for _, place in own}
    scales = tuple(
        replace(scale, latents=Held({place: scale.denoiser.encode(image).cpu()
                                     for place, image in images.items()}))
        for scale in scorer.scales
    )  # fmt: skip
    numbers = [parallels.collection.labels.index(label) for label, _ in own]
    maps = replace(scorer, scales=scales).maps([place for _, place in own], numbers, _no_advance)
    against = parallels.mining.config.ranked_by
    found = []
    for (label, _), scored in zip(own, maps, strict=True):
        mean = joined_scales(scored)[against].mean
        height, width = mean.shape
        found.append({"row": row, "label": label, "height": height, "width": width,
                      "map": mean.ravel()})  # fmt: skip
    return found


def _no_advance(_: int) -> None:
    """Progress is counted by source images."""


def read_part(parallels: Parallels, number: int) -> dict[int, dict[str, Float[ndarray, "_h _w"]]]:
    """The maps of a part: by row and label, those of the images themselves among them."""
    own = ScoredMaps(parallels.mining.folder)
    against = parallels.mining.config.ranked_by
    table = read_parquet(parallels.path(number))
    found: dict[int, dict[str, ndarray]] = {}
    for place, row in enumerate(table["row"].to_pylist()):
        shape = table["height"][place].as_py(), table["width"][place].as_py()
        values = table["map"][place].values.to_numpy().reshape(shape).astype(np.float64)
        found.setdefault(row, {})[table["label"][place].as_py()] = values
    for row, maps in found.items():
        maps[parallels.label(row)] = own[row][against]
    return found


# --- choose -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """Sequences, the most co-typical first.

    row: (n,) of the source image; top, left, side: (n,) box in pixels of the source's map;
    score: (n,) co-typicality; typicality: (n, k) of each label's patch.
    """

    row: Int[ndarray, " n"]
    top: Int[ndarray, " n"]
    left: Int[ndarray, " n"]
    side: Int[ndarray, " n"]
    score: Float[ndarray, " n"]
    typicality: Float[ndarray, "n k"]

    def take(self, places: Int[ndarray, " m"]) -> Chosen:
        """Some of them, in the order of `places`."""
        return Chosen(*(getattr(self, name)[places] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, several: Sequence[Chosen]) -> Chosen:
        """All of several."""
        return cls(*(np.concatenate([getattr(one, name) for one in several])
                     for name in cls.__dataclass_fields__))  # fmt: skip


def choose(parallels: Parallels) -> Chosen:
    """The sequences of the highest co-typicality over all images."""
    tasks = [(parallels, part) for part in range(n_parts(len(parallels.rows)))]
    mining, collection = parallels.mining, parallels.collection
    found = Chosen.joined(
        run_tasks(_candidates_of_part, tasks, workers=mining.workers, name="Choosing",
                  total=len(parallels.rows))
    )  # fmt: skip
    if not len(found.row):
        raise DataError(
            f"mask={mining.config.select.mask!r}: leaves no room for a patch in any translated "
            "image; make the mask or patches of the run smaller"
        )
    if not mining.config.collection.weigh_duplicates:
        names = np.array(collection.table["duplicate"].to_pylist())
        duplicate = np.unique(names, return_inverse=True)[1]
        kept = patches.one_per_duplicate(found.score, found.row, duplicate[found.row])
        found = found.take(np.flatnonzero(kept))
    count = kept_count(len(found.row), len(collection.labels), mining.config.select)
    return found.take(patches.best_first(found.score, found.row, count))


def _candidates_of_part(parallels: Parallels, part: int, advance: Advance) -> Chosen:
    widths, heights = (parallels.collection.table[name] for name in ("width", "height"))
    mask = Mask.read(MaskText.parse(parallels.mining.config.select.mask))
    fraction, count = parallels.side
    found = []
    for row, maps in read_part(parallels, part).items():
        shape = patches.map_shape(widths[row].as_py(), heights[row].as_py())
        side = patches.patch_side(*shape, fraction)
        pooled = [
            patches.box_means(patches.upsample(maps[label], *shape), side)
            for label in parallels.labels
        ]
        forbidden = stages.forbidden_pixels(mask, parallels.collection, row)
        blocked = None if forbidden is None else patches.blocked_places(forbidden, side)
        boxes = patches.best_places(co_typicality(pooled), side, count, blocked)
        each = np.stack([one[boxes.top, boxes.left] for one in pooled], axis=1)
        n = len(boxes.top)
        found.append(Chosen(np.full(n, row), boxes.top, boxes.left, np.full(n, side), boxes.score,
                            each))  # fmt: skip
        advance(1)
    return Chosen.joined(found)


# --- compare ------------------------------------------------------------------------------------


def sequence_features(parallels: Parallels, chosen: Chosen, *, weighed: bool) -> Sequences:
    """The features of every patch of every sequence, pooled over its box.

    weighed: by the typicality of each cell under the label of the patch.
    """
    rows = np.unique(chosen.row)
    workers = parallels.mining.model.workers(parallels.mining.workers)
    hands = max(1, min(len(rows), 4 * workers if workers > 1 else 1))
    dealt = [np.flatnonzero(np.isin(chosen.row, rows[hand::hands])) for hand in range(hands)]
    tasks = [(parallels, chosen.take(own), weighed) for own in dealt]
    answers = run_tasks(_features_of, tasks, workers=workers, name="Comparing", total=len(rows))
    found = np.zeros((len(chosen.row), *answers[0].shape[1:]), dtype=np.float32)
    for own, answer in zip(dealt, answers, strict=True):
        found[own] = answer
    return found


def _features_of(
    parallels: Parallels, chosen: Chosen, weighed: bool, advance: Advance
) -> Sequences:
    mining, collection = parallels.mining, parallels.collection
    denoisers = mining.model.denoisers(collection.labels, mining.folder)
    of_originals = stages.feature_grids(mining, collection)
    widths, heights = (collection.table[name] for name in ("width", "height"))
    found: list[list[ndarray]] = [[] for _ in chosen.row]
    held: tuple[int, dict[int, dict[str, ndarray]]] | None = None
    for row in np.unique(chosen.row).tolist():
        part = int(np.searchsorted(parallels.rows, row)) // PART
        if held is None or held[0] != part:
            held = part, read_part(parallels, part)
        maps = held[1][row]
        shape = patches.map_shape(widths[row].as_py(), heights[row].as_py())
        own = np.flatnonzero(chosen.row == row)
        for label, place in parallels.members(row):
            number = collection.labels.index(label)
            if place is None:
                grids = of_originals(row, number)
            else:
                image = parallels.translations.images.load(place)
                grids = [denoiser.features(denoiser.encode(image), number).numpy()
                         for denoiser in denoisers]  # fmt: skip
            weights = stages.weights_of(grids, maps[label] if weighed else None)
            for one in own.tolist():
                box = _fractions(chosen, one, shape)
                found[one].append(stages.pooled_features(grids, box, weights))
        advance(1)
    return np.array(found, dtype=np.float32)


def _fractions(chosen: Chosen, one: int, shape: tuple[int, int]) -> Box:
    """The box of a sequence as fractions of the image: left, top, right, bottom."""
    rows, columns = shape
    top, left, side = (int(values[one]) for values in (chosen.top, chosen.left, chosen.side))
    return left / columns, top / rows, (left + side) / columns, (top + side) / rows


# --- group --------------------------------------------------------------------------------------


CLUSTERS = pa.schema(
    {
        "cluster": pa.int32(),
        "rank": pa.int32(),
        "size": pa.int32(),
        "cotypicality": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "n_images": pa.int32(),
        "stability": pa.float64(),  # how well the cluster is found again, 0 to 1
    }
)


def group(
    parallels: Parallels, chosen: Chosen, config: CotypicalityConfig
) -> tuple[pa.Table, pa.Table]:
    """Group sequences: a row for each patch of each sequence, and a row for each cluster.

    Clusters are numbered from the highest median co-typicality down; sequences that are like no
    group have the cluster -1.
    """
    collection, seed = parallels.collection, parallels.mining.config.seed
    weighed = config.cluster.pooling == "typicality"
    features = sequence_features(parallels, chosen, weighed=weighed)
    vectors = sequence_vectors(features, config, seed)
    duplicates = np.array(collection.table["duplicate"].to_pylist())
    images = np.unique(duplicates, return_inverse=True)[1][chosen.row]
    groups = clusters.fit(vectors, images, config.cluster, seed)
    found = clusters.assign(vectors, images, groups)
    order = clusters.rank_clusters(chosen.score, found.assignment, config.cluster.smallest)
    number = np.full(len(chosen.row), clusters.LOOSE)
    member = found.assignment != clusters.LOOSE
    number[member] = np.argsort(order)[found.assignment[member]]
    summaries = []
    for place, old in enumerate(order):
        own = number == place
        units = collection.units[chosen.row[own]]
        interval = clusters.median_interval(chosen.score[own], units, place)
        summaries.append({
            "cluster": place, "rank": place + 1, "size": int(own.sum()),
            "cotypicality": interval.value, "low": interval.low, "high": interval.high,
            "n_images": len(np.unique(chosen.row[own])),
            "stability": float(groups.stability[old]),
        })  # fmt: skip
    table = sequence_table(parallels, chosen, number, found.distance)
    return table, pa.Table.from_pylist(summaries, schema=CLUSTERS)


def sequence_table(
    parallels: Parallels,
    chosen: Chosen,
    number: Int[ndarray, " n"],
    distance: Float[ndarray, " n"],
) -> pa.Table:
    """One row per patch: what it is a patch of, where, and how typical.

    `original` marks the patch of the image itself; `file_name` is of that image or, below the
    folder of the parallel collection, of its translation. Boxes are in pixels of that file.
    """
    images = parallels.collection.table.take(pa.array(chosen.row)).to_pylist()
    translations = parallels.translations.table.to_pylist()
    found = []
    for place, image in enumerate(images):
        row, own = int(chosen.row[place]), image["label"]
        shape = patches.map_shape(image["width"], image["height"])
        top, left = (values[place : place + 1] for values in (chosen.top, chosen.left))
        boxes = patches.Boxes(top, left, int(chosen.side[place]), chosen.score[place : place + 1])
        members: list[tuple[str, int | None]] = parallels.members(row)
        typicality: list[float | None] = chosen.typicality[place].tolist()
        if own not in parallels.labels:  # shown, but no part of the median
            members, typicality = [(own, None), *members], [None, *typicality]
        for (label, other), typical in zip(members, typicality, strict=True):
            file = image if other is None else translations[other]
            corners = stages.original_pixels(boxes, shape, (file["width"], file["height"]))
            found.append({
                "sequence": place, "cluster": int(number[place]),
                "distance": float(distance[place]), "cotypicality": float(chosen.score[place]),
                "image_id": image["image_id"], "source_label": own,
                "source_name": image["file_name"], "label": label, "original": other is None,
                "file_name": file["file_name"], "typicality": typical,
                **{name: int(values[0]) for name, values in corners.items()},
            })  # fmt: skip
    return pa.Table.from_pylist(found, schema=SEQUENCES)


SEQUENCES = pa.schema(
    {
        "sequence": pa.int32(),  # from the highest co-typicality down
        "cluster": pa.int32(),
        "distance": pa.float64(),  # of the sequence to the centre of its cluster
        "cotypicality": pa.float64(),
        **{name: pa.string() for name in ("image_id", "source_label", "source_name", "label")},
        "original": pa.bool_(),
        "file_name": pa.string(),
        "typicality": pa.float64(),
        **{name: pa.int32() for name in ("left", "top", "right", "bottom")},
    }
)
