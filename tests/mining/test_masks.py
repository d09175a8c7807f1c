"""Places where no patch may be."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from typika.collection.images import ImageCollection
from typika.errors import ConfigError, DataError
from typika.mining import patches, stages
from typika.mining.masks import Mask, MaskText
from typika.mining.patches import SelectConfig


def test_masks_are_read_from_text():
    assert MaskText.parse("") == MaskText()
    assert MaskText.parse("border").border == 0.05
    full = MaskText.parse("border=0.1, frame.PNG,boxes/b.csv, artefacts")
    assert full == MaskText(0.1, Path("frame.PNG"), Path("boxes/b.csv"), artefacts=True)
    assert MaskText.parse("boxes.json").boxes == Path("boxes.json")


@pytest.mark.parametrize(
    "text",
    [
        "edge",
        "border=0",
        "border=0.5",
        "border=wide",
        "a.jpg",
        "border,border",
        "a.png,b.png",
        ",",
    ],
)
def test_what_is_no_mask_is_told(text):
    with pytest.raises(ConfigError, match="mask="):
        SelectConfig(mask=text)


def test_causes_are_what_files_hold_and_not_their_names(tmp_path):
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("file_name,x,y,width,height\n*,0,0,4,4\n")
    causes = [MaskText.parse(str(tmp_path / name)).causes for name in ("one.csv", "two.csv")]
    assert causes[0] == causes[1]
    (tmp_path / "two.csv").write_text("file_name,x,y,width,height\n*,0,0,4,5\n")
    assert MaskText.parse(str(tmp_path / "two.csv")).causes != causes[0]
    assert MaskText.parse("artefacts").causes == MaskText.parse("").causes == {}
    with pytest.raises(ConfigError, match="no such file"):
        _ = MaskText.parse("absent.png").causes
    with pytest.raises(DataError):
        Mask.read(MaskText.parse("absent.png"))


def mask_of(text: str) -> Mask:
    mask = Mask.read(MaskText.parse(text))
    assert mask is not None
    return mask


def test_a_border_lies_on_all_sides():
    found = mask_of("border=0.1").forbidden((20, 40), (400, 200), (), "a")
    assert not found[2:-2, 2:-2].any()
    assert found.sum() == 20 * 40 - 16 * 36
    assert Mask.read(MaskText.parse("artefacts")) is None


def test_white_of_a_picture_is_forbidden_whatever_the_size(tmp_path):
    pixels = np.zeros((10, 10), np.uint8)
    pixels[0, 9] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    mask = mask_of(str(tmp_path / "m.png"))
    large = mask.forbidden((100, 200), (200, 100), (), "a")
    assert large[:10, 180:].all()
    assert large.sum() == 10 * 20
    small = mask.forbidden((3, 2), (20, 30), (), "a")
    np.testing.assert_array_equal(small, [[False, True], [False, False], [False, False]])


def test_boxes_hold_for_their_image_or_for_every_one(tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text(
        "file_name,label,x,y,width,height\n"
        "*,,0,0,10,10\n"
        "*,b,90,0,10,10\n"
        "one.jpg,,40,40,20,20\n"
    )  # fmt: skip
    mask = mask_of(str(table))

    def area(name: str, label: str) -> int:
        return int(mask.forbidden((50, 50), (100, 100), (name, "ffff"), label).sum())

    assert area("two.jpg", "a") == 5 * 5
    assert area("two.jpg", "b") == 2 * 5 * 5
    assert area("one.jpg", "a") == 5 * 5 + 10 * 10


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_no_box_holds_a_forbidden_pixel(seed, size):
    rng = np.random.default_rng(seed)
    forbidden = rng.random((24, 31)) < 0.02
    blocked = patches.blocked_places(forbidden, size)
    values = rng.normal(size=forbidden.shape)
    best = patches.best_boxes(values, size, 5, blocked)
    drawn = patches.random_boxes(24, 31, size, 5, rng, blocked)
    for boxes in (best, drawn):
        for top, left in zip(boxes.top, boxes.left, strict=True):
            assert not forbidden[top : top + size, left : left + size].any()
    assert bool(len(best.top)) == bool(len(drawn.top)) == (not blocked.all())
    nothing = np.zeros_like(forbidden)
    free = patches.best_boxes(values, size, 5, patches.blocked_places(nothing, size))
    np.testing.assert_array_equal(free.top, patches.best_boxes(values, size, 5).top)


def test_a_label_without_a_place_left_is_told(photos):
    collection = ImageCollection.open(photos)
    options = SimpleNamespace(mine="")
    config = SimpleNamespace(select=SelectConfig(mask="border=0.4"), collection=options)
    mining = SimpleNamespace(config=config)
    stages.require_patches(pa.table({"row": np.arange(24)}), collection, mining)
    discs = np.flatnonzero(collection.label_index == 0)
    with pytest.raises(ConfigError, match=r"no image of triangles has room .* make the mask"):
        stages.require_patches(pa.table({"row": discs}), collection, mining)
