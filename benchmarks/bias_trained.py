"""A model that learned from skewed pictures: does mining say what it overdraws and underdraws?

A small Stable Diffusion is trained from nothing on scenes of two labels, whose flags and signs
take a form that is the label's (`benchmarks/scenes.py`). Of the scenes that it learns from nearly
all have a flag and nearly none a sign; of the real ones half have each. The real ones are mined
with that model, it draws as many, and both are compared. What a cluster shows is told by its real
patches, whose boxes are known; what the model really drew is told by a classifier that learned
from renders.

Both labels are skewed alike, so that what tells them apart stays the form: a model that learned
that a kind stands under one label and not under another holds that kind untypical of the other,
and does not mine it there.

The result of 2026-11-22 is of an earlier form of this benchmark, at 64 pixels: a model of balanced
scenes that learned on from 6,400 skewed ones, clusters in the order of their log-odds.

    BIAS_TRAINED_FOLDER=FOLDER python -m benchmarks bias_trained    # keeps the checkpoint
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
from benchmarks.whole_path import NOTHING, Judge, crop, settings
from typika import biases, workflow
from typika.collection.generated import spelled
from typika.tables import read_parquet

# Numbers of collections without a common scene, and their scenes of each label.
SKEWED, REAL = 11, 12
SCENES = {SKEWED: 1_200, REAL: 120}
PAIR = LABELS[:2]
OVERDRAWN, UNDERDRAWN = KINDS
SHARES = {OVERDRAWN: 0.95, UNDERDRAWN: 0.05}  # of the scenes that the model learns from
DRAWN = 32  # pixels of a side at which the model learns, mines and draws; a third of the time
LEARNS = SmallConfig(resolution=DRAWN, images=40_000, autoencoder_images=12_000)
GUIDANCES, STEPS = (3.0,), 20  # of drawing; the first guidance is reported
PURE = 0.6  # share of a cluster's real patches that show a kind for it to be the kind's
LOOKED, STRIDE = 20, 4  # pixels of a box that the classifier looks at, and between two of them

RATES: dict[int, Rates] = {
    SKEWED: dict.fromkeys(PAIR, SHARES),
    REAL: {label: dict.fromkeys(KINDS, 0.5) for label in PAIR},
}


def learned(folder: Path) -> Path:
    """The checkpoint that learned from skewed scenes, trained unless it is there."""
    place = folder / "checkpoint"
    if not (place / small_diffusion.RECORD).exists():
        images = scenes.build(folder / "learned", SCENES[SKEWED], SKEWED, RATES[SKEWED])
        small_diffusion.train(images, place, LEARNS)
    return place


def compared(checkpoint: Path, folder: Path) -> typika.Bias:
    """Real scenes mined with the checkpoint, held against what it draws."""
    images = scenes.build(folder / "real", SCENES[REAL], REAL, RATES[REAL])
    run = workflow.advance(
        images, folder / "run", settings(checkpoint, DRAWN), last="score", device="cpu"
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
    """In which share of pictures each kind stands, all as blurred as what is drawn."""
    seen = []
    for path in pictures:
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize((DRAWN, DRAWN), Image.Resampling.LANCZOS)
        seen.append(holds(judge, small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    return {kind: float(np.mean([kind in one for one in seen])) for kind in KINDS}


# --- the benchmark ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ends:
    """The first and the last cluster of a label: what they show, and whether rightly there.

    The order is the report's, by the bound of the interval that is nearer to 0. by_estimate: what
    would be first and last by the log-odds themselves.
    """

    line: str
    right: tuple[bool, bool]  # overdrawn kind first, underdrawn kind last
    beyond: tuple[bool, bool]  # own interval beyond 0, on the right side
    by_estimate: tuple[bool, bool]

    @classmethod
    def of(cls, label: str, odds: Sequence[dict], kinds: dict[tuple[str, int], str]) -> Ends:
        """odds: the label's rows at one guidance, in the order of the table."""
        first, last = odds[0], odds[-1]
        estimated = sorted(odds, key=lambda row: -row["log_odds"])
        names, guessed = ([kinds.get((label, row["cluster"]), "") for row in (rows[0], rows[-1])]
                          for rows in (odds, estimated))  # fmt: skip
        cells = [f"{name or 'no element'}: {row['log_odds']:+.2f} ({row['low']:+.2f} to "
                 f"{row['high']:+.2f}; widened {row['widened_low']:+.2f} to "
                 f"{row['widened_high']:+.2f}), {row['verdict']}"
                 for name, row in zip(names, (first, last), strict=True)]  # fmt: skip
        right, by_estimate = ((own[0] == OVERDRAWN, own[1] == UNDERDRAWN)
                              for own in (names, guessed))  # fmt: skip
        return cls(
            line=f"{len(odds)} | {' | '.join(cells)}",
            right=right,
            beyond=(first["low"] > 0, last["high"] < 0),
            by_estimate=by_estimate,
        )


def measured(folder: Path) -> Result:
    """Learn, mine, draw, compare."""
    checkpoint = learned(folder)
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
            lines.append(f"| {guidance} | {label} | {stood} | {ends.line} |")
            if guidance == spelled(GUIDANCES[0]):
                reported.append(ends)
    estimated = sum(sum(one.by_estimate) for one in reported)
    last = (
        f"By the log-odds themselves, not the bound, {estimated} of {2 * len(reported)} ends are "
        "the kind that they should be."
    )
    return Result(
        figures=_figures(reported), notes=(_intro(folder), "\n".join([HEAD, *lines]), last)
    )


HEAD = (
    "| guidance | label | stands in real and in drawn pictures | clusters | first | last |\n"
    "|---|---|---|---|---|---|"
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
        f"Trained from nothing on {len(PAIR) * SCENES[SKEWED]:,} scenes of two labels, a "
        f"{OVERDRAWN} in {SHARES[OVERDRAWN]:.0%} of them and a {UNDERDRAWN} in "
        f"{SHARES[UNDERDRAWN]:.0%} ({LEARNS.images:,} images seen, {seconds:.0f} s); "
        f"{len(PAIR) * SCENES[REAL]} real scenes with each kind in half, as many drawn at each "
        f"guidance in {STEPS} steps; figures are of guidance {GUIDANCES[0]:g}. Clusters in the "
        "order of the report; log-odds with their own interval and the one widened for all "
        "clusters. Shares of pictures are what the classifier sees."
    )


def run() -> Result:
    kept = os.environ.get("BIAS_TRAINED_FOLDER")
    if kept:
        return measured(Path(kept))
    with tempfile.TemporaryDirectory() as scratch:
        return measured(Path(scratch))
