"""A scored run held against what people drew: `typika evaluate` and `typika.evaluate`."""

from __future__ import annotations

import difflib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from typika import __version__, parallel
from typika.collection.images import ImageCollection
from typika.collection.regions import Regions
from typika.comparison import SEED, Key, Side, names_of_images, names_of_runs
from typika.console import warn
from typika.diffusion.latents import PART
from typika.errors import ConfigError, DataError
from typika.evaluation import PUBLISHED_THRESHOLDS
from typika.files import whole_file
from typika.mining import localisation as numbers
from typika.mining.comparison import LONGEST, truth_shape
from typika.mining.localisation import ImageFigures, Located, MapSums
from typika.mining.scores import read_maps, score_path
from typika.parallel import Advance, run_tasks
from typika.report.html import write_evaluation
from typika.report.inputs import how_scored
from typika.report.localisation import build_evaluation, localisation_table
from typika.report.localisation_records import EvaluationInputs, ShownMap
from typika.report.outlines import sheet_files
from typika.report.pictures import shrink
from typika.tables import parquet_columns, read_parquet, write_table
from typika.workflow import MiningRun

PARTS_AT_ONCE = 8  # part files that a task reads
IMAGES_AT_ONCE = 16  # images that a task holds against their truth
SHOWN_SIDE = 360  # pixels of the longer side of an image that is shown
MOST_NAMED = 6  # labels or names that a message lists
LONGEST_NAME = 80  # characters of each

Grids = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    """A run held against truth: the page, and its figures."""

    page: Path
    table: pa.Table  # one row per label, method and measure, as in localisation.csv


def evaluate(
    run: str | Path | MiningRun,
    regions: str | Path,
    before: str | Path | MiningRun | None = None,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
) -> Evaluation:
    """Measure how well the maps of a run find what people drew, and write it down.

    The maps for each image's own label are held against its truth at no more than LONGEST pixels
    a side: average precision, pointing, IoU at a threshold fit on the other half of the groups,
    and AUC-PR as published, with intervals of resampled groups; beside them the rival, chance,
    the distance to the centre, the mean map of the label's other images, and the own map less it.

    run: folder of a run that has been scored.
    regions: boxes as CSV, COCO JSON or Pascal VOC, or a folder of PNG masks; known to no model.
    before: another run over the same images, as one that was not finetuned.
    out: folder; `RUN/evaluation` by default. Gets evaluation.html, localisation.csv and .parquet,
        maps.png and .pdf.
    workers: processes; the result does not depend on it.

    Raises:
        ConfigError: a folder is no scored run, or `out` is a file.
        DataError: the regions cannot be used, or none belongs to an image and label of the run.
    """
    folders = [one.folder if isinstance(one, MiningRun) else Path(one)
               for one in (run, before) if one is not None]  # fmt: skip
    sides = [Side.open(name, folder, "score")
             for name, folder in zip(names_of_runs(folders), folders, strict=True)]  # fmt: skip
    folder = _out_folder(out, folders[0])
    subjects = Subjects.of(sides[0], Regions.read(Path(regions)))
    inputs = _inputs(sides[0], sides[1] if before else None, subjects,
                     workers or parallel.default_workers())  # fmt: skip
    for note in inputs.notes:
        warn(note)
    table, page = localisation_table(inputs.figures), build_evaluation(inputs)
    sheets = sheet_files(inputs.shown, inputs.title)
    write_table(table, folder / "localisation.parquet")
    for name, content in sheets.items():
        with whole_file(folder / name) as temporary:
            temporary.write_bytes(content)
    write_evaluation(page, folder / "evaluation.html")
    return Evaluation(folder / "evaluation.html", table)


def _out_folder(out: str | Path | None, run: Path) -> Path:
    folder = run / "evaluation" if out is None else Path(out)
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"{place}: is a file; pass --out with a folder")
    return folder


# ------------------------------------------------------------------------- which images have truth


