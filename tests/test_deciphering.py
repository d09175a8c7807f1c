"""A run of a typewriter, its lines in cipher, from Python and from the shell."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "ciphers"))

from planted_ciphers import HIDDEN, LEARNED, hidden, language, simple

from typika.ciphers.language import letters_of
from typika.cli import main
from typika.collection.lines import LineCollection
from typika.collection.rendered_lines import Typeface, render_texts, write_lines
from typika.deciphering import CIPHER, Deciphered, configure, decipher
from typika.errors import ConfigError, DataError
from typika.run import Run, Stage
from typika.tables import write_parquet
from typika.text_evaluation import error_rate
from typika.typewriter import stages
from typika.typewriter.discovery import NAMES, Signs, save_signs
from typika.typewriter.image_decoding import DecodingConfig
from typika.typewriter.prepared import prepare
from typika.typewriter.sheet import sheet_of

HEIGHT, WIDTH = 32, 24
GLYPHS = "abcdefghijklmnopqrstuvwxyz"
QUICK = {"solving": {"order": 3, "n_restarts": 3, "n_sweeps": 6}}


def plain_and_cipher(n: int) -> tuple[list[str], list[str]]:
    """Lines of a text, without and with a key."""
    model = language(1)
    plain = hidden()[: n * WIDTH]
    symbols, _ = simple(model.encode(plain), len(model.alphabet), seed=3)
    cipher = "".join(GLYPHS[one] for one in symbols)
    cuts = range(0, len(plain), WIDTH)
    return [plain[cut : cut + WIDTH] for cut in cuts], [cipher[cut : cut + WIDTH] for cut in cuts]


def true_signs() -> Signs:
    """Signs whose sprites are the types that lines are printed with."""
    face = Typeface("times", HEIGHT)
    drawings = []
    for one in GLYPHS:
        glyph = face.glyph(one)
        drawing = np.zeros((HEIGHT, glyph.ink.shape[1] + 2))
        top = round(face.baseline + glyph.top)
        drawing[top : top + glyph.ink.shape[0], 1:-1] = glyph.ink
        drawings.append(drawing)
    profile = np.mean([one.sum(axis=1) for one in drawings], axis=0)
    return Signs(sheet_of(drawings), profile / profile.sum(), DecodingConfig(cost=1.0))


def run_of(folder: Path, cipher: list[str], *, transcribed: bool) -> Path:
    """What a finished run holds that deciphering reads."""
    lines = folder / "lines"
    write_lines(lines, render_texts(cipher, seed=0, height=HEIGHT, texture=False, jitter=False))
    collection = LineCollection.open(lines)
    with Run.create(folder / "run", configure(), facts={}) as run:

        def take_in() -> None:
            prepare(collection, HEIGHT, run.path(stages.PREPARED), lambda _: None)

        def align() -> None:
            rows = [
                {"line_id": line.line_id, "text": line.text, "read": "?"} for line in collection
            ]
            write_parquet(pa.Table.from_pylist(rows), run.path(stages.READINGS))
            empty = stages.CHARACTER_SCHEMA.empty_table()
            write_parquet(empty, run.path(stages.CHARACTERS))
            if not transcribed:
                save_signs(true_signs(), run.path(stages.SIGNS))

        run.stage(Stage(name="prepare", causes={}, outputs=(stages.PREPARED,)), take_in)
        run.stage(Stage(name="align", causes={}, outputs=(stages.READINGS,)), align)
    return folder / "run"


@pytest.fixture(scope="module")
def transcribed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("given"), plain_and_cipher(40)[1], transcribed=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Deciphered:
    """Lines whose signs were found, deciphered."""
    run = run_of(tmp_path_factory.mktemp("found"), plain_and_cipher(8)[1], transcribed=False)
    return decipher(run, language(3), config=configure(QUICK))


def test_the_command_deciphers_transcribed_lines(
    transcribed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "english.txt"
    text.write_text(LEARNED, encoding="utf-8")
    settings = [f"--set=solving.{name}={value}" for name, value in QUICK["solving"].items()]
    main(["typewriter", "decipher", str(transcribed), "--language", str(text), *settings])
    plain, cipher = plain_and_cipher(40)
    told = capsys.readouterr().out.splitlines()
    same = np.mean([a == b for a, b in zip("".join(told), "".join(plain), strict=True)])
    assert same > 0.97
    result = Deciphered(transcribed / CIPHER)
    assert result.plaintext == told
    assert result.transcription == cipher
    assert [result.key[one] for one in cipher[0]] == list(told[0])


def test_signs_become_symbols_with_pictures_and_places(found: Deciphered) -> None:
    _, cipher = plain_and_cipher(8)
    number = {name: GLYPHS[place] for place, name in enumerate(NAMES[: len(GLYPHS)])}
    read = ["".join(number[one] for one in line) for line in found.transcription]
    assert error_rate(cipher, read).micro < 0.06
    rows = found.symbols.to_pylist()
    assert sum(row["count"] for row in rows) == len("".join(read))
    with Image.open(found.folder / rows[0]["image"]) as image:
        assert np.asarray(image).min() < 100
    tokens = found.letters.to_pylist()
    assert all(row["left"] < row["right"] and row["top"] < row["bottom"] for row in tokens)
    statistics = json.loads((found.folder / "statistics.json").read_text())
    assert statistics["n"] == len(tokens)


def test_tables_open_and_confidences_are_chances(found: Deciphered) -> None:
    key = pa.csv.read_csv(found.folder / "key.csv").to_pylist()
    assert all(0 <= row["confidence"] <= 1 and 0 <= row["agreement"] <= 1 for row in key)
    for name in ("symbols.csv", "pairs.csv", "keys.csv", "letters.csv"):
        assert pa.csv.read_csv(found.folder / name).num_rows
    assert all(0 <= row["confidence"] <= 1 for row in found.letters.to_pylist())


def test_what_is_done_is_not_done_again(found: Deciphered) -> None:
    before = (found.folder / "key.json").stat().st_mtime_ns
    again = decipher(found.folder.parent, language(3), config=configure(QUICK))
    assert (again.folder / "key.json").stat().st_mtime_ns == before
    assert again.plaintext == found.plaintext


def test_spaces_between_words_are_found_and_kept(tmp_path: Path) -> None:
    lines = textwrap.wrap(letters_of(HIDDEN, spaces=True), 20)[:8]
    run = run_of(tmp_path, lines, transcribed=False)
    result = decipher(run, language(3, spaces=True), config=configure(QUICK, {"spaces": True}))
    assert [len(line.split()) for line in result.plaintext] == [
        len(line.split()) for line in lines
    ]


def test_what_is_missing_is_said(tmp_path: Path, transcribed: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.json"):
        decipher(tmp_path, language(2))
    with pytest.raises(DataError, match="--language"):
        decipher(transcribed, tmp_path / "none.txt", tmp_path / "out")
    with pytest.raises(ConfigError, match="another configuration"):
        decipher(transcribed, language(2), config=configure({"seed": 5}))
