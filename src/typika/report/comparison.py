"""Two runs over the same images -> a frozen `ComparisonPage`: choice, pictures, wording.

What is compared is decided in `mining/comparison.py`; here figures become words, patches become
rows, and maps become pictures on one colour scale, as many as fit the size of the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from typika import console
from typika.errors import DataError
from typika.evaluation import Estimate
from typika.mining.comparison import Agreement, Localisation
from typika.report.budget import FRAME_BYTES, MEGABYTE
from typika.report.build import RESERVE, PatchTable, cluster_rows, shelve
from typika.report.comparison_records import (
    Cell,
    ClusterRow,
    ComparedRun,
    ComparisonInputs,
    ComparisonPage,
    Fact,
    Figures,
    ImageRow,
    LabelSection,
    Picture,
    Scale,
    ShownImage,
)
from typika.report.pictures import as_base64, heat_picture, jpeg_base64, shrink
from typika.report.records import RunFacts

APART = 8.0  # times; maps whose full colours differ by more are shown each on its own scale
SCALE_SIZE = (256, 12)  # pixels of the picture of the colour scale
IMAGE_BYTES = 0.35  # of a picture in base64, per pixel: estimated
SIDES = ("before", "after")
HEAD = ("Model", "Patches ranked", "Prompt", "Images")  # beginnings of facts that come first
PER_CENT = "\u00a0%"
QUALITY = 74  # of JPEG

Spell = Callable[[Estimate | float], str]
Box = tuple[int, int, int, int]
Boxes = list[Box]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of the runs a page holds."""

    n_clusters: int  # per label and run
    n_members: int  # per cluster
    n_images: int  # per label and reason
    side: int  # pixels of the longer side of an image


PLANS = tuple(
    Plan(n_clusters=c, n_members=m, n_images=i, side=s)
    for c, m, i, s in (
        (8, 8, 4, 300),
        (6, 8, 3, 280),
        (5, 6, 2, 240),
        (4, 6, 1, 220),
        (3, 5, 1, 160),
        (2, 4, 0, 160),
        (1, 4, 0, 160),
        (1, 2, 0, 160),
        (1, 1, 0, 160),
    )
)
MOST_IMAGES = max(plan.n_images for plan in PLANS)


def build_comparison(inputs: ComparisonInputs, *, max_megabytes: float = 25) -> ComparisonPage:
    """Decide what the page shows, and cut, encode and word it."""
    runs = (inputs.before, inputs.after)
    tables = [PatchTable.read(run.inputs) for run in runs]
    plan = _choose(inputs, tables, round(max_megabytes * MEGABYTE * RESERVE))
    shown = _cut(inputs.shown, plan)
    limits = _limits(inputs, shown)
    images, n_unreadable = _image_rows(inputs, shown, limits, plan)
    labels = tuple(_section(inputs, tables, row, plan, images) for row in inputs.agreement[1:])
    facts = [run.inputs.facts for run in runs]
    return ComparisonPage(
        before=inputs.before.name,
        after=inputs.after.name,
        title=f"{inputs.before.name} and {inputs.after.name}, side by side",
        lead=_lead(inputs),
        notes=inputs.notes,
        head=tuple(fact for fact in _facts(*facts) if fact.name.startswith(HEAD)),
        facts=tuple(_facts(*facts)),
        settings=tuple(_settings(inputs)),
        agreement=tuple(_agreement_figures(row) for row in inputs.agreement),
        localisation=tuple(_localisation_figures(row) for row in inputs.localisation),
        labels=labels,
        scale=_scale(limits) if images else None,
        left_out=tuple(_left_out(labels, plan, n_unreadable, max_megabytes)),
        version=inputs.version,
        date=inputs.date,
        regions=inputs.regions,
    )


# -------------------------------------------------------------------------------- what has room


