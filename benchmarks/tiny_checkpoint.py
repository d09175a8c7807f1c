"""Stable Diffusion's layers with random weights, and runs with it: no real weights are needed.

The builder is the tests' own, `tests/tiny_diffusion.py`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from typika import workflow
from typika.collection.images import ImageCollection
from typika.diffusion.denoiser import Denoiser
from typika.diffusion.stable_model import StableModel
from typika.workflow import MineConfig, MiningRun

STANDS_FOR = (
    "A tiny random network with Stable Diffusion's layers stands for Stable Diffusion, on CPU: "
    "what this shows of the code holds for real weights, what it shows of pictures does not."
)


@cache
def of_tests(name: str) -> ModuleType:
    """A module of the tests that benchmarks use too."""
    path = Path(__file__).parents[1] / "tests" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _builder() -> ModuleType:
    return of_tests("tiny_diffusion")


def build(folder: Path) -> Path:
    """Write the checkpoint, 4 MB."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    checkpoint: Path = _builder().build(folder)
    return checkpoint


def settings(checkpoint: Path, **sections: Mapping[str, Any]) -> MineConfig:
    """The tests' settings of seconds, under the defaults of Stable Diffusion, with changes."""
    return workflow.configure(_builder().settings(checkpoint), sections)


def finetuned(
    images: Path, folder: Path, config: MineConfig
) -> tuple[MiningRun, ImageCollection, StableModel, Denoiser]:
    """Encode and finetune in this process; what scoring then starts from."""
    run = workflow.advance(images, folder, config, last="train", workers=1, device="cpu")
    return opened(run, config)


def opened(
    run: MiningRun, config: MineConfig
) -> tuple[MiningRun, ImageCollection, StableModel, Denoiser]:
    """The model of a trained run."""
    model = StableModel(config.model, config.prompt.template(), config.seed, "cpu")  # type: ignore[arg-type]
    (denoiser,) = model.denoisers(run.collection.labels, run.folder)
    return run, run.collection, model, denoiser
