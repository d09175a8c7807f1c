"""Doersch et al. 2012: each step against a plain spelling of it, and a planted glyph found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

from typika.baselines import _detectors, _windows, doersch, hog
from typika.baselines._windows import WindowStore
from typika.collection.images import ImageCollection
from typika.errors import ConfigError, DataError

EACH, SIDE, GLYPH = 24, 64, 24  # images of a label; pixels of an image and of the glyph
SMALL = doersch.DoerschConfig(
    patch_size=0.5, candidates=120, detectors=24, negatives=200, hard_negatives=8
)


def draw(label: int, number: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A ground of blurred colours, the same for both labels; under the first a cross on it."""
    rng = np.random.default_rng([label, number])
    ground = Image.fromarray(rng.integers(60, 200, (5, 5, 3)).astype(np.uint8))
    picture = ground.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    left, top = (int(place) for place in rng.integers(2, SIDE - GLYPH - 2, 2))
    box = (left, top, left + GLYPH, top + GLYPH)
    if label == 0:
        pen.line([left, top, left + GLYPH, top + GLYPH], fill=(250, 250, 250), width=5)
        pen.line([left, top + GLYPH, left + GLYPH, top], fill=(10, 10, 10), width=5)
    return picture, box


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> ImageCollection:
    root = tmp_path_factory.mktemp("planted")
    for label, name in enumerate(("crosses", "grounds")):
        (root / name).mkdir()
        for number in range(EACH):
            draw(label, number)[0].save(root / name / f"{number:02d}.png")
    return ImageCollection.open(root)


@pytest.fixture(scope="module")
def store(planted: ImageCollection) -> WindowStore:
    return _windows.read_windows(planted, np.arange(12), 96, 0.45, workers=1)


@pytest.fixture(scope="module")
def mined(planted: ImageCollection) -> doersch.Detectors:
    return doersch.mine(planted, "crosses", SMALL, seed=0, workers=1)


@pytest.fixture(scope="module")
def many(planted: ImageCollection) -> doersch.Detectors:
    """Detectors of a label with nothing to find, none left out for being like another."""
    return doersch.mine(planted, "grounds", replace(SMALL, shared=50), seed=0, workers=1)


# --- windows ------------------------------------------------------------------------------------


def test_windows_are_numbered_through_in_reading_order(rng: np.random.Generator) -> None:
    shapes = np.array([[8, 9], [10, 8], [9, 9]])
    grids = [rng.random((*shape, 33)).astype(np.float16) for shape in shapes]
    cells = np.concatenate([grid.reshape(-1, 33) for grid in grids])
    store = WindowStore(cells, shapes, np.ones(2 + 3 + 4, bool))
    expected = np.concatenate([hog.every_window(grid.astype(np.float32)) for grid in grids])
    number = rng.permutation(9)
    np.testing.assert_array_equal(store.descriptors(number), expected[number])
    assert store.image_of(np.arange(9)).tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert store.corner_of(np.array([1, 4, 7])).tolist() == [[0, 1], [2, 0], [1, 0]]


def test_contrast_is_the_range_of_percentiles_of_grey(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (80, 75, 3)) // np.array([[[1]], [[3]]]).repeat(40, 0)
    pixels = pixels.astype(np.uint8)
    grey = np.rint(pixels @ [0.2125, 0.7154, 0.0721])
    found = _windows.contrast_range(pixels)
    assert found.shape == (3, 2)
    for top, left in np.ndindex(3, 2):
        window = grey[top * 8 : top * 8 + 64, left * 8 : left * 8 + 64]
        low, high = np.percentile(window, [1, 99])
        assert found[top, left] == pytest.approx((high - low) / 255)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(512, 300, (437, 256)), (20, 40, (256, 512)), (9, 900, (256, 2048)), (256, 256, (256, 256))],
)
def test_images_are_looked_at_with_one_short_side(
    width: int, height: int, expected: tuple[int, int]
) -> None:
    assert _windows.working_size(width, height, 256) == expected


