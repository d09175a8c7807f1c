from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from typika import script_comparison
from typika.cli import main
from typika.errors import ConfigError
from typika.palaeography.records import Instances
from typika.palaeography.units import ComparisonConfig
from typika.report import script_figures
from typika.run import Run, Stage
from typika.script_comparison import ComparedRun, compare, compare_groups
from typika.typewriter.stages import TypewriterConfig

sys.path.insert(0, str(Path(__file__).parent / "palaeography"))
from planted_letters import documents, glyph, instances, jittered

CONFIG = ComparisonConfig(draws=20, permutations=99)
SCRIPTS = {"n": "north", "s": "=south<b>$x$"}


@cache
def planted() -> Instances:
    rng = np.random.default_rng(0)
    shapes = documents([f"{g}{d}" for g in "ns" for d in range(4)], "ade")
    for name, own in shapes.items():
        face = "dejavu" if name[0] == "s" else "times"
        own.update({one: jittered(glyph(one, face), 0.5, rng) for one in own})
    columns = {
        "script": {name: SCRIPTS[name[0]] for name in shapes},
        "date": {name: f"{800 + 200 * (name[0] == 's') + int(name[1])}" for name in shapes},
    }
    return instances(shapes, 4, columns=columns)


def gathered(folder: Path) -> Path:
    with Run.create(folder, TypewriterConfig(), facts={}) as opened:
        stage = Stage(name="instances", causes={}, outputs=("instances",))
        opened.stage(stage, lambda: planted().save(folder / "instances"))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is compared in one way only, so that it is compared once."""
    return gathered(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def misused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gathered(tmp_path_factory.mktemp("misused") / "run")


@pytest.fixture(autouse=True)
def few_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheets of every kind, of few letters and documents: drawing them takes longest."""
    monkeypatch.setattr(script_figures, "MOST_LETTERS", 1)
    monkeypatch.setattr(script_figures, "MOST_GRAPHS", 1)


def test_groups_are_compared_in_the_run_folder(run: Path) -> None:
    found = compare(run, "script", config=CONFIG)
    assert found.folder.parent == run / "comparison"
    assert found.comparison.differences[0].second == "north"
    assert found.comparison.graphs[0].right.all()
    assert found.comparison.tree is not None
    assert found.comparison.seriation is not None
    assert any("first axis" in line for line in found.summary)
    names = {path.stem for path in found.figures.iterdir()}
    assert {"sigma", "tree", "map", "seriation"} < names
    assert len(names) == 7
    assert {path.suffix for path in found.figures.iterdir()} == {".png", ".pdf"}
    assert "'=south" in (found.folder / "letters.csv").read_text()


def test_what_is_compared_is_not_compared_again(run: Path) -> None:
    compare(run, "script", config=CONFIG)
    finished = Run.read(run).manifest["stages"]["comparison/script"]["finished"]
    compare(run, "script", config=CONFIG)
    assert Run.read(run).manifest["stages"]["comparison/script"]["finished"] == finished


def test_groups_without_a_pair_are_placed_only() -> None:
    made = planted()
    scripts = pa.array(["x"] * made.table.num_rows)
    made = replace(made, table=made.table.drop_columns("script").append_column("script", scripts))
    found = compare_groups(made, "script", config=CONFIG)
    assert found.differences == ()
    assert found.tree is not None


def test_many_groups_are_compared_where_they_are_named() -> None:
    made = planted()
    assert compare_groups(made, "document", config=CONFIG).differences == ()
    found = compare_groups(made, "document", between=("n0", "s1"), config=CONFIG)
    assert [(one.first, one.second, one.unit) for one in found.differences] == [
        ("n0", "s1", "instance")
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": "hand"}, "no such column"),
        ({"groups": "script", "documents": "shelfmark"}, "no such column"),
        ({"groups": "script", "between": ("north", "west")}, "'west': no such script"),
        ({"groups": "script", "between": ("north",)}, "name another script"),
        ({"groups": "script", "ink": "prototypes"}, "typewriter adapt"),
        ({"groups": "script", "ink": "x"}, "ink='x'"),
    ],
)
def test_what_cannot_be_compared_is_named(misused: Path, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(misused, **settings, config=CONFIG)


def test_a_run_without_instances_is_told_what_to_do(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", TypewriterConfig(), facts={}):
        pass
    with pytest.raises(ConfigError, match="typewriter adapt"):
        compare(tmp_path / "run", "script")


def test_the_command_says_what_was_found(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = {}

    def quick(folder: Path, groups: str, **settings: object) -> ComparedRun:
        asked.update(settings)
        return compare(folder, groups, config=CONFIG)

    monkeypatch.setattr(script_comparison, "compare", quick)
    main(["typewriter", "compare", str(run), "--groups", "script", "--between", "north",
          "--between", "west"])  # fmt: skip
    assert asked["between"] == ("north", "west")
    assert asked["ink"] == "instances"
    out = capsys.readouterr().out
    assert "letters differ (documents compared)" in out
    assert "first axis and dates" in out
