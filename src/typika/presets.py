"""Settings that go together: what suits a kind of model, and the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typika.errors import ConfigError

Values = Mapping[str, Any]

# By kind of model. An embedded prediction costs microseconds and one of Stable Diffusion
# milliseconds: draws are spent where levels vary, and other labels are not compared unasked.
OF_KIND: Mapping[str, Values] = {
    "embedded": {},
    "stable-diffusion": {"score": {"n_draws": 32, "design": "importance", "n_others": 0}},
}

PRESETS: Mapping[str, Values] = {
    # Siglidis et al. 2024 as their code has it: 100 independent draws, a sample of the posterior,
    # 1,000 patches per label, k-means with 32 clusters on mean features, nothing held out.
    "paper": {
        "model": {
            "kind": "stable-diffusion", "posterior": "sample", "epochs": 100.0, "ema": 0.0,
            "least_images": 1, "most_images": 1_000_000_000, "held_out": 0.0,
        },
        "score": {"n_draws": 100, "design": "independent", "n_others": 0, "against": "null"},
        "select": {"share": 1.0, "at_most": 1000, "per_image": 5},
        "cluster": {"method": "published", "pooling": "mean", "n_clusters": 32},
        "collection": {"weigh_duplicates": True},
    },
}  # fmt: skip


def named(preset: str) -> Values:
    """A preset by name. Raises ConfigError where there is none."""
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r}: expected one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def underneath(sources: Sequence[Values]) -> tuple[Values, ...]:
    """What lies under all of `sources`: the settings that suit the kind of model they ask for.

    A checkpoint asks for Stable Diffusion, unless a kind is said.
    """
    kind: str = ""
    for source in sources:
        model = source.get("model", {})
        if not isinstance(model, Mapping):
            continue  # an error that the configuration words better
        kind = model.get("kind", "stable-diffusion" if "checkpoint" in model else kind)
    if kind not in OF_KIND:
        return ()
    return ({"model": {"kind": kind}}, OF_KIND[kind])
