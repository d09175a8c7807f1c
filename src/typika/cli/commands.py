"""The commands: parse, call, print. Whatever needs torch is imported inside a command."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter

from typika import __version__
from typika.cli.export import export_patches
from typika.cli.fetch import fetch
from typika.cli.typewriter import app as typewriter_app
from typika.cli.view import view
from typika.console import duration, say
from typika.ranks import world

if TYPE_CHECKING:
    from typika.workflow import MineConfig, MiningRun

app = App(
    name="typika",
    version=__version__,
    help="What makes a label look like itself? Mines the typical elements of labelled images.",
    result_action="return_value",
)
app.command(typewriter_app)
app.command(export_patches, name="export")
app.command(view)
app.command(fetch)

WHAT = Group("What to mine", sort_key=1)
HOW = Group("How to run", sort_key=2)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class What:
    """Options that say where labels come from and what they are called."""

    label: Annotated[str | None, Parameter(group=WHAT)] = None
    "Column of the metadata table that holds the labels."
    bin: Annotated[str | None, Parameter(group=WHAT)] = None
    "Join numeric labels: `decade`, `century` or a width such as 25."
    prompt: Annotated[str | None, Parameter(group=WHAT)] = None
    "What a label is called, as in 'A car from the {label}s.'"
    null_prompt: Annotated[str | None, Parameter(group=WHAT)] = None
    "What an image of no label is called, as in 'A car.'"
    model: Annotated[str | None, Parameter(group=WHAT)] = None
    "Stable Diffusion checkpoint, a folder or a name on the hub; the embedded model by default."
    preset: Annotated[str | None, Parameter(group=WHAT)] = None
    "`paper`: the settings of the published method."
    recipe: Annotated[Path | None, Parameter(group=WHAT)] = None
    "TOML file with any of the settings that --dry-run prints."
    mask: Annotated[str | None, Parameter(group=WHAT)] = None
    "Where no patch may be: `border`, `border=0.05`, a PNG, boxes; or `artefacts` to hide those."
    set: Annotated[tuple[str, ...], Parameter(group=WHAT, negative="")] = ()
    "Any setting, as in --set score.against=null. May be repeated."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """Options that decide where and how fast, and nothing about the result."""

    out: Annotated[Path | None, Parameter(group=HOW)] = None
    "Run folder; runs/NAME by default."
    workers: Annotated[int | None, Parameter(group=HOW)] = None
    "Processes; one per core by default."
    device: Annotated[str, Parameter(group=HOW)] = "auto"
    "Where Stable Diffusion runs: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`."
    offline: Annotated[bool, Parameter(group=HOW, negative="")] = False
    "Fetch nothing: the checkpoint must be on this machine."
    overwrite: Annotated[bool, Parameter(group=HOW)] = False
    "Redo what another configuration made in the run folder."
    dry_run: Annotated[bool, Parameter(group=HOW, negative="")] = False
    "Print the configuration and the cost, and stop."
    ray: Annotated[str | None, Parameter(group=HOW)] = None
    "Encode, score and translate on a Ray cluster: `here`, `auto` or HOST:PORT; --workers actors."


@app.command
def mine(images: Path, *, what: What | None = None, how: How | None = None) -> None:
    """Mine a collection from images to report.

    Args:
        images: Folder with one folder per label, folder with metadata.csv, or table.
        what: Where labels come from.
        how: Where and how fast to run.
    """
    _advance(images, what, how, last="report")


@app.command
def train(images: Path, *, what: What | None = None, how: How | None = None) -> None:
    """Fit the model to a collection.

    Args:
        images: The images, or the folder of a run that was begun.
        what: Where labels come from.
        how: Where and how fast to run.
    """
    _advance(images, what, how, last="train")


@app.command
def score(images: Path, *, what: What | None = None, how: How | None = None) -> None:
    """Make the typicality map of every image.

    Args:
        images: The images, or the folder of a run that was begun.
        what: Where labels come from.
        how: Where and how fast to run.
    """
    _advance(images, what, how, last="score")


@app.command
def select(images: Path, *, what: What | None = None, how: How | None = None) -> None:
    """Choose the most typical patches of each label.

    Args:
        images: The images, or the folder of a run that was begun.
        what: Where labels come from.
        how: Where and how fast to run.
    """
    _advance(images, what, how, last="select")


@app.command
def cluster(images: Path, *, what: What | None = None, how: How | None = None) -> None:
    """Group the patches of each label into elements.

    Args:
        images: The images, or the folder of a run that was begun.
        what: Where labels come from.
        how: Where and how fast to run.
    """
    _advance(images, what, how, last="cluster")


@app.command
def report(images: Path, *, what: What | None = None, how: How | None = None) -> None:
    """Write the report, doing first whatever it still needs.

    Args:
        images: The images, or the folder of a run that was begun.
        what: Where labels come from.
        how: Where and how fast to run.
    """
    _advance(images, what, how, last="report")


@app.command
def baseline(name: str, images: Path, *, what: What | None = None, how: How | None = None) -> None:
    """Mine with a baseline in the place of typicality, down to the same report.

    Args:
        name: `random` or `negative`: the patches that the method would not choose; `linear-cam`,
            `linear-log-sum-exp`, `mlp-cam`, `mlp-log-sum-exp`: evidence of a classifier on the
            same features; `neighbours`: labels of the most similar patches; `clip-sim`,
            `clip-diff`: likeness to the prompt; `doersch`: discriminative detectors.
        images: The images, or the folder of a finished run, whose images, settings and features
            are taken over.
        what: Where labels come from.
        how: Where and how fast to run.
    """
    from typika import workflow
    from typika.config import as_values

    what, how = what or What(), how or How()
    if how.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    source, config = images, None
    if workflow.is_run(images):
        source, own = workflow.recorded(images)
        config = own if what == What() else _configure(what, as_values(own))
    config = config or _configure(what)
    if how.dry_run:
        _show_plan(source, workflow.with_baseline(config, name), how.workers)
        return
    started = time.monotonic()
    with _crew(how):
        run = workflow.baseline(
            name, _absolute(images, how), how.out and _absolute(how.out, how), config=config,
            workers=how.workers, device=how.device, overwrite=how.overwrite,
        )  # fmt: skip
    _show_end(run, "report", time.monotonic() - started)


@app.command
def along(
    images: Path,
    *,
    condition: Annotated[tuple[str, ...], Parameter(negative="")],
    what: What | None = None,
    how: How | None = None,
) -> None:
    """Mine what comes and goes along a number, a pair or a vector that each image has.

    Args:
        images: Folder with metadata.csv, or table; or the folder of a finished run, whose images,
            settings and features are taken over.
        condition: Column of numbers or of lists; two for a pair: --condition lat --condition lon.
        what: Where labels come from.
        how: Where and how fast to run.
    """
    from typika import workflow
    from typika.config import as_values
    from typika.trajectory import AlongConfig, planned
    from typika.trajectory import along as mine_along

    what, how = what or What(), how or How()
    if how.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    config = None
    if what != What():
        finished = workflow.is_run(images)
        under = as_values(workflow.recorded_as(images, AlongConfig)[1]) if finished else None
        config = _configure(what, under, AlongConfig)
    if how.dry_run:
        source, plan, _ = planned(images, condition, config)
        _show_plan(source, plan, how.workers)
        return
    with _crew(how):
        run = mine_along(
            _absolute(images, how), condition, how.out and _absolute(how.out, how), config=config,
            workers=how.workers, device=how.device, overwrite=how.overwrite,
        )  # fmt: skip
    if world().leads:
        print(run.page)


@app.command
def check(images: Path, *, what: What | None = None, workers: int | None = None) -> None:
    """Say what a collection holds, what is wrong with it, and what mining it would cost.

    Args:
        images: Folder with one folder per label, folder with metadata.csv, or table.
        what: Where labels come from.
        workers: Processes; one per core by default.
    """
    from typika import workflow

    for line in workflow.check(images, _configure(what or What()), workers).lines:
        print(line)


@app.command
def compare(
    first: Path,
    second: Path,
    /,
    *more: Path,
    regions: Path | None = None,
    out: Path | None = None,
) -> None:
    """Show finished runs over the same images: two side by side, or more in one table.

    Args:
        first: Folder of a finished run, which the others are held against.
        second: Folder of another, over the same images.
        more: Folders of further ones: of baselines, say.
        regions: Truth to hold the maps against: boxes as CSV (file_name,label,x,y,width,height),
            COCO or VOC, or a folder of masks.
        out: HTML file, or folder; in compare/ by default.
    """
    if more:
        from typika import methods

        print(methods.compare_methods((first, second, *more), regions, out).page)
        return
    from typika import comparison

    print(comparison.compare(first, second, regions, out).page)


@app.command
def evaluate(
    run: Path,
    *,
    regions: Path,
    before: Path | None = None,
    out: Path | None = None,
    workers: int | None = None,
) -> None:
    """Measure how well the maps of a run find what people drew, beside guesses about position.

    Args:
        run: Folder of a run that has been scored.
        regions: Truth: boxes as CSV (file_name,label,x,y,width,height), COCO .json or Pascal VOC
            .xml, or a folder of .xml files or of .png masks.
        before: Folder of another run over the same images, as one that was not finetuned.
        out: Folder of the page, the tables and the sheet; RUN/evaluation by default.
        workers: Processes; one per core by default.
    """
    from typika import localisation

    print(localisation.evaluate(run, regions, before, out, workers=workers).page)


@app.command
def translate(
    run: Path,
    *,
    to: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
    images: int = 0,
    preset: str | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    how: How | None = None,
) -> None:
    """Make the images of a run as they would look under other labels.

    Args:
        run: Folder of a trained run of Stable Diffusion.
        to: Labels to translate to; all of the run by default.
        images: Images of each label to translate; 0 for all.
        preset: `paper`: inversion in 999 steps, as published.
        set: Any setting that --dry-run prints, as in --set guidance=5. May be repeated.
        how: Where and how fast to run; --out is RUN/translate by default.
    """
    from typika import config, translation

    how = how or How()
    if how.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    given = config.from_settings(dict(config.parse_setting(text) for text in set))
    wanted = translation.configure(given, preset=preset)
    if how.dry_run:
        print(config.as_toml(wanted))
        for line in translation.plan(run, to, how.out, images=images, config=wanted):
            print(f"# {line}")
        return
    started = time.monotonic()
    with _crew(how):
        found = translation.translate(
            _absolute(run, how), to, how.out and _absolute(how.out, how), images=images,
            config=wanted, workers=how.workers, device=how.device, overwrite=how.overwrite,
        )  # fmt: skip
    if world().leads:
        say(f"{len(found.table)} translations; done in {duration(time.monotonic() - started)}")
        print(found.root)


@app.command
def cotypical(
    run: Path,
    *,
    translations: Path | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    how: How | None = None,
) -> None:
    """Show which elements stay typical when images are translated, and how they change.

    Args:
        run: Folder of a scored run whose images have been translated.
        translations: Folder of the parallel collection; RUN/translate/parallel by default.
        set: Any setting that --dry-run prints, as in --set reduction=umap. May be repeated.
        how: Where and how fast to run; --out is RUN/cotypical by default.
    """
    from typika import config, cotypicality

    how = how or How()
    if how.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    given = config.from_settings(dict(config.parse_setting(text) for text in set))
    wanted = cotypicality.configure(run, given)
    if how.dry_run:
        print(config.as_toml(wanted))
        found = cotypicality.opened(run, translations, how.out, how.workers, how.device)
        for line in cotypicality.plan(found):
            print(f"# {line}")
        return
    print(
        cotypicality.cotypical(
            run, translations, how.out, config=wanted, workers=how.workers, device=how.device,
            overwrite=how.overwrite,
        ).page
    )  # fmt: skip


@app.command
def trends(
    run: Path,
    *,
    segmenter: str = "",
    translations: Path | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    how: How | None = None,
) -> None:
    """Measure which classes of things translation to a label adds and takes away.

    Args:
        run: Folder of a run whose images have been translated.
        segmenter: A transformers segmentation model, a folder or a name on the hub; or a folder
            of ready masks: classes.csv (number,name), originals/ and translations/.
        translations: Folder of the parallel collection; RUN/translate/parallel by default.
        set: Any setting that --dry-run prints, as in --set least_area=0.01. May be repeated.
        how: Where and how fast to run; --out is RUN/trends by default.
    """
    from typika import config, segmentation

    how = how or How()
    if how.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    given = config.from_settings(dict(config.parse_setting(text) for text in set))
    wanted = segmentation.configure(given)
    if how.dry_run:
        work = segmentation.opened(
            run, segmenter, translations, how.out, wanted, how.workers, how.device
        )
        print(config.as_toml(work.config))
        for line in segmentation.plan(work):
            print(f"# {line}")
        return
    print(
        segmentation.trends(
            run, segmenter, translations, how.out, config=wanted, workers=how.workers,
            device=how.device, overwrite=how.overwrite,
        ).page
    )  # fmt: skip


@app.command
def bias(
    run: Path,
    *,
    generated: Path | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    how: How | None = None,
) -> None:
    """Show what a model draws too often, too rarely or never, beside the real images of a run.

    Args:
        run: Folder of a scored run.
        generated: Folder of labelled images by any generator, with a column `guidance` or without;
            by default the run's own Stable Diffusion draws them.
        set: Any setting that --dry-run prints, as in --set draw.images=50. May be repeated.
        how: Where and how fast to run; --out is RUN/bias by default.
    """
    from typika import biases, config

    how = how or How()
    if how.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    given = config.from_settings(dict(config.parse_setting(text) for text in set))
    wanted = biases.configure(run, given)
    if how.dry_run:
        print(config.as_toml(wanted))
        for line in biases.plan(run, generated, how.out, config=wanted, workers=how.workers):
            print(f"# {line}")
        return
    print(
        biases.bias(
            run, generated, how.out, config=wanted, workers=how.workers, device=how.device,
            overwrite=how.overwrite,
        ).page
    )  # fmt: skip


@app.command
def contrast(
    run: Path,
    *,
    against: Annotated[tuple[str, ...], Parameter(negative="")],
    classify: bool = True,
    out: Path | None = None,
    workers: int | None = None,
    device: str = "auto",
) -> None:
    """Find what is typical of each label against another, or against its parent in a tree.

    Args:
        run: Folder of a run that has been scored.
        against: A label; PARENT for a tree that the column `label_path` spells, as in
            Europe/France/Paris; or any text, if the model reads text. May be repeated.
        classify: Score every image under every label, for a confusion matrix of all labels.
        out: Folder of the page and the tables; RUN/contrast/AGAINST by default.
        workers: Processes; one per core by default.
        device: Where Stable Diffusion runs: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    """
    from typika import contrasts

    print(
        contrasts.contrast(
            run, against, out, classify=classify, workers=workers, device=device
        ).page
    )


@app.command
def demo(folder: Path = Path("demo"), *, seed: int = 0, workers: int | None = None) -> None:
    """Render four invented towns with planted elements, mine them, and count what was found.

    Args:
        folder: Where the images, the truth and the run go.
        seed: Of the images and of the run.
        workers: Processes; one per core by default.
    """
    from typika import demonstration

    started = time.monotonic()
    result = demonstration.run(folder, seed=seed, workers=workers)
    for line in result.missed:
        say(f"not found: {line}")
    print(f"planted elements found: {result.found} of {result.planted}")
    print(
        f"time: {duration(time.monotonic() - started)}, mining {duration(result.mining_seconds)}"
    )
    print(f"report: {result.report}")


def _advance(images: Path, what: What | None, how: How | None, *, last: str) -> None:
    from typika import workflow

    what, how = what or What(), how or How()
    if how.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    if (images / "run.json").exists() and what == What():
        source, config = workflow.recorded(images)
        folder = images
    else:
        source, config = images, _configure(what)
        folder = how.out or workflow.default_folder(images)
    if how.dry_run:
        _show_plan(source, config, how.workers)
        return
    started = time.monotonic()
    with _crew(how):
        run = workflow.advance(
            _absolute(source, how), _absolute(folder, how), config, last=last,
            workers=how.workers, device=how.device, overwrite=how.overwrite,
        )  # fmt: skip
    _show_end(run, last, time.monotonic() - started)


def _crew(how: How) -> AbstractContextManager[object]:
    """Ray actors for what can be done by them, where they are wanted."""
    if how.ray is None:
        return nullcontext()
    from typika.distributed import cluster

    return cluster(how.ray, how.workers)


def _absolute(path: Path, how: How) -> Path:
    """A path that holds on other machines too, where there are some."""
    return path if how.ray is None else path.absolute()


def _configure(
    what: What,
    under: Mapping[str, Any] | None = None,
    kind: type[MineConfig] | None = None,
) -> MineConfig:
    """Settings from flags over environment over recipe over `under` or the defaults."""
    from typika import config
    from typika.workflow import MineConfig, configure

    flags = config.from_settings(dict(config.parse_setting(text) for text in what.set))
    named = {
        "collection": {"label": what.label, "bin": what.bin},
        "prompt": {"label": what.prompt, "null": what.null_prompt},
        "model": {"checkpoint": what.model},
        "select": {"mask": what.mask},
    }
    given = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in named.items()
    }
    recipe = config.read_toml(what.recipe) if what.recipe else {}
    sources = (under or {}, recipe, config.from_environment(os.environ), flags, given)
    return configure(*sources, preset=what.preset, kind=kind or MineConfig)


def _show_plan(source: Path, settings: MineConfig, workers: int | None) -> None:
    from typika import config, workflow

    print(config.as_toml(settings))
    for line in workflow.check(source, settings, workers).lines:
        print(f"# {line}")


def _show_end(run: MiningRun, last: str, seconds: float) -> None:
    if not world().leads:
        return
    skipped = run.collection.skipped
    if skipped:
        say(f"{len(skipped)} items skipped; see {run.folder / 'skipped.csv'}")
    say(f"done in {duration(seconds)}")
    print(run.report if last == "report" else run.folder)
