"""The patches of a mining run in the formats of other tools."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pytest

from typika.cli import main
from typika.curation.apply import Found
from typika.curation.edits import Annotate, Drop, Edit, Hide, Log, Rename, Star
from typika.curation.store import write_log
from typika.errors import ConfigError
from typika.exporting_patches import FORMATS, export_patches
from typika.tables import read_parquet, write_parquet

HOSTILE = "=<b>&'\u202e"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with three typical patches and one control."""
    folder = tmp_path / "runs" / "towns"
    (tmp_path / "images" / "a b").mkdir(parents=True)
    folder.mkdir(parents=True)
    manifest = {"source": "../../images", "stages": {}, "config": {}}
    (folder / "run.json").write_text(json.dumps(manifest))
    rows = [
        ("a b/1.png", "north", "typical", 1, (10, 20, 34, 44), 0.5, 0, (0.1, 0.2)),
        ("a b/1.png", "north", "typical", 2, (50, 20, 74, 52), 0.4, -1, (0.3, 0.4)),
        ("2.jpg", HOSTILE, "typical", 1, (0, 0, 24, 24), 0.3, 1, (None, None)),
        ("2.jpg", HOSTILE, "random", 1, (1, 1, 25, 25), 0.0, -1, (None, None)),
    ]
    table = [
        {"image_id": str(n), "file_name": name, "label": label, "selection": selection,
         "rank": rank, **dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
         "typicality": score, "cluster": cluster, "map_x": place[0], "map_y": place[1],
         "thumbnail": {"bytes": b"jpeg", "path": name}, "width": 100, "height": 80,
         "year": "1900", "text": "of the image"}
        for n, (name, label, selection, rank, box, score, cluster, place) in enumerate(rows)
    ]  # fmt: skip
    write_parquet(pa.Table.from_pylist(table), folder / "patches.parquet")
    return folder


def test_coco_has_a_category_a_cluster_and_names_relative_to_itself(run: Path) -> None:
    path = export_patches(run, "coco")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [one["bbox"] for one in found["annotations"]] == [
        [10, 20, 24, 24], [50, 20, 24, 32], [0, 0, 24, 24]
    ]  # fmt: skip
    assert [one["area"] for one in found["annotations"]] == [576, 768, 576]
    kinds = {one["id"]: one["name"] for one in found["categories"]}
    assert [kinds[one["category_id"]] for one in found["annotations"]] == [
        "north / 1", "north / loose", f"{HOSTILE} / 2"
    ]  # fmt: skip
    images = {one["id"]: one for one in found["images"]}
    assert [images[one["image_id"]]["width"] for one in found["annotations"]] == [100] * 3
    names = {one["file_name"] for one in found["images"]}
    assert names == {"../../../images/a b/1.png", "../../../images/2.jpg"}
    assert (path.parent / "../../../images/a b").is_dir()


def test_iiif_marks_every_patch_on_the_canvas_of_its_image(run: Path) -> None:
    path = export_patches(run, "iiif", base="https://museum.org/scans/")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["@context"] == "http://iiif.io/api/presentation/3/context.json"
    ids = []

    def walk(one: object) -> None:
        if isinstance(one, dict):
            ids.extend([one["id"]] if "id" in one else [])
            for inside in one.values():
                walk(inside)
        elif isinstance(one, list):
            for inside in one:
                walk(inside)

    walk(found)
    assert len(ids) == len(set(ids))
    assert all(one.startswith("https://museum.org/scans/") and " " not in one for one in ids)
    second, first = found["items"]
    assert (first["type"], first["width"], first["height"]) == ("Canvas", 100, 80)
    (painting,) = first["items"][0]["items"]
    assert unquote(painting["body"]["id"]) == "https://museum.org/scans/a b/1.png"
    assert painting["body"]["format"] == "image/png"
    assert painting["target"] == first["id"]
    targets = [one["target"] for one in first["annotations"][0]["items"]]
    assert targets == [f"{first['id']}#xywh=10,20,24,24", f"{first['id']}#xywh=50,20,24,32"]
    assert len(second["annotations"][0]["items"]) == 1


def test_the_atlas_has_what_is_on_the_map_and_every_column(run: Path) -> None:
    found = read_parquet(export_patches(run, "embedding-atlas"))
    assert found["x"].to_pylist() == [0.1, 0.3]
    assert found["image"].to_pylist()[0]["bytes"] == b"jpeg"
    assert found["text"].to_pylist() == ["north / 1", "north / loose"]
    assert found["year"].to_pylist() == ["1900"] * 2
    assert found["column_text"].to_pylist() == ["of the image"] * 2
    bare = read_parquet(run / "patches.parquet").drop_columns(["map_x", "map_y"])
    write_parquet(bare, run / "patches.parquet")
    with pytest.raises(ConfigError, match="no map_x"):
        export_patches(run, "embedding-atlas")


def test_csv_has_boxes_and_no_formulas(run: Path) -> None:
    with export_patches(run, "csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [rows[1][name] for name in ("x", "y", "w", "h")] == ["50", "20", "24", "32"]
    assert rows[2]["label"] == f"'{HOSTILE}"
    assert len(rows) == 4


def test_every_format_is_a_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for format in FORMATS:
        main(["export", str(run), format])
        assert Path(capsys.readouterr().out.strip()).exists()
    (run / "patches.parquet").unlink()
    with pytest.raises(ConfigError, match="typika cluster"):
        export_patches(run, "csv")
    with pytest.raises(ConfigError, match="expected one of coco"):
        export_patches(run, "voc")


def test_every_format_has_what_was_done_by_hand(run: Path) -> None:
    found = Found.read(read_parquet(run / "patches.parquet"))
    door, hostile = found.anchor([0]), found.anchor([2])
    changes = (Rename(door, "door"), Annotate(door, "why"), Star(door), Hide(hostile),
               Drop(found.anchor([1])))  # fmt: skip
    edits = [Edit(id=f"{n:032x}", at="", change=change) for n, change in enumerate(changes)]
    write_log(Log.of(edits), run)
    coco = json.loads(export_patches(run, "coco").read_text(encoding="utf-8"))
    assert coco["categories"] == [
        {"id": 1, "name": "north / 1 door", "supercategory": "north", "note": "why",
         "starred": True}
    ]  # fmt: skip
    assert len(coco["annotations"]) == 1
    iiif = json.loads(export_patches(run, "iiif").read_text(encoding="utf-8"))
    (canvas,) = iiif["items"]
    (tag,) = canvas["annotations"][0]["items"]
    assert [(body["purpose"], body["value"]) for body in tag["body"]] == [
        ("tagging", "north / 1 door, typicality 0.5"), ("commenting", "why")
    ]  # fmt: skip
    assert read_parquet(export_patches(run, "embedding-atlas"))["text"].to_pylist() == [
        "north / 1 door"
    ]
    with export_patches(run, "csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["selection"], row["cluster_name"]) for row in rows] == [
        ("typical", "door"), ("random", "")
    ]  # fmt: skip


def test_a_column_of_the_user_is_not_taken_for_a_name(run: Path) -> None:
    table = read_parquet(run / "patches.parquet")
    write_parquet(table.append_column("cluster_name", [["x"] * 4]), run / "patches.parquet")
    coco = json.loads(export_patches(run, "coco").read_text(encoding="utf-8"))
    names = {one["name"] for one in coco["categories"]}
    assert names == {"north / 1", "north / loose", f"{HOSTILE} / 2"}
