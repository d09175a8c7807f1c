"""`typika typewriter adapt`, from Python and the shell, on a typewriter that hardly learned."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from typika import typewriter
from typika.adaptations import AdaptationConfig, AdaptedRun
from typika.cli import main
from typika.collection.rendered_lines import render_lines, write_lines
from typika.errors import ConfigError
from typika.palaeography.records import ABSENT

SHORT = {"model": {"height": 32}, "training": {"steps": 4, "batch": 2, "checks": 2}}
FEW_STEPS = ["--method", "published", "--set", "published.steps=2"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six lines of three documents and two scripts."""
    folder = tmp_path_factory.mktemp("adapted")
    write_lines(folder / "lines", render_lines(6, seed=0, split="train", height=32))
    rows = [f"{n:04d}.png,=d{n // 2},{'north' if n < 4 else 'south'}" for n in range(6)]
    table = "\n".join(["file_name,document,script", *rows]) + "\n"
    (folder / "lines" / "metadata.csv").write_text(table, encoding="utf-8")
    (folder / "lines" / "0005.gt.txt").unlink()
    typewriter.fit(folder / "lines", folder / "run", config=typewriter.configure(SHORT))
    shutil.rmtree(folder / "lines")  # a run stands by itself
    return folder / "run"


@pytest.fixture
def run(reference: Path, tmp_path: Path) -> Path:
    shutil.copytree(reference, tmp_path / "run")
    return tmp_path / "run"


def test_every_group_has_prototypes_that_rest_on_instances(run: Path) -> None:
    made = typewriter.adapt(run, ["document", "script"])
    instances = made.instances
    assert set(instances.table["line_id"].to_pylist()) == {f"{n:04d}" for n in range(5)}
    assert " " not in instances.table["character"].to_pylist()
    for by, groups in (("document", ("=d0", "=d1", "=d2")), ("script", ("north", "south"))):
        found = made.prototypes(by)
        assert found.groups == groups
        assert found.count.sum() == len(instances.letter)
        for place in np.argwhere(found.medoid >= 0):
            row = int(found.medoid[tuple(place)])
            assert instances.letter[row] == place[1]
            assert instances.table[by][row].as_py() == groups[place[0]]
        assert np.isfinite(found.ink).all()
        with Image.open(made.sheet(by)) as sheet:
            assert sheet.height > 32 * (len(groups) + 1)
    found = made.prototypes("document")
    assert found.parents == ("north", "north", "south")
    absent = np.array(found.flag) == ABSENT
    coarse = made.prototypes("script").ink[[0, 0, 1]]
    assert np.array_equal(found.ink[absent], coarse[absent])
    assert "'=d0" in (run / "prototypes" / "document" / "prototypes.csv").read_text()


def test_the_same_command_does_nothing_again(run: Path) -> None:
    quick, fewer = (AdaptationConfig(method="instances", fewest=n) for n in (5, 9))
    typewriter.adapt(run, "document", config=quick)
    names = ("instances/ink.npy", "prototypes/document/prototypes.safetensors")

    def times() -> list[int]:
        return [(run / name).stat().st_mtime_ns for name in names]

    before = times()
    typewriter.adapt(run, "document", config=quick)
    assert times() == before
    typewriter.adapt(run, "document", config=fewer)
    after = times()
    assert after[0] == before[0]
    assert after[1] > before[1]
    typewriter.adapt(run, "document", config=fewer, overwrite=True)
    assert times()[0] > after[0]
    assert times()[1] > after[1]


def test_groups_that_were_fitted_are_not_fitted_again(run: Path) -> None:
    command = ["typewriter", "adapt", str(run), "--by", "document", *FEW_STEPS]
    main(command)
    fitted = sorted((run / "adapted" / "published").rglob("*.safetensors"))
    assert len(fitted) == 3
    made = AdaptedRun(run).prototypes("document")
    assert made.method == "published"
    before = [path.stat().st_mtime_ns for path in fitted]
    fitted[1].unlink()  # as if killed before
    shutil.rmtree(run / "prototypes")
    main(command)
    after = [path.stat().st_mtime_ns for path in fitted]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]
    assert np.array_equal(AdaptedRun(run).prototypes("document").ink, made.ink)


def test_means_of_instances_are_quick_and_lean_on_their_parents_too(run: Path) -> None:
    made = typewriter.adapt(run, ["document", "script"], method="instances")
    found = made.prototypes("document")
    assert found.method == "instances"
    assert not (run / "adapted").exists()
    absent = np.array(found.flag) == ABSENT
    assert np.array_equal(found.ink[absent], made.prototypes("script").ink[[0, 0, 1]][absent])


def test_further_columns_come_from_a_table(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "periods.csv"
    table.write_text("document,period\n=d0,early\n=d1,late\n=d2,\n", encoding="utf-8")
    main(["typewriter", "adapt", str(run), "--by", "period", "--metadata", str(table),
          "--method", "instances"])  # fmt: skip
    assert capsys.readouterr().out.startswith("period\t2 groups")
    found = AdaptedRun(run).prototypes("period")
    assert found.groups == ("early", "late")
    assert found.count.sum() < len(AdaptedRun(run).instances.letter)  # =d2 is in neither


def test_commands_that_cannot_be_say_why(run: Path, tmp_path: Path) -> None:
    for command, code in (
        ([str(tmp_path), "--by", "document"], 2),
        ([str(run), "--by", "hand"], 2),
        ([str(run), "--by", "document", "--by", "document"], 2),
        ([str(run), "--by", "document", "--method", "magic"], 2),
        ([str(run), "--by", "x", "--metadata", str(tmp_path / "none.csv")], 3),
    ):
        with pytest.raises(SystemExit) as left:
            main(["typewriter", "adapt", *command])
        assert left.value.code == code, command
    with pytest.raises(ConfigError, match="typika typewriter adapt"):
        AdaptedRun(run).prototypes("hand")
