"""Rare elements: found where planted, not made up of what is frequent."""

from __future__ import annotations

import numpy as np
import pytest

from typika.errors import ConfigError
from typika.mining import rare
from typika.mining.features import unit
from typika.mining.significance import Background

N_IMAGES, N_WINDOWS, SIZE = 100, 9, 24  # of each of two labels; features of a window
FEW = (3, 17, 42, 77)  # images of label 0 that share the planted thing: 4 %


def scene(rng: np.random.Generator, *, loud: bool = False) -> rare.Windows:
    """Random windows; one of each image in FEW shows the same thing.

    loud: also a thing that half of the images of label 0 show.
    """
    label = np.repeat([0, 1], N_IMAGES)
    image = np.repeat(np.arange(2 * N_IMAGES), N_WINDOWS)
    vectors = rng.normal(size=(len(image), SIZE))
    typicality = rng.normal(size=len(image))
    thing, common = 3 * rng.normal(size=(2, SIZE))
    for number in FEW:
        vectors[number * N_WINDOWS + 4] += thing
        typicality[number * N_WINDOWS + 4] += 2
    if loud:
        often = np.arange(0, N_IMAGES, 2) * N_WINDOWS
        vectors[often] += common
        typicality[often] += 3
    own = np.zeros(len(image), dtype=bool)
    return rare.Windows(unit(vectors), image, label, np.arange(2 * N_IMAGES), typicality, own)


def test_a_planted_thing_comes_first(rng: np.random.Generator) -> None:
    windows = scene(rng)
    first, *rest = rare.groups(windows, 0, rare.RareConfig())
    assert set(first.windows) == {number * N_WINDOWS + 4 for number in FEW}
    assert all(first.score > other.score for other in rest)
    assert first.standing == (windows.typicality[:900] < first.typicality).mean()
    assert all((windows.label[windows.image[one.windows]] == 0).all() for one in [first, *rest])


def test_tightness_is_the_cosine_among_members_less_that_of_the_next() -> None:
    angles = np.array([0.0, 0.2, -0.2, 1.0, 3.0, 4.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    image = np.arange(6)
    label = np.array([0, 0, 0, 0, 1, 1])
    windows = rare.Windows(vectors, image, label, image, np.zeros(6), np.zeros(6, dtype=bool))
    found = rare._group(windows, 0, np.array([0, 1, 2]), 3)
    # The mean of ±0.2 points to 0, that of 0 and ±0.2 to ±0.1.
    assert found.tightness == pytest.approx(
        np.mean([1.0, np.cos(0.3), np.cos(0.3)]) - np.mean([np.cos(1), np.cos(1.1), np.cos(0.9)])
    )
    assert found.least == pytest.approx(np.cos(0.3))


def test_what_is_frequent_is_not_rare(rng: np.random.Generator) -> None:
    windows = scene(rng, loud=True)
    members = np.arange(0, N_IMAGES, 2) * N_WINDOWS
    marked = rare.frequent(windows.vectors, windows.label[windows.image], [(0, members)])
    assert marked[members].mean() >= 0.85
    assert not marked[900:].any()  # windows of the other label are no windows of the cluster
    quiet = rare.Windows(windows.vectors, windows.image, windows.label, windows.unit,
                         windows.typicality, marked)  # fmt: skip
    first, *_ = rare.groups(quiet, 0, rare.RareConfig())
    assert set(first.windows) == {number * N_WINDOWS + 4 for number in FEW}
    assert not any(marked[one.windows].any() for one in rare.groups(quiet, 0, rare.RareConfig()))


def test_copies_of_an_image_count_once(rng: np.random.Generator) -> None:
    windows = scene(rng)
    same = windows.unit.copy()
    same[list(FEW)] = FEW[0]  # all of them are one photograph
    once = rare.Windows(windows.vectors, windows.image, windows.label, same, windows.typicality,
                        windows.frequent)  # fmt: skip
    planted = {number * N_WINDOWS + 4 for number in FEW}
    for group in rare.groups(once, 0, rare.RareConfig()):
        assert len(planted & set(group.windows)) <= 1


def test_another_label_with_the_thing_ends_the_group(rng: np.random.Generator) -> None:
    windows = scene(rng)
    vectors = windows.vectors.copy()
    vectors[(N_IMAGES + 5) * N_WINDOWS] = vectors[[one * N_WINDOWS + 4 for one in FEW]].mean(0)
    shared = rare.Windows(unit(vectors), windows.image, windows.label, windows.unit,
                          windows.typicality, windows.frequent)  # fmt: skip
    planted = {number * N_WINDOWS + 4 for number in FEW}
    for group in rare.groups(shared, 0, rare.RareConfig()):
        assert len(planted & set(group.windows)) < rare.RareConfig().least


def test_matches_are_as_close_as_the_farthest_member(rng: np.random.Generator) -> None:
    windows = scene(rng)
    first, *_ = rare.groups(windows, 0, rare.RareConfig())
    direction = unit(windows.vectors[first.windows].mean(axis=0)[None])[0]
    away = unit(rng.normal(size=(1, SIZE)) - direction)
    others = np.concatenate([direction[None], away])
    assert rare.matching(windows, first, others, np.array([8, 9])).tolist() == [8]


def test_whitening_makes_windows_round(rng: np.random.Generator) -> None:
    stretched = rng.normal(size=(4000, 3)) * np.array([1.0, 5.0, 20.0]) + 7
    white = rare.whitened(stretched, Background.of(stretched, 0.1))
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1)
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(3) / 3, atol=0.02)


def test_images_are_left_out_whole(rng: np.random.Generator) -> None:
    windows = scene(rng)
    out = np.arange(2 * N_IMAGES) % 2 == 0
    less = windows.less(out)
    assert len(less.image) == len(windows.image) / 2
    assert np.array_equal(np.unique(less.image), np.arange(N_IMAGES))
    np.testing.assert_array_equal(less.vectors, windows.vectors[(windows.image % 2) == 1])


@pytest.mark.parametrize("bad", [{"shown": -1}, {"least": 1}, {"share": 0.0}, {"typical": 1.5}])
def test_settings_are_checked(bad: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        rare.RareConfig(**bad)
