"""Clusters of the demo against the published k-means: purity, and agreement over seeds.

Both group the same typical patches. A cluster is pure as far as its patches show the planted kind
that most of them show, the scanner's edge among the kinds; a patch that shows nothing planted
is impure wherever it is.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray

from benchmarks.record import Figure, Result, at_least
from typika import workflow
from typika.collection.demo import ELEMENT_KINDS, DemoElement, read_truth, render_demo
from typika.demonstration import SHOWN, Box, elements_found
from typika.evaluation import adjusted_rand, overlap_share
from typika.mining import clusters, stages
from typika.mining.pipeline import Mining
from typika.parallel import default_workers, one_thread
from typika.tables import read_parquet

COLLECTIONS = (0, 1, 2)  # seeds of the demo, each rendered and mined
SEEDS = (0, 1, 2)  # of the clustering
Grouping = Callable[[ndarray, int], clusters.Clustering]  # rows of one label's patches, seed


@dataclass(frozen=True, kw_only=True)
class Patches:
    """The typical patches of a demo."""

    table: pa.Table  # what `elements_found` reads, less the clusters
    label: ndarray  # (n,)
    score: ndarray  # (n,) typicality
    shown: ndarray  # (n, kinds of the label) whether a patch shows it; the last is the artefact
    truth: tuple[DemoElement, ...]


def shows(box: Box, element: DemoElement) -> bool:
    """Whether a patch shows an element; of the scanner's edge half the width is enough."""
    own = (element.left, element.top, element.right, element.bottom)
    if element.is_artefact:  # as high as the image: of its height no patch could show half
        own = (element.left, max(element.top, box[1]), element.right, min(element.bottom, box[3]))
    return overlap_share(box, own) >= SHOWN


def typical_patches(folder: Path, mining: Mining) -> Patches:
    selected = read_parquet(mining.folder / "selected.parquet")
    rows = np.flatnonzero(np.array(selected["selection"].to_pylist()) == "typical")
    selected = selected.take(pa.array(rows))
    collection, row = mining.collection, selected["row"].to_numpy()
    truth = tuple(read_truth(folder / "four-towns" / "truth.csv"))
    planted = defaultdict(list)
    for element in truth:
        planted[element.file_name].append(element)
    names = collection.table["file_name"].take(selected["row"]).to_pylist()
    corners = [selected[side].to_pylist() for side in ("left", "top", "right", "bottom")]
    labels = [collection.labels[number] for number in collection.label_index[row]]
    shown = np.zeros((len(rows), 4), dtype=bool)
    for place, box in enumerate(zip(*corners, strict=True)):
        kinds = [*ELEMENT_KINDS[labels[place]], "artefact"]
        for element in planted[names[place]]:
            kind = "artefact" if element.is_artefact else element.kind
            shown[place, kinds.index(kind)] |= shows(box, element)
    table = selected.select(["selection", "left", "top", "right", "bottom"])
    for name, values in (("file_name", names), ("label", labels), ("thumbnail", names)):
        table = table.append_column(name, pa.array(values))
    return Patches(
        table=table, label=collection.label_index[row],
        score=selected["typicality"].to_numpy(), shown=shown, truth=truth,
    )  # fmt: skip


def groupings(mining: Mining) -> Mapping[str, Grouping]:
    """The default and the published way to group some of the typical patches."""
    collection = mining.collection
    selected = read_parquet(mining.folder / "selected.parquet")
    typical = np.flatnonzero(np.array(selected["selection"].to_pylist()) == "typical")
    row = selected["row"].to_numpy()
    fitted = stages.fitted_to(mining, collection, row)
    duplicates = np.array(collection.table["duplicate"].to_pylist())[row]
    images = np.unique(duplicates, return_inverse=True)[1]
    config = mining.config.cluster
    plain = dataclasses.replace(
        mining,
        config=dataclasses.replace(
            mining.config, cluster=dataclasses.replace(config, pooling="mean")
        ),
    )
    with one_thread():
        pooled = stages.patch_features(mining, collection, selected)
        mean = clusters.unit(stages.patch_features(plain, collection, selected).astype(float))
    label = collection.label_index[row]
    vectors = stages.compared(mining, label, selected, pooled, fitted)

    def default(own: ndarray, seed: int) -> clusters.Clustering:
        own = typical[own]
        some = own[fitted[own]]
        groups = clusters.fit(vectors[some], images[some], config, seed)
        return clusters.assign(vectors[own], images[own], groups)

    def published(own: ndarray, seed: int) -> clusters.Clustering:
        own = typical[own]
        groups = clusters.published(mean[own], 32, clusters.PUBLISHED_SEED + seed)
        return clusters.assign(mean[own], images[own], groups)

    return {"default": default, "published": published}


