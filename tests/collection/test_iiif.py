"""IIIF manifests as collections: versions 2 and 3, images on this machine, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from imagery import write

from typika.collection import _iiif
from typika.collection._iiif import cached_name, canvases_table, read_canvases, read_manifest
from typika.collection.images import ImageCollection
from typika.errors import DataError

HOST = "https://museum.org"


def version_3(name: str, canvases: int = 2, **further: Any) -> dict:
    return {
        "@context": "http://iiif.io/api/presentation/3/context.json", "type": "Manifest",
        "id": f"{HOST}/{name}", "label": {"en": [f"Book {name}"]},
        "metadata": [{"label": {"en": ["Date"]}, "value": {"none": ["<b>1450</b>"]}},
                     {"label": {"en": ["Place"]}, "value": {"en": ["Ghent", "Bruges"]}}],
        "items": [
            {"id": f"{HOST}/{name}/c{n}", "type": "Canvas", "width": 400, "height": 320,
             "label": {"none": [f"fol. {n}"]},
             "metadata": [{"label": {"en": ["Date"]}, "value": {"en": [f"145{n}"]}}] if n else [],
             "items": [{"type": "AnnotationPage", "items": [
                 {"type": "Annotation", "motivation": "painting",
                  "body": {"type": "Choice", "items": [
                      {"id": f"{HOST}/i/{name}-{n}/full/max/0/default.jpg", "type": "Image",
                       "service": [{"id": f"{HOST}/i/{name}-{n}/"}]}]}}]}]}
            for n in range(canvases)
        ],
        **further,
    }  # fmt: skip


def version_2(name: str, canvases: int = 2) -> dict:
    return {
        "@context": "http://iiif.io/api/presentation/2/context.json", "@type": "sc:Manifest",
        "@id": f"{HOST}/{name}", "label": [{"@value": "Book", "@language": "en"}],
        "metadata": [{"label": "Date", "value": "1460"}, {"label": "Date", "value": "about"}],
        "sequences": [{"canvases": [
            {"@id": f"{HOST}/{name}/c{n}", "@type": "sc:Canvas", "width": 40, "height": 32,
             "images": [{"resource": {"@id": f"{HOST}/scans/{name}%20{n}.tif",
                                      "service": {"@id": f"{HOST}/i/{name}-{n}"}}}]}
            for n in range(canvases)]}, {"canvases": [{"@id": "another order"}]}],
    }  # fmt: skip


def put(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_manifests_of_both_versions_in_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "one.json", version_3("a"))
    put(tmp_path / "two.json", version_2("b"))
    put(tmp_path / "notes.json", {"no": "manifest"})
    # By the service's cached name, by its last part, and by the name of the scan.
    write(tmp_path / "images" / f"{cached_name(f'{HOST}/i/a-0')}.jpg", 0)
    write(tmp_path / "images" / "a-1.png", 1)
    write(tmp_path / "images" / "b 0.tif", 2)
    write(tmp_path / "images" / "stray.png", 3)
    collection = ImageCollection.open(tmp_path, label="Date")
    rows = {row["iiif_canvas"]: row for row in collection.table.to_pylist()}
    assert {name: row["label"] for name, row in rows.items()} == {
        f"{HOST}/a/c0": "1450", f"{HOST}/a/c1": "1451", f"{HOST}/b/c0": "1460 | about"
    }  # fmt: skip
    first = rows[f"{HOST}/a/c0"]
    assert (first["Place"], first["canvas_label"], first["manifest_label"]) == (
        "Ghent | Bruges", "fol. 0", "Book a"
    )  # fmt: skip
    assert (first["iiif_width"], first["iiif_height"], first["iiif_manifest"]) == (
        400, 320, f"{HOST}/a"
    )  # fmt: skip
    assert first["iiif_service"] == f"{HOST}/i/a-0"
    assert (first["width"], first["height"]) == (40, 32)
    reasons = {one.file_name: one.reason for one in collection.skipped}
    assert "typika fetch" in reasons.pop(f"{HOST}/b/c1")
    assert reasons == {"images/stray.png": "on no canvas of the manifests"}


def test_a_file_with_its_images_elsewhere(tmp_path: Path) -> None:
    path = put(tmp_path / "m" / "one.json", version_3("a"))
    for number in range(2):
        write(tmp_path / "scans" / f"a-{number}.png", number)
    collection = ImageCollection.open(path, images=tmp_path / "scans", label="canvas_label")
    assert collection.labels == ("fol. 0", "fol. 1")
    assert collection.root == tmp_path / "scans"
    assert collection.load(0).size == (40, 32)


def test_a_collection_of_manifests_and_what_it_lacks(tmp_path: Path) -> None:
    members = [{"id": f"{HOST}/{name}.json", "type": "Manifest"} for name in ("one", "two")]
    content = {"@context": version_3("a")["@context"], "type": "Collection", "id": f"{HOST}/all",
               "items": members}  # fmt: skip
    path = put(tmp_path / "all.json", content)
    put(tmp_path / "one.json", version_3("a"))
    with pytest.raises(DataError, match=r"two\.json is not beside it; `typika fetch`"):
        ImageCollection.open(path)
    put(tmp_path / f"{cached_name(f'{HOST}/two.json')}.json", version_2("b"))
    for number in range(2):
        write(tmp_path / f"a-{number}.png", number)
        write(tmp_path / f"b-{number}.png", 2 + number)
    before = ImageCollection.fingerprint(path)
    assert len(ImageCollection.open(path, label="manifest_label")) == 4
    put(tmp_path / "one.json", version_3("a", summary="changed"))
    assert ImageCollection.fingerprint(path) != before


def test_collections_that_name_each_other_end(tmp_path: Path) -> None:
    for name, other in (("x", "y"), ("y", "x")):
        members = [{"id": f"{HOST}/{other}.json"}]
        put(tmp_path / f"{name}.json", {"@context": version_3("a")["@context"],
                                        "type": "Collection", "items": members})  # fmt: skip
    assert len(_iiif.manifest_files([tmp_path / "x.json"])) == 2


def test_a_member_cannot_name_a_file_outside(tmp_path: Path) -> None:
    put(tmp_path / "secret.json", version_3("a"))
    for address in (
        "../secret.json",
        "file:///secret.json",
        "/..%2fsecret.json",
        "..\\secret.json",
    ):
        inside = tmp_path / "in"
        members = [{"id": address}]
        path = put(inside / "all.json", {"@context": version_3("a")["@context"],
                                         "type": "Collection", "items": members})  # fmt: skip
        with pytest.raises(DataError, match="not beside it"):
            _iiif.manifest_files([path])


def test_metadata_under_the_names_of_our_columns_keeps_its_own(tmp_path: Path) -> None:
    taken = [{"label": "iiif_canvas", "value": "x"}, {"label": "file_name", "value": "y"}]
    put(tmp_path / "m.json", version_3("a", metadata=taken))
    for number in range(2):
        write(tmp_path / f"a-{number}.png", number)
    table = ImageCollection.open(tmp_path, label="canvas_label").table
    assert set(table["iiif_canvas_"].to_pylist()) == {"x"}
    assert set(table["file_name_"].to_pylist()) == {"y"}
    assert set(table["iiif_canvas"].to_pylist()) == {f"{HOST}/a/c0", f"{HOST}/a/c1"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "holds a list"),
        ({"type": "Canvas"}, "its type is 'Canvas'"),
        ({"type": ["Manifest"]}, "its type is"),
        ({"type": "Manifest", "items": []}, "without a canvas"),
        ({"type": "Manifest", "items": [[], None, {"items": "x"}, {"items": [{}]}]}, "without a"),
        ({"@type": "sc:Manifest", "sequences": {"canvases": [{"images": [{}]}]}}, "without a"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_manifest(put(tmp_path / "m.json", value))


def test_values_that_are_none(tmp_path: Path) -> None:
    strange = version_3("a")
    strange["items"][0].update(width=-5, height=2**70, label={"en": [[["deep"]]]})
    strange["items"][1].update(width=True, height="320", metadata={"label": "x", "value": "y"})
    strange["metadata"] = [None, {"label": "x"}, {"label": {}, "value": {}}, "x"]
    deep: Any = "x"
    for _ in range(150):
        deep = {"en": [deep]}
    strange["label"] = deep
    first, second = read_manifest(put(tmp_path / "m.json", strange)).canvases
    assert first.size == second.size == (0, 0)
    assert first.columns == {}
    assert second.columns == {"x": "y", "canvas_label": "fol. 1"}


def test_metadata_that_multiplies_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_iiif, "MOST_CHARACTERS", 10_000)
    heavy = [{"label": "x", "value": "y" * 6_000}]
    path = put(tmp_path / "m.json", version_3("a", metadata=heavy))
    with pytest.raises(DataError, match="more than 10,000 characters"):
        canvases_table(read_canvases([path]))
    monkeypatch.setattr(_iiif, "MOST_COLUMNS", 1)
    with pytest.raises(DataError, match="kinds of metadata"):
        canvases_table(read_canvases([put(tmp_path / "n.json", version_3("a"))]))


def test_other_json_beside_class_folders_changes_nothing(tmp_path: Path) -> None:
    for label in "ab":
        write(tmp_path / label / "0.png", ord(label))
    put(tmp_path / "info.json", {"a": 1})
    assert ImageCollection.open(tmp_path).labels == ("a", "b")
