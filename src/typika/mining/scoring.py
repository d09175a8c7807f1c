"""The score stage: typicality maps of every image for its own label, part by part.

Legend: a *part* is a slice of the collection (some hundred images) that one file holds; `row` is
the place of an image in the collection.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika import ranks
from typika.baselines.probes import CellClassifier, evidence, load_rival, rival_path
from typika.collection.images import ImageCollection
from typika.diffusion.batches import BatchSize
from typika.diffusion.denoiser import Denoiser
from typika.diffusion.latents import LatentStore
from typika.diffusion.models import CollectionModel, Latents
from typika.diffusion.schedule import Density, NoiseDesign, noise_design
from typika.files import write_text
from typika.mining import patches, racing
from typika.mining.scores import mined_parts, mined_rows, score_path, write_scores
from typika.mining.typicality import (
    ImageTypicality,
    Tally,
    TypicalityConfig,
    TypicalityMap,
    box_error_ratio,
    level_spread,
    other_labels,
    tally,
    typicality_maps,
)
from typika.parallel import Advance, run_parts, run_tasks

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

Rivals = tuple[tuple[CellClassifier, LatentStore], ...]  # one per scale

CPU = torch.device("cpu")
RATIO_IMAGES = 8  # on which the error of a box is measured


def score(mining: Mining) -> None:
    """Write the typicality maps of every image for its own label, part by part."""
    collection = mining.collection
    densities = level_densities(mining, collection)
    if mining.config.score.racing:
        race(mining, collection, densities)
        return
    missing = [
        part
        for part in mined_parts(mining, collection)
        if not score_path(mining.folder, part).exists()
    ]
    run_parts(
        _score_parts, (mining, collection, densities), ranks.world().share(missing),
        workers=mining.model.workers(mining.workers), name="Scoring",
        size=lambda part: len(mined_rows(mining, collection, part)), on_gpu=mining.model.shared,
    )  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """One denoiser with the latents it scores and the noise that all of them meet."""

    denoiser: Denoiser
    latents: Latents
    design: NoiseDesign


@dataclass(frozen=True)
class Scorer:
    """What scoring needs: a denoiser per scale, and the rival with its own features."""

    scales: tuple[Scale, ...]
    rivals: Rivals
    batch: BatchSize
    in_turn: bool
    n_labels: int
    config: TypicalityConfig
    seed: int

    @classmethod
    def open(
        cls, mining: Mining, collection: ImageCollection, densities: Sequence[Density]
    ) -> Scorer:
        """Load the models of a trained run."""
        model: CollectionModel = mining.model
        n_labels, config, seed = len(collection.labels), mining.config.score, mining.config.seed
        scales = open_scales(mining, collection, densities)
        rivals = open_rivals(mining, collection)
        batch = model.batch_size(config.n_draws, mining.folder)
        return cls(scales, rivals, batch, model.in_turn, n_labels, config, seed)

    def score(
        self, rows: Sequence[int], labels: Sequence[int], advance: Advance
    ) -> list[dict[str, Any]]:
        """Maps of some images for their labels, averaged over scales on the finest grid."""
        found = self.maps(rows, labels, advance)
        return [
            self.record(row, label, self.contexts(label), maps)
            for row, label, maps in zip(rows, labels, found, strict=True)
        ]

    def maps(
        self, rows: Sequence[int], labels: Sequence[int], advance: Advance
    ) -> list[list[ImageTypicality]]:
        """Maps of some images for their labels, of every scale."""
        contexts = [self.contexts(label) for label in labels]
        found: list[list[ImageTypicality]] = [[] for _ in rows]
        for group in scored_together(self.scales[0].latents, rows, self.in_turn):
            for scale in self.scales:
                latents = torch.stack([scale.latents.latent(rows[place]) for place in group])
                latents = latents.contiguous(memory_format=torch.channels_last)
                maps = self.batch.attempt(
                    partial(
                        typicality_maps,
                        scale.denoiser,
                        latents.to(scale.denoiser.device),
                        [contexts[place] for place in group],
                        scale.design,
                    )
                )
                for place, one in zip(group, maps, strict=True):
                    found[place].append(one)
            advance(len(group))
        return found

    def contexts(self, label: int) -> tuple[int, ...]:
        """What an image is scored under: its own label, then those it is compared with."""
        others = other_labels(label, self.n_labels, self.config.n_others, self.seed)
        return (label, *others)

    def record(
        self, row: int, label: int, contexts: Sequence[int], found: Sequence[ImageTypicality]
    ) -> dict[str, Any]:
        """What is stored of an image: maps of all scales joined, answers, and the rival's map."""
        grids = joined_scales(found)
        height, width = grids["null"].mean.shape
        votes = sum(maps.image_means for maps in found)
        return {
            "height": height,
            "width": width,
            **{name: one.mean.ravel() for name, one in grids.items()},
            **{f"{name}_error": one.error.ravel() for name, one in grids.items()},
            "predicted": int(np.array(contexts)[np.argmax(votes)]) if "others" in grids else None,
            **rival_answer(self.rivals, row, label),
        }


