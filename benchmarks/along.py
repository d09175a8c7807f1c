"""Elements along conditions that are not words, planted in the demo's postcards.

Years: stepped gables fade in from none in 1900 to most in 2000, onion turrets stand from 1930 to
1950 alone. The same with years dealt out at random. Sounds: each postcard has a rendered sound, a
low hum, a high bell or both in noise; its spectrum in bands is the condition, and harlequin
awnings hang where there is a bell. Each is one town without a label. Four tenths of the images
are kept to test on: of a fifth, a hundred, the gables' p-value was .44 where it is .01 now.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.stats import spearmanr

from benchmarks.record import Result, at_least, at_most
from typika import trajectory
from typika.collection._townscape import compose, paint, plant
from typika.config import build
from typika.evaluation import overlap_share
from typika.parallel import default_workers

N_IMAGES = 500
HELD_OUT = 0.4  # share of the images that nothing is learned from
RATE = 8000  # of a sound, samples a second
BANDS = 24
INTERVAL = (1930.0, 1950.0)
PURE, SHOWN = 0.6, 0.5  # as in the demo
HOLDING = ("significant", "suggestive")

Box = tuple[int, int, int, int]
Truth = Mapping[str, list[tuple[str, Box]]]


def postcard(rng: np.random.Generator, families: set[str]) -> tuple[np.ndarray, list]:
    """A scene in which some families' planted designs stand, one or two of each."""
    scene = compose(rng)
    plant(scene, "", rng)
    chosen = set()
    for family in sorted(families):
        places = [i for i, item in enumerate(scene.items)
                  if item.family == family and scene.view.holds(item)]  # fmt: skip
        chosen |= set(places[:2])
    painting = paint(scene, frozenset(chosen), 256, rng)
    return painting.pixels, [(one.item.family, one.box) for one in painting.planted
                             if one.visible >= 0.6]  # fmt: skip


def spectrum(rng: np.random.Generator, *, hum: bool, bell: bool) -> list[float]:
    """Half a second of sound as the logarithm of its power in bands."""
    time = np.arange(RATE // 2) / RATE
    sound = 0.3 * rng.normal(size=len(time))
    if hum:
        base = rng.uniform(70, 110)
        sound += sum(np.sin(2 * np.pi * base * k * time) / k for k in (1, 2, 3))
    if bell:
        pitch = rng.uniform(1400, 1900)
        fading = np.exp(-6 * time)
        sound += 2 * fading * sum(np.sin(2 * np.pi * pitch * k * time) for k in (1, 1.5, 2))
    power = np.abs(np.fft.rfft(sound)) ** 2
    edges = np.geomspace(4, len(power) - 1, BANDS + 1).astype(int)
    bands = [power[low : max(high, low + 1)].mean()
             for low, high in pairwise(edges)]  # fmt: skip
    return np.log(bands).tolist()


def render(folder: Path, seed: int) -> Truth:
    """Images with a year and a sound; where what is planted is."""
    folder.mkdir(parents=True)
    rows, truth = [], {}
    for number in range(N_IMAGES):
        rng = np.random.default_rng([seed, 97, number])
        year = rng.uniform(1900, 2000)
        hum, bell = rng.random(2) < 0.5
        families = {"awning"} if bell else set()
        if rng.random() < 0.9 * (year - 1900) / 100:
            families.add("roof")
        if INTERVAL[0] < year < INTERVAL[1]:
            families.add("turret")
        name = f"{number:05d}.jpg"
        pixels, truth[name] = postcard(rng, families)
        Image.fromarray(pixels).save(folder / name, "JPEG", quality=92)
        sound = spectrum(rng, hum=bool(hum), bell=bool(bell))
        rows.append({"file_name": name, "year": year, "sound": sound, "bell": int(bell)})
    pq.write_table(pa.Table.from_pylist(rows), folder / "metadata.parquet")
    return truth


def element_of(run: trajectory.AlongRun, truth: Truth, family: str) -> dict | None:
    """The largest element that depends on the condition and mostly shows a planted family."""
    shows: dict[int, list[bool]] = defaultdict(list)
    for row in run.patches.drop_columns(["thumbnail"]).to_pylist():
        box = (row["left"], row["top"], row["right"], row["bottom"])
        shows[row["element"]].append(
            any(name == family and overlap_share(box, own) >= SHOWN
                for name, own in truth[row["file_name"]])
        )  # fmt: skip
    found = [one for one in run.elements.to_pylist()
             if one["verdict"] in HOLDING and np.mean(shows[one["element"]]) >= PURE]  # fmt: skip
    return max(found, key=lambda one: one["size"], default=None)


def correlation(found: dict | None, truth: np.ndarray) -> float:
    """Rank correlation of the shares along the axis with what was planted; 0 where not found."""
    return float(spearmanr(found["share"], truth).statistic) if found else 0.0


def run() -> Result:
    """One collection, mined along its years, along years dealt out, and along its sounds."""
    workers = default_workers()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = render(folder / "street", 0)
        config = build(trajectory.AlongConfig, {"model": {"held_out": HELD_OUT}})
        years = trajectory.along(
            folder / "street", "year", folder / "years", workers=workers, config=config
        )
        dealt = trajectory.along(
            folder / "years", "year", folder / "dealt", workers=workers,
            config=build(
                trajectory.AlongConfig,
                {"model": {"held_out": HELD_OUT}, "condition": {"shuffled": True}},
            ),
        )  # fmt: skip
        sounds = trajectory.along(
            folder / "street", "sound", folder / "sounds", workers=workers, config=config
        )
        gable, turret = (element_of(years, truth, family) for family in ("roof", "turret"))
        awning = element_of(sounds, truth, "awning")
        by_chance = sum(one == "significant" for one in dealt.elements["verdict"].to_pylist())
    # Ten stretches: how far the middle of each lies from the interval is the order planted.
    middles = np.arange(5, 100, 10) + 1900.0
    away = -np.maximum(np.abs(middles - np.mean(INTERVAL)) - 10, 0)
    peak = abs(turret["place"][0] - np.mean(INTERVAL)) if turret else np.inf
    inside = [middle in INTERVAL or INTERVAL[0] < middle < INTERVAL[1] for middle in middles]
    shares = np.array(turret["share"]) if turret else np.zeros(len(middles))
    apart = float(shares[inside].min() > shares[~np.array(inside)].max())
    return Result(
        figures=(
            at_most("elements_along_years_dealt_out", by_chance, 0, "elements"),
            at_least("awnings_found_along_sounds", float(awning is not None), 1, "of 1"),
            at_most("turrets_off_their_place", float(peak), 10, "years"),
            at_least("turrets_in_their_interval_first", apart, 1, "of 1"),
            at_least("gables_along_years_rank_correlation",
                     correlation(gable, np.arange(len(middles))), 0.9, "Spearman"),
        ),
        notes=(f"Turrets against distance from their interval, ties and all: Spearman "
               f"{correlation(turret, away):.2f}.",),
    )  # fmt: skip
