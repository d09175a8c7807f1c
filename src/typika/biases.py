"""What a model believes of its labels, held against their real images: `typika bias`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from typika import __version__, parallel, ranks
from typika import config as settings
from typika.collection import generated as drawings
from typika.collection.generated import drawn_path, read_generated, write_drawn
from typika.collection.images import ImageCollection
from typika.comparison import Side
from typika.cost import drawing_cost
from typika.diffusion.finetuning import crop_side
from typika.diffusion.sampling import BLOCK, sample, start_noise
from typika.diffusion.stable import StableConfig, StableDenoiser
from typika.errors import ConfigError
from typika.mining import bias_stage
from typika.mining.bias import BiasConfig
from typika.mining.bias_stage import SIDES, TABLES, Sides
from typika.mining.pipeline import Mining
from typika.mining.stages import thumbnails
from typika.parallel import Advance, run_tasks
from typika.report.bias import build_bias, shown
from typika.report.bias_records import BiasInputs
from typika.report.html import write_bias
from typika.report.inputs import how_scored
from typika.run import Run, Stage, link
from typika.tables import read_parquet
from typika.translation import trained
from typika.workflow import MiningRun, recorded

PAGE = "bias.html"
DRAWN = "generated"  # folder of what the run's own model draws


@dataclass(frozen=True)
class Bias:
    """What is drawn too often, too rarely or never: the page, and its tables."""

    page: Path
    clusters: pa.Table
    odds: pa.Table  # one row per cluster and guidance
    coverage: pa.Table
    told_apart: pa.Table  # how well generated images can be told from real ones at all


def configure(run: str | Path | MiningRun, *sources: settings.Values) -> BiasConfig:
    """The settings, clusters as those of the run unless told otherwise.

    Raises:
        ConfigError: no run, a setting that is not known, or a value that cannot be.
    """
    folder = run.folder if isinstance(run, MiningRun) else Path(run)
    own = {"cluster": settings.as_values(recorded(folder)[1].cluster)}
    return settings.build(BiasConfig, own, *sources)


def bias(
    run: str | Path | MiningRun,
    generated: str | Path | None = None,
    out: str | Path | None = None,
    *,
    config: BiasConfig | None = None,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Bias:
    """Hold generated images of the labels of a run against its real ones, cluster by cluster.

    run: a scored run, of any kind of diffusion model. generated: folder of labelled images by
    whatever generator, the column `guidance` of its metadata optional; without one the run's own
    Stable Diffusion draws them. out: folder, `RUN/bias` by default; gets bias.html, tables as
    Parquet and CSV, and generated/. An interrupted call goes on where it stopped.

    Raises:
        ConfigError: the run is not scored, its model cannot draw and nothing else was given, or
            `out` was made with other settings.
        DataError: the labels of the generated images are not those of the run.
    """
    work = Work.of(run, generated, out, config, workers, device)
    with Run.create(work.out, work.config, facts=work.facts(), overwrite=overwrite) as record:
        work.advance(record)
    ranks.leave()
    tables = {name: read_parquet(work.out / f"{name}.parquet") for name in TABLES[:-1]}
    return Bias(work.out / PAGE, **tables)


def plan(
    run: str | Path,
    generated: str | Path | None = None,
    out: str | Path | None = None,
    *,
    config: BiasConfig | None = None,
    workers: int | None = None,
) -> list[str]:
    """What `bias` would take, in plain sentences. Raises as `bias`."""
    work = Work.of(run, generated, out, config, workers, "auto")
    draw, collection, lines = work.config.draw, work.collection, []
    count = len(collection.labels) * len(draw.guidance) * draw.images
    if work.given is None:
        model = work.mining.config.model
        assert isinstance(model, StableConfig)
        missing = sum(len(work.missing(block)) for block in work.blocks())
        lines = drawing_cost(model, draw, len(collection.labels), missing)
    else:
        count = len(read_generated(work.given, collection.labels, work.mining.workers))
        lines = [f"{count} generated images of {len(collection.labels)} labels"]
    draws = work.mining.config.score.n_draws
    return [*lines, f"cost: {count} images to encode and to score with {draws} draws each"]


Block = tuple[str, float, int]  # label, guidance, and the first of the numbers drawn together


@dataclass(frozen=True)
class Work:
    """What is to be drawn or was given, and what it is held against."""

    mining: Mining
    collection: ImageCollection
    given: Path | None
    out: Path
    config: BiasConfig

    @classmethod
    def of(
        cls,
        run: str | Path | MiningRun,
        generated: str | Path | None,
        out: str | Path | None,
        config: BiasConfig | None,
        workers: int | None,
        device: str,
    ) -> Work:
        """Open the run and look whether it can do what is asked."""
        folder = run.folder if isinstance(run, MiningRun) else Path(run)
        mining = trained(folder, workers or parallel.default_workers(), device, drawing=False)
        if mining.config.baseline.of_maps:
            raise ConfigError(
                f"{folder}: is a run of the baseline {mining.config.baseline.name}, which cannot "
                "score generated images; pass the run of the diffusion model"
            )
        if generated is None and not isinstance(mining.config.model, StableConfig):
            raise ConfigError(
                f"{folder}: its model has no decoder and cannot draw; pass --generated FOLDER "
                "with labelled images by any generator, or mine with Stable Diffusion (`typika "
                "mine IMAGES --model CHECKPOINT`), which draws its own"
            )
        Side.open(folder.name, folder, "score")  # or it says which command is missing
        if generated is not None:
            ImageCollection.fingerprint(Path(generated))  # or it says what is missing
        config = config or configure(folder)
        bias_stage.real_images(mining, mining.collection, config.real)  # early: hours may follow
        return cls(mining, mining.collection, None if generated is None else Path(generated),
                   Path(out) if out else folder / "bias", config)  # fmt: skip

    @property
    def source(self) -> Path:
        """Where the generated images are."""
        return self.out / DRAWN if self.given is None else self.given

    def facts(self) -> dict[str, str]:
        """What the manifest records beside the settings."""
        there = {"run": self.mining.folder, "source": self.source}
        base = self.out.resolve()
        relative = {name: os.path.relpath(path.resolve(), base) for name, path in there.items()}
        return {**{name: Path(path).as_posix() for name, path in relative.items()},
                "device": self.mining.model.device()}  # fmt: skip

    def advance(self, record: Run) -> None:
        """Draw, score as the run was scored, compare, and report, skipping what is done."""
        self.gather(record)
        self.compare(record, Sides(self.mining, self.score(record), self.config))

    def gather(self, record: Run) -> None:
        """The generated images, and the model of the run beside them."""
        model, seed = self.mining.model, self.mining.config.seed
        of_run = {name: self.mining.run.output_digest(name)
                  for name in ("collect", "encode", "train")}  # fmt: skip
        if self.given is None:
            drawn = {**of_run, **model.fitting(), "seed": seed,
                     "draw": settings.as_values(self.config.draw)}  # fmt: skip
            stage = Stage(name="draw", causes=drawn, outputs=(DRAWN,), shared=True)
            record.stage(stage, self.draw)
        found = {"listing": ImageCollection.fingerprint(self.source)}
        outputs: tuple[str, ...] = ("collection.parquet", "skipped.csv")
        record.stage(Stage(name="collect", causes=found, outputs=outputs),
                     lambda: self.collect(record))  # fmt: skip
        record.stage(Stage(name="model", causes=of_run, outputs=("model",)),
                     lambda: self.take_model(record))  # fmt: skip

    def score(self, record: Run) -> Mining:
        """The generated images as a run of their own, scored."""
        mining = self.mining
        generated = bias_stage.beside(mining, replace(mining, run=record, source=self.source))
        model = generated.model
        causes = {**{name: record.output_digest(name) for name in ("collect", "model")},
                  "encoding": model.encoding(), "seed": mining.config.seed}  # fmt: skip
        record.stage(
            Stage(name="encode", causes=causes, outputs=("latents",), shared=model.shared),
            lambda: model.encode(generated.collection, record.folder, generated.workers),
        )
        causes = {"encode": record.output_digest("encode"), "seed": mining.config.seed,
                  "run": mining.run.output_digest("score"),
                  "score": settings.as_values(generated.config.score)}  # fmt: skip
        record.stage(
            Stage(name="score", causes=causes, outputs=("scores",), shared=model.shared),
            lambda: bias_stage.score_generated(mining, generated),
        )
        return generated

    def compare(self, record: Run, sides: Sides) -> None:
        """The tables and the page."""
        config = self.mining.config
        values = settings.as_values(self.config)
        causes = {
            **{stage: record.output_digest(stage) for stage in ("collect", "score")},
            "run": [self.mining.run.output_digest(stage) for stage in ("collect", "score")],
            "config": {name: values[name] for name in ("alpha", "real", "style", "cluster")},
            "first": self.config.draw.guidance, "select": settings.as_values(config.select),
            "ranked by": config.ranked_by, "seed": config.seed,
        }  # fmt: skip
        outputs = tuple(f"{name}.{kind}" for name in TABLES for kind in ("parquet", "csv"))
        record.stage(Stage(name="compare", causes=causes, outputs=outputs),
                     lambda: bias_stage.compare(sides))  # fmt: skip

        def report() -> None:
            write_bias(build_bias(_inputs(sides, drawn=self.given is None)), record.path(PAGE))

        causes = {"compare": record.output_digest("compare"), "drawn": self.given is None}
        record.stage(Stage(name="report", causes=causes, outputs=(PAGE,)), report)

    def collect(self, record: Run) -> None:
        """Read the generated images."""
        found = read_generated(self.source, self.collection.labels, self.mining.workers)
        found.save(record.folder)

    def take_model(self, record: Run) -> None:
        """The run's model stands in the folder of the generated images too, as hard links."""
        shutil.rmtree(record.path("model"), ignore_errors=True)
        link(self.mining.folder / "model", record.path("model"))

    def blocks(self) -> list[Block]:
        """Images that are drawn together."""
        draw = self.config.draw
        return [
            (label, guidance, first)
            for label in self.collection.labels
            for guidance in draw.guidance
            for first in range(0, draw.images, BLOCK)
        ]

    def numbers(self, block: Block) -> range:
        """The images of a block."""
        return range(block[2], min(block[2] + BLOCK, self.config.draw.images))

    def missing(self, block: Block) -> list[int]:
        """The images of a block that are still to be drawn."""
        return [one for one in self.numbers(block) if not self.path(block, one).exists()]

    def path(self, block: Block, number: int) -> Path:
        """Where an image of a block lies."""
        return drawn_path(self.out / DRAWN, block[0], block[1], number)

    def draw(self) -> None:
        """Draw every image that is missing, ranks sharing the blocks, and write their table."""
        blocks = ranks.world().share([block for block in self.blocks() if self.missing(block)])
        workers = self.mining.model.workers(self.mining.workers)
        hands = [blocks[hand::workers] for hand in range(workers)]
        total = sum(len(self.missing(block)) for block in blocks)
        run_tasks(_draw_blocks, [(self, hand) for hand in hands if hand], workers=workers,
                  name="Drawing", total=total)  # fmt: skip
        ranks.wait()
        if ranks.world().leads:
            draw = self.config.draw
            drawings.gather(self.out / DRAWN, self.collection.labels, draw.guidance, draw.images)