def _choose(inputs: ComparisonInputs, tables: Sequence[PatchTable], budget: int) -> Plan:
    """The first plan that fits `budget` bytes, by estimate; else the last."""
    runs = (inputs.before, inputs.after)
    shelves = [
        (table, shelve(run.inputs, table, label))
        for run, table in zip(runs, tables, strict=True)
        for label in inputs.labels
    ]
    for plan in PLANS:
        rows = 3 * len(_cut(inputs.shown, plan)) * plan.side**2 * IMAGE_BYTES
        weight = FRAME_BYTES + rows + 2000 * len(inputs.labels)
        for table, shelf in shelves:
            chosen = [m for members in shelf.clusters[: plan.n_clusters]
                      for m in members[: plan.n_members]]  # fmt: skip
            weight += int(table.picture_bytes[chosen].sum()) + 250 * len(chosen)
        if weight <= budget:
            return plan
    return PLANS[-1]


def _cut(shown: Sequence[ShownImage], plan: Plan) -> list[ShownImage]:
    """The first images of each label and reason, as many as the plan allows."""
    counts: dict[tuple[str, str], int] = {}
    kept = []
    for image in shown:
        key = (image.label, image.reason)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= plan.n_images:
            kept.append(image)
    return kept


def _left_out(
    labels: Sequence[LabelSection], plan: Plan, n_unreadable: int, max_megabytes: float
) -> Iterator[str]:
    if any(max(label.n_clusters) > plan.n_clusters for label in labels):
        yield (
            f"Of each label the first {plan.n_clusters} clusters of each run are shown, with up "
            f"to {plan.n_members} patches each; the reports of the runs show more."
        )
    if plan.n_images == 0:
        yield f"Whole images with their maps had no room in {max_megabytes:g} MB."
    if n_unreadable:
        yield f"{n_unreadable:,} images that should be shown could not be read any more."


# --------------------------------------------------------------------------------------- words


def _lead(inputs: ComparisonInputs) -> tuple[str, ...]:
    everything = inputs.agreement[0]
    said = [
        f"Two runs over the same {_count(everything.n_images, 'image', 'images')} of "
        f"{_count(len(inputs.labels), 'label', 'labels')}: “{inputs.before.name}” before, "
        f"“{inputs.after.name}” after."
    ]
    if math.isfinite(everything.found.value):
        said.append(
            f"{percent(everything.found)}{_interval(everything.found, percent, ' ({})')} of their "
            "typical patches show a place that the other run chose too; "
            f"{percent(everything.chance)} would if the other’s patches lay anywhere."
        )
    if math.isfinite(everything.map_correlation.value):
        said.append(
            f"The two maps of an image correlate at {decimal(everything.map_correlation)} "
            "(median)."
        )
    if inputs.localisation:
        gain = inputs.localisation[0].precision_gain
        said.append(
            "Against the boxes the average precision of the maps changes by "
            f"{signed(gain)}{_interval(gain, signed, ' ({})')}."
        )
    return tuple(said)


def _facts(before: RunFacts, after: RunFacts) -> Iterator[Fact]:
    rows = [_run_rows(facts) for facts in (before, after)]
    for name in dict.fromkeys((*rows[0], *rows[1])):
        yield Fact(name=name, before=rows[0].get(name, "—"), after=rows[1].get(name, "—"))


def _run_rows(facts: RunFacts) -> dict[str, str]:
    rows = {"Model": facts.model, "Loss": facts.loss, "Patches ranked": facts.score}
    rows |= {f"Prompt, {name}": f"“{text}”" for name, text in facts.prompts.items()}
    rows |= {"Seed": str(facts.seed), "Device": facts.device}
    rows["Time"] = console.duration(sum(facts.timings.values()))
    rows["Images"] = f"{sum(label.n_images for label in facts.collection):,}"
    for row in facts.baselines:
        rows[row.name] = row.value if isinstance(row.value, str) else _significant(row.value)
    rows |= {"Version": f"typika {facts.version}", "Command": facts.command}
    return rows


def _settings(inputs: ComparisonInputs) -> Iterator[Fact]:
    """The settings in which the runs differ."""
    before, after = inputs.before.settings, inputs.after.settings
    for name in sorted({*before, *after}):
        fact = Fact(name=name, before=before.get(name, "—"), after=after.get(name, "—"))
        if fact.differs:
            yield fact


