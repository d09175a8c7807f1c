"""Curated clusters in a report: words, doubts that stay, and sheets."""

from __future__ import annotations

import pytest

from typika.curation.apply import Found
from typika.curation.edits import (
    Anchor,
    Annotate,
    Drop,
    Edit,
    Hide,
    Log,
    Merge,
    Rename,
    Spot,
    Star,
)
from typika.report.build import PatchTable, build_page
from typika.report.by_hand import badges_of, change_told, curated_inputs, verdict_of
from typika.report.figures import sheet_rows
from typika.report.html import render
from typika.report.records import BadgeRecord, VerdictRecord

HOSTILE = "</script><b>"


@pytest.fixture(scope="module")
def inputs(make_inputs):
    return make_inputs(labels=("a", "b"), sizes=(8, 7, 6))


def of(inputs, label: str, cluster: int) -> Anchor:
    found = Found.read(inputs.patches)
    return found.anchor(
        place for place, number in enumerate(found.cluster.tolist())
        if number == cluster and found.label[place] == label
    )  # fmt: skip


def log(*changes) -> Log:
    return Log.of(
        Edit(id=f"{number:032x}", at="", change=change) for number, change in enumerate(changes)
    )


def test_a_page_shows_what_was_done_by_hand(inputs):
    gone = Anchor.of("a", [Spot("gone", (0, 0, 1, 1))])
    edits = log(
        Rename(of(inputs, "a", 0), HOSTILE),
        Annotate(of(inputs, "a", 0), "why"),
        Star(of(inputs, "a", 1)),
        Hide(of(inputs, "a", 2)),
        Merge(of(inputs, "b", 1), of(inputs, "b", 0)),
        Drop(Anchor.of("b", of(inputs, "b", 2).spots[:2])),
        Rename(gone, "lost"),
    )
    page = build_page(curated_inputs(inputs, edits))
    first, second = page.labels
    assert [(one.name, one.starred, one.hidden) for one in first.clusters] == [
        (HOSTILE, False, False), ("", True, False), ("", False, True)
    ]  # fmt: skip
    assert first.clusters[0].note == "why"
    assert [(one.rank, one.size) for one in second.clusters] == [(1, 15), (3, 4)]
    assert second.clusters[1].changed == "2 patches were left out by hand."
    assert "1 cluster is folded away." in page.by_hand
    assert any("Not placed: a, a cluster of 1: named “lost”" in text for text in page.by_hand)
    text = render(page)
    assert HOSTILE not in text
    assert "curation.json" in text


def test_nothing_done_changes_nothing(inputs):
    assert curated_inputs(inputs, Log()) is inputs


def test_a_cluster_made_by_hand_has_no_verdict_and_keeps_every_doubt():
    verdicts = {("a", 0): VerdictRecord(verdict="significant", figure="", text="")}
    badges = {("a", 1): (BadgeRecord(badge="border", text="It sits there."),)}
    untouched = {"label": "a", "cluster": 0}
    merged = {**untouched, "whole": False, "sources": [0, 1], "left_out": 0}
    assert verdict_of(untouched, verdicts) is verdicts["a", 0]
    assert verdict_of(merged, verdicts) is None
    (doubt,) = badges_of(merged, badges)
    assert doubt.text == "Found of cluster 2 before it was changed by hand. It sits there."
    assert change_told(untouched) == ""
    assert change_told(merged) == (
        "Put together by hand from clusters 1 and 2. As it is now it was not tested."
    )
    split = {**merged, "cluster": 4, "sources": [0, 1, 2], "left_out": 1}
    assert change_told(split).startswith("Split off by hand from clusters 1, 2 and 3. 1 patch was")
    assert change_told({**split, "sources": []}).startswith("Split off by hand. ")


def test_sheets_have_names_and_leave_hidden_clusters_out(inputs):
    edits = log(Rename(of(inputs, "a", 0), "door"), Hide(of(inputs, "a", 1)))
    curated = curated_inputs(inputs, edits)
    rows = sheet_rows(curated, PatchTable.read(curated), "a")
    assert [(row.name, row.size) for row in rows] == [("door", 8), ("", 6)]
