"""Two runs compared, from folders to page, on pictures that the tests draw."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import typika
from pictures import draw_photo
from test_cli import code
from typika import comparison
from typika import config as settings
from typika.comparison import Comparison, compare
from typika.errors import ConfigError, DataError
from typika.mining.scores import ScoredMaps
from typika.workflow import MineConfig, MiningRun, advance, mine

TINY = {
    "model": {"sides": [64], "dimensions": 8, "width": 8, "blocks": 1, "epochs": 2.0,
              "least_steps": 6},
    "rival": {"width": 8, "epochs": 2.0, "least_steps": 6},
    "artefacts": {"images": 0},
    "cluster": {"n_starts": 6},
    "confounds": {"n_trees": 8},
    "significance": {"permutations": 99},
    "score": {"n_draws": 4},
    "select": {"at_least": 8, "controls": 2, "patch_size": 0.3},
    "report": {"sheets": False},
}  # fmt: skip
Rows = dict[tuple[str, str], dict[str, Any]]


def tiny(**changes: Any) -> MineConfig:
    return settings.build(MineConfig, TINY, changes)


def draw(root: Path, labels: tuple[str, ...] = ("discs", "triangles"), first: int = 0) -> Path:
    """Twelve photographs per label, from number `first` on."""
    for label, name in enumerate(labels):
        for number in range(first, first + 12):
            draw_photo(root / name / f"{number:02d}.jpg", label, number)
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def before(place: Path) -> MiningRun:
    return mine(draw(place / "photos"), place / "before", config=tiny(), workers=1)


@pytest.fixture(scope="module")
def after(place: Path) -> MiningRun:
    """The same images but the first three of each label, and three others; elsewhere."""
    config = tiny(seed=1, prompt={"label": "A <b>{label}</b>."})
    return mine(draw(place / "elsewhere", first=3), place / "after", config=config, workers=1)


@pytest.fixture(scope="module")
def both(before: MiningRun, after: MiningRun, place: Path) -> Comparison:
    return compare(before, after, out=place / "both")


def rows(table: pa.Table) -> Rows:
    return {(row["label"], row["measure"]): row for row in table.to_pylist()}


def test_a_run_agrees_with_itself(before: MiningRun, tmp_path: Path) -> None:
    found = rows(compare(before, before.folder, out=tmp_path).agreement)
    for label in ("", "discs", "triangles"):
        assert found[label, "found"]["value"] == 1
        assert found[label, "rank_correlation"]["value"] == pytest.approx(1)
        assert found[label, "map_correlation"]["value"] == pytest.approx(1)
        assert found[label, "adjusted_rand"]["value"] == pytest.approx(1)
        assert 0 < found[label, "found"]["chance"] < 0.5
    assert found["", "patches_before"]["value"] == np.sum(
        np.array(before.patches["selection"].to_pylist()) == "typical"
    )


def test_only_what_was_mined_is_compared(tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "train")
    draw(tmp_path / "photos" / "val", first=12)
    split = tiny(collection={"train_on": "train", "mine": "val"})
    run = mine(tmp_path / "photos", tmp_path / "run", config=split, workers=1)
    found = rows(compare(run, run, out=tmp_path / "both").agreement)
    assert found["", "found"]["n"] == 24
    assert found["", "found"]["value"] == 1
    table = run.collection.table
    trained = table["image_id"][table["split"].index("train").as_py()].as_py()
    with pytest.raises(DataError, match="not of the split that was mined"):
        run.typicality_map(trained)


def test_swapping_the_runs_swaps_the_columns(
    before: MiningRun, after: MiningRun, both: Comparison, tmp_path: Path
) -> None:
    found, back = rows(both.agreement), rows(compare(after, before, out=tmp_path).agreement)
    for label in ("", "discs", "triangles"):
        for one, other in (
            ("patches_before", "patches_after"),
            ("before_found_in_after", "after_found_in_before"),
            ("found", "found"),
        ):
            assert found[label, one]["value"] == back[label, other]["value"]
        assert found[label, "map_correlation"]["value"] == pytest.approx(
            back[label, "map_correlation"]["value"]
        )


def test_runs_of_other_rows_and_folders_are_matched_by_content(
    before: MiningRun, after: MiningRun, both: Comparison
) -> None:
    found = rows(both.agreement)
    assert found["", "found"]["n"] == 18
    assert found["discs", "found"]["n"] == 9
    # By hand, from the run folders alone: the median correlation of the maps of equal files.
    names = [run.collection.table["image_id"].to_pylist() for run in (before, after)]
    shared = sorted(set(names[0]) & set(names[1]))
    assert [names[0].index(i) for i in shared] != [names[1].index(i) for i in shared]
    maps = [[ScoredMaps(run.folder)[own.index(i)]["null"].ravel() for i in shared]
            for run, own in zip((before, after), names, strict=True)]  # fmt: skip
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(*maps, strict=True)]
    assert found["", "map_correlation"]["value"] == pytest.approx(np.median(correlations))


def test_what_only_one_run_has_is_said_on_the_page_and_aloud(
    before: MiningRun, after: MiningRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = compare(before, after, out=tmp_path / "new" / "page.html").page
    assert page == tmp_path / "new" / "page.html"
    note = "6 of the 24 images of before are not in the other run under the same label"
    assert note in page.read_text(encoding="utf-8")
    assert f"warning: {note}" in capsys.readouterr().err
    assert sorted(path.name for path in page.parent.iterdir()) == ["agreement.csv", "page.html"]


def test_the_page_tells_how_the_runs_were_made(both: Comparison) -> None:
    text = both.page.read_text(encoding="utf-8")
    assert "A photo of {label}." in text
    assert "A &lt;b&gt;{label}&lt;/b&gt;." in text
    assert "<b>" not in text
    assert "prompt.label" in text
    assert text.count("<figure") == 16
    with (both.page.parent / "agreement.csv").open(encoding="utf-8") as handle:
        assert len(list(csv.DictReader(handle))) == both.agreement.num_rows == 3 * 10


def test_a_map_is_as_good_as_another_of_the_same_run(
    before: MiningRun, after: MiningRun, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "file_name,label,x,y,width,height\n"
        + "".join(f"discs/{n:02d}.jpg,discs,{5 * n},10,22,22\n" for n in range(12))
    )
    found = rows(compare(before, before, regions=boxes, out=tmp_path).agreement)
    assert found["", "average_precision_gain"]["value"] == 0
    assert found["", "average_precision_gain"]["high"] == 0
    assert found["discs", "average_precision_before"]["n"] == 12
    assert found["", "pointing_before"]["chance"] == pytest.approx(22 * 22 / 96 / 80, rel=0.05)
    assert ("triangles", "pointing_before") not in found
    other = rows(compare(before, after, regions=boxes, out=tmp_path).agreement)
    assert other["", "average_precision_gain"]["value"] == pytest.approx(
        other["", "average_precision_after"]["value"]
        - other["", "average_precision_before"]["value"]
    )
    assert "Against the boxes of boxes.csv" in (tmp_path / "compare.html").read_text()


def test_boxes_of_other_images_or_labels_are_refused(before: MiningRun, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file_name,label,x,y,w,h\ndiscs/01.jpg,dogs,1,1,5,5")
    with pytest.raises(DataError, match=r"none of its regions.*'dogs'.*'discs', 'triangles'"):
        compare(before, before, regions=boxes, out=tmp_path)
    boxes.write_text("file_name,x,y,w,h\ndiscs/01.jpg,200,1,5,5")
    with pytest.raises(DataError, match=r"boxes\.csv, discs/01\.jpg: .*outside of its image"):
        compare(before, before, regions=boxes, out=tmp_path)
    assert not (tmp_path / "compare.html").exists()


def test_runs_without_a_common_image_are_refused(
    before: MiningRun, place: Path, tmp_path: Path
) -> None:
    strange = advance(draw(tmp_path / "p", first=40), tmp_path / "strange", tiny(),
                      last="cluster", workers=1)  # fmt: skip
    with pytest.raises(DataError, match="share no image; compare runs that were made from"):
        compare(before, strange, out=tmp_path)
    renamed = advance(draw(tmp_path / "q", ("round", "pointed")), tmp_path / "renamed", tiny(),
                      last="cluster", workers=1)  # fmt: skip
    with pytest.raises(DataError, match=r"24 images but under other labels .*same --label"):
        compare(before, renamed, out=tmp_path)


def test_an_unfinished_run_is_refused_with_what_finishes_it(
    before: MiningRun, tmp_path: Path
) -> None:
    shutil.copytree(before.folder, tmp_path / "early")
    (tmp_path / "early" / "patches.parquet").unlink()
    with pytest.raises(ConfigError, match=r"no patches.parquet yet; run `typika cluster .*early`"):
        compare(before, tmp_path / "early", out=tmp_path)
    with pytest.raises(ConfigError, match=r"no run\.json here"):
        compare(before, tmp_path, out=tmp_path)


def test_a_run_whose_maps_are_only_those_against_the_null_will_do(
    before: MiningRun, after: MiningRun, both: Comparison, tmp_path: Path, monkeypatch: Any
) -> None:
    class Sparse(ScoredMaps):
        def __getitem__(self, row: int) -> dict[str, np.ndarray]:
            maps = super().__getitem__(row)
            return {name: maps[name] for name in ("null", "null_error")}

    monkeypatch.setattr(comparison, "ScoredMaps", Sparse)
    monkeypatch.setattr("typika.report.inputs.ScoredMaps", Sparse)
    assert compare(before, after, out=tmp_path).agreement.equals(both.agreement)


def test_images_that_have_gone_do_not_stop_the_page(
    before: MiningRun, tmp_path: Path, place: Path
) -> None:
    shutil.copytree(before.folder, tmp_path / "run")  # its source is relative, and not here
    page = compare(tmp_path / "run", tmp_path / "run", out=tmp_path).page
    text = page.read_text(encoding="utf-8")
    assert "could not be read any more" in text
    assert "<figure" not in text


def test_runs_of_one_name_are_told_apart(before: MiningRun, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(before.folder, tmp_path / name / "run")
    page = compare(tmp_path / "one" / "run", tmp_path / "two" / "run", out=tmp_path).page
    assert "<h1>one-run and two-run, side by side</h1>" in page.read_text(encoding="utf-8")


def test_from_the_command_line(
    before: MiningRun, after: MiningRun, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert code("compare", str(before.folder), str(after.folder)) == 0
    assert capsys.readouterr().out.strip() == "compare/before-after/compare.html"
    assert (tmp_path / "compare" / "before-after" / "agreement.csv").exists()
    (tmp_path / "file").write_text("mine")
    where = ["compare", str(before.folder), str(after.folder), "--out"]
    assert code(*where, "file") == 2
    assert "file: is a file; pass --out" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
    assert code("compare", str(before.folder), "nowhere") == 2
    assert code("compare", str(before.folder), str(after.folder), "--regions", "none.csv") == 3


def test_the_python_name_is_public() -> None:
    assert typika.compare is compare
    assert typika.Comparison is Comparison
