"""The model card and the data statement of a typewriter run, written into its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from typika.files import write_text
from typika.report.card_records import (
    CardFacts,
    changed_settings,
    licence_columns,
    versions_of,
)
from typika.report.cards import DATA_STATEMENT, MODEL_CARD
from typika.report.markdown import markdown
from typika.report.typewriter_cards import typewriter_data_statement, typewriter_model_card
from typika.report.typewriter_records import LEARNED, UNTRANSCRIBED, TypewriterInputs
from typika.run import Run
from typika.typewriter.stages import OWN_COLUMNS


def write_typewriter_cards(
    inputs: TypewriterInputs,
    run: Run,
    lines: pa.Table,
    skipped: Sequence[tuple[str, str]],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> None:
    """Write MODEL_CARD.md and DATA_STATEMENT.md into the run folder.

    lines: as collected. skipped: what was left out, with reasons. values, defaults: the settings,
    and what they are where nothing is asked for.
    """
    parts = Counter(inputs.parts.values())
    learned = parts[LEARNED] + parts[UNTRANSCRIBED]
    split = lines["split"].to_pylist() if "split" in lines.column_names else []
    card = CardFacts(
        name=run.folder.resolve().name,
        changed=changed_settings(values, defaults),
        versions=versions_of(run.manifest),
        platform=str(run.manifest.get("platform", "")),
        seconds={name: one for name, one in run.seconds().items() if name != "report"},
        columns=tuple(name for name in lines.column_names if name not in OWN_COLUMNS),
        licences=licence_columns(lines),
        splits=dict(sorted(Counter(one for one in split if one).items())),
        trained={"lines": learned},
        unseen={"lines": len(lines) - learned},
    )
    write_text(run.path(MODEL_CARD), markdown(typewriter_model_card(inputs, card)))
    statement = typewriter_data_statement(inputs, card, skipped)
    write_text(run.path(DATA_STATEMENT), markdown(statement))
