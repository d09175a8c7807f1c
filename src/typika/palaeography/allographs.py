"""The forms in which a letter is written: asked for, or found where its instances leave a gap.

A letter's instances are divided in two again and again, as long as what divides one half of them
also parts the other half clearly (`mixtures`): so small changes, which are continuous, are no
forms. Forms that look alike or are little used are merged.

Legend: `n` instances of one letter, `f` forms of it, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from typika.errors import ConfigError
from typika.palaeography.mixtures import Division, Support, divide, support
from typika.palaeography.records import Instances
from typika.palaeography.residuals import prototype, residuals
from typika.typewriter.exemplars import similarity

Part = Int[ndarray, "_"]  # which of a letter's instances; parts are of different sizes
NOTHING = Support(0.0, 1.0, 0.0)
MOST_JUDGED = 1500  # instances, drawn, on which a division is judged


@dataclass(frozen=True, kw_only=True)
class AllographConfig:
    """When a letter is said to have several forms.

    most: forms of a letter. fewest: instances of a letter, below which it is not divided.
    separation: of the parts of a division, in deviations within a part, on instances that it was
    not fitted to. agreement: of divisions fitted to either half, beyond chance. clear: separation
    from which halves need not agree: of three forms, they may part different ones first. alike:
    structural similarity from which two forms are one. least_share: of a letter's instances,
    below which a form joins the one most like it. components: that instances are compared by.
    halves: ways of halving.
    """

    most: int = 4
    fewest: int = 24
    separation: float = 3.3
    agreement: float = 0.4
    clear: float = 4.5
    alike: float = 0.95
    least_share: float = 0.05
    components: int = 8
    halves: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.most, self.components, self.halves) < 1 or self.fewest < 4:
            raise ConfigError(
                f"most={self.most}, components={self.components}, halves={self.halves}, "
                f"fewest={self.fewest}: need at least 1, 1, 1 and 4"
            )
        if not (0 <= self.least_share < 0.5 and 0 < self.alike <= 1):
            raise ConfigError(
                f"least_share={self.least_share}, alike={self.alike}: need 0 to under 0.5, and "
                "over 0 to 1"
            )


@dataclass(frozen=True, eq=False)
class Forms:
    """The forms of one letter, the most frequent first.

    row: of its instances, places in `Instances`. form: of each, 0 … f−1. prototypes: mean ink of
    each form's instances laid over each other, in [0, 1]. support: of the weakest division that
    made them; of the best that was refused where there is one form only.
    """

    character: str
    row: Int[ndarray, " n"]
    form: Int[ndarray, " n"]
    prototypes: Float[ndarray, "f h w"]
    support: Support

    @property
    def count(self) -> Int[ndarray, " f"]:
        """Instances of each form."""
        return np.bincount(self.form, minlength=len(self.prototypes))

    @property
    def entropy(self) -> float:
        """−Σ p log₂ p of the forms' shares, in bits."""
        share = self.count[self.count > 0] / max(len(self.form), 1)
        return float(-(share * np.log2(share)).sum()) + 0.0


def find_allographs(
    instances: Instances,
    config: AllographConfig,
    *,
    letters: Sequence[str] | None = None,
    n_forms: int | None = None,
) -> list[Forms]:
    """The forms of each letter, in alphabetical order.

    letters: characters to look at; all that occur by default. n_forms: how many forms each of
    them is divided into, where its instances are enough; by default they are found.

    Raises:
        ConfigError: a letter that does not occur, or a number of forms that cannot be.
    """
    own = np.array([letter.character for letter in instances.letters], dtype=object)
    found = own[instances.letter] if len(own) else np.zeros(0, dtype=object)
    occurring = sorted(set(found.tolist()))
    chosen = occurring if letters is None else list(letters)
    for character in chosen:
        if character not in occurring:
            raise ConfigError(
                f"letter {character!r}: no instance of it; there are {' '.join(occurring)}"
            )
    return [
        forms_of(character, instances, np.flatnonzero(found == character), config, n_forms)
        for character in chosen
    ]


def forms_of(
    character: str,
    instances: Instances,
    row: Int[ndarray, " n"],
    config: AllographConfig,
    n_forms: int | None = None,
) -> Forms:
    """The forms of one letter out of its instances, which depend on no other letter.

    Raises ConfigError where `n_forms` is not 1 … `config.most`.
    """
    if n_forms is not None and not 1 <= n_forms <= config.most:
        raise ConfigError(f"n_forms={n_forms}: need 1 to {config.most}")
    ink, weight = np.asarray(instances.ink[row]), np.asarray(instances.weight[row])
    rng = np.random.default_rng((config.seed, *map(ord, character)))
    parts, weakest = _divided(ink, weight, config, n_forms, rng)
    if n_forms is None:
        parts = _merged(parts, ink, weight, config)
    parts.sort(key=lambda part: (-len(part), part[0] if len(part) else 0))
    form = np.zeros(len(row), dtype=np.int64)
    for number, part in enumerate(parts):
        form[part] = number
    prototypes = np.stack([prototype(ink[part], weight[part]) for part in parts])
    return Forms(character, row, form, prototypes.astype(float), weakest)


