"""What changes when the label changes? Statistics of segments, of images and their translations.

f_k(x) is a measure of class k in image x: its share of the area, or how many instances there are.
The change is d_i = f_k(x_i^{s→c}) − f_k(x_i), paired over images (Siglidis et al. 2024). Where the
label does nothing, an image and its translation could stand for each other, so that every d_i may
as well have the other sign; images of one unit (a group, near-duplicates) flip together.

A redrawing alone may change classes, whatever the label. Against that stands a second comparison,
of x_i^{s→c} with the mean of the image's translations to all other labels: where labels do nothing
but make the model draw, any of an image's translations could be the one to c.

Pure functions on arrays. Legend: `n` images, `k` classes, `t` targets, `u` units, `m` columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.errors import ConfigError
from typika.evaluation import Bootstrap, Estimate, q_values
from typika.parallel import Advance, run_tasks

Measure = Literal["area", "instances"]
MEASURES: tuple[Measure, ...] = ("area", "instances")
Verdict = Literal["of the label", "changed", "not shown", "not tested"]
FINEST = 1e-4  # share of an image below which no connected area is remembered
EXACT = 14  # units that change, up to which all 2^u signs are tried
BLOCK = 1 << 22  # signs drawn at a time
ROUNDING = 1e-9  # of a sum, beside the sum of its magnitudes


@dataclass(frozen=True, kw_only=True)
class TrendsConfig:
    """What is measured and how it is tested."""

    # Folder or hub name of a transformers segmentation model, or a folder of ready masks.
    segmenter: str = ""
    # Instances as the model tells them apart, if it does, or connected areas of a class always.
    instances: Literal["own", "areas"] = "own"
    least_area: float = 0.001  # share of the image from which on a connected area counts
    permutations: int = 9999  # of signs; more where the family is so large that it takes more
    resamplings: int = 1000  # behind an interval
    alpha: float = 0.05  # false discovery rate

    def __post_init__(self) -> None:
        if not FINEST <= self.least_area < 1:
            raise ConfigError(f"least_area={self.least_area}: need a share of {FINEST} to 1")
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha={self.alpha}: need a rate between 0 and 1")
        if self.permutations < 99 or self.resamplings < 99:
            raise ConfigError(
                f"permutations={self.permutations}, resamplings={self.resamplings}: "
                "need at least 99 of each"
            )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Every measure of every class, on images and on their translations.

    original: (n, k) by measure; translated: (t, n, k), nan where an image has no translation to
    that target; unit: (n,) which images must stay together.
    """

    classes: tuple[str, ...]
    targets: tuple[str, ...]
    original: Mapping[Measure, Float[ndarray, "n k"]]
    translated: Mapping[Measure, Float[ndarray, "t n k"]]
    unit: Int[ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How one measure of one class changes with translation to one label.

    q: false discovery rate over the classes, targets and measures that were tested; nan of what
    was not. others: the difference to the translations to all other labels, tested in a family of
    its own; nan where images have no other translation.
    """

    target: str
    name: str  # of the class
    measure: Measure
    n_images: int
    n_units: int
    n_changed: int  # units in which it changes at all
    before: float  # mean of the images
    after: float  # mean of their translations
    difference: Estimate
    p: float
    q: float
    others: Estimate
    p_others: float
    q_others: float
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Trends:
    """All that was compared.

    draws: of signs, where not all are tried. absent: how many classes occur in no pair of a
    target; n_units: independent pairs of each target.
    """

    trends: tuple[Trend, ...]
    draws: int
    absent: Mapping[str, int]
    n_units: Mapping[str, int]

    @property
    def n_tests(self) -> int:
        """Size of the family over which the false discovery rate is controlled."""
        return sum(one.verdict != "not tested" for one in self.trends)


# ----------------------------------------------------------------------------------- differences


def beyond_others(translated: Float[ndarray, "t n k"]) -> Float[ndarray, "t n k"]:
    """f_k(x^{s→c}) less its mean over the image's other translations; nan without another."""
    known = np.isfinite(translated)
    count = known.sum(axis=0) - known
    sums = np.where(known, translated, 0.0)
    rest = sums.sum(axis=0) - sums
    mean = np.where(count > 0, rest / np.maximum(count, 1), np.nan)
    return translated - mean


# ------------------------------------------------------------------------------------ sign flips


def sign_flip_p(
    total: Float[ndarray, "u m"], draws: int, generator: np.random.Generator
) -> Float[ndarray, " m"]:
    """Two-sided p-values of column sums when each unit's sign could be the other.

    p = P(|Σ s_u d_u| >= |Σ d_u|). Over all 2^u signs where at most EXACT units are not zero;
    else over drawn ones, p = (1 + hits) / (1 + draws), the same signs for every column.
    """
    changed = (total != 0).sum(axis=0)
    p = np.ones(total.shape[1])
    for column in np.flatnonzero((changed > 0) & (changed <= EXACT)):
        own = total[:, column]
        p[column] = _over_all_signs(own[own != 0])
    many = np.flatnonzero(changed > EXACT)
    if len(many):
        p[many] = _over_drawn_signs(total[:, many], draws, generator)
    return p


def smallest_p(changed: int, draws: int) -> float:
    """The least that `sign_flip_p` can say where so many units change: 2^(1 − changed)."""
    if changed == 0:
        return 1.0
    return 2.0 ** (1 - changed) if changed <= EXACT else 1 / (1 + draws)


def _over_all_signs(values: Float[ndarray, " u"]) -> float:
    sums = np.zeros(1)
    for value in values[1:]:  # the other sign of all gives the same magnitude
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums + values[0]) >= _bar(values[:, None])).mean())


