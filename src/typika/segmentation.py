"""A run's images and translations, segmented: what changes with the label (`typika trends`)."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from typika import __version__, parallel, ranks
from typika import config as settings
from typika.collection.class_masks import CLASSES, ClassMasks, is_masks
from typika.collection.images import ImageCollection
from typika.collection.parallel import ParallelCollection, source_rows
from typika.console import warn
from typika.errors import ConfigError, DataError
from typika.mining.segmenters import Segmenter, TransformersSegmenter
from typika.mining.segments import (
    Facts,
    OfMasks,
    OfPixels,
    Segmenting,
    Source,
    gather,
    kept_numbers,
    measure,
    segment,
)
from typika.mining.trends import TrendsConfig, find_trends, trend_table
from typika.report.html import write_trends
from typika.report.pictures import shrink
from typika.report.trends import SHOWN_SIDE, build_trends, examples
from typika.report.trends_records import Example, ShownPair, TrendsInputs
from typika.run import Run, Stage
from typika.tables import read_parquet, write_csv, write_parquet, write_table
from typika.translation import PARALLEL
from typika.workflow import MiningRun, recorded

PAGE, SEGMENTS = "trends.html", "segments"
NEVER = b"typika.never"  # key in the schema of measures.parquet
NO_SEGMENTER = (
    "no segmenter; pass --segmenter with a transformers segmentation model (a folder, or "
    "owner/name on the hub) or with a folder of ready masks (originals/, translations/, "
    f"{CLASSES}); in Python, any function: typika.trends(run, SEGMENTER)"
)


@dataclass(frozen=True)
class TrendsRun:
    """The folder of what changes when the label changes."""

    folder: Path

    @property
    def page(self) -> Path:
        """The page, one self-contained HTML file."""
        return self.folder / PAGE

    @cached_property
    def trends(self) -> pa.Table:
        """One row for each label, class and measure that was compared."""
        return read_parquet(self.folder / "trends.parquet")

    @cached_property
    def measures(self) -> pa.Table:
        """One row for each class of each image and translation."""
        return read_parquet(self.folder / "measures.parquet")


def configure(*sources: settings.Values) -> TrendsConfig:
    """The settings. Raises ConfigError for one that is not known, or a value that cannot be."""
    return settings.build(TrendsConfig, *sources)


def trends(
    run: str | Path | MiningRun,
    segmenter: str | Path | Segmenter = "",
    translations: str | Path | None = None,
    out: str | Path | None = None,
    *,
    config: TrendsConfig | None = None,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> TrendsRun:
    """Measure which classes a segmenter finds more or less of where images are translated.

    run: a run whose images have been translated. segmenter: folder or hub name of a transformers
    segmentation model; a folder of ready masks (`collection/class_masks.py`); or a function from
    an image to a `Segmentation`, which is known by its name alone, so give another `out` to
    another one. translations: folder of the parallel collection, `RUN/translate/parallel` by
    default. out: `RUN/trends` by default; gets trends.html, tables as Parquet and CSV, and every
    segmentation, so that no image is segmented twice.

    Raises:
        ConfigError: no segmenter, no translations, or `out` was made with other settings.
        DataError: no image has a segmentation beside one of its translations.
        ModelError: the model cannot be loaded, or does not segment.
    """
    work = opened(run, segmenter, translations, out, config, workers, device)
    relative = os.path.relpath(work.folder.resolve(), work.out.resolve())
    facts = {"run": Path(relative).as_posix()}
    with Run.create(work.out, work.config, facts=facts, overwrite=overwrite) as record:
        _stages(record, work)
    ranks.leave()
    return TrendsRun(work.out)


@dataclass(frozen=True)
class Work:
    """What is to be segmented, by what, and how it is tested.

    causes: what decides a segmentation, beside what it is made from.
    """

    folder: Path  # of the run
    segmenting: Segmenting
    config: TrendsConfig
    causes: Mapping[str, str]
    out: Path
    workers: int
    seed: int


def opened(
    run: str | Path | MiningRun,
    segmenter: str | Path | Segmenter,
    translations: str | Path | None,
    out: str | Path | None,
    config: TrendsConfig | None,
    workers: int | None,
    device: str,
) -> Work:
    """The run, its translations and the segmenter. Raises as `trends`."""
    folder = run.folder if isinstance(run, MiningRun) else Path(run)
    _, mining = recorded(folder)
    collection = MiningRun(folder).collection
    root = Path(translations) if translations else folder / "translate" / PARALLEL
    found = ParallelCollection.read(root)
    unknown = sorted({*found.labels} - {*collection.labels})
    if unknown:
        raise DataError(
            f"{root}: holds the label {unknown[0]!r}, which {folder} has not; translate that run"
        )
    mined = collection.in_split(mining.collection.mine)
    drawn, ids = set(found.table["source"].to_pylist()), collection.table["image_id"].to_pylist()
    rows = tuple(row for row in source_rows(collection, mined) if ids[row] in drawn)
    if not rows:
        raise DataError(
            f"{root}: holds no translation of an image of {folder}; run `typika translate` on it"
        )
    config = config or TrendsConfig()
    if isinstance(segmenter, str | Path):
        config = replace(config, segmenter=str(segmenter) or config.segmenter)
        source, causes = _named_source(config.segmenter, collection, found, device)
    else:
        name = getattr(segmenter, "__qualname__", type(segmenter).__qualname__)
        config = replace(config, segmenter=f"the function {name}")
        source, causes = OfPixels(segmenter), {"function": name}
    place = Path(out) if out else folder / "trends"
    count = workers or parallel.default_workers()
    if isinstance(source, OfPixels) and isinstance(source.segmenter, TransformersSegmenter):
        count = source.segmenter.workers(count)
    segmenting = Segmenting(collection, found, rows, source, place / SEGMENTS)
    return Work(folder, segmenting, config, causes, place, count, mining.seed)


def _named_source(
    name: str, collection: ImageCollection, translations: ParallelCollection, device: str
) -> tuple[Source, Mapping[str, str]]:
    """What a name means, and what decides its answers."""
    if not name:
        raise ConfigError(NO_SEGMENTER)
    if is_masks(Path(name)):
        masks = ClassMasks.open(Path(name), collection, translations.images)
        return OfMasks(masks), {"classes": masks.digest}
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise ConfigError(
            f"{name}: neither a transformers model (no config.json) nor a folder of ready masks "
            f"(no {CLASSES}); {NO_SEGMENTER.partition('; ')[2]}"
        )
    model = TransformersSegmenter.open(name, device)
    return OfPixels(model), {"model": model.digest}


def plan(work: Work) -> list[str]:
    """What `trends` would do, in plain sentences."""
    places = work.segmenting.places
    originals = sum(original for _, original in places)
    kept = len(list(work.segmenting.folder.glob("*.png")))
    return [
        f"{originals:,} images with {len(places) - originals:,} translations to "
        f"{len(work.segmenting.translations.labels)} labels",
        f"cost: {len(places):,} images to segment, {kept:,} segmentations are kept from before",
    ]


def _stages(record: Run, work: Work) -> None:
    segmenting, folder = work.segmenting, record.folder
    translations, source = segmenting.translations, segmenting.source

    def clear() -> None:
        shutil.rmtree(segmenting.folder, ignore_errors=True)

    record.stage(Stage(name="segmenter", causes=work.causes, outputs=()), clear)

    def make() -> None:
        index = segment(segmenting, work.workers)
        write_parquet(index, folder / "segments.parquet")
        left_out = index.filter(pc.not_equal(index["reason"], ""))
        write_csv(left_out.select(["file_name", "reason"]), folder / "skipped.csv")

    causes: dict[str, Any] = {
        "collect": Run.read(work.folder).output_digest("collect"),
        "rows": list(segmenting.rows), "translations": translations.fingerprint(),
        "masks": source.masks.fingerprint() if isinstance(source, OfMasks) else [], **work.causes,
    }  # fmt: skip
    outputs: tuple[str, ...] = ("segments.parquet", "skipped.csv")
    record.stage(Stage(name="segment", causes=causes, outputs=outputs), make)

    def count() -> None:
        found, never = measure(segmenting, read_parquet(folder / "segments.parquet"), work.config)
        found = found.replace_schema_metadata({NEVER: str(never)})
        write_table(found, folder / "measures.parquet")

    causes = {"segment": record.output_digest("segment"), "instances": work.config.instances,
              "least area": work.config.least_area}  # fmt: skip
    outputs = ("measures.parquet", "measures.csv")
    record.stage(Stage(name="measure", causes=causes, outputs=outputs), count)
    causes = {**{name: record.output_digest(name) for name in ("segment", "measure")},
              "seed": work.seed,
              "config": settings.as_values(work.config)}  # fmt: skip
    outputs = ("trends.parquet", "trends.csv", PAGE)
    record.stage(
        Stage(name="report", causes=causes, outputs=outputs), lambda: _report(record, work)
    )


def _report(record: Run, work: Work) -> None:
    """The last stage: test, write the tables, write the page."""
    folder = record.folder
    index = read_parquet(folder / "segments.parquet")
    table = read_parquet(folder / "measures.parquet")
    measured, sources = gather(work.segmenting, index, table)
    if not sources:
        reasons = [row for row in index.to_pylist() if row["reason"]]
        raise DataError(
            f"{work.config.segmenter}: no image has a segmentation beside one of its translations "
            f"({reasons[0]['file_name']}: {reasons[0]['reason']}); see {folder / 'skipped.csv'}"
        )
    if not measured.classes:
        raise DataError(f"{work.config.segmenter}: finds no class in any image; choose another")
    found = find_trends(measured, work.config, work.seed, work.workers)
    tested = trend_table(found.trends)
    write_table(tested, folder / "trends.parquet")
    notes = tuple(_notes(work, index))
    for note in notes:
        warn(note)
    inputs = TrendsInputs(
        name=work.folder.resolve().name,
        segmenter=work.config.segmenter,
        trends=found,
        alpha=work.config.alpha,
        n_images=len(sources),
        n_translations=sum(not row["original"] for row in index.to_pylist() if not row["reason"]),
        never=int((table.schema.metadata or {}).get(NEVER, b"0")),
        shown=tuple(_shown(work, index, sources, examples(found, measured))),
        facts=_facts(work),
        notes=notes,
        version=__version__,
        date=time.strftime("%Y-%m-%d"),
    )
    write_trends(build_trends(inputs), folder / PAGE)


def _facts(work: Work) -> dict[str, str]:
    config = work.config
    areas = f"connected areas of at least {config.least_area:.2%} of the image"
    own = f"as the segmenter tells them apart, else {areas}"
    return {
        "Segmenter": config.segmenter,
        "Instances": own if config.instances == "own" else areas,
        "Resamplings": f"{config.resamplings:,}",
        "Seed": str(work.seed),
    }


def _notes(work: Work, index: pa.Table) -> Iterator[str]:
    """What a reader must know before anything else, as far as it is about files."""
    left_out = [row for row in index.to_pylist() if row["reason"]]
    if left_out:
        names = ", ".join(f"{row['file_name']} ({row['reason']})" for row in left_out[:3])
        yield (
            f"Images and translations left out, all named in skipped.csv: {len(left_out):,}, such "
            f"as {names}."
        )
    known = set(work.segmenting.collection.table["image_id"].to_pylist())
    strange = set(work.segmenting.translations.table["source"].to_pylist()) - known
    if strange:
        yield f"Images whose translations are not of this run and do not count: {len(strange):,}."
    source = work.segmenting.source
    if isinstance(source, OfMasks) and source.masks.strangers:
        strangers = source.masks.strangers
        yield f"Masks that belong to no image: {len(strangers):,}, such as {strangers[0]}."


def _shown(
    work: Work, index: pa.Table, sources: tuple[str, ...], wanted: tuple[Example, ...]
) -> Iterator[ShownPair]:
    """The pictures of the examples, with where the class is."""
    rows = {(row["source"], "" if row["original"] else row["label"]): row
            for row in index.to_pylist()}  # fmt: skip
    for one in wanted:
        pair = rows[sources[one.image], ""], rows[sources[one.image], one.target]
        before, after = (_marked(work, row, one.name) for row in pair)
        yield ShownPair(one, pair[0]["file_name"], pair[0]["label"], before, after)


def _marked(work: Work, row: Mapping[str, Any], name: str) -> tuple[Image.Image, np.ndarray]:
    """An image, small, and where on it the segmenter sees a class."""
    images = work.segmenting.images(original=row["original"])
    small = shrink(images.load(row["place"], draft=SHOWN_SIDE), SHOWN_SIDE)
    path = work.segmenting.path(row["key"])
    numbers = [number for number, own in enumerate(Facts.read(path).names) if own == name]
    there = Image.fromarray(np.isin(kept_numbers(path), numbers))
    return small, np.asarray(there.resize(small.size, Image.Resampling.NEAREST))
