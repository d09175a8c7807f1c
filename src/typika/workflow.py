"""From a folder of labelled images to a report: what the command line and `typika.mine` call."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from typika import config as settings
from typika import parallel, presets, ranks
from typika.baselines.names import NAMES, BaselineConfig
from typika.collection.images import ImageCollection
from typika.cost import cost
from typika.curation.store import as_text, read_log
from typika.diffusion.embedded import EmbeddedConfig
from typika.diffusion.latents import PART
from typika.errors import ConfigError, DataError
from typika.files import text_digest
from typika.mining.baseline import causes
from typika.mining.masks import MaskText
from typika.mining.patches import upsample
from typika.mining.pipeline import STAGES, Mining, MiningConfig, collection_model
from typika.mining.refinement import refine
from typika.mining.scores import ScoredMaps, score_path
from typika.report.by_hand import curated_inputs
from typika.report.inputs import report_inputs
from typika.run import MANIFEST, Begun, Run, Stage, adopt
from typika.tables import read_parquet

ALL_STAGES = (*STAGES, "report")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """The report."""

    max_megabytes: float = 25.0  # size of report.html; members and pictures shrink to fit
    sheets: bool = True  # figure sheets as PNG and PDF beside it

    def __post_init__(self) -> None:
        if not self.max_megabytes > 0:
            raise ConfigError(f"max_megabytes={self.max_megabytes}: need a positive number")


@dataclass(frozen=True, kw_only=True)
class MineConfig(MiningConfig):
    """Everything that decides a run: what is mined, and how it is shown."""

    report: ReportConfig = field(default_factory=ReportConfig)


Recorded = TypeVar("Recorded", bound=MineConfig)


def configure(
    *sources: Mapping[str, Any],
    preset: str | None = None,
    kind: type[MineConfig] = MineConfig,
) -> MineConfig:
    """The configuration of nested settings, later ones winning, above a preset.

    Settings nobody gives are those that suit the kind of model: `{"model": {"checkpoint": ...}}`
    asks for Stable Diffusion.

    preset: "paper": the published settings of Siglidis et al. 2024. kind: of configuration.

    Raises:
        ConfigError: a setting or preset that is not known, or a value that cannot be.
    """
    given = [presets.named(preset)] if preset else []
    return settings.build(kind, *presets.underneath([*given, *sources]), *given, *sources)


@dataclass(frozen=True)
class MiningRun:
    """A run folder and what is in it."""

    folder: Path

    @cached_property
    def patches(self) -> pa.Table:
        """One row per patch; `.to_pandas()` opens it as a data frame."""
        return read_parquet(self._existing("patches.parquet"))

    @cached_property
    def clusters(self) -> pa.Table:
        """One row per cluster, most typical first within each label."""
        return read_parquet(self._existing("clusters.parquet"))

    @cached_property
    def collection(self) -> ImageCollection:
        """The images that the run is about, and what was skipped."""
        source, _ = recorded(self.folder)
        return ImageCollection.restore(self.folder, source)

    def typicality_map(
        self,
        image_id: str,
        kind: Literal["null", "others", "evidence"] = "null",
        *,
        refined: bool = False,
    ) -> Float[ndarray, "H W"]:
        """Typicality of every pixel of an image for its own label, float64.

        kind: T(x|c) against the null, T(x|c) less its mean over other labels, or the evidence of
        the built-in rival. refined: with the edges of the picture (`mining/refinement.py`), which
        outlines elements that stand out from their ground in grey.

        Raises:
            DataError: the run has no such image, or mined another split.
            ConfigError: the run has not been scored yet.
        """
        table = self.collection.table
        row = table["image_id"].index(image_id).as_py()
        if row < 0:
            raise DataError(f"{image_id}: not an image of {self.folder}; see collection.parquet")
        if not self.collection.in_split(recorded(self.folder)[1].collection.mine)[row]:
            raise DataError(f"{image_id}: not of the split that was mined, so it has no map")
        self._existing(score_path(Path(), row // PART).as_posix(), "score")
        width, height = table["width"][row].as_py(), table["height"][row].as_py()
        values = upsample(ScoredMaps(self.folder)[row][kind], height, width)
        return refine(values, self.collection.load(row)) if refined else values

    @property
    def report(self) -> Path:
        """The report, one self-contained HTML file."""
        return self._existing("report.html")

    def seconds(self) -> dict[str, float]:
        """How long each stage took, in seconds."""
        return Run.read(self.folder).seconds()

    def _existing(self, name: str, command: str = "report") -> Path:
        path = self.folder / name
        if not path.exists():
            raise ConfigError(f"{path}: not there yet; run `typika {command} {self.folder}`")
        return path

    def _repr_html_(self) -> str:
        """A short table for notebooks."""
        import html

        rows = "".join(
            f"<tr><td>{html.escape(row['label'])}</td><td>{row['rank']}</td>"
            f"<td>{row['size']}</td><td>{row['typicality']:.4g}</td></tr>"
            for row in self.clusters.to_pylist()
            if row["rank"] <= 3
        )
        head = "<tr><th>label</th><th>cluster</th><th>patches</th><th>typicality</th></tr>"
        return f"<p>typika run in {html.escape(str(self.folder))}</p><table>{head}{rows}</table>"


def mine(
    images: str | Path | ImageCollection,
    out: str | Path | None = None,
    *,
    config: MineConfig | None = None,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> MiningRun:
    """Mine the typical elements of each label of a collection and write a report.

    images: folder or metadata table, or the `ImageCollection` that was opened from one.
    out: run folder, `runs/NAME` by default. An unfinished run goes on where it stopped.
    config: as `configure` makes it; the embedded model by default.
    workers: processes; the result does not depend on it.
    device: of Stable Diffusion: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        ConfigError: the run folder was made with another configuration.
        DataError: the images cannot be used.
    """
    source, config = _source_of(images, config or MineConfig())
    folder = Path(out) if out else default_folder(source)
    return advance(
        source, folder, config, last="report", workers=workers, device=device,
        overwrite=overwrite,
    )  # fmt: skip


def baseline(
    name: str,
    images: str | Path | ImageCollection | MiningRun,
    out: str | Path | None = None,
    *,
    config: MineConfig | None = None,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> MiningRun:
    """Mine with a baseline in the place of typicality, down to the same report.

    name: one of `typika.baselines.methods.NAMES`. images: as for `mine`, or a finished run, whose
    images, settings and whatever the baseline needs of its stages are taken over, so that only
    what differs is computed. out: `runs/COLLECTION-NAME` by default. config: instead of the run's
    own settings.

    Raises:
        ConfigError: no such baseline; the run folder was made with another configuration, or is
            that of the run taken over.
        DataError: the images cannot be used.
    """
    given = images.folder if isinstance(images, MiningRun) else images
    finished = Path(given) if isinstance(given, str | Path) and is_run(Path(given)) else None
    if finished is None:
        source, config = _source_of(given, config or MineConfig())
    else:
        source, own = recorded(finished)
        config = config or own
    config = with_baseline(config, name)
    if config.baseline.of_maps:
        causes(config)  # whatever the baseline needs and has not is told before a folder is made
    own_folder = default_folder(source)
    folder = Path(out) if out else own_folder.with_name(f"{own_folder.name}-{name}")
    if finished is not None and ranks.world().leads:
        _take_over(finished, folder, source, config)
    return advance(
        source, folder, config, last="report", workers=workers, device=device,
        overwrite=overwrite,
    )  # fmt: skip


def with_baseline(config: MineConfig, name: str) -> MineConfig:
    """The same settings under a baseline. Raises ConfigError where there is none of the name."""
    if name not in NAMES:
        raise ConfigError(f"baseline {name!r}: expected one of {', '.join(NAMES)}")
    values = settings.as_values(config)
    return settings.build(MineConfig, values, {"baseline": {"name": name}})


def is_run(folder: Path) -> bool:
    """Whether a folder is one that `mine` made."""
    return (folder / MANIFEST).is_file()


def _take_over(finished: Path, folder: Path, source: Path, config: MineConfig) -> None:
    """Begin a run folder with what a baseline needs of a finished run."""
    if folder.resolve() == finished.resolve():
        raise ConfigError(f"{folder}: is the run to take over; pass --out with another folder")
    if not config.baseline.of_maps:
        adopt(finished, folder, ("collect", "encode", "train", "score"))
        return
    run = Run.read(finished)
    begun = {}
    fitted = {"collect", "encode", "train"} <= set(run.seconds())
    if fitted and isinstance(config.model, EmbeddedConfig):
        # The rival is the same if the ordinary stage would be, settings changed or not.
        plain = replace(config, baseline=BaselineConfig())
        stage = Mining(run, source, plain, workers=1).train_stage()
        if run.manifest["stages"]["train"]["digest"] == stage.digest:
            own = Mining(run, source, config, workers=1).train_stage()
            begun["train"] = Begun(digest=own.digest, outputs=("model/rival",))
    adopt(finished, folder, ("collect", "encode"), begun)


def _source_of(
    images: str | Path | ImageCollection, config: MineConfig
) -> tuple[Path, MineConfig]:
    return (images.root if isinstance(images, ImageCollection) else Path(images)), config


def default_folder(source: Path) -> Path:
    """`runs/NAME`, NAME being that of the folder of images."""
    return Path("runs") / (source.resolve().stem or "collection")


def advance(
    source: Path,
    folder: Path,
    config: MineConfig,
    *,
    last: str,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> MiningRun:
    """Run the stages up to `last` in `folder`, skipping those that are done.

    Raises:
        ConfigError: the settings leave labels out.
    """
    if config.collection.label == "":
        raise ConfigError(
            'label "": what is typical of a label needs labels; name their column, or mine along '
            "a condition with `typika along`"
        )
    with opened(source, folder, config, workers, overwrite, device) as mining:
        mining.advance_to(STAGES[-1] if last == "report" else last)
        if last == "report":
            write_report(mining, config)
    ranks.leave()
    return MiningRun(folder)


@contextmanager
def opened(
    source: Path,
    folder: Path,
    config: MineConfig,
    workers: int | None,
    overwrite: bool,
    device: str = "auto",
) -> Iterator[Mining]:
    """Open the run folder and keep it to this process, or to its ranks."""
    model = collection_model(config, device)
    facts = {
        # Relative, so that images and runs can move together.
        "source": Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix(),
        "device": model.device(),
    }
    if ranks.world().leads:
        model.encoding()  # a checkpoint that cannot be used is told before a folder is made
    with Run.create(folder, config, facts=facts, overwrite=overwrite) as run:
        yield Mining(run, source, config, workers or parallel.default_workers(), device)


def recorded(folder: Path) -> tuple[Path, MineConfig]:
    """Source and configuration of an existing run.

    Raises:
        ConfigError: no run is there, or one along a condition.
    """
    if "condition" in Run.read(folder).manifest["config"]:
        raise ConfigError(
            f"{folder}: a run along a condition; only `typika along` goes on with it"
        )
    return recorded_as(folder, MineConfig)


def recorded_as(folder: Path, kind: type[Recorded]) -> tuple[Path, Recorded]:
    """The same, of any run, the configuration read as a `kind`."""
    manifest = Run.read(folder).manifest
    source = Path(os.path.normpath(folder.resolve() / manifest["source"]))
    return source, settings.build(kind, _without_none(manifest["config"]))


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def write_report(mining: Mining, config: MineConfig) -> None:
    """The report stage: report.html, figures/, MODEL_CARD.md and DATA_STATEMENT.md."""
    from typika.report.build import build_page
    from typika.report.card_inputs import write_cards
    from typika.report.cards import CARD_FILES
    from typika.report.figures import write_sheets
    from typika.report.html import write_report as write_page

    run = mining.run
    causes = {"cluster": run.output_digest("cluster"), "score": run.output_digest("score"),
              "evidence": run.output_digest("evidence"), "rare": run.output_digest("rare"),
              "artefacts": MaskText.parse(config.select.mask).artefacts,
              "report": settings.as_values(config.report)}  # fmt: skip
    log = read_log(run.folder)
    if log.standing:
        causes["curation"] = text_digest(as_text(log))

    def compute() -> None:
        inputs = curated_inputs(report_inputs(mining, time.strftime("%Y-%m-%d")), log)
        write_page(build_page(inputs, max_megabytes=config.report.max_megabytes),
                   run.path("report.html"))  # fmt: skip
        if config.report.sheets:
            write_sheets(inputs, run.path("figures"))
        write_cards(inputs, mining, settings.as_values(_unasked(config)))

    sheets = ("figures",) if config.report.sheets else ()
    outputs = ("report.html", *sheets, *CARD_FILES)
    run.stage(Stage(name="report", causes=causes, outputs=outputs), compute)


def _unasked(config: MineConfig) -> MineConfig:
    """The settings of this kind of model where nothing is asked for."""
    if isinstance(config.model, EmbeddedConfig):
        return configure()
    return configure({"model": {"checkpoint": config.model.checkpoint}})


# --- check --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What `typika check` found, in plain sentences."""

    collection: ImageCollection
    lines: tuple[str, ...]