def _agreement_figures(row: Agreement) -> Figures:
    return Figures(
        label=row.label,
        cells=(
            Cell(text=f"{row.n_images:,}", small=_groups(row.n_groups, row.n_images)),
            Cell(text=f"{row.n_before:,}"),
            Cell(text=f"{row.n_after:,}"),
            _cell(row.before_found, percent),
            _cell(row.after_found, percent),
            _cell(row.found, percent),
            Cell(text=percent(row.chance)),
            _cell(row.rank_correlation, decimal),
            _cell(row.map_correlation, decimal),
            _cell(row.adjusted_rand, decimal),
        ),
    )


def _localisation_figures(row: Localisation) -> Figures:
    return Figures(
        label=row.label,
        cells=(
            Cell(text=f"{row.n_images:,}", small=_groups(row.n_groups, row.n_images)),
            _cell(row.precision_before, decimal),
            _cell(row.precision_after, decimal),
            _cell(row.precision_gain, signed),
            _cell(row.hit_before, percent),
            _cell(row.hit_after, percent),
            _cell(row.hit_gain, signed),
            Cell(text=f"{row.area:.3f}"),
        ),
    )


def _groups(n_groups: int, n_images: int) -> str:
    return _count(n_groups, "group", "groups") if n_groups < n_images else ""


def _cell(estimate: Estimate, spell: Spell) -> Cell:
    return Cell(text=spell(estimate), small=_interval(estimate, spell, "{}"))


def _interval(estimate: Estimate, spell: Spell, frame: str) -> str:
    if not math.isfinite(estimate.low):
        return ""
    low, high = spell(estimate.low), spell(estimate.high)
    if high.endswith(PER_CENT):
        low = low.removesuffix(PER_CENT)  # "77 to 87 %"
    return frame.format(f"{low} to {high}")


def _number(value: Estimate | float) -> float:
    return value.value if isinstance(value, Estimate) else value


def percent(value: Estimate | float) -> str:
    """A share as "41 %" that no line break divides, a dash where it is unknown."""
    number = 100 * _number(value)
    if not math.isfinite(number):
        return "—"
    return f"{number:.1f}{PER_CENT}" if 0 < number < 10 else f"{number:.0f}{PER_CENT}"


def decimal(value: Estimate | float) -> str:
    """A figure with two decimals, a dash where it is unknown."""
    number = _number(value)
    return f"{number:.2f}".replace("-", "−") if math.isfinite(number) else "—"


def signed(value: Estimate | float) -> str:
    """A difference with its sign and three decimals."""
    number = _number(value)
    if not math.isfinite(number):
        return "—"
    text = f"{number:+.3f}".replace("-", "−")
    return text[1:] if text[1:] == "0.000" else text


# ------------------------------------------------------------------------------------- clusters


def _section(
    inputs: ComparisonInputs,
    tables: Sequence[PatchTable],
    row: Agreement,
    plan: Plan,
    images: Mapping[str, list[ImageRow]],
) -> LabelSection:
    label = row.label or ""
    runs = (inputs.before, inputs.after)
    before, after = (
        tuple(_cluster_rows(run, table, label, plan))
        for run, table in zip(runs, tables, strict=True)
    )
    counts = [len(cluster_rows(run.inputs.clusters, label)) for run in runs]
    return LabelSection(
        label=label,
        summary=f"{_count(row.n_images, 'image', 'images')} · "
        f"{row.n_before:,} typical patches before, {row.n_after:,} after, {row.n_matched:,} of "
        "them in both",
        before=before,
        after=after,
        n_clusters=(counts[0], counts[1]),
        images=tuple(images.get(label, ())),
    )


