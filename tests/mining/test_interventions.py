"""Changes of an image: each takes its nuisance away and leaves the rest."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from typika.mining import descriptors, interventions
from typika.mining.interventions import Look


@pytest.fixture
def scene(rng) -> Image.Image:
    """A light ground with a few coloured shapes."""
    pixels = np.full((96, 120, 3), (205, 200, 190), np.uint8)
    for _ in range(6):
        top, left = rng.integers(0, 70), rng.integers(0, 90)
        pixels[top : top + 20, left : left + 20] = rng.integers(30, 220, 3)
    return Image.fromarray(pixels)


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(float)


def test_lab_goes_there_and_back(rng):
    pixels = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    again = descriptors.rgb_of(descriptors.lab_of(pixels))
    assert np.abs(again.astype(int) - pixels).max() <= 1


def test_what_is_common_already_hardly_changes(scene):
    own = Look.of(scene)
    for name, change in interventions.CHANGES.items():
        changed = change(scene, own)
        assert changed.size == scene.size
        limit = 4 if name in ("border", "re-encoding") else 1
        assert np.abs(values(changed) - values(scene)).mean() < limit, name


def test_brightness_is_brought_to_the_common_one(scene):
    common = replace(Look.of(scene), light=60.0, contrast=12.0)
    found = Look.of(interventions.relit(scene, common))
    assert_allclose((found.light, found.contrast), (60, 12), atol=1)
    even = Image.new("RGB", (40, 40), (90, 90, 90))
    assert Look.of(interventions.relit(even, common)).contrast < 1  # nothing to stretch


def test_a_cast_goes_whatever_it_was(scene):
    own = Look.of(scene)
    warm = Image.fromarray((values(scene) * (1.0, 0.95, 0.8)).astype(np.uint8))
    assert np.subtract(Look.of(warm).cast, own.cast)[1] > 5
    without = interventions.untinted(warm, own)
    assert_allclose(Look.of(without).cast, own.cast, atol=1)
    # The cast was a gain of each channel: taken away, every pixel is as it was but for the light.
    assert ((values(without) + 1) / (values(scene) + 1)).std() < 0.02


def test_a_border_goes_and_the_inside_stays(scene):
    pixels = np.asarray(scene).copy()
    pixels[:, :3] = 0
    cleaned = values(interventions.unbordered(Image.fromarray(pixels)))
    assert cleaned[:, :3].min() > 20
    assert_allclose(cleaned[10:-10, 10:-10], values(scene)[10:-10, 10:-10])
    tiny = Image.new("RGB", (3, 3))
    assert interventions.unbordered(tiny) is tiny


def test_grain_goes_and_edges_stay(scene, rng):
    scene.paste((205, 200, 190), (0, 0, 120, 10))  # an even strip to measure grain on
    noisy = values(scene) + rng.normal(0, 8, (96, 120, 1))
    noisy_image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))

    def grain(image: Image.Image) -> float:
        return float(np.diff(values(image)[:10, :, 1], axis=1).std())

    assert grain(interventions.reencoded(noisy_image)) < 0.4 * grain(noisy_image)
    kept = np.abs(values(interventions.reencoded(scene)) - values(scene)).mean()
    assert kept < 4


def test_detail_above_the_common_size_goes(rng):
    pixels = rng.integers(0, 256, (80, 80, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    common = replace(Look.of(image), short=20)
    assert values(interventions.resampled(image, common)).std() < 0.5 * values(image).std()
    assert interventions.resampled(image, replace(common, short=80)) is image


def test_the_common_look_is_a_median_and_a_size_that_most_reach():
    looks = [Look(10.0 * n, 1.0 * n, (1.0 * n, -1.0 * n), 100 + n) for n in range(11)]
    assert interventions.common_look(looks) == Look(50.0, 5.0, (5.0, -5.0), 101)
