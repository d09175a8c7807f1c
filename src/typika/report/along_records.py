"""The page of elements along a condition: plain frozen records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A stretch of the condition in a chart: its place, what is found there and how surely.

    x, y, low, high: in units of the drawing; text: what it stands for.
    """

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True, kw_only=True)
class ElementRow:
    """One element of the page."""

    number: int  # from 1
    title: str  # where it is, in words
    verdict: str  # one of mining.significance.VERDICTS
    text: str  # its figures in plain sentences
    dots: tuple[Dot, ...]
    line: str  # points of the profile of shares, for SVG; "" where there is no axis
    first: str  # the ends of the axis in words
    last: str
    pictures: tuple[tuple[str, str], ...]  # JPEG in base64 and its words, along the condition


@dataclass(frozen=True, kw_only=True)
class AlongPage:
    """Everything the template shows."""

    title: str
    version: str
    date: str
    lead: tuple[str, ...]
    notes: tuple[str, ...]
    found: tuple[ElementRow, ...]  # that depend on the condition
    others: tuple[ElementRow, ...]  # of which it is not shown
    facts: tuple[tuple[str, str], ...]
    kind: str  # number, pair or vector
    condition: str
    left_out: tuple[str, ...]
