"""Images under several contexts, and what is typical in the contrasts between them.

Reads tables, calls the pure functions, writes tables. Legend: `k` contexts (the labels, then
texts), `n` units of a noise design, `h w` grid; a *part* is a slice of the collection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from typika import config as settings
from typika.collection.images import ImageCollection
from typika.collection.tree import LabelTree
from typika.diffusion.batches import BatchSize
from typika.diffusion.latents import PART
from typika.diffusion.schedule import Density
from typika.errors import ConfigError
from typika.files import write_text
from typika.mining import stages
from typika.mining.contrast import (
    PARENT,
    Contrast,
    against_context,
    against_parents,
    label_probabilities,
)
from typika.mining.masks import Mask, MaskText
from typika.mining.pipeline import Mining, folds, training_images
from typika.mining.scores import ScoredMaps, mined_parts, mined_rows, score_path, write_scores
from typika.mining.scoring import (
    Scale,
    average,
    combine,
    level_densities,
    open_scales,
    scored_together,
)
from typika.mining.typicality import context_gains
from typika.parallel import Advance, one_thread, run_parts, run_tasks
from typika.run import Run, Stage
from typika.tables import read_parquet, write_table

PILOT = 64  # images from which the mean of every context is taken
SELECTIONS = ("typical", "random")


@dataclass(frozen=True, kw_only=True)
class ContrastConfig:
    """What is asked of a run."""

    # Each a label, PARENT for the tree of labels, or any text if the model reads text.
    against: tuple[str, ...]
    classify: bool = True  # score under every label, for the classifier; else as few as it takes

    def __post_init__(self) -> None:
        if not self.against or not all(text.strip() for text in self.against):
            raise ConfigError(f"against={self.against}: need a label, {PARENT}, or a text")


@dataclass(frozen=True)
class Contrasting:
    """Contrasts under way: the run that is asked, the folder of the answers, and what is asked."""

    mining: Mining
    run: Run  # the folder of the answers
    config: ContrastConfig
    contrasts: tuple[Contrast, ...]
    texts: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where the answers lie."""
        return self.run.folder

    def contexts(self, label: int, n_labels: int) -> tuple[int, ...]:
        """What the images of a label are scored under."""
        asked = {number for one in self.contrasts if label in one.labels
                 for number in one.contexts}  # fmt: skip
        return tuple(sorted(asked | set(range(n_labels)) if self.config.classify else asked))

    def less(self, offset: Float[ndarray, " k"]) -> Contrasting:
        """The same with every context of the tree less its offset."""
        contrasts = (one.less(offset) if one.of_tree else one for one in self.contrasts)
        return replace(self, contrasts=tuple(contrasts))

    def advance(self) -> None:
        """Score, then choose and group, skipping what is done."""
        mining = self.mining
        causes = {
            **{name: mining.run.output_digest(name) for name in ("collect", "encode", "train")},
            "seed": mining.config.seed,
            "score": settings.as_values(mining.config.score),
            "contrast": settings.as_values(self.config),
        }
        scored = Stage(name="score", causes=causes, outputs=("scores",))
        self.run.stage(scored, lambda: score(self))
        select = settings.as_values(mining.config.select)
        causes = {
            "score": self.run.output_digest("score"),
            "null": mining.run.output_digest("score"),
            "select": {**select, "mask": MaskText.parse(mining.config.select.mask).causes},
            "cluster": settings.as_values(mining.config.cluster),
        }
        outputs = tuple(f"{table}.{kind}" for table in ("patches", "clusters")
                        for kind in ("parquet", "csv"))  # fmt: skip
        chosen = Stage(name="cluster", causes=causes, outputs=outputs)
        self.run.stage(chosen, lambda: choose_and_group(self))