def open_scales(
    mining: Mining,
    collection: ImageCollection,
    densities: Sequence[Density],
    texts: tuple[str, ...] = (),
) -> tuple[Scale, ...]:
    """Every denoiser of a trained run with its latents and noise.

    texts: contexts in words, numbered after the labels.
    """
    model, config, seed = mining.model, mining.config.score, mining.config.seed
    stores = model.latents(len(collection), mining.folder)
    scales = []
    for number, denoiser in enumerate(model.denoisers(collection.labels, mining.folder, texts)):
        design = noise_design(
            config.design, config.n_draws, denoiser.channels, seed * 107 + number,
            density=densities[number] if densities else None, side=model.canvas,
        ).to(denoiser.device)  # fmt: skip
        scales.append(Scale(denoiser, stores[number], design))
    return tuple(scales)


def scored_together(latents: Latents, rows: Sequence[int], in_turn: bool) -> list[list[int]]:
    """Places in `rows` of images that are scored together: each alone, or those of one shape."""
    if in_turn:
        return [[place] for place in range(len(rows))]
    return of_one_shape([tuple(latents.latent(row).shape) for row in rows])


def open_rivals(mining: Mining, collection: ImageCollection) -> Rivals:
    """The trained rival of each scale, with the features that it reads."""
    found = []
    for number, store in enumerate(mining.model.rival_latents(len(collection), mining.folder)):
        path = rival_path(mining.folder, number, mining.fold)
        n_labels = len(collection.labels)
        found.append((load_rival(path, store.channels, n_labels, mining.config.rival), store))
    return tuple(found)


def rival_answer(rivals: Rivals, row: int, label: int) -> dict[str, Any]:
    """What is stored of the rival: its map for the label, and the label that it would answer."""
    maps = [evidence(rival, store.latent(row)).numpy() for rival, store in rivals]
    height, width = max((one.shape[1:] for one in maps), key=np.prod)
    own = average([one[label] for one in maps], height, width)
    return {
        "evidence_height": height,
        "evidence_width": width,
        "evidence": own.astype(np.float32).ravel(),
        "rival_predicted": int(np.argmax(sum(one.mean(axis=(1, 2)) for one in maps))),
    }


