"""Patches as COCO: an annotation a patch with its score, a category a cluster.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from typika.exports.patches import Patch, images_of


def coco(patches: Sequence[Patch], images: str) -> str:
    """The file. images: the images' folder, POSIX, relative to the file, or absolute."""
    names = images_of(patches)
    image_id = {name: number for number, name in enumerate(names, 1)}
    first = {patch.category: patch for patch in patches}
    kinds = sorted(first, key=lambda kind: (first[kind].label, first[kind].cluster))
    kind_id = {kind: number for number, kind in enumerate(kinds, 1)}
    content = {
        "images": [
            {"id": image_id[name], "file_name": f"{images}/{name}", "width": wide, "height": high}
            for name, (wide, high) in names.items()
        ],
        "categories": [
            {
                "id": kind_id[kind],
                "name": kind,
                "supercategory": first[kind].label,
                **_by_hand(first[kind]),
            }
            for kind in kinds
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image_id[patch.image],
                "category_id": kind_id[patch.category],
                "bbox": list(patch.box),
                "area": patch.box[2] * patch.box[3],
                "iscrowd": 0,
                "score": patch.typicality,
                "attributes": {"label": patch.label, "rank": patch.rank},
            }
            for number, patch in enumerate(patches, 1)
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _by_hand(patch: Patch) -> dict[str, Any]:
    """Note and star of a patch's cluster, where it has them."""
    given = {"note": patch.note, "starred": patch.starred}
    return {name: value for name, value in given.items() if value}
