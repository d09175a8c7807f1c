"""What a page's XML says of its lines -> the bands that they lie in (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typika.collection._line_records import Cut, Drawn


@dataclass(frozen=True)
class Unusable:
    """A line that no band can be given to."""

    reason: str


def cuts_of(lines: Sequence[Drawn | None], size: tuple[int, int]) -> list[Cut | Unusable | None]:
    """TODO"""
    return [None for _ in lines]
