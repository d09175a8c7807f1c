"""The same images as they would look under other labels: a collection with a `source` column.

On disk it is an ordinary collection: a folder with `metadata.parquet` and one image for each
source and target label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from typika.collection._decode import content_id, read_bytes
from typika.collection.images import ImageCollection
from typika.errors import ConfigError
from typika.files import safe_name, whole_file
from typika.tables import read_parquet, write_parquet

TABLE = "metadata.parquet"
COLUMNS = pa.schema(
    {
        "file_name": pa.string(),
        "label": pa.string(),  # that the image was translated to
        "source": pa.string(),  # image_id of the original
        "source_label": pa.string(),
        "source_name": pa.string(),  # file name of the original
        "group": pa.string(),  # of the original
        "width": pa.int32(),
        "height": pa.int32(),
    }
)


@dataclass(frozen=True)
class ParallelCollection:
    """Translations of images of a collection.

    root: the folder; table: one row per translation, columns COLUMNS, in the order of labels and
    then of sources.
    """

    root: Path
    table: pa.Table

    @classmethod
    def read(cls, root: Path) -> ParallelCollection:
        """What `gather` wrote. Raises ConfigError where there is nothing."""
        if not (root / TABLE).is_file():
            raise ConfigError(
                f"{root}: holds no translations yet; run `typika translate` on the run first"
            )
        return cls(root, read_parquet(root / TABLE))

    @classmethod
    def gather(cls, root: Path, collection: ImageCollection) -> ParallelCollection:
        """Write the table of all translations under `root` of images of `collection`."""
        images = collection.table.to_pydict()
        rows = source_rows(collection, np.ones(len(collection), dtype=bool))
        found = []
        for label in collection.labels:
            for row in rows:
                path = translation_path(root, label, images["image_id"][row])
                if not path.exists():
                    continue
                with Image.open(path) as image:
                    width, height = image.size
                found.append(
                    {
                        "file_name": path.relative_to(root).as_posix(),
                        "label": label,
                        "source": images["image_id"][row],
                        "source_label": images["label"][row],
                        "source_name": images["file_name"][row],
                        "group": images["group"][row],
                        "width": width,
                        "height": height,
                    }
                )
        table = pa.Table.from_pylist(found, schema=COLUMNS)
        write_parquet(table, root / TABLE)
        return cls(root, table)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels that images were translated to, in order."""
        return tuple(dict.fromkeys(self.table["label"].to_pylist()))

    @cached_property
    def place(self) -> dict[tuple[str, str], int]:
        """Row of each translation, by the image_id of its source and its label."""
        keys = zip(self.table["source"].to_pylist(), self.table["label"].to_pylist(), strict=True)
        return {key: row for row, key in enumerate(keys)}

    def fingerprint(self) -> list[tuple[str, int, int]]:
        """Name, size and time of every translation."""
        files = [(name, (self.root / name).stat())
                 for name in self.table["file_name"].to_pylist()]  # fmt: skip
        return [(name, one.st_size, one.st_mtime_ns) for name, one in files]

    def content_id(self, row: int) -> str:
        """What the file of a translation holds: 16 hexadecimal digits, as an image_id.

        Raises:
            DataError: the file cannot be opened.
        """
        return content_id(read_bytes(self.root / self.table["file_name"][row].as_py()))

    @cached_property
    def images(self) -> ImageCollection:
        """The translations as images, row by row; an image's identity is its source's."""
        text = dict.fromkeys(("image_id", "duplicate"), self.table["source"])
        split = pa.array([""] * len(self.table), pa.string())
        columns = {name: self.table[name] for name in COLUMNS.names}
        return ImageCollection(self.root, pa.table({**columns, **text, "split": split}))


def source_rows(collection: ImageCollection, wanted: np.ndarray, per_label: int = 0) -> list[int]:
    """Rows of images to translate, ascending: of an image with several labels the first.

    wanted: (n,) bool. per_label: at most so many of each label, 0 for all; a smaller number
    chooses among those of a larger one.
    """
    first: dict[str, int] = {}
    for row, image_id in enumerate(collection.table["image_id"].to_pylist()):
        if wanted[row]:
            first.setdefault(image_id, row)
    rows = np.array(sorted(first.values()), dtype=int)
    if not per_label:
        return rows.tolist()
    rng = np.random.default_rng(17)
    chosen: list[int] = []
    for number in range(len(collection.labels)):
        own = rows[collection.label_index[rows] == number]
        chosen += rng.permutation(own)[:per_label].tolist()
    return sorted(chosen)


def translation_path(root: Path, label: str, image_id: str) -> Path:
    """Where the translation of an image to a label lies."""
    return root / safe_name(label) / f"{image_id}.png"


def write_translations(
    root: Path, image_id: str, labels: Sequence[str], images: Sequence[Image.Image]
) -> None:
    """Write the translations of an image, each whole or not at all."""
    for label, image in zip(labels, images, strict=True):
        with whole_file(translation_path(root, label, image_id)) as temporary:
            image.convert("RGB").save(temporary, "PNG")
