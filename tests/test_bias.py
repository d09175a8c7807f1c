"""`typika bias`: rendered scenes that are skewed, and a tiny Stable Diffusion that draws."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import drawn_scenes
import tiny_diffusion
import typika
from drawn_scenes import LABELS, RATES, SKEWED
from parallel_scenes import Scene
from pictures import draw_photo
from typika import biases, workflow
from typika.cli import main
from typika.collection.generated import drawn_path, in_order, read_generated
from typika.errors import ConfigError, DataError
from typika.mining import bias_stage
from typika.tables import read_parquet

SETTINGS = {
    "model": {"sides": [256], "least_steps": 60, "most_steps": 60},
    "rival": {"width": 16, "least_steps": 5, "most_steps": 5},
    "score": {"n_others": 0, "n_draws": 4},
    "select": {"per_image": 3, "share": 0.8, "at_least": 1},
    "cluster": {"n_starts": 6},
    "confounds": {"n_trees": 8},
}
SIDES = ("left", "top", "right", "bottom")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of two labels in which each kind of element stands by a coin, scored."""
    root = tmp_path_factory.mktemp("scenes")
    images = drawn_scenes.build(root / "images", range(16), RATES)
    workflow.advance(images, root / "run", workflow.configure(SETTINGS), last="score", workers=1)
    return root / "run"


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows nearly always, lamps by a coin, doors never."""
    return drawn_scenes.build(tmp_path_factory.mktemp("skewed"), range(100, 116), SKEWED)


@pytest.fixture(scope="module")
def found(run: Path, skewed: Path, tmp_path_factory: pytest.TempPathFactory) -> typika.Bias:
    return typika.bias(run, skewed, tmp_path_factory.mktemp("bias") / "b", workers=1)


def kind(found: typika.Bias, label: str, cluster: int) -> str:
    """What most patches of a cluster show."""
    members = read_parquet(found.page.parent / "members.parquet").to_pylist()
    shown = [
        Scene((LABELS.index(label), int(Path(row["file_name"]).stem))).shown(
            tuple(row[side] for side in SIDES)
        )
        for row in members
        if (row["label"], row["cluster"]) == (label, cluster)
    ]
    return max(set(shown), key=shown.count)


def test_what_is_skewed_comes_first_and_last(found: typika.Bias) -> None:
    for label in LABELS:
        own = [row for row in found.odds.to_pylist() if row["label"] == label]
        assert kind(found, label, own[-1]["cluster"]) == "door"
        assert own[-1]["verdict"] == "never drawn"
        best = max(own, key=lambda row: row["n_generated"])
        assert kind(found, label, best["cluster"]) == "window"
        assert best["low"] > 0


def test_images_are_counted_and_not_patches(run: Path, found: typika.Bias) -> None:
    members = read_parquet(found.page.parent / "members.parquet").to_pandas()
    for row in found.odds.to_pylist():
        own = members[(members["label"] == row["label"]) & (members["cluster"] == row["cluster"])]
        images = own.groupby("origin")["image_id"].nunique()
        assert images.get("real", 0) == row["n_real"]
        assert images.get("generated", 0) == row["n_generated"]
        assert (row["of_real"], row["of_generated"]) == (16, 16)


def test_clusters_stand_by_the_bound_that_is_nearer_to_zero(found: typika.Bias) -> None:
    odds = found.odds.to_pandas()
    odds["sure"] = odds["low"].clip(lower=0) + odds["high"].clip(upper=0)
    assert odds.groupby("label")["sure"].apply(lambda one: one.is_monotonic_decreasing).all()
    assert (odds["sure"] != 0).any()


@pytest.mark.slow
def test_generated_images_are_scored_as_the_real_ones(run: Path, tmp_path: Path) -> None:
    """The run's own images given as generated ones: the same patches, and nothing to call."""
    images = workflow.recorded(run)[0]
    found = typika.bias(run, images, tmp_path / "b", workers=1)
    assert set(found.odds["verdict"].to_pylist()) == {"not shown"}
    assert set(found.odds["log_odds"].to_pylist()) == {0.0}
    assert found.coverage["coverage"].to_pylist() == [1.0, 1.0]
    for by in ("patches", "look"):
        low = [row["low"] for row in found.told_apart.to_pylist() if row["by"] == by]
        assert max(low) < 0.5


def test_the_page_stands_alone(found: typika.Bias) -> None:
    text = found.page.read_text(encoding="utf-8")
    assert "http-equiv" in text
    assert "http:" not in text
    assert "https:" not in text
    assert "<script" not in text
    assert text.count("alt=") == text.count("<img ") > 0
    assert text.count('role="img" aria-label="Odds of generated') == len(LABELS)


