"""A finished run asked what is typical against what: `typika contrast` and `typika.contrast`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from typika import __version__, parallel
from typika.collection.images import ImageCollection
from typika.errors import ConfigError
from typika.files import text_digest
from typika.mining.contexts import (
    ContrastConfig,
    Contrasting,
    ContrastMaps,
    contrasts_of,
    texts_of,
)
from typika.mining.contrast import confusion
from typika.mining.pipeline import Mining
from typika.mining.scores import mined_parts, score_path
from typika.mining.stages import rows_of
from typika.report.contrast import MOST_SECTIONS, build_contrast
from typika.report.contrast_records import Answers, ContrastInputs, ShownContrast
from typika.report.html import write_contrast
from typika.report.inputs import how_scored
from typika.report.pictures import shrink
from typika.run import Run, Stage
from typika.tables import read_parquet, write_csv
from typika.workflow import MiningRun, recorded

SHOWN_SIDE = 300  # pixels of the longer side of an image that is shown
SHOWN = 3  # images of a contrast

Texts = str | Sequence[str]


@dataclass(frozen=True)
class ContrastRun:
    """The folder of contrasts of a run, and what is in it."""

    folder: Path

    @property
    def page(self) -> Path:
        """The page, one self-contained HTML file."""
        return self.folder / "contrast.html"

    @cached_property
    def patches(self) -> pa.Table:
        """One row per patch, with the contrast that it is typical in."""
        return read_parquet(self.folder / "patches.parquet")

    @cached_property
    def clusters(self) -> pa.Table:
        """One row per cluster, most typical first within each contrast."""
        return read_parquet(self.folder / "clusters.parquet")


def contrast(
    run: str | Path | MiningRun,
    against: Texts,
    out: str | Path | None = None,
    *,
    classify: bool = True,
    workers: int | None = None,
    device: str = "auto",
) -> ContrastRun:
    """Find what is typical of each label of a run against another, or against its parent.

    run: folder of a run that has been scored by a diffusion model.
    against: a label; "PARENT" for a tree of labels, which the column `label_path` spells as in
        Europe/France/Paris; any text, if the model reads text; or several of these.
    out: folder; `RUN/contrast/AGAINST` by default. Gets contrast.html, patches, clusters and
        confusion tables. An unfinished one goes on where it stopped.
    classify: score every image under every label, for the diffusion classifier; without, under
        those labels alone that are asked for.
    workers: processes; the result does not depend on it. device: of Stable Diffusion.

    Raises:
        ConfigError: no such run, one of a baseline, or a text that its model cannot read.
        DataError: PARENT, and the collection has no tree of labels.
    """
    folder = run.folder if isinstance(run, MiningRun) else Path(run)
    config = ContrastConfig(
        against=(against,) if isinstance(against, str) else tuple(against), classify=classify
    )
    mining = _open(folder, workers or parallel.default_workers(), device)
    texts = texts_of(config.against, mining.collection, mining.model.reads_text)
    asked = contrasts_of(config.against, mining.collection)  # before a folder is made
    place = Path(out) if out is not None else folder / "contrast" / folder_name(config)
    facts = {"run": Path(os.path.relpath(folder.resolve(), place.resolve())).as_posix(),
             "device": mining.model.device()}  # fmt: skip
    with Run.create(place, config, facts=facts) as own:
        job = Contrasting(mining, own, config, asked, texts)
        job.advance()
        _write_page(job)
    return ContrastRun(place)


def _open(folder: Path, workers: int, device: str) -> Mining:
    """A scored run. Raises ConfigError where there is none, or one without a diffusion model."""
    source, config = recorded(folder)
    if config.baseline.name:
        raise ConfigError(
            f"{folder}: is a run of the baseline {config.baseline.name}, and contrasts need the "
            "contexts of a diffusion model; pass the run of the model itself"
        )
    run = Run.read(folder)
    if "score" not in run.seconds():
        raise ConfigError(f"{folder}: not scored yet; run `typika score {folder}`")
    return Mining(run, source, config, workers, device)


def folder_name(config: ContrastConfig) -> str:
    """A name that any file system takes and that no other question gets."""
    text = "+".join(config.against)
    plain = re.sub(r"[^\w+.-]+", "-", text, flags=re.ASCII).strip("-.")[:60]
    plain += "" if config.classify else "-plain"
    return plain if plain == text else f"{plain}-{text_digest(text)[:6]}"


# ---------------------------------------------------------------------------------------- page


def _write_page(job: Contrasting) -> None:
    """The last stage: contrast.html and confusion.csv."""
    run = job.run
    causes = {"cluster": run.output_digest("cluster"), "score": run.output_digest("score")}
    outputs = ("contrast.html", *(("confusion.csv",) if job.config.classify else ()))

    def compute() -> None:
        inputs = _inputs(job)
        if inputs.answers is not None:
            write_csv(confusion_table(inputs.answers), run.path("confusion.csv"))
        write_contrast(build_contrast(inputs), run.path("contrast.html"))

    run.stage(Stage(name="report", causes=causes, outputs=outputs), compute)


def _inputs(job: Contrasting) -> ContrastInputs:
    mining, collection = job.mining, job.mining.collection
    mined = collection.in_split(mining.config.collection.mine)
    label = collection.label_index[mined]
    table = read_parquet(job.folder / "patches.parquet")
    tree = tuple(number for number, one in enumerate(job.contrasts) if one.of_tree)
    return ContrastInputs(
        name=mining.folder.resolve().name,
        against=job.config.against,
        subjects=[(one.subject, one.against, int(np.isin(label, one.labels).sum()))
                  for one in job.contrasts],
        patches=table,
        clusters=read_parquet(job.folder / "clusters.parquet"),
        shown=tuple(_shown(job, collection, table)),
        answers=_answers(job, collection) if job.config.classify else None,
        facts={
            "Model": mining.model.description,
            "Scored": how_scored(mining.config.score).partition(", ")[2],
            "Contexts": f"{len(collection.labels) + len(job.texts):,} and the null",
            "Seed": str(mining.config.seed),
            "Device": str(job.run.manifest["device"]),
        },
        tree=tree,
        version=__version__,
        date=time.strftime("%Y-%m-%d"),
    )  # fmt: skip


def _shown(
    job: Contrasting, collection: ImageCollection, patches: pa.Table
) -> Iterator[ShownContrast]:
    """Of each contrast the images of its best patches."""
    maps, row = ContrastMaps(job.folder), rows_of(collection, patches)
    contrast = patches["contrast"].to_numpy()
    typical = np.array(patches["selection"].to_pylist()) == "typical"
    for number in range(min(len(job.contrasts), MOST_SECTIONS)):
        own = np.flatnonzero(typical & (contrast == number))
        own = own[np.argsort(patches["rank"].to_numpy()[own], kind="stable")]
        for image in list(dict.fromkeys(row[own].tolist()))[:SHOWN]:
            yield ShownContrast(
                contrast=number,
                file_name=collection.table["file_name"][image].as_py(),
                image=shrink(collection.load(image, draft=SHOWN_SIDE), SHOWN_SIDE),
                values=maps.read(image, number)[0],
            )


def _answers(job: Contrasting, collection: ImageCollection) -> Answers:
    """What the classifier says of held-out images, or of all where none are."""
    parts = mined_parts(job.mining, collection)
    columns = ["row", "trained_on", "image_probability", "cell_probability"]
    table = pa.concat_tables([read_parquet(score_path(job.folder, part), columns)
                              for part in parts])  # fmt: skip
    truth = collection.label_index[table["row"].to_numpy()]
    image, cells = (np.stack(table[name].to_pylist()).astype(np.float64) for name in columns[2:])
    held_out = ~table["trained_on"].to_numpy(zero_copy_only=False)
    right = image.argmax(axis=1) == truth
    tried = held_out if held_out.any() else np.ones(len(truth), dtype=bool)
    n_labels = len(collection.labels)
    return Answers(
        labels=collection.labels,
        image=confusion(truth[tried], image[tried], n_labels),
        cells=confusion(truth[tried], cells[tried], n_labels),
        told=float(right[tried].mean()),
        n_images=tuple(np.bincount(truth[tried], minlength=n_labels).tolist()),
        held_out=bool(held_out.any()),
    )


def confusion_table(answers: Answers) -> pa.Table:
    """One row per true label and answer: mean probability of whole images and of cells."""
    rows = [
        {
            "label": label,
            "answer": answer,
            "n_images": answers.n_images[truth],
            "image_probability": float(answers.image[truth, given]),
            "cell_probability": float(answers.cells[truth, given]),
        }
        for truth, label in enumerate(answers.labels)
        for given, answer in enumerate(answers.labels)
    ]
    return pa.Table.from_pylist(rows)