@dataclass(frozen=True)
class Subjects:
    """The images of a run that something is drawn on for their label."""

    side: Side
    given: Regions  # as the file names them
    regions: Regions  # as the run names them: by image_id
    rows: np.ndarray  # (n,) of the collection, ascending

    @classmethod
    def of(cls, side: Side, given: Regions) -> Subjects:
        """Match by name and label. Raises DataError where nothing matches."""
        if given.path.resolve() == side.mining.source.resolve():
            raise DataError(
                f"{given.path}: is the folder of the images themselves; pass the folder of masks "
                "or the file of boxes"
            )
        regions = given.among(names_of_images(side.collection))
        rows = sorted(
            row for (image_id, label), row in side.rows.items() if regions.has([image_id], label)
        )
        if not rows:
            raise DataError(_nothing_matches(side, given, regions))
        return cls(side, given, regions, np.array(rows))

    @cached_property
    def keys(self) -> list[Key]:
        """Image and label of each."""
        table = self.side.collection.table.take(pa.array(self.rows))
        return list(zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True))

    @cached_property
    def labels(self) -> np.ndarray:
        """(n,) place of the label of each among the labels of the run."""
        found: np.ndarray = self.side.collection.label_index[self.rows]
        return found

    @cached_property
    def every_group(self) -> np.ndarray:
        """Group of every image of the collection, numbered."""
        names = np.array(self.side.collection.table["group"].to_pylist(), dtype=str)
        return np.unique(names, return_inverse=True)[1]

    @property
    def groups(self) -> np.ndarray:
        """(n,) group of each."""
        found: np.ndarray = self.every_group[self.rows]
        return found

    def notes(self) -> Iterator[str]:
        """What of the file was not used, and why."""
        own, name = self.side.collection.labels, self.given.path.name
        strange = self.regions.strangers
        if strange:
            yield (
                f"Of the {len(self.given.names):,} names in {name}, {len(strange):,} stand for no "
                f"image of the run, or it is not clear for which: {_listed(strange)}."
            )
        boxes = [region for regions in self.given.by_name.values() for region in regions]
        for label, count in Counter(region.label for region in boxes).items():
            if label and label not in own:
                near = difflib.get_close_matches(label, own, 1, 0.6)
                hint = f" (is {near[0]!r} meant?)" if near else ""
                yield (
                    f"{label!r} in {name} is no label of the run{hint}: what is drawn for it "
                    f"(boxes: {count:,}) counts for nothing. The run has {_listed(own)}."
                )
        yield from self._elsewhere(own)

    def _elsewhere(self, own: Sequence[str]) -> Iterator[str]:
        labels_of: dict[str, set[str]] = {}
        for image_id, label in self.side.rows:
            labels_of.setdefault(image_id, set()).add(label)
        known = [(image_id, region.label) for image_id, regions in self.regions.by_name.items()
                 for region in regions if region.label in own]  # fmt: skip
        unmined = sum(image_id not in labels_of for image_id, _ in known)
        foreign = sum(
            label not in labels_of[image_id] for image_id, label in known if image_id in labels_of
        )
        if unmined:
            yield f"Boxes on images that were not mined, which have no map: {unmined:,}."
        if foreign:
            yield (
                f"Boxes on images that do not carry their label, so not counted (an image has a "
                f"map for its own label alone): {foreign:,}."
            )
        absent = [label for number, label in enumerate(own) if number not in self.labels]
        if absent:
            yield f"Nothing is drawn for {_listed(absent)}."


def _nothing_matches(side: Side, given: Regions, regions: Regions) -> str:
    file_name = side.collection.table["file_name"][0].as_py()
    if not (regions.by_name or regions.masks):
        return (
            f"{given.path}: names no image of {side.folder}; it names "
            f"{_listed(given.names, 2)}, the run {file_name!r}"
        )
    if not any(regions.has([image_id], label) for image_id, label in side.every_row):
        return (
            f"{given.path}: no region has the label of its image; its labels are "
            f"{_listed(regions.labels)}, those of {side.folder} {_listed(side.collection.labels)}"
        )
    return (
        f"{given.path}: all its regions are of images that {side.folder} did not mine (collection."
        f"mine={side.mining.config.collection.mine!r}), so they have no map"
    )


