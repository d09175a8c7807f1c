"""The rare stage: what few images of a label share, of all windows of all images.

Legend: `row` is the place of an image in the collection; `n` windows, `d` features of a window
(those of all scales, one after another).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from typika.collection.images import ImageCollection
from typika.diffusion.denoiser import NULL
from typika.mining import features, rare
from typika.mining.evidence import Members, evenly, patch_fractions
from typika.mining.scores import ScoredMaps
from typika.mining.significance import Background
from typika.mining.stages import feature_grids, fitted_to, thumbnails
from typika.parallel import Advance, one_thread, run_tasks
from typika.tables import read_parquet, write_parquet, write_table

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

STEP = 0.5  # of a window's side, between windows
MOST_NUMBERS = 1 << 28  # of all windows' features at once: a gigabyte
BACKGROUND_WINDOWS = 20_000  # from which it is learned what any window looks like

RARE = pa.schema(
    {
        "label": pa.string(),
        "rank": pa.int32(),
        "score": pa.float64(),  # √images · tightness · standing
        "tightness": pa.float64(),  # cosine among its windows less that of the next image
        "typicality": pa.float64(),  # median
        "standing": pa.float64(),  # share of the label's windows that are less typical
        "n_images": pa.int32(),
        "share": pa.float64(),  # of the label's images that were compared
        "n_unseen": pa.int32(),  # images of the label that the model never saw ...
        "unseen": pa.int32(),  # ... those of them that match as well ...
        "n_unseen_others": pa.int32(),  # ... and the same of other labels
        "unseen_others": pa.int32(),
    }
)


@dataclass(frozen=True)
class Seen:
    """Windows of some images. row: (n,) ascending; box: (n, 4) left, top, right, bottom."""

    row: Int[ndarray, " n"]
    box: Float[ndarray, "n 4"]
    features: Float[ndarray, "n d"]
    typicality: Float[ndarray, " n"]


def find(mining: Mining) -> None:
    """Look for rare elements, and write those of each label."""
    summaries: list[dict[str, Any]] = []
    members: list[dict[str, Any]] = []
    collection = mining.collection
    if mining.config.rare.shown:
        with one_thread():  # more would change the order of sums
            for one, own in _found(mining, collection):
                summaries.append(one)
                members += own
    table = pa.Table.from_pylist(summaries, schema=RARE)
    write_table(table, mining.folder / "rare.parquet")
    patches = pa.Table.from_pylist(members, schema=MEMBERS)
    images = collection.table.take(patches["row"]).select(["image_id", "file_name"])
    for name in images.column_names:
        patches = patches.append_column(name, images[name])
    patches = patches.append_column("thumbnail", thumbnails(mining, collection, patches))
    write_parquet(patches.drop_columns(["row"]), mining.folder / "rare_patches.parquet")


MEMBERS = pa.schema(
    {
        "label": pa.string(),
        "rank": pa.int32(),
        "row": pa.int32(),
        **{side: pa.int32() for side in ("left", "top", "right", "bottom")},
        "typicality": pa.float64(),
    }
)


def _found(mining: Mining, collection: ImageCollection) -> Any:
    """Summary and windows of each group, label by label."""
    compared, unseen = _rows(mining, collection)
    seen, rest = _look(mining, collection, compared), _look(mining, collection, unseen)
    rng = np.random.default_rng([mining.config.seed, 37])
    some = rng.permutation(len(seen.row))[:BACKGROUND_WINDOWS]
    background = Background.of(
        seen.features[some].astype(np.float64), mining.config.significance.shrinkage
    )
    vectors = _whitened(seen.features, background)
    others = _whitened(rest.features, background)
    image = np.searchsorted(compared, seen.row)
    label = collection.label_index
    clusters = _cluster_windows(mining, collection, seen)
    everything = rare.Windows(
        vectors=vectors, image=image, label=label[compared], unit=collection.units[compared],
        typicality=seen.typicality,
        frequent=rare.frequent(vectors, label[seen.row], clusters),
    )  # fmt: skip
    ids = collection.codes("image_id")
    for number, name in enumerate(collection.labels):
        own = label[compared] == number
        # The same image under a further label would be its own best match.
        again = ~own & np.isin(ids[compared], ids[compared][own])
        kept = np.flatnonzero(~again[image])
        windows = everything.less(again) if again.any() else everything
        rank = 0
        for group in rare.groups(windows, number, mining.config.rare):
            matched = rare.matching(windows, group, others, rest.row)
            told = label[matched] == number
            share, n_others = len(group.windows) / own.sum(), int((label[unseen] != number).sum())
            if n_others and (~told).sum() / n_others >= share:
                continue  # among unseen images other labels have it as often
            rank += 1
            if rank > mining.config.rare.shown:
                break
            yield (
                {
                    "label": name, "rank": rank, "score": group.score,
                    "tightness": group.tightness, "typicality": group.typicality,
                    "standing": group.standing, "n_images": len(group.windows),
                    "share": float(share),
                    "n_unseen": int((label[unseen] == number).sum()), "unseen": int(told.sum()),
                    "n_unseen_others": n_others, "unseen_others": int((~told).sum()),
                },
                [_member(collection, seen, int(place), name, rank) for place in
                 kept[group.windows]],
            )  # fmt: skip


def _rows(
    mining: Mining, collection: ImageCollection
) -> tuple[Int[ndarray, " k"], Int[ndarray, " j"]]:
    """Images that are compared, those that the model was trained on, and those to check with."""
    mined = np.flatnonzero(collection.in_split(mining.config.collection.mine))
    fitted = fitted_to(mining, collection, mined)
    most = mining.config.rare.at_most
    grids = feature_grids(mining, collection)(int(mined[0]), NULL)
    a_side = max(1, round(1 / (STEP * mining.config.select.patch_size)))
    most = min(most, max(1, MOST_NUMBERS // (a_side**2 * sum(len(grid) for grid in grids))))
    return evenly(collection, mined[fitted], most), evenly(collection, mined[~fitted], most)


def _look(mining: Mining, collection: ImageCollection, rows: Int[ndarray, " k"]) -> Seen:
    """The windows of some images, read in processes."""
    workers = mining.model.workers(mining.workers)
    hands = max(1, min(len(rows), 4 * workers if workers > 1 else 1))
    parts = np.array_split(rows, hands)
    tasks = [(mining, collection, part) for part in parts]
    found = run_tasks(_look_at, tasks, workers=workers, name="Looking closer", total=len(rows))
    return Seen(*(np.concatenate([getattr(one, name) for one in found])
                  for name in ("row", "box", "features", "typicality")))  # fmt: skip


def _look_at(
    mining: Mining, collection: ImageCollection, rows: Int[ndarray, " k"], advance: Advance
) -> Seen:
    grids_of, maps = feature_grids(mining, collection), ScoredMaps(mining.folder)
    found: list[tuple[ndarray, ...]] = []
    for row in rows.tolist():
        width, height = patch_fractions(mining, collection, row)

        def over(grid: ndarray, width: float = width, height: float = height) -> ndarray:
            down = features.window_weights(height, STEP, grid.shape[-2])
            across = features.window_weights(width, STEP, grid.shape[-1])
            means: ndarray = np.einsum("ph,...hw,qw->pq...", down, grid, across, optimize=True)
            return means

        typical = over(maps[row][mining.config.ranked_by])
        own = [over(grid) for grid in grids_of(row, NULL)]
        n_down, n_across = typical.shape
        top = np.repeat(np.linspace(0, 1 - height, n_down), n_across)
        left = np.tile(np.linspace(0, 1 - width, n_across), n_down)
        found.append((
            np.full(typical.size, row),
            np.stack([left, top, left + width, top + height], axis=1),
            np.concatenate(own, axis=2).reshape(typical.size, -1).astype(np.float32),
            typical.ravel(),
        ))  # fmt: skip
        advance(1)
    if not found:
        empty = np.zeros(0)
        return Seen(empty.astype(np.int64), np.zeros((0, 4)), np.zeros((0, 0)), empty)
    return Seen(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _whitened(windows: Float[ndarray, "n d"], background: Background) -> Float[ndarray, "n _d"]:
    if not len(windows):
        return np.zeros((0, len(background.mean)), dtype=np.float32)
    return rare.whitened(windows, background).astype(np.float32)


def _cluster_windows(
    mining: Mining, collection: ImageCollection, seen: Seen
) -> list[tuple[int, Int[ndarray, " _"]]]:
    """Of each cluster its label, and the windows that lie nearest to its patches."""
    patches = read_parquet(mining.folder / "patches.parquet").drop_columns(["thumbnail"])
    members = Members.of(collection, patches)
    centre = (seen.box[:, :2] + seen.box[:, 2:]) / 2
    starts, ends = (np.searchsorted(seen.row, members.row, side) for side in ("left", "right"))
    nearest = np.full(len(members.row), -1)
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if end > start:
            middle = (members.box[place, :2] + members.box[place, 2:]) / 2
            nearest[place] = start + np.abs(centre[start:end] - middle).sum(axis=1).argmin()
    found = []
    for number, (label, _) in enumerate(members.names):
        own = nearest[(members.number == number) & (nearest >= 0)]
        found.append((collection.labels.index(label), np.unique(own)))
    return found


def _member(
    collection: ImageCollection, seen: Seen, place: int, label: str, rank: int
) -> dict[str, Any]:
    row = int(seen.row[place])
    width, height = (collection.table[side][row].as_py() for side in ("width", "height"))
    corners = np.rint(seen.box[place] * np.array([width, height, width, height])).astype(int)
    sides = dict(zip(("left", "top", "right", "bottom"), corners.tolist(), strict=True))
    typicality = float(seen.typicality[place])
    return {"label": label, "rank": rank, "row": row, **sides, "typicality": typicality}
