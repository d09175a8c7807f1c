"""Instances of lines that a known typewriter draws: each comes back as its sprite."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from typika.errors import DataError
from typika.palaeography.instances import gather, letters_of, sprites_of
from typika.palaeography.records import Letter
from typika.typewriter import drawing
from typika.typewriter.alphabet import Alphabet
from typika.typewriter.batches import Line
from typika.typewriter.decoding import redraw
from typika.typewriter.instances import own_ink
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.redraws import Characters
from typika.typewriter.store import Trained

HEIGHT = 32


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Types a (a block), b (a bar) and the space; where, it has not learned."""
    model = Typewriter(ModelConfig(height=HEIGHT, stride=8, sprites=2), 3, space=0,
                       generator=torch.Generator().manual_seed(0))  # fmt: skip
    with torch.no_grad():
        model.sprites.zero_()
        model.sprites[1, :, 8:24, 8:16] = 1
        model.sprites[2, :, 12:18, 3:21] = 1
    model.eval()
    return Trained(model, Alphabet((" ", "a", "b")), "NFC")


def lines() -> list[Line]:
    rng = np.random.default_rng(0)
    return [
        Line(f"l{n}", rng.integers(0, 256, (HEIGHT, 100, 3)).astype(np.uint8), None, text,
             (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        for n, text in enumerate([(1, 0, 2), (2, 1, 1), ()])
    ]  # fmt: skip


def tables(trained: Trained) -> tuple[pa.Table, pa.Table]:
    rows = [
        {"line_id": drawn.alignment.line_id, "place": n, "character": character,
         "sprite": int(drawn.alignment.sprites[n]), "confidence": 0.5, "left": 0.0, "top": 0.0,
         "right": 1.0, "bottom": 1.0, "page_corners": [0.0] * 8}
        for drawn in redraw(trained.model, lines(), trained.alphabet)
        for n, character in enumerate(drawn.alignment.text)
    ]  # fmt: skip
    names = ["l2", "l1", "l0"]
    columns = pa.table({"line_id": names, "file_name": [f"{name}.png" for name in names],
                        "text": names, "width": [100] * 3, "hand": ["", "x", "y"]})  # fmt: skip
    return pa.Table.from_pylist(rows), columns


def test_every_character_but_the_spaces_has_an_instance(trained: Trained, tmp_path: Path) -> None:
    characters, columns = tables(trained)
    done: list[int] = []
    found = gather(trained, lines(), characters, columns, tmp_path / "i", done.append)
    assert found.letters == (Letter("a"), Letter("a", 1), Letter("b"), Letter("b", 1))
    read = list(zip(found.table["line_id"].to_pylist(), found.table["character"].to_pylist(),
                    strict=True))[:5]  # fmt: skip
    assert read == [("l0", "a"), ("l0", "b"), ("l1", "b"), ("l1", "a"), ("l1", "a")]
    assert found.table["place"].to_pylist()[:2] == [0, 2]
    assert found.table["hand"].to_pylist()[:3] == ["y", "y", "x"]
    names = [found.letters[n].character for n in found.letter]
    assert names == found.table["character"].to_pylist()
    assert found.ink.shape == (len(found.letter), 32, 24)
    assert len(done) == 3
    assert "text" not in found.table.column_names


def test_a_table_of_other_lines_is_refused(trained: Trained, tmp_path: Path) -> None:
    characters, columns = tables(trained)
    with pytest.raises(DataError, match=r"line 'l0'.*again"):
        gather(trained, lines(), characters[1:], columns, tmp_path / "i")
    assert not (tmp_path / "i").exists()


def test_sprites_are_in_the_order_of_letters(trained: Trained) -> None:
    found = sprites_of(trained)
    assert len(found) == len(letters_of(trained)) == 4
    assert np.array_equal(found[2], trained.model.letters[2, 0].numpy())


def test_sprites_that_are_not_in_use_are_no_letters(trained: Trained) -> None:
    model = copy.deepcopy(trained.model)
    model.use([1] * (model.n_symbols - 1) + [2])
    found = letters_of(replace(trained, model=model))
    assert found == (Letter("a"), Letter("b"), Letter("b", 1))
    assert len(sprites_of(replace(trained, model=model))) == 3


@pytest.mark.parametrize("scale", [0.0, 0.15])
def test_what_neighbours_draw_is_taken_off(trained: Trained, scale: float) -> None:
    model, n = trained.model, 3
    characters = Characters(
        line=torch.zeros(n, dtype=torch.long), cell=torch.zeros(n, dtype=torch.long),
        symbol=torch.tensor([1, 2, 1]), middle=torch.tensor([[5.0, 0], [22.0, 1], [40.0, -1]]),
        log_scale=torch.full((n, 2), scale), strength=torch.ones(n),
        share=torch.tensor([[1.0, 0]] * n),
    )  # fmt: skip
    line, mask = drawn(model, characters), torch.ones(HEIGHT, 60)
    own, known = own_ink(model, characters, line, mask)
    for number in range(n):  # as if it stood alone
        alone = Characters(*(getattr(characters, one.name)[number : number + 1]
                             for one in fields(characters)))  # fmt: skip
        expected, _ = own_ink(model, alone, drawn(model, alone), mask)
        away = (own[number] - expected[0]).abs()
        assert away.mean() < 0.005
        assert expected[0].sum() > 20
    assert 0.6 < known.mean() < 0.95  # the first one hangs out of the line on the left
    # What is not the model's stays: a stain that nobody draws.
    stained = line.clone()
    stained[2:5, 20:24] = 1
    more, _ = own_ink(model, characters, stained, mask)
    assert more[1].sum() > own[1].sum() + 8
    torch.testing.assert_close(more[0, :, :12], own[0, :, :12])


def drawn(model: Typewriter, characters: Characters) -> torch.Tensor:
    windows = drawing.draw(model.drawn(characters), characters.middle, characters.log_scale,
                           characters.line, height=HEIGHT, reach=1.3)  # fmt: skip
    return drawing.united(windows, 1, 60)[0].detach()


def test_a_line_without_characters_has_no_instances(trained: Trained) -> None:
    none = torch.zeros(0, dtype=torch.long)
    nothing = Characters(none, none, none, torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0),
                         torch.zeros(0, 2))  # fmt: skip
    own, known = own_ink(trained.model, nothing, torch.ones(32, 40), torch.ones(32, 40))
    assert own.shape == known.shape == (0, 32, 24)
