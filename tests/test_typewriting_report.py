"""The report stage of a typewriter: what it takes from a run folder."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from typika.collection.lines import LineCollection
from typika.collection.rendered_lines import render_lines, write_lines
from typika.errors import ConfigError
from typika.report.typewriter_records import (
    LEARNED,
    TESTED,
    UNFIT,
    UNTRANSCRIBED,
    VALIDATED,
)
from typika.run import Run
from typika.typewriter.stages import CHARACTER_SCHEMA, Typing
from typika.typewriting import configure
from typika.typewriting_report import Finished, lines_to_compare, report

PARTS = {"0000": TESTED, "0001": VALIDATED, "0002": UNTRANSCRIBED, "0003": UNFIT}
CONFIG = configure({"training": {"steps": 2, "batch": 2, "checks": 2}})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has barely learned; the folder of its lines is gone."""
    lines, out = tmp_path_factory.mktemp("typing") / "lines", tmp_path_factory.mktemp("run") / "r"
    write_lines(lines, render_lines(7, seed=0, split="train"))
    (lines / "0000.gt.txt").write_text("a§b", encoding="utf-8")
    (lines / "0002.gt.txt").unlink()
    (lines / "0003.gt.txt").write_text("ab" * 400, encoding="utf-8")
    (lines / "broken.png").write_bytes(b"no image")
    rows = ["file_name,split", "0000.png,test", "0001.png,val"]
    rows += [f"{n:04d}.png,train" for n in range(2, 7)]
    (lines / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    collection = LineCollection.open(lines)
    with Run.create(out, CONFIG, facts={"source": str(lines)}) as run:
        Typing(run, collection, CONFIG).advance()
    shutil.rmtree(lines)
    return out


def test_a_report_needs_the_run_folder_alone(fitted: Path) -> None:
    page = report(fitted)
    assert page == fitted / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "broken.png" in text
    assert "cannot be read right: d f j z §" in text
    assert (fitted / "figures" / "lines.pdf").stat().st_size > 1000
    written = page.stat().st_mtime_ns
    report(fitted)  # nothing has changed, so nothing is written
    assert page.stat().st_mtime_ns == written


def test_every_line_has_its_part(fitted: Path) -> None:
    finished = Finished(Run.read(fitted), CONFIG)
    assert finished.parts == {f"{n:04d}": PARTS.get(f"{n:04d}", LEARNED) for n in range(7)}


def test_instances_and_boxes_are_of_the_same_characters(fitted: Path) -> None:
    inputs = Finished(Run.read(fitted), CONFIG).inputs()
    known = {(row["line_id"], row["place"]): row["character"]
             for row in inputs.characters.to_pylist()}  # fmt: skip
    shown = [(one.character, cut) for one in inputs.sprites for cut in (*one.near, *one.far)]
    assert shown
    for character, cut in shown:
        assert known[cut.line_id, cut.place] == character
    for one in inputs.sprites:
        distances = [cut.distance for cut in one.near]
        assert distances == sorted(distances)
        assert all(cut.distance >= distances[-1] for cut in one.far)
        assert one.looked_at == min(one.count, 60)
    assert " " not in {one.character for one in inputs.sprites}
    assert {line.line_id for line in inputs.lines} == set(inputs.wanted)


def test_a_run_that_is_not_aligned_is_named(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", CONFIG, facts={}):
        pass
    with pytest.raises(ConfigError, match="collect is not done"):
        report(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"no run\.json"):
        report(tmp_path)


def test_few_lines_hold_enough_of_every_letter() -> None:
    rows = [
        {"line_id": f"{n:03}", "place": place, "character": character, "sprite": 0}
        for n in range(100) for place, character in enumerate("eeee" + ("z" if n == 50 else ""))
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, CHARACTER_SCHEMA)
    chosen = lines_to_compare(table, 10)
    assert "050" in chosen
    assert len(chosen) == 3  # of four letters each
    assert Counter(lines_to_compare(table, 1000)) == Counter(f"{n:03}" for n in range(100))
