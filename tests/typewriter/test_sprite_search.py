from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from drawn_lines import HEIGHT, drawn, shapes, small_sheet

from typika.collection.rendered_lines import render_lines
from typika.errors import ConfigError
from typika.typewriter.components import ink_image
from typika.typewriter.image_decoding import DecodingConfig, boxes, decode, errors
from typika.typewriter.sheet import sheet_of
from typika.typewriter.sprite_search import (
    SearchConfig,
    Usage,
    find_sprites,
    likeness,
    loss,
    redrawn,
    redundant,
)


def test_the_shapes_that_were_drawn_are_found(rng: np.random.Generator) -> None:
    """Block, ring, dot, stem; the pair of stems, joined by a bar, is one shape too."""
    truth = [rng.permutation(5).tolist() for _ in range(30)]
    inks = [drawn(small_sheet(), ids, rng, noise=0.05, furthest=0)[0] for ids in truth]
    config = SearchConfig(n_sprites=5, n_first=10)
    told = []
    found = find_sprites(inks, config, DecodingConfig(), seed=0, tell=told.append)
    assert len(found.sheet) == 5
    assert tuple(told) == found.rounds
    stands_for = defaultdict(Counter)
    for ids, line in zip(truth, found.lines, strict=True):
        assert len(line) == len(ids)
        for one, sprite in zip(ids, line.sprites.tolist(), strict=True):
            stands_for[sprite][one] += 1
    assert all(len(shapes) == 1 for shapes in stands_for.values())


def test_the_same_seed_finds_the_same(rng: np.random.Generator) -> None:
    inks = [drawn(small_sheet(), rng.permutation(5).tolist(), rng)[0] for _ in range(15)]
    config = SearchConfig(n_sprites=6, n_first=8, settling=1)
    one = find_sprites(inks, config, DecodingConfig(), seed=3)
    two = find_sprites(inks, config, DecodingConfig(), seed=3)
    np.testing.assert_array_equal(one.sheet.ink, two.sheet.ink)


def test_a_drawing_is_mended_by_what_is_seen(rng: np.random.Generator) -> None:
    """A ring with its right columns missing grows them back from the lines."""
    broken = shapes()
    broken[1] = broken[1][:, :6]
    sheet = sheet_of(broken)
    inks = [drawn(small_sheet(), [0, 1, 3, 0], rng)[0] for _ in range(10)]
    config = DecodingConfig()
    for turn in range(2):
        lines = decode(inks, sheet, config)
        wrong = [errors(ink, line, sheet, config) for ink, line in zip(inks, lines, strict=True)]
        sheet = sheet_of(redrawn(inks, lines, wrong, sheet, SearchConfig(), seed=turn))
    assert sheet.widths[1] == 8
    np.testing.assert_allclose(sheet.drawing(1), shapes()[1], atol=0.1)


def test_a_minority_of_strangers_does_not_blur_a_drawing(rng: np.random.Generator) -> None:
    sheet = sheet_of([shapes()[1]])  # the ring alone: blocks are read as rings too
    inks = [drawn(small_sheet(), [1, 1, 1, 0], rng)[0] for _ in range(10)]
    config = DecodingConfig()
    lines = decode(inks, sheet, config)
    wrong = [errors(ink, line, sheet, config) for ink, line in zip(inks, lines, strict=True)]
    redone = sheet_of(redrawn(inks, lines, wrong, sheet, SearchConfig(), seed=0))
    assert redone.drawing(0)[11:13, 3:5].max() < 0.05


def usage(count: list[int], error: list[float], more: list[float]) -> Usage:
    return Usage(np.array(count), np.full(len(count), 0.9), np.array(error), np.array(more))


def test_idle_sprites_go_first_then_those_of_least_loss() -> None:
    sheet = sheet_of(shapes())
    own = usage([9, 9, 9, 1, 9], [9.0, 8.0, 0.1, 99.0, 7.0], [0.0] * 5)
    config = SearchConfig(n_sprites=4, n_first=10)
    assert redundant(sheet, own, config, DecodingConfig()) == {3}
    config = SearchConfig(n_sprites=3, n_first=10, dropped=0.9)
    assert redundant(sheet, own, config, DecodingConfig()) == {2, 3}


def test_where_no_number_is_given_distinct_sprites_stay() -> None:
    sheet = sheet_of(shapes())
    config = SearchConfig(dropped=0.9)
    alone = usage([9] * 5, [9.0] * 5, [0.0] * 5)
    assert redundant(sheet, alone, config, DecodingConfig()) == set()
    one = usage([9] * 5, [9.0, 9.0, 0.2, 9.0, 9.0], [0.0] * 5)
    assert redundant(sheet, one, config, DecodingConfig()) == {2}


def test_of_two_that_are_alike_one_stays() -> None:
    block = shapes()[0]
    sheet = sheet_of([block, block, *shapes()[2:]])
    config = SearchConfig(n_sprites=1, n_first=10, dropped=0.5)
    own = usage([9] * 5, [0.0, 0.0, 9.0, 9.0, 9.0], [0.0] * 5)
    assert redundant(sheet, own, config, DecodingConfig()) == {0}


def test_a_sprite_that_saves_others_is_worth_their_cost() -> None:
    config, decoding = SearchConfig(), DecodingConfig(cost=4.0)
    losses = loss(usage([9, 9, 1], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]), config, decoding)
    assert losses[1] - losses[0] == pytest.approx(4.0 / (0.9 + 0.1))
    assert losses[2] == -np.inf


def test_likeness_is_one_for_the_same_shape_moved() -> None:
    stem = np.zeros((HEIGHT, 3))
    stem[8:16] = 1
    wide = np.zeros((HEIGHT, 12))
    wide[9:17, 4:7] = 1
    alike = likeness(sheet_of([stem, wide, shapes()[1]]), 0.0)
    np.testing.assert_allclose(np.diag(alike), 1)
    np.testing.assert_allclose(alike, alike.T)
    assert alike[0, 1] == pytest.approx(1)
    assert alike[0, 2] < 0.8


@pytest.mark.slow
def test_print_is_read_without_a_transcription() -> None:
    lines = render_lines(40, seed=0, split="train", typeface="dejavu")
    inks = [ink_image(line.pixels) for line in lines]
    found = find_sprites(
        inks, SearchConfig(n_sprites=45, n_first=60, settling=1), DecodingConfig(), seed=0
    )
    total = near = 0
    held = defaultdict(Counter)
    for line, read in zip(lines, found.lines, strict=True):
        middles = boxes(read, found.sheet)[:, [0, 2]].mean(axis=1)
        for character, box in zip(line.text.replace(" ", ""), line.boxes, strict=True):
            over = np.flatnonzero((middles > box[0] - 1) & (middles < box[2] + 1))
            near += len(over) == 1
            total += 1
            for one in over:
                held[int(read.sprites[one])][character] += 1
    pure = sum(own.most_common(1)[0][1] for own in held.values())
    assert near / total > 0.93
    assert pure / total > 0.9


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(ConfigError, match="n_sprites=200"):
        SearchConfig(n_sprites=200)
    with pytest.raises(ConfigError, match=r"kept=0\.0"):
        SearchConfig(kept=0.0)
