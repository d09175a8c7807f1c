"""The evidence for each cluster in words: verdicts, badges, and what else tells labels apart.

Pure functions from the tables of the evidence stage to records of the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from typika.report.records import BadgeRecord, ConfoundRow, Evidence, VerdictRecord

Key = tuple[str, int]  # label, cluster
MOST_FAMILIES = 14  # columns of the table of nuisances; the strongest come first


def verdict_records(evidence: Evidence) -> dict[Key, VerdictRecord]:
    """The verdict on each cluster."""
    if evidence.verdicts is None:
        return {}
    return {
        (row["label"], row["cluster"]): VerdictRecord(
            verdict=row["verdict"], figure=_figure(row), text=_explained(row)
        )
        for row in evidence.verdicts.to_pylist()
    }


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _figure(row: Mapping[str, Any]) -> str:
    if not _known(row["auc"]):
        return ""
    return f"AUC {row['auc']:.2f} ({row['auc_low']:.2f} to {row['auc_high']:.2f})"


def _explained(row: Mapping[str, Any]) -> str:
    """All figures of a cluster, each with what it means."""
    if not _known(row["auc"]):
        return (
            "Not tested: too few of its patches come from images that a detector may be made "
            "from, or too few images of the label are left to try it on."
        )
    said = [
        f"A detector made from {row['n_patches']:,} of its patches was tried on images that the "
        f"model never saw: {row['n_own']:,} of this label, {row['n_other']:,} of others. An image "
        f"of this label matches better than another in {row['auc']:.0%} of pairs "
        f"({row['auc_low']:.0%} to {row['auc_high']:.0%}; chance 50%)."
    ]
    if _known(row["purity"]):
        said.append(
            f"Of the best matches {row['purity']:.0%} are of this label ({row['purity_low']:.0%} "
            f"to {row['purity_high']:.0%}), {row['lift']:.1f} times chance "
            f"({row['lift_low']:.1f} to {row['lift_high']:.1f})."
        )
    if _known(row["p_family"]):
        said.append(
            f"With labels shuffled, any cluster does as well with p {_p(row['p_family'])}, this "
            f"one with p {_p(row['p'])} (q {_p(row['q'])})."
        )
    if _known(row["gap"]) and _known(row["gap_low"]):
        said.append(
            f"Typicality in images trained on less that in unseen ones: {row['gap']:.3g} "
            f"({row['gap_low']:.3g} to {row['gap_high']:.3g})."
        )
    return " ".join(said)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def badge_records(evidence: Evidence) -> dict[Key, tuple[BadgeRecord, ...]]:
    """The badges that each cluster was given."""
    found: dict[Key, tuple[BadgeRecord, ...]] = {}
    if evidence.badges is None:
        return found
    for row in evidence.badges.to_pylist():
        if row["given"]:
            key = row["label"], row["cluster"]
            record = BadgeRecord(badge=row["badge"], text=row["evidence"])
            found[key] = (*found.get(key, ()), record)
    return found


def label_verdict(
    label: str,
    clusters: Sequence[int],
    verdicts: Mapping[Key, VerdictRecord],
    badges: Mapping[Key, Sequence[BadgeRecord]],
) -> str:
    """A sentence on the clusters of a label: how many hold, how many look like artefacts."""
    tested = [verdicts[label, one] for one in clusters if (label, one) in verdicts]
    tested = [one for one in tested if one.verdict != "not tested"]
    if not tested:
        return ""
    holding = sum(one.verdict == "significant" for one in tested)
    flawed = sum(bool(badges.get((label, one))) for one in clusters)
    text = f"{holding} of {len(tested)} tested clusters hold on unseen images."
    if flawed:
        text += f" {flawed} {'looks' if flawed == 1 else 'look'} like an artefact."
    return text


def confound_table(evidence: Evidence) -> tuple[tuple[str, ...], tuple[ConfoundRow, ...]]:
    """Families of nuisances, the most telling first, and a row per label."""
    table = evidence.confounds
    if table is None or not len(table):
        return (), ()
    rows = table.to_pylist()
    strongest: dict[str, float] = {}
    for row in rows:
        if _known(row["auc"]):
            strongest[row["family"]] = max(strongest.get(row["family"], 0.0), row["auc"])
    families = tuple(sorted(strongest, key=lambda name: -strongest[name])[:MOST_FAMILIES])
    labels = tuple(dict.fromkeys(row["label"] for row in rows))
    of = {(row["label"], row["family"]): row for row in rows}
    return families, tuple(
        ConfoundRow(label=label, cells=tuple(_cell(of.get((label, name))) for name in families))
        for label in labels
    )


def _cell(row: Mapping[str, Any] | None) -> tuple[str, bool]:
    if row is None or not _known(row["auc"]):
        return "", False
    return f"{row['auc']:.2f} ({row['low']:.2f} to {row['high']:.2f})", bool(row["explains"])


def without_artefacts(
    evidence: Evidence, patches: pa.Table, clusters: pa.Table
) -> tuple[pa.Table, pa.Table]:
    """The patches and clusters of a run less the clusters that carry a badge."""
    flawed = badge_records(evidence)

    def kept(table: pa.Table) -> pa.Table:
        keys = zip(table["label"].to_pylist(), table["cluster"].to_pylist(), strict=True)
        return table.filter(pa.array([key not in flawed for key in keys], pa.bool_()))

    return kept(patches), kept(clusters)
