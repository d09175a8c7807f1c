"""Patches as a IIIF Presentation 3 manifest: a canvas an image, a tag on it a patch.

https://iiif.io/api/presentation/3.0/
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from typika.exports.patches import Patch, images_of, media_type

CONTEXT = "http://iiif.io/api/presentation/3/context.json"
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


def _place(patch: Patch) -> str:
    return "xywh=" + ",".join(map(str, patch.box))
