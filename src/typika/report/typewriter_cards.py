"""A typewriter's model card and data statement, out of what its report knows. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from typika.evaluation import Bootstrap, Estimate, ratio
from typika.report.card_records import CardFacts
from typika.report.cards import (
    changed_section,
    columns_section,
    cost_section,
    licence_section,
    number,
    unknown_section,
    uses,
)
from typika.report.markdown import Document, Section
from typika.report.typewriter import MEANINGS, RARE
from typika.report.typewriter_records import TypewriterInputs
from typika.text_evaluation import error_rate

DRAWS = 1000  # resamplings of lines
SAID = ("Model", "Alphabet", "Learning", "Seed")  # facts of the report that the card repeats


def typewriter_model_card(inputs: TypewriterInputs, card: CardFacts) -> Document:
    """What was learned, from what, how well it reads, and where it may not be trusted."""
    return Document(
        title=f"Model card: {card.name}",
        opening=f"Letters learned as sprites that redraw lines of text. Written by typika "
        f"{inputs.version} from the run's own records; DATA_STATEMENT.md beside it is about the "
        "lines.",
        sections=(
            Section(
                title="What was learned",
                points=tuple(f"{name}: {inputs.facts[name]}." for name in SAID),
            ),
            uses(),
            Section(title="Character errors, spaces apart", table=tuple(_errors(inputs))),
            _limits(inputs),
            changed_section(card),
            cost_section(card),
        ),
    )


def typewriter_data_statement(
    inputs: TypewriterInputs, card: CardFacts, skipped: Sequence[tuple[str, str]]
) -> Document:
    """What the lines are, as far as the run knows.

    skipped: files or lines that were left out, each with the reason.
    """
    parts = sorted(Counter(inputs.parts.values()).items())
    reasons = Counter(reason for _, reason in skipped)
    points = [f"{reason}: {n:,}" for reason, n in sorted(reasons.items())]
    letters = Counter("".join(row["text"] or "" for row in inputs.readings.to_pylist()))
    return Document(
        title=f"Data statement: {card.name}",
        opening=f"{len(inputs.parts):,} lines of text. What is not said here the run does not "
        "know.",
        sections=(
            Section(
                title="Lines",
                table=(("used for", "lines"), *((name, f"{n:,}") for name, n in parts)),
                sentences=(
                    f"The transcriptions have {letters.total():,} characters, "
                    f"{len(letters):,} different ones.",
                ),
            ),
            columns_section(card),
            Section(title="Left out", points=tuple(points) or ("Nothing was left out.",)),
            licence_section(card, "lines"),
            unknown_section("lines"),
        ),
    )  # fmt: skip


def _errors(inputs: TypewriterInputs) -> Iterator[tuple[str, ...]]:
    yield ("lines", "count", "character error in % (95 %)", "what they are")
    rows = [row for row in inputs.readings.to_pylist() if row["text"]]
    for part, meaning in MEANINGS.items():
        own = [row for row in rows if inputs.parts.get(row["line_id"]) == part]
        if own:
            rates = [error_rate([row["text"]], [row["read"]]) for row in own]
            errors = np.array([one.errors for one in rates])
            characters = np.array([one.characters for one in rates])
            lines = Bootstrap.of_groups(np.arange(len(own)), DRAWS, np.random.default_rng(0))
            found = Estimate.of(100 * lines.values(ratio(errors, characters)))
            value, low, high = (number(one) for one in (found.value, found.low, found.high))
            yield (part, f"{len(own):,}", f"{value} ({low} to {high})", meaning)
    mean = np.mean(inputs.readings["reconstruction"].to_numpy()) if len(inputs.readings) else None
    yield ("all", f"{len(inputs.readings):,}", f"drawn with mean squared error {number(mean)}",
           "Colours in [0, 1], over the pixels that count.")  # fmt: skip


def _limits(inputs: TypewriterInputs) -> Section:
    rare = sum(one.learned < RARE for one in inputs.sprites)
    points = [
        *inputs.notes,
        f"Letter forms that were learned from fewer than {RARE} instances, not to be relied upon: "
        f"{rare:,} of {len(inputs.sprites):,}.",
        "Sprites are what letters look like in these lines; another hand, press or scan looks "
        "otherwise, and characters that no line has are never read.",
    ]
    return Section(title="Limits found in this run", points=tuple(points))
