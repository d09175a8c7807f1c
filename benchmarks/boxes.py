"""Post-processing of one 512 x 756 map to five boxes on one thread, against brute force."""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks.record import Result, at_least, at_most
from typika.mining import patches

HEIGHT, WIDTH, SIDE, COUNT = 512, 756, 64, 5


def brute_force(values: np.ndarray) -> list[tuple[int, int]]:
    """The published procedure: pool, sort every position, take the best, drop what touches it."""
    import torch

    pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(values)[None, None], SIDE, 1)[0, 0]
    width = pooled.shape[1]
    taken: list[tuple[int, int]] = []
    for place in torch.argsort(pooled.ravel(), descending=True, stable=True).tolist():
        top, left = divmod(place, width)
        if all(abs(top - t) > SIDE or abs(left - other) > SIDE for t, other in taken):
            taken.append((top, left))
            if len(taken) == COUNT:
                break
    return taken


def run() -> Result:
    from typika.parallel import one_thread

    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(64, 94)) for _ in range(20)]
    seconds, same = [], 0
    with one_thread():
        for number, coarse in enumerate(maps):
            started = time.perf_counter()
            values = patches.upsample(coarse, HEIGHT, WIDTH)
            boxes = patches.best_boxes(values, SIDE, COUNT)
            seconds.append(time.perf_counter() - started)
            if number < 4:
                found = list(zip(boxes.top.tolist(), boxes.left.tolist(), strict=True))
                same += found == brute_force(values)
    return Result(
        figures=(
            at_least("boxes-equal-to-brute-force", same, 4, "of 4 maps"),
            at_most("boxes", statistics.median(seconds) * 1000, 20, "ms"),
        )
    )
