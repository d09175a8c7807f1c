"""The evidence in words: what a reader is told of each cluster."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from typika.mining.artefacts import BADGES
from typika.mining.confounds import CONFOUNDS
from typika.mining.evidence import VERDICTS
from typika.report import evidence as words
from typika.report.build import build_page
from typika.report.records import Evidence

TESTED = {
    "label": "amber", "cluster": 0, "verdict": "significant", "n_patches": 12, "n_own": 20,
    "n_other": 60, "auc": 0.93, "auc_low": 0.87, "auc_high": 0.96, "purity": 0.9,
    "purity_low": 0.7, "purity_high": 0.97, "lift": 3.6, "lift_low": 2.8, "lift_high": 3.9,
    "p": 0.0002, "p_family": 0.004, "q": 0.0004, "gap": 0.01, "gap_low": -0.02, "gap_high": 0.04,
}  # fmt: skip


def found(**changes: Any) -> Evidence:
    untested = dict.fromkeys(VERDICTS.names) | {
        "label": "amber", "cluster": 1, "verdict": "not tested",
    }  # fmt: skip
    badge = {
        "label": "amber", "cluster": 1, "badge": "border", "value": 0.9, "low": 0.8,
        "high": 1.0, "threshold": 0.5, "given": True, "evidence": "90% touch the left side.",
    }  # fmt: skip
    nuisance = {
        "label": "amber", "family": "border", "n": 30, "auc": 0.91, "low": 0.85, "high": 0.95,
        "content": 0.95, "explains": True, "note": "",
    }  # fmt: skip
    return Evidence(
        verdicts=pa.Table.from_pylist([TESTED | changes, untested], schema=VERDICTS),
        badges=pa.Table.from_pylist(
            [badge, badge | {"cluster": 0, "given": False}], schema=BADGES
        ),
        confounds=pa.Table.from_pylist(
            [nuisance, nuisance | {"family": "tint", "auc": 0.6, "explains": False}],
            schema=CONFOUNDS,
        ),
    )


def test_a_verdict_names_every_figure() -> None:
    record = words.verdict_records(found())["amber", 0]
    assert record.verdict == "significant"
    assert record.figure == "AUC 0.93 (0.87 to 0.96)"
    for figure in ("12 of its patches", "20 of this label, 60 of others", "93%", "90%",
                   "3.6 times", "p = 0.004", "p < 0.001", "q < 0.001",
                   "0.01 (-0.02 to 0.04)"):  # fmt: skip
        assert figure in record.text, figure


def test_what_was_not_tested_says_so_and_has_no_figure() -> None:
    record = words.verdict_records(found())["amber", 1]
    assert (record.verdict, record.figure) == ("not tested", "")
    assert record.text.startswith("Not tested")


def test_only_badges_that_were_given_are_shown() -> None:
    records = words.badge_records(found())
    assert set(records) == {("amber", 1)}
    assert records["amber", 1][0].text == "90% touch the left side."


def test_the_page_shows_the_evidence_and_a_sentence_for_the_label(make_inputs) -> None:
    inputs = make_inputs()
    page = build_page(type(inputs)(**(vars(inputs) | {"evidence": found()})))
    amber = page.labels[0]
    assert amber.clusters[0].verdict is not None
    assert amber.clusters[0].badges == ()
    assert amber.clusters[1].badges[0].badge == "border"
    assert amber.verdict == (
        "1 of 1 tested clusters hold on unseen images. 1 looks like an artefact."
    )
    assert page.families == ("border", "tint")
    (row,) = page.confounds
    assert row.cells == (("0.91 (0.85 to 0.95)", True), ("0.60 (0.85 to 0.95)", False))


def test_without_evidence_the_page_is_silent(make_inputs) -> None:
    page = build_page(make_inputs())
    assert page.confounds == ()
    assert all(cluster.verdict is None for label in page.labels for cluster in label.clusters)
    assert {label.verdict for label in page.labels} == {""}


def test_masked_artefacts_leave_tables_and_patches(make_inputs) -> None:
    inputs = make_inputs()
    patches, clusters = words.without_artefacts(found(), inputs.patches, inputs.clusters)
    kept = set(zip(clusters["label"].to_pylist(), clusters["cluster"].to_pylist(), strict=True))
    assert ("amber", 1) not in kept
    assert len(clusters) == len(inputs.clusters) - 1
    left = set(zip(patches["label"].to_pylist(), patches["cluster"].to_pylist(), strict=True))
    assert ("amber", 1) not in left
    assert ("amber", -1) in left  # controls stay


@pytest.mark.browser
def test_a_reader_sees_verdicts_and_can_leave_artefacts_out(make_inputs, open_report) -> None:
    inputs = make_inputs()
    page = open_report(type(inputs)(**(vars(inputs) | {"evidence": found()})))
    rows = page.locator("#panel-0 .cluster h4")
    assert rows.all_inner_texts()[-1] == "Cluster 2"  # the badged one stands below the others
    assert "likely artefacts" in page.locator("#panel-0 .apart").inner_text()
    page.locator("#panel-0 .verdict.significant summary").click()
    assert "60 of others" in page.locator("#panel-0 .verdict.significant p").inner_text()
    page.select_option("#only", "clean")
    assert "Cluster 2" not in rows.all_inner_texts()
    page.select_option("#only", "significant")
    assert rows.all_inner_texts() == ["Cluster 1"]
    assert "▲ 0.91 (0.85 to 0.95)" in page.locator("#confounds").inner_text()
