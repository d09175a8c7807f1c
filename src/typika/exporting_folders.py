"""Exports of patches that are folders: FiftyOne's, and annotations on the user's own manifests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import pyarrow as pa

from typika.collection.images import ImageCollection
from typika.errors import ConfigError, DataError
from typika.exports.fiftyone import fiftyone, keys_of
from typika.exports.iiif import COLUMNS, Canvas, annotation_page, as_text, user_manifest
from typika.exports.patches import TYPICAL, Patch, patches_of
from typika.files import is_file, safe_name, whole_file, write_text

Images = Literal["none", "link", "copy"]
IMAGES: tuple[str, ...] = get_args(Images)
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif")


def write_fiftyone(
    table: pa.Table, run: Path, images_folder: Path, target: Path, images: str = "none"
) -> Path:
    """Write a FiftyOne dataset folder, and return it.

    table: of patches.parquet. images_folder: where the images are. images: `none`: paths lead to
    the images where they are, relative to the folder; `link`, `copy`: they are in FOLDER/data.

    Raises:
        ConfigError: another word for images.
        DataError: an image is gone, or its name leads out of the images' folder.
    """
    if images not in IMAGES:
        raise ConfigError(f"images {images!r}: expected one of {', '.join(IMAGES)}")
    keys = keys_of(patches_of(table))
    if images == "none":
        above = Path(os.path.relpath(images_folder.resolve(), target.resolve())).as_posix()
        paths = {image: f"{above}/{image}" for image in keys}
    else:
        paths = {image: f"data/{key}{_suffix(image)}" for image, key in keys.items()}
        _place(paths, run, images_folder, target, link=images == "link")
    for name, text in fiftyone(table, paths, run.resolve().name).items():
        write_text(target / name, text)
    return target


def _suffix(image: str) -> str:
    suffix = PurePosixPath(image).suffix.lower()
    return suffix if suffix in SUFFIXES else ".png"


def _place(paths: Mapping[str, str], run: Path, folder: Path, target: Path, *, link: bool) -> None:
    """Put the images where a dataset's paths say."""
    collection: ImageCollection | None = None
    for image, path in paths.items():
        parts = PurePosixPath(image).parts
        place = target / path
        if image.startswith("/") or ".." in parts or "\\" in image or "\0" in image:
            raise DataError(f"{image!r}: leads out of {folder}; correct patches.parquet")
        source = folder / image
        if is_file(source) and link:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(os.path.relpath(source.resolve(), place.parent.resolve()))
            continue
        if is_file(source):
            content = source.read_bytes()
        else:  # in a row of a Parquet file
            collection = collection or ImageCollection.restore(run, folder)
            content = collection.content(image)
        with whole_file(place) as temporary:
            temporary.write_bytes(content)


def write_annotations(table: pa.Table, target: Path, base: str) -> Path:
    """Write the patches of images that came from IIIF manifests as annotations on these.

    table: of patches.parquet, with the columns that the manifests' reader made. For each manifest
    there is a folder FOLDER/NAME with an annotation page a canvas, page-0001.json and so on, and
    manifest.json: the user's canvases with these pages, which opens in a viewer. base: the URL of
    FOLDER.

    Returns:
        FOLDER.
    """
    found: dict[str, dict[Canvas, list[Patch]]] = {}
    for patch, canvas in zip(patches_of(table), _canvases(table), strict=True):
        if canvas is not None:
            found.setdefault(canvas.manifest, {}).setdefault(canvas, []).append(patch)
    for name, canvases in found.items():
        folder = target / safe_name(name)
        above = f"{base.rstrip('/')}/{folder.name}"
        pages = {}
        for number, (canvas, patches) in enumerate(canvases.items(), 1):
            file = f"page-{number:04d}.json"
            pages[canvas] = annotation_page(canvas, patches, f"{above}/{file}")
            write_text(folder / file, as_text(pages[canvas]))
        sizes = {canvas: patches[0].size for canvas, patches in canvases.items()}
        write_text(folder / "manifest.json", as_text(user_manifest(name, pages, sizes)))
    return target


def has_canvases(table: pa.Table) -> bool:
    """Whether there are patches of images that came from IIIF manifests."""
    return set(COLUMNS) <= set(table.column_names) and any(_canvases(table))


def _canvases(table: pa.Table) -> list[Canvas | None]:
    rows = table.select(["selection", *COLUMNS]).to_pylist()
    return [Canvas.of(row) for row in rows if row["selection"] == TYPICAL]
