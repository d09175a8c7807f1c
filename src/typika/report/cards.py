"""A model card and a data statement, out of what a run of images knows of itself. Pure functions.

They say what the report says, in words that travel with the weights and with the tables: plain
facts of this run, and what it does not know.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

from typika.console import duration
from typika.report.card_records import MOST, CardFacts, LicenceColumn
from typika.report.markdown import Document, Section
from typika.report.records import LabelFacts, ReportInputs, RunFacts

MODEL_CARD, DATA_STATEMENT = "MODEL_CARD.md", "DATA_STATEMENT.md"
CARD_FILES = (MODEL_CARD, DATA_STATEMENT)
VERDICT_WORDS = {
    "significant": "hold",
    "suggestive": "may hold",
    "not shown": "not shown",
    "not tested": "not tested",
}

INTENDED = (
    "To show a person which visual elements are typical of the labels of this collection, as a "
    "starting point for looking at the images themselves.",
    "Research, teaching, curation and the audit of collections and of generative models.",
)
NOT_INTENDED = (
    "Surveillance, identifying or tracking people, and military use. The author of the method "
    "asks that his work be not used so, and neither is this software meant for it.",
    "Decisions about single persons: whom to admit, hire, insure, police or treat.",
    "Diagnosis. Maps of medical images are learned from labels of whole images.",
    "Saying what a person is or where somebody comes from by the look of a picture.",
)


def model_card(inputs: ReportInputs, card: CardFacts) -> Document:
    """What was learned, from what, how well, and where it may not be trusted."""
    return Document(
        title=f"Model card: {card.name}",
        opening=f"{inputs.facts.title} Written by typika {inputs.facts.version} from the run's "
        "own records; DATA_STATEMENT.md beside it is about the images.",
        sections=(
            _model(inputs.facts, card),
            uses(),
            _figures(inputs.facts),
            _elements(inputs),
            _limits(inputs),
            changed_section(card),
            cost_section(card),
        ),
    )


def data_statement(facts: RunFacts, card: CardFacts) -> Document:
    """What the images are, as far as the run knows."""
    total = sum(label.n_images for label in facts.collection)
    return Document(
        title=f"Data statement: {card.name}",
        opening=f"{total:,} images under {len(facts.collection):,} labels, counted once under "
        "each label that they carry. What is not said here the run does not know.",
        sections=(
            Section(title="Labels", table=tuple(_label_rows(facts.collection, card))),
            columns_section(card),
            _left_out(facts),
            licence_section(card, "images"),
            unknown_section("images"),
        ),
    )


def uses() -> Section:
    """What the run is for, and what it is not for."""
    points = [*(f"Meant for: {one}" for one in INTENDED)]
    points += [f"Not meant for: {one}" for one in NOT_INTENDED]
    return Section(title="Use", points=tuple(points))


def changed_section(card: CardFacts) -> Section:
    """The settings that are not the default's."""
    said = "All others are the default's; recipe.toml beside this file holds every one."
    if not card.changed:
        said = "All are the default's; recipe.toml beside this file holds every one."
    rows = (("setting", "value"), *card.changed.items()) if card.changed else ()
    return Section(title="Settings", sentences=(said,), table=rows)


def cost_section(card: CardFacts) -> Section:
    """Time, energy, versions."""
    total = sum(card.seconds.values())
    stages = ", ".join(f"{name} {duration(one)}" for name, one in card.seconds.items())
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return Section(
        title="Time, energy, versions",
        points=(
            f"Time on the clock: {duration(total)} ({stages})."
            if stages
            else "Time: not recorded.",
            "Energy was not measured.",
            f"Machine: {card.platform or 'not recorded'}.",
            f"Versions: {versions}.",
        ),
    )


def columns_section(card: CardFacts) -> Section:
    """The user's columns, and the splits that they name."""
    columns = ", ".join(card.columns)
    points = [f"Further columns of the table: {columns}." if columns else "No further columns."]
    if card.splits:
        counted = ", ".join(f"{name} {n:,}" for name, n in card.splits.items())
        points.append(f"Splits as the table has them: {counted}.")
    return Section(title="Columns and splits", points=tuple(points))


def licence_section(card: CardFacts, items: str) -> Section:
    """What the table says of licences, or that it says nothing."""
    if not card.licences:
        said = f"No column says under what terms the {items} are. Ask whoever gave them."
        return Section(title="Licences", sentences=(said,))
    return Section(
        title="Licences", points=tuple(_licence(column, items) for column in card.licences)
    )


def _licence(column: LicenceColumn, items: str) -> str:
    shown = list(column.counts.items())[:MOST]
    said = ", ".join(f"{value or 'empty'}: {n:,}" for value, n in shown)
    rest = len(column.counts) - len(shown)
    more = f", and {rest:,} other values" if rest else ""
    return f"Column {column.name}, {items} by value: {said}{more}."


def unknown_section(items: str) -> Section:
    """What no table of this run tells."""
    return Section(
        title="Not known to this run",
        points=(
            f"Who made the {items}, why, and how these came to be chosen of all there are.",
            "Whether people who are shown or named agreed to it.",
            f"Who gave the {items} their labels or texts, and how often two would agree.",
        ),
    )


