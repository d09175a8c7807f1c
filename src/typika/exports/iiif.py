"""Patches as IIIF Presentation 3: a canvas an image, a tag on it a patch.

Images that came from manifests keep their canvases: the tags target those, in pages that stand
alone and in a manifest that shows them.

https://iiif.io/api/presentation/3.0/, https://www.w3.org/TR/annotation-model/
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from typika.exports.patches import Patch, images_of, media_type

CONTEXT = "http://iiif.io/api/presentation/3/context.json"
COLUMNS = ("iiif_manifest", "iiif_canvas", "iiif_width", "iiif_height", "iiif_image")
BASE = "http://localhost:8000"  # where `python -m http.server` shows a folder


def manifest(patches: Sequence[Patch], name: str, base: str = BASE) -> str:
    """The manifest. base: the URL below which images have their file names."""
    base = base.rstrip("/")
    own: dict[str, list[Patch]] = defaultdict(list)
    for patch in patches:
        own[patch.image].append(patch)
    content = {
        "@context": CONTEXT,
        "id": f"{base}/manifest.json",
        "type": "Manifest",
        "label": {"none": [name]},
        "items": [_canvas(image, size, own[image], base)
                  for image, size in images_of(patches).items()],
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A canvas of the user's. size: width, height in its own units."""

    manifest: str
    name: str
    size: tuple[int, int]
    image: str  # address of what is painted on it

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Canvas | None:
        """The canvas of a row with the columns `COLUMNS`; None where it came from none."""
        manifest, name, width, height, image = (row[column] for column in COLUMNS)
        if not (isinstance(manifest, str) and manifest and isinstance(name, str) and name):
            return None
        size = tuple(side if isinstance(side, int) else 0 for side in (width, height))
        return cls(manifest=manifest, name=name, size=(size[0], size[1]),
                   image=image if isinstance(image, str) else "")  # fmt: skip


def annotation_page(canvas: Canvas, patches: Sequence[Patch], page: str) -> dict[str, Any]:
    """The tags of one canvas. page: the page's own address."""
    tags = [_annotation(f"{page}/{number}", "tagging", _bodies(patch),
                        f"{canvas.name}#{_place(patch, canvas.size)}")
            for number, patch in enumerate(patches, 1)]  # fmt: skip
    return {"id": page, "type": "AnnotationPage", "items": tags}


def user_manifest(
    name: str, pages: Mapping[Canvas, dict[str, Any]], sizes: Mapping[Canvas, tuple[int, int]]
) -> dict[str, Any]:
    """The user's canvases with the pages that tag them, as a manifest under the user's name.

    sizes: of the images, for canvases that do not say theirs.
    """
    items = []
    for canvas, page in pages.items():
        wide, high = canvas.size if min(canvas.size) > 0 else sizes[canvas]
        image = canvas.image or canvas.name
        body = {"id": image, "type": "Image", "format": media_type(image), "width": wide,
                "height": high}  # fmt: skip
        painting = _annotation(f"{page['id']}/painting", "painting", body, canvas.name)
        items.append({
            "id": canvas.name, "type": "Canvas", "width": wide, "height": high,
            "items": [{"id": f"{page['id']}/page", "type": "AnnotationPage", "items": [painting]}],
            "annotations": [page],
        })  # fmt: skip
    return {"@context": CONTEXT, "id": name, "type": "Manifest", "label": {"none": [name]},
            "items": items}  # fmt: skip


def as_text(content: Mapping[str, Any]) -> str:
    """A file of its own."""
    return json.dumps({"@context": CONTEXT, **content}, ensure_ascii=False, indent=1) + "\n"


def _canvas(image: str, size: tuple[int, int], patches: Sequence[Patch], base: str) -> dict:
    wide, high = size
    url = f"{base}/{quote(image)}"
    canvas = f"{url}/canvas"
    body = {"id": url, "type": "Image", "format": media_type(image), "width": wide,
            "height": high}  # fmt: skip
    painting = _annotation(f"{canvas}/painting", "painting", body, canvas)
    tags = [
        _annotation(
            f"{canvas}/patch/{number}", "tagging", _bodies(patch), f"{canvas}#{_place(patch)}"
        )
        for number, patch in enumerate(patches, 1)
    ]
    return {
        "id": canvas, "type": "Canvas", "label": {"none": [image]}, "width": wide, "height": high,
        "items": [{"id": f"{canvas}/page", "type": "AnnotationPage", "items": [painting]}],
        "annotations": [{"id": f"{canvas}/patches", "type": "AnnotationPage", "items": tags}],
    }  # fmt: skip


def _annotation(name: str, motivation: str, body: Any, target: str) -> dict[str, Any]:
    return {"id": name, "type": "Annotation", "motivation": motivation, "body": body,
            "target": target}  # fmt: skip


def _bodies(patch: Patch) -> dict[str, str] | list[dict[str, str]]:
    """What is said of a patch; the note on its cluster is a body of its own."""
    value = f"{patch.category}, typicality {patch.typicality:.4g}"
    if not patch.note:
        return _text(value)
    return [
        {**_text(value), "purpose": "tagging"},
        {**_text(patch.note), "purpose": "commenting"},
    ]


def _text(value: str) -> dict[str, str]:
    return {"type": "TextualBody", "value": value, "format": "text/plain"}


def _place(patch: Patch, size: tuple[int, int] = (0, 0)) -> str:
    """Where it is. size: of the canvas, which its image fills; 0, 0: that of the image."""
    wide, high = (own / other if own > 0 else 1.0
                  for own, other in zip(size, patch.size, strict=True))  # fmt: skip
    left, top, width, height = patch.box
    right, bottom = round((left + width) * wide), round((top + height) * high)
    left, top = round(left * wide), round(top * high)
    return f"xywh={left},{top},{max(1, right - left)},{max(1, bottom - top)}"