def _cluster_rows(
    run: ComparedRun, table: PatchTable, label: str, plan: Plan
) -> Iterator[ClusterRow]:
    shelf = shelve(run.inputs, table, label)
    for row, members in zip(cluster_rows(run.inputs.clusters, label), shelf.clusters, strict=True):
        if row["rank"] > plan.n_clusters:
            break
        kept = list(members[: plan.n_members])
        jpegs = table.thumbnail.take(pa.array(kept, pa.int64())).to_pylist()
        yield ClusterRow(
            rank=row["rank"],
            typicality=_significant(row["typicality"]),
            counts=f"{_count(row['size'], 'patch', 'patches')} · "
            f"{_count(row['n_images'], 'image', 'images')}",
            patches=tuple(
                Picture(
                    jpeg=as_base64(jpeg or b""),
                    alt=_patch_words(run, table, member, row["rank"]),
                    found=member in run.found,
                )
                for member, jpeg in zip(kept, jpegs, strict=True)
            ),
            left_out=len(members) - len(kept),
        )


def _patch_words(run: ComparedRun, table: PatchTable, row: int, rank: int) -> str:
    also = "; the other run has it too" if row in run.found else ""
    return (
        f"Patch of {_short(table.file_name[row])}, cluster {rank} of {run.name}, typicality "
        f"{_significant(table.floats['typicality'][row])}{also}"
    )


def _significant(value: float | None) -> str:
    known = value is not None and math.isfinite(value)
    return f"{value:.3g}".replace("-", "−") if known else "unknown"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


# --------------------------------------------------------------------------- images under maps


def _limits(inputs: ComparisonInputs, shown: Sequence[ShownImage]) -> tuple[float, float]:
    """Full colour of either run's maps: reached by one map in ten, the same for both.

    Losses of unlike models (pixels of a latent, features of an encoder) have unlike units; where
    their scales are more than APART times apart, each run has its own.
    """
    peaks = [
        [float(np.abs(run.inputs.maps[image.image_id, image.label].null).max()) for image in shown]
        for run in (inputs.before, inputs.after)
    ]
    if not shown:
        return (1.0, 1.0)
    before, after = (float(np.percentile(values, 90)) or 1.0 for values in peaks)
    if max(before, after) > APART * min(before, after):
        return before, after
    both = float(np.percentile([*peaks[0], *peaks[1]], 90)) or 1.0
    return both, both


def _scale(limits: tuple[float, float]) -> Scale:
    width, height = SCALE_SIZE
    ramp = np.linspace(-1, 1, width)[None].repeat(height, axis=0)
    grey = Image.new("RGB", SCALE_SIZE, (141, 141, 141))
    jpeg = jpeg_base64(heat_picture(grey, ramp, 1.0), side=width, quality=90)
    spelt = [f"{limit:.2g}" for limit in limits]
    if limits[0] == limits[1]:
        return Scale(jpeg=jpeg, ends=(("", spelt[0]),))
    return Scale(jpeg=jpeg, ends=tuple(zip(SIDES, spelt, strict=True)))


def _image_rows(
    inputs: ComparisonInputs,
    shown: Sequence[ShownImage],
    limits: tuple[float, float],
    plan: Plan,
) -> tuple[dict[str, list[ImageRow]], int]:
    """The images of each label with both maps; and how many could not be read."""
    rows: dict[str, list[ImageRow]] = {}
    n_unreadable = 0
    boxes = [_boxes(run, shown) for run in (inputs.before, inputs.after)]
    for one in shown:
        image = _load(inputs, one.image_id)
        if image is None:
            n_unreadable += 1
            continue
        own = [found.get((one.image_id, one.label), []) for found in boxes]
        rows.setdefault(one.label, []).append(_image_row(inputs, one, image, limits, own, plan))
    return rows, n_unreadable


def _load(inputs: ComparisonInputs, image_id: str) -> Image.Image | None:
    """The original from either run's source, or None where neither has it any more."""
    for run in (inputs.before, inputs.after):
        try:
            return run.inputs.images(image_id)
        except (OSError, DataError):
            continue
    return None


def _boxes(run: ComparedRun, shown: Sequence[ShownImage]) -> dict[tuple[str, str], Boxes]:
    """The boxes of the typical patches of the images that are shown."""
    wanted = {(one.image_id, one.label) for one in shown}
    patches = run.inputs.patches
    columns = ("image_id", "label", "selection", "left", "top", "right", "bottom")
    found: dict[tuple[str, str], Boxes] = {}
    for row in zip(*(patches[name].to_pylist() for name in columns), strict=True):
        image_id, label, selection, *corners = row
        if selection == "typical" and (image_id, label) in wanted:
            found.setdefault((image_id, label), []).append(tuple(corners))
    return found


