"""The whole path of Stable Diffusion on pictures that it can draw: do translations look right?

A small Stable Diffusion is trained from nothing on rendered scenes, whose signs and flags take a
form that is the label's (`benchmarks/scenes.py`). Further scenes are mined with it, translated to
the other labels by plug-and-play diffusion, and their co-typical places grouped. A classifier that
learned from real renders says what stands in the element boxes of the translations; outside them a
translation should be its source.

What limits it was looked for on the scenes that settings are chosen on. Neither autoencoder nor
inversion do: decoding alone and redrawing under the own label without guidance both keep an SSIM
of .96 with windows across the boxes' edges, and 200 steps of inversion add .001. Taking nothing
over from the source gives as many boxes the target's form. What costs likeness is guidance; what
costs form is the network, which blurs edges and mixes paints.

    python -m benchmarks.whole_path FOLDER      # leaves checkpoint, runs and pictures there
    WHOLE_PATH_FOLDER=FOLDER python -m benchmarks whole_path    # goes on from what is there
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import nn

import typika
from benchmarks import scenes, small_diffusion, tiny_checkpoint
from benchmarks.record import Figure, Result, at_least
from benchmarks.scenes import KINDS, LABELS, SIDE, Box, Scene
from benchmarks.translation import purity
from typika import cotypicality, workflow
from typika.collection.parallel import ParallelCollection
from typika.diffusion.stable import StableDenoiser
from typika.diffusion.translation import TranslationConfig, inverted, translate_to
from typika.workflow import MiningRun

# Numbers of collections without a common scene, and their scenes of each label.
LEARNED, MINED, TRIED, JUDGED, HELD_OUT = 1, 2, 3, 4, 5
SCENES = {LEARNED: 800, MINED: 8, TRIED: 4, JUDGED: 300, HELD_OUT: 60}

# What is tried on other scenes than those reported: settings that a user can give.
TRIALS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "guidance 4": {"guidance": 4.0},
    "guidance 3": {"guidance": 3.0},
    "guidance 2.5": {"guidance": 2.5},
}


def settings(checkpoint: Path, resolution: int = SIDE) -> workflow.MineConfig:
    """Of a run: the checkpoint as it is, since it has seen these labels under these prompts."""
    return workflow.configure({
        "collection": {"weigh_duplicates": True},  # scenes are few lines: some look much alike
        "prompt": {"label": scenes.PROMPTS.label, "null": scenes.PROMPTS.null},
        "model": {"checkpoint": str(checkpoint), "resolution": resolution, "finetune": "none",
                  "feature_block": 2},
        "score": {"n_draws": 16, "n_others": 0},
        "select": {"patch_size": 0.33, "per_image": 2, "share": 0.8, "at_least": 1},
    })  # fmt: skip


# --- what stands in a box -----------------------------------------------------------------------

CROP = 16  # pixels of what the judge sees
MOVED = 3  # pixels by which boxes that it learns from are moved, at most
COPIES = 3  # of each box that it learns from, each moved and spoilt anew
NOTHING = len(KINDS) * len(LABELS)


def crop(picture: Image.Image, box: Box) -> Float[ndarray, "3 CROP CROP"]:
    """What a box holds, 0 to 1."""
    small = picture.crop(box).resize((CROP, CROP), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / 255


def elsewhere(scene: Scene, rng: np.random.Generator) -> Box:
    """A box of an element's size that shows no element."""
    while True:
        size = int(rng.integers(18, 22))
        left, top = (int(place) for place in rng.integers(0, SIDE - size, 2))
        box = (left, top, left + size, top + size)
        if not scene.shown(box, share=0.3):
            return box


def spoilt(seen: Float[ndarray, "3 CROP CROP"], rng: np.random.Generator) -> ndarray:
    """A little blurred, and lighter, darker or tinted: a form is the same in soft, other paint."""
    softness = rng.uniform(0, 1)
    soft = gaussian_filter(seen, (0, softness, softness))
    gain, shift = rng.uniform(0.8, 1.2, (3, 1, 1)), rng.uniform(-0.1, 0.1, (3, 1, 1))
    tinted: ndarray = (soft * gain + shift).clip(0, 1).astype(np.float32)
    return tinted