def texts_of(
    against: Sequence[str], collection: ImageCollection, reads_text: bool
) -> tuple[str, ...]:
    """What of `against` is neither a label nor the tree.

    Raises:
        ConfigError: there is some, and the model reads no text.
    """
    known = {PARENT, *collection.labels}
    texts = tuple(dict.fromkeys(one for one in against if one not in known))
    if texts and not reads_text:
        labels = collection.labels
        listed = ", ".join(labels[:6]) + (" ..." if len(labels) > 6 else "")
        raise ConfigError(
            f"against={texts[0]!r}: is none of the labels ({listed}), and the embedded model "
            f"reads no text; choose a label or {PARENT}, or mine with a model that reads: "
            "typika mine --model CHECKPOINT"
        )
    return texts


def contrasts_of(against: Sequence[str], collection: ImageCollection) -> tuple[Contrast, ...]:
    """The contrasts that are asked for.

    Raises:
        DataError: the collection has no tree of labels, or one that does not branch.
    """
    labels = collection.labels
    contexts = (*labels, *texts_of(against, collection, reads_text=True))
    found: list[Contrast] = []
    for one in dict.fromkeys(against):
        if one == PARENT:
            found += against_parents(LabelTree.of(collection), len(contexts))
        else:
            found += against_context(labels, contexts.index(one), one, len(contexts))
    return tuple(found)


# --- score --------------------------------------------------------------------------------------


def score(job: Contrasting) -> None:
    """Write the contrasts of every image, and what the classifier says of it, part by part."""
    mining, collection = job.mining, job.mining.collection
    densities = level_densities(mining, collection)
    if any(one.of_tree for one in job.contrasts):
        job = job.less(_offsets(job, collection, densities))
    missing = [part for part in mined_parts(mining, collection)
               if not score_path(job.folder, part).exists()]  # fmt: skip
    run_parts(
        _score_parts, (job, collection, densities), missing,
        workers=mining.model.workers(mining.workers), name="Contrasting",
        size=lambda part: len(mined_rows(mining, collection, part)), on_gpu=mining.model.shared,
    )  # fmt: skip


def _offsets(
    job: Contrasting, collection: ImageCollection, densities: Sequence[Density]
) -> Float[ndarray, " k"]:
    """Mean T(x|c) of each context over images of all labels alike.

    Where a label says nothing its typicality is not zero but a constant of its own, by which
    the children of a node could not be compared.
    """
    path = job.folder / "scores" / "offsets.json"
    if not path.exists():
        task = (job, collection, densities)
        (found,) = run_tasks(_measure_offsets, [task], workers=1, name="Levelling", total=PILOT)
        write_text(path, json.dumps(found) + "\n")
    return np.array(json.loads(path.read_text(encoding="utf-8")))


def _measure_offsets(
    job: Contrasting, collection: ImageCollection, densities: Sequence[Density], advance: Advance
) -> list[float]:
    mined = collection.in_split(job.mining.config.collection.mine)
    labels = np.unique(collection.label_index[mined])
    each = -(-PILOT // len(labels))
    rows = np.concatenate([
        _evenly(np.flatnonzero(mined & (collection.label_index == label)), each)
        for label in labels
    ])  # fmt: skip
    every = tuple(range(len(collection.labels) + len(job.texts)))
    found = []
    for fold in folds(job.mining, collection):
        scorer = ContextScorer.open(job, fold.mining, collection, densities)
        for row in rows[fold.scored[rows]].tolist():
            of_scales = [scorer.gains(scale, [row], every)[0] for scale in scorer.scales]
            found.append(np.mean([one.mean(axis=(1, 2, 3)) for one in of_scales], axis=0))
            advance(1)
    means: list[float] = np.stack(found).mean(axis=0).tolist()
    return means


def _evenly(rows: Int[ndarray, " n"], count: int) -> Int[ndarray, " m"]:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]


def _score_parts(
    job: Contrasting,
    collection: ImageCollection,
    densities: Sequence[Density],
    parts: Iterable[int],
    advance: Advance,
) -> None:
    trained_on = training_images(collection, job.mining.config)
    scorers = [(fold.scored, ContextScorer.open(job, fold.mining, collection, densities))
               for fold in folds(job.mining, collection)]  # fmt: skip
    for part in parts:
        rows = mined_rows(job.mining, collection, part)
        found: dict[int, dict[str, Any]] = {}
        for scored, scorer in scorers:
            own = [row for row in rows if scored[row]]
            labels = [int(collection.label_index[row]) for row in own]
            found |= dict(zip(own, scorer.score(own, labels, advance), strict=True))
        records = [found[row] for row in rows]
        write_scores(job.folder, collection, part, rows, records, trained_on)


