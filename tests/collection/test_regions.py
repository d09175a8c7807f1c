"""Boxes that people drew: what is read, and what is refused with the place it stands at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from typika.collection.regions import Regions
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
    with pytest.raises(DataError, match=r"not '\.xml'"):
        read(tmp_path, "<a/>", "boxes.xml")
    with pytest.raises(DataError, match="cannot be read"):
        Regions.read(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes(b"file_name,x,y,w,h\n\xe9,1,2,3,4")
    with pytest.raises(DataError, match="not UTF-8"):
        Regions.read(tmp_path / "latin.csv")
