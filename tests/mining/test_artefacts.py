"""Badges: places, what survives, and the judgement over both."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from pictures import draw_photo
from typika import config as settings
from typika import workflow
from typika.diffusion.schedule import noise_design
from typika.errors import ConfigError
from typika.evaluation import Estimate
from typika.mining import artefacts, confounds, trials
from typika.mining.artefacts import (
    BADGES,
    ArtefactConfig,
    Cluster,
    Evidence,
    Places,
    at_one_place,
    badges,
    different,
    judge,
    reference,
    share,
    survival,
    touching_a_side,
    undecided,
)
from typika.mining.pipeline import Mining
from typika.mining.scores import ScoredMaps
from typika.run import Run
from typika.tables import read_parquet
from typika.workflow import MineConfig


def places_at(x: np.ndarray, y: np.ndarray, side: float = 40, unit=None) -> Places:
    """Boxes of images of 200 x 100 px, by their left and top corners."""
    corners = np.stack([x, y, x + side, y + side], axis=1).astype(float)
    size = np.tile([200.0, 100.0], (len(corners), 1))
    return Places(corners, size, np.arange(len(corners)) if unit is None else unit)


def scattered(rng: np.random.Generator, n: int = 60) -> Places:
    return places_at(rng.uniform(5, 155, n), rng.uniform(5, 55, n))


# --- statistics ---------------------------------------------------------------------------------


def test_a_share_has_wilsons_interval():
    found = share(np.array([True] * 10))
    assert_allclose((found.low, found.high), (1 / (1 + 1.96**2 / 10), 1))
    found = share(np.array([True, False] * 8))
    assert_allclose(found.low + found.high, 1)


def test_survival_is_a_ratio_of_sums(rng):
    before = rng.random(9) + 0.1
    fades = survival(before, 0.4 * before, rng=rng)
    assert fades is not None
    assert_allclose((fades.value, fades.low, fades.high), 0.4)
    faint = np.append(before, 1e-9)  # a patch without typicality decides nothing
    found = survival(faint, np.append(before, 1.0e-6), rng=rng)
    assert found is not None
    assert found.value == pytest.approx(1, rel=1e-4)
    assert survival(before[:3], before[:3], rng=rng) is None
    assert survival(-before, before, rng=rng) is None


def test_what_others_keep_stays_within_reason():
    def of(*values: float) -> float:
        return reference([Estimate(value, 0.0, 1.0) for value in values])

    assert of(0.6, 0.7, 3.0) == 0.7
    assert of(-2.0, -1.0, 0.1) == 0.5
    assert of(2.0, 3.0, 4.0) == 1
    assert of() == 1


def test_images_that_look_different_are_told(rng):
    own, others = rng.normal(size=(30, 2)), rng.normal(size=(200, 2))
    assert different(own, others).low < 0.6
    assert different(own - [0, 3], others).low > 0.9  # lower is as different as higher


# --- places -------------------------------------------------------------------------------------


def test_patches_at_the_border_touch_it(rng):
    assert touching_a_side(scattered(rng)).value == 0
    edge = places_at(np.where(np.arange(50) < 25, 0, 160), rng.uniform(10, 50, 50))
    assert touching_a_side(edge).value == 1
    assert_allclose(edge.touching().mean(axis=0), [0.5, 0, 0.5, 0])


def test_one_place_is_tight_in_both_directions(rng):
    jitter = rng.uniform(-2, 2, (2, 40))
    mark = places_at(150 + jitter[0], 40 + jitter[1])
    there, chance = at_one_place(mark, scattered(rng))
    assert there.value == 1
    assert chance < 0.1
    doors = places_at(rng.uniform(5, 155, 40), 40 + jitter[1])  # at the ground, anywhere along it
    assert at_one_place(doors, scattered(rng))[0].value < 0.3
    # Of images that repeat one another one counts.
    unit = np.append(np.zeros(39, int), 1)
    x = np.append(np.full(39, 150.0), 20)
    assert at_one_place(places_at(x, np.full(40, 40.0), unit=unit), mark)[0].value == 0.5


# --- trials -------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4))
def test_chosen_images_cover_the_clusters(seed, most, wanted):
    rng = np.random.default_rng(seed)
    cluster, row = rng.integers(0, 4, 60), rng.integers(0, 20, 60)
    rank = np.zeros(60, int)
    for one in range(4):
        rank[cluster == one] = np.arange((cluster == one).sum())
    chosen = trials.covering(cluster, rank, row, most, wanted)
    assert len(chosen) == len(set(chosen)) <= most
    held = np.bincount(cluster[np.isin(row, chosen)], minlength=4)
    everything = np.bincount(cluster, minlength=4)
    if len(chosen) < most:
        assert (held >= np.minimum(wanted, everything)).all()
    assert trials.covering(cluster, rank, row, most, wanted) == chosen


def test_central_patches_come_first():
    cluster, rank, row = np.zeros(5, int), np.arange(5), np.array([4, 3, 2, 1, 0])
    assert trials.covering(cluster, rank, row, most=2, wanted=2) == [3, 4]


def test_bands_are_thirds_from_fine_to_coarse():
    assert trials.noise_bands(np.array([-5.0, -3.0, -1.0, 1.0])).tolist() == [2, 1, 1, 0]
    assert np.bincount(trials.noise_bands(np.linspace(1, 0, 9))).tolist() == [3, 3, 3]


def test_parts_of_a_design_share_its_noise():
    design = noise_design("midpoints", 8, 3, seed=0, side=4)
    part = trials.part_of(design, np.array([2]))
    assert part.n_units == 1
    torch.testing.assert_close(part.noise(4, 4)[0], design.noise(4, 4)[2])
    torch.testing.assert_close(part.quantile[0], design.quantile[2])


def test_the_mean_of_a_box_weighs_cells_by_overlap():
    grid = np.arange(8.0).reshape(2, 4)
    size = np.array([400.0, 200.0])
    assert trials.box_mean(grid, np.array([0.0, 0.0, 400.0, 200.0]), size) == grid.mean()
    assert trials.box_mean(grid, np.array([100.0, 100.0, 200.0, 200.0]), size) == grid[1, 1]
    assert trials.box_mean(grid, np.array([50.0, 0.0, 150.0, 100.0]), size) == 0.5


# --- judgement ----------------------------------------------------------------------------------

KEPT, DEAD = Estimate(0.9, 0.8, 1.0), Estimate(0.05, -0.1, 0.1)


def evidence(rng, places: Places, follows=None, number: int = 0, **left: Estimate) -> Evidence:
    names = {"re_encoding": "re-encoding", "coarser": artefacts.COARSER}
    known = {"re-encoding": KEPT, artefacts.COARSER: KEPT}
    known |= {names.get(name, name): value for name, value in left.items()}
    cluster = Cluster("a", number, np.arange(len(places.unit)), places)
    return Evidence(cluster, scattered(rng), follows or {}, known)


def given_to(table: pa.Table, cluster: int = 0) -> set[str]:
    return {
        row["badge"] for row in table.to_pylist() if row["given"] and row["cluster"] == cluster
    }


def test_an_element_gets_no_badge(rng):
    table = judge([evidence(rng, scattered(rng))])
    assert table.schema == BADGES
    assert set(table["badge"].to_pylist()) == {
        "border", "fixed place", "re-encoding", "finest noise"
    }  # fmt: skip
    assert given_to(table) == set()


def test_a_border_is_one_if_what_is_typical_lies_in_it(rng):
    edge = places_at(np.zeros(50), rng.uniform(10, 50, 50))
    assert given_to(judge([evidence(rng, edge, border=DEAD)])) == {"border"}
    # A bench that stands at the lower edge outlives the painting over of the outermost strip.
    bench = judge([evidence(rng, edge, border=KEPT)])
    assert given_to(bench) == set()
    assert "90% (95 % 80% to 100%) of the typicality is left" in bench["evidence"][0].as_py()
    assert given_to(judge([evidence(rng, edge)])) == {"border"}  # places alone, all of them


def test_a_watermark_is_told_by_its_place(rng):
    mark = places_at(np.full(30, 150.0), np.full(30, 40.0))
    assert given_to(judge([evidence(rng, mark)])) == {"fixed place"}
    few = places_at(np.full(6, 150.0), np.full(6, 40.0))
    assert given_to(judge([evidence(rng, few)])) == set()


def test_what_dies_is_held_against_what_others_keep(rng):
    elements = [evidence(rng, scattered(rng), number=number) for number in range(1, 6)]
    dies = evidence(rng, scattered(rng), re_encoding=DEAD, coarser=DEAD)
    assert given_to(judge([dies, *elements])) == {"re-encoding", "finest noise"}
    half = evidence(rng, scattered(rng), re_encoding=Estimate(0.4, 0.3, 0.5))
    assert given_to(judge([half, *elements])) == set()  # a subtle element
    # Where all others fade, fading as much is no mark.
    faint = [evidence(rng, scattered(rng), number=n, re_encoding=Estimate(0.6, 0.5, 0.7))
             for n in range(1, 6)]  # fmt: skip
    quarter = evidence(rng, scattered(rng), re_encoding=Estimate(0.22, 0.2, 0.25))
    assert given_to(judge([quarter, *elements])) == {"re-encoding"}
    assert given_to(judge([quarter, *faint])) == set()
    row = next(r for r in judge([dies, *elements]).to_pylist() if r["badge"] == "re-encoding")
    assert row["threshold"] == pytest.approx(0.3 * 0.9)
    assert row["evidence"].startswith("5% (95 % 0% to 10%) of the typicality is left")
    assert row["evidence"].endswith("the median cluster keeps 90%.")


def test_a_tint_needs_images_that_look_different(rng):
    clear, unclear = Estimate(0.8, 0.7, 0.9), Estimate(0.7, 0.5, 0.9)
    found = evidence(rng, scattered(rng), {"tint": clear, "brightness": clear}, tint=DEAD,
                     brightness=KEPT)  # fmt: skip
    assert given_to(judge([found])) == {"tint"}
    by_chance = evidence(rng, scattered(rng), {"tint": unclear}, tint=DEAD)
    assert given_to(judge([by_chance])) == set()


def test_what_is_unclear_on_few_patches_is_looked_at_again(rng):
    clear = Estimate(0.8, 0.7, 0.9)
    wide, fades = Estimate(0.4, 0.2, 0.6), Estimate(0.2, 0.1, 0.3)
    found = [evidence(rng, scattered(rng), {"tint": clear}, number=number, tint=left)
             for number, left in enumerate((KEPT, wide, DEAD, fades))]  # fmt: skip
    assert undecided(judge(found), [one.cluster for one in found]) == [1]


# --- a whole run --------------------------------------------------------------------------------

SMALL = {
    "model": {"sides": [64, 96], "dimensions": 16, "width": 16, "blocks": 1, "epochs": 4.0,
              "least_steps": 12},
    "rival": {"width": 16, "epochs": 4.0, "least_steps": 12},
    "select": {"at_least": 20, "controls": 4, "patch_size": 0.3},
    "cluster": {"n_clusters": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("collection") / "photos"
    for label, name in enumerate(("discs", "triangles")):
        for number in range(12):
            draw_photo(root / name / f"{number:02d}.jpg", label, number)
    folder = tmp_path_factory.mktemp("runs") / "run"
    workflow.advance(root, folder, settings.build(MineConfig, SMALL), last="cluster", workers=1)
    return folder


def mining_of(folder: Path, workers: int) -> Mining:
    source, config = workflow.recorded(folder)
    return Mining(Run.read(folder), source, config, workers)


def tables(folder: Path) -> list[pa.Table]:
    return [read_parquet(folder / f"{name}.parquet") for name in ("patches", "clusters")]


@pytest.mark.slow
def test_badges_do_not_depend_on_workers(run):
    mining = mining_of(run, 1)
    config = ArtefactConfig(images=8, clusters=2)
    found = badges(mining, mining.collection, *tables(run), config)
    assert found.schema == BADGES
    assert set(found["label"].to_pylist()) == {"discs", "triangles"}
    assert {"border", "fixed place", "re-encoding"} <= set(found["badge"].to_pylist())
    other = mining_of(run, 2)
    assert found == badges(other, other.collection, *tables(run), config)
    bare = badges(mining, mining.collection, *tables(run), ArtefactConfig(images=0))
    assert set(bare["badge"].to_pylist()) == {"border", "fixed place"}
    none = badges(mining, mining.collection, *tables(run), ArtefactConfig(clusters=0))
    assert none == BADGES.empty_table()


def test_bands_add_up_to_the_map_that_ranked(run):
    mining = mining_of(run, 1)
    looks, _ = artefacts._looks(mining, mining.collection, [])
    common = artefacts.common_look(list(looks.values()))
    maps = trials.scored_again(mining, mining.collection, common, [trials.Job(5, ())])[5]
    stored = ScoredMaps(run)[5]["null"]
    assert_allclose(sum(maps[name] for name in trials.BANDS), stored, atol=1e-5)


def test_content_is_measured_on_images_held_out(run):
    mining = mining_of(run, 1)
    found = confounds.content_auc(mining, mining.collection)
    assert len(found) == 2
    assert all(value is not None and 0 <= value <= 1 for value in found)


def test_a_mask_keeps_patches_away_and_only_its_content_counts(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    source, _ = workflow.recorded(run)
    (tmp_path / "one.csv").write_text("file_name,x,y,width,height\n*,0,0,30,400\n")
    shutil.copy(tmp_path / "one.csv", tmp_path / "two.csv")

    def select(mask: str) -> tuple[pa.Table, str]:
        values = {**SMALL, "select": {**SMALL["select"], "mask": mask}}
        config = settings.build(MineConfig, values)
        folder = tmp_path / "run"
        done = workflow.advance(source, folder, config, last="select", workers=1, overwrite=True)
        causes = Run.read(folder).manifest["stages"]["select"]["digest"]
        return read_parquet(done.folder / "selected.parquet"), causes

    free, before = select("")
    assert select("artefacts") == (free, before)  # which hides, and forbids no place
    masked, after = select(str(tmp_path / "one.csv"))
    assert free["left"].to_numpy().min() < 30 <= masked["left"].to_numpy().min()
    assert set(masked["selection"].to_pylist()) == {"typical", "random", "negative"}
    assert select(str(tmp_path / "two.csv"))[1] == after
    with pytest.raises(ConfigError, match="no image of discs has room"):
        select("border=0.4")


def test_settings_are_checked():
    for bad in ({"images": -1}, {"clusters": -1}, {"members": 0}):
        with pytest.raises(ConfigError, match="images="):
            ArtefactConfig(**bad)
