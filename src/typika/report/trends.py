"""What changes with the label -> a frozen `TrendsPage`: choice, pictures, wording (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from typika.evaluation import Estimate
from typika.mining.trends import MEASURES, Measure, Measured, Trend, Trends, smallest_p
from typika.report.budget import FRAME_BYTES, MEGABYTE
from typika.report.comparison import PER_CENT
from typika.report.comparison_records import Cell, Picture
from typika.report.outlines import outlined
from typika.report.pictures import heat_picture, jpeg_base64
from typika.report.trends_records import (
    Chart,
    ChartRow,
    Example,
    Marked,
    PairFigure,
    ShownPair,
    TargetSection,
    TrendRow,
    TrendsInputs,
    TrendsPage,
)

LINE = 320  # units of a chart's line
MOST_ROWS, LEAST_ROWS = (
    14,
    5,
)  # classes on a chart; those not shown to change fill it up to the least
MOST_CLASSES, MOST_PAIRS = 3, 2  # of a label with examples; examples of each
MOST_LISTED = 400  # lines of the table of all
SHOWN_SIDE, QUALITY = 260, 76  # pixels of the longer side of an image, of JPEG
CALLED = ("of the label", "changed")
MARKS = {"of the label": "●", "changed": "◐", "not shown": "○", "not tested": "–"}
WORDS = {
    "of the label": "changes, and otherwise than under other labels",
    "changed": "changes",
    "not shown": "no change shown",
    "not tested": "too few change to tell",
}
TITLES: dict[Measure, str] = {"area": "Share of the area", "instances": "Instances in an image"}


def examples(found: Trends, measured: Measured) -> tuple[Example, ...]:
    """For the clearest trends of each label the images that follow them most."""
    chosen: list[Example] = []
    for target, label in enumerate(measured.targets):
        names: list[str] = []
        own = [one for one in found.trends if one.target == label and one.verdict in CALLED]
        for one in sorted(own, key=_clearness):
            if one.name not in names and len(names) < MOST_CLASSES:
                names.append(one.name)
                chosen += _followers(one, target, measured)
    return tuple(chosen)


def _clearness(one: Trend) -> tuple[int, float, float]:
    """The clearest first: what is the label's own, then what is furthest from chance."""
    width = one.difference.high - one.difference.low
    steps = abs(one.difference.value) / width if width > 0 else math.inf
    return CALLED.index(one.verdict), one.q, -steps


def _followers(one: Trend, target: int, measured: Measured) -> Iterator[Example]:
    number = measured.classes.index(one.name)
    before = measured.original[one.measure][:, number]
    after = measured.translated[one.measure][target, :, number]
    change = np.nan_to_num((after - before) * np.sign(one.difference.value), nan=-math.inf)
    for image in np.argsort(-change, kind="stable")[:MOST_PAIRS].tolist():
        if change[image] > 0:
            yield Example(
                target=one.target, name=one.name, measure=one.measure, image=image,
                before=float(before[image]), after=float(after[image]),
            )  # fmt: skip


def build_trends(inputs: TrendsInputs, *, max_megabytes: float = 25) -> TrendsPage:
    """Decide what the page shows, and word it."""
    found = inputs.trends
    budget = round(max_megabytes * MEGABYTE) - 2 * FRAME_BYTES
    pairs: list[tuple[str, PairFigure]] = []
    for shown in inputs.shown:
        figure = _figure(shown)
        budget -= sum(len(picture.jpeg) + 200 for picture in figure.pictures)
        if budget < 0:
            break
        pairs.append((shown.example.target, figure))
    listed = sorted(found.trends, key=lambda one: (_unknown_last(one.q), one.p))
    return TrendsPage(
        title=inputs.name,
        lead=tuple(_lead(inputs)),
        notes=(*inputs.notes, *_warnings(inputs)),
        targets=tuple(
            _section(inputs, label, tuple(figure for own, figure in pairs if own == label))
            for label in found.n_units
        ),
        rows=tuple(map(_row, listed[:MOST_LISTED])),
        facts={**inputs.facts, **dict(_made(inputs))},
        left_out=tuple(_left_out(inputs, len(pairs))),
        alpha=f"{inputs.alpha:.0%}".replace("%", PER_CENT),
        version=inputs.version,
        date=inputs.date,
    )


def _unknown_last(value: float) -> float:
    return value if math.isfinite(value) else math.inf


# ----------------------------------------------------------------------------------------- words


