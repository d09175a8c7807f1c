"""Documents in the order of their letters, beside the order of their dates (spec 6.1, 6).

The axes are the principal axes of the prototypes and know nothing of dates: the first is the one
reported, and what the others give is corrected for having looked at them. A rival that does know
the dates of all other documents, ridge regression, says how well a date can be told.

Legend: `K` letters, `D` documents, `A` axes, `m` documents with dates, `s` permutations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.evaluation import Bootstrap, Estimate, average_ranks
from typika.palaeography import dates
from typika.palaeography.comparison_records import Seriation
from typika.palaeography.trees import Apart, comparable, principal
from typika.palaeography.units import ComparisonConfig, Means, Units

LEAST_DATED = 5  # documents
LEAST_CHANGES = 3  # documents with a letter, to tell how it changes
SERIATION = 4  # seed of what draws
PENALTIES = np.logspace(-2, 3, 11)  # of the ridge, in units of the variance of an axis
SMALLEST = 1e-9  # share of the largest variance, under which an axis is rounding


def seriation(
    units: Units,
    means: Sequence[Means],
    found: Apart,
    written: Sequence[str],
    config: ComparisonConfig,
) -> Seriation | None:
    """The order of documents along the axes of their prototypes, held against their dates.

    written: the date of each document as the collection has it. None with fewer than `LEAST_DATED`
    documents whose dates can be read and that share enough letters.
    """
    kept = np.flatnonzero(comparable(found))
    written = [written[d] for d in kept.tolist()]
    year = np.array([np.nan if (own := dates.year(one)) is None else own for one in written])
    dated = np.flatnonzero(np.isfinite(year))
    if len(dated) < LEAST_DATED or len(set(year[dated].tolist())) < 2:
        return None
    square = found.of(kept).squares()
    coordinates, share = axes(square, config.axes)
    rho = correlations(coordinates[dated], year[dated])
    sign = np.where(rho < 0, -1.0, 1.0)
    coordinates, rho = coordinates * sign, rho * sign
    rng = np.random.default_rng([config.seed, SERIATION])
    p, corrected = permuted(coordinates[dated], year[dated], config.permutations, rng)
    drawn = resampled_correlations(square, coordinates, year, config.draws, rng)
    predicted = left_out_years(square, year)
    error, guessing = _errors(predicted[dated], year[dated], config.draws, rng)
    carried = carriers(found.of(kept), coordinates[:, 0])
    along = changes(means, kept, coordinates[:, 0])
    return Seriation(
        documents=tuple(units.names[d] for d in kept), letters=tuple(own.letter for own in means),
        written=tuple(written),
        unread=tuple(sorted({text for text, own in zip(written, year, strict=True)
                             if text and not np.isfinite(own)})),
        year=year, axis=coordinates, share=share,
        spearman=np.stack([_estimate(np.concatenate([rho[a : a + 1], drawn[:, a]]))
                           for a in range(len(rho))]),
        p=p, corrected=corrected, carried=carried, along=along.astype(np.float32),
        predicted=predicted, error=error, guessing=guessing,
    )  # fmt: skip


def axes(
    square: Float[ndarray, "D D"], most: int
) -> tuple[Float[ndarray, "D A"], Float[ndarray, " A"]]:
    """Coordinates on the first principal axes, and their shares of the variance."""
    values, vectors = principal(square)
    positive = values > SMALLEST * max(values[0], SMALLEST)
    n = max(min(most, int(positive.sum())), 1)
    total = values[positive].sum()
    share = values[:n] / total if total > 0 else np.zeros(n)
    return vectors[:, :n] * np.sqrt(np.maximum(values[:n], 0)), share


def correlations(axis: Float[ndarray, "m A"], year: Float[ndarray, " m"]) -> Float[ndarray, " A"]:
    """Spearman's ρ of each axis with the years; 0 where either does not vary."""
    ranks, own = _standard(average_ranks(axis)), _standard(average_ranks(year[:, None]))
    return (ranks * own).mean(axis=0)


def permuted(
    axis: Float[ndarray, "m A"],
    year: Float[ndarray, " m"],
    permutations: int,
    rng: np.random.Generator,
) -> tuple[Float[ndarray, " A"], Float[ndarray, " A"]]:
    """Two-sided p-values of ρ, years permuted: of each axis, and for all of them together.

    The latter holds each against the largest |ρ| of all axes (Westfall, Young 1993).
    """
    ranks, own = _standard(average_ranks(axis)), _standard(average_ranks(year[:, None]))[:, 0]
    orders = np.argsort(rng.random((permutations, len(year))), axis=1)
    drawn = np.abs(own[orders] @ ranks) / len(year)  # (s, A)
    true = np.abs(own @ ranks) / len(year)
    least = true * (1 - 1e-9)
    alone = (1 + (drawn >= least).sum(axis=0)) / (1 + permutations)
    family = (1 + (drawn.max(axis=1, keepdims=True) >= least).sum(axis=0)) / (1 + permutations)
    return alone, family


