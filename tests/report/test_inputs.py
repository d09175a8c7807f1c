"""What the report reads of a run: runs may lack other labels, a rival, or an answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from typika.baselines.names import BaselineConfig
from typika.mining.patches import upsample
from typika.mining.scores import score_path
from typika.mining.typicality import TypicalityConfig
from typika.report import inputs
from typika.report.inputs import MapsOnDisk, baselines, held_out_scores, how_scored
from typika.tables import write_parquet

LABELS = ("a", "b")
CONFIG = SimpleNamespace(
    score=SimpleNamespace(n_others=4),
    rival=SimpleNamespace(name="an MLP"),
    baseline=BaselineConfig(),
)


def score_table(rng: np.random.Generator, n: int = 8) -> dict[str, Any]:
    """The columns of one part: even rows are held out, and only the first two are told wrong."""
    return {
        "image_id": [f"{row:016x}" for row in range(n)],
        "label": [LABELS[row % 4 // 2] for row in range(n)],
        "trained_on": [row % 2 == 1 for row in range(n)],
        "height": [4] * n,
        "width": [6] * n,
        "null": list(rng.normal(size=(n, 24)).astype(np.float32)),
        "others": list(rng.normal(size=(n, 24)).astype(np.float32)),
        "evidence": list(rng.normal(size=(n, 24)).astype(np.float32)),
        "predicted": [row % 4 // 2 if row > 1 else 1 for row in range(n)],
        "rival_predicted": [0] * n,
    }


def found(columns: dict[str, Any], tmp_path: Path) -> tuple[pa.Table, dict[str, float | str]]:
    write_parquet(pa.table(columns), score_path(tmp_path, 0))
    mining: Any = SimpleNamespace(
        folder=tmp_path, collection=SimpleNamespace(labels=LABELS), config=CONFIG
    )
    scores = held_out_scores(tmp_path, [0])
    return scores, {row.name: row.value for row in baselines(scores, mining)}


def test_how_patches_were_scored_is_said_in_words() -> None:
    assert how_scored(TypicalityConfig()) == "against the null, 8 draws"
    own = TypicalityConfig(n_draws=32, design="stratified", against="others", racing=2.0)
    assert how_scored(own) == (
        "against the other labels, 32 draws (stratified), fewer where decided by 2 errors"
    )


def test_a_full_table_gives_every_figure(rng: np.random.Generator, tmp_path: Path) -> None:
    columns = score_table(rng)
    scores, figures = found(columns, tmp_path)
    own, rival = columns["others"][3], columns["evidence"][3]
    assert scores["agreement"][3].as_py() == pytest.approx(np.corrcoef(own, rival)[0, 1])
    assert figures["Label told, diffusion classifier"] == 0.75
    assert figures["Label told, rival"] == 0.5
    assert figures["Label told, always the most frequent"] == 0.5
    assert len(figures) == 6


def test_without_other_labels_the_null_is_held_against_the_rival(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    columns = score_table(rng)
    del columns["others"]
    columns["predicted"] = pa.nulls(8, pa.int64())
    scores, figures = found(columns, tmp_path)
    expected = np.corrcoef(columns["null"][0], columns["evidence"][0])[0, 1]
    assert scores["agreement"][0].as_py() == pytest.approx(expected)
    assert "Label told, diffusion classifier" not in figures
    assert "Label told, rival" in figures


def test_evidence_on_its_own_grid_is_brought_to_that_of_the_map(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    columns = score_table(rng)
    columns |= {"evidence": list(rng.normal(size=(8, 6)).astype(np.float32))}
    columns |= {"evidence_height": [2] * 8, "evidence_width": [3] * 8}
    scores, _ = found(columns, tmp_path)
    rival = upsample(columns["evidence"][5].reshape(2, 3), 4, 6)
    expected = np.corrcoef(columns["others"][5], rival.ravel())[0, 1]
    assert scores["agreement"][5].as_py() == pytest.approx(expected)


def test_without_a_rival_no_figure_speaks_of_it(rng: np.random.Generator, tmp_path: Path) -> None:
    columns = score_table(rng)
    del columns["evidence"], columns["rival_predicted"]
    scores, figures = found(columns, tmp_path)
    assert scores["agreement"].null_count == 8
    assert not [name for name in figures if "rival" in name]


def test_a_model_that_was_trained_on_nothing_has_no_gap(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    _, figures = found(score_table(rng) | {"trained_on": [False] * 8}, tmp_path)
    assert "Mean typicality, held out" not in figures
    assert figures["Label told, diffusion classifier"] == 0.75


def test_maps_on_disk_cope_with_what_a_run_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {
        0: {"null": np.ones((4, 6)), "evidence": np.full((2, 3), 5.0)},
        1: {"null": np.ones((4, 6)), "others": np.zeros((4, 6))},
    }
    monkeypatch.setattr(inputs, "ScoredMaps", lambda _: stored)
    names = pa.table({"image_id": ["x", "y"], "label": ["a", "b"]})
    collection: Any = SimpleNamespace(table=names)
    maps = MapsOnDisk(Path(), collection)
    assert maps["x", "a"].contrast is None
    assert maps["x", "a"].evidence is not None
    assert (maps["x", "a"].evidence == np.full((4, 6), 5.0)).all()
    assert maps["y", "b"].evidence is None
    assert maps["y", "b"].contrast is not None


def test_labels_known_by_heart_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = score_table(rng)
    level = rng.normal(scale=0.01, size=8)
    level[[2, 3]] += 1.0  # of the second label, trained on
    columns |= {"null": [np.full(24, value, np.float32) for value in level]}
    columns |= {"label": ["a", "a", "b", "b"] * 2, "trained_on": [True] * 4 + [False] * 4}
    scores, _ = found(columns, tmp_path)
    mining: Any = SimpleNamespace(collection=SimpleNamespace(labels=("a", "b")), config=CONFIG)
    gap = {row.name: row for row in baselines(scores, mining)}[
        "The same, trained on less held out"
    ]
    assert gap.value == pytest.approx(level[:4].mean() - level[4:].mean())
    assert gap.note.endswith("surely above zero for b")


def test_the_grouping_s_figure_is_the_mean_over_labels() -> None:
    clusters = pa.table({"label": ["a", "a", "b", "c"], "repeats": [0.9, 0.9, 0.5, float("nan")]})
    row = next(inputs.grouping(clusters))
    assert row.value == pytest.approx(0.7)
    assert "least of b, 0.50" in row.note
    assert not list(inputs.grouping(clusters.slice(3)))
