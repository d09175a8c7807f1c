"""`typika trends` on streets whose classes are known, and translations that plant changes."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

import tiny_segmenters
import trend_scenes
import typika
from test_cli import code
from trend_scenes import BESIDES, BY_REDRAWING, CHANGED, CLASSES, LABELS
from typika import segmentation
from typika.collection.parallel import TABLE, ParallelCollection
from typika.errors import ConfigError, DataError, ModelError
from typika.mining import segments
from typika.mining.trends import TrendsConfig
from typika.tables import read_parquet, write_parquet
from typika.workflow import MiningRun

QUICK = TrendsConfig(permutations=999, resamplings=99)
SETTINGS = ["--set", "permutations=999", "--set", "resamplings=99", "--workers", "1"]
TABLES = ("trends.parquet", "trends.csv", "measures.parquet", "measures.csv", "segments.parquet")


N_IMAGES = 8 * len(LABELS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trend_scenes.build(tmp_path_factory.mktemp("streets"), N_IMAGES // len(LABELS))


@pytest.fixture(scope="module")
def few(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Translations of five images to one label alone."""
    root, all_of_them = tmp_path_factory.mktemp("few"), run / "translate" / "parallel"
    table = ParallelCollection.read(all_of_them).table
    rows = table.filter(pc.equal(table["source_label"], "peru")).slice(0, 5)
    write_parquet(rows, root / TABLE)
    for name in rows["file_name"].to_pylist():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).hardlink_to(all_of_them / name)
    return root


@pytest.fixture(scope="module")
def found(run: Path) -> typika.TrendsRun:
    return typika.trends(run, trend_scenes.segmenter, config=QUICK, workers=1)


def called(found: typika.TrendsRun, *verdicts: str) -> set[tuple[str, str, str]]:
    return {(row["label"], row["class"], row["measure"]) for row in found.trends.to_pylist()
            if row["verdict"] in verdicts}  # fmt: skip


def test_what_is_planted_is_found_and_redrawing_told_from_it(found: typika.TrendsRun) -> None:
    planted = {(label, *one) for label, own in CHANGED.items() for one in own}
    redrawn = {(label, *one) for label in LABELS for one in BY_REDRAWING}
    hidden = {(label, *one) for label, own in BESIDES.items() for one in own}
    assert planted <= called(found, "of the label")
    assert called(found, "of the label") <= planted | hidden
    assert called(found, "of the label", "changed") <= planted | redrawn
    rise = {(row["label"], row["class"], row["measure"]): row["difference"]
            for row in found.trends.to_pylist()}  # fmt: skip
    assert all(rise[one] > 0 for one in planted)


def test_measures_are_those_of_the_pictures(run: Path, found: typika.TrendsRun) -> None:
    collection = MiningRun(run).collection
    names = collection.table["file_name"].to_pylist()
    for row in found.measures.to_pylist()[::41]:
        if row["original"]:
            image = collection.load(names.index(row["file_name"]))
        else:
            image = Image.open(run / "translate" / "parallel" / row["file_name"])
        of_class = (np.asarray(image) == CLASSES[row["class"]]).all(axis=2)
        assert row["area"] == of_class.mean()
    once = found.measures.to_pandas()[["file_name", "original", "class"]]
    assert not once.duplicated().any()


def test_a_known_class_that_no_image_has_is_counted(found: typika.TrendsRun) -> None:
    text = found.page.read_text(encoding="utf-8")
    assert "boat" not in found.trends["class"].to_pylist()
    assert "Classes that the segmenter knows and no image has: 1." in text


def test_the_page_stands_alone(found: typika.TrendsRun) -> None:
    text = found.page.read_text(encoding="utf-8")
    for word in ("http:", "https:", "<script", 'alt=""', ">nan", " nan"):
        assert word not in text
    assert text.count("alt=") == text.count("<img ")
    assert text.count('<section class="label"') == len(LABELS)
    assert text.count('class="whisker called"') == len(called(found, "of the label", "changed"))
    n_tests = sum(row["verdict"] != "not tested" for row in found.trends.to_pylist())
    assert f"Of {n_tests} tests (class × label × measure)" in text