def check(source: Path, config: MineConfig, workers: int | None = None) -> Findings:
    """Look at a collection: what is there, what is wrong, what mining it would cost."""
    count = workers or parallel.default_workers()
    collection = config.collection.open(source, count)
    config.prompt.template().require_columns(collection.table.column_names)
    lines = [*_what_is_there(collection), *_what_is_wrong(collection)]
    return Findings(collection=collection, lines=(*lines, *cost(collection, config, count)))


def _what_is_there(collection: ImageCollection) -> list[str]:
    counts = Counter(collection.table["label"].to_pylist())
    lines = [f"{len(collection)} images, {len(collection.labels)} labels"]
    lines += [f"  {label}: {counts[label]}" for label in collection.labels[:20]]
    if len(collection.labels) > 20:
        lines.append(f"  ... and {len(collection.labels) - 20} labels more")
    return lines


def _what_is_wrong(collection: ImageCollection) -> list[str]:
    lines = [f"note: {note}" for note in collection.notes]
    lines += [f"skipped: {item.file_name}: {item.reason}" for item in collection.skipped[:10]]
    if len(collection.skipped) > 10:
        lines.append(f"skipped: ... and {len(collection.skipped) - 10} more")
    few = [
        label
        for label, count in sorted(Counter(collection.table["label"].to_pylist()).items())
        if count < 30
    ]
    if few:
        lines.append(
            f"note: fewer than 30 images of {', '.join(few[:8])}{' ...' if len(few) > 8 else ''}; "
            "expect wide intervals there"
        )
    repeated = len(collection) - len(set(collection.table["duplicate"].to_pylist()))
    if repeated:
        lines.append(f"note: {repeated} images nearly repeat another; each such group counts once")
    return lines
