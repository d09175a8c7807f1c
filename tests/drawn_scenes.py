"""Scenes of `parallel_scenes` with each kind of element at a rate, and rates that are skewed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import parallel_scenes
from parallel_scenes import KINDS, Scene

LABELS = parallel_scenes.LABELS[:2]
RATES = dict.fromkeys(KINDS, 0.5)
SKEWED = {"window": 0.95, "lamp": 0.5, "door": 0.0}


def shown_in(label: str, number: int, rates: Mapping[str, float]) -> tuple[str, ...]:
    """The kinds that stand in a scene."""
    chance = np.random.default_rng([LABELS.index(label), number, 3]).random(len(KINDS))
    return tuple(kind for kind, one in zip(KINDS, chance, strict=True) if one < rates[kind])


def render(label: str, number: int, rates: Mapping[str, float]) -> Image.Image:
    scene = Scene((LABELS.index(label), number))
    return scene.render(label, shown_in(label, number, rates))


def build(folder: Path, numbers: range, rates: Mapping[str, float]) -> Path:
    """Write scenes of each label as folders of labels."""
    for label in LABELS:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            render(label, number, rates).save(folder / label / f"{number:03d}.png")
    return folder
