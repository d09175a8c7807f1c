"""Baselines from images to report, and beside the run whose stages they take over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tiny_clip
import typika
from test_cli import code
from test_comparison import TINY, draw, tiny
from typika import config as settings
from typika.errors import ConfigError, ModelError
from typika.evaluation import intersection_over_union
from typika.mining.baseline import probe_config
from typika.mining.pipeline import training_images
from typika.mining.scores import ScoredMaps
from typika.workflow import MineConfig, MiningRun, baseline, mine, recorded

PROBE = ("linear-cam", "linear-log-sum-exp", "mlp-cam", "mlp-log-sum-exp")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baselines")


@pytest.fixture(scope="module")
def run(place: Path) -> MiningRun:
    return mine(draw(place / "photos"), place / "run", config=tiny(), workers=1)


@pytest.fixture(scope="module")
def probe(run: MiningRun, place: Path) -> MiningRun:
    return baseline("linear-cam", run, place / "linear", workers=1)


def finished(folder: Path) -> dict[str, str]:
    stages = json.loads((folder / "run.json").read_text())["stages"]
    return {name: stage["finished"] for name, stage in stages.items()}


def frame(run: MiningRun, selection: str = "typical"):
    return run.patches.to_pandas().query(f"selection == '{selection}'")


def test_only_what_differs_is_computed(run: MiningRun, probe: MiningRun) -> None:
    before, after = finished(run.folder), finished(probe.folder)
    same = {name for name in after if after[name] == before[name]}
    assert same == {"collect", "encode"}
    for file in ("latents/64/part-00000.npy", "model/rival/0.safetensors"):
        assert (run.folder / file).samefile(probe.folder / file)
    assert not (probe.folder / "model" / "denoiser").exists()


def test_a_taken_over_run_is_what_a_fresh_one_would_be(
    run: MiningRun, probe: MiningRun, place: Path, tmp_path: Path
) -> None:
    fresh = baseline("linear-cam", place / "photos", tmp_path / "fresh", config=tiny(), workers=1)
    for name in ("patches.parquet", "clusters.parquet", "metrics.jsonl"):
        assert (fresh.folder / name).read_bytes() == (probe.folder / name).read_bytes(), name


def test_the_finished_run_stays_as_it_was(run: MiningRun, place: Path, tmp_path: Path) -> None:
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    baseline("linear-cam", run, tmp_path / "again", config=tiny(seed=3), workers=1)
    assert {path: path.read_bytes() for path in files} == before
    with pytest.raises(ConfigError, match="is the run to take over"):
        baseline("linear-cam", run, run.folder)


@pytest.mark.slow
def test_a_killed_baseline_goes_on(
    run: MiningRun, probe: MiningRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("typika.mining.baseline.write_scores", stop)
        with pytest.raises(KeyboardInterrupt):
            baseline("linear-cam", run, tmp_path / "killed", workers=1)
    again = baseline("linear-cam", run, tmp_path / "killed", workers=1)
    assert again.patches.equals(probe.patches)


def test_the_rival_as_a_baseline_is_not_trained_twice(run: MiningRun, tmp_path: Path) -> None:
    found = baseline("mlp-log-sum-exp", run, tmp_path / "mlp", workers=1)
    patches = found.patches
    assert np.allclose(patches["typicality"].to_numpy(), patches["evidence"].to_numpy(), atol=1e-5)
    assert not (found.folder / "model" / "baseline").exists()
    page = found.report.read_text(encoding="utf-8")
    assert "Agreement with the rival" not in page
    assert "MLP log-sum-exp + noise" in page


@pytest.mark.parametrize("name", PROBE)
def test_probes_have_the_denoisers_budget(name: str) -> None:
    config = settings.build(
        MineConfig, TINY, {"baseline": {"name": name}, "model": {"epochs": 3.5, "batch": 5}}
    )
    found = probe_config(config)
    assert (found.epochs, found.batch, found.least_steps) == (3.5, 5, 6)
    assert found.noised
    assert ("linear" in found.name, "CAM" in found.name) == ("linear" in name, "cam" in name)


def test_the_map_of_a_probe_is_its_evidence(probe: MiningRun) -> None:
    maps = ScoredMaps(probe.folder)[0]
    assert (maps["null_error"] == 0).all()
    assert np.ptp(maps["null"]) > 0
    assert not np.allclose(maps["null"], maps["evidence"])
    rows = frame(probe)
    assert (rows["error"] == 0).all()
    assert np.allclose(rows["typicality"], rows["typicality_null"])
    assert rows.groupby("label")["typicality"].apply(lambda s: s.is_monotonic_decreasing).all()


def test_every_page_names_its_method(run: MiningRun, probe: MiningRun) -> None:
    page = probe.report.read_text(encoding="utf-8")
    assert "What is typical in photos? Baseline: linear CAM + noise" in page
    assert "as seen by a linear classifier" in page
    assert "as seen by a diffusion model" not in page
    assert "how much the label helps the model explain" not in page
    assert "> against no label<" not in page
    assert "<dd>cross-entropy of the image" in page
    assert "Label told, linear CAM + noise" in page
    plain = run.report.read_text(encoding="utf-8")
    assert "as seen by a diffusion model of the collection itself." in plain
    assert "This is a baseline" not in plain


def test_negative_is_the_control_turned_about(run: MiningRun, tmp_path: Path) -> None:
    found = baseline("negative", run, tmp_path / "negative", workers=1)
    assert finished(found.folder)["score"] == finished(run.folder)["score"]
    rows = frame(found)
    assert rows.groupby("label")["typicality"].apply(lambda s: s.is_monotonic_increasing).all()
    assert rows["typicality"].max() < frame(run)["typicality"].min()
    clusters = found.clusters.to_pandas()
    clusters = clusters[clusters["size"] >= recorded(found.folder)[1].cluster.smallest]
    assert clusters.groupby("label")["typicality"].apply(lambda s: s.is_monotonic_increasing).all()
    assert "their label explains worst" in found.report.read_text(encoding="utf-8")


def test_random_patches_are_random_with_their_own_typicality(
    run: MiningRun, tmp_path: Path
) -> None:
    found = baseline("random", run, tmp_path / "random", workers=1)
    rows = frame(found)
    assert len(rows) == len(frame(run))
    for _, own in rows.groupby(["image_id", "label"]):
        boxes = own[["left", "top", "right", "bottom"]].to_numpy()
        overlap = intersection_over_union(boxes, boxes) - np.eye(len(boxes))
        assert overlap.max() == 0
    control = frame(found, "random").merge(rows, on=["image_id", "left", "top"])
    assert len(control) < 2  # drawn apart from the controls
    row = rows.iloc[0]
    values = found.typicality_map(row["image_id"])
    box = values[row["top"] : row["bottom"], row["left"] : row["right"]]
    assert row["typicality"] == pytest.approx(box.mean(), abs=1e-6)
    assert abs(rows["typicality"].mean()) < frame(run)["typicality"].mean()


@pytest.mark.slow
def test_from_the_command_line(
    run: MiningRun, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    run_folder = str(run.folder)
    assert code("baseline", "random", run_folder, "--workers", "1") == 0
    assert capsys.readouterr().out.strip() == "runs/photos-random/report.html"
    changed = ["--set", "select.share=0.2", "--set", "report.sheets=false", "--workers", "1"]
    assert code("baseline", "random", run_folder, *changed) == 2
    assert "select.share: 0.4 there, 0.2 now" in capsys.readouterr().err
    assert code("baseline", "random", run_folder, *changed, "--out", "fewer") == 0
    fewer = MiningRun(Path("fewer"))
    assert len(frame(fewer)) < len(frame(run))
    assert finished(Path("fewer"))["score"] == finished(run.folder)["score"]
    capsys.readouterr()
    assert code("baseline", "rndom", run_folder) == 2
    assert "expected one of random, negative, linear-cam" in capsys.readouterr().err
    assert code("baseline", "mlp-cam", run_folder, "--dry-run", "--workers", "1") == 0
    assert 'name = "mlp-cam"' in capsys.readouterr().out
    assert not Path("runs/photos-mlp-cam").exists()


@pytest.mark.slow
def test_an_unfinished_run_is_gone_on_from(place: Path, run: MiningRun, tmp_path: Path) -> None:
    from typika.workflow import advance

    early = advance(place / "photos", tmp_path / "early", tiny(), last="encode", workers=1)
    found = baseline("random", early, tmp_path / "random", workers=1)
    assert finished(found.folder)["encode"] == finished(early.folder)["encode"]
    assert frame(found)["typicality"].notna().all()


def test_the_python_name_is_public() -> None:
    assert typika.baseline is baseline


def test_neighbours_end_in_the_same_report(run: MiningRun, tmp_path: Path) -> None:
    own = recorded(run.folder)[1]
    config = settings.build(
        MineConfig, settings.as_values(own), {"baseline": {"neighbours": 5, "bank": 500}}
    )
    found = baseline("neighbours", run, tmp_path / "neighbours", config=config, workers=1)
    maps = ScoredMaps(found.folder)[0]
    assert maps["null"].shape == (15, 18)  # 96 x 80 px, 16 px apart at the area of 256 x 256
    assert np.allclose(maps["evidence"], ScoredMaps(run.folder)[0]["evidence"])
    page = found.report.read_text(encoding="utf-8")
    assert "Baseline: HOG and colour neighbours" in page
    assert "5 nearest of 500 patches" in page


def test_clip_ends_in_the_same_report(run: MiningRun, tmp_path: Path) -> None:
    folder = tiny_clip.build(tmp_path / "clip")
    own = settings.as_values(recorded(run.folder)[1])
    config = settings.build(MineConfig, own, {"baseline": {"clip": str(folder)}})
    found = baseline("clip-diff", run, tmp_path / "diff", config=config, workers=1)
    assert ScoredMaps(found.folder)[0]["null"].shape == (4, 4)
    page = found.report.read_text(encoding="utf-8")
    assert "Baseline: CLIP diff" in page
    config = settings.build(MineConfig, own, {"baseline": {"clip": str(tmp_path / "none")}})
    with pytest.raises(ModelError, match="no such folder"):
        baseline("clip-sim", run, tmp_path / "sim", config=config, workers=1)
    assert not (tmp_path / "sim").exists()


@pytest.mark.slow
def test_a_detector_is_a_cluster_of_what_it_found(run: MiningRun, place: Path) -> None:
    changes = {"baseline": {"candidates": 200}}
    config = settings.build(MineConfig, TINY, changes)
    found = baseline("doersch", run, place / "doersch", config=config, workers=1)
    typical = frame(found)
    collection = found.collection
    trained_on = training_images(collection, recorded(found.folder)[1])
    learned_from = set(np.array(collection.table["image_id"].to_pylist())[trained_on])
    assert set(typical["image_id"]) <= learned_from
    members = typical.groupby(["label", "cluster"]).size()
    clusters = found.clusters.to_pandas().set_index(["label", "cluster"])
    assert (clusters["size"] == members.reindex(clusters.index)).all()
    # A detector finds one window per image, and its score there is what the map says.
    assert not typical.duplicated(["label", "cluster", "image_id"]).any()
    again = ScoredMaps(found.folder)[0]["null"]
    assert np.isfinite(again).all()
    assert again.std() > 0
