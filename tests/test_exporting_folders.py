"""FiftyOne's dataset folder, and annotations on the user's own manifests."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from typika.errors import ConfigError, DataError
from typika.exporting_patches import export_patches
from typika.tables import read_parquet, write_parquet

HOSTILE = "=<b>&'\u202e"
CANVAS = "https://museum.org/c/1"
ROWS = [
    ("a b/1.png", "north", 1, (10, 20, 34, 44), 0.5, 0, CANVAS, (200, 40)),
    ("a b/1.png", "south", 1, (50, 20, 74, 52), float("nan"), -1, CANVAS, (200, 40)),
    ("a b/1.jpg", HOSTILE, 1, (0, 0, 24, 24), 0.3, 1, "", (0, 0)),
]


def patches(**further: list) -> pa.Table:
    rows = [
        {"image_id": f"{n}", "file_name": name, "label": label, "selection": "typical",
         "rank": rank, **dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
         "typicality": score, "cluster": cluster, "thumbnail": {"bytes": b"x", "path": name},
         "width": 100, "height": 80, "iiif_manifest": "https://a.org/../1" if canvas else "",
         "iiif_canvas": canvas, "iiif_width": size[0], "iiif_height": size[1],
         "iiif_image": "https://museum.org/i/1.png" if canvas else None}
        for n, (name, label, rank, box, score, cluster, canvas, size) in enumerate(ROWS)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    for name, values in further.items():
        table = table.append_column(name, pa.array(values))
    return table


def made(tmp_path: Path, table: pa.Table) -> Path:
    folder = tmp_path / "runs" / "towns"
    (tmp_path / "images" / "a b").mkdir(parents=True)
    for name in ("a b/1.png", "a b/1.jpg"):
        (tmp_path / "images" / name).write_bytes(name.encode())
    folder.mkdir(parents=True)
    manifest = {"source": "../../images", "stages": {}, "config": {}}
    (folder / "run.json").write_text(json.dumps(manifest))
    write_parquet(table, folder / "patches.parquet")
    return folder


def read(path: Path) -> dict:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_fiftyone_has_a_sample_an_image_with_relative_boxes(tmp_path: Path) -> None:
    table = patches(**{"tags": ["x"] * 3, "1 a.b": [1.5, 1.5, None], "big": [2**63 - 1, 0, 0]})
    folder = export_patches(made(tmp_path, table), "fiftyone")
    assert folder.name == "fiftyone"
    second, first = read(folder / "samples.json")["samples"]
    assert (folder / first["filepath"]).read_bytes() == b"a b/1.png"
    assert (folder / second["filepath"]).read_bytes() == b"a b/1.jpg"
    one, other = first["patches"]["detections"]
    assert one["bounding_box"] == [0.1, 0.25, 0.24, 0.3]
    assert (one["label"], one["confidence"], one["cluster"]) == ("north / 1", 0.5, 0)
    assert (other["image_label"], other["confidence"]) == ("south", None)
    assert [one["label"] for one in first["labels"]["classifications"]] == ["north", "south"]
    assert second["labels"]["classifications"][0]["label"] == HOSTILE
    # Names that fields cannot have, or have already.
    assert (first["column_tags"], first["column_1_a_b"]) == ("x", 1.5)
    assert first["big"] == 2**63 - 1
    assert second["column_1_a_b"] is None
    assert first["metadata"] == {"_cls": "ImageMetadata", "mime_type": "image/png", "width": 100,
                                 "height": 80}  # fmt: skip


def test_the_boxes_alone_are_found_by_keys_that_no_name_can_confuse(tmp_path: Path) -> None:
    folder = export_patches(made(tmp_path, patches()), "fiftyone")
    labels, data = read(folder / "labels.json")["labels"], read(folder / "data.json")
    # Two images differ in their suffix alone, by which FiftyOne does not look.
    assert labels.keys() == data.keys() == {"000001", "000002"}
    assert (folder / data["000002"]).read_bytes() == b"a b/1.png"
    assert [one["attributes"]["rank"] for one in labels["000002"]] == [1, 1]


@pytest.mark.parametrize("images", ["link", "copy"])
def test_images_come_along_if_asked(tmp_path: Path, images: str) -> None:
    folder = export_patches(made(tmp_path, patches()), "fiftyone", images=images)
    second, first = read(folder / "samples.json")["samples"]
    assert first["filepath"] == "data/000002.png"
    assert second["filepath"] == "data/000001.jpg"
    assert (folder / first["filepath"]).read_bytes() == b"a b/1.png"
    assert (folder / first["filepath"]).is_symlink() == (images == "link")
    assert export_patches(folder.parent.parent, "fiftyone", images=images) == folder  # and again


def test_images_out_of_the_folder_are_not_taken(tmp_path: Path) -> None:
    run = made(tmp_path, patches())
    (tmp_path / "secret.png").write_bytes(b"secret")
    table = read_parquet(run / "patches.parquet")
    names = pa.array(["../secret.png", "../secret.png", "a b/1.jpg"])
    table = table.set_column(table.column_names.index("file_name"), "file_name", names)
    write_parquet(table, run / "patches.parquet")
    for images in ("link", "copy"):
        with pytest.raises(DataError, match="leads out of"):
            export_patches(run, "fiftyone", images=images)
    assert not list(run.rglob("*.png"))
    with pytest.raises(ConfigError, match="expected one of none, link, copy"):
        export_patches(run, "fiftyone", images="all")


def test_annotations_target_the_users_canvases_in_their_own_units(tmp_path: Path) -> None:
    folder = export_patches(made(tmp_path, patches()), "iiif", base="https://me.org/notes/")
    (own,) = folder.iterdir()
    page, shown = read(own / "page-0001.json"), read(own / "manifest.json")
    # The canvas is twice as wide and half as high as the image.
    targets = [one["target"] for one in page["items"]]
    assert targets == [f"{CANVAS}#xywh=20,10,48,12", f"{CANVAS}#xywh=100,10,48,16"]
    assert page["@context"] == "http://iiif.io/api/presentation/3/context.json"
    assert page["id"] == f"https://me.org/notes/{own.name}/page-0001.json"
    (canvas,) = shown["items"]
    assert (canvas["id"], canvas["width"], canvas["height"]) == (CANVAS, 200, 40)
    assert canvas["annotations"][0]["items"] == page["items"]
    assert canvas["items"][0]["items"][0]["body"]["id"] == "https://museum.org/i/1.png"
    assert ".." not in own.name


@pytest.mark.parametrize("column", ["label", "typicality", "left", "width", "selection"])
def test_a_table_that_is_no_table_of_patches_is_refused(tmp_path: Path, column: str) -> None:
    run = made(tmp_path, patches().drop_columns([column]))
    with pytest.raises(DataError, match=f"no column '{column}'"):
        export_patches(run, "coco")


def test_an_image_without_a_side_is_refused(tmp_path: Path) -> None:
    table = patches()
    table = table.set_column(table.column_names.index("width"), "width", pa.array([100, 0, 100]))
    with pytest.raises(DataError, match="whose width is none"):
        export_patches(made(tmp_path, table), "fiftyone")
