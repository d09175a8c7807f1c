"""`typika cotypical` on scenes whose elements change form with the label."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import parallel_scenes
import typika
from parallel_scenes import LABELS, Scene
from typika import cotypicality, workflow
from typika.cli import main
from typika.collection.parallel import TABLE
from typika.errors import ConfigError, DataError
from typika.mining import cotypicality as numbers
from typika.mining import patches
from typika.mining.scores import ScoredMaps
from typika.tables import read_parquet, write_parquet

SETTINGS = {
    "model": {"sides": [256], "least_steps": 80, "most_steps": 80},
    "rival": {"width": 16, "least_steps": 5, "most_steps": 5},
    "score": {"n_others": 0, "n_draws": 4},
    "select": {"per_image": 3, "share": 0.8, "at_least": 1},
}


SIDES = ("left", "top", "right", "bottom")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes of each label, scored, and translated by the one who rendered them."""
    root = tmp_path_factory.mktemp("scenes")
    images = parallel_scenes.build(root / "images", 6)
    config = workflow.configure(SETTINGS)
    workflow.advance(images, root / "run", config, last="score", workers=1)
    typika.translate(root / "run", translator=parallel_scenes.translator, workers=1)
    return root / "run"


@pytest.fixture(scope="module")
def found(run: Path) -> typika.Cotypicality:
    return typika.cotypical(run, workers=1)


def kinds(found: typika.Cotypicality) -> list[tuple[int, str]]:
    """Cluster of each sequence, and the kind of element that its box shows."""
    return [
        (row["cluster"], Scene.of(row["source_name"]).shown(tuple(row[side] for side in SIDES)))
        for row in found.sequences.to_pylist()
        if row["original"]
    ]


def test_clusters_separate_the_kinds_of_element(found: typika.Cotypicality) -> None:
    shown = kinds(found)
    grouped = [(cluster, kind) for cluster, kind in shown if cluster >= 0]
    counts = Counter(grouped)
    pure = sum(
        max((n for (one, kind), n in counts.items() if one == cluster and kind), default=0)
        for cluster in {cluster for cluster, _ in grouped}
    )
    assert pure / len(grouped) >= 0.9
    assert len(grouped) / len(shown) >= 0.8
    assert {kind for _, kind in grouped} >= {"window", "lamp"}


def test_a_sequence_is_one_place_under_every_label(found: typika.Cotypicality) -> None:
    table = found.sequences.to_pandas()
    for _, own in table.groupby("sequence"):
        assert tuple(own["label"]) == LABELS
        assert own["original"].sum() == 1
        assert own.loc[own["original"], "label"].item() == own["source_label"].iloc[0]
        # These scenes are as large under every label, and so is the box.
        assert own[list(SIDES)].drop_duplicates().shape[0] == 1
        assert np.isclose(np.median(own["typicality"]), own["cotypicality"].iloc[0])


def test_the_original_counts_as_the_run_scored_it(run: Path, found: typika.Cotypicality) -> None:
    names = workflow.MiningRun(run).collection.table["file_name"].to_pylist()
    scored = ScoredMaps(run)
    for row in found.sequences.to_pylist()[::5]:
        if row["original"]:
            values = patches.upsample(scored[names.index(row["file_name"])]["null"], 192, 256)
            inside = values[row["top"] : row["bottom"], row["left"] : row["right"]]
            assert np.isclose(inside.mean(), row["typicality"])


def test_sequences_and_clusters_are_ranked(found: typika.Cotypicality) -> None:
    scores = found.sequences.filter(found.sequences["original"])["cotypicality"].to_pylist()
    assert scores == sorted(scores, reverse=True)
    medians = found.clusters["cotypicality"].to_pylist()
    assert medians == sorted(medians, reverse=True)
    assert sum(found.clusters["size"].to_pylist()) == sum(
        cluster >= 0 for cluster, _ in kinds(found)
    )


def test_the_page_stands_alone(found: typika.Cotypicality) -> None:
    text = found.page.read_text(encoding="utf-8")
    assert "http-equiv" in text
    assert "http:" not in text
    assert "https:" not in text
    assert text.count('class="original"') == text.count('<tr><th scope="row">0.')
    assert text.count("alt=") == text.count("<img ")


