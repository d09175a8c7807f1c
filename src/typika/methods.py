"""Several methods over one collection: one table and one picture; `compare_methods`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from typika import __version__
from typika.collection.regions import Regions
from typika.comparison import (
    SEED,
    Shared,
    Side,
    names_of_images,
    names_of_runs,
    no_truth,
    page_path,
    tops,
    truth_of,
)
from typika.console import task, warn
from typika.errors import ConfigError, DataError
from typika.evaluation import area_fraction, average_precision, pointing_hit
from typika.mining import methods as numbers
from typika.mining.baseline import wording
from typika.mining.comparison import TopPatches
from typika.mining.methods import Method, MethodFigures, Verdicts
from typika.mining.patches import upsample
from typika.mining.scores import score_path
from typika.report.html import write_methods
from typika.report.inputs import how_scored
from typika.report.methods import MOST_CENTRES, build_methods, methods_table
from typika.report.methods_records import Centre, MethodRun, MethodsInputs
from typika.report.strips import write_strips
from typika.tables import read_parquet, write_csv
from typika.workflow import MiningRun

LONGEST_NAME = 60  # characters of the default folder


@dataclass(frozen=True)
class MethodsComparison:
    """Several methods compared: the page, and its figures."""

    page: Path
    table: pa.Table  # one row per run and label, as in methods.csv


def compare_methods(
    runs: Sequence[str | Path | MiningRun],
    regions: str | Path | None = None,
    out: str | Path | None = None,
) -> MethodsComparison:
    """Write one table and one picture of what several runs over the same images found.

    runs: two or more; the others are held against the first. regions: boxes or masks to hold maps
    and patches against (`collection/regions.py`). out: an .html file, or a folder for
    methods.html; below compare/ by default. methods.csv, .png and .pdf lie beside the page.

    Raises:
        ConfigError: fewer than two runs, a folder that is no finished run, or `out` cannot be
            written to.
        DataError: no image is in all runs under one label, or `regions` cannot be used.
    """
    folders = [run.folder if isinstance(run, MiningRun) else Path(run) for run in runs]
    if len(folders) < 2:
        raise ConfigError("a comparison needs two runs or more; name their folders")
    names = names_of_runs(folders)
    sides = [Side.open(name, folder) for name, folder in zip(names, folders, strict=True)]
    page = page_path(out, _folder_name(names), "methods.html")
    shared = Shared.of(*sides)
    for note in shared.notes:
        warn(note)
    inputs = _inputs(sides, shared, None if regions is None else Regions.read(Path(regions)))
    table = methods_table(inputs.runs)
    write_methods(build_methods(inputs), page)
    write_csv(table, page.with_name("methods.csv"))
    write_strips(inputs, page.parent)
    return MethodsComparison(page, table)


def _folder_name(names: Sequence[str]) -> str:
    everything = "-".join(names)
    short = f"{names[0][:LONGEST_NAME]}-and-{len(names) - 1}-more"
    return everything if len(everything) <= LONGEST_NAME else short


def _inputs(sides: Sequence[Side], shared: Shared, regions: Regions | None) -> MethodsInputs:
    patches = [tops(side, shared) for side in sides]
    area, measured = _against(sides, shared, [top for top, _ in patches], regions)
    methods = [
        _method(side, shared, *found, place, one)
        for place, (side, found, one) in enumerate(zip(sides, patches, measured, strict=True))
    ]
    figures = numbers.compare_methods(shared.images, methods, area, SEED)
    return MethodsInputs(
        runs=tuple(_run(side, rows) for side, rows in zip(sides, figures, strict=True)),
        labels=shared.images.labels,
        notes=shared.notes,
        version=__version__,
        date=time.strftime("%Y-%m-%d"),
        regions=regions.path.name if regions else "",
    )


def _run(side: Side, figures: list[MethodFigures]) -> MethodRun:
    config = side.mining.config
    instead = wording(config)
    scored = how_scored(config.score)
    return MethodRun(
        name=side.name,
        method=instead.name if instead else "diffusion mining",
        model=(instead and instead.model) or side.mining.model.description,
        ranked=instead.ranked if instead else scored,
        figures=tuple(figures),
        centres={row.label: tuple(_centres(side, row.label)) for row in figures if row.label},
    )


def _method(
    side: Side, shared: Shared, top: TopPatches, rows: np.ndarray, place: int, measured: _Measured
) -> Method:
    labels = shared.images.labels
    clusters = MiningRun(side.folder).clusters
    named = clusters["label"].to_pylist()
    return Method(
        top=top,
        rank=side.patches["rank"].to_numpy()[rows].astype(np.int64),
        told=_told(side, shared, place),
        precision=measured.precision,
        pointing=measured.pointing,
        covered=measured.covered,
        by_chance=measured.by_chance,
        n_clusters={number: named.count(label) for number, label in enumerate(labels)},
        verdicts=_verdicts(side, clusters, labels),
    )


def _told(side: Side, shared: Shared, place: int) -> np.ndarray:
    """1 or 0 for each held-out image that the method gave a label, else nan.

    A baseline that chooses other patches of a model's maps tells nothing of its own.
    """
    found = np.full(len(shared.keys), np.nan)
    baseline = side.mining.config.baseline
    if baseline.name and not baseline.of_maps:
        return found
    wanted = {int(row): number for number, row in enumerate(shared.rows[place])}
    label = side.collection.label_index
    for part in side.parts:
        table = read_parquet(score_path(side.folder, part))
        if "predicted" not in table.column_names:
            continue
        columns = (table[name].to_pylist() for name in ("row", "predicted", "trained_on"))
        for row, predicted, trained_on in zip(*columns, strict=True):
            if predicted is not None and not trained_on and row in wanted:
                found[wanted[row]] = float(predicted == label[row])
    return found


def _verdicts(
    side: Side, clusters: pa.Table, labels: Sequence[str]
) -> Mapping[int, Verdicts] | None:
    """How the clusters held on unseen images; None where the run did not test them."""
    path = side.folder / "verdicts.parquet"
    if not path.is_file():
        return None
    tested = {(row["label"], row["cluster"]): row for row in read_parquet(path).to_pylist()}
    found = {}
    for number, label in enumerate(labels):
        own = [row for row in clusters.to_pylist() if row["label"] == label]
        own.sort(key=lambda row: row["rank"])
        rows = [tested.get((label, row["cluster"]), {}) for row in own]
        aucs = tuple(np.nan if row.get("auc") is None else float(row["auc"]) for row in rows)
        significant = sum(row.get("verdict") == "significant" for row in rows)
        found[number] = Verdicts(n_significant=significant, auc=aucs)
    return found


def _centres(side: Side, label: str) -> Iterator[Centre]:
    """The patch closest to the centre of each of a label's first clusters."""
    import pyarrow.compute as pc

    own = pc.and_(pc.equal(side.patches["label"], label),
                  pc.equal(side.patches["selection"], "typical"))  # fmt: skip
    columns = ["cluster", "distance", "rank", "file_name", "thumbnail"]
    patches = side.patches.select(columns).filter(own)
    order = np.lexsort((patches["rank"].to_numpy(), patches["distance"].to_numpy()))
    cluster = patches["cluster"].to_numpy()[order]
    rows = [row for row in MiningRun(side.folder).clusters.to_pylist() if row["label"] == label]
    for row in sorted(rows, key=lambda row: row["rank"])[:MOST_CENTRES]:
        members = np.flatnonzero(cluster == row["cluster"])
        if len(members):
            central = int(order[members[0]])
            yield Centre(
                rank=row["rank"],
                size=row["size"],
                jpeg=patches["thumbnail"][central].as_py()["bytes"],
                file_name=patches["file_name"][central].as_py(),
            )