def _lead(inputs: TrendsInputs) -> Iterator[str]:
    found = inputs.trends
    count = {verdict: sum(one.verdict == verdict for one in found.trends) for verdict in MARKS}
    yield (
        f"{inputs.n_images:,} images of {inputs.name} and their {inputs.n_translations:,} "
        f"translations to {_several(len(found.n_units), 'label')}, segmented by "
        f"{inputs.segmenter}. Each translation is compared with its own original."
    )
    called = sum(count[verdict] for verdict in CALLED)
    rate = f"{inputs.alpha:.0%}".replace("%", PER_CENT)
    yield (
        f"Of {_several(found.n_tests, 'test')} (class × label × measure), {called:,} show a "
        f"change at a false discovery rate of {rate}: that share of them may be false. "
        f"{count['of the label']:,} are also beyond what translation to other labels does."
    )


def _several(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _warnings(inputs: TrendsInputs) -> Iterator[str]:
    """What keeps this many images from telling more."""
    found = inputs.trends
    hopeless = [f"{label} ({n:,})" for label, n in found.n_units.items()
                if smallest_p(n, found.draws) > inputs.alpha]  # fmt: skip
    if hopeless:
        yield (
            f"Too few independent images to show anything: {', '.join(hopeless)}. The smallest "
            f"p-value that n of them can reach is 2^(1−n), and {inputs.alpha:g} needs more."
        )
    alone = [f"{label} ({n:,})" for label, n in found.n_units.items()
             if found.n_tests and inputs.alpha / found.n_tests
             < smallest_p(n, found.draws) <= inputs.alpha]  # fmt: skip
    if alone:
        yield (
            f"So few independent images that a class which changes alone among {found.n_tests:,} "
            f"tests cannot be shown to, however clearly it does: {', '.join(alone)}."
        )
    if not any(math.isfinite(one.others.value) for one in found.trends):
        yield (
            "The images are translated to one label alone, so what the label changes is not told "
            "from what any redrawing changes; translate to other labels as well."
        )


def _sentence(inputs: TrendsInputs, label: str) -> str:
    own = [one for one in inputs.trends.trends if one.target == label]
    n_units = inputs.trends.n_units[label]
    if not own:
        return "No image with a segmentation is translated to it."
    images = _several(own[0].n_images, "image")
    apart = "" if n_units == own[0].n_images else f" in {_several(n_units, 'independent group')}"
    called = [one for one in own if one.verdict in CALLED]
    if not called:
        return f"{images}{apart}: no class is shown to change."
    parts = []
    for word, sign in (("more", 1), ("less", -1)):
        names = list(dict.fromkeys(
            one.name for one in sorted(called, key=_clearness)
            if one.difference.value * sign > 0
        ))  # fmt: skip
        if names:
            more = f" and {len(names) - 5} others" if len(names) > 5 else ""
            parts.append(f"{word} {', '.join(names[:5])}{more}")
    sure = dict.fromkeys(one.name for one in called if one.verdict == CALLED[0])
    beyond = f" Beyond what other labels do: {', '.join(list(sure)[:8])}." if sure else ""
    return f"{images}{apart}: {'; '.join(parts)}.{beyond}"


def _made(inputs: TrendsInputs) -> Iterator[tuple[str, str]]:
    found = inputs.trends
    yield (
        "Family",
        (
            f"{found.n_tests:,} tests: every class, label and measure that could reach "
            f"{inputs.alpha:g} at all (Benjamini, Hochberg)"
        ),
    )
    yield "Signs", f"all of them for at most 14 images that change, else {found.draws:,} drawn"


def _left_out(inputs: TrendsInputs, n_pairs: int) -> Iterator[str]:
    found = inputs.trends
    untested = sum(one.verdict == "not tested" for one in found.trends)
    if inputs.never:
        yield f"Classes that the segmenter knows and no image has: {inputs.never:,}."
    absent = {label: n for label, n in found.absent.items() if n}
    if absent:
        listed = ", ".join(f"{label} {n:,}" for label, n in list(absent.items())[:8])
        yield f"Classes that no image translated to a label has, before or after: {listed}."
    if untested:
        yield f"Not tested, since too few images change in them: {untested:,}."
    if len(found.trends) > MOST_LISTED:
        yield f"Lines of the table: {MOST_LISTED:,} of {len(found.trends):,}."
    if n_pairs < len(inputs.shown):
        yield f"To keep this file small, {n_pairs} of {len(inputs.shown)} examples are shown."


# ---------------------------------------------------------------------------------------- labels


def _section(inputs: TrendsInputs, label: str, pairs: tuple[PairFigure, ...]) -> TargetSection:
    own = [one for one in inputs.trends.trends if one.target == label]
    charts = (_chart(label, measure, [one for one in own if one.measure == measure])
              for measure in MEASURES)  # fmt: skip
    return TargetSection(
        label=label,
        sentence=_sentence(inputs, label),
        charts=tuple(chart for chart in charts if chart.rows),
        pairs=pairs,
    )


def _chart(label: str, measure: Measure, own: Sequence[Trend]) -> Chart:
    """The classes that change, the largest rise first; some others where there are few."""
    ranked = sorted((one for one in own if one.verdict in CALLED), key=_clearness)[:MOST_ROWS]
    rest = sorted((one for one in own if one.verdict == "not shown"), key=lambda one: one.p)
    ranked += rest[: max(0, LEAST_ROWS - len(ranked))]
    ranked.sort(key=lambda one: (one.verdict not in CALLED, -one.difference.value))
    ends = [0.0, *(value for one in ranked for value in _span(one.difference))]
    low, high = min(ends), max(ends)
    width = (high - low) or 1.0

    def place(value: float) -> float:
        return round(LINE * (value - low) / width, 1)

    rows = tuple(_chart_row(one, place) for one in ranked)
    words = "; ".join(f"{row.name} {row.cells[0].text}, {row.word}" for row in rows)
    return Chart(
        title=TITLES[measure], rows=rows, zero=place(0.0),
        ends=(_change(measure, low), _change(measure, high)),
        alt=f"{TITLES[measure]} in translations to {label}: {words}",
    )  # fmt: skip


def _chart_row(one: Trend, place: Callable[[float], float]) -> ChartRow:
    low, high = _span(one.difference)
    return ChartRow(
        name=one.name, mark=MARKS[one.verdict], word=WORDS[one.verdict],
        called=one.verdict in CALLED,
        low=place(low), value=place(one.difference.value), high=place(high),
        cells=(_estimate(one.measure, one.difference), _levels(one),
               _estimate(one.measure, one.others), Cell(text=_rate(one.q))),
    )  # fmt: skip


def _span(estimate: Estimate) -> tuple[float, float]:
    """The interval, or the value alone where there is none."""
    known = math.isfinite(estimate.low)
    return (estimate.low, estimate.high) if known else (estimate.value, estimate.value)


def _row(one: Trend) -> TrendRow:
    return TrendRow(
        label=one.target, name=one.name, measure=one.measure,
        cells=(
            _levels(one), _estimate(one.measure, one.difference),
            _estimate(one.measure, one.others),
            Cell(text=f"{one.n_changed:,}", small=f"of {one.n_units:,}"),
            Cell(text=_rate(one.p)), Cell(text=_rate(one.q)), Cell(text=_rate(one.q_others)),
        ),
        mark=MARKS[one.verdict],
        word=WORDS[one.verdict],
    )  # fmt: skip


# --------------------------------------------------------------------------------------- figures


def _levels(one: Trend) -> Cell:
    return Cell(text=f"{_level(one.measure, one.before)} → {_level(one.measure, one.after)}")


def _level(measure: Measure, value: float) -> str:
    if measure == "area":
        return f"{100 * value:.2f}{PER_CENT}"
    return f"{value:.2f}"


def _change(measure: Measure, value: float) -> str:
    """A change with its sign: in points of per cent, or in instances."""
    if not math.isfinite(value):
        return "—"
    number = f"{100 * value if measure == 'area' else value:+.2f}"
    text = number[1:] if float(number) == 0 else number.replace("-", "−")
    return f"{text} points" if measure == "area" else text


def _estimate(measure: Measure, estimate: Estimate) -> Cell:
    small = ""
    if math.isfinite(estimate.low):
        small = f"{_change(measure, estimate.low)} to {_change(measure, estimate.high)}"
    return Cell(text=_change(measure, estimate.value), small=small.replace(" points to", " to"))


def _rate(value: float) -> str:
    if not math.isfinite(value):
        return "—"
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") or "0"


# -------------------------------------------------------------------------------------- pictures


def _figure(shown: ShownPair) -> PairFigure:
    one = shown.example
    levels = f"{one.before:.0f} → {one.after:.0f} instances"
    if one.measure == "area":
        levels = f"{_level('area', one.before)} → {_level('area', one.after)} of the area"
    kinds = (f"the original, {shown.source_label}", f"translated to {one.target}")
    pictures = [
        picture
        for kind, (image, mask) in zip(kinds, (shown.before, shown.after), strict=True)
        for picture in (
            Picture(jpeg=jpeg_base64(image, side=SHOWN_SIDE, quality=QUALITY),
                    alt=f"{shown.source_name[:80]}, {kind}"),
            Picture(jpeg=_marked((image, mask)),
                    alt=f"The same in grey, {one.name} marked: {mask.mean():.1%} of the area"),
        )
    ]  # fmt: skip
    return PairFigure(
        caption=f"{one.name}: {levels}. {shown.source_name}, {shown.source_label}",
        pictures=(pictures[0], pictures[1], pictures[2], pictures[3]),
    )


def _marked(marked: Marked) -> str:
    """The image in grey, a class in colour and outlined."""
    image, mask = marked
    picture = outlined(heat_picture(image, mask.astype(np.float32), 1.0), mask)
    return jpeg_base64(picture, side=SHOWN_SIDE, quality=QUALITY)