@dataclass(frozen=True)
class ContextScorer:
    """What scoring under several contexts needs: a denoiser per scale, and what is asked."""

    job: Contrasting
    scales: tuple[Scale, ...]
    batch: BatchSize
    n_labels: int

    @classmethod
    def open(
        cls,
        job: Contrasting,
        mining: Mining,
        collection: ImageCollection,
        densities: Sequence[Density],
    ) -> ContextScorer:
        """Load the model of a trained run, or of one fold of it."""
        scales = open_scales(mining, collection, densities, job.texts)
        batch = mining.model.batch_size(mining.config.score.n_draws, job.folder)
        return cls(job, scales, batch, len(collection.labels))

    def score(
        self, rows: Sequence[int], labels: Sequence[int], advance: Advance
    ) -> list[dict[str, Any]]:
        """What is stored of some images, each under the contexts of its label."""
        found: dict[int, dict[str, Any]] = {}
        in_turn = self.job.mining.model.in_turn
        for label in sorted(set(labels)):
            own = [row for row, one in zip(rows, labels, strict=True) if one == label]
            contexts = self.job.contexts(label, self.n_labels)
            if not contexts:  # a label that nothing is asked of, with no classifier
                contexts = (label,)
            for group in scored_together(self.scales[0].latents, own, in_turn):
                chosen = [own[place] for place in group]
                gains = [self.gains(scale, chosen, contexts) for scale in self.scales]
                for place, row in enumerate(chosen):
                    of_row = [scale[place] for scale in gains]
                    found[row] = self.record(label, contexts, of_row)
                advance(len(chosen))
        return [found[row] for row in rows]

    def gains(
        self, scale: Scale, rows: Sequence[int], contexts: tuple[int, ...]
    ) -> list[Float[ndarray, "k n h w"]]:
        """T of images of one shape under each context, unit by unit."""
        latents = torch.stack([scale.latents.latent(row) for row in rows])
        latents = latents.contiguous(memory_format=torch.channels_last).to(scale.denoiser.device)
        index = torch.tensor([contexts] * len(rows))
        return self.batch.attempt(
            lambda size: context_gains(scale.denoiser, latents, index, scale.design, size)
        )

    def record(
        self, label: int, contexts: tuple[int, ...], gains: Sequence[Float[ndarray, "k n _h _w"]]
    ) -> dict[str, Any]:
        """What is stored of an image: contrasts, and p(c|x) of the whole and of its cells.

        gains: of each scale, whose estimates are averaged on the finest grid.
        """
        height, width = max((one.shape[2:] for one in gains), key=np.prod)
        record: dict[str, Any] = {"height": height, "width": width}
        for number, contrast in enumerate(self.job.contrasts):
            mean, error = None, None
            if label in contrast.labels:
                asked = contrast.among(contexts)
                one = combine([asked.map(scale) for scale in gains], height, width)
                mean, error = one.mean.ravel(), one.error.ravel()
            record |= {f"contrast_{number}": mean, f"contrast_{number}_error": error}
        image, cells = None, None
        if self.job.config.classify:
            of_scales = [one[: self.n_labels].mean(axis=1) for one in gains]
            means = np.stack([
                average([one[context] for one in of_scales], height, width)
                for context in range(self.n_labels)
            ])  # fmt: skip
            channels = self.scales[0].denoiser.channels
            image = label_probabilities(means.mean(axis=(1, 2)), channels * height * width)
            cells = label_probabilities(means, channels).mean(axis=(1, 2))
        return {**record, "image_probability": image, "cell_probability": cells}


# --- choose and group ---------------------------------------------------------------------------


