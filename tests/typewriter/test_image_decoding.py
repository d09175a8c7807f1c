from __future__ import annotations

import itertools

import numpy as np
import pytest
from drawn_lines import HEIGHT, drawn, shapes, small_sheet

from typika.errors import ConfigError
from typika.typewriter import _lattice
from typika.typewriter.image_decoding import (
    DecodingConfig,
    blurred,
    boxes,
    decode,
    decode_with_exclusions,
    errors,
    rendered,
)
from typika.typewriter.sheet import sheet_of


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_drawn_lines_are_read_back(rng: np.random.Generator, noise: float) -> None:
    sheet = small_sheet()
    truth = [rng.integers(0, 5, 12).tolist() for _ in range(30)]
    lines = [drawn(sheet, ids, rng, noise=noise) for ids in truth]
    found = decode([ink for ink, _ in lines], sheet, DecodingConfig())
    for line, ids, (_, places) in zip(found, truth, lines, strict=True):
        assert line.sprites.tolist() == ids
        off = np.array(places) - np.stack([line.left, line.down], axis=1)
        assert np.abs(off).max() <= (0 if noise == 0 else 1)
        assert line.explained.min() > 0.8


def test_gain_is_what_a_sprite_takes_off_the_squared_error(rng: np.random.Generator) -> None:
    """Σ ink² − Σ gain = Σ (ink − rendered)² where sprites do not overlap."""
    sheet = small_sheet()
    ink, _ = drawn(sheet, [0, 1, 2, 3, 4], rng, noise=0.1)
    config = DecodingConfig(blur=0.0)
    line = decode([ink], sheet, config)[0]
    missing = ink - rendered(line, sheet, ink.shape)
    assert (missing**2).sum() == pytest.approx((ink**2).sum() - line.gain.sum(), rel=1e-4)
    assert errors(ink, line, sheet, config).sum() <= (missing**2).sum() + 1e-6


def test_blurred_errors_are_smaller_than_the_gains_promise(rng: np.random.Generator) -> None:
    """The edges that blur puts outside of a drawing are drawn, but not counted as gain."""
    sheet = small_sheet()
    ink, _ = drawn(sheet, [0, 1, 2, 3, 4], rng, noise=0.1)
    config = DecodingConfig(blur=0.7)
    line = decode([ink], sheet, config)[0]
    before = (blurred(ink, 0.7) ** 2).sum()
    assert errors(ink, line, sheet, config).sum() <= before - line.gain.sum()


def test_the_best_sequence_is_that_of_an_exhaustive_search(rng: np.random.Generator) -> None:
    width, cost, core = 9, 0.5, np.array([[0, 2], [1, 4]])
    fits = _lattice.Fits(
        rng.random((1, 2, width)).astype(np.float32) * 2,
        np.ones((1, 2, width), dtype=np.float32),
        np.zeros((1, 2, width), dtype=np.int8),
    )
    lattice = _lattice.build(fits, core, cost)

    def total(way: tuple[tuple[int, int], ...]) -> float:
        return sum(float(fits.gain[0, k, start - core[k, 0]]) - cost for k, start in way)

    def ways(start: int, banned: tuple[int, int] | None = None):
        yield ()
        for begin in range(start, width):
            for k, (lo, hi) in enumerate(core):
                if begin + hi - lo <= width and begin >= lo and (k, begin) != banned:
                    for rest in ways(begin + hi - lo, banned):
                        yield ((k, begin), *rest)

    best = max(ways(0), key=total)
    assert tuple(_lattice.best_way(lattice, 0)) == best
    assert lattice.before[-1, 0] == pytest.approx(total(best), abs=1e-5)


def test_exclusions_tell_what_decoding_without_a_sprite_would_give(
    rng: np.random.Generator,
) -> None:
    """On a line with one place of each sprite, forbidding the place is forbidding the sprite."""
    sheet, config = small_sheet(), DecodingConfig(blur=0.0, furthest=0)
    ids = [0, 1, 2, 3, 4]
    ink = drawn(sheet, ids, np.random.default_rng(5))[0]
    line, exclusion = decode_with_exclusions([ink], sheet, config)[0]
    sprites = line.sprites.tolist()
    for turn, sprite in enumerate(sprites):
        if sprites.count(sprite) > 1:
            continue
        others = sheet_of([one for number, one in enumerate(shapes()) if number != sprite])
        rest = decode([ink], others, config)[0]
        if len(rest) > len(line) + 3:
            continue  # the other sprites, settled anew far away
        lost = line.gain.sum() - rest.gain.sum()
        assert exclusion.error[turn] == pytest.approx(lost, abs=0.3)
        assert exclusion.more[turn] == len(rest) - len(line)


def test_a_pair_of_stems_is_worth_its_bar(rng: np.random.Generator) -> None:
    """Without the pair two stems stand for it, one sprite more; its bar of 2 x 3 is missing."""
    sheet = small_sheet()
    ink, _ = drawn(sheet, [1, 4, 1, 4], rng)
    line, exclusion = decode_with_exclusions([ink], sheet, DecodingConfig(blur=0.0))[0]
    assert line.sprites.tolist() == [1, 4, 1, 4]
    assert exclusion.more[[1, 3]].tolist() == [1, 1]
    np.testing.assert_allclose(exclusion.error[[1, 3]], 6.0, atol=1e-3)
    assert (exclusion.error[[0, 2]] > 8).all()


def test_how_many_lines_are_decoded_together_changes_nothing(rng: np.random.Generator) -> None:
    sheet = small_sheet()
    inks = [drawn(sheet, rng.integers(0, 5, n).tolist(), rng)[0] for n in (3, 9, 5, 1, 7)]
    together = decode(inks, sheet, DecodingConfig())
    for ink, line in zip(inks, together, strict=True):
        alone = decode([ink], sheet, DecodingConfig())[0]
        assert alone.sprites.tolist() == line.sprites.tolist()
        assert alone.left.tolist() == line.left.tolist()
        np.testing.assert_allclose(alone.gain, line.gain, rtol=1e-4)


def test_boxes_lie_on_the_ink(rng: np.random.Generator) -> None:
    sheet = small_sheet()
    ink, places = drawn(sheet, [0, 3, 2], rng)
    line = decode([ink], sheet, DecodingConfig())[0]
    for (left, top, right, bottom), (start, down) in zip(boxes(line, sheet), places, strict=True):
        assert left == start
        assert ink[int(top) : int(bottom), int(left) : int(right)].all()
        assert down == line.down[list(places).index((start, down))]


def test_lines_without_ink_and_narrow_ones_have_no_sprites() -> None:
    sheet = small_sheet()
    for width in (1, 2, 40):
        line = decode([np.zeros((HEIGHT, width))], sheet, DecodingConfig())[0]
        assert len(line) == 0
        assert boxes(line, sheet).shape == (0, 4)
        assert rendered(line, sheet, (HEIGHT, width)).sum() == 0


def test_faint_and_bold_letters_are_the_same(rng: np.random.Generator) -> None:
    sheet = small_sheet()
    ink, _ = drawn(sheet, [0, 1, 4], rng)
    for amount, read in itertools.product((0.8, 1.0), ([0, 1, 4],)):
        line = decode([ink * amount], sheet, DecodingConfig())[0]
        assert line.sprites.tolist() == read
        np.testing.assert_allclose(line.amplitude, amount, atol=0.05)


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(ConfigError, match="cost=-1"):
        DecodingConfig(cost=-1.0)
    with pytest.raises(ConfigError, match="amplitudes"):
        DecodingConfig(amplitudes=(1.2, 1.3))
