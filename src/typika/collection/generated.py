"""Images that a model drew of labels: a collection with the guidance that each was drawn at.

On disk it is an ordinary collection: a folder with `metadata.parquet` and one PNG for each label,
guidance and number. What others drew is read too, as any labelled images are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from typika.collection._files import natural_order
from typika.collection.images import ImageCollection
from typika.errors import DataError
from typika.files import safe_name, whole_file
from typika.tables import write_parquet

COLUMN = "guidance"
TABLE = "metadata.parquet"


def spelled(guidance: float) -> str:
    """A guidance as text."""
    return f"{guidance:g}"


def drawn_path(root: Path, label: str, guidance: float, number: int) -> Path:
    """Where the image of that number lies, of a label at a guidance."""
    return root / safe_name(label) / f"guidance-{spelled(guidance)}" / f"{number:05d}.png"


def write_drawn(image: Image.Image, path: Path) -> None:
    """Write an image, whole or not at all."""
    with whole_file(path) as temporary:
        image.convert("RGB").save(temporary, "PNG")


def gather(root: Path, labels: Sequence[str], guidances: Sequence[float], images: int) -> None:
    """Write the table of all images under `root`. What started from one noise is one group."""
    rows = [
        {
            "file_name": drawn_path(root, label, guidance, number).relative_to(root).as_posix(),
            "label": label,
            COLUMN: spelled(guidance),
            "group": f"{label} {number}",
        }
        for label in labels
        for guidance in guidances
        for number in range(images)
    ]
    write_parquet(pa.Table.from_pylist(rows), root / TABLE)


def read_generated(root: Path, labels: Sequence[str], workers: int) -> ImageCollection:
    """The images under `root`, labelled like any collection, of the labels of a run.

    Raises:
        DataError: there are none, one has a label that the run has not, or a label has none, at
            some guidance or at all.
    """
    found = ImageCollection.open(root, workers=workers)
    for name, those, others in (("run", labels, found.labels), ("folder", found.labels, labels)):
        lacking = [label for label in others if label not in those]
        if lacking:
            raise DataError(
                f"{root}: the label {lacking[0]!r} is not one of the {name}, which has "
                f"{', '.join(those)}; generated images need the labels of the run, each of them"
            )
    there = set(zip(guidance_of(found), found.table["label"].to_pylist(), strict=True))
    for guidance, label in itertools.product(sorted({one for one, _ in there}), labels):
        if (guidance, label) not in there:
            raise DataError(
                f"{root}: no image of {label!r} at guidance {guidance!r}, at which other labels "
                "have some; generate these too, or leave that guidance out"
            )
    return found


def guidance_of(collection: ImageCollection) -> list[str]:
    """The guidance of each image as text, "" where nothing is said of it."""
    if COLUMN not in collection.table.column_names:
        return [""] * len(collection)
    values = collection.table[COLUMN].to_pylist()
    return [spelled(value) if isinstance(value, int | float) else str(value or "").strip()
            for value in values]  # fmt: skip


def in_order(guidances: Sequence[str], first: Sequence[float]) -> list[str]:
    """The distinct ones: those of `first` in their order, then others by value."""
    known = [spelled(one) for one in first]
    distinct = natural_order(set(guidances))
    return sorted(distinct, key=lambda one: known.index(one) if one in known else len(known))


def units_of(collection: ImageCollection) -> np.ndarray:
    """(n,) int: what varies together among generated images, which is what their group says.

    Where nothing is said it is near-duplicates, since somebody may have copied files; images
    that a run drew have a noise of their own each, however alike they came out.
    """
    groups = np.array(collection.table["group"].to_pylist(), dtype=str)
    return np.unique(groups, return_inverse=True)[1]
