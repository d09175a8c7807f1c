from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from typika.collection import _words
from typika.collection.rendered_lines import (
    ALPHABET,
    BOXES_NAME,
    FONT_FILES,
    Typeface,
    render_lines,
    write_lines,
)
from typika.errors import ConfigError
from typika.tables import read_parquet


def test_held_out_words_are_not_among_those_of_training() -> None:
    train = {word.lower() for word in (*_words.TRAIN, *_words.STARTS["train"])}
    held_out = {word.lower() for word in (*_words.HELD_OUT, *_words.STARTS["held out"])}
    assert not train & held_out


@pytest.mark.parametrize("split", ["train", "held out"])
def test_either_split_uses_the_whole_alphabet(split: str) -> None:
    words = _words.TRAIN if split == "train" else _words.HELD_OUT
    assert len(set(words)) == len(words)
    assert set("".join(words) + "".join(_words.STARTS[split]) + ".,") == set(ALPHABET)


def test_a_line_depends_on_seed_split_and_number_alone() -> None:
    few, more = render_lines(2, seed=3, split="train"), render_lines(4, seed=3, split="train")
    for one, other in zip(few, more, strict=False):
        assert one.text == other.text
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert len({line.text for line in more}) == 4
    assert render_lines(1, seed=4, split="train")[0].text != few[0].text
    assert render_lines(1, seed=3, split="held out")[0].text != few[0].text


@pytest.mark.parametrize("typeface", FONT_FILES)
def test_boxes_hold_all_the_ink_and_are_tight(typeface: str) -> None:
    for line in render_lines(4, seed=0, split="train", typeface=typeface, texture=False):
        height, width = line.pixels.shape[:2]
        assert height == 64
        assert len(line.boxes) == len(line.text.replace(" ", ""))
        ink = line.pixels[:, :, 0] < 128
        covered = np.zeros_like(ink)
        for left, top, right, bottom in line.boxes:
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            box = np.s_[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
            covered[box] = True
            grey = line.pixels[box][:, :, 0] < 230
            for edge in (grey[:2], grey[-2:], grey[:, :2], grey[:, -2:]):
                assert edge.any()
        assert not (ink & ~covered).any()


def test_a_clean_line_is_made_of_the_true_glyphs() -> None:
    """Composing `Typeface.glyph` at the boxes gives the line again."""
    face = Typeface("times")
    line = render_lines(1, seed=1, split="train", texture=False, jitter=False)[0]
    ink = 1 - line.pixels[:, :, 0] / 255
    inked = line.text.replace(" ", "")
    for character, box in zip(inked, line.boxes, strict=True):
        glyph = face.glyph(character)
        left, top = round(box[0]), round(face.baseline + glyph.top)
        here = [
            ink[top + dy : top + dy + len(glyph.ink), left + dx : left + dx + glyph.ink.shape[1]]
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
        error = min(np.abs(one - glyph.ink).mean() for one in here if one.shape == glyph.ink.shape)
        assert error < 0.2, character  # glyphs lie on quarters of a pixel


@pytest.mark.parametrize("character", ALPHABET)
def test_glyphs_are_cut_to_their_ink(character: str) -> None:
    glyph = Typeface("dejavu").glyph(character)
    assert glyph.ink.max() > 0.8
    assert glyph.ink.min() >= 0
    for edge in (glyph.ink[0], glyph.ink[-1], glyph.ink[:, 0], glyph.ink[:, -1]):
        assert edge.any()
    assert 0 < glyph.advance < 64
    assert -40 < glyph.top < 0


def test_texture_and_jitter_make_impressions_differ() -> None:
    clean = Typeface("times")
    assert clean.glyph("e").ink.tolist() == Typeface("times").glyph("e").ink.tolist()
    lines = render_lines(6, seed=0, split="train")
    papers = [np.quantile(line.pixels, 0.9, axis=(0, 1)) for line in lines]
    assert np.std(papers, axis=0).max() > 2


def test_lines_are_written_as_pairs_with_a_table_of_boxes(tmp_path: Path) -> None:
    lines = render_lines(2, seed=0, split="held out", height=32)
    write_lines(tmp_path, lines)
    assert (tmp_path / "0001.gt.txt").read_text(encoding="utf-8") == lines[1].text + "\n"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "0000.png")), lines[0].pixels)
    table = read_parquet(tmp_path / BOXES_NAME).to_pylist()
    assert len(table) == sum(len(line.boxes) for line in lines)
    first = table[0]
    assert first["file_name"] == "0000.png"
    assert lines[0].text[first["position"]] == first["character"]
    assert [first[side] for side in ("left", "top", "right", "bottom")] == list(lines[0].boxes[0])


def test_arguments_that_make_no_sense_are_named() -> None:
    with pytest.raises(ConfigError, match=r"typeface='comic'.*times"):
        render_lines(1, seed=0, split="train", typeface="comic")
    with pytest.raises(ConfigError, match="split='test'"):
        render_lines(1, seed=0, split="test")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="n=-1"):
        render_lines(-1, seed=0, split="train")
    with pytest.raises(ConfigError, match="height=8"):
        render_lines(1, seed=0, split="train", height=8)
    with pytest.raises(ConfigError, match="no ink"):
        Typeface().glyph(" ")
