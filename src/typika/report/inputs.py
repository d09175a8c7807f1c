"""What a finished run tells the report: its tables, its maps and the facts to judge it by."""

from __future__ import annotations

import math
import shlex
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from typika import __version__
from typika.collection.images import ImageCollection, find_row
from typika.mining import confounds
from typika.mining.baseline import wording
from typika.mining.masks import MaskText
from typika.mining.patches import upsample
from typika.mining.pipeline import Mining
from typika.mining.scores import ScoredMaps, mined_parts, score_path
from typika.mining.typicality import TypicalityConfig
from typika.report.evidence import without_artefacts
from typika.report.records import (
    Baseline,
    Evidence,
    HeatMaps,
    LabelFacts,
    Rare,
    ReportInputs,
    RunFacts,
)
from typika.tables import parquet_columns, read_parquet

SAME = 1 - 1e-6  # correlation of a map with itself
SAMPLED_PARTS = 512  # most parts that figures of the whole collection are taken from


class MapsOnDisk(Mapping[tuple[str, str], HeatMaps]):
    """The heat-maps of a run by (image_id, label), read when they are asked for."""

    def __init__(self, folder: Path, collection: ImageCollection) -> None:
        self._table = collection.table.select(["image_id", "label"])
        self._maps = ScoredMaps(folder)

    def __getitem__(self, key: tuple[str, str]) -> HeatMaps:
        maps = self._maps[find_row(self._table, *key)]
        null, evidence = maps["null"], maps.get("evidence")
        if evidence is not None:  # a rival may look at the image on a grid of its own
            evidence = upsample(evidence, *null.shape)
        return HeatMaps(contrast=maps.get("others"), null=null, evidence=evidence)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for row in range(len(self._table)):
            yield self._table["image_id"][row].as_py(), self._table["label"][row].as_py()

    def __len__(self) -> int:
        return len(self._table)


def report_inputs(mining: Mining, date: str) -> ReportInputs:
    """Everything that the report of a run shows."""
    collection = mining.collection
    found = read_evidence(mining.folder)
    patches, clusters = (
        read_parquet(mining.folder / f"{name}.parquet") for name in ("patches", "clusters")
    )
    if MaskText.parse(mining.config.select.mask).artefacts:
        patches, clusters = without_artefacts(found, patches, clusters)
    return ReportInputs(
        patches=patches,
        clusters=clusters,
        maps=MapsOnDisk(mining.folder, collection),
        images=lambda image_id: collection.load(find_row(collection.table, image_id), draft=512),
        facts=run_facts(mining, collection, date),
        evidence=found,
        rare=read_rare(mining.folder),
    )


def read_evidence(folder: Path) -> Evidence:
    """The tables of the evidence stage, those that are there."""
    tables = {name: folder / f"{name}.parquet" for name in ("verdicts", "badges", "confounds")}
    return Evidence(**{name: read_parquet(path) for name, path in tables.items() if path.exists()})


def read_rare(folder: Path) -> Rare | None:
    """What the rare stage found, where it has run."""
    paths = folder / "rare.parquet", folder / "rare_patches.parquet"
    if not all(path.exists() for path in paths):
        return None
    groups, patches = map(read_parquet, paths)
    return Rare(groups=groups, patches=patches)


def run_facts(mining: Mining, collection: ImageCollection, date: str) -> RunFacts:
    """How the run was made and what it saw."""
    config, run = mining.config, mining.run
    prompts = config.prompt.template()
    instead = wording(config)
    title = f"What is typical in {mining.source.resolve().stem}?"
    scored = how_scored(config.score)
    if instead is not None:
        title = f"{title} Baseline: {instead.name}"
        # Typicality chose nothing, but is shown if the baseline has no maps.
        scored = instead.ranked if instead.model else f"{instead.ranked} ({scored})"
    scores = held_out_scores(mining.folder, some_parts(mined_parts(mining, collection)))
    duplicates = np.bincount(collection.codes("duplicate"))
    mined = collection.in_split(config.collection.mine)
    counts = np.bincount(collection.label_index[mined], minlength=len(collection.labels))
    return RunFacts(
        title=title,
        version=__version__,
        model=(instead and instead.model) or mining.model.description,
        loss=(instead and instead.loss) or mining.model.loss,
        score=scored,
        seed=config.seed,
        prompts={"label": prompts.label, "null": prompts.null_text},
        device=str(run.manifest["device"]),
        timings=run.seconds(),
        date=date,
        command=shlex.join(["typika", *run.manifest["argv"]]),
        collection=label_facts(collection),
        skipped=Counter(item.reason for item in collection.skipped),
        n_near_duplicate_groups=int((duplicates > 1).sum()),
        baselines=(
            *baselines(scores, mining),
            *grouping(read_parquet(mining.folder / "clusters.parquet")),
        ),
        warnings=(
            *collection.notes,
            *warnings(scores, collection, counts),
            *confounded(mining.folder),
        ),
        baseline=instead,
    )


