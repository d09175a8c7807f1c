from __future__ import annotations

import numpy as np
import pytest
from drawn_lines import HEIGHT, shapes, small_sheet

from typika.errors import DataError
from typika.typewriter.sheet import sheet_of, trimmed


def test_drawings_lose_empty_columns_and_keep_their_rows() -> None:
    padded = np.pad(shapes()[0], ((0, 0), (4, 2)))
    cut = trimmed(padded)
    assert cut is not None
    np.testing.assert_array_equal(cut, shapes()[0])


def test_what_has_no_ink_is_left_out() -> None:
    assert trimmed(np.full((HEIGHT, 5), 0.03)) is None
    assert len(sheet_of([np.zeros((HEIGHT, 4)), shapes()[0]])) == 1
    with pytest.raises(DataError, match="none of the drawings"):
        sheet_of([np.zeros((HEIGHT, 4))])


def test_cores_leave_thin_tails_to_the_neighbours() -> None:
    tailed = np.zeros((HEIGHT, 12))
    tailed[8:16, 2:10] = 1
    tailed[8, :2] = tailed[8, 10:] = 0.5
    sheet = sheet_of([tailed, shapes()[0]])
    assert sheet.core[0].tolist() == [2, 10]
    assert sheet.core[1].tolist() == [0, 6]  # no tail: all its own


def test_a_box_holds_the_ink() -> None:
    assert small_sheet().box(3) == (0, 14, 3, 17)
