from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from typika import files, tables


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    files.write_text(path, "old")

    def write_half() -> None:
        with files.whole_file(path) as temporary:
            temporary.write_text("ne")
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_sweep_removes_what_a_kill_left(tmp_path: Path) -> None:
    stray = tmp_path / "deep" / ".abc.part"
    stray.parent.mkdir()
    stray.write_text("half")
    files.sweep(tmp_path)
    assert not stray.exists()


def test_parquet_bytes_depend_on_content_alone(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"]})
    tables.write_parquet(table, tmp_path / "one")
    tables.write_parquet(pa.table({"a": [1, 2], "b": ["x", "y"]}), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_csv_cells_cannot_become_formulas(tmp_path: Path) -> None:
    table = pa.table({"name": ["=1+1", "@x", "plain", "-2"], "number": [-1.5, 2.0, 3.0, 4.0]})
    tables.write_csv(table, tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text()
    assert text.splitlines() == ["name,number", "'=1+1,-1.5", "'@x,2.0", "plain,3.0", "'-2,4.0"]