def how_scored(config: TypicalityConfig) -> str:
    """What ranks patches and what it was estimated from."""
    against = "the other labels" if config.against == "others" else "the null"
    design = "" if config.design == "midpoints" else f" ({config.design})"
    racing = f", fewer where decided by {config.racing:g} errors" if config.racing else ""
    return f"against {against}, {config.n_draws} draws{design}{racing}"


def label_facts(collection: ImageCollection) -> tuple[LabelFacts, ...]:
    """Counts and sizes by label."""
    label = collection.label_index
    group = collection.codes("group")
    width, height = (collection.table[name].to_numpy() for name in ("width", "height"))
    return tuple(
        LabelFacts(
            label=name,
            n_images=int((label == number).sum()),
            n_groups=len(np.unique(group[label == number])),
            width=statistics.median(width[label == number].tolist()),
            height=statistics.median(height[label == number].tolist()),
        )
        for number, name in enumerate(collection.labels)
    )


def some_parts(parts: Sequence[int]) -> list[int]:
    """Parts whose images the figures of the whole collection are of: all, or evenly spread ones.

    Images are in the order of their content's hash, so any parts are a random sample.
    """
    places = np.linspace(0, len(parts) - 1, min(SAMPLED_PARTS, len(parts)))
    return [parts[int(place)] for place in places]


def held_out_scores(folder: Path, parts: Sequence[int]) -> pa.Table:
    """Image-level answers of model and rival, for every image of the parts.

    `predicted` and `rival_predicted` are null where nobody was asked, `agreement` where the run
    has no rival or a map is constant.
    """
    return pa.concat_tables([_answers(score_path(folder, part)) for part in parts])


def _answers(path: Path) -> pa.Table:
    there = set(parquet_columns(path))
    table = read_parquet(path, [name for name in SCORE_COLUMNS if name in there])
    nobody = pa.nulls(len(table), pa.int64())
    typicality = [float(own.values.to_numpy().mean()) for own in table["null"]]
    return pa.table(
        {
            **{name: table[name] for name in ("image_id", "label", "trained_on")},
            **{
                name: table[name].cast(pa.int64()) if name in there else nobody
                for name in ("predicted", "rival_predicted")
            },
            "agreement": pa.array([_agreement(row) for row in _rows(table)], pa.float64()),
            "image_typicality": pa.array(typicality, pa.float64()),
        }
    )


SCORE_COLUMNS = (
    *("image_id", "label", "trained_on", "predicted", "rival_predicted"),
    *("height", "width", "null", "others", "evidence", "evidence_height", "evidence_width"),
)


def _rows(table: pa.Table) -> Iterator[dict[str, pa.Scalar]]:
    """The rows of a table as Arrow scalars: a map stays an array."""
    columns = [table[name] for name in table.column_names]
    for values in zip(*columns, strict=True):
        yield dict(zip(table.column_names, values, strict=True))


def _agreement(row: Mapping[str, pa.Scalar]) -> float | None:
    """Correlation of a map with the rival's evidence; None where there is nothing to compare.

    The map is that against the other labels, or against the null where that is all there is.
    """
    evidence = _grid(row, "evidence", "evidence_")
    own = _grid(row, "others")
    own = _grid(row, "null") if own is None else own
    if evidence is None or own is None or np.ptp(evidence) == 0:
        return None
    return _correlation(own, upsample(evidence, *own.shape))


def _grid(row: Mapping[str, pa.Scalar], name: str, prefix: str = "") -> np.ndarray | None:
    if name not in row or not row[name].is_valid:
        return None
    shape = [row[f"{prefix}{side}" if f"{prefix}{side}" in row else side].as_py()
             for side in ("height", "width")]  # fmt: skip
    grid: np.ndarray = row[name].values.to_numpy().reshape(shape)
    return grid


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    if first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def baselines(scores: pa.Table, mining: Mining) -> tuple[Baseline, ...]:
    """What the model knows of images that it never saw, beside the rival and beside chance."""
    held_out = ~scores["trained_on"].to_numpy(zero_copy_only=False)
    agreement = [value for value in scores["agreement"].to_pylist() if value is not None]
    found = [*_labels_told(scores, held_out, mining)]
    found += _held_out_typicality(scores, held_out, mining.config.baseline.of_maps)
    if agreement and min(agreement) < SAME:
        found.append(
            Baseline(name="Agreement with the rival's maps", value=float(np.median(agreement)),
                     note="median correlation of typicality and evidence within an image")
        )  # fmt: skip
    return tuple(found)


