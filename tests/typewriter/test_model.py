"""The default typewriter: where cells lie, what sprites draw, and that it learns and resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from typika.collection.rendered_lines import render_lines
from typika.errors import ConfigError, ModelError
from typika.parallel import one_thread
from typika.text_evaluation import error_rate
from typika.typewriter import gauge
from typika.typewriter.alignment import CellPath
from typika.typewriter.alphabet import Alphabet
from typika.typewriter.batches import Line, LineBatch, Reading, collate, ink_and_paper
from typika.typewriter.decoding import align, ink_extents, redraw
from typika.typewriter.learner import Learner, LearningConfig, rate_at
from typika.typewriter.losses import blurred, connectionist, squared
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.store import Trained, load_typewriter, save_typewriter
from typika.typewriter.training import Checkpoints, TrainingConfig, split, train

SMALL = ModelConfig(height=32, stride=8)


def rendered(n: int) -> tuple[list[Line], Alphabet]:
    drawn = render_lines(n, seed=0, split="train", height=32, texture=False, jitter=False)
    alphabet = Alphabet.of([line.text for line in drawn], spaces=True)
    lines = []
    for number, line in enumerate(drawn):
        ink, paper = ink_and_paper(line.pixels, None)
        symbols = alphabet.encode(line.text)
        lines.append(Line(f"{number:02d}", line.pixels, None, symbols, paper, ink))
    return lines, alphabet


def typewriter(n_symbols: int, config: ModelConfig = SMALL, space: int | None = None):
    generator = torch.Generator().manual_seed(0)
    return Typewriter(config, n_symbols, space=space, generator=generator)


def path_of(symbols: list[int], cells: list[int]) -> CellPath:
    return CellPath(np.array(symbols), np.array(cells), np.zeros(len(cells)), 0.0)


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_a_feature_belongs_to_the_cell_that_it_is_said_to(stride: int) -> None:
    model = typewriter(3, ModelConfig(height=32, stride=stride)).eval()
    ink = torch.rand(1, 32, 32 * stride)
    moved = torch.roll(ink, stride, dims=2)
    assert model.features(ink).shape[2] == 32
    middle = slice(14, 18)  # far from the ends, so that these do not matter
    before = model.features(ink)[:, :, middle]
    after = model.features(moved)[:, :, 15:19]
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_a_new_model_draws_its_sprite_in_the_middle_of_the_cell() -> None:
    model = typewriter(2).eval()
    with torch.no_grad():
        model.sprites.zero_()
        model.sprites[1, 0, 12:20, 8:16] = 1  # in the middle of 32 x 24
    batch_ink = torch.zeros(1, 32, 80)
    features = model.features(batch_ink)
    characters = model.characters(features, model.logits(features), [path_of([1], [4])])
    canvas = model.draw(characters, 1, 80)[0]
    expected = torch.zeros(32, 80)
    expected[12:20, 32:40] = 1
    torch.testing.assert_close(canvas.detach(), expected, atol=1e-5, rtol=0)


def test_recentring_changes_sprites_and_offsets_but_not_what_is_drawn() -> None:
    model = typewriter(2).eval()
    with torch.no_grad():
        model.sprites.zero_()
        model.sprites[0, 0, 10:20, 1:6] = 0.8
    features = model.features(torch.rand(1, 32, 80))
    path = path_of([0, 1], [3, 7])

    def canvas() -> torch.Tensor:
        characters = model.characters(features, model.logits(features), [path])
        return model.draw(characters, 1, 80).detach()

    before = canvas()
    model.recentre()
    torch.testing.assert_close(canvas(), before)
    extent = ink_extents(model.sprites)[0, 0]
    assert abs(extent[0] + extent[2]) <= 1
    assert model.offset[0, 0, 0] != 0
    assert model.offset[1, 0].abs().max() == 0  # a sprite without ink stays where it is


def test_probabilities_of_allographs_are_summed() -> None:
    model = typewriter(3, ModelConfig(height=32, stride=8, sprites=2)).eval()
    logits = torch.randn(1, 5, 7)
    reading = model.reading(logits, torch.tensor([40]))
    summed = logits.softmax(2)[..., :-1].view(1, 5, 3, 2).sum(3)
    torch.testing.assert_close(reading.log_probabilities[..., :-1].exp(), summed)
    torch.testing.assert_close(reading.log_probabilities.exp().sum(2), torch.ones(1, 5))


def test_a_line_is_read_alike_alone_and_in_company() -> None:
    lines, alphabet = rendered(3)
    model = typewriter(alphabet.size, space=alphabet.space)
    alone = [one.boxes for one in align(model, lines[:1], alphabet)]
    together = [one.boxes for one in align(model, lines, alphabet)]
    np.testing.assert_array_equal(alone[0], together[0])


def test_what_stands_in_a_cell_is_the_mean_of_three_glances() -> None:
    lines, alphabet = rendered(2)
    model = typewriter(alphabet.size, space=alphabet.space).eval()
    batch = collate(lines)
    ink, paper = batch.ink_image, torch.zeros(2, 2, batch.image.shape[3])
    views = [ink, torch.cat([paper, ink[:, :-2]], 1), torch.cat([ink[:, 2:], paper], 1)]
    with torch.no_grad():
        each = [model.reading(model.logits(model.features(one)), batch.widths) for one in views]
        seen = model.see(batch)
    mean = torch.stack([one.log_probabilities for one in each]).mean(0).log_softmax(2)
    torch.testing.assert_close(seen.reading.log_probabilities, mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(seen.features, model.features(ink).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(seen.reading.n_cells, each[0].n_cells)


def test_the_losses_of_perfect_and_of_empty_drawings() -> None:
    mask = torch.ones(1, 8, 32)
    mask[:, :, 16:] = 0
    residual = torch.zeros(1, 8, 32)
    residual[:, :, 16:] = 5.0  # where nothing counts
    assert squared(residual, mask) == 0
    assert blurred(residual, mask) == 0
    assert squared(torch.ones(1, 8, 32), mask) == 1


def test_lines_that_cannot_be_aligned_count_for_nothing() -> None:
    model = typewriter(2)
    batch = collate([Line("a", np.zeros((32, 16, 3), np.uint8), None, (0,) * 9, (1.0,) * 3,
                          (0.0,) * 3)])  # fmt: skip
    assert connectionist(model.read(batch), batch.texts).item() == 0


def test_the_rate_rises_stays_and_falls() -> None:
    config = LearningConfig()
    rates = [rate_at(step, 1000, config) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 40)
    assert rates[40:500] == [1.0] * 460
    assert rates[999] == pytest.approx(0.02, abs=0.001)
    assert rates[500:] == sorted(rates[500:], reverse=True)


def learn(folder: Path, n_steps: int, stop: int | None = None) -> dict[str, torch.Tensor]:
    """Learn for some steps; with `stop` the process "dies" there, and what is kept is resumed."""
    lines, alphabet = rendered(8)
    config = TrainingConfig(steps=n_steps, batch=4, checks=4)

    class Killed(Exception):
        pass

    def advance_to(limit: int | None):
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if limit is not None and done > limit:
                raise Killed

        return advance

    for limit in [stop, None] if stop else [None]:
        learner = Learner(typewriter(alphabet.size, space=alphabet.space), LearningConfig())
        learner.surprise.fill_(0.5)  # draw from the first step on
        try:
            with one_thread():
                train(learner, lines, lines[:2], alphabet, config, seed=3,
                      checkpoints=Checkpoints(folder), advance=advance_to(limit))  # fmt: skip
        except Killed:
            continue
    return learner.model.state_dict()


def test_training_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = learn(tmp_path / "whole", 12)
    killed = learn(tmp_path / "killed", 12, stop=7)
    assert whole.keys() == killed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(killed[name], value, rtol=0, atol=0)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    alphabet = Alphabet(("a", "b"))
    model = typewriter(2)
    save_typewriter(Trained(model, alphabet, "NFC"), tmp_path / "model")
    loaded = load_typewriter(tmp_path / "model")
    assert loaded.alphabet == alphabet
    assert loaded.model.config == model.config
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], value, rtol=0, atol=0)
    with pytest.raises(ModelError, match="typewriter fit"):
        load_typewriter(tmp_path / "nowhere")


def test_held_out_lines_do_not_depend_on_order() -> None:
    lines, _ = rendered(50)
    config = TrainingConfig(held_out=0.2)
    learned, apart = split(lines, [False] * 50, config, 0)
    again, apart_again = split(lines[::-1], [False] * 50, config, 0)
    assert len(apart) == 10
    assert {line.line_id for line in apart} == {line.line_id for line in apart_again}
    assert len(learned) == len(again) == 40
    marked = [number < 3 for number in range(50)]
    assert [line.line_id for line in split(lines, marked, config, 0)[1]] == ["00", "01", "02"]
    assert split(lines[:10], [False] * 10, config, 0)[1] == []


@pytest.mark.slow
def test_a_few_lines_are_learned_read_and_redrawn(tmp_path: Path) -> None:
    lines, alphabet = rendered(8)
    learner = Learner(typewriter(alphabet.size, space=alphabet.space), LearningConfig())
    config = TrainingConfig(steps=160, batch=4, checks=2)
    train(learner, lines, [], alphabet, config, seed=0, checkpoints=Checkpoints(tmp_path))
    model = learner.model
    before = [one.residual for one in align(model, lines, alphabet)]
    gauge.fix(model, lines)
    used = gauge.uses(model, lines)
    assert used.log_scale.abs().max() < 1e-4
    seen = list(redraw(model, lines, alphabet))
    texts, read = ([getattr(one.alignment, name) for one in seen] for name in ("text", "read"))
    empty = np.mean([float(one.batch.ink_image.square().mean()) for one in seen])
    assert error_rate(texts, read).micro < 0.1
    assert np.mean(before) < 0.65 * empty
    assert np.mean([one.alignment.residual for one in seen]) < 1.2 * np.mean(before)


@pytest.mark.parametrize(
    "values", [{"height": 60}, {"stride": 5}, {"sprites": 0}, {"sprite_width": 9.0}]
)
def test_shapes_that_cannot_be(values: dict) -> None:
    with pytest.raises(ConfigError):
        ModelConfig(**values)


def test_lines_without_text_do_not_make_a_learner_think_that_it_reads() -> None:
    lines, alphabet = rendered(2)
    learner = Learner(typewriter(alphabet.size, space=alphabet.space), LearningConfig())
    silent = [replace(line, symbols=None) for line in lines]
    generator = torch.Generator().manual_seed(0)
    for step in range(3):
        learner.step(collate(silent), step, 3, generator)
    assert learner.surprise == 10.0
    learner.step(collate(lines), 0, 3, generator)
    assert learner.surprise < 10.0


def test_training_that_ended_early_has_ended_when_it_is_begun_again(tmp_path: Path) -> None:
    lines, alphabet = rendered(4)
    config = TrainingConfig(steps=40, batch=2, checks=20, patience=1)
    checkpoints = Checkpoints(tmp_path)
    steps = []
    for _ in range(2):
        learner = Learner(typewriter(alphabet.size, space=alphabet.space), LearningConfig())
        progress = train(learner, lines, lines, alphabet, config, seed=0, checkpoints=checkpoints)
        steps.append(progress.step)
    assert steps[0] == steps[1] < 40


def test_a_line_of_which_nothing_counts_is_shown_all_the_same() -> None:
    pixels, mask = np.full((32, 40, 3), 90, np.uint8), np.zeros((32, 40), np.uint8)
    ink, paper = ink_and_paper(pixels, mask)
    batch = collate([Line("a", pixels, mask, None, paper, ink)])
    assert batch.ink_image.max() == 0


def test_a_line_without_text_is_learned_as_it_is_surely_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines, alphabet = rendered(2)
    learner = Learner(typewriter(alphabet.size, space=alphabet.space), LearningConfig(echo=0.5))
    learner.surprise.fill_(0.5)  # it reads
    batch = collate([lines[0], replace(lines[1], symbols=None)])
    looked_at = []

    def losses(step: int, sure: float) -> dict[str, torch.Tensor]:
        def read(only: LineBatch) -> Reading:
            looked_at.append(only.texts)
            assert not learner.model.training
            n_cells = int(only.widths[0]) // 8
            wrong = (1 - sure) / alphabet.size
            chances = torch.full((1, n_cells, alphabet.size + 1), wrong)
            chances[0, torch.arange(n_cells), torch.arange(n_cells) % 2] = sure
            return Reading(chances.log(), torch.tensor([n_cells]))

        monkeypatch.setattr(learner.model, "read", read)
        return learner.losses(batch, step, 100, torch.Generator().manual_seed(0))

    learner.model.train()
    assert losses(40, 0.95)["echo"] > 0
    assert looked_at == [(None,)]  # only the line that has no text
    assert learner.model.training
    assert "echo" not in losses(40, 0.6)  # not sure
    assert "echo" not in losses(20, 0.95)  # too early
    assert "echo" not in losses(41, 0.95)  # a step that draws
    batch = collate(lines)
    assert "echo" not in losses(40, 0.95)  # all have texts
