"""Letters given further sprites: what was is read as before, learning tells them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from typika.errors import ConfigError, ModelError
from typika.typewriter.alignment import CellPath
from typika.typewriter.alphabet import Alphabet
from typika.typewriter.batches import Line, collate
from typika.typewriter.decoding import align
from typika.typewriter.learner import Learner, LearningConfig
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.splitting import split_sprites
from typika.typewriter.store import Trained, load_typewriter, save_typewriter

ALPHABET = Alphabet.of(["abc d"], spaces=True)
SIZE = (32, 24)


def trained() -> Trained:
    """A typewriter of random weights, so that whatever changes would be seen."""
    generator = torch.Generator().manual_seed(1)
    config = ModelConfig(height=32, stride=8)
    model = Typewriter(config, ALPHABET.size, space=ALPHABET.space, generator=generator)
    with torch.no_grad():
        for tensor in (model.sprites, model.offset, model.size):
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
        model.sprites[ALPHABET.space] = 0
        torch.nn.init.normal_(model.place[-1].weight, std=0.1, generator=generator)
    return Trained(model.eval(), ALPHABET, "NFC")


def lines(n: int = 3, text: str | None = "ab cad") -> list[Line]:
    rng = np.random.default_rng(0)
    symbols = ALPHABET.encode(text) if text else None
    return [
        Line(str(k), rng.integers(0, 255, (32, 160, 3), dtype=np.uint8), None, symbols,
             (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        for k in range(n)
    ]  # fmt: skip


def two_forms(seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((2, *SIZE)).astype(np.float32)


def test_lines_are_read_as_before() -> None:
    before = trained()
    after = split_sprites(before, {"a": two_forms(), "c": np.repeat(two_forms(), 2, axis=0)})
    batch = collate(lines())
    with torch.no_grad():
        one, two = before.model.read(batch), after.model.read(batch)
    torch.testing.assert_close(two.log_probabilities, one.log_probabilities, atol=1e-5, rtol=1e-5)


def test_letters_of_one_form_are_drawn_as_before() -> None:
    before = trained()
    after = split_sprites(before, {"a": two_forms()})
    old, new = (next(iter(align(one.model, lines(1, "bdb c"), ALPHABET)))
                for one in (before, after))  # fmt: skip
    np.testing.assert_allclose(new.boxes, old.boxes, atol=1e-4)
    assert new.residual == pytest.approx(old.residual, abs=1e-6)
    assert new.text == old.text
    for model in (before.model, after.model):  # while learning, too
        model.train()
    batch = collate(lines(1, "bdb c"))
    drawn = []
    for own in (before.model, after.model):
        own.encoder.eval()
        seen = own.see(batch)
        characters = own.characters(seen.features, seen.logits, [path()])
        drawn.append(own.draw(characters, 1, 160))
    torch.testing.assert_close(drawn[1], drawn[0], atol=1e-5, rtol=1e-5)


def path() -> CellPath:
    symbols = np.array(ALPHABET.encode("bdb"))
    return CellPath(symbols, np.array([2, 7, 12]), np.zeros(3), 0.0)


def test_the_forms_take_the_place_of_the_sprite_and_unused_ones_never_win() -> None:
    forms = two_forms()
    after = split_sprites(trained(), {"a": forms})
    number = ALPHABET.symbols.index("a")
    np.testing.assert_allclose(after.model.letters[number].numpy(), forms, atol=1e-6)
    assert after.model.forms[number] == 2
    assert sum(after.model.forms) == ALPHABET.size + 1
    for alignment in align(after.model, lines(3, "abcd"), ALPHABET):
        unused = alignment.symbols != number
        assert (alignment.sprites[unused] == 0).all()


def test_it_is_saved_and_split_again(tmp_path: Path) -> None:
    after = split_sprites(trained(), {"a": two_forms()})
    save_typewriter(after, tmp_path / "model")
    again = load_typewriter(tmp_path / "model")
    batch = collate(lines())
    with torch.no_grad():
        torch.testing.assert_close(
            again.model.read(batch).log_probabilities, after.model.read(batch).log_probabilities
        )
    merged = split_sprites(again, {"a": two_forms()[:1], "b": np.repeat(two_forms(), 2, axis=0)})
    assert merged.model.config.sprites == 4
    assert merged.model.forms[ALPHABET.symbols.index("a")] == 1


def test_learning_goes_on_and_tells_forms_apart() -> None:
    """Lines of one letter in two shapes: the drawing teaches which form is which."""
    shapes = np.zeros((2, *SIZE), np.float32)
    shapes[0, 10:22, 10:14] = 1
    shapes[1, 14:18, 4:20] = 1
    start = trained()
    start.model.place[-1].weight.data.zero_()
    start.model.offset.zero_(), start.model.size.zero_()
    model = split_sprites(start, {"a": shapes}).model
    kinds = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 0, 1, 1))
    batch = collate([shown(shapes, own) for own in kinds])
    paths = [CellPath(np.full(4, ALPHABET.symbols.index("a")), np.array([2, 7, 12, 17]),
                      np.zeros(4), 0.0) for _ in kinds]  # fmt: skip
    optimiser = torch.optim.Adam([model.keys, *model.query.parameters()], lr=0.02)
    model.train()
    for _ in range(40):
        seen = model.see(batch)
        drawn = model.draw(model.characters(seen.features, seen.logits, paths), 3, 160)
        optimiser.zero_grad()
        (batch.ink_image - drawn).square().mean().backward()
        optimiser.step()
    share = model.characters(seen.features, seen.logits, paths).share
    assert share.argmax(1).tolist() == [one for own in kinds for one in own]
    assert model.keys.grad is not None
    assert torch.isfinite(model.keys.grad).all()


def test_a_step_of_learning_leaves_unused_sprites_empty() -> None:
    model = split_sprites(trained(), {"a": two_forms()}).model
    learner = Learner(model, LearningConfig(warm_up=1))
    learner.surprise = torch.tensor(0.5)
    learner.step(collate(lines()), 0, 10, torch.Generator().manual_seed(0))
    learner.step(collate(lines()), 1, 10, torch.Generator().manual_seed(0))
    assert not model.letters[ALPHABET.symbols.index("b"), 1].any()
    assert all(torch.isfinite(one).all() for one in model.parameters())


def shown(shapes: np.ndarray, kinds: tuple[int, ...]) -> Line:
    ink = np.zeros((32, 160), np.float32)
    for place, kind in enumerate(kinds):
        ink[:, 8 + 40 * place : 32 + 40 * place] = shapes[kind]
    pixels = np.repeat((255 * (1 - ink))[..., None], 3, axis=2).astype(np.uint8)
    symbols = ALPHABET.encode("a" * len(kinds))
    return Line("".join(map(str, kinds)), pixels, None, symbols, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def test_bad_forms_are_refused() -> None:
    with pytest.raises(ConfigError, match="no such letter"):
        split_sprites(trained(), {"z": two_forms()})
    with pytest.raises(ConfigError, match="no such letter"):
        split_sprites(trained(), {" ": two_forms()})
    with pytest.raises(ConfigError, match="none given"):
        split_sprites(trained(), {"a": two_forms()[:0]})
    with pytest.raises(ModelError, match="sprites are of"):
        split_sprites(trained(), {"a": two_forms()[:, :-1]})
    for forms in ([1, 1], [0, *[1] * (ALPHABET.size - 1)], [2] * ALPHABET.size):
        with pytest.raises(ConfigError, match="need 1 to 1 for each"):
            trained().model.use(forms)
