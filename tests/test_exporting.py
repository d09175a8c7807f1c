"""A run exported in every format, from Python and from the shell."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont

from typika import exporting, typewriting
from typika.cli import main
from typika.collection.lines import LineCollection
from typika.collection.rendered_lines import render_texts, write_lines
from typika.errors import ConfigError, DataError
from typika.exporting import FORMATS, export
from typika.palaeography.records import ABSENT, Letter, Prototypes
from typika.typewriter.store import save_typewriter

SHORT = {"model": {"height": 32}, "training": {"steps": 2, "batch": 2, "checks": 1}}
TEXTS = ("an anna nana", "banana naan", "an bannan")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two documents of three lines of print, of few letters: each is drawn many times."""
    folder = tmp_path_factory.mktemp("lines") / "print"
    for number, name in enumerate(("one", "two & <b>")):
        write_lines(folder / name, render_texts(TEXTS, seed=number, height=32))
    return folder


@pytest.fixture(scope="module")
def run(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "print"
    typewriting.fit(lines, out, config=typewriting.configure(SHORT))
    # So few steps leave sprites without ink; these have some.
    trained = exporting.Aligned.open(out).trained
    symbols = [symbol for symbol in trained.alphabet.symbols if symbol != " "]
    trained.model.sprites.data[:, :, 8:24, 6:14] = 1
    save_typewriter(trained, out / "model")
    ink = np.zeros((len(symbols), *trained.model.letters.shape[2:]))
    ink[:, 8:24, 6:14] = 1
    groups, n = ("one", "two & <b>"), len(symbols)
    shape = (2, n)
    pixels = np.broadcast_to(ink, (2, *ink.shape)).astype(np.float32)
    flags = tuple((ABSENT, *[""] * (n - 1)) for _ in groups)
    Prototypes(
        by="document", method="hierarchical", groups=groups, parents=("", ""),
        letters=tuple(map(Letter, symbols)),
        reference=ink.astype(np.float32), ink=pixels, mean=pixels, median=pixels, variance=pixels,
        count=np.ones(shape, np.int64), medoid=np.zeros(shape, np.int64),
        quality=np.zeros(shape, np.float32), flag=flags,
    ).save(out / "prototypes" / "document")  # fmt: skip
    return out


@pytest.mark.parametrize("format", ["alto", "page"])
def test_pages_read_back_without_the_lines_folder(
    run: Path, lines: Path, tmp_path: Path, format: str
) -> None:
    gone = json.loads((run / "run.json").read_text(encoding="utf-8"))["source"]
    assert gone == str(lines.resolve())
    written = export(run, format, tmp_path)
    assert len(written.files) == 6
    shutil.copytree(lines, tmp_path, dirs_exist_ok=True)
    for text in tmp_path.rglob("*.gt.txt"):
        text.unlink()
    before, after = LineCollection.open(lines), LineCollection.open(tmp_path)
    assert [line.text for line in after] == [line.text for line in before]
    assert [line.file_name for line in after] == [line.file_name for line in before]


def test_json_and_csv_hold_every_character(run: Path) -> None:
    export(run, "json")
    export(run, "csv")
    found = json.loads((run / "exports" / "json" / "lines.json").read_text(encoding="utf-8"))
    with (run / "exports" / "csv" / "characters.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    spelt = [row["character"] for line in found["lines"] for row in line["characters"]]
    assert len(found["lines"]) == 6
    assert len(spelt) == len(rows) > 50
    first, row = found["lines"][0]["characters"][0], rows[0]
    assert set(first) == {"character", "bbox", "confidence", "sprite"}
    assert [float(row[name]) for name in ("cx", "cy", "w", "h")] == list(first["bbox"].values())
    assert row["code_point"] == f"U+{ord(first['character']):04X}"
    assert row["document"] == "one"
    with (run / "exports" / "csv" / "suspects.csv").open(encoding="utf-8") as handle:
        assert len(list(csv.DictReader(handle))) == 6


def test_a_group_is_its_lines_alone(run: Path) -> None:
    written = export(run, "alto", by="document", group="two & <b>")
    assert written.folder.parent.name == "document"
    assert {path.parent.name for path in written.files} == {"two & <b>"}
    assert len(written.files) == 3


def test_every_group_has_its_hand(run: Path, tmp_path: Path) -> None:
    drawn = export(run, "svg", tmp_path / "svg", by="document")
    assert len({path.parent for path in drawn.files}) == 2
    assert all(path.is_relative_to(tmp_path) for path in drawn.files)
    fonts = export(run, "ttf", tmp_path / "ttf", by="document", group="two & <b>")
    made = TTFont(io.BytesIO(fonts.files[0].read_bytes()))
    assert made["name"].getBestFamilyName() == "two & <b>"
    absent = Prototypes.load(run / "prototypes" / "document").letters[0]
    assert ord(absent.character) not in made.getBestCmap()


def test_every_format_is_a_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for format in FORMATS:
        main(["typewriter", "export", str(run), format])
        assert str(run / "exports" / format) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "pdf"}, "expected one of alto"),
        ({"format": "json", "group": "x"}, "of which column"),
        ({"format": "json", "by": "hand"}, "no such column"),
        ({"format": "json", "by": "document"}, "pass a group too; there are one, two"),
        ({"format": "json", "by": "document", "group": "x"}, "no line has this document"),
        ({"format": "svg", "by": "split"}, "typewriter adapt"),
        ({"format": "svg", "by": "document", "group": "x"}, "no such document"),
    ],
)
def test_what_cannot_be_is_refused(run: Path, values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        export(run, **values)


def test_an_older_run_asks_for_its_lines(run: Path, lines: Path, tmp_path: Path) -> None:
    old, moved = tmp_path / "old", tmp_path / "moved"
    shutil.copytree(run, old)
    (old / "places.parquet").unlink()
    assert len(export(old, "alto").files) == 6
    manifest = json.loads((old / "run.json").read_text(encoding="utf-8"))
    (old / "run.json").write_text(json.dumps({**manifest, "source": str(moved)}))
    with pytest.raises(DataError, match="has gone"):
        export(old, "alto")
    write_lines(moved, render_texts(["other"], seed=9, height=32))
    with pytest.raises(DataError, match="not the lines that"):
        export(old, "alto")


def test_a_run_that_is_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        export(tmp_path, "json")
