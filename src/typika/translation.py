"""The images of a run as they would look under other labels: `typika translate`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from typika import config as settings
from typika import parallel, ranks
from typika.collection.images import ImageCollection
from typika.collection.parallel import (
    ParallelCollection,
    source_rows,
    translation_path,
    write_translations,
)
from typika.cost import translation_cost
from typika.diffusion.stable import StableConfig, StableDenoiser
from typika.diffusion.translation import PRESETS, TranslationConfig, inverted, translate_to
from typika.errors import ConfigError
from typika.files import whole_file
from typika.mining.pipeline import Mining
from typika.parallel import Advance, run_parts
from typika.run import Run, Stage
from typika.workflow import MiningRun, recorded

Translator = Callable[[ImageCollection, int, str], Image.Image]
"""A function: collection, row of it and target label -> the image under that label."""

PARALLEL, INVERSIONS = "parallel", "inversions"


def configure(*sources: settings.Values, preset: str | None = None) -> TranslationConfig:
    """The settings of a translation. preset: "paper": inversion in 999 steps, as published.

    Raises:
        ConfigError: a setting or preset that is not known, or a value that cannot be.
    """
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"preset {preset!r}: expected one of {', '.join(PRESETS)}")
    return settings.build(TranslationConfig, *([PRESETS[preset]] if preset else []), *sources)


def translate(
    run: str | Path | MiningRun,
    to: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    images: int = 0,
    config: TranslationConfig | None = None,
    translator: Translator | None = None,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> ParallelCollection:
    """Translate the mined images of a run to other labels, and gather the parallel collection.

    What is there already is kept, so that an interrupted call, more labels and more images go on
    where the last call stopped.

    run: a run of Stable Diffusion that has been trained. to: labels, all of them by default; an
    image is not translated to its own. out: folder, `RUN/translate` by default. images: of each
    label, 0 for all. translator: instead of the run's model, of any kind of run.

    Raises:
        ConfigError: the run cannot translate, has no such label, or `out` was made with other
            settings.
        ModelError: the network lacks the layers that plug-and-play diffusion takes over.
    """
    work = Work.of(run, to, out, images, config, translator, workers, device)
    with Run.create(work.out, work.config, facts=work.facts(), overwrite=overwrite) as folder:
        folder.stage(Stage(name="model", causes=work.causes(), outputs=()), work.clear)
        work.compute()
        ranks.wait()
        root = work.out / PARALLEL
        found = ParallelCollection.gather(root, work.collection) if ranks.world().leads else None
        ranks.wait()
    ranks.leave()
    return found or ParallelCollection.read(root)


def plan(
    run: str | Path,
    to: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    images: int = 0,
    config: TranslationConfig | None = None,
) -> list[str]:
    """What `translate` would take, in plain sentences. Raises as `translate`."""
    work = Work.of(run, to, out, images, config, None, 1, "auto")
    counts = [len(work.missing(row)) for row in work.rows]
    model = work.mining.config.model
    assert isinstance(model, StableConfig)
    return translation_cost(work.collection, model, work.rows, counts, work.config)


@dataclass(frozen=True)
class Work:
    """What is to be translated, and how."""

    mining: Mining
    collection: ImageCollection
    rows: list[int]
    targets: tuple[str, ...]
    out: Path
    config: TranslationConfig
    translator: Translator | None
    workers: int

    @classmethod
    def of(
        cls,
        run: str | Path | MiningRun,
        to: Sequence[str],
        out: str | Path | None,
        images: int,
        config: TranslationConfig | None,
        translator: Translator | None,
        workers: int | None,
        device: str,
    ) -> Work:
        """Open the run and look whether it can do what is asked."""
        folder = run.folder if isinstance(run, MiningRun) else Path(run)
        count = workers or parallel.default_workers()
        mining = trained(folder, count, device, drawing=translator is None)
        if images < 0:
            raise ConfigError(f"images={images}: need 0 (all) or more of each label")
        collection = mining.collection
        for label in to:
            if label not in collection.labels:
                raise ConfigError(
                    f"label {label!r}: not of {folder}, which has {', '.join(collection.labels)}"
                )
        rows = source_rows(collection, collection.in_split(mining.config.collection.mine), images)
        targets = tuple(one for one in collection.labels if one in to or not to)
        place = Path(out) if out else folder / "translate"
        return cls(mining, collection, rows, targets, place, config or TranslationConfig(),
                   translator, count)  # fmt: skip

    def facts(self) -> dict[str, str]:
        """What the manifest records beside the settings."""
        relative = os.path.relpath(self.mining.folder.resolve(), self.out.resolve())
        device = "" if self.translator else self.mining.model.device()
        return {"run": Path(relative).as_posix(), "device": device}

    def causes(self) -> dict[str, object]:
        """Everything but images and labels that decides a translation."""
        run = self.mining.run
        if self.translator is not None:
            return {"translator": getattr(self.translator, "__qualname__", ""),
                    "collect": run.output_digest("collect")}  # fmt: skip
        model = self.mining.model
        return {
            **{stage: run.output_digest(stage) for stage in ("collect", "encode", "train")},
            **model.fitting(),
            "translation": settings.as_values(self.config),
        }

    def clear(self) -> None:
        """Remove what other causes made."""
        for name in (PARALLEL, INVERSIONS):
            shutil.rmtree(self.out / name, ignore_errors=True)

    def missing(self, row: int) -> list[str]:
        """Labels that an image has still to be translated to."""
        image_id = self.collection.table["image_id"][row].as_py()
        own = self.collection.table["label"][row].as_py()
        return [
            label
            for label in self.targets
            if label != own and not translation_path(self.out / PARALLEL, label, image_id).exists()
        ]

    def compute(self) -> None:
        """Make every translation that is missing; ranks share the images."""
        rows = ranks.world().share([row for row in self.rows if self.missing(row)])
        workers = self.workers if self.translator else self.mining.model.workers(self.workers)
        run_parts(
            _translate_rows, (self,), rows, workers=workers, name="Translating",
            size=lambda _: 1, hands=workers, on_gpu=self.translator is None,
        )  # fmt: skip


def trained(folder: Path, workers: int, device: str, *, drawing: bool) -> Mining:
    """The run, once its model is trained.

    drawing: whether the model must draw images.

    Raises:
        ConfigError: it is no run, is not trained yet, or cannot draw.
    """
    source, config = recorded(folder)
    if drawing and (config.baseline.of_maps or not isinstance(config.model, StableConfig)):
        raise ConfigError(
            f"{folder}: its model has no decoder, so it can score images and not draw them; mine "
            "the collection with Stable Diffusion (`typika mine IMAGES --model CHECKPOINT`) and "
            "translate that run"
        )
    if isinstance(config.model, StableConfig):  # compiled networks run past the injections
        config = replace(config, model=replace(config.model, compile=False))
    run = Run.read(folder)
    if "train" not in run.seconds():
        raise ConfigError(f"{folder}: its model is not trained yet; run `typika train {folder}`")
    return Mining(run, source, config, workers, device)


def _translate_rows(work: Work, rows: Iterable[int], advance: Advance) -> None:
    draw = _own_translator(work) if work.translator is None else _given_translator(work)
    for row in rows:
        labels = work.missing(row)
        image_id = work.collection.table["image_id"][row].as_py()
        write_translations(work.out / PARALLEL, image_id, labels, draw(row, labels))
        advance(1)


def _given_translator(work: Work) -> Callable[[int, Sequence[str]], list[Image.Image]]:
    function = work.translator
    assert function is not None
    return lambda row, labels: [function(work.collection, row, label) for label in labels]


def _own_translator(work: Work) -> Callable[[int, Sequence[str]], list[Image.Image]]:
    """Plug-and-play diffusion by the run's model; inversions come from the cache."""
    mining, collection, config = work.mining, work.collection, work.config
    (denoiser,) = mining.model.denoisers(collection.labels, mining.folder)
    assert isinstance(denoiser, StableDenoiser)
    (latents,) = mining.model.latents(len(collection), mining.folder)
    batch = mining.model.batch_size(1, mining.folder)

    def draw(row: int, labels: Sequence[str]) -> list[Image.Image]:
        label = int(collection.label_index[row])
        image_id = collection.table["image_id"][row].as_py()
        path = work.out / INVERSIONS / f"{image_id}.npy"
        if not path.exists():
            source = inverted(denoiser, latents.latent(row), label, config)
            with whole_file(path) as temporary, temporary.open("wb") as handle:
                np.save(handle, source.numpy(), allow_pickle=False)
        source = torch.from_numpy(np.load(path, allow_pickle=False))
        targets = [collection.labels.index(one) for one in labels]
        found = batch.attempt(
            lambda size: translate_to(denoiser, source, targets, config, at_once=size)
        )
        return [denoiser.autoencoder.decode(latent) for latent in found]

    return draw
