"""The whole way with a tiny Stable Diffusion: from images to clusters, and what may not change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tiny_diffusion
from pictures import draw_photo
from typika import config as settings
from typika import presets, workflow
from typika.contrasts import contrast
from typika.diffusion import checkpoints, stable
from typika.errors import ConfigError, ModelError
from typika.mining.contexts import ContrastMaps
from typika.mining.scores import ScoredMaps
from typika.mining.scoring import of_one_shape
from typika.tables import read_parquet
from typika.workflow import MiningRun


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels of eight small photographs, of two shapes."""
    root = tmp_path_factory.mktemp("images")
    for label, name in enumerate(("discs", "triangles")):
        for number in range(8):
            draw_photo(root / name / f"{number:02d}.jpg", label, number)
    return root


def cluster(images: Path, folder: Path, checkpoint: Path, **changes: dict) -> Path:
    """Run every stage but the report."""
    values = tiny_diffusion.settings(checkpoint, **changes.pop("model", {}))
    config = workflow.configure(values, changes)
    workflow.advance(images, folder, config, last="cluster", workers=1, device="cpu")
    return folder


@pytest.fixture(scope="module")
def done(images: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cluster(images, tmp_path_factory.mktemp("run") / "run", tiny)


def maps(folder: Path) -> list[np.ndarray]:
    scored = ScoredMaps(folder)
    return [scored[row]["null"] for row in range(16)]


def test_a_run_has_what_it_says(done: Path) -> None:
    patches = read_parquet(done / "patches.parquet")
    assert set(patches["selection"].to_pylist()) == {"typical", "random", "negative"}
    assert (done / "model" / "denoiser" / "full" / "config.json").exists()
    rows = [json.loads(line) for line in (done / "metrics.jsonl").read_text().splitlines()]
    assert rows[0].keys() == {"images", "loss"}
    manifest = json.loads((done / "run.json").read_text())
    assert manifest["device"] == "cpu, float32"
    assert all(np.isfinite(one).all() and one.std() > 0 for one in maps(done))


def test_the_same_command_does_nothing_twice(
    images: Path, tiny: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster(images, done, tiny)
    said = capsys.readouterr().err
    assert said.count("already done") == 6


def test_settings_that_only_change_speed_redo_nothing(
    images: Path, tiny: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = tiny_diffusion.settings(tiny, scored_at_once=3, at_once=2)
    config = workflow.configure(values)
    workflow.advance(images, done, config, last="cluster", workers=1, device="cpu", overwrite=True)
    assert capsys.readouterr().err.count("already done") == 6


def test_how_many_are_scored_at_once_changes_nothing(
    images: Path, tiny: Path, done: Path, tmp_path: Path
) -> None:
    other = cluster(images, tmp_path / "run", tiny, model={"scored_at_once": 3})
    for one, two in zip(maps(done), maps(other), strict=True):
        assert_allclose(one, two, atol=3e-5 * np.abs(one).max())


class Killed(BaseException):
    """As sudden as a kill."""


@pytest.mark.slow
def test_a_run_killed_while_scoring_ends_the_same(
    images: Path, tiny: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typika.mining import scoring

    def dying(*_: object) -> dict:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "rival_answer", dying)
        with pytest.raises(Killed):
            cluster(images, tmp_path / "run", tiny)
    cluster(images, tmp_path / "run", tiny)
    for name in ("selected.parquet", "patches.parquet", "clusters.parquet", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (done / name).read_bytes()


def test_every_image_is_encoded_once_and_scored_with_2n_items(
    images: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()
    predict, features = stable.StableDenoiser.run, stable.StableDenoiser.features
    encode = stable.Autoencoder.encode_pixels

    def counted_run(self, noisy, log_snr, text):
        counts["items"] += len(noisy)
        return predict(self, noisy, log_snr, text)

    def counted_encode(self, values):
        counts["encoded"] += 1
        return encode(self, values)

    def counted_features(self, latent, context):
        counts["featured"] += 1
        return features(self, latent, context)

    monkeypatch.setattr(stable.StableDenoiser, "run", counted_run)
    monkeypatch.setattr(stable.StableDenoiser, "features", counted_features)
    monkeypatch.setattr(stable.Autoencoder, "encode_pixels", counted_encode)
    model = {"finetune": "none"}
    run = cluster(images, tmp_path / "run", tiny, model=model,
                  score={"n_draws": 6, "design": "stratified"})  # fmt: skip
    selected = set(read_parquet(run / "selected.parquet")["row"].to_pylist())
    assert counts == {"items": 16 * 2 * 6, "encoded": 16, "featured": len(selected)}


def test_images_of_one_shape_are_scored_together() -> None:
    shapes = [(4, 8, 8), (4, 8, 12), (4, 8, 8), (4, 8, 12), (4, 8, 8)]
    assert of_one_shape(shapes) == [[0, 2, 4], [1, 3]]


RACE = {"n_draws": 32, "design": "stratified", "racing": 0.02}
FEW = {"share": 0.05, "at_least": 2, "at_most": 4, "per_image": 2, "patch_size": 0.3}


@pytest.mark.slow
def test_racing_spends_draws_where_it_is_open_who_is_chosen(
    images: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"finetune": "none"}
    whole = cluster(images, tmp_path / "whole", tiny, model=model, select=FEW,
                    score={**RACE, "racing": 0.0})  # fmt: skip
    items = []
    run = stable.StableDenoiser.run

    def counted(self, noisy, log_snr, text):
        items.append(len(noisy))
        return run(self, noisy, log_snr, text)

    monkeypatch.setattr(stable.StableDenoiser, "run", counted)
    raced = cluster(images, tmp_path / "raced", tiny, model=model, select=FEW, score=RACE)
    measured = 8 * 2 * 32  # the error of a patch, on eight images
    assert sum(items) - measured < 0.7 * 16 * 2 * 32
    assert not (raced / "scores" / "race").exists()
    assert_allclose(
        np.mean([np.corrcoef(one.ravel(), two.ravel())[0, 1]
                 for one, two in zip(maps(raced), maps(whole), strict=True)]), 1.0, atol=0.5
    )  # fmt: skip
    # A race in which nothing is ever decided is no race.
    slow = cluster(images, tmp_path / "slow", tiny, model=model, select=FEW,
                   score={**RACE, "racing": 1e9})  # fmt: skip
    for one, two in zip(maps(slow), maps(whole), strict=True):
        assert_allclose(one, two, atol=1e-5 * np.abs(one).max())


@pytest.mark.slow
def test_a_race_killed_in_the_middle_ends_the_same(
    images: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typika.mining import scoring

    options = {"model": {"finetune": "none"}, "select": FEW, "score": RACE}
    whole = cluster(images, tmp_path / "whole", tiny, **options)
    race_part = scoring._race_part
    for at in (1, 2):
        with monkeypatch.context() as patch:

            def dying(mining, collection, scorer, part, number, *rest, at=at):
                if number == at:
                    raise Killed
                race_part(mining, collection, scorer, part, number, *rest)

            patch.setattr(scoring, "_race_part", dying)
            with pytest.raises(Killed):
                cluster(images, tmp_path / "run", tiny, **options)
    run = cluster(images, tmp_path / "run", tiny, **options)
    assert (run / "patches.parquet").read_bytes() == (whole / "patches.parquet").read_bytes()


@pytest.mark.slow
def test_two_ranks_make_the_run_that_one_makes(
    images: Path, tiny: Path, done: Path, tmp_path: Path
) -> None:
    values = tiny_diffusion.settings(tiny)
    (tmp_path / "recipe.toml").write_text(settings.as_toml(workflow.configure(values)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
               "2", "-m", "typika", "cluster", str(images), "--recipe",
               str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "run"), "--device", "cpu",
               "--workers", "1"]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("done in") == 1  # only the leader speaks
    one, two = (read_parquet(folder / "collection.parquet") for folder in (done, tmp_path / "run"))
    assert one.equals(two)
    # Gradients summed over two ranks round otherwise; the maps are of nearly the same network.
    for first, second in zip(maps(done), maps(tmp_path / "run"), strict=True):
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99


def test_other_labels_are_compared_on_demand(images: Path, tiny: Path, tmp_path: Path) -> None:
    run = cluster(images, tmp_path / "run", tiny, model={"finetune": "none"},
                  score={"n_others": 1, "against": "others"})  # fmt: skip
    scored = ScoredMaps(run)[0]
    assert set(scored) == {"null", "null_error", "others", "others_error", "evidence"}
    table = read_parquet(run / "scores" / "part-00000.parquet")
    assert set(table["predicted"].to_pylist()) <= {0, 1}


@pytest.mark.slow
def test_the_published_settings_run(images: Path, tiny: Path, tmp_path: Path) -> None:
    values = tiny_diffusion.settings(tiny, finetune="none", posterior="sample")
    del values["score"]
    config = workflow.configure(values, {"cluster": {"n_clusters": 4}}, preset="paper")
    assert (config.score.n_draws, config.score.design) == (100, "independent")
    workflow.advance(images, tmp_path / "run", config, last="cluster", workers=1, device="cpu")
    assert read_parquet(tmp_path / "run" / "patches.parquet").num_rows


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiny_velocity", "tiny_xl"])
def test_other_families_run(
    images: Path, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    checkpoint = request.getfixturevalue(kind)
    model = {"finetune": "lora", "least_images": 8, "most_images": 8}
    run = cluster(
        images, tmp_path / "run", checkpoint, model=model, score={"design": "stratified"}
    )
    assert all(np.isfinite(one).all() for one in maps(run))


def test_one_split_may_be_trained_on_and_another_mined(
    images: Path, tiny: Path, tmp_path: Path
) -> None:
    import shutil

    for number, path in enumerate(sorted(images.rglob("*.jpg"))):
        split = "train" if number % 2 else "val"
        target = tmp_path / "images" / split / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    run = cluster(
        tmp_path / "images", tmp_path / "run", tiny, model={"least_images": 8, "most_images": 8},
        collection={"train_on": "train", "mine": "val"},
    )  # fmt: skip
    table = read_parquet(run / "scores" / "part-00000.parquet")
    assert table.num_rows == 8
    assert not any(table["trained_on"].to_pylist())
    patches = read_parquet(run / "patches.parquet")
    assert set(patches["split"].to_pylist()) == {"val"}


def test_a_kind_of_model_brings_what_suits_it() -> None:
    config = workflow.configure({"model": {"checkpoint": "somewhere"}})
    assert isinstance(config.model, stable.StableConfig)
    assert (config.score.n_draws, config.score.n_others) == (32, 0)
    own = workflow.configure({"model": {"checkpoint": "somewhere"}}, {"score": {"n_draws": 64}})
    assert (own.score.n_draws, own.score.design) == (64, "importance")
    assert workflow.configure().score.n_draws == 8
    with pytest.raises(ConfigError, match=r"model\.kind='gan'"):
        workflow.configure({"model": {"kind": "gan"}})
    with pytest.raises(ConfigError, match="preset 'fast'"):
        presets.named("fast")


def test_a_missing_checkpoint_stops_before_any_work(images: Path, tmp_path: Path) -> None:
    config = workflow.configure({"model": {"checkpoint": str(tmp_path / "nowhere")}})
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        workflow.mine(images, tmp_path / "run", config=config, device="cpu")
    assert not (tmp_path / "run").exists()


def test_check_says_what_it_would_cost(images: Path, tiny: Path) -> None:
    config = workflow.configure(tiny_diffusion.settings(tiny))
    text = "\n".join(workflow.check(images, config, 1).lines)
    assert "passes through the network to score, 48 images seen in finetuning" in text
    assert "predicts epsilon" in text
    broken = workflow.configure({"model": {"checkpoint": "nobody/nothing"}})
    assert "download: nobody/nothing" in "\n".join(workflow.check(images, broken, 1).lines)


def test_offline_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def download(name: str, **options: object) -> str:
        asked.append(options["local_files_only"])
        raise OSError("not here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for value in ("1", "0"):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        with pytest.raises(ModelError, match="nobody/nothing: cannot get it"):
            checkpoints.locate("nobody/nothing")
    assert asked == [True, False]


def test_clusters_are_tried_for_being_artefacts(done: Path) -> None:
    from typika.mining.artefacts import ArtefactConfig, badges
    from typika.mining.pipeline import Mining
    from typika.run import Run

    source, config = workflow.recorded(done)
    mining = Mining(Run.read(done), source, config, 1, "cpu")
    tables = (read_parquet(done / f"{name}.parquet") for name in ("patches", "clusters"))
    found = badges(mining, mining.collection, *tables, ArtefactConfig(images=2, clusters=2))
    assert set(found["label"].to_pylist()) <= {"discs", "triangles"}
    assert {"border", "fixed place"} <= set(found["badge"].to_pylist())


def test_any_text_is_a_context(done: Path, tmp_path: Path) -> None:
    """The prompt of a label, given as a text, is that label."""
    found = contrast(done, ("triangles", "A photo of triangles."), tmp_path / "out",
                     workers=1, device="cpu")  # fmt: skip
    maps, label = ContrastMaps(found.folder), MiningRun(done).collection.label_index
    subjects = [(row["contrast"], row["subject"]) for row in found.clusters.to_pylist()]
    assert set(subjects) == {(0, "discs"), (1, "discs"), (2, "triangles")}
    disc, triangle = (int(np.flatnonzero(label == number)[0]) for number in (0, 1))
    assert maps.read(disc, 0)[0].std() > 0
    assert_allclose(maps.read(disc, 1)[0], maps.read(disc, 0)[0], atol=1e-6)
    assert_allclose(maps.read(triangle, 2)[0], 0, atol=1e-6)
    assert "A photo of triangles." in found.page.read_text(encoding="utf-8")
