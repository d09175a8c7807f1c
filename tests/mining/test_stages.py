"""What stages see to before they compute."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from typika.mining import clusters, stages
from typika.tables import write_parquet


def test_features_come_from_one_thread_whatever_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(Exception):
        pass

    def features(*_: object) -> None:
        raise Asked(torch.get_num_threads())

    write_parquet(pa.table({"row": [0]}), tmp_path / "selected.parquet")
    monkeypatch.setattr(stages, "patch_features", features)
    mining = SimpleNamespace(collection=None, config=SimpleNamespace(seed=0), folder=tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(Asked) as asked:
            stages.cluster(mining)
    finally:
        torch.set_num_threads(before)
    assert asked.value.args == (1,)


def test_clusters_are_fitted_to_trained_on_images_and_the_others_fall_where_they_may(
    rng: np.random.Generator,
) -> None:
    """Two blobs in each of two labels; every third image was held out."""
    row = np.arange(120)
    vectors = clusters.unit(np.eye(4, 12)[row % 4] * 5 + rng.normal(size=(120, 12)) * 0.5)
    config = SimpleNamespace(seed=0, cluster=clusters.ClusterConfig())
    mining: Any = SimpleNamespace(config=config, workers=1)
    fitted, typical = row % 3 > 0, np.ones(120, dtype=bool)
    first = stages._group(mining, row % 2, row, typical, fitted, vectors)
    others = np.where(fitted[:, None], vectors, clusters.unit(rng.normal(size=(120, 12))))
    second = stages._group(mining, row % 2, row, typical, fitted, others)
    assert list(first) == [0, 1]
    for place in (0, 1):
        assert np.array_equal(first[place][0].centres, second[place][0].centres)
        assert len(first[place][0].centres) == 2
        known, alien = (found[place][1].assignment[~fitted[row % 2 == place]]
                        for found in (first, second))  # fmt: skip
        assert (known >= 0).mean() > 0.7
        assert (alien < 0).mean() > 0.9
