"""`typika typewriter allographs` and `measure`, from Python and the shell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from typika import typewriter
from typika.cli import main
from typika.collection.rendered_lines import render_lines, write_lines
from typika.errors import ConfigError
from typika.letterforms import AllographRun, LetterformsConfig
from typika.palaeography.allographs import AllographConfig
from typika.run import Run
from typika.typewriter.splitting import split_sprites
from typika.typewriter.store import load_typewriter

SHORT = {"model": {"height": 32}, "training": {"steps": 4, "batch": 2, "checks": 2}}
QUICK = LetterformsConfig(allographs=AllographConfig(fewest=4, halves=1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A typewriter that hardly learned, of six lines of three documents."""
    folder = tmp_path_factory.mktemp("forms")
    write_lines(folder / "lines", render_lines(6, seed=0, split="train", height=32))
    rows = [f"{n:04d}.png,=d{n // 2}" for n in range(6)]
    text = "\n".join(["file_name,document", *rows]) + "\n"
    (folder / "lines" / "metadata.csv").write_text(text, encoding="utf-8")
    typewriter.fit(folder / "lines", folder / "run", config=typewriter.configure(SHORT))
    shutil.rmtree(folder / "lines")
    return folder / "run"


def test_forms_are_written_and_can_be_given_to_the_typewriter(run: Path) -> None:
    found = typewriter.allographs(run, ["e", "t"], 2, config=QUICK)
    forms = found.forms.to_pylist()
    assert [(row["character"], row["form"]) for row in forms] == [
        ("e", 0), ("e", 1), ("t", 0), ("t", 1)
    ]  # fmt: skip
    assert sum(row["count"] for row in forms) == found.instances.num_rows
    assert set(found.positions["position"].to_pylist()) == {"initial", "medial", "final", "alone"}
    assert found.groups is not None
    assert set(found.groups["document"].to_pylist()) == {"=d0", "=d1", "=d2"}
    text = (run / "allographs" / "groups.csv").read_text(encoding="utf-8")
    assert "'=d0" in text  # no spreadsheet takes it for a formula
    assert ",=d0" not in text
    with Image.open(found.sheet) as sheet:
        assert sheet.height > 4 * 32
    trained = load_typewriter(run / "model")
    widened = split_sprites(trained, found.prototypes)
    assert sum(widened.model.forms) == trained.alphabet.size + 2
    before = Run.read(run).manifest["stages"]["allographs"]
    again = typewriter.allographs(run, ["t", "e"], 2, config=QUICK)
    assert Run.read(run).manifest["stages"]["allographs"] == before
    assert again.forms.equals(found.forms)


def test_measures_are_written_by_group(run: Path) -> None:
    table = typewriter.measure(run)
    assert set(table["document"].to_pylist()) == {"=d0", "=d1", "=d2"}
    assert {"x-height", "aspect", "space", "gap", "stroke"} <= set(table["measure"].to_pylist())
    assert list((run / "measures").rglob("measures.csv"))


def test_from_the_shell(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--set", "allographs.fewest=4", "--set", "allographs.halves=1"]
    main(["typewriter", "allographs", str(run), "--letters", "e", "--forms", "2", *quick])
    printed = capsys.readouterr().out
    assert "e·2" in printed
    assert printed.strip().endswith(str(AllographRun(run).sheet))
    main(["typewriter", "measure", str(run), "--by", "document"])
    assert "=d1\tx-height\t" in capsys.readouterr().out


def test_what_is_not_there_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run\.json"):
        typewriter.allographs(tmp_path)
    with pytest.raises(ConfigError, match="no such column"):
        typewriter.measure(run, "hand")
    with pytest.raises(ConfigError, match="does not know it"):
        typewriter.allographs(run, ["€"])
    with pytest.raises(ConfigError, match="n_forms=9"):
        typewriter.allographs(run, ["e"], 9)
