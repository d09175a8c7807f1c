"""Boxes that people drew: what is read, and what is refused with the place it stands at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from typika.collection.regions import Regions, boxes_mask
from typika.errors import DataError

COCO: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "discs/01.jpg", "width": 96, "height": 80}],
    "categories": [{"id": 1, "name": "discs"}],
    "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [12, 30, 22, 20.5]}],
}


def read(tmp_path: Path, text: str, name: str = "boxes.csv") -> Regions:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Regions.read(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "file_name,label,x,y,width,height\ndiscs/01.jpg,discs,12,30,22,20.5",
        "file_name,label,x,y,w,h\n./discs/01.jpg,discs,12,30,22,20.5\n",
        "\ufefflabel, left ,top,right,bottom,file_name\r\ndiscs,12,30,34,50.5,discs\\01.jpg\r\n",
        'image_id,kind,label,x,y,width,height\n"discs/01.jpg","a, b",discs,12,30,22,20.5',
    ],
)
def test_all_spellings_mean_the_same(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert found.boxes(["discs/01.jpg"], "discs") == ((12, 30, 34, 50.5),)
    assert found.boxes(["discs/01.jpg"], "triangles") == ()
    assert found.boxes(["discs/1.jpg"], "discs") == ()
    assert found.labels == ("discs",)


def test_coco_says_the_same_as_csv(tmp_path: Path) -> None:
    text = "file_name,label,x,y,width,height\ndiscs/01.jpg,discs,12,30,22,20.5"
    coco = read(tmp_path, json.dumps(COCO), "boxes.json")
    assert dict(coco.by_name) == dict(read(tmp_path, text).by_name)


def test_a_box_without_a_label_holds_for_every_label(tmp_path: Path) -> None:
    for text in ("file_name,x,y,w,h\na,0,0,1,1", "file_name,label,x,y,w,h\na, ,0,0,1,1"):
        assert read(tmp_path, text).boxes(["a"], "anything") == ((0, 0, 1, 1),)


def test_an_image_has_the_boxes_of_all_its_names_once(tmp_path: Path) -> None:
    found = read(tmp_path, "file_name,x,y,w,h\nold.jpg,0,0,1,1\nnew.jpg,0,0,1,1\nnew.jpg,2,2,1,1")
    assert found.boxes(["new.jpg", "old.jpg"], "a") == ((0, 0, 1, 1), (2, 2, 3, 3))


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.5, 90), st.floats(0.5, 90))
def test_size_and_corners_are_two_ways_to_say_a_box(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float, width: float, height: float
) -> None:
    folder = tmp_path_factory.mktemp("boxes")
    sized = read(folder, f"file_name,x,y,width,height\na,{x!r},{y!r},{width!r},{height!r}")
    corners = f"a,{x!r},{y!r},{x + width!r},{y + height!r}"
    cornered = read(folder, f"file_name,left,top,right,bottom\n{corners}")
    assert sized.boxes(["a"], "") == cornered.boxes(["a"], "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns file_name.*found none"),
        ("file_name,label\na,b", "found file_name, label"),
        ("x,y,w,h\n1,2,3,4", "found x, y, w, h"),
        ("file_name,x,y,w,h\n", "no box in it"),
        ("file_name,x,y,w,h\na,1,2,3,4\n,1,2,3,4", "line 3: file_name is empty"),
        ("file_name,x,y,w,h\na,1,2,3,4\nb,1,two,3,4", "line 3: y is 'two'; write a number"),
        ("file_name,x,y,w,h\na,1,2,3", "line 2: h is ''"),
        ("file_name,x,y,w,h\na,1,nan,3,4", "line 2: y is 'nan'"),
        ("file_name,x,y,w,h\na,1,2,0,4", r"without area \(x 1, y 2, w 0, h 4\)"),
        ("file_name,left,top,right,bottom\na,5,5,4,9", "line 2: a box without area"),
    ],
)
def test_a_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "no list of images"),
        ({"annotations": [5]}, "no list of annotations"),
        ({"categories": [{"id": 1}]}, r"categories\[0\]: need an id and a name"),
        ({"images": [{"id": 8, "file_name": "x"}]}, r"annotations\[0\]: image_id is 7"),
        ({"categories": []}, r"annotations\[0\]: category_id is 1"),
        ({"annotations": [{"image_id": 7, "bbox": [1, 2, 3]}]}, r"bbox is \[1, 2, 3\]"),
        ({"annotations": [{"image_id": 7, "bbox": [1, 2, 3, None]}]}, "height is None"),
        ({"annotations": []}, "no box in it"),
    ],
)
def test_a_bad_coco_file_is_refused_with_its_entry(
    tmp_path: Path, change: dict, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, json.dumps({**COCO, **change}), "boxes.json")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not JSON"):
        read(tmp_path, "{", "boxes.json")
    with pytest.raises(DataError, match="no list of images"):
        read(tmp_path, "[]", "boxes.json")
    with pytest.raises(DataError, match=r"not '\.txt'"):
        read(tmp_path, "", "boxes.txt")
    with pytest.raises(DataError, match="cannot be read"):
        Regions.read(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes(b"file_name,x,y,w,h\n\xe9,1,2,3,4")
    with pytest.raises(DataError, match="not UTF-8"):
        Regions.read(tmp_path / "latin.csv")


def test_a_box_keeps_every_pixel_that_it_touches_and_lies_inside_its_image() -> None:
    assert boxes_mask([(1999.2, 1000.1, 1999.4, 1000.3)], (4000, 2000), (128, 256)).sum() == 1
    assert boxes_mask([(-50.0, -50.0, 4050.0, 2050.0)], (4000, 2000), (128, 256)).all()
    assert boxes_mask([(1.0, 0.0, 3.0, 2.0)], (5, 4), (4, 5)).sum() == 4
    with pytest.raises(DataError, match="outside of its image of 40 x 20 pixels"):
        boxes_mask([(40.0, 0.0, 60.0, 20.0)], (40, 20), (20, 40))


# ------------------------------------------------------------------------------------ Pascal VOC


def voc(*objects: tuple[str, str], filename: str = "01.jpg", size: str = "96,80") -> str:
    width, height = size.split(",")
    edges = ("xmin", "ymin", "xmax", "ymax")
    parts = []
    for name, corners in objects:
        box = "".join(f"<{e}>{v}</{e}>" for e, v in zip(edges, corners.split(","), strict=True))
        parts.append(f"<object><name>{name}</name><bndbox>{box}</bndbox></object>")
    return (
        f"<annotation><filename>{filename}</filename><size><width>{width}</width>"
        f"<height>{height}</height></size>{''.join(parts)}</annotation>"
    )


def test_voc_counts_from_one_and_includes_its_last_pixel(tmp_path: Path) -> None:
    part = "<part><name>eye</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    text = voc(("discs", "13,31,34,50")).replace("</object>", part)
    found = read(tmp_path, text, "a.xml").among([("id", "discs/01.jpg")])
    assert found.boxes(["id"], "discs") == ((12, 30, 34, 50),)
    assert not found.has(["id"], "eye")
    one = read(tmp_path, voc(("discs", "5,5,5,5")), "a.xml").among([("01.jpg",)])
    assert one.mask(["01.jpg"], "discs", (96, 80), (80, 96)).sum() == 1


def test_voc_files_are_matched_by_their_folder_their_file_name_or_their_own(
    tmp_path: Path,
) -> None:
    images = [(f"id{n}", name) for n, name in enumerate(
        ("discs/01.jpg", "triangles/01.png", "discs/02.jpg", "discs/03.jpg"))]  # fmt: skip
    for name, filename in (
        ("discs/01.xml", "01.jpg"),  # the folder says which 01 it is
        ("triangles/01.xml", "01.jpg"),  # the suffix was another once
        ("any/x.xml", "02.jpg"),
        ("03.xml", "/home/somebody/img.bmp"),
        ("triangles/02.xml", "02.jpg"),  # no such image; that of discs is not meant
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(voc((name, "1,1,2,2"), filename=filename))
    found = Regions.read(tmp_path).among(images)
    assert {name: regions[0].label for name, regions in found.by_name.items()} == {
        "id0": "discs/01.xml", "id1": "triangles/01.xml", "id2": "any/x.xml", "id3": "03.xml",
    }  # fmt: skip
    assert found.strangers == ("triangles/02.xml",)


def test_boxes_drawn_on_a_larger_copy_shrink_with_it(tmp_path: Path) -> None:
    found = read(tmp_path, voc(("a", "1,1,96,80"), size="192,160"), "01.xml")
    found = found.among([("01.jpg",)])
    assert found.mask(["01.jpg"], "a", (96, 80), (80, 96)).mean() == 0.25
    with pytest.raises(DataError, match="drawn on 192 x 160 pixels, and the image has 96 x 96"):
        found.mask(["01.jpg"], "a", (96, 96), (80, 96))
    unknown = read(tmp_path, voc(("a", "1,1,48,80"), size="0,0"), "01.xml").among([("01.jpg",)])
    assert unknown.mask(["01.jpg"], "a", (96, 80), (80, 96)).mean() == 0.5


BOMB = """<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB + voc(("&c;", "1,1,2,2")), "declares a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + voc(("a", "1,1,2,2")), "document type"),
        ("<annotation>", "not XML"),
        ("<kml/>", "<kml> is not Pascal VOC"),
        (voc(), "no <object> in it"),
        (voc((" ", "1,1,2,2")), "object 1: no <name>"),
        (voc(("a", "1,1,2,2"), ("a", "1,x,2,2")), "object 2: ymin is 'x'"),
        (voc(("a", "1,1,2,nan")), "ymax is 'nan'"),
        (voc(("a", "5,1,4,9")), r"without area \(5, 1, 4, 9\)"),
        (voc(("a", "1,1,2,2")).replace("<ymax>2</ymax>", ""), "ymax is None"),
    ],
)
def test_bad_voc_is_refused_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"a\.xml.*{message}"):
        read(tmp_path, text, "a.xml")