def test_no_window_is_drawn_twice_and_images_take_turns(store: WindowStore) -> None:
    images = np.array([1, 4, 5, 9])
    drawn = _windows.draw_windows(store, images, 90, np.random.default_rng(0), with_contrast=False)
    assert len(set(drawn.tolist())) == 90
    image = store.image_of(drawn)
    for start in range(0, 88, 4):  # each image has 25 windows
        assert sorted(image[start : start + 4]) == images.tolist()
    everything = _windows.draw_windows(
        store, images, 1000, np.random.default_rng(0), with_contrast=False
    )
    assert len(set(everything.tolist())) == len(everything) == 100


def test_blank_windows_are_not_drawn_where_contrast_is_asked_for(store: WindowStore) -> None:
    drawn = _windows.draw_windows(
        store, np.arange(12), 1000, np.random.default_rng(0), with_contrast=True
    )
    assert sorted(drawn) == np.flatnonzero(store.contrast).tolist()
    assert 0 < len(drawn) < store.first_window[-1]


# --- folds --------------------------------------------------------------------------------------


def test_folds_are_even_and_never_divide_a_unit(rng: np.random.Generator) -> None:
    unit = np.concatenate([np.arange(60), rng.integers(60, 70, 40)])
    positive = rng.random(100) < 0.3
    fold = _windows.divide(unit, positive, 3, rng)
    for number in range(70):
        assert len(set(fold[unit == number])) <= 1
    for kind in (True, False):
        counts = np.bincount(fold[positive == kind], minlength=3)
        assert np.ptp(counts) <= 2


def test_images_count_once_and_folds_respect_groups() -> None:
    # Rows: two labels of one image; a near-duplicate of it; a group of two; six on their own.
    image = ["00", "00", "01", "02", "03", "04", "05", "06", "07", "08", "09"]
    label = ["a", "b", "a", "a", "b", "a", "b", "b", "a", "b", "b"]
    duplicate = ["00", "00", "00", *image[3:]]
    group = ["", "", "", "g", "g", "", "", "", "", "", ""]
    n = len(image)
    table = pa.table(
        {
            "image_id": image, "file_name": [f"{i}.png" for i in range(n)], "label": label,
            "width": pa.array([64] * n, pa.int32()), "height": pa.array([64] * n, pa.int32()),
            "group": group, "duplicate": duplicate, "split": [""] * n,
        }
    )  # fmt: skip
    images = doersch.label_images(ImageCollection(Path("x"), table), "a", 3, seed=0)
    assert images.row.tolist() == [0, 3, 4, 5, 6, 7, 8, 9, 10]
    assert images.positive.tolist() == [True, True, False, True, False, False, True, False, False]
    assert images.fold[1] == images.fold[2]
    assert sorted(np.bincount(images.fold)) == [3, 3, 3]
    # Of the image with both labels, the row of the label that is mined.
    images = doersch.label_images(ImageCollection(Path("x"), table), "b", 3, seed=0)
    assert images.row[:2].tolist() == [1, 2]
    assert images.positive[:2].tolist() == [True, False]
    with pytest.raises(DataError, match="'a': 4 distinct images do not fill 5 disjoint folds"):
        doersch.label_images(ImageCollection(Path("x"), table), "a", 5, seed=0)


