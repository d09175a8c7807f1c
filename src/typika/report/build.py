"""Tables -> a frozen `Page`: grouping, order, size budget, wording (pure; no file is touched).

The page holds what fits `max_megabytes`: the plan that `choose` takes from the budget's ladder
decides how many patches are shown and how large the whole images behind them are.
"""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from typika.baselines.names import Wording
from typika.errors import ConfigError
from typika.report.budget import (
    DOT_BYTES,
    FRAME_BYTES,
    LADDER,
    MAX_DOTS,
    MEGABYTE,
    N_FULL_RUNGS,
    PATCH_BYTES,
    PATCH_SHARE,
    Plan,
    Shelf,
    by_importance,
)
from typika.report.by_hand import badges_of, change_told, sources_of, verdict_of
from typika.report.evidence import (
    badge_records,
    confound_table,
    label_verdict,
    verdict_records,
)
from typika.report.pictures import as_base64, jpeg_base64, map_record, shrink
from typika.report.rare import rare_labels, weight
from typika.report.records import (
    Baseline,
    ClusterRecord,
    HeatMaps,
    ImageRecord,
    LabelFacts,
    LabelRecord,
    MapRecord,
    Page,
    PatchRecord,
    ReportInputs,
    RunFacts,
)

__all__ = [
    "Baseline",
    "HeatMaps",
    "LabelFacts",
    "Page",
    "ReportInputs",
    "RunFacts",
    "build_page",
    "cluster_rows",
    "label_order",
    "shelve",
]

MAX_METADATA_COLUMNS = 24
MAX_METADATA_LENGTH = 300  # characters of one value; the rest is in patches.parquet
N_SAMPLED_IMAGES = 12  # encoded at every size to foretell what all would weigh
RESERVE = 0.96  # share of the budget that estimates may fill
LARGEST_PREVIEW = max(plan.side for plan in LADDER)
N_MAPS = 3  # kinds: contrast, null, evidence

ImageSource = Callable[[str], Image.Image | None]


def build_page(inputs: ReportInputs, *, max_megabytes: float = 25) -> Page:
    """Decide what the report shows and cut, encode and word it.

    Raises ConfigError where `max_megabytes` is not positive.
    """
    if not max_megabytes > 0:
        raise ConfigError(f"max_megabytes={max_megabytes}: need a positive number")
    budget = round(max_megabytes * MEGABYTE)
    rare = rare_labels(inputs.rare, budget)
    budget -= weight(rare)
    table = PatchTable.read(inputs)
    labels = label_order(inputs)
    shelves = [shelve(inputs, table, label) for label in labels]
    plan = choose(inputs, table, shelves, budget)
    kept = [shelf.cut(plan) for shelf in shelves]
    room = budget - _weight_without_images(table, kept)
    images = embed_images(inputs, table, labels, kept, plan, room)
    page = _assemble(inputs, table, labels, shelves, kept, plan, images, max_megabytes)
    return replace(page, rare=rare)


# ------------------------------------------------------------------------------- reading tables


