"""Contrasts of a run -> a frozen `ContrastPage`: choice, pictures, wording.

What is contrasted is decided in `mining/contrast.py`; here clusters become rows of patches and
maps become pictures, each contrast on its own scale of colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from typika.report.comparison import percent
from typika.report.comparison_records import ClusterRow, Picture
from typika.report.contrast_records import (
    Answers,
    ContrastFigure,
    ContrastInputs,
    ContrastPage,
    ContrastSection,
    Matrix,
    Share,
    ShownContrast,
    TreeRow,
)
from typika.report.localisation import scale_picture
from typika.report.pictures import as_base64, heat_picture, jpeg_base64

MOST_SECTIONS = 60  # contrasts on a page; the tables hold all
N_CLUSTERS, N_MEMBERS = 6, 8  # of a contrast, of a cluster
FIRST = 4  # patches of a node in the tree
MOST_LABELS = 40  # labels of a confusion matrix that can be read
QUALITY = 78  # of JPEG


def build_contrast(inputs: ContrastInputs) -> ContrastPage:
    """Word the figures, and draw and encode the images."""
    patches = inputs.patches.to_pylist()
    members: dict[tuple[int, int], list[dict]] = {}
    for patch in patches:
        if patch["selection"] == "typical" and patch["cluster"] >= 0:
            members.setdefault((patch["contrast"], patch["cluster"]), []).append(patch)
    for own in members.values():
        own.sort(key=lambda patch: (patch["distance"], patch["rank"]))
    sections = tuple(
        _section(inputs, number, members) for number in range(min(len(inputs.subjects),
                                                                  MOST_SECTIONS))
    )  # fmt: skip
    return ContrastPage(
        title=_title(inputs),
        lead=tuple(_lead(inputs)),
        notes=tuple(_notes(inputs)),
        tree=tuple(_tree(inputs, sections)) if inputs.tree else (),
        sections=sections,
        labels=() if inputs.answers is None else inputs.answers.labels,
        matrices=tuple(_matrices(inputs.answers)),
        scale=scale_picture() if inputs.shown else None,
        facts=inputs.facts,
        version=inputs.version,
        date=inputs.date,
    )


# --------------------------------------------------------------------------------------- words


def _title(inputs: ContrastInputs) -> str:
    if inputs.tree and len(inputs.against) == 1:
        return f"{inputs.name}: each level against the one above"
    named = [one for one in inputs.against if one != "PARENT"]
    named += ["their parents"] if inputs.tree else []
    return f"{inputs.name} against {' and '.join(named)}"


def _lead(inputs: ContrastInputs) -> Iterator[str]:
    if inputs.tree:
        yield (
            "What sets each node of the tree of labels apart from its siblings: of a leaf, what "
            "is its own and not its parent’s; of a parent, what all its children share."
        )
    if any(one != "PARENT" for one in inputs.against):
        yield (
            "What helps the model more under the one label than under the other, at the same "
            "places and under the same noise."
        )
    answers = inputs.answers
    if answers is not None:
        which = "images that the model never saw" if answers.held_out else "images"
        chance = max(answers.n_images) / sum(answers.n_images)
        yield (
            f"As a classifier the model gives {percent(answers.told)} of "
            f"{sum(answers.n_images):,} {which} their own label, where always the most frequent "
            f"gives {percent(chance)}."
        )


def _notes(inputs: ContrastInputs) -> Iterator[str]:
    if len(inputs.subjects) > MOST_SECTIONS:
        yield (
            f"The page shows {MOST_SECTIONS} of {len(inputs.subjects):,} contrasts; "
            "patches.parquet and clusters.parquet hold all."
        )
    answers = inputs.answers
    if answers is not None and not answers.held_out:
        yield (
            "The classifier is tried on images that the model was trained on, since none were "
            "kept from it."
        )
    if answers is not None and len(answers.labels) > MOST_LABELS:
        yield (
            f"The confusion matrix of {len(answers.labels):,} labels is in confusion.csv alone."
        )


# ----------------------------------------------------------------------------------- contrasts


def _section(
    inputs: ContrastInputs, number: int, members: Mapping[tuple[int, int], Sequence[dict]]
) -> ContrastSection:
    subject, against, n_images = inputs.subjects[number]
    rows = [row for row in inputs.clusters.to_pylist() if row["contrast"] == number]
    rows.sort(key=lambda row: row["rank"])
    shown = [one for one in inputs.shown if one.contrast == number]
    limit = max((float(np.abs(one.values).max()) for one in shown), default=1.0) or 1.0
    return ContrastSection(
        number=number + 1,
        subject=subject,
        against=against,
        summary=f"{n_images:,} images, {len(rows):,} clusters",
        clusters=tuple(_cluster(row, members.get((number, row["cluster"]), ()), subject)
                       for row in rows[:N_CLUSTERS]),
        n_clusters=len(rows),
        figures=tuple(_figure(one, limit) for one in shown),
        limit=f"{limit:.2g}",
    )  # fmt: skip


def _cluster(row: Mapping, members: Sequence[dict], subject: str) -> ClusterRow:
    kept = members[:N_MEMBERS]
    null = float(np.median([patch["typicality_null"] for patch in members])) if members else 0.0
    return ClusterRow(
        rank=row["rank"],
        typicality=_spelt(row),
        counts=f"{row['size']:,} patches of {row['n_images']:,} images · "
        f"against no label {_figures(null)}",
        patches=tuple(_patch(patch, subject) for patch in kept),
        left_out=len(members) - len(kept),
    )


def _spelt(row: Mapping) -> str:
    if row["low"] is None or not math.isfinite(row["low"]):
        return _figures(row["typicality"])
    low, high = _figures(row["low"]), _figures(row["high"])
    return f"{_figures(row['typicality'])} ({low} to {high})"


def _figures(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _patch(patch: Mapping, subject: str) -> Picture:
    return Picture(
        jpeg=as_base64(patch["thumbnail"]["bytes"]),
        alt=f"Typical of {subject}, from {patch['file_name']}",
    )


def _figure(one: ShownContrast, limit: float) -> ContrastFigure:
    row, column = np.unravel_index(int(np.argmax(one.values)), one.values.shape)
    left = 100 * (column + 0.5) / one.values.shape[1]
    top = 100 * (row + 0.5) / one.values.shape[0]
    heat = heat_picture(one.image, one.values, limit)
    return ContrastFigure(
        caption=one.file_name,
        plain=Picture(jpeg=_jpeg(one.image), alt=one.file_name),
        heat=Picture(
            jpeg=_jpeg(heat),
            alt=f"{one.file_name} under its contrast: highest {left:.0f} % from the left and "
            f"{top:.0f} % from the top",
        ),
        width=one.image.width,
        height=one.image.height,
    )


def _jpeg(picture: Image.Image) -> str:
    return jpeg_base64(picture, side=max(picture.size), quality=QUALITY)


def _tree(inputs: ContrastInputs, sections: Sequence[ContrastSection]) -> Iterator[TreeRow]:
    """The nodes from the first level down, those above a contrasted one too."""
    of_subject = {
        sections[number].subject: sections[number]
        for number in inputs.tree
        if number < len(sections)
    }
    nodes: dict[str, None] = {}
    for subject in of_subject:
        names = subject.split("/")
        nodes |= dict.fromkeys("/".join(names[:depth]) for depth in range(1, len(names) + 1))
    for node in nodes:
        section = of_subject.get(node)
        best = section.clusters[0] if section is not None and section.clusters else None
        yield TreeRow(
            name=node.rpartition("/")[2],
            depth=node.count("/"),
            number=None if section is None else section.number,
            typicality="" if best is None else best.typicality.split(" (")[0],
            patches=() if best is None else best.patches[:FIRST],
        )


# ---------------------------------------------------------------------------------- classifier


def _matrices(answers: Answers | None) -> Iterator[Matrix]:
    if answers is None or len(answers.labels) > MOST_LABELS:
        return
    for title, values in (("Whole images", answers.image), ("Single cells", answers.cells)):
        yield Matrix(
            title=title,
            rows=tuple(
                (label, f"{count:,}", _shares(row, number))
                for number, (label, count, row) in enumerate(
                    zip(answers.labels, answers.n_images, values, strict=True)
                )
            ),
        )


def _shares(row: Float[ndarray, " k"], number: int) -> tuple[Share, ...]:
    return tuple(
        Share(
            text="—" if math.isnan(value) else f"{100 * value:.0f}",
            shade=0 if math.isnan(value) else min(9, int(10 * value)),
            own=place == number,
        )
        for place, value in enumerate(row.tolist())
    )