def _listed(names: Sequence[str], count: int = MOST_NAMED) -> str:
    more = f" and {len(names) - count:,} more" if len(names) > count else ""
    short = (
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in names
    )
    return ", ".join(repr(name) for name in islice(short, count)) + more


# ------------------------------------------------------------------------------ reading the maps


@dataclass(frozen=True)
class _Read:
    """What a task found in some parts: sums of all maps, and the maps of images with truth."""

    sums: MapSums
    grids: dict[int, dict[str, np.ndarray]]  # by row, then method
    trained_on: dict[int, bool]


def _read_parts(
    folder: Path,
    parts: Sequence[int],
    keys: Mapping[int, tuple[int, int]],
    wanted: frozenset[int],
    advance: Advance,
) -> _Read:
    """keys: (label, group) of the rows whose maps are summed. wanted: rows whose maps are kept."""
    maps: list[np.ndarray] = []
    summed, grids, trained_on = [], {}, {}
    for part in parts:
        path = score_path(folder, part)
        scores = read_parquet(path, _columns(path, part, wanted))
        for place, row in enumerate(scores["row"].to_pylist()):
            if row not in keys and row not in wanted:
                continue
            found = read_maps(scores, place)
            if row in keys:
                maps.append(found["null"])
                summed.append(keys[row])
            if row in wanted:
                grids[row] = {
                    method: found[name].astype(np.float32)
                    for name, method in numbers.STORED.items() if name in found
                }  # fmt: skip
                trained_on[row] = scores["trained_on"][place].as_py()
        advance(1)
    return _Read(MapSums.of(maps, summed), grids, trained_on)