def test_columns_of_guidance_are_swept(run: Path, skewed: Path, tmp_path: Path) -> None:
    """A guidance that is no number, and would be markup and a formula, is text."""
    hostile = "=<script>alert(1)</script>"
    rows = [(f"{label}/{number:03d}.png", label, guidance)
            for label in LABELS
            for number, guidance in enumerate((hostile, "7.5"), 100)]  # fmt: skip
    for name, _, _ in rows:
        (tmp_path / "g" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "g" / name).hardlink_to(skewed / name)
    with (tmp_path / "g" / "metadata.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("file_name", "label", "guidance"), *rows])
    found = typika.bias(run, tmp_path / "g", tmp_path / "b", workers=1)
    sweep = list(dict.fromkeys(found.odds["guidance"].to_pylist()))
    assert sweep[0] == "7.5"  # as in the settings
    assert sweep[1:] == [hostile]
    text = found.page.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "=&lt;script&gt;" in text
    assert "'=<script>" in (tmp_path / "b" / "odds.csv").read_text(encoding="utf-8")


def test_a_label_that_lacks_a_guidance_is_named(run: Path, skewed: Path, tmp_path: Path) -> None:
    rows = [("a.png", LABELS[0], "3"), ("b.png", LABELS[1], "3"), ("c.png", LABELS[1], "5")]
    for (name, label, _), number in zip(rows, (100, 100, 101), strict=True):
        (tmp_path / name).hardlink_to(skewed / label / f"{number}.png")
    with (tmp_path / "metadata.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("file_name", "label", "guidance"), *rows])
    with pytest.raises(DataError, match="no image of 'east' at guidance '5'"):
        read_generated(tmp_path, LABELS, 1)


class Killed(BaseException):
    """As sudden as a kill."""


@pytest.mark.slow
def test_a_killed_call_ends_the_same(
    run: Path, skewed: Path, found: typika.Bias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise Killed

    for name in ("score_generated", "compare"):
        with monkeypatch.context() as patch:
            patch.setattr(bias_stage, name, dying)
            with pytest.raises(Killed):
                typika.bias(run, skewed, tmp_path / "b", workers=1)
    typika.bias(run, skewed, tmp_path / "b", workers=1)
    for name in (*bias_stage.TABLES, "collection"):
        one, two = (folder / f"{name}.parquet" for folder in (tmp_path / "b", found.page.parent))
        assert one.read_bytes() == two.read_bytes()


def test_the_same_call_does_nothing_twice(
    run: Path, skewed: Path, found: typika.Bias, capsys: pytest.CaptureFixture[str]
) -> None:
    before = found.page.read_bytes()
    main(["bias", str(run), "--generated", str(skewed), "--out", str(found.page.parent),
          "--workers", "1"])  # fmt: skip
    said = capsys.readouterr()
    assert said.err.count("already done") == 6
    assert said.out.strip() == str(found.page)
    assert found.page.read_bytes() == before


def test_a_model_that_cannot_draw_names_both_ways(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"pass --generated FOLDER .* --model CHECKPOINT"):
        typika.bias(run)
    assert not (run / "bias").exists()


def test_a_folder_that_is_not_there_is_named_before_anything_is_made(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="nowhere"):
        typika.bias(run, tmp_path / "nowhere", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_labels_that_do_not_fit_are_named(run: Path, skewed: Path, tmp_path: Path) -> None:
    for case, labels, message in (
        ("more", (*LABELS, "elsewhere"), "'elsewhere' is not one of the run, which has east"),
        ("fewer", (LABELS[0], "elsewhere"), "'elsewhere' is not one of the run"),
    ):
        for label in labels:
            (tmp_path / case / label).mkdir(parents=True)
            name = f"{LABELS[0] if label == 'elsewhere' else label}/101.png"
            (tmp_path / case / label / "1.png").hardlink_to(skewed / name)
        with pytest.raises(DataError, match=message):
            typika.bias(run, tmp_path / case, tmp_path / f"out-{case}", workers=1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("draw.images=0", "images=0: need at least 1"),
        ("draw.steps=1000", "1000 steps: need 1 to 999"),
        ("draw.guidance=[3, 3.0]", "names one twice"),
        ("draw.guidance=[]", "need one or more numbers"),
        ("alpha=2", "alpha"),
        ("stile=kept", "stile: unknown setting; did you mean style"),
    ],
)
def test_bad_settings_are_named(
    run: Path, setting: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["bias", str(run), "--generated", "x", "--set", setting])
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_guidances_come_in_the_order_of_the_settings() -> None:
    assert in_order(["1", "10", "2", "7.5", "2"], (7.5, 3.0, 1.0)) == ["7.5", "1", "2", "10"]


# --- a model that draws -------------------------------------------------------------------------

DRAW = {"draw": {"images": 2, "guidance": [2.0, 1.0], "steps": 2}}


@pytest.fixture(scope="module")
def able(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run of a tiny Stable Diffusion, trained no further than it was."""
    root = tmp_path_factory.mktemp("able")
    for label, name in enumerate(("discs", "triangles")):
        for number in range(3):
            draw_photo(root / "images" / name / f"{number:02d}.jpg", label, number)
    config = workflow.configure(tiny_diffusion.settings(tiny, finetune="none"))
    workflow.advance(root / "images", root / "run", config, last="score", workers=1, device="cpu")
    return root / "run"


def draw(able: Path, out: Path, **more: object) -> biases.Work:
    """Draw, and nothing else."""
    config = biases.configure(able, {"draw": {**DRAW["draw"], **more}})
    work = biases.Work.of(able, None, out, config, 1, "cpu")
    work.draw()
    return work


def pixels(work: biases.Work, label: str, guidance: float, number: int) -> np.ndarray:
    with Image.open(drawn_path(work.out / "generated", label, guidance, number)) as image:
        return np.asarray(image, dtype=int)


@pytest.fixture(scope="module")
def drawn(able: Path, tmp_path_factory: pytest.TempPathFactory) -> typika.Bias:
    config = biases.configure(able, DRAW)
    out = tmp_path_factory.mktemp("drawn") / "b"
    return typika.bias(able, out=out, config=config, workers=1, device="cpu")


def test_a_model_that_draws_goes_all_the_way(drawn: typika.Bias) -> None:
    assert len(list((drawn.page.parent / "generated").rglob("*.png"))) == 2 * 2 * 2
    assert list(dict.fromkeys(drawn.odds["guidance"].to_pylist())) == ["2", "1"]
    assert set(drawn.odds["of_generated"].to_pylist()) == {2}
    assert "sweep" in drawn.page.read_text(encoding="utf-8")
    table = read_parquet(drawn.page.parent / "collection.parquet")
    groups = table.to_pandas().groupby("group")["guidance"].apply(sorted)
    assert set(map(tuple, groups)) == {("1", "2")}


def test_an_image_is_its_own_whatever_is_drawn_beside_it(able: Path, tmp_path: Path) -> None:
    """Alone, or among ten in another order of guidance: the same but for rounding."""
    few = draw(able, tmp_path / "few", images=1)
    many = draw(able, tmp_path / "many", images=10, guidance=[1.0, 2.0])
    for guidance in (1.0, 2.0):
        one, two = (pixels(work, "triangles", guidance, 0) for work in (few, many))
        assert one.shape == (64, 64, 3)
        assert np.abs(one - two).max() <= 1
    assert np.abs(one - pixels(many, "triangles", 2.0, 1)).max() > 1
    assert np.abs(one - pixels(many, "discs", 2.0, 0)).max() > 1


def test_guidance_starts_from_the_same_noise(able: Path, tmp_path: Path) -> None:
    """Guidances that are nearly the same draw nearly the same; another noise does not."""
    work = draw(able, tmp_path / "b", images=2, guidance=[0.0, 0.01])
    for number in range(2):
        near, far = (pixels(work, "discs", guidance, number) for guidance in (0.0, 0.01))
        assert np.abs(near - far).max() <= 3
    assert np.abs(pixels(work, "discs", 0.0, 0) - pixels(work, "discs", 0.0, 1)).max() > 3


def test_a_killed_drawing_ends_the_same(
    able: Path, drawn: typika.Bias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, made = biases.write_drawn, []

    def dying(*arguments: object) -> None:
        if len(made) == 5:
            raise Killed
        made.append(arguments)
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(biases, "write_drawn", dying)
        with pytest.raises(Killed):
            draw(able, tmp_path / "b")
    monkeypatch.setattr(biases, "write_drawn", lambda *a: made.append(a) or write(*a))
    draw(able, tmp_path / "b")
    assert len(made) == 2 * 2 * 2
    for path in (drawn.page.parent / "generated").rglob("*.*"):
        again = tmp_path / "b" / path.relative_to(drawn.page.parent)
        assert path.read_bytes() == again.read_bytes()


def test_the_cost_is_told_before(able: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["bias", str(able), "--dry-run", "--set", "draw.images=4", "--set", "draw.steps=5",
          "--device", "cpu", "--workers", "1"])  # fmt: skip
    said = capsys.readouterr().out
    assert (
        "# cost: 24 of 24 images to draw, 240 passes through the network (10 for an image)" in said
    )
    assert "# cost: 24 images to encode and to score with 8 draws each" in said
    assert "guidance = [7.5, 3.0, 1.0]" in said
    assert not (able / "bias").exists()


def test_no_image_held_out_is_said(able: Path) -> None:
    config = biases.configure(able, {"real": "held-out"})
    with pytest.raises(ConfigError, match="real=held-out: no such image of discs; leave real=all"):
        typika.bias(able, config=config, device="cpu")
