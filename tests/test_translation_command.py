"""`typika translate`: a parallel collection out of a run, resumed, extended and refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import tiny_diffusion
import typika
from pictures import draw_photo
from typika import translation, workflow
from typika.cli import main
from typika.collection.images import ImageCollection
from typika.collection.parallel import ParallelCollection, source_rows
from typika.diffusion.translation import TranslationConfig
from typika.errors import ConfigError

LABELS = ("discs", "squares", "triangles")
QUICK = TranslationConfig(steps=4, inversion_steps=4)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for label, name in enumerate(LABELS):
        for number in range(2):
            draw_photo(root / name / f"{number:02d}.jpg", label, number)
    return root


@pytest.fixture(scope="module")
def run(images: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny Stable Diffusion, trained no further than it was."""
    folder = tmp_path_factory.mktemp("run") / "run"
    config = workflow.configure(tiny_diffusion.settings(tiny, finetune="none"))
    workflow.advance(images, folder, config, last="train", workers=1, device="cpu")
    return folder


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*")) if path.is_file()}  # fmt: skip


@pytest.fixture(scope="module")
def whole(run: Path, tmp_path_factory: pytest.TempPathFactory) -> ParallelCollection:
    out = tmp_path_factory.mktemp("whole") / "translate"
    return typika.translate(run, out=out, config=QUICK, workers=1, device="cpu")


def test_every_image_is_translated_to_every_other_label(whole: ParallelCollection) -> None:
    table = whole.table.to_pylist()
    assert len(table) == 6 * 2
    assert all(row["label"] != row["source_label"] for row in table)
    for row in table[:3]:
        with Image.open(whole.root / row["file_name"]) as image:
            assert image.size == (row["width"], row["height"]) == (80, 64)


def test_it_is_an_ordinary_collection(whole: ParallelCollection, run: Path) -> None:
    found = ImageCollection.open(whole.root)
    assert found.labels == LABELS
    ids = set(workflow.MiningRun(run).collection.table["image_id"].to_pylist())
    assert set(found.table["source"].to_pylist()) == ids
    # Translations of one image stay together wherever groups are divided.
    for _, own in found.table.to_pandas().groupby("source"):
        assert own["group"].nunique() == 1


