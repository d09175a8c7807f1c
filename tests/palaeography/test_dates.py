from __future__ import annotations

import pytest

from typika.palaeography.dates import year


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("818", 818), ("800-825", 812.5), ("1000-1099", 1049.5), ("1100-1199?", 1149.5),
        ("ca. 900", 900), ("[1049–1075]", 1062), ("c.1100?", 1100), ("1423-05-06", 1423),
        ("s. IX", 849.5), ("saec. xi", 1049.5), ("12th century", 1149.5), ("circa 780/790", 785),
    ],
)  # fmt: skip
def test_dates_are_read_to_their_middle(written: str, wanted: float) -> None:
    assert year(written) == wanted


@pytest.mark.parametrize(
    "written",
    ["", "?", "undated", "825-800", "s. IX ex.", "before 900", "1423-13", "99th century"],
)
def test_what_cannot_be_read_is_no_date(written: str) -> None:
    assert year(written) is None
