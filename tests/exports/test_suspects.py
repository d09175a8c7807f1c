"""Transcriptions that may be wrong."""

from __future__ import annotations

import numpy as np

from typika.exports.suspects import DOES_NOT_FIT, MISREAD, UNLIKELY, suspects, suspects_table
from typika.text_evaluation import error_rate

TEXTS = ["in principio erat", "uerbum et uerbum", "erat apud deum et", "deus erat uerbum",
         "hoc erat in principio", "omnia per ipsum facta", "sunt et sine ipso", "factum est nihil",
         "quod factum est in", "ipso uita erat et"]  # fmt: skip


def rows(swapped: bool = False, n: int = 40) -> list[dict]:
    """Lines read with few errors; where two are swapped, what is written is of the other."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(n):
        read = TEXTS[number % 10]
        other = TEXTS[(number + 1) % 10] if swapped and number in (7, 8) else read
        wrong = other != read
        found.append({
            "line_id": f"{number:02d}", "text": other, "read": read.replace("u", "v", number % 2),
            "aligned": True, "log_likelihood": -0.1 * rng.random() - 2.0 * wrong,
            "residual": 0.01 + 0.001 * rng.random(),
            "character_error": error_rate([other], [read]).micro,
        })  # fmt: skip
    return found


def test_swapped_transcriptions_rank_first() -> None:
    found = suspects(rows(swapped=True))
    assert {one.line_id for one in found[:2]} == {"07", "08"}
    for one in found[:2]:
        assert {UNLIKELY, MISREAD} <= set(one.reasons)
        assert one.differences
        assert one.score > 4 * found[2].score


def test_lines_that_are_all_alike_are_no_suspects() -> None:
    found = suspects(rows())
    assert len(found) == 40
    assert not any(one.reasons for one in found)


def test_a_line_is_held_against_its_document() -> None:
    table, hard = rows(n=40), rows(n=12)
    for number, row in enumerate(hard):  # a document that is read worse throughout
        row |= {"line_id": f"hard-{number}", "log_likelihood": -3.0 - 0.1 * (number % 5)}
    both = [*table, *hard]
    assert sum(bool(one.reasons) for one in suspects(both)) == 12
    document = {row["line_id"]: row["line_id"].partition("-")[0] for row in hard}
    assert not any(one.reasons for one in suspects(both, document))
    few = dict(list(document.items())[:3])  # too few lines to be held against each other
    assert sum(bool(one.reasons) for one in suspects(both, few)) == 12


def test_a_transcription_that_does_not_fit_comes_before_all() -> None:
    table = rows(swapped=True)
    table[20]["aligned"] = False
    found = suspects(table)
    assert found[0].line_id == "20"
    assert found[0].reasons == (DOES_NOT_FIT,)


def test_differences_are_the_characters_that_differ() -> None:
    row = rows(n=1)[0] | {"text": "abc d", "read": "abxcde", "character_error": 0.5}
    (found,) = suspects([row])
    assert found.differences == (("", "x"), ("", "e"))
    assert found.shown_differences == "nothing as x, nothing as e"
    assert suspects_table([found]).to_pylist()[0]["rank"] == 1


def test_untranscribed_lines_and_signs_are_left_out() -> None:
    table = rows(n=3)
    table[0]["text"] = None
    table[1]["character_error"] = None  # signs that were found are no characters
    assert [one.line_id for one in suspects(table)] == ["02"]
    assert suspects([]) == ()
