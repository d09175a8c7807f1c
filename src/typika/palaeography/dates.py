"""Dates as catalogues write them: "818", "800-825", "ca. 1100-1199?", "s. IX", "12th century"."""

from __future__ import annotations

import re

_ABOUT = re.compile(r"^(?:circa|about|ca?\.?)\s*(?=\d)", re.IGNORECASE)
_YEAR = re.compile(r"(\d{3,4})")
_DAY = re.compile(r"(\d{3,4})-(\d{2})(?:-\d{2})?")
_RANGE = re.compile(r"(\d{3,4})\s*[-–—/]\s*(\d{3,4})")
_CENTURY = re.compile(r"(?:saec|sæc|s)\.?\s*([ivx]+)", re.IGNORECASE)
_ORDINAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)\s+(?:century|c\.?)", re.IGNORECASE)
_ROMAN = {"i": 1, "v": 5, "x": 10}


def year(text: str) -> float | None:
    """The middle of a date, in years; None where it cannot be read.

    A doubt ("?", square brackets, "ca.") does not move it: 1100-1199? is 1149.5. A century is from
    its first year to its hundredth as the years are counted: s. IX, 800 to 899.
    """
    plain = _ABOUT.sub("", text.strip().strip("[]()").rstrip("?").strip())
    plain = plain.rstrip("?").strip()
    if found := _YEAR.fullmatch(plain):
        return float(found[1])
    if found := _RANGE.fullmatch(plain):
        start, end = int(found[1]), int(found[2])
        return (start + end) / 2 if start <= end else None
    if (found := _DAY.fullmatch(plain)) and 1 <= int(found[2]) <= 12:
        return float(found[1])
    if found := _ORDINAL.fullmatch(plain):
        return _middle(int(found[1]))
    if found := _CENTURY.fullmatch(plain):
        return _middle(_roman(found[1].lower()))
    return None


def _middle(century: int) -> float | None:
    return 100 * century - 50.5 if 1 <= century <= 21 else None


def _roman(letters: str) -> int:
    values = [_ROMAN[letter] for letter in letters]
    following = [*values[1:], 0]
    return sum(-one if one < after else one for one, after in zip(values, following, strict=True))
