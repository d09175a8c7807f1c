"""The page of a label with more clusters than there is room for."""

from __future__ import annotations

import pyarrow as pa

from typika.mining import bias_stage
from typika.report.bias import MOST_CLUSTERS, build_bias
from typika.report.bias_records import BiasInputs

MANY = MOST_CLUSTERS + 12
HALF = MOST_CLUSTERS // 2
MEMBERS = ("label", "cluster", "origin", "file_name", "typicality")


def odds_row(cluster: int) -> dict:
    """Of clusters in their order: the log-odds fall, and the last is never drawn."""
    value = 3.0 - 6.0 * cluster / (MANY - 1)
    numbers = {"log_odds": value, "low": value - 1, "high": value + 1, "widened_low": value - 2,
               "widened_high": value + 2, "p": 0.5, "q": 0.5}  # fmt: skip
    verdict = "never drawn" if cluster == MANY - 1 else "not shown"
    return {"label": "a", "cluster": cluster, "guidance": "", "n_generated": 3, "of_generated": 9,
            "n_real": 3, "of_real": 9, "verdict": verdict, **numbers}  # fmt: skip


def test_both_ends_of_a_long_list_are_shown() -> None:
    """What is never drawn stands last, and is what the page is for."""
    members = [("a", cluster, "real", f"{cluster}.png", 0.1) for cluster in range(MANY)]
    shares = {"label": "a", "guidance": "", "low": 0.4, "high": 0.6}
    page = build_bias(BiasInputs(
        name="run", labels=("a",), guidances=("",), alpha=0.05, drawn=False, facts={},
        version="0", date="2026-01-01", pictures=dict.fromkeys(range(MANY), b"jpeg"),
        clusters=pa.Table.from_pylist([], schema=bias_stage.CLUSTERS),
        odds=pa.Table.from_pylist(list(map(odds_row, range(MANY))), schema=bias_stage.ODDS),
        coverage=pa.Table.from_pylist(
            [{**shares, "clusters": 1, "drawn": 1, "coverage": 1.0, "expected": 1.0}],
            schema=bias_stage.COVERAGE,
        ),
        told_apart=pa.Table.from_pylist(
            [{**shares, "by": by, "auc": 0.5} for by in ("look", "patches", "compared")],
            schema=bias_stage.TOLD_APART,
        ),
        members=pa.Table.from_pylist([dict(zip(MEMBERS, one, strict=True)) for one in members]),
    ))  # fmt: skip
    (section,) = page.labels
    numbers = [*range(1, HALF + 1), *range(MANY - HALF + 1, MANY + 1)]
    assert [one.number for one in section.clusters] == numbers
    assert [one.number for one in section.forest] == numbers
    assert all(len(one.real) == 1 for one in section.clusters)
    assert section.clusters[-1].verdict == "never drawn"
    assert section.summary.startswith(f"{MANY} clusters, 1 of them")
    assert any(f"the first {HALF} clusters and the last {HALF}" in one for one in page.left_out)