@dataclass(frozen=True)
class Judge:
    """A classifier of boxes: which element in whose form, or nothing; learned from renders.

    One that has only seen crisp renders exactly in their boxes says "nothing" to what is blurred
    or lies two pixels aside, in any form: it is right on 74 % of held-out renders spoilt as ours.
    """

    network: nn.Module

    @classmethod
    def learned(cls, moved: int = MOVED, copies: int = COPIES) -> Judge:
        """Train on rendered scenes, boxes moved and spoilt; without copies on crisp boxes."""
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(48 * (CROP // 4) ** 2, 64), nn.ReLU(),
            nn.Linear(64, NOTHING + 1),
        )  # fmt: skip
        crops, truth = examples(JUDGED, moved, copies)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(12 if not copies else 18 // copies):
            for part in torch.randperm(len(crops)).split(64):
                loss = nn.functional.cross_entropy(network(crops[part]), truth[part])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return cls(network.eval())

    @torch.inference_mode()
    def __call__(self, crops: torch.Tensor) -> list[tuple[str, str]]:
        """Kind and label of the form seen in each crop; two empty texts for nothing."""
        seen = self.network(crops).argmax(dim=1).tolist()
        names = [(kind, label) for kind in KINDS for label in LABELS]
        return [("", "") if one == NOTHING else names[one] for one in seen]

    def accuracy(self, moved: int = 0, copies: int = 0) -> float:
        """On renders that it has not learned from."""
        crops, truth = examples(HELD_OUT, moved, copies)
        with torch.inference_mode():
            return float((self.network(crops).argmax(dim=1) == truth).float().mean())


def examples(collection: int, moved: int, copies: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops of a collection's elements, and of as many boxes without one, with their classes.

    moved: pixels by which boxes of elements are moved, at most. copies: of each, spoilt; with 0
    there is one as it was rendered.
    """
    rng = np.random.default_rng(collection)
    crops, truth = [], []
    for label, name in enumerate(LABELS):
        for number in range(SCENES[collection]):
            scene = Scene((collection, label, number))
            picture = scene.render(name)
            for _ in range(max(copies, 1)):
                boxes = [elsewhere(scene, rng)]
                for left, top, right, bottom in scene.boxes().values():
                    across, down = (int(by) for by in rng.integers(-moved, moved + 1, 2))
                    boxes.append((left + across, top + down, right + across, bottom + down))
                seen = [crop(picture, box) for box in boxes]
                crops += [spoilt(one, rng) for one in seen] if copies else seen
                truth += [NOTHING, *(kind * len(LABELS) + label for kind in range(len(KINDS)))]
    return torch.from_numpy(np.stack(crops)), torch.tensor(truth)


# --- how like its source ------------------------------------------------------------------------


def similarity(
    one: Image.Image, other: Image.Image, counted: Bool[ndarray, "SIDE SIDE"]
) -> Float[ndarray, "SIDE SIDE"]:
    """Structural similarity of the counted surroundings of every pixel, mean of the channels.

    SSIM = (2 m m' + c₁)(2 s + c₂) / ((m² + m'² + c₁)(v + v' + c₂)) with means m, variances v and
    covariance s of the counted pixels under a Gaussian of 1.5 pixels, c = (0.01 L)², (0.03 L)²,
    L = 255 (Wang et al. 2004).
    """
    weight = counted[:, :, None].astype(np.float64)

    def local(values: ndarray) -> ndarray:
        found: ndarray = gaussian_filter(values, (1.5, 1.5, 0), truncate=3.5)
        return found

    share = np.maximum(local(weight), 1e-9)  # none around pixels that nobody asks about

    def mean(values: ndarray) -> ndarray:
        return local(values * weight) / share

    x, y = (np.asarray(image, dtype=np.float64) for image in (one, other))
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    m, n = mean(x), mean(y)
    v, w, s = mean(x * x) - m * m, mean(y * y) - n * n, mean(x * y) - m * n
    found: ndarray = (2 * m * n + low) * (2 * s + high) / ((m * m + n * n + low) * (v + w + high))
    return found.mean(axis=2)


def similarity_outside(scene: Scene, one: Image.Image, other: Image.Image) -> tuple[float, float]:
    """Mean structural similarity over the pixels outside all element boxes of a scene.

    First of surroundings that end at the boxes, so that what changes form there does not count and
    what spills over does; then of whole ones, where a perfect translation has 0.92 and not 1.
    """
    outside = np.ones((SIDE, SIDE), dtype=bool)
    for left, top, right, bottom in scene.boxes().values():
        outside[top:bottom, left:right] = False
    ending, whole = (similarity(one, other, counted)[outside].mean()
                     for counted in (outside, np.ones_like(outside)))  # fmt: skip
    return float(ending), float(whole)


# --- pictures, and what is seen in them ---------------------------------------------------------


@dataclass(frozen=True)
class View:
    """A scene of one label as a picture shows it under another, or the same."""

    scene: Scene
    source: str
    target: str
    picture: Image.Image


def scenes_of(collection: int, *, translated: bool = False) -> Iterator[View]:
    """The scenes for every other label as none or a perfect translation would leave them."""
    for label, source in enumerate(LABELS):
        for number in range(SCENES[collection]):
            scene = Scene((collection, label, number))
            for target in LABELS:
                if target != source:
                    shown = scene.render(target if translated else source)
                    yield View(scene, source, target, shown)


def views(translations: ParallelCollection) -> Iterator[View]:
    """All translations."""
    for row in translations.table.to_pylist():
        with Image.open(translations.root / row["file_name"]) as picture:
            picture.load()
            scene = Scene.of(row["source_name"])
            yield View(scene, row["source_label"], row["label"], picture)


@dataclass(frozen=True)
class Seen:
    """What the judge sees in element boxes, as shares, and what is left of the rest.

    target: of boxes of translations, the target's form; source: the source's own form; kind: of
    boxes by kind, the target's form; outside: SSIM with the source outside the boxes; across: the
    same with what its windows see across their edges.
    """

    target: float
    source: float
    kind: Mapping[str, float]
    outside: float
    across: float

    def row(self, name: str) -> str:
        kinds = " | ".join(f"{self.kind[kind]:.0%}" for kind in KINDS)
        return (f"| {name} | {self.target:.0%} | {self.source:.0%} | {kinds} | "
                f"{self.outside:.3f} | {self.across:.3f} |")  # fmt: skip


HEAD = (
    f"| setting | target's form | source's form | {' | '.join(KINDS)} | SSIM outside | "
    "with windows across the boxes' edges |\n|---|---|---|---|---|---|---|"
)


def judged(judge: Judge, pictures: Iterable[View]) -> Seen:
    """Look at every element box of every picture."""
    crops, outside = [], []
    wanted: list[tuple[str, View]] = []
    for view in pictures:
        source = view.scene.render(view.source)
        outside.append(similarity_outside(view.scene, view.picture, source))
        for kind, box in view.scene.boxes().items():
            crops.append(crop(view.picture, box))
            wanted.append((kind, view))
    found = judge(torch.from_numpy(np.stack(crops)))
    hits: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    stays = []
    for one, (kind, view) in zip(found, wanted, strict=True):
        hits[kind].append(one == (kind, view.target))
        stays.append(one == (kind, view.source))
    return Seen(
        target=float(np.mean(np.concatenate(list(hits.values())))),
        source=float(np.mean(stays)),
        kind={kind: float(np.mean(values)) for kind, values in hits.items()},
        outside=float(np.mean(outside, axis=0)[0]),
        across=float(np.mean(outside, axis=0)[1]),
    )


@dataclass(frozen=True)
class Bench:
    """The folder of the benchmark: a checkpoint, and runs with it."""

    folder: Path

    @cached_property
    def checkpoint(self) -> Path:
        """Trained unless it is there."""
        place = self.folder / "checkpoint"
        if not (place / small_diffusion.RECORD).exists():
            images = scenes.build(self.folder / "learned", SCENES[LEARNED], LEARNED)
            small_diffusion.train(images, place)
        return place

    def run(self, collection: int, last: str) -> MiningRun:
        """Scenes mined with the checkpoint."""
        name = f"scenes-{collection}"
        images = scenes.build(self.folder / name, SCENES[collection], collection)
        return workflow.advance(
            images, self.folder / f"run-{collection}", settings(self.checkpoint), last=last,
            device="cpu",
        )  # fmt: skip

    def translated(self, run: MiningRun, config: TranslationConfig) -> ParallelCollection:
        """The run's images under all other labels."""
        out = run.folder / "translations" / _folder_name(config)
        return typika.translate(run, out=out, config=config, device="cpu")

    def drawn_again(self, collection: int, config: TranslationConfig | None) -> Iterator[View]:
        """Scenes through the autoencoder alone, or "translated" to the label that they have."""
        run, mined, model, denoiser = tiny_checkpoint.opened(
            self.run(collection, "train"), settings(self.checkpoint)
        )
        assert isinstance(denoiser, StableDenoiser)
        (latents,) = model.latents(len(mined), run.folder)
        for row, name in enumerate(mined.table["file_name"].to_pylist()):
            label, latent = int(mined.label_index[row]), latents.latent(row)
            if config is not None:
                source = inverted(denoiser, latent, label, config)
                (latent,) = translate_to(denoiser, source, [label], config, at_once=2)
            picture = denoiser.autoencoder.decode(latent)
            yield View(Scene.of(name), LABELS[label], LABELS[label], picture)


def _folder_name(config: TranslationConfig) -> str:
    return (f"{config.steps}-{config.inversion_steps}-{config.guidance:g}-{config.features:g}-"
            f"{config.attention:g}")  # fmt: skip


def rows_of(run: MiningRun, translations: ParallelCollection, path: Path, count: int = 16) -> None:
    """A picture: sources at the left, then each under every label, with the elements' boxes."""
    sources = list(dict.fromkeys(translations.table["source_name"].to_pylist()))
    chosen = sources[:: max(1, len(sources) // count)][:count]
    files = {(row["source_name"], row["label"]): translations.root / row["file_name"]
             for row in translations.table.to_pylist()}  # fmt: skip
    sheet = Image.new("RGB", ((SIDE + 4) * (1 + len(LABELS)), (SIDE + 4) * len(chosen)), "white")
    for down, name in enumerate(chosen):
        pictures = [run.collection.root / name]
        pictures += [files.get((name, label), pictures[0]) for label in LABELS]
        for across, picture in enumerate(pictures):
            with Image.open(picture) as opened:
                sheet.paste(opened, (across * (SIDE + 4), down * (SIDE + 4)))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST).save(path)


# --- the benchmark ------------------------------------------------------------------------------


def chosen(trials: Mapping[str, Seen]) -> str:
    """The setting under which most boxes show the target's form and the rest is kept."""
    kept = {name: seen for name, seen in trials.items() if seen.outside >= 0.8} or trials
    return max(kept, key=lambda name: kept[name].target)


def cotypical(bench: Bench, run: MiningRun, config: TranslationConfig) -> tuple[Figure, str]:
    """The co-typical clusters of the translations: is each of one kind of element?"""
    place = run.folder / "translations" / _folder_name(config)
    found = typika.cotypical(
        run, place / "parallel", out=bench.folder / "cotypical",
        config=cotypicality.configure(run), device="cpu",
    )  # fmt: skip
    pure, clustered, kinds = purity(found, lambda name, box: Scene.of(name).shown(box))
    shown = [bool(Scene.of(row["source_name"]).shown(
                 (row["left"], row["top"], row["right"], row["bottom"])))
             for row in found.sequences.to_pylist() if row["original"]]  # fmt: skip
    note = (
        f"Co-typical: {len(shown)} sequences, {np.mean(shown):.0%} of them at an element; "
        f"{len(found.clusters)} clusters hold {clustered:.0%}, {kinds} of {len(KINDS)} kinds own "
        "one. A sequence shows a kind if it holds half of the element."
    )
    return at_least("purity", pure, 0.8, "of clustered sequences"), note


def measured(bench: Bench) -> Result:
    """Train, choose on some scenes, report on others."""
    trained = small_diffusion.Trained.read(bench.checkpoint)
    judge = Judge.learned()
    tried = bench.run(TRIED, "train")
    trials = {
        name: judged(judge, views(bench.translated(tried, TranslationConfig(**values))))
        for name, values in TRIALS.items()
    }
    best = chosen(trials)
    run = bench.run(MINED, "score")
    results = {
        "the scenes themselves": judged(judge, scenes_of(MINED)),
        "perfect translation": judged(judge, scenes_of(MINED, translated=True)),
        "encoded and decoded": judged(judge, bench.drawn_again(MINED, None)),
    }
    config = TranslationConfig(**TRIALS[best])
    translations = bench.translated(run, config)
    rows_of(run, translations, bench.folder / "rows.png")
    crisp = Judge.learned(moved=1, copies=0)
    results[best] = judged(judge, views(translations))
    results[f"{best}, to a judge of crisp renders"] = judged(crisp, views(translations))
    trials["the best to the own label"] = judged(judge, bench.drawn_again(TRIED, config))
    pure, note = cotypical(bench, run, config)
    intro = (
        f"Trained from nothing on {len(LABELS) * SCENES[LEARNED]:,} scenes of {SIDE} pixels "
        f"({small_diffusion.SmallConfig().images:,} images seen by the denoising network) in "
        f"{trained.seconds:.0f} s. The judge is right on {judge.accuracy():.1%} of boxes of "
        f"held-out renders, and on {judge.accuracy(MOVED, 1):.1%} of them moved and spoilt; one "
        f"of crisp renders on {crisp.accuracy():.1%} and {crisp.accuracy(MOVED, 1):.1%}. "
        f"Reported: {len(LABELS) * SCENES[MINED]} scenes to three labels each; "
        f"{best!r} was chosen on {len(LABELS) * SCENES[TRIED]} other scenes."
    )
    return Result(
        figures=(
            pure,
            at_least("outside", results[best].outside, 0.8, "SSIM with the source"),
            at_least("target-form", results[best].target, 0.7, "of element boxes"),
        ),
        notes=(intro, _table(results), f"Tried on the other scenes:\n\n{_table(trials)}", note),
    )


def _table(rows: Mapping[str, Seen]) -> str:
    return "\n".join([HEAD, *(seen.row(name) for name, seen in rows.items())])


def run() -> Result:
    kept = os.environ.get("WHOLE_PATH_FOLDER")
    if kept:
        return measured(Bench(Path(kept)))
    with tempfile.TemporaryDirectory() as place:
        return measured(Bench(Path(place)))


if __name__ == "__main__":
    result = measured(Bench(Path(sys.argv[1])))
    print("\n\n".join(result.notes))
    for figure in result.figures:
        print(figure.line())
