"""A baseline in the place of typicality: the train and score stages of a run that has one.

Its maps are stored where typicality against the null else lies, with no error; beside them the
built-in rival's evidence, as in every run. What a baseline is: `baselines/methods.py`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from typika.baselines.methods import BaselineMap, MapBaseline, Material
from typika.baselines.names import OF_CHOICE, Wording
from typika.baselines.probes import Probe, RivalConfig
from typika.collection.images import ImageCollection
from typika.diffusion.embedded import EmbeddedConfig
from typika.errors import ConfigError
from typika.files import write_text
from typika.mining import scoring, stages
from typika.mining.scores import mined_parts, mined_rows, score_path, write_scores
from typika.parallel import Advance, run_parts

if TYPE_CHECKING:
    from typika.baselines.clip import Score
    from typika.mining.pipeline import Mining, MiningConfig

PROBES: dict[str, dict[str, Any]] = {  # by name, how they differ from the configured rival
    "linear-cam": {"network": "linear", "pooling": "mean"},
    # Logits of a linear probe are smaller; sharper, one cell would speak for the image.
    "linear-log-sum-exp": {"network": "linear", "pooling": "log-sum-exp", "sharpness": 3.0},
    "mlp-cam": {"network": "mlp", "pooling": "mean"},
    "mlp-log-sum-exp": {"network": "mlp", "pooling": "log-sum-exp"},
}
CHOICES = {
    "random": Wording(
        name="random patches",
        seen="nobody: this is the baseline of random patches, whatever the label",
        chosen="lie at random places of their images",
        ranked="at random; typicality is shown, not used",
        reading="The patches of this page were drawn at random places of their images: a baseline "
        "that no method should be worse than. Their typicality, that of the diffusion model, is "
        "shown and ranks the clusters, but chose nothing.",
    ),
    "negative": Wording(
        name="negative typicality",
        seen="a diffusion model of the collection itself, upside down: this is the baseline of "
        "negative typicality",
        chosen="their label explains worst",
        ranked="by the lowest typicality first",
        reading="The patches of this page are those of the lowest typicality, and clusters are "
        "ranked from the lowest median up: a baseline that shows what the label does not explain. "
        "Typicality itself is that of the diffusion model: how much the label helps it explain a "
        "part of a picture.",
    ),
}  # fmt: skip


def map_baseline(config: MiningConfig, device: str = "auto") -> MapBaseline:
    """The baseline of maps that a configuration names.

    Raises:
        ConfigError: it names none, or one that this version does not have.
    """
    name = config.baseline.name
    if name in PROBES:
        return Probe(probe_config(config), config.optimiser, config.rival)
    if name == "neighbours":
        from typika.baselines.neighbours import Neighbours

        return Neighbours(config.baseline.neighbours, config.baseline.bank)
    if name in ("clip-sim", "clip-diff"):
        from typika.baselines.clip import Clip

        score: Score = "sim" if name == "clip-sim" else "diff"
        return Clip(score, config.baseline.clip, config.prompt.template(), device)
    if name == "doersch":
        from typika.baselines.doersch import DoerschConfig
        from typika.baselines.doersch_maps import Doersch

        return Doersch(DoerschConfig(candidates=config.baseline.candidates))
    raise ConfigError(f"baseline.name={name!r}: draws no maps in this version")


def probe_config(config: MiningConfig) -> RivalConfig:
    """The probe that a baseline names: the rival's noise, the denoiser's steps and images."""
    changes = dict(PROBES[config.baseline.name])
    if isinstance(config.model, EmbeddedConfig):
        budget = ("epochs", "least_steps", "most_steps", "batch")
        changes |= {name: getattr(config.model, name) for name in budget}
    return dataclasses.replace(config.rival, **changes)


def wording(config: MiningConfig) -> Wording | None:
    """What the report says of the baseline; None for the method itself."""
    if config.baseline.of_maps:
        return map_baseline(config).wording
    return CHOICES[config.baseline.name] if config.baseline.name in OF_CHOICE else None


def causes(config: MiningConfig) -> dict[str, Any]:
    """What decides the maps of a baseline of maps."""
    return {"name": config.baseline.name, **map_baseline(config).causes()}


def material(mining: Mining, collection: ImageCollection) -> Material:
    """What the baseline may look at."""
    from typika.mining.pipeline import embedded_model, training_images

    return Material(
        collection=collection,
        trained_on=training_images(collection, mining.config),
        encoder=embedded_model(mining.config),
        run=mining.folder,
        seed=mining.config.seed,
        workers=mining.workers,
    )


def train(mining: Mining) -> None:
    """Train the built-in rival and the baseline; no denoiser."""
    collection = mining.collection
    given = material(mining, collection)
    rows = stages.train_rivals(mining, collection, given.trained_on)
    rows += map_baseline(mining.config, mining.device).fit(given)
    lines = [json.dumps(row) for row in rows]
    write_text(mining.folder / "metrics.jsonl", "\n".join(lines) + "\n")


def score(mining: Mining) -> None:
    """Write the baseline's map of every image for its own label, part by part."""
    collection = mining.collection
    given = material(mining, collection)
    missing = [
        part
        for part in mined_parts(mining, collection)
        if not score_path(mining.folder, part).exists()
    ]
    run_parts(
        _score_parts, (mining, given), missing,
        workers=map_baseline(mining.config, mining.device).processes(mining.workers),
        name="Scoring", size=lambda part: len(mined_rows(mining, collection, part)),
    )  # fmt: skip


def _score_parts(mining: Mining, given: Material, parts: Iterable[int], advance: Advance) -> None:
    collection = given.collection
    draw = map_baseline(mining.config, mining.device).open(given)
    rivals = scoring.open_rivals(mining, collection)
    for part in parts:
        rows = mined_rows(mining, collection, part)
        found = []
        for row in rows:
            label = int(collection.label_index[row])
            found.append({**_record(draw(row)), **scoring.rival_answer(rivals, row, label)})
            advance(1)
        write_scores(mining.folder, collection, part, rows, found, given.trained_on)


def _record(found: BaselineMap) -> dict[str, Any]:
    """What is stored of an image: the map where typicality against the null else lies."""
    height, width = max((scale.shape for scale in found.scales), key=np.prod)
    values = scoring.average(found.scales, height, width).astype(np.float32)
    return {
        "height": height,
        "width": width,
        "null": values.ravel(),
        "null_error": np.zeros_like(values).ravel(),
        "predicted": found.predicted,
    }
