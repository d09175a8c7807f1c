"""The default design against the published one: the same patches, for how many denoiser calls?

One finetuned tiny network scores the demo's images by the default design and twice by the
published one, 100 independent draws and a sample of the posterior, for several seeds. Two
published runs agree with each other only so far; the default is held against that.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from PIL import Image
from scipy.stats import spearmanr

from benchmarks import small, tiny_checkpoint
from benchmarks.calls import counted
from benchmarks.record import Result, at_least, at_most
from typika.collection.images import ImageCollection
from typika.diffusion.checkpoints import Checkpoint
from typika.diffusion.denoiser import Denoiser
from typika.diffusion.latents import LatentStore
from typika.diffusion.schedule import Density, Kind, noise_design
from typika.diffusion.stable import pixels
from typika.diffusion.stable_model import PosteriorLatents, StableModel
from typika.mining import patches
from typika.mining.patches import SelectConfig
from typika.mining.typicality import level_spread, typicality_maps
from typika.parallel import one_thread

SEEDS = (0, 1, 2)
N_PER_LABEL, LABELS = 16, 2
PILOT = 3  # images, a tenth of them, as the default's 64 are of 640
RESOLUTION, TRAINED_ON = 96, 800  # pixels; images seen in finetuning
NARROW = 0.01  # spread of the posterior over that of the latents
SELECT = SelectConfig(share=0.2, at_least=1)


@dataclass(frozen=True)
class Scored:
    """Maps of all images in pixels, and the patches chosen of each label."""

    maps: list[ndarray]
    chosen: dict[int, list[tuple[int, int, int, int]]]  # label -> (image, top, left, size)
    items: int


@dataclass(frozen=True)
class Setting:
    """A finetuned network and the collection it scores."""

    denoiser: Denoiser
    store: LatentStore
    collection: ImageCollection
    canvas: int

    def score(self, kind: Kind, n_draws: int, seed: int, *, sampled: bool) -> Scored:
        """Score under a design; `sampled`: latents are samples of the posterior."""
        latents = PosteriorLatents(self.store, seed if sampled else None)
        stacked = torch.stack([latents.latent(row) for row in range(len(self.collection))])
        label = torch.from_numpy(self.collection.label_index.astype(np.int64))
        with counted() as counts:
            density = self.pilot(stacked, label, seed) if kind == "importance" else None
            design = noise_design(kind, n_draws, self.denoiser.channels, seed, density=density,
                                  side=self.canvas)  # fmt: skip
            found = typicality_maps(
                self.denoiser, stacked, [(int(own),) for own in label], design, at_once=8
            )
        maps = []
        for row, one in enumerate(found):
            size = (self.collection.table[side][row].as_py() for side in ("width", "height"))
            maps.append(patches.upsample(one.null.mean, *patches.map_shape(*size)))
        return Scored(maps, self.choose(maps), counts["items"])

    def pilot(self, latents: torch.Tensor, label: torch.Tensor, seed: int) -> Density:
        """As `mining.scoring` does: the mean over some images drawn by the seed."""
        rows = np.random.default_rng([seed, 11]).permutation(len(latents))[:PILOT]
        spread = [
            level_spread(
                self.denoiser, latents[row][None], label[row][None],
                seed * 1_000_003 + int(row), self.canvas, at_once=8,
            )
            for row in rows
        ]  # fmt: skip
        return Density.following(np.sqrt(np.mean(spread, axis=0)).tolist())

    def choose(self, maps: list[ndarray]) -> dict[int, list[tuple[int, int, int, int]]]:
        """The best boxes of each image, and of those the best fifth of each label."""
        chosen = {}
        for label in range(len(self.collection.labels)):
            rows, places, scores = [], [], []
            for row in np.flatnonzero(self.collection.label_index == label):
                side = patches.patch_side(*maps[row].shape, SELECT.patch_size)
                boxes = patches.best_boxes(maps[row], side, SELECT.per_image)
                for top, left, score in zip(boxes.top, boxes.left, boxes.score, strict=True):
                    rows.append(int(row))
                    places.append((int(row), int(top), int(left), side))
                    scores.append(float(score))
            count = patches.keep_count(len(scores), SELECT)
            best = patches.best_first(np.array(scores), np.array(rows), count)
            chosen[label] = [places[number] for number in best]
        return chosen


def overlap(one: Scored, other: Scored) -> float:
    """Share of the patches of one that meet, one to one, a patch of the other."""
    met = count = 0
    for label, boxes in one.chosen.items():
        free = list(other.chosen[label])
        count += len(boxes)
        for box in boxes:
            pairs = [(intersection_over_union(box, rival), rival) for rival in free]
            best, rival = max(pairs, default=(0.0, None))
            if rival is not None and best > 0.5:
                free.remove(rival)
                met += 1
    return met / count


def intersection_over_union(
    one: tuple[int, int, int, int], other: tuple[int, int, int, int]
) -> float:
    if one[0] != other[0]:
        return 0.0
    side = one[3]
    down, across = (max(0, side - abs(one[axis] - other[axis])) for axis in (1, 2))
    return down * across / (2 * side**2 - down * across)


def patch_scores(scored: Scored) -> ndarray:
    """Means of boxes at the same places of every image, half a box apart."""
    found = []
    for values in scored.maps:
        side = patches.patch_side(*values.shape, SELECT.patch_size)
        found.append(patches.box_means(values, side)[:: side // 2, :: side // 2].ravel())
    return np.concatenate(found)


def rank_correlation(one: Scored, other: Scored) -> float:
    return float(spearmanr(patch_scores(one), patch_scores(other)).statistic)


def like_the_real_one(checkpoint: Path, images: Path) -> None:
    """Give the random autoencoder what training gave the real one, and random weights lack.

    Latents of about unit variance, by the scaling factor, which is what it is for; and a narrow
    posterior, here a hundredth of that.
    """
    path = checkpoint / "vae" / "config.json"
    settings = json.loads(path.read_text())
    network = Checkpoint.open(str(checkpoint)).vae()
    values = []
    for image in sorted(images.rglob("*.jpg"))[::8]:
        with Image.open(image) as opened, torch.inference_mode():
            given = pixels(opened.convert("RGB"), RESOLUTION, 8)
            values.append(network.encode(given).latent_dist.mean)
    spread = float(torch.cat(values).std())
    with torch.no_grad():
        half = len(network.quant_conv.bias) // 2
        network.quant_conv.weight[half:] = 0
        network.quant_conv.bias[half:] = 2 * float(np.log(NARROW * spread))
    network.save_pretrained(checkpoint / "vae")
    path.write_text(json.dumps({**settings, "scaling_factor": 1 / spread}))


def noise(published: float, default: float) -> tuple[float, float]:
    """Variance of the noise of either design over that of the signal, from correlations.

    Of two runs with noise v and w beside a signal of variance one: r = 1 / √((1 + v)(1 + w)).
    """
    own = 1 / published - 1
    return own, 1 / (default**2 * (1 + own)) - 1


def prepare(folder: Path) -> Setting:
    checkpoint = tiny_checkpoint.build(folder / "tiny")
    images = small.collection(folder / "images", N_PER_LABEL)
    for town in sorted(path for path in images.iterdir() if path.is_dir())[LABELS:]:
        for path in town.iterdir():
            path.unlink()
        town.rmdir()
    like_the_real_one(checkpoint, images)
    config = tiny_checkpoint.settings(
        checkpoint,
        model={"resolution": RESOLUTION, "least_images": TRAINED_ON, "most_images": TRAINED_ON},
    )
    run, collection, model, denoiser = tiny_checkpoint.finetuned(images, folder / "run", config)
    (latents,) = model.latents(len(collection), run.folder)
    return Setting(denoiser, latents.store, collection, StableModel.canvas)


def run() -> Result:
    with tempfile.TemporaryDirectory() as place, one_thread():
        setting = prepare(Path(place))
        rows, table = [], []
        for seed in SEEDS:
            default = setting.score("importance", 32, seed, sampled=False)
            stratified = setting.score("stratified", 32, seed, sampled=False)
            paper = [setting.score("independent", 100, 1000 * run + seed, sampled=True)
                     for run in (1, 2)]  # fmt: skip
            row = {}
            for name, measure in (("overlap", overlap), ("rank", rank_correlation)):
                row[f"paper {name}"] = measure(*paper)
                row[f"default {name}"] = float(np.mean([measure(default, one) for one in paper]))
                row[f"stratified {name}"] = float(
                    np.mean([measure(stratified, one) for one in paper])
                )
            row["calls"] = default.items / paper[0].items
            row["calls stratified"] = stratified.items / paper[0].items
            rows.append(row)
            table.append(f"| {seed} | " + " | ".join(f"{one:.3f}" for one in row.values()) + " |")
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    table.append("| mean | " + " | ".join(f"{one:.3f}" for one in mean.values()) + " |")
    head = f"| seed | {' | '.join(mean)} |\n{'|---' * (len(mean) + 1)}|"
    count = sum(map(len, paper[0].chosen.values()))
    published, default_noise = noise(mean["paper rank"], mean["default rank"])
    return Result(
        figures=[
            at_most("calls", mean["calls"], 0.4, "of the published design's, pilot included"),
            replace(
                at_least(
                    "agreement",
                    mean["default overlap"],
                    mean["paper overlap"],
                    "of selected patches",
                ),
                target=f">= {mean['paper overlap']:.4g}, of two published runs",
            ),
        ],
        notes=[
            f"{tiny_checkpoint.STANDS_FOR} Which patches it finds typical means nothing; how far "
            "runs agree depends on its signal and noise, which are not Stable Diffusion's. Its "
            "autoencoder is given latents of unit variance and a posterior a hundredth as wide: "
            "with random weights as they come the posterior drowns the image, two published runs "
            "share no patch to speak of, and nothing can be told.",
            f"{len(setting.collection)} images of {LABELS} labels, {count} patches chosen (the "
            "best fifth of five an image). 'paper': two published runs against each other; "
            "'default' and 'stratified': 32 draws of the posterior's mean, each against both "
            "published runs, mean of two. 'rank' is Spearman's correlation of box means on a grid "
            "of all images, for which no target was set. Calls are items through the network, "
            "counted by hooks.",
            "\n".join([head, *table]),
            "Why: a run's scores are what all runs share and noise of its own. By the rank "
            f"correlations the noise's variance is {published:.3f} of the shared one's in a "
            f"published run and {default_noise:.3f} in a default run: "
            f"{default_noise / published:.1f} times, where 32 independent draws would have 3.1 "
            "times that of 100. To agree with a published run as well as another does, a run "
            "needs as little noise; at 32 draws that takes a design with 0.32 of the "
            f"independent one's variance. Here it has {0.32 * default_noise / published:.2f} of "
            "it.",
            f"One patch is {1 / count:.3f} of the overlap.",
            f"The pilot looks at {PILOT} images, a tenth, 128 items each. The default's 64 images "
            "cost 8,192 items, so that calls stay under 40 % from 512 images on.",
        ],
    )
