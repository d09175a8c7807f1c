"""What a dry run foretells, from what a few images took."""

from __future__ import annotations

from pathlib import Path

import pytest

from typika import cost
from typika.collection.images import ImageCollection
from typika.mining.pipeline import MiningConfig


def test_calls_hours_and_disk_follow_from_what_was_timed(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "_seconds_to_encode", lambda *_: 0.0)
    monkeypatch.setattr(cost, "_seconds_to_score", lambda *_: 3600.0)
    collection = ImageCollection.open(photos)
    config, n = MiningConfig(), len(collection)
    first, second = cost.cost(collection, config, workers=1)
    minutes = int(first.split("about ")[1].split(" min")[0])
    assert 60 * n <= minutes <= 60 * n + 30
    others = min(len(collection.labels) - 1, config.score.n_others)
    calls = n * len(config.model.sides) * config.score.n_draws * (2 + others)  # type: ignore[union-attr]
    assert f"{n} images scored by {calls} calls" in second
