"""Shared fixtures: seeded randomness, a tiny collection, real data where there is some."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tiny_diffusion
from pictures import draw_photo

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Nothing is timed in a test: a busy machine makes no example wrong.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: this test needs the real collections")
    return SHARED


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two labels of twelve small photographs: red discs, blue triangles."""
    root = tmp_path / "photos"
    for label, name in enumerate(("discs", "triangles")):
        for number in range(12):
            draw_photo(root / name / f"{number:02d}.jpg", label, number)
    return root


@pytest.fixture(scope="session")
def short_sighted_rival() -> Iterator[None]:
    """Beside a tiny checkpoint the rival sees small images: its encoder would take longest."""
    from typika.diffusion import stable_model
    from typika.diffusion.embedded import EmbeddedConfig

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stable_model, "RIVAL", EmbeddedConfig(sides=(96,)))
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, short_sighted_rival: None) -> Path:
    """A tiny Stable Diffusion that predicts ε; leave it as it is."""
    return tiny_diffusion.build(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture(scope="session")
def tiny_velocity(tmp_path_factory: pytest.TempPathFactory, short_sighted_rival: None) -> Path:
    """The same weights, in a checkpoint that predicts v."""
    folder = tmp_path_factory.mktemp("velocity") / "sd"
    return tiny_diffusion.build(folder, prediction="v_prediction")


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory, short_sighted_rival: None) -> Path:
    """A tiny SDXL."""
    return tiny_diffusion.build(tmp_path_factory.mktemp("xl") / "sd", xl=True)


@pytest.fixture(scope="session")
def make_inputs() -> Callable[..., Any]:
    """A function that makes up a run: labels, cluster sizes, metadata, further facts."""
    from made_up_runs import make_inputs

    return make_inputs


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()