@dataclass(frozen=True)
class PatchTable:
    """The patches, column by column; a patch is known by its row number."""

    image_id: list[str]
    file_name: list[str]
    label: list[str]
    selection: list[str]
    rows: Mapping[tuple[str, str], np.ndarray]  # (label, selection) -> row numbers
    integers: Mapping[str, np.ndarray]
    floats: Mapping[str, np.ndarray]
    thumbnail: pa.ChunkedArray  # JPEG bytes
    picture_bytes: np.ndarray  # length of each thumbnail in base64
    metadata: pa.Table  # the columns that are shown
    read_words: dict[int, tuple[str, ...]] = field(default_factory=dict)  # cache of `words`

    @classmethod
    def read(cls, inputs: ReportInputs) -> PatchTable:
        """Take the columns of `inputs.patches` apart."""
        patches = inputs.patches
        labels, selections = _strings(patches["label"]), _strings(patches["selection"])
        pictures = pc.struct_field(patches["thumbnail"], "bytes")
        lengths = pc.fill_null(pc.binary_length(pictures), 0).to_numpy()
        integers = ("rank", "left", "top", "right", "bottom", "cluster")
        floats = (
            *("typicality", "error", "typicality_null", "evidence"),
            *("distance", "map_x", "map_y"),
        )
        return cls(
            image_id=_strings(patches["image_id"]),
            file_name=_strings(patches["file_name"]),
            label=labels,
            selection=selections,
            rows=_grouped(zip(labels, selections, strict=True)),
            integers={name: _integers(patches[name]) for name in integers},
            floats={name: _floats(patches[name]) for name in floats},
            thumbnail=pictures,
            picture_bytes=(lengths.astype(np.int64) + 2) // 3 * 4,
            metadata=patches.select(list(inputs.metadata_columns[:MAX_METADATA_COLUMNS])),
        )

    def words(self, row: int) -> tuple[str, ...]:
        """The metadata of one patch as text."""
        if row not in self.read_words:
            values = (column[row].as_py() for column in self.metadata.columns)
            self.read_words[row] = tuple(map(_word, values))
        return self.read_words[row]

    def of(self, label: str, selection: str) -> np.ndarray:
        """Row numbers of one label and selection, ascending."""
        return self.rows.get((label, selection), np.empty(0, dtype=np.int64))

    def number(self, name: str, row: int) -> float | None:
        """One figure of one patch, None where it is not finite."""
        return _number(self.floats[name][row])


def _strings(column: pa.ChunkedArray) -> list[str]:
    return [value or "" for value in column.cast(pa.string()).to_pylist()]


def _grouped(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], np.ndarray]:
    rows: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return {key: np.array(found, dtype=np.int64) for key, found in rows.items()}


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(column.cast(pa.float64()), math.nan).to_numpy())


def _integers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), -1).to_numpy())


def _word(value: object) -> str:
    """One value of the user's metadata in at most MAX_METADATA_LENGTH characters."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, datetime.date | datetime.time):
        text = value.isoformat()
    elif isinstance(value, float):
        text = f"{value:.10g}"
    else:
        text = str(value)
    short = text[: MAX_METADATA_LENGTH - 1] + "…"
    return text if len(text) <= MAX_METADATA_LENGTH else short


def _number(value: float | None) -> float | None:
    """Six significant digits, None where there is no finite number."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def label_order(inputs: ReportInputs) -> list[str]:
    """Every label once: as in the facts, then as they first appear in the tables."""
    named = [facts.label for facts in inputs.facts.collection]
    tables = (inputs.clusters, inputs.patches)
    return list(dict.fromkeys([*named, *(x for t in tables for x in _strings(t["label"]))]))


# ----------------------------------------------------------------------------- order and choice


def shelve(inputs: ReportInputs, table: PatchTable, label: str) -> Shelf:
    """All patches of `label`: clusters by rank, members closest first, controls by rank."""
    typical = table.of(label, "typical")
    members: dict[int, list[int]] = {}
    order = np.lexsort((table.integers["rank"][typical], table.floats["distance"][typical]))
    for row in typical[order]:
        members.setdefault(int(table.integers["cluster"][row]), []).append(int(row))
    clusters = [members.get(row["cluster"], []) for row in cluster_rows(inputs.clusters, label)]
    return Shelf(
        clusters=tuple(tuple(rows) for rows in clusters),
        random=_by_rank(table, table.of(label, "random")),
        negative=_by_rank(table, table.of(label, "negative")),
    )


def _by_rank(table: PatchTable, rows: np.ndarray) -> tuple[int, ...]:
    order = np.argsort(table.integers["rank"][rows], kind="stable")
    return tuple(rows[order].tolist())


def cluster_rows(clusters: pa.Table, label: str) -> list[dict]:
    """The clusters of a label by rank."""
    rows = clusters.filter(pc.equal(clusters["label"].cast(pa.string()), label)).to_pylist()
    return sorted(rows, key=lambda row: (row["rank"], row["cluster"]))