class ContrastMaps:
    """The maps of contrasts on disk, by row of the collection; the part last read is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: tuple[int, pa.Table, dict[int, int]] | None = None

    def read(self, row: int, number: int) -> tuple[Float[ndarray, "h w"], Float[ndarray, "h w"]]:
        """The contrast of that number for an image, and its error; float64."""
        part = row // PART
        if self._held is None or self._held[0] != part:
            table = read_parquet(score_path(self.folder, part))
            places = {one: place for place, one in enumerate(table["row"].to_pylist())}
            self._held = part, table, places
        _, table, places = self._held
        place = places[row]
        shape = table["height"][place].as_py(), table["width"][place].as_py()
        mean, error = (
            table[name][place].values.to_numpy().reshape(shape).astype(np.float64)
            for name in (f"contrast_{number}", f"contrast_{number}_error")
        )
        return mean, error


def choose_and_group(job: Contrasting) -> None:
    """Choose the patches that are typical in each contrast, and group them."""
    mining, collection = job.mining, job.mining.collection
    tasks = [(job, collection, part) for part in mined_parts(mining, collection)]
    total = int(collection.in_split(mining.config.collection.mine).sum())
    offers = run_tasks(_offers, tasks, workers=mining.workers, name="Selecting", total=total)
    candidates = pa.concat_tables(offers)
    chosen = []
    for number in range(len(job.contrasts)):
        own = candidates.filter(pa.array(candidates["contrast"].to_numpy() == number))
        if not len(own):
            raise ConfigError(
                f"{job.contrasts[number].subject}: no image has room for a patch outside the mask "
                f"{mining.config.select.mask!r}, or none was mined; make the mask smaller, or "
                "mine its images too"
            )
        chosen += [stages.choose(own, collection, selection, mining) for selection in SELECTIONS]
    selected = pa.concat_tables(chosen)
    contrast, maps = selected["contrast"].to_numpy(), ContrastMaps(job.folder)
    with one_thread():
        pooled = stages.patch_features(
            mining, collection, selected,
            lambda row, patch: maps.read(row, int(contrast[patch]))[0],
        )  # fmt: skip
    names = [str(number) for number in range(len(job.contrasts))]
    grouping = stages.group(mining, collection, selected, pooled, contrast, names)
    table = _named(stages.patch_table(mining, collection, selected, grouping), contrast, job)
    numbers = np.array(grouping.clusters["label"].to_pylist()).astype(int)
    groups = _named(grouping.clusters.drop_columns(["label"]), numbers, job)
    for name, one in (("patches", table), ("clusters", groups)):
        write_table(one, job.folder / f"{name}.parquet")


def _named(table: pa.Table, contrast: Int[ndarray, " n"], job: Contrasting) -> pa.Table:
    """A table with the number and the words of each row's contrast before its columns."""
    asked = [job.contrasts[number] for number in contrast]
    columns = {
        "contrast": pa.array(contrast, pa.int32()),
        "subject": [one.subject for one in asked],
        "against": [one.against for one in asked],
    }
    return pa.table({**columns, **{name: table[name] for name in table.column_names}})


def _offers(
    job: Contrasting, collection: ImageCollection, part: int, advance: Advance
) -> pa.Table:
    """What the images of a part offer to each contrast that they are part of."""
    mining, maps = job.mining, ContrastMaps(job.folder)
    scored = ScoredMaps(mining.folder)
    mask = Mask.read(MaskText.parse(mining.config.select.mask))
    found = []
    for row in mined_rows(mining, collection, part):
        label = int(collection.label_index[row])
        own = scored[row]
        for number, contrast in enumerate(job.contrasts):
            if label not in contrast.labels:
                continue
            mean, error = maps.read(row, number)
            grids = {**own, "contrast": mean, "contrast_error": error}
            offer = stages.offered(grids, "contrast", row, mining, collection, mask)
            found.append(offer.append_column("contrast", pa.array(np.full(len(offer), number))))
        advance(1)
    return pa.concat_tables(found) if found else pa.table({})
