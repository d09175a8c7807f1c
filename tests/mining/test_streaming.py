"""Selection that lets score parts go by chooses what looking at everything at once chooses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from typika.collection.images import ImageCollection
from typika.mining import stages, streaming
from typika.mining.patches import SelectConfig
from typika.mining.pipeline import CollectionConfig, MiningConfig
from typika.mining.scores import mined_parts, mined_rows, write_scores
from typika.tables import read_parquet

N = 260


def scored_run(folder: Path, **changes: Any) -> Any:
    """A run of images of three labels that has nothing but maps."""
    rng = np.random.default_rng(5)
    ids = [f"{number:016x}" for number in range(N)]
    alike = np.arange(N)
    alike[1::7] = alike[:-1:7][: len(alike[1::7])]  # every seventh image nearly repeats another
    table = pa.table(
        {
            "image_id": ids,
            "file_name": [f"{name}.jpg" for name in ids],
            "label": [f"label {number % 3}" for number in range(N)],
            "width": pa.array(rng.integers(40, 60, N), pa.int32()),
            "height": pa.array(rng.integers(40, 60, N), pa.int32()),
            "group": [ids[one] for one in alike],
            "duplicate": [ids[one] for one in alike],
            "split": ["mined" if number % 5 else "" for number in range(N)],
        }
    )
    collection = ImageCollection(folder, table)
    select = {"at_most": 12, "at_least": 4, "controls": 7} | changes.pop("select", {})
    config = MiningConfig(
        select=SelectConfig(**select), collection=CollectionConfig(**changes.pop("collection", {}))
    )
    mining = SimpleNamespace(folder=folder, collection=collection, config=config, workers=1)
    for part in mined_parts(mining, collection):  # type: ignore[arg-type]
        rows = mined_rows(mining, collection, part)  # type: ignore[arg-type]
        found = []
        for _ in rows:
            side = int(rng.integers(4, 7))
            maps = {
                name: rng.normal(size=side * side).astype(np.float32)
                for name in ("null", "null_error", "evidence")
            }
            shape = dict.fromkeys(("height", "width", "evidence_height", "evidence_width"), side)
            found.append({**shape, **maps})
        write_scores(folder, collection, part, rows, found, np.ones(N, bool))
    return mining


def both(mining: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[pa.Table, pa.Table]:
    """What is selected at once, and as parts go by with next to nothing held."""
    tables = []
    for large in (10**9, 0):
        monkeypatch.setattr(streaming, "LARGE", large)
        monkeypatch.setattr(streaming, "RANDOM_IMAGES", 10**6)
        monkeypatch.setattr(streaming, "HELD", 50)
        stages.select(mining)
        tables.append(read_parquet(mining.folder / "selected.parquet"))
    return tables[0], tables[1]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"select": {"share": 0.01}},  # too few are kept for a bar: all are looked at
        {"select": {"mask": "border=0.2"}},
        {"select": {"controls": 0}},
        {"collection": {"weigh_duplicates": True}},
        {"collection": {"mine": "mined"}},
    ],
)
def test_the_same_patches_are_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    at_once, streamed = both(scored_run(tmp_path, **changes), monkeypatch)
    assert at_once.equals(streamed)
    assert len(at_once) > 20


def test_few_images_are_looked_at_closely(tmp_path: Path) -> None:
    mining = scored_run(tmp_path)
    collection = mining.collection
    worth = streaming.Worth.of(mining, collection, mined_parts(mining, collection))
    assert 0.02 < worth.typical.mean() < 0.3
    assert 0.02 < worth.negative.mean() < 0.3
    assert (worth.n_candidates >= 12).all()


def test_labels_of_very_many_images_take_controls_from_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "RANDOM_IMAGES", 1)
    mining = scored_run(tmp_path)
    table = streaming.select(mining, mining.collection)
    sampled = streaming.Worth.of(mining, mining.collection, range(5)).random
    assert np.bincount(mining.collection.label_index[sampled]).tolist() == [7, 7, 7]
    random = table.filter(pa.compute.equal(table["selection"], "random"))
    labels = mining.collection.label_index[random["row"].to_numpy()]
    assert np.bincount(labels).tolist() == [7, 7, 7]
    assert sampled[random["row"].to_numpy()].all()
