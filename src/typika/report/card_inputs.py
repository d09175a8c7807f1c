"""What a run of images tells its model card and its data statement, and their writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from typika import config as settings
from typika.collection.images import OWN_COLUMNS, ImageCollection
from typika.files import write_text
from typika.mining.pipeline import Mining, folds
from typika.report.card_records import (
    CardFacts,
    changed_settings,
    licence_columns,
    versions_of,
)
from typika.report.cards import DATA_STATEMENT, MODEL_CARD, data_statement, model_card
from typika.report.markdown import markdown
from typika.report.records import ReportInputs


def write_cards(inputs: ReportInputs, mining: Mining, defaults: Mapping[str, Any]) -> None:
    """Write MODEL_CARD.md and DATA_STATEMENT.md into the run folder.

    defaults: values of the settings where nothing is asked for, to tell what was changed.
    """
    card = card_facts(mining, defaults)
    folder: Path = mining.folder
    write_text(folder / MODEL_CARD, markdown(model_card(inputs, card)))
    write_text(folder / DATA_STATEMENT, markdown(data_statement(inputs.facts, card)))


def card_facts(mining: Mining, defaults: Mapping[str, Any]) -> CardFacts:
    """How the run was made, and what its table said."""
    collection, manifest = mining.collection, mining.run.manifest
    mined = collection.in_split(mining.config.collection.mine)
    fitted, unseen = np.zeros_like(mined), np.zeros_like(mined)
    for fold in folds(mining, collection):
        fitted |= fold.trained_on
        unseen |= mined & fold.scored & ~fold.trained_on
    table = collection.table
    splits = Counter(one for one in table["split"].to_pylist() if one)
    own = (name for name in table.column_names if name not in OWN_COLUMNS)
    return CardFacts(
        name=mining.folder.resolve().name,
        changed=changed_settings(settings.as_values(mining.config), defaults),
        versions=versions_of(manifest),
        platform=str(manifest.get("platform", "")),
        seconds=mining.run.seconds(),
        columns=tuple(own),
        licences=licence_columns(table),
        splits=dict(sorted(splits.items())),
        trained=_by_label(fitted, collection),
        unseen=_by_label(unseen, collection),
    )


def _by_label(rows: Bool[ndarray, " n"], collection: ImageCollection) -> dict[str, int]:
    counts = np.bincount(collection.label_index[rows], minlength=len(collection.labels))
    return dict(zip(collection.labels, counts.tolist(), strict=True))