def _over_drawn_signs(
    total: Float[ndarray, "u m"], draws: int, generator: np.random.Generator
) -> Float[ndarray, " m"]:
    bar, hits = _bar(total), np.ones(total.shape[1])
    step = max(1, BLOCK // len(total))
    for start in range(0, draws, step):
        size = (min(step, draws - start), len(total))
        signs = 2.0 * generator.integers(0, 2, size, dtype=np.int8) - 1
        hits += (np.abs(signs @ total) >= bar).sum(axis=0)
    return hits / (1 + draws)


def relabelling_p(
    total: Float[ndarray, "u t m"],
    possible: Bool[ndarray, "u t"],
    target: int,
    draws: int,
    generator: np.random.Generator,
) -> Float[ndarray, " m"]:
    """Two-sided p-values of the sums at `target` when each unit's could be at any possible target.

    p = (1 + #{|Σ_u total[u, j_u]| >= |Σ_u total[u, target]|}) / (1 + draws), j_u drawn evenly
    from the targets that are possible for unit u.
    """
    bar, hits = _bar(total[:, target]), np.ones(total.shape[2])
    order = np.argsort(~possible, axis=1, kind="stable")  # the possible ones first
    step = max(1, BLOCK // len(total))
    for start in range(0, draws, step):
        size = (min(step, draws - start), len(total))
        drawn = generator.integers(0, possible.sum(axis=1), size)
        drawn = order[np.arange(len(total)), drawn]
        sums = np.zeros((size[0], total.shape[2]))
        for one in np.flatnonzero(possible.any(axis=0)):
            sums += (drawn == one).astype(np.float64) @ total[:, one]
        hits += (np.abs(sums) >= bar).sum(axis=0)
    return hits / (1 + draws)


def _bar(values: Float[ndarray, "u m"]) -> Float[ndarray, " m"]:
    """The magnitude to be reached: a sum that differs by rounding alone reaches it."""
    bar: ndarray = np.abs(values.sum(axis=0)) - ROUNDING * np.abs(values).sum(axis=0)
    return bar


# ---------------------------------------------------------------------------------------- trends


@dataclass(frozen=True)
class _Column:
    """One class and measure on the pairs of one target, in one of the two comparisons."""

    estimate: Estimate
    p: float
    changed: int  # units


Key = tuple[int, int, Measure]  # target, class, measure
Columns = Mapping[Key, _Column]


def find_trends(measured: Measured, config: TrendsConfig, seed: int, workers: int = 1) -> Trends:
    """Test every class, measure and target, and control the false discovery rate over all.

    Left out are classes that occur in no pair of a target. Not tested is what changes in so few
    units that no outcome could reach `alpha`: which those are does not depend on any sign, so
    leaving them out of the family leaves its rate what it is (Tarone 1990).
    """
    possible = len(MEASURES) * len(measured.classes) * len(measured.targets)
    draws = max(config.permutations, math.ceil(2 * possible / config.alpha))
    tasks = [(measured, target, draws, config.resamplings, seed)
             for target in range(len(measured.targets))]  # fmt: skip
    answers = run_tasks(_compare, tasks, workers=workers, name="Testing", total=len(tasks))
    own = {key: one for answer, _ in answers for key, one in answer.items()}
    others = {key: one for _, answer in answers for key, one in answer.items()}
    tested = [key for key, one in own.items() if smallest_p(one.changed, draws) <= config.alpha]
    q, q_others = _q(own, tested), _q(others, [key for key in tested if key in others])
    found = [_trend(measured, key, own[key], others.get(key), (q, q_others), config.alpha)
             for key in own]  # fmt: skip
    shown = {(one.target, one.name) for one in found}
    absent = {target: len(measured.classes) - sum(own == target for own, _ in shown)
              for target in measured.targets}  # fmt: skip
    n_units = {target: len(np.unique(measured.unit[paired(measured, place)]))
               for place, target in enumerate(measured.targets)}  # fmt: skip
    return Trends(trends=tuple(found), draws=draws, absent=absent, n_units=n_units)


def paired(measured: Measured, target: int) -> Bool[ndarray, " n"]:
    """Which images have a translation to a target."""
    found: ndarray = np.isfinite(measured.translated["area"][target]).all(axis=1)
    return found


def _q(columns: Columns, tested: Sequence[Key]) -> dict[Key, float]:
    q = q_values(np.array([columns[key].p for key in tested]))
    return dict(zip(tested, q.tolist(), strict=True))


@dataclass(frozen=True)
class _Pairs:
    """The pairs of one target, and their columns: every class that occurs, by every measure.

    original: (n, m); translated: (t, n, m), nan where there is none; unit: (n,) from 0 on.
    """

    target: int
    keys: tuple[Key, ...]
    original: Float[ndarray, "n m"]
    translated: Float[ndarray, "t n m"]
    unit: Int[ndarray, " n"]

    @classmethod
    def of(cls, measured: Measured, target: int) -> _Pairs | None:
        """The pairs of a target; None where no image is translated to it."""
        rows = np.flatnonzero(paired(measured, target))
        if not len(rows):
            return None
        both = [
            measured.original[m][rows] + measured.translated[m][target][rows] for m in MEASURES
        ]
        here = np.flatnonzero((np.concatenate(both) > 0).any(axis=0))
        original = [measured.original[m][np.ix_(rows, here)] for m in MEASURES]
        translated = [measured.translated[m][:, rows][:, :, here] for m in MEASURES]
        keys: list[Key] = [(target, int(k), m) for m in MEASURES for k in here]
        unit = np.unique(measured.unit[rows], return_inverse=True)[1]
        return cls(target, tuple(keys), np.concatenate(original, axis=1),
                   np.concatenate(translated, axis=2), unit)  # fmt: skip

    def columns(
        self,
        values: Float[ndarray, "n m"],
        total: Float[ndarray, "u m"],
        p: Float[ndarray, " m"],
        resampled: Bootstrap,
    ) -> dict[Key, _Column]:
        """What each column comes to."""
        changed = (total != 0).sum(axis=0)
        return {
            key: _Column(Estimate.of(resampled.means(values[:, place])), float(p[place]),
                         int(changed[place]))
            for place, key in enumerate(self.keys)
        }  # fmt: skip


def _compare(
    measured: Measured, target: int, draws: int, resamplings: int, seed: int, advance: Advance
) -> tuple[dict[Key, _Column], dict[Key, _Column]]:
    """Both comparisons of one target."""
    pairs = _Pairs.of(measured, target)
    rng = np.random.default_rng([seed, target])
    found: tuple[dict[Key, _Column], dict[Key, _Column]] = {}, {}
    if pairs is not None:
        found = (
            _against_originals(pairs, draws, resamplings, rng),
            _against_others(pairs, draws, resamplings, rng),
        )
    advance(1)
    return found


def _against_originals(
    pairs: _Pairs, draws: int, resamplings: int, rng: np.random.Generator
) -> dict[Key, _Column]:
    values = pairs.translated[pairs.target] - pairs.original
    resampled = Bootstrap.of_groups(pairs.unit, resamplings, rng)
    total = sums_of_units(values, pairs.unit)
    return pairs.columns(values, total, sign_flip_p(total, draws, rng), resampled)


def _against_others(
    pairs: _Pairs, draws: int, resamplings: int, rng: np.random.Generator
) -> dict[Key, _Column]:
    """The same with the images' other translations; nothing where they have none."""
    beyond = beyond_others(pairs.translated)
    rows = np.flatnonzero(np.isfinite(beyond[pairs.target]).all(axis=1))
    if not len(rows):
        return {}
    unit = np.unique(pairs.unit[rows], return_inverse=True)[1]
    known = np.isfinite(beyond[:, rows]).all(axis=2)  # (t, n)
    possible = sums_of_units((~known).T.astype(np.float64), unit) == 0
    each = [sums_of_units(np.nan_to_num(own[rows]), unit) for own in beyond]
    total = np.stack(each, axis=1)
    p = relabelling_p(total, possible, pairs.target, draws, rng)
    resampled = Bootstrap.of_groups(unit, resamplings, rng)
    return pairs.columns(beyond[pairs.target][rows], total[:, pairs.target], p, resampled)


def sums_of_units(
    values: Float[ndarray, "n m"], unit: Int[ndarray, " n"]
) -> Float[ndarray, "u m"]:
    """Σ over the images of each unit."""
    total = np.zeros((int(unit.max()) + 1, values.shape[1]))
    np.add.at(total, unit, values)
    return total


def _trend(
    measured: Measured,
    key: Key,
    own: _Column,
    others: _Column | None,
    q: tuple[Mapping[Key, float], Mapping[Key, float]],
    alpha: float,
) -> Trend:
    target, number, measure = key
    pairs = paired(measured, target)
    others = others or _Column(Estimate(math.nan), math.nan, 0)
    rates = q[0].get(key, math.nan), q[1].get(key, math.nan)
    return Trend(
        target=measured.targets[target],
        name=measured.classes[number],
        measure=measure,
        n_images=int(pairs.sum()),
        n_units=len(np.unique(measured.unit[pairs])),
        n_changed=own.changed,
        before=float(measured.original[measure][pairs, number].mean()),
        after=float(measured.translated[measure][target][pairs, number].mean()),
        difference=own.estimate,
        p=own.p,
        q=rates[0],
        others=others.estimate,
        p_others=others.p,
        q_others=rates[1],
        verdict=_verdict(own.estimate.value, others.estimate.value, rates, alpha),
    )


def _verdict(change: float, beyond: float, q: tuple[float, float], alpha: float) -> Verdict:
    """What may be said: `of the label` needs both comparisons, of one direction."""
    if not math.isfinite(q[0]):
        return "not tested"
    if q[0] > alpha:
        return "not shown"
    return "of the label" if q[1] <= alpha and change * beyond > 0 else "changed"


# ----------------------------------------------------------------------------------------- table

TABLE = pa.schema(
    {
        "label": pa.string(),  # that images were translated to
        "class": pa.string(),
        "measure": pa.string(),
        "verdict": pa.string(),
        **{name: pa.int32() for name in ("n_images", "n_units", "n_changed")},
        **{name: pa.float64() for name in (
            "before", "after", "difference", "low", "high", "p", "q",
            "beyond_others", "low_others", "high_others", "p_others", "q_others",
        )},
    }
)  # fmt: skip


def trend_table(trends: Sequence[Trend]) -> pa.Table:
    """One row per label, class and measure."""
    return pa.Table.from_pylist(list(_rows(trends)), schema=TABLE)


def _rows(trends: Sequence[Trend]) -> Iterator[dict[str, object]]:
    for one in trends:
        yield {
            "label": one.target, "class": one.name, "measure": one.measure,
            "verdict": one.verdict, "n_images": one.n_images, "n_units": one.n_units,
            "n_changed": one.n_changed, "before": one.before, "after": one.after,
            "difference": one.difference.value, "low": one.difference.low,
            "high": one.difference.high, "p": one.p, "q": one.q,
            "beyond_others": one.others.value, "low_others": one.others.low,
            "high_others": one.others.high, "p_others": one.p_others, "q_others": one.q_others,
        }  # fmt: skip