# ------------------------------------------------------------------------------ against regions


@dataclass(frozen=True)
class _Measured:
    """One method held against regions, as in `mining.methods.Method`; nan where there is none."""

    precision: np.ndarray
    pointing: np.ndarray
    covered: np.ndarray
    by_chance: np.ndarray

    @classmethod
    def unknown(cls, n_images: int, n_patches: int) -> _Measured:
        sizes = (n_images, n_images, n_patches, n_patches)
        return cls(*(np.full(size, np.nan) for size in sizes))


def _against(
    sides: Sequence[Side],
    shared: Shared,
    patches: Sequence[TopPatches],
    regions: Regions | None,
) -> tuple[np.ndarray, list[_Measured]]:
    """Area of the regions of each image, and every method's maps and patches held against them."""
    n_images = len(shared.keys)
    area = np.full(n_images, np.nan)
    measured = [_Measured.unknown(n_images, len(top.image)) for top in patches]
    if regions is None:
        return area, measured
    truth = regions.among(names_of_images(*(side.collection for side in sides)))
    with task("Measuring", n_images) as advance:
        for place in range(n_images):
            mask = truth_of(sides[0], shared, place, truth)
            if mask is not None and mask.any():
                area[place] = area_fraction(mask)
                for number, (side, top) in enumerate(zip(sides, patches, strict=True)):
                    row = int(shared.rows[number][place])
                    _measure(measured[number], side, shared, place, row, top, mask)
            advance(1)
    if not np.isfinite(area).any():
        raise DataError(no_truth(regions, sides[0], shared))
    return area, measured


def _measure(
    into: _Measured,
    side: Side,
    shared: Shared,
    place: int,
    row: int,
    top: TopPatches,
    mask: np.ndarray,
) -> None:
    values = _own_map(side, row)
    if values is not None:
        pixels = upsample(values, *mask.shape)
        into.precision[place] = average_precision(pixels.ravel(), mask.ravel())
        into.pointing[place] = float(pointing_hit(pixels, mask))
    own = np.flatnonzero(top.image == place)
    size = int(shared.images.width[place]), int(shared.images.height[place])
    into.covered[own], into.by_chance[own] = numbers.coverage(mask, top.box[own], *size)


def _own_map(side: Side, row: int) -> np.ndarray | None:
    """The map that ranked the patches; None where it did not."""
    config = side.mining.config
    values = side.maps[row][config.ranked_by]
    if config.baseline.name == "random":
        return None
    return -values if config.baseline.name == "negative" else values
