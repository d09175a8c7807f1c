"""A model that learned from skewed pictures: does mining say what it overdraws and underdraws?

The small Stable Diffusion of `benchmarks/whole_path.py` learns on from scenes in which one kind of
element stands in nearly all and the other in nearly none; which is which differs between the
two labels. Real scenes show each kind in half. They are mined with that model as it is, it draws
as many, and both are compared. What a cluster shows is told by its real patches, whose boxes are
known; what the model really drew is told by a classifier that learned from renders.

It learns on too little yet: it draws what it should underdraw as often as before, and clusters of
no element, small and with wide intervals, stand first and last.

    WHOLE_PATH_FOLDER=FOLDER python -m benchmarks bias_trained    # starts from FOLDER/checkpoint
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import typika
from benchmarks import scenes, small_diffusion
from benchmarks.record import Figure, Result, at_least
from benchmarks.scenes import KINDS, LABELS, SIDE, Rates, Scene
from benchmarks.small_diffusion import SmallConfig
from benchmarks.whole_path import NOTHING, Bench, Judge, crop, settings
from typika import biases, workflow
from typika.collection.generated import spelled
from typika.tables import read_parquet

# Numbers of collections without a common scene, and their scenes of each label.
SKEWED, REAL = 11, 12
SCENES = {SKEWED: 400, REAL: 60}
MUCH, LITTLE = 0.95, 0.05  # shares of the scenes that the model learns on from
PAIR = LABELS[:2]
OVERDRAWN = dict(zip(PAIR, KINDS, strict=True))
LEARNS = SmallConfig(images=6_400, rate=7e-4, ema=0.99)
GUIDANCES, STEPS = (3.0,), 20  # of drawing; the first guidance is reported
PURE = 0.6  # share of a cluster's real patches that show a kind for it to be the kind's
LOOKED, STRIDE = 20, 4  # pixels of a box that the classifier looks at, and between two of them

RATES: dict[int, Rates] = {
    SKEWED: {label: {kind: MUCH if kind == OVERDRAWN[label] else LITTLE for kind in KINDS}
             for label in PAIR},
    REAL: {label: dict.fromkeys(KINDS, 0.5) for label in PAIR},
}  # fmt: skip


def learned_on(start: Path, folder: Path) -> Path:
    """The checkpoint that learned on from skewed scenes, trained unless it is there."""
    place = folder / "checkpoint"
    if not (place / small_diffusion.RECORD).exists():
        images = scenes.build(folder / "learned", SCENES[SKEWED], SKEWED, RATES[SKEWED])
        small_diffusion.train(images, place, LEARNS, start)
    return place


def compared(checkpoint: Path, folder: Path) -> typika.Bias:
    """Real scenes mined with the checkpoint, held against what it draws."""
    images = scenes.build(folder / "real", SCENES[REAL], REAL, RATES[REAL])
    run = workflow.advance(
        images, folder / "run", settings(checkpoint), last="score", device="cpu"
    )
    config = biases.configure(
        run, {"draw": {"images": SCENES[REAL], "guidance": list(GUIDANCES), "steps": STEPS}}
    )
    return biases.bias(run, out=folder / "bias", config=config, device="cpu")


# --- what clusters and pictures show ------------------------------------------------------------


def shown(found: typika.Bias) -> dict[tuple[str, int], str]:
    """The kind that most real patches of a cluster show; nothing for those with other patches."""
    seen: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for row in read_parquet(found.page.parent / "members.parquet").to_pylist():
        if row["origin"] == "real":
            scene = Scene.of(row["file_name"])
            kind = scene.shown((row["left"], row["top"], row["right"], row["bottom"]))
            there = kind in scene.standing(RATES[REAL][row["label"]])
            seen[row["label"], row["cluster"]][kind if there else ""] += 1
    kinds = {}
    for cluster, counts in seen.items():
        ((kind, count),) = counts.most_common(1)
        if kind and count >= PURE * counts.total():
            kinds[cluster] = kind
    return kinds


def holds(judge: Judge, picture: Image.Image) -> set[str]:
    """The kinds of which the classifier is nearly sure to see one somewhere in a picture."""
    places = range(0, SIDE - LOOKED + 1, STRIDE)
    boxes = [(left, top, left + LOOKED, top + LOOKED) for left in places for top in places]
    with torch.inference_mode():
        crops = torch.from_numpy(np.stack([crop(picture, box) for box in boxes]))
        sure = judge.network(crops).softmax(dim=1)[:, :NOTHING].amax(dim=0)
    by_kind = sure.reshape(len(KINDS), len(LABELS)).amax(dim=1)
    return {kind for kind, one in zip(KINDS, by_kind.tolist(), strict=True) if one > 0.95}


def shares(judge: Judge, pictures: Sequence[Path]) -> dict[str, float]:
    """In which share of pictures each kind stands."""
    seen = []
    for path in pictures:
        with Image.open(path) as picture:
            seen.append(holds(judge, picture.convert("RGB")))
    return {kind: float(np.mean([kind in one for one in seen])) for kind in KINDS}


# --- the benchmark ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ends:
    """The first and the last cluster of a label: what they show, and whether rightly there."""

    line: str
    right: tuple[bool, bool]  # overdrawn kind first, underdrawn kind last
    beyond: tuple[bool, bool]  # own interval beyond 0, on the right side

    @classmethod
    def of(cls, label: str, odds: Sequence[dict], kinds: dict[tuple[str, int], str]) -> Ends:
        """odds: the label's rows at one guidance, the log-odds at the first guidance falling."""
        rows = sorted(odds, key=lambda row: -row["log_odds"])
        first, last = rows[0], rows[-1]
        names = [kinds.get((label, row["cluster"]), "") for row in (first, last)]
        cells = [f"{name or 'no element'}: {row['log_odds']:+.2f} ({row['low']:+.2f} to "
                 f"{row['high']:+.2f}; widened {row['widened_low']:+.2f} to "
                 f"{row['widened_high']:+.2f}), {row['verdict']}"
                 for name, row in zip(names, (first, last), strict=True)]  # fmt: skip
        over = OVERDRAWN[label]
        return cls(
            line=f"{len(rows)} | {' | '.join(cells)}",
            right=(names[0] == over, names[1] not in ("", over)),
            beyond=(first["low"] > 0, last["high"] < 0),
        )