def choose(inputs: ReportInputs, table: PatchTable, shelves: Sequence[Shelf], budget: int) -> Plan:
    """The first rung of the ladder that fits `budget` bytes, by estimate; else the last."""
    weigh = _image_scale(inputs, table, shelves)
    for rung, plan in enumerate(LADDER):
        kept = [shelf.cut(plan) for shelf in shelves]
        if table.picture_bytes[[row for shelf in kept for row in shelf.rows()]].sum() > budget:
            continue  # spares reading the words of a million patches
        weight, share = float(_weight_without_images(table, kept)), PATCH_SHARE
        if rung < N_FULL_RUNGS:
            n_images, n_maps = _count_images(table, kept)
            jpeg, maps = weigh(plan)
            weight, share = weight + n_images * jpeg + n_maps * maps, RESERVE
        if weight <= budget * share:
            return plan
    return LADDER[-1]


def _weight_without_images(table: PatchTable, kept: Sequence[Shelf]) -> int:
    """Bytes of all patches of `kept`, their words, and the dots of those left out."""
    rows = sorted({row for shelf in kept for row in shelf.rows()})
    files = sum(len(json.dumps(table.file_name[row])) for row in rows)
    metadata = {table.words(row) for row in rows}
    words = sum(len(json.dumps(value)) + 1 for values in metadata for value in values)
    n_typical = table.selection.count("typical")
    dots = min(MAX_DOTS, n_typical) * DOT_BYTES
    pictures = int(table.picture_bytes[rows].sum())
    names = sum(len(json.dumps(label)) for label in set(table.label))
    return FRAME_BYTES + pictures + len(rows) * PATCH_BYTES + files + words + dots + 8 * names


def _count_images(table: PatchTable, kept: Sequence[Shelf]) -> tuple[int, int]:
    rows = {row for shelf in kept for row in shelf.rows()}
    maps = {(table.image_id[row], table.label[row]) for row in rows}
    return len({table.image_id[row] for row in rows}), len(maps)