def resampled_correlations(
    square: Float[ndarray, "D D"],
    axis: Float[ndarray, "D A"],
    year: Float[ndarray, " D"],
    draws: int,
    rng: np.random.Generator,
) -> Float[ndarray, "s A"]:
    """ρ of each axis when documents are resampled and their axes found anew.

    The axes keep their order and take the sign that agrees with the documents' first coordinates.
    """
    found = np.full((draws, axis.shape[1]), np.nan)
    for draw in range(draws):
        chosen = rng.integers(len(square), size=len(square))
        dated = chosen[np.isfinite(year[chosen])]
        if len(set(dated.tolist())) < 3 or len(set(year[dated].tolist())) < 2:
            continue
        coordinates, _ = axes(square[np.ix_(chosen, chosen)], axis.shape[1])
        n = coordinates.shape[1]
        agree = (coordinates * (axis[chosen, :n] - axis[chosen, :n].mean(axis=0))).sum(axis=0)
        own = np.isfinite(year[chosen])
        rho = correlations(coordinates[own], year[chosen][own])
        found[draw, :n] = rho * np.where(agree < 0, -1, 1)
    return found


def left_out_years(
    square: Float[ndarray, "D D"], year: Float[ndarray, " D"]
) -> Float[ndarray, " D"]:
    """The year of every document by ridge regression on the others that have one.

    The features are all principal axes. The penalty is chosen by what it leaves out among those
    others, so that no document has a part in its own prediction.
    """
    from sklearn.linear_model import RidgeCV

    features, _ = axes(square, len(square))
    features = features / np.sqrt((features**2).mean(axis=0).max() or 1.0)
    found = np.full(len(year), np.nan)
    for d in range(len(year)):
        others = np.flatnonzero(np.isfinite(year) & (np.arange(len(year)) != d))
        model = RidgeCV(alphas=PENALTIES).fit(features[others], year[others])
        found[d] = model.predict(features[d : d + 1])[0]
    return found


def carriers(found: Apart, axis: Float[ndarray, " D"]) -> Float[ndarray, " K"]:
    """Each letter's share of the variance along an axis: they sum to 1.

    The squared distances are a weighted mean over letters, and so is what they say of the axis:
    −½ u · S_k u with the unit vector u, S_k the letter's part of the mean. A share below 0 is of a
    letter that goes against the axis.
    """
    unit = (axis - axis.mean()) / (np.linalg.norm(axis - axis.mean()) or 1.0)
    total = found.weight.sum(axis=0)
    parts = found.weight * found.square / np.where(total > 0, total, 1)
    share = -0.5 * np.einsum("i,kij,j->k", unit, parts, unit)
    return share / share.sum() if share.sum() > 0 else share


def changes(
    means: Sequence[Means], kept: Int[ndarray, " D"], axis: Float[ndarray, " D"]
) -> Float[ndarray, "K h w"]:
    """What changes along an axis, in ink a standard deviation of it; 0 for letters too rare."""
    along = []
    for own in means:
        known = own.known[kept]
        if known.sum() < LEAST_CHANGES:
            along.append(np.zeros(own.near.shape))
            continue
        place = (axis[known] - axis[known].mean()) / (axis.std() or 1.0)
        slope = place @ own.value[kept][known] / ((place**2).sum() or 1.0)
        along.append(own.picture(slope))
    return np.stack(along)


def _errors(
    predicted: Float[ndarray, " m"],
    year: Float[ndarray, " m"],
    draws: int,
    rng: np.random.Generator,
) -> tuple[Float[ndarray, " 3"], float]:
    error = np.abs(predicted - year)
    means = Bootstrap.of_groups(np.arange(len(year)), draws, rng).means(error)
    others = (year.sum() - year) / (len(year) - 1)
    return _estimate(means), float(np.abs(others - year).mean())


def _estimate(values: Float[ndarray, " draws"]) -> Float[ndarray, " 3"]:
    found = Estimate.of(values)
    return np.array([found.value, found.low, found.high])


def _standard(ranks: Float[ndarray, "m A"]) -> Float[ndarray, "m A"]:
    centred = ranks - ranks.mean(axis=0)
    deviation = centred.std(axis=0)
    return centred / np.where(deviation > 0, deviation, np.inf)
