"""Conditions that are not words, as they come in tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pictures import draw_photo
from typika.collection.conditions import FEWEST, read_condition
from typika.collection.images import ImageCollection
from typika.errors import ConfigError, DataError

N = 24


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> ImageCollection:
    root = tmp_path_factory.mktemp("numbers")
    lines = ["file_name,year,latitude,longitude,word,same,few,odd"]
    for number in range(N):
        draw_photo(root / f"{number:02d}.jpg", 0, number)
        year = "" if number == 3 else str(1900 + number)
        few = str(number) if number < FEWEST - 1 else ""
        odd = "inf" if number == 5 else str(number)
        lines.append(f"{number:02d}.jpg,{year},{number / 2},{-number},w{number},7,{few},{odd}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return ImageCollection.open(root, label="")


def with_column(collection: ImageCollection, name: str, column: pa.Array) -> ImageCollection:
    return ImageCollection(collection.root, collection.table.append_column(name, column))


def test_images_need_no_label_where_none_is_wanted(collection: ImageCollection) -> None:
    assert collection.labels == ("all",)
    assert len(collection) == N


def test_a_number(collection: ImageCollection) -> None:
    found = read_condition(collection, ("year",))
    assert found.kind == "number"
    assert found.known.sum() == N - 1
    names = np.array(collection.table["file_name"].to_pylist())
    assert names[~found.known].tolist() == ["03.jpg"]
    own = [1900 + int(name[:2]) for name in names[found.known]]
    assert found.values[found.known, 0].tolist() == own


def test_a_pair(collection: ImageCollection) -> None:
    found = read_condition(collection, ("latitude", "longitude"))
    assert found.kind == "pair"
    assert found.name == "latitude and longitude"
    np.testing.assert_allclose(found.values[:, 0] * -2, found.values[:, 1])


def test_a_vector(collection: ImageCollection) -> None:
    lists = [[float(n), 1.0, -n] if n else None for n in range(N)]
    own = with_column(collection, "sound", pa.array(lists, pa.list_(pa.float32())))
    found = read_condition(own, ("sound",))
    assert found.kind == "vector"
    assert found.known.tolist() == [bool(n) for n in range(N)]
    np.testing.assert_array_equal(found.values[5], [5, 1, -5])


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ((), ConfigError, "name a column"),
        (("yaer",), ConfigError, "'yaer'.*year"),
        (("word",), DataError, "'word'.*numbers"),
        (("same",), DataError, "same"),
        (("few",), DataError, f"only {FEWEST - 1}"),
        (("odd",), DataError, r"'odd'.*05\.jpg"),
    ],
)
def test_what_is_no_condition_is_told(
    collection: ImageCollection, columns: tuple[str, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_condition(collection, columns)


def test_lists_of_one_length_only(collection: ImageCollection) -> None:
    lists = [[1.0] * (2 + n % 2) for n in range(N)]
    with pytest.raises(DataError, match="2 and 3"):
        read_condition(with_column(collection, "sound", pa.array(lists)), ("sound",))