@pytest.mark.slow
def test_an_interrupted_translation_ends_the_same(
    run: Path, whole: ParallelCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def dying(*arguments):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(arguments)
        return write(*arguments)

    write = translation.write_translations
    with monkeypatch.context() as patch:
        patch.setattr(translation, "write_translations", dying)
        with pytest.raises(KeyboardInterrupt):
            typika.translate(run, out=tmp_path / "t", config=QUICK, workers=1, device="cpu")
    assert 2 <= len(files(tmp_path / "t" / "inversions")) <= 3
    made.clear()
    monkeypatch.setattr(translation, "write_translations", lambda *a: made.append(a) or write(*a))
    found = typika.translate(run, out=tmp_path / "t", config=QUICK, workers=1, device="cpu")
    assert len(made) == 6 - 2
    assert files(found.root) == files(whole.root)


@pytest.mark.slow
def test_labels_and_images_may_be_added(
    run: Path, whole: ParallelCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"out": tmp_path / "t", "config": QUICK, "workers": 1, "device": "cpu"}
    one = typika.translate(run, ["discs"], images=1, **options)
    assert one.table["label"].to_pylist() == ["discs"] * 2
    known = files(tmp_path / "t" / "inversions")
    inverted = []
    monkeypatch.setattr(
        translation, "inverted", lambda *a, f=translation.inverted: inverted.append(1) or f(*a)
    )
    found = typika.translate(run, **options)
    assert len(inverted) == 6 - 2  # one of each other label was inverted before
    assert known.items() <= files(tmp_path / "t" / "inversions").items()
    # Which labels share a pass changes rounding: at most one level of eight bits here and there.
    for row in whole.table.to_pylist():
        one, two = (np.asarray(Image.open(root / row["file_name"]), dtype=int)
                    for root in (whole.root, found.root))  # fmt: skip
        assert np.abs(one - two).max() <= 1


def test_fewer_images_are_among_the_more(whole: ParallelCollection, run: Path) -> None:
    collection = workflow.MiningRun(run).collection
    everything = np.ones(len(collection), dtype=bool)
    one, two = (set(source_rows(collection, everything, count)) for count in (1, 2))
    assert len(one) == 3
    assert one < two


def test_other_settings_are_refused(whole: ParallelCollection, run: Path) -> None:
    out = whole.root.parent
    other = TranslationConfig(steps=4, inversion_steps=4, guidance=3.0)
    with pytest.raises(ConfigError, match=r"guidance: 7\.5 there, 3\.0 now"):
        typika.translate(run, out=out, config=other, device="cpu")


def inverse(collection: ImageCollection, row: int, label: str) -> Image.Image:
    """A translator of known output."""
    return ImageOps.invert(collection.load(row))


def test_another_translator_may_stand_in(run: Path, tmp_path: Path) -> None:
    found = typika.translate(run, ["discs"], tmp_path / "t", translator=inverse, workers=1)
    row = found.table.to_pylist()[0]
    collection = workflow.MiningRun(run).collection
    place = collection.table["image_id"].to_pylist().index(row["source"])
    own = np.asarray(collection.load(place))
    with Image.open(found.root / row["file_name"]) as image:
        assert (np.asarray(image) == 255 - own).all()


def test_the_command(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    quick = ["--set", "steps=2", "--set", "inversion_steps=2", "--device", "cpu", "--workers", "1"]
    main(["translate", str(run), "--to", "discs", "squares", "--images", "1", "--dry-run", *quick])
    said = capsys.readouterr().out
    assert "# cost: 4 translations of 3 images, 25 passes through the network (11 at most" in said
    assert not (run / "translate").exists()
    main(["translate", str(run), "--to", "discs", "squares", "--images", "1", *quick])
    assert capsys.readouterr().out.strip() == str(run / "translate" / "parallel")


def test_translations_are_scored_by_the_model_that_made_them(
    images: Path, run: Path, whole: ParallelCollection, tmp_path: Path
) -> None:
    """The whole way with a tiny Stable Diffusion: its figures mean nothing, its tables hold."""
    config = workflow.recorded(run)[1]
    workflow.advance(images, run, config, last="score", workers=1, device="cpu")
    found = typika.cotypical(run, whole.root, tmp_path / "c", workers=1, device="cpu")
    table = found.sequences.to_pandas()
    assert (table.groupby("sequence").size() == 3).all()
    assert np.isfinite(table["typicality"]).all()
    assert set(table.loc[~table["original"], "file_name"]) <= set(
        whole.table["file_name"].to_pylist()
    )
    assert found.page.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "stars"], "label 'stars': not of .*, which has discs, squares, triangles"),
        (["--images", "-1"], "images=-1: need 0"),
        (["--preset", "fast"], "preset 'fast': expected one of paper"),
        (["--set", "guidence=3"], "guidence"),
    ],
)
def test_bad_input_is_named(
    run: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["translate", str(run), *arguments])
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_run_that_cannot_draw_is_refused(images: Path, tmp_path: Path) -> None:
    config = workflow.configure()
    workflow.advance(images, tmp_path / "run", config, last="collect", workers=1)
    with pytest.raises(ConfigError, match=r"its model has no decoder.*--model CHECKPOINT"):
        typika.translate(tmp_path / "run")


def test_a_run_that_is_not_trained_is_refused(images: Path, tiny: Path, tmp_path: Path) -> None:
    config = workflow.configure(tiny_diffusion.settings(tiny))
    workflow.advance(images, tmp_path / "run", config, last="collect", workers=1, device="cpu")
    with pytest.raises(ConfigError, match="is not trained yet; run `typika train"):
        typika.translate(tmp_path / "run", device="cpu")


def test_nothing_translated_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no translations yet; run `typika translate`"):
        ParallelCollection.read(tmp_path)
