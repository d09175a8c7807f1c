"""`typika typewriter export`: a run in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def export(
    run: Path,
    format: Literal["alto", "page", "json", "csv", "svg", "ttf"],
    *,
    by: str | None = None,
    group: str | None = None,
    out: Path | None = None,
) -> None:
    """Write a run, or a group of its lines, in a format of other tools.

    Args:
        run: Folder that `typika typewriter fit` or `transcribe` made.
        format: `alto` or `page` with the boxes of characters, `json`, `csv` with suspect
            transcriptions, `svg` drawings of the letters, or a `ttf` font.
        by: Column of the lines, as in --by document.
        group: One of its values; svg and ttf without it are of every group.
        out: Folder; RUN/exports/FORMAT by default.
    """
    from typika import exporting

    written = exporting.export(run, format, out, by=by, group=group)
    number = len(written.files)
    print(written.files[0] if number == 1 else f"{written.folder}: {number} files")


def export_patches(
    run: Path,
    format: Literal["coco", "fiftyone", "iiif", "embedding-atlas", "csv"],
    *,
    out: Path | None = None,
    base: str | None = None,
    images: Literal["none", "link", "copy"] = "none",
) -> None:
    """Write the typical patches of a run in a format of other tools.

    Args:
        run: Folder that `typika mine` or `typika cluster` made.
        format: `coco`, `fiftyone` (a dataset folder), `iiif` (a Presentation 3 manifest, or
            annotations on your own), `embedding-atlas` (Parquet) or `csv`.
        out: Folder; RUN/exports by default.
        base: Of iiif, the URL of the images' or annotations' folder; http://localhost:8000.
        images: Of fiftyone: `link` or `copy` them into the folder; else named where they are.
    """
    from typika import exporting_patches

    options = {} if base is None else {"base": base}
    print(exporting_patches.export_patches(run, format, out, images=images, **options))