@dataclass(frozen=True)
class _Trial:
    """A division of one part of a letter's instances, and what speaks for it."""

    part: Part
    second: ndarray | None  # which of them are of the second half; None where none is found
    support: Support

    def passes(self, config: AllographConfig) -> bool:
        found = self.support
        agreed = found.separation >= config.separation and found.agreement >= config.agreement
        return self.second is not None and (agreed or found.separation >= config.clear)

    @property
    def worth(self) -> float:
        return -1.0 if self.second is None else self.support.separation * self.support.agreement


def _divided(
    ink: UInt8[ndarray, "n h w"],
    weight: UInt8[ndarray, "n h w"],
    config: AllographConfig,
    n_forms: int | None,
    rng: np.random.Generator,
) -> tuple[list[Part], Support]:
    """Parts of the instances, and the support of the weakest division that was made."""
    trials = [_trial(np.arange(len(ink)), ink, weight, config, rng)]
    made: list[Support] = []
    while len(trials) < (n_forms or config.most):
        best = max(trials, key=lambda trial: trial.worth)
        if best.second is None or not (n_forms or best.passes(config)):
            break
        trials = [trial for trial in trials if trial is not best]
        for part in (best.part[~best.second], best.part[best.second]):
            trials.append(_trial(part, ink, weight, config, rng))
        made.append(best.support)
    refused = max(trials, key=lambda trial: trial.worth).support
    weakest = min(made, key=lambda one: one.separation * one.agreement) if made else refused
    return [trial.part for trial in trials], weakest


def _trial(
    part: Part,
    ink: UInt8[ndarray, "n h w"],
    weight: UInt8[ndarray, "n h w"],
    config: AllographConfig,
    rng: np.random.Generator,
) -> _Trial:
    if len(part) < config.fewest:
        return _Trial(part, None, NOTHING)
    points = residuals(ink[part], weight[part], config.components)
    rule: Division | None = divide(points, rng) if points.shape[1] else None
    if rule is None:
        return _Trial(part, None, NOTHING)
    judged = points
    if len(points) > MOST_JUDGED:
        judged = points[rng.choice(len(points), MOST_JUDGED, replace=False)]
    return _Trial(part, rule.side(points) > 0, support(judged, rng, config.halves))


def _merged(
    parts: list[Part],
    ink: UInt8[ndarray, "n h w"],
    weight: UInt8[ndarray, "n h w"],
    config: AllographConfig,
) -> list[Part]:
    """Parts, the two most alike joined for as long as they are one or one is little used."""
    parts = list(parts)
    while len(parts) > 1:
        means = [prototype(ink[part], weight[part]) for part in parts]
        likeness = {(a, b): similarity(means[a], means[b])
                    for a in range(len(parts)) for b in range(a + 1, len(parts))}  # fmt: skip
        little = [k for k, part in enumerate(parts) if len(part) < config.least_share * len(ink)]
        pairs = [pair for pair in likeness if not little or set(pair) & set(little)]
        best = max(pairs, key=lambda pair: likeness[pair])
        if not little and likeness[best] <= config.alike:
            break
        joined = np.sort(np.concatenate([parts[best[0]], parts[best[1]]]))
        parts = [part for k, part in enumerate(parts) if k not in best] + [joined]
    return parts


def forms_table(found: Sequence[Forms]) -> pa.Table:
    """A row a form: its count and share, and what speaks for the division of its letter."""
    rows = [
        {"character": one.character, "form": number, "count": int(count),
         "share": float(count) / max(len(one.form), 1), "forms": len(one.prototypes),
         "entropy": one.entropy, "separation": one.support.separation,
         "valley": one.support.valley, "agreement": one.support.agreement}
        for one in found for number, count in enumerate(one.count)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, FORMS_SCHEMA)


def instances_table(found: Sequence[Forms], instances: Instances) -> pa.Table:
    """A row an instance that was looked at: which form it is of, 0 being the first."""
    order = [(int(row), int(form)) for one in found
             for row, form in zip(one.row, one.form, strict=True)]  # fmt: skip
    order.sort()
    rows = instances.table.take(pa.array([row for row, _ in order], pa.int64()))
    return pa.table({
        "instance": pa.array([row for row, _ in order], pa.int32()),
        "line_id": rows["line_id"], "place": rows["place"], "character": rows["character"],
        "form": pa.array([form for _, form in order], pa.int32()),
    })  # fmt: skip


FORMS_SCHEMA = pa.schema([
    ("character", pa.string()),
    ("form", pa.int32()),  # 0 is the most frequent
    ("count", pa.int32()),
    ("share", pa.float64()),  # of the letter's instances
    ("forms", pa.int32()),  # of the letter
    ("entropy", pa.float64()),  # of the letter's forms, bits
    ("separation", pa.float64()),  # of its weakest division; see `mixtures.Support`
    ("valley", pa.float64()),
    ("agreement", pa.float64()),
])  # fmt: skip
