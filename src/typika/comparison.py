"""Two finished runs side by side: what `typika compare` and `typika.compare` call."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from typika import __version__
from typika.collection.images import ImageCollection
from typika.collection.regions import Regions
from typika.console import task, warn
from typika.errors import ConfigError, DataError
from typika.mining import comparison as numbers
from typika.mining.comparison import Located, SharedImages, TopPatches
from typika.mining.pipeline import Mining
from typika.mining.scores import ScoredMaps, mined_parts, score_path
from typika.report.comparison import MOST_IMAGES, agreement_table, build_comparison
from typika.report.comparison_records import ComparedRun, ComparisonInputs, ShownImage
from typika.report.html import write_comparison
from typika.report.inputs import report_inputs
from typika.run import Run
from typika.tables import write_csv
from typika.workflow import MiningRun, recorded

SEED = 0  # of resamplings and of random places

Key = tuple[str, str]  # image_id, label


@dataclass(frozen=True)
class Comparison:
    """Two runs compared: the page, and its figures."""

    page: Path
    agreement: pa.Table  # one row per label and measure, as in agreement.csv


def compare(
    before: str | Path | MiningRun,
    after: str | Path | MiningRun,
    regions: str | Path | None = None,
    out: str | Path | None = None,
) -> Comparison:
    """Write a page that shows two finished runs over the same images side by side.

    regions: boxes or masks to hold both maps against (`collection/regions.py`): CSV, COCO JSON,
        Pascal VOC, or a folder of PNG masks.
    out: an .html file, or a folder for compare.html; `compare/BEFORE-AFTER` by default.
    agreement.csv lies beside the page.

    Raises:
        ConfigError: a folder is no finished run, or `out` cannot be written to.
        DataError: the runs share no image under the same label, or `regions` cannot be used.
    """
    sides = _open(before, after)
    page = page_path(out, "-".join(side.name for side in sides), "compare.html")
    truth = None if regions is None else Regions.read(Path(regions))
    shared = Shared.of(*sides)
    for note in shared.notes:
        warn(note)
    inputs = _inputs(*sides, shared, truth)
    table = agreement_table(inputs.agreement, inputs.localisation)
    write_comparison(build_comparison(inputs), page)
    write_csv(table, page.with_name("agreement.csv"))
    return Comparison(page, table)


def page_path(out: str | Path | None, runs: str, name: str) -> Path:
    """Where a page goes: the .html file `out`, or `name` in the folder `out` or compare/`runs`.

    Raises ConfigError where there is something else.
    """
    if out is None:
        return Path("compare") / runs / name
    path = Path(out)
    page = path if path.suffix.lower() in (".html", ".htm") else path / name
    for place in page.parents:
        if place.exists() and not place.is_dir():
            raise ConfigError(f"{place}: is a file; pass --out with a folder or an .html file")
    if page.is_dir():
        raise ConfigError(f"{page}: is a folder; pass --out with a folder or an .html file")
    return page


# ------------------------------------------------------------------------------ reading two runs


def _open(before: str | Path | MiningRun, after: str | Path | MiningRun) -> tuple[Side, Side]:
    """Both runs, open for reading."""
    folders = [run.folder if isinstance(run, MiningRun) else Path(run) for run in (before, after)]
    names = names_of_runs(folders)
    return Side.open(names[0], folders[0]), Side.open(names[1], folders[1])


def names_of_runs(folders: Sequence[Path]) -> list[str]:
    """Each by the name of its folder, or of two folders where other runs have that name too."""
    paths = [folder.resolve() for folder in folders]
    if len({path.name for path in paths}) < len(set(paths)):
        return [f"{path.parent.name}-{path.name}" for path in paths]
    return [path.name for path in paths]


@dataclass(frozen=True)
class Side:
    """One of the two runs, open for reading."""

    name: str
    folder: Path
    mining: Mining

    @classmethod
    def open(cls, name: str, folder: Path, last: str = "cluster") -> Side:
        """Open a run that is finished up to the stage `last`, "score" or "cluster".

        Raises ConfigError where it is no run, or not so far.
        """
        source, config = recorded(folder)
        side = cls(name, folder, Mining(Run.read(folder), source, config, workers=1))
        needed = ["patches.parquet", "clusters.parquet"] if last == "cluster" else []
        if (folder / "collection.parquet").exists():
            needed += [score_path(Path(), part).as_posix() for part in side.parts]
        else:
            needed = ["collection.parquet"]
        for file in needed:
            if not (folder / file).exists():
                raise ConfigError(f"{folder}: has no {file} yet; run `typika {last} {folder}`")
        return side

    @property
    def parts(self) -> list[int]:
        """The parts of the collection that have maps."""
        return mined_parts(self.mining, self.collection)

    @cached_property
    def collection(self) -> ImageCollection:
        """The images of the run."""
        return self.mining.collection

    @cached_property
    def rows(self) -> dict[Key, int]:
        """Rows that were mined, by image and label, the first of exact copies."""
        mined = self.collection.in_split(self.mining.config.collection.mine)
        rows: dict[Key, int] = {}
        for row, key in enumerate(_keys(self.collection.table)):
            if mined[row]:
                rows.setdefault(key, row)
        return rows

    @cached_property
    def every_row(self) -> list[Key]:
        """Image and label of every row, mined or not."""
        return list(_keys(self.collection.table))

    @cached_property
    def maps(self) -> ScoredMaps:
        """The maps, by row of the collection."""
        return ScoredMaps(self.folder)

    @cached_property
    def patches(self) -> pa.Table:
        """The patches that the run chose."""
        return MiningRun(self.folder).patches

    def settings(self) -> dict[str, str]:
        """Every setting by its dotted name."""
        return dict(_flat("", self.mining.run.manifest["config"]))


def _keys(table: pa.Table) -> Iterator[Key]:
    return zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    else:
        yield name, "" if value is None else str(value)


@dataclass(frozen=True)
class Shared:
    """The images that all runs hold under the same label."""

    keys: tuple[Key, ...]  # in the order of the first run's collection
    rows: tuple[np.ndarray, ...]  # of each collection
    images: SharedImages
    notes: tuple[str, ...]

    @classmethod
    def of(cls, *sides: Side) -> Shared:
        """Match by content and label. Raises DataError where nothing matches."""
        before = sides[0]
        keys = tuple(key for key in before.rows if all(key in side.rows for side in sides))
        if not keys:
            strange = [side for side in sides if not before.rows.keys() & side.rows.keys()]
            raise DataError(_nothing_shared(before, strange[0] if strange else sides[-1]))
        rows = [np.array([side.rows[key] for key in keys]) for side in sides]
        table = before.collection.table.take(pa.array(rows[0]))
        present = {label for _, label in keys}
        labels = tuple(label for label in before.collection.labels if label in present)
        number = {label: place for place, label in enumerate(labels)}
        groups = np.array(table["group"].to_pylist(), dtype=str)
        images = SharedImages(
            label=np.array([number[label] for _, label in keys]),
            group=np.unique(groups, return_inverse=True)[1],
            width=table["width"].to_numpy().astype(np.int64),
            height=table["height"].to_numpy().astype(np.int64),
            labels=labels,
        )
        return cls(keys, tuple(rows), images, tuple(_partly(sides, len(keys))))

    @cached_property
    def place(self) -> dict[Key, int]:
        """Place of each key among the shared images."""
        return {key: place for place, key in enumerate(self.keys)}


def _nothing_shared(before: Side, after: Side) -> str:
    same = {image for image, _ in before.rows} & {image for image, _ in after.rows}
    if not same:
        return (
            f"{before.folder} and {after.folder} share no image; compare runs that were made from "
            "the same files"
        )
    labels = [", ".join(side.collection.labels[:4]) for side in (before, after)]
    return (
        f"{before.folder} and {after.folder} share {len(same)} images but under other labels "
        f"({labels[0]}; {labels[1]}); compare runs made with the same --label and --bin"
    )


def _partly(sides: Sequence[Side], n_shared: int) -> Iterator[str]:
    """What the reader must know of images that not all runs have."""
    others = "the other run" if len(sides) == 2 else "every other run"
    for side in sides:
        only = len(side.rows) - n_shared
        if only:
            yield (
                f"{only:,} of the {len(side.rows):,} images of {side.name} are not in {others} "
                "under the same label; no figure counts them."
            )


def tops(side: Side, shared: Shared) -> tuple[TopPatches, np.ndarray]:
    """The typical patches on shared images, and their rows in patches.parquet."""
    patches = side.patches
    places = np.array([shared.place.get(key, -1) for key in _keys(patches)], dtype=np.int64)
    typical = np.array(
        [kind == "typical" for kind in patches["selection"].to_pylist()], dtype=bool
    )
    rows = np.flatnonzero(typical & (places >= 0))
    chosen = patches.select(["left", "top", "right", "bottom", "typicality", "cluster"]).take(
        pa.array(rows)
    )
    corners = [chosen[name].to_numpy() for name in ("left", "top", "right", "bottom")]
    top = TopPatches(
        image=places[rows],
        box=np.stack(corners, axis=1).astype(np.int64),
        score=chosen["typicality"].to_numpy().astype(np.float64),
        cluster=chosen["cluster"].to_numpy().astype(np.int64),
    )
    return top, rows


# --------------------------------------------------------------------------- from runs to a page


def _inputs(before: Side, after: Side, shared: Shared, truth: Regions | None) -> ComparisonInputs:
    """Everything that the page shows."""
    correlations, located = _read_maps(before, after, shared, truth)
    (first, first_rows), (second, second_rows) = tops(before, shared), tops(after, shared)
    matches = numbers.match(first, second)
    date = time.strftime("%Y-%m-%d")
    return ComparisonInputs(
        before=_compared(before, first_rows[matches.before], date),
        after=_compared(after, second_rows[matches.after], date),
        agreement=numbers.agreements(shared.images, first, second, correlations, SEED),
        localisation=numbers.localisations(shared.images, located, SEED),
        shown=tuple(_shown(shared, before, first, second, correlations)),
        notes=shared.notes,
        version=__version__,
        date=date,
        regions=truth.path.name if truth else "",
    )


def _compared(side: Side, found: np.ndarray, date: str) -> ComparedRun:
    return ComparedRun(
        name=side.name,
        inputs=report_inputs(side.mining, date),
        settings=side.settings(),
        found=frozenset(found.tolist()),
    )


def _read_maps(
    before: Side, after: Side, shared: Shared, regions: Regions | None
) -> tuple[np.ndarray, list[Located]]:
    """Correlation of the two maps of each image, and both against truth where there is any.

    The maps are those against the null, which every run has.
    """
    correlations, located = np.full(len(shared.keys), np.nan), []
    truth = regions and regions.among(names_of_images(before.collection, after.collection))
    with task("Comparing maps", len(shared.keys)) as advance:
        for place in range(len(shared.keys)):
            first, second = (
                side.maps[int(rows[place])]["null"]
                for side, rows in zip((before, after), shared.rows, strict=True)
            )
            correlations[place] = numbers.map_correlation(first, second)
            mask = None if truth is None else truth_of(before, shared, place, truth)
            if mask is not None and mask.any():
                located.append(numbers.located(place, first, second, mask))
            advance(1)
    if regions is not None and not located:
        raise DataError(no_truth(regions, before, shared))
    return correlations, located


def names_of_images(*collections: ImageCollection) -> list[tuple[str, ...]]:
    """What every image of some collections is called: its image_id, then its file names."""
    names: dict[str, dict[str, None]] = {}
    for collection in collections:
        columns = (collection.table[name].to_pylist() for name in ("image_id", "file_name"))
        for image_id, file_name in zip(*columns, strict=True):
            names.setdefault(image_id, {})[file_name] = None
    return [(image_id, *files) for image_id, files in names.items()]


def truth_of(side: Side, shared: Shared, place: int, truth: Regions) -> np.ndarray | None:
    """The mask of an image for its label, or None where nothing is known of it."""
    image_id, label = shared.keys[place]
    if not truth.has([image_id], label):
        return None
    size = int(shared.images.width[place]), int(shared.images.height[place])
    try:
        return truth.mask([image_id], label, size, numbers.truth_shape(*size))
    except DataError as error:
        name = side.collection.table["file_name"][int(shared.rows[0][place])].as_py()
        raise DataError(f"{truth.path}, {name}: {error}") from error


def no_truth(truth: Regions, before: Side, shared: Shared) -> str:
    """What to say where no region belongs to any of the images."""
    named = truth.names[0]
    own = before.collection.table["file_name"][int(shared.rows[0][0])].as_py()
    labels = ", ".join(repr(label) for label in truth.labels[:4])
    return (
        f"{truth.path}: none of its regions belongs to an image and label of these runs; it names "
        f"{named!r} and the labels {labels}, the runs {own!r} and the labels "
        f"{', '.join(map(repr, shared.images.labels[:4]))}"
    )


def _shown(
    shared: Shared,
    side: Side,
    before: TopPatches,
    after: TopPatches,
    correlations: np.ndarray,
) -> Iterator[ShownImage]:
    """Of each label the images whose maps differ most, and other images that are most typical."""
    images = shared.images
    typical = np.isin(np.arange(len(images.label)), np.union1d(before.image, after.image))
    ranking = numbers.most_typical(images, before, after)
    for number in range(len(images.labels)):
        own = images.label == number
        changed = numbers.most_changed(correlations, typical & own, MOST_IMAGES)
        best = ranking[own[ranking] & ~np.isin(ranking, changed)][:MOST_IMAGES]
        for reason, places in (("changed", changed), ("typical", best)):
            for place in places:
                yield _shown_image(shared, side, int(place), reason, float(correlations[place]))


def _shown_image(
    shared: Shared, side: Side, place: int, reason: str, correlation: float
) -> ShownImage:
    image_id, label = shared.keys[place]
    return ShownImage(
        image_id=image_id,
        label=label,
        file_name=side.collection.table["file_name"][int(shared.rows[0][place])].as_py(),
        width=int(shared.images.width[place]),
        height=int(shared.images.height[place]),
        reason=reason,
        correlation=correlation,
    )