def measured(folder: Path, start: Path) -> Result:
    """Learn on, mine, draw, compare."""
    checkpoint = learned_on(start, folder)
    found = compared(checkpoint, folder)
    kinds, judge = shown(found), Judge.learned()
    real = {label: shares(judge, sorted((folder / "real" / label).iterdir())) for label in PAIR}
    drawn = read_parquet(folder / "bias" / "generated" / "metadata.parquet").to_pylist()
    lines, reported = [], []
    for guidance in dict.fromkeys(found.odds["guidance"].to_pylist()):
        for label in PAIR:
            odds = [row for row in found.odds.to_pylist()
                    if row["label"] == label and row["guidance"] == guidance]  # fmt: skip
            ends = Ends.of(label, odds, kinds)
            pictures = [folder / "bias" / "generated" / row["file_name"] for row in drawn
                        if row["label"] == label and str(row["guidance"]) == guidance]  # fmt: skip
            seen = shares(judge, pictures)
            stood = ", ".join(f"{kind} {real[label][kind]:.0%} and {seen[kind]:.0%}"
                              for kind in KINDS)  # fmt: skip
            lines.append(f"| {guidance} | {label} | {OVERDRAWN[label]} | {stood} | {ends.line} |")
            if guidance == spelled(GUIDANCES[0]):
                reported.append(ends)
    return Result(figures=_figures(reported), notes=(_intro(folder), "\n".join([HEAD, *lines])))


HEAD = (
    "| guidance | label | overdrawn | stands in real and in drawn pictures | clusters | first by "
    "log-odds | last |\n|---|---|---|---|---|---|---|"
)


def _figures(reported: Sequence[Ends]) -> tuple[Figure, ...]:
    first, last = (sum(one.right[end] for one in reported) for end in (0, 1))
    beyond = sum(sum(one.beyond) for one in reported)
    ends, labels = 2 * len(reported), len(reported)
    return (
        at_least("intervals_that_exclude_0", beyond, ends, f"of {ends} first and last clusters"),
        at_least("underdrawn_kind_is_last", last, labels, f"of {labels} labels"),
        at_least("overdrawn_kind_is_first", first, labels, f"of {labels} labels"),
    )


def _intro(folder: Path) -> str:
    seconds = small_diffusion.Trained.read(folder / "checkpoint").seconds
    return (
        f"Learned on from {len(PAIR) * SCENES[SKEWED]:,} scenes with the overdrawn kind in "
        f"{MUCH:.0%} and the other in {LITTLE:.0%} ({LEARNS.images:,} images seen, {seconds:.0f} "
        f"s); {len(PAIR) * SCENES[REAL]} real scenes with each kind in half, as many drawn at "
        f"each guidance in {STEPS} steps; figures are of guidance "
        f"{GUIDANCES[0]:g}. Log-odds with their own interval and the one widened for all "
        "clusters. Shares of pictures are what the classifier sees."
    )


def run() -> Result:
    kept = os.environ.get("WHOLE_PATH_FOLDER")
    with tempfile.TemporaryDirectory() as scratch:
        base = Bench(Path(kept or scratch))
        return measured(Path(kept or scratch) / "bias_trained", base.checkpoint)
