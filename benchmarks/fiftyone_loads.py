"""FiftyOne opens what `typika export RUN fiftyone` writes.

FiftyOne is not installed beside typika: make an environment of its own and name its Python,

    python3 -m venv /tmp/fo && /tmp/fo/bin/pip install fiftyone
    TYPIKA_FIFTYONE=/tmp/fo/bin/python python -m benchmarks fiftyone_loads

Its readers of both forms are always tried. A whole dataset needs its database, mongod, which it
downloads where it can; without, `pip install mongomock` there lets one in memory stand in.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.record import Figure, Result, Skip
from typika.exporting_patches import export_patches
from typika.tables import write_parquet

IMAGES, BOXES = 12, 3
# In FiftyOne's Python: prints what it sees, as JSON.
READER = """
import json, sys
from fiftyone.utils.data import importers
folder = sys.argv[1]
seen = {}
legacy = importers.FiftyOneDatasetImporter(folder)
with legacy._to_legacy_importer() if legacy._is_legacy_format_data() else legacy as reader:
    samples = list(reader)
seen["samples"] = len(samples)
seen["boxes"] = sum(len(one["patches"].detections) for one in samples)
seen["columns"] = sorted(samples[0].field_names)
seen["box"] = list(samples[0]["patches"].detections[0].bounding_box)
seen["cluster"] = samples[0]["patches"].detections[0]["cluster"]
with importers.FiftyOneImageDetectionDatasetImporter(folder, data_path="data.json") as reader:
    pairs = list(reader)
seen["simple samples"] = len(pairs)
seen["simple boxes"] = sum(len(label.detections) for _, _, label in pairs)
import os
seen["files"] = all(os.path.isfile(path) for path, *_ in pairs)
try:
    if sys.argv[2] == "mock":
        import mongoengine, mongomock, pymongo
        import fiftyone.core.odm.database as database
        client = mongomock.MongoClient()
        database._client = client
        database._connect = lambda: None
        database.get_db_conn = lambda: client["fiftyone"]
        mongoengine.connect("fiftyone", mongo_client_class=lambda *_, **__: client)
    import fiftyone as fo
    forms = {"FiftyOneDataset": {}, "FiftyOneImageDetectionDataset": {"data_path": "data.json"}}
    for kind, further in forms.items():
        dataset = fo.Dataset.from_dir(
            dataset_dir=folder, dataset_type=getattr(fo.types, kind), **further
        )
        seen[f"dataset {kind}"] = len(dataset)
except Exception as error:
    seen["no dataset"] = f"{type(error).__name__}: {str(error).strip()[:300]}"
print(json.dumps(seen))
"""


def _run(folder: Path) -> Path:
    """A run folder with patches of pictures, two of which differ in their suffix alone."""
    rng = np.random.default_rng(0)
    names = [f"a b/{number // 2}.{('png', 'jpg')[number % 2]}" for number in range(IMAGES)]
    rows = []
    for number, name in enumerate(names):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (80, 100, 3), dtype=np.uint8)).save(path)
        rows += [
            {"image_id": f"{number:016x}", "file_name": name, "label": "=<b>'\u202e"[: number % 5],
             "selection": "typical", "rank": rank, "left": 10 * rank, "top": 20,
             "right": 10 * rank + 24, "bottom": 44, "typicality": rank / 7, "cluster": rank - 1,
             "thumbnail": {"bytes": b"x", "path": name}, "width": 100, "height": 80,
             "year": 1900 + number, "id": "taken", "shelf mark": None if number else "A.1"}
            for rank in range(BOXES)
        ]  # fmt: skip
    run = folder / "runs" / "towns"
    run.mkdir(parents=True)
    write_parquet(pa.Table.from_pylist(rows), run / "patches.parquet")
    manifest = {"source": "../../images", "stages": {}, "config": {}}
    (run / "run.json").write_text(json.dumps(manifest))
    return run


def _asked(python: str, folder: Path, database: str) -> dict:
    found = subprocess.run(
        [python, "-c", READER, str(folder), database], capture_output=True, text=True, timeout=600
    )
    if found.returncode:
        raise RuntimeError(found.stderr[-3000:])
    return json.loads(found.stdout.strip().splitlines()[-1])


def run() -> Result:
    python = os.environ.get("TYPIKA_FIFTYONE")
    if not python:
        raise Skip("name the Python of an environment with FiftyOne in TYPIKA_FIFTYONE")
    figures, notes = [], []
    with tempfile.TemporaryDirectory() as place:
        made = _run(Path(place))
        for images in ("none", "copy"):
            folder = export_patches(made, "fiftyone", made / images, images=images)
            seen = _asked(python, folder, "own")
            if "no dataset" in seen:
                notes.append(f"Its own database, images {images}: {seen['no dataset']}")
                seen = _asked(python, folder, "mock")
            notes.append(f"Images {images}: `{json.dumps(seen, ensure_ascii=False)}`")
            right = {"samples": IMAGES, "boxes": IMAGES * BOXES, "simple samples": IMAGES,
                     "simple boxes": IMAGES * BOXES, "files": True}  # fmt: skip
            figures.append(_figure(f"read as written, images {images}",
                                   sum(seen[name] == value for name, value in right.items()),
                                   len(right)))  # fmt: skip
            opened = sum(value == IMAGES for name, value in seen.items()
                         if name.startswith("dataset "))  # fmt: skip
            figures.append(_figure(f"whole datasets opened, images {images}", opened, 2))
    return Result(figures=figures, notes=notes)


def _figure(name: str, value: int, target: int) -> Figure:
    return Figure(name=name, value=value, unit="", target=f">= {target}", met=value >= target)