def test_the_same_call_does_nothing_twice(
    run: Path, found: typika.TrendsRun, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = found.page.read_bytes()
    monkeypatch.setattr(segments, "keep", None)
    typika.trends(run, trend_scenes.segmenter, config=QUICK, workers=1)
    assert capsys.readouterr().err.count("already done") == 4
    assert found.page.read_bytes() == before


class Killed(BaseException):
    """As sudden as a kill."""


def test_a_killed_call_goes_on_in_any_number_of_processes_and_segments_nothing_twice(
    run: Path, found: typika.TrendsRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, kept = segments.keep, []

    def dying(*arguments: object) -> None:
        if len(kept) == 30:
            raise Killed
        kept.append(arguments)
        keep(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(segments, "keep", dying)
        with pytest.raises(Killed):
            typika.trends(run, trend_scenes.segmenter, out=tmp_path, config=QUICK, workers=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "segments").iterdir()}
    assert len(before) == 30
    typika.trends(run, trend_scenes.segmenter, out=tmp_path, config=QUICK, workers=2)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((tmp_path / "segments").iterdir())) == 4 * N_IMAGES
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (found.folder / name).read_bytes()


def test_translations_that_come_later_are_segmented_alone(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, table = tmp_path / "parallel", read_parquet(run / "translate" / "parallel" / TABLE)
    shutil.copytree(run / "translate" / "parallel", root)
    few = table.filter(pc.not_equal(table["label"], "peru"))
    write_parquet(few, root / TABLE)
    options = {"out": tmp_path / "out", "config": QUICK, "workers": 1}
    typika.trends(run, trend_scenes.segmenter, root, **options)
    write_parquet(table, root / TABLE)
    keep, kept = segments.keep, []
    monkeypatch.setattr(segments, "keep", lambda *a: kept.append(a) or keep(*a))
    typika.trends(run, trend_scenes.segmenter, root, **options)
    assert len(kept) == len(table) - len(few)


# --- ready masks --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masks(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same classes, as somebody else's masks: grey, and numbered by tens."""
    folder = tmp_path_factory.mktemp("masks")
    parallel = run / "translate" / "parallel"
    for part, root in (("originals", run.parent / "images"), ("translations", parallel)):
        for path in root.rglob("*.png"):
            numbers = trend_scenes.segmenter(Image.open(path)).numbers
            target = folder / part / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((10 * numbers).astype(np.uint8)).save(target)
    rows = [f"{10 * number},{name}" for number, name in enumerate(CLASSES)]
    (folder / "classes.csv").write_text("\n".join(["number,name", *rows]) + "\n")
    return folder


def test_ready_masks_tell_the_same(
    run: Path, found: typika.TrendsRun, masks: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = ["--segmenter", str(masks), "--out", str(tmp_path / "t")]
    assert code("trends", str(run), *out, *SETTINGS) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "t" / "trends.html")
    for name in ("measures.parquet", "trends.parquet"):
        assert (tmp_path / "t" / name).read_bytes() == (found.folder / name).read_bytes()


def test_images_without_a_mask_are_named(
    run: Path, masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(masks, tmp_path / "masks")
    (tmp_path / "masks" / "originals" / "peru" / "003.png").unlink()
    Image.new("L", (50, 50)).save(tmp_path / "masks" / "originals" / "peru" / "004.png")
    Image.new("RGB", (192, 160)).save(tmp_path / "masks" / "originals" / "peru" / "005.png")
    Image.new("L", (192, 160)).save(tmp_path / "masks" / "originals" / "stranger.png")
    found = typika.trends(run, tmp_path / "masks", out=tmp_path / "t", config=QUICK, workers=1)
    with (found.folder / "skipped.csv").open(encoding="utf-8") as handle:
        reasons = {row["file_name"]: row["reason"] for row in csv.DictReader(handle)}
    assert set(reasons) == {f"peru/00{number}.png" for number in (3, 4, 5)}
    assert "no mask of it in" in reasons["peru/003.png"]
    assert "50 x 50 pixels for an image of 192 x 160" in reasons["peru/004.png"]
    assert "a picture in colours (RGB)" in reasons["peru/005.png"]
    said = capsys.readouterr().err
    assert "left out, all named in skipped.csv: 3, such as peru/00" in said
    assert "Masks that belong to no image: 1, such as originals/stranger.png" in said
    counts = {row["label"]: row["n_images"] for row in found.trends.to_pylist()}
    assert counts == {"brazil": 21, "nigeria": 21, "peru": 24, "thailand": 21}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number,name\nsky,0\n", r"classes\.csv, line 2: number 'sky', name '0'; expected"),
        ("number,name\n1,sky\n1,wall\n", "line 3: number '1'"),
        ("number,name\n", "no class in it"),
    ],
)
def test_a_list_of_classes_that_cannot_be_is_named(
    run: Path, masks: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        typika.trends(run, tmp_path)


# --- models, names and what is refused ----------------------------------------------------------


def test_a_model_of_transformers_segments_the_run(run: Path, few: Path, tmp_path: Path) -> None:
    """Random weights: its figures mean nothing, its tables hold."""
    model = tiny_segmenters.segformer(tmp_path / "model")
    found = typika.trends(run, model, few, tmp_path / "t", config=QUICK, workers=1, device="cpu")
    areas = found.measures.to_pandas().groupby(["file_name", "original"])["area"].sum()
    assert len(areas) == 10
    assert np.allclose(areas, 1)


def test_too_few_images_and_one_label_alone_are_said(run: Path, few: Path, tmp_path: Path) -> None:
    found = typika.trends(run, trend_scenes.segmenter, few, tmp_path, config=QUICK, workers=1)
    text = found.page.read_text(encoding="utf-8")
    assert "Too few independent images to show anything: brazil (5)" in text
    assert "The images are translated to one label alone" in text
    assert set(found.trends["verdict"].to_pylist()) == {"not tested"}


def test_names_become_no_markup_and_no_formula(run: Path, few: Path, tmp_path: Path) -> None:
    found = typika.trends(run, hostile, few, tmp_path / "t", config=QUICK, workers=1)
    text = found.page.read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "'=HYPERLINK" in (tmp_path / "t" / "trends.csv").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def hostile(image: Image.Image) -> typika.Segmentation:
    names = ("=HYPERLINK(1)", "../../wall", "road", "<img src=x onerror=alert(1)>", *"abc")
    return typika.Segmentation(names, trend_scenes.segmenter(image).numbers)


def test_a_dry_run_says_what_it_takes(
    run: Path, masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--segmenter", str(masks), "--out", str(tmp_path / "t"), "--dry-run"]
    assert code("trends", str(run), *out) == 0
    said = capsys.readouterr().out
    assert "# 32 images with 96 translations to 4 labels" in said
    assert "# cost: 128 images to segment, 0 segmentations are kept from before" in said
    assert not (tmp_path / "t").exists()


def test_other_settings_are_refused(run: Path, found: typika.TrendsRun) -> None:
    with pytest.raises(ConfigError, match=r"least_area: 0\.001 there, 0\.01 now"):
        typika.trends(run, trend_scenes.segmenter, config=TrendsConfig(
            permutations=999, resamplings=99, least_area=0.01))  # fmt: skip


def test_bad_input_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no segmenter; pass --segmenter with"):
        typika.trends(run)
    with pytest.raises(ConfigError, match=r"neither a transformers model \(no config\.json\) nor"):
        typika.trends(run, tmp_path)
    with pytest.raises(ModelError, match="no such folder, and not a name on the hub"):
        typika.trends(run, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="holds no translations yet; run `typika translate`"):
        typika.trends(run, trend_scenes.segmenter, tmp_path)
    with pytest.raises(ConfigError, match=r"no run\.json here"):
        typika.trends(tmp_path, trend_scenes.segmenter)
    with pytest.raises(ConfigError, match="least_aera: unknown setting; did you mean least_area"):
        segmentation.configure({"least_aera": 0.1})
    with pytest.raises(ModelError, match=r"returned ndarray; return a typika\.Segmentation"):
        typika.trends(run, np.asarray, out=tmp_path / "t", workers=1)  # type: ignore[arg-type]


def test_translations_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    table = read_parquet(run / "translate" / "parallel" / TABLE).to_pandas()
    for column, value, message in (
        ("label", ["chad", *table["label"][1:]], "holds the label 'chad', which"),
        ("source", "0" * 16, "holds no translation of an image of"),
    ):
        root = tmp_path / column
        root.mkdir()
        changed = pa.Table.from_pandas(table.assign(**{column: value}), preserve_index=False)
        write_parquet(changed, root / TABLE)
        with pytest.raises(DataError, match=message):
            typika.trends(run, trend_scenes.segmenter, root)
