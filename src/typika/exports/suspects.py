"""Transcriptions that may be wrong, ranked: lines whose writing does not bear them out (pure).

Three signs are looked at in every transcribed line: how likely the writing is under the
transcription, how much of the ink its drawing leaves unexplained, and how much is read otherwise.
Each counts by how far it is from the median of the lines of its document,

    z = (x − median) / max(1.4826 MAD⁺, least),

where MAD⁺ is the median distance of what is not below the median, since such signs have long
tails above: a robust z-score (Iglewicz and Hoaglin 1993), whose threshold of 3.5 is theirs too.
A line ranks by the sum of its positive z.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.text_evaluation import align_texts

UNUSUAL = 3.5  # of z, from which a sign is a reason
NORMAL = 1.4826  # standard deviations of a normal distribution to its MAD, above as below
# The least that a sign is taken to vary by, so that lines which are all alike are not suspects.
LEAST_LIKELIHOOD = 0.02  # of the log-likelihood, per cell
LEAST_RESIDUAL = 0.05  # of its median
LEAST_ERROR = 0.05  # of the characters
FEWEST = 10  # lines of a document that are held against each other alone
MOST_DIFFERENCES = 20  # of one line, in the table
DOES_NOT_FIT = "the transcription has more characters than the line has room for"
UNLIKELY = "the writing is unlikely under the transcription"
UNEXPLAINED = "the drawing of the transcription leaves much of the ink unexplained"
MISREAD = "what is read differs much from the transcription"


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A transcribed line, and what speaks against its transcription.

    score: sum of the signs' positive z, infinite where the transcription does not fit at all.
    reasons: empty where nothing is unusual. differences: (written, read) characters in the order
    of the line, "" where one of them has nothing.
    """

    line_id: str
    text: str
    read: str
    score: float
    reasons: tuple[str, ...]
    differences: tuple[tuple[str, str], ...]

    @property
    def shown_differences(self) -> str:
        """As a person reads it: `a as e, nothing as t`."""
        shown = [f"{one or 'nothing'} as {other or 'nothing'}"
                 for one, other in self.differences[:MOST_DIFFERENCES]]  # fmt: skip
        more = len(self.differences) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def suspects(
    readings: Sequence[Mapping[str, Any]], document: Mapping[str, str] | None = None
) -> tuple[Suspect, ...]:
    """Every transcribed line, the most suspect first; of equals, as they come.

    readings: rows of readings.parquet. document: of a line its document, whose lines it is held
    against where they are `FEWEST` or more; other lines are held against each other. Lines of a
    run that found signs of its own are not aligned with their transcriptions, and none of them is
    a suspect.
    """
    rows = [row for row in readings if row["text"] and row["character_error"] is not None]
    fits = np.array([bool(row["aligned"]) for row in rows], dtype=bool)
    own = _grouped([(document or {}).get(row["line_id"], "") for row in rows])
    unusual = partial(_unusual, fits=fits, group=own)
    signs = {
        UNLIKELY: unusual([-row["log_likelihood"] for row in rows], LEAST_LIKELIHOOD),
        UNEXPLAINED: unusual([row["residual"] for row in rows], None),
        MISREAD: unusual([row["character_error"] for row in rows], LEAST_ERROR),
    }
    found = [
        _suspect(row, bool(fits[n]), {reason: float(z[n]) for reason, z in signs.items()})
        for n, row in enumerate(rows)
    ]
    return tuple(sorted(found, key=lambda one: -one.score))


def suspects_table(found: Sequence[Suspect]) -> pa.Table:
    """A row a line: rank, line_id, score, reason, text, read, differences."""
    return pa.table({
        "rank": pa.array(range(1, len(found) + 1), pa.int32()),
        "line_id": pa.array([one.line_id for one in found], pa.string()),
        "score": pa.array([one.score for one in found], pa.float64()),
        "reason": pa.array(["; ".join(one.reasons) for one in found], pa.string()),
        "text": pa.array([one.text for one in found], pa.string()),
        "read": pa.array([one.read for one in found], pa.string()),
        "differences": pa.array([one.shown_differences for one in found], pa.string()),
    })  # fmt: skip


def _suspect(row: Mapping[str, Any], fits: bool, signs: Mapping[str, float]) -> Suspect:
    score = sum(max(z, 0.0) for z in signs.values()) if fits else float("inf")
    reasons = [reason for reason, z in signs.items() if z >= UNUSUAL] if fits else [DOES_NOT_FIT]
    written, read = ("".join(row[name].split()) for name in ("text", "read"))
    different = [(one or "", other or "") for one, other in align_texts(written, read)
                 if one != other]  # fmt: skip
    return Suspect(
        line_id=row["line_id"],
        text=row["text"],
        read=row["read"],
        score=score,
        reasons=tuple(reasons),
        differences=tuple(different),
    )


def _grouped(names: Sequence[str]) -> Int[ndarray, " n"]:
    """Of each line the number of its group; 0 is that of all whose own would be too small."""
    count = Counter(names)
    large = sorted(name for name in count if name and count[name] >= FEWEST)
    return np.array([large.index(name) + 1 if name in large else 0 for name in names], np.int64)


def _unusual(
    values: Sequence[float],
    least: float | None,
    *,
    fits: Bool[ndarray, " n"],
    group: Int[ndarray, " n"],
) -> Float[ndarray, " n"]:
    """The z of each value, held against those of the lines of its group that fit."""
    found = np.asarray(values, dtype=np.float64)
    z = np.zeros(len(found))
    for one in np.unique(group):
        own = group == one
        held = found[own & fits]
        if not len(held):
            continue
        centre = float(np.median(held))
        spread = NORMAL * float(np.median(held[held >= centre] - centre))
        floor = max(LEAST_RESIDUAL * abs(centre), 1e-9) if least is None else least
        z[own] = (found[own] - centre) / max(spread, floor)
    return z
