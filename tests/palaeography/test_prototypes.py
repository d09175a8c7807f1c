from __future__ import annotations

import numpy as np
import pytest
from planted_letters import documents, glyph, instances

from typika.palaeography.groupings import hierarchy
from typika.palaeography.prototypes import (
    assemble,
    filtered,
    flags,
    own_region,
    stray_ink,
    weighted_median,
)


def square(side: int, top: int, left: int, size: int) -> np.ndarray:
    ink = np.zeros((side, side))
    ink[top : top + size, left : left + size] = 1
    return ink


def test_stray_ink_is_counted_in_pixels_of_a_published_sprite() -> None:
    reference = square(48, 18, 18, 10)
    assert stray_ink(reference, reference) < 0.6
    far = square(48, 2, 2, 6)
    # The largest piece alone counts, and it lies wholly away from the reference.
    assert stray_ink(far, reference) == pytest.approx(36, abs=0.01)
    assert stray_ink(np.maximum(far, reference), reference) < 0.6
    twice = (np.kron(one, np.ones((2, 2))) for one in (far, reference))
    assert stray_ink(*twice) == pytest.approx(36, abs=0.01)
    assert stray_ink(np.zeros((48, 48)), reference) == 0


def test_faint_ink_is_not_stray() -> None:
    assert stray_ink(0.3 * square(48, 2, 2, 6), square(48, 18, 18, 10)) == 0


def test_a_filtered_prototype_keeps_what_is_near_the_reference() -> None:
    reference = square(48, 18, 18, 10)
    ink = np.maximum(square(48, 17, 17, 12), square(48, 2, 2, 6))
    found = filtered(ink, reference)
    assert found[:9, :9].max() < 1e-6
    assert found[20:26, 20:26].min() > 0.99


def test_the_dot_of_an_i_is_its_own_and_a_speck_is_not() -> None:
    letter = np.zeros((48, 48))
    letter[20:40, 22:26] = 1
    letter[8:12, 22:26] = 1
    letter[5, 5] = 1
    region = own_region(letter)
    assert region[10, 23] > 0.9
    assert region[5, 5] == 0
    assert (own_region(np.zeros((8, 8))) == 1).all()


def test_flags_name_the_gravest_doubt() -> None:
    count, quality = np.array([[0, 2, 2, 9, 9, 9]]), np.array([[99.0, 0, 31, 15.5, 31, 15.4]])
    assert flags(count, quality, 5) == (("absent", "few", "failed", "suspect", "failed", ""),)


def test_a_median_leaves_out_what_is_not_known() -> None:
    rng = np.random.default_rng(0)
    ink = rng.integers(0, 256, (7, 3, 4)).astype(np.uint8)
    weight = np.where(rng.random(ink.shape) < 0.6, 255, 0).astype(np.uint8)
    weight[:, 0, 0] = 0
    found = weighted_median(ink, weight)
    for place in np.ndindex(3, 4):
        known = ink[(slice(None), *place)][weight[(slice(None), *place)] > 0]
        assert found[place] == (np.median(known) if len(known) else 0)
    full = np.full_like(weight, 255)
    assert np.array_equal(weighted_median(ink, full), np.median(ink, axis=0))


def test_what_instances_say_of_a_prototype() -> None:
    made = instances(documents(["one", "two"], "ab"), 7, seed=2)
    letters = np.flatnonzero(made.letter == 1)
    levels = hierarchy(made, "document", ["document"])
    reference = np.stack([glyph(one) for one in "ab"])
    ink = np.stack([reference] * 2)
    ink[1, 0] = np.roll(reference[0], 24, axis=0)
    found = assemble(made, levels, "document", ink, reference, method="hierarchical")
    own = made.ink[letters[:7]] / 255
    np.testing.assert_allclose(found.mean[0, 1], own.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.median[0, 1], np.median(own, 0), atol=1e-5)
    np.testing.assert_allclose(found.variance[0, 1], own.var(0, ddof=1), atol=1e-5)
    assert found.count.tolist() == [[7, 7], [7, 7]]
    assert found.medoid[0, 1] in letters[:7]
    assert found.medoid[1, 1] in letters[7:]
    assert found.flag == (("", ""), ("failed", ""))
    assert found.groups == ("one", "two")


def test_a_letter_that_a_group_does_not_have_is_absent() -> None:
    shapes = documents(["one", "two"], "ab")
    del shapes["two"]["b"]
    made = instances(shapes, 3)
    levels = hierarchy(made, "document", ["document"])
    reference = np.stack([glyph(one) for one in "ab"])
    found = assemble(made, levels, "document", np.stack([reference] * 2), reference,
                     method="hierarchical")  # fmt: skip
    assert found.flag == (("few", "few"), ("few", "absent"))
    assert found.medoid[1, 1] == -1
    assert not found.mean[1, 1].any()
    assert not found.shown.any()
