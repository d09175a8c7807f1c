"""Along a number: what fades in, what is there for a while, and nothing where it is dealt out."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from scipy.stats import spearmanr

from typika import config as settings
from typika.cli import main
from typika.collection.images import ImageCollection
from typika.diffusion.schedule import noise_design
from typika.errors import ConfigError
from typika.evaluation import overlap_share
from typika.mining import along as stages
from typika.mining.along import windows
from typika.trajectory import AlongConfig, AlongRun, along
from typika.workflow import recorded

N = 300
INTERVAL = (0.3, 0.5)  # of the axis, in which there are triangles
SMALL = {
    "model": {"sides": [96], "dimensions": 16, "width": 32, "blocks": 1, "least_steps": 150,
              "held_out": 0.4},
    "select": {"at_least": 8, "patch_size": 0.3},
    "cluster": {"n_starts": 6, "n_clusters": 12},
    "significance": {"permutations": 199},
}  # fmt: skip
TABLES = ("elements.parquet", "patches.parquet")
Place = tuple[int, int, int, int]


def draw(path: Path, number: int, place: float) -> dict[str, Place]:
    """A noisy picture; discs fade in along `place`, triangles stand in INTERVAL."""
    rng = np.random.default_rng([7, number])
    noise = rng.normal(128, 40, (80, 96, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(noise)
    pen = ImageDraw.Draw(image)
    shown = {}
    left, top = int(rng.integers(0, 72)), int(rng.integers(0, 56))
    if rng.random() < place:
        pen.ellipse([left, top, left + 22, top + 22], fill=(240, 60, 40))
        shown["disc"] = (left, top, left + 22, top + 22)
    left, top = int(rng.integers(0, 72)), int(rng.integers(0, 56))
    if INTERVAL[0] < place < INTERVAL[1]:
        pen.polygon(
            [(left, top + 22), (left + 11, top), (left + 22, top + 22)], fill=(40, 90, 240)
        )
        shown["triangle"] = (left, top, left + 22, top + 22)
    image.save(path, quality=90)
    return shown


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Place]]]:
    root = tmp_path_factory.mktemp("street")
    truth, rows = {}, [("file_name", "year", "side")]
    for number in range(N):
        place = float(np.random.default_rng([11, number]).random())
        name = f"{number:03d}.jpg"
        truth[name] = draw(root / name, number, place)
        rows.append((name, f"{1900 + 100 * place:.2f}", f"{(number * 37) % N}"))
    with (root / "metadata.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return root, truth


def small(**changes: dict) -> AlongConfig:
    return settings.build(AlongConfig, SMALL, changes)


@pytest.fixture(scope="module")
def run(street: tuple[Path, dict], tmp_path_factory: pytest.TempPathFactory) -> AlongRun:
    folder = tmp_path_factory.mktemp("runs") / "years"
    return along(street[0], "year", folder, config=small(), workers=1)


def purest(run: AlongRun, truth: dict, kind: str) -> dict:
    """The element that depends on the number and has most patches that show a kind."""
    shows: dict[int, list[bool]] = {}
    for row in run.patches.drop_columns(["thumbnail"]).to_pylist():
        box = (row["left"], row["top"], row["right"], row["bottom"])
        own = truth[row["file_name"]].get(kind)
        hit = own is not None and overlap_share(box, own) >= 0.5
        shows.setdefault(row["element"], []).append(hit)
    pure = [
        one
        for one in run.elements.to_pylist()
        if one["verdict"] == "significant" and np.mean(shows[one["element"]]) >= 0.8
    ]
    assert pure, f"no element of {kind}s"
    return max(pure, key=lambda one: one["size"])


def test_what_fades_in_is_found_along_the_axis(run: AlongRun, street: tuple) -> None:
    disc = purest(run, street[1], "disc")
    assert spearmanr(disc["share"], np.arange(len(disc["share"]))).statistic >= 0.9
    assert disc["more"] > 0
    assert spearmanr(disc["profile"], np.arange(len(disc["profile"]))).statistic >= 0.9


def test_what_is_there_for_a_while_is_found_in_its_place(run: AlongRun, street: tuple) -> None:
    triangle = purest(run, street[1], "triangle")
    assert 1930 < triangle["place"][0] < 1950
    assert triangle["start"] > 1925
    assert triangle["end"] < 1955
    places = np.arange(len(triangle["share"])) / 10 + 0.05
    inside = (places > INTERVAL[0]) & (places < INTERVAL[1])
    assert (
        min(np.array(triangle["share"])[inside]) > 0.3 > max(np.array(triangle["share"])[~inside])
    )


def test_elements_stand_in_the_order_of_the_axis(run: AlongRun, street: tuple) -> None:
    elements = [one for one in run.elements.to_pylist() if one["place"]]
    assert [one["place"] for one in elements] == sorted(one["place"] for one in elements)
    disc, triangle = (purest(run, street[1], kind) for kind in ("disc", "triangle"))
    assert triangle["place"] < disc["place"]


def test_the_page_is_whole(run: AlongRun) -> None:
    page = run.page.read_text()
    found = [one for one in run.elements.to_pylist() if one["verdict"] == "significant"]
    assert page.startswith("<!doctype html>")
    assert page.count("● depends on it. ") == len(found)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_dealt_out_numbers_have_no_elements(run: AlongRun, street: tuple, tmp_path: Path) -> None:
    config = small(condition={"shuffled": True})  # the images are taken over from the run
    dealt = along(run.folder, "year", tmp_path / "dealt", config=config, workers=1)
    assert "significant" not in dealt.elements["verdict"].to_pylist()
    assert "dealt out anew at random" in dealt.page.read_text()


def test_what_is_done_is_not_done_again(run: AlongRun, street: tuple) -> None:
    before = {name: (run.folder / name).stat().st_mtime_ns for name in TABLES}
    along(street[0], "year", run.folder, config=small(), workers=1)
    assert {name: (run.folder / name).stat().st_mtime_ns for name in TABLES} == before


def test_pairs_and_vectors_are_conditions_too(street: tuple, tmp_path: Path) -> None:
    """Discs stand where a vector points one way; a pair has but to run."""
    root = tmp_path / "sounds"
    root.mkdir()
    rows = []
    for number in range(80):
        loud = number % 2
        draw(root / f"{number}.jpg", number, 0.99 * loud)
        rng = np.random.default_rng([13, number])
        rows.append({"file_name": f"{number}.jpg", "north": float(number % 9), "east": float(loud),
                     "sound": [3.0 * loud, *rng.normal(size=5).tolist()]})  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), root / "metadata.parquet")
    quick = {"model": {"least_steps": 60}, "condition": {"anchors": 4}}
    found = along(root, "sound", tmp_path / "vector", config=small(**quick), workers=1)
    best = [one for one in found.elements.to_pylist() if one["verdict"] == "significant"]
    assert best
    assert any(one["place"][0] > 1.5 for one in best)
    again = along(found.folder, "sound", tmp_path / "again", config=small(**quick), workers=2)
    for name in TABLES:  # however many processes
        assert (again.folder / name).read_bytes() == (found.folder / name).read_bytes()
    pair = along(
        found.folder, ("north", "east"), tmp_path / "pair", config=small(**quick), workers=1
    )
    assert all(len(one["place"] or [0, 0]) == 2 for one in pair.elements.to_pylist())
    assert "as on a map" in pair.page.read_text()


def test_what_cannot_be_asked_is_told(street: tuple, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'yaer'"):
        along(street[0], "yaer", tmp_path / "a", config=small(), workers=1)
    others = small(score={"against": "others"})
    with pytest.raises(ConfigError, match=r"score\.against=null"):
        along(street[0], "year", tmp_path / "b", config=others)


def test_the_command_plans_and_runs(
    run: AlongRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["along", str(run.folder), "--condition", "year", "--set", "condition.anchors=3"]
    main([*asked, "--dry-run"])
    plan = tomllib.loads(capsys.readouterr().out)
    assert plan["condition"] == {"columns": ["year"], "anchors": 3, "shuffled": False}
    assert plan["model"]["sides"] == SMALL["model"]["sides"]  # the run's
    assert plan["collection"]["label"] == ""
    with pytest.raises(ConfigError, match="along a condition"):
        recorded(run.folder)


# ------------------------------------------------------------------------------------- the parts


def test_windows_are_all_runs_but_the_whole() -> None:
    found = windows(4, runs=True)
    assert found.shape == (4, 9)
    assert not found.all(axis=0).any()
    assert len({column.tobytes() for column in found.T}) == 9
    assert (windows(4, runs=False) == np.eye(4, dtype=bool)).all()


def test_the_map_at_an_anchor_is_the_profile_there(run: AlongRun, street: tuple) -> None:
    from typika.mining.pipeline import Mining
    from typika.run import Run

    mining = Mining(Run.read(run.folder), street[0], small(), workers=1)
    asked = stages.Along.open(mining, stages.ConditionConfig(columns=("year",)))
    store = mining.model.latents(N, run.folder)[0]
    (under,) = asked.model.denoisers(run.folder)
    design = noise_design("midpoints", 8, store.channels, 0, density=None, side=64)
    eye = np.eye(len(asked.anchors))
    ((both, _),) = stages.profiles(
        under(np.concatenate([eye[2:3], eye])), store.latent(0)[None], design, 8
    )
    np.testing.assert_allclose(both[0], both[3], rtol=1e-5, atol=1e-6)
    assert np.abs(both[0] - both[1]).max() > 1e-4


def test_numbers_are_dealt_out_whole(street: tuple) -> None:
    from typika.collection.conditions import read_condition

    collection = ImageCollection.open(street[0], label="")
    own = read_condition(collection, ("year",))
    dealt = stages._shuffled(own, 0)
    assert sorted(own.values[:, 0]) == sorted(dealt.values[:, 0])
    assert (own.values != dealt.values).mean() > 0.9


def test_the_package_offers_the_function() -> None:
    import typika

    assert typika.along is along
