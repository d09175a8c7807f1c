"""The patches of a mining run in the formats of other tools: export_patches()."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa

from typika.curation.apply import Found, curate
from typika.curation.store import read_log
from typika.curation.tables import EXPORTED, curated_patches, exported
from typika.errors import ConfigError
from typika.exporting_folders import Images, has_canvases, write_annotations, write_fiftyone
from typika.exports.coco import coco
from typika.exports.embedding_atlas import atlas
from typika.exports.iiif import BASE, manifest
from typika.exports.patches import patches_of, require_patches
from typika.files import is_folder, write_text
from typika.run import Run
from typika.tables import read_parquet, write_csv, write_parquet

Format = Literal["coco", "fiftyone", "iiif", "embedding-atlas", "csv"]
FORMATS: tuple[str, ...] = get_args(Format)
PATCHES = "patches.parquet"


def export_patches(
    run: str | Path,
    format: Format,
    out: str | Path | None = None,
    *,
    base: str = BASE,
    images: Images = "none",
) -> Path:
    """Write the typical patches of a run as curated, and say where.

    run: folder in which `typika cluster` or `typika mine` grouped patches. format: `coco`:
    coco.json; `fiftyone`: a dataset folder; `iiif`: manifest.json, Presentation 3, or for images
    that came from manifests a folder of annotations on these; `embedding-atlas`: atlas.parquet;
    `csv`: patches.csv. out: RUN/exports by default. base: of `iiif`, the URL of the images'
    folder, or of the annotations'. images: of `fiftyone`, whether they are named where they are
    ("none"), linked or copied into the folder.

    Raises:
        ConfigError: no such run or format, or nothing is grouped in it yet.
        DataError: patches.parquet is damaged, its curation.json is not one, or an image to be
            copied has gone.
    """
    if format not in FORMATS:
        raise ConfigError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    folder = Path(run)
    source = Run.read(folder).manifest.get("source") or ""
    if not (folder / PATCHES).exists():
        raise ConfigError(f"{folder}: no {PATCHES} yet; run `typika cluster {folder}` first")
    table = read_parquet(folder / PATCHES)
    require_patches(table, str(folder / PATCHES))
    table = as_curated(table, folder)
    target = Path(out) if out else folder / "exports"
    if format == "coco":
        path = target / "coco.json"
        # A label or name with a lone surrogate cannot be a file of UTF-8; such are not mined.
        write_text(path, coco(patches_of(table), images_from(target, folder / source)))
    elif format == "fiftyone":
        place = target if out else target / format
        path = write_fiftyone(table, folder, images_at(folder / source), place, images)
    elif format == "iiif" and has_canvases(table):
        path = write_annotations(table, target if out else target / format, base)
    elif format == "iiif":
        path = target / "manifest.json"
        write_text(path, manifest(patches_of(table), folder.resolve().name, base))
    elif format == "embedding-atlas":
        path = target / "atlas.parquet"
        write_parquet(atlas(table), path)
    else:
        path = target / "patches.csv"
        write_csv(boxed(table), path)
    return path


def as_curated(patches: pa.Table, folder: Path) -> pa.Table:
    """The patches less what is left out or hidden by hand; as they are where nobody curated."""
    log = read_log(folder)
    if not log.standing and not set(EXPORTED) & set(patches.column_names):
        return patches
    curated = curate(Found.read(patches), log)
    return exported(curated_patches(patches, curated), curated.clusters)


def images_from(target: Path, source: Path) -> str:
    """The images' folder as seen from where a file is written, so that both can be moved."""
    return Path(os.path.relpath(images_at(source).resolve(), target.resolve())).as_posix()


def images_at(source: Path) -> Path:
    """The images' folder: what was mined, or where its table is."""
    return source if is_folder(source) else source.parent


def boxed(table: pa.Table) -> pa.Table:
    """All patches with x, y, w, h in the place of corners."""
    left, top, right, bottom = (table[name].to_numpy()
                                for name in ("left", "top", "right", "bottom"))  # fmt: skip
    boxes = {"x": left, "y": top, "w": right - left, "h": bottom - top}
    kept = [name for name in table.column_names
            if name not in ("left", "top", "right", "bottom", "thumbnail", *boxes)]  # fmt: skip
    return pa.table({**{name: table[name] for name in kept}, **boxes})
