"""Contrasts of a run, from the folder of a run to tables and page, on pictures that tests draw."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import typika
from pictures import draw_photo
from test_cli import code
from test_comparison import tiny
from typika.contrasts import ContrastRun, contrast, folder_name
from typika.errors import ConfigError, DataError
from typika.mining import contexts
from typika.mining.contexts import ContrastConfig, ContrastMaps
from typika.tables import read_parquet
from typika.workflow import MiningRun, advance

PATHS = {"ash": "North/ash", "birch": "North/birch", "cedar": "South/cedar", "date": "South/date"}
TABLES = ("patches.parquet", "clusters.parquet", "confusion.csv")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contrasted")


@pytest.fixture(scope="module")
def run(place: Path) -> MiningRun:
    """Four labels of twelve images in a tree; two of them show discs, two triangles."""
    lines = ["file_name,label,label_path"]
    for label, name in enumerate(PATHS):
        for number in range(12):
            draw_photo(place / "photos" / f"{name}-{number:02d}.jpg", label, number)
            lines.append(f"{name}-{number:02d}.jpg,{name},{PATHS[name]}")
    (place / "photos" / "metadata.csv").write_text("\n".join(lines) + "\n")
    config = tiny(collection={"label": "label"})
    return advance(place / "photos", place / "run", config, last="score", workers=1)


@pytest.fixture(scope="module")
def tree(run: MiningRun, place: Path) -> ContrastRun:
    return contrast(run, "PARENT", workers=1)


@pytest.fixture(scope="module")
def labels(run: MiningRun) -> ContrastRun:
    return contrast(run, ("birch", "date"), workers=1)


def test_a_tree_is_contrasted_at_every_level(run: MiningRun, tree: ContrastRun) -> None:
    assert tree.folder == run.folder / "contrast" / "PARENT"
    nodes = ["North", "North/ash", "North/birch", "South", "South/cedar", "South/date"]
    clusters = tree.clusters.to_pylist()
    assert list(dict.fromkeys(row["subject"] for row in clusters)) == nodes
    assert {row["against"] for row in clusters} == {"all labels", "North", "South"}
    patches = tree.patches.to_pylist()
    for row in patches:
        path = PATHS[row["label"]]
        assert f"{path}/".startswith(f"{row['subject']}/")
        assert row["label_path"] == path
    of_north = {row["label"] for row in patches if row["subject"] == "North"}
    assert of_north == {"ash", "birch"}


def test_a_page_holds_tree_contrasts_and_matrices(tree: ContrastRun) -> None:
    text = tree.page.read_text(encoding="utf-8")
    assert text.count('class="depth-0"') == 2
    assert text.count('class="depth-1"') == 4
    assert text.count('<section class="label"') == 6
    assert text.count("<figure") == 6 * 3
    assert text.count("own") >= 8
    assert "Whole images" in text
    assert "Single cells" in text
    assert "<script" not in text
    assert 'src="http' not in text
    with (tree.folder / "confusion.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["label"] for row in rows[:5]] == ["ash"] * 4 + ["birch"]
    for kind in ("image_probability", "cell_probability"):
        assert sum(float(row[kind]) for row in rows) == pytest.approx(4)
    assert len({row["cell_probability"] for row in rows}) > 4


def test_labels_are_held_against_labels(labels: ContrastRun) -> None:
    asked = list(dict.fromkeys(
        (row["subject"], row["against"]) for row in labels.clusters.to_pylist()
    ))  # fmt: skip
    assert asked == [
        ("ash", "birch"), ("cedar", "birch"), ("date", "birch"),
        ("ash", "date"), ("birch", "date"), ("cedar", "date"),
    ]  # fmt: skip
    assert labels.folder.name == "birch+date"
    text = labels.page.read_text(encoding="utf-8")
    assert 'id="tree"' not in text
    assert "cedar against date" in text


def test_contexts_that_nothing_asks_for_change_no_map(
    run: MiningRun, labels: ContrastRun, tmp_path: Path
) -> None:
    few = contrast(run, "date", tmp_path / "few", classify=False, workers=1)
    assert not (few.folder / "confusion.csv").exists()
    assert "confusion" not in few.page.read_text(encoding="utf-8").split("</style>")[1]
    label = run.collection.label_index
    one, other = ContrastMaps(labels.folder), ContrastMaps(few.folder)
    for row in np.flatnonzero(label == 0)[:3].tolist():
        # ash against date is the fourth contrast of the one, and the first of the other.
        for first, second in zip(one.read(row, 3), other.read(row, 0), strict=True):
            assert_allclose(first, second, atol=1e-6)
            assert first.std() > 0


def test_the_same_command_does_nothing_twice(
    run: MiningRun, tree: ContrastRun, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.folder.rglob("*.parquet")}
    contrast(run, "PARENT", workers=1)
    assert capsys.readouterr().err.count("already done") == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before


class Killed(BaseException):
    """As sudden as a kill."""


@pytest.mark.slow
@pytest.mark.parametrize("function", ["write_scores", "_offers"])
def test_what_is_killed_ends_the_same_in_any_number_of_processes(
    function: str,
    run: MiningRun,
    tree: ContrastRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dying(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(contexts, function, dying)
        with pytest.raises(Killed):
            contrast(run, "PARENT", tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "contrast.html").exists()
    contrast(run, "PARENT", tmp_path / "out", workers=2)
    for name in TABLES:
        assert (tmp_path / "out" / name).read_bytes() == (tree.folder / name).read_bytes()


def test_another_question_in_the_same_folder_is_refused(run: MiningRun, tree: ContrastRun) -> None:
    with pytest.raises(ConfigError, match="made with another configuration"):
        contrast(run, "birch", tree.folder, workers=1)


@pytest.mark.parametrize(
    ("against", "expected"),
    [
        (("birch",), "birch"),
        (("a rainy day",), "a-rainy-day-"),
        (("../up",), "up-"),
        (("Ελλάδα",), "-"),
        (("x" * 200,), "x" * 60 + "-"),
    ],
)
def test_folders_have_names_that_differ(against: tuple[str, ...], expected: str) -> None:
    found = folder_name(ContrastConfig(against=against))
    assert found.startswith(expected)
    assert len(found) == len(expected) + (6 if expected.endswith("-") else 0)
    assert found != folder_name(ContrastConfig(against=(*against, "x")))
    assert found != folder_name(ContrastConfig(against=against, classify=False))


def test_what_cannot_be_asked(
    run: MiningRun, place: Path, photos: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert code("contrast", str(run.folder), "--against", "a rainy day") == 2
    said = "".join(capsys.readouterr()).replace("\n", " ")
    assert "'a rainy day'" in said
    assert "--model CHECKPOINT" in said
    assert not list((run.folder / "contrast").glob("a-rainy*"))
    with pytest.raises(ConfigError, match="need a label"):
        contrast(run, " ")
    with pytest.raises(ConfigError, match="no run"):
        contrast(tmp_path, "birch")
    begun = advance(photos, tmp_path / "begun", tiny(), last="train", workers=1)
    with pytest.raises(ConfigError, match="typika score"):
        contrast(begun, "discs")
    flat = advance(photos, tmp_path / "begun", tiny(), last="score", workers=1)
    with pytest.raises(DataError, match="label_path"):
        contrast(flat, "PARENT")
    assert not (flat.folder / "contrast").exists()
    shutil.copytree(run.folder, tmp_path / "rival")
    manifest = json.loads((tmp_path / "rival" / "run.json").read_text())
    manifest["config"]["baseline"]["name"] = "linear-cam"
    (tmp_path / "rival" / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="baseline linear-cam"):
        contrast(tmp_path / "rival", "birch")


def test_the_command_prints_the_page(
    run: MiningRun, labels: ContrastRun, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["contrast", str(run.folder), "--against", "birch", "--against", "date"]
    assert code(*arguments, "--workers", "1") == 0
    assert capsys.readouterr().out.strip() == str(labels.page)
    assert typika.contrast is contrast


def test_every_image_has_its_row(run: MiningRun, tree: ContrastRun) -> None:
    scores = read_parquet(tree.folder / "scores" / "part-00000.parquet")
    assert scores["row"].to_pylist() == list(range(48))
    probabilities = np.stack(scores["image_probability"].to_pylist())
    assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
