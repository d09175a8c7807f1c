"""Can the label be told without looking at what is in the picture? A warning where it can.

Of every label and every family of nuisances (border, background, brightness, tint, resolution,
sharpness, file, and each metadata column) a small classifier learns to tell the label from that
family alone; how well it does on images that it did not see is held against what a classifier of
content reaches. Where the two are near, typical patches may show how the pictures were made and
not what they show.

Legend: `n` images, `r` rows of the collection (an image has one for each of its labels), `l`
labels, `d` numbers of a family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from typika.baselines.probes import evidence, load_rival, rival_path
from typika.collection.images import OWN_COLUMNS, ImageCollection
from typika.errors import ConfigError
from typika.evaluation import Estimate, auc_interval, paired_auc
from typika.mining.descriptors import FAMILIES, describe
from typika.parallel import Advance, run_tasks

if TYPE_CHECKING:
    from typika.mining.pipeline import Mining

FOLDS = 5
TREES = 50
LEAF = 5  # images; smaller leaves make single images speak
TOGETHER = "together"  # every family but the metadata at once
SAYS_THE_SAME = "says the same as the label"  # the note of such a column
METADATA = "metadata: "  # before the name of a column
SAME = 0.99  # share of images whose label a column must give away to say the same as the label
SPREAD = 0.9  # distinct values per image above which a column names images
CONTENT_ROWS = 2000  # held-out images on which the content model is measured

# --- the rule -----------------------------------------------------------------------------------

FLOOR = 0.75  # least AUC, at the lower end of its interval, that deserves a warning ...
FLOOR_TOGETHER = 0.8  # ... and of all families together, where traces of content add up
REACH = 0.5  # least share of what the content model gains over chance
REPEATED = 20  # images of values seen twice or more, below which a column says nothing for sure
CAUSES = 3  # nuisances that a sentence names

CONFOUNDS = pa.schema(
    {
        "label": pa.string(),
        "family": pa.string(),
        "n": pa.int32(),
        "auc": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "content": pa.float64(),
        "explains": pa.bool_(),
        "note": pa.string(),
    }
)


@dataclass(frozen=True, kw_only=True)
class ConfoundConfig:
    """The confounding check."""

    at_most: int = 5000  # images looked at; a seeded sample of more
    n_trees: int = TREES  # of each forest that tries to tell the labels

    def __post_init__(self) -> None:
        if self.at_most < 0:
            raise ConfigError(f"at_most={self.at_most}: need 0 (no check) or more images")
        if self.n_trees < 1:
            raise ConfigError(f"n_trees={self.n_trees}: need at least 1")


# --- probes: images in, a score of every label out -----------------------------------------------


@dataclass(frozen=True)
class Sample:
    """The images of the check.

    truth: (n, l) whether the image has the label; group: (n,) set of images that must stay
    together; fold: (n,) from 0 on, never dividing a group.
    """

    truth: Bool[ndarray, "n l"]
    group: Int[ndarray, " n"]
    fold: Int[ndarray, " n"]

    @classmethod
    def of(cls, truth: Bool[ndarray, "n l"], group: Int[ndarray, " n"], seed: int) -> Sample:
        """Deal whole groups into folds, those of each label evenly; a function of the seed."""
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        chance = np.random.default_rng([seed, 13]).random(len(first))
        order = np.lexsort((chance, truth[first].argmax(axis=1)))
        fold = np.empty(len(first), dtype=np.int64)
        fold[order] = np.arange(len(first)) % FOLDS
        return cls(truth, group, fold[group])

    def interval(self, label: int, score: Float[ndarray, " n"]) -> Estimate:
        """AUC of a score for one label, counted in groups for its interval."""
        truth = self.truth[:, label]
        auc = paired_auc(score, truth, self.fold)
        n_positive = len(np.unique(self.group[truth]))
        return auc_interval(auc, n_positive, len(np.unique(self.group[~truth])))


def forest_scores(
    numbers: Float[ndarray, "n d"], sample: Sample, seed: int, n_trees: int = TREES
) -> Float[ndarray, "n l"]:
    """Out-of-fold share of the votes that each label gets from a forest of random trees.

    One forest for all labels; images with several labels are learnt once for each. Columns of one
    value tell nothing, and where all are so, every image gets the same score.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from threadpoolctl import threadpool_limits

    scores = np.zeros(sample.truth.shape)
    numbers = numbers[:, np.ptp(numbers, axis=0) > 0].astype(np.float32)
    if not numbers.shape[1]:
        return scores
    image, label = np.nonzero(sample.truth)
    with threadpool_limits(1):
        for fold in np.unique(sample.fold):
            learnt = sample.fold[image] != fold
            if not learnt.any():
                continue
            forest = ExtraTreesClassifier(
                n_trees,
                min_samples_leaf=LEAF,
                class_weight="balanced",
                random_state=seed,
                n_jobs=1,
            )
            forest.fit(numbers[image[learnt]], label[learnt])
            own = np.flatnonzero(sample.fold == fold)
            scores[np.ix_(own, forest.classes_)] = forest.predict_proba(numbers[own])
    return scores


