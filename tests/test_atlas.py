"""The atlas of a run folder: what it takes from it, and when it is written anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent / "report"))
from atlas_planted import compared, planted, prototypes

from typika.atlas import ATLAS, Adapted, atlas, has_prototypes
from typika.errors import ConfigError
from typika.run import Run
from typika.tables import write_parquet
from typika.typewriter.stages import TypewriterConfig

LINE = "a1/000"


@pytest.fixture
def adapted(tmp_path: Path) -> Path:
    """A run folder with planted instances, prototypes, a comparison, tables and one line."""
    folder = tmp_path / "run"
    with Run.create(folder, TypewriterConfig(), facts={"source": "/where/lines"}):
        pass
    given = planted("ab", 5)
    table = given.table.append_column("date", pa.array(
        ["790-810" if name == "a1" else "" for name in given.table["document"].to_pylist()]
    ))  # fmt: skip
    object.__setattr__(given, "table", table)
    given.save(folder / "instances")
    documents, scripts = prototypes(given, "document"), prototypes(given, "script")
    for one in (documents, scripts):
        one.save(folder / "prototypes" / one.by)
    compared(documents, scripts).save(folder / "comparison" / "script")
    write_parquet(pa.table({"letter": ["a"], "purity": [0.5], "pixels": [[1.0]]}),
                  folder / "allographs" / "forms_by_document.parquet")  # fmt: skip
    write_parquet(
        pa.table({"x_height": [12.5]}), folder / "measures" / "document" / "page.parquet"
    )
    lines = folder / "lines"
    lines.mkdir()
    np.save(lines / "pixels.npy", np.full((300, 64, 4), 90, np.uint8))
    row = {"line_id": LINE, "start": 0, "width": 300, "masked": False, "ink": [0.0, 0.0, 0.0],
           "paper": [1.0, 1.0, 1.0]}  # fmt: skip
    (lines / "lines.json").write_text(json.dumps([row]))
    return folder


def test_everything_that_the_run_has_is_shown(adapted: Path) -> None:
    inputs = Adapted(Run.read(adapted)).inputs()
    assert [one.by for one in inputs.prototypes] == ["document", "script"]  # most groups first
    assert inputs.dates["document"]["a1"] == ("790-810", 810.0)  # the comparison decides the year
    assert inputs.dates["script"] == {}
    assert {one.title: one.name for one in inputs.tables} == {
        "Allographs, forms by document": "allographs-forms_by_document",
        "Measures, document, page": "measures-document-page",
    }
    assert inputs.tables[0].table.column_names == ["letter", "purity"]
    pixels = inputs.line(LINE)
    assert pixels is not None
    assert pixels.shape == (64, 300, 3)
    assert inputs.line("none") is None
    assert inputs.masks is not None
    assert inputs.masks.shape == (2, 64, 48)


def test_the_atlas_is_written_once_until_something_changes(adapted: Path) -> None:
    page = atlas(adapted)
    assert page == adapted / ATLAS
    text = page.read_text(encoding="utf-8")
    assert "/where/lines" in text
    assert "forms_by_document" in text
    written = page.stat().st_mtime_ns
    atlas(adapted)
    assert page.stat().st_mtime_ns == written
    write_parquet(pa.table({"letter": ["changed"]}), adapted / "allographs" / "new.parquet")
    atlas(adapted)
    assert "changed" in page.read_text(encoding="utf-8")


def test_prototypes_alone_make_an_atlas(adapted: Path) -> None:
    import shutil

    for name in ("instances", "comparison", "allographs", "measures", "lines"):
        shutil.rmtree(adapted / name)
    inputs = Adapted(Run.read(adapted)).inputs()
    assert inputs.instances is None
    assert "no instances" in inputs.notes[0]
    assert inputs.line(LINE) is None
    assert atlas(adapted).exists()


def test_a_run_without_prototypes_says_what_to_do(adapted: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run\.json"):
        atlas(tmp_path / "nothing")
    other = tmp_path / "other"
    with Run.create(other, TypewriterConfig(), facts={}):
        pass
    assert not has_prototypes(other)
    assert has_prototypes(adapted)
    with pytest.raises(ConfigError, match="typika typewriter adapt"):
        atlas(other)
