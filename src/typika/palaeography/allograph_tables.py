"""Where a letter takes which form: by its place in the word, and by document.

Words are parted by spaces, ends of lines, and marks that are no letters or digits. Whether forms
depend on the place is tested by permuting them among the instances of one document, so that a
document that prefers a form does not speak for it.

Legend: `n` instances of one letter, `f` forms, `p` places, `u` documents.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from numpy import ndarray

from typika.evaluation import q_values
from typika.palaeography.allographs import Forms
from typika.palaeography.records import Instances

POSITIONS = ("initial", "medial", "final", "alone")
OF_WORDS = ("L", "M", "N")  # Unicode categories of what words are made of


def positions(instances: Instances) -> Int[ndarray, " n"]:
    """Of each instance, its place in the word: a number into POSITIONS."""
    table = instances.table
    of_words = {
        (line, place)
        for line, place, character in zip(
            *(table[name].to_pylist() for name in ("line_id", "place", "character")), strict=True
        )
        if unicodedata.category(character[:1] or " ")[0] in OF_WORDS
    }
    pairs = zip(table["line_id"].to_pylist(), table["place"].to_pylist(), strict=True)
    number = {(False, True): 0, (True, True): 1, (True, False): 2, (False, False): 3}
    return np.array(
        [number[(line, place - 1) in of_words, (line, place + 1) in of_words]
         for line, place in pairs], dtype=np.int64,
    )  # fmt: skip


def by_position(
    found: Sequence[Forms],
    instances: Instances,
    stratum: Int[ndarray, " n"],
    *,
    draws: int = 999,
    seed: int = 0,
) -> pa.Table:
    """A row a letter of several forms, form and place in the word.

    stratum: the document of every instance. share: of the letter's instances at that place. p:
    that forms depend on the place as much as they do, by chance; q: its false discovery rate over
    letters (Benjamini, Hochberg 1995).
    """
    place = positions(instances)
    several = [one for one in found if len(one.prototypes) > 1]
    p = np.array([
        dependence_p(one.form, place[one.row], stratum[one.row], draws,
                     np.random.default_rng((seed, *map(ord, one.character))))
        for one in several
    ])  # fmt: skip
    rows = [
        {"character": one.character, "form": form, "position": name,
         "count": int(table[form, number]), "share": _share(table[form, number], table[:, number]),
         "p": float(p[k]), "q": float(q)}
        for k, (one, q) in enumerate(zip(several, q_values(p) if len(p) else p, strict=True))
        for table in [crossed(one.form, place[one.row], len(one.prototypes), len(POSITIONS))]
        for form in range(len(one.prototypes))
        for number, name in enumerate(POSITIONS)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, POSITION_SCHEMA)


def by_document(found: Sequence[Forms], instances: Instances, by: str) -> pa.Table:
    """A row a letter of several forms, form and value of the column `by`.

    share: of the letter's instances there. entropy: of its forms there, bits.

    Raises ConfigError where there is no such column.
    """
    names, group = instances.groups(by)
    rows = []
    for one in found:
        own = group[one.row]
        if len(one.prototypes) < 2:
            continue
        table = crossed(one.form[own >= 0], own[own >= 0], len(one.prototypes), len(names))
        for number in np.flatnonzero(table.any(axis=0)):
            share = table[:, number] / table[:, number].sum()
            entropy = -float((share[share > 0] * np.log2(share[share > 0])).sum()) + 0.0
            rows += [
                {"character": one.character, "form": form, by: names[number],
                 "count": int(table[form, number]), "share": float(share[form]),
                 "entropy": entropy}
                for form in range(len(share))
            ]  # fmt: skip
    schema = pa.schema([("character", pa.string()), ("form", pa.int32()), (by, pa.string()),
                        ("count", pa.int32()), ("share", pa.float64()),
                        ("entropy", pa.float64())])  # fmt: skip
    return pa.Table.from_pylist(rows, schema)


POSITION_SCHEMA = pa.schema([
    ("character", pa.string()),
    ("form", pa.int32()),
    ("position", pa.string()),  # of POSITIONS
    ("count", pa.int32()),
    ("share", pa.float64()),  # of the letter's instances at that place; nan without any
    ("p", pa.float64()),  # of the letter
    ("q", pa.float64()),
])  # fmt: skip


def crossed(
    form: Int[ndarray, " n"], place: Int[ndarray, " n"], n_forms: int, n_places: int
) -> Int[ndarray, "f p"]:
    """How often each form occurs at each place."""
    return np.bincount(form * n_places + place, minlength=n_forms * n_places).reshape(
        n_forms, n_places
    )


def dependence_p(
    form: Int[ndarray, " n"],
    place: Int[ndarray, " n"],
    stratum: Int[ndarray, " n"],
    draws: int,
    rng: np.random.Generator,
) -> float:
    """That forms and places go together as much as they do, if within strata they did not.

    The statistic is Σ (observed − expected)² / expected, expected being what the strata's own
    shares of forms and places come to. (1 + draws at least as large) / (1 + draws).
    """
    n_forms, n_places = int(form.max(initial=0)) + 1, int(place.max(initial=0)) + 1
    expected = np.zeros((n_forms, n_places))
    members = [np.flatnonzero(stratum == one) for one in np.unique(stratum)]
    for own in members:
        table = crossed(form[own], place[own], n_forms, n_places)
        expected += np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()

    def statistic(forms: Int[ndarray, " n"]) -> float:
        away = crossed(forms, place, n_forms, n_places) - expected
        return float((away**2 / np.where(expected > 0, expected, 1)).sum())

    observed, moved, at_least = statistic(form), form.copy(), 0
    for _ in range(draws):
        for own in members:
            moved[own] = rng.permutation(form[own])
        at_least += statistic(moved) >= observed - 1e-9
    return (1 + at_least) / (1 + draws)


def _share(count: np.integer, total: Int[ndarray, " f"]) -> float:
    return float(count / total.sum()) if total.sum() else float("nan")
