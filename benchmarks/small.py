"""A small collection and a small recipe for benchmarks that run the whole way many times."""

from __future__ import annotations

from pathlib import Path

from typika import config
from typika.collection.demo import render_demo
from typika.workflow import MineConfig

RECIPE = {
    "model": {
        "sides": [128, 192],
        "dimensions": 32,
        "width": 32,
        "epochs": 6.0,
        "least_steps": 50,
    },
    "rival": {"width": 32, "epochs": 4.0, "least_steps": 50},
    "select": {"at_least": 30},
}
TABLES = ("collection.parquet", "selected.parquet", "patches.parquet", "clusters.parquet")


def collection(folder: Path, n_per_label: int = 40) -> Path:
    return render_demo(folder, n_per_label=n_per_label, size=128).folder


def recipe(**changes: dict) -> MineConfig:
    return config.build(MineConfig, RECIPE, changes)


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}