def _columns(path: Path, part: int, wanted: frozenset[int]) -> list[str]:
    """The columns that are needed of a part: maps against the null alone unless it has truth."""
    names = ["row", "height", "width", "null"]
    if any(row // PART == part for row in wanted):
        extra = ("trained_on", "others", "evidence", "evidence_height", "evidence_width")
        names += [name for name in parquet_columns(path) if name in extra]
    return names


def _read(subjects: Subjects, workers: int) -> _Read:
    """All maps of the labels that have truth, part by part."""
    side, with_truth = subjects.side, set(subjects.labels.tolist())
    groups, index = subjects.every_group, side.collection.label_index
    own = set(subjects.groups.tolist())
    # Groups without truth need no sum of their own: nothing is taken off for them.
    keys = {
        row: (int(index[row]), int(groups[row]) if int(groups[row]) in own else -1)
        for row in side.rows.values() if int(index[row]) in with_truth
    }  # fmt: skip
    return _read_side(side, keys, frozenset(subjects.rows.tolist()), workers)


def _read_side(
    side: Side,
    keys: Mapping[int, tuple[int, int]],
    wanted: frozenset[int],
    workers: int,
) -> _Read:
    needed = sorted({row // PART for row in (*keys, *wanted)})
    hands = [needed[first : first + PARTS_AT_ONCE]
             for first in range(0, len(needed), PARTS_AT_ONCE)]  # fmt: skip
    tasks = []
    for parts in hands:
        held = {*parts}
        tasks.append((
            side.folder, parts, {row: key for row, key in keys.items() if row // PART in held},
            frozenset(row for row in wanted if row // PART in held),
        ))  # fmt: skip
    answers = run_tasks(_read_parts, tasks, workers=workers, name=f"Reading maps of {side.name}",
                        total=len(needed))  # fmt: skip
    sums, grids, trained_on = MapSums(), {}, {}
    for answer in answers:
        sums = sums + answer.sums
        grids.update(answer.grids)
        trained_on.update(answer.trained_on)
    return _Read(sums, grids, trained_on)


def _all_grids(
    subjects: Subjects, found: _Read, before: Side | None, workers: int
) -> list[dict[str, np.ndarray]]:
    """Maps and priors of each image with truth, by method."""
    means = found.sums.means_of_others()
    earlier: dict[int, dict[str, np.ndarray]] = {}
    rows: list[int | None] = [None] * len(subjects.rows)
    if before is not None:
        rows = [before.rows.get(key) for key in subjects.keys]
        wanted = frozenset(row for row in rows if row is not None)
        earlier = _read_side(before, {}, wanted, workers).grids
    grids = []
    places = zip(subjects.rows, subjects.labels, subjects.groups, rows, strict=True)
    for row, label, group, other in places:
        own = dict(found.grids[int(row)])
        if other is not None:
            own[numbers.BEFORE] = earlier[other][numbers.TYPICALITY]
        grids.append(numbers.with_priors(own, means.get((int(label), int(group)))))
    return grids


# ---------------------------------------------------------------------------------- measuring them


@dataclass(frozen=True)
class _Subject:
    """One image with truth, as a task sees it."""

    place: int  # in the collection that the task was given
    image_id: str
    label: str
    size: tuple[int, int]  # width, height in pixels
    grids: Grids
    levels: Mapping[str, np.ndarray]


def _measure(
    collection: ImageCollection,
    regions: Regions,
    subjects: Sequence[_Subject],
    advance: Advance,
) -> list[tuple[ImageFigures | None, bool]]:
    """Figures of each image, None where nothing is true; and whether the image could be read."""
    found: list[tuple[ImageFigures | None, bool]] = []
    for one in subjects:
        truth = _truth(regions, one.image_id, one.label, one.size, truth_shape(*one.size))
        advance(1)
        if not truth.any():
            found.append((None, True))
            continue
        image = _load(collection, one.place, LONGEST)
        figures = numbers.image_figures(one.grids, truth, one.levels, image)
        found.append((figures, image is not None))
    return found


def _truth(
    regions: Regions, image_id: str, label: str, size: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    try:
        return regions.mask([image_id], label, size, shape)
    except DataError as error:
        raise DataError(f"{regions.path}, label {label!r}: {error}") from error


def _load(collection: ImageCollection, place: int, draft: int) -> Image.Image | None:
    """The original, or None where it can no longer be read."""
    try:
        return collection.load(place, draft)
    except (DataError, OSError):
        return None


def _figures(
    subjects: Subjects, grids: Sequence[Grids], workers: int
) -> list[tuple[ImageFigures | None, bool]]:
    levels = {
        int(label): numbers.thresholds(
            [grids[int(place)] for place in np.flatnonzero(subjects.labels == label)]
        )
        for label in np.unique(subjects.labels)
    }
    tasks = []
    for first in range(0, len(grids), IMAGES_AT_ONCE):
        places = range(first, min(first + IMAGES_AT_ONCE, len(grids)))
        held = subjects.side.collection.select(subjects.rows[places.start : places.stop])
        sizes = list(zip(held.table["width"].to_pylist(), held.table["height"].to_pylist(),
                         strict=True))  # fmt: skip
        chosen = [
            _Subject(number, *subjects.keys[place], sizes[number], grids[place],
                     levels[int(subjects.labels[place])])
            for number, place in enumerate(places)
        ]  # fmt: skip
        own = subjects.regions.only([one.image_id for one in chosen])
        tasks.append((held, own, chosen))
    answers = run_tasks(_measure, tasks, workers=workers, name="Measuring", total=len(grids))
    return [one for answer in answers for one in answer]


# ----------------------------------------------------------------------------- from runs to a page


def _inputs(side: Side, before: Side | None, subjects: Subjects, workers: int) -> EvaluationInputs:
    """Everything that the page shows."""
    read = _read(subjects, workers)
    grids = _all_grids(subjects, read, before, workers)
    measured = _figures(subjects, grids, workers)
    kept = np.array([place for place, (one, _) in enumerate(measured) if one is not None], int)
    if not len(kept):
        raise DataError(f"{subjects.given.path}: all masks are empty; truth must be bright")
    found = numbers.gather(
        [one for one, _ in measured if one is not None],
        subjects.labels[kept],
        subjects.groups[kept],
        np.array([read.trained_on.get(int(row), False) for row in subjects.rows[kept]], bool),
        side.collection.labels,
        SEED,
    )
    figures = numbers.figures(found, SEED)
    labels = tuple(label for label in side.collection.labels
                   if figures.get(label, numbers.TYPICALITY) is not None)  # fmt: skip
    notes = (*subjects.notes(), *_notes(subjects, measured, grids, before, found))
    typical = np.concatenate([grids[int(p)][numbers.TYPICALITY].ravel() for p in kept])
    return EvaluationInputs(
        name=side.name,
        before=before.name if before else "",
        regions=subjects.given.path.name,
        facts=dict(_facts(side, before)),
        figures=figures,
        verdicts=numbers.verdicts(figures, labels),
        labels=labels,
        shown=tuple(_shown(subjects, grids, found, kept, labels)),
        above_first=float((typical > PUBLISHED_THRESHOLDS[0]).mean()),
        notes=notes,
        version=__version__,
        date=time.strftime("%Y-%m-%d"),
    )


def _facts(side: Side, before: Side | None) -> Iterator[tuple[str, str]]:
    yield "Model", side.mining.model.description
    yield "Loss", side.mining.model.loss
    yield "Patches ranked", how_scored(side.mining.config.score)
    yield "Seed", str(side.mining.config.seed)
    yield "Images mined", f"{len(side.rows):,}"
    if before is not None:
        yield "Model before", before.mining.model.description
        yield "Loss before", before.mining.model.loss


def _notes(
    subjects: Subjects,
    measured: Sequence[tuple[ImageFigures | None, bool]],
    grids: Sequence[Grids],
    before: Side | None,
    found: Located,
) -> Iterator[str]:
    empty = Counter(subjects.keys[place][1] for place, (one, _) in enumerate(measured)
                    if one is None)  # fmt: skip
    if empty:
        counts = ", ".join(f"{count:,} of {label!r}" for label, count in sorted(empty.items()))
        yield f"Images whose mask is empty, so not counted: {counts}."
    unread = sum(not read for _, read in measured)
    if unread:
        yield (
            f"Images that could not be read any more, so not shown, and without a refined map: "
            f"{unread:,}."
        )
    lacking = sum(numbers.BEFORE not in one for one in grids)
    if before is not None and lacking:
        yield (
            f"Images with truth that have no map in {before.name}: {lacking:,}. What concerns "
            "the run before is measured on the others alone."
        )
    least = numbers.FEW_GROUPS
    few = [label for number, label in enumerate(found.labels)
           if 0 < len(np.unique(found.group[found.label == number])) < least]  # fmt: skip
    if few:
        yield (
            f"Fewer than {least} groups of {_listed(few)} have truth: their intervals are "
            "narrower than they should be."
        )


def _shown(
    subjects: Subjects,
    grids: Sequence[Grids],
    found: Located,
    kept: np.ndarray,
    labels: Sequence[str],
) -> Iterator[ShownMap]:
    """Of each label the images that are found best, and worst."""
    count = numbers.shown_per_label(len(labels))
    collection = subjects.side.collection
    for label in labels if count else ():
        chosen = numbers.best_and_worst(found, found.labels.index(label), count)
        for kind, places in zip(("best", "worst"), chosen, strict=True):
            for place in places:
                own = int(kept[place])
                row = int(subjects.rows[own])
                image = _load(collection, row, SHOWN_SIDE)
                if image is None:
                    continue
                small = shrink(image, SHOWN_SIDE)
                size = tuple(int(collection.table[name][row].as_py())
                             for name in ("width", "height"))  # fmt: skip
                yield ShownMap(
                    label=label,
                    kind=kind,
                    file_name=collection.table["file_name"][row].as_py(),
                    image=small,
                    truth=_truth(subjects.regions, subjects.keys[own][0], label,
                                 (size[0], size[1]), (small.height, small.width)),
                    values=grids[own][numbers.TYPICALITY],
                    precision=float(found.values[numbers.TYPICALITY, numbers.PRECISION][place]),
                    hit=bool(found.values[numbers.TYPICALITY, numbers.POINTING][place]),
                    area=float(found.area[place]),
                )  # fmt: skip
