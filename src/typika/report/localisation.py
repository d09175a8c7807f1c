"""A run held against truth -> a frozen `EvaluationPage` and a table: wording, rows, pictures.

What is measured is decided in `mining/localisation.py`; here figures become words and images
become pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from PIL import Image

from typika.evaluation import Estimate
from typika.mining.localisation import (
    ALL,
    CHANCE,
    FEW_GROUPS,
    METHODS,
    OVERLAP,
    POINTING,
    PRIORS,
    PUBLISHED,
    TYPICALITY,
    Figure,
    Figures,
    Verdict,
)
from typika.report.comparison import Spell, decimal, percent, signed
from typika.report.comparison_records import Cell, Picture
from typika.report.localisation_records import (
    EvaluationInputs,
    EvaluationPage,
    LabelSection,
    MapFigure,
    MethodRow,
    ShownMap,
    VerdictRow,
    Whisker,
)
from typika.report.outlines import caption, full_colour, outlined
from typika.report.pictures import heat_picture, jpeg_base64

LINE = 200  # units of the picture of an interval
SCALE_SIZE = (256, 12)  # pixels of the picture of the colour scale
QUALITY = 78  # of JPEG


def build_evaluation(inputs: EvaluationInputs) -> EvaluationPage:
    """Word the figures, and draw and encode the images."""
    limit = full_colour(inputs.shown)
    # Of one label there is nothing to say twice.
    alone = len(inputs.labels) == 1
    told = [one for one in inputs.verdicts if one.label is None or not alone]
    whole = [one for one in told if one.images == ALL]
    return EvaluationPage(
        title=inputs.title,
        lead=tuple(_lead(inputs, whole)),
        notes=inputs.notes,
        verdicts=tuple(map(_verdict_row, whole)),
        divided=tuple(_verdict_row(one) for one in told if one.images != ALL),
        methods=tuple(_methods(inputs.figures, None)),
        labels=tuple(_section(inputs, label, limit) for label in inputs.labels),
        scale=scale_picture() if inputs.shown else None,
        limit=f"{limit:.2g}",
        facts=inputs.facts,
        before=inputs.before,
        regions=inputs.regions,
        above_first=percent(inputs.above_first),
        version=inputs.version,
        date=inputs.date,
    )


# --------------------------------------------------------------------------------------- words


def _lead(inputs: EvaluationInputs, whole: Sequence[Verdict]) -> Iterator[str]:
    everything = inputs.figures.get(None, TYPICALITY)
    if everything is not None:
        labels = f"{len(inputs.labels)} labels" if len(inputs.labels) != 1 else "1 label"
        yield (
            f"The maps of {everything.n_images:,} images of {labels}, held against what people "
            "drew on them and no model has seen."
        )
    overall = next((one for one in whole if one.label is None), None)
    if overall is not None:
        yield sentence(overall, over_all=len(inputs.labels) > 1)
        yield from _tally([one.outcome for one in whole if one.label is not None])
    elif everything is not None:
        yield (
            f"Typicality finds the drawn regions with an average precision of "
            f"{_spelt(everything.estimate)}. There is no guess about position to hold it against."
        )
    gain = inputs.figures.get(None, TYPICALITY, minus="typicality before")
    if gain is not None:
        yield (
            f"Compared with “{inputs.before}” the average precision changes by "
            f"{_spelt(gain.estimate, signed)}."
        )


def _tally(outcomes: Sequence[str]) -> Iterator[str]:
    """How typicality fares label by label, which a mean may hide."""
    if outcomes:
        beats, loses = (outcomes.count(outcome) for outcome in ("beats", "loses to"))
        yield (
            f"Label by label it beats the guess for {beats:,} of {len(outcomes):,}, loses to it "
            f"for {loses:,} and is not told apart for {len(outcomes) - beats - loses:,}."
        )


def sentence(verdict: Verdict, *, over_all: bool = False) -> str:
    """Whether typicality beats the best guess about position, and what is left without one."""
    where = "Over all labels typicality" if over_all else "Typicality"
    said = (
        f"{where} finds the drawn regions with an average precision of "
        f"{_spelt(verdict.typicality.estimate)}; the best guess that does not look at the image, "
        f"the {verdict.prior.method}, reaches {_spelt(verdict.prior.estimate)}. The difference is "
        f"{_spelt(verdict.difference.estimate, signed)}: typicality {verdict.outcome} the guess."
    )
    if verdict.less_mean is None or verdict.less_mean_gain is None:
        return said
    left, gain = verdict.less_mean.estimate, verdict.less_mean_gain.estimate
    if gain.low > 0:
        means = "the maps know something of each image besides where such things usually lie"
    elif gain.high < 0:
        means = "what the maps find is all in where such things usually lie"
    else:
        means = "it is not shown that the maps know more than where such things usually lie"
    return (
        f"{said} With the mean map of the other images taken off it reaches {_spelt(left)}, where "
        f"chance reaches {precise(verdict.chance.estimate)}: {means}."
    )


def precise(value: Estimate | float) -> str:
    """A figure with two decimals, with three where two would say 0.00, a dash where unknown."""
    number = value.value if isinstance(value, Estimate) else value
    return _three(number) if 0 < abs(number) < 0.005 else decimal(number)


def _three(value: Estimate | float) -> str:
    number = value.value if isinstance(value, Estimate) else value
    return f"{number:.3f}" if math.isfinite(number) else "—"


def _spelt(estimate: Estimate, spell: Spell = precise) -> str:
    if not math.isfinite(estimate.low):
        return f"{spell(estimate)} (too few groups for an interval)"
    return f"{spell(estimate)} ({spell(estimate.low)} to {spell(estimate.high)})"


def _cell(figure: Figure | None, spell: Spell = precise) -> Cell:
    if figure is None:
        return Cell(text="—")
    estimate = figure.estimate
    known = math.isfinite(estimate.low)
    small = f"{spell(estimate.low)} to {spell(estimate.high)}" if known else ""
    return Cell(text=spell(estimate), small=small)


# ---------------------------------------------------------------------------------------- tables


def _verdict_row(verdict: Verdict) -> VerdictRow:
    own = verdict.typicality
    groups = f"{own.n_groups:,} groups" if own.n_groups < own.n_images else ""
    if own.n_groups < FEW_GROUPS:
        groups = f"only {own.n_groups:,} groups"
    return VerdictRow(
        label=verdict.label,
        images=verdict.images,
        prior=verdict.prior.method,
        cells=(
            Cell(text=f"{own.n_images:,}", small=groups),
            _cell(verdict.chance),
            _cell(verdict.prior),
            _cell(own),
            _cell(verdict.difference, signed),
            _cell(verdict.less_mean),
        ),
        outcome={"beats": "better than position", "loses to": "worse than position"}.get(
            verdict.outcome, "not told apart"
        ),
    )


def _methods(figures: Figures, label: str | None) -> Iterator[MethodRow]:
    rows = [(method, figures.get(label, method)) for method in METHODS]
    known = [one.estimate for _, one in rows if one is not None]
    top = max((max(e.value, e.high if math.isfinite(e.high) else 0) for e in known), default=1.0)
    chance = figures.get(label, CHANCE)
    for method, one in rows:
        if one is None:
            continue
        kind = "own" if method == TYPICALITY else "prior" if method in (*PRIORS, CHANCE) else ""
        yield MethodRow(
            name=method,
            kind=kind,
            whisker=_whisker(one.estimate, chance, top),
            cells=(
                _cell(one),
                _cell(figures.get(label, TYPICALITY, minus=method), signed),
                _cell(figures.get(label, method, POINTING), percent),
                _cell(figures.get(label, method, OVERLAP)),
                _cell(figures.get(label, method, PUBLISHED), _three),
            ),
        )


def _whisker(estimate: Estimate, chance: Figure | None, top: float) -> Whisker:
    def place(value: float) -> float:
        return round(LINE * value / (top or 1.0), 1)

    low, high = estimate.low, estimate.high
    if not math.isfinite(low):
        low = high = estimate.value
    at = chance.estimate.value if chance is not None else 0.0
    return Whisker(value=place(estimate.value), low=place(low), high=place(high), chance=place(at))


# -------------------------------------------------------------------------------------- pictures


def _section(inputs: EvaluationInputs, label: str, limit: float) -> LabelSection:
    verdict = next(
        (one for one in inputs.verdicts if one.images == ALL and one.label == label), None
    )
    return LabelSection(
        label=label,
        sentence=sentence(verdict) if verdict and len(inputs.labels) > 1 else "",
        methods=tuple(_methods(inputs.figures, label)),
        figures=tuple(_figure(one, limit) for one in inputs.shown if one.label == label),
    )


def _figure(one: ShownMap, limit: float) -> MapFigure:
    name = one.file_name if len(one.file_name) <= 80 else one.file_name[:79] + "…"
    row, column = np.unravel_index(int(np.argmax(one.values)), one.values.shape)
    left = 100 * (column + 0.5) / one.values.shape[1]
    top = 100 * (row + 0.5) / one.values.shape[0]
    heat = outlined(heat_picture(one.image, one.values, limit), one.truth)
    return MapFigure(
        kind=one.kind,
        caption=f"{name} · {caption(one)}",
        plain=Picture(jpeg=_jpeg(outlined(one.image, one.truth)),
                      alt=f"{name} with its truth outlined"),
        heat=Picture(
            jpeg=_jpeg(heat),
            alt=f"{name} under its map with its truth outlined: highest {left:.0f} % from the "
            f"left and {top:.0f} % from the top",
        ),
        width=one.image.width,
        height=one.image.height,
    )  # fmt: skip


def _jpeg(picture: Image.Image) -> str:
    return jpeg_base64(picture, side=max(picture.size), quality=QUALITY)


def scale_picture() -> Picture:
    """The colours of a map from its lowest to its highest."""
    width, height = SCALE_SIZE
    ramp = np.linspace(-1, 1, width)[None].repeat(height, axis=0)
    grey = Image.new("RGB", SCALE_SIZE, (141, 141, 141))
    return Picture(jpeg=_jpeg(heat_picture(grey, ramp, 1.0)),
                   alt="Colours from blue, below zero, to orange, above zero")  # fmt: skip


# ------------------------------------------------------------------------------ localisation.csv

LOCALISATION = pa.schema(
    {"label": pa.string(), "images": pa.string(), "method": pa.string(), "minus": pa.string(),
     "measure": pa.string(), "value": pa.float64(), "low": pa.float64(), "high": pa.float64(),
     "n_images": pa.int64(), "n_groups": pa.int64()}
)  # fmt: skip


def localisation_table(figures: Figures) -> pa.Table:
    """One row per label, method and measure; an empty label stands for all labels together.

    Columns: label; images ("all", "trained on", "held out"); method; minus (a method that is
    taken off image by image, or empty); measure; value, low, high (of the 95 % interval);
    n_images, n_groups.
    """
    rows = []
    for one in figures.rows:
        estimate = one.estimate
        numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
        rows.append({
            "label": one.label or "", "images": one.images, "method": one.method,
            "minus": one.minus, "measure": one.measure,
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "n_images": one.n_images, "n_groups": one.n_groups,
        })  # fmt: skip
    return pa.Table.from_pylist(rows, schema=LOCALISATION)
