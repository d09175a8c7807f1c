"""How training went, as curves on a logarithmic scale (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from typika.report.typewriter_records import Curve, Tick

WIDTH, HEIGHT = 300.0, 120.0
MOST_TICKS = 4
LEAST_RANGE = 1.5  # highest over lowest value of an axis


def curves(metrics: Sequence[Mapping[str, float]]) -> Iterator[Curve]:
    """Those of the three figures that were measured."""
    yield from _curve(
        metrics, "residual", "Residual",
        "Mean squared difference of a line’s ink and its drawing, while learning.", _decimal,
    )  # fmt: skip
    yield from _curve(
        metrics, "ctc", "Surprise at the transcription",
        "CTC loss, in nats a character: how unlikely the model finds what is written.", _decimal,
    )  # fmt: skip
    yield from _curve(
        metrics, "character_error", "Character error",
        "On lines held out. The ring marks the weights that were kept.", _percent,
    )  # fmt: skip


def checks(metrics: Sequence[Mapping[str, float]]) -> Iterator[tuple[str, ...]]:
    """The same as rows of a table: step, residual, CTC, character error."""
    for row in metrics:
        spelt = (_decimal(row.get("residual")), _decimal(row.get("ctc")),
                 _percent(row.get("character_error")))  # fmt: skip
        yield (f"{row['step']:,.0f}", *spelt)


def _curve(
    metrics: Sequence[Mapping[str, float]],
    key: str,
    title: str,
    meaning: str,
    spell: Callable[[float | None], str],
) -> Iterator[Curve]:
    known = [(row["step"], row[key]) for row in metrics if math.isfinite(row.get(key, math.nan))]
    if len(known) < 2:
        return
    steps, values = zip(*known, strict=True)
    positive = [value for value in values if value > 0] or [1.0]
    floor = min(positive) / (2 if min(values) <= 0 else 1)  # a zero lies below all else
    low, high = _range(floor, max(positive))
    last = max(row["step"] for row in metrics)

    def place(step: float, value: float) -> tuple[float, float]:
        up = math.log(max(value, floor) / low) / math.log(high / low)
        return round(WIDTH * step / last, 1), round(HEIGHT * (1 - up), 1)

    points = [place(*one) for one in known]
    best = None
    if key == "character_error":  # of equals the later was kept
        best = points[max(range(len(values)), key=lambda n: (-values[n], n))]
    yield Curve(
        title=title,
        meaning=meaning,
        points=" ".join(f"{x:g},{y:g}" for x, y in points),
        end=points[-1],
        best=best,
        ticks=tuple(Tick(place=place(0, value)[1], text=spell(value))
                    for value in _round_values(low, high)),
        steps=(Tick(place=0.0, text="0"), Tick(place=WIDTH, text=f"{last:,.0f} steps")),
        said=f"{title}: {spell(values[0])} at step {steps[0]:,.0f}, {spell(min(values))} at its "
        f"lowest, {spell(values[-1])} at the end",
    )  # fmt: skip


def _range(low: float, high: float) -> tuple[float, float]:
    if high / low >= LEAST_RANGE:
        return low, high
    middle = math.sqrt(low * high)
    return middle / math.sqrt(LEAST_RANGE), middle * math.sqrt(LEAST_RANGE)


def _round_values(low: float, high: float) -> list[float]:
    """Round values between two, evenly spread on a logarithmic scale as far as may be."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        values = [digit * 10.0**decade for decade in decades for digit in digits]
        inside = [value for value in values if low * 0.999 <= value <= high * 1.001]
        if len(inside) > MOST_TICKS and len(found) >= 2:
            break
        found = inside
    return found[:: -(-len(found) // MOST_TICKS) or 1]


def _decimal(value: float | None) -> str:
    return (
        ""
        if value is None
        else f"{value:.2g}"
        if value < 1
        else f"{value:.1f}".rstrip("0").rstrip(".")
    )


def _percent(value: float | None) -> str:
    return (
        "" if value is None else f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.0f} %"
    )
