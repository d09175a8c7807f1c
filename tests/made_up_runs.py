"""Small made-up runs, as reports are made of."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from typika.report.records import Baseline, HeatMaps, LabelFacts, ReportInputs, RunFacts

LABELS = ("amber", "blue", "coral")
WIDTH, HEIGHT, SIDE = 120, 80, 24


def picture(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def patch_rows(label: str, number: int, sizes: Sequence[int], metadata: dict) -> list[dict]:
    """Patches of one label: `sizes` typical ones by cluster, then six of either control."""
    rng = np.random.default_rng(number)
    clusters = [c for c, size in enumerate(sizes) for _ in range(size)]
    kinds = ["typical"] * len(clusters) + ["random"] * 6 + ["negative"] * 6
    clusters += [-1] * 12
    rows = []
    for place, (kind, cluster) in enumerate(zip(kinds, clusters, strict=True)):
        image = f"{number}-{place // 2}"
        left, top = int(rng.integers(WIDTH - SIDE)), int(rng.integers(HEIGHT - SIDE))
        box = (left, top, left + SIDE, top + SIDE)
        score = {"typical": 0.9 - 0.1 * cluster, "random": 0.0, "negative": -0.4}[kind]
        whole = picture(1000 * number + place // 2)
        rows.append(
            {
                "image_id": image,
                "file_name": f"{number}/{place // 2}.jpg",
                "label": label,
                "selection": kind,
                "rank": place + 1,
                **dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
                "typicality": score + 0.01 * float(rng.random()),
                "error": 0.02,
                "typicality_null": score / 2,
                "evidence": score * 3,
                "cluster": cluster,
                "distance": float(rng.random()),
                "map_x": float(rng.random()),
                "map_y": float(rng.random()),
                "thumbnail": {"bytes": jpeg(whole.crop(box)), "path": "p.jpg"},
                **{name: value if place % 3 else None for name, value in metadata.items()},
            }
        )
    return rows


def make_inputs(
    labels: Sequence[str] = LABELS,
    sizes: Sequence[int] = (12, 20, 9),
    metadata: dict[str, Any] | None = None,
    **facts: Any,
) -> ReportInputs:
    """A run: labels, cluster sizes, metadata, further facts."""
    words = {"artist": "Ada É.", "year": 1912} if metadata is None else metadata
    rows = [row for n, x in enumerate(labels) for row in patch_rows(x, n, sizes, words)]
    ramp = np.linspace(-1, 1, 48, dtype=np.float32).reshape(6, 8)
    maps = HeatMaps(contrast=ramp, null=ramp + 0.1, evidence=-3 * ramp)
    return ReportInputs(
        patches=pa.Table.from_pylist(rows),
        clusters=pa.Table.from_pylist(
            [cluster_row(x, c, size) for x in labels for c, size in enumerate(sizes)]
        ),
        maps={(row["image_id"], row["label"]): maps for row in rows},
        images=lambda image_id: picture(_seed(image_id)),
        facts=run_facts(labels, **facts),
    )


def _seed(image_id: str) -> int:
    number, place = image_id.split("-")
    return 1000 * int(number) + int(place)


def cluster_row(label: str, cluster: int, size: int) -> dict:
    middle = 0.9 - 0.1 * cluster
    return {
        "label": label,
        "cluster": cluster,
        "rank": cluster + 1,
        "size": size,
        "typicality": middle,
        "low": middle - 0.03,
        "high": middle + 0.04,
        "n_images": (size + 1) // 2,
        "stability": 0.95 - 0.1 * cluster if cluster else None,
    }


def run_facts(labels: Sequence[str], **facts: Any) -> RunFacts:
    known: dict[str, Any] = {
        "title": "Colours",
        "version": "0.1.0",
        "model": "embedded: made up",
        "loss": "hybrid, gamma 0.1",
        "score": "against the other labels",
        "seed": 7,
        "prompts": {"label": "A {label} thing."},
        "timings": {"train": 61.0},
        "collection": tuple(
            LabelFacts(label=x, n_images=30, n_groups=28, width=120, height=80) for x in labels
        ),
        "skipped": {"unreadable": 2},
        "baselines": (Baseline(name="Held-out accuracy", value=0.91, note="chance 0.33"),),
    }
    return RunFacts(**(known | facts))