def value_scores(value: Int[ndarray, " n"], sample: Sample) -> Float[ndarray, "n l"]:
    """Out-of-fold share of each label among the images of the same value.

    Shares are drawn towards those of all images by one image's worth, so that values seen once or
    never say little.
    """
    count, n_labels = int(value.max(initial=-1)) + 1, sample.truth.shape[1]
    scores = np.zeros((len(value), n_labels))
    for fold in np.unique(sample.fold):
        own, rest = sample.fold == fold, sample.fold != fold
        prior = sample.truth[rest].mean(axis=0) if rest.any() else np.zeros(n_labels)
        seen = np.zeros((count, n_labels))
        np.add.at(seen, value[rest], sample.truth[rest])
        total = np.bincount(value[rest], minlength=count)[:, None]
        scores[own] = ((seen + prior) / (total + 1))[value[own]]
    return scores


# --- metadata -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One metadata column as the probes see it.

    values: (n,) numbers (nan where empty) or, if `named`, the number of each distinct value.
    """

    name: str
    values: Float[ndarray, " n"]
    named: bool


def metadata_columns(table: pa.Table) -> list[Column]:
    """The user's columns that can be probed: text, dates and truth by value, numbers as numbers.

    table: one row per image. Left out are nested columns, columns of one value, and columns that
    name images: a value per image, numbers that are fractions excepted.
    """
    found = []
    for name in table.column_names:
        column = table[name].combine_chunks()
        kind = column.type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind):
            continue
        distinct = pc.count_distinct(column, mode="all").as_py()
        fraction = pa.types.is_floating(kind)
        if distinct < 2 or (distinct > SPREAD * len(column) and not fraction):
            continue
        if pa.types.is_integer(kind) or fraction or pa.types.is_decimal(kind):
            numbers = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
            found.append(Column(name, numbers.astype(np.float64), named=False))
        else:
            texts = ["" if value is None else str(value) for value in column.to_pylist()]
            values = np.unique(texts, return_inverse=True)[1].astype(np.float64)
            found.append(Column(name, values, named=True))
    return found


def says_the_same(column: Column, truth: Bool[ndarray, "n l"]) -> bool:
    """Whether the label can be read off the column for `SAME` of the images at least.

    Of names: where images of the same value have the same label, as varieties of a fruit do;
    values seen once do not count. Of numbers also where each label is a range, as decades are of
    years: in order of the number, the label changes no more often than there are labels.
    """
    label = truth.argmax(axis=1)
    values = np.unique(column.values, return_inverse=True, equal_nan=True)[1]
    count = np.zeros((int(values.max(initial=-1)) + 1, truth.shape[1]))
    np.add.at(count, (values, label), 1)
    repeated = count[count.sum(axis=1) > 1]
    if repeated.sum() >= REPEATED and repeated.max(axis=1).sum() >= SAME * repeated.sum():
        return True
    if column.named or np.isnan(column.values).mean() > 1 - SAME:
        return False
    ordered = label[np.argsort(column.values, kind="stable")]
    runs = int((np.diff(ordered) != 0).sum()) + 1
    return runs <= len(np.unique(label)) + (1 - SAME) * len(label)


# --- the table ----------------------------------------------------------------------------------


def explains(found: Estimate, content: float | None, floor: float = FLOOR) -> bool:
    """Whether a nuisance explains a label.

    Two things must hold. The nuisance tells the label well: the lower end of its interval is at
    least `floor`. And it does so nearly as well as content does: of what the content model gains
    over the 0.5 of chance it gains at least `REACH`. Half, because a nuisance that is there in
    half the images of a label and nowhere else has an AUC of 0.75, half of what can be gained,
    and leads the miner astray in every second image. What is not known of content is taken to be
    perfect.

    The floors were set where, with seven families, eight kinds of fruit on the same paper stay
    without a warning but for the one that was scanned apart (the others reach 0.72, together
    0.79), and a scanner's edge in six images out of ten of one label gets one (0.75 and more).
    """
    gain = (1.0 if content is None or not np.isfinite(content) else content) - 0.5
    return bool(found.low >= floor and found.low - 0.5 >= REACH * gain)


def confound_table(
    labels: Sequence[str],
    sample: Sample,
    families: Mapping[str, Float[ndarray, "n d"]],
    columns: Sequence[Column],
    content: Sequence[float | None],
    seed: int,
    n_trees: int = TREES,
) -> pa.Table:
    """One row per label and family (`CONFOUNDS`): families first, then metadata columns.

    content: of each label the AUC of the content model, None where unknown. A column that says
    the same as the label is in the table with a note and explains nothing.
    """
    told = partial(forest_scores, sample=sample, seed=seed, n_trees=n_trees)
    scores = {name: told(numbers) for name, numbers in families.items()}
    if len(families) > 1:
        joined = np.concatenate(list(families.values()), axis=1)
        scores[TOGETHER] = told(joined)
    notes = {}
    for column in columns:
        name = METADATA + column.name
        if column.named:
            scores[name] = value_scores(column.values.astype(np.int64), sample)
        else:
            filled = np.nan_to_num(column.values, nan=np.nanmin(column.values) - 1)
            scores[name] = told(filled[:, None])
        if says_the_same(column, sample.truth):
            notes[name] = SAYS_THE_SAME
    rows = []
    for number, label in enumerate(labels):
        n = int(sample.truth[:, number].sum())
        for name, score in scores.items():
            found = sample.interval(number, score[:, number])
            known, floor = np.isfinite(found.value), FLOOR_TOGETHER if name == TOGETHER else FLOOR
            rows.append(
                {
                    "label": label,
                    "family": name,
                    "n": n,
                    "auc": found.value if known else None,
                    "low": found.low if known else None,
                    "high": found.high if known else None,
                    "content": content[number],
                    "explains": name not in notes and explains(found, content[number], floor),
                    "note": notes.get(name, "" if known else "too few groups to tell"),
                }
            )
    return pa.Table.from_pylist(rows, schema=CONFOUNDS)


# --- sentences ----------------------------------------------------------------------------------

WORDS = {
    "border": "the border",
    "background": "the background",
    "brightness": "brightness",
    "tint": "tint",
    "resolution": "the size of the image",
    "sharpness": "sharpness and noise",
    "file": "the file (bytes, format, compression)",
    TOGETHER: "border, background, brightness, tint, size, sharpness and file together",
}


def warnings(table: pa.Table) -> tuple[str, ...]:
    """What a reader must know, one sentence each: labels that look confounded, and by what.

    Labels come in the order of the table, the strongest nuisances of each first. Columns that say
    the same as the label follow.
    """
    rows = table.to_pylist()
    sentences = []
    for label in dict.fromkeys(row["label"] for row in rows):
        own = [row for row in rows if row["label"] == label]
        if any(row["explains"] for row in own):
            sentences.append(_warning(label, own))
    same = dict.fromkeys(row["family"] for row in rows if row["note"] == SAYS_THE_SAME)
    sentences += [
        f"The column {name.removeprefix(METADATA)!r} says the same as the label." for name in same
    ]
    return tuple(sentences)


def _warning(label: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on a label that looks confounded."""
    found = sorted((row for row in rows if row["explains"]), key=lambda row: -row["auc"])
    single = [row for row in found if row["family"] != TOGETHER]
    causes = [f"{_words(row['family'])} ({_figures(row)})" for row in single or found]
    if len(causes) > CAUSES:
        causes = [*causes[:CAUSES], f"{len(causes) - CAUSES} more"]
    listed = " and ".join(filter(None, [", ".join(causes[:-1]), causes[-1]]))
    together = next((row for row in rows if row["family"] == TOGETHER), None)
    if single and together is not None:
        listed += f"; by all but metadata together {together['auc']:.2f}"
    content = found[0]["content"]
    reached = "" if content is None else f" A classifier of the content reaches {content:.2f}."
    return (
        f"{label} looks confounded: it can be told from the other labels without its content, by "
        f"{listed}.{reached}"
    )


