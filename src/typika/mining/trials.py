"""Changed images, scored again with a run's own model under the noise that the run met.

Legend: `n` patches, `u` units of a noise design, `h w` cells of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from typika.collection.images import ImageCollection
from typika.diffusion.denoiser import Denoiser
from typika.diffusion.schedule import Density, NoiseDesign
from typika.mining.features import cell_weights
from typika.mining.interventions import CHANGES, Look
from typika.mining.patches import LONGEST, upsample
from typika.mining.scoring import Scorer, level_densities
from typika.mining.typicality import tally
from typika.parallel import Advance, run_tasks

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

BANDS = ("finest noise", "middle noise", "coarsest noise")


def covering(
    cluster: Int[ndarray, " n"], rank: Int[ndarray, " n"], row: Int[ndarray, " n"],
    most: int, wanted: int,
) -> list[int]:  # fmt: skip
    """Up to `most` images that hold `wanted` patches of every cluster, central ones if they can.

    cluster, rank, row: (n,) of each patch its cluster, its place within it (0: most central) and
    its image. Greedy: the image that adds most comes next; of equals the lower number.
    """
    missing = dict.fromkeys(np.unique(cluster).tolist(), wanted)
    images = {int(one): np.flatnonzero(row == one) for one in np.unique(row)}
    chosen: list[int] = []

    def gain(image: int) -> float:
        own = [patch for patch in images[image] if missing[int(cluster[patch])] > 0]
        return float(sum(wanted / (wanted + rank[patch]) for patch in own))

    while images and len(chosen) < most and any(count > 0 for count in missing.values()):
        best = max(sorted(images), key=gain)
        if gain(best) == 0:
            break
        for patch in images.pop(best):
            missing[int(cluster[patch])] -= 1
        chosen.append(best)
    return sorted(chosen)


def noise_bands(log_snr: Float[ndarray, " u"]) -> Int[ndarray, " u"]:
    """The third that each unit of a design belongs to: 0 the finest noise, 2 the coarsest."""
    rank = np.empty(len(log_snr), dtype=np.int64)
    rank[np.argsort(-log_snr, kind="stable")] = np.arange(len(log_snr))
    return ((rank + 0.5) * len(BANDS) / len(log_snr)).astype(np.int64)


@dataclass(frozen=True)
class Job:
    """One image, and how it is to be changed before it is scored again."""

    row: int
    changes: tuple[str, ...]


Maps = dict[str, Float[ndarray, "_h _w"]]


def _score_again(
    mining: Mining,
    collection: ImageCollection,
    densities: Sequence[Density],
    common: Look,
    jobs: Sequence[Job],
    advance: Advance,
) -> list[Maps]:
    """Maps of each image after each change, and of the image itself by noise band."""
    from typika.mining.pipeline import folds

    scorers = [
        (fold.scored, Scorer.open(fold.mining, collection, densities))
        for fold in folds(mining, collection)
    ]
    others = mining.config.score.against == "others"
    found = []
    for job in jobs:
        scorer = next(own for scored, own in scorers if scored[job.row])
        label = int(collection.label_index[job.row])
        contexts = torch.tensor([scorer.contexts(label) if others else (label,)])
        latents = [scale.latents.latent(job.row) for scale in scorer.scales]
        maps = dict(zip(BANDS, _maps(scorer, latents, contexts, len(BANDS)), strict=True))
        image = collection.load(job.row)
        image.thumbnail((LONGEST, LONGEST))
        for name in job.changes:
            changed = CHANGES[name](image, common)
            latents = [scale.denoiser.encode(changed).cpu() for scale in scorer.scales]
            [maps[name]] = _maps(scorer, latents, contexts, 1)
        found.append(maps)
        advance(1 + len(job.changes))
    return found


def _maps(
    scorer: Scorer,
    latents: Sequence[Float[torch.Tensor, "c _h _w"]],
    contexts: Int[torch.Tensor, "1 k"],
    n_bands: int,
) -> list[Float[ndarray, "h w"]]:
    """Typicality of one image by noise band, averaged over scales; the bands add up to it."""
    height, width = max((latent.shape[1:] for latent in latents), key=np.prod)
    total = np.zeros((n_bands, height, width))
    for scale, latent in zip(scorer.scales, latents, strict=True):
        denoiser, design = scale.denoiser, scale.design
        stack = latent[None].to(denoiser.device).contiguous(memory_format=torch.channels_last)
        band = np.zeros(design.n_units, dtype=np.int64)
        if n_bands > 1:
            band = noise_bands(denoiser.log_snr(design.quantile).cpu().numpy())
        for number in range(n_bands):
            own = part_of(design, np.flatnonzero(band == number))
            sums = scorer.batch.attempt(partial(_sum, denoiser, stack, contexts, own))
            grid = sums / design.n_units
            total[number] += upsample(grid, height, width) / len(scorer.scales)
    return list(total)


def _sum(
    denoiser: Denoiser,
    latents: Float[torch.Tensor, "1 c h w"],
    contexts: Int[torch.Tensor, "1 k"],
    design: NoiseDesign,
    at_once: int,
) -> Float[ndarray, "h w"]:
    """Sum over units of what ranks patches: against the null, or against the others."""
    sums = tally(denoiser, latents, contexts, design, at_once=at_once).sums[-1, 0]
    values: ndarray = sums.double().cpu().numpy()
    return values


def part_of(design: NoiseDesign, units: Int[ndarray, " m"]) -> NoiseDesign:
    """Some units of a design."""
    own = torch.from_numpy(units).to(design.quantile.device)
    return NoiseDesign(design.quantile[own], design.weight[own], design.canvas[own], design.pairs)


def scored_again(
    mining: Mining, collection: ImageCollection, common: Look, jobs: Sequence[Job]
) -> dict[int, Maps]:
    """Change the images of all jobs and score them again; maps by row and name.

    A name is that of a change, or of a band of noise for the image as it is: `BANDS` add up to its
    typicality. In as many processes as scoring itself.
    """
    densities = level_densities(mining, collection)
    workers = mining.model.workers(mining.workers)
    hands = max(1, min(len(jobs), 2 * workers if workers > 1 else 1))
    shares = [list(jobs[hand::hands]) for hand in range(hands)]
    tasks = [(mining, collection, densities, common, share) for share in shares]
    total = sum(1 + len(job.changes) for job in jobs)
    found = run_tasks(
        _score_again, tasks, workers=workers, name="Looking for artefacts", total=total
    )
    return {
        job.row: maps
        for part, results in zip(shares, found, strict=True)
        for job, maps in zip(part, results, strict=True)
    }


def box_mean(
    grid: Float[ndarray, "h w"], corners: Float[ndarray, " 4"], size: Float[ndarray, " 2"]
) -> float:
    """Mean of a map over a box in pixels of an image of this (width, height)."""
    width, height = size
    down = cell_weights(corners[1] / height, corners[3] / height, grid.shape[0])
    across = cell_weights(corners[0] / width, corners[2] / width, grid.shape[1])
    return float(down @ grid @ across)