def test_a_document_type_hides_in_no_encoding(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE a>' + voc(("a", "1,1,2,2"))
    with pytest.raises(DataError, match="not XML"):
        read(tmp_path, text, "a.xml")
    (tmp_path / "a.xml").write_bytes(voc(("a", "1,1,2,2")).encode("utf-16"))
    with pytest.raises(DataError, match="not UTF-8"):
        Regions.read(tmp_path / "a.xml")


# ----------------------------------------------------------------------------------------- masks


def draw_mask(path: Path, values: np.ndarray, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    if mode == "P":
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette([0, 0, 0, 9, 9, 9] + [0] * 756)
    image.convert(mode).save(path)


@pytest.mark.parametrize(
    ("mode", "true", "false"), [("L", 128, 127), ("1", 255, 0), ("P", 1, 0), ("RGB", 200, 90)]
)
def test_masks_are_true_where_they_are_bright(
    tmp_path: Path, mode: str, true: int, false: int
) -> None:
    values = np.full((20, 30), false)
    values[5:10, 6:12] = true
    draw_mask(tmp_path / "discs" / "01.png", values, mode)
    found = Regions.read(tmp_path).among([("id", "discs/01.jpg"), ("di", "triangles/01.jpg")])
    assert found.has(["id"], "anything")
    assert not found.has(["di"], "anything")
    assert found.labels == ("",)
    truth = found.mask(["id"], "a", (30, 20), (20, 30))
    assert (truth == (values == true)).all()
    half = found.mask(["id"], "a", (60, 40), (10, 15))
    assert half.mean() == pytest.approx(truth.mean(), rel=0.35)


def test_masks_in_one_folder_are_matched_by_name_where_that_is_clear(tmp_path: Path) -> None:
    for name in ("01", "02", "99"):
        draw_mask(tmp_path / f"{name}.png", np.full((8, 8), 255))
    images = [("discs/01.jpg",), ("discs/02.jpg",), ("triangles/02.jpg",), ("dots/1.99.jpg",)]
    found = Regions.read(tmp_path).among(images)
    assert dict(found.masks) == {"discs/01.jpg": (tmp_path / "01.png",)}
    assert found.strangers == ("02.png", "99.png")


def test_a_speck_is_still_truth_when_the_mask_is_made_small(tmp_path: Path) -> None:
    values = np.zeros((400, 400))
    values[1, 398] = 255
    draw_mask(tmp_path / "a.png", values)
    truth = Regions.read(tmp_path).among([("a.jpg",)]).mask(["a.jpg"], "a", (400, 400), (40, 40))
    assert np.argwhere(truth).tolist() == [[0, 39]]


def test_masks_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    draw_mask(tmp_path / "a.png", np.full((8, 12), 255))
    (tmp_path / "b.png").write_bytes(b"no picture")
    found = Regions.read(tmp_path).among([("a.jpg",), ("b.jpg",)])
    with pytest.raises(DataError, match=r"a\.png: a mask of 12 x 8 pixels for an image of 8 x 12"):
        found.mask(["a.jpg"], "", (8, 12), (8, 12))
    with pytest.raises(DataError, match=r"b\.png: not an image"):
        found.mask(["b.jpg"], "", (8, 12), (8, 12))
    (tmp_path / "a.xml").write_text("<annotation/>")
    with pytest.raises(DataError, match=r"holds a\.xml and a\.png"):
        Regions.read(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \.xml and no \.png"):
        Regions.read(tmp_path / "empty")


# ------------------------------------------------------------------ names of a file and of images


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("id1", 1),
        ("discs/01.jpg", 0),
        ("images/discs/01.jpg", 0),
        ("02.jpg", 1),
        ("discs/02.png", 1),
        ("01.jpg", None),  # one of discs, one of triangles
        ("1.jpg", None),
        ("squares/01.jpg", None),
    ],
)
def test_which_image_a_name_stands_for(tmp_path: Path, name: str, expected: int | None) -> None:
    names = ("discs/01.jpg", "discs/02.jpg", "triangles/01.jpg")
    images = [(f"id{number}", own) for number, own in enumerate(names)]
    found = read(tmp_path, f"file_name,x,y,w,h\n{name},0,0,1,1").among(images)
    assert tuple(found.by_name) == (() if expected is None else (f"id{expected}",))
    assert found.strangers == ((name,) if expected is None else ())


def test_two_names_for_one_image_leave_it_to_the_surer_one(tmp_path: Path) -> None:
    text = "file_name,x,y,w,h\n{},0,0,1,1\n{},0,0,2,2"
    images = [("id", "discs/01.jpg")]
    sure = read(tmp_path, text.format("a/discs/01.jpg", "discs/01.jpg")).among(images)
    assert sure.boxes(["id"], "") == ((0, 0, 2, 2),)
    assert sure.strangers == ("a/discs/01.jpg",)
    neither = read(tmp_path, text.format("a/discs/01.jpg", "b/discs/01.jpg")).among(images)
    assert not neither.by_name
    assert len(neither.strangers) == 2
