from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from documents import documents
from planted_letters import documents as glyphs
from planted_letters import glyph, instances, jittered

from typika.palaeography import trees, units
from typika.palaeography.units import ComparisonConfig, Means

CONFIG = ComparisonConfig(draws=40)


def without(own: Means, *lacking: int) -> Means:
    known = own.known.copy()
    known[list(lacking)] = False
    return replace(own, known=known)


def draws(found: trees.Apart, n: int = 20) -> np.ndarray:
    return np.repeat(found.square[None], n, axis=0)


def test_a_square_is_less_noise_in_units_of_the_usual() -> None:
    _, means = documents(0, n_letters=1)
    own = means[0]
    plain = ((own.value[:, None] - own.value[None]) ** 2).sum(axis=2)
    usual = plain[~np.eye(14, dtype=bool)].mean()
    wanted = (plain[2, 5] - own.noise[2] - own.noise[5]) / usual
    assert trees.apart(means).squares()[2, 5] == pytest.approx(wanted)


def test_groups_far_apart_are_the_two_surest_branches() -> None:
    named, means = documents(0, shift=20.0)
    found = trees.apart(means)
    tree = trees.tree(named, found, draws(found), CONFIG)
    assert tree is not None
    branches = trees._branches(tree.linkage)
    assert frozenset(range(7)) in branches
    assert tree.support[branches.index(frozenset(range(7)))] == 1
    assert tree.support[-1] == 1
    assert tree.distance[~np.eye(14, dtype=bool)].mean() == pytest.approx(1)
    assert [row["nearest_1"][0] for row in tree.rows()] == ["a"] * 7 + ["b"] * 7


def test_branches_of_noise_are_unsure() -> None:
    named, means = documents(0)
    found = trees.apart(means)
    tree = trees.tree(named, found, draws(found, 40), CONFIG)
    assert tree is not None
    assert tree.support[:-1].mean() < 0.6


def test_a_document_that_lacks_letters_is_left_out_and_named() -> None:
    named, means = documents(0, n_letters=6)
    means = [without(own, 4) if k > 1 else own for k, own in enumerate(means)]
    found = trees.apart(means)
    tree = trees.tree(named, found, draws(found), CONFIG)
    assert tree is not None
    assert tree.left_out == ("a4",)
    assert len(tree.documents) == 13
    assert np.isfinite(tree.distance).all()


def test_letters_that_are_lacking_do_not_count() -> None:
    _, means = documents(0, n_letters=4)
    whole = trees.apart(means)
    found = trees.apart([*means[:3], without(means[3], 0)])
    three = trees.apart(means[:3])
    assert found.squares()[0, 1] == pytest.approx(three.squares()[0, 1])
    assert found.squares()[0, 1] != pytest.approx(whole.squares()[0, 1])


def test_two_documents_make_no_tree() -> None:
    named, means = documents(0, n_each=1)
    found = trees.apart(means)
    assert trees.tree(named, found, draws(found), CONFIG) is None


def test_resampled_distances_scatter_about_the_corrected_ones() -> None:
    rng = np.random.default_rng(0)
    shapes = {name: {c: jittered(ink, 0.8, rng) for c, ink in own.items()}
              for name, own in glyphs(["one", "two", "three"], "ao").items()}  # fmt: skip
    made = instances(shapes, 8, columns={"script": dict.fromkeys(shapes, "x")})
    named = units.Units.of(made, "script", "document")
    near = units.masks(made, np.stack([glyph("a"), glyph("o")]))
    pairs = list(units.all_means(made, named, near, 3))
    found = trees.apart([own for _, own in pairs])
    drawn = trees.resample_all(pairs, replace(CONFIG, draws=200))
    error = drawn.std(axis=0) / np.sqrt(200)
    off = np.abs(drawn.mean(axis=0) - found.square)[:, ~np.eye(3, dtype=bool)]
    assert (off < 5 * error[:, ~np.eye(3, dtype=bool)]).all()


def test_scaling_gives_points_back() -> None:
    points = np.random.default_rng(0).normal(size=(6, 2))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    place, stress = trees.scaled(distance)
    assert np.linalg.norm(place[:, None] - place[None], axis=2) == pytest.approx(distance)
    assert stress == pytest.approx(0, abs=1e-6)
