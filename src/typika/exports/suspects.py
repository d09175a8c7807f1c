"""Transcriptions that may be wrong, ranked: lines whose writing does not bear them out (pure).

Three signs are looked at in every transcribed line: how likely the writing is under the
transcription, how much of the ink its drawing leaves unexplained, and how much is read otherwise.
Each counts by how far it is from the median of all lines,

    z = (x − median) / max(1.4826 MAD, least),

where MAD is the median absolute deviation: a robust z-score (Iglewicz and Hoaglin 1993), whose
threshold of 3.5 is theirs too. A line ranks by the sum of its positive z.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from typika.text_evaluation import align_texts

UNUSUAL = 3.5  # of z, from which a sign is a reason
NORMAL = 1.4826  # standard deviations of a normal distribution to its MAD
# The least that a sign is taken to vary by, so that lines which are all alike are not suspects.
LEAST_LIKELIHOOD = 0.02  # of the log-likelihood, per cell
LEAST_RESIDUAL = 0.05  # of its median
LEAST_ERROR = 0.05  # of the characters
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


def suspects(readings: Sequence[Mapping[str, Any]]) -> tuple[Suspect, ...]:
    """Every transcribed line, the most suspect first; of equals, as they come.

    readings: rows of readings.parquet. Lines of a run that found signs of its own are not aligned
    with their transcriptions, and none of them is a suspect.
    """
    rows = [row for row in readings if row["text"] and row["character_error"] is not None]
    fits = np.array([bool(row["aligned"]) for row in rows], dtype=bool)
    signs = {
        UNLIKELY: _unusual([-row["log_likelihood"] for row in rows], fits, LEAST_LIKELIHOOD),
        UNEXPLAINED: _unusual([row["residual"] for row in rows], fits, None),
        MISREAD: _unusual([row["character_error"] for row in rows], fits, LEAST_ERROR),
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


def _unusual(values: Sequence[float], fits: ndarray, least: float | None) -> Float[ndarray, " n"]:
    """z of each value, held against those of the lines that fit."""
    found = np.asarray(values, dtype=np.float64)
    if not fits.any():
        return np.zeros(len(found))
    centre = float(np.median(found[fits]))
    spread = NORMAL * float(np.median(np.abs(found[fits] - centre)))
    floor = max(LEAST_RESIDUAL * abs(centre), 1e-9) if least is None else least
    return (found - centre) / max(spread, floor)