def _image_scale(
    inputs: ReportInputs, table: PatchTable, shelves: Sequence[Shelf]
) -> Callable[[Plan], tuple[float, int]]:
    """A function: plan -> mean bytes of one whole image and of one set of heat-maps."""
    rows = by_importance([shelf.cut(LADDER[N_FULL_RUNGS // 2]) for shelf in shelves])
    pairs = list(dict.fromkeys((table.image_id[row], table.label[row]) for row in rows))
    picked = pairs[:: max(1, len(pairs) // N_SAMPLED_IMAGES)][:N_SAMPLED_IMAGES]
    loaded = (_load(inputs.images, image_id) for image_id, _ in picked)
    previews = [shrink(image, LARGEST_PREVIEW) for image in loaded if image is not None]
    shapes = [maps.null.shape for pair in picked if (maps := inputs.maps.get(pair))]

    def weigh(plan: Plan) -> tuple[float, int]:
        jpegs = [len(jpeg_base64(p, side=plan.side, quality=plan.quality)) for p in previews]
        cells = [min(h, plan.grid) * min(w, plan.grid) for h, w in shapes]
        return (sum(jpegs) / len(jpegs) + 60 if jpegs else 0), max(cells, default=0) * 4 + 120

    return weigh


# ---------------------------------------------------------------------------- pictures and maps


@dataclass(frozen=True)
class Embedded:
    """The whole images of a page, and which could not be there."""

    records: tuple[ImageRecord, ...]
    places: Mapping[str, int]  # image_id -> place in `records`
    n_unreadable: int
    n_no_room: int


def embed_images(
    inputs: ReportInputs,
    table: PatchTable,
    labels: Sequence[str],
    kept: Sequence[Shelf],
    plan: Plan,
    room: int,
) -> Embedded:
    """Encode whole images and their maps, the most important first, within `room` bytes."""
    wanted: dict[str, dict[int, None]] = {}
    numbers = {label: number for number, label in enumerate(labels)}
    for row in by_importance(kept):
        wanted.setdefault(table.image_id[row], {})[numbers[table.label[row]]] = None
    maps = _all_maps(inputs, labels, wanted, plan.grid)
    records: list[ImageRecord] = []
    places: dict[str, int] = {}
    n_unreadable = n_no_room = 0
    for image_id, label_numbers in wanted.items():
        if room <= 0:
            n_no_room += 1
            continue
        image = _load(inputs.images, image_id)
        if image is None:
            n_unreadable += 1
            continue
        mine = {n: maps[image_id, n] for n in label_numbers if (image_id, n) in maps}
        record = _image_record(image, mine, plan)
        room -= _weight(record)
        if room > 0:
            places[image_id] = len(records)
            records.append(record)
        else:
            n_no_room += 1
    return Embedded(tuple(records), places, n_unreadable, n_no_room)


def _image_record(image: Image.Image, maps: Mapping[int, MapRecord], plan: Plan) -> ImageRecord:
    jpeg = jpeg_base64(image, side=plan.side, quality=plan.quality)
    return ImageRecord(jpeg=jpeg, width=image.width, height=image.height, maps=maps)


def _all_maps(
    inputs: ReportInputs,
    labels: Sequence[str],
    wanted: Mapping[str, Mapping[int, None]],
    grid: int,
) -> dict[tuple[str, int], MapRecord]:
    """Heat-maps by (image_id, place of the label)."""
    pairs = {(image_id, labels[n]): n for image_id, found in wanted.items() for n in found}
    # A run keeps its maps in parts on disk, by image: in that order each part is read once.
    found = ((key, inputs.maps.get(key)) for key in sorted(pairs))
    return {
        (key[0], pairs[key]): map_record(maps, grid=grid)
        for key, maps in found
        if maps is not None
    }


def _weight(record: ImageRecord) -> int:
    maps = sum(len(cells or "") for entry in record.maps.values() for cells in entry.cells)
    return len(record.jpeg) + maps + 60 + 120 * len(record.maps)


def _load(images: Callable[[str], Image.Image], image_id: str) -> Image.Image | None:
    """The original, or None where it can no longer be read; the page counts those."""
    try:
        return images(image_id)
    except OSError:
        return None


# -------------------------------------------------------------------------------------- assembly


def _assemble(
    inputs: ReportInputs,
    table: PatchTable,
    labels: Sequence[str],
    shelves: Sequence[Shelf],
    kept: Sequence[Shelf],
    plan: Plan,
    images: Embedded,
    max_megabytes: float,
) -> Page:
    rows = list(dict.fromkeys(row for shelf in kept for row in shelf.rows()))
    metadata = list(dict.fromkeys(table.words(row) for row in rows))
    patches = patch_records(table, labels, rows, images.places, metadata)
    places = {row: place for place, row in enumerate(rows)}
    dots = _dot_rows(table, set(rows))
    records = tuple(
        label_record(inputs, table, label, shelf, places)
        for label, shelf in zip(labels, kept, strict=True)
    )
    axis = _axis(records)
    families, confounds = confound_table(inputs.evidence)
    return Page(
        facts=inputs.facts,
        summary=_summary(records, inputs.facts.baseline),
        labels=records,
        patches=patches,
        images=images.records,
        metadata_columns=tuple(table.metadata.column_names),
        metadata=tuple(metadata),
        dots=_dots(table, labels, dots),
        dot_rows=dots,
        by_hand=inputs.by_hand,
        axis=axis,
        decimals=_decimals(axis),
        limits=_limits(images.records),
        left_out=_left_out(inputs, table, shelves, patches, plan, images, max_megabytes),
        families=families,
        confounds=confounds,
    )


def patch_records(
    table: PatchTable,
    labels: Sequence[str],
    rows: Sequence[int],
    places: Mapping[str, int],
    metadata: Sequence[tuple[str, ...]],
) -> tuple[PatchRecord, ...]:
    """Some patches as a page shows them.

    places: of the whole images in the page. metadata: every distinct row of words, each once.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    words = {values: place for place, values in enumerate(metadata)}
    pictures = table.thumbnail.take(pa.array(rows, pa.int64())).to_pylist()

    def record(row: int, picture: bytes | None) -> PatchRecord:
        integers = {name: int(column[row]) for name, column in table.integers.items()}
        x, y = table.number("map_x", row), table.number("map_y", row)
        return PatchRecord(
            picture=as_base64(picture or b""),
            image=places.get(table.image_id[row]),
            file_name=table.file_name[row],
            label=numbers[table.label[row]],
            selection=table.selection[row],
            cluster=integers["cluster"],
            rank=integers["rank"],
            box=(integers["left"], integers["top"], integers["right"], integers["bottom"]),
            typicality=table.number("typicality", row),
            error=table.number("error", row),
            typicality_null=table.number("typicality_null", row),
            evidence=table.number("evidence", row),
            distance=table.number("distance", row),
            position=None if x is None or y is None else (round(x, 4), round(y, 4)),
            metadata=words[table.words(row)],
            row=row,
        )

    return tuple(record(row, picture) for row, picture in zip(rows, pictures, strict=True))


def label_record(
    inputs: ReportInputs,
    table: PatchTable,
    label: str,
    kept: Shelf,
    places: Mapping[int, int] | range,
) -> LabelRecord:
    """What the page shows of a label.

    kept: of its patches. places: of their rows in the page; `range` where rows name them.
    """
    typical = table.of(label, "typical")
    random = table.floats["typicality"][table.of(label, "random")]
    counted = {facts.label: facts.n_images for facts in inputs.facts.collection}
    clusters = cluster_rows(inputs.clusters, label)
    rows = clusters[: len(kept.clusters)]
    verdicts, badges = verdict_records(inputs.evidence), badge_records(inputs.evidence)
    return LabelRecord(
        label=label,
        n_images=counted.get(label, len({table.image_id[row] for row in typical})),
        n_patches=len(typical),
        n_loose=int((table.integers["cluster"][typical] < 0).sum()),
        n_clusters=len(clusters),
        clusters=tuple(
            replace(
                _cluster_record(row, [places[member] for member in members]),
                verdict=verdict_of(row, verdicts),
                badges=badges_of(row, badges),
            )
            for row, members in zip(rows, kept.clusters, strict=True)
        ),
        random=tuple(places[row] for row in kept.random),
        negative=tuple(places[row] for row in kept.negative),
        random_median=_number(float(np.median(random))) if len(random) else None,
        verdict=label_verdict(label, sources_of(clusters), verdicts, badges),
    )


def _cluster_record(row: dict, members: Iterable[int]) -> ClusterRecord:
    return ClusterRecord(
        cluster=row["cluster"],
        rank=row["rank"],
        size=row["size"],
        n_images=row["n_images"],
        typicality=_number(row["typicality"]),
        low=_number(row["low"]),
        high=_number(row["high"]),
        stability=_number(row["stability"]),
        members=tuple(members),
        name=row.get("name", ""),
        note=row.get("note", ""),
        starred=row.get("starred", False),
        hidden=row.get("hidden", False),
        changed=change_told(row),
    )


def _dot_rows(table: PatchTable, shown: set[int]) -> tuple[int, ...]:
    """Typical patches that are only dots in the map: evenly thinned to MAX_DOTS."""
    x, y = table.floats["map_x"], table.floats["map_y"]
    typical = np.array([kind == "typical" for kind in table.selection], dtype=bool)
    placed = np.flatnonzero(typical & np.isfinite(x) & np.isfinite(y))
    rows = [row for row in placed.tolist() if row not in shown]
    step = max(1, math.ceil(len(rows) / MAX_DOTS))
    return tuple(rows[::step])


def _dots(
    table: PatchTable, labels: Sequence[str], rows: Sequence[int]
) -> tuple[tuple[float, float, int], ...]:
    """Where dots lie in the map, and the label of each."""
    numbers = {label: number for number, label in enumerate(labels)}
    x, y = table.floats["map_x"], table.floats["map_y"]
    return tuple(
        (round(float(x[row]), 4), round(float(y[row]), 4), numbers[table.label[row]])
        for row in rows
    )


# ------------------------------------------------------------------------------ scales and words


def _axis(labels: Sequence[LabelRecord]) -> tuple[float, float]:
    """One range for all interval bars, so that rows of different labels compare by eye."""
    ends = [0.0]
    for label in labels:
        for cluster in label.clusters:
            ends += [x for x in (cluster.low, cluster.high, cluster.typicality) if x is not None]
        ends += [label.random_median] if label.random_median is not None else []
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low, low + 1.0)


def _decimals(axis: tuple[float, float]) -> int:
    """Decimals that show the largest typicality with three digits."""
    largest = max(abs(axis[0]), abs(axis[1]))
    return int(np.clip(2 - math.floor(math.log10(largest)), 0, 8))


def _limits(images: Sequence[ImageRecord]) -> tuple[float | None, ...]:
    """Full colour of each kind of map: reached by one map in ten, common to all images.

    None for a kind that no image has.
    """
    entries = [entry.scales for image in images for entry in image.maps.values()]
    kinds = zip(*entries, strict=True) if entries else [()] * N_MAPS
    return tuple(_limit([scale for scale in scales if scale is not None]) for scales in kinds)


def _limit(scales: Sequence[float]) -> float | None:
    return float(f"{np.percentile(scales, 90):.4g}") if scales else None


def _summary(labels: Sequence[LabelRecord], instead: Wording | None) -> tuple[str, str, str]:
    n_images, n_patches = (sum(getattr(x, n) for x in labels) for n in ("n_images", "n_patches"))
    subject = "one label" if len(labels) == 1 else f"each of {len(labels):,} labels"
    seen = instead.seen if instead else "a diffusion model of the collection itself"
    chosen = instead.chosen if instead else "their label explains best"
    return (
        f"This page shows what is visually typical of {subject} in {n_images:,} "
        f"{'image' if n_images == 1 else 'images'}, as seen by {seen}.",
        f"typika cut out the {n_patches:,} patches that {chosen}, grouped those that look alike, "
        f"and put the {'first' if instead else 'most typical'} groups first.",
        "Every group carries its median typicality with a 95% interval; random and least typical "
        "patches stand below for comparison.",
    )


def _left_out(
    inputs: ReportInputs,
    table: PatchTable,
    shelves: Sequence[Shelf],
    patches: Sequence[PatchRecord],
    plan: Plan,
    images: Embedded,
    max_megabytes: float,
) -> tuple[str, ...]:
    """Sentences on everything that is not in the file."""
    shown, total = Counter(p.selection for p in patches), Counter(table.selection)
    said = []
    typical = np.array([kind == "typical" for kind in table.selection], dtype=bool)
    loose = int((typical & (table.integers["cluster"] < 0)).sum())
    if loose:
        said.append(
            f"{loose:,} of {total['typical']:,} typical patches are in no cluster, because they "
            "are like none or because another patch of their image, or of one that nearly "
            "repeats it, is there: they are dots in the map of all patches, and in "
            "patches.parquet."
        )
    total["typical"] -= loose
    if len(patches) < len(table.label) - loose:
        kinds = {"typical": "typical", "random": "random", "negative": "least typical"}
        parts = [
            f"{shown[kind]:,} of {total[kind]:,} {word} patches"
            + (" of clusters" if loose and kind == "typical" else "")
            for kind, word in kinds.items()
            if total[kind]
        ]
        said.append(
            f"This file holds {_listing(parts)}, to stay under {max_megabytes:g} MB; "
            "patches.parquet in the run folder holds them all."
        )
    n_clusters = sum(len(shelf.clusters) for shelf in shelves)
    n_shown = sum(len(shelf.cut(plan).clusters) for shelf in shelves)
    if n_shown < n_clusters:
        said.append(f"{n_shown:,} of {n_clusters:,} clusters are shown, the first of each label.")
    if images.records:
        said.append(
            f"Whole images are reduced to at most {plan.side} pixels, heat-maps to {plan.grid} "
            "cells a side."
        )
    if images.n_no_room:
        said.append(f"{images.n_no_room:,} whole images had no room: only their patches are here.")
    if images.n_unreadable:
        said.append(f"{images.n_unreadable:,} whole images could not be read any more.")
    n_columns = len(inputs.metadata_columns) - MAX_METADATA_COLUMNS
    if n_columns > 0:
        said.append(f"{n_columns} of the metadata columns are left out.")
    return tuple(said)


def _listing(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
