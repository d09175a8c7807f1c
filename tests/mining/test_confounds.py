"""Labels told without content: intervals, probes, columns, and the warning."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from typika.collection.images import ImageCollection
from typika.errors import ConfigError
from typika.mining import confounds
from typika.mining.confounds import (
    Column,
    ConfoundConfig,
    Sample,
    auc_interval,
    confound_table,
    metadata_columns,
    says_the_same,
    warnings,
)

FEW_TREES = 12


def sample_of(label: np.ndarray, group: np.ndarray | None = None, n_labels: int = 2) -> Sample:
    truth = label[:, None] == np.arange(n_labels)
    return Sample.of(truth, np.arange(len(label)) if group is None else group, seed=0)


def test_folds_keep_groups_whole_and_labels_even(rng):
    group = rng.integers(0, 60, 200)
    label = group % 2
    sample = sample_of(label, group)
    assert all(len(np.unique(sample.fold[group == one])) == 1 for one in np.unique(group))
    for fold in range(confounds.FOLDS):
        assert set(label[sample.fold == fold]) == {0, 1}
    same = sample_of(label, group)
    np.testing.assert_array_equal(sample.fold, same.fold)


def border_images(rng: np.random.Generator, planted: bool) -> tuple[list[Image.Image], np.ndarray]:
    """Noise pictures of two labels; with `planted` most of the second have a dark left edge."""
    images, label = [], np.arange(120) % 2
    for number in range(120):
        pixels = rng.integers(90, 200, (48, 48, 3)).astype(np.uint8)
        if planted and label[number] and number % 8 != 1:
            pixels[:, :2] = 20
        images.append(Image.fromarray(pixels))
    return images, label


def table_of(images: list[Image.Image], label: np.ndarray, columns=(), content=(0.95, 0.95)):
    from io import BytesIO

    from typika.collection._decode import header
    from typika.mining.descriptors import FAMILIES, describe

    described = []
    for image in images:
        buffer = BytesIO()
        image.save(buffer, "PNG")
        described.append(describe(image, header(buffer.getvalue())))
    families = {name: np.stack([one[name] for one in described]) for name in FAMILIES}
    return confound_table(("a", "b"), sample_of(label), families, columns, content, 0, FEW_TREES)


def row_of(table: pa.Table, label: str, family: str) -> dict:
    [row] = [r for r in table.to_pylist() if r["label"] == label and r["family"] == family]
    return row


def test_a_planted_border_is_told_and_none_is_not(rng):
    images, label = border_images(rng, planted=True)
    told = table_of(images, label)
    row = row_of(told, "b", "border")
    assert row["explains"]
    assert row["low"] > 0.75
    assert row["n"] == 60
    assert row_of(told, "b", "resolution")["auc"] == 0.5  # one size tells nothing
    sentences = warnings(told.filter(pc.equal(told["family"], "border")))
    assert "the border (AUC 0." in sentences[1]
    assert sentences[1].startswith("b looks confounded")
    assert sentences[1].endswith("A classifier of the content reaches 0.95.")

    rng.shuffle(label)
    shuffled = table_of(images, label)
    assert all(abs(row["auc"] - 0.5) < 0.2 for row in shuffled.to_pylist())
    assert warnings(shuffled) == ()
    assert warnings(table_of(*border_images(rng, planted=False))) == ()


def test_the_answer_does_not_depend_on_what_else_is_asked(rng):
    images, label = border_images(rng, planted=True)
    column = Column("room", rng.integers(0, 5, 120).astype(float), named=True)
    alone, beside = table_of(images, label), table_of(images, label, [column])
    for name in ("border", "tint", "together"):
        assert row_of(alone, "a", name) == row_of(beside, "a", name)


def test_a_nuisance_must_come_near_to_content():
    strong = auc_interval(0.88, 200, 200)
    assert confounds.explains(strong, 0.99)
    assert confounds.explains(strong, None)
    weak = auc_interval(0.78, 200, 200)
    assert not confounds.explains(weak, 0.99)
    assert not confounds.explains(weak, 0.6)  # below the floor, however little content says


def test_columns_are_told_from_the_label_in_other_words(rng):
    n = 120
    label = np.repeat([0, 1, 2], n // 3)
    truth = label[:, None] == np.arange(3)
    year = 1900 + 10 * label + rng.integers(0, 10, n)
    assert says_the_same(Column("year", year.astype(float), named=False), truth)
    exact = 1900 + 10 * label + rng.random(n)  # a value per image
    assert says_the_same(Column("exact", exact, named=False), truth)
    variety = 10 * label + rng.integers(0, 10, n)
    assert says_the_same(Column("variety", variety.astype(float), named=True), truth)
    artist = np.where(rng.random(n) < 0.85, label, (label + 1) % 3)
    assert not says_the_same(Column("artist", artist.astype(float), named=True), truth)
    once = np.arange(n).astype(float)
    assert not says_the_same(Column("name", once, named=True), truth)

    columns = [Column("artist", artist.astype(float), named=True),
               Column("year", year.astype(float), named=False)]  # fmt: skip
    sample = sample_of(label, n_labels=3)
    table = confound_table(("x", "y", "z"), sample, {}, columns, [0.9] * 3, 0, FEW_TREES)
    assert row_of(table, "x", "metadata: artist")["explains"]
    assert not row_of(table, "x", "metadata: year")["explains"]
    assert row_of(table, "x", "metadata: year")["auc"] > 0.95
    sentences = warnings(table)
    assert "the column 'artist'" in sentences[0]
    assert sentences[-1] == "The column 'year' says the same as the label."


def test_columns_that_name_images_or_say_nothing_are_left_out():
    n = 40
    table = pa.table(
        {
            "shelfmark": [f"ms {number}" for number in range(n)],
            "number": list(range(n)),
            "depth": [number / 7 for number in range(n)],
            "library": ["the same"] * n,
            "artist": ["one", "two", None, "two"] * (n // 4),
            "year": pa.array([1900, None, 1910, 1920] * (n // 4), pa.int64()),
            "tags": [["a"]] * n,
        }
    )
    columns = {column.name: column for column in metadata_columns(table)}
    assert list(columns) == ["depth", "artist", "year"]
    assert columns["artist"].named
    assert len(np.unique(columns["artist"].values)) == 3
    assert np.isnan(columns["year"].values).sum() == 10


def test_the_check_reads_a_collection(photos: Path, monkeypatch: pytest.MonkeyPatch):
    collection = ImageCollection.open(photos)
    monkeypatch.setattr(confounds, "content_auc", lambda *_: [0.9, None])
    options = SimpleNamespace(mine="", label=None)
    mining = SimpleNamespace(config=SimpleNamespace(seed=0, collection=options), workers=1)
    table = confounds.confounds(mining, collection)
    assert table.schema == confounds.CONFOUNDS
    assert len(table) == 2 * (len(confounds.FAMILIES) + 1)
    assert set(table["label"].to_pylist()) == {"discs", "triangles"}
    few = confounds.confounds(mining, collection, ConfoundConfig(at_most=6))
    assert sum({row["label"]: row["n"] for row in few.to_pylist()}.values()) == 6
    assert len(confounds.confounds(mining, collection, ConfoundConfig(at_most=0))) == 0
    with pytest.raises(ConfigError, match="at_most=-1"):
        ConfoundConfig(at_most=-1)
