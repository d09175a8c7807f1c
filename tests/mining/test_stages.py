"""What stages see to before they compute."""

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch

from typika.mining import stages
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
