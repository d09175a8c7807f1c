"""What crosses the stages of palaeography: letters, their instances, prototypes of groups.

A letter is one form of a character: a sprite. Its instances lie in the sprite's frame, so that
they can be laid over it, over each other, and over those of other documents. A group is all lines
with one value of a column: a document, a hand, a script.

Legend: `n` instances, `G` groups, `K` letters, `h w` pixels of a sprite. Ink is 1, paper 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from safetensors.numpy import load_file, save

from typika.errors import ConfigError, DataError
from typika.files import whole_folder, write_text
from typika.tables import read_parquet, write_parquet, write_table

# Folders of a run; those of columns are inside of all but the first.
INSTANCES, PROTOTYPES, COMPARISON = "instances", "prototypes", "comparison"
ALLOGRAPHS, MEASURES = "allographs", "measures"
INK, WEIGHT, ROWS, LETTERS = "ink.npy", "weight.npy", "instances.parquet", "letters.json"
TENSORS, MEANING, TABLE = "prototypes.safetensors", "prototypes.json", "prototypes.parquet"

ABSENT, FEW, SUSPECT, FAILED = "absent", "few", "suspect", "failed"
FLAGS = ("", ABSENT, FEW, SUSPECT, FAILED)  # "" is a prototype without a remark


@dataclass(frozen=True, order=True)
class Letter:
    """One form of a character: 0 is the first."""

    character: str
    form: int = 0

    @property
    def name(self) -> str:
        """As a person reads it: d, d·2, d·3."""
        return self.character if not self.form else f"{self.character}·{self.form + 1}"


@dataclass(frozen=True, eq=False)
class Instances:
    """Every occurrence of every letter, resampled into the frame of its sprite.

    letters: K, in alphabetical order. letter: of each instance, its place in `letters`.
    ink: what of the line's ink is the instance's own, in 255ths: the ink of the line less what
    the model draws of its neighbours. weight: 255 where the pixel lies on the line and inside its
    polygon, 0 beyond. table: a row an instance: line_id, file_name, place (of the character in its
    line), character, confidence, left, top, right, bottom (pixels of the line), page_corners (x, y
    of the box on the image), log_scale_x, log_scale_y, strength (how dark it is beside the line's
    ink, about 1), and the columns of the collection.
    height: pixels of a line.
    """

    letters: tuple[Letter, ...]
    letter: Int[ndarray, " n"]
    ink: UInt8[ndarray, "n h w"]
    weight: UInt8[ndarray, "n h w"]
    table: pa.Table
    height: int

    def __post_init__(self) -> None:
        n = len(self.letter)
        if not (len(self.ink) == len(self.weight) == self.table.num_rows == n):
            raise DataError(
                f"instances: {n} letters, {len(self.ink)} images, {len(self.weight)} weights and "
                f"{self.table.num_rows} rows; need as many of each"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """h, w: pixels of a sprite."""
        return self.ink.shape[1], self.ink.shape[2]

    def groups(self, by: str) -> tuple[tuple[str, ...], Int[ndarray, " n"]]:
        """The values of a column in order, and of each instance which it has; −1 for none.

        Raises:
            ConfigError: there is no such column, or it is empty everywhere.
        """
        values = column_values(self.table, by)
        names = tuple(sorted(set(values) - {""}))
        numbers = {name: number for number, name in enumerate(names)}
        return names, np.array([numbers.get(value, -1) for value in values], dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write to a folder, whole or not at all."""
        with whole_folder(folder) as temporary:
            np.save(temporary / INK, self.ink)
            np.save(temporary / WEIGHT, self.weight)
            self.save_rows(temporary)

    def save_rows(self, folder: Path) -> None:
        """Write all but the pixels, where those are in the folder already."""
        table = self.table.append_column("letter", pa.array(self.letter, pa.int32()))
        write_parquet(table, folder / ROWS)
        meaning = {"height": self.height,
                   "letters": [[one.character, one.form] for one in self.letters]}  # fmt: skip
        write_text(folder / LETTERS, json.dumps(meaning, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Instances:
        """Read what `save` wrote; pixels stay on disk until they are used."""
        meaning = json.loads((folder / LETTERS).read_text(encoding="utf-8"))
        table = read_parquet(folder / ROWS)
        return cls(
            letters=_letters(meaning["letters"]),
            letter=table["letter"].to_numpy().astype(np.int64),
            ink=np.load(folder / INK, mmap_mode="r"),
            weight=np.load(folder / WEIGHT, mmap_mode="r"),
            table=table.drop_columns(["letter"]),
            height=meaning["height"],
        )


def column_values(table: pa.Table, by: str) -> list[str]:
    """What a column says of each row; "" for nothing.

    Raises:
        ConfigError: there is no such column, or it is empty everywhere.
    """
    if by not in table.column_names:
        known = ", ".join(table.column_names)
        raise ConfigError(f"by={by!r}: the lines have no such column; there are {known}")
    values = [value or "" for value in table[by].to_pylist()]
    if not any(values):
        raise ConfigError(f"by={by!r}: this column is empty for every line")
    return values


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Letters x groups: what each letter looks like in each group, all in one frame.

    by: the column that groups are values of. parents: of each group, the group of the next
    coarser grouping that it lies in, "" where there is none. reference: the model's own sprites.
    ink: the prototypes, by `method`. mean, median, variance: of the instances, per pixel; 0 where
    there are none. count: of instances. medoid: the instance nearest to the mean, a row of
    `Instances`, −1 where there is none. quality: the published score of stray ink, in pixels of a
    sprite of 48 x 48 (spec 1.13). flag: of FLAGS.
    """

    by: str
    method: str
    groups: tuple[str, ...]
    parents: tuple[str, ...]
    letters: tuple[Letter, ...]
    reference: Float[ndarray, "K h w"]
    ink: Float[ndarray, "G K h w"]
    mean: Float[ndarray, "G K h w"]
    median: Float[ndarray, "G K h w"]
    variance: Float[ndarray, "G K h w"]
    count: Int[ndarray, "G K"]
    medoid: Int[ndarray, "G K"]
    quality: Float[ndarray, "G K"]
    flag: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        shape = (len(self.groups), len(self.letters))
        for name in ("ink", "mean", "median", "variance", "count", "medoid", "quality"):
            found = getattr(self, name).shape[:2]
            if found != shape:
                raise DataError(
                    f"prototypes: {name} is of {found} groups and letters, not {shape}"
                )

    @property
    def shown(self) -> Bool[ndarray, "G K"]:
        """Where a prototype rests on enough instances and is not flagged as failed."""
        return np.array([[flag not in (ABSENT, FEW, FAILED) for flag in row] for row in self.flag])

    def group(self, name: str) -> int:
        """The number of a group. Raises ConfigError where there is none of that name."""
        if name not in self.groups:
            raise ConfigError(f"{name!r}: no such {self.by}; there are {', '.join(self.groups)}")
        return self.groups.index(name)

    def table(self) -> pa.Table:
        """A row for each group and letter: what is known of the prototype but its pixels."""
        places = [(g, k) for g in range(len(self.groups)) for k in range(len(self.letters))]
        return pa.table({
            self.by: [self.groups[g] for g, _ in places],
            "parent": [self.parents[g] for g, _ in places],
            "letter": [self.letters[k].name for _, k in places],
            "character": [self.letters[k].character for _, k in places],
            "form": [self.letters[k].form for _, k in places],
            "count": [int(self.count[place]) for place in places],
            "medoid": [int(self.medoid[place]) for place in places],
            "quality": [float(self.quality[place]) for place in places],
            "flag": [self.flag[g][k] for g, k in places],
        })  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write tensors, meaning and table to a folder, whole or not at all."""
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        meaning = {
            "by": self.by, "method": self.method, "groups": self.groups, "parents": self.parents,
            "letters": [[one.character, one.form] for one in self.letters], "flag": self.flag,
        }  # fmt: skip
        with whole_folder(folder) as temporary:
            (temporary / TENSORS).write_bytes(save(tensors))
            write_text(temporary / MEANING, json.dumps(meaning, ensure_ascii=False) + "\n")
            write_table(self.table(), temporary / TABLE)

    @classmethod
    def load(cls, folder: Path) -> Prototypes:
        """Read what `save` wrote."""
        meaning = json.loads((folder / MEANING).read_text(encoding="utf-8"))
        return cls(
            by=meaning["by"], method=meaning["method"], groups=tuple(meaning["groups"]),
            parents=tuple(meaning["parents"]), letters=_letters(meaning["letters"]),
            flag=tuple(tuple(row) for row in meaning["flag"]), **load_file(folder / TENSORS),
        )  # fmt: skip


_ARRAYS = ("reference", "ink", "mean", "median", "variance", "count", "medoid", "quality")


def _letters(pairs: Sequence[Sequence]) -> tuple[Letter, ...]:
    return tuple(Letter(character, form) for character, form in pairs)