def _labels_told(scores: pa.Table, held_out: np.ndarray, mining: Mining) -> Iterator[Baseline]:
    """How many held-out images model and rival give their label, where they were asked."""
    labels = mining.collection.labels
    number = {label: place for place, label in enumerate(labels)}
    truth = np.array([number[label] for label in scores["label"].to_pylist()], dtype=int)
    size = int(held_out.sum())
    instead = wording(mining.config)
    named = instead.name if instead is not None and instead.model else ""
    own, rival = (
        _share_right(scores[name], truth, held_out) for name in ("predicted", "rival_predicted")
    )
    if own is not None:
        yield Baseline(
            name=f"Label told, {named or 'diffusion classifier'}",
            value=own,
            note=f"share of {size} held-out images given their label, of {len(labels)}"
            if named
            else f"share of {size} held-out images explained best by their label, of "
            f"{min(len(labels), mining.config.score.n_others + 1)} labels compared",
        )
    if rival is not None:
        yield Baseline(
            name="Label told, rival",
            value=rival,
            note=f"the same for {mining.config.rival.name} on the same features",
        )
    if own is not None or rival is not None:
        share = float(np.bincount(truth[held_out]).max() / size)
        yield Baseline(name="Label told, always the most frequent", value=share, note="chance")


def _share_right(
    answers: pa.ChunkedArray, truth: np.ndarray, held_out: np.ndarray
) -> float | None:
    """Share of right answers about held-out images; None unless all of them were answered."""
    told = answers.filter(pa.array(held_out))
    if not len(told) or told.null_count:
        return None
    return float((told.to_numpy() == truth[held_out]).mean())


def _held_out_typicality(
    scores: pa.Table, held_out: np.ndarray, of_maps: bool
) -> Iterator[Baseline]:
    """T(trained on) − T(held out): what the model knows by heart rather than of the label."""
    typical = scores["image_typicality"].to_numpy()
    if held_out.all() or not held_out.any():
        return
    against = "" if of_maps else "against the null; "
    yield Baseline(
        name="Mean of the baseline's maps, held out" if of_maps else "Mean typicality, held out",
        value=float(typical[held_out].mean()),
        note=f"{against}over {int(held_out.sum()):,} images",
    )
    gap, error = _difference(typical[~held_out], typical[held_out])
    yield Baseline(
        name="The same, trained on less held out",
        value=gap,
        note=f"{gap - 1.96 * error:.3g} to {gap + 1.96 * error:.3g}; far above zero would mean "
        "memory rather than knowledge" + _memorised(scores, typical, held_out),
    )


def _difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Difference of two means and its standard error (Welch); nan for a single value."""
    if min(len(first), len(second)) < 2:
        return float("nan"), float("nan")
    error = np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    return float(first.mean() - second.mean()), float(error)


def _memorised(scores: pa.Table, typical: np.ndarray, held_out: np.ndarray) -> str:
    """The labels whose own difference is surely above zero, as the end of a sentence."""
    label = np.array(scores["label"].to_pylist(), dtype=str)
    names = list(dict.fromkeys(label.tolist()))
    # 2.58 errors: a label is named by chance in one of two hundred.
    above = [
        name
        for name in names
        for gap, error in [
            _difference(typical[~held_out & (label == name)], typical[held_out & (label == name)])
        ]
        if gap > 2.58 * error
    ]
    return f"; surely above zero for {_some(above)}" if above else ""


def confounded(folder: Path) -> tuple[str, ...]:
    """What else gives labels away, where it has been looked for."""
    path = folder / "confounds.parquet"
    return confounds.warnings(read_parquet(path)) if path.exists() else ()


def grouping(clusters: pa.Table) -> Iterator[Baseline]:
    """How alike the groups come out when they are made again from other images of the label."""
    found = {
        row["label"]: row["repeats"]
        for row in clusters.to_pylist()
        if math.isfinite(row["repeats"])
    }
    if not found:
        return
    least = min(found, key=lambda label: found[label])
    worst = f"; least of {least}, {found[least]:.2f}" if len(found) > 1 else ""
    yield Baseline(
        name="Grouping repeats",
        value=statistics.fmean(found.values()),
        note="adjusted Rand index of groupings made from random halves of the images, mean over "
        f"labels: 1 the same, 0 as by chance{worst}",
    )


def warnings(scores: pa.Table, collection: ImageCollection, counts: np.ndarray) -> tuple[str, ...]:
    """What a reader should be careful with. counts: mined images of each label."""
    held_out = ~scores["trained_on"].to_numpy(zero_copy_only=False)
    found = []
    small = [name for name, count in zip(collection.labels, counts, strict=True) if count < 30]
    if small:
        found.append(f"Fewer than 30 images of {_some(small)}: what is shown there may be chance.")
    if not held_out.any():
        found.append(
            "No label has ten images or groups, so none could be held out: nothing here shows "
            "that the model knows more than the images it was trained on."
        )
    return tuple(found)


def _some(names: list[str], most: int = 6) -> str:
    """The first few names of a list, in a sentence."""
    return ", ".join(names[:most]) + (" and others" if len(names) > most else "")