def _draw_blocks(work: Work, blocks: Sequence[Block], advance: Advance) -> None:
    mining, labels = work.mining, work.collection.labels
    (denoiser,) = mining.model.denoisers(labels, mining.folder)
    assert isinstance(denoiser, StableDenoiser)
    batch = mining.model.batch_size(1, work.out)
    side = crop_side(denoiser.config, denoiser.checkpoint.cell)
    shape = (denoiser.channels, side, side)

    def drawn(block: Block, size: int) -> list[torch.Tensor]:
        """The latents of a block, of the whole of it even where a part is there already."""
        label, guidance, _ = block
        noise = torch.stack([start_noise(mining.config.seed, label, number, shape)
                             for number in work.numbers(block)])  # fmt: skip
        found = [
            sample(denoiser, [labels.index(label)] * len(some), some.to(denoiser.device),
                   guidance=guidance, n_steps=work.config.draw.steps)
            for some in torch.split(noise, max(1, size // 2))  # each passes twice
        ]  # fmt: skip
        return list(torch.cat(found))

    for block in blocks:
        missing = work.missing(block)
        latents = batch.attempt(partial(drawn, block))
        for number in missing:
            image = denoiser.autoencoder.decode(latents[number - block[2]])
            write_drawn(image, work.path(block, number))
            advance(1)


# ---------------------------------------------------------------------------------------- page


def _inputs(sides: Sides, *, drawn: bool) -> BiasInputs:
    folder, mining = sides.generated.folder, sides.real
    tables = {name: read_parquet(folder / f"{name}.parquet") for name in TABLES}
    places = shown(tables["members"], sides.guidances[0])
    draw, config = sides.config.draw, sides.config
    facts = {
        "Model": mining.model.description,
        "Generated by": f"the model itself, {draw.steps} steps of DDIM" if drawn else "others",
        "Generated images": f"{len(sides.collections[1]):,}",
        "Real images": {"all": "all that were mined", "held-out": "those held out from training"}[
            config.real
        ],
        "Patches ranked": how_scored(mining.config.score),
        "Features compared": {"centred": "less the mean of real, and of generated patches",
                              "kept": "as they are"}[config.style],
        "Clusters": config.cluster.method,
        "Seed": str(mining.config.seed),
    }  # fmt: skip
    return BiasInputs(
        name=mining.folder.resolve().name,
        labels=sides.labels,
        guidances=tuple(sides.guidances),
        pictures=dict(zip(places, _pictures(sides, tables["members"], places), strict=True)),
        alpha=config.alpha,
        drawn=drawn,
        facts=facts,
        version=__version__,
        date=time.strftime("%Y-%m-%d"),
        **tables,
    )


def _pictures(sides: Sides, members: pa.Table, places: Sequence[int]) -> list[bytes]:
    """A picture of each of some members."""
    table = members.take(pa.array(places, pa.int64()))
    origin = np.array(table["origin"].to_pylist())
    found = np.empty(len(places), dtype=object)
    for name, mining, collection in zip(
        SIDES, (sides.real, sides.generated), sides.collections, strict=True
    ):
        own = np.flatnonzero(origin == name)
        if len(own):
            cut = thumbnails(mining, collection, table.take(pa.array(own)))
            found[own] = [cell["bytes"] for cell in cut.to_pylist()]
    return found.tolist()
