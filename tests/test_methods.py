"""Several methods over one collection: from run folders to one table and one picture."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import typika
from test_cli import code
from test_comparison import draw, tiny
from typika.errors import ConfigError, DataError
from typika.methods import MethodsComparison, compare_methods
from typika.tables import read_parquet, write_parquet
from typika.workflow import MiningRun, baseline, mine


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(scope="module")
def runs(place: Path) -> list[MiningRun]:
    photos = draw(place / "photos")
    first = mine(photos, place / "run", config=tiny(), workers=1)
    return [first, *(baseline(name, first, place / name, workers=1)
                     for name in ("linear-cam", "random", "negative"))]  # fmt: skip


@pytest.fixture(scope="module")
def boxes(place: Path) -> Path:
    path = place / "boxes.csv"
    path.write_text(
        "file_name,label,x,y,width,height\n"
        + "".join(f"discs/{n:02d}.jpg,discs,{5 * n},10,22,22\n" for n in range(12))
    )
    return path


@pytest.fixture(scope="module")
def found(runs: list[MiningRun], boxes: Path, place: Path) -> MethodsComparison:
    return compare_methods(runs, regions=boxes, out=place / "compared")


def rows(found: MethodsComparison) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["run"], row["label"]): row for row in found.table.to_pylist()}


def test_the_table_tells_what_is_in_the_folders(
    runs: list[MiningRun], found: MethodsComparison
) -> None:
    table = rows(found)
    for run in runs:
        typical = np.array(run.patches["selection"].to_pylist()) == "typical"
        everything = table[run.folder.name, ""]
        assert everything["patches"] == typical.sum()
        assert everything["clusters"] == len(run.clusters)
        assert table[run.folder.name, "discs"]["images"] == 12
    methods = [table[run.folder.name, ""]["method"] for run in runs]
    assert methods == [
        "diffusion mining", "linear CAM + noise", "random patches", "negative typicality",
    ]  # fmt: skip


def test_a_dash_stands_where_a_method_has_no_map_or_answer(found: MethodsComparison) -> None:
    table = rows(found)
    assert table["random", ""]["average_precision"] is None
    assert table["random", ""]["told"] is table["negative", ""]["told"] is None
    assert table["random", ""]["hits"] is not None
    assert table["run", ""]["told"] is not None
    assert table["linear-cam", ""]["told"] is not None
    assert table["run", ""]["overlap"] is None
    assert 0 <= table["negative", ""]["overlap"] < 0.2
    assert table["run", "triangles"]["average_precision"] is None
    assert table["run", ""]["images_with_regions"] == 12


def test_the_map_of_negative_is_turned_about(
    runs: list[MiningRun], boxes: Path, found: MethodsComparison, tmp_path: Path
) -> None:
    turned = rows(compare_methods([runs[3], runs[0]], regions=boxes, out=tmp_path))
    assert turned["negative", ""]["pointing"] == rows(found)["negative", ""]["pointing"]
    assert turned["negative", ""]["average_precision"] != pytest.approx(
        turned["run", ""]["average_precision"]
    )


def test_page_csv_and_picture_lie_together(found: MethodsComparison) -> None:
    folder = found.page.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "methods.csv", "methods.html", "methods.pdf", "methods.png",
    ]  # fmt: skip
    with (folder / "methods.csv").open(encoding="utf-8") as handle:
        assert len(list(csv.DictReader(handle))) == found.table.num_rows == 4 * 3
    picture = Image.open(io.BytesIO((folder / "methods.png").read_bytes()))
    assert picture.width > 300
    assert (folder / "methods.pdf").read_bytes().startswith(b"%PDF")
    text = found.page.read_text(encoding="utf-8")
    assert text.count('<ul class="strips">') == 2
    assert text.count('<div class="strip">') == 8
    assert "Held against <strong>boxes.csv</strong>" in text
    assert not re.search(r"<script|https?://", text)
    assert "Significant clusters" in text


def test_the_central_patch_of_each_cluster_is_shown(
    runs: list[MiningRun], found: MethodsComparison
) -> None:
    import base64

    patches = runs[0].patches.to_pandas().query("selection == 'typical' and label == 'discs'")
    first = runs[0].clusters.to_pandas().query("label == 'discs' and rank == 1")["cluster"].item()
    central = patches[patches["cluster"] == first].sort_values("distance").iloc[0]
    encoded = base64.b64encode(central["thumbnail"]["bytes"]).decode()
    assert encoded in found.page.read_text(encoding="utf-8")


def test_the_same_runs_give_the_same_files(
    runs: list[MiningRun], boxes: Path, found: MethodsComparison, tmp_path: Path
) -> None:
    again = compare_methods(runs, regions=boxes, out=tmp_path)
    for path in found.page.parent.iterdir():
        assert (again.page.parent / path.name).read_bytes() == path.read_bytes(), path.name


def test_verdicts_are_read_where_they_are(
    runs: list[MiningRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    for name, run in (("tested", runs[0]), ("untested", runs[1])):
        shutil.copytree(run.folder, tmp_path / name)
    (tmp_path / "untested" / "verdicts.parquet").unlink(missing_ok=True)
    clusters = read_parquet(tmp_path / "tested" / "clusters.parquet").select(["label", "cluster"])
    verdicts = clusters.append_column("verdict", [["significant"] * len(clusters)])
    verdicts = verdicts.append_column("auc", [[0.8] * len(clusters)])
    write_parquet(verdicts, tmp_path / "tested" / "verdicts.parquet")
    table = rows(compare_methods([tmp_path / "tested", tmp_path / "untested"], out=tmp_path / "c"))
    assert table["tested", ""]["significant"] == len(clusters)
    assert table["tested", ""]["auc"] == pytest.approx(0.8)
    assert table["untested", ""]["significant"] is None


def test_what_cannot_be_compared_is_refused(
    runs: list[MiningRun], tmp_path: Path, place: Path
) -> None:
    with pytest.raises(ConfigError, match="needs two runs or more"):
        compare_methods(runs[:1], out=tmp_path)
    with pytest.raises(ConfigError, match=r"no run\.json here"):
        compare_methods([*runs[:2], tmp_path], out=tmp_path)
    other = mine(draw(tmp_path / "p", first=40), tmp_path / "other", config=tiny(), workers=1)
    with pytest.raises(DataError, match=r"run and .*other share no image"):
        compare_methods([*runs[:2], other], out=tmp_path / "c")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file_name,label,x,y,w,h\ndiscs/01.jpg,dogs,1,1,5,5")
    with pytest.raises(DataError, match="none of its regions"):
        compare_methods(runs, regions=boxes, out=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_from_the_command_line(
    runs: list[MiningRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [str(run.folder) for run in runs]
    assert code("compare", *folders) == 0
    out = capsys.readouterr().out.strip()
    assert out == "compare/run-linear-cam-random-negative/methods.html"
    assert code("compare", *folders[:2]) == 0
    assert capsys.readouterr().out.strip() == "compare/run-linear-cam/compare.html"
    assert code("compare", folders[0]) == 2
    assert typika.compare_methods is compare_methods
