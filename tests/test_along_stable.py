"""Along a number with a tiny Stable Diffusion: the whole way, through the command."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tiny_diffusion
from pictures import draw_photo
from typika import config as settings
from typika import workflow
from typika.cli import main
from typika.errors import ConfigError
from typika.mining import along as stages
from typika.mining.along import Along
from typika.run import Run
from typika.tables import read_parquet
from typika.trajectory import AlongConfig, AlongRun, along

N = 24  # images; the last has no year
CHANGES = {"score": {"n_draws": 4}, "condition": {"anchors": 3}, "cluster": {"n_starts": 3},
           "select": {"at_least": 12, "per_image": 2}}  # fmt: skip


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small photographs of two shapes with a year: discs before 1950, triangles after."""
    root = tmp_path_factory.mktemp("years")
    rows = [("file_name", "year")]
    for number in range(N):
        name = f"{number:02d}.jpg"
        draw_photo(root / name, int(number >= N // 2), number)
        rows.append((name, str(1900 + 4 * number) if number < N - 1 else ""))
    with (root / "metadata.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return root


def configured(tiny: Path, **changes: dict) -> AlongConfig:
    model = {"finetune": "none", "held_out": 0.4, "least_images": 16, "most_images": 16,
             "learning_rate": 0.1, **changes.pop("model", {})}  # fmt: skip
    own = tiny_diffusion.settings(tiny, **model)
    return workflow.configure(own, CHANGES, changes, kind=AlongConfig)


@pytest.fixture(scope="module")
def run(years: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> AlongRun:
    folder = tmp_path_factory.mktemp("runs") / "years"
    return along(years, "year", folder, config=configured(tiny), workers=1, device="cpu")


def maps(run: AlongRun) -> list[dict]:
    return read_parquet(run.folder / "scores" / "part-00000.parquet").to_pylist()


def test_the_whole_way_ends_in_elements(run: AlongRun) -> None:
    scored = maps(run)
    assert len(scored) == N - 1
    assert all(np.std(one["null"]) > 0 for one in scored)
    assert all(len(one["profile"]) == 3 * len(one["null"]) for one in scored)
    assert len(run.elements) > 0
    assert set(run.elements["verdict"].to_pylist()) <= {
        "significant", "suggestive", "not significant", "not tested"}  # fmt: skip
    page = run.page.read_text()
    assert "not finetuned, the condition projected to 4 learned states" in page
    assert "denoising, 10% without condition" in page
    manifest = json.loads((run.folder / "run.json").read_text())
    assert manifest["device"] == "cpu, float32"
    # Levels are drawn as the presets of Stable Diffusion have it: where typicality varies.
    assert (run.folder / "scores" / "levels.json").exists()


def test_what_is_there_at_an_anchor_is_its_profile(run: AlongRun, years: Path) -> None:
    """An image whose condition is an anchor's has one map, reached on two ways."""
    opened = mining(run, years)
    at = np.flatnonzero(opened.shares.max(axis=1) == 1)
    found = {one["row"]: one for one in maps(run)}
    for row in at.tolist():
        own = np.array(found[row]["null"])
        profile = np.array(found[row]["profile"]).reshape(3, -1)
        assert_allclose(profile[opened.shares[row].argmax()], own, atol=1e-6)
        assert np.abs(profile - own).max() > 1e-4
    assert len(at) >= 3


def mining(run: AlongRun, years: Path) -> Along:
    from typika.mining.pipeline import Mining

    values = json.loads((run.folder / "run.json").read_text())["config"]
    config = settings.build(AlongConfig, workflow._without_none(values))
    own = Mining(Run.read(run.folder), years, config, workers=1, device="cpu")
    return Along.open(own, config.condition)


class Killed(BaseException):
    """As sudden as a kill."""


def test_killed_while_scoring_it_ends_the_same(
    run: AlongRun, years: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise Killed

    # Two at once, which changes nothing but rounding.
    config = configured(tiny, model={"scored_at_once": 2})
    with monkeypatch.context() as patch:
        patch.setattr(stages, "_joined", dying)
        with pytest.raises(Killed):
            along(years, "year", tmp_path / "run", config=config, workers=1, device="cpu")
    again = along(years, "year", tmp_path / "run", config=config, workers=1, device="cpu")
    for one, other in zip(maps(again), maps(run), strict=True):
        assert_allclose(one["profile"], other["profile"], atol=1e-5)
        assert_allclose(one["null_error"], other["null_error"], atol=1e-5)
    for name in ("metrics.jsonl", "model/denoiser/none/condition/projection.safetensors"):
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes()


def test_the_command_plans_and_runs(
    run: AlongRun, years: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(settings.as_toml(configured(tiny)))
    asked = ["along", str(years), "--condition", "year", "--model", str(tiny), "--offline",
             "--recipe", str(recipe), "--out", str(run.folder), "--device", "cpu",
             "--workers", "1"]  # fmt: skip
    main([*asked, "--dry-run"])
    plan = capsys.readouterr().out
    assert tomllib.loads(plan)["model"]["checkpoint"] == str(tiny)
    assert f"# cost: {24 * 4 * 5 + 128} passes" in plan
    main(asked)
    said = capsys.readouterr()
    assert said.out.strip() == str(run.page)
    assert said.err.count("already done") == 6


def test_settings_for_labels_are_told(years: Path, tiny: Path, tmp_path: Path) -> None:
    score = {"design": "stratified", "racing": 1.0}
    with pytest.raises(ConfigError, match=r"score\.racing=0"):
        along(years, "year", tmp_path / "a", config=configured(tiny, score=score))
