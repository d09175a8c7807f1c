"""Mining along a condition that is no word: a number, a pair or a vector for each image."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from typika import __version__, ranks, workflow
from typika import config as settings
from typika.collection.images import ImageCollection
from typika.errors import ConfigError
from typika.mining import along as stages
from typika.mining.along import Along, ConditionConfig
from typika.mining.pipeline import Mining
from typika.report.along import build_along
from typika.report.html import write_along
from typika.report.inputs import how_scored
from typika.run import Run, Stage, adopt
from typika.tables import read_parquet
from typika.workflow import MineConfig

PAGE = "along.html"


@dataclass(frozen=True, kw_only=True)
class AlongConfig(MineConfig):
    """Everything that decides a run along a condition."""

    condition: ConditionConfig = field(default_factory=ConditionConfig)

    @property
    def n_anchors(self) -> int:
        """As many as are wanted; fewer where there are fewer distinct conditions."""
        return self.condition.anchors


@dataclass(frozen=True)
class AlongRun:
    """A run folder and what is in it."""

    folder: Path

    @property
    def elements(self) -> pa.Table:
        """One row per element, along the condition where that is a number."""
        return read_parquet(self.folder / "elements.parquet")

    @property
    def patches(self) -> pa.Table:
        """One row per typical patch; `element` is -1 for those in none."""
        return read_parquet(self.folder / "patches.parquet")

    @property
    def page(self) -> Path:
        """The page, one self-contained HTML file."""
        return self.folder / PAGE


def along(
    images: str | Path | ImageCollection,
    condition: str | tuple[str, ...],
    out: str | Path | None = None,
    *,
    config: MineConfig | AlongConfig | None = None,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> AlongRun:
    """Mine what comes and goes along a condition: a number, a pair or a vector for each image.

    images: folder with a metadata table, or table; or a finished run, whose images, settings and
    features are taken over. condition: the column of numbers or of lists, or two columns of
    coordinates. out: `runs/NAME-along-CONDITION` by default. config: other settings, the embedded
    model by default. device: of Stable Diffusion, as for `mine`.

    Raises:
        ConfigError: no such column, a setting that is for labels, or the run folder was made with
            another configuration.
        DataError: the images or their conditions cannot be used.
    """
    columns = (condition,) if isinstance(condition, str) else tuple(condition)
    source, whole, finished = planned(images, columns, config)
    plain = workflow.default_folder(source)
    folder = Path(out) if out else plain.with_name(f"{plain.name}-along-{'-'.join(columns)}")
    if finished is not None:
        if folder.resolve() == finished.resolve():
            raise ConfigError(f"{folder}: is the run to take over; pass another folder as out")
        if ranks.world().leads:
            adopt(finished, folder, ("collect", "encode"))
    with workflow.opened(source, folder, whole, workers, overwrite, device) as mining:
        _advance(mining, whole)
    ranks.leave()
    return AlongRun(folder)


def planned(
    images: str | Path | ImageCollection,
    columns: tuple[str, ...],
    config: MineConfig | None = None,
) -> tuple[Path, AlongConfig, Path | None]:
    """What `along` would do: the images, all settings, and the finished run taken over, if any."""
    source = Path(images.root if isinstance(images, ImageCollection) else images)
    finished = source if workflow.is_run(source) else None
    if finished is not None:
        source, own = workflow.recorded_as(finished, AlongConfig)
        config = replace(config or own, collection=own.collection)
    whole = _configured(config or MineConfig(), columns, labelled=finished is not None)
    if whole.score.racing or whole.ranked_by != "null":
        raise ConfigError(
            f"racing={whole.score.racing:g}, against={whole.score.against}: are for labels; along "
            "a condition pass --set score.racing=0 --set score.against=null"
        )
    return source, whole, finished


def _configured(config: MineConfig, columns: tuple[str, ...], *, labelled: bool) -> AlongConfig:
    """The settings with the condition; images of no run need no labels unless some are named."""
    values = settings.as_values(config)
    if values["collection"]["label"] is None and not labelled:
        values["collection"]["label"] = ""
    named = {"condition": {"columns": columns}} if columns else {}
    return settings.build(AlongConfig, values, named)


def _advance(mining: Mining, config: AlongConfig) -> None:
    """The stages in order, each skipped where its causes have not changed."""
    run, condition = mining.run, settings.as_values(config.condition)
    mining.advance_to("encode")
    asked = Along.open(mining, config.condition)
    earlier = {name: run.output_digest(name) for name in ("collect", "encode")}
    causes = {**earlier, "condition": condition, "seed": config.seed,
              "splits": [config.collection.train_on, config.collection.mine],
              "fitting": mining.model.fitting()}  # fmt: skip
    outputs: tuple[str, ...] = (*mining.model.folders[1], "metrics.jsonl")
    shared = mining.model.shared
    run.stage(
        Stage(name="train", causes=causes, outputs=outputs, shared=shared),
        lambda: stages.train(asked),
    )
    causes = {**earlier, "train": run.output_digest("train"), "condition": condition,
              "seed": config.seed, "score": settings.as_values(config.score),
              "mine": config.collection.mine}  # fmt: skip
    run.stage(
        Stage(name="score", causes=causes, outputs=("scores",), shared=shared),
        lambda: stages.score(asked),
    )
    parts = ("select", "cluster", "significance")
    causes = {**earlier, "score": run.output_digest("score"), "condition": condition,
              "seed": config.seed,
              **{name: settings.as_values(getattr(config, name)) for name in parts}}  # fmt: skip
    outputs = ("elements.parquet", "elements.csv", "patches.parquet", "patches.csv")
    run.stage(
        Stage(name="elements", causes=causes, outputs=outputs),
        lambda: stages.mine_elements(asked),
    )
    causes = {"elements": run.output_digest("elements"),
              "report": settings.as_values(config.report)}  # fmt: skip
    run.stage(
        Stage(name="report", causes=causes, outputs=(PAGE,)),
        lambda: _write_page(asked, run, config),
    )


def _write_page(asked: Along, run: Run, config: AlongConfig) -> None:
    condition = asked.condition
    _, middles = asked.stretches()
    places = asked.anchors.coordinates(middles)
    without = int((~condition.known).sum())
    notes = [f"{without:,} images have no {condition.name} and were left out."] * bool(without)
    if config.condition.shuffled:
        notes.append(
            f"{condition.name} was dealt out anew at random: what is found here is chance."
        )
    facts = (
        ("Images", f"{asked.known.sum():,}, {asked.trained_on.sum():,} of them trained on"),
        ("Condition", f"{condition.name}: a {condition.kind}, {len(asked.anchors)} anchors"),
        ("Model", asked.model.description),
        ("Loss", asked.model.loss),
        ("Patches ranked", how_scored(config.score)),
        ("Seed", str(config.seed)),
        ("Command", shlex.join(["typika", *run.manifest["argv"]])),
    )
    page = build_along(
        read_parquet(run.path("elements.parquet")), stages.element_patches(run.folder),
        middles, places, kind=condition.kind, condition=condition.name,
        title=f"What changes along {condition.name}?", notes=notes, facts=facts,
        version=__version__, date=time.strftime("%Y-%m-%d"),
        max_megabytes=config.report.max_megabytes,
    )  # fmt: skip
    write_along(page, run.path(PAGE))
