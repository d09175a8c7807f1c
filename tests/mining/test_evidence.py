"""The evidence stage on a small run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pictures import draw_photo
from test_workflow import small
from typika import config as settings
from typika import workflow
from typika.collection.images import ImageCollection
from typika.mining import evidence
from typika.mining.features import cell_weights, window_weights
from typika.mining.pipeline import FOLDS, Mining, folds, training_images
from typika.tables import read_parquet


@pytest.fixture(scope="module")
def mining(tmp_path_factory: pytest.TempPathFactory) -> Mining:
    root = tmp_path_factory.mktemp("collection") / "photos"
    for label, name in enumerate(("discs", "triangles")):
        for number in range(26):
            draw_photo(root / name / f"{number:02d}.jpg", label, number)
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = workflow.mine(root, folder, config=small(), workers=1)
    with workflow.opened(root, run.folder, small(), 1, overwrite=False) as opened:
        return opened


def test_clusters_are_tested_on_images_that_the_model_never_saw(mining: Mining) -> None:
    collection = mining.collection
    (sides,) = evidence.trials(mining, collection)
    trained_on = training_images(collection, mining.config)
    assert trained_on[sides.fit].all()
    assert not trained_on[sides.test].any()
    assert len(sides.test) == 10
    table = read_parquet(mining.folder / "verdicts.parquet").to_pandas()
    tested = table[table["verdict"] != "not tested"]
    assert len(tested) > 0
    assert ((tested["n_own"] == 5) & (tested["n_other"] == 5)).all()


def test_red_discs_and_blue_triangles_hold_on_unseen_images(mining: Mining) -> None:
    table = read_parquet(mining.folder / "verdicts.parquet").to_pandas()
    best = table[table["auc"].notna()].groupby("label")["auc"].max()
    assert (best > 0.9).all()
    clusters = read_parquet(mining.folder / "clusters.parquet")
    assert len(table) == len(clusters.filter(pa.compute.greater_equal(clusters["cluster"], 0)))


def test_workers_change_nothing(mining: Mining) -> None:
    patches = read_parquet(mining.folder / "patches.parquet")
    two = Mining(mining.run, mining.source, mining.config, workers=2)
    found = evidence.verdicts(two, mining.collection, patches)
    assert found.equals(read_parquet(mining.folder / "verdicts.parquet"))


def test_where_the_model_saw_none_of_the_images_they_are_cut_in_halves(mining: Mining) -> None:
    collection = mining.collection
    split = np.where(np.arange(len(collection)) % 2, "train", "test")
    table = collection.table.set_column(
        collection.table.column_names.index("split"), "split", pa.array(split, pa.string())
    )
    config = settings.build(
        workflow.MineConfig, {"collection": {"train_on": "train", "mine": "test"}}
    )
    other = Mining(mining.run, mining.source, config, workers=1)
    (sides,) = evidence.trials(other, ImageCollection(collection.root, table))
    rows = np.sort(np.concatenate([sides.fit, sides.test]))
    np.testing.assert_array_equal(rows, np.flatnonzero(split == "test"))
    assert abs(len(sides.fit) - len(sides.test)) <= 2


def test_images_of_one_group_are_one_unit_and_an_image_of_two_labels_has_both() -> None:
    n = 5
    table = pa.table(
        {
            "image_id": ["a", "b", "c", "d", "d"],
            "file_name": ["1", "2", "3", "4", "4"],
            "label": ["x", "x", "y", "x", "y"],
            "width": [8] * n,
            "height": [8] * n,
            "group": ["one", "one", "one", "two", "two"],
            "duplicate": ["a", "b", "c", "d", "d"],
            "split": [""] * n,
        }
    )
    units = evidence.Units.of(ImageCollection(Path(), table), np.arange(n))
    of = units.of_image
    assert of[0] == of[1]
    assert len({int(of[0]), int(of[2]), int(of[3])}) == 3
    assert of[3] == of[4]
    assert units.member[of[3]].tolist() == [True, True]
    assert units.member[of[0]].tolist() == [True, False]
    score = np.array([[1.0], [3.0], [5.0], [7.0], [7.0]])
    assert units.mean(score)[of[0], 0] == 2.0


def crossed(config: workflow.MineConfig) -> workflow.MineConfig:
    collection = replace(config.collection, cross_fit=True)
    return replace(config, collection=collection)


def test_in_a_cross_fit_no_model_scores_what_it_was_fitted_to(mining: Mining) -> None:
    other = replace(mining, config=crossed(mining.config))
    collection = mining.collection
    first, second = folds(other, collection)
    for fold in (first, second):
        assert not (fold.trained_on & fold.scored).any()
    assert (first.scored ^ second.scored).all()
    assert first.mining.model != second.mining.model
    quarters = evidence.trials(other, collection)
    tested = np.sort(np.concatenate([trial.test for trial in quarters]))
    np.testing.assert_array_equal(tested, np.arange(len(collection)))
    for trial in quarters:
        scored = first.scored if first.scored[trial.test[0]] else second.scored
        assert scored[trial.test].all()
        assert scored[trial.fit].all()
        assert not set(trial.fit) & set(trial.test)


@pytest.mark.slow
def test_a_cross_fit_goes_all_the_way(mining: Mining, tmp_path: Path) -> None:
    config = crossed(mining.config)
    run = workflow.mine(mining.source, tmp_path / "run", config=config, workers=1)
    assert {path.parent.name for path in run.folder.glob("model/*/*/*.safetensors")} == set(FOLDS)
    scores = read_parquet(run.folder / "scores" / "part-00000.parquet")
    assert not any(scores["trained_on"].to_pylist())
    table = read_parquet(run.folder / "verdicts.parquet").to_pandas()
    tested = table[table["verdict"] != "not tested"]
    assert (tested["n_own"] + tested["n_other"] == len(mining.collection)).all()
    assert tested["auc"].max() > 0.9


def test_figures_of_several_trials_are_joined_with_care() -> None:
    one = evidence.Outcome(
        n_made=7, n_own=10, n_other=30, auc=0.8, best=8, hits=6, p=0.01, p_family=0.02
    )
    alone = evidence.joined([one])
    assert (alone["p"], alone["auc"], alone["purity"], alone["lift"]) == (0.01, 0.8, 0.75, 3.0)
    twice = evidence.joined([one, replace(one, p=0.03, auc=0.6)])
    assert twice["p"] == pytest.approx(0.04)
    assert twice["auc"] == pytest.approx(0.7)
    # Two that depend on each other tell no more than one.
    same = evidence.joined([one, one])
    assert (same["auc_low"], same["auc_high"]) == (alone["auc_low"], alone["auc_high"])
    assert evidence.joined([]) == {}


def test_windows_cover_the_axis_from_end_to_end() -> None:
    windows = window_weights(0.25, 0.25, 16)
    assert len(windows) == 13
    np.testing.assert_allclose(windows.sum(axis=1), 1)
    np.testing.assert_allclose(windows[0], cell_weights(0.0, 0.25, 16))
    np.testing.assert_allclose(windows[-1], cell_weights(0.75, 1.0, 16))
    np.testing.assert_allclose(window_weights(1.0, 0.25, 4), np.full((1, 4), 0.25))