def _image_row(
    inputs: ComparisonInputs,
    one: ShownImage,
    image: Image.Image,
    limits: tuple[float, float],
    boxes: Sequence[Boxes],
    plan: Plan,
) -> ImageRow:
    small = shrink(image, plan.side)
    name = _short(one.file_name)
    pictures = [Picture(jpeg=_jpeg(small), alt=f"{name}, whole image")]
    for run, limit, own in zip((inputs.before, inputs.after), limits, boxes, strict=True):
        values = run.inputs.maps[one.image_id, one.label].null
        heat = heat_picture(small, values, limit, [_scaled(box, one, small) for box in own])
        pictures.append(Picture(jpeg=_jpeg(heat), alt=_map_words(name, run.name, values, own)))
    return ImageRow(
        reason=one.reason,
        caption=f"{name} · correlation of the maps {decimal(one.correlation)}",
        pictures=(pictures[0], pictures[1], pictures[2]),
        width=small.width,
        height=small.height,
    )


def _jpeg(picture: Image.Image) -> str:
    return jpeg_base64(picture, side=max(picture.size), quality=QUALITY)


def _scaled(box: Box, one: ShownImage, picture: Image.Image) -> Box:
    across, down = picture.width / one.width, picture.height / one.height
    left, top, right, bottom = box
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _map_words(name: str, run: str, values: np.ndarray, boxes: Boxes) -> str:
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    left, top = (100 * (column + 0.5) / values.shape[1], 100 * (row + 0.5) / values.shape[0])
    framed = f"; {len(boxes)} typical patches framed" if boxes else ""
    return (
        f"{name} under the map of {run}: from {_significant(float(values.min()))} to "
        f"{_significant(float(values.max()))}, highest {left:.0f} % from the left and {top:.0f} % "
        f"from the top{framed}"
    )


# ------------------------------------------------------------------------------ agreement.csv


def agreement_table(
    agreement: Sequence[Agreement], localisation: Sequence[Localisation]
) -> pa.Table:
    """One row per label and measure; an empty label stands for all labels together.

    Columns: label, measure, value, low, high (of the 95 % interval), chance, n (of images).
    """
    rows = []
    for one in agreement:
        rows += [
            _row(one, "groups", Estimate(float(one.n_groups))),
            _row(one, "patches_before", Estimate(float(one.n_before))),
            _row(one, "patches_after", Estimate(float(one.n_after))),
            _row(one, "patches_matched", Estimate(float(one.n_matched))),
            _row(one, "before_found_in_after", one.before_found, one.before_chance),
            _row(one, "after_found_in_before", one.after_found, one.after_chance),
            _row(one, "found", one.found, one.chance),
            _row(one, "rank_correlation", one.rank_correlation, 0.0),
            _row(one, "map_correlation", one.map_correlation),
            _row(one, "adjusted_rand", one.adjusted_rand, 0.0),
        ]
    for two in localisation:
        rows += [
            _row(two, "average_precision_before", two.precision_before, two.area),
            _row(two, "average_precision_after", two.precision_after, two.area),
            _row(two, "average_precision_gain", two.precision_gain),
            _row(two, "pointing_before", two.hit_before, two.area),
            _row(two, "pointing_after", two.hit_after, two.area),
            _row(two, "pointing_gain", two.hit_gain),
        ]
    return pa.Table.from_pylist(rows, schema=AGREEMENT)


AGREEMENT = pa.schema(
    {"label": pa.string(), "measure": pa.string(), "value": pa.float64(), "low": pa.float64(),
     "high": pa.float64(), "chance": pa.float64(), "n": pa.int64()}
)  # fmt: skip


def _row(
    of: Agreement | Localisation, measure: str, estimate: Estimate, chance: float = math.nan
) -> dict[str, str | float | None]:
    numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high,
               "chance": chance}  # fmt: skip
    known = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return {"label": of.label or "", "measure": measure, **known, "n": of.n_images}