def _model(facts: RunFacts, card: CardFacts) -> Section:
    trained, unseen = sum(card.trained.values()), sum(card.unseen.values())
    prompts = "; ".join(f"{name}: {text!r}" for name, text in facts.prompts.items())
    return Section(
        title="What was learned",
        points=(
            f"Model: {facts.model}.",
            f"Loss: {facts.loss}.",
            f"Patches are ranked {facts.score}.",
            *((f"Prompts: {prompts}.",) if prompts else ()),
            f"Fitted to {trained:,} images; {unseen:,} were scored that it never saw.",
            f"Seed {facts.seed}, computed on {facts.device or 'a device that is not recorded'}.",
            "Weights that it started from keep their own licence, whatever that of typika is.",
        ),
    )


def _figures(facts: RunFacts) -> Section:
    rows = tuple((one.name, number(one.value), one.note) for one in facts.baselines)
    if not rows:
        return Section(title="Figures", sentences=("None were measured.",))
    return Section(title="Figures", table=(("figure", "value", "what it is"), *rows))


def number(value: float | str | None) -> str:
    """Three significant digits, or a dash for what is not known."""
    if isinstance(value, str):
        return value
    return "–" if value is None or not math.isfinite(value) else f"{value:.3g}"


def _elements(inputs: ReportInputs) -> Section:
    """Of each label its clusters, the first one's typicality, and what unseen images said."""
    verdicts: dict[str, Counter[str]] = {}
    best: dict[str, Mapping] = {}
    if inputs.evidence.verdicts is not None:
        for row in inputs.evidence.verdicts.to_pylist():
            verdicts.setdefault(row["label"], Counter())[row["verdict"]] += 1
            if (
                math.isfinite(_nan(row["auc"]))
                and row["auc"] > best.get(row["label"], {"auc": 0})["auc"]
            ):
                best[row["label"]] = row
    clusters: dict[str, list[Mapping]] = {}
    for row in inputs.clusters.to_pylist():
        clusters.setdefault(row["label"], []).append(row)
    head = ("label", "clusters", *VERDICT_WORDS.values(), "typicality of the first (95 %)",
            "best AUC on unseen images (95 %)")  # fmt: skip
    rows = [head]
    for label in inputs.facts.collection:
        own = clusters.get(label.label, [])
        first = _interval(own[0], "typicality", "low", "high") if own else "–"
        told = best.get(label.label)
        auc = _interval(told, "auc", "auc_low", "auc_high") if told else "–"
        counted = verdicts.get(label.label, Counter())
        rows.append((label.label, str(len(own)), *(str(counted[one]) for one in VERDICT_WORDS),
                     first, auc))  # fmt: skip
    rare = 0 if inputs.rare is None else len(inputs.rare.groups)
    said = (
        "A cluster holds where a detector made from it, which knows no label, finds its label "
        "among images that the model never saw; p-values are for all clusters together.",
        f"Rare but consistent groups listed apart: {rare}.",
    )
    return Section(title="Elements that were found", sentences=said, table=tuple(rows))


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _interval(row: Mapping, *names: str) -> str:
    value, low, high = (number(row[name]) for name in names)
    return f"{value} ({low} to {high})"


def _limits(inputs: ReportInputs) -> Section:
    """Warnings, badges, and what holds of every such run."""
    points = list(inputs.facts.warnings)
    if inputs.evidence.badges is not None:
        given = Counter(row["badge"] for row in inputs.evidence.badges.to_pylist() if row["given"])
        points += [f"Clusters with the badge {one}, so that they may show how pictures were made: "
                   f"{n}." for one, n in sorted(given.items())]  # fmt: skip
    if not points:
        points.append(
            "No check of this run gave a warning or a badge; checks find what they know."
        )
    points += [
        "Typical is not the same as meaningful, common, or true of what the label names: it is "
        "what tells this label's images from the others of this collection.",
        "What the collection leaves out or shows one-sidedly the elements leave out too.",
    ]
    return Section(title="Limits found in this run", points=tuple(points))


def _label_rows(collection: tuple[LabelFacts, ...], card: CardFacts) -> Iterator[tuple[str, ...]]:
    yield ("label", "images", "groups", "fitted to", "never seen", "median size in pixels")
    for label in collection:
        yield (
            label.label,
            f"{label.n_images:,}",
            f"{label.n_groups:,}",
            f"{card.trained.get(label.label, 0):,}",
            f"{card.unseen.get(label.label, 0):,}",
            f"{label.width:g} × {label.height:g}",
        )


def _left_out(facts: RunFacts) -> Section:
    points = [f"{reason}: {n:,}" for reason, n in sorted(facts.skipped.items())]
    points = points or ["No file was left out."]
    points.append(
        f"Groups of near-duplicates, of which no split separates two: "
        f"{facts.n_near_duplicate_groups:,}."
    )
    return Section(title="Left out, and seen twice", points=tuple(points))
