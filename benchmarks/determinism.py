"""Same seed, other workers, part sizes, and order of files: the same selected patches?"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import small
from benchmarks.record import Result, at_least
from typika import config
from typika.tables import read_parquet

COLUMNS = ["image_id", "label", "selection", "rank", "left", "top", "right", "bottom",
           "typicality", "cluster"]  # fmt: skip


def run() -> Result:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = small.collection(folder / "images")
        (folder / "small.toml").write_text(config.as_toml(small.recipe()))
        shuffled = folder / "shuffled"
        paths = sorted(images.rglob("*.jpg"))
        random.Random(1).shuffle(paths)
        for number, path in enumerate(paths):
            target = shuffled / path.parent.name / f"renamed-{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)

        def mine(out: str, source: Path, workers: int, part: int, threads: str) -> object:
            environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
            # The size of a part is the batch of images that a worker takes at a time.
            code = (
                "import typika.diffusion.latents as latents\n"
                f"latents.PART = {part}\n"
                "from typika.cli import main\n"
                "main()"
            )
            command = [sys.executable, "-c", code, "mine", str(source), "--recipe",
                       str(folder / "small.toml"), "--out", str(folder / out),
                       "--workers", str(workers)]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, env=environment)
            return read_parquet(folder / out / "patches.parquet", COLUMNS).to_pandas()

        reference = mine("reference", images, 1, 64, "1")
        others = {
            "2 workers": mine("workers", images, 2, 64, "1"),
            "2 threads": mine("threads", images, 1, 64, "2"),
            "batches of 8": mine("batches", images, 1, 8, "1"),
            "files renamed and in another order": mine("order", shuffled, 2, 64, "2"),
        }
        same = {name: bool(reference.equals(other)) for name, other in others.items()}
    note = "; ".join(f"{name}: {'same' if ok else 'different'}" for name, ok in same.items())
    figure = at_least("determinism", sum(same.values()), len(same), f"of {len(same)} variations")
    return Result(figures=(figure,), notes=(f"{note[0].upper()}{note[1:]}.",))
