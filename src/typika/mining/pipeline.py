"""The stages of mining, in the order of the paper's method section.

    collect -> encode -> train -> score -> select -> cluster -> evidence -> rare

Each stage reads what earlier ones left in the run folder, writes files of its own, and is skipped
where its causes have not changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from typika import config as settings
from typika import ranks
from typika.baselines.names import BaselineConfig
from typika.baselines.probes import RivalConfig
from typika.collection.images import Dialect, ImageCollection
from typika.collection.prompts import PromptTemplate
from typika.diffusion.embedded import EmbeddedConfig
from typika.diffusion.models import CollectionModel, EmbeddedModel
from typika.diffusion.stable import StableConfig
from typika.diffusion.training import OptimiserConfig
from typika.errors import ConfigError
from typika.files import write_text
from typika.mining import baseline, evidence, rare_stage, scoring, stages
from typika.mining.artefacts import ArtefactConfig
from typika.mining.clusters import ClusterConfig
from typika.mining.confounds import ConfoundConfig
from typika.mining.masks import MaskText
from typika.mining.patches import SelectConfig
from typika.mining.rare import RareConfig
from typika.mining.significance import SignificanceConfig
from typika.mining.typicality import TypicalityConfig
from typika.run import Run, Stage

FOLDS = ("first", "second")  # of a cross-fit
STAGES = ("collect", "encode", "train", "score", "select", "cluster", "evidence", "rare")


@dataclass(frozen=True, kw_only=True)
class CollectionConfig:
    """Where labels come from, and which images serve for what."""

    label: str | None = None  # column of the metadata table; None where folders are labels
    bin: str | None = None  # "decade", "century" or a width, for numeric labels
    separator: str | None = None  # between several labels of one cell, such as "|"
    table: str | None = None  # the metadata table's name in the folder; None: metadata.*
    file: str | None = None  # column of image files; None: file_name and its like
    group: str | None = None  # column of what must not be divided; None: group, if there is one
    split_lists: tuple[str, ...] = ()  # "split=file.txt": the images of a split, one a line
    train_on: str = ""  # the split that the model is trained on; "": all images
    mine: str = ""  # the split that is scored and mined; "": all images
    # True: two models, each fitted to one half of the groups and scoring the other.
    cross_fit: bool = False
    weigh_duplicates: bool = False  # True: near-duplicate images all offer patches

    def __post_init__(self) -> None:
        Dialect(table=self.table, separator=self.separator, split_lists=self.split_lists)
        if self.cross_fit and self.train_on != self.mine:
            raise ConfigError(
                f"cross_fit with train_on={self.train_on!r} and mine={self.mine!r}: what is mined "
                "was not trained on anyway; leave cross_fit out, or give both the same split"
            )

    def open(self, source: Path, workers: int) -> ImageCollection:
        """Read the collection that the settings describe; see `ImageCollection.open`.

        Raises:
            DataError, ConfigError: as `ImageCollection.open`.
            ConfigError: no image is in the split `train_on` or `mine`.
        """
        collection = ImageCollection.open(
            source, label=self.label, bin=self.bin, table=self.table, file=self.file,
            group=self.group, separator=self.separator, split_lists=self.split_lists,
            workers=workers,
        )  # fmt: skip
        for option, split in (("train_on", self.train_on), ("mine", self.mine)):
            try:
                collection.in_split(split)
            except ConfigError as error:
                raise ConfigError(f"collection.{option}: {error}") from error
        return collection

    def fingerprint(self, source: Path) -> str:
        """Digest every file that `open` would read; see `ImageCollection.fingerprint`."""
        return ImageCollection.fingerprint(
            source, table=self.table, file=self.file, split_lists=self.split_lists
        )


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """The words that stand for a label, and for none."""

    label: str = "A photo of {label}."
    null: str | None = None  # None: the empty text
    spaces: str = ""  # characters of a label that prompts show as spaces, such as "_"
    # Further prompts for training only, as in "A photo of {label} in {city}."
    nested: tuple[str, ...] = ()

    def template(self) -> PromptTemplate:
        """The one template that every stage uses."""
        return PromptTemplate.parse(self.label, self.null, self.spaces, self.nested)

    def __post_init__(self) -> None:
        self.template()


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """Everything that decides which elements are mined."""

    seed: int = 0
    collection: CollectionConfig = field(default_factory=CollectionConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    model: EmbeddedConfig | StableConfig = field(default_factory=EmbeddedConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    rival: RivalConfig = field(default_factory=RivalConfig)
    baseline: BaselineConfig = field(default_factory=BaselineConfig)
    score: TypicalityConfig = field(default_factory=TypicalityConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    significance: SignificanceConfig = field(default_factory=SignificanceConfig)
    artefacts: ArtefactConfig = field(default_factory=ArtefactConfig)
    confounds: ConfoundConfig = field(default_factory=ConfoundConfig)
    rare: RareConfig = field(default_factory=RareConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed={self.seed}: need a whole number from 0 to 2147483647")
        if self.baseline.of_maps and self.collection.cross_fit:
            raise ConfigError(
                f"cross_fit is for the diffusion model, not for {self.baseline.name}; leave it out"
            )
        if self.score.racing and self.collection.cross_fit:
            raise ConfigError("racing does not go with cross_fit; leave one of them out")
        if self.score.racing and not isinstance(self.model, StableConfig):
            raise ConfigError("racing is for Stable Diffusion; the embedded model needs none")

    @property
    def n_anchors(self) -> int:
        """Anchors of a condition in the place of labels; none where images have labels."""
        return 0

    @property
    def ranked_by(self) -> Literal["null", "others"]:
        """Which map of the score tables ranks patches."""
        return "null" if self.baseline.of_maps else self.score.against


@dataclass(frozen=True)
class Mining:
    """A run under way: the folder, the images it is about, and how it is done."""

    run: Run
    source: Path
    config: MiningConfig
    workers: int
    device: str = "auto"  # of models that can use one
    fold: str = ""  # of a cross-fit: whose model `model` is

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.folder

    @property
    def model(self) -> CollectionModel:
        """The kind of model that the configuration asks for; of a cross-fit, that of the fold.

        Outside of the folds, where any model will do for the features of patches, the first.
        """
        first = FOLDS[0] if self.config.collection.cross_fit else ""
        return collection_model(self.config, self.device, self.fold or first)

    @property
    def collection(self) -> ImageCollection:
        """The images, as the collect stage found them."""
        return ImageCollection.restore(self.folder, self.source)

    def advance_to(self, last: str) -> None:
        """Run every stage up to `last`, skipping what is done."""
        for name in STAGES[: STAGES.index(last) + 1]:
            getattr(self, f"_{name}")()

    def _collect(self) -> None:
        options = self.config.collection
        causes = {
            "collection": settings.as_values(options),
            "listing": options.fingerprint(self.source),
        }

        def compute() -> None:
            options.open(self.source, self.workers).save(self.folder)

        outputs = ("collection.parquet", "skipped.csv")
        self.run.stage(Stage(name="collect", causes=causes, outputs=outputs), compute)
        if self.config.prompt.nested:  # early: hours before training would read them
            columns = self.collection.table.column_names
            self.config.prompt.template().require_columns(columns)

    def _encode(self) -> None:
        model = self.model
        causes = self._causes("collect", seed=self.config.seed, model=model.encoding())
        self.run.stage(
            Stage(name="encode", causes=causes, outputs=model.folders[0], shared=model.shared),
            lambda: model.encode(self.collection, self.folder, self.workers),
        )

    def train_stage(self) -> Stage:
        """The train stage; its causes are known once images are encoded."""
        model, config = self.model, self.config
        if config.baseline.of_maps:
            causes = self._causes(
                "collect", "encode", seed=config.seed, held_out=config.model.held_out,
                optimiser=config.optimiser, rival=config.rival, splits=self._splits,
                baseline=baseline.causes(config),
            )  # fmt: skip
            return Stage(
                name="train",
                causes=causes,
                outputs=("model/rival", "model/baseline", "metrics.jsonl"),
            )
        causes = self._causes(
            "collect", "encode", seed=config.seed, model=model.fitting(),
            optimiser=config.optimiser, rival=config.rival, splits=self._splits,
        )  # fmt: skip
        outputs = (*model.folders[1], "model/rival", "metrics.jsonl")
        return Stage(name="train", causes=causes, outputs=outputs, shared=model.shared)

    def _train(self) -> None:
        def compute() -> None:
            if self.config.baseline.of_maps:
                baseline.train(self)
                return
            collection, rows = self.collection, []
            for fold in folds(self, collection):
                own = fold.mining
                rows += own.model.train(collection, fold.trained_on, self.folder, self.workers)
                if ranks.world().leads:
                    rows += stages.train_rivals(own, collection, fold.trained_on)
            if not ranks.world().leads:
                return
            lines = [json.dumps(row) for row in rows]
            write_text(self.folder / "metrics.jsonl", "\n".join(lines) + "\n")

        self.run.stage(self.train_stage(), compute)

    def _score(self) -> None:
        of_maps = self.config.baseline.of_maps
        decides = (
            {"baseline": baseline.causes(self.config)} if of_maps else {"score": self.config.score}
        )
        causes = self._causes(
            "collect", "encode", "train", seed=self.config.seed, splits=self._splits, **decides
        )
        stage = Stage(name="score", causes=causes, outputs=("scores",), shared=self.model.shared)
        self.run.stage(stage, lambda: (baseline if of_maps else scoring).score(self))

    def _select(self) -> None:
        options = settings.as_values(self.config.select)
        # A mask is known by what it says and not by where its files lie; and what it hides from
        # the report alone is no cause.
        options["mask"] = MaskText.parse(self.config.select.mask).causes
        causes = self._causes(
            "collect", "score", seed=self.config.seed, select=options,
            against=self.config.ranked_by, **self._choice,
        )  # fmt: skip
        self.run.stage(
            Stage(name="select", causes=causes, outputs=("selected.parquet",)),
            lambda: stages.select(self),
        )

    def _cluster(self) -> None:
        causes = self._causes(
            "score", "select", seed=self.config.seed, cluster=self.config.cluster,
            against=self.config.ranked_by, **self._choice,
        )  # fmt: skip
        outputs = ("patches.parquet", "clusters.parquet", "patches.csv", "clusters.csv")
        self.run.stage(
            Stage(name="cluster", causes=causes, outputs=outputs), lambda: stages.cluster(self)
        )

    def _evidence(self) -> None:
        causes = self._causes(
            "collect", "encode", "train", "score", "cluster", seed=self.config.seed,
            significance=self.config.significance, artefacts=self.config.artefacts,
            confounds=self.config.confounds, patch_size=self.config.select.patch_size,
            splits=self._splits,
        )  # fmt: skip
        outputs = tuple(
            f"{table}.{kind}"
            for table in ("verdicts", "badges", "confounds")
            for kind in ("parquet", "csv")
        )
        self.run.stage(
            Stage(name="evidence", causes=causes, outputs=outputs), lambda: evidence.gather(self)
        )

    def _rare(self) -> None:
        causes = self._causes(
            "collect", "encode", "train", "score", "cluster", seed=self.config.seed,
            rare=self.config.rare, patch_size=self.config.select.patch_size,
            shrinkage=self.config.significance.shrinkage, against=self.config.ranked_by,
            splits=self._splits,
        )  # fmt: skip
        outputs = ("rare.parquet", "rare.csv", "rare_patches.parquet")
        self.run.stage(
            Stage(name="rare", causes=causes, outputs=outputs), lambda: rare_stage.find(self)
        )

    @property
    def _splits(self) -> tuple[str | bool, ...]:
        options = self.config.collection
        return options.train_on, options.mine, options.cross_fit

    @property
    def _choice(self) -> Mapping[str, Any]:
        """The baseline as a cause of what is chosen; none where there is no baseline."""
        name = self.config.baseline.name
        return {"baseline": name} if name else {}

    def _causes(self, *earlier: str, **sections: Any) -> Mapping[str, Any]:
        """Digests of what earlier stages wrote, and the sections that a stage reads."""
        values = {
            name: settings.as_values(section)
            if hasattr(section, "__dataclass_fields__")
            else section
            for name, section in sections.items()
        }
        return {**{stage: self.run.output_digest(stage) for stage in earlier}, **values}


@dataclass(frozen=True)
class Fold:
    """One model of a run: what it is fitted to, and whose maps it makes.

    trained_on, scored: (n,) bool rows of the collection.
    """

    mining: Mining
    trained_on: Bool[ndarray, " n"]
    scored: Bool[ndarray, " n"]


def folds(mining: Mining, collection: ImageCollection) -> tuple[Fold, ...]:
    """The models of a run: one, or with `cross_fit` two that each score what they never saw."""
    everything = np.ones(len(collection), dtype=bool)
    if not mining.config.collection.cross_fit:
        return (Fold(mining, training_images(collection, mining.config), everything),)
    used = collection.in_split(mining.config.collection.train_on)
    first, _ = collection.split_halves(mining.config.seed)
    half = np.isin(np.arange(len(collection)), first)
    return (
        Fold(replace(mining, fold=FOLDS[0]), used & half, ~half),
        Fold(replace(mining, fold=FOLDS[1]), used & ~half, half),
    )


def training_images(collection: ImageCollection, config: MiningConfig) -> Bool[ndarray, " n"]:
    """Which images the model is fitted to: all of a split but a share of the groups of each label.

    The held-out images are scored and mined like the others; they tell how much of what the model
    knows it knows of images that it never saw. Labels with fewer than ten groups hold out none,
    and so do all where another split is mined than the one trained on. With `cross_fit` no image
    is scored by a model that was fitted to it: none is marked.
    """
    options = config.collection
    if options.cross_fit:
        return np.zeros(len(collection), dtype=bool)
    trained_on = collection.in_split(options.train_on)
    if options.train_on and options.mine not in ("", options.train_on):
        return trained_on
    rng = np.random.default_rng([config.seed, 7])
    groups = collection.codes("group")
    held_out = np.zeros(int(groups.max(initial=-1)) + 1, dtype=bool)
    order = np.argsort(collection.label_index, kind="stable")
    ends = np.cumsum(np.bincount(collection.label_index, minlength=len(collection.labels)))
    for rows in np.split(order, ends[:-1]):
        own = np.unique(groups[rows[trained_on[rows] & ~held_out[groups[rows]]]])
        count = int(config.model.held_out * len(own)) if len(own) >= 10 else 0
        held_out[rng.permutation(own)[:count]] = True
    return trained_on & ~held_out[groups]


def collection_model(
    config: MiningConfig, device: str = "auto", fold: str = ""
) -> CollectionModel:
    """The kind of model that a configuration asks for; loads nothing.

    A baseline of maps needs but the encoder, whatever the model.
    """
    if isinstance(config.model, StableConfig) and not config.baseline.of_maps:
        from typika.diffusion.stable_model import StableModel

        return StableModel(config.model, config.prompt.template(), config.seed, device, fold)
    return embedded_model(config, fold)


def embedded_model(config: MiningConfig, fold: str = "") -> EmbeddedModel:
    """The embedded model: the one asked for, or the one whose features stand beside another."""
    own = config.model if isinstance(config.model, EmbeddedConfig) else EmbeddedConfig()
    return EmbeddedModel(own, config.optimiser, config.seed, fold)
