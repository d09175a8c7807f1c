"""Look once at every candidate image, and make a table of those that can be used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from typika import console
from typika.collection._decode import THUMBNAIL_SIDE, Look, Unreadable, look
from typika.collection._duplicates import near_duplicates
from typika.collection._files import Skipped
from typika.collection._stored import bytes_of
from typika.collection._tables import OWN_COLUMNS, STORED_FILE, STORED_ROW, Listing

_AHEAD = 256  # images handed to the workers at once; bounds what waits in memory


@dataclass(frozen=True)
class Looks:
    """What was seen of n distinct images, in the order of the listing."""

    image_id: np.ndarray  # (n,) str, "" where unreadable
    width: np.ndarray  # (n,) int32
    height: np.ndarray  # (n,) int32
    phash: np.ndarray  # (n,) uint64
    thumbnail: np.ndarray  # (n, side²) uint8
    reasons: dict[int, str]  # of the unreadable


@dataclass(frozen=True)
class Assembled:
    """The table of a collection, what is not in it, and remarks."""

    table: pa.Table
    skipped: list[Skipped]
    notes: list[str]


def scan(listing: Listing, workers: int) -> tuple[Looks, np.ndarray]:
    """Read every distinct image once.

    Returns:
        The looks, and for each row of the listing the index (int) of its look.
    """
    if listing.stored:
        n = listing.table.num_rows
        return _look_at_all(_stored_images(listing), n, workers), np.arange(n)
    names = listing.table["file_name"].combine_chunks().dictionary_encode()
    files = (listing.root / name for name in names.dictionary.to_pylist())
    looks = _look_at_all(files, len(names.dictionary), workers)
    return looks, names.indices.to_numpy(zero_copy_only=False)


def _stored_images(listing: Listing) -> Iterator[bytes]:
    """Yield the bytes of each row; rows of one file are neighbours and ascend."""
    names = listing.table[STORED_FILE].to_pylist()
    rows: dict[str, list[int]] = {}
    for name, row in zip(names, listing.table[STORED_ROW].to_pylist(), strict=True):
        rows.setdefault(name, []).append(row)
    return bytes_of(listing.root, rows.keys(), rows.values())


def _look_at_all(sources: Iterable[Path | bytes], n: int, workers: int) -> Looks:
    seen = Looks(
        image_id=np.zeros(n, "U16"),
        width=np.zeros(n, np.int32),
        height=np.zeros(n, np.int32),
        phash=np.zeros(n, np.uint64),
        thumbnail=np.zeros((n, THUMBNAIL_SIDE**2), np.uint8),
        reasons={},
    )
    waiting = iter(sources)
    index = 0
    with (
        console.task("reading images", n) as advance,
        ThreadPoolExecutor(max_workers=max(1, workers)) as pool,
    ):
        while block := list(islice(waiting, _AHEAD)):
            for found in pool.map(_try_look, block):
                _note(seen, index, found)
                index += 1
            advance(len(block))
    return seen


def _try_look(source: Path | bytes) -> Look | str:
    try:
        return look(source)
    except Unreadable as error:
        return str(error)


def _note(seen: Looks, index: int, found: Look | str) -> None:
    if isinstance(found, str):
        seen.reasons[index] = found
        return
    seen.image_id[index] = found.image_id
    seen.width[index], seen.height[index] = found.width, found.height
    seen.phash[index] = found.phash
    seen.thumbnail[index] = np.frombuffer(found.thumbnail, np.uint8)


def assemble(listing: Listing, looks: Looks, look_of_row: np.ndarray) -> Assembled:
    """Drop what cannot be used, sort canonically and find the near-duplicates."""
    skipped = list(listing.skipped)
    names = listing.table["file_name"]
    readable = looks.image_id[look_of_row] != ""
    for row in np.flatnonzero(~readable).tolist():
        skipped.append(Skipped(names[row].as_py(), looks.reasons[int(look_of_row[row])]))
    table = listing.table.append_column(
        "image_id", pa.array(looks.image_id[look_of_row].tolist(), pa.string())
    )
    table = table.append_column("look", pa.array(look_of_row, pa.int64()))
    table = table.filter(pa.array(readable))
    keys = [(name, "ascending") for name in ("image_id", "label", "file_name")]
    table = table.take(pc.sort_indices(table, sort_keys=keys))
    table, again = _first_of_each(table)
    return _finish(table, looks, skipped + again, list(listing.notes))


def _first_of_each(table: pa.Table) -> tuple[pa.Table, list[Skipped]]:
    """Keep the first of the rows (sorted) that have the same bytes and the same label."""
    if not table.num_rows:
        return table, []
    columns = [table[name].combine_chunks() for name in ("image_id", "label")]
    same = np.ones(table.num_rows, bool)
    same[0] = False
    for column in columns:
        same[1:] &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))
    names = table["file_name"]
    skipped = [
        Skipped(names[row].as_py(), f"same content as {names[int(first[row])].as_py()}")
        for row in np.flatnonzero(same).tolist()
    ]
    return table.filter(pa.array(~same)), skipped


def _finish(table: pa.Table, looks: Looks, skipped: list[Skipped], notes: list[str]) -> Assembled:
    seen = table["look"].to_numpy()
    ids, once, image = np.unique(looks.image_id[seen], return_index=True, return_inverse=True)
    alike = near_duplicates(looks.phash[seen[once]], looks.thumbnail[seen[once]])
    duplicate = pa.array(ids[alike[image]].tolist(), pa.string())
    group = table["group"].combine_chunks()
    own = {
        "image_id": table["image_id"],
        "file_name": table["file_name"],
        "label": table["label"],
        "width": pa.array(looks.width[seen]),
        "height": pa.array(looks.height[seen]),
        "group": pc.if_else(pc.equal(group, ""), duplicate, group),
        "duplicate": duplicate,
        "split": table["split"],
    }
    others = [name for name in table.column_names if name not in OWN_COLUMNS and name != "look"]
    stored = [name for name in (STORED_FILE, STORED_ROW) if name in table.column_names]
    columns = own | {name: table[name] for name in others + stored}
    return Assembled(
        pa.table(columns).combine_chunks(),
        sorted(set(skipped)),
        [*notes, *_remarks(table["file_name"], ids, image, alike)],
    )


def _remarks(
    names: pa.ChunkedArray, ids: np.ndarray, image: np.ndarray, alike: np.ndarray
) -> list[str]:
    remarks = []
    rows = np.bincount(image, minlength=len(ids))
    if several := int((rows > 1).sum()):
        example = names[int(np.flatnonzero(rows[image] > 1)[0])].as_py()
        remarks.append(f"images found under more than one label: {several}, e.g. {example}")
    sizes = np.bincount(alike, minlength=1)
    if groups := int((sizes > 1).sum()):
        remarks.append(
            f"groups of near-duplicate images: {groups}, with {int(sizes[sizes > 1].sum())} "
            "images; a group is never split between two halves"
        )
    return remarks
