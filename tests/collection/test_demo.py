from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from typika.collection import demo
from typika.collection._canvas import Brush, Canvas, Item, View
from typika.collection._palette import LIGHTS
from typika.collection.demo import (
    ARTEFACT_KIND,
    ARTEFACT_LABEL,
    ELEMENT_KINDS,
    DemoTruth,
    read_truth,
    render_demo,
    render_postcard,
)
from typika.errors import ConfigError, DataError

SIZE = 96
N = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    folder = tmp_path_factory.mktemp("demo") / "postcards"
    return render_demo(folder, n_per_label=N, size=SIZE, seed=5, workers=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_per_label_and_the_truth_beside_them(finished):
    names = set(contents(finished.folder))
    images = {f"{label}/{number:05d}.jpg" for label in ELEMENT_KINDS for number in range(N)}
    assert names == images | {"truth.csv", "demo.json"}
    with Image.open(finished.folder / "Brisk/00000.jpg") as image:
        assert image.size == (SIZE, SIZE)


def test_four_towns_with_three_kinds_each_all_different():
    kinds = [kind for town in ELEMENT_KINDS.values() for kind in town]
    assert [len(town) for town in ELEMENT_KINDS.values()] == [3, 3, 3, 3]
    assert len(set(kinds)) == 12


def test_the_number_of_workers_changes_nothing(finished, tmp_path):
    render_demo(tmp_path / "two", n_per_label=N, size=SIZE, seed=5, workers=2)
    assert contents(tmp_path / "two") == contents(finished.folder)


def test_more_images_per_label_leave_the_first_ones_alone(finished):
    pixels, elements = render_postcard("Corvane", 1, size=SIZE, seed=5)
    assert [e for e in finished.elements if e.file_name == "Corvane/00001.jpg"] == elements
    with Image.open(finished.folder / "Corvane/00001.jpg") as image:
        assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 8


def test_another_seed_is_another_collection():
    first, _ = render_postcard("Brisk", 0, size=SIZE, seed=0)
    second, _ = render_postcard("Brisk", 0, size=SIZE, seed=1)
    assert np.abs(first.astype(int) - second).mean() > 10


def test_a_finished_folder_is_left_alone(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")}
    again = render_demo(finished.folder, n_per_label=N, size=SIZE, seed=5, workers=1)
    assert again == finished
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")} == before


def test_an_interrupted_render_is_completed(finished, tmp_path, monkeypatch):
    folder = tmp_path / "broken"
    honest = render_postcard

    def tired(label, number, **options):
        if (label, number) == ("Corvane", 1):
            raise KeyboardInterrupt
        return honest(label, number, **options)

    monkeypatch.setattr(demo, "render_postcard", tired)
    with pytest.raises(KeyboardInterrupt):
        render_demo(folder, n_per_label=N, size=SIZE, seed=5, workers=1)
    monkeypatch.undo()
    assert not (folder / "truth.csv").exists()
    kept = (folder / "Almorin/00000.jpg").stat().st_mtime_ns
    render_demo(folder, n_per_label=N, size=SIZE, seed=5, workers=1)
    assert contents(folder) == contents(finished.folder)
    assert (folder / "Almorin/00000.jpg").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("change", "said"), [({"seed": 6}, "seed=5, not 6"), ({"size": 64}, "size=96, not 64")]
)
def test_other_arguments_for_a_folder_are_refused(finished, change, said):
    arguments = {"n_per_label": N, "size": SIZE, "seed": 5} | change
    with pytest.raises(ConfigError, match=said):
        render_demo(finished.folder, **arguments)


def test_other_arguments_are_refused_for_an_unfinished_folder_too(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_render_all", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        render_demo(tmp_path / "new", n_per_label=N, size=SIZE)
    with pytest.raises(ConfigError, match="n_per_label=3, not 4"):
        render_demo(tmp_path / "new", n_per_label=4, size=SIZE)


def test_a_folder_of_the_users_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not empty"):
        render_demo(tmp_path, n_per_label=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_unreadable_state_is_refused(tmp_path):
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(ConfigError, match=r"demo\.json"):
        render_demo(tmp_path, n_per_label=1)


@pytest.mark.parametrize("wrong", [{"n_per_label": 0}, {"size": 8}, {"seed": -1}, {"workers": 0}])
def test_impossible_arguments_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        render_demo(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_truth_survives_the_disk(finished):
    assert read_truth(finished.path) == list(finished.elements)
    assert finished.elements


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "file_name,label,kind,left,top,right,bottom\nx\n"])
def test_a_table_that_is_no_truth_is_refused(tmp_path, text):
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(DataError, match="not a truth table"):
        read_truth(tmp_path / "truth.csv")


def test_a_missing_truth_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_truth(tmp_path / "truth.csv")


@pytest.fixture(scope="module")
def postcards():
    """Twelve postcards per label: (label, pixels, elements, pixels without planting)."""
    return [
        (
            label,
            *render_postcard(label, n, size=128),
            render_postcard(label, n, size=128, planted=False)[0],
        )
        for label in ELEMENT_KINDS
        for n in range(12)
    ]


def test_boxes_lie_inside_and_hold_something(postcards):
    for _, pixels, elements, _ in postcards:
        height, width, _ = pixels.shape
        for element in elements:
            assert 0 <= element.left < element.right <= width
            assert 0 <= element.top < element.bottom <= height
            assert min(element.right - element.left, element.bottom - element.top) >= 3


def test_every_kind_stands_under_its_own_label_and_all_are_seen(postcards):
    seen = {label: Counter() for label in ELEMENT_KINDS}
    for label, _, elements, _ in postcards:
        seen[label].update({element.kind for element in elements})
    for label, kinds in ELEMENT_KINDS.items():
        extra = {ARTEFACT_KIND} if label == ARTEFACT_LABEL else set()
        assert set(seen[label]) == {*kinds, *extra}
        assert all(2 <= seen[label][kind] <= 12 for kind in kinds)


def test_planted_elements_are_visible_and_all_else_is_the_same(postcards):
    for _, pixels, elements, neutral in postcards:
        difference = np.abs(pixels.astype(int) - neutral).max(axis=2)
        for e in elements:
            changed = difference[e.top : e.bottom, e.left : e.right] > 12
            assert changed.mean() > 0.12, e
        assert (difference == 0).mean() > 0.6


def test_without_planting_nothing_is_told_and_nothing_is_planted():
    pixels, elements = render_postcard("Dovelle", 0, size=SIZE, planted=False)
    assert elements == []
    again, _ = render_postcard("Dovelle", 0, size=SIZE, planted=False)
    assert (pixels == again).all()


def test_elements_cover_a_small_share_of_the_pictures(postcards):
    shares = Counter()
    for label, pixels, elements, _ in postcards:
        for e in elements:
            if not e.is_artefact:
                area = (e.right - e.left) * (e.bottom - e.top)
                shares[label] += area / pixels[..., 0].size / 12
    assert all(0.02 < shares[label] < 0.1 for label in ELEMENT_KINDS)


def sight(x: float, covered: float, view: View):
    """A 40-unit square at x, y 80 to 120, its left share covered by something else."""
    canvas = Canvas(256, LIGHTS[1], view)
    square = Item("square", x, 120, 40, 40, (200, 0, 0), (0, 0, 0), 0)
    canvas.start(square)
    Brush(canvas, square).box(0, 0, 1, 1, square.paint)
    canvas.finish()
    if covered:
        Brush(canvas, square).box(-0.1, -0.1, covered, 1.1, (0, 0, 200))
    Brush(canvas, square).box(0, 0, 1, 1, (255, 255, 255), alpha=40)  # rain hides nothing
    return canvas.sightings()


WHOLE = View(0, 0, 1)


def test_an_open_item_is_wholly_visible_where_it_stands():
    (found,) = sight(100, 0, WHOLE)
    assert found.visible == 1
    assert np.allclose(found.box, (80, 80, 120, 120), atol=1)


def test_what_is_painted_over_an_item_hides_it():
    (found,) = sight(100, 0.5, WHOLE)
    assert found.visible == pytest.approx(0.5, abs=0.04)
    assert np.allclose(found.box, (100, 80, 120, 120), atol=1)
    assert sight(100, 1.1, WHOLE) == []


def test_what_the_frame_cuts_off_is_hidden():
    (found,) = sight(0, 0, WHOLE)
    assert found.visible == pytest.approx(0.5, abs=0.04)
    assert found.box[0] == 0


def test_a_closer_view_moves_and_enlarges():
    (found,) = sight(100, 0, View(50, 40, 2))
    assert np.allclose(found.box, (60, 80, 140, 160), atol=1.5)