def test_training_never_sees_the_fold_that_mined_its_positives(
    planted: ImageCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training takes windows of one fold, judged until then by other folds' detectors."""
    images = doersch.label_images(planted, "crosses", 3, seed=0)
    seen = []

    def spy(store, positives, hard, negatives, c, *, workers):
        seen.append((store.image_of(positives), store.image_of(negatives)))
        trained.append(train(store, positives, hard, negatives, c, workers=workers))
        return trained[-1]

    trained: list[_detectors.Trained] = []
    train = doersch.train
    monkeypatch.setattr(doersch, "train", spy)
    found = doersch.mine(planted, "crosses", SMALL, seed=0)
    assert len(seen) == 3
    for fold, (positives, negatives) in enumerate(seen):
        assert (images.fold[positives] == fold).all()
        assert (images.fold[negatives] == fold).all()
        assert images.positive[positives].all()
        assert not images.positive[negatives].any()
    judged = np.searchsorted(images.row, found.row)
    assert (images.fold[judged] != 2).all()
    whole = _windows.read_windows(planted, images.row[images.fold != 2], 128, 0.15, workers=1)
    last = trained[-1]
    scores = whole.descriptors(np.arange(whole.first_window[-1])) @ last.weights.T + last.bias
    best = scores.max(axis=0)
    assert all(np.abs(best - score).min() < 1e-4 for score in found.score[:, 0])


# --- detectors ----------------------------------------------------------------------------------


def test_search_is_exact(store: WindowStore, rng: np.random.Generator) -> None:
    weights = store.descriptors(rng.permutation(300)[:7])
    images = np.array([0, 2, 3, 5, 7, 8, 10, 11, 1])
    found = _detectors.search(store, weights, images, 5, workers=1, name="x")
    for detector, weight in enumerate(weights):
        score = store.descriptors(np.arange(300)).astype(np.float64) @ weight
        best = {}
        for image in images:
            own = np.flatnonzero(store.image_of(np.arange(300)) == image)
            best[image] = own[score[own].argmax()]
        expected = sorted(best.values(), key=lambda window: -score[window])[:5]
        assert found.window[detector].tolist() == expected
        np.testing.assert_allclose(found.score[detector], score[expected], atol=1e-5)


def test_of_equal_scores_the_earlier_image_wins(store: WindowStore) -> None:
    nothing = np.zeros((2, hog.DIMENSIONS), np.float32)
    found = _detectors.search(store, nothing, np.arange(12), 4, workers=1, name="x")
    assert store.image_of(found.window).tolist() == [[0, 1, 2, 3]] * 2


def test_equal_scores_stay_in_order_in_long_lists() -> None:
    window, score = np.arange(300)[None], np.repeat([1, 3, 2], 100)[None].astype(np.float32)
    found = _detectors._best([_detectors.Matches(window, score)], 250)
    assert found.window[0].tolist() == [*range(100, 300), *range(50)]


def test_detectors_that_find_the_same_are_one(
    store: WindowStore, rng: np.random.Generator
) -> None:
    n, k = 30, 6
    image = np.stack([rng.permutation(12)[:k] for _ in range(n)])
    window = store.first_window[image] + rng.integers(0, 25, (n, k))
    matches = _detectors.Matches(window, np.zeros((n, k)))
    order = rng.permutation(n)

    def alike(one: int, other: int) -> int:
        corner, shared = store.corner_of(window), 0
        for i, j in np.ndindex(k, k):
            step = np.abs(corner[one, i] - corner[other, j])
            common = (8 - step).clip(0).prod()
            shared += image[one, i] == image[other, j] and common / (128 - common) > 0.3
        return shared

    expected: list[int] = []
    for detector in order:
        if all(alike(detector, other) <= 3 for other in expected):
            expected.append(detector)
    found = _detectors.distinct(store, matches, order, 30, overlap=0.3, shared=3)
    assert found.tolist() == expected
    assert 3 < len(expected) < n
    few = _detectors.distinct(store, matches, order, 3, overlap=0.3, shared=3)
    assert few.tolist() == expected[:3]


@pytest.mark.parametrize("c", [0.5, 200.0])
def test_training_on_few_negatives_equals_training_on_all(
    store: WindowStore, rng: np.random.Generator, c: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.svm import SVC

    monkeypatch.setattr(_detectors, "GROWTH", 10)
    windows = rng.permutation(300)
    positives, negatives, hard = windows[:10].reshape(2, 5), windows[10:250], windows[250:253]
    hard = np.stack([hard, np.full(3, -1)])
    trained = _detectors.train(store, positives, hard, negatives, c, workers=1)
    for detector in range(2):
        against = np.concatenate([negatives, hard[detector][hard[detector] >= 0]])
        examples = store.descriptors(np.concatenate([positives[detector], against]))
        label = np.arange(len(examples)) < 5
        whole = SVC(C=c, kernel="linear", tol=1e-6).fit(examples.astype(np.float64), label)
        np.testing.assert_allclose(
            examples @ trained.weights[detector] + trained.bias[detector],
            whole.decision_function(examples),
            atol=0.01,
        )


# --- all of it ----------------------------------------------------------------------------------


def test_the_planted_glyph_is_found_first(
    planted: ImageCollection, mined: doersch.Detectors
) -> None:
    held = []
    for row, box in zip(mined.row[0], mined.box[0], strict=True):
        name = Path(planted.table["file_name"][int(row)].as_py())
        truth = draw(0, int(name.stem))[1]
        centre = np.add(truth[:2], truth[2:]) / 2
        held.append(bool((box[:2] <= centre).all() and (centre < box[2:]).all()))
    assert mined.chance == pytest.approx(0.5, abs=0.05)
    assert mined.discriminativeness[0] >= 0.9
    assert np.mean(held) >= 0.9


def test_the_record_is_in_order_and_consistent(
    planted: ImageCollection, many: doersch.Detectors
) -> None:
    assert len(many.row) == SMALL.detectors
    assert len(set(many.discriminativeness)) > 3
    assert (np.diff(many.discriminativeness) <= 0).all()
    assert (np.diff(many.score, axis=1) <= 0).all()
    grounds = planted.label_index[many.row] == planted.labels.index("grounds")
    np.testing.assert_array_equal(many.positive, grounds)
    np.testing.assert_allclose(many.discriminativeness, many.positive.mean(axis=1))
    assert many.box.min() >= 0
    assert many.box.max() <= SIDE
    assert set((many.box[..., 2:] - many.box[..., :2]).ravel()) == {SIDE // 2}
    table = many.table()
    assert table.num_rows == many.row.size
    second = table.slice(many.row.shape[1], 1).to_pylist()[0]
    assert (second["cluster"], second["rank"], second["row"]) == (1, 1, many.row[1, 0])
    assert [second[side] for side in ("left", "top", "right", "bottom")] == many.box[1, 0].tolist()


def test_boxes_are_in_pixels_of_the_image_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(3):
            noise = rng.integers(0, 256, (8, 16, 3)).astype(np.uint8)
            Image.fromarray(noise).resize((301, 151)).save(tmp_path / label / f"{number}.png")
    found = doersch.mine(ImageCollection.open(tmp_path), "a", replace(SMALL, candidates=12))
    left, top, right, bottom = np.moveaxis(found.box, -1, 0)
    assert ((left >= 0) & (left < right) & (right <= 301)).all()
    assert ((top >= 0) & (top < bottom) & (bottom <= 151)).all()
    np.testing.assert_allclose(right - left, 151 / 2, atol=1)
    assert right.max() > 200


@pytest.mark.slow
def test_workers_change_nothing(planted: ImageCollection, mined: doersch.Detectors) -> None:
    again = doersch.mine(planted, "crosses", SMALL, seed=0, workers=2)
    assert again.table() == mined.table()
    other = doersch.mine(planted, "crosses", SMALL, seed=1, workers=1)
    assert other.table() != mined.table()


def test_errors_say_what_to_do(planted: ImageCollection) -> None:
    with pytest.raises(ConfigError, match=r"label 'circles'.*choose one of 'crosses', 'grounds'"):
        doersch.mine(planted, "circles", SMALL)
    with pytest.raises(DataError, match=r"'grounds'.*contrast of 0.99; lower contrast"):
        doersch.mine(planted, "grounds", replace(SMALL, contrast=0.99))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patch_size", 1.5), ("candidates", 0), ("folds", 0), ("first_neighbours", 51),
        ("c", 0.0), ("overlap", 1.5), ("contrast", -0.1), ("hard_negatives", -1), ("shared", -1),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{field}={value}"):
        doersch.DoerschConfig(**{field: value})
