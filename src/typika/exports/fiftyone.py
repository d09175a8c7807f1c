"""Patches as a FiftyOne dataset folder, which FiftyOne is not needed to write.

    samples.json, metadata.json   fo.types.FiftyOneDataset: an image a sample, with all its columns
    labels.json, data.json        fo.types.FiftyOneImageDetectionDataset: the boxes alone, with
                                  data_path="data.json" where images are not in FOLDER/data

https://docs.voxel51.com/user_guide/import_datasets.html
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from typika.exports.patches import OWN, TYPICAL, Patch, images_of, media_type, patches_of

FIELD = "patches"  # the samples' field of boxes
LARGEST = 2**63  # its database has no larger whole numbers
# What a sample has of its own.
_TAKEN = frozenset({
    "id", "filepath", "tags", "metadata", "media_type", "created_at", "last_modified_at", "labels",
    "image_id", "file_name", FIELD,
})  # fmt: skip


def fiftyone(table: pa.Table, paths: Mapping[str, str], name: str) -> dict[str, str]:
    """The files of the folder, by name.

    table: of patches.parquet. paths: where each image is, POSIX, relative to the folder. name: of
    the run. An image that carries several labels is one sample with all of them.
    """
    patches = patches_of(table)
    own: dict[str, list[Patch]] = {}
    for patch in patches:
        own.setdefault(patch.image, []).append(patch)
    columns = _columns(table)
    samples = [
        _sample(paths[image], size, own[image], {"file_name": image, **columns[image]})
        for image, size in images_of(patches).items()
    ]
    info = {"name": name, "made_by": "typika", "boxes": FIELD}
    keys = keys_of(patches)
    return {
        "samples.json": _text({"samples": samples}),
        "metadata.json": _text({"media_type": "image", "info": info}),
        "labels.json": _text(
            {"labels": {key: list(map(_box, own[image])) for image, key in keys.items()}}
        ),
        "data.json": _text({key: paths[image] for image, key in keys.items()}),
    }


def keys_of(patches: Sequence[Patch]) -> dict[str, str]:
    """What each image is called in the folder: a number, since names may be anything."""
    return {image: f"{number:06d}" for number, image in enumerate(images_of(patches), 1)}


def _sample(
    path: str, size: tuple[int, int], patches: Sequence[Patch], columns: Mapping[str, Any]
) -> dict[str, Any]:
    wide, high = size
    labels = dict.fromkeys(patch.label for patch in patches)
    detections = [
        {"_cls": "Detection", "tags": [], "attributes": {}, **_flat(_box(patch))}
        for patch in patches
    ]
    return {
        "filepath": path,
        "tags": [],
        "metadata": {"_cls": "ImageMetadata", "mime_type": media_type(path), "width": wide,
                     "height": high},
        "labels": {"_cls": "Classifications",
                   "classifications": [{"_cls": "Classification", "tags": [], "label": label}
                                       for label in labels]},
        FIELD: {"_cls": "Detections", "detections": detections},
        **columns,
    }  # fmt: skip


def _box(patch: Patch) -> dict[str, Any]:
    """One box, its sides as shares of its image's."""
    (left, top, width, height), (wide, high) = patch.box, patch.size
    return {
        "label": patch.category,
        "bounding_box": [left / wide, top / high, width / wide, height / high],
        "confidence": _plain(patch.typicality),
        "attributes": {"image_label": patch.label, "cluster": patch.cluster, "rank": patch.rank},
    }


def _flat(box: dict[str, Any]) -> dict[str, Any]:
    """A box whose attributes stand beside its label: fields of their own in FiftyOne."""
    return {name: value for name, value in box.items() if name != "attributes"} | box["attributes"]


def _columns(table: pa.Table) -> dict[str, dict[str, Any]]:
    """The further columns of each image, under names that fields may have."""
    kept = [name for name in table.column_names
            if name not in OWN and not pa.types.is_binary(table[name].type)]  # fmt: skip
    names: dict[str, str] = {}
    for name in kept:
        field = re.sub(r"\W", "_", name).strip("_") or "column"
        while field in _TAKEN or field in names.values() or field[0].isdigit():
            field = f"column_{field}"
        names[name] = field
    known = [name for name in ("image_id", "file_name", "selection") if name in table.column_names]
    found: dict[str, dict[str, Any]] = {}
    for row in table.select([*known, *kept]).to_pylist():
        if row["selection"] == TYPICAL:
            identity = {"image_id": _plain(row["image_id"])} if "image_id" in row else {}
            columns = {names[name]: _plain(row[name]) for name in kept}
            found.setdefault(row["file_name"], identity | columns)
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has no word for becomes text, no number null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and abs(value) >= LARGEST:
        return str(value)
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