class Killed(BaseException):
    """As sudden as a kill."""


def test_a_killed_call_ends_the_same(
    run: Path, found: typika.Cotypicality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "PART", 10)  # three parts, which change nothing either
    monkeypatch.setattr(
        numbers, "part_rows",
        lambda part, n: range(part * 10, min(part * 10 + 10, n)),
    )  # fmt: skip
    monkeypatch.setattr(numbers, "n_parts", lambda n: -(-n // 10))
    score, scored = numbers._score_image, []

    def dying(parallels, scorer, row):
        if len(scored) == 12:
            raise Killed
        scored.append(row)
        return score(parallels, scorer, row)

    with monkeypatch.context() as patch:
        patch.setattr(numbers, "_score_image", dying)
        with pytest.raises(Killed):
            typika.cotypical(run, out=tmp_path / "c", workers=1)
    assert [path.name for path in (tmp_path / "c" / "scores").iterdir()] == ["part-00000.parquet"]
    typika.cotypical(run, out=tmp_path / "c", workers=1)
    for name in ("sequences.parquet", "clusters.parquet", "sequences.csv"):
        assert (tmp_path / "c" / name).read_bytes() == (found.page.parent / name).read_bytes()


def test_the_same_call_does_nothing_twice(
    run: Path, found: typika.Cotypicality, capsys: pytest.CaptureFixture[str]
) -> None:
    before = found.page.read_bytes()
    main(["cotypical", str(run), "--workers", "1"])
    said = capsys.readouterr()
    assert said.err.count("already done") == 3
    assert said.out.strip() == str(found.page)
    assert found.page.read_bytes() == before


def test_images_without_all_translations_are_left_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two labels alone: originals of the others get a column of their own."""
    root = tmp_path / "parallel"
    some = read_parquet(run / "translate" / "parallel" / TABLE).to_pandas()
    some = some[some["label"].isin(["east", "west"])]
    lost = some.loc[some["source_label"] == "north", "source"].iloc[0]
    some = some[(some["source"] != lost) | (some["label"] != "west")]
    for name in some["file_name"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).hardlink_to(run / "translate" / "parallel" / name)
    write_parquet(pa.Table.from_pandas(some, preserve_index=False), root / TABLE)
    main(["cotypical", str(run), "--translations", str(root), "--out", str(tmp_path / "c"),
          "--dry-run"])  # fmt: skip
    said = capsys.readouterr().out
    assert "# 23 images with" in said
    assert "Images left out because they are not translated to all of the 2 labels" in said
    assert not (tmp_path / "c").exists()
    found = typika.cotypical(run, root, tmp_path / "c", workers=1)
    rows = found.sequences.to_pandas()
    assert lost not in set(rows["image_id"])
    apart = rows[rows["source_label"].isin(["north", "south"])]
    assert set(apart.groupby("sequence").size()) == {3}
    assert apart.loc[apart["original"], "typicality"].isna().all()
    text = found.page.read_text(encoding="utf-8")
    assert '<th scope="col">Original</th>' in text


def test_bad_input_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no translations yet"):
        typika.cotypical(run, tmp_path)
    with pytest.raises(ConfigError, match=r"no run\.json here"):
        typika.cotypical(tmp_path)
    with pytest.raises(ConfigError, match="redaction"):
        cotypicality.configure(run, {"redaction": "pca"})


def test_translations_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    table = read_parquet(run / "translate" / "parallel" / TABLE).to_pandas()
    for column, value, message in (
        ("label", "north-east", "holds the label 'north-east', which"),
        ("source", "0" * 16, "no image of .* is translated to all of east, north"),
    ):
        root = tmp_path / column
        root.mkdir()
        changed = table.assign(**{column: value} if column == "source" else
                               {column: [value, *table["label"][1:]]})  # fmt: skip
        write_parquet(pa.Table.from_pandas(changed, preserve_index=False), root / TABLE)
        with pytest.raises(DataError, match=message):
            typika.cotypical(run, root)
