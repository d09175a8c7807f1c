"""Every reader against spoiled files: `python -m benchmarks fuzz` in small."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks._fuzz_readers import Reader, readers
from benchmarks.fuzz import attempt, spoil

READERS = readers()
SPOILED = 25  # of each reader


@pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])
def test_a_reader_gives_records_or_refuses(reader: Reader, tmp_path: Path) -> None:
    read = 0
    for number in range(len(reader.seeds) + SPOILED):
        folder = tmp_path / str(number)
        folder.mkdir()
        reader.prepare(folder)
        found = attempt(reader, spoil(reader, number), folder)
        if number < len(reader.seeds):
            assert isinstance(found, int), f"a valid file is refused: {found}"
            assert found > 0
        read += isinstance(found, int)
    assert read >= len(reader.seeds)
