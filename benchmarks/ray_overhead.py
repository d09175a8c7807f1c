"""What Ray costs over the plain process, and whether its tables are the same to the byte.

10,000 images with a denoiser that takes 10 ms for each (it sleeps, so that four actors have room
on two cores), scored part by part through the seam that scoring itself uses, and written by its
writer: by this process, by one, two and four actors, and by two of which one is killed half-way.
Times are taken once every worker has written its first part: starting Ray and loading what a
worker needs are not counted. `TYPIKA_RAY_IMAGES` for fewer.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.million import _maps, invented
from benchmarks.record import Figure, Result, Skip, at_most
from typika.collection.images import ImageCollection
from typika.diffusion.latents import PART, n_parts, part_rows
from typika.files import file_digest
from typika.mining.scores import score_path, write_scores
from typika.parallel import Advance, run_parts

N = int(os.environ.get("TYPIKA_RAY_IMAGES", "10000"))
SECONDS = 0.010  # of an image
GRID = 28


def run() -> Result:
    try:
        from typika.distributed import HERE, cluster
    except ImportError as error:  # pragma: no cover
        raise Skip(str(error)) from error
    pace: dict[str, float] = {}
    tables: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        collection = invented(N, root)
        collection.save(root)
        collection = ImageCollection.restore(root, root)
        pace["plain"], tables["plain"] = scored(root / "plain", collection, 1)
        started = time.perf_counter()
        for actors in (1, 2, 4):
            with cluster(HERE, actors):
                start_up = time.perf_counter() - started
                way = f"{actors} actors"
                pace[way], tables[way] = scored(root / way, collection, actors)
            started = time.perf_counter()
        with cluster(HERE, 2):
            _, tables["killed"] = scored(root / "killed", collection, 2, killed=n_parts(N) // 2)
    same = sum(own == tables["plain"] for own in tables.values())
    figures = [
        Figure(name=f"seconds an image, {way}", value=own, unit="s", target="", met=None)
        for way, own in pace.items()
    ]
    figures += [
        Figure(name="start-up of Ray", value=start_up, unit="s", target="", met=None),
        Figure(name="tables the same to the byte, of 5 ways", value=same, unit="ways",
               target="5", met=same == 5),
        at_most("overhead of 2 actors over their half of the plain time",
                100 * (2 * pace["2 actors"] / pace["plain"] - 1), 15, "%"),
        at_most("overhead of 1 actor over the plain process",
                100 * (pace["1 actors"] / pace["plain"] - 1), 15, "%"),
    ]  # fmt: skip
    return Result(figures=figures, notes=[
        f"{N:,} images in {n_parts(N)} parts of {PART}, 10 ms each. Load on the machine at the "
        f"end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
    ])  # fmt: skip


def scored(
    folder: Path, collection: ImageCollection, workers: int, killed: int = -1
) -> tuple[float, dict[str, str]]:
    """Seconds that an image takes once all workers are at work, and a digest of each part."""
    (folder / "scores").mkdir(parents=True)
    parts = list(range(n_parts(len(collection))))
    run_parts(
        score_parts, (folder, collection, killed), parts, workers=1, name=folder.name,
        size=lambda part: len(part_rows(part, len(collection))),
    )  # fmt: skip
    paths = [score_path(folder, part) for part in parts]
    times = sorted(path.stat().st_mtime_ns / 1e9 for path in paths)
    pace = (times[-1] - times[workers - 1]) / (len(times) - workers) / PART
    return pace, {path.name: file_digest(path) for path in paths}


def score_parts(
    folder: Path, collection: ImageCollection, killed: int, parts: Iterable[int], advance: Advance
) -> None:
    """What the score stage does, with a stub for the model. killed: a part that ends the actor."""
    trained_on = np.ones(len(collection), dtype=bool)
    shape = dict.fromkeys(("height", "width", "evidence_height", "evidence_width"), GRID)
    for part in parts:
        rows, found = list(part_rows(part, len(collection))), []
        for row in rows:
            started = time.perf_counter()
            null, error, evidence = _maps(np.random.default_rng([3, row]), 3)
            found.append(
                {**shape, "null": null, "null_error": error, "evidence": evidence,
                 "predicted": row % 10, "rival_predicted": row % 10}
            )  # fmt: skip
            time.sleep(max(0.0, SECONDS - (time.perf_counter() - started)))
            advance(1)
        if part == killed and not (folder / "killed").exists():
            (folder / "killed").touch()
            os._exit(1)
        write_scores(folder, collection, part, rows, found, trained_on)
