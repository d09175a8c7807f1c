"""A run against what people drew, from folders to page, on pictures that the tests draw."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import typika
from test_cli import code
from test_comparison import draw, tiny
from typika.collection.regions import Regions
from typika.errors import ConfigError, DataError
from typika.evaluation import average_precision, published_auc_pr
from typika.localisation import Evaluation, evaluate
from typika.mining.localisation import (
    BEFORE,
    CENTRE,
    CHANCE,
    EVIDENCE,
    LESS_MEAN,
    MEAN_MAP,
    METHODS,
    OTHERS,
    PRECISION,
    PUBLISHED,
    REFINED,
    TYPICALITY,
)
from typika.workflow import MiningRun, advance, mine

Rows = dict[tuple[str, str, str, str], dict[str, Any]]


def corner(label: int, number: int) -> tuple[int, int]:
    """Where `draw_photo` put its shape."""
    rng = np.random.default_rng([label, number])
    rng.normal(128, 40, (80, 96, 3))
    x, y = (int(rng.integers(0, side - 24)) for side in (96, 80))
    return x, y


def boxes_csv(path: Path, labels: tuple[str, ...] = ("discs",), first: int = 0) -> Path:
    lines = ["file_name,label,x,y,w,h"]
    for label, name in enumerate(("discs", "triangles")):
        for number in range(first, 12):
            x, y = corner(label, number)
            if name in labels:
                lines.append(f"photos/{name}/{number:02d}.jpg,{name},{x},{y},23,23")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluated")


@pytest.fixture(scope="module")
def run(place: Path) -> MiningRun:
    return mine(draw(place / "photos"), place / "run", config=tiny(), workers=1)


@pytest.fixture(scope="module")
def earlier(place: Path) -> MiningRun:
    """Another training on the same images but the first three of each label."""
    return advance(draw(place / "fewer", first=3), place / "earlier", tiny(seed=1),
                   last="score", workers=1)  # fmt: skip


@pytest.fixture(scope="module")
def found(run: MiningRun, earlier: MiningRun, place: Path) -> Evaluation:
    boxes = boxes_csv(place / "boxes.csv", ("discs", "triangles"))
    return evaluate(run, boxes, earlier, place / "found", workers=1)


def rows(evaluation: Evaluation) -> Rows:
    return {
        (row["label"], row["method"], row["minus"], row["measure"]): row
        for row in evaluation.table.to_pylist()
        if row["images"] == "all"
    }


def test_every_method_has_its_figures(found: Evaluation) -> None:
    known = rows(found)
    for label in ("", "discs", "triangles"):
        for method in METHODS:
            row = known[label, method, "", PRECISION]
            assert row["low"] <= row["value"] <= row["high"]
            assert row["n_images"] == (9 if method == BEFORE else 12) * (1 if label else 2)
    assert known["", CHANCE, "", PRECISION]["value"] == pytest.approx(23 * 23 / 96 / 80, rel=0.02)
    assert {key[1] for key in known if key[3] == PUBLISHED} == {
        TYPICALITY, REFINED, OTHERS, BEFORE, LESS_MEAN, MEAN_MAP,
    }  # fmt: skip
    difference = known["discs", TYPICALITY, CENTRE, PRECISION]["value"]
    assert difference == pytest.approx(
        known["discs", TYPICALITY, "", PRECISION]["value"]
        - known["discs", CENTRE, "", PRECISION]["value"]
    )


def test_the_figures_are_those_of_the_maps(run: MiningRun, found: Evaluation) -> None:
    table, regions = run.collection.table, Regions.read(found.page.parents[1] / "boxes.csv")
    precisions, published = [], []
    for row in table.to_pylist():
        if row["label"] != "discs":
            continue
        truth = regions.mask(["photos/" + row["file_name"]], "discs", (96, 80), (80, 96))
        assert truth.sum() == 23 * 23
        values = run.typicality_map(row["image_id"])
        precisions.append(average_precision(values.ravel(), truth.ravel()))
        published.append(published_auc_pr(values, truth))
    known = rows(found)
    value = known["discs", TYPICALITY, "", PRECISION]["value"]
    assert value == pytest.approx(np.mean(precisions), rel=1e-5)
    value = known["discs", TYPICALITY, "", PUBLISHED]["value"]
    assert value == pytest.approx(np.mean(published), rel=1e-3)


def test_what_is_written(found: Evaluation) -> None:
    folder = found.page.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "evaluation.html", "localisation.csv", "localisation.parquet", "maps.pdf", "maps.png",
    ]  # fmt: skip
    with (folder / "localisation.csv").open(encoding="utf-8") as handle:
        assert len(list(csv.DictReader(handle))) == found.table.num_rows
    text = found.page.read_text(encoding="utf-8")
    assert "Better than knowing where to look?" in text
    assert text.count("<figure") == 2 * 6
    assert "Compared with “earlier” the average precision changes by" in text
    assert "Images with truth that have no map in earlier: 6." in text


def test_processes_change_nothing(run: MiningRun, place: Path, found: Evaluation) -> None:
    again = evaluate(run, place / "boxes.csv", place / "earlier", place / "again", workers=2)
    assert again.table.equals(found.table)
    for name in ("evaluation.html", "maps.png", "maps.pdf", "localisation.parquet"):
        own = (again.page.parent / name).read_bytes()
        assert own == (found.page.parent / name).read_bytes()


def test_all_forms_of_truth_give_the_same_figures(run: MiningRun, tmp_path: Path) -> None:
    expected = evaluate(run, boxes_csv(tmp_path / "b.csv"), out=tmp_path / "csv", workers=1)
    images, annotations = [], []
    for number in range(12):
        x, y = corner(0, number)
        images.append({"id": number, "file_name": f"discs/{number:02d}.jpg"})
        annotations.append({"image_id": number, "category_id": 1, "bbox": [x, y, 23, 23]})
        edges = zip(("xmin", "ymin", "xmax", "ymax"), (x + 1, y + 1, x + 23, y + 23), strict=True)
        box = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges)
        path = tmp_path / "voc" / "discs" / f"{number:02d}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"<annotation><filename>{number:02d}.jpg</filename><object><name>discs</name>"
            f"<bndbox>{box}</bndbox></object></annotation>"
        )
        mask = np.zeros((80, 96), dtype=np.uint8)
        mask[y : y + 23, x : x + 23] = 255
        path = tmp_path / "masks" / "discs" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    coco = {"images": images, "annotations": annotations,
            "categories": [{"id": 1, "name": "discs"}]}  # fmt: skip
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    for name in ("coco.json", "voc", "masks"):
        other = evaluate(run, tmp_path / name, out=tmp_path / "out" / name, workers=1)
        assert other.table.equals(expected.table)


def test_the_own_map_of_a_run_gains_nothing_on_itself(run: MiningRun, tmp_path: Path) -> None:
    boxes = boxes_csv(tmp_path / "b.csv")
    row = rows(evaluate(run, boxes, run, tmp_path / "e", workers=1))[
        "discs", TYPICALITY, BEFORE, PRECISION
    ]
    assert (row["value"], row["low"], row["high"]) == (0, 0, 0)


def test_what_was_not_used_is_told(
    run: MiningRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = boxes_csv(tmp_path / "b.csv")
    with boxes.open("a") as handle:
        handle.write("photos/discs/01.jpg,disc,1,1,5,5\n")
        handle.write("photos/discs/02.jpg,triangles,1,1,5,5\n")
        handle.write("discs/99.jpg,discs,1,1,5,5\n")
    page = evaluate(run, boxes, out=tmp_path, workers=1).page.read_text(encoding="utf-8")
    told = capsys.readouterr().err
    for note in (
        "'disc' in b.csv is no label of the run (is 'discs' meant?): what is drawn for it",
        "Boxes on images that do not carry their label, so not counted",
        "Of the 13 names in b.csv, 1 stand for no image of the run",
        "Nothing is drawn for 'triangles'.",
    ):
        assert f"warning: {note}" in told
        assert note.replace("'", "&#39;") in page


def test_empty_masks_are_counted_by_label(
    run: MiningRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = tmp_path / "masks"
    for name, number in (("discs", 0), ("discs", 1), ("triangles", 0)):
        (masks / name).mkdir(parents=True, exist_ok=True)
        values = np.full((80, 96), 255 if number else 0, dtype=np.uint8)
        values[40:] = 0
        Image.fromarray(values).save(masks / name / f"{number:02d}.png")
    found = rows(evaluate(run, masks, out=tmp_path / "out", workers=1))
    assert found["discs", CHANCE, "", PRECISION]["value"] == 0.5
    assert found["", CHANCE, "", PRECISION]["n_images"] == 1
    assert (
        "Images whose mask is empty, so not counted: 1 of 'discs', 1 of 'triangles'."
        in capsys.readouterr().err
    )
    for path in masks.rglob("*.png"):
        Image.new("L", (96, 80)).save(path)
    with pytest.raises(DataError, match="all masks are empty"):
        evaluate(run, masks, out=tmp_path / "out", workers=1)


def test_truth_of_other_images_or_labels_is_refused(
    run: MiningRun, place: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "b.csv"
    boxes.write_text("file_name,label,x,y,w,h\ncats/01.png,discs,1,1,5,5")
    with pytest.raises(DataError, match=r"names no image of .*'cats/01\.png', the run '"):
        evaluate(run, boxes, out=tmp_path)
    boxes.write_text("file_name,label,x,y,w,h\ndiscs/01.jpg,Infiltrate,1,1,5,5")
    with pytest.raises(DataError, match=r"labels are 'Infiltrate', those of .*'discs', 'tri"):
        evaluate(run, boxes, out=tmp_path)
    boxes.write_text("file_name,label,x,y,w,h\ndiscs/01.jpg,discs,200,1,5,5")
    with pytest.raises(DataError, match=r"b\.csv, label 'discs': .*outside of its image"):
        evaluate(run, boxes, out=tmp_path, workers=1)
    shutil.copy(place / "photos/discs/01.jpg", place / "photos/discs/x.png")
    with pytest.raises(DataError, match="folder of the images themselves"):
        evaluate(run, place / "photos", out=tmp_path)
    (place / "photos/discs/x.png").unlink()
    assert not (tmp_path / "evaluation.html").exists()


def test_a_run_that_is_not_scored_is_refused(run: MiningRun, tmp_path: Path) -> None:
    boxes = boxes_csv(tmp_path / "b.csv")
    shutil.copytree(run.folder, tmp_path / "early")
    shutil.rmtree(tmp_path / "early" / "scores")
    with pytest.raises(ConfigError, match=r"no scores/part-00000\.parquet yet; run `typika score"):
        evaluate(tmp_path / "early", boxes)
    (tmp_path / "early" / "collection.parquet").unlink()
    with pytest.raises(ConfigError, match=r"no collection\.parquet yet; run `typika score"):
        evaluate(run, boxes, tmp_path / "early")
    with pytest.raises(ConfigError, match=r"no run\.json here"):
        evaluate(tmp_path, boxes)


def test_images_that_have_gone_leave_their_maps(run: MiningRun, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")  # its source is relative, and not here
    found = evaluate(tmp_path / "run", boxes_csv(tmp_path / "b.csv"), workers=1)
    assert found.page == tmp_path / "run" / "evaluation" / "evaluation.html"
    known = rows(found)
    assert ("discs", REFINED, "", PRECISION) not in known
    assert ("discs", EVIDENCE, "", PRECISION) in known
    text = found.page.read_text(encoding="utf-8")
    assert "Images that could not be read any more" in text
    assert "<figure" not in text
    assert not (found.page.parent / "maps.png").exists()


def test_only_what_was_mined_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "photos" / "train", first=12)
    draw(tmp_path / "photos" / "val")
    split = tiny(collection={"train_on": "train", "mine": "val"})
    run = advance(tmp_path / "photos", tmp_path / "run", split, last="score", workers=1)
    boxes = boxes_csv(tmp_path / "b.csv")
    lines = boxes.read_text().replace("photos/discs", "val/discs")
    boxes.write_text(lines + "train/discs/12.jpg,discs,1,1,9,9\n")
    known = rows(evaluate(run, boxes, workers=1))
    assert known["discs", TYPICALITY, "", PRECISION]["n_images"] == 12
    assert "Boxes on images that were not mined, which have no map: 1." in capsys.readouterr().err
    boxes.write_text("file_name,label,x,y,w,h\ntrain/discs/12.jpg,discs,1,1,9,9\n")
    with pytest.raises(DataError, match=r"did not mine \(collection\.mine='val'\)"):
        evaluate(run, boxes, workers=1)


def test_from_the_command_line(
    run: MiningRun, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    boxes_csv(tmp_path / "b.csv")
    arguments = ["evaluate", str(run.folder), "--regions", "b.csv", "--workers", "1"]
    assert code(*arguments, "--out", "e") == 0
    assert capsys.readouterr().out.strip() == "e/evaluation.html"
    (tmp_path / "file").write_text("mine")
    assert code(*arguments, "--out", "file") == 2
    assert "file: is a file; pass --out" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
    assert code("evaluate", "nowhere", "--regions", "b.csv") == 2
    assert code("evaluate", str(run.folder), "--regions", "none.csv") == 3
    assert code("evaluate", str(run.folder)) == 2


def test_the_python_name_is_public() -> None:
    assert typika.evaluate is evaluate
    assert typika.Evaluation is Evaluation
