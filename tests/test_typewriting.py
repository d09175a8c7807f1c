"""The typewriter's commands from Python and from the shell: fit, transcribe, evaluate."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from typika import typewriter
from typika.cli import main
from typika.collection.rendered_lines import Typeface, render_lines, write_lines
from typika.errors import ConfigError, DataError
from typika.evaluation import intersection_over_union
from typika.files import file_digest
from typika.typewriter.discovery import (
    assign_signs,
    discover,
    load_signs,
    save_signs,
    shift_to,
)
from typika.typewriter.exemplars import read_exemplars, similarity, structural_similarity
from typika.typewriter.image_decoding import DecodingConfig
from typika.typewriter.prepared import Prepared, choose_stride, prepare
from typika.typewriter.sprite_search import SearchConfig
from typika.typewriter.stages import CHARACTER_SCHEMA
from typika.typewriting import TypewriterRun

SHORT = {"model": {"height": 32}, "training": {"steps": 4, "batch": 2, "checks": 2}}
RESULTS = ("readings.parquet", "characters.csv", "model/typewriter.safetensors", "metrics.jsonl")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight lines of print, one of them without a transcription."""
    folder = tmp_path_factory.mktemp("lines") / "print"
    write_lines(folder, render_lines(8, seed=0, split="train", height=32))
    (folder / "0007.gt.txt").unlink()
    return folder


