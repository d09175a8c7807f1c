from __future__ import annotations

from pathlib import Path

import pytest
import torch

from typika.diffusion.batches import BatchSize
from typika.errors import ModelError

CPU = torch.device("cpu")


def memory_for(most: int, calls: list[int]):
    def function(size: int) -> int:
        calls.append(size)
        if size > most:
            raise torch.OutOfMemoryError("no more")
        return size

    return function


def test_it_halves_until_it_fits_and_remembers(tmp_path: Path) -> None:
    calls: list[int] = []
    batch = BatchSize("scoring", 64, CPU, tmp_path)
    assert batch.attempt(memory_for(20, calls)) == 16
    assert calls == [64, 32, 16]
    assert batch.attempt(memory_for(20, calls)) == 16
    assert calls == [64, 32, 16, 16]
    assert BatchSize("scoring", 64, CPU, tmp_path).size == 16
    assert BatchSize("finetuning", 64, CPU, tmp_path).size == 64


def test_where_not_even_one_fits_the_message_says_what_to_lower(tmp_path: Path) -> None:
    batch = BatchSize("scoring", 4, CPU, tmp_path)
    with pytest.raises(ModelError, match=r"not even one image.*model\.resolution"):
        batch.attempt(memory_for(0, []))


def test_other_errors_pass(tmp_path: Path) -> None:
    def broken(size: int) -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        BatchSize("scoring", 4, CPU, tmp_path).attempt(broken)
