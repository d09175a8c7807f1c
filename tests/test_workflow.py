"""The whole way from images to report, on pictures that the tests draw."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import typika
from pictures import draw_photo
from typika import config as settings
from typika import workflow
from typika.curation.apply import Found
from typika.curation.edits import Drop, Edit, Log, Rename
from typika.curation.store import CURATION, write_log
from typika.errors import ConfigError, DataError
from typika.mining import scoring, stages
from typika.tables import read_parquet
from typika.workflow import MineConfig, MiningRun, advance, mine

SMALL = {
    "model": {
        "sides": [64, 96],
        "dimensions": 16,
        "width": 16,
        "blocks": 1,
        "epochs": 4.0,
        "least_steps": 12,
    },
    "rival": {"width": 16, "epochs": 4.0, "least_steps": 12},
    "select": {"at_least": 8, "controls": 4, "patch_size": 0.3},
    "artefacts": {"images": 2},
    "cluster": {"n_starts": 6},
    "confounds": {"n_trees": 8},
    "significance": {"permutations": 199},
    "report": {"sheets": False},
}
TABLES = ("collection.parquet", "selected.parquet", "patches.parquet", "clusters.parquet")


def small(**changes: dict) -> MineConfig:
    return settings.build(MineConfig, SMALL, changes)


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("collection") / "photos"
    for label, name in enumerate(("discs", "triangles")):
        for number in range(12):
            draw_photo(root / name / f"{number:02d}.jpg", label, number)
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> MiningRun:
    return mine(photos, tmp_path_factory.mktemp("runs") / "run", config=small(), workers=1)


def test_rare_elements_are_listed_apart(run: MiningRun) -> None:
    groups = read_parquet(run.folder / "rare.parquet").to_pylist()
    windows = read_parquet(run.folder / "rare_patches.parquet")
    assert groups
    counted = Counter(zip(windows["label"].to_pylist(), windows["rank"].to_pylist(), strict=True))
    assert counted == {(one["label"], one["rank"]): one["n_images"] for one in groups}
    labels = dict(zip(*(run.collection.table[name].to_pylist() for name in ("image_id", "label")),
                      strict=True))  # fmt: skip
    for row in windows.to_pylist():
        assert labels[row["image_id"]] == row["label"]
        assert 0 <= row["left"] < row["right"] <= 96
        assert 0 <= row["top"] < row["bottom"] <= 80
    for one in groups:
        assert one["score"] == pytest.approx(
            np.sqrt(one["n_images"]) * one["tightness"] * one["standing"]
        )
    page = run.report.read_text()
    assert "Rare but consistent" in page
    assert page.count('class="rare-strip"') == len(groups)


def test_rare_elements_can_be_left_alone(run: MiningRun, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    without = small(rare={"shown": 0})
    again = mine(photos, tmp_path / "run", config=without, workers=1, overwrite=True)
    assert len(read_parquet(again.folder / "rare.parquet")) == 0
    assert "Rare but consistent" not in again.report.read_text()


def test_the_tables_hold_what_they_promise(run: MiningRun) -> None:
    patches = run.patches.to_pandas()
    assert set(patches["selection"]) == {"typical", "random", "negative"}
    assert set(patches["label"]) == {"discs", "triangles"}
    typical = patches[patches["selection"] == "typical"]
    assert (patches.loc[patches["selection"] != "typical", "cluster"] == -1).all()
    loose = typical["cluster"] == -1
    assert not loose.all()
    typical_of_clusters = typical[~loose]
    repeated = typical_of_clusters.duplicated(["label", "cluster", "image_id"])
    assert not repeated.any()
    assert typical.groupby("label")["typicality"].apply(lambda s: s.is_monotonic_decreasing).all()
    assert (patches["right"] > patches["left"]).all()
    assert (patches["error"] >= 0).all()
    sizes = typical_of_clusters.groupby(["label", "cluster"]).size()
    clusters = run.clusters.to_pandas().set_index(["label", "cluster"])
    assert (clusters["size"] == sizes.reindex(clusters.index)).all()
    assert len(sizes) == len(clusters)
    assert clusters["stability"].between(0, 1).all()
    assert (clusters["low"] <= clusters["typicality"]).all()
    assert (clusters["typicality"] <= clusters["high"]).all()


def test_boxes_lie_inside_their_images(run: MiningRun) -> None:
    patches = run.patches.to_pandas()
    assert (patches[["left", "top"]] >= 0).all().all()
    assert (patches["right"] <= patches["width"]).all()
    assert (patches["bottom"] <= patches["height"]).all()


def test_a_patch_scores_the_mean_of_its_image_s_map(run: MiningRun) -> None:
    patches = run.patches.to_pandas()
    for patch in patches.groupby(["label", "selection"]).head(2).itertuples():
        box = slice(patch.top, patch.bottom), slice(patch.left, patch.right)
        found = run.typicality_map(patch.image_id)[box].mean()
        assert found == pytest.approx(patch.typicality_null, rel=1e-4, abs=1e-6)
        found = run.typicality_map(patch.image_id, "evidence")[box].mean()
        assert found == pytest.approx(patch.evidence, rel=1e-4, abs=1e-6)


def test_a_refined_map_keeps_the_size_and_nearly_the_mean(run: MiningRun) -> None:
    image_id = run.patches["image_id"][0].as_py()
    plain, refined = (run.typicality_map(image_id, refined=refined) for refined in (False, True))
    assert plain.shape == refined.shape
    assert not np.allclose(plain, refined)
    assert refined.mean() == pytest.approx(plain.mean(), abs=0.2 * plain.std())


def test_maps_of_unknown_images_and_unscored_runs_are_refused(
    run: MiningRun, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="not an image of"):
        run.typicality_map("nowhere")
    early = advance(photos, tmp_path / "early", small(), last="collect", workers=1)
    with pytest.raises(ConfigError, match="typika score"):
        early.typicality_map(run.patches["image_id"][0].as_py())


def test_typical_beats_random_beats_negative(run: MiningRun) -> None:
    medians = run.patches.to_pandas().groupby("selection")["typicality"].median()
    assert medians["typical"] > medians["random"] > medians["negative"]


def test_the_report_is_there_and_names_the_method(run: MiningRun) -> None:
    text = run.report.read_text(encoding="utf-8")
    assert "discs" in text
    assert "hybrid" in text
    assert "Grouping repeats" in text
    assert "MLP" in text


def test_the_run_folder_moves(run: MiningRun, tmp_path: Path) -> None:
    manifest = json.loads((run.folder / "run.json").read_text())
    assert not Path(manifest["source"]).is_absolute()
    names = [name for stage in manifest["stages"].values() for name in stage["outputs"]]
    assert not any(Path(name).is_absolute() for name in names)


def test_a_second_call_does_nothing(run: MiningRun, photos: Path) -> None:
    before = (run.folder / "patches.parquet").stat().st_mtime_ns
    mine(photos, run.folder, config=small(), workers=1)
    assert (run.folder / "patches.parquet").stat().st_mtime_ns == before


def test_workers_change_nothing(run: MiningRun, photos: Path, tmp_path: Path) -> None:
    other = mine(photos, tmp_path / "run", config=small(), workers=2)
    assert tables(other.folder) == tables(run.folder)


def test_the_order_and_names_of_files_change_nothing(
    run: MiningRun, photos: Path, tmp_path: Path
) -> None:
    for path in sorted(photos.rglob("*.jpg")):
        renamed = tmp_path / "photos" / path.parent.name / f"{99 - int(path.stem):02d}.jpg"
        renamed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, renamed)
    other = mine(tmp_path / "photos", tmp_path / "run", config=small(), workers=1)
    kept = [name for name in run.patches.column_names if name not in ("file_name", "thumbnail")]
    assert other.patches.select(kept).equals(run.patches.select(kept))


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [(scoring, "_score_parts"), (stages, "_candidates_of_part"), (stages, "patch_features")],
    ids=lambda place: place[1],
)
def test_a_broken_run_is_finished_by_the_same_command(
    run: MiningRun,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[object, str],
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(*place, stop)
        with pytest.raises(KeyboardInterrupt):
            mine(photos, tmp_path / "run", config=small(), workers=1)
    again = mine(photos, tmp_path / "run", config=small(), workers=1)
    assert tables(again.folder) == tables(run.folder)


@pytest.mark.slow
def test_a_killed_run_is_finished_by_the_same_command(
    run: MiningRun, photos: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "small.toml"
    recipe.write_text(settings.as_toml(small()))
    command = [sys.executable, "-m", "typika", "mine", str(photos), "--recipe", str(recipe),
               "--out", str(tmp_path / "run"), "--workers", "1"]  # fmt: skip
    for seconds in (2.0, 3.0, 4.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert tables(tmp_path / "run") == tables(run.folder)


def test_another_configuration_is_refused(run: MiningRun, photos: Path) -> None:
    with pytest.raises(ConfigError, match="seed: 0 there, 1 now"):
        mine(photos, run.folder, config=small(seed=1), workers=1)


def test_only_what_changed_is_done_again(run: MiningRun, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "photos").symlink_to(photos)
    before = MiningRun(tmp_path / "run").seconds()
    changed = small(cluster={"method": "published"})
    mine(photos, tmp_path / "run", config=changed, workers=1, overwrite=True)
    after = MiningRun(tmp_path / "run").seconds()
    assert {name for name in after if after[name] != before[name]} <= {
        "cluster",
        "evidence",
        "rare",
        "report",
    }
    assert (tmp_path / "run" / "clusters.parquet").read_bytes() != (
        run.folder / "clusters.parquet"
    ).read_bytes()


@pytest.mark.slow
def test_faithful_and_against_the_others(photos: Path, tmp_path: Path) -> None:
    changed = small(model={"loss": "faithful", "sides": [64]}, score={"against": "others"})
    found = mine(photos, tmp_path / "run", config=changed, workers=1)
    patches = found.patches.to_pandas()
    assert not np.allclose(patches["typicality"], patches["typicality_null"])
    assert "faithful" in found.report.read_text(encoding="utf-8")


def test_the_python_interface_takes_a_collection(run: MiningRun, photos: Path) -> None:
    collection = typika.ImageCollection.open(photos)
    again = typika.mine(collection, run.folder, config=small(), workers=1)
    assert again.patches.equals(run.patches)
    assert "<table>" in again._repr_html_()


def test_check_tells_what_is_there(photos: Path) -> None:
    lines = workflow.check(photos, small(), workers=1).lines
    assert lines[0] == "24 images, 2 labels"
    assert any(line.startswith("cost:") for line in lines)
    assert any("fewer than 30 images" in line for line in lines)


def test_hostile_labels_stay_labels(photos: Path, tmp_path: Path) -> None:
    rows = ["file_name,where"]
    for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
        label = "../x" if number % 2 else "<script>alert(1)</script>"
        rows.append(f"{path.relative_to(photos).as_posix()},{label}")
    folder = tmp_path / "hostile"
    shutil.copytree(photos, folder)
    (folder / "metadata.csv").write_text("\n".join(rows))
    changed = small(collection={"label": "where"}, report={"sheets": True})
    found = mine(folder, tmp_path / "deep" / "run", config=changed, workers=1)
    assert set(found.patches["label"].to_pylist()) == {"../x", "<script>alert(1)</script>"}
    assert "<script>alert(1)" not in found.report.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "hostile"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["run"]


def test_one_image_per_label_and_many_labels(tmp_path: Path) -> None:
    for label in range(24):
        draw_photo(tmp_path / "photos" / f"label {label}" / "only.jpg", label, 0)
    found = mine(tmp_path / "photos", tmp_path / "run", config=small(), workers=1)
    assert len(set(found.patches["label"].to_pylist())) == 24
    assert "none could be held out" in found.report.read_text(encoding="utf-8")


def test_odd_shapes_are_mined(photos: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    Image.effect_noise((3000, 20), 60).convert("RGB").save(folder / "discs" / "long.png")
    (folder / "discs" / "notes.png").write_text("not an image")
    Image.new("RGB", (1, 1)).save(folder / "triangles" / "dot.png")
    found = mine(folder, tmp_path / "run", config=small(), workers=1)
    skipped = (found.folder / "skipped.csv").read_text()
    assert "discs/notes.png" in skipped
    assert "triangles/dot.png" in skipped
    long = found.patches.to_pandas().query("file_name == 'discs/long.png'")
    assert (long["bottom"] <= 20).all()


def test_an_empty_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        mine(tmp_path / "empty", tmp_path / "run", config=small(), workers=1)
    assert not (tmp_path / "run" / "collection.parquet").exists()


def test_what_was_done_by_hand_is_shown_and_survives_grouping_again(
    run: MiningRun, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    found = Found.read(read_parquet(folder / "patches.parquet"))
    own = [
        n for n in range(len(found.label)) if found.label[n] == "discs" and not found.cluster[n]
    ]
    edits = [Rename(found.anchor(own), "round thing"), Drop(found.anchor(own[:1]))]
    write_log(Log.of(Edit(id=f"{n:032x}", at="", change=x) for n, x in enumerate(edits)), folder)
    mine(photos, folder, config=small(), workers=1)
    assert b"round thing" in (folder / "report.html").read_bytes()
    assert tables(folder) == tables(run.folder)  # what was found stays as it was found
    # A single group for each label: it has most of the patches that were named.
    whole = small(cluster={"method": "published", "n_clusters": 1})
    mine(photos, folder, config=whole, workers=1, overwrite=True)
    assert b"round thing" in (folder / "report.html").read_bytes()
    (folder / CURATION).unlink()
    mine(photos, folder, config=whole, workers=1)
    assert b"round thing" not in (folder / "report.html").read_bytes()