def purity(patches: Patches, assignment: ndarray, kinds: int) -> float:
    """Share of the patches in clusters that show their cluster's main kind.

    kinds: how many of the label's count: 3 planted ones, 4 with the scanner's edge.
    """
    shown = 0
    for label in np.unique(patches.label):
        own = patches.label == label
        for number in range(assignment[own].max(initial=-1) + 1):
            members = own & (assignment == number)
            shown += patches.shown[members, :kinds].sum(axis=0).max(initial=0)
    return shown / max((assignment >= 0).sum(), 1)


def in_order(patches: Patches, assignment: ndarray) -> ndarray:
    """The same clusters, numbered from most to least typical within each label."""
    ranked = assignment.copy()
    for label in np.unique(patches.label):
        own = np.flatnonzero((patches.label == label) & (assignment >= 0))
        order = clusters.rank_clusters(patches.score[own], assignment[own], smallest=5)
        ranked[own] = np.argsort(order)[assignment[own]]
    return ranked


def closest(patches: Patches, found: list[clusters.Clustering], like: ndarray) -> ndarray:
    """An assignment cut to as many patches of each label as `like` keeps, the closest ones."""
    kept = np.full(len(like), clusters.LOOSE)
    for label, one in zip(np.unique(patches.label), found, strict=True):
        own = np.flatnonzero(patches.label == label)
        order = np.lexsort((one.distance, one.assignment < 0))
        best = order[: (like[own] >= 0).sum()]
        kept[own[best]] = one.assignment[best]
    return kept


def measure(folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """Figures of either way on one demo, means over the seeds of the clustering."""
    images = folder / "four-towns"
    render_demo(images, seed=seed, workers=default_workers())
    config = workflow.MineConfig(seed=seed)
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with workflow.opened(images, folder / "run", config, None, False) as mining:
        mining.advance_to("select")
        patches, ways = typical_patches(folder, mining), groupings(mining)
    places = [np.flatnonzero(patches.label == label) for label in np.unique(patches.label)]
    answers: dict[str, list[ndarray]] = defaultdict(list)
    for again in SEEDS:
        for name, way in ways.items():
            found = [way(own, again) for own in places]
            assignment = np.concatenate([one.assignment for one in found])
            assignment = assignment[np.argsort(np.concatenate(places))]
            answers[name].append(assignment)
            cut = closest(patches, found, answers["default"][-1])
            table = patches.table.append_column("cluster", pa.array(in_order(patches, assignment)))
            for figure, value in (
                ("purity", purity(patches, assignment, 4)),
                ("purity, edge impure", purity(patches, assignment, 3)),
                ("purity at the default's coverage", purity(patches, cut, 4)),
                ("coverage", (assignment >= 0).mean()),
                ("clusters a label", np.mean([assignment[own].max() + 1 for own in places])),
                ("kinds found of 12", len(elements_found(table, patches.truth))),
            ):
                figures[name][figure].append(float(value))
    for name, assignments in answers.items():
        figures[name]["adjusted Rand over seeds"] = [
            adjusted_rand(one[own] + 1, two[own] + 1)
            for one, two in combinations(assignments, 2)
            for own in places
        ]
    return {
        name: {figure: float(np.mean(values)) for figure, values in own.items()}
        for name, own in figures.items()
    }


def run(collections: tuple[int, ...] = COLLECTIONS) -> Result:
    found = []
    for seed in collections:
        with tempfile.TemporaryDirectory() as place:
            found.append(measure(Path(place), seed))
    names = list(found[0]["default"])
    rows = [
        f"| {way}, demo {seed} | " + " | ".join(f"{one[way][name]:.3f}" for name in names) + " |"
        for seed, one in zip(collections, found, strict=True)
        for way in ("default", "published")
    ]
    head = "| | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|"

    def mean(way: str, name: str) -> float:
        return float(np.mean([one[way][name] for one in found]))

    def beats(figure: str, name: str, unit: str) -> Figure:
        return at_least(figure, mean("default", name), mean("published", name), unit)

    return Result(
        figures=(
            Figure(name="clusters-coverage", value=mean("default", "coverage"),
                   unit="of typical patches", target="-", met=None),
            beats("clusters-found", "kinds found of 12", "of 12 kinds"),
            beats("clusters-rand", "adjusted Rand over seeds", "adjusted Rand"),
            beats("clusters-purity-like-for-like", "purity at the default's coverage", "share"),
            beats("clusters", "purity", "share"),
        ),
        notes=("\n".join([head, *rows]),),
    )  # fmt: skip
