from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from typika.mining.cotypicality import CLUSTERS, SEQUENCES
from typika.report.cotypicality import build_cotypical, nearest
from typika.report.cotypicality_records import CotypicalInputs
from typika.report.html import render_cotypical

LABELS = ("a", "<b>")


def inputs(n_clusters: int = 2, n_sequences: int = 8, jpeg: bytes = b"x" * 900) -> CotypicalInputs:
    """Clusters of sequences over two labels, farthest from the centre first."""
    rows = [
        {
            "sequence": cluster * n_sequences + place, "cluster": cluster,
            "distance": 1.0 - place / n_sequences, "cotypicality": 0.5,
            "image_id": f"{place}", "source_label": "a", "source_name": f"{place}.jpg",
            "label": label, "original": label == "a", "file_name": f"{label}/{place}.jpg",
            "typicality": 0.25, "left": 0, "top": 0, "right": 9, "bottom": 9,
        }
        for cluster in range(n_clusters) for place in range(n_sequences) for label in LABELS
    ]  # fmt: skip
    clusters = [
        {"cluster": number, "rank": number + 1, "size": n_sequences, "cotypicality": 0.5,
         "low": 0.4, "high": 0.6, "n_images": n_sequences, "stability": 1.0}
        for number in range(n_clusters)
    ]  # fmt: skip
    return CotypicalInputs(
        name="<run>", labels=LABELS, sequences=pa.Table.from_pylist(rows, SEQUENCES),
        clusters=pa.Table.from_pylist(clusters, CLUSTERS),
        pictures={(row["sequence"], row["label"], row["original"]): jpeg for row in rows},
        n_images=8, facts={"Model": "<m>"}, notes=("A & B.",), version="1", date="",
    )  # fmt: skip


def test_rows_begin_nearest_to_the_centre() -> None:
    assert nearest(inputs().sequences.to_pylist(), 3) == {0: [7, 6, 5], 1: [15, 14, 13]}
    page = build_cotypical(inputs())
    assert [row.source for row in page.clusters[0].rows][:3] == ["7.jpg", "6.jpg", "5.jpg"]


def test_an_image_is_shown_once_in_a_cluster() -> None:
    given = inputs()
    one = pa.array(["same"] * len(given.sequences))
    table = given.sequences.set_column(4, "image_id", one)
    assert nearest(table.to_pylist()) == {0: [7], 1: [15]}


def test_the_original_is_marked_by_more_than_colour() -> None:
    text = render_cotypical(build_cotypical(inputs()))
    cell = text.split('<td class="original">')[1].split("</td>")[0]
    assert "the original" in cell
    assert "<small>original 0.25</small>" in cell


def test_nothing_that_a_user_names_is_markup() -> None:
    text = render_cotypical(build_cotypical(inputs()))
    assert "<b>" not in text
    assert "<run>" not in text
    assert "<m>" not in text
    assert "A &amp; B." in text


@pytest.mark.parametrize("megabytes", [0.3, 0.5, 2.0])
def test_the_page_keeps_to_its_size(megabytes: float) -> None:
    page = build_cotypical(inputs(20, 8, b"x" * 4000), max_megabytes=megabytes)
    assert len(render_cotypical(page)) <= megabytes * 1e6
    assert len(page.clusters) >= 1
    if megabytes < 2:
        assert page.left_out


def test_originals_of_other_labels_have_a_column_of_their_own() -> None:
    page = build_cotypical(replace(inputs(), labels=("<b>",)))
    assert page.columns == ("Original", "<b>")
    row = page.clusters[0].rows[0]
    assert [cell.original for cell in row.cells if cell] == [True, False]
