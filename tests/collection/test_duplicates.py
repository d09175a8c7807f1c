import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagery import encoded, picture
from PIL import Image, ImageEnhance

from typika.collection import _duplicates
from typika.collection._decode import look
from typika.collection._duplicates import near_duplicates


def groups(images):
    looks = [look(encoded(image)) for image in images]
    hashes = np.array([seen.phash for seen in looks], np.uint64)
    thumbnails = np.stack([np.frombuffer(seen.thumbnail, np.uint8) for seen in looks])
    return near_duplicates(hashes, thumbnails).tolist()


def test_copies_are_found_and_strangers_are_not():
    base = [picture(seed, (256, 200)) for seed in range(8)]
    small = base[2].resize((128, 100))
    dark = ImageEnhance.Brightness(base[4]).enhance(0.7)
    shifted = base[6].crop((2, 2, 256, 200))
    assert groups([*base, small, dark, shifted]) == [0, 1, 2, 3, 4, 5, 6, 7, 2, 4, 6]


def test_featureless_images_do_not_match_each_other():
    noise = np.random.default_rng(0)
    flat = [
        Image.fromarray((level + noise.integers(0, 2, (64, 64))).astype(np.uint8))
        for level in (10, 80, 80, 200)
    ]
    steps = []
    for level in (20, 90):
        step = np.full((64, 64), level, np.uint8)
        step[:, 32:] += 1  # a fold that only a machine sees
        step[40:, :] += 1
        steps.append(Image.fromarray(step))
    assert groups([*flat, *steps]) == [0, 1, 2, 3, 4, 5]


def test_a_shared_layout_makes_no_duplicates():
    # Black mount, white sheet, one small blob: what the images share must not count.
    images = []
    for seed in range(60):
        sheet = Image.new("RGB", (120, 180), "black")
        sheet.paste("ivory", (12, 12, 108, 168))
        sheet.paste(picture(seed, (60, 60)), (30, 40))
        images.append(sheet)
    assert groups(images) == list(range(60))


def test_a_chain_of_look_alikes_is_no_group():
    n = 12
    links = np.arange(n - 1)
    group = _duplicates._average_link(n, links, links + 1, np.full(n - 1, 0.99))
    assert max(np.bincount(group)) <= 6


def test_a_clique_is_one_group():
    left, right = np.triu_indices(9, 1)
    group = _duplicates._average_link(9, left, right, np.full(len(left), 0.99))
    assert group.tolist() == [0] * 9


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_banding_finds_exactly_the_near_pairs(n, seed, flips):
    generator = np.random.default_rng(seed)
    hashes = np.repeat(generator.integers(0, 2**64, 3, dtype=np.uint64), 20)[:n]
    for i in range(len(hashes)):
        for bit in generator.integers(0, 64, flips):
            hashes[i] ^= np.uint64(1) << np.uint64(bit)
    found = {
        pair
        for left, right in _duplicates._candidates(hashes)
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    }
    left, right = np.triu_indices(len(hashes), 1)
    near = np.bitwise_count(hashes[left] ^ hashes[right]) <= _duplicates.MAX_DISTANCE
    assert found == set(zip(left[near].tolist(), right[near].tolist(), strict=True))


def test_blocks_do_not_change_the_candidates(monkeypatch):
    hashes = np.random.default_rng(0).integers(0, 4, 40, dtype=np.uint64)
    whole = [np.concatenate(pairs) for pairs in zip(*_duplicates._candidates(hashes), strict=True)]
    monkeypatch.setattr(_duplicates, "_BLOCK", 7)
    parts = [np.concatenate(pairs) for pairs in zip(*_duplicates._candidates(hashes), strict=True)]
    assert len(whole[0])
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize("n", [0, 1])
def test_few_images(n):
    assert (
        near_duplicates(np.zeros(n, np.uint64), np.zeros((n, 1024), np.uint8)).tolist() == [0] * n
    )
