"""Translation with Stable Diffusion's layers, and co-typicality on scenes of known translation.

The first part counts and measures plug-and-play diffusion on a tiny random network: passes through
the network, and how well sampling undoes inversion. The second renders scenes whose elements
change form with the label, lets the one who rendered them translate them, and asks whether the
clusters of sequences tell the kinds of element apart.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

import typika
from benchmarks import tiny_checkpoint
from benchmarks.record import Figure, Result, at_least, at_most
from typika import cotypicality, workflow
from typika.diffusion.checkpoints import Checkpoint
from typika.diffusion.sampling import ddim_step, following, invert, sampling_levels
from typika.diffusion.stable import Placement, StableConfig, StableDenoiser, placed
from typika.diffusion.translation import PRESETS, TranslationConfig, inverted, translate_to
from typika.errors import ConfigError
from typika.parallel import one_thread

LABELS = tuple(f"{year}s" for year in range(1900, 2000, 10))
SCENES = 24  # of each label
SETTINGS = {
    "model": {"sides": [256]}, "score": {"n_others": 0},
    "select": {"per_image": 3, "share": 0.8, "at_least": 1},
}  # fmt: skip


def network(folder: Path) -> StableDenoiser:
    checkpoint = Checkpoint.open(str(tiny_checkpoint.build(folder)))
    cpu = torch.device("cpu")
    texts = checkpoint.embed([*(f"A car from the {label}." for label in LABELS), "A car."], cpu)
    unet = placed(checkpoint.unet(), Placement(cpu, torch.float32, torch.float32))
    unet.conv_out.weight.data *= 0.3  # an untrained network varies more from step to step
    config = StableConfig(checkpoint=str(folder), resolution=64)
    return StableDenoiser(checkpoint, unet, texts, LABELS, config, cpu)


def passes(model: StableDenoiser, config: TranslationConfig) -> int:
    """Latents that pass through the network for one image and ten targets, counted."""
    counts: Counter[str] = Counter()

    def count(_module: object, inputs: tuple, _output: object) -> None:
        counts["items"] += len(inputs[0])

    latent = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))
    handle = model.unet.register_forward_hook(count)
    source = inverted(model, latent, 0, config)
    translate_to(model, source, range(len(LABELS)), config, at_once=20)
    handle.remove()
    return counts["items"]


def there_and_back(model: StableDenoiser, steps: int) -> float:
    """Root mean square error of a latent of unit variance after inversion and sampling."""
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    noisy = invert(model, latent, [0], n_steps=steps, n_inversion_steps=steps)[0]
    levels = sampling_levels(steps)
    for step, level in enumerate(torch.split(levels, 1)):
        (predicted,) = model.predict(noisy, level, torch.tensor([[0]]))
        noisy = ddim_step(noisy, predicted, level, following(levels, step))
    return float((noisy - latent).pow(2).mean().sqrt())


def purity(
    found: typika.Cotypicality, shown: Callable[[str, tuple[int, int, int, int]], str]
) -> tuple[float, float, int]:
    """Share of clustered sequences that show their cluster's kind; share clustered; kinds.

    shown: the kind that a box of an image, by file name, shows; "" for none.
    """
    counts: Counter[tuple[int, str]] = Counter()
    for row in found.sequences.to_pylist():
        if row["original"]:
            box = (row["left"], row["top"], row["right"], row["bottom"])
            counts[row["cluster"], shown(row["source_name"], box)] += 1
    own: dict[int, Counter[str]] = {}
    for (cluster, kind), count in counts.items():
        if cluster >= 0:
            own.setdefault(cluster, Counter())[kind] += count
    # A sequence that shows nothing planted is impure wherever it is.
    best = [max(((n, kind) for kind, n in one.items() if kind), default=(0, ""))
            for one in own.values()]  # fmt: skip
    clustered = sum(one.total() for one in own.values())
    return (sum(n for n, _ in best) / clustered, clustered / counts.total(),
            len({kind for _, kind in best if kind}))  # fmt: skip


def planted(folder: Path) -> tuple[list[Figure], list[str]]:
    scenes = tiny_checkpoint.of_tests("parallel_scenes")
    images = scenes.build(folder / "images", SCENES)
    run = workflow.advance(images, folder / "run", workflow.configure(SETTINGS), last="score")
    typika.translate(run, translator=scenes.translator, workers=1)
    figures, notes = [], []
    for reduction in ("umap", "pca"):
        try:
            config = cotypicality.configure(run, {"reduction": reduction})
        except ConfigError as error:
            notes.append(f"Without UMAP: {error}.")
            continue
        started = time.monotonic()
        found = typika.cotypical(run, out=folder / reduction, config=config)
        pure, clustered, kinds = purity(found, lambda name, box: scenes.Scene.of(name).shown(box))
        figures.append(at_least(f"purity-{reduction}", pure, 0.9, "of clustered sequences"))
        notes.append(
            f"{reduction}: {len(found.clusters)} clusters, {kinds} of {len(scenes.KINDS)} kinds "
            f"own one, {clustered:.0%} of the sequences are in one; "
            f"{time.monotonic() - started:.0f} s, scoring of the translations among them."
        )
    return figures, notes


def run() -> Result:
    with tempfile.TemporaryDirectory() as place, one_thread():
        folder = Path(place)
        model = network(folder / "tiny")
        lean = passes(model, TranslationConfig())
        published = passes(model, TranslationConfig(**PRESETS["paper"]))
        errors = {steps: there_and_back(model, steps) for steps in (50, 200)}
    with tempfile.TemporaryDirectory() as place:
        figures, notes = planted(Path(place))
    return Result(
        figures=(
            at_most("passes-published", published, 2049, "latents for ten targets"),
            at_most("passes-lean", lean, 1100, "latents for ten targets"),
            *(at_most(f"there-and-back-{steps}", error, limit, "of the latent's deviation")
              for (steps, error), limit in zip(errors.items(), (0.15, 0.05), strict=True)),
            *figures,
        ),
        notes=(
            tiny_checkpoint.STANDS_FOR,
            "There and back: inversion and sampling without guidance, by a network whose output "
            "is damped to 0.3; undamped random weights vary more from step to step, and err more.",
            f"{4 * SCENES} scenes of four labels, each with a window, a lamp and a door, whose "
            "colour and number of parts are the label's; translated by rendering them again.",
            *notes,
        ),
    )  # fmt: skip