def of_one_shape(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Places of equal shapes, together."""
    return [
        [place for place, shape in enumerate(shapes) if shape == one]
        for one in sorted(set(shapes))
    ]


def level_densities(mining: Mining, collection: ImageCollection) -> tuple[Density, ...]:
    """From a pilot, how often each level is drawn at each scale; none but for importance designs.

    The levels at which typicality varies more are drawn more often, and count less each.
    """
    mined = np.flatnonzero(collection.in_split(mining.config.collection.mine))
    return pilot_densities(mining, mined, partial(_pilot, mining, collection))


def pilot_densities(
    mining: Mining,
    mined: Int[ndarray, " n"],
    look: Callable[[Int[ndarray, " m"], Advance], list[Density]],
) -> tuple[Density, ...]:
    """The same of a model that `look` asks about some of the images `mined`; see `density`."""
    config, seed = mining.config.score, mining.config.seed
    if config.design != "importance":
        return ()
    path = mining.folder / "scores" / "levels.json"
    if ranks.world().leads and not path.exists():
        rows = np.sort(np.random.default_rng([seed, 11]).permutation(mined)[: config.pilot])
        found = run_tasks(look, [(rows,)], workers=1, name="Looking", total=len(rows))[0]
        write_text(path, json.dumps([density.height for density in found]) + "\n")
    ranks.wait()
    heights = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Density(tuple(height)) for height in heights)


def _pilot(
    mining: Mining, collection: ImageCollection, rows: Int[ndarray, " n"], advance: Advance
) -> list[Density]:
    from typika.mining.pipeline import folds

    # How levels vary is the same for both models of a cross-fit: the first is asked.
    first = folds(mining, collection)[0].mining
    stores = first.model.latents(len(collection), mining.folder)
    denoisers = first.model.denoisers(collection.labels, mining.folder)
    found = []
    for number, (denoiser, store) in enumerate(zip(denoisers, stores, strict=True)):
        looks = ((row, denoiser, int(collection.label_index[row])) for row in rows.tolist())
        found.append(density(first, store, number, looks, advance))
    return found


def density(
    mining: Mining,
    store: Latents,
    number: int,
    looks: Iterable[tuple[int, Denoiser, int]],
    advance: Advance,
) -> Density:
    """How often each level is to be drawn at one scale, by how typicality varies in some images.

    number: of the scale. looks: the row of each image, a denoiser, and the image's label there.
    """
    model, variance = mining.model, []
    batch = model.batch_size(mining.config.score.n_draws, mining.folder)
    for row, denoiser, label in looks:
        latent = store.latent(row)[None].to(denoiser.device)
        # Noise of its own for each image, so that the error of the noise averages out too.
        seed = (mining.config.seed * 109 + number) * 1_000_003 + row
        own = torch.tensor([label])
        measure = partial(level_spread, denoiser, latent, own, seed, model.canvas)
        variance.append(batch.attempt(measure))
        advance(1 if number == 0 else 0)
    return Density.following(np.sqrt(np.mean(variance, axis=0)).tolist())


def joined_scales(found: Sequence[ImageTypicality]) -> dict[str, TypicalityMap]:
    """The maps of one image, "null" and where there are some "others", on the finest grid."""
    height, width = max((maps.null.mean.shape for maps in found), key=np.prod)
    grids = {"null": combine([maps.null for maps in found], height, width)}
    others = [maps.others for maps in found if maps.others is not None]
    if others:
        grids["others"] = combine(others, height, width)
    return grids


def combine(maps: Sequence[TypicalityMap], height: int, width: int) -> TypicalityMap:
    """The mean of the maps of several scales on one grid; errors of scales are independent."""
    mean = average([one.mean for one in maps], height, width)
    squares = [patches.upsample(one.error, height, width) ** 2 for one in maps]
    error = np.sqrt(np.sum(squares, axis=0)) / len(maps)
    return TypicalityMap(mean.astype(np.float32), error.astype(np.float32))


def average(grids: Sequence[ndarray], height: int, width: int) -> Float[ndarray, "h w"]:
    """The mean of several grids, interpolated to one."""
    mean: ndarray = np.mean([patches.upsample(grid, height, width) for grid in grids], axis=0)
    return mean


def _score_parts(
    mining: Mining,
    collection: ImageCollection,
    densities: Sequence[Density],
    parts: Iterable[int],
    advance: Advance,
) -> None:
    from typika.mining.pipeline import folds, training_images

    trained_on = training_images(collection, mining.config)
    scorers = [
        (fold.scored, Scorer.open(fold.mining, collection, densities))
        for fold in folds(mining, collection)
    ]
    for part in parts:
        rows = mined_rows(mining, collection, part)
        found: dict[int, dict[str, Any]] = {}
        for scored, scorer in scorers:
            own = [row for row in rows if scored[row]]
            labels = [int(collection.label_index[row]) for row in own]
            found |= dict(zip(own, scorer.score(own, labels, advance), strict=True))
        records = [found[row] for row in rows]
        write_scores(mining.folder, collection, part, rows, records, trained_on)


def race(mining: Mining, collection: ImageCollection, densities: Sequence[Density]) -> None:
    """Score in rounds, in each of them only images whose patches may still be chosen or not."""
    parts = mined_parts(mining, collection)
    if all(score_path(mining.folder, part).exists() for part in parts):
        return
    total = sum(len(mined_rows(mining, collection, part)) for part in parts)
    task = (mining, collection, densities, parts)
    run_tasks(_race, [task], workers=1, name="Racing", total=total)
    ranks.wait()
    if ranks.world().leads:
        shutil.rmtree(mining.folder / "scores" / "race", ignore_errors=True)


def _race(
    mining: Mining,
    collection: ImageCollection,
    densities: Sequence[Density],
    parts: Sequence[int],
    advance: Advance,
) -> None:
    from typika.mining.pipeline import training_images

    scorer = Scorer.open(mining, collection, densities)
    rounds = racing.rounds(scorer.scales[0].design.n_units)
    own = ranks.world().share(list(parts))
    active = collection.in_split(mining.config.collection.mine)
    ratio = _box_ratio(mining, collection, scorer)
    done = ranks.agree(_rounds_done(mining, parts, len(rounds)))
    if done:
        active = _still_open(mining, collection, done - 1, parts, ratio)
    for number in range(done, len(rounds)):
        for part in own:
            if not _race_path(mining, number, part).exists():
                until = rounds[number].stop
                _race_part(mining, collection, scorer, part, number, until, active)
        ranks.wait()
        active = _still_open(mining, collection, number, parts, ratio)
        for part in own if number else []:  # no rank needs the round before any more
            _race_path(mining, number - 1, part).unlink(missing_ok=True)
    trained_on = training_images(collection, mining.config)
    for part in own:
        tallies = racing.load_tallies(_race_path(mining, len(rounds) - 1, part), CPU)
        found = []
        for row, one in tallies.items():
            label = int(collection.label_index[row])
            found.append(scorer.record(row, label, scorer.contexts(label), one.maps()))
            advance(1)
        write_scores(mining.folder, collection, part, list(tallies), found, trained_on)


def _box_ratio(mining: Mining, collection: ImageCollection, scorer: Scorer) -> float:
    """How much less the mean over a patch errs than its cells, measured on a few images."""
    scale = scorer.scales[0]
    rows = np.flatnonzero(collection.in_split(mining.config.collection.mine))
    ratios = []
    for row in rows[np.linspace(0, len(rows) - 1, min(RATIO_IMAGES, len(rows))).astype(int)]:
        latent = scale.latents.latent(int(row))[None].to(scale.denoiser.device)
        height, width = latent.shape[2:]
        cells = patches.patch_side(height, width, mining.config.select.patch_size)
        label = torch.tensor([int(collection.label_index[row])])
        measure = partial(box_error_ratio, scale.denoiser, latent, label, scale.design, cells)
        ratios.append(scorer.batch.attempt(measure))
    return float(np.mean(ratios))


def _rounds_done(mining: Mining, parts: Sequence[int], n_rounds: int) -> int:
    """How many rounds an earlier process finished for every part."""
    finished = [
        number + 1
        for number in range(n_rounds)
        if all(_race_path(mining, number, part).exists() for part in parts)
    ]
    return max(finished, default=0)


def _still_open(
    mining: Mining, collection: ImageCollection, number: int, parts: Sequence[int], ratio: float
) -> Bool[ndarray, " n"]:
    """Which images a patch of may still change sides, after a round."""
    known = racing.Candidates.joined(
        [_race_candidates(mining, collection, number, part, ratio) for part in parts]
    )
    active = np.zeros(len(collection), dtype=bool)
    active[np.unique(known.row)] = racing.undecided(
        known, mining.config.score.racing, mining.config.select
    )
    return active


def _race_path(mining: Mining, number: int, part: int) -> Path:
    return mining.folder / "scores" / "race" / f"{number}" / f"part-{part:05d}.safetensors"


def _race_part(
    mining: Mining,
    collection: ImageCollection,
    scorer: Scorer,
    part: int,
    number: int,
    until: int,
    active: Bool[ndarray, " n"],
) -> None:
    """One round of one part: every active image gets its units up to `until`."""
    scale = scorer.scales[0]
    rows = mined_rows(mining, collection, part)
    known: dict[int, Tally] = {}
    if number:
        known = racing.load_tallies(_race_path(mining, number - 1, part), scale.denoiser.device)
    chosen = [row for row in rows if active[row]]
    latents = {row: scale.latents.latent(row) for row in chosen}
    seen = {row: known[row].n_units if row in known else 0 for row in chosen}
    for group in of_one_shape([(*latents[row].shape, seen[row]) for row in chosen]):
        members = [chosen[place] for place in group]
        stack = torch.stack([latents[row] for row in members]).to(scale.denoiser.device)
        labels = [int(collection.label_index[row]) for row in members]
        contexts = torch.tensor([scorer.contexts(label) for label in labels])
        start = seen[members[0]]

        def more(
            size: int,
            members: list[int] = members,
            stack: torch.Tensor = stack,
            contexts: torch.Tensor = contexts,
            start: int = start,
        ) -> Tally:
            return tally(
                scale.denoiser, stack, contexts, scale.design, at_once=size,
                units=range(start, until),
                onto=racing.joined([known[row] for row in members]) if start else None,
            )  # fmt: skip

        together = scorer.batch.attempt(more)
        for place, row in enumerate(members):
            known[row] = racing.one_of(together, place)
    racing.save_tallies({row: known[row] for row in rows}, _race_path(mining, number, part))


def _race_candidates(
    mining: Mining, collection: ImageCollection, number: int, part: int, ratio: float
) -> racing.Candidates:
    config = mining.config
    widths, heights = (collection.table[name].to_numpy() for name in ("width", "height"))
    found = []
    for row, one in racing.load_tallies(_race_path(mining, number, part), CPU).items():
        maps = one.maps()[0]
        scored = maps.others if config.ranked_by == "others" and maps.others else maps.null
        shape = patches.map_shape(int(widths[row]), int(heights[row]))
        label = int(collection.label_index[row])
        found.append(racing.candidates(scored, row, label, shape, config.select, ratio))
    return racing.Candidates.joined(found)
