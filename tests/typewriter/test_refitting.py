"""Sprites fitted to lines: closed forms where letters do not touch, and laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from typika.typewriter import drawing
from typika.typewriter.redraws import Characters
from typika.typewriter.refitting import MOST_PENALTY, Placed, drawn_ink, refitted, squared_error

HEIGHT, WIDTH, K = 24, 16, 3


def sprites(seed: int = 0) -> torch.Tensor:
    """Smooth letters that leave their frames' edges free."""
    noise = np.random.default_rng(seed).random((K, HEIGHT, WIDTH))
    ink = ndimage.gaussian_filter(noise, (0, 1.5, 1.5))
    ink = np.clip((ink - 0.45) * 6, 0, 0.9)
    ink[:, :3], ink[:, -3:], ink[:, :, :3], ink[:, :, -3:] = 0, 0, 0, 0
    return torch.from_numpy(ink).float()


def line(
    letters: list[int], true: torch.Tensor, seed: int, *, step: int = 20, whole: bool = False
) -> Placed:
    """A line of letters in known places, with noise."""
    rng, n = np.random.default_rng(seed), len(letters)
    scale = np.zeros((n, 2)) if whole else rng.uniform(-0.1, 0.1, (n, 2))
    x = 12 + step * np.arange(n) + (0 if whole else rng.uniform(-1, 1, n))
    y = np.zeros(n) if whole else rng.uniform(-1, 1, n)
    characters = Characters(
        line=torch.zeros(n, dtype=torch.long), cell=torch.zeros(n, dtype=torch.long),
        symbol=torch.tensor(letters), middle=torch.tensor(np.stack([x, y], 1)).float(),
        log_scale=torch.tensor(scale).float(),
        strength=torch.ones(n) if whole else torch.tensor(rng.uniform(0.9, 1.1, n)).float(),
        share=torch.ones(n, 1),
    )  # fmt: skip
    empty = torch.zeros(HEIGHT, 24 + step * n)
    placed = Placed("l", empty, torch.ones_like(empty), characters, torch.tensor(letters))
    noise = 0.05 * torch.from_numpy(rng.normal(size=tuple(empty.shape))).float()
    ink = (drawn_ink(true, placed) + noise).clamp(0, 1)
    return Placed("l", ink, placed.mask, characters, placed.letter)


def lines(true: torch.Tensor, **options: object) -> list[Placed]:
    texts = ([0, 1, 0], [1, 1, 0], [0, 0, 1])
    return [line(text, true, n, **options) for n, text in enumerate(texts)]  # type: ignore[arg-type]


def error(found: torch.Tensor, placed: list[Placed]) -> float:
    return float(torch.stack([squared_error(found, one) for one in placed]).sum())


def test_letters_apart_in_whole_places_are_their_ridge_means() -> None:
    true, parent = sprites(), 0.5 * sprites(1)
    placed = lines(true, whole=True)
    found = refitted(placed, parent, parent, torch.tensor([2.0, 2.0, 2.0]), iterations=60)
    cuts: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    for one in placed:
        for letter, (x, _) in zip(
            one.letter.tolist(), one.characters.middle.tolist(), strict=True
        ):
            left = round(x - WIDTH / 2)
            cuts[letter].append(one.ink[:, left : left + WIDTH])
    for letter, own in cuts.items():
        expected = (torch.stack(own).sum(0) + 2 * parent[letter]) / (len(own) + 2)
        torch.testing.assert_close(found[letter], expected, atol=2e-3, rtol=0)


def test_what_has_no_instances_or_no_freedom_is_its_parent_exactly() -> None:
    true, parent = sprites(), 0.5 * sprites(1)
    found = refitted(lines(true), true, parent, torch.tensor([1.0, MOST_PENALTY, 1.0]))
    assert torch.equal(found[1], parent[1])  # bound
    assert torch.equal(found[2], parent[2])  # on no line
    assert not torch.allclose(found[0], parent[0], atol=0.05)
    assert torch.equal(refitted([], true, parent, torch.ones(K)), parent)


def test_a_great_penalty_gives_the_parent_and_none_the_lines() -> None:
    true, parent = sprites(), 0.5 * sprites(1)
    placed = lines(true)
    bound = refitted(placed, true, parent, torch.full((K,), 1e5))
    torch.testing.assert_close(bound, parent, atol=0.01, rtol=0)
    free = refitted(placed, parent, parent, torch.zeros(K), iterations=30)
    assert error(free, placed) < error(true, placed)  # it fits even the noise
    assert ((free - true)[:2] ** 2).mean() < 0.25 * ((parent - true)[:2] ** 2).mean()


def test_fitting_lines_beats_the_mean_of_instances_where_those_are_blurred() -> None:
    from typika.typewriter.instances import cut_out

    true, parent = sprites(), torch.zeros(K, HEIGHT, WIDTH)
    placed = lines(true)
    total, count = torch.zeros(K, HEIGHT, WIDTH), torch.zeros(K)
    for one in placed:
        own = one.characters
        cuts = cut_out(one.ink[None], own.middle, own.log_scale, (HEIGHT, WIDTH))[:, 0]
        total.index_add_(0, one.letter, cuts)
        count += torch.bincount(one.letter, minlength=K)
    mean = total / count.clamp_min(1)[:, None, None]
    found = refitted(placed, mean, parent, torch.full((K,), 0.05), iterations=20)
    others = [line([0, 1, 1, 0], true, seed) for seed in (7, 8)]
    assert error(found, others) < 0.9 * error(mean, others)


def test_the_search_goes_down_and_neighbours_share_their_ink() -> None:
    true, parent = sprites(), 0.5 * sprites(1)
    placed = lines(true, step=11)  # frames overlap
    penalty = torch.ones(K)

    def goal(found: torch.Tensor) -> float:
        return error(found, placed) + float((found - parent).square().sum())

    values = [goal(refitted(placed, parent, parent, penalty, iterations=n)) for n in (1, 4, 12)]
    assert goal(parent) > values[0] > values[1] > values[2]


@pytest.mark.parametrize("step", [20, 11])
def test_a_letter_that_is_minus_one_draws_nothing(step: int) -> None:
    true = sprites()
    one = line([0, 1], true, 0, step=step)
    nobody = Placed("l", one.ink, one.mask, one.characters, torch.tensor([-1, -1]))
    assert not drawn_ink(true, nobody).any()
    windows = drawing.draw(true[:1] * one.characters.strength[:1, None, None],
                           one.characters.middle[:1], one.characters.log_scale[:1],
                           torch.zeros(1, dtype=torch.long), height=HEIGHT, reach=1.2)  # fmt: skip
    first = Placed("l", one.ink, one.mask, one.characters, torch.tensor([0, -1]))
    expected = drawing.united(windows, 1, one.ink.shape[1])[0]
    torch.testing.assert_close(drawn_ink(true, first), expected)
