"""Elements that stay typical when images are translated: `typika cotypical`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from typika import __version__, parallel, ranks
from typika import config as settings
from typika.collection.images import ImageCollection
from typika.collection.parallel import ParallelCollection
from typika.comparison import Side
from typika.console import warn
from typika.errors import ConfigError, DataError
from typika.mining import cotypicality as numbers
from typika.mining.cotypicality import CotypicalityConfig, Parallels
from typika.mining.pipeline import Mining
from typika.mining.stages import thumbnails
from typika.report.cotypicality import build_cotypical, nearest
from typika.report.cotypicality_records import CotypicalInputs
from typika.report.html import write_cotypical
from typika.report.inputs import how_scored
from typika.run import Run, Stage
from typika.tables import read_parquet, write_table
from typika.translation import PARALLEL, trained
from typika.workflow import MiningRun, recorded

PAGE = "cotypical.html"


@dataclass(frozen=True)
class Cotypicality:
    """What stays typical under other labels: the page, and its tables."""

    page: Path
    sequences: pa.Table  # one row per patch of each sequence
    clusters: pa.Table


def configure(run: str | Path | MiningRun, *sources: settings.Values) -> CotypicalityConfig:
    """The settings, clusters as those of the run unless told otherwise.

    Raises:
        ConfigError: no run, a setting that is not known, or a value that cannot be.
    """
    folder = run.folder if isinstance(run, MiningRun) else Path(run)
    own = {"cluster": settings.as_values(recorded(folder)[1].cluster)}
    return settings.build(CotypicalityConfig, own, *sources)


def cotypical(
    run: str | Path | MiningRun,
    translations: str | Path | None = None,
    out: str | Path | None = None,
    *,
    config: CotypicalityConfig | None = None,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Cotypicality:
    """Rank and group places of images by how typical they stay under every label.

    run: a scored run, of any kind of model. translations: folder of its parallel collection,
    `RUN/translate/parallel` by default. out: folder, `RUN/cotypical` by default; gets
    cotypical.html, sequences and clusters as Parquet and CSV, and scores/. An interrupted call
    goes on where it stopped.

    Raises:
        ConfigError: the run is not scored, there are no translations, or `out` was made with
            other settings.
        DataError: no image of the run is translated to every label.
    """
    folder = run.folder if isinstance(run, MiningRun) else Path(run)
    config = config or configure(folder)
    parallels = opened(folder, translations, out, workers, device)
    place = parallels.folder.parent
    relative = os.path.relpath(folder.resolve(), place.resolve())
    facts = {"run": Path(relative).as_posix(), "device": parallels.mining.model.device()}
    with Run.create(place, config, facts=facts, overwrite=overwrite) as record:
        _stages(record, parallels, config)
    ranks.leave()
    return Cotypicality(
        place / PAGE, read_parquet(place / "sequences.parquet"),
        read_parquet(place / "clusters.parquet"),
    )  # fmt: skip


def opened(
    folder: Path,
    translations: str | Path | None,
    out: str | Path | None,
    workers: int | None,
    device: str,
) -> Parallels:
    """The run beside its translations. Raises as `cotypical`."""
    mining = trained(folder, workers or parallel.default_workers(), device, drawing=False)
    if mining.config.baseline.of_maps:
        raise ConfigError(
            f"{folder}: is a run of the baseline {mining.config.baseline.name}, which cannot "
            "score translations; pass the run of the diffusion model"
        )
    Side.open(folder.name, folder, "score")  # or it says which command is missing
    root = Path(translations) if translations else folder / "translate" / PARALLEL
    place = Path(out) if out else folder / "cotypical"
    collection = mining.collection
    found = ParallelCollection.read(root)
    unknown = sorted({*found.labels} - {*collection.labels})
    if unknown:
        raise DataError(
            f"{root}: holds the label {unknown[0]!r}, which {folder} has not; translate that run"
        )
    parallels = Parallels(mining, collection, found, place / "scores")
    if not parallels.rows:
        raise DataError(
            f"{root}: no image of {folder} is translated to all of {', '.join(found.labels)}; "
            "run `typika translate` to its end"
        )
    return parallels


def plan(parallels: Parallels) -> list[str]:
    """What `cotypical` would do, in plain sentences."""
    score = parallels.mining.config.score
    translations = sum(place is not None for row in parallels.rows
                       for _, place in parallels.members(row))  # fmt: skip
    return [
        f"{len(parallels.rows)} images with {translations} translations to "
        f"{len(parallels.labels)} labels",
        f"cost: {translations} images to encode and to score with {score.n_draws} draws each",
        *(f"note: {note}" for note in _notes(parallels)),
    ]


def _stages(record: Run, parallels: Parallels, config: CotypicalityConfig) -> None:
    mining, root = parallels.mining, parallels.translations.root
    run, folder = mining.run, record.folder
    causes = {
        **{stage: run.output_digest(stage) for stage in ("collect", "encode", "train", "score")},
        "score settings": settings.as_values(mining.config.score),
        "ranked by": mining.config.ranked_by,
        "translations": parallels.translations.fingerprint(),
        "seed": mining.config.seed,
    }
    stage = Stage(name="score", causes=causes, outputs=("scores",), shared=True)
    record.stage(stage, lambda: numbers.score(parallels))

    def group() -> None:
        sequences, clusters = numbers.group(parallels, numbers.choose(parallels), config)
        for name, table in (("sequences", sequences), ("clusters", clusters)):
            write_table(table, folder / f"{name}.parquet")

    causes = {
        "score": record.output_digest("score"), "config": settings.as_values(config),
        "select": settings.as_values(mining.config.select), "seed": mining.config.seed,
        "duplicates": mining.config.collection.weigh_duplicates,
    }  # fmt: skip
    outputs = tuple(f"{name}.{kind}" for name in ("sequences", "clusters")
                    for kind in ("parquet", "csv"))  # fmt: skip
    record.stage(Stage(name="cluster", causes=causes, outputs=outputs), group)

    def report() -> None:
        for note in _notes(parallels):
            warn(note)
        inputs = _inputs(parallels, folder, config)
        write_cotypical(build_cotypical(inputs), folder / PAGE)

    causes = {"cluster": record.output_digest("cluster"), "root": root.as_posix()}
    record.stage(Stage(name="report", causes=causes, outputs=(PAGE,)), report)


def _notes(parallels: Parallels) -> Iterator[str]:
    known = set(parallels.translations.table["source"].to_pylist())
    left_out = len(known) - len(parallels.rows)
    if left_out:
        yield (
            f"Images left out because they are not translated to all of the "
            f"{len(parallels.labels)} labels, or not of this run: {left_out:,}."
        )


def _inputs(parallels: Parallels, folder: Path, config: CotypicalityConfig) -> CotypicalInputs:
    sequences = read_parquet(folder / "sequences.parquet")
    clusters = read_parquet(folder / "clusters.parquet")
    mining = parallels.mining
    reductions = {"pca": f"{config.dimensions} principal components of each label",
                  "umap": f"UMAP to {config.dimensions} dimensions of each label",
                  "none": "all dimensions of each label"}  # fmt: skip
    facts = {
        "Model": mining.model.description,
        "Translations": f"{len(parallels.translations.table):,}",
        "Patches ranked": how_scored(mining.config.score),
        "Features compared": reductions[config.reduction],
        "Clusters": config.cluster.method,
        "Seed": str(mining.config.seed),
    }
    return CotypicalInputs(
        name=mining.folder.resolve().name,
        labels=parallels.labels,
        sequences=sequences,
        clusters=clusters,
        pictures=_pictures(parallels, sequences),
        n_images=len(parallels.rows),
        facts=facts,
        notes=tuple(_notes(parallels)),
        version=__version__,
        date=time.strftime("%Y-%m-%d"),
    )


def _pictures(parallels: Parallels, sequences: pa.Table) -> Mapping[tuple[int, str, bool], bytes]:
    """The patches of the sequences that the page may show."""
    shown = [one for own in nearest(sequences.to_pylist()).values() for one in own]
    table = sequences.filter(pc.is_in(sequences["sequence"], pa.array(shown, pa.int32())))
    found: dict[tuple[int, str, bool], bytes] = {}
    for original, images in ((True, parallels.collection), (False, parallels.translations.images)):
        own = table.filter(pc.equal(table["original"], original))
        if own.num_rows:
            found |= _cut(parallels.mining, images, own)
    return found


def _cut(
    mining: Mining, images: ImageCollection, patches: pa.Table
) -> dict[tuple[int, str, bool], bytes]:
    names: dict[Any, int] = {}
    for row, name in enumerate(images.table["file_name"].to_pylist()):
        names.setdefault(name, row)
    rows = [names[name] for name in patches["file_name"].to_pylist()]
    cut = thumbnails(mining, images, patches.append_column("row", pa.array(rows, pa.int64())))
    keys = zip(*(patches[name].to_pylist() for name in ("sequence", "label", "original")),
               strict=True)  # fmt: skip
    return {key: cell["bytes"] for key, cell in zip(keys, cut.to_pylist(), strict=True)}