def _words(family: str) -> str:
    if family.startswith(METADATA):
        return f"the column {family.removeprefix(METADATA)!r}"
    return WORDS[family]


def _figures(row: Mapping[str, Any]) -> str:
    return f"AUC {row['auc']:.2f}, 95 % {row['low']:.2f} to {row['high']:.2f}"


# --- shell: read, compute -----------------------------------------------------------------------


def confounds(
    mining: Mining, collection: ImageCollection, config: ConfoundConfig | None = None
) -> pa.Table:
    """How well each label of a trained run is told without content (`CONFOUNDS`).

    Decodes every image that is looked at: about ten seconds of one core for 1,000 photographs.
    """
    config, seed = config or ConfoundConfig(), mining.config.seed
    rows, truth = distinct_images(collection, mining.config.collection.mine)
    if len(rows) > config.at_most:
        chance = np.random.default_rng([seed, 17])
        kept = np.sort(chance.permutation(len(rows))[: config.at_most])
        rows, truth = rows[kept], truth[kept]
    if not len(rows):
        return CONFOUNDS.empty_table()
    sample = Sample.of(truth, collection.units[rows], seed)
    families = describe_images(collection, rows, mining.workers)
    columns = metadata_columns(_metadata(collection, mining.config.collection.label, rows))
    content = content_auc(mining, collection)
    return confound_table(
        collection.labels, sample, families, columns, content, seed, config.n_trees
    )