@pytest.fixture(scope="module")
def fitted(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> TypewriterRun:
    out = tmp_path_factory.mktemp("runs") / "print"
    return typewriter.fit(lines, out, config=typewriter.configure(SHORT))


def test_every_line_is_read_and_every_transcribed_one_aligned(fitted: TypewriterRun) -> None:
    rows = {row["line_id"]: row for row in fitted.readings.to_pylist()}
    assert len(rows) == 8
    assert not rows["0007"]["aligned"]
    assert rows["0007"]["character_error"] is None
    assert all(rows[f"{n:04d}"]["aligned"] for n in range(7))
    assert fitted.characters.schema.names == CHARACTER_SCHEMA.names
    spelt: dict[str, str] = {}
    for row in fitted.characters.to_pylist():
        assert 0 <= row["left"] <= row["right"]
        assert 0 <= row["confidence"] <= 1
        spelt[row["line_id"]] = spelt.get(row["line_id"], "") + row["character"]
    assert all(spelt[name] == row["text"] for name, row in rows.items() if row["aligned"])
    assert fitted.report.exists()


def test_boxes_on_the_image_are_those_on_the_line(fitted: TypewriterRun, lines: Path) -> None:
    height = fitted.trained.model.config.height
    for row in fitted.characters.to_pylist()[:40]:
        with Image.open(lines / f"{row['line_id']}.png") as image:
            scale = image.height / height
        corners = np.array(row["page_corners"]).reshape(4, 2)
        np.testing.assert_allclose(corners[0], [row["left"] * scale, row["top"] * scale], atol=0.7)


def test_the_same_command_does_nothing_again(fitted: TypewriterRun, lines: Path) -> None:
    before = {name: (fitted.folder / name).stat().st_mtime_ns for name in RESULTS}
    typewriter.fit(lines, fitted.folder, config=typewriter.configure(SHORT))
    assert before == {name: (fitted.folder / name).stat().st_mtime_ns for name in RESULTS}
    other = typewriter.configure({**SHORT, "training": {"steps": 5}})
    with pytest.raises(ConfigError, match=r"training\.steps"):
        typewriter.fit(lines, fitted.folder, config=other)


@pytest.mark.slow
def test_a_fit_that_was_killed_ends_with_the_same_files(
    fitted: TypewriterRun, lines: Path, tmp_path: Path
) -> None:
    settings = ["--set", "model.height=32", "--set", "training.steps=4", "--set",
                "training.batch=2", "--set", "training.checks=2"]  # fmt: skip
    command = [sys.executable, "-m", "typika", "typewriter", "fit", str(lines), "--out",
               str(tmp_path / "run"), *settings]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.safetensors"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    main(command[3:])
    for name in RESULTS:
        assert file_digest(tmp_path / "run" / name) == file_digest(fitted.folder / name), name


def test_further_lines_are_read_and_compared(
    fitted: TypewriterRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = tmp_path / "more"
    write_lines(more, render_lines(3, seed=5, split="held out", height=32))
    main(["typewriter", "transcribe", str(fitted.folder), str(more)])
    printed = [row.split("\t")[0] for row in capsys.readouterr().out.splitlines()]
    assert printed == ["0000", "0001", "0002"]
    found = typewriter.evaluate(fitted.folder, more)
    assert found.folder == fitted.folder / "read" / "more"
    written = json.loads((found.folder / "evaluation.json").read_text(encoding="utf-8"))
    assert written["without_spaces"]["micro"] == found.error.micro
    assert (found.folder / "confusions.csv").exists()
    assert found.lines == 3
    for path in more.glob("*.gt.txt"):
        path.unlink()
    with pytest.raises(DataError, match="nothing to compare"):
        typewriter.evaluate(fitted.folder, more, tmp_path / "other")


def test_lines_with_unknown_characters_are_read_all_the_same(
    fitted: TypewriterRun, tmp_path: Path
) -> None:
    more = tmp_path / "greek"
    write_lines(more, render_lines(2, seed=5, split="held out", height=32))
    (more / "0000.gt.txt").write_text("αβγ <script>", encoding="utf-8")
    read = typewriter.transcribe(fitted.folder, more, tmp_path / "out")
    rows = {row["line_id"]: row for row in read.readings.to_pylist()}
    assert not rows["0000"]["aligned"]
    assert rows["0000"]["text"] == "αβγ <script>"


def test_sprites_are_held_against_letters(
    fitted: TypewriterRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for character, name in (("a", "a.png"), ("b", "U+0062.png")):
        ink = Typeface().glyph(character).ink
        pixels = (255 * (1 - np.pad(ink, 6))).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    main(["typewriter", "evaluate", str(fitted.folder), "--exemplars", str(tmp_path)])
    out = capsys.readouterr().out
    assert {line.split("\t")[0] for line in out.splitlines()[:2]} == {"a", "b"}
    letters = read_exemplars(tmp_path)
    assert set(letters) == {"a", "b"}
    assert similarity(letters["a"], letters["a"]) == pytest.approx(1.0)
    assert similarity(letters["a"], letters["b"]) < 0.8
    shifted = np.pad(letters["a"], ((3, 0), (0, 5)))
    assert similarity(shifted, letters["a"]) == pytest.approx(1.0)
    assert structural_similarity(np.zeros((32, 32)), np.zeros((32, 32))) == pytest.approx(1.0)


def test_commands_that_cannot_be_say_why(fitted: TypewriterRun, tmp_path: Path) -> None:
    for command, code in (
        (["evaluate", str(fitted.folder)], 2),
        (["transcribe", str(tmp_path), str(tmp_path)], 1),
        (["evaluate", str(fitted.folder), "--exemplars", str(tmp_path / "none")], 3),
        (["fit", str(tmp_path / "none")], 3),
        (["fit", str(tmp_path), "--set", "model.height=61"], 2),
        (["report", str(tmp_path)], 2),
    ):
        with pytest.raises(SystemExit) as left:
            main(["typewriter", *command])
        assert left.value.code == code, command


def test_a_dry_run_tells_what_is_there_and_makes_nothing(
    lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["typewriter", "fit", str(lines), "--out", str(tmp_path / "run"), "--dry-run"])
    out = capsys.readouterr().out
    assert "8, 7 of them transcribed" in out
    assert "[learning]" in out
    assert not (tmp_path / "run").exists()


def test_signs_of_untranscribed_lines_are_found_and_learned(tmp_path: Path) -> None:
    drawn = render_lines(10, seed=1, split="train", height=32, texture=False)
    write_lines(tmp_path / "lines", drawn)
    texts = {}
    for path in sorted((tmp_path / "lines").glob("*.gt.txt")):
        texts[path.name.removesuffix(".gt.txt")] = path.read_text(encoding="utf-8").strip()
        path.unlink()
    values = {**SHORT, "search": {"n_first": 40, "n_sprites": 35}}
    run = typewriter.fit(tmp_path / "lines", tmp_path / "run", config=typewriter.configure(values))
    assert run.trained.signs
    read = {row["line_id"]: row["read"] for row in run.readings.to_pylist()}
    length = np.mean([len(text.replace(" ", "")) for text in texts.values()])
    assert length / 3 < np.mean([len(found) for found in read.values()]) < 2 * length
    assert all(text is None for text in run.readings["text"].to_pylist())
    assert run.report.exists()
    more = tmp_path / "more"
    write_lines(more, render_lines(12, seed=2, split="train", height=32, texture=False))
    found = typewriter.evaluate(run.folder, more)
    assert found.lines == 2  # ten told what signs read as
    again = typewriter.transcribe(run.folder, tmp_path / "lines")
    assert again.readings["read"].to_pylist() == run.readings["read"].to_pylist()


def test_what_signs_read_as_is_learned_from_a_tenth_of_the_lines() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcd"), 12)) for _ in range(60)]
    readings = [text.translate(str.maketrans("abcd", "DCBA")) for text in texts]
    taught, assignment = assign_signs("ABCD", readings, texts)
    assert len(taught) == 10
    assert assignment.transcribe([0, 1, 2, 3]) == "dcba"


def test_discovery_is_the_same_whatever_came_before(tmp_path: Path, lines: Path) -> None:
    from typika.collection.lines import LineCollection

    prepare(LineCollection.open(lines), 32, tmp_path / "lines", lambda _: None)
    prepared = Prepared.open(tmp_path / "lines").lines({}, None)
    search, decoding = SearchConfig(n_first=20, n_sprites=18), DecodingConfig()
    once, twice = (discover(prepared, search, decoding, seed=0) for _ in range(2))
    assert once.read(prepared) == twice.read(prepared)
    save_signs(once, tmp_path / "signs.safetensors")
    kept = load_signs(tmp_path / "signs.safetensors")
    assert kept.read(prepared[:3]) == {line.line_id: once.read([line])[line.line_id]
                                       for line in prepared[:3]}  # fmt: skip


def test_a_line_that_hangs_low_is_made_level() -> None:
    ink = np.zeros((48, 30))
    ink[20:30] = 1
    profile = ink.sum(1) / ink.sum()
    assert shift_to(profile, np.roll(ink, 3, axis=0)) == 3
    assert shift_to(profile, ink) == 0
    assert shift_to(profile, np.zeros((48, 30))) == 0


def test_the_stride_leaves_room_for_every_symbol() -> None:
    from typika.typewriter.alphabet import Alphabet

    alphabet = Alphabet.of(["ab"], spaces=False)
    assert choose_stride([160], ["ab" * 10], alphabet) == 8
    assert choose_stride([159, 80], ["ab" * 10, "ab" * 10], alphabet) == 4
    assert choose_stride([160, 160], ["ab" * 10, "ab" * 300], alphabet) == 8  # that is no line's


def test_overlap_of_boxes() -> None:
    one = np.array([[0.0, 0, 2, 2], [0, 0, 1, 1]])
    other = np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])
    np.testing.assert_allclose(intersection_over_union(one, other).diagonal(), [1 / 3, 0])


@pytest.mark.real
def test_pages_are_read_as_lines_are(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / "pages" / "page", tmp_path / "pages")
    values = {**SHORT, "training": {"steps": 1, "batch": 2}}
    run = typewriter.fit(tmp_path / "pages", tmp_path / "run", config=typewriter.configure(values))
    assert len(run.readings) > 40
    assert run.report.exists()