def distinct_images(
    collection: ImageCollection, split: str
) -> tuple[Int[ndarray, " n"], Bool[ndarray, "n l"]]:
    """The first row of each image of a split, and which labels the image has."""
    mined = np.flatnonzero(collection.in_split(split))
    names = collection.codes("image_id")[mined]
    _, first, image = np.unique(names, return_index=True, return_inverse=True)
    truth = np.zeros((len(first), len(collection.labels)), dtype=bool)
    truth[image, collection.label_index[mined]] = True
    return mined[first], truth


def describe_images(
    collection: ImageCollection, rows: Int[ndarray, " n"], workers: int
) -> dict[str, Float[ndarray, "n d"]]:
    """The descriptors of some images, by family."""
    hands = max(1, min(len(rows), 4 * workers))
    tasks = [(collection, part) for part in np.array_split(rows, hands)]
    found = run_tasks(
        _describe, tasks, workers=workers, name="Looking for confounds", total=len(rows)
    )
    described = [one for part in found for one in part]
    return {name: np.stack([one[name] for one in described]) for name in FAMILIES}


def _describe(
    collection: ImageCollection, rows: Int[ndarray, " n"], advance: Advance
) -> list[Mapping[str, Float[ndarray, " d"]]]:
    found = []
    for row in rows:
        found.append(describe(collection.load(int(row)), collection.header(int(row))))
        advance(1)
    return found


def _metadata(
    collection: ImageCollection, label: str | None, rows: Int[ndarray, " n"]
) -> pa.Table:
    """The user's own columns of some rows: neither ours nor the one that holds the labels."""
    table = collection.table
    own = [
        name
        for name in table.column_names
        if name not in (*OWN_COLUMNS, label)
        and not pa.types.is_nested(table[name].type)
        and not _same_texts(table[name], table["label"])
    ]
    return table.select(own).take(pa.array(rows))


def _same_texts(column: pa.ChunkedArray, labels: pa.ChunkedArray) -> bool:
    """Whether a column spells the label in every row; the first row that differs ends it."""
    return all(
        str(value.as_py()) == label.as_py() for value, label in zip(column, labels, strict=True)
    )


def content_auc(mining: Mining, collection: ImageCollection) -> list[float | None]:
    """AUC of each label for the built-in rival, on images that no model was trained on.

    The rival sees what the denoiser sees and answers for every label, where the stored maps are
    of an image's own label alone. None where a label has no image, or nothing but images, there.
    """
    from typika.mining.pipeline import folds

    rows, truth = distinct_images(collection, mining.config.collection.mine)
    fold, tasks = np.full(len(rows), -1), []
    for number, one in enumerate(folds(mining, collection)):
        own = np.flatnonzero((one.scored & ~one.trained_on)[rows])[:CONTENT_ROWS]
        fold[own] = number
        tasks.append((one.mining, len(collection), len(collection.labels), rows[own]))
    known = int((fold >= 0).sum())
    if not known:
        return [None] * len(collection.labels)
    order = np.argsort(fold, kind="stable")[-known:]
    scores = np.concatenate(
        run_tasks(_rival_scores, tasks, workers=1, name="Asking the rival", total=known)
    )
    truth, fold = truth[order], fold[order]
    found = (paired_auc(scores[:, one], truth[:, one], fold) for one in range(truth.shape[1]))
    return [value if np.isfinite(value) else None for value in found]


def _rival_scores(
    mining: Mining, n_images: int, n_labels: int, rows: Int[ndarray, " n"], advance: Advance
) -> Float[ndarray, "n l"]:
    """Mean evidence of each image for each label, over cells and scales."""
    rivals = []
    for number, store in enumerate(mining.model.rival_latents(n_images, mining.folder)):
        path = rival_path(mining.folder, number, mining.fold)
        rivals.append((load_rival(path, store.channels, n_labels, mining.config.rival), store))
    scores = np.zeros((len(rows), n_labels))
    for place, row in enumerate(rows):
        for rival, store in rivals:
            scores[place] += evidence(rival, store.latent(int(row))).numpy().mean(axis=(1, 2))
        advance(1)
    return scores
